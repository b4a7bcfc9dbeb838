//! The phases: runs a host's transit hooks over an envelope in an account's turn.

use std::sync::Arc;

use super::Router;
use crate::hooks::{Account, Envelope, Path, Phase, Turn, Verdict, Which};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::stanza::Kind;
use crate::session::owners::{After, Slot};
use crate::session::work::{Judged, Position, Work};

/// What the phases before the commit left.
pub(super) enum Passed {
    /// Go on.
    Go,
    /// It is dealt with.
    Consumed,
    /// Return it.
    Bounced(StanzaError),
    /// A hook waits; what follows its verdict stands at the position.
    Later(Waiting, Position),
}

/// A verdict under way.
pub(super) type Waiting = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// The phases before the commit, in their order.
const BEFORE_COMMIT: [Phase; 3] = [Phase::Check, Phase::Amend, Phase::Record];

impl Router {
    /// Runs `f` with a turn over the envelope's ledger.
    pub(super) fn with_turn<R>(
        self: &Arc<Self>,
        account: &mut Account,
        envelope: &mut Envelope,
        f: impl FnOnce(&mut Envelope, &mut Turn<'_>) -> R,
    ) -> R {
        let mut ledger = std::mem::take(&mut envelope.ledger);
        let result = self.turn(account, &mut ledger, |turn| f(envelope, turn));
        envelope.ledger = ledger;
        result
    }

    /// Runs the hooks of a path before the commit, from a position on.
    pub(super) fn pass(
        self: &Arc<Self>,
        account: &mut Account,
        envelope: &mut Envelope,
        path: Path,
        from: Position,
    ) -> Passed {
        let which = which(envelope.stanza.kind);
        let tables = account.tables.clone();
        self.with_turn(account, envelope, |envelope, turn| {
            for (phase, name) in BEFORE_COMMIT.iter().enumerate().skip(from.phase) {
                let skip = if phase == from.phase { from.hook } else { 0 };
                let hooks = tables.transit(which, path, *name);
                for (hook, f) in hooks.iter().enumerate().skip(skip) {
                    match f(envelope, turn) {
                        Verdict::Continue => {}
                        Verdict::Consume => return Passed::Consumed,
                        Verdict::Bounce(error) => return Passed::Bounced(error),
                        Verdict::Later(future) => {
                            let next = Position {
                                phase,
                                hook: hook + 1,
                            };
                            return Passed::Later(future, next);
                        }
                    }
                }
            }
            Passed::Go
        })
    }

    /// Lets a stanza wait for its verdict while its owner holds everything after it.
    pub(super) fn wait_for_verdict(
        self: &Arc<Self>,
        slot: &Arc<Slot<Router>>,
        envelope: Box<Envelope>,
        path: Path,
        waiting: Waiting,
        position: Position,
    ) -> After {
        let slot = slot.clone();
        let timeout = self.limits().iq_timeout;
        self.runtime.spawn(async move {
            let verdict = tokio::time::timeout(timeout, waiting)
                .await
                .unwrap_or_else(|_| Verdict::Bounce(Condition::RemoteServerTimeout.into()));
            slot.proceed(Work::Judged(Box::new(Judged {
                envelope,
                path,
                position,
                verdict,
            })));
        });
        After::Hold
    }
}

/// The table a stanza's hooks stand in.
pub(super) fn which(kind: Kind) -> Which {
    match kind {
        Kind::Message(_) => Which::Message,
        Kind::Presence(_) => Which::Presence,
        Kind::Iq(_) => Which::Iq,
    }
}
