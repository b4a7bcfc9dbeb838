//! Who asks to become a member, and what those learn who are not there.

use super::*;

fn ask(play: &mut Play, who: &str, nick: &str) -> Out {
    let nick = field("muc#register_roomnick", nick);
    play.send(
        who,
        &format!(
            "<iq type='set' id='r' to='{ROOM}'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>{nick}</x></query></iq>"
        ),
    )
}

fn answer(play: &mut Play, who: &str, about: &str, allow: &str) -> Out {
    let fields = field("FORM_TYPE", ns::MUC_REGISTER)
        + &field("muc#jid", &format!("{about}@x"))
        + &field("muc#register_allow", allow);
    play.send(
        who,
        &format!(
            "<message to='{ROOM}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></message>"
        ),
    )
}

fn requests(play: &Play) -> Vec<&str> {
    let stored = play.room.stored.as_ref().unwrap();
    let requests = stored.record.requests.iter();
    requests.map(|asks| asks.jid.as_str()).collect()
}

#[test]
fn where_members_have_more_rights_an_admin_decides_who_becomes_one() {
    let mut play = Play::with(&field("muc#roomconfig_membersonly", "1"), &[]);
    play.admin("crone", "<item affiliation='admin' jid='wicca@x'/>");
    let out = ask(&mut play, "hag", "third");
    assert!(!out.batch.is_empty(), "it is not forgotten");
    assert_eq!(told(&out), ["iq result to hag", "message - to crone wicca"]);
    assert_eq!(play.room.affiliation(&jid("hag@x")), Affiliation::None);
    // The same again is not passed on, another nickname is.
    assert_eq!(told(&ask(&mut play, "hag", "third")), ["iq result to hag"]);
    assert_eq!(ask(&mut play, "hag", "fourth").tells.len(), 2);
    assert_eq!(requests(&play), ["hag@x"]);

    let out = answer(&mut play, "hag", "hag", "1");
    assert_eq!(condition(&out), Some(Condition::Forbidden));
    let out = answer(&mut play, "crone", "stranger", "1");
    assert_eq!(condition(&out), Some(Condition::ItemNotFound));
    let out = answer(&mut play, "wicca", "hag", "1");
    assert!(!out.batch.is_empty() && requests(&play).is_empty());
    assert_eq!(
        told(&out),
        ["message - to crone", "message - to hag"],
        "the change, and an invitation"
    );
    assert_eq!(play.room.affiliation(&jid("hag@x")), Affiliation::Member);
    assert_eq!(play.room.reserved_nick(&jid("hag@x")), Some("fourth"));
}

#[test]
fn who_is_refused_may_ask_again_and_requests_are_bounded() {
    let mut play = Play::with(&field("muc#roomconfig_moderatedroom", "1"), &[]);
    for who in ["a", "b"] {
        assert_eq!(condition(&ask(&mut play, who, who)), None);
    }
    let out = ask(&mut play, "c", "c");
    assert_eq!(condition(&out), Some(Condition::ResourceConstraint));
    assert_eq!(play.room.reached(), Some(Bound::Requests));
    let out = answer(&mut play, "crone", "a", "0");
    assert!(out.tells.is_empty() && !out.batch.is_empty());
    assert_eq!(play.room.affiliation(&jid("a@x")), Affiliation::None);
    assert_eq!(condition(&ask(&mut play, "c", "c")), None);
    // Who is put on a list otherwise waits for nothing any more.
    play.admin("crone", "<item affiliation='outcast' jid='b@x'/>");
    assert_eq!(requests(&play), ["c@x"]);
    let out = ask(&mut play, "b", "b");
    assert_eq!(condition(&out), Some(Condition::Forbidden));
}

#[test]
fn a_nickname_that_was_taken_meanwhile_is_not_given() {
    let mut play = Play::with(&field("muc#roomconfig_moderatedroom", "1"), &["wicca"]);
    ask(&mut play, "hag", "Third");
    play.admin(
        "crone",
        "<item affiliation='member' jid='wicca@x' nick='third'/>",
    );
    let out = answer(&mut play, "crone", "hag", "1");
    assert_eq!(condition(&out), Some(Condition::Conflict));
    assert_eq!(requests(&play), ["hag@x"]);
}

#[test]
fn who_is_not_there_learns_what_it_has_become() {
    let mut play = Play::with("", &["hag"]);
    let out = play.admin(
        "crone",
        "<item affiliation='member' jid='wicca@x'><reason>worthy</reason></item>",
    );
    assert_eq!(
        told(&out),
        [
            "iq result to crone",
            "message - to crone",
            "message - to wicca"
        ]
    );
    let message = &out.tells[2].stanza;
    let x = message.child("x", ns::MUC_USER).unwrap();
    let item = x.child("item", ns::MUC_USER).unwrap();
    assert_eq!(item.attr("affiliation"), Some("member"));
    assert_eq!(item.child("reason", ns::MUC_USER).unwrap().text(), "worthy");
    let status = x.child("status", ns::MUC_USER).unwrap();
    assert_eq!(status.attr("code"), Some("101"));
    // Neither who is there, nor a domain, nor who is what it was.
    for item in ["jid='hag@x'", "jid='y'", "jid='wicca@x'"] {
        let affiliation = if item.contains('@') {
            "member"
        } else {
            "outcast"
        };
        let out = play.admin(
            "crone",
            &format!("<item affiliation='{affiliation}' {item}/>"),
        );
        let messages = told(&out);
        let of_admins = |tell: &String| !tell.starts_with("message") || tell.ends_with("to crone");
        assert!(messages.iter().all(of_admins), "{messages:?}");
    }
}

#[test]
fn when_the_service_stops_those_learn_it_whose_sessions_it_does_not_keep() {
    let mut play = Play::with("", &["hag"]);
    let out = play.room.stop(|client| client.node() != Some("hag"));
    assert_eq!(
        told(&out),
        [
            "presence unavailable to hag",
            "presence unavailable to crone"
        ]
    );
    let codes = |tell: &Tell| {
        let x = tell.stanza.child("x", ns::MUC_USER).unwrap();
        let status = x.children().filter(|el| el.name() == "status");
        let codes = status.filter_map(|el| el.attr("code").map(str::to_owned));
        codes.collect::<Vec<_>>()
    };
    assert_eq!(codes(&out.tells[0]), ["110", "332"]);
    assert!(codes(&out.tells[1]).is_empty());
    assert_eq!((play.role("hag"), play.room.count()), (Role::None, 1));
}

#[test]
fn where_nobody_may_register_nobody_does() {
    let closed = field(
        "{http://prosody.im/protocol/muc}roomconfig_allow_register",
        "0",
    );
    let mut play = Play::with(&closed, &[]);
    let out = ask(&mut play, "hag", "third");
    assert_eq!(condition(&out), Some(Condition::NotAllowed));
    let query = "<query xmlns='jabber:iq:register'/>";
    let out = play.send(
        "hag",
        &format!("<iq type='get' id='r' to='{ROOM}'>{query}</iq>"),
    );
    assert_eq!(condition(&out), Some(Condition::NotAllowed));
    let out = ask(&mut play, "crone", "first");
    assert_eq!(
        condition(&out),
        None,
        "who is on a list may choose a nickname"
    );
}
