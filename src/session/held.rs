//! What the outbox filters of modules keep back until something important comes.

use std::collections::VecDeque;

use super::outward::Queued;

/// Stanzas kept back, in their order; of those under one key the last one.
#[derive(Default)]
pub(super) struct Held {
    stanzas: VecDeque<(Option<Box<str>>, Queued)>,
    bytes: usize,
}

impl Held {
    /// Keeps one back; under a key it takes the place of the one before.
    pub fn keep(&mut self, key: Option<Box<str>>, queued: Queued) {
        if let Some(key) = &key {
            self.remove(key);
        }
        self.bytes += queued.size;
        self.stanzas.push_back((key, queued));
    }

    fn remove(&mut self, key: &str) {
        let known = |(known, _): &(Option<Box<str>>, Queued)| known.as_deref() == Some(key);
        if let Some(at) = self.stanzas.iter().position(known)
            && let Some((_, old)) = self.stanzas.remove(at)
        {
            self.bytes = self.bytes.saturating_sub(old.size);
        }
    }

    /// How many there are, and their bytes.
    pub fn weight(&self) -> (usize, usize) {
        (self.stanzas.len(), self.bytes)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.stanzas.iter().map(|(_, queued)| queued)
    }

    /// All, in their order, to go out.
    pub fn into_all(self) -> impl Iterator<Item = Queued> {
        self.stanzas.into_iter().map(|(_, queued)| queued)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hooks::Outgoing;
    use crate::proto::stanza::{MessageType, Stanza};

    fn queued(size: usize) -> Queued {
        Queued {
            item: Outgoing {
                stanza: Arc::new(Stanza::message(MessageType::Chat)),
                to: None,
                entry: None,
            },
            size,
        }
    }

    #[test]
    fn the_last_of_a_key_stays_and_takes_the_last_place() {
        let mut held = Held::default();
        for (key, size) in [(Some("a"), 1), (None, 2), (Some("b"), 3), (Some("a"), 4)] {
            held.keep(key.map(Into::into), queued(size));
        }
        assert_eq!(held.weight(), (3, 9));
        let sizes: Vec<usize> = held.into_all().map(|queued| queued.size).collect();
        assert_eq!(sizes, [2, 3, 4]);
    }
}
