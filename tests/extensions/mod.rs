//! The extension interface, proven by modules that the server does not know.

mod ask;
mod claims;
mod jobs;
mod login;
mod nodes;
mod outside;
mod service;
mod sessions;
mod settings;
mod slots;
mod transit;

use waxwing::hooks::Listed;
use waxwing::proto::{Jid, MessageType, Stanza, ns};
use waxwing::xml::{El, Element};

use crate::support::client::Client;
use crate::support::server::{Running, start_own};

/// The namespace of all that is said here and nowhere else.
pub(crate) const NS: &str = "urn:waxwing:test";

/// A module without settings, from what it registers.
macro_rules! module {
    ($type:ident, $name:literal, |$deps:ident, $r:ident| $register:block) => {
        struct $type(waxwing::hooks::Deps);

        impl waxwing::hooks::Module for $type {
            const INFO: waxwing::hooks::Info = waxwing::hooks::Info {
                name: $name,
                specs: &[],
                doc: "For tests.",
                on_by_default: true,
            };
            type Config = crate::extensions::Nothing;

            fn build(
                _: Self::Config,
                deps: &waxwing::hooks::Deps,
            ) -> Result<Self, waxwing::hooks::ModuleError> {
                Ok($type(deps.clone()))
            }

            fn register(self: std::sync::Arc<Self>, $r: &mut waxwing::hooks::Registrar<'_>) {
                let $deps = self.0.clone();
                $register
            }
        }
    };
}
pub(crate) use module;

waxwing::settings! {
    /// A module without settings.
    pub struct Nothing {}
}

/// A server with these modules and fresh data.
async fn server(extra: &[Listed], sets: &[&str]) -> Result<Running, String> {
    start_own(tempfile::tempdir().unwrap(), sets, extra).await
}

/// Why a server with these modules does not start.
async fn refusal(extra: &[Listed], sets: &[&str]) -> String {
    match server(extra, sets).await {
        Ok(_) => "it starts".to_owned(),
        Err(text) => text,
    }
}

/// A session of `jid`, available, that has taken its own presence.
async fn online(server: &Running, jid: &Jid, resource: &str) -> Client {
    let builder = server.client(jid).resource(resource);
    let mut client = builder.connect(server.addr).await.unwrap();
    client.presence().await.unwrap();
    client
        .wait_for("its own presence", |el| el.is("presence", ns::CLIENT))
        .await
        .unwrap();
    client
}

fn chat(to: &Jid, text: &str) -> Stanza {
    let body = Element::new("body", ns::CLIENT).with_text(text);
    Stanza::message(MessageType::Chat)
        .with_to(to.clone())
        .with_child(body)
}

async fn next_message(client: &mut Client) -> Element {
    client
        .wait_for("a message", |el| el.is("message", ns::CLIENT))
        .await
        .unwrap()
}

fn body(message: &Element) -> String {
    let body = message.child("body", ns::CLIENT).map(El::text);
    body.unwrap_or_default().into_owned()
}
