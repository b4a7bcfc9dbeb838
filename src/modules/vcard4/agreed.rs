//! What the two forms of a card said when they last said the same.
//!
//! Word of a change may come late, when the other form has changed as well: a form that still says what was agreed on is not
//! the one that changed, and must not be put over the other.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::convert::Form;
use crate::proto::jid::Jid;
use crate::state::stored_xml;
use crate::xml::El;

/// Accounts that are remembered; beyond it all are forgotten, and what changes is believed to be newer.
const ACCOUNTS: usize = 10_000;

/// Hashes of the old and the new form of each account's card.
#[derive(Default)]
pub(super) struct Agreed {
    hasher: RandomState,
    cards: Mutex<HashMap<Jid, (u64, u64)>>,
}

impl Agreed {
    /// Whether this form says what both said last.
    pub(super) fn knows(&self, account: &Jid, form: Form, card: El<'_>) -> bool {
        let known = self.lock().get(account).copied();
        let said = self.hash(form, card);
        known.is_some_and(|(old, new)| match form {
            Form::Old => old == said,
            Form::New => new == said,
        })
    }

    /// Both say the same now.
    pub(super) fn on(&self, account: &Jid, old: El<'_>, new: El<'_>) {
        let both = (self.hash(Form::Old, old), self.hash(Form::New, new));
        let mut cards = self.lock();
        if cards.len() >= ACCOUNTS && !cards.contains_key(account) {
            cards.clear();
        }
        cards.insert(account.clone(), both);
    }

    /// Of all that has a counterpart in the other form.
    fn hash(&self, form: Form, card: El<'_>) -> u64 {
        let said = form.convert(card).into_iter();
        let said: Vec<Vec<u8>> = said.map(|el| stored_xml::write(el.root())).collect();
        self.hasher.hash_one(said)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Jid, (u64, u64)>> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proto::ns;
    use crate::xml::Element;

    fn called(form: Form, name: &str) -> Element {
        let old = Element::new("FN", ns::VCARD).with_text(name);
        let old = Form::Old.empty().with_child(old);
        match form {
            Form::Old => old,
            Form::New => Form::New.with(Form::Old.convert(old.root()), Form::New.empty().root()),
        }
    }

    #[test]
    fn what_was_agreed_on_is_no_change() {
        let (agreed, juliet) = (Agreed::default(), Jid::parse("juliet@x").unwrap());
        let knows = |form, name| agreed.knows(&juliet, form, called(form, name).root());
        assert!(!knows(Form::Old, "Juliet"));
        let (old, new) = (called(Form::Old, "Juliet"), called(Form::New, "Juliet"));
        agreed.on(&juliet, old.root(), new.root());
        for form in [Form::Old, Form::New] {
            assert!(knows(form, "Juliet"));
            assert!(!knows(form, "Juliet Capulet"));
        }
        // What only one form can say does not count.
        let mailer = Element::new("MAILER", ns::VCARD).with_text("Exodus");
        let more = old.with_child(mailer);
        assert!(agreed.knows(&juliet, Form::Old, more.root()));
        let romeo = Jid::parse("romeo@x").unwrap();
        assert!(!agreed.knows(&romeo, Form::Old, more.root()));
    }
}
