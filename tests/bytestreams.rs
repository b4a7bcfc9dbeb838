//! Bytestreams through the server: SOCKS5 on the port of clients, two by two (XEP-0065).

use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use waxwing::proto::{Condition, Jid, StanzaError, ns};
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_server};

const ADDRESS: &str = "modules.bytestreams.address=proxy.example:7625";
const SERVICE: &str = "proxy.localhost";
const TARGET: &str = "target@elsewhere.example/bar";
const NOTHING: &[u8] = &[];
const PATIENCE: Duration = Duration::from_secs(10);

async fn start(sets: &[&str]) -> Running {
    let sets: Vec<&str> = sets.iter().copied().chain([ADDRESS]).collect();
    start_server(&sets).await
}

async fn online(server: &Running, name: &str) -> Client {
    let jid = server.account(name).await.unwrap();
    server.client(&jid).connect(server.addr).await.unwrap()
}

fn hash(sid: &str, requester: &Jid, target: &str) -> String {
    let hash = Sha1::new()
        .chain_update(sid)
        .chain_update(requester.as_str())
        .chain_update(target)
        .finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `CONNECT` to a name, as XEP-0065 §6.3.2 has it.
fn connect(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[5, 1, 0, 3, length], name.as_bytes(), &[0, 0]].concat()
}

/// Sends what begins a connection, and reads so many bytes of the answers; fewer if it is closed.
async fn say(server: &Running, words: &[&[u8]], length: usize) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    for words in words {
        stream.write_all(words).await.unwrap();
    }
    let heard = hear(&mut stream, length).await;
    (stream, heard)
}

/// So many bytes; fewer if the connection ends before.
async fn hear(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut bytes = stream.take(length as u64);
    let reading = bytes.read_to_end(&mut heard);
    // A reset is an end too.
    let _ = timeout(PATIENCE, reading).await.expect("bytes or an end");
    heard
}

/// Waits under a name.
async fn waits(server: &Running, name: &str) -> TcpStream {
    let (stream, heard) = say(server, &[&[5, 1, 0], &connect(name)], 2 + 7 + name.len()).await;
    let welcome = [&[5, 0], &connect(name)[..]].concat();
    // The answer has the address of the request (§6.3.2).
    assert_eq!(heard[..2], welcome[..2]);
    assert_eq!(heard[2..5], [5, 0, 0]);
    assert_eq!(heard[5..], welcome[5..]);
    stream
}

fn activate(sid: &str, target: &str) -> Element {
    let activate = Element::new("activate", ns::BYTESTREAMS).with_text(target);
    Element::new("query", ns::BYTESTREAMS)
        .with_attr("sid", sid)
        .with_child(activate)
}

async fn refused(client: &mut Client, verb: &str, query: Element) -> StanzaError {
    match client.request(verb, Some(SERVICE), query).await {
        Err(Error::Refused(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(answer) => panic!("{answer:?}"),
    }
}

/// Both connections of a bytestream that is open: the requester's and the target's.
async fn opened(server: &Running, client: &mut Client, sid: &str) -> (TcpStream, TcpStream) {
    let name = hash(sid, &client.jid, TARGET);
    let target = waits(server, &name).await;
    let requester = waits(server, &name).await;
    let activated = client.request("set", Some(SERVICE), activate(sid, TARGET));
    activated.await.unwrap();
    (requester, target)
}

#[tokio::test]
async fn the_proxy_is_found_and_says_where_it_is() {
    let server = start(&[]).await;
    let mut juliet = online(&server, "juliet").await;
    let items = Element::new("query", ns::DISCO_ITEMS);
    let items = juliet.request("get", Some("localhost"), items).await;
    let items = items.unwrap();
    let items = items.child("query", ns::DISCO_ITEMS).unwrap();
    assert!(
        items
            .children()
            .any(|item| item.attr("jid") == Some(SERVICE))
    );
    let info = Element::new("query", ns::DISCO_INFO);
    let info = juliet.request("get", Some(SERVICE), info).await.unwrap();
    let info = info.child("query", ns::DISCO_INFO).unwrap();
    let identity = info.child("identity", ns::DISCO_INFO).unwrap();
    assert_eq!(
        (identity.attr("category"), identity.attr("type")),
        (Some("proxy"), Some("bytestreams"))
    );
    let query = Element::new("query", ns::BYTESTREAMS);
    let answer = juliet.request("get", Some(SERVICE), query).await.unwrap();
    let query = answer.child("query", ns::BYTESTREAMS).unwrap();
    let streamhost = query.child("streamhost", ns::BYTESTREAMS).unwrap();
    let attributes = ["jid", "host", "port"].map(|name| streamhost.attr(name));
    assert_eq!(
        attributes,
        [Some(SERVICE), Some("proxy.example"), Some("7625")]
    );
}

#[tokio::test]
async fn two_meet_and_each_gets_what_the_other_sends() {
    let server = start(&[]).await;
    let mut juliet = online(&server, "juliet").await;
    let name = hash("vxf9n471bn46", &juliet.jid, TARGET);
    let mut target = waits(&server, &name.to_uppercase()).await;
    let mut requester = waits(&server, &name).await;
    assert_eq!(server.figure("waxwing_socks_waiting"), 2.0);
    // What is sent too early belongs to nobody (§10.1).
    target.write_all(b"too early").await.unwrap();
    let mut romeo = online(&server, "romeo").await;
    let stolen = refused(&mut romeo, "set", activate("vxf9n471bn46", TARGET)).await;
    assert_eq!(stolen.condition, Condition::ItemNotFound);
    let activated = juliet.request("set", Some(SERVICE), activate("vxf9n471bn46", TARGET));
    activated.await.unwrap();
    assert_eq!(server.figure("waxwing_bytestreams_open"), 1.0);
    let file: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut reading, mut writing) = target.split();
    let sent = async {
        requester.write_all(&file).await.unwrap();
        requester.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(sent, timeout(PATIENCE, reading.read_to_end(&mut got)));
    read.unwrap().unwrap();
    assert!(got == file, "{} bytes came", got.len());
    // The other way is still open.
    writing.write_all(b"thanks").await.unwrap();
    writing.shutdown().await.unwrap();
    assert_eq!(hear(&mut requester, 100).await, b"thanks");
    assert_eq!(server.figure("waxwing_bytestream_bytes_total"), 1_000_006.0);
    becomes(&server, "waxwing_bytestreams_open", 0.0).await;
}

async fn becomes(server: &Running, figure: &str, value: f64) {
    for _ in 0..400 {
        if server.figure(figure) == value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{figure} stays {}", server.figure(figure));
}

fn labelled(server: &Running, name: &str, label: (&'static str, &str)) -> f64 {
    let value = server.own().metrics().samples().value(name, &[label]);
    value.unwrap_or_default()
}

#[tokio::test]
async fn only_two_who_are_there_are_joined() {
    let server = start(&[]).await;
    let mut juliet = online(&server, "juliet").await;
    let error = refused(&mut juliet, "set", activate("sid", TARGET)).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
    let name = hash("sid", &juliet.jid, TARGET);
    let alone = waits(&server, &name).await;
    let error = refused(&mut juliet, "set", activate("sid", TARGET)).await;
    assert_eq!(error.condition, Condition::NotAllowed);
    // Who leaves waits no more.
    drop(alone);
    becomes(&server, "waxwing_socks_waiting", 0.0).await;
    let error = refused(&mut juliet, "set", activate("sid", TARGET)).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
    for (query, condition) in [
        (
            Element::new("query", ns::BYTESTREAMS).with_attr("sid", "sid"),
            Condition::BadRequest,
        ),
        (
            Element::new("query", ns::BYTESTREAMS)
                .with_child(Element::new("activate", ns::BYTESTREAMS).with_text(TARGET)),
            Condition::BadRequest,
        ),
        (activate("sid", "@"), Condition::JidMalformed),
        (
            Element::new("other", ns::BYTESTREAMS),
            Condition::ServiceUnavailable,
        ),
    ] {
        assert_eq!(
            refused(&mut juliet, "set", query).await.condition,
            condition
        );
    }
}

#[tokio::test]
async fn what_is_not_asked_as_it_must_be_is_refused() {
    let server = start(&["limits.stream.header_timeout=1s"]).await;
    let name = "ab".repeat(20);
    let answer = |code, rest: &[u8]| [&[5, 0, 5, code, 0], rest].concat();
    let same = [&[3, 40], name.as_bytes(), &[0, 0]].concat();
    let mut bind = connect(&name);
    bind[1] = 2;
    let hello: &[u8] = &[5, 1, 0];
    let cases: [(&[&[u8]], Vec<u8>); 6] = [
        // Passwords are not asked for.
        (&[&[5, 1, 2]], vec![5, 0xff]),
        (&[&[5, 0]], vec![5, 0xff]),
        (&[hello, &bind], answer(7, &same)),
        (
            &[hello, &[5, 1, 0, 1, 192, 0, 2, 7, 0, 80]],
            answer(8, &[1, 0, 0, 0, 0, 0, 0]),
        ),
        (
            &[hello, &connect("example.org")],
            answer(2, &connect("example.org")[3..]),
        ),
        (&[hello, &[4, 1, 0, 3]], vec![5, 0]),
    ];
    for (words, answer) in cases {
        let (_, heard) = say(&server, words, 200).await;
        assert_eq!(heard, answer, "{words:?}");
    }
    // Who says nothing more is not waited for.
    let (_, heard) = say(&server, &[&[5, 3, 0]], 200).await;
    assert_eq!(heard, NOTHING);
    let (_one, _other) = (waits(&server, &name).await, waits(&server, &name).await);
    let (_, heard) = say(&server, &[hello, &connect(&name)], 200).await;
    assert_eq!(heard, answer(2, &same));
    assert_eq!(server.figure("waxwing_socks_waiting"), 2.0);
}

#[tokio::test]
async fn who_waits_is_bounded() {
    let server = start(&[
        "limits.connections.exempt=[]",
        "limits.bytestreams.waiting=3",
        "limits.bytestreams.waiting_per_address=2",
        "limits.bytestreams.wait=1s",
    ])
    .await;
    let one = waits(&server, &"1".repeat(40)).await;
    let two = waits(&server, &"2".repeat(40)).await;
    let (_, heard) = say(&server, &[&[5, 1, 0]], 200).await;
    assert_eq!(heard, NOTHING);
    let reached = ("limit", "limits.bytestreams.waiting_per_address");
    assert_eq!(
        labelled(&server, "waxwing_limits_reached_total", reached),
        1.0
    );
    // And nobody waits for ever.
    for mut stream in [one, two] {
        assert_eq!(hear(&mut stream, 1).await, NOTHING);
    }
    let late = ("outcome", "late");
    assert_eq!(
        labelled(&server, "waxwing_socks_connections_total", late),
        2.0
    );
    waits(&server, &"3".repeat(40)).await;
}

#[tokio::test]
async fn bytestreams_are_bounded() {
    let server = start(&[
        "modules.bytestreams.streams=2",
        "modules.bytestreams.streams_each=1",
        "modules.bytestreams.idle=1s",
        "modules.bytestreams.rate=64KiB",
    ])
    .await;
    let mut juliet = online(&server, "juliet").await;
    let mut romeo = online(&server, "romeo").await;
    let mut nurse = online(&server, "nurse").await;
    let (mut from, mut to) = opened(&server, &mut juliet, "one").await;
    let error = refused(&mut juliet, "set", activate("two", TARGET)).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);
    let _other = opened(&server, &mut romeo, "one").await;
    let error = refused(&mut nurse, "set", activate("one", TARGET)).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);
    // 64 KiB are free, then it is as fast as that in a second.
    let started = Instant::now();
    let file = vec![7; 160 * 1024];
    let (sent, got) = tokio::join!(from.write_all(&file), hear(&mut to, file.len()));
    sent.unwrap();
    assert_eq!(got.len(), file.len());
    assert!(started.elapsed() >= Duration::from_secs(1));
    // Silence ends it, and then there is room again.
    assert_eq!(hear(&mut to, 1).await, NOTHING);
    assert_eq!(hear(&mut from, 1).await, NOTHING);
    becomes(&server, "waxwing_bytestreams_open", 0.0).await;
    opened(&server, &mut juliet, "two").await;
}

#[tokio::test]
async fn where_no_host_has_it_nobody_waits() {
    let server = start(&["modules.bytestreams.enabled=false"]).await;
    let (_, heard) = say(&server, &[&[5, 1, 0]], 200).await;
    assert_eq!(heard, NOTHING);
    let mut juliet = online(&server, "juliet").await;
    let error = refused(&mut juliet, "get", Element::new("query", ns::BYTESTREAMS)).await;
    assert_ne!(error.condition, Condition::Forbidden);
}

#[tokio::test]
async fn the_end_of_the_server_ends_bytestreams() {
    let server = start(&[]).await;
    let mut juliet = online(&server, "juliet").await;
    let (mut from, mut to) = opened(&server, &mut juliet, "one").await;
    let mut alone = waits(&server, &"0".repeat(40)).await;
    drop(juliet);
    let stopped = Instant::now();
    server.stop().await;
    for stream in [&mut from, &mut to, &mut alone] {
        assert_eq!(hear(stream, 1).await, NOTHING);
    }
    assert!(stopped.elapsed() < PATIENCE / 2);
}
