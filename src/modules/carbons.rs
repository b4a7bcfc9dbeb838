//! XEP-0280: Message Carbons (1.0.1), with every rule of §6.1; XEP-0297 (1.0) wraps the copies.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::hooks::{
    Class, Deps, Envelope, Info, Module, ModuleError, Origin, Outgoing, Path, Phase, Registrar,
    Reply, Request, SessionFlag, SessionInfo, To, Turn, Verb, Verdict,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::proto::{forward, ns};
use crate::settings;
use crate::state::log::stanza_id;
use crate::xml::{El, Element};

settings! {
    /// Copies of messages for the account's other clients.
    pub struct Config {}
}

/// Sends copies of what an account's clients send and get to its other clients.
pub struct Carbons;

impl Module for Carbons {
    const INFO: Info = Info {
        name: "carbons",
        specs: &[("XEP-0280", "1.0.1"), ("XEP-0297", "1.0")],
        doc: "All clients of an account see the whole conversation, live.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Carbons)
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const ENABLE: (&str, &str) = (ns::CARBONS, "enable");
        const DISABLE: (&str, &str) = (ns::CARBONS, "disable");
        r.feature(To::Host, ns::CARBONS);
        r.feature(To::Host, ns::CARBONS_RULES);
        // Set for a session that wants copies.
        let flag = r.session_flag("wanted");
        for (name, wanted) in [(ENABLE, true), (DISABLE, false)] {
            r.account_iq(To::OwnAccount, Verb::Set, name, move |request, turn| {
                set(request, turn, flag, wanted)
            });
            r.account_iq(To::Account, Verb::Set, name, |_, _| not_allowed());
        }
        r.bind_inline(ENABLE, move |_, id, turn| {
            if let Some(session) = turn.account.session_mut(id) {
                flag.set(session, true);
            }
            None
        });
        r.message(Path::FromClient, Phase::Mirror, move |envelope, turn| {
            copy_sent(envelope, turn, flag);
            Verdict::Continue
        });
        r.message(Path::ToClient, Phase::Mirror, move |envelope, turn| {
            copy_received(envelope, turn, flag);
            Verdict::Continue
        });
    }
}

/// §4, §5; a second request is answered like the first (§10.1).
fn set(request: &Request<'_>, turn: &mut Turn<'_>, flag: SessionFlag, wanted: bool) -> Reply {
    let session = request.session.and_then(|id| turn.account.session_mut(id));
    let Some(session) = session else {
        return not_allowed();
    };
    flag.set(session, wanted);
    Reply::done()
}

/// §4.1, §5.1: the copies of an account are for its own clients.
fn not_allowed() -> Reply {
    Reply::Error(Condition::NotAllowed.into())
}

/// §8: what a client sent goes to the others. What the account sends to itself arrives there too.
fn copy_sent(envelope: &Envelope, turn: &mut Turn<'_>, flag: SessionFlag) {
    let Origin::Session(sender) = envelope.origin else {
        return;
    };
    if envelope.to.bare_str() == turn.account.jid.as_str()
        || !eligible(envelope, &envelope.to, turn)
    {
        return;
    }
    let nick = is_private_in_room(&envelope.stanza)
        .then(|| {
            turn.account
                .session(sender)
                .and_then(|s| nick(s, &envelope.to))
        })
        .flatten();
    let mut stanza = Stanza::clone(&envelope.stanza);
    if let Some(entry) = envelope.entry {
        stanza.push(stanza_id(&turn.account.jid, entry.mid));
    }
    copy("sent", &stanza, turn, |session| {
        flag.is_set(session)
            && session.id != sender
            && nick
                .as_ref()
                .is_none_or(|nick| session.directed.contains(nick))
    });
}

/// §7: what came goes to the clients that did not get it themselves.
fn copy_received(envelope: &Envelope, turn: &mut Turn<'_>, flag: SessionFlag) {
    let Some(from) = envelope.from().cloned() else {
        return;
    };
    if from.is_full() && is_private_in_room(&envelope.stanza) || !eligible(envelope, &from, turn) {
        return;
    }
    copy("received", &envelope.stanza, turn, |session| {
        flag.is_set(session)
            && !envelope.reached.contains(&session.id)
            && envelope.origin != Origin::Session(session.id)
    });
}

/// Sends the one wrapped copy to every session that is meant.
fn copy(way: &'static str, stanza: &Stanza, turn: &Turn<'_>, meant: impl Fn(&SessionInfo) -> bool) {
    let mut wrapped = None;
    for session in &turn.account.sessions {
        if !meant(session) {
            continue;
        }
        let wrapped = wrapped.get_or_insert_with(|| Arc::new(wrap(way, stanza, &turn.account.jid)));
        session.outbox.push(Outgoing {
            stanza: wrapped.clone(),
            to: Some(session.jid.clone()),
            entry: None,
        });
    }
}

fn wrap(way: &'static str, stanza: &Stanza, account: &Jid) -> Stanza {
    let Kind::Message(kind) = stanza.kind else {
        return stanza.clone();
    };
    let outer = Element::new(way, ns::CARBONS);
    forward::carry(kind, &outer, None, &stanza.to_bytes()).with_from(account.clone())
}

/// §6.1. `peer` is the other side.
fn eligible(envelope: &Envelope, peer: &Jid, turn: &mut Turn<'_>) -> bool {
    let stanza = &envelope.stanza;
    let Kind::Message(kind) = stanza.kind else {
        return false;
    };
    if kind == MessageType::Groupchat {
        return false;
    }
    let Some(answerable) = turn.account.parts.of::<Answerable>() else {
        return false;
    };
    if kind == MessageType::Error {
        return answerable.has(peer, stanza);
    }
    let eligible = !envelope.facts.no_copy
        && match kind {
            MessageType::Chat => true,
            MessageType::Normal => {
                envelope.facts.class == Class::Content || stanza.children().any(is_talk)
            }
            MessageType::Headline => stanza.children().any(is_talk),
            MessageType::Groupchat | MessageType::Error => false,
        };
    if eligible {
        answerable.note(peer, stanza);
    }
    eligible
}

/// Payloads typically used in conversations, and invitations to rooms.
fn is_talk(child: El<'_>) -> bool {
    match child.ns() {
        ns::RECEIPTS | ns::CHAT_STATES | ns::CHAT_MARKERS => true,
        ns::JINGLE_MESSAGE | ns::CALL_INVITES => true,
        ns::REACTIONS | ns::RETRACT | ns::CORRECTION => true,
        ns::CONFERENCE => child.name() == "x",
        ns::MUC_USER => is_invitation(child),
        _ => false,
    }
}

fn is_invitation(x: El<'_>) -> bool {
    x.child("invite", ns::MUC_USER).is_some() || x.child("decline", ns::MUC_USER).is_some()
}

/// A private message between occupants of a room, by the mark of XEP-0045 §7.5.
fn is_private_in_room(stanza: &Stanza) -> bool {
    let mark = stanza.child("x", ns::MUC_USER);
    mark.is_some_and(|x| !is_invitation(x))
}

/// The address in the room of `occupant` under which a session is there, by its directed presence.
fn nick(session: &SessionInfo, occupant: &Jid) -> Option<Jid> {
    let room = occupant.bare_str();
    let mut directed = session.directed.iter();
    directed
        .find(|jid| jid.is_full() && jid.bare_str() == room)
        .cloned()
}

/// Messages remembered per account.
const REMEMBERED: usize = 128;

/// Messages of late that were eligible: an error that answers one is too. A part of the account.
#[derive(Default)]
struct Answerable {
    hasher: RandomState,
    seen: VecDeque<u64>,
}

impl Answerable {
    fn note(&mut self, peer: &Jid, stanza: &Stanza) {
        if let Some(mark) = self.mark(peer, stanza) {
            if self.seen.len() >= REMEMBERED {
                self.seen.pop_front();
            }
            self.seen.push_back(mark);
        }
    }

    fn has(&self, peer: &Jid, error: &Stanza) -> bool {
        let mark = self.mark(peer, error);
        mark.is_some_and(|mark| self.seen.contains(&mark))
    }

    fn mark(&self, peer: &Jid, stanza: &Stanza) -> Option<u64> {
        let id = stanza.id.as_deref()?;
        Some(self.hasher.hash_one((peer.bare_str(), id)))
    }
}
