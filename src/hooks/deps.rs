//! What a module is built with, and the floor of the server it stands on.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ModuleError;
use super::calls::Calls;
use super::command::{Act, Password};
use super::elsewhere::Link;
use super::envelope::{Envelope, TurnFn};
use super::meetings::Meetings;
use super::shared::Shared;
use super::web::Web;
use crate::config::{AccountLimits, Administration};
use crate::metrics::Registry;
use crate::proto::error::{StanzaError, StreamError};
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::store::Store;
use crate::stream::Secret;
use crate::xml::Element;

/// Given to [`super::Module::build`].
#[derive(Clone)]
pub struct Deps {
    /// The host the module is built for.
    pub host: Jid,
    /// The store.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Where a module counts.
    pub metrics: Registry,
    /// What may be done with accounts.
    pub accounts: Arc<dyn AccountActs>,
    /// Who administers what.
    pub administration: Arc<Administration>,
    /// Bounds of accounts.
    pub limits: AccountLimits,
    /// A secret of this installation, in no backup: what a module stores is of no use to who has the
    /// store alone if it takes this too, under a label of its own, to make something of it.
    pub local: Secret,
    /// The rest of the server.
    pub floor: Arc<dyn Floor>,
    /// What this module shares with itself over a reload.
    pub shared: Arc<Shared>,
    /// The way to the web.
    pub web: Arc<dyn Web>,
    /// Where connections meet that are joined.
    pub meetings: Arc<dyn Meetings>,
    /// The port on which clients reach the host by TCP; none where that is not known.
    pub port: Option<u16>,
    /// Relays for calls.
    pub calls: Arc<dyn Calls>,
    /// Where web clients reach the host, such as `https://example.org:5443`; none where they do not.
    pub url: Option<String>,
    /// Where its accounts log in by other ways than TCP.
    pub streams: Vec<Entrance>,
    /// Where what is too large for the store lies.
    pub disk: Disk,
}

/// Where files lie that are too large for the store.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// The folder (`store.files`).
    pub files: PathBuf,
    /// Free bytes below which nothing is written (`store.reserve`).
    pub reserve: u64,
}

impl Deps {
    /// The domain of a service of this host: what a `setting` of a module says, or `name` before the host's where it says
    /// nothing.
    ///
    /// # Errors
    /// It is no domain.
    pub fn service_domain(
        &self,
        module: &'static str,
        (setting, said): (&str, &str),
        name: &str,
    ) -> Result<Jid, ModuleError> {
        let domain = match said {
            "" => format!("{name}.{}", self.host),
            said => said.to_owned(),
        };
        let parsed = Jid::parse(&domain).ok();
        let bare = parsed.filter(|jid| jid.node().is_none() && jid.is_bare());
        bare.ok_or_else(|| ModuleError {
            module,
            reason: format!("`{setting}`: {domain:?} is no domain"),
        })
    }

    /// Asks another entity and waits for its answer.
    ///
    /// # Errors
    /// The entity's own error, [`AskError::TimedOut`] after `timeout`, or [`AskError::Busy`] when
    /// too many questions are open.
    pub async fn ask(
        &self,
        from: Jid,
        to: Jid,
        question: Question,
        timeout: Duration,
    ) -> Result<Option<Element>, AskError> {
        self.floor.ask(from, to, question, timeout).await
    }
}

/// A way to log in over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// `websocket` (RFC 7395) or `xbosh` (XEP-0206), as XEP-0156 calls them.
    pub kind: &'static str,
    /// Where, with its scheme.
    pub url: String,
}

/// An iq that a module sends.
#[derive(Debug, Clone)]
pub enum Question {
    /// `type='get'`
    Get(Element),
    /// `type='set'`
    Set(Element),
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The other side answered with an error.
    #[error("answered with an error")]
    Refused(Box<StanzaError>),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Too many questions are open (`limits.open_questions`).
    #[error("too many questions are open")]
    Busy,
}

/// The future of an answer.
pub type Asked = Pin<Box<dyn Future<Output = Result<Option<Element>, AskError>> + Send>>;

/// What modules may do with accounts; the events of it are told, and sessions end where they must.
pub trait AccountActs: Send + Sync {
    /// Whether a host has accounts: not one for guests.
    fn has_accounts(&self, host: &str) -> bool;
    /// Makes an account, disabled with a reason if there is one.
    fn create(
        &self,
        account: Jid,
        password: Password,
        disabled: Option<String>,
    ) -> Act<'static, ()>;
    /// Sets a password; all sessions end but the one that is kept (full JID).
    fn set_password(&self, account: Jid, password: Password, keep: Option<Jid>)
    -> Act<'static, ()>;
    /// Removes an account. Done as soon as there is no such account on the disk; its sessions end, and everything it
    /// owns goes, once the farewell is dropped.
    fn delete(&self, account: Jid) -> Act<'static, Farewell>;
}

/// What is still to be said to the sessions of a removed account is said while this lives.
#[derive(Debug)]
pub struct Farewell(
    #[expect(dead_code, reason = "its end is what is waited for")] oneshot::Sender<()>,
);

impl Farewell {
    /// With what ends when it is dropped.
    pub fn new() -> (Farewell, oneshot::Receiver<()>) {
        let (farewell, said) = oneshot::channel();
        (Farewell(farewell), said)
    }
}

/// What the core offers to hooks; implemented by the router.
pub trait Floor: Send + Sync {
    /// Routes an envelope of the server's own or of a service.
    fn route(&self, envelope: Box<Envelope>);
    /// Runs `f` in the turn of the account with this bare JID; dropped if there is no such account.
    fn in_turn(&self, account: &Jid, f: TurnFn);
    /// Ends all sessions of an account with an error, and tells its contacts.
    fn end_sessions(&self, account: &Jid, error: StreamError);
    /// Ends the session bound to a full JID, connected or not, if there is one.
    fn end_session(&self, full: &Jid, error: StreamError);
    /// An account changed on disk behind its owner: it is read again before anything else.
    fn reread(&self, account: &Jid);
    /// Sends a question and resolves with its answer.
    fn ask(&self, from: Jid, to: Jid, question: Question, timeout: Duration) -> Asked;
    /// The accounts of a host that have sessions, sorted.
    fn online(&self, host: &str) -> Vec<Jid>;
    /// Whether the account with this bare JID is in memory: without sessions for it if not.
    fn is_awake(&self, account: &Jid) -> bool;
    /// The streams of a host with other servers.
    fn links(&self, host: &Jid) -> Vec<Link>;
    /// Whether this domain is served here.
    fn is_local(&self, domain: &str) -> bool;
    /// Time.
    fn clock(&self) -> &Clock;
    /// The store.
    fn store(&self) -> &Store;
}
