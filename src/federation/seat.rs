//! One connection of a stream with another server: the seat that the stream machine talks to. When the stream goes on over
//! another connection this one has no say any more.

use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};

use super::flow::{CHUNK, wake};
use super::line::{Inner, Line, State};
use crate::hooks::{Envelope, Origin, Receipt, Source};
use crate::proto::StreamError;
use crate::proto::error::StreamCondition;
use crate::proto::ns;
use crate::proto::stanza::{Kind, Stanza};
use crate::store::Batch;
use crate::stream::{AckError, Enable, End, Intake, NonzaVerdict, Outgoing, Resumption, Seat};
use crate::xml::Element;

/// A connection of a line.
pub(super) struct LineSeat {
    line: Arc<Line>,
    connection: u64,
}

impl LineSeat {
    pub fn new(line: Arc<Line>, connection: u64) -> LineSeat {
        LineSeat { line, connection }
    }

    /// The line, while this connection carries it.
    fn own(&self) -> Option<MutexGuard<'_, Inner>> {
        let inner = self.line.lock();
        let own = inner.connection == self.connection && inner.state == State::Connected;
        own.then_some(inner)
    }
}

/// A line as source of what needs no disk and waits for nobody's: presence and questions of many people come over one
/// stream, and do not wait for the messages of others.
struct AtOnce(Arc<Line>);

impl Source for AtOnce {
    fn submitted(&self, number: u32, batch: &mut Batch) {
        self.0.submitted(number, batch);
    }

    fn is_stale(&self) -> bool {
        self.0.is_stale()
    }

    fn completed(&self, number: u32, submitted: bool, handled: bool) {
        self.0.completed(number, submitted, handled);
    }

    fn committing(&self) -> bool {
        false
    }
}

impl Line {
    /// A stanza came, under a number; about how many bytes it has.
    fn came(self: &Arc<Self>, element: Element, number: u32) -> usize {
        let read = Stanza::from_element(element);
        let source: Arc<dyn Source> = match &read {
            Ok(stanza) if matches!(stanza.kind, Kind::Message(_)) => self.clone(),
            _ => Arc::new(AtOnce(self.clone())),
        };
        let receipt = Receipt::new(source, number);
        let size = read.as_ref().map_or(0, Stanza::size_hint);
        match read {
            Ok(stanza) => {
                if let Some(to) = stanza.to.clone() {
                    let mut envelope = Envelope::new(Arc::new(stanza), to, Origin::Remote);
                    envelope.receipt = Some(receipt);
                    self.house.arrived(Box::new(envelope));
                }
            }
            Err(rejected) => {
                if let Some(envelope) = rejected.answer().and_then(Envelope::from_server) {
                    self.house.send(Box::new(envelope));
                }
            }
        }
        size
    }
}

impl Seat for LineSeat {
    fn stanza(&self, element: Element) -> Intake {
        self.line.announce();
        let number = {
            let Some(mut inner) = self.own() else {
                return Intake::Ready;
            };
            inner.used = self.line.house.clock().now();
            inner.flow.tally.take()
        };
        let size = self.line.came(element, number);
        self.line.charge(size);
        self.line.lock().flow.intake()
    }

    fn poll_intake(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.own() {
            Some(mut inner) => inner.flow.poll_intake(cx),
            None => Poll::Ready(()),
        }
    }

    fn poll_outgoing(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Outgoing> {
        let before = out.len();
        let Some(mut inner) = self.own() else {
            let conflict = StreamError::from(StreamCondition::Conflict);
            return Poll::Ready(Outgoing::End(Some(conflict)));
        };
        if let Some(h) = inner.flow.tally.pay() {
            out.extend_from_slice(format!("<a xmlns='{}' h='{h}'/>", ns::SM).as_bytes());
        }
        inner.give_keys(&self.line.house, out);
        while out.len() < before + CHUNK {
            let Some(piece) = inner.flow.pop() else {
                break;
            };
            inner.write(piece, out);
        }
        let idle = inner.flow.is_empty();
        if inner.acks && inner.unacked.asks(idle) {
            out.extend_from_slice(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
        }
        let room = inner.room_again();
        let answer = inner.flow.answer(out.len() > before, cx);
        drop(inner);
        self.line.room(room);
        answer
    }

    fn written(&self) {
        let taken = match self.own() {
            Some(mut inner) => std::mem::take(&mut inner.on_the_wire),
            None => return,
        };
        self.line.taken(taken);
    }

    fn enable_acks(&self, wish: Enable) -> Option<Resumption> {
        self.line.announce();
        {
            let mut inner = self.own()?;
            inner.acks = true;
            inner.flow.tally.begin();
        }
        self.line.may_be_resumed(wish)
    }

    fn ack_requested(&self) {
        let waker = self.own().and_then(|mut inner| {
            inner.flow.tally.ask();
            match inner.flow.tally.is_due() {
                true => inner.flow.writer(),
                false => None,
            }
        });
        wake(waker);
    }

    fn acked(&self, h: u32) -> Result<(), AckError> {
        let (taken, room, waker) = {
            let Some(mut inner) = self.own() else {
                return Ok(());
            };
            let taken = inner.unacked.acked(h)?;
            inner.awaited = None;
            let again = !inner.unacked.is_empty();
            let waker = if again { inner.flow.writer() } else { None };
            (taken, inner.room_again(), waker)
        };
        self.line.arrived_there(taken);
        self.line.room(room);
        wake(waker);
        Ok(())
    }

    fn handled(&self) -> u32 {
        self.line.lock().flow.tally.handled()
    }

    fn nonza(&self, nonza: Element) -> NonzaVerdict {
        if nonza.is("result", ns::DIALBACK) {
            return self.line.judged(&nonza);
        }
        NonzaVerdict::Fault(StreamCondition::UnsupportedStanzaType.into())
    }

    /// With acknowledgements a request for one. Without, nothing that would be answered on this stream: it is given up,
    /// and opened again when it is needed.
    fn probe(&self) {
        let waker = self.own().and_then(|mut inner| {
            if !inner.acks {
                return None;
            }
            inner.unacked.probe();
            inner.flow.writer()
        });
        wake(waker);
    }

    fn closed(&self, end: End) {
        if self.own().is_some() {
            self.line.disconnected(end);
        }
    }
}
