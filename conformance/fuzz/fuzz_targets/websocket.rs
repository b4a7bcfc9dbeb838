//! Fuzz target; the body is `waxwing_fuzz::net_bodies::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waxwing_fuzz::net_bodies::websocket(data));
