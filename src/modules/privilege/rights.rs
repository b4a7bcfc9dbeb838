//! What one component may do, as configured and as it is told.

use std::collections::BTreeMap;
use std::fmt;

use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::xml::Element;
use crate::{choice, settings};

settings! {
    /// One component and what it may do for accounts of the host.
    pub struct Privileged {
        /// Its domain, as in [components].
        pub domain: String = String::new() => example("\"pubsub.example.org\"");
        /// Rosters: "none", "get", "set" or "both".
        pub roster: Access = Access::None;
        /// Whether it hears of changes of rosters that it may get.
        pub roster_push: bool = true;
        /// Messages in the name of accounts and of the host: "none" or "outgoing".
        pub message: MessageAccess = MessageAccess::None;
        /// Presence: "none", of the accounts ("managed_entity"), or also of their contacts ("roster", which needs to get rosters).
        pub presence: PresenceAccess = PresenceAccess::None;
        /// Questions in the name of accounts, by the namespace of what they carry: "get", "set" or "both".
        pub iq: BTreeMap<String, Access> = BTreeMap::new() => example("{ \"http://jabber.org/protocol/pubsub\" = \"set\" }");
    }
}

choice! {
    /// Which kinds of iqs.
    pub enum Access {
        /// None.
        None = "none",
        /// Of the type get.
        Get = "get",
        /// Of the type set.
        Set = "set",
        /// Both.
        Both = "both",
    }

    /// Messages in somebody's name.
    pub enum MessageAccess {
        /// None.
        None = "none",
        /// Of accounts of the host, and of the host.
        Outgoing = "outgoing",
    }

    /// Whose presence.
    pub enum PresenceAccess {
        /// Nobody's.
        None = "none",
        /// That of accounts of the host.
        ManagedEntity = "managed_entity",
        /// That of their contacts too.
        Roster = "roster",
    }
}

impl Access {
    /// Whether a `get` is among them.
    pub fn gets(self) -> bool {
        matches!(self, Access::Get | Access::Both)
    }

    /// Whether a `set` is among them.
    pub fn sets(self) -> bool {
        matches!(self, Access::Set | Access::Both)
    }
}

/// What one component may do.
pub(super) struct Rights {
    pub domain: Jid,
    pub roster: Access,
    push: bool,
    pub message: bool,
    pub presence: PresenceAccess,
    pub iq: BTreeMap<String, Access>,
}

impl Rights {
    /// What is configured, if it can be so.
    pub fn read(config: Privileged) -> Result<Rights, String> {
        let domain = Jid::parse(&config.domain).ok();
        let domain = domain.filter(|jid| jid.as_str() == jid.domain());
        let domain = domain.ok_or_else(|| {
            format!(
                "\"{}\" is not a domain; name one of [components]",
                config.domain
            )
        })?;
        if config.presence == PresenceAccess::Roster && !config.roster.gets() {
            return Err(format!(
                "{domain}: presence = \"roster\" needs roster = \"get\" or \"both\" (XEP-0356 §7.4)"
            ));
        }
        if let Some(own) = config.iq.keys().find(|name| *name == ns::PRIVILEGE) {
            return Err(format!("{domain}: {own} is not for anybody to hand on"));
        }
        Ok(Rights {
            domain,
            roster: config.roster,
            push: config.roster_push,
            message: config.message == MessageAccess::Outgoing,
            presence: config.presence,
            iq: config.iq,
        })
    }

    /// Whether it hears of changed rosters (§4.1).
    pub fn pushes(&self) -> bool {
        self.push && self.roster.gets()
    }

    /// As the component is told.
    pub fn to_element(&self) -> Element {
        let perm = |access: &str| Element::new("perm", ns::PRIVILEGE).with_attr("access", access);
        let mut told = Element::new("privilege", ns::PRIVILEGE);
        if self.roster != Access::None {
            let push = if self.pushes() { "true" } else { "false" };
            let perm = perm("roster").with_attr("type", self.roster.as_str());
            told = told.with_child(perm.with_attr("push", push));
        }
        if self.message {
            let outgoing = MessageAccess::Outgoing.as_str();
            told = told.with_child(perm("message").with_attr("type", outgoing));
        }
        if self.presence != PresenceAccess::None {
            let presence = self.presence.as_str();
            told = told.with_child(perm("presence").with_attr("type", presence));
        }
        let granted = self
            .iq
            .iter()
            .filter(|(_, access)| **access != Access::None);
        let granted = granted.map(|(name, access)| {
            let namespace = Element::new("namespace", ns::PRIVILEGE);
            let namespace = namespace.with_attr("ns", name);
            namespace.with_attr("type", access.as_str())
        });
        let granted: Vec<Element> = granted.collect();
        if !granted.is_empty() {
            told = told.with_child(perm("iq").with_children(granted));
        }
        told
    }
}

/// For the log.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = if self.message { "outgoing" } else { "none" };
        let (roster, presence) = (self.roster, self.presence);
        write!(f, "roster {roster}, message {message}, presence {presence}")?;
        for (name, access) in &self.iq {
            write!(f, ", iq {name} {access}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_granted_is_refused() {
        let of = |change: fn(&mut Privileged)| {
            let mut config = Privileged {
                domain: "pubsub.example.org".into(),
                ..Privileged::default()
            };
            change(&mut config);
            Rights::read(config).err()
        };
        assert_eq!(of(|_| ()), None);
        assert!(of(|c| c.domain = "a@b.example".into()).is_some());
        assert!(of(|c| c.presence = PresenceAccess::Roster).is_some());
        let both = |c: &mut Privileged| {
            c.presence = PresenceAccess::Roster;
            c.roster = Access::Get;
        };
        assert_eq!(of(both), None);
        let again = |c: &mut Privileged| {
            c.iq.insert(ns::PRIVILEGE.into(), Access::Set);
        };
        assert!(of(again).is_some());
    }
}
