//! The rooms that one session is in, as far as what passes shows it.

use serde::{Deserialize, Serialize};

use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, PresenceType, Stanza};

use super::back::{Back, Pace};

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
    /// How it is brought back, if its client asked for that.
    #[serde(default)]
    back: Option<Box<Back>>,
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
    /// It is not, and is brought back.
    Out,
}

/// What becomes of presence that a room shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It goes on to the client.
    Pass,
    /// The client is not brought back, and knows that it is out.
    Refused,
    /// It is not brought back, and was there under this address.
    Gone(Jid),
}

/// What is due.
#[derive(Debug)]
pub(super) enum Due {
    /// It enters again.
    Join(Stanza),
    /// It is given up: where it was, if it does not know that it is out.
    Over(Option<Jid>),
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
    pub(super) fn enter(&mut self, to: &Jid, back: Option<Back>, now: u64, most: usize) -> bool {
        let back = back.map(Box::new);
        if let Some(room) = self.of(to) {
            if !room.there {
                room.address = to.clone();
            }
            room.back = back;
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
            back,
        });
        true
    }

    /// The client says something else of its presence in a room.
    pub(super) fn says(&mut self, to: &Jid, presence: &Stanza) {
        if let Some(back) = self.of(to).and_then(|room| room.back.as_mut()) {
            back.says(presence);
        }
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
    pub(super) fn shown(&mut self, stanza: &Stanza, now: u64, calm: u64, pace: Pace) -> Shown {
        let Some(from) = &stanza.from else {
            return Shown::Pass;
        };
        let Some(room) = self.of(from) else {
            return Shown::Pass;
        };
        let x = stanza.child("x", ns::MUC_USER);
        let has = |code: &str| {
            let mut children = x.iter().flat_map(|x| x.children());
            children.any(|el| el.is("status", ns::MUC_USER) && el.attr("code") == Some(code))
        };
        match stanza.kind {
            Kind::Presence(PresenceType::Available) if has("110") => {
                room.address = from.clone();
                room.there = true;
                room.back.iter_mut().for_each(|back| back.entered(now));
            }
            Kind::Presence(PresenceType::Unavailable) if has("110") && !has("303") => {
                // Nobody put it out: the service stopped, or did not reach it (§16.6).
                let fell = has("332") || has("333");
                match room.back.as_mut().filter(|_| fell) {
                    Some(back) => {
                        back.fell(true, now, calm, pace);
                        room.there = false;
                    }
                    None => self.leave(from),
                }
                return Shown::Pass;
            }
            // It was not let in; who is there already was refused something else.
            Kind::Presence(PresenceType::Error) if !room.there => return self.refused(stanza),
            _ => {}
        }
        if let Some(room) = self.of(from) {
            room.heard = now;
        }
        Shown::Pass
    }

    /// The room, or the way to it, does not let the client in.
    fn refused(&mut self, stanza: &Stanza) -> Shown {
        let Some(room) = stanza.from.as_ref().and_then(|from| self.of(from)) else {
            return Shown::Pass;
        };
        let address = room.address.clone();
        let Some(back) = room.back.as_ref().filter(|back| back.is_out()) else {
            self.leave(&address);
            return Shown::Pass;
        };
        let knows = back.knows();
        let error = stanza.child("error", ns::CLIENT).map(StanzaError::parse);
        if error
            .is_some_and(|error| error.kind == ErrorType::Wait || is_of_the_way(error.condition))
        {
            // It is tried again.
            return Shown::Refused;
        }
        self.leave(&address);
        match knows {
            true => Shown::Refused,
            false => Shown::Gone(address),
        }
    }

    /// Whether an attempt is due for some room.
    pub(super) fn is_due(&self, now: u64) -> bool {
        let mut rooms = self.0.iter().filter_map(|room| room.back.as_ref());
        rooms.any(|back| back.is_due(now))
    }

    /// Whether something is to be done for a room whose client is out, and what.
    pub(super) fn due(&mut self, client: &Jid, now: u64, pace: Pace) -> Option<Due> {
        let due = |room: &&mut Room| room.back.as_ref().is_some_and(|back| back.is_due(now));
        let room = self.0.iter_mut().find(due)?;
        let back = room.back.as_mut()?;
        if let Some(join) = back.attempt(client, &room.address, room.heard, now, pace) {
            return Some(Due::Join(join));
        }
        let (address, knows) = (room.address.clone(), back.knows());
        self.leave(&address);
        Some(Due::Over(Some(address).filter(|_| !knows)))
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
    pub(super) fn answered(&mut self, stanza: &Stanza, now: u64, calm: u64, pace: Pace) -> Answer {
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
            Some(condition) if is_of_the_way(condition) => {
                room.asked = Some((Box::default(), now));
                Answer::Unknown
            }
            Some(_) => {
                if let Some(back) = &mut room.back {
                    back.fell(false, now, calm, pace);
                    room.there = false;
                    return Answer::Out;
                }
                let address = room.address.clone();
                self.leave(&address);
                Answer::Gone(address)
            }
        }
    }
}

/// Whether an error says nothing of the room: nobody reached it, or it cannot answer now.
fn is_of_the_way(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::ResourceConstraint
            | Condition::InternalServerError
    )
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
    use std::time::Duration;

    use super::*;

    const ROOM: &str = "coven@rooms.y/hag";
    const PACE: Pace = Pace {
        first: Duration::from_millis(100),
        most: 2,
    };

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
        assert!(rooms.enter(&Jid::parse(ROOM).unwrap(), None, 0, 1));
        rooms.shown(&shown(ROOM, "", &["110"]), 0, 1_000, PACE);
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
        assert!(rooms.enter(&Jid::parse(ROOM).unwrap(), None, 0, 1));
        assert!(!rooms.enter(&Jid::parse("other@rooms.y/hag").unwrap(), None, 0, 1));
        assert_eq!(ask(&mut rooms, "1"), None, "it was not let in yet");
        let mut rooms = there();
        rooms.heard(&Jid::parse("coven@rooms.y/other").unwrap(), 50);
        assert_eq!(ask(&mut rooms, "1"), None, "it was not silent for long");
        let mut rooms = there();
        // Another nickname.
        rooms.shown(
            &shown(ROOM, " type='unavailable'", &["110", "303"]),
            0,
            1_000,
            PACE,
        );
        rooms.shown(&shown("coven@rooms.y/witch", "", &["110"]), 0, 1_000, PACE);
        assert_eq!(ask(&mut rooms, "1").as_deref(), Some("coven@rooms.y/witch"));
        assert_eq!(ask(&mut rooms, "2"), None, "the answer is awaited");
    }

    #[test]
    fn who_left_or_was_put_out_is_not_asked_about() {
        for codes in [&["110"][..], &["110", "307"]] {
            let mut rooms = there();
            rooms.shown(&shown(ROOM, " type='unavailable'", codes), 0, 1_000, PACE);
            assert!(rooms.is_empty());
        }
        let mut rooms = there();
        rooms.shown(&shown(ROOM, " type='error'", &[]), 0, 1_000, PACE);
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
            let other = rooms.answered(&answer("other", condition), 200, 1_000, PACE);
            assert_eq!(other, Answer::NotOurs);
            let gone = matches!(meant, Answer::Gone(_));
            assert_eq!(
                rooms.answered(&answer("1", condition), 200, 1_000, PACE),
                meant,
                "{condition}"
            );
            assert_eq!(rooms.is_empty(), gone);
            let again = rooms.answered(&answer("1", condition), 200, 1_000, PACE);
            assert_eq!(again, Answer::NotOurs);
        }
    }

    /// Out of the room without having been told, and an attempt was made.
    fn out(client: &Jid) -> Rooms {
        let mut rooms = Rooms::default();
        let join = stanza(&format!(
            "<presence xmlns='jabber:client' to='{ROOM}'><x xmlns='{}'/></presence>",
            ns::MUC
        ));
        let back = Some(Back::of(&join, 0));
        assert!(rooms.enter(&Jid::parse(ROOM).unwrap(), back, 0, 1));
        rooms.shown(&shown(ROOM, "", &["110"]), 0, 1_000, PACE);
        ask(&mut rooms, "1");
        let answer = answer("1", "not-acceptable");
        assert_eq!(rooms.answered(&answer, 200, 1_000, PACE), Answer::Out);
        let due = rooms.due(client, 200, PACE);
        assert!(matches!(due, Some(Due::Join(_))), "{due:?}");
        assert!(rooms.due(client, 200, PACE).is_none());
        rooms
    }

    fn refusal(condition: &str) -> Stanza {
        let error = format!("<{condition} xmlns='{}'/>", ns::STANZA_ERRORS);
        stanza(&format!(
            "<presence xmlns='jabber:client' type='error' from='{ROOM}'><error type='cancel'>{error}</error></presence>"
        ))
    }

    #[test]
    fn who_asked_for_it_is_brought_back_and_told_only_when_that_is_in_vain() {
        let client = Jid::parse("hag66@x/pda").unwrap();
        let room = || Jid::parse(ROOM).unwrap();
        let mut rooms = out(&client);
        let back = shown(ROOM, "", &["110"]);
        assert_eq!(rooms.shown(&back, 300, 1_000, PACE), Shown::Pass);
        assert!(rooms.due(&client, 100_000, PACE).is_none(), "it is there");
        // The room does not want it.
        let mut rooms = out(&client);
        let refused = rooms.shown(&refusal("forbidden"), 300, 1_000, PACE);
        assert_eq!(refused, Shown::Gone(room()));
        assert!(rooms.is_empty());
        // Nobody reaches the room, until it is given up.
        let mut rooms = out(&client);
        let unreached = refusal("remote-server-timeout");
        assert_eq!(rooms.shown(&unreached, 300, 1_000, PACE), Shown::Refused);
        assert!(matches!(
            rooms.due(&client, 1_000, PACE),
            Some(Due::Join(_))
        ));
        let over = rooms.due(&client, 2_000, PACE);
        assert!(matches!(over, Some(Due::Over(Some(_)))), "{over:?}");
        assert!(rooms.is_empty());
    }

    #[test]
    fn who_was_told_that_the_room_stops_is_brought_back_later() {
        let client = Jid::parse("hag66@x/pda").unwrap();
        let mut rooms = out(&client);
        rooms.shown(&shown(ROOM, "", &["110"]), 300, 1_000, PACE);
        let stops = shown(ROOM, " type='unavailable'", &["110", "332"]);
        assert_eq!(rooms.shown(&stops, 400, 1_000, PACE), Shown::Pass);
        assert!(!rooms.is_due(400) && rooms.is_due(1_000));
        assert!(matches!(
            rooms.due(&client, 1_000, PACE),
            Some(Due::Join(_))
        ));
        let refused = rooms.shown(&refusal("conflict"), 1_100, 1_000, PACE);
        assert_eq!(refused, Shown::Refused, "it knows that it is out");
        assert!(rooms.is_empty());
        // A kick is a kick.
        let mut rooms = out(&client);
        rooms.shown(&shown(ROOM, "", &["110"]), 300, 1_000, PACE);
        let kicked = shown(ROOM, " type='unavailable'", &["110", "307"]);
        assert_eq!(rooms.shown(&kicked, 400, 1_000, PACE), Shown::Pass);
        assert!(rooms.is_empty());
    }
}
