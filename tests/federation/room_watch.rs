//! Rooms at other servers: whoever falls out of one without being told is told so (XEP-0410, asked by the server).

use std::time::Duration;

use waxwing::proto::form::{Field, FieldType, Form, FormType};
use waxwing::proto::ns;
use waxwing::xml::Element;

use super::world::{Authority, Site, online};
use crate::support::client::Client;
use crate::support::server::Running;

/// The next stanza of this kind.
async fn next(client: &mut Client, name: &str, what: impl Fn(&Element) -> bool) -> Element {
    let is_it = |el: &Element| el.is(name, ns::CLIENT) && what(el);
    client.wait_for(name, is_it).await.unwrap()
}

/// Where the room says that its occupants are.
const THERE: [&str; 1] = ["110"];

/// An account of another server plays a room, and its client's address is an occupant's.
struct Play {
    _servers: [Running; 2],
    room: Client,
    romeo: Client,
    address: String,
    client: String,
}

impl Play {
    async fn begin() -> Play {
        let authority = Authority::new();
        let mut verona = Site::new(&authority, "verona.example");
        verona.settings = "[modules.claims]\nenabled = false".to_owned();
        let mut mantua = Site::new(&authority, "mantua.example");
        let settings = [
            "[modules.room_watch]",
            "silence = \"1s\"",
            "rejoin_pause = \"1s\"",
            "rejoins = 2",
        ];
        mantua.settings = settings.join("\n");
        let there = verona.start(&authority, &[&mantua]).await;
        let here = mantua.start(&authority, &[&verona]).await;
        let orchard = there.account("orchard").await.unwrap();
        let room = online(&there, &orchard).await;
        let romeo = here.account("romeo").await.unwrap();
        let romeo = online(&here, &romeo).await;
        let (address, client) = (room.jid.to_string(), romeo.jid.to_string());
        Play {
            _servers: [there, here],
            room,
            romeo,
            address,
            client,
        }
    }

    /// Romeo enters with this in his join, and is let in; the join as it arrived.
    async fn enter(&mut self, with: &str) -> Element {
        let join = format!(
            "<presence to='{}'><show>away</show><x xmlns='{}'>{with}</x></presence>",
            self.address,
            ns::MUC
        );
        self.romeo.send(join.as_str()).await.unwrap();
        let join = self.at_room("presence").await;
        self.show("", &THERE).await;
        let shown = self.at_romeo().await;
        assert_eq!(shown.attr("type"), None);
        join
    }

    /// What arrives of him at the room.
    async fn at_room(&mut self, name: &str) -> Element {
        let client = self.client.clone();
        next(&mut self.room, name, |el| el.attr("from") == Some(&client)).await
    }

    /// What he is shown of himself.
    async fn at_romeo(&mut self) -> Element {
        let address = self.address.clone();
        let of_room = |el: &Element| el.attr("from") == Some(&address);
        next(&mut self.romeo, "presence", of_room).await
    }

    /// The room shows him to himself.
    async fn show(&mut self, kind: &str, codes: &[&str]) {
        let codes = codes.iter().map(|code| format!("<status code='{code}'/>"));
        let shown = format!(
            "<presence from='{}' to='{}'{kind}><x xmlns='{}'><item affiliation='none' role='participant'/>{}</x></presence>",
            self.address,
            self.client,
            ns::MUC_USER,
            codes.collect::<String>()
        );
        self.room.send(shown.as_str()).await.unwrap();
    }

    /// The room is silent, and is asked; it answers that he is there, or that it does not know him.
    async fn asked(&mut self, there: bool) {
        let asked = self.at_room("iq").await;
        assert!(asked.has_child("ping", ns::PING), "{asked:?}");
        let id = asked.attr("id").unwrap();
        let error = format!(
            "<error type='cancel'><not-acceptable xmlns='{}'/></error>",
            ns::STANZA_ERRORS
        );
        let (kind, error) = match there {
            true => ("result", ""),
            false => ("error", error.as_str()),
        };
        let answer = format!(
            "<iq type='{kind}' id='{id}' to='{}'>{error}</iq>",
            self.client
        );
        self.room.send(answer.as_str()).await.unwrap();
    }

    async fn refuse(&mut self, condition: &str) {
        let refused = format!(
            "<presence type='error' to='{}'><error type='auth'><{condition} xmlns='{}'/></error></presence>",
            self.client,
            ns::STANZA_ERRORS
        );
        self.room.send(refused.as_str()).await.unwrap();
    }

    /// He is told that he is out, and neither side hears anything more.
    async fn over(&mut self) {
        let gone = self.at_romeo().await;
        assert_eq!(gone.attr("type"), Some("unavailable"));
        let x = gone.child("x", ns::MUC_USER).unwrap();
        let codes = x.children().filter_map(|el| el.attr("code"));
        assert_eq!(codes.collect::<Vec<_>>(), ["110", "333"]);
        let long = Duration::from_millis(1_500);
        self.room.expect_nothing(long).await.unwrap();
        let short = Duration::from_millis(10);
        self.romeo.expect_nothing(short).await.unwrap();
    }
}

#[tokio::test]
async fn who_falls_out_of_a_room_elsewhere_is_told() {
    let mut play = Play::begin().await;
    play.enter("").await;
    // It says that he is there, and is asked again later.
    play.asked(true).await;
    play.asked(false).await;
    play.over().await;
}

#[tokio::test]
async fn who_asked_for_it_is_brought_back() {
    let mut play = Play::begin().await;
    let asks = format!("<password>o</password><rejoin xmlns='{}'/>", ns::REJOIN);
    play.enter(&asks).await;
    // His words are other ones by now.
    let words = format!(
        "<presence to='{}'><show>dnd</show></presence>",
        play.address
    );
    play.romeo.send(words.as_str()).await.unwrap();
    play.at_room("presence").await;
    play.asked(false).await;
    let again = play.at_room("presence").await;
    assert_eq!(again.attr("to"), Some(play.address.as_str()));
    let show = again.child("show", ns::CLIENT).unwrap();
    assert_eq!(show.text(), "dnd");
    let x = again.child("x", ns::MUC).unwrap();
    assert_eq!(x.child("password", ns::MUC).unwrap().text(), "o");
    let history = x.child("history", ns::MUC).unwrap();
    assert!(history.attr("since").is_some());
    // All that he sees is that he enters.
    play.show("", &THERE).await;
    let shown = play.at_romeo().await;
    assert_eq!(shown.attr("type"), None);
    // The room stops: that he hears, and is brought back when it is there again.
    play.show(" type='unavailable'", &["110", "332"]).await;
    let stops = play.at_romeo().await;
    assert_eq!(stops.attr("type"), Some("unavailable"));
    play.at_room("presence").await;
    play.show("", &THERE).await;
    play.at_romeo().await;
    // It does not want him any more.
    play.asked(false).await;
    play.at_room("presence").await;
    play.refuse("forbidden").await;
    play.over().await;
}

#[tokio::test]
async fn an_account_chooses_it_for_its_clients_and_attempts_end() {
    let mut play = Play::begin().await;
    let command = |session: Option<&str>| {
        let command =
            Element::new("command", ns::COMMANDS).with_attr("node", "waxwing:account#rejoin");
        match session {
            Some(session) => command.with_attr("sessionid", session),
            None => command.with_attr("action", "execute"),
        }
    };
    let own = play.romeo.jid.bare();
    let begun = play
        .romeo
        .request("set", Some(own.as_str()), command(None))
        .await;
    let begun = begun.unwrap();
    let begun = begun.child("command", ns::COMMANDS).unwrap();
    let form = Form::of(begun).unwrap().unwrap();
    assert_eq!(form.value("rejoin"), Some("no"));
    let field = Field::new(FieldType::ListSingle, "rejoin").with_value("yes");
    let form = Form::new(FormType::Submit).with_field(field).to_element();
    let chosen = command(begun.attr("sessionid")).with_child(form);
    let done = play.romeo.request("set", Some(own.as_str()), chosen).await;
    let done = done.unwrap();
    let done = Form::of(done.child("command", ns::COMMANDS).unwrap());
    assert_eq!(done.unwrap().unwrap().value("rejoin"), Some("yes"));

    let join = play.enter("").await;
    assert!(join.child("x", ns::MUC).is_some());
    play.asked(false).await;
    // Both attempts are in vain.
    for _ in 0..2 {
        play.at_room("presence").await;
        play.refuse("resource-constraint").await;
    }
    play.over().await;
}
