//! How much one person does in a room in a time: what it says, and what it shows of itself, goes to everybody there.

use std::collections::HashMap;
use std::time::Instant;

use super::{Actor, Bound, Now, Refused, Room};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, PresenceType};
use crate::runtime::bucket::Bucket;
use crate::state::rooms::Affiliation;

/// People that are remembered before those are looked for who may be forgotten.
const FEW: usize = 64;

/// What people did of late, whatever their clients or nicknames.
#[derive(Default)]
pub struct Acts {
    of: HashMap<Jid, Bucket>,
    /// With so many it is time to forget.
    full: usize,
}

impl Acts {
    /// One more of somebody's; whether that is not too many. `most` people are remembered.
    fn take(&mut self, bare: &Jid, rate: u32, most: usize, now: Instant) -> bool {
        if let Some(bucket) = self.of.get_mut(bare) {
            return bucket.try_take(1, now);
        }
        if self.of.len() >= self.full.max(FEW) {
            self.of.retain(|_, bucket| !bucket.is_full(now));
            self.full = self.of.len().saturating_mul(2).min(most);
        }
        let mut bucket = Bucket::new(rate, rate.saturating_mul(10));
        let free = bucket.try_take(1, now);
        if self.of.len() < most {
            self.of.insert(bare.clone(), bucket);
        }
        free
    }
}

impl Room {
    /// Admins and owners do as much as they like; that somebody leaves is never too much.
    pub(super) fn take_act(
        &mut self,
        actor: &Actor,
        kind: Kind,
        now: &Now<'_>,
    ) -> Result<(), Refused> {
        let acts = match kind {
            Kind::Presence(kind) => kind == PresenceType::Available,
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Iq(_) => false,
        };
        let bare = actor.jid.bare();
        if !acts || self.affiliation(&bare) >= Affiliation::Admin {
            return Ok(());
        }
        let (rate, most) = (self.rules.acts, self.rules.speakers);
        match self.acts.take(&bare, rate, most, now.instant) {
            true => Ok(()),
            false => {
                self.reached = Some(Bound::Acts);
                Err(StanzaError::from(Condition::PolicyViolation)
                    .with_type(ErrorType::Wait)
                    .with_text("You do too much in this room at once; wait a moment"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_does_nothing_for_a_while_is_forgotten() {
        let (mut acts, start) = (Acts::default(), Instant::now());
        for second in 0..1_000 {
            let now = start + Duration::from_secs(second);
            let who = Jid::parse(&format!("u{second}@x")).unwrap();
            assert!(acts.take(&who, 1, 1_000, now));
            assert!(acts.of.len() <= FEW + 1, "{second}: {}", acts.of.len());
        }
    }
}
