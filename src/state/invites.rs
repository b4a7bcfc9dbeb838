//! Invitations (XEP-0401): who may come, as whose contact, until when; each is used once. What is kept of a token is a hash.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::accounts::{self, account_key};
use super::erasure;
use super::roster::{Push, Roster};
use super::token_id::Id;
use crate::hooks::{Event, Turn, Uid};
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::runtime::random;
use crate::store::{
    Batch, CommitError, Direction, Key, Range, Snapshot, Space, Store, StoreError, counter,
};

/// What an invitation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Becoming a contact of who invites, with an account made here if that may be.
    Contact,
    /// Making an account here.
    Account,
    /// A new password for an account.
    Reset,
}

impl Kind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Contact => "contact",
            Kind::Account => "account",
            Kind::Reset => "reset",
        }
    }
}

/// One invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The host it is of.
    pub host: String,
    /// What for.
    pub kind: Kind,
    /// Whose contact is who comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviter: Option<Inviter>,
    /// The name of the account to be made, or of the one that gets a new password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether an account may be made with it.
    pub register: bool,
    /// The group of the roster in which the two find each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it was made, Unix milliseconds.
    pub made: u64,
    /// Until when it is good.
    pub until: u64,
}

/// Who invites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inviter {
    /// By number.
    pub uid: u64,
    /// By address.
    pub account: String,
}

impl Invite {
    /// The address of who invites.
    pub fn from(&self) -> Option<Jid> {
        let inviter = self.inviter.as_ref()?;
        Jid::parse(&inviter.account).ok()
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Result<Invite, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::Format("an invitation".to_owned()))
    }
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// As many of one account as may be are open already.
    #[error("as many invitations of this account as may be are open")]
    TooManyOwn,
    /// As many of the host as may be are open already.
    #[error("as many invitations as may be are open")]
    TooMany,
    /// There is no account of who invites.
    #[error("there is no such account")]
    NoAccount,
    /// There is one of this name.
    #[error("there is an account of this name, or one is promised")]
    Taken,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

const INVITE: u8 = 0;
const NAME: u8 = 1;
const COUNT: u8 = 2;
/// Read at once.
const PAGE: usize = 200;

/// The invitations of one host.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    host: String,
    /// One is made after the other, so that there are never more than may be.
    line: Arc<tokio::sync::Mutex<()>>,
    /// Those that are being used.
    busy: Arc<Mutex<HashSet<Id>>>,
    /// Whether some that are good let accounts be made, as far as was looked.
    registering: Arc<AtomicBool>,
}

/// An invitation that is being used, by nobody else while this lives.
#[derive(Debug)]
pub struct InUse(Arc<Mutex<HashSet<Id>>>, Id);

impl Drop for InUse {
    fn drop(&mut self) {
        locked(&self.0).remove(&self.1);
    }
}

impl Desk {
    /// For a host.
    pub fn new(store: Store, host: &str) -> Desk {
        Desk {
            store,
            host: host.to_owned(),
            line: Arc::default(),
            busy: Arc::default(),
            registering: Arc::default(),
        }
    }

    /// Whether an account can be made with some invitation; it may be that the last of them has just gone.
    pub fn lets_register(&self) -> bool {
        self.registering.load(Ordering::Acquire)
    }

    /// Looks whether there are invitations with which accounts can be made.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, now: u64) -> Result<(), StoreError> {
        // None is made meanwhile.
        let _line = self.line.lock().await;
        let mut after = None;
        loop {
            let (page, next) = self.page(after).await?;
            let good = |invite: &Invite| invite.register && invite.until > now;
            let found = page.iter().any(|(_, invite)| good(invite));
            if found || next.is_none() {
                self.registering.store(found, Ordering::Release);
                return Ok(());
            }
            after = next;
        }
    }

    /// An account that invites; `None` if there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn inviter(&self, account: &Jid) -> Result<Option<Inviter>, StoreError> {
        let key = account_key(account);
        let record = self.store.reading(move |view| accounts::read(view, &key));
        Ok(record.await?.map(|record| Inviter {
            uid: record.uid,
            account: account.bare_str().to_owned(),
        }))
    }

    /// Makes an invitation, of at most so many of the same inviter and so many in all; its token.
    ///
    /// # Errors
    /// See [`InviteError`].
    pub async fn make(
        &self,
        invite: Invite,
        (each, total): (usize, usize),
    ) -> Result<String, InviteError> {
        let _line = self.line.lock().await;
        let token = random::token();
        let (read, count) = (invite.clone(), count_key(&self.host));
        let key = count.clone();
        let problem = self.store.reading(move |view| {
            let all = view.get(Space::INVITE, &key)?.and_then(|n| counter(&n));
            let all = all.and_then(|all| usize::try_from(all).ok()).unwrap_or(0);
            let own = match &read.inviter {
                Some(inviter) => {
                    let own = Range::prefix(Uid(inviter.uid).to_key().as_slice());
                    view.scan(Space::INVITE_BY_ACCOUNT, &own, Direction::Forward, each)?
                        .len()
                }
                None => 0,
            };
            if own >= each {
                return Ok(Some(InviteError::TooManyOwn));
            }
            if all >= total {
                return Ok(Some(InviteError::TooMany));
            }
            problem(view, &read)
        });
        if let Some(problem) = problem.await? {
            return Err(problem);
        }
        let id = Id::of_token(&token);
        let mut batch = Batch::new();
        if let Some(inviter) = &invite.inviter {
            let uid = Uid(inviter.uid);
            let name = inviter.account.as_bytes();
            batch.require_equals(Space::ACCOUNT_BY_ID, &uid.to_key(), name);
            erasure::require_unmarked(&mut batch, uid);
            batch.put(Space::INVITE_BY_ACCOUNT, &by_account_key(uid, id), []);
        }
        batch.put(Space::INVITE, &invite_key(id), invite.encode());
        if let Some(promised) = promised(&invite) {
            let until = invite.until.to_be_bytes().to_vec();
            batch.put(Space::INVITE, &promised, until);
        }
        batch.put(Space::EXPIRY, &expiry_key(invite.until, id), []);
        batch.add(Space::INVITE, &count, 1);
        self.store.commit(batch).await?;
        if invite.register {
            self.registering.store(true, Ordering::Release);
        }
        Ok(token)
    }

    /// The invitation with this token, if it is good now.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, token: &str, now: u64) -> Result<Option<(Id, Invite)>, StoreError> {
        let id = Id::of_token(token);
        let found = self.store.reading(move |view| {
            let Some(stored) = view.get(Space::INVITE, &invite_key(id))? else {
                return Ok(None);
            };
            let invite = Invite::decode(&stored)?;
            let there = match &invite.inviter {
                Some(inviter) => {
                    let name = view.get(Space::ACCOUNT_BY_ID, &Uid(inviter.uid).to_key())?;
                    name.as_deref() == Some(inviter.account.as_bytes())
                }
                None => true,
            };
            Ok(there.then_some((id, invite)))
        });
        let found = found.await?;
        Ok(found.filter(|(_, invite)| invite.host == self.host && invite.until > now))
    }

    /// Whether an invitation is there, whether or not it has ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_there(&self, id: Id) -> Result<bool, StoreError> {
        let stored = self
            .store
            .reading(move |view| view.get(Space::INVITE, &invite_key(id)));
        Ok(stored.await?.is_some())
    }

    /// Takes an invitation to use it; `None` if somebody is using it.
    pub fn begin(&self, id: Id) -> Option<InUse> {
        let begun = locked(&self.busy).insert(id);
        begun.then(|| InUse(self.busy.clone(), id))
    }

    /// What uses an invitation up, if it is there.
    pub fn use_up(&self, batch: &mut Batch, id: Id, invite: &Invite) {
        batch.require_equals(Space::INVITE, &invite_key(id), invite.encode());
        self.forget(batch, id, invite);
    }

    fn forget(&self, batch: &mut Batch, id: Id, invite: &Invite) {
        batch.delete(Space::INVITE, &invite_key(id));
        batch.delete(Space::EXPIRY, &expiry_key(invite.until, id));
        batch.add(Space::INVITE, &count_key(&invite.host), -1);
        if let Some(inviter) = &invite.inviter {
            let key = by_account_key(Uid(inviter.uid), id);
            batch.delete(Space::INVITE_BY_ACCOUNT, &key);
        }
        if let Some(promised) = promised(invite) {
            batch.delete(Space::INVITE, &promised);
        }
    }

    /// Removes an invitation; `false` if there is none.
    ///
    /// # Errors
    /// See [`InviteError`].
    pub async fn remove(&self, id: Id) -> Result<bool, InviteError> {
        let stored = self
            .store
            .reading(move |view| view.get(Space::INVITE, &invite_key(id)));
        let Some(stored) = stored.await? else {
            return Ok(false);
        };
        let invite = Invite::decode(&stored)?;
        let mut batch = Batch::new();
        batch.require_equals(Space::INVITE, &invite_key(id), stored);
        self.forget(&mut batch, id, &invite);
        match self.store.commit(batch.making_room()).await {
            Ok(_) => Ok(true),
            Err(CommitError::Precondition) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the invitations of the host; the last id leads to the next page.
    ///
    /// # Errors
    /// The store's.
    pub async fn page(
        &self,
        after: Option<Id>,
    ) -> Result<(Vec<(Id, Invite)>, Option<Id>), StoreError> {
        let all = Range::prefix(Key::new().u8(INVITE));
        let range = match after {
            Some(after) => all.after(invite_key(after)),
            None => all,
        };
        let rows = self
            .store
            .reading(move |view| view.scan(Space::INVITE, &range, Direction::Forward, PAGE));
        let rows = rows.await?;
        let (mut page, mut last, full) = (Vec::new(), None, rows.len() == PAGE);
        for (key, value) in rows {
            last = key.get(1..).and_then(Id::from_bytes);
            let invite = Invite::decode(&value)?;
            if let Some(id) = last.filter(|_| invite.host == self.host) {
                page.push((id, invite));
            }
        }
        Ok((page, last.filter(|_| full)))
    }

    /// Removes what is over, at most so many.
    ///
    /// # Errors
    /// See [`InviteError`].
    pub async fn expire(&self, now: u64, most: usize) -> Result<(), InviteError> {
        let minute = u32::try_from(now / 60_000).unwrap_or(u32::MAX);
        let due = Key::new().u8(Space::INVITE.0);
        let due = Range::prefix(due.clone()).before(due.u32(minute.saturating_add(1)));
        let rows = self
            .store
            .reading(move |view| view.scan(Space::EXPIRY, &due, Direction::Forward, most));
        for (key, _) in rows.await? {
            let gone = match key.get(5..).and_then(Id::from_bytes) {
                Some(id) => self.remove(id).await?,
                None => false,
            };
            if !gone {
                let mut batch = Batch::new();
                batch.delete(Space::EXPIRY, &key);
                self.store.commit(batch.relaxed()).await?;
            }
        }
        Ok(())
    }
}

/// What stands against an invitation.
fn problem(view: &dyn Snapshot, invite: &Invite) -> Result<Option<InviteError>, StoreError> {
    let Some(name) = &invite.name else {
        return Ok(None);
    };
    let there = match Jid::new(Some(name), &invite.host, None) {
        Ok(jid) => accounts::read(view, &account_key(&jid))?.is_some(),
        Err(_) => false,
    };
    let promised = match promised(invite) {
        Some(key) => is_kept(view, &key, invite.made)?,
        None => false,
    };
    Ok(match (invite.kind, there) {
        (Kind::Reset, false) => Some(InviteError::NoAccount),
        (Kind::Reset, true) => None,
        _ => (there || promised).then_some(InviteError::Taken),
    })
}

fn is_kept(view: &dyn Snapshot, key: &Key, now: u64) -> Result<bool, StoreError> {
    let until = view.get(Space::INVITE, key)?;
    let until = until.and_then(|until| until.try_into().ok());
    Ok(until.is_some_and(|until| u64::from_be_bytes(until) > now))
}

/// Whether the name of an account is kept for somebody who is invited (XEP-0401 §6.2).
///
/// # Errors
/// The store's.
pub async fn is_promised(store: &Store, account: &Jid, now: u64) -> Result<bool, StoreError> {
    let key = name_key(account.domain(), account.node().unwrap_or_default());
    store.reading(move |view| is_kept(view, &key, now)).await
}

/// What keeps the name of an invitation that promises one.
fn promised(invite: &Invite) -> Option<Key> {
    let name = invite.name.as_deref();
    let name = name.filter(|_| invite.kind != Kind::Reset)?;
    Some(name_key(&invite.host, name))
}

fn invite_key(id: Id) -> Key {
    Key::new().u8(INVITE).bytes(id.as_bytes())
}

fn name_key(host: &str, name: &str) -> Key {
    Key::new().u8(NAME).str(host).str(name)
}

fn count_key(host: &str) -> Key {
    Key::new().u8(COUNT).str(host)
}

fn by_account_key(uid: Uid, id: Id) -> Key {
    Key::new().u64(uid.0).bytes(id.as_bytes())
}

/// Where the queue of what ends has it; never before its time.
fn expiry_key(until: u64, id: Id) -> Key {
    let minute = u32::try_from(until.div_ceil(60_000)).unwrap_or(u32::MAX);
    let key = Key::new().u8(Space::INVITE.0).u32(minute);
    key.bytes(id.as_bytes())
}

/// Prepares the roster of the account of this turn for a contact: its request is granted when it comes, and one to it counts as
/// sent ([`asks`]). `false` if there is no room for it, of so many items.
pub fn welcome(turn: &mut Turn<'_>, contact: &Jid, group: Option<&str>, most: usize) -> bool {
    let (uid, jid) = (turn.account.uid, turn.account.jid.clone());
    let Some(roster) = turn.account.parts.find_mut::<Roster>() else {
        return false;
    };
    if *contact == jid || (roster.item(contact).is_none() && roster.len() >= most) {
        return false;
    }
    let state = roster.state(contact);
    roster.change(&mut turn.ledger.batch, uid, contact, |item| {
        item.approved |= !state.subscription.from();
        item.ask |= !state.subscription.to();
        item.listed = true;
        if let Some(group) = group.filter(|group| item.groups.iter().all(|own| &**own != *group)) {
            item.groups.push(group.into());
        }
    });
    if let Some(item) = roster.item(contact) {
        let push = Push::new(roster, item);
        turn.after_commit(move |turn| push.send(turn.account));
    }
    turn.event(Event::RosterChanged(jid, contact.clone()));
    true
}

/// The request of one for the presence of another.
pub fn asks(who: &Jid, whom: &Jid) -> Stanza {
    Stanza::presence(PresenceType::Subscribe)
        .with_from(who.bare())
        .with_to(whom.bare())
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::store::{Options, testing};
    use crate::stream::Secret;

    const MINUTE: u64 = 60_000;

    async fn desk() -> (Desk, Accounts, Inviter) {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let secret = Secret::new(vec![1; 32]);
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
        let jid = Jid::parse("romeo@example.org").unwrap();
        let uid = accounts.create(&jid, "pencil").await.unwrap();
        let inviter = Inviter {
            uid: uid.0,
            account: jid.to_string(),
        };
        (Desk::new(store, "example.org"), accounts, inviter)
    }

    fn invite(inviter: Option<Inviter>, name: Option<&str>) -> Invite {
        Invite {
            host: "example.org".to_owned(),
            kind: Kind::Account,
            inviter,
            name: name.map(str::to_owned),
            register: true,
            group: None,
            made: 0,
            until: MINUTE,
        }
    }

    #[tokio::test]
    async fn one_is_good_once_and_until_its_end() {
        let (desk, _, inviter) = desk().await;
        let token = desk
            .make(invite(Some(inviter), None), (9, 9))
            .await
            .unwrap();
        assert!(desk.find("other", 0).await.unwrap().is_none());
        assert!(desk.find(&token, MINUTE).await.unwrap().is_none());
        let (id, found) = desk.find(&token, MINUTE - 1).await.unwrap().unwrap();
        let begun = desk.begin(id).unwrap();
        assert!(desk.begin(id).is_none());
        drop(begun);
        assert!(desk.begin(id).is_some());
        let mut batch = Batch::new();
        desk.use_up(&mut batch, id, &found);
        let again = batch.clone();
        desk.store.commit(batch).await.unwrap();
        assert!(desk.find(&token, 0).await.unwrap().is_none());
        let twice = desk.store.commit(again).await;
        assert_eq!(twice.unwrap_err(), CommitError::Precondition);
    }

    #[tokio::test]
    async fn so_many_and_no_more_and_what_is_over_makes_room() {
        let (desk, _, inviter) = desk().await;
        let one = || invite(Some(inviter.clone()), None);
        desk.make(one(), (1, 3)).await.unwrap();
        let full = desk.make(one(), (1, 3)).await;
        assert!(matches!(full, Err(InviteError::TooManyOwn)));
        desk.make(invite(None, None), (1, 3)).await.unwrap();
        desk.make(invite(None, None), (1, 3)).await.unwrap();
        let full = desk.make(invite(None, None), (1, 3)).await;
        assert!(matches!(full, Err(InviteError::TooMany)));
        desk.expire(MINUTE - 1, 100).await.unwrap();
        assert_eq!(desk.page(None).await.unwrap().0.len(), 3);
        desk.expire(MINUTE, 100).await.unwrap();
        assert_eq!(desk.page(None).await.unwrap().0.len(), 0);
        assert!(desk.lets_register());
        desk.look(MINUTE).await.unwrap();
        assert!(!desk.lets_register());
        desk.make(one(), (1, 1)).await.unwrap();
        assert!(desk.lets_register());
    }

    #[tokio::test]
    async fn a_promised_name_is_kept_until_the_invitation_is_over() {
        let (desk, _, _) = desk().await;
        let juliet = Jid::parse("juliet@example.org").unwrap();
        desk.make(invite(None, Some("juliet")), (9, 9))
            .await
            .unwrap();
        assert!(is_promised(&desk.store, &juliet, 0).await.unwrap());
        assert!(!is_promised(&desk.store, &juliet, MINUTE).await.unwrap());
        for name in ["juliet", "romeo"] {
            let taken = desk.make(invite(None, Some(name)), (9, 9)).await;
            assert!(matches!(taken, Err(InviteError::Taken)), "{name}");
        }
        let reset = Invite {
            kind: Kind::Reset,
            ..invite(None, Some("nobody"))
        };
        let nobody = desk.make(reset, (9, 9)).await;
        assert!(matches!(nobody, Err(InviteError::NoAccount)));
    }

    #[tokio::test]
    async fn nobody_is_invited_by_an_account_that_is_gone() {
        let (desk, accounts, inviter) = desk().await;
        let one = invite(Some(inviter), None);
        let token = desk.make(one.clone(), (9, 9)).await.unwrap();
        let jid = Jid::parse("romeo@example.org").unwrap();
        accounts.delete(&jid).await.unwrap();
        assert!(desk.find(&token, 0).await.unwrap().is_none());
        assert!(desk.make(one, (9, 9)).await.is_err());
    }
}
