//! Key packages (RFC 9420 §10): looked at before they are kept, so that nobody is handed one that is of no use.

use openmls::prelude::tls_codec::Deserialize;
use openmls::prelude::{BasicCredential, KeyPackageIn, KeyPackageVerifyError, ProtocolVersion};
use sha2::{Digest, Sha256};

use super::SUITES;
use super::framing::{self, Frame};
use super::verifier::Verifier;

/// What a key package must be.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The identity that its credential must name.
    pub identity: &'a str,
    /// Cipher suites it may be of.
    pub suites: &'a [u16],
    /// Unix seconds.
    pub now: u64,
    /// For how many seconds from now it may be good at the most.
    pub longest: u64,
}

/// What is known of one that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// By this it is the same as another one: a hash of the key that a new member is found by, which is for one use.
    pub id: [u8; 32],
    /// Its cipher suite.
    pub suite: u16,
    /// Its end, Unix seconds.
    pub until: u64,
    /// Whether it may be handed out more than once.
    pub last_resort: bool,
}

/// Why one is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// It cannot be read.
    #[error("this is no key package")]
    Syntax,
    /// It is of another version of the protocol.
    #[error("this is of another version of MLS")]
    Version,
    /// Its cipher suite is not one of those that are taken.
    #[error("its cipher suite is not taken here")]
    Suite,
    /// It is not signed with its own key, or says things of itself that cannot be.
    #[error("it is not signed as it must be")]
    Signature,
    /// It is good no longer, not yet, or for too long.
    #[error("its life time is over, not begun, or too long")]
    Lifetime,
    /// It names somebody else.
    #[error("its credential names somebody else")]
    Credential,
}

/// Looks at an MLSMessage that is to be a key package.
///
/// # Errors
/// See [`PackageError`].
pub fn validate(message: &[u8], terms: &Terms<'_>) -> Result<Package, PackageError> {
    let package = match framing::read(message) {
        Ok(Frame::KeyPackage(package)) => package,
        Ok(Frame::Opaque) => return Err(PackageError::Version),
        Ok(_) | Err(_) => return Err(PackageError::Syntax),
    };
    // The suite comes second: one that is not known can be read no further.
    match package {
        [0, 1, high, low, ..] => {
            let suite = u16::from_be_bytes([*high, *low]);
            if !SUITES.contains(&suite) || !terms.suites.contains(&suite) {
                return Err(PackageError::Suite);
            }
        }
        [_, _, _, _, ..] => return Err(PackageError::Version),
        _ => return Err(PackageError::Syntax),
    }
    let read = KeyPackageIn::tls_deserialize_exact(package).map_err(|_| PackageError::Syntax)?;
    let credential = read.unverified_credential().credential;
    let named = BasicCredential::try_from(credential).map_err(|_| PackageError::Credential)?;
    if named.identity() != terms.identity.as_bytes() {
        return Err(PackageError::Credential);
    }
    let good = read.validate(&Verifier, ProtocolVersion::Mls10);
    let good = good.map_err(refusal)?;
    // There is one: else it would not be good.
    let life = good.life_time();
    let latest = terms.now.saturating_add(terms.longest);
    if life.not_before() > terms.now || life.not_after() <= terms.now || life.not_after() > latest {
        return Err(PackageError::Lifetime);
    }
    Ok(Package {
        id: Sha256::digest(good.hpke_init_key().as_slice()).into(),
        suite: good.ciphersuite().into(),
        until: life.not_after(),
        last_resort: good.last_resort(),
    })
}

fn refusal(error: KeyPackageVerifyError) -> PackageError {
    match error {
        KeyPackageVerifyError::LifetimeError(_) | KeyPackageVerifyError::MissingLifetime => {
            PackageError::Lifetime
        }
        KeyPackageVerifyError::InvalidProtocolVersion => PackageError::Version,
        KeyPackageVerifyError::InvalidLeafNodeSourceType => PackageError::Syntax,
        _ => PackageError::Signature,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::mls::testing::{self, Draft, Maker};
    use proptest::prelude::*;
    use std::time::SystemTime;

    const BOB: &str = "bob@example.org/phone";
    const DAY: u64 = 86_400;

    fn now() -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_secs()
    }

    fn draft() -> Draft<'static> {
        Draft {
            identity: BOB,
            suite: 1,
            life: (now() - 60, now() + DAY),
            last_resort: false,
            init_key: [4; 32],
        }
    }

    fn package(draft: &Draft<'_>) -> Vec<u8> {
        Maker::new([1; 32]).unwrap().package(draft)
    }

    fn look(bytes: &[u8]) -> Result<Package, PackageError> {
        let terms = Terms {
            identity: BOB,
            suites: &[1, 3],
            now: now(),
            longest: 90 * DAY,
        };
        validate(bytes, &terms)
    }

    #[test]
    fn what_is_known_of_a_good_one() {
        let draft = draft();
        let known = look(&package(&draft)).unwrap();
        let id: [u8; 32] = Sha256::digest([4; 32]).into();
        assert_eq!((known.id, known.suite), (id, 1));
        assert_eq!((known.until, known.last_resort), (draft.life.1, false));
        let last = package(&Draft {
            last_resort: true,
            suite: 3,
            ..draft
        });
        let known = look(&last).unwrap();
        assert_eq!((known.suite, known.last_resort), (3, true));
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_name() {
        let (now, of) = (now(), |life| package(&Draft { life, ..draft() }));
        let other = |identity| {
            package(&Draft {
                identity,
                ..draft()
            })
        };
        let suite = |suite| package(&Draft { suite, ..draft() });
        let mut elsewhere = package(&draft());
        elsewhere[1] = 2;
        let mut inner = package(&draft());
        inner[5] = 2;
        for (bytes, error) in [
            (of((now - 2 * DAY, now - DAY)), PackageError::Lifetime),
            (of((now + DAY, now + 2 * DAY)), PackageError::Lifetime),
            (of((now - 60, now + 91 * DAY)), PackageError::Lifetime),
            (other("eve@example.org/phone"), PackageError::Credential),
            (other("bob@example.org/laptop"), PackageError::Credential),
            (other(""), PackageError::Credential),
            (suite(2), PackageError::Suite),
            (suite(4), PackageError::Suite),
            (suite(0xffff), PackageError::Suite),
            (elsewhere, PackageError::Version),
            (inner, PackageError::Version),
            (testing::welcome(10), PackageError::Syntax),
            (Vec::new(), PackageError::Syntax),
            ([package(&draft()), vec![0]].concat(), PackageError::Syntax),
        ] {
            assert_eq!(look(&bytes), Err(error), "{error}");
        }
    }

    #[test]
    fn one_of_another_key_is_no_good() {
        let (a, b) = (package(&draft()), Maker::new([2; 32]).unwrap());
        let b = b.package(&draft());
        // The leaf of one under the signature of the other.
        let at = a.len() - 64;
        let mixed = [&a[..at], &b[at..]].concat();
        assert_eq!(look(&mixed), Err(PackageError::Signature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_flipped_bit_is_always_seen(at: proptest::sample::Index, bit in 0_u8..8) {
            let mut bytes = package(&draft());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(look(&bytes).is_err());
        }

        #[test]
        fn one_that_was_cut_is_seen(at: proptest::sample::Index) {
            let bytes = package(&draft());
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert!(look(cut).is_err());
        }

        #[test]
        fn anything_is_looked_at_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let framed = [&[0, 1, 0, 5, 0, 1, 0, 1], bytes.as_slice()].concat();
            prop_assert!(look(&framed).is_err() && look(&bytes).is_err());
        }
    }
}
