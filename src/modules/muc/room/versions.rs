//! Versions of the lists: who enters learns what changed since it was there (XEP-0463 0.2.0).

use super::occupants::{Occupant, Role};
use super::said::{self, Told};
use super::{Out, Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::runtime::random;
use crate::state::rooms::{Affiliation, Change, changes};
use crate::xml::{El, Element};

/// Bytes of items in one message.
const PART: usize = 32 << 10;

/// Bytes of an item besides its address.
const ITEM: usize = 60;

/// How much of the lists somebody may see (XEP-0045 §9.5): each has its own versions, so that nobody learns from
/// them of what it may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Nothing of them as a whole.
    Nothing,
    /// All but who is banned.
    Lists,
    /// All.
    All,
}

impl Sight {
    /// Those who may see something.
    const SOME: [Sight; 2] = [Sight::Lists, Sight::All];

    /// Whether it is there to be seen that somebody is this.
    fn sees(self, affiliation: Affiliation) -> bool {
        match self {
            Sight::Nothing => false,
            Sight::Lists => affiliation > Affiliation::None,
            Sight::All => affiliation != Affiliation::None,
        }
    }

    fn sees_change(self, change: &Change) -> bool {
        self.sees(change.before) || self.sees(change.after)
    }
}

impl Room {
    /// How much of the lists somebody may see.
    pub(super) fn sight(&self, bare: &Jid) -> Sight {
        let own = self.affiliation(bare);
        let there = || self.occupants.of_person(bare).next().is_some();
        self.sight_of(own, || own == Affiliation::Member || there())
    }

    fn sight_of(&self, own: Affiliation, belongs: impl Fn() -> bool) -> Sight {
        let open = self.options().is_some_and(|options| options.non_anonymous);
        match own {
            Affiliation::Admin | Affiliation::Owner => Sight::All,
            _ if open && belongs() => Sight::Lists,
            _ => Sight::Nothing,
        }
    }

    /// Remembers a change of the lists.
    pub(super) fn note_change(
        &mut self,
        bare: &Jid,
        before: Affiliation,
        after: Affiliation,
        out: &mut Out,
    ) -> Option<Change> {
        let (most, written) = (self.rules.changes, !self.locked);
        let stored = self.stored.as_mut()?;
        let last = stored.changes.back().map_or(0, |change| change.number);
        let change = Change {
            number: last.saturating_add(1),
            jid: bare.clone(),
            before,
            after,
        };
        stored.changes.push_back(change.clone());
        let rid = stored.record.rid;
        if written {
            changes::keep(&mut out.batch, rid, &change);
        }
        while stored.changes.len() > most {
            let oldest = stored.changes.pop_front();
            if let Some(oldest) = oldest.filter(|_| written) {
                changes::forget(&mut out.batch, rid, oldest.number);
            }
        }
        Some(change)
    }

    /// The number of the last change that can be seen, before `below`.
    fn number(&self, sight: Sight, below: u64) -> u64 {
        let Some(stored) = &self.stored else {
            return 0;
        };
        let changes = stored.changes.iter().rev();
        let mut seen = changes.filter(|change| change.number < below && sight.sees_change(change));
        seen.next().map_or(self.oldest(), |change| change.number)
    }

    /// The number that was before all changes that are remembered.
    fn oldest(&self) -> u64 {
        let first = self.stored.as_ref().and_then(|s| s.changes.front());
        first.map_or(0, |change| change.number.saturating_sub(1))
    }

    /// §5.1: it tells nothing to who got it, and nobody makes one.
    fn version(&self, sight: Sight, number: u64) -> String {
        // No address has such a character.
        let proof = self.keyed(&format!("\0lists {sight:?} {number}"));
        let proof = proof.get(..16).unwrap_or_default();
        format!("{number:x}-{proof}")
    }

    /// The number of a version that somebody brings, if it is one of those remembered.
    fn remembered(&self, sight: Sight, version: &str) -> Option<u64> {
        let (number, _) = version.split_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let known = number >= self.oldest() && self.version(sight, number) == version;
        known.then_some(number)
    }

    /// The version as who enters hears it.
    pub(super) fn current(&self, bare: &Jid) -> Option<Element> {
        let sight = self.sight(bare);
        let until = || self.version(sight, self.number(sight, u64::MAX));
        (sight > Sight::Nothing).then(|| mav(None, &until()))
    }

    /// What is told of a change, with the versions as an occupant has them.
    pub(super) fn dated<'a>(&self, told: &Told<'a>, sight: Sight) -> Told<'a> {
        let seen = told.change.as_ref().filter(|seen| sight.sees_change(seen));
        Told {
            version: seen.map(|change| self.step(sight, change)),
            ..told.clone()
        }
    }

    /// §5.2.2: from one version to the next.
    fn step(&self, sight: Sight, change: &Change) -> Element {
        let since = self.version(sight, self.number(sight, change.number));
        mav(Some(&since), &self.version(sight, change.number))
    }

    /// Of occupants that see the same, one after the other, if that makes a difference.
    pub(super) fn sights(told: &Told<'_>) -> &'static [Option<Sight>] {
        match told.change {
            Some(_) => &[Some(Sight::All), Some(Sight::Lists), Some(Sight::Nothing)],
            None => &[None],
        }
    }

    /// Whether an occupant sees so much.
    pub(super) fn has_sight(&self, there: &Occupant, sight: Option<Sight>) -> bool {
        let own = || self.sight_of(self.affiliation(&there.bare), || true);
        sight.is_none_or(|sight| own() == sight)
    }

    /// §5.2.2: a change that no presence shows.
    pub(super) fn tell_change(&self, change: &Change, out: &mut Out) {
        let seen = Sight::SOME.into_iter();
        for sight in seen.filter(|sight| sight.sees_change(change)) {
            let to = self.sessions(|there| self.has_sight(there, Some(sight)));
            let told = Told {
                version: Some(self.step(sight, change)),
                ..Told::default()
            };
            let shown = shown(sight, change.after);
            let x = said::extension(shown, Role::None, Some(&change.jid), &told, []);
            out.tell_all(to, self.fleeting(x));
        }
    }

    /// It is for who is there now, and comes in the order of presence: nobody keeps it.
    fn fleeting(&self, x: Element) -> Stanza {
        Stanza::message(MessageType::Normal)
            .with_from(self.jid.clone())
            .with_id(random::id())
            .with_child(x)
            .with_child(Element::new("no-store", ns::HINTS))
    }

    /// §5.2.1: who enters and asks for it learns what changed.
    pub(super) fn tell_changes(&self, full: &Jid, x: El<'_>, stanza: &Stanza, out: &mut Out) {
        let Some(asked) = x.child("mav", ns::MUC_AFFILIATIONS) else {
            return;
        };
        let since = asked.attr("since");
        match self.changes_since(&full.bare(), since) {
            Ok(parts) => {
                for part in parts {
                    out.tell(full, self.fleeting(part));
                }
            }
            Err(error) => {
                let error = error.with_by(self.jid.clone());
                let mut refusal = Stanza::message(MessageType::Error)
                    .with_from(self.jid.clone())
                    .with_child(error.to_element());
                refusal.id = stanza.id.clone();
                out.tell(full, refusal);
            }
        }
    }

    fn changes_since(&self, bare: &Jid, since: Option<&str>) -> Result<Vec<Element>, Refused> {
        let sight = self.sight(bare);
        if sight == Sight::Nothing {
            return Err(Condition::Forbidden.into());
        }
        let number = since.and_then(|since| self.remembered(sight, since));
        let now = self.number(sight, u64::MAX);
        let until = self.version(sight, now);
        match number {
            Some(number) if number == now => Ok(Vec::new()),
            Some(number) => {
                self.saw(bare, sight, number)?;
                Ok(parts(since, &until, self.changed(sight, number)))
            }
            None => Ok(parts(None, &until, self.all(sight))),
        }
    }

    /// §6: nobody learns what changed while it was not to see it.
    fn saw(&self, bare: &Jid, sight: Sight, number: u64) -> Result<(), Refused> {
        let changes = self.stored.iter().flat_map(|stored| &stored.changes);
        let own = changes.filter(|change| change.number > number && change.jid == *bare);
        let members_only = self.options().is_some_and(|options| options.members_only);
        let saw = own.map(|change| change.before).next().is_none_or(|was| {
            let belonged = was == Affiliation::Member || was == Affiliation::None && !members_only;
            self.sight_of(was, || belonged) >= sight
        });
        match saw {
            true => Ok(()),
            false => Err(StanzaError::from(Condition::Forbidden)),
        }
    }

    /// Who became something else after a change, and what it is now.
    fn changed(&self, sight: Sight, number: u64) -> Vec<Element> {
        let changes = self.stored.iter().flat_map(|stored| &stored.changes);
        let seen = |change: &&Change| change.number > number && sight.sees_change(change);
        let mut who: Vec<&Jid> = changes.filter(seen).map(|change| &change.jid).collect();
        who.sort_unstable();
        who.dedup();
        let now = |jid: &Jid| shown(sight, self.listed_as(jid));
        who.into_iter().map(|jid| item(jid, now(jid))).collect()
    }

    fn all(&self, sight: Sight) -> Vec<Element> {
        let affiliates = self.stored.iter().flat_map(|stored| &stored.affiliates);
        affiliates
            .filter(|(_, known)| sight.sees(known.affiliation))
            .map(|(jid, known)| item(jid, known.affiliation))
            .collect()
    }
}

/// What somebody is, as far as that is to be seen.
fn shown(sight: Sight, affiliation: Affiliation) -> Affiliation {
    match sight.sees(affiliation) {
        true => affiliation,
        false => Affiliation::None,
    }
}

fn item(jid: &Jid, affiliation: Affiliation) -> Element {
    said::user("item")
        .with_attr("jid", jid.as_str())
        .with_attr("affiliation", affiliation.as_str())
}

fn mav(since: Option<&str>, until: &str) -> Element {
    let mut mav = Element::new("mav", ns::MUC_AFFILIATIONS);
    mav.set_attr("since", since);
    mav.with_attr("until", until)
}

/// §5.2.1: as many as are needed, each beginning where the one before ended. What is between them is no version that
/// the room knows.
fn parts(since: Option<&str>, until: &str, items: Vec<Element>) -> Vec<Element> {
    let (mut parts, mut held, mut size) = (Vec::new(), Vec::new(), 0);
    let mut since = since.map(str::to_owned);
    for item in items {
        let bytes = item.attr("jid").map_or(0, str::len) + ITEM;
        if size + bytes > PART && !held.is_empty() {
            let between = random::id();
            parts.push(part(since.as_deref(), &between, std::mem::take(&mut held)));
            (since, size) = (Some(between), 0);
        }
        size += bytes;
        held.push(item);
    }
    parts.push(part(since.as_deref(), until, held));
    parts
}

fn part(since: Option<&str>, until: &str, items: Vec<Element>) -> Element {
    said::user("x")
        .with_child(mav(since, until))
        .with_children(items)
}
