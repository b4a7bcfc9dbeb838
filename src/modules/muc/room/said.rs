//! What the room says: items, status codes, presence as others see it (XEP-0045 §7.2.2, §16.6).

use super::occupants::{Occupant, Role};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::rooms::{Affiliation, Change};
use crate::xml::{El, Element};

/// Status codes (§16.6).
pub mod code {
    /// Everybody sees who is behind a nickname.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The affiliation of who is not there changed.
    pub const AFFILIATION: u16 = 101;
    /// Something else of the configuration changed.
    pub const CONFIGURED: u16 = 104;
    /// It is about yourself.
    pub const SELF: u16 = 110;
    /// The public can read what is said.
    pub const LOGGED: u16 = 170;
    /// The public can read it no longer.
    pub const NOT_LOGGED: u16 = 171;
    /// From now on everybody sees who is behind a nickname.
    pub const NOW_NON_ANONYMOUS: u16 = 172;
    /// From now on only moderators do.
    pub const NOW_SEMI_ANONYMOUS: u16 = 173;
    /// The room was made by this.
    pub const CREATED: u16 = 201;
    /// The room chose another nickname.
    pub const NICK_GIVEN: u16 = 210;
    /// Banned.
    pub const BANNED: u16 = 301;
    /// Another nickname follows.
    pub const NICK_CHANGED: u16 = 303;
    /// Put out by a moderator.
    pub const KICKED: u16 = 307;
    /// Put out because the affiliation changed.
    pub const NO_MEMBER: u16 = 321;
    /// Put out because only members may be there now.
    pub const MEMBERS_ONLY: u16 = 322;
    /// Put out because the service stops.
    pub const SHUTDOWN: u16 = 332;
    /// Put out because of an error.
    pub const ERROR: u16 = 333;
}

/// What is told of an occupant.
#[derive(Clone, Default)]
pub struct Told<'a> {
    /// The nickname that follows this one.
    pub next_nick: Option<&'a str>,
    /// The nickname of who did it.
    pub actor: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
    /// Status codes for everybody.
    pub codes: &'a [u16],
    /// Status codes for itself, besides that it is itself.
    pub own_codes: &'a [u16],
    /// When a ban ends by itself, Unix milliseconds.
    pub until: Option<u64>,
    /// The change of the lists that it shows (XEP-0463).
    pub change: Option<Change>,
    /// The versions of the lists as one occupant has them.
    pub version: Option<Element>,
}

/// An element of `muc#user`.
pub fn user(name: &str) -> Element {
    Element::new(name, ns::MUC_USER)
}

/// A status code.
pub fn status(code: u16) -> Element {
    user("status").with_attr("code", &code.to_string())
}

/// The `<x/>` with the item of an occupant and status codes.
pub fn extension(
    affiliation: Affiliation,
    role: Role,
    jid: Option<&Jid>,
    told: &Told<'_>,
    codes: impl IntoIterator<Item = u16>,
) -> Element {
    let mut item = user("item")
        .with_attr("affiliation", affiliation.as_str())
        .with_attr("role", role.as_str());
    item.set_attr("jid", jid.map(Jid::as_str));
    item.set_attr("nick", told.next_nick);
    if let Some(actor) = told.actor {
        item = item.with_child(user("actor").with_attr("nick", actor));
    }
    if let Some(reason) = told.reason {
        item = item.with_child(user("reason").with_text(reason));
    }
    let codes = told.codes.iter().copied().chain(codes);
    user("x")
        .with_children(told.version.clone())
        .with_child(item)
        .with_children(codes.map(status))
}

/// What a client may not say of itself in a room.
pub fn is_claim(el: El<'_>, room: &Jid) -> bool {
    match (el.ns(), el.name()) {
        (ns::MUC | ns::MUC_USER, "x") | (ns::OCCUPANT_ID, "occupant-id") | (ns::HATS, "hats") => {
            true
        }
        (ns::STANZA_ID, "stanza-id") => el
            .attr("by")
            .and_then(|by| Jid::parse(by.trim()).ok())
            .is_some_and(|by| by.bare_str() == room.as_str()),
        _ => false,
    }
}

/// The `<occupant-id/>` (XEP-0421).
pub fn occupant_id(id: &str) -> Element {
    Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", id)
}

/// A presence of an occupant: what it said of itself, and what the room says of it.
pub fn presence(
    occupant: &Occupant,
    kind: PresenceType,
    words: Option<&Stanza>,
    extension: Element,
) -> Stanza {
    let room = occupant.address.bare();
    let mut stanza = Stanza::presence(kind).with_from(occupant.address.clone());
    if let Some(words) = words {
        stanza.lang = words.lang.clone();
        for child in words.children().filter(|child| !is_claim(*child, &room)) {
            stanza = stanza.with_child(child.to_element());
        }
    }
    stanza
        .with_child(extension)
        .with_child(occupant_id(&occupant.id))
}
