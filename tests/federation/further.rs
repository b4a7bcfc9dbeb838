//! Several domains of ours on one stream to another server (XEP-0220 §2.4).

use waxwing::admin::Password;
use waxwing::proto::Jid;

use super::limits::metric;
use super::links::states;
use super::world::{Authority, Site, body, chat, error_text, next_message, online};
use crate::support::client::Client;
use crate::support::server::Running;

struct World {
    a: Running,
    b: Running,
}

/// The first server has the domains a.example and second.example; the other one believes by dialback alone, and says more in
/// its settings.
async fn world(other: &str) -> World {
    let authority = Authority::new();
    let mut site_a = Site::new(&authority, "a.example");
    let mut site_b = Site::new(&authority, "b.example");
    site_a.certificate = authority.unknown("a.example");
    site_b.certificate = authority.unknown("b.example");
    site_a.settings = format!(
        "demand = \"dialback-over-tls\"\ngive_up_after = \"1s\"\n[hosts.\"second.example\"]\ncertificate = {:?}",
        site_a.certificate
    );
    site_b.settings = format!(
        "demand = \"dialback-over-tls\"\n{other}\n[[federation.peers]]\ndomain = \"second.example\"\naddress = \"{}\"\nport = {}",
        site_a.address.ip(),
        site_a.address.port()
    );
    World {
        a: site_a.start(&authority, &[&site_b]).await,
        b: site_b.start(&authority, &[&site_a]).await,
    }
}

impl World {
    async fn people(&self) -> [Client; 3] {
        let alice = self.a.account("alice").await.unwrap();
        let carol = Jid::parse("carol@second.example").unwrap();
        let password = Password("pencil".to_owned());
        let made = self.a.accounts().create(&carol, &password);
        made.await.unwrap();
        let bob = self.b.account("bob").await.unwrap();
        [
            online(&self.a, &alice).await,
            online(&self.a, &carol).await,
            online(&self.b, &bob).await,
        ]
    }
}

/// Streams of a server that it opened.
fn opened(server: &Running) -> f64 {
    metric(
        server,
        "waxwing_federation_streams",
        &[("direction", "out")],
    )
}

#[tokio::test]
async fn two_domains_share_a_stream_and_are_answered_on_it() {
    for bidi in [true, false] {
        // A stream that can be resumed carries one pair.
        let world = world(&format!("resume_for = \"0s\"\nbidi = {bidi}")).await;
        let [mut alice, mut carol, mut bob] = world.people().await;
        for n in 0..3 {
            for client in [&mut alice, &mut carol] {
                let text = format!("there {n}");
                client.send(chat(&bob.jid, &text)).await.unwrap();
                assert_eq!(body(&next_message(&mut bob).await), text);
                let back = format!("back {n}");
                bob.send(chat(&client.jid, &back)).await.unwrap();
                assert_eq!(body(&next_message(client).await), back);
            }
        }
        assert_eq!(opened(&world.a), 1.0);
        let shared = states(&world.a);
        let shared = shared.iter().filter(|state| state.contains("shared by 2"));
        assert_eq!(shared.count(), 2);
    }
}

#[tokio::test]
async fn a_stream_that_can_be_resumed_carries_one() {
    let world = world("").await;
    let [mut alice, mut carol, mut bob] = world.people().await;
    for client in [&mut alice, &mut carol] {
        client.send(chat(&bob.jid, "hello")).await.unwrap();
        assert_eq!(body(&next_message(&mut bob).await), "hello");
    }
    assert_eq!(opened(&world.a), 2.0);
}

#[tokio::test]
async fn who_is_not_believed_on_it_is_told_why_and_the_others_go_on() {
    let world = world("resume_for = \"0s\"\nblock = [\"second.example\"]").await;
    let [mut alice, mut carol, mut bob] = world.people().await;
    alice.send(chat(&bob.jid, "1")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob).await), "1");
    carol.send(chat(&bob.jid, "2")).await.unwrap();
    let error = error_text(&next_message(&mut carol).await);
    assert!(
        error.contains("this server does not talk to second.example"),
        "{error}"
    );
    alice.send(chat(&bob.jid, "3")).await.unwrap();
    assert_eq!(body(&next_message(&mut bob).await), "3");
    assert_eq!(opened(&world.a), 1.0);
}
