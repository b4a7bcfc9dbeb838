//! XMPP in requests of HTTP (XEP-0124, XEP-0206).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waxwing::proto::{Jid, ns};
use waxwing::xml::{self, Element, Limits};

use crate::http::web::{Web, server, without_tls};
use crate::support::server::Running;

const BODY: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";

/// A client's side of a session.
struct Session {
    address: SocketAddr,
    sid: String,
    rid: u64,
    web: Web,
}

/// Sends a body on a connection.
async fn post(web: &mut Web, body: &str) {
    let length = body.len();
    let head =
        "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml; charset=utf-8\r\n";
    web.send(format!("{head}Content-Length: {length}\r\n\r\n{body}"))
        .await;
}

async fn answer(web: &mut Web) -> Element {
    let answer = web.answer(false).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("text/xml; charset=utf-8")
    );
    let body = xml::parse_document(&answer.body, &Limits::new(1 << 20)).unwrap();
    assert!(body.is("body", ns::HTTP_BIND));
    body
}

/// A body sent on a connection of its own, and its answer.
async fn once(address: SocketAddr, body: &str) -> Element {
    let mut web = Web::plain(address).await;
    post(&mut web, body).await;
    answer(&mut web).await
}

fn condition(body: &Element) -> Option<&str> {
    assert_eq!(body.attr("type"), Some("terminate"));
    body.attr("condition")
}

impl Session {
    /// The answer to the first request, and the session.
    async fn open(server: &Running, wishes: &str) -> (Session, Element) {
        let address = without_tls(server);
        let mut web = Web::plain(address).await;
        let rid = 4_000_000;
        post(
            &mut web,
            &format!(
                "<body {BODY} rid='{rid}' to='localhost' xmpp:version='1.0' ver='1.6' {wishes}/>"
            ),
        )
        .await;
        let created = answer(&mut web).await;
        let sid = created.attr("sid").unwrap_or_default().to_owned();
        (
            Session {
                address,
                sid,
                rid,
                web,
            },
            created,
        )
    }

    fn body(&self, rid: u64, attributes: &str, payload: &str) -> String {
        let sid = &self.sid;
        format!("<body {BODY} rid='{rid}' sid='{sid}' {attributes}>{payload}</body>")
    }

    /// The next request, without waiting for its answer.
    async fn send(&mut self, attributes: &str, payload: &str) {
        self.rid += 1;
        let body = self.body(self.rid, attributes, payload);
        post(&mut self.web, &body).await;
    }

    async fn ask(&mut self, attributes: &str, payload: &str) -> Element {
        self.send(attributes, payload).await;
        answer(&mut self.web).await
    }

    /// The next request on another connection.
    async fn beside(&mut self, attributes: &str, payload: &str) -> Web {
        self.rid += 1;
        let mut web = Web::plain(self.address).await;
        post(&mut web, &self.body(self.rid, attributes, payload)).await;
        web
    }

    /// Logs in and binds.
    async fn log_in(server: &Running, jid: &Jid, wishes: &str) -> Session {
        let (mut session, _) = Session::open(server, wishes).await;
        let plain = STANDARD.encode(format!("\0{}\0pencil", jid.node().unwrap()));
        let auth = format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
            ns::SASL
        );
        let success = session.ask("", &auth).await;
        assert!(success.has_child("success", ns::SASL), "{success:?}");
        let restarted = session.ask("to='localhost' xmpp:restart='true'", "").await;
        let features = restarted.child("features", ns::STREAM).unwrap();
        assert!(features.child("bind", ns::BIND).is_some());
        let bind = "<iq type='set' id='b' xmlns='jabber:client'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        let bound = session.ask("", bind).await;
        assert!(bound.has_child("iq", ns::CLIENT));
        session
    }
}

fn ping(id: &str) -> String {
    format!(
        "<iq type='get' id='{id}' to='localhost' xmlns='jabber:client'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
}

/// The ids of the stanzas in an answer.
fn ids(body: &Element) -> Vec<String> {
    let stanzas = body.children();
    stanzas
        .filter_map(|stanza| stanza.attr("id").map(str::to_owned))
        .collect()
}

// XEP-0124 §7, XEP-0206 §3 and §4

#[tokio::test]
async fn a_session_is_created_with_the_features_of_its_stream() {
    let server = server("[http.bosh]\nwait = \"50s\"\n").await;
    let (_, created) = Session::open(&server, "wait='60' hold='1' ack='1' xml:lang='en'").await;
    for (name, value) in [
        ("wait", "50"),
        ("hold", "1"),
        ("requests", "2"),
        ("inactivity", "60"),
        ("maxpause", "120"),
        ("ver", "1.6"),
        ("from", "localhost"),
        ("ack", "4000000"),
    ] {
        assert_eq!(created.attr(name), Some(value), "{name}");
    }
    assert!(created.attr("sid").unwrap().len() >= 16 && created.attr("authid").is_some());
    let features = created.child("features", ns::STREAM).unwrap();
    assert!(features.child("mechanisms", ns::SASL).is_some());
    assert!(features.child("starttls", ns::TLS).is_none());
    let mut attrs = created.attrs();
    assert!(attrs.any(|attr| attr == ("restartlogic", "urn:xmpp:xbosh", "true")));
    let older = format!("<body {BODY} rid='1' to='localhost' ver='1.5' wait='1' hold='1'/>");
    let older = once(without_tls(&server), &older).await;
    assert_eq!(older.attr("ver"), Some("1.5"));
    server.stop().await;
}

#[tokio::test]
async fn what_creates_no_session() {
    let server = server("").await;
    let address = without_tls(&server);
    for (body, expected) in [
        ("<body/>".to_owned(), "bad-request"),
        (format!("<body {BODY} to='localhost'/>"), "bad-request"),
        (format!("<body {BODY} rid='1'/>"), "improper-addressing"),
        (
            format!("<body {BODY} rid='1' sid='unknown'/>"),
            "item-not-found",
        ),
        (
            format!("<body {BODY} rid='1' to='other.example'/>"),
            "host-unknown",
        ),
        (
            format!("<body {BODY} rid='1' type='terminate'/>"),
            "bad-request",
        ),
    ] {
        assert_eq!(
            condition(&once(address, &body).await),
            Some(expected),
            "{body}"
        );
    }
    server.stop().await;
}

// §8, §4

#[tokio::test]
async fn a_request_is_held_until_there_is_something_to_say() {
    let server = server("").await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let mut phone = server.client(&bob).connect(server.addr).await.unwrap();
    phone.presence().await.unwrap();
    page.ask("", "<presence xmlns='jabber:client'/>").await;
    page.send("", "").await;
    let message = format!("<message to='{alice}' type='chat' id='m'><body>hello</body></message>");
    phone.send(message.as_str()).await.unwrap();
    assert_eq!(ids(&answer(&mut page.web).await), ["m"]);
    // Without a namespace stanzas mean the same (XEP-0206 §2).
    let reply = format!("<message to='{bob}' type='chat'><body>hello yourself</body></message>");
    page.send("", &reply).await;
    let body = |el: &Element| el.child("body", ns::CLIENT).is_some();
    phone.wait_for("the answer", body).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn no_request_is_held_for_longer_than_asked() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='1' hold='1'").await;
    let started = Instant::now();
    let nothing = page.ask("", "").await;
    assert_eq!(nothing.children().count(), 0);
    assert!(started.elapsed() >= Duration::from_millis(900));
    server.stop().await;
}

#[tokio::test]
async fn a_further_request_has_the_first_answered() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    page.send("", "").await;
    let mut second = page.beside("", &ping("p")).await;
    // One of the two has the answer, the other nothing.
    let mut came = ids(&answer(&mut page.web).await);
    if came.is_empty() {
        came = ids(&answer(&mut second).await);
    }
    assert_eq!(came, ["p"]);
    server.stop().await;
}

// §9.1

#[tokio::test]
async fn an_answer_tells_of_later_requests_that_came() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    for (wishes, told) in [("ack='1'", true), ("", false)] {
        let wishes = format!("wait='30' hold='1' {wishes}");
        let mut page = Session::log_in(&server, &alice, &wishes).await;
        // Of the one that is answered nothing is told.
        let alone = page.ask("", &ping("a")).await;
        assert_eq!(alone.attr("ack"), None);
        page.send("", "").await;
        let second = page.beside("", &ping("p")).await;
        let first = answer(&mut page.web).await;
        let latest = page.rid.to_string();
        assert_eq!(first.attr("ack"), told.then_some(latest.as_str()));
        drop(second);
    }
    server.stop().await;
}

// §9.2

#[tokio::test]
async fn who_says_that_an_answer_is_missing_hears_of_it_and_gets_it_again() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1' ack='1'").await;
    let got = page.rid;
    let lost = page.ask("", &ping("lost")).await;
    assert_eq!(lost.attr("report"), None);
    let missing = page.body(page.rid, "", &ping("lost"));
    // More come than are kept for a client that says nothing.
    for id in ["a", "b", "c"] {
        let told = page.ask(&format!("ack='{got}'"), &ping(id)).await;
        let report = (got + 1).to_string();
        assert_eq!(told.attr("report"), Some(report.as_str()));
        assert!(told.attr("time").unwrap().parse::<u64>().unwrap() < 30_000);
    }
    assert_eq!(once(page.address, &missing).await, lost);
    // Now it has all.
    let all = page.ask("", &ping("d")).await;
    assert_eq!(all.attr("report"), None);
    assert_eq!(
        condition(&once(page.address, &missing).await),
        Some("item-not-found")
    );
    server.stop().await;
}

// §14.2

#[tokio::test]
async fn requests_are_taken_in_their_order() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let (first, second) = (page.rid + 1, page.rid + 2);
    let mut early = Web::plain(page.address).await;
    post(&mut early, &page.body(second, "", &ping("second"))).await;
    let mut late = Web::plain(page.address).await;
    post(&mut late, &page.body(first, "", &ping("first"))).await;
    let mut came = ids(&answer(&mut late).await);
    came.extend(ids(&answer(&mut early).await));
    page.rid = second;
    while came.len() < 2 {
        came.extend(ids(&page.ask("", "").await));
    }
    assert_eq!(came, ["first", "second"]);
    server.stop().await;
}

#[tokio::test]
async fn a_request_too_far_ahead_ends_the_session() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let ahead = page.body(page.rid + 3, "", "");
    assert_eq!(
        condition(&once(page.address, &ahead).await),
        Some("item-not-found")
    );
    let next = page.body(page.rid + 1, "", "");
    assert_eq!(
        condition(&once(page.address, &next).await),
        Some("item-not-found")
    );
    server.stop().await;
}

// §14.3

#[tokio::test]
async fn who_did_not_get_an_answer_gets_it_again() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let body = page.body(page.rid + 1, "", &ping("p"));
    page.rid += 1;
    post(&mut page.web, &body).await;
    let first = answer(&mut page.web).await;
    assert_eq!(ids(&first), ["p"]);
    // The ping is not sent again by it.
    assert_eq!(once(page.address, &body).await, first);
    let next = page.ask("", &ping("q")).await;
    assert_eq!(ids(&next), ["q"]);
    // What was answered long ago is not kept.
    let old = page.body(page.rid - 5, "", "");
    assert_eq!(
        condition(&once(page.address, &old).await),
        Some("item-not-found")
    );
    server.stop().await;
}

#[tokio::test]
async fn the_same_request_again_takes_the_place_of_the_first() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='1' hold='1'").await;
    page.send("", "").await;
    let mut again = Web::plain(page.address).await;
    let body = page.body(page.rid, "", "");
    post(&mut again, &body).await;
    assert_eq!(answer(&mut page.web).await.attr("type"), Some("error"));
    assert_eq!(answer(&mut again).await.attr("type"), None);
    server.stop().await;
}

// §10

#[tokio::test]
async fn who_stays_away_loses_the_session_and_can_resume_it() {
    let server = server("[http.bosh]\ninactivity = \"5s\"\n").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let enabled = page
        .ask("", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await;
    let id = enabled
        .child("enabled", ns::SM)
        .unwrap()
        .attr("id")
        .unwrap()
        .to_owned();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let late = page.body(page.rid + 1, "", "");
    assert_eq!(
        condition(&once(page.address, &late).await),
        Some("item-not-found")
    );
    let again = server.client(&alice).resume(&id, 0);
    let again = again.connect(server.addr).await.unwrap();
    assert!(again.is_resumed());
    server.stop().await;
}

#[tokio::test]
async fn a_pause_is_longer_than_that() {
    let server = server("[http.bosh]\ninactivity = \"5s\"\n").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    page.send("", "").await;
    let mut pause = page.beside("pause='60'", "").await;
    for web in [&mut page.web, &mut pause] {
        assert_eq!(answer(web).await.children().count(), 0);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(ids(&page.ask("", &ping("p")).await), ["p"]);
    let too_long = page.ask("pause='121'", "").await;
    assert_eq!(condition(&too_long), Some("policy-violation"));
    server.stop().await;
}

// §11, §12

#[tokio::test]
async fn who_polls_does_so_not_too_often() {
    let server = server("").await;
    let (mut page, created) = Session::open(&server, "wait='0' hold='0'").await;
    assert_eq!(
        (created.attr("hold"), created.attr("requests")),
        (Some("0"), Some("1"))
    );
    assert_eq!(page.ask("", "").await.attr("type"), None);
    assert_eq!(condition(&page.ask("", "").await), Some("policy-violation"));
    server.stop().await;
}

#[tokio::test]
async fn empty_requests_beside_a_held_one_are_too_many() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    page.send("", "").await;
    let _second = page.beside("", "").await;
    assert_eq!(
        condition(&answer(&mut page.web).await),
        Some("policy-violation")
    );
    server.stop().await;
}

// §13, XEP-0206 §6

#[tokio::test]
async fn a_session_ends_with_what_it_still_says() {
    let server = server("").await;
    let (alice, bob) = (
        server.account("alice").await.unwrap(),
        server.account("bob").await.unwrap(),
    );
    let mut phone = server.client(&bob).connect(server.addr).await.unwrap();
    phone.presence().await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    let last =
        format!("<message to='{bob}' type='chat' xmlns='jabber:client'><body>bye</body></message>");
    let over = page.ask("type='terminate'", &last).await;
    assert_eq!(condition(&over), None);
    let body = |el: &Element| el.child("body", ns::CLIENT).is_some();
    phone.wait_for("the last word", body).await.unwrap();
    let next = page.body(page.rid + 1, "", "");
    assert_eq!(
        condition(&once(page.address, &next).await),
        Some("item-not-found")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_stream_error_ends_the_session() {
    let server = server("").await;
    let (mut page, _) = Session::open(&server, "wait='30' hold='1'").await;
    let over = page.ask("", "<message xmlns='jabber:client'/>").await;
    assert_eq!(condition(&over), Some("remote-stream-error"));
    let error = over.child("error", ns::STREAM).unwrap();
    assert!(error.child("not-authorized", ns::STREAM_ERRORS).is_some());
    server.stop().await;
}

// §15

#[tokio::test]
async fn every_key_is_hashed_to_the_one_before() {
    use sha1::{Digest, Sha1};
    let hash = |text: &str| -> String {
        let bytes = Sha1::digest(text);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let server = server("").await;
    let first = hash("seed");
    let second = hash(&first);
    let third = hash(&second);
    let wishes = format!("wait='1' hold='1' newkey='{third}'");
    let (mut page, _) = Session::open(&server, &wishes).await;
    assert_eq!(
        page.ask(&format!("key='{second}'"), "").await.attr("type"),
        None
    );
    let fresh = hash("another");
    let changed = format!("key='{first}' newkey='{}'", hash(&fresh).to_uppercase());
    assert_eq!(page.ask(&changed, "").await.attr("type"), None);
    assert_eq!(
        page.ask(&format!("key='{fresh}'"), "").await.attr("type"),
        None
    );
    assert_eq!(condition(&page.ask("", "").await), Some("item-not-found"));
    server.stop().await;
}

// Not of the XEP: as everywhere

#[tokio::test]
async fn bounds_are_those_of_other_streams() {
    let text = "[limits.connections]\nexempt = []\nunauthenticated_per_address = 2\n[limits.stream]\nlogin_timeout = \"2s\"\nheader_timeout = \"1s\"\n";
    let server = server(text).await;
    let mut web = Web::plain(without_tls(&server)).await;
    assert_eq!(web.get("/nothing").await.status, 404);
    let (mut first, _) = Session::open(&server, "wait='30' hold='1'").await;
    let (_second, _) = Session::open(&server, "wait='30' hold='1'").await;
    let third = format!("<body {BODY} rid='1' to='localhost'/>");
    post(&mut web, &third).await;
    assert_eq!(condition(&answer(&mut web).await), Some("policy-violation"));
    let over = first.ask("", "").await;
    assert_eq!(condition(&over), Some("remote-stream-error"));
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = server("[http.websocket]\norigins = [\"https://chat.example.net\"]\n").await;
    let mut web = Web::plain(without_tls(&server)).await;
    for (origin, status) in [
        ("https://localhost", 204),
        ("https://chat.example.net", 204),
        ("https://evil.example", 403),
    ] {
        let answer = web
            .ask("OPTIONS", "/http-bind", &[("Origin", origin)])
            .await;
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin").is_some(),
            status == 204
        );
    }
    let asked = web.get("/http-bind").await;
    assert_eq!(
        (asked.status, asked.header("allow")),
        (405, Some("POST, OPTIONS"))
    );
    let large = web
        .ask("POST", "/http-bind", &[("Content-Length", "1000000")])
        .await;
    assert_eq!(large.status, 413);
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let server = server("").await;
    let alice = server.account("alice").await.unwrap();
    let mut page = Session::log_in(&server, &alice, "wait='30' hold='1'").await;
    page.send("", "").await;
    let told = async {
        let over = answer(&mut page.web).await;
        assert_eq!(condition(&over), Some("remote-stream-error"));
        let error = over.child("error", ns::STREAM).unwrap();
        assert!(error.child("system-shutdown", ns::STREAM_ERRORS).is_some());
    };
    tokio::join!(server.stop(), told);
}
