//! XMPP in requests of HTTP (XEP-0124, XEP-0206): each session carries a framed stream (RFC 7395) to a connection without a
//! socket, so that the stream, its session and its limits are the same as over TCP.

mod body;
mod frames;
mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::body::{Ask, Kind, Wishes};
use self::session::Session;
use crate::net::Door;
use crate::runtime::random;
use crate::xml::Limits;

/// How sessions are.
#[derive(Debug, Clone)]
pub struct BoshOptions {
    /// The path at which they are.
    pub path: String,
    /// Bytes of a request at most.
    pub body_bytes: usize,
    /// How long a request is held at most.
    pub wait: Duration,
    /// How long a client may have no request here.
    pub inactivity: Duration,
    /// The same, if it asks for it.
    pub pause: Duration,
}

/// An ask on its way to its session, and where the answer goes.
struct Came {
    ask: Ask,
    reply: oneshot::Sender<Bytes>,
}

/// The sessions there are.
#[derive(Default)]
pub(super) struct Bosh(Mutex<HashMap<String, mpsc::Sender<Came>>>);

/// Asks of one session that wait for it.
const WAITING: usize = 4;

impl Bosh {
    /// The answer to a request.
    pub(super) async fn answer(
        self: &Arc<Self>,
        request: &[u8],
        options: &BoshOptions,
        (door, peer): (&Door, IpAddr),
    ) -> Bytes {
        let Ok(mut ask) = body::read(request, &Limits::new(options.body_bytes)) else {
            return body::terminate("bad-request", b"");
        };
        let (reply, answer) = oneshot::channel();
        let session = match (ask.sid.take(), &mut ask.kind) {
            (Some(sid), _) => self.sessions().get(&sid).cloned(),
            (None, Kind::Session(wishes)) if wishes.address.to.is_none() => {
                return body::terminate("improper-addressing", b"");
            }
            (None, Kind::Session(wishes)) => {
                match self.open(wishes, ask.rid, options, (door, peer)) {
                    Some(session) => Some(session),
                    None => return body::terminate("policy-violation", b""),
                }
            }
            (None, _) => return body::terminate("bad-request", b""),
        };
        // A session that is over, or never was, drops what would answer.
        match session {
            Some(session) => drop(session.send(Came { ask, reply }).await),
            None => drop(reply),
        }
        answer
            .await
            .unwrap_or_else(|_| body::terminate("item-not-found", b""))
    }

    /// Begins a session, if there is a place for it.
    fn open(
        self: &Arc<Self>,
        wishes: &Wishes,
        rid: u64,
        options: &BoshOptions,
        (door, peer): (&Door, IpAddr),
    ) -> Option<mpsc::Sender<Came>> {
        let carrier = door
            .open(peer)
            .inspect_err(|refused| tracing::debug!(%peer, %refused, "a session was refused"))
            .ok()?;
        let sid = random::token();
        let (asks, came) = mpsc::channel(WAITING);
        self.sessions().insert(sid.clone(), asks.clone());
        let session = Session::new(sid.clone(), carrier, wishes, rid, options);
        let sessions = self.clone();
        tokio::spawn(async move {
            session.run(came).await;
            sessions.sessions().remove(&sid);
        });
        Some(asks)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Came>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
