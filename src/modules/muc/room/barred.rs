//! Who is named by a block list that the service follows: as if it was banned, but for who is on a list of the room.

use super::said::{Told, code};
use super::{Actor, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Kind, MessageType, PresenceType};
use crate::state::rooms::Affiliation;

/// What it is told.
const WHY: &str = "A block list of this service names you.";

const BARRED: Told<'static> = Told {
    reason: Some(WHY),
    codes: &[code::BANNED],
    next_nick: None,
    actor: None,
    own_codes: &[],
    until: None,
    change: None,
    version: None,
};

impl Room {
    /// Puts out who is barred and there, and refuses what who is not there does; anything else goes on.
    pub(super) fn bar(
        &mut self,
        actor: &Actor,
        kind: Kind,
        out: &mut Out,
    ) -> Option<Result<(), Refused>> {
        let acts = match kind {
            Kind::Presence(kind) => kind == PresenceType::Available,
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Iq(kind) => kind == IqType::Set,
        };
        if !acts || !actor.barred || self.affiliation(&actor.jid.bare()) != Affiliation::None {
            return None;
        }
        if let Some(there) = self.occupants.of(&actor.jid) {
            let nick = there.nick().to_owned();
            self.put_out(&nick, &BARRED, out);
            self.end_if_empty(out);
            return Some(Ok(()));
        }
        Some(Err(StanzaError::from(Condition::Forbidden).with_text(WHY)))
    }

    /// Puts out all who are barred.
    pub fn put_out_barred(&mut self, barred: impl Fn(&Jid) -> bool, out: &mut Out) {
        let named: Vec<_> = self
            .occupants
            .iter()
            .filter(|there| barred(&there.bare))
            .filter(|there| self.affiliation(&there.bare) == Affiliation::None)
            .map(|there| (there.nick().to_owned(), BARRED.clone()))
            .collect();
        self.put_out_all(&named, out);
        if !named.is_empty() {
            self.end_if_empty(out);
        }
        out.put_first();
    }
}
