//! A stream that another server opened (RFC 6120 §4–§6, XEP-0178 §3, XEP-0220 §2.2).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::claims::{Claims, Judgement};
use super::dialback::{self, Request};
use super::office::{Demand, Line, Office, Proof, Proven};
use super::{Verdict, acknowledge, addresses, domain, header_fault, is_stanza, pass};
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
    pub(super) claims: Claims,
    pub(super) line: Option<(Arc<dyn Line>, Arc<dyn Seat>)>,
    /// Pairs proved of which the line is not told yet, because it would speak to them.
    untold: Vec<Proven>,
    /// Who calls has spoken since it was proved.
    settled: bool,
    pub(super) bidi: bool,
    pub(super) acks: bool,
    external: bool,
    opened: bool,
    timed: bool,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Header,
    Handshake,
    Open,
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
            claims: Claims::default(),
            line: None,
            untold: Vec::new(),
            settled: false,
            bidi: false,
            acks: false,
            external: false,
            opened: false,
            timed: false,
            stage: Stage::Header,
        }
    }

    pub fn is_bound(&self) -> bool {
        self.line.is_some()
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Resuming(_))
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
        if self.external && self.claims.is_empty() {
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
        let enables = root.ns() == ns::SM && root.name() == "enable";
        if !enables {
            self.settle();
        }
        let proved = self.line.is_some();
        let flow = self.handle(element, out);
        if proved {
            self.settle();
        }
        flow
    }

    fn handle(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        match (&self.stage, root.ns()) {
            (Stage::Resuming(_), _) => StreamCondition::PolicyViolation.into(),
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
            _ if self.external || self.claims.is_asking() => {
                return StreamCondition::NotAuthorized.into();
            }
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
        self.claims.failed()
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

    fn dialback(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let Some(request) = Request::read(element) else {
            return StreamCondition::ImproperAddressing.into();
        };
        if element.attr("type").is_some() {
            // An answer to nothing that was asked here (§3.1).
            return StreamCondition::UnsupportedStanzaType.into();
        }
        if !self.office.is_local(&request.to) {
            out.element(&dialback::error(&request, Condition::ItemNotFound));
            return self.claims.erred();
        }
        match element.name() {
            "verify" => {
                out.element(&dialback::confirm(&*self.office, &request));
                Flow::Stay
            }
            _ => self.claim(request, out),
        }
    }

    /// A domain gives its key (XEP-0220 §2.2.1).
    fn claim(&mut self, request: Request, out: &mut Out<'_>) -> Flow {
        let certified = || self.is_certified(Some(&request.from));
        match self.claims.judge(&*self.office, &request, certified) {
            Judgement::Known => {
                out.element(&dialback::answer(&request, "valid"));
                Flow::Stay
            }
            Judgement::Pending => Flow::Stay,
            Judgement::Certified => {
                out.element(&dialback::answer(&request, "valid"));
                self.proven((request.to, request.from), Proof::Certificate, out);
                Flow::Stay
            }
            Judgement::Ask => {
                let verify = self.claims.ask(request, &self.id);
                out.push(Action::AskBeside(Question::Verify(Box::new(verify))));
                Flow::Stay
            }
            Judgement::Refused(condition) => {
                out.element(&dialback::error(&request, condition));
                self.claims.failed()
            }
        }
    }

    /// What the server of a claimed domain said of its key, or what became of a former stream.
    pub fn answer(&mut self, answer: Answer, out: &mut Out<'_>) -> Flow {
        let (verify, verdict) = match (answer, &self.stage) {
            (Answer::Verified(verify, verdict), _) => (verify, verdict),
            (Answer::LinkResumed(answer), Stage::Resuming(previd)) => {
                let previd = previd.clone();
                self.stage = Stage::Open;
                return self.resume_answered(&previd, answer, out);
            }
            _ => return StreamCondition::InternalServerError.into(),
        };
        let Some(request) = self.claims.answered(&verify) else {
            return Flow::Stay;
        };
        match verdict {
            Verdict::Valid => {
                out.element(&dialback::answer(&request, "valid"));
                self.proven((request.to, request.from), Proof::Dialback, out);
                Flow::Stay
            }
            Verdict::Invalid => {
                tracing::warn!(domain = %request.from, peer = %self.peer.address, "a forged or wrong dialback key is refused");
                if self.claims.is_empty() {
                    out.element(&dialback::answer(&request, "invalid"));
                    return Flow::Close;
                }
                out.element(&dialback::error(&request, Condition::Forbidden));
                self.claims.failed()
            }
            Verdict::Error(condition) => {
                out.element(&dialback::error(&request, condition));
                self.claims.failed()
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
        self.claims.prove(remote.clone(), local.clone());
        let proven = Proven {
            local,
            remote,
            proof,
            bidi: self.bidi,
        };
        match self.bidi && !self.settled {
            true => self.untold.push(proven),
            false => line.proven(&proven),
        }
    }

    /// Whoever calls speaks first, and maybe of acknowledgements: what was said to it before those is acknowledged by nobody.
    fn settle(&mut self) {
        let Some((line, _)) = &self.line else { return };
        self.settled = true;
        for proven in std::mem::take(&mut self.untold) {
            line.proven(&proven);
        }
    }

    /// Only before anything is proved, so that no pair is one way and another both ways (XEP-0288 §2.2).
    fn enable_bidi(&mut self) -> Flow {
        let begun = !self.claims.is_empty() || self.claims.is_asking() || self.external;
        if begun || !self.office.bidi() {
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
                self.claims.erred()
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
        if let Err(condition) = self.claims.admit(&*self.office, &from, &to) {
            return condition.into();
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
