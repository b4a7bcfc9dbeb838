//! Pages of an archive on their way to a session: handed over as there is room for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::hooks::{Envelope, Floor, Origin, Outgoing, Pushed, SessionId, SessionInfo, Turn};
use crate::proto::jid::Jid;
use crate::proto::stanza::Stanza;

/// How often a slow reader is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Hands a page to a session of an account, in order and at the pace of its reader; `false` if the
/// session ended meanwhile.
pub async fn hand_over(
    floor: &Arc<dyn Floor>,
    account: &Jid,
    session: SessionId,
    mut page: Vec<Outgoing>,
) -> bool {
    while !page.is_empty() {
        match push(floor, account, session, page).await {
            Some(left) => page = left,
            None => return false,
        }
        if !page.is_empty() {
            // A client that does not read keeps one page here, until the answer is overdue.
            tokio::time::sleep(LOOK).await;
        }
    }
    true
}

/// Sends a page to whoever asked for it: handed over to a session of this server, or else routed; `false` if the
/// session ended meanwhile.
pub async fn send(floor: &Arc<dyn Floor>, to: &Jid, page: Vec<Stanza>) -> bool {
    let (found, session) = oneshot::channel();
    let full = to.clone();
    let find = move |turn: &mut Turn<'_>| {
        let _ = found.send(turn.account.resource(&full).map(|session| session.id));
    };
    floor.in_turn(&to.bare(), Box::new(find));
    if let Ok(Some(session)) = session.await {
        let item = |stanza| Outgoing {
            stanza: Arc::new(stanza),
            to: None,
            entry: None,
        };
        let page = page.into_iter().map(item).collect();
        return hand_over(floor, &to.bare(), session, page).await;
    }
    for stanza in page {
        let stanza = Arc::new(stanza.with_to(to.clone()));
        floor.route(Box::new(Envelope::new(stanza, to.clone(), Origin::Service)));
    }
    true
}

/// Hands over what there is room for; what is left, or nothing if the session is over.
async fn push(
    floor: &Arc<dyn Floor>,
    account: &Jid,
    session: SessionId,
    page: Vec<Outgoing>,
) -> Option<Vec<Outgoing>> {
    let (done, left) = oneshot::channel();
    let push = move |turn: &mut Turn<'_>| {
        if let Some(session) = turn.account.session(session) {
            let _ = done.send(push_to(session, page));
        }
    };
    floor.in_turn(account, Box::new(push));
    left.await.ok().flatten()
}

fn push_to(session: &SessionInfo, page: Vec<Outgoing>) -> Option<Vec<Outgoing>> {
    if !session.outbox.has_room() {
        return Some(page);
    }
    let mut page = page.into_iter();
    while let Some(mut item) = page.next() {
        item.to = Some(session.jid.clone());
        match session.outbox.push(item.clone()) {
            Pushed::Queued => {}
            Pushed::Full => return Some(std::iter::once(item).chain(page).collect()),
            Pushed::Closed => return None,
        }
    }
    Some(Vec::new())
}
