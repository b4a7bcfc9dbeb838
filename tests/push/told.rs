//! What is worth a notification, and what it tells.

use waxwing::proto::{MessageType, PresenceType};

use super::*;

fn el(name: &str, ns: &str) -> Element {
    Element::new(name, ns).with_attr("id", "c1")
}

/// What nobody takes his phone out for.
#[tokio::test]
async fn receipts_markers_states_reactions_and_ones_own_messages_wake_nobody() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    cut(&server, phone).await;
    let mut desk = desk(&server, &juliet).await;
    let mut romeo = romeo(&server).await;
    desk.send(chat(None, &romeo.jid.bare(), "mine"))
        .await
        .unwrap();
    desk.send(chat(None, &juliet, "to myself")).await.unwrap();
    settled(&mut desk).await;
    for payload in [
        el("received", ns::RECEIPTS),
        el("displayed", ns::CHAT_MARKERS),
        el("composing", ns::CHAT_STATES),
        el("reactions", ns::REACTIONS),
        el("ringing", ns::JINGLE_MESSAGE),
    ] {
        romeo.send(with(&juliet, payload)).await.unwrap();
    }
    let mut error = chat(None, &juliet, "x");
    error.kind = waxwing::proto::Kind::Message(MessageType::Error);
    romeo.send(error).await.unwrap();
    romeo.send(chat(None, &juliet, "at last")).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
    service.is_told_nothing().await;
}

/// XEP-0353: it rings at once, and stops at once.
#[tokio::test]
async fn calls_do_not_wait() {
    let server = start("[modules.push]\ninterval = \"1h\"").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
    romeo.send(chat(None, &juliet, "two")).await.unwrap();
    settled(&mut romeo).await;
    service.is_told_nothing().await;
    let propose = el("propose", ns::JINGLE_MESSAGE);
    romeo.send(with(&juliet, propose)).await.unwrap();
    assert_eq!(service.told().await.messages(), 3);
    let retract = el("retract", ns::JINGLE_MESSAGE);
    romeo.send(with(&juliet, retract)).await.unwrap();
    let told = service.told().await;
    assert_eq!(told.messages(), 3);
    assert_eq!(told.value("last-message-body"), Some("New message"));
    service.is_told_nothing().await;
}

#[tokio::test]
async fn who_wants_it_has_senders_and_texts_told_but_nothing_of_what_is_encrypted() {
    let server = start("[modules.push]\ninterval = \"1s\"\ncontent = \"sender+body\"").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "O Juliet")).await.unwrap();
    let told = service.told().await;
    assert_eq!(told.value("last-message-sender"), Some(romeo.jid.as_str()));
    assert_eq!(told.value("last-message-body"), Some("O Juliet"));
    let sealed = el("encrypted", ns::OMEMO).with_child(el("payload", ns::OMEMO));
    let sealed = chat(None, &juliet, "I sent you a message").with_child(sealed);
    romeo.send(sealed).await.unwrap();
    let told = service.told().await;
    assert_eq!(told.value("last-message-body"), Some("New message"));
}

#[tokio::test]
async fn a_host_may_tell_nothing_but_the_number() {
    let server = start("[modules.push]\nplaceholder = \"\"").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    let told = service.told().await;
    assert_eq!(
        (told.messages(), told.value("last-message-body")),
        (1, None)
    );
}

/// Once: who asks again is not told of again.
#[tokio::test]
async fn requests_for_ones_presence_are_told() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    for _ in 0..2 {
        let subscribe = Stanza::presence(PresenceType::Subscribe).with_to(juliet.clone());
        romeo.send(subscribe).await.unwrap();
        settled(&mut romeo).await;
    }
    let told = service.told().await;
    assert_eq!(told.value("pending-subscription-count"), Some("1"));
    assert_eq!(
        (told.messages(), told.value("last-message-body")),
        (0, None)
    );
    service.is_told_nothing().await;
}

/// What is in no log is told to the session that it waits for.
#[tokio::test]
async fn messages_of_rooms_are_told_to_those_who_are_in_them() {
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
    desk.close().await.unwrap();
    // It is there under this name, and what it says comes back.
    let nick = Jid::parse(&format!("room@{SERVICE}/juliet")).unwrap();
    let join = Stanza::presence(PresenceType::Available).with_to(nick.clone());
    phone.send(join).await.unwrap();
    settled(&mut phone).await;
    let to = phone.jid.clone();
    cut(&server, phone).await;
    let said = |by: &str, text: &str| {
        let from = format!("room@{SERVICE}/{by}");
        let mut message = chat(Some(&from), &to, text);
        message.kind = waxwing::proto::Kind::Message(MessageType::Groupchat);
        message
    };
    let (own, other) = (said("juliet", "mine"), said("romeo", "another's"));
    service.0.send(own).await.unwrap();
    service.0.send(other).await.unwrap();
    let presence = |el: &Element| el.is("presence", ns::CLIENT);
    service.0.wait_for("the presence", presence).await.unwrap();
    let told = service.told().await;
    assert_eq!((told.node(), told.messages()), (NODE, 1));
    service.is_told_nothing().await;
}

/// XEP-0492 §2.1, §2.2: a chat wakes whom its bookmark lets it.
#[tokio::test]
async fn a_chat_wakes_only_whom_its_settings_let_it() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    let mut romeo = romeo(&server).await;
    let chats = [
        (format!("loud@{SERVICE}"), "<always/>"),
        (
            format!("busy@{SERVICE}"),
            "<always identity-category='client' identity-type='pc'/><on-mention/>",
        ),
        (format!("mute@{SERVICE}"), "<never/>"),
        (romeo.jid.bare_str().to_owned(), "<never/>"),
    ];
    for (chat, wishes) in &chats {
        let bookmark = format!(
            "<pubsub xmlns='{}'><publish node='{bookmarks}'><item id='{chat}'>\
             <conference xmlns='{bookmarks}'><nick>Jule</nick><extensions>\
             <notify xmlns='{}'>{wishes}</notify></extensions></conference></item></publish>\
             <publish-options><x xmlns='{}' type='submit'>\
             <field var='FORM_TYPE' type='hidden'><value>{}</value></field>\
             <field var='pubsub#max_items'><value>max</value></field></x></publish-options></pubsub>",
            ns::PUBSUB,
            ns::NOTIFICATION_SETTINGS,
            ns::DATA_FORM,
            ns::PUBLISH_OPTIONS,
            bookmarks = ns::BOOKMARKS,
        );
        set(&mut phone, element(&bookmark)).await.unwrap();
    }
    let to = phone.jid.clone();
    cut(&server, phone).await;
    let said = |room: usize, text: &str| {
        let mut message = chat(Some(&format!("{}/romeo", chats[room].0)), &to, text);
        message.kind = waxwing::proto::Kind::Message(MessageType::Groupchat);
        message
    };
    for silent in [said(2, "Jule!"), said(1, "nothing for her")] {
        service.0.send(silent).await.unwrap();
    }
    romeo.send(chat(None, &juliet, "psst")).await.unwrap();
    settled(&mut romeo).await;
    service.is_told_nothing().await;
    // A call rings all the same.
    let propose = el("propose", ns::JINGLE_MESSAGE);
    romeo.send(with(&juliet, propose)).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
    for (count, loud) in [(2, said(1, "psst, jule")), (3, said(0, "to all"))] {
        service.0.send(loud).await.unwrap();
        assert_eq!(service.told().await.messages(), count);
    }
    service.is_told_nothing().await;
}

fn element(text: &str) -> Element {
    use waxwing::xml::{Context, Limits, parse};
    parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
}

const ROOM: &str = "coven@conference.localhost";

/// Makes a room that lasts, with juliet as a member who is not there.
async fn room(romeo: &mut Client, juliet: &Jid, fields: &[(&str, &str)]) {
    let join = Stanza::presence(PresenceType::Available)
        .with_to(Jid::parse(&format!("{ROOM}/romeo")).unwrap())
        .with_child(Element::new("x", ns::MUC));
    romeo.send(join).await.unwrap();
    let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    for (var, value) in fields {
        let value = Element::new("value", ns::DATA_FORM).with_text(value);
        let field = Element::new("field", ns::DATA_FORM).with_attr("var", var);
        x = x.with_child(field.with_child(value));
    }
    let query = Element::new("query", ns::MUC_OWNER).with_child(x);
    romeo.request("set", Some(ROOM), query).await.unwrap();
    let item = Element::new("item", ns::MUC_ADMIN)
        .with_attr("affiliation", "member")
        .with_attr("nick", "thirdwitch")
        .with_attr("jid", juliet.as_str());
    let query = Element::new("query", ns::MUC_ADMIN).with_child(item);
    romeo.request("set", Some(ROOM), query).await.unwrap();
}

/// Says something in the room, and waits until all who are there have it.
async fn say(romeo: &mut Client, text: &str) {
    let room = Jid::parse(ROOM).unwrap();
    let mut message = chat(None, &room, text);
    message.kind = waxwing::proto::Kind::Message(MessageType::Groupchat);
    let message = message.with_id(text);
    romeo.send(message).await.unwrap();
    let own = |el: &Element| el.attr("id") == Some(text) && el.is("message", ns::CLIENT);
    romeo.wait_for("what was said", own).await.unwrap();
}

/// How the phone's account wants the room, in its bookmark (XEP-0492).
async fn heed(phone: &mut Client, word: &str) {
    let notify = Element::new("notify", ns::NOTIFICATION_SETTINGS)
        .with_child(Element::new(word, ns::NOTIFICATION_SETTINGS));
    let extensions = Element::new("extensions", ns::BOOKMARKS).with_child(notify);
    let conference = Element::new("conference", ns::BOOKMARKS).with_child(extensions);
    let item = Element::new("item", ns::PUBSUB).with_attr("id", ROOM);
    let publish = Element::new("publish", ns::PUBSUB)
        .with_attr("node", ns::BOOKMARKS)
        .with_child(item.with_child(conference));
    let pubsub = Element::new("pubsub", ns::PUBSUB).with_child(publish);
    phone.request("set", None, pubsub).await.unwrap();
}

/// Of a room that is not public all is told to who is away, in an open one what mentions him; or as he set it.
#[tokio::test]
async fn members_who_are_not_in_a_room_are_told_what_they_want_to_hear() {
    for (fields, first, wants) in [
        (&[("muc#roomconfig_publicroom", "0")][..], "anything", None),
        (&[][..], "thirdwitch, come!", None),
        (&[][..], "anything", Some("always")),
        (
            &[("muc#roomconfig_publicroom", "0")][..],
            "Thirdwitch?",
            Some("on-mention"),
        ),
    ] {
        let server = start(QUICK).await;
        let mut service = Service::attach(&server).await;
        let juliet = server.account("juliet").await.unwrap();
        let mut phone = phone(&server, &juliet).await;
        set(&mut phone, enable()).await.unwrap();
        if let Some(word) = wants {
            heed(&mut phone, word).await;
        }
        phone.close().await.unwrap();
        let mut romeo = romeo(&server).await;
        room(&mut romeo, &juliet, fields).await;
        if wants != Some("always") && first != "anything" {
            say(&mut romeo, "nothing for anybody else").await;
        }
        say(&mut romeo, first).await;
        let told = service.told().await;
        assert_eq!(
            (told.node(), told.messages()),
            (NODE, 1),
            "{first} {wants:?}"
        );
        service.is_told_nothing().await;
    }
}

#[tokio::test]
async fn a_room_that_is_muted_wakes_nobody() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    heed(&mut phone, "never").await;
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    room(&mut romeo, &juliet, &[("muc#roomconfig_publicroom", "0")]).await;
    say(&mut romeo, "thirdwitch!").await;
    service.is_told_nothing().await;
    // Nothing is wrong with the phone.
    romeo.send(chat(None, &juliet, "one")).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
}
