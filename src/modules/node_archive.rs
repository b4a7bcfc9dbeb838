//! XEP-0442: Pubsub Message Archive Management (0.2.0), at accounts
//!
//! Whoever may retrieve the items of a node of an account may ask for them as of an archive.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::ns;
use crate::settings;
use crate::state::nodes::archive::Told;
use crate::state::nodes::{Actor, Desk, House, Scene, archive};
use crate::state::owned::Owner;
use crate::state::pages;

settings! {
    /// What people publish, read as an archive: page by page, by time.
    pub struct Config {
        /// Items of one page at the most.
        pub page: u32 = 100 => within(10..=1_000);
        /// Questions that are answered at the same time.
        pub queries: u32 = 64 => within(1..=10_000);
    }
}

/// Answers for the nodes of accounts.
pub struct NodeArchive {
    desk: Desk,
    page: usize,
    queries: Arc<Semaphore>,
}

/// Who asks whom.
type Sides = (Arc<House>, Arc<Actor>);

impl Module for NodeArchive {
    const INFO: Info = Info {
        name: "node_archive",
        specs: &[("XEP-0442", "0.2.0")],
        doc: "What people publish can be read as an archive, page by page and by time.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(NodeArchive {
            desk: Desk::new(deps.store.clone(), deps.clock.clone()),
            page: config.page as usize,
            queries: Arc::new(Semaphore::new(config.queries as usize)),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Account, ns::MAM);
        r.feature(To::Account, ns::MAM_EXTENDED);
        for to in [To::OwnAccount, To::Account] {
            let this = self.clone();
            r.account_iq_about(
                to,
                Verb::Set,
                (ns::MAM, "query"),
                "node",
                move |request, turn| this.query(request, turn),
            );
            for name in ["query", "metadata"] {
                let this = self.clone();
                r.account_iq_about(
                    to,
                    Verb::Get,
                    (ns::MAM, name),
                    "node",
                    move |request, turn| this.about(request, turn),
                );
            }
        }
    }
}

impl NodeArchive {
    fn query(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
        let Some((house, actor)) = self.sides(request, turn) else {
            return Reply::Error(Condition::ServiceUnavailable.into());
        };
        let Ok(place) = self.queries.clone().try_acquire_owned() else {
            let busy = StanzaError::from(Condition::ResourceConstraint);
            return Reply::Error(busy.with_text("Too many questions at once"));
        };
        let (desk, floor) = (self.desk.clone(), turn.floor.clone());
        let query = request.payload.to_element();
        Reply::Later(Box::pin(async move {
            let _place = place;
            match desk.archive(&house, &actor, query).await {
                Err(refusal) => Reply::Error(refusal.error),
                Ok(Told { results, fin }) => match pages::send(&floor, &actor.jid, results).await {
                    true => Reply::Result(Some(fin)),
                    false => Reply::Error(Condition::RecipientUnavailable.into()),
                },
            }
        }))
    }

    fn about(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
        let Some((house, actor)) = self.sides(request, turn) else {
            return Reply::Error(Condition::ServiceUnavailable.into());
        };
        let (desk, asked) = (self.desk.clone(), Arc::new(request.payload.to_element()));
        Reply::Later(Box::pin(async move {
            let about = move |scene: Scene<'_>| archive::about(scene, asked.root());
            match desk.act(&house, &actor, about).await.answer {
                Ok(answer) => Reply::Result(answer),
                Err(refusal) => Reply::Error(refusal.error),
            }
        }))
    }

    fn sides(&self, request: &Request<'_>, turn: &Turn<'_>) -> Option<Sides> {
        let owner = Owner::of(turn.account)?;
        let house = House::to_read(owner.uid(), turn.account.jid.clone(), self.page);
        let actor = Actor {
            jid: request.from.clone(),
            may_create: false,
            guest: false,
        };
        Some((Arc::new(house), Arc::new(actor)))
    }
}
