//! Questions of the server to others, and the answers that come back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::hooks::AskError;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, Stanza};
use crate::xml::Element;

type Answer = Result<Option<Element>, AskError>;

/// Open questions by id; bounded.
pub(super) struct Questions {
    limit: usize,
    open: Mutex<HashMap<Box<str>, Open>>,
}

struct Open {
    to: Jid,
    until: Instant,
    reply: oneshot::Sender<Answer>,
}

impl Questions {
    pub(super) fn new(limit: usize) -> Self {
        Questions {
            limit,
            open: Mutex::default(),
        }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Opens a question to `to` under `id`.
    pub(super) fn open(
        &self,
        id: &str,
        to: Jid,
        until: Instant,
    ) -> Result<oneshot::Receiver<Answer>, AskError> {
        let mut open = self.lock();
        if open.len() >= self.limit {
            return Err(AskError::Busy);
        }
        let (reply, answer) = oneshot::channel();
        open.insert(id.into(), Open { to, until, reply });
        Ok(answer)
    }

    /// An answer came: whether a question was open for it. One from somebody else than was asked
    /// is none.
    pub(super) fn answered(&self, stanza: &Stanza) -> bool {
        let (Some(id), Some(from)) = (&stanza.id, &stanza.from) else {
            return false;
        };
        let mut open = self.lock();
        if open.get(id).is_none_or(|question| question.to != *from) {
            return false;
        }
        let Some(question) = open.remove(id) else {
            return false;
        };
        drop(open);
        let answer = match stanza.kind {
            Kind::Iq(IqType::Result) => Ok(stanza.payload().map(|el| el.to_element())),
            _ => Err(AskError::Refused(Box::new(error_of(stanza)))),
        };
        // Who asked may have gone.
        let _ = question.reply.send(answer);
        true
    }

    /// Forgets questions whose time is over; their askers have timed out themselves.
    pub(super) fn expire(&self, now: Instant) {
        self.lock().retain(|_, question| question.until > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error_of(stanza: &Stanza) -> StanzaError {
    match stanza.child("error", ns::CLIENT) {
        Some(error) => StanzaError::parse(error),
        None => Condition::UndefinedCondition.into(),
    }
}
