//! Rules between values: what each key allows by itself is in its declaration.

use std::collections::BTreeSet;

use super::Bytes;
use super::check::join;
use super::levels::log_levels;
use super::load::Loaded;
use super::problem::{Place, Problem};
use super::tree::{Component, Host, Listen, ListenKind, ListenTls, Mechanism};
use crate::proto::jid::Jid;

/// A ceiling below this is a missing unit.
const LEAST_MEMORY: Bytes = Bytes::mib(1);

/// Every rule that is broken.
pub fn broken(loaded: &Loaded) -> Vec<Problem> {
    let mut rules = Rules {
        loaded,
        problems: Vec::new(),
    };
    rules.hosts();
    rules.components();
    rules.web();
    rules.listeners();
    rules.pairs();
    rules.relay();
    rules.modules();
    rules.problems
}

struct Rules<'a> {
    loaded: &'a Loaded,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn add(&mut self, key: &str, what: impl Into<String>) {
        self.problems.push(Problem {
            place: self.place(key),
            key: key.to_owned(),
            what: what.into(),
        });
    }

    /// The place of a key, or of something below it.
    fn place(&self, key: &str) -> Place {
        let origins = &self.loaded.origins;
        let below = || {
            origins
                .iter()
                .find(|(name, _)| name.starts_with(key))
                .map(|(_, place)| place)
        };
        let main = || {
            self.loaded
                .files
                .first()
                .map(|file| Place::File(file.clone(), 0))
        };
        let found = origins.get(key).or_else(below).cloned();
        found.or_else(main).unwrap_or(Place::Default)
    }

    fn hosts(&mut self) {
        let loaded = self.loaded;
        if loaded.config.hosts.is_empty() {
            self.add(
                "hosts",
                "no domain is served: add a section [hosts.\"example.org\"] with your domain",
            );
        }
        for (domain, host) in &loaded.config.hosts {
            self.host(domain, host);
        }
    }

    fn host(&mut self, domain: &str, host: &Host) {
        let path = join("hosts", domain);
        match canonical_domain(domain) {
            None => self.add(
                &path,
                format!("\"{domain}\" is not a domain; write it as \"example.org\""),
            ),
            Some(right) if right != domain => {
                self.add(&path, format!("write this domain as \"{right}\""))
            }
            Some(_) => {}
        }
        if host.key.is_some() && host.certificate.is_none() {
            let what = "a private key needs its certificate: add `certificate` beside it";
            self.add(&format!("{path}.key"), what);
        }
        if host.mechanisms.as_ref().is_some_and(Vec::is_empty) {
            self.add(&format!("{path}.mechanisms"), no_mechanisms());
        }
        if let Some(url) = &host.url
            && web_name(url).is_none()
        {
            let what = format!(
                "\"{url}\" is no such address; write it as \"https://chat.example.org\" or \"https://chat.example.org:5443\""
            );
            self.add(&format!("{path}.url"), what);
        }
        self.admins(&format!("{path}.admins"), &host.admins);
    }

    fn admins(&mut self, key: &str, admins: &[Jid]) {
        let odd = admins
            .iter()
            .find(|jid| jid.node().is_none() || jid.is_full());
        if let Some(odd) = odd {
            self.add(
                key,
                format!("\"{odd}\" is not an account; write it as user@example.org"),
            );
        }
    }

    fn components(&mut self) {
        let loaded = self.loaded;
        let mut seen = BTreeSet::new();
        for (name, component) in &loaded.config.components {
            self.component(name, component, &mut seen);
        }
        let mut listeners = loaded.config.listen.iter();
        let reached = listeners.any(|listen| listen.kind == ListenKind::Component);
        if !reached && !loaded.config.components.is_empty() {
            let what = "no component can connect: add a [[listen]] with kind = \"component\" and address = \"127.0.0.1:5347\"";
            self.add("components", what);
        }
    }

    fn component<'a>(
        &mut self,
        name: &'a str,
        component: &'a Component,
        seen: &mut BTreeSet<&'a str>,
    ) {
        let path = join("components", name);
        if component.secret.is_empty() {
            let what = "a component proves itself with a secret: add secret = \"…\" with what `openssl rand -hex 32` prints, and give the program the same";
            self.add(&format!("{path}.secret"), what);
        }
        let key = match component.domains.is_empty() {
            true => path.clone(),
            false => format!("{path}.domains"),
        };
        for domain in component.domains(name) {
            match canonical_domain(domain) {
                None => self.add(
                    &key,
                    format!("\"{domain}\" is not a domain; write it as \"irc.example.org\""),
                ),
                Some(right) if right != domain => {
                    self.add(&key, format!("write this domain as \"{right}\""))
                }
                Some(_) if self.loaded.config.hosts.contains_key(domain) => {
                    let what =
                        format!("{domain} is a host of its own; give the component another domain");
                    self.add(&key, what);
                }
                Some(_) if !seen.insert(domain) => self.add(
                    &key,
                    format!("{domain} belongs to another component already"),
                ),
                Some(_) => {}
            }
        }
    }

    fn web(&mut self) {
        let http = &self.loaded.config.http;
        for (key, path, usual) in [
            (
                "http.websocket.path",
                &http.websocket.path,
                "/xmpp-websocket",
            ),
            ("http.bosh.path", &http.bosh.path, "/http-bind"),
        ] {
            if !is_path(path) {
                self.add(
                    key,
                    format!("\"{path}\" is no such path; write it as \"{usual}\""),
                );
            }
        }
    }

    fn listeners(&mut self) {
        let loaded = self.loaded;
        let mut seen = BTreeSet::new();
        for (index, listen) in loaded.config.listen.iter().enumerate() {
            if !seen.insert(listen.address) {
                self.add(
                    &format!("listen[{index}].address"),
                    format!("{} is used by another [[listen]] already", listen.address),
                );
            }
            if exposed(listen) && listen.kind == ListenKind::Component {
                let what = "without TLS components may connect from this machine only: use a loopback address such as \"127.0.0.1:5347\", or \"starttls-and-direct\" and TLS from the first byte";
                self.add(&format!("listen[{index}].tls"), what);
            } else if exposed(listen) {
                let what = "without TLS passwords would cross the network readable: use \"starttls-and-direct\", a loopback address such as \"127.0.0.1:5222\", or name trusted `proxies`";
                self.add(&format!("listen[{index}].tls"), what);
            }
        }
    }

    fn relay(&mut self) {
        let relay = &self.loaded.config.relay;
        if relay.first_port > relay.last_port {
            let what = format!("must not be above relay.last_port ({})", relay.last_port);
            self.add("relay.first_port", what);
        }
        if relay.bytes_per_second > relay.bytes_per_second_total {
            let total = relay.bytes_per_second_total;
            let what = format!("must not be above relay.bytes_per_second_total ({total})");
            self.add("relay.bytes_per_second", what);
        }
        for (key, addresses) in [
            ("relay.addresses", &relay.addresses),
            ("relay.external", &relay.external),
        ] {
            let v6 = addresses.iter().filter(|ip| ip.is_ipv6()).count();
            let odd = addresses
                .iter()
                .find(|ip| ip.is_unspecified() || ip.to_canonical() != **ip);
            if let Some(odd) = odd {
                self.add(
                    key,
                    format!("\"{odd}\" is no address that anybody could reach"),
                );
            } else if v6 > 1 || addresses.len() - v6 > 1 {
                self.add(key, "one IPv4 and one IPv6 address at most");
            }
        }
    }

    fn pairs(&mut self) {
        let config = &self.loaded.config;
        let stream = &config.limits.stream;
        if stream.stanza_bytes_before_login > stream.stanza_bytes {
            let what = format!(
                "must not be above limits.stream.stanza_bytes ({})",
                stream.stanza_bytes
            );
            self.add("limits.stream.stanza_bytes_before_login", what);
        }
        if stream.header_timeout >= stream.login_timeout {
            let what = format!(
                "must be below limits.stream.login_timeout ({})",
                stream.login_timeout
            );
            self.add("limits.stream.header_timeout", what);
        }
        if config.auth.delay > config.auth.delay_max {
            self.add(
                "auth.delay",
                format!(
                    "must not be above auth.delay_max ({})",
                    config.auth.delay_max
                ),
            );
        }
        if let Some(memory) = config.limits.memory.filter(|memory| *memory < LEAST_MEMORY) {
            let what =
                format!("{memory} is too little for any server; give {LEAST_MEMORY} or more");
            self.add("limits.memory", what);
        }
        self.admins("admin.admins", &config.admin.admins);
        if config.auth.mechanisms.is_empty() {
            self.add("auth.mechanisms", no_mechanisms());
        }
        if let Err(what) = log_levels(&config.log.level) {
            self.add("log.level", what);
        }
    }

    /// Modules may have rules of their own; they see their table as it will be for each host.
    fn modules(&mut self) {
        let loaded = self.loaded;
        for module in &loaded.modules {
            let mut places = vec![(None, "modules".to_owned())];
            for (domain, host) in &loaded.config.hosts {
                if host.modules.0.contains_key(module.name) {
                    places.push((
                        Some(domain.as_str()),
                        format!("{}.modules", join("hosts", domain)),
                    ));
                }
            }
            for (host, path) in places {
                let mut table = loaded.module_table(host, module.name);
                table.remove("enabled");
                if let Err(what) = module.read(table) {
                    self.add(&format!("{path}.{}", module.name), what);
                }
            }
        }
    }
}

fn no_mechanisms() -> String {
    format!(
        "nobody could log in: name at least one of {}",
        Mechanism::WORDS.join(", ")
    )
}

fn exposed(listen: &Listen) -> bool {
    listen.tls == ListenTls::None
        && listen.proxies.is_empty()
        && !listen.address.ip().to_canonical().is_loopback()
}

/// The name in the address of a website: scheme, name and port, and nothing below.
pub fn web_name(url: &str) -> Option<&str> {
    let authority = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '[' | ']' | ':');
    let named = !name.is_empty() && name.chars().all(legal);
    let ported = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    (named && ported).then_some(name)
}

/// Names after a slash each, none of them empty, in letters that need no encoding.
fn is_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let name = |name: &str| !matches!(name, "" | "." | "..") && name.chars().all(plain);
    path.strip_prefix('/')
        .is_some_and(|names| names.split('/').all(name))
}

/// The one spelling of a domain.
fn canonical_domain(domain: &str) -> Option<String> {
    let jid = Jid::parse(domain).ok()?;
    (jid.as_str() == jid.domain()).then(|| jid.domain().to_owned())
}
