//! What must be true in the end, of the diaries of all devices and the archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::diary::{Diary, Page};
use crate::member::{Content, Heard, content_of, epoch_of};
use crate::post::Entry;

/// What the run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Devices that were members at some time.
    pub devices: usize,
    /// Members in the end.
    pub members: usize,
    /// The last epoch.
    pub epoch: u64,
    /// Texts in the archive.
    pub texts: usize,
    /// How often one device read a text of another.
    pub read: usize,
    /// How often a device failed to read what was not for it, as it should.
    pub sealed: usize,
    /// Commits that came too late.
    pub beaten: usize,
    /// Members that joined by themselves.
    pub entered: usize,
    /// Connections lost.
    pub lost: usize,
}

/// Checks everything; all that is wrong if something is.
pub fn check(
    diaries: &[Diary],
    archive: &[Entry],
    members: &BTreeSet<String>,
) -> Result<Summary, Vec<String>> {
    let mut book = Book {
        archive,
        texts: texts(diaries),
        wrong: Vec::new(),
        summary: Summary::default(),
    };
    book.one_history(diaries, members);
    book.every_text_has_one_place(diaries);
    for diary in diaries {
        book.in_order(diary, members.contains(&diary.identity));
        book.read_what_is_its_own(diary);
        book.summary.beaten += diary.beaten;
        book.summary.lost += diary.lost;
        book.summary.devices += usize::from(!diary.places.is_empty());
    }
    match book.wrong.is_empty() {
        true => Ok(book.summary),
        false => Err(book.wrong),
    }
}

/// What was in each message, and who wrote it.
type Texts = BTreeMap<String, (String, u64)>;

fn texts(diaries: &[Diary]) -> Texts {
    let said = |diary: &'_ Diary| {
        let identity = diary.identity.clone();
        let said = diary.said.clone().into_iter();
        said.map(move |(epoch, text)| (text, (identity.clone(), epoch)))
    };
    diaries.iter().flat_map(said).collect()
}

struct Book<'a> {
    archive: &'a [Entry],
    texts: Texts,
    wrong: Vec<String>,
    summary: Summary,
}

impl Book<'_> {
    fn expect(&mut self, right: bool, otherwise: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(otherwise());
        }
    }

    /// Who was in an epoch has the same authenticator and members as all who were; the members of the last are as expected,
    /// and the archive has one commit for each epoch before it, in order.
    fn one_history(&mut self, diaries: &[Diary], members: &BTreeSet<String>) {
        let mut history = BTreeMap::new();
        for diary in diaries {
            for (epoch, place) in &diary.places {
                let agreed = history.entry(*epoch).or_insert(place);
                self.expect(*agreed == place, || {
                    format!("{} has another epoch {epoch}", diary.identity)
                });
            }
        }
        let Some((last, place)) = history.last_key_value() else {
            return self.wrong.push("nobody was in any epoch".to_owned());
        };
        let found = &place.members;
        self.expect(found == members, || {
            format!("members are {found:?} instead of {members:?}")
        });
        for diary in diaries {
            let current = diary.removed.is_none() && diary.places.contains_key(last);
            let meant = members.contains(&diary.identity);
            self.expect(current == meant, || {
                format!("{} is a member: {current}", diary.identity)
            });
        }
        let commits: Vec<u64> = self.archive.iter().filter_map(committed).collect();
        self.expect(commits == (0..*last).collect::<Vec<_>>(), || {
            format!("commits of epochs {commits:?}")
        });
        (self.summary.epoch, self.summary.members) = (*last, members.len());
    }

    /// All that was accepted is in the archive, once.
    fn every_text_has_one_place(&mut self, diaries: &[Diary]) {
        let said: usize = diaries.iter().map(|diary| diary.said.len()).sum();
        let is_text =
            |entry: &&Entry| content_of(&entry.message).ok() == Some(Content::Application);
        let kept = self.archive.iter().filter(is_text).count();
        self.expect(kept == said, || {
            format!("{kept} texts in the archive of {said} that were accepted")
        });
        let ids: BTreeSet<&str> = self.archive.iter().map(|entry| entry.id.as_str()).collect();
        self.expect(ids.len() == self.archive.len(), || {
            "an id is there twice".to_owned()
        });
        self.summary.texts = kept;
    }

    /// A device saw everything from some point on, as the archive has it; who is no member to the end, a part without gaps.
    fn in_order(&mut self, diary: &Diary, member: bool) {
        let seen: Vec<Entry> = diary.pages.iter().map(|(entry, _)| entry.clone()).collect();
        let right = match member {
            true => self.archive.ends_with(&seen),
            false => seen.is_empty() || self.archive.windows(seen.len()).any(|part| part == seen),
        };
        self.expect(right, || {
            format!(
                "{} saw {} messages, with gaps or out of order: {}",
                diary.identity,
                seen.len(),
                strayed(&seen, self.archive)
            )
        });
    }

    /// A device read all of its epochs, until it was removed, and nothing of others.
    fn read_what_is_its_own(&mut self, diary: &Diary) {
        for (at, (entry, page)) in diary.pages.iter().enumerate() {
            let who = &diary.identity;
            let Ok(epoch) = epoch_of(&entry.message) else {
                self.wrong
                    .push(format!("{who} saw what is no message of a group"));
                continue;
            };
            let inside = diary.places.contains_key(&epoch);
            let removed = diary.removed.is_some_and(|removed| removed < at);
            match page {
                Page::Own => self.expect(inside, || format!("{who} sent to epoch {epoch}")),
                Page::Entered => {
                    self.summary.entered += 1;
                    let after = diary.places.contains_key(&(epoch + 1));
                    self.expect(!inside && after, || {
                        format!("{who} entered in epoch {epoch}")
                    });
                }
                Page::Heard(heard) => {
                    self.expect(inside, || format!("{who} read {heard:?} of epoch {epoch}"));
                    self.heard(who, epoch, heard);
                }
                Page::Sealed(why) => {
                    self.expect(!inside || removed, || {
                        format!("{who} could not read {}: {why}", entry.id)
                    });
                    self.summary.sealed += 1;
                }
            }
        }
    }

    fn heard(&mut self, who: &str, epoch: u64, heard: &Heard) {
        let Heard::Text { from, text } = heard else {
            return;
        };
        let said = self.texts.get(text) == Some(&(from.clone(), epoch));
        self.expect(said, || {
            format!("{who} read {text} of {from} in epoch {epoch}, which nobody wrote")
        });
        self.summary.read += 1;
    }
}

/// The ids that are not where they should be: what is seen beside what is kept.
fn strayed(seen: &[Entry], archive: &[Entry]) -> String {
    let place = |entry: &Entry| {
        let found = archive.iter().position(|kept| kept.id == entry.id);
        found.map_or("?".to_owned(), |at| at.to_string())
    };
    let places: Vec<String> = seen.iter().map(place).collect();
    format!("{} of {} in the archive", places.join(" "), archive.len())
}

fn committed(entry: &Entry) -> Option<u64> {
    let commit = content_of(&entry.message).ok()? == Content::Commit;
    commit.then(|| epoch_of(&entry.message).ok()).flatten()
}
