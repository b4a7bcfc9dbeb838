//! Voice and video: the relay for calls (RFC 8656) and how clients learn of it (XEP-0215).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::relay::credentials::long_term_key;
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

/// A client of the relay.
struct Caller {
    socket: UdpSocket,
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
        let username = service.attr("username").unwrap();
        let password = service.attr("password").unwrap();
        Caller {
            socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            relay,
            username: username.to_owned(),
            key: long_term_key(username, REALM, password),
            nonce: String::new(),
            count: 0,
        }
    }

    async fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 2_000];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut bytes)).await;
        let (length, from) = received.ok()?.unwrap();
        assert_eq!(from, self.relay);
        bytes.truncate(length);
        Some(bytes)
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
            self.socket.send_to(&bytes, self.relay).await.unwrap();
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

    async fn say(&self, number: u16, data: &[u8]) {
        let ([a, b], [c, d]) = (number.to_be_bytes(), (data.len() as u16).to_be_bytes());
        let bytes = [&[a, b, c, d], data].concat();
        self.socket.send_to(&bytes, self.relay).await.unwrap();
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
