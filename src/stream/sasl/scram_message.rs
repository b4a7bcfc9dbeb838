//! The two messages of a SCRAM client, parsed as RFC 5802 §7 writes them: order fixed, nothing guessed.

use std::fmt;

use zeroize::Zeroizing;

use super::base64;

/// Longest nonce taken from a client, in bytes; common ones have 20 to 50.
const NONCE_MAX: usize = 512;

/// Why a message was refused. All of it is `malformed-request` to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramSyntax {
    /// Violates the grammar.
    #[error("violates the grammar of RFC 5802 §7")]
    Grammar,
    /// Carries a mandatory extension; none is defined.
    #[error("asks for a mandatory extension")]
    MandatoryExtension,
}

/// What the client says of channel binding (gs2-cbind-flag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingFlag<'a> {
    /// `n`: it cannot.
    Unable,
    /// `y`: it could, but thinks that we cannot.
    NotOffered,
    /// `p=…`: it binds to this.
    Bound(&'a str),
}

/// client-first-message.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// The gs2-cbind-flag.
    pub binding: BindingFlag<'a>,
    /// Authorization identity, decoded.
    pub authzid: Option<String>,
    /// User name, decoded, not prepared.
    pub username: String,
    /// The client's nonce.
    pub nonce: &'a str,
    /// gs2-header as it came.
    pub gs2_header: &'a str,
    /// client-first-message-bare as it came.
    pub bare: &'a str,
}

/// client-final-message.
#[derive(PartialEq, Eq)]
pub struct ClientFinal<'a> {
    /// cbind-input, decoded.
    pub binding: Zeroizing<Vec<u8>>,
    /// Both nonces.
    pub nonce: &'a str,
    /// ClientProof, decoded.
    pub proof: Zeroizing<Vec<u8>>,
    /// client-final-message-without-proof as it came.
    pub without_proof: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Parses a client-first-message.
    pub fn parse(message: &'a [u8]) -> Result<ClientFirst<'a>, ScramSyntax> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(ScramSyntax::Grammar)?;
        let (authzid, bare) = rest.split_once(',').ok_or(ScramSyntax::Grammar)?;
        let mut parts = bare.split(',');
        let username = part(&mut parts, 'n')?;
        let nonce = part(&mut parts, 'r')?;
        extensions(parts)?;
        Ok(ClientFirst {
            binding: binding_flag(flag)?,
            authzid: match authzid {
                "" => None,
                other => Some(saslname(value(other, 'a')?)?),
            },
            username: saslname(username)?,
            nonce: printable(nonce)?,
            gs2_header: message.strip_suffix(bare).ok_or(ScramSyntax::Grammar)?,
            bare,
        })
    }
}

impl<'a> ClientFinal<'a> {
    /// Parses a client-final-message.
    pub fn parse(message: &'a [u8]) -> Result<ClientFinal<'a>, ScramSyntax> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramSyntax::Grammar)?;
        let mut parts = without_proof.split(',');
        let binding = part(&mut parts, 'c')?;
        let nonce = part(&mut parts, 'r')?;
        extensions(parts)?;
        let decode = |text: &str| base64::decode(text).map_err(|_| ScramSyntax::Grammar);
        Ok(ClientFinal {
            binding: decode(binding)?,
            nonce: printable(nonce)?,
            proof: decode(proof)?,
            without_proof,
        })
    }
}

/// Without the proof, with which passwords could be guessed.
impl fmt::Debug for ClientFinal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFinal").finish_non_exhaustive()
    }
}

/// UTF-8 without NUL.
fn text(message: &[u8]) -> Result<&str, ScramSyntax> {
    let text = std::str::from_utf8(message).map_err(|_| ScramSyntax::Grammar)?;
    match text.contains('\0') {
        true => Err(ScramSyntax::Grammar),
        false => Ok(text),
    }
}

fn binding_flag(flag: &str) -> Result<BindingFlag<'_>, ScramSyntax> {
    match flag {
        "n" => Ok(BindingFlag::Unable),
        "y" => Ok(BindingFlag::NotOffered),
        _ => {
            let name = value(flag, 'p')?;
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            match name.chars().all(legal) {
                true => Ok(BindingFlag::Bound(name)),
                false => Err(ScramSyntax::Grammar),
            }
        }
    }
}

/// The next attribute, which must be called `name`.
fn part<'a>(parts: &mut impl Iterator<Item = &'a str>, name: char) -> Result<&'a str, ScramSyntax> {
    value(parts.next().ok_or(ScramSyntax::Grammar)?, name)
}

/// The non-empty value of the attribute called `name`.
fn value(attribute: &str, name: char) -> Result<&str, ScramSyntax> {
    if attribute.starts_with("m=") {
        return Err(ScramSyntax::MandatoryExtension);
    }
    let value = attribute
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='));
    value
        .filter(|value| !value.is_empty())
        .ok_or(ScramSyntax::Grammar)
}

/// Optional extensions are ignored (RFC 5802 §5.1), but they have a form.
fn extensions<'a>(parts: impl Iterator<Item = &'a str>) -> Result<(), ScramSyntax> {
    for attribute in parts {
        let name = attribute.chars().next().ok_or(ScramSyntax::Grammar)?;
        if !name.is_ascii_alphabetic() {
            return Err(ScramSyntax::Grammar);
        }
        value(attribute, name)?;
    }
    Ok(())
}

/// saslname: `,` and `=` are written `=2C` and `=3D`, and a bare `=` is illegal.
fn saslname(name: &str) -> Result<String, ScramSyntax> {
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        decoded.push_str(before);
        rest = if let Some(after) = after.strip_prefix("2C") {
            decoded.push(',');
            after
        } else if let Some(after) = after.strip_prefix("3D") {
            decoded.push('=');
            after
        } else {
            return Err(ScramSyntax::Grammar);
        };
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// A nonce: printable ASCII, bounded.
fn printable(nonce: &str) -> Result<&str, ScramSyntax> {
    match nonce.len() <= NONCE_MAX && nonce.bytes().all(|b| matches!(b, 0x21..=0x7E)) {
        true => Ok(nonce),
        false => Err(ScramSyntax::Grammar),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn first(message: &str) -> Result<ClientFirst<'_>, ScramSyntax> {
        ClientFirst::parse(message.as_bytes())
    }

    #[test]
    fn a_first_message_in_full() {
        let parsed = first("p=tls-exporter,a=o=2Cne@x,n=us=3Der,r=abc,x=1,y==").unwrap();
        assert_eq!(parsed.binding, BindingFlag::Bound("tls-exporter"));
        assert_eq!(parsed.authzid.as_deref(), Some("o,ne@x"));
        assert_eq!(parsed.username, "us=er");
        assert_eq!(parsed.nonce, "abc");
        assert_eq!(parsed.gs2_header, "p=tls-exporter,a=o=2Cne@x,");
        assert_eq!(parsed.bare, "n=us=3Der,r=abc,x=1,y==");
        assert_eq!(first("n,,n=u,r=x").unwrap().binding, BindingFlag::Unable);
        assert_eq!(
            first("y,,n=u,r=x").unwrap().binding,
            BindingFlag::NotOffered
        );
    }

    #[test]
    fn first_messages_that_are_none() {
        for wrong in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=u",
            "n,,r=x,n=u",
            "n,,n=,r=x",
            "n,,n=u,r=",
            "x,,n=u,r=x",
            "p=,,n=u,r=x",
            "p=tls unique,,n=u,r=x",
            "p,,n=u,r=x",
            "n,b,n=u,r=x",
            "n,a=,n=u,r=x",
            "n,,n=u=2c,r=x",
            "n,,n=u=,r=x",
            "n,,n=u,r=x y",
            "n,,n=u,r=é",
            "n,,n=u,r=x,",
            "n,,n=u,r=x,1=a",
            "n,,n=u,r=x,a",
            "n,,n=u,r=x,a=",
            "n,,n=u\0,r=x",
            ",,n=u,r=x",
        ] {
            assert_eq!(first(wrong), Err(ScramSyntax::Grammar), "{wrong}");
        }
        assert!(ClientFirst::parse(b"n,,n=\xff,r=x").is_err());
        assert!(first(&format!("n,,n=u,r={}", "x".repeat(513))).is_err());
    }

    #[test]
    fn mandatory_extensions_are_refused_wherever_they_stand() {
        for wrong in ["n,,m=a,n=u,r=x", "n,,n=u,r=x,m=a"] {
            assert_eq!(first(wrong), Err(ScramSyntax::MandatoryExtension));
        }
        let last = ClientFinal::parse(b"c=biws,r=x,m=1,p=AAAA");
        assert_eq!(last, Err(ScramSyntax::MandatoryExtension));
    }

    #[test]
    fn final_messages() {
        let parsed = ClientFinal::parse(b"c=biws,r=ab,x=19C6,p=AAAA").unwrap();
        assert_eq!(parsed.binding.as_slice(), b"n,,");
        assert_eq!((parsed.nonce, parsed.proof.len()), ("ab", 3));
        assert_eq!(parsed.without_proof, "c=biws,r=ab,x=19C6");
        for wrong in [
            "",
            "c=biws,r=ab",
            "c=biws,p=AAAA",
            "r=ab,c=biws,p=AAAA",
            "c=biws,r=ab,p=AAA",
            "c=b,r=ab,p=AAAA",
            "c=biws,r=ab,p=AAAA,x=1",
            "c=biws,r=ab,,p=AAAA",
            "c=,r=ab,p=AAAA",
        ] {
            assert!(ClientFinal::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
