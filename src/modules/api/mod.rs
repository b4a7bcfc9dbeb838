//! Administration over HTTP: what ad-hoc commands offer, as JSON, for who has a token.

mod answer;
mod commands;
mod given;
mod openapi;
mod scope;
mod status;
mod throttle;
mod tokens;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::config::Bytes;
use crate::hooks::command::{Caller, Command, Given, Kind, Offered, Rights, Values};
use crate::hooks::{
    Deps, HttpBodyError, HttpHeaders, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Info,
    Module, ModuleError, Registrar,
};
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::act::gather;
use crate::state::audit::Audit;

use answer::Refusal;
use status::Status;
use throttle::Throttle;
use tokens::{Token, Tokens};

settings! {
    /// Administration over HTTP: the commands of a domain as JSON at /api/v1/… where web clients reach it, for who has a token.
    /// `waxwing token add` makes one. At /status is a page that shows how the server does. docs/api.md tells the rest.
    pub struct Config {
        /// Tokens of the domain.
        pub tokens: u32 = 100 => within(1..=10_000);
        /// Requests of one token in a second; ten times as many at once.
        pub requests: u32 = 20 => within(1..=100_000);
        /// Requests without a good token that an address (a /64 for IPv6) may make in a minute.
        pub guesses: u32 = 10 => within(1..=10_000);
        /// Largest body of a request.
        pub body: Bytes = Bytes::kib(64) => within(Bytes::kib(1)..=Bytes::mib(1));
        /// Rows of one answer; what is more is left out, and said to be.
        pub rows: u32 = 10_000 => within(10..=100_000);
    }
}

/// Where it is.
const PATH: &str = "/api/v1";
/// Its description.
const OPENAPI: &str = "/api/v1/openapi.json";
/// Bytes of one answer's lines.
const ANSWER: usize = 8 << 20;

/// Offers the commands of a host to programs.
pub struct Api {
    host: Jid,
    url: Option<String>,
    tokens: Tokens,
    throttle: Throttle,
    audit: Audit,
    clock: Clock,
    body: u64,
    rows: usize,
    offered: OnceLock<Vec<Offered>>,
    status: Status,
}

impl Module for Api {
    const INFO: Info = Info {
        name: "api",
        specs: &[],
        doc: "Administration over HTTP, as JSON.",
        on_by_default: false,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &commands::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Api {
            host: deps.host.clone(),
            url: deps.url.clone(),
            tokens: Tokens::new(deps.store.clone(), &deps.host, config.tokens as usize),
            throttle: Throttle::new(config.requests, config.guesses, &deps.metrics),
            audit: Audit::new(deps.store.clone(), deps.clock.clone(), &deps.administration),
            clock: deps.clock.clone(),
            body: config.body.0,
            rows: config.rows as usize,
            offered: OnceLock::new(),
            status: Status::new(deps),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        commands::offer(&self, r);
        let this = self.clone();
        r.frozen(move |tables| {
            let offered = tables.commands().iter();
            let ours = offered.filter(|offered| given::fits(offered.command));
            let _ = this.offered.set(ours.cloned().collect());
        });
        if self.url.is_none() {
            return;
        }
        status::offer(&self, r);
        let this = self.clone();
        let act = HttpRoute::new(HttpMethod::Post, PATH).body(self.body);
        r.http(act, move |request| {
            let this = this.clone();
            async move { this.act(request).await.unwrap_or_else(Refusal::written) }
        });
        r.http(HttpRoute::new(HttpMethod::Get, OPENAPI), move |request| {
            let this = self.clone();
            async move {
                this.describe(request)
                    .await
                    .unwrap_or_else(Refusal::written)
            }
        });
    }
}

impl Api {
    fn offered(&self) -> &[Offered] {
        self.offered.get().map_or(&[], Vec::as_slice)
    }

    /// Whose request it is.
    async fn who(&self, peer: IpAddr, headers: &HttpHeaders) -> Result<Token, Refusal> {
        let secret = headers.get("authorization").and_then(bearer);
        self.known(peer, secret).await
    }

    /// The token that somebody shows.
    async fn known(&self, peer: IpAddr, secret: Option<&str>) -> Result<Token, Refusal> {
        let now = self.clock.now();
        self.throttle.may_guess(peer, now)?;
        let token = match secret {
            Some(secret) => self.tokens.find(secret, self.clock.wall()).await?,
            None => None,
        };
        let Some(token) = token else {
            self.throttle.guessed(peer, now);
            return Err(Refusal::Unknown);
        };
        self.throttle.may_ask(token.id, now)?;
        Ok(token)
    }

    /// The description of everything that this token may do.
    async fn describe(&self, request: HttpRequest) -> Result<HttpResponse, Refusal> {
        let token = self.who(request.peer, &request.headers).await?;
        if !request.rest.is_empty() {
            return Err(Refusal::NoSuchCommand);
        }
        let caller = token.caller(&self.host);
        let commands = self.offered().iter().map(|offered| offered.command);
        let may = commands.filter(|command| self.may(&token, &caller, command));
        let url = self.url.as_deref().unwrap_or_default();
        Ok(answer::json(200, &openapi::document(url, &self.host, may)))
    }

    fn may(&self, token: &Token, caller: &Caller, command: &Command) -> bool {
        token.scopes.allow(command) && command.may(caller, Some(self.host.domain()))
    }

    /// Does what a request asks for.
    async fn act(&self, request: HttpRequest) -> Result<HttpResponse, Refusal> {
        let token = self.who(request.peer, &request.headers).await?;
        let caller = token.caller(&self.host);
        let offered = self.asked(&request.rest);
        let offered = offered.ok_or(Refusal::NoSuchCommand)?;
        if !self.may(&token, &caller, offered.command) {
            return Err(Refusal::Forbidden);
        }
        let kind = request.headers.get("content-type");
        let json = kind.is_some_and(is_json);
        let body = request.body.whole().await.map_err(|error| match error {
            HttpBodyError::TooLarge => Refusal::TooLarge,
            HttpBodyError::TooSlow | HttpBodyError::CutOff => Refusal::CutOff,
        })?;
        if !json && !body.is_empty() {
            return Err(Refusal::NoJson);
        }
        let mut given = given::read(offered.command, &body)?;
        self.complete(offered.command, &mut given);
        let bounds = (self.rows, ANSWER);
        let done = gather(offered, given, &caller, &self.host, &self.audit, bounds).await;
        Ok(answer::written(done))
    }

    /// The command of a path: its name, the words apart.
    fn asked(&self, rest: &str) -> Option<&Offered> {
        let rest = rest.strip_prefix('/')?;
        let named = |offered: &&Offered| {
            let words = offered.command.name.split(' ');
            words.eq(rest.split('/'))
        };
        self.offered().iter().find(named)
    }

    /// What the request itself says: the host, and secrets that are asked for twice only where somebody types them.
    fn complete(&self, command: &Command, given: &mut Given) {
        for argument in command.arguments {
            let value = match argument.kind {
                Kind::Host => Some(Values::from(self.host.as_str())),
                Kind::Again(first) => given.get(first).cloned(),
                _ => None,
            };
            if let Some(value) = value {
                given.insert(argument.name.to_owned(), value);
            }
        }
    }
}

impl Token {
    /// As commands see it.
    fn caller(&self, host: &Jid) -> Caller {
        Caller {
            name: format!("token {} of {host}", self.name),
            jid: None,
            rights: match self.server {
                true => Rights::Server,
                false => Rights::Host(host.domain().to_owned()),
            },
        }
    }
}

/// The token of an `Authorization` header (RFC 6750 §2.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_json(kind: &str) -> bool {
    let media = kind.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}
