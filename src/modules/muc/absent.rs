//! Members who are not in a room learn what is said there, if a device of theirs waits to be woken: the room's
//! archive has it, nothing is kept for each of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Service;
use super::room::Member;
use crate::hooks::{Effect, Facts, Floor, Missed, Turn};
use crate::proto::stanza::Stanza;
use crate::state::push;

/// Something that was said, and who was not there.
pub struct News {
    /// The message.
    pub stanza: Arc<Stanza>,
    /// Who was not there.
    pub members: Vec<Member>,
    /// Whether everybody may find and enter the room.
    pub open: bool,
}

/// What one room has to tell to those who are not there. One message at a time is passed on; of those that
/// come meanwhile the last.
#[derive(Default)]
pub struct Desk(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    busy: bool,
    next: Option<News>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes news; whether somebody has to be sent.
    fn put(&self, news: News) -> bool {
        let mut waiting = self.lock();
        waiting.next = Some(news);
        !std::mem::replace(&mut waiting.busy, true)
    }

    /// The next news; whoever was sent is done if there are none.
    fn take(&self) -> Option<News> {
        let mut waiting = self.lock();
        let news = waiting.next.take();
        waiting.busy = news.is_some();
        news
    }
}

/// Passes news on after the commit of what was said.
pub fn pass_on(service: &Arc<Service>, desk: &Arc<Desk>, news: News) -> Effect {
    let (service, desk) = (service.clone(), desk.clone());
    Effect::Free(Box::new(move || {
        if desk.put(news) {
            tokio::spawn(async move {
                while let Some(news) = desk.take() {
                    tell(&service, news).await;
                }
            });
        }
    }))
}

async fn tell(service: &Service, news: News) {
    let News {
        stanza,
        members,
        open,
    } = news;
    let registered = service.store.reading(move |view| {
        let mut found = Vec::new();
        for member in members {
            if push::has_devices(view, &member.jid)? {
                found.push(member);
            }
        }
        Ok(found)
    });
    let registered = match registered.await {
        Ok(registered) => registered,
        Err(error) => {
            tracing::error!(service = %service.domain, %error, "what devices registered cannot be read; run `waxwing check`");
            return;
        }
    };
    let facts = Facts::of(&stanza);
    for member in registered {
        let missed = Missed {
            stanza: stanza.clone(),
            only: None,
            facts,
            nick: member.nick,
            open,
        };
        let floor: &Arc<dyn Floor> = &service.floor;
        floor.in_turn(&member.jid, Box::new(move |turn| told(&missed, turn)));
    }
}

fn told(missed: &Missed, turn: &mut Turn<'_>) {
    let tables = turn.account.tables.clone();
    for hook in tables.missed() {
        hook(missed, turn);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::stanza::MessageType;

    #[test]
    fn one_is_sent_at_a_time_and_the_last_news_is_what_he_brings() {
        let desk = Desk::default();
        let news = |id: &str| News {
            stanza: Arc::new(Stanza::message(MessageType::Groupchat).with_id(id)),
            members: Vec::new(),
            open: true,
        };
        assert!(desk.put(news("1")));
        assert!(!desk.put(news("2")) && !desk.put(news("3")));
        let id = |news: News| news.stanza.id.clone();
        assert_eq!(desk.take().and_then(id).as_deref(), Some("3"));
        assert!(!desk.put(news("4")));
        assert_eq!(desk.take().and_then(id).as_deref(), Some("4"));
        assert!(desk.take().is_none());
        assert!(desk.put(news("5")));
    }
}
