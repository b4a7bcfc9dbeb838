//! One session: requests in their order, answers as soon as there is something to say (XEP-0124 §8–§14).

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::time::Duration;

use hyper::body::Bytes;
use sha1::{Digest, Sha1};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::body::{self, Ask, Kind, Version, Wishes};
use super::frames::{Document, Frames, masked};
use super::{BoshOptions, Came};
use crate::net::Carrier;
use crate::proto::ns;
use crate::xml::{self, Limits};

/// Requests held at most; a further one has the first answered.
const HOLD: usize = 1;
/// Empty requests may not come faster than this.
const POLLING: Duration = Duration::from_secs(2);
/// The version of XEP-0124 whose rules these are.
const VERSION: Version = (1, 6);
/// Answers kept at most for a client that says which it has got.
const KEPT: usize = 16;
/// Asks an empty request to be answered with nothing.
const NOTHING: &[u8] = b"";

/// A session, driven by a task of its own.
pub(super) struct Session {
    sid: String,
    carrier: Carrier,
    frames: Frames,
    wait: Duration,
    hold: usize,
    usual_inactivity: Duration,
    /// What holds now, which is longer in a pause.
    inactivity: Duration,
    pause: Duration,
    /// Both sides say what came to them (§9).
    ack: bool,
    version: Version,
    /// The id of the request that is to be taken next; the first of all until it is answered.
    next: u64,
    first: u64,
    /// Came before their turn.
    early: BTreeMap<u64, Came>,
    held: VecDeque<Held>,
    /// The last answers, for who did not get them.
    answered: VecDeque<Answered>,
    /// An answer that the client seems to miss, until it is told so.
    missed: Option<u64>,
    key: Option<String>,
    /// Until the first request is answered, what its answer says of the stream.
    created: Option<(String, String)>,
    begun: bool,
    payload: Vec<u8>,
    /// How the stream failed, if it did.
    failed: Option<Condition>,
    closed: bool,
    last_ask: Instant,
    last_answer: Instant,
    draining: bool,
    /// The last answer held nothing.
    said_nothing: bool,
}

/// A request that is not answered yet.
struct Held {
    rid: u64,
    reply: oneshot::Sender<Bytes>,
    until: Instant,
}

/// An answer that was sent.
struct Answered {
    rid: u64,
    answer: Bytes,
    at: Instant,
}

/// Why a session ends with an error (§17.2).
type Condition = &'static str;

impl Session {
    pub(super) fn new(
        sid: String,
        carrier: Carrier,
        wishes: &Wishes,
        rid: u64,
        options: &BoshOptions,
    ) -> Session {
        let now = Instant::now();
        let wait = Duration::from_secs(wishes.wait).min(options.wait);
        let polls = wait.is_zero() || wishes.hold == 0;
        Session {
            sid,
            carrier,
            frames: Frames::default(),
            wait,
            hold: if polls { 0 } else { HOLD },
            usual_inactivity: options.inactivity,
            inactivity: options.inactivity,
            pause: options.pause,
            ack: wishes.ack,
            version: wishes.version.map_or(VERSION, |theirs| theirs.min(VERSION)),
            next: rid,
            first: rid,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            answered: VecDeque::new(),
            missed: None,
            key: None,
            created: None,
            begun: false,
            payload: Vec::new(),
            failed: None,
            closed: false,
            last_ask: now,
            last_answer: now,
            draining: false,
            said_nothing: false,
        }
    }

    /// Until it is over, or its client has been away for too long: then its connection is lost.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Came>) {
        loop {
            let carrier = &self.carrier;
            let going = tokio::select! {
                // What is read more slowly is taken more slowly.
                () = poll_fn(|cx| carrier.poll_read(cx)), if self.draining => {
                    self.draining = false;
                    self.go_on()
                }
                came = asks.recv(), if !self.draining => match came {
                    Some(came) => self.came(came),
                    None => return,
                },
                taken = poll_fn(|cx| carrier.poll_taken(cx)), if !self.held.is_empty() => {
                    self.taken(taken);
                    Ok(())
                }
                () = sleep_until(self.deadline()) => match self.expired() {
                    true => return,
                    false => Ok(()),
                },
            };
            if let Err(condition) = going {
                self.end(condition);
            }
            if self.closed && self.held.is_empty() {
                return;
            }
        }
    }

    /// When a request has been held long enough, or its client has been away for too long.
    fn deadline(&self) -> Instant {
        let held = self.held.front().map(|held| held.until);
        held.unwrap_or(self.last_answer + self.inactivity)
    }

    /// Whether the session is lost.
    fn expired(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        self.answer(NOTHING);
        false
    }

    /// How many requests a client may have here at once.
    fn requests(&self) -> usize {
        self.hold + 1
    }

    /// A request came: in its turn, before it, or again.
    fn came(&mut self, came: Came) -> Result<(), Condition> {
        let rid = came.ask.rid;
        if rid < self.next {
            return self.again(rid, came.reply);
        }
        // One more may come to end or to pause the session (§11).
        let window = match came.ask.kind {
            Kind::Terminate | Kind::Pause(_) => self.requests() + 1,
            _ => self.requests(),
        };
        if rid - self.next >= window as u64 {
            let _ = came.reply.send(body::terminate("item-not-found", NOTHING));
            return Err("item-not-found");
        }
        if let Some(older) = self.early.insert(rid, came) {
            let _ = older.reply.send(again());
        }
        self.go_on()
    }

    /// Takes what has its turn, until the connection must read first.
    fn go_on(&mut self) -> Result<(), Condition> {
        while !self.draining
            && let Some(Came { ask, reply }) = self.early.remove(&self.next)
        {
            self.next += 1;
            let outcome = self.take(ask, reply);
            self.last_ask = Instant::now();
            outcome?;
        }
        Ok(())
    }

    /// A request that was there before (§14.3): who did not get the answer gets it now.
    fn again(&mut self, rid: u64, reply: oneshot::Sender<Bytes>) -> Result<(), Condition> {
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            let older = std::mem::replace(&mut held.reply, reply);
            let _ = older.send(again());
            return Ok(());
        }
        let Some(known) = self.answered.iter().find(|known| known.rid == rid) else {
            let _ = reply.send(body::terminate("item-not-found", NOTHING));
            return Err("item-not-found");
        };
        let _ = reply.send(known.answer.clone());
        Ok(())
    }

    /// The client has got all answers up to that one (§9.2). If a later one was sent, the next tells it of that.
    fn got(&mut self, latest: u64) {
        while self
            .answered
            .front()
            .is_some_and(|known| known.rid <= latest)
        {
            self.answered.pop_front();
        }
        let first = self.answered.front().map(|known| known.rid);
        self.missed = first.filter(|rid| rid.checked_sub(1) == Some(latest));
    }

    fn take(&mut self, ask: Ask, reply: oneshot::Sender<Bytes>) -> Result<(), Condition> {
        let now = Instant::now();
        let rid = ask.rid;
        self.held.push_back(Held {
            rid,
            reply,
            until: now
                + match self.begun {
                    true => self.wait,
                    false => self.wait.max(CREATION),
                },
        });
        self.check_key(&ask)?;
        if self.ack && rid > self.first {
            // Saying nothing means all of them.
            self.got(ask.ack.unwrap_or(rid - 1));
        }
        self.inactivity = self.usual_inactivity;
        let empty = ask.payload.is_empty();
        self.give(&ask);
        match ask.kind {
            Kind::Session(wishes) => self.carrier.give(&masked(&wishes.address.open())),
            Kind::Restart(address) => self.carrier.give(&masked(&address.open())),
            Kind::Terminate => self.carrier.give(&masked(CLOSE)),
            Kind::Pause(seconds) => return self.pause(Duration::from_secs(seconds)),
            Kind::Data if empty && self.is_too_often(now) => return Err("policy-violation"),
            Kind::Data => {}
        }
        if self.begun {
            while self.held.len() > self.hold.max(1) {
                self.answer(NOTHING);
            }
            if self.hold == 0
                && let Some(held) = self.held.back_mut()
            {
                // What there is to say comes now or next time.
                held.until = now + PROMPT;
            }
        }
        Ok(())
    }

    fn give(&mut self, ask: &Ask) {
        for document in &ask.payload {
            self.carrier.give(&masked(document));
        }
        self.draining = true;
    }

    /// Every key is what the one before is the hash of (§15).
    fn check_key(&mut self, ask: &Ask) -> Result<(), Condition> {
        if let Some(expected) = &self.key {
            let key = ask.key.as_deref().ok_or("item-not-found")?;
            if hash(key) != *expected {
                return Err("item-not-found");
            }
            self.key = Some(key.to_ascii_lowercase());
        }
        if let Some(new) = &ask.newkey {
            self.key = Some(new.to_ascii_lowercase());
        }
        Ok(())
    }

    /// An empty request is not to come while others are held, or were answered with nothing, just before (§11, §12).
    fn is_too_often(&self, now: Instant) -> bool {
        let soon = now.duration_since(self.last_ask) < POLLING;
        let waits = self.begun && self.held.len() > self.hold.max(1);
        let polled = self.hold == 0 && self.said_nothing;
        soon && (waits || polled)
    }

    fn pause(&mut self, time: Duration) -> Result<(), Condition> {
        if time > self.pause {
            return Err("policy-violation");
        }
        self.inactivity = time;
        while !self.held.is_empty() {
            self.answer(NOTHING);
        }
        Ok(())
    }

    /// What the connection says; `None`: it is over.
    fn taken(&mut self, taken: Option<Vec<u8>>) {
        match taken {
            Some(bytes) => self.frames.add(&bytes),
            None => self.closed = true,
        }
        while let Some(document) = self.frames.next() {
            match document {
                Document::Open(open) if !self.begun => {
                    let text = |name| open.attr(name).unwrap_or_default().to_owned();
                    self.created = Some((text("from"), text("id")));
                }
                Document::Open(_) => {}
                Document::Close => self.closed = true,
                Document::Error(error) => {
                    self.failed = Some(match self.begun {
                        true => "remote-stream-error",
                        false => refused(&error),
                    });
                    self.payload.extend(error);
                }
                Document::Other(document) => self.payload.extend(document),
            }
        }
        if self.closed {
            return self.end(self.failed.unwrap_or_default());
        }
        if !self.payload.is_empty() {
            let payload = std::mem::take(&mut self.payload);
            self.answer(&payload);
        }
    }

    /// Answers the oldest request.
    fn answer(&mut self, payload: &[u8]) {
        self.said_nothing = payload.is_empty();
        let answer = match (self.begun, self.created.take()) {
            (false, Some((from, id))) => {
                self.begun = true;
                self.creation(&from, &id, payload)
            }
            _ => {
                let told = self.told();
                let told: Vec<_> = told.iter().map(|(name, is)| (*name, is.as_str())).collect();
                body::write(&told, payload)
            }
        };
        self.send(answer);
    }

    /// What the next answer tells of those before, in attributes.
    fn told(&mut self) -> Vec<(&'static str, String)> {
        let mut told = Vec::new();
        if let Some(rid) = self.acknowledged() {
            told.push(("ack", rid.to_string()));
        }
        let missed = self.missed.take();
        let missed = missed.and_then(|rid| self.answered.iter().find(|known| known.rid == rid));
        if let Some(known) = missed {
            told.push(("report", known.rid.to_string()));
            told.push(("time", known.at.elapsed().as_millis().to_string()));
        }
        told
    }

    /// What the next answer tells a client that counts on it: the last request that came, with all before it. That it is the
    /// one being answered goes without saying (§9.1).
    fn acknowledged(&self) -> Option<u64> {
        let (latest, answered) = (self.next.checked_sub(1)?, self.held.front()?.rid);
        (self.ack && latest != answered).then_some(latest)
    }

    /// The answer to the first request (§7.2, XEP-0206 §4).
    fn creation(&self, from: &str, id: &str, payload: &[u8]) -> Bytes {
        let seconds = |time: Duration| time.as_secs().to_string();
        let (wait, inactivity) = (seconds(self.wait), seconds(self.usual_inactivity));
        let (polling, pause) = (seconds(POLLING), seconds(self.pause));
        let (hold, requests) = (self.hold.to_string(), self.requests().to_string());
        let first = self.first.to_string();
        let version = format!("{}.{}", self.version.0, self.version.1);
        let mut attributes = vec![
            ("sid", self.sid.as_str()),
            ("wait", wait.as_str()),
            ("requests", requests.as_str()),
            ("hold", hold.as_str()),
            ("inactivity", inactivity.as_str()),
            ("polling", polling.as_str()),
            ("maxpause", pause.as_str()),
            ("ver", version.as_str()),
            ("from", from),
            ("authid", id),
            ("xmpp:version", "1.0"),
            ("xmpp:restartlogic", "true"),
        ];
        if self.ack {
            attributes.push(("ack", first.as_str()));
        }
        body::write(&attributes, payload)
    }

    fn send(&mut self, answer: Bytes) {
        let Some(held) = self.held.pop_front() else {
            return;
        };
        self.last_answer = Instant::now();
        self.answered.push_back(Answered {
            rid: held.rid,
            answer: answer.clone(),
            at: self.last_answer,
        });
        let most = if self.ack { KEPT } else { self.requests() };
        while self.answered.len() > most {
            self.answered.pop_front();
        }
        // Who is gone asks again.
        let _ = held.reply.send(answer);
    }

    /// The end, with what is still to be said; whoever waits hears of it.
    fn end(&mut self, condition: Condition) {
        self.closed = true;
        let payload = std::mem::take(&mut self.payload);
        self.send(body::terminate(condition, &payload));
        while !self.held.is_empty() {
            self.send(body::write(&[], NOTHING));
        }
        for came in std::mem::take(&mut self.early).into_values() {
            let _ = came.reply.send(body::terminate(condition, NOTHING));
        }
    }
}

/// The end of a framed stream (RFC 7395 §3.6).
const CLOSE: &[u8] = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
/// How long the first request waits at least for what its answer must say.
const CREATION: Duration = Duration::from_secs(10);
/// How long a client that polls waits for what its request brings about.
const PROMPT: Duration = Duration::from_millis(100);

/// Why there is no stream (§17.2).
fn refused(error: &[u8]) -> Condition {
    let error = xml::parse_document(error, &Limits::STORED);
    let is = |name| {
        let error = error.as_ref().ok();
        error.is_some_and(|error| error.has_child(name, ns::STREAM_ERRORS))
    };
    match () {
        () if is("host-unknown") => "host-unknown",
        () if is("host-gone") => "host-gone",
        () => "remote-stream-error",
    }
}

/// The answer to a request in whose place the same came again (§17.3).
fn again() -> Bytes {
    body::write(&[("type", "error")], NOTHING)
}

/// SHA-1 in hexadecimal (§15.1).
fn hash(key: &str) -> String {
    let bytes = Sha1::digest(key);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
