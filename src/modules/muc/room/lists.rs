//! Affiliations and roles of others: who is put out, banned, heard (XEP-0045 §8, §9, §10.3 to §10.8).

use super::occupants::Role;
use super::said::{Told, code};
use super::{Out, Room};
use crate::proto::jid::Jid;
use crate::proto::stanza::PresenceType;
use crate::state::rooms::{Affiliate, Affiliation};

impl Room {
    /// Makes somebody something else to the room, and shows it if it is there.
    pub(super) fn change_affiliation(
        &mut self,
        bare: &Jid,
        affiliation: Affiliation,
        nick: Option<&str>,
        told: &Told<'_>,
        out: &mut Out,
    ) {
        let known = self.stored.as_ref().and_then(|s| s.affiliates.get(bare));
        let (before, list) = (self.affiliation(bare), self.listed_as(bare));
        let nick = match nick {
            Some("") => None,
            Some(nick) => Some(nick.to_owned()),
            None => known.and_then(|known| known.nick.clone()),
        };
        let affiliate = Affiliate {
            affiliation,
            // Who is banned has no nickname kept (§9.1).
            nick: nick.filter(|_| affiliation > Affiliation::None),
            reason: told.reason.map(str::to_owned),
            until: told.until.filter(|_| affiliation == Affiliation::Outcast),
        };
        let listed = affiliation != Affiliation::None;
        self.set_affiliate(bare, listed.then_some(affiliate), out);
        let mut told = told.clone();
        if list != affiliation {
            told.change = self.note_change(bare, list, affiliation, out);
        }
        if before != affiliation {
            self.show_affiliation(bare, before, affiliation, &mut told, out);
        }
        if let Some(change) = &told.change {
            self.tell_change(change, out);
        }
        if before != affiliation {
            self.end_if_empty(out);
        }
    }

    /// §9.1, §9.4, §10.2: out, or with the role that goes with it. The first presence of a person shows what changed on
    /// the lists.
    fn show_affiliation(
        &mut self,
        bare: &Jid,
        before: Affiliation,
        affiliation: Affiliation,
        told: &mut Told<'_>,
        out: &mut Out,
    ) {
        let members_only = self.options().is_some_and(|options| options.members_only);
        let concerned = |of: &Jid| match bare.node() {
            Some(_) => of == bare,
            None => of.domain() == bare.domain(),
        };
        let there: Vec<(String, Jid, Role)> = self
            .occupants
            .iter()
            .filter(|occupant| concerned(&occupant.bare))
            .map(|occupant| {
                (
                    occupant.nick().to_owned(),
                    occupant.bare.clone(),
                    occupant.role,
                )
            })
            .collect();
        let mut go = Vec::new();
        for (nick, person, role) in there {
            // A ban of a domain spares who is on a list by name.
            if self.affiliation(&person) != affiliation {
                continue;
            }
            let change = told.change.take_if(|change| change.jid == person);
            let told = Told {
                change,
                ..told.clone()
            };
            let codes: &[u16] = match affiliation {
                Affiliation::Outcast => &[code::BANNED],
                Affiliation::None if members_only => &[code::NO_MEMBER],
                _ => {
                    let next = self.role_after(before, affiliation, role);
                    self.change_role(&nick, next, &told, out);
                    continue;
                }
            };
            go.push((nick, Told { codes, ..told }));
        }
        self.put_out_all(&go, out);
    }

    /// §5.1.3: what was gained stays, what went with a higher affiliation goes.
    fn role_after(&self, before: Affiliation, affiliation: Affiliation, role: Role) -> Role {
        let first = self.first_role(affiliation);
        match before {
            Affiliation::Owner | Affiliation::Admin => first,
            _ => role.max(first),
        }
    }

    /// Gives an occupant another role, and shows it.
    pub(super) fn change_role(&mut self, nick: &str, role: Role, told: &Told<'_>, out: &mut Out) {
        if let Some(occupant) = self.occupants.by_nick_mut(nick) {
            occupant.role = role;
        }
        self.announce(nick, told, out);
    }

    /// The same, shown to itself alone.
    pub(super) fn change_own_role(&mut self, nick: &str, role: Role, out: &mut Out) {
        if let Some(occupant) = self.occupants.by_nick_mut(nick) {
            occupant.role = role;
        }
        if let Some(occupant) = self.occupants.by_nick(nick) {
            let kind = PresenceType::Available;
            self.show_itself(occupant, role, kind, &Told::default(), out);
        }
    }
}
