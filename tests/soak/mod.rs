//! Two hundred devices talk while their connections are cut at random and the server is restarted and killed.
//!
//! Every device gets every word, each under one archive id, and within a session only once: whatever was sent again,
//! resumed, or read from the archive. `WAXWING_TEST_SOAK` says how many seconds lie between two blows (3).

mod device;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::device::{Device, Orders, Word};
use crate::support::process::{Process, jid};

const ACCOUNTS: usize = 100;
const RESOURCES: [&str; 2] = ["phone", "laptop"];

/// What happens to the server.
#[derive(Clone, Copy)]
enum Blow {
    /// A supervisor restarts it.
    Restart,
    /// kill -9.
    Kill,
}

fn account(n: usize) -> String {
    format!("u{}", n % ACCOUNTS)
}

/// Everybody has come to the server in each of so many lives of it.
async fn all_there(orders: &Orders, lives: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    let wanted = lives * ACCOUNTS * RESOURCES.len();
    while orders.arrived.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < until, "not everybody comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn strike(server: &mut Process, blow: Blow) {
    match blow {
        Blow::Kill => server.kill(),
        Blow::Restart => {
            server.terminate();
            let until = Instant::now() + Duration::from_secs(60);
            while server.is_running() {
                assert!(Instant::now() < until, "it does not end");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    server.restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_everything_once() {
    let names: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut server = Process::start(&names, &["auth.scram_iterations=4096"]);
    let (address, current) = watch::channel(server.addr);
    let (quiet, be_quiet) = watch::channel(false);
    let orders = Orders {
        address: current,
        arrived: Arc::default(),
        quiet: be_quiet,
    };
    let mut arriving = JoinSet::new();
    for n in 0..ACCOUNTS {
        for resource in RESOURCES {
            // The phone of each talks to the next.
            let to = (resource == "phone").then(|| jid(&account(n + 1)));
            let name = (account(n), resource);
            let builder = server.client(&account(n));
            arriving.spawn(Device::log_in(builder, name, to, orders.clone()));
        }
    }
    let living = arriving.join_all().await.into_iter();
    let living: Vec<_> = living.map(|device| tokio::spawn(device.live())).collect();
    let seconds = std::env::var("WAXWING_TEST_SOAK").map_or(3, |text| text.parse().unwrap());
    let blows = [Blow::Restart, Blow::Kill, Blow::Restart];
    for (lives, blow) in (1..).zip(blows) {
        all_there(&orders, lives).await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        strike(&mut server, blow).await;
        address.send(server.addr).unwrap();
    }
    all_there(&orders, blows.len() + 1).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    quiet.send(true).unwrap();
    let mut devices = Vec::new();
    for task in living {
        devices.push(task.await.unwrap());
    }
    judge(devices).await;
}

/// Words that `device` must have: what the phone of the account before it said.
fn wanted(device: &Device, said: &[(String, u64)]) -> Vec<Word> {
    let n: usize = device.name.0.trim_start_matches('u').parse().unwrap();
    let before = account(n + ACCOUNTS - 1);
    let (_, count) = said.iter().find(|(name, _)| *name == before).unwrap();
    (0..*count).map(|n| (before.clone(), n)).collect()
}

async fn judge(mut devices: Vec<Device>) {
    let phones = devices.iter().filter(|device| device.name.1 == "phone");
    let said: Vec<(String, u64)> = phones
        .map(|phone| (phone.name.0.clone(), phone.said))
        .collect();
    let mut returns = (0, 0);
    for device in &mut devices {
        let wanted = wanted(device, &said);
        device.hear_all(&wanted).await;
        assert_eq!(device.got.len(), wanted.len(), "{:?} got more", device.name);
        assert_eq!(device.doubled, [], "{:?} got it twice", device.name);
        for (word, ids) in &device.got {
            assert_eq!(ids.len(), 1, "{word:?} has several archive ids: {ids:?}");
        }
        returns.0 += device.returns.0;
        returns.1 += device.returns.1;
    }
    let words: u64 = said.iter().map(|(_, count)| count).sum();
    println!(
        "{words} messages to two devices each; {} resumed, {} logged in anew",
        returns.0, returns.1
    );
    assert!(returns.0 > 100 && returns.1 > 0, "{returns:?}");
}
