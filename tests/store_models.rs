//! An arbitrary sequence of batches leaves the same contents on every engine, and the contents a plain map would have.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use waxwing::runtime::clock::Clock;
use waxwing::store::{
    Batch, CommitError, Direction, EngineKind, Options, Range, Space, Store, counter, counter_bytes,
};

const SPACES: [Space; 3] = [Space::ROSTER, Space::LOG, Space::AUDIT];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, Vec<u8>),
    Delete(usize, u8),
    DeleteRange(usize, u8),
    Add(u8, i64),
    Absent(usize, u8),
    Equals(usize, u8, Vec<u8>),
}

type Model = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

fn step() -> impl Strategy<Value = Step> {
    // Few keys and values, so that steps meet.
    let (space, key) = (0..SPACES.len(), 0..12u8);
    let value = prop_oneof![Just(Vec::new()), Just(vec![1]), Just(vec![2; 5000])];
    prop_oneof![
        6 => (space.clone(), key.clone(), value.clone()).prop_map(|(s, k, v)| Step::Put(s, k, v)),
        3 => (space.clone(), key.clone()).prop_map(|(s, k)| Step::Delete(s, k)),
        1 => (space.clone(), key.clone()).prop_map(|(s, k)| Step::DeleteRange(s, k)),
        2 => (key.clone(), -3..3i64).prop_map(|(k, by)| Step::Add(k, by)),
        1 => (space.clone(), key.clone()).prop_map(|(s, k)| Step::Absent(s, k)),
        1 => (space, key, value).prop_map(|(s, k, v)| Step::Equals(s, k, v)),
    ]
}

fn key(k: u8) -> Vec<u8> {
    vec![k / 4, k % 4]
}

fn batch(steps: &[Step]) -> Batch {
    let mut batch = Batch::new();
    for step in steps {
        match step {
            Step::Put(s, k, v) => batch.put(SPACES[*s], &key(*k), v.clone()),
            Step::Delete(s, k) => batch.delete(SPACES[*s], &key(*k)),
            Step::DeleteRange(s, k) => {
                batch.delete_range(SPACES[*s], Range::prefix(key(*k).get(..1).unwrap()))
            }
            Step::Add(k, by) => batch.add(SPACES[0], &key(*k), *by),
            Step::Absent(s, k) => batch.require_absent(SPACES[*s], &key(*k)),
            Step::Equals(s, k, v) => batch.require_equals(SPACES[*s], &key(*k), v.clone()),
        }
    }
    batch
}

/// What the batch does to the model, or why it does nothing.
fn apply(model: &mut Model, steps: &[Step]) -> Result<(), CommitError> {
    let holds = steps.iter().all(|step| match step {
        Step::Absent(s, k) => !model.contains_key(&(*s, key(*k))),
        Step::Equals(s, k, v) => model.get(&(*s, key(*k))) == Some(v),
        _ => true,
    });
    if !holds {
        return Err(CommitError::Precondition);
    }
    let mut next = model.clone();
    for step in steps {
        match step {
            Step::Put(s, k, v) => _ = next.insert((*s, key(*k)), v.clone()),
            Step::Delete(s, k) => _ = next.remove(&(*s, key(*k))),
            Step::DeleteRange(s, k) => {
                next.retain(|(space, found), _| space != s || found[0] != key(*k)[0])
            }
            Step::Add(k, by) => {
                let old = next
                    .get(&(0, key(*k)))
                    .map_or(Some(0), |value| counter(value));
                let new = old.ok_or(CommitError::Failed)? + by;
                next.insert((0, key(*k)), counter_bytes(new).to_vec());
            }
            Step::Absent(..) | Step::Equals(..) => {}
        }
    }
    *model = next;
    Ok(())
}

fn contents(store: &Store) -> Model {
    let (send, receive) = mpsc::channel();
    let read = |view: &dyn waxwing::store::Snapshot| {
        let mut all = Model::new();
        for (s, space) in SPACES.iter().enumerate() {
            for (key, value) in view.scan(*space, &Range::all(), Direction::Forward, usize::MAX)? {
                all.insert((s, key), value);
            }
        }
        Ok(all)
    };
    store.read(read, move |all| send.send(all.unwrap()).unwrap());
    receive.recv().unwrap()
}

fn wait(store: Store) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(store.close());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree(batches in proptest::collection::vec(proptest::collection::vec(step(), 0..6), 1..40), reopen in any::<bool>()) {
        let mut model = Model::new();
        let expected: Vec<_> = batches.iter().map(|steps| apply(&mut model, steps)).collect();
        for engine in [EngineKind::Memory, EngineKind::Fjall, EngineKind::Sled] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { free_space: Arc::new(|_| None), ..Options::new(engine, dir.path()) };
            let mut store = Store::open(options.clone(), Clock::system()).unwrap();
            let (send, receive) = mpsc::channel();
            for steps in &batches {
                let send = send.clone();
                store.submit(batch(steps), move |result| send.send(result.map(|_| ())).unwrap()).unwrap();
            }
            let answers: Vec<_> = receive.iter().take(batches.len()).collect();
            prop_assert_eq!(&answers, &expected, "{}", engine);
            prop_assert_eq!(contents(&store), model.clone(), "{}", engine);
            if reopen && engine != EngineKind::Memory {
                wait(store);
                store = Store::open(options, Clock::system()).unwrap();
                prop_assert_eq!(contents(&store), model.clone(), "{} reopened", engine);
            }
            wait(store);
        }
    }
}
