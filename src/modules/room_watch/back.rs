//! How a client is brought back into a room that it fell out of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::proto::datetime;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::runtime::backoff::Backoff;
use crate::xml::Element;

/// Bytes of presence that are kept for a room; of one that has more nothing but that it is presence.
const WORDS: usize = 8 << 10;

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(3_600);

/// When attempts are made, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The first pause; each is twice as long as the one before.
    pub first: Duration,
    /// Attempts until it is given up.
    pub most: u32,
}

/// What is known of a client that asked to be brought back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Back {
    /// What it last said of its presence in the room, as XML.
    words: String,
    /// The password of its join: in memory only.
    #[serde(skip)]
    password: Option<String>,
    /// When it came in, Unix milliseconds.
    since: u64,
    /// Attempts since it fell out of the room, having been there for long.
    tries: u32,
    /// It is out, and the next attempt is made then, Unix milliseconds.
    due: Option<u64>,
    /// It knows that it is out.
    told: bool,
}

impl Back {
    /// Of the presence by which a client enters.
    pub(super) fn of(join: &Stanza, now: u64) -> Back {
        let x = join.child("x", ns::MUC);
        let password = x.and_then(|x| Some(x.child("password", ns::MUC)?.text().into_owned()));
        let mut back = Back {
            words: String::new(),
            password,
            since: now,
            tries: 0,
            due: None,
            told: false,
        };
        back.says(join);
        back
    }

    /// The client says something else of its presence.
    pub(super) fn says(&mut self, presence: &Stanza) {
        let mut words = presence.clone();
        (words.from, words.to, words.id) = (None, None, None);
        words.retain_children(|el| !el.is("x", ns::MUC));
        let bytes = words.to_bytes();
        self.words = match bytes.len() <= WORDS {
            true => String::from_utf8_lossy(&bytes).into_owned(),
            false => String::new(),
        };
    }

    /// It came in.
    pub(super) fn entered(&mut self, now: u64) {
        if self.due.take().is_some() {
            self.since = now;
            self.told = false;
        }
    }

    /// It is out. The room told it as it stopped, or nobody did: then it does not have to wait the first time.
    pub(super) fn fell(&mut self, told: bool, now: u64, calm: u64, pace: Pace) {
        if now.saturating_sub(self.since) >= calm {
            self.tries = 0;
        }
        self.told = told;
        match !told && self.tries == 0 {
            true => self.due = Some(now),
            false => self.later(now, pace),
        }
    }

    fn later(&mut self, now: u64, pace: Pace) {
        let doubled = pace.first.saturating_mul(1 << self.tries.min(16));
        let pause = Backoff::new(doubled, LONGEST).next();
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.due = Some(now.saturating_add(pause));
    }

    /// Whether it is out.
    pub(super) fn is_out(&self) -> bool {
        self.due.is_some()
    }

    /// Whether an attempt is due.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Whether it knows that it is out.
    pub(super) fn knows(&self) -> bool {
        self.told
    }

    /// The next attempt: the join as the client would send it, with what it missed; none if there were too many.
    pub(super) fn attempt(
        &mut self,
        client: &Jid,
        address: &Jid,
        heard: u64,
        now: u64,
        pace: Pace,
    ) -> Option<Stanza> {
        if self.tries >= pace.most {
            return None;
        }
        self.tries += 1;
        self.later(now, pace);
        let since = datetime::format(heard);
        let password = self.password.as_ref();
        let x = Element::new("x", ns::MUC)
            .with_children(password.map(|text| Element::new("password", ns::MUC).with_text(text)))
            .with_child(Element::new("history", ns::MUC).with_attr("since", &since));
        let words = Stanza::from_bytes(self.words.as_bytes()).ok();
        let words = words.unwrap_or_else(|| Stanza::presence(PresenceType::Available));
        let join = words.with_from(client.clone()).with_to(address.clone());
        Some(join.with_child(x))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PACE: Pace = Pace {
        first: Duration::from_secs(8),
        most: 2,
    };

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn join() -> Stanza {
        let x = Element::new("x", ns::MUC)
            .with_child(Element::new("password", ns::MUC).with_text("cauldronburn"))
            .with_child(Element::new("history", ns::MUC).with_attr("maxstanzas", "0"));
        Stanza::presence(PresenceType::Available)
            .with_id("join")
            .with_from(jid("hag66@x/pda"))
            .with_to(jid("coven@rooms.y/hag"))
            .with_child(Element::new("show", ns::CLIENT).with_text("away"))
            .with_child(x)
    }

    fn attempt(back: &mut Back, now: u64) -> Option<Stanza> {
        back.attempt(
            &jid("hag66@x/pda"),
            &jid("coven@rooms.y/hag"),
            1_000,
            now,
            PACE,
        )
    }

    #[test]
    fn it_enters_as_its_client_did_and_asks_for_what_it_missed() {
        let mut back = Back::of(&join(), 0);
        let again = attempt(&mut back, 0).unwrap();
        assert_eq!(again.id, None);
        assert_eq!(again.to, Some(jid("coven@rooms.y/hag")));
        assert_eq!(again.child("show", ns::CLIENT).unwrap().text(), "away");
        let x = again.child("x", ns::MUC).unwrap();
        let password = x.child("password", ns::MUC).unwrap();
        assert_eq!(password.text(), "cauldronburn");
        let history = x.child("history", ns::MUC).unwrap();
        assert_eq!(history.attr("since"), Some("1970-01-01T00:00:01Z"));
        assert_eq!(history.attr("maxstanzas"), None);
    }

    #[test]
    fn no_password_is_written_down() {
        let written = serde_json::to_string(&Back::of(&join(), 0)).unwrap();
        assert!(!written.contains("cauldronburn"), "{written}");
        let mut read: Back = serde_json::from_str(&written).unwrap();
        let x = attempt(&mut read, 0).unwrap();
        let x = x.child("x", ns::MUC).unwrap();
        assert!(x.child("password", ns::MUC).is_none());
    }

    #[test]
    fn attempts_become_rarer_and_end() {
        let mut back = Back::of(&join(), 0);
        back.fell(true, 100_000, 50_000, PACE);
        assert!(back.knows() && !back.is_due(103_999) && back.is_due(108_000));
        assert!(attempt(&mut back, 108_000).is_some());
        assert!(!back.is_due(115_999) && back.is_due(124_000));
        // It was let in, and fell out soon after: this is no new beginning.
        back.entered(120_000);
        assert!(!back.is_out());
        back.fell(false, 130_000, 50_000, PACE);
        assert!(attempt(&mut back, 150_000).is_some());
        assert!(attempt(&mut back, 200_000).is_none());
        back.entered(200_000);
        back.fell(false, 250_000, 50_000, PACE);
        assert!(attempt(&mut back, 260_000).is_some());
    }
}
