//! A reload: applied whole, or not at all.

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::{answers, certificate, free_address, is_served, refused, run, until};
use crate::support::client::{Client, Trust};
use crate::support::process::{Process, jid};

const ONE_SESSION: &str = "[limits.account]\nsessions = 1\n";

#[tokio::test]
async fn limits_change_and_sessions_stay() {
    let server = Process::start(&["romeo"], &[]);
    let mut first = server.client("romeo").connect(server.addr).await.unwrap();
    let said = run(&server, &["reload"]);
    assert_eq!(said, "nothing has changed\n");
    server.write_config(ONE_SESSION);
    let said = run(&server, &["reload"]);
    assert_eq!(said, "changed: limits.account.sessions: 20 → 1\n");
    assert!(server.client("romeo").connect(server.addr).await.is_err());
    assert!(answers(&mut first).await);
}

#[tokio::test]
async fn sighup_reloads_too() {
    let server = Process::start(&["romeo"], &[]);
    server.write_config(ONE_SESSION);
    server.hangup();
    server.wait_for_log("reloaded: changed: limits.account.sessions: 20 → 1");
    server.write_config("[limits.acount]\nsessions = 1\n");
    server.hangup();
    server.wait_for_log("not reloaded, nothing was changed: ");
    let mut romeo = server.client("romeo").connect(server.addr).await.unwrap();
    assert!(answers(&mut romeo).await);
    assert!(server.client("romeo").connect(server.addr).await.is_err());
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_says_where_it_is_wrong() {
    let server = Process::start(&["romeo"], &[]);
    let mut first = server.client("romeo").connect(server.addr).await.unwrap();
    for (more, expected) in [
        // Good and bad together: the good part must not be applied.
        (
            "[limits.account]\nsessions = 1\nrooster_items = 10\n",
            "waxwing.toml:16: limits.account.rooster_items: no such key; did you mean roster_items?",
        ),
        (
            "[limits.account]\nsessions = \"many\"\n",
            "waxwing.toml:15: limits.account.sessions: \"many\" is not allowed",
        ),
        // As an editor leaves it half-way.
        (
            "[limits.account]\nsessions = 1\ninbox =",
            "waxwing.toml:16: not TOML: a value is missing after `inbox =`",
        ),
        (
            "[limits.account]\nsessions = 1\n[hosts.\"example.o",
            "waxwing.toml:16: not TOML",
        ),
        // Only the modules, the certificates, or the system can tell.
        (
            "[limits.account]\nsessions = 1\n[hosts.\"new.example\"]\n",
            "certificate of new.example",
        ),
        (
            "[limits.account]\nsessions = 1\n[[listen]]\naddress = \"192.0.2.1:1\"\n",
            "cannot listen on 192.0.2.1:1: this machine does not have the address 192.0.2.1",
        ),
        (
            "[limits.account]\nsessions = 1\n[metrics]\nlisten = \"192.0.2.1:1\"\n",
            "metrics.listen: cannot listen on 192.0.2.1:1",
        ),
    ] {
        server.write_config(more);
        let said = refused(&server);
        assert!(said.contains(expected), "{more}\n{said}");
        server.hangup();
        server.wait_for_log(&format!(
            "nothing was changed: {}",
            start(&server, expected)
        ));
        let second = server.client("romeo").connect(server.addr).await;
        second.unwrap().close().await.unwrap();
    }
    server.replace_config("");
    assert!(refused(&server).contains("no domain is served"));
    assert!(answers(&mut first).await);
    server.write_config("");
    assert_eq!(run(&server, &["reload"]), "nothing has changed\n");
}

/// How the line in the log begins: a place in a file is given with its folder.
fn start(server: &Process, expected: &str) -> String {
    match expected.starts_with("waxwing.toml") {
        true => format!("{}/{expected}", server.folder().display()),
        false => expected.to_owned(),
    }
}

#[tokio::test]
async fn a_domain_comes_and_goes() {
    let server = Process::start(&["romeo"], &[]);
    let mut romeo = server.client("romeo").connect(server.addr).await.unwrap();
    let trust = certificate(&server.folder().join("data"), "new.example");
    server.write_config("[hosts.\"new.example\"]\n");
    let said = run(&server, &["reload"]);
    assert!(
        said.contains("a new certificate is in use for new.example"),
        "{said}"
    );
    run(
        &server,
        &["user", "add", "juliet@new.example", "--generate"],
    );
    let (_, password) = run(
        &server,
        &["user", "passwd", "juliet@new.example", "--generate"],
    )
    .trim()
    .rsplit_once(' ')
    .map(|(a, b)| (a.to_owned(), b.to_owned()))
    .unwrap();
    let mut juliet = Client::builder("juliet@new.example", &password)
        .trust(Trust::Fingerprint(trust))
        .connect(server.addr)
        .await
        .unwrap();
    assert!(answers(&mut juliet).await);
    server.write_config("");
    let said = run(&server, &["reload"]);
    assert!(
        said.contains("sessions ended because their domain is gone"),
        "{said}"
    );
    let error = juliet
        .wait_for("the end", |el| el.is("error", ns::STREAM))
        .await;
    let error = error.unwrap();
    assert!(
        error.child("host-gone", ns::STREAM_ERRORS).is_some(),
        "{error:?}"
    );
    assert!(answers(&mut romeo).await);
    let gone = Client::builder("juliet@new.example", &password)
        .trust(Trust::Fingerprint(trust))
        .connect(server.addr)
        .await;
    assert!(gone.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_in_use_at_once() {
    let server = Process::start(&["romeo"], &[]);
    let data = server.folder().join("data");
    let mut before = server.client("romeo").connect(server.addr).await.unwrap();
    let trust = certificate(&data, "localhost");
    let said = run(&server, &["reload"]);
    assert_eq!(said, "a new certificate is in use for localhost\n");
    assert!(server.client("romeo").connect(server.addr).await.is_err());
    let renewed = server.client("romeo").trust(Trust::Fingerprint(trust));
    renewed.connect(server.addr).await.unwrap();
    assert!(answers(&mut before).await);
}

#[tokio::test]
async fn listeners_come_and_go() {
    let server = Process::start(&["romeo"], &[]);
    let mut first = server.client("romeo").connect(server.addr).await.unwrap();
    let (other, metrics) = (free_address(), free_address());
    let more = format!("[[listen]]\naddress = \"{other}\"\n[metrics]\nlisten = \"{metrics}\"\n");
    server.write_config(&more);
    run(&server, &["reload"]);
    for address in [other, metrics, server.addr] {
        assert!(is_served(address), "{address}");
    }
    let mut second = server.client("romeo").connect(other).await.unwrap();
    server.write_config("");
    run(&server, &["reload"]);
    until("the listeners are gone", || {
        !is_served(other) && !is_served(metrics)
    });
    assert!(is_served(server.addr));
    assert!(answers(&mut first).await && answers(&mut second).await);
}

#[tokio::test]
async fn what_needs_a_restart_is_told_and_waits() {
    let server = Process::start(&["romeo"], &[]);
    server.write_config("[store]\ncache = \"32MiB\"\n[limits.account]\nsessions = 1\n");
    let expected = "changed: limits.account.sessions: 20 → 1\nneeds a restart: store.cache: 67108864 → 33554432\n";
    let said = run(&server, &["reload"]);
    assert_eq!(
        said.replace("\"64MiB\"", "67108864")
            .replace("\"32MiB\"", "33554432"),
        expected
    );
    // Still waiting at the next one.
    let said = run(&server, &["reload"]);
    assert!(
        said.contains("nothing has changed\nneeds a restart: store.cache"),
        "{said}"
    );
}

async fn announces_ping(client: &mut Client) -> bool {
    let query = Element::new("query", ns::DISCO_INFO);
    let answer = client
        .request("get", Some("localhost"), query)
        .await
        .unwrap();
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let mut features = query.children().filter(|el| el.name() == "feature");
    features.any(|el| el.attr("var") == Some(ns::PING))
}

#[tokio::test]
async fn modules_change_for_those_who_come() {
    let server = Process::start(&["romeo", "juliet"], &[]);
    let mut romeo = server.client("romeo").connect(server.addr).await.unwrap();
    assert!(announces_ping(&mut romeo).await);
    server.write_config("[modules.ping]\nenabled = false\n");
    let said = run(&server, &["reload"]);
    assert!(
        said.contains("changed: modules.ping.enabled: true → false"),
        "{said}"
    );
    let mut juliet = server.client("juliet").connect(server.addr).await.unwrap();
    assert!(!announces_ping(&mut juliet).await);
    let text = format!(
        "<message to='{}' type='chat'><body>still here</body></message>",
        jid("romeo")
    );
    romeo.presence().await.unwrap();
    juliet.send(text.as_str()).await.unwrap();
    romeo
        .wait_for("the message", |el| el.is("message", ns::CLIENT))
        .await
        .unwrap();
}
