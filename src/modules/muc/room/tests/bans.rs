//! Bans that end by themselves.

use super::*;

const HOUR: u64 = 3_600_000;

fn ban(play: &mut Play, who: &str, whom: &str, hours: &str) -> Out {
    let fields = field("jid", whom) + &field("reason", "spam") + &field("hours", hours);
    play.send(
        who,
        &format!(
            "<iq type='set' id='b' to='{ROOM}'><command xmlns='{}' node='waxwing:room#ban' sessionid='1'><x xmlns='jabber:x:data' type='submit'>{fields}</x></command></iq>",
            ns::COMMANDS
        ),
    )
}

#[test]
fn a_ban_ends_when_its_time_is_over() {
    let mut play = Play::with("", &["hag"]);
    let out = ban(&mut play, "crone", "hag@x", "2");
    assert_eq!(
        told(&out),
        [
            "presence unavailable to hag",
            "iq result to crone",
            "presence unavailable to crone"
        ]
    );
    play.wall += 2 * HOUR - 1;
    let out = play.join("hag", "hag");
    assert_eq!(condition(&out), Some(Condition::Forbidden));
    play.wall += 1;
    let out = play.join("hag", "hag");
    assert_eq!(condition(&out), None);
    assert!(!out.batch.is_empty(), "it is off the list");
    assert_eq!(told(&out)[0], "message - to crone", "admins learn it");
    assert_eq!(play.room.listed_as(&jid("hag@x")), Affiliation::None);
    // Of two the first is not the last, and one by hand has no end.
    ban(&mut play, "crone", "a@x", "1");
    ban(&mut play, "crone", "y", "3");
    play.admin("crone", "<item affiliation='outcast' jid='b@x'/>");
    play.wall += 2 * HOUR;
    play.say("crone", "m");
    let listed = |who: &str| play.room.listed_as(&jid(who));
    assert_eq!(listed("a@x"), Affiliation::None);
    assert_eq!(listed("y"), Affiliation::Outcast);
    assert_eq!(listed("b@x"), Affiliation::Outcast);
}

#[test]
fn who_may_not_ban_bans_nobody_for_any_time() {
    let mut play = Play::with("", &["hag", "admin"]);
    play.admin("crone", "<item affiliation='admin' jid='admin@x'/>");
    for (who, whom, hours, error) in [
        ("hag", "admin@x", "1", Condition::Forbidden),
        ("admin", "crone@x", "1", Condition::NotAllowed),
        ("admin", "admin@x", "1", Condition::Conflict),
        ("admin", "hag@x", "0", Condition::NotAcceptable),
        ("admin", "hag@x", "ever", Condition::NotAcceptable),
        ("admin", "a@b@c", "1", Condition::NotAcceptable),
    ] {
        let out = ban(&mut play, who, whom, hours);
        assert_eq!(condition(&out), Some(error), "{who}: {whom} {hours}");
        assert!(out.batch.is_empty());
    }
}
