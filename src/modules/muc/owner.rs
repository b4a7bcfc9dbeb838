//! The owner of a room's address: runs the room's rules in its turns, and does what they lead to.

use std::any::Any;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::absent::{self, News};
use super::room::{Actor, Kept, Now, Occupant, Out, Role, Room, Session};
use super::{Creators, Service};
use crate::hooks::command::Rights;
use crate::hooks::service::{ServiceOwner, ServiceTurn};
use crate::hooks::{Effect, Envelope, Origin};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, PresenceType, Stanza};
use crate::state::rooms::Rid;
use crate::state::rooms::archive::{self, Said};
use crate::state::rooms::guests::Guest;
use crate::store::{Batch, Mid};

/// A room in memory.
pub struct RoomOwner {
    key: Box<str>,
    room: Room,
    service: Arc<Service>,
    /// Who made the room, if it exists for others.
    creator: Option<String>,
    /// Turns whose effects have not happened yet.
    under_way: Arc<AtomicUsize>,
    /// Messages of the archive that were looked up for a stanza that comes again, or that there are none.
    found: Arc<Found<Mid, Option<Said>>>,
    /// Who wants to make the room, and whether it administers the host.
    administers: Arc<Found<Jid, bool>>,
    /// What members learn who are not there.
    absent: Arc<absent::Desk>,
    /// Clients of other servers that were there when the process before this one ended without a word.
    lost: Vec<Guest>,
}

/// What was looked up for stanzas that come again.
struct Found<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + Hash, V> Found<K, V> {
    fn put(&self, key: K, value: V) {
        self.lock().insert(key, value);
    }

    fn take(&self, key: &K) -> Option<V> {
        self.lock().remove(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Found<K, V> {
    fn default() -> Self {
        Found(Mutex::default())
    }
}

impl RoomOwner {
    pub(super) fn new(
        key: &str,
        mut room: Room,
        service: Arc<Service>,
        suspended: Option<&[u8]>,
        lost: Vec<Guest>,
    ) -> Self {
        if let Some(occupants) = suspended.and_then(|bytes| read(bytes, &service.domain, key)) {
            let locked = None;
            room.take_over(Kept { occupants, locked });
        }
        let mut owner = RoomOwner {
            key: key.into(),
            creator: room.creator().map(str::to_owned),
            room,
            service,
            under_way: Arc::default(),
            found: Arc::default(),
            administers: Arc::default(),
            absent: Arc::default(),
            lost,
        };
        owner.show();
        owner
    }

    /// What the list of rooms, and the metrics, see of it.
    fn show(&mut self) {
        let creator = self.room.creator().map(str::to_owned);
        if creator != self.creator {
            let (live, gone) = (&self.service.live, self.creator.take());
            gone.iter().for_each(|by| live.ended(by));
            creator.iter().for_each(|by| live.made(by));
            self.creator = creator;
        }
        let there = self.room.exists().then(|| self.room.count());
        self.service.live.occupied.show(&self.key, there);
    }

    /// Looks up the message that a stanza is about; then the stanza comes again.
    fn look_up(&self, mid: Mid, envelope: &mut Envelope, turn: &ServiceTurn<'_>) {
        let Some(rid) = self.room.rid() else {
            return;
        };
        let again = again(envelope);
        let (found, floor) = (self.found.clone(), turn.floor.clone());
        let (room, store) = (again.to.bare(), self.service.store.clone());
        tokio::spawn(async move {
            let said = store.reading(move |view| archive::get(view, rid, mid));
            let said = said.await.unwrap_or_else(|error| {
                tracing::error!(%room, %error, "the archive of a room cannot be read; run `waxwing check`");
                None
            });
            found.put(mid, said);
            floor.route(Box::new(again));
        });
    }

    /// Whether a stanza would make the room, and it has to be looked up whether its sender may.
    fn asks_who(&self, from: &Jid, stanza: &Stanza) -> bool {
        let enters = matches!(stanza.kind, Kind::Presence(PresenceType::Available));
        let host = self.service.host.domain();
        enters
            && self.service.create == Creators::Admins
            && !self
                .service
                .admins
                .fixed(host)
                .any(|fixed| *fixed == from.bare())
    }

    /// Looks up whether somebody administers the host; then the stanza comes again.
    fn look_up_rights(&self, from: Jid, envelope: &mut Envelope, turn: &ServiceTurn<'_>) {
        let again = again(envelope);
        let (found, floor) = (self.administers.clone(), turn.floor.clone());
        let service = self.service.clone();
        tokio::spawn(async move {
            let caller = service.admins.caller(&from, &service.host).await;
            let rights = caller.map(|caller| caller.rights);
            found.put(from, rights.is_ok_and(|rights| rights != Rights::None));
            floor.route(Box::new(again));
        });
    }

    /// Why the sender of a stanza may make no room, if so; `None` if that has to be looked up first.
    fn may_create(&self, from: &Jid, stanza: &Stanza) -> Option<Result<(), Condition>> {
        if !self.room.may_begin() || !matches!(stanza.kind, Kind::Presence(_)) {
            return Some(Err(Condition::NotAllowed));
        }
        let administers = match self.asks_who(from, stanza) {
            true => self.administers.take(from)?,
            false => true,
        };
        Some(self.service.may_create(from, administers))
    }

    /// Members of this host who are not there learn what was said.
    fn tell_absent(&self, stanza: Arc<Stanza>, turn: &mut ServiceTurn<'_>) {
        let host = self.service.host.domain();
        let members = self.room.absent(host, self.service.absent);
        if !members.is_empty() {
            let open = self.room.is_open();
            let news = News {
                stanza,
                members,
                open,
            };
            let effect = absent::pass_on(&self.service, &self.absent, news);
            turn.ledger.effects.push(effect);
        }
    }

    /// Clients that were lost are told so, but for one that is about to enter again.
    fn tell_lost(&mut self, sender: &Jid, stanza: &Stanza, turn: &mut ServiceTurn<'_>) -> Batch {
        let mut batch = Batch::new().relaxed();
        for lost in std::mem::take(&mut self.lost) {
            let returns = lost.0 == *sender && matches!(stanza.kind, Kind::Presence(_));
            if let Some(told) = self.room.put_out_lost(&lost) {
                self.room.forget_lost(&lost, &mut batch);
                if !returns {
                    turn.send_copies(Arc::new(told), smallvec![lost.0]);
                }
            }
        }
        batch
    }

    fn follow(&mut self, out: Out, envelope: &Envelope, turn: &mut ServiceTurn<'_>) {
        let floor = turn.floor;
        let guests = self.room.write_guests(|jid| !floor.is_local(jid.domain()));
        turn.batch().merge(out.batch);
        turn.batch().merge(guests);
        let writes = !turn.batch().is_empty();
        let queued = envelope.receipt.as_ref().is_some_and(|r| r.must_queue());
        let waits = writes || queued || self.under_way.load(Ordering::Acquire) > 0;
        if waits {
            turn.keep_order();
        }
        let said = Kind::Message(MessageType::Groupchat);
        for mut tell in out.tells {
            if tell.stanza.kind == said {
                // Who stays and is of this server reads it in the room's archive.
                tell.to
                    .retain(|to| to.is_full() || !floor.is_local(to.domain()));
            }
            turn.send_copies(tell.stanza, tell.to);
        }
        if let Some(asked) = out.asked {
            self.service.read_archive(asked, envelope, turn.floor);
        }
        if let Some(said) = out.said {
            self.tell_absent(said, turn);
        }
        if let Some(rid) = out.profile {
            self.service.read_profile(rid, envelope, turn.floor);
        }
        if let Some(of) = out.group_info {
            self.service.read_group_info(of, envelope, turn.floor);
        }
        if let Some(rid) = out.cleared {
            let service = self.service.clone();
            turn.ledger
                .effects
                .push(Effect::Free(Box::new(move || service.clear(rid))));
        }
        if waits {
            let under_way = self.under_way.clone();
            under_way.fetch_add(1, Ordering::AcqRel);
            let through = move || {
                under_way.fetch_sub(1, Ordering::AcqRel);
            };
            turn.ledger.effects.push(Effect::Free(Box::new(through)));
        }
    }
}

impl ServiceOwner for RoomOwner {
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let stanza = envelope.stanza.clone();
        let Some(from) = stanza.from.clone() else {
            return;
        };
        let Some(may_create) = self.may_create(&from, &stanza) else {
            return self.look_up_rights(from, envelope, turn);
        };
        let barred = self.service.named.has(&from);
        let actor = Actor {
            may_create,
            barred,
            // Commands of administrators ask in the name of the host (see `desk`).
            may_all: envelope.origin == Origin::Server && from == self.service.host,
            jid: from,
        };
        let wanted = self.room.wants(&actor.jid, &stanza);
        let found = wanted.map(|mid| (mid, self.found.take(&mid)));
        if let Some((mid, None)) = found {
            return self.look_up(mid, envelope, turn);
        }
        let found = found.and_then(|(_, found)| found.flatten());
        let store = turn.floor.store();
        let now = Now {
            wall: turn.floor.clock().wall(),
            instant: turn.floor.clock().now(),
            number: &|| Rid::allocate(store),
            found: found.as_ref(),
        };
        let lost = self.tell_lost(&actor.jid, &stanza, turn);
        turn.batch().merge(lost);
        let mut out = self.room.handle(&actor, &envelope.to, &stanza, &now);
        if actor.jid == self.service.domain {
            let named = &self.service.named;
            self.room.put_out_barred(|bare| named.has(bare), &mut out);
        }
        if let Some(bound) = self.room.reached() {
            self.service.reached.count(bound);
        }
        self.follow(out, envelope, turn);
        self.show();
    }

    fn stop(&mut self, turn: &mut ServiceTurn<'_>) {
        let floor = turn.floor;
        let out = self.room.stop(|client| floor.is_local(client.domain()));
        for tell in out.tells {
            turn.send_copies(tell.stanza, tell.to);
        }
        // Nobody who is told waits for the disk, which follows before the end; else they are told again.
        let guests = self.room.write_guests(|jid| !floor.is_local(jid.domain()));
        floor.store().hand_in(guests, |_| ());
        self.show();
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        write(&self.room)
    }

    fn idle(&self) -> bool {
        self.room.clients_there() == 0 && self.under_way.load(Ordering::Acquire) == 0
    }

    fn hand_over(&mut self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(self.room.hand_over()))
    }

    fn take_over(&mut self, kept: Box<dyn Any + Send>) {
        if let Ok(kept) = kept.downcast::<Kept>() {
            self.room.take_over(*kept);
        }
        self.show();
    }

    fn writes(&self) -> bool {
        true
    }
}

/// The stanza of an envelope, to be handled later.
fn again(envelope: &mut Envelope) -> Envelope {
    let (to, origin) = (envelope.to.clone(), envelope.origin.clone());
    let mut again = Envelope::new(envelope.stanza.clone(), to, origin);
    again.receipt = envelope.receipt.take();
    again
}

/// An occupant as it is kept over a restart.
#[derive(Serialize, Deserialize)]
struct Written {
    nick: String,
    bare: Jid,
    role: String,
    id: Box<str>,
    sessions: Vec<(Jid, String)>,
}

fn write(room: &Room) -> Option<Vec<u8>> {
    if room.clients_there() == 0 || room.is_locked() {
        return None;
    }
    let written: Vec<Written> = room
        .occupants()
        .filter(|occupant| occupant.has_client())
        .map(|occupant| Written {
            nick: occupant.nick().to_owned(),
            bare: occupant.bare.clone(),
            role: occupant.role.as_str().to_owned(),
            id: occupant.id.clone(),
            sessions: occupant
                .sessions
                .iter()
                .filter(|session| session.jid.is_full())
                .map(|session| {
                    let xml = session.presence.to_bytes();
                    (
                        session.jid.clone(),
                        String::from_utf8_lossy(&xml).into_owned(),
                    )
                })
                .collect(),
        })
        .collect();
    serde_json::to_vec(&written).ok()
}

fn read(bytes: &[u8], domain: &Jid, key: &str) -> Option<Vec<Occupant>> {
    let room = Jid::new(Some(key), domain.domain(), None).ok()?;
    let written: Vec<Written> = serde_json::from_slice(bytes).ok()?;
    let occupant = |written: Written| {
        let sessions = written.sessions.into_iter();
        let sessions = sessions.map(|(jid, xml)| {
            let presence = Stanza::from_bytes(xml.as_bytes()).ok()?;
            Some(Session { jid, presence })
        });
        Some(Occupant {
            address: room.with_resource(&written.nick).ok()?,
            bare: written.bare,
            role: Role::parse(&written.role)?,
            id: written.id,
            sessions: sessions.collect::<Option<_>>()?,
        })
    };
    written.into_iter().map(occupant).collect()
}
