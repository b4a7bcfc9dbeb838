//! Messages of strangers that wait until their sender is known.

use std::time::Duration;

use super::known::{HELD, Known};
use crate::hooks::{Effect, Envelope, Origin, Turn};
use crate::proto::delay::Delay;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, CommitError, Direction, Fields, Key, Range, Space, Store, StoreError};

/// Largest message that waits, in bytes.
const LARGEST: usize = 16 * 1024;
/// Rows looked at together.
const PAGE: usize = 500;

#[derive(Clone)]
pub(super) struct Held {
    space: Space,
    most: u32,
    longest: Duration,
    host: Jid,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HeldError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Held {
    pub(super) fn new(space: Space, most: u32, longest: Duration, host: Jid) -> Self {
        Held {
            space,
            most,
            longest,
            host,
        }
    }

    /// Keeps a message with the envelope's batch; `false` when there is no room.
    pub(super) fn keep(&self, envelope: &mut Envelope, turn: &mut Turn<'_>, now: u64) -> bool {
        let uid = turn.account.uid;
        let Some(known) = turn.account.parts.of::<Known>() else {
            return false;
        };
        if known.held >= self.most || envelope.stanza.size_hint() > LARGEST {
            return false;
        }
        known.held += 1;
        if let Some(from) = envelope.from() {
            known.released.remove(from.bare_str());
        }
        known.all_released = false;
        let mut value = now.to_be_bytes().to_vec();
        envelope.stanza.write(Some(ns::CLIENT), &mut value);
        let prefix = Key::new().u64(uid.0).u8(HELD);
        turn.batch().append(self.space, &prefix, value);
        true
    }

    /// Sends on what waits from somebody, or from everybody, as what it is: late.
    pub(super) fn release(&self, turn: &mut Turn<'_>, from: Option<&Jid>) {
        let Some(known) = turn.account.parts.find_mut::<Known>() else {
            return;
        };
        let from = from.map(Jid::bare);
        let begun = match &from {
            Some(from) => known.all_released || !known.released.insert(from.clone()),
            None => std::mem::replace(&mut known.all_released, true),
        };
        if known.held == 0 || begun {
            return;
        }
        // Those are on their way already.
        let released = known.released.clone();
        let (account, floor) = (turn.account.jid.clone(), turn.floor.clone());
        let range = Range::prefix(Key::new().u64(turn.account.uid.0).u8(HELD));
        let (space, limit) = (self.space, self.most as usize);
        let host = self.host.clone();
        floor.clone().store().read(
            move |view| view.scan(space, &range, Direction::Forward, limit),
            move |rows| {
                for (key, value) in rows.into_iter().flatten() {
                    let Some(stanza) = read(&value, &host) else {
                        continue;
                    };
                    let sender = stanza.from.as_ref().map(Jid::bare);
                    let meant = match &from {
                        Some(_) => sender == from,
                        None => sender.is_none_or(|sender| !released.contains(&sender)),
                    };
                    if !meant {
                        continue;
                    }
                    let to = stanza.to.clone().unwrap_or_else(|| account.clone());
                    let mut envelope = Envelope::new(stanza.into(), to, Origin::Server);
                    envelope.ledger.batch.delete(space, &key);
                    envelope.ledger.effects.push(Effect::InTurn(
                        account.clone(),
                        Box::new(|turn| {
                            if let Some(known) = turn.account.parts.find_mut::<Known>() {
                                known.held = known.held.saturating_sub(1);
                            }
                        }),
                    ));
                    floor.route(Box::new(envelope));
                }
            },
        );
    }

    /// Removes what waited too long, of all accounts.
    pub(super) async fn expire(&self, store: &Store, now: u64) -> Result<(), HeldError> {
        let age = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(age);
        let (space, mut range) = (self.space, Range::all());
        loop {
            let page = range.clone();
            let rows = store
                .reading(move |view| view.scan(space, &page, Direction::Forward, PAGE))
                .await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            range = Range::all().after(last.as_slice());
            let mut batch = Batch::new().relaxed();
            for (key, value) in &rows {
                let held = key.get(8) == Some(&HELD);
                if held && Fields::of(value).u64().is_some_and(|at| at < oldest) {
                    batch.delete(space, key);
                }
            }
            if !batch.is_empty() {
                store.commit(batch).await?;
            }
        }
    }
}

fn read(value: &[u8], host: &Jid) -> Option<Stanza> {
    let (at, xml) = value.split_first_chunk::<8>()?;
    let mut stanza = Stanza::from_bytes(xml).ok()?;
    let delay = Delay {
        stamp: u64::from_be_bytes(*at),
        from: Some(host.clone()),
    };
    stanza.push(delay.to_element());
    Some(stanza)
}
