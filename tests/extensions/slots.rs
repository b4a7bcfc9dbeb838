//! A module that keeps something with a session over a restart of the server.

use serde::{Deserialize, Serialize};
use waxwing::hooks::{Listed, Reply, SessionEvent, To, Verb};
use waxwing::proto::ns;
use waxwing::xml::Element;

use super::{NS, module, server};
use crate::support::client::Client;
use crate::support::server::start_own;

/// What a session has noted.
#[derive(Default, Serialize, Deserialize)]
struct Notes(Vec<String>);

module!(Notebook, "notebook", |_deps, r| {
    let notes = r.session_slot::<Notes>("notes", 1);
    let starred = r.session_flag("starred");
    r.account_iq(
        To::OwnAccount,
        Verb::Set,
        (NS, "note"),
        move |request, turn| {
            let session = request.session.and_then(|id| turn.account.session_mut(id));
            if let Some(session) = session {
                starred.set(session, true);
                if let Some(notes) = notes.of_mut(session) {
                    notes.0.push(request.payload.text().into_owned());
                }
            }
            Reply::done()
        },
    );
    r.account_iq(
        To::OwnAccount,
        Verb::Get,
        (NS, "notes"),
        move |request, turn| {
            let session = request.session.and_then(|id| turn.account.session(id));
            let text = session.map_or_else(String::new, |session| {
                let notes = notes.of(session).map(|notes| notes.0.join(", "));
                format!("{} {}", notes.unwrap_or_default(), starred.is_set(session))
            });
            Reply::from(Element::new("notes", NS).with_text(&text))
        },
    );
    r.session(move |event, id, turn| {
        let told = matches!(
            event,
            SessionEvent::Detached | SessionEvent::Restored | SessionEvent::Resumed
        );
        if let Some(session) = turn.account.session_mut(id).filter(|_| told)
            && let Some(notes) = notes.of_mut(session)
        {
            notes.0.push(format!("{event:?}"));
        }
    });
});

async fn notes(client: &mut Client) -> String {
    let answer = client.request("get", None, Element::new("notes", NS)).await;
    let answer = answer.unwrap();
    answer.child("notes", NS).unwrap().text().into_owned()
}

#[tokio::test]
async fn what_a_session_keeps_survives_a_restart() {
    const MODULES: &[Listed] = &[Listed::of::<Notebook>()];
    let server = server(MODULES, &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let builder = server.client(&jid).resource("one").resumable();
    let mut alice = builder.connect(server.addr).await.unwrap();
    for text in ["milk", "bread"] {
        let note = Element::new("note", NS).with_text(text);
        alice.request("set", None, note).await.unwrap();
    }
    assert_eq!(notes(&mut alice).await, "milk, bread true");
    let (id, handled) = alice.cut();
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[], MODULES).await.unwrap();
    let builder = server.client(&jid).resume(&id, handled);
    let mut alice = builder.connect(server.addr).await.unwrap();
    assert!(
        alice
            .resumed
            .as_ref()
            .is_some_and(|el| el.is("resumed", ns::SM))
    );
    assert_eq!(
        notes(&mut alice).await,
        "milk, bread, Detached, Restored, Resumed true"
    );
    alice.close().await.unwrap();
    server.stop().await;
}
