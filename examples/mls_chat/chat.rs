//! A group chat of sealed letters (MLS, RFC 9420) in a terminal, over a room of a waxwing that puts commits in order.
//!
//! It is built with the clients that check the server, so that the server's own build needs no cryptography of clients:
//!
//! ```text
//! export XMPP_PASSWORD=secret
//! cargo run --manifest-path conformance/mls/Cargo.toml --example mls_chat -- \
//!     alice@localhost/phone 127.0.0.1:5222 letters@conference.localhost --ca ca.pem
//! ```
//!
//! What is typed is sent to the group, but for commands:
//!
//! - `/create` makes the room and founds the group,
//! - `/add bob@localhost` adds all devices of an account that are not members yet, so say it again when there is a new one,
//! - `/remove bob@localhost/phone` removes a device,
//! - `/update` gives this device a new key, `/leave` asks the others to remove it,
//! - `/away` disconnects, `/back` connects and reads what happened meanwhile,
//! - `/who` lists the members.
//!
//! Nothing is stored: whoever ends the program is a new device next time. A real client stores the state of the group with
//! every message, and begins to catch up where that state is.
#![allow(missing_docs)] // a program has no callers

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::watch;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use waxwing_mls::Fault;
use waxwing_mls::client::Trust;
use waxwing_mls::member::{self, Change, Content, Heard, Kind, Member};
use waxwing_mls::post::{Accounts, Answer, Arrival, Entry, Post};
use waxwing_mls::wire::{Home, Server, Wire};

/// Key packages that others can take before this device has to publish more.
const PACKAGES: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [identity, address, room, flag, ca] = args.as_slice() else {
        return Err("usage: mls_chat USER@HOST/DEVICE ADDRESS:PORT ROOM --ca FILE".into());
    };
    if flag != "--ca" {
        return Err(format!("what is {flag}?").into());
    }
    let password = std::env::var("XMPP_PASSWORD").map_err(|_| "XMPP_PASSWORD is not set")?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(ca)?.collect();
    let (_address, current) = watch::channel(address.parse()?);
    let server = Server {
        address: current,
        trust: Trust::certificates(certificates?)?,
        home: Home::Room(room.clone()),
        external: false,
    };
    let (member, wire) = (
        member::member(Kind::OpenMls, identity)?,
        Wire::new(&Arc::new(server), identity, &password),
    );
    let mut chat = Chat {
        member,
        wire,
        pending: None,
        won: false,
        sent: BTreeSet::new(),
        seen: BTreeSet::new(),
        last: None,
        here: false,
    };
    chat.publish().await?;
    println!("{identity} can be added");
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => {
                    if let Err(fault) = chat.obey(line.trim()).await {
                        println!("that did not work: {fault}");
                    }
                }
                None => return Ok(()),
            },
            arrival = chat.wire.next(), if chat.here => chat.arrived(arrival?).await?,
        }
    }
}

struct Chat {
    member: Box<dyn Member>,
    wire: Wire,
    /// A commit that was made and has no place in the order yet.
    pending: Option<Vec<u8>>,
    /// Whether the last one that had its turn was the first of its epoch.
    won: bool,
    /// Messages that this device sent: they come back from the room, and nobody can decrypt their own.
    sent: BTreeSet<Vec<u8>>,
    /// Messages that came, by their ids in the archive: some come from the room and from its archive.
    seen: BTreeSet<String>,
    /// The last of them.
    last: Option<String>,
    here: bool,
}

impl Chat {
    /// Others can take these to add this device while it sleeps. The last one is for when all others are gone.
    async fn publish(&mut self) -> Result<(), Fault> {
        let mut packages = vec![self.member.key_package(true)?];
        for _ in 0..PACKAGES {
            packages.push(self.member.key_package(false)?);
        }
        self.wire.log_in().await?;
        self.here = true;
        Ok(self.wire.publish(&packages).await?)
    }

    async fn obey(&mut self, line: &str) -> Result<(), Fault> {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "" => Ok(()),
            "/create" => self.create().await,
            "/add" => self.add(argument).await,
            "/remove" => {
                let whom = BTreeSet::from([argument.to_owned()]);
                self.change(Change::Remove(whom), Accounts::default())
                    .await
                    .map(drop)
            }
            "/update" => self
                .change(Change::Update, Accounts::default())
                .await
                .map(drop),
            "/leave" => {
                let proposal = self.member.leave()?;
                self.send(proposal, &Accounts::default()).await.map(drop)
            }
            "/away" => {
                self.here = false;
                self.wire.go().await;
                Ok(())
            }
            "/back" => self.back().await,
            "/who" => {
                let place = self.member.place().ok_or("no member of a group")?;
                let members: Vec<String> = place.members.into_iter().collect();
                println!("epoch {}: {}", place.epoch, members.join(", "));
                Ok(())
            }
            _ if command.starts_with('/') => Err(format!("there is no {command}").into()),
            _ => self.say(line).await,
        }
    }

    /// The name of a group is of no meaning to anybody; it only has to be its own.
    async fn create(&mut self) -> Result<(), Fault> {
        self.wire.make_room().await?;
        self.member
            .create(waxwing::runtime::random::id().as_bytes())?;
        println!("you are alone in a new group");
        Ok(())
    }

    /// Adds the devices of an account that are not members yet, and sends each its welcome.
    async fn add(&mut self, account: &str) -> Result<(), Fault> {
        let members = self.member.place().ok_or("no member of a group")?.members;
        let (mut packages, mut devices) = (Vec::new(), Vec::new());
        for package in self.wire.take(account).await? {
            let device = member::owner_of(&package)?;
            if !members.contains(&device) {
                packages.push(package);
                devices.push(device);
            }
        }
        if packages.is_empty() {
            return Err(format!("all devices of {account} are members").into());
        }
        let accounts = Accounts {
            added: BTreeSet::from([account.to_owned()]),
            removed: BTreeSet::new(),
        };
        let Some(welcome) = self.change(Change::Add(packages), accounts).await? else {
            return Ok(());
        };
        for device in devices {
            self.wire.welcome(&device, &welcome).await?;
        }
        Ok(())
    }

    /// Makes a commit until it is the first of its epoch; the welcome for whom it adds. Only when the room has put it in order
    /// does it take effect: members who commit at once are thereby of one mind about who was first.
    async fn change(
        &mut self,
        change: Change,
        accounts: Accounts,
    ) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            let commit = self.member.commit(&change)?;
            self.pending = Some(commit.message.clone());
            if let Answer::Taken { .. } = self.send(commit.message.clone(), &accounts).await? {
                println!("another was faster; once more");
            }
            // The room sends it back, or the one that was faster.
            while self.pending.is_some() {
                let arrival = self.wire.next().await?;
                self.arrived(arrival).await?;
            }
            if self.won {
                return Ok(commit.welcome);
            }
        }
    }

    /// A text must wait for proposals: whoever has seen one commits before writing (RFC 9420 §12.4).
    async fn say(&mut self, text: &str) -> Result<(), Fault> {
        if self.member.must_commit() {
            self.change(Change::Update, Accounts::default()).await?;
        }
        let message = self.member.write(text)?;
        match self.send(message, &Accounts::default()).await? {
            Answer::Accepted => Ok(()),
            _ => Err("the group went on meanwhile; say it again".into()),
        }
    }

    async fn send(&mut self, message: Vec<u8>, accounts: &Accounts) -> Result<Answer, Fault> {
        self.sent.insert(message.clone());
        Ok(self.wire.send(&message, accounts).await?)
    }

    /// What happened meanwhile comes from the archive of the room, and welcomes have waited.
    async fn back(&mut self) -> Result<(), Fault> {
        self.wire.log_in().await?;
        self.here = true;
        match self.member.place() {
            Some(_) => self.enter().await,
            None => Ok(()),
        }
    }

    async fn enter(&mut self) -> Result<(), Fault> {
        let missed = self.wire.enter(self.last.as_deref()).await?;
        missed.into_iter().try_for_each(|entry| self.read(entry))
    }

    async fn arrived(&mut self, arrival: Arrival) -> Result<(), Fault> {
        match arrival {
            Arrival::Entry(entry) => self.read(entry),
            Arrival::Welcome { id, message } => {
                self.member.join(&message)?;
                self.wire.received(&id).await?;
                let members = self.member.place().map_or(0, |place| place.members.len());
                println!("you are one of {members} members");
                self.enter().await
            }
        }
    }

    /// Takes in one message, in the order in which all members take it in.
    fn read(&mut self, entry: Entry) -> Result<(), Fault> {
        if !self.seen.insert(entry.id.clone()) {
            return Ok(());
        }
        self.last = Some(entry.id);
        let message = entry.message;
        if self.pending.as_ref() == Some(&message) {
            (self.pending, self.won) = (None, true);
            self.member.confirm()?;
            self.tell_members();
            return Ok(());
        }
        if self.sent.contains(&message) {
            return Ok(());
        }
        let now = self.member.place().map(|place| place.epoch);
        let of_now = now == Some(member::epoch_of(&message)?);
        if of_now
            && member::content_of(&message)? == Content::Commit
            && self.pending.take().is_some()
        {
            self.won = false;
            self.member.drop_commit()?;
        }
        match self.member.read(&message) {
            Ok(Heard::Text { from, text }) => println!("{from}: {text}"),
            Ok(Heard::Proposal) => println!("somebody wishes to leave; /update lets them"),
            Ok(Heard::Commit { removed: true }) => println!("you are no member any more"),
            Ok(Heard::Commit { removed: false }) => self.tell_members(),
            // Of an epoch in which this device was no member.
            Err(_) => {}
        }
        Ok(())
    }

    fn tell_members(&self) {
        if let Some(place) = self.member.place() {
            println!("epoch {} has {} members", place.epoch, place.members.len());
        }
    }
}
