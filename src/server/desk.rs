//! Answers the questions of the stream machine from accounts and sessions.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

use crate::config::{Auth, Guests};
use crate::hooks::{Reply, Stranger, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, Stanza};
use crate::router::Router;
use crate::runtime::clock::Clock;
use crate::runtime::origin::Origin;
use crate::state::accounts::{AccountError, Accounts};
use crate::state::guesses::Guesses;
use crate::stream::server::Verdict;
use crate::stream::{
    Answer, Authorized, BindRequest, Bound, Credentials, Desk, InlineRequest, NotResumed, Question,
    SaslCondition, SaslFailure, ScramHash, ScramKeys, Seat, Secret, StrangerIq,
};
use crate::xml::Element;

/// The desk of a server.
#[derive(Clone)]
pub struct ServerDesk(Arc<Inner>);

struct Inner {
    router: Arc<Router>,
    accounts: Accounts,
    guesses: Guesses,
    clock: Clock,
    guests: ArcSwap<HashMap<String, Guests>>,
    guest_seats: Mutex<Vec<GuestSeat>>,
}

struct GuestSeat {
    host: String,
    address: String,
    seat: Weak<dyn Seat>,
}

impl ServerDesk {
    /// Over the router and the accounts; `guests` by host, for hosts that take them.
    pub fn new(
        router: Arc<Router>,
        accounts: Accounts,
        guesses: Guesses,
        clock: Clock,
        guests: HashMap<String, Guests>,
    ) -> Self {
        ServerDesk(Arc::new(Inner {
            router,
            accounts,
            guesses,
            clock,
            guests: ArcSwap::from_pointee(guests),
            guest_seats: Mutex::default(),
        }))
    }
}

impl ServerDesk {
    /// Other rules from now on; what was counted stays.
    pub fn set_rules(&self, auth: &Auth, guests: HashMap<String, Guests>) {
        self.0.guesses.set_rules(auth);
        self.0.guests.store(Arc::new(guests));
    }
}

impl Desk for ServerDesk {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.answer(question).await })
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, question: Question) -> Answer {
        match question {
            Question::Verify(verify) => {
                Answer::Verified(verify, Verdict::Error(Condition::ServiceUnavailable))
            }
            Question::ResumeLink(_) => Answer::LinkResumed(Err(NotResumed::Unknown { h: None })),
            Question::Credentials { user, hash, .. } => {
                Answer::Credentials(self.credentials(&user, hash).await)
            }
            Question::Password { user, password } => {
                Answer::Password(self.check_password(user, password).await)
            }
            Question::Failed { user, address } => {
                let delay =
                    self.guesses
                        .failed(user.bare_str(), &Origin::name(&address), self.clock.now());
                tracing::info!(account = %user, %address, ?delay, "login failed");
                tokio::time::sleep(delay).await;
                Answer::Noted
            }
            Question::Authorize { user, generation } => {
                Answer::Authorized(self.authorize(&user, generation).await)
            }
            Question::Upgrade { user, hash, keys } => {
                Answer::Upgraded(self.upgrade(&user, hash, &keys).await)
            }
            Question::Bind(request) => Answer::Bound(self.bind(*request).await),
            Question::Resume(request) => {
                Answer::Resumed(self.router.resume_session(*request).await)
            }
            Question::Inline(request) => Answer::Inline(self.inline(&request).await),
            Question::Stranger(iq) => Answer::Stranger(self.stranger(*iq).await),
            Question::Module(question) => Answer::Module(question.answer.await),
        }
    }

    async fn credentials(&self, user: &Jid, hash: ScramHash) -> Result<Credentials, SaslFailure> {
        self.accounts
            .credentials(user, hash)
            .await
            .map_err(|error| broken(user, &error))
    }

    /// PLAIN costs a full PBKDF2, for the unknown as for the known, away from the sockets.
    async fn check_password(&self, user: Jid, password: Secret) -> Result<(), SaslFailure> {
        let keys = self.credentials(&user, ScramHash::Sha256).await?.keys;
        let right = tokio::task::spawn_blocking(move || {
            password.expose_str().is_some_and(|password| {
                stringprep::saslprep(password)
                    .is_ok_and(|password| keys.verify_password(ScramHash::Sha256, &password))
            })
        })
        .await
        .unwrap_or(false);
        if right {
            Ok(())
        } else {
            Err(SaslCondition::NotAuthorized.into())
        }
    }

    async fn authorize(
        &self,
        user: &Jid,
        generation: Option<u64>,
    ) -> Result<Authorized, SaslFailure> {
        if self.guests.load().contains_key(user.domain()) {
            return Ok(Authorized::default());
        }
        let record = self
            .accounts
            .find(user)
            .await
            .map_err(|error| broken(user, &error))?;
        match record {
            Some(record) if record.disabled.is_some() => Err(SaslCondition::AccountDisabled.into()),
            Some(record) if generation.is_some_and(|proved| proved != record.generation) => {
                Err(SaslCondition::NotAuthorized.into())
            }
            Some(record) => Ok(Authorized {
                generation: record.generation,
                missing: ScramHash::ALL
                    .into_iter()
                    .filter(|hash| record.keys(*hash).is_none())
                    .collect(),
            }),
            None => Err(SaslCondition::NotAuthorized.into()),
        }
    }

    async fn upgrade(
        &self,
        user: &Jid,
        hash: ScramHash,
        keys: &ScramKeys,
    ) -> Result<(), SaslFailure> {
        match self.accounts.add_keys(user, hash, keys).await {
            Ok(()) => Ok(()),
            Err(AccountError::Store(error)) => Err(broken(user, &error)),
            Err(_) => Err(SaslCondition::TemporaryAuthFailure.into()),
        }
    }

    /// What a module says to an iq before login.
    async fn stranger(&self, asked: StrangerIq) -> Element {
        let stanza = Stanza::from_element(asked.iq.clone());
        let host = self.router.host(asked.host.domain());
        let (Ok(stanza), Some(host)) = (stanza, host) else {
            return refused(&asked.iq, &Condition::BadRequest.into());
        };
        let verb = match stanza.kind {
            Kind::Iq(IqType::Get) => Verb::Get,
            _ => Verb::Set,
        };
        let stranger = Stranger {
            verb,
            iq: asked.iq.clone(),
            address: asked.address,
            visit: asked.visit,
        };
        let payload = stanza.payload();
        let reply = payload.and_then(|payload| host.tables.answer_stranger(payload, &stranger));
        let Some(mut reply) = reply else {
            return refused(&asked.iq, &Condition::ServiceUnavailable.into());
        };
        while let Reply::Later(later) = reply {
            reply = later.await;
        }
        match reply {
            Reply::Error(error) => refused(&asked.iq, &error),
            Reply::Result(payload) => answer(&asked.iq, "result").with_children(payload),
            Reply::Later(_) | Reply::DoneThen(_) => {
                refused(&asked.iq, &Condition::InternalServerError.into())
            }
        }
    }

    /// What the modules say to requests inside `<authenticate/>`, in the order of the requests.
    async fn inline(&self, request: &InlineRequest) -> Vec<Element> {
        let Some(host) = self.router.host(request.user.domain()) else {
            return Vec::new();
        };
        let mut answers = Vec::new();
        for element in &request.elements {
            if let Some(answer) = host.tables.inline(request, element) {
                answers.extend(answer.await);
            }
        }
        answers
    }

    async fn bind(&self, request: BindRequest) -> Result<Bound, StanzaError> {
        let (user, address) = (request.user.clone(), Origin::name(&request.address));
        let guests = self.guests.load_full();
        let guests = guests.get(user.domain());
        if let Some(policy) = guests {
            self.room_for_guest(policy, user.domain(), &address)?;
        }
        let bound = self.router.bind_session(request).await?;
        if guests.is_some() {
            self.guest_seats().push(GuestSeat {
                host: user.domain().to_owned(),
                address,
                seat: Arc::downgrade(&bound.seat),
            });
        } else {
            self.guesses.succeeded(user.bare_str(), &address);
        }
        tracing::info!(session = %bound.jid, "logged in");
        Ok(bound)
    }

    fn room_for_guest(
        &self,
        policy: &Guests,
        host: &str,
        address: &str,
    ) -> Result<(), StanzaError> {
        let mut seats = self.guest_seats();
        seats.retain(|guest| guest.seat.strong_count() > 0);
        let here = seats.iter().filter(|guest| guest.host == host).count();
        let same = seats
            .iter()
            .filter(|guest| guest.host == host && guest.address == address)
            .count();
        if here >= policy.sessions as usize || same >= policy.sessions_per_address as usize {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many guests; try again later"));
        }
        Ok(())
    }

    fn guest_seats(&self) -> std::sync::MutexGuard<'_, Vec<GuestSeat>> {
        self.guest_seats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing of the request goes back with the answer: it may hold a password (XEP-0077 §3.3).
fn answer(iq: &Element, kind: &str) -> Element {
    let mut answer = Element::new("iq", ns::CLIENT).with_attr("type", kind);
    answer.set_attr("id", iq.attr("id"));
    answer.set_attr("from", iq.attr("to"));
    answer
}

fn refused(iq: &Element, error: &StanzaError) -> Element {
    answer(iq, "error").with_child(error.to_element())
}

fn broken(user: &Jid, error: &dyn std::fmt::Display) -> SaslFailure {
    tracing::error!(account = %user, %error, "an account cannot be read; run `waxwing check`");
    SaslCondition::TemporaryAuthFailure.into()
}
