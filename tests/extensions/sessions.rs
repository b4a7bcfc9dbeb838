//! A module that keeps something with each session, and one that follows its life.

use waxwing::hooks::{Listed, Path, Phase, Reply, SessionEvent, To, Verb, Verdict};
use waxwing::xml::Element;

use super::{NS, chat, module, next_message, online, server};

/// How many messages a session has sent.
#[derive(Default)]
struct Sent(u32);

/// What became of the sessions of an account.
#[derive(Default)]
struct Diary(Vec<String>);

module!(Numbers, "numbers", |_deps, r| {
    r.message(Path::FromClient, Phase::Amend, |envelope, turn| {
        let waxwing::hooks::Origin::Session(id) = envelope.origin else {
            return Verdict::Continue;
        };
        let session = turn.account.session_mut(id);
        if let Some(sent) = session.and_then(|session| session.slots.of::<Sent>()) {
            sent.0 += 1;
            let number = Element::new("number", NS).with_text(&sent.0.to_string());
            envelope.amend().push(number);
        }
        Verdict::Continue
    });
    r.session(|event, id, turn| {
        let Some(session) = turn.account.session(id) else {
            return;
        };
        let resource = session.jid.resource().unwrap_or_default();
        let sent = session.slots.find::<Sent>().map_or(0, |sent| sent.0);
        let line = match event {
            SessionEvent::Expired => format!("{resource} {event:?} after {sent}"),
            _ => format!("{resource} {event:?}"),
        };
        if let Some(diary) = turn.account.parts.of::<Diary>() {
            diary.0.push(line);
        }
    });
    r.account_iq(To::OwnAccount, Verb::Get, (NS, "diary"), |_, turn| {
        let diary = turn.account.parts.find::<Diary>();
        let text = diary.map(|diary| diary.0.join(", ")).unwrap_or_default();
        Reply::from(Element::new("diary", NS).with_text(&text))
    });
});

#[tokio::test]
async fn each_session_has_its_own() {
    let server = server(&[Listed::of::<Numbers>()], &[]).await.unwrap();
    let alice = server.account("alice").await.unwrap();
    let bob = server.account("bob").await.unwrap();
    let mut one = online(&server, &alice, "one").await;
    let mut two = online(&server, &alice, "two").await;
    let mut bob_phone = online(&server, &bob, "phone").await;
    for (sender, number) in [(1, "1"), (1, "2"), (2, "1"), (1, "3")] {
        let client = if sender == 1 { &mut one } else { &mut two };
        client.send(chat(&bob, "hello")).await.unwrap();
        let message = next_message(&mut bob_phone).await;
        assert_eq!(message.child("number", NS).unwrap().text(), number);
    }
    one.close().await.unwrap();
    // Its end is told to the other sessions after the hooks have seen it.
    let gone = |el: &Element| el.attr("type") == Some("unavailable");
    two.wait_for("its farewell", gone).await.unwrap();
    let answer = two.request("get", None, Element::new("diary", NS)).await;
    let answer = answer.unwrap();
    assert_eq!(
        answer.child("diary", NS).unwrap().text(),
        "one Bound, one Available, two Bound, two Available, one Unavailable, one Expired after 3"
    );
    for client in [two, bob_phone] {
        client.close().await.unwrap();
    }
    server.stop().await;
}
