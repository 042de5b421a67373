#![no_main]

libfuzzer_sys::fuzz_target!(init: subrosa_fuzz_bodies::rpc_json::prepare(), |data: &[u8]| subrosa_fuzz_bodies::rpc_json::run(data));
