//! What must hold for any bytes that clients and peers of the relay send.

use std::net::SocketAddr;
use std::time::Duration;

use super::relay::credentials::{Algorithm, LongTermKey, name, password};
use super::relay::stun::{Class, Message, Method, Seal, Writer, attribute};
use super::relay::{
    Bounds, Client, Frame, Machine, Opened, Options, Policy, RelayAddress, Step, message_length,
};
use super::runtime::clock::Clock;

const SECRET: &[u8] = b"secret";
const REALM: &str = "example.org";
/// The one peer that may be reached, and the address of the relay.
const PEER: [u8; 4] = [8, 8, 8, 8];
const RELAY: [u8; 4] = [198, 51, 101, 9];
/// The largest answer to who has proved nothing.
const UNPROVEN: usize = 128;

/// Target `relay`: the first byte chooses who sends the rest, cut as a stream of messages: somebody unknown, somebody with an
/// allocation, or that one with each message's attributes in a request that is rightly sealed, in the old way or in that of
/// RFC 8489; or a peer.
pub fn relay(data: &[u8]) {
    let [choice, rest @ ..] = data else {
        return;
    };
    let mut rig = Rig::new();
    match choice % 5 {
        0 => rig.feed(rig.stranger, rest),
        1 => rig.feed(rig.client, rest),
        2 => rig.sealed(rest),
        3 => rig.peer(rest),
        _ => {
            rig.algorithm = Algorithm::Sha256;
            rig.sealed(rest);
        }
    }
}

struct Rig {
    machine: Machine<()>,
    stranger: Client,
    client: Client,
    name: String,
    nonce: String,
    algorithm: Algorithm,
    out: Vec<u8>,
}

impl Rig {
    fn new() -> Rig {
        let (clock, _) = Clock::manual();
        let at = |port| Client {
            line: 0,
            address: SocketAddr::from(([203, 0, 113, 5], port)),
        };
        let name = name(clock.wall() / 1_000 + 60, "a");
        let mut rig = Rig {
            machine: Machine::new(options(), clock),
            stranger: at(1),
            client: at(2),
            algorithm: Algorithm::Md5,
            name,
            nonce: String::new(),
            out: Vec::new(),
        };
        let udp = [0, 25, 0, 4, 17, 0, 0, 0];
        rig.ask(Method::Allocate, &udp);
        rig.nonce = Message::parse(&rig.out)
            .expect("an answer")
            .text(attribute::NONCE)
            .expect("a nonce")
            .to_owned();
        rig.ask(Method::Allocate, &udp);
        assert_eq!(rig.machine.counts().allocations, 1);
        rig
    }

    /// A request of the client with these attributes, if they are such.
    fn ask(&mut self, method: Method, attributes: &[u8]) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, Class::Request, method, [1; 12]);
        let mut rest = attributes;
        while let [a, b, c, d, more @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*c, *d])).min(more.len());
            let (value, after) = more.split_at(length);
            writer = writer.put(u16::from_be_bytes([*a, *b]), value);
            rest = after
                .get(length.next_multiple_of(4) - length..)
                .unwrap_or_default();
        }
        let writer = writer
            .put(attribute::USERNAME, self.name.as_bytes())
            .put(attribute::REALM, REALM.as_bytes())
            .put(attribute::NONCE, self.nonce.as_bytes());
        let key = self
            .algorithm
            .key(&self.name, REALM, &password(SECRET, &self.name));
        let writer = match key {
            LongTermKey::Md5(_) => writer.sealed_by(Seal::Sha1, key.as_slice()),
            LongTermKey::Sha256(_) => writer
                .put(attribute::PASSWORD_ALGORITHMS, &Algorithm::OFFERED)
                .put(attribute::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
                .sealed_by(Seal::Sha256, key.as_slice()),
        };
        writer.fingerprint();
        self.give(self.client, &bytes);
    }

    fn give(&mut self, client: Client, bytes: &[u8]) {
        self.out.clear();
        match self.machine.from_client(client, bytes, &mut self.out) {
            Step::Nothing => return,
            Step::Forward { peer, data, .. } => {
                assert!(client == self.client, "a stranger is relayed");
                assert_eq!(
                    peer.ip(),
                    std::net::IpAddr::from(PEER),
                    "a forbidden peer is reached"
                );
                assert!(data.len() < bytes.len());
                return;
            }
            Step::Answer => {}
            Step::Open(opening) => {
                assert!(client == self.client, "a stranger gets an address");
                let local = SocketAddr::new(opening.address.local, 50_000);
                let opened = Opened {
                    owner: "a".into(),
                    socket: (),
                    local,
                    spare: None,
                };
                self.machine.finish(opening, Ok(opened), &mut self.out);
            }
        }
        let answer = Message::parse(&self.out).expect("an answer is a message");
        assert!(matches!(answer.class, Class::Success | Class::Error));
        assert!(
            client == self.client || self.out.len() <= UNPROVEN,
            "a long answer to a stranger"
        );
    }

    fn feed(&mut self, client: Client, mut bytes: &[u8]) {
        while let Ok(Some(length)) = message_length(bytes) {
            let (message, rest) = bytes.split_at(length.min(bytes.len()));
            self.give(client, message);
            bytes = rest;
        }
    }

    fn sealed(&mut self, mut bytes: &[u8]) {
        let methods = [
            Method::Allocate,
            Method::Refresh,
            Method::CreatePermission,
            Method::ChannelBind,
        ];
        while let [method, length, rest @ ..] = bytes {
            let (attributes, after) = rest.split_at(usize::from(*length).min(rest.len()));
            self.ask(methods[usize::from(method % 4)], attributes);
            bytes = after;
        }
        // Whatever was permitted: only the one peer is reached.
        for number in 0x4000..0x4010_u16 {
            let [a, b] = number.to_be_bytes();
            self.give(self.client, &[a, b, 0, 1, 7]);
        }
    }

    fn peer(&mut self, bytes: &[u8]) {
        let from = SocketAddr::from((PEER, 9));
        let mut frame = Frame::default();
        frame.room()[..bytes.len().min(9_000)].copy_from_slice(&bytes[..bytes.len().min(9_000)]);
        frame.received(bytes.len().min(9_000));
        assert!(
            !self.machine.from_peer((self.client, 1), from, &mut frame),
            "nobody permitted it"
        );
    }
}

fn options() -> Options {
    Options {
        realm: REALM.to_owned(),
        secret: SECRET.to_vec(),
        addresses: vec![RelayAddress {
            local: RELAY.into(),
            external: RELAY.into(),
        }],
        ports: 50_000..=50_999,
        policy: Policy {
            allowed: Box::new(|_| false),
            own: Box::new(|ip| ip != std::net::IpAddr::from(PEER)),
        },
        bounds: Bounds {
            allocations: 4,
            allocations_per_owner: 4,
            lifetime: Duration::from_secs(3_600),
            permissions: 8,
            channels: 8,
            rate: 0,
            rate_total: 0,
            unproven: 1_000,
            connections: 1,
            connections_per_address: 1,
            queue: 1_000,
        },
    }
}
