//! XEP-0487: Host Meta 2 (0.1.0): where a domain's servers are, read from its web server where DNS has no SRV records.
//!
//! Only direct TLS is used of it, and keys that it pins are not trusted for being named there: what authorities vouch for
//! counts, for the domain or for the name that the document gives.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::house::lock;
use crate::hooks::{HttpContent, Web, WebRequest};

/// A link to direct TLS between servers.
const REL: &str = "urn:xmpp:alt-connections:s2s-tls";
/// Links, and addresses of one, that are looked at.
const MOST: usize = 16;
/// Documents that are remembered.
const REMEMBERED: usize = 1_000;
/// How long, at least and at most; and that there is none.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const NOTHING: Duration = Duration::from_secs(600);

/// A server that such a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub priority: u16,
    pub weight: u16,
    pub addresses: Vec<SocketAddr>,
    /// What TLS is told, and what the certificate may be for.
    pub name: String,
}

type Remembered = HashMap<Box<str>, (Instant, Vec<Named>)>;

/// Reads such documents.
pub(super) struct HostMeta {
    web: Arc<dyn Web>,
    remembered: Mutex<Remembered>,
}

impl HostMeta {
    pub fn new(web: Arc<dyn Web>) -> HostMeta {
        HostMeta {
            web,
            remembered: Mutex::default(),
        }
    }

    /// The servers of a domain (A-labels), in no order; none if there is no such document.
    pub async fn find(&self, domain: &str, now: Instant) -> Vec<Named> {
        if let Some((until, known)) = lock(&self.remembered).get(domain)
            && *until > now
        {
            return known.clone();
        }
        let request = WebRequest {
            method: "GET",
            url: format!("https://{domain}/.well-known/host-meta.json"),
            headers: Vec::new(),
            body: HttpContent::Empty,
        };
        let answer = self.web.fetch(request).await;
        let found = answer.ok().filter(|answer| answer.status == 200);
        let found = found.and_then(|answer| read(&answer.body));
        let (holds, named) = found.unwrap_or((NOTHING, Vec::new()));
        let mut remembered = lock(&self.remembered);
        remembered.retain(|_, (until, _)| *until > now);
        if remembered.len() < REMEMBERED {
            remembered.insert(domain.into(), (now + holds, named.clone()));
        }
        named
    }
}

/// What a document says, and how long that holds; nothing if it is none of this kind (§2.2).
fn read(body: &[u8]) -> Option<(Duration, Vec<Named>)> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let ttl = document.get("xmpp")?.get("ttl")?.as_u64()?;
    let links = document.get("links")?.as_array()?;
    let named = links.iter().take(2 * MOST).filter_map(link).take(MOST);
    let holds = Duration::from_secs(ttl).clamp(SHORTEST, LONGEST);
    Some((holds, named.collect()))
}

/// One link; what is incomplete or no such link is passed over.
fn link(link: &Value) -> Option<Named> {
    let number = |name: &str| {
        let number = link.get(name)?.as_u64()?;
        u16::try_from(number).ok()
    };
    if link.get("rel")?.as_str()? != REL {
        return None;
    }
    let port = number("port").filter(|port| *port != 0)?;
    let ips = link.get("ips")?.as_array()?.iter().take(MOST);
    let ips = ips.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
    let addresses: Vec<SocketAddr> = ips.map(|ip| SocketAddr::new(ip, port)).collect();
    let named = Named {
        priority: number("priority")?,
        weight: number("weight")?,
        addresses,
        name: link.get("sni")?.as_str()?.to_ascii_lowercase(),
    };
    (!named.addresses.is_empty() && !named.name.is_empty()).then_some(named)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hooks::web::{Fetched, Opened};
    use crate::hooks::{WebAnswer, WebError};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const DOCUMENT: &str = r#"{
        "xmpp": {"ttl": 3000, "public-key-pins-sha-256": ["4/mggdlVx8A3pvHAWW5sD+qJyMtUHgiRuPjVC48N0XQ="]},
        "links": [
            {"rel": "urn:xmpp:alt-connections:websocket", "href": "wss://other.example.org/xmpp-websocket",
             "ips": ["192.0.2.9"], "priority": 1, "weight": 50, "sni": "example.org"},
            {"rel": "urn:xmpp:alt-connections:s2s-tls", "port": 443, "ips": ["192.0.2.1", "2001:db8::1", "nowhere"],
             "priority": 10, "weight": 50, "sni": "Im.Example.org", "ech": "eG1wcC1jbGllbnQ="},
            {"rel": "urn:xmpp:alt-connections:s2s-tls", "port": 0, "ips": ["192.0.2.2"], "priority": 1, "weight": 1, "sni": "x"},
            {"rel": "urn:xmpp:alt-connections:s2s-tls", "port": 443, "ips": [], "priority": 1, "weight": 1, "sni": "x"},
            {"rel": "urn:xmpp:alt-connections:s2s-tls", "port": 443, "ips": ["192.0.2.3"]},
            17
        ]}"#;

    #[test]
    fn only_whole_links_to_direct_tls_of_servers_count() {
        let (holds, named) = read(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(holds, Duration::from_secs(3000));
        let one = Named {
            priority: 10,
            weight: 50,
            addresses: vec![
                "192.0.2.1:443".parse().unwrap(),
                "[2001:db8::1]:443".parse().unwrap(),
            ],
            name: "im.example.org".to_owned(),
        };
        assert_eq!(named, [one]);
        for other in [
            "",
            "[]",
            r#"{"links": []}"#,
            r#"{"xmpp": {}, "links": []}"#,
            r#"{"xmpp": {"ttl": 1}}"#,
        ] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let long = DOCUMENT.replace("3000", "99999999999");
        assert_eq!(read(long.as_bytes()).unwrap().0, LONGEST);
    }

    /// Answers with the document, or with nothing.
    struct Fake(AtomicUsize);

    impl Web for Fake {
        fn fetch(&self, request: WebRequest) -> Fetched {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(match request.url.as_str() {
                "https://example.org/.well-known/host-meta.json" => Ok(WebAnswer {
                    status: 200,
                    headers: Vec::new(),
                    body: DOCUMENT.into(),
                }),
                _ => Err(WebError::TimedOut),
            }))
        }

        fn open(&self, _: WebRequest) -> Opened {
            unreachable!("documents are small")
        }
    }

    #[tokio::test]
    async fn documents_are_read_again_when_their_time_is_over() {
        let web = Arc::new(Fake(AtomicUsize::new(0)));
        let meta = HostMeta::new(web.clone());
        let now = Instant::now();
        let asked = || web.0.load(Ordering::Relaxed);
        for later in [0, 2_999, 3_000] {
            let at = now + Duration::from_secs(later);
            assert_eq!(meta.find("example.org", at).await.len(), 1);
        }
        assert_eq!(asked(), 2);
        for later in [0, 599, 600] {
            let at = now + Duration::from_secs(later);
            assert_eq!(meta.find("other.example", at).await, []);
        }
        assert_eq!(asked(), 4);
    }
}
