#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::auth_state::prepare(), |data: &[u8]| subrosa_fuzz_bodies::auth_state::run(data));
