//! Fuzz target; the body is `waxwing_fuzz::xml_bodies::xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::xml_bodies::xml(data));
