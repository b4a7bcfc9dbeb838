//! What stands in for an object store (S3): it keeps objects in memory, and signatures are not its business.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The store.
#[derive(Clone, Default)]
pub struct ObjectStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// What it answers instead of doing anything.
    refuses: Option<u16>,
}

impl ObjectStore {
    /// Starts one.
    pub async fn start() -> (ObjectStore, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = ObjectStore::default();
        tokio::spawn(serve(listener, store.clone()));
        (store, address)
    }

    /// The names of the objects.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().objects.keys().cloned().collect()
    }

    /// From now on it answers everything so, or does what it is asked.
    pub fn refuse(&self, status: Option<u16>) {
        self.0.lock().unwrap().refuses = status;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let query = head.uri.query().unwrap_or_default();
        assert!(query.contains("X-Amz-Signature="), "it is not signed");
        let path = head.uri.path().strip_prefix("/files/").unwrap().to_owned();
        let range = head
            .headers
            .get("range")
            .map(|range| range.to_str().unwrap());
        let mut state = self.0.lock().unwrap();
        let (status, body) = match (state.refuses, head.method) {
            (Some(status), _) => (status, b"<Error><Code>SlowDown</Code></Error>".to_vec()),
            (None, Method::PUT) => {
                state.objects.insert(path, body);
                (200, Vec::new())
            }
            (None, Method::DELETE) => {
                state.objects.remove(&path);
                (204, Vec::new())
            }
            (None, _) => match (state.objects.get(&path), range) {
                (Some(object), Some(range)) => (206, part(object, range)),
                (Some(object), None) => (200, object.clone()),
                (None, _) => (404, Vec::new()),
            },
        };
        let response = Response::builder().status(status);
        Ok(response.body(Full::new(Bytes::from(body))).unwrap())
    }
}

fn part(object: &[u8], range: &str) -> Vec<u8> {
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    object[first.parse().unwrap()..=last.parse().unwrap()].to_vec()
}

async fn serve(listener: TcpListener, store: ObjectStore) {
    while let Ok((socket, _)) = listener.accept().await {
        let store = store.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| store.clone().answer(request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
