//! Key packages: published per device, looked at, handed out once each, counted, withdrawn.

use std::time::Duration;

use waxwing::mls::testing::{self, Draft};
use waxwing::proto::{Condition, ErrorType, ns};
use waxwing::state::mls::encode;
use waxwing::xml::{El, Element};

use super::{DAY, Device, client, devices, mls, now, publish, refused};
use crate::support::client::Client;
use crate::support::server::start_server;

/// Devices and packages that were handed out.
async fn take(client: &mut Client, of: &str, take: Element) -> Vec<(String, String, bool)> {
    let answer = client.request("set", Some(of), take).await.unwrap();
    let packages = answer.child("packages", ns::MLS).unwrap();
    let one = |package: El<'_>| {
        let last = package.attr("last-resort") == Some("true");
        let device = package.attr("device").unwrap().to_owned();
        assert_eq!(package.attr("suite"), Some("1"));
        (device, package.text().into_owned(), last)
    };
    packages.children().map(one).collect()
}

#[tokio::test]
async fn packages_are_handed_out_once_each_and_the_last_one_always() {
    let server = start_server(&[]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let info = Element::new("query", ns::DISCO_INFO);
    let info = phone.request("get", None, info).await.unwrap();
    let info = format!("{info:?}");
    assert!(info.contains(ns::MLS) && info.contains("suites"), "{info}");

    let mut device = Device::new(&bob, "phone");
    let two = device.packages(2);
    let answer = device.publish(&mut phone, &two).await;
    assert_eq!(
        devices(&answer),
        [("phone".to_owned(), "2".to_owned(), false)]
    );
    let last = device.last_resort();
    let answer = device
        .publish(&mut phone, std::slice::from_ref(&last))
        .await;
    assert_eq!(
        devices(&answer),
        [("phone".to_owned(), "2".to_owned(), true)]
    );
    let count = phone.request("get", None, mls("packages")).await.unwrap();
    assert_eq!(devices(&count), devices(&answer));

    let mut got = Vec::new();
    for _ in 0..2 {
        let one = take(&mut alice, bob.as_str(), mls("take")).await;
        assert_eq!((one.len(), one[0].2), (1, false));
        got.push(one[0].1.clone());
    }
    got.sort();
    let mut published: Vec<_> = two.iter().map(|bytes| encode(bytes)).collect();
    published.sort();
    assert_eq!(got, published);
    for _ in 0..2 {
        let one = take(&mut alice, bob.as_str(), mls("take")).await;
        assert_eq!(one, [("phone".to_owned(), encode(&last), true)]);
    }
    let again = refused(&mut phone, "set", None, publish("phone", &two)).await;
    assert_eq!(again.condition, Condition::Conflict);
    let app = again.app.unwrap();
    assert_eq!(
        (app.attr("reason"), app.attr("index")),
        (Some("repeated"), Some("0"))
    );

    let withdraw = || mls("withdraw").with_attr("device", "phone");
    phone.request("set", None, withdraw()).await.unwrap();
    let nothing = refused(&mut alice, "set", Some(bob.as_str()), mls("take")).await;
    assert_eq!(nothing.condition, Condition::ItemNotFound);
    let nobody = refused(&mut alice, "set", Some("nobody@localhost"), mls("take")).await;
    assert_eq!(nobody.condition, Condition::ItemNotFound);
    let nothing = refused(&mut phone, "set", None, withdraw()).await;
    assert_eq!(nothing.condition, Condition::ItemNotFound);
}

#[tokio::test]
async fn a_device_that_has_few_left_is_told() {
    let server = start_server(&["modules.mls.low=1"]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let three = device.packages(3);
    device.publish(&mut phone, &three).await;
    for _ in 0..2 {
        take(&mut alice, bob.as_str(), mls("take")).await;
    }
    let low = |el: &Element| el.has_child("low", ns::MLS);
    let hint = phone.wait_for("a hint", low).await.unwrap();
    assert_eq!(
        (hint.attr("type"), hint.attr("from")),
        (Some("headline"), Some(bob.as_str()))
    );
    let low = hint.child("low", ns::MLS).unwrap();
    assert_eq!(
        (low.attr("device"), low.attr("count")),
        (Some("phone"), Some("1"))
    );
}

#[tokio::test]
async fn what_is_no_good_is_refused_with_its_number_and_all_with_it() {
    let server = start_server(&["modules.mls.packages=5", "modules.mls.suites=[1]"]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let mut device = Device::new(&bob, "phone");
    let eve = "eve@localhost/phone".to_owned();
    let foreign = {
        let draft = device.draft(&eve);
        device.maker.package(&draft)
    };
    let identity = device.identity.clone();
    let mut of = |life, suite| {
        let draft = device.draft(&identity);
        device.maker.package(&Draft {
            life,
            suite,
            ..draft
        })
    };
    let old = of((now() - 2 * DAY, now() - DAY), 1);
    let other = of((now() - 60, now() + DAY), 3);
    let mut flipped = of((now() - 60, now() + DAY), 1);
    *flipped.last_mut().unwrap() ^= 1;
    let longer = [of((now() - 60, now() + DAY), 1), vec![0]].concat();
    for (bad, reason) in [
        (old, "lifetime"),
        (other, "suite"),
        (flipped, "signature"),
        (longer, "syntax"),
        (foreign, "credential"),
        (testing::welcome(9), "syntax"),
        (vec![0, 9, 0, 5, 0, 0, 0, 0], "version"),
    ] {
        let two = [device.package(), bad];
        let error = refused(&mut phone, "set", None, publish("phone", &two)).await;
        assert_eq!(error.condition, Condition::NotAcceptable, "{reason}");
        let app = error.app.unwrap();
        assert!(app.is("package-refused", ns::MLS));
        assert_eq!(
            (app.attr("reason"), app.attr("index")),
            (Some(reason), Some("1"))
        );
    }
    let six = device.packages(6);
    let error = refused(&mut phone, "set", None, publish("phone", &six)).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert_eq!(error.app.unwrap().attr("reason"), Some("too-many"));
    let text = mls("publish")
        .with_attr("device", "phone")
        .with_child(mls("package").with_text("no base64"));
    let error = refused(&mut phone, "set", None, text).await;
    assert_eq!(error.app.unwrap().attr("reason"), Some("syntax"));
    for device in ["", "a/b", &"x".repeat(65)] {
        let error = refused(&mut phone, "set", None, publish(device, &six[..1])).await;
        assert_eq!(error.condition, Condition::BadRequest);
    }
    // Nothing of all that is there.
    let count = phone.request("get", None, mls("packages")).await.unwrap();
    assert_eq!(devices(&count), []);
    // Others publish nothing here.
    let (_, mut alice) = client(&server, "alice").await;
    let foreign = publish("phone", &device.packages(1));
    let error = refused(&mut alice, "set", Some(bob.as_str()), foreign).await;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
}

#[tokio::test]
async fn strangers_do_not_drain_a_device() {
    let server = start_server(&["modules.mls.strangers=2"]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let five = device.packages(5);
    device.publish(&mut phone, &five).await;
    for _ in 0..2 {
        take(&mut alice, bob.as_str(), mls("take")).await;
    }
    let error = refused(&mut alice, "set", Some(bob.as_str()), mls("take")).await;
    assert_eq!(
        (error.condition, error.kind),
        (Condition::ResourceConstraint, ErrorType::Wait)
    );
    // Bob's other devices are no strangers, and leave themselves out.
    let mut laptop = server.client(&bob).connect(server.addr).await.unwrap();
    let one = take(&mut laptop, bob.as_str(), mls("take")).await;
    assert_eq!(one.len(), 1);
    let except = mls("take").with_attr("except", "phone");
    let error = refused(&mut laptop, "set", Some(bob.as_str()), except).await;
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[tokio::test]
async fn who_is_shut_out_loses_its_packages() {
    const PHONE: &str = "99999999-2222-4333-8444-555555555555";
    let server = start_server(&[]).await;
    let bob = server.account("bob").await.unwrap();
    let builder = server.client(&bob).client_id(PHONE);
    let builder = builder.want_token("HT-SHA-256-NONE").resumable();
    let mut phone = builder.connect(server.addr).await.unwrap();
    let mut device = Device::new(&bob, "phone");
    let two = device.packages(2);
    device.publish(&mut phone, &two).await;
    let mut desk = server.client(&bob).connect(server.addr).await.unwrap();
    let mut other = Device::new(&bob, "desk");
    let one = other.packages(1);
    other.publish(&mut desk, &one).await;
    let list = Element::new("list", ns::CLIENT_ACCESS);
    let list = phone.request("get", None, list).await.unwrap();
    let list = list.child("clients", ns::CLIENT_ACCESS).unwrap();
    let software = |client: &El<'_>| {
        let agent = client.child("user-agent", ns::CLIENT_ACCESS);
        agent.is_some_and(|agent| agent.child("software", ns::CLIENT_ACCESS).is_some())
    };
    let named = list.children().find(software).unwrap();
    let revoke = Element::new("revoke", ns::CLIENT_ACCESS);
    let revoke = revoke.with_attr("id", named.attr("id").unwrap());
    // It may come back with the password, which is what the answer says.
    let _ = desk.request("set", None, revoke).await;
    let left = [("desk".to_owned(), "1".to_owned(), false)];
    for _ in 0..200 {
        let count = desk.request("get", None, mls("packages")).await.unwrap();
        if devices(&count) == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the packages are still there");
}
