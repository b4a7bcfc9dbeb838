//! Rooms at other servers: whoever falls out of one without being told is told so (XEP-0410, asked by the server).

use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::world::{Authority, Site, online};
use crate::support::client::Client;

/// The next stanza of this kind.
async fn next(client: &mut Client, name: &str, what: impl Fn(&Element) -> bool) -> Element {
    let is_it = |el: &Element| el.is(name, ns::CLIENT) && what(el);
    client.wait_for(name, is_it).await.unwrap()
}

fn own(from: &str, to: &str, kind: &str) -> String {
    format!(
        "<presence from='{from}' to='{to}'{kind}><x xmlns='{}'><item affiliation='none' role='participant'/><status code='110'/></x></presence>",
        ns::MUC_USER
    )
}

#[tokio::test]
async fn who_falls_out_of_a_room_elsewhere_is_told() {
    let authority = Authority::new();
    let mut verona = Site::new(&authority, "verona.example");
    // An account of it plays a room.
    verona.settings = "[modules.claims]\nenabled = false".to_owned();
    let mut mantua = Site::new(&authority, "mantua.example");
    mantua.settings = "[modules.room_watch]\nsilence = \"1s\"".to_owned();
    let there = verona.start(&authority, &[&mantua]).await;
    let here = mantua.start(&authority, &[&verona]).await;
    // Its client has the occupant's address.
    let orchard = there.account("orchard").await.unwrap();
    let mut room = online(&there, &orchard).await;
    let romeo = here.account("romeo").await.unwrap();
    let mut romeo = online(&here, &romeo).await;
    let (address, client) = (room.jid.to_string(), romeo.jid.to_string());
    let join = format!(
        "<presence to='{address}'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    let entering = |el: &Element| el.attr("from") == Some(&client);
    let of_room = |el: &Element| el.attr("from") == Some(&address);

    romeo.send(join.as_str()).await.unwrap();
    next(&mut room, "presence", entering).await;
    room.send(own(&address, &client, "").as_str())
        .await
        .unwrap();
    next(&mut romeo, "presence", of_room).await;
    // The room is silent, and is asked. It says that he is there, and is asked again later.
    for answer in ["<iq type='result'", "<iq type='error'"] {
        let asked = next(&mut room, "iq", entering).await;
        assert!(asked.has_child("ping", ns::PING), "{asked:?}");
        let error = format!(
            "<error type='cancel'><not-acceptable xmlns='{}'/></error>",
            ns::STANZA_ERRORS
        );
        let error = if answer.contains("error") { &error } else { "" };
        let id = asked.attr("id").unwrap();
        let answer = format!("{answer} id='{id}' to='{client}'>{error}</iq>");
        room.send(answer.as_str()).await.unwrap();
    }
    let gone = next(&mut romeo, "presence", of_room).await;
    assert_eq!(gone.attr("type"), Some("unavailable"));
    let x = gone.child("x", ns::MUC_USER).unwrap();
    let codes = x.children().filter_map(|el| el.attr("code"));
    assert_eq!(codes.collect::<Vec<_>>(), ["110", "333"]);
    // Nobody asks any more, and the answers were not his.
    room.expect_nothing(Duration::from_millis(1_500))
        .await
        .unwrap();
    romeo
        .expect_nothing(Duration::from_millis(10))
        .await
        .unwrap();
}
