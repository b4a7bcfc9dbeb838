//! The choice of an account: how it is protected from strangers, within what the host allows.

use std::sync::Arc;

use super::Strangers;
use super::known::Known;
use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Caller, Command, Given, Kind, Offered, Permission,
};
use crate::hooks::{Registrar, Turn, choice};
use crate::proto::jid::Jid;
use crate::state::protection::{Chosen, Policy};

pub(super) static DECLARED: [Command; 1] = [Command {
    name: "protection",
    doc: "Show or choose what becomes of what strangers send to an account.",
    adhoc: Some(AdHoc {
        node: "waxwing:account#protection",
        form_type: "",
        results: &[],
    }),
    arguments: &[
        Argument::optional(
            "policy",
            Kind::Choice(&[
                (DEFAULT, "As the server has it"),
                ("accept", "Accept everything"),
                ("rate", "Accept so many in an hour"),
                ("hold", "Let messages wait until their sender is known"),
                ("refuse", "Refuse everything"),
            ]),
            "What becomes of what strangers send.",
        ),
        Argument::optional("account", Kind::Account, "Whose; in a client one's own.").line_only(),
    ],
    permission: Permission::User,
    confirm: None,
    audited: true,
}];

const DEFAULT: &str = "default";

pub(super) fn offer(strangers: &Arc<Strangers>, r: &mut Registrar<'_>) {
    r.part(Chosen::load);
    let [command] = &DECLARED;
    let this = strangers.clone();
    let offered = Offered::new(command, move |call| {
        let this = this.clone();
        Box::pin(async move { this.choose(&call).await })
    });
    let this = strangers.clone();
    let fill = move |_: Jid, caller: Caller| -> Act<'static, Given> {
        let this = this.clone();
        Box::pin(async move {
            let account = caller.jid.map(|jid| jid.bare());
            // Administrators of the server may be of another host, and choose nothing here.
            let account = account.filter(|jid| jid.domain() == this.host.domain());
            let chosen = match account {
                Some(account) => choice::ask(&*this.floor, &account, chosen).await?,
                None => None,
            };
            Ok(Given::from([("policy".to_owned(), word(chosen).into())]))
        })
    };
    r.command(offered.filled(fill));
}

fn word(chosen: Option<Policy>) -> &'static str {
    chosen.map_or(DEFAULT, Policy::as_str)
}

fn chosen(turn: &mut Turn<'_>) -> Option<Policy> {
    turn.account.parts.find::<Chosen>().map(|chosen| chosen.0)
}

impl Strangers {
    async fn choose(&self, call: &Call) -> Result<(), ActError> {
        let account = choice::account_of(call)?;
        let before = choice::ask(&*self.floor, &account, chosen).await?;
        let now = match call.args.text("policy") {
            None => before,
            Some(word) => {
                let wanted = Policy::parse(word);
                self.allowed(wanted)?;
                self.put(&account, wanted).await?;
                wanted
            }
        };
        let report = &call.report;
        report.fact("chosen", word(now)).await?;
        let effective = self.effective(now);
        report.fact("in force", effective.as_str()).await
    }

    fn allowed(&self, wanted: Option<Policy>) -> Result<(), ActError> {
        if !self.own_choice {
            let text =
                "the administrator decides this for everybody (modules.strangers.own_choice)";
            return Err(ActError::NotAllowed(text.to_owned()));
        }
        if wanted.is_some_and(|wanted| wanted < self.least) {
            let text = format!("policy: this server allows no less than {}", self.least);
            return Err(ActError::Bad(text));
        }
        Ok(())
    }

    /// In force when it is on disk; whoever waited and need not any more comes in.
    async fn put(&self, account: &Jid, wanted: Option<Policy>) -> Result<(), ActError> {
        let held = self.kept.held.clone();
        let opens = self.effective(wanted) < Policy::Hold;
        let write = move |turn: &mut Turn<'_>| {
            let uid = turn.account.uid;
            Chosen::write(turn.batch(), uid, wanted);
        };
        let apply = move |turn: &mut Turn<'_>| {
            match wanted {
                Some(policy) => turn.account.parts.put(Chosen(policy)),
                None => drop(turn.account.parts.take::<Chosen>()),
            }
            if opens && turn.account.parts.find::<Known>().is_some() {
                held.release(turn, None);
            }
        };
        choice::choose(&*self.floor, account, write, apply).await?;
        // What it remembers of strangers may not have been read so far.
        self.floor.reread(account);
        Ok(())
    }
}
