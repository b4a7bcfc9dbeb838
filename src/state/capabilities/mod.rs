//! What entities want to hear of, by the capabilities that their presence claims (XEP-0115, XEP-0390).
//!
//! A claim is a hash. What it stands for is asked of who claims it, once however many claim it, and kept over restarts;
//! an answer that does not make the hash is believed by nobody and kept nowhere.

mod cache;
mod noted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache::Cache;
pub use noted::{Noted, Resources};

use crate::hooks::{Floor, Question};
use crate::metrics::Counter;
use crate::proto::caps::{self, Claim, Mark};
use crate::proto::disco::Info;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::store::{Space, Store, StoreError};
use crate::xml::Element;

/// The nodes that entities with one set of capabilities want to be told of.
#[derive(Debug, PartialEq, Eq)]
pub struct Interests(Box<[Box<str>]>);

impl Interests {
    /// Of these nodes, sorted.
    fn new(nodes: Vec<String>) -> Self {
        Interests(nodes.into_iter().map(Into::into).collect())
    }

    /// Whether this node is among them.
    pub fn wants(&self, node: &str) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(node)).is_ok()
    }

    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|node| &**node)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bounds of what is asked and kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Sets of capabilities in memory.
    pub memory: usize,
    /// Sets of capabilities on disk.
    pub stored: usize,
    /// Sets of capabilities that are asked for at once.
    pub asking: usize,
    /// Nodes of one set.
    pub nodes: usize,
    /// How long an entity may take to answer.
    pub patience: Duration,
}

/// Where it is counted that bounds were reached, and what became of questions.
#[derive(Clone)]
pub struct Counters {
    /// [`Bounds::stored`].
    pub stored: Counter,
    /// [`Bounds::asking`].
    pub asking: Counter,
    /// Answers that did not make the hash.
    pub lies: Counter,
}

/// Who claims something that is not known yet.
pub struct Claimant {
    /// What it claims, not empty.
    pub claims: Vec<Claim>,
    /// Its full JID.
    pub who: Jid,
    /// In whose name it is asked.
    pub asker: Jid,
    /// Told when it is known, or that it could not be found out.
    pub then: Box<dyn FnOnce(Option<Arc<Interests>>) + Send + Sync>,
}

/// Those who claim one thing and wait for the answer.
const WAITING: usize = 1_000;
/// How many of them are asked before it is given up.
const ATTEMPTS: usize = 5;
/// The longest name of a node (that of a resource).
const NAME: usize = 1_023;

/// What hashes of capabilities stand for.
pub struct Capabilities {
    store: Store,
    space: Space,
    bounds: Bounds,
    counters: Counters,
    inner: Mutex<Inner>,
}

struct Inner {
    known: Cache<Mark, Arc<Interests>>,
    asking: HashMap<Mark, Vec<Claimant>>,
    /// Entries on disk, as far as is known.
    stored: usize,
}

impl Capabilities {
    /// What the store has of it.
    ///
    /// # Errors
    /// The store has it in another form.
    pub fn new(store: Store, bounds: Bounds, counters: Counters) -> Result<Self, StoreError> {
        Ok(Capabilities {
            space: store.space("capabilities", 1)?,
            store,
            counters,
            inner: Mutex::new(Inner {
                known: Cache::new(bounds.memory),
                asking: HashMap::new(),
                stored: 0,
            }),
            bounds,
        })
    }

    /// What is known of who claims this.
    pub fn find(&self, claims: &[Claim]) -> Option<Arc<Interests>> {
        let mut inner = self.lock();
        let mut known = claims.iter().map(|claim| inner.known.get(&claim.mark));
        known.find_map(|known| known)
    }

    /// Finds out what it stands for that somebody claims.
    pub fn learn(self: &Arc<Self>, floor: &Arc<dyn Floor>, claimant: Claimant) {
        let Some(mark) = claimant.claims.first().map(|claim| claim.mark.clone()) else {
            return;
        };
        let mut inner = self.lock();
        let most = self.bounds.asking;
        let open = inner.asking.len();
        match inner.asking.get_mut(&mark) {
            Some(waiting) if waiting.len() < WAITING => return waiting.push(claimant),
            None if open < most => {
                inner.asking.insert(mark.clone(), vec![claimant]);
            }
            _ => {
                drop(inner);
                self.counters.asking.count();
                return (claimant.then)(None);
            }
        }
        drop(inner);
        let (this, floor) = (self.clone(), floor.clone());
        tokio::spawn(async move { this.find_out(&*floor, &mark).await });
    }

    async fn find_out(&self, floor: &dyn Floor, mark: &Mark) {
        let mut found = self.read(mark, floor.clock().wall()).await;
        for _ in 0..ATTEMPTS {
            if found.is_some() {
                break;
            }
            let Some(claimant) = self.next(mark) else {
                return;
            };
            let answered = self.ask(floor, &claimant).await;
            if let Some((of, interests)) = &answered {
                self.keep(of, interests, floor.clock().wall()).await;
                found = (of == mark).then(|| interests.clone());
            }
            (claimant.then)(answered.map(|(_, interests)| interests));
        }
        let mut inner = self.lock();
        if let Some(found) = &found {
            inner.known.put(mark.clone(), found.clone());
        }
        let waiting = inner.asking.remove(mark).unwrap_or_default();
        drop(inner);
        for claimant in waiting {
            (claimant.then)(found.clone());
        }
    }

    /// The next to ask; when there is none, whoever comes later begins anew.
    fn next(&self, mark: &Mark) -> Option<Claimant> {
        let mut inner = self.lock();
        let waiting = inner.asking.get_mut(mark)?;
        if waiting.is_empty() {
            inner.asking.remove(mark);
            return None;
        }
        Some(waiting.remove(0))
    }

    /// Asks for what is claimed, the best claim first.
    async fn ask(&self, floor: &dyn Floor, claimant: &Claimant) -> Option<(Mark, Arc<Interests>)> {
        for claim in &claimant.claims {
            let question = Element::new("query", ns::DISCO_INFO).with_attr("node", &claim.node);
            let (asker, who) = (claimant.asker.clone(), claimant.who.clone());
            let asked = floor.ask(asker, who, Question::Get(question), self.bounds.patience);
            let Ok(Some(answer)) = asked.await else {
                continue;
            };
            match self.judge(claim, &answer) {
                Some(interests) => return Some((claim.mark.clone(), Arc::new(interests))),
                None => self.counters.lies.count(),
            }
        }
        None
    }

    /// What an answer says, if it makes the hash.
    fn judge(&self, claim: &Claim, answer: &Element) -> Option<Interests> {
        if !answer.root().is("query", ns::DISCO_INFO) {
            return None;
        }
        let info = Info::parse(answer.root(), None);
        let nodes = caps::interests(&info);
        let fits = nodes.len() <= self.bounds.nodes && nodes.iter().all(|node| node.len() <= NAME);
        (fits && claim.is_kept_by(&info)).then(|| Interests::new(nodes))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
