//! A push service of the web (RFC 8030) and the client behind it (RFC 8291, RFC 8292).

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;
use ring::{hkdf, signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use waxwing::net::tls::self_signed;

/// A request that came.
pub struct Posted {
    /// Its path.
    pub path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// What is answered to the next requests: a status, and a `Retry-After`.
type Answers = Arc<Mutex<VecDeque<(u16, Option<&'static str>)>>>;

/// The service.
pub struct Endpoint {
    /// Where it is.
    pub origin: String,
    /// The file with its certificate.
    pub authority: PathBuf,
    answers: Answers,
    posted: mpsc::UnboundedReceiver<Posted>,
}

impl Endpoint {
    /// Starts one, with a certificate of its own in `folder`.
    pub async fn start(folder: &Path) -> Endpoint {
        let made = self_signed(folder, "localhost").unwrap().source;
        let chain = vec![CertificateDer::from_pem_file(&made.chain).unwrap()];
        let key = PrivateKeyDer::from_pem_file(made.key.unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, posted) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let serving = serve(listener, Arc::new(config).into(), answers.clone(), sender);
        tokio::spawn(serving);
        Endpoint {
            origin: format!("https://127.0.0.1:{port}"),
            authority: made.chain,
            answers,
            posted,
        }
    }

    /// Answers the next requests so, and those after them with 201.
    pub fn will_answer(&self, answers: &[(u16, Option<&'static str>)]) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// The next request.
    pub async fn posted(&mut self) -> Posted {
        let next = tokio::time::timeout(Duration::from_secs(10), self.posted.recv());
        next.await.expect("nothing was posted").unwrap()
    }

    /// Nothing is posted for a while.
    pub async fn nothing(&mut self) {
        let next = tokio::time::timeout(super::QUIET, self.posted.recv()).await;
        assert!(next.is_err(), "something was posted");
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    answers: Answers,
    posted: mpsc::UnboundedSender<Posted>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, answers, posted) = (tls.clone(), answers.clone(), posted.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else {
                return;
            };
            let service = service_fn(move |request| take(request, answers.clone(), posted.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    answers: Answers,
    posted: mpsc::UnboundedSender<Posted>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    assert_eq!(request.method(), "POST");
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap().to_owned();
        (name.as_str().to_owned(), value)
    });
    let got = Posted {
        path: head.uri.path().to_owned(),
        headers: headers.collect(),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    };
    let _ = posted.send(got);
    let (status, after) = answers.lock().unwrap().pop_front().unwrap_or((201, None));
    let mut answer = Response::builder().status(status);
    if let Some(after) = after {
        answer = answer.header("retry-after", after);
    }
    Ok(answer.body(Empty::new()).unwrap())
}

impl Posted {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// What was signed, if it was with this key (RFC 8292 §2, §3.1).
    pub fn claims(&self, server_key: &str) -> serde_json::Value {
        let authorization = self.header("authorization").unwrap();
        let rest = authorization.strip_prefix("vapid t=").unwrap();
        let (token, key) = rest.split_once(",k=").unwrap();
        assert_eq!(key, server_key);
        let (signed, mark) = token.rsplit_once('.').unwrap();
        let key = BASE64.decode(key).unwrap();
        let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key);
        key.verify(signed.as_bytes(), &BASE64.decode(mark).unwrap())
            .unwrap();
        let claims = BASE64.decode(signed.split_once('.').unwrap().1);
        serde_json::from_slice(&claims.unwrap()).unwrap()
    }
}

/// The keys of a client; the private one reads one message.
pub struct Keys {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
    auth: [u8; 16],
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    /// New ones.
    pub fn new() -> Keys {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        Keys {
            public: private.compute_public_key().unwrap().as_ref().to_vec(),
            private,
            auth: waxwing::runtime::random::bytes(),
        }
    }

    /// The public key and the secret, as they are registered.
    pub fn told(&self) -> (String, String) {
        (BASE64.encode(&self.public), BASE64.encode(self.auth))
    }

    /// Reads a message (RFC 8291 §3, §4; RFC 8188 §2).
    pub fn read(self, posted: &Posted) -> serde_json::Value {
        assert_eq!(posted.header("content-encoding"), Some("aes128gcm"));
        assert!(posted.body.len() <= 4_096);
        let (salt, rest) = posted.body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!(u32::from_be_bytes(size.try_into().unwrap()), 4_096);
        let (sender, record) = rest[1..].split_at(usize::from(rest[0]));
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree_ephemeral(self.private, &peer, <[u8]>::to_vec).unwrap();
        let mut info = b"WebPush: info\0".to_vec();
        info.extend_from_slice(&self.public);
        info.extend_from_slice(sender);
        let input = derive(&self.auth, &shared, &info, 32);
        let key = derive(salt, &input, b"Content-Encoding: aes128gcm\0", 16);
        let nonce = derive(salt, &input, b"Content-Encoding: nonce\0", 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let mut record = record.to_vec();
        let padded = key.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let end = padded.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(padded[end], 2, "the last record");
        serde_json::from_slice(&padded[..end]).unwrap()
    }
}

fn derive(salt: &[u8], input: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(input);
    let mut output = vec![0; length];
    let info = [info];
    let expanded = extracted.expand(&info, Length(length)).unwrap();
    expanded.fill(&mut output).unwrap();
    output
}
