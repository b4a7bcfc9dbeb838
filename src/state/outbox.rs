//! The durable outbox: stanzas for other domains that their servers do not have yet, by pair of domains.

use std::fmt;

use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Fields, Key, Mid, Range, Snapshot, Space, StoreError};

const FORMAT: u8 = 1;
/// Entries read at once when everything is counted.
const PAGE: usize = 1_000;

/// A domain served here and another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Ours.
    pub local: Jid,
    /// Theirs.
    pub remote: Jid,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.local, self.remote)
    }
}

/// A stanza that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its place.
    pub mid: Mid,
    /// When it came, Unix milliseconds.
    pub at: u64,
    /// Its bytes as stored.
    pub bytes: u64,
    /// The stanza.
    pub stanza: Stanza,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Stanzas.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last of them.
    pub last: Option<Mid>,
}

/// Keeps a stanza that came at `now` (Unix milliseconds).
pub fn record(batch: &mut Batch, pair: &Pair, stanza: &Stanza, now: u64) {
    let mut value = Vec::with_capacity(stanza.size_hint());
    value.push(FORMAT);
    value.extend_from_slice(&now.to_be_bytes());
    stanza.write(Some(crate::proto::ns::CLIENT), &mut value);
    batch.append(Space::OUTBOX, &prefix(pair), value);
}

/// Forgets a stanza that the other side has, or that went back to its sender.
pub fn forget(batch: &mut Batch, pair: &Pair, mid: Mid) {
    batch.delete(Space::OUTBOX, &prefix(pair).mid(mid));
}

/// Reads what is kept for a pair after an id and up to another, oldest first, at most `limit`.
///
/// # Errors
/// The store's.
pub fn page(
    snapshot: &dyn Snapshot,
    pair: &Pair,
    (after, until): (Option<Mid>, Option<Mid>),
    limit: usize,
) -> Result<Vec<Kept>, StoreError> {
    let range = Range::mids(&prefix(pair), after, until.map(Mid::after));
    let rows = snapshot.scan(Space::OUTBOX, &range, Direction::Forward, limit)?;
    rows.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Counts what is kept, pair by pair.
///
/// # Errors
/// The store's.
pub fn totals(snapshot: &dyn Snapshot) -> Result<Vec<(Pair, Total)>, StoreError> {
    let mut found: Vec<(Pair, Total)> = Vec::new();
    let mut range = Range::all();
    loop {
        let rows = snapshot.scan(Space::OUTBOX, &range, Direction::Forward, PAGE)?;
        for (key, value) in &rows {
            let pair = pair_of(key).ok_or_else(odd)?;
            if found.last().is_none_or(|(last, _)| *last != pair) {
                found.push((pair, Total::default()));
            }
            if let Some((_, total)) = found.last_mut() {
                total.entries += 1;
                total.bytes += value.len() as u64;
                total.last = key.last_chunk::<16>().map(|mid| Mid::from_bytes(*mid));
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == PAGE => range = range.after(&key[..]),
            _ => return Ok(found),
        }
    }
}

fn prefix(pair: &Pair) -> Key {
    Key::new()
        .str(pair.local.as_str())
        .str(pair.remote.as_str())
}

fn pair_of(key: &[u8]) -> Option<Pair> {
    let mut fields = Fields::of(key);
    Some(Pair {
        local: Jid::parse(fields.str()?).ok()?,
        remote: Jid::parse(fields.str()?).ok()?,
    })
}

fn decode(key: &[u8], value: &[u8]) -> Result<Kept, StoreError> {
    let mid = key.last_chunk::<16>().ok_or_else(odd)?;
    let Some((FORMAT, rest)) = value.split_first().map(|(format, rest)| (*format, rest)) else {
        return Err(odd());
    };
    let (at, xml) = rest.split_first_chunk::<8>().ok_or_else(odd)?;
    Ok(Kept {
        mid: Mid::from_bytes(*mid),
        at: u64::from_be_bytes(*at),
        bytes: value.len() as u64,
        stanza: Stanza::from_bytes(xml).map_err(|_| odd())?,
    })
}

fn odd() -> StoreError {
    StoreError::Format("a stanza for another domain".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::proto::stanza::MessageType;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, Store};

    #[tokio::test]
    async fn what_is_kept_is_read_in_order_and_counted() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let pair = |remote: &str| Pair {
            local: Jid::parse("here.example").unwrap(),
            remote: Jid::parse(remote).unwrap(),
        };
        for (remote, id) in [("b.example", "1"), ("a.example", "2"), ("b.example", "3")] {
            let mut batch = Batch::new();
            let stanza = Stanza::message(MessageType::Chat).with_id(id);
            record(&mut batch, &pair(remote), &stanza, 7);
            store.commit(batch).await.unwrap();
        }
        let b = pair("b.example");
        let read = {
            let b = b.clone();
            move |snapshot: &dyn Snapshot| page(snapshot, &b, (None, None), 10)
        };
        let kept = store.reading(read).await.unwrap();
        let ids: Vec<_> = kept.iter().map(|kept| kept.stanza.id.as_deref()).collect();
        assert_eq!(ids, [Some("1"), Some("3")]);
        assert_eq!(kept[0].at, 7);
        let mut batch = Batch::new();
        forget(&mut batch, &b, kept[0].mid);
        store.commit(batch).await.unwrap();
        let found = store.reading(totals).await.unwrap();
        let counts: Vec<_> = found
            .iter()
            .map(|(pair, total)| (pair.remote.as_str(), total.entries))
            .collect();
        assert_eq!(counts, [("a.example", 1), ("b.example", 1)]);
    }
}
