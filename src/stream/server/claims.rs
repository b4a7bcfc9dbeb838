//! Which pairs of domains were proved on a stream that another server opened, and which of its dialback keys are being
//! asked about: several at once, while stanzas of pairs proved before go on (XEP-0220 §2.2.1, §2.6).

use super::dialback::Request;
use super::office::{Demand, Office, Verify};
use crate::proto::{Condition, Jid, StreamCondition};
use crate::stream::login::Flow;

/// Pairs of domains that one stream may carry.
const PAIRS: usize = 1_000;
/// Keys of one stream that are asked about at once.
const ASKED: usize = 10;
/// Failed proofs before a stream ends on which nothing was proved.
const FAILURES: u8 = 3;
/// Errors before any stream ends. One of them ends none (XEP-0220 §2.5): it may serve other pairs.
const ERRORS: u8 = 100;

/// What is known of a stream's domains.
#[derive(Default)]
pub(super) struct Claims {
    /// Theirs, ours.
    pairs: Vec<(Jid, Jid)>,
    asked: Vec<Request>,
    failures: u8,
    errors: u8,
}

/// What becomes of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The pair was proved before.
    Known,
    /// Its server is being asked already.
    Pending,
    /// The certificate makes asking needless (XEP-0344).
    Certified,
    /// Its server must be asked.
    Ask,
    /// It is not even asked about.
    Refused(Condition),
}

impl Claims {
    /// Whether nothing was proved so far.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What was proved: theirs, ours.
    pub fn pairs(&self) -> &[(Jid, Jid)] {
        &self.pairs
    }

    /// Whether a server is being asked about a key.
    pub fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// What becomes of a key; `certified`: whether the certificate of the stream proves the domain.
    pub fn judge(
        &self,
        office: &dyn Office,
        request: &Request,
        certified: impl FnOnce() -> bool,
    ) -> Judgement {
        let same = |asked: &Request| asked.from == request.from && asked.to == request.to;
        let demand = office.demand(&request.from);
        if self.are_proven(&request.from, &request.to) {
            return Judgement::Known;
        }
        match demand {
            Demand::Refused(_) => Judgement::Refused(Condition::PolicyViolation),
            _ if office.is_local(&request.from) => Judgement::Refused(Condition::NotAllowed),
            _ if self.asked.iter().any(same) => Judgement::Pending,
            _ if self.pairs.len() + self.asked.len() >= PAIRS => {
                Judgement::Refused(Condition::ResourceConstraint)
            }
            _ if certified() => Judgement::Certified,
            Demand::Certificate if !office.asks_back(&request.from) => {
                Judgement::Refused(Condition::NotAuthorized)
            }
            _ if self.asked.len() >= ASKED => Judgement::Refused(Condition::ResourceConstraint),
            Demand::Certificate | Demand::Dialback => Judgement::Ask,
        }
    }

    /// The server of a claimed domain is asked about its key, given on the stream `id`.
    pub fn ask(&mut self, request: Request, id: &str) -> Verify {
        let verify = Verify {
            local: request.to.clone(),
            remote: request.from.clone(),
            id: id.to_owned(),
            key: request.key.clone(),
        };
        self.asked.push(request);
        verify
    }

    /// The request that an answer belongs to.
    pub fn answered(&mut self, verify: &Verify) -> Option<Request> {
        let is_it = |asked: &Request| asked.from == verify.remote && asked.to == verify.local;
        let at = self.asked.iter().position(is_it)?;
        Some(self.asked.swap_remove(at))
    }

    /// Their domain is believed, towards one of ours.
    pub fn prove(&mut self, theirs: Jid, ours: Jid) {
        self.pairs.push((theirs, ours));
    }

    /// Whether their domain is believed towards ours.
    fn are_proven(&self, theirs: &Jid, ours: &Jid) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.any(|pair| pair.0 == *theirs && pair.1 == *ours)
    }

    /// Whether a stanza with these addresses is of a pair that was proved, or what ends the stream.
    pub fn admit(&self, office: &dyn Office, from: &Jid, to: &Jid) -> Result<(), StreamCondition> {
        let of = |pair: &&(Jid, Jid)| pair.0.domain() == from.domain();
        let mut theirs = self.pairs.iter().filter(of).peekable();
        if theirs.peek().is_none() {
            return Err(StreamCondition::InvalidFrom);
        }
        match theirs.any(|(_, local)| local.domain() == to.domain()) {
            true => Ok(()),
            false if office.is_local(&to.domain_jid()) => Err(StreamCondition::NotAuthorized),
            false => Err(StreamCondition::HostUnknown),
        }
    }

    /// A proof failed.
    pub fn failed(&mut self) -> Flow {
        self.failures = self.failures.saturating_add(1);
        match self.pairs.is_empty() && self.failures >= FAILURES {
            true => StreamCondition::PolicyViolation.into(),
            false => self.erred(),
        }
    }

    /// Something else was wrong.
    pub fn erred(&mut self) -> Flow {
        self.errors = self.errors.saturating_add(1);
        match self.errors >= ERRORS {
            true => StreamCondition::PolicyViolation.into(),
            false => Flow::Stay,
        }
    }
}
