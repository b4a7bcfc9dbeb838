//! `[hosts."DOMAIN"]` and `[modules.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Mechanism;
use crate::config::{Setting, Shape};
use crate::proto::jid::Jid;
use crate::{choice, settings};

settings! {
    /// One domain.
    pub struct Host {
        /// PEM file with the certificate and its chain. Without it: as in [tls]. For localhost one is made.
        pub certificate: Option<PathBuf> = None => example("\"/etc/waxwing/example.org/fullchain.pem\"");
        /// PEM file with the private key. Without it the key is in the file of the certificate.
        pub key: Option<PathBuf> = None => example("\"/etc/waxwing/example.org/privkey.pem\"");
        /// Mechanisms for this domain instead of those of [auth].
        pub mechanisms: Option<Vec<Mechanism>> = None => example("[\"SCRAM-SHA-256\", \"SCRAM-SHA-1\"]");
        /// Where web clients reach this domain, as they write it: behind a proxy, or under another name or port than it
        /// has here. Without it: https://DOMAIN with the port of the first [[listen]] that serves HTTPS to others.
        pub url: Option<String> = None => example("\"https://chat.example.org\"");
        /// Accounts that may administer this domain.
        pub admins: Vec<Jid> = Vec::new() => example("[\"romeo@example.org\"]");
        /// Logging in without an account.
        pub guests: Guests = Guests::default();
        /// Features of this domain: what is written here overrides [modules].
        pub modules: Modules = Modules::default();
    }

    /// Logging in without an account (SASL ANONYMOUS, XEP-0175).
    pub struct Guests {
        /// Whether the domain takes guests; it then has no accounts.
        pub allowed: bool = false;
        /// Whom guests may reach: their own domain only, or everybody.
        pub reach: Reach = Reach::Domain;
        /// Guests at once.
        pub sessions: u32 = 1_000 => within(1..=1_000_000);
        /// Guests of one address at once (of one /64 for IPv6).
        pub sessions_per_address: u32 = 10 => within(1..=1_000_000);
    }
}

choice! {
    /// Whom guests may reach.
    pub enum Reach {
        /// Addresses of their own domain.
        Domain = "domain",
        /// Everybody.
        Everybody = "everybody",
    }
}

/// What is written for modules, by name; each module reads its own part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Modules(pub BTreeMap<String, toml::Table>);

impl Setting for Modules {
    fn shape() -> Shape {
        Shape::Modules
    }
}
