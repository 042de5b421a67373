#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::mls_inbound::prepare(), |data: &[u8]| subrosa_fuzz_bodies::mls_inbound::run(data));
