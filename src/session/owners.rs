//! Owners and their turns: inboxes, loading, running, forgetting.
//!
//! What changes an owner's state is put into its inbox and handled one piece at a time, in order,
//! by whichever worker thread got there first; no thread waits for an owner, and an owner never
//! waits for another. Work that a turn posts runs after that turn, on the same thread.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proto::jid::Jid;
use crate::runtime::after::Turns;

/// Work an owner does before others on the same thread get a turn.
const BURST: usize = 32;
/// Turns of owners one thread runs before it returns to its sockets.
const DRAIN: usize = 512;
const SHARDS: usize = 64;

type Shard<K> = Mutex<HashMap<Box<str>, Arc<Slot<K>>>>;

/// How an owner is named.
pub trait OwnerKey: Clone + Send + Sync + std::fmt::Display + 'static {
    /// The name in the table of owners.
    fn as_key(&self) -> &str;

    /// The key that stays with the owner, where several say the same.
    fn kept(&self) -> Self {
        self.clone()
    }
}

impl OwnerKey for Jid {
    fn as_key(&self) -> &str {
        self.bare_str()
    }

    fn kept(&self) -> Self {
        self.bare()
    }
}

/// What a kind of owner can do.
pub trait Keeper: Send + Sync + Sized + 'static {
    /// The owner's name.
    type Key: OwnerKey;
    /// The owner's state.
    type State: Send;
    /// A piece of work.
    type Work: Send;
    /// What loading brings.
    type Loaded: Send;

    /// Starts loading; must end in [`Slot::loaded`]. Must not block.
    fn load(&self, slot: &Arc<Slot<Self>>);
    /// Puts what was loaded in place, beside or over what is there.
    fn install(&self, state: &mut Option<Self::State>, loaded: Self::Loaded);
    /// Handles one piece of work.
    fn handle(&self, slot: &Arc<Slot<Self>>, state: &mut Self::State, work: Self::Work) -> After;
    /// Work for an owner that does not exist, cannot be loaded, or whose inbox is full.
    fn refuse(&self, key: &Self::Key, work: Self::Work, why: Refusal);
    /// Whether the owner may leave memory.
    fn rest(&self, state: &Self::State) -> Rest<Self::Work>;
    /// Pieces of work in an inbox that refuses this one; without a bound it must be bounded otherwise.
    fn bound(&self, work: &Self::Work) -> Option<usize>;
}

/// Why work was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such owner.
    Unknown,
    /// Its state could not be read.
    Unreadable,
    /// Its inbox is full.
    Full,
}

/// Whether an owner may leave memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest<W> {
    /// It is needed.
    Stay,
    /// Not before it has done this; it is asked again at the next sweep.
    First(W),
    /// Nothing of it would be lost.
    Leave,
}

/// What follows a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next one.
    Continue,
    /// The state is in doubt: load again first.
    Reload,
    /// Later work waits until [`Slot::proceed`].
    Hold,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Loading,
    Held,
    Idle,
    Running,
}

struct Inbox<W> {
    queue: VecDeque<W>,
    phase: Phase,
    gone: bool,
}

/// One owner.
pub struct Slot<K: Keeper> {
    key: K::Key,
    keeper: Arc<K>,
    inbox: Mutex<Inbox<K::Work>>,
    state: Mutex<Option<K::State>>,
    used: AtomicU64,
}

/// All owners of a kind.
pub struct Owners<K: Keeper> {
    keeper: Arc<K>,
    shards: Vec<Shard<K>>,
    last: Shard<K>,
    hasher: RandomState,
    sweeps: AtomicU64,
}

impl<K: Keeper> Owners<K> {
    /// No owner yet.
    pub fn new(keeper: Arc<K>) -> Self {
        Owners {
            keeper,
            shards: (1..SHARDS).map(|_| Mutex::default()).collect(),
            last: Mutex::default(),
            hasher: RandomState::new(),
            sweeps: AtomicU64::new(1),
        }
    }

    /// The slot of this key, made if there is none.
    pub fn slot(&self, key: &K::Key) -> Arc<Slot<K>> {
        let mut shard = self.shard(key.as_key());
        if let Some(slot) = shard.get(key.as_key()) {
            slot.used
                .store(self.sweeps.load(Ordering::Relaxed), Ordering::Relaxed);
            return slot.clone();
        }
        let slot = Arc::new(Slot {
            key: key.kept(),
            keeper: self.keeper.clone(),
            inbox: Mutex::new(Inbox {
                queue: VecDeque::new(),
                phase: Phase::Empty,
                gone: false,
            }),
            state: Mutex::new(None),
            used: AtomicU64::new(self.sweeps.load(Ordering::Relaxed)),
        });
        shard.insert(key.as_key().into(), slot.clone());
        slot
    }

    /// The slot of this key if the owner is in memory.
    pub fn awake(&self, key: &K::Key) -> Option<Arc<Slot<K>>> {
        self.shard(key.as_key()).get(key.as_key()).cloned()
    }

    /// Gives work to an owner.
    pub fn post(&self, key: &K::Key, work: K::Work) {
        let mut work = work;
        // A slot can be forgotten between finding it and posting to it, once.
        for _ in 0..8 {
            match self.slot(key).try_post(work) {
                Ok(()) => return,
                Err(back) => work = back,
            }
        }
        self.keeper.refuse(&key.kept(), work, Refusal::Full);
    }

    /// Owners in memory.
    pub fn len(&self) -> usize {
        self.all().map(|s| lock(s).len()).sum()
    }

    /// Whether no owner is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys of all owners in memory.
    pub fn keys(&self) -> Vec<K::Key> {
        self.all()
            .flat_map(|s| {
                lock(s)
                    .values()
                    .map(|slot| slot.key.clone())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Forgets every owner, whatever it is doing; for the end of the server.
    pub fn clear(&self) {
        for shard in self.all() {
            for slot in std::mem::take(&mut *lock(shard)).into_values() {
                lock(&slot.inbox).gone = true;
            }
        }
    }

    /// Forgets owners that were idle since the sweep before the last one. Returns how many.
    ///
    /// One that has something to write down first is told to, and goes at a later sweep.
    pub fn sweep(&self) -> usize {
        let now = self.sweeps.fetch_add(1, Ordering::Relaxed);
        let mut forgotten = 0;
        let mut first = Vec::new();
        for shard in self.all() {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|_, slot| {
                if slot.used.load(Ordering::Relaxed) + 1 >= now {
                    return true;
                }
                match slot.forget() {
                    Rest::Stay => true,
                    Rest::First(work) => {
                        first.push((slot.clone(), work));
                        true
                    }
                    Rest::Leave => false,
                }
            });
            forgotten += before - shard.len();
            if shard.capacity() > 4 * shard.len().max(16) {
                shard.shrink_to_fit();
            }
        }
        for (slot, work) in first {
            slot.post(work);
        }
        forgotten
    }

    fn all(&self) -> impl Iterator<Item = &Shard<K>> {
        self.shards.iter().chain([&self.last])
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<Box<str>, Arc<Slot<K>>>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        lock(self.shards.get(at).unwrap_or(&self.last))
    }
}

impl<K: Keeper> Slot<K> {
    /// The owner's name.
    pub fn key(&self) -> &K::Key {
        &self.key
    }

    /// Gives work to this owner, which must be held in memory by something (a session).
    pub fn post(self: &Arc<Self>, work: K::Work) {
        if let Err(work) = self.try_post(work) {
            self.keeper.refuse(&self.key, work, Refusal::Unknown);
        }
    }

    fn try_post(self: &Arc<Self>, work: K::Work) -> Result<(), K::Work> {
        let mut inbox = lock(&self.inbox);
        if inbox.gone {
            return Err(work);
        }
        let bound = self.keeper.bound(&work);
        if bound.is_some_and(|most| inbox.queue.len() >= most) {
            drop(inbox);
            self.keeper.refuse(&self.key, work, Refusal::Full);
            return Ok(());
        }
        inbox.queue.push_back(work);
        match inbox.phase {
            Phase::Idle => {
                inbox.phase = Phase::Running;
                drop(inbox);
                schedule(self.clone());
            }
            Phase::Empty => {
                inbox.phase = Phase::Loading;
                drop(inbox);
                self.keeper.load(self);
            }
            Phase::Loading | Phase::Held | Phase::Running => {}
        }
        Ok(())
    }

    /// Loading ended: with state, without such an owner, or with a failure.
    pub fn loaded(self: &Arc<Self>, loaded: Result<K::Loaded, Refusal>) {
        match loaded {
            Ok(loaded) => {
                self.keeper.install(&mut lock(&self.state), loaded);
                lock(&self.inbox).phase = Phase::Running;
                schedule(self.clone());
            }
            Err(why) => {
                let refused: Vec<_> = {
                    let mut inbox = lock(&self.inbox);
                    inbox.phase = Phase::Empty;
                    inbox.queue.drain(..).collect()
                };
                for work in refused {
                    self.keeper.refuse(&self.key, work, why);
                }
            }
        }
    }

    /// Ends a [`After::Hold`] with the work it waited for, which comes before all that waits.
    pub fn proceed(self: &Arc<Self>, work: K::Work) {
        let mut inbox = lock(&self.inbox);
        inbox.queue.push_front(work);
        if inbox.phase == Phase::Held {
            inbox.phase = Phase::Running;
            drop(inbox);
            schedule(self.clone());
        }
    }

    /// Looks at the state, if it is loaded; must be quick.
    pub fn look<R>(&self, f: impl FnOnce(&K::State) -> R) -> Option<R> {
        lock(&self.state).as_ref().map(f)
    }

    fn forget(&self) -> Rest<K::Work> {
        let mut inbox = lock(&self.inbox);
        if !inbox.queue.is_empty() {
            return Rest::Stay;
        }
        let rest = match inbox.phase {
            Phase::Empty => Rest::Leave,
            Phase::Idle => match lock(&self.state).as_ref() {
                Some(state) => self.keeper.rest(state),
                None => Rest::Leave,
            },
            Phase::Loading | Phase::Held | Phase::Running => Rest::Stay,
        };
        inbox.gone = matches!(rest, Rest::Leave);
        rest
    }

    fn next(&self) -> Option<K::Work> {
        let mut inbox = lock(&self.inbox);
        let work = inbox.queue.pop_front();
        if work.is_none() {
            inbox.phase = Phase::Idle;
            if inbox.queue.capacity() > 16 {
                inbox.queue = VecDeque::new();
            }
        }
        work
    }

    /// Handles work until the inbox is empty or the burst is used up.
    fn burst(self: &Arc<Self>) -> Next {
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else {
            lock(&self.inbox).phase = Phase::Loading;
            return Next::Load;
        };
        for _ in 0..BURST {
            let Some(work) = self.next() else {
                return Next::Rest;
            };
            let handled = catch_unwind(AssertUnwindSafe(|| self.keeper.handle(self, state, work)));
            match handled {
                Ok(After::Continue) => {}
                Ok(After::Hold) => {
                    lock(&self.inbox).phase = Phase::Held;
                    return Next::Rest;
                }
                Ok(After::Reload) => {
                    lock(&self.inbox).phase = Phase::Loading;
                    return Next::Load;
                }
                Err(_) => {
                    tracing::error!(owner = %self.key, "a turn panicked; its stanza is lost and its state is read again. Please report this");
                    lock(&self.inbox).phase = Phase::Loading;
                    return Next::Load;
                }
            }
        }
        Next::Again
    }
}

enum Next {
    Rest,
    Again,
    Load,
}

trait Runnable: Send + Sync {
    fn run(self: Arc<Self>);
}

impl<K: Keeper> Runnable for Slot<K> {
    fn run(self: Arc<Self>) {
        match self.burst() {
            Next::Rest => {}
            Next::Again => READY.with_borrow_mut(|ready| ready.push_back(self)),
            Next::Load => {
                let keeper = self.keeper.clone();
                keeper.load(&self);
            }
        }
    }
}

thread_local! {
    static READY: RefCell<VecDeque<Arc<dyn Runnable>>> = const { RefCell::new(VecDeque::new()) };
}

/// Runs an owner now, or after the turn that this thread is in.
fn schedule(slot: Arc<dyn Runnable>) {
    READY.with_borrow_mut(|ready| ready.push_back(slot));
    if let Some(turns) = Turns::begin() {
        drain(turns);
    }
}

fn drain(turns: Turns) {
    for _ in 0..DRAIN {
        let Some(next) = READY.with_borrow_mut(VecDeque::pop_front) else {
            break;
        };
        next.run();
        turns.settle();
    }
    drop(turns);
    let rest = READY.with_borrow_mut(std::mem::take);
    if !rest.is_empty() {
        hand_over(rest);
    }
}

/// Lets the thread get back to its sockets while another task goes on.
fn hand_over(rest: VecDeque<Arc<dyn Runnable>>) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(async move {
                for slot in rest {
                    schedule(slot);
                }
            });
        }
        Err(_) => {
            for slot in rest {
                schedule(slot);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[derive(Default)]
    struct Notes {
        seen: Mutex<Vec<String>>,
        owners: Mutex<Option<std::sync::Weak<Owners<Notes>>>>,
    }

    enum Note {
        Say(&'static str),
        Relay(&'static str, &'static str),
        Panic,
        Hold,
        /// Has something to write down before it may go.
        Owe,
        Settle,
    }

    impl Keeper for Notes {
        type Key = Jid;
        type State = u32;
        type Work = Note;
        type Loaded = u32;
        fn load(&self, slot: &Arc<Slot<Self>>) {
            if slot.key().node() == Some("nobody") {
                slot.loaded(Err(Refusal::Unknown));
            } else {
                slot.loaded(Ok(7));
            }
        }
        fn install(&self, state: &mut Option<u32>, loaded: u32) {
            *state = Some(loaded);
        }
        fn handle(&self, slot: &Arc<Slot<Self>>, state: &mut u32, work: Note) -> After {
            *state += 1;
            match work {
                Note::Say(what) => lock(&self.seen).push(format!("{} {what}", slot.key())),
                Note::Relay(to, what) => {
                    let owners = lock(&self.owners).as_ref().unwrap().upgrade().unwrap();
                    owners.post(&Jid::parse(to).unwrap(), Note::Say(what));
                    lock(&self.seen).push(format!("{} relayed", slot.key()));
                }
                Note::Panic => panic!("on purpose"),
                Note::Hold => return After::Hold,
                Note::Owe => *state = 100,
                Note::Settle => {
                    *state = 0;
                    lock(&self.seen).push(format!("{} settled", slot.key()));
                }
            }
            After::Continue
        }
        fn refuse(&self, key: &Jid, _: Note, why: Refusal) {
            lock(&self.seen).push(format!("{key} refused {why:?}"));
        }
        fn rest(&self, state: &u32) -> Rest<Note> {
            match state {
                100.. => Rest::First(Note::Settle),
                _ => Rest::Leave,
            }
        }
        fn bound(&self, _: &Note) -> Option<usize> {
            Some(3)
        }
    }

    fn owners() -> Arc<Owners<Notes>> {
        let notes = Arc::new(Notes::default());
        let owners = Arc::new(Owners::new(notes.clone()));
        *lock(&notes.owners) = Some(Arc::downgrade(&owners));
        owners
    }

    fn seen(owners: &Owners<Notes>) -> Vec<String> {
        std::mem::take(&mut *lock(&owners.keeper.seen))
    }

    fn jid(s: &str) -> Jid {
        Jid::parse(s).unwrap()
    }

    #[test]
    fn work_posted_in_a_turn_runs_after_it() {
        let owners = owners();
        owners.post(&jid("a@x"), Note::Relay("b@x", "hello"));
        assert_eq!(seen(&owners), ["a@x relayed", "b@x hello"]);
    }

    #[test]
    fn an_owner_may_post_to_itself() {
        let owners = owners();
        owners.post(&jid("a@x"), Note::Relay("a@x", "me"));
        assert_eq!(seen(&owners), ["a@x relayed", "a@x me"]);
    }

    #[test]
    fn work_for_the_unknown_is_refused() {
        let owners = owners();
        owners.post(&jid("nobody@x"), Note::Say("hello"));
        assert_eq!(seen(&owners), ["nobody@x refused Unknown"]);
    }

    #[test]
    fn a_panic_costs_one_piece_of_work() {
        let owners = owners();
        owners.post(&jid("a@x"), Note::Panic);
        owners.post(&jid("a@x"), Note::Say("still here"));
        assert_eq!(seen(&owners), ["a@x still here"]);
    }

    #[test]
    fn held_work_waits_in_order_and_the_inbox_is_bounded() {
        let owners = owners();
        let a = jid("a@x");
        owners.post(&a, Note::Hold);
        for what in ["1", "2", "3", "4"] {
            owners.post(&a, Note::Say(what));
        }
        assert_eq!(seen(&owners), ["a@x refused Full"]);
        owners.slot(&a).proceed(Note::Say("0"));
        assert_eq!(seen(&owners), ["a@x 0", "a@x 1", "a@x 2", "a@x 3"]);
    }

    #[test]
    fn idle_owners_are_forgotten_after_two_sweeps() {
        let owners = owners();
        owners.post(&jid("a@x"), Note::Say("hello"));
        assert_eq!(owners.len(), 1);
        owners.sweep();
        owners.sweep();
        owners.sweep();
        assert_eq!(owners.len(), 0);
        owners.post(&jid("a@x"), Note::Say("again"));
        assert_eq!(seen(&owners), ["a@x hello", "a@x again"]);
    }

    #[test]
    fn an_owner_that_owes_something_settles_before_it_goes() {
        let owners = owners();
        owners.post(&jid("a@x"), Note::Owe);
        for _ in 0..3 {
            owners.sweep();
        }
        assert_eq!(seen(&owners), ["a@x settled"]);
        assert_eq!(owners.len(), 1);
        assert_eq!(owners.sweep(), 1);
        assert_eq!(seen(&owners), [] as [&str; 0]);
    }

    #[test]
    fn many_threads_keep_every_owner_in_one_turn_at_a_time() {
        struct Counter;
        impl Keeper for Counter {
            type Key = Jid;
            type State = (u64, bool);
            type Work = ();
            type Loaded = ();
            fn load(&self, slot: &Arc<Slot<Self>>) {
                slot.loaded(Ok(()));
            }
            fn install(&self, state: &mut Option<(u64, bool)>, (): ()) {
                state.get_or_insert((0, false));
            }
            fn handle(&self, _: &Arc<Slot<Self>>, state: &mut (u64, bool), (): ()) -> After {
                assert!(!std::mem::replace(&mut state.1, true));
                state.0 += 1;
                state.1 = false;
                After::Continue
            }
            fn refuse(&self, _: &Jid, (): (), why: Refusal) {
                panic!("{why:?}");
            }
            fn rest(&self, _: &(u64, bool)) -> Rest<()> {
                Rest::Stay
            }
            fn bound(&self, (): &()) -> Option<usize> {
                None
            }
        }
        let owners = Arc::new(Owners::new(Arc::new(Counter)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let owners = owners.clone();
                std::thread::spawn(move || {
                    for i in 0..5_000 {
                        owners.post(&jid(&format!("u{}@x", i % 3)), ());
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let total: u64 = (0..3)
            .map(|i| owners.slot(&jid(&format!("u{i}@x"))).look(|s| s.0).unwrap())
            .sum();
        assert_eq!(total, 20_000);
    }
}
