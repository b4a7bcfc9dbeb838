//! What somebody learns who may not know anything: nothing (RFC 6121 §4.3.2, §8.5, §11).

use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::online;
use crate::support::client::Client;
use crate::support::process::Process;

const ACCOUNTS: &[&str] = &["alice", "bob", "mallory"];

/// What comes back for a stanza, with the name of whom it was for taken out.
async fn answers(client: &mut Client, name: &str, stanza: &str) -> Vec<String> {
    client
        .send(stanza.replace("WHOM", name).as_str())
        .await
        .unwrap();
    let ping = "<iq type='get' id='fence' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    client.send(ping).await.unwrap();
    let mut answers = Vec::new();
    loop {
        let el = client.next(Duration::from_secs(20)).await.unwrap();
        if el.attr("id") == Some("fence") {
            break;
        }
        answers.push(format!("{el:?}").replace(name, "WHOM"));
    }
    // Answers that come over another account's turn may come after that of the host.
    while let Some(el) = client.next(Duration::from_millis(150)).await {
        answers.push(format!("{el:?}").replace(name, "WHOM"));
    }
    answers
}

#[tokio::test]
async fn strangers_cannot_tell_who_is_there() {
    let server = Process::start(ACCOUNTS, &[]);
    // Bob is there and alice is away, but mallory knows neither.
    let mut bob = online(&server, "bob", "home").await;
    let mut mallory = online(&server, "mallory", "m").await;
    mallory
        .wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    let mut differences = Vec::new();
    for stanza in [
        "<iq type='get' id='1' to='WHOM@localhost/home'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='get' id='1' to='WHOM@localhost/other'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='set' id='1' to='WHOM@localhost/home'><x xmlns='x'/></iq>",
        "<iq type='get' id='1' to='WHOM@localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='get' id='1' to='WHOM@localhost'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='set' id='1' to='WHOM@localhost'><query xmlns='jabber:iq:roster'><item jid='m@x'/></query></iq>",
        "<iq type='get' id='1' to='WHOM@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "<iq type='get' id='1' to='WHOM@localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        "<iq type='get' id='1' to='WHOM@localhost'><query xmlns='jabber:iq:last'/></iq>",
        "<presence type='probe' id='1' to='WHOM@localhost'/>",
        "<presence type='probe' id='1' to='WHOM@localhost/home'/>",
        "<presence to='WHOM@localhost' type='unavailable'/>",
        "<presence to='WHOM@localhost' type='unsubscribe'/>",
        "<presence to='WHOM@localhost' type='unsubscribed'/>",
        "<presence to='WHOM@localhost' type='subscribed'/>",
        "<message id='1' type='groupchat' to='WHOM@localhost'><body>x</body></message>",
        "<message id='1' type='groupchat' to='WHOM@localhost/other'><body>x</body></message>",
        "<message id='1' type='normal' to='WHOM@localhost/other'><body>x</body></message>",
    ] {
        let unknown = answers(&mut mallory, "nobody", stanza).await;
        for name in ["bob", "alice"] {
            let known = answers(&mut mallory, name, stanza).await;
            if known != unknown {
                differences.push(format!(
                    "{stanza}\n  {name}: {known:?}\n  nobody: {unknown:?}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // Bob was not bothered with any of it but what is addressed to clients.
    let mut came = Vec::new();
    while let Some(el) = bob.next(Duration::from_millis(200)).await {
        came.push(el);
    }
    let iqs: Vec<_> = came.iter().filter(|el| el.is("iq", ns::CLIENT)).collect();
    assert!(iqs.is_empty(), "{iqs:?}");
}

/// Nobody answers for another, nobody pushes into another's roster.
#[tokio::test]
async fn answers_nobody_asked_for_are_dropped() {
    let server = Process::start(ACCOUNTS, &[]);
    let mut bob = online(&server, "bob", "home").await;
    bob.roster().await.unwrap();
    let mut mallory = online(&server, "mallory", "m").await;
    for forged in [
        "<iq type='set' id='1' to='bob@localhost/home'><query xmlns='jabber:iq:roster'><item jid='mallory@localhost' subscription='both'/></query></iq>",
        "<iq type='result' id='1' to='localhost'/>",
        "<iq type='result' id='1' to='bob@localhost'/>",
        "<iq type='error' id='1' to='bob@localhost'><error type='cancel'/></iq>",
    ] {
        mallory.send(forged).await.unwrap();
    }
    let ping = Element::new("ping", ns::PING);
    mallory.request("get", None, ping).await.unwrap();
    let mut came = Vec::new();
    while let Some(el) = bob.next(Duration::from_millis(300)).await {
        came.push(el);
    }
    came.retain(|el| !el.is("presence", ns::CLIENT));
    assert!(came.is_empty(), "{came:?}");
    assert!(bob.roster().await.unwrap().is_empty());
}
