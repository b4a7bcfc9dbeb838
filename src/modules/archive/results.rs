//! The page of a query on its way to the client: read off the network, handed over as there is room, then the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::Archive;
use super::query;
use crate::hooks::{Floor, Inlined, Outgoing, Reply, Request, SessionId, Turn};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::mam::{self, Edges, Shape};
use crate::state::log::{self, Found, Page, QueryError};
use crate::state::pages;
use crate::state::readable;
use crate::store::StoreError;
use crate::xml::Element;

/// Queries of one session that may wait for the one that is answered.
const IN_LINE: usize = 16;

/// One query of a session after the other; kept with the session.
struct Line {
    turn: Arc<Semaphore>,
    length: Arc<AtomicUsize>,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            turn: Arc::new(Semaphore::new(1)),
            length: Arc::default(),
        }
    }
}

/// A place in the line, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who gets the results.
struct Reader {
    floor: Arc<dyn Floor>,
    account: Jid,
    session: SessionId,
}

/// §4: a query.
pub(super) fn begin(
    archive: &Arc<Archive>,
    request: &Request<'_>,
    turn: &mut Turn<'_>,
) -> Result<Reply, StanzaError> {
    let asked = query::offer(&archive.config, turn).read(request.payload)?;
    if turn.account.guest {
        return Err(Condition::NotAllowed.into());
    }
    let line = request
        .session
        .and_then(|id| turn.account.session_mut(id))
        .and_then(|session| session.slots.of::<Line>());
    let (Some(session), Some(line)) = (request.session, line) else {
        return Err(Condition::NotAllowed.into());
    };
    let place = Place(line.length.clone());
    if line.length.fetch_add(1, Ordering::Relaxed) >= IN_LINE {
        return Err(
            StanzaError::from(Condition::ResourceConstraint).with_text("Too many queries at once")
        );
    }
    let (order, uid) = (line.turn.clone(), turn.account.uid);
    let reader = Reader {
        floor: turn.floor.clone(),
        account: turn.account.jid.clone(),
        session,
    };
    let store = archive.deps.store.clone();
    let shape = asked.shape.clone();
    // Where each account has its own copies they are not shown twice.
    let rooms = asked.groupchat == Some(true) && !archive.config.groupchat;
    let query = query::of_log(asked, &archive.config);
    let account = reader.account.clone();
    Ok(Reply::Later(Box::pin(async move {
        let _place = place;
        let Ok(_order) = order.acquire().await else {
            return Reply::done();
        };
        let page = store
            .reading(move |snapshot| {
                let page = match rooms {
                    true => readable::page(&query, snapshot, uid, &account),
                    false => query.page(snapshot, uid),
                };
                match page {
                    Err(QueryError::Store(error)) => Err(error),
                    page => Ok(page),
                }
            })
            .await;
        match page {
            Ok(Ok(page)) => reader.hand_over(page, &shape).await,
            Ok(Err(_)) => Reply::Error(Condition::ItemNotFound.into()),
            Err(error) => unreadable(&reader.account, &error),
        }
    })))
}

fn unreadable(account: &Jid, error: &crate::store::StoreError) -> Reply {
    tracing::error!(%account, %error, "an archive cannot be read; run `waxwing check`");
    Reply::Error(Condition::InternalServerError.into())
}

impl Reader {
    /// Sends the messages of a page, and says which page it was.
    async fn hand_over(self, page: Page, shape: &Shape) -> Reply {
        let id = |found: &Found| found.mid;
        let answer = shape.fin(Edges {
            first: page.messages.first().map(id),
            last: page.messages.last().map(id),
            reached: page.reached,
            complete: page.complete,
        });
        let messages = page.messages.into_iter();
        let mut results: Vec<Outgoing> = messages.map(|found| self.result(found, shape)).collect();
        if shape.flipped {
            results.reverse();
        }
        match pages::hand_over(&self.floor, &self.account, self.session, results).await {
            true => Reply::Result(Some(answer)),
            false => Reply::Error(Condition::RecipientUnavailable.into()),
        }
    }

    fn result(&self, found: Found, shape: &Shape) -> Outgoing {
        let stanza = shape.result(found.mid, found.at, &found.xml);
        Outgoing {
            stanza: Arc::new(stanza.with_from(self.account.clone())),
            to: None,
            entry: found.waits,
        }
    }
}

/// §5: where the archive begins and ends.
pub(super) fn metadata(_: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
    if turn.account.guest {
        return Reply::Error(Condition::NotAllowed.into());
    }
    let account = turn.account.jid.clone();
    let ends = ends(turn);
    Reply::Later(Box::pin(async move {
        match ends.await {
            Ok(metadata) => metadata.into(),
            Err(error) => unreadable(&account, &error),
        }
    }))
}

/// The same for a client that has just been bound (XEP-0386 §3.3).
pub(super) fn ends_for_bound(turn: &Turn<'_>) -> Option<Inlined> {
    let ends = ends(turn);
    // What cannot be read now is asked for, and then it is reported.
    let ends = async move { ends.await.ok().into_iter().collect() };
    (!turn.account.guest).then(|| -> Inlined { Box::pin(ends) })
}

fn ends(turn: &Turn<'_>) -> impl Future<Output = Result<Element, StoreError>> + Send + use<> {
    let uid = turn.account.uid;
    let store = turn.floor.store().clone();
    async move {
        let ends = store.reading(move |snapshot| log::ends(snapshot, uid));
        Ok(mam::metadata(ends.await?))
    }
}
