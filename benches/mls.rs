//! What the delivery service of MLS costs: CPU of reading the framing of a message, of looking at a key package, of handing one
//! out of an account that has many, and, of the whole process (server and client, without TLS), of a commit beside a room
//! message that is not looked at. Run with `cargo bench --bench mls`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use waxwing::admin::Password;
use waxwing::config::{Request, load};
use waxwing::hooks::{Listed, Uid};
use waxwing::mls::package::{self, Terms};
use waxwing::mls::testing::{Draft, Maker};
use waxwing::mls::{framing, testing};
use waxwing::proto::{Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::server::Server;
use waxwing::state::mls::{Bounds, Desk, Offered, Wanted, encode};
use waxwing::state::owned::Owner;
use waxwing::store::{Batch, EngineKind, Options, Space, Store};
use waxwing::xml::Element;

#[path = "../examples/client/mod.rs"]
mod client;

use client::{Client, Security};

const PASSWORD: &str = "pencil";
const GROUP: &[u8] = b"a group with an id of thirty-two";
const ROOM: &str = "bench@conference.localhost";
/// Messages that are read, packages that are looked at and handed out, and messages of one round in a room; so many under way at a time.
const READS: u32 = 1_000_000;
const PACKAGES: u32 = 2_000;
const TAKES: usize = 90;
const MESSAGES: usize = 2_000;
const WINDOW: usize = 50;
const ROUNDS: usize = 9;

fn main() {
    for (what, bytes) in [
        ("an application message", testing::private(GROUP, 7, 1)),
        (
            "of 64 KiB",
            testing::private_of(GROUP, 7, 1, &[7; 64 << 10]),
        ),
        ("a public commit", testing::public_commit(GROUP, 7, false)),
    ] {
        println!("framing, {what}: {:.0} ns", read(&bytes));
    }
    println!("a key package looked at: {:.0} ns", looked_at());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        for packages in [100, 1_000, 10_000] {
            let (take, list) = packages_of(packages).await;
            println!("{packages} packages: one taken {take:.0} ns, counted {list:.0} ns");
        }
        rooms().await;
    });
}

/// Nanoseconds of CPU to read the framing of a message.
fn read(bytes: &[u8]) -> f64 {
    let began = cpu();
    for _ in 0..READS {
        black_box(framing::read(black_box(bytes))).unwrap();
    }
    (cpu() - began).as_nanos() as f64 / f64::from(READS)
}

/// Nanoseconds of CPU to look at a key package, both of whose signatures are verified.
fn looked_at() -> f64 {
    let bytes = Maker::new([1; 32]).unwrap().package(&Draft {
        identity: "bob@localhost/phone",
        suite: 1,
        life: (0, u64::MAX),
        last_resort: false,
        init_key: [4; 32],
    });
    let terms = Terms {
        identity: "bob@localhost/phone",
        suites: &[1],
        now: 1_000,
        longest: u64::MAX,
    };
    let began = cpu();
    for _ in 0..PACKAGES {
        black_box(package::validate(black_box(&bytes), &terms)).unwrap();
    }
    (cpu() - began).as_nanos() as f64 / f64::from(PACKAGES)
}

/// Nanoseconds of CPU to take a package of an account that has so many, and to count them.
async fn packages_of(number: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(EngineKind::Fjall, folder.path());
    let store = Store::open(options, Clock::system()).unwrap();
    let jid = Jid::parse("bob@localhost").unwrap();
    let owner = Owner::new(Uid(1), &jid);
    let mut batch = Batch::new();
    batch.put(
        Space::ACCOUNT_BY_ID,
        &Uid(1).to_key(),
        jid.as_str().as_bytes(),
    );
    store.commit(batch).await.unwrap();
    let bounds = Bounds {
        devices: 20,
        packages: number,
        remembered: 100_000,
        welcomes: 1,
        welcome_bytes: 1,
        groups: 1,
        members: 1,
    };
    let desk = Desk::new(&store, bounds).unwrap();
    let package = |n: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        Offered {
            id,
            suite: 1,
            until: 1_000,
            last_resort: false,
            bytes: vec![7; 300],
        }
    };
    for from in (0..number).step_by(50) {
        let packages = (from..from + 50).map(package).collect();
        desk.publish(&owner, ("phone", None), packages, 1)
            .await
            .unwrap();
    }
    let began = cpu();
    for _ in 0..TAKES {
        desk.take(Uid(1), Wanted::default(), 1).await.unwrap();
    }
    let taken = (cpu() - began).as_nanos() as f64 / TAKES as f64;
    let began = cpu();
    for _ in 0..TAKES {
        desk.devices(Uid(1)).await.unwrap();
    }
    (taken, (cpu() - began).as_nanos() as f64 / TAKES as f64)
}

/// The kinds of messages that are compared, each in a room of its own.
const KINDS: [(&str, bool, u8); 3] = [
    ("not looked at", false, 1),
    ("said in a group", true, 1),
    ("a commit", true, 3),
];

async fn rooms() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let address = server.addresses()[0];
    let mut talks = Vec::new();
    for (number, (what, ordered, kind)) in KINDS.into_iter().enumerate() {
        let room = format!("{number}{ROOM}");
        let client = occupant(&server, address, number, &room, ordered).await;
        let mut talk = Talk {
            client,
            room,
            kind,
            epoch: 0,
            said: 0,
        };
        if ordered {
            talk.say(&[testing::private(GROUP, 0, 3)]).await;
            talk.epoch = 1;
        }
        talks.push((what, talk, Vec::new()));
    }
    for round in 0..=ROUNDS {
        for (_, talk, costs) in &mut talks {
            let cost = talk.round().await;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    for (what, _, costs) in &mut talks {
        costs.sort_by(f64::total_cmp);
        println!(
            "a room message, {what}: {:.0} ns (median; {:.0} to {:.0} in {ROUNDS} rounds)",
            costs[ROUNDS / 2],
            costs[0],
            costs[ROUNDS - 1],
        );
    }
    server.stop().await;
}

async fn start(folder: &std::path::Path) -> Server {
    let file = folder.join("waxwing.toml");
    let data = folder.join("data");
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\
         [auth]\nscram_iterations = 4096\n[store]\nreserve = \"0B\"\n\
         [limits.session]\nstanzas_per_second = 1000000\nbytes_per_second = \"1GiB\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let request = Request {
        file: Some(file),
        environment: Vec::new(),
        sets: Vec::new(),
    };
    let modules: Vec<_> = waxwing::modules::LIST
        .iter()
        .map(Listed::settings)
        .collect();
    let loaded = load(&request, &modules).unwrap_or_else(|error| panic!("{error}"));
    Server::start(&loaded.config).await.unwrap()
}

async fn occupant(
    server: &Server,
    address: SocketAddr,
    number: usize,
    room: &str,
    ordered: bool,
) -> Client {
    let jid = Jid::parse(&format!("user{number}@localhost")).unwrap();
    let password = Password(PASSWORD.to_owned());
    let accounts = server.acts().accounts();
    accounts.create(&jid, &password).await.unwrap();
    let builder = Client::builder(jid.as_str(), PASSWORD).security(Security::Plain);
    let mut client = builder.connect(address).await.unwrap();
    let join = format!(
        "<presence to='{room}/nick'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let subject = |el: &Element| el.has_child("subject", ns::CLIENT);
    client.wait_for("the subject", subject).await.unwrap();
    let value = Element::new("value", ns::DATA_FORM).with_text(if ordered { "1" } else { "0" });
    let field = Element::new("field", ns::DATA_FORM)
        .with_attr("var", "{urn:waxwing:mls:0}ordered")
        .with_child(value);
    let form = Element::new("x", ns::DATA_FORM)
        .with_attr("type", "submit")
        .with_child(field);
    let query = Element::new("query", ns::MUC_OWNER).with_child(form);
    client.request("set", Some(room), query).await.unwrap();
    client
}

struct Talk {
    client: Client,
    room: String,
    kind: u8,
    epoch: u64,
    /// Messages so far.
    said: usize,
}

impl Talk {
    /// Nanoseconds of CPU for each message.
    async fn round(&mut self) -> f64 {
        let used = cpu();
        for _ in 0..MESSAGES / WINDOW {
            let kind = self.kind;
            let messages: Vec<_> = (0..WINDOW as u64)
                .map(|n| {
                    let epoch = self.epoch + if kind == 3 { n } else { 0 };
                    testing::private_of(GROUP, epoch, kind, &[7; 300])
                })
                .collect();
            if kind == 3 {
                self.epoch += WINDOW as u64;
            }
            self.say(&messages).await;
        }
        (cpu() - used).as_nanos() as f64 / MESSAGES as f64
    }

    async fn say(&mut self, messages: &[Vec<u8>]) {
        let mut text = String::new();
        for bytes in messages {
            let (room, mls, id) = (&self.room, encode(bytes), self.said);
            text += &format!(
                "<message type='groupchat' to='{room}' id='m{id}'><mls xmlns='{}'>{mls}</mls></message>",
                ns::MLS
            );
            self.said += 1;
        }
        self.client.send(text.as_str()).await.unwrap();
        let mut left = messages.len();
        while left > 0 {
            let next = self.client.next(Duration::from_secs(10)).await.unwrap();
            assert_ne!(next.attr("type"), Some("error"), "{next:?}");
            left -= usize::from(next.has_child("mls", ns::MLS));
        }
    }
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
