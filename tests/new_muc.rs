//! Staying in rooms by the bare address (ProtoXEP New MUC): what is said reaches the archive of the account, whether or not a
//! client of it is there, and over a kill.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use waxwing::proto::{Condition, ns};
use waxwing::xml::Element;

use crate::support::client::{Client, Error};
use crate::support::process::Process;

const ROOM: &str = "coven@conference.localhost";

async fn connect(server: &Process, name: &str) -> Client {
    server.client(name).connect(server.addr).await.unwrap()
}

/// Enters, and takes everything up to the subject: who is there, with what it shows.
async fn enter(client: &mut Client, nick: &str) -> Vec<(String, Option<String>)> {
    let join = format!(
        "<presence to='{ROOM}/{nick}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let mut there = Vec::new();
    loop {
        let got = client.next(Duration::from_secs(10)).await.unwrap();
        assert_ne!(got.attr("type"), Some("error"), "{got:?}");
        if got.has_child("subject", ns::CLIENT) {
            return there;
        }
        if got.is("presence", ns::CLIENT) {
            let show = got.child("show", ns::CLIENT);
            let show = show.map(|show| show.text().into_owned());
            there.push((got.attr("from").unwrap().to_owned(), show));
        }
    }
}

/// Makes a room that stays, and is in it.
async fn made(client: &mut Client, nick: &str) {
    enter(client, nick).await;
    let value = Element::new("value", ns::DATA_FORM).with_text("1");
    let field = Element::new("field", ns::DATA_FORM)
        .with_attr("var", "muc#roomconfig_persistentroom")
        .with_child(value);
    let x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    let query = Element::new("query", ns::MUC_OWNER).with_child(x.with_child(field));
    client.request("set", Some(ROOM), query).await.unwrap();
}

async fn stay(client: &mut Client, nick: &str) -> Result<Option<String>, Condition> {
    let nick = Element::new("nickname", ns::MUC2).with_text(nick);
    let join = Element::new("join", ns::MUC2).with_attr("room", ROOM);
    let answer = client.request("set", None, join.with_child(nick)).await;
    match answer {
        Ok(answer) => {
            let joined = answer.child("join", ns::MUC2).unwrap();
            assert_eq!(joined.attr("room"), Some(ROOM));
            let nick = joined.child("nickname", ns::MUC2);
            Ok(nick.map(|nick| nick.text().into_owned()))
        }
        Err(Error::Refused(error)) => Err(error.condition),
        Err(other) => panic!("{other}"),
    }
}

async fn leave(client: &mut Client) {
    let leave = Element::new("leave", ns::MUC2).with_attr("room", ROOM);
    client.request("set", None, leave).await.unwrap();
}

async fn say(client: &mut Client, text: &str) {
    let message =
        format!("<message type='groupchat' id='{text}' to='{ROOM}'><body>{text}</body></message>");
    client.send(message.as_str()).await.unwrap();
    let back = |el: &Element| el.is("message", ns::CLIENT) && el.attr("id") == Some(text);
    client.wait_for(text, back).await.unwrap();
}

/// A page of the account's own archive: ids and texts, and whether it is the last.
async fn page(
    client: &mut Client,
    fields: &[(&str, &str)],
    set: &str,
) -> (Vec<(String, String)>, bool) {
    let fields = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"));
    let query = format!(
        "<iq type='set' id='page'><query xmlns='{}'><x xmlns='{}' type='submit'>{}</x><set xmlns='{}'>{set}</set></query></iq>",
        ns::MAM,
        ns::DATA_FORM,
        fields.collect::<String>(),
        ns::RSM
    );
    client.send(query.as_str()).await.unwrap();
    let mut found = Vec::new();
    loop {
        let got = client.next(Duration::from_secs(10)).await.unwrap();
        if let Some(result) = got.child("result", ns::MAM) {
            let message = result
                .child("forwarded", ns::FORWARD)
                .and_then(|forwarded| forwarded.child("message", ns::CLIENT))
                .unwrap();
            let body = message
                .child("body", ns::CLIENT)
                .unwrap()
                .text()
                .into_owned();
            found.push((result.attr("id").unwrap().to_owned(), body));
        } else if got.attr("id") == Some("page") {
            let fin = got.child("fin", ns::MAM).unwrap();
            return (found, fin.attr("complete") == Some("true"));
        }
    }
}

const ROOMS_TOO: (&str, &str) = ("include-groupchat", "true");

async fn texts(client: &mut Client) -> Vec<String> {
    let (found, complete) = page(client, &[ROOMS_TOO], "").await;
    assert!(complete);
    found.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn an_account_reads_what_was_said_while_it_stayed() {
    let mut server = Process::start(&["crone1", "hag66", "wiccarocks"], &[]);
    let mut crone = connect(&server, "crone1").await;
    made(&mut crone, "firstwitch").await;
    say(&mut crone, "before").await;
    let mut hag = connect(&server, "hag66").await;
    let disco = Element::new("query", ns::DISCO_INFO);
    let info = hag
        .request("get", Some("hag66@localhost"), disco)
        .await
        .unwrap();
    let info = info.child("query", ns::DISCO_INFO).unwrap();
    let has = |var: &str| info.children().any(|el| el.attr("var") == Some(var));
    assert!(has(ns::MUC2_PAM) && has(ns::MAM_GROUPCHAT_AVAILABLE));

    let nick = stay(&mut hag, "thirdwitch").await.unwrap();
    assert_eq!(nick.as_deref(), Some("thirdwitch"));
    // Others see it as away for long.
    let shown = |el: &Element| el.attr("from") == Some(&*format!("{ROOM}/thirdwitch"));
    let shown = crone.wait_for("who stays", shown).await.unwrap();
    assert_eq!(shown.child("show", ns::CLIENT).unwrap().text(), "xa");
    let mut wicca = connect(&server, "wiccarocks").await;
    let there = enter(&mut wicca, "secondwitch").await;
    let stays = (format!("{ROOM}/thirdwitch"), Some("xa".to_owned()));
    assert!(there.contains(&stays), "{there:?}");
    assert_eq!(
        stay(&mut crone, "thirdwitch").await,
        Err(Condition::Conflict)
    );

    say(&mut crone, "one").await;
    let note = "<message type='chat' id='note' to='hag66@localhost'><body>note</body></message>";
    crone.send(note).await.unwrap();
    // Who does not ask for it gets no room; who does not stay has none.
    let noted = async |hag: &mut Client| page(hag, &[], "").await.0.len() == 1;
    for _ in 0..500 {
        if noted(&mut hag).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(noted(&mut hag).await);
    say(&mut wicca, "two").await;
    assert_eq!(texts(&mut hag).await, ["one", "note", "two"]);
    assert!(texts(&mut wicca).await.is_empty());

    // Page by page, in both directions, by ids that one and the other archive gave.
    let mut all = Vec::new();
    let mut set = "<max>1</max>".to_owned();
    loop {
        let (found, complete) = page(&mut hag, &[ROOMS_TOO], &set).await;
        assert_eq!(found.len(), 1);
        set = format!("<max>1</max><after>{}</after>", found[0].0);
        all.extend(found);
        if complete {
            break;
        }
    }
    let said: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(said, ["one", "note", "two"]);
    let last = format!("<max>2</max><before>{}</before>", all[2].0);
    let (found, _) = page(&mut hag, &[ROOMS_TOO], &last).await;
    assert_eq!(found, all[..2]);
    let (found, complete) = page(&mut hag, &[ROOMS_TOO], "<max>2</max><before/>").await;
    assert_eq!((found.as_slice(), complete), (&all[1..], false));
    let (found, _) = page(&mut hag, &[ROOMS_TOO, ("with", ROOM)], "").await;
    assert_eq!(found, [all[0].clone(), all[2].clone()]);

    // It speaks without having entered.
    let speaks =
        format!("<message type='groupchat' id='three' to='{ROOM}'><body>three</body></message>");
    hag.send(speaks.as_str()).await.unwrap();
    let three = |el: &Element| el.attr("id") == Some("three");
    let heard = crone.wait_for("three", three).await.unwrap();
    assert_eq!(heard.attr("from"), Some(&*format!("{ROOM}/thirdwitch")));

    server.kill();
    server.restart();
    let mut crone = connect(&server, "crone1").await;
    let there = enter(&mut crone, "firstwitch").await;
    assert!(there.contains(&stays), "{there:?}");
    say(&mut crone, "four").await;
    let mut hag = connect(&server, "hag66").await;
    assert_eq!(
        texts(&mut hag).await,
        ["one", "note", "two", "three", "four"]
    );
    leave(&mut hag).await;
    say(&mut crone, "five").await;
    assert_eq!(
        texts(&mut hag).await,
        ["one", "note", "two", "three", "four"]
    );
    let gone = |el: &Element| {
        el.attr("from") == Some(&*format!("{ROOM}/thirdwitch"))
            && el.attr("type") == Some("unavailable")
    };
    crone.wait_for("who stayed goes", gone).await.unwrap();
}

#[tokio::test]
async fn a_ban_ends_it_and_with_the_room_goes_what_was_said() {
    let server = Process::start(&["crone1", "hag66"], &["modules.room_stays.rooms=1"]);
    let mut crone = connect(&server, "crone1").await;
    let mut hag = connect(&server, "hag66").await;
    assert_eq!(stay(&mut hag, "hag").await, Err(Condition::ItemNotFound));
    enter(&mut crone, "firstwitch").await;
    // The room is still being made.
    assert_eq!(stay(&mut hag, "hag").await, Err(Condition::ItemNotFound));
    let form = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    let query = Element::new("query", ns::MUC_OWNER).with_child(form);
    crone.request("set", Some(ROOM), query).await.unwrap();
    // It ends with its last occupant.
    assert_eq!(stay(&mut hag, "hag").await, Err(Condition::NotAcceptable));
    made(&mut crone, "firstwitch").await;
    // Nobody asks for others, nor for a client alone.
    let join = Element::new("join", ns::MUC2)
        .with_child(Element::new("nickname", ns::MUC2).with_text("hag"));
    match hag.request("set", Some(ROOM), join).await {
        Err(Error::Refused(error)) => assert_eq!(error.condition, Condition::NotAllowed),
        other => panic!("{other:?}"),
    }
    stay(&mut hag, "hag").await.unwrap();
    say(&mut crone, "one").await;
    let item = Element::new("item", ns::MUC_ADMIN)
        .with_attr("affiliation", "outcast")
        .with_attr("jid", "hag66@localhost");
    let ban = Element::new("query", ns::MUC_ADMIN).with_child(item);
    crone.request("set", Some(ROOM), ban).await.unwrap();
    say(&mut crone, "two").await;
    assert_eq!(texts(&mut hag).await, ["one"]);
    assert_eq!(stay(&mut hag, "hag").await, Err(Condition::Forbidden));
    let query =
        Element::new("query", ns::MUC_OWNER).with_child(Element::new("destroy", ns::MUC_OWNER));
    crone.request("set", Some(ROOM), query).await.unwrap();
    made(&mut crone, "firstwitch").await;
    say(&mut crone, "in another room of this name").await;
    assert!(texts(&mut hag).await.is_empty());
}

#[tokio::test]
async fn whoever_gets_a_name_that_was_free_again_stays_nowhere() {
    let server = Process::start(&["crone1", "hag66"], &[]);
    let mut crone = connect(&server, "crone1").await;
    made(&mut crone, "firstwitch").await;
    let mut hag = connect(&server, "hag66").await;
    stay(&mut hag, "hag").await.unwrap();
    say(&mut crone, "for the one before").await;
    assert_eq!(texts(&mut hag).await, ["for the one before"]);
    let (done, said, error) = server.run(&["user", "delete", "hag66@localhost", "--yes"]);
    assert!(done, "{said} {error}");
    let gone = |el: &Element| {
        el.attr("from") == Some(&*format!("{ROOM}/hag")) && el.attr("type") == Some("unavailable")
    };
    crone.wait_for("who stayed goes", gone).await.unwrap();
    say(&mut crone, "for nobody").await;
    let mut add = server.command();
    add.args(["user", "add", "hag66@localhost", "--stdin"]);
    let mut adding = add.stdin(Stdio::piped()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"pencil\n").unwrap();
    assert!(adding.wait().unwrap().success());
    let mut next = connect(&server, "hag66").await;
    assert!(texts(&mut next).await.is_empty());
    stay(&mut next, "another hag").await.unwrap();
    say(&mut crone, "for the next one").await;
    assert_eq!(texts(&mut next).await, ["for the next one"]);
}
