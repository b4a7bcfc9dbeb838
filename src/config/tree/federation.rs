//! `[federation]`: talking to other servers.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Bytes, Period};
use crate::{choice, settings};

settings! {
    /// Talking to other servers. Never without TLS.
    pub struct Federation {
        /// Whether accounts here can reach other servers, and be reached by them.
        pub enabled: bool = false => restart();
        /// Where other servers connect; STARTTLS and direct TLS on the same port.
        pub listen: Vec<SocketAddr> = vec![SocketAddr::from(([0u16; 8], 5269))] => restart();
        /// What every other server must show, unless [[federation.peers]] says otherwise: "require-valid-certificate", or
        /// "dialback-over-tls" which also believes what DNS says of who it is, whatever its certificate.
        pub demand: FederationDemand = FederationDemand::Certificate;
        /// Whether DNS says which certificates are those of other servers (DANE, RFC 7673), where it is signed (DNSSEC).
        /// "prefer": one that it names must be shown where it names any, and is enough whatever authorities say of it.
        /// "require": only servers whose certificates it names are talked to, and who calls must have a key confirmed by
        /// one of them. It needs a DNS server on this machine that checks signatures, such as unbound; `waxwing status`
        /// says whether it does.
        pub dane: FederationDane = FederationDane::Off;
        /// PEM files with the certificates of the authorities that are believed.
        pub authorities: Vec<PathBuf> = vec![PathBuf::from("/etc/ssl/certs/ca-certificates.crt")];
        /// Servers that are asked about DNS, with their ports; empty: those of the system.
        pub dns_servers: Vec<SocketAddr> = Vec::new() => example("[\"127.0.0.1:53\"]");
        /// Whether the web server of a domain is asked where its XMPP servers are (host-meta, XEP-0487), if DNS has no SRV
        /// records of it. Whoever writes to a domain has this server ask its web server then, as [web] allows.
        pub host_meta: bool = false;
        /// Only these domains are talked to; empty: all. "*.example.org" means everything below example.org.
        pub allow: Vec<String> = Vec::new() => example("[\"example.net\", \"*.example.net\"]");
        /// These domains are not talked to.
        pub block: Vec<String> = Vec::new() => example("[\"spam.example\", \"*.spam.example\"]");
        /// One connection for both directions where the other server can (XEP-0288).
        pub bidi: bool = true;
        /// A message that could not be delivered for so long goes back to its sender with the reason.
        pub give_up_after: Period = Period::days(2) => within(Period::seconds(1)..=Period::days(30));
        /// After so long without a way to another server its people are shown as away; they are asked for when there is one.
        pub lost_after: Period = Period::minutes(5) => within(Period::seconds(1)..=Period::days(30));
        /// Messages kept for one other domain while its server is away.
        pub queue_messages: u32 = 10_000 => within(1..=10_000_000);
        /// Their bytes.
        pub queue_bytes: Bytes = Bytes::mib(64) => within(Bytes::kib(256)..=Bytes::gib(64));
        /// Bytes of messages kept for all other domains together.
        pub queue_bytes_total: Bytes = Bytes::gib(1) => within(Bytes::mib(1)..=Bytes::gib(1024));
        /// Time to find, reach and convince another server.
        pub connect_timeout: Period = Period::seconds(30) => within(Period::seconds(1)..=Period::minutes(10));
        /// First pause after a failure; it doubles with every further one.
        pub retry: Period = Period::seconds(2) => within(Period::seconds(1)..=Period::minutes(10));
        /// Longest pause.
        pub retry_max: Period = Period::minutes(5) => within(Period::seconds(1)..=Period::days(1));
        /// A connection that carries nothing for so long is closed, and opened again when it is needed.
        pub idle_after: Period = Period::minutes(10) => within(Period::seconds(5)..=Period::days(7));
        /// How long a link that lost its connection may go on over a new one, with nothing lost or doubled (XEP-0198); "0s": never.
        pub resume_for: Period = Period::minutes(1) => within(Period::seconds(0)..=Period::minutes(60));
        /// Links without a connection that wait for that, at most.
        pub resumable: u32 = 1_000 => within(0..=1_000_000);
        /// Stanzas of one link that wait to be sent or acknowledged; what must not be lost waits on disk beyond that.
        pub stream_stanzas: u32 = 2_000 => within(16..=1_000_000);
        /// Their bytes.
        pub stream_bytes: Bytes = Bytes::mib(1) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// And with those of presence and answers, which are not on disk: a room says at once to who enters who is there.
        pub stream_passing: Bytes = Bytes::mib(8) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// Stanzas of one link that came and are not through; no more are read meanwhile.
        pub stream_window: u32 = 256 => within(1..=100_000);
        /// Connections of other servers, in all.
        pub connections: u32 = 10_000 => within(1..=1_000_000);
        /// Connections of one address.
        pub connections_per_address: u32 = 200 => within(1..=1_000_000);
        /// Connections of one other domain to one domain here.
        pub connections_per_domain: u32 = 20 => within(1..=100_000);
        /// Bytes a second from one other domain, on all its connections; who sends faster is read more slowly.
        pub domain_bytes_per_second: Bytes = Bytes::mib(8) => within(Bytes::kib(16)..=Bytes::gib(4));
        /// Stanzas a second, likewise.
        pub domain_stanzas_per_second: u32 = 10_000 => within(10..=10_000_000);
        /// Bytes a second from one other server on one connection; who sends faster is read more slowly.
        pub bytes_per_second: Bytes = Bytes::mib(4) => within(Bytes::kib(16)..=Bytes::gib(1));
        /// Stanzas a second.
        pub stanzas_per_second: u32 = 5_000 => within(10..=1_000_000);
        /// Other servers that are found without DNS, or from whom something else is demanded.
        pub peers: Vec<FederationPeer> = Vec::new();
    }

    /// One other server that is found without DNS, or from whom something else is demanded.
    pub struct FederationPeer {
        /// Its domain.
        pub domain: String = String::new();
        /// Where it is: a name or an IP address. Without it: as DNS says.
        pub address: Option<String> = None => example("\"10.0.0.7\"");
        /// Its port.
        pub port: u16 = 5269;
        /// How TLS begins.
        pub tls: FederationTls = FederationTls::Starttls;
        /// What it must show, if not what [federation] says.
        pub demand: Option<FederationDemand> = None => example("\"dialback-over-tls\"");
        /// What DNS says of its certificate, if not as [federation] says.
        pub dane: Option<FederationDane> = None => example("\"off\"");
    }
}

choice! {
    /// What another server must show.
    pub enum FederationDemand {
        /// A valid certificate.
        Certificate = "require-valid-certificate",
        /// A valid certificate, or dialback over TLS.
        Dialback = "dialback-over-tls",
    }

    /// What is made of certificates that DNS names.
    pub enum FederationDane {
        /// Nothing.
        Off = "off",
        /// They are believed, and no others where there are such.
        Prefer = "prefer",
        /// No others are believed.
        Require = "require",
    }

    /// How TLS begins.
    pub enum FederationTls {
        /// With STARTTLS.
        Starttls = "starttls",
        /// At once (XEP-0368).
        Direct = "direct",
    }
}
