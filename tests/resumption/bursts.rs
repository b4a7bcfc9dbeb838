//! In the middle of a burst the connections are cut, the server is stopped, the server is killed;
//! the sequence is complete, and everything comes once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::process::{Process, jid};

/// A client that keeps what was not acknowledged, and sends it again, as XEP-0198 §5 says.
struct Party {
    name: &'static str,
    client: Client,
    /// Numbers sent and not acknowledged, oldest first.
    unacked: Vec<Option<u64>>,
    acked: u32,
    got: Vec<u64>,
    resumed: u32,
    anew: u32,
}

fn message(to: &Jid, n: u64) -> Stanza {
    let body = Element::new("body", ns::CLIENT).with_text(&n.to_string());
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_id(n.to_string())
        .with_child(body)
}

impl Party {
    async fn log_in(server: &Process, name: &'static str) -> Party {
        let builder = server.client(name).resource(name).resumable();
        let mut party = Party {
            name,
            client: builder.connect(server.addr).await.unwrap(),
            unacked: Vec::new(),
            acked: 0,
            got: Vec::new(),
            resumed: 0,
            anew: 0,
        };
        party.available().await;
        party
    }

    async fn available(&mut self) {
        self.unacked.push(None);
        let _ = self.client.presence().await;
    }

    async fn say(&mut self, to: &Jid, n: u64) {
        self.unacked.push(Some(n));
        let _ = self.client.send(message(to, n)).await;
        if n.is_multiple_of(7) {
            let _ = self.client.send(Element::new("r", ns::SM)).await;
        }
    }

    async fn listen(&mut self, within: Duration) {
        let mut wait = within;
        while let Some(el) = self.client.next(wait).await {
            wait = Duration::ZERO;
            if el.is("message", ns::CLIENT) {
                let body = el.child("body", ns::CLIENT).unwrap();
                self.got.push(body.text().parse().unwrap());
            }
            if let Some(h) = self.client.acked {
                self.handled(h);
            }
        }
    }

    /// The server has handled so many.
    fn handled(&mut self, h: u32) {
        let newly = h.wrapping_sub(self.acked) as usize;
        assert!(newly <= self.unacked.len(), "more than was sent");
        self.unacked.drain(..newly);
        self.acked = h;
    }

    /// Cuts the connection, and resumes or logs in anew; what is not acknowledged goes out again.
    async fn come_back(&mut self, server: &Process, to: &Jid) {
        let (id, handled) = (
            self.client.session.clone().unwrap(),
            self.client.handled.unwrap(),
        );
        let builder = server.client(self.name).resource(self.name);
        self.client = builder
            .resume(&id, handled)
            .connect(server.addr)
            .await
            .unwrap();
        if let Some(h) = self.client.resumed_h() {
            self.handled(h);
        }
        let rest = std::mem::take(&mut self.unacked);
        if self.client.is_resumed() {
            self.resumed += 1;
        } else {
            self.anew += 1;
            self.acked = 0;
            self.available().await;
        }
        for n in rest.into_iter().flatten() {
            self.say(to, n).await;
        }
    }

    async fn settle(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        let _ = self.client.send(Element::new("r", ns::SM)).await;
        while !self.unacked.is_empty() {
            assert!(Instant::now() < until, "{} is not acknowledged", self.name);
            self.listen(Duration::from_millis(20)).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    /// Both connections.
    Cut,
    /// The server, as a supervisor does it.
    Terminate,
    /// The server, by kill -9.
    Kill,
}

async fn play(blow: Blow, blows: u64) {
    let mut server = Process::start(&["romeo", "juliet"], &[]);
    let to = jid("juliet");
    let mut romeo = Party::log_in(&server, "romeo").await;
    let mut juliet = Party::log_in(&server, "juliet").await;
    juliet.settle().await;
    let mut next = 0;
    for round in 0..blows {
        for _ in 0..60 + 13 * round {
            romeo.say(&to, next).await;
            next += 1;
            romeo.listen(Duration::ZERO).await;
            juliet.listen(Duration::ZERO).await;
        }
        match blow {
            Blow::Cut => {}
            Blow::Terminate => {
                server.terminate();
                // What is said meanwhile is not lost either.
                romeo.say(&to, next).await;
                next += 1;
                romeo.listen(Duration::from_secs(5)).await;
                juliet.listen(Duration::from_secs(5)).await;
                assert!(server.wait(Duration::from_secs(30)).success());
                server.restart();
            }
            Blow::Kill => {
                server.kill();
                romeo.listen(Duration::from_millis(50)).await;
                juliet.listen(Duration::from_millis(50)).await;
                server.restart();
            }
        }
        romeo.come_back(&server, &to).await;
        juliet.come_back(&server, &to).await;
    }
    romeo.settle().await;
    let until = Instant::now() + Duration::from_secs(30);
    while juliet.got.iter().max() != Some(&(next - 1)) || juliet.got.len() < next as usize {
        assert!(Instant::now() < until, "{:?} of {next}", juliet.got.len());
        juliet.listen(Duration::from_millis(50)).await;
    }
    juliet.listen(Duration::from_millis(200)).await;
    println!(
        "{blow:?}: {next} messages, {} resumed, {} anew, {} came",
        romeo.resumed + juliet.resumed,
        romeo.anew + juliet.anew,
        juliet.got.len()
    );
    let all: BTreeSet<u64> = juliet.got.iter().copied().collect();
    assert_eq!(all.len() as u64, next, "something is missing");
    if blow == Blow::Kill {
        // Whoever was not heard acknowledging before the kill may be offered a message again.
        assert_eq!(romeo.resumed + juliet.resumed, 0);
        return;
    }
    assert_eq!(romeo.anew + juliet.anew, 0, "everybody resumed");
    let once: Vec<u64> = (0..next).collect();
    assert_eq!(juliet.got, once, "each once, in order");
}

#[tokio::test]
async fn connections_are_cut() {
    play(Blow::Cut, 6).await;
}

#[tokio::test]
async fn the_server_is_restarted() {
    play(Blow::Terminate, 3).await;
}

#[tokio::test]
async fn the_server_is_killed() {
    play(Blow::Kill, 3).await;
}
