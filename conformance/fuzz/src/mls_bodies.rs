//! What must hold for any bytes that are said to be messages of MLS.

use super::mls::framing::{self, Content, Frame, FrameError, Sender};
use super::mls::package::{self, Terms};
use super::mls::testing::{Draft, Maker};

const BOB: &str = "bob@example.org/phone";

/// Target `mls_framing`: what is read of a message stands in it, it ends where it ends, and encrypted messages come from members.
pub fn framing(data: &[u8]) {
    let Ok(frame) = framing::read(data) else {
        return;
    };
    let longer = [data, &[0]].concat();
    match frame {
        Frame::Message(framed) => {
            let group = framed.group;
            assert!(
                group.is_empty() || data.windows(group.len()).any(|window| window == group),
                "a group from nowhere"
            );
            assert!(
                data.windows(8)
                    .any(|window| window == framed.epoch.to_be_bytes()),
                "an epoch from nowhere"
            );
            let public = data[3] == 1;
            assert!(public || framed.sender == Sender::Member);
            assert!(!public || framed.content != Content::Application);
            // Proposals of kinds that are not known end where they like.
            if !(public && framed.content == Content::Proposal) {
                assert_eq!(framing::read(&longer), Err(FrameError::Trailing(1)));
            }
        }
        Frame::Welcome | Frame::GroupInfo { .. } => {
            assert_eq!(framing::read(&longer), Err(FrameError::Trailing(1)))
        }
        Frame::KeyPackage(package) => assert!(data.ends_with(package)),
        Frame::Opaque => {}
    }
}

/// Target `mls_package`: only what its device signed is taken, to the last bit.
pub fn package(data: &[u8]) {
    let terms = Terms {
        identity: BOB,
        suites: &[1],
        now: 1_000,
        longest: u64::MAX,
    };
    if package::validate(data, &terms).is_err() {
        return;
    }
    let maker = Maker::new([1; 32]).expect("a key");
    let signed = [false, true].map(|last_resort| {
        maker.package(&Draft {
            identity: BOB,
            suite: 1,
            life: (0, u64::MAX),
            last_resort,
            init_key: [4; 32],
        })
    });
    assert!(
        signed.iter().any(|package| package == data),
        "a package that nobody signed is taken"
    );
}
