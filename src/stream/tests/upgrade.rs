//! XEP-0480: SASL upgrade tasks.

use super::play::*;
use crate::stream::*;

const RIGHT: &str = "\0juliet\0r0m30myr0m30";
const ASK: &str = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>\
                   <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>\
                   <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-1</upgrade>";

fn next(hash: ScramHash) -> String {
    format!(
        "<next xmlns='urn:xmpp:sasl:2' task='{}'/>",
        hash.upgrade_task()
    )
}

fn task_data(data: &[u8]) -> String {
    format!(
        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>{}</hash></task-data>",
        base64(data)
    )
}

#[test]
fn what_is_missing_is_asked_for_and_stored() {
    let mut play = Play::tls().opened();
    play.missing = vec![ScramHash::Sha256, ScramHash::Sha512];
    let bind = "<bind xmlns='urn:xmpp:bind:0'/>";
    let mut heard = play.say(&authenticate("PLAIN", RIGHT, &format!("{ASK}{bind}")));
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        let task = hash.upgrade_task();
        assert_eq!(
            heard,
            format!(
                "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>{task}</task></tasks></continue>"
            )
        );
        let heard_salt = play.say(&next(hash));
        assert!(heard_salt.contains("iterations='4096'"), "{heard_salt}");
        let salt = sasl::base64::decode(text_of(&heard_salt, "salt")).unwrap();
        assert_eq!(salt.len(), 16);
        let salted = hash.salt_password(PASSWORD.as_bytes(), &salt, 4096);
        heard = play.say(&task_data(&salted));
    }
    assert!(
        heard.contains("<success") && heard.contains("<bound"),
        "{heard}"
    );
    assert_eq!(
        play.questions,
        ["Password", "Authorize", "Upgrade", "Upgrade", "Bind"]
    );
    for (hash, keys) in &play.upgraded {
        assert!(keys.verify_password(*hash, PASSWORD));
    }
}

#[test]
fn what_is_there_is_not_replaced() {
    let mut play = Play::tls().opened();
    let heard = play.say(&authenticate("PLAIN", RIGHT, ASK));
    assert!(heard.starts_with("<success"), "{heard}");
}

#[test]
fn a_task_done_wrong_fails_the_login() {
    let begin = || {
        let mut play = Play::tls().opened();
        play.missing = vec![ScramHash::Sha256];
        play.say(&authenticate("PLAIN", RIGHT, ASK));
        play
    };
    let mut play = begin();
    assert!(
        play.say(&next(ScramHash::Sha512))
            .contains("<malformed-request")
    );
    for wrong in [
        task_data(&[1; 31]),
        task_data(&[]),
        "<task-data xmlns='urn:xmpp:sasl:2'/>".into(),
    ] {
        let mut play = begin();
        play.say(&next(ScramHash::Sha256));
        assert!(play.say(&wrong).contains("<malformed-request"), "{wrong}");
        assert!(play.upgraded.is_empty() && !play.machine.is_bound());
    }
    let mut play = begin();
    assert!(
        play.say("<abort xmlns='urn:xmpp:sasl:2'/>")
            .contains("<aborted")
    );
    let mut play = begin();
    assert_eq!(stream_error(&play.say("<presence/>")), "not-authorized");
    let mut play = begin();
    let again = authenticate("PLAIN", RIGHT, "");
    assert_eq!(stream_error(&play.say(&again)), "not-authorized");
}
