//! XEP-0357: what a push service sees.

use waxwing::proto::form::{Field, FormType};
use waxwing::proto::{ErrorType, MessageType};

use super::*;

/// §5, §7: examples 8, 9, 12 and 13.
#[tokio::test]
async fn what_happens_while_a_phone_is_away_is_published() {
    let server = start("").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    let options = Form::new(FormType::Submit)
        .with_form_type(ns::PUBLISH_OPTIONS)
        .with_field(Field::text("secret", "eruio234vzxc2kla-91"));
    let enable = enable().with_child(options.to_element());
    set(&mut phone, enable).await.unwrap();

    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "live")).await.unwrap();
    next(&mut phone, "message").await;
    phone.close().await.unwrap();
    romeo.send(chat(None, &juliet, "Wherefore?")).await.unwrap();
    let told = service.told().await;
    assert_eq!(told.iq.attr("from"), Some(juliet.as_str()));
    assert_eq!(told.iq.attr("to"), Some(SERVICE));
    assert_eq!((told.node(), told.messages()), (NODE, 1));
    // Neither who it is from nor what it says.
    assert_eq!(told.value("last-message-body"), Some("New message"));
    assert_eq!(told.value("last-message-sender"), None);
    assert_eq!(told.value("pending-subscription-count"), None);
    let pubsub = told.iq.child("pubsub", ns::PUBSUB).unwrap();
    let published = pubsub.child("publish-options", ns::PUBSUB).unwrap();
    let form = Form::of(published).unwrap().unwrap();
    assert_eq!(form.form_type(), Some(ns::PUBLISH_OPTIONS));
    assert_eq!(form.value("secret"), Some("eruio234vzxc2kla-91"));
    service.is_told_nothing().await;
}

/// A queue that waits for a client (XEP-0198) wakes nobody.
#[tokio::test]
async fn a_detached_session_is_away_and_a_resumed_one_is_there() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    settled(&mut phone).await;
    let kept = cut(&server, phone).await;
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
    let builder = server.client(&juliet).client_id(PHONE).sasl2();
    let builder = builder.resume(&kept.0, kept.1);
    let mut phone = builder.connect(server.addr).await.unwrap();
    assert!(phone.is_resumed());
    next(&mut phone, "message").await;
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    next(&mut phone, "message").await;
    service.is_told_nothing().await;
    // It begins to count anew.
    while phone.next(QUIET).await.is_some() {}
    let handled = phone.handled.unwrap().to_string();
    let ack = Element::new("a", ns::SM).with_attr("h", &handled);
    phone.send(ack).await.unwrap();
    settled(&mut phone).await;
    cut(&server, phone).await;
    romeo.send(chat(None, &juliet, "three")).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
}

/// What was sent into a connection that was dead already.
#[tokio::test]
async fn what_a_client_did_not_confirm_is_told_when_its_connection_is_lost() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "lost")).await.unwrap();
    settled(&mut romeo).await;
    service.is_told_nothing().await;
    cut(&server, phone).await;
    assert_eq!(service.told().await.messages(), 1);
}

/// Every device by itself: what is live elsewhere wakes no phone.
#[tokio::test]
async fn a_phone_is_told_although_somebody_sits_at_the_desk() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    let mut desk = desk(&server, &juliet).await;
    let at_desk = Element::new("enable", ns::PUSH)
        .with_attr("jid", SERVICE)
        .with_attr("node", "of the desk");
    set(&mut desk, at_desk).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    assert_eq!(service.told().await.node(), NODE);
    // A client that does not name itself is known by its resource.
    desk.close().await.unwrap();
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let told = service.told().await;
        nodes.push((told.node().to_owned(), told.messages()));
    }
    nodes.sort();
    let expected = [("of the desk".to_owned(), 1), (NODE.to_owned(), 2)];
    assert_eq!(nodes, expected);
    service.is_told_nothing().await;
}

#[tokio::test]
async fn a_flood_is_few_notifications() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    for n in 0..200 {
        let message = chat(None, &juliet, &n.to_string());
        romeo.send(message).await.unwrap();
    }
    let mut notifications = 1;
    while service.told().await.messages() < 200 {
        notifications += 1;
    }
    assert!(notifications <= 10, "{notifications}");
    service.is_told_nothing().await;
}

/// §7.1
#[tokio::test]
async fn errors_end_a_registration_or_are_waited_out() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    let told = service.asked().await;
    let wait = StanzaError::from(Condition::NotAllowed).with_type(ErrorType::Wait);
    service.answer(&told, Some(wait)).await;
    // What it would have told comes again, with what came meanwhile.
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    let told = service.asked().await;
    assert_eq!(told.messages(), 2);
    let gone = Some(Condition::ItemNotFound.into());
    service.answer(&told, gone).await;
    romeo.send(chat(None, &juliet, "three")).await.unwrap();
    settled(&mut romeo).await;
    service.is_told_nothing().await;
    let samples = server.own().metrics().samples();
    let count = |outcome| {
        let labels = [("way", "service"), ("outcome", outcome)];
        samples.value("waxwing_push_total", &labels)
    };
    assert_eq!(
        (count("failed"), count("ended"), count("arrived")),
        (Some(1.0), Some(1.0), Some(0.0))
    );
}

/// What cannot be reached is not asked once per message.
#[tokio::test]
async fn a_service_that_is_away_is_tried_again_after_a_pause() {
    let server = start(QUICK).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    let nowhere = Element::new("enable", ns::PUSH).with_attr("jid", "nowhere.invalid");
    set(&mut phone, nowhere).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    for n in 0..100 {
        let message = chat(None, &juliet, &n.to_string());
        romeo.send(message).await.unwrap();
    }
    settled(&mut romeo).await;
    let failed = || {
        let samples = server.own().metrics().samples();
        let labels = [("way", "service"), ("outcome", "failed")];
        samples
            .value("waxwing_push_total", &labels)
            .unwrap_or_default()
    };
    for _ in 0..500 {
        if failed() > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(failed(), 1.0, "one attempt, then a pause");
    assert_eq!(waiting(&server, "service"), Some(1.0));
}

/// §8: example 15.
#[tokio::test]
async fn a_service_ends_a_registration_by_itself() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    let other = Element::new("enable", ns::PUSH)
        .with_attr("jid", SERVICE)
        .with_attr("node", "other");
    set(&mut phone, other).await.unwrap();
    let affiliation = Element::new("affiliation", ns::PUBSUB)
        .with_attr("jid", juliet.as_str())
        .with_attr("affiliation", "none");
    let pubsub = Element::new("pubsub", ns::PUBSUB)
        .with_attr("node", NODE)
        .with_child(affiliation);
    let mut message = with(&juliet, pubsub);
    message.kind = waxwing::proto::Kind::Message(MessageType::Normal);
    message.from = Some(Jid::parse(SERVICE).unwrap());
    service.0.send(message).await.unwrap();
    next(&mut phone, "message").await;
    // Whatever the client asks for now follows it.
    let nothing = Element::new("disable", ns::PUSH).with_attr("jid", "other.localhost");
    set(&mut phone, nothing).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    assert_eq!(service.told().await.node(), "other");
    service.is_told_nothing().await;
}
