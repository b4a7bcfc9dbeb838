//! A stanza under way: where it came from, what is known of it, and what it will leave behind.

use std::sync::Arc;

use smallvec::SmallVec;

use super::account::{Entry, SessionId};
use super::facts::Facts;
use super::kinds::Event;
use super::turn::Turn;
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;
use crate::store::Batch;

/// Whose word a stanza is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A bound session of an account here.
    Session(SessionId),
    /// The server itself, for an account or a host.
    Server,
    /// The server, for an account here that passes on what people send it: it is no less a stranger's for that.
    Account,
    /// A service of this server (rooms, pubsub host …).
    Service,
    /// A domain proved on a server stream.
    Remote,
}

/// A stanza under way. `from` and `to` of the stanza are set and true.
pub struct Envelope {
    /// The stanza, shared with its other copies.
    pub stanza: Arc<Stanza>,
    /// Where this copy goes.
    pub to: Jid,
    /// Facts computed once.
    pub facts: Facts,
    /// Whose word it is.
    pub origin: Origin,
    /// Whether the log of the account whose path it is on keeps it: the sender's or, after it was
    /// taken, the recipient's (archive). Each path begins without.
    pub keep: bool,
    /// What it leaves with the account that sent it.
    pub sent: Option<Box<Sent>>,
    /// After the commit: its entry in the log of the account in whose turn it is.
    pub entry: Option<Entry>,
    /// After the commit, on its way to an account: the sessions it was handed to.
    pub reached: SmallVec<[SessionId; 1]>,
    /// Durable effects and what follows them.
    pub ledger: Ledger,
    /// Kept while the stanza is under way; its end tells the sender's session that it was handled.
    pub receipt: Option<Receipt>,
}

impl Envelope {
    /// An envelope for `stanza` on its way to `to`.
    pub fn new(stanza: Arc<Stanza>, to: Jid, origin: Origin) -> Self {
        let facts = Facts::of(&stanza);
        Envelope {
            stanza,
            to,
            facts,
            origin,
            keep: false,
            sent: None,
            entry: None,
            reached: SmallVec::new(),
            ledger: Ledger::default(),
            receipt: None,
        }
    }

    /// An envelope of the server's own, addressed as the stanza says.
    ///
    /// `None` when the stanza has no `to`.
    pub fn from_server(stanza: Stanza) -> Option<Self> {
        let to = stanza.to.clone()?;
        Some(Envelope::new(Arc::new(stanza), to, Origin::Server))
    }

    /// The stanza to amend; copied first if other copies share it.
    pub fn amend(&mut self) -> &mut Stanza {
        Arc::make_mut(&mut self.stanza)
    }

    /// The sender's address.
    pub fn from(&self) -> Option<&Jid> {
        self.stanza.from.as_ref()
    }
}

/// What a message leaves with the account that sent it. It is committed with what it leaves with
/// its recipient, and stands by itself if the recipient refuses.
#[derive(Clone)]
pub struct Sent {
    /// The message as the hooks of its sender left it.
    pub stanza: Arc<Stanza>,
    /// For whom it is.
    pub to: Jid,
    /// Its facts.
    pub facts: Facts,
    /// The session that sent it.
    pub session: SessionId,
    /// Whether the sender's log keeps it.
    pub keep: bool,
    /// What is written for the sender.
    pub batch: Batch,
}

impl Sent {
    /// The message as the hooks of the sender's phase [`Phase::Mirror`](super::Phase::Mirror) see it.
    pub fn into_envelope(self, entry: Option<Entry>) -> Envelope {
        let mut envelope = Envelope::new(self.stanza, self.to, Origin::Session(self.session));
        envelope.facts = self.facts;
        envelope.keep = self.keep;
        envelope.entry = entry;
        envelope
    }
}

/// What handling a stanza leaves behind: one batch, and effects that follow its commit in order.
#[derive(Default)]
pub struct Ledger {
    /// Durable effects.
    pub batch: Batch,
    /// What happens once they are on disk.
    pub effects: SmallVec<[Effect; 1]>,
    /// The effects wait for what was handed in before, also when there is nothing to write.
    pub in_order: bool,
}

impl Ledger {
    /// Nothing to write and nothing to do.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.effects.is_empty()
    }
}

/// Work for an account's turn.
pub type TurnFn = Box<dyn FnOnce(&mut Turn<'_>) + Send>;

/// What follows a commit.
pub enum Effect {
    /// Route a stanza of the server's own.
    Send(Box<Envelope>),
    /// Route one stanza of a service's to several.
    Copies(Box<Copies>),
    /// Let the account that sent a message do what follows.
    Mirror(Box<Sent>),
    /// Do something in an account's turn (bare JID).
    InTurn(Jid, TurnFn),
    /// Do something quick that needs no turn.
    Free(Box<dyn FnOnce() + Send>),
    /// Tell the modules.
    Event(Event),
}

/// One stanza to several: they share its body, and what is known of it is computed once.
pub struct Copies {
    /// The stanza.
    pub stanza: Arc<Stanza>,
    /// For whom it is.
    pub to: SmallVec<[Jid; 1]>,
}

impl Copies {
    /// An envelope for each.
    pub fn envelopes(self) -> impl Iterator<Item = Envelope> {
        let facts = Facts::of(&self.stanza);
        let stanza = self.stanza;
        self.to.into_iter().map(move |to| Envelope {
            stanza: stanza.clone(),
            to,
            facts,
            origin: Origin::Service,
            keep: false,
            sent: None,
            entry: None,
            reached: SmallVec::new(),
            ledger: Ledger::default(),
            receipt: None,
        })
    }
}

/// Tells a source that one of its stanzas is through, when dropped.
pub struct Receipt {
    source: Arc<dyn Source>,
    number: u32,
    submitted: bool,
    void: bool,
}

/// Where stanzas come from and are counted; implemented by the session room.
pub trait Source: Send + Sync {
    /// The stanza of this number goes to the committer with this batch, which may take what the
    /// source must remember of it.
    fn submitted(&self, number: u32, batch: &mut Batch);
    /// The stanza of this number is through; `submitted` says whether it had been with the
    /// committer. One that was not `handled` must never be acknowledged, nor any after it.
    fn completed(&self, number: u32, submitted: bool, handled: bool);
    /// Whether a stanza of this source is with the committer now.
    fn committing(&self) -> bool;
    /// Whether another source has taken its place: what it brings and was not begun with will
    /// come again.
    fn is_stale(&self) -> bool;
}

impl Receipt {
    /// A receipt for a stanza of `source`, which numbers them.
    pub fn new(source: Arc<dyn Source>, number: u32) -> Self {
        Receipt {
            source,
            number,
            submitted: false,
            void: false,
        }
    }

    /// The stanza goes to the committer with this batch.
    pub fn submit(&mut self, batch: &mut Batch) {
        if !self.submitted {
            self.submitted = true;
            self.source.submitted(self.number, batch);
        }
    }

    /// Whether it will be sent again by another source.
    pub fn is_stale(&self) -> bool {
        self.source.is_stale()
    }

    /// The stanza could not be handled and must not be acknowledged.
    pub fn void(mut self) {
        self.void = true;
    }

    /// Whether an earlier stanza of the same source has not come back from the committer.
    pub fn must_queue(&self) -> bool {
        self.source.committing()
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let handled = !self.void && !std::thread::panicking();
        self.source.completed(self.number, self.submitted, handled);
    }
}
