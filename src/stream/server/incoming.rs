//! A stream that another server opened (RFC 6120 §4–§6, XEP-0178 §3, XEP-0220 §2.2).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::call::Verdict;
use super::dialback::{self, Request};
use super::office::{Demand, Line, Office, Proof, Proven, Verify};
use super::{acknowledge, addresses, domain, header_fault, is_stanza, pass};
use crate::proto::{Condition, Jid, StreamCondition, StreamError, ns};
use crate::runtime::random;
use crate::stream::acks;
use crate::stream::framing::Opening;
use crate::stream::input::Action;
use crate::stream::login::Flow;
use crate::stream::out::Out;
use crate::stream::question::{Answer, Question};
use crate::stream::seat::{End, Seat};
use crate::stream::settings::Settings;
use crate::stream::tls::{Peer, Tls};
use crate::xml::{El, Element, Header};

/// Pairs of domains that one stream may carry.
const PAIRS: usize = 1_000;
/// Failed proofs before the stream ends.
const FAILURES: u8 = 3;

/// The receiving end.
pub(in crate::stream) struct Incoming {
    settings: Arc<Settings>,
    pub(super) office: Arc<dyn Office>,
    pub(super) peer: Peer,
    tls: Option<Tls>,
    /// The id in our header: dialback keys are bound to it.
    id: String,
    local: Option<Jid>,
    remote: Option<Jid>,
    /// The certificate is valid for `remote`.
    certified: bool,
    /// Theirs, ours.
    pub(super) pairs: Vec<(Jid, Jid)>,
    pub(super) line: Option<(Arc<dyn Line>, Arc<dyn Seat>)>,
    pub(super) bidi: bool,
    pub(super) acks: bool,
    external: bool,
    opened: bool,
    timed: bool,
    failures: u8,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Header,
    Handshake,
    Open,
    /// The desk's answer about a key.
    Asking(Box<Request>),
    /// The desk's answer about a former stream.
    Resuming(String),
}

impl Incoming {
    pub fn new(
        settings: Arc<Settings>,
        office: Arc<dyn Office>,
        peer: Peer,
        tls: Option<Tls>,
    ) -> Incoming {
        Incoming {
            settings,
            office,
            peer,
            tls,
            id: String::new(),
            local: None,
            remote: None,
            certified: false,
            pairs: Vec::new(),
            line: None,
            bidi: false,
            acks: false,
            external: false,
            opened: false,
            timed: false,
            failures: 0,
            stage: Stage::Header,
        }
    }

    pub fn is_bound(&self) -> bool {
        self.line.is_some()
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Asking(_) | Stage::Resuming(_))
    }

    pub fn can_write(&self) -> bool {
        !matches!(self.stage, Stage::Handshake)
    }

    pub fn header(&mut self, header: &Header, out: &mut Out<'_>) -> Flow {
        if !matches!(self.stage, Stage::Header) {
            return StreamCondition::BadFormat.into();
        }
        let root = header.element.root();
        let (from, to) = (domain(root, "from"), domain(root, "to"));
        let to = to.filter(|to| self.office.is_local(to));
        let named = root.attr("to").is_some();
        let same = !self.external || self.remote == from && self.local == to;
        let office = self.office.clone();
        let refused = from.as_ref().and_then(|from| refusal(&*office, from));
        (self.local, self.remote) = (to, from);
        self.open_anyway(out);
        if let Some(fault) = header_fault(header) {
            return fault.into();
        }
        if self.local.is_none() {
            return match named {
                true => StreamCondition::HostUnknown.into(),
                false => StreamCondition::ImproperAddressing.into(),
            };
        }
        if !same {
            return StreamCondition::NotAuthorized.into();
        }
        if let Some(error) = refused {
            return error.into();
        }
        if !std::mem::replace(&mut self.timed, true) {
            let limits = &self.settings.limits;
            out.deadline(Some(limits.login.saturating_sub(limits.header)));
        }
        self.certified = self.is_certified(self.remote.as_ref());
        self.stage = Stage::Open;
        out.element(&self.features());
        if self.external && self.pairs.is_empty() {
            return self.prove_external(out);
        }
        Flow::Stay
    }

    /// Our header, once a stream; `from` is who they wanted, or nobody.
    pub fn open_anyway(&mut self, out: &mut Out<'_>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        self.id = random::token();
        let fallback = || self.settings.hosts.default_host().domain.clone();
        let from = self.local.clone().unwrap_or_else(fallback);
        out.open(&Opening {
            from: from.domain(),
            to: self.remote.as_ref().map(Jid::as_str),
            id: Some(&self.id),
        });
    }

    fn features(&self) -> Element {
        let features = Element::new("features", ns::STREAM);
        if self.tls.is_none() {
            let required = Element::new("required", ns::TLS);
            return features.with_child(Element::new("starttls", ns::TLS).with_child(required));
        }
        let mut features = features;
        if self.certified && !self.external {
            let external = Element::new("mechanism", ns::SASL).with_text("EXTERNAL");
            features =
                features.with_child(Element::new("mechanisms", ns::SASL).with_child(external));
        }
        if self.office.bidi() && !self.bidi {
            features = features.with_child(Element::new("bidi", ns::BIDI_FEATURE));
        }
        let errors = Element::new("errors", ns::DIALBACK_FEATURE);
        features
            .with_child(Element::new("dialback", ns::DIALBACK_FEATURE).with_child(errors))
            .with_child(Element::new("sm", ns::SM))
    }

    fn is_certified(&self, remote: Option<&Jid>) -> bool {
        let chain = self.tls.as_ref().map(|tls| &tls.peer_chain);
        match (chain, remote) {
            (Some(chain), Some(remote)) => match self.office.certified(chain, remote) {
                Ok(()) => true,
                Err(why) => {
                    tracing::debug!(domain = %remote, peer = %self.peer.address, why, "the certificate does not prove the domain");
                    false
                }
            },
            _ => false,
        }
    }

    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        match (&self.stage, root.ns()) {
            (Stage::Asking(_) | Stage::Resuming(_), _) => StreamCondition::PolicyViolation.into(),
            (Stage::Header | Stage::Handshake, _) => StreamCondition::BadFormat.into(),
            (_, ns::STREAM) if root.name() == "error" => Flow::Close,
            (_, ns::TLS) => self.starttls(root, out),
            _ if self.tls.is_none() => StreamCondition::PolicyViolation.into(),
            (_, ns::SASL) => self.sasl(root, out),
            (_, ns::DIALBACK) => self.dialback(root, out),
            (_, ns::BIDI) => self.enable_bidi(),
            (_, ns::SM) => self.acknowledgements(root, out),
            (_, ns::CLIENT) => self.stanza(element, out),
            _ => StreamCondition::UnsupportedStanzaType.into(),
        }
    }

    fn starttls(&mut self, request: El<'_>, out: &mut Out<'_>) -> Flow {
        let offered = self.tls.is_none();
        match crate::stream::starttls::answer(request, offered, out) {
            true => {
                self.stage = Stage::Handshake;
                Flow::Stay
            }
            false => Flow::Close,
        }
    }

    pub fn secured(&mut self, tls: Tls, out: &mut Out<'_>) -> Flow {
        if !matches!(self.stage, Stage::Handshake) {
            return StreamCondition::InternalServerError.into();
        }
        self.tls = Some(tls);
        self.stage = Stage::Header;
        self.opened = false;
        out.push(Action::Restart(self.settings.limits.before_login));
        Flow::Stay
    }

    /// SASL EXTERNAL (XEP-0178 §3): the identity is that of the header, proved by the certificate.
    fn sasl(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let external = element.name() == "auth" && element.attr("mechanism") == Some("EXTERNAL");
        let failure = match (external, element.name()) {
            _ if self.external => return StreamCondition::NotAuthorized.into(),
            (_, "abort") => "aborted",
            (false, _) => "invalid-mechanism",
            (true, _) => match authzid(&element.text()) {
                None => "incorrect-encoding",
                Some(claimed) => match &self.remote {
                    Some(remote) if claimed.is_empty() || same_domain(&claimed, remote) => {
                        match self.certified {
                            true => return self.welcome(out),
                            false => "not-authorized",
                        }
                    }
                    _ => "invalid-authzid",
                },
            },
        };
        out.element(&Element::new("failure", ns::SASL).with_child(Element::new(failure, ns::SASL)));
        self.failed()
    }

    fn welcome(&mut self, out: &mut Out<'_>) -> Flow {
        self.external = true;
        out.element(&Element::new("success", ns::SASL));
        self.opened = false;
        self.stage = Stage::Header;
        out.push(Action::Restart(self.settings.limits.after_login));
        Flow::Stay
    }

    fn prove_external(&mut self, out: &mut Out<'_>) -> Flow {
        match (self.local.clone(), self.remote.clone()) {
            (Some(local), Some(remote)) => {
                self.proven((local, remote), Proof::External, out);
                Flow::Stay
            }
            _ => StreamCondition::InternalServerError.into(),
        }
    }

    fn failed(&mut self) -> Flow {
        self.failures += 1;
        match self.failures >= FAILURES {
            true => StreamCondition::PolicyViolation.into(),
            false => Flow::Stay,
        }
    }

    fn dialback(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let Some(request) = Request::read(element) else {
            return StreamCondition::ImproperAddressing.into();
        };
        if element.attr("type").is_some() {
            // An answer to nothing that was asked here.
            return StreamCondition::UnsupportedStanzaType.into();
        }
        if !self.office.is_local(&request.to) {
            out.element(&dialback::error(&request, Condition::ItemNotFound));
            return self.failed();
        }
        match element.name() {
            "verify" => {
                let id = request.id.as_deref().unwrap_or_default();
                let key = self.office.key(&request.from, &request.to, id);
                let kind = match dialback::same(&key, &request.key) {
                    true => "valid",
                    false => "invalid",
                };
                out.element(&dialback::answer(&request, kind));
                Flow::Stay
            }
            _ => self.claim(request, out),
        }
    }

    /// A domain gives its key (XEP-0220 §2.2.1).
    fn claim(&mut self, request: Request, out: &mut Out<'_>) -> Flow {
        let pair = (request.from.clone(), request.to.clone());
        if self.pairs.contains(&pair) {
            out.element(&dialback::answer(&request, "valid"));
            return Flow::Stay;
        }
        let local = self.office.is_local(&request.from);
        let full = self.pairs.len() >= PAIRS;
        match self.office.demand(&request.from) {
            Demand::Refused(_) => {
                out.element(&dialback::error(&request, Condition::PolicyViolation));
                self.failed()
            }
            _ if local || full => {
                out.element(&dialback::error(&request, Condition::NotAllowed));
                self.failed()
            }
            _ if self.is_certified(Some(&request.from)) => {
                out.element(&dialback::answer(&request, "valid"));
                self.proven((request.to, request.from), Proof::Certificate, out);
                Flow::Stay
            }
            Demand::Certificate => {
                out.element(&dialback::error(&request, Condition::NotAuthorized));
                self.failed()
            }
            Demand::Dialback => {
                out.ask(Question::Verify(Box::new(Verify {
                    local: request.to.clone(),
                    remote: request.from.clone(),
                    id: self.id.clone(),
                    key: request.key.clone(),
                })));
                self.stage = Stage::Asking(Box::new(request));
                Flow::Stay
            }
        }
    }

    /// What the server of the claimed domain said of the key.
    pub fn answer(&mut self, answer: Answer, out: &mut Out<'_>) -> Flow {
        let (request, verdict) = match (std::mem::replace(&mut self.stage, Stage::Open), answer) {
            (Stage::Resuming(previd), Answer::LinkResumed(answer)) => {
                return self.resume_answered(&previd, answer, out);
            }
            (Stage::Asking(request), Answer::Verified(verdict)) => (request, verdict),
            _ => return StreamCondition::InternalServerError.into(),
        };
        match verdict {
            Verdict::Valid => {
                out.element(&dialback::answer(&request, "valid"));
                self.proven((request.to, request.from), Proof::Dialback, out);
                Flow::Stay
            }
            Verdict::Invalid => {
                tracing::warn!(domain = %request.from, peer = %self.peer.address, "a forged or wrong dialback key; the stream is closed");
                out.element(&dialback::answer(&request, "invalid"));
                match self.pairs.is_empty() {
                    true => Flow::Close,
                    false => self.failed(),
                }
            }
            Verdict::Error(condition) => {
                out.element(&dialback::error(&request, condition));
                self.failed()
            }
        }
    }

    fn proven(&mut self, (local, remote): (Jid, Jid), proof: Proof, out: &mut Out<'_>) {
        let line = match &self.line {
            Some((line, _)) => line.clone(),
            None => {
                let line = self.office.line(&self.peer.address);
                let seat = line.seat();
                self.line = Some((line.clone(), seat.clone()));
                out.deadline(None);
                out.push(Action::SetLimits(self.settings.limits.after_login));
                out.push(Action::Seated(seat));
                line
            }
        };
        self.pairs.push((remote.clone(), local.clone()));
        line.proven(&Proven {
            local,
            remote,
            proof,
            bidi: self.bidi,
        });
    }

    /// Only before anything is proved, so that no pair is one way and another both ways (XEP-0288 §2.2).
    fn enable_bidi(&mut self) -> Flow {
        if !self.pairs.is_empty() || self.external || !self.office.bidi() {
            return StreamCondition::PolicyViolation.into();
        }
        self.bidi = true;
        Flow::Stay
    }

    fn acknowledgements(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        match (&self.line, element.name()) {
            (Some((_, seat)), "enable") if !self.acks => {
                self.acks = true;
                out.element(&acks::enable(&**seat, acks::wish(element)));
                Flow::Stay
            }
            (Some(_), "resume") if !self.acks => self.resume(element, out),
            (Some((_, seat)), "r" | "a") if self.acks => acknowledge(&**seat, element),
            _ => {
                out.element(&acks::failed(acks::refusal(element), None));
                self.failed()
            }
        }
    }

    /// A stanza of a pair that was proved on this stream; anything else ends it (RFC 6120 §8.1.1.2, §8.1.2.2).
    fn stanza(&mut self, stanza: Element, out: &mut Out<'_>) -> Flow {
        let root = stanza.root();
        if !is_stanza(root) {
            return StreamCondition::UnsupportedStanzaType.into();
        }
        let Some((_, seat)) = &self.line else {
            return StreamCondition::NotAuthorized.into();
        };
        let (from, to) = match addresses(root) {
            Ok(addresses) => addresses,
            Err(error) => return error.into(),
        };
        let of = |pair: &&(Jid, Jid)| pair.0.domain() == from.domain();
        let mut theirs = self.pairs.iter().filter(of).peekable();
        if theirs.peek().is_none() {
            return StreamCondition::InvalidFrom.into();
        }
        if !theirs.any(|(_, local)| local.domain() == to.domain()) {
            return match self.office.is_local(&to.domain_jid()) {
                true => StreamCondition::NotAuthorized.into(),
                false => StreamCondition::HostUnknown.into(),
            };
        }
        pass(&**seat, stanza, out);
        Flow::Stay
    }

    pub fn close(&mut self, end: End) {
        if let Some((_, seat)) = self.line.take() {
            seat.closed(end);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.close(End::ConnectionLost);
    }
}

fn refusal(office: &dyn Office, from: &Jid) -> Option<StreamError> {
    match office.demand(from) {
        Demand::Refused(why) => {
            Some(StreamError::from(StreamCondition::PolicyViolation).with_text(why))
        }
        Demand::Certificate | Demand::Dialback => None,
    }
}

/// The authorization identity, empty for `=` and for nothing.
fn authzid(text: &str) -> Option<String> {
    let text = text.trim();
    if matches!(text, "" | "=") {
        return Some(String::new());
    }
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

fn same_domain(claimed: &str, remote: &Jid) -> bool {
    Jid::parse(claimed).is_ok_and(|claimed| claimed == *remote)
}
