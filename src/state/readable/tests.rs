//! Pages of chats and rooms together.

use super::*;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::clock::Clock;
use crate::state::log::Way;
use crate::state::rooms::Rid;
use crate::state::rooms::stays::Stay;
use crate::store::{Batch, Options, Store};

const UID: Uid = Uid(7);

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn stanza(kind: MessageType, from: &str, text: &str) -> Stanza {
    Stanza::message(kind)
        .with_from(jid(from))
        .with_id(text)
        .with_child(Element::new("body", ns::CLIENT).with_text(text))
}

/// What was said in two rooms at these milliseconds, and a chat at the present; the account came late to the first one, and
/// stays no longer in the second.
async fn store() -> Store {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let mut batch = Batch::new();
    for (rid, room, times) in [
        (1, "coven@chat.x", [1, 3, 5]),
        (2, "heath@chat.x", [2, 4, 6]),
    ] {
        for at in times {
            let said = Said {
                mid: Mid::first_of(at),
                at,
                by: jid("hag66@x/pda"),
                stanza: stanza(
                    MessageType::Groupchat,
                    &format!("{room}/hag"),
                    &at.to_string(),
                ),
            };
            archive::keep(&mut batch, Rid(rid), &said);
        }
    }
    let me = jid("me@x");
    let stay = |since| Stay {
        nick: "me".to_owned(),
        since: Mid::first_of(since),
    };
    stays::keep(&mut batch, (Rid(1), &jid("coven@chat.x")), &me, &stay(1));
    let heath = jid("heath@chat.x");
    stays::end(
        &mut batch,
        (Rid(2), &heath),
        &me,
        &stay(0),
        Mid::first_of(6),
    );
    let chat = stanza(MessageType::Chat, "bob@x/1", "chat");
    log::keep(&mut batch, UID, Way::Received, &jid("bob@x"), &chat, 9);
    store.commit(batch).await.unwrap();
    store
}

fn query(max: usize) -> Query {
    Query {
        max,
        bytes: 100_000,
        ..Query::default()
    }
}

async fn read(store: &Store, query: Query) -> Option<(Vec<String>, bool)> {
    let page = store.reading(move |view| match page(&query, view, UID, &jid("me@x")) {
        Err(QueryError::Store(error)) => Err(error),
        page => Ok(page.ok()),
    });
    let page = page.await.unwrap()?;
    let text = |found: &Found| {
        let stanza = Stanza::from_bytes(&found.xml).unwrap();
        stanza
            .child("body", ns::CLIENT)
            .unwrap()
            .text()
            .into_owned()
    };
    Some((page.messages.iter().map(text).collect(), page.complete))
}

async fn texts(store: &Store, query: Query) -> (String, bool) {
    let (texts, complete) = read(store, query).await.unwrap();
    (texts.join(" "), complete)
}

#[tokio::test]
async fn rooms_and_chats_come_in_one_order_as_far_as_the_account_may_read_them() {
    let store = store().await;
    let all = "2 3 4 5 chat".to_owned();
    assert_eq!(texts(&store, query(9)).await, (all.clone(), true));
    let backwards = |max| Query {
        backwards: true,
        ..query(max)
    };
    assert_eq!(texts(&store, backwards(9)).await, (all, true));
    assert_eq!(texts(&store, query(2)).await, ("2 3".to_owned(), false));
    assert_eq!(
        texts(&store, backwards(2)).await,
        ("5 chat".to_owned(), false)
    );
    assert_eq!(texts(&store, query(0)).await, (String::new(), false));
    let with = |with: &str| Query {
        with: Some(jid(with)),
        ..query(9)
    };
    for (with, found) in [
        (with("coven@chat.x"), "3 5"),
        (with("coven@chat.x/hag"), "3 5"),
        (with("coven@chat.x/other"), ""),
        (with("bob@x"), "chat"),
    ] {
        assert_eq!(texts(&store, with).await, (found.to_owned(), true));
    }
    let words = Query {
        words: vec!["4".to_owned()],
        ..query(9)
    };
    assert_eq!(texts(&store, words).await, ("4".to_owned(), true));
    let short = Query {
        bytes: 1,
        ..query(9)
    };
    assert_eq!(texts(&store, short).await, ("2".to_owned(), false));
}

#[tokio::test]
async fn ids_are_those_of_what_the_account_may_read() {
    let store = store().await;
    let after = |at| Query {
        after: vec![Mid::first_of(at)],
        ..query(2)
    };
    assert_eq!(texts(&store, after(3)).await, ("4 5".to_owned(), false));
    assert_eq!(texts(&store, after(5)).await, ("chat".to_owned(), true));
    // Said before it came, after it went, and never.
    for at in [1, 6, 7] {
        assert!(read(&store, after(at)).await.is_none(), "{at}");
    }
    let ids = Query {
        ids: Some(vec![Mid::first_of(4), Mid::first_of(3)]),
        ..query(9)
    };
    assert_eq!(texts(&store, ids).await, ("3 4".to_owned(), true));
}
