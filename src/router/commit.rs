//! The commit: one batch per stanza, its effects after the fsync, in commit order.

use std::sync::Arc;

use super::Router;
use super::message::forget_resend;
use crate::hooks::{Effect, Entry, Envelope, Ledger, Turn, TurnFn};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::runtime::handover::Handover;
use crate::session::work::Work;
use crate::store::{CommitError, Mid};

/// What came back from the committer and was not yet followed up, in commit order.
///
/// It holds at most what the committer's bounded queue let through plus the windows of the
/// sessions, since nobody submits more before his completion was seen.
pub type Completions = Handover<Done>;

/// One of them.
pub struct Done {
    what: What,
    result: Result<Mid, CommitError>,
}

enum What {
    /// A stanza, and where it goes from here.
    Stanza(Box<Envelope>, Then),
    /// An internal act: its effects, and whose state it changed.
    Act(Vec<Effect>, Jid),
}

/// Follows up completions until dropped.
pub(super) async fn run(router: Arc<Router>) {
    loop {
        let done = router.completions.take().await;
        for (at, done) in done.into_iter().enumerate() {
            router.follow_up(done);
            if at % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Where a stanza goes after the commit.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// Nowhere: its effects were all.
    End,
    /// Back to its recipient's owner, to be delivered; with whether the recipient's log keeps it
    /// if it was recorded there.
    Deliver(Option<bool>),
    /// To another domain; with whether it is kept until it is there.
    Leave(bool),
}

/// Where a stanza stands after its last turn before the commit.
pub(super) enum Settled {
    /// Nothing to wait for: go on in this turn.
    Now(Box<Envelope>),
    /// It is with the committer.
    Submitted,
}

impl Router {
    /// Ends a stanza's way before the commit: hands its batch to the committer, or gives it back
    /// when there is nothing to write and nothing of the same sender is being written.
    pub(super) fn settle(self: &Arc<Self>, mut envelope: Box<Envelope>, then: Then) -> Settled {
        if let Some(mut sent) = envelope.sent.take() {
            envelope.ledger.batch.merge(std::mem::take(&mut sent.batch));
            envelope.ledger.effects.push(Effect::Mirror(sent));
        }
        let must_queue = envelope.receipt.as_ref().is_some_and(|r| r.must_queue());
        if envelope.ledger.batch.is_empty() && !must_queue && !envelope.ledger.in_order {
            return Settled::Now(envelope);
        }
        let mut batch = std::mem::take(&mut envelope.ledger.batch);
        if let Some(receipt) = &mut envelope.receipt {
            receipt.submit(&mut batch);
        }
        self.submit(batch, What::Stanza(envelope, then));
        Settled::Submitted
    }

    /// Ends a stanza whose way ends here: commits its ledger and runs its effects.
    pub(super) fn finish(self: &Arc<Self>, envelope: Box<Envelope>) {
        if let Settled::Now(envelope) = self.settle(envelope, Then::End) {
            self.run_effects(envelope.ledger.effects, None);
        }
    }

    /// Commits what an internal act of `account` left behind, and runs its effects.
    pub(super) fn finish_act(self: &Arc<Self>, ledger: Ledger, account: &Jid) {
        if ledger.batch.is_empty() {
            self.run_effects(ledger.effects, None);
        } else {
            let effects = ledger.effects.into_vec();
            self.submit(ledger.batch, What::Act(effects, account.clone()));
        }
    }

    /// Runs `f` in an account's turn, after all that was committed so far was followed up.
    pub(super) fn act_after_commits(self: &Arc<Self>, account: &Jid, f: TurnFn) {
        let effect = Effect::InTurn(account.clone(), f);
        let what = What::Act(vec![effect], account.clone());
        self.submit(crate::store::Batch::new(), what);
    }

    fn submit(self: &Arc<Self>, batch: crate::store::Batch, what: What) {
        let completions = self.completions.clone();
        let ends = matches!(&what, What::Act(effects, _) if effects.is_empty());
        self.store.hand_in(batch, move |result| {
            // What nothing follows from wakes nobody.
            if !ends || result.is_err() {
                completions.push(Done { what, result });
            }
        });
    }

    fn follow_up(self: &Arc<Self>, done: Done) {
        match (done.what, done.result) {
            (What::Stanza(mut envelope, then), Ok(mid)) => {
                if let Then::Leave(kept) = then {
                    return self.leave(envelope, Some(mid), kept);
                }
                let effects = std::mem::take(&mut envelope.ledger.effects);
                self.run_effects(effects, Some(mid));
                if let Then::Deliver(recorded) = then {
                    let entry = recorded.map(|keep| Entry { mid, keep });
                    let account = envelope.to.clone();
                    self.owners()
                        .post(&account, Work::Committed(envelope, entry));
                }
            }
            (What::Stanza(mut envelope, then), Err(error)) => {
                envelope.ledger.effects.clear();
                if let Then::Deliver(Some(_)) = then {
                    let stanza = envelope.stanza.clone();
                    let forget = move |turn: &mut Turn<'_>| forget_resend(turn.account, &stanza);
                    self.in_account(&envelope.to, Box::new(forget));
                }
                self.doubt(&envelope.to);
                self.doubt_service(&envelope);
                if let Some(from) = envelope.from() {
                    self.doubt(from);
                }
                self.bounce(&envelope, &commit_error(&error));
            }
            (What::Act(effects, _), Ok(mid)) => self.run_effects(effects, Some(mid)),
            (What::Act(_, account), Err(error)) => {
                tracing::warn!(%account, %error, "a change was not stored and is undone");
                self.doubt(&account);
            }
        }
    }

    /// Runs effects in their order; with the id of the batch they followed, if there was one.
    pub(super) fn run_effects(
        self: &Arc<Self>,
        effects: impl IntoIterator<Item = Effect>,
        mid: Option<Mid>,
    ) {
        for effect in effects {
            match effect {
                Effect::Send(envelope) => self.route_on(envelope),
                Effect::Copies(copies) => copies
                    .envelopes()
                    .for_each(|envelope| self.route_on(Box::new(envelope))),
                Effect::Mirror(sent) => self.mirror(*sent, mid),
                Effect::InTurn(account, f) => self.in_account(&account, f),
                Effect::Free(f) => f(),
                Effect::Event(event) => self.tell(&event),
            }
        }
    }

    /// Runs `f` in an account's turn.
    pub(super) fn in_account(&self, account: &Jid, f: TurnFn) {
        self.owners().post(account, Work::Turn(f));
    }
}

/// How a failed commit looks to the sender.
fn commit_error(error: &CommitError) -> StanzaError {
    match error {
        CommitError::Full | CommitError::ReadOnly | CommitError::Closed => {
            StanzaError::from(Condition::ResourceConstraint)
                .with_text("The server cannot store this now; try again later")
        }
        CommitError::TooLarge => Condition::NotAcceptable.into(),
        CommitError::Precondition | CommitError::Failed => {
            StanzaError::from(Condition::InternalServerError)
        }
    }
}
