//! Slow mode: how long everybody waits between two messages (XEP-0500 0.1.1).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Bound, Now, Refused, Room};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::state::rooms::Affiliation;

/// When each person spoke, whatever its client or nickname (§8). Who may speak again is forgotten.
#[derive(Default)]
pub struct Spoken {
    at: HashMap<Jid, Instant>,
    /// The same in the order of time.
    order: VecDeque<(Instant, Jid)>,
}

impl Spoken {
    fn forget(&mut self, wait: Duration, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && now.saturating_duration_since(*at) >= wait
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, jid)) = self.order.pop_front() {
            self.at.remove(&jid);
        }
    }
}

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
        let wait = Duration::from_secs(seconds.into());
        self.spoken.forget(wait, now.instant);
        if self.spoken.at.contains_key(bare) {
            let text =
                format!("This room is in slow mode: wait {seconds} seconds between messages");
            return Err(StanzaError::from(Condition::PolicyViolation)
                .with_type(ErrorType::Wait)
                .with_text(text));
        }
        if self.spoken.order.len() >= self.rules.speakers {
            // Whoever waits for longest is let off the rest.
            self.reached = Some(Bound::Speakers);
            self.spoken.forget_first();
        }
        self.spoken.at.insert(bare.clone(), now.instant);
        self.spoken.order.push_back((now.instant, bare.clone()));
        Ok(())
    }
}
