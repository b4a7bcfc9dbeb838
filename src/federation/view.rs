//! Federation as administrators see it.

use super::house::House;
use super::line::Told;
use super::pair::Pair;
use super::trouble::Trouble;
use crate::hooks::{Direction, Link};
use crate::state::outbox;
use crate::stream::server::Proof;

/// A stream, or a pair without one, as administrators see it.
#[derive(Debug, Clone)]
pub struct LinkSummary {
    /// Ours.
    pub local: String,
    /// Theirs.
    pub remote: String,
    /// In words.
    pub state: String,
    /// Stanzas kept for it.
    pub kept: u64,
}

impl Told {
    fn words(&self, direction: &str, proof: Proof) -> String {
        let mut words = format!("{direction}, {}, {}", self.address, proof.name());
        if self.named {
            words += ", certificate by DANE";
        }
        if self.pairs.len() > 1 {
            words += &format!(", shared by {}", self.pairs.len());
        }
        if self.acks {
            words += ", acknowledged";
        }
        if self.broken {
            words += ", broken off, waits to be resumed";
        } else if self.resumable {
            words += ", resumable";
        }
        if self.waiting > 0 {
            words += &format!(", {} under way", self.waiting);
        }
        words
    }
}

impl House {
    /// Streams, and pairs that have none.
    pub fn list(&self) -> Vec<LinkSummary> {
        let mut list = Vec::new();
        for line in self.lines() {
            let told = line.told();
            let direction = match (told.incoming, told.both_ways) {
                (_, true) => "in, both ways",
                (true, false) => "in",
                (false, _) => "out",
            };
            for (pair, proof) in told.pairs.clone() {
                list.push(LinkSummary {
                    local: pair.local.to_string(),
                    remote: pair.remote.to_string(),
                    state: told.words(direction, proof),
                    kept: self.shelf.kept(&pair).entries,
                });
            }
        }
        for (pair, state, trouble) in self.states() {
            if matches!(state, "established" | "broken" | "idle") {
                continue;
            }
            list.push(LinkSummary {
                local: pair.local.to_string(),
                remote: pair.remote.to_string(),
                state: match trouble {
                    Some(trouble) => format!("{state}: {trouble}"),
                    None => state.to_owned(),
                },
                kept: self.shelf.kept(&pair).entries,
            });
        }
        list
    }

    /// The streams that there are, by pair.
    pub(super) fn streams(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for line in self.lines() {
            let told = line.told();
            let direction = match (told.incoming, line.lock().both_ways) {
                (_, true) => Direction::Both,
                (true, false) => Direction::In,
                (false, false) => Direction::Out,
            };
            links.extend(told.pairs.into_iter().map(|(pair, _)| Link {
                local: pair.local,
                remote: pair.remote,
                direction,
            }));
        }
        links
    }

    /// What the link of every pair in memory does, and why the last call failed.
    pub(super) fn states(&self) -> Vec<(outbox::Pair, &'static str, Option<String>)> {
        let Some(pairs) = self.pairs.get() else {
            return Vec::new();
        };
        let keys = pairs.keys().into_iter();
        keys.filter_map(|key| {
            let look = |pair: &Pair| (pair.state(), pair.trouble().map(Trouble::to_string));
            let (state, trouble) = pairs.awake(&key)?.look(look)?;
            let state = match state {
                "calling" => self.stats.stage(&key),
                other => other,
            };
            Some((key.pair().clone(), state, trouble))
        })
        .collect()
    }
}
