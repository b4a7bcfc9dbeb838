//! XEP-0384: OMEMO Encryption (0.9.1): administrators see which devices people publish keys for

use std::sync::Arc;

use crate::hooks::command::{ActError, Argument, Call, Command, Kind, Offered, Permission};
use crate::hooks::{AskError, Deps, Floor, Info, Module, ModuleError, Registrar};
use crate::proto::form::Form;
use crate::proto::ns;
use crate::settings;
use crate::state::accounts;
use crate::state::own_nodes::OwnNodes;
use crate::store::StoreError;
use crate::xml::{El, Element};

settings! {
    /// What administrators see of the keys that people publish.
    pub struct Config {}
}

/// Lists devices.
pub struct Keys {
    floor: Arc<dyn Floor>,
}

static DECLARED: [Command; 1] = [Command {
    name: "user keys",
    doc: "List the devices that an account publishes OMEMO keys for, and since when.",
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

/// The lists of devices, each with what it is called here and the node of a device's keys, where each has its own.
const LISTS: [(&str, &str, Option<&str>); 2] = [
    (
        "0.3",
        "eu.siacs.conversations.axolotl.devicelist",
        Some("eu.siacs.conversations.axolotl.bundles:"),
    ),
    ("2", "urn:xmpp:omemo:2:devices", None),
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

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Keys {
            floor: deps.floor.clone(),
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
        let there = self
            .floor
            .store()
            .reading(move |view| accounts::read(view, &key));
        let there = there
            .await
            .map_err(|error: StoreError| ActError::Failed(error.to_string()))?;
        if there.is_none() {
            return Err(ActError::NoSuchAccount(account.clone()));
        }
        let own = OwnNodes::new(&self.floor, account);
        let columns = ["device", "omemo", "label", "since", "keys"];
        call.report.columns(&columns).await?;
        for (name, list, bundles) in LISTS {
            let items = own.items(list).await.map_err(failed)?;
            for device in items.iter().flat_map(|(_, list)| list.children()) {
                if device.name() != "device" {
                    continue;
                }
                let id = device.attr("id").unwrap_or_default();
                let since = match bundles {
                    Some(bundles) => made(&own, &format!("{bundles}{id}")).await?,
                    None => Bundle::of_item(&own, id).await?,
                };
                let keys = if since.there { "yes" } else { "missing" };
                let label = device.attr("label").unwrap_or_default();
                let row = [id, name, label, &since.since, keys];
                call.report.row(row.map(str::to_owned).to_vec()).await?;
            }
        }
        Ok(())
    }
}

/// The keys of a device.
struct Bundle {
    there: bool,
    /// Since when, where that is known.
    since: String,
}

impl Bundle {
    /// Those that are an item among others; when it was published first is not kept.
    async fn of_item(own: &OwnNodes, id: &str) -> Result<Bundle, ActError> {
        let item = own
            .item("urn:xmpp:omemo:2:bundles", id)
            .await
            .map_err(failed)?;
        Ok(Bundle {
            there: item.is_some(),
            since: String::new(),
        })
    }
}

/// Those that have a node, which was made when the device appeared.
async fn made(own: &OwnNodes, node: &str) -> Result<Bundle, ActError> {
    let query = Element::new("query", ns::DISCO_INFO).with_attr("node", node);
    let info = match own.get(query).await {
        Err(AskError::Refused(_)) => None,
        info => info.map_err(failed)?,
    };
    let since = info.as_ref().and_then(|info| creation(info.root()));
    Ok(Bundle {
        there: info.is_some(),
        since: since.unwrap_or_default(),
    })
}

/// When disco says that a node was made (XEP-0060 §5.4).
fn creation(query: El<'_>) -> Option<String> {
    let forms = query.children().filter(|child| child.ns() == ns::DATA_FORM);
    let mut forms = forms.filter_map(|x| Form::parse(x).ok());
    forms.find_map(|form| Some(form.value("pubsub#creation_date")?.to_owned()))
}

fn failed(error: AskError) -> ActError {
    ActError::Failed(error.to_string())
}
