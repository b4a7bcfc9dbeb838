//! The machine as clients and peers meet it, without sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod bad;
mod credentials;
mod families;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::credentials::{LongTermKey, long_term_key, name, password};
use super::stun::{Class, Message, Method, Transaction, Writer, attribute};
use super::*;
use crate::runtime::clock::{Clock, Hand};

const SECRET: &[u8] = b"secret";
const RELAY: &str = "198.51.101.9";
const OUTSIDE: &str = "198.51.101.10";
const PEER: &str = "8.8.8.8:4000";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn options() -> Options {
    Options {
        realm: "example.org".to_owned(),
        secret: SECRET.to_vec(),
        addresses: vec![RelayAddress {
            local: ip(RELAY),
            external: ip(OUTSIDE),
        }],
        ports: 50_000..=50_999,
        policy: Policy {
            allowed: Box::new(|peer| peer == ip("10.0.0.7")),
            own: Box::new(|peer| peer == ip("198.51.101.11")),
        },
        bounds: Bounds {
            allocations: 4,
            allocations_per_owner: 2,
            lifetime: Duration::from_secs(3_600),
            permissions: 3,
            channels: 2,
            rate: 0,
            rate_total: 0,
            unproven: 10,
            connections: 10,
            connections_per_address: 5,
            queue: 1_000,
        },
    }
}

/// Puts attributes into a message.
type Fill = fn(Writer<'_>) -> Writer<'_>;

/// A machine whose sockets are their ports.
struct Rig {
    machine: Machine<u16>,
    hand: Hand,
    clock: Clock,
    port: u16,
    out: Vec<u8>,
}

/// A client, with what it knows.
struct Caller {
    client: Client,
    name: String,
    nonce: String,
    key: [u8; 16],
    transaction: Transaction,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Came {
    Nothing,
    Success,
    Error(u16),
}

impl Rig {
    fn new(options: Options) -> Rig {
        let (clock, hand) = Clock::manual();
        Rig {
            machine: Machine::new(options, clock.clone()),
            hand,
            clock,
            port: 50_000,
            out: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.wall() / 1_000
    }

    /// A client of `holder` that has a nonce.
    fn caller(&mut self, address: &str, holder: &str) -> Caller {
        let name = name(self.now() + 3_600, holder);
        let key = long_term_key(&name, "example.org", &password(SECRET, &name));
        let mut caller = Caller {
            client: Client {
                line: 0,
                address: address.parse().unwrap(),
            },
            name,
            nonce: String::new(),
            key,
            transaction: [0; 12],
        };
        let came = self.unproven(&caller, Method::Allocate, |writer| writer);
        assert_eq!(came, Came::Error(401));
        let message = Message::parse(&self.out).unwrap();
        assert_eq!(message.text(attribute::REALM), Some("example.org"));
        caller.nonce = message.text(attribute::NONCE).unwrap().to_owned();
        caller
    }

    fn unproven(
        &mut self,
        caller: &Caller,
        method: Method,
        fill: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Came {
        let mut bytes = Vec::new();
        let _ = fill(Writer::new(
            &mut bytes,
            Class::Request,
            method,
            caller.transaction,
        ));
        self.give(caller.client, &bytes)
    }

    /// A request with credentials.
    fn ask(
        &mut self,
        caller: &mut Caller,
        method: Method,
        fill: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Came {
        caller.transaction[0] = caller.transaction[0].wrapping_add(1);
        self.ask_again(caller, method, fill)
    }

    fn ask_again(
        &mut self,
        caller: &Caller,
        method: Method,
        fill: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Came {
        let mut bytes = Vec::new();
        let writer = Writer::new(&mut bytes, Class::Request, method, caller.transaction)
            .put(attribute::USERNAME, caller.name.as_bytes())
            .put(attribute::REALM, b"example.org")
            .put(attribute::NONCE, caller.nonce.as_bytes());
        fill(writer).sealed(&caller.key).fingerprint();
        let came = self.give(caller.client, &bytes);
        if came == Came::Success {
            let message = Message::parse(&self.out).unwrap();
            assert!(message.is_by(&caller.key) && message.fingerprint);
            assert_eq!(message.transaction, caller.transaction);
        }
        came
    }

    fn give(&mut self, client: Client, bytes: &[u8]) -> Came {
        match self.machine.from_client(client, bytes, &mut self.out) {
            Step::Nothing => Came::Nothing,
            Step::Forward { .. } => panic!("a request is not forwarded"),
            Step::Open(opening) => {
                let opened = self.opened(&opening);
                let made = self.machine.finish(opening, opened, &mut self.out);
                assert_eq!(made.is_some(), came(&self.out) == Came::Success);
                came(&self.out)
            }
            Step::Answer => came(&self.out),
        }
    }

    /// Owners are holders, but "gone" is none.
    fn opened(&mut self, opening: &Opening<u16>) -> Result<Opened<u16>, Failure> {
        if &*opening.holder == "gone" {
            return Err(Failure::Unauthorized);
        }
        self.machine.may_open(&opening.holder)?;
        let local = |port| SocketAddr::new(opening.address.local, port);
        if let Some((socket, local)) = opening.reserved {
            return Ok(Opened {
                owner: (*opening.holder).into(),
                socket,
                local,
                spare: None,
            });
        }
        self.port += 2;
        let port = self.port;
        Ok(Opened {
            owner: (*opening.holder).into(),
            socket: port,
            local: local(port),
            spare: opening.spare.then(|| (port + 1, local(port + 1))),
        })
    }

    fn allocate(&mut self, caller: &mut Caller) -> Came {
        self.ask(caller, Method::Allocate, udp)
    }

    fn take_up(&mut self, caller: &mut Caller, token: &[u8]) -> Came {
        self.ask(caller, Method::Allocate, |writer| {
            udp(writer).put(attribute::RESERVATION_TOKEN, token)
        })
    }

    fn permit(&mut self, caller: &mut Caller, peers: &[&str]) -> Came {
        self.ask(caller, Method::CreatePermission, |writer| {
            with_peers(writer, peers)
        })
    }

    fn channel(&mut self, caller: &mut Caller, number: u16, peer: &str) -> Came {
        self.ask(caller, Method::ChannelBind, |writer| {
            let [a, b] = number.to_be_bytes();
            with_peers(
                writer.put(attribute::CHANNEL_NUMBER, &[a, b, 0, 0]),
                &[peer],
            )
        })
    }

    fn attribute(&self, kind: u16) -> Vec<u8> {
        Message::parse(&self.out)
            .unwrap()
            .attribute(kind)
            .unwrap()
            .to_vec()
    }

    fn address(&self, kind: u16) -> SocketAddr {
        let message = Message::parse(&self.out).unwrap();
        message.address(message.attribute(kind).unwrap()).unwrap()
    }

    /// A Send indication; which socket sends what to whom.
    fn send(
        &mut self,
        caller: &Caller,
        peer: &str,
        data: &[u8],
    ) -> Option<(u16, SocketAddr, Vec<u8>)> {
        let mut bytes = Vec::new();
        let _ = with_peers(
            Writer::new(&mut bytes, Class::Indication, Method::Send, [9; 12]),
            &[peer],
        )
        .put(attribute::DATA, data);
        self.forwarded(caller, &bytes)
    }

    fn forwarded(&mut self, caller: &Caller, bytes: &[u8]) -> Option<(u16, SocketAddr, Vec<u8>)> {
        match self
            .machine
            .from_client(caller.client, bytes, &mut self.out)
        {
            Step::Forward { socket, peer, data } => Some((*socket, peer, data.to_vec())),
            Step::Nothing => None,
            _ => panic!("an indication is not answered"),
        }
    }

    /// What a client gets of what a peer sent to its allocation, the first that was made.
    fn heard(&mut self, caller: &Caller, peer: &str, data: &[u8]) -> Option<Vec<u8>> {
        let mut frame = Frame::default();
        frame.room()[..data.len()].copy_from_slice(data);
        frame.received(data.len());
        let passes = self
            .machine
            .from_peer((caller.client, 1), peer.parse().unwrap(), &mut frame);
        passes.then(|| frame.bytes().to_vec())
    }
}

fn came(out: &[u8]) -> Came {
    let message = Message::parse(out).unwrap();
    match message.class {
        Class::Success => Came::Success,
        Class::Error => {
            let value = message.attribute(attribute::ERROR_CODE).unwrap();
            Came::Error(u16::from(value[2]) * 100 + u16::from(value[3]))
        }
        _ => panic!("no answer"),
    }
}

fn udp(writer: Writer<'_>) -> Writer<'_> {
    writer.put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// For RTP and RTCP side by side.
fn pair(writer: Writer<'_>) -> Writer<'_> {
    udp(writer).put(attribute::EVEN_PORT, &[0x80])
}

fn with_peers<'a>(writer: Writer<'a>, peers: &[&str]) -> Writer<'a> {
    peers.iter().fold(writer, |writer, peer| {
        writer.address(attribute::XOR_PEER_ADDRESS, peer.parse().unwrap())
    })
}

/// A machine with one allocation.
fn allocated() -> (Rig, Caller) {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1000", "a");
    assert_eq!(rig.allocate(&mut caller), Came::Success);
    (rig, caller)
}

#[test]
fn who_asks_learns_its_address() {
    let mut rig = Rig::new(options());
    let caller = rig.caller("[::ffff:203.0.113.5]:1000", "a");
    assert_eq!(
        rig.unproven(&caller, Method::Binding, |writer| writer),
        Came::Success
    );
    let mapped = rig.address(attribute::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, "203.0.113.5:1000".parse().unwrap());
    let came = rig.unproven(&caller, Method::Binding, |writer| {
        writer.put(0x0003, &[0; 4])
    });
    assert_eq!(came, Came::Error(420));
    assert_eq!(rig.attribute(attribute::UNKNOWN_ATTRIBUTES), [0, 3]);
}

#[test]
fn an_allocation_is_made_once() {
    let (mut rig, mut caller) = allocated();
    let relayed = rig.address(attribute::XOR_RELAYED_ADDRESS);
    assert_eq!(relayed, format!("{OUTSIDE}:50002").parse().unwrap());
    assert_eq!(rig.attribute(attribute::LIFETIME), 600u32.to_be_bytes());
    assert_eq!(rig.ask_again(&caller, Method::Allocate, udp), Came::Success);
    assert_eq!(rig.address(attribute::XOR_RELAYED_ADDRESS), relayed);
    assert_eq!(rig.allocate(&mut caller), Came::Error(437));
    assert_eq!(rig.machine.counts().allocations, 1);
}

#[test]
fn credentials_must_be_right_and_in_force() {
    let mut rig = Rig::new(options());
    let mut wrong = rig.caller("203.0.113.5:1", "a");
    wrong.key[0] ^= 1;
    assert_eq!(rig.allocate(&mut wrong), Came::Error(401));
    let mut gone = rig.caller("203.0.113.5:2", "gone");
    assert_eq!(rig.allocate(&mut gone), Came::Error(401));
    let mut late = rig.caller("203.0.113.5:3", "a");
    rig.hand.advance(Duration::from_secs(601));
    assert_eq!(rig.allocate(&mut late), Came::Error(438));
    late.nonce = String::from_utf8(rig.attribute(attribute::NONCE)).unwrap();
    assert_eq!(rig.allocate(&mut late), Came::Success);
    rig.hand.advance(Duration::from_secs(3_000));
    let mut over = rig.caller("203.0.113.5:4", "b");
    over.name = late.name.clone();
    over.key = late.key;
    assert_eq!(rig.allocate(&mut over), Came::Error(401));
    // A call that is under way is not cut off.
    let nonce = over.nonce.clone();
    assert_eq!(
        rig.ask(&mut late, Method::Refresh, |writer| writer),
        Came::Error(438)
    );
    late.nonce = String::from_utf8(rig.attribute(attribute::NONCE)).unwrap();
    assert_eq!(
        rig.ask(&mut late, Method::Refresh, |writer| writer),
        Came::Success
    );
    late.nonce = nonce;
    assert_eq!(
        rig.ask(&mut late, Method::Refresh, |writer| writer),
        Came::Error(438)
    );
}

#[test]
fn half_of_the_credentials_is_a_bad_request() {
    let mut rig = Rig::new(options());
    let caller = rig.caller("203.0.113.5:1", "a");
    let came = rig.unproven(&caller, Method::Allocate, |writer| {
        writer
            .put(attribute::USERNAME, caller.name.as_bytes())
            .sealed(&caller.key)
    });
    assert_eq!(came, Came::Error(400));
}

#[test]
fn an_allocation_belongs_to_the_name_that_made_it() {
    let (mut rig, caller) = allocated();
    let mut other = rig.caller("203.0.113.5:1000", "b");
    assert_eq!(
        rig.ask(&mut other, Method::Refresh, |writer| writer),
        Came::Error(441)
    );
    assert_eq!(rig.permit(&mut other, &[PEER]), Came::Error(441));
    assert_eq!(rig.channel(&mut other, 0x4000, PEER), Came::Error(441));
    assert_eq!(caller.client, other.client);
}

#[test]
fn what_cannot_be_asked_for() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1", "a");
    let mut ask = |fill: fn(Writer<'_>) -> Writer<'_>| rig.ask(&mut caller, Method::Allocate, fill);
    assert_eq!(ask(|writer| writer), Came::Error(400));
    assert_eq!(
        ask(|writer| writer.put(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0])),
        Came::Error(442)
    );
    assert_eq!(
        ask(|writer| udp(writer).put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])),
        Came::Error(440)
    );
    assert_eq!(
        ask(|writer| udp(writer).put(attribute::REQUESTED_ADDRESS_FAMILY, &[7, 0, 0, 0])),
        Came::Error(440)
    );
    assert_eq!(
        ask(|writer| udp(writer).put(attribute::RESERVATION_TOKEN, &[0; 8])),
        Came::Error(508)
    );
    assert_eq!(rig.machine.counts().allocations, 0);
    for method in [
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ] {
        assert_eq!(
            rig.ask(&mut caller, method, |writer| writer),
            Came::Error(437)
        );
    }
    assert_eq!(
        rig.ask(&mut caller, Method::Other(0x00a), |writer| writer),
        Came::Nothing
    );
}

#[test]
fn bounds_hold() {
    let mut rig = Rig::new(options());
    let mut callers: Vec<_> = [
        ("1", "a"),
        ("2", "a"),
        ("3", "a"),
        ("4", "b"),
        ("5", "c"),
        ("6", "d"),
    ]
    .iter()
    .map(|(port, holder)| rig.caller(&format!("203.0.113.{port}:1000"), holder))
    .collect();
    let came: Vec<_> = callers
        .iter_mut()
        .map(|caller| rig.allocate(caller))
        .collect();
    let quota = Came::Error(486);
    let full = Came::Error(508);
    assert_eq!(
        came,
        [
            Came::Success,
            Came::Success,
            quota,
            Came::Success,
            Came::Success,
            full
        ]
    );
    rig.machine.end("a");
    assert_eq!(rig.machine.counts().allocations, 2);
    assert_eq!(rig.allocate(&mut callers[2]), Came::Success);
    let peers = ["8.8.8.1:1", "8.8.8.2:1", "8.8.8.3:1", "8.8.8.4:1"];
    assert_eq!(rig.permit(&mut callers[2], &peers), Came::Error(508));
    assert_eq!(
        rig.send(&callers[2], "8.8.8.1:1", b"x"),
        None,
        "all or none"
    );
    assert_eq!(rig.permit(&mut callers[2], &peers[..3]), Came::Success);
    assert_eq!(rig.permit(&mut callers[2], &peers[..2]), Came::Success);
    assert_eq!(
        rig.channel(&mut callers[2], 0x4000, peers[3]),
        Came::Error(508)
    );
    assert_eq!(
        rig.channel(&mut callers[2], 0x4000, peers[0]),
        Came::Success
    );
    assert_eq!(
        rig.channel(&mut callers[2], 0x4001, peers[1]),
        Came::Success
    );
    assert_eq!(
        rig.channel(&mut callers[2], 0x4002, peers[2]),
        Came::Error(508)
    );
}

#[test]
fn data_goes_to_and_comes_from_whom_the_client_permits() {
    let (mut rig, mut caller) = allocated();
    assert_eq!(rig.send(&caller, PEER, b"hello"), None);
    assert_eq!(rig.heard(&caller, PEER, b"hello"), None);
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    let peer: SocketAddr = PEER.parse().unwrap();
    assert_eq!(
        rig.send(&caller, PEER, b"hello"),
        Some((50_002, peer, b"hello".to_vec()))
    );
    assert_eq!(
        rig.send(&caller, "8.8.8.8:9", b""),
        Some((50_002, "8.8.8.8:9".parse().unwrap(), vec![]))
    );
    let got = rig.heard(&caller, PEER, b"hello").unwrap();
    let message = Message::parse(&got).unwrap();
    assert_eq!(
        (message.class, message.method),
        (Class::Indication, Method::Data)
    );
    assert_eq!(message.attribute(attribute::DATA), Some(&b"hello"[..]));
    let from = message.attribute(attribute::XOR_PEER_ADDRESS).unwrap();
    assert_eq!(message.address(from), Some(peer));
    assert_eq!(rig.heard(&caller, "8.8.4.4:4000", b"hello"), None);
    rig.hand.advance(Duration::from_secs(300));
    assert_eq!(rig.send(&caller, PEER, b"hello"), None, "a permission ends");
    let counts = rig.machine.counts();
    assert_eq!(
        (counts.to_peers, counts.to_clients),
        (
            Traffic {
                packets: 2,
                bytes: 5
            },
            Traffic {
                packets: 1,
                bytes: 5
            },
        )
    );
    assert_eq!(counts.dropped_unpermitted, 4);
}

#[test]
fn a_channel_makes_headers_short() {
    let (mut rig, mut caller) = allocated();
    assert_eq!(rig.channel(&mut caller, 0x3fff, PEER), Came::Error(400));
    assert_eq!(rig.channel(&mut caller, 0x7fff, PEER), Came::Error(400));
    assert_eq!(rig.channel(&mut caller, 0x4001, PEER), Came::Success);
    assert_eq!(
        rig.channel(&mut caller, 0x4001, "8.8.8.8:9"),
        Came::Error(400)
    );
    assert_eq!(rig.channel(&mut caller, 0x4002, PEER), Came::Error(400));
    let peer: SocketAddr = PEER.parse().unwrap();
    let sent = rig.forwarded(&caller, &[0x40, 1, 0, 2, b'h', b'i', 0, 0]);
    assert_eq!(sent, Some((50_002, peer, b"hi".to_vec())));
    assert_eq!(
        rig.heard(&caller, PEER, b"hi").unwrap(),
        [0x40, 1, 0, 2, b'h', b'i']
    );
    assert_eq!(
        rig.forwarded(&caller, &[0x40, 2, 0, 1, b'h']),
        None,
        "no such channel"
    );
    assert_eq!(
        rig.forwarded(&caller, &[0x40, 1, 0, 9, b'h']),
        None,
        "cut short"
    );
    assert_eq!(rig.forwarded(&caller, &[0x40, 1]), None);
    rig.hand.advance(Duration::from_secs(299));
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    rig.hand.advance(Duration::from_secs(299));
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    rig.hand.advance(Duration::from_secs(2));
    assert_eq!(
        rig.forwarded(&caller, &[0x40, 1, 0, 1, b'h']),
        None,
        "a channel ends"
    );
    assert!(rig.send(&caller, PEER, b"h").is_some());
}

#[test]
fn nothing_goes_to_forbidden_places() {
    let (mut rig, mut caller) = allocated();
    for peer in [
        "127.0.0.1:80",
        "10.0.0.8:80",
        "169.254.169.254:80",
        "192.168.0.1:80",
        "224.0.0.1:80",
        "198.51.101.11:22",
    ] {
        assert_eq!(
            rig.permit(&mut caller, &[PEER, peer]),
            Came::Error(403),
            "{peer}"
        );
        assert_eq!(
            rig.channel(&mut caller, 0x4000, peer),
            Came::Error(403),
            "{peer}"
        );
        assert_eq!(rig.send(&caller, peer, b"x"), None, "{peer}");
    }
    assert_eq!(rig.permit(&mut caller, &["[2a00::1]:80"]), Came::Error(443));
    assert_eq!(
        rig.permit(&mut caller, &["[::ffff:127.0.0.1]:80"]),
        Came::Error(443)
    );
    assert_eq!(rig.permit(&mut caller, &[]), Came::Error(400));
    assert_eq!(rig.permit(&mut caller, &["10.0.0.7:80"]), Came::Success);
    assert!(rig.send(&caller, "10.0.0.7:80", b"x").is_some());
    assert_eq!(rig.machine.counts().forbidden, 12);
}

#[test]
fn two_clients_of_one_relay_reach_each_other_and_nothing_else_there() {
    let (mut rig, mut caller) = allocated();
    let mut other = rig.caller("203.0.113.6:1000", "b");
    assert_eq!(rig.allocate(&mut other), Came::Success);
    let relayed = format!("{OUTSIDE}:50004");
    assert_eq!(rig.permit(&mut caller, &[&relayed]), Came::Success);
    let (socket, peer, _) = rig.send(&caller, &relayed, b"x").unwrap();
    assert_eq!(
        (socket, peer),
        (50_002, format!("{RELAY}:50004").parse().unwrap())
    );
    for port in [22, 50_003, 50_005] {
        assert_eq!(rig.send(&caller, &format!("{OUTSIDE}:{port}"), b"x"), None);
        assert_eq!(rig.send(&caller, &format!("{RELAY}:{port}"), b"x"), None);
    }
    let got = rig.heard(&caller, &format!("{RELAY}:50004"), b"x").unwrap();
    let message = Message::parse(&got).unwrap();
    let from = message.attribute(attribute::XOR_PEER_ADDRESS).unwrap();
    assert_eq!(message.address(from), Some(relayed.parse().unwrap()));
    assert_eq!(
        rig.ask(&mut other, Method::Refresh, |writer| writer
            .put(attribute::LIFETIME, &[0; 4])),
        Came::Success
    );
    assert_eq!(rig.send(&caller, &relayed, b"x"), None);
}

#[test]
fn an_allocation_ends_by_itself_by_wish_and_with_its_connection() {
    let (mut rig, mut caller) = allocated();
    rig.hand.advance(Duration::from_secs(599));
    rig.machine.expire();
    assert_eq!(rig.machine.counts().allocations, 1);
    let came = rig.ask(&mut caller, Method::Refresh, |writer| {
        writer.put(attribute::LIFETIME, &100_000u32.to_be_bytes())
    });
    assert_eq!(came, Came::Success);
    assert_eq!(rig.attribute(attribute::LIFETIME), 3_600u32.to_be_bytes());
    rig.hand.advance(Duration::from_secs(3_600));
    rig.machine.expire();
    assert_eq!(rig.machine.counts().allocations, 0);
    let mut caller = rig.caller("203.0.113.5:1000", "a");
    assert_eq!(rig.allocate(&mut caller), Came::Success);
    assert_eq!(
        rig.heard(&caller, PEER, b"late"),
        None,
        "that was for the one before"
    );
    assert_eq!(
        rig.ask(&mut caller, Method::Refresh, |writer| writer
            .put(attribute::LIFETIME, &[0; 4])),
        Came::Success
    );
    assert_eq!(rig.attribute(attribute::LIFETIME), [0; 4]);
    assert_eq!(rig.allocate(&mut caller), Came::Success);
    rig.machine.gone(1);
    assert_eq!(rig.machine.counts().allocations, 1);
    rig.machine.gone(0);
    assert_eq!(rig.machine.counts().allocations, 0);
}

#[test]
fn nobody_gets_more_than_its_share() {
    let mut wishes = options();
    wishes.bounds.rate = 1_000;
    let mut rig = Rig::new(wishes);
    let mut caller = rig.caller("203.0.113.5:1000", "a");
    assert_eq!(rig.allocate(&mut caller), Came::Success);
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    let sent = (0..10)
        .filter(|_| rig.send(&caller, PEER, &[0; 200]).is_some())
        .count();
    assert_eq!(sent, 5);
    assert_eq!(rig.heard(&caller, PEER, &[0; 200]), None);
    rig.hand.advance(Duration::from_millis(200));
    assert!(rig.heard(&caller, PEER, &[0; 200]).is_some());
    assert_eq!(rig.machine.counts().dropped_rate, 6);
}

#[test]
fn an_address_that_proves_nothing_gets_few_and_small_answers() {
    let mut rig = Rig::new(options());
    let client = Client {
        line: 0,
        address: "203.0.113.5:1000".parse().unwrap(),
    };
    let mut bytes = Vec::new();
    let _ = udp(Writer::new(
        &mut bytes,
        Class::Request,
        Method::Allocate,
        [1; 12],
    ));
    let answered = (0..100)
        .filter(|_| rig.give(client, &bytes) != Came::Nothing)
        .count();
    assert_eq!(answered, 20);
    assert!(rig.out.len() <= 100, "{} bytes", rig.out.len());
    assert_eq!(rig.machine.counts().floods, 80);
    rig.hand.advance(Duration::from_secs(1));
    let answered = (0..100)
        .filter(|_| rig.give(client, &bytes) != Came::Nothing)
        .count();
    assert_eq!(answered, 10);
}

#[test]
fn a_pair_of_ports_is_for_its_owner() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1000", "a");
    assert_eq!(rig.ask(&mut caller, Method::Allocate, pair), Came::Success);
    let token = rig.attribute(attribute::RESERVATION_TOKEN);
    let mut other = rig.caller("203.0.113.6:1000", "b");
    let mut second = rig.caller("203.0.113.5:1001", "a");
    assert_eq!(rig.take_up(&mut second, &token), Came::Success);
    assert_eq!(rig.address(attribute::XOR_RELAYED_ADDRESS).port(), 50_003);
    assert_eq!(rig.take_up(&mut other, &token), Came::Error(508));
}

#[test]
fn a_reserved_port_is_given_to_nobody_else() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1000", "a");
    assert_eq!(rig.ask(&mut caller, Method::Allocate, pair), Came::Success);
    let token = rig.attribute(attribute::RESERVATION_TOKEN);
    let mut other = rig.caller("203.0.113.6:1000", "b");
    assert_eq!(rig.take_up(&mut other, &token), Came::Error(508));
    let mut late = rig.caller("203.0.113.7:1000", "c");
    assert_eq!(rig.ask(&mut late, Method::Allocate, pair), Came::Success);
    let token = rig.attribute(attribute::RESERVATION_TOKEN);
    rig.hand.advance(Duration::from_secs(30));
    let mut second = rig.caller("203.0.113.7:1001", "c");
    assert_eq!(rig.take_up(&mut second, &token), Came::Error(508));
}

proptest! {
    /// Whatever comes: no panic, and no packet for anybody from who has no allocation.
    #[test]
    fn nothing_from_strangers_is_forwarded(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
        let mut rig = Rig::new(options());
        let client = Client { line: 0, address: "203.0.113.5:1000".parse().unwrap() };
        for mut packet in packets {
            if packet.len() >= 20 && packet[0] & 1 == 0 {
                let length = (packet.len() - 20) as u16;
                packet[0] &= 1;
                packet[2..4].copy_from_slice(&length.to_be_bytes());
                packet[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let step = rig.machine.from_client(client, &packet, &mut rig.out);
            prop_assert!(matches!(step, Step::Nothing | Step::Answer));
        }
        prop_assert_eq!(rig.machine.counts().allocations, 0);
    }

    /// What goes in comes out, whichever way, whatever its length.
    #[test]
    fn data_stays_what_it_is(data in prop::collection::vec(any::<u8>(), 0..1500), bound: bool) {
        let (mut rig, mut caller) = allocated();
        prop_assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
        if bound {
            prop_assert_eq!(rig.channel(&mut caller, 0x4abc, PEER), Came::Success);
        }
        let (_, _, sent) = rig.send(&caller, PEER, &data).unwrap();
        prop_assert_eq!(&sent, &data);
        let got = rig.heard(&caller, PEER, &data).unwrap();
        let inside = match bound {
            true => got[4..].to_vec(),
            false => Message::parse(&got).unwrap().attribute(attribute::DATA).unwrap().to_vec(),
        };
        prop_assert_eq!(inside, data);
    }
}
