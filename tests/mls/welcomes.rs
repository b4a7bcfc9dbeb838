//! Welcomes reach exactly the device that they are for, now or when it is back, until it says that it has them.

use std::time::Duration;

use waxwing::mls::testing;
use waxwing::proto::{Condition, Jid, ns};
use waxwing::state::mls::encode;
use waxwing::xml::Element;

use super::{Device, client, mls, refused};
use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::server::start_server;

pub fn welcome(to: &Jid, device: &str, id: &str) -> Element {
    let welcome = mls("welcome")
        .with_attr("device", device)
        .with_attr("home", "coven@conference.localhost")
        .with_text(&encode(&testing::welcome(50)));
    Element::new("message", ns::CLIENT)
        .with_attr("to", to.as_str())
        .with_attr("id", id)
        .with_child(welcome)
}

/// The next welcome: its id, and the id under which it is kept.
pub async fn next(client: &mut Client) -> (String, String) {
    let is = |el: &Element| el.has_child("welcome", ns::MLS);
    let got = client.wait_for("a welcome", is).await.unwrap();
    let kept = got.child("stanza-id", ns::STANZA_ID).unwrap();
    let id = |text: Option<&str>| text.unwrap().to_owned();
    (id(got.attr("id")), id(kept.attr("id")))
}

pub async fn here(client: &mut Client, device: &str) {
    let here = mls("here").with_attr("device", device);
    client.request("set", None, here).await.unwrap();
}

pub fn received(device: &str, id: &str) -> Element {
    mls("received")
        .with_attr("device", device)
        .with_attr("id", id)
}

#[tokio::test]
async fn a_welcome_is_for_one_device_and_waits_for_it() {
    let server = start_server(&["modules.mls.welcomes=3"]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let one = device.packages(1);
    device.publish(&mut phone, &one).await;
    let mut laptop = server.client(&bob).connect(server.addr).await.unwrap();
    laptop.presence().await.unwrap();
    here(&mut laptop, "laptop").await;

    alice.send(welcome(&bob, "phone", "w1")).await.unwrap();
    let (id, kept) = next(&mut phone).await;
    assert_eq!(id, "w1");
    phone
        .request("set", None, received("phone", &kept))
        .await
        .unwrap();
    let again = refused(&mut phone, "set", None, received("phone", &kept)).await;
    assert_eq!(again.condition, Condition::ItemNotFound);

    // Away: it waits, and is offered at each return until it was received.
    phone.close().await.unwrap();
    for id in ["w2", "w3", "w4"] {
        alice.send(welcome(&bob, "phone", id)).await.unwrap();
    }
    alice.send(welcome(&bob, "phone", "w5")).await.unwrap();
    let is = |el: &Element| el.attr("id") == Some("w5");
    let full = alice.wait_for("an error", is).await.unwrap();
    let error = full.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("resource-constraint", ns::STANZA_ERRORS));
    for _ in 0..2 {
        let mut phone = server.client(&bob).connect(server.addr).await.unwrap();
        here(&mut phone, "phone").await;
        for id in ["w2", "w3", "w4"] {
            assert_eq!(next(&mut phone).await.0, id);
        }
        phone.close().await.unwrap();
    }
    // The other device never saw one, and no archive has any.
    for client in [&mut laptop, &mut alice] {
        let archive = Element::new("query", ns::MAM);
        client.request("set", None, archive).await.unwrap();
        while let Some(other) = client.next(Duration::from_millis(50)).await {
            assert!(!format!("{other:?}").contains("<welcome"), "{other:?}");
        }
    }
}

#[tokio::test]
async fn welcomes_to_strangers_and_noise_are_returned() {
    let server = start_server(&[]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let one = device.packages(1);
    device.publish(&mut phone, &one).await;
    let nobody = Jid::parse("nobody@localhost").unwrap();
    let with = |attrs: &[(&str, &str)], bytes: &[u8]| {
        let mut welcome = mls("welcome").with_text(&encode(bytes));
        for (name, value) in attrs {
            welcome.set_attr(name, Some(value));
        }
        Element::new("message", ns::CLIENT)
            .with_attr("to", bob.as_str())
            .with_attr("id", "bad")
            .with_child(welcome)
    };
    let good = [("device", "phone"), ("home", "bob@localhost")];
    for (message, condition) in [
        (welcome(&bob, "laptop", "bad"), "item-not-found"),
        (welcome(&nobody, "phone", "bad"), "service-unavailable"),
        (with(&good, &[0, 1, 0, 3, 0]), "bad-request"),
        (with(&good, &testing::private(b"g", 1, 3)), "bad-request"),
        (with(&good[..1], &testing::welcome(5)), "bad-request"),
        (with(&good[1..], &testing::welcome(5)), "bad-request"),
    ] {
        alice.send(message.clone()).await.unwrap();
        let is = |el: &Element| el.attr("id") == Some("bad");
        let got = alice.wait_for(condition, is).await.unwrap();
        let error = got.child("error", ns::CLIENT).unwrap();
        assert!(
            error.has_child(condition, ns::STANZA_ERRORS),
            "{condition}: {got:?}"
        );
    }
    alice.send(welcome(&bob, "phone", "good")).await.unwrap();
    assert_eq!(next(&mut phone).await.0, "good");
}

#[tokio::test]
async fn what_waits_survives_a_kill() {
    let mut server = Process::start(&["alice", "bob"], &[]);
    let bob = crate::support::process::jid("bob");
    let mut phone = server.client("bob").connect(server.addr).await.unwrap();
    let mut device = Device::new(&bob, "phone");
    let packages = device.packages(2);
    device.publish(&mut phone, &packages).await;
    let mut alice = server
        .client("alice")
        .acks()
        .connect(server.addr)
        .await
        .unwrap();
    let taken = alice
        .request("set", Some(bob.as_str()), mls("take"))
        .await
        .unwrap();
    alice.send(welcome(&bob, "phone", "w1")).await.unwrap();
    alice.request_ack().await.unwrap();
    server.kill();
    server.restart();
    let mut phone = server.client("bob").connect(server.addr).await.unwrap();
    here(&mut phone, "phone").await;
    assert_eq!(next(&mut phone).await.0, "w1");
    // What was handed out is not handed out again.
    let mut alice = server.client("alice").connect(server.addr).await.unwrap();
    let other = alice
        .request("set", Some(bob.as_str()), mls("take"))
        .await
        .unwrap();
    let text = |answer: &Element| {
        let packages = answer.child("packages", ns::MLS).unwrap().to_element();
        let package = packages.child("package", ns::MLS).unwrap();
        package.text().into_owned()
    };
    assert_ne!(text(&taken), text(&other));
    let none = refused(&mut alice, "set", Some(bob.as_str()), mls("take")).await;
    assert_eq!(none.condition, Condition::ItemNotFound);
}
