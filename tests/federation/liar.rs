//! A server that says what a test wants it to say: lies, nonsense, too much, or nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::{TlsAcceptor, TlsStream};
use waxwing::proto::ns;

use super::world::free_address;
use crate::support::process::{HOST, Process};

const PATIENCE: Duration = Duration::from_secs(20);

/// A domain, and where others find its server.
pub struct Liar {
    pub domain: &'static str,
    pub address: SocketAddr,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Liar {
    pub async fn listen(domain: &'static str) -> Liar {
        let address = free_address();
        let made = rcgen::generate_simple_self_signed(vec![domain.to_owned()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Liar {
            domain,
            address,
            listener: TcpListener::bind(address).await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// The next that calls it.
    pub async fn accept(&self) -> Talk {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        Talk::new(accepted.expect("nobody calls").unwrap().0)
    }

    /// How many call it within a time; they are not answered.
    pub async fn silent_calls(&self, within: Duration) -> usize {
        let mut calls = Vec::new();
        let until = tokio::time::Instant::now() + within;
        while let Ok(call) = tokio::time::timeout_at(until, self.listener.accept()).await {
            calls.push(call.unwrap());
        }
        calls.len()
    }

    /// Takes a call as far as the features after TLS, which are these.
    pub async fn answer(&self, features: &str) -> Talk {
        let mut talk = self.accept().await;
        talk.hears("<stream:stream").await;
        let starttls = format!("<starttls xmlns='{}'/>", ns::TLS);
        talk.says(&self.opening(&starttls)).await;
        talk.hears("<starttls").await;
        talk.says(&format!("<proceed xmlns='{}'/>", ns::TLS)).await;
        let Io::Plain(socket) = std::mem::replace(&mut talk.io, Io::Over) else {
            panic!("TLS within TLS");
        };
        let stream = self.acceptor.accept(socket).await.unwrap();
        talk.io = Io::Tls(Box::new(stream.into()));
        talk.heard.clear();
        talk.hears("<stream:stream").await;
        talk.says(&self.opening(features)).await;
        talk
    }

    fn opening(&self, features: &str) -> String {
        format!(
            "{}<stream:features>{features}</stream:features>",
            self.header(HOST, " id='of-the-liar'")
        )
    }

    fn header(&self, to: &str, more: &str) -> String {
        format!(
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='{}' to='{to}'{more}>",
            self.domain
        )
    }

    /// Takes a call that asks about a key, and says this of it.
    pub async fn judges(&self, verdict: &str) {
        let mut talk = self.answer("").await;
        let asked = talk.hears("verify>").await;
        let id = attribute(&asked, "id");
        talk.says(&format!(
            "<db:verify from='{}' to='{HOST}' id='{id}' type='{verdict}'/>",
            self.domain
        ))
        .await;
    }

    /// Opens a stream as far as the features after TLS. Nothing is proved.
    pub async fn call(&self, server: &Process, at: SocketAddr) -> Talk {
        let mut talk = Talk::new(TcpStream::connect(at).await.unwrap());
        talk.says(&self.header(HOST, "")).await;
        talk.hears("</stream:features>").await;
        talk.says(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
        talk.hears("<proceed").await;
        let Io::Plain(socket) = std::mem::replace(&mut talk.io, Io::Over) else {
            panic!("TLS within TLS");
        };
        let connector = server.trust().connector("xmpp-server").unwrap();
        let stream = connector.connect(HOST.try_into().unwrap(), socket).await;
        talk.io = Io::Tls(Box::new(stream.unwrap().into()));
        talk.heard.clear();
        talk.says(&self.header(HOST, "")).await;
        talk.hears("</stream:features>").await;
        talk
    }

    /// The key that it gives for a domain.
    pub fn key(domain: &str) -> String {
        format!("<db:result from='{domain}' to='{HOST}'>a key</db:result>")
    }

    /// Opens a stream and proves its own domain.
    pub async fn prove(&self, server: &Process, at: SocketAddr) -> Talk {
        let mut talk = self.call(server, at).await;
        talk.says(&Liar::key(self.domain)).await;
        self.judges("valid").await;
        talk.hears("type='valid'").await;
        talk
    }
}

/// The value of an attribute, the last one of that name.
pub fn attribute(text: &str, name: &str) -> String {
    let (_, rest) = text.rsplit_once(&format!(" {name}='")).unwrap();
    rest.split('\'').next().unwrap().to_owned()
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Over,
}

/// One connection, as text.
pub struct Talk {
    io: Io,
    heard: String,
}

impl Talk {
    fn new(socket: TcpStream) -> Talk {
        Talk {
            io: Io::Plain(socket),
            heard: String::new(),
        }
    }

    pub async fn says(&mut self, text: &str) {
        self.tries_to_say(text.as_bytes()).await.unwrap();
    }

    /// Says it as far as the other side takes it.
    pub async fn tries_to_say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.io {
            Io::Plain(socket) => socket.write_all(bytes).await,
            Io::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Io::Over => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads until this was heard; returns all up to it.
    pub async fn hears(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(what) {
                let rest = self.heard.split_off(at + what.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            let more = timeout(PATIENCE, self.read()).await;
            match more {
                Ok(true) => {}
                ended => panic!("{what} expected ({ended:?}), heard: {}", self.heard),
            }
        }
    }

    /// Everything until the other side ends the connection.
    pub async fn hears_the_end(&mut self) -> String {
        while timeout(PATIENCE, self.read()).await.expect("it goes on") {}
        std::mem::take(&mut self.heard)
    }

    async fn read(&mut self) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        let read = match &mut self.io {
            Io::Plain(socket) => socket.read(&mut buffer).await,
            Io::Tls(stream) => stream.read(&mut buffer).await,
            Io::Over => Ok(0),
        };
        let read = read.unwrap_or(0);
        self.heard += &String::from_utf8_lossy(&buffer[..read]);
        read > 0
    }
}
