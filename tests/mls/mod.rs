//! The delivery service of MLS, as `docs/mls.md` specifies it.

mod bad;
mod elsewhere;
mod gone;
mod homes;
mod packages;
mod remote;
mod rooms;
mod welcomes;

use std::time::{Duration, SystemTime};

use waxwing::mls::testing::{Draft, Maker};
use waxwing::proto::{Jid, StanzaError, ns};
use waxwing::state::mls::encode;
use waxwing::xml::{El, Element};

use crate::support::client::{Client, Error};
use crate::support::server::Running;

const DAY: u64 = 86_400;
const PATIENCE: Duration = Duration::from_secs(10);

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A device that makes key packages, each with another key.
pub struct Device {
    name: &'static str,
    identity: String,
    maker: Maker,
    made: u8,
}

impl Device {
    pub fn new(account: &Jid, name: &'static str) -> Device {
        Device {
            name,
            identity: format!("{account}/{name}"),
            maker: Maker::new([7; 32]).unwrap(),
            // No key of a leaf.
            made: 100,
        }
    }

    fn package(&mut self) -> Vec<u8> {
        let identity = self.identity.clone();
        let draft = self.draft(&identity);
        self.maker.package(&draft)
    }

    pub fn packages(&mut self, number: usize) -> Vec<Vec<u8>> {
        (0..number).map(|_| self.package()).collect()
    }

    fn last_resort(&mut self) -> Vec<u8> {
        let identity = self.identity.clone();
        let draft = Draft {
            identity: &identity,
            last_resort: true,
            ..self.draft(&identity)
        };
        self.maker.package(&draft)
    }

    fn draft<'a>(&mut self, identity: &'a str) -> Draft<'a> {
        self.made += 1;
        Draft {
            identity,
            suite: 1,
            life: (now() - 60, now() + DAY),
            last_resort: false,
            init_key: [self.made; 32],
        }
    }

    pub async fn publish(&mut self, client: &mut Client, packages: &[Vec<u8>]) -> Element {
        let publish = publish(self.name, packages);
        client.request("set", None, publish).await.unwrap()
    }
}

pub fn mls(name: &str) -> Element {
    Element::new(name, ns::MLS)
}

fn publish(device: &str, packages: &[Vec<u8>]) -> Element {
    let packages = packages.iter();
    let packages = packages.map(|bytes| mls("package").with_text(&encode(bytes)));
    mls("publish")
        .with_attr("device", device)
        .with_children(packages)
}

/// What a client hears that is refused.
async fn refused(client: &mut Client, kind: &str, to: Option<&str>, what: Element) -> StanzaError {
    match client.request(kind, to, what).await {
        Err(Error::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// The names, counts and whether there is a last resort, of the devices in an answer.
fn devices(answer: &Element) -> Vec<(String, String, bool)> {
    let packages = answer.child("packages", ns::MLS).unwrap();
    let device = |device: El<'_>| {
        let attr = |name| device.attr(name).unwrap_or_default().to_owned();
        (attr("id"), attr("count"), attr("last-resort") == "true")
    };
    packages.children().map(device).collect()
}

async fn client(server: &Running, name: &str) -> (Jid, Client) {
    let jid = server.account(name).await.unwrap();
    let mut client = server.client(&jid).connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    (jid, client)
}

/// What is in an error beside its condition.
fn app(error: StanzaError, name: &str) -> Element {
    let app = *error.app.unwrap_or_else(|| panic!("no {name}"));
    assert!(app.is(name, ns::MLS), "{name}: {app:?}");
    app
}

/// The reason in what says that a message is refused.
fn reason(error: StanzaError) -> String {
    let app = app(error, "message-refused");
    app.attr("reason").unwrap_or_default().to_owned()
}

/// A welcome for a device, whose home and message are up to the test.
pub fn welcome_of(to: &Jid, id: &str, welcome: Element) -> Element {
    Element::new("message", ns::CLIENT)
        .with_attr("to", to.as_str())
        .with_attr("id", id)
        .with_child(welcome)
}

/// A message with this id comes back as an error.
async fn bounced(client: &mut Client, id: &str) -> StanzaError {
    let is = |el: &Element| el.is("message", ns::CLIENT) && el.attr("id") == Some(id);
    let got = client.wait_for(id, is).await.unwrap();
    StanzaError::parse(got.child("error", ns::CLIENT).unwrap())
}
