//! The choice of an account: whether its calls hide where it is.

use std::sync::Arc;

use super::ExternalServices;
use super::offers::Offer;
use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Caller, Command, Given, Kind, Offered, Permission,
};
use crate::hooks::{Registrar, Turn, choice};
use crate::proto::jid::Jid;
use crate::state::calls::{Calling, Hidden};

pub(super) static DECLARED: [Command; 1] = [Command {
    name: "calls",
    doc: "Show or choose whether whom an account talks to learns its addresses.",
    adhoc: Some(AdHoc {
        node: "waxwing:account#calls",
        form_type: "",
        results: &[],
    }),
    arguments: &[
        Argument::optional(
            "way",
            Kind::Choice(&[
                (
                    ANY,
                    "The shortest that works: the other side learns my addresses",
                ),
                (
                    RELAY,
                    "Through relays alone: the other side does not learn them",
                ),
            ]),
            "Which way calls and files take.",
        ),
        Argument::optional("account", Kind::Account, "Whose; in a client one's own.").line_only(),
    ],
    permission: Permission::User,
    confirm: None,
    audited: true,
}];

const ANY: &str = "any";
const RELAY: &str = "relay";

pub(super) fn offer(services: &Arc<ExternalServices>, r: &mut Registrar<'_>) {
    r.part(Hidden::load);
    let [command] = &DECLARED;
    let this = services.clone();
    let offered = Offered::new(command, move |call| {
        let this = this.clone();
        Box::pin(async move { this.choose(&call).await })
    });
    let this = services.clone();
    let fill = move |_: Jid, caller: Caller| -> Act<'static, Given> {
        let this = this.clone();
        Box::pin(async move {
            let account = caller.jid.map(|jid| jid.bare());
            // Administrators of the server may be of another host, and choose nothing here.
            let account = account.filter(|jid| jid.domain() == this.deps.host.domain());
            let hidden = match account {
                Some(account) => this.asked(&account).await?.hidden,
                None => false,
            };
            Ok(Given::from([("way".to_owned(), word(hidden).into())]))
        })
    };
    r.command(offered.filled(fill));
}

fn word(hidden: bool) -> &'static str {
    if hidden { RELAY } else { ANY }
}

impl ExternalServices {
    async fn choose(&self, call: &Call) -> Result<(), ActError> {
        let account = choice::account_of(call)?;
        let before = self.asked(&account).await?;
        let hidden = match call.args.text("way") {
            None => before.hidden,
            Some(way) => way == RELAY,
        };
        if hidden && !self.offers().iter().any(Offer::relays) {
            let text = "this server knows no relay, so that no call would find a way (see [relay])";
            return Err(ActError::NotAllowed(text.to_owned()));
        }
        if hidden != before.hidden {
            self.put(&account, hidden).await?;
            let uid = before.uid;
            self.show_anew(&account, Calling { uid, hidden });
        }
        call.report.fact("way", word(hidden)).await
    }

    async fn asked(&self, account: &Jid) -> Result<Calling, ActError> {
        let gone = |_| ActError::NoSuchAccount(account.clone());
        self.account(account).await.map_err(gone)
    }

    /// In force when it is on disk.
    async fn put(&self, account: &Jid, hidden: bool) -> Result<(), ActError> {
        let write = move |turn: &mut Turn<'_>| {
            let uid = turn.account.uid;
            Hidden::write(turn.batch(), uid, hidden);
        };
        let apply = move |turn: &mut Turn<'_>| match hidden {
            true => turn.account.parts.put(Hidden),
            false => drop(turn.account.parts.take::<Hidden>()),
        };
        choice::choose(&*self.deps.floor, account, write, apply).await
    }
}
