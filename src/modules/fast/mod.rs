//! XEP-0484: Fast Authentication Streamlining Tokens (0.2.0), with the mechanisms HT-SHA-256 and HT-SHA-512.
//!
//! A token belongs to one client (the id of its `<user-agent/>`) and one mechanism. What is stored of it is of no use without
//! a secret that is in no backup of the store ([`crate::state::tokens`]); who has both, the store and that file, has the tokens:
//! the mechanism needs the token itself, so no hash of it would do. A new password, the disabling of the account and the revocation of the
//! client end it. TLS early data is not taken, so counters are not needed against it; who counts is held to it.

mod exchange;
mod ht;
mod judge;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Period;
use crate::hooks::{Deps, Event, Floor, Info, Inlined, Module, ModuleError, Registrar, Turn};
use crate::metrics::Registry;
use crate::proto::error::{StreamCondition, StreamError};
use crate::proto::{datetime, ns};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::by_client::PutError;
use crate::state::tokens::{Token, Tokens};
use crate::store::CommitError;
use crate::stream::tables::{FeatureContext, When};
use crate::stream::{InlineRequest, Secret};
use crate::xml::Element;

use exchange::Mechanism;
use ht::Ht;

settings! {
    /// Tokens with which clients that logged in before come back at once. The bound is `limits.account.clients`.
    pub struct Config {
        /// How long a token is good for; a client that stays away longer needs the password again.
        pub expires: Period = Period::days(30) => within(Period::minutes(1)..=Period::days(3_650));
        /// A client whose token is older gets a new one when it comes; the old one is good until the new one was used.
        pub rotate: Period = Period::days(1) => within(Period::seconds(0)..=Period::days(3_650));
        /// Whether tokens are given to clients that cannot bind them to the TLS connection, such as those in browsers.
        pub unbound: bool = true;
    }
}

/// Attempts when another change of the same client comes between.
const ATTEMPTS: usize = 8;

/// How often what has ended is looked for, and how many clients are read at a time.
const SWEEP: Duration = Duration::from_secs(24 * 3_600);
const PAGE: usize = 500;

/// Gives tokens, and lets in who has one.
pub struct Fast {
    config: Config,
    tokens: Tokens,
    local: Secret,
    clock: Clock,
    floor: Arc<dyn Floor>,
    metrics: Registry,
}

impl Module for Fast {
    const INFO: Info = Info {
        name: "fast",
        specs: &[("XEP-0484", "0.2.0")],
        doc: "Clients come back in one round trip, with a token instead of the password.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let most = deps.limits.clients as usize;
        let full = deps.metrics.limit("limits.account.clients");
        Ok(Fast {
            config,
            tokens: Tokens::new(deps.store.clone(), most, full),
            local: deps.local.clone(),
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            metrics: deps.metrics.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        for ht in self.mechanisms() {
            r.mechanism(Mechanism::new(self.clone(), ht));
        }
        let (this, offering) = (self.clone(), self.clone());
        r.inline(
            When::IntoSuccess,
            (ns::FAST, "fast"),
            move |context| offering.offer(context),
            move |request, element| this.clone().came(request, element),
        );
        let this = self.clone();
        r.inline(
            When::IntoSuccess,
            (ns::FAST, "request-token"),
            |_| None,
            move |request, element| this.clone().asked(request, element),
        );
        r.every(SWEEP, move || self.clone().sweep());
    }
}

impl Fast {
    fn mechanisms(&self) -> impl Iterator<Item = Ht> + use<> {
        let unbound = self.config.unbound;
        let all = Ht::ALL.into_iter();
        all.filter(move |ht| unbound || ht.binding.is_some())
    }

    /// §3.1; not where everybody is a guest.
    fn offer(&self, context: &FeatureContext<'_>) -> Option<Element> {
        let policy = &context.host.mechanisms;
        let offered = self
            .mechanisms()
            .filter(|ht| ht.data(context.bindings).is_some());
        let offered: Vec<Element> = offered
            .map(|ht| Element::new("mechanism", ns::FAST).with_text(ht.name))
            .collect();
        let accounts = !policy.scram.is_empty() || policy.plain;
        let fast = Element::new("fast", ns::FAST);
        (accounts && !offered.is_empty()).then(|| fast.with_children(offered))
    }

    /// §3.3: who is in may have a token for the next time.
    fn asked(self: Arc<Self>, request: &InlineRequest, element: &Element) -> Inlined {
        let mut mechanisms = self.mechanisms();
        let wanted = element.attr("mechanism");
        let wanted = mechanisms.find(|ht| Some(ht.name) == wanted);
        let (Some(ht), Some(visit)) = (wanted, Visit::of(request)) else {
            return Box::pin(std::future::ready(Vec::new()));
        };
        Box::pin(async move { self.issue(&visit, ht.name).await.into_iter().collect() })
    }

    /// §3.5: who came with an old token gets another one.
    fn came(self: Arc<Self>, request: &InlineRequest, element: &Element) -> Inlined {
        let token = Ht::named(&request.mechanism);
        let (Some(ht), Some(visit)) = (token, Visit::of(request)) else {
            return Box::pin(std::future::ready(Vec::new()));
        };
        let mut others = request.elements.iter();
        let asks = others.any(|other| other.is("request-token", ns::FAST));
        if is_invalidated(element) && !asks {
            self.logs_out(visit);
            return Box::pin(std::future::ready(Vec::new()));
        }
        if asks {
            return Box::pin(std::future::ready(Vec::new()));
        }
        Box::pin(async move { self.renew(&visit, ht).await.into_iter().collect() })
    }

    /// §3.6: a client that gives up its token and wants no other one leaves nothing behind.
    fn logs_out(&self, visit: Visit) {
        let account = visit.user.bare();
        let client = visit.client.into();
        let act = move |turn: &mut Turn<'_>| {
            let account = turn.account.jid.clone();
            turn.event(Event::ClientRevoked(account, client));
        };
        self.floor.in_turn(&account, Box::new(act));
    }

    async fn renew(&self, visit: &Visit, ht: Ht) -> Option<Element> {
        let look = self.tokens.look(&visit.user, &visit.client).await.ok()?;
        let now = self.clock.wall();
        let used = look
            .held
            .used
            .filter(|token| token.is_good(look.generation, now));
        let Some(used) = used.filter(|_| look.generation == visit.generation) else {
            // It was taken away while its client came in with it.
            self.shut_out(visit);
            return None;
        };
        let old = now.saturating_sub(used.issued) >= millis(self.config.rotate);
        match old {
            true => self.issue(visit, ht.name).await,
            false => None,
        }
    }

    /// A new token beside the one that the client has.
    async fn issue(&self, visit: &Visit, mechanism: &str) -> Option<Element> {
        for _ in 0..ATTEMPTS {
            let look = self.tokens.look(&visit.user, &visit.client).await.ok()?;
            if look.generation != visit.generation {
                self.shut_out(visit);
                return None;
            }
            let (uid, now) = (look.uid?, self.clock.wall());
            let expires = now.saturating_add(millis(self.config.expires));
            let token = Token::new(mechanism, now, expires, look.generation);
            let mut held = look.held.clone();
            held.fresh = Some(token.clone());
            match self.tokens.put(&look, &held).await {
                Ok(()) => {
                    self.count("issued");
                    let secret = token.secret(&self.local, (uid, &visit.client));
                    let given = Element::new("token", ns::FAST)
                        .with_attr("token", secret.expose_str()?)
                        .with_attr("expiry", &datetime::format(expires));
                    return Some(given);
                }
                Err(PutError::Commit(CommitError::Precondition)) => {}
                Err(error) => {
                    tracing::warn!(account = %visit.user, %error, "a client gets no token");
                    return None;
                }
            }
        }
        None
    }

    /// What let it in is not good any more: the session that it has got meanwhile ends.
    fn shut_out(&self, visit: &Visit) {
        let error = StreamError::new(StreamCondition::NotAuthorized)
            .with_text("what you logged in with is not good any more");
        self.floor.end_session(&visit.user, error);
    }

    fn sweep(self: Arc<Self>) {
        tokio::spawn(async move {
            if let Err(error) = self.tokens.sweep(self.clock.wall(), PAGE).await {
                tracing::warn!(%error, "tokens that have ended are still there");
            }
        });
    }

    fn count(&self, outcome: &'static str) {
        self.metrics
            .counter(
                "waxwing_tokens_total",
                "Tokens given to clients, and attempts to log in with one, by what became of them.",
                &[("outcome", outcome)],
            )
            .count();
    }
}

/// A login that a token may come of.
struct Visit {
    /// The bare JID, or the full one of the session.
    user: crate::proto::Jid,
    client: String,
    generation: u64,
}

impl Visit {
    /// §4.1: of a client that names itself. Guests come once.
    fn of(request: &InlineRequest) -> Option<Visit> {
        let client = request.agent.id.clone()?;
        (!request.anonymous).then(|| Visit {
            user: request.user.clone(),
            client,
            generation: request.generation,
        })
    }
}

/// §3.6.
fn is_invalidated(fast: &Element) -> bool {
    matches!(fast.attr("invalidate"), Some("1" | "true"))
}

fn millis(period: Period) -> u64 {
    u64::try_from(period.0.as_millis()).unwrap_or(u64::MAX)
}
