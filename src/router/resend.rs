//! Resends: a client whose stream broke before its message was acknowledged sends it again.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::state::log::origin_id;

/// Messages remembered per account, of those that came and of those that went.
pub(super) const REMEMBERED: usize = 64;

/// What arrived lately; a part of the recipient's account.
pub struct Recent {
    hasher: RandomState,
    seen: VecDeque<Seen>,
}

/// What its clients sent to other domains lately; a part of the sender's account.
#[derive(Default)]
pub struct Gone(pub Recent);

/// A message that passed.
struct Seen {
    mark: u64,
    /// By which it is known when an error comes for it.
    answered: u64,
    at: Instant,
}

impl Default for Recent {
    fn default() -> Self {
        Recent {
            hasher: RandomState::new(),
            seen: VecDeque::new(),
        }
    }
}

impl Recent {
    /// Whether this message came within `window`; notes it. The same is what has the same payload
    /// and origin-id (XEP-0359), which a client keeps although it comes back as another resource, or
    /// the same payload, id and sender's full JID. A message without id is never taken for another.
    pub fn seen(&mut self, stanza: &Stanza, now: Instant, window: Duration) -> bool {
        let Some(mark) = self.mark(stanza) else {
            return false;
        };
        while self
            .seen
            .front()
            .is_some_and(|seen| now.duration_since(seen.at) > window)
            || self.seen.len() >= REMEMBERED
        {
            self.seen.pop_front();
        }
        let again = self.seen.iter().any(|seen| seen.mark == mark);
        if !again {
            let answered = self.answered(stanza.id.as_deref(), stanza.to.as_ref());
            self.seen.push_back(Seen {
                mark,
                answered,
                at: now,
            });
        }
        again
    }

    /// What an account's log has of late, newest first: after a restart a client sends again what
    /// was stored and not acknowledged.
    pub fn of(stanzas: impl DoubleEndedIterator<Item = Stanza>, now: Instant) -> Self {
        let mut recent = Recent::default();
        for stanza in stanzas.rev() {
            recent.seen(&stanza, now, Duration::MAX);
        }
        recent
    }

    /// Whether nothing passed.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// This message did not get through after all.
    pub fn forget(&mut self, stanza: &Stanza) {
        let mark = self.mark(stanza);
        self.seen.retain(|seen| Some(seen.mark) != mark);
    }

    /// This error came: what it is for may be sent again.
    pub fn refused(&mut self, error: &Stanza) {
        let answered = self.answered(error.id.as_deref(), error.from.as_ref());
        self.seen.retain(|seen| seen.answered != answered);
    }

    fn answered(&self, id: Option<&str>, to: Option<&Jid>) -> u64 {
        self.hasher.hash_one((id, to.map(Jid::bare_str)))
    }

    fn mark(&self, stanza: &Stanza) -> Option<u64> {
        let from = stanza.from.as_ref()?;
        let (from, id) = match origin_id(stanza) {
            Some(origin) => (from.bare_str(), origin),
            None => (from.as_str(), stanza.id.as_deref()?),
        };
        let to = stanza.to.as_ref().map(Jid::bare_str);
        let what = (from, to, id, stanza.body_bytes());
        Some(self.hasher.hash_one(what))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::error::Condition;
    use crate::proto::ns;
    use crate::proto::stanza::MessageType;
    use crate::xml::Element;

    fn message(from: &str, id: Option<&str>, body: &str) -> Stanza {
        let mut stanza = Stanza::message(MessageType::Chat)
            .with_from(Jid::parse(from).unwrap())
            .with_child(Element::new("body", ns::CLIENT).with_text(body));
        stanza.id = id.map(Into::into);
        stanza
    }

    #[test]
    fn only_the_same_sender_id_and_payload_within_the_window_is_a_resend() {
        let mut recent = Recent::default();
        let start = Instant::now();
        let window = Duration::from_secs(60);
        let first = message("a@x/1", Some("m1"), "hi");
        assert!(!recent.seen(&first, start, window));
        assert!(recent.seen(&first, start, window));
        recent.forget(&first);
        assert!(!recent.seen(&first, start, window));
        assert!(!recent.seen(&message("a@x/2", Some("m1"), "hi"), start, window));
        assert!(!recent.seen(&message("a@x/1", Some("m2"), "hi"), start, window));
        assert!(!recent.seen(&message("a@x/1", Some("m1"), "ho"), start, window));
        assert!(!recent.seen(&message("a@x/1", None, "hi"), start, window));
        assert!(!recent.seen(&message("a@x/1", None, "hi"), start, window));
        let later = start + Duration::from_secs(61);
        assert!(!recent.seen(&first, later, window));
    }

    #[test]
    fn an_origin_id_outlives_the_resource() {
        let mut recent = Recent::default();
        let (start, window) = (Instant::now(), Duration::from_secs(60));
        let marked = |from, id, origin| {
            let origin = Element::new("origin-id", ns::STANZA_ID).with_attr("id", origin);
            message(from, id, "hi").with_child(origin)
        };
        assert!(!recent.seen(&marked("a@x/1", Some("m1"), "o1"), start, window));
        assert!(recent.seen(&marked("a@x/2", Some("m9"), "o1"), start, window));
        assert!(!recent.seen(&marked("a@x/2", Some("m1"), "o2"), start, window));
        assert!(!recent.seen(&marked("b@x/1", Some("m1"), "o1"), start, window));
    }

    #[test]
    fn what_came_back_may_be_sent_again() {
        let mut recent = Recent::default();
        let (start, window) = (Instant::now(), Duration::from_secs(60));
        let to = |to: &str, id| {
            let mut sent = message("a@x/1", Some(id), "hi");
            sent.to = Some(Jid::parse(to).unwrap());
            sent
        };
        for sent in [to("b@y", "m1"), to("c@y", "m1"), to("b@y/2", "m2")] {
            assert!(!recent.seen(&sent, start, window));
        }
        let mut error = to("b@y", "m1").error(&Condition::RemoteServerTimeout.into());
        let error = error.as_mut().unwrap();
        error.from = Some(Jid::parse("b@y").unwrap());
        recent.refused(error);
        assert!(!recent.seen(&to("b@y", "m1"), start, window));
        assert!(recent.seen(&to("c@y", "m1"), start, window));
        assert!(recent.seen(&to("b@y", "m2"), start, window));
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        let now = Instant::now();
        for i in 0..1000 {
            recent.seen(
                &message("a@x/1", Some(&i.to_string()), "hi"),
                now,
                Duration::from_secs(60),
            );
        }
        assert!(recent.seen.len() <= REMEMBERED);
    }
}
