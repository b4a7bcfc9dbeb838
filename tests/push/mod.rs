//! Devices that are away are told that something happened: through push services (XEP-0357) and through web push.

mod endpoint;
mod groups;
mod registrations;
mod service;
mod told;
mod web;

use std::time::Duration;

use waxwing::proto::form::Form;
use waxwing::proto::{Condition, Jid, Stanza, StanzaError, ns};
use waxwing::xml::{El, Element};

use crate::components::{SECRET, attach, chat, next};
use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_text};

/// The push service in these tests, and one of its nodes.
const SERVICE: &str = "push.localhost";
const NODE: &str = "yxs32uqsflafdk3iuqo";

/// The id of a phone.
const PHONE: &str = "99999999-2222-4333-8444-555555555555";

/// For how long nothing may come where nothing should.
const QUIET: Duration = Duration::from_millis(300);

/// No waiting for the pace where it is not what is tested.
const QUICK: &str = "[modules.push]\ninterval = \"1s\"";

/// A server with a push service beside it; `more` stands at the end of its configuration.
async fn start(more: &str) -> Running {
    start_in(tempfile::tempdir().unwrap(), more).await
}

/// The same over data that are there.
async fn start_in(folder: tempfile::TempDir, more: &str) -> Running {
    let text = format!(
        "[server]\ndata_dir = {:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nkind = \"component\"\naddress = \"127.0.0.2:0\"\n\
         [components.push]\ndomains = [\"{SERVICE}\"]\nsecret = \"{SECRET}\"\n{more}\n",
        folder.path().join("data")
    );
    start_text(folder, &text, "localhost").await.unwrap()
}

/// A phone that names itself and whose session goes on when its connection is lost.
async fn phone(server: &Running, jid: &Jid) -> Client {
    let builder = server.client(jid).client_id(PHONE).sasl2().resumable();
    available(builder.connect(server.addr).await.unwrap()).await
}

/// Another client, which does not name itself.
async fn desk(server: &Running, jid: &Jid) -> Client {
    let builder = server.client(jid).resource("desk");
    available(builder.connect(server.addr).await.unwrap()).await
}

async fn available(mut client: Client) -> Client {
    client.presence().await.unwrap();
    let own = |el: &Element| el.is("presence", ns::CLIENT);
    client.wait_for("its own presence", own).await.unwrap();
    client
}

/// Whoever writes to them, and nobody they know.
async fn romeo(server: &Running) -> Client {
    let jid = server.account("romeo").await.unwrap();
    available(server.client(&jid).connect(server.addr).await.unwrap()).await
}

/// All that was sent is dealt with.
async fn settled(client: &mut Client) {
    let ping = Element::new("ping", ns::PING);
    client.request("get", None, ping).await.unwrap();
}

/// Cuts a connection; the server has seen it when this is over.
async fn cut(server: &Running, client: Client) -> (String, u32) {
    let before = server.figure("waxwing_sessions_detached");
    let kept = client.cut();
    for _ in 0..500 {
        if server.figure("waxwing_sessions_detached") > before {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the session is not detached");
}

/// Accounts whose devices wait for notifications.
fn waiting(server: &Running, way: &str) -> Option<f64> {
    let samples = server.own().metrics().samples();
    samples.value("waxwing_push_waiting", &[("way", way)])
}

fn enable() -> Element {
    Element::new("enable", ns::PUSH)
        .with_attr("jid", SERVICE)
        .with_attr("node", NODE)
}

/// Asks for something of one's own account.
async fn set(client: &mut Client, payload: Element) -> Result<(), StanzaError> {
    match client.request("set", None, payload).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// A push service.
struct Service(Client);

/// What it is told.
struct Told {
    iq: Element,
    form: Form,
}

impl Service {
    async fn attach(server: &Running) -> Service {
        Service(attach(server, SERVICE).await.unwrap())
    }

    /// The next publication, not answered yet.
    async fn asked(&mut self) -> Told {
        let iq = next(&mut self.0, "iq").await;
        assert_eq!(iq.attr("type"), Some("set"));
        let item = publish(&iq).child("item", ns::PUBSUB).unwrap();
        let notification = item.child("notification", ns::PUSH).unwrap();
        let form = Form::of(notification).unwrap().unwrap();
        assert_eq!(form.form_type(), Some(ns::PUSH_SUMMARY));
        Told { iq, form }
    }

    async fn answer(&mut self, told: &Told, error: Option<StanzaError>) {
        let mut answer = Element::new("iq", ns::CLIENT);
        answer.set_attr("from", told.iq.attr("to"));
        answer.set_attr("to", told.iq.attr("from"));
        answer.set_attr("id", told.iq.attr("id"));
        let answer = match error {
            None => answer.with_attr("type", "result"),
            Some(error) => answer
                .with_attr("type", "error")
                .with_child(error.to_element()),
        };
        self.0.send(answer).await.unwrap();
    }

    /// The next publication; the service takes it.
    async fn told(&mut self) -> Told {
        let told = self.asked().await;
        self.answer(&told, None).await;
        told
    }

    async fn is_told_nothing(&mut self) {
        self.0.expect_nothing(QUIET).await.unwrap();
    }
}

fn publish(iq: &Element) -> El<'_> {
    let pubsub = iq.child("pubsub", ns::PUBSUB).unwrap();
    pubsub.child("publish", ns::PUBSUB).unwrap()
}

impl Told {
    fn node(&self) -> &str {
        publish(&self.iq).attr("node").unwrap()
    }

    fn value(&self, var: &str) -> Option<&str> {
        self.form.value(var)
    }

    fn messages(&self) -> u32 {
        self.value("message-count").unwrap().parse().unwrap()
    }
}

/// A message with this instead of a body.
fn with(to: &Jid, payload: Element) -> Stanza {
    let mut message = chat(None, to, "x");
    message.retain_children(|_| false);
    message.with_child(payload)
}
