//! `GET /metrics`: every figure of the server; `/healthz` and `/readyz`: whether it lives, and whether it takes work. Nothing can
//! be changed through it, and it names nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::metrics::Registry;
use crate::net::{ListenError, bind};

/// Connections at once; who comes beyond waits.
const CONNECTIONS: usize = 8;
/// Time for a request to come, and for a connection in all.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(120);

/// Whether the server takes work; if not, why.
pub type Readiness = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// A listener for collectors, at work until dropped.
pub struct Exposition {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Serves `registry` on `address`, and what `ready` says. Call it on the runtime.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve_metrics(
    address: SocketAddr,
    registry: Registry,
    ready: Readiness,
) -> Result<Exposition, ListenError> {
    let listener = bind(&[address])?.pop();
    let address = listener
        .as_ref()
        .and_then(|l| l.local_addr().ok())
        .unwrap_or(address);
    let task = tokio::spawn(async move {
        if let Some(listener) = listener {
            accept(listener, registry, ready).await;
        }
    });
    Ok(Exposition { address, task })
}

impl Exposition {
    /// Where it listens; with port 0 configured, the port the system gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, registry: Registry, ready: Readiness) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(seat) = seats.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (registry, ready) = (registry.clone(), ready.clone());
                tokio::spawn(async move {
                    let _seat = seat;
                    let _ = tokio::time::timeout(LONGEST, converse(stream, registry, ready)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the metrics listener cannot accept; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, registry: Registry, ready: Readiness) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &registry, &ready);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a metrics connection ended");
    }
}

fn answer(
    request: &Request<Incoming>,
    registry: &Registry,
    ready: &Readiness,
) -> Response<Full<Bytes>> {
    let asks = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let (status, text) = match (request.uri().path(), asks) {
        ("/metrics", true) => (StatusCode::OK, registry.samples().render()),
        // Who answers lives.
        ("/healthz", true) => (StatusCode::OK, "ok\n".to_owned()),
        ("/readyz", true) => match ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        ("/metrics" | "/healthz" | "/readyz", false) => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned())
        }
        _ => (
            StatusCode::NOT_FOUND,
            "there are only /metrics, /healthz and /readyz here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_takes_no_work_is_not_ready_and_lives() {
        let ready: Readiness = Arc::new(|| Err("the store takes no changes"));
        let listen = ([127, 0, 0, 1], 0).into();
        let exposition = serve_metrics(listen, Registry::default(), ready).unwrap();
        for (path, status, text) in [
            ("/healthz", "200", "ok"),
            ("/readyz", "503", "the store takes no changes"),
        ] {
            let mut stream = TcpStream::connect(exposition.address()).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert!(answer.ends_with(&format!("\r\n\r\n{text}\n")), "{answer}");
        }
    }
}
