//! What a desk hears of accounts and of their sessions, and how clients register.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::chats::{self, Unset};
use super::desk::{Desk, Way, unstored};
use super::notice::Notice;
use super::registrations::{Device, Registration, Registrations};
use super::watch::Asleep;
use crate::hooks::{
    Account, Class, Entry, Envelope, Event, Facts, Missed, Path, Phase, Registrar, Reply, Request,
    SessionEvent, SessionId, SessionInfo, Taken, Turn, Verdict,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, PresenceType, Stanza};
use crate::state::by_client::PutError;
use crate::state::log;
use crate::state::own_nodes::OwnNodes;
use crate::state::owned::Line;
use crate::state::roster::Roster;
use crate::store::CommitError;

/// The devices of an account that have registrations of a kind, or had some since it was loaded.
struct Registered<T>(Vec<Device>, PhantomData<fn() -> T>);

/// Messages to an account that wait for what it wants of their chats; a part of the account.
#[derive(Default)]
struct Asking(Line);

/// So many may wait; more are told without being asked about.
const ASKING: u32 = 32;

/// How often what was told long ago is forgotten.
const SWEEP: Duration = Duration::from_secs(600);
/// Messages that are looked at of those a client did not confirm.
const UNCONFIRMED: usize = 20;

impl<W: Way> Desk<W> {
    /// Claims what the desk needs to hear.
    pub fn listen(self: &Arc<Self>, r: &mut Registrar<'_>) {
        r.part(|view, uid| {
            let devices = Registrations::<W::Target>::devices(view, uid)?;
            Ok((!devices.is_empty()).then_some(Registered::<W::Target>(devices, PhantomData)))
        });
        let this = self.clone();
        r.delivered(move |envelope, taken, turn| this.delivered(envelope, taken, turn));
        let this = self.clone();
        r.message(Path::FromClient, Phase::Mirror, move |envelope, turn| {
            this.answers(envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.missed(move |missed, turn| this.missed(missed, turn));
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
    fn delivered(self: &Arc<Self>, envelope: &Envelope, taken: Taken, turn: &mut Turn<'_>) {
        let account = &*turn.account;
        let Some(registered) = account.parts.find::<Registered<W::Target>>() else {
            return;
        };
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
        if registered.0.iter().any(|device| asleep.has(device)) {
            let said = (&envelope.stanza, envelope.facts.sealed.is_some());
            self.tell_if_wanted(said, Unset::default(), asleep, notice, turn);
        }
    }

    /// A client answered a call: the devices that it was told to must ring no longer.
    fn answers(self: &Arc<Self>, envelope: &Envelope, turn: &mut Turn<'_>) {
        let account = &*turn.account;
        let registered = account.parts.find::<Registered<W::Target>>();
        let registered = registered.filter(|_| envelope.facts.class == Class::Call);
        let Some(registered) = registered else {
            return;
        };
        let asleep = asleep(account);
        if registered.0.iter().any(|device| asleep.has(device))
            && let Some(notice) = Notice::answered(&envelope.stanza)
        {
            self.tell(&account.jid, account.uid, asleep, notice);
        }
    }

    /// Something is in no log of the account: what was said in a room, or what waits for one client.
    fn missed(self: &Arc<Self>, missed: &Missed, turn: &mut Turn<'_>) {
        let account = &*turn.account;
        let Some(registered) = account.parts.find::<Registered<W::Target>>() else {
            return;
        };
        let (stanza, facts) = (&missed.stanza, &missed.facts);
        let Some(notice) = Notice::of(stanza, facts, &account.jid, self.pace.content) else {
            return;
        };
        let asleep = Asleep {
            only: missed
                .only
                .clone()
                .map(|device| SmallVec::from_elem(device, 1)),
            ..asleep(account)
        };
        if registered.0.iter().any(|device| asleep.has(device)) {
            let unset = Unset::of_room(missed.open, missed.nick.clone());
            self.tell_if_wanted(
                (stanza, facts.sealed.is_some()),
                unset,
                asleep,
                notice,
                turn,
            );
        }
    }

    /// Tells of a message unless its chat is to wake nobody; calls always ring.
    fn tell_if_wanted(
        self: &Arc<Self>,
        (stanza, sealed): (&Arc<Stanza>, bool),
        unset: Unset,
        asleep: Asleep,
        notice: Notice,
        turn: &mut Turn<'_>,
    ) {
        let (jid, uid) = (turn.account.jid.clone(), turn.account.uid);
        let place = match notice.call {
            Some(_) => None,
            None => turn.account.parts.of::<Asking>(),
        };
        let Some(Ok(mut place)) = place.map(|asking| asking.0.join(ASKING)) else {
            return self.tell(&jid, uid, asleep, notice);
        };
        let stanza = stanza.clone();
        let (this, own) = (self.clone(), OwnNodes::new(&self.floor, &jid));
        tokio::spawn(async move {
            place.reached().await;
            if chats::wakes(&own, &jid, &stanza, sealed, W::CLIENTS, &unset).await {
                this.tell(&jid, uid, asleep, notice);
            }
        });
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
            let own = OwnNodes::new(&this.floor, &jid);
            let mut all: Option<Notice> = None;
            for message in read.unwrap_or_default() {
                let (stanza, facts) = (&message.stanza, Facts::of(&message.stanza));
                let Some(notice) = Notice::of(stanza, &facts, &jid, this.pace.content) else {
                    continue;
                };
                let (sealed, unset) = (facts.sealed.is_some(), Unset::default());
                let wakes = chats::wakes(&own, &jid, stanza, sealed, W::CLIENTS, &unset);
                if notice.call.is_none() && !wakes.await {
                    continue;
                }
                match &mut all {
                    Some(all) => all.join(notice),
                    None => all = Some(notice),
                }
            }
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
            let (device, most) = (registration.device, this.pace.most);
            let mark = move |turn: &mut Turn<'_>| mark::<W>(turn, device, most);
            this.floor.in_turn(&account, Box::new(mark));
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

/// Notes that a device is registered; one beyond those an account may have takes the place of the oldest.
fn mark<W: Way>(turn: &mut Turn<'_>, device: Device, most: usize) {
    let parts = &mut turn.account.parts;
    match parts.find_mut::<Registered<W::Target>>() {
        None => parts.put(Registered::<W::Target>(vec![device], PhantomData)),
        Some(Registered(devices, _)) => {
            devices.retain(|known| *known != device);
            devices.push(device);
            let too_many = devices.len().saturating_sub(most);
            devices.drain(..too_many);
        }
    }
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
