//! A delivery service in memory, which can be told to lose connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use waxwing::mls::framing::{self, Frame, Sender};

use crate::Fault;
use crate::member::{Content, account_of, content_of, epoch_of};
use crate::post::{Accounts, Answer, Arrival, Entry, Post, Trouble};

/// How many epochs a text may be late.
const WINDOW: u64 = 2;

/// What all devices share.
pub struct Hall {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    log: Vec<Entry>,
    /// The commit that ended each epoch.
    winners: BTreeMap<u64, Vec<u8>>,
    packages: BTreeMap<String, VecDeque<Vec<u8>>>,
    welcomes: BTreeMap<String, VecDeque<Vec<u8>>>,
    /// Whether people join by themselves.
    open: bool,
    /// The state of an epoch.
    info: Option<(u64, Vec<u8>)>,
    /// Every so many messages a connection is lost, before or after the message has its place.
    losses: Option<usize>,
    sent: usize,
}

impl Hall {
    /// A service that loses a connection every so many messages; people join by themselves if it is open.
    pub fn new(losses: Option<usize>, open: bool) -> Arc<Hall> {
        let state = State {
            losses,
            open,
            ..State::default()
        };
        Arc::new(Hall {
            state: Mutex::new(state),
            news: watch::Sender::new(()),
        })
    }

    /// All messages in their order.
    pub fn archive(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn order(&mut self, message: &[u8]) -> Result<Answer, Trouble> {
        let (epoch, content) = (epoch_of(message)?, content_of(message)?);
        if epoch > self.epoch {
            return Err(Fault::from("an epoch that is not there yet").into());
        }
        if content == Content::Application && epoch + WINDOW < self.epoch {
            return Ok(Answer::Stale);
        }
        if content != Content::Application && epoch < self.epoch {
            let winner = self.winners.get(&epoch).cloned().unwrap_or_default();
            return Ok(Answer::Taken { winner });
        }
        if !self.open && enters(message)? {
            return Ok(Answer::Barred);
        }
        if content == Content::Commit {
            self.winners.insert(epoch, message.to_vec());
            self.epoch += 1;
        }
        self.log.push(Entry {
            id: self.log.len().to_string(),
            message: message.to_vec(),
        });
        Ok(Answer::Accepted)
    }
}

/// The place of one device in the hall.
pub struct Seat {
    hall: Arc<Hall>,
    identity: String,
    read: usize,
    there: bool,
}

impl Seat {
    /// A seat for the device with this identity.
    pub fn new(hall: &Arc<Hall>, identity: &str) -> Seat {
        Seat {
            hall: Arc::clone(hall),
            identity: identity.to_owned(),
            read: 0,
            there: false,
        }
    }

    fn ready(&mut self) -> Option<Arrival> {
        let mut state = self.hall.state();
        let welcomes = state.welcomes.get_mut(&self.identity);
        if let Some(message) = welcomes.and_then(VecDeque::pop_front) {
            let id = String::new();
            return Some(Arrival::Welcome { id, message });
        }
        let entry = state.log.get(self.read)?.clone();
        self.read += 1;
        Some(Arrival::Entry(entry))
    }
}

impl Post for Seat {
    async fn come(&mut self, after: Option<&str>) -> Result<Vec<Entry>, Trouble> {
        self.there = true;
        let state = self.hall.state();
        let last = after.map(str::parse::<usize>).transpose();
        let from = last.map_err(Fault::from)?.map_or(0, |last| last + 1);
        self.read = state.log.len();
        Ok(state.log.get(from..).unwrap_or_default().to_vec())
    }

    async fn go(&mut self) {
        self.there = false;
    }

    async fn found(&mut self, _: &[u8]) -> Result<(), Trouble> {
        Ok(())
    }

    async fn publish(&mut self, packages: &[Vec<u8>]) -> Result<(), Trouble> {
        let mut state = self.hall.state();
        let own = state.packages.entry(self.identity.clone()).or_default();
        own.extend(packages.iter().cloned());
        Ok(())
    }

    async fn take(&mut self, account: &str) -> Result<Vec<Vec<u8>>, Trouble> {
        let mut taken = Vec::new();
        for (identity, packages) in &mut self.hall.state().packages {
            if account_of(identity) == account {
                taken.extend(packages.pop_front());
            }
        }
        Ok(taken)
    }

    async fn send(&mut self, message: &[u8], _: &Accounts) -> Result<Answer, Trouble> {
        // Others may be at the same point.
        tokio::task::yield_now().await;
        if !self.there {
            return Err(cut());
        }
        let mut state = self.hall.state();
        state.sent += 1;
        let lost = state
            .losses
            .is_some_and(|every| state.sent.is_multiple_of(every));
        if lost && state.sent.is_multiple_of(2) {
            self.there = false;
            return Err(cut());
        }
        let answer = state.order(message)?;
        drop(state);
        self.hall.news.send_replace(());
        if lost {
            self.there = false;
            return Err(cut());
        }
        Ok(answer)
    }

    async fn keep_state(&mut self, state: &[u8]) -> Result<(), Trouble> {
        let Ok(Frame::GroupInfo { epoch, .. }) = framing::read(state) else {
            return Err(Fault::from("that is no state").into());
        };
        let mut hall = self.hall.state();
        if epoch == hall.epoch {
            hall.info = Some((epoch, state.to_vec()));
        }
        Ok(())
    }

    async fn state(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        let hall = self.hall.state();
        let info = hall
            .info
            .as_ref()
            .filter(|(epoch, _)| hall.open && *epoch == hall.epoch);
        Ok(info.map(|(_, state)| state.clone()))
    }

    async fn welcome(&mut self, identity: &str, welcome: &[u8]) -> Result<(), Trouble> {
        let mut state = self.hall.state();
        let box_ = state.welcomes.entry(identity.to_owned()).or_default();
        box_.push_back(welcome.to_vec());
        drop(state);
        self.hall.news.send_replace(());
        Ok(())
    }

    async fn received(&mut self, _id: &str) -> Result<(), Trouble> {
        Ok(())
    }

    async fn next(&mut self) -> Result<Arrival, Trouble> {
        let mut news = self.hall.news.subscribe();
        loop {
            if !self.there {
                return Err(cut());
            }
            if let Some(arrival) = self.ready() {
                return Ok(arrival);
            }
            news.changed().await.map_err(Fault::from)?;
        }
    }
}

/// Whether a message is the commit of somebody who joins by it.
fn enters(message: &[u8]) -> Result<bool, Fault> {
    match framing::read(message)? {
        Frame::Message(framed) => Ok(framed.sender == Sender::NewCommit),
        _ => Ok(false),
    }
}

fn cut() -> Trouble {
    Trouble::Lost("by the will of the test".to_owned())
}
