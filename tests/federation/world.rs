//! A test authority, certificates, and servers that find each other without DNS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use waxwing::hooks::Listed;
use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::{El, Element};

use crate::support::client::Client;
use crate::support::server::{Running, start_text, start_text_own};

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Test Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(
            folder.path().join("ca.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate with its key in one file.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        self.write(made.pem() + &key.serialize_pem())
    }

    /// A self-signed one.
    pub fn unknown(&self, name: &str) -> PathBuf {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        self.write(made.cert.pem() + &made.signing_key.serialize_pem())
    }

    fn write(&self, text: String) -> PathBuf {
        let name = waxwing::runtime::random::id();
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What a server is started with.
pub struct Site {
    pub domain: &'static str,
    /// Where other servers reach it.
    pub address: SocketAddr,
    pub certificate: PathBuf,
    /// Below `[federation]`.
    pub settings: String,
}

impl Site {
    pub fn new(authority: &Authority, domain: &'static str) -> Site {
        Site {
            domain,
            address: free_address(),
            certificate: authority.issue(domain, |_| {}),
            settings: String::new(),
        }
    }

    fn text(&self, data: &Path, authority: &Authority, peers: &[&Site]) -> String {
        let mut text = format!(
            "[server]\ndata_dir = {:?}\n[hosts.\"{}\"]\ncertificate = {:?}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [federation]\nenabled = true\nlisten = [\"{}\"]\nauthorities = [{:?}]\nretry = \"1s\"\nretry_max = \"1s\"\n{}\n",
            data.join("data"),
            self.domain,
            self.certificate,
            self.address,
            authority.file(),
            self.settings,
        );
        for peer in peers {
            text += &format!(
                "[[federation.peers]]\ndomain = \"{}\"\naddress = \"{}\"\nport = {}\n",
                peer.domain,
                peer.address.ip(),
                peer.address.port()
            );
        }
        text
    }

    pub async fn start(&self, authority: &Authority, peers: &[&Site]) -> Running {
        self.start_in(tempfile::tempdir().unwrap(), authority, peers)
            .await
    }

    /// With modules from outside the tree.
    pub async fn start_with(
        &self,
        authority: &Authority,
        peers: &[&Site],
        extra: &[Listed],
    ) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let text = self.text(folder.path(), authority, peers);
        start_text_own(folder, &text, self.domain, extra)
            .await
            .unwrap()
    }

    pub async fn start_in(
        &self,
        folder: TempDir,
        authority: &Authority,
        peers: &[&Site],
    ) -> Running {
        let text = self.text(folder.path(), authority, peers);
        start_text(folder, &text, self.domain).await.unwrap()
    }
}

/// An address of the loopback network that nobody else uses: the two servers must know each other's before they start.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = [
        127,
        64 | high & 63,
        low,
        NEXT.fetch_add(1, Ordering::Relaxed),
    ];
    let socket = std::net::TcpListener::bind(SocketAddr::from((ip, 0))).unwrap();
    socket.local_addr().unwrap()
}

/// A session, available, that has taken its own presence.
pub async fn online(server: &Running, jid: &Jid) -> Client {
    let mut client = server
        .client(jid)
        .resource("r")
        .connect(server.addr)
        .await
        .unwrap();
    client.presence().await.unwrap();
    client
        .wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    client
}

pub fn chat(to: &Jid, text: &str) -> Stanza {
    let body = Element::new("body", ns::CLIENT).with_text(text);
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_id(text)
        .with_child(body)
}

pub async fn next_message(client: &mut Client) -> Element {
    client
        .wait_for("a message", |el| el.is("message", ns::CLIENT))
        .await
        .unwrap()
}

pub fn body(message: &Element) -> String {
    let body = message.child("body", ns::CLIENT).map(El::text);
    body.unwrap_or_default().into_owned()
}

/// The text of the error in an error message.
pub fn error_text(message: &Element) -> String {
    assert_eq!(message.attr("type"), Some("error"), "{message:?}");
    let error = message.child("error", ns::CLIENT).unwrap();
    let text = error.child("text", ns::STANZA_ERRORS).map(El::text);
    text.unwrap_or_default().into_owned()
}
