//! XEP-0356: Privileged Entity (0.4.1)
//!
//! Components that the configuration names may see and change rosters, write messages and ask questions for accounts of
//! the host, and see presence. They hear on connecting what they may.

mod acts;
mod presence;
mod rights;

use std::sync::Arc;

use crate::hooks::{
    Deps, Envelope, Event, Info, Module, ModuleError, Origin, Path, Phase, Registrar, SessionEvent,
    To, Verb, Verdict,
};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::settings;
use crate::state::roster::{Roster, push_stanza, removed_item};

use presence::Seen;
use rights::Rights;
pub use rights::{Access, MessageAccess, PresenceAccess, Privileged};

settings! {
    /// Components that may act for accounts. Whoever is named here is trusted like the server itself.
    pub struct Config {
        /// One component and what it may do for accounts of the host.
        pub components: Vec<Privileged> = Vec::new();
    }
}

/// Who may do what for the accounts of one host.
pub struct Privilege {
    rights: Vec<Arc<Rights>>,
    seen: Seen,
    deps: Deps,
}

impl Module for Privilege {
    const INFO: Info = Info {
        name: "privilege",
        specs: &[("XEP-0356", "0.4.1")],
        doc: "Components named here see rosters and presence, and act for accounts.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let rights = config.components.into_iter().map(Rights::read);
        let rights = rights.collect::<Result<Vec<_>, _>>();
        let rights = rights.map_err(|reason| ModuleError {
            module: Self::INFO.name,
            reason,
        })?;
        Ok(Privilege {
            rights: rights.into_iter().map(Arc::new).collect(),
            seen: Seen::default(),
            deps: deps.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.rights.is_empty() {
            return;
        }
        let this = self.clone();
        r.event(move |event| match event {
            Event::Attached(domain) => this.greet(domain),
            Event::RosterChanged(account, contact) => this.push(account, contact),
            _ => {}
        });
        let this = self.clone();
        r.host_message((ns::PRIVILEGE, "privilege"), move |envelope| {
            this.message(envelope)
        });
        for verb in [Verb::Get, Verb::Set] {
            const PRIVILEGED_IQ: (&str, &str) = (ns::PRIVILEGE, "privileged_iq");
            let this = self.clone();
            r.account_iq(To::Account, verb, PRIVILEGED_IQ, move |q, turn| {
                this.question(verb, q, turn)
            });
        }
        let this = self.clone();
        r.iq_transit(Path::ToClient, Phase::Check, move |envelope, turn| {
            this.roster(envelope, turn)
        });
        let this = self.clone();
        r.presence(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.contact_presence(envelope, turn);
            Verdict::Continue
        });
        r.session(move |event, session, turn| match event {
            SessionEvent::Available => self.managed_presence(session, turn, true),
            SessionEvent::Unavailable => self.managed_presence(session, turn, false),
            _ => {}
        });
    }
}

impl Privilege {
    /// What the component at this address may do; only its domain itself is privileged, not everybody at it.
    fn rights(&self, from: Option<&Jid>) -> Option<&Arc<Rights>> {
        let from = from?;
        self.rights.iter().find(|rights| rights.domain == *from)
    }

    /// §4.2, §5.2, §6.2, §7.2: on connecting it hears what it may.
    fn greet(self: &Arc<Self>, domain: &Jid) {
        let Some(rights) = self.rights(Some(domain)) else {
            return;
        };
        tracing::info!(component = %domain, host = %self.deps.host, rights = %rights, "a privileged component is connected");
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.deps.host.clone())
            .with_to(domain.clone())
            .with_id(random::id())
            .with_child(rights.to_element());
        self.send(message);
        self.show_everybody(rights);
    }

    /// §4.4: a roster push, from the account.
    fn push(&self, account: &Jid, contact: &Jid) {
        if account.domain() != self.deps.host.domain() {
            return;
        }
        let told = self.rights.iter().filter(|rights| rights.pushes());
        let told: Vec<Jid> = told.map(|rights| rights.domain.clone()).collect();
        if told.is_empty() {
            return;
        }
        let contact = contact.clone();
        let push = move |turn: &mut crate::hooks::Turn<'_>| {
            let Some(roster) = turn.account.parts.find::<Roster>() else {
                return;
            };
            let item = match roster.item(&contact).filter(|item| item.listed) {
                Some(item) => item.to_element(),
                None => removed_item(&contact),
            };
            let version = roster.version();
            for domain in told {
                let mut push = push_stanza(&domain, &item, &version);
                push.from = Some(turn.account.jid.clone());
                turn.send(push);
            }
        };
        self.deps.floor.in_turn(account, Box::new(push));
    }

    fn send(&self, stanza: Stanza) {
        if let Some(envelope) = Envelope::from_server(stanza) {
            self.deps.floor.route(Box::new(envelope));
        }
    }

    /// A message of an account, by the word of a component.
    fn send_for(&self, stanza: Stanza) {
        if let Some(to) = stanza.to.clone() {
            let envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
            self.deps.floor.route(Box::new(envelope));
        }
    }
}
