//! The framing of messages (RFC 9420 §6): of which group and epoch one is, and what kind of thing it holds. No key is
//! needed for that, nothing is copied, and each message is read to its end in a bounded number of steps.

use super::cursor::Cursor;

/// The version of the protocol, `mls10`.
const VERSION: u16 = 1;

/// An MLSMessage, as far as it can be told without keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message to the members of a group.
    Message(Framed<'a>),
    /// What a new member needs to enter a group. Which group is a secret.
    Welcome,
    /// The state of a group, for who joins by itself.
    GroupInfo {
        /// The group.
        group: &'a [u8],
        /// Its epoch.
        epoch: u64,
    },
    /// A key package, without its frame.
    KeyPackage(&'a [u8]),
    /// Another version of the protocol, or a kind of message that is not known here.
    Opaque,
}

/// A message to the members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The group.
    pub group: &'a [u8],
    /// The epoch in which it was sent.
    pub epoch: u64,
    /// What it holds.
    pub content: Content,
    /// Who sent it.
    pub sender: Sender,
}

/// What a message holds (§6, ContentType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Something that the members say.
    Application,
    /// A change that somebody proposes.
    Proposal,
    /// A change: it ends its epoch, and begins the next one.
    Commit,
}

/// Who sent a message (§6, SenderType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A member; which one is a secret if the message is encrypted.
    Member,
    /// Somebody outside of the group who may propose changes.
    External,
    /// Somebody who proposes to be added.
    NewProposal,
    /// Somebody who joins by its own commit.
    NewCommit,
}

/// Why bytes are no MLSMessage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It ends too soon.
    #[error("the message ends too soon")]
    Truncated,
    /// There is more than a message.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// A length is not written as it must be.
    #[error("a length is not in its shortest form")]
    Length,
    /// A value that the protocol does not have.
    #[error("{what} cannot be {value}")]
    Value {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u16,
    },
    /// Something that the members say, for all to read (§6: it must be encrypted).
    #[error("what members say must be encrypted")]
    Plain,
}

fn odd<T>(what: &'static str, value: impl Into<u16>) -> Result<T, FrameError> {
    let value = value.into();
    Err(FrameError::Value { what, value })
}

/// Reads the frame of a message.
///
/// # Errors
/// See [`FrameError`]; never for a version or a kind that is not known.
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u16()? != VERSION {
        return Ok(Frame::Opaque);
    }
    match cursor.u16()? {
        1 => public(cursor).map(Frame::Message),
        2 => private(cursor).map(Frame::Message),
        3 => welcome(cursor),
        4 => group_info(cursor),
        5 => Ok(Frame::KeyPackage(cursor.rest())),
        _ => Ok(Frame::Opaque),
    }
}

/// §6.3.
fn private(mut cursor: Cursor<'_>) -> Result<Framed<'_>, FrameError> {
    let group = cursor.vector()?;
    let epoch = cursor.u64()?;
    let content = content(cursor.u8()?)?;
    // What is authenticated, who sent it, and what it is.
    cursor.vectors(3)?;
    cursor.end()?;
    Ok(Framed {
        group,
        epoch,
        content,
        sender: Sender::Member,
    })
}

/// §6.2.
fn public(mut cursor: Cursor<'_>) -> Result<Framed<'_>, FrameError> {
    let group = cursor.vector()?;
    let epoch = cursor.u64()?;
    let sender = sender(&mut cursor)?;
    cursor.vector()?;
    let content = content(cursor.u8()?)?;
    let framed = Framed {
        group,
        epoch,
        content,
        sender,
    };
    match content {
        Content::Application => return Err(FrameError::Plain),
        Content::Proposal => {
            if !proposal(&mut cursor)? {
                // Only its members know where it ends.
                return Ok(framed);
            }
        }
        Content::Commit => commit(&mut cursor)?,
    }
    // The signature, the confirmation of a commit, and that a member sent it (§6.1, §6.2).
    let tags =
        1 + usize::from(content == Content::Commit) + usize::from(matches!(sender, Sender::Member));
    cursor.vectors(tags)?;
    cursor.end()?;
    Ok(framed)
}

fn content(value: u8) -> Result<Content, FrameError> {
    match value {
        1 => Ok(Content::Application),
        2 => Ok(Content::Proposal),
        3 => Ok(Content::Commit),
        other => odd("the content", other),
    }
}

fn sender(cursor: &mut Cursor<'_>) -> Result<Sender, FrameError> {
    let sender = match cursor.u8()? {
        1 => Sender::Member,
        2 => Sender::External,
        3 => Sender::NewProposal,
        4 => Sender::NewCommit,
        other => return odd("the sender", other),
    };
    if matches!(sender, Sender::Member | Sender::External) {
        cursor.skip(4)?;
    }
    Ok(sender)
}

/// §12.4: what it commits to, and a path.
fn commit(cursor: &mut Cursor<'_>) -> Result<(), FrameError> {
    cursor.vector()?;
    match cursor.u8()? {
        0 => Ok(()),
        1 => {
            leaf(cursor)?;
            cursor.vectors(1)
        }
        other => odd("whether there is a path", other),
    }
}

/// §12.1; whether its kind is known.
fn proposal(cursor: &mut Cursor<'_>) -> Result<bool, FrameError> {
    match cursor.u16()? {
        1 => {
            cursor.skip(4)?;
            cursor.vector()?;
            leaf(cursor)?;
            cursor.vectors(2)?;
        }
        2 => leaf(cursor)?,
        3 => cursor.skip(4)?,
        4 => pre_shared_key(cursor)?,
        5 => {
            cursor.vector()?;
            cursor.skip(4)?;
            cursor.vector()?;
        }
        6 | 7 => cursor.vectors(1)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// §8.4.
fn pre_shared_key(cursor: &mut Cursor<'_>) -> Result<(), FrameError> {
    match cursor.u8()? {
        1 => cursor.vectors(2),
        2 => {
            cursor.skip(1)?;
            cursor.vector()?;
            cursor.skip(8)?;
            cursor.vectors(1)
        }
        other => odd("the kind of a shared key", other),
    }
}

/// §7.2.
fn leaf(cursor: &mut Cursor<'_>) -> Result<(), FrameError> {
    cursor.vectors(2)?;
    // The kind of credential, and what it says.
    cursor.u16()?;
    cursor.vector()?;
    // What its client can do: five lists.
    cursor.vectors(5)?;
    match cursor.u8()? {
        1 => cursor.skip(16)?,
        2 => {}
        3 => cursor.vectors(1)?,
        other => return odd("the source of a leaf", other),
    }
    cursor.vectors(2)
}

/// §12.4.3.1.
fn welcome(mut cursor: Cursor<'_>) -> Result<Frame<'_>, FrameError> {
    cursor.u16()?;
    cursor.vectors(2)?;
    cursor.end()?;
    Ok(Frame::Welcome)
}

/// §12.4.3.
fn group_info(mut cursor: Cursor<'_>) -> Result<Frame<'_>, FrameError> {
    cursor.skip(4)?;
    let group = cursor.vector()?;
    let epoch = cursor.u64()?;
    // The rest of the context; extensions, a confirmation.
    cursor.vectors(5)?;
    cursor.skip(4)?;
    cursor.vectors(1)?;
    cursor.end()?;
    Ok(Frame::GroupInfo { group, epoch })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::mls::testing::{self, vector};
    use proptest::prelude::*;

    fn framed(bytes: &[u8]) -> Framed<'_> {
        match read(bytes).unwrap() {
            Frame::Message(framed) => framed,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn an_encrypted_message_tells_group_epoch_and_kind() {
        for (content, kind) in [
            (Content::Application, 1),
            (Content::Proposal, 2),
            (Content::Commit, 3),
        ] {
            let bytes = testing::private(b"group", 7, kind);
            let framed = framed(&bytes);
            assert_eq!((framed.group, framed.epoch), (b"group".as_slice(), 7));
            assert_eq!((framed.content, framed.sender), (content, Sender::Member));
        }
        let bytes = testing::private(b"group", 7, 4);
        let what = "the content";
        assert_eq!(read(&bytes), Err(FrameError::Value { what, value: 4 }));
    }

    #[test]
    fn a_public_commit_is_read_to_its_end() {
        let bytes = testing::public_commit(b"g", u64::MAX, false);
        assert_eq!(framed(&bytes).sender, Sender::Member);
        assert_eq!(framed(&bytes).epoch, u64::MAX);
        let external = testing::public_commit(b"g", 3, true);
        assert_eq!(framed(&external).sender, Sender::NewCommit);
        assert_eq!(framed(&external).content, Content::Commit);
    }

    #[test]
    fn a_public_proposal_is_read_to_its_end_if_it_is_of_the_protocol() {
        let remove = [vec![0, 3], vec![0, 0, 0, 5]].concat();
        let bytes = testing::public(b"g", 2, 2, &remove);
        assert_eq!(framed(&bytes).content, Content::Proposal);
        assert_eq!(
            read(&[bytes, vec![0]].concat()),
            Err(FrameError::Trailing(1))
        );
        let other = testing::public(b"g", 2, 2, &[0xf0, 0x01, 9, 9]);
        assert_eq!(framed(&other).content, Content::Proposal);
    }

    #[test]
    fn what_members_say_is_never_plain() {
        let bytes = testing::public(b"g", 2, 1, &vector(b"hello"));
        assert_eq!(read(&bytes), Err(FrameError::Plain));
    }

    #[test]
    fn the_other_kinds_are_told_apart() {
        assert_eq!(read(&testing::welcome(100)), Ok(Frame::Welcome));
        let group = b"g".as_slice();
        let info = testing::group_info(group, 9);
        assert_eq!(read(&info), Ok(Frame::GroupInfo { group, epoch: 9 }));
        assert_eq!(read(&[0, 1, 0, 5, 7]), Ok(Frame::KeyPackage(&[7])));
        assert_eq!(read(&[0, 2, 0, 1]), Ok(Frame::Opaque));
        assert_eq!(read(&[0, 1, 0, 9, 1, 2]), Ok(Frame::Opaque));
    }

    #[test]
    fn nothing_is_missing_and_nothing_too_much() {
        let messages = [
            testing::private(b"group", 7, 3),
            testing::public_commit(b"group", 7, false),
            testing::public_commit(b"group", 7, true),
            testing::welcome(20_000),
            testing::group_info(b"group", 7),
        ];
        for message in messages {
            for end in 0..message.len() {
                assert_eq!(read(&message[..end]), Err(FrameError::Truncated), "{end}");
            }
            let more = [message, vec![0, 0]].concat();
            assert_eq!(read(&more), Err(FrameError::Trailing(2)));
        }
    }

    #[test]
    fn a_length_has_one_form() {
        let long_one = [&[0, 1, 0, 2, 0x40, 0x01, b'g'][..], &[0; 8], &[1, 0, 0, 0]].concat();
        assert_eq!(read(&long_one), Err(FrameError::Length));
        let no_form = [&[0, 1, 0, 2, 0xc0][..], &[0; 20]].concat();
        assert_eq!(read(&no_form), Err(FrameError::Length));
        let padded = [
            &[0, 1, 0, 2, 0x80, 0, 0, 1, b'g'][..],
            &[0; 8],
            &[1, 0, 0, 0],
        ]
        .concat();
        assert_eq!(read(&padded), Err(FrameError::Length));
    }

    proptest! {
        #[test]
        fn groups_and_epochs_of_any_kind_come_back(
            group in proptest::collection::vec(any::<u8>(), 0..300),
            epoch: u64,
            kind in 1_u8..=3,
        ) {
            let bytes = testing::private(&group, epoch, kind);
            let framed = framed(&bytes);
            prop_assert_eq!((framed.group, framed.epoch), (group.as_slice(), epoch));
        }

        #[test]
        fn anything_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            for kind in 1..=5 {
                let _ = read(&[&[0, 1, 0, kind], bytes.as_slice()].concat());
            }
        }
    }
}
