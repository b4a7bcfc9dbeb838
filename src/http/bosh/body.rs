//! The wrapper of every request and answer (XEP-0124 §6), read and written.

use hyper::body::Bytes;

use crate::proto::ns;
use crate::xml::{self, El, Element, Limits};

/// XEP-0206 §3.
const XBOSH: &str = "urn:xmpp:xbosh";
/// Largest request id (§14.1): 2⁵³ − 1.
const LARGEST: u64 = 9_007_199_254_740_991;

/// What a client asks.
pub(super) struct Ask {
    pub rid: u64,
    pub sid: Option<String>,
    pub kind: Kind,
    pub key: Option<String>,
    pub newkey: Option<String>,
    /// Up to which request the client has got all answers (§9.2).
    pub ack: Option<u64>,
    /// Each a document by itself.
    pub payload: Vec<Vec<u8>>,
}

/// What an ask is for, besides what it carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever there is.
    Data,
    /// A session, when there is no `sid` (§7.1).
    Session(Wishes),
    /// A new stream (XEP-0206 §5).
    Restart(Address),
    /// To be away for so many seconds (§10).
    Pause(u64),
    /// The end (§13).
    Terminate,
}

/// What a session is to be like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub address: Address,
    pub wait: u64,
    pub hold: u64,
    pub ack: bool,
    /// The version of XEP-0124 that the client knows.
    pub version: Option<Version>,
}

/// Major and minor.
pub(super) type Version = (u64, u64);

/// What a stream header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub to: Option<String>,
    from: Option<String>,
    lang: Option<String>,
}

/// The body is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadBody;

/// Reads a request.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Ask, BadBody> {
    let body = xml::parse_document(bytes, limits).map_err(|_| BadBody)?;
    let text = body.text();
    if !body.is("body", ns::HTTP_BIND) || !text.chars().all(char::is_whitespace) {
        return Err(BadBody);
    }
    let rid = body
        .attr("rid")
        .and_then(number)
        .filter(|rid| *rid <= LARGEST);
    let owned = |name: &str| body.attr(name).map(str::to_owned);
    let kind = kind(&body)?;
    let ack = body.attr("ack").map(|ack| number(ack).ok_or(BadBody));
    // What comes with a new stream is of none (XEP-0206 §5).
    let payload = body
        .children()
        .filter(|_| !matches!(kind, Kind::Restart(_)));
    Ok(Ask {
        rid: rid.ok_or(BadBody)?,
        sid: owned("sid"),
        key: owned("key"),
        newkey: owned("newkey"),
        ack: ack.transpose()?,
        payload: payload.map(document).collect(),
        kind,
    })
}

fn kind(body: &Element) -> Result<Kind, BadBody> {
    let owned = |name: &str| body.attr(name).map(str::to_owned);
    let address = || Address {
        to: owned("to"),
        from: owned("from"),
        lang: owned("xml:lang"),
    };
    if body.attr("type") == Some("terminate") {
        return Ok(Kind::Terminate);
    }
    if body.attr("sid").is_none() {
        let count = |name, usual| match body.attr(name) {
            Some(text) => number(text).ok_or(BadBody),
            None => Ok(usual),
        };
        return Ok(Kind::Session(Wishes {
            address: address(),
            wait: count("wait", 60)?,
            hold: count("hold", 1)?,
            ack: body.attr("ack") == Some("1"),
            version: body.attr("ver").and_then(version),
        }));
    }
    if let Some(pause) = body.attr("pause") {
        return Ok(Kind::Pause(number(pause).ok_or(BadBody)?));
    }
    let mut attrs = body.attrs();
    let restart = attrs
        .any(|(name, ns, value)| (name, ns) == ("restart", XBOSH) && matches!(value, "true" | "1"));
    Ok(match restart {
        true => Kind::Restart(address()),
        false => Kind::Data,
    })
}

fn version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A payload by itself. One in the wrapper's namespace is meant for `jabber:client` (XEP-0206 §2), which is what a document
/// without one is in.
fn document(payload: El<'_>) -> Vec<u8> {
    let mut document = Vec::new();
    let inherited = match payload.ns() {
        ns::HTTP_BIND => ns::HTTP_BIND,
        _ => "",
    };
    xml::write::element(payload, inherited, &mut document);
    document
}

impl Address {
    /// The header of a framed stream (RFC 7395 §3.4).
    pub(super) fn open(&self) -> Vec<u8> {
        let mut open = Element::new("open", ns::FRAMING).with_attr("version", "1.0");
        open.set_attr("to", self.to.as_deref());
        open.set_attr("from", self.from.as_deref());
        open.set_attr("xml:lang", self.lang.as_deref());
        document(open.root())
    }
}

/// Writes an answer.
pub(super) fn write(attributes: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(payload.len() + 256);
    body.extend_from_slice(b"<body");
    let declared = [
        ("xmlns", ns::HTTP_BIND),
        ("xmlns:xmpp", XBOSH),
        ("xmlns:stream", ns::STREAM),
    ];
    for (name, value) in declared.iter().chain(attributes) {
        body.push(b' ');
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"='");
        xml::write::attr_value(value, &mut body);
        body.push(b'\'');
    }
    body.push(b'>');
    body.extend_from_slice(payload);
    body.extend_from_slice(b"</body>");
    Bytes::from(body)
}

/// The end of a session, because of `condition` (§17.2) unless it is empty.
pub(super) fn terminate(condition: &str, payload: &[u8]) -> Bytes {
    match condition {
        "" => write(&[("type", "terminate")], payload),
        condition => write(&[("type", "terminate"), ("condition", condition)], payload),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn ask(body: &str) -> Result<Ask, BadBody> {
        read(body.as_bytes(), &Limits::new(10_000))
    }

    #[test]
    fn requests_are_read() {
        let session = ask(
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='7' to='a.example' ver='1.10' wait='60' hold='1' ack='1' xml:lang='de'/>",
        );
        let session = session.unwrap();
        let Kind::Session(wishes) = session.kind else {
            unreachable!()
        };
        assert_eq!(
            (session.rid, wishes.wait, wishes.hold, wishes.ack),
            (7, 60, 1, true)
        );
        assert_eq!(wishes.version, Some((1, 10)));
        let open = String::from_utf8(wishes.address.open()).unwrap();
        assert!(
            open.contains("to='a.example'") && open.contains("xml:lang='de'"),
            "{open}"
        );
        let with = |rest: &str| {
            ask(&format!(
                "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' sid='s' rid='8' {rest}"
            ))
        };
        assert_eq!(with("/>").unwrap().kind, Kind::Data);
        assert_eq!(with("pause='60'/>").unwrap().kind, Kind::Pause(60));
        assert_eq!(with("type='terminate'/>").unwrap().kind, Kind::Terminate);
        assert!(matches!(
            with("xmpp:restart='true'/>").unwrap().kind,
            Kind::Restart(_)
        ));
        assert_eq!(with("restart='true'/>").unwrap().kind, Kind::Data);
        let restart = with("xmpp:restart='true'><presence/></body>").unwrap();
        assert!(restart.payload.is_empty());
        assert_eq!(with("ack='7'/>").unwrap().ack, Some(7));
        let data = with(
            "><message xmlns='jabber:client'><body>a</body></message><presence/><r xmlns='urn:xmpp:sm:3'/></body>",
        );
        let data = data.unwrap().payload;
        assert_eq!(
            data[0],
            b"<message xmlns='jabber:client'><body>a</body></message>"
        );
        assert_eq!(
            (data[1].as_slice(), data[2].as_slice()),
            (&b"<presence/>"[..], &b"<r xmlns='urn:xmpp:sm:3'/>"[..])
        );
    }

    #[test]
    fn what_is_no_request() {
        for wrong in [
            "",
            "<body/>",
            "<body xmlns='http://jabber.org/protocol/httpbind'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='-1'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='9007199254740992'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' wait='soon'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='2' sid='s' ack='all'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>text</body>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'><a></body>",
            "<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>",
        ] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_are_written() {
        let answer = String::from_utf8(terminate("policy-violation", b"<a/>").to_vec()).unwrap();
        assert!(answer.starts_with("<body xmlns='http://jabber.org/protocol/httpbind'"));
        assert!(answer.ends_with(" type='terminate' condition='policy-violation'><a/></body>"));
    }
}
