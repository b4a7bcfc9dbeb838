//! Preparation of the three parts of an address (RFC 7622 §3, RFC 6122 appendix A, UTS 46).

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{Fault, Jid, JidError, MAX_PART, Part};

/// The address as it stands, if it is plain ASCII in canonical form already, as nearly all are.
pub(super) fn canonical(text: &str) -> Option<Jid> {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    let (node, domain) = match bare.split_once('@') {
        Some((node, domain)) => (Some(node), domain),
        None => (None, bare),
    };
    let plain = node.is_none_or(|n| fits(n) && n.bytes().all(plain_node_byte))
        && plain_domain(domain)
        && resource.is_none_or(|r| fits(r) && r.bytes().all(|b| matches!(b, b' '..=b'~')));
    plain.then(|| Jid {
        text: Arc::from(text),
        node: node.map_or(0, str::len) as u16,
        bare: bare.len() as u16,
    })
}

/// Nodeprep: case folding, NFKC, prohibited characters, Unicode 3.2 only, bidirectional rule.
pub(super) fn node(text: &str) -> Result<Cow<'_, str>, JidError> {
    let part = Part::Localpart;
    checked_length(part, text)?;
    let prepared = stringprep::nodeprep(text).map_err(|_| invalid(part))?;
    checked_length(part, &prepared)?;
    stable(part, &prepared, |again| {
        stringprep::nodeprep(again).is_ok_and(|p| p == again)
    })?;
    Ok(prepared)
}

/// One canonical form per domain, so that `xn--bcher-kva.example` is `bücher.example`.
pub(super) fn domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    let part = Part::Domainpart;
    checked_length(part, text)?;
    if plain_domain(text) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let literal = inner
            .strip_suffix(']')
            .and_then(|ip| ip.parse::<Ipv6Addr>().ok());
        return match literal {
            Some(ip) => Ok(Cow::Owned(format!("[{ip}]"))),
            None => Err(invalid(part)),
        };
    }
    let prepared = to_unicode(text).ok_or(invalid(part))?;
    checked_length(part, &prepared)?;
    stable(part, &prepared, |again| {
        to_unicode(again).is_some_and(|p| p == again)
    })?;
    Ok(Cow::Owned(prepared))
}

/// OpaqueString with today's characters: other spaces become U+0020, NFC, no controls.
pub(super) fn resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    let part = Part::Resourcepart;
    checked_length(part, text)?;
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text
        .chars()
        .map(|c| if is_other_space(c) { ' ' } else { c });
    let prepared: String = spaced.nfc().collect();
    if prepared.chars().any(is_refused_in_resource) {
        return Err(invalid(part));
    }
    checked_length(part, &prepared)?;
    Ok(Cow::Owned(prepared))
}

/// The localpart an account may be created with: prepared by nodeprep, and a name that PRECIS'
/// UsernameCaseMapped (RFC 8265 §3.3) takes and leaves as it is, so that peers of either school
/// agree on it (XEP-0479 leaves RFC 7622 out for the few characters where they differ).
pub fn registrable_node(text: &str) -> Result<String, JidError> {
    let prepared = node(text)?;
    let case_mapped: String = text
        .chars()
        .map(narrow)
        .flat_map(char::to_lowercase)
        .nfc()
        .collect();
    let identifier = |c: char| match c {
        '!'..='~' => true,
        _ => !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c)),
    };
    if case_mapped == prepared && prepared.chars().all(identifier) {
        return Ok(prepared.into_owned());
    }
    Err(invalid(Part::Localpart))
}

/// IDNA ToUnicode in the sense of RFC 7622 §3.2; one final dot is dropped.
fn to_unicode(text: &str) -> Option<String> {
    let (name, result) = Uts46::new().to_unicode(
        text.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
    );
    result.ok()?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    name.split('.')
        .all(|label| !label.is_empty())
        .then(|| name.to_owned())
}

/// Whether a domain is lower-case LDH labels, none of them an A-label; IPv4 addresses are such.
fn plain_domain(text: &str) -> bool {
    fits(text)
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && !label.starts_with("xn--")
        })
}

/// ASCII that nodeprep leaves as it is.
fn plain_node_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'%' | b'('..=b'.' | b';' | b'=' | b'?'
        | b'['..=b'`' | b'{'..=b'~')
}

/// Space separators (Zs) other than U+0020.
fn is_other_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// Controls, bidirectional controls, line separators, the byte order mark, interlinear
/// annotation, private use and noncharacters. Joiners, variation selectors and tags make emoji.
fn is_refused_in_resource(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'..='\u{10ffff}')
        || (c as u32) & 0xfffe == 0xfffe
}

/// The PRECIS width-mapping rule for what is common: full-width ASCII to ASCII.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Preparation must not change what it made; the few strings where it would are refused.
fn stable(part: Part, prepared: &str, is_fixed: impl Fn(&str) -> bool) -> Result<(), JidError> {
    if prepared.is_ascii() || is_fixed(prepared) {
        return Ok(());
    }
    Err(invalid(part))
}

fn checked_length(part: Part, text: &str) -> Result<(), JidError> {
    let fault = match text.len() {
        0 => Fault::Empty,
        1..=MAX_PART => return Ok(()),
        _ => Fault::TooLong,
    };
    Err(JidError { part, fault })
}

fn fits(text: &str) -> bool {
    (1..=MAX_PART).contains(&text.len())
}

fn invalid(part: Part) -> JidError {
    JidError {
        part,
        fault: Fault::Invalid,
    }
}
