//! The listeners and the driver over loopback sockets, with TLS clients, a stub desk and stub seats.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod ends;
mod flow;
mod harness;
mod limits;
mod memory;
mod tls;
mod turns;
