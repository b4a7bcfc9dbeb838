//! The floor: what hooks may ask of the router.

use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::hooks::deps::Asked;
use crate::hooks::{Account, AskError, Envelope, Floor, Ledger, Link, Question, Turn, TurnFn};
use crate::proto::error::StreamError;
use crate::proto::jid::Jid;
use crate::proto::stanza::{IqType, Stanza};
use crate::runtime::clock::Clock;
use crate::runtime::random;
use crate::store::Store;

impl Floor for Router {
    fn route(&self, envelope: Box<Envelope>) {
        if let Some(router) = self.me.upgrade() {
            router.route_on(envelope);
        }
    }

    fn in_turn(&self, account: &Jid, f: TurnFn) {
        self.in_account(account, f);
    }

    fn end_sessions(&self, account: &Jid, error: StreamError) {
        if let Some(router) = self.me.upgrade() {
            Router::end_sessions(&router, account, error);
        }
    }

    fn end_session(&self, full: &Jid, error: StreamError) {
        if let Some(router) = self.me.upgrade() {
            router.cease_at(full, error);
        }
    }

    fn reread(&self, account: &Jid) {
        Router::reread(self, account);
    }

    fn ask(&self, from: Jid, to: Jid, question: Question, timeout: Duration) -> Asked {
        let id = random::id();
        let (kind, payload) = match question {
            Question::Get(payload) => (IqType::Get, payload),
            Question::Set(payload) => (IqType::Set, payload),
        };
        let stanza = Stanza::iq(kind)
            .with_from(from)
            .with_to(to.clone())
            .with_id(id.as_str())
            .with_child(payload);
        let opened = self.questions.open(&id, to, self.clock.now() + timeout);
        if opened.is_ok()
            && let Some(envelope) = Envelope::from_server(stanza)
        {
            self.route(Box::new(envelope));
        }
        Box::pin(async move {
            match tokio::time::timeout(timeout, opened?).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(AskError::TimedOut),
            }
        })
    }

    fn online(&self, host: &str) -> Vec<Jid> {
        let online = Router::online(self, host).into_iter();
        online.map(|(account, _)| account).collect()
    }

    fn links(&self, host: &Jid) -> Vec<Link> {
        let links = self.elsewhere().map(|elsewhere| elsewhere.links());
        let mut links = links.unwrap_or_default();
        links.retain(|link| link.local == *host);
        links
    }

    fn is_awake(&self, account: &Jid) -> bool {
        self.owners().awake(account).is_some()
    }

    fn is_local(&self, domain: &str) -> bool {
        self.host(domain).is_some()
            || self.service_entries.load().contains_key(domain)
            || self.neighbours.load().contains_key(domain)
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn store(&self) -> &Store {
        &self.store
    }
}

impl Router {
    /// Runs `f` in the account's turn and commits what it leaves.
    pub(super) fn act(self: &Arc<Self>, account: &mut Account, f: TurnFn) {
        let mut ledger = Ledger::default();
        self.turn(account, &mut ledger, f);
        if !ledger.is_empty() {
            self.finish_act(ledger, &account.jid);
        }
    }

    /// Runs `f` with a turn over a ledger.
    pub(super) fn turn<R>(
        self: &Arc<Self>,
        account: &mut Account,
        ledger: &mut Ledger,
        f: impl FnOnce(&mut Turn<'_>) -> R,
    ) -> R {
        let floor: Arc<dyn Floor> = self.clone();
        f(&mut Turn {
            account,
            ledger,
            floor: &floor,
        })
    }
}
