//! Capabilities (XEP-0115, XEP-0390): what clients claim is asked once, believed only if it is true, and remembered.

use std::time::Duration;

use waxwing::proto::caps;
use waxwing::proto::disco::{Identity, Info};
use waxwing::proto::{Jid, PresenceType, Stanza, ns};
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::server::{Running, start_own, start_server};

/// A client of a person that says what it is.
pub struct Talker {
    pub client: Client,
    pub info: Info,
}

/// What a client says of itself that wants to be told of these nodes.
pub fn info(name: &str, notify: &[&str]) -> Info {
    let wanted = notify.iter().map(|node| format!("{node}+notify"));
    Info {
        identities: vec![Identity::new("client", "pc").with_name(name)],
        features: wanted.chain([ns::DISCO_INFO.to_owned()]).collect(),
        ..Info::default()
    }
}

impl Talker {
    /// Logs in as `jid`.
    pub async fn connect(server: &Running, jid: &Jid, resource: &str, info: Info) -> Talker {
        let builder = server.client(jid).resource(resource);
        let client = builder
            .patience(Duration::from_secs(20))
            .connect(server.addr)
            .await
            .unwrap();
        Talker { client, info }
    }

    /// Becomes available with the hash of XEP-0115; has its own presence back.
    pub async fn announce(&mut self) {
        let c = caps::element(&self.info, "https://client.example");
        self.available([c]).await;
    }

    async fn available(&mut self, children: impl IntoIterator<Item = Element>) {
        let empty = Stanza::presence(PresenceType::Available);
        let presence = children.into_iter().fold(empty, Stanza::with_child);
        self.client.send(presence).await.unwrap();
        let own = self.client.jid.to_string();
        let back = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&*own);
        self.client.wait_for("own presence", back).await.unwrap();
    }

    /// The question what it is.
    async fn asked(&mut self) -> Element {
        let question = |el: &Element| el.has_child("query", ns::DISCO_INFO);
        self.client.wait_for("a question", question).await.unwrap()
    }

    /// Nobody asks it.
    async fn not_asked(&mut self) {
        let quiet = Duration::from_millis(250);
        self.client.expect_nothing(quiet).await.unwrap();
    }

    /// Says this of itself.
    async fn say(&mut self, question: &Element, info: &Info) {
        let node = question.child("query", ns::DISCO_INFO).unwrap();
        let node = node.attr("node").map(str::to_owned);
        let answer = Element::new("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("id", question.attr("id").unwrap())
            .with_attr("to", question.attr("from").unwrap())
            .with_child(info.to_element(node.as_deref()));
        self.client.send(answer).await.unwrap();
    }

    /// Answers the question what it is, truly.
    pub async fn explain(&mut self) {
        let question = self.asked().await;
        let info = self.info.clone();
        self.say(&question, &info).await;
        // The answer was taken: what is sent next comes after it.
        let ping = Element::new("ping", ns::PING);
        self.client.request("get", None, ping).await.unwrap();
    }
}

/// Somebody new with a client of this kind.
async fn somebody(server: &Running, name: &str, info: &Info) -> Talker {
    let jid = server.account(name).await.unwrap();
    Talker::connect(server, &jid, "one", info.clone()).await
}

#[tokio::test]
async fn a_kind_of_client_is_asked_once_for_all_and_for_ever() {
    let server = start_own(tempfile::tempdir().unwrap(), &[], &[]);
    let server = server.await.unwrap();
    let gajim = info("Gajim", &["urn:xmpp:avatar:metadata"]);
    let mut juliet = somebody(&server, "juliet", &gajim).await;
    juliet.announce().await;
    let question = juliet.asked().await;
    // In the name of the account, at the resource that claims it.
    let own = juliet.client.jid.clone();
    assert_eq!(question.attr("from"), Some(own.bare_str()));
    assert_eq!(question.attr("to"), Some(own.as_str()));
    let node = format!(
        "https://client.example#{}",
        caps::ver(&gajim, caps::Hash::Sha1)
    );
    let query = question.child("query", ns::DISCO_INFO).unwrap();
    assert_eq!(query.attr("node"), Some(&*node));
    // Whoever claims the same meanwhile waits with it.
    let mut romeo = somebody(&server, "romeo", &gajim).await;
    romeo.announce().await;
    romeo.not_asked().await;
    juliet.say(&question, &gajim).await;
    // Known: also after a change, and when the server starts anew.
    juliet.announce().await;
    juliet.not_asked().await;
    let nurse_jid = server.account("nurse").await.unwrap();
    drop((juliet, romeo));
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[], &[]).await.unwrap();
    let mut nurse = Talker::connect(&server, &nurse_jid, "one", gajim).await;
    nurse.announce().await;
    nurse.not_asked().await;
}

#[tokio::test]
async fn who_lies_is_not_believed_and_the_next_is_asked() {
    let server = start_server(&[]).await;
    let gajim = info("Gajim", &["urn:xmpp:avatar:metadata"]);
    let mut mallory = somebody(&server, "mallory", &gajim).await;
    let mut juliet = somebody(&server, "juliet", &gajim).await;
    mallory.announce().await;
    let question = mallory.asked().await;
    juliet.announce().await;
    mallory.say(&question, &info("Gajim", &[])).await;
    juliet.explain().await;
    assert_eq!(server.figure("waxwing_caps_lies_total"), 1.0);
    let mut romeo = somebody(&server, "romeo", &gajim).await;
    romeo.announce().await;
    romeo.not_asked().await;
}

#[tokio::test]
async fn who_lies_alone_leaves_nothing_behind() {
    let server = start_server(&[]).await;
    let gajim = info("Gajim", &["urn:xmpp:avatar:metadata"]);
    let mut mallory = somebody(&server, "mallory", &gajim).await;
    mallory.announce().await;
    let question = mallory.asked().await;
    // Twice the same would let one answer pass for another (XEP-0115 §5.4).
    let mut doubled = gajim.clone();
    doubled.features.push(ns::DISCO_INFO.to_owned());
    mallory.say(&question, &doubled).await;
    let mut juliet = somebody(&server, "juliet", &gajim).await;
    juliet.announce().await;
    juliet.explain().await;
}

#[tokio::test]
async fn who_is_silent_has_his_time() {
    let server = start_server(&["modules.caps.patience=1s"]).await;
    let gajim = info("Gajim", &["urn:xmpp:avatar:metadata"]);
    let mut mallory = somebody(&server, "mallory", &gajim).await;
    mallory.announce().await;
    mallory.asked().await;
    let mut juliet = somebody(&server, "juliet", &gajim).await;
    juliet.announce().await;
    juliet.explain().await;
}

#[tokio::test]
async fn a_hash_of_the_second_kind_goes_first_and_the_first_kind_stands_in_for_it() {
    let server = start_server(&[]).await;
    let gajim = info("Gajim", &["urn:xmpp:avatar:metadata"]);
    let mut juliet = somebody(&server, "juliet", &gajim).await;
    // Its client computes the newer hash wrongly.
    let wrong = caps::element2(&info("Other", &[])).unwrap();
    let right = caps::element(&gajim, "https://client.example");
    juliet.available([wrong, right]).await;
    for start in [
        "urn:xmpp:caps#sha-256.",
        "urn:xmpp:caps#sha3-256.",
        "https://client",
    ] {
        let question = juliet.asked().await;
        let query = question.child("query", ns::DISCO_INFO).unwrap();
        assert!(
            query.attr("node").unwrap().starts_with(start),
            "{question:?}"
        );
        juliet.say(&question, &gajim).await;
    }
    let mut romeo = somebody(&server, "romeo", &gajim).await;
    romeo.announce().await;
    romeo.not_asked().await;
}

#[tokio::test]
async fn what_claims_nothing_that_can_be_checked_is_not_asked() {
    let server = start_server(&[]).await;
    let mut juliet = somebody(&server, "juliet", &info("Old", &[])).await;
    let old = Element::new("c", ns::CAPS)
        .with_attr("node", "http://exodus.jabberstudio.org/caps")
        .with_attr("ver", "0.9");
    juliet.available([old]).await;
    juliet.not_asked().await;
}
