//! Rooms (XEP-0045) over the end of the server, a disk that fails, and what the settings bound.

use std::time::Duration;

use waxwing::proto::{Condition, ErrorType, Jid, ns};
use waxwing::runtime::clock::Clock;
use waxwing::state::rooms::{self, Record, Rid};
use waxwing::store::{Batch, EngineError, Options, Store};
use waxwing::xml::{Context, Element, Limits, parse};

use crate::support::client::{Builder, Client, Error};
use crate::support::process::Process;
use crate::support::server::{Running, start_faulty, start_over, start_server};

const ROOM: &str = "coven@conference.localhost";

fn el(text: &str) -> Element {
    parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
}

async fn connect(builder: Builder, addr: std::net::SocketAddr) -> Client {
    builder.connect(addr).await.unwrap()
}

/// Enters, and takes everything up to the subject: the messages of the history, and the subject.
async fn enter(client: &mut Client, nick: &str) -> (Vec<Element>, String) {
    let join = format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let mut history = Vec::new();
    loop {
        let got = client.next(Duration::from_secs(10)).await.unwrap();
        assert_ne!(got.attr("type"), Some("error"), "{got:?}");
        match got.child("subject", ns::CLIENT) {
            Some(subject) => return (history, subject.text().into_owned()),
            None if got.is("message", ns::CLIENT) => history.push(got),
            None => {}
        }
    }
}

async fn configure(client: &mut Client, fields: &[(&str, &str)]) {
    let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    for (var, value) in fields {
        let value = Element::new("value", ns::DATA_FORM).with_text(value);
        let field = Element::new("field", ns::DATA_FORM).with_attr("var", var);
        x = x.with_child(field.with_child(value));
    }
    let query = Element::new("query", ns::MUC_OWNER).with_child(x);
    client.request("set", Some(ROOM), query).await.unwrap();
}

/// Says something and takes what comes back of it.
async fn say(client: &mut Client, id: &str) -> Element {
    let message =
        format!("<message type='groupchat' id='{id}' to='{ROOM}'><body>{id}</body></message>");
    client.send(message.as_str()).await.unwrap();
    came(client, id).await
}

async fn came(client: &mut Client, id: &str) -> Element {
    let own = |el: &Element| el.is("message", ns::CLIENT) && el.attr("id") == Some(id);
    client.wait_for(id, own).await.unwrap()
}

fn stanza_id(message: &Element) -> String {
    let id = message.child("stanza-id", ns::STANZA_ID).unwrap();
    assert_eq!(id.attr("by"), Some(ROOM));
    id.attr("id").unwrap().to_owned()
}

fn condition<T: std::fmt::Debug>(answer: Result<T, Error>) -> Condition {
    match answer {
        Err(Error::Refused(error)) => error.condition,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_room_survives_a_kill_with_all_that_was_said() {
    let mut server = Process::start(&["crone1", "hag66", "wiccarocks"], &[]);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(
        &mut crone,
        &[
            ("muc#roomconfig_persistentroom", "1"),
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_roomname", "A Dark Cave"),
        ],
    )
    .await;
    let member = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='hag66@localhost' nick='thirdwitch'/></query>";
    crone.request("set", Some(ROOM), el(member)).await.unwrap();
    let subject =
        format!("<message type='groupchat' id='s' to='{ROOM}'><subject>Spells</subject></message>");
    crone.send(subject.as_str()).await.unwrap();
    came(&mut crone, "s").await;
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(stanza_id(&say(&mut crone, &format!("m{n}")).await));
    }
    server.kill();
    drop(crone);
    server.restart();

    let mut hag = connect(server.client("hag66"), server.addr).await;
    let (history, subject) = enter(&mut hag, "thirdwitch").await;
    assert_eq!(history.iter().map(stanza_id).collect::<Vec<_>>(), said);
    assert_eq!(subject, "Spells");
    let info = Element::new("query", ns::DISCO_INFO);
    let info = hag.request("get", Some(ROOM), info).await.unwrap();
    let info = format!("{info:?}");
    for what in ["A Dark Cave", "muc_membersonly", "muc_persistent"] {
        assert!(info.contains(what), "{what}: {info}");
    }
    // Later messages have later ids.
    let later = stanza_id(&say(&mut hag, "later").await);
    assert!(said.iter().all(|id| *id < later));
    let mut stranger = connect(server.client("wiccarocks"), server.addr).await;
    let join = format!(
        "<presence to='{ROOM}/x'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    stranger.send(join.as_str()).await.unwrap();
    let refused = stranger.next(Duration::from_secs(10)).await.unwrap();
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("registration-required", ns::STANZA_ERRORS));
}

#[tokio::test]
async fn a_temporary_room_ends_with_a_kill() {
    let mut server = Process::start(&["crone1"], &[]);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[("muc#roomconfig_roomname", "A Dark Cave")]).await;
    say(&mut crone, "gone").await;
    server.kill();
    drop(crone);
    server.restart();
    let mut crone = connect(server.client("crone1"), server.addr).await;
    let rooms = Element::new("query", ns::DISCO_ITEMS);
    let rooms = crone.request("get", Some("conference.localhost"), rooms);
    let rooms = rooms.await.unwrap();
    let list = rooms.child("query", ns::DISCO_ITEMS).unwrap();
    assert_eq!(list.children().count(), 0);
    let (history, _) = enter(&mut crone, "firstwitch").await;
    assert!(history.is_empty(), "{history:?}");
    let info = Element::new("query", ns::DISCO_INFO);
    let info = crone.request("get", Some(ROOM), info).await.unwrap();
    assert!(!format!("{info:?}").contains("A Dark Cave"));
}

#[tokio::test]
async fn who_resumes_after_a_restart_is_still_in_the_room() {
    let mut server = Process::start(&["crone1", "hag66"], &[]);
    let mut crone = connect(server.client("crone1").resumable(), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[]).await;
    let mut hag = connect(server.client("hag66").resumable(), server.addr).await;
    enter(&mut hag, "thirdwitch").await;
    say(&mut crone, "before").await;
    came(&mut hag, "before").await;
    server.terminate();
    server.wait(Duration::from_secs(20));
    let (crones, hags) = (crone.cut(), hag.cut());
    server.restart();
    let builder = server.client("crone1").resume(&crones.0, crones.1);
    let mut crone = connect(builder, server.addr).await;
    let builder = server.client("hag66").resume(&hags.0, hags.1);
    let mut hag = connect(builder, server.addr).await;
    assert!(crone.is_resumed() && hag.is_resumed());
    let after = say(&mut hag, "after").await;
    assert_eq!(after.attr("from"), Some(&*format!("{ROOM}/thirdwitch")));
    let seen = came(&mut crone, "after").await;
    assert_eq!(stanza_id(&seen), stanza_id(&after));
}

#[tokio::test]
async fn what_the_disk_refuses_nobody_sees() {
    let (server, faulty) = start_faulty().await;
    let crone = server.account("crone1").await.unwrap();
    let hag = server.account("hag66").await.unwrap();
    let mut crone = connect(server.client(&crone), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[]).await;
    let mut hag = connect(server.client(&hag), server.addr).await;
    enter(&mut hag, "thirdwitch").await;
    say(&mut crone, "one").await;
    came(&mut hag, "one").await;
    faulty.fail(1, EngineError::Refused("for the test".to_owned()));
    let lost =
        format!("<message type='groupchat' id='lost' to='{ROOM}'><body>lost</body></message>");
    crone.send(lost.as_str()).await.unwrap();
    let answer = came(&mut crone, "lost").await;
    assert_eq!(answer.attr("type"), Some("error"), "{answer:?}");
    // All are where they were, and the history does not have it.
    let two = say(&mut crone, "two").await;
    assert_eq!(two.attr("type"), Some("groupchat"));
    let seen = came(&mut hag, "two").await;
    assert_eq!(stanza_id(&seen), stanza_id(&two));
    let (history, _) = enter(&mut hag, "thirdwitch").await;
    let ids: Vec<_> = history.iter().filter_map(|said| said.attr("id")).collect();
    assert_eq!(ids, ["one", "two"]);
    server.stop().await;
}

#[tokio::test]
async fn a_room_that_is_full_lets_its_owner_in() {
    let server = start_server(&["modules.muc.occupants=2", "modules.muc.clients=1"]).await;
    let mut all = Vec::new();
    for name in ["crone1", "hag66", "wiccarocks"] {
        let jid = server.account(name).await.unwrap();
        all.push(connect(server.client(&jid), server.addr).await);
    }
    let [crone, hag, wicca] = &mut all[..] else {
        panic!("three")
    };
    enter(crone, "firstwitch").await;
    configure(crone, &[("muc#roomconfig_persistentroom", "1")]).await;
    enter(hag, "thirdwitch").await;
    let join = format!(
        "<presence to='{ROOM}/second'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    wicca.send(join.as_str()).await.unwrap();
    let refused = wicca.next(Duration::from_secs(10)).await.unwrap();
    let error = waxwing::proto::StanzaError::parse(refused.child("error", ns::CLIENT).unwrap());
    let wait = (Condition::ServiceUnavailable, ErrorType::Wait);
    assert_eq!((error.condition, error.kind), wait);
    let leave = format!("<presence to='{ROOM}/firstwitch' type='unavailable'/>");
    crone.send(leave.as_str()).await.unwrap();
    let gone = |el: &Element| el.attr("type") == Some("unavailable");
    hag.wait_for("who leaves", gone).await.unwrap();
    enter(wicca, "second").await;
    enter(crone, "firstwitch").await;
    server.stop().await;
}

#[tokio::test]
async fn only_who_may_makes_rooms_and_no_ghost_stays() {
    let server = start_server(&["modules.muc.create=admins"]).await;
    let jid = server.account("crone1").await.unwrap();
    let mut crone = connect(server.client(&jid), server.addr).await;
    let join = format!(
        "<presence to='{ROOM}/a' id='j'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    crone.send(join.as_str()).await.unwrap();
    let refused = crone.next(Duration::from_secs(10)).await.unwrap();
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("not-allowed", ns::STANZA_ERRORS));
    let query = Element::new("query", ns::MUC_OWNER);
    let answer = crone.request("get", Some(ROOM), query).await;
    assert_eq!(condition(answer), Condition::ItemNotFound);
    server.stop().await;
}

#[tokio::test]
async fn administrators_that_were_added_make_rooms_like_those_of_the_configuration() {
    let server = Process::start(&["crone1"], &["modules.muc.create=admins"]);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    let join = format!(
        "<presence to='{ROOM}/a' id='j'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    crone.send(join.as_str()).await.unwrap();
    let refused = came_presence(&mut crone, "j").await;
    assert_eq!(refused.attr("type"), Some("error"), "{refused:?}");
    let (done, _, err) = server.run(&["admin", "edit", "localhost", "--add", "crone1@localhost"]);
    assert!(done, "{err}");
    crone.send(join.as_str()).await.unwrap();
    let made = came_presence(&mut crone, "j").await;
    assert_eq!(made.attr("type"), None, "{made:?}");
}

#[tokio::test]
async fn the_list_of_rooms_comes_in_pages() {
    let server = start_server(&["modules.muc.persistent=true"]).await;
    let jid = server.account("crone1").await.unwrap();
    let mut crone = connect(server.client(&jid), server.addr).await;
    for n in 1..=5 {
        let room = format!("r{n}@conference.localhost");
        let join = format!(
            "<presence to='{room}/a'><x xmlns='{}'/></presence>",
            ns::MUC
        );
        crone.send(join.as_str()).await.unwrap();
        let x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
        let query = Element::new("query", ns::MUC_OWNER).with_child(x);
        crone.request("set", Some(&room), query).await.unwrap();
    }
    let page = "<query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'><max>2</max><after>r2</after></set></query>";
    let list = crone.request("get", Some("conference.localhost"), el(page));
    let list = list.await.unwrap();
    let query = list.child("query", ns::DISCO_ITEMS).unwrap();
    let rooms: Vec<_> = query
        .children()
        .filter_map(|item| item.attr("jid"))
        .collect();
    assert_eq!(
        rooms,
        ["r3@conference.localhost", "r4@conference.localhost"]
    );
    let set = query.child("set", ns::RSM).unwrap();
    assert_eq!(set.child("count", ns::RSM).unwrap().text(), "5");
    let whole = Element::new("query", ns::DISCO_ITEMS);
    let whole = crone.request("get", Some("conference.localhost"), whole);
    let whole = whole.await.unwrap();
    let query = whole.child("query", ns::DISCO_ITEMS).unwrap();
    assert_eq!(query.children().count(), 5);
    assert!(Jid::parse(query.children().next().unwrap().attr("jid").unwrap()).is_ok());
    server.stop().await;
}

#[tokio::test]
async fn administrators_list_rooms_end_them_and_give_them_owners() {
    let server = Process::start(&["crone1", "hag66"], &[]);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[("muc#roomconfig_roomname", "A Dark Cave")]).await;
    let (done, out, err) = server.run(&["room", "list"]);
    assert!(done, "{err}");
    for what in [ROOM, "A Dark Cave", "crone1@localhost"] {
        assert!(out.contains(what), "{what}: {out}");
    }
    let (done, _, err) = server.run(&["room", "owner", "coven", "hag66@localhost"]);
    assert!(done, "{err}");
    let changed = |el: &Element| format!("{el:?}").contains("hag66@localhost");
    let owners =
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/></query>";
    let owners = crone.request("get", Some(ROOM), el(owners)).await.unwrap();
    assert!(changed(&owners), "{owners:?}");
    let (done, _, err) = server.run(&["room", "destroy", "nowhere", "--yes"]);
    assert!(
        !done && err.contains("there is no room nowhere@conference.localhost"),
        "{err}"
    );
    let (done, _, err) = server.run(&["room", "destroy", ROOM, "--reason", "The end", "--yes"]);
    assert!(done, "{err}");
    let gone = |el: &Element| el.attr("type") == Some("unavailable");
    let gone = crone.wait_for("the end of the room", gone).await.unwrap();
    assert!(format!("{gone:?}").contains("The end"), "{gone:?}");
}

async fn owner_form(client: &mut Client) -> Result<Element, Error> {
    let query = Element::new("query", ns::MUC_OWNER);
    client.request("get", Some(ROOM), query).await
}

#[tokio::test]
async fn who_administers_the_server_owns_no_room_for_that() {
    let sets = [r#"hosts.localhost.admins=["boss@localhost"]"#];
    let server = Process::start(&["crone1", "boss"], &sets);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[("muc#roomconfig_membersonly", "1")]).await;
    let mut boss = connect(server.client("boss"), server.addr).await;
    let join = format!(
        "<presence to='{ROOM}/boss' id='j'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    boss.send(join.as_str()).await.unwrap();
    let refused = came_presence(&mut boss, "j").await;
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("registration-required", ns::STANZA_ERRORS));
    let form = owner_form(&mut boss).await;
    assert_eq!(condition(form), Condition::Forbidden);
    let itself = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' jid='boss@localhost'/></query>";
    let made = boss.request("set", Some(ROOM), el(itself)).await;
    assert_eq!(condition(made), Condition::Forbidden);
    let archive = boss.request("set", Some(ROOM), Element::new("query", ns::MAM));
    assert_eq!(condition(archive.await), Condition::Forbidden);
}

#[tokio::test]
async fn whose_account_is_removed_leaves_its_rooms_and_they_can_be_taken_over() {
    let server = Process::start(&["crone1", "hag66"], &[]);
    let mut crone = connect(server.client("crone1"), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    let fields = [
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_whois", "anyone"),
    ];
    configure(&mut crone, &fields).await;
    let mut hag = connect(server.client("hag66"), server.addr).await;
    enter(&mut hag, "thirdwitch").await;
    let run = |arguments: &[&str]| {
        let (done, _, err) = server.run(arguments);
        assert!(done, "{arguments:?}: {err}");
    };
    run(&["user", "delete", "crone1@localhost", "--yes"]);
    let no_owner = |el: &Element| {
        let x = el.child("x", ns::MUC_USER);
        let item = x.and_then(|x| x.child("item", ns::MUC_USER));
        item.is_some_and(|item| {
            item.attr("jid") == Some("crone1@localhost") && item.attr("affiliation") == Some("none")
        })
    };
    hag.wait_for("that the owner is none any more", no_owner)
        .await
        .unwrap();
    assert_eq!(condition(owner_form(&mut hag).await), Condition::Forbidden);
    run(&["room", "owner", ROOM, "hag66@localhost"]);
    owner_form(&mut hag).await.unwrap();
}

#[tokio::test]
async fn one_person_makes_so_many_rooms_and_no_more() {
    let server = start_server(&["modules.muc.rooms_each=1"]).await;
    let jid = server.account("crone1").await.unwrap();
    let mut crone = connect(server.client(&jid), server.addr).await;
    enter(&mut crone, "firstwitch").await;
    configure(&mut crone, &[]).await;
    let other = format!(
        "<presence id='o' to='heath@conference.localhost/a'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    crone.send(other.as_str()).await.unwrap();
    let refused = came_presence(&mut crone, "o").await;
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("resource-constraint", ns::STANZA_ERRORS));
    let destroy = el("<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>");
    crone.request("set", Some(ROOM), destroy).await.unwrap();
    crone.send(other.as_str()).await.unwrap();
    let made = came_presence(&mut crone, "o").await;
    assert_eq!(made.attr("type"), None, "{made:?}");
    server.stop().await;
}

async fn came_presence(client: &mut Client, id: &str) -> Element {
    let own = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("id") == Some(id);
    client.wait_for(id, own).await.unwrap()
}

#[tokio::test]
async fn all_rooms_are_found_at_once_only_where_that_is_allowed_and_not_too_often() {
    let sets = [
        "modules.channel_search.all=false",
        "modules.channel_search.searches=1",
    ];
    let server = start_server(&sets).await;
    let jid = server.account("crone").await.unwrap();
    let mut crone = server.client(&jid).connect(server.addr).await.unwrap();
    let search = |var: &str, value: &str| {
        let field = format!("<field var='{var}'><value>{value}</value></field>");
        let form = format!("<x xmlns='jabber:x:data' type='submit'>{field}</x>");
        el(&format!(
            "<search xmlns='{}'>{form}</search>",
            ns::CHANNEL_SEARCH
        ))
    };
    let all = crone.request("get", Some("localhost"), search("all", "1"));
    assert_eq!(condition(all.await), Condition::NotAllowed);
    let mut answers = 0;
    let refused = loop {
        match crone
            .request("get", Some("localhost"), search("q", "x"))
            .await
        {
            Ok(_) => answers += 1,
            refused => break refused,
        }
        assert!(answers < 1_000, "there is no end");
    };
    assert!(answers >= 10, "so many at once are right");
    match refused {
        Err(Error::Refused(error)) => {
            assert_eq!(error.condition, Condition::ResourceConstraint);
            let limit = error.app.unwrap();
            assert!(limit.attr("retry-after").is_some(), "{limit:?}");
        }
        other => panic!("not refused: {other:?}"),
    }
    // Others do not wait for it.
    let jid = server.account("hag").await.unwrap();
    let mut hag = server.client(&jid).connect(server.addr).await.unwrap();
    let found = hag.request("get", Some("localhost"), search("q", "x"));
    assert!(found.await.unwrap().has_child("result", ns::CHANNEL_SEARCH));
}

/// Owners of services that are in memory: rooms, and what answers for their domain.
fn awake(server: &Running) -> f64 {
    let samples = server.own().metrics().samples();
    let of = [("kind", "service")];
    samples.value("waxwing_owners", &of).unwrap_or_default()
}

#[tokio::test]
async fn ten_thousand_rooms_that_nobody_is_in_are_not_in_memory() {
    const ROOMS: usize = 10_000;
    const ASKED: usize = 500;
    let store = Store::open(Options::memory(), Clock::system()).unwrap();
    let creator = Jid::parse("crone@localhost").unwrap();
    let mut batch = Batch::new();
    for n in 0..ROOMS {
        let record = Record {
            rid: Rid::allocate(&store),
            jid: Jid::parse(&format!("r{n}@conference.localhost")).unwrap(),
            creator: creator.clone(),
            created: 0,
            secret: "s".to_owned(),
            options: rooms::Options {
                persistent: true,
                ..rooms::Options::default()
            },
            subject: None,
            requests: Vec::new(),
            tokens: Vec::new(),
            pictures: Vec::new(),
            hats: Vec::new(),
            worn: Default::default(),
        };
        rooms::write(&mut batch, &record);
        if n % 500 == 499 {
            store.commit(std::mem::take(&mut batch)).await.unwrap();
        }
    }
    let server = start_over(store, &[]).await;
    let jid = server.account("crone").await.unwrap();
    let mut crone = server.client(&jid).connect(server.addr).await.unwrap();
    assert_eq!(awake(&server), 0.0, "nothing is read before it is needed");
    for n in 0..ASKED {
        let room = format!("r{n}@conference.localhost");
        let info = Element::new("query", ns::DISCO_INFO);
        crone.request("get", Some(&room), info).await.unwrap();
    }
    assert!(awake(&server) >= 1.0);
    // They were asked once, and go by themselves.
    let mut looks = 0;
    while awake(&server) > 0.0 {
        looks += 1;
        assert!(looks < 1_000, "{} are still there", awake(&server));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
