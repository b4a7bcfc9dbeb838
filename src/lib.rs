//! waxwing, an XMPP chat server: one binary, one configuration file, never a message lost.
//!
//! This page is the map. Each module below is a *room*: it has one job, a door (its `mod.rs`), and a
//! list of the rooms it may use, all of which stand above it. `tests/arrows.rs` holds the list and fails
//! on any other arrow.
//!
//! | room | its job | uses, besides `runtime`, `metrics`, `xml`, `proto` |
//! |---|---|---|
//! | [`runtime`] | clock and randomness, passed in; token buckets; back-off; what counts as one address | nothing at all |
//! | [`metrics`] | counters and their registry, as Prometheus reads them | |
//! | [`xml`] | bytes to [`xml::Element`] and back: framer, strict parser, limits, writer | |
//! | [`proto`] | values of XMPP: [`proto::Jid`], [`proto::Stanza`], errors, forms, every namespace | |
//! | [`mls`] | what a server sees of MLS: framing, key packages; knows nothing of XMPP | |
//! | [`config`] | the typed tree, where each value came from, what is wrong and how to mend it | |
//! | [`store`] | one ordered map of bytes on disk: [`store::Batch`], snapshots, engines, the committer | |
//! | [`stream`] | the stream machine: header, features, STARTTLS, SASL, bind, acknowledgements | |
//! | [`hooks`] | **the extension interface**: what a feature sees and what it may claim | config, store, stream |
//! | [`state`] | truths that several features ask for: accounts, rosters, the message log | mls, store, hooks |
//! | [`net`] | sockets: listeners, limits, TLS, the connection driver | stream |
//! | [`http`] | the HTTP side: metrics for a collector; what features ask of the web | hooks, net |
//! | [`relay`] | STUN and TURN: a way for calls that no other packet takes; knows nothing of XMPP | net |
//! | [`socks`] | SOCKS5: connections that wait for each other and are joined | hooks, net |
//! | [`session`] | owners and their turns; the seat of a bound client, with its outbox | hooks, stream, store (back-pressure) |
//! | [`router`] | whose address is this; phases, commit, delivery, bounce | session, state |
//! | [`federation`] | other servers: found, called, believed; links; what is kept for those that are away | net, session, router, state |
//! | [`components`] | programs beside the server that serve domains of their own, and what is kept for them | federation, and what that uses |
//! | [`modules`] | one feature, one file, one line in [`modules::LIST`] | mls, hooks, state |
//! | [`admin`] | commands, control socket, command line, moving in and out | config, state, stream (credentials) |
//! | [`server`] | puts it all together, drains, stops | everything |
//!
//! What is *not* there matters as much. `xml`, `proto` and `stream` have no socket, no clock and no
//! `async`: what the stream machine cannot know it asks ([`stream::Question`]) and is told
//! ([`stream::Answer`]). `net` knows neither stanzas nor accounts. The core calls features by table and
//! knows none by name; no feature names another; what two need lives in `state`. Nothing but `server`
//! sees everything. Nothing panics on what comes from outside, and nothing grows without a bound.
//!
//! # One address, one owner
//!
//! Every address belongs to one *owner*: an account with its sessions ([`hooks::Account`]), or one key
//! of a service ([`hooks::service::ServiceOwner`]). Its state changes only in its *turn*
//! ([`hooks::Turn`]), one turn at a time, by whichever thread got there first ([`session::owners`]).
//! An owner never waits for another, nor for the disk: what must be durable goes into the turn's
//! [`hooks::Ledger`], and what follows from it happens after the fsync, in the order of the commits.
//!
//! # The way of a message, socket to socket
//!
//! 1. `net` accepts (`accept::run`, within [`net::Admission`]); one task drives the connection
//!    (`driver::Connection`), with buffers of the worker thread: an idle connection owns none.
//! 2. [`xml::Framer`] looks at each byte once and cuts one element; [`xml::parse`] makes it a tree.
//!    Size, depth, DTDs and everything else XMPP does not allow end here.
//! 3. [`stream::Machine::handle`] takes it as an input. Once a resource is bound a stanza goes on to
//!    [`stream::Seat::stanza`], a claimed nonza to [`stream::Seat::nonza`].
//! 4. [`session::seat::Seat`] counts it, holds its [`hooks::Receipt`] (without which XEP-0198's `h` does
//!    not move) and posts it to its account's owner as `Work::Inbound`. Too much under way: the socket
//!    is read no further. For a session that may be resumed, `h` goes to disk in the batch of what it
//!    counts ([`hooks::Source::submitted`]).
//! 5. `Router::inbound` stamps the true `from` and wraps it as a [`hooks::Envelope`] with its
//!    [`hooks::Facts`]. `Router::from_client` runs the hooks of [`hooks::Path::FromClient`]: Check,
//!    Amend, Record. Each may let it pass, consume it, bounce it, or answer later. What a message
//!    leaves with its sender goes along ([`hooks::Sent`]): the entry in the sender's log, if a hook
//!    said `keep`.
//! 6. `Router::route_on` finds its owner: an account, a service, the host, or elsewhere. What leaves for another server, or
//!    came from one, passes the hooks at the border ([`hooks::Crossing`]) besides.
//! 7. In the recipient's turn `Router::to_client` runs the hooks of [`hooks::Path::ToClient`], and
//!    `message_arrives` puts a message that must survive into the account's log ([`state::log`]) and its
//!    index of what nobody has taken, in the envelope's batch.
//! 8. `Router::settle` adds the sender's part, so that both sides have the message under one id or
//!    neither has it, and hands the batch to the committer ([`store::Store::hand_in`]), which writes and
//!    syncs whole groups. What needs no disk, and follows nothing that does, goes on at once.
//! 9. `commit::run` follows up in commit order: the sender's Mirror hooks run in its turn;
//!    `Router::deliver` gives the message its stanza-id and offers the message to every session it
//!    is for (RFC 6121 §8.5; [`hooks::Outbox::push`]), then Mirror, Absent and `delivered` hooks run. A
//!    session that cannot take it now reads it from the log later, in order (`router/backlog.rs`).
//! 10. As soon as that turn is over ([`runtime::after`]) the thread that was in it writes to a client who was quiet; else the
//!     connection's task does (`driver::line`). The driver asks the seat (`poll_outgoing`); [`proto::Stanza`] writes its header, and
//!     its body from bytes shared by all recipients; before that the outbox filters of modules may have
//!     held it back ([`hooks::Sift`]). With XEP-0198 the stanza is held until the client acknowledges it;
//!     then, or without acks when the socket took the bytes, the log entry is marked as taken
//!     (`Work::Taken`).
//! 11. The envelope is dropped, its receipt with it: the sender's `h` moves, and an `<a/>` may say so.
//!
//! Whatever goes wrong becomes a typed error; `Router::bounce` alone makes it an answer, never to an
//! error. What leaves is written from trees, never copied from what came in; what the log has was so written.
//!
//! # A session outlives its connection
//!
//! A client that enabled resumption (XEP-0198 §5) and loses its connection leaves a detached session:
//! its presence, its queue and what modules keep with it ([`hooks::SessionSlot`], [`hooks::SessionFlag`])
//! stay, within bounds, until it comes back or its time is over (`router/detached.rs`). The seat of the
//! next connection takes over what the old one holds ([`session::successor`]). What a detached session
//! holds does not keep others of its account from getting it. When the server stops, such sessions are
//! written down, live ones too, and the next process takes them over (`router/restart.rs`,
//! [`state::resume`]).
//!
//! To add a feature, read [`hooks`], then `modules/ping.rs`, then `examples/module_outside.rs`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod components;
pub mod config;
pub mod federation;
pub mod hooks;
pub mod http;
pub mod metrics;
pub mod mls;
pub mod modules;
pub mod net;
pub mod proto;
pub mod relay;
pub mod router;
pub mod runtime;
pub mod server;
pub mod session;
pub mod socks;
pub mod state;
pub mod store;
pub mod stream;
pub mod xml;
