//! Who waits for whom.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

use super::hello::Name;
use crate::hooks::{MeetingTerms, NotJoined};
use crate::net::WebStream;
use crate::runtime::origin::Origin;

/// Bytes that are read at once while nothing is to be said yet.
const EARLY: usize = 512;

/// A connection, and what was read of it already that belongs to the other.
pub(super) type Met = (WebStream, Vec<u8>);

/// Where connections wait; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Lobby(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    present: usize,
    by_origin: HashMap<Origin, usize>,
    /// One or two of a name.
    names: HashMap<Name, Vec<oneshot::Sender<Part>>>,
}

/// What a connection does once it is joined to another.
pub(super) enum Part {
    /// It carries the bytes of both.
    First {
        second: oneshot::Receiver<Met>,
        /// Dropped when it is over.
        over: oneshot::Sender<()>,
        terms: Box<MeetingTerms>,
    },
    /// It goes to the first.
    Second {
        first: oneshot::Sender<Met>,
        over: oneshot::Receiver<()>,
    },
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

impl Lobby {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this address, within the limits: of all, and of one address.
    pub(super) fn enter(&self, peer: IpAddr, limits: (usize, usize)) -> Result<Place, Full> {
        let (most, most_of_address) = limits;
        let origin = Origin::of(peer);
        let mut state = self.state();
        if state.present >= most {
            return Err(Full::All);
        }
        let here = state.by_origin.entry(origin).or_default();
        if *here >= most_of_address {
            return Err(Full::Address);
        }
        *here += 1;
        state.present += 1;
        Ok(Place {
            lobby: self.clone(),
            origin,
        })
    }

    /// Waits under a name; `None` if two do already.
    pub(super) fn wait(&self, name: Name) -> Option<Wait> {
        let (sender, part) = oneshot::channel();
        let mut state = self.state();
        let waiting = state.names.entry(name).or_default();
        if waiting.len() >= 2 {
            return None;
        }
        waiting.push(sender);
        Some(Wait {
            lobby: self.clone(),
            name,
            part,
        })
    }

    /// Joins the two of a name.
    pub(super) fn join(&self, name: Name, terms: MeetingTerms) -> Result<(), NotJoined> {
        let mut state = self.state();
        let waiting = state.names.get(&name).map_or(0, Vec::len);
        if waiting < 2 {
            return Err(match waiting {
                0 => NotJoined::Nobody,
                _ => NotJoined::Alone,
            });
        }
        let mut waiting = state.names.remove(&name).unwrap_or_default().into_iter();
        let (first, second) = oneshot::channel();
        let (over, end) = oneshot::channel();
        let parts = [
            Part::First {
                second,
                over,
                terms: Box::new(terms),
            },
            Part::Second { first, over: end },
        ];
        for part in parts {
            // Who left this moment drops it, and the other sees that.
            let _ = waiting.next().map(|waiting| waiting.send(part));
        }
        Ok(())
    }
}

/// A place of a connection that is not joined yet.
pub(super) struct Place {
    lobby: Lobby,
    origin: Origin,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lobby.state();
        state.present = state.present.saturating_sub(1);
        if let Some(here) = state.by_origin.get_mut(&self.origin) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                state.by_origin.remove(&self.origin);
            }
        }
    }
}

/// One that waits.
pub(super) struct Wait {
    lobby: Lobby,
    name: Name,
    part: oneshot::Receiver<Part>,
}

impl Wait {
    /// Until it is joined; `None` if it leaves before. What it sends before that is not looked at (XEP-0065 §10.1), but what
    /// came at the same moment is kept.
    pub(super) async fn until_joined(&mut self, stream: &mut WebStream) -> Option<(Part, Vec<u8>)> {
        let mut space = [0; EARLY];
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(part) = Pin::new(&mut self.part).poll(cx) {
                    return Poll::Ready(part.ok().map(|part| (part, Vec::new())));
                }
                let mut read = ReadBuf::new(&mut space);
                match Pin::new(&mut *stream).poll_read(cx, &mut read) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                }
                if let Ok(part) = self.part.try_recv() {
                    return Poll::Ready(Some((part, read.filled().to_vec())));
                }
            }
        })
        .await
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // Closed first: then it is the one that is not there any more, whichever of the two it was.
        self.part.close();
        let mut state = self.lobby.state();
        if let Some(waiting) = state.names.get_mut(&self.name) {
            waiting.retain(|sender| !sender.is_closed());
            if waiting.is_empty() {
                state.names.remove(&self.name);
            }
        }
    }
}
