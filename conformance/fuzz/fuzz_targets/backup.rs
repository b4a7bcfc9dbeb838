//! Fuzz target; the body is `waxwing_fuzz::store_bodies::backup`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::store_bodies::backup(data));
