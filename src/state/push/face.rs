//! What a desk hears of accounts and of their sessions, and how clients register.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::desk::{Desk, Way, unstored};
use super::notice::Notice;
use super::registrations::{Device, Registration, Registrations};
use super::watch::Asleep;
use crate::hooks::{
    Account, Entry, Envelope, Event, Facts, Path, Phase, Registrar, Reply, Request, SessionEvent,
    SessionId, SessionInfo, Taken, Turn, Verdict,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, PresenceType};
use crate::state::by_client::PutError;
use crate::state::log;
use crate::state::owned::Line;
use crate::state::roster::Roster;
use crate::store::CommitError;

/// A mark on accounts that have registrations of a kind, or had when they were loaded.
struct Registered<T>(PhantomData<fn() -> T>);

/// How often what was told long ago is forgotten.
const SWEEP: Duration = Duration::from_secs(600);
/// Messages that are looked at of those a client did not confirm.
const UNCONFIRMED: usize = 20;

impl<W: Way> Desk<W> {
    /// Claims what the desk needs to hear.
    pub fn listen(self: &Arc<Self>, r: &mut Registrar<'_>) {
        r.part(|view, uid| {
            let any = Registrations::<W::Target>::any(view, uid)?;
            Ok(any.then_some(Registered::<W::Target>(PhantomData)))
        });
        let this = self.clone();
        r.delivered(move |envelope, taken, turn| this.delivered(envelope, taken, turn));
        let this = self.clone();
        r.unconfirmed(move |session, entries, turn| this.unconfirmed(session, entries, turn));
        let this = self.clone();
        r.presence(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.asked(envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.session(move |event, session, turn| {
            let there = matches!(event, SessionEvent::Bound | SessionEvent::Resumed);
            if there
                && is_registered::<W>(turn.account)
                && let Some(session) = turn.account.session(session)
            {
                this.awake(turn.account.uid, &Device::of(session));
            }
        });
        let this = self.clone();
        r.event(move |event| this.happened(event));
        let this = self.clone();
        r.every(SWEEP, move || this.forget());
    }

    /// A message was delivered.
    fn delivered(self: &Arc<Self>, envelope: &Envelope, taken: Taken, turn: &Turn<'_>) {
        let account = &*turn.account;
        if !is_registered::<W>(account) {
            return;
        }
        let (stanza, facts) = (&envelope.stanza, &envelope.facts);
        let passes = facts.no_store || stanza.kind == Kind::Message(MessageType::Groupchat);
        if passes && taken == Taken::None {
            return;
        }
        let Some(notice) = Notice::of(stanza, facts, &account.jid, self.pace.content) else {
            return;
        };
        let mut asleep = asleep(account);
        if passes {
            // It is in no log: who was not handed it will never see it.
            let from = envelope.from();
            let reached = account.sessions.iter().filter(|session| {
                let own = from.is_some_and(|from| session.directed.contains(from));
                envelope.reached.contains(&session.id) && !own
            });
            asleep.only = Some(reached.map(Device::of).collect());
        }
        self.tell(&account.jid, account.uid, asleep, notice);
    }

    /// A session lost its connection, and its client may not have got these.
    fn unconfirmed(self: &Arc<Self>, session: SessionId, entries: &[Entry], turn: &Turn<'_>) {
        let account = &*turn.account;
        let session = account.session(session);
        let Some(session) = session.filter(|_| is_registered::<W>(account)) else {
            return;
        };
        let asleep = Asleep {
            only: Some(SmallVec::from_elem(Device::of(session), 1)),
            ..asleep(account)
        };
        let from = entries.len().saturating_sub(UNCONFIRMED);
        let mids: Vec<_> = entries.iter().skip(from).map(|entry| entry.mid).collect();
        let (this, jid, uid) = (self.clone(), account.jid.clone(), account.uid);
        let store = turn.floor.store().clone();
        tokio::spawn(async move {
            let read = store.reading(move |view| log::some(view, uid, &mids)).await;
            let messages = read.unwrap_or_default();
            let content = this.pace.content;
            let notices = messages
                .iter()
                .filter_map(|it| Notice::of(&it.stanza, &Facts::of(&it.stanza), &jid, content));
            let all = notices.reduce(|mut all, notice| {
                all.join(notice);
                all
            });
            if let Some(notice) = all {
                this.tell(&jid, uid, asleep, notice);
            }
        });
    }

    /// Somebody asks for the account's presence: told when he was not waiting before, and waits after the commit.
    fn asked(self: &Arc<Self>, envelope: &Envelope, turn: &mut Turn<'_>) {
        if envelope.stanza.kind != Kind::Presence(PresenceType::Subscribe)
            || !is_registered::<W>(turn.account)
        {
            return;
        }
        let Some(contact) = envelope.from().map(Jid::bare) else {
            return;
        };
        if waits(turn.account, &contact) {
            return;
        }
        let this = self.clone();
        turn.after_commit(move |turn| {
            let account = &*turn.account;
            let roster = account.parts.find::<Roster>();
            let requests = roster.map_or(0, |roster| roster.requests().count());
            if waits(account, &contact) {
                let notice = Notice::of_requests(requests);
                this.tell(&account.jid, account.uid, asleep(account), notice);
            }
        });
    }

    /// Whoever is shut out is told nothing any more.
    fn happened(self: &Arc<Self>, event: &Event) {
        match event {
            Event::ClientRevoked(account, client) => {
                let device = Device::Client(client.clone());
                self.end(account, move |_| {
                    Box::new(move |registered: &Device| *registered == device)
                });
            }
            // Only those stay whose sessions did.
            Event::PasswordChanged(account) | Event::AccountDisabled(account) => {
                self.end(account, |account| {
                    let here: Vec<_> = account.sessions.iter().map(Device::of).collect();
                    Box::new(move |registered: &Device| !here.contains(registered))
                });
            }
            _ => {}
        }
    }

    /// Ends the registrations of the devices that are meant, as they are found in the account's turn.
    fn end(
        self: &Arc<Self>,
        account: &Jid,
        meant: impl FnOnce(&Account) -> Box<dyn Fn(&Device) -> bool + Send + Sync> + Send + 'static,
    ) {
        let this = self.clone();
        let act = move |turn: &mut Turn<'_>| {
            if !is_registered::<W>(turn.account) {
                return;
            }
            let meant = meant(turn.account);
            let (uid, account) = (turn.account.uid, turn.account.jid.clone());
            tokio::spawn(async move {
                let ended = this.registrations.remove(uid, |it| meant(&it.device));
                if let Err(error) = ended.await {
                    unstored(&account, &error);
                }
            });
        };
        self.floor.in_turn(account, Box::new(act));
    }

    /// Whether an account has registrations, or had.
    pub fn has_registrations(&self, account: &Account) -> bool {
        is_registered::<W>(account)
    }

    /// Registers a target for the session that asks.
    ///
    /// # Errors
    /// Who asks has no session of an account.
    pub fn register(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
        target: W::Target,
    ) -> Result<Reply, StanzaError> {
        let session = request.session.and_then(|id| turn.account.session(id));
        let session = session.filter(|_| !turn.account.guest);
        let registration = Registration {
            device: Device::of(session.ok_or(Condition::NotAllowed)?),
            since: self.clock.wall(),
            failing: None,
            target,
        };
        let mut place = Line::enter(turn.account)?;
        let (this, account, uid) = (self.clone(), turn.account.jid.clone(), turn.account.uid);
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            if let Err(error) = this.registrations.put(&account, uid, &registration).await {
                return Reply::Error(refusal(&account, &error));
            }
            // Not before it is there: if the account is loaded meanwhile it is found.
            this.floor.in_turn(&account, Box::new(mark::<W>));
            Reply::done()
        })))
    }

    /// Ends the registrations of the account that are meant; there need not be any.
    ///
    /// # Errors
    /// Who asks has no account.
    pub fn unregister(
        self: &Arc<Self>,
        turn: &mut Turn<'_>,
        meant: impl Fn(&Registration<W::Target>) -> bool + Send + Sync + 'static,
    ) -> Result<Reply, StanzaError> {
        if turn.account.guest {
            return Err(Condition::NotAllowed.into());
        }
        let mut place = Line::enter(turn.account)?;
        let (this, account, uid) = (self.clone(), turn.account.jid.clone(), turn.account.uid);
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.registrations.remove(uid, meant).await {
                Ok(_) => Reply::done(),
                Err(error) => Reply::Error(refusal(&account, &error)),
            }
        })))
    }
}

fn mark<W: Way>(turn: &mut Turn<'_>) {
    turn.account.parts.put(Registered::<W::Target>(PhantomData));
}

fn is_registered<W: Way>(account: &Account) -> bool {
    account.parts.find::<Registered<W::Target>>().is_some()
}

/// All devices but those that have a connection.
fn asleep(account: &Account) -> Asleep {
    let there = |session: &&SessionInfo| !session.detached;
    Asleep {
        only: None,
        awake: account
            .sessions
            .iter()
            .filter(there)
            .map(Device::of)
            .collect(),
    }
}

/// Whether somebody waits for the account's answer.
fn waits(account: &Account, contact: &Jid) -> bool {
    let roster = account.parts.find::<Roster>();
    roster.is_some_and(|roster| roster.state(contact).pending_in)
}

fn refusal(account: &Jid, error: &PutError) -> StanzaError {
    match error {
        PutError::Commit(CommitError::Precondition) => Condition::ServiceUnavailable.into(),
        PutError::Commit(_) => StanzaError::from(Condition::ResourceConstraint)
            .with_text("The server cannot store this now; try again later"),
        PutError::Store(error) => {
            tracing::error!(%account, %error, "what devices registered cannot be read; run `waxwing check`");
            Condition::InternalServerError.into()
        }
    }
}
