//! XEP-0384: OMEMO Encryption (0.9.1): administrators see which devices people publish keys for

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Period;
use crate::hooks::command::{ActError, Argument, Call, Command, Kind, Offered, Permission};
use crate::hooks::{AskError, Deps, Floor, Info, Module, ModuleError, Registrar, Uid};
use crate::proto::{datetime, ns};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::accounts;
use crate::state::nodes::{Times, times};
use crate::state::own_nodes::OwnNodes;
use crate::store::StoreError;
use crate::xml::Element;

settings! {
    /// What administrators see of the keys that people publish.
    pub struct Config {
        /// Keys that were not published anew for so long may be of a device that nobody uses any more.
        pub stale: Period = Period::days(90) => within(Period::days(1)..=Period::days(3_650));
    }
}

/// Lists devices.
pub struct Keys {
    floor: Arc<dyn Floor>,
    clock: Clock,
    stale: Duration,
}

static DECLARED: [Command; 1] = [Command {
    name: "user keys",
    doc: "List the devices that an account publishes OMEMO keys for, since when, when they were renewed last, and which look left over.",
    adhoc: None,
    arguments: &[Argument::needed(
        "account",
        Kind::Account,
        "Its address, such as romeo@example.org.",
    )],
    permission: Permission::Host,
    confirm: None,
    audited: true,
}];

/// One way to publish keys.
struct Way {
    /// What it is called here.
    name: &'static str,
    /// The node with the list of devices.
    list: &'static str,
    bundles: Bundles,
}

/// Where the keys of a device are.
#[derive(Clone, Copy)]
enum Bundles {
    /// In a node of its own, whose name begins so.
    Nodes(&'static str),
    /// In an item of this node.
    Items(&'static str),
}

const WAYS: [Way; 2] = [
    Way {
        name: "0.3",
        list: "eu.siacs.conversations.axolotl.devicelist",
        bundles: Bundles::Nodes("eu.siacs.conversations.axolotl.bundles:"),
    },
    Way {
        name: "2",
        list: "urn:xmpp:omemo:2:devices",
        bundles: Bundles::Items("urn:xmpp:omemo:2:bundles"),
    },
];

impl Module for Keys {
    const INFO: Info = Info {
        name: "keys",
        specs: &[("XEP-0384", "0.9.1")],
        doc: "Which devices people publish keys for.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Keys {
            floor: deps.floor.clone(),
            clock: deps.clock.clone(),
            stale: config.stale.0,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let [command] = &DECLARED;
        r.command(Offered::new(command, move |call| {
            let this = self.clone();
            Box::pin(async move { this.list(&call).await })
        }));
    }
}

impl Keys {
    async fn list(&self, call: &Call) -> Result<(), ActError> {
        let account = call.args.account("account")?;
        let key = accounts::account_key(account);
        let store = self.floor.store();
        let there = store.reading(move |view| accounts::read(view, &key));
        let Some(record) = there.await.map_err(unreadable)? else {
            return Err(ActError::NoSuchAccount(account.clone()));
        };
        let own = OwnNodes::new(&self.floor, account);
        let columns = ["device", "omemo", "label", "since", "renewed", "keys"];
        call.report.columns(&columns).await?;
        for way in &WAYS {
            let items = own.items(way.list).await.map_err(failed)?;
            let devices = items.iter().flat_map(|(_, list)| list.children());
            let mut left = with_keys(&own, way.bundles).await?;
            for device in devices.filter(|device| device.name() == "device") {
                let id = device.attr("id").unwrap_or_default();
                left.remove(id);
                let times = self.times(Uid(record.uid), way.bundles, id).await?;
                let keys = judged(times, self.clock.wall(), self.stale);
                let label = device.attr("label").unwrap_or_default();
                call.report
                    .row(row((id, way.name, label), times, keys))
                    .await?;
            }
            for id in &left {
                let times = self.times(Uid(record.uid), way.bundles, id).await?;
                let row = row((id, way.name, ""), times, "of no device in the list");
                call.report.row(row).await?;
            }
        }
        Ok(())
    }

    async fn times(
        &self,
        owner: Uid,
        bundles: Bundles,
        id: &str,
    ) -> Result<Option<Times>, ActError> {
        let (node, item) = match bundles {
            Bundles::Nodes(prefix) => (format!("{prefix}{id}"), None),
            Bundles::Items(node) => (node.to_owned(), Some(id.to_owned())),
        };
        let store = self.floor.store();
        let read = store.reading(move |view| times(view, owner, &node, item.as_deref()));
        read.await.map_err(unreadable)
    }
}

/// What is to be thought of the keys of a device in the list.
fn judged(times: Option<Times>, now: u64, stale: Duration) -> &'static str {
    let Some(times) = times else {
        return "missing";
    };
    let age = now.saturating_sub(times.last);
    match u128::from(age) > stale.as_millis() {
        true => "stale",
        false => "yes",
    }
}

/// The ids of devices that have keys.
async fn with_keys(own: &OwnNodes, bundles: Bundles) -> Result<BTreeSet<String>, ActError> {
    match bundles {
        Bundles::Items(node) => {
            let items = own.items(node).await.map_err(failed)?;
            Ok(items.into_iter().map(|(id, _)| id).collect())
        }
        Bundles::Nodes(prefix) => {
            let all = own.get(Element::new("query", ns::DISCO_ITEMS)).await;
            let all = all.map_err(failed)?;
            let nodes = all.iter().flat_map(Element::children);
            let ids = nodes.filter_map(|node| node.attr("node")?.strip_prefix(prefix));
            Ok(ids.map(str::to_owned).collect())
        }
    }
}

fn row((id, way, label): (&str, &str, &str), times: Option<Times>, keys: &str) -> Vec<String> {
    let told = |at: Option<u64>| at.map(datetime::format).unwrap_or_default();
    let since = told(times.and_then(|times| times.first));
    let renewed = told(times.map(|times| times.last));
    [id, way, label, &since, &renewed, keys]
        .map(str::to_owned)
        .to_vec()
}

fn failed(error: AskError) -> ActError {
    ActError::Failed(error.to_string())
}

fn unreadable(error: StoreError) -> ActError {
    ActError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_nobody_renews_look_left_over() {
        let day = Duration::from_secs(86_400);
        let times = Times {
            first: Some(1),
            last: 1_000,
        };
        let at = |days: u64| 1_000 + days * 86_400_000;
        assert_eq!(judged(Some(times), at(90), day * 90), "yes");
        assert_eq!(judged(Some(times), at(90) + 1, day * 90), "stale");
        assert_eq!(judged(Some(times), 0, day), "yes");
        assert_eq!(judged(None, at(0), day), "missing");
    }
}
