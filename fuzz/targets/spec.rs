#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| temporal_registry_fuzz::spec(data));
