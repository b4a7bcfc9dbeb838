//! One authentication exchange as both SASL profiles drive it: messages in, messages and questions out.

use std::sync::Arc;

use sasl::server::MechanismError;

use super::failure::{SaslCondition, SaslFailure};
use crate::proto::Jid;
use crate::stream::question::{Answer, Question, UserAgent};
use crate::stream::settings::Host;
use crate::stream::tls::Bindings;
use crate::xml::Element;

/// A running mechanism.
pub trait Exchange: Send {
    /// Takes the next step.
    fn step(&mut self, step: Step<'_>) -> Next;

    /// Whom the client claims to be, once it has said so: told to the desk when the exchange fails.
    fn user(&self) -> Option<&Jid>;
}

/// What comes in.
pub enum Step<'a> {
    /// The client starts, with or without an initial response.
    Start(Option<&'a [u8]>),
    /// The client's answer to a challenge.
    Response(&'a [u8]),
    /// The desk's answer to [`Next::Ask`].
    Answer(Answer),
}

/// What to do next.
pub enum Next {
    /// Send this challenge.
    Challenge(Vec<u8>),
    /// Ask the desk.
    Ask(Question),
    /// The client proved who it is.
    Success(Proved),
    /// It did not.
    Failure(SaslFailure),
}

/// A proved identity.
#[derive(Debug)]
pub struct Proved {
    /// The bare JID.
    pub user: Jid,
    /// Nobody in particular: SASL ANONYMOUS.
    pub anonymous: bool,
    /// Additional data with success.
    pub data: Option<Vec<u8>>,
    /// Which credentials of the account he proved, where that is known: those that were replaced meanwhile do not count.
    pub generation: Option<u64>,
}

impl From<SaslCondition> for Next {
    fn from(condition: SaslCondition) -> Next {
        Next::Failure(condition.into())
    }
}

/// What an exchange may look at.
pub struct Surroundings {
    /// The host logged in to.
    pub host: Arc<Host>,
    /// The `from` of the stream header, if it is an address.
    pub from: Option<Jid>,
    /// What the connection can be bound to.
    pub bindings: Arc<Bindings>,
    /// The mechanisms advertised in the profile in use.
    pub advertised: Vec<&'static str>,
    /// `<authenticate/>` with all its children; `None` in SASL1.
    pub request: Option<Element>,
    /// The client, if it named itself.
    pub agent: UserAgent,
}

/// A mechanism registered by a module.
pub trait MechanismFactory: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Whether it stands in the lists of mechanisms. One that does not is announced by its module's inline feature, and can
    /// be used only with SASL2 (FAST, XEP-0484).
    fn listed(&self) -> bool;

    /// Whether it is offered on a connection with these bindings.
    fn offered(&self, bindings: &Bindings) -> bool;

    /// Starts an exchange.
    fn start(&self, surroundings: Surroundings) -> Box<dyn Exchange>;
}

/// Whose account `username` means here, if whoever proves to be him may act as `authzid` and open a stream `from` there.
///
/// A simple user name is the localpart (RFC 6120 §6.3.7); a bare JID of this host is taken too. The authorization identity
/// must be the own bare JID (§6.3.8), and so must a `from` (§6.4.6, XEP-0388 §4.4). The answer depends on the request alone, so it
/// tells nothing about who exists.
pub fn identify(
    surroundings: &Surroundings,
    username: &str,
    authzid: Option<&str>,
) -> Result<Jid, SaslCondition> {
    let domain = surroundings.host.domain.domain();
    let user = match username.contains('@') {
        true => Jid::parse(username),
        false => Jid::new(Some(username), domain, None),
    };
    let user = user.map_err(|_| SaslCondition::NotAuthorized)?;
    if !user.is_bare() || user.node().is_none() || user.domain() != domain {
        return Err(SaslCondition::NotAuthorized);
    }
    let same = |other: Jid| other == user;
    if let Some(authzid) = authzid
        && !Jid::parse(authzid).is_ok_and(same)
    {
        return Err(SaslCondition::InvalidAuthzid);
    }
    match &surroundings.from {
        Some(from) if from.bare() != user => Err(SaslCondition::InvalidAuthzid),
        _ => Ok(user),
    }
}

/// What the client is told of a mechanism's error. Wrong binding and wrong password are one condition, with words for whoever
/// has to find out why.
pub fn explain(error: &MechanismError) -> SaslFailure {
    use MechanismError as E;
    let (condition, text) = match error {
        E::ChannelBindingNotSupported => (
            SaslCondition::MalformedRequest,
            "Channel binding wants a -PLUS mechanism",
        ),
        E::ChannelBindingIsSupported => (
            SaslCondition::NotAuthorized,
            "Channel binding was offered here: somebody between us may have removed it",
        ),
        E::ChannelBindingMechanismIncorrect => (
            SaslCondition::NotAuthorized,
            "This channel-binding type was not offered",
        ),
        E::CannotDecodeInitialMessage | E::CannotDecodeResponse | E::SaslSessionAlreadyOver => {
            return SaslCondition::MalformedRequest.into();
        }
        _ => return SaslCondition::NotAuthorized.into(),
    };
    SaslFailure {
        misfit: matches!(error, E::ChannelBindingMechanismIncorrect),
        ..SaslFailure::with_text(condition, text)
    }
}

/// An answer that does not fit the question: our own mistake.
pub fn confused() -> Next {
    Next::Failure(SaslCondition::TemporaryAuthFailure.into())
}
