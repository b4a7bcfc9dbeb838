//! Who does too much at once, and what a change for all leads to.

use std::time::Duration;

use super::*;

/// What was said to somebody, by kind.
fn heard(out: &Out, who: &str) -> usize {
    let who = jid(&format!("{who}@x/pc"));
    let tells = out.tells.iter().filter(|tell| tell.to.contains(&who));
    tells.count()
}

#[test]
fn who_floods_is_slowed_and_nobody_else() {
    let mut play = Play::with("", &["hag", "wicca"]);
    let mut said = 0;
    let refused = loop {
        let out = play.say("hag", "spam");
        if let Some(condition) = condition(&out) {
            assert_eq!((heard(&out, "hag"), heard(&out, "wicca")), (1, 0));
            break condition;
        }
        said += 1;
        assert!(said < 1_000, "there is no end");
    };
    assert_eq!(refused, Condition::PolicyViolation);
    assert!(said >= 90, "{said}: so many at once are right");
    // Whatever else it does counts as well, and another of its clients does not help; that it leaves is always right.
    for act in [
        format!("<presence to='{ROOM}/hag'><show>away</show></presence>"),
        format!("<presence to='{ROOM}/other'/>"),
        format!("<message to='{ROOM}/wicca' type='chat'><body>x</body></message>"),
    ] {
        assert!(super::refused(&play.send("hag", &act)), "{act}");
    }
    assert!(!super::refused(&play.say("wicca", "calm")));
    play.now += Duration::from_secs(1);
    assert!(!super::refused(&play.say("hag", "again")));
    let leave = format!("<presence type='unavailable' to='{ROOM}/hag'/>");
    assert_eq!(heard(&play.send("hag", &leave), "wicca"), 1);
}

#[test]
fn owners_may_say_as_much_as_they_like() {
    let mut play = Play::with("", &["hag"]);
    for n in 0..500 {
        assert!(!refused(&play.say("crone", "much")), "{n}");
    }
}

#[test]
fn who_enters_and_leaves_all_the_time_keeps_nobody_out() {
    let mut play = Play::with("", &[]);
    for _ in 0..1_000 {
        play.join("hag", "hag");
        let leave = format!("<presence type='unavailable' to='{ROOM}/hag'/>");
        play.send("hag", &leave);
    }
    assert_eq!(
        condition(&play.join("hag", "hag")),
        Some(Condition::PolicyViolation)
    );
    // It used up what it may itself, and what is free for all comes back at once.
    play.now += Duration::from_millis(100);
    assert!(!refused(&play.join("wicca", "wicca")));
}

#[test]
fn those_who_are_put_out_at_once_do_not_hear_of_each_other() {
    let mut play = Play::with("", &["hag", "wicca"]);
    let out = play.send(
        "crone",
        &format!(
            "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{}</x></query></iq>",
            ns::MUC_OWNER,
            field("muc#roomconfig_membersonly", "1"),
        ),
    );
    assert_eq!(
        (heard(&out, "hag"), heard(&out, "wicca")),
        (1, 1),
        "{out:?}"
    );
    // Both, the answer, and that it was configured.
    assert_eq!(heard(&out, "crone"), 4);
}

#[test]
fn in_a_crowd_a_change_of_all_roles_is_no_storm() {
    let rules = Rules {
        occupants: 1_000,
        joins: 10_000,
        ..rules()
    };
    let mut play = Play::new();
    play.room = Room::new(jid(ROOM), Arc::new(rules), None, Vec::new());
    play.join("crone", "crone");
    let configure = |fields: &str| {
        format!(
            "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>",
            ns::MUC_OWNER
        )
    };
    play.send("crone", &configure(""));
    let crowd: Vec<String> = (0..300).map(|n| format!("u{n}")).collect();
    for who in &crowd {
        assert!(!refused(&play.join(who, who)));
    }
    let moderated = configure(&field("muc#roomconfig_moderatedroom", "1"));
    let out = play.send("crone", &moderated);
    let copies: usize = out.tells.iter().map(|tell| tell.to.len()).sum();
    assert!(copies < 1_000, "{copies}");
    // Each knows what it is now, and is.
    for who in &crowd {
        assert_eq!((heard(&out, who), play.role(who)), (2, Role::Visitor));
    }
}
