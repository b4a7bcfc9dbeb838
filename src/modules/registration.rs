//! XEP-0077: In-Band Registration (2.4): new accounts where that is wanted, passwords and removal for those there are

use std::sync::Arc;

use crate::hooks::command::Password;
use crate::hooks::{
    Deps, Info, Module, ModuleError, Registrar, Reply, Request, Stranger, To, Turn, Verb,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::origin::Origin;
use crate::settings;
use crate::state::admins::Admins;
use crate::state::newcomers::{By, Newcomers, Rules, Wish, refusal};
use crate::stream::tables::Stage;
use crate::xml::{El, Element};

settings! {
    /// Lets people change their password and remove their account, and make one if `open`.
    pub struct Config {
        /// Whether anybody may make an account. Off, accounts are made by administrators only.
        pub open: bool = false;
        /// Whether a new account waits until an administrator lets it in: waxwing user enable ACCOUNT.
        pub approval: bool = false;
        /// New accounts of one address (of one /64 for IPv6) within an hour.
        pub per_address: u32 = 3 => within(1..=100_000);
        /// New accounts within an hour, of all addresses together.
        pub total: u32 = 100 => within(1..=1_000_000);
        /// Names nobody can take this way; those of administrators are kept in any case.
        pub reserved: Vec<String> = ["abuse", "admin", "administrator", "hostmaster", "info", "noc", "postmaster", "root", "security", "support", "webmaster", "xmpp"].map(str::to_owned).to_vec();
        /// Characters a new password must have; and it must not be the name.
        pub password_characters: u32 = 8 => within(1..=128);
        /// Whether users may change their password.
        pub change_password: bool = true;
        /// Whether users may remove their account with everything it owns.
        pub removal: bool = true;
    }
}

/// Makes, changes and removes accounts.
pub struct Registration {
    config: Config,
    host: Jid,
    deps: Deps,
    admins: Admins,
    newcomers: Newcomers,
}

const QUERY: (&str, &str) = (ns::REGISTER, "query");

impl Module for Registration {
    const INFO: Info = Info {
        name: "registration",
        specs: &[("XEP-0077", "2.4")],
        doc: "In-band registration: passwords and removal of accounts; new accounts where that is wanted.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let newcomers = Newcomers::new(deps);
        newcomers.set_rules(Rules {
            reserved: config.reserved.clone(),
            password: config.password_characters as usize,
            per_address: config.per_address as usize,
            total: config.total as usize,
        });
        Ok(Registration {
            config,
            host: deps.host.clone(),
            deps: deps.clone(),
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
            newcomers,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if !self.deps.accounts.has_accounts(self.host.domain()) {
            return;
        }
        r.feature(To::Host, ns::REGISTER);
        if self.config.open {
            r.stream_feature(Stage::Secured, |_| {
                Some(Element::new("register", ns::REGISTER_FEATURE))
            });
            let this = self.clone();
            r.stranger_iq(QUERY, move |stranger| this.stranger(stranger));
        }
        // A client in session asks its server, by the server's address or by none.
        let this = self.clone();
        r.account_iq(To::OwnAccount, Verb::Get, QUERY, move |_, turn| {
            this.registered(&turn.account.jid)
        });
        let this = self.clone();
        r.account_iq(To::OwnAccount, Verb::Set, QUERY, move |q, turn| {
            this.own(q, turn)
        });
        let this = self.clone();
        r.host_iq(Verb::Get, QUERY, move |q| match this.local(q.from) {
            Some(account) => this.registered(&account),
            None => Reply::Error(Condition::ServiceUnavailable.into()),
        });
        r.host_iq(Verb::Set, QUERY, move |q| match self.local(q.from) {
            Some(account) => self.change(q.payload, account, q.from).into_reply(),
            None => Reply::Error(Condition::RegistrationRequired.into()),
        });
    }
}

/// What a request of a user comes to.
enum Own {
    Reply(Reply),
    Remove(Jid),
}

impl Registration {
    /// An account of this host; not somebody of another.
    fn local(&self, from: &Jid) -> Option<Jid> {
        (from.domain() == self.host.domain() && from.node().is_some()).then(|| from.bare())
    }

    /// §3.1, example 3: never the password, which nobody knows.
    fn registered(&self, account: &Jid) -> Reply {
        let username = account.node().unwrap_or_default();
        Element::new("query", ns::REGISTER)
            .with_child(Element::new("registered", ns::REGISTER))
            .with_child(leaf("username", username))
            .with_child(leaf("password", ""))
            .into()
    }

    fn own(self: &Arc<Self>, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
        if turn.account.guest {
            return Reply::Error(Condition::NotAllowed.into());
        }
        let account = turn.account.jid.clone();
        match self.change(request.payload, account, request.from) {
            Own::Reply(reply) => reply,
            Own::Remove(account) => self.remove(account),
        }
    }

    /// §3.2, §3.3
    fn change(self: &Arc<Self>, query: El<'_>, account: Jid, from: &Jid) -> Own {
        let refuse = |condition: Condition| Own::Reply(Reply::Error(condition.into()));
        if query.child("remove", ns::REGISTER).is_some() {
            return match (query.children().count(), self.config.removal) {
                (1, true) => Own::Remove(account),
                (1, false) => refuse(Condition::NotAllowed),
                _ => refuse(Condition::BadRequest),
            };
        }
        let Some(Wish { username, password }) = Wish::read(query) else {
            return refuse(Condition::BadRequest);
        };
        let own = Jid::new(Some(&username), self.host.domain(), None);
        if own.ok().as_ref() != Some(&account) || !self.config.change_password {
            return refuse(Condition::NotAllowed);
        }
        if let Err(error) = self.newcomers.acceptable(&username, &password) {
            return Own::Reply(Reply::Error(error));
        }
        let (this, from) = (self.clone(), from.clone());
        Own::Reply(Reply::Later(Box::pin(async move {
            let accounts = &this.deps.accounts;
            let changed = accounts.set_password(account, Password(password), Some(from));
            match changed.await {
                Ok(()) => Reply::done(),
                Err(error) => Reply::Error(refusal(&error)),
            }
        })))
    }

    /// §3.2. Answered when the account is gone for good, and before its sessions end, one of which waits for the answer.
    fn remove(&self, account: Jid) -> Reply {
        let removed = self.deps.accounts.delete(account.clone());
        Reply::Later(Box::pin(async move {
            match removed.await {
                Ok(farewell) => {
                    tracing::info!(%account, "removed by its user");
                    Reply::DoneThen(Box::new(move || drop(farewell)))
                }
                Err(error) => {
                    tracing::error!(%account, %error, "could not be removed for its user");
                    Reply::Error(refusal(&error))
                }
            }
        }))
    }

    /// Before login, on a secured stream.
    fn stranger(self: &Arc<Self>, stranger: &Stranger) -> Reply {
        let Some(query) = stranger.iq.root().child("query", ns::REGISTER) else {
            return Reply::Error(Condition::BadRequest.into());
        };
        if stranger.verb == Verb::Get {
            return fields().into();
        }
        if query.child("remove", ns::REGISTER).is_some() {
            return Reply::Error(Condition::UnexpectedRequest.into());
        }
        let Some(wish) = Wish::read(query) else {
            return Reply::Error(Condition::NotAcceptable.into());
        };
        let (this, address) = (self.clone(), Origin::name(&stranger.address));
        Reply::Later(Box::pin(async move {
            match this.make(wish, address).await {
                Ok(()) => Reply::done(),
                Err(error) => Reply::Error(error),
            }
        }))
    }

    async fn make(&self, wish: Wish, address: String) -> Result<(), StanzaError> {
        let waits = "waits for an administrator";
        let disabled = self.config.approval.then(|| waits.to_owned());
        let made = self.newcomers.make(wish, By::Anyone(&address), disabled);
        let account = made.await?;
        tracing::info!(%account, %address, approval = self.config.approval, "registered");
        if self.config.approval {
            self.tell_administrators(&account).await;
        }
        Ok(())
    }

    async fn tell_administrators(&self, account: &Jid) {
        use crate::hooks::Envelope;
        use crate::proto::stanza::{MessageType, Stanza};
        let text = format!("{account} was registered and waits: waxwing user enable {account}");
        let host = self.host.domain();
        let added = self.admins.added(host).await.unwrap_or_default();
        for admin in self.admins.fixed(host).chain(&added) {
            let message = Stanza::message(MessageType::Normal)
                .with_from(self.host.clone())
                .with_to(admin.clone())
                .with_id(crate::runtime::random::id())
                .with_child(Element::new("body", ns::CLIENT).with_text(&text));
            if let Some(envelope) = Envelope::from_server(message) {
                self.deps.floor.route(Box::new(envelope));
            }
        }
    }
}

impl Own {
    /// For who asked by the host's address: the removal is asked of the account instead.
    fn into_reply(self) -> Reply {
        match self {
            Own::Reply(reply) => reply,
            Own::Remove(_) => Reply::Error(
                StanzaError::from(Condition::BadRequest).with_text("Send this without an address"),
            ),
        }
    }
}

fn fields() -> Element {
    let text = "Choose a name and a password.";
    Element::new("query", ns::REGISTER)
        .with_child(leaf("instructions", text))
        .with_child(leaf("username", ""))
        .with_child(leaf("password", ""))
}

fn leaf(name: &str, text: &str) -> Element {
    let el = Element::new(name, ns::REGISTER);
    if text.is_empty() {
        el
    } else {
        el.with_text(text)
    }
}
