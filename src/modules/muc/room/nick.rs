//! Another nickname (XEP-0045 §7.6).

use super::occupants::{Occupant, Session};
use super::said::{Told, code};
use super::{Out, Refused, Room};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};

impl Room {
    /// All clients of the occupant come along.
    pub(super) fn change_nick(
        &mut self,
        full: &Jid,
        to: &Jid,
        stanza: &Stanza,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let Some(old) = self.occupants.of(full).cloned() else {
            return Err(Condition::NotAcceptable.into());
        };
        let next = to.resource().unwrap_or_default();
        self.check_nick(next, &old.bare)?;
        let own = self.occupants.by_nick(next);
        if own.is_some_and(|there| there.address != old.address) {
            // The person is there under that name as well, with other clients.
            return Err(Condition::Conflict.into());
        }
        self.occupants.remove(old.nick());
        let told = Told {
            next_nick: Some(next),
            codes: &[code::NICK_CHANGED],
            ..Told::default()
        };
        let mut silent = old.clone();
        for session in &mut silent.sessions {
            session.presence = Stanza::presence(PresenceType::Unavailable);
        }
        self.broadcast(&silent, old.role, PresenceType::Unavailable, &told, out);
        let mut sessions = old.sessions;
        sessions.retain(|session| session.jid != *full);
        sessions.push(Session {
            jid: full.clone(),
            presence: stanza.clone(),
        });
        self.occupants.enter(Occupant {
            address: to.clone(),
            sessions,
            ..silent
        });
        self.rename_stay(&full.bare(), out);
        self.announce(next, &Told::default(), out);
        Ok(())
    }
}
