//! Requests of web clients, for hooks: what a feature may claim, what it is given, and what it answers; carried by the HTTP room.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::proto::jid::Jid;

/// What is done with a resource. OPTIONS is answered by the HTTP room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET
    Get,
    /// HEAD: as GET, and nothing of the body is sent. Who claims GET is given it too.
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl HttpMethod {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Delete => "DELETE",
        }
    }
}

/// What a feature claims: a method at a path and at everything below it. The longest path that fits is asked, and no other.
#[derive(Debug, Clone)]
pub struct HttpRoute {
    /// The method.
    pub method: HttpMethod,
    /// The path, such as `/upload`, with no slash at its end.
    pub path: String,
    /// Bytes of a request's body at most; none unless [`HttpRoute::body`] says more.
    pub body: u64,
    /// Whether scripts of any web page may ask, and with which headers of their own (CORS); never with cookies.
    pub cors: Option<&'static [&'static str]>,
}

impl HttpRoute {
    /// A method at a path.
    pub fn new(method: HttpMethod, path: impl Into<String>) -> Self {
        HttpRoute {
            method,
            path: path.into(),
            body: 0,
            cors: None,
        }
    }

    /// Takes bodies of so many bytes.
    pub fn body(mut self, bytes: u64) -> Self {
        self.body = bytes;
        self
    }

    /// Scripts of any web page may ask, and send these headers besides those that are always allowed.
    pub fn cors(mut self, headers: &'static [&'static str]) -> Self {
        self.cors = Some(headers);
        self
    }

    /// What of a decoded path lies below this one, if it does.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// A request.
pub struct HttpRequest {
    /// What is to be done: what was claimed, or HEAD where that is GET.
    pub method: HttpMethod,
    /// The decoded path below the one that was claimed: empty, or from its slash on. There are no `.` and `..` in it, no
    /// empty names, no control characters, and no slash that was written as `%2F`.
    pub rest: String,
    /// What follows the question mark, as it was written.
    pub query: Option<String>,
    /// The headers.
    pub headers: HttpHeaders,
    /// The host that was asked.
    pub host: Jid,
    /// Whose request it is, as far as trusted proxies tell.
    pub peer: IpAddr,
    /// The body.
    pub body: HttpBody,
}

/// The headers of a request that are text, in their order, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct HttpHeaders(pub Vec<(String, String)>);

impl HttpHeaders {
    /// The first header of this name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The body of a request, as it comes. Nothing is read that is not asked for.
pub struct HttpBody {
    length: Option<u64>,
    source: Box<dyn HttpSource>,
}

/// Where a body comes from.
pub trait HttpSource: Send {
    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, HttpBodyError>>>;
}

/// Why a body does not come whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpBodyError {
    /// It is longer than what was claimed.
    #[error("larger than allowed")]
    TooLarge,
    /// It comes too slowly (`http.body_timeout`).
    #[error("too slow")]
    TooSlow,
    /// The connection is lost, or what came is no body.
    #[error("cut off")]
    CutOff,
}

impl std::fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpBody({:?})", self.length)
    }
}

impl HttpBody {
    /// A body, of this length if it was announced.
    pub fn new(length: Option<u64>, source: Box<dyn HttpSource>) -> Self {
        HttpBody { length, source }
    }

    /// How long it is, if the request says so; it is never longer than that, and whole only if it is as long.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece, never empty; `None` once it is whole.
    ///
    /// # Errors
    /// It will not come whole.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpBodyError> {
        poll_fn(|cx| self.source.poll_piece(cx)).await.transpose()
    }

    /// The same, for who polls.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, HttpBodyError>>> {
        self.source.poll_piece(cx)
    }

    /// All of it in memory: for routes whose bodies are small.
    ///
    /// # Errors
    /// It does not come whole.
    pub async fn whole(mut self) -> Result<Vec<u8>, HttpBodyError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// An answer.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status, such as 200.
    pub status: u16,
    /// Headers besides those of the connection, of the body's length and of CORS.
    pub headers: Vec<(&'static str, String)>,
    /// The body. To HEAD only its length is sent.
    pub content: HttpContent,
}

/// A body that is sent.
#[derive(Debug)]
pub enum HttpContent {
    /// None.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes of a file, from where it stands.
    File(File, u64),
    /// So many bytes that come from elsewhere.
    Pieces(HttpBody, u64),
}

impl From<Vec<u8>> for HttpContent {
    fn from(bytes: Vec<u8>) -> HttpContent {
        HttpContent::Bytes(bytes.into())
    }
}

impl HttpContent {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            HttpContent::Empty => 0,
            HttpContent::Bytes(bytes) => bytes.len() as u64,
            HttpContent::File(_, length) | HttpContent::Pieces(_, length) => *length,
        }
    }
}

impl HttpResponse {
    /// A status alone.
    pub fn new(status: u16) -> Self {
        HttpResponse {
            status,
            headers: Vec::new(),
            content: HttpContent::Empty,
        }
    }

    /// A status and a line of text for people.
    pub fn text(status: u16, text: &str) -> Self {
        HttpResponse::new(status)
            .with_header("content-type", "text/plain; charset=utf-8")
            .with_content(HttpContent::Bytes(Bytes::from(format!("{text}\n"))))
    }

    /// With a header, its name in lower case.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    pub fn with_content(mut self, content: HttpContent) -> Self {
        self.content = content;
        self
    }
}

/// The future of an answer.
pub type HttpAnswer = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;

/// Who answers.
pub type HttpHandler = Arc<dyn Fn(HttpRequest) -> HttpAnswer + Send + Sync>;

/// What is claimed of a host's paths.
#[derive(Default)]
pub struct HttpRoutes(Vec<(HttpRoute, HttpHandler)>);

impl HttpRoutes {
    /// Adds a route; whether nobody had claimed it.
    pub(super) fn claim(&mut self, route: HttpRoute, handler: HttpHandler) -> bool {
        let same = |(other, _): &(HttpRoute, HttpHandler)| {
            other.path == route.path && other.method == route.method
        };
        let free = !self.0.iter().any(same);
        self.0.push((route, handler));
        free
    }

    /// What is claimed for a decoded path.
    pub fn at<'r>(&'r self, path: &'r str) -> HttpClaims<'r> {
        let mut routes: Vec<_> = self
            .0
            .iter()
            .filter_map(|(route, handler)| Some((route, handler, route.below(path)?)))
            .collect();
        let longest = routes.iter().map(|(route, ..)| route.path.len()).max();
        routes.retain(|(route, ..)| Some(route.path.len()) == longest);
        HttpClaims(routes)
    }
}

/// The routes of one path, a method each.
pub struct HttpClaims<'r>(Vec<(&'r HttpRoute, &'r HttpHandler, &'r str)>);

impl<'r> HttpClaims<'r> {
    /// Whether nobody claims the path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The methods that are claimed, HEAD with GET.
    pub fn methods(&self) -> Vec<HttpMethod> {
        let mut methods: Vec<_> = self.0.iter().map(|(route, ..)| route.method).collect();
        if methods.contains(&HttpMethod::Get) {
            methods.push(HttpMethod::Head);
        }
        methods
    }

    /// The headers that scripts of any web page may send, if they may ask.
    pub fn cors(&self) -> Option<Vec<&'static str>> {
        let headers = self.0.iter().filter_map(|(route, ..)| route.cors);
        headers.fold(None, |all, headers| {
            let mut all: Vec<_> = all.unwrap_or_default();
            all.extend(headers);
            Some(all)
        })
    }

    /// Who answers this method, and what of the path lies below the route.
    pub fn route(&self, method: HttpMethod) -> Option<(&'r HttpRoute, &'r HttpHandler, &'r str)> {
        let claimed = match method {
            HttpMethod::Head => HttpMethod::Get,
            other => other,
        };
        let mut routes = self.0.iter();
        routes.find(|(route, ..)| route.method == claimed).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn routes(claims: &[(HttpMethod, &str)]) -> HttpRoutes {
        let mut routes = HttpRoutes::default();
        for (method, path) in claims {
            let handler: HttpHandler =
                Arc::new(|_| Box::pin(std::future::ready(HttpResponse::new(204))));
            assert!(routes.claim(HttpRoute::new(*method, *path), handler));
        }
        routes
    }

    #[test]
    fn the_longest_path_is_asked_and_names_are_whole() {
        let routes = routes(&[
            (HttpMethod::Get, "/files"),
            (HttpMethod::Put, "/files"),
            (HttpMethod::Get, "/files/public"),
        ]);
        let rest = |path, method| {
            let claims = routes.at(path);
            claims
                .route(method)
                .map(|(route, _, rest)| format!("{} {rest}", route.path))
        };
        assert_eq!(rest("/files", HttpMethod::Get).unwrap(), "/files ");
        assert_eq!(rest("/files/a/b", HttpMethod::Put).unwrap(), "/files /a/b");
        assert_eq!(
            rest("/files/public/x", HttpMethod::Head).unwrap(),
            "/files/public /x"
        );
        assert_eq!(rest("/files/public/x", HttpMethod::Put), None);
        assert!(routes.at("/filesystem").is_empty());
        assert!(routes.at("/").is_empty());
    }

    #[test]
    fn nobody_claims_what_is_claimed() {
        let mut routes = routes(&[(HttpMethod::Get, "/a")]);
        let handler: HttpHandler =
            Arc::new(|_| Box::pin(std::future::ready(HttpResponse::new(204))));
        assert!(routes.claim(HttpRoute::new(HttpMethod::Put, "/a"), handler.clone()));
        assert!(!routes.claim(HttpRoute::new(HttpMethod::Get, "/a"), handler));
    }
}
