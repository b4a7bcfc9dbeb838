//! XEP-0163: Personal Eventing Protocol (1.2.2), the nodes (XEP-0060, 1.30) of every account

mod bounced;
mod greet;
mod serve;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Bytes, Period};
use crate::hooks::kinds::Disco;
use crate::hooks::{
    Account, Deps, Event, Floor, Info, Module, ModuleError, Path, Phase, Registrar, To, Verb,
    Verdict,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::nodes::{Config as NodeConfig, Desk, House, Kind, Limits, Related, disco};
use crate::state::owned::Owner;

settings! {
    /// What people publish with their account, each kind in a node of its own: avatars, keys for encryption, bookmarks,
    /// what they have read.
    pub struct Config {
        /// Nodes of one account.
        pub nodes: u32 = 1_000 => within(1..=1_000_000);
        /// Items of one node.
        pub items: u32 = 10_000 => within(1..=1_000_000);
        /// Largest item.
        pub payload: Bytes = Bytes::kib(256) => within(Bytes::kib(1)..=Bytes::mib(16));
        /// All items of one account.
        pub bytes: Bytes = Bytes::mib(64) => within(Bytes::kib(1)..=Bytes::mib(64 * 1024));
        /// Subscriptions to one node, besides those of contacts, who need none.
        pub subscriptions: u32 = 1_000 => within(0..=1_000_000);
        /// Subscriptions of one entity to nodes of one account.
        pub subscriptions_each: u32 = 100 => within(0..=100_000);
        /// Entities that a node names as publishers, members or outcasts.
        pub affiliations: u32 = 500 => within(0..=100_000);
        /// Items in one answer.
        pub page: u32 = 500 => within(1..=10_000);
        /// Longest lease of a subscription.
        pub lease: Period = Period::days(365) => within(Period::seconds(60)..=Period::days(3_650));
        /// Days on which events came back from a subscriber, after which its subscriptions end; they end at once if it is gone.
        pub bounces: u32 = 7 => within(1..=365);
        /// Bounds of nodes that are about others.
        pub related: Related = Related::default();
    }
}

/// Between two rounds of erasing what deleted nodes leave.
const SWEEP: Duration = Duration::from_secs(300);

/// What PEP adds to the features of every house of nodes (XEP-0163 §6.1).
const FEATURES: &[&str] = &[
    "access-authorize",
    "access-open",
    "access-presence",
    "access-roster",
    "access-whitelist",
    "auto-create",
    "auto-subscribe",
    "filtered-notifications",
    "last-published",
    "presence-notifications",
    "presence-subscribe",
];

/// Serves the nodes of the accounts of one host.
#[derive(Clone)]
pub struct Pep {
    desk: Desk,
    deps: Deps,
    limits: Limits,
}

impl Module for Pep {
    const INFO: Info = Info {
        name: "pep",
        specs: &[
            ("XEP-0163", "1.2.2"),
            ("XEP-0172", "1.1"),
            ("XEP-0222", "1.0"),
            ("XEP-0223", "1.1.1"),
            ("XEP-0292", "0.12.0"),
            ("XEP-0470", "0.2.0"),
            ("XEP-0472", "0.2.1"),
            ("XEP-0496", "0.1.0"),
            ("XEP-0497", "0.1.0"),
            ("XEP-0499", "0.1.0"),
        ],
        doc: "Accounts publish avatars, keys, bookmarks and more, and contacts hear of it.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let limits = Limits {
            nodes: config.nodes.into(),
            items: config.items.into(),
            payload: config.payload.0,
            bytes: config.bytes.0,
            subscriptions: config.subscriptions.into(),
            subscriptions_each: config.subscriptions_each as usize,
            affiliations: config.affiliations as usize,
            page: config.page as usize,
            lease: u64::try_from(config.lease.0.as_millis()).unwrap_or(u64::MAX),
            bounces: config.bounces,
            related: config.related,
        };
        Ok(Pep {
            desk: Desk::new(deps.store.clone(), deps.clock.clone()),
            deps: deps.clone(),
            limits,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        for at in [To::OwnAccount, To::Account, To::Host] {
            r.feature(at, ns::PUBSUB);
            for feature in disco::FEATURES.iter().chain(FEATURES) {
                r.feature(at, format!("{}#{feature}", ns::PUBSUB));
            }
        }
        for at in [To::OwnAccount, To::Account] {
            r.identity(at, "pubsub", "pep", None);
            disco::OTHERS.iter().for_each(|var| r.feature(at, *var));
            r.feature(at, ns::VCARD4);
        }
        self.answer(r);
        let this = self.clone();
        r.event(move |event| {
            if let Event::Interested(account, who) = event {
                this.interested(account, who);
            }
        });
        let this = self.clone();
        r.message(Path::ToClient, Phase::Record, move |envelope, turn| {
            this.came_back(envelope, turn);
            Verdict::Continue
        });
        let this = self.clone();
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.approves(envelope, turn)
        });
        r.every(SWEEP, move || {
            let desk = self.desk.clone();
            tokio::spawn(async move { desk.erase().await });
        });
    }
}

impl Pep {
    fn answer(self: &Arc<Self>, r: &mut Registrar<'_>) {
        for to in [To::OwnAccount, To::Account] {
            for verb in [Verb::Get, Verb::Set] {
                for name in [ns::PUBSUB, ns::PUBSUB_OWNER] {
                    let this = self.clone();
                    r.account_iq(to, verb, (name, "pubsub"), move |request, turn| {
                        this.serve(verb, request, turn)
                    });
                }
            }
        }
        for verb in [Verb::Get, Verb::Set] {
            for name in [ns::PUBSUB, ns::PUBSUB_OWNER] {
                r.unknown(verb, (name, "pubsub"), Condition::ItemNotFound);
            }
        }
        let this = self.clone();
        r.other_account_nodes(move |request, turn, what, node| match what {
            Disco::Info => this.node_info(request, turn, node),
            Disco::Items => this.node_items(request, turn),
        });
        let this = self.clone();
        r.account_items(move |request, turn| this.nodes(request, turn));
    }

    /// The nodes of an account; a guest has none. Whose they are makes new ones by publishing to them.
    fn house(&self, account: &Account, by: &Jid) -> Option<Arc<House>> {
        let owner = Owner::of(account)?;
        Some(Arc::new(House {
            owner: owner.uid(),
            address: account.jid.clone(),
            kind: Kind::Personal,
            defaults: NodeConfig::personal(),
            limits: self.limits.clone(),
            auto_create: by.bare_str() == account.jid.as_str(),
            archives: account
                .tables
                .disco(To::Account)
                .is_some_and(|disco| disco.features.iter().any(|var| var == ns::MAM)),
        }))
    }

    fn floor(&self) -> &Arc<dyn Floor> {
        &self.deps.floor
    }
}
