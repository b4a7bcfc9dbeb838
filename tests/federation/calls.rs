//! Services for calls are for the accounts of the server alone (XEP-0215 §2).

use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use super::world::{Authority, Site, online};
use crate::support::client::Error;

#[tokio::test]
async fn other_servers_and_their_people_get_no_services() {
    let authority = Authority::new();
    let mut sites = ["a.example", "b.example"].map(|domain| Site::new(&authority, domain));
    // Both are at the same address here: one relay is enough.
    sites[0].settings = "[relay]\nenabled = false".to_owned();
    let a = sites[0].start(&authority, &[&sites[1]]).await;
    let b = sites[1].start(&authority, &[&sites[0]]).await;
    let mut alice = online(&a, &a.account("alice").await.unwrap()).await;
    let mut bob = online(&b, &b.account("bob").await.unwrap()).await;
    let services = || Element::new("services", ns::EXTDISCO);
    let turn = Element::new("service", ns::EXTDISCO)
        .with_attr("host", "b.example")
        .with_attr("type", "turn");
    let credentials = Element::new("credentials", ns::EXTDISCO).with_child(turn);
    let own = bob.request("get", Some("b.example"), services()).await;
    assert!(own.unwrap().child("services", ns::EXTDISCO).is_some());
    let own = bob.request("get", Some("b.example"), credentials.clone());
    assert!(own.await.is_ok());
    for asked in [
        services(),
        services().with_attr("type", "turn"),
        credentials,
    ] {
        match alice.request("get", Some("b.example"), asked).await {
            Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::Forbidden),
            other => panic!("{other:?}"),
        }
    }
}
