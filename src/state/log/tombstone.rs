//! Retracted messages leave a tombstone (XEP-0424 0.4.2 §4).

use std::sync::Arc;
use std::time::Instant;

use memchr::memmem;
use tokio::sync::Semaphore;

use super::{Raw, account, encode, key, measure, origin_id};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::store::{Batch, Direction, Mid, Range, Snapshot, Space, Store, StoreError};
use crate::xml::{Element, write};

/// A message that is to be buried.
#[derive(Debug)]
pub struct Original {
    mid: Mid,
    value: Vec<u8>,
}

impl Original {
    #[cfg(test)]
    pub(super) fn mid(&self) -> Mid {
        self.mid
    }

    /// The message as it was.
    ///
    /// # Errors
    /// An entry that cannot be read.
    pub fn stanza(&self, uid: Uid) -> Result<Stanza, StoreError> {
        Raw::read(&key(uid, self.mid), &self.value)?.stanza()
    }
}

/// Messages, from the newest on, that are looked at whoever asks; the rest is looked through by one at a time.
const NEAR: usize = 1024;

/// Their bytes, about.
const NEAR_BYTES: usize = 4 << 20;

/// Messages read at once.
const PAGE: usize = 64;

/// Who waits, at most, for looking through what is not near.
const WAITING: usize = 64;

/// Of the time of one thread, those who look far take one part in so many.
const SHARE: u32 = 10;

static WAIT: Semaphore = Semaphore::const_new(WAITING);
static TURN: Semaphore = Semaphore::const_new(1);

/// Finds the newest message of an account's archive to which its sender, by bare address, gave an id, if it is among
/// the newest of all; else where to look on.
///
/// # Errors
/// The store's.
pub async fn find_near(
    store: &Store,
    uid: Uid,
    id: &str,
    from: &Jid,
) -> Result<Result<Original, Far>, StoreError> {
    let mut escaped = Vec::new();
    write::attr_value(id, &mut escaped);
    let sought = Sought {
        uid,
        id: id.to_owned(),
        escaped,
        from: from.bare_str().to_owned(),
    };
    let far = Far {
        sought: sought.into(),
        before: None,
    };
    far.step(store).await
}

/// The same, however old the message is: what is not near takes its time, because anybody may ask for what there never was.
/// `None` as well if too many look already.
///
/// # Errors
/// The store's.
pub async fn find(
    store: &Store,
    uid: Uid,
    id: &str,
    from: &Jid,
) -> Result<Option<Original>, StoreError> {
    match find_near(store, uid, id, from).await? {
        Ok(original) => Ok(Some(original)),
        Err(far) => far.find(store).await,
    }
}

/// A search for what is not near.
#[derive(Debug)]
pub struct Far {
    sought: Arc<Sought>,
    /// Where it goes on; with nothing, at the end of the log.
    before: Option<Mid>,
}

#[derive(Debug)]
struct Sought {
    uid: Uid,
    id: String,
    /// As it lies in the log.
    escaped: Vec<u8>,
    /// Bare address.
    from: String,
}

impl Far {
    /// Looks at everything that is left.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(mut self, store: &Store) -> Result<Option<Original>, StoreError> {
        if self.before == Some(Mid::MIN) {
            return Ok(None);
        }
        let Ok(_waits) = WAIT.try_acquire() else {
            // At a level that whoever retracts what never was cannot fill the log with.
            tracing::debug!("a retracted message is not looked for: too many are");
            return Ok(None);
        };
        let Ok(_turn) = TURN.acquire().await else {
            return Ok(None);
        };
        while self.before != Some(Mid::MIN) {
            let began = Instant::now();
            match self.step(store).await? {
                Ok(original) => return Ok(Some(original)),
                Err(far) => self = far,
            }
            tokio::time::sleep(began.elapsed() * (SHARE - 1)).await;
        }
        Ok(None)
    }

    /// Looks at the next so many.
    async fn step(self, store: &Store) -> Result<Result<Original, Far>, StoreError> {
        let Far { sought, before } = self;
        let here = sought.clone();
        let looked = store
            .reading(move |snapshot| here.look(snapshot, before))
            .await?;
        Ok(looked.map_err(|before| Far {
            sought,
            before: Some(before),
        }))
    }
}

impl Sought {
    fn look(
        &self,
        snapshot: &dyn Snapshot,
        before: Option<Mid>,
    ) -> Result<Result<Original, Mid>, StoreError> {
        let mut range = Range::mids(&account(self.uid), None, before);
        let (mut entries, mut bytes) = (0, 0);
        loop {
            let rows = snapshot.scan(Space::LOG, &range, Direction::Backward, PAGE)?;
            let through = rows.len() < PAGE;
            let mut reached = Mid::MIN;
            for (key, value) in rows {
                let raw = Raw::read(&key, &value)?;
                (reached, bytes) = (raw.mid, bytes + value.len());
                if self.is(&raw)? {
                    let mid = raw.mid;
                    return Ok(Ok(Original { mid, value }));
                }
            }
            entries += PAGE;
            if through {
                return Ok(Err(Mid::MIN));
            }
            if entries >= NEAR || bytes >= NEAR_BYTES {
                return Ok(Err(reached));
            }
            range = range.before(key(self.uid, reached));
        }
    }

    fn is(&self, raw: &Raw<'_>) -> Result<bool, StoreError> {
        if !raw.kept() || memmem::find(raw.xml, &self.escaped).is_none() {
            return Ok(false);
        }
        let stanza = raw.stanza()?;
        let from = stanza
            .from
            .as_ref()
            .is_some_and(|from| from.bare_str() == self.from);
        let named = stanza.id.as_deref() == Some(&self.id) || origin_id(&stanza) == Some(&self.id);
        Ok(from && named)
    }
}

/// Puts a tombstone, which says `retracted`, in the place of a message, if that is as it was found.
///
/// # Errors
/// An entry that cannot be read.
pub fn bury(
    batch: &mut Batch,
    uid: Uid,
    original: Original,
    retracted: Element,
) -> Result<(), StoreError> {
    let place = key(uid, original.mid);
    let raw = Raw::read(&place, &original.value)?;
    let stone = tombstone(raw.stanza()?, retracted);
    let value = encode(&stone, raw.at, raw.flags);
    batch.require_equals(Space::LOG, &place, original.value);
    batch.put(Space::LOG, &place, value);
    measure::changed(batch, uid);
    Ok(())
}

/// The header stays, and the origin-id, by which the message is found.
fn tombstone(mut stanza: Stanza, retracted: Element) -> Stanza {
    stanza.retain_children(|child| child.is("origin-id", ns::STANZA_ID));
    stanza.push(retracted);
    stanza
}
