//! Opening what is not right says what happened, where, and what to do; it never panics, and never begins anew in silence.

use crate::store_faults::{close, commit, pair, pairs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use waxwing::runtime::clock::Clock;
use waxwing::store::testing::{Faulty, memory};
use waxwing::store::{
    Batch, Direction, EngineKind, Key, OpenError, Options, Range, Space, Store, StoreError, copy,
};

const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Sled];

fn options(engine: EngineKind, path: &Path) -> Options {
    Options {
        free_space: Arc::new(|_| None),
        ..Options::new(engine, path)
    }
}

fn open(engine: EngineKind, path: &Path) -> Result<Store, OpenError> {
    Store::open(options(engine, path), Clock::system())
}

/// A store with some content, closed.
fn filled(engine: EngineKind, path: &Path) {
    let store = open(engine, path).unwrap();
    (0..50).for_each(|n| commit(&store, pair(n)).unwrap());
    let mut batch = Batch::new();
    for n in 0..3000u64 {
        batch.put(
            Space::LOG,
            &Key::new().u64(1_000_000 + n),
            vec![n as u8; 600],
        );
        batch.put(
            Space::UNDELIVERED,
            &Key::new().u64(1_000_000 + n),
            vec![n as u8; 600],
        );
    }
    commit(&store, batch).unwrap();
    close(store);
}

#[test]
fn a_store_is_open_once() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = open(engine, dir.path()).unwrap();
        let error = open(engine, dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }));
        assert!(
            error
                .to_string()
                .contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
        close(store);
        close(open(engine, dir.path()).unwrap());
    }
}

#[test]
fn another_engine_is_refused() {
    for (made, wanted) in [
        (EngineKind::Fjall, EngineKind::Sled),
        (EngineKind::Sled, EngineKind::Fjall),
    ] {
        let dir = tempfile::tempdir().unwrap();
        close(open(made, dir.path()).unwrap());
        for half_made in [false, true] {
            if half_made {
                std::fs::remove_file(dir.path().join("ENGINE")).unwrap();
            }
            let error = open(wanted, dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::OtherEngine { .. }), "{error}");
            assert!(error.to_string().contains("waxwing store copy"), "{error}");
        }
        close(open(made, dir.path()).unwrap());
    }
}

#[test]
fn data_that_has_gone_is_missed() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        filled(engine, dir.path());
        std::fs::remove_dir_all(dir.path().join(engine.name())).unwrap();
        let error = open(engine, dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Gone { .. }), "{error}");
    }
}

#[test]
fn a_directory_that_is_none_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(EngineKind::Fjall, file.path()).unwrap_err();
    assert!(
        error.to_string().contains(file.path().to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn a_newer_schema_is_refused() {
    let engine = memory();
    // The schema's own key is written with a batch like any other.
    let store = Store::with_engine(engine.clone(), Options::memory(), Clock::system()).unwrap();
    let mut batch = Batch::new();
    batch.put(Space::META, b"schema", 99u32.to_be_bytes().as_slice());
    commit(&store, batch).unwrap();
    close(store);
    let error = Store::with_engine(engine, Options::memory(), Clock::system()).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_record_is_never_returned() {
    let engine = memory();
    let store = Store::with_engine(
        Arc::new(Faulty::new(engine.clone())),
        Options::memory(),
        Clock::system(),
    )
    .unwrap();
    commit(&store, pair(1)).unwrap();
    let key = Key::new().u8(Space::LOG.0).u64(1);
    let mut sealed = engine
        .snapshot()
        .unwrap()
        .get(Space::LOG, &key[1..])
        .unwrap()
        .unwrap();
    sealed[3] ^= 1;
    engine
        .write(
            &[waxwing::store::RawOp {
                key: key.clone(),
                value: Some(sealed),
            }],
            true,
        )
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for scan in [false, true] {
        let read = runtime.block_on(store.reading(move |view| {
            match scan {
                true => view
                    .scan(Space::LOG, &Range::all(), Direction::Forward, 9)
                    .map(|_| ()),
                false => view.get(Space::LOG, &Key::new().u64(1)).map(|_| ()),
            }
        }));
        assert!(
            matches!(&read, Err(StoreError::Damaged { key: found }) if *found == key),
            "{read:?}"
        );
    }
    assert_eq!(store.stats().damaged, 2);
    // Nor does a precondition trust it.
    let mut batch = pair(2);
    batch.require_absent(Space::LOG, &Key::new().u64(1));
    assert!(commit(&store, batch).is_err());
    close(store);
}

/// Every file below a directory.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn copy_all(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Damages one file after the other: the store refuses to open, or a read says so, or what is read is right.
#[test]
fn damage_is_seen_or_does_no_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let (whole, victim) = (dir.path().join("whole"), dir.path().join("victim"));
        filled(engine, &whole);
        let (mut refused, mut seen, mut harmless) = (0, 0, 0);
        for (n, file) in files(&whole.join(engine.name())).iter().enumerate() {
            let Some(length) = std::fs::metadata(file)
                .ok()
                .map(|meta| meta.len() as usize)
                .filter(|&length| length > 0)
            else {
                continue;
            };
            let _ = std::fs::remove_dir_all(&victim);
            copy_all(&whole, &victim);
            let path = victim.join(file.strip_prefix(&whole).unwrap());
            let mut bytes = std::fs::read(&path).unwrap();
            let used = bytes
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(length, |at| at + 1);
            bytes[(n * 7919 + used / 2) % used] ^= 0x55;
            std::fs::write(&path, bytes).unwrap();
            match open(engine, &victim) {
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains(victim.to_str().unwrap()) && text.contains("restore"),
                        "{text}"
                    );
                    refused += 1;
                }
                Ok(store) => {
                    let rows = runtime.block_on(store.reading(|view| {
                        view.scan(Space::LOG, &Range::all(), Direction::Forward, usize::MAX)
                    }));
                    match rows {
                        Ok(rows) => {
                            harmless += 1;
                            let right = |(key, value): &(Vec<u8>, Vec<u8>)| {
                                let n = u64::from_be_bytes(key.as_slice().try_into().unwrap());
                                if n < 1000 {
                                    **value == n.to_be_bytes()
                                } else {
                                    *value == vec![(n - 1_000_000) as u8; 600]
                                }
                            };
                            assert!(rows.iter().all(right));
                        }
                        Err(_) => seen += 1,
                    }
                    close(store);
                }
            }
        }
        println!("{engine}: {refused} refused, {seen} seen when read, {harmless} harmless");
    }
}

#[test]
fn a_store_moves_between_engines() {
    for (from, to) in [
        (EngineKind::Fjall, EngineKind::Sled),
        (EngineKind::Sled, EngineKind::Fjall),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let store = open(from, &old).unwrap();
        (0..1200).for_each(|n| store.submit(pair(n), |_| {}).map(|_| ()).unwrap());
        let uid = store.allocate("uid");
        let last = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(store.commit(pair(1200)))
            .unwrap();
        close(store);
        let copied = copy(&options(from, &old), &options(to, &new), |_| ()).unwrap();
        assert!(copied.records > 2402);
        let store = open(to, &new).unwrap();
        assert_eq!(pairs(&store), (0..=1200).collect::<Vec<_>>());
        assert!(store.allocate("uid") > uid, "sequences come along");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert!(
            runtime.block_on(store.commit(pair(1201))).unwrap() > last,
            "ids go on where they were"
        );
        close(store);
        assert!(matches!(
            copy(&options(from, &old), &options(to, &new), |_| ()),
            Err(OpenError::NotEmpty { .. })
        ));
        close(open(from, &old).unwrap());
    }
}
