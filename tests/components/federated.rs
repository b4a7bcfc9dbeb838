//! Components and other servers: a component's domain is reached over server streams, and reaches out over them.

use super::*;
use crate::federation::world::{Authority, Site, next_message, online as remote};

const GATEWAY: &str = "gate.verona.example";

#[tokio::test]
async fn a_component_and_an_account_of_another_server_write_to_each_other() {
    let authority = Authority::new();
    let mut verona = Site::new(&authority, "verona.example");
    verona.certificate = authority.issue("verona.example", |params| {
        let name = GATEWAY.try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    });
    verona.settings = format!(
        "[[listen]]\nkind = \"component\"\naddress = \"127.0.0.3:0\"\n[components.\"{GATEWAY}\"]\nsecret = \"{SECRET}\""
    );
    let mut mantua = Site::new(&authority, "mantua.example");
    mantua.settings = format!(
        "[[federation.peers]]\ndomain = \"{GATEWAY}\"\naddress = \"{}\"\nport = {}",
        verona.address.ip(),
        verona.address.port()
    );
    let here = verona.start(&authority, &[&mantua]).await;
    let there = mantua.start(&authority, &[&verona]).await;

    let mut gate = attach(&here, GATEWAY).await.unwrap();
    let romeo = there.account("romeo").await.unwrap();
    let mut romeo = remote(&there, &romeo).await;
    let tybalt = jid("tybalt@gate.verona.example/sword");

    romeo.send(chat(None, &tybalt, "peace")).await.unwrap();
    let got = next(&mut gate, "message").await;
    assert_eq!(got.attr("from"), Some(romeo.jid.as_str()));
    assert_eq!(got.attr("to"), Some(tybalt.as_str()));

    gate.send(chat(Some(tybalt.as_str()), &romeo.jid, "I hate the word"))
        .await
        .unwrap();
    let got = next_message(&mut romeo).await;
    assert_eq!(got.attr("from"), Some(tybalt.as_str()));
    assert_eq!(body(&got), "I hate the word");
}
