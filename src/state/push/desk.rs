//! Where notifications are sorted, sent, and sent again.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::line::Line;
use super::notice::{Content, Notice};
use super::registrations::{Device, Found, Registrations, Target};
use super::watch::{Asleep, Next, Watch};
use crate::hooks::{Deps, Floor, Uid};
use crate::metrics::{Counter, Gauge, Registry};
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::by_client::PutError;

/// How notifications go to one kind of target.
pub trait Way: Send + Sync + 'static {
    /// What clients register.
    type Target: Target;
    /// What it is called in the log and in metrics.
    const NAME: &'static str;
    /// What type of client it wakes, as in disco#info, for settings that say so.
    const CLIENTS: &'static str;
    /// Sends one; resolves in bounded time.
    fn send(&self, parcel: Parcel<Self::Target>) -> Sending;
}

/// The future of an outcome.
pub type Sending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One notification.
#[derive(Debug, Clone)]
pub struct Parcel<T> {
    /// Whose.
    pub account: Jid,
    /// Where to.
    pub target: T,
    /// What it tells; the number of messages is of all since the device was there.
    pub notice: Notice,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Arrived,
    /// It is not, and none will ever be: the registration ends.
    Gone(String),
    /// It is not, for now; not to be tried again before that.
    Failed(String, Duration),
}

/// At what pace devices are told, and for how long it is tried.
#[derive(Debug, Clone)]
pub struct Pace {
    /// What is told of messages.
    pub content: Content,
    /// Between two notifications to one device.
    pub interval: Duration,
    /// The longest pause after failures.
    pub longest: Duration,
    /// A registration to which nothing came through for so long ends.
    pub give_up: Duration,
    /// Registrations an account may have.
    pub most: usize,
    /// Accounts whose devices may wait for notifications at once.
    pub accounts: usize,
}

/// Accounts whose devices were told something lately; it outlives a reload of the configuration.
struct Watches<W>(Mutex<HashMap<Uid, Watch>>, PhantomData<fn() -> W>);

/// Notifications by what became of them.
struct Counts {
    arrived: Counter,
    failed: Counter,
    ended: Counter,
}

impl Counts {
    fn new(metrics: &Registry, way: &str) -> Counts {
        let of = |outcome| {
            metrics.counter(
                "waxwing_push_total",
                "Notifications to devices that are away, by way and by what became of them.",
                &[("way", way), ("outcome", outcome)],
            )
        };
        Counts {
            arrived: of("arrived"),
            failed: of("failed"),
            ended: of("ended"),
        }
    }
}

/// One way of telling devices that are asleep, for one host.
pub struct Desk<W: Way> {
    way: W,
    pub(super) pace: Pace,
    pub(super) registrations: Registrations<W::Target>,
    pub(super) clock: Clock,
    pub(super) floor: Arc<dyn Floor>,
    full: Counter,
    waiting: Gauge,
    counts: Counts,
    watches: Arc<Watches<W>>,
    /// When accounts were looked for that may be forgotten.
    swept: Mutex<Option<Instant>>,
}

/// Failures in a row before a registration may be given up.
const TRIED: u32 = 3;
/// Between two looks for accounts that may be forgotten for others.
const AGAIN: Duration = Duration::from_secs(1);
/// What an account was told so long ago is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3_600);

impl<W: Way> Desk<W> {
    /// A desk; `limits` are the keys in the configuration of [`Pace::most`] and [`Pace::accounts`].
    pub fn new(way: W, pace: Pace, deps: &Deps, limits: [&'static str; 2]) -> Self {
        let [most, accounts] = limits.map(|key| deps.metrics.limit(key));
        let none = || Ok::<_, std::convert::Infallible>(Watches(Mutex::default(), PhantomData));
        let watches = match deps.shared.of(&deps.host, none) {
            Ok(watches) => watches,
            Err(never) => match never {},
        };
        Desk {
            registrations: Registrations::new(deps.store.clone(), pace.most, most),
            way,
            pace,
            clock: deps.clock.clone(),
            floor: deps.floor.clone(),
            full: accounts,
            waiting: deps.metrics.gauge(
                "waxwing_push_waiting",
                "Accounts whose devices have notifications to come.",
                &[("way", W::NAME)],
            ),
            counts: Counts::new(&deps.metrics, W::NAME),
            watches,
            swept: Mutex::default(),
        }
    }

    /// Tells the devices of an account that are asleep.
    pub(super) fn tell(self: &Arc<Self>, account: &Jid, uid: Uid, asleep: Asleep, notice: Notice) {
        if asleep.is_nobody() {
            return;
        }
        let now = self.clock.now();
        let mut watches = self.lock();
        if !watches.contains_key(&uid) && !self.make_room(&mut watches, now) {
            return self.full.count();
        }
        let watch = watches.entry(uid).or_default();
        watch.used = Some(now);
        if !watch.put(asleep, notice) {
            self.full.count();
        }
        match watch.tended {
            true => watch.changed.notify_one(),
            false => {
                watch.tended = true;
                self.waiting.up();
                tokio::spawn(self.clone().tend(account.clone(), uid));
            }
        }
    }

    /// Whether one more account may be watched; those that nothing was told for a while go for it, looked for not too often.
    fn make_room(&self, watches: &mut HashMap<Uid, Watch>, now: Instant) -> bool {
        if watches.len() < self.pace.accounts {
            return true;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN) {
            *swept = Some(now);
            watches.retain(|_, watch| !watch.is_idle(now, self.pace.interval));
        }
        watches.len() < self.pace.accounts
    }

    /// A device of an account is there: it is told nothing any more.
    pub(super) fn awake(&self, uid: Uid, device: &Device) {
        if let Some(watch) = self.lock().get_mut(&uid) {
            watch.awake(device);
            watch.changed.notify_one();
        }
    }

    /// Forgets what was told long ago.
    pub(super) fn forget(&self) {
        let now = self.clock.now();
        self.lock().retain(|_, watch| !watch.is_idle(now, FORGET));
    }

    /// Looks after one account until nothing waits for its devices.
    async fn tend(self: Arc<Self>, account: Jid, uid: Uid) {
        self.tend_to(&account, uid).await;
        self.waiting.down();
    }

    async fn tend_to(self: &Arc<Self>, account: &Jid, uid: Uid) {
        let mut sending = JoinSet::new();
        while let Some(until) = self.send_due(account, uid, &mut sending).await {
            let Some(changed) = self.lock().get(&uid).map(|watch| watch.changed.clone()) else {
                return;
            };
            tokio::select! {
                () = changed.notified() => {}
                () = wait(&self.clock, until) => {}
                Some(done) = sending.join_next() => {
                    if let Ok((found, outcome)) = done {
                        self.settle(account, uid, &found, outcome).await;
                    }
                }
            }
        }
    }

    /// Sends what is due; until when nothing more is, or `None` when nothing waits.
    async fn send_due(
        self: &Arc<Self>,
        account: &Jid,
        uid: Uid,
        sending: &mut JoinSet<(Found<W::Target>, Outcome)>,
    ) -> Option<Option<Instant>> {
        let found = self.registrations.of_account(uid).await;
        let next = {
            let (mut watches, now) = (self.lock(), self.clock.now());
            let watch = watches.get_mut(&uid)?;
            if sending.is_empty() {
                watch.nothing_is_under_way(now);
            }
            match found {
                Ok(found) => watch.plan(found, now, &self.pace),
                Err(error) => {
                    tracing::error!(%account, %error, "what its devices registered cannot be read; run `waxwing check`");
                    watch.tended = false;
                    Next::Rest
                }
            }
        };
        let Next::Send(parcels, until) = next else {
            return None;
        };
        for (found, notice) in parcels {
            let (desk, account) = (self.clone(), account.clone());
            sending.spawn(async move {
                let target = found.registration.target.clone();
                let parcel = Parcel {
                    account,
                    target,
                    notice,
                };
                let outcome = desk.way.send(parcel).await;
                (found, outcome)
            });
        }
        Some(until)
    }

    /// What follows from what became of a notification.
    async fn settle(&self, account: &Jid, uid: Uid, found: &Found<W::Target>, outcome: Outcome) {
        let now = self.clock.wall();
        let failing = found.registration.failing;
        let counts = &self.counts;
        let (counter, done) = match outcome {
            Outcome::Arrived => {
                self.with_line(uid, found, Line::arrived);
                match failing {
                    Some(_) => (&counts.arrived, self.registrations.note(found, None).await),
                    None => (&counts.arrived, Ok(())),
                }
            }
            Outcome::Failed(why, after) if !self.is_hopeless(uid, found, now) => {
                tracing::debug!(%account, way = W::NAME, why, "a notification did not arrive");
                let (at, after) = (self.clock.now(), after.min(self.pace.longest));
                self.with_line(uid, found, |line| line.failed(at, after));
                match failing {
                    Some(_) => (&counts.failed, Ok(())),
                    None => (
                        &counts.failed,
                        self.registrations.note(found, Some(now)).await,
                    ),
                }
            }
            Outcome::Gone(why) | Outcome::Failed(why, _) => {
                tracing::info!(%account, way = W::NAME, why, "a device is not to be reached any more");
                self.with_line(uid, found, Line::arrived);
                (&counts.ended, self.registrations.end(found).await)
            }
        };
        counter.count();
        if let Err(error) = done {
            unstored(account, &error);
        }
    }

    /// Nothing came through for long, and not because nothing was tried.
    fn is_hopeless(&self, uid: Uid, found: &Found<W::Target>, now: u64) -> bool {
        let long = u64::try_from(self.pace.give_up.as_millis()).unwrap_or(u64::MAX);
        let failing = found.registration.failing;
        let tried = self.with_line(uid, found, |line| line.failures() >= TRIED);
        tried == Some(true) && failing.is_some_and(|since| now.saturating_sub(since) >= long)
    }

    fn with_line<R>(
        &self,
        uid: Uid,
        found: &Found<W::Target>,
        f: impl FnOnce(&mut Line) -> R,
    ) -> Option<R> {
        let mut watches = self.lock();
        watches.get_mut(&uid)?.line(&found.key).map(f)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Watch>> {
        self.watches
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn unstored(account: &Jid, error: &PutError) {
    tracing::warn!(%account, %error, "what a device registered is not as it should be");
}

/// Until then; for ever if there is no such time.
async fn wait(clock: &Clock, until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep(until.saturating_duration_since(clock.now())).await,
        None => std::future::pending().await,
    }
}
