//! A start does not look at every account: with a hundred thousand it reads as few rows as with one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use waxwing::config::{Config, Host, Listen};
use waxwing::proto::Jid;
use waxwing::runtime::clock::Clock;
use waxwing::server::Server;
use waxwing::state::accounts::{Accounts, account_key};
use waxwing::store::testing::memory;
use waxwing::store::{
    Batch, Direction, Engine, EngineError, EngineStats, Options, Range, RawOp, Rows, Snapshot,
    Space, Store, StoreError,
};
use waxwing::stream::Secret;

/// Counts the rows that are read.
struct Counting {
    inner: Arc<dyn Engine>,
    rows: Arc<AtomicU64>,
}

struct View {
    inner: Box<dyn Snapshot>,
    rows: Arc<AtomicU64>,
}

impl Engine for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(View {
            inner: self.inner.snapshot()?,
            rows: self.rows.clone(),
        }))
    }

    fn write(&self, ops: &[RawOp], durable: bool) -> Result<(), EngineError> {
        self.inner.write(ops, durable)
    }

    fn recover(&self) -> Result<(), EngineError> {
        self.inner.recover()
    }

    fn stats(&self) -> EngineStats {
        self.inner.stats()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.inner.close()
    }
}

impl View {
    fn counted(&self, rows: Result<Rows, StoreError>) -> Result<Rows, StoreError> {
        let count = rows.as_ref().map_or(0, Vec::len) as u64;
        self.rows.fetch_add(count.max(1), Relaxed);
        rows
    }
}

impl Snapshot for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.fetch_add(1, Relaxed);
        self.inner.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        range: &Range,
        direction: Direction,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.counted(self.inner.scan(space, range, direction, limit))
    }

    fn page(&self, space: Space, range: &Range, bytes: usize) -> Result<Rows, StoreError> {
        self.counted(self.inner.page(space, range, bytes))
    }
}

fn jid(number: usize) -> Jid {
    Jid::parse(&format!("user{number}@localhost")).unwrap()
}

/// A store with so many accounts, all with the keys of the first: they are made quickly.
async fn filled(engine: &Arc<Counting>, accounts: usize) {
    let store = Store::with_engine(engine.clone(), Options::memory(), Clock::system()).unwrap();
    let first = Accounts::new(
        store.clone(),
        Clock::system(),
        4096,
        Secret::new(vec![7; 32]),
    );
    first.create(&jid(0), "pencil").await.unwrap();
    let record = store
        .reading(|view| view.get(Space::ACCOUNT, &account_key(&jid(0))))
        .await
        .unwrap()
        .unwrap();
    for begin in (1..accounts).step_by(1000) {
        let mut batch = Batch::new();
        for number in begin..(begin + 1000).min(accounts) {
            let (jid, uid) = (jid(number), (number as u64 + 1000).to_be_bytes());
            batch.put(Space::ACCOUNT, &account_key(&jid), record.clone());
            batch.put(
                Space::ACCOUNT_BY_ID,
                &uid,
                jid.bare_str().as_bytes().to_vec(),
            );
        }
        store.commit(batch).await.unwrap();
    }
    // Accounts are counted as they are made; only those from before that once, at a start.
    first.prepare().await.unwrap();
    store.close().await;
}

/// Rows that a start reads, with the opening of the store.
async fn rows_read(accounts: usize) -> u64 {
    let rows = Arc::new(AtomicU64::new(0));
    let engine = Arc::new(Counting {
        inner: memory(),
        rows: rows.clone(),
    });
    filled(&engine, accounts).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.data_dir = folder.path().join("data");
    config.hosts.insert("localhost".to_owned(), Host::default());
    config.listen = vec![Listen {
        address: "127.0.0.1:0".parse().unwrap(),
        ..Listen::default()
    }];
    rows.store(0, Relaxed);
    let began = Instant::now();
    let store = Store::with_engine(engine, Options::memory(), Clock::system()).unwrap();
    let server = Server::start_on(store, &config, &[]).await.unwrap();
    println!("{accounts} accounts: {:?}", began.elapsed());
    // Work that the start leaves behind must not look at them either.
    for _ in 0..10 {
        server.acts().store().reading(|_| Ok(())).await.unwrap();
    }
    let read = rows.load(Relaxed);
    server.stop().await;
    read
}

#[tokio::test]
async fn a_start_reads_as_much_for_a_hundred_thousand_accounts_as_for_one() {
    let (one, many) = (rows_read(1).await, rows_read(100_000).await);
    // Which of the work that follows a start is done by now differs by a few rows.
    assert!(one > 0 && one < 100, "{one} rows");
    assert!(many > 0 && many < 100, "{many} rows");
}
