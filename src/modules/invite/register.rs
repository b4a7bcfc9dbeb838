//! Making an account with an invitation, before login (XEP-0445).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use crate::hooks::{Registrar, Reply, Stranger, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::origin::Origin;
use crate::state::invites::Invite;
use crate::state::newcomers::{By, Wish};
use crate::state::token_id::Id;
use crate::stream::tables::Stage;
use crate::xml::Element;

const PREAUTH: (&str, &str) = (ns::PARS, "preauth");
const QUERY: (&str, &str) = (ns::REGISTER, "query");

/// Streams that showed a token, and how long that is remembered.
const VISITS: usize = 10_000;
const VISIT: Duration = Duration::from_secs(3_600);

/// Which streams showed a good token. What ends it is looked at once, then (XEP-0445 §4).
#[derive(Default)]
pub(super) struct Visits(Mutex<VecDeque<(Instant, String, Id, Invite)>>);

impl Visits {
    fn put(&self, now: Instant, visit: &str, id: Id, invite: Invite) {
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        visits
            .retain(|(at, known, ..)| now.saturating_duration_since(*at) < VISIT && known != visit);
        if visits.len() >= VISITS {
            visits.pop_front();
        }
        visits.push_back((now, visit.to_owned(), id, invite));
    }

    fn of(&self, now: Instant, visit: &str) -> Option<(Id, Invite)> {
        let visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = visits.iter().filter(|(_, known, ..)| known == visit);
        let (at, _, id, invite) = own.next()?;
        (now.saturating_duration_since(*at) < VISIT).then(|| (*id, invite.clone()))
    }

    fn end(&self, visit: &str) {
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        visits.retain(|(_, known, ..)| known != visit);
    }
}

/// Announces it, and takes it.
pub(super) fn begin(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    for ns in [ns::IBR_TOKEN, ns::INVITE] {
        // §3; and the namespace by which clients came to know it before it had one.
        let desk = shared.desk.clone();
        r.stream_feature(Stage::Secured, move |_| {
            desk.lets_register().then(|| Element::new("register", ns))
        });
    }
    let others = Arc::new(std::sync::OnceLock::new());
    let known = others.clone();
    r.frozen(move |tables| {
        let query = Element::new("query", ns::REGISTER);
        let _ = known.set(tables.stranger(query.root()).is_some());
    });
    let desk = shared.desk.clone();
    r.stream_feature(Stage::Secured, move |_| {
        // Whoever makes accounts for everybody announces it by itself.
        let open = others.get().copied().unwrap_or(false);
        let invited = !open && desk.lets_register();
        invited.then(|| Element::new("register", ns::REGISTER_FEATURE))
    });
    let this = shared.clone();
    r.stranger_iq(PREAUTH, move |stranger| this.token_shown(stranger));
    let this = shared.clone();
    r.stranger_first(QUERY, move |stranger| this.query(stranger));
}

impl Shared {
    /// §4, example 2.
    fn token_shown(self: &Arc<Self>, stranger: &Stranger) -> Reply {
        let token = stranger.iq.root().child("preauth", ns::PARS);
        let token = token.and_then(|preauth| preauth.attr("token"));
        let (Some(token), Verb::Set) = (token, stranger.verb) else {
            return Reply::Error(Condition::BadRequest.into());
        };
        let (this, token, visit) = (self.clone(), token.to_owned(), stranger.visit.clone());
        let address = Origin::name(&stranger.address);
        Reply::Later(Box::pin(async move {
            match this.good(&token, &address).await {
                Ok((id, invite)) if invite.register => {
                    let now = this.deps.clock.now();
                    this.visits.put(now, &visit, id, invite);
                    Reply::done()
                }
                Ok(_) => Reply::Error(invalid()),
                Err(error) => Reply::Error(error),
            }
        }))
    }

    /// The invitation of a token that somebody shows.
    pub(super) async fn good(
        &self,
        token: &str,
        address: &str,
    ) -> Result<(Id, Invite), StanzaError> {
        if !self.newcomers.may_try(address) {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many tokens that are none; try again later"));
        }
        match self.desk.find(token, self.deps.clock.wall()).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                self.newcomers.was_wrong(address);
                Err(invalid())
            }
            Err(error) => {
                tracing::error!(host = %self.host, %error, "invitations cannot be read; run `waxwing check`");
                Err(Condition::InternalServerError.into())
            }
        }
    }

    /// A registration on a stream that showed a token; others are not ours.
    fn query(self: &Arc<Self>, stranger: &Stranger) -> Option<Reply> {
        let (id, invite) = self.visits.of(self.deps.clock.now(), &stranger.visit)?;
        let query = stranger.iq.root().child("query", ns::REGISTER)?;
        if stranger.verb == Verb::Get {
            return Some(fields(invite.name.as_deref()).into());
        }
        if query.child("remove", ns::REGISTER).is_some() {
            return Some(Reply::Error(Condition::UnexpectedRequest.into()));
        }
        let Some(wish) = Wish::read(query) else {
            return Some(Reply::Error(Condition::NotAcceptable.into()));
        };
        let (this, visit) = (self.clone(), stranger.visit.clone());
        Some(Reply::Later(Box::pin(async move {
            match this.make(id, &invite, wish).await {
                Ok(_) => {
                    this.visits.end(&visit);
                    Reply::done()
                }
                Err(error) => Reply::Error(error),
            }
        })))
    }

    /// Makes the account of who is invited.
    pub(super) async fn make(
        self: &Arc<Self>,
        id: Id,
        invite: &Invite,
        wish: Wish,
    ) -> Result<Jid, StanzaError> {
        let name = Jid::new(Some(&wish.username), self.host.domain(), None);
        let name = name.ok().and_then(|jid| jid.node().map(str::to_owned));
        if invite.name.is_some() && invite.name != name {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text("The invitation is for another name"));
        }
        let Some(_in_use) = self.desk.begin(id) else {
            return Err(invalid());
        };
        // It may have been used since it was shown; whether it has ended since does not matter.
        match self.desk.is_there(id).await {
            Ok(true) => {}
            Ok(false) => return Err(invalid()),
            Err(_) => return Err(Condition::InternalServerError.into()),
        }
        let by = By::Invitation(invite.name.as_deref());
        let account = self.newcomers.make(wish, by, None).await?;
        tracing::info!(%account, by = invite.inviter.as_ref().map(|inviter| &*inviter.account), "registered with an invitation");
        if let Err(error) = self.welcome(id, invite, &account).await {
            tracing::error!(%account, %error, "an invitation that was used is still there");
        }
        Ok(account)
    }
}

fn fields(name: Option<&str>) -> Element {
    let leaf = |name: &str, text: &str| {
        let el = Element::new(name, ns::REGISTER);
        if text.is_empty() {
            el
        } else {
            el.with_text(text)
        }
    };
    Element::new("query", ns::REGISTER)
        .with_child(leaf("instructions", "Choose a name and a password."))
        .with_child(leaf("username", name.unwrap_or_default()))
        .with_child(leaf("password", ""))
}

/// §4, example 4.
fn invalid() -> StanzaError {
    StanzaError::from(Condition::ItemNotFound).with_text("The provided token is invalid or expired")
}
