//! `[web]`: requests that features send to the web.

use std::path::PathBuf;

use crate::config::{Network, Period};
use crate::settings;

settings! {
    /// Requests that modules send to the web, such as web push. Always HTTPS; redirects are not followed.
    pub struct Web {
        /// PEM files with the certificates of the authorities that are believed.
        pub authorities: Vec<PathBuf> = vec![PathBuf::from("/etc/ssl/certs/ca-certificates.crt")];
        /// Loopback, private, link-local and other addresses that are not public are not reached, whatever name leads
        /// there; those here are.
        pub private_addresses: Vec<Network> = Vec::new() => example("[\"10.0.0.7\"]");
        /// Time for one request, from finding the other side to its answer.
        pub timeout: Period = Period::seconds(20) => within(Period::seconds(1)..=Period::minutes(5));
        /// Requests at once; others wait for their turn.
        pub connections: u32 = 64 => within(1..=10_000);
    }
}
