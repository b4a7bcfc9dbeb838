//! What is too large for a stanza is uploaded (XEP-0363), and its address, size and hash go in its place.

use sha2::{Digest, Sha256};
use waxwing::mls::testing;
use waxwing::proto::{Condition, ns};
use waxwing::state::mls::encode;
use waxwing::xml::Element;

use super::rooms::{self, ROOM, came, commit, configure, enter};
use super::welcomes::received;
use super::{Device, bounced, client, mls, reason, refused, welcome_of};
use crate::http::web::Web;
use crate::support::client::Client;
use crate::support::server::{Running, start_server};

const URL: &str = "hosts.localhost.url=https://localhost:5443";

/// An element that says where something lies.
fn lies(element: Element, url: &str, bytes: &[u8]) -> Element {
    let hash = Element::new("hash", ns::HASHES)
        .with_attr("algo", "sha-256")
        .with_text(&encode(&Sha256::digest(bytes)));
    element
        .with_attr("url", url)
        .with_attr("size", &bytes.len().to_string())
        .with_child(hash)
}

fn welcome() -> Element {
    mls("welcome")
        .with_attr("device", "phone")
        .with_attr("home", ROOM)
}

/// Uploads something; where it lies.
async fn upload(server: &Running, client: &mut Client, bytes: &[u8]) -> String {
    let wish = Element::new("request", ns::HTTP_UPLOAD)
        .with_attr("filename", "welcome.mls")
        .with_attr("size", &bytes.len().to_string());
    let slot = client.request("get", Some("upload.localhost"), wish);
    let slot = slot.await.unwrap();
    let slot = slot.child("slot", ns::HTTP_UPLOAD).unwrap().to_element();
    let url = |name| slot.child(name, ns::HTTP_UPLOAD).unwrap().attr("url");
    let put = path(url("put").unwrap());
    let mut web = web(server).await;
    let head = format!(
        "PUT {put} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    web.send(head).await;
    web.send(bytes).await;
    assert_eq!(web.answer(false).await.unwrap().status, 201);
    url("get").unwrap().to_owned()
}

async fn web(server: &Running) -> Web {
    Web::tls(server, server.addr, "http/1.1").await.unwrap()
}

fn path(url: &str) -> &str {
    url.strip_prefix("https://localhost:5443").unwrap()
}

/// What lies where an element says, if it is what it says.
async fn fetched(server: &Running, element: &Element) -> Vec<u8> {
    let url = element.attr("url").unwrap();
    let answer = web(server).await.get(path(url)).await;
    assert_eq!(answer.status, 200);
    let size = answer.body.len().to_string();
    assert_eq!(element.attr("size"), Some(size.as_str()));
    let hash = element.child("hash", ns::HASHES).unwrap().text();
    assert_eq!(hash, encode(&Sha256::digest(&answer.body)));
    answer.body
}

#[tokio::test]
async fn a_welcome_that_no_stanza_holds_is_fetched_by_its_device() {
    let server = start_server(&[URL]).await;
    let (bob, mut phone) = client(&server, "bob").await;
    let (_, mut alice) = client(&server, "alice").await;
    let mut device = Device::new(&bob, "phone");
    let one = device.packages(1);
    device.publish(&mut phone, &one).await;
    let bytes = testing::welcome(700_000);
    let url = upload(&server, &mut alice, &bytes).await;
    let large = welcome_of(&bob, "w1", lies(welcome(), &url, &bytes));
    alice.send(large).await.unwrap();
    let is = |el: &Element| el.has_child("welcome", ns::MLS);
    let got = phone.wait_for("a welcome", is).await.unwrap();
    let told = got.child("welcome", ns::MLS).unwrap().to_element();
    assert_eq!(told.attr("home"), Some(ROOM));
    assert_eq!(fetched(&server, &told).await, bytes);
    let id = got.child("stanza-id", ns::STANZA_ID).unwrap();
    let received = received("phone", id.attr("id").unwrap());
    phone.request("set", None, received).await.unwrap();

    let sum = |element: &Element| element.child("hash", ns::HASHES).unwrap().to_element();
    let good = lies(welcome(), "https://x/w", b"w");
    let mut plain = good.clone();
    plain.set_attr("url", Some("http://x/w"));
    let mut endless = good.clone();
    endless.set_attr("size", Some("16777217"));
    let mut unknown = good.clone();
    unknown.set_attr("size", None);
    let unsummed = welcome()
        .with_attr("url", "https://x/w")
        .with_attr("size", "1");
    for (bad, why) in [
        (plain, "no TLS"),
        (endless, "too large"),
        (unknown, "of no size"),
        (unsummed, "without a hash"),
        (good.clone().with_child(sum(&good)), "two hashes"),
        (
            good.clone().with_text(&encode(&testing::welcome(9))),
            "here as well",
        ),
    ] {
        alice.send(welcome_of(&bob, why, bad)).await.unwrap();
        let error = bounced(&mut alice, why).await;
        assert_eq!(error.condition, Condition::BadRequest, "{why}");
        assert_eq!(reason(error), "url", "{why}");
    }
}

#[tokio::test]
async fn the_state_of_a_large_group_lies_elsewhere() {
    let server = start_server(&[URL, "modules.muc.group_info=4KiB"]).await;
    let crone = server.account("crone1").await.unwrap();
    let mut crone = enter(server.client(&crone), server.addr, "first").await;
    configure(&mut crone, &[rooms::ORDERED, rooms::EXTERNAL]).await;
    crone
        .send(rooms::message("c0", &commit(0, "c")))
        .await
        .unwrap();
    came(&mut crone, "c0").await.unwrap();
    let bytes = [testing::group_info(rooms::GROUP, 1), vec![0; 5_000]].concat();
    let text = mls("group-info").with_text(&encode(&bytes));
    let error = refused(&mut crone, "set", Some(ROOM), text).await;
    assert_eq!(error.condition, Condition::NotAcceptable);
    let url = upload(&server, &mut crone, &bytes).await;
    let of = |group: &[u8], epoch: &str| {
        let info = mls("group-info")
            .with_attr("group", &encode(group))
            .with_attr("epoch", epoch);
        lies(info, &url, &bytes)
    };
    for (other, condition) in [
        (of(rooms::GROUP, "0"), Condition::Conflict),
        (of(b"another coven", "1"), Condition::Conflict),
        (lies(mls("group-info"), &url, &bytes), Condition::BadRequest),
    ] {
        let error = refused(&mut crone, "set", Some(ROOM), other).await;
        assert_eq!(error.condition, condition);
    }
    let info = of(rooms::GROUP, "1");
    crone
        .request("set", Some(ROOM), info.clone())
        .await
        .unwrap();
    let ask = mls("group-info");
    let got = crone.request("get", Some(ROOM), ask).await.unwrap();
    let got = got.child("group-info", ns::MLS).unwrap().to_element();
    assert_eq!(got, info);
    assert_eq!(fetched(&server, &got).await, bytes);
}
