#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::pqxdh_bundle::prepare(), |data: &[u8]| subrosa_fuzz_bodies::pqxdh_bundle::run(data));
