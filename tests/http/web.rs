//! A web client that says exactly what it is told to, and a server with features that answer it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use waxwing::hooks::{HttpContent, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Listed};

use crate::extensions::module;
use crate::support::client::Trust;
use crate::support::server::{Running, start_text_own};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub struct Web(Box<dyn Stream>, Vec<u8>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap().trim_end()
    }
}

impl Web {
    /// Without TLS.
    pub async fn plain(address: SocketAddr) -> Web {
        Web(
            Box::new(TcpStream::connect(address).await.unwrap()),
            Vec::new(),
        )
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> Web {
        Web(Box::new(stream), Vec::new())
    }

    /// With TLS, and this ALPN protocol unless it is empty.
    pub async fn tls(server: &Running, address: SocketAddr, alpn: &str) -> std::io::Result<Web> {
        Web::trusting(&server.trust, address, alpn).await
    }

    /// The same, with a server that is known by other means.
    pub async fn trusting(trust: &Trust, address: SocketAddr, alpn: &str) -> std::io::Result<Web> {
        let socket = TcpStream::connect(address).await?;
        let connector = trust.connector(alpn).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, socket).await?;
        Ok(Web(Box::new(stream), Vec::new()))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The same; whether the server still takes it.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        let sent = timeout(PATIENCE, self.0.write_all(bytes)).await;
        sent.is_ok_and(|sent| sent.is_ok()) && self.0.flush().await.is_ok()
    }

    /// What it goes over.
    pub fn into_stream(self) -> Box<dyn Stream> {
        self.0
    }

    /// A request without a body, and its answer.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        self.send(head + "\r\n").await;
        self.answer(method == "HEAD").await.expect("no answer")
    }

    /// The next answer; `None` if the connection ends before.
    pub async fn answer(&mut self, head_only: bool) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.1.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.1.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let mut answer = Answer {
            status,
            headers: lines.map(pair).collect(),
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while !head_only && answer.body.len() < length {
            if self.1.is_empty() && !self.more().await {
                return None;
            }
            let rest = (length - answer.body.len()).min(self.1.len());
            answer.body.extend(self.1.drain(..rest));
        }
        Some(answer)
    }

    /// Whether the server has closed the connection, without another word.
    pub async fn is_over(&mut self) -> bool {
        self.1.is_empty() && !self.more().await
    }

    /// What comes until the server closes the connection.
    pub async fn rest(&mut self) -> String {
        String::from_utf8_lossy(&self.rest_bytes().await).into_owned()
    }

    /// The same, as bytes.
    pub async fn rest_bytes(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.1)
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = timeout(PATIENCE, self.0.read(&mut piece)).await;
        let length = read.expect("it stays silent and open").unwrap_or(0);
        self.1.extend_from_slice(&piece[..length]);
        length > 0
    }
}

module!(Features, "features", |_deps, r| {
    r.http(
        HttpRoute::new(HttpMethod::Get, "/echo"),
        |request| async move { echo(&request) },
    );
    let sink = HttpRoute::new(HttpMethod::Put, "/sink")
        .body(100_000)
        .cors(&["x-name"]);
    r.http(sink, |mut request: HttpRequest| async move {
        let mut count = 0;
        loop {
            match request.body.piece().await {
                Ok(Some(piece)) => count += piece.len(),
                Ok(None) => return HttpResponse::text(201, &format!("{count} bytes")),
                Err(error) => return HttpResponse::text(400, &error.to_string()),
            }
        }
    });
    r.http(
        HttpRoute::new(HttpMethod::Get, "/file").cors(&[]),
        |_| async { file(300_000, 300_000) },
    );
    r.http(HttpRoute::new(HttpMethod::Get, "/file/cut"), |_| async {
        file(10, 20)
    });
    r.http(HttpRoute::new(HttpMethod::Get, "/odd"), |_| async {
        HttpResponse::new(200).with_header("x-odd", "one\r\nset-cookie: two")
    });
});

fn echo(request: &HttpRequest) -> HttpResponse {
    let agent = request.headers.get("user-agent").unwrap_or("-");
    let query = request.query.as_deref().unwrap_or("-");
    let (rest, host, peer) = (&request.rest, &request.host, request.peer);
    HttpResponse::text(200, &format!("{rest} {query} {host} {peer} {agent}"))
}

/// A file of so many bytes of which so many are promised.
fn file(length: usize, promised: u64) -> HttpResponse {
    let file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    file.write_all_at(&bytes, 0).unwrap();
    HttpResponse::new(200).with_content(HttpContent::File(file, promised))
}

pub const FEATURES: &[Listed] = &[Listed::of::<Features>()];

/// A server with these features; `text` follows the sections of a host and of three listeners: for clients, for web
/// clients with TLS, for web clients without.
pub async fn server(text: &str) -> Running {
    server_at("", text).await
}

/// The same, where web clients reach the host at this address unless it is empty.
pub async fn server_at(url: &str, text: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = match url {
        "" => String::new(),
        url => format!("url = {url:?}\n"),
    };
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[hosts.localhost]\n{url}[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nkind = \"http\"\naddress = \"127.0.0.2:0\"\n\
         [[listen]]\nkind = \"http\"\naddress = \"127.0.0.3:0\"\ntls = \"none\"\n{text}"
    );
    start_text_own(folder, &text, "localhost", FEATURES)
        .await
        .unwrap()
}

/// Where web clients connect without TLS.
pub fn without_tls(server: &Running) -> SocketAddr {
    server.own().http_addresses()[1]
}

/// Where they connect with TLS, and nobody else.
pub fn with_tls(server: &Running) -> SocketAddr {
    server.own().http_addresses()[0]
}
