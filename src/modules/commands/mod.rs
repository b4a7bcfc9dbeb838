//! XEP-0050: Ad-Hoc Commands (1.3.0), with XEP-0133 (1.3.1): what may be done here, from any client

mod form;
mod outcome;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::Period;
use crate::hooks::command::{Caller, Given, Kind, Offered, Permission, Values};
use crate::hooks::{Deps, Disco, Info, Module, ModuleError, Registrar, Reply, Request, To, Verb};
use crate::proto::disco::Identity;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::{disco, ns};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::act::gather;
use crate::state::admins::Admins;
use crate::state::audit::Audit;
use crate::xml::{El, Element};
use outcome::Outcome;
use sessions::{Found, Open, Sessions, Stage};

settings! {
    /// Lets administrators do from their client what the command line can do, and offers what modules have for users.
    pub struct Config {
        /// Forms that may be open at once.
        pub sessions: u32 = 1_000 => within(1..=100_000);
        /// Forms that one account may have open at once.
        pub sessions_per_account: u32 = 10 => within(1..=1_000);
        /// How long a form may be left open.
        pub timeout: Period = Period::minutes(10) => within(Period::seconds(10)..=Period::days(1));
        /// Rows of one answer; what is more is left out, and said to be.
        pub rows: u32 = 1_000 => within(10..=10_000);
    }
}

/// Offers the commands of a host.
pub struct Commands {
    host: Jid,
    admins: Admins,
    audit: Audit,
    clock: Clock,
    sessions: Sessions,
    timeout: Duration,
    rows: usize,
    offered: OnceLock<Vec<Offered>>,
}

impl Module for Commands {
    const INFO: Info = Info {
        name: "commands",
        specs: &[
            ("XEP-0050", "1.3.0"),
            ("XEP-0122", "1.0.2"),
            ("XEP-0133", "1.3.1"),
        ],
        doc: "Ad-hoc commands: administration from any client.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Commands {
            host: deps.host.clone(),
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
            audit: Audit::new(deps.store.clone(), deps.clock.clone(), &deps.administration),
            clock: deps.clock.clone(),
            sessions: Sessions::new(
                config.sessions as usize,
                config.sessions_per_account as usize,
            ),
            timeout: config.timeout.0,
            rows: config.rows as usize,
            offered: OnceLock::new(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::COMMANDS);
        let this = self.clone();
        r.host_iq(Verb::Set, (ns::COMMANDS, "command"), move |request| {
            let (this, from) = (this.clone(), request.from.clone());
            let command = request.payload.to_element();
            Reply::Later(Box::pin(async move {
                this.command(At::Host, from, command).await
            }))
        });
        let this = self.clone();
        r.host_node(move |request, what, node| this.node(At::Host, request, what, node));
        self.clone().own(r);
        r.frozen(move |tables| {
            let offered = tables.commands().iter();
            let adhoc = offered.filter(|offered| offered.command.adhoc.is_some());
            let _ = self.offered.set(adhoc.cloned().collect());
        });
    }
}

/// Whose address commands are asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// The host's: everything that may be done.
    Host,
    /// That of the account which asks: what it may do for itself.
    Own,
}

impl At {
    fn offers(self, offered: &Offered) -> bool {
        self == At::Host || offered.command.permission == Permission::User
    }
}

impl Commands {
    fn own(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::COMMANDS);
        let this = self.clone();
        let command = (ns::COMMANDS, "command");
        r.account_iq(To::OwnAccount, Verb::Set, command, move |request, turn| {
            if turn.account.guest {
                return Reply::Error(Condition::NotAllowed.into());
            }
            let (this, from) = (this.clone(), request.from.clone());
            let command = request.payload.to_element();
            Reply::Later(Box::pin(async move {
                this.command(At::Own, from, command).await
            }))
        });
        r.account_node(move |request, turn, what, node| {
            let own = request.from.bare_str() == turn.account.jid.as_str();
            own.then(|| self.node(At::Own, request, what, node))
                .flatten()
        });
    }

    fn offered(&self) -> &[Offered] {
        self.offered.get().map_or(&[], Vec::as_slice)
    }

    fn find(&self, at: At, node: &str) -> Option<&Offered> {
        let mut all = self.offered().iter().filter(|offered| at.offers(offered));
        all.find(|offered| node_of(offered) == node)
    }

    async fn caller(&self, from: &Jid) -> Result<Caller, StanzaError> {
        self.admins.caller(from, &self.host).await.map_err(|error| {
            tracing::error!(%error, "the administrators cannot be read");
            Condition::InternalServerError.into()
        })
    }

    /// XEP-0050 §2.2: the list has what the asker may do, and nothing else.
    fn node(
        self: &Arc<Self>,
        at: At,
        request: &Request<'_>,
        what: Disco,
        node: &str,
    ) -> Option<Reply> {
        let list = node == ns::COMMANDS;
        if !list && self.find(at, node).is_none() {
            return None;
        }
        let (this, from, node) = (self.clone(), request.from.clone(), node.to_owned());
        Some(Reply::Later(Box::pin(async move {
            let caller = match this.caller(&from).await {
                Ok(caller) => caller,
                Err(error) => return Reply::Error(error),
            };
            match (list, what) {
                (true, Disco::Items) => this.list(at, &caller).into(),
                (true, Disco::Info) => info("command-list", None).to_element(Some(&node)).into(),
                (false, what) => this.of_command(at, &caller, what, &node),
            }
        })))
    }

    fn list(&self, at: At, caller: &Caller) -> Element {
        let host = self.host.domain();
        let may =
            |offered: &&Offered| at.offers(offered) && offered.command.may(caller, Some(host));
        let jid = match &caller.jid {
            Some(own) if at == At::Own => own.bare(),
            _ => self.host.clone(),
        };
        let items = self.offered().iter().filter(may).map(|offered| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", jid.as_str())
                .with_attr("node", node_of(offered))
                .with_attr("name", form::title(offered.command))
        });
        Element::new("query", ns::DISCO_ITEMS)
            .with_attr("node", ns::COMMANDS)
            .with_children(items)
    }

    fn of_command(&self, at: At, caller: &Caller, what: Disco, node: &str) -> Reply {
        let Ok(offered) = self.permitted(at, caller, node) else {
            return Reply::Error(Condition::Forbidden.into());
        };
        match what {
            Disco::Info => {
                let mut info = info("command-node", Some(form::title(offered.command)));
                info.features = vec![ns::COMMANDS.to_owned(), ns::DATA_FORM.to_owned()];
                info.to_element(Some(node)).into()
            }
            Disco::Items => Element::new("query", ns::DISCO_ITEMS)
                .with_attr("node", node)
                .into(),
        }
    }

    /// Who may not do it does not learn whether there is such a command.
    fn permitted(&self, at: At, caller: &Caller, node: &str) -> Result<&Offered, StanzaError> {
        let domain = Some(self.host.domain());
        let may = |offered: &Offered| offered.command.may(caller, domain);
        match self.find(at, node) {
            Some(offered) if may(offered) => Ok(offered),
            None if caller.rights != crate::hooks::command::Rights::None => {
                Err(Condition::ItemNotFound.into())
            }
            _ => Err(Condition::Forbidden.into()),
        }
    }

    async fn command(self: Arc<Self>, at: At, from: Jid, command: Element) -> Reply {
        let answer = self.try_command(at, &from, command.root()).await;
        answer.unwrap_or_else(Reply::Error)
    }

    async fn try_command(
        self: &Arc<Self>,
        at: At,
        from: &Jid,
        el: El<'_>,
    ) -> Result<Reply, StanzaError> {
        let node = el.attr("node").filter(|node| !node.is_empty());
        let node = node.ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let action = Action::parse(el.attr("action"))?;
        let caller = self.caller(from).await?;
        let offered = self.permitted(at, &caller, node)?.clone();
        match el.attr("sessionid") {
            None if action == Action::Execute => self.begin(&caller, from, &offered).await,
            None => Err(refused(Condition::BadRequest, "bad-action")),
            Some(id) => self.go_on(&caller, from, &offered, id, action, el).await,
        }
    }

    async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        from: &Jid,
        offered: &Offered,
    ) -> Result<Reply, StanzaError> {
        let given = match &offered.fill {
            Some(fill) => fill(self.host.clone(), caller.clone())
                .await
                .map_err(|error| outcome::refusal(&error))?,
            None => Given::new(),
        };
        if !form::needed(offered.command) {
            let done = self.act(caller, offered, Given::new()).await;
            return self.ended(offered, &sessions::id(), done);
        }
        let open = Open {
            asker: from.clone(),
            node: node_of(offered),
            stage: Stage::Form,
            given,
            until: self.clock.now() + self.timeout,
        };
        let id = self.sessions.open(open.clone(), self.clock.now())?;
        Ok(self.stage(offered, &id, &open).into())
    }

    async fn go_on(
        self: &Arc<Self>,
        caller: &Caller,
        from: &Jid,
        offered: &Offered,
        id: &str,
        action: Action,
        el: El<'_>,
    ) -> Result<Reply, StanzaError> {
        let mut open = match self
            .sessions
            .find(id, from, node_of(offered), self.clock.now())
        {
            Found::Open(open) => open,
            Found::Ended => return Err(refused(Condition::NotAllowed, "session-expired")),
            Found::Unknown => return Err(refused(Condition::BadRequest, "bad-sessionid")),
        };
        let confirms = offered.command.confirm.is_some();
        match (open.stage, action) {
            (_, Action::Cancel) => {
                self.sessions.end(id);
                let canceled = status(offered, id, "canceled");
                return Ok(canceled.into());
            }
            (Stage::Confirm, Action::Prev) => open.stage = Stage::Form,
            (Stage::Form, Action::Prev) | (Stage::Confirm, Action::Next) => {
                return Err(refused(Condition::BadRequest, "bad-action"));
            }
            (Stage::Form, Action::Next) if confirms => {
                open.given = self.submitted(offered, el)?;
                open.stage = Stage::Confirm;
            }
            (stage, Action::Execute | Action::Complete | Action::Next) => {
                if stage == Stage::Form {
                    open.given = self.submitted(offered, el)?;
                }
                return self.finish(caller, offered, id, open).await;
            }
        }
        open.until = self.clock.now() + self.timeout;
        self.sessions.keep(id, open.clone());
        Ok(self.stage(offered, id, &open).into())
    }

    /// Does it. What cannot be accepted leaves the form open, to be mended.
    async fn finish(
        self: &Arc<Self>,
        caller: &Caller,
        offered: &Offered,
        id: &str,
        open: Open,
    ) -> Result<Reply, StanzaError> {
        // Taken out first: what is sent twice is done once.
        if !self.sessions.end(id) {
            return Err(refused(Condition::NotAllowed, "session-expired"));
        }
        let done = self.act(caller, offered, open.given.clone()).await;
        if done.is_bad_argument() {
            self.sessions.keep(id, open);
        }
        self.ended(offered, id, done)
    }

    /// What was filled in, by the names of the arguments.
    fn submitted(&self, offered: &Offered, el: El<'_>) -> Result<Given, StanzaError> {
        let bad = || refused(Condition::BadRequest, "bad-payload");
        if !form::has_fields(offered.command) {
            return Ok(Given::new());
        }
        let given = Form::of(el)
            .ok_or_else(bad)?
            .map_err(|error| bad().with_text(error.to_string()))?;
        form::read(offered.command, given).map_err(|error| bad().with_text(error.to_string()))
    }

    /// Does it.
    async fn act(
        self: &Arc<Self>,
        caller: &Caller,
        offered: &Offered,
        mut given: Given,
    ) -> Outcome {
        for argument in offered.command.arguments {
            if argument.kind == Kind::Host {
                given.insert(argument.name.to_owned(), Values::from(self.host.as_str()));
            }
        }
        let bounds = (self.rows, outcome::BYTES);
        gather(offered, given, caller, &self.host, &self.audit, bounds)
            .await
            .into()
    }

    fn ended(&self, offered: &Offered, id: &str, done: Outcome) -> Result<Reply, StanzaError> {
        let payload = done.payload(offered.command)?;
        Ok(status(offered, id, "completed")
            .with_children(payload)
            .into())
    }

    fn stage(&self, offered: &Offered, id: &str, open: &Open) -> Element {
        let confirms = offered.command.confirm.is_some();
        let (actions, form): (&[&str], _) = match open.stage {
            Stage::Form => (
                &["next", "complete"],
                form::ask(offered.command, &open.given),
            ),
            Stage::Confirm => (
                &["prev", "complete"],
                form::confirm(offered.command, &open.given),
            ),
        };
        let allowed = actions
            .iter()
            .filter(|action| confirms || **action != "next");
        let actions = Element::new("actions", ns::COMMANDS)
            .with_attr("execute", "complete")
            .with_children(allowed.map(|action| Element::new(action, ns::COMMANDS)));
        status(offered, id, "executing")
            .with_child(actions)
            .with_child(form.to_element())
    }
}

/// What is to be done with a command (XEP-0050 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Execute,
    Cancel,
    Prev,
    Next,
    Complete,
}

impl Action {
    fn parse(text: Option<&str>) -> Result<Self, StanzaError> {
        Ok(match text {
            None | Some("execute") => Action::Execute,
            Some("cancel") => Action::Cancel,
            Some("prev") => Action::Prev,
            Some("next") => Action::Next,
            Some("complete") => Action::Complete,
            Some(_) => return Err(refused(Condition::BadRequest, "malformed-action")),
        })
    }
}

fn node_of(offered: &Offered) -> &'static str {
    offered.command.adhoc.map_or("", |adhoc| adhoc.node)
}

fn info(kind: &str, name: Option<&str>) -> disco::Info {
    let mut identity = Identity::new("automation", kind);
    identity.name = name.map(str::to_owned);
    disco::Info {
        identities: vec![identity],
        features: vec![ns::COMMANDS.to_owned()],
        ..Default::default()
    }
}

fn status(offered: &Offered, id: &str, status: &str) -> Element {
    Element::new("command", ns::COMMANDS)
        .with_attr("node", node_of(offered))
        .with_attr("sessionid", id)
        .with_attr("status", status)
}

/// An error of XEP-0050 §4.4.
fn refused(condition: Condition, specific: &str) -> StanzaError {
    use crate::proto::error::ErrorType;
    let kind = match condition {
        Condition::BadRequest => ErrorType::Modify,
        _ => ErrorType::Cancel,
    };
    StanzaError::from(condition)
        .with_type(kind)
        .with_app(Element::new(specific, ns::COMMANDS))
}
