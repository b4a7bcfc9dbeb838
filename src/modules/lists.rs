//! XEP-0133 §4.11, §4.12 (1.3.1): a blacklist and a whitelist for a host

use std::collections::HashSet;
use std::sync::Arc;

use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Caller, Command, Given, Kind, Offered, Permission, Values,
};
use crate::hooks::{Deps, Info, Module, ModuleError, Registrar};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::admins::Admins;
use crate::state::lists::{HostLists, Lists};
use crate::store::CommitError;

settings! {
    /// Lets administrators say with whom a domain does not communicate, and with whom alone.
    pub struct Config {
        /// Entries of each list. Forms hold no more than 1000.
        pub entries: u32 = 1_000 => within(1..=1_000);
    }
}

/// Keeps to the lists of a host.
pub struct HostGate {
    deps: Deps,
    entries: usize,
    lists: Arc<HostLists>,
    admins: Admins,
}

const JIDS: &str = "The whole list: accounts, domains, or single resources of either.";
const ADD: Argument =
    Argument::optional("add", Kind::Entities, "Put these on the list.").line_only();
const REMOVE: Argument =
    Argument::optional("remove", Kind::Entities, "Take these off the list.").line_only();
const CLEAR: Argument =
    Argument::optional("clear", Kind::Flag, "Take all off the list.").line_only();
const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");

const fn edit(
    name: &'static str,
    doc: &'static str,
    adhoc: AdHoc,
    arguments: &'static [Argument],
) -> Command {
    Command {
        name,
        doc,
        adhoc: Some(adhoc),
        arguments,
        permission: Permission::Host,
        confirm: None,
        audited: true,
    }
}

const fn admin(node: &'static str, results: &'static [(&'static str, &'static str)]) -> AdHoc {
    AdHoc {
        node,
        form_type: ns::ADMIN,
        results,
    }
}

static DECLARED: [Command; 2] = [
    edit(
        "blacklist edit",
        "Show or change with whom nothing is exchanged.",
        admin(
            "http://jabber.org/protocol/admin#edit-blacklist",
            &[("entity", "blacklistjids")],
        ),
        &[
            Argument::optional("jids", Kind::Entities, JIDS).field("blacklistjids"),
            ADD,
            REMOVE,
            CLEAR,
            HOST,
        ],
    ),
    edit(
        "whitelist edit",
        "Show or change with whom alone something is exchanged; empty: with all.",
        admin(
            "http://jabber.org/protocol/admin#edit-whitelist",
            &[("entity", "whitelistjids")],
        ),
        &[
            Argument::optional("jids", Kind::Entities, JIDS).field("whitelistjids"),
            ADD,
            REMOVE,
            CLEAR,
            HOST,
        ],
    ),
];

impl Module for HostGate {
    const INFO: Info = Info {
        name: "lists",
        specs: &[],
        doc: "With whom a domain does not communicate, and with whom alone: lists that administrators edit.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let open = || HostLists::open(&deps.store, &deps.host);
        let lists = deps.shared.of(&deps.host, open);
        Ok(HostGate {
            deps: deps.clone(),
            entries: config.entries as usize,
            lists: lists.map_err(|error| ModuleError {
                module: Self::INFO.name,
                reason: error.to_string(),
            })?,
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let this = self.clone();
        r.gate(move |here, there| this.shut(here, there));
        // What waits for an account, and whom its presence goes to, is asked about beforehand.
        let this = self.clone();
        r.bar(move |account, who| this.shut(&account.jid, who));
        let [black, white] = &DECLARED;
        self.offer(r, black, |lists| &mut lists.black);
        self.offer(r, white, |lists| &mut lists.white);
    }
}

type Which = fn(&mut Lists) -> &mut HashSet<Jid>;

/// Attempts when somebody else changes the lists at the same time.
const ATTEMPTS: usize = 8;

impl HostGate {
    fn shut(&self, here: &Jid, there: &Jid) -> bool {
        let known = |domain: &str| self.deps.floor.is_local(domain);
        self.lists.shut(here, there, known)
    }

    fn offer(self: &Arc<Self>, r: &mut Registrar<'_>, command: &'static Command, which: Which) {
        let this = self.clone();
        let offered = Offered::new(command, move |call| {
            let this = this.clone();
            Box::pin(async move { this.edit(&call, which).await })
        });
        let this = self.clone();
        let fill = move |_: Jid, _: Caller| -> Act<'static, Given> {
            let listed = Values(this.listed(which));
            Box::pin(async move { Ok(Given::from([("jids".to_owned(), listed)])) })
        };
        r.command(offered.filled(fill));
    }

    fn listed(&self, which: Which) -> Vec<String> {
        let mut lists = Lists::clone(&self.lists.now());
        let mut listed: Vec<String> = which(&mut lists).iter().map(Jid::to_string).collect();
        listed.sort_unstable();
        listed
    }

    async fn edit(&self, call: &Call, which: Which) -> Result<(), ActError> {
        let args = &call.args;
        let changes = ["jids", "add", "remove", "clear"];
        if changes.iter().any(|name| args.is_given(name)) {
            self.change(|lists| {
                let list = which(lists);
                if args.is_given("jids") || args.flag("clear") {
                    list.clear();
                }
                list.extend(args.addresses("jids").iter().cloned());
                list.extend(args.addresses("add").iter().cloned());
                for gone in args.addresses("remove") {
                    list.remove(gone);
                }
                list.len()
            })
            .await?;
        }
        let listed = self.listed(which);
        call.report.columns(&["entity"]).await?;
        for entity in &listed {
            call.report.row(vec![entity.clone()]).await?;
        }
        call.report.say(format!("Entries: {}.", listed.len())).await
    }

    /// Changes the lists as they are when nobody else changes them; `change` answers with how long one has become.
    async fn change(&self, change: impl Fn(&mut Lists) -> usize) -> Result<(), ActError> {
        for _ in 0..ATTEMPTS {
            let before = self.lists.now();
            let mut lists = Lists::clone(&before);
            if change(&mut lists) > self.entries {
                return Err(ActError::Bad(format!(
                    "more than {} entries (modules.lists.entries)",
                    self.entries
                )));
            }
            self.acceptable(&lists).await?;
            match self.lists.replace(&before, lists).await {
                Err(CommitError::Precondition) => {}
                done => return Ok(done?),
            }
        }
        Err(ActError::Failed(
            "others change the lists at the same time; try again".to_owned(),
        ))
    }

    /// The domain itself and those who administer it are never shut out.
    async fn acceptable(&self, lists: &Lists) -> Result<(), ActError> {
        let host = self.deps.host.domain();
        if lists.bar(&self.deps.host, || true) {
            return Err(ActError::Bad(format!("{host} is the domain itself")));
        }
        let added = self.admins.added(host).await?;
        for admin in self.admins.fixed(host).chain(&added) {
            let known = || admin.domain() == host || self.deps.floor.is_local(admin.domain());
            if lists.bar(admin, known) {
                return Err(ActError::Bad(format!("{admin} administers {host}")));
            }
        }
        Ok(())
    }
}
