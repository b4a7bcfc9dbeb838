//! Who may read what was said, and what is asked of it (XEP-0313 1.1.3 §4, §6.1.2).

use super::{Refused, Room};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::mam::{Offer, Shape};
use crate::proto::ns;
use crate::state::rooms::archive::Query;
use crate::state::rooms::{Affiliation, Rid};
use crate::xml::El;

/// A question to the archive that somebody may ask.
#[derive(Debug)]
pub struct Asked {
    /// Whose archive.
    pub rid: Rid,
    /// Whether the answer names who is behind nicknames.
    pub open: bool,
    /// What is asked.
    pub what: Wanted,
}

/// What the archive is asked.
#[derive(Debug)]
pub enum Wanted {
    /// A page, and how it looks.
    Page(Box<Query>, Shape),
    /// Where it begins and ends (§5).
    Ends,
}

impl Room {
    /// A question that must be looked up; `None` if it is another one.
    pub(super) fn ask_archive(
        &self,
        bare: &Jid,
        set: bool,
        payload: El<'_>,
    ) -> Result<Option<Asked>, Refused> {
        let ends = match (set, payload.ns(), payload.name()) {
            (true, ns::MAM, "query") => false,
            (false, ns::MAM, "metadata") => true,
            _ => return Ok(None),
        };
        let open = self.may_read(bare)?;
        let rid = self.record()?.rid;
        let what = match ends {
            true => Wanted::Ends,
            false => self.wanted(payload, open)?,
        };
        Ok(Some(Asked { rid, open, what }))
    }

    /// §6.1.2: who may enter at the moment; whether it sees who is behind nicknames.
    pub(super) fn may_read(&self, bare: &Jid) -> Result<bool, Refused> {
        let options = &self.record()?.options;
        let own = self.affiliation(bare);
        if !options.archive {
            return Err(Condition::ServiceUnavailable.into());
        }
        let there = self.occupants.of_person(bare).map(|there| there.role).max();
        let closed = options.members_only || options.password.is_some() || self.locked;
        if own == Affiliation::Outcast || closed && own < Affiliation::Member && there.is_none() {
            return Err(Condition::Forbidden.into());
        }
        Ok(options.non_anonymous
            || own >= Affiliation::Admin
            || there == Some(super::Role::Moderator))
    }

    fn wanted(&self, payload: El<'_>, open: bool) -> Result<Wanted, Refused> {
        let asked = self.offer().read(payload)?;
        // Who said something is found by address only by who may know it (§4.1.1).
        if let Some(by) = &asked.with
            && !open
            && by.bare_str() != self.jid.as_str()
        {
            return Err(Condition::Forbidden.into());
        }
        let query = Query {
            by: asked.with,
            start: asked.start,
            end: asked.end,
            after: asked.after,
            before: asked.before,
            ids: asked.ids,
            words: Vec::new(),
            backwards: asked.shape.backwards,
            max: asked.max,
            bytes: self.rules.page_bytes,
        };
        Ok(Wanted::Page(Box::new(query), asked.shape))
    }

    /// What may be asked.
    pub(super) fn offer(&self) -> Offer {
        Offer {
            most: self.rules.page,
            groupchat: false,
            fulltext: false,
        }
    }
}
