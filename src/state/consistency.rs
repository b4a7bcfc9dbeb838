//! Whether what is stored fits together: accounts and their numbers, what they own, marks and messages.

use super::accounts::{self, Record, account_key};
use super::log;
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::store::{Direction, Fields, Key, Mid, Range, Snapshot, Space, StoreError};

/// Something that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

const LOST_NUMBER: &str =
    "the account works, its messages may not: `waxwing export` it, delete it, `waxwing import` it";
const UNREADABLE: &str = "restore a backup, or set the account up anew";
const LEFTOVER: &str = "harmless; it only takes space";
const UNLISTED: &str = "it is in the archive, but queries by contact do not find it";
const WRONG_TOTAL: &str = "harmless; what is kept of it by size is not exact";
const LOST_MESSAGE: &str = "the message is lost; a backup may have it";
const STRANGE: &str = "written by another version, or damaged; a backup may have it";

/// Records read at once.
const PAGE: usize = 256 << 10;

/// Checks everything in a view, whose records that cannot be read are passed over: see [`survey`](crate::store::survey). `owned`
/// are the spaces that accounts own.
///
/// # Errors
/// [`StoreError::Closed`].
pub fn check(
    view: &dyn Snapshot,
    owned: &[(String, Space)],
    mut found: impl FnMut(Trouble),
) -> Result<(), StoreError> {
    let mut found = |what: String, advice| found(Trouble { what, advice });
    each(view, Space::ACCOUNT, |key, value| {
        account(view, key, value, &mut found)
    })?;
    each(view, Space::ACCOUNT_BY_ID, |key, value| {
        number(view, key, value, &mut found)
    })?;
    for (name, space) in owned {
        owners(view, name, *space, &mut found)?;
    }
    each(view, Space::UNDELIVERED, |key, _| {
        if view.get(Space::LOG, key)?.is_none() {
            let what = format!("a message that waits for {} is not there", owner(view, key));
            found(what, LOST_MESSAGE);
        }
        Ok(())
    })?;
    let (mut totals, mut listed) = (Totals::default(), log::Listed::default());
    each(view, Space::LOG, |key, value| {
        totals.add(view, key, value, &mut found)?;
        message(view, &mut listed, key, value, &mut found)
    })?;
    totals.end(view, &mut found)?;
    each(view, Space::LOG_BY_CONTACT, |key, _| {
        mark(view, key, &mut found)
    })?;
    each(view, Space::LOG_MEASURED, |key, value| {
        let all = Range::prefix(key);
        let none = view
            .scan(Space::LOG, &all, Direction::Forward, 1)?
            .is_empty();
        if none && log::Note::read(value).is_some_and(|note| note.bytes > 0) {
            wrong_total(view, key, &mut found);
        }
        Ok(())
    })
}

/// Adds up what is noted of the archives, one after the other, as they lie in the log.
#[derive(Default)]
struct Totals {
    uid: Option<Uid>,
    noted: log::Note,
    bytes: u64,
}

impl Totals {
    fn add(
        &mut self,
        view: &dyn Snapshot,
        key: &[u8],
        value: &[u8],
        found: &mut impl FnMut(String, &'static str),
    ) -> Result<(), StoreError> {
        let uid = Fields::of(key).u64().map(Uid);
        if uid != self.uid {
            self.end(view, found)?;
            self.uid = uid;
            let noted = key
                .first_chunk::<8>()
                .map(|uid| view.get(Space::LOG_MEASURED, uid));
            let noted = noted.transpose()?.flatten();
            self.noted = noted
                .as_deref()
                .and_then(log::Note::read)
                .unwrap_or_default();
        }
        if key
            .last_chunk()
            .is_some_and(|mid| Mid::from_bytes(*mid) <= self.noted.through)
        {
            // What cannot be read is told of by itself.
            self.bytes += log::kept_bytes(key, value).unwrap_or(0);
        }
        Ok(())
    }

    fn end(
        &mut self,
        view: &dyn Snapshot,
        found: &mut impl FnMut(String, &'static str),
    ) -> Result<(), StoreError> {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(uid) = self.uid.take()
            && self.noted.bytes != bytes
        {
            wrong_total(view, &uid.to_key(), found);
        }
        Ok(())
    }
}

fn wrong_total(view: &dyn Snapshot, key: &[u8], found: &mut impl FnMut(String, &'static str)) {
    let what = format!(
        "the archive of {} has another size than noted",
        owner(view, key)
    );
    found(what, WRONG_TOTAL);
}

/// What the list by contact leads to is there, and archived.
fn mark(
    view: &dyn Snapshot,
    key: &[u8],
    found: &mut impl FnMut(String, &'static str),
) -> Result<(), StoreError> {
    let uid = Fields::of(key).u64().map(Uid);
    let leads = uid.map(|uid| log::leads(view, uid, key)).transpose()?;
    if leads != Some(true) {
        let owner = owner(view, key);
        found(
            format!("the archive of {owner} lists a message that is not in it"),
            LEFTOVER,
        );
    }
    Ok(())
}

fn account(
    view: &dyn Snapshot,
    key: &[u8],
    value: &[u8],
    found: &mut impl FnMut(String, &'static str),
) -> Result<(), StoreError> {
    let mut fields = Fields::of(key);
    let parts = fields.str().zip(fields.str());
    let jid = parts.and_then(|(host, node)| Jid::new(Some(node), host, None).ok());
    let record = serde_json::from_slice::<Record>(value).ok();
    let (Some(jid), Some(record)) = (jid, record) else {
        let name = Key::from(key);
        found(format!("the account {name:?} cannot be read"), UNREADABLE);
        return Ok(());
    };
    let number = Uid(record.uid).to_key();
    let name = view.get(Space::ACCOUNT_BY_ID, &number)?;
    if name.as_deref() != Some(jid.as_str().as_bytes()) {
        let what = format!(
            "the number {} of {jid} does not lead back to it",
            record.uid
        );
        found(what, LOST_NUMBER);
    }
    Ok(())
}

/// A number without an account belongs to a removal or an arrival, whose mark it has.
fn number(
    view: &dyn Snapshot,
    key: &[u8],
    value: &[u8],
    found: &mut impl FnMut(String, &'static str),
) -> Result<(), StoreError> {
    let uid = Fields::of(key).u64();
    let jid = std::str::from_utf8(value)
        .ok()
        .and_then(|jid| Jid::parse(jid).ok());
    let (Some(uid), Some(jid)) = (uid, jid) else {
        let number = Key::from(key);
        found(
            format!("the number {number:?} of an account cannot be read"),
            STRANGE,
        );
        return Ok(());
    };
    let record = match accounts::read(view, &account_key(&jid)) {
        Ok(record) => record,
        // Told of already.
        Err(StoreError::Damaged { .. } | StoreError::Format(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let own = record.is_some_and(|record| record.uid == uid);
    if !own && !super::erasure::is_marked(view, Uid(uid))? {
        found(
            format!("the number {uid} leads to {jid}, which has another or is not there"),
            LEFTOVER,
        );
    }
    Ok(())
}

/// Every owner of something is there, or being removed. One look per owner: what is his is passed over.
fn owners(
    view: &dyn Snapshot,
    name: &str,
    space: Space,
    found: &mut impl FnMut(String, &'static str),
) -> Result<(), StoreError> {
    let mut range = Range::all();
    loop {
        // Only the key is of interest, but what is damaged must not be in the way.
        let rows = match view.scan(space, &range, Direction::Forward, 1) {
            Ok(rows) => rows,
            Err(StoreError::Damaged { key }) => {
                range = range.after(key.get(1..).unwrap_or_default());
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some((key, _)) = rows.first() else {
            return Ok(());
        };
        let Some(uid) = Fields::of(key).u64() else {
            found(format!("{name} holds something that nobody owns"), LEFTOVER);
            range = range.after(key.as_slice());
            continue;
        };
        let known = view.get(Space::ACCOUNT_BY_ID, &Uid(uid).to_key());
        let known = !matches!(known, Ok(None))
            || super::erasure::is_marked(view, Uid(uid))?
            || super::nodes::is_host(view, Uid(uid))?;
        if !known {
            found(
                format!("{name} holds what belongs to the number {uid}, which no account has"),
                LEFTOVER,
            );
        }
        let Some(next) = uid.checked_add(1) else {
            return Ok(());
        };
        range = range.from(Key::new().u64(next));
    }
}

fn message(
    view: &dyn Snapshot,
    listed: &mut log::Listed,
    key: &[u8],
    value: &[u8],
    found: &mut impl FnMut(String, &'static str),
) -> Result<(), StoreError> {
    let kept = log::is_kept(key, value);
    let uid = Uid(Fields::of(key).u64().unwrap_or_default());
    if kept.is_some() && !listed.next(view, uid, key, value)? {
        let owner = owner(view, key);
        let what = format!("a message in the archive of {owner} is not listed");
        found(what, UNLISTED);
    }
    match kept {
        None => found(
            format!("a message of {} cannot be read", owner(view, key)),
            STRANGE,
        ),
        Some(true) => {}
        Some(false) if view.get(Space::UNDELIVERED, key)?.is_some() => {}
        Some(false) => found(
            format!(
                "a message of {} neither waits nor is kept",
                owner(view, key)
            ),
            LEFTOVER,
        ),
    }
    Ok(())
}

/// Whom a key that begins with a number belongs to, for a sentence.
fn owner(view: &dyn Snapshot, key: &[u8]) -> String {
    let Some(uid) = Fields::of(key).u64() else {
        return "nobody".to_owned();
    };
    let name = view
        .get(Space::ACCOUNT_BY_ID, &Uid(uid).to_key())
        .ok()
        .flatten();
    name.and_then(|name| String::from_utf8(name).ok())
        .unwrap_or_else(|| format!("the account of number {uid}"))
}

/// Every record of a space that can be read.
fn each(
    view: &dyn Snapshot,
    space: Space,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut range, mut bytes) = (Range::all(), PAGE);
    loop {
        let rows = match view.page(space, &range, bytes) {
            Ok(rows) => rows,
            // Up to it one by one, and past it.
            Err(StoreError::Damaged { .. }) if bytes > 1 => {
                bytes = 1;
                continue;
            }
            Err(StoreError::Damaged { key }) => {
                range = range.after(key.get(1..).unwrap_or_default());
                bytes = PAGE;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        range = range.after(last.as_slice());
        for (key, value) in &rows {
            match each(key, value) {
                Err(StoreError::Damaged { .. }) => {}
                done => done?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hooks::Entry;
    use crate::proto::stanza::{MessageType, Stanza};
    use crate::runtime::clock::Clock;
    use crate::store::{Batch, MidSource, Options, Store, testing};

    async fn found(store: &Store) -> Vec<String> {
        let owned = super::super::owned::spaces(store);
        let mut found = Vec::new();
        let view = store.frozen().unwrap();
        check(&view, &owned, |trouble| found.push(trouble.what)).unwrap();
        found
    }

    fn store() -> Store {
        Store::with_engine(testing::memory(), Options::memory(), Clock::system()).unwrap()
    }

    async fn with(change: impl FnOnce(&mut Batch)) -> Vec<String> {
        let store = whole().await;
        let mut batch = Batch::new();
        change(&mut batch);
        store.commit(batch).await.unwrap();
        found(&store).await
    }

    /// A store in which everything fits.
    async fn whole() -> Store {
        let store = store();
        let jid = Jid::parse("romeo@x").unwrap();
        let record = br#"{"uid":1,"created":0,"keys":[]}"#;
        let mut batch = Batch::new();
        batch.put(Space::ACCOUNT, &account_key(&jid), record.as_slice());
        batch.put(
            Space::ACCOUNT_BY_ID,
            &Uid(1).to_key(),
            b"romeo@x".as_slice(),
        );
        batch.put(
            Space::ROSTER,
            &Key::new().u64(1).str("a@b"),
            b"{}".as_slice(),
        );
        let stanza = Stanza::message(MessageType::Chat)
            .with_from(Jid::parse("juliet@x/1").unwrap())
            .with_id("m1");
        let mut mids = MidSource::after(crate::store::Mid::MIN);
        for (keep, waits) in [(true, false), (false, true), (true, true)] {
            let entry = Entry {
                mid: mids.draw(1),
                keep,
            };
            log::import(&mut batch, Uid(1), &jid, entry, &stanza, 1, waits);
        }
        store.commit(batch).await.unwrap();
        note(&store, |_| ()).await;
        store
    }

    /// Notes how much the archive holds, or something else.
    async fn note(store: &Store, change: impl FnOnce(&mut log::Note)) {
        let all = Range::prefix(Key::new().u64(1));
        let rows = store.reading(move |view| view.page(Space::LOG, &all, usize::MAX));
        let mut note = log::Note::default();
        for (key, value) in rows.await.unwrap() {
            note.bytes += log::kept_bytes(&key, &value).unwrap();
        }
        note.through = Mid::MAX;
        change(&mut note);
        let mut batch = Batch::new();
        note.store(&mut batch, Uid(1));
        store.commit(batch).await.unwrap();
    }

    /// Removes what an account has in a space.
    fn empty(batch: &mut Batch, space: Space) {
        batch.delete_range(space, Range::prefix(Key::new().u64(1)));
    }

    #[tokio::test]
    async fn what_leads_to_archived_messages_is_compared() {
        let unlisted = with(|batch| empty(batch, Space::LOG_BY_CONTACT)).await;
        let what = "a message in the archive of romeo@x is not listed";
        assert_eq!(unlisted, [what, what]);
        let gone = with(|batch| {
            empty(batch, Space::LOG);
            empty(batch, Space::UNDELIVERED);
        });
        let gone = gone.await;
        let lists = "the archive of romeo@x lists a message that is not in it";
        assert_eq!(
            gone.iter().filter(|what| *what == lists).count(),
            2,
            "{gone:?}"
        );
        let size = "the archive of romeo@x has another size than noted";
        assert!(gone.iter().any(|what| what == size), "{gone:?}");
        let store = whole().await;
        note(&store, |note| note.bytes += 1).await;
        assert_eq!(found(&store).await, [size]);
        note(&store, |note| note.through = Mid::MIN).await;
        assert_eq!(found(&store).await, [size]);
    }

    #[tokio::test]
    async fn what_fits_is_fine() {
        assert_eq!(with(|_| ()).await, [] as [String; 0]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_named() {
        let romeo = account_key(&Jid::parse("romeo@x").unwrap());
        let lost = with(|batch| batch.delete(Space::ACCOUNT_BY_ID, &Uid(1).to_key())).await;
        assert!(
            lost.iter().any(|what| what.contains("does not lead back")),
            "{lost:?}"
        );
        assert!(
            lost.iter().any(|what| what.starts_with("ROSTER holds")),
            "{lost:?}"
        );
        let gone = with(|batch| batch.delete(Space::ACCOUNT, &romeo)).await;
        assert!(
            gone.iter().any(|what| what.contains("is not there")),
            "{gone:?}"
        );
        let strange = with(|batch| batch.put(Space::ACCOUNT, &romeo, b"?".as_slice())).await;
        assert!(
            strange.iter().any(|what| what.contains("cannot be read")),
            "{strange:?}"
        );
        let mid = MidSource::after(crate::store::Mid::MIN).draw(9);
        let key = Key::new().u64(1).mid(mid);
        let waits = with(|batch| batch.put(Space::UNDELIVERED, &key, b"".as_slice())).await;
        assert_eq!(waits, ["a message that waits for romeo@x is not there"]);
        let neither = with(|batch| {
            let stanza = Stanza::message(MessageType::Chat);
            let entry = Entry { mid, keep: false };
            log::import(
                batch,
                Uid(1),
                &Jid::parse("romeo@x").unwrap(),
                entry,
                &stanza,
                1,
                false,
            );
        });
        assert_eq!(
            neither.await,
            ["a message of romeo@x neither waits nor is kept"]
        );
        let other = with(|batch| batch.put(Space::LOG, &key, b"?".as_slice())).await;
        assert_eq!(other, ["a message of romeo@x cannot be read"]);
    }
}
