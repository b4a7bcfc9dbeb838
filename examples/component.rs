//! A component that says everything again: whatever is written to anybody at its domain comes back from there.
//!
//! With this in the configuration of the server
//!
//! ```toml
//! [[listen]]
//! kind = "component"
//! address = "127.0.0.1:5347"
//!
//! [components."echo.example.org"]
//! secret = "a long random text"
//! ```
//!
//! it is started as
//!
//! ```text
//! COMPONENT_SECRET='a long random text' cargo run --example component -- echo.example.org 127.0.0.1:5347
//! ```
//!
//! When the stream ends it comes back; what was written to it meanwhile was kept for it.
#![allow(missing_docs)] // a program has no callers

#[path = "client/mod.rs"]
mod client;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use client::{Client, Security};
use waxwing::proto::{Condition, IqType, Kind, MessageType, PresenceType, Stanza, disco, ns};
use waxwing::xml::Element;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(domain), Some(addr)) = (args.next(), args.next()) else {
        return Err("usage: component DOMAIN ADDRESS:PORT".into());
    };
    let secret = std::env::var("COMPONENT_SECRET").map_err(|_| "COMPONENT_SECRET is not set")?;
    let addr: SocketAddr = addr.parse()?;
    loop {
        let ended = serve(&domain, &secret, addr).await;
        println!("{domain} is away: {ended}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// One stream, until it ends; why it did.
async fn serve(domain: &str, secret: &str, addr: SocketAddr) -> client::Error {
    let builder = Client::builder(domain, secret).security(Security::Plain);
    let mut component = match builder.attach(addr).await {
        Ok(component) => component,
        Err(error) => return error,
    };
    println!("{domain} is there");
    while !component.is_over() {
        let Some(el) = component.next(Duration::from_secs(3600)).await else {
            continue;
        };
        let Ok(stanza) = Stanza::from_element(el) else {
            continue; // not a stanza, or not a good one
        };
        for answer in answers(&stanza) {
            if let Err(error) = component.send(answer).await {
                return error;
            }
        }
    }
    client::Error::Ended
}

/// What the component says to a stanza. It speaks for everybody at its domain, so every answer says who it is from.
fn answers(stanza: &Stanza) -> Vec<Stanza> {
    let (Some(from), Some(to)) = (stanza.from.clone(), stanza.to.clone()) else {
        return Vec::new();
    };
    let answer = |answer: Stanza| answer.with_from(to.clone()).with_to(from.clone());
    match stanza.kind {
        Kind::Message(kind @ (MessageType::Chat | MessageType::Normal)) => {
            let body = stanza.child("body", ns::CLIENT).map(|body| body.text());
            let echo = |text: &str| Element::new("body", ns::CLIENT).with_text(text);
            let body = body.into_iter();
            body.map(|text| answer(Stanza::message(kind)).with_child(echo(&text)))
                .collect()
        }
        // Whoever wishes to see somebody here may; who asks whether he is there hears that he is.
        Kind::Presence(PresenceType::Subscribe) => vec![
            answer(Stanza::presence(PresenceType::Subscribed)),
            answer(Stanza::presence(PresenceType::Available)),
        ],
        Kind::Presence(PresenceType::Probe) => {
            vec![answer(Stanza::presence(PresenceType::Available))]
        }
        Kind::Iq(IqType::Get) if asks(stanza, ns::PING, "ping") => vec![stanza.reply()],
        Kind::Iq(IqType::Get) if asks(stanza, ns::DISCO_INFO, "query") => {
            let mut info = disco::Info::default();
            let mut identity = disco::Identity::new("component", "generic");
            identity.name = Some("Echo".to_owned());
            info.identities.push(identity);
            info.features = vec![ns::DISCO_INFO.to_owned(), ns::PING.to_owned()];
            vec![stanza.reply().with_child(info.to_element(None))]
        }
        // Every request needs an answer (RFC 6120 §8.2.3).
        Kind::Iq(IqType::Get | IqType::Set) => {
            let nothing = Condition::ServiceUnavailable.into();
            stanza.error(&nothing).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn asks(stanza: &Stanza, ns: &str, name: &str) -> bool {
    let payload = stanza.payload();
    payload.is_some_and(|payload| payload.ns() == ns && payload.name() == name)
}
