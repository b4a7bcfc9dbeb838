//! What is noted of an account's sessions, and of the resources of its contacts elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use super::Interests;
use crate::hooks::{Account, SessionInfo};
use crate::proto::caps::Claim;
use crate::proto::jid::Jid;

/// What one resource claims, kept with the session, or in [`Resources`].
pub struct Noted {
    /// By its last presence.
    pub claims: Vec<Claim>,
    /// What that stands for, once it is known.
    pub interests: Option<Arc<Interests>>,
}

impl Noted {
    /// What a session wants to hear of, as far as is known.
    pub fn interests(session: &SessionInfo) -> Option<&Arc<Interests>> {
        session.slots.find::<Noted>()?.interests.as_ref()
    }
}

/// The resources of contacts at other servers that an account has presence of; a part of the account.
#[derive(Default)]
pub struct Resources(HashMap<Jid, Noted>);

impl Resources {
    /// What is noted of one.
    pub fn get_mut(&mut self, full: &Jid) -> Option<&mut Noted> {
        self.0.get_mut(full)
    }

    /// Notes what one claims; whether there was room among `most`.
    pub fn put(&mut self, full: &Jid, noted: Noted, most: usize) -> bool {
        let room = self.0.len() < most || self.0.contains_key(full);
        if room {
            self.0.insert(full.clone(), noted);
        }
        room
    }

    /// This resource is gone; for a bare JID, all of them.
    pub fn remove(&mut self, who: &Jid) {
        if who.is_full() {
            self.0.remove(who);
        } else {
            self.0.retain(|full, _| full.bare_str() != who.as_str());
        }
    }

    /// Those of a domain are gone; which they were.
    pub fn leave(&mut self, domain: &str) -> Vec<Jid> {
        let of = self.0.extract_if(|full, _| full.domain() == domain);
        of.map(|(full, _)| full).collect()
    }

    /// Those of an account, with what they want to hear of as far as is known.
    pub fn of(account: &Account) -> impl Iterator<Item = (&Jid, &Arc<Interests>)> {
        let resources = account.parts.find::<Resources>().into_iter();
        let noted = resources.flat_map(|resources| &resources.0);
        noted.filter_map(|(full, noted)| Some((full, noted.interests.as_ref()?)))
    }
}
