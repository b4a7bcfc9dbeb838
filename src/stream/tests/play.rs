//! The other side of the machine: a client that sends text, a driver without a socket, a desk with one account.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::proto::{Jid, StanzaError};
use crate::stream::tables::{BindInline, Feature, Inline, Stage, Tag, When};
use crate::stream::*;
use crate::xml::{Element, Frame, Framer, Limits, parse, parse_header};

pub const OPEN: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                        to='example.org' version='1.0'>";
pub const ID: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
pub const PASSWORD: &str = "r0m30myr0m30";

/// What the seat was told.
#[derive(Default)]
pub struct Log {
    pub stanzas: Vec<Element>,
    pub nonzas: Vec<Element>,
    pub acks: Option<Enable>,
    pub requested: u32,
    pub acked: Vec<u32>,
    pub closed: Vec<End>,
    pub busy: bool,
}

#[derive(Clone, Default)]
pub struct TestSeat(pub Arc<Mutex<Log>>);

impl Seat for TestSeat {
    fn stanza(&self, stanza: Element) -> Intake {
        let mut log = self.0.lock().unwrap();
        log.stanzas.push(stanza);
        match log.busy {
            true => Intake::Busy,
            false => Intake::Ready,
        }
    }
    fn poll_intake(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn poll_outgoing(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<Outgoing> {
        Poll::Pending
    }
    fn written(&self) {}
    fn enable_acks(&self, wish: Enable) -> Option<Resumption> {
        let before = self.0.lock().unwrap().acks.replace(wish);
        assert_eq!(before, None, "enabled twice");
        wish.resume.then(|| Resumption {
            token: "some-long-sm-id".to_owned(),
            max: wish.max.unwrap_or(600),
        })
    }
    fn ack_requested(&self) {
        self.0.lock().unwrap().requested += 1;
    }
    fn acked(&self, h: u32) -> Result<(), AckError> {
        self.0.lock().unwrap().acked.push(h);
        acks::newly_acked(0, 8, h).map(|_| ())
    }
    fn handled(&self) -> u32 {
        0
    }
    fn nonza(&self, element: Element) -> NonzaVerdict {
        let name = element.name().to_owned();
        self.0.lock().unwrap().nonzas.push(element);
        match name.as_str() {
            "active" => NonzaVerdict::Done,
            "ask" => NonzaVerdict::Reply(Element::new("told", "urn:test")),
            _ => NonzaVerdict::Fault(crate::proto::StreamCondition::PolicyViolation.into()),
        }
    }
    fn probe(&self) {}
    fn closed(&self, end: End) {
        self.0.lock().unwrap().closed.push(end);
    }
}

pub struct OneHost(pub Arc<Host>);

impl Hosts for OneHost {
    fn host(&self, domain: &str) -> Option<Arc<Host>> {
        let known = [self.0.domain.domain(), "other.example"];
        known.contains(&domain).then(|| match domain {
            "other.example" => Arc::new(host("other.example", |_| ())),
            _ => self.0.clone(),
        })
    }
    fn default_host(&self) -> Arc<Host> {
        self.0.clone()
    }
}

pub fn mechanisms() -> Mechanisms {
    Mechanisms {
        scram: ScramHash::ALL.to_vec(),
        plain: true,
        anonymous: false,
        upgrades: vec![ScramHash::Sha256, ScramHash::Sha512],
        iterations: 4096,
    }
}

fn tables() -> Tables {
    let feature = |stage, name: &'static str| Feature {
        stage,
        make: Box::new(move |_| Some(Element::new(name, "urn:test"))),
    };
    let inline = |name: &'static str, when| Inline {
        tags: vec![Tag {
            name,
            ns: "urn:test",
        }],
        make: Box::new(move |_| Some(Element::new(name, "urn:test"))),
        when,
    };
    Tables {
        strangers: vec![Tag {
            name: "stranger",
            ns: "urn:test",
        }],
        features: vec![
            feature(Stage::Secured, "before"),
            feature(Stage::Authenticated, "after"),
        ],
        nonzas: ["active", "ask", "bad"]
            .map(|name| Tag {
                name,
                ns: "urn:test",
            })
            .to_vec(),
        inlines: vec![
            inline("early", When::BeforeBind),
            inline("late", When::IntoSuccess),
        ],
        bind_inlines: vec![BindInline {
            tags: vec![Tag {
                name: "enable",
                ns: "urn:xmpp:carbons:2",
            }],
            var: "urn:xmpp:carbons:2",
        }],
        mechanisms: Vec::new(),
    }
}

pub fn host(domain: &str, change: impl FnOnce(&mut Host)) -> Host {
    let mut host = Host {
        domain: Jid::parse(domain).unwrap(),
        mechanisms: mechanisms(),
        tables: Arc::new(tables()),
    };
    change(&mut host);
    host
}

pub fn settings(change: impl FnOnce(&mut Host)) -> Arc<Settings> {
    Arc::new(Settings {
        hosts: Arc::new(OneHost(Arc::new(host("example.org", change)))),
        limits: StreamLimits {
            before_login: Limits::new(10_000),
            after_login: Limits::new(262_144),
            header: Duration::from_secs(10),
            login: Duration::from_secs(30),
            bind: Duration::from_secs(20),
            close: Duration::from_secs(2),
            idle: Duration::from_secs(600),
        },
        key: Secret::new(vec![7; 32]),
    })
}

pub fn peer() -> Peer {
    Peer {
        secure_by_place: false,
        starttls: true,
        address: "192.0.2.1".into(),
    }
}

pub fn tls() -> Tls {
    Tls {
        version: TlsVersion::Tls13,
        server_name: Some("example.org".into()),
        alpn: None,
        exporter: Some([5; 32]),
        end_point: Some(vec![6; 32]),
        peer_chain: Vec::new(),
    }
}

/// One connection. Questions go to the desk unless it is told to be slow.
pub struct Play {
    pub machine: Machine,
    framer: Framer,
    limits: Limits,
    sent: String,
    pub seat: TestSeat,
    pub questions: Vec<String>,
    pub pending: Vec<Question>,
    pub slow: bool,
    pub deadline: Option<Duration>,
    pub seated: bool,
    pub secure: bool,
    pub paused: bool,
    pub closed: bool,
    pub missing: Vec<ScramHash>,
    pub refuse_bind: Option<StanzaError>,
    pub authorize: Option<SaslFailure>,
    pub requests: Vec<BindRequest>,
    pub upgraded: Vec<(ScramHash, ScramKeys)>,
}

impl Play {
    pub fn new(settings: Arc<Settings>, peer: Peer, tls: Option<Tls>) -> Play {
        let mut actions = Vec::new();
        let limits = settings.limits.before_login;
        let mut play = Play {
            machine: Machine::accept_client(settings, peer, tls, &mut actions),
            framer: Framer::new(limits),
            limits,
            sent: String::new(),
            seat: TestSeat::default(),
            questions: Vec::new(),
            pending: Vec::new(),
            slow: false,
            deadline: None,
            seated: false,
            secure: false,
            paused: false,
            closed: false,
            missing: Vec::new(),
            refuse_bind: None,
            authorize: None,
            requests: Vec::new(),
            upgraded: Vec::new(),
        };
        play.act(actions);
        play
    }

    /// On direct TLS.
    pub fn tls() -> Play {
        Play::new(settings(|_| ()), peer(), Some(tls()))
    }

    /// On direct TLS, with a host of another kind.
    pub fn host(change: impl FnOnce(&mut Host)) -> Play {
        Play::new(settings(change), peer(), Some(tls()))
    }

    /// On plain TCP.
    pub fn tcp() -> Play {
        Play::new(settings(|_| ()), peer(), None)
    }

    /// Header exchanged.
    pub fn opened(mut self) -> Play {
        self.say(OPEN);
        self
    }

    /// Logged in by SASL1 PLAIN.
    pub fn authenticated() -> Play {
        let mut play = Play::tls().opened();
        play.say(&plain("juliet", PASSWORD));
        play.say(OPEN);
        play
    }

    /// Bound the classic way.
    pub fn bound() -> Play {
        let mut play = Play::authenticated();
        play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        assert!(play.machine.is_bound());
        play
    }

    /// The client sends text; the answer is what it gets.
    pub fn say(&mut self, text: &str) -> String {
        let mut input = text.as_bytes();
        while !self.closed {
            let next = match self.framer.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Frame::Footer)) => Input::Footer,
                Ok(Some(Frame::Header(bytes))) => match parse_header(bytes, &self.limits) {
                    Ok(header) => Input::Header(header),
                    Err(error) => Input::BadXml(error),
                },
                Ok(Some(Frame::Element(bytes))) => {
                    match parse(bytes, self.machine.context(), &self.limits) {
                        Ok(element) => Input::Element(element),
                        Err(error) => Input::BadXml(error),
                    }
                }
                Err(error) => Input::BadXml(error),
            };
            self.input(next);
            if self.secure {
                break;
            }
        }
        self.heard()
    }

    pub fn input(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.machine.handle(input, &mut actions);
        self.act(actions);
    }

    /// What was sent since the last look.
    pub fn heard(&mut self) -> String {
        std::mem::take(&mut self.sent)
    }

    fn act(&mut self, actions: Vec<Action>) {
        let mut answers = Vec::new();
        for action in actions {
            assert!(!self.closed, "an action after the end");
            match action {
                Action::Send(bytes) => self.sent.push_str(std::str::from_utf8(&bytes).unwrap()),
                Action::Secure => self.secure = true,
                Action::Restart(limits) => {
                    self.framer.restart();
                    self.framer.set_limits(limits);
                    self.limits = limits;
                }
                Action::SetLimits(limits) => {
                    self.framer.set_limits(limits);
                    self.limits = limits;
                }
                Action::Ask(question) if self.slow => self.pending.push(question),
                Action::Ask(question) | Action::AskBeside(question) => {
                    answers.push(self.answer(question));
                }
                Action::Deadline(deadline) => self.deadline = deadline,
                Action::Seated(_) => self.seated = true,
                Action::Pause => self.paused = true,
                Action::Close => self.closed = true,
            }
        }
        for answer in answers {
            self.input(Input::Answer(answer));
        }
    }

    pub fn answer(&mut self, question: Question) -> Answer {
        let shown = format!("{question:?}");
        let name = shown.split([' ', '(']).next().unwrap().to_owned();
        self.questions.push(name);
        match question {
            Question::Credentials { user, hash, .. } => Answer::Credentials(Ok(Credentials {
                keys: keys(&user, hash),
                generation: 0,
            })),
            Question::Password { user, password } => {
                let right =
                    user.node() == Some("juliet") && password.expose_str() == Some(PASSWORD);
                Answer::Password(
                    right
                        .then_some(())
                        .ok_or(SaslCondition::NotAuthorized.into()),
                )
            }
            Question::Failed { .. } => Answer::Noted,
            Question::Authorize { .. } => Answer::Authorized(match self.authorize.clone() {
                Some(failure) => Err(failure),
                None => Ok(Authorized {
                    missing: self.missing.clone(),
                    generation: 0,
                }),
            }),
            Question::Upgrade { hash, keys, .. } => {
                self.upgraded.push((hash, keys));
                Answer::Upgraded(Ok(()))
            }
            Question::Bind(request) => self.bind(*request),
            Question::Resume(request) => Answer::Resumed(match request.token.as_str() {
                "known" => Ok(Resumed {
                    jid: request.user.with_resource("balcony").unwrap(),
                    seat: Arc::new(self.seat.clone()),
                    h: 7,
                }),
                "high" => Err(NotResumed::TooHigh(AckError {
                    h: request.h,
                    sent: 8,
                })),
                "late" => Err(NotResumed::Unknown { h: Some(5) }),
                _ => Err(NotResumed::Unknown { h: None }),
            }),
            Question::ResumeLink(_) => Answer::LinkResumed(Err(NotResumed::Unknown { h: None })),
            Question::Inline(request) => Answer::Inline(
                request
                    .elements
                    .iter()
                    .map(|el| {
                        Element::new("done", "urn:test")
                            .with_attr("what", el.name())
                            .with_attr("for", request.user.as_str())
                    })
                    .collect(),
            ),
            Question::Verify(_) => panic!("a question of servers"),
            Question::Stranger(asked) => Answer::Stranger(asked.iq),
            Question::Module(mut question) => {
                let mut context = Context::from_waker(Waker::noop());
                match question.answer.as_mut().poll(&mut context) {
                    Poll::Ready(answer) => Answer::Module(answer),
                    Poll::Pending => panic!("a question that waits"),
                }
            }
        }
    }

    fn bind(&mut self, request: BindRequest) -> Answer {
        let resource = request.wished.clone().unwrap_or("made".into());
        let jid = request.user.with_resource(&resource).unwrap();
        let inline = request
            .inline
            .iter()
            .map(|el| Element::new("inlined", "urn:test").with_attr("ns", el.ns()));
        let bound = Bound {
            jid,
            inline: inline.collect(),
            seat: Arc::new(self.seat.clone()),
        };
        self.requests.push(request);
        Answer::Bound(self.refuse_bind.clone().map_or(Ok(bound), Err))
    }
}

pub fn keys(user: &Jid, hash: ScramHash) -> ScramKeys {
    match user.node() {
        Some("juliet") => ScramKeys::derive(hash, PASSWORD, b"0123456789abcdef", 4096),
        _ => ScramKeys::fake(hash, &Secret::new(vec![7; 32]), user.as_str(), 4096, 16),
    }
}

pub fn base64(text: impl AsRef<[u8]>) -> String {
    sasl::base64::encode(text.as_ref())
}

/// SASL1 PLAIN.
pub fn plain(user: &str, password: &str) -> String {
    auth("PLAIN", &base64(format!("\0{user}\0{password}")))
}

pub fn auth(mechanism: &str, data: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

/// SASL2.
pub fn authenticate(mechanism: &str, data: impl AsRef<[u8]>, inside: &str) -> String {
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{}</initial-response>{inside}\
         </authenticate>",
        base64(data)
    )
}

/// The one condition of a stream error, and that it is followed by the footer.
pub fn stream_error(heard: &str) -> &str {
    let (_, error) = heard
        .split_once("<stream:error><")
        .unwrap_or_else(|| panic!("no error: {heard}"));
    assert!(
        heard.ends_with("</stream:error></stream:stream>"),
        "{heard}"
    );
    error.split([' ', '/', '>']).next().unwrap()
}

/// The text of the first element called `name`.
pub fn text_of<'a>(heard: &'a str, name: &str) -> &'a str {
    let (_, rest) = heard
        .split_once(&format!("<{name}"))
        .unwrap_or_else(|| panic!("no {name}: {heard}"));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split_once('<').unwrap().0
}

/// The base 64 text of the first element called `name`.
pub fn decoded(heard: &str, name: &str) -> String {
    String::from_utf8(sasl::base64::decode(text_of(heard, name)).unwrap().to_vec()).unwrap()
}
