//! What was said in a room: its archive, which is its history too (XEP-0045 §7.2.13, XEP-0313 1.1.3).

mod query;
mod removal;

pub use query::{MOST_SCANNED, Page, Query};
pub use removal::expire;

use super::{Rid, odd};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Mid, Range, Snapshot, Space, StoreError, counter};

const FORMAT: u8 = 1;

/// One message of a room.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its id: the archive's and the stanza-id.
    pub mid: Mid,
    /// When, Unix milliseconds.
    pub at: u64,
    /// Who is behind the nickname, by full address.
    pub by: Jid,
    /// The message as occupants saw it, without addressee and stanza-id.
    pub stanza: Stanza,
}

/// Puts a message into a room's archive.
pub fn keep(batch: &mut Batch, rid: Rid, said: &Said) {
    let value = encode(said);
    count(batch, rid, value.len(), 0);
    batch.put(Space::ROOM_LOG, &rid.key().mid(said.mid), value);
}

/// Puts something else in the place of a message.
pub fn replace(batch: &mut Batch, rid: Rid, before: &Said, said: &Said) {
    let value = encode(said);
    count(batch, rid, value.len(), encode(before).len());
    batch.put(Space::ROOM_LOG, &rid.key().mid(said.mid), value);
}

fn count(batch: &mut Batch, rid: Rid, more: usize, less: usize) {
    let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    let by = signed(more).saturating_sub(signed(less));
    batch.add(Space::ROOM_TOTALS, &rid.key(), by);
}

/// Bytes of a room's archive.
///
/// # Errors
/// The store's.
pub fn bytes_of(view: &dyn Snapshot, rid: Rid) -> Result<u64, StoreError> {
    let total = view.get(Space::ROOM_TOTALS, &rid.key())?;
    let total = total.and_then(|total| counter(&total)).unwrap_or(0);
    Ok(u64::try_from(total).unwrap_or(0))
}

/// Reads one message.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn get(view: &dyn Snapshot, rid: Rid, mid: Mid) -> Result<Option<Said>, StoreError> {
    let key = rid.key().mid(mid);
    let value = view.get(Space::ROOM_LOG, &key)?;
    value.map(|value| decode(&key, &value)).transpose()
}

/// Whether the archive has a message.
///
/// # Errors
/// The store's.
pub fn has(view: &dyn Snapshot, rid: Rid, mid: Mid) -> Result<bool, StoreError> {
    Ok(view.get(Space::ROOM_LOG, &rid.key().mid(mid))?.is_some())
}

/// When the archive begins and ends: the ids and times of its first and last message.
///
/// # Errors
/// The store's; something that cannot be read.
#[allow(clippy::type_complexity)]
pub fn ends(view: &dyn Snapshot, rid: Rid) -> Result<Option<((Mid, u64), (Mid, u64))>, StoreError> {
    let one = |direction| {
        let rows = view.scan(Space::ROOM_LOG, &Range::prefix(rid.key()), direction, 1)?;
        let said = rows.first().map(|(key, value)| decode(key, value));
        let said = said.transpose()?;
        Ok::<_, StoreError>(said.map(|said| (said.mid, said.at)))
    };
    Ok(one(Direction::Forward)?.zip(one(Direction::Backward)?))
}

fn encode(said: &Said) -> Vec<u8> {
    let by = said.by.as_str().as_bytes();
    let mut value = Vec::with_capacity(said.stanza.size_hint() + by.len() + 12);
    value.push(FORMAT);
    value.extend_from_slice(&said.at.to_be_bytes());
    // An address has at most three parts of 1023 bytes.
    value.extend_from_slice(&(by.len() as u16).to_be_bytes());
    value.extend_from_slice(by);
    said.stanza.write(Some(ns::CLIENT), &mut value);
    value
}

fn decode(key: &[u8], value: &[u8]) -> Result<Said, StoreError> {
    let read = || {
        let mid = Mid::from_bytes(*key.last_chunk::<16>()?);
        let (&FORMAT, rest) = value.split_first()? else {
            return None;
        };
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (by, xml) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some(Said {
            mid,
            at: u64::from_be_bytes(*at),
            by: Jid::parse(std::str::from_utf8(by).ok()?).ok()?,
            stanza: Stanza::from_bytes(xml).ok()?,
        })
    };
    read().ok_or_else(|| odd("a message"))
}

/// The newest messages, oldest first.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn newest(view: &dyn Snapshot, rid: Rid, limit: usize) -> Result<Vec<Said>, StoreError> {
    let range = Range::prefix(rid.key());
    let rows = view.scan(Space::ROOM_LOG, &range, Direction::Backward, limit)?;
    let rows = rows.iter().rev();
    rows.map(|(key, value)| decode(key, value)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::proto::stanza::MessageType;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, Store};
    use crate::xml::Element;

    #[tokio::test]
    async fn messages_come_back_in_order_with_who_said_them() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let mut batch = Batch::new();
        for n in 1..=3_u64 {
            let said = Said {
                mid: Mid::first_of(n),
                at: n,
                by: Jid::parse("hag66@x/pda").unwrap(),
                stanza: Stanza::message(MessageType::Groupchat)
                    .with_from(Jid::parse("coven@chat.x/thirdwitch").unwrap())
                    .with_id(format!("m{n}"))
                    .with_child(Element::new("body", ns::CLIENT).with_text("Harpier cries")),
            };
            keep(&mut batch, Rid(4), &said);
        }
        store.commit(batch).await.unwrap();
        let said = store.reading(|view| newest(view, Rid(4), 2)).await.unwrap();
        let ids: Vec<_> = said.iter().map(|said| said.stanza.id.as_deref()).collect();
        assert_eq!(ids, [Some("m2"), Some("m3")]);
        assert_eq!((said[0].at, said[0].by.as_str()), (2, "hag66@x/pda"));
        let ends = store.reading(|view| ends(view, Rid(4))).await.unwrap();
        assert_eq!(ends, Some(((Mid::first_of(1), 1), (Mid::first_of(3), 3))));
        let page = |query: Query| store.reading(move |view| query.page(view, Rid(4)));
        let ids = |page: Option<Page>| {
            let page = page.unwrap();
            let ids = page.messages.iter().map(|said| said.at).collect::<Vec<_>>();
            (ids, page.complete)
        };
        let query = |max| Query {
            max,
            bytes: 10_000,
            ..Query::default()
        };
        assert_eq!(ids(page(query(2)).await.unwrap()), (vec![1, 2], false));
        let backwards = Query {
            backwards: true,
            ..query(2)
        };
        assert_eq!(ids(page(backwards).await.unwrap()), (vec![2, 3], false));
        let after = Query {
            after: vec![Mid::first_of(2)],
            ..query(2)
        };
        assert_eq!(ids(page(after).await.unwrap()), (vec![3], true));
        let unknown = Query {
            before: vec![Mid::first_of(9)],
            ..query(2)
        };
        assert!(page(unknown).await.unwrap().is_none());
        let by = |by: &str| Query {
            by: Some(Jid::parse(by).unwrap()),
            start: Some(2),
            ..query(9)
        };
        let later = |start| Query {
            start: Some(start),
            ..query(9)
        };
        for (start, found) in [(1, vec![1, 2, 3]), (3, vec![3]), (4, vec![])] {
            assert_eq!(ids(page(later(start)).await.unwrap()), (found, true));
        }
        for (by, found) in [
            (by("hag66@x"), vec![2, 3]),
            (by("coven@chat.x/thirdwitch"), vec![2, 3]),
            (by("crone1@x"), vec![]),
        ] {
            assert_eq!(ids(page(by).await.unwrap()), (found, true));
        }
        assert!(
            store
                .reading(|view| newest(view, Rid(5), 2))
                .await
                .unwrap()
                .is_empty()
        );
        let bytes = || store.reading(|view| bytes_of(view, Rid(4)));
        let all = bytes().await.unwrap();
        expire(&store, Rid(4), Mid::first_of(2), u64::MAX)
            .await
            .unwrap();
        let rest = bytes().await.unwrap();
        assert!(0 < rest && rest < all);
        expire(&store, Rid(4), Mid::MIN, rest - 1).await.unwrap();
        let left = store.reading(|view| newest(view, Rid(4), 9)).await.unwrap();
        assert_eq!(left.iter().map(|said| said.at).collect::<Vec<_>>(), [3]);
    }
}
