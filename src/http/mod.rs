//! HTTP: the front for web clients, XMPP in their requests, the listener that a metrics collector reads (Prometheus text format
//! 0.0.4), and requests to others.
mod bosh;
mod client;
mod content;
mod front;
mod metrics;

pub use bosh::BoshOptions;
pub use client::{Client, ClientOptions};
pub use front::{Front, FrontOptions, ProxyHeader, WebHost};
pub use metrics::{Exposition, Readiness, serve_metrics};
