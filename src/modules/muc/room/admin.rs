//! Lists and their changes, as moderators, admins and owners ask for them (XEP-0045 §8, §9, §10.3 to §10.8).

use super::occupants::{Occupant, Role};
use super::said::{self, Told, code, user};
use super::versions::Sight;
use super::{Bound, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::{Affiliate, Affiliation};
use crate::xml::{El, Element};

/// Changes of one request.
const MOST: usize = 200;

/// One item of a request that is in order.
struct Change {
    what: What,
    reason: Option<String>,
}

enum What {
    Role {
        nick: String,
        role: Role,
    },
    Affiliation {
        jid: Jid,
        affiliation: Affiliation,
        nick: Option<String>,
    },
}

impl Room {
    /// Who is on a list, by role or by affiliation.
    pub(super) fn lists(&self, bare: &Jid, query: El<'_>) -> Result<Element, Refused> {
        let item = query.child("item", ns::MUC_ADMIN).ok_or_else(bad)?;
        let list = Element::new("query", ns::MUC_ADMIN);
        if let Some(affiliation) = item.attr("affiliation") {
            let affiliation = Affiliation::parse(affiliation).ok_or_else(bad)?;
            self.may_see(bare, affiliation)?;
            return Ok(list.with_children(self.affiliates(affiliation)));
        }
        let role = item.attr("role").and_then(Role::parse).ok_or_else(bad)?;
        self.as_moderator(bare)?;
        let with_role = self.occupants.iter().filter(|there| there.role == role);
        Ok(list.with_children(with_role.map(|there| self.role_item(there))))
    }

    /// §9.5: admins see all lists; the list of members is seen by whom the room's owner lets see it,
    /// and where everybody sees everybody's address, by members and who is there.
    fn may_see(&self, bare: &Jid, affiliation: Affiliation) -> Result<(), Refused> {
        let sight = self.sight(bare);
        let options = &self.record()?.options;
        let there = self.occupants.of_person(bare).map(|there| there.role).max();
        let open = match affiliation {
            Affiliation::Outcast => sight == Sight::All,
            _ => sight > Sight::Nothing,
        };
        let let_see = affiliation == Affiliation::Member
            && there.is_some_and(|role| role.is_of(options.member_list));
        match open || let_see {
            true => Ok(()),
            false => Err(Condition::Forbidden.into()),
        }
    }

    fn affiliates(&self, affiliation: Affiliation) -> Vec<Element> {
        let stored = self.stored.iter().flat_map(|stored| &stored.affiliates);
        let on_list = stored.filter(|(_, known)| known.affiliation == affiliation);
        let item = |(jid, known): (&Jid, &Affiliate)| {
            let mut item = Element::new("item", ns::MUC_ADMIN)
                .with_attr("affiliation", affiliation.as_str())
                .with_attr("jid", jid.as_str());
            item.set_attr("nick", known.nick.as_deref());
            match &known.reason {
                Some(reason) => {
                    item.with_child(Element::new("reason", ns::MUC_ADMIN).with_text(reason))
                }
                None => item,
            }
        };
        on_list.map(item).collect()
    }

    fn role_item(&self, there: &Occupant) -> Element {
        let mut item = Element::new("item", ns::MUC_ADMIN)
            .with_attr("affiliation", self.affiliation(&there.bare).as_str())
            .with_attr("nick", there.nick())
            .with_attr("role", there.role.as_str());
        item.set_attr("jid", there.shown().map(|session| session.jid.as_str()));
        item
    }

    /// §8: whose address is one of the moderators'.
    fn as_moderator(&self, bare: &Jid) -> Result<(), Refused> {
        let mut there = self.occupants.of_person(bare);
        match there.any(|there| there.role == Role::Moderator)
            || self.affiliation(bare) >= Affiliation::Admin
        {
            true => Ok(()),
            false => Err(Condition::Forbidden.into()),
        }
    }

    /// All changes of a request, or none (§9.2).
    pub(super) fn change_lists(
        &mut self,
        bare: &Jid,
        query: El<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let items = query.children().filter(|el| el.is("item", ns::MUC_ADMIN));
        let changes: Vec<Change> = items
            .map(|item| self.checked(bare, item))
            .collect::<Result<_, _>>()?;
        if changes.is_empty() {
            return Err(bad());
        }
        if changes.len() > MOST {
            return Err(StanzaError::from(Condition::PolicyViolation).with_text("Too many changes"));
        }
        self.bounded(&changes)?;
        self.keeps_an_owner(&changes)?;
        let actor = self.occupants.of_person(bare).next();
        let actor = actor.map(|there| there.nick().to_owned());
        for change in changes {
            self.apply(change, bare, actor.as_deref(), out);
        }
        Ok(())
    }

    /// §17.4: role by nickname, or affiliation by address.
    fn checked(&self, bare: &Jid, item: El<'_>) -> Result<Change, Refused> {
        let reason = item
            .child("reason", ns::MUC_ADMIN)
            .map(|reason| reason.text());
        let reason = reason
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        if reason
            .as_ref()
            .is_some_and(|reason| reason.len() > self.rules.text)
        {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text(format!("A reason has at most {} bytes", self.rules.text)));
        }
        let what = match (item.attr("role"), item.attr("affiliation")) {
            (Some(role), None) => {
                let role = Role::parse(role).ok_or_else(bad)?;
                let nick = item.attr("nick").ok_or_else(bad)?;
                self.may_set_role(bare, nick, role)?;
                let nick = nick.to_owned();
                What::Role { nick, role }
            }
            (None, Some(affiliation)) => {
                let affiliation = Affiliation::parse(affiliation).ok_or_else(bad)?;
                let jid = self.meant(item)?;
                let nick = item.attr("nick").filter(|_| item.attr("jid").is_some());
                self.may_set_affiliation(bare, &jid, affiliation)?;
                if nick.is_some_and(|nick| !nick.is_empty() && self.is_reserved(nick, &jid)) {
                    return Err(Condition::Conflict.into());
                }
                What::Affiliation {
                    jid,
                    affiliation,
                    nick: nick.map(str::to_owned),
                }
            }
            _ => return Err(bad()),
        };
        Ok(Change { what, reason })
    }

    /// The address that an item names, or the one behind a nickname.
    fn meant(&self, item: El<'_>) -> Result<Jid, Refused> {
        match (item.attr("jid"), item.attr("nick")) {
            (Some(jid), _) => {
                let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
                Ok(jid.bare())
            }
            (None, Some(nick)) => {
                let there = self.occupants.by_nick(nick);
                let there = there.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
                Ok(there.bare.clone())
            }
            (None, None) => Err(bad()),
        }
    }

    /// §8.2 to §8.5, §9.6 to §9.8.
    fn may_set_role(&self, bare: &Jid, nick: &str, role: Role) -> Result<(), Refused> {
        self.as_moderator(bare)?;
        let there = self.occupants.by_nick(nick);
        let there = there.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))?;
        let (own, other) = (self.affiliation(bare), self.affiliation(&there.bare));
        let admin = own >= Affiliation::Admin;
        if role == Role::Moderator && !admin {
            return Err(Condition::Forbidden.into());
        }
        let spared = match role {
            Role::None => other > own,
            Role::Moderator => false,
            Role::Visitor | Role::Participant => {
                other >= Affiliation::Admin
                    || role < there.role && other >= own && other > Affiliation::None
            }
        };
        // Only admins and owners take from a moderator what it has (§5.1.3).
        let above = there.role == Role::Moderator && role != Role::Moderator && !admin;
        match spared || above {
            true if there.bare == *bare && role == Role::None => Ok(()),
            true => Err(Condition::NotAllowed.into()),
            false => Ok(()),
        }
    }

    /// §5.2.2, §9.1, §10.3 to §10.7.
    pub(super) fn may_set_affiliation(
        &self,
        bare: &Jid,
        jid: &Jid,
        affiliation: Affiliation,
    ) -> Result<(), Refused> {
        let own = self.affiliation(bare);
        if own < Affiliation::Admin
            || own == Affiliation::Admin && affiliation >= Affiliation::Admin
        {
            return Err(Condition::Forbidden.into());
        }
        if jid == bare && affiliation == Affiliation::Outcast {
            return Err(Condition::Conflict.into());
        }
        if own == Affiliation::Admin && self.affiliation(jid) >= Affiliation::Admin && jid != bare {
            return Err(Condition::NotAllowed.into());
        }
        // A whole domain may be banned, and no more than that (§9.2).
        if jid.node().is_none() && affiliation > Affiliation::None {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text("A domain may only be banned"));
        }
        Ok(())
    }

    /// How long the lists may get.
    fn bounded(&mut self, changes: &[Change]) -> Result<(), Refused> {
        let known = self
            .stored
            .as_ref()
            .map_or(0, |stored| stored.affiliates.len());
        let adds = |change: &&Change| matches!(change.what, What::Affiliation { affiliation, .. } if affiliation != Affiliation::None);
        let added = changes.iter().filter(adds).count();
        match added > 0 && known.saturating_add(added) > self.rules.affiliations {
            true => Err(self.too_many(Bound::Affiliations, "The lists of the room are full")),
            false => Ok(()),
        }
    }

    /// §10.4: the last owner stays, unless its account is removed.
    fn keeps_an_owner(&self, changes: &[Change]) -> Result<(), Refused> {
        if self.acting.is_some() {
            return Ok(());
        }
        let after = |jid: &Jid, before: Affiliation| {
            let mut changed = changes
                .iter()
                .rev()
                .filter_map(|change| match &change.what {
                    What::Affiliation {
                        jid: changed,
                        affiliation,
                        ..
                    } if changed == jid => Some(*affiliation),
                    _ => None,
                });
            changed.next().unwrap_or(before)
        };
        let stored = self.stored.iter().flat_map(|stored| &stored.affiliates);
        let mut stays = stored.map(|(jid, known)| after(jid, known.affiliation));
        let mut comes = changes.iter().map(|change| match change.what {
            What::Affiliation { affiliation, .. } => affiliation,
            What::Role { .. } => Affiliation::None,
        });
        let owner = |affiliation: Affiliation| affiliation == Affiliation::Owner;
        match stays.any(owner) || comes.any(owner) {
            true => Ok(()),
            false => {
                Err(StanzaError::from(Condition::Conflict)
                    .with_text("The room would have no owner"))
            }
        }
    }

    fn apply(&mut self, change: Change, bare: &Jid, actor: Option<&str>, out: &mut Out) {
        let told = Told {
            actor,
            reason: change.reason.as_deref(),
            ..Told::default()
        };
        match change.what {
            What::Role {
                nick,
                role: Role::None,
            } => {
                let codes = &[code::KICKED];
                self.put_out(&nick, &Told { codes, ..told }, out);
                self.end_if_empty(out);
            }
            What::Role { nick, role } => self.change_role(&nick, role, &told, out),
            What::Affiliation {
                jid,
                affiliation,
                nick,
            } => {
                let before = self.standing(&jid);
                self.change_affiliation(&jid, affiliation, nick.as_deref(), &told, out);
                self.tell_absent(&jid, before, bare, told.reason, out);
            }
        }
    }

    /// What somebody is to the room, and whether it is there.
    pub(super) fn standing(&self, jid: &Jid) -> (Affiliation, bool) {
        let there = self.occupants.of_person(jid).next().is_some();
        (self.affiliation(jid), there)
    }

    /// §18.1: somebody who was not there learns what it is to the room now; who may enter from now on, where
    /// others may not, is invited (§9.5).
    pub(super) fn tell_absent(
        &self,
        jid: &Jid,
        (before, there): (Affiliation, bool),
        by: &Jid,
        reason: Option<&str>,
        out: &mut Out,
    ) {
        let now = self.affiliation(jid);
        if there || now == before || jid.node().is_none() || self.locked {
            return;
        }
        let members_only = self.options().is_some_and(|options| options.members_only);
        if members_only && before == Affiliation::None && now == Affiliation::Member {
            let mut invite = user("invite").with_attr("from", by.as_str());
            if let Some(reason) = reason {
                invite = invite.with_child(user("reason").with_text(reason));
            }
            return out.tell(jid, self.invitation(invite));
        }
        let told = Told {
            reason,
            codes: &[code::AFFILIATION],
            ..Told::default()
        };
        let x = said::extension(now, Role::None, None, &told, []);
        let message = Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(x);
        out.tell(jid, message);
    }

    /// A message from the room with an invitation, and what is needed to follow it.
    pub(super) fn invitation(&self, invite: Element) -> Stanza {
        let mut x = user("x").with_child(invite);
        if let Some(password) = self
            .options()
            .and_then(|options| options.password.as_deref())
        {
            x = x.with_child(user("password").with_text(password));
        }
        Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(x)
    }
}

fn bad() -> StanzaError {
    Condition::BadRequest.into()
}
