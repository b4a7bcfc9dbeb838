//! A module that has nodes and items of accounts (XEP-0030 §3.2, §4.2).

use waxwing::hooks::kinds::Disco;
use waxwing::hooks::{Listed, Reply};
use waxwing::proto::{Condition, Jid, ns};
use waxwing::xml::Element;

use super::{module, online, server};
use crate::support::client::{Client, Error};

module!(Notes, "notes", |_deps, r| {
    r.account_node(|request, turn, what, node| {
        let name = match what {
            Disco::Info => ns::DISCO_INFO,
            Disco::Items => ns::DISCO_ITEMS,
        };
        let query = Element::new("query", name).with_attr("node", node);
        let owner = turn.account.jid.bare_str() == request.from.bare_str();
        (node == "notes").then(|| match owner {
            true => query.into(),
            false => Reply::Error(Condition::Forbidden.into()),
        })
    });
    r.account_items(|_, turn| {
        let jid = turn.account.jid.to_string();
        Some(Box::pin(async move {
            let item = Element::new("item", ns::DISCO_ITEMS).with_attr("jid", &jid);
            vec![item.with_attr("node", "notes")]
        }))
    });
});

async fn ask(
    client: &mut Client,
    of: &Jid,
    what: &str,
    node: Option<&str>,
) -> Result<Element, Condition> {
    let mut query = Element::new("query", what);
    query.set_attr("node", node);
    match client.request("get", Some(of.as_str()), query).await {
        Ok(answer) => Ok(answer),
        Err(Error::Refused(error)) => Err(error.condition),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn modules_answer_for_nodes_of_accounts() {
    let server = server(&[Listed::of::<Notes>()], &[]).await.unwrap();
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut hers = online(&server, &alice, "one").await;
    let mut his = online(&server, &bob, "one").await;
    let info = ask(&mut hers, &alice, ns::DISCO_INFO, Some("notes"))
        .await
        .unwrap();
    assert_eq!(info.attr("from"), Some(alice.as_str()));
    let other = ask(&mut hers, &alice, ns::DISCO_INFO, Some("other")).await;
    assert_eq!(other, Err(Condition::ItemNotFound));
    let items = ask(&mut hers, &alice, ns::DISCO_ITEMS, None).await.unwrap();
    let items = items.child("query", ns::DISCO_ITEMS).unwrap();
    let listed: Vec<_> = items
        .children()
        .map(|item| {
            (
                item.attr("jid").unwrap().to_owned(),
                item.attr("node").is_some(),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [(hers.jid.to_string(), false), (alice.to_string(), true)]
    );
    // A stranger reaches the module with a node, and nothing without.
    let his_word = ask(&mut his, &alice, ns::DISCO_INFO, Some("notes")).await;
    assert_eq!(his_word, Err(Condition::Forbidden));
    for (what, node) in [(ns::DISCO_ITEMS, None), (ns::DISCO_INFO, Some("other"))] {
        let his_word = ask(&mut his, &alice, what, node).await;
        assert_eq!(his_word, Err(Condition::ServiceUnavailable));
    }
}
