//! What modules add to a stream, frozen into tables before the first connection.

use std::sync::Arc;

use super::sasl::exchange::MechanismFactory;
use super::settings::Host;
use super::tls::Bindings;
use crate::proto::Jid;
use crate::xml::{El, Element};

/// Everything the modules of one host registered for client streams.
#[derive(Default)]
pub struct Tables {
    /// Stream features.
    pub features: Vec<Feature>,
    /// First-level elements that go to [`super::Seat::nonza`].
    pub nonzas: Vec<Tag>,
    /// Requests inside `<authenticate/>` (XEP-0388).
    pub inlines: Vec<Inline>,
    /// Requests inside `<bind/>` (XEP-0386).
    pub bind_inlines: Vec<BindInline>,
    /// What an iq may hold that is answered before login, on a secured stream.
    pub strangers: Vec<Tag>,
    /// SASL mechanisms.
    pub mechanisms: Vec<Arc<dyn MechanismFactory>>,
}

/// An element name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Local name.
    pub name: &'static str,
    /// Namespace.
    pub ns: &'static str,
}

impl Tag {
    /// Whether `element` is one.
    pub fn is(&self, element: El<'_>) -> bool {
        element.is(self.name, self.ns)
    }
}

/// Makes an element for the features of one stream, or none for this stream.
pub type Make = Box<dyn Fn(&FeatureContext<'_>) -> Option<Element> + Send + Sync>;

/// A stream feature.
pub struct Feature {
    /// When it is announced.
    pub stage: Stage,
    /// The element.
    pub make: Make,
}

/// When a feature is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Beside the SASL mechanisms: secured, not authenticated.
    Secured,
    /// After authentication, beside bind or after Bind 2.
    Authenticated,
}

/// What a feature may depend on.
pub struct FeatureContext<'a> {
    /// The host.
    pub host: &'a Host,
    /// What the connection can be bound to.
    pub bindings: &'a Bindings,
    /// Who logged in, if anybody did.
    pub user: Option<&'a Jid>,
}

/// Something a client may ask for inside `<authenticate/>`.
pub struct Inline {
    /// The request elements.
    pub tags: Vec<Tag>,
    /// What stands for it inside `<inline/>`.
    pub make: Make,
    /// When it is done.
    pub when: When,
}

/// When an inline request is done. Never before authentication succeeded (XEP-0388 §2.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After authentication, before the resource is bound.
    BeforeBind,
    /// Last before `<success/>`.
    IntoSuccess,
}

/// Something a client may ask for inside `<bind/>`; goes with the bind request.
pub struct BindInline {
    /// The request elements.
    pub tags: Vec<Tag>,
    /// The `var` of its `<feature/>`.
    pub var: &'static str,
}
