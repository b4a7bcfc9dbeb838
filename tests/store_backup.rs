//! Backups of a store: they hold one moment of it, and a new store comes from all of one or from nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use waxwing::runtime::clock::Clock;
use waxwing::store::{
    BackupError, Batch, Copied, Direction, EngineKind, OpenError, Options, Range, Snapshot, Space,
    Store, backup, copy, restore,
};

const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Sled];

fn options(engine: EngineKind, path: &Path) -> Options {
    Options {
        free_space: Arc::new(|_| None),
        ..Options::new(engine, path)
    }
}

fn open(engine: EngineKind, path: &Path) -> Store {
    Store::open(options(engine, path), Clock::system()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

type Contents = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// Everything in a view but what the store keeps about itself.
fn contents(view: &dyn Snapshot) -> Contents {
    let mut contents = Contents::new();
    for space in Space::all().filter(|space| *space != Space::META) {
        let rows = view.scan(space, &Range::all(), Direction::Forward, usize::MAX);
        contents.extend(rows.unwrap().into_iter().map(|(k, v)| ((space.0, k), v)));
    }
    contents
}

fn all(store: &Store) -> Contents {
    contents(&store.frozen().unwrap())
}

/// Fills a store with records of many sizes in several spaces, and takes numbers from its sequences.
fn fill(store: &Store, runtime: &tokio::runtime::Runtime) {
    let module = store.space("something", 3).unwrap();
    for n in 0..40u32 {
        let mut batch = Batch::new();
        for space in [Space::ACCOUNT, Space::ROSTER, Space::KEY_LEAF, module] {
            batch.put(space, &n.to_be_bytes(), vec![n as u8; n as usize * 50]);
        }
        batch.append(Space::LOG, &n.to_be_bytes(), vec![7; 9000]);
        batch.delete(Space::ACCOUNT, &(n / 2).to_be_bytes());
        runtime.block_on(store.commit(batch)).unwrap();
    }
    store.allocate("account");
    runtime.block_on(store.commit(put(b"numbered"))).unwrap();
}

fn backed_up(store: &Store) -> Vec<u8> {
    let mut file = Vec::new();
    backup(&store.frozen().unwrap(), &mut file, None, |_| true).unwrap();
    file
}

#[test]
fn a_backup_becomes_a_store_of_either_engine() {
    for from in ENGINES {
        for to in ENGINES {
            let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (place, runtime) = (new.path().join("store"), runtime());
            let store = open(from, old.path());
            fill(&store, &runtime);
            let (before, file) = (all(&store), backed_up(&store));
            drop(store);

            let restored = restore(file.as_slice(), &options(to, &place), |_| true).unwrap();
            assert!(restored.records > 180);
            let store = open(to, &place);
            assert_eq!(all(&store), before);
            assert!(store.allocate("account") > 1, "a number twice");
            assert!(store.space("something", 3).is_ok());
            assert!(store.space("something", 4).is_err());
        }
    }
}

#[test]
fn a_backup_is_one_moment_while_others_write() {
    for engine in ENGINES {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let store = open(engine, folder.path());
        fill(&store, &runtime);
        let pair = |n: u32| {
            let mut batch = Batch::new();
            for space in [Space::META, Space::ROSTER, Space::LOG, Space::EXPIRY] {
                batch.put(space, b"pair", n.to_be_bytes());
                batch.delete(space, &(n + 1).to_be_bytes());
                batch.put(space, &n.to_be_bytes(), vec![n as u8; 100]);
            }
            batch
        };
        runtime.block_on(store.commit(pair(0))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (store, stop) = (store.clone(), stop.clone());
            std::thread::spawn(move || {
                let runtime = self::runtime();
                let mut n = 1;
                while !stop.load(SeqCst) {
                    runtime.block_on(store.commit(pair(n % 30))).unwrap();
                    n += 1;
                }
            })
        };
        let acknowledged = runtime.block_on(store.commit(put(b"acknowledged"))).is_ok();
        for _ in 0..5 {
            let frozen = store.frozen().unwrap();
            let before = contents(&frozen);
            let mut file = Vec::new();
            backup(&frozen, &mut file, Some(2 << 20), |_| true).unwrap();
            drop(frozen);
            let other = tempfile::tempdir().unwrap();
            let place = options(EngineKind::Fjall, &other.path().join("store"));
            restore(file.as_slice(), &place, |_| true).unwrap();
            let restored = all(&open(EngineKind::Fjall, &place.path));
            assert_eq!(restored, before);
            let seen = |space: Space| restored.get(&(space.0, b"pair".to_vec()));
            assert_eq!(seen(Space::ROSTER), seen(Space::EXPIRY));
            assert_eq!(seen(Space::ROSTER), seen(Space::LOG));
            let key = (Space::ROSTER.0, b"acknowledged".to_vec());
            assert!(acknowledged && restored.contains_key(&key));
        }
        stop.store(true, SeqCst);
        writer.join().unwrap();
    }
}

fn put(key: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::ROSTER, key, b"x".as_slice());
    batch
}

#[test]
fn nothing_is_half_restored() {
    let (old, new, runtime) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        runtime(),
    );
    let store = open(EngineKind::Fjall, old.path());
    fill(&store, &runtime);
    let file = backed_up(&store);
    let place = new.path().join("store");
    let wanted = options(EngineKind::Fjall, &place);
    let empty = || std::fs::read_dir(new.path()).unwrap().next().is_none();

    for part in 1..16 {
        let cut = &file[..file.len() * part / 16];
        let error = restore(cut, &wanted, |_| true).unwrap_err();
        assert!(matches!(error, BackupError::CutOff { .. }), "{error}");
        assert!(empty());
    }
    let mut altered = file.clone();
    let at = file.len() - 300;
    altered[at] ^= 4;
    let error = restore(altered.as_slice(), &wanted, |_| true).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    let stopped = restore(file.as_slice(), &wanted, |_| false).unwrap_err();
    assert!(matches!(stopped, BackupError::Interrupted));
    assert!(empty());

    restore(file.as_slice(), &wanted, |_| true).unwrap();
    let again = restore(file.as_slice(), &wanted, |_| true).unwrap_err();
    let again = again.to_string();
    assert!(again.contains("is not empty"), "{again}");
    assert_eq!(all(&open(EngineKind::Fjall, &place)), all(&store));
}

/// The directory of a store that was lost is where it is restored to.
#[test]
fn a_store_that_is_gone_is_restored_in_its_place() {
    let (old, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let place = old.path().join("store");
    let store = open(EngineKind::Fjall, &place);
    fill(&store, &runtime);
    let (before, file) = (all(&store), backed_up(&store));
    drop(store);
    std::fs::remove_dir_all(place.join("fjall")).unwrap();
    let gone = Store::open(options(EngineKind::Fjall, &place), Clock::system()).unwrap_err();
    assert!(matches!(gone, OpenError::Gone { .. }));
    restore(file.as_slice(), &options(EngineKind::Fjall, &place), |_| {
        true
    })
    .unwrap();
    assert_eq!(all(&open(EngineKind::Fjall, &place)), before);
}

#[test]
fn a_closing_store_does_not_wait_for_a_backup() {
    for engine in ENGINES {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let store = open(engine, folder.path());
        fill(&store, &runtime);
        let frozen = store.frozen().unwrap();
        let (started, wait) = std::sync::mpsc::channel();
        let working = std::thread::spawn(move || {
            let tell = |_: Copied| {
                let _ = started.send(());
                std::thread::sleep(std::time::Duration::from_millis(5));
                true
            };
            let ended = backup(&frozen, std::io::sink(), Some(1 << 10), tell);
            drop(frozen);
            ended
        });
        wait.recv().unwrap();
        runtime.block_on(store.close());
        assert!(matches!(
            working.join().unwrap(),
            Err(BackupError::Store(_))
        ));
        drop(store);
        open(engine, folder.path());
    }
}

#[test]
fn compacting_and_copying_change_nothing() {
    for engine in ENGINES {
        let (old, new, runtime) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            runtime(),
        );
        let store = open(engine, old.path());
        fill(&store, &runtime);
        let before = all(&store);
        assert_eq!(store.compact().unwrap(), engine == EngineKind::Fjall);
        assert_eq!(all(&store), before);
        drop(store);
        let to = options(EngineKind::Sled, &new.path().join("store"));
        let mut told = Copied::default();
        let copied = copy(&options(engine, old.path()), &to, |now| told = now).unwrap();
        assert_eq!(copied, told);
        assert_eq!(all(&open(EngineKind::Sled, &to.path)), before);
    }
}
