//! XMPP in WebSockets (RFC 7395), on somebody else's frames (RFC 6455).

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use waxwing::proto::{Jid, MessageType, Stanza, StreamCondition, ns};
use waxwing::xml::Element;

use crate::http::web::{Answer, Web};
use crate::support::client::{Binding, Builder, Client, Event, Security};
use crate::support::server::{Running, start_server};

const PATIENCE: Duration = Duration::from_secs(5);

fn web(server: &Running, jid: &Jid) -> Builder {
    server.client(jid).security(Security::WebSocket)
}

fn chat(to: &Jid, body: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_child(Element::new("body", ns::CLIENT).with_text(body))
}

async fn hears(client: &mut Client, body: &str) {
    let fits = |el: &Element| {
        let child = el.child("body", ns::CLIENT);
        child.is_some_and(|child| child.text() == body)
    };
    client.wait_for(body, fits).await.unwrap();
}

// RFC 6455 §4, RFC 7395 §3.1

/// What a browser asks, but for what is replaced.
async fn opening(server: &Running, replaced: &[(&str, Option<&str>)], method: &str) -> Answer {
    let usual = [
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat, xmpp"),
    ];
    let mut headers: Vec<(&str, &str)> = usual.to_vec();
    for (name, value) in replaced {
        headers.retain(|(usual, _)| usual != name);
        headers.extend(value.map(|value| (*name, value)));
    }
    let mut web = Web::tls(server, server.addr, "http/1.1").await.unwrap();
    web.ask(method, "/xmpp-websocket", &headers).await
}

#[tokio::test]
async fn the_opening_handshake() {
    let server = start_server(&[]).await;
    let opened = opening(&server, &[], "GET").await;
    assert_eq!(opened.status, 101);
    assert_eq!(
        opened.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(opened.header("sec-websocket-protocol"), Some("xmpp"));
    for (header, value, status) in [
        ("Upgrade", None, 426),
        ("Connection", Some("close"), 426),
        ("Sec-WebSocket-Version", Some("8"), 426),
        ("Sec-WebSocket-Key", None, 400),
        ("Sec-WebSocket-Key", Some("short"), 400),
        ("Sec-WebSocket-Protocol", None, 400),
        ("Sec-WebSocket-Protocol", Some("mqtt"), 400),
    ] {
        let refused = opening(&server, &[(header, value)], "GET").await;
        assert_eq!(refused.status, status, "{header}: {value:?}");
    }
    let version = opening(&server, &[("Sec-WebSocket-Version", Some("8"))], "GET").await;
    assert_eq!(version.header("sec-websocket-version"), Some("13"));
    assert_eq!(opening(&server, &[], "POST").await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_are_listed_or_refused() {
    let listed = r#"http.websocket.origins=["https://chat.example.net"]"#;
    let server = start_server(&[listed, "hosts.localhost.url=https://web.example:8443"]).await;
    for (origin, welcome) in [
        ("https://localhost", true),
        ("http://localhost:8000", true),
        ("https://web.example", true),
        ("https://chat.example.net", true),
        ("https://chat.example.net:444", false),
        ("https://evil.example", false),
        ("https://localhost.evil.example", false),
        ("null", false),
        ("", false),
    ] {
        let answer = opening(&server, &[("Origin", Some(origin))], "GET").await;
        assert_eq!(answer.status, if welcome { 101 } else { 403 }, "{origin}");
    }
    server.stop().await;
    let server = start_server(&[r#"http.websocket.origins=["*"]"#]).await;
    let answer = opening(&server, &[("Origin", Some("https://evil.example"))], "GET").await;
    assert_eq!(answer.status, 101);
    server.stop().await;
}

#[tokio::test]
async fn it_can_be_switched_off_and_moved() {
    let server = start_server(&["http.websocket.enabled=false"]).await;
    assert_eq!(opening(&server, &[], "GET").await.status, 404);
    server.stop().await;
    let server = start_server(&["http.websocket.path=/ws"]).await;
    assert_eq!(opening(&server, &[], "GET").await.status, 404);
    server.stop().await;
}

// RFC 7395 §3.3, §3.4: what a stream looks like

const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

/// A WebSocket on which nothing was said.
async fn raw(server: &Running) -> Client {
    let jid = Jid::parse("juliet@localhost").unwrap();
    web(server, &jid).open(server.addr).await.unwrap()
}

async fn say(client: &mut Client, text: &str) {
    let web = client.connection.websocket().unwrap();
    web.message(Message::text(text.to_owned())).await.unwrap();
}

async fn next(client: &mut Client) -> Event {
    client.event("a message").await.unwrap()
}

const OPEN: &str =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

#[tokio::test]
async fn a_stream_begins_and_ends_with_elements() {
    let server = start_server(&[]).await;
    let mut client = raw(&server).await;
    say(&mut client, OPEN).await;
    let Event::Header(open) = next(&mut client).await else {
        panic!("no <open/>");
    };
    assert!(open.is("open", ns::FRAMING));
    assert_eq!(
        (open.attr("from"), open.attr("version")),
        (Some("localhost"), Some("1.0"))
    );
    assert!(open.attr("id").is_some() && open.attr("xml:lang").is_some());
    let Event::Element(features) = next(&mut client).await else {
        panic!("no features");
    };
    assert!(features.is("features", ns::STREAM));
    // §3.9
    assert!(!features.has_child("starttls", ns::TLS));
    assert!(features.has_child("mechanisms", ns::SASL));
    // §3.6: the stream is closed, and then the WebSocket.
    say(&mut client, CLOSE).await;
    assert_eq!(next(&mut client).await, Event::Footer);
    assert_eq!(next(&mut client).await, Event::Closed);
    assert_eq!(closing_code(&mut client), Some(1000));
    server.stop().await;
}

fn closing_code(client: &mut Client) -> Option<u16> {
    let closed = client.connection.websocket().unwrap().closed.as_ref()?;
    Some(closed.code.into())
}

#[tokio::test]
async fn an_xml_declaration_and_space_at_the_end_do_no_harm() {
    let server = start_server(&[]).await;
    let mut client = raw(&server).await;
    say(
        &mut client,
        &format!("<?xml version='1.0' encoding='UTF-8'?>\n{OPEN}\n"),
    )
    .await;
    assert!(matches!(next(&mut client).await, Event::Header(_)));
    server.stop().await;
}

/// The stream error and the WebSocket's code with which a message is answered, after a header if there was one.
async fn refused(
    server: &Running,
    opened: bool,
    message: Message,
) -> (StreamCondition, Option<u16>) {
    let mut client = raw(server).await;
    if opened {
        say(&mut client, OPEN).await;
        next(&mut client).await;
        next(&mut client).await;
    }
    let web = client.connection.websocket().unwrap();
    web.message(message).await.unwrap();
    // §3.5: during the opening the server's header comes first.
    if !opened {
        assert!(matches!(next(&mut client).await, Event::Header(_)));
    }
    assert!(client.next(PATIENCE).await.is_some());
    let condition = client.stream_error.clone().unwrap().condition;
    assert_eq!(client.event("the end").await.unwrap(), Event::Footer);
    // Where the server has closed already, nobody hears it.
    let web = client.connection.websocket().unwrap();
    let _ = web.message(Message::text(CLOSE)).await;
    assert_eq!(client.event("the end").await.unwrap(), Event::Closed);
    (condition, closing_code(&mut client))
}

#[tokio::test]
async fn messages_that_end_the_stream() {
    use StreamCondition::*;
    let server = start_server(&[]).await;
    let open = |ns: &str| format!("<open xmlns='{ns}' to='localhost' version='1.0'/>");
    let large = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</auth>",
        "x".repeat(10_001)
    );
    let stream = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    for (opened, text, condition, code) in [
        (false, open("jabber:client"), InvalidNamespace, 1000),
        (false, open("urn:example"), InvalidNamespace, 1000),
        (
            false,
            "<open to='localhost' version='1.0'/>".to_owned(),
            InvalidNamespace,
            1000,
        ),
        (
            false,
            OPEN.replace("localhost", "other.example"),
            HostUnknown,
            1000,
        ),
        (false, OPEN.replace("1.0", "0.9"), UnsupportedVersion, 1000),
        (
            false,
            "<presence xmlns='jabber:client'/>".to_owned(),
            BadFormat,
            1000,
        ),
        (false, stream.to_owned(), NotWellFormed, 1000),
        (true, " ".to_owned(), NotWellFormed, 1000),
        (true, " <a/>".to_owned(), NotWellFormed, 1000),
        (true, "<a/><b/>".to_owned(), NotWellFormed, 1000),
        (true, "<a>".to_owned(), NotWellFormed, 1000),
        (true, "<!DOCTYPE a><a/>".to_owned(), RestrictedXml, 1000),
        (true, "<a/><!-- b -->".to_owned(), NotWellFormed, 1000),
        (true, OPEN.to_owned(), UnsupportedStanzaType, 1000),
        (
            true,
            "<close xmlns='jabber:client'/>".to_owned(),
            InvalidNamespace,
            1000,
        ),
        (
            true,
            "<message xmlns='jabber:client'/>".to_owned(),
            NotAuthorized,
            1000,
        ),
        (true, large, PolicyViolation, 1009),
    ] {
        let answer = refused(&server, opened, Message::text(text.clone())).await;
        assert_eq!(answer, (condition, Some(code)), "{text:.80}");
    }
    let binary = refused(&server, true, Message::binary(b"<a/>".to_vec())).await;
    assert_eq!(binary, (BadFormat, Some(1003)));
    let latin = Frame::message(b"<a>\xe9</a>".to_vec(), OpCode::Data(Data::Text), true);
    let latin = refused(&server, true, Message::Frame(latin)).await;
    assert_eq!(latin, (UnsupportedEncoding, Some(1007)));
    server.stop().await;
}

const HANDSHAKE: &str = "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n";

#[tokio::test]
async fn frames_that_are_not_masked() {
    let server = start_server(&[]).await;
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    web.send(HANDSHAKE).await;
    assert_eq!(web.answer(true).await.unwrap().status, 101);
    web.send([&[0x81, OPEN.len() as u8], OPEN.as_bytes()].concat())
        .await;
    let rest = web.rest().await;
    assert!(
        rest.contains("<bad-format ") && rest.ends_with("\u{3}\u{fffd}"),
        "{rest:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn fragments_are_joined_and_pings_answered() {
    let server = start_server(&[]).await;
    let mut client = raw(&server).await;
    let (first, second) = OPEN.split_at(10);
    let web = client.connection.websocket().unwrap();
    for message in [
        Message::Frame(Frame::message(
            first.as_bytes().to_vec(),
            OpCode::Data(Data::Text),
            false,
        )),
        Message::Ping(b"there?".to_vec().into()),
        Message::Frame(Frame::message(
            second.as_bytes().to_vec(),
            OpCode::Data(Data::Continue),
            true,
        )),
    ] {
        web.message(message).await.unwrap();
    }
    assert!(matches!(next(&mut client).await, Event::Header(_)));
    let pongs = client.connection.websocket().unwrap().pongs.clone();
    assert_eq!(pongs, [b"there?"]);
    server.stop().await;
}

// Logging in and talking, as over TCP

/// Browsers let no page bind to its TLS connection; some apps then say that they would if it were offered.
#[tokio::test]
async fn pages_are_offered_no_channel_binding() {
    let server = start_server(&[]).await;
    for (origin, offered) in [("Origin: https://localhost\r\n", false), ("", true)] {
        let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
        let end = format!("\r\n{origin}\r\n");
        web.send(HANDSHAKE.replace("\r\n\r\n", &end)).await;
        assert_eq!(web.answer(true).await.unwrap().status, 101);
        for text in [OPEN, CLOSE] {
            let head = [0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
            web.send([&head[..], text.as_bytes()].concat()).await;
        }
        let features = web.rest().await;
        assert!(features.contains("<mechanism>SCRAM-SHA-256</mechanism>"));
        assert_eq!(features.contains("-PLUS"), offered, "{origin}");
    }
    server.stop().await;
}

#[tokio::test]
async fn log_in_by_every_way_and_talk() {
    let server = start_server(&[]).await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut phone = server.client(&bob).connect(server.addr).await.unwrap();
    phone.presence().await.unwrap();
    for builder in [
        web(&server, &alice),
        web(&server, &alice).mechanism("PLAIN"),
        web(&server, &alice).binding(Binding::Exporter),
        web(&server, &alice).sasl2().acks(),
        web(&server, &alice).sasl2().binding(Binding::EndPoint),
        web(&server, &alice)
            .pipelined(None)
            .mechanism("SCRAM-SHA-256"),
    ] {
        let mut page = builder.connect(server.addr).await.unwrap();
        page.presence().await.unwrap();
        page.send(chat(&bob, "from the web")).await.unwrap();
        hears(&mut phone, "from the web").await;
        phone.send(chat(&alice, "to the web")).await.unwrap();
        hears(&mut page, "to the web").await;
        let long = "ü".repeat(70_000);
        phone.send(chat(&page.jid, &long)).await.unwrap();
        hears(&mut page, &long).await;
        page.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_one_transport_is_good_on_the_other() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let page = web(&server, &alice).want_token("HT-SHA-256-NONE");
    let page = page.connect(server.addr).await.unwrap();
    let token = page.token.clone().unwrap();
    page.close().await.unwrap();
    for security in [Security::WebSocket, Security::Direct] {
        let client = server.client(&alice).security(security).token(&token);
        client
            .connect(server.addr)
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
    }
    server.stop().await;
}

// §3.6, §3.10

#[tokio::test]
async fn a_session_goes_on_after_a_cut_on_either_transport() {
    let server = start_server(&[]).await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut phone = server.client(&bob).connect(server.addr).await.unwrap();
    let page = web(&server, &alice).resumable();
    let mut page = page.connect(server.addr).await.unwrap();
    page.presence().await.unwrap();
    page.request_ack().await.unwrap();
    for (number, security) in [Security::WebSocket, Security::Direct, Security::WebSocket]
        .into_iter()
        .enumerate()
    {
        let (id, handled) = page.cut();
        let body = format!("while away {number}");
        phone.send(chat(&alice, &body)).await.unwrap();
        let again = server
            .client(&alice)
            .security(security)
            .resume(&id, handled);
        page = again.connect(server.addr).await.unwrap();
        assert!(page.is_resumed());
        hears(&mut page, &body).await;
    }
    page.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_closed_without_its_stream_leaves_a_session_to_resume() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let page = web(&server, &alice).resumable();
    let mut page = page.connect(server.addr).await.unwrap();
    let socket = page.connection.websocket().unwrap();
    socket.message(Message::Close(None)).await.unwrap();
    assert_eq!(page.event("the end").await.unwrap(), Event::Closed);
    let (id, handled) = page.cut();
    let again = web(&server, &alice).resume(&id, handled);
    let again = again.connect(server.addr).await.unwrap();
    assert!(again.is_resumed());
    again.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let server = start_server(&[]).await;
    let alice = server.account("alice").await.unwrap();
    let mut page = web(&server, &alice).connect(server.addr).await.unwrap();
    let told = async {
        assert!(page.next(PATIENCE).await.is_some());
        let error = page.stream_error.clone().unwrap();
        assert_eq!(error.condition, StreamCondition::SystemShutdown);
        assert_eq!(page.event("the end").await.unwrap(), Event::Footer);
        page.send("</stream:stream>").await.unwrap();
        assert_eq!(page.event("the end").await.unwrap(), Event::Closed);
        assert_eq!(closing_code(&mut page), Some(1001));
    };
    tokio::join!(server.stop(), told);
}

// The same limits as over TCP

#[tokio::test]
async fn who_does_not_log_in_is_not_waited_for_and_counts() {
    let sets = [
        "limits.connections.unauthenticated_per_address=2",
        "limits.connections.exempt=[]",
        "limits.stream.login_timeout=2s",
        "limits.stream.header_timeout=1s",
    ];
    let server = start_server(&sets).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
        assert_eq!(web.get("/nothing").await.status, 404);
        waiting.push(web);
    }
    // As HTTP they were not counted among those who log in; the third is one too many.
    let mut third = waiting.pop().unwrap();
    for web in &mut waiting {
        web.send(HANDSHAKE).await;
        assert_eq!(web.answer(true).await.unwrap().status, 101);
    }
    third.send(HANDSHAKE).await;
    assert_eq!(third.answer(true).await.unwrap().status, 101);
    assert!(third.is_over().await);
    for web in &mut waiting {
        assert!(web.rest().await.contains("connection-timeout"));
    }
    server.stop().await;
}
