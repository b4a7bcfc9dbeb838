//! One stream of a component: the seat that the stream machine talks to, with its outgoing queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use super::house::Components;
use crate::federation::{CHUNK, Capacity, Flow, Input, Item, Key, Mark, Way, wake};
use crate::hooks::{Envelope, Origin, Pushed, Receipt, Source};
use crate::proto::StreamError;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Stanza};
use crate::store::Batch;
use crate::stream::{AckError, Enable, End, Intake, NonzaVerdict, Outgoing, Resumption, Seat};
use crate::xml::Element;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A stream of a component for one of its domains.
pub(super) struct Line {
    id: u64,
    /// From where.
    pub address: String,
    key: Key,
    house: Arc<Components>,
    inner: Mutex<Inner>,
    me: Weak<Line>,
}

struct Inner {
    flow: Flow<Item>,
    closed: bool,
    /// Handed to the driver, and not known to have reached the socket.
    on_the_wire: Vec<Mark>,
    /// Stanzas with the committer, by the bare address they are from.
    committing: HashMap<Box<str>, u32>,
}

impl Line {
    pub fn new(house: Arc<Components>, key: Key, address: String, capacity: Capacity) -> Arc<Line> {
        Arc::new_cyclic(|me| Line {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            key,
            house,
            inner: Mutex::new(Inner {
                flow: Flow::new(capacity),
                closed: false,
                on_the_wire: Vec::new(),
                committing: HashMap::new(),
            }),
            me: me.clone(),
        })
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// Ends the stream once what is queued is written.
    pub fn end(&self, error: Option<StreamError>) {
        let waker = self.lock().flow.end(error);
        wake(waker);
    }

    /// Whether it is over or will be.
    pub fn is_ending(&self) -> bool {
        let inner = self.lock();
        inner.closed || inner.flow.is_ending()
    }

    fn domain(&self) -> &Jid {
        &self.key.pair().remote
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, marks: Vec<Mark>) {
        if !marks.is_empty() {
            self.house.post(&self.key, Input::Taken(marks));
        }
    }

    fn receipt(&self, from: Option<&Jid>) -> Option<Receipt> {
        let line = self.me.upgrade()?;
        let number = self.lock().flow.tally.take();
        let name = from.map_or("", Jid::bare_str).into();
        Some(Receipt::new(Arc::new(Speaker { line, name }), number))
    }

    /// A stanza whose sender is at a domain of the component.
    fn came(&self, element: Element) {
        let read = Stanza::from_element(element);
        let from = read.as_ref().ok().and_then(|stanza| stanza.from.as_ref());
        let receipt = self.receipt(from);
        self.house.stats().received.count();
        match read {
            Ok(stanza) => match stanza.to.clone() {
                Some(to) => {
                    let mut envelope = Envelope::new(Arc::new(stanza), to, Origin::Service);
                    envelope.receipt = receipt;
                    self.house.route(envelope);
                }
                None => self.answer_unaddressed(&stanza),
            },
            Err(rejected) => {
                if let Some(answer) = rejected.answer() {
                    self.tell(answer);
                }
            }
        }
    }

    /// XEP-0114 §3: every stanza has a `to`.
    fn answer_unaddressed(&self, stanza: &Stanza) {
        let error = StanzaError::from(Condition::BadRequest)
            .with_text("a component says whom its stanzas are for");
        if let Some(mut answer) = stanza.error(&error) {
            answer.to = stanza.from.clone();
            self.tell(answer);
        }
    }

    fn tell(&self, mut answer: Stanza) {
        answer.from.get_or_insert_with(|| self.domain().clone());
        if let Some(envelope) = Envelope::from_server(answer) {
            self.house.route(envelope);
        }
    }
}

/// The line as its pair sees it.
pub(super) struct LineWay(pub Arc<Line>);

impl Way for LineWay {
    fn id(&self) -> u64 {
        self.0.id
    }

    fn push(&self, item: Item) -> Pushed {
        let (kept, size) = (item.mark.is_some(), item.stanza.size_hint());
        let (pushed, waker) = {
            let mut inner = self.0.lock();
            if inner.closed {
                return Pushed::Closed;
            }
            let pushed = inner.flow.push(item, kept, size, (0, 0));
            (pushed, inner.flow.writer())
        };
        wake(waker);
        pushed
    }

    /// Nothing is held back for it.
    fn give_up(&self) {}
}

impl Inner {
    fn write(&mut self, item: &Item, out: &mut Vec<u8>) {
        match &item.to {
            Some(to) => item.stanza.write_to(to, None, out),
            None => item.stanza.write(None, out),
        }
        self.on_the_wire.extend(item.mark);
    }

    fn committed(&mut self, name: &str) {
        if let Some(count) = self.committing.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.committing.remove(name);
            }
        }
    }
}

/// Somebody at the component's domains: what is from one goes through in its order (RFC 6120 §10.1), and waits for the disk
/// with nobody else.
struct Speaker {
    line: Arc<Line>,
    name: Box<str>,
}

impl Source for Speaker {
    fn submitted(&self, _: u32, _: &mut Batch) {
        let mut inner = self.line.lock();
        *inner.committing.entry(self.name.clone()).or_default() += 1;
    }

    fn is_stale(&self) -> bool {
        false
    }

    /// What could not be handled was answered: the protocol knows no sending again.
    fn completed(&self, number: u32, submitted: bool, _: bool) {
        let reader = {
            let mut inner = self.line.lock();
            inner.flow.tally.complete(number, true);
            if submitted {
                inner.committed(&self.name);
            }
            inner.flow.reader()
        };
        wake(reader);
    }

    fn committing(&self) -> bool {
        self.line.lock().committing.contains_key(&self.name)
    }
}

impl Seat for Line {
    fn stanza(&self, element: Element) -> Intake {
        self.came(element);
        self.lock().flow.intake()
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lock().flow.poll_intake(cx)
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Outgoing> {
        let before = out.len();
        let mut inner = self.lock();
        while out.len() < before + CHUNK {
            let Some((item, _)) = inner.flow.pop() else {
                break;
            };
            inner.write(&item, out);
            self.house.stats().sent.count();
        }
        let room = inner.flow.room_again((0, 0));
        let answer = inner.flow.answer(out.len() > before, cx);
        drop(inner);
        if room {
            self.house.post(&self.key, Input::Room);
        }
        answer
    }

    fn written(&self) {
        let taken = std::mem::take(&mut self.lock().on_the_wire);
        self.taken(taken);
    }

    fn enable_acks(&self, _: Enable) -> Option<Resumption> {
        None
    }

    fn ack_requested(&self) {}

    fn acked(&self, h: u32) -> Result<(), AckError> {
        Err(AckError { h, sent: 0 })
    }

    fn handled(&self) -> u32 {
        0
    }

    fn nonza(&self, _: Element) -> NonzaVerdict {
        NonzaVerdict::Fault(crate::proto::StreamCondition::UnsupportedStanzaType.into())
    }

    /// An iq, which it must answer (RFC 6120 §8.2.3), be it with an error.
    fn probe(&self) {
        if let Some(question) = self.house.probe(self.domain()) {
            let item = Item {
                stanza: Arc::new(question),
                to: None,
                mark: None,
            };
            if let Some(me) = self.me.upgrade() {
                LineWay(me).push(item);
            }
        }
    }

    fn closed(&self, end: End) {
        let (first, left) = {
            let mut inner = self.lock();
            let first = !std::mem::replace(&mut inner.closed, true);
            inner.on_the_wire = Vec::new();
            (first, inner.flow.drain())
        };
        if first {
            tracing::info!(component = %self.domain(), address = %self.address, ?end, "a component is gone");
            self.house.left(self, &self.key, left);
        }
    }
}

/// The question of a host to a component.
pub(super) fn ping(from: &Jid, to: &Jid) -> Stanza {
    Stanza::iq(IqType::Get)
        .with_from(from.clone())
        .with_to(to.clone())
        .with_id(crate::runtime::random::id())
        .with_child(Element::new("ping", ns::PING))
}
