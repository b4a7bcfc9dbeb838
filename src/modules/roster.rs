//! RFC 6121 §2: Managing the Roster, with versioning (§2.6) and what removal does (§2.5)

use std::sync::Arc;

use crate::hooks::{
    Deps, Event, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::settings;
use crate::state::roster::{Push, Roster as Contacts, Since, push_stanza};
use crate::state::subscription::State;
use crate::stream::tables::Stage;
use crate::xml::{El, Element};

/// Longest name of a contact or group, in bytes.
const NAME_BYTES: usize = 1023;

settings! {
    /// The contact list.
    pub struct Config {}
}

/// Answers roster requests and pushes changes.
pub struct Roster {
    items: usize,
    groups: usize,
}

/// An item as a client sets it.
struct Wanted {
    jid: Jid,
    name: Option<Box<str>>,
    groups: Vec<Box<str>>,
    remove: bool,
}

impl Module for Roster {
    const INFO: Info = Info {
        name: "roster",
        specs: &[("RFC 6121", ""), ("XEP-0237", "1.3")],
        doc: "The contact list, with versions.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Roster {
            items: deps.limits.roster_items as usize,
            groups: deps.limits.roster_groups as usize,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const QUERY: (&str, &str) = (ns::ROSTER, "query");
        for (name, ns) in [("ver", ns::ROSTER_VER), ("sub", ns::PRE_APPROVAL)] {
            r.stream_feature(Stage::Authenticated, move |_| Some(Element::new(name, ns)));
        }
        r.account_iq(To::OwnAccount, Verb::Get, QUERY, get);
        r.account_iq(To::OwnAccount, Verb::Set, QUERY, move |q, turn| {
            self.set(q, turn).unwrap_or_else(Reply::Error)
        });
        for verb in [Verb::Get, Verb::Set] {
            r.account_iq(To::Account, verb, QUERY, |_, _| forbidden());
            r.unknown(verb, QUERY, Condition::Forbidden);
        }
    }
}

/// §2.3.3 rule 1: a roster is its owner's alone.
fn forbidden() -> Reply {
    Reply::Error(Condition::Forbidden.into())
}

/// §2.2, §2.6.3.
fn get(request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
    if let Some(session) = request.session.and_then(|id| turn.account.session_mut(id)) {
        session.interested = true;
    }
    let Some(roster) = turn.account.parts.find::<Contacts>() else {
        return Element::new("query", ns::ROSTER).into(); // a guest has no contacts
    };
    let since = request.payload.attr("ver").map(|ver| roster.since(ver));
    match since {
        Some(Since::Unchanged) => Reply::done(),
        Some(Since::Changes(changes)) => {
            let session = request.session;
            turn.after_commit(move |turn| push_changes(turn, session, &changes));
            Reply::done()
        }
        Some(Since::Whole) | None => whole(roster).into(),
    }
}

fn whole(roster: &Contacts) -> Element {
    Element::new("query", ns::ROSTER)
        .with_attr("ver", &roster.version())
        .with_children(roster.listed().map(|item| item.to_element()))
}

/// Tells one session what changed while it was away, one push per item (§2.6.3).
fn push_changes(
    turn: &mut Turn<'_>,
    session: Option<crate::hooks::SessionId>,
    changes: &[(u64, Element)],
) {
    if let Some(session) = session.and_then(|id| turn.account.session(id)) {
        for (version, item) in changes {
            let stanza = push_stanza(&session.jid, item, &version.to_string());
            session.outbox.push(crate::hooks::Outgoing {
                stanza: Arc::new(stanza),
                to: None,
                entry: None,
            });
        }
    }
}

impl Roster {
    /// §2.3, §2.4, §2.5.
    fn set(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        if turn.account.guest {
            return Err(Condition::NotAllowed.into());
        }
        let wanted = self.read(request.payload)?;
        if wanted.jid == turn.account.jid {
            return Err(Condition::NotAllowed.into());
        }
        if wanted.remove {
            remove(turn, &wanted.jid)
        } else {
            self.update(turn, wanted)
        }
    }

    /// The one item of a roster set, checked by §2.3.3.
    fn read(&self, query: El<'_>) -> Result<Wanted, StanzaError> {
        let bad = || StanzaError::from(Condition::BadRequest);
        let mut items = query.children();
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(bad());
        };
        if !item.is("item", ns::ROSTER) {
            return Err(bad());
        }
        let jid = Jid::parse(item.attr("jid").ok_or_else(bad)?)
            .map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        let name = item.attr("name").filter(|name| !name.is_empty());
        let too_long = || StanzaError::from(Condition::NotAcceptable);
        if name.is_some_and(|name| name.len() > NAME_BYTES) {
            return Err(too_long());
        }
        let mut groups: Vec<Box<str>> = Vec::new();
        for group in item.children().filter(|el| el.is("group", ns::ROSTER)) {
            let group = group.text();
            if group.is_empty() || group.len() > NAME_BYTES || groups.len() >= self.groups {
                return Err(too_long());
            }
            if groups.iter().any(|known| **known == *group) {
                return Err(bad());
            }
            groups.push(group.into());
        }
        Ok(Wanted {
            jid: jid.bare(),
            name: name.map(Into::into),
            groups,
            remove: item.attr("subscription") == Some("remove"),
        })
    }

    fn update(&self, turn: &mut Turn<'_>, wanted: Wanted) -> Result<Reply, StanzaError> {
        let (uid, account) = (turn.account.uid, turn.account.jid.clone());
        let Some(roster) = turn.account.parts.find_mut::<Contacts>() else {
            return Err(Condition::InternalServerError.into());
        };
        if roster.item(&wanted.jid).is_none() && roster.len() >= self.items {
            return Err(
                StanzaError::from(Condition::ResourceConstraint).with_text("The roster is full")
            );
        }
        roster.change(&mut turn.ledger.batch, uid, &wanted.jid, |item| {
            item.name = wanted.name;
            item.groups = wanted.groups;
            item.listed = true;
        });
        let push = roster.item(&wanted.jid).map(|item| Push::new(roster, item));
        tell(turn, push, Event::RosterChanged(account, wanted.jid));
        Ok(Reply::done())
    }
}

/// §2.5.2: removing a contact ends both subscriptions.
fn remove(turn: &mut Turn<'_>, contact: &Jid) -> Result<Reply, StanzaError> {
    let (uid, account) = (turn.account.uid, turn.account.jid.clone());
    let Some(roster) = turn.account.parts.find_mut::<Contacts>() else {
        return Err(Condition::InternalServerError.into());
    };
    let state = roster.state(contact);
    if !roster.remove(&mut turn.ledger.batch, uid, contact) {
        return Err(Condition::ItemNotFound.into());
    }
    let push = Push::removed(roster, contact);
    tell(
        turn,
        Some(push),
        Event::RosterChanged(account, contact.clone()),
    );
    say_goodbye(turn, contact, state);
    Ok(Reply::done())
}

fn say_goodbye(turn: &mut Turn<'_>, contact: &Jid, state: State) {
    let account = turn.account.jid.clone();
    if state.subscription.to() || state.pending_out {
        say(turn, account.clone(), contact, PresenceType::Unsubscribe);
    }
    if state.subscription.from() {
        let sessions: Vec<Jid> = turn.account.available().map(|s| s.jid.clone()).collect();
        for session in sessions {
            say(turn, session, contact, PresenceType::Unavailable);
        }
    }
    if state.subscription.from() || state.pending_in {
        say(turn, account, contact, PresenceType::Unsubscribed);
    }
}

fn say(turn: &mut Turn<'_>, from: Jid, to: &Jid, kind: PresenceType) {
    let stanza = Stanza::presence(kind).with_from(from).with_to(to.clone());
    turn.send(stanza);
}

fn tell(turn: &mut Turn<'_>, push: Option<Push>, event: Event) {
    if let Some(push) = push {
        turn.after_commit(move |turn| push.send(turn.account));
    }
    turn.event(event);
}
