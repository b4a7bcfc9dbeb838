//! What a server tells of itself and its peers (XEP-0485): only those that tell such things too are named.

use std::time::Duration;

use waxwing::proto::disco::Info;
use waxwing::proto::ns;
use waxwing::xml::{Context, Element, Limits, parse};

use super::world::{Authority, Site, body, chat, next_message, online};
use crate::support::client::{Client, Error};

const TELLS: &str = "[modules.pubsub]\nenabled = true\n[modules.server_info]\nenabled = true\nevery = \"1s\"\n\
                     [modules.contact]\nabuse = [\"mailto:abuse@a.example\"]";

/// What the node of a.example says.
async fn told(client: &mut Client) -> Result<Option<Element>, Error> {
    let text = format!(
        "<pubsub xmlns='{}'><items node='serverinfo'/></pubsub>",
        ns::PUBSUB
    );
    let ask = parse(text.as_bytes(), &Context::client(), &Limits::STORED).unwrap();
    let answer = client.request("get", Some("pubsub.a.example"), ask).await;
    let answer = answer?;
    let items = answer.child("pubsub", ns::PUBSUB).unwrap();
    let items = items.child("items", ns::PUBSUB).unwrap();
    let all: Vec<_> = items.children().collect();
    assert!(all.len() <= 1, "one item at most");
    let item = all
        .first()
        .filter(|item| item.attr("id") == Some("current"));
    let info = item.and_then(|item| item.child("serverinfo", ns::SERVER_INFO_NODE));
    Ok(info.map(|info| info.to_element()))
}

/// Looks until the node says what it should.
async fn until(client: &mut Client, fits: impl Fn(&Element) -> bool) -> Element {
    let mut last = None;
    for _ in 0..200 {
        if let Ok(Some(info)) = told(client).await {
            if fits(&info) {
                return info;
            }
            last = Some(info);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last:?}");
}

/// The other domains, with their connections.
fn named(info: &Element) -> Vec<(String, Vec<String>)> {
    let domain = info.child("domain", ns::SERVER_INFO_NODE).unwrap();
    assert_eq!(domain.attr("name"), Some("a.example"));
    let federation = domain.child("federation", ns::SERVER_INFO_NODE).unwrap();
    let remote = federation.children().map(|remote| {
        let kinds = remote.children().filter_map(|one| one.attr("type"));
        let name = remote.attr("name").unwrap_or_default();
        (name.to_owned(), kinds.map(str::to_owned).collect())
    });
    remote.collect()
}

#[tokio::test]
async fn peers_that_agree_are_named_and_others_are_not() {
    let authority = Authority::new();
    let mut sites = ["a.example", "b.example", "c.example"].map(|d| Site::new(&authority, d));
    sites[0].settings = TELLS.into();
    sites[1].settings = TELLS.into();
    let [site_a, site_b, site_c] = &sites;
    let a = site_a.start(&authority, &[site_b, site_c]).await;
    let b = site_b.start(&authority, &[site_a]).await;
    let c = site_c.start(&authority, &[site_a]).await;
    let alice = a.account("alice").await.unwrap();
    let mut alice = online(&a, &alice).await;
    let nobody = until(&mut alice, |info| named(info).is_empty()).await;
    assert_eq!(nobody.children().count(), 1);

    for (server, name) in [(&c, "carol"), (&b, "bob")] {
        let jid = server.account(name).await.unwrap();
        let mut there = online(server, &jid).await;
        alice.send(chat(&jid, "hello")).await.unwrap();
        assert_eq!(body(&next_message(&mut there).await), "hello");
    }
    let info = until(&mut alice, |info| !named(info).is_empty()).await;
    let bob = ("b.example".to_owned(), vec!["bidi".to_owned()]);
    assert_eq!(named(&info), [bob]);

    // It is announced, in one form with what else is said of the server.
    let query = Element::new("query", ns::DISCO_INFO);
    let answer = alice
        .request("get", Some("a.example"), query)
        .await
        .unwrap();
    let info = Info::parse(answer.child("query", ns::DISCO_INFO).unwrap(), None);
    assert!(info.features.iter().any(|var| var == ns::SERVER_INFO_NODE));
    let forms = info.forms.iter();
    let forms: Vec<_> = forms
        .filter(|form| form.form_type() == Some(ns::SERVER_INFO))
        .collect();
    assert_eq!(forms.len(), 1);
    let node = forms[0].value("serverinfo-pubsub-node");
    assert_eq!(node, Some("xmpp:pubsub.a.example?;node=serverinfo"));
    assert_eq!(
        forms[0].value("abuse-addresses"),
        Some("mailto:abuse@a.example")
    );
}

#[tokio::test]
async fn without_a_service_of_nodes_nothing_is_announced() {
    let authority = Authority::new();
    let mut site = Site::new(&authority, "a.example");
    site.settings = "[modules.server_info]\nenabled = true\nevery = \"1s\"".into();
    let a = site.start(&authority, &[]).await;
    let alice = a.account("alice").await.unwrap();
    let mut alice = online(&a, &alice).await;
    // It had its chance.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let query = Element::new("query", ns::DISCO_INFO);
    let answer = alice
        .request("get", Some("a.example"), query)
        .await
        .unwrap();
    let info = Info::parse(answer.child("query", ns::DISCO_INFO).unwrap(), None);
    assert!(!info.features.iter().any(|var| var == ns::SERVER_INFO_NODE));
}
