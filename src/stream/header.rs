//! The rules for a client's stream header (RFC 6120 §4.7, §4.8, §4.9.3).

use std::sync::Arc;

use super::settings::{Host, Hosts};
use crate::proto::{Jid, StreamCondition, StreamError};
use crate::xml::{Element, Header, StreamContent};

/// What a header says, as far as it can be understood; needed for our own header even when the stream is refused.
pub(super) struct Claims {
    /// Whom the client wants to talk to.
    pub host: Option<Arc<Host>>,
    /// Who the client says it is: bare.
    pub from: Option<Jid>,
    /// Its language.
    pub lang: Option<Box<str>>,
}

/// Reads a header. Without a `to` the name from TLS counts (RFC 6120 §4.7.2).
pub(super) fn read(
    header: &Header,
    hosts: &dyn Hosts,
    server_name: Option<&str>,
) -> (Claims, Option<StreamError>) {
    let element = &header.element;
    let (host, wrong_to) = match host(element, hosts, server_name) {
        Ok(host) => (Some(host), None),
        Err(fault) => (None, Some(fault)),
    };
    let from = element.attr("from").map(Jid::parse);
    let claims = Claims {
        host,
        from: from
            .as_ref()
            .and_then(|from| from.as_ref().ok())
            .map(Jid::bare),
        lang: language(element),
    };
    let fault = content(header)
        .or_else(|| version(element))
        .or(wrong_to)
        .or_else(|| match from {
            Some(Err(_)) => Some(StreamCondition::ImproperAddressing.into()),
            _ => None,
        });
    (claims, fault)
}

/// Clients speak `jabber:client` (RFC 6120 §4.8.3); that it is a stream header at all, the parser has seen to.
fn content(header: &Header) -> Option<StreamError> {
    (header.context.content() != StreamContent::Client)
        .then(|| StreamCondition::InvalidNamespace.into())
}

/// Major version 1, whatever the minor one (RFC 6120 §4.7.5). No version means 0.9, which has no way to log in that we know.
fn version(element: &Element) -> Option<StreamError> {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u32>().ok(),
        false => None,
    };
    let version = element.attr("version").and_then(|text| {
        let (major, minor) = text.split_once('.')?;
        number(minor)?;
        number(major)
    });
    (version != Some(1)).then(|| StreamCondition::UnsupportedVersion.into())
}

fn host(
    element: &Element,
    hosts: &dyn Hosts,
    server_name: Option<&str>,
) -> Result<Arc<Host>, StreamError> {
    let Some(to) = element.attr("to").or(server_name) else {
        return Err(StreamCondition::ImproperAddressing.into());
    };
    let to = Jid::parse(to).map_err(|_| StreamCondition::ImproperAddressing)?;
    if to.node().is_some() || to.resource().is_some() {
        return Err(StreamCondition::ImproperAddressing.into());
    }
    hosts
        .host(to.domain())
        .ok_or_else(|| StreamCondition::HostUnknown.into())
}

/// The language, if it looks like one (RFC 6120 §4.7.4; BCP 47: letters, digits, hyphens).
fn language(element: &Element) -> Option<Box<str>> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let lang = element.attr("xml:lang")?;
    let fits = !lang.is_empty() && lang.len() <= LANG_MAX && lang.bytes().all(legal);
    fits.then(|| lang.into())
}

/// Longest language tag kept, in bytes (BCP 47 §4.4.1 reckons with 35).
const LANG_MAX: usize = 35;
