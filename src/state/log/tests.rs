//! The archive part of the log, over a store in memory.

use proptest::prelude::*;

use super::measure::Noted;
use super::*;
use crate::proto::stanza::MessageType;
use crate::runtime::clock::Clock;
use crate::store::{CommitError, EngineError, MARKED, Options, Store};

const ME: Uid = Uid(7);

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn message(peer: &str, id: &str, sent: bool) -> Stanza {
    let (from, to) = if sent {
        ("me@x/1", peer)
    } else {
        (peer, "me@x")
    };
    Stanza::message(MessageType::Chat)
        .with_from(jid(from))
        .with_to(jid(to))
        .with_id(id)
        .with_child(Element::new("body", ns::CLIENT).with_text(id))
}

fn store() -> Store {
    Store::open(Options::memory(), Clock::system()).unwrap()
}

/// Archives a message; `waits` marks it as undelivered.
async fn add(store: &Store, peer: &str, id: &str, sent: bool, waits: bool) -> Mid {
    let stanza = message(peer, id, sent);
    let mut batch = Batch::new();
    let now = Clock::system().wall();
    if waits {
        record(&mut batch, ME, &stanza, now, true);
    } else {
        let way = if sent { Way::Sent } else { Way::Received };
        keep(&mut batch, ME, way, &jid(peer), &stanza, now);
    }
    store.commit(batch).await.unwrap()
}

async fn page(store: &Store, query: Query) -> Page {
    let query = Query {
        bytes: usize::MAX,
        ..query
    };
    store
        .reading(move |snapshot| Ok(query.page(snapshot, ME).unwrap()))
        .await
        .unwrap()
}

async fn whole(store: &Store) -> Vec<Mid> {
    let query = Query {
        max: usize::MAX,
        ..Query::default()
    };
    let page = page(store, query).await;
    assert!(page.complete);
    page.messages.iter().map(|found| found.mid).collect()
}

async fn rows(store: &Store, space: Space) -> usize {
    let all = Range::prefix(account(ME));
    store
        .reading(move |snapshot| snapshot.scan(space, &all, Direction::Forward, usize::MAX))
        .await
        .unwrap()
        .len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any paging, in either direction, with either kind of message, yields the whole in its order.
    #[test]
    fn pages_make_up_the_whole(
        peers in proptest::collection::vec((0..3_usize, any::<bool>()), 0..60),
        sizes in proptest::collection::vec(1..9_usize, 1..8),
        back in any::<bool>(),
        with in proptest::option::of(0..3_usize),
    ) {
        const PEERS: [&str; 3] = ["a@x/1", "b@y", "c@z/2"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = store();
            let mut expected = Vec::new();
            for (n, (peer, sent)) in peers.iter().enumerate() {
                let mid = add(&store, PEERS[*peer], &n.to_string(), *sent, false).await;
                if with.is_none_or(|with| with == *peer) {
                    expected.push(mid);
                }
            }
            let mut got: Vec<Mid> = Vec::new();
            for size in sizes.iter().cycle() {
                let mut query = Query {
                    with: with.map(|with| jid(PEERS[with]).bare()),
                    backwards: back,
                    max: *size,
                    ..Query::default()
                };
                if back {
                    query.before.extend(got.first().copied());
                } else {
                    query.after.extend(got.last().copied());
                }
                let page = page(&store, query).await;
                let mids = page.messages.iter().map(|found| found.mid);
                if back {
                    got.splice(0..0, mids);
                } else {
                    got.extend(mids);
                }
                if page.complete {
                    break;
                }
                assert!(!page.messages.is_empty());
            }
            assert_eq!(got, expected);
        });
    }
}

/// What is done to an archive.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A message comes from or goes to one of the contacts; not everything is kept.
    Message(usize, bool, bool),
    /// One from an export comes in, older than the latest by so many milliseconds.
    Import(usize, u64),
    /// What is older than this part of it goes.
    Remove(usize),
    /// The server starts anew, or forgets.
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (0..3_usize, any::<bool>(), proptest::bool::weighted(0.9))
            .prop_map(|(peer, sent, keep)| Act::Message(peer, sent, keep)),
        3 => (0..3_usize, 0..40_u64).prop_map(|(peer, back)| Act::Import(peer, back)),
        1 => (0..60_usize).prop_map(Act::Remove),
        1 => Just(Act::Forget),
    ]
}

const PEERS: [&str; 3] = ["a@x/1", "b@y", "c@z/2"];

/// An archive, and what should be in it.
struct Model {
    store: Store,
    /// Ids with contacts.
    there: std::collections::BTreeMap<Mid, usize>,
}

impl Model {
    async fn act(&mut self, act: Act, n: usize) {
        match act {
            Act::Message(peer, true, true) => {
                let mid = add(&self.store, PEERS[peer], &n.to_string(), true, false).await;
                self.there.insert(mid, peer);
            }
            Act::Message(peer, _, keep) => {
                let stanza = message(PEERS[peer], &n.to_string(), false);
                let mut batch = Batch::new();
                record(&mut batch, ME, &stanza, Clock::system().wall(), keep);
                let mid = self.store.commit(batch).await.unwrap();
                if keep {
                    self.there.insert(mid, peer);
                    let mut batch = Batch::new();
                    taken(&mut batch, ME, &[Entry { mid, keep }]);
                    self.store.commit(batch).await.unwrap();
                }
            }
            Act::Import(peer, back) => {
                let ms = Clock::system().wall().saturating_sub(back);
                let mid = crate::store::MidSource::after(Mid::first_of(ms)).draw(ms);
                let stanza = message(PEERS[peer], &n.to_string(), false);
                let (mut batch, entry) = (Batch::new(), Entry { mid, keep: true });
                import(&mut batch, ME, &jid("me@x"), entry, &stanza, ms, false);
                self.store.commit(batch).await.unwrap();
                self.there.insert(mid, peer);
            }
            Act::Remove(part) => {
                let upto = self.there.keys().nth(part).copied().unwrap_or(Mid::MAX);
                remove(&self.store, ME, upto, u64::MAX).await.unwrap();
                self.there.retain(|mid, _| *mid > upto);
            }
            Act::Forget => {
                let mut batch = Batch::new();
                batch.forget_marks(Space::LOG, &account(ME));
                self.store.commit(batch).await.unwrap();
            }
        }
    }

    async fn compare(&self) {
        for (peer, name) in PEERS.iter().enumerate() {
            let all = self.there.iter().filter(|(_, of)| **of == peer);
            let all: Vec<Mid> = all.map(|(mid, _)| *mid).collect();
            let bounds = [all.get(all.len() / 3), all.get(all.len() * 2 / 3)];
            for backwards in [false, true] {
                let query = Query {
                    with: Some(jid(name).bare()),
                    max: usize::MAX,
                    backwards,
                    ..Query::default()
                };
                assert_eq!(self.ids(query.clone()).await, all);
                let [Some(after), Some(before)] = bounds else {
                    continue;
                };
                let within = |mid: &&Mid| *mid > after && *mid < before;
                let some: Vec<Mid> = all.iter().filter(within).copied().collect();
                let query = Query {
                    after: vec![*after],
                    before: vec![*before],
                    ..query
                };
                assert_eq!(self.ids(query).await, some);
            }
        }
        let unlisted = self.store.reading(|view| {
            let mut listed = Listed::default();
            let mut unlisted = 0;
            for (key, value) in view.page(Space::LOG, &Range::all(), usize::MAX)? {
                unlisted += usize::from(!listed.next(view, ME, &key, &value)?);
            }
            for (key, _) in view.page(Space::LOG_BY_CONTACT, &Range::all(), usize::MAX)? {
                unlisted += usize::from(!leads(view, ME, &key)?);
            }
            Ok(unlisted)
        });
        assert_eq!(unlisted.await.unwrap(), 0);
    }

    async fn ids(&self, query: Query) -> Vec<Mid> {
        let page = page(&self.store, query).await;
        assert!(page.complete);
        page.messages.iter().map(|found| found.mid).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happened to the archive, the marks lead to all that is there, and none leads nowhere.
    #[test]
    fn whoever_asks_for_a_contact_misses_nothing(acts in proptest::collection::vec(act(), 0..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model { store: store(), there: Default::default() };
            for (n, act) in acts.into_iter().enumerate() {
                model.act(act, n).await;
            }
            model.compare().await;
        });
    }
}

/// A mark that could not be written leads to nothing.
#[tokio::test]
async fn what_comes_after_a_failed_write_is_listed() {
    use crate::store::testing::{Faulty, memory};
    let engine = std::sync::Arc::new(Faulty::new(memory()));
    let store = Store::with_engine(engine.clone(), Options::memory(), Clock::system()).unwrap();
    let mut batch = Batch::new();
    keep(
        &mut batch,
        ME,
        Way::Sent,
        &jid("a@x"),
        &message("a@x", "lost", true),
        1,
    );
    engine.fail(1, EngineError::Refused("test".to_owned()));
    assert!(store.commit(batch).await.is_err());
    let mid = add(&store, "a@x", "kept", true, false).await;
    let query = Query {
        with: Some(jid("a@x")),
        max: 10,
        ..Query::default()
    };
    let page = page(&store, query).await;
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.messages[0].mid, mid);
}

/// A conversation with oneself is not all there is.
#[tokio::test]
async fn the_own_address_is_a_contact_like_any_other() {
    let store = store();
    let mut own = Vec::new();
    for n in 0..20 {
        let peer = if n % 3 == 0 { "me@x" } else { "a@x/1" };
        let mid = add(&store, peer, &n.to_string(), true, false).await;
        own.extend((n % 3 == 0).then_some(mid));
    }
    let query = Query {
        with: Some(jid("me@x")),
        max: 100,
        ..Query::default()
    };
    let page = page(&store, query).await;
    let got: Vec<Mid> = page.messages.iter().map(|found| found.mid).collect();
    assert_eq!(got, own);
}

/// A message as old as the archive is found, whoever else looks.
#[tokio::test]
async fn a_message_is_found_by_its_id_however_old_it_is() {
    let store = store();
    let first = add(&store, "a@x/1", "it's", false, false).await;
    for n in 0..2_500 {
        add(&store, "a@x/1", &n.to_string(), n % 2 == 0, false).await;
    }
    let from = jid("a@x");
    assert!(find_near(&store, ME, "it's", &from).await.unwrap().is_err());
    let found = find(&store, ME, "it's", &from).await.unwrap().unwrap();
    assert_eq!(found.mid(), first);
    assert!(find(&store, ME, "other", &from).await.unwrap().is_none());
}

#[tokio::test]
async fn bytes_bound_a_page_but_not_below_one_message() {
    let store = store();
    for n in 0..3 {
        add(&store, "a@x", &n.to_string(), true, false).await;
    }
    let query = |bytes| Query {
        max: 10,
        bytes,
        ..Query::default()
    };
    let sizes = store.reading(move |snapshot| {
        let size = |bytes| {
            let page = query(bytes).page(snapshot, ME).unwrap();
            (page.messages.len(), page.complete)
        };
        Ok([size(1), size(250), size(10_000)])
    });
    assert_eq!(sizes.await.unwrap(), [(1, false), (2, false), (3, true)]);
}

/// What is read at once is bounded whatever is in the archive, and a search says how far it came.
#[tokio::test]
async fn a_search_stops_at_its_bound_and_goes_on_from_there() {
    let store = store();
    let large = "x".repeat(100 << 10);
    let mut last = Mid::MIN;
    for n in 0..400 {
        let body = if n == 399 { "needle" } else { &large };
        let stanza = message("a@x/1", &n.to_string(), false)
            .with_child(Element::new("body", ns::CLIENT).with_text(body));
        let mut batch = Batch::new();
        // What no archive keeps may be gone when the next page is asked for.
        record(&mut batch, ME, &stanza, 1, n % 2 == 1);
        last = store.commit(batch).await.unwrap();
    }
    let query = |after: Option<Mid>| Query {
        words: vec!["needle".to_owned()],
        after: Vec::from_iter(after),
        max: 10,
        ..Query::default()
    };
    let mut reached = None;
    for step in 0.. {
        let page = page(&store, query(reached)).await;
        if page.complete {
            assert_eq!((step, page.messages[0].mid), (1, last));
            break;
        }
        assert!(page.messages.is_empty() && page.reached > reached);
        reached = page.reached;
        let mids = [reached.unwrap()];
        let there = store.reading(move |view| some(view, ME, &mids));
        assert!(there.await.unwrap()[0].entry.keep);
    }
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_but_what_waits() {
    let store = store();
    let mut mids = Vec::new();
    for n in 0..600 {
        mids.push(add(&store, "a@x/1", &n.to_string(), n % 2 == 0, n == 3).await);
    }
    let total = || measure(&store, ME);
    let before = total().await.unwrap();
    let removed = remove(&store, ME, mids[299], u64::MAX).await.unwrap();
    assert_eq!(removed.messages, 300);
    assert_eq!(whole(&store).await, mids[300..]);
    assert_eq!(total().await.unwrap(), before - removed.bytes);
    for (space, left) in [
        (Space::LOG, 301),
        // What is left of the last window that began before has a mark of its own.
        (Space::LOG_BY_CONTACT, 300 / MARKED + 1),
        (Space::UNDELIVERED, 1),
    ] {
        assert_eq!(rows(&store, space).await, left, "{space:?}");
    }
    let waits = store.reading(|snapshot| undelivered(snapshot, ME, None, 10));
    let waits = waits.await.unwrap();
    assert_eq!((waits.len(), waits[0].entry.keep), (1, false));

    let some = remove(&store, ME, Mid::MAX, 1_000).await.unwrap();
    assert!(some.bytes >= 1_000 && some.bytes < 1_400, "{some:?}");
    remove(&store, ME, Mid::MAX, u64::MAX).await.unwrap();
    assert_eq!(whole(&store).await, []);
    assert_eq!(total().await.unwrap(), 0);
    assert_eq!(rows(&store, Space::LOG_BY_CONTACT).await, 0);
}

#[tokio::test]
async fn a_tombstone_keeps_place_and_header_and_only_the_sender_digs() {
    let store = store();
    let mid = add(&store, "a@x/1", "m1", false, false).await;
    let find = async |from: &str| find(&store, ME, "m1", &jid(from)).await.unwrap();
    assert!(find("b@x").await.is_none());
    let original = find("a@x/other").await.unwrap();
    let mut batch = Batch::new();
    let stone = Element::new("retracted", ns::RETRACT).with_attr("id", "r1");
    bury(&mut batch, ME, original, stone).unwrap();
    store.commit(batch).await.unwrap();
    let query = Query {
        max: 1,
        ..Query::default()
    };
    let page = page(&store, query).await;
    assert_eq!(page.messages[0].mid, mid);
    let stanza = Stanza::from_bytes(&page.messages[0].xml).unwrap();
    assert_eq!(stanza.id.as_deref(), Some("m1"));
    let children: Vec<&str> = stanza.children().map(|child| child.name()).collect();
    assert_eq!(children, ["retracted"]);
    remove(&store, ME, Mid::MAX, u64::MAX).await.unwrap();
    assert_eq!(measure(&store, ME).await.unwrap(), 0);
}

#[tokio::test]
async fn preferences_read_back_and_never_wins() {
    let store = store();
    let rules = Preferences {
        default: DefaultRule::Roster,
        always: vec![jid("a@x"), jid("b@x/1")],
        never: vec![jid("a@x/secret")],
    };
    let mut batch = Batch::new();
    rules.store(&mut batch, ME);
    store.commit(batch).await.unwrap();
    let read = store.reading(|snapshot| Preferences::load(snapshot, ME));
    assert_eq!(read.await.unwrap().as_ref(), Some(&rules));
    for (peer, wanted) in [
        ("a@x/any", true),
        ("a@x/secret", false),
        ("b@x/1", true),
        ("b@x/2", false),
        ("c@x", false),
    ] {
        assert_eq!(rules.want(&jid(peer), None), wanted, "{peer}");
    }
}

/// Whatever was noted and removed meanwhile, the sum is what is there.
#[tokio::test]
async fn what_is_measured_is_what_is_there() {
    let store = store();
    let there = || async {
        let all = Range::prefix(account(ME));
        let rows = store.reading(move |view| view.page(Space::LOG, &all, usize::MAX));
        let rows = rows.await.unwrap();
        let kept = rows
            .iter()
            .map(|(key, value)| kept_bytes(key, value).unwrap());
        kept.sum::<u64>()
    };
    let noted = || store.reading(|view| Noted::load(view, ME));
    let mut mids = Vec::new();
    for round in 0..3 {
        for n in 0..6 {
            let long = format!("{round}-{n}{}", "x".repeat(20_000));
            mids.push(add(&store, "a@x/1", &long, false, n == 3).await);
        }
        let old = noted().await.unwrap().note;
        assert_eq!(measure(&store, ME).await.unwrap(), there().await);
        let note = noted().await.unwrap().note;
        assert_eq!(note.through, mids[mids.len() - 1]);
        assert!(note.bytes > old.bytes);
        // Of what is noted and of what is not.
        mids.push(add(&store, "a@x/1", "one more", false, false).await);
        let upto = mids[2 * (round + 1)];
        remove(&store, ME, upto, u64::MAX).await.unwrap();
        assert_ne!(noted().await.unwrap().note, note);
        assert_eq!(measure(&store, ME).await.unwrap(), there().await);
        let from = jid("a@x");
        let original = find(&store, ME, "one more", &from).await;
        let mut batch = Batch::new();
        let stone = Element::new("retracted", ns::RETRACT);
        bury(&mut batch, ME, original.unwrap().unwrap(), stone).unwrap();
        store.commit(batch).await.unwrap();
        assert_eq!(measure(&store, ME).await.unwrap(), there().await);
    }
}

/// What was counted before something went is not noted after it.
#[tokio::test]
async fn a_count_that_a_removal_overtook_is_not_noted() {
    let store = store();
    let mid = add(&store, "a@x/1", "m", false, false).await;
    let before = store.reading(|view| Noted::load(view, ME)).await.unwrap();
    remove(&store, ME, mid, u64::MAX).await.unwrap();
    let mut batch = Batch::new();
    let mut note = before.note;
    (note.bytes, note.through) = (100, mid);
    before.replace(&mut batch, ME, note);
    let late = store.commit(batch).await;
    assert!(matches!(late, Err(CommitError::Precondition)), "{late:?}");
    assert_eq!(measure(&store, ME).await.unwrap(), 0);
}

/// What comes in as waiting and as archived, in any order, is one message of the archive.
#[tokio::test]
async fn what_is_imported_twice_counts_once() {
    let entry = |ms, keep| Entry {
        mid: Mid::first_of(ms),
        keep,
    };
    let store = store();
    let mut batch = Batch::new();
    for (ms, keep, waits) in [
        (1, true, true),
        (1, true, false),
        (2, true, false),
        (2, true, true),
        (3, true, true),
        (4, false, true),
    ] {
        let stanza = message("juliet@x", &ms.to_string(), false);
        import(
            &mut batch,
            ME,
            &jid("me@x"),
            entry(ms, keep),
            &stanza,
            ms,
            waits,
        );
    }
    store.commit(batch).await.unwrap();
    let told = measure(&store, ME).await.unwrap();
    let all = Range::prefix(account(ME));
    let rows = store.reading(move |view| view.scan(Space::LOG, &all, Direction::Forward, 10));
    let rows = rows.await.unwrap();
    assert_eq!(rows.len(), 4);
    // All but the last one.
    let archived = rows.iter().take(3).map(|(_, value)| value.len() as u64);
    assert_eq!(told, archived.sum::<u64>());
}
