//! What owners do: the configuration, and the end of the room (XEP-0045 §10).

use super::form::{self, Lists};
use super::occupants::Role;
use super::said::{self, Told, code, status, user};
use super::{Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, PresenceType, Stanza};
use crate::runtime::random;
use crate::state::rooms::{Affiliation, Options};
use crate::xml::{El, Element};

/// Presence that one change of the configuration leads to; where it would be more, those whose role it changes learn it
/// alone, and the others when they show themselves again.
const STORM: usize = 50_000;

impl Room {
    /// §10.2: only owners see and change the configuration.
    pub(super) fn as_owner(&self, bare: &Jid) -> Result<&Options, Refused> {
        let options = &self.record()?.options;
        match self.affiliation(bare) {
            Affiliation::Owner => Ok(options),
            _ => Err(Condition::Forbidden.into()),
        }
    }

    pub(super) fn owner_asks(&self, bare: &Jid, query: El<'_>) -> Result<Element, Refused> {
        self.as_owner(bare)?;
        if query.children().next().is_some() {
            return Err(Condition::BadRequest.into());
        }
        let form = self.form()?.to_element();
        Ok(Element::new("query", ns::MUC_OWNER).with_child(form))
    }

    fn form(&self) -> Result<Form, Refused> {
        let lists = Lists {
            admins: self.listed(Affiliation::Admin),
            owners: self.listed(Affiliation::Owner),
        };
        let (most, history) = (self.rules.occupants, self.rules.history);
        Ok(form::form(&self.record()?.options, &lists, most, history))
    }

    fn listed(&self, affiliation: Affiliation) -> Vec<&str> {
        let stored = self.stored.iter().flat_map(|stored| &stored.affiliates);
        stored
            .filter(|(_, known)| known.affiliation == affiliation)
            .map(|(jid, _)| jid.as_str())
            .collect()
    }

    pub(super) fn owner_sets(
        &mut self,
        bare: &Jid,
        query: El<'_>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        self.as_owner(bare)?;
        if let Some(destroy) = query.child("destroy", ns::MUC_OWNER) {
            let destroy = self.checked_destroy(destroy)?;
            self.destroy(&destroy, out);
            return Ok(());
        }
        let submitted = Form::of(query).ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let submitted = submitted.map_err(|error| StanzaError::from(&error))?;
        match submitted.kind {
            FormType::Cancel if self.locked => {
                self.destroy(&user("destroy"), out);
                Ok(())
            }
            FormType::Cancel => Ok(()),
            _ => self.configure(bare, &submitted, out),
        }
    }

    /// §10.1.2, §10.1.3, §10.2.
    fn configure(&mut self, bare: &Jid, submitted: &Form, out: &mut Out) -> Result<(), Refused> {
        let form = self.form()?;
        let checked = form
            .check(submitted)
            .map_err(|error| StanzaError::from(&error))?;
        let before = self.record()?.options.clone();
        let mut options = before.clone();
        form::apply(&checked, &mut options, self.rules.text)?;
        let changes = self.list_changes(bare, &checked)?;
        if let Some(stored) = &mut self.stored {
            stored.record.options = options.clone();
        }
        if self.locked {
            self.unlock(out);
        } else if options != before {
            self.save(out);
        }
        for (jid, affiliation) in changes {
            let was = self.standing(&jid);
            self.change_affiliation(&jid, affiliation, None, &Told::default(), out);
            self.tell_absent(&jid, was, bare, None, out);
        }
        self.enforce(&before, &options, out);
        self.tell_configured(&before, &options, out);
        Ok(())
    }

    /// What the lists of admins and owners in a submission change; the last owner stays (§10.4).
    fn list_changes(
        &self,
        actor: &Jid,
        checked: &Form,
    ) -> Result<Vec<(Jid, Affiliation)>, Refused> {
        let mut changes = Vec::new();
        for (var, affiliation, less) in [
            (
                "muc#roomconfig_roomowners",
                Affiliation::Owner,
                Affiliation::Admin,
            ),
            (
                "muc#roomconfig_roomadmins",
                Affiliation::Admin,
                Affiliation::None,
            ),
        ] {
            let Some(field) = checked.field(var) else {
                continue;
            };
            let wanted: Vec<Jid> = field
                .values
                .iter()
                .filter_map(|jid| Jid::parse(jid).ok())
                .map(|jid| jid.bare())
                .collect();
            if affiliation == Affiliation::Owner && wanted.is_empty() {
                return Err(Condition::Conflict.into());
            }
            for jid in self.listed(affiliation) {
                let jid = Jid::parse(jid).map_err(|_| StanzaError::from(Condition::BadRequest))?;
                if !wanted.contains(&jid) {
                    changes.push((jid, less));
                }
            }
            for jid in wanted {
                if self.affiliation(&jid) < affiliation {
                    changes.retain(|(known, _)| *known != jid);
                    changes.push((jid, affiliation));
                }
            }
        }
        let stays = |jid: &&str| {
            !changes
                .iter()
                .any(|(changed, to)| changed.as_str() == *jid && *to != Affiliation::Owner)
        };
        let gains = changes.iter().any(|(_, to)| *to == Affiliation::Owner);
        if !gains && !self.listed(Affiliation::Owner).iter().any(stays) {
            return Err(StanzaError::from(Condition::Conflict)
                .with_text(format!("Without {actor} the room has no owner")));
        }
        Ok(changes)
    }

    /// §10.2.1: all learn what kind of change it was.
    fn tell_configured(&self, before: &Options, now: &Options, out: &mut Out) {
        if before == now {
            return;
        }
        let mut codes = Vec::new();
        if before.non_anonymous != now.non_anonymous {
            codes.push(match now.non_anonymous {
                true => code::NOW_NON_ANONYMOUS,
                false => code::NOW_SEMI_ANONYMOUS,
            });
        }
        if before.logged != now.logged {
            codes.push(if now.logged {
                code::LOGGED
            } else {
                code::NOT_LOGGED
            });
        }
        let private = Options {
            non_anonymous: now.non_anonymous,
            logged: now.logged,
            ..before.clone()
        };
        if private != *now {
            codes.insert(0, code::CONFIGURED);
        }
        self.tell_codes(codes, out);
    }

    /// Tells all what changed.
    pub(super) fn tell_codes(&self, codes: impl IntoIterator<Item = u16>, out: &mut Out) {
        let message = Stanza::message(MessageType::Groupchat)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(user("x").with_children(codes.into_iter().map(status)));
        out.tell_all(self.sessions(|_| true), message);
    }

    /// Who may not be there any more goes, and who gained or lost voice learns it.
    fn enforce(&mut self, before: &Options, now: &Options, out: &mut Out) {
        if now.members_only && !before.members_only {
            let told = Told {
                codes: &[code::MEMBERS_ONLY],
                ..Told::default()
            };
            let strangers = self
                .occupants
                .iter()
                .filter(|occupant| self.affiliation(&occupant.bare) < Affiliation::Member);
            let strangers: Vec<_> = strangers
                .map(|occupant| (occupant.nick().to_owned(), told.clone()))
                .collect();
            self.put_out_all(&strangers, out);
        }
        if now.moderated == before.moderated {
            return;
        }
        let (from, to) = match now.moderated {
            true => (Role::Participant, Role::Visitor),
            false => (Role::Visitor, Role::Participant),
        };
        let concerned: Vec<String> = self
            .occupants
            .iter()
            .filter(|occupant| occupant.role == from)
            .filter(|occupant| self.affiliation(&occupant.bare) == Affiliation::None)
            .map(|occupant| occupant.nick().to_owned())
            .collect();
        let storm = concerned.len().saturating_mul(self.occupants.len()) > STORM;
        for nick in concerned {
            match storm {
                true => self.change_own_role(&nick, to, out),
                false => self.change_role(&nick, to, &Told::default(), out),
            }
        }
    }

    /// §10.9: what occupants are told, of what the owner said.
    fn checked_destroy(&self, destroy: El<'_>) -> Result<Element, Refused> {
        let mut told = user("destroy");
        if let Some(venue) = destroy.attr("jid").filter(|jid| !jid.is_empty()) {
            let venue = Jid::parse(venue).map_err(|_| Condition::JidMalformed)?;
            told.set_attr("jid", Some(venue.as_str()));
        }
        for name in ["reason", "password"] {
            if let Some(child) = destroy.child(name, ns::MUC_OWNER) {
                let text = child.text();
                if text.len() > self.rules.text {
                    return Err(Condition::NotAcceptable.into());
                }
                told = told.with_child(user(name).with_text(&text));
            }
        }
        Ok(told)
    }

    /// §10.9: each occupant learns it once, and the room is no more.
    fn destroy(&mut self, destroy: &Element, out: &mut Out) {
        for occupant in self.occupants.clear() {
            let none = Told::default();
            let x = said::extension(Affiliation::None, Role::None, None, &none, [])
                .with_child(destroy.clone());
            let kind = PresenceType::Unavailable;
            let stanza = said::presence(&occupant, kind, None, x);
            out.tell_first(Room::clients(&occupant), stanza);
        }
        self.end(out);
    }
}
