//! XEP-0410: MUC Self-Ping (1.1.0), by the server for its clients, of rooms at other servers

mod back;
mod choice;
mod joined;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Period;
use crate::hooks::command::Command;
use crate::hooks::{
    Deps, Envelope, Floor, Info, Module, ModuleError, Origin, Path, Phase, Registrar, SessionEvent,
    SessionId, SessionSlot, To, Turn, Verdict,
};
use crate::metrics::{Counter, Registry};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};
use crate::runtime::clock::Clock;
use crate::runtime::random;
use crate::settings;
use crate::xml::Element;

use self::back::{Back, Pace};
use self::joined::{Answer, Due, Rooms, Shown};

settings! {
    /// Whoever is in a room at another server, and falls out of it without being told, is told so.
    pub struct Config {
        /// After so much silence a room is asked whether the client is still there.
        pub silence: Period = Period::minutes(15) => within(Period::seconds(1)..=Period::days(1));
        /// Rooms of one session that are watched.
        pub rooms: u32 = 100 => within(1..=1_000);
        /// Questions and attempts in one round; there is one every minute, or as often as the times here ask for.
        pub questions: u32 = 500 => within(1..=100_000);
        /// Attempts to bring a client back into a room, if it asked for that.
        pub rejoins: u32 = 10 => within(0..=100);
        /// The pause before the second of them; each is twice as long as the one before, and none longer than an hour.
        pub rejoin_pause: Period = Period::seconds(30) => within(Period::seconds(1)..=Period::minutes(60));
    }
}

/// The longest pause between two rounds.
const ROUND: Duration = Duration::from_secs(60);

/// Watches rooms.
pub struct RoomWatch {
    silence: Duration,
    rooms: usize,
    questions: u32,
    pace: Pace,
    /// Questions that may still be asked in this round.
    left: AtomicU32,
    watched: Arc<Watched>,
    clock: Clock,
    floor: Arc<dyn Floor>,
    host: Jid,
    fallen_out: Counter,
    rejoins: Counter,
    full: Counter,
}

/// Accounts with sessions that are in rooms elsewhere.
#[derive(Default)]
struct Watched(Mutex<HashSet<Jid>>);

impl Watched {
    fn put(&self, account: &Jid) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.contains(account) {
            watched.insert(account.clone());
        }
    }

    fn remove(&self, account: &Jid) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.remove(account);
    }

    fn all(&self) -> Vec<Jid> {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().cloned().collect()
    }
}

impl Module for RoomWatch {
    const INFO: Info = Info {
        name: "room_watch",
        specs: &[("XEP-0410", "1.1.0")],
        doc: "Whoever falls out of a room at another server without being told is told so, or brought back.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &choice::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let watched = deps
            .shared
            .of(&deps.host, || Ok::<_, ModuleError>(Watched::default()))?;
        Ok(RoomWatch {
            silence: config.silence.get(),
            rooms: config.rooms as usize,
            questions: config.questions,
            pace: Pace {
                first: config.rejoin_pause.get(),
                most: config.rejoins,
            },
            left: AtomicU32::new(0),
            watched,
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            host: deps.host.clone(),
            fallen_out: fallen_out_counter(&deps.metrics),
            rejoins: rejoins_counter(&deps.metrics),
            full: deps.metrics.limit("modules.room_watch.rooms"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let slot = r.session_slot::<Rooms>("rooms", 1);
        r.feature(To::OwnAccount, ns::REJOIN);
        choice::offer(&self, r);
        let this = self.clone();
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.sent(slot, envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.presence(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.shown(slot, envelope, turn)
        });
        let this = self.clone();
        r.message(Path::ToClient, Phase::Record, move |envelope, turn| {
            let rooms = rooms_of(slot, envelope, turn);
            if let Some((rooms, from)) = rooms.zip(envelope.from()) {
                rooms.heard(from, this.clock.wall());
            }
            Verdict::Continue
        });
        let this = self.clone();
        r.iq_transit(Path::ToClient, Phase::Check, move |envelope, turn| {
            this.answered(slot, envelope, turn)
        });
        let this = self.clone();
        r.session(move |event, id, turn| this.session(slot, event, id, turn));
        let period = (self.silence / 4).min(self.pace.first).min(ROUND);
        r.every(period, move || self.clone().round(slot));
    }
}

/// What is kept of the session that a stanza is for, if that is in rooms.
fn rooms_of<'t>(
    slot: SessionSlot<Rooms>,
    envelope: &Envelope,
    turn: &'t mut Turn<'_>,
) -> Option<&'t mut Rooms> {
    let session = turn.account.resource(&envelope.to)?;
    slot.of(session)?;
    let id = session.id;
    slot.of_mut(turn.account.session_mut(id)?)
}

impl RoomWatch {
    /// A client enters a room, or leaves it.
    fn sent(&self, slot: SessionSlot<Rooms>, envelope: &Envelope, turn: &mut Turn<'_>) {
        let (Kind::Presence(kind), Origin::Session(id)) = (envelope.stanza.kind, &envelope.origin)
        else {
            return;
        };
        let to = &envelope.to;
        let directed = envelope.stanza.to.is_some() && to.node().is_some();
        if !directed || self.floor.is_local(to.domain()) {
            return;
        }
        let says = kind == PresenceType::Available && to.is_full();
        let enters = envelope.stanza.child("x", ns::MUC).filter(|_| says);
        let asks = enters.is_some_and(|x| x.child("rejoin", ns::REJOIN).is_some());
        let back = enters.is_some() && (asks || choice::wants(turn));
        let now = self.clock.wall();
        let back = back.then(|| Back::of(&envelope.stanza, now));
        let Some(session) = turn.account.session_mut(*id) else {
            return;
        };
        if enters.is_none() && slot.of(session).is_none() {
            return;
        }
        let Some(rooms) = slot.of_mut(session) else {
            return;
        };
        match kind {
            _ if enters.is_some() => match rooms.enter(to, back, now, self.rooms) {
                true => self.watched.put(&turn.account.jid),
                false => self.full.count(),
            },
            PresenceType::Available => rooms.says(to, &envelope.stanza),
            PresenceType::Unavailable => rooms.leave(to),
            _ => {}
        }
    }

    /// A room shows presence.
    fn shown(&self, slot: SessionSlot<Rooms>, envelope: &Envelope, turn: &mut Turn<'_>) -> Verdict {
        let (now, calm) = (self.clock.wall(), self.calm());
        let Some(rooms) = rooms_of(slot, envelope, turn) else {
            return Verdict::Continue;
        };
        match rooms.shown(&envelope.stanza, now, calm, self.pace) {
            Shown::Pass => return Verdict::Continue,
            Shown::Refused => {}
            Shown::Gone(address) => self.tell(&address, &envelope.to, turn),
        }
        Verdict::Consume
    }

    /// A client learns that it is out.
    fn tell(&self, address: &Jid, client: &Jid, turn: &mut Turn<'_>) {
        self.fallen_out.count();
        turn.send(fallen_out(address, client));
    }

    /// Milliseconds of silence after which a room is asked.
    fn calm(&self) -> u64 {
        u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX)
    }

    /// The answer to a question of ours is for nobody else.
    fn answered(
        &self,
        slot: SessionSlot<Rooms>,
        envelope: &Envelope,
        turn: &mut Turn<'_>,
    ) -> Verdict {
        let (now, calm) = (self.clock.wall(), self.calm());
        let Some(rooms) = rooms_of(slot, envelope, turn) else {
            return Verdict::Continue;
        };
        match rooms.answered(&envelope.stanza, now, calm, self.pace) {
            Answer::NotOurs => return Verdict::Continue,
            Answer::There | Answer::Unknown => {}
            Answer::Gone(address) => self.tell(&address, &envelope.to, turn),
            Answer::Out => {
                let due = rooms.due(&envelope.to, now, self.pace);
                self.bring_back(&envelope.to, due, turn);
            }
        }
        Verdict::Consume
    }

    /// A client that is out enters again, or learns that it is out.
    fn bring_back(&self, client: &Jid, due: Option<Due>, turn: &mut Turn<'_>) {
        match due {
            Some(Due::Join(join)) => {
                self.rejoins.count();
                turn.send(join);
            }
            Some(Due::Over(Some(address))) => self.tell(&address, client, turn),
            Some(Due::Over(None)) | None => {}
        }
    }

    fn session(
        &self,
        slot: SessionSlot<Rooms>,
        event: SessionEvent,
        id: SessionId,
        turn: &mut Turn<'_>,
    ) {
        let account = turn.account.jid.clone();
        let Some(session) = turn.account.session_mut(id) else {
            return;
        };
        match event {
            // Whom presence was directed to was told as well.
            SessionEvent::Unavailable => drop(slot.take(session)),
            SessionEvent::Restored if slot.of(session).is_some() => self.watched.put(&account),
            _ => {}
        }
    }

    /// Has all look at their rooms.
    fn round(self: Arc<Self>, slot: SessionSlot<Rooms>) {
        self.left.store(self.questions, Ordering::Relaxed);
        for account in self.watched.all() {
            let this = self.clone();
            let look = move |turn: &mut Turn<'_>| this.look(slot, turn);
            self.floor.in_turn(&account, Box::new(look));
        }
    }

    /// Asks the rooms of an account that were silent for too long. Who is away could not answer what some rooms pass on.
    fn look(&self, slot: SessionSlot<Rooms>, turn: &mut Turn<'_>) {
        let (now, calm) = (self.clock.wall(), self.calm());
        let (mut questions, mut due, mut some) = (Vec::new(), Vec::new(), false);
        for session in &mut turn.account.sessions {
            if slot.of(session).is_none() {
                continue;
            }
            let (client, detached) = (session.jid.clone(), session.detached);
            let Some(rooms) = slot.of_mut(session) else {
                continue;
            };
            some |= !rooms.is_empty();
            if detached {
                continue;
            }
            for room in rooms.silent(now, calm) {
                if !self.may_ask() {
                    break;
                }
                let id = random::id();
                questions.push(question(&client, room.ask(&id, now), &id));
            }
            while rooms.is_due(now) && self.may_ask() {
                due.push((client.clone(), rooms.due(&client, now, self.pace)));
            }
        }
        if !some {
            self.watched.remove(&turn.account.jid);
        }
        questions
            .into_iter()
            .for_each(|question| turn.send(question));
        for (client, due) in due {
            self.bring_back(&client, due, turn);
        }
    }

    fn may_ask(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

fn fallen_out_counter(metrics: &Registry) -> Counter {
    metrics.counter(
        "waxwing_rooms_fallen_out_total",
        "Times that a client was no longer in a room at another server, and was told so.",
        &[],
    )
}

fn rejoins_counter(metrics: &Registry) -> Counter {
    metrics.counter(
        "waxwing_rooms_rejoins_total",
        "Attempts to bring a client back into a room at another server.",
        &[],
    )
}

/// §3.2.
fn question(client: &Jid, address: &Jid, id: &str) -> Stanza {
    Stanza::iq(IqType::Get)
        .with_from(client.clone())
        .with_to(address.clone())
        .with_id(id)
        .with_child(Element::new("ping", ns::PING))
}

/// What a room says to who is put out for an error (XEP-0045 §18.1.2).
fn fallen_out(address: &Jid, client: &Jid) -> Stanza {
    let user = |name| Element::new(name, ns::MUC_USER);
    let item = user("item")
        .with_attr("affiliation", "none")
        .with_attr("role", "none")
        .with_child(user("reason").with_text("The room does not know you any more."));
    let status = ["110", "333"].map(|code| user("status").with_attr("code", code));
    Stanza::presence(PresenceType::Unavailable)
        .with_from(address.clone())
        .with_to(client.clone())
        .with_child(user("x").with_child(item).with_children(status))
}
