//! XEP-0045: Multi-User Chat (1.35.5), rooms on a domain of their own under each host

mod absent;
mod barred;
mod departed;
mod desk;
mod expiry;
mod host;
mod live;
mod owner;
mod pages;
mod profile;
mod room;
mod sweep;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::expiry::Retention;
use self::host::HostOwner;
use self::live::Live;
use self::owner::RoomOwner;
use self::room::{Bound, Room, Rules};
use crate::config::{Bytes, Period};
use crate::hooks::command::Command;
use crate::hooks::service::{self, ServiceOwner};
use crate::hooks::{Deps, Envelope, Floor, Info, Module, ModuleError, Registrar};
use crate::metrics::{Counter, Registry};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::state::admins::Admins;
use crate::state::rooms::{self, Occupied, Options, Rid, archive, guests, stays};
use crate::state::rtbl::Named;
use crate::store::{Snapshot, Store, StoreError};
use crate::{choice, settings};

choice! {
    /// Who may make rooms.
    pub enum Creators {
        /// Accounts of the host.
        Local = "local",
        /// Administrators of the host and of the server.
        Admins = "admins",
        /// Anyone, also from other servers.
        Anyone = "anyone",
    }
}

settings! {
    /// Rooms: conversations of several people, at an address of their own.
    pub struct Config {
        /// The domain of the rooms. Empty: "conference." before the host's domain. The certificate, and for other servers DNS, must know this name too.
        pub domain: String = String::new();
        /// What clients call the service.
        pub title: String = "Chatrooms".to_owned();
        /// Who may make rooms.
        pub create: Creators = Creators::Local;
        /// Whether a new room stays when its last occupant leaves, unless its owner says otherwise.
        pub persistent: bool = false;
        /// Whether a new room is on the public list, unless its owner says otherwise.
        pub public: bool = true;
        /// Whether a new room keeps its messages, unless its owner says otherwise.
        pub archive: bool = true;
        /// Messages that a new room shows to who enters.
        pub history: u32 = 20 => within(0..=500);
        /// And at the most, whatever its owner sets; so many messages of a room in use are in memory.
        pub history_most: u32 = 50 => within(0..=500);
        /// Rooms of the service.
        pub rooms: u32 = 100_000 => within(1..=10_000_000);
        /// Rooms that one person has made.
        pub rooms_each: u32 = 200 => within(1..=100_000);
        /// People who may enter one room in a second; ten times as many at once.
        pub joins: u32 = 100 => within(1..=100_000);
        /// What one person may say, and show of itself, in one room in a second; ten times as many at once. Admins and owners of the room may more.
        pub acts: u32 = 10 => within(1..=100_000);
        /// Occupants of a room.
        pub occupants: u32 = 5_000 => within(2..=100_000);
        /// Clients of one person in a room.
        pub clients: u32 = 10 => within(1..=100);
        /// How long rooms keep their messages. 0s: until there are too many bytes.
        pub age: Period = Period::seconds(0);
        /// Bytes of one room's archive; when it has more the oldest messages go. 0B: no bound.
        pub bytes: Bytes = Bytes::gib(1);
        /// Messages of one page of a room's archive at the most.
        pub page: u32 = 250 => within(10..=1_000);
        /// Bytes of one page at the most; it always holds one message.
        pub page_bytes: Bytes = Bytes::kib(256) => within(Bytes::kib(16)..=Bytes::mib(16));
        /// Questions to archives that are answered at the same time.
        pub queries: u32 = 64 => within(1..=1_000);
        /// People on the lists of a room: members, admins, owners, outcasts.
        pub affiliations: u32 = 10_000 => within(10..=100_000);
        /// Changes of the lists of a room that are remembered: who was away for no longer learns these alone when he enters.
        pub changes: u32 = 500 => within(10..=10_000);
        /// People whose pace one room remembers, in slow mode and for `acts`; of more than these some need not wait.
        pub speakers: u32 = 10_000 => within(10..=100_000);
        /// Requests for membership of one room that nobody has answered yet.
        pub requests: u32 = 50 => within(1..=1_000);
        /// Invitation tokens of one room.
        pub tokens: u32 = 100 => within(1..=10_000);
        /// How long an invitation token lets people in at the most.
        pub token_life: Period = Period::days(30) => within(Period::minutes(1)..=Period::days(366));
        /// Hats of one room.
        pub hats: u32 = 50 => within(1..=1_000);
        /// Bytes of a room's vCard, which holds its picture.
        pub vcard: Bytes = Bytes::kib(64) => within(Bytes::kib(1)..=Bytes::mib(1));
        /// Members who are not in a room and learn of one message through their devices that wait to be woken; of more than these only some do. 0: none.
        pub absent: u32 = 1_000 => within(0..=100_000);
        /// Bytes of a nickname.
        pub nickname: Bytes = Bytes(256) => within(Bytes(16)..=Bytes(1023));
        /// Bytes of a room's subject, its name, its description, or the reason for something.
        pub text: Bytes = Bytes::kib(4) => within(Bytes(256)..=Bytes::kib(64));
        /// In rooms that keep the order of an encrypted group (MLS): epochs that what is said may be behind.
        pub epochs: u32 = 2 => within(0..=100);
        /// People who take part in such a group, as far as the room remembers them.
        pub participants: u32 = 10_000 => within(10..=100_000);
        /// Bytes of its state, which is kept where people may join by themselves.
        pub group_info: Bytes = Bytes::kib(128) => within(Bytes::kib(4)..=Bytes::mib(4));
        /// Rooms on the public list.
        pub listed: u32 = 10_000 => within(100..=100_000);
    }
}

/// Lists of rooms that are put together at the same time.
const LISTS: usize = 4;

/// Rooms of a host.
pub struct Muc {
    service: Arc<Service>,
}

/// The service, as all its owners know it.
pub struct Service {
    domain: Jid,
    host: Jid,
    title: String,
    create: Creators,
    admins: Admins,
    rules: Arc<Rules>,
    most_listed: usize,
    rooms: usize,
    rooms_each: usize,
    absent: usize,
    retention: Retention,
    reached: Reached,
    lists: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    live: Arc<Live>,
    named: Arc<Named>,
    store: Store,
    floor: Arc<dyn Floor>,
}

impl Module for Muc {
    const INFO: Info = Info {
        name: "muc",
        specs: &[
            ("XEP-0045", "1.35.5"),
            ("XEP-0307", "0.1"),
            ("XEP-0317", "0.3.1"),
            ("XEP-0410", "1.1.0"),
            ("XEP-0421", "1.0.1"),
            ("XEP-0425", "0.3.0"),
            ("XEP-0463", "0.2.0"),
            ("XEP-0486", "0.1.0"),
            ("XEP-0488", "0.1.0"),
            ("XEP-0500", "0.1.1"),
            ("XEP-0502", "0.1.0"),
        ],
        doc: "Rooms: conversations of several people.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &desk::DECLARED;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let domain =
            deps.service_domain(Self::INFO.name, ("domain", &config.domain), "conference")?;
        let occupied = Occupied::of(&deps.shared, &deps.host);
        let live = deps.shared.of(&deps.host, || {
            Ok::<_, ModuleError>(Live::counted(
                &deps.metrics,
                &deps.host,
                occupied,
                Rid::allocate(&deps.store),
            ))
        })?;
        let named = Named::of(&deps.shared, &deps.host, &deps.metrics);
        let rules = rules(&config);
        let service = Service {
            domain,
            host: deps.host.clone(),
            title: config.title,
            create: config.create,
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
            rules: Arc::new(rules),
            most_listed: config.listed as usize,
            rooms: config.rooms as usize,
            rooms_each: config.rooms_each as usize,
            absent: config.absent as usize,
            retention: Retention {
                age: config.age.get(),
                bytes: config.bytes.get(),
            },
            reached: Reached::new(&deps.metrics),
            lists: Arc::new(Semaphore::new(LISTS)),
            queries: Arc::new(Semaphore::new(config.queries as usize)),
            live,
            named,
            store: deps.store.clone(),
            floor: deps.floor.clone(),
        };
        Ok(Muc {
            service: Arc::new(service),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let domain = self.service.domain.clone();
        r.service(domain, "rooms", Arc::new(Rooms(self.service.clone())));
        desk::offer(&self.service, r);
        sweep::begin(&self.service, r);
        expiry::begin(&self.service, r);
        barred::watch(&self.service);
        departed::watch(&self.service, r);
    }
}

fn rules(config: &Config) -> Rules {
    Rules {
        occupants: config.occupants as usize,
        sessions: config.clients as usize,
        joins: config.joins,
        acts: config.acts,
        nick: config.nickname.as_usize(),
        history: config.history_most as usize,
        page: config.page as usize,
        page_bytes: config.page_bytes.as_usize(),
        affiliations: config.affiliations as usize,
        changes: config.changes as usize,
        speakers: config.speakers as usize,
        requests: config.requests as usize,
        tokens: config.tokens as usize,
        token_life: config.token_life.get().as_secs(),
        hats: config.hats as usize,
        profile: config.vcard.as_usize(),
        text: config.text.as_usize(),
        window: u64::from(config.epochs),
        participants: config.participants as usize,
        group_info: config.group_info.as_usize(),
        options: Options {
            persistent: config.persistent,
            public: config.public,
            archive: config.archive,
            history: config.history.min(config.history_most),
            ..Options::default()
        },
    }
}

/// Times that bounds were reached.
struct Reached {
    rooms: Counter,
    rooms_each: Counter,
    occupants: Counter,
    clients: Counter,
    joins: Counter,
    acts: Counter,
    affiliations: Counter,
    speakers: Counter,
    requests: Counter,
    tokens: Counter,
    hats: Counter,
}

impl Reached {
    fn new(metrics: &Registry) -> Self {
        Reached {
            rooms: metrics.limit("modules.muc.rooms"),
            rooms_each: metrics.limit("modules.muc.rooms_each"),
            occupants: metrics.limit("modules.muc.occupants"),
            clients: metrics.limit("modules.muc.clients"),
            joins: metrics.limit("modules.muc.joins"),
            acts: metrics.limit("modules.muc.acts"),
            affiliations: metrics.limit("modules.muc.affiliations"),
            speakers: metrics.limit("modules.muc.speakers"),
            requests: metrics.limit("modules.muc.requests"),
            tokens: metrics.limit("modules.muc.tokens"),
            hats: metrics.limit("modules.muc.hats"),
        }
    }

    fn count(&self, bound: Bound) {
        match bound {
            Bound::Occupants => self.occupants.count(),
            Bound::Clients => self.clients.count(),
            Bound::Joins => self.joins.count(),
            Bound::Acts => self.acts.count(),
            Bound::Affiliations => self.affiliations.count(),
            Bound::Speakers => self.speakers.count(),
            Bound::Requests => self.requests.count(),
            Bound::Tokens => self.tokens.count(),
            Bound::Hats => self.hats.count(),
        }
    }
}

impl Service {
    /// §10.1.1, and how many rooms there may be.
    fn may_create(&self, who: &Jid, administers: bool) -> Result<(), Condition> {
        let may = match self.create {
            Creators::Anyone => true,
            Creators::Local => who.domain() == self.host.domain(),
            Creators::Admins => administers,
        };
        if !may {
            return Err(Condition::NotAllowed);
        }
        let (all, own) = self.live.made_by(who.bare_str());
        if all >= self.rooms {
            self.reached.rooms.count();
            return Err(Condition::ResourceConstraint);
        }
        if own >= self.rooms_each {
            self.reached.rooms_each.count();
            return Err(Condition::ResourceConstraint);
        }
        Ok(())
    }
}

/// Wakes the owners of the addresses of rooms.
struct Rooms(Arc<Service>);

impl service::Service for Rooms {
    fn key(&self, envelope: &Envelope) -> String {
        envelope.to.node().unwrap_or_default().to_owned()
    }

    /// As if nothing was stored.
    fn wake(&self, key: &str, suspended: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        match Jid::new(Some(key), self.0.domain.domain(), None) {
            Ok(jid) => {
                let room = Room::new(jid, self.0.rules.clone(), None, Vec::new());
                let service = self.0.clone();
                Box::new(RoomOwner::new(key, room, service, suspended, Vec::new()))
            }
            Err(_) => Box::new(HostOwner(self.0.clone())),
        }
    }

    fn load(
        &self,
        key: &str,
        suspended: Option<&[u8]>,
        view: &dyn Snapshot,
    ) -> Result<Box<dyn ServiceOwner>, StoreError> {
        let Ok(jid) = Jid::new(Some(key), self.0.domain.domain(), None) else {
            return Ok(self.wake(key, suspended));
        };
        let stored = rooms::read(view, &jid)?;
        let history = match &stored {
            Some(stored) => archive::newest(view, stored.record.rid, self.0.rules.history)?,
            None => Vec::new(),
        };
        let lost = guests::of(view, &jid)?;
        let stays = match &stored {
            Some(stored) => stays::of_room(view, stored.record.rid)?,
            None => Vec::new(),
        };
        let mut room = Room::new(jid, self.0.rules.clone(), stored, history);
        room.take_in(stays);
        let service = self.0.clone();
        Ok(Box::new(RoomOwner::new(
            key, room, service, suspended, lost,
        )))
    }
}
