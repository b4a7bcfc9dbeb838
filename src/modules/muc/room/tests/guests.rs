//! Clients of other servers are written down.

use super::*;
use crate::runtime::clock::Clock;
use crate::state::rooms::guests;
use crate::store::{Options as StoreOptions, Store};

async fn written(play: &mut Play, store: &Store) -> Vec<(String, String)> {
    let batch = play.room.write_guests(|jid| jid.bare_str() != "crone@x");
    assert!(batch.is_empty() || batch.is_relaxed());
    store.commit(batch).await.unwrap();
    let room = jid(ROOM);
    let there = store.reading(move |view| guests::of(view, &room));
    let there = there.await.unwrap().into_iter();
    there.map(|(jid, nick)| (jid.to_string(), nick)).collect()
}

#[tokio::test]
async fn what_is_written_is_who_is_there() {
    let store = Store::open(StoreOptions::memory(), Clock::system()).unwrap();
    let mut play = Play::with("", &["hag", "witch"]);
    let row = |jid: &str, nick: &str| (jid.to_owned(), nick.to_owned());
    let both = [row("hag@x/pc", "hag"), row("witch@x/pc", "witch")];
    assert_eq!(written(&mut play, &store).await, both);
    // Other words of who is there change nothing.
    let away = format!("<presence to='{ROOM}/hag'><show>away</show></presence>");
    play.send("hag", &away);
    assert!(play.room.write_guests(|_| true).is_empty());
    play.send("hag", &format!("<presence to='{ROOM}/second'/>"));
    let renamed = [row("hag@x/pc", "second"), row("witch@x/pc", "witch")];
    assert_eq!(written(&mut play, &store).await, renamed);
    play.send(
        "hag",
        &format!("<presence type='unavailable' to='{ROOM}/second'/>"),
    );
    play.admin("crone", "<item nick='witch' role='none'/>");
    assert_eq!(written(&mut play, &store).await, []);
    play.join("hag", "hag");
    let destroy = format!(
        "<iq type='set' id='d' to='{ROOM}'><query xmlns='{}'><destroy/></query></iq>",
        ns::MUC_OWNER
    );
    play.send("crone", &destroy);
    assert_eq!(written(&mut play, &store).await, []);
}

#[test]
fn who_was_lost_is_told_unless_it_is_there_again() {
    let play = Play::with("", &["hag"]);
    let lost = |who: &str| {
        play.room
            .put_out_lost(&(jid(&format!("{who}@x/pc")), who.to_owned()))
    };
    assert!(lost("hag").is_none());
    let told = lost("witch").unwrap();
    assert_eq!(told.from, Some(jid(&format!("{ROOM}/witch"))));
    let x = told.child("x", ns::MUC_USER).unwrap();
    let codes = x.children().filter_map(|el| el.attr("code"));
    assert_eq!(codes.collect::<Vec<_>>(), ["110", "332"]);
}
