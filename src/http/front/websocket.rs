//! The opening of WebSocket connections (RFC 6455 §4.2), for XMPP alone (RFC 7395 §3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, ORIGIN, UPGRADE};
use hyper::http::request::Parts;
use sha1::{Digest, Sha1};

use super::FrontOptions;
use crate::hooks::HttpResponse;

/// What the client's key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is.
const VERSION: &str = "13";
/// The subprotocol (RFC 7395 §3.1).
const PROTOCOL: &str = "xmpp";

/// The answer that makes the connection a WebSocket, or why it does not become one.
pub(super) fn open(
    head: &Parts,
    options: &FrontOptions,
    name: &str,
) -> Result<HttpResponse, HttpResponse> {
    let headers = &head.headers;
    if head.method != Method::GET {
        let refusal = HttpResponse::text(405, "WebSockets are opened with GET");
        return Err(refusal.with_header("allow", "GET"));
    }
    if !has(headers, UPGRADE, "websocket") || !has(headers, hyper::header::CONNECTION, "upgrade") {
        let refusal = HttpResponse::text(426, "XMPP apps connect here by WebSocket");
        return Err(refusal
            .with_header("upgrade", "websocket")
            .with_header("connection", "upgrade"));
    }
    if text(headers, "sec-websocket-version") != Some(VERSION) {
        let refusal = HttpResponse::text(426, "only version 13 of WebSocket is spoken here");
        return Err(refusal.with_header("sec-websocket-version", VERSION));
    }
    let key = text(headers, "sec-websocket-key").filter(|key| is_key(key));
    let Some(key) = key else {
        return Err(HttpResponse::text(
            400,
            "the WebSocket key is missing or wrong",
        ));
    };
    let protocol = HeaderName::from_static("sec-websocket-protocol");
    if !has(headers, protocol, PROTOCOL) {
        return Err(HttpResponse::text(
            400,
            "only the subprotocol xmpp is spoken here",
        ));
    }
    if !is_welcome(headers, options, name) {
        let refusal = "pages of this site may not connect here; see http.websocket.origins";
        return Err(HttpResponse::text(403, refusal));
    }
    Ok(HttpResponse::new(101)
        .with_header("connection", "upgrade")
        .with_header("upgrade", "websocket")
        .with_header("sec-websocket-accept", accept(key))
        .with_header("sec-websocket-protocol", PROTOCOL))
}

/// What proves that the request was understood (RFC 6455 §4.2.2).
fn accept(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(hash)
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

/// Whether a list has this word.
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// Whether pages of the request's site may connect: those of the name that is asked and of the hosts, and those that are
/// listed. What is no browser says nothing of its site.
pub(super) fn is_welcome(headers: &HeaderMap, options: &FrontOptions, name: &str) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(origin) = text(headers, ORIGIN.as_str()) else {
        return false;
    };
    let listed = |listed: &String| listed == "*" || listed.eq_ignore_ascii_case(origin);
    if options.origins.iter().any(listed) {
        return true;
    }
    let Some(site) = origin
        .split_once("://")
        .and_then(|(_, site)| super::request::bare(site))
    else {
        return false;
    };
    let same = site.eq_ignore_ascii_case(name) && options.host(name).is_some();
    same || options.named(site).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in ["", "x", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ"] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }
}
