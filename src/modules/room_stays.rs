//! ProtoXEP: New MUC (0.1), MUC2-PAM: an account stays in rooms by its bare address, whether or not a client of it is there
//!
//! What is said in rooms of this server is read in their archives ([`crate::state::readable`]). Rooms at other servers send it
//! to the bare address; it goes into the account's log.

use std::sync::Arc;
use std::time::Duration;

use crate::hooks::{
    AskError, Class, Deps, Envelope, Event, Floor, Info, Missed, Module, ModuleError, Path, Phase,
    Question, Registrar, Reply, Request, To, Turn, Verb, Verdict, choice,
};
use crate::metrics::Counter;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, PresenceType};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::log::{self, Preferences, Way};
use crate::state::rooms::stays;
use crate::state::rooms_elsewhere::RoomsElsewhere;
use crate::state::roster::Roster;
use crate::store::{Batch, Store};
use crate::xml::{El, Element};

settings! {
    /// Accounts stay in rooms whether or not a client of theirs is there, if a client asks for it (MUC2, a proposal).
    pub struct Config {
        /// Rooms that one account stays in.
        pub rooms: u32 = 200 => within(1..=2_000);
    }
}

/// How long a room may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has accounts stay in rooms.
pub struct RoomStays {
    rooms: usize,
    host: Jid,
    store: Store,
    clock: Clock,
    floor: Arc<dyn Floor>,
    full: Counter,
}

impl Module for RoomStays {
    const INFO: Info = Info {
        name: "room_stays",
        specs: &[],
        doc: "Accounts stay in rooms whether or not a client of theirs is there (MUC2-PAM, a proposal).",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(RoomStays {
            rooms: config.rooms as usize,
            host: deps.host.clone(),
            store: deps.store.clone(),
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            full: deps.metrics.limit("modules.room_stays.rooms"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::MUC2_PAM);
        r.feature(To::OwnAccount, ns::MAM_GROUPCHAT_AVAILABLE);
        r.part(RoomsElsewhere::load);
        for name in ["join", "leave"] {
            let this = self.clone();
            r.account_iq(
                To::OwnAccount,
                Verb::Set,
                (ns::MUC2, name),
                move |request, turn| this.asked(request, turn).unwrap_or_else(Reply::Error),
            );
        }
        let this = self.clone();
        r.message(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.said(envelope, turn)
        });
        r.presence(Path::ToClient, Phase::Record, |envelope, turn| {
            shown(envelope, turn);
            Verdict::Continue
        });
        r.event(move |event| {
            // Whoever had this name before stays nowhere.
            if let Event::AccountDeleted(account) | Event::AccountCreated(account) = event
                && account.domain() == self.host.domain()
            {
                let (this, account) = (self.clone(), account.clone());
                tokio::spawn(async move { this.forget(&account).await });
            }
        });
    }
}

impl RoomStays {
    /// §3.4: a client has its account stay in a room, or leave it.
    fn asked(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        if turn.account.guest {
            return Err(Condition::NotAllowed.into());
        }
        let room = request.payload.attr("room").unwrap_or_default();
        let room = Jid::parse(room).map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        if room.is_full() || room.node().is_none() {
            return Err(Condition::JidMalformed.into());
        }
        let (this, account) = (self.clone(), turn.account.jid.clone());
        let local = self.floor.is_local(room.domain());
        if request.payload.name() == "leave" {
            let work = async move { this.leave(&account, &room, local).await };
            return Ok(Reply::Later(Box::pin(until_done(work))));
        }
        let nick = request.payload.child("nickname", ns::MUC2);
        let nick = nick.ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let nick = nick.text().into_owned();
        let work = async move { this.join(&account, &room, &nick, local).await };
        Ok(Reply::Later(Box::pin(until_done(work))))
    }

    async fn join(&self, account: &Jid, room: &Jid, nick: &str, local: bool) -> Reply {
        if let Err(error) = self.has_place(account, room).await {
            return Reply::Error(error);
        }
        // What the room says from now on is let in.
        if !local && !self.note(account, room, true).await {
            return Reply::Error(Condition::InternalServerError.into());
        }
        let nick = Element::new("nickname", ns::MUC2).with_text(nick);
        let join = Element::new("join", ns::MUC2).with_child(nick);
        let answer = self.ask(account, room, join).await;
        match answer {
            Ok(answer) => {
                let nick = answer.as_ref().and_then(|answer| {
                    let nick = answer.child("nickname", ns::MUC2);
                    nick.map(El::to_element)
                });
                let joined = Element::new("join", ns::MUC2).with_attr("room", room.as_str());
                joined.with_children(nick).into()
            }
            Err(error) => {
                if !local {
                    self.note(account, room, false).await;
                }
                Reply::Error(refused(error))
            }
        }
    }

    async fn leave(&self, account: &Jid, room: &Jid, local: bool) -> Reply {
        let answer = self
            .ask(account, room, Element::new("leave", ns::MUC2))
            .await;
        if !local && !self.note(account, room, false).await {
            return Reply::Error(Condition::InternalServerError.into());
        }
        match answer {
            // A room that cannot be asked is left all the same: what it says comes back to it.
            Ok(_) => Reply::done(),
            Err(AskError::TimedOut) if !local => Reply::done(),
            Err(error) => Reply::Error(refused(error)),
        }
    }

    async fn ask(
        &self,
        account: &Jid,
        room: &Jid,
        payload: Element,
    ) -> Result<Option<Element>, AskError> {
        let (from, to) = (account.clone(), room.clone());
        self.floor
            .ask(from, to, Question::Set(payload), PATIENCE)
            .await
    }

    /// Whether the account may stay in one more room.
    async fn has_place(&self, account: &Jid, room: &Jid) -> Result<(), StanzaError> {
        let who = account.clone();
        let here = self.store.reading(move |view| stays::of_person(view, &who));
        let here = here.await.map_err(|error| {
            tracing::error!(%account, %error, "where an account stays cannot be read; run `waxwing check`");
            StanzaError::from(Condition::InternalServerError)
        })?;
        let elsewhere = choice::ask(&*self.floor, account, |turn| {
            let rooms = turn.account.parts.find::<RoomsElsewhere>();
            rooms.map_or_else(Vec::new, |rooms| rooms.0.iter().cloned().collect())
        });
        let elsewhere = elsewhere.await.unwrap_or_default();
        let known = here.iter().any(|stayed| stayed.room == *room) || elsewhere.contains(room);
        if known || here.len().saturating_add(elsewhere.len()) < self.rooms {
            return Ok(());
        }
        self.full.count();
        Err(
            StanzaError::from(Condition::ResourceConstraint).with_text(format!(
                "An account stays in {} rooms at the most",
                self.rooms
            )),
        )
    }

    /// Writes whether the account stays in a room elsewhere; done when it is on disk.
    async fn note(&self, account: &Jid, room: &Jid, stays: bool) -> bool {
        let room = room.clone();
        let write = move |turn: &mut Turn<'_>| put(turn, room, stays);
        let noted = choice::choose(&*self.floor, account, write, |_| ());
        noted.await.is_ok()
    }

    /// A room elsewhere says something: the log has it, and who waits to be woken hears of it. Clients that want to hear it
    /// when it is said enter the room themselves (§3.4).
    fn said(&self, envelope: &Envelope, turn: &mut Turn<'_>) -> Verdict {
        let said = Kind::Message(MessageType::Groupchat);
        let Some(from) = envelope.from().cloned() else {
            return Verdict::Continue;
        };
        let stays = turn.account.parts.find::<RoomsElsewhere>();
        let stays = stays.is_some_and(|rooms| rooms.0.contains(from.bare_str()));
        if envelope.stanza.kind != said || envelope.to.is_full() || !stays {
            return Verdict::Continue;
        }
        let facts = envelope.facts;
        if facts.class == Class::Content && !facts.no_store {
            if !facts.no_archive && prefers(&from, turn) {
                let (uid, now) = (turn.account.uid, self.clock.wall());
                log::keep(
                    turn.batch(),
                    uid,
                    Way::Received,
                    &from,
                    &envelope.stanza,
                    now,
                );
            }
            let missed = Missed {
                stanza: envelope.stanza.clone(),
                only: None,
                facts,
                nick: None,
                open: false,
            };
            turn.after_commit(move |turn| miss(&missed, &from, turn));
        }
        Verdict::Consume
    }

    /// An account is no more.
    async fn forget(&self, account: &Jid) {
        let who = account.clone();
        let stayed = self.store.reading(move |view| stays::of_person(view, &who));
        let Ok(stayed) = stayed.await else {
            return;
        };
        for stayed in stayed {
            if stayed.until.is_none() {
                let leave = Element::new("leave", ns::MUC2);
                // A room that does not know of it is right.
                let _ = self.ask(account, &stayed.room, leave).await;
            }
            let mut batch = Batch::new();
            stays::forget(&mut batch, &stayed.room, account);
            self.store.hand_in(batch, |_| ());
        }
    }
}

/// What is begun is brought to its end, whether or not somebody waits for it.
async fn until_done(work: impl Future<Output = Reply> + Send + 'static) -> Reply {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|_| Reply::Error(Condition::InternalServerError.into()))
}

fn refused(error: AskError) -> StanzaError {
    match error {
        AskError::Refused(error) => *error,
        AskError::TimedOut => Condition::RemoteServerTimeout.into(),
        AskError::Busy => Condition::ResourceConstraint.into(),
    }
}

fn put(turn: &mut Turn<'_>, room: Jid, stays: bool) {
    let uid = turn.account.uid;
    RoomsElsewhere::write(turn.batch(), uid, &room, stays);
    if let Some(rooms) = turn.account.parts.of::<RoomsElsewhere>() {
        match stays {
            true => drop(rooms.0.insert(room)),
            false => drop(rooms.0.remove(&room)),
        }
    }
}

/// A room elsewhere has put the account out.
fn shown(envelope: &Envelope, turn: &mut Turn<'_>) {
    let gone = envelope.stanza.kind == Kind::Presence(PresenceType::Unavailable);
    let Some(from) = envelope.from().filter(|_| gone && envelope.to.is_bare()) else {
        return;
    };
    let rooms = turn.account.parts.find::<RoomsElsewhere>();
    let stays = rooms.is_some_and(|rooms| rooms.0.contains(from.bare_str()));
    let x = envelope.stanza.child("x", ns::MUC_USER);
    let has = |code: &str| {
        let mut children = x.iter().flat_map(|x| x.children());
        children.any(|el| el.is("status", ns::MUC_USER) && el.attr("code") == Some(code))
    };
    if stays && has("110") && !has("303") {
        put(turn, from.bare(), false);
    }
}

/// None of its clients is in the room by itself.
fn miss(missed: &Missed, from: &Jid, turn: &mut Turn<'_>) {
    let there = turn.account.sessions.iter().any(|session| {
        let mut directed = session.directed.iter();
        directed.any(|to| to.bare_str() == from.bare_str())
    });
    if !there {
        let tables = turn.account.tables.clone();
        for hook in tables.missed() {
            hook(missed, turn);
        }
    }
}

/// What the account has set for its archive, if anything.
fn prefers(peer: &Jid, turn: &Turn<'_>) -> bool {
    let roster = turn.account.parts.find::<Roster>();
    let rules = turn.account.parts.find::<Preferences>();
    rules.is_none_or(|rules| rules.want(peer, roster))
}
