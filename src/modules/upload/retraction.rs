//! Files that go with the messages that shared them (`retracted`).

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Shared;
use super::url::Base;
use crate::hooks::{Effect, Envelope, Path, Phase, Registrar, Turn, Uid, Verdict};
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::state::files::Id;
use crate::state::log::{self, Original};
use crate::store::{Batch, StoreError};
use crate::xml::El;

/// Files of one message that are looked at.
const MOST: usize = 16;
/// How deep in a message an address may stand (XEP-0447 §3.1 needs four).
const DEPTH: usize = 6;

pub(super) fn offer(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    let this = shared.clone();
    r.message(Path::FromClient, Phase::Record, move |envelope, turn| {
        this.see(envelope, turn)
    });
}

impl Shared {
    /// Looks at what is retracted before a tombstone takes its place; removes its files once the retraction is stored.
    fn see(self: &Arc<Self>, envelope: &Envelope, turn: &mut Turn<'_>) -> Verdict {
        let (Some(id), Some(base)) = (retracted(&envelope.stanza), self.base.clone()) else {
            return Verdict::Continue;
        };
        let Some(from) = envelope.stanza.from.clone() else {
            return Verdict::Continue;
        };
        let (id, uid) = (id.to_owned(), turn.account.uid);
        let (tell, told) = oneshot::channel();
        let this = self.clone();
        let removed = move || {
            this.runtime.clone().spawn(async move {
                if let Ok(files) = told.await {
                    this.remove_all(uid, files).await;
                }
            });
        };
        turn.ledger.effects.push(Effect::Free(Box::new(removed)));
        let (store, runtime) = (turn.floor.store().clone(), self.runtime.clone());
        Verdict::Later(Box::pin(async move {
            // It may have been sent just before.
            let _ = store.commit(Batch::new()).await;
            let tell = move |original: Result<Option<Original>, StoreError>| {
                let stanza = original
                    .and_then(|original| original.map(|original| original.stanza(uid)).transpose());
                match stanza {
                    Ok(Some(original)) => drop(tell.send(files_in(&original, &base))),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(%error, "an archive cannot be read; run `waxwing check`")
                    }
                }
            };
            match log::find_near(&store, uid, &id, &from).await {
                Ok(Ok(original)) => tell(Ok(Some(original))),
                // What is old is looked for while the message goes on.
                Ok(Err(far)) => {
                    runtime.spawn(async move { tell(far.find(&store).await) });
                }
                Err(error) => tell(Err(error)),
            }
            Verdict::Continue
        }))
    }

    /// Removes those of these files that the account owns.
    async fn remove_all(&self, uid: Uid, files: Vec<Id>) {
        for id in files {
            let found = self.desk.find(id).await;
            let own = |file: &crate::state::files::File| {
                file.owner() == uid && file.host == self.host.domain()
            };
            if !found.is_ok_and(|file| file.as_ref().is_some_and(own)) {
                continue;
            }
            match self.desk.remove(id).await {
                Ok(Some(_)) => self.figures.removed.count(),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(file = %id, %error, "a file is still there though its message was retracted");
                }
            }
        }
    }
}

/// The id that a message to somebody retracts (XEP-0424 §4).
fn retracted(stanza: &Stanza) -> Option<&str> {
    let Kind::Message(MessageType::Chat | MessageType::Normal) = stanza.kind else {
        return None;
    };
    let retract = stanza.child("retract", ns::RETRACT)?;
    retract.attr("id").filter(|id| !id.is_empty())
}

/// The files of this host whose addresses a message is made of: its text, or what is attached to it (XEP-0066, XEP-0447).
fn files_in(stanza: &Stanza, base: &Base) -> Vec<Id> {
    let mut found = Vec::new();
    for child in stanza.children() {
        look(child, base, DEPTH, &mut found);
    }
    found.dedup();
    found
}

fn look(el: El<'_>, base: &Base, depth: usize, found: &mut Vec<Id>) {
    let shown = el.text();
    let places = el.attr("target").into_iter().chain([&*shown]);
    let tokens = places.filter_map(|text| base.token_of(text.trim()));
    let room = MOST.saturating_sub(found.len());
    found.extend(tokens.map(Id::of_token).take(room));
    if let Some(deeper) = depth.checked_sub(1) {
        el.children()
            .for_each(|child| look(child, base, deeper, found));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_found_where_clients_put_them() {
        let base = Base::new("https://example.org");
        let (one, other) = ("abcdefghijklmnopqrstuvwx22", "abcdefghijklmnopqrstuvwx23");
        let text = format!(
            "<message xmlns='jabber:client'><body>https://example.org/upload/{one}/a.jpg</body>\
             <x xmlns='jabber:x:oob'><url>https://example.org/upload/{one}/a.jpg</url></x>\
             <file-sharing xmlns='urn:xmpp:sfs:0'><sources><url-data xmlns='http://jabber.org/protocol/url-data' \
             target='https://example.org/upload/{other}'/></sources></file-sharing>\
             <body>see https://example.org/upload/{other}/b.jpg</body>\
             <body>https://example.com/upload/{other}/b.jpg</body></message>"
        );
        let stanza = Stanza::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(files_in(&stanza, &base), [one, other].map(Id::of_token));
    }
}
