//! Slow mode: how long everybody waits between two messages (XEP-0500 0.1.1).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Now, Refused, Room};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::state::rooms::Affiliation;

/// When each person may speak again, whatever its client or nickname (§8). Who may is forgotten.
#[derive(Default)]
pub struct Spoken(HashMap<Jid, Instant>);

impl Room {
    /// §6: only text counts, and admins and owners need not wait.
    pub(super) fn paced(
        &mut self,
        bare: &Jid,
        stanza: &Stanza,
        now: &Now<'_>,
    ) -> Result<(), Refused> {
        let seconds = self.options().map_or(0, |options| options.slow_mode);
        let free = seconds == 0
            || stanza.child("body", ns::CLIENT).is_none()
            || self.affiliation(bare) >= Affiliation::Admin;
        if free {
            return Ok(());
        }
        self.spoken.0.retain(|_, until| *until > now.instant);
        if self.spoken.0.contains_key(bare) {
            let text =
                format!("This room is in slow mode: wait {seconds} seconds between messages");
            return Err(StanzaError::from(Condition::PolicyViolation)
                .with_type(ErrorType::Wait)
                .with_text(text));
        }
        let until = now.instant + Duration::from_secs(seconds.into());
        self.spoken.0.insert(bare.clone(), until);
        Ok(())
    }
}
