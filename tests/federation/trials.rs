//! `waxwing s2s test`: what an administrator is told, step by step.

use std::net::SocketAddr;

use waxwing::admin::command::ask;
use waxwing::admin::{Caller, Report, Rights};
use waxwing::hooks::command::{Given, Values};

use super::links::two;
use super::world::{Authority, Site};
use crate::operations::dns::{A, SRV, dns, srv};
use crate::support::server::Running;

pub async fn trial(server: &Running, domain: &str) -> Vec<String> {
    let (report, mut lines) = Report::new();
    let caller = Caller {
        name: "a test".to_owned(),
        jid: None,
        rights: Rights::Server,
    };
    let given = Given::from([("domain".to_owned(), Values(vec![domain.to_owned()]))]);
    let acts = server.own().acts();
    let work = async move { ask("s2s test", &given, &caller, acts, &report).await };
    let mut told = Vec::new();
    let listen = async {
        while let Some(line) = lines.recv().await {
            told.push(format!("{line:?}"));
        }
    };
    let (done, ()) = tokio::join!(work, listen);
    done.unwrap();
    told
}

pub fn has(told: &[String], text: &str) -> bool {
    told.iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn every_step_is_told_when_all_is_well() {
    let two = two(|_| {}).await;
    let told = trial(&two.a, "b.example").await;
    for text in [
        "policy: a valid certificate is demanded",
        "address by [[federation.peers]]: 127.",
        ", STARTTLS",
        " answers",
        "TLS: version 1.3",
        "certificate: for b.example, from ",
        ", valid until ",
        "SASL: EXTERNAL",
        "feature: dialback",
        "feature: streams both ways",
        "feature: acknowledgements",
        "their certificate is valid",
        "they believe us by EXTERNAL",
        "stanzas go both ways on one stream",
        "the stream can be resumed",
        "all is well",
    ] {
        assert!(has(&told, text), "no {text:?} in {told:#?}");
    }
    assert!(!has(&told, "mend"), "{told:#?}");
}

/// A server that asks DNS here.
async fn by_dns(records: Vec<(&'static str, u16, Vec<u8>)>) -> Running {
    let authority = Authority::new();
    let mut site = Site::new(&authority, "a.example");
    let server: SocketAddr = dns(records);
    site.settings = format!("connect_timeout = \"5s\"\ndns_servers = [\"{server}\"]");
    site.start(&authority, &[]).await
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_mend() {
    let server = by_dns(vec![
        (
            "_xmpp-server._tcp.dead.example",
            SRV,
            srv(9, "x.dead.example"),
        ),
        ("x.dead.example", A, vec![127, 0, 0, 1]),
    ])
    .await;
    let told = trial(&server, "dead.example").await;
    for text in [
        "SRV _xmpps-server: none",
        "SRV _xmpp-server: priority 0, weight 5, x.dead.example. port 9",
        "address: 127.0.0.1:9, STARTTLS",
        "connection: the server cannot be reached",
        "mend: the port must be open",
    ] {
        assert!(has(&told, text), "no {text:?} in {told:#?}");
    }
    let told = trial(&server, "none.example").await;
    assert!(has(&told, "DNS: "), "{told:#?}");
    assert!(
        has(&told, "mend: the domain needs an SRV record"),
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_shown_and_what_to_do_about_it() {
    let authority = Authority::new();
    let site_a = Site::new(&authority, "a.example");
    let mut site_b = Site::new(&authority, "b.example");
    site_b.certificate = authority.issue("c.example", |_| {});
    let a = site_a.start(&authority, &[&site_b]).await;
    let _b = site_b.start(&authority, &[&site_a]).await;
    let told = trial(&a, "b.example").await;
    for text in [
        "certificate: for c.example",
        "stream: the server's certificate is not accepted: it is not for b.example but for c.example",
        "mend: its administrator must replace the certificate",
    ] {
        assert!(has(&told, text), "no {text:?} in {told:#?}");
    }
}
