//! Sockets: listeners, TLS and certificates, the connection driver.

mod accept;
mod closing;
mod dial;
mod driver;
mod limits;
mod listen;
mod options;
mod pipe;
mod prelude;
mod proxy;
mod serve;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
pub mod tls;
mod turnstile;
mod web;
pub mod websocket;

pub use dial::{DialError, dial};
pub use limits::{Admission, Refused, Ticket, raise_descriptor_limit};
pub use listen::{Inherited, ListenError, bind, bind_or_take};
pub use options::{ConnectionLimits, ListenerOptions, Rates, Subnet, SubnetError, Timeouts};
pub use pipe::Carrier;
pub use serve::{
    Fronts, Listeners, Surroundings, serve_bound, serve_client, serve_components, serve_servers,
    serve_web,
};
pub use stats::NetStats;
pub use web::{Caller, Door, Front, Opened, Serving, Stop, WebStream};
