//! Groups of MLS (RFC 9420) whose members run on two implementations, and what must be true of them whatever the delivery
//! service in between goes through.

pub mod book;
#[path = "../../../examples/client/mod.rs"]
pub mod client;
pub mod device;
pub mod diary;
pub mod member;
pub mod memory;
pub mod play;
pub mod post;
mod stanzas;
pub mod task;
mod web;
pub mod wire;

/// Why it does not go on.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;
