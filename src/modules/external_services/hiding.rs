//! What a call says of an account that hides where it is: of the ways to it (candidates of XEP-0176, XEP-0260 and their
//! like) only those through relays and proxies go out, without the addresses behind them. Direct ways to the other side
//! do not come in either: to try them would show the address.

use crate::hooks::{Envelope, Facts, Path, Phase, Registrar, Turn, Verdict};
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind};
use crate::state::calls::Hidden;
use crate::xml::{El, Element};

/// Attributes of a relay's candidate that name the address behind it (XEP-0176 §5.3).
const BEHIND: [&str; 2] = ["rel-addr", "rel-port"];

pub(super) fn register(r: &mut Registrar<'_>) {
    r.iq_transit(Path::FromClient, Phase::Amend, amend);
    r.iq_transit(Path::ToClient, Phase::Amend, amend);
}

fn amend(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    if envelope.stanza.kind != Kind::Iq(IqType::Set)
        || turn.account.parts.find::<Hidden>().is_none()
    {
        return Verdict::Continue;
    }
    let payload = envelope.stanza.payload();
    let Some(jingle) = payload.filter(|el| el.is("jingle", ns::JINGLE)) else {
        return Verdict::Continue;
    };
    let hidden = hide(jingle);
    let stanza = envelope.amend();
    stanza.retain_children(|el| !el.is("jingle", ns::JINGLE));
    stanza.push(hidden);
    envelope.facts = Facts::of(&envelope.stanza);
    Verdict::Continue
}

fn hide(jingle: El<'_>) -> Element {
    each(jingle, |content| {
        let contents = |el: El<'_>| match el.name() {
            "transport" => Some(each(el, way)),
            _ => Some(el.to_element()),
        };
        Some(each(content, contents))
    })
}

/// What may be said of a way.
fn way(el: El<'_>) -> Option<Element> {
    if el.name() != "candidate" {
        return Some(el.to_element());
    }
    matches!(el.attr("type"), Some("relay" | "proxy")).then(|| {
        let mut candidate = el.to_element();
        BEHIND
            .iter()
            .for_each(|name| candidate.set_attr(name, None));
        candidate
    })
}

/// The element with its children made anew.
fn each(el: El<'_>, make: impl Fn(El<'_>) -> Option<Element>) -> Element {
    let mut out = el.to_element();
    out.retain_children(|_| false);
    out.with_children(el.children().filter_map(make))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::{Context, Limits, parse};

    fn read(text: &str) -> Element {
        parse(text.as_bytes(), &Context::client(), &Limits::new(10_000)).unwrap()
    }

    #[test]
    fn only_relays_are_named_and_nothing_behind_them() {
        let jingle = read(
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a'>\
             <content creator='initiator' name='voice'>\
             <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='96'/></description>\
             <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'>\
             <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>02:1A</fingerprint>\
             <candidate type='host' ip='192.0.2.1'/><candidate type='srflx' ip='192.0.2.2' rel-addr='192.0.2.1'/>\
             <candidate type='prflx' ip='192.0.2.3'/><candidate ip='192.0.2.4'/>\
             <candidate type='relay' ip='198.51.100.1' rel-addr='192.0.2.2' rel-port='5'/></transport></content>\
             <content creator='initiator' name='file'><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'>\
             <candidate cid='1' host='192.0.2.1' type='direct'/><candidate cid='2' host='192.0.2.1'/>\
             <candidate cid='3' host='198.51.100.2' type='proxy'/></transport></content></jingle>",
        );
        let expected = read(
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a'>\
             <content creator='initiator' name='voice'>\
             <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='96'/></description>\
             <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'>\
             <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>02:1A</fingerprint>\
             <candidate type='relay' ip='198.51.100.1'/></transport></content>\
             <content creator='initiator' name='file'><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'>\
             <candidate cid='3' host='198.51.100.2' type='proxy'/></transport></content></jingle>",
        );
        assert_eq!(hide(jingle.root()), expected);
    }
}
