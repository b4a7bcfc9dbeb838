//! Archives seen through the network (XEP-0313): thousands of messages, words, kill -9.

use std::time::Duration;

use waxwing::proto::{Jid, ns};
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::process::{Process, jid};
use crate::support::server::start_server;

const PATIENCE: Duration = Duration::from_secs(20);

/// One page: ids and texts of its messages, and whether it was the last.
struct Page {
    messages: Vec<(String, String)>,
    complete: bool,
}

/// Asks for a page of the own archive.
async fn page(client: &mut Client, fields: &[(&str, &str)], set: &[(&str, &str)]) -> Page {
    let leaf = |name: &str, text: &str| Element::new(name, ns::RSM).with_text(text);
    let set = set.iter().map(|(name, text)| leaf(name, text));
    let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    for (var, value) in [("FORM_TYPE", ns::MAM)].iter().chain(fields) {
        let value = Element::new("value", ns::DATA_FORM).with_text(value);
        let field = Element::new("field", ns::DATA_FORM).with_attr("var", var);
        x = x.with_child(field.with_child(value));
    }
    let query = Element::new("query", ns::MAM)
        .with_child(x)
        .with_child(Element::new("set", ns::RSM).with_children(set));
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", "q")
        .with_child(query);
    client.send(iq).await.unwrap();
    let mut messages = Vec::new();
    loop {
        let got = client.next(PATIENCE).await.expect("the end of the page");
        if let Some(result) = got.child("result", ns::MAM) {
            let forwarded = result.child("forwarded", ns::FORWARD).unwrap();
            let message = forwarded.child("message", ns::CLIENT).unwrap();
            let body = message.child("body", ns::CLIENT).unwrap();
            let id = result.attr("id").unwrap().to_owned();
            messages.push((id, body.text().into_owned()));
        } else if got.is("iq", ns::CLIENT) {
            let fin = got.child("fin", ns::MAM);
            let fin = fin.unwrap_or_else(|| panic!("{got:?}"));
            let complete = fin.attr("complete") == Some("true");
            return Page { messages, complete };
        }
    }
}

/// Everything, by pages of `max` from the beginning, or from the end.
async fn all(
    client: &mut Client,
    fields: &[(&str, &str)],
    max: &str,
    back: bool,
) -> Vec<(String, String)> {
    let mut whole: Vec<(String, String)> = Vec::new();
    loop {
        let edge = if back { whole.first() } else { whole.last() };
        let edge = edge.map(|(id, _)| id.clone());
        let set = match (&edge, back) {
            (Some(id), true) => vec![("max", max), ("before", id.as_str())],
            (None, true) => vec![("max", max), ("before", "")],
            (Some(id), false) => vec![("max", max), ("after", id.as_str())],
            (None, false) => vec![("max", max)],
        };
        let page = page(client, fields, &set).await;
        assert!(page.complete || !page.messages.is_empty());
        if back {
            whole.splice(0..0, page.messages);
        } else {
            whole.extend(page.messages);
        }
        if page.complete {
            return whole;
        }
    }
}

async fn say(client: &mut Client, to: &Jid, id: &str, body: &str) {
    let message = Element::new("message", ns::CLIENT)
        .with_attr("to", to.as_str())
        .with_attr("type", "chat")
        .with_attr("id", id)
        .with_child(Element::new("body", ns::CLIENT).with_text(body));
    client.send(message).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_messages_page_by_page() {
    const MESSAGES: usize = 2_000;
    let server = start_server(&["limits.account.offline_messages=100000"]).await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let carol = server.account("carol").await.unwrap();
    let mut client = server.client(&alice).connect(server.addr).await.unwrap();
    for n in 0..MESSAGES {
        let to = if n % 10 == 0 { &carol } else { &bob };
        say(&mut client, to, &format!("m{n}"), &n.to_string()).await;
    }
    let whole = all(&mut client, &[], "250", false).await;
    assert_eq!(whole.len(), MESSAGES);
    assert_eq!(all(&mut client, &[], "97", true).await, whole);
    // In each conversation they stand in the order in which they were sent.
    for (peer, wanted) in [(&carol, true), (&bob, false)] {
        let fields = [("with", peer.as_str())];
        let with = all(&mut client, &fields, "100", false).await;
        let texts: Vec<usize> = with.iter().map(|(_, text)| text.parse().unwrap()).collect();
        let sent: Vec<usize> = (0..MESSAGES).filter(|n| (n % 10 == 0) == wanted).collect();
        assert_eq!(texts, sent);
        assert_eq!(all(&mut client, &fields, "97", true).await, with);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_searched_for() {
    let server = start_server(&["modules.archive_search.enabled=true"]).await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut client = server.client(&alice).connect(server.addr).await.unwrap();
    for (n, body) in ["What ROSE?", "a name, a rose", "by any other name"]
        .iter()
        .enumerate()
    {
        say(&mut client, &bob, &format!("m{n}"), body).await;
    }
    let field = "{urn:xmpp:fulltext:0}fulltext";
    for (words, expected) in [
        ("rose", &["What ROSE?", "a name, a rose"][..]),
        ("Name rose", &["a name, a rose"]),
        ("violet", &[]),
        ("", &["What ROSE?", "a name, a rose", "by any other name"]),
    ] {
        let found = page(&mut client, &[(field, words)], &[]).await;
        let texts: Vec<&str> = found
            .messages
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(texts, expected, "{words}");
        assert!(found.complete);
    }
    server.stop().await;
}

/// A message is in both archives or in none, and every one that was acknowledged is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_both_sides_have_the_same() {
    const ACCOUNTS: &[&str] = &["romeo", "juliet"];
    let mut server = Process::start(ACCOUNTS, &["limits.account.offline_messages=1000000"]);
    let mut acknowledged = 0;
    for round in 0..3 {
        let mut romeo = server
            .client("romeo")
            .acks()
            .connect(server.addr)
            .await
            .unwrap();
        let mut n = 0;
        while n < 400 {
            for _ in 0..40 {
                say(
                    &mut romeo,
                    &jid("juliet"),
                    &format!("r{round}m{n}"),
                    &format!("{round} {n}"),
                )
                .await;
                n += 1;
            }
            let ask = Element::new("r", ns::SM);
            romeo.send(ask).await.unwrap();
            let before = n;
            while let Some(got) = romeo.next(Duration::from_millis(50)).await {
                if got.is("a", ns::SM) {
                    acknowledged = got.attr("h").and_then(|h| h.parse().ok()).unwrap_or(0);
                    break;
                }
            }
            if round < 2 && before >= 120 * (round + 1) {
                break;
            }
        }
        server.kill();
        server.restart();
    }
    let mut archives = Vec::new();
    for name in ACCOUNTS {
        let mut client = server.client(name).connect(server.addr).await.unwrap();
        archives.push(all(&mut client, &[], "200", false).await);
    }
    assert_eq!(archives[0], archives[1]);
    let last = archives[0]
        .iter()
        .filter(|(_, text)| text.starts_with("2 "))
        .count();
    assert!(last >= acknowledged, "{last} of {acknowledged}");
}
