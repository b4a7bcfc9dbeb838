//! What modules add to the opening of streams, before there is a session.

use std::sync::Arc;

use super::Registrar;
use crate::hooks::account::SessionId;
use crate::hooks::kinds::{Inlined, Reply, Stranger};
use crate::hooks::turn::Turn;
use crate::stream::InlineRequest;
use crate::stream::sasl::exchange::MechanismFactory;
use crate::stream::sasl::offer::is_built_in;
use crate::stream::tables::{BindInline, Feature, FeatureContext, Inline, Stage, Tag, When};
use crate::xml::Element;

impl Registrar<'_> {
    /// Announces a feature of client streams; `make` may leave it out for a stream.
    pub fn stream_feature(
        &mut self,
        stage: Stage,
        make: impl Fn(&FeatureContext<'_>) -> Option<Element> + Send + Sync + 'static,
    ) {
        let make = Box::new(make);
        self.builder.stream.features.push(Feature { stage, make });
    }

    /// Answers an iq with this payload before login, on secured streams. What comes before login is
    /// slow, bounded for each stream, and must be bounded by the module for each address.
    pub fn stranger_iq(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Stranger) -> Reply + Send + Sync + 'static,
    ) {
        self.builder.stream.strangers.push(Tag { name, ns });
        let table = &mut self.builder.tables.strangers;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} before login"));
    }

    /// Answers such iqs before login before who claimed them; `None` leaves one to that module.
    pub fn stranger_first(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Stranger) -> Option<Reply> + Send + Sync + 'static,
    ) {
        let tag = Tag { name, ns };
        self.builder.stream.strangers.push(tag);
        let table = &mut self.builder.tables.strangers_first;
        table.push((tag, Arc::new(f)));
    }

    /// Adds a SASL mechanism.
    pub fn mechanism(&mut self, mechanism: impl MechanismFactory + 'static) {
        let name = mechanism.name();
        let mechanisms = &mut self.builder.stream.mechanisms;
        let taken = is_built_in(name) || mechanisms.iter().any(|other| other.name() == name);
        mechanisms.push(Arc::new(mechanism));
        self.refuse_if(taken, || format!("the SASL mechanism {name}"));
    }

    /// Answers a request inside `<authenticate/>` (XEP-0388) with elements for `<success/>`.
    /// `announce` makes what stands for it inside `<inline/>`.
    pub fn inline(
        &mut self,
        when: When,
        (ns, name): (&'static str, &'static str),
        announce: impl Fn(&FeatureContext<'_>) -> Option<Element> + Send + Sync + 'static,
        f: impl Fn(&InlineRequest, &Element) -> Inlined + Send + Sync + 'static,
    ) {
        self.builder.stream.inlines.push(Inline {
            tags: vec![Tag { name, ns }],
            make: Box::new(announce),
            when,
        });
        let table = &mut self.builder.tables.inlines;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} inside <authenticate/>"));
    }

    /// Answers a request inside `<bind/>` (XEP-0386), in the account's turn, with an element for
    /// `<bound/>`; it is announced as the feature `ns`.
    pub fn bind_inline(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Element, SessionId, &mut Turn<'_>) -> Option<Element> + Send + Sync + 'static,
    ) {
        self.builder.stream.bind_inlines.push(BindInline {
            tags: vec![Tag { name, ns }],
            var: ns,
        });
        let table = &mut self.builder.tables.bind_inlines;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || format!("{{{ns}}}{name} inside <bind/>"));
    }

    /// Adds elements to `<bound/>` of every client that binds by XEP-0386, without being asked to; the
    /// session is there when they are made.
    pub fn bound(
        &mut self,
        f: impl Fn(SessionId, &mut Turn<'_>) -> Option<Inlined> + Send + Sync + 'static,
    ) {
        self.builder.tables.bounds.push(Arc::new(f));
    }
}
