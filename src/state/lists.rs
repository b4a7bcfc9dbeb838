//! Whom a host does not talk to, and whom alone it talks to (XEP-0133 §4.11, §4.12): durable, one for all who have to know.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize, Serializer};

use crate::proto::jid::Jid;
use crate::store::{Batch, CommitError, Key, Space, Store, StoreError};

/// The two lists. An entry is a JID of any form: an account or a domain, with all that belongs to it, or a single
/// resource of either. What names somebody more closely counts more (XEP-0016 §2.1); of two that name somebody alike
/// the blacklist counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// With whom nothing is exchanged.
    #[serde(default, serialize_with = "in_order")]
    pub black: HashSet<Jid>,
    /// Unless it is empty: with whom alone.
    #[serde(default, serialize_with = "in_order")]
    pub white: HashSet<Jid>,
}

impl Lists {
    /// Whether nothing is exchanged with somebody; `known` says whether it is one of this server, whom the
    /// whitelist need not name.
    pub fn bar(&self, who: &Jid, known: impl Fn() -> bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let (black, white) = (rank(&self.black, who), rank(&self.white, who));
        match (black, white) {
            (0, 0) => !self.white.is_empty() && !known(),
            _ => black >= white,
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.black.is_empty() && self.white.is_empty()
    }
}

/// How closely an entry of the list names somebody: 0 when none does.
fn rank(list: &HashSet<Jid>, who: &Jid) -> u8 {
    if list.is_empty() {
        0
    } else if list.contains(who.as_str()) {
        4
    } else if who.is_full() && list.contains(who.bare_str()) {
        3
    } else if who.node().is_some() && list.contains(who.domain()) {
        1
    } else {
        0
    }
}

/// The lists of one host.
pub struct HostLists {
    host: Jid,
    store: Store,
    space: Space,
    current: ArcSwap<Lists>,
}

/// How long a store may take that is asked at the start.
const PATIENCE: Duration = Duration::from_secs(60);
const SPACE: &str = "lists";

impl HostLists {
    /// Reads the lists of a host; waits for it, so that nobody is heard before they are known.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: &Store, host: &Jid) -> Result<Self, StoreError> {
        let (space, key) = (store.space(SPACE, 1)?, key(host));
        let (answer, read) = mpsc::channel();
        store.read(
            move |view| view.get(space, &key),
            move |found| {
                let _ = answer.send(found);
            },
        );
        let found = read.recv_timeout(PATIENCE);
        let current = match found.map_err(|_| StoreError::Busy)?? {
            Some(value) => serde_json::from_slice(&value)
                .map_err(|_| StoreError::Format("the lists of a host".to_owned()))?,
            None => Lists::default(),
        };
        Ok(HostLists {
            host: host.clone(),
            store: store.clone(),
            space,
            current: ArcSwap::from_pointee(current),
        })
    }

    /// The lists now.
    pub fn now(&self) -> Arc<Lists> {
        self.current.load_full()
    }

    /// Whether nothing passes between an address of the host, or of a service of it, and another. Between the host
    /// itself and those who live there everything does.
    pub fn shut(&self, here: &Jid, there: &Jid, known: impl Fn(&str) -> bool) -> bool {
        let lists = self.current.load();
        if lists.is_empty() || self.is_at_home(here, there) {
            return false;
        }
        let of_here = |jid: &Jid| jid.domain() == self.host.domain() || known(jid.domain());
        lists.bar(there, || of_here(there)) || lists.bar(here, || true)
    }

    fn is_at_home(&self, one: &Jid, other: &Jid) -> bool {
        let host = self.host.as_str();
        let both = one.domain() == host && other.domain() == host;
        both && (one.as_str() == host || other.as_str() == host)
    }

    /// Puts `after` in the place of the lists that were seen; they are in force when they are on disk.
    ///
    /// # Errors
    /// [`CommitError::Precondition`] when somebody else changed them meanwhile; the store's.
    pub async fn replace(&self, before: &Lists, after: Lists) -> Result<(), CommitError> {
        let (mut batch, key) = (Batch::new(), key(&self.host));
        match stored(before) {
            Some(value) => batch.require_equals(self.space, &key, value),
            None => batch.require_absent(self.space, &key),
        }
        match stored(&after) {
            Some(value) => batch.put(self.space, &key, value),
            None => batch.delete(self.space, &key),
        }
        self.store.commit(batch).await?;
        // Nobody else's change is on disk before its maker has seen this one here.
        self.current.store(Arc::new(after));
        Ok(())
    }
}

/// As they lie in the store, the same for the same lists; nothing for empty ones.
fn stored(lists: &Lists) -> Option<Vec<u8>> {
    (!lists.is_empty()).then(|| serde_json::to_vec(lists).unwrap_or_default())
}

/// In order, so that the same list is always the same text.
fn in_order<S: Serializer>(list: &HashSet<Jid>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut ordered: Vec<&Jid> = list.iter().collect();
    ordered.sort_unstable();
    ordered.serialize(serializer)
}

fn key(host: &Jid) -> Key {
    Key::new().str(host.domain())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, testing};

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn lists(black: &[&str], white: &[&str]) -> Lists {
        let set = |all: &[&str]| all.iter().map(|text| jid(text)).collect();
        Lists {
            black: set(black),
            white: set(white),
        }
    }

    #[test]
    fn who_is_named_more_closely_counts_more() {
        let black = lists(
            &["spam.example", "u@mixed.example", "v@x.example/phone"],
            &[],
        );
        for (who, barred) in [
            ("spam.example", true),
            ("u@SPAM.example/r", true),
            ("u@x.spam.example", false),
            ("u@mixed.example/r", true),
            ("v@mixed.example", false),
            ("v@x.example/phone", true),
            ("v@x.example/desk", false),
            ("v@x.example", false),
        ] {
            assert_eq!(black.bar(&jid(who), || false), barred, "{who}");
        }
        let both = lists(
            &["bad.example", "u@good.example", "w@good.example"],
            &["good.example", "friend@bad.example", "w@good.example"],
        );
        for (who, barred) in [
            ("friend@bad.example/r", false),
            ("x@bad.example", true),
            ("x@good.example", false),
            ("u@good.example", true),
            ("w@good.example", true),
            ("x@other.example", true),
        ] {
            assert_eq!(both.bar(&jid(who), || false), barred, "{who}");
        }
        assert!(!both.bar(&jid("x@other.example"), || true));
        assert!(both.bar(&jid("x@bad.example"), || true));
    }

    #[tokio::test]
    async fn they_are_there_again_and_home_is_home() {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let host = jid("a.example");
        let open = || HostLists::open(&store, &host).unwrap();
        let one = open();
        let wanted = lists(&["u@a.example", "spam.example"], &[]);
        one.replace(&one.now(), wanted.clone()).await.unwrap();
        let again = open();
        assert_eq!(one.now(), again.now());
        let shut = |here: &str, there: &str| again.shut(&jid(here), &jid(there), |_| false);
        assert!(shut("v@a.example", "x@spam.example"));
        assert!(shut("a.example", "spam.example"));
        assert!(shut("v@a.example", "u@a.example/r"));
        assert!(shut("u@a.example/r", "v@a.example"));
        assert!(shut("u@a.example/r", "x@other.example"));
        assert!(!shut("v@a.example", "x@other.example"));
        assert!(!shut("a.example", "u@a.example/r"));
        assert!(!shut("u@a.example/r", "a.example"));
    }

    #[tokio::test]
    async fn nobody_undoes_what_he_has_not_seen() {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let of_host = HostLists::open(&store.unwrap(), &jid("a.example")).unwrap();
        let empty = of_host.now();
        let (first, second) = (
            lists(&["one.example", "two.example"], &[]),
            lists(&[], &["b.example"]),
        );
        of_host.replace(&empty, first.clone()).await.unwrap();
        let late = of_host.replace(&empty, second.clone()).await;
        assert_eq!(late, Err(CommitError::Precondition));
        assert_eq!(*of_host.now(), first);
        // The same list, however it came about.
        let same = lists(&["two.example", "one.example"], &[]);
        of_host.replace(&same, second.clone()).await.unwrap();
        of_host.replace(&second, Lists::default()).await.unwrap();
        of_host.replace(&empty, first).await.unwrap();
    }
}
