//! XEP-0133 §4.23 to §4.28 (1.3.1): announcements, the message of the day, and the welcome message

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Caller, Command, Given, Kind, Offered, Permission,
};
use crate::hooks::{
    Deps, Envelope, Event, Info, Module, ModuleError, Registrar, SessionEvent, Turn,
};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::settings;
use crate::state::accounts;
use crate::state::owned::{AccountSpace, Quota};
use crate::store::{Batch, Key, Space, StoreError};
use crate::xml::Element;

settings! {
    /// Lets administrators announce things, now or to whoever logs in.
    pub struct Config {}
}

/// Announces.
pub struct Announcements {
    deps: Deps,
    /// Where the notices of hosts are.
    notices: Space,
    /// What accounts have seen.
    seen: Space,
    current: Arc<RwLock<Notices>>,
}

/// What is to be told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Notices {
    motd: Option<Notice>,
    welcome: Option<String>,
}

/// The message of the day; a new id is told to everybody once more.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Notice {
    id: String,
    text: String,
}

/// What an account has seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// The message of the day.
    motd: Option<String>,
    /// Nobody has logged in yet.
    new: bool,
}

const fn admin(node: &'static str) -> Option<AdHoc> {
    Some(AdHoc {
        node,
        form_type: ns::ADMIN,
        results: &[],
    })
}

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");
const SUBJECT: Argument = Argument::optional("subject", Kind::Text, "Its subject.");
const ANNOUNCEMENT: Argument = Argument::needed("announcement", Kind::Lines, "Announcement.");
const MOTD: Argument = Argument::needed("motd", Kind::Lines, "Message of the day.");
const WELCOME: Argument = Argument::needed("welcome", Kind::Lines, "Welcome message.");

const fn command(
    name: &'static str,
    doc: &'static str,
    node: &'static str,
    arguments: &'static [Argument],
) -> Command {
    Command {
        name,
        doc,
        adhoc: admin(node),
        arguments,
        permission: Permission::Host,
        confirm: None,
        audited: true,
    }
}

const ONLINE: Command = command(
    "announce online",
    "Send an announcement to all who are online.",
    "http://jabber.org/protocol/admin#announce",
    &[ANNOUNCEMENT, SUBJECT, HOST],
);
const ALL: Command = command(
    "announce all",
    "Send an announcement to all accounts, also those that are away.",
    "http://jabber.org/protocol/admin#announce-all",
    &[ANNOUNCEMENT, SUBJECT, HOST],
);
const SET_MOTD: Command = command(
    "motd set",
    "Set the message of the day: everybody gets it once, now or at the next login.",
    "http://jabber.org/protocol/admin#set-motd",
    &[MOTD, HOST],
);
const EDIT_MOTD: Command = command(
    "motd edit",
    "Correct the message of the day; who has had it does not get it again.",
    "http://jabber.org/protocol/admin#edit-motd",
    &[MOTD, HOST],
);
const DELETE_MOTD: Command = command(
    "motd delete",
    "Delete the message of the day.",
    "http://jabber.org/protocol/admin#delete-motd",
    &[HOST],
);
const SET_WELCOME: Command = command(
    "welcome set",
    "Set the message that new accounts get at their first login.",
    "http://jabber.org/protocol/admin#set-welcome",
    &[WELCOME, HOST],
);
const DELETE_WELCOME: Command = command(
    "welcome delete",
    "Delete the welcome message.",
    "http://jabber.org/protocol/admin#delete-welcome",
    &[HOST],
);
static DECLARED: [Command; 7] = [
    ONLINE,
    ALL,
    SET_MOTD,
    EDIT_MOTD,
    DELETE_MOTD,
    SET_WELCOME,
    DELETE_WELCOME,
];

impl Module for Announcements {
    const INFO: Info = Info {
        name: "announcements",
        specs: &[],
        doc: "Announcements, a message of the day, and a welcome message.",
        on_by_default: true,
    };
    type Config = Config;
    const COMMANDS: &'static [Command] = &DECLARED;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let broken = |error: StoreError| ModuleError {
            module: Self::INFO.name,
            reason: error.to_string(),
        };
        let notices = deps.store.space("notices", 1).map_err(broken)?;
        let seen = AccountSpace::named(&deps.store, "notices", 1, Quota::NONE);
        let current = Arc::new(RwLock::default());
        let (kept, key) = (current.clone(), key(&deps.host));
        deps.store.read(
            move |view| view.get(notices, &key),
            move |found| match found {
                Ok(Some(value)) => put(&kept, serde_json::from_slice(&value).unwrap_or_default()),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the message of the day cannot be read"),
            },
        );
        Ok(Announcements {
            deps: deps.clone(),
            notices,
            seen: seen.map_err(broken)?.space(),
            current,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let seen = self.seen;
        r.part::<Seen>(move |view, uid| {
            let value = view.get(seen, &Key::new().u64(uid.0))?;
            Ok(Some(
                value
                    .and_then(|value| serde_json::from_slice(&value).ok())
                    .unwrap_or_default(),
            ))
        });
        let this = self.clone();
        r.session(move |event, _, turn| {
            if event == SessionEvent::Available {
                this.greet(turn);
            }
        });
        let this = self.clone();
        r.event(move |event| match event {
            Event::AccountCreated(account) if account.domain() == this.deps.host.domain() => {
                let this = this.clone();
                let floor = this.deps.floor.clone();
                floor.in_turn(account, Box::new(move |turn| this.note_new(turn)));
            }
            _ => {}
        });
        self.commands(r);
    }
}

impl Announcements {
    fn commands(self: Arc<Self>, r: &mut Registrar<'_>) {
        let [
            online,
            all,
            set_motd,
            edit_motd,
            delete_motd,
            set_welcome,
            delete_welcome,
        ] = &DECLARED;
        let this = self.clone();
        r.command(Offered::new(online, move |call| {
            let this = this.clone();
            Box::pin(async move { this.to_online(&call).await })
        }));
        let this = self.clone();
        r.command(Offered::new(all, move |call| {
            let this = this.clone();
            Box::pin(async move { this.to_all(&call).await })
        }));
        self.changing(r, set_motd, "motd", |notices, call| {
            notices.motd = text(call, "motd").map(|text| Notice {
                id: random::id(),
                text,
            });
        });
        self.changing(r, edit_motd, "motd", |notices, call| {
            let id = notices.motd.take().map_or_else(random::id, |motd| motd.id);
            notices.motd = text(call, "motd").map(|text| Notice { id, text });
        });
        self.changing(r, delete_motd, "", |notices, _| notices.motd = None);
        self.changing(r, set_welcome, "welcome", |notices, call| {
            notices.welcome = text(call, "welcome");
        });
        self.changing(r, delete_welcome, "", |notices, _| notices.welcome = None);
    }

    /// Offers a command that changes the notices; `shown` is the argument that shows what there is.
    fn changing(
        self: &Arc<Self>,
        r: &mut Registrar<'_>,
        command: &'static Command,
        shown: &'static str,
        change: fn(&mut Notices, &Call),
    ) {
        let this = self.clone();
        let offered = Offered::new(command, move |call| {
            let this = this.clone();
            Box::pin(async move { this.change(&call, change).await })
        });
        let this = self.clone();
        let fill = move |_: Jid, _: Caller| -> Act<'static, Given> {
            let notices = this.notices();
            let text = match shown {
                "motd" => notices.motd.map(|motd| motd.text),
                "welcome" => notices.welcome,
                _ => None,
            };
            let known = text.map(|text| (shown.to_owned(), text.into()));
            Box::pin(async move { Ok(known.into_iter().collect()) })
        };
        r.command(offered.filled(fill));
    }

    async fn change(&self, call: &Call, change: fn(&mut Notices, &Call)) -> Result<(), ActError> {
        let mut notices = self.notices();
        change(&mut notices, call);
        let value = serde_json::to_vec(&notices).unwrap_or_default();
        let mut batch = Batch::new();
        batch.put(self.notices, &key(&self.deps.host), value);
        let stored = self.deps.store.commit(batch).await;
        stored.map_err(|error| ActError::Failed(error.to_string()))?;
        put(&self.current, notices);
        if call.args.text("motd").is_some() {
            for account in self.deps.floor.online(self.deps.host.domain()) {
                let (seen, current) = (self.seen, self.current.clone());
                let host = self.deps.host.clone();
                let greet = move |turn: &mut Turn<'_>| greet(turn, &host, seen, &current);
                self.deps.floor.in_turn(&account, Box::new(greet));
            }
        }
        call.report.say("Done.").await
    }

    fn notices(&self) -> Notices {
        let notices = self.current.read().unwrap_or_else(PoisonError::into_inner);
        notices.clone()
    }

    fn greet(&self, turn: &mut Turn<'_>) {
        greet(turn, &self.deps.host, self.seen, &self.current);
    }

    /// Written down at once, so that a restart before the first login changes nothing.
    fn note_new(&self, turn: &mut Turn<'_>) {
        if let Some(seen) = turn.account.parts.find_mut::<Seen>() {
            seen.new = true;
            let value = serde_json::to_vec(seen).unwrap_or_default();
            let key = Key::new().u64(turn.account.uid.0);
            turn.batch().put(self.seen, &key, value);
        }
    }

    async fn to_online(&self, call: &Call) -> Result<(), ActError> {
        let online = self.deps.floor.online(self.deps.host.domain());
        for account in &online {
            self.send(call, account, MessageType::Headline);
        }
        let text = format!("Sent to accounts that are online: {}.", online.len());
        call.report.say(text).await
    }

    async fn to_all(&self, call: &Call) -> Result<(), ActError> {
        let (mut after, mut sent) = (None, 0);
        loop {
            let page = accounts::names(&self.deps.store, &self.deps.host, after.as_ref(), PAGE);
            let page = page
                .await
                .map_err(|error| ActError::Failed(error.to_string()))?;
            for account in &page {
                self.deps.store.relieved().await;
                self.send(call, account, MessageType::Normal);
                sent += 1;
            }
            call.report.progress("announced", sent, None).await?;
            if page.len() < PAGE {
                break;
            }
            after = page.last().cloned();
        }
        call.report.say(format!("Sent to accounts: {sent}.")).await
    }

    fn send(&self, call: &Call, account: &Jid, kind: MessageType) {
        let text = call.args.text("announcement").unwrap_or_default();
        let message = message(
            &self.deps.host,
            account,
            kind,
            call.args.text("subject"),
            text,
        );
        if let Some(envelope) = Envelope::from_server(message) {
            self.deps.floor.route(Box::new(envelope));
        }
    }
}

/// Accounts read at once.
const PAGE: usize = 200;

/// Tells an account what it has not been told; that it was told goes into the same turn.
fn greet(turn: &mut Turn<'_>, host: &Jid, space: Space, current: &RwLock<Notices>) {
    let notices = current.read().unwrap_or_else(PoisonError::into_inner);
    let Some(seen) = turn.account.parts.find_mut::<Seen>() else {
        return;
    };
    let motd = notices.motd.as_ref();
    let motd = motd.filter(|motd| seen.motd.as_ref() != Some(&motd.id));
    if motd.is_none() && !seen.new {
        return;
    }
    let welcome = notices.welcome.as_ref().filter(|_| seen.new);
    seen.new = false;
    if let Some(motd) = motd {
        seen.motd = Some(motd.id.clone());
    }
    let value = serde_json::to_vec(seen).unwrap_or_default();
    let (key, account) = (Key::new().u64(turn.account.uid.0), turn.account.jid.clone());
    turn.batch().put(space, &key, value);
    for text in welcome.into_iter().chain(motd.map(|motd| &motd.text)) {
        turn.send(message(host, &account, MessageType::Normal, None, text));
    }
}

fn message(
    host: &Jid,
    account: &Jid,
    kind: MessageType,
    subject: Option<&str>,
    text: &str,
) -> Stanza {
    let mut message = Stanza::message(kind)
        .with_from(host.clone())
        .with_to(account.clone())
        .with_id(random::id());
    if let Some(subject) = subject {
        message = message.with_child(Element::new("subject", ns::CLIENT).with_text(subject));
    }
    message.with_child(Element::new("body", ns::CLIENT).with_text(text))
}

fn text(call: &Call, name: &str) -> Option<String> {
    call.args.text(name).map(str::to_owned)
}

fn key(host: &Jid) -> Key {
    Key::new().str(host.domain())
}

fn put(current: &RwLock<Notices>, notices: Notices) {
    *current.write().unwrap_or_else(PoisonError::into_inner) = notices;
}
