//! Answers: what they say, and to whom nothing is said any more.
//!
//! Who has not proved its address gets few answers: somebody else may have written that address on the packet, and an
//! answer that is larger than the question would be a weapon.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use super::allocation::{Allocation, Client};
use super::credentials::{Algorithm, LongTermKey};
use super::machine::{Failure, Machine, Opening, Step};
use super::stun::{Class, Message, Method, Seal, Transaction, Writer, attribute};
use crate::runtime::bucket::Bucket;
use crate::runtime::origin::Origin;

/// Budgets that addresses share by chance, so that no number of addresses takes more memory.
const BUDGETS: usize = 4_096;

/// How much is answered to addresses that proved nothing.
pub struct Unproven {
    hasher: RandomState,
    budgets: Box<[Bucket]>,
}

impl Unproven {
    pub(super) fn new(rate: u32) -> Self {
        Unproven {
            hasher: RandomState::new(),
            budgets: vec![Bucket::new(rate, rate.saturating_mul(2)); BUDGETS].into(),
        }
    }

    /// Whether this address may have one more answer.
    pub(super) fn admits(&mut self, address: IpAddr, now: Instant) -> bool {
        let at = self.hasher.hash_one(Origin::of(address)) as usize % BUDGETS;
        let budget = self.budgets.get_mut(at);
        budget.is_some_and(|budget| budget.try_take(1, now))
    }
}

/// An error of a request (RFC 8489 §14.8, RFC 8656 §19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 437
    AllocationMismatch,
    /// 438
    StaleNonce,
    /// 440
    FamilyNotSupported,
    /// 441
    WrongCredentials,
    /// 442
    TransportNotSupported,
    /// 443
    PeerFamilyMismatch,
    /// 486
    QuotaReached,
    /// 508
    InsufficientCapacity,
}

impl Fault {
    pub(super) fn written(self) -> (u16, &'static str) {
        match self {
            Fault::BadRequest => (400, "Bad Request"),
            Fault::Unauthorized => (401, "Unauthorized"),
            Fault::Forbidden => (403, "Forbidden"),
            Fault::AllocationMismatch => (437, "Allocation Mismatch"),
            Fault::StaleNonce => (438, "Stale Nonce"),
            Fault::FamilyNotSupported => (440, "Address Family not Supported"),
            Fault::WrongCredentials => (441, "Wrong Credentials"),
            Fault::TransportNotSupported => (442, "Unsupported Transport Protocol"),
            Fault::PeerFamilyMismatch => (443, "Peer Address Family Mismatch"),
            Fault::QuotaReached => (486, "Allocation Quota Reached"),
            Fault::InsufficientCapacity => (508, "Insufficient Capacity"),
        }
    }
}

/// How answers to who is known are sealed: as the question was (RFC 8489 §9.2.4).
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    pub(super) key: LongTermKey,
    pub(super) seal: Seal,
}

/// What an answer answers.
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) transaction: Transaction,
    /// It had a fingerprint, and so has the answer.
    pub(super) fingerprint: bool,
}

impl Question {
    pub(super) fn of(message: &Message<'_>) -> Question {
        Question {
            method: message.method,
            transaction: message.transaction,
            fingerprint: message.fingerprint,
        }
    }

    fn of_opening<S>(opening: &Opening<S>) -> Question {
        Question {
            method: Method::Allocate,
            transaction: opening.transaction,
            fingerprint: opening.fingerprint,
        }
    }

    fn begin<'a>(&self, class: Class, out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer::new(out, class, self.method, self.transaction)
    }

    fn end(&self, writer: Writer<'_>, seal: Option<&Sealed>) {
        let writer = match seal {
            Some(by) => writer.sealed_by(by.seal, by.key.as_slice()),
            None => writer,
        };
        if self.fingerprint {
            writer.fingerprint();
        }
    }
}

impl<S> Machine<S> {
    /// A success, sealed as the question was.
    pub(super) fn succeed(
        &self,
        question: &Question,
        seal: &Sealed,
        out: &mut Vec<u8>,
        fill: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Step<'_, S> {
        let writer = fill(question.begin(Class::Success, out));
        question.end(writer, Some(seal));
        Step::Answer
    }

    /// An error for somebody who is known.
    pub(super) fn fail(
        &mut self,
        question: &Question,
        seal: &Sealed,
        fault: Fault,
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        match fault {
            Fault::Forbidden => self.count().forbidden += 1,
            Fault::QuotaReached => self.count().refused_owner += 1,
            Fault::InsufficientCapacity => self.count().refused_capacity += 1,
            _ => {}
        }
        let (code, reason) = fault.written();
        let writer = question.begin(Class::Error, out).error(code, reason);
        question.end(writer, Some(seal));
        Step::Answer
    }

    /// An error for somebody who is not known, with what it takes to become so where that is the error.
    pub(super) fn challenge(
        &mut self,
        client: Client,
        question: &Question,
        fault: Fault,
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        if !self.may_answer(client) {
            return Step::Nothing;
        }
        // Without the words, which who proved nothing may have somebody else carry home.
        let (code, _) = fault.written();
        let mut writer = question.begin(Class::Error, out).error(code, "");
        if matches!(fault, Fault::Unauthorized | Fault::StaleNonce) {
            let now = self.clock.wall() / 1_000;
            let nonce = self.nonces.make(client.address, now);
            writer = writer
                .put(attribute::REALM, self.options.realm.as_bytes())
                .put(attribute::NONCE, nonce.as_bytes())
                .put(attribute::PASSWORD_ALGORITHMS, &Algorithm::OFFERED);
        }
        question.end(writer, None);
        Step::Answer
    }

    /// Whether somebody who proved nothing is answered.
    pub(super) fn may_answer(&mut self, client: Client) -> bool {
        let admits = self.unproven.admits(client.address.ip(), self.clock.now());
        self.count().floods += u64::from(!admits);
        admits
    }

    /// RFC 8489 §6.3.1: where does this come from?
    pub(super) fn binding(
        &mut self,
        client: Client,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        if !self.may_answer(client) {
            return Step::Nothing;
        }
        let question = Question::of(message);
        let unknown = unknown(message);
        let writer = match unknown.is_empty() {
            true => question
                .begin(Class::Success, out)
                .address(attribute::XOR_MAPPED_ADDRESS, canonical(client)),
            false => question
                .begin(Class::Error, out)
                .error(420, "Unknown Attribute")
                .put(attribute::UNKNOWN_ATTRIBUTES, &unknown),
        };
        question.end(writer, None);
        Step::Answer
    }

    /// Attributes that must be understood and are not (RFC 8489 §14.9).
    pub(super) fn not_understood(
        &mut self,
        question: &Question,
        seal: &Sealed,
        unknown: &[u8],
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        let writer = question
            .begin(Class::Error, out)
            .error(420, "Unknown Attribute")
            .put(attribute::UNKNOWN_ATTRIBUTES, unknown);
        question.end(writer, Some(seal));
        Step::Answer
    }

    /// RFC 8656 §7.3: the allocation as it was made.
    pub(super) fn write_allocated(
        &self,
        client: Client,
        allocation: &Allocation<S>,
        fingerprint: bool,
        out: &mut Vec<u8>,
    ) {
        let question = Question {
            method: Method::Allocate,
            transaction: allocation.transaction,
            fingerprint,
        };
        let left = allocation.until.saturating_duration_since(self.clock.now());
        let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        let mut writer = question
            .begin(Class::Success, out)
            .address(attribute::XOR_RELAYED_ADDRESS, allocation.relayed)
            .put(attribute::LIFETIME, &left.to_be_bytes())
            .address(attribute::XOR_MAPPED_ADDRESS, canonical(client));
        if let Some(family) = allocation.lacks {
            let (code, reason) = Fault::FamilyNotSupported.written();
            writer = writer.address_error(family.number(), code, reason);
        }
        if let Some(token) = &allocation.token {
            writer = writer.put(attribute::RESERVATION_TOKEN, token);
        }
        question.end(writer, Some(&allocation.seal));
    }

    /// Why an allocation was not made.
    pub(super) fn refuse(&mut self, opening: &Opening<S>, failure: Failure, out: &mut Vec<u8>) {
        let question = Question::of_opening(opening);
        let fault = match failure {
            Failure::Unauthorized => {
                self.count().unauthorized += 1;
                self.challenge(opening.client, &question, Fault::Unauthorized, out);
                return;
            }
            Failure::Quota => Fault::QuotaReached,
            Failure::Capacity => Fault::InsufficientCapacity,
        };
        self.fail(&question, &opening.seal, fault, out);
    }
}

/// Those attributes of a request that are not understood and must be, as they are listed in the answer.
pub(super) fn unknown(message: &Message<'_>) -> Vec<u8> {
    /// As many as an answer names.
    const MOST: usize = 8;
    let unknown = message.attributes().map(|(kind, _)| kind);
    let unknown = unknown.filter(|kind| *kind < 0x8000 && !KNOWN.contains(kind));
    unknown.take(MOST).flat_map(u16::to_be_bytes).collect()
}

const KNOWN: &[u16] = &[
    attribute::USERNAME,
    attribute::REALM,
    attribute::NONCE,
    attribute::CHANNEL_NUMBER,
    attribute::LIFETIME,
    attribute::XOR_PEER_ADDRESS,
    attribute::DATA,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::EVEN_PORT,
    attribute::REQUESTED_TRANSPORT,
    attribute::PASSWORD_ALGORITHM,
    attribute::RESERVATION_TOKEN,
];

/// A client's address as it knows it: a socket for both families shows IPv4 as IPv6.
fn canonical(client: Client) -> std::net::SocketAddr {
    std::net::SocketAddr::new(client.address.ip().to_canonical(), client.address.port())
}
