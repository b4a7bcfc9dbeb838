//! One request: to whom it goes, and what comes of it.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response};

use super::body::{Limited, OpenRequest, Outgoing, Rest};
use super::seats::Full;
use super::{FrontOptions, Inner, ProxyHeader, answer, forwarded, path, websocket};
use crate::hooks::http::HttpClaims;
use crate::hooks::{HttpBody, HttpHeaders, HttpMethod, HttpRequest, HttpResponse};
use crate::net::Door;

/// Whose connection it is.
pub(super) struct From {
    pub(super) peer: IpAddr,
    pub(super) secure: bool,
    /// Where streams begin that requests carry.
    pub(super) door: Door,
    /// Requests that are being answered on it.
    pub(super) open: AtomicUsize,
    /// Those whose answer is being sent, and how often something of one was taken.
    pub(super) sending: AtomicUsize,
    pub(super) moved: AtomicUsize,
    /// What the connection is to become, once the answer is written.
    pub(super) becomes: Mutex<Option<Becomes>>,
}

/// A WebSocket on its way, and whose it is.
pub(super) struct Becomes {
    pub(super) upgrade: OnUpgrade,
    pub(super) peer: IpAddr,
    /// Browsers say of which site the page is.
    pub(super) page: bool,
}

/// Answers a request.
pub(super) async fn answer(
    front: Arc<Inner>,
    request: Request<Incoming>,
    from: Arc<From>,
) -> Response<Outgoing> {
    let response = match admit(&front, &request, &from) {
        Ok((seat, peer)) => {
            let rest = Rest::default();
            let response = route(&front, request, (&from, &rest), peer, seat).await;
            match rest.read().await {
                true => response,
                false => answer::closing(response),
            }
        }
        Err(refusal) => answer::closing(answer::written(refusal, None, None)),
    };
    front.figures.answered(response.status().as_u16());
    response
}

/// A place for the request, and whose it is.
fn admit(
    front: &Arc<Inner>,
    request: &Request<Incoming>,
    from: &Arc<From>,
) -> Result<(OpenRequest, IpAddr), HttpResponse> {
    if !from.secure {
        return Err(HttpResponse::text(
            400,
            "this port speaks HTTPS: write https:// before the address",
        ));
    }
    let options = front.options.load();
    let peer = client(&options, request, from.peer);
    let of_address = (!options.exempts(peer)).then_some((peer, options.requests_per_address));
    let seat = front.seats.request(options.requests, of_address);
    let seat = seat.map_err(|full| match full {
        Full::All => {
            front.figures.too_many_requests.count();
            answer::busy(503)
        }
        Full::Address => {
            front.figures.too_many_of_address.count();
            answer::busy(429)
        }
    })?;
    Ok((OpenRequest::new(front, from, seat), peer))
}

/// Whose request it is: the peer's, or whom a trusted proxy names.
fn client(options: &FrontOptions, request: &Request<Incoming>, peer: IpAddr) -> IpAddr {
    if !options.trusts(peer) {
        return peer;
    }
    let name = match options.proxy_header {
        ProxyHeader::XForwardedFor => "x-forwarded-for",
        ProxyHeader::Forwarded => "forwarded",
    };
    let values: Vec<_> = request.headers().get_all(name).iter().collect();
    let values = values.iter().filter_map(|value| value.to_str().ok());
    forwarded::client(options.proxy_header, values, |ip| options.trusts(ip)).unwrap_or(peer)
}

/// Finds who answers, and has it answer.
async fn route(
    front: &Arc<Inner>,
    mut request: Request<Incoming>,
    (from, rest): (&From, &Rest),
    peer: IpAddr,
    seat: OpenRequest,
) -> Response<Outgoing> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let length = body.size_hint().exact();
    rest.leave(body);
    // What is left of its body is read while it has its place.
    let refuse = |seat, status, text: &str| {
        let refusal = HttpResponse::text(status, text);
        answer::closing(answer::written(refusal, None, Some(seat)))
    };
    let options = front.options.load_full();
    let Some(name) = name(&head) else {
        return refuse(seat, 400, "the request does not say whom it is for");
    };
    let decoded = match path::decode(head.uri.path()) {
        Ok(decoded) => decoded,
        Err(error) => return refuse(seat, 400, &error.to_string()),
    };
    // Of what host they are, streams say themselves.
    if options.websocket.as_deref() == Some(decoded.as_str()) {
        let opening = websocket::open(&head, &options, name);
        let becomes = Becomes {
            upgrade,
            peer,
            page: head.headers.contains_key(ORIGIN),
        };
        return become_websocket(opening, (from, seat), becomes);
    }
    if let Some(bosh) = options.bosh.as_ref().filter(|bosh| bosh.path == decoded) {
        let (options, head) = ((&*options, bosh), (&head, name));
        let answer = super::bosh::answer(front, options, head, (length, rest), (from, peer)).await;
        return answer::written(answer, None, Some(seat));
    }
    let Some(host) = options.host(name) else {
        return refuse(seat, 421, "this name is not served here");
    };
    let claims = host.tables.http().at(&decoded);
    if claims.is_empty() {
        return answer::written(
            HttpResponse::text(404, "there is nothing here"),
            None,
            Some(seat),
        );
    }
    if head.method == Method::OPTIONS {
        return answer::options(&claims, seat);
    }
    let request = AsRead {
        head: &head,
        host: host.domain.clone(),
        peer,
    };
    let mut response = ask(front, &claims, request, (length, rest), seat).await;
    answer::share(&claims, &mut response);
    response
}

/// Has the connection become a WebSocket once the answer is written, unless that is a refusal.
fn become_websocket(
    opening: Result<HttpResponse, HttpResponse>,
    (from, seat): (&From, OpenRequest),
    becomes: Becomes,
) -> Response<Outgoing> {
    match opening {
        Ok(opening) => {
            *from.becomes.lock().unwrap_or_else(PoisonError::into_inner) = Some(becomes);
            answer::written(opening, None, None)
        }
        Err(refusal) => answer::closing(answer::written(refusal, None, Some(seat))),
    }
}

/// A request with what was found out about it.
struct AsRead<'r> {
    head: &'r Parts,
    host: crate::proto::jid::Jid,
    peer: IpAddr,
}

/// Asks the feature that claims the method.
async fn ask(
    front: &Arc<Inner>,
    claims: &HttpClaims<'_>,
    read: AsRead<'_>,
    (length, rest): (Option<u64>, &Rest),
    seat: OpenRequest,
) -> Response<Outgoing> {
    let method = method(&read.head.method);
    let claimed = method.and_then(|method| Some((method, claims.route(method)?)));
    let Some((method, (route, handler, below))) = claimed else {
        let refusal = HttpResponse::text(405, "this cannot be done here");
        let mut response = answer::closing(answer::written(refusal, method, Some(seat)));
        answer::allow(claims, &mut response);
        return response;
    };
    if length.is_some_and(|length| length > route.body) {
        let refusal = HttpResponse::text(413, "the body is larger than allowed here");
        return answer::closing(answer::written(refusal, Some(method), Some(seat)));
    }
    let source = Limited::new(front.clone(), rest, route.body);
    let answer = handler(HttpRequest {
        method,
        rest: below.to_owned(),
        query: read.head.uri.query().map(str::to_owned),
        headers: headers(read.head),
        host: read.host,
        peer: read.peer,
        body: HttpBody::new(length, Box::new(source)),
    })
    .await;
    answer::written(answer, Some(method), Some(seat))
}

fn method(method: &Method) -> Option<HttpMethod> {
    match *method {
        Method::GET => Some(HttpMethod::Get),
        Method::HEAD => Some(HttpMethod::Head),
        Method::POST => Some(HttpMethod::Post),
        Method::PUT => Some(HttpMethod::Put),
        Method::DELETE => Some(HttpMethod::Delete),
        _ => None,
    }
}

/// The name of the server that is asked, without its port (RFC 9112 §3.2, §3.3).
fn name(head: &Parts) -> Option<&str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return None;
    }
    let authority = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => first?.to_str().ok()?,
    };
    bare(authority)
}

/// A name without its port.
pub(super) fn bare(authority: &str) -> Option<&str> {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.trim_matches(['[', ']']);
    (!name.is_empty() && !name.contains('@')).then_some(name)
}

fn headers(head: &Parts) -> HttpHeaders {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = head.headers.iter();
    HttpHeaders(
        headers
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
            .collect(),
    )
}
