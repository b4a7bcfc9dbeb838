//! `[http]`: requests of web clients.

use crate::config::{Bytes, Network, Period};
use crate::{choice, settings};

settings! {
    /// Web clients: what browsers and apps ask for by HTTP, where a [[listen]] serves it.
    pub struct Http {
        /// Whether the ports of clients that do TLS serve HTTPS too: ALPN tells, or the first bytes.
        pub on_client_ports: bool = true;
        /// Who is believed about whose request it is: reverse proxies. By default those on this machine.
        pub proxies: Vec<Network> = Network::loopback() => example("[\"127.0.0.0/8\", \"::1\", \"10.0.0.7\"]");
        /// Where they say it. The other header is not looked at: a proxy passes on what it does not know, whoever wrote it.
        pub proxy_header: ProxyHeader = ProxyHeader::XForwardedFor;
        /// Connections of web clients at once, all together; limits.connections holds besides.
        pub connections: u32 = 5_000 => within(10..=1_000_000);
        /// Requests that are being answered at once, all together.
        pub requests: u32 = 2_000 => within(10..=1_000_000);
        /// Those of one address (of one /64 for IPv6); limits.connections.exempt is not counted.
        pub requests_per_address: u32 = 100 => within(1..=1_000_000);
        /// Those of one connection of HTTP/2.
        pub http2_requests: u32 = 100 => within(10..=1_000);
        /// Largest head of a request.
        pub header_bytes: Bytes = Bytes::kib(16) => within(Bytes::kib(8)..=Bytes::kib(256));
        /// Time for the head of the first request on a connection.
        pub header_timeout: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(5));
        /// Time for the next request on a connection.
        pub idle_timeout: Period = Period::seconds(60) => within(Period::seconds(1)..=Period::minutes(60));
        /// Time in which 16 KiB of a body, or its end, must come.
        pub body_timeout: Period = Period::seconds(30) => within(Period::seconds(1)..=Period::minutes(10));
        /// XMPP in WebSockets (RFC 7395).
        pub websocket: WebSocket = WebSocket::default();
        /// XMPP in requests of HTTP (XEP-0124, XEP-0206).
        pub bosh: Bosh = Bosh::default();
    }

    /// XMPP in requests of HTTP (BOSH: XEP-0124, XEP-0206), for apps that cannot open WebSockets. What is true for the origins
    /// of those is true here.
    pub struct Bosh {
        /// Whether it is spoken.
        pub enabled: bool = true;
        /// Where.
        pub path: String = "/http-bind".to_owned();
        /// How long a request is held at most while there is nothing to say.
        pub wait: Period = Period::seconds(60) => within(Period::seconds(1)..=Period::minutes(10));
        /// How long a client may have no request here before its session is lost.
        pub inactivity: Period = Period::seconds(60) => within(Period::seconds(5)..=Period::minutes(10));
        /// The same if it asks for a pause, as when another page is opened.
        pub pause: Period = Period::minutes(2) => within(Period::seconds(5)..=Period::minutes(10));
    }

    /// XMPP in WebSockets (RFC 7395), for apps in browsers and where nothing but HTTPS comes through.
    pub struct WebSocket {
        /// Whether they can be opened.
        pub enabled: bool = true;
        /// Where.
        pub path: String = "/xmpp-websocket".to_owned();
        /// Sites whose pages may connect, besides pages of the domains served here; "*" means all. Apps that are no web pages
        /// are not asked.
        pub origins: Vec<String> = Vec::new() => example("[\"https://chat.example.net\"]");
    }
}

choice! {
    /// The header in which proxies say whose request it is.
    pub enum ProxyHeader {
        /// X-Forwarded-For
        XForwardedFor = "x-forwarded-for",
        /// Forwarded (RFC 7239)
        Forwarded = "forwarded",
    }
}
