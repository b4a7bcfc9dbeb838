//! Whose account is removed is nothing to any room any more: nobody inherits rooms with a name that is free again. Who was
//! banned stays so.

use std::sync::Arc;

use super::Service;
use crate::hooks::{Event, Registrar};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms;
use crate::store::StoreError;
use crate::xml::Element;

/// Rooms looked at in one go.
const STEP: usize = 200;

/// Has rooms forget whose account is removed.
pub(super) fn watch(service: &Arc<Service>, r: &mut Registrar<'_>) {
    let service = service.clone();
    r.event(move |event| {
        if let Event::AccountDeleted(account) = event
            && account.domain() == service.host.domain()
        {
            let (service, account) = (service.clone(), account.clone());
            tokio::spawn(async move {
                if let Err(error) = service.let_go(&account).await {
                    tracing::error!(%account, %error, "rooms of an account that was removed cannot be read; run `waxwing check`");
                }
            });
        }
    });
}

impl Service {
    async fn let_go(&self, account: &Jid) -> Result<(), StoreError> {
        let mut after = None::<String>;
        loop {
            let (domain, from, who) = (self.domain.clone(), after.take(), account.clone());
            let page = self.store.reading(move |view| {
                let page = rooms::list(view, domain.domain(), from.as_deref(), STEP)?;
                let through = page.len() < STEP;
                let last = page.last().map(|(name, _)| name.clone());
                let mut named = Vec::new();
                for (name, listing) in page {
                    if rooms::is_affiliated(view, listing.rid, &who)? {
                        named.push(name);
                    }
                }
                Ok((named, last.filter(|_| !through)))
            });
            let (named, last) = page.await?;
            for name in named {
                self.strike(&name, account).await;
            }
            after = last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes somebody off the lists of a room.
    async fn strike(&self, name: &str, account: &Jid) {
        let Ok(room) = Jid::new(Some(name), self.domain.domain(), None) else {
            return;
        };
        let item = Element::new("item", ns::MUC_ADMIN)
            .with_attr("affiliation", "none")
            .with_attr("jid", account.as_str());
        let query = Element::new("query", ns::MUC_ADMIN).with_child(item);
        if let Err(error) = self.set(&room, query).await {
            tracing::warn!(%room, %account, %error, "a room has an account on its lists that was removed");
        }
    }
}
