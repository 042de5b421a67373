#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::dr_session::prepare(), |data: &[u8]| subrosa_fuzz_bodies::dr_session::run(data));
