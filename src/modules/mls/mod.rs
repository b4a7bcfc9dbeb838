//! The delivery service of MLS (`docs/mls.md`): key packages of devices, welcomes for them, and groups at home with accounts

mod errors;
mod homes;
mod packages;
mod rate;
mod welcome;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::rate::Rates;
use crate::config::{Bytes, Period};
use crate::hooks::{
    Deps, Event, Floor, Info, Module, ModuleError, Outgoing, Path, Phase, Registrar, Reply,
    Request, SessionSlot, To, Turn, Verb,
};
use crate::metrics::{Counter, Registry};
use crate::mls::SUITES;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::mls::{Bounds, Desk, is_device};
use crate::xml::El;

settings! {
    /// Encrypted groups by MLS: keeps what devices publish so that others can add them to groups, and what they need to
    /// enter one. What is said in groups the server cannot read.
    pub struct Config {
        /// Cipher suites of key packages, by their numbers in RFC 9420 §17.1: of 1, 2, 3 and 7.
        pub suites: Vec<u16> = SUITES.to_vec();
        /// Devices of one account.
        pub devices: u32 = 20 => within(1..=100);
        /// Key packages of one device that are for one use.
        pub packages: u32 = 100 => within(1..=1_000);
        /// Bytes of one.
        pub package_bytes: Bytes = Bytes::kib(8) => within(Bytes::kib(1)..=Bytes::kib(64));
        /// How long a key package may be good.
        pub life: Period = Period::days(366) => within(Period::days(1)..=Period::days(1_000));
        /// Packages of a device of which it is remembered that they were published, so that none is handed out twice.
        pub remembered: u32 = 5_000 => within(100..=100_000);
        /// A device is told when it has so few packages left.
        pub low: u32 = 10 => within(0..=1_000);
        /// Times in an hour that people an account does not know are handed its packages. 0: never.
        pub strangers: u32 = 30 => within(0..=100_000);
        /// And people it knows, and its own devices.
        pub contacts: u32 = 1_000 => within(1..=1_000_000);
        /// Requests to publish whose packages are looked at, at the same time.
        pub validations: u32 = 4 => within(1..=64);
        /// Welcomes that wait for one device.
        pub welcomes: u32 = 50 => within(1..=1_000);
        /// Their bytes.
        pub welcome_bytes: Bytes = Bytes::mib(4) => within(Bytes::kib(64)..=Bytes::mib(64));
        /// Groups whose home is one account.
        pub groups: u32 = 200 => within(0..=10_000);
        /// Accounts that take part in such a group.
        pub members: u32 = 250 => within(1..=5_000);
        /// Epochs that what is said in one may be behind.
        pub epochs: u32 = 2 => within(0..=100);
        /// Bytes of the state of one.
        pub group_info: Bytes = Bytes::kib(128) => within(Bytes::kib(4)..=Bytes::mib(4));
    }
}

/// How often it is looked whether messages of groups lie somewhere that are on nobody's way.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps key packages and welcomes, and the order of groups.
pub struct Mls {
    desk: Desk,
    suites: Vec<u16>,
    packages: usize,
    package_bytes: usize,
    life: u64,
    low: usize,
    window: u64,
    group_info: usize,
    post: Arc<homes::Post>,
    rates: Rates,
    validations: Arc<Semaphore>,
    host: Jid,
    clock: Clock,
    floor: Arc<dyn Floor>,
    counts: Counts,
}

/// What is counted.
struct Counts {
    published: Counter,
    refused: Counter,
    taken: Counter,
    last_resort: Counter,
    kept: Counter,
    received: Counter,
    full: Counter,
    rate: Counter,
    full_welcomes: Counter,
    passed_on: Counter,
    out_of_order: Counter,
    full_groups: Counter,
}

impl Counts {
    fn new(metrics: &Registry) -> Self {
        let packages = |what| {
            metrics.counter(
                "waxwing_mls_packages_total",
                "Key packages, by what became of them.",
                &[("what", what)],
            )
        };
        let welcomes = |what| {
            metrics.counter(
                "waxwing_mls_welcomes_total",
                "Welcomes that were kept for devices, and that these have received.",
                &[("what", what)],
            )
        };
        let messages = |what| {
            metrics.counter(
                "waxwing_mls_messages_total",
                "Messages of groups whose home is an account, by what became of them.",
                &[("what", what)],
            )
        };
        Counts {
            published: packages("published"),
            refused: packages("refused"),
            taken: packages("taken"),
            last_resort: packages("last-resort"),
            kept: welcomes("kept"),
            received: welcomes("received"),
            full: metrics.limit("modules.mls.packages"),
            rate: metrics.limit("modules.mls.strangers"),
            full_welcomes: metrics.limit("modules.mls.welcomes"),
            passed_on: messages("passed-on"),
            out_of_order: messages("out-of-order"),
            full_groups: metrics.limit("modules.mls.members"),
        }
    }
}

/// The device that a session is of, as its client said.
#[derive(Debug, Default, Serialize, Deserialize)]
struct At(String);

/// The module with what it keeps with sessions.
struct Face {
    mls: Mls,
    device: SessionSlot<At>,
}

impl Module for Mls {
    const INFO: Info = Info {
        name: "mls",
        specs: &[],
        doc: "Encrypted groups of any size by MLS: key packages, welcomes, and the order of what is said.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        if let Some(other) = config.suites.iter().find(|suite| !SUITES.contains(suite)) {
            let text = format!("`suites`: {other} is none of {SUITES:?}");
            return Err(wrong(text));
        }
        let bounds = Bounds {
            devices: config.devices as usize,
            packages: config.packages as usize,
            remembered: config.remembered as usize,
            welcomes: config.welcomes as usize,
            welcome_bytes: config.welcome_bytes.as_usize(),
            groups: config.groups as usize,
            members: config.members as usize,
        };
        let desk = Desk::new(&deps.store, bounds).map_err(|error| wrong(error.to_string()))?;
        Ok(Mls {
            desk,
            suites: config.suites,
            packages: config.packages as usize,
            package_bytes: config.package_bytes.as_usize(),
            life: config.life.get().as_secs(),
            low: config.low as usize,
            window: u64::from(config.epochs),
            group_info: config.group_info.as_usize(),
            post: Arc::default(),
            rates: Rates::new(config.strangers, config.contacts),
            validations: Arc::new(Semaphore::new(config.validations as usize)),
            host: deps.host.clone(),
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            counts: Counts::new(&deps.metrics),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        // It is nobody else's: a module is registered once.
        let Some(mls) = Arc::into_inner(self) else {
            return;
        };
        let device = r.session_slot::<At>("device", 1);
        let face = Arc::new(Face { mls, device });
        for at in [To::OwnAccount, To::Account] {
            r.feature(at, ns::MLS);
            r.disco_form(at, face.mls.about());
        }
        face.answer(r);
        let this = face.clone();
        r.message(Path::FromClient, Phase::Amend, move |envelope, _| {
            this.sent(envelope)
        });
        let this = face.clone();
        r.message(Path::ToClient, Phase::Amend, move |envelope, turn| {
            this.arrives(envelope, turn)
        });
        let this = face.clone();
        r.every(LOOK, move || this.look_for_parcels());
        r.event(move |event| face.happened(event));
    }
}

impl Mls {
    /// What clients must know before they publish.
    fn about(&self) -> Form {
        let suites = self.suites.iter().map(u16::to_string);
        let suites = Field::new(FieldType::ListMulti, "suites").with_values(suites);
        Form::new(FormType::Result)
            .with_form_type(ns::MLS)
            .with_field(suites.with_label("Cipher suites"))
    }

    /// Unix seconds.
    fn now(&self) -> u64 {
        self.clock.wall() / 1_000
    }
}

impl Face {
    fn answer(self: &Arc<Self>, r: &mut Registrar<'_>) {
        type Answer = fn(&Arc<Face>, &Request<'_>, &mut Turn<'_>) -> Result<Reply, StanzaError>;
        let own: [(Verb, &'static str, Answer); 7] = [
            (Verb::Set, "publish", Face::publish),
            (Verb::Get, "packages", Face::list),
            (Verb::Set, "withdraw", Face::withdraw),
            (Verb::Set, "here", Face::here),
            (Verb::Set, "received", Face::received),
            (Verb::Set, "create", Face::create),
            (Verb::Set, "end", Face::end),
        ];
        type ToNobody = fn(&Face, El<'_>) -> StanzaError;
        let all: [(Verb, &'static str, Answer, ToNobody); 5] = [
            (Verb::Set, "take", Face::take, packages::take_of_nobody),
            (Verb::Set, "send", Face::send, homes::send_to_nobody),
            (Verb::Get, "group", Face::group, homes::ask_nobody),
            (Verb::Get, "group-info", Face::info, homes::ask_nobody),
            (Verb::Set, "group-info", Face::keep_info, homes::give_nobody),
        ];
        let mut claim = |to, verb, name, answer: Answer| {
            let this = self.clone();
            r.account_iq(to, verb, (ns::MLS, name), move |q, turn| {
                answer(&this, q, turn).unwrap_or_else(Reply::Error)
            });
        };
        for (verb, name, answer) in own {
            claim(To::OwnAccount, verb, name, answer);
        }
        for (verb, name, answer, _) in all {
            claim(To::OwnAccount, verb, name, answer);
            claim(To::Account, verb, name, answer);
        }
        for (verb, name, _, to_nobody) in all {
            let this = self.clone();
            r.unknown_as(verb, (ns::MLS, name), move |asked| to_nobody(&this, asked));
        }
    }

    /// Gives a stanza to the sessions that are of a device.
    fn push(&self, turn: &Turn<'_>, device: &str, stanza: &Arc<Stanza>) {
        for session in &turn.account.sessions {
            let at = self.device.of(session);
            if at.is_some_and(|at| at.0 == device) {
                // One that has no room for it asks again when it comes back.
                let _ = session.outbox.push(Outgoing {
                    stanza: stanza.clone(),
                    to: Some(session.jid.clone()),
                    entry: None,
                });
            }
        }
    }

    /// Whoever lost its client has no devices of it.
    fn happened(self: &Arc<Self>, event: &Event) {
        let Event::ClientRevoked(account, client) = event else {
            return;
        };
        if account.domain() != self.mls.host.domain() {
            return;
        }
        let (this, client) = (self.clone(), client.clone());
        let act = move |turn: &mut Turn<'_>| {
            let (uid, account) = (turn.account.uid, turn.account.jid.clone());
            tokio::spawn(async move {
                if let Err(error) = this.mls.desk.withdraw_client(uid, &client).await {
                    tracing::error!(%account, %error, "the key packages of a client that was shut out are still there");
                }
            });
        };
        self.mls.floor.in_turn(account, Box::new(act));
    }
}

/// The device that a request names.
fn device_of(payload: El<'_>) -> Result<&str, StanzaError> {
    let device = payload.attr("device").unwrap_or_default();
    match is_device(device) {
        true => Ok(device),
        false => Err(StanzaError::from(Condition::BadRequest)
            .with_text("A device is 1 to 64 letters, digits, dots, dashes or underscores")),
    }
}
