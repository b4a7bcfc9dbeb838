//! What a room keeps to itself, whoever asks: its lists, its people, what they are behind their nicknames.

use super::*;

fn ask(play: &mut Play, who: &str, ns: &str, inside: &str) -> Out {
    let iq = format!("<iq type='get' id='q' to='{ROOM}'><query xmlns='{ns}'>{inside}</query></iq>");
    play.send(who, &iq)
}

/// All that was said to somebody, as it is written.
fn read(out: &Out, who: &str) -> String {
    let who = jid(&format!("{who}@x/pc"));
    let tells = out.tells.iter().filter(|tell| tell.to.contains(&who));
    let texts = tells.map(|tell| String::from_utf8(tell.stanza.to_bytes().to_vec()).unwrap());
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn lists_are_for_admins_where_addresses_are_secret() {
    let mut play = Play::with(&field("muc#roomconfig_membersonly", "1"), &[]);
    for item in [
        "<item affiliation='member' jid='hag@x'/>",
        "<item affiliation='outcast' jid='wicca@x'/>",
        "<item affiliation='member' jid='far@x'/>",
    ] {
        assert!(!refused(&play.admin("crone", item)));
    }
    assert!(!refused(&play.join("hag", "hag")));
    for who in ["hag", "wicca", "stranger"] {
        for what in [
            "affiliation='member'",
            "affiliation='outcast'",
            "affiliation='admin'",
            "affiliation='owner'",
            "role='participant'",
        ] {
            let out = ask(&mut play, who, ns::MUC_ADMIN, &format!("<item {what}/>"));
            assert_eq!(condition(&out), Some(Condition::Forbidden), "{who} {what}");
            let told = read(&out, who);
            assert!(
                !told.contains("far@x") && !told.contains("crone@x"),
                "{told}"
            );
        }
    }
    // Who is there is told to who is there, by nickname.
    let inside = read(&ask(&mut play, "hag", ns::DISCO_ITEMS, ""), "hag");
    assert!(inside.contains("coven@chat.x/crone") && !inside.contains("crone@x"));
    let outside = ask(&mut play, "stranger", ns::DISCO_ITEMS, "");
    assert!(!read(&outside, "stranger").contains("crone"), "{outside:?}");
    let about = read(&ask(&mut play, "stranger", ns::DISCO_INFO, ""), "stranger");
    assert!(!about.contains("@x"), "{about}");
}

#[test]
fn addresses_stay_behind_nicknames_whatever_happens() {
    let mut play = Play::with("", &["hag", "wicca"]);
    let acts = [
        ("hag", format!("<presence to='{ROOM}/other'/>")),
        (
            "hag",
            format!("<message type='groupchat' id='m' to='{ROOM}'><body>x</body></message>"),
        ),
        (
            "hag",
            format!("<message type='chat' id='w' to='{ROOM}/wicca'><body>x</body></message>"),
        ),
        (
            "hag",
            format!(
                "<iq type='get' id='i' to='{ROOM}/wicca'><query xmlns='jabber:iq:version'/></iq>"
            ),
        ),
        (
            "hag",
            format!("<presence type='unavailable' to='{ROOM}/other'/>"),
        ),
        (
            "hag",
            format!(
                "<presence to='{ROOM}/hag'><x xmlns='{}'/></presence>",
                ns::MUC
            ),
        ),
    ];
    for (who, act) in acts {
        let told = read(&play.send(who, &act), "wicca");
        assert!(!told.is_empty() && !told.contains("hag@x"), "{act}: {told}");
    }
    let member = "<item affiliation='member' jid='hag@x'/>";
    let told = read(&play.admin("crone", member), "wicca");
    assert!(!told.contains("hag@x"), "{told}");
    let kick = "<item role='none' nick='hag'><reason>x</reason></item>";
    let told = read(&play.admin("crone", kick), "wicca");
    assert!(told.contains("307") && !told.contains("hag@x"), "{told}");
}

#[test]
fn visitors_say_nothing_and_change_no_subject() {
    let fields =
        field("muc#roomconfig_moderatedroom", "1") + &field("muc#roomconfig_changesubject", "1");
    let mut play = Play::with(&fields, &["hag"]);
    assert_eq!(play.role("hag"), Role::Visitor);
    let subject =
        format!("<message type='groupchat' to='{ROOM}'><subject>Mine</subject></message>");
    for out in [play.send("hag", &subject), play.say("hag", "m")] {
        assert_eq!(condition(&out), Some(Condition::Forbidden));
        assert_eq!(read(&out, "crone"), "");
    }
}
