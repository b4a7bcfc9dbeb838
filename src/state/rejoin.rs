//! Whether an account wants its clients to be brought back into rooms that they fell out of: the truth for the module that
//! sees to it and for export.

use crate::hooks::Uid;
use crate::store::{Batch, Key, Snapshot, Space, StoreError};
use crate::xml::{El, Element};

/// The account wants it; a part of it if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin;

/// Our own: an account's choice in an export.
const NS: &str = "waxwing:account:0";
const NAME: &str = "rejoin";

impl Rejoin {
    /// What an account chose.
    ///
    /// # Errors
    /// The store's.
    pub fn load(view: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        let value = view.get(Space::ACCOUNT_CHOICE, &key(uid))?;
        Ok(value.map(|_| Rejoin))
    }

    /// Writes a choice.
    pub fn write(batch: &mut Batch, uid: Uid, wanted: bool) {
        match wanted {
            true => batch.put(Space::ACCOUNT_CHOICE, &key(uid), "yes"),
            false => batch.delete(Space::ACCOUNT_CHOICE, &key(uid)),
        }
    }

    /// The element that stands for it in an export.
    pub fn to_element(self) -> Element {
        Element::new(NAME, NS)
    }

    /// A choice from an export; `None` for any other element.
    pub fn parse(element: El<'_>) -> Option<Self> {
        element.is(NAME, NS).then_some(Rejoin)
    }
}

fn key(uid: Uid) -> Key {
    Key::new().u64(uid.0).str(NAME)
}
