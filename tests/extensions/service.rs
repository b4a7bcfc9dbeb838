//! A module with an address of its own, whose owners keep what they know over a restart.

use std::sync::Arc;

use waxwing::hooks::service::{Service, ServiceOwner, ServiceTurn};
use waxwing::hooks::{Envelope, Listed};
use waxwing::proto::disco::{Identity, Info};
use waxwing::proto::{Condition, IqType, Jid, Kind, MessageType, Stanza, ns};
use waxwing::xml::Element;

use super::{NS, body, chat, module, next_message, online, refusal, server};
use crate::support::client::{Client, Error};
use crate::support::server::start_own;

module!(Ballot, "ballot", |deps, r| {
    let domain = Jid::parse(&format!("ballot.{}", deps.host)).unwrap();
    r.service(domain, "ballot", Arc::new(Booths));
});

/// One owner for each localpart, and one for the domain.
struct Booths;

/// The votes that one address got.
struct Booth {
    votes: u32,
}

impl Service for Booths {
    fn key(&self, envelope: &Envelope) -> String {
        envelope.to.node().unwrap_or_default().to_owned()
    }
    fn wake(&self, _: &str, suspended: Option<&[u8]>) -> Box<dyn ServiceOwner> {
        let votes = suspended.and_then(|state| state.try_into().ok());
        Box::new(Booth {
            votes: votes.map_or(0, u32::from_be_bytes),
        })
    }
}

impl ServiceOwner for Booth {
    fn handle(&mut self, envelope: &mut Envelope, turn: &mut ServiceTurn<'_>) {
        let stanza = envelope.stanza.clone();
        match stanza.kind {
            Kind::Message(MessageType::Chat) => {
                self.votes += 1;
                let text = format!("{} {}", turn.key, self.votes);
                if let Some(voter) = stanza.from.clone() {
                    let answer = Stanza::message(MessageType::Chat)
                        .with_from(envelope.to.clone())
                        .with_to(voter)
                        .with_child(Element::new("body", ns::CLIENT).with_text(&text));
                    turn.send(answer);
                }
            }
            Kind::Iq(IqType::Get) if stanza.child("query", ns::DISCO_INFO).is_some() => {
                let mut info = Info::default();
                info.identities.push(Identity::new("component", "generic"));
                turn.reply(envelope, Some(info.to_element(None)));
            }
            Kind::Iq(IqType::Get) if stanza.child("votes", NS).is_some() => {
                let votes = Element::new("votes", NS).with_text(&self.votes.to_string());
                turn.reply(envelope, Some(votes));
            }
            Kind::Iq(IqType::Get | IqType::Set) => {
                turn.refuse(envelope, &Condition::FeatureNotImplemented.into());
            }
            _ => {}
        }
    }
    fn suspend(&self) -> Option<Vec<u8>> {
        (self.votes > 0).then(|| self.votes.to_be_bytes().to_vec())
    }
    fn idle(&self) -> bool {
        true
    }
}

async fn votes(client: &mut Client, booth: &str) -> String {
    let answer = client.request("get", Some(booth), Element::new("votes", NS));
    let answer = answer.await.unwrap();
    assert_eq!(answer.attr("from"), Some(booth));
    answer.child("votes", NS).unwrap().text().into_owned()
}

#[tokio::test]
async fn owners_are_apart_and_survive_a_restart() {
    const MODULES: &[Listed] = &[Listed::of::<Ballot>()];
    let server = server(MODULES, &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let mut alice = online(&server, &jid, "one").await;

    let items = Element::new("query", ns::DISCO_ITEMS);
    let items = alice
        .request("get", Some("localhost"), items)
        .await
        .unwrap();
    let items: Vec<String> = items
        .child("query", ns::DISCO_ITEMS)
        .into_iter()
        .flat_map(|query| query.children())
        .filter_map(|item| item.attr("jid").map(str::to_owned))
        .filter(|jid| jid.starts_with("ballot."))
        .collect();
    assert_eq!(items, ["ballot.localhost"]);
    let info = Element::new("query", ns::DISCO_INFO);
    let info = alice.request("get", Some("ballot.localhost"), info).await;
    assert!(format!("{:?}", info.unwrap()).contains("component"));
    let other = Element::new("other", NS);
    match alice.request("get", Some("ballot.localhost"), other).await {
        Err(Error::Refused(e)) => assert_eq!(e.condition, Condition::FeatureNotImplemented),
        other => panic!("{other:?}"),
    }

    let red = Jid::parse("red@ballot.localhost").unwrap();
    let blue = Jid::parse("blue@ballot.localhost").unwrap();
    for (booth, answer) in [(&red, "red 1"), (&blue, "blue 1"), (&red, "red 2")] {
        alice.send(chat(booth, "aye")).await.unwrap();
        let message = next_message(&mut alice).await;
        assert_eq!(body(&message), answer);
        assert_eq!(message.attr("from"), Some(booth.as_str()));
    }
    alice.close().await.unwrap();

    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[], MODULES).await.unwrap();
    let mut alice = online(&server, &jid, "one").await;
    assert_eq!(votes(&mut alice, "red@ballot.localhost").await, "2");
    assert_eq!(votes(&mut alice, "blue@ballot.localhost").await, "1");
    assert_eq!(votes(&mut alice, "green@ballot.localhost").await, "0");
    alice.close().await.unwrap();
    server.stop().await;
}

module!(Usurper, "usurper", |deps, r| {
    r.service(deps.host.clone(), "throne", Arc::new(Booths));
});

module!(Rival, "rival", |deps, r| {
    let domain = Jid::parse(&format!("ballot.{}", deps.host)).unwrap();
    r.service(domain, "booth", Arc::new(Booths));
});

#[tokio::test]
async fn an_address_has_one_service() {
    assert_eq!(
        refusal(&[Listed::of::<Ballot>(), Listed::of::<Rival>()], &[]).await,
        "localhost: module rival: another module already answers the address ballot.localhost"
    );
    assert_eq!(
        refusal(&[Listed::of::<Usurper>()], &[]).await,
        "localhost: the address localhost (throne) is a host of its own; give one of the two another address"
    );
}
