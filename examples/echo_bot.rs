//! A bot that says everything again.
//!
//! It accepts every subscription, so that people can see it is there, and answers each chat message
//! with the same text:
//!
//! ```text
//! XMPP_PASSWORD=secret cargo run --example echo_bot -- echo@localhost 127.0.0.1:5222 --ca ca.pem
//! ```
//!
//! Without `--ca FILE` it believes the authorities of the system; with `--fingerprint HEX` it
//! believes the one certificate with this SHA-256 fingerprint, as `waxwing` prints it.
#![allow(missing_docs)] // a program has no callers

#[path = "client/mod.rs"]
mod client;

use std::error::Error;
use std::time::Duration;

use client::{Client, Trust};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use waxwing::proto::{Kind, MessageType, PresenceType, Stanza, ns};
use waxwing::xml::Element;

const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(jid), Some(addr)) = (args.next(), args.next()) else {
        return Err("usage: echo_bot JID ADDRESS:PORT [--ca FILE | --fingerprint HEX]".into());
    };
    let password = std::env::var("XMPP_PASSWORD").map_err(|_| "XMPP_PASSWORD is not set")?;
    let trust = match (args.next().as_deref(), args.next()) {
        (Some("--fingerprint"), Some(hex)) => Trust::Fingerprint(fingerprint(&hex)?),
        (Some("--ca"), Some(file)) => authorities(&file)?,
        (None, _) => authorities(SYSTEM_AUTHORITIES)?,
        (Some(other), _) => return Err(format!("what is {other}?").into()),
    };

    let addr = tokio::net::lookup_host(addr)
        .await?
        .next()
        .ok_or("no such host")?;
    let mut bot = Client::builder(&jid, &password)
        .trust(trust)
        .connect(addr)
        .await?;
    bot.roster().await?; // subscription requests come to those who asked for the roster
    bot.presence().await?;
    println!("{} is online", bot.jid);

    while !bot.is_over() {
        let Some(el) = bot.next(Duration::from_secs(3600)).await else {
            continue;
        };
        let Ok(stanza) = Stanza::from_element(el) else {
            continue; // not a stanza, or not a good one
        };
        for answer in answers(&stanza) {
            bot.send(answer).await?;
        }
    }
    Err("the server ended the stream".into())
}

/// What the bot says to a stanza.
fn answers(stanza: &Stanza) -> Vec<Stanza> {
    let Some(from) = stanza.from.clone() else {
        return Vec::new();
    };
    match stanza.kind {
        // An echo, if there is something to echo: chat states and receipts have no body. The answer
        // keeps the type and goes to the device the message came from.
        Kind::Message(kind @ (MessageType::Chat | MessageType::Normal)) => {
            let Some(body) = stanza.child("body", ns::CLIENT) else {
                return Vec::new();
            };
            let echo = Stanza::message(kind).with_to(from);
            vec![echo.with_child(Element::new("body", ns::CLIENT).with_text(&body.text()))]
        }
        // Whoever wishes to see the bot may, and the bot wishes to see them.
        Kind::Presence(PresenceType::Subscribe) => vec![
            Stanza::presence(PresenceType::Subscribed).with_to(from.clone()),
            Stanza::presence(PresenceType::Subscribe).with_to(from),
        ],
        // Every request needs an answer (RFC 6120 §8.2.3); the bot has nothing to tell.
        Kind::Iq(_) => {
            let nothing = waxwing::proto::Condition::ServiceUnavailable.into();
            stanza.error(&nothing).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn authorities(file: &str) -> Result<Trust, Box<dyn Error>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)?.collect();
    Ok(Trust::certificates(certificates?)?)
}

/// Reads a SHA-256 fingerprint in hexadecimal digits, with or without colons.
fn fingerprint(hex: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, digit| sum * 16 + digit))
        .collect();
    bytes
        .try_into()
        .map_err(|_| "a SHA-256 fingerprint has 64 digits".into())
}
