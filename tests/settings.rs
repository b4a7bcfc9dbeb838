//! Features as the configuration wants them, where a dialogue with the defaults does not fit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use waxwing::admin::Password;
use waxwing::proto::{Condition, ErrorType, Jid, StanzaError, ns};
use waxwing::store::Engine;
use waxwing::store::testing::{Faulty, memory};
use waxwing::xml::{El, Element};

use crate::support::client::{Client, Error};
use crate::support::server::{Running, start_on, start_own};

async fn server(sets: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    start_own(folder, sets, &[]).await.unwrap()
}

async fn session(running: &Running, name: &str) -> Client {
    let jid = running.account(name).await.unwrap();
    running.client(&jid).connect(running.addr).await.unwrap()
}

async fn ask(client: &mut Client, to: &Jid, name: &str, ns: &str) -> Element {
    let query = Element::new(name, ns);
    client
        .request("get", Some(to.as_str()), query)
        .await
        .unwrap()
}

fn refusal(result: Result<Element, Error>) -> StanzaError {
    match result {
        Err(Error::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn contact_addresses_are_announced() {
    let running = server(&[
        r#"modules.contact.abuse=["mailto:abuse@example.org", "xmpp:abuse@example.org"]"#,
        r#"modules.contact.status=["https://status.example.org"]"#,
    ])
    .await;
    let form = announced(&running, ns::SERVER_INFO).await;
    let abuse = ["mailto:abuse@example.org", "xmpp:abuse@example.org"];
    assert_eq!(values(form.root(), "abuse-addresses"), abuse);
    let status = values(form.root(), "status-addresses");
    assert_eq!(status, ["https://status.example.org"]);
}

/// XEP-0455 §2.1, XEP-0504 §3.
#[tokio::test]
async fn where_outages_are_told_of_and_what_becomes_of_data_is_announced() {
    let address = "https://status.example.org/outage.json";
    let running = server(&[
        &format!("modules.outage.addresses=[{address:?}]"),
        "modules.data_policy.retention=\"2d\"",
        "modules.data_policy.deletion=true",
        "modules.data_policy.export=false",
        "modules.data_policy.access=[\"admins\", \"government\"]",
        "modules.data_policy.terms=\"https://example.org/terms\"",
        "modules.data_policy.more=\"In Verona.\\nBehind a balcony.\"",
    ])
    .await;
    let outages = announced(&running, ns::SOS).await;
    assert_eq!(
        values(outages.root(), "external-status-addresses"),
        [address]
    );
    let policy = announced(&running, ns::DATA_POLICY).await;
    for (var, expected) in [
        ("data_retention", &["48"][..]),
        ("data_deletion", &["1"]),
        ("data_export", &["0"]),
        ("access_policy", &["admins", "government"]),
        ("tos", &["https://example.org/terms"]),
        ("extra_info", &["In Verona.", "Behind a balcony."]),
        ("full_erasure", &[]),
    ] {
        assert_eq!(values(policy.root(), var), expected, "{var}");
    }
}

/// A form of what the host tells of itself.
async fn announced(running: &Running, form_type: &str) -> Element {
    let mut client = session(running, "juliet").await;
    let host = client.jid.domain_jid();
    let info = ask(&mut client, &host, "query", ns::DISCO_INFO).await;
    let info = info.child("query", ns::DISCO_INFO).unwrap();
    let mut forms = info.children().filter(|el| el.is("x", ns::DATA_FORM));
    let form = forms.find(|form| values(*form, "FORM_TYPE") == [form_type]);
    form.unwrap().to_element()
}

fn values(form: El<'_>, var: &str) -> Vec<String> {
    let mut fields = form.children();
    let field = fields.find(|field| field.attr("var") == Some(var));
    let values = field.into_iter().flat_map(|field| field.children());
    values.map(|el| el.text().into_owned()).collect()
}

#[tokio::test]
async fn what_the_software_is_can_be_hidden() {
    let running = server(&[
        r#"modules.version.name="a server""#,
        "modules.version.version=false",
        "modules.version.os=true",
    ])
    .await;
    let mut client = session(&running, "juliet").await;
    let host = client.jid.domain_jid();
    let answer = ask(&mut client, &host, "query", ns::VERSION).await;
    let told: Vec<_> = answer
        .child("query", ns::VERSION)
        .unwrap()
        .children()
        .collect();
    let told: Vec<_> = told.iter().map(|el| (el.name(), el.text())).collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], ("name", "a server".into()));
    assert_eq!(told[1], ("version", "".into()));
    assert_eq!(told[2], ("os", std::env::consts::OS.into()));
}

/// XEP-0012 §3: when somebody was last there, and what he said when he left.
#[tokio::test]
async fn last_words_are_kept_for_those_who_may_see_them() {
    let running = server(&[]).await;
    let mut juliet = session(&running, "juliet").await;
    let mut romeo = session(&running, "romeo").await;
    juliet.roster().await.unwrap();
    juliet.presence().await.unwrap();
    romeo.presence().await.unwrap();
    let (to_juliet, to_romeo) = (juliet.jid.bare(), romeo.jid.bare());
    let is = |kind: &'static str| move |el: &Element| el.attr("type") == Some(kind);
    let ask = format!("<presence type='subscribe' to='{to_romeo}'/>");
    juliet.send(ask.as_str()).await.unwrap();
    romeo.wait_for("a request", is("subscribe")).await.unwrap();
    let grant = format!("<presence type='subscribed' to='{to_juliet}'/>");
    romeo.send(grant.as_str()).await.unwrap();
    juliet.wait_for("a grant", is("subscribed")).await.unwrap();
    let goodbye = "<presence type='unavailable'><status>Heading Home</status></presence>";
    romeo.send(goodbye).await.unwrap();
    romeo.close().await.unwrap();
    let began = Instant::now();
    loop {
        let query = Element::new("query", ns::LAST);
        let answer = juliet
            .request("get", Some(to_romeo.as_str()), query)
            .await
            .unwrap();
        let last = answer.child("query", ns::LAST).unwrap();
        if last.text() == "Heading Home" {
            let seconds: u64 = last.attr("seconds").unwrap().parse().unwrap();
            assert!(seconds <= 10);
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// XEP-0049: what is kept of an account is bounded in bytes and in number, and stays over a restart.
#[tokio::test]
async fn private_xml_has_a_quota() {
    let sets = ["modules.private.elements=2", "modules.private.bytes=1KiB"];
    let running = server(&sets).await;
    let account = running.account("juliet").await.unwrap();
    let mut client = running
        .client(&account)
        .connect(running.addr)
        .await
        .unwrap();
    let kept = |name: &str, text: &str| {
        let kept = Element::new(name, "urn:test").with_text(text);
        Element::new("query", ns::PRIVATE).with_child(kept)
    };
    for name in ["a", "b"] {
        client.request("set", None, kept(name, "1")).await.unwrap();
    }
    let many = refusal(client.request("set", None, kept("c", "1")).await);
    let long = refusal(
        client
            .request("set", None, kept("a", &"x".repeat(1_024)))
            .await,
    );
    for error in [many, long] {
        assert_eq!(error.condition, Condition::ResourceConstraint);
        assert_eq!(error.kind, ErrorType::Wait);
    }
    client.request("set", None, kept("a", "2")).await.unwrap();
    client.close().await.unwrap();
    let folder = running.stop().await.unwrap();
    let running = start_own(folder, &sets, &[]).await.unwrap();
    let mut client = running
        .client(&account)
        .connect(running.addr)
        .await
        .unwrap();
    let refused = refusal(client.request("set", None, kept("c", "1")).await);
    assert_eq!(refused.condition, Condition::ResourceConstraint);
    let answer = client.request("get", None, kept("a", "")).await.unwrap();
    let query = answer.child("query", ns::PRIVATE).unwrap();
    assert_eq!(query.child("a", "urn:test").unwrap().text(), "2");
}

/// XEP-0049, XEP-0054: what does not fit changes nothing of what is there, not even in part.
#[tokio::test]
async fn what_is_beyond_a_quota_changes_nothing() {
    let running = server(&["modules.private.bytes=1KiB", "modules.vcard.bytes=1KiB"]).await;
    let mut client = session(&running, "juliet").await;
    let kept = |text: &str| Element::new("kept", "urn:test").with_text(text);
    let more = |text: &str| Element::new("more", "urn:test").with_text(text);
    let query = || Element::new("query", ns::PRIVATE);
    let name = |text: &str| {
        let name = Element::new("FN", ns::VCARD).with_text(text);
        Element::new("vCard", ns::VCARD).with_child(name)
    };
    let long = "x".repeat(1_024);
    let first = query().with_child(kept("1"));
    client.request("set", None, first).await.unwrap();
    client.request("set", None, name("Juliet")).await.unwrap();
    for beyond in [
        query().with_children([kept("2"), more(&long)]),
        query().with_children([more(&long), kept("2")]),
        query().with_child(kept(&long)),
        name(&long),
    ] {
        let refused = refusal(client.request("set", None, beyond).await);
        assert_eq!(refused.condition, Condition::ResourceConstraint);
        assert_eq!(refused.kind, ErrorType::Wait);
    }
    for (asked, expected) in [(kept(""), kept("1")), (more(""), more(""))] {
        let asked = query().with_child(asked);
        let answer = client.request("get", None, asked).await.unwrap();
        let found = answer
            .child("query", ns::PRIVATE)
            .unwrap()
            .children()
            .next();
        assert_eq!(found.unwrap().to_element(), expected);
    }
    let asked = Element::new("vCard", ns::VCARD);
    let answer = client.request("get", None, asked).await.unwrap();
    let found = answer.child("vCard", ns::VCARD).unwrap();
    assert_eq!(found.to_element(), name("Juliet"));
}

#[tokio::test]
async fn more_addressees_than_allowed_are_refused() {
    let running = server(&["modules.addresses.addressees=2"]).await;
    let mut client = session(&running, "juliet").await;
    let host = client.jid.domain();
    let to = |name: &str| format!("<address type='to' jid='{name}@{host}'/>");
    let message = format!(
        "<message to='{host}' id='m'><addresses xmlns='{}'>{}{}{}</addresses><body>x</body></message>",
        ns::ADDRESS,
        to("a"),
        to("b"),
        to("c")
    );
    client.send(message.as_str()).await.unwrap();
    let is_error = |el: &Element| el.attr("id") == Some("m");
    let error = client.wait_for("an error", is_error).await.unwrap();
    let error = StanzaError::parse(error.child("error", ns::CLIENT).unwrap());
    assert_eq!(error.condition, Condition::NotAcceptable);
}

/// XEP-0377: who blocks may say why; administrators hear of it, of each account so many times.
#[tokio::test]
async fn reports_are_kept_and_told() {
    let faulty = Arc::new(Faulty::new(memory()));
    let sets = [
        r#"modules.reporting.tell=["admin@localhost"]"#,
        "modules.reporting.per_hour=2",
    ];
    let running = start_on(&faulty, &sets).await;
    let admin = Jid::parse("admin@localhost").unwrap();
    let password = Password("pencil".to_owned());
    running.accounts().create(&admin, &password).await.unwrap();
    let mut admin = running.client(&admin).connect(running.addr).await.unwrap();
    admin.presence().await.unwrap();
    let mut client = session(&running, "juliet").await;
    let report = |who: &str, reason: &str, text: &str| {
        let report = Element::new("report", ns::REPORTING)
            .with_attr("reason", reason)
            .with_child(Element::new("text", ns::REPORTING).with_text(text))
            .with_child(Element::new("third-party", ns::REPORTING));
        let item = Element::new("item", ns::BLOCKING).with_attr("jid", who);
        Element::new("block", ns::BLOCKING).with_child(item.with_child(report))
    };
    for n in 0..3 {
        let who = format!("tybalt{n}@verona.example");
        let block = report(&who, "urn:xmpp:reporting:abuse", "He bites his thumb.");
        client.request("set", None, block).await.unwrap();
    }
    let is_message = |el: &Element| el.is("message", ns::CLIENT);
    for n in 0..2 {
        let told = admin.wait_for("a report", is_message).await.unwrap();
        assert_eq!(told.attr("from"), Some("localhost"));
        let body = told.child("body", ns::CLIENT).unwrap().text().into_owned();
        assert!(
            body.contains(&format!("tybalt{n}@verona.example")),
            "{body}"
        );
        assert!(body.contains("abuse\nHe bites his thumb."), "{body}");
    }
    let view = faulty.snapshot().unwrap();
    let all = waxwing::store::Range::all();
    let forward = waxwing::store::Direction::Forward;
    let rows = view
        .scan(waxwing::store::Space::REPORT, &all, forward, 10)
        .unwrap();
    assert_eq!(rows.len(), 2);
    let kept = String::from_utf8_lossy(&rows[0].1).into_owned();
    for part in [
        "tybalt0@verona.example",
        client.jid.bare_str(),
        r#""third_party":true"#,
    ] {
        assert!(kept.contains(part), "{kept}");
    }
    assert!(kept.contains(r#""report_origin":false"#), "{kept}");
}

/// XEP-0191: a list has a bound, is there after a restart, and a long one costs nothing.
#[tokio::test]
async fn a_block_list_is_bounded_and_stays() {
    let sets = ["modules.blocking.entries=1000"];
    let running = server(&sets).await;
    let account = running.account("juliet").await.unwrap();
    let mut client = running
        .client(&account)
        .connect(running.addr)
        .await
        .unwrap();
    let block = |range: std::ops::Range<u32>| {
        let items = range.map(|n| {
            let jid = format!("tybalt{n}@verona.example");
            Element::new("item", ns::BLOCKING).with_attr("jid", &jid)
        });
        Element::new("block", ns::BLOCKING).with_children(items)
    };
    client.request("set", None, block(0..1000)).await.unwrap();
    client.request("set", None, block(990..1000)).await.unwrap();
    let full = refusal(client.request("set", None, block(999..1001)).await);
    assert_eq!(full.condition, Condition::ResourceConstraint);
    client.close().await.unwrap();
    let running = start_own(running.stop().await.unwrap(), &sets, &[])
        .await
        .unwrap();
    let mut client = running
        .client(&account)
        .connect(running.addr)
        .await
        .unwrap();
    let list = Element::new("blocklist", ns::BLOCKING);
    let list = client.request("get", None, list).await.unwrap();
    let list = list.child("blocklist", ns::BLOCKING).unwrap();
    assert_eq!(list.children().count(), 1000);
}
