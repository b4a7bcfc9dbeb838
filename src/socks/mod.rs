//! SOCKS5 for those who meet here (XEP-0065 §6): two connections ask for one name, and a feature that knows who they are joins
//! them. Nobody is taken anywhere else.

mod hello;
mod lobby;
mod pump;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::hooks::{MeetingTerms, Meetings, NotJoined};
use crate::metrics::{Counter, Gauge, Registry};
use crate::net::{Caller, Serving, Subnet};

use hello::{Code, Name};
use lobby::{Lobby, Part};

/// How those who call are served.
pub struct SocksOptions {
    /// Whether anybody is joined here at all.
    pub open: bool,
    /// Who may wait at once.
    pub waiting: usize,
    /// The same from one address.
    pub waiting_per_address: usize,
    /// Whose connections are not counted by address.
    pub exempt: Vec<Subnet>,
    /// Time to say what is wanted.
    pub hello: Duration,
    /// Time to wait until joined.
    pub wait: Duration,
}

/// The place; clones are the same.
#[derive(Clone)]
pub struct Socks(Arc<Inner>);

struct Inner {
    options: ArcSwap<SocksOptions>,
    lobby: Lobby,
    figures: Figures,
}

/// What is counted.
struct Figures {
    waiting: Gauge,
    joined: Counter,
    refused: Counter,
    left: Counter,
    late: Counter,
    full: Counter,
    full_of_address: Counter,
}

impl Socks {
    /// With these options.
    pub fn new(options: SocksOptions, registry: &Registry) -> Socks {
        Socks(Arc::new(Inner {
            options: ArcSwap::from_pointee(options),
            lobby: Lobby::default(),
            figures: Figures::new(registry),
        }))
    }

    /// Works with other options from now on.
    pub fn set(&self, options: SocksOptions) {
        self.0.options.store(Arc::new(options));
    }
}

impl Meetings for Socks {
    fn join(&self, name: &str, terms: MeetingTerms) -> Result<(), NotJoined> {
        let name = Name::parse(name.as_bytes()).ok_or(NotJoined::Nobody)?;
        self.0.lobby.join(name, terms)
    }
}

impl crate::net::Front for Socks {
    fn serve(&self, caller: Caller) -> Serving {
        let inner = self.0.clone();
        Box::pin(async move {
            let Caller {
                stream, peer, stop, ..
            } = caller;
            let mut served = std::pin::pin!(inner.serve(stream, peer));
            poll_fn(|cx| match stop.is_set() {
                true => Poll::Ready(()),
                false => served.as_mut().poll(cx),
            })
            .await;
            None
        })
    }
}

impl Inner {
    async fn serve(&self, mut stream: crate::net::WebStream, peer: IpAddr) {
        let options = self.options.load_full();
        if !options.open {
            return;
        }
        let limits = options.limits(peer);
        let place = match self.lobby.enter(peer, limits) {
            Ok(place) => place,
            Err(full) => {
                match full {
                    lobby::Full::All => self.figures.full.count(),
                    lobby::Full::Address => self.figures.full_of_address.count(),
                }
                return;
            }
        };
        let waiting = Waiting::new(&self.figures.waiting);
        let asked = match timeout(options.hello, hello::read(&mut stream)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a SOCKS5 connection was refused");
                return self.figures.refused.count();
            }
            Err(_) => return self.figures.late.count(),
        };
        let Some(mut wait) = self.lobby.wait(asked.name) else {
            self.figures.refused.count();
            // Who is refused may be gone already.
            let _ = stream.write_all(&asked.answer(Code::NotAllowed)).await;
            return;
        };
        if stream
            .write_all(&asked.answer(Code::Welcome))
            .await
            .is_err()
        {
            return self.figures.left.count();
        }
        match timeout(options.wait, wait.until_joined(&mut stream)).await {
            Err(_) => self.figures.late.count(),
            Ok(None) => self.figures.left.count(),
            Ok(Some((part, early))) => {
                drop((wait, place, waiting));
                self.figures.joined.count();
                play(part, stream, early).await;
            }
        }
    }
}

/// One of the two carries the bytes of both; the other hands its connection over and keeps its count until all is over.
async fn play(part: Part, stream: crate::net::WebStream, early: Vec<u8>) {
    match part {
        Part::Second { first, over } => {
            // If the first is gone, so is the meeting.
            let _ = first.send((stream, early));
            let _ = over.await;
        }
        Part::First {
            second,
            over: _over,
            terms,
        } => {
            if let Ok(second) = second.await {
                pump::carry((stream, early), second, *terms).await;
            }
        }
    }
}

impl SocksOptions {
    fn limits(&self, peer: IpAddr) -> (usize, usize) {
        let exempt = self.exempt.iter().any(|net| net.contains(peer));
        match exempt {
            true => (self.waiting, usize::MAX),
            false => (self.waiting, self.waiting_per_address),
        }
    }
}

impl Figures {
    fn new(registry: &Registry) -> Figures {
        let outcome = |outcome| {
            registry.counter(
                "waxwing_socks_connections_total",
                "Connections of SOCKS5, by what became of them: joined to another, refused, gone before that, or late.",
                &[("outcome", outcome)],
            )
        };
        Figures {
            waiting: registry.gauge(
                "waxwing_socks_waiting",
                "Connections of SOCKS5 that wait to be joined.",
                &[],
            ),
            joined: outcome("joined"),
            refused: outcome("refused"),
            left: outcome("left"),
            late: outcome("late"),
            full: registry.limit("limits.bytestreams.waiting"),
            full_of_address: registry.limit("limits.bytestreams.waiting_per_address"),
        }
    }
}

/// Counts a connection while it waits.
struct Waiting(Gauge);

impl Waiting {
    fn new(gauge: &Gauge) -> Waiting {
        gauge.up();
        Waiting(gauge.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.down();
    }
}
