//! Voice and video: the relay for calls (RFC 8656) and how clients learn of it (XEP-0215).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::relay::credentials::long_term_key;
use waxwing::relay::message_length;
use waxwing::relay::stun::{Class, Message, Method, Writer, attribute};
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::process::Process;
use crate::support::server::{Running, start_server};

const PATIENCE: Duration = Duration::from_secs(5);
const REALM: &str = "localhost";

fn services() -> Element {
    Element::new("services", ns::EXTDISCO)
}

async fn client(server: &Running, account: &Jid) -> Client {
    server.client(account).connect(server.addr).await.unwrap()
}

async fn ask(client: &mut Client, payload: Element) -> Result<Element, Error> {
    let answer = client.request("get", Some("localhost"), payload).await?;
    Ok(answer.children().next().unwrap().to_element())
}

fn all(services: &Element) -> Vec<Element> {
    services
        .children()
        .map(|service| service.to_element())
        .collect()
}

fn condition(error: &Error) -> Option<Condition> {
    match error {
        Error::Refused(error) => Some(error.condition),
        _ => None,
    }
}

/// What a service says of itself: type, port, transport.
fn place(service: &Element) -> (String, u16, String) {
    let attr = |name| service.attr(name).unwrap().to_owned();
    (
        attr("type"),
        attr("port").parse().unwrap(),
        attr("transport"),
    )
}

/// How a client reaches the relay.
enum Line {
    Datagrams(UdpSocket),
    Stream(TcpStream),
}

impl Line {
    async fn send(&mut self, bytes: &[u8], relay: SocketAddr) {
        match self {
            Line::Datagrams(socket) => drop(socket.send_to(bytes, relay).await.unwrap()),
            Line::Stream(stream) => stream.write_all(bytes).await.unwrap(),
        }
    }

    /// One message.
    async fn receive(&mut self, relay: SocketAddr) -> Vec<u8> {
        let mut bytes = vec![0; 2_000];
        let length = match self {
            Line::Datagrams(socket) => {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                assert_eq!(from, relay);
                length
            }
            Line::Stream(stream) => {
                stream.read_exact(&mut bytes[..4]).await.unwrap();
                let length = message_length(&bytes[..4]).unwrap().unwrap();
                stream.read_exact(&mut bytes[4..length]).await.unwrap();
                length
            }
        };
        bytes.truncate(length);
        bytes
    }
}

/// A client of the relay.
struct Caller {
    line: Line,
    relay: SocketAddr,
    username: String,
    key: [u8; 16],
    nonce: String,
    count: u8,
}

impl Caller {
    /// With the credentials that `client` gets.
    async fn new(server: &Running, client: &mut Client) -> Caller {
        let turn = services().with_attr("type", "turn");
        let turn = all(&ask(client, turn).await.unwrap()).remove(0);
        Caller::with(server.own().relay_addresses()[0], &turn).await
    }

    async fn with(relay: SocketAddr, service: &Element) -> Caller {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Caller::on(Line::Datagrams(socket), relay, service)
    }

    fn on(line: Line, relay: SocketAddr, service: &Element) -> Caller {
        let username = service.attr("username").unwrap();
        let password = service.attr("password").unwrap();
        Caller {
            line,
            relay,
            username: username.to_owned(),
            key: long_term_key(username, REALM, password),
            nonce: String::new(),
            count: 0,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.line.send(bytes, self.relay).await;
    }

    async fn receive(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.line.receive(self.relay)).await.ok()
    }

    /// The answer to a request: its code if it is an error; asked again where the nonce was to be learnt.
    async fn ask(
        &mut self,
        method: Method,
        fill: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<Vec<u8>, u16> {
        for _ in 0..2 {
            self.count += 1;
            let mut bytes = Vec::new();
            let writer = Writer::new(&mut bytes, Class::Request, method, [self.count; 12]);
            let writer = writer
                .put(attribute::USERNAME, self.username.as_bytes())
                .put(attribute::REALM, REALM.as_bytes())
                .put(attribute::NONCE, self.nonce.as_bytes());
            fill(writer).sealed(&self.key).fingerprint();
            self.send(&bytes).await;
            let answer = self.receive().await.expect("an answer");
            let message = Message::parse(&answer).unwrap();
            assert_eq!(message.transaction, [self.count; 12]);
            if message.class == Class::Success {
                assert!(message.is_by(&self.key));
                return Ok(answer);
            }
            let code = message.attribute(attribute::ERROR_CODE).unwrap();
            let code = u16::from(code[2]) * 100 + u16::from(code[3]);
            if code != 438 {
                return Err(code);
            }
            self.nonce = message.text(attribute::NONCE).unwrap().to_owned();
        }
        Err(438)
    }

    /// The address it has at the relay.
    async fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.ask(Method::Allocate, with_udp).await?;
        let message = Message::parse(&answer).unwrap();
        let relayed = message.attribute(attribute::XOR_RELAYED_ADDRESS).unwrap();
        Ok(message.address(relayed).unwrap())
    }

    async fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<(), u16> {
        let [a, b] = number.to_be_bytes();
        let bound = self.ask(Method::ChannelBind, |writer| {
            let writer = writer.put(attribute::CHANNEL_NUMBER, &[a, b, 0, 0]);
            writer.address(attribute::XOR_PEER_ADDRESS, peer)
        });
        bound.await.map(drop)
    }

    async fn say(&mut self, number: u16, data: &[u8]) {
        let ([a, b], [c, d]) = (number.to_be_bytes(), (data.len() as u16).to_be_bytes());
        let bytes = [&[a, b, c, d], data].concat();
        self.send(&bytes).await;
    }
}

fn with_udp(writer: Writer<'_>) -> Writer<'_> {
    writer.put(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// Two accounts with an address each at the relay.
async fn two(server: &Running) -> [(Jid, Caller, SocketAddr); 2] {
    let mut both = Vec::new();
    for name in ["juliet", "romeo"] {
        let account = server.account(name).await.unwrap();
        let mut session = client(server, &account).await;
        let mut caller = Caller::new(server, &mut session).await;
        let relayed = caller.allocate().await.unwrap();
        both.push((account, caller, relayed));
    }
    both.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test]
async fn accounts_learn_where_calls_find_a_way() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = client(&server, &juliet).await;
    let port = server.own().relay_addresses()[0].port();
    let found = all(&ask(&mut balcony, services()).await.unwrap());
    let places: Vec<_> = found.iter().map(place).collect();
    let at = |kind: &str, transport: &str| {
        let found = places
            .iter()
            .find(|place| place.0 == kind && place.2 == transport);
        found
            .unwrap_or_else(|| panic!("no {kind} by {transport} in {places:?}"))
            .1
    };
    assert_eq!((at("stun", "udp"), at("turn", "udp")), (port, port));
    assert!(at("turn", "tcp") != 0 && at("turns", "tcp") != 0);
    for service in &found {
        assert_eq!(service.attr("host"), Some("localhost"));
        let open = service.attr("type") == Some("stun");
        for credential in ["username", "password", "expires", "restricted"] {
            assert_eq!(service.attr(credential).is_none(), open, "{credential}");
        }
        // Who reads along does not learn whose call it is.
        assert!(!format!("{service:?}").contains(juliet.node().unwrap()));
    }
    // §3.2
    let turn = ask(&mut balcony, services().with_attr("type", "turn"))
        .await
        .unwrap();
    assert_eq!(turn.attr("type"), Some("turn"));
    assert_eq!(all(&turn).len(), 2);
    let none = ask(&mut balcony, services().with_attr("type", "ftp"))
        .await
        .unwrap();
    assert_eq!(all(&none).len(), 0);
}

#[tokio::test]
async fn credentials_are_given_for_a_service_that_is_known() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = client(&server, &juliet).await;
    let credentials = |attrs: &[(&str, &str)]| {
        let service = attrs.iter().fold(
            Element::new("service", ns::EXTDISCO),
            |el, (name, value)| el.with_attr(name, value),
        );
        Element::new("credentials", ns::EXTDISCO).with_child(service)
    };
    let port = server.own().relay_addresses()[0].port().to_string();
    let asked = credentials(&[("host", "localhost"), ("type", "turn"), ("port", &port)]);
    let given = all(&ask(&mut balcony, asked).await.unwrap());
    assert_eq!(given.len(), 1);
    assert!(given[0].attr("password").is_some());
    let asked = credentials(&[("host", "localhost"), ("type", "turn")]);
    assert_eq!(all(&ask(&mut balcony, asked).await.unwrap()).len(), 2);
    for (attrs, expected) in [
        (
            &[("host", "localhost"), ("type", "stun")][..],
            Condition::ItemNotFound,
        ),
        (
            &[("host", "elsewhere"), ("type", "turn")],
            Condition::ItemNotFound,
        ),
        (&[("host", "localhost")], Condition::BadRequest),
        (&[("type", "turn")], Condition::BadRequest),
        (
            &[("host", "localhost"), ("type", "turn"), ("port", "x")],
            Condition::BadRequest,
        ),
    ] {
        let refused = ask(&mut balcony, credentials(attrs)).await.unwrap_err();
        assert_eq!(condition(&refused), Some(expected), "{attrs:?}");
    }
    let empty = Element::new("credentials", ns::EXTDISCO);
    let refused = ask(&mut balcony, empty).await.unwrap_err();
    assert_eq!(condition(&refused), Some(Condition::BadRequest));
}

#[tokio::test]
async fn relays_of_others_are_told_of_with_what_they_want_to_see() {
    let services_of_others = r#"modules.external_services.services=[
        { host = "turn.example.net", secret = "north" },
        { kind = "stun", host = "stun.example.net", port = 19302, name = "theirs" },
        { kind = "turns", host = "old.example.net", transport = "tcp", username = "all", password = "same" }]"#;
    let sets = [services_of_others, "modules.external_services.own=false"];
    let server = start_server(&sets).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = client(&server, &juliet).await;
    let found = all(&ask(&mut balcony, services()).await.unwrap());
    assert_eq!(found.len(), 3);
    let [turn, stun, turns] = [&found[0], &found[1], &found[2]];
    let username = turn.attr("username").unwrap();
    let password = waxwing::relay::credentials::password(b"north", username);
    assert_eq!(turn.attr("password"), Some(password.as_str()));
    assert!(username.split(':').next().unwrap().parse::<u64>().is_ok());
    assert_eq!(
        (stun.attr("name"), stun.attr("username")),
        (Some("theirs"), None)
    );
    assert_eq!(
        (turns.attr("username"), turns.attr("password")),
        (Some("all"), Some("same"))
    );
    assert_eq!(turns.attr("expires"), None);
}

#[tokio::test]
async fn two_accounts_reach_each_other_through_the_relay() {
    let server = start_server(&[]).await;
    let [(_, mut one, at_one), (_, mut other, at_other)] = two(&server).await;
    one.bind(0x4000, at_other).await.unwrap();
    other.bind(0x4001, at_one).await.unwrap();
    for length in [0, 1, 200, 1_200] {
        let data = vec![length as u8; length];
        one.say(0x4000, &data).await;
        let got = other.receive().await.unwrap();
        assert_eq!((&got[..2], &got[4..]), (&[0x40, 1][..], &data[..]));
        other.say(0x4001, &data).await;
        assert_eq!(one.receive().await.unwrap()[4..], data);
    }
    // What is behind the server stays there.
    assert_eq!(
        one.bind(0x4002, "127.0.0.2:22".parse().unwrap()).await,
        Err(403)
    );
    assert_eq!(
        one.bind(0x4002, "10.0.0.1:22".parse().unwrap()).await,
        Err(403)
    );
    // Loopback is the relay's own address here: nothing but the two is reached there.
    one.bind(0x4002, server.addr).await.unwrap();
    one.say(0x4002, b"x").await;
    one.say(0x4000, b"y").await;
    assert_eq!(other.receive().await.unwrap()[4..], *b"y");
}

#[tokio::test]
async fn who_has_no_account_any_more_is_not_relayed() {
    let server = start_server(&[]).await;
    let [(juliet, mut one, at_one), (_, mut other, at_other)] = two(&server).await;
    one.bind(0x4000, at_other).await.unwrap();
    other.bind(0x4001, at_one).await.unwrap();
    server.accounts().delete(&juliet).await.unwrap();
    let ended = async {
        while one.ask(Method::Refresh, |writer| writer).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(one.allocate().await, Err(401));
    assert!(other.ask(Method::Refresh, |writer| writer).await.is_ok());
}

/// Within TLS at the port where clients connect: ALPN tells, or the first bytes.
#[tokio::test]
async fn the_relay_is_reached_where_clients_connect() {
    let server = start_server(&[]).await;
    for protocol in ["stun.turn", ""] {
        let connector = server.trust.connector(protocol).unwrap();
        let name = "localhost".try_into().unwrap();
        let socket = TcpStream::connect(server.addr).await.unwrap();
        let own = socket.local_addr().unwrap();
        let mut stream = connector.connect(name, socket).await.unwrap();
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, Class::Request, Method::Binding, [7; 12]).fingerprint();
        // One that is not whole is waited for.
        stream.write_all(&bytes[..10]).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&bytes[10..]).await.unwrap();
        let mut answer = [0; 40];
        let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.expect("an answer").unwrap();
        let message = Message::parse(&answer).unwrap();
        let mapped = message.attribute(attribute::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(message.address(mapped), Some(own), "{protocol}");
    }
}

#[tokio::test]
async fn changes_are_pushed_to_who_asked() {
    let server = Process::start(&["juliet"], &[]);
    let mut balcony = server.client("juliet").connect(server.addr).await.unwrap();
    balcony.presence().await.unwrap();
    let turn = services().with_attr("type", "turn");
    let before = all(&ask(&mut balcony, turn).await.unwrap());
    let service =
        "[[modules.external_services.services]]\nhost = \"turn.example.net\"\nsecret = \"north\"\n";
    server.write_config(&format!("{service}kind = \"turn\"\n[[modules.external_services.services]]\nkind = \"stun\"\nhost = \"stun.example.net\"\n"));
    server.hangup();
    let push = |el: &Element| {
        el.attr("type") == Some("set") && el.child("services", ns::EXTDISCO).is_some()
    };
    let pushed = balcony.wait_for("a push", push).await.unwrap();
    let pushed = pushed.child("services", ns::EXTDISCO).unwrap().to_element();
    assert_eq!(pushed.attr("type"), Some("turn"));
    let added = all(&pushed);
    assert_eq!(added.len(), 1, "{added:?}");
    assert_eq!(
        (added[0].attr("action"), added[0].attr("host")),
        (Some("add"), Some("turn.example.net"))
    );
    assert!(added[0].attr("password").is_some());
    server.write_config(&format!("{service}kind = \"turn\"\nname = \"ours\"\n"));
    server.hangup();
    let pushed = balcony.wait_for("a push", push).await.unwrap();
    let pushed = pushed.child("services", ns::EXTDISCO).unwrap().to_element();
    let [changed] = &all(&pushed)[..] else {
        panic!("{pushed:?}");
    };
    assert_eq!(
        (changed.attr("action"), changed.attr("name")),
        (Some("modify"), Some("ours"))
    );
    server.write_config("[modules.external_services]\nown = false\n");
    server.hangup();
    let pushed = balcony.wait_for("a push", push).await.unwrap();
    let pushed = pushed.child("services", ns::EXTDISCO).unwrap().to_element();
    let gone = all(&pushed);
    assert_eq!(gone.len(), before.len() + 1);
    assert!(
        gone.iter()
            .all(|service| service.attr("action") == Some("delete"))
    );
}

/// A message by TCP: what begins with it, and what comes of that.
async fn by_tcp(relay: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, stream.read(&mut [0; 100])).await;
    // What was not read when it was closed makes it a reset.
    matches!(read, Ok(Ok(0) | Err(_)))
}

fn binding() -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, Class::Request, Method::Binding, [7; 12]).fingerprint();
    bytes
}

/// Where the relay is by TCP.
async fn tcp_door(server: &Running, client: &mut Client) -> SocketAddr {
    let services = ask(client, services()).await.unwrap();
    let mut places = all(&services).into_iter().map(|service| place(&service));
    let door = places.find(|place| place.0 == "turn" && place.2 == "tcp");
    SocketAddr::new(server.addr.ip(), door.unwrap().1)
}

#[tokio::test]
async fn connections_that_say_something_else_or_are_too_many_are_closed() {
    let server = start_server(&["relay.connections_per_address=2"]).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut balcony = client(&server, &juliet).await;
    let relay = tcp_door(&server, &mut balcony).await;
    for odd in [&[0x16, 3, 1, 0, 5, 1][..], &[0xff; 100], &[0x80, 0, 0, 0]] {
        assert!(is_closed(&mut by_tcp(relay, odd).await).await, "{odd:?}");
    }
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = by_tcp(relay, &binding()).await;
        let mut answer = [0; 40];
        let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.expect("an answer").unwrap();
        held.push(stream);
    }
    assert!(is_closed(&mut by_tcp(relay, &binding()).await).await);
    // A place is free again once somebody goes.
    drop(held.pop());
    let again = async {
        loop {
            let mut stream = by_tcp(relay, &binding()).await;
            if stream.read_exact(&mut [0; 40]).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

/// Forged, cut short, and in somebody else's name: silence, or the error that the standard names; nobody else notices.
#[tokio::test]
async fn what_is_no_message_is_not_answered() {
    let server = start_server(&[]).await;
    let [(_, mut one, _), _] = two(&server).await;
    let mut broken = binding();
    broken[27] ^= 1;
    let cut_short = &binding()[..20];
    for odd in [
        &broken[..],
        cut_short,
        b"",
        b"x",
        &[0x40, 0, 0xff, 0xff],
        &[3; 1_200],
    ] {
        one.send(odd).await;
    }
    let (username, key) = (one.username.clone(), one.key);
    one.key[0] ^= 1;
    assert_eq!(one.ask(Method::Refresh, |writer| writer).await, Err(401));
    one.key = key;
    one.username.push('0');
    assert_eq!(one.ask(Method::Refresh, |writer| writer).await, Err(401));
    one.username = username;
    // The answers to what was asked in the right way came in their order, and no other between them.
    assert!(one.ask(Method::Refresh, |writer| writer).await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_packets_and_keeps_no_memory() {
    let sets = [
        "relay.queue=64KiB",
        "relay.bytes_per_second=1GiB",
        "relay.bytes_per_second_total=1GiB",
    ];
    let server = start_server(&sets).await;
    let [(juliet, mut one, at_one), _] = two(&server).await;
    let mut session = client(&server, &juliet).await;
    let relay = tcp_door(&server, &mut session).await;
    let turn = all(&ask(&mut session, services().with_attr("type", "turn"))
        .await
        .unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = Line::Stream(socket.connect(relay).await.unwrap());
    let mut slow = Caller::on(stream, relay, &turn[0]);
    let at_slow = slow.allocate().await.unwrap();
    slow.bind(0x4001, at_one).await.unwrap();
    one.bind(0x4000, at_slow).await.unwrap();
    let full = || {
        let samples = server.own().metrics().samples();
        samples
            .value("waxwing_relay_dropped_total", &[("reason", "full")])
            .unwrap_or_default()
    };
    let flooded = async {
        while full() == 0.0 {
            for _ in 0..100 {
                one.say(0x4000, &[7; 1_200]).await;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE * 4, flooded)
        .await
        .expect("what is not read is dropped");
    assert!(one.ask(Method::Refresh, |writer| writer).await.is_ok());
}

#[tokio::test]
async fn a_reload_changes_what_the_relay_does() {
    let server = Process::start(&["juliet"], &[]);
    let mut balcony = server.client("juliet").connect(server.addr).await.unwrap();
    let turn = services().with_attr("type", "turn");
    let turn = all(&ask(&mut balcony, turn).await.unwrap());
    let udp = turn
        .iter()
        .find(|turn| turn.attr("transport") == Some("udp"));
    let udp = udp.unwrap();
    let relay = SocketAddr::new(server.addr.ip(), place(udp).1);
    let mut one = Caller::with(relay, udp).await;
    one.allocate().await.unwrap();
    let mut other = Caller::with(relay, udp).await;
    server.write_config("[relay]\nallocations_per_account = 1\n");
    server.hangup();
    let refused = async {
        while other.allocate().await.is_ok() {
            let ended = other.ask(Method::Refresh, without_time);
            ended.await.unwrap();
        }
        other.allocate().await.unwrap_err()
    };
    assert_eq!(timeout(PATIENCE, refused).await.unwrap(), 486);
    // What is there stays.
    assert!(one.ask(Method::Refresh, |writer| writer).await.is_ok());
}

fn without_time(writer: Writer<'_>) -> Writer<'_> {
    writer.put(attribute::LIFETIME, &[0; 4])
}
