//! A stream that we open to another server (RFC 6120 §4–§6, XEP-0178 §3, XEP-0220 §2.1).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::call::{Call, Established, Failure, Purpose, Verdict, Word};
use super::dialback::{self, Request};
use super::office::{Demand, Proof};
use super::resume;
use super::{acknowledge, addresses, header_fault, is_stanza, pass};
use crate::proto::{Condition, Jid, StanzaError, StreamCondition, StreamError, ns};
use crate::stream::acks;
use crate::stream::framing::Opening;
use crate::stream::input::Action;
use crate::stream::login::Flow;
use crate::stream::out::Out;
use crate::stream::seat::{Enable, End, Resumption, Seat};
use crate::stream::settings::Settings;
use crate::stream::tls::Tls;
use crate::xml::{El, Element, Header};

/// The calling end.
pub(in crate::stream) struct Outgoing {
    settings: Arc<Settings>,
    pub(super) call: Call,
    tls: Option<Tls>,
    /// The id in their header.
    id: String,
    pub(super) seat: Option<Arc<dyn Seat>>,
    bidi: bool,
    acks: bool,
    offers_acks: bool,
    /// They know the errors of dialback.
    errors: bool,
    /// Further domains of ours that they believe.
    pub(super) further: Vec<Jid>,
    resumption: Option<Resumption>,
    doubt: Option<String>,
    /// DNS names their certificate.
    named: bool,
    proof: Option<Proof>,
    /// How EXTERNAL was refused, if dialback is tried after it.
    refused: Option<String>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Features,
    Proceed,
    Handshake,
    External,
    /// A key was given.
    Dialback,
    /// A key was asked about.
    Verify,
    Resume,
    Enable,
    Ready,
}

impl Outgoing {
    /// Opens the stream; `tls` if the connection began with it.
    pub fn new(
        settings: Arc<Settings>,
        call: Call,
        tls: Option<Tls>,
        out: &mut Out<'_>,
    ) -> Outgoing {
        let stream = Outgoing {
            settings,
            call,
            tls,
            id: String::new(),
            seat: None,
            bidi: false,
            acks: false,
            offers_acks: false,
            errors: false,
            further: Vec::new(),
            resumption: None,
            doubt: None,
            named: false,
            proof: None,
            refused: None,
            stage: Stage::Header,
        };
        stream.open(out);
        stream
    }

    pub fn is_bound(&self) -> bool {
        self.seat.is_some()
    }

    pub fn can_write(&self) -> bool {
        self.stage != Stage::Handshake
    }

    fn open(&self, out: &mut Out<'_>) {
        out.open(&Opening {
            from: self.call.local.as_str(),
            to: Some(self.call.remote.as_str()),
            id: None,
        });
    }

    pub fn header(&mut self, header: &Header) -> Flow {
        if self.stage != Stage::Header {
            return StreamCondition::BadFormat.into();
        }
        if let Some(fault) = header_fault(header) {
            return fault.into();
        }
        self.id = header.element.attr("id").unwrap_or_default().to_owned();
        self.stage = Stage::Features;
        Flow::Stay
    }

    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        match (self.stage, root.ns(), root.name()) {
            (_, ns::STREAM, "error") => {
                let failure = Failure::theirs(&StreamError::parse(root));
                self.give_up(match &self.refused {
                    Some(why) => Failure::Rejected(format!("our certificate: {why}; {failure}")),
                    None => failure,
                })
            }
            (Stage::Features, ns::STREAM, "features") => self.features(root, out),
            (Stage::Proceed, ns::TLS, "proceed") => {
                self.stage = Stage::Handshake;
                out.push(Action::Secure);
                Flow::Stay
            }
            (Stage::Proceed, ns::TLS, _) => self.give_up(Failure::NoTls),
            (Stage::External, ns::SASL, "success") => {
                self.proof = Some(Proof::External);
                self.stage = Stage::Header;
                out.push(Action::Restart(self.settings.limits.after_login));
                self.open(out);
                Flow::Stay
            }
            (Stage::External, ns::SASL, "challenge") => {
                out.element(&Element::new("response", ns::SASL).with_text(&self.authzid()));
                Flow::Stay
            }
            (Stage::External, ns::SASL, _) => {
                self.refused = Some(refusal(root));
                self.give_key(out)
            }
            (Stage::Dialback, ns::DIALBACK, "result") => self.judged(root, out),
            (Stage::Verify, ns::DIALBACK, "verify") => self.verified(root),
            (Stage::Resume, ns::SM, "resumed") => self.resumed(root, out),
            (Stage::Resume, ns::SM, _) => {
                self.call.not_resumed(root.attr("h").and_then(acks::number));
                self.enable(out)
            }
            (Stage::Enable, ns::SM, "enabled") => {
                self.acks = true;
                self.resumption = resume::offered(root);
                self.ready(out)
            }
            (Stage::Enable, ns::SM, _) => self.ready(out),
            (Stage::Ready, ns::SM, _) if self.acks => match &self.seat {
                Some(seat) => acknowledge(&**seat, root),
                None => Flow::Close,
            },
            (Stage::Ready, ns::CLIENT, _) => self.stanza(element, out),
            (Stage::Ready, ns::DIALBACK, "result") if root.attr("type").is_some() => {
                self.further(element)
            }
            (Stage::Ready, ns::DIALBACK, _) if self.bidi => self.dialback(root, out),
            // Features that come again after dialback say nothing new.
            (_, ns::STREAM, "features") => Flow::Stay,
            _ => StreamCondition::UnsupportedStanzaType.into(),
        }
    }

    fn features(&mut self, features: El<'_>, out: &mut Out<'_>) -> Flow {
        if self.tls.is_none() {
            if features.child("starttls", ns::TLS).is_none() {
                return self.give_up(Failure::NoTls);
            }
            out.element(&Element::new("starttls", ns::TLS));
            self.stage = Stage::Proceed;
            return Flow::Stay;
        }
        if let Some(tls) = &self.tls {
            self.call.seen(tls, features);
        }
        self.offers_acks = features.child("sm", ns::SM).is_some();
        let dialback = features.child("dialback", ns::DIALBACK_FEATURE);
        let errors = dialback.and_then(|offer| offer.child("errors", ns::DIALBACK_FEATURE));
        self.errors |= errors.is_some();
        if self.proof.is_some() {
            return self.established(out);
        }
        if let Some(failure) = self.distrust() {
            return self.give_up(failure);
        }
        if let Purpose::Verify(verify) = &self.call.purpose {
            let (local, remote) = (&verify.local, &verify.remote);
            out.element(&dialback::verify(local, remote, &verify.id, &verify.key));
            self.stage = Stage::Verify;
            return Flow::Stay;
        }
        if self.call.office.bidi() && features.child("bidi", ns::BIDI_FEATURE).is_some() {
            self.bidi = true;
            out.element(&Element::new("bidi", ns::BIDI));
        }
        let mechanisms = features.child("mechanisms", ns::SASL);
        let external = mechanisms.is_some_and(|mechanisms| {
            let mut names = mechanisms.children();
            names.any(|name| name.text().trim() == "EXTERNAL")
        });
        if !external {
            return self.give_key(out);
        }
        let auth = Element::new("auth", ns::SASL)
            .with_attr("mechanism", "EXTERNAL")
            .with_text(&self.authzid());
        out.element(&auth);
        self.stage = Stage::External;
        Flow::Stay
    }

    /// Looks at their certificate, and at what is demanded of them.
    fn distrust(&mut self) -> Option<Failure> {
        let chain = self.tls.as_ref().map(|tls| tls.peer_chain.as_slice());
        let (chain, remote) = (chain.unwrap_or_default(), &self.call.remote);
        let word = match &self.call.judge {
            Some(judge) => judge(chain),
            None => Word::None(self.call.office.certified(chain, remote)),
        };
        self.doubt = match word {
            Word::Named => {
                self.named = true;
                None
            }
            Word::None(vouched) => vouched.err(),
            Word::Others(why) => return Some(Failure::Certificate(why)),
        };
        match (self.call.office.demand(remote), &self.doubt) {
            (Demand::Refused(why), _) => Some(Failure::Rejected(why)),
            (Demand::Certificate, Some(why)) => Some(Failure::Certificate(why.clone())),
            _ => None,
        }
    }

    fn authzid(&self) -> String {
        STANDARD.encode(self.call.local.as_str())
    }

    /// Step 1 of dialback.
    fn give_key(&mut self, out: &mut Out<'_>) -> Flow {
        let (local, remote) = (&self.call.local, &self.call.remote);
        let key = self.call.office.key(remote, local, &self.id);
        out.element(&dialback::result(local, remote, &key));
        self.stage = Stage::Dialback;
        Flow::Stay
    }

    /// Step 4 of dialback.
    fn judged(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        if !self.is_answer(element) {
            return StreamCondition::InvalidFrom.into();
        }
        match element.attr("type") {
            Some("valid") => {
                self.proof = Some(Proof::Dialback);
                self.established(out)
            }
            Some("error") => {
                let error = element.child("error", ns::CLIENT).map(StanzaError::parse);
                let condition = error.map(|error| error.condition.as_str().to_owned());
                self.give_up(Failure::Rejected(self.rejection(condition)))
            }
            _ => self.give_up(Failure::Rejected(self.rejection(None))),
        }
    }

    fn rejection(&self, condition: Option<String>) -> String {
        let dialback = match condition {
            Some(condition) => format!("dialback ended with {condition}"),
            None => "dialback found our key invalid".to_owned(),
        };
        match &self.refused {
            Some(external) => format!("our certificate: {external}; {dialback}"),
            None => dialback,
        }
    }

    /// Step 3 of dialback.
    fn verified(&mut self, element: El<'_>) -> Flow {
        let asked = match &self.call.purpose {
            Purpose::Verify(verify) => element.attr("id") == Some(verify.id.as_str()),
            Purpose::Stanzas => false,
        };
        if !asked || !self.is_answer(element) {
            return StreamCondition::InvalidFrom.into();
        }
        let verdict = match element.attr("type") {
            Some("valid") => Verdict::Valid,
            Some("error") => Verdict::Error(Condition::RemoteServerNotFound),
            _ => Verdict::Invalid,
        };
        self.call.verified(verdict);
        Flow::Close
    }

    fn is_answer(&self, element: El<'_>) -> bool {
        Request::read(element)
            .is_some_and(|told| told.from == self.call.remote && told.to == self.call.local)
    }

    fn established(&mut self, out: &mut Out<'_>) -> Flow {
        if !self.offers_acks {
            return self.ready(out);
        }
        let earlier = self
            .call
            .earlier()
            .filter(|earlier| earlier.bidi == self.bidi);
        match earlier {
            Some(earlier) => {
                out.element(&resume::request(earlier));
                self.stage = Stage::Resume;
                Flow::Stay
            }
            None => self.enable(out),
        }
    }

    fn enable(&mut self, out: &mut Out<'_>) -> Flow {
        let enable = Element::new("enable", ns::SM);
        out.element(&match self.call.office.resumes() {
            true => enable.with_attr("resume", "true"),
            false => enable,
        });
        self.stage = Stage::Enable;
        Flow::Stay
    }

    fn resumed(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let earlier = self.call.earlier();
        let h = earlier.and_then(|earlier| resume::resumed(element, &earlier.token));
        let Some(h) = h else {
            return StreamCondition::UndefinedCondition.into();
        };
        match self.call.resumed(h) {
            Ok(Some(seat)) => {
                self.acks = true;
                self.seated(seat, out)
            }
            Ok(None) => Flow::Close,
            Err(error) => acks::too_high(error).into(),
        }
    }

    fn ready(&mut self, out: &mut Out<'_>) -> Flow {
        let Some(proof) = self.proof else {
            return StreamCondition::InternalServerError.into();
        };
        let how = Established {
            proof,
            bidi: self.bidi,
            doubt: self.doubt.take(),
            named: self.named,
            resumption: self.resumption.take(),
            stream: self.id.clone(),
            errors: self.errors,
        };
        let Some(seat) = self.call.ready(&how) else {
            return Flow::Close;
        };
        if self.acks {
            seat.enable_acks(Enable::default());
        }
        self.seated(seat, out)
    }

    fn seated(&mut self, seat: Arc<dyn Seat>, out: &mut Out<'_>) -> Flow {
        out.deadline(None);
        out.push(Action::SetLimits(self.settings.limits.after_login));
        out.push(Action::Seated(seat.clone()));
        self.seat = Some(seat);
        self.stage = Stage::Ready;
        Flow::Stay
    }

    /// On a stream both ways they may speak too, but only for the domain that was called.
    fn stanza(&mut self, stanza: Element, out: &mut Out<'_>) -> Flow {
        let root = stanza.root();
        let Some(seat) = self.seat.as_ref().filter(|_| self.bidi && is_stanza(root)) else {
            return StreamCondition::UnsupportedStanzaType.into();
        };
        match addresses(root) {
            Err(error) => error.into(),
            Ok((from, _)) if from.domain() != self.call.remote.domain() => {
                StreamCondition::InvalidFrom.into()
            }
            Ok((_, to)) if !self.is_ours(&to) => StreamCondition::HostUnknown.into(),
            Ok(_) => {
                pass(&**seat, stanza, out);
                Flow::Stay
            }
        }
    }

    /// Who was called may give keys of further domains, and ask about ours (XEP-0288 §2.2); the former are asked to open a
    /// stream of their own.
    fn dialback(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let request = Request::read(element).filter(|_| element.attr("type").is_none());
        let Some(request) = request else {
            return StreamCondition::UnsupportedStanzaType.into();
        };
        let office = &*self.call.office;
        out.element(&match (element.name(), office.is_local(&request.to)) {
            (_, false) => dialback::error(&request, Condition::ItemNotFound),
            ("verify", true) => dialback::confirm(office, &request),
            (_, true) => dialback::error(&request, Condition::ResourceConstraint),
        });
        Flow::Stay
    }

    pub fn secured(&mut self, tls: Tls, out: &mut Out<'_>) -> Flow {
        if self.stage != Stage::Handshake {
            return StreamCondition::InternalServerError.into();
        }
        self.tls = Some(tls);
        self.stage = Stage::Header;
        out.push(Action::Restart(self.settings.limits.before_login));
        self.open(out);
        Flow::Stay
    }

    fn give_up(&mut self, why: Failure) -> Flow {
        self.call.fail(why);
        Flow::Close
    }

    pub fn close(&mut self, error: Option<&StreamError>, end: End) {
        if let Some(error) = error {
            self.call.fail(Failure::ours(error));
        }
        self.call.fail(Failure::Lost);
        if let Some(seat) = self.seat.take() {
            seat.closed(end);
        }
    }

    pub fn lost(&mut self, why: Failure) {
        self.call.fail(why);
    }
}

/// Why SASL EXTERNAL failed, as they say it.
fn refusal(failure: El<'_>) -> String {
    let is_text = |child: &El<'_>| child.name() == "text";
    let condition = failure.children().find(|child| !is_text(child));
    let condition = condition.map_or("SASL EXTERNAL failed", |child| child.name());
    match failure.children().find(is_text) {
        Some(text) => format!("{condition} ({})", text.text().trim()),
        None => condition.to_owned(),
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.close(None, End::ConnectionLost);
    }
}
