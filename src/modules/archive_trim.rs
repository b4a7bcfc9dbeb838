//! Message Archive Management: Trim Command (proposal without number, 0.0.1 of 2026-03-31)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb};
use crate::proto::error::Condition;
use crate::proto::ns;
use crate::settings;
use crate::state::log;
use crate::store::{Direction, Key, Mid, Range, Space};

settings! {
    /// Accounts may remove the old part of their archive, or all of it.
    pub struct Config {}
}

/// Removes the old part of an archive when its owner asks for it.
pub struct ArchiveTrim;

impl Module for ArchiveTrim {
    const INFO: Info = Info {
        name: "archive_trim",
        specs: &[],
        doc: "Accounts may remove the old part of their archive, or all of it.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(ArchiveTrim)
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        const TRIM: (&str, &str) = (ns::MAM_TRIM, "trim");
        r.feature(To::OwnAccount, ns::MAM_TRIM);
        r.account_iq(To::OwnAccount, Verb::Set, TRIM, trim);
        r.account_iq(To::Account, Verb::Set, TRIM, |_, _| {
            Reply::Error(Condition::Forbidden.into())
        });
    }
}

/// §3.2: up to and including an id, or everything there is now.
fn trim(request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
    if turn.account.guest {
        return Reply::Error(Condition::NotAllowed.into());
    }
    let id = request.payload.child("id", ns::MAM_TRIM);
    let id = match id.map(|id| id.text().trim().parse::<Mid>()) {
        None => None,
        Some(Ok(mid)) => Some(mid),
        Some(Err(_)) => return Reply::Error(Condition::ItemNotFound.into()),
    };
    let (uid, account) = (turn.account.uid, turn.account.jid.clone());
    let store = turn.floor.store().clone();
    Reply::Later(Box::pin(async move {
        // What comes after the request stays.
        let upto = store.reading(move |snapshot| {
            let prefix = Key::new().u64(uid.0);
            match id {
                Some(mid) => {
                    let there = snapshot.get(Space::LOG, &prefix.mid(mid))?;
                    Ok(there.map(|_| mid))
                }
                None => {
                    let range = Range::prefix(prefix);
                    let last = snapshot.scan(Space::LOG, &range, Direction::Backward, 1)?;
                    let last = last.first().and_then(|(key, _)| key.last_chunk::<16>());
                    Ok(Some(last.map_or(Mid::MIN, |mid| Mid::from_bytes(*mid))))
                }
            }
        });
        let removed = match upto.await {
            Ok(Some(upto)) => log::remove(&store, uid, upto, u64::MAX).await,
            Ok(None) => return Reply::Error(Condition::ItemNotFound.into()),
            Err(error) => Err(error),
        };
        match removed {
            Ok(_) => Reply::done(),
            Err(error) => {
                tracing::error!(%account, %error, "an archive could not be trimmed");
                Reply::Error(Condition::InternalServerError.into())
            }
        }
    }))
}
