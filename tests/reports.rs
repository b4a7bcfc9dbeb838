//! What becomes of reports (XEP-0377): administrators are told, list them, look at one, and are done with it.

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use crate::administration::{act, administered, ask, command};
use crate::support::client::Client;

/// Gives a command what it asks for.
async fn fill(
    client: &mut Client,
    node: &str,
    var: &str,
    value: &str,
) -> Result<Element, Condition> {
    let begun = ask(client, command(node, None, None)).await;
    let begun = begun.map_err(|error| error.condition)?;
    let session = begun.attr("sessionid").unwrap().to_owned();
    let mut form = Form::new(FormType::Submit);
    if !var.is_empty() {
        form = form.with_field(Field::new(FieldType::TextSingle, var).with_value(value));
    }
    let filled = command(node, Some(&session), None).with_child(form.to_element());
    ask(client, filled).await.map_err(|error| error.condition)
}

/// The values of a column of a table.
async fn column(client: &mut Client, name: &str) -> Vec<String> {
    let listed = fill(client, "waxwing:reports#list", "", "").await.unwrap();
    let x = listed.child("x", ns::DATA_FORM).unwrap();
    let items = x.children().filter(|el| el.name() == "item");
    let value = |item: waxwing::xml::El<'_>| {
        let field = item
            .children()
            .find(|field| field.attr("var") == Some(name));
        let value = field.unwrap().children().next().unwrap();
        value.text().into_owned()
    };
    items.map(value).collect()
}

#[tokio::test]
async fn administrators_see_and_dismiss_them() {
    let (server, mut boss) = administered().await;
    boss.presence().await.unwrap();
    let jid = server.account("juliet").await.unwrap();
    let mut juliet = server.client(&jid).connect(server.addr).await.unwrap();
    // Who was made an administrator while the server ran is told as well.
    let helper_jid = server.account("helper").await.unwrap();
    let mut helper = server
        .client(&helper_jid)
        .connect(server.addr)
        .await
        .unwrap();
    helper.presence().await.unwrap();
    act(
        &mut boss,
        "edit-admin",
        &[("adminjids", helper_jid.as_str())],
    )
    .await
    .unwrap();
    for who in ["tybalt@verona.example", "paris@verona.example"] {
        let report = Element::new("report", ns::REPORTING)
            .with_attr("reason", "urn:xmpp:reporting:spam")
            .with_child(Element::new("text", ns::REPORTING).with_text("He bites his thumb."));
        let item = Element::new("item", ns::BLOCKING).with_attr("jid", who);
        let block = Element::new("block", ns::BLOCKING).with_child(item.with_child(report));
        juliet.request("set", None, block).await.unwrap();
    }
    let is_report = |el: &Element| el.is("message", ns::CLIENT);
    for client in [&mut boss, &mut helper] {
        let told = client.wait_for("a report", is_report).await.unwrap();
        let body = told.child("body", ns::CLIENT).unwrap().text().into_owned();
        assert!(body.contains("verona.example"), "{body}");
    }
    let ids = column(&mut boss, "id").await;
    assert_eq!(ids.len(), 2);
    let about = column(&mut boss, "about").await;
    assert_eq!(about, ["paris@verona.example", "tybalt@verona.example"]);
    let shown = fill(&mut boss, "waxwing:reports#show", "id", &ids[0])
        .await
        .unwrap();
    let form = Form::of(shown.root()).unwrap().unwrap();
    assert_eq!(form.value("about"), Some("paris@verona.example"));
    assert_eq!(form.value("by"), Some(jid.as_str()));
    assert_eq!(form.value("text"), Some("He bites his thumb."));
    fill(&mut boss, "waxwing:reports#dismiss", "id", &ids[0])
        .await
        .unwrap();
    assert_eq!(
        column(&mut helper, "about").await,
        ["tybalt@verona.example"]
    );
    for (id, refusal) in [
        (ids[0].as_str(), Condition::BadRequest),
        ("x", Condition::BadRequest),
    ] {
        let again = fill(&mut boss, "waxwing:reports#dismiss", "id", id).await;
        assert_eq!(again.unwrap_err(), refusal);
    }
    fill(&mut boss, "waxwing:reports#dismiss", "id", "all")
        .await
        .unwrap();
    let listed = fill(&mut boss, "waxwing:reports#list", "", "")
        .await
        .unwrap();
    assert!(
        !listed
            .children()
            .any(|el| el.children().any(|el| el.name() == "item"))
    );
    let curious = fill(&mut juliet, "waxwing:reports#list", "", "").await;
    assert_eq!(curious.unwrap_err(), Condition::Forbidden);
    drop((boss, helper, juliet));
    server.stop().await;
}

#[tokio::test]
async fn the_owners_of_a_room_learn_whom_somebody_reports_there_if_he_lets_them() {
    let (server, _boss) = administered().await;
    let room = "coven@conference.localhost";
    let crone = server.account("crone").await.unwrap();
    let mut crone = server.client(&crone).connect(server.addr).await.unwrap();
    crone.presence().await.unwrap();
    let join = format!(
        "<presence to='{room}/crone'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    crone.send(join.as_str()).await.unwrap();
    let subject = |el: &Element| el.has_child("subject", ns::CLIENT);
    crone.wait_for("the subject", subject).await.unwrap();
    let form = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    let query = Element::new("query", ns::MUC_OWNER).with_child(form);
    crone.request("set", Some(room), query).await.unwrap();

    let hag = server.account("hag").await.unwrap();
    let mut hag = server.client(&hag).connect(server.addr).await.unwrap();
    for (nick, lets) in [("silent", false), ("loud", true)] {
        let mut report = Element::new("report", ns::REPORTING)
            .with_attr("reason", "urn:xmpp:reporting:abuse")
            .with_child(Element::new("text", ns::REPORTING).with_text("He shouts."));
        if lets {
            report = report.with_child(Element::new("report-origin", ns::REPORTING));
        }
        let item = Element::new("item", ns::BLOCKING).with_attr("jid", &format!("{room}/{nick}"));
        let block = Element::new("block", ns::BLOCKING).with_child(item.with_child(report));
        hag.request("set", None, block).await.unwrap();
    }
    let from_room = |el: &Element| el.is("message", ns::CLIENT) && el.attr("from") == Some(room);
    let told = crone.wait_for("the report", from_room).await.unwrap();
    let body = told.child("body", ns::CLIENT).unwrap().text().into_owned();
    assert_eq!(
        body,
        "Somebody blocked loud in this room and reports: abuse\nHe shouts."
    );
    let report = told.child("report", ns::REPORTING).unwrap();
    assert_eq!(report.attr("reason"), Some("urn:xmpp:reporting:abuse"));
    assert!(!format!("{told:?}").contains("hag"), "{told:?}");
}
