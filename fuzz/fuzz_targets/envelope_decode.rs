#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::envelope_decode::prepare(), |data: &[u8]| subrosa_fuzz_bodies::envelope_decode::run(data));
