//! The names a certificate speaks for: dNSName, SRVName (RFC 4985), xmppAddr (RFC 6120 §13.7.1.4). Never the CN.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// `id-on-dnsSRV`, RFC 4985 §2.
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
/// `id-on-xmppAddr`, RFC 6120 §13.7.1.4.
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";

/// The subjectAltNames of one certificate, lower case, domains as A-labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// dNSNames, wildcards as `*.example.org`.
    pub dns: Vec<String>,
    /// SRVNames, for example `_xmpp-client.example.org`.
    pub srv: Vec<String>,
    /// xmppAddrs that are bare domains.
    pub xmpp: Vec<String>,
}

impl CertificateNames {
    /// Reads the subjectAltName extension; a certificate without one speaks for nobody.
    pub fn of(certificate: &X509Certificate<'_>) -> CertificateNames {
        let mut names = CertificateNames::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(dns) => names.dns.push(dns.to_ascii_lowercase()),
                GeneralName::OtherName(oid, value) => names.other(&oid.to_id_string(), value),
                _ => {}
            }
        }
        names
    }

    /// Whether the certificate covers `domain` for `service` (`xmpp-client` or `xmpp-server`), RFC 6120 §13.7.2.
    pub fn cover(&self, domain: &str, service: &str) -> bool {
        let domain = ascii(domain);
        self.dns.iter().any(|name| matches(name, &domain))
            || self.xmpp.contains(&domain)
            || self
                .srv
                .iter()
                .any(|name| srv_matches(name, &domain, service))
    }

    /// All names in one line for people.
    pub fn listed(&self) -> String {
        let all: Vec<&str> = [&self.dns, &self.srv, &self.xmpp]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if all.is_empty() {
            return "no name at all".to_owned();
        }
        all.join(", ")
    }

    fn other(&mut self, oid: &str, value: &[u8]) {
        let Some(text) = explicit_string(value) else {
            return;
        };
        match oid {
            SRV_NAME => self.srv.push(text.to_ascii_lowercase()),
            XMPP_ADDR => self.xmpp.push(ascii(text)),
            _ => {}
        }
    }
}

/// The domain as lower-case A-labels, without a trailing dot; what is no domain stays as it is and matches nothing.
pub(super) fn ascii(domain: &str) -> String {
    let mut name = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_ascii_lowercase());
    if name.ends_with('.') {
        name.pop();
    }
    name
}

/// A wildcard stands for exactly one leftmost label (RFC 9525 §6.3).
pub(super) fn matches(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == domain,
        Some(parent) => domain
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
    }
}

fn srv_matches(name: &str, domain: &str, service: &str) -> bool {
    name.strip_prefix('_')
        .and_then(|name| name.split_once('.'))
        .is_some_and(|(named, of)| named == service && of == domain)
}

/// `[0] EXPLICIT` of a UTF8String or IA5String, as an otherName's value is written. Nothing longer than 255 bytes.
fn explicit_string(value: &[u8]) -> Option<&str> {
    let inner = tagged(value, &[0xa0])?;
    std::str::from_utf8(tagged(inner, &[0x0c, 0x16])?).ok()
}

fn tagged<'a>(value: &'a [u8], tags: &[u8]) -> Option<&'a [u8]> {
    let (tag, rest) = value.split_first()?;
    let (length, mut rest) = rest.split_first()?;
    if !tags.contains(tag) {
        return None;
    }
    let mut length = *length;
    if length == 0x81 {
        let (long, after) = rest.split_first()?;
        (length, rest) = (*long, after);
    } else if length >= 0x80 {
        return None;
    }
    (rest.len() == usize::from(length)).then_some(rest)
}

/// For whom a certificate (DER) is, from whom, and for how long.
pub fn certificate_in_words(der: &[u8]) -> String {
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, parsed)) => format!(
            "for {}, from \"{}\", valid until {}",
            CertificateNames::of(&parsed).listed(),
            parsed.issuer(),
            parsed.validity().not_after.to_datetime().date()
        ),
        Err(error) => format!("it cannot be understood: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn wildcard_covers_one_leftmost_label() {
        assert!(matches("*.example.org", "chat.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", "a.b.example.org"));
        assert!(!matches("*.example.org", ".example.org"));
        assert!(matches("example.org", "example.org"));
    }

    #[test]
    fn names_of_all_kinds_are_read_from_a_certificate() {
        let mut params =
            rcgen::CertificateParams::new(vec!["Example.org".into(), "*.example.org".into()])
                .unwrap();
        params.subject_alt_names.push(rcgen::SanType::OtherName((
            vec![1, 3, 6, 1, 5, 5, 7, 8, 5],
            rcgen::OtherNameValue::Utf8String("bücher.example".into()),
        )));
        params.subject_alt_names.push(rcgen::SanType::OtherName((
            vec![1, 3, 6, 1, 5, 5, 7, 8, 7],
            rcgen::OtherNameValue::Utf8String("_xmpp-client.other.example".into()),
        )));
        let key = rcgen::KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let names = CertificateNames::of(&parsed);
        assert!(names.cover("EXAMPLE.org", "xmpp-client"));
        assert!(names.cover("rooms.example.org", "xmpp-client"));
        assert!(names.cover("bücher.example", "xmpp-server"));
        assert!(names.cover("other.example", "xmpp-client"));
        assert!(!names.cover("other.example", "xmpp-server"));
        assert!(!names.cover("elsewhere.example", "xmpp-client"));
    }

    #[test]
    fn a_broken_other_name_is_no_name() {
        assert_eq!(explicit_string(&[0xa0, 3, 0x0c, 1, b'a']), Some("a"));
        for bad in [
            &[][..],
            &[0xa0],
            &[0xa0, 3, 0x0c, 2, b'a'],
            &[0xa0, 0x82, 0, 1, 0],
            &[0x30, 3, 0x0c, 1, b'a'],
        ] {
            assert_eq!(explicit_string(bad), None);
        }
    }
}
