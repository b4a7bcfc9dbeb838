//! XEP-0030: Service Discovery (2.5.0), with the forms of XEP-0128 (1.0.1)

use std::sync::{Arc, OnceLock};

use crate::hooks::kinds::{Disco as Asked, DiscoNow, HostNode};
use crate::hooks::{
    Deps, Info, Module, ModuleError, Registrar, Reply, Request, Tables, To, Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::{caps, disco, ns};
use crate::settings;
use crate::state::roster::Roster;
use crate::xml::Element;

settings! {
    /// Tells clients what the server can do.
    pub struct Config {
        /// The server's name as clients show it.
        pub name: String = "waxwing".to_owned();
    }
}

/// Answers disco#info and disco#items for the host and for accounts.
pub struct Disco {
    name: String,
    known: OnceLock<Known>,
}

struct Known {
    now: Vec<DiscoNow>,
    host: disco::Info,
    host_nodes: Vec<String>,
    own: disco::Info,
    others: disco::Info,
    services: Vec<String>,
    nodes: Vec<HostNode>,
    own_nodes: Vec<HostNode>,
}

impl Module for Disco {
    const INFO: Info = Info {
        name: "disco",
        specs: &[("XEP-0030", "2.5.0"), ("XEP-0128", "1.0.1")],
        doc: "Clients find out what the server and its accounts can do.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(Disco {
            name: config.name,
            known: OnceLock::new(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const INFO: (&str, &str) = (ns::DISCO_INFO, "query");
        const ITEMS: (&str, &str) = (ns::DISCO_ITEMS, "query");
        r.identity(To::Host, "server", "im", Some(self.name.clone()));
        for at in [To::OwnAccount, To::Account] {
            r.identity(at, "account", "registered", None);
        }
        for at in [To::Host, To::OwnAccount, To::Account] {
            r.feature(at, ns::DISCO_INFO);
            r.feature(at, ns::DISCO_ITEMS);
        }
        let this = self.clone();
        r.host_iq(Verb::Get, INFO, move |q| this.host_info(q));
        let this = self.clone();
        r.host_iq(Verb::Get, ITEMS, move |q| this.host_items(q));
        for to in [To::OwnAccount, To::Account] {
            let this = self.clone();
            r.account_iq(to, Verb::Get, INFO, move |q, turn| {
                if to == To::Account && !subscribed(q, turn) {
                    return Reply::Error(Condition::ServiceUnavailable.into());
                }
                this.account_info(q, to)
            });
            let this = self.clone();
            r.account_iq(to, Verb::Get, ITEMS, move |q, turn| {
                let own = this.of_own_node(q, to, Asked::Items);
                own.unwrap_or_else(|| account_items(q, turn, to))
            });
        }
        r.frozen(move |tables| {
            let _ = self.known.set(Known::of(tables));
        });
    }
}

impl Known {
    fn of(tables: &Tables) -> Self {
        let info = |to| tables.disco(to).cloned().unwrap_or_default();
        let host = info(To::Host);
        let mut host_nodes: Vec<String> = [caps::Hash::Sha256, caps::Hash::Sha3_256]
            .into_iter()
            .filter_map(|f| caps::hash(&host, f).map(|value| caps::hash_node(f, &value)))
            .collect();
        let ver = caps::ver(&host, caps::Hash::Sha1);
        host_nodes.push(format!("{}#{ver}", caps::NODE));
        Known {
            now: tables.disco_changes().to_vec(),
            host,
            host_nodes,
            own: info(To::OwnAccount),
            others: info(To::Account),
            services: {
                let services = tables.services().iter().map(|service| &service.domain);
                let all = services.chain(tables.neighbours());
                all.map(ToString::to_string).collect()
            },
            nodes: tables.host_nodes().to_vec(),
            own_nodes: tables.own_nodes().to_vec(),
        }
    }

    /// What is told now.
    fn at(&self, to: To, info: &disco::Info) -> Element {
        let mut info = info.clone();
        for hook in &self.now {
            hook(to, &mut info);
        }
        info.to_element(None)
    }

    /// What a module says of a node of the host.
    fn of_module(&self, request: &Request<'_>, what: Asked) -> Option<Reply> {
        asked(&self.nodes, request, what)
    }
}

fn asked(nodes: &[HostNode], request: &Request<'_>, what: Asked) -> Option<Reply> {
    let node = request.payload.attr("node");
    let node = node.filter(|node| !node.is_empty())?;
    nodes.iter().find_map(|hook| hook(request, what, node))
}

impl Disco {
    fn known(&self) -> Result<&Known, StanzaError> {
        self.known
            .get()
            .ok_or_else(|| Condition::InternalServerError.into())
    }

    fn host_info(&self, request: &Request<'_>) -> Reply {
        let known = match self.known() {
            Ok(known) => known,
            Err(error) => return Reply::Error(error),
        };
        if let Some(reply) = known.of_module(request, Asked::Info) {
            return reply;
        }
        let node = request.payload.attr("node").filter(|node| !node.is_empty());
        if node.is_some_and(|node| !known.host_nodes.iter().any(|known| known == node)) {
            return Reply::Error(Condition::ItemNotFound.into());
        }
        match node {
            // What is known by its hash does not change.
            Some(_) => known.host.to_element(node).into(),
            None => known.at(To::Host, &known.host).into(),
        }
    }

    fn host_items(&self, request: &Request<'_>) -> Reply {
        let of_module = self.known.get();
        let of_module = of_module.and_then(|known| known.of_module(request, Asked::Items));
        if let Some(reply) = of_module {
            return reply;
        }
        if request.payload.attr("node").is_some_and(|n| !n.is_empty()) {
            return Reply::Error(Condition::ItemNotFound.into());
        }
        let services = match self.known() {
            Ok(known) => known.services.iter(),
            Err(error) => return Reply::Error(error),
        };
        Element::new("query", ns::DISCO_ITEMS)
            .with_children(
                services.map(|jid| Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid)),
            )
            .into()
    }

    /// What a module says of a node of the account that asks.
    fn of_own_node(&self, request: &Request<'_>, to: To, what: Asked) -> Option<Reply> {
        let known = self.known.get().filter(|_| to == To::OwnAccount)?;
        asked(&known.own_nodes, request, what)
    }

    fn account_info(&self, request: &Request<'_>, to: To) -> Reply {
        if let Some(reply) = self.of_own_node(request, to, Asked::Info) {
            return reply;
        }
        if request.payload.attr("node").is_some_and(|n| !n.is_empty()) {
            return Reply::Error(Condition::ItemNotFound.into());
        }
        match self.known() {
            Ok(known) if to == To::OwnAccount => known.at(to, &known.own).into(),
            Ok(known) => known.at(to, &known.others).into(),
            Err(error) => Reply::Error(error),
        }
    }
}

/// XEP-0030 §8: only who is subscribed learns that there is an account, and of its resources.
fn subscribed(request: &Request<'_>, turn: &Turn<'_>) -> bool {
    turn.account
        .parts
        .find::<Roster>()
        .is_some_and(|roster| roster.state(&request.from.bare()).subscription.from())
}

fn account_items(request: &Request<'_>, turn: &Turn<'_>, to: To) -> Reply {
    if to == To::Account && !subscribed(request, turn) {
        return Reply::Error(Condition::ServiceUnavailable.into());
    }
    if request.payload.attr("node").is_some_and(|n| !n.is_empty()) {
        return Reply::Error(Condition::ItemNotFound.into());
    }
    Element::new("query", ns::DISCO_ITEMS)
        .with_children(turn.account.available().map(|session| {
            Element::new("item", ns::DISCO_ITEMS).with_attr("jid", session.jid.as_str())
        }))
        .into()
}
