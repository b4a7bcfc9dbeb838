//! The owner of a room's address: runs the room's rules in its turns, and does what they lead to.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Service;
use super::room::{Actor, Kept, Now, Occupant, Out, Role, Room, Session};
use crate::hooks::service::{ServiceOwner, ServiceTurn};
use crate::hooks::{Effect, Envelope, Origin};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, Stanza};
use crate::state::rooms::Rid;
use crate::state::rooms::archive::{self, Said};
use crate::store::Mid;

/// A room in memory.
pub struct RoomOwner {
    key: Box<str>,
    room: Room,
    service: Arc<Service>,
    /// Who made the room, if it exists for others.
    creator: Option<String>,
    /// Turns whose effects have not happened yet.
    under_way: Arc<AtomicUsize>,
    /// Messages of the archive that were looked up for a stanza that comes again.
    found: Arc<Found>,
}

/// What was found, or that there is none.
type Found = Mutex<HashMap<Mid, Option<Said>>>;

fn put(found: &Found, mid: Mid, said: Option<Said>) {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.insert(mid, said);
}

fn take(found: &Found, mid: Mid) -> Option<Option<Said>> {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.remove(&mid)
}

impl RoomOwner {
    pub(super) fn new(
        key: &str,
        mut room: Room,
        service: Arc<Service>,
        suspended: Option<&[u8]>,
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
        self.service.live.show(&self.key, there);
    }

    /// Looks up the message that a stanza is about; then the stanza comes again.
    fn look_up(&self, mid: Mid, envelope: &mut Envelope, turn: &ServiceTurn<'_>) {
        let Some(rid) = self.room.rid() else {
            return;
        };
        let (to, origin) = (envelope.to.clone(), envelope.origin.clone());
        let mut again = Envelope::new(envelope.stanza.clone(), to, origin);
        again.receipt = envelope.receipt.take();
        let (found, floor) = (self.found.clone(), turn.floor.clone());
        let (room, store) = (again.to.bare(), self.service.store.clone());
        tokio::spawn(async move {
            let said = store.reading(move |view| archive::get(view, rid, mid));
            let said = said.await.unwrap_or_else(|error| {
                tracing::error!(%room, %error, "the archive of a room cannot be read; run `waxwing check`");
                None
            });
            put(&found, mid, said);
            floor.route(Box::new(again));
        });
    }

    fn follow(&mut self, out: Out, envelope: &Envelope, turn: &mut ServiceTurn<'_>) {
        let writes = !out.batch.is_empty();
        let queued = envelope.receipt.as_ref().is_some_and(|r| r.must_queue());
        turn.batch().merge(out.batch);
        let waits = writes || queued || self.under_way.load(Ordering::Acquire) > 0;
        if waits {
            turn.keep_order();
        }
        for tell in out.tells {
            turn.send_copies(tell.stanza, tell.to);
        }
        if let Some(asked) = out.asked {
            self.service.read_archive(asked, envelope, turn.floor);
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
        let actor = Actor {
            may_create: match (self.room.count(), stanza.kind) {
                (0, Kind::Presence(_)) => self.service.may_create(&from),
                _ => Err(Condition::NotAllowed),
            },
            // Commands of administrators ask in the name of the host (see `desk`).
            may_all: envelope.origin == Origin::Server && from == self.service.host,
            jid: from,
        };
        let wanted = self.room.wants(&actor.jid, &stanza);
        let found = wanted.map(|mid| (mid, take(&self.found, mid)));
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
        let out = self.room.handle(&actor, &envelope.to, &stanza, &now);
        if let Some(bound) = self.room.reached() {
            self.service.reached.count(bound);
        }
        self.follow(out, envelope, turn);
        self.show();
    }

    fn suspend(&self) -> Option<Vec<u8>> {
        write(&self.room)
    }

    fn idle(&self) -> bool {
        self.room.count() == 0 && self.under_way.load(Ordering::Acquire) == 0
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
    if room.count() == 0 || room.is_locked() {
        return None;
    }
    let written: Vec<Written> = room
        .occupants()
        .map(|occupant| Written {
            nick: occupant.nick().to_owned(),
            bare: occupant.bare.clone(),
            role: occupant.role.as_str().to_owned(),
            id: occupant.id.clone(),
            sessions: occupant
                .sessions
                .iter()
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
