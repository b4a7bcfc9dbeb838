//! The order of a group: the first commit of an epoch ends it, whatever comes after; and how far behind messages may be.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::mls::framing::{self, Content, Frame, FrameError, Framed, Sender};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::Stanza;
use crate::xml::{El, Element};

/// Commits of which it is remembered which they were.
const WON: usize = 16;

/// Where a group is, as far as its messages have told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The group's id, in base64.
    pub group: String,
    /// The epoch that it is in.
    pub epoch: u64,
    /// The account whose commit began it.
    pub by: Jid,
    /// The commits before, by epoch and under which id they are kept.
    won: VecDeque<(u64, String)>,
}

/// What a home lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Epochs that what is said may be behind.
    pub window: u64,
    /// Whether people join by their own commits.
    pub external: bool,
}

/// Why a message has no place in the order of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutOfOrder {
    /// It is a commit of an epoch that has one.
    Taken {
        /// The epoch.
        epoch: u64,
        /// The one that the group is in.
        current: u64,
        /// Under which id the commit is kept that was there first, if that is remembered.
        winner: Option<String>,
    },
    /// It is of an epoch that has not begun.
    Ahead(u64),
    /// It is of an epoch that has been over for too long.
    Stale(u64),
    /// It is of another group than the home's.
    OtherGroup(String),
    /// Nothing is known of its group.
    NoGroup,
    /// It is the commit of somebody who joins by it, and that is not allowed.
    External,
}

impl Order {
    /// The order of a group that is in an epoch.
    pub fn new(group: &[u8], epoch: u64, by: Jid) -> Self {
        Order {
            group: encode(group),
            epoch,
            by,
            won: VecDeque::new(),
        }
    }

    /// Whether a message has its place now.
    ///
    /// # Errors
    /// See [`OutOfOrder`].
    pub fn judge(&self, framed: &Framed<'_>, terms: Terms) -> Result<(), OutOfOrder> {
        if encode(framed.group) != self.group {
            return Err(OutOfOrder::OtherGroup(self.group.clone()));
        }
        if framed.epoch > self.epoch || framed.epoch == u64::MAX {
            return Err(OutOfOrder::Ahead(self.epoch));
        }
        let behind = self.epoch.saturating_sub(framed.epoch);
        match framed.content {
            Content::Commit if behind > 0 => Err(OutOfOrder::Taken {
                epoch: framed.epoch,
                current: self.epoch,
                winner: self.winner(framed.epoch).map(str::to_owned),
            }),
            Content::Commit if framed.sender == Sender::NewCommit && !terms.external => {
                Err(OutOfOrder::External)
            }
            Content::Commit => Ok(()),
            Content::Proposal if behind > 0 => Err(OutOfOrder::Stale(self.epoch)),
            Content::Application if behind > terms.window => Err(OutOfOrder::Stale(self.epoch)),
            Content::Proposal | Content::Application => Ok(()),
        }
    }

    /// The next epoch has begun, by a commit that is kept under this id.
    pub fn advance(&mut self, id: String, by: Jid) {
        self.won.push_back((self.epoch, id));
        while self.won.len() > WON {
            self.won.pop_front();
        }
        self.epoch = self.epoch.saturating_add(1);
        self.by = by;
    }

    /// Under which id the commit of an epoch is kept.
    pub fn winner(&self, epoch: u64) -> Option<&str> {
        let mut won = self.won.iter();
        won.find(|(of, _)| *of == epoch).map(|(_, id)| id.as_str())
    }

    /// Under which id the last commit is kept.
    pub fn last(&self) -> Option<&str> {
        self.won.back().map(|(_, id)| id.as_str())
    }

    /// The oldest epoch whose commit is remembered.
    pub fn oldest(&self) -> Option<u64> {
        self.won.front().map(|(epoch, _)| *epoch)
    }

    /// What members ask of the state of their group.
    pub fn to_element(&self) -> Element {
        let element = Element::new("group", ns::MLS)
            .with_attr("group", &self.group)
            .with_attr("epoch", &self.epoch.to_string());
        match self.last() {
            Some(id) => element.with_attr("id", id),
            None => element,
        }
    }
}

/// Why a message cannot be put into an order at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is not one message, but none or several.
    #[error("there must be one MLS message")]
    Count,
    /// It is not in base64.
    #[error("the message is not in base64")]
    Base64,
    /// It cannot be read.
    #[error(transparent)]
    Syntax(FrameError),
    /// It is no message to the members of a group.
    #[error("this is no message to the members of a group")]
    Kind,
    /// It lies elsewhere, and where is not said as it must be.
    #[error("it must lie at an https address, with its size and its SHA-256")]
    Url,
}

impl From<Unfit> for StanzaError {
    fn from(unfit: Unfit) -> Self {
        let reason = match unfit {
            Unfit::Count => "count",
            Unfit::Base64 => "base64",
            Unfit::Syntax(_) => "syntax",
            Unfit::Kind => "kind",
            Unfit::Url => "url",
        };
        let refused = Element::new("message-refused", ns::MLS).with_attr("reason", reason);
        let error = StanzaError::from(Condition::BadRequest).with_text(unfit.to_string());
        error.with_app(refused)
    }
}

/// The one MLS message among elements; `None` if there is none.
///
/// # Errors
/// There are several, or it is not in base64.
pub fn message_in<'a>(children: impl Iterator<Item = El<'a>>) -> Result<Option<Vec<u8>>, Unfit> {
    let mut found = children.filter(|el| el.is("mls", ns::MLS));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => decode(one).map(Some).ok_or(Unfit::Base64),
        (Some(_), Some(_)) => Err(Unfit::Count),
    }
}

/// The framing of a message that is to be put in order.
///
/// # Errors
/// See [`Unfit`].
pub fn framed(bytes: &[u8]) -> Result<Framed<'_>, Unfit> {
    match framing::read(bytes) {
        Ok(Frame::Message(framed)) => Ok(framed),
        Ok(_) => Err(Unfit::Kind),
        Err(error) => Err(Unfit::Syntax(error)),
    }
}

impl OutOfOrder {
    /// As its sender hears it; `winner` is the commit that was there first, if it is still kept.
    pub fn to_error(&self, framed: &Framed<'_>, winner: Option<&str>) -> StanzaError {
        let about = |name| {
            Element::new(name, ns::MLS)
                .with_attr("group", &encode(framed.group))
                .with_attr("epoch", &framed.epoch.to_string())
        };
        let current = |name, current: u64| about(name).with_attr("current", &current.to_string());
        let (error, app) = match self {
            OutOfOrder::Taken {
                current: now,
                winner: id,
                ..
            } => {
                let mut taken = current("epoch-taken", *now);
                taken.set_attr("id", id.as_deref());
                taken.push_text(winner.unwrap_or_default());
                (StanzaError::from(Condition::Conflict), taken)
            }
            OutOfOrder::Ahead(now) => (
                StanzaError::from(Condition::UnexpectedRequest).with_type(ErrorType::Wait),
                current("epoch-unknown", *now),
            ),
            OutOfOrder::Stale(now) => (
                StanzaError::from(Condition::NotAcceptable),
                current("epoch-stale", *now),
            ),
            OutOfOrder::OtherGroup(group) => {
                let other = Element::new("group-other", ns::MLS).with_attr("group", group);
                (StanzaError::from(Condition::NotAcceptable), other)
            }
            OutOfOrder::NoGroup => (
                StanzaError::from(Condition::ItemNotFound),
                Element::new("group-unknown", ns::MLS).with_attr("group", &encode(framed.group)),
            ),
            OutOfOrder::External => (
                StanzaError::from(Condition::NotAllowed),
                Element::new("external-refused", ns::MLS),
            ),
        };
        error.with_app(app)
    }
}

/// Who takes part from a commit on, and who does no longer, by the word of who sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Who comes.
    pub added: Vec<Jid>,
    /// Who goes.
    pub removed: Vec<Jid>,
}

impl Changed {
    /// Reads `<added/>` and `<removed/>`.
    ///
    /// # Errors
    /// One of them names nobody.
    pub fn read<'a>(children: impl Iterator<Item = El<'a>>) -> Result<Self, StanzaError> {
        let mut changed = Changed::default();
        for child in children.filter(|el| el.ns() == ns::MLS) {
            let list = match child.name() {
                "added" => &mut changed.added,
                "removed" => &mut changed.removed,
                _ => continue,
            };
            let jid = child.attr("jid").unwrap_or_default();
            let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
            list.push(jid.bare());
        }
        Ok(changed)
    }

    /// The same beside the message of a stanza.
    ///
    /// # Errors
    /// One of them names nobody.
    pub fn beside(stanza: &Stanza) -> Result<Self, StanzaError> {
        match stanza.child("changed", ns::MLS) {
            Some(changed) => Changed::read(changed.children()),
            None => Ok(Changed::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::mls::testing;
    use proptest::prelude::*;

    const TERMS: Terms = Terms {
        window: 2,
        external: false,
    };

    fn alice() -> Jid {
        Jid::parse("alice@x").unwrap()
    }

    fn at(epoch: u64) -> Order {
        let mut order = Order::new(b"g", 0, alice());
        for number in 0..epoch {
            order.advance(format!("w{number}"), alice());
        }
        order
    }

    fn judged(order: &Order, bytes: &[u8]) -> Result<(), OutOfOrder> {
        order.judge(&framed(bytes).unwrap(), TERMS)
    }

    #[test]
    fn the_first_commit_of_an_epoch_wins() {
        let mut order = at(3);
        let commit = testing::private(b"g", 3, 3);
        assert_eq!(judged(&order, &commit), Ok(()));
        order.advance("winner".to_owned(), alice());
        let taken = OutOfOrder::Taken {
            epoch: 3,
            current: 4,
            winner: Some("winner".to_owned()),
        };
        assert_eq!(judged(&order, &commit), Err(taken.clone()));
        let error = taken.to_error(&framed(&commit).unwrap(), Some("QUJD"));
        assert_eq!(error.condition, Condition::Conflict);
        let app = error.app.unwrap();
        assert_eq!(
            (app.attr("id"), app.attr("current")),
            (Some("winner"), Some("4"))
        );
        assert_eq!((app.attr("epoch"), &*app.text()), (Some("3"), "QUJD"));
        // Only so many are remembered.
        let order = at(100);
        assert_eq!((order.winner(99), order.winner(83)), (Some("w99"), None));
        assert_eq!(order.oldest(), Some(84));
    }

    #[test]
    fn each_kind_has_its_window() {
        let order = at(5);
        let judge = |epoch, kind| judged(&order, &testing::private(b"g", epoch, kind));
        for epoch in [3, 4, 5] {
            assert_eq!(judge(epoch, 1), Ok(()), "{epoch}");
        }
        assert_eq!(judge(2, 1), Err(OutOfOrder::Stale(5)));
        assert_eq!(judge(5, 2), Ok(()));
        assert_eq!(judge(4, 2), Err(OutOfOrder::Stale(5)));
        for kind in 1..=3 {
            assert_eq!(judge(6, kind), Err(OutOfOrder::Ahead(5)));
            assert_eq!(judge(u64::MAX, kind), Err(OutOfOrder::Ahead(5)));
        }
    }

    #[test]
    fn other_groups_and_uninvited_guests_stay_out() {
        let order = at(1);
        let other = judged(&order, &testing::private(b"h", 1, 3));
        assert_eq!(other, Err(OutOfOrder::OtherGroup("Zw==".to_owned())));
        let joins = testing::public_commit(b"g", 1, true);
        assert_eq!(judged(&order, &joins), Err(OutOfOrder::External));
        let open = Terms {
            external: true,
            ..TERMS
        };
        assert_eq!(order.judge(&framed(&joins).unwrap(), open), Ok(()));
    }

    #[test]
    fn what_is_no_message_to_members_is_unfit() {
        assert_eq!(framed(&testing::welcome(3)), Err(Unfit::Kind));
        assert_eq!(framed(&[0, 9, 0, 1]), Err(Unfit::Kind));
        let cut = framed(&[0, 1, 0, 2]);
        assert_eq!(cut, Err(Unfit::Syntax(FrameError::Truncated)));
        let mls = |text: &str| Element::new("mls", ns::MLS).with_text(text);
        let (one, odd) = (mls("QUJD"), mls("QUJ D"));
        let found = |elements: &[&Element]| message_in(elements.iter().map(|el| el.root()));
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[&one]), Ok(Some(b"ABC".to_vec())));
        assert_eq!(found(&[&one, &one]), Err(Unfit::Count));
        assert_eq!(found(&[&odd]), Err(Unfit::Base64));
    }

    proptest! {
        /// Whatever comes in whatever order: epochs rise by one, each by one commit.
        #[test]
        fn an_epoch_ends_once(messages in proptest::collection::vec((0_u64..12, 1_u8..=3), 0..200)) {
            let mut order = at(0);
            let mut winners = std::collections::BTreeMap::new();
            for (number, (epoch, kind)) in messages.into_iter().enumerate() {
                let bytes = testing::private(b"g", epoch, kind);
                let before = order.epoch;
                let taken = judged(&order, &bytes);
                if taken.is_ok() && kind == 3 {
                    order.advance(number.to_string(), alice());
                    prop_assert!(winners.insert(epoch, number.to_string()).is_none());
                    prop_assert_eq!((epoch, order.epoch), (before, before + 1));
                } else {
                    prop_assert_eq!(order.epoch, before);
                }
                if let Err(OutOfOrder::Taken { epoch, winner, .. }) = taken {
                    prop_assert_eq!(winner.as_ref(), winners.get(&epoch));
                }
            }
        }
    }
}
