//! Key packages are handed out once each, whoever asks; all is bounded, counted and withdrawn together.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use super::order::{Changed, Order, OutOfOrder, Terms};
use super::*;
use crate::hooks::Device as Client;
use crate::mls::testing;
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::owned::Owner;
use crate::store::{Batch, Direction, Options, Range};

const NOW: u64 = 1_000;

fn bounds() -> Bounds {
    Bounds {
        devices: 3,
        packages: 10,
        remembered: 100,
        welcomes: 2,
        welcome_bytes: 100,
        groups: 2,
        members: 3,
    }
}

async fn desk(bounds: Bounds) -> (Desk, Owner) {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let owner = Owner::new(Uid(1), &Jid::parse("bob@x").unwrap());
    let mut batch = Batch::new();
    batch.put(Space::ACCOUNT_BY_ID, &Uid(1).to_key(), b"bob@x".as_slice());
    store.commit(batch).await.unwrap();
    (Desk::new(&store, bounds).unwrap(), owner)
}

fn package(id: u8, suite: u16, until: u64) -> Offered {
    Offered {
        id: [id; 32],
        suite,
        until,
        last_resort: false,
        bytes: vec![id; 300],
    }
}

fn last(id: u8, suite: u16) -> Offered {
    Offered {
        last_resort: true,
        ..package(id, suite, NOW + 500)
    }
}

fn client(id: &str) -> Client {
    Client::Client(id.into())
}

async fn publish(desk: &Desk, owner: &Owner, device: &str, packages: Vec<Offered>) -> usize {
    let by = client("client");
    let published = desk.publish(owner, (device, Some(&by)), packages, NOW);
    published.await.unwrap().packages
}

async fn take(desk: &Desk, wanted: Wanted) -> Vec<(String, u8, bool)> {
    match desk.take(Uid(1), wanted, NOW).await {
        Ok(taken) => {
            let short = |one: Taken| (one.device, one.bytes[0], one.last_resort);
            taken.into_iter().map(short).collect()
        }
        Err(MlsError::Nothing) => Vec::new(),
        Err(other) => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn of_each_device_one_and_each_once() {
    let (desk, owner) = desk(bounds()).await;
    // What ends first is handed out first; of two suites the one that is asked for.
    let phone = vec![
        package(2, 1, NOW + 9),
        package(1, 1, NOW + 5),
        package(3, 3, NOW + 9),
    ];
    assert_eq!(publish(&desk, &owner, "phone", phone).await, 3);
    let laptop = vec![package(4, 1, NOW + 9), last(5, 1)];
    assert_eq!(publish(&desk, &owner, "laptop", laptop).await, 1);
    let got = |device: &str, id, last| (device.to_owned(), id, last);
    let all = Wanted::default();
    assert_eq!(
        take(&desk, all.clone()).await,
        [got("laptop", 4, false), got("phone", 1, false)]
    );
    let third = Wanted {
        suite: Some(3),
        ..Wanted::default()
    };
    assert_eq!(take(&desk, third.clone()).await, [got("phone", 3, false)]);
    assert_eq!(take(&desk, third).await, []);
    let except = Wanted {
        except: Some("laptop".to_owned()),
        ..Wanted::default()
    };
    assert_eq!(take(&desk, except.clone()).await, [got("phone", 2, false)]);
    assert_eq!(take(&desk, except).await, []);
    // The last one stays.
    for _ in 0..2 {
        assert_eq!(take(&desk, all.clone()).await, [got("laptop", 5, true)]);
    }
    let other = Wanted {
        device: Some("phone".to_owned()),
        ..Wanted::default()
    };
    assert_eq!(take(&desk, other).await, []);
    assert!(matches!(
        desk.take(Uid(2), all, NOW).await,
        Err(MlsError::Nothing)
    ));
}

#[tokio::test]
async fn twenty_who_ask_at_once_get_ten() {
    let (desk, owner) = desk(bounds()).await;
    let ten = (0..10).map(|id| package(id, 1, NOW + 9)).collect();
    publish(&desk, &owner, "phone", ten).await;
    let tasks = (0..20).map(|_| {
        let desk = desk.clone();
        tokio::spawn(async move {
            loop {
                match desk.take(Uid(1), Wanted::default(), NOW).await {
                    Ok(taken) => return Some(taken[0].bytes[0]),
                    Err(MlsError::Nothing) => return None,
                    Err(MlsError::Busy) => {}
                    Err(other) => unreachable!("{other}"),
                }
            }
        })
    });
    let mut got = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        got.extend(task.await.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..10).collect::<Vec<u8>>());
    assert_eq!(desk.devices(Uid(1)).await.unwrap()[0].1.packages, 0);
}

#[tokio::test]
async fn of_those_who_commit_at_once_at_several_desks_one_is_first() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let mut batch = Batch::new();
    batch.put(Space::ACCOUNT_BY_ID, &Uid(1).to_key(), b"bob@x".as_slice());
    store.commit(batch).await.unwrap();
    let (group, bob) = (b"group", Jid::parse("bob@x").unwrap());
    let founder = Desk::new(&store, bounds()).unwrap();
    let home = Home {
        order: Order::new(group, 0, bob.clone()),
        participants: BTreeSet::from([bob.clone()]),
    };
    let owner = Owner::new(Uid(1), &bob);
    founder.found(&owner, group, home).await.unwrap();
    for epoch in 0..5 {
        // As nodes that share nothing but the store.
        let tasks = (0..8).map(|node: u8| {
            let (desk, bob) = (Desk::new(&store, bounds()).unwrap(), bob.clone());
            tokio::spawn(async move {
                let owner = Owner::new(Uid(1), &bob);
                let commit = testing::private_of(b"group", epoch, 3, &[node]);
                loop {
                    match desk.accept(&owner, &letter(&bob, &commit), TERMS).await {
                        Ok(accepted) => break Ok((accepted.epoch, commit)),
                        Err(SendError::Mls(MlsError::Busy)) => {}
                        Err(SendError::Order(OutOfOrder::Taken { current, .. }, winner)) => {
                            break Err((current, winner.unwrap()));
                        }
                        Err(other) => unreachable!("{other}"),
                    }
                }
            })
        });
        let (mut first, mut beaten) = (Vec::new(), Vec::new());
        for task in tasks.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(won) => first.push(won),
                Err(lost) => beaten.push(lost),
            }
        }
        assert_eq!((first.len(), beaten.len()), (1, 7), "epoch {epoch}");
        assert!(beaten.iter().all(|lost| *lost == first[0]));
        assert_eq!(first[0].0, epoch + 1);
    }
}

const TERMS: Terms = Terms {
    window: 1,
    external: false,
};

fn letter<'a>(from: &'a Jid, bytes: &'a [u8]) -> Letter<'a> {
    static NOBODY: Changed = Changed {
        added: Vec::new(),
        removed: Vec::new(),
    };
    Letter {
        from,
        framed: order::framed(bytes).unwrap(),
        bytes,
        changed: &NOBODY,
        id: "id",
        stanza: "<message/>",
    }
}

#[tokio::test]
async fn none_is_published_twice_and_none_beyond_the_bounds() {
    let (desk, owner) = desk(bounds()).await;
    publish(&desk, &owner, "phone", vec![package(1, 1, NOW + 9)]).await;
    take(&desk, Wanted::default()).await;
    let publish_again = |packages| desk.publish(&owner, ("phone", None), packages, NOW);
    for packages in [
        vec![package(2, 1, NOW + 9), package(1, 1, NOW + 9)],
        vec![package(2, 1, NOW + 9), package(2, 1, NOW + 8)],
    ] {
        let again = publish_again(packages).await;
        assert!(matches!(again, Err(MlsError::Repeated(1))), "{again:?}");
    }
    let eleven = (10..21).map(|id| package(id, 1, NOW + 9)).collect();
    assert!(matches!(publish_again(eleven).await, Err(MlsError::Full)));
    // Nothing of what was refused is there.
    assert_eq!(take(&desk, Wanted::default()).await, []);
    publish(&desk, &owner, "b", vec![last(1, 1)]).await;
    publish(&desk, &owner, "c", vec![last(1, 1)]).await;
    let fourth = desk
        .publish(&owner, ("d", None), vec![last(1, 1)], NOW)
        .await;
    assert!(matches!(fourth, Err(MlsError::Full)));
    let stranger = Owner::new(Uid(7), &Jid::parse("eve@x").unwrap());
    let gone = desk
        .publish(&stranger, ("a", None), vec![last(1, 1)], NOW)
        .await;
    assert!(gone.is_err());
}

#[tokio::test]
async fn what_has_ended_is_neither_handed_out_nor_counted() {
    let (desk, owner) = desk(bounds()).await;
    let some = vec![package(1, 1, NOW + 1), package(2, 1, NOW + 9)];
    publish(&desk, &owner, "phone", some).await;
    let later = desk.take(Uid(1), Wanted::default(), NOW + 5).await.unwrap();
    assert_eq!((later[0].bytes[0], later[0].left), (2, 0));
    let end = desk.take(Uid(1), Wanted::default(), NOW + 9).await;
    assert!(matches!(end, Err(MlsError::Nothing)));
    publish(
        &desk,
        &owner,
        "laptop",
        vec![package(3, 1, NOW + 1), last(4, 1)],
    )
    .await;
    let one = vec![package(5, 1, NOW + 900)];
    let has = desk
        .publish(&owner, ("laptop", None), one, NOW + 600)
        .await
        .unwrap();
    assert_eq!((has.packages, has.last.len()), (1, 0));
    // Its client is still known.
    assert_eq!(has.client.as_deref(), Some("client"));
}

#[tokio::test]
async fn of_too_many_to_remember_those_that_end_first_are_forgotten() {
    let few = Bounds {
        remembered: 20,
        ..bounds()
    };
    let (desk, owner) = desk(few).await;
    for id in 0..50 {
        let one = vec![package(id, 1, NOW + 100 + u64::from(id))];
        publish(&desk, &owner, "phone", one).await;
        take(&desk, Wanted::default()).await;
    }
    let range = Range::prefix(of_device(Uid(1), KNOWN, "phone"));
    let space = desk.space;
    let known = desk
        .store
        .reading(move |view| view.scan(space, &range, Direction::Forward, usize::MAX));
    let known = known.await.unwrap();
    assert!((15..=20).contains(&known.len()), "{}", known.len());
    let again = desk.publish(
        &owner,
        ("phone", None),
        vec![package(49, 1, NOW + 149)],
        NOW,
    );
    assert!(matches!(again.await, Err(MlsError::Repeated(0))));
}

#[tokio::test]
async fn a_welcome_waits_until_it_was_received() {
    let (desk, owner) = desk(bounds()).await;
    let keep = |stanza: &[u8]| desk.keep_welcome(&owner, "phone", stanza.to_vec());
    assert!(matches!(keep(b"w").await, Err(MlsError::Nothing)));
    publish(&desk, &owner, "phone", vec![last(1, 1)]).await;
    let (first, whose) = keep(b"first").await.unwrap();
    assert_eq!(whose, Some(client("client")));
    keep(b"second").await.unwrap();
    assert!(matches!(keep(b"third").await, Err(MlsError::Full)));
    let waiting = desk.welcomes(Uid(1), "phone").await.unwrap();
    let stanzas: Vec<_> = waiting.iter().map(|one| one.stanza.as_slice()).collect();
    assert_eq!(stanzas, [b"first".as_slice(), b"second"]);
    assert!(desk.welcomed(Uid(1), "phone", first).await.unwrap());
    assert!(!desk.welcomed(Uid(1), "phone", first).await.unwrap());
    assert!(matches!(keep(&[b'x'; 99]).await, Err(MlsError::Full)));
    keep(b"third").await.unwrap();
}

#[tokio::test]
async fn a_device_goes_with_all_it_had() {
    let (desk, owner) = desk(bounds()).await;
    publish(
        &desk,
        &owner,
        "phone",
        vec![package(1, 1, NOW + 9), last(2, 1)],
    )
    .await;
    desk.publish(
        &owner,
        ("laptop", Some(&client("other"))),
        vec![last(3, 1)],
        NOW,
    )
    .await
    .unwrap();
    desk.keep_welcome(&owner, "phone", b"w".to_vec())
        .await
        .unwrap();
    let gone = desk.withdraw_client(Uid(1), "client").await.unwrap();
    assert_eq!(gone, ["phone"]);
    assert!(!desk.withdraw(Uid(1), "phone").await.unwrap());
    assert_eq!(desk.devices(Uid(1)).await.unwrap().len(), 1);
    let space = desk.space;
    let left = desk
        .store
        .reading(move |view| view.scan(space, &Range::all(), Direction::Forward, 99));
    let left = left.await.unwrap();
    assert_eq!(left.len(), 2, "a row of the laptop and its package");
    // It may come back with what it had published.
    publish(&desk, &owner, "phone", vec![package(1, 1, NOW + 9)]).await;
    assert!(desk.welcomes(Uid(1), "phone").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_device_is_the_client_that_said_so_last() {
    let (desk, owner) = desk(bounds()).await;
    let here = |client| desk.here(&owner, "phone", client);
    let desktop = Client::Resource("desktop".into());
    // Whoever has published nothing leaves nothing.
    here(Some(&desktop)).await.unwrap();
    assert!(desk.devices(Uid(1)).await.unwrap().is_empty());
    publish(&desk, &owner, "phone", vec![last(1, 1)]).await;
    let is = |device: Device| device.client();
    assert_eq!(is(here(None).await.unwrap()), Some(client("client")));
    assert_eq!(
        is(here(Some(&desktop)).await.unwrap()),
        Some(desktop.clone())
    );
    let (_, whose) = desk
        .keep_welcome(&owner, "phone", b"w".to_vec())
        .await
        .unwrap();
    assert_eq!(whose.as_ref(), Some(&desktop));
    let new = client("new");
    assert_eq!(is(here(Some(&new)).await.unwrap()), Some(new));
    assert_eq!(
        desk.withdraw_client(Uid(1), "new").await.unwrap(),
        ["phone"]
    );
}

#[test]
fn what_devices_may_be_called() {
    for name in ["phone", "A.b_c-9", "a", &"x".repeat(64)] {
        assert!(is_device(name), "{name}");
    }
    for name in ["", "a b", "a/b", "é", "a@b", &"x".repeat(65)] {
        assert!(!is_device(name), "{name}");
    }
}
