//! What rooms have beside XEP-0045: hats, a picture, tokens, how much is said.

use super::*;

fn command(play: &mut Play, who: &str, node: &str, fields: &str) -> Out {
    play.send(
        who,
        &format!(
            "<iq type='set' id='c' to='{ROOM}'><command xmlns='{}' node='urn:xmpp:hats:commands:{node}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></command></iq>",
            ns::COMMANDS
        ),
    )
}

fn create(play: &mut Play, who: &str, uri: &str, hue: &str) -> Out {
    let fields = field("hats#title", "Host") + &field("hats#uri", uri) + &field("hats#hue", hue);
    command(play, who, "create", &fields)
}

fn give(play: &mut Play, who: &str, to: &str, uri: &str) -> Out {
    let fields = field("hats#jid", to) + &field("hats#uri", uri);
    command(play, who, "assign", &fields)
}

#[test]
fn hats_are_bounded_and_only_admins_give_them() {
    let mut play = Play::with("", &["hag"]);
    let out = create(&mut play, "hag", "a", "");
    assert_eq!(condition(&out), Some(Condition::Forbidden));
    for hue in ["361", "-1", "red", "NaN"] {
        let out = create(&mut play, "crone", "a", hue);
        assert_eq!(condition(&out), Some(Condition::NotAcceptable), "{hue}");
    }
    for uri in ["a", "b", "a"] {
        assert_eq!(condition(&create(&mut play, "crone", uri, "30")), None);
    }
    let out = create(&mut play, "crone", "c", "");
    assert_eq!(condition(&out), Some(Condition::ResourceConstraint));
    assert_eq!(play.room.reached(), Some(Bound::Hats));
    let out = give(&mut play, "crone", "hag@x", "c");
    assert!(refused(&out), "there is no such hat");
    let out = give(&mut play, "crone", "hag@x", "a");
    assert!(!refused(&out) && !out.batch.is_empty());
    // Everybody who enters later sees it, and it goes with the hat.
    let shown = |out: &Out| {
        let mut tells = out.tells.iter().map(|tell| &tell.stanza);
        tells.any(|stanza| stanza.child("hats", ns::HATS).is_some())
    };
    assert!(shown(&out) && shown(&play.join("wicca", "wicca")));
    let out = command(&mut play, "crone", "destroy", &field("hats#uri", "a"));
    assert!(!shown(&out) && told(&out).contains(&"presence - to wicca".to_owned()));
    assert!(play.room.stored.as_ref().unwrap().record.worn.is_empty());
}

#[test]
fn only_owners_set_a_picture_and_it_is_bounded() {
    let mut play = Play::with("", &["hag"]);
    let set = |play: &mut Play, who: &str, data: &str| {
        let vcard = format!(
            "<vCard xmlns='{}'><PHOTO><BINVAL>{data}</BINVAL></PHOTO></vCard>",
            ns::VCARD
        );
        play.send(
            who,
            &format!("<iq type='set' id='v' to='{ROOM}'>{vcard}</iq>"),
        )
    };
    for (who, data, refused) in [
        ("hag", "AAEC", Some(Condition::Forbidden)),
        ("crone", "?", Some(Condition::BadRequest)),
        (
            "crone",
            "AAEC".repeat(300).as_str(),
            Some(Condition::NotAcceptable),
        ),
        ("crone", "AA\n EC", None),
    ] {
        assert_eq!(
            condition(&set(&mut play, who, data)),
            refused,
            "{who} {data}"
        );
    }
    let stored = play.room.stored.as_ref().unwrap();
    assert_eq!(stored.record.pictures.len(), 1);
    let mut locked = Play::new();
    locked.join("crone", "crone");
    let out = set(&mut locked, "crone", "AAEC");
    assert_eq!(condition(&out), Some(Condition::NotAllowed));
}

fn token(play: &mut Play, who: &str, attributes: &str) -> Out {
    let request = format!("<request xmlns='{}' {attributes}/>", ns::MUC_TOKEN_INVITE);
    play.send(
        who,
        &format!("<iq type='set' id='t' to='{ROOM}'>{request}</iq>"),
    )
}

fn given(out: &Out) -> String {
    let token = out.tells[0].stanza.child("token", ns::MUC_TOKEN_INVITE);
    token.unwrap().text().into_owned()
}

fn come(play: &mut Play, who: &str, token: &str) -> Option<Condition> {
    let x = format!("<x xmlns='{}'><password>{token}</password></x>", ns::MUC);
    condition(&play.send(who, &format!("<presence to='{ROOM}/{who}'>{x}</presence>")))
}

#[test]
fn tokens_end_by_number_and_by_time() {
    let mut play = Play::with(&field("muc#roomconfig_membersonly", "1"), &[]);
    for wrong in ["counter='0'", "delay='-1'", "delay='x'"] {
        let out = token(&mut play, "crone", wrong);
        assert_eq!(condition(&out), Some(Condition::BadRequest), "{wrong}");
    }
    let once = given(&token(&mut play, "crone", "counter='1'"));
    let out = token(&mut play, "crone", "delay='5000'");
    let shown = out.tells[0]
        .stanza
        .child("token", ns::MUC_TOKEN_INVITE)
        .unwrap();
    assert_eq!(
        shown.attr("delay"),
        Some("1000"),
        "no longer than the service lets it"
    );
    let long = given(&out);
    let out = token(&mut play, "crone", "");
    assert_eq!(condition(&out), Some(Condition::ResourceConstraint));
    assert_eq!(play.room.reached(), Some(Bound::Tokens));

    // Who is a member already, or is not let in, spends none.
    play.admin("crone", "<item affiliation='member' jid='hag@x'/>");
    play.admin("crone", "<item affiliation='outcast' jid='eve@x'/>");
    assert_eq!(come(&mut play, "hag", &once), None);
    assert_eq!(come(&mut play, "eve", &once), Some(Condition::Forbidden));
    assert_eq!(come(&mut play, "wicca", &once), None);
    assert_eq!(play.room.affiliation(&jid("wicca@x")), Affiliation::Member);
    assert_eq!(
        come(&mut play, "bess", &once),
        Some(Condition::NotAuthorized)
    );
    play.wall += 1_000_000;
    assert_eq!(
        come(&mut play, "bess", &long),
        Some(Condition::NotAuthorized)
    );
    assert_eq!(
        condition(&token(&mut play, "crone", "")),
        None,
        "there is room again"
    );
    // Members make tokens if the room lets them invite.
    assert_eq!(
        condition(&token(&mut play, "hag", "")),
        Some(Condition::Forbidden)
    );
}

#[test]
fn what_is_said_is_counted_where_everybody_may_know() {
    let stays = field("muc#roomconfig_persistentroom", "1");
    let mut play = Play::with(&stays, &["hag"]);
    for n in 0..6 {
        play.say("hag", &format!("m{n}"));
    }
    let correction = "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>";
    play.send(
        "hag",
        &format!("<message type='groupchat' to='{ROOM}'><body>x</body>{correction}</message>"),
    );
    let later = play.wall + 2 * 3_600_000;
    assert_eq!(play.room.activity(play.wall), None);
    assert_eq!(play.room.activity(later), Some(3.0));
    let mut play = Play::with(
        &(stays + &field("muc#roomconfig_publicroom", "0")),
        &["hag"],
    );
    play.say("hag", "m");
    assert_eq!(play.room.activity(later), None);
}

#[test]
fn history_is_bounded_by_time_as_who_enters_asks() {
    let mut play = Play::with("", &[]);
    play.say("crone", "old");
    play.wall += 200_000;
    play.say("crone", "new");
    play.wall += 1_000;
    let mut heard = |who: &str, asks: &str| {
        let x = format!("<x xmlns='{}'><history {asks}/></x>", ns::MUC);
        let out = play.send(who, &format!("<presence to='{ROOM}/{who}'>{x}</presence>"));
        let said = out
            .tells
            .iter()
            .filter(|tell| tell.stanza.child("body", ns::CLIENT).is_some());
        said.map(|tell| tell.stanza.id.as_deref().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(heard("a", "seconds='180'"), ["new"]);
    assert_eq!(heard("b", "since='1970-01-01T00:00:00Z'"), ["old", "new"]);
    assert_eq!(heard("c", "since='1970-01-01T00:20:00Z'"), ["new"]);
    assert_eq!(heard("d", "maxchars='0'"), Vec::<String>::new());
}

#[test]
fn what_an_owner_brought_along_keeps_its_time() {
    let mut play = Play::with("", &["hag"]);
    for who in ["crone", "hag"] {
        let brought = format!(
            "<message type='groupchat' to='{ROOM}'><body>x</body><delay xmlns='{}' from='{who}@x/pc' stamp='2004-09-29T01:54:37Z'/></message>",
            ns::DELAY
        );
        assert!(!refused(&play.send(who, &brought)));
    }
    let out = play.join("wicca", "wicca");
    let said = out
        .tells
        .iter()
        .filter(|tell| tell.stanza.child("body", ns::CLIENT).is_some());
    let delays: Vec<usize> = said
        .map(|tell| {
            let delays = tell
                .stanza
                .children()
                .filter(|el| el.is("delay", ns::DELAY));
            delays.count()
        })
        .collect();
    assert_eq!(delays, [1, 2], "the owner's own, and that of the room");
}

#[test]
fn everything_passes() {
    let mut play = Play::with("", &[]);
    let query = format!(
        "<query xmlns='{}' node='{}#traffic'/>",
        ns::DISCO_INFO,
        ns::MUC
    );
    let out = play.send(
        "hag",
        &format!("<iq type='get' id='t' to='{ROOM}'>{query}</iq>"),
    );
    assert_eq!(condition(&out), Some(Condition::ServiceUnavailable));
}
