//! What a command asks of an account, and has it choose, in the account's turn.

use tokio::sync::oneshot;

use super::command::{ActError, Call};
use super::deps::Floor;
use super::turn::Turn;
use crate::proto::jid::Jid;

/// The account that a call names with `account`; in a client its own.
///
/// # Errors
/// There is none.
pub fn account_of(call: &Call) -> Result<Jid, ActError> {
    match (call.args.account("account"), &call.caller.jid) {
        (Ok(named), _) => Ok(named.clone()),
        (Err(_), Some(jid)) => Ok(jid.bare()),
        (Err(_), None) => Err(ActError::Bad("say which account: --account".to_owned())),
    }
}

/// Asks something of an account in its turn.
///
/// # Errors
/// There is no such account.
pub async fn ask<T: Send + 'static>(
    floor: &dyn Floor,
    account: &Jid,
    f: impl FnOnce(&mut Turn<'_>) -> T + Send + 'static,
) -> Result<T, ActError> {
    let (answer, asked) = oneshot::channel();
    let ask = move |turn: &mut Turn<'_>| {
        if !turn.account.guest {
            let _ = answer.send(f(turn));
        }
    };
    floor.in_turn(account, Box::new(ask));
    let gone = |_| ActError::NoSuchAccount(account.clone());
    asked.await.map_err(gone)
}

/// Has an account choose: `write` puts it into the batch of its turn, and when it is on disk `apply` puts it in force.
///
/// # Errors
/// There is no such account; the store did not take it.
pub async fn choose(
    floor: &dyn Floor,
    account: &Jid,
    write: impl FnOnce(&mut Turn<'_>) + Send + 'static,
    apply: impl FnOnce(&mut Turn<'_>) + Send + 'static,
) -> Result<(), ActError> {
    let (stored, done) = oneshot::channel::<()>();
    let choose = move |turn: &mut Turn<'_>| {
        write(turn);
        turn.after_commit(move |turn| {
            apply(turn);
            let _ = stored.send(());
        });
    };
    ask(floor, account, choose).await?;
    let failed = |_| ActError::Failed("the server cannot store this now".to_owned());
    done.await.map_err(failed)
}
