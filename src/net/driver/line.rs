//! A connection between its task and whoever has something for its client: that is written at once, by the thread that brought it
//! and as soon as its turn is over, if the connection has been quiet; else by the task, and more may go along meanwhile.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop::{has_budget_remaining, unconstrained};

use super::Connection;
use crate::net::stats::count;
use crate::runtime::after::{self, Later};

/// Of so many writes on other connections one counts as what a task does.
const COUNTED: u32 = 4;

/// A connection that its task drives and others write on.
struct Line {
    /// Gone once it is over.
    connection: Mutex<Option<Connection>>,
    task: OnceLock<Waker>,
}

/// The task of a connection: polls it until it is over.
pub(in crate::net) fn drive(connection: Connection) -> impl Future<Output = ()> + Send {
    let line = Arc::new(Line {
        connection: Mutex::new(Some(connection)),
        task: OnceLock::new(),
    });
    Driving(line)
}

struct Driving(Arc<Line>);

impl Future for Driving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.get_or_init(|| cx.waker().clone());
        let mut place = self.0.lock();
        let over = match place.as_mut() {
            Some(connection) => {
                let hears = Waker::from(self.0.clone());
                connection.poll(cx, &hears).is_ready()
            }
            None => true,
        };
        if over {
            // With the place free again: what ends with it may look here.
            let connection = place.take();
            drop(place);
            drop(connection);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        let connection = self.0.lock().take();
        drop(connection);
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything there was to say is written, and nothing else is to be done.
    fn write(self: &Arc<Self>, task: &Waker) -> bool {
        if !has_budget_remaining() {
            return false;
        }
        let mut place = match self.connection.try_lock() {
            Ok(place) => place,
            // Its task is at work, perhaps past writing.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return false,
        };
        let Some(connection) = place.as_mut() else {
            return true;
        };
        let hears = Waker::from(self.clone());
        let cx = &mut Context::from_waker(task);
        let write = AssertUnwindSafe(|| share_budget(|| connection.say(cx, &hears)));
        catch_unwind(write).unwrap_or_else(|_| {
            count(&connection.shared.stats.panics);
            tracing::error!(peer = %connection.peer, "a connection panicked; only this connection ends");
            connection.abandon();
            false
        })
    }
}

thread_local! {
    static WRITES: Cell<u32> = const { Cell::new(0) };
}

/// Writes within or outside of the budget that tokio gives the task this thread is in: one write in [`COUNTED`] takes of it, so that
/// a large room does not keep a thread from its other tasks for long.
fn share_budget(mut write: impl FnMut() -> bool) -> bool {
    let number = WRITES.get().wrapping_add(1);
    WRITES.set(number);
    if number.is_multiple_of(COUNTED) {
        return write();
    }
    let once = unconstrained(poll_fn(|_| Poll::Ready(write())));
    pin!(once).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        if let Err(line) = after::turn(self)
            && let Some(task) = line.task.get()
        {
            task.wake_by_ref();
        }
    }
}

impl Later for Line {
    fn run(self: Arc<Self>) {
        if let Some(task) = self.task.get()
            && !self.write(task)
        {
            task.wake_by_ref();
        }
    }
}
