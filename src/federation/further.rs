//! Further domains of ours on a stream that we opened, each with a key of its own (XEP-0220 §2.4, "multiplexing sender domains").
//!
//! Only where dialback proved the stream, where errors end nothing (§2.4.2), and where the stream could not be resumed anyway
//! (XEP-0198): one that can carries one pair.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flow::wake;
use super::house::House;
use super::keeper::Key;
use super::line::{Inner, Line, State};
use super::pair::Input;
use crate::proto::StreamCondition;
use crate::stream::NonzaVerdict;
use crate::stream::server::{self, Established, Proof};
use crate::xml::Element;

/// Pairs that one stream carries.
const MOST: usize = 100;

/// Keys of further domains.
pub(super) struct Further {
    /// What keys are made for.
    stream: String,
    waiting: Vec<Key>,
    asked: Vec<Key>,
    /// Since when an answer is awaited.
    since: Option<Instant>,
}

impl Further {
    /// For a stream that came about like this, if it may carry further domains.
    pub fn of(how: &Established) -> Option<Further> {
        let may = how.errors && how.proof == Proof::Dialback && how.resumption.is_none();
        may.then(|| Further {
            stream: how.stream.clone(),
            waiting: Vec::new(),
            asked: Vec::new(),
            since: None,
        })
    }
}

impl Line {
    /// Has a further pair proved on this stream, if it may be.
    fn carries(&self, key: &Key) -> bool {
        let waker = {
            let mut inner = self.lock();
            let open = inner.state == State::Connected && !inner.flow.is_ending();
            let pairs = inner.pairs.len();
            let same =
                inner.pairs.first().map(|(pair, _)| &pair.remote) == Some(&key.pair().remote);
            let Some(further) = inner.further.as_mut().filter(|_| open && same) else {
                return false;
            };
            if pairs + further.waiting.len() + further.asked.len() >= MOST {
                return false;
            }
            further.waiting.push(key.clone());
            inner.flow.writer()
        };
        wake(waker);
        true
    }

    /// What they say of a key.
    pub(super) fn judged(self: &Arc<Self>, answer: &Element) -> NonzaVerdict {
        let told = answer.attr("to").unwrap_or_default();
        let key = {
            let mut inner = self.lock();
            let further = inner.further.as_mut();
            further.and_then(|further| {
                let mut asked = further.asked.iter();
                let at = asked.position(|key| key.pair().local.as_str() == told)?;
                if further.asked.len() == 1 {
                    further.since = None;
                }
                Some(further.asked.remove(at))
            })
        };
        let Some(key) = key else {
            return NonzaVerdict::Fault(StreamCondition::InvalidFrom.into());
        };
        if answer.attr("type") == Some("valid") {
            self.add(key.pair().clone(), Proof::Dialback, true);
            self.house.post(&key, Input::Up(self.way(&key)));
        } else {
            // Nor would they believe others of ours here.
            self.no_further();
            self.house.call_apart_soon(key);
        }
        NonzaVerdict::Done
    }

    /// Time passes: who waits for an answer for too long goes on a stream of its own.
    pub(super) fn watch_further(&self, now: Instant, patience: Duration) {
        let late = {
            let inner = self.lock();
            let since = inner.further.as_ref().and_then(|further| further.since);
            since.is_some_and(|since| now.saturating_duration_since(since) >= patience)
        };
        if late {
            self.no_further();
        }
    }

    /// It carries no further pairs; those that wait go on streams of their own.
    pub(super) fn no_further(&self) {
        let Some(further) = self.lock().further.take() else {
            return;
        };
        for key in further.waiting.into_iter().chain(further.asked) {
            self.house.call_apart_soon(key);
        }
    }
}

impl Inner {
    /// Writes the keys that are to be given.
    pub fn give_keys(&mut self, house: &House, out: &mut Vec<u8>) {
        let Some(further) = self.further.as_mut().filter(|all| !all.waiting.is_empty()) else {
            return;
        };
        for key in further.waiting.drain(..) {
            let (local, remote) = (&key.pair().local, &key.pair().remote);
            let proof = server::Office::key(house, remote, local, &further.stream);
            // Addresses of domains and keys have nothing that XML would read otherwise.
            let given = format!("<db:result from='{local}' to='{remote}'>{proof}</db:result>");
            out.extend_from_slice(given.as_bytes());
            further.asked.push(key);
        }
        further.since.get_or_insert(house.clock().now());
    }
}

impl House {
    /// Whether a stream that is there carries this pair too, or will be asked to.
    pub(super) fn joins(&self, key: &Key) -> bool {
        let mut lines = self.lines().into_iter();
        lines.any(|line| !line.incoming && line.carries(key))
    }

    fn call_apart_soon(&self, key: Key) {
        if let Some(house) = self.me() {
            tokio::spawn(house.call_apart(key));
        }
    }
}
