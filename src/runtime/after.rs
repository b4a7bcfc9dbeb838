//! What a thread does as soon as the turn that it is in is over: nothing of that turn is locked any more, and what the turn touched
//! is still at hand.

use std::cell::RefCell;
use std::sync::Arc;

/// Something to be done after a turn.
pub trait Later: Send + Sync {
    /// Does it; must not block.
    fn run(self: Arc<Self>);
}

thread_local! {
    /// `None` outside of turns.
    static LATER: RefCell<Option<Vec<Arc<dyn Later>>>> = const { RefCell::new(None) };
}

/// Keeps `work` until the turn that this thread is in is over; without one it comes back.
pub fn turn<W: Later + 'static>(work: Arc<W>) -> Result<(), Arc<W>> {
    LATER.with_borrow_mut(|later| match later {
        Some(later) => {
            later.push(work);
            Ok(())
        }
        None => Err(work),
    })
}

/// A thread's turns; while there are any, [`turn`] keeps what it is given.
pub struct Turns(());

impl Turns {
    /// Turns begin on this thread; `None` if it is in some already.
    pub fn begin() -> Option<Turns> {
        LATER.with_borrow_mut(|later| match later {
            Some(_) => None,
            None => {
                *later = Some(Vec::new());
                Some(Turns(()))
            }
        })
    }

    /// One turn is over: does what waited for that, which may bring more.
    pub fn settle(&self) {
        loop {
            let next = LATER.with_borrow_mut(|later| later.as_mut().and_then(Vec::pop));
            match next {
                Some(work) => work.run(),
                None => return,
            }
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let left = LATER.with_borrow_mut(Option::take);
        for work in left.into_iter().flatten() {
            work.run();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Later for Counted {
        fn run(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counted {
        fn ran(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn outside_of_turns_nothing_is_kept() {
        assert!(turn(Arc::new(Counted::default())).is_err());
    }

    #[test]
    fn it_runs_when_a_turn_is_over_and_at_the_latest_when_all_are() {
        let work = Arc::new(Counted::default());
        let turns = Turns::begin();
        assert!(turns.is_some() && Turns::begin().is_none());
        for over in 1..3 {
            assert!(turn(work.clone()).is_ok());
            assert_eq!(work.ran(), over - 1);
            turns.iter().for_each(Turns::settle);
            assert_eq!(work.ran(), over);
        }
        assert!(turn(work.clone()).is_ok());
        drop(turns);
        assert_eq!(work.ran(), 3);
        assert!(turn(work).is_err());
    }
}
