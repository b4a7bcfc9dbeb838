//! Bad input on the socket, through the whole server: a named error, nobody else notices, memory stays bounded.

mod claims;
mod doors;
mod strangers;
mod xml;

use std::time::Duration;

use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::process::Process;

/// Logs in and becomes available.
pub async fn online(server: &Process, name: &str, resource: &str) -> Client {
    let builder = server.client(name).resource(resource);
    let mut client = builder.connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    client
}

/// The condition of the stream error that the stream ends with.
async fn end_of(client: &mut Client) -> Option<&'static str> {
    while client.next(Duration::from_secs(20)).await.is_some() {}
    assert!(client.is_over(), "the stream goes on");
    let error = client.stream_error.as_ref();
    error.map(|error| error.condition.as_str())
}

/// Two who chat while others misbehave.
pub struct Bystanders {
    pub alice: Client,
    pub bob: Client,
    n: u32,
}

impl Bystanders {
    pub async fn log_in(server: &Process) -> Bystanders {
        Bystanders {
            alice: online(server, "alice", "1").await,
            bob: online(server, "bob", "1").await,
            n: 0,
        }
    }

    /// A message goes from one to the other.
    pub async fn chat(&mut self) {
        self.n += 1;
        let body = format!("undisturbed {}", self.n);
        let to = self.bob.jid.to_string();
        let message = Element::new("message", ns::CLIENT)
            .with_attr("to", &to)
            .with_attr("type", "chat")
            .with_child(Element::new("body", ns::CLIENT).with_text(&body));
        self.alice.send(message).await.unwrap();
        let is_it = |el: &Element| {
            el.child("body", ns::CLIENT)
                .is_some_and(|el| el.text() == body)
        };
        self.bob.wait_for(&body, is_it).await.unwrap();
    }
}
