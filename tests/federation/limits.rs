//! What one other domain may do, and what is told of links.

use std::time::Duration;

use super::links::{Two, two};
use super::wire::Wire;
use super::world::{Authority, Site, body, chat, next_message, online};
use crate::support::server::Running;

/// A value of the metrics; none is nothing.
pub fn metric(server: &Running, name: &str, labels: &[(&'static str, &str)]) -> f64 {
    let samples = server.own().metrics().samples();
    samples.value(name, labels).unwrap_or(0.0)
}

fn reached(server: &Running, key: &str) -> f64 {
    metric(server, "waxwing_limits_reached_total", &[("limit", key)])
}

/// Until something is so.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come about");
}

#[tokio::test]
async fn a_domain_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let Two { a, b, alice, bob } = two(|site| {
        site.settings = "domain_stanzas_per_second = 20".into();
    })
    .await;
    let mut alice = online(&a, &alice).await;
    let mut bob_here = online(&b, &bob).await;
    for n in 0..120 {
        alice.send(chat(&bob, &n.to_string())).await.unwrap();
    }
    for n in 0..120 {
        assert_eq!(body(&next_message(&mut bob_here).await), n.to_string());
    }
    assert!(reached(&b, "federation.domain_stanzas_per_second") > 0.0);
    assert_eq!(reached(&a, "federation.domain_stanzas_per_second"), 0.0);
}

/// The caller's side of a wire is lost without a word to the other one, which keeps its old stream.
#[tokio::test]
async fn a_domain_has_so_many_connections_and_no_more() {
    for (most, refused) in [(1, true), (2, false)] {
        let authority = Authority::new();
        let mut site_a = Site::new(&authority, "a.example");
        let mut site_b = Site::new(&authority, "b.example");
        site_a.settings = "resume_for = \"0s\"".into();
        site_b.settings = format!("connections_per_domain = {most}");
        let wire = Wire::to(site_b.address).await;
        let b_by_wire = Site {
            domain: site_b.domain,
            address: wire.address,
            certificate: site_b.certificate.clone(),
            settings: String::new(),
        };
        let a = site_a.start(&authority, &[&b_by_wire]).await;
        let b = site_b.start(&authority, &[&site_a]).await;
        let (alice, bob) = (
            a.account("alice").await.unwrap(),
            b.account("bob").await.unwrap(),
        );
        let mut alice = online(&a, &alice).await;
        let mut bob_here = online(&b, &bob).await;
        alice.send(chat(&bob, "one")).await.unwrap();
        next_message(&mut bob_here).await;
        wire.strand();
        alice.send(chat(&bob, "two")).await.unwrap();
        if refused {
            until(|| reached(&b, "federation.connections_per_domain") > 0.0).await;
            wire.cut();
        }
        assert_eq!(body(&next_message(&mut bob_here).await), "two");
        if !refused {
            assert_eq!(reached(&b, "federation.connections_per_domain"), 0.0);
        }
    }
}

#[tokio::test]
async fn metrics_say_what_links_do() {
    let Two { a, b, alice, bob } = two(|_| {}).await;
    let mut alice = online(&a, &alice).await;
    let mut bob_here = online(&b, &bob).await;
    alice.send(chat(&bob, "hello")).await.unwrap();
    next_message(&mut bob_here).await;
    let links = |state| metric(&a, "waxwing_federation_links", &[("state", state)]);
    until(|| links("established") == 1.0).await;
    let streams = |server, way| metric(server, "waxwing_federation_streams", &[("direction", way)]);
    assert_eq!((streams(&a, "out"), streams(&a, "in")), (1.0, 0.0));
    assert_eq!((streams(&b, "out"), streams(&b, "in")), (0.0, 1.0));
    until(|| metric(&a, "waxwing_federation_kept_stanzas", &[]) == 0.0).await;

    drop(bob_here);
    let _folder = b.stop().await.unwrap();
    alice.send(chat(&bob, "late")).await.unwrap();
    let failures = |reason| {
        metric(
            &a,
            "waxwing_federation_failures_total",
            &[("reason", reason)],
        )
    };
    until(|| failures("unreachable") > 0.0).await;
    let tried = ["broken", "waiting", "resolving", "connecting"];
    until(|| tried.map(links).iter().sum::<f64>() == 1.0).await;
    assert_eq!(metric(&a, "waxwing_federation_kept_stanzas", &[]), 1.0);
    assert!(metric(&a, "waxwing_federation_kept_bytes", &[]) > 10.0);
}
