//! XEP-0433: Extended Channel Search (0.1.0) over the public rooms of the host

mod askers;
mod query;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Verb};
use crate::metrics::Counter;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::{ns, rsm};
use crate::settings;
use crate::state::rooms::{self, Listing, Occupied};
use crate::store::{Snapshot, StoreError};
use crate::xml::Element;

use askers::{Askers, Refused};
use query::{Channel, Query};

settings! {
    /// People find the public rooms of the domain by words, with what is said of them.
    pub struct Config {
        /// Whether all public rooms may be asked for at once.
        pub all: bool = true;
        /// Rooms of one page.
        pub page: u32 = 50 => within(1..=500);
        /// Rooms that are looked through; those behind them are not found.
        pub rooms: u32 = 10_000 => within(100..=1_000_000);
        /// Searches in a second of one account, or of all people of one other server; ten times as many at once.
        pub searches: u32 = 1 => within(1..=1_000);
        /// Searches in a second of everybody together; ten times as many at once.
        pub searches_together: u32 = 20 => within(1..=10_000);
    }
}

/// Searches at the same time; the others wait.
const AT_ONCE: usize = 2;

/// Rooms read at once.
const STEP: usize = 500;

/// Searches rooms.
pub struct ChannelSearch {
    deps: Deps,
    all: bool,
    page: usize,
    rooms: usize,
    askers: Askers,
    places: Semaphore,
    occupied: Arc<Occupied>,
    full: Counter,
    full_together: Counter,
}

impl Module for ChannelSearch {
    const INFO: Info = Info {
        name: "channel_search",
        specs: &[("XEP-0433", "0.1.0")],
        doc: "Public rooms are found by words.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(ChannelSearch {
            all: config.all,
            page: config.page as usize,
            rooms: config.rooms as usize,
            askers: Askers::new(config.searches, config.searches_together),
            places: Semaphore::new(AT_ONCE),
            occupied: Occupied::of(&deps.shared, &deps.host),
            full: deps.metrics.limit("modules.channel_search.searches"),
            full_together: deps
                .metrics
                .limit("modules.channel_search.searches_together"),
            deps: deps.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const SEARCH: (&str, &str) = (ns::CHANNEL_SEARCH, "search");
        let mut services = r.services().iter();
        let rooms = services.find(|service| service.kind == "rooms");
        let Some(domain) = rooms.map(|rooms| rooms.domain.clone()) else {
            return;
        };
        r.feature(To::Host, ns::CHANNEL_SEARCH);
        r.host_iq(Verb::Get, SEARCH, move |request| {
            self.asked(&domain, request)
        });
    }
}

impl ChannelSearch {
    fn asked(self: &Arc<Self>, domain: &Jid, request: &Request<'_>) -> Reply {
        let Some(form) = Form::of(request.payload) else {
            let search = Element::new("search", ns::CHANNEL_SEARCH);
            return search.with_child(query::form(self.all)).into();
        };
        let form = form.map_err(|error| StanzaError::from(&error));
        let query = form.and_then(|form| Query::read(&form, self.all));
        let page = rsm::Request::of(request.payload);
        let (query, page) = match (query, page) {
            (Ok(query), Ok(page)) => (query, page),
            (Err(error), _) | (_, Err(error)) => return error.into(),
        };
        if let Some(seconds) = self.too_often(request.from) {
            return query::too_often(seconds).into();
        }
        let (this, domain) = (self.clone(), domain.clone());
        Reply::Later(Box::pin(async move {
            let _place = this.places.acquire().await;
            match this.search(domain, query).await {
                Ok(found) => this.shown(&found, &page),
                Err(error) => {
                    tracing::error!(%error, "the list of rooms cannot be read; run `waxwing check`");
                    StanzaError::from(Condition::InternalServerError).into()
                }
            }
        }))
    }

    /// After how many seconds there may be another search, if not now: an account of this host asks by itself, the people
    /// of another server together.
    fn too_often(&self, from: &Jid) -> Option<u64> {
        let asker = match from.domain() == self.deps.host.domain() {
            true => from.bare_str(),
            false => from.domain(),
        };
        let refused = self.askers.count(asker, self.deps.clock.now()).err()?;
        match refused {
            Refused::TooOften(_) => self.full.count(),
            Refused::AllTooOften(_) => self.full_together.count(),
        }
        Some(refused.seconds())
    }

    /// One page of what was found (§4.2.2.1).
    fn shown(&self, found: &[Channel], page: &rsm::Request) -> Reply {
        match page.select(found, |channel| &channel.address, self.page) {
            Ok((shown, answer)) => {
                let items = shown.iter().map(query::item);
                let result = Element::new("result", ns::CHANNEL_SEARCH).with_children(items);
                result.with_child(answer.to_element()).into()
            }
            Err(error) => error.into(),
        }
    }

    async fn search(&self, domain: Jid, query: Query) -> Result<Vec<Channel>, StoreError> {
        let (mut found, mut after, mut looked) = (Vec::new(), None::<String>, 0_usize);
        let query = Arc::new(query);
        loop {
            let (domain, from, query) = (domain.clone(), after.take(), query.clone());
            let occupied = self.occupied.clone();
            let step = move |view: &dyn Snapshot| {
                let page = rooms::list(view, domain.domain(), from.as_deref(), STEP)?;
                let (last, read) = (page.last().map(|(name, _)| name.clone()), page.len());
                let mut found = Vec::new();
                for (name, listing) in page {
                    let channel = channel(view, &domain, &name, &listing, &occupied)?;
                    found.extend(channel.filter(|channel| query.finds(channel)));
                }
                Ok((found, last, read))
            };
            let (more, last, read) = self.deps.store.reading(step).await?;
            found.extend(more);
            after = last;
            looked = looked.saturating_add(read);
            if read < STEP || looked >= self.rooms {
                break;
            }
        }
        query.sort(&mut found);
        Ok(found)
    }
}

/// A room that everybody may find; a temporary one while somebody is there.
fn channel(
    view: &dyn Snapshot,
    domain: &Jid,
    name: &str,
    listing: &Listing,
    occupied: &Occupied,
) -> Result<Option<Channel>, StoreError> {
    let occupants = occupied.occupants(name);
    if !listing.public || !listing.persistent && occupants == 0 {
        return Ok(None);
    }
    let record = rooms::record(view, listing.rid)?;
    Ok(record.map(|record| Channel {
        address: format!("{name}@{domain}"),
        name: match record.options.name.as_str() {
            "" => name.to_owned(),
            title => title.to_owned(),
        },
        open: !record.options.members_only && record.options.password.is_none(),
        non_anonymous: record.options.non_anonymous,
        description: record.options.description,
        lang: record.options.lang,
        occupants,
    }))
}
