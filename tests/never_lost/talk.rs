//! Numbered messages: who sends them knows what the server acknowledged, who receives them what came.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use waxwing::proto::{Jid, MessageType, Stanza, StanzaError, ns};
use waxwing::runtime::random;
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::process::{Process, jid};

/// Sends numbered messages over a stream with acknowledgements.
pub struct Sender {
    /// Its stream.
    pub client: Client,
    to: Jid,
    /// The number of the first message of this stream.
    first: u64,
    /// The number of the next message.
    pub next: u64,
    /// Below this every message of the stream is acknowledged.
    pub acked: u64,
    /// Those that came back with an error.
    pub refused: BTreeSet<u64>,
    /// Their errors, newest last.
    pub refusals: Vec<StanzaError>,
    /// At most so many messages are on their way without acknowledgement.
    pub window: u64,
    /// Longest body; it is filled up at random.
    pub longest: usize,
}

impl Sender {
    /// Logs in. Messages are numbered from `first` on.
    pub async fn log_in(server: &Process, name: &str, to: Jid, first: u64) -> Sender {
        let builder = server.client(name).acks().resource("sender");
        let client = builder.connect(server.addr).await;
        Sender {
            client: client.unwrap(),
            to,
            first,
            next: first,
            acked: first,
            refused: BTreeSet::new(),
            refusals: Vec::new(),
            window: 256,
            longest: 400,
        }
    }

    /// Sends as fast as it can until the time is over or the stream ends.
    pub async fn burst(&mut self, during: Duration) {
        let began = Instant::now();
        while began.elapsed() < during && !self.client.is_over() {
            let wait = if self.next - self.acked < self.window {
                if self.send().await.is_err() {
                    break;
                }
                Duration::ZERO
            } else {
                Duration::from_millis(5)
            };
            self.listen(wait).await;
        }
    }

    /// Sends so many, and waits until all are acknowledged.
    pub async fn deliver(&mut self, count: u64) {
        let end = self.next + count;
        while self.next < end {
            if self.next - self.acked < self.window {
                self.send().await.unwrap();
            }
            self.listen(Duration::ZERO).await;
        }
        self.settle(Duration::from_secs(60)).await;
        assert_eq!(self.acked, self.next, "not everything is acknowledged");
    }

    /// Waits until everything is acknowledged, or the stream ends.
    pub async fn settle(&mut self, within: Duration) {
        let began = Instant::now();
        let _ = self.client.send(Element::new("r", ns::SM)).await;
        while self.acked < self.next && !self.client.is_over() && began.elapsed() < within {
            self.listen(Duration::from_millis(50)).await;
        }
    }

    /// Sends the next message; now and then asks for an acknowledgement.
    pub async fn send(&mut self) -> Result<(), Error> {
        let n = self.next;
        self.next += 1;
        self.client.send(message(&self.to, n, self.longest)).await?;
        if n.is_multiple_of(5) {
            self.client.send(Element::new("r", ns::SM)).await?;
        }
        Ok(())
    }

    /// Takes what comes, for so long.
    pub async fn listen(&mut self, within: Duration) {
        let mut wait = within;
        while let Some(el) = self.client.next(wait).await {
            wait = Duration::ZERO;
            if el.is("a", ns::SM) {
                let h = u64::from(self.client.acked.unwrap());
                assert!(
                    self.first + h <= self.next,
                    "it acknowledges what was not sent"
                );
                self.acked = self.first + h;
            } else if el.is("message", ns::CLIENT) && el.attr("type") == Some("error") {
                self.refused.insert(el.attr("id").unwrap().parse().unwrap());
                let error = el.child("error", ns::CLIENT).unwrap();
                self.refusals.push(StanzaError::parse(error));
            }
        }
    }

    /// How many were sent on this stream.
    pub fn sent(&self) -> u64 {
        self.next - self.first
    }

    /// What was promised to arrive.
    pub fn promised(&self) -> BTreeSet<u64> {
        let acked: BTreeSet<u64> = (self.first..self.acked).collect();
        &acked - &self.refused
    }
}

/// Message number `n`, with text of a length that differs.
pub fn message(to: &Jid, n: u64, longest: usize) -> Stanza {
    let length = (n as usize).wrapping_mul(7919) % longest.max(1);
    let body = format!("{n} {}", "x".repeat(length));
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_id(n.to_string())
        .with_child(Element::new("body", ns::CLIENT).with_text(&body))
}

/// The number of a message, if it is one of ours.
pub fn number(el: &Element) -> Option<u64> {
    let body = el
        .is("message", ns::CLIENT)
        .then(|| el.child("body", ns::CLIENT))??;
    if el.attr("type") == Some("error") {
        return None;
    }
    body.text().split(' ').next()?.parse().ok()
}

/// Takes numbered messages.
pub struct Receiver {
    /// Its stream.
    pub client: Client,
    /// What came on this stream, in order.
    pub got: Vec<u64>,
    /// Below this index of `got` the server certainly knows that it came.
    pub confirmed: usize,
}

impl Receiver {
    /// Logs in and becomes available.
    pub async fn log_in(server: &Process, name: &str, acks: bool) -> Receiver {
        let builder = server.client(name);
        let builder = if acks { builder.acks() } else { builder };
        let mut client = builder.connect(server.addr).await.unwrap();
        client.presence().await.unwrap();
        Receiver {
            client,
            got: Vec::new(),
            confirmed: 0,
        }
    }

    /// Takes what comes for so long, or until the stream ends.
    pub async fn listen(&mut self, during: Duration) {
        let until = Instant::now() + during;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.next(left).await {
                Some(el) => self.got.extend(number(&el)),
                None if self.client.is_over() || left.is_zero() => return,
                None => {}
            }
        }
    }

    /// Takes what comes until message `last` has come.
    pub async fn listen_until(&mut self, last: u64) {
        let mut until = Instant::now() + Duration::from_secs(60);
        while self.got.last() != Some(&last) {
            let left = until.saturating_duration_since(Instant::now());
            let got = self.client.next(left).await;
            let el = got.unwrap_or_else(|| panic!("no {last} after {:?}", self.got.last()));
            if let Some(n) = number(&el) {
                self.got.push(n);
                until = Instant::now() + Duration::from_secs(60);
            }
        }
    }

    /// Acknowledges everything, and makes sure that the server has noted it: a message after it
    /// is on disk, and the commits of one account go in order. Answers whether it got so far.
    pub async fn confirm(&mut self, sink: &str) -> bool {
        let handled = self.client.handled.unwrap();
        let before = self.got.len();
        let ack = Element::new("a", ns::SM).with_attr("h", &handled.to_string());
        // Another one each time, or it would be taken for one sent again.
        let after = message(&jid(sink), u64::from_be_bytes(random::bytes()), 1);
        let sent = async {
            self.client.send(ack).await?;
            self.client.send(after).await?;
            self.client.send(Element::new("r", ns::SM)).await
        };
        if sent.await.is_err() {
            return false;
        }
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            match self.client.next(Duration::from_millis(200)).await {
                Some(el) if el.is("a", ns::SM) => {
                    self.confirmed = before;
                    return true;
                }
                Some(el) => self.got.extend(number(&el)),
                None if self.client.is_over() => return false,
                None => {}
            }
        }
        panic!("no acknowledgement came");
    }
}

/// Fails unless the numbers go up, each once.
pub fn assert_ordered(got: &[u64], what: &str) {
    let wrong = got.windows(2).find(|pair| pair[0] >= pair[1]);
    assert!(wrong.is_none(), "{what}: {wrong:?} in {got:?}");
}
