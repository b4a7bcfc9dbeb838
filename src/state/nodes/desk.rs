//! Requests about nodes, run against the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::archive::{self, Told};
use super::error::Refusal;
use super::garbage;
use super::{Actor, Fresh, House, Notice, Outcome, Scene};
use crate::hooks::Verb;
use crate::proto::error::{Condition, StanzaError};
use crate::runtime::clock::Clock;
use crate::runtime::random;
use crate::state::owned::WriteError;
use crate::store::{CommitError, Store, StoreError};
use crate::xml::Element;

/// How often something is tried that others change at the same time.
const ATTEMPTS: usize = 8;

/// Runs requests about nodes. Clones share it.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    clock: Clock,
    /// Whether something may be left to be erased.
    garbage: Arc<AtomicBool>,
}

/// What came of a request, once it is on disk.
#[derive(Debug)]
pub struct Served {
    /// The payload of the answer, or the error.
    pub answer: Result<Option<Element>, Box<Refusal>>,
    /// What is to be told now.
    pub notices: Vec<Notice>,
}

struct Sequences(Store);

impl Fresh for Sequences {
    fn number(&self) -> u64 {
        self.0.allocate("node")
    }

    fn id(&self) -> String {
        random::id()
    }
}

impl Desk {
    /// Over a store.
    pub fn new(store: Store, clock: Clock) -> Desk {
        Desk {
            store,
            clock,
            garbage: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Answers an iq whose payload is a `<pubsub/>`. What asks for the same node of a house must come one
    /// after the other. It is to run in a task of its own: dropped halfway, it may be done and told to nobody.
    pub async fn serve(
        &self,
        house: &Arc<House>,
        actor: &Arc<Actor>,
        verb: Verb,
        pubsub: Element,
    ) -> Served {
        let pubsub = Arc::new(pubsub);
        self.act(house, actor, move |scene| {
            super::handle(scene, verb, pubsub.root())
        })
        .await
    }

    /// Does what an act of the engine says, again if something else came between.
    pub async fn act(
        &self,
        house: &Arc<House>,
        actor: &Arc<Actor>,
        act: impl Fn(Scene<'_>) -> Result<Outcome, StoreError> + Clone + Send + 'static,
    ) -> Served {
        for _ in 0..ATTEMPTS {
            match self.attempt(house, actor, act.clone()).await {
                Ok(served) => return served,
                Err(WriteError::Commit(CommitError::Precondition)) => {}
                Err(error) => return Served::refused(error.into()),
            }
        }
        Served::refused(
            StanzaError::from(Condition::ResourceConstraint).with_text("Too many changes at once"),
        )
    }

    async fn attempt(
        &self,
        house: &Arc<House>,
        actor: &Arc<Actor>,
        act: impl Fn(Scene<'_>) -> Result<Outcome, StoreError> + Send + 'static,
    ) -> Result<Served, WriteError> {
        let (house, actor, now) = (house.clone(), actor.clone(), self.clock.wall());
        let fresh = Sequences(self.store.clone());
        let outcome = self
            .store
            .reading(move |view| {
                act(Scene {
                    view,
                    house: &house,
                    actor: &actor,
                    now,
                    fresh: &fresh,
                })
            })
            .await?;
        if !outcome.batch.is_empty() {
            let written = self.store.commit(outcome.batch).await;
            written.map_err(WriteError::Commit)?;
        }
        if outcome.garbage {
            self.garbage.store(true, Ordering::Relaxed);
        }
        Ok(Served {
            answer: outcome.answer,
            notices: outcome.notices,
        })
    }

    /// Answers a `<query/>` of the archive of a node (XEP-0442).
    pub async fn archive(
        &self,
        house: &Arc<House>,
        actor: &Arc<Actor>,
        query: Element,
    ) -> Result<Told, Box<Refusal>> {
        let (house, actor, now) = (house.clone(), actor.clone(), self.clock.wall());
        let fresh = Sequences(self.store.clone());
        let told = self.store.reading(move |view| {
            let scene = Scene {
                view,
                house: &house,
                actor: &actor,
                now,
                fresh: &fresh,
            };
            archive::query(scene, query.root())
        });
        told.await.unwrap_or_else(|error| {
            let error = StanzaError::from(WriteError::Store(error));
            Err(Box::new(Refusal { error, about: None }))
        })
    }

    /// Erases what deleted and emptied nodes left, if there may be something. What cannot be erased now
    /// is left to the next time.
    pub async fn erase(&self) {
        if !self.garbage.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = garbage::erase(&self.store).await {
            self.garbage.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "what deleted nodes left is still there; it is tried again");
        }
    }
}

impl Served {
    pub(super) fn refused(error: StanzaError) -> Served {
        Served {
            answer: Err(Box::new(Refusal { error, about: None })),
            notices: Vec::new(),
        }
    }
}
