//! Federation as administrators see it.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::caller::ForTest;
use super::house::House;
use super::line::Told;
use super::trouble::Trouble;
use crate::proto::jid::Jid;
use crate::state::outbox;
use crate::stream::server::{Demand, Proof, Purpose};

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
        if let Some(pairs) = self.pairs.get() {
            for slot in pairs.keys().iter().filter_map(|key| pairs.awake(key)) {
                let pair = slot.key().pair().clone();
                let told = slot.look(|pair| (pair.state(), pair.trouble().map(Trouble::to_string)));
                if let Some((state @ ("waiting" | "connecting"), trouble)) = told {
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
            }
        }
        list
    }

    /// Finds, calls and leaves another server; what was seen, a line a step.
    pub async fn test(self: &Arc<Self>, local: Jid, remote: Jid) -> Vec<String> {
        let mut lines = Vec::new();
        match self.terms().policy.demand(&remote) {
            Demand::Refused(why) => lines.push(format!("policy: {why}")),
            Demand::Certificate => lines.push("policy: a valid certificate is demanded".to_owned()),
            Demand::Dialback => lines.push("policy: dialback is enough".to_owned()),
        }
        let terms = self.terms_held();
        let told = terms.policy.find(&remote);
        match terms.resolver.find(&remote, told).await {
            Err(trouble) => lines.push(format!("DNS: {trouble}")),
            Ok(targets) => {
                for target in targets {
                    let how = if target.direct {
                        "direct TLS"
                    } else {
                        "STARTTLS"
                    };
                    for address in &target.addresses {
                        lines.push(format!("address: {address}, {how}"));
                    }
                }
            }
        }
        match self.reach(&remote).await {
            Err(trouble) => lines.push(format!("connection: {trouble}")),
            Ok(reached) => {
                lines.push(format!("connection: {} answers", reached.address));
                let (reply, answer) = oneshot::channel();
                let pair = outbox::Pair { local, remote };
                let caller = Arc::new(ForTest {
                    house: self.clone(),
                    address: reached.address.to_string(),
                    reply: Mutex::new(Some(reply)),
                });
                let call = self.new_call(pair, Purpose::Stanzas, caller);
                self.drive(reached, call);
                lines.push(match answer.await {
                    Ok(told) => told,
                    Err(_) => "stream: no outcome".to_owned(),
                });
            }
        }
        lines
    }
}
