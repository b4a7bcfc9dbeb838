//! Who is named by a block list.

use super::*;

fn codes(tell: &Tell) -> Vec<String> {
    let x = tell.stanza.child("x", ns::MUC_USER).unwrap();
    let status = x.children().filter(|el| el.name() == "status");
    let code = status.filter_map(|el| el.attr("code"));
    code.map(str::to_owned).collect()
}

#[test]
fn who_is_barred_does_not_come_in_nor_make_itself_a_member() {
    let mut play = Play::with("", &[]);
    for out in [
        play.join("spammer", "spammer"),
        play.say("spammer", "buy"),
        play.send("spammer", &format!("<iq type='set' id='r' to='{ROOM}'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>{}</x></query></iq>", field("muc#register_roomnick", "n"))),
    ] {
        assert_eq!(condition(&out), Some(Condition::Forbidden));
        assert_eq!(out.tells.len(), 1, "nobody else hears of it");
    }
    let ask = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let out = play.send(
        "spammer",
        &format!("<iq type='get' id='d' to='{ROOM}'>{ask}</iq>"),
    );
    assert_eq!(condition(&out), None, "what everybody sees it sees");
    play.admin("crone", "<item affiliation='member' jid='spammer@x'/>");
    assert_eq!(condition(&play.join("spammer", "spammer")), None);
}

#[test]
fn who_is_there_already_goes_when_it_speaks_or_when_the_list_comes() {
    let mut play = Play::with("", &["hag", "eve"]);
    play.admin("crone", "<item affiliation='member' jid='eve@x'/>");
    let mut out = Out::default();
    play.room
        .put_out_barred(|bare| matches!(bare.node(), Some("hag" | "eve")), &mut out);
    assert_eq!(
        told(&out),
        [
            "presence unavailable to hag",
            "presence unavailable to crone",
            "presence unavailable to eve"
        ]
    );
    assert_eq!(codes(&out.tells[0]), ["301", "110"]);
    assert_eq!(codes(&out.tells[1]), ["301"]);
    // A list names somebody who has come before.
    let mut play = Play::with("", &["hag"]);
    let stanza = "<message type='groupchat' id='m'><body>buy</body></message>";
    let stanza = parse(stanza.as_bytes(), &Context::client(), &Limits::default()).unwrap();
    let actor = Actor {
        jid: jid("hag@x/pc"),
        may_create: Ok(()),
        barred: true,
        may_all: false,
    };
    let now = Now {
        wall: play.wall,
        instant: play.now,
        number: &|| Rid(1),
        found: None,
    };
    let stanza = Stanza::from_element(stanza).unwrap();
    let out = play.room.handle(&actor, &jid(ROOM), &stanza, &now);
    assert!(out.batch.is_empty() && play.room.history.is_empty());
    assert_eq!(play.role("hag"), Role::None);
    assert_eq!(told(&out)[0], "presence unavailable to hag");
}
