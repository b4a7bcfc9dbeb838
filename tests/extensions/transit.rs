//! A module on the way of iqs that are for others.

use std::time::Duration;

use waxwing::hooks::{Listed, Path, Phase, Verdict};
use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use super::{NS, body, chat, module, next_message, online, server};
use crate::support::client::{Client, Error};

const PAUSE: Duration = Duration::from_millis(200);

module!(Customs, "customs", |_deps, r| {
    r.iq_transit(Path::FromClient, Phase::Check, |envelope, _| {
        let Some(goods) = envelope.stanza.child("goods", NS) else {
            return Verdict::Continue;
        };
        match goods.attr("kind") {
            Some("contraband") => Verdict::Bounce(Condition::NotAllowed.into()),
            Some("lost") => Verdict::Consume,
            Some("suspicious") => Verdict::Later(Box::pin(async {
                tokio::time::sleep(PAUSE).await;
                Verdict::Continue
            })),
            Some("opened") => Verdict::Later(Box::pin(async {
                Verdict::Later(Box::pin(async {
                    Verdict::Bounce(Condition::PolicyViolation.into())
                }))
            })),
            _ => Verdict::Continue,
        }
    });
    r.iq_transit(Path::ToClient, Phase::Amend, |envelope, _| {
        if envelope.stanza.child("goods", NS).is_some() {
            envelope.amend().push(Element::new("stamp", NS));
        }
        Verdict::Continue
    });
});

fn goods(kind: &str) -> Element {
    Element::new("goods", NS).with_attr("kind", kind)
}

/// Sends a request that is not waited for.
async fn ask(client: &mut Client, to: &str, kind: &str) {
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", kind)
        .with_attr("to", to)
        .with_child(goods(kind));
    client.send(iq).await.unwrap();
}

#[tokio::test]
async fn it_sees_bounces_and_delays_them() {
    let server = server(&[Listed::of::<Customs>()], &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let mut sender = online(&server, &jid, "sender").await;
    let mut other = online(&server, &jid, "other").await;
    let to = other.jid.clone();

    ask(&mut sender, to.as_str(), "honest").await;
    let wanted = |el: &Element| el.is("iq", ns::CLIENT);
    let iq = other.wait_for("the request", wanted).await.unwrap();
    assert_eq!(iq.attr("id"), Some("honest"));
    assert!(iq.has_child("stamp", NS));

    for (kind, condition) in [
        ("contraband", Condition::NotAllowed),
        ("opened", Condition::PolicyViolation),
    ] {
        match sender.request("get", Some(to.as_str()), goods(kind)).await {
            Err(Error::Refused(error)) => assert_eq!(error.condition, condition),
            other => panic!("{kind}: {other:?}"),
        }
    }

    // What the sender says after a delayed request waits for it; the consumed one never comes.
    let start = std::time::Instant::now();
    ask(&mut sender, to.as_str(), "lost").await;
    ask(&mut sender, to.as_str(), "suspicious").await;
    sender.send(chat(&to, "after you")).await.unwrap();
    let first = |el: &Element| el.is("iq", ns::CLIENT) || el.is("message", ns::CLIENT);
    let iq = other.wait_for("what comes first", first).await.unwrap();
    assert_eq!(iq.attr("id"), Some("suspicious"));
    assert_eq!(body(&next_message(&mut other).await), "after you");
    assert!(start.elapsed() >= PAUSE);
    for client in [sender, other] {
        client.close().await.unwrap();
    }
    server.stop().await;
}
