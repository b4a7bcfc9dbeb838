//! Plays a group over a waxwing that somebody else starts and kills. What is to be played comes as one line of JSON; when the
//! room is made it prints `open`, and begins after another line. It prints `kill` whenever the server is to be killed and
//! started again, and reads its new port. In the end it prints what it all amounted to, or what was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::sync::{Mutex, watch};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use waxwing_mls::Fault;
use waxwing_mls::book::Summary;
use waxwing_mls::client::Trust;
use waxwing_mls::member::account_of;
use waxwing_mls::play::{Script, Stage, play};
use waxwing_mls::post::{Entry, Post, Trouble};
use waxwing_mls::wire::{Home, Server, Wire};

/// What is to be played, and where.
#[derive(Deserialize)]
struct Play {
    host: IpAddr,
    port: u16,
    /// The certificate of who vouches for the server.
    ca: PathBuf,
    /// The address of a room that is not there yet; without it the group's home is the first account.
    room: Option<String>,
    /// Bare addresses with passwords. The first device of the first account makes the room and founds the group.
    accounts: Vec<(String, String)>,
    /// Whether people join by themselves.
    #[serde(default)]
    external: bool,
    /// Devices of each account.
    devices: usize,
    /// Members at the beginning.
    members: usize,
    rounds: usize,
    /// The rounds in which the server is killed.
    kills: BTreeSet<usize>,
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(summary) => {
            println!("done: {summary:?}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("wrong: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Summary, Fault> {
    let mut lines = BufReader::new(stdin()).lines();
    let line = lines.next_line().await?.ok_or("nothing to play")?;
    let play_this: Play = serde_json::from_str(&line)?;
    let stage = Served::new(&play_this, lines)?;
    stage.open().await?;
    play(&stage, &script(&play_this)).await
}

/// Devices go by number first, so that an account has them at different times.
fn script(play: &Play) -> Script {
    let numbers = 0..play.devices;
    let of_all = |number| {
        play.accounts
            .iter()
            .map(move |(account, _)| format!("{account}/device{number}"))
    };
    Script {
        seed: play.seed,
        devices: numbers.flat_map(of_all).collect(),
        members: play.members,
        rounds: play.rounds,
        troubles: play.kills.clone(),
    }
}

/// A waxwing.
struct Served {
    server: Arc<Server>,
    passwords: BTreeMap<String, String>,
    /// A device of the first account that makes the room and reads the archive.
    observer: Mutex<Wire>,
    host: IpAddr,
    address: watch::Sender<SocketAddr>,
    lines: Mutex<Lines<BufReader<Stdin>>>,
}

impl Served {
    fn new(play: &Play, lines: Lines<BufReader<Stdin>>) -> Result<Served, Fault> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&play.ca)?.collect();
        let (account, password) = play.accounts.first().ok_or("no accounts")?;
        let (address, current) = watch::channel(SocketAddr::new(play.host, play.port));
        let server = Arc::new(Server {
            address: current,
            trust: Trust::certificates(certificates?)?,
            home: match &play.room {
                Some(room) => Home::Room(room.clone()),
                None => Home::Account(account.clone()),
            },
            external: play.external,
        });
        Ok(Served {
            observer: Mutex::new(Wire::new(&server, &format!("{account}/observer"), password)),
            server,
            passwords: play.accounts.iter().cloned().collect(),
            host: play.host,
            address,
            lines: Mutex::new(lines),
        })
    }

    /// Makes the room, if there is one, and waits until it is time to begin.
    async fn open(&self) -> Result<(), Fault> {
        if self.is_open() {
            let mut observer = self.observer.lock().await;
            observer.log_in().await?;
            observer.make_room().await?;
            observer.go().await;
        }
        println!("open");
        self.lines
            .lock()
            .await
            .next_line()
            .await?
            .ok_or("nobody says go")?;
        Ok(())
    }
}

impl Stage for Served {
    type Post = Wire;

    fn post(&self, identity: &str) -> Result<Wire, Fault> {
        let password = self
            .passwords
            .get(account_of(identity))
            .ok_or("no such account")?;
        Ok(Wire::new(&self.server, identity, password))
    }

    fn is_open(&self) -> bool {
        matches!(self.server.home, Home::Room(_))
    }

    fn may_enter(&self) -> bool {
        self.is_open() && self.server.external
    }

    async fn archive(&self) -> Result<Vec<Entry>, Fault> {
        let mut observer = self.observer.lock().await;
        match observer.come(None).await {
            Ok(entries) => Ok(entries),
            Err(Trouble::Wrong(fault)) => Err(fault),
            Err(lost) => Err(lost.into()),
        }
    }

    async fn trouble(&self) -> Result<(), Fault> {
        println!("kill");
        let port = self
            .lines
            .lock()
            .await
            .next_line()
            .await?
            .ok_or("no new port")?;
        self.address
            .send_replace(SocketAddr::new(self.host, port.trim().parse()?));
        Ok(())
    }
}
