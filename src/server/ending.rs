//! The end that was asked for: when it comes, and what comes after it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::live::Live;
use crate::admin::{End, Ending};
use crate::hooks::{Envelope, Floor};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::xml::Element;

/// Whoever asks has the answer before the end begins.
const LEAST: Duration = Duration::from_millis(500);

/// An end under way.
pub(super) struct Ends {
    pending: Mutex<Option<Pending>>,
    come: watch::Sender<Option<End>>,
}

struct Pending {
    end: End,
    at: Instant,
    timer: AbortHandle,
}

impl Default for Ends {
    fn default() -> Self {
        Ends {
            pending: Mutex::default(),
            come: watch::channel(None).0,
        }
    }
}

impl Ends {
    /// Waits until the end has come that somebody asked for.
    pub(super) async fn come(&self) -> End {
        let mut come = self.come.subscribe();
        loop {
            if let Some(end) = *come.borrow_and_update() {
                return end;
            }
            if come.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Which one, and in how long.
    pub(super) fn pending(&self, now: Instant) -> Option<(End, Duration)> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = pending.as_ref()?;
        Some((pending.end, pending.at.saturating_duration_since(now)))
    }

    fn begin(&self, ending: &Ending, now: Instant) {
        let delay = ending.delay.max(LEAST);
        let (come, end) = (self.come.clone(), ending.end);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            come.send_replace(Some(end));
        });
        self.replace(Some(Pending {
            end,
            at: now + delay,
            timer: timer.abort_handle(),
        }));
    }

    /// Takes back what was asked for, unless it has come.
    fn cancel(&self) -> Option<End> {
        let taken_back = self.replace(None);
        taken_back.filter(|_| self.come.borrow().is_none())
    }

    fn replace(&self, new: Option<Pending>) -> Option<End> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *pending, new)?;
        old.timer.abort();
        Some(old.end)
    }
}

impl Live {
    pub(super) fn begin_end(&self, ending: &Ending) {
        let (end, delay) = (ending.end, ending.delay);
        tracing::warn!(
            ?delay,
            "the server {} by order of an administrator",
            end.verb()
        );
        if let Some(text) = &ending.announcement {
            self.announce(text);
        }
        self.ends.begin(ending, self.clock.now());
    }

    pub(super) fn take_end_back(&self, announcement: Option<&str>) -> Option<End> {
        let taken_back = self.ends.cancel()?;
        tracing::warn!("the server goes on by order of an administrator");
        if let Some(text) = announcement {
            self.announce(text);
        }
        Some(taken_back)
    }

    /// Tells everybody who is online, each by the own host.
    fn announce(&self, text: &str) {
        let floor: &dyn Floor = &*self.router;
        for host in self.router.hosts().values() {
            for account in floor.online(host.domain.domain()) {
                let message = headline(&host.domain, &account, text);
                if let Some(envelope) = Envelope::from_server(message) {
                    floor.route(Box::new(envelope));
                }
            }
        }
    }
}

fn headline(host: &Jid, account: &Jid, text: &str) -> Stanza {
    Stanza::message(MessageType::Headline)
        .with_from(host.clone())
        .with_to(account.clone())
        .with_id(random::id())
        .with_child(Element::new("body", ns::CLIENT).with_text(text))
}
