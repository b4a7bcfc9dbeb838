//! A client stream from its first byte to its bound resource. Dropped as a whole when that is reached.

use std::sync::Arc;

use super::attempt::Attempt;
use super::bound::Bound;
use super::framing::Opening;
use super::header::{self, Claims};
use super::input::Action;
use super::out::Out;
use super::question::{Answer, UserAgent};
use super::sasl::exchange::Proved;
use super::settings::{Host, Settings};
use super::stranger::stranger_answered;
use super::tls::{Bindings, Peer, Tls};
use super::{acks, features, pipelining, starttls};
use crate::proto::{Condition, Jid, StreamCondition, StreamError, ns};
use crate::runtime::random;
use crate::xml::{El, Element, Header};

/// The state of a stream that is not bound.
pub(super) struct Login {
    pub settings: Arc<Settings>,
    pub peer: Peer,
    pub tls: Option<Tls>,
    pub bindings: Arc<Bindings>,
    /// Known once a header named it.
    pub host: Option<Arc<Host>>,
    /// Who the client said it is, on a secured stream.
    pub from: Option<Jid>,
    pub lang: Option<Box<str>>,
    /// Who it is.
    pub user: Option<Proved>,
    pub agent: UserAgent,
    /// What names the features that were offered.
    pub version: Option<String>,
    /// Failed authentications on this connection.
    pub failures: u8,
    /// Those that failed for a channel-binding type not offered, and are not counted among the others.
    pub misfits: u8,
    /// Failed bind requests.
    pub bind_failures: u8,
    /// Iqs before login that modules were asked about, and what tells them from those of other streams.
    pub strange: u8,
    pub visit: Option<String>,
    /// The time to log in is running.
    timed: bool,
    /// Our header for the current stream is out.
    opened: bool,
    pub stage: Stage,
}

/// What is expected next.
pub(super) enum Stage {
    /// A stream header.
    Header,
    /// The end of the TLS handshake.
    Handshake,
    /// STARTTLS or authentication.
    Open,
    /// Authentication goes on.
    Sasl(Box<Attempt>),
    /// A bind request.
    Authenticated,
    /// The desk's answer to one; the id of the iq.
    Binding(String),
    /// The desk's answer to a `<resume/>`; the id in it.
    Resuming(String),
    /// The desk's answer to an iq before login.
    Stranger,
}

/// How it goes on.
pub(super) enum Flow {
    /// With the next input.
    Stay,
    /// As a bound stream.
    Bound(Bound),
    /// Not at all.
    End(StreamError),
    /// Not at all, and the peer has been told why.
    Close,
}

impl From<StreamError> for Flow {
    fn from(error: StreamError) -> Flow {
        Flow::End(error)
    }
}

impl From<StreamCondition> for Flow {
    fn from(condition: StreamCondition) -> Flow {
        Flow::End(condition.into())
    }
}

impl Login {
    pub fn new(settings: Arc<Settings>, peer: Peer, tls: Option<Tls>) -> Login {
        Login {
            settings,
            peer,
            bindings: Arc::new(Bindings::of(tls.as_ref())),
            tls,
            host: None,
            from: None,
            lang: None,
            user: None,
            agent: UserAgent::default(),
            version: None,
            failures: 0,
            misfits: 0,
            bind_failures: 0,
            strange: 0,
            visit: None,
            timed: false,
            opened: false,
            stage: Stage::Header,
        }
    }

    /// Whether passwords and the like may be sent here.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.peer.secure_by_place
    }

    /// Whether what is sent now could still be read as XMPP.
    pub fn can_write(&self) -> bool {
        !matches!(self.stage, Stage::Handshake)
    }

    /// Whether an answer of the desk is outstanding.
    pub fn is_waiting(&self) -> bool {
        match &self.stage {
            Stage::Sasl(attempt) => attempt.is_waiting(),
            Stage::Binding(_) | Stage::Resuming(_) | Stage::Stranger => true,
            _ => false,
        }
    }

    /// A stream header: ours goes out in any case, before whatever else there is to say (RFC 6120 §4.9.1.2).
    pub fn header(&mut self, header: &Header, out: &mut Out<'_>) -> Flow {
        if !matches!(self.stage, Stage::Header) {
            return StreamCondition::BadFormat.into();
        }
        let server_name = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let (claims, fault) = header::read(header, &*self.settings.hosts, server_name);
        let fault = fault.or_else(|| self.inconsistent(&claims));
        self.open(&claims, out);
        if let Some(fault) = fault {
            return fault.into();
        }
        self.start_clock(out);
        self.lang = claims.lang;
        self.from = claims
            .from
            .filter(|from| self.is_secure() && from.node().is_some());
        self.host = claims.host;
        self.offer(out)
    }

    /// Sends our header, once a stream. For an error that no header of theirs came before, with no claims.
    pub fn open_anyway(&mut self, out: &mut Out<'_>) {
        let claims = Claims {
            host: self.host.clone(),
            from: None,
            lang: None,
        };
        self.open(&claims, out);
    }

    fn open(&mut self, claims: &Claims, out: &mut Out<'_>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let fallback = || self.settings.hosts.default_host();
        let host = claims.host.clone().unwrap_or_else(fallback);
        out.open(&Opening {
            from: host.domain.domain(),
            to: claims.from.as_ref().map(Jid::as_str),
            id: Some(&random::token()),
        });
    }

    /// Whether it is proved who this is.
    pub fn is_authenticated(&self) -> bool {
        self.user.is_some()
    }

    /// A header may not contradict itself (XEP-0388 §2.1) nor, after authentication, what was proved: neither host nor user
    /// changes with a restart. What `from` says before TLS counts for nothing.
    fn inconsistent(&self, claims: &Claims) -> Option<StreamError> {
        let host = claims.host.as_ref()?;
        let from = claims.from.as_ref();
        match &self.user {
            Some(proved) if proved.user.domain() != host.domain.domain() => {
                Some(StreamCondition::NotAuthorized.into())
            }
            Some(proved) => from
                .filter(|from| **from != proved.user && !proved.anonymous)
                .map(|_| StreamCondition::InvalidFrom.into()),
            None => from
                .filter(|from| self.is_secure() && from.domain() != host.domain.domain())
                .map(|_| StreamCondition::InvalidFrom.into()),
        }
    }

    /// From the first header on, the rest of the time for logging in runs; restarts do not renew it.
    fn start_clock(&mut self, out: &mut Out<'_>) {
        if !std::mem::replace(&mut self.timed, true) {
            let limits = &self.settings.limits;
            out.deadline(Some(limits.login.saturating_sub(limits.header)));
        }
    }

    /// Sends the features that fit.
    fn offer(&mut self, out: &mut Out<'_>) -> Flow {
        let Some(host) = &self.host else {
            return StreamCondition::InternalServerError.into();
        };
        let start = match self.tls {
            Some(_) => Element::new("features", ns::STREAM),
            None => features::insecure(&self.peer),
        };
        self.stage = Stage::Open;
        let features = match &self.user {
            Some(proved) => {
                self.stage = Stage::Authenticated;
                let context = features::context(host, &self.bindings, &proved.user);
                features::authenticated(&self.settings, &context, false, false)
            }
            None if self.is_secure() => {
                let features = features::secured(start, &self.settings, host, &self.bindings);
                pipelining::announce(features, &mut self.version)
            }
            None => start,
        };
        out.element(&features);
        Flow::Stay
    }

    /// A first-level element.
    pub fn element(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        if self.is_waiting() {
            // The driver holds input back while the desk is asked.
            return StreamCondition::PolicyViolation.into();
        }
        match (&self.stage, root.ns()) {
            (Stage::Header | Stage::Handshake, _) => StreamCondition::BadFormat.into(),
            (_, ns::STREAM) if root.name() == "error" => Flow::Close,
            (_, ns::TLS) => self.starttls(root, out),
            (Stage::Open, ns::SASL) => self.sasl1(root, out),
            (Stage::Open, ns::SASL2) => self.sasl2(element, out),
            (Stage::Sasl(_), _) => self.sasl_goes_on(root, out),
            (Stage::Authenticated, ns::CLIENT) => self.bind(root, out),
            (Stage::Authenticated, ns::SM) if root.name() == "resume" => self.resume(root, out),
            (Stage::Open, ns::CLIENT) if self.claimed(root) => self.stranger(element, out),
            (Stage::Open | Stage::Authenticated, ns::SM) => {
                out.element(&acks::failed(Condition::UnexpectedRequest, None));
                Flow::Stay
            }
            (_, ns) => refuse(root, ns),
        }
    }

    fn starttls(&mut self, request: El<'_>, out: &mut Out<'_>) -> Flow {
        let offered = self.tls.is_none() && self.peer.starttls && matches!(self.stage, Stage::Open);
        match starttls::answer(request, offered, out) {
            true => {
                self.stage = Stage::Handshake;
                Flow::Stay
            }
            false => Flow::Close,
        }
    }

    /// TLS is there: everything known from before is forgotten, but for what the peer has used up.
    pub fn secured(&mut self, tls: Tls, out: &mut Out<'_>) -> Flow {
        if !matches!(self.stage, Stage::Handshake) {
            return StreamCondition::InternalServerError.into();
        }
        let fresh = Login::new(self.settings.clone(), self.peer.clone(), Some(tls));
        *self = Login {
            failures: self.failures,
            misfits: self.misfits,
            strange: self.strange,
            timed: self.timed,
            ..fresh
        };
        out.push(Action::Restart(self.settings.limits.before_login));
        Flow::Stay
    }

    /// The desk's answer.
    pub fn answer(&mut self, answer: Answer, out: &mut Out<'_>) -> Flow {
        match std::mem::replace(&mut self.stage, Stage::Open) {
            Stage::Sasl(attempt) => self.sasl_answered(attempt, answer, out),
            Stage::Binding(id) => self.bind_answered(id, answer, out),
            Stage::Resuming(previd) => self.resume_answered(&previd, answer, out),
            Stage::Stranger => stranger_answered(answer, out),
            stage => {
                self.stage = stage;
                StreamCondition::InternalServerError.into()
            }
        }
    }

    /// SASL1 succeeded: a new stream, same user (RFC 6120 §6.3.2).
    pub fn restart(&mut self, out: &mut Out<'_>) -> Flow {
        self.opened = false;
        self.stage = Stage::Header;
        out.push(Action::Restart(self.settings.limits.after_login));
        out.deadline(Some(self.settings.limits.bind));
        Flow::Stay
    }
}

/// For what cannot be done now. Everything that looks like a stanza, and logging in again, is `not-authorized`
/// (RFC 6120 §4.9.3.12, XEP-0388 §4.8).
fn refuse(element: El<'_>, ns: &str) -> Flow {
    let stanza = matches!(element.name(), "message" | "presence" | "iq");
    match ns {
        ns::CLIENT if stanza => StreamCondition::NotAuthorized.into(),
        ns::SASL | ns::SASL2 => StreamCondition::NotAuthorized.into(),
        ns::SERVER | ns::COMPONENT | "" => StreamCondition::InvalidNamespace.into(),
        _ => StreamCondition::UnsupportedStanzaType.into(),
    }
}
