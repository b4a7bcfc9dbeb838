//! What an account can read: one page of its own archive, and of the archives of rooms of this server that it stays in by its
//! bare address, as if there were one. Nothing of a room is kept for each who is there.

use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::log::{self, Found, Page, Query, QueryError};
use crate::state::rooms::archive::{self, Said};
use crate::state::rooms::stays::{self, Stayed};
use crate::store::{Mid, Snapshot, StoreError};
use crate::xml::Element;

/// Reads a page of both. For each room that may have something on it one more place is looked at, and no more is read of it than
/// what may stand on the page.
///
/// # Errors
/// See [`QueryError`].
pub fn page(
    query: &Query,
    view: &dyn Snapshot,
    uid: Uid,
    account: &Jid,
) -> Result<Page, QueryError> {
    let mut rooms = stays::of_person(view, account)?;
    let named = query.after.iter().chain(&query.before);
    for mid in named.chain(query.ids.iter().flatten()) {
        if !log::has(view, uid, *mid)? && !is_of_rooms(view, &rooms, *mid)? {
            return Err(QueryError::NotFound);
        }
    }
    if let Some(with) = &query.with {
        rooms.retain(|stayed| stayed.room.as_str() == with.bare_str());
    }
    let own = query.read(view, uid)?;
    let mut merged = Merged {
        query,
        found: Vec::new(),
        end: None,
        more: false,
    };
    let reached = own.reached.filter(|_| !own.complete);
    merged.add(own.messages, own.complete, reached);
    for stayed in &rooms {
        let wanted = merged.of_room(stayed);
        let page = wanted.read(view, stayed.rid)?;
        let messages = page.messages.into_iter();
        let messages = messages.map(|said| shown(said, &stayed.room)).collect();
        merged.add(messages, page.complete, page.reached);
    }
    Ok(merged.page())
}

fn is_of_rooms(view: &dyn Snapshot, rooms: &[Stayed], mid: Mid) -> Result<bool, StoreError> {
    for stayed in rooms.iter().filter(|stayed| stayed.covers(mid)) {
        if archive::has(view, stayed.rid, mid)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The message as the account's clients would have got it.
fn shown(said: Said, room: &Jid) -> Found {
    let id = Element::new("stanza-id", ns::STANZA_ID)
        .with_attr("by", room.as_str())
        .with_attr("id", &said.mid.to_string());
    let stanza = said.stanza.with_child(id);
    let mut xml = Vec::with_capacity(stanza.size_hint());
    stanza.write(Some(ns::CLIENT), &mut xml);
    Found {
        mid: said.mid,
        at: said.at,
        xml,
        waits: None,
    }
}

/// Pages of several archives on the way to be one.
struct Merged<'a> {
    query: &'a Query,
    /// In the direction of the query, no more than a page has.
    found: Vec<Found>,
    /// What lies beyond this, in that direction, is not known, or has no place.
    end: Option<Mid>,
    /// There is more than what was found.
    more: bool,
}

impl Merged<'_> {
    fn is_beyond(&self, mid: Mid, end: Mid) -> bool {
        match self.query.backwards {
            true => mid < end,
            false => mid > end,
        }
    }

    fn end_at(&mut self, end: Mid) {
        if self.end.is_none_or(|known| self.is_beyond(known, end)) {
            self.end = Some(end);
        }
    }

    /// What is wanted of a room: what is for the account to read, as far as it may stand on the page.
    fn of_room(&self, stayed: &Stayed) -> archive::Query {
        let query = self.query;
        let mut wanted = archive::Query {
            by: query.with.clone().filter(Jid::is_full),
            start: query.start,
            end: query.end,
            after: query.after.clone(),
            before: query.before.clone(),
            ids: query.ids.clone(),
            words: query.words.clone(),
            backwards: query.backwards,
            max: query.max,
            bytes: query.bytes,
        };
        wanted.after.push(stayed.since);
        wanted.before.extend(stayed.until);
        match (self.end, query.backwards) {
            (Some(end), false) => wanted.before.push(end.after()),
            (Some(end), true) => wanted.after.push(end.before()),
            (None, _) => {}
        }
        wanted
    }

    /// Takes a page, oldest first, of one of the archives.
    fn add(&mut self, messages: Vec<Found>, complete: bool, reached: Option<Mid>) {
        if !complete {
            self.more = true;
            let last = match self.query.backwards {
                true => messages.first(),
                false => messages.last(),
            };
            let end = reached.or(last.map(|found| found.mid));
            end.into_iter().for_each(|end| self.end_at(end));
        }
        self.found.extend(messages);
        self.found.sort_by_key(|found| found.mid);
        if self.query.backwards {
            self.found.reverse();
        }
        self.cut();
    }

    /// No more stays than one page has, and nothing behind what is not known.
    fn cut(&mut self) {
        let mut bytes = 0_usize;
        let mut fits = |(at, found): (usize, &Found)| {
            bytes = bytes.saturating_add(found.xml.len());
            let known = self.end.is_none_or(|end| !self.is_beyond(found.mid, end));
            known && at < self.query.max && (at == 0 || bytes <= self.query.bytes)
        };
        let fitting = self
            .found
            .iter()
            .enumerate()
            .take_while(|it| fits(*it))
            .count();
        if fitting < self.found.len() {
            self.more = true;
            self.found.truncate(fitting);
            let last = self.found.last().map(|found| found.mid);
            last.into_iter().for_each(|last| self.end_at(last));
        }
    }

    fn page(self) -> Page {
        let (backwards, mut messages) = (self.query.backwards, self.found);
        let last = messages.last().map(|found| found.mid);
        if backwards {
            messages.reverse();
        }
        Page {
            messages,
            complete: !self.more,
            reached: self.end.filter(|end| Some(*end) != last),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
