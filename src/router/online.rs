//! Who is there: the accounts that have sessions.

use std::sync::Arc;

use super::Router;
use crate::hooks::Account;
use crate::proto::error::StreamError;
use crate::proto::jid::Jid;
use crate::session::work::Work;

impl Router {
    /// The accounts of a host that have sessions, sorted; each with whether it is active: available somewhere,
    /// and not away (RFC 6121 §4.7.2.1).
    pub fn online(&self, host: &str) -> Vec<(Jid, bool)> {
        let mut keys = self.owners().keys();
        keys.retain(|account| account.domain() == host);
        let there = |account: &Account| {
            let active = account.available().any(|session| {
                let presence = session.presence.as_ref();
                presence.is_some_and(|presence| !is_away(presence))
            });
            (!account.sessions.is_empty()).then_some(active)
        };
        let mut online: Vec<(Jid, bool)> = keys
            .into_iter()
            .filter_map(|account| {
                let active = self.owners().awake(&account)?.look(there)??;
                Some((account, active))
            })
            .collect();
        online.sort();
        online
    }

    /// Ends the session bound to a full JID; whether there is one.
    pub fn end_session(self: &Arc<Self>, full: &Jid, error: StreamError) -> bool {
        let Some(slot) = self.owners().awake(&full.bare()) else {
            return false;
        };
        let there = slot.look(|account| account.resource(full).is_some());
        if there != Some(true) {
            return false;
        }
        self.cease_at(full, error);
        true
    }

    /// The same, from within turns too.
    pub(super) fn cease_at(self: &Arc<Self>, full: &Jid, error: StreamError) {
        let Some(slot) = self.owners().awake(&full.bare()) else {
            return;
        };
        let (router, full) = (self.clone(), full.clone());
        slot.post(Work::Turn(Box::new(move |turn| {
            let Some(session) = turn.account.resource(&full) else {
                return;
            };
            let id = session.id;
            router.cease(turn.account, id, error);
        })));
    }
}

fn is_away(presence: &crate::proto::stanza::Stanza) -> bool {
    let show = presence.child("show", crate::proto::ns::CLIENT);
    show.is_some_and(|show| matches!(show.text().trim(), "away" | "xa"))
}
