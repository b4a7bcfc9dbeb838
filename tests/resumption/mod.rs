//! XEP-0198 §5: a stream that broke goes on, and nobody notices.

mod bursts;
mod sessions;

use std::time::Duration;

use waxwing::proto::{Jid, ns};
use waxwing::xml::Element;

use crate::support::client::{Builder, Client};
use crate::support::server::Running;

/// For how long nothing may come where nothing should.
const QUIET: Duration = Duration::from_millis(200);

/// A session that may be resumed, available, that has taken its own presence.
async fn online(server: &Running, jid: &Jid, resource: &str) -> Client {
    let builder = server.client(jid).resource(resource).resumable();
    let mut client = builder.connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    let own = |el: &Element| el.is("presence", ns::CLIENT);
    client.wait_for("its own presence", own).await.unwrap();
    client
}

/// Takes up what was cut.
async fn again(builder: Builder, addr: std::net::SocketAddr, cut: &(String, u32)) -> Client {
    builder.resume(&cut.0, cut.1).connect(addr).await.unwrap()
}

/// The text of the next message.
async fn next_text(client: &mut Client) -> String {
    let message = client
        .wait_for("a message", |el| el.is("message", ns::CLIENT))
        .await
        .unwrap();
    let body = message.child("body", ns::CLIENT).unwrap();
    body.text().into_owned()
}
