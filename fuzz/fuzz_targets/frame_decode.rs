#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::frame_decode::prepare(), |data: &[u8]| subrosa_fuzz_bodies::frame_decode::run(data));
