//! The machine itself: which phase a stream is in, and how every phase ends (RFC 6120 §4.4).

use std::sync::Arc;

use super::bound::Bound;
use super::component;
use super::framing::Framing;
use super::input::{Action, Input};
use super::login::{Flow, Login};
use super::out::Out;
use super::seat::End;
use super::server;
use super::settings::Settings;
use super::tls::{Peer, Tls};
use crate::proto::{StreamCondition, StreamError, ns};
use crate::xml::{Context, Element};

/// One stream of a client or another server. It has no socket, no clock and no task: inputs go in, actions come out. Dropping it while bound tells the
/// seat that the connection was lost.
pub struct Machine {
    settings: Arc<Settings>,
    context: Context,
    framing: Framing,
    phase: Phase,
}

enum Phase {
    Login(Box<Login>),
    Server(Box<server::Stream>),
    Component(Box<component::Stream>),
    Bound(Bound),
    /// Our footer is out; theirs is waited for.
    Closing,
    Closed,
}

impl Machine {
    /// A machine for a connection a client opened; `tls` if it came with TLS (XEP-0368). The first deadline runs from here.
    pub fn accept_client(
        settings: Arc<Settings>,
        peer: Peer,
        tls: Option<Tls>,
        out: &mut Vec<Action>,
    ) -> Machine {
        out.push(Action::SetLimits(settings.limits.before_login));
        out.push(Action::Deadline(Some(settings.limits.header)));
        Machine::of_client(settings, peer, tls, Framing::Tcp)
    }

    /// A machine for a client that opened a WebSocket (RFC 7395), on a connection that is secure; `tls` if that ends here.
    pub fn accept_websocket(
        settings: Arc<Settings>,
        peer: Peer,
        tls: Option<Tls>,
        out: &mut Vec<Action>,
    ) -> Machine {
        out.push(Action::SetLimits(settings.limits.before_login));
        out.push(Action::Deadline(Some(settings.limits.header)));
        Machine::of_client(settings, peer, tls, Framing::WebSocket)
    }

    fn of_client(
        settings: Arc<Settings>,
        peer: Peer,
        tls: Option<Tls>,
        framing: Framing,
    ) -> Machine {
        Machine {
            context: Context::client(),
            framing,
            phase: Phase::Login(Box::new(Login::new(settings.clone(), peer, tls))),
            settings,
        }
    }

    /// A machine for a connection that another server opened; `tls` if it came with TLS. The first deadline runs from here.
    pub fn accept_server(
        settings: Arc<Settings>,
        office: Arc<dyn server::Office>,
        peer: Peer,
        tls: Option<Tls>,
        out: &mut Vec<Action>,
    ) -> Machine {
        out.push(Action::SetLimits(settings.limits.before_login));
        out.push(Action::Deadline(Some(settings.limits.header)));
        let stream = server::Incoming::new(settings.clone(), office, peer, tls);
        Machine::of_server(settings, server::Stream::In(stream))
    }

    /// A machine for a connection that we opened to another server, and the beginning of its stream.
    pub fn call_server(
        settings: Arc<Settings>,
        call: server::Call,
        tls: Option<Tls>,
        out: &mut Vec<Action>,
    ) -> Machine {
        out.push(Action::SetLimits(settings.limits.before_login));
        out.push(Action::Deadline(Some(settings.limits.login)));
        let mut out = Out {
            framing: Framing::Server,
            actions: out,
        };
        let stream = server::Outgoing::new(settings.clone(), call, tls, &mut out);
        Machine::of_server(settings, server::Stream::Out(stream))
    }

    /// A machine for a connection that a component of this server opened; `tls` if it came with TLS. The first deadline runs
    /// from here.
    pub fn accept_component(
        settings: Arc<Settings>,
        porter: Arc<dyn component::Porter>,
        peer: Peer,
        tls: Option<Tls>,
        out: &mut Vec<Action>,
    ) -> Machine {
        out.push(Action::SetLimits(settings.limits.before_login));
        out.push(Action::Deadline(Some(settings.limits.login)));
        let stream = component::Stream::new(settings.clone(), porter, peer, tls.is_some());
        Machine {
            context: Context::client(),
            framing: Framing::Component,
            phase: Phase::Component(Box::new(stream)),
            settings,
        }
    }

    fn of_server(settings: Arc<Settings>, stream: server::Stream) -> Machine {
        Machine {
            context: Context::client(),
            framing: Framing::Server,
            phase: Phase::Server(Box::new(stream)),
            settings,
        }
    }

    /// The connection failed; for who waits for what this stream was opened for.
    pub fn lost(&mut self, why: server::Failure) {
        if let Phase::Server(stream) = &mut self.phase {
            stream.lost(why);
        }
    }

    /// Takes one input; appends what has to be done.
    pub fn handle(&mut self, input: Input, out: &mut Vec<Action>) {
        let mut out = Out {
            framing: self.framing,
            actions: out,
        };
        match (&self.phase, input) {
            (Phase::Closed, input) => orphaned(input),
            (Phase::Closing, Input::Footer | Input::Expired | Input::BadXml(_)) => {
                self.shut(&mut out);
            }
            (Phase::Closing, input) => orphaned(input),
            (_, Input::Footer) => {
                self.finish(None, End::Footer, &mut out);
                self.shut(&mut out);
            }
            (_, Input::BadXml(error)) => {
                self.finish(Some(StreamError::from(&error)), End::Error, &mut out);
                self.shut(&mut out);
            }
            (_, Input::Expired) => {
                let error = StreamCondition::ConnectionTimeout.into();
                self.finish(Some(error), End::Timeout, &mut out);
            }
            (_, Input::Stop(error)) => {
                let end = end_of(error.as_ref());
                self.finish(error, end, &mut out);
            }
            (_, input) => self.go_on(input, &mut out),
        }
    }

    /// Whether a resource is bound, and the login is over.
    pub fn is_bound(&self) -> bool {
        match &self.phase {
            Phase::Bound(_) => true,
            Phase::Server(stream) => stream.is_bound(),
            Phase::Component(stream) => stream.is_bound(),
            _ => false,
        }
    }

    /// Whether it is proved who this is, whether or not a resource is bound.
    pub fn is_authenticated(&self) -> bool {
        match &self.phase {
            Phase::Login(login) => login.is_authenticated(),
            Phase::Bound(_) => true,
            _ => false,
        }
    }

    /// Whether an answer of the desk is outstanding, and input is held back.
    pub fn is_waiting(&self) -> bool {
        match &self.phase {
            Phase::Login(login) => login.is_waiting(),
            Phase::Server(stream) => stream.is_waiting(),
            _ => false,
        }
    }

    /// What elements on this stream are to be parsed with.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How the stream is framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    fn go_on(&mut self, input: Input, out: &mut Out<'_>) {
        let flow = match (&mut self.phase, input) {
            (Phase::Login(login), Input::Header(header)) => {
                let flow = login.header(&header, out);
                self.context = header.context;
                flow
            }
            (Phase::Login(login), Input::Element(element)) => login.element(element, out),
            (Phase::Login(login), Input::Secured(tls)) => login.secured(tls, out),
            (Phase::Login(login), Input::Answer(answer)) => login.answer(answer, out),
            (Phase::Server(stream), Input::Header(header)) => {
                let flow = stream.header(&header, out);
                self.context = header.context;
                flow
            }
            (Phase::Server(stream), Input::Element(element)) => stream.element(element, out),
            (Phase::Server(stream), Input::Secured(tls)) => stream.secured(tls, out),
            (Phase::Server(stream), Input::Answer(answer)) => stream.answer(answer, out),
            (Phase::Component(stream), Input::Header(header)) => {
                let flow = stream.header(&header, out);
                self.context = header.context;
                flow
            }
            (Phase::Component(stream), Input::Element(element)) => stream.element(element, out),
            (Phase::Bound(_), Input::Element(element)) if is_error(&element) => Flow::Close,
            (Phase::Bound(bound), Input::Element(element)) => match bound.element(element, out) {
                Ok(()) => Flow::Stay,
                Err(error) => Flow::End(error),
            },
            (_, Input::Header(_) | Input::Element(_)) => StreamCondition::BadFormat.into(),
            (_, input) => {
                orphaned(input);
                StreamCondition::InternalServerError.into()
            }
        };
        match flow {
            Flow::Stay => {}
            Flow::Bound(bound) => self.phase = Phase::Bound(bound),
            Flow::End(error) => self.finish(Some(error), End::Error, out),
            Flow::Close => self.finish(None, End::Error, out),
        }
    }

    /// Ends our side: header if there was none yet, error if there is one, footer. Then the peer has a while for its own.
    fn finish(&mut self, error: Option<StreamError>, end: End, out: &mut Out<'_>) {
        match &mut self.phase {
            Phase::Login(login) if !login.can_write() => return self.shut(out),
            Phase::Login(login) => login.open_anyway(out),
            Phase::Server(stream) => {
                let can_write = stream.can_write();
                stream.close(error.as_ref(), end);
                if !can_write {
                    return self.shut(out);
                }
                stream.open_anyway(out);
            }
            Phase::Component(stream) => {
                stream.open_anyway(out);
                stream.close(end);
            }
            Phase::Bound(bound) => bound.close(end),
            Phase::Closing | Phase::Closed => return,
        }
        if let Some(error) = error {
            out.element(&error.to_element());
        }
        out.close();
        out.deadline(Some(self.settings.limits.close));
        self.phase = Phase::Closing;
    }

    fn shut(&mut self, out: &mut Out<'_>) {
        if !matches!(self.phase, Phase::Closed) {
            out.push(Action::Close);
            self.phase = Phase::Closed;
        }
    }
}

/// What comes after the end is dropped, but a session bound meanwhile has to hear that nobody is there.
fn orphaned(input: Input) {
    if let Input::Answer(answer) = input
        && let Some(seat) = answer.into_seat()
    {
        seat.closed(End::ConnectionLost);
    }
}

/// What the end that we chose means for the session.
fn end_of(error: Option<&StreamError>) -> End {
    match error.map(|error| error.condition) {
        None => End::Footer,
        Some(StreamCondition::ConnectionTimeout) => End::Timeout,
        Some(StreamCondition::SystemShutdown) => End::Shutdown,
        Some(_) => End::Error,
    }
}

fn is_error(element: &Element) -> bool {
    element.is("error", ns::STREAM)
}
