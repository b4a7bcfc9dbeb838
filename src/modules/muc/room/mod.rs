//! The rules of a room: what comes in, what it changes, what goes out; no disk, no network, no clock.

mod absent;
mod activity;
mod admin;
mod archive;
mod bans;
mod barred;
mod flood;
mod form;
mod group;
mod guests;
mod hats;
mod info;
mod invite;
mod iq;
mod join;
mod lists;
mod messages;
mod nick;
mod occupants;
mod owner;
mod presence;
mod profile;
mod register;
mod report;
mod retract;
mod said;
mod slow;
mod stay;
mod token;
mod versions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use smallvec::{SmallVec, smallvec};

pub use absent::Member;
pub use archive::{Asked, Wanted};
pub use occupants::{Occupant, Role, Session};

use self::occupants::Occupants;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, Stanza};
use crate::runtime::bucket::Bucket;
use crate::state::rooms::archive::Said;
use crate::state::rooms::stays::Stay;
use crate::state::rooms::{self, Affiliate, Affiliation, Options, Record, Rid, Stored};
use crate::store::{Batch, Mid, MidSource};
use crate::xml::Element;

/// Bounds, and what the service decides for its rooms.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Occupants of a room.
    pub occupants: usize,
    /// Clients of one occupant.
    pub sessions: usize,
    /// People who may enter in a second.
    pub joins: u32,
    /// What one person may say and show in a second.
    pub acts: u32,
    /// Bytes of a nickname.
    pub nick: usize,
    /// Messages of history a room shows at the most.
    pub history: usize,
    /// Messages of one page of the archive.
    pub page: usize,
    /// Bytes of one page.
    pub page_bytes: usize,
    /// People on the lists of a room.
    pub affiliations: usize,
    /// Changes of the lists that are remembered.
    pub changes: usize,
    /// People whose pace is remembered.
    pub speakers: usize,
    /// Requests for membership that wait for an answer.
    pub requests: usize,
    /// Invitation tokens.
    pub tokens: usize,
    /// Seconds that one lets people in at the most.
    pub token_life: u64,
    /// Hats.
    pub hats: usize,
    /// Bytes of the vCard.
    pub profile: usize,
    /// Bytes of a subject, a name, a description or a reason.
    pub text: usize,
    /// Epochs that what is said in an encrypted group may be behind.
    pub window: u64,
    /// People who take part in one, as far as the room remembers them.
    pub participants: usize,
    /// Bytes of its state.
    pub group_info: usize,
    /// What a new room is like.
    pub options: Options,
}

/// Who sent a stanza.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The full address.
    pub jid: Jid,
    /// Whether a block list names it.
    pub barred: bool,
    /// Why it may make no rooms, if so.
    pub may_create: Result<(), Condition>,
    /// Whether it acts for the administrators, and may do what an owner may.
    pub may_all: bool,
}

/// The present.
pub struct Now<'a> {
    /// Unix milliseconds.
    pub wall: u64,
    /// For durations.
    pub instant: Instant,
    /// Gives out numbers for rooms.
    pub number: &'a dyn Fn() -> Rid,
    /// The message of the archive that the stanza is about, if it was looked up ([`Room::wants`]).
    pub found: Option<&'a Said>,
}

/// One stanza, and for whom it is.
#[derive(Debug)]
pub struct Tell {
    /// The stanza; addressed to nobody.
    pub stanza: Arc<Stanza>,
    /// Who gets it.
    pub to: SmallVec<[Jid; 1]>,
}

/// What a stanza leads to.
#[derive(Debug, Default)]
pub struct Out {
    /// What is written first.
    pub batch: Batch,
    /// What is said then, in this order.
    pub tells: Vec<Tell>,
    /// What is said before that: to who is put out.
    first: Vec<Tell>,
    /// A room whose remains are to be removed.
    pub cleared: Option<Rid>,
    /// What the archive is asked; the answer comes from there.
    pub asked: Option<Asked>,
    /// Something for people that all learn, as those there see it.
    pub said: Option<Arc<Stanza>>,
    /// A room whose vCard is asked for; the answer comes from there.
    pub profile: Option<Rid>,
    /// A room whose group's state is asked for, and of which epoch.
    pub group_info: Option<(Rid, u64)>,
}

impl Out {
    /// Says something to one.
    fn tell(&mut self, to: &Jid, stanza: impl Into<Arc<Stanza>>) {
        self.tells.push(Tell {
            stanza: stanza.into(),
            to: smallvec![to.clone()],
        });
    }

    /// Says something to several before everything else.
    fn tell_first(&mut self, to: SmallVec<[Jid; 1]>, stanza: impl Into<Arc<Stanza>>) {
        let stanza = stanza.into();
        self.first.push(Tell { stanza, to });
    }

    /// What is said before everything else is said first.
    fn put_first(&mut self) {
        let after = std::mem::take(&mut self.tells);
        self.tells = std::mem::take(&mut self.first);
        self.tells.extend(after);
    }

    /// Says something to several.
    fn tell_all(&mut self, to: SmallVec<[Jid; 1]>, stanza: impl Into<Arc<Stanza>>) {
        if !to.is_empty() {
            self.tells.push(Tell {
                stanza: stanza.into(),
                to,
            });
        }
    }
}

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Occupants of the room.
    Occupants,
    /// Clients of one person.
    Clients,
    /// People who enter in a second.
    Joins,
    /// People on the lists.
    Affiliations,
    /// What one person says and shows in a second.
    Acts,
    /// People that slow mode makes wait.
    Speakers,
    /// Requests for membership that wait for an answer.
    Requests,
    /// Invitation tokens.
    Tokens,
    /// Hats.
    Hats,
}

/// What a room has that is not in the store.
pub struct Kept {
    /// Who is there.
    pub occupants: Vec<Occupant>,
    /// What the room is, while it waits for its configuration.
    pub locked: Option<Stored>,
}

/// A room, whether it exists or not.
pub struct Room {
    jid: Jid,
    rules: Arc<Rules>,
    stored: Option<Stored>,
    /// It was made and waits for its configuration; it is not in the store (§10.1.1).
    locked: bool,
    occupants: Occupants,
    /// Who stays by its bare address: they are occupants as well.
    stays: BTreeMap<Jid, Stay>,
    history: VecDeque<Said>,
    ids: MidSource,
    forwarded: iq::Forwarded,
    joins: Bucket,
    acts: flood::Acts,
    spoken: slow::Spoken,
    activity: activity::Activity,
    reached: Option<Bound>,
    /// When the first ban ends that ends by itself.
    first_end: Option<u64>,
    /// Who acts for the administrators in this turn.
    acting: Option<Jid>,
}

/// Why a stanza is refused.
type Refused = StanzaError;

impl Room {
    /// A room as it was read, with its newest messages.
    pub fn new(jid: Jid, rules: Arc<Rules>, stored: Option<Stored>, history: Vec<Said>) -> Room {
        let joins = Bucket::new(rules.joins, rules.joins.saturating_mul(10));
        let last = history.last().map_or(Mid::MIN, |said| said.mid);
        let mut room = Room {
            jid,
            rules,
            stored,
            locked: false,
            occupants: Occupants::default(),
            stays: BTreeMap::new(),
            history: history.into(),
            ids: MidSource::after(last),
            forwarded: iq::Forwarded::default(),
            acting: None,
            joins,
            acts: flood::Acts::default(),
            spoken: slow::Spoken::default(),
            activity: activity::Activity::default(),
            reached: None,
            first_end: None,
        };
        room.find_first_end();
        room
    }

    /// Handles a stanza for the room or for one of its occupants.
    pub fn handle(&mut self, actor: &Actor, to: &Jid, stanza: &Stanza, now: &Now<'_>) -> Out {
        let mut out = Out::default();
        self.end_if_abandoned(&mut out);
        self.end_bans(now.wall, &mut out);
        let ended = std::mem::take(&mut out);
        self.acting = actor.may_all.then(|| actor.jid.bare());
        let barred = self.bar(actor, stanza.kind, &mut out);
        let done = barred.unwrap_or_else(|| {
            self.take_act(actor, stanza.kind, now)?;
            match stanza.kind {
                Kind::Presence(kind) => self.presence(actor, to, kind, stanza, now, &mut out),
                Kind::Message(kind) => self.message(actor, to, kind, stanza, now, &mut out),
                Kind::Iq(kind) => self.iq(actor, to, kind, stanza, now, &mut out),
            }
        });
        if let Err(error) = done {
            out = Out::default();
            if let Some(mut answer) = stanza.error(&error.with_by(self.jid.clone())) {
                answer.from = Some(to.clone());
                answer.to = None;
                if let Kind::Presence(_) = stanza.kind {
                    // By this some clients know what was refused (Examples 25 to 31).
                    answer = answer.with_child(Element::new("x", ns::MUC));
                }
                out.tell(&actor.jid, answer);
            }
        }
        self.acting = None;
        out.put_first();
        let mut batch = ended.batch;
        batch.merge(out.batch);
        let mut tells = ended.tells;
        tells.append(&mut out.tells);
        Out {
            batch,
            tells,
            cleared: out.cleared.or(ended.cleared),
            ..out
        }
    }

    /// A temporary room that was left when nobody could write it down is no more.
    fn end_if_abandoned(&mut self, out: &mut Out) {
        if !self.locked {
            self.end_if_empty(out);
        }
    }

    /// Who is there, to be kept over a restart.
    pub fn occupants(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants.iter()
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.occupants.len()
    }

    /// Whether who comes next makes it: it is not there, or ends with this (see [`Room::handle`]).
    pub fn may_begin(&self) -> bool {
        let stays = |stored: &Stored| stored.record.options.persistent || self.clients_there() > 0;
        !self.stored.as_ref().is_some_and(stays)
    }

    /// Whether the room exists.
    pub fn exists(&self) -> bool {
        self.stored.is_some()
    }

    /// The bound that the last stanza reached.
    pub fn reached(&mut self) -> Option<Bound> {
        self.reached.take()
    }

    /// Who made it, if it exists for others.
    pub fn creator(&self) -> Option<&str> {
        let stored = self.stored.as_ref().filter(|_| !self.locked);
        stored.map(|stored| stored.record.creator.as_str())
    }

    /// Refuses for a bound.
    fn too_many(&mut self, bound: Bound, text: &str) -> Refused {
        self.reached = Some(bound);
        StanzaError::from(Condition::ResourceConstraint).with_text(text)
    }

    /// Its number, if it exists for others than who makes it.
    pub fn rid(&self) -> Option<Rid> {
        let stored = self.stored.as_ref().filter(|_| !self.locked);
        stored.map(|stored| stored.record.rid)
    }

    /// Whether it waits for its configuration.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Takes over what is not in the store.
    pub fn take_over(&mut self, kept: Kept) {
        if kept.locked.is_some() && self.stored.is_none() {
            self.stored = kept.locked;
            self.locked = true;
        }
        if self.stored.is_some() {
            for occupant in kept.occupants {
                let (nick, role) = (occupant.nick().to_owned(), occupant.role);
                self.occupants.enter(occupant);
                // Who stays was there before, with the role that one has at first.
                let there = self.occupants.by_nick_mut(&nick);
                there.into_iter().for_each(|there| there.role = role);
            }
        }
        // What was written down of them stands.
        self.occupants.moved();
    }

    /// What is not in the store.
    pub fn hand_over(&mut self) -> Kept {
        Kept {
            occupants: self.occupants.clear(),
            locked: self.stored.take().filter(|_| self.locked),
        }
    }

    fn options(&self) -> Option<&Options> {
        self.stored.as_ref().map(|stored| &stored.record.options)
    }

    fn record(&self) -> Result<&Record, Refused> {
        let stored = self.stored.as_ref();
        stored
            .map(|stored| &stored.record)
            .ok_or_else(|| Condition::ItemNotFound.into())
    }

    /// §5.2, §9.2: what somebody is to the room; a domain may be banned as a whole.
    fn affiliation(&self, bare: &Jid) -> Affiliation {
        let Some(stored) = &self.stored else {
            return Affiliation::None;
        };
        if self.acting.as_ref() == Some(bare) {
            return Affiliation::Owner;
        }
        let of = |jid: &str| stored.affiliates.get(jid).map(|known| known.affiliation);
        of(bare.bare_str())
            .or_else(|| of(bare.domain()).filter(|domain| *domain == Affiliation::Outcast))
            .unwrap_or_default()
    }

    /// The list that somebody is on by name.
    fn listed_as(&self, jid: &Jid) -> Affiliation {
        let known = self.stored.as_ref().and_then(|s| s.affiliates.get(jid));
        known.map(|known| known.affiliation).unwrap_or_default()
    }

    /// Puts somebody on a list, or off all of them.
    fn set_affiliate(&mut self, bare: &Jid, affiliate: Option<Affiliate>, out: &mut Out) {
        let Some(stored) = &mut self.stored else {
            return;
        };
        let asked = stored.record.requests.len();
        stored.record.requests.retain(|asks| asks.jid != *bare);
        if !self.locked {
            rooms::affiliate(&mut out.batch, stored.record.rid, bare, affiliate.as_ref());
            if stored.record.requests.len() < asked {
                rooms::write(&mut out.batch, &stored.record);
            }
        }
        match affiliate {
            Some(affiliate) => stored.affiliates.insert(bare.clone(), affiliate),
            None => stored.affiliates.remove(bare),
        };
        self.find_first_end();
    }

    /// Writes what the room is.
    fn save(&self, out: &mut Out) {
        if let Some(stored) = self.stored.as_ref().filter(|_| !self.locked) {
            rooms::write(&mut out.batch, &stored.record);
        }
    }

    /// §10.1.2: the room exists from now on, for everybody.
    fn unlock(&mut self, out: &mut Out) {
        self.locked = false;
        self.save(out);
        if let Some(stored) = &self.stored {
            for (jid, affiliate) in &stored.affiliates {
                rooms::affiliate(&mut out.batch, stored.record.rid, jid, Some(affiliate));
            }
            for change in &stored.changes {
                rooms::changes::keep(&mut out.batch, stored.record.rid, change);
            }
        }
    }

    /// The room is no more.
    fn end(&mut self, out: &mut Out) {
        let Some(stored) = self.stored.take() else {
            return;
        };
        if !self.locked {
            rooms::remove(&mut out.batch, &stored.record);
            out.cleared = Some(stored.record.rid);
        }
        self.end_stays(out);
        self.locked = false;
        self.history.clear();
    }

    /// The clients of all occupants that `keep` accepts.
    fn sessions(&self, keep: impl Fn(&Occupant) -> bool) -> SmallVec<[Jid; 1]> {
        let occupants = self.occupants.iter().filter(|occupant| keep(occupant));
        occupants
            .flat_map(|occupant| occupant.sessions.iter())
            .map(|session| session.jid.clone())
            .filter(Jid::is_full)
            .collect()
    }

    /// §7.2.3, §7.2.4: whether an occupant sees who is behind nicknames.
    fn sees_jids(&self, occupant: &Occupant) -> bool {
        occupant.role == Role::Moderator || self.options().is_some_and(|o| o.non_anonymous)
    }
}

#[cfg(test)]
mod tests;
