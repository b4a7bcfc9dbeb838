//! A stream that we open: for what, and how it turns out.

use std::sync::Arc;

use super::office::{Office, Proof, Verify};
use super::resume::ResumeLink;
use crate::proto::{Condition, Jid, StreamCondition, StreamError};
use crate::stream::seat::{AckError, Resumption, Seat};
use crate::stream::tls::Tls;
use crate::xml::El;

/// Why a call did not come through, in words for people who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// STARTTLS is not offered, or was refused.
    #[error("the server offers no encryption (STARTTLS)")]
    NoTls,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// Its certificate does not prove the domain.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(String),
    /// It does not believe who we are.
    #[error("the server does not accept our identity: {0}")]
    Rejected(String),
    /// It ended the stream.
    #[error("the server ended the stream: {0}")]
    Stream(String),
    /// It said something else than the protocol allows.
    #[error("the server does not follow the protocol ({0})")]
    Protocol(String),
    /// Too slow.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke off")]
    Lost,
    /// We stop.
    #[error("this server is stopping")]
    Stopped,
}

impl Failure {
    /// Of a stream error that they sent.
    pub(super) fn theirs(error: &StreamError) -> Failure {
        Failure::Stream(words(error))
    }

    /// Of a stream error that we sent.
    pub(super) fn ours(error: &StreamError) -> Failure {
        match error.condition {
            StreamCondition::ConnectionTimeout => Failure::TimedOut,
            StreamCondition::SystemShutdown => Failure::Stopped,
            _ => Failure::Protocol(words(error)),
        }
    }
}

fn words(error: &StreamError) -> String {
    match &error.text {
        Some(text) => format!("{} ({text})", error.condition),
        None => error.condition.to_string(),
    }
}

/// What DNS says of their certificate, where it is signed (RFC 7673).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It names it.
    Named,
    /// It names others, whatever else speaks for it.
    Others(String),
    /// It names none: whether authorities vouch for it; if not, why.
    None(Result<(), String>),
}

/// Judges a chain of certificates (DER, their own first).
pub type Judge = Box<dyn Fn(&[Vec<u8>]) -> Word + Send + Sync>;

/// What a stream is opened for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To send stanzas.
    Stanzas,
    /// To ask whether a dialback key is good; the stream is closed after the answer.
    Verify(Verify),
}

/// What the server of a domain says of a dialback key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It made it.
    Valid,
    /// It did not.
    Invalid,
    /// It cannot say.
    Error(Condition),
}

/// How a stream came to be.
#[derive(Clone, Debug)]
pub struct Established {
    /// By what they believe us.
    pub proof: Proof,
    /// Whether they may send on it too (XEP-0288).
    pub bidi: bool,
    /// Why their certificate is not valid, where that was not demanded.
    pub doubt: Option<String>,
    /// Whether DNS names their certificate (RFC 7673).
    pub named: bool,
    /// How it may be resumed (XEP-0198 §5).
    pub resumption: Option<Resumption>,
    /// The id of the stream, for keys of further domains of ours.
    pub stream: String,
    /// Whether keys that they do not believe end no stream (XEP-0220 §2.4.2).
    pub errors: bool,
}

/// Whoever made the call. Of [`Caller::ready`], [`Caller::resumed`], [`Caller::verified`] and [`Caller::failed`] one comes
/// true, once.
pub trait Caller: Send + Sync {
    /// The former stream that is to go on.
    fn earlier(&self) -> Option<&ResumeLink> {
        None
    }
    /// It goes on; `h` stanzas of ours were handled on it.
    ///
    /// # Errors
    /// So many were not sent.
    fn resumed(&self, h: u32) -> Result<Arc<dyn Seat>, AckError> {
        Err(AckError { h, sent: 0 })
    }
    /// It does not go on; perhaps they say how many stanzas they had handled.
    fn not_resumed(&self, _: Option<u32>) {}
    /// Stanzas may go out; from where they are taken.
    fn ready(&self, how: &Established) -> Arc<dyn Seat>;
    /// Their TLS, and the features that they offer over it.
    fn seen(&self, _: &Tls, _: El<'_>) {}
    /// The answer to [`Purpose::Verify`].
    fn verified(&self, verdict: Verdict);
    /// It did not come through.
    fn failed(&self, why: Failure);
}

/// A call to make. Dropped before it came through it has failed.
pub struct Call {
    /// Our domain.
    pub local: Jid,
    /// Theirs.
    pub remote: Jid,
    /// For what.
    pub purpose: Purpose,
    /// The house.
    pub office: Arc<dyn Office>,
    /// What TLS is told of whom we want, if not their domain.
    pub name: Option<String>,
    /// Knows what DNS says of their certificate.
    pub judge: Option<Judge>,
    caller: Option<Arc<dyn Caller>>,
}

impl Call {
    /// A call from `local` to `remote`.
    pub fn new(
        (local, remote): (Jid, Jid),
        purpose: Purpose,
        office: Arc<dyn Office>,
        caller: Arc<dyn Caller>,
    ) -> Call {
        Call {
            local,
            remote,
            purpose,
            office,
            name: None,
            judge: None,
            caller: Some(caller),
        }
    }

    /// It did not come through; only the first word counts.
    pub fn fail(&mut self, why: Failure) {
        if let Some(caller) = self.caller.take() {
            caller.failed(why);
        }
    }

    /// The former stream that is to go on.
    pub(super) fn earlier(&self) -> Option<&ResumeLink> {
        self.caller.as_ref()?.earlier()
    }

    pub(super) fn resumed(&mut self, h: u32) -> Result<Option<Arc<dyn Seat>>, AckError> {
        let Some(caller) = &self.caller else {
            return Ok(None);
        };
        let seat = caller.resumed(h)?;
        self.caller = None;
        Ok(Some(seat))
    }

    pub(super) fn seen(&self, tls: &Tls, features: El<'_>) {
        if let Some(caller) = &self.caller {
            caller.seen(tls, features);
        }
    }

    pub(super) fn not_resumed(&self, h: Option<u32>) {
        if let Some(caller) = &self.caller {
            caller.not_resumed(h);
        }
    }

    pub(super) fn ready(&mut self, how: &Established) -> Option<Arc<dyn Seat>> {
        self.caller.take().map(|caller| caller.ready(how))
    }

    pub(super) fn verified(&mut self, verdict: Verdict) {
        if let Some(caller) = self.caller.take() {
            caller.verified(verdict);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.fail(Failure::Lost);
    }
}
