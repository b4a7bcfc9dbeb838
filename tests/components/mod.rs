//! XEP-0114: Jabber Component Protocol, as components, accounts and other servers see it.

mod away;
mod bad;
mod delegations;
mod example;
mod federated;
mod privileges;
mod protocol;

use std::time::Duration;

use waxwing::proto::{Jid, MessageType, PresenceType, Stanza, ns};
use waxwing::xml::{El, Element};

use crate::support::client::{Builder, Client, Error, Security};
use crate::support::server::{Running, start_text};

/// The domain of the component in these tests, and another of the same program.
pub const PLAYS: &str = "plays.localhost";
pub const POEMS: &str = "poems.localhost";
pub const SECRET: &str = "a secret of a component";

/// A server with one program of two domains; `more` stands in its section.
pub async fn start(more: &str) -> Running {
    start_in(tempfile::tempdir().unwrap(), more).await
}

/// The same over data that are there.
pub async fn start_in(folder: tempfile::TempDir, more: &str) -> Running {
    let text = format!(
        "[server]\ndata_dir = {:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nkind = \"component\"\naddress = \"127.0.0.2:0\"\n\
         [components.shakespeare]\ndomains = [\"{PLAYS}\", \"{POEMS}\"]\nsecret = \"{SECRET}\"\n{more}\n",
        folder.path().join("data")
    );
    start_text(folder, &text, "localhost").await.unwrap()
}

/// A component's side of the stream for a domain, not yet connected.
pub fn builder(domain: &str) -> Builder {
    Client::builder(domain, SECRET)
        .security(Security::Plain)
        .patience(Duration::from_secs(5))
}

pub async fn attach(server: &Running, domain: &str) -> Result<Client, Error> {
    builder(domain)
        .attach(server.own().component_addresses()[0])
        .await
}

/// An account's session, available.
pub async fn online(server: &Running, name: &str) -> Client {
    let jid = server.account(name).await.unwrap();
    session(server, &jid).await
}

pub async fn session(server: &Running, jid: &Jid) -> Client {
    let client = server.client(jid).resource("r");
    let mut client = client.connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    let own = |el: &Element| el.is("presence", ns::CLIENT);
    client.wait_for("its own presence", own).await.unwrap();
    client
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

pub fn chat(from: Option<&str>, to: &Jid, text: &str) -> Stanza {
    let mut message = Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_id(text)
        .with_child(Element::new("body", ns::CLIENT).with_text(text));
    message.from = from.map(jid);
    message
}

pub fn presence(kind: PresenceType, from: Option<&str>, to: &Jid) -> Stanza {
    let mut presence = Stanza::presence(kind).with_to(to.clone());
    presence.from = from.map(jid);
    presence
}

pub async fn next(client: &mut Client, name: &str) -> Element {
    client
        .wait_for(name, |el| el.is(name, ns::CLIENT))
        .await
        .unwrap()
}

pub fn body(message: &Element) -> String {
    let body = message.child("body", ns::CLIENT).map(El::text);
    body.unwrap_or_default().into_owned()
}

/// The condition of the error in a stanza.
pub fn condition(stanza: &Element) -> String {
    assert_eq!(stanza.attr("type"), Some("error"), "{stanza:?}");
    let error = stanza.child("error", ns::CLIENT).unwrap();
    let conditions = error.children().find(|child| child.name() != "text");
    conditions.map(|el| el.name().to_owned()).unwrap()
}
