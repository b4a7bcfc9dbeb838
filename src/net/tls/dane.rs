//! Which certificates DNS names as those of a server (DANE: RFC 6698, RFC 7671), and whether a chain is one of them.

use std::fmt;

use sha2::{Digest, Sha256, Sha512};

use super::trust::Trust;

/// A TLSA record that decides without other authorities: of an authority of theirs (DANE-TA, usage 2) or of their own
/// certificate (DANE-EE, usage 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Authority = 2,
    Own = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selector {
    Certificate = 0,
    Key = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    Whole = 0,
    Sha256 = 1,
    Sha512 = 2,
}

impl Tlsa {
    /// A record as DNS has it; nothing if it is none that can be used here (RFC 6698 §4.1). What only narrows the choice of
    /// public authorities (usages 0 and 1) is not: then these decide alone.
    pub fn new(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Option<Tlsa> {
        let (matching, length) = match matching {
            0 => (Matching::Whole, None),
            1 => (Matching::Sha256, Some(32)),
            2 => (Matching::Sha512, Some(64)),
            _ => return None,
        };
        let record = Tlsa {
            usage: match usage {
                2 => Usage::Authority,
                3 => Usage::Own,
                _ => return None,
            },
            selector: match selector {
                0 => Selector::Certificate,
                1 => Selector::Key,
                _ => return None,
            },
            matching,
            data,
        };
        let whole = length.map_or(!record.data.is_empty(), |length| {
            record.data.len() == length
        });
        whole.then_some(record)
    }

    /// Whether it names this certificate (DER), or its key.
    fn names(&self, certificate: &[u8]) -> bool {
        let selected = match self.selector {
            Selector::Certificate => Some(certificate),
            Selector::Key => key(certificate),
        };
        selected.is_some_and(|selected| match self.matching {
            Matching::Whole => selected == self.data,
            Matching::Sha256 => Sha256::digest(selected)[..] == self.data[..],
            Matching::Sha512 => Sha512::digest(selected)[..] == self.data[..],
        })
    }

    /// The authorities that it names, as far as the chain or the record itself shows them.
    fn authorities<'a>(&'a self, issuers: &'a [Vec<u8>]) -> impl Iterator<Item = &'a [u8]> {
        let whole = self.matching == Matching::Whole && self.selector == Selector::Certificate;
        let told = whole.then_some(self.data.as_slice());
        let shown = issuers.iter().map(Vec::as_slice);
        shown.filter(|der| self.names(der)).chain(told)
    }
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, selector) = (self.usage as u8, self.selector as u8);
        write!(f, "{usage} {selector} {}", self.matching as u8)
    }
}

/// Whether one of the records names this chain (DER, the peer's own first). Of a certificate that is named itself nothing
/// else counts, neither names nor dates (RFC 7671 §5.1); below an authority it must be valid for one of `names` at `now`
/// (Unix milliseconds).
///
/// # Errors
/// Why not, in words.
pub fn is_named(
    records: &[Tlsa],
    chain: &[Vec<u8>],
    names: &[&str],
    now: u64,
) -> Result<(), String> {
    let Some((own, issuers)) = chain.split_first() else {
        return Err("no certificate was shown".to_owned());
    };
    let mut why = "it is none of those that DNS names (DANE)".to_owned();
    for record in records {
        if record.usage == Usage::Own {
            if record.names(own) {
                return Ok(());
            }
            continue;
        }
        for trust in record.authorities(issuers).filter_map(Trust::only) {
            for name in names {
                match trust.proves(chain, name, now) {
                    Ok(()) => return Ok(()),
                    Err(error) => why = format!("{error} (DANE)"),
                }
            }
        }
    }
    Err(why)
}

/// The SubjectPublicKeyInfo of a certificate.
fn key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.tbs_certificate.subject_pki.raw)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    const NOW: u64 = 1_780_000_000_000;

    /// A certificate for x.example, that of its authority, and the key of the former.
    fn chain() -> (Vec<Vec<u8>>, Vec<u8>) {
        let authority = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(&authority).unwrap();
        let issuer = Issuer::new(params, authority);
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
        let leaf = params.signed_by(&own, &issuer).unwrap();
        let spki = key(leaf.der()).unwrap().to_vec();
        (vec![leaf.der().to_vec(), made.der().to_vec()], spki)
    }

    fn named(record: Option<Tlsa>, chain: &[Vec<u8>], name: &str) -> Result<(), String> {
        is_named(&[record.unwrap()], chain, &[name], NOW)
    }

    #[test]
    fn every_selector_and_matching_names_a_certificate_whatever_it_says_itself() {
        let (chain, spki) = chain();
        let (leaf, key) = (chain[0].clone(), spki);
        let all = [
            (0, 0, leaf.clone()),
            (0, 1, Sha256::digest(&leaf).to_vec()),
            (0, 2, Sha512::digest(&leaf).to_vec()),
            (1, 0, key.clone()),
            (1, 1, Sha256::digest(&key).to_vec()),
            (1, 2, Sha512::digest(&key).to_vec()),
        ];
        let (other, _) = self::chain();
        for (selector, matching, data) in all {
            let record = Tlsa::new(3, selector, matching, data);
            assert_eq!(named(record.clone(), &chain, "another.example"), Ok(()));
            let error = named(record, &other, "x.example").unwrap_err();
            assert_eq!(error, "it is none of those that DNS names (DANE)");
        }
    }

    #[test]
    fn below_a_named_authority_a_certificate_must_be_for_the_domain() {
        let (chain, _) = chain();
        let authority = chain[1].clone();
        let hashed = Tlsa::new(2, 0, 1, Sha256::digest(&authority).to_vec());
        assert_eq!(named(hashed.clone(), &chain, "x.example"), Ok(()));
        let error = named(hashed.clone(), &chain, "y.example").unwrap_err();
        assert_eq!(error, "it is not for y.example but for x.example (DANE)");
        // It must be shown, unless the record holds all of it.
        assert!(named(hashed.clone(), &chain[..1], "x.example").is_err());
        let whole = Tlsa::new(2, 0, 0, authority.clone());
        assert_eq!(named(whole, &chain[..1], "x.example"), Ok(()));
        // Whoever shows it beside something else has proved nothing.
        let (other, _) = self::chain();
        let mixed = vec![other[0].clone(), authority];
        assert!(named(hashed, &mixed, "x.example").is_err());
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let digest = vec![0; 32];
        for (usage, selector, matching, length) in [
            (0, 0, 1, 32),
            (1, 1, 1, 32),
            (3, 2, 1, 32),
            (3, 1, 3, 32),
            (3, 1, 1, 31),
            (3, 1, 2, 32),
            (3, 1, 0, 0),
        ] {
            let record = Tlsa::new(usage, selector, matching, digest[..length].to_vec());
            assert_eq!(record, None, "{usage} {selector} {matching}");
        }
        let good = Tlsa::new(3, 1, 1, digest).unwrap();
        assert_eq!(good.to_string(), "3 1 1");
    }
}
