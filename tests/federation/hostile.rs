//! Servers that mean no good: a named error or a closed stream, a log line, and nobody else notices. Nothing of theirs is
//! passed on to others, and nobody is called because of them who would not be called anyway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::liar::{Liar, Talk};
use super::world::{Authority, free_address};
use crate::hostile::{Bystanders, online};
use crate::support::client::{Client, Error};
use crate::support::process::Process;

const ACCOUNTS: &[&str] = &["alice", "bob"];
const MIB: u64 = 1024 * 1024;

/// A server that believes dialback, with the liars where it finds them, and where they find it.
fn start(liars: &[&Liar], sets: &[&str]) -> (Process, SocketAddr) {
    let at = free_address();
    let authority = Authority::new();
    let found = |liar: &&Liar| {
        format!(
            "{{domain = \"{}\", address = \"{}\", port = {}}}",
            liar.domain,
            liar.address.ip(),
            liar.address.port()
        )
    };
    let peers: Vec<String> = liars.iter().map(found).collect();
    let mut all = vec![
        "federation.enabled=true".to_owned(),
        format!("federation.listen=[\"{at}\"]"),
        format!("federation.authorities=[{:?}]", authority.file()),
        format!("federation.peers=[{}]", peers.join(", ")),
        "federation.demand=dialback-over-tls".to_owned(),
        "federation.connect_timeout=4s".to_owned(),
        "log.level=info".to_owned(),
    ];
    all.extend(sets.iter().map(|set| (*set).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    (Process::start(ACCOUNTS, &all), at)
}

/// What somebody who asks the liar's server something is told.
async fn told(client: &mut Client, domain: &str) -> String {
    let ping = Element::new("ping", ns::PING);
    match client.request("get", Some(domain), ping).await {
        Err(Error::Refused(error)) => error.text.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}' type='chat'><body>forged</body></message>")
}

#[tokio::test]
async fn a_forged_key_ends_the_stream() {
    let (liar, victim) = (
        Liar::listen("liar.example").await,
        Liar::listen("victim.example").await,
    );
    let (server, at) = start(&[&liar, &victim], &[]);
    let mut talk = liar.call(&server, at).await;
    talk.says(&Liar::key("victim.example")).await;
    victim.judges("invalid").await;
    let end = talk.hears_the_end().await;
    assert!(end.contains("type='invalid'"), "{end}");
    server.wait_for_log("a forged or wrong dialback key is refused domain=victim.example");

    // With a domain of its own proved, the stream goes on without the forged one.
    let mut talk = liar.prove(&server, at).await;
    talk.says(&Liar::key("victim.example")).await;
    victim.judges("invalid").await;
    talk.hears("<forbidden").await;
    talk.says(&message("x@victim.example", "bob@localhost"))
        .await;
    let end = talk.hears_the_end().await;
    assert!(end.contains("invalid-from"), "{end}");
}

#[tokio::test]
async fn answers_that_nobody_asked_for_prove_nothing() {
    let liar = Liar::listen("liar.example").await;
    let (server, at) = start(&[&liar], &[]);
    for unasked in [
        "<db:result from='liar.example' to='localhost' type='valid'/>",
        "<db:verify from='liar.example' to='localhost' id='1' type='valid'/>",
    ] {
        let mut talk = liar.call(&server, at).await;
        talk.says(unasked).await;
        talk.says(&message("x@liar.example", "bob@localhost")).await;
        let end = talk.hears_the_end().await;
        assert!(end.contains("unsupported-stanza-type"), "{end}");
    }
    // Nor does an answer about something else, on a stream where a key was given.
    let mut alice = online(&server, "alice", "1").await;
    let answers = async {
        let mut talk = liar.answer("").await;
        talk.hears("result>").await;
        talk.says("<db:result from='victim.example' to='localhost' type='valid'/>")
            .await;
        talk.hears_the_end().await
    };
    let (text, end) = tokio::join!(told(&mut alice, "liar.example"), answers);
    assert!(end.contains("invalid-from"), "{end}");
    assert!(text.contains("does not follow the protocol"), "{text}");
}

#[tokio::test]
async fn somebody_who_gives_keys_of_others_makes_no_flood() {
    let (liar, victim) = (
        Liar::listen("liar.example").await,
        Liar::listen("victim.example").await,
    );
    let patient = "federation.connect_timeout=40s";
    let (server, at) = start(&[&liar, &victim], &[patient]);
    let mut talks = Vec::new();
    for _ in 0..30 {
        let mut talk = liar.call(&server, at).await;
        talk.says(&Liar::key("victim.example")).await;
        talks.push(talk);
    }
    let calls = victim.silent_calls(Duration::from_secs(1)).await;
    assert!((1..=10).contains(&calls), "{calls} calls");
    server.wait_for_log("too many dialback keys of one domain at once");
    for mut talk in talks {
        let answer = talk.hears("result>").await;
        assert!(answer.contains("type='error'"), "{answer}");
    }
}

#[tokio::test]
async fn where_certificates_are_demanded_nobody_is_called_because_of_a_key() {
    let (liar, victim) = (
        Liar::listen("liar.example").await,
        Liar::listen("victim.example").await,
    );
    let demand = "federation.demand=require-valid-certificate";
    let (server, at) = start(&[&liar, &victim], &[demand]);
    let mut talk = liar.call(&server, at).await;
    talk.says(&Liar::key("victim.example")).await;
    talk.hears("<not-authorized").await;
    let calls = victim.silent_calls(Duration::from_millis(300)).await;
    assert_eq!(calls, 0);
}

#[tokio::test]
async fn nothing_is_passed_on_to_third_parties() {
    let (liar, third) = (
        Liar::listen("liar.example").await,
        Liar::listen("third.example").await,
    );
    let (server, at) = start(&[&liar, &third], &[]);
    let mut talk = liar.prove(&server, at).await;
    talk.says(&message("x@liar.example", "y@third.example"))
        .await;
    let end = talk.hears_the_end().await;
    assert!(end.contains("host-unknown"), "{end}");
    // A key for a domain that is not served here, and one asked about.
    let mut talk = liar.call(&server, at).await;
    talk.says("<db:result from='liar.example' to='third.example'>key</db:result>")
        .await;
    talk.hears("<item-not-found").await;
    talk.says("<db:verify from='liar.example' to='third.example' id='1'>key</db:verify>")
        .await;
    talk.hears("<item-not-found").await;
    let calls = third.silent_calls(Duration::from_millis(300)).await;
    assert_eq!(calls, 0);
}

/// Takes a call of the server and lets it prove itself, on a stream both ways.
async fn both_ways(liar: &Liar) -> Talk {
    let bidi = format!("<bidi xmlns='{}'/>", ns::BIDI_FEATURE);
    let mut talk = liar.answer(&bidi).await;
    talk.hears("result>").await;
    talk.says("<db:result from='liar.example' to='localhost' type='valid'/>")
        .await;
    talk
}

#[tokio::test]
async fn a_stream_both_ways_carries_only_the_domain_that_was_called() {
    let liar = Liar::listen("liar.example").await;
    let (server, _) = start(&[&liar], &[]);
    let mut bob = online(&server, "bob", "1").await;
    for (from, to, condition) in [
        ("x@victim.example", "bob@localhost", "invalid-from"),
        ("alice@localhost", "bob@localhost", "invalid-from"),
        ("x@liar.example", "y@third.example", "host-unknown"),
    ] {
        bob.send("<message to='x@liar.example' type='chat'><body>hello</body></message>")
            .await
            .unwrap();
        let mut talk = both_ways(&liar).await;
        talk.hears("hello").await;
        talk.says(&message(from, to)).await;
        let end = talk.hears_the_end().await;
        assert!(end.contains(condition), "{end}");
    }
    let forged = |el: &Element| el.is("message", ns::CLIENT) && el.attr("type") != Some("error");
    while let Some(element) = bob.next(Duration::from_millis(200)).await {
        assert!(!forged(&element), "{element:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_named_in_time_and_holds_up_nobody() {
    let liar = Liar::listen("liar.example").await;
    let (server, _) = start(&[&liar], &[]);
    let mut bystanders = Bystanders::log_in(&server).await;
    let mut carol = online(&server, "alice", "2").await;
    let began = Instant::now();
    let asks = told(&mut carol, "liar.example");
    let (text, ()) = tokio::join!(asks, bystanders.chat());
    assert!(text.contains("did not answer in time"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(15));
    server.wait_for_log("another server cannot be talked to");
}

#[tokio::test]
async fn a_stream_on_which_nothing_is_proved_ends() {
    let liar = Liar::listen("liar.example").await;
    let (server, at) = start(&[&liar], &[]);
    let mut talk = liar.call(&server, at).await;
    let end = talk.hears_the_end().await;
    assert!(end.contains("connection-timeout"), "{end}");
}

#[tokio::test]
async fn no_tls_and_see_other_host_are_named() {
    let liar = Liar::listen("liar.example").await;
    let (server, _) = start(&[&liar], &["federation.retry=5s"]);
    let mut alice = online(&server, "alice", "1").await;
    let header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                  version='1.0' id='1'>";
    let plain = format!("{header}<stream:features/>");
    let away = format!(
        "{header}<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{}\
         </see-other-host></stream:error></stream:stream>",
        liar.address
    );
    for (says, word) in [
        (plain, "the server offers no encryption"),
        (away, "see-other-host"),
    ] {
        let answers = async {
            let mut talk = liar.accept().await;
            talk.hears("<stream:stream").await;
            talk.says(&says).await;
            talk.hears_the_end().await
        };
        let (text, _) = tokio::join!(told(&mut alice, "liar.example"), answers);
        assert!(text.contains(word), "{text}");
        // It is not followed, and not called again for nothing.
        let calls = liar.silent_calls(Duration::from_millis(300)).await;
        assert_eq!(calls, 0);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Says so many MiB, as far as they are taken.
async fn says_much(talk: &mut Talk, mib: usize) {
    let chunk = vec![b'a'; 64 * 1024];
    for _ in 0..mib * 16 {
        if talk.tries_to_say(&chunk).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_stanza_of_a_hundred_megabytes_ends_the_stream_and_is_held_by_nobody() {
    let liar = Liar::listen("liar.example").await;
    let (server, at) = start(&[&liar], &[]);
    let mut bystanders = Bystanders::log_in(&server).await;
    let mut talk = liar.prove(&server, at).await;
    let before = server.rss();
    talk.says("<message from='x@liar.example' to='bob@localhost'><body>")
        .await;
    says_much(&mut talk, 2).await;
    talk.hears("<policy-violation").await;
    tokio::join!(says_much(&mut talk, 98), bystanders.chat());
    assert!(server.rss() < before + 32 * MIB);

    // The same in what should be features, when we call.
    let answers = async {
        let mut talk = liar.answer("").await;
        talk.says("<x xmlns='urn:example:x'>").await;
        says_much(&mut talk, 100).await;
    };
    let mut carol = online(&server, "alice", "2").await;
    let (text, ()) = tokio::join!(told(&mut carol, "liar.example"), answers);
    assert!(text.contains("does not follow the protocol"), "{text}");
    assert!(server.rss() < before + 32 * MIB);
}

#[tokio::test]
async fn a_flood_is_read_slowly_and_the_others_go_on() {
    let liar = Liar::listen("liar.example").await;
    let (server, at) = start(
        &[&liar],
        &[
            "federation.stanzas_per_second=200",
            "federation.bytes_per_second=64KiB",
        ],
    );
    let mut bystanders = Bystanders::log_in(&server).await;
    let mut talk = liar.prove(&server, at).await;
    let before = server.rss();
    let one = message("x@liar.example", "nobody@localhost");
    let many = one.repeat(1_000);
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    let flood = async {
        let mut said = 0;
        while let Ok(Ok(())) =
            tokio::time::timeout_at(until, talk.tries_to_say(many.as_bytes())).await
        {
            said += 1_000;
        }
        said
    };
    let chat = async {
        let mut slowest = Duration::ZERO;
        while tokio::time::Instant::now() < until {
            let began = Instant::now();
            bystanders.chat().await;
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (said, slowest) = tokio::join!(flood, chat);
    // What the sockets take is more than what is read.
    assert!(said < 200_000, "{said} stanzas went out");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(server.rss() < before + 64 * MIB);
}

#[tokio::test]
async fn a_thousand_streams_of_one_address_are_too_many() {
    let liar = Liar::listen("liar.example").await;
    let (server, at) = start(&[&liar], &["limits.connections.exempt=[]"]);
    let mut bystanders = Bystanders::log_in(&server).await;
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..1_000 {
        match tokio::net::TcpStream::connect(at).await {
            Ok(stream) => streams.push(stream),
            Err(_) => refused += 1,
        }
    }
    let mut open = 0;
    for stream in &streams {
        let mut byte = [0];
        match tokio::time::timeout(Duration::from_millis(5), stream.peek(&mut byte)).await {
            Err(_) => open += 1,
            Ok(_) => refused += 1,
        }
    }
    assert!(open <= 200, "{open} are open, {refused} were refused");
    bystanders.chat().await;
    drop(streams);
    // Then there is room again.
    let mut talk = loop {
        let socket = tokio::net::TcpStream::connect(at).await.unwrap();
        let mut byte = [0];
        let peek = tokio::time::timeout(Duration::from_millis(50), socket.peek(&mut byte));
        if peek.await.is_err() {
            drop(socket);
            break liar.prove(&server, at).await;
        }
    };
    talk.says(&message("x@liar.example", "bob@localhost")).await;
    let says_it = |el: &Element| el.attr("from") == Some("x@liar.example");
    bystanders.bob.wait_for("a message", says_it).await.unwrap();
}
