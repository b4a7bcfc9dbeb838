//! The rules of a room by themselves: what is said to whom, and what is written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

mod bans;
mod barred;
mod flood;
mod guests;
mod members;
mod more;
mod secrets;
mod versions;

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::xml::{Context, Limits, parse};

const ROOM: &str = "coven@chat.x";

/// A room with a clock that stands still.
struct Play {
    room: Room,
    now: Instant,
    wall: u64,
}

fn rules() -> Rules {
    Rules {
        occupants: 10,
        sessions: 3,
        joins: 10,
        acts: 10,
        nick: 100,
        history: 3,
        page: 10,
        page_bytes: 10_000,
        affiliations: 10,
        changes: 4,
        speakers: 2,
        requests: 2,
        tokens: 2,
        token_life: 1_000,
        hats: 2,
        profile: 1_000,
        text: 100,
        window: 2,
        participants: 10,
        group_info: 1_000,
        options: Options::default(),
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

impl Play {
    fn new() -> Play {
        Play {
            room: Room::new(jid(ROOM), Arc::new(rules()), None, Vec::new()),
            now: Instant::now(),
            wall: 1_000_000,
        }
    }

    /// A room that crone made with these fields, where these others have come.
    fn with(fields: &str, others: &[&str]) -> Play {
        let mut play = Play::new();
        play.join("crone", "crone");
        play.send(
            "crone",
            &format!(
                "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>",
                ns::MUC_OWNER
            ),
        );
        for other in others {
            let out = play.join(other, other);
            assert!(!refused(&out), "{other}: {out:?}");
        }
        play
    }

    fn send(&mut self, who: &str, xml: &str) -> Out {
        let stanza = parse(xml.as_bytes(), &Context::client(), &Limits::default()).unwrap();
        let stanza = Stanza::from_element(stanza).unwrap();
        let actor = Actor {
            jid: jid(&format!("{who}@x/pc")),
            may_create: Ok(()),
            barred: who.starts_with("spam"),
            may_all: false,
        };
        let now = Now {
            wall: self.wall,
            instant: self.now,
            number: &|| Rid(1),
            found: None,
        };
        let to = stanza.to.clone().unwrap();
        self.room.handle(&actor, &to, &stanza, &now)
    }

    fn join(&mut self, who: &str, nick: &str) -> Out {
        let join = format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
            ns::MUC
        );
        self.send(who, &join)
    }

    fn say(&mut self, who: &str, id: &str) -> Out {
        let say =
            format!("<message type='groupchat' id='{id}' to='{ROOM}'><body>{id}</body></message>");
        self.send(who, &say)
    }

    fn admin(&mut self, who: &str, item: &str) -> Out {
        let set = format!(
            "<iq type='set' id='a' to='{ROOM}'><query xmlns='{}'>{item}</query></iq>",
            ns::MUC_ADMIN
        );
        self.send(who, &set)
    }

    fn role(&self, nick: &str) -> Role {
        let there = self.room.occupants.by_nick(nick);
        there.map_or(Role::None, |there| there.role)
    }
}

fn refused(out: &Out) -> bool {
    condition(out).is_some()
}

fn condition(out: &Out) -> Option<Condition> {
    let error = out.tells.iter().find(|tell| tell.stanza.kind.is_error())?;
    let error = error.stanza.child("error", ns::CLIENT)?;
    Some(StanzaError::parse(error).condition)
}

/// Who gets what, in order: the recipients, and the name of the stanza with its type.
fn told(out: &Out) -> Vec<String> {
    let tell = |tell: &Tell| {
        let kind = tell.stanza.kind;
        let kind = format!("{} {}", kind.name(), kind.type_attr().unwrap_or("-"));
        let to: Vec<_> = tell.to.iter().filter_map(Jid::node).collect();
        format!("{kind} to {}", to.join(" "))
    };
    out.tells.iter().map(tell).collect()
}

fn field(var: &str, value: &str) -> String {
    format!("<field var='{var}'><value>{value}</value></field>")
}

#[test]
fn a_room_is_written_when_it_is_configured_and_not_before() {
    let mut play = Play::new();
    let out = play.join("crone", "crone");
    assert!(out.batch.is_empty() && play.room.is_locked());
    let out = play.say("crone", "m");
    assert!(
        out.batch.is_empty(),
        "there is nothing on disk to go with it"
    );
    let leave = format!("<presence type='unavailable' to='{ROOM}/crone'/>");
    let out = play.send("crone", &leave);
    assert!(!play.room.exists() && out.batch.is_empty() && out.cleared.is_none());

    let mut play = Play::with("", &["hag"]);
    let out = play.say("hag", "m");
    assert!(!out.batch.is_empty());
    assert_eq!(told(&out), ["message groupchat to crone hag"]);
    play.send(
        "hag",
        &format!("<presence type='unavailable' to='{ROOM}/hag'/>"),
    );
    let out = play.send("crone", &leave);
    assert_eq!(
        out.cleared,
        Some(Rid(1)),
        "the last one takes a temporary room along"
    );
    assert!(!play.room.exists());
}

#[test]
fn what_needs_no_disk_waits_for_none() {
    let mut play = Play::with("", &["hag"]);
    let typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let out = play.send(
        "hag",
        &format!("<message type='groupchat' to='{ROOM}'>{typing}</message>"),
    );
    assert!(out.batch.is_empty() && !refused(&out));
    let out = play.send(
        "hag",
        &format!("<message type='groupchat' to='{ROOM}'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>"),
    );
    assert!(out.batch.is_empty() && !refused(&out));
    assert!(play.room.history.is_empty());
    let mut play = Play::with(&field("muc#roomconfig_enablearchiving", "0"), &["hag"]);
    let out = play.say("hag", "m");
    assert!(out.batch.is_empty());
    assert_eq!(play.room.history.len(), 1);
}

#[test]
fn the_history_in_memory_is_bounded_and_its_ids_rise() {
    let mut play = Play::with("", &[]);
    for n in 0..10 {
        play.say("crone", &format!("m{n}"));
    }
    let ids: Vec<_> = play.room.history.iter().map(|said| said.mid).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted());
}

#[test]
fn presence_has_two_forms_and_only_moderators_see_addresses() {
    let mut play = Play::with("", &["a", "b", "c"]);
    let out = play.join("hag", "hag");
    let arrival = format!("{ROOM}/hag");
    let of_hag = out.tells.iter().filter(|tell| {
        tell.stanza
            .from
            .as_ref()
            .is_some_and(|from| from.as_str() == arrival)
    });
    let shown: Vec<(usize, bool)> = of_hag
        .map(|tell| {
            let x = tell.stanza.child("x", ns::MUC_USER).unwrap();
            let item = x.child("item", ns::MUC_USER).unwrap();
            (tell.to.len(), item.attr("jid").is_some())
        })
        .collect();
    // The moderator, the three others, itself.
    assert_eq!(shown, [(1, true), (3, false), (1, true)]);
}

#[test]
fn who_is_put_out_learns_it_first_and_the_moderator_before_the_others() {
    let mut play = Play::with("", &["a", "hag"]);
    let out = play.admin("crone", "<item nick='hag' role='none'/>");
    assert_eq!(
        told(&out),
        [
            "presence unavailable to hag",
            "iq result to crone",
            "presence unavailable to crone",
            "presence unavailable to a",
        ]
    );
}

#[test]
fn nobody_rises_above_who_lets_him() {
    let mut play = Play::with("", &["admin", "member", "hag", "mod"]);
    play.admin("crone", "<item affiliation='admin' jid='admin@x'/>");
    play.admin("crone", "<item affiliation='member' jid='member@x'/>");
    play.admin("crone", "<item nick='mod' role='moderator'/>");
    assert_eq!(play.role("mod"), Role::Moderator);
    for (who, item, error) in [
        (
            "hag",
            "<item nick='member' role='none'/>",
            Condition::Forbidden,
        ),
        (
            "hag",
            "<item affiliation='owner' jid='hag@x'/>",
            Condition::Forbidden,
        ),
        (
            "mod",
            "<item nick='member' role='none'/>",
            Condition::NotAllowed,
        ),
        (
            "mod",
            "<item nick='crone' role='visitor'/>",
            Condition::NotAllowed,
        ),
        (
            "mod",
            "<item nick='hag' role='moderator'/>",
            Condition::Forbidden,
        ),
        (
            "mod",
            "<item affiliation='outcast' jid='hag@x'/>",
            Condition::Forbidden,
        ),
        (
            "admin",
            "<item nick='crone' role='none'/>",
            Condition::NotAllowed,
        ),
        (
            "admin",
            "<item nick='crone' role='participant'/>",
            Condition::NotAllowed,
        ),
        (
            "admin",
            "<item affiliation='none' jid='crone@x'/>",
            Condition::NotAllowed,
        ),
        (
            "admin",
            "<item affiliation='admin' jid='hag@x'/>",
            Condition::Forbidden,
        ),
        (
            "crone",
            "<item affiliation='outcast' jid='crone@x'/>",
            Condition::Conflict,
        ),
        (
            "crone",
            "<item affiliation='none' jid='crone@x'/>",
            Condition::Conflict,
        ),
        (
            "crone",
            "<item affiliation='none' jid='a@b@c'/>",
            Condition::JidMalformed,
        ),
        (
            "crone",
            "<item affiliation='king' jid='hag@x'/>",
            Condition::BadRequest,
        ),
    ] {
        let out = play.admin(who, item);
        assert_eq!(condition(&out), Some(error), "{who}: {item}");
        assert!(out.batch.is_empty(), "{who}: {item}");
    }
    for (who, item) in [
        ("mod", "<item nick='hag' role='visitor'/>"),
        ("mod", "<item nick='hag' role='none'/>"),
        ("admin", "<item nick='mod' role='participant'/>"),
        ("admin", "<item affiliation='none' jid='member@x'/>"),
        ("admin", "<item affiliation='none' jid='admin@x'/>"),
        ("crone", "<item affiliation='owner' jid='member@x'/>"),
        ("crone", "<item affiliation='none' jid='crone@x'/>"),
    ] {
        let out = play.admin(who, item);
        assert_eq!(condition(&out), None, "{who}: {item}");
    }
    assert_eq!(play.role("admin"), Role::Participant);
}

#[test]
fn all_changes_of_a_request_or_none() {
    let mut play = Play::with("", &["hag"]);
    let both =
        "<item affiliation='member' jid='hag@x'/><item affiliation='outcast' jid='crone@x'/>";
    let out = play.admin("crone", both);
    assert_eq!(condition(&out), Some(Condition::Conflict));
    assert_eq!(play.room.affiliation(&jid("hag@x")), Affiliation::None);
    let many: String = (0..20)
        .map(|n| format!("<item affiliation='outcast' jid='h{n}@x'/>"))
        .collect();
    let out = play.admin("crone", &many);
    assert_eq!(condition(&out), Some(Condition::ResourceConstraint));
}

#[test]
fn a_domain_is_banned_but_for_who_is_on_a_list() {
    let mut play = Play::with("", &[]);
    play.admin("crone", "<item affiliation='outcast' jid='y'/>");
    play.admin("crone", "<item affiliation='member' jid='friend@y'/>");
    assert_eq!(play.room.affiliation(&jid("foe@y")), Affiliation::Outcast);
    assert_eq!(play.room.affiliation(&jid("friend@y")), Affiliation::Member);
    assert_eq!(play.room.affiliation(&jid("foe@x")), Affiliation::None);
}

#[test]
fn who_cannot_be_reached_is_no_occupant() {
    let mut play = Play::with("", &["hag"]);
    let error = |condition: &str| {
        format!(
            "<message type='error' to='{ROOM}/crone'><error type='cancel'><{condition} xmlns='{}'/></error></message>",
            ns::STANZA_ERRORS
        )
    };
    // An answer to a private message is passed on.
    let out = play.send("hag", &error("policy-violation"));
    assert_eq!(told(&out), ["message error to crone"]);
    let out = play.send("hag", &error("remote-server-not-found"));
    assert_eq!(play.role("hag"), Role::None);
    assert_eq!(
        told(&out),
        [
            "presence unavailable to hag",
            "presence unavailable to crone"
        ]
    );
    let x = out.tells[1].stanza.child("x", ns::MUC_USER).unwrap();
    assert!(x.children().any(|el| el.attr("code") == Some("333")));
}

#[test]
fn an_occupant_has_one_id_under_every_nickname_and_another_in_another_room() {
    let mut play = Play::with("", &["hag"]);
    let id = |play: &Play, nick: &str| play.room.occupants.by_nick(nick).unwrap().id.clone();
    let before = id(&play, "hag");
    play.send("hag", &format!("<presence to='{ROOM}/witch'/>"));
    assert_eq!(id(&play, "witch"), before);
    assert_ne!(id(&Play::with("", &["hag"]), "hag"), before);
    assert_ne!(id(&play, "crone"), before);
}

#[test]
fn moderation_turns_on_and_off_with_everybody_there() {
    let mut play = Play::with("", &["hag"]);
    for (moderated, role) in [("1", Role::Visitor), ("0", Role::Participant)] {
        let fields = field("muc#roomconfig_moderatedroom", moderated);
        play.send(
            "crone",
            &format!("<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>", ns::MUC_OWNER),
        );
        assert_eq!(
            (play.role("hag"), play.role("crone")),
            (role, Role::Moderator)
        );
    }
}

#[test]
fn private_messages_go_as_far_as_the_owner_lets_them() {
    for (who, allowed) in [
        ("anyone", true),
        ("participants", true),
        ("moderators", false),
        ("none", false),
    ] {
        let mut play = Play::with(&field("muc#roomconfig_allowpm", who), &["hag"]);
        let whisper = format!("<message type='chat' to='{ROOM}/crone'><body>x</body></message>");
        let out = play.send("hag", &whisper);
        assert_eq!(
            condition(&out),
            (!allowed).then_some(Condition::Forbidden),
            "{who}"
        );
    }
}

#[test]
fn in_slow_mode_everybody_waits_but_for_owners() {
    let mut play = Play::with(&field("muc#roomconfig_slow_mode_duration", "20"), &["hag"]);
    assert_eq!(condition(&play.say("hag", "one")), None);
    let out = play.say("hag", "two");
    assert_eq!(condition(&out), Some(Condition::PolicyViolation));
    assert!(out.batch.is_empty());
    let typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let out = play.send(
        "hag",
        &format!("<message type='groupchat' to='{ROOM}'>{typing}</message>"),
    );
    assert_eq!(condition(&out), None);
    for id in ["three", "four"] {
        assert_eq!(condition(&play.say("crone", id)), None);
    }
    play.now += std::time::Duration::from_secs(21);
    assert_eq!(condition(&play.say("hag", "five")), None);
}

#[test]
fn slow_mode_makes_a_bounded_number_of_people_wait() {
    let slow = field("muc#roomconfig_slow_mode_duration", "20");
    let mut play = Play::with(&slow, &["hag", "wicca", "eve"]);
    for who in ["hag", "wicca"] {
        assert_eq!(condition(&play.say(who, "one")), None);
        assert_eq!(play.room.reached(), None);
    }
    assert_eq!(condition(&play.say("eve", "one")), None);
    assert_eq!(play.room.reached(), Some(Bound::Speakers));
    assert_eq!(
        condition(&play.say("hag", "two")),
        None,
        "the first is let off"
    );
    let out = play.say("eve", "two");
    assert_eq!(condition(&out), Some(Condition::PolicyViolation));
}

#[test]
fn a_crowd_at_the_door_waits() {
    let mut play = Play::with("", &[]);
    let full = (0..200).find(|n| {
        let who = format!("h{n}");
        play.join(&who, &who);
        play.send(
            &who,
            &format!("<presence type='unavailable' to='{ROOM}/{who}'/>"),
        );
        play.room.reached() == Some(Bound::Joins)
    });
    assert_eq!(full, Some(99), "the owner was the first of a hundred");
}
