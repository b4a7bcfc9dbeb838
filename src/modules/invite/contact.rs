//! A request for presence that brings an invitation is granted by the server, and answered by one (XEP-0379 §3.4, §3.5).

use std::sync::Arc;

use super::Shared;
use crate::hooks::{Envelope, Origin, Path, Phase, Registrar, Turn, Verdict};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::state::invites::{self, Invite};
use crate::state::token_id::Id;

/// Sees requests.
pub(super) fn begin(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    let this = shared.clone();
    r.presence(Path::ToClient, Phase::Check, move |envelope, turn| {
        this.asked(envelope, turn)
    });
}

impl Shared {
    fn asked(self: &Arc<Self>, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        if envelope.stanza.kind != Kind::Presence(PresenceType::Subscribe) || turn.account.guest {
            return Verdict::Continue;
        }
        let token = envelope.stanza.child("preauth", ns::PARS);
        let token = token.and_then(|preauth| preauth.attr("token").map(str::to_owned));
        let (Some(token), Some(from)) = (token, envelope.from().map(Jid::bare)) else {
            return Verdict::Continue;
        };
        let (this, account) = (self.clone(), turn.account.jid.clone());
        let stanza = envelope.stanza.clone();
        Verdict::Later(Box::pin(async move {
            // §4.1: one that is none, or a client's own, is a request like any other.
            let found = this.good(&token, from.domain()).await;
            let found = found.ok().filter(|(_, invite)| {
                invite.kind != invites::Kind::Reset && invite.from().as_ref() == Some(&account)
            });
            let Some((id, invite)) = found else {
                return Verdict::Continue;
            };
            let runtime = this.runtime.clone();
            runtime.spawn(async move { this.grant(id, &invite, &from, &stanza).await });
            Verdict::Consume
        }))
    }

    /// Grants a request in the name of who invited, and lets it come once more.
    async fn grant(self: &Arc<Self>, id: Id, invite: &Invite, from: &Jid, stanza: &Stanza) {
        let in_use = self.desk.begin(id);
        let known = self.desk.is_there(id).await.unwrap_or(false);
        let granted = match (invite.from(), in_use.is_some() && known) {
            (Some(inviter), true) => {
                let (this, used, contact) = (self.clone(), invite.clone(), from.clone());
                let most = self.roster();
                let done = self.in_turn(&inviter, move |turn| {
                    let own = turn.account.jid.clone();
                    if invites::welcome(turn, &contact, used.group.as_deref(), most) {
                        this.desk.use_up(turn.batch(), id, &used);
                        turn.send(invites::asks(&own, &contact));
                    }
                });
                done.await
            }
            _ => false,
        };
        if granted {
            self.used.count();
            tracing::info!(account = ?invite.from(), contact = %from, "came by an invitation");
        }
        let mut again = stanza.clone();
        again.retain_children(|child| !child.is("preauth", ns::PARS));
        if let Some(to) = again.to.clone() {
            let envelope = Envelope::new(Arc::new(again), to, Origin::Server);
            self.deps.floor.route(Box::new(envelope));
        }
    }
}
