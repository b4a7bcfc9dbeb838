//! Backups while people chat: what was acknowledged before is in them, and nobody waits for them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use waxwing::proto::ns;
use waxwing::runtime::clock::Clock;
use waxwing::store::{Batch, EngineKind, Key, Options, Space, Store};
use waxwing::xml::Element;

use crate::never_lost::talk::{Receiver, Sender};
use crate::support::process::{Process, jid};

const ROOM: &str = "limits.account.offline_messages=100000";

fn program(process: &Process, arguments: &[&str]) -> Child {
    let mut command = process.command();
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Makes a data directory of a backup, with the other engine.
fn restore(file: &Path, data: &Path, engine: &str) {
    let config = data.parent().unwrap().join("restore.toml");
    std::fs::write(&config, "[hosts.localhost]\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.arg("--config").arg(config);
    command.args(["--set", &format!("server.data_dir={}", data.display())]);
    command.args(["--set", &format!("store.engine={engine}")]);
    let restored = command.arg("restore").arg(file).output().unwrap();
    assert!(restored.status.success(), "{restored:?}");
}

async fn add_contact(process: &Process) {
    let mut romeo = process.client("romeo").connect(process.addr).await.unwrap();
    let item = Element::new("item", ns::ROSTER).with_attr("jid", "nurse@example.org");
    let query = Element::new("query", ns::ROSTER).with_child(item);
    romeo.request("set", None, query).await.unwrap();
    romeo.close().await.unwrap();
}

/// Romeo writes to Juliet, who is away; a backup is made meanwhile; from it she gets everything that was acknowledged before it
/// began, in order and without a gap, up to one moment.
async fn under_load(from: &str, to: &str) {
    let set = format!("store.engine={from}");
    let sets = [set.as_str(), ROOM];
    let mut process = Process::start(&["romeo", "juliet"], &sets);
    add_contact(&process).await;
    let mut sender = Sender::log_in(&process, "romeo", jid("juliet"), 0).await;
    sender.deliver(300).await;
    let acknowledged = sender.acked;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.backup");
    let mut backup = program(&process, &["backup", file.to_str().unwrap()]);
    while backup.try_wait().unwrap().is_none() {
        sender.burst(Duration::from_millis(50)).await;
    }
    assert!(backup.wait().unwrap().success());
    sender.settle(Duration::from_secs(30)).await;
    process.kill();

    let data = folder.path().join("data");
    restore(&file, &data, to);
    let set = format!("store.engine={to}");
    let mut restored = Process::start_in(&data, folder, &[], &[set.as_str(), sets[1]]);
    let mut receiver = Receiver::log_in(&restored, "juliet", true).await;
    receiver.listen_until(acknowledged - 1).await;
    receiver.listen(Duration::from_millis(500)).await;
    let count = receiver.got.len() as u64;
    assert!(
        receiver.got.iter().copied().eq(0..count),
        "a gap or another order"
    );
    assert!(count >= acknowledged && count <= sender.next);
    let mut romeo = restored
        .client("romeo")
        .connect(restored.addr)
        .await
        .unwrap();
    let roster = romeo.roster().await.unwrap();
    assert_eq!(roster[0].attr("jid"), Some("nurse@example.org"));
    restored.kill();
}

#[tokio::test]
async fn what_was_acknowledged_before_is_in_it_fjall() {
    under_load("fjall", "sled").await;
}

#[tokio::test]
async fn what_was_acknowledged_before_is_in_it_sled() {
    under_load("sled", "fjall").await;
}

/// Whoever asks for a backup may go away: nothing is left, and the server goes on.
#[tokio::test]
async fn an_interrupted_backup_leaves_nothing() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, accounts) = (data.path().join("data"), ["romeo", "juliet"]);
    let mut process = Process::start_in(&place, data, &accounts, &["backup.rate=1MiB"]);
    process.terminate();
    process.wait(Duration::from_secs(60));
    let filling = tokio::task::spawn_blocking(move || fill(&place, EngineKind::Fjall, 10));
    filling.await.unwrap();
    process.restart();
    let file = folder.path().join("a.backup");
    let mut backup = program(&process, &["backup", file.to_str().unwrap()]);
    let began = Instant::now();
    let partial = folder.path().join("a.backup.partial");
    while std::fs::metadata(&partial).map_or(0, |m| m.len()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pid = rustix::process::Pid::from_child(&backup);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!backup.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut sender = Sender::log_in(&process, "romeo", jid("juliet"), 0).await;
    sender.deliver(10).await;
}

/// A store of `mib` MiB of messages in the log of an account that is not used.
fn fill(data: &Path, engine: EngineKind, mib: u64) {
    let store = Store::open(Options::new(engine, data.join("store")), Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let account = Key::new().u64(u64::MAX);
    let mut seed = 1u64;
    for n in 0..mib {
        let mut batch = Batch::new().relaxed();
        for m in 0..1024u64 {
            // Half of it can be compressed.
            let body = (0..64).flat_map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                [seed.to_be_bytes(), *b"romeo an"].concat()
            });
            let key = account.clone().u64(n).u64(m);
            batch.put(Space::LOG, &key, body.collect::<Vec<u8>>());
        }
        runtime.block_on(store.commit(batch)).unwrap();
    }
    runtime.block_on(store.close());
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// `WAXWING_BACKUP_MIB=1024 cargo test --release --test main constant_memory -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn constant_memory() {
    let mib = std::env::var("WAXWING_BACKUP_MIB").map_or(256, |text| text.parse().unwrap());
    let engine = std::env::var("WAXWING_BACKUP_ENGINE").unwrap_or_else(|_| "fjall".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let set = format!("store.engine={engine}");
    let mut process = Process::start_in(&data, folder, &["romeo", "juliet"], &[&set]);
    process.terminate();
    process.wait(Duration::from_secs(60));
    let (place, kind) = (data.clone(), engine.parse().unwrap());
    tokio::task::spawn_blocking(move || fill(&place, kind, mib))
        .await
        .unwrap();
    process.restart();

    let mut sender = Sender::log_in(&process, "romeo", jid("juliet"), 0).await;
    let mut receiver = Receiver::log_in(&process, "juliet", true).await;
    let trips = |times: &mut Vec<Duration>| {
        times.sort();
        (
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1],
        )
    };
    let mut quiet = Vec::new();
    for _ in 0..200 {
        quiet.push(round_trip(&mut sender, &mut receiver).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = process.rss() >> 20;
    let file = data.join("big.backup");
    let began = Instant::now();
    let mut backup = program(&process, &["backup", file.to_str().unwrap()]);
    let (mut server, mut client, mut busy) = (0, 0, Vec::new());
    while backup.try_wait().unwrap().is_none() {
        server = server.max(process.rss() >> 20);
        client = client.max(resident(backup.id()));
        busy.push(round_trip(&mut sender, &mut receiver).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    assert!(backup.wait().unwrap().success());
    let bytes = std::fs::metadata(&file).unwrap().len() >> 20;
    println!(
        "{engine}, {mib} MiB: {took:?}, file {bytes} MiB; server {before} MiB before, {server} MiB at most, {} MiB after; client {client} MiB at most",
        process.rss() >> 20
    );
    println!(
        "round trips (median, 99 %, longest): {:?} quiet, {:?} beside the backup",
        trips(&mut quiet),
        trips(&mut busy)
    );
    process.kill();

    let other = tempfile::tempdir().unwrap();
    let place = other.path().join("data");
    let began = Instant::now();
    let restoring = tokio::task::spawn_blocking(move || restore(&file, &place, "fjall"));
    restoring.await.unwrap();
    println!("restored in {:?}", began.elapsed());
    assert!(
        server < before + 128,
        "the server's memory grew by {} MiB",
        server - before
    );
    assert!(client < 128);
}

async fn round_trip(sender: &mut Sender, receiver: &mut Receiver) -> Duration {
    let (n, began) = (sender.next, Instant::now());
    sender.send().await.unwrap();
    receiver.listen_until(n).await;
    sender.listen(Duration::ZERO).await;
    began.elapsed()
}
