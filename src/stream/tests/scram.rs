//! RFC 5802, RFC 7677, XEP-0474: SCRAM by the examples, and what must be refused.

use std::sync::Arc;

use ::sasl::server::{Mechanism, MechanismError, Response};

use super::play::*;
use crate::stream::sasl::scram::{Scram, downgrade_hash};
use crate::stream::*;

fn decode(text: &str) -> Vec<u8> {
    sasl::base64::decode(text).unwrap().to_vec()
}

/// Plays the example of an RFC.
fn example(hash: ScramHash, salt: &str, server_nonce: &str, dialogue: [&str; 4]) {
    let keys = ScramKeys::derive(hash, "pencil", &decode(salt), 4096);
    let mut scram = Scram::new(hash, false, keys, Arc::default(), None, server_nonce.into());
    let first = scram.respond(dialogue[0].as_bytes()).unwrap();
    assert_eq!(first, Response::Proceed(dialogue[1].into()));
    let last = scram.respond(dialogue[2].as_bytes()).unwrap();
    assert_eq!(last, Response::Success("user".into(), dialogue[3].into()));
    let again = scram.respond(dialogue[2].as_bytes());
    assert_eq!(again, Err(MechanismError::SaslSessionAlreadyOver));
}

#[test]
fn the_examples_of_the_rfcs() {
    example(
        ScramHash::Sha1,
        "QSXCR+Q6sek8bf92",
        "3rfcNHYJY1ZVvWVs7j",
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    );
    example(
        ScramHash::Sha256,
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    );
}

#[test]
fn the_downgrade_hash_of_the_xep() {
    let bindings = Bindings::of(Some(&tls()));
    let hash = downgrade_hash(
        ScramHash::Sha1,
        ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"],
        &bindings,
    );
    assert_eq!(hash, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    let without = downgrade_hash(ScramHash::Sha1, ["PLAIN"], &Bindings::default());
    assert_eq!(
        without,
        sasl::base64::encode(&ScramHash::Sha1.digest(b"PLAIN"))
    );
}

/// A client by hand: its first message is given, the rest is computed as told.
struct Client {
    hash: ScramHash,
    first: String,
    /// The cbind-input it sends.
    binding: Vec<u8>,
    nonce: fn(&str) -> String,
    extension: &'static str,
    password: &'static str,
}

impl Client {
    fn new(hash: ScramHash, header: &str, data: &[u8]) -> Client {
        Client {
            hash,
            first: format!("{header}n=juliet,r=abc"),
            binding: [header.as_bytes(), data].concat(),
            nonce: |nonce| nonce.to_owned(),
            extension: "",
            password: PASSWORD,
        }
    }

    fn last(&self, server_first: &str) -> String {
        let part = |name| {
            server_first
                .split(',')
                .find_map(|part: &str| part.strip_prefix(name))
                .unwrap()
        };
        let nonce = (self.nonce)(part("r="));
        let salt = decode(part("s="));
        let without = format!("c={},r={nonce}{}", base64(&self.binding), self.extension);
        let bare = self.first.splitn(3, ',').nth(2).unwrap();
        let message = format!("{bare},{server_first},{without}");
        let iterations = part("i=").parse().unwrap();
        let salted = self
            .hash
            .salt_password(self.password.as_bytes(), &salt, iterations);
        let key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.digest(&key), message.as_bytes());
        let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        format!("{without},p={}", base64(proof))
    }

    /// Logs in by SASL1; the last thing heard.
    fn play(&self, play: &mut Play, mechanism: &str) -> String {
        let heard = play.say(&auth(mechanism, &base64(&self.first)));
        if !heard.starts_with("<challenge") {
            return heard;
        }
        let last = self.last(&decoded(&heard, "challenge"));
        play.say(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            base64(last)
        ))
    }
}

const EXPORTER: &str = "p=tls-exporter,,";

#[test]
fn every_mechanism_logs_in() {
    for hash in ScramHash::ALL {
        for (header, data) in [
            ("n,,", &[][..]),
            (EXPORTER, &[5; 32]),
            ("p=tls-server-end-point,,", &[6; 32]),
        ] {
            let mechanism = hash.mechanism(header != "n,,");
            let heard = Client::new(hash, header, data).play(&mut Play::tls().opened(), mechanism);
            assert!(
                heard.starts_with("<success"),
                "{mechanism} {header}: {heard}"
            );
            assert!(decoded(&heard, "success").starts_with("v="));
        }
    }
}

#[test]
fn y_is_for_streams_that_bind_nothing() {
    let client = Client::new(ScramHash::Sha256, "y,,", &[]);
    let heard = client.play(&mut Play::tls().opened(), "SCRAM-SHA-256");
    assert!(heard.contains("<not-authorized/>"), "{heard}");
    let place = Peer {
        secure_by_place: true,
        ..peer()
    };
    let heard = client.play(
        &mut Play::new(settings(|_| ()), place, None).opened(),
        "SCRAM-SHA-256",
    );
    assert!(heard.starts_with("<success"), "{heard}");
}

#[test]
fn the_server_says_what_it_offered() {
    let mut play = Play::tls().opened();
    let heard = play.say(&auth("SCRAM-SHA-256", &base64("n,,n=juliet,r=abc")));
    let server_first = decoded(&heard, "challenge");
    let names: Vec<&str> = ScramHash::ALL
        .iter()
        .flat_map(|hash| [hash.mechanism(false), hash.mechanism(true)])
        .chain(["PLAIN"])
        .collect();
    let hash = downgrade_hash(ScramHash::Sha256, names, &Bindings::of(Some(&tls())));
    assert!(
        server_first.ends_with(&format!(",i=4096,h={hash}")),
        "{server_first}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    type Change = fn(&mut Client);
    let changes: [(&str, Change); 8] = [
        ("another password", |client| client.password = "wrong"),
        ("binding data of another channel", |client| {
            client.binding[40] ^= 1
        }),
        ("a cbind-input without data", |client| {
            client.binding.truncate(16)
        }),
        ("another gs2-header in c=", |client| {
            client.binding = b"n,,".to_vec()
        }),
        ("another nonce", |client| {
            client.nonce = |nonce| nonce.replace("abc", "abd")
        }),
        ("only the own nonce", |client| {
            client.nonce = |_| "abc".into()
        }),
        ("a longer nonce", |client| {
            client.nonce = |nonce| format!("{nonce}x")
        }),
        ("another user", |client| {
            client.first = client.first.replace("juliet", "romeo")
        }),
    ];
    for (what, change) in changes {
        let mut client = Client::new(ScramHash::Sha256, EXPORTER, &[5; 32]);
        change(&mut client);
        let heard = client.play(&mut Play::tls().opened(), "SCRAM-SHA-256-PLUS");
        assert!(heard.contains("<not-authorized/>"), "{what}: {heard}");
    }
}

#[test]
fn extensions() {
    let mut client = Client::new(ScramHash::Sha1, "n,,", &[]);
    client.first.push_str(",x=1");
    client.extension = ",y=2";
    let heard = client.play(&mut Play::tls().opened(), "SCRAM-SHA-1");
    assert!(
        heard.starts_with("<success"),
        "optional ones are ignored: {heard}"
    );
    client.extension = ",m=2";
    let heard = client.play(&mut Play::tls().opened(), "SCRAM-SHA-1");
    assert!(heard.contains("<malformed-request/>"), "{heard}");
    client.first = "n,,m=1,n=juliet,r=abc".into();
    let heard = client.play(&mut Play::tls().opened(), "SCRAM-SHA-1");
    assert!(heard.contains("<malformed-request/>"), "{heard}");
}

#[test]
fn flags_that_do_not_fit_the_mechanism() {
    for (mechanism, header, condition) in [
        ("SCRAM-SHA-256-PLUS", "n,,", "not-authorized"),
        ("SCRAM-SHA-256-PLUS", "y,,", "not-authorized"),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,", "not-authorized"),
        ("SCRAM-SHA-256", EXPORTER, "malformed-request"),
        ("SCRAM-SHA-256", "n,a=romeo@example.org,", "invalid-authzid"),
        ("SCRAM-SHA-256", "n,x,", "malformed-request"),
    ] {
        let client = Client::new(ScramHash::Sha256, header, &[5; 32]);
        let heard = client.play(&mut Play::tls().opened(), mechanism);
        assert!(
            heard.contains(&format!("<{condition}/>")),
            "{mechanism} {header}: {heard}"
        );
    }
    let own = Client::new(ScramHash::Sha256, "n,a=juliet@example.org,", &[]);
    assert!(
        own.play(&mut Play::tls().opened(), "SCRAM-SHA-256")
            .starts_with("<success")
    );
    let place = Peer {
        secure_by_place: true,
        ..peer()
    };
    let client = Client::new(ScramHash::Sha256, EXPORTER, &[5; 32]);
    let heard = client.play(
        &mut Play::new(settings(|_| ()), place, None).opened(),
        "SCRAM-SHA-256-PLUS",
    );
    assert!(heard.contains("<invalid-mechanism/>"), "{heard}");
}

/// Tries the -PLUS mechanism of each hash with a binding that is not offered.
fn try_tls_unique(play: &mut Play) -> String {
    let tries = ScramHash::ALL.map(|hash| {
        let client = Client::new(hash, "p=tls-unique,,", &[5; 12]);
        client.play(play, hash.mechanism(true))
    });
    tries.concat()
}

#[test]
fn a_client_that_knows_another_binding_may_do_without() {
    let mut play = Play::tls().opened();
    let heard = try_tls_unique(&mut play);
    assert_eq!(heard.matches("<not-authorized/>").count(), 3, "{heard}");
    assert!(!play.questions.iter().any(|asked| asked.contains("Failed")));
    let client = Client::new(ScramHash::Sha256, "n,,", &[]);
    let heard = client.play(&mut play, "SCRAM-SHA-256");
    assert!(heard.starts_with("<success"), "{heard}");
}

#[test]
fn another_binding_again_and_again_ends_the_stream() {
    let mut play = Play::tls().opened();
    assert!(!try_tls_unique(&mut play).contains("<policy-violation"));
    assert!(try_tls_unique(&mut play).contains("<policy-violation"));
}

#[test]
fn an_unknown_user_takes_the_same_steps() {
    let steps = |user: &str, password| {
        let mut client = Client::new(ScramHash::Sha256, "n,,", &[]);
        client.first = client.first.replace("juliet", user);
        client.password = password;
        let mut play = Play::tls().opened();
        let first = play.say(&auth("SCRAM-SHA-256", &base64(&client.first)));
        let challenge = decoded(&first, "challenge");
        let salt = challenge.split(',').nth(1).unwrap().to_owned();
        let last = client.last(&challenge);
        let heard = play.say(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            base64(last)
        ));
        (salt.len(), salt, challenge.len(), heard, play.questions)
    };
    let known = steps("juliet", "wrong");
    let unknown = steps("nobody", "wrong");
    assert_eq!(
        (known.0, known.2 - 6, &known.3, &known.4),
        (unknown.0, unknown.2 - 6, &unknown.3, &unknown.4)
    );
    assert_eq!(
        unknown.1,
        steps("nobody", "other").1,
        "and the same salt each time"
    );
}

#[test]
fn junk_for_a_proof() {
    for (last, condition) in [
        ("c=biws,r=x,p=AAAA", "not-authorized"),
        ("c=biws", "malformed-request"),
        ("", "malformed-request"),
        ("c=biws,r=x,p=!", "malformed-request"),
    ] {
        let mut play = Play::tls().opened();
        play.say(&auth("SCRAM-SHA-1", &base64("n,,n=juliet,r=abc")));
        let heard = play.say(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            base64(last)
        ));
        assert!(
            heard.contains(&format!("<{condition}/>")),
            "{last}: {heard}"
        );
    }
    let mut play = Play::tls().opened();
    play.say(&auth("SCRAM-SHA-1", &base64("n,,n=juliet,r=abc")));
    let heard = play.say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%</response>");
    assert!(heard.contains("<incorrect-encoding/>"), "{heard}");
}
