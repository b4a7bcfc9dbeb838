//! Rooms with people of other servers: they enter, hear and speak, read what was said, and leave.

use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::{Context, Element, Limits, parse};

use super::world::{Authority, Site, free_address, online};
use crate::support::client::Client;
use crate::support::process::Process;

const DOMAIN: &str = "conference.verona.example";
const ROOM: &str = "orchard@conference.verona.example";

fn el(text: &str) -> Element {
    parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
}

/// Enters, and takes all up to the subject: who else is there.
async fn enter(client: &mut Client, nick: &str) -> Vec<String> {
    enter_at(client, ROOM, nick).await
}

async fn enter_at(client: &mut Client, room: &str, nick: &str) -> Vec<String> {
    let join = format!(
        "<presence to='{room}/{nick}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    client.send(join.as_str()).await.unwrap();
    let mut there = Vec::new();
    loop {
        let got = client.next(Duration::from_secs(20)).await.unwrap();
        assert_ne!(got.attr("type"), Some("error"), "{got:?}");
        if got.child("subject", ns::CLIENT).is_some() {
            return there;
        }
        there.extend(got.attr("from").map(str::to_owned));
    }
}

async fn came(client: &mut Client, id: &str) -> Element {
    let named = |el: &Element| el.attr("id") == Some(id);
    client.wait_for(id, named).await.unwrap()
}

#[tokio::test]
async fn who_comes_from_another_server_is_an_occupant_like_others() {
    let authority = Authority::new();
    let mut verona = Site::new(&authority, "verona.example");
    verona.certificate = authority.issue("verona.example", |params| {
        let name = DOMAIN.try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    });
    let mut mantua = Site::new(&authority, "mantua.example");
    mantua.settings = format!(
        "[[federation.peers]]\ndomain = \"{DOMAIN}\"\naddress = \"{}\"\nport = {}",
        verona.address.ip(),
        verona.address.port()
    );
    let here = verona.start(&authority, &[&mantua]).await;
    let there = mantua.start(&authority, &[&verona]).await;
    let juliet = here.account("juliet").await.unwrap();
    let mut juliet = online(&here, &juliet).await;
    let romeo = there.account("romeo").await.unwrap();
    let mut romeo = online(&there, &romeo).await;

    // Rooms are made by accounts of the host.
    let join = format!(
        "<presence id='no' to='{ROOM}/romeo'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    romeo.send(join.as_str()).await.unwrap();
    let refused = came(&mut romeo, "no").await;
    let error = refused.child("error", ns::CLIENT).unwrap();
    assert!(error.has_child("not-allowed", ns::STANZA_ERRORS));

    enter(&mut juliet, "juliet").await;
    let field = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
    let x = el(&format!(
        "<x xmlns='jabber:x:data' type='submit'>{field}</x>"
    ));
    let query = Element::new("query", ns::MUC_OWNER).with_child(x);
    juliet.request("set", Some(ROOM), query).await.unwrap();
    let others = enter(&mut romeo, "romeo").await;
    assert!(others.contains(&format!("{ROOM}/juliet")), "{others:?}");

    let say = |id: &str| {
        format!("<message type='groupchat' id='{id}' to='{ROOM}'><body>{id}</body></message>")
    };
    romeo.send(say("wherefore").as_str()).await.unwrap();
    for client in [&mut romeo, &mut juliet] {
        let heard = came(client, "wherefore").await;
        assert_eq!(heard.attr("from"), Some(&*format!("{ROOM}/romeo")));
    }
    juliet.send(say("art").as_str()).await.unwrap();
    let heard = came(&mut romeo, "art").await;
    assert_eq!(heard.attr("from"), Some(&*format!("{ROOM}/juliet")));

    let page = el("<query xmlns='urn:xmpp:mam:2'/>");
    let fin = romeo.request("set", Some(ROOM), page).await.unwrap();
    let fin = fin.child("fin", ns::MAM).unwrap();
    assert_eq!(fin.attr("complete"), Some("true"));

    let gone = |el: &Element| {
        el.attr("type") == Some("unavailable") && el.attr("from") == Some(&*format!("{ROOM}/romeo"))
    };
    let leave = format!("<presence type='unavailable' to='{ROOM}/romeo'/>");
    romeo.send(leave.as_str()).await.unwrap();
    juliet.wait_for("romeo leaves", gone).await.unwrap();

    // He stays, whether or not a client of his is there: what is said goes into his log.
    let nick = "<nickname>romeo</nickname>";
    let stay = el(&format!(
        "<join xmlns='urn:xmpp:muc:0' room='{ROOM}'>{nick}</join>"
    ));
    romeo.request("set", None, stay).await.unwrap();
    juliet.send(say("deny").as_str()).await.unwrap();
    came(&mut juliet, "deny").await;
    let fields = "<field var='include-groupchat'><value>true</value></field>";
    let page = format!(
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query>"
    );
    let own = romeo.jid.bare().to_string();
    let archived = |el: &Element| {
        let result = el
            .child("result", ns::MAM)
            .filter(|_| el.attr("from") == Some(&own))?;
        let message = result.child("forwarded", ns::FORWARD)?;
        let message = message.child("message", ns::CLIENT)?;
        message.attr("id").map(str::to_owned)
    };
    let ask = format!("<iq type='set' id='page'>{page}</iq>");
    let mut found = None;
    for _ in 0..50 {
        romeo.send(ask.as_str()).await.unwrap();
        let mut open = true;
        while open {
            let got = romeo.next(Duration::from_secs(20)).await.unwrap();
            found = archived(&got).or(found);
            open = got.attr("id") != Some("page");
        }
        if found.is_some() {
            break;
        }
    }
    assert_eq!(found.as_deref(), Some("deny"));
    let leave = el(&format!("<leave xmlns='urn:xmpp:muc:0' room='{ROOM}'/>"));
    romeo.request("set", None, leave).await.unwrap();
    juliet.wait_for("he stays no longer", gone).await.unwrap();

    enter(&mut romeo, "romeo").await;
    here.stop().await;
    let out = romeo
        .wait_for("the end of the service", gone)
        .await
        .unwrap();
    assert!(has_code(&out, "110") && has_code(&out, "332"), "{out:?}");
}

fn has_code(stanza: &Element, code: &str) -> bool {
    let x = stanza.child("x", ns::MUC_USER);
    x.is_some_and(|x| x.children().any(|el| el.attr("code") == Some(code)))
}

/// A server in a process of its own that believes dialback, and where other servers reach it.
fn start_process(peer: &Site) -> (Process, std::net::SocketAddr) {
    let at = free_address();
    let (ip, port) = (peer.address.ip(), peer.address.port());
    let sets = [
        "federation.enabled=true".to_owned(),
        format!("federation.listen=[\"{at}\"]"),
        format!(
            "federation.peers=[{{domain = \"{}\", address = \"{ip}\", port = {port}}}]",
            peer.domain
        ),
        "federation.demand=dialback-over-tls".to_owned(),
    ];
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    (Process::start(&["juliet"], &sets), at)
}

#[tokio::test]
async fn who_was_in_a_room_over_a_kill_is_told_to_be_there_no_longer() {
    const ROOM: &str = "orchard@conference.localhost";
    let authority = Authority::new();
    let mut mantua = Site::new(&authority, "mantua.example");
    let (mut verona, at) = start_process(&mantua);
    mantua.settings = "demand = \"dialback-over-tls\"\n".to_owned();
    for domain in ["localhost", "conference.localhost"] {
        mantua.settings += &format!(
            "[[federation.peers]]\ndomain = \"{domain}\"\naddress = \"{}\"\nport = {}\n",
            at.ip(),
            at.port()
        );
    }
    let there = mantua.start(&authority, &[]).await;
    let mut juliet = verona.client("juliet").connect(verona.addr).await.unwrap();
    enter_at(&mut juliet, ROOM, "juliet").await;
    let x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
    let query = Element::new("query", ns::MUC_OWNER).with_child(x);
    juliet.request("set", Some(ROOM), query).await.unwrap();
    let (mut romeo, mut paris) = {
        let accounts = ["romeo", "paris"].map(|name| there.account(name));
        let [romeo, paris] = accounts;
        let (romeo, paris) = (romeo.await.unwrap(), paris.await.unwrap());
        (online(&there, &romeo).await, online(&there, &paris).await)
    };
    enter_at(&mut romeo, ROOM, "romeo").await;
    enter_at(&mut paris, ROOM, "paris").await;
    // Who has left is told nothing more.
    let leave = format!("<presence type='unavailable' to='{ROOM}/paris'/>");
    paris.send(leave.as_str()).await.unwrap();
    let gone = |nick: &'static str| {
        move |el: &Element| {
            el.attr("type") == Some("unavailable")
                && el.attr("from") == Some(&*format!("{ROOM}/{nick}"))
        }
    };
    paris.wait_for("to have left", gone("paris")).await.unwrap();

    verona.kill();
    verona.restart();
    let out = romeo.wait_for("to be told", gone("romeo")).await.unwrap();
    assert!(has_code(&out, "110") && has_code(&out, "332"), "{out:?}");
    // He enters again, if the room stays when nobody is there; this one does not.
    let mut juliet = verona.client("juliet").connect(verona.addr).await.unwrap();
    enter_at(&mut juliet, ROOM, "juliet").await;
    let query = el(
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
    );
    juliet.request("set", Some(ROOM), query).await.unwrap();
    let others = enter_at(&mut romeo, ROOM, "romeo").await;
    assert!(
        others.ends_with(&[format!("{ROOM}/juliet"), format!("{ROOM}/romeo")]),
        "{others:?}"
    );
    paris
        .expect_nothing(Duration::from_millis(250))
        .await
        .unwrap();
}
