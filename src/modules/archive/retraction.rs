//! Retractions bury what they retract, in the archive of each side (XEP-0424 §4, §5).

use crate::hooks::{Envelope, Turn};
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::proto::{datetime, ns};
use crate::state::log;
use crate::xml::Element;

/// After the commit of a message that is in the account's archive.
pub(super) fn see(envelope: &Envelope, turn: &mut Turn<'_>) {
    if envelope.entry.is_none_or(|entry| !entry.keep) {
        return;
    }
    if let Some((retracted, from, stone)) = retraction(&envelope.stanza, turn) {
        bury(turn, retracted, from, stone);
    }
}

/// The id that is retracted, by whom, and what is left of it.
fn retraction(stanza: &Stanza, turn: &Turn<'_>) -> Option<(String, Jid, Element)> {
    let Kind::Message(MessageType::Chat | MessageType::Normal) = stanza.kind else {
        return None;
    };
    let retract = stanza.child("retract", ns::RETRACT)?;
    let id = retract.attr("id").filter(|id| !id.is_empty())?;
    let stamp = datetime::format(turn.floor.clock().wall());
    let stone = Element::new("retracted", ns::RETRACT)
        .with_attr("id", stanza.id.as_deref()?)
        .with_attr("stamp", &stamp);
    Some((id.to_owned(), stanza.from.clone()?, stone))
}

/// Finds the message and puts the tombstone in its place, in a turn.
fn bury(turn: &Turn<'_>, id: String, from: Jid, stone: Element) {
    let (uid, account) = (turn.account.uid, turn.account.jid.clone());
    let (floor, store) = (turn.floor.clone(), turn.floor.store().clone());
    tokio::spawn(async move {
        let original = match log::find(&store, uid, &id, &from).await {
            Ok(Some(original)) => original,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%account, %error, "an archive cannot be read; run `waxwing check`");
                return;
            }
        };
        let bury = move |turn: &mut Turn<'_>| {
            if let Err(error) = log::bury(turn.batch(), uid, original, stone) {
                tracing::error!(account = %turn.account.jid, %error, "a retracted message stays; run `waxwing check`");
            }
        };
        floor.in_turn(&account, Box::new(bury));
    });
}
