//! What modules may do with accounts: the acts of administration, without an administrator.

use std::sync::Arc;

use super::acts::{ServerActs, because};
use crate::admin::{Accounts as _, Password};
use crate::hooks::AccountActs;
use crate::hooks::command::Act;
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

    fn delete(&self, account: Jid) -> Act<'static, ()> {
        let acts = self.0.clone();
        Box::pin(async move { acts.delete(&account).await })
    }
}
