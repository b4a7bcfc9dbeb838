//! Requests to servers of the web: HTTP/1.1, each on a connection of its own, bounded in time, number and size.

mod large;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::content::Content;
use crate::hooks::web::{Fetched, Opened};
use crate::hooks::{HttpContent, Web, WebAnswer, WebError, WebRequest};
use crate::net::dial;
use crate::net::tls::Trust;
use crate::runtime::public::is_public;

/// Bytes of an answer's body that are read.
const BODY: usize = 4 * 1024;
/// Bytes of an answer's head that are read.
const HEAD: usize = 16 * 1024;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// How a client works.
pub struct ClientOptions {
    /// PEM files with the certificates of authorities that are believed; read when first needed.
    pub authorities: Vec<PathBuf>,
    /// Which addresses are reached although they are not public.
    pub private: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Time for a request as a whole.
    pub timeout: Duration,
    /// Requests at once.
    pub connections: usize,
}

/// Sends requests to servers of the web.
pub struct Client(Arc<Inner>);

struct Inner {
    options: ClientOptions,
    seats: Semaphore,
    tls: OnceCell<TlsConnector>,
}

impl Client {
    /// A client; nothing is opened yet.
    pub fn new(options: ClientOptions) -> Client {
        let seats = Semaphore::new(options.connections);
        Client(Arc::new(Inner {
            options,
            seats,
            tls: OnceCell::new(),
        }))
    }
}

impl Web for Client {
    fn fetch(&self, request: WebRequest) -> Fetched {
        let inner = self.0.clone();
        Box::pin(async move {
            tokio::time::timeout(inner.options.timeout, inner.exchange(request))
                .await
                .unwrap_or(Err(WebError::TimedOut))
        })
    }

    fn open(&self, request: WebRequest) -> Opened {
        let inner = self.0.clone();
        Box::pin(async move { inner.stream(request).await })
    }
}

/// A connection's own task, gone with the request.
struct Driving(JoinHandle<()>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whom a request may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What is public.
    Public,
    /// Whatever the administrator names.
    Named,
}

impl Inner {
    async fn exchange(&self, mut request: WebRequest) -> Result<WebAnswer, WebError> {
        let _seat = self.seats.acquire().await.map_err(|e| failed(&e))?;
        let uri: Uri = request.url.parse().map_err(|_| WebError::BadAddress)?;
        let body = std::mem::replace(&mut request.body, HttpContent::Empty);
        let written = written(&uri, request, body.length(), Content::from(body))?;
        let (mut sender, _driving) = self.connect(&uri, Reach::Public).await?;
        let response = sender.send_request(written).await.map_err(|e| failed(&e))?;
        Ok(read(response).await)
    }

    /// A connection for one request to where an address leads.
    async fn connect<B>(
        &self,
        uri: &Uri,
        reach: Reach,
    ) -> Result<(SendRequest<B>, Driving), WebError>
    where
        B: Body<Data = Bytes, Error = std::io::Error> + Send + 'static,
    {
        let (host, port, tls) = place(uri, reach)?;
        let addresses = self.addresses(host, port, reach).await?;
        if !tls && !addresses.iter().all(|at| at.ip().is_loopback()) {
            return Err(WebError::BadAddress);
        }
        let (stream, _) = dial(&addresses, self.options.timeout)
            .await
            .map_err(|e| failed(&e))?;
        if !tls {
            return spoken(stream).await;
        }
        spoken(self.secured(host, stream).await?).await
    }

    async fn secured(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, WebError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| WebError::BadAddress)?;
        let connector = self.tls.get_or_try_init(|| self.connector()).await?;
        let secured = connector.connect(name, stream).await;
        secured.map_err(|e| failed(&e))
    }

    /// Where a name leads, without what is not public. What is connected to is what was looked at.
    async fn addresses(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<Vec<SocketAddr>, WebError> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => tokio::net::lookup_host((host, port))
                .await
                .map_err(|e| failed(&e))?
                .collect(),
        };
        let any = !found.is_empty();
        let open = |at: &SocketAddr| {
            let ip = at.ip().to_canonical();
            reach == Reach::Named || is_public(ip) || (self.options.private)(ip)
        };
        let found: Vec<_> = found.into_iter().filter(open).take(ADDRESSES).collect();
        match found.is_empty() {
            true if any => Err(WebError::NotPublic),
            true => Err(WebError::Failed("the name has no address".to_owned())),
            false => Ok(found),
        }
    }

    async fn connector(&self) -> Result<TlsConnector, WebError> {
        let files = self.options.authorities.clone();
        let trust = tokio::task::spawn_blocking(move || Trust::load(&files))
            .await
            .map_err(|e| failed(&e))?
            .map_err(|error| {
                tracing::error!(%error, "nothing on the web is believed; see web.authorities");
                failed(&error)
            })?;
        let config = trust.web().map_err(|e| failed(&e))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// HTTP on a connection.
async fn spoken<S, B>(stream: S) -> Result<(SendRequest<B>, Driving), WebError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error = std::io::Error> + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let driving = Driving(tokio::spawn(async move {
        let _ = connection.await;
    }));
    Ok((sender, driving))
}

/// Host, without the brackets of an IPv6 address, and port of an address that may be asked, and whether by TLS.
fn place(uri: &Uri, reach: Reach) -> Result<(&str, u16, bool), WebError> {
    let authority = uri.authority().ok_or(WebError::BadAddress)?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if reach == Reach::Named => false,
        _ => return Err(WebError::BadAddress),
    };
    if authority.as_str().contains('@') {
        return Err(WebError::BadAddress);
    }
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Ok((host, port, tls))
}

fn written<B>(
    uri: &Uri,
    request: WebRequest,
    length: u64,
    body: B,
) -> Result<Request<B>, WebError> {
    let bad = |_| WebError::BadAddress;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut written = Request::new(body);
    *written.method_mut() =
        Method::from_bytes(request.method.as_bytes()).map_err(|e| failed(&e))?;
    *written.uri_mut() = path.parse().map_err(|_| WebError::BadAddress)?;
    let headers = written.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(bad)?);
    let agent = concat!("waxwing/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in request.headers {
        let value = HeaderValue::from_str(&value).map_err(|e| failed(&e))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(written)
}

async fn read(response: Response<Incoming>) -> WebAnswer {
    let (head, mut body) = response.into_parts();
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let mut answer = WebAnswer {
        status: head.status.as_u16(),
        headers: head.headers.iter().filter_map(text).collect(),
        body: Vec::new(),
    };
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { break };
        let room = BODY.saturating_sub(answer.body.len());
        answer.body.extend(data.iter().take(room));
        if data.len() >= room {
            break;
        }
    }
    answer
}

fn failed(error: &dyn std::fmt::Display) -> WebError {
    WebError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn client(private: bool) -> Client {
        Client::new(ClientOptions {
            authorities: Vec::new(),
            private: Box::new(move |_| private),
            timeout: Duration::from_secs(5),
            connections: 1,
        })
    }

    async fn fetch(client: &Client, url: &str) -> WebError {
        let request = WebRequest {
            method: "POST",
            url: url.to_owned(),
            headers: Vec::new(),
            body: HttpContent::Empty,
        };
        client.fetch(request).await.unwrap_err()
    }

    #[tokio::test]
    async fn only_https_to_the_public() {
        let client = client(false);
        for url in [
            "http://192.0.2.1/x",
            "ftp://example.org/",
            "/x",
            "",
            "https://user@example.org/",
            "https:///x",
        ] {
            assert_eq!(fetch(&client, url).await, WebError::BadAddress, "{url}");
        }
        for url in [
            "https://127.0.0.1:9/x",
            "https://localhost:9/x",
            "https://[::1]:9/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(fetch(&client, url).await, WebError::NotPublic, "{url}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_reached_if_it_may_be() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let error = fetch(&client(true), &format!("https://{address}/")).await;
        assert!(matches!(error, WebError::Failed(why) if why.contains("refused")));
    }

    #[tokio::test]
    async fn who_is_named_by_the_administrator_is_reached_on_this_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = socket.read(&mut asked).await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked[..length].to_vec()).unwrap()
        });
        let request = |url: &str| WebRequest {
            method: "PUT",
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::from("0123").into(),
        };
        let client = client(false);
        let mut answer = client.open(request(&url)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body.piece().await.unwrap().unwrap(), "abc");
        assert_eq!(answer.body.piece().await.unwrap(), None);
        let asked = answering.await.unwrap();
        assert!(asked.starts_with("PUT /x HTTP/1.1\r\n") && asked.contains("content-length: 4"));
        // In clear text nothing leaves this machine.
        let far = client
            .open(request("http://192.0.2.1/x"))
            .await
            .unwrap_err();
        assert_eq!(far, WebError::BadAddress);
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = WebRequest {
            method: "GET",
            url: format!("http://{}/x", listener.local_addr().unwrap()),
            headers: Vec::new(),
            body: HttpContent::Empty,
        };
        let client = Client::new(ClientOptions {
            authorities: Vec::new(),
            private: Box::new(|_| false),
            timeout: Duration::from_millis(50),
            connections: 1,
        });
        let error = client.open(request).await.unwrap_err();
        assert_eq!(error, WebError::TimedOut);
    }
}
