//! What a stream header declares for the elements on the stream (RFC 6120 §4.8).

use super::STREAMS;

/// The content namespace of a stream (RFC 6120 §4.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// `jabber:client`.
    Client,
    /// `jabber:server`.
    Server,
    /// `jabber:component:accept` (XEP-0114).
    Component,
}

/// The canonical content namespace: the one every stanza has inside the server.
pub(super) const CLIENT: &str = "jabber:client";

impl Content {
    /// The namespace as it stands on the stream.
    pub const fn ns(self) -> &'static str {
        match self {
            Self::Client => CLIENT,
            Self::Server => "jabber:server",
            Self::Component => "jabber:component:accept",
        }
    }

    pub(super) fn of(ns: &str) -> Option<Self> {
        [Self::Client, Self::Server, Self::Component]
            .into_iter()
            .find(|content| content.ns() == ns)
    }
}

/// The namespaces in force outside of the elements of a stream. Nothing on the heap for the common header.
///
/// Elements in the content namespace are read as `jabber:client`, so that stanzas look the same wherever they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    content: Content,
    /// What the common header declares: the content namespace as default, `stream` for the stream namespace.
    common: Common,
    /// Every declaration of another header.
    declared: Option<Box<[Declared]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    /// Empty for the default namespace.
    prefix: Box<str>,
    ns: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Common {
    Nothing,
    Default,
    DefaultAndStream,
}

impl Context {
    /// For framings without a stream header and for stored stanzas: `jabber:client` is the default, no prefix is
    /// declared.
    pub const fn client() -> Self {
        Self {
            content: Content::Client,
            common: Common::Default,
            declared: None,
        }
    }

    /// No declaration at all.
    pub(super) const fn nothing() -> Self {
        Self {
            content: Content::Client,
            common: Common::Nothing,
            declared: None,
        }
    }

    /// The content namespace; `Client` if the header declares none as default or with a prefix.
    pub const fn content(&self) -> Content {
        self.content
    }

    /// Of these declarations, prefix and namespace.
    pub(super) fn new<'a>(declared: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let default = declared
            .clone()
            .find(|(prefix, _)| prefix.is_empty())
            .map(|(_, ns)| ns);
        let content = default
            .and_then(Content::of)
            .or_else(|| declared.clone().find_map(|(_, ns)| Content::of(ns)))
            .unwrap_or(Content::Client);
        let ordinary = |(prefix, ns): (&str, &str)| match prefix {
            "" => ns == content.ns(),
            _ => (prefix, ns) == ("stream", STREAMS),
        };
        if declared.clone().count() == 2 && declared.clone().all(ordinary) {
            return Self {
                content,
                common: Common::DefaultAndStream,
                declared: None,
            };
        }
        let list = declared
            .map(|(prefix, ns)| Declared {
                prefix: prefix.into(),
                ns: ns.into(),
            })
            .collect();
        Self {
            content,
            common: Common::Nothing,
            declared: Some(list),
        }
    }

    /// Prefix (empty: default) and namespace of everything declared.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (&str, &str)> {
        let default = (self.common != Common::Nothing).then_some(("", self.content.ns()));
        let stream = (self.common == Common::DefaultAndStream).then_some(("stream", STREAMS));
        let list = self.declared.iter().flat_map(|list| list.iter());
        default
            .into_iter()
            .chain(stream)
            .chain(list.map(|declared| (&*declared.prefix, &*declared.ns)))
    }

    /// Whether `ns` would pass for the content namespace inside the server without being it.
    pub(super) fn is_foreign(&self, ns: &str) -> bool {
        self.content != Content::Client && ns == CLIENT
    }

    /// `ns` as elements have it inside the server.
    pub(super) fn canonical<'a>(&self, ns: &'a str) -> &'a str {
        if self.content != Content::Client && ns == self.content.ns() {
            CLIENT
        } else {
            ns
        }
    }
}
