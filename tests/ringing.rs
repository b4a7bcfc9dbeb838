//! Ringing: a call is offered to every device of an account, and is over on all of them once one has answered (XEP-0353, XEP-0482).

use std::time::Duration;

use waxwing::proto::{Jid, ns};
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::server::{Running, start_server};

const SID: &str = "ca3cf894-5325-482f-a412-a6e9f832298d";
const SILENCE: Duration = Duration::from_millis(300);

/// A device of an account: available, and told of what its others do.
pub async fn device(server: &Running, account: &Jid, resource: &str) -> Client {
    let client = server.client(account).resource(resource);
    let mut client = client.connect(server.addr).await.unwrap();
    let carbons = Element::new("enable", ns::CARBONS);
    client.request("set", None, carbons).await.unwrap();
    client.presence().await.unwrap();
    client
}

pub fn full(account: &Jid, resource: &str) -> String {
    format!("{account}/{resource}")
}

pub fn step(name: &str, ns: &str) -> Element {
    Element::new(name, ns).with_attr("id", SID)
}

/// A message as clients send it for a step of a call.
pub fn message(to: &str, payload: Element) -> Element {
    Element::new("message", ns::CLIENT)
        .with_attr("to", to)
        .with_attr("type", "chat")
        .with_attr("id", &waxwing::runtime::random::id())
        .with_child(payload)
        .with_child(Element::new("store", ns::HINTS))
}

/// Waits for a step of a call, which came as it was sent.
pub async fn hears(client: &mut Client, name: &str, ns: &str) -> Element {
    let what = format!("<{name}/>");
    let wanted = |el: &Element| el.is("message", ns::CLIENT) && el.child(name, ns).is_some();
    let message = client.wait_for(&what, wanted).await;
    message.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Waits for a copy of a step that another device of the account sent.
pub async fn learns(client: &mut Client, name: &str, ns: &str) -> Element {
    let copied = |el: &Element| -> Option<Element> {
        let copy = el.child("sent", ns::CARBONS)?;
        let message = copy
            .child("forwarded", ns::FORWARD)?
            .child("message", ns::CLIENT)?;
        message.child(name, ns).map(|_| message.to_element())
    };
    let what = format!("a copy of <{name}/>");
    let found = client.wait_for(&what, |el| copied(el).is_some()).await;
    copied(&found.unwrap_or_else(|error| panic!("{what}: {error}"))).unwrap()
}

struct Scene {
    server: Running,
    juliet: Jid,
    romeo: Jid,
    orchard: Client,
    /// Phone, tablet and desk of the one who is called.
    devices: [Client; 3],
}

const DEVICES: [&str; 3] = ["phone", "tablet", "desk"];

async fn scene() -> Scene {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let orchard = device(&server, &romeo, "orchard").await;
    let devices = [
        device(&server, &juliet, DEVICES[0]).await,
        device(&server, &juliet, DEVICES[1]).await,
        device(&server, &juliet, DEVICES[2]).await,
    ];
    Scene {
        server,
        juliet,
        romeo,
        orchard,
        devices,
    }
}

impl Scene {
    /// Romeo offers, all devices ring, and say so to the device that calls.
    async fn ring(&mut self) {
        let description =
            Element::new("description", "urn:xmpp:jingle:apps:rtp:1").with_attr("media", "audio");
        let propose = step("propose", ns::JINGLE_MESSAGE).with_child(description);
        let offer = message(self.juliet.as_str(), propose);
        self.orchard.send(offer).await.unwrap();
        for device in &mut self.devices {
            let offer = hears(device, "propose", ns::JINGLE_MESSAGE).await;
            assert_eq!(offer.attr("from"), Some(&*full(&self.romeo, "orchard")));
            // Later steps are found in the archive by what stands before them.
            assert!(offer.child("stanza-id", ns::STANZA_ID).is_some());
        }
        let caller = full(&self.romeo, "orchard");
        self.devices[0]
            .send(message(&caller, step("ringing", ns::JINGLE_MESSAGE)))
            .await
            .unwrap();
        hears(&mut self.orchard, "ringing", ns::JINGLE_MESSAGE).await;
        for device in &mut self.devices[1..] {
            learns(device, "ringing", ns::JINGLE_MESSAGE).await;
        }
    }

    /// The first device sends a step to the caller's full address, as version 0.8 has it; the others learn of it.
    async fn answer(&mut self, name: &str) {
        let caller = full(&self.romeo, "orchard");
        self.devices[0]
            .send(message(&caller, step(name, ns::JINGLE_MESSAGE)))
            .await
            .unwrap();
        let heard = hears(&mut self.orchard, name, ns::JINGLE_MESSAGE).await;
        assert_eq!(heard.attr("from"), Some(&*full(&self.juliet, "phone")));
        for device in &mut self.devices[1..] {
            learns(device, name, ns::JINGLE_MESSAGE).await;
        }
        // It needs no copy of what it said itself.
        while let Some(more) = self.devices[0].next(SILENCE).await {
            assert!(!more.is("message", ns::CLIENT), "{more:?}");
        }
    }

    /// The steps of the call that the archive of an account has.
    async fn archived(client: &mut Client) -> Vec<String> {
        let query = Element::new("query", ns::MAM).with_attr("queryid", "q");
        let id = "archive";
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", id)
            .with_child(query);
        client.send(iq).await.unwrap();
        let mut steps = Vec::new();
        loop {
            let next = client.wait_for("the archive", |el| {
                el.child("result", ns::MAM).is_some() || el.attr("id") == Some(id)
            });
            let next = next.await.unwrap();
            let Some(result) = next.child("result", ns::MAM) else {
                return steps;
            };
            let forwarded = result.child("forwarded", ns::FORWARD).unwrap();
            let message = forwarded.child("message", ns::CLIENT).unwrap();
            let names = message
                .children()
                .filter(|child| child.ns() == ns::JINGLE_MESSAGE);
            steps.extend(names.map(|child| child.name().to_owned()));
        }
    }
}

#[tokio::test]
async fn a_call_rings_everywhere_and_is_over_where_it_was_not_answered() {
    let mut scene = scene().await;
    scene.ring().await;
    scene.answer("proceed").await;
    for client in [&mut scene.orchard, &mut scene.devices[2]] {
        let steps = Scene::archived(client).await;
        assert_eq!(steps, ["propose", "ringing", "proceed"]);
    }
}

#[tokio::test]
async fn a_call_that_is_declined_is_over_everywhere() {
    let mut scene = scene().await;
    scene.ring().await;
    scene.answer("reject").await;
}

#[tokio::test]
async fn a_call_that_is_withdrawn_is_over_everywhere() {
    let mut scene = scene().await;
    scene.ring().await;
    let withdrawn = message(scene.juliet.as_str(), step("retract", ns::JINGLE_MESSAGE));
    scene.orchard.send(withdrawn).await.unwrap();
    for device in &mut scene.devices {
        hears(device, "retract", ns::JINGLE_MESSAGE).await;
    }
}

/// Before version 0.8 steps went to bare addresses, and who answered told its own account first.
#[tokio::test]
async fn older_clients_tell_their_own_account_that_they_answered() {
    let mut scene = scene().await;
    scene.ring().await;
    let own = message(scene.juliet.as_str(), step("accept", ns::JINGLE_MESSAGE));
    scene.devices[0].send(own).await.unwrap();
    for device in &mut scene.devices {
        hears(device, "accept", ns::JINGLE_MESSAGE).await;
    }
    let proceed = message(scene.romeo.as_str(), step("proceed", ns::JINGLE_MESSAGE));
    scene.devices[0].send(proceed).await.unwrap();
    hears(&mut scene.orchard, "proceed", ns::JINGLE_MESSAGE).await;
}

/// XEP-0482 §3: the offer goes to all devices, the answer is known to all.
#[tokio::test]
async fn an_invitation_to_a_call_is_for_all_devices() {
    let mut scene = scene().await;
    let invite = Element::new("invite", ns::CALL_INVITES).with_attr("video", "true");
    let invite = invite.with_child(Element::new("jingle", ns::CALL_INVITES).with_attr("sid", SID));
    scene
        .orchard
        .send(message(scene.juliet.as_str(), invite))
        .await
        .unwrap();
    for device in &mut scene.devices {
        hears(device, "invite", ns::CALL_INVITES).await;
    }
    let accept = step("accept", ns::CALL_INVITES);
    scene.devices[0]
        .send(message(&full(&scene.romeo, "orchard"), accept))
        .await
        .unwrap();
    hears(&mut scene.orchard, "accept", ns::CALL_INVITES).await;
    for device in &mut scene.devices[1..] {
        learns(device, "accept", ns::CALL_INVITES).await;
    }
}

/// Who was away when the call came learns of it, and that it is over, from what waits for it.
#[tokio::test]
async fn who_comes_later_learns_that_it_missed_a_call() {
    let server = start_server(&[]).await;
    let juliet = server.account("juliet").await.unwrap();
    let romeo = server.account("romeo").await.unwrap();
    let mut orchard = device(&server, &romeo, "orchard").await;
    for name in ["propose", "retract"] {
        let step = message(juliet.as_str(), step(name, ns::JINGLE_MESSAGE));
        orchard.send(step).await.unwrap();
    }
    let mut late = device(&server, &juliet, "phone").await;
    hears(&mut late, "propose", ns::JINGLE_MESSAGE).await;
    hears(&mut late, "retract", ns::JINGLE_MESSAGE).await;
}

/// A device whose connection is lost while it rings hears how it went on when it is back (XEP-0198 §5).
#[tokio::test]
async fn a_device_that_was_cut_off_hears_how_a_call_went_on() {
    let mut scene = scene().await;
    let tablet = scene.server.client(&scene.juliet).resource("pad");
    let mut pad = tablet.resumable().connect(scene.server.addr).await.unwrap();
    pad.presence().await.unwrap();
    scene.ring().await;
    hears(&mut pad, "propose", ns::JINGLE_MESSAGE).await;
    pad.request_ack().await.unwrap();
    let (id, handled) = pad.cut();
    let withdrawn = message(scene.juliet.as_str(), step("retract", ns::JINGLE_MESSAGE));
    scene.orchard.send(withdrawn).await.unwrap();
    for device in &mut scene.devices {
        hears(device, "retract", ns::JINGLE_MESSAGE).await;
    }
    let back = scene.server.client(&scene.juliet).resume(&id, handled);
    let mut pad = back.connect(scene.server.addr).await.unwrap();
    assert!(pad.is_resumed());
    let heard = hears(&mut pad, "retract", ns::JINGLE_MESSAGE).await;
    assert_eq!(heard.attr("from"), Some(&*full(&scene.romeo, "orchard")));
}

/// Jingle itself goes from device to device (XEP-0166): who answered has shown itself to the caller.
#[tokio::test]
async fn the_session_begins_between_the_two_devices() {
    let mut scene = scene().await;
    scene.ring().await;
    let (caller, callee) = (full(&scene.romeo, "orchard"), full(&scene.juliet, "phone"));
    let initiate = || {
        Element::new("jingle", ns::JINGLE)
            .with_attr("action", "session-initiate")
            .with_attr("sid", SID)
    };
    // Strangers get no answer, and do not learn who is there.
    let refused = scene
        .orchard
        .request("set", Some(&callee), initiate())
        .await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("ServiceUnavailable"));
    scene.answer("proceed").await;
    let presence = Element::new("presence", ns::CLIENT).with_attr("to", &caller);
    scene.devices[0].send(presence).await.unwrap();
    let seen = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&callee);
    scene.orchard.wait_for("presence", seen).await.unwrap();
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("to", &callee)
        .with_attr("id", "i1")
        .with_child(initiate());
    scene.orchard.send(iq).await.unwrap();
    let offered = |el: &Element| el.child("jingle", ns::JINGLE).is_some();
    let offered = scene.devices[0]
        .wait_for("a session", offered)
        .await
        .unwrap();
    assert_eq!(offered.attr("from"), Some(&*caller));
    drop(scene.server);
}
