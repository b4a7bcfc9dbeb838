//! What becomes of what strangers send, as an account chose it: the truth for the module that sees to it and for export.

use crate::choice;
use crate::hooks::Uid;
use crate::store::{Batch, Key, Snapshot, Space, StoreError};
use crate::xml::{El, Element};

choice! {
    /// What becomes of what strangers send, from the least protection to the most.
    pub enum Policy {
        /// It is accepted.
        Accept = "accept",
        /// It is accepted up to a rate.
        Rate = "rate",
        /// Messages wait until their sender is known.
        Hold = "hold",
        /// It is refused.
        Refuse = "refuse",
    }
}

/// An account's own choice, a part of it if it made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(pub Policy);

/// Our own: an account's choice in an export.
const NS: &str = "waxwing:account:0";
const NAME: &str = "strangers";

impl Policy {
    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Policy::Accept, Policy::Rate, Policy::Hold, Policy::Refuse];
        all.into_iter().find(|policy| policy.as_str() == word)
    }
}

impl Chosen {
    /// What an account chose.
    ///
    /// # Errors
    /// The store's.
    pub fn load(view: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        let Some(value) = view.get(Space::ACCOUNT_CHOICE, &key(uid))? else {
            return Ok(None);
        };
        let word = std::str::from_utf8(&value).ok().and_then(Policy::parse);
        let odd = || StoreError::Format("an account's choice".to_owned());
        Ok(Some(Chosen(word.ok_or_else(odd)?)))
    }

    /// Writes a choice; `None` takes it back.
    pub fn write(batch: &mut Batch, uid: Uid, policy: Option<Policy>) {
        match policy {
            Some(policy) => batch.put(Space::ACCOUNT_CHOICE, &key(uid), policy.as_str()),
            None => batch.delete(Space::ACCOUNT_CHOICE, &key(uid)),
        }
    }

    /// The element that stands for it in an export.
    pub fn to_element(self) -> Element {
        Element::new(NAME, NS).with_text(self.0.as_str())
    }

    /// A choice from an export; `None` for any other element, and for a word that says nothing.
    pub fn parse(element: El<'_>) -> Option<Self> {
        let own = element.is(NAME, NS).then(|| element.text())?;
        Policy::parse(own.trim()).map(Chosen)
    }
}

fn key(uid: Uid) -> Key {
    Key::new().u64(uid.0).str(NAME)
}
