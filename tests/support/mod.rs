//! What the integration tests share: a client and a server to talk to.

#[path = "../../examples/client/mod.rs"]
pub mod client;
pub mod process;
pub mod server;
