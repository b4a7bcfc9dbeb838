//! Block lists in real time (RTBL): who others know as spammers does not enter the rooms of a host

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Period;
use crate::hooks::{
    AskError, Deps, Envelope, Info, Module, ModuleError, Question, Registrar, Verdict,
};
use crate::metrics::Counter;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::backoff::Backoff;
use crate::settings;
use crate::state::rtbl::{Hash, Named, hash};
use crate::xml::Element;

settings! {
    /// Lists of spammers that others publish as nodes of a pubsub service (XEP-0060), and that are followed.
    pub struct Config {
        /// The lists, each a service and a node. Their items are named by the SHA-256 of an address or a domain, or by itself.
        pub lists: Vec<String> = Vec::new() => example("[\"xmppbl.org muc_bans_sha256\"]");
        /// Entries of one list; what it holds beyond is passed over.
        pub entries: u32 = 100_000 => within(1..=5_000_000);
        /// How often a list is read anew and the subscription renewed, in case something was missed.
        pub refresh: Period = Period::minutes(360) => within(Period::minutes(1)..=Period::days(30));
    }
}

/// How often it is looked whether a list is to be read.
const TICK: Duration = Duration::from_secs(1);

/// How long a service may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pauses after a list could not be read.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3_600));

/// Items asked for at once.
const PAGE: usize = 500;

/// Follows lists.
pub struct Rtbl {
    deps: Deps,
    entries: usize,
    refresh: Duration,
    lists: Vec<Arc<List>>,
    named: Arc<Named>,
    full: Counter,
}

/// One list.
struct List {
    service: Jid,
    node: String,
    /// As metrics and the state call it.
    name: Box<str>,
    busy: AtomicBool,
    due: Mutex<(Option<Instant>, Backoff)>,
}

impl List {
    fn parse(text: &str) -> Option<List> {
        let (service, node) = text.split_once(' ')?;
        let node = node.trim();
        Some(List {
            service: Jid::parse(service).ok()?,
            node: Some(node.to_owned()).filter(|node| !node.is_empty())?,
            name: text.into(),
            busy: AtomicBool::new(false),
            due: Mutex::new((None, Backoff::new(AGAIN.0, AGAIN.1))),
        })
    }

    /// Whether it is to be read now.
    fn is_due(&self, now: Instant) -> bool {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.0.is_none_or(|due| due <= now) && !self.busy.swap(true, Ordering::AcqRel)
    }

    /// It was read, or could not be.
    fn done(&self, read: bool, now: Instant, refresh: Duration) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match read {
            true => {
                due.1.reset();
                refresh
            }
            false => due.1.next(),
        };
        due.0 = now.checked_add(pause);
        self.busy.store(false, Ordering::Release);
    }
}

impl Module for Rtbl {
    const INFO: Info = Info {
        name: "rtbl",
        specs: &[],
        doc: "Block lists in real time: who others know as spammers does not enter rooms.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let parse = |text: &String| {
            List::parse(text).map(Arc::new).ok_or_else(|| ModuleError {
                module: Self::INFO.name,
                reason: format!("lists: {text:?} is not a service and a node"),
            })
        };
        let lists: Vec<_> = config.lists.iter().map(parse).collect::<Result<_, _>>()?;
        let named = Named::of(&deps.shared, &deps.host, &deps.metrics);
        let kept: Vec<Box<str>> = lists.iter().map(|list| list.name.clone()).collect();
        named.keep(&kept);
        Ok(Rtbl {
            deps: deps.clone(),
            entries: config.entries as usize,
            refresh: config.refresh.get(),
            lists,
            named,
            full: deps.metrics.limit("modules.rtbl.entries"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.lists.is_empty() {
            return;
        }
        let this = self.clone();
        r.host_message((ns::PUBSUB_EVENT, "event"), move |envelope| {
            this.told(envelope)
        });
        r.every(TICK, move || {
            let now = self.deps.clock.now();
            for list in self.lists.iter().filter(|list| list.is_due(now)) {
                let (this, list) = (self.clone(), list.clone());
                tokio::spawn(async move { this.read(&list).await });
            }
        });
    }
}

impl Rtbl {
    /// Subscribes, and reads all of a list.
    async fn read(&self, list: &List) {
        let read = self.read_all(list).await;
        match &read {
            Ok(hashes) => {
                tracing::debug!(list = %list.name, entries = hashes.len(), "a block list was read");
            }
            Err(error) => {
                let condition = match error {
                    AskError::Refused(refusal) => Some(refusal.condition.to_string()),
                    _ => None,
                };
                tracing::warn!(list = %list.name, condition, %error, "a block list cannot be read; what was read before stays, and it is tried again");
            }
        }
        let done = read.is_ok();
        if let Ok(hashes) = read {
            self.named.replace(&list.name, hashes);
        }
        list.done(done, self.deps.clock.now(), self.refresh);
    }

    async fn read_all(&self, list: &List) -> Result<HashSet<Hash>, AskError> {
        let subscribe = Element::new("subscribe", ns::PUBSUB)
            .with_attr("node", &list.node)
            .with_attr("jid", self.deps.host.as_str());
        self.ask(list, Question::Set(pubsub(subscribe))).await?;
        let (mut hashes, mut after) = (HashSet::new(), None::<String>);
        loop {
            let query = question(&list.node, after.as_deref());
            let answer = self.ask(list, Question::Get(query)).await?;
            let Some(answer) = answer else {
                return Ok(hashes);
            };
            let before = hashes.len();
            let items = answer.root().child("items", ns::PUBSUB);
            for item in items.iter().flat_map(|items| items.children()) {
                hashes.extend(item.attr("id").and_then(meant));
                if hashes.len() >= self.entries {
                    self.full.count();
                    return Ok(hashes);
                }
            }
            let set = answer.root().child("set", ns::RSM);
            let last = set.and_then(|set| set.child("last", ns::RSM));
            after = last.map(|last| last.text().into_owned());
            if after.is_none() || hashes.len() == before {
                return Ok(hashes);
            }
        }
    }

    async fn ask(&self, list: &List, question: Question) -> Result<Option<Element>, AskError> {
        let (from, to) = (self.deps.host.clone(), list.service.clone());
        self.deps.ask(from, to, question, PATIENCE).await
    }

    /// A service tells what changed in a list (XEP-0060 §7.1.2, §7.2.2, §8.4, §8.5).
    fn told(&self, envelope: &Envelope) -> Verdict {
        let from = envelope.from().map(Jid::bare_str);
        let event = envelope.stanza.child("event", ns::PUBSUB_EVENT);
        let (Some(from), Some(event)) = (from, event) else {
            return Verdict::Continue;
        };
        let mut ours = false;
        let of = |list: &&Arc<List>| list.service.bare_str() == from;
        for list in self.lists.iter().filter(of) {
            ours = true;
            for gone in ["purge", "delete"] {
                let gone = event.child(gone, ns::PUBSUB_EVENT);
                if gone.is_some_and(|gone| gone.attr("node") == Some(&list.node)) {
                    self.named.replace(&list.name, HashSet::new());
                }
            }
            let items = event.child("items", ns::PUBSUB_EVENT);
            let items = items.filter(|items| items.attr("node") == Some(&list.node));
            for item in items.iter().flat_map(|items| items.children()) {
                let Some(hash) = item.attr("id").and_then(meant) else {
                    continue;
                };
                match item.name() {
                    "retract" => self.named.remove(&list.name, &hash),
                    _ if self.named.add(&list.name, hash, self.entries) => {}
                    _ => self.full.count(),
                }
            }
        }
        match ours {
            true => Verdict::Consume,
            false => Verdict::Continue,
        }
    }
}

/// Asks for the next items of a node.
fn question(node: &str, after: Option<&str>) -> Element {
    let leaf = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
    let items = Element::new("items", ns::PUBSUB).with_attr("node", node);
    let set = Element::new("set", ns::RSM)
        .with_child(leaf("max", &PAGE.to_string()))
        .with_children(after.map(|after| leaf("after", after)));
    pubsub(items).with_child(set)
}

fn pubsub(child: Element) -> Element {
    Element::new("pubsub", ns::PUBSUB).with_child(child)
}

/// Whom an item means: by its hash, or by itself.
fn meant(id: &str) -> Option<Hash> {
    let mut read = [0; 32];
    let digits = id.len() == 64 && id.bytes().all(|c| c.is_ascii_hexdigit());
    if !digits {
        let jid = Jid::parse(id).ok()?;
        return Some(hash(jid.bare_str()));
    }
    for (byte, at) in read.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(id.get(at..at + 2)?, 16).ok()?;
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_item_is_a_hash_or_who_is_meant() {
        let foe = hash("foe@x");
        let digits: String = foe.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(meant(&digits), Some(foe));
        assert_eq!(meant(&digits.to_uppercase()), Some(foe));
        assert_eq!(meant("Foe@X/pc"), Some(foe));
        assert_eq!(meant("spam.example"), Some(hash("spam.example")));
        assert_eq!(meant(""), None);
        assert_eq!(meant("a@b@c"), None);
    }

    #[test]
    fn a_list_is_a_service_and_a_node() {
        let list = List::parse("xmppbl.org muc_bans_sha256").unwrap();
        assert_eq!(
            (list.service.as_str(), list.node.as_str()),
            ("xmppbl.org", "muc_bans_sha256")
        );
        for text in ["", "xmppbl.org", "xmppbl.org ", "a@b@c node"] {
            assert!(List::parse(text).is_none(), "{text:?}");
        }
    }
}
