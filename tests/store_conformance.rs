//! One suite for every storage engine: what the store promises, whatever keeps it.

use std::ops::Bound;
use std::sync::{Arc, Mutex, mpsc};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use waxwing::runtime::clock::Clock;
use waxwing::store::{
    Batch, CommitError, Direction, EngineKind, Key, Mid, Options, Range, Rows, Space, Store,
    StoreError, counter,
};

/// A space that the store itself never writes to.
const SPACE: Space = Space::ROSTER;

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(super::Place::new(super::EngineKind::Memory)); })*
        }
        mod fjall {
            $(#[test] fn $name() { super::$name(super::Place::new(super::EngineKind::Fjall)); })*
        }
        mod sled {
            $(#[test] fn $name() { super::$name(super::Place::new(super::EngineKind::Sled)); })*
        }
    };
}

conformance!(
    reads_back_what_was_written,
    scans_in_both_directions,
    deletes_ranges_of_one_space_only,
    counts,
    checks_preconditions_one_batch_after_another,
    a_failed_batch_leaves_nothing,
    ids_rise_in_the_order_of_commits,
    empty_batches_are_barriers,
    numbers_are_never_given_twice,
    module_spaces_keep_their_number,
    refuses_what_is_too_large,
    erases_in_steps,
    a_panicking_reader_harms_nobody,
    a_closed_store_says_so,
    survives_reopening,
    the_clock_may_step_back,
);

/// A directory, and a runtime to wait in.
struct Place {
    engine: EngineKind,
    dir: TempDir,
    runtime: Runtime,
}

impl Place {
    fn new(engine: EngineKind) -> Place {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Place {
            engine,
            dir: tempfile::tempdir().unwrap(),
            runtime,
        }
    }

    fn options(&self) -> Options {
        match self.engine {
            EngineKind::Memory => Options::memory(),
            engine => Options {
                free_space: Arc::new(|_| None),
                ..Options::new(engine, self.dir.path())
            },
        }
    }

    fn open(&self) -> Store {
        Store::open(self.options(), Clock::system()).unwrap()
    }

    fn commit(&self, store: &Store, batch: Batch) -> Result<Mid, CommitError> {
        self.runtime.block_on(store.commit(batch))
    }

    fn get(&self, store: &Store, key: &'static [u8]) -> Option<Vec<u8>> {
        self.runtime
            .block_on(store.reading(move |view| view.get(SPACE, key)))
            .unwrap()
    }

    fn scan(&self, store: &Store, range: Range, direction: Direction, limit: usize) -> Rows {
        self.runtime
            .block_on(store.reading(move |view| view.scan(SPACE, &range, direction, limit)))
            .unwrap()
    }

    fn close(&self, store: Store) {
        self.runtime.block_on(store.close());
    }
}

fn put(key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(SPACE, key, value);
    batch
}

fn keys(rows: &Rows) -> Vec<&str> {
    rows.iter()
        .map(|(key, _)| std::str::from_utf8(key).unwrap())
        .collect()
}

fn reads_back_what_was_written(place: Place) {
    let store = place.open();
    let mut batch = put(b"a", b"1");
    batch.put(SPACE, b"b", b"".as_slice());
    batch.put(SPACE, b"", b"empty key".as_slice());
    batch.put(SPACE, b"a", b"2".as_slice());
    batch.put(SPACE, b"gone", b"x".as_slice());
    batch.delete(SPACE, b"gone");
    batch.put(Space::LOG, b"a", vec![7; 100_000]);
    batch.put(Space::AUDIT, b"a", b"log".as_slice());
    place.commit(&store, batch).unwrap();
    assert_eq!(place.get(&store, b"a").as_deref(), Some(b"2".as_slice()));
    assert_eq!(place.get(&store, b"b").as_deref(), Some(b"".as_slice()));
    assert_eq!(
        place.get(&store, b"").as_deref(),
        Some(b"empty key".as_slice())
    );
    assert_eq!(place.get(&store, b"gone"), None);
    let others = place.runtime.block_on(store.reading(|view| {
        Ok((
            view.get(Space::LOG, b"a")?,
            view.multi_get(Space::AUDIT, &[b"x", b"a"])?,
        ))
    }));
    assert_eq!(
        others.unwrap(),
        (Some(vec![7; 100_000]), vec![None, Some(b"log".to_vec())])
    );
    place.close(store);
}

fn scans_in_both_directions(place: Place) {
    let store = place.open();
    let mut batch = Batch::new();
    for key in ["a", "b1", "b2", "b3", "c"] {
        batch.put(SPACE, key.as_bytes(), key.as_bytes());
    }
    batch.put(Space(SPACE.0 - 1), b"b0", b"another space".as_slice());
    batch.put(Space(SPACE.0 + 1), b"b9", b"another space".as_slice());
    place.commit(&store, batch).unwrap();
    let scan = |range, direction, limit| place.scan(&store, range, direction, limit);
    use Direction::{Backward, Forward};
    assert_eq!(
        keys(&scan(Range::all(), Forward, 9)),
        ["a", "b1", "b2", "b3", "c"]
    );
    assert_eq!(keys(&scan(Range::all(), Backward, 2)), ["c", "b3"]);
    assert_eq!(keys(&scan(Range::prefix("b"), Forward, 2)), ["b1", "b2"]);
    assert_eq!(
        keys(&scan(Range::prefix("b").after("b1"), Forward, 9)),
        ["b2", "b3"]
    );
    assert_eq!(
        keys(&scan(Range::prefix("b").before("b3"), Backward, 9)),
        ["b2", "b1"]
    );
    assert_eq!(
        keys(&scan(
            Range::between(
                Bound::Included(Key::from("b3")),
                Bound::Included(Key::from("c"))
            ),
            Forward,
            9
        )),
        ["b3", "c"]
    );
    assert!(scan(Range::prefix("b").after("x"), Forward, 9).is_empty());
    assert!(scan(Range::all(), Forward, 0).is_empty());
    place.close(store);
}

fn deletes_ranges_of_one_space_only(place: Place) {
    let store = place.open();
    let mut batch = put(b"a1", b"");
    for (space, key) in [(SPACE, "a2"), (SPACE, "b"), (Space(SPACE.0 + 1), "a1")] {
        batch.put(space, key.as_bytes(), b"".as_slice());
    }
    place.commit(&store, batch).unwrap();
    let mut batch = put(b"a3", b"");
    batch.delete_range(SPACE, Range::prefix("a"));
    batch.put(SPACE, b"a4", b"".as_slice());
    place.commit(&store, batch).unwrap();
    assert_eq!(
        keys(&place.scan(&store, Range::all(), Direction::Forward, 9)),
        ["a4", "b"]
    );
    let other = place
        .runtime
        .block_on(store.reading(|view| view.get(Space(SPACE.0 + 1), b"a1")));
    assert!(other.unwrap().is_some());
    place.close(store);
}

fn counts(place: Place) {
    let store = place.open();
    let add = |by| {
        let mut batch = Batch::new();
        batch.add(SPACE, b"n", by);
        batch.add(SPACE, b"n", by);
        batch
    };
    let (send, receive) = mpsc::channel();
    for by in [1, 2, 3, -10] {
        let send = send.clone();
        store
            .submit(add(by), move |result| send.send(result).unwrap())
            .unwrap();
    }
    assert!(receive.iter().take(4).all(|result| result.is_ok()));
    assert_eq!(counter(&place.get(&store, b"n").unwrap()), Some(-8));
    place.commit(&store, add(i64::MAX)).unwrap();
    assert_eq!(counter(&place.get(&store, b"n").unwrap()), Some(i64::MAX));
    place.commit(&store, put(b"n", b"no counter")).unwrap();
    assert_eq!(place.commit(&store, add(1)), Err(CommitError::Failed));
    place.close(store);
}

fn checks_preconditions_one_batch_after_another(place: Place) {
    let store = place.open();
    let results = Arc::new(Mutex::new(Vec::new()));
    let claim = |value: &[u8]| {
        let mut batch = put(b"name", value);
        batch.require_absent(SPACE, b"name");
        batch
    };
    let swap = |from: &[u8], to: &[u8]| {
        let mut batch = put(b"name", to);
        batch.require_equals(SPACE, b"name", from);
        batch
    };
    for batch in [
        claim(b"1"),
        claim(b"2"),
        swap(b"2", b"3"),
        swap(b"1", b"4"),
        swap(b"4", b"5"),
    ] {
        let results = results.clone();
        store
            .submit(batch, move |result| {
                results.lock().unwrap().push(result.map(|_| ()))
            })
            .unwrap();
    }
    place.commit(&store, Batch::new()).unwrap();
    let refused = Err(CommitError::Precondition);
    assert_eq!(
        *results.lock().unwrap(),
        [Ok(()), refused, refused, Ok(()), Ok(())]
    );
    assert_eq!(place.get(&store, b"name").as_deref(), Some(b"5".as_slice()));
    place.close(store);
}

fn a_failed_batch_leaves_nothing(place: Place) {
    let store = place.open();
    place.commit(&store, put(b"text", b"no counter")).unwrap();
    let mut batch = put(b"other", b"x");
    batch.add(SPACE, b"text", 1);
    assert_eq!(place.commit(&store, batch), Err(CommitError::Failed));
    assert_eq!(place.get(&store, b"other"), None);
    place.close(store);
}

fn ids_rise_in_the_order_of_commits(place: Place) {
    let store = place.open();
    let seen = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for writer in 0..4u64 {
            let (store, seen) = (&store, &seen);
            scope.spawn(move || {
                for _ in 0..100 {
                    let mut batch = Batch::new();
                    batch.append(Space::LOG, &Key::new().u64(writer), b"message".as_slice());
                    let seen = seen.clone();
                    while let Err(CommitError::Full) = store.submit(batch.clone(), {
                        let seen = seen.clone();
                        move |result| seen.lock().unwrap().push(result.unwrap())
                    }) {}
                }
            });
        }
    });
    place.commit(&store, Batch::new()).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 400);
    assert!(
        seen.is_sorted_by(|a, b| a < b),
        "callbacks come in the order of ids"
    );
    let rows = place
        .runtime
        .block_on(
            store.reading(|view| view.scan(Space::LOG, &Range::all(), Direction::Forward, 1000)),
        )
        .unwrap();
    let mut stored: Vec<Mid> = rows
        .iter()
        .map(|(key, _)| Mid::from_bytes(key[8..].try_into().unwrap()))
        .collect();
    stored.sort();
    assert_eq!(stored, *seen);
    place.close(store);
}

fn empty_batches_are_barriers(place: Place) {
    let store = place.open();
    let syncs = store.stats().syncs;
    let order = Arc::new(Mutex::new(Vec::new()));
    for (n, batch) in [put(b"a", b"").relaxed(), Batch::new()]
        .into_iter()
        .enumerate()
    {
        let order = order.clone();
        store
            .submit(batch, move |result| {
                order.lock().unwrap().push((n, result.is_ok()))
            })
            .unwrap();
    }
    place.commit(&store, Batch::new()).unwrap();
    assert_eq!(*order.lock().unwrap(), [(0, true), (1, true)]);
    assert_eq!(
        store.stats().syncs,
        syncs,
        "neither relaxed batches nor barriers sync"
    );
    place.commit(&store, put(b"b", b"")).unwrap();
    assert_eq!(store.stats().syncs, syncs + 1);
    place.commit(&store, put(b"c", b"").relaxed()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2200));
    assert_eq!(
        store.stats().syncs,
        syncs + 2,
        "relaxed writes are synced after a second"
    );
    place.close(store);
}

fn numbers_are_never_given_twice(place: Place) {
    let store = place.open();
    assert_eq!(
        (
            store.allocate("uid"),
            store.allocate("uid"),
            store.allocate("rid")
        ),
        (1, 2, 1)
    );
    place.commit(&store, put(b"a", b"")).unwrap();
    place.close(store);
    if place.engine != EngineKind::Memory {
        let store = place.open();
        assert!(store.allocate("uid") > 2);
        place.close(store);
    }
}

fn module_spaces_keep_their_number(place: Place) {
    let store = place.open();
    let (a, b) = (store.space("a", 1).unwrap(), store.space("b", 1).unwrap());
    assert_eq!((a, b), (Space(0xc0), Space(0xc1)));
    place.close(store);
    if place.engine != EngineKind::Memory {
        let store = place.open();
        assert_eq!(store.space("b", 1).unwrap(), b);
        assert!(matches!(
            store.space("a", 2),
            Err(StoreError::SpaceVersion { .. })
        ));
        assert_eq!(store.spaces(), [("a".to_owned(), a), ("b".to_owned(), b)]);
        place.close(store);
    }
}

fn refuses_what_is_too_large(place: Place) {
    let store = place.open();
    assert_eq!(
        place.commit(&store, put(&[1; 20_000], b"")),
        Err(CommitError::TooLarge)
    );
    assert_eq!(
        place.commit(&store, put(b"a", &vec![0; 5 << 20])),
        Err(CommitError::TooLarge)
    );
    assert!(
        place
            .commit(
                &store,
                put(&[1; waxwing::store::MAX_KEY], &vec![0; 3 << 20])
            )
            .is_ok()
    );
    place.close(store);
}

fn erases_in_steps(place: Place) {
    let store = place.open();
    for chunk in 0..5u64 {
        let mut batch = Batch::new();
        for n in 0..500 {
            batch.put(SPACE, &Key::new().u64(1).u64(chunk).u64(n), b"".as_slice());
        }
        place.commit(&store, batch.relaxed()).unwrap();
    }
    place.commit(&store, put(&Key::new().u64(2), b"")).unwrap();
    let erased = place
        .runtime
        .block_on(store.erase(SPACE, Range::prefix(Key::new().u64(1))));
    assert_eq!(erased, Ok(2500));
    assert_eq!(
        place
            .scan(&store, Range::all(), Direction::Forward, 9)
            .len(),
        1
    );
    place.close(store);
}

fn a_panicking_reader_harms_nobody(place: Place) {
    let store = place.open();
    for _ in 0..4 {
        let read = place
            .runtime
            .block_on(store.reading(|_| -> Result<(), _> { panic!("on purpose") }));
        assert!(matches!(read, Err(StoreError::Panicked(text)) if text == "on purpose"));
        store
            .submit(Batch::new(), |_| panic!("on purpose"))
            .unwrap();
    }
    place.commit(&store, put(b"a", b"1")).unwrap();
    assert_eq!(place.get(&store, b"a").as_deref(), Some(b"1".as_slice()));
    place.close(store);
}

fn a_closed_store_says_so(place: Place) {
    let store = place.open();
    let (send, receive) = mpsc::channel();
    store
        .submit(put(b"a", b"1"), move |result| send.send(result).unwrap())
        .unwrap();
    place.runtime.block_on(store.close());
    assert!(
        receive.recv().unwrap().is_ok(),
        "what was queued is committed"
    );
    assert_eq!(
        place.commit(&store, put(b"b", b"")),
        Err(CommitError::Closed)
    );
    let read = place
        .runtime
        .block_on(store.reading(|view| view.get(SPACE, b"a")));
    assert!(matches!(read, Err(StoreError::Closed)));
}

fn survives_reopening(place: Place) {
    if place.engine == EngineKind::Memory {
        return;
    }
    let mut last = Mid::MIN;
    for round in 0..3u64 {
        let store = place.open();
        for n in 0..round {
            let value = place
                .runtime
                .block_on(store.reading(move |view| view.get(SPACE, &Key::new().u64(n))));
            assert_eq!(value.unwrap(), Some(vec![n as u8; 5000]));
        }
        let mid = place
            .commit(&store, put(&Key::new().u64(round), &[round as u8; 5000]))
            .unwrap();
        assert!(mid > last);
        last = mid;
        // Every other time the handle is only dropped.
        if round % 2 == 0 {
            place.close(store)
        } else {
            drop(store)
        }
    }
}

fn the_clock_may_step_back(place: Place) {
    let (clock, hand) = Clock::manual();
    let store = Store::open(place.options(), clock.clone()).unwrap();
    let before = place.commit(&store, put(b"a", b"")).unwrap();
    hand.step_wall(-86_400_000);
    let after = place.commit(&store, put(b"a", b"")).unwrap();
    assert!(after > before);
    place.close(store);
    if place.engine != EngineKind::Memory {
        let store = Store::open(place.options(), clock).unwrap();
        assert!(place.commit(&store, put(b"a", b"")).unwrap() > after);
        place.close(store);
    }
}
