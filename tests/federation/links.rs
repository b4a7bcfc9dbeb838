//! Links between two servers: messages, presence, questions; proofs; what happens when one is away.

use std::time::Duration;

use waxwing::proto::{IqType, Jid, PresenceType, Stanza, ns};
use waxwing::xml::Element;

use super::world::{Authority, Site, body, chat, error_text, next_message, online};
use crate::support::client::Error;
use crate::support::server::Running;

pub struct Two {
    pub a: Running,
    pub b: Running,
    pub alice: Jid,
    pub bob: Jid,
}

pub async fn two(change: impl Fn(&mut Site)) -> Two {
    let authority = Authority::new();
    let mut sites = [
        Site::new(&authority, "a.example"),
        Site::new(&authority, "b.example"),
    ];
    sites.iter_mut().for_each(change);
    let [site_a, site_b] = &sites;
    let a = site_a.start(&authority, &[site_b]).await;
    let b = site_b.start(&authority, &[site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    Two { a, b, alice, bob }
}

pub fn states(server: &Running) -> Vec<String> {
    let house = server.own().federation().unwrap();
    house.list().into_iter().map(|link| link.state).collect()
}

async fn there_and_back(two: &Two) {
    let mut alice = online(&two.a, &two.alice).await;
    let mut bob = online(&two.b, &two.bob).await;
    for n in 0..3 {
        let text = format!("there {n}");
        alice.send(chat(&two.bob, &text)).await.unwrap();
        let message = next_message(&mut bob).await;
        assert_eq!(body(&message), text);
        assert_eq!(message.attr("from"), Some(alice.jid.as_str()));
        let text = format!("back {n}");
        bob.send(chat(&alice.jid, &text)).await.unwrap();
        assert_eq!(body(&next_message(&mut alice).await), text);
    }
}

#[tokio::test]
async fn messages_go_both_ways_over_one_stream_proved_by_certificates() {
    let two = two(|_| {}).await;
    there_and_back(&two).await;
    let states = states(&two.a);
    assert_eq!(states.len(), 1, "{states:?}");
    assert!(states[0].contains("EXTERNAL, acknowledged"), "{states:?}");
}

#[tokio::test]
async fn without_bidi_there_is_a_stream_each_way() {
    let two = two(|site| site.settings = "bidi = false".into()).await;
    there_and_back(&two).await;
    let states = states(&two.a);
    assert_eq!(states.len(), 2, "{states:?}");
}

#[tokio::test]
async fn dialback_proves_where_it_is_allowed() {
    let authority = Authority::new();
    let two = two(|site| {
        site.certificate = authority.unknown(site.domain);
        site.settings = "demand = \"dialback-over-tls\"".into();
    })
    .await;
    there_and_back(&two).await;
    let states = states(&two.a);
    assert!(
        states.iter().all(|state| state.contains("dialback")),
        "{states:?}"
    );
}

#[tokio::test]
async fn subscriptions_presence_and_questions_cross() {
    let two = two(|_| {}).await;
    let mut alice = online(&two.a, &two.alice).await;
    let mut bob = online(&two.b, &two.bob).await;
    alice.roster().await.unwrap();
    bob.roster().await.unwrap();
    let presence = |kind, to: &Jid| Stanza::presence(kind).with_to(to.clone());
    alice
        .send(presence(PresenceType::Subscribe, &two.bob))
        .await
        .unwrap();
    let is = |kind: &'static str| {
        move |el: &Element| el.is("presence", ns::CLIENT) && el.attr("type") == Some(kind)
    };
    bob.wait_for("the request", is("subscribe")).await.unwrap();
    bob.send(presence(PresenceType::Subscribed, &two.alice))
        .await
        .unwrap();
    alice
        .wait_for("the answer", is("subscribed"))
        .await
        .unwrap();
    let from_bob = |el: &Element| {
        el.is("presence", ns::CLIENT)
            && el.attr("from") == Some(bob.jid.as_str())
            && el.attr("type").is_none()
    };
    alice.wait_for("presence", from_bob).await.unwrap();

    // He goes and comes: she hears of it; and a second session of hers asks for it.
    let full = bob.jid.clone();
    bob.close().await.unwrap();
    let gone = alice
        .wait_for("his going", is("unavailable"))
        .await
        .unwrap();
    assert_eq!(gone.attr("from"), Some(full.as_str()));
    let mut bob = online(&two.b, &two.bob).await;
    let there = |el: &Element| {
        el.is("presence", ns::CLIENT)
            && el.attr("from") == Some(full.as_str())
            && el.attr("type").is_none()
    };
    alice.wait_for("his coming", there).await.unwrap();
    let builder = two.a.client(&two.alice).resource("second");
    let mut second = builder.connect(two.a.addr).await.unwrap();
    second.presence().await.unwrap();
    second
        .wait_for("the answer to a probe", there)
        .await
        .unwrap();

    let info = Element::new("query", ns::DISCO_INFO);
    let info = alice.request("get", Some("b.example"), info).await.unwrap();
    assert!(info.child("query", ns::DISCO_INFO).is_some());
    let ping = Stanza::iq(IqType::Get)
        .with_id("p")
        .with_to(alice.jid.clone())
        .with_child(Element::new("ping", ns::PING));
    bob.send(ping).await.unwrap();
    let refused = bob
        .wait_for("an answer", |el| el.is("iq", ns::CLIENT))
        .await
        .unwrap();
    assert_eq!(
        refused.attr("type"),
        Some("error"),
        "she does not show him her presence"
    );
}

#[tokio::test]
async fn a_server_that_was_away_gets_what_was_written_meanwhile_once_and_in_order() {
    let authority = Authority::new();
    let site_a = Site::new(&authority, "a.example");
    let site_b = Site::new(&authority, "b.example");
    let a = site_a.start(&authority, &[&site_b]).await;
    let b = site_b.start(&authority, &[&site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let bob = b.account("bob").await.unwrap();
    let mut alice = online(&a, &alice).await;
    alice.send(chat(&bob, "first")).await.unwrap();
    let mut client = online(&b, &bob).await;
    assert_eq!(body(&next_message(&mut client).await), "first");
    drop(client);
    let folder = b.stop().await.unwrap();
    for n in 0..20 {
        alice.send(chat(&bob, &n.to_string())).await.unwrap();
    }
    let ping = Element::new("ping", ns::PING);
    match alice.request("get", Some("b.example"), ping).await {
        Err(Error::Refused(error)) => {
            let text = error.text.unwrap_or_default();
            assert!(text.contains("b.example"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // The own server restarts too: what waits is on its disk.
    drop(alice);
    let own = a.stop().await.unwrap();
    let a = site_a.start_in(own, &authority, &[&site_b]).await;
    let b = site_b.start_in(folder, &authority, &[&site_a]).await;
    let mut client = online(&b, &bob).await;
    for n in 0..20 {
        assert_eq!(body(&next_message(&mut client).await), n.to_string());
    }
    client
        .expect_nothing(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(
        a.own()
            .federation()
            .unwrap()
            .list()
            .iter()
            .all(|link| link.kept == 0)
    );
}

/// Alice writes to Bob whose server is like this; what she is told.
async fn told(certificate: impl FnOnce(&Authority) -> std::path::PathBuf) -> String {
    let authority = Authority::new();
    let mut site_a = Site::new(&authority, "a.example");
    site_a.settings = "give_up_after = \"1s\"".into();
    let mut site_b = Site::new(&authority, "b.example");
    site_b.certificate = certificate(&authority);
    let a = site_a.start(&authority, &[&site_b]).await;
    let _b = site_b.start(&authority, &[&site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let mut alice = online(&a, &alice).await;
    alice
        .send(chat(&Jid::parse("bob@b.example").unwrap(), "hello"))
        .await
        .unwrap();
    error_text(&next_message(&mut alice).await)
}

#[tokio::test]
async fn the_sender_hears_what_is_wrong_with_a_certificate() {
    let text = told(|authority| authority.issue("c.example", |_| {})).await;
    assert_eq!(
        text,
        "b.example: the server's certificate is not accepted: it is not for b.example but for c.example"
    );
    let text = told(|authority| {
        authority.issue("b.example", |params| {
            params.not_after = rcgen::date_time_ymd(2025, 3, 4);
        })
    })
    .await;
    assert!(text.ends_with("it expired on 2025-03-04"), "{text}");
    let text = told(|authority| authority.unknown("b.example")).await;
    assert!(text.ends_with("it is self-signed"), "{text}");
}

#[tokio::test]
async fn blocked_domains_are_refused_both_ways() {
    let two = two(|site| {
        if site.domain == "a.example" {
            site.settings = "block = [\"b.example\"]\ngive_up_after = \"1s\"".into();
        } else {
            site.settings = "give_up_after = \"1s\"".into();
        }
    })
    .await;
    let mut alice = online(&two.a, &two.alice).await;
    alice.send(chat(&two.bob, "no")).await.unwrap();
    let text = error_text(&next_message(&mut alice).await);
    assert_eq!(text, "b.example: this server does not talk to b.example");
    let mut bob = online(&two.b, &two.bob).await;
    bob.send(chat(&two.alice, "no")).await.unwrap();
    let text = error_text(&next_message(&mut bob).await);
    assert!(text.contains("policy-violation"), "{text}");
}

/// Whoever publishes our address as its own has us call ourselves.
#[tokio::test]
async fn a_domain_that_is_said_to_be_here_is_told_that_it_is_not() {
    let authority = Authority::new();
    let mut site = Site::new(&authority, "a.example");
    site.settings = "give_up_after = \"1s\"".into();
    let here = Site {
        domain: "mirror.example",
        address: site.address,
        certificate: site.certificate.clone(),
        settings: String::new(),
    };
    let a = site.start(&authority, &[&here]).await;
    let alice = a.account("alice").await.unwrap();
    let mut alice = online(&a, &alice).await;
    let nobody = Jid::parse("x@mirror.example").unwrap();
    alice.send(chat(&nobody, "hello")).await.unwrap();
    let error = error_text(&next_message(&mut alice).await);
    assert!(error.contains("host-unknown"), "{error}");
    assert_eq!(states(&a).len(), 1, "only what waits: {:?}", states(&a));
}
