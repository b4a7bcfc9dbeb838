//! A room that keeps the order of an encrypted group (`docs/mls.md`): of all commits of an epoch the first is said, and
//! what comes too late or too soon is returned to who sent it.

use super::occupants::Role;
use super::{Actor, Now, Out, Refused, Room};
use crate::mls::framing::{Content, Framed};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::state::mls::order::{self, Changed, Order, OutOfOrder, Terms};
use crate::state::mls::{Info, encode};
use crate::state::rooms::Affiliation;
use crate::state::rooms::archive::Said;
use crate::state::rooms::group::Group;
use crate::store::Mid;
use crate::xml::{El, Element};

/// What a room that keeps an order makes of a message.
pub(super) enum Step {
    /// It has nothing to do with the group.
    Aside,
    /// Something that the members say.
    Spoken,
    /// Somebody proposes a change.
    Proposed,
    /// The epoch ends.
    Commit {
        /// The group, if the room has none yet.
        begins: Option<Order>,
        /// Who takes part from now on.
        changed: Changed,
    },
}

impl Step {
    /// Whether it must be kept for those who are away.
    pub(super) fn stays(&self) -> bool {
        matches!(self, Step::Proposed | Step::Commit { .. })
    }
}

impl Room {
    /// Whether the room keeps the order of a group.
    pub(super) fn is_ordered(&self) -> bool {
        self.options().is_some_and(|options| options.ordered)
    }

    fn group(&self) -> Option<&Group> {
        self.stored.as_ref()?.group.as_ref()
    }

    fn terms(&self) -> Terms {
        Terms {
            window: self.rules.window,
            external: self.options().is_some_and(|options| options.external),
        }
    }

    fn may_begin_group(&self, bare: &Jid) -> bool {
        self.affiliation(bare) >= Affiliation::Admin
    }

    fn judge(&self, framed: &Framed<'_>, bare: &Jid) -> Result<(), OutOfOrder> {
        match self.group() {
            Some(group) => group.order.judge(framed, self.terms()),
            None if framed.content == Content::Commit && self.may_begin_group(bare) => {
                Order::new(framed.group, framed.epoch, bare.clone()).judge(framed, self.terms())
            }
            None => Err(OutOfOrder::NoGroup),
        }
    }

    /// What a message is to the group, and whether it has its place now.
    pub(super) fn place(
        &self,
        full: &Jid,
        stanza: &Stanza,
        now: &Now<'_>,
    ) -> Result<Step, Refused> {
        if !self.is_ordered() {
            return Ok(Step::Aside);
        }
        let Some(bytes) = order::message_in(stanza.children())? else {
            return Ok(Step::Aside);
        };
        let (framed, bare) = (order::framed(&bytes)?, full.bare());
        if let Err(refused) = self.judge(&framed, &bare) {
            let winner = match &refused {
                OutOfOrder::Taken { winner, .. } => winner.as_deref(),
                _ => None,
            };
            let winner = winner.and_then(|id| self.recent(id.parse().ok()?, now));
            let winner = winner.and_then(|said| said.stanza.child("mls", ns::MLS));
            let winner = winner.map(|mls| mls.text());
            return Err(refused.to_error(&framed, winner.as_deref()));
        }
        Ok(match framed.content {
            Content::Application => Step::Spoken,
            Content::Proposal => Step::Proposed,
            Content::Commit => Step::Commit {
                begins: match self.group() {
                    Some(_) => None,
                    None => Some(Order::new(framed.group, framed.epoch, bare)),
                },
                changed: Changed::beside(stanza)?,
            },
        })
    }

    /// A message that is in memory, or was looked up.
    fn recent<'a>(&'a self, mid: Mid, now: &'a Now<'_>) -> Option<&'a Said> {
        let found = now.found.filter(|said| said.mid == mid);
        let mut history = self.history.iter();
        found.or_else(|| history.find(|said| said.mid == mid))
    }

    /// The commit that was there before this one, if it must be looked up.
    pub(super) fn wants_winner(&self, from: &Jid, stanza: &Stanza) -> Option<Mid> {
        if stanza.kind != Kind::Message(MessageType::Groupchat) || !self.is_ordered() {
            return None;
        }
        self.occupants.of(from)?;
        let bytes = order::message_in(stanza.children()).ok()??;
        let framed = order::framed(&bytes).ok()?;
        match self.judge(&framed, &from.bare()) {
            Err(OutOfOrder::Taken { winner, .. }) => winner?.parse().ok(),
            _ => None,
        }
    }

    /// A commit is said, under this id: the next epoch begins, in the same batch.
    pub(super) fn next_epoch(&mut self, step: Step, mid: Mid, full: &Jid, out: &mut Out) {
        let Step::Commit { begins, changed } = step else {
            return;
        };
        let (most, locked) = (self.rules.participants, self.locked);
        let Some(stored) = self.stored.as_mut().filter(|_| !locked) else {
            return;
        };
        let rid = stored.record.rid;
        if let Some(order) = begins {
            stored.group = Some(Group::new(order));
        }
        if let Some(group) = &mut stored.group {
            group.advance(&mut out.batch, rid, mid.to_string(), full.bare());
            group.change(&mut out.batch, rid, &changed, most);
        }
    }

    /// What the room is asked about its group.
    pub(super) fn group_asks(
        &mut self,
        actor: &Actor,
        set: bool,
        payload: El<'_>,
        out: &mut Out,
    ) -> Result<Option<Element>, Refused> {
        if !self.is_ordered() {
            return Err(Condition::ServiceUnavailable.into());
        }
        let bare = actor.jid.bare();
        match (set, payload.name()) {
            (false, "group") => {
                self.speaker(&actor.jid)?;
                let group = self.group().ok_or(Condition::ItemNotFound)?;
                Ok(Some(group.order.to_element()))
            }
            (false, "members") => self.members(actor).map(Some),
            (true, "reset") if !self.may_begin_group(&bare) => Err(Condition::Forbidden.into()),
            (true, "reset") => {
                let stored = self.stored.as_mut();
                if let Some((group, rid)) =
                    stored.and_then(|s| Some((s.group.take()?, s.record.rid)))
                {
                    group.end(&mut out.batch, rid);
                }
                Ok(None)
            }
            (true, "group-info") => self.keep_info(&bare, payload, out).map(|()| None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// The state of an epoch is kept from whoever began it.
    fn keep_info(&self, bare: &Jid, payload: El<'_>, out: &mut Out) -> Result<(), Refused> {
        let (group, rid) = self
            .group()
            .zip(self.rid())
            .ok_or(Condition::ItemNotFound)?;
        let info = Info::read(payload, self.rules.group_info)?;
        if encode(&info.group) != group.order.group || info.epoch != group.order.epoch {
            return Err(Condition::Conflict.into());
        }
        if *bare != group.order.by {
            return Err(Condition::Forbidden.into());
        }
        group.keep_info(&mut out.batch, rid, &info.kept);
        Ok(())
    }

    /// Of which epoch somebody may read the state of the group, to join by himself.
    pub(super) fn shows_info(&self, full: &Jid) -> Result<u64, Refused> {
        if !self.is_ordered() {
            return Err(Condition::ServiceUnavailable.into());
        }
        self.speaker(full)?;
        if !self.terms().external {
            return Err(Condition::NotAllowed.into());
        }
        let group = self.group().ok_or(Condition::ItemNotFound)?;
        Ok(group.order.epoch)
    }

    /// Who is a member of the room beside who takes part in the group: neither follows from the other.
    fn members(&self, actor: &Actor) -> Result<Element, Refused> {
        let bare = actor.jid.bare();
        let moderates = self
            .occupants
            .of(&actor.jid)
            .is_some_and(|occupant| occupant.role == Role::Moderator);
        if !moderates && !self.may_begin_group(&bare) {
            return Err(Condition::Forbidden.into());
        }
        let group = self.group();
        let stored = self.stored.as_ref();
        let affiliates = stored.iter().flat_map(|stored| stored.affiliates.keys());
        let mut all: std::collections::BTreeSet<&Jid> = affiliates.collect();
        all.extend(self.occupants.iter().map(|occupant| &occupant.bare));
        all.extend(group.iter().flat_map(|group| &group.participants));
        let mut members = Element::new("members", ns::MLS);
        if let Some(group) = group {
            members.set_attr("group", Some(&group.order.group));
            members.set_attr("epoch", Some(&group.order.epoch.to_string()));
        }
        let member = |jid: &Jid| {
            let mut member = Element::new("member", ns::MLS)
                .with_attr("jid", jid.as_str())
                .with_attr("affiliation", self.affiliation(jid).as_str());
            let present = self.occupants.of_person(jid).next().is_some();
            let participant = group.is_some_and(|group| group.participants.contains(jid));
            member.set_attr("present", present.then_some("true"));
            member.set_attr("participant", participant.then_some("true"));
            member
        };
        Ok(members.with_children(all.into_iter().map(member)))
    }
}
