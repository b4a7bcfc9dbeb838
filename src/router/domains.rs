//! Other domains that were lost, and found again: how their people look to those here (RFC 6121 §4).

use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::hooks::{Account, Outgoing, SessionInfo, Turn};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::capabilities::Resources;
use crate::state::roster::Roster;

/// Accounts that are told in one go; there may be many.
const AT_ONCE: usize = 64;
/// The pause after that: what follows must find its way too.
const PAUSE: Duration = Duration::from_millis(50);

impl Router {
    /// There is no way to `remote` for so long that its people count as gone for those of `local`; and whoever directed
    /// presence there learns that it does not hold any more, as if it had not arrived.
    pub async fn domain_lost(self: Arc<Self>, local: Jid, remote: Jid) {
        let lost = StanzaError::from(Condition::RemoteServerTimeout)
            .with_text(format!("{remote}: there is no way to its server"));
        self.tell_online(&local, move |_, account| {
            let resources = account.parts.find_mut::<Resources>();
            let known = resources.map_or_else(Vec::new, |known| known.leave(remote.domain()));
            let contacts = contacts(account, &remote, Roster::subscriptions);
            let known = known
                .into_iter()
                .filter(|full| contacts.contains(&full.bare()));
            // Those that were heard of one by one, then whoever else is there.
            for who in known.chain(contacts.iter().cloned()) {
                let gone = Stanza::presence(PresenceType::Unavailable)
                    .with_from(who)
                    .with_to(account.jid.clone());
                let gone = Arc::new(gone);
                for session in account.available() {
                    tell(session, gone.clone());
                }
            }
            for session in &account.sessions {
                let directed = session.directed.iter();
                let there = directed.filter(|to| to.is_full() && to.domain() == remote.domain());
                for to in there {
                    let sent = Stanza::presence(PresenceType::Available)
                        .with_from(session.jid.clone())
                        .with_to(to.clone());
                    if let Some(error) = sent.error(&lost) {
                        tell(session, Arc::new(error));
                    }
                }
            }
        })
        .await;
    }

    /// There is a way to `remote` again: those of `local` ask for the presence of its people, and show theirs.
    pub async fn domain_found(self: Arc<Self>, local: Jid, remote: Jid) {
        self.tell_online(&local, move |router, account| {
            if account.available().next().is_none() {
                return;
            }
            for contact in contacts(account, &remote, Roster::subscriptions) {
                router.probe(&account.jid, &contact);
            }
            for contact in contacts(account, &remote, Roster::subscribers) {
                router.show_presence(account, &contact);
            }
        })
        .await;
    }

    async fn tell_online(
        self: &Arc<Self>,
        local: &Jid,
        tell: impl Fn(&Arc<Router>, &mut Account) + Send + Sync + 'static,
    ) {
        let tell = Arc::new(tell);
        for (at, (account, _)) in self.online(local.domain()).into_iter().enumerate() {
            let (router, tell) = (self.clone(), tell.clone());
            let act = move |turn: &mut Turn<'_>| tell(&router, turn.account);
            self.in_account(&account, Box::new(act));
            if at % AT_ONCE == AT_ONCE - 1 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn tell(session: &SessionInfo, stanza: Arc<Stanza>) {
    session.outbox.push(Outgoing {
        stanza,
        to: None,
        entry: None,
    });
}

/// Contacts at a domain that the account does not shut out.
fn contacts<'a, I: Iterator<Item = &'a Jid>>(
    account: &'a Account,
    remote: &Jid,
    which: impl Fn(&'a Roster) -> I,
) -> Vec<Jid> {
    let roster = account.parts.find::<Roster>();
    let all = roster.into_iter().flat_map(which);
    all.filter(|contact| contact.domain() == remote.domain() && !account.bars(contact))
        .cloned()
        .collect()
}
