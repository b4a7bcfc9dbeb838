//! The status page: how the server does, to look at. It changes nothing, and names no account.

mod draw;
mod history;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Api;
use super::answer::Refusal;
use super::tokens::Token;
use crate::hooks::page::{escaped, fields, is_own_form, page};
use crate::hooks::{
    Deps, HttpHeaders, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Registrar,
};
use crate::metrics::Registry;
use crate::runtime::random;
use crate::state::token_id::Id;

use history::History;

/// Where it is.
const PATH: &str = "/status";
/// Bytes of the form.
const FORM: u64 = 4_096;
/// How often figures are looked at, and the page is drawn anew.
const EVERY: Duration = Duration::from_secs(10);
/// How long somebody who showed a token is known, and how many of them.
const VISIT: Duration = Duration::from_secs(12 * 60 * 60);
const VISITS: usize = 100;
/// By what browsers are known.
const COOKIE: &str = "__Secure-waxwing-status";

const STYLE: &str = "body{font:1em/1.5 system-ui,sans-serif;max-width:70em;margin:0 auto;padding:1em;color:#111;background:#fff}\
h1{font-size:1.4em}h2{font-size:1.1em;margin:1.5em 0 .3em}main>div{display:grid;grid-template-columns:repeat(auto-fit,minmax(17em,1fr));gap:1em}\
figure{margin:0;padding:.6em;border:1px solid #888;border-radius:.4em}figcaption b{display:block}svg{width:100%;height:4em;display:block}\
.a{stroke:#0b57d0;color:#0b57d0}.b{stroke:#a04000;color:#a04000}polyline{fill:none;stroke-width:1.5;vector-effect:non-scaling-stroke}\
table{border-collapse:collapse}td,th{text-align:left;padding:.1em 1em .1em 0;vertical-align:top}\
strong,[role=alert]{color:#b00020}label,input,button{display:block;font:inherit;margin:.5em 0}\
input{width:100%;max-width:30em;box-sizing:border-box;padding:.4em}button{padding:.4em 1em}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}.a{stroke:#8ab4f8;color:#8ab4f8}.b{stroke:#f0a868;color:#f0a868}strong,[role=alert]{color:#ff8a80}}";

/// What the page is made of.
pub(super) struct Status {
    metrics: Registry,
    history: Arc<Mutex<History>>,
    visits: Arc<Visits>,
}

/// Who showed a token: the hash of what the browser has, the token, and when. They stay over a reload.
#[derive(Default)]
struct Visits(Mutex<VecDeque<(Id, Id, Instant)>>);

impl Visits {
    fn put(&self, token: Id, now: Instant) -> String {
        let secret = random::token();
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        visits.retain(|(.., since)| now.saturating_duration_since(*since) < VISIT);
        if visits.len() >= VISITS {
            visits.pop_front();
        }
        visits.push_back((Id::of_token(&secret), token, now));
        secret
    }

    /// The token that was shown.
    fn of(&self, secret: &str, now: Instant) -> Option<Id> {
        let id = Id::of_token(secret);
        let visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, token, since) = visits.iter().find(|(known, ..)| *known == id)?;
        (now.saturating_duration_since(*since) < VISIT).then_some(*token)
    }

    fn end(&self, secret: &str) {
        let id = Id::of_token(secret);
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        visits.retain(|(known, ..)| *known != id);
    }
}

impl Status {
    pub(super) fn new(deps: &Deps) -> Status {
        Status {
            metrics: deps.metrics.clone(),
            history: lasting(deps),
            visits: lasting(deps),
        }
    }

    fn look(&self, now: u64) {
        let samples = self.metrics.samples();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.look(&samples, now);
    }
}

/// What stays over a reload.
fn lasting<T: Default + Send + Sync + 'static>(deps: &Deps) -> Arc<T> {
    let made = deps
        .shared
        .of(&deps.host, || Ok::<_, Infallible>(T::default()));
    match made {
        Ok(made) => made,
        Err(never) => match never {},
    }
}

/// Serves it.
pub(super) fn offer(api: &Arc<Api>, r: &mut Registrar<'_>) {
    let this = api.clone();
    r.every(EVERY, move || this.status.look(this.clock.wall()));
    let this = api.clone();
    r.http(HttpRoute::new(HttpMethod::Get, PATH), move |request| {
        let this = this.clone();
        async move { this.show(request).await }
    });
    let this = api.clone();
    let form = HttpRoute::new(HttpMethod::Post, PATH).body(FORM);
    r.http(form, move |request| {
        let this = this.clone();
        async move { this.come_or_go(request).await }
    });
}

impl Api {
    async fn show(&self, request: HttpRequest) -> HttpResponse {
        let HttpRequest {
            rest,
            peer,
            headers,
            ..
        } = request;
        if !rest.is_empty() {
            return HttpResponse::text(404, "There is no such page.");
        }
        let known = match cookie(&headers) {
            Some(secret) => self.visitor(secret).await,
            None if headers.get("authorization").is_some() => self.who(peer, &headers).await,
            None => return login(200, ""),
        };
        match known.and_then(|token| may_look(&token)) {
            Ok(()) => self.drawn(),
            Err(refusal) => refused(&refusal),
        }
    }

    /// Who showed a token before that is still good.
    async fn visitor(&self, secret: &str) -> Result<Token, Refusal> {
        let token = self.status.visits.of(secret, self.clock.now());
        let token = token.ok_or(Refusal::Unknown)?;
        let found = self.tokens.of_id(token, self.clock.wall()).await?;
        found.ok_or(Refusal::Unknown)
    }

    async fn come_or_go(&self, request: HttpRequest) -> HttpResponse {
        let HttpRequest {
            peer,
            headers,
            body,
            ..
        } = request;
        if !is_own_form(&headers, self.url.as_deref()) {
            return HttpResponse::text(403, "This form is not from here.");
        }
        let Ok(body) = body.whole().await else {
            return HttpResponse::text(400, "This is no form.");
        };
        let given = fields(&body);
        let Some((_, token)) = given.iter().find(|(name, _)| name == "token") else {
            if let Some(secret) = cookie(&headers) {
                self.status.visits.end(secret);
            }
            return elsewhere("", 0);
        };
        let known = self.known(peer, Some(token.trim())).await;
        match known.and_then(|token| may_look(&token).map(|()| token.id)) {
            Ok(token) => {
                let secret = self.status.visits.put(token, self.clock.now());
                elsewhere(&secret, VISIT.as_secs())
            }
            Err(refusal) => refused(&refusal),
        }
    }

    fn drawn(&self) -> HttpResponse {
        let samples = self.status.metrics.samples();
        let history = self.status.history.lock();
        let history = history.unwrap_or_else(PoisonError::into_inner);
        let body = draw::body(&samples, &history, self.clock.wall());
        page(200, "en", STYLE, ("waxwing", &body))
            .with_header("refresh", EVERY.as_secs().to_string())
    }
}

/// The page shows the whole server.
fn may_look(token: &Token) -> Result<(), Refusal> {
    match token.server && token.scopes.allow_status() {
        true => Ok(()),
        false => Err(Refusal::Forbidden),
    }
}

/// What the browser was given.
fn cookie(headers: &HttpHeaders) -> Option<&str> {
    let cookies = headers.0.iter().filter(|(name, _)| name == "cookie");
    // In HTTP/2 each may have a header of its own (RFC 9113 §8.2.3).
    let pairs = cookies.flat_map(|(_, value)| value.split(';'));
    let mut own = pairs.filter_map(|pair| pair.trim().split_once('='));
    own.find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Back to the page, with something to be known by from now on.
fn elsewhere(secret: &str, seconds: u64) -> HttpResponse {
    let cookie = format!(
        "{COOKIE}={secret}; Path={PATH}; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict"
    );
    HttpResponse::new(303)
        .with_header("location", PATH)
        .with_header("set-cookie", cookie)
        .with_header("cache-control", "no-store")
}

fn refused(refusal: &Refusal) -> HttpResponse {
    match refusal {
        Refusal::Unknown => login(401, "This token is not known here."),
        Refusal::Forbidden => login(
            403,
            "This token is not for this page: it needs the scope \"status\" and the rights of the server.",
        ),
        Refusal::TooMany(_) => login(429, "Too many requests; try again later."),
        _ => login(500, "The server cannot tell."),
    }
}

fn login(status: u16, why: &str) -> HttpResponse {
    let why = match why {
        "" => String::new(),
        why => format!("<p role=\"alert\">{}</p>", escaped(why)),
    };
    let body = format!(
        "{why}<form method=\"post\" action=\"{PATH}\"><label>Token<input type=\"password\" name=\"token\" required autocomplete=\"off\"></label>\
         <button>Show</button></form><p><code>waxwing token add NAME status --server</code></p>"
    );
    page(status, "en", STYLE, ("waxwing", &body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_showed_a_token_is_known_for_a_while() {
        let (visits, token, now) = (Visits::default(), Id::of_token("a"), Instant::now());
        let secret = visits.put(token, now);
        assert_eq!(visits.of(&secret, now), Some(token));
        assert_eq!(visits.of(&secret, now + VISIT), None);
        assert_eq!(visits.of("", now), None);
        let first = secret;
        for _ in 0..VISITS {
            visits.put(token, now);
        }
        assert_eq!(visits.of(&first, now), None);
        let last = visits.put(token, now);
        visits.end(&last);
        assert_eq!(visits.of(&last, now), None);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let headers = |value: &str| HttpHeaders(vec![("cookie".to_owned(), value.to_owned())]);
        let known = format!("a=b; {COOKIE}=x; c");
        assert_eq!(cookie(&headers(&known)), Some("x"));
        assert_eq!(cookie(&headers("a=b")), None);
        assert_eq!(cookie(&HttpHeaders::default()), None);
    }
}
