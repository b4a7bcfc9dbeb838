//! From a feature's answer to what is sent, and the answers that the front gives by itself.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_LENGTH,
    HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::body::{OpenRequest, Outgoing};
use crate::hooks::http::HttpClaims;
use crate::hooks::{HttpContent, HttpMethod, HttpResponse};

/// How long a browser may remember what CORS allows, seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Writes an answer out; one that cannot be written as a header becomes an error of ours.
pub(super) fn written(
    answer: HttpResponse,
    method: Option<HttpMethod>,
    seat: Option<OpenRequest>,
) -> Response<Outgoing> {
    let length = answer.content.length();
    let (status, headers) = match (StatusCode::from_u16(answer.status), headers(&answer)) {
        (Ok(status), Some(headers)) => (status, headers),
        _ => {
            tracing::error!(status = answer.status, "an answer could not be written");
            return written(HttpResponse::new(500), method, seat);
        }
    };
    let content = match method {
        Some(HttpMethod::Head) => HttpContent::Empty,
        _ => answer.content,
    };
    let mut response = Response::new(Outgoing::new(content, seat));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !matches!(
        status,
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

fn headers(answer: &HttpResponse) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

/// An answer after which the connection is closed: what else comes on it is not read.
pub(super) fn closing(mut response: Response<Outgoing>) -> Response<Outgoing> {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Too much at once; later it may be otherwise.
pub(super) fn busy(status: u16) -> HttpResponse {
    HttpResponse::text(status, "too many requests at once, try again later")
        .with_header("retry-after", "5")
}

/// What may be done here, where something else was asked for.
pub(super) fn allow(claims: &HttpClaims<'_>, response: &mut Response<Outgoing>) {
    if let Ok(value) = HeaderValue::from_str(&methods(claims)) {
        response.headers_mut().insert(ALLOW, value);
    }
}

fn methods(claims: &HttpClaims<'_>) -> String {
    let mut names: Vec<_> = claims.methods().iter().map(|m| m.as_str()).collect();
    names.push("OPTIONS");
    names.join(", ")
}

/// Lets scripts of any web page read the answer where the routes of its path allow it (CORS).
pub(super) fn share(claims: &HttpClaims<'_>, response: &mut Response<Outgoing>) {
    if claims.cors().is_none() {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
}

/// The answer to OPTIONS: what may be done here, and what scripts may do.
pub(super) fn options(claims: &HttpClaims<'_>, seat: OpenRequest) -> Response<Outgoing> {
    let mut response = written(HttpResponse::new(204), None, Some(seat));
    allow(claims, &mut response);
    share(claims, &mut response);
    let Some(headers) = claims.cors() else {
        return response;
    };
    let names = headers.join(", ");
    let values = [
        (ACCESS_CONTROL_ALLOW_METHODS, methods(claims)),
        (ACCESS_CONTROL_ALLOW_HEADERS, names),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}
