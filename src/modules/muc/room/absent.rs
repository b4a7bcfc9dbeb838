//! Who belongs to a room and is not there.

use std::collections::HashSet;

use super::Room;
use crate::proto::jid::Jid;
use crate::state::rooms::stays::Stay;
use crate::state::rooms::{Affiliate, Affiliation};

/// A member who is not there.
pub struct Member {
    /// Who.
    pub jid: Jid,
    /// The nickname that is kept for it.
    pub nick: Option<Box<str>>,
}

impl Room {
    /// Members of a host who are not there, so many at the most.
    pub fn absent(&self, host: &str, most: usize) -> Vec<Member> {
        let Some(stored) = self.stored.as_ref().filter(|_| !self.locked) else {
            return Vec::new();
        };
        let there = self.occupants.iter().filter(|there| there.has_client());
        let there: HashSet<&str> = there.map(|there| there.bare.as_str()).collect();
        let away = stored.affiliates.iter().filter(|(jid, known)| {
            known.affiliation >= Affiliation::Member
                && jid.domain() == host
                && !there.contains(jid.as_str())
        });
        let member = |(jid, known): (&Jid, &Affiliate)| Member {
            jid: jid.clone(),
            nick: known.nick.as_deref().map(Into::into),
        };
        // Who stays and is on no list of members.
        let others = self.stays.iter().filter(|(jid, _)| {
            jid.domain() == host
                && !there.contains(jid.as_str())
                && self.listed_as(jid) < Affiliation::Member
        });
        let other = |(jid, stay): (&Jid, &Stay)| Member {
            jid: jid.clone(),
            nick: Some(stay.nick.as_str().into()),
        };
        let all = away.map(member).chain(others.map(other));
        all.take(most).collect()
    }

    /// Whether everybody may find and enter the room.
    pub fn is_open(&self) -> bool {
        self.options()
            .is_some_and(|options| options.public && !options.members_only)
    }
}
