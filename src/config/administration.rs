//! Who administers what, and how long the record of it is kept: from the sections that say so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Config;
use crate::proto::jid::Jid;

/// Who administers what, and how long the record of it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Administration {
    /// Who may administer everything.
    pub server: Vec<Jid>,
    /// Who may administer one domain.
    pub hosts: BTreeMap<String, Vec<Jid>>,
    /// How long the record is kept.
    pub audit_age: Duration,
    /// Entries of the record.
    pub audit_entries: usize,
}

impl Administration {
    /// As the configuration says.
    pub fn of(config: &Config) -> Self {
        let hosts = config.hosts.iter();
        Administration {
            server: config.admin.admins.clone(),
            hosts: hosts
                .map(|(domain, host)| (domain.clone(), host.admins.clone()))
                .collect(),
            audit_age: config.admin.audit_age.0,
            audit_entries: config.admin.audit_entries as usize,
        }
    }
}
