//! The way to the web for hooks: one request, one answer; implemented by the HTTP room.

use std::future::Future;
use std::pin::Pin;

use super::http::{HttpBody, HttpContent};

/// A request. No redirect is followed.
#[derive(Debug)]
pub struct WebRequest {
    /// The method, such as "POST".
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Headers besides those of the connection and of the body's length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: HttpContent,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct WebAnswer {
    /// The status, such as 201.
    pub status: u16,
    /// The headers that are text, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, bounded.
    pub body: Vec<u8>,
}

impl WebAnswer {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct WebStream {
    /// The status, such as 200.
    pub status: u16,
    /// Its body.
    pub body: HttpBody,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// The address is no URL of an HTTPS server.
    #[error("not the address of an HTTPS server")]
    BadAddress,
    /// The name leads only to addresses that are not public (`web.private_addresses`).
    #[error("its address is not public")]
    NotPublic,
    /// It failed, in words.
    #[error("{0}")]
    Failed(String),
    /// No turn or no answer in time (`web.timeout`).
    #[error("no answer in time")]
    TimedOut,
}

/// The future of an answer.
pub type Fetched = Pin<Box<dyn Future<Output = Result<WebAnswer, WebError>> + Send>>;
/// The future of an answer that is read as it comes.
pub type Opened = Pin<Box<dyn Future<Output = Result<WebStream, WebError>> + Send>>;

/// The way to the web.
pub trait Web: Send + Sync {
    /// Asks a server that anybody may have named, when it is the request's turn: by `https`, at public addresses, with
    /// `web.timeout` for all of it.
    fn fetch(&self, request: WebRequest) -> Fetched;

    /// Asks a server that the administrator has named, so wherever it is; `http` is spoken on this machine alone. Bodies may
    /// be large: `web.timeout` is how long nothing may move. How many are asked at once is for the caller to bound.
    fn open(&self, request: WebRequest) -> Opened;
}
