//! The roster of an account (RFC 6121 §2): items, subscription states, versions.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::subscription::{State, Subscription};
use crate::hooks::{Account, Outgoing, Uid};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::random;
use crate::store::{Batch, Direction, Key, Range, Snapshot, Space, StoreError};
use crate::xml::Element;

/// Removed items remembered for roster versioning, per account.
const REMEMBERED_REMOVALS: usize = 256;

/// One contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Bare JID of the contact.
    #[serde(skip)]
    pub jid: Option<Jid>,
    /// The user's name for the contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Groups, without repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Box<str>>,
    /// Subscription.
    #[serde(default)]
    pub subscription: Subscription,
    /// `ask='subscribe'`
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ask: bool,
    /// Pre-approved (§3.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// Whether the user sees it in the roster; a mere inbound request is kept but not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
    /// The pending inbound request, whole (§3.1.3 rule 4), as XML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<str>>,
    /// Roster version at which it last changed.
    #[serde(default)]
    pub version: u64,
}

impl Item {
    fn new(jid: Jid) -> Self {
        Item {
            jid: Some(jid),
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
            listed: false,
            request: None,
            version: 0,
        }
    }

    /// Its subscription state.
    pub fn state(&self) -> State {
        State {
            subscription: self.subscription,
            pending_out: self.ask,
            pending_in: self.request.is_some(),
            approved: self.approved,
        }
    }

    /// The `<item/>` as clients see it.
    pub fn to_element(&self) -> Element {
        let jid = self.jid.as_ref().map_or("", Jid::as_str);
        let mut item = Element::new("item", ns::ROSTER)
            .with_attr("jid", jid)
            .with_attr("subscription", self.subscription.as_str());
        if let Some(name) = &self.name {
            item.set_attr("name", Some(name));
        }
        if self.ask {
            item.set_attr("ask", Some("subscribe"));
        }
        if self.approved {
            item.set_attr("approved", Some("true"));
        }
        item.with_children(
            self.groups
                .iter()
                .map(|group| Element::new("group", ns::ROSTER).with_text(group)),
        )
    }

    fn is_needed(&self) -> bool {
        self.listed || self.request.is_some()
    }
}

/// What changed in a roster since a version (RFC 6121 §2.6).
#[derive(Debug, PartialEq)]
pub enum Since {
    /// Nothing.
    Unchanged,
    /// These changes, oldest first, as items to push with their versions.
    Changes(Vec<(u64, Element)>),
    /// Too long ago: the whole roster.
    Whole,
}

/// A roster, a part of its account.
#[derive(Debug, Default)]
pub struct Roster {
    items: Vec<Item>,
    version: u64,
    removals: VecDeque<(u64, Jid)>,
    /// Changes up to this version may have been forgotten.
    floor: u64,
}

impl Roster {
    /// Reads the roster of an account.
    ///
    /// # Errors
    /// The store's.
    pub fn load(snapshot: &dyn Snapshot, uid: Uid) -> Result<Self, StoreError> {
        let mut roster = Roster::default();
        let account = Key::new().u64(uid.0);
        let all = Range::prefix(account.clone());
        for (key, value) in snapshot.scan(Space::ROSTER, &all, Direction::Forward, usize::MAX)? {
            let jid = key.get(8..key.len().saturating_sub(1)).and_then(jid_of);
            let mut item: Item = serde_json::from_slice(&value).map_err(|_| odd())?;
            item.jid = Some(jid.ok_or_else(odd)?);
            roster.items.push(item);
        }
        roster.items.sort_by(|a, b| a.jid.cmp(&b.jid));
        if let Some(value) = snapshot.get(Space::ROSTER_VERSION, &account)? {
            let state: Versions = serde_json::from_slice(&value).map_err(|_| odd())?;
            roster.version = state.version;
            roster.floor = state.floor;
        }
        for (key, value) in
            snapshot.scan(Space::ROSTER_LOG, &all, Direction::Forward, usize::MAX)?
        {
            let version = key.get(8..16).and_then(|v| v.try_into().ok());
            if let (Some(version), Some(jid)) = (version, jid_of(&value)) {
                roster
                    .removals
                    .push_back((u64::from_be_bytes(version), jid));
            }
        }
        Ok(roster)
    }

    /// Reads one item of a roster that is not in memory.
    ///
    /// # Errors
    /// The store's.
    pub fn stored(view: &dyn Snapshot, uid: Uid, jid: &Jid) -> Result<Option<Item>, StoreError> {
        let value = view.get(Space::ROSTER, &item_key(uid, jid))?;
        let item = |value: Vec<u8>| serde_json::from_slice(&value).map_err(|_| odd());
        value.map(item).transpose()
    }

    /// The contact with this bare JID.
    pub fn item(&self, jid: &Jid) -> Option<&Item> {
        self.find(jid).ok().and_then(|at| self.items.get(at))
    }

    /// Items the user sees.
    pub fn listed(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.listed)
    }

    /// All items kept, seen or not, in the order of their addresses.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Number of items kept, seen or not.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The state towards a contact; strangers are "None".
    pub fn state(&self, jid: &Jid) -> State {
        self.item(jid).map(Item::state).unwrap_or_default()
    }

    /// Contacts who may see the user's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &Jid> {
        self.items
            .iter()
            .filter(|item| item.subscription.from())
            .filter_map(|item| item.jid.as_ref())
    }

    /// Contacts whose presence the user may see.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Jid> {
        self.items
            .iter()
            .filter(|item| item.subscription.to())
            .filter_map(|item| item.jid.as_ref())
    }

    /// Inbound requests that wait for an answer, as XML.
    pub fn requests(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| item.request.as_deref())
    }

    /// The version string clients keep (RFC 6121 §2.6).
    pub fn version(&self) -> String {
        self.version.to_string()
    }

    /// What changed since the version a client names.
    pub fn since(&self, version: &str) -> Since {
        match version.parse::<u64>() {
            Ok(v) if v == self.version => Since::Unchanged,
            Ok(v) if v >= self.floor && v < self.version => Since::Changes(self.changes(v)),
            _ => Since::Whole,
        }
    }

    /// Changes an item with `change` (made if absent), and writes it to the batch.
    pub fn change(
        &mut self,
        batch: &mut Batch,
        uid: Uid,
        jid: &Jid,
        change: impl FnOnce(&mut Item),
    ) {
        let at = match self.find(jid) {
            Ok(at) => at,
            Err(at) => {
                self.items.insert(at, Item::new(jid.clone()));
                at
            }
        };
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        let was_listed = item.listed;
        change(item);
        if item.listed || was_listed {
            self.version += 1;
            item.version = self.version;
            self.removals.retain(|(_, gone)| gone != jid);
        }
        if item.is_needed() {
            let value = serde_json::to_vec(item).unwrap_or_default();
            batch.put(Space::ROSTER, &item_key(uid, jid), value);
        } else {
            self.items.remove(at);
            batch.delete(Space::ROSTER, &item_key(uid, jid));
            if was_listed {
                self.note_removal(batch, uid, jid);
            }
        }
        if was_listed || self.item(jid).is_some_and(|item| item.listed) {
            self.save_version(batch, uid);
        }
    }

    /// Removes an item; `false` if the user did not see one.
    pub fn remove(&mut self, batch: &mut Batch, uid: Uid, jid: &Jid) -> bool {
        let Ok(at) = self.find(jid) else {
            return false;
        };
        if !self.items.get(at).is_some_and(|item| item.listed) {
            return false;
        }
        self.items.remove(at);
        self.version += 1;
        batch.delete(Space::ROSTER, &item_key(uid, jid));
        self.note_removal(batch, uid, jid);
        self.save_version(batch, uid);
        true
    }

    fn note_removal(&mut self, batch: &mut Batch, uid: Uid, jid: &Jid) {
        batch.put(
            Space::ROSTER_LOG,
            &log_key(uid, self.version),
            jid.as_str().as_bytes().to_vec(),
        );
        self.removals.push_back((self.version, jid.clone()));
        while self.removals.len() > REMEMBERED_REMOVALS {
            if let Some((version, _)) = self.removals.pop_front() {
                self.floor = version;
                batch.delete(Space::ROSTER_LOG, &log_key(uid, version));
            }
        }
    }

    fn save_version(&self, batch: &mut Batch, uid: Uid) {
        let versions = Versions {
            version: self.version,
            floor: self.floor,
        };
        let value = serde_json::to_vec(&versions).unwrap_or_default();
        batch.put(Space::ROSTER_VERSION, &Key::new().u64(uid.0), value);
    }

    fn changes(&self, since: u64) -> Vec<(u64, Element)> {
        let changed = self
            .listed()
            .filter(|item| item.version > since)
            .map(|item| (item.version, item.to_element()));
        let removed = self
            .removals
            .iter()
            .filter(|(version, _)| *version > since)
            .map(|(version, jid)| (*version, removed_item(jid)));
        let mut changes: Vec<_> = changed.chain(removed).collect();
        changes.sort_by_key(|(version, _)| *version);
        changes
    }

    fn find(&self, jid: &Jid) -> Result<usize, usize> {
        self.items
            .binary_search_by(|item| item.jid.as_ref().cmp(&Some(jid)))
    }
}

/// A roster push: one item's news for every interested resource (RFC 6121 §2.1.6).
pub struct Push {
    item: Element,
    version: String,
}

impl Push {
    /// Of an item as it stands.
    pub fn new(roster: &Roster, item: &Item) -> Self {
        Push {
            item: item.to_element(),
            version: roster.version(),
        }
    }

    /// Of a removed item.
    pub fn removed(roster: &Roster, jid: &Jid) -> Self {
        Push {
            item: removed_item(jid),
            version: roster.version(),
        }
    }

    /// Hands it to the account's interested resources; call it after the commit.
    pub fn send(self, account: &Account) {
        for session in account.interested() {
            session.outbox.push(Outgoing {
                stanza: Arc::new(push_stanza(&session.jid, &self.item, &self.version)),
                to: None,
                entry: None,
            });
        }
    }
}

/// The iq of one push.
pub fn push_stanza(to: &Jid, item: &Element, version: &str) -> Stanza {
    let query = Element::new("query", ns::ROSTER)
        .with_attr("ver", version)
        .with_child(item.clone());
    Stanza::iq(IqType::Set)
        .with_to(to.clone())
        .with_id(random::id())
        .with_child(query)
}

/// The `<item/>` that tells of a removal.
pub fn removed_item(jid: &Jid) -> Element {
    Element::new("item", ns::ROSTER)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", "remove")
}

/// Takes an item off the disk, without a trace: for an account that is gone.
pub fn forget(batch: &mut Batch, uid: Uid, jid: &Jid) {
    batch.delete(Space::ROSTER, &item_key(uid, jid));
}

#[derive(Serialize, Deserialize)]
struct Versions {
    version: u64,
    #[serde(default)]
    floor: u64,
}

fn item_key(uid: Uid, jid: &Jid) -> Key {
    Key::new().u64(uid.0).str(jid.as_str())
}

fn log_key(uid: Uid, version: u64) -> Key {
    Key::new().u64(uid.0).u64(version)
}

fn odd() -> StoreError {
    StoreError::Format("a roster".to_owned())
}

fn jid_of(bytes: &[u8]) -> Option<Jid> {
    Jid::parse(std::str::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn jid(s: &str) -> Jid {
        Jid::parse(s).unwrap()
    }

    fn add(roster: &mut Roster, who: &str) {
        roster.change(&mut Batch::new(), Uid(1), &jid(who), |item| {
            item.listed = true;
        });
    }

    #[test]
    fn a_client_with_a_known_version_gets_only_what_changed() {
        let mut roster = Roster::default();
        add(&mut roster, "a@x");
        add(&mut roster, "b@x");
        let known = roster.version();
        assert_eq!(roster.since(&known), Since::Unchanged);
        add(&mut roster, "c@x");
        assert!(roster.remove(&mut Batch::new(), Uid(1), &jid("a@x")));
        let Since::Changes(changes) = roster.since(&known) else {
            panic!("changes expected");
        };
        let told: Vec<_> = changes
            .iter()
            .map(|(_, item)| {
                (
                    item.attr("jid").unwrap().to_owned(),
                    item.attr("subscription").unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("c@x".to_owned(), "none".to_owned()),
                ("a@x".to_owned(), "remove".to_owned())
            ]
        );
        assert_eq!(roster.since("99"), Since::Whole);
        assert_eq!(roster.since("nonsense"), Since::Whole);
        assert_eq!(roster.since(""), Since::Whole);
    }

    #[test]
    fn forgotten_removals_force_the_whole_roster() {
        let mut roster = Roster::default();
        add(&mut roster, "keeper@x");
        let known = roster.version();
        for i in 0..=REMEMBERED_REMOVALS {
            let who = format!("u{i}@x");
            add(&mut roster, &who);
            roster.remove(&mut Batch::new(), Uid(1), &jid(&who));
        }
        assert_eq!(roster.since(&known), Since::Whole);
        assert_eq!(roster.removals.len(), REMEMBERED_REMOVALS);
    }

    #[test]
    fn a_mere_request_is_kept_but_neither_shown_nor_versioned() {
        let mut roster = Roster::default();
        let before = roster.version();
        roster.change(&mut Batch::new(), Uid(1), &jid("s@x"), |item| {
            item.request = Some("<presence/>".into());
        });
        assert_eq!(roster.version(), before);
        assert_eq!(roster.listed().count(), 0);
        assert_eq!(roster.requests().count(), 1);
        assert!(!roster.remove(&mut Batch::new(), Uid(1), &jid("s@x")));
        roster.change(&mut Batch::new(), Uid(1), &jid("s@x"), |item| {
            item.request = None;
        });
        assert!(roster.is_empty());
    }

    #[test]
    fn an_added_again_contact_is_no_longer_told_as_removed() {
        let mut roster = Roster::default();
        add(&mut roster, "a@x");
        let known = roster.version();
        roster.remove(&mut Batch::new(), Uid(1), &jid("a@x"));
        add(&mut roster, "a@x");
        let Since::Changes(changes) = roster.since(&known) else {
            panic!("changes expected");
        };
        assert_eq!(changes.len(), 1);
    }
}
