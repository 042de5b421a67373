#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::terminal_sanitize::prepare(), |data: &[u8]| subrosa_fuzz_bodies::terminal_sanitize::run(data));
