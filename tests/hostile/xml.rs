//! XML that is none, or too much.

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::{Bystanders, end_of, online};
use crate::support::client::{Client, Event, Security};
use crate::support::process::{Process, jid};

const ACCOUNTS: &[&str] = &["alice", "bob", "mallory"];

/// What everybody is refused, before TLS, before login, and after.
fn prohibited() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = |what, xml: &str, error| (what, xml.as_bytes().to_vec(), error);
    let bytes = |what, byte: &[u8], error| {
        let xml = [b"<message><body>", byte, b"</body></message>"].concat();
        (what, xml, error)
    };
    vec![
        text("DTD", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", "restricted-xml"),
        text("PI", "<message><?php x?></message>", "restricted-xml"),
        text("comment", "<message><!-- x --></message>", "restricted-xml"),
        text("comment between", "<!-- x -->", "restricted-xml"),
        text(
            "entity",
            "<message><body>&lol;</body></message>",
            "restricted-xml",
        ),
        text(
            "entity in attribute",
            "<message id='&lol;'/>",
            "restricted-xml",
        ),
        text(
            "undeclared prefix",
            "<message><p:x/></message>",
            "not-well-formed",
        ),
        text(
            "undeclared attribute prefix",
            "<message p:x=''/>",
            "not-well-formed",
        ),
        text(
            "two attributes of a name",
            "<message id='1' id='2'/>",
            "not-well-formed",
        ),
        text(
            "two attributes of an expanded name",
            "<message xmlns:p='x' xmlns:q='x' p:b='1' q:b='2'/>",
            "not-well-formed",
        ),
        text(
            "wrong end",
            "<message><body></message></body>",
            "not-well-formed",
        ),
        text(
            "end of CDATA in text",
            "<message>]]></message>",
            "not-well-formed",
        ),
        text(
            "control character",
            "<message>&#1;</message>",
            "not-well-formed",
        ),
        text("text between", "hello", "bad-format"),
        bytes("no UTF-8", b"\xff", "unsupported-encoding"),
        bytes("overlong", b"\xc0\xaf", "unsupported-encoding"),
        bytes("surrogate", b"\xed\xa0\x80", "unsupported-encoding"),
        bytes(
            "beyond Unicode",
            b"\xf4\x90\x80\x80",
            "unsupported-encoding",
        ),
        text("depth", &"<x>".repeat(101), "policy-violation"),
        (
            "attributes",
            format!("<message {}/>", numbered("a", 257)).into_bytes(),
            "policy-violation",
        ),
        (
            "namespaces",
            format!("<message {}/>", numbered("xmlns:a", 65)).into_bytes(),
            "policy-violation",
        ),
        (
            "long name",
            format!("<message><{}/></message>", "x".repeat(1025)).into_bytes(),
            "policy-violation",
        ),
    ]
}

fn numbered(name: &str, count: usize) -> String {
    (0..count).map(|n| format!(" {name}{n}='{n}'")).collect()
}

/// Sends a case and checks its error.
async fn refuse(client: &mut Client, when: &str, what: &str, bytes: &[u8], wanted: &str) {
    client.connection.send(bytes).await.unwrap();
    let end = end_of(client).await;
    assert_eq!(end, Some(wanted), "{what}, {when}");
}

#[tokio::test]
async fn prohibited_after_login() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut others = Bystanders::log_in(&server).await;
    for (what, bytes, wanted) in prohibited() {
        let mut client = online(&server, "mallory", "m").await;
        refuse(&mut client, "after login", what, &bytes, wanted).await;
        others.chat().await;
    }
    let big = format!("<message><body>{}</body></message>", "x".repeat(300_000));
    let mut client = online(&server, "mallory", "m").await;
    refuse(
        &mut client,
        "after login",
        "size",
        big.as_bytes(),
        "policy-violation",
    )
    .await;
    others.chat().await;
}

#[tokio::test]
async fn prohibited_before_login() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut others = Bystanders::log_in(&server).await;
    let big = format!("<auth>{}", "x".repeat(11_000)).into_bytes();
    let mut cases = prohibited();
    cases.push(("size", big, "policy-violation"));
    for (what, bytes, wanted) in cases {
        let mut client = server.client("mallory").open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        refuse(&mut client, "in the clear", what, &bytes, wanted).await;
        let builder = server.client("mallory").security(Security::Direct);
        let mut client = builder.open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        refuse(&mut client, "within TLS", what, &bytes, wanted).await;
    }
    others.chat().await;
}

/// What is parsed, and what is written again, stays in proportion to what was sent.
#[tokio::test]
async fn nothing_is_amplified() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut others = Bystanders::log_in(&server).await;
    others.chat().await;
    let before = server.rss();
    let long = "n".repeat(60_000);
    let to = others.bob.jid.to_string();
    let one_namespace = format!(
        "<message to='{to}'><x xmlns='u' xmlns:p='{long}'>{}</x></message>",
        "<p:c/>".repeat(6000)
    );
    let many_names: String = (0..6000).map(|n| format!("<c{n} a{n}=''/>")).collect();
    let many_names = format!("<message to='{to}'><x xmlns='{long}'>{many_names}</x></message>");
    let attributes = format!(
        "<message to='{to}'><x xmlns='u' xmlns:p='{long}'>{}</x></message>",
        "<c p:a='1'/>".repeat(6000)
    );
    let empty = format!("<message to='{to}'>{}</message>", "<c/>".repeat(60_000));
    let open = format!("<message to='{to}'>{}", "<c>".repeat(99));
    for xml in [one_namespace, many_names, attributes, empty, open] {
        let mut client = online(&server, "mallory", "m").await;
        client.connection.send(xml.as_bytes()).await.unwrap();
        // Refused or delivered, but cheap.
        client.next(std::time::Duration::from_millis(500)).await;
        others.chat().await;
        let now = server.rss();
        println!(
            "{:.60}…: {} bytes more resident",
            xml,
            now.saturating_sub(before)
        );
        assert!(now < before + (40 << 20), "{before} to {now}: {:.100}", xml);
    }
}

/// RFC 6120 §4.8.5: a prefix of the stream header, used in a stanza, reaches the recipient declared.
#[tokio::test]
async fn a_prefix_of_the_header_is_declared_to_the_recipient() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut bob = online(&server, "bob", "1").await;
    let builder = server.client("mallory").security(Security::Direct).sasl2();
    let mut mallory = builder.open(server.addr).await.unwrap();
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:evil='urn:evil' xmlns:stream='http://etherx.jabber.org/streams'>";
    mallory.send(header).await.unwrap();
    let Event::Header(_) = mallory.event("a header").await.unwrap() else {
        panic!("no header");
    };
    let Event::Element(features) = mallory.event("features").await.unwrap() else {
        panic!("no features");
    };
    mallory.authenticate2(&features).await.unwrap();
    for to in [bob.jid.clone(), jid("alice")] {
        let message = format!(
            "<message to='{to}' type='chat'><body>x</body><evil:x evil:y='&#13;&#10;&#9;'>&#13;</evil:x></message>"
        );
        mallory.send(message.as_str()).await.unwrap();
    }
    mallory
        .request("get", Some("localhost"), Element::new("ping", ns::PING))
        .await
        .unwrap();
    let mut alice = online(&server, "alice", "1").await;
    for client in [&mut bob, &mut alice] {
        let is_it = |el: &Element| el.is("message", ns::CLIENT);
        let message = client.wait_for("the message", is_it).await.unwrap();
        let evil = message.child("x", "urn:evil").unwrap();
        assert_eq!(evil.attr_ns("y", "urn:evil"), Some("\r\n\t"));
        assert_eq!(evil.text(), "\r");
    }
}
