//! Requests of BOSH sessions as requests of HTTP (XEP-0124 §5): whose pages may send them, and how their answers are sent.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::Method;
use hyper::header::ORIGIN;
use hyper::http::request::Parts;

use super::body::{Limited, Rest};
use super::request::From;
use super::{FrontOptions, Inner, websocket};
use crate::hooks::{HttpBody, HttpContent, HttpResponse};
use crate::http::bosh::BoshOptions;

/// What is sent is shown by no browser as a page, whatever stands in it.
const HARMLESS: &str = "sandbox; default-src 'none'";

/// Answers one.
pub(super) async fn answer(
    front: &Arc<Inner>,
    (options, bosh): (&FrontOptions, &BoshOptions),
    (head, name): (&Parts, &str),
    body: (Option<u64>, &Rest),
    (from, peer): (&From, IpAddr),
) -> HttpResponse {
    if !websocket::is_welcome(&head.headers, options, name) {
        let refusal = "pages of this site may not connect here; see http.websocket.origins";
        return HttpResponse::text(403, refusal);
    }
    let response = match head.method {
        Method::POST => posted(front, bosh, body, (from, peer)).await,
        ref method => unposted(method),
    };
    let response = response.with_header("vary", "origin");
    match head
        .headers
        .get(ORIGIN)
        .and_then(|origin| origin.to_str().ok())
    {
        Some(origin) => response.with_header("access-control-allow-origin", origin),
        None => response,
    }
}

fn unposted(method: &Method) -> HttpResponse {
    match *method {
        Method::OPTIONS => HttpResponse::new(204)
            .with_header("access-control-allow-methods", "POST, OPTIONS")
            .with_header("access-control-allow-headers", "content-type")
            .with_header("access-control-max-age", "7200"),
        _ => HttpResponse::text(405, "XMPP apps connect here by BOSH, with POST")
            .with_header("allow", "POST, OPTIONS"),
    }
}

async fn posted(
    front: &Arc<Inner>,
    bosh: &BoshOptions,
    (length, rest): (Option<u64>, &Rest),
    (from, peer): (&From, IpAddr),
) -> HttpResponse {
    let most = bosh.body_bytes as u64;
    if length.is_some_and(|length| length > most) {
        return HttpResponse::text(413, "the body is larger than allowed here");
    }
    let source = Limited::new(front.clone(), rest, most);
    let request = match HttpBody::new(length, Box::new(source)).whole().await {
        Ok(request) => request,
        Err(error) => return HttpResponse::text(400, &error.to_string()),
    };
    let place = (&from.door, peer);
    let answer = front.bosh.answer(&request, bosh, place).await;
    HttpResponse::new(200)
        .with_header("content-type", "text/xml; charset=utf-8")
        .with_header("cache-control", "no-store")
        .with_header("content-security-policy", HARMLESS)
        .with_content(HttpContent::Bytes(answer))
}
