//! What modules may do with accounts: the acts of administration, without an administrator.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::acts::{ServerActs, because};
use crate::admin::{Accounts as _, Password};
use crate::hooks::command::{Act, ActError};
use crate::hooks::{AccountActs, Farewell};
use crate::proto::jid::Jid;

/// The hand that modules have on accounts.
pub(super) struct Hand(pub(super) Arc<ServerActs>);

impl AccountActs for Hand {
    fn has_accounts(&self, host: &str) -> bool {
        self.0.hosts().iter().any(|known| known == host)
    }

    fn create(
        &self,
        account: Jid,
        password: Password,
        disabled: Option<String>,
    ) -> Act<'static, ()> {
        let acts = self.0.clone();
        Box::pin(async move {
            acts.create(&account, &password).await?;
            match disabled {
                Some(reason) => acts.disable(&account, &reason).await,
                None => Ok(()),
            }
        })
    }

    fn set_password(
        &self,
        account: Jid,
        password: Password,
        keep: Option<Jid>,
    ) -> Act<'static, ()> {
        let acts = self.0.clone();
        Box::pin(async move {
            let kept = keep.as_ref();
            acts.change_password(
                &account,
                &password,
                kept,
                because("the password was changed"),
            )
            .await
        })
    }

    fn delete(&self, account: Jid) -> Act<'static, Farewell> {
        let acts = self.0.clone();
        Box::pin(async move {
            let (tell, removed) = oneshot::channel();
            // It goes on when nobody waits for it any more.
            tokio::spawn(async move {
                let leaving = match acts.take_out(&account).await {
                    Ok(leaving) => leaving,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                let (farewell, said) = Farewell::new();
                drop(tell.send(Ok(farewell)));
                // Dropped is said.
                let _ = said.await;
                acts.see_out(&account, leaving).await;
            });
            removed.await.unwrap_or(Err(ActError::Interrupted))
        })
    }
}
