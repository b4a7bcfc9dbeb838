//! Kinds of nodes, by `pubsub#type`: how those are configured that have rules of their own, unless who makes them says
//! otherwise: social feeds (XEP-0472: Pubsub Social Feed, 0.2.1) and spaces (XEP-0503: Server-side spaces, 0.3.0);
//! and lists of the nodes of some kinds alone (XEP-0462: PubSub Type Filtering, 0.1.1).

use super::config::{Amount, Config, SendLast};
use super::error::exact;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Form;
use crate::proto::ns;
use crate::xml::{El, Element};

/// The kinds that are feeds.
const FEEDS: [&str; 3] = [ns::MICROBLOG, ns::SOCIAL_FEED, ns::SOCIAL_FEED_GALLERY];

impl Config {
    /// What a form is filled into that makes a node: these defaults, or those of the kind that the form names.
    pub(super) fn for_kind_in(&self, x: El<'_>) -> Config {
        let form = Form::parse(x).ok();
        let kind = form.as_ref().and_then(|form| form.value("pubsub#type"));
        let kept = Config {
            persist_items: true,
            max_items: Amount::MAX,
            notify_retract: true,
            ..self.clone()
        };
        match kind {
            // XEP-0472 §5.1.1
            Some(kind) if FEEDS.contains(&kind) => Config {
                send_last_published_item: SendLast::Never,
                deliver_payloads: false,
                ..kept
            },
            // XEP-0503 §3
            Some(ns::SPACES) => Config {
                notify_sub: true,
                notify_config: true,
                notify_delete: true,
                ..kept
            },
            _ => self.clone(),
        }
    }
}

impl Config {
    /// Whether a node of this kind takes an item: a feed takes entries of Atom (XEP-0472 §4.2), and what is said of the
    /// feed itself (XEP-0277 §5).
    pub(super) fn takes(&self, payload: Option<El<'_>>) -> Result<(), StanzaError> {
        let gallery = match self.kind.as_str() {
            ns::MICROBLOG | ns::SOCIAL_FEED => false,
            ns::SOCIAL_FEED_GALLERY => true,
            _ => return Ok(()),
        };
        let wrong =
            |text: &str| Err(exact(Condition::BadRequest, "invalid-payload").with_text(text));
        let Some(payload) = payload.filter(|el| el.ns() == ns::ATOM) else {
            return wrong("A feed takes entries of Atom");
        };
        let has = |name| payload.child(name, ns::ATOM).is_some();
        match payload.name() {
            // RFC 4287 §4.1.2
            "entry" if !["id", "title", "updated"].into_iter().all(has) => {
                wrong("An entry has an id, a title and the time of its last change")
            }
            "entry" if gallery && !payload.children().any(is_picture) => wrong(
                "An entry of a gallery has a picture, as a link with the relation \"enclosure\"",
            ),
            "entry" | "feed" => Ok(()),
            _ => wrong("A feed takes entries of Atom"),
        }
    }
}

impl Config {
    /// Whether it can be said in words what a node of this kind tells.
    pub(super) fn has_words(&self) -> bool {
        FEEDS.contains(&self.kind.as_str())
    }

    /// What an entry of a feed says in words: its title (XEP-0472 §4.6.2).
    pub(super) fn words(&self, entry: El<'_>) -> Option<String> {
        let title = entry
            .child("title", ns::ATOM)
            .filter(|_| self.has_words())?;
        let text = title.text();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An entry of a feed with the link to its item, which not all clients can make (XEP-0472 §4.3); nothing where it has one.
    pub(super) fn linked(&self, entry: El<'_>, uri: impl FnOnce() -> String) -> Option<Element> {
        let is_link = |el: El<'_>| {
            let href = el.attr("href").unwrap_or_default();
            el.is("link", ns::ATOM)
                && el.attr("rel") == Some("alternate")
                && href.starts_with("xmpp:")
        };
        let lacks = FEEDS.contains(&self.kind.as_str())
            && entry.is("entry", ns::ATOM)
            && !entry.children().any(is_link);
        lacks.then(|| {
            let link = Element::new("link", ns::ATOM)
                .with_attr("rel", "alternate")
                .with_attr("href", &uri());
            entry.to_element().with_child(link)
        })
    }
}

/// XEP-0472 §5.3.
fn is_picture(link: El<'_>) -> bool {
    let kind = link.attr("type").unwrap_or_default();
    link.is("link", ns::ATOM)
        && link.attr("rel") == Some("enclosure")
        && link.attr("href").is_some()
        && kind.starts_with("image/")
}

/// Which kinds of nodes are listed (XEP-0462 §3.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

impl Filter {
    /// What a question for a list says of it.
    pub(super) fn of(query: El<'_>) -> Result<Filter, StanzaError> {
        let Some(form) = query.child("filter", ns::PUBSUB_FILTER).and_then(Form::of) else {
            return Ok(Filter::All);
        };
        let form = form.map_err(|error| StanzaError::from(&error))?;
        if form.form_type() != Some(ns::PUBSUB_FILTER) {
            return Err(Condition::BadRequest.into());
        }
        let kinds = |var| {
            let field = form.field(var);
            field.map(|field| match field.values.as_slice() {
                // A field without a value names what has no type.
                [] => vec![String::new()],
                values => values.to_vec(),
            })
        };
        match (kinds("included-types"), kinds("excluded-types")) {
            (Some(_), Some(_)) => Err(Condition::BadRequest.into()),
            (Some(only), None) => Ok(Filter::Only(only)),
            (None, Some(without)) => Ok(Filter::Without(without)),
            (None, None) => Ok(Filter::All),
        }
    }

    /// Whether nodes of a kind are listed.
    pub(super) fn lists(&self, kind: &str) -> bool {
        let named = |kinds: &[String]| kinds.iter().any(|named| named == kind);
        match self {
            Filter::All => true,
            Filter::Only(kinds) => named(kinds),
            Filter::Without(kinds) => !named(kinds),
        }
    }
}
