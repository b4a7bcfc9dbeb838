//! Clients of other servers that are in rooms, written down: those servers do not learn it when this one ends without a
//! word, so that their people have to be told when it is there again.

use super::{PAGE, name_key, odd, of_service};
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Fields, Key, Range, Snapshot, Space, StoreError};

/// A client, by its full address, and its nickname.
pub type Guest = (Jid, String);

fn key(room: &Jid, client: &Jid) -> Key {
    name_key(room).str(client.as_str())
}

/// A client is in a room.
pub fn keep(batch: &mut Batch, room: &Jid, client: &Jid, nick: &str) {
    batch.put(Space::ROOM_GUEST, &key(room, client), nick.as_bytes());
}

/// It is there no longer.
pub fn forget(batch: &mut Batch, room: &Jid, client: &Jid) {
    batch.delete(Space::ROOM_GUEST, &key(room, client));
}

/// All that were in a room.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn of(view: &dyn Snapshot, room: &Jid) -> Result<Vec<Guest>, StoreError> {
    let (mut guests, mut range) = (Vec::new(), Range::prefix(name_key(room)));
    loop {
        let rows = view.page(Space::ROOM_GUEST, &range, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(guests);
        };
        range = range.after(last.as_slice());
        for (key, nick) in rows {
            let (_, client) = read(&key).ok_or_else(|| odd("a guest"))?;
            let nick = String::from_utf8(nick).map_err(|_| odd("a guest"))?;
            guests.push((client, nick));
        }
    }
}

/// The first room of a service, after one of them, that somebody was in.
///
/// # Errors
/// The store's; something that cannot be read.
pub fn room_after(
    view: &dyn Snapshot,
    domain: &str,
    after: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let mut range = Range::prefix(of_service(domain));
    if let Some(after) = after {
        let Some(next) = of_service(domain).str(after).successor() else {
            return Ok(None);
        };
        range = range.from(next);
    }
    let rows = view.scan(Space::ROOM_GUEST, &range, Direction::Forward, 1)?;
    let first = rows.first().map(|(key, _)| read(key));
    first
        .map(|read| read.map(|(room, _)| room).ok_or_else(|| odd("a guest")))
        .transpose()
}

/// The room and the client of a key.
fn read(key: &[u8]) -> Option<(String, Jid)> {
    let mut fields = Fields::of(key);
    fields.str()?;
    let room = fields.str()?.to_owned();
    Some((room, Jid::parse(fields.str()?).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::{Options, Store};

    #[tokio::test]
    async fn who_was_where_is_known() {
        let store = Store::open(Options::memory(), Clock::system()).unwrap();
        let jid = |text: &str| Jid::parse(text).unwrap();
        let mut batch = Batch::new();
        for (room, client) in [
            ("coven@chat.x", "a@y/1"),
            ("coven@chat.x", "b@z/1"),
            ("coven2@chat.x", "a@y/1"),
            ("heath@chat.x", "a@y/1"),
            ("heath@other.x", "c@y/1"),
        ] {
            keep(&mut batch, &jid(room), &jid(client), "nick");
        }
        store.commit(batch).await.unwrap();
        let mut batch = Batch::new();
        forget(&mut batch, &jid("coven@chat.x"), &jid("b@z/1"));
        store.commit(batch).await.unwrap();
        let coven = jid("coven@chat.x");
        let there = store.reading(move |view| of(view, &coven));
        let a = (jid("a@y/1"), "nick".to_owned());
        assert_eq!(there.await.unwrap(), [a]);
        let rooms = store.reading(|view| {
            let (mut rooms, mut after) = (Vec::new(), None);
            while let Some(room) = room_after(view, "chat.x", after.as_deref())? {
                after = Some(room.clone());
                rooms.push(room);
            }
            Ok(rooms)
        });
        assert_eq!(rooms.await.unwrap(), ["coven", "coven2", "heath"]);
    }
}
