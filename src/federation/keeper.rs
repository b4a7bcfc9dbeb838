//! Gives the pairs their turns, and does what they want done.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::pair::{self, Act, Input, Item, Mark, Pair, Times};
use super::shelf::Shelf;
use super::trouble::Trouble;
use crate::proto::stanza::Stanza;
use crate::session::owners::{After, Keeper, OwnerKey, Owners, Refusal, Rest, Slot};
use crate::state::outbox::{self, Kept};
use crate::store::{Batch, Mid, StoreError};

/// Stanzas that are not kept and wait for a pair's turn: a room says at once to who enters who is there.
const PASSING: usize = 20_000;
/// Idle pairs are looked for this often.
const SWEEP: Duration = Duration::from_secs(15);

/// Names a pair.
#[derive(Clone)]
pub(crate) struct Key {
    pair: Arc<outbox::Pair>,
    text: Arc<str>,
}

impl Key {
    pub fn new(pair: outbox::Pair) -> Key {
        Key {
            text: format!("{}\0{}", pair.local, pair.remote).into(),
            pair: Arc::new(pair),
        }
    }

    pub fn pair(&self) -> &outbox::Pair {
        &self.pair
    }
}

impl OwnerKey for Key {
    fn as_key(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.pair, f)
    }
}

/// What pairs stand on.
pub(crate) trait Ground: Send + Sync + 'static {
    /// What is kept for them.
    fn shelf(&self) -> &Shelf;
    /// The times of one.
    fn times(&self, pair: &outbox::Pair) -> Times;
    /// Whether there was a stream once.
    fn knows(&self, pair: &outbox::Pair) -> bool;
    /// Looks for the other side; how it turns out is posted to the pair.
    fn call(self: Arc<Self>, key: Key);
    /// The way to the other side is lost for long, or found again; only of pairs whose times say when that is.
    fn lost(self: Arc<Self>, pair: outbox::Pair, lost: bool);
    /// It was in vain.
    fn note_failure(&self, pair: &outbox::Pair, trouble: &Trouble);
}

/// Has time pass for the pairs, and does something `also` every time, until dropped. Idle pairs are forgotten.
pub(crate) async fn beat<G: Ground>(
    pairs: &OnceLock<Owners<Pairs<G>>>,
    period: Duration,
    mut also: impl FnMut(),
) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    loop {
        ticks.tick().await;
        if let Some(pairs) = pairs.get() {
            for slot in pairs.keys().iter().filter_map(|key| pairs.awake(key)) {
                slot.post(Input::Tick);
            }
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                pairs.sweep();
            }
        }
        also();
    }
}

/// Keeps the pairs.
pub(crate) struct Pairs<G>(pub Arc<G>);

impl<G: Ground> Keeper for Pairs<G> {
    type Key = Key;
    type State = Pair;
    type Work = Input;
    type Loaded = Pair;

    fn load(&self, slot: &Arc<Slot<Self>>) {
        let pair = slot.key().pair();
        let kept = self.0.shelf().kept(pair);
        let known = self.0.knows(pair);
        let pair = Pair::new(self.0.times(pair), kept.entries, kept.last);
        slot.loaded(Ok(pair.known(known)));
    }

    fn install(&self, state: &mut Option<Pair>, loaded: Pair) {
        *state = Some(loaded);
    }

    fn handle(&self, slot: &Arc<Slot<Self>>, pair: &mut Pair, input: Input) -> After {
        let mut acts = Vec::new();
        match &input {
            Input::Stanza(Item {
                mark: Some(mark), ..
            }) => self.0.shelf().count(slot.key().pair(), mark),
            Input::Failed(trouble) => self.0.note_failure(slot.key().pair(), trouble),
            _ => {}
        }
        pair.step(input, self.0.shelf().clock().now(), &mut acts);
        for act in acts {
            self.act(slot, act);
        }
        After::Continue
    }

    fn refuse(&self, key: &Key, work: Input, _: Refusal) {
        if let Input::Stanza(item) = work {
            self.0.shelf().refuse(key.pair(), &item, &Trouble::Full);
        }
    }

    fn rest(&self, pair: &Pair) -> Rest<Input> {
        match pair.is_idle() {
            true => Rest::Leave,
            false => Rest::Stay,
        }
    }

    /// What is kept is bounded before it is.
    fn bound(&self, work: &Input) -> Option<usize> {
        matches!(work, Input::Stanza(item) if item.mark.is_none()).then_some(PASSING)
    }
}

impl<G: Ground> Pairs<G> {
    fn act(&self, slot: &Arc<Slot<Self>>, act: Act) {
        let key = slot.key().clone();
        match act {
            Act::Call => self.0.clone().call(key),
            Act::Read(number, after, until) => {
                let (ground, slot) = (self.0.clone(), slot.clone());
                tokio::spawn(async move {
                    let page = (after, until);
                    let read = ground.shelf().read(key.pair(), page, pair::PAGE).await;
                    slot.post(match read {
                        Ok(rows) => Input::Page(number, rows),
                        Err(error) => unreadable(&key, &error),
                    });
                });
            }
            Act::Lost => self.0.clone().lost(key.pair().clone(), true),
            Act::Found => self.0.clone().lost(key.pair().clone(), false),
            Act::Forget(marks) => self.0.shelf().forget(key.pair(), &marks),
            Act::Refuse(item, trouble) => self.0.shelf().refuse(key.pair(), &item, &trouble),
            Act::Return(older, until, trouble) => {
                let (ground, slot) = (self.0.clone(), slot.clone());
                let before = older.map(|older| {
                    let older = u64::try_from(older.as_millis()).unwrap_or(u64::MAX);
                    ground.shelf().clock().wall().saturating_sub(older)
                });
                tokio::spawn(async move {
                    let marks = give_back(ground.shelf(), &key, (before, until), &trouble).await;
                    slot.post(Input::Returned(marks));
                });
            }
        }
    }
}

fn unreadable(key: &Key, error: &StoreError) -> Input {
    tracing::error!(pair = %key, %error, "what is kept for another side cannot be read; run `waxwing check`");
    Input::Unreadable
}

/// Gives everything that came before a time (Unix milliseconds; without: everything), up to the last that is known, back to
/// its senders.
async fn give_back(
    shelf: &Shelf,
    key: &Key,
    (before, until): (Option<u64>, Option<Mid>),
    trouble: &Trouble,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut after: Option<Mid> = None;
    loop {
        let rows = match shelf.read(key.pair(), (after, until), pair::PAGE).await {
            Ok(rows) => rows,
            Err(error) => {
                unreadable(key, &error);
                return marks;
            }
        };
        let whole = rows.len() < pair::PAGE;
        for row in rows {
            if before.is_some_and(|before| row.at >= before) {
                return marks;
            }
            after = Some(row.mid);
            marks.push(returned(shelf, key, row, trouble));
        }
        if whole {
            return marks;
        }
    }
}

fn returned(shelf: &Shelf, key: &Key, row: Kept, trouble: &Trouble) -> Mark {
    let stanza: Stanza = row.stanza;
    let mark = Mark {
        mid: row.mid,
        bytes: row.bytes,
    };
    let item = Item {
        stanza: Arc::new(stanza),
        to: None,
        mark: Some(mark),
    };
    shelf.refuse(key.pair(), &item, trouble);
    mark
}

/// A batch that forgets.
pub(super) fn forgetting(pair: &outbox::Pair, marks: &[Mark]) -> Batch {
    let mut batch = Batch::new().relaxed();
    for mark in marks {
        outbox::forget(&mut batch, pair, mark.mid);
    }
    batch
}
