//! Failing writes, failing syncs, full disks: nothing acknowledged is lost, nothing is torn, and the store comes back.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use waxwing::runtime::clock::Clock;
use waxwing::store::testing::{Faulty, memory};
use waxwing::store::{
    Batch, CommitError, Direction, EngineError, EngineKind, Key, Options, Range, Space, Store,
};

/// Two records that must both be there or both not.
pub fn pair(n: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::LOG, &Key::new().u64(n), n.to_be_bytes().as_slice());
    batch.put(
        Space::UNDELIVERED,
        &Key::new().u64(n),
        n.to_be_bytes().as_slice(),
    );
    batch
}

/// The numbers for which [`pair`] is there, having checked that none is torn.
pub fn pairs(store: &Store) -> Vec<u64> {
    let (send, receive) = mpsc::channel();
    let read = |view: &dyn waxwing::store::Snapshot| {
        let all = |space| view.scan(space, &Range::all(), Direction::Forward, usize::MAX);
        Ok((all(Space::LOG)?, all(Space::UNDELIVERED)?))
    };
    store.read(read, move |rows| send.send(rows.unwrap()).unwrap());
    let (log, marks) = receive.recv().unwrap();
    assert_eq!(log, marks, "a batch is torn");
    log.into_iter()
        .map(|(key, _)| u64::from_be_bytes(key.try_into().unwrap()))
        .collect()
}

pub fn commit(store: &Store, batch: Batch) -> Result<(), CommitError> {
    let (send, receive) = mpsc::channel();
    store.submit(batch, move |result| send.send(result.map(|_| ())).unwrap())?;
    receive.recv().unwrap()
}

/// Commits until it works again.
fn commit_at_last(store: &Store, n: u64) {
    let began = Instant::now();
    while let Err(error) = commit(store, pair(n)) {
        assert_eq!(error, CommitError::ReadOnly);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the store did not come back"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn close(store: Store) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(store.close());
}

#[test]
fn any_single_write_may_be_refused() {
    const BATCHES: u64 = 12;
    for failing in 1..=BATCHES {
        let inner = memory();
        let faulty = Arc::new(Faulty::new(inner.clone()));
        let store = Store::with_engine(faulty.clone(), Options::memory(), Clock::system()).unwrap();
        faulty.fail(failing, EngineError::Refused("injected".to_owned()));
        let acknowledged: Vec<u64> = (0..BATCHES)
            .filter(|&n| commit(&store, pair(n)).is_ok())
            .collect();
        assert_eq!(
            acknowledged.len() as u64,
            BATCHES - 1,
            "exactly one write fails, at {failing}"
        );
        assert_eq!(pairs(&store), acknowledged);
        // A number taken in the failed group is not given again.
        assert_eq!(store.allocate("uid"), 1);
        commit(&store, pair(99)).unwrap();
        close(store);
        let store = Store::with_engine(inner, Options::memory(), Clock::system()).unwrap();
        assert!(store.allocate("uid") > 1);
        close(store);
    }
}

#[test]
fn a_number_taken_before_a_refused_write_is_kept_for_the_next() {
    let inner = memory();
    let faulty = Arc::new(Faulty::new(inner.clone()));
    let store = Store::with_engine(faulty.clone(), Options::memory(), Clock::system()).unwrap();
    faulty.fail(1, EngineError::Refused("injected".to_owned()));
    let taken = store.allocate("uid");
    assert_eq!(commit(&store, pair(1)), Err(CommitError::Failed));
    commit(&store, pair(2)).unwrap();
    close(store);
    let store = Store::with_engine(inner, Options::memory(), Clock::system()).unwrap();
    assert!(store.allocate("uid") > taken);
    close(store);
}

#[test]
fn a_failed_sync_is_fatal() {
    let faulty = Arc::new(Faulty::new(memory()));
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let fatal = {
        let reasons = reasons.clone();
        Arc::new(move |reason: &str| reasons.lock().unwrap().push(reason.to_owned()))
    };
    let store = Store::with_engine(
        faulty.clone(),
        Options {
            fatal,
            ..Options::memory()
        },
        Clock::system(),
    )
    .unwrap();
    commit(&store, pair(1)).unwrap();
    faulty.fail(1, EngineError::Sync("the medium is gone".to_owned()));
    assert_eq!(commit(&store, pair(2)), Err(CommitError::Failed));
    assert_eq!(
        *reasons.lock().unwrap(),
        ["a write or sync failed: the medium is gone"]
    );
    assert!(
        matches!(
            commit(&store, pair(3)),
            Err(CommitError::Closed | CommitError::ReadOnly)
        ),
        "nothing goes on after it"
    );
}

#[test]
fn a_full_disk_is_waited_out() {
    let faulty = Arc::new(Faulty::new(memory()));
    let store = Store::with_engine(faulty.clone(), Options::memory(), Clock::system()).unwrap();
    faulty.fail(1, EngineError::Ailing("no space left on device".to_owned()));
    assert_eq!(commit(&store, pair(1)), Err(CommitError::ReadOnly));
    assert!(store.read_only());
    assert_eq!(commit(&store, pair(2)), Err(CommitError::ReadOnly));
    assert!(pairs(&store).is_empty(), "reading goes on");
    commit_at_last(&store, 3);
    assert!(!store.read_only());
    assert_eq!(pairs(&store), [3]);
    close(store);
}

#[test]
fn the_reserve_turns_the_store_read_only_and_back() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let free_space = {
        let free = free.clone();
        Arc::new(move |_: &std::path::Path| Some(free.load(SeqCst)))
    };
    let options = Options {
        free_space,
        reserve_bytes: 1000,
        ..Options::memory()
    };
    let store = Store::open(options, Clock::system()).unwrap();
    commit(&store, pair(1)).unwrap();
    free.store(999, SeqCst);
    let began = Instant::now();
    while !store.read_only() {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(commit(&store, pair(2)), Err(CommitError::ReadOnly));
    assert_eq!(commit(&store, Batch::new()), Ok(()), "barriers pass");
    let mut removal = Batch::new();
    removal.delete(Space::LOG, &Key::new().u64(1));
    removal.delete(Space::UNDELIVERED, &Key::new().u64(1));
    assert_eq!(commit(&store, removal), Ok(()), "removing passes");
    let mut removal = Batch::new().making_room();
    removal.put(Space::ERASURE, b"mark", Vec::new());
    assert_eq!(commit(&store, removal), Ok(()), "what belongs to it passes");
    assert_eq!(store.stats().free_bytes, 999);
    free.store(1001, SeqCst);
    std::thread::sleep(Duration::from_millis(1200));
    assert!(store.read_only(), "it does not flap");
    free.store(2000, SeqCst);
    commit_at_last(&store, 3);
    assert_eq!(pairs(&store), [3]);
    close(store);
}

#[test]
fn a_full_queue_says_so_and_pressure_passes() {
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    // Keeps the committer in a callback.
    store
        .submit(pair(0), move |_| gate.lock().unwrap().recv().unwrap())
        .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut queued = 0;
    let error = loop {
        match store.submit(pair(queued), |_| {}) {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, queued), (CommitError::Full, 4096));
    assert!(store.pressure());
    release.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store.relieved());
    assert_eq!(
        runtime.block_on(store.commit(pair(5000))).map(|_| ()),
        Ok(())
    );
    assert_eq!(pairs(&store).len(), 4097);
    close(store);
}

/// A small file system of its own, or `None` where the test may not mount one.
pub struct Disk(pub tempfile::TempDir);

impl Disk {
    pub fn mount(megabytes: u64) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={megabytes}m")).unwrap();
        let mounted = rustix::mount::mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            Some(options.as_c_str()),
        );
        match mounted {
            Ok(()) => Some(Disk(dir)),
            Err(error) => {
                eprintln!(
                    "SKIPPED: a full disk needs a file system of its own, and mounting one failed: {error}"
                );
                None
            }
        }
    }

    /// Fills the disk up to `left` bytes.
    pub fn fill(&self, left: u64) {
        let stat = rustix::fs::statvfs(self.0.path()).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        // Tables and journals come and go meanwhile, so it may be full before the count says so.
        let _ = std::fs::write(
            self.0.path().join("ballast"),
            vec![1; free.saturating_sub(left) as usize],
        );
    }

    pub fn empty(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Without a reserve, so that the engine itself meets the end of the disk. (sled ends the process then, see store_crash.)
#[test]
fn a_really_full_disk_loses_nothing() {
    let Some(disk) = Disk::mount(160) else { return };
    let fatal = Arc::new(|reason: &str| panic!("a full disk ended the process: {reason}"));
    let options = Options {
        reserve_bytes: 0,
        fatal,
        ..Options::new(EngineKind::Fjall, disk.0.path().join("store"))
    };
    let store = Store::open(options.clone(), Clock::system()).unwrap();
    let mut acknowledged = Vec::new();
    let mut n = 0;
    for round in 0..3 {
        for _ in 0..20 {
            commit_at_last(&store, n);
            acknowledged.push(n);
            n += 1;
        }
        disk.fill(1 << 20);
        loop {
            let mut batch = pair(n);
            batch.put(Space::PROFILE, &Key::new().u64(n), vec![round; 100_000]);
            match commit(&store, batch) {
                Ok(()) => acknowledged.push(n),
                Err(error) => {
                    assert_eq!(error, CommitError::ReadOnly);
                    break;
                }
            }
            n += 1;
            assert!(n < 10_000, "the disk never got full");
        }
        let found = pairs(&store);
        assert!(
            acknowledged.iter().all(|n| found.contains(n)),
            "reading goes on"
        );
        n += 1;
        disk.empty();
    }
    commit_at_last(&store, n);
    acknowledged.push(n);
    let check = |store: &Store| {
        let found = pairs(store);
        assert!(
            acknowledged.iter().all(|n| found.contains(n)),
            "an acknowledged batch is lost"
        );
    };
    check(&store);
    close(store);
    let store = Store::open(options, Clock::system()).unwrap();
    check(&store);
    close(store);
}
