//! Who asks, by all of RFC 8489 §9.2: old clients and such as know password algorithms.

use super::*;
use crate::relay::credentials::Algorithm;
use crate::relay::stun::Seal;

const OFFERED: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];

/// A request of a client that knows RFC 8489, with these attributes about algorithms.
fn newer(
    rig: &mut Rig,
    caller: &mut Caller,
    method: Method,
    (all, one): (Option<&[u8]>, Option<&[u8]>),
) -> Came {
    caller.transaction[0] += 1;
    let mut bytes = Vec::new();
    let writer = Writer::new(&mut bytes, Class::Request, method, caller.transaction)
        .put(attribute::USERNAME, caller.name.as_bytes())
        .put(attribute::REALM, b"example.org")
        .put(attribute::NONCE, caller.nonce.as_bytes());
    let writer = [
        (attribute::PASSWORD_ALGORITHMS, all),
        (attribute::PASSWORD_ALGORITHM, one),
    ]
    .into_iter()
    .fold(udp(writer), |writer, (kind, value)| match value {
        Some(value) => writer.put(kind, value),
        None => writer,
    });
    let key = key(caller, one);
    writer.sealed_by(Seal::Sha256, key.as_slice()).fingerprint();
    let came = rig.give(caller.client, &bytes);
    if came == Came::Success {
        let message = Message::parse(&rig.out).unwrap();
        assert!(message.is_by(key.as_slice()));
        let sealed = rig.out.windows(4).any(|bytes| *bytes == [0, 0x1c, 0, 32]);
        assert_eq!(sealed, one.is_some(), "it is sealed as the question was");
    }
    came
}

fn key(caller: &Caller, algorithm: Option<&[u8]>) -> LongTermKey {
    let password = password(SECRET, &caller.name);
    let algorithm = algorithm
        .and_then(Algorithm::read)
        .unwrap_or(Algorithm::Md5);
    algorithm.key(&caller.name, "example.org", &password)
}

#[test]
fn who_knows_better_algorithms_uses_them() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1", "a");
    assert_eq!(rig.attribute(attribute::PASSWORD_ALGORITHMS), OFFERED);
    let best = (Some(OFFERED), Some(SHA256));
    let mut ask = |method| newer(&mut rig, &mut caller, method, best);
    assert_eq!(ask(Method::Allocate), Came::Success);
    assert_eq!(ask(Method::Allocate), Came::Error(437));
    assert_eq!(ask(Method::Refresh), Came::Success);
    let mut other = rig.caller("203.0.113.6:1", "b");
    let older = (Some(OFFERED), Some(MD5));
    assert_eq!(
        newer(&mut rig, &mut other, Method::Allocate, older),
        Came::Success
    );
    let mut third = rig.caller("203.0.113.7:1", "c");
    let oldest = (None, None);
    assert_eq!(
        newer(&mut rig, &mut third, Method::Allocate, oldest),
        Came::Success
    );
    rig.hand.advance(Duration::from_secs(601));
    assert_eq!(
        newer(&mut rig, &mut caller, Method::Refresh, best),
        Came::Error(438)
    );
    assert_eq!(rig.attribute(attribute::PASSWORD_ALGORITHMS), OFFERED);
}

/// §9.2.1
#[test]
fn who_takes_the_better_algorithm_out_is_found_out() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1", "a");
    for tampered in [
        (Some(MD5), Some(MD5)),
        (Some(&[0, 1, 0, 0, 0, 2, 0, 0][..]), Some(MD5)),
        (None, Some(MD5)),
        (Some(OFFERED), None),
        (Some(OFFERED), Some(&[0, 3, 0, 0][..])),
        (Some(OFFERED), Some(&[0, 2, 0, 4, 0, 0, 0, 0][..])),
        (Some(&[][..]), Some(&[][..])),
    ] {
        let came = newer(&mut rig, &mut caller, Method::Allocate, tampered);
        assert_eq!(came, Came::Error(400), "{tampered:?}");
    }
    assert_eq!(rig.machine.counts().allocations, 0);
}

#[test]
fn what_is_missing_or_cannot_be_known() {
    let mut rig = Rig::new(options());
    let caller = rig.caller("203.0.113.5:1", "a");
    let nonce = caller.nonce.as_bytes();
    let all = [
        (attribute::USERNAME, caller.name.as_bytes()),
        (attribute::REALM, b"example.org"),
        (attribute::NONCE, nonce),
    ];
    let mut without = |left_out: u16, more: Option<u16>| {
        rig.unproven(&caller, Method::Allocate, |writer| {
            let writer = all
                .iter()
                .filter(|(kind, _)| *kind != left_out)
                .fold(udp(writer), |writer, (kind, value)| {
                    writer.put(*kind, value)
                });
            let writer = more
                .iter()
                .fold(writer, |writer, kind| writer.put(*kind, &[7; 32]));
            writer.sealed(&caller.key)
        })
    };
    for (kind, _) in all {
        assert_eq!(without(kind, None), Came::Error(400), "{kind:#x}");
    }
    // No name is found by its hash: none is remembered.
    let hashed = without(attribute::USERNAME, Some(attribute::USERHASH));
    assert_eq!(hashed, Came::Error(401));
}

/// Credentials are looked at before the nonce (§9.2.4).
#[test]
fn an_old_nonce_does_not_tell_whether_a_password_is_right() {
    let mut rig = Rig::new(options());
    let mut caller = rig.caller("203.0.113.5:1", "a");
    rig.hand.advance(Duration::from_secs(601));
    assert_eq!(rig.allocate(&mut caller), Came::Error(438));
    caller.key[0] ^= 1;
    assert_eq!(rig.allocate(&mut caller), Came::Error(401));
}
