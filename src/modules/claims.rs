//! Claims that only servers and rooms may make are taken out of what others send:
//! `<stanza-id/>` (XEP-0359, business rule 2), `<delay/>` (XEP-0203), `<occupant-id/>` (XEP-0421),
//! room items and status codes (XEP-0045), carbons (XEP-0280), archive results (XEP-0313).

use std::sync::Arc;

use crate::hooks::{
    Deps, Envelope, Facts, Info, Module, ModuleError, Origin, Path, Phase, Registrar, Turn, Verdict,
};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::xml::El;

/// XEP-0091: Legacy Delayed Delivery, which clients still read.
const DELAY_LEGACY: &str = "jabber:x:delay";

settings! {
    /// Strips what only the server may say.
    pub struct Config {}
}

/// Strips forged claims.
pub struct Claims {
    host: Jid,
}

impl Module for Claims {
    const INFO: Info = Info {
        name: "claims",
        specs: &[],
        doc: "Nobody speaks for the server: forged stanza ids, delays, room items and carbons are removed.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Claims {
            host: deps.host.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let this = self.clone();
        let sent = move |envelope: &mut Envelope, _: &mut Turn<'_>| {
            strip(envelope, |el, from| {
                !claims_more_than_a_client(el, from, &this.host)
            });
            Verdict::Continue
        };
        r.message(Path::FromClient, Phase::Amend, sent.clone());
        r.presence(Path::FromClient, Phase::Amend, sent);
        let arrives = move |envelope: &mut Envelope, turn: &mut Turn<'_>| {
            if envelope.origin != Origin::Server {
                let (host, account) = (&self.host, &turn.account.jid);
                strip(envelope, |el, from| {
                    !claims_to_be_us(el, from, host, account)
                });
            }
            Verdict::Continue
        };
        r.message(Path::ToClient, Phase::Amend, arrives.clone());
        r.presence(Path::ToClient, Phase::Amend, arrives);
    }
}

/// Keeps the children that `keep` accepts, given the sender; what is known of the stanza follows.
fn strip(envelope: &mut Envelope, keep: impl Fn(El<'_>, &Jid) -> bool) {
    let Some(from) = envelope.from().cloned() else {
        return;
    };
    if envelope.stanza.children().all(|el| keep(el, &from)) {
        return;
    }
    envelope.amend().retain_children(|el| keep(el, &from));
    envelope.facts = Facts::of(&envelope.stanza);
}

/// What a client may say of nobody, or of nobody but itself.
fn claims_more_than_a_client(el: El<'_>, from: &Jid, host: &Jid) -> bool {
    match (el.ns(), el.name()) {
        (ns::OCCUPANT_ID, "occupant-id")
        | (ns::CARBONS, "received" | "sent")
        | (ns::MAM, "result") => true,
        (ns::STANZA_ID, "stanza-id") => names(el, "by", |by| by.domain() == host.domain()),
        (ns::DELAY, "delay") | (DELAY_LEGACY, "x") => {
            names(el, "from", |by| by.bare_str() != from.bare_str())
        }
        // Clients send it to rooms with an invitation or its refusal, a password, or empty (XEP-0045 §7.5, §7.8).
        (ns::MUC_USER, "x") => el.children().any(|said| {
            said.ns() == ns::MUC_USER && !matches!(said.name(), "invite" | "decline" | "password")
        }),
        _ => false,
    }
}

/// What only this server may say to this account, whoever said it.
fn claims_to_be_us(el: El<'_>, from: &Jid, host: &Jid, account: &Jid) -> bool {
    let attribute = match (el.ns(), el.name()) {
        (ns::STANZA_ID, "stanza-id") => "by",
        (ns::DELAY, "delay") | (DELAY_LEGACY, "x") => "from",
        (ns::CARBONS, "received" | "sent") => return true,
        _ => return false,
    };
    let is_us = |by: &Jid| by.bare_str() == host.as_str() || by.bare_str() == account.as_str();
    // What a room says of itself needs no other spelling: many get it.
    match el.attr(attribute) == Some(from.bare_str()) {
        true => is_us(from),
        false => names(el, attribute, is_us),
    }
}

/// Whether the attribute is an address, in whatever spelling, that `whom` accepts.
fn names(el: El<'_>, attribute: &str, whom: impl Fn(&Jid) -> bool) -> bool {
    el.attr(attribute)
        .and_then(|by| Jid::parse(by.trim()).ok())
        .is_some_and(|by| whom(&by))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::{Context, Limits, parse};

    fn claims(check: impl Fn(El<'_>) -> bool, xml: &str) -> bool {
        let el = parse(xml.as_bytes(), &Context::client(), &Limits::new(10_000)).unwrap();
        check(el.root())
    }

    #[test]
    fn a_client_speaks_for_itself_only() {
        let romeo = Jid::parse("romeo@x/1").unwrap();
        let host = Jid::parse("x").unwrap();
        let sent = |xml| claims(|el| claims_more_than_a_client(el, &romeo, &host), xml);
        for forged in [
            "<stanza-id xmlns='urn:xmpp:sid:0' by='Romeo@X' id='1'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' by='x' id='1'/>",
            "<delay xmlns='urn:xmpp:delay' from='x' stamp='2002-09-10T23:08:25Z'/>",
            "<delay xmlns='urn:xmpp:delay' from='juliet@x/1' stamp='2002-09-10T23:08:25Z'/>",
            "<x xmlns='jabber:x:delay' from='x' stamp='20020910T23:08:25'/>",
            "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/></x>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@x'/><status code='110'/></x>",
            "<received xmlns='urn:xmpp:carbons:2'/>",
            "<result xmlns='urn:xmpp:mam:2'/>",
        ] {
            assert!(sent(forged), "{forged}");
        }
        for honest in [
            "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>",
            "<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/>",
            "<delay xmlns='urn:xmpp:delay' from='romeo@x/1' stamp='2002-09-10T23:08:25Z'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@x'/></x>",
            "<private xmlns='urn:xmpp:carbons:2'/>",
            "<body>stanza-id</body>",
        ] {
            assert!(!sent(honest), "{honest}");
        }
    }

    #[test]
    fn nobody_speaks_for_this_server_or_account() {
        let (host, juliet) = (Jid::parse("x").unwrap(), Jid::parse("juliet@x").unwrap());
        let froms = ["room@rooms.x/nick", "mallory@y/1", "x", "juliet@x/1"];
        let froms = froms.map(|from| Jid::parse(from).unwrap());
        let arrives = |xml| {
            let [first, rest @ ..] = &froms;
            let says = |from| claims(|el| claims_to_be_us(el, from, &host, &juliet), xml);
            let verdict = says(first);
            assert!(rest.iter().all(|from| says(from) == verdict), "{xml}");
            verdict
        };
        for forged in [
            "<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@x' id='1'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' by='JULIET@X' id='1'/>",
            "<stanza-id xmlns='urn:xmpp:sid:0' by='x' id='1'/>",
            "<delay xmlns='urn:xmpp:delay' from='x' stamp='2002-09-10T23:08:25Z'/>",
            "<sent xmlns='urn:xmpp:carbons:2'/>",
        ] {
            assert!(arrives(forged), "{forged}");
        }
        for honest in [
            "<stanza-id xmlns='urn:xmpp:sid:0' by='room@rooms.x' id='1'/>",
            "<delay xmlns='urn:xmpp:delay' from='room@rooms.x' stamp='2002-09-10T23:08:25Z'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/></x>",
        ] {
            assert!(!arrives(honest), "{honest}");
        }
    }
}
