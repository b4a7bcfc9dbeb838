//! Certificates that DNS names (DANE: RFC 6698, RFC 7673), as far as DNS is signed.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::links::states;
use super::trials::{has, trial};
use super::world::{Authority, Site, body, chat, error_text, next_message, online};
use crate::operations::dns::{A, Records, SRV, Zone, serve, srv};
use crate::support::server::Running;

const NS: u16 = 2;
const TLSA: u16 = 52;

/// A name that can be told to a DNS server.
fn kept(name: String) -> &'static str {
    name.leak()
}

/// A TLSA record of the certificate in a file: it, by its SHA-256.
fn tlsa(certificate: &Path) -> Vec<u8> {
    let der = CertificateDer::from_pem_file(certificate).unwrap();
    let mut data = vec![3, 0, 1];
    data.extend_from_slice(&Sha256::digest(&der));
    data
}

/// How a server is found by DNS.
fn found(site: &Site, named: &Path) -> Records {
    let port = site.address.port();
    let std::net::IpAddr::V4(ip) = site.address.ip() else {
        panic!("{}", site.address);
    };
    let host = kept(format!("x.{}", site.domain));
    vec![
        ("", NS, vec![1, b'a', 0]),
        (
            kept(format!("_xmpp-server._tcp.{}", site.domain)),
            SRV,
            srv(port, host),
        ),
        (host, A, ip.octets().to_vec()),
        (kept(format!("_{port}._tcp.{host}")), TLSA, tlsa(named)),
    ]
}

/// Two servers; the first finds the second by DNS.
struct World {
    a: Running,
    b: Running,
}

async fn world(dane: &str, authority: &Authority, site_b: &Site, zone: Zone) -> World {
    let mut site_a = Site::new(authority, "a.example");
    site_a.settings = format!(
        "dns_servers = [\"{}\"]\ndane = \"{dane}\"\ngive_up_after = \"1s\"",
        serve(zone)
    );
    World {
        a: site_a.start(authority, &[]).await,
        b: site_b.start(authority, &[&site_a]).await,
    }
}

/// What comes of a message from here to there: whether it arrives, or what its sender is told.
async fn sent(world: &World) -> Result<(), String> {
    let alice = world.a.account("alice").await.unwrap();
    let bob = world.b.account("bob").await.unwrap();
    let mut alice = online(&world.a, &alice).await;
    let mut bob_here = online(&world.b, &bob).await;
    alice.send(chat(&bob, "hello")).await.unwrap();
    tokio::select! {
        message = next_message(&mut bob_here) => {
            assert_eq!(body(&message), "hello");
            Ok(())
        }
        error = next_message(&mut alice) => Err(error_text(&error)),
    }
}

#[tokio::test]
async fn a_certificate_that_signed_dns_names_needs_no_authority() {
    let authority = Authority::new();
    for dane in ["prefer", "require"] {
        let mut site_b = Site::new(&authority, "b.example");
        site_b.certificate = authority.unknown("another.example");
        let zone = Zone {
            records: found(&site_b, &site_b.certificate),
            signed: true,
            bogus: "",
        };
        let world = world(dane, &authority, &site_b, zone).await;
        assert_eq!(sent(&world).await, Ok(()));
        let states = states(&world.a);
        assert!(states[0].contains("certificate by DANE"), "{states:?}");
        let told = trial(&world.a, "b.example").await;
        for text in [
            &format!("certificates by DNS (DANE): {dane}, signatures are checked by 127.0.0.1:"),
            "port ",
            ", signed",
            "TLSA for x.b.example: 3 0 1, signed",
            "their certificate is that which DNS names",
            "all is well",
        ] {
            assert!(has(&told, text), "no {text:?} in {told:#?}");
        }
    }
}

#[tokio::test]
async fn another_certificate_than_signed_dns_names_is_refused_whatever_authorities_say() {
    let authority = Authority::new();
    let site_b = Site::new(&authority, "b.example");
    let other = authority.issue("b.example", |_| {});
    let zone = Zone {
        records: found(&site_b, &other),
        signed: true,
        bogus: "",
    };
    let world = world("prefer", &authority, &site_b, zone).await;
    assert_eq!(
        sent(&world).await.unwrap_err(),
        "b.example: the server's certificate is not accepted: it is none of those that DNS names (DANE)"
    );
}

#[tokio::test]
async fn what_is_not_signed_says_nothing() {
    let authority = Authority::new();
    let other = authority.issue("b.example", |_| {});
    for (dane, signed) in [("prefer", false), ("off", true)] {
        let site_b = Site::new(&authority, "b.example");
        let zone = Zone {
            records: found(&site_b, &other),
            signed,
            bogus: "",
        };
        let world = world(dane, &authority, &site_b, zone).await;
        assert_eq!(sent(&world).await, Ok(()));
        let told = trial(&world.a, "b.example").await;
        let words = match signed {
            true => "certificates by DNS (DANE): off",
            false => "certificates by DNS (DANE): prefer, without effect: 127.0.0.1:",
        };
        assert!(has(&told, words), "{told:#?}");
    }
}

#[tokio::test]
async fn who_must_be_named_and_is_not_is_not_reached() {
    let authority = Authority::new();
    let site_b = Site::new(&authority, "b.example");
    let zone = Zone {
        records: found(&site_b, &site_b.certificate),
        signed: false,
        bogus: "",
    };
    let world = world("require", &authority, &site_b, zone).await;
    let told = trial(&world.a, "b.example").await;
    assert!(
        has(&told, "mend: its zone must be signed, with a TLSA record"),
        "{told:#?}"
    );
    let error = sent(&world).await.unwrap_err();
    assert!(
        error.starts_with(
            "b.example: no signed record in DNS names the certificate of x.b.example port "
        ),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_signatures_are_not_taken_for_none() {
    let authority = Authority::new();
    let site_b = Site::new(&authority, "b.example");
    let records = found(&site_b, &site_b.certificate);
    let bogus = records[3].0;
    let zone = Zone {
        records,
        signed: true,
        bogus,
    };
    let world = world("prefer", &authority, &site_b, zone).await;
    let error = sent(&world).await.unwrap_err();
    assert!(
        error.contains(&format!("DNS gave no answer about {bogus}")),
        "{error}"
    );
}

/// Who calls shows a certificate that nobody vouches for, and is asked back where DNS says that its server is.
#[tokio::test]
async fn who_calls_is_believed_by_the_word_of_a_server_that_dns_names() {
    let authority = Authority::new();
    for (dane, believed) in [("require", true), ("off", false)] {
        let mut site_b = Site::new(&authority, "b.example");
        site_b.certificate = authority.unknown("b.example");
        site_b.settings = "give_up_after = \"1s\"".into();
        let zone = Zone {
            records: found(&site_b, &site_b.certificate),
            signed: true,
            bogus: "",
        };
        let world = world(dane, &authority, &site_b, zone).await;
        let alice = world.a.account("alice").await.unwrap();
        let bob = world.b.account("bob").await.unwrap();
        let mut alice_here = online(&world.a, &alice).await;
        let mut bob = online(&world.b, &bob).await;
        bob.send(chat(&alice, "hello")).await.unwrap();
        let arrived = tokio::select! {
            message = next_message(&mut alice_here) => Ok(body(&message)),
            error = next_message(&mut bob) => Err(error_text(&error)),
        };
        match believed {
            true => assert_eq!(arrived, Ok("hello".to_owned())),
            false => assert!(
                arrived
                    .unwrap_err()
                    .contains("does not accept our identity")
            ),
        }
    }
}
