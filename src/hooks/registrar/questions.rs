//! Who answers what hosts and accounts are asked.

use std::sync::Arc;

use super::Registrar;
use crate::hooks::envelope::Envelope;
use crate::hooks::kinds::{Disco, Inlined, Reply, Request, To, Verb, Verdict};
use crate::hooks::turn::Turn;
use crate::proto::disco;
use crate::proto::error::{Condition, StanzaError};
use crate::xml::El;

impl Registrar<'_> {
    /// Answers an iq to the host.
    pub fn host_iq(
        &mut self,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Request<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.host_iq;
        let free = table.claim((ns, name), verb, Arc::new(f));
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to the host"));
    }

    /// Handles messages to the host that have such a child.
    pub fn host_message(
        &mut self,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Envelope) -> Verdict + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.host_messages;
        let free = table.claim((ns, name), (), Arc::new(f));
        self.refuse_if(!free, || {
            format!("messages with {{{ns}}}{name} to the host")
        });
    }

    /// Answers iqs to the host and to accounts before those who claimed them; `None` leaves one to them.
    pub fn divert(
        &mut self,
        f: impl Fn(To, &Request<'_>) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.diverts.push(Arc::new(f));
    }

    /// Changes what disco tells at the moment, where it was asked for no node.
    pub fn disco_now(&mut self, f: impl Fn(To, &mut disco::Info) + Send + Sync + 'static) {
        self.builder.tables.disco_now.push(Arc::new(f));
    }

    /// Answers what disco asks of nodes of the host; `None` for a node that is somebody else's.
    pub fn host_node(
        &mut self,
        f: impl Fn(&Request<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.host_nodes.push(Arc::new(f));
    }

    /// Answers what disco asks of nodes of an account, in that account's turn and whoever asks; `None` for a
    /// node that is somebody else's.
    pub fn account_node(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.account_nodes.push(Arc::new(f));
    }

    /// Answers, as [`Registrar::account_node`] does, for nodes that nobody else knows.
    pub fn other_account_nodes(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>, Disco, &str) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.builder.tables.other_account_nodes.push(Arc::new(f));
    }

    /// Adds items to what disco lists of an account, in that account's turn, for who may have its presence.
    pub fn account_items(
        &mut self,
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Option<Inlined> + Send + Sync + 'static,
    ) {
        self.builder.tables.account_items.push(Arc::new(f));
    }

    /// Answers an iq to an account, in that account's turn.
    pub fn account_iq(
        &mut self,
        to: To,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.account_iq;
        let free = table.claim((ns, name), (to, verb), Arc::new(f));
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to {to:?}"));
    }

    /// Answers, as [`Registrar::account_iq`] does, where the payload has this attribute, before who answers all of its
    /// name.
    pub fn account_iq_about(
        &mut self,
        to: To,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        attribute: &'static str,
        f: impl Fn(&Request<'_>, &mut Turn<'_>) -> Reply + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.account_iq_about;
        let free = table.claim((ns, name), (to, verb, attribute), Arc::new(f));
        self.refuse_if(!free, || {
            format!("{verb:?} {{{ns}}}{name} with {attribute} to {to:?}")
        });
    }

    /// Says how a question to an account that is not there is refused, where a stranger's question to
    /// one that is there is refused otherwise than with `service-unavailable`: nobody learns from
    /// the answer whether there is an account.
    pub fn unknown(
        &mut self,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        refusal: Condition,
    ) {
        self.unknown_as(verb, (ns, name), move |_| refusal.into());
    }

    /// The same where the refusal depends on what is asked.
    pub fn unknown_as(
        &mut self,
        verb: Verb,
        (ns, name): (&'static str, &'static str),
        refusal: impl Fn(El<'_>) -> StanzaError + Send + Sync + 'static,
    ) {
        let table = &mut self.builder.tables.unknown;
        let free = table.claim((ns, name), verb, Arc::new(refusal));
        self.refuse_if(!free, || format!("{verb:?} {{{ns}}}{name} to nobody"));
    }
}
