//! What is to be said about the relay for calls before the server runs: its ports, its addresses, and what lies before them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::relay::{listening, listening_tls, relay_addresses};
use crate::admin::{Finding, Level};
use crate::config::{Config, Loaded};
use crate::relay::RelayAddress;
use crate::runtime::public::is_public;

/// Everything about the relay; its ports only where this server does not hold them itself.
pub(super) fn relay(loaded: &Loaded, running: bool) -> Vec<Finding> {
    let config = &loaded.config;
    if !config.relay.enabled {
        let text = "there is no relay for calls (relay.enabled)";
        return vec![Finding::new(Level::Note, text)];
    }
    let mut findings = match running {
        true => Vec::new(),
        false => taken(config),
    };
    let (clients, relayed) = (listening(config), relay_addresses(config));
    if clients.iter().all(|address| address.ip().is_loopback()) {
        let text =
            "the relay for calls serves this machine only: clients connect to loopback addresses";
        findings.push(Finding::new(Level::Note, text));
    } else if relayed.is_empty() {
        let text = "this machine has no way to the Internet: say in relay.addresses at which of its addresses others reach who uses the relay for calls";
        findings.push(Finding::new(Level::Warning, text));
    } else {
        findings.extend(relayed.iter().map(|address| reached(config, address)));
    }
    findings
}

/// Where others find who uses the relay.
fn reached(config: &Config, address: &RelayAddress) -> Finding {
    let (first, last) = (config.relay.first_port, config.relay.last_port);
    let RelayAddress { local, external } = address;
    if !is_public(*external) && local == external {
        let text = format!(
            "the relay for calls gives out {local}, which people elsewhere cannot reach. If a router translates a public address to it, name that address in relay.external; else give this machine a public one"
        );
        return Finding::new(Level::Warning, text);
    }
    if !is_public(*external) {
        let text = format!(
            "relay.external: {external} is no public address, so nobody elsewhere reaches it"
        );
        return Finding::new(Level::Warning, text);
    }
    let text = match local == external {
        true => format!(
            "the relay for calls gives out {local}; a firewall must let UDP ports {first} to {last} in, and those of relay.listen"
        ),
        false => format!(
            "the relay for calls gives out {external}, which reaches this machine as {local}; the router must pass UDP ports {first} to {last} on unchanged, and those of relay.listen"
        ),
    };
    Finding::new(Level::Good, text)
}

fn taken(config: &Config) -> Vec<Finding> {
    // Where no port was chosen the server does without the relay.
    let level = |chosen: bool| if chosen { Level::Error } else { Level::Warning };
    let mut findings = Vec::new();
    let wishes = &config.relay;
    let mut look = |address: SocketAddr, kind, chosen, tried: io::Result<()>| {
        if let Err(error) = tried {
            let text = format!("the relay for calls cannot listen on {address} ({kind}): {error}");
            findings.push(Finding::new(level(chosen), text));
        }
    };
    for address in listening(config) {
        let chosen = !wishes.listen.is_empty();
        look(address, "UDP", chosen, UdpSocket::bind(address).map(drop));
        look(address, "TCP", chosen, TcpListener::bind(address).map(drop));
    }
    for address in listening_tls(config) {
        let chosen = !wishes.tls_listen.is_empty();
        look(address, "TLS", chosen, TcpListener::bind(address).map(drop));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(sets: &[&str]) -> Loaded {
        let request = crate::config::Request {
            file: None,
            environment: Vec::new(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        };
        #[allow(clippy::unwrap_used)]
        crate::config::load(&request, &[]).unwrap()
    }

    fn said(sets: &[&str]) -> Vec<Finding> {
        let listen = "listen=[{ address = \"0.0.0.0:0\" }]";
        let hosts = "hosts.\"example.org\"={}";
        relay(&loaded(&[&[hosts, listen], sets].concat()), false)
    }

    fn says(sets: &[&str], level: Level, words: &str) {
        let said = said(sets);
        let fits = |finding: &Finding| finding.level == level && finding.text.contains(words);
        assert!(said.iter().any(fits), "{words}: {said:?}");
    }

    #[test]
    fn what_lies_before_the_relay_is_explained() {
        says(&["relay.enabled=false"], Level::Note, "no relay");
        let private = "relay.addresses=[\"10.0.0.5\"]";
        says(&[private], Level::Warning, "relay.external");
        let external = "relay.external=[\"8.8.4.4\"]";
        says(
            &[private, external],
            Level::Good,
            "8.8.4.4, which reaches this machine as 10.0.0.5",
        );
        let odd = "relay.external=[\"192.168.0.1\"]";
        says(&[private, odd], Level::Warning, "no public address");
        says(
            &["relay.addresses=[\"8.8.4.4\"]"],
            Level::Good,
            "gives out 8.8.4.4",
        );
    }

    #[test]
    fn a_port_that_was_chosen_must_be_free() {
        #[allow(clippy::unwrap_used)]
        let taken = UdpSocket::bind("127.0.0.1:0")
            .and_then(|s| Ok((s.local_addr()?, s)))
            .unwrap();
        let listen = format!("relay.listen=[\"{}\"]", taken.0);
        says(&[&listen], Level::Error, "cannot listen");
    }
}
