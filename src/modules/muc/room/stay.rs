//! Who stays in the room by its bare address, whether or not a client of it is there (ProtoXEP New MUC 0.1 §3.1, §3.4).

use smallvec::SmallVec;

use super::occupants::{Occupant, Session};
use super::said::Told;
use super::{Actor, Now, Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{PresenceType, Stanza};
use crate::state::rooms::stays::{self, Stay};
use crate::xml::{El, Element};

impl Room {
    /// Those who stayed when the room was last in memory.
    pub fn take_in(&mut self, stays: Vec<(Jid, Stay)>) {
        for (who, stay) in stays {
            if let Ok(address) = self.jid.with_resource(&stay.nick) {
                let there = self.staying(&who, address);
                self.occupants.enter(there);
                self.stays.insert(who, stay);
            }
        }
    }

    /// How many clients are there.
    pub fn clients_there(&self) -> usize {
        self.occupants.addresses().saturating_sub(self.stays.len())
    }

    /// Everybody who hears what is said: clients, and people who stay.
    pub(super) fn hearers(&self) -> SmallVec<[Jid; 1]> {
        let sessions = self.occupants.iter().flat_map(|there| &there.sessions);
        sessions.map(|session| session.jid.clone()).collect()
    }

    /// §3.3.1: shown as there, and as away for long.
    fn staying(&self, who: &Jid, address: Jid) -> Occupant {
        let away = Element::new("show", ns::CLIENT).with_text("xa");
        let presence = Stanza::presence(PresenceType::Available).with_child(away);
        let there = self
            .occupants
            .by_nick(address.resource().unwrap_or_default());
        let role = there.map_or_else(
            || self.first_role(self.affiliation(who)),
            |there| there.role,
        );
        Occupant {
            address,
            bare: who.clone(),
            role,
            id: self.occupant_id(who),
            sessions: vec![Session {
                jid: who.clone(),
                presence,
            }],
        }
    }

    /// §3.4: the server of somebody asks for it.
    pub(super) fn stay(
        &mut self,
        actor: &Actor,
        join: El<'_>,
        now: &Now<'_>,
        out: &mut Out,
    ) -> Result<Element, Refused> {
        let who = &actor.jid;
        if who.is_full() {
            return Err(StanzaError::from(Condition::NotAllowed)
                .with_text("Only a bare address can stay; its server asks for it"));
        }
        if let Some(stay) = self.stays.get(who) {
            return Ok(joined(&stay.nick));
        }
        let nick = join.child("nickname", ns::MUC2);
        let nick = nick.ok_or_else(|| StanzaError::from(Condition::BadRequest))?;
        let address = self.jid.with_resource(nick.text().trim());
        let address = address.map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        let nick = address.resource().unwrap_or_default().to_owned();
        self.check_nick(&nick, who)?;
        self.may_enter(who, None)?;
        if self.locked || !self.options().is_some_and(|options| options.persistent) {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text("Nobody can stay in a room that does not stay itself"));
        }
        self.take_join(now)?;
        self.has_room(who)?;
        let there = self.occupants.by_nick(&nick);
        let address = there.map_or(address, |there| there.address.clone());
        let nick = address.resource().unwrap_or_default().to_owned();
        let was_there = there.is_some();
        let stays = self.staying(who, address);
        self.occupants.enter(stays);
        let since = self.ids.last();
        self.stays.insert(who.clone(), Stay { nick, since });
        self.write_stay(who, out);
        if !was_there {
            self.announce_arrival(who, out);
        }
        out.tell(who, self.subject());
        let nick = self.stays.get(who).map(|stay| stay.nick.as_str());
        Ok(joined(nick.unwrap_or_default()))
    }

    /// The other way.
    pub(super) fn stay_no_longer(&mut self, who: &Jid, out: &mut Out) -> Result<(), Refused> {
        match self.stays.contains_key(who) {
            true => self.leaves(who, None, &Told::default(), out),
            false => return Err(Condition::ItemNotFound.into()),
        }
        Ok(())
    }

    fn write_stay(&self, who: &Jid, out: &mut Out) {
        if let (Some(stay), Some(rid)) = (self.stays.get(who), self.rid()) {
            stays::keep(&mut out.batch, (rid, &self.jid), who, stay);
        }
    }

    /// It has another nickname.
    pub(super) fn rename_stay(&mut self, who: &Jid, out: &mut Out) {
        let nick = self.occupants.of(who).map(|there| there.nick().to_owned());
        if let (Some(stay), Some(nick)) = (self.stays.get_mut(who), nick) {
            stay.nick = nick;
            self.write_stay(who, out);
        }
    }

    /// An address went: if it stayed, that is over, and what is said from now on is not for it.
    pub(super) fn end_stay(&mut self, who: &Jid, out: &mut Out) {
        if let (Some(stay), Some(rid)) = (self.stays.remove(who), self.rid()) {
            let until = self.ids.last().after();
            stays::end(&mut out.batch, (rid, &self.jid), who, &stay, until);
        }
    }

    /// The room is no more.
    pub(super) fn end_stays(&mut self, out: &mut Out) {
        for who in std::mem::take(&mut self.stays).into_keys() {
            self.occupants.leave(&who);
            stays::forget(&mut out.batch, &self.jid, &who);
        }
    }

    /// Whether what came back says that the server of somebody who stays does not know of it. One that is not reached now is no
    /// reason.
    pub(super) fn is_final(&self, from: &Jid, condition: Condition) -> bool {
        from.is_full()
            || !matches!(
                condition,
                Condition::RemoteServerNotFound | Condition::RemoteServerTimeout
            )
    }
}

fn joined(nick: &str) -> Element {
    let nick = Element::new("nickname", ns::MUC2).with_text(nick);
    Element::new("join", ns::MUC2).with_child(nick)
}
