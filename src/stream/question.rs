//! What the machine cannot know by itself: questions to the server, and the answers.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::sasl::failure::SaslFailure;
use super::sasl::hash::ScramHash;
use super::sasl::keys::ScramKeys;
use super::sasl::secret::Secret;
use super::seat::{AckError, Seat};
use super::server::{ResumeLink, Taken, Verdict, Verify};
use super::tables::When;
use crate::proto::{Jid, StanzaError};
use crate::xml::Element;

/// A question; each has one kind of [`Answer`].
#[derive(Debug)]
pub enum Question {
    /// The SCRAM keys of a user; for one who does not exist, or has no keys for this hash, [`ScramKeys::fake`].
    /// → [`Answer::Credentials`]
    Credentials {
        /// The host logged in to.
        host: Jid,
        /// The account: bare, prepared.
        user: Jid,
        /// For which hash.
        hash: ScramHash,
    },
    /// Whether this is the password (SASL PLAIN). Costs the same for a user who does not exist. → [`Answer::Password`]
    Password {
        /// The account: bare, prepared.
        user: Jid,
        /// What was given as its password.
        password: Secret,
    },
    /// Somebody failed to prove to be `user`. The answer may be held back, which is how guessing is slowed.
    /// → [`Answer::Noted`]
    Failed {
        /// The account that was tried.
        user: Jid,
        /// The peer's address.
        address: String,
    },
    /// `user` proved to be himself: may he come in? → [`Answer::Authorized`]
    Authorize {
        /// The account: bare.
        user: Jid,
        /// Which of its credentials were proved, as [`Credentials::generation`]; who proved some that were replaced since is
        /// refused.
        generation: Option<u64>,
    },
    /// Store these keys beside the ones there are (XEP-0480). → [`Answer::Upgraded`]
    Upgrade {
        /// The account: bare.
        user: Jid,
        /// For which hash.
        hash: ScramHash,
        /// The new keys.
        keys: ScramKeys,
    },
    /// Bind a resource. → [`Answer::Bound`]
    Bind(Box<BindRequest>),
    /// Take up a session that lost its connection. → [`Answer::Resumed`]
    Resume(Box<ResumeRequest>),
    /// Requests to modules inside `<authenticate/>`. → [`Answer::Inline`]
    Inline(Box<InlineRequest>),
    /// An iq of somebody who has not logged in, for a module. → [`Answer::Stranger`]
    Stranger(Box<StrangerIq>),
    /// What a module's SASL mechanism waits for. → [`Answer::Module`]
    Module(ModuleQuestion),
    /// Another server wants to go on with a stream. → [`Answer::LinkResumed`]
    ResumeLink(Box<ResumeLink>),
    /// Another server gave a dialback key: what does the server of its domain say? → [`Answer::Verified`]
    Verify(Box<Verify>),
}

/// An answer. One of another kind than the question ends the stream with `internal-server-error`.
#[derive(Debug)]
pub enum Answer {
    /// Keys, true or fake.
    Credentials(Result<Credentials, SaslFailure>),
    /// The password is right, or why not.
    Password(Result<(), SaslFailure>),
    /// The failure was noted.
    Noted,
    /// Welcome, or why not.
    Authorized(Result<Authorized, SaslFailure>),
    /// The keys are stored.
    Upgraded(Result<(), SaslFailure>),
    /// The session, or why there is none.
    Bound(Result<Bound, StanzaError>),
    /// The session goes on, or why it does not.
    Resumed(Result<Resumed, NotResumed>),
    /// The stream with another server goes on, or why it does not.
    LinkResumed(Result<Taken, NotResumed>),
    /// Elements for `<success/>`.
    Inline(Vec<Element>),
    /// The answer to an iq, to be sent as it is.
    Stranger(Element),
    /// What the module's mechanism understands.
    Module(Box<dyn Any + Send>),
    /// What the server of the domain says of which key.
    Verified(Box<Verify>, Verdict),
}

/// What a client proves to know.
#[derive(Debug)]
pub struct Credentials {
    /// The keys.
    pub keys: ScramKeys,
    /// Changes whenever what was proved before is no longer to be believed: with a new password, when the account is
    /// disabled.
    pub generation: u64,
}

/// What comes with the permission to log in.
#[derive(Debug, Default)]
pub struct Authorized {
    /// The account's credentials now, as [`Credentials::generation`].
    pub generation: u64,
    /// Hashes for which the account has no keys: only these may be upgraded to, so that nobody replaces a password this way.
    pub missing: Vec<ScramHash>,
}

/// The `<user-agent/>` of XEP-0388 §2.3. Shown to nobody but the user himself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// Stable id of the installation, a UUID in lower case. Never part of a resource.
    pub id: Option<String>,
    /// Software, at most 256 bytes.
    pub software: Option<String>,
    /// Device, at most 256 bytes.
    pub device: Option<String>,
}

/// A wish to be bound (RFC 6120 §7, XEP-0386).
#[derive(Debug)]
pub struct BindRequest {
    /// Who logged in: bare JID.
    pub user: Jid,
    /// By SASL ANONYMOUS.
    pub anonymous: bool,
    /// The resource to give, valid as such: the client's wish (RFC 6120), or what [`super::bind2::resource`] made of tag and
    /// client id. `None`: any.
    pub wished: Option<String>,
    /// By Bind 2. Then offline messages are not sent, and earlier sessions of the same `agent.id` end (XEP-0386 §3.2).
    pub bind2: bool,
    /// The `<tag/>` of Bind 2.
    pub tag: Option<String>,
    /// The client, if it named itself.
    pub agent: UserAgent,
    /// The client asked for acknowledgements in the same breath; [`Seat::enable_acks`] follows at once.
    pub acks: bool,
    /// Requests to modules inside `<bind/>`.
    pub inline: Vec<Element>,
    /// The peer's address, for lists of sessions.
    pub address: String,
}

/// A bound resource.
pub struct Bound {
    /// The full JID.
    pub jid: Jid,
    /// The session.
    pub seat: Arc<dyn Seat>,
    /// Elements for `<bound/>`.
    pub inline: Vec<Element>,
}

/// A wish to resume (XEP-0198 §5).
#[derive(Debug)]
pub struct ResumeRequest {
    /// Who logged in: bare JID.
    pub user: Jid,
    /// The id of the former stream.
    pub token: String,
    /// How many stanzas of it the client has handled.
    pub h: u32,
    /// The peer's address, for lists of sessions.
    pub address: String,
}

/// A session that goes on.
pub struct Resumed {
    /// The full JID.
    pub jid: Jid,
    /// The session, counting already.
    pub seat: Arc<dyn Seat>,
    /// How many of the client's stanzas were handled.
    pub h: u32,
}

/// Why a session does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResumed {
    /// There is none of this name, or no longer.
    Unknown {
        /// How many of the client's stanzas were handled, if that is still known.
        h: Option<u32>,
    },
    /// The client acknowledges more than it was sent.
    TooHigh(AckError),
}

impl Answer {
    /// The session in it, if there is one: whoever drops the answer closes it.
    pub fn into_seat(self) -> Option<Arc<dyn Seat>> {
        match self {
            Answer::Bound(Ok(bound)) => Some(bound.seat),
            Answer::Resumed(Ok(resumed)) => Some(resumed.seat),
            Answer::LinkResumed(Ok(taken)) => Some(taken.seat),
            _ => None,
        }
    }
}

/// Children of `<authenticate/>` that modules claimed (`Tables::inlines`), to be done at one moment.
#[derive(Debug)]
pub struct InlineRequest {
    /// Who logged in: the bare JID, or after binding the full one.
    pub user: Jid,
    /// The mechanism he proved himself by.
    pub mechanism: String,
    /// The account's credentials when he did, as [`Credentials::generation`].
    pub generation: u64,
    /// The host logged in to.
    pub host: Jid,
    /// By SASL ANONYMOUS.
    pub anonymous: bool,
    /// The client, if it named itself.
    pub agent: UserAgent,
    /// At which moment.
    pub when: When,
    /// The requests.
    pub elements: Vec<Element>,
}

/// An iq that came before login, on a secured stream, with a payload that a module claimed (`Tables::strangers`).
#[derive(Debug)]
pub struct StrangerIq {
    /// The host the stream is to.
    pub host: Jid,
    /// The peer's address.
    pub address: String,
    /// The same for all such iqs of one stream, and for no others.
    pub visit: String,
    /// The `<iq/>`, `get` or `set`, with an id.
    pub iq: Element,
}

/// What a module's SASL mechanism waits for: the machine hands it out, whoever drives the machine awaits it.
pub struct ModuleQuestion {
    /// The module's name.
    pub module: &'static str,
    /// Resolves with what the mechanism understands; bounded by the time a login may take.
    pub answer: Pin<Box<dyn Future<Output = Box<dyn Any + Send>> + Send>>,
}

/// Answers questions; implemented by the server, awaited by the driver.
pub trait Desk: Send + Sync {
    /// Never blocks a network worker; slow work goes elsewhere.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound({})", self.jid)
    }
}

impl fmt::Debug for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resumed({})", self.jid)
    }
}

impl fmt::Debug for ModuleQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleQuestion({})", self.module)
    }
}
