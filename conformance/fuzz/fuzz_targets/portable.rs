//! Fuzz target; the body is `waxwing_fuzz::store_bodies::portable`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::store_bodies::portable(data));
