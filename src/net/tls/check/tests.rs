//! Each thing that can be wrong with a certificate is found.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::os::unix::fs::PermissionsExt;

/// 2030-06-01.
const NOW: u64 = 1_906_502_400_000;

struct Made {
    own: String,
    key: String,
    intermediate: String,
    root: String,
}

fn params(name: &str, from: i32, until: (i32, u8, u8)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, 2020, (2040, 1, 1));
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn made(own: CertificateParams) -> Made {
    let (root_key, key, own_key) = (
        KeyPair::generate().unwrap(),
        KeyPair::generate().unwrap(),
        KeyPair::generate().unwrap(),
    );
    let root = authority("Root").self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(authority("Root"), root_key);
    let intermediate = authority("Intermediate")
        .signed_by(&key, &root_issuer)
        .unwrap();
    let issuer = Issuer::new(authority("Intermediate"), key);
    Made {
        own: own.signed_by(&own_key, &issuer).unwrap().pem(),
        key: own_key.serialize_pem(),
        intermediate: intermediate.pem(),
        root: root.pem(),
    }
}

fn good() -> Made {
    made(params("own", 2030, (2031, 1, 1)))
}

fn found(files: &[&str]) -> Vec<(Level, String)> {
    found_for("example.org", files, 0o600)
}

fn found_for(domain: &str, files: &[&str], mode: u32) -> Vec<(Level, String)> {
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("all.pem");
    std::fs::write(&chain, files.concat()).unwrap();
    std::fs::set_permissions(&chain, std::fs::Permissions::from_mode(mode)).unwrap();
    let source = CertificateSource {
        domain: domain.into(),
        chain,
        key: None,
    };
    examine(&source, NOW)
        .into_iter()
        .map(|finding| (finding.level, finding.text))
        .collect()
}

fn only(findings: Vec<(Level, String)>, level: Level, part: &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].0, level, "{findings:?}");
    assert!(findings[0].1.contains(part), "{findings:?}");
}

#[test]
fn a_good_chain_has_no_findings() {
    let made = good();
    assert_eq!(found(&[&made.key, &made.own, &made.intermediate]), []);
    assert_eq!(
        found(&[&made.own, &made.intermediate, &made.root, &made.key]),
        []
    );
}

#[test]
fn a_chain_incomplete_or_out_of_order() {
    let made = good();
    only(found(&[&made.own, &made.key]), Level::Warning, "incomplete");
    only(
        found(&[&made.own, &made.root, &made.key]),
        Level::Error,
        "broken",
    );
    only(
        found(&[&made.own, &made.root, &made.intermediate, &made.key]),
        Level::Error,
        "out of order",
    );
    let first = found(&[&made.intermediate, &made.own, &made.key]);
    assert!(
        first
            .iter()
            .any(|(_, text)| text.contains("own certificate must come first")),
        "{first:?}"
    );
}

#[test]
fn names_that_do_not_cover() {
    let made = good();
    only(
        found_for(
            "chat.example.org",
            &[&made.own, &made.intermediate, &made.key],
            0o600,
        ),
        Level::Error,
        "does not cover",
    );
}

#[test]
fn times() {
    let not_yet = made(params("own", 2031, (2032, 1, 1)));
    only(
        found(&[&not_yet.own, &not_yet.intermediate, &not_yet.key]),
        Level::Error,
        "not valid before",
    );
    let expired = made(params("own", 2029, (2030, 5, 1)));
    only(
        found(&[&expired.own, &expired.intermediate, &expired.key]),
        Level::Error,
        "expired on 2030-05-01",
    );
    let soon = made(params("own", 2029, (2030, 6, 14)));
    only(
        found(&[&soon.own, &soon.intermediate, &soon.key]),
        Level::Warning,
        "expires in 13 days, on 2030-06-14",
    );
    let later = made(params("own", 2029, (2030, 6, 16)));
    assert_eq!(found(&[&later.own, &later.intermediate, &later.key]), []);
}

#[test]
fn files_missing_readable_by_all_or_mismatched() {
    let (one, other) = (good(), good());
    only(
        found_for(
            "example.org",
            &[&one.own, &one.intermediate, &one.key],
            0o644,
        ),
        Level::Warning,
        "readable by everybody",
    );
    only(
        found(&[&one.own, &one.intermediate, &other.key]),
        Level::Error,
        "does not belong",
    );
    let source = CertificateSource {
        domain: "example.org".into(),
        chain: "/nonexistent/a.pem".into(),
        key: None,
    };
    assert_eq!(
        examine(&source, NOW)[0].text,
        "/nonexistent/a.pem does not exist"
    );
}

#[test]
fn a_weak_key() {
    let (weak, key) = (include_str!("weak.pem"), good().key);
    let findings = found(&[weak, &key]);
    assert!(
        findings
            .iter()
            .any(|(level, text)| *level == Level::Error && text.contains("RSA with 1024 bits")),
        "{findings:?}"
    );
}

#[test]
fn self_signed_is_said() {
    let key = KeyPair::generate().unwrap();
    let own = params("own", 2030, (2031, 1, 1)).self_signed(&key).unwrap();
    only(
        found(&[&own.pem(), &key.serialize_pem()]),
        Level::Warning,
        "self-signed",
    );
}
