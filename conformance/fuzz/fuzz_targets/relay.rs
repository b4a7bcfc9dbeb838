//! Fuzz target; the body is `waxwing_fuzz::relay_bodies::relay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::relay_bodies::relay(data));
