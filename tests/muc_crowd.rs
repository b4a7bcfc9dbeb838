//! A room of thousands: whoever enters is told of all of them, nobody is cut for it, and what is configured then tells nobody of
//! anybody (XEP-0045 §7.1).

use std::collections::HashSet;
use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::components::{PLAYS, attach, start};
use crate::support::client::Client;
use crate::support::server::Running;

const ROOM: &str = "agora@conference.localhost";
/// More than may wait for one client, or for one account, of what is no answer of a room.
const CROWD: usize = 2_500;
/// Entered in one go.
const AT_ONCE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

fn join(from: Option<&str>, nick: &str) -> Element {
    let history = Element::new("history", ns::MUC).with_attr("maxstanzas", "0");
    let mut join = Element::new("presence", ns::CLIENT)
        .with_attr("to", &format!("{ROOM}/{nick}"))
        .with_child(Element::new("x", ns::MUC).with_child(history));
    join.set_attr("from", from);
    join
}

/// The nicknames that are shown until the subject comes.
async fn shown(client: &mut Client, to: Option<&str>) -> HashSet<String> {
    let mut nicks = HashSet::new();
    loop {
        let got = client.next(PATIENCE).await.unwrap_or_else(|| {
            panic!(
                "the subject does not come after {} nicknames; {:?}",
                nicks.len(),
                client.stream_error
            )
        });
        if to.is_some_and(|to| got.attr("to") != Some(to)) {
            continue;
        }
        assert_ne!(got.attr("type"), Some("error"), "{got:?}");
        if got.has_child("subject", got.ns()) {
            return nicks;
        }
        if let Some((_, nick)) = got.attr("from").unwrap().split_once('/') {
            assert!(nicks.insert(nick.to_owned()), "{nick} is shown twice");
        }
    }
}

async fn show(owner: &mut Client, roles: &[&str]) {
    let field = |var: &str, values: &[&str]| {
        let value = |text: &&str| Element::new("value", ns::DATA_FORM).with_text(text);
        Element::new("field", ns::DATA_FORM)
            .with_attr("var", var)
            .with_children(values.iter().map(value))
    };
    let form = Element::new("x", ns::DATA_FORM)
        .with_attr("type", "submit")
        .with_child(field("muc#roomconfig_presencebroadcast", roles));
    let query = Element::new("query", ns::MUC_OWNER).with_child(form);
    owner.request("set", Some(ROOM), query).await.unwrap();
}

/// A server with a room that its owner and people of a component have entered while nobody was shown; now all are.
async fn crowded() -> (Running, Client, Client) {
    let server = start("[modules.muc]\njoins = 100000").await;
    let jid = server.account("owner").await.unwrap();
    let mut owner = server.client(&jid).connect(server.addr).await.unwrap();
    owner.send(join(None, "owner")).await.unwrap();
    shown(&mut owner, None).await;
    show(&mut owner, &["moderator"]).await;
    let mut plays = attach(&server, PLAYS).await.unwrap();
    for first in (0..CROWD).step_by(AT_ONCE) {
        for n in first..first + AT_ONCE {
            let from = format!("u{n}@{PLAYS}/r");
            plays
                .send(join(Some(&from), &format!("u{n}")))
                .await
                .unwrap();
        }
        let mut inside = 0;
        while inside < AT_ONCE {
            let got = plays.next(PATIENCE).await.expect("all are let in");
            assert_ne!(got.attr("type"), Some("error"), "{got:?}");
            inside += usize::from(got.has_child("subject", got.ns()));
        }
    }
    show(&mut owner, &["moderator", "participant", "visitor"]).await;
    (server, owner, plays)
}

/// Whether a status code stands there (XEP-0045 §15.6).
fn is_code(el: &Element, code: &str) -> bool {
    let x = el.child("x", ns::MUC_USER);
    let mut statuses = x.iter().flat_map(|x| x.children());
    statuses.any(|el| el.attr("code") == Some(code))
}

#[tokio::test]
async fn whoever_enters_a_crowd_sees_all_of_it() {
    let (server, mut owner, mut plays) = crowded().await;
    // All are told that the room was configured, and nobody of the others.
    for _ in ["before they came", "and now"] {
        let told = owner.next(PATIENCE).await.unwrap();
        assert!(is_code(&told, "104"), "{told:?}");
    }
    for _ in 0..CROWD {
        let told = plays.next(PATIENCE).await.unwrap();
        assert!(is_code(&told, "104"), "{told:?}");
    }
    let jid = server.account("late").await.unwrap();
    let late = server.client(&jid).resumable();
    let mut late = late.connect(server.addr).await.unwrap();
    late.send(join(None, "late")).await.unwrap();
    let seen = shown(&mut late, None).await;
    assert_eq!(seen.len(), CROWD + 2, "the others, the owner and itself");
    // It is one of them: it speaks and hears.
    let message =
        format!("<message type='groupchat' id='m' to='{ROOM}'><body>Hail!</body></message>");
    late.send(message.as_str()).await.unwrap();
    let heard = late.next(PATIENCE).await.unwrap();
    assert_eq!(heard.attr("id"), Some("m"), "{heard:?}");
    let came = owner.next(PATIENCE).await.unwrap();
    assert_eq!(came.attr("from"), Some(&*format!("{ROOM}/late")));
    assert_eq!(owner.next(PATIENCE).await.unwrap().attr("id"), Some("m"));
    drop((plays, owner, late));
    server.stop().await;
}

#[tokio::test]
async fn so_does_who_enters_from_another_domain() {
    let (server, owner, mut plays) = crowded().await;
    let late = format!("late@{PLAYS}/r");
    plays.send(join(Some(&late), "late")).await.unwrap();
    let seen = shown(&mut plays, Some(&late)).await;
    assert_eq!(seen.len(), CROWD + 2);
    drop((plays, owner));
    server.stop().await;
}
