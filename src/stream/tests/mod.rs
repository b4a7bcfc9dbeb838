//! Dialogues with the machine: one test per rule, played over real bytes against a scripted desk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod acks;
mod bind;
mod bodies;
mod bound;
mod close;
mod component;
mod header;
mod interop;
mod junk;
mod module;
mod pipelining;
mod play;
mod sasl1;
mod sasl2;
mod scram;
mod server;
mod starttls;
mod upgrade;
