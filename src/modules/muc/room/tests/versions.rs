//! Versions of the lists (XEP-0463): who learns of which change, and who does not.

use super::*;

const OPEN: &str = "<field var='muc#roomconfig_whois'><value>anyone</value></field>";

fn enter(play: &mut Play, who: &str, since: Option<&str>) -> Out {
    let since = since.map(|since| format!(" since='{since}'"));
    let since = since.unwrap_or_default();
    play.send(
        who,
        &format!(
            "<presence to='{ROOM}/{who}'><x xmlns='{}'><mav xmlns='{}'{since}/></x></presence>",
            ns::MUC,
            ns::MUC_AFFILIATIONS
        ),
    )
}

fn leave(play: &mut Play, who: &str) {
    let leave = format!("<presence type='unavailable' to='{ROOM}/{who}'/>");
    play.send(who, &leave);
}

/// The versions and the items of all that somebody is told.
fn versions(out: &Out, who: &str) -> Vec<(Option<String>, String, Vec<String>)> {
    let of = |tell: &&Tell| tell.to.iter().any(|to| to.node() == Some(who));
    let read = |tell: &Tell| {
        let x = tell.stanza.child("x", ns::MUC_USER)?;
        let mav = x.child("mav", ns::MUC_AFFILIATIONS)?;
        let items = x.children().filter(|el| el.name() == "item");
        let items = items.map(|item| {
            let jid = item.attr("jid").unwrap_or_default();
            format!("{jid} {}", item.attr("affiliation").unwrap())
        });
        let attr = |name: &str| mav.attr(name).map(str::to_owned);
        Some((attr("since"), attr("until")?, items.collect()))
    };
    out.tells.iter().filter(of).filter_map(read).collect()
}

/// The version that somebody who enters hears last.
fn version(out: &Out, who: &str) -> String {
    versions(out, who).pop().unwrap().1
}

#[test]
fn only_so_many_changes_are_remembered() {
    let mut play = Play::with(OPEN, &[]);
    let first = version(&enter(&mut play, "hag", None), "hag");
    leave(&mut play, "hag");
    for n in 0..4 {
        play.admin(
            "crone",
            &format!("<item affiliation='member' jid='m{n}@x'/>"),
        );
    }
    let told = versions(&enter(&mut play, "hag", Some(&first)), "hag");
    assert_eq!(told[0].0.as_deref(), Some(first.as_str()));
    assert_eq!(told[0].2.len(), 4, "the four that changed");
    leave(&mut play, "hag");
    play.admin("crone", "<item affiliation='member' jid='m4@x'/>");
    assert_eq!(play.room.stored.as_ref().unwrap().changes.len(), 4);
    let told = versions(&enter(&mut play, "hag", Some(&first)), "hag");
    assert_eq!(told[0].0, None);
    assert_eq!(told[0].2.len(), 6, "all of them, and the owner");
}

#[test]
fn a_long_list_comes_in_parts_that_follow_each_other() {
    let mut play = Play::with(OPEN, &[]);
    let long = "x".repeat(900);
    for n in 0..50 {
        let member = Affiliate {
            affiliation: Affiliation::Member,
            ..Affiliate::default()
        };
        let stored = play.room.stored.as_mut().unwrap();
        stored
            .affiliates
            .insert(jid(&format!("{long}{n}@x")), member);
    }
    let told = versions(&enter(&mut play, "hag", None), "hag");
    assert_eq!(told.len(), 3, "two parts, and itself");
    assert_eq!(told[0].0, None);
    assert_eq!(told[1].0.as_ref(), Some(&told[0].1));
    assert_eq!(told[1].1, told[2].1);
    assert_eq!(told[0].2.len() + told[1].2.len(), 51);
    // What is between them is no version.
    let told = versions(&enter(&mut play, "hag", Some(&told[0].1)), "hag");
    assert_eq!(told[0].0, None);
}

#[test]
fn nobody_learns_who_is_banned_from_the_versions() {
    let mut play = Play::with(OPEN, &["hag"]);
    let before = version(&enter(&mut play, "hag", None), "hag");
    let out = play.admin("crone", "<item affiliation='outcast' jid='foe@y'/>");
    assert_eq!(versions(&out, "hag"), []);
    assert_eq!(versions(&out, "crone").len(), 1);
    assert_eq!(
        version(&enter(&mut play, "hag", Some(&before)), "hag"),
        before
    );
    // A member that is banned is no member any more; more is not said to who may not see it.
    play.admin("crone", "<item affiliation='member' jid='false@y'/>");
    let out = play.admin("crone", "<item affiliation='outcast' jid='false@y'/>");
    assert_eq!(versions(&out, "hag")[0].2, ["false@y none"]);
    assert_eq!(versions(&out, "crone")[0].2, ["false@y outcast"]);
    let told = versions(&enter(&mut play, "hag", Some(&before)), "hag");
    assert_eq!(told[0].2, ["false@y none"]);
    // An admin sees more, which is another list: it gets all of it.
    play.admin("crone", "<item affiliation='admin' jid='hag@x'/>");
    let told = versions(&enter(&mut play, "hag", Some(&told[0].1)), "hag");
    assert_eq!(told[0].0, None);
    assert!(told[0].2.contains(&"foe@y outcast".to_owned()), "{told:?}");
}

#[test]
fn nobody_learns_what_changed_while_it_was_no_member() {
    let fields = OPEN.to_owned() + &field("muc#roomconfig_membersonly", "1");
    let mut play = Play::with(&fields, &[]);
    play.admin("crone", "<item affiliation='member' jid='hag@x'/>");
    let before = version(&enter(&mut play, "hag", None), "hag");
    play.admin("crone", "<item affiliation='none' jid='hag@x'/>");
    play.admin("crone", "<item affiliation='member' jid='wicca@x'/>");
    play.admin("crone", "<item affiliation='member' jid='hag@x'/>");
    // It was one when it got that version, and not when the one before that was given to somebody.
    let out = enter(&mut play, "hag", Some(&before));
    assert_eq!(condition(&out), None);
    let out = enter(&mut play, "wicca", Some(&before));
    assert_eq!(condition(&out), Some(Condition::Forbidden));
    assert_eq!(play.role("wicca"), Role::Participant, "it is there");
}

#[test]
fn whoever_keeps_no_list_by_name_is_told_once() {
    let mut play = Play::with(OPEN, &["hag"]);
    play.send(
        "hag",
        &format!("<presence to='{ROOM}/hag'><show>away</show></presence>"),
    );
    let out = play.admin("crone", "<item affiliation='outcast' jid='x'/>");
    // The whole domain is banned, and who is on no list of it goes: the lists show the domain.
    assert_eq!(play.role("hag"), Role::None);
    assert_eq!(versions(&out, "crone")[0].2, ["x outcast"]);
}
