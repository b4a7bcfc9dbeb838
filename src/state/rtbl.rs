//! Whom lists that others publish name as spammers: one for all of a host who have to know. Only hashes are known.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sha2::{Digest, Sha256};

use crate::hooks::Shared;
use crate::metrics::Registry;
use crate::proto::jid::Jid;

/// The SHA-256 of a bare address, or of a domain.
pub type Hash = [u8; 32];

/// The hash of an address.
pub fn hash(bare: &str) -> Hash {
    Sha256::digest(bare.as_bytes()).into()
}

type Lists = RwLock<HashMap<Box<str>, HashSet<Hash>>>;
type Hear = Arc<dyn Fn() + Send + Sync>;

/// What the lists of a host say.
#[derive(Default)]
pub struct Named {
    lists: Arc<Lists>,
    some: AtomicBool,
    hear: RwLock<Option<Hear>>,
}

impl Named {
    /// Those of a host.
    pub fn of(shared: &Shared, host: &Jid, metrics: &Registry) -> Arc<Named> {
        let made = shared.of(host, || Ok::<_, Infallible>(Named::counted(metrics, host)));
        match made {
            Ok(named) => named,
            Err(never) => match never {},
        }
    }

    /// Nobody yet; whoever looks at the metrics sees how many are named.
    fn counted(metrics: &Registry, host: &Jid) -> Named {
        let named = Named::default();
        let (lists, host) = (named.lists.clone(), host.to_string());
        metrics.source(move |samples| {
            let lists = read(&lists);
            let entries: usize = lists.values().map(HashSet::len).sum();
            let (name, help) = (
                "waxwing_rtbl_entries",
                "Spammers whom block lists in real time name.",
            );
            samples.gauge(name, help, &[("host", host.as_str())], entries as f64);
        });
        named
    }

    /// Whether a list names somebody, or his whole domain.
    pub fn has(&self, who: &Jid) -> bool {
        if !self.some.load(Ordering::Acquire) {
            return false;
        }
        let hashes = [hash(who.bare_str()), hash(who.domain())];
        let lists = read(&self.lists);
        let mut lists = lists.values();
        lists.any(|list| hashes.iter().any(|hash| list.contains(hash)))
    }

    /// A list as it is now.
    pub fn replace(&self, list: &str, hashes: HashSet<Hash>) {
        self.change(|lists| {
            let before = lists.insert(list.into(), hashes).unwrap_or_default();
            let now = lists.get(list).into_iter().flatten();
            now.into_iter().any(|hash| !before.contains(hash))
        });
    }

    /// A list names one more, if it names fewer than `most`; whether that is so.
    pub fn add(&self, list: &str, hash: Hash, most: usize) -> bool {
        let mut fits = true;
        self.change(|lists| {
            let list = lists.entry(list.into()).or_default();
            fits = list.len() < most || list.contains(&hash);
            fits && list.insert(hash)
        });
        fits
    }

    /// A list names somebody no longer.
    pub fn remove(&self, list: &str, hash: &Hash) {
        self.change(|lists| {
            if let Some(list) = lists.get_mut(list) {
                list.remove(hash);
            }
            false
        });
    }

    /// These lists are of no account any more.
    pub fn keep(&self, lists: &[Box<str>]) {
        self.change(|known| {
            known.retain(|name, _| lists.contains(name));
            false
        });
    }

    /// Has `hear` called whenever somebody is named who was not, in place of what was called before.
    pub fn on_named(&self, hear: impl Fn() + Send + Sync + 'static) {
        *write(&self.hear) = Some(Arc::new(hear));
    }

    /// Changes the lists; `change` says whether they name somebody new.
    fn change(&self, change: impl FnOnce(&mut HashMap<Box<str>, HashSet<Hash>>) -> bool) {
        let mut lists = write(&self.lists);
        let more = change(&mut lists);
        let some = lists.values().any(|list| !list.is_empty());
        self.some.store(some, Ordering::Release);
        drop(lists);
        let hear = read(&self.hear).clone();
        hear.filter(|_| more).into_iter().for_each(|hear| hear());
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn people_and_whole_domains_are_named_and_new_ones_are_heard_of() {
        let (named, heard) = (Named::default(), Arc::new(AtomicUsize::new(0)));
        let hear = heard.clone();
        named.on_named(move || {
            hear.fetch_add(1, Ordering::Relaxed);
        });
        assert!(named.add("a", hash("foe@x"), 2));
        assert!(named.add("a", hash("spam.example"), 2));
        assert!(named.add("a", hash("foe@x"), 2));
        assert!(!named.add("a", hash("other@x"), 2), "the list is full");
        assert!(named.has(&jid("foe@x/pc")) && named.has(&jid("any@spam.example")));
        assert!(!named.has(&jid("x")) && !named.has(&jid("other@x")));
        assert_eq!(heard.load(Ordering::Relaxed), 2);
        named.replace("b", HashSet::from([hash("foe@x")]));
        named.remove("a", &hash("foe@x"));
        assert!(named.has(&jid("foe@x")), "the other list still names it");
        named.keep(&["a".into()]);
        assert!(!named.has(&jid("foe@x")));
        assert!(named.has(&jid("any@spam.example")));
    }
}
