//! The choice of an account: whether all its clients are brought back into rooms that they fall out of.

use std::sync::Arc;

use super::RoomWatch;
use crate::hooks::command::{
    Act, ActError, AdHoc, Argument, Call, Caller, Command, Given, Kind, Offered, Permission,
};
use crate::hooks::{Registrar, Turn, choice};
use crate::proto::jid::Jid;
use crate::state::rejoin::Rejoin;

pub(super) static DECLARED: [Command; 1] = [Command {
    name: "rejoin",
    doc: "Show or choose whether clients of an account enter rooms at other servers again when they fall out of them.",
    adhoc: Some(AdHoc {
        node: "waxwing:account#rejoin",
        form_type: "",
        results: &[],
    }),
    arguments: &[
        Argument::optional(
            "rejoin",
            Kind::Choice(&[
                (
                    NO,
                    "Only tell my clients that they are not in the room any more",
                ),
                (
                    YES,
                    "Have my clients enter again, from the next time they enter",
                ),
            ]),
            "Whether they enter again.",
        ),
        Argument::optional("account", Kind::Account, "Whose; in a client one's own.").line_only(),
    ],
    permission: Permission::User,
    confirm: None,
    audited: true,
}];

const NO: &str = "no";
const YES: &str = "yes";

pub(super) fn offer(watch: &Arc<RoomWatch>, r: &mut Registrar<'_>) {
    r.part(Rejoin::load);
    let [command] = &DECLARED;
    let this = watch.clone();
    let offered = Offered::new(command, move |call| {
        let this = this.clone();
        Box::pin(async move { this.choose(&call).await })
    });
    let this = watch.clone();
    let fill = move |_: Jid, caller: Caller| -> Act<'static, Given> {
        let this = this.clone();
        Box::pin(async move {
            let account = caller.jid.map(|jid| jid.bare());
            // Administrators of the server may be of another host, and choose nothing here.
            let account = account.filter(|jid| jid.domain() == this.host.domain());
            let wanted = match account {
                Some(account) => choice::ask(&*this.floor, &account, wants).await?,
                None => false,
            };
            Ok(Given::from([("rejoin".to_owned(), word(wanted).into())]))
        })
    };
    r.command(offered.filled(fill));
}

fn word(wanted: bool) -> &'static str {
    if wanted { YES } else { NO }
}

/// Whether the account wants it.
pub(super) fn wants(turn: &mut Turn<'_>) -> bool {
    turn.account.parts.find::<Rejoin>().is_some()
}

impl RoomWatch {
    async fn choose(&self, call: &Call) -> Result<(), ActError> {
        let account = choice::account_of(call)?;
        let now = match call.args.text("rejoin") {
            None => choice::ask(&*self.floor, &account, wants).await?,
            Some(word) => {
                let wanted = word == YES;
                self.put(&account, wanted).await?;
                wanted
            }
        };
        call.report.fact("rejoin", word(now)).await
    }

    /// In force when it is on disk.
    async fn put(&self, account: &Jid, wanted: bool) -> Result<(), ActError> {
        let write = move |turn: &mut Turn<'_>| {
            let uid = turn.account.uid;
            Rejoin::write(turn.batch(), uid, wanted);
        };
        let apply = move |turn: &mut Turn<'_>| match wanted {
            true => turn.account.parts.put(Rejoin),
            false => drop(turn.account.parts.take::<Rejoin>()),
        };
        choice::choose(&*self.floor, account, write, apply).await
    }
}
