//! waxwing, an XMPP chat server.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cluster;
pub mod config;
pub mod hooks;
pub mod modules;
pub mod net;
pub mod proto;
pub mod router;
pub mod runtime;
pub mod server;
pub mod session;
pub mod state;
pub mod store;
pub mod stream;
pub mod xml;
