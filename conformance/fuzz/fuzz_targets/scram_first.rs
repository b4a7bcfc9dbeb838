//! Fuzz target; the body is `waxwing_fuzz::stream_bodies::scram_first`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::stream_bodies::scram_first(data));
