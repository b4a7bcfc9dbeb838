//! The rooms that one session is in, as far as what passes shows it.

use serde::{Deserialize, Serialize};

use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};

/// A part of a session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rooms(Vec<Room>);

/// A room that it wants to enter, or is in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Room {
    /// Room and nickname.
    address: Jid,
    /// Whether the room said that it is there.
    there: bool,
    /// When something came of the room, Unix milliseconds.
    heard: u64,
    /// The id of the open question, and when it was asked.
    asked: Option<(Box<str>, u64)>,
}

/// What an iq is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No answer to a question of ours.
    NotOurs,
    /// The client is in the room.
    There,
    /// Nobody can say.
    Unknown,
    /// It is not, and was under this address.
    Gone(Jid),
}

impl Rooms {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&mut self, from: &Jid) -> Option<&mut Room> {
        let bare = from.bare_str();
        self.0
            .iter_mut()
            .find(|room| room.address.bare_str() == bare)
    }

    /// The client wants to enter; whether this is watched.
    pub(super) fn enter(&mut self, to: &Jid, now: u64, most: usize) -> bool {
        if self.of(to).is_some() {
            return true;
        }
        if self.0.len() >= most {
            return false;
        }
        self.0.push(Room {
            address: to.clone(),
            there: false,
            heard: now,
            asked: None,
        });
        true
    }

    /// It is not in the room any more.
    pub(super) fn leave(&mut self, room: &Jid) {
        self.0
            .retain(|known| known.address.bare_str() != room.bare_str());
    }

    /// Something came from a room.
    pub(super) fn heard(&mut self, from: &Jid, now: u64) {
        if let Some(room) = self.of(from) {
            room.heard = now;
        }
    }

    /// The room shows presence, perhaps of the client itself (XEP-0045 §7.2.2, §7.6).
    pub(super) fn shown(&mut self, stanza: &Stanza, now: u64) {
        let Some(from) = &stanza.from else {
            return;
        };
        let Some(room) = self.of(from) else {
            return;
        };
        room.heard = now;
        let x = stanza.child("x", ns::MUC_USER);
        let has = |code: &str| {
            let mut children = x.iter().flat_map(|x| x.children());
            children.any(|el| el.is("status", ns::MUC_USER) && el.attr("code") == Some(code))
        };
        match stanza.kind {
            Kind::Presence(PresenceType::Available) if has("110") => {
                room.address = from.clone();
                room.there = true;
            }
            Kind::Presence(PresenceType::Unavailable) if has("110") && !has("303") => {
                self.leave(from);
            }
            // It was not let in; who is there already was refused something else.
            Kind::Presence(PresenceType::Error) if !room.there => self.leave(from),
            _ => {}
        }
    }

    /// Rooms that were silent for so long, and were not asked for as long.
    pub(super) fn silent(&mut self, now: u64, silence: u64) -> impl Iterator<Item = &mut Room> {
        let long = move |since: u64| now.saturating_sub(since) >= silence;
        self.0.iter_mut().filter(move |room| {
            let asked = room.asked.as_ref().map_or(0, |(_, at)| *at);
            room.there && long(room.heard) && long(asked)
        })
    }

    /// XEP-0410 §3.2: what an answer means.
    pub(super) fn answered(&mut self, stanza: &Stanza, now: u64) -> Answer {
        let (Some(from), Some(id)) = (&stanza.from, &stanza.id) else {
            return Answer::NotOurs;
        };
        let Some(room) = self.of(from) else {
            return Answer::NotOurs;
        };
        let is_it = |asked: &mut (Box<str>, u64)| asked.0 == *id;
        let kind = match stanza.kind {
            Kind::Iq(kind @ (IqType::Result | IqType::Error)) => kind,
            _ => return Answer::NotOurs,
        };
        if room.asked.take_if(is_it).is_none() {
            return Answer::NotOurs;
        }
        let error = stanza.child("error", ns::CLIENT).map(StanzaError::parse);
        let condition = error.map(|error| error.condition);
        match condition.filter(|_| kind == IqType::Error) {
            None
            | Some(
                Condition::ServiceUnavailable
                | Condition::FeatureNotImplemented
                | Condition::ItemNotFound,
            ) => {
                room.heard = now;
                Answer::There
            }
            // No decision can be made on this; it is asked again.
            Some(
                Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ResourceConstraint
                | Condition::InternalServerError,
            ) => {
                room.asked = Some((Box::default(), now));
                Answer::Unknown
            }
            Some(_) => {
                let address = room.address.clone();
                self.leave(&address);
                Answer::Gone(address)
            }
        }
    }
}

impl Room {
    /// It is asked: the address that the question is for.
    pub(super) fn ask(&mut self, id: &str, now: u64) -> &Jid {
        self.asked = Some((id.into(), now));
        &self.address
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ROOM: &str = "coven@rooms.y/hag";

    fn stanza(xml: &str) -> Stanza {
        Stanza::from_bytes(xml.as_bytes()).unwrap()
    }

    fn shown(from: &str, kind: &str, codes: &[&str]) -> Stanza {
        let codes = codes.iter().map(|code| format!("<status code='{code}'/>"));
        let codes: String = codes.collect();
        stanza(&format!(
            "<presence xmlns='jabber:client' from='{from}'{kind}><x xmlns='{}'>{codes}</x></presence>",
            ns::MUC_USER
        ))
    }

    fn there() -> Rooms {
        let mut rooms = Rooms::default();
        assert!(rooms.enter(&Jid::parse(ROOM).unwrap(), 0, 1));
        rooms.shown(&shown(ROOM, "", &["110"]), 0);
        rooms
    }

    fn ask(rooms: &mut Rooms, id: &str) -> Option<String> {
        let room = rooms.silent(100, 100).next()?;
        Some(room.ask(id, 100).to_string())
    }

    fn answer(id: &str, condition: &str) -> Stanza {
        let error = match condition {
            "" => String::new(),
            condition => format!(
                "<error type='cancel'><{condition} xmlns='{}'/></error>",
                ns::STANZA_ERRORS
            ),
        };
        let kind = if error.is_empty() { "result" } else { "error" };
        stanza(&format!(
            "<iq xmlns='jabber:client' type='{kind}' id='{id}' from='{ROOM}'>{error}</iq>"
        ))
    }

    #[test]
    fn only_rooms_that_said_so_are_asked_and_only_after_silence() {
        let mut rooms = Rooms::default();
        assert!(rooms.enter(&Jid::parse(ROOM).unwrap(), 0, 1));
        assert!(!rooms.enter(&Jid::parse("other@rooms.y/hag").unwrap(), 0, 1));
        assert_eq!(ask(&mut rooms, "1"), None, "it was not let in yet");
        let mut rooms = there();
        rooms.heard(&Jid::parse("coven@rooms.y/other").unwrap(), 50);
        assert_eq!(ask(&mut rooms, "1"), None, "it was not silent for long");
        let mut rooms = there();
        // Another nickname.
        rooms.shown(&shown(ROOM, " type='unavailable'", &["110", "303"]), 0);
        rooms.shown(&shown("coven@rooms.y/witch", "", &["110"]), 0);
        assert_eq!(ask(&mut rooms, "1").as_deref(), Some("coven@rooms.y/witch"));
        assert_eq!(ask(&mut rooms, "2"), None, "the answer is awaited");
    }

    #[test]
    fn who_left_or_was_put_out_is_not_asked_about() {
        for codes in [&["110"][..], &["110", "307"]] {
            let mut rooms = there();
            rooms.shown(&shown(ROOM, " type='unavailable'", codes), 0);
            assert!(rooms.is_empty());
        }
        let mut rooms = there();
        rooms.shown(&shown(ROOM, " type='error'", &[]), 0);
        assert!(!rooms.is_empty(), "another nickname was refused");
    }

    #[test]
    fn answers_are_read_as_the_specification_says() {
        for (condition, meant) in [
            ("", Answer::There),
            ("service-unavailable", Answer::There),
            ("feature-not-implemented", Answer::There),
            ("item-not-found", Answer::There),
            ("remote-server-timeout", Answer::Unknown),
            ("remote-server-not-found", Answer::Unknown),
            ("not-acceptable", Answer::Gone(Jid::parse(ROOM).unwrap())),
            ("not-allowed", Answer::Gone(Jid::parse(ROOM).unwrap())),
            ("bad-request", Answer::Gone(Jid::parse(ROOM).unwrap())),
        ] {
            let mut rooms = there();
            ask(&mut rooms, "1");
            let other = rooms.answered(&answer("other", condition), 200);
            assert_eq!(other, Answer::NotOurs);
            let gone = matches!(meant, Answer::Gone(_));
            assert_eq!(
                rooms.answered(&answer("1", condition), 200),
                meant,
                "{condition}"
            );
            assert_eq!(rooms.is_empty(), gone);
            let again = rooms.answered(&answer("1", condition), 200);
            assert_eq!(again, Answer::NotOurs);
        }
    }
}
