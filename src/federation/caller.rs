//! Who calls another server, and what comes of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::further::Further;
use super::house::House;
use super::keeper::Key;
use super::line::Line;
use super::pair::Input;
use super::stats::Calling;
use super::trouble::Trouble;
use crate::proto::error::Condition;
use crate::stream::server::{Caller, Established, Failure, Line as _, ResumeLink, Verdict};
use crate::stream::{AckError, Seat};

/// Calls for a pair that has something to send.
pub(super) struct ForPair {
    pub house: Arc<House>,
    pub key: Key,
    pub address: String,
    /// A stream that lost its connection and may go on, and how to ask for it.
    pub earlier: Option<(Arc<Line>, ResumeLink)>,
    /// Tells how far it is, until it is over.
    pub _calling: Calling,
}

impl Caller for ForPair {
    fn ready(&self, how: &Established) -> Arc<dyn Seat> {
        let line = Line::new(self.house.clone(), self.address.clone(), false);
        if let Some(doubt) = &how.doubt {
            tracing::info!(pair = %self.key, doubt, "the certificate of the other server is not valid; DNS is believed, as configured");
        }
        line.add(self.key.pair().clone(), how.proof, true);
        if how.named {
            line.is_named();
        }
        if how.bidi {
            line.goes_both_ways();
        }
        line.lock().further = Further::of(how);
        if let Some(resumption) = &how.resumption {
            line.can_resume(resumption.clone());
        }
        self.house.post(&self.key, Input::Up(line.way(&self.key)));
        line.seat()
    }

    fn earlier(&self) -> Option<&ResumeLink> {
        self.earlier.as_ref().map(|(_, wish)| wish)
    }

    fn resumed(&self, h: u32) -> Result<Arc<dyn Seat>, AckError> {
        match &self.earlier {
            Some((line, _)) => line.take_up(h, &self.address),
            None => Err(AckError { h, sent: 0 }),
        }
    }

    fn not_resumed(&self, h: Option<u32>) {
        if let Some((line, _)) = &self.earlier {
            line.not_resumed(h);
        }
    }

    fn verified(&self, _: Verdict) {}

    fn failed(&self, why: Failure) {
        self.house
            .post(&self.key, Input::Failed(Trouble::Stream(why)));
    }
}

/// Asks about a dialback key.
pub(super) struct ForKey(pub Mutex<Option<oneshot::Sender<Verdict>>>);

impl ForKey {
    fn tell(&self, verdict: Verdict) {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            let _ = reply.send(verdict);
        }
    }
}

impl Caller for ForKey {
    fn ready(&self, _: &Established) -> Arc<dyn Seat> {
        unreachable!("a stream that asks about a key carries no stanzas")
    }

    fn verified(&self, verdict: Verdict) {
        self.tell(verdict);
    }

    fn failed(&self, why: Failure) {
        tracing::debug!(%why, "a dialback key could not be verified");
        self.tell(Verdict::Error(Condition::RemoteServerTimeout));
    }
}
