//! XEP-0030: Service Discovery (2.5.0), with the forms of XEP-0128 (1.0.1)

use std::sync::{Arc, OnceLock};

use crate::hooks::kinds::{AccountItems, AccountNode, Disco as Asked, DiscoNow, HostNode};
use crate::hooks::{
    Deps, Info, Inlined, Module, ModuleError, Registrar, Reply, Request, Tables, To, Turn, Verb,
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
    account_nodes: Vec<AccountNode>,
    account_items: Vec<AccountItems>,
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
                let node = this.of_account_node(q, turn, Asked::Info);
                node.unwrap_or_else(|| this.account_info(q, turn, to))
            });
            let this = self.clone();
            r.account_iq(to, Verb::Get, ITEMS, move |q, turn| {
                let node = this.of_account_node(q, turn, Asked::Items);
                node.unwrap_or_else(|| this.account_items(q, turn, to))
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
            account_nodes: tables.account_nodes().cloned().collect(),
            account_items: tables.account_items().to_vec(),
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
        let node = node(request)?;
        self.nodes.iter().find_map(|hook| hook(request, what, node))
    }
}

/// The node that is asked for; an empty one is none.
fn node<'a>(request: &Request<'a>) -> Option<&'a str> {
    let node = request.payload.attr("node");
    node.filter(|node| !node.is_empty())
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
        let node = node(request);
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
        if node(request).is_some() {
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

    /// What a module says of a node of an account.
    fn of_account_node(
        &self,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
        what: Asked,
    ) -> Option<Reply> {
        let node = node(request)?;
        let mut hooks = self.known.get()?.account_nodes.iter();
        hooks.find_map(|hook| hook(request, turn, what, node))
    }

    fn account_info(&self, request: &Request<'_>, turn: &Turn<'_>, to: To) -> Reply {
        match (admitted(request, turn, to), self.known()) {
            (Err(error), _) | (_, Err(error)) => Reply::Error(error),
            (_, Ok(known)) if to == To::OwnAccount => known.at(to, &known.own).into(),
            (_, Ok(known)) => known.at(to, &known.others).into(),
        }
    }

    /// Its available resources, and what modules add.
    fn account_items(&self, request: &Request<'_>, turn: &mut Turn<'_>, to: To) -> Reply {
        if let Err(error) = admitted(request, turn, to) {
            return Reply::Error(error);
        }
        let resources = turn.account.available().map(|session| {
            Element::new("item", ns::DISCO_ITEMS).with_attr("jid", session.jid.as_str())
        });
        let query = Element::new("query", ns::DISCO_ITEMS).with_children(resources);
        let hooks = self.known.get().map(|known| known.account_items.iter());
        let more: Vec<Inlined> = hooks
            .into_iter()
            .flatten()
            .filter_map(|hook| hook(request, turn))
            .collect();
        if more.is_empty() {
            return query.into();
        }
        Reply::Later(Box::pin(async move {
            let mut query = query;
            for items in more {
                query = query.with_children(items.await);
            }
            query.into()
        }))
    }
}

/// XEP-0030 §8: only who is subscribed learns that there is an account, and of its resources; and nobody knows a node
/// that no module knows.
fn admitted(request: &Request<'_>, turn: &Turn<'_>, to: To) -> Result<(), StanzaError> {
    let roster = turn.account.parts.find::<Roster>();
    let subscribed = || roster.is_some_and(|r| r.state(&request.from.bare()).subscription.from());
    if to == To::Account && !subscribed() {
        return Err(Condition::ServiceUnavailable.into());
    }
    match node(request) {
        Some(_) => Err(Condition::ItemNotFound.into()),
        None => Ok(()),
    }
}
