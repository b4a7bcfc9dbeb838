//! What must hold for any bytes a client sends to log in: SASL payloads mean what they say, the stream machine neither panics
//! nor writes anything ill-formed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Waker, Poll};
use std::time::Duration;

use super::proto::Jid;
use super::stream::sasl::plain::Plain;
use super::stream::sasl::scram_message::{ClientFinal, ClientFirst};
use super::stream::sasl::{base64 as codec, keys::ScramKeys};
use super::stream::server::Verdict;
use super::stream::tables::{BindInline, Inline, Tables, Tag, When};
use super::stream::{
    AckError, Action, Answer, Authorized, Bound, Credentials, Enable, End, Host, Hosts, Input,
    Intake, Machine, Mechanisms, NonzaVerdict, NotResumed, Outgoing, Peer, Question, Resumed,
    Resumption, SaslCondition, ScramHash, Seat, Secret, Settings, StreamLimits, Tls, TlsVersion,
};
use super::xml::{Element, Frame, Framer, Limits, parse, parse_header};

/// Target `base64`: what is accepted is canonical.
pub fn base64(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = codec::decode(text) {
        assert_eq!(codec::encode(&bytes), text);
    }
}

/// Target `plain`: what is accepted is the whole message.
pub fn plain(data: &[u8]) {
    let Some(plain) = Plain::parse(data) else {
        return;
    };
    let authzid = plain.authzid.unwrap_or_default();
    let parts = [
        authzid.as_bytes(),
        plain.authcid.as_bytes(),
        plain.password.expose(),
    ];
    assert_eq!(parts.join(&0), data);
    assert!(plain.password.expose_str().is_some());
}

/// Target `scram_first`: the parts of what is accepted are the message again, and names have one spelling.
pub fn scram_first(data: &[u8]) {
    let Ok(first) = ClientFirst::parse(data) else {
        return;
    };
    assert_eq!([first.gs2_header, first.bare].concat().as_bytes(), data);
    let spelt = format!("n={},r={}", spell(&first.username), first.nonce);
    assert!(first.bare.starts_with(&spelt), "{} {spelt}", first.bare);
    if let Some(authzid) = first.authzid {
        assert!(
            first
                .gs2_header
                .ends_with(&format!(",a={},", spell(&authzid)))
        );
    }
}

/// Target `scram_final`: the same for the last message.
pub fn scram_final(data: &[u8]) {
    let Ok(last) = ClientFinal::parse(data) else {
        return;
    };
    let proof = codec::encode(&last.proof);
    assert_eq!(format!("{},p={proof}", last.without_proof).as_bytes(), data);
    let start = format!("c={},r={}", codec::encode(&last.binding), last.nonce);
    assert!(last.without_proof.starts_with(&start));
}

/// saslname of RFC 5802 §7.
fn spell(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Target `stream`: the first byte chooses the connection and what the desk says, the rest is what the client sends. Nobody gets
/// in unless the desk let him; nothing happens after the end; the session hears of the end once; what we write is a stream.
pub fn stream(data: &[u8]) {
    let [choice, sent @ ..] = data else { return };
    let mut driver = Driver::new(*choice);
    driver.feed(sent);
    let Driver {
        machine,
        seats,
        closed,
        written,
        ..
    } = driver;
    drop(machine);
    let bound = seats.load(Ordering::Relaxed);
    assert!(
        bound == 0 || choice & 2 != 0,
        "bound without the desk's leave"
    );
    assert_eq!(closed.load(Ordering::Relaxed), bound);
    written.iter().for_each(|stream| well_formed(stream));
}

/// Reads what we wrote on one stream.
fn well_formed(stream: &[u8]) {
    let limits = Limits {
        parsed_factor: 1000,
        ..Limits::new(1 << 20)
    };
    let mut framer = Framer::new(limits);
    let mut input = stream;
    let mut context = None;
    while let Some(frame) = framer.next(&mut input).expect("a frame") {
        match frame {
            Frame::Header(bytes) => {
                context = Some(parse_header(bytes, &limits).expect("our header").context)
            }
            Frame::Element(bytes) => {
                parse(bytes, context.as_ref().expect("a header first"), &limits)
                    .expect("an element");
            }
            Frame::Footer => assert!(input.is_empty(), "something after the footer"),
        }
    }
}

struct Driver {
    machine: Machine,
    framer: Framer,
    limits: Limits,
    leave: bool,
    seats: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    /// What was written, one entry for each stream.
    written: Vec<Vec<u8>>,
    secure: bool,
    over: bool,
}

impl Driver {
    fn new(choice: u8) -> Driver {
        let settings = settings();
        let limits = settings.limits.before_login;
        let peer = Peer {
            secure_by_place: choice & 4 != 0,
            starttls: choice & 8 == 0,
            address: String::new(),
        };
        let mut actions = Vec::new();
        let machine =
            Machine::accept_client(settings, peer, (choice & 1 != 0).then(tls), &mut actions);
        let mut driver = Driver {
            machine,
            framer: Framer::new(limits),
            limits,
            leave: choice & 2 != 0,
            seats: Arc::default(),
            closed: Arc::default(),
            written: vec![Vec::new()],
            secure: false,
            over: false,
        };
        driver.act(actions);
        driver
    }

    fn feed(&mut self, mut sent: &[u8]) {
        while !self.over {
            let input = match self.framer.next(&mut sent) {
                Ok(None) => return,
                Ok(Some(Frame::Header(bytes))) => {
                    parse_header(bytes, &self.limits).map_or_else(Input::BadXml, Input::Header)
                }
                Ok(Some(Frame::Element(bytes))) => {
                    parse(bytes, self.machine.context(), &self.limits)
                        .map_or_else(Input::BadXml, Input::Element)
                }
                Ok(Some(Frame::Footer)) => Input::Footer,
                Err(error) => Input::BadXml(error),
            };
            self.handle(input);
            if std::mem::take(&mut self.secure) {
                self.handle(Input::Secured(tls()));
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.machine.handle(input, &mut actions);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        let mut answer = None;
        for action in actions {
            assert!(!self.over, "{action:?} after the end");
            match action {
                Action::Send(bytes) => self.written.last_mut().expect("never empty").extend(bytes),
                Action::Secure => self.secure = true,
                Action::Restart(limits) => {
                    self.written.push(Vec::new());
                    self.framer.restart();
                    self.framer.set_limits(limits);
                    self.limits = limits;
                }
                Action::SetLimits(limits) => {
                    self.framer.set_limits(limits);
                    self.limits = limits;
                }
                Action::Ask(question) => {
                    assert!(answer.is_none() && self.machine.is_waiting());
                    answer = Some(self.answer(question));
                }
                Action::AskBeside(question) => {
                    assert!(answer.is_none());
                    answer = Some(self.answer(question));
                }
                Action::Close => self.over = true,
                Action::Deadline(_) | Action::Seated(_) | Action::Pause => {}
            }
        }
        if let Some(answer) = answer {
            self.handle(Input::Answer(answer));
        }
    }

    fn answer(&self, question: Question) -> Answer {
        let leave = || {
            self.leave
                .then_some(())
                .ok_or(SaslCondition::NotAuthorized.into())
        };
        match question {
            Question::Credentials { user, hash, .. } => Answer::Credentials(Ok(Credentials {
                keys: ScramKeys::fake(hash, &Secret::new([1; 32]), user.as_str(), 1, 16),
                generation: 0,
            })),
            Question::Password { .. } => Answer::Password(leave()),
            Question::Failed { .. } => Answer::Noted,
            Question::Authorize { .. } => Answer::Authorized(leave().map(|()| Authorized {
                missing: ScramHash::ALL.to_vec(),
                generation: 0,
            })),
            Question::Upgrade { .. } => Answer::Upgraded(leave()),
            Question::Bind(request) => {
                self.seats.fetch_add(1, Ordering::Relaxed);
                let resource = request.wished.unwrap_or("x".into());
                Answer::Bound(Ok(Bound {
                    jid: request
                        .user
                        .with_resource(&resource)
                        .expect("a wish that is legal"),
                    seat: Arc::new(FuzzSeat(self.closed.clone())),
                    inline: request.inline,
                }))
            }
            Question::Resume(request) if self.leave => {
                self.seats.fetch_add(1, Ordering::Relaxed);
                Answer::Resumed(Ok(Resumed {
                    jid: request.user.clone(),
                    seat: Arc::new(FuzzSeat(self.closed.clone())),
                    h: request.h,
                }))
            }
            Question::Resume(request) => {
                Answer::Resumed(Err(NotResumed::Unknown { h: Some(request.h) }))
            }
            Question::ResumeLink(_) => Answer::LinkResumed(Err(NotResumed::Unknown { h: None })),
            Question::Inline(request) => Answer::Inline(request.elements),
            Question::Stranger(asked) => Answer::Stranger(asked.iq),
            Question::Module(_) => Answer::Module(Box::new(())),
            Question::Verify(verify) => Answer::Verified(verify, Verdict::Invalid),
        }
    }
}

struct FuzzSeat(Arc<AtomicUsize>);

impl Seat for FuzzSeat {
    fn stanza(&self, stanza: Element) -> Intake {
        assert_eq!(stanza.ns(), "jabber:client");
        Intake::Ready
    }
    fn poll_intake(&self, _: &mut Waker<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn poll_outgoing(&self, _: &mut Waker<'_>, _: &mut Vec<u8>) -> Poll<Outgoing> {
        Poll::Pending
    }
    fn written(&self) {}
    fn enable_acks(&self, _: Enable) -> Option<Resumption> {
        None
    }
    fn ack_requested(&self) {}
    fn acked(&self, h: u32) -> Result<(), AckError> {
        if h == 0 {
            Ok(())
        } else {
            Err(AckError { h, sent: 0 })
        }
    }
    fn handled(&self) -> u32 {
        0
    }
    fn nonza(&self, _: Element) -> NonzaVerdict {
        NonzaVerdict::Done
    }
    fn probe(&self) {}
    fn closed(&self, _: End) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct OneHost(Arc<Host>);

impl Hosts for OneHost {
    fn host(&self, domain: &str) -> Option<Arc<Host>> {
        (domain == self.0.domain.domain()).then(|| self.0.clone())
    }
    fn default_host(&self) -> Arc<Host> {
        self.0.clone()
    }
}

fn settings() -> Arc<Settings> {
    let host = Host {
        domain: Jid::parse("example.org").expect("a domain"),
        mechanisms: Mechanisms {
            scram: ScramHash::ALL.to_vec(),
            plain: true,
            anonymous: false,
            upgrades: ScramHash::ALL.to_vec(),
            iterations: 4096,
        },
        tables: Arc::new(tables()),
    };
    let second = Duration::from_secs(1);
    Arc::new(Settings {
        hosts: Arc::new(OneHost(Arc::new(host))),
        limits: StreamLimits {
            before_login: Limits::new(10_000),
            after_login: Limits::new(262_144),
            header: second,
            login: second,
            bind: second,
            close: second,
            idle: second,
        },
        key: Secret::new([2; 32]),
    })
}

fn tables() -> Tables {
    let tags = |name| vec![Tag { name, ns: "urn:x" }];
    let inline = |name, when| Inline {
        tags: tags(name),
        make: Box::new(|_| None),
        when,
    };
    Tables {
        nonzas: tags("nonza"),
        inlines: vec![
            inline("early", When::BeforeBind),
            inline("late", When::IntoSuccess),
        ],
        bind_inlines: vec![BindInline {
            tags: tags("in-bind"),
            var: "urn:x",
        }],
        ..Tables::default()
    }
}

fn tls() -> Tls {
    Tls {
        version: TlsVersion::Tls13,
        server_name: None,
        alpn: None,
        exporter: Some([5; 32]),
        end_point: Some(vec![6; 32]),
        peer_chain: Vec::new(),
    }
}
