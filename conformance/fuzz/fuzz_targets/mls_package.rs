//! Fuzz target; the body is `waxwing_fuzz::mls_bodies::package`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::mls_bodies::package(data));
