//! Before the login, and at it: TLS, passwords, half-open connections, too many sessions.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use super::{Bystanders, end_of, online};
use crate::support::client::{Client, Error, Security};
use crate::support::process::Process;

const ACCOUNTS: &[&str] = &["alice", "bob", "mallory"];

#[tokio::test]
async fn nothing_is_said_before_tls() {
    let server = Process::start(ACCOUNTS, &[]);
    for stanza in [
        "<message to='bob@localhost'><body>x</body></message>",
        "<presence/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        let mut client = server.client("mallory").open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        client.send(stanza).await.unwrap();
        assert_eq!(
            end_of(&mut client).await,
            Some("not-authorized"),
            "{stanza}"
        );
        let builder = server.client("mallory").security(Security::Direct);
        let mut client = builder.open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        client.send(stanza).await.unwrap();
        assert_eq!(
            end_of(&mut client).await,
            Some("not-authorized"),
            "{stanza}"
        );
    }
    let mut client = server.client("mallory").open(server.addr).await.unwrap();
    let features = client.open_stream().await.unwrap();
    assert!(!features.has_child("mechanisms", ns::SASL));
    assert!(!features.has_child("authentication", ns::SASL2));
    let auth = format!(
        "<auth xmlns='{}' mechanism='PLAIN'>AG1hbGxvcnkAcGVuY2ls</auth>",
        ns::SASL
    );
    client.send(auth.as_str()).await.unwrap();
    let answer = client.next(Duration::from_secs(10)).await.unwrap();
    assert!(
        answer.is("failure", ns::SASL) || answer.is("error", ns::STREAM),
        "{answer:?}"
    );
}

/// What comes in the clear behind `<starttls/>` is forgotten, whatever it is.
#[tokio::test]
async fn what_was_injected_before_the_handshake_is_forgotten() {
    let server = Process::start(ACCOUNTS, &[]);
    for injected in [
        "<iq type='get' id='injected'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AG1hbGxvcnkAcGVuY2ls</auth>",
        "<message",
        "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' xmlns:evil='x'>",
    ] {
        let builder = server.client("mallory");
        let mut client = builder.open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        let both = format!("<starttls xmlns='{}'/>{injected}", ns::TLS);
        client.connection.send(both.as_bytes()).await.unwrap();
        let proceed = client.next(Duration::from_secs(10)).await.unwrap();
        assert!(proceed.is("proceed", ns::TLS), "{proceed:?}");
        let secured = async {
            let trust = server.trust();
            client.connection.secure("localhost", &trust).await?;
            client.open_stream().await
        };
        // The handshake fails, or it works and nothing is left of what was said before.
        match secured.await {
            Ok(features) => {
                assert!(features.has_child("mechanisms", ns::SASL));
                client
                    .expect_nothing(Duration::from_millis(300))
                    .await
                    .unwrap();
            }
            Err(Error::Io(_) | Error::Tls(_)) => {}
            Err(other) => panic!("{injected}: {other}"),
        }
    }
}

/// Sends a SCRAM message and returns the answer's name and contents.
async fn say(client: &mut Client, name: &str, mechanism: bool, text: &str) -> (String, String) {
    let mut el = Element::new(name, ns::SASL).with_text(&STANDARD.encode(text));
    el.set_attr("mechanism", mechanism.then_some("SCRAM-SHA-256"));
    client.send(el).await.unwrap();
    let answer = client.next(Duration::from_secs(20)).await.unwrap();
    let text = STANDARD.decode(answer.text().as_bytes());
    let text = String::from_utf8(text.unwrap_or_default()).unwrap();
    let condition = answer.children().next().map(|el| el.name().to_owned());
    let text = condition.unwrap_or(text);
    (answer.name().to_owned(), text)
}

/// Challenge and failure of a wrong login: the shape of the challenge, its salt, and the answer to the proof.
async fn wrong_login(client: &mut Client, user: &str) -> (Vec<usize>, String, (String, String)) {
    let first = format!("n,,n={user},r=abcdefghijklmnop");
    let (name, challenge) = say(client, "auth", true, &first).await;
    assert_eq!(name, "challenge", "{challenge}");
    let parts: Vec<&str> = challenge.split(',').collect();
    assert!(parts[0].starts_with("r=abcdefghijklmnop"));
    let iterations = parts[2].trim_start_matches("i=").parse().unwrap();
    let shape = vec![parts.len(), parts[0].len(), parts[1].len(), iterations];
    let proof = STANDARD.encode([7; 32]);
    let last = format!("c=biws,{},p={proof}", parts[0]);
    let answer = say(client, "response", false, &last).await;
    (shape, parts[1].to_owned(), answer)
}

#[tokio::test]
async fn the_unknown_look_like_the_known_and_three_failures_end_the_stream() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut answers = Vec::new();
    for user in ["alice", "nobody", "nobody", "alice"] {
        let builder = server.client("mallory").security(Security::Direct);
        let mut client = builder.open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        let (shape, salt, answer) = wrong_login(&mut client, user).await;
        for _ in 0..2 {
            let again = wrong_login(&mut client, user).await;
            assert_eq!(
                again,
                (shape.clone(), salt.clone(), answer.clone()),
                "{user}"
            );
        }
        // The third failure was the last.
        assert_eq!(
            end_of(&mut client).await,
            Some("policy-violation"),
            "{user}"
        );
        answers.push((shape, salt, answer));
    }
    let [alice, nobody, same, again] = &answers[..] else {
        unreachable!()
    };
    assert_eq!((&alice.0, &alice.2), (&nobody.0, &nobody.2));
    assert_eq!(alice.2, ("failure".to_owned(), "not-authorized".to_owned()));
    assert_eq!(nobody.1, same.1, "the salt of an unknown user changes");
    assert_eq!(alice.1, again.1);
    assert_ne!(alice.1, nobody.1);
}

#[tokio::test]
async fn connections_that_do_not_log_in_are_ended() {
    let sets = [
        "limits.stream.header_timeout=1s",
        "limits.stream.tls_timeout=1s",
        "limits.stream.login_timeout=2s",
        "limits.stream.close_timeout=1s",
        "limits.stream.bind_timeout=2s",
    ];
    let server = Process::start(ACCOUNTS, &sets);
    let mut others = Bystanders::log_in(&server).await;
    let before = server.rss();
    let mut silent = Vec::new();
    for n in 0..120 {
        let builder = server.client("mallory");
        let mut client = builder.open(server.addr).await.unwrap();
        match n % 4 {
            0 => {}
            1 => client.send("<stream:stream to='localh").await.unwrap(),
            2 => drop(client.open_stream().await.unwrap()),
            _ => {
                client.open_stream().await.unwrap();
                let starttls = Element::new("starttls", ns::TLS);
                client.send(starttls).await.unwrap();
            }
        }
        silent.push(client);
    }
    others.chat().await;
    let grown = server.rss().saturating_sub(before);
    println!("120 half-open connections: {grown} bytes");
    assert!(grown < 120 * 64 * 1024, "{grown} bytes");
    let began = Instant::now();
    for client in &mut silent {
        while client.next(Duration::from_secs(20)).await.is_some() {}
        assert!(client.is_over());
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    others.chat().await;
}

/// One who sends a byte now and then is no better.
#[tokio::test]
async fn dribbling_does_not_help() {
    let sets = [
        "limits.stream.header_timeout=1s",
        "limits.stream.login_timeout=2s",
    ];
    let server = Process::start(ACCOUNTS, &sets);
    let builder = server.client("mallory");
    let mut client = builder.open(server.addr).await.unwrap();
    let began = Instant::now();
    for byte in b"<stream:stream to='localhost' version='1.0' xml:lang='en'"
        .iter()
        .cycle()
    {
        let sent = client.connection.send(std::slice::from_ref(byte)).await;
        let _ = client.next(Duration::from_millis(50)).await;
        if sent.is_err() || client.is_over() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
    }
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let sets = [
        "limits.connections.exempt=[]",
        "limits.connections.unauthenticated_per_address=5",
    ];
    let server = Process::start(ACCOUNTS, &sets);
    let mut others = Bystanders::log_in(&server).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut client = server.client("mallory").open(server.addr).await.unwrap();
        client.open_stream().await.unwrap();
        open.push(client);
    }
    let mut client = server.client("mallory").open(server.addr).await.unwrap();
    assert!(client.open_stream().await.is_err());
    others.chat().await;
    drop(open);
    tokio::time::sleep(Duration::from_millis(300)).await;
    online(&server, "mallory", "m").await;
}

#[tokio::test]
async fn sessions_of_one_account_are_limited() {
    let server = Process::start(ACCOUNTS, &["limits.account.sessions=3"]);
    let mut sessions = Vec::new();
    for n in 0..3 {
        sessions.push(online(&server, "alice", &n.to_string()).await);
    }
    match server.client("alice").connect(server.addr).await {
        Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::ResourceConstraint),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a fourth session"),
    }
    // A session makes room when it ends, and the others are untouched.
    sessions.pop().unwrap().close().await.unwrap();
    let mut fourth = online(&server, "alice", "4").await;
    for client in sessions.iter_mut().chain([&mut fourth]) {
        let ping = Element::new("ping", ns::PING);
        client.request("get", None, ping).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_speaks_in_another_name() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut bob = online(&server, "bob", "1").await;
    for from in [
        "alice@localhost",
        "alice@localhost/1",
        "localhost",
        "mallory@localhost/other",
        "mallory@elsewhere.example",
    ] {
        let mut client = online(&server, "mallory", "m").await;
        let to = bob.jid.to_string();
        let message =
            format!("<message from='{from}' to='{to}' type='chat'><body>forged</body></message>");
        client.send(message.as_str()).await.unwrap();
        assert_eq!(end_of(&mut client).await, Some("invalid-from"), "{from}");
    }
    let mut client = online(&server, "mallory", "m").await;
    let message = format!(
        "<message from='MALLORY@localhost' to='{}' type='chat'><body>true</body></message>",
        bob.jid
    );
    client.send(message.as_str()).await.unwrap();
    let is_message = |el: &Element| el.is("message", ns::CLIENT);
    let got = bob.wait_for("a message", is_message).await.unwrap();
    assert_eq!(got.attr("from"), Some("mallory@localhost/m"));
    assert_eq!(got.child("body", ns::CLIENT).unwrap().text(), "true");
}
