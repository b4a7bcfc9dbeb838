//! STUN and TURN (RFC 8489, RFC 8656): where a client is seen from, and a way for two of them that no other packet takes.
//!
//! This room knows nothing of XMPP. [`Machine`] is the whole of the protocol, without sockets or clocks of its own;
//! [`Relay`] gives it sockets, on one thread.
mod allocation;
mod answers;
mod counts;
pub mod credentials;
mod doors;
mod frame;
mod machine;
mod options;
mod orders;
mod policy;
mod ports;
mod requests;
mod serve;
mod streams;
pub mod stun;
#[cfg(test)]
mod tests;

pub use allocation::Client;
pub use counts::{Counts, Traffic};
pub use doors::{accept, accept_tls};
pub use frame::Frame;
pub use machine::{Failure, Machine, Opened, Opening, Step};
pub use options::{Bounds, Options, RelayAddress};
pub use policy::Policy;
pub use ports::{listen, own_addresses, route};
pub use serve::{Admitted, Gate, Relay};
pub use streams::{Guest, Stream, message_length};
