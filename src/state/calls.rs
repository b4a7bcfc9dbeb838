//! What accounts are called towards a relay for calls: names that nobody else can read, and that hold as long as the
//! account is there. And whether an account wants its calls to go through a relay alone.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::accounts::{self, Record};
use crate::hooks::Uid;
use crate::proto::jid::Jid;
use crate::runtime::random;
use crate::store::{Batch, Key, Snapshot, Space, Store, StoreError};
use crate::stream::Secret;
use crate::xml::{El, Element};

/// Digits of the chance in a name, and of the number that it hides.
const SALT_DIGITS: usize = 8;
const DIGITS: usize = SALT_DIGITS + 16;

/// Makes names and reads them.
#[derive(Clone)]
pub struct Names {
    key: Secret,
}

impl Names {
    /// Those of an installation.
    pub fn new(local: &Secret) -> Names {
        Names {
            key: derive(local, "names at a relay"),
        }
    }

    /// A new name for an account; each is another one.
    pub fn make(&self, uid: Uid) -> String {
        let salt = u32::from_be_bytes(random::bytes());
        format!("{salt:08x}{:016x}", uid.0 ^ self.mask(salt))
    }

    /// Whose a name is, if it is one. Who has no password for it can make one up.
    pub fn read(&self, name: &str) -> Option<Uid> {
        let digits = name.len() == DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit());
        let (salt, hidden) = name.split_at_checked(SALT_DIGITS).filter(|_| digits)?;
        let salt = u32::from_str_radix(salt, 16).ok()?;
        let hidden = u64::from_str_radix(hidden, 16).ok()?;
        Some(Uid(hidden ^ self.mask(salt)))
    }

    fn mask(&self, salt: u32) -> u64 {
        let sealed = sealed(&self.key, &salt.to_be_bytes());
        let first = sealed.iter().take(8);
        first.fold(0, |mask, byte| mask << 8 | u64::from(*byte))
    }
}

/// The secret of the server's own relay.
pub fn relay_secret(local: &Secret) -> Secret {
    derive(local, "passwords at the relay")
}

fn derive(local: &Secret, label: &str) -> Secret {
    Secret::new(sealed(local, label.as_bytes()).to_vec())
}

fn sealed(key: &Secret, bytes: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose());
    mac.map(|mut mac| {
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    })
    .unwrap_or_default()
}

/// The account of a number, unless it is disabled.
///
/// # Errors
/// The store's.
pub async fn account(store: &Store, uid: Uid) -> Result<Option<Jid>, StoreError> {
    store.reading(move |view| find(view, uid)).await
}

fn find(view: &dyn Snapshot, uid: Uid) -> Result<Option<Jid>, StoreError> {
    let name = view.get(Space::ACCOUNT_BY_ID, &uid.to_key())?;
    let name = name.and_then(|name| String::from_utf8(name).ok());
    let Some(jid) = name.and_then(|name| Jid::parse(&name).ok()) else {
        return Ok(None);
    };
    let record: Option<Record> = accounts::read(view, &accounts::account_key(&jid))?;
    let holds = |record: &Record| record.uid == uid.0 && record.disabled.is_none();
    Ok(record.filter(holds).map(|_| jid))
}

/// Who calls: an account that is there and not disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calling {
    /// Its number.
    pub uid: Uid,
    /// Whether it hides behind relays.
    pub hidden: bool,
}

/// The account at an address, unless there is none or it is disabled.
///
/// # Errors
/// The store's.
pub async fn calling(store: &Store, jid: &Jid) -> Result<Option<Calling>, StoreError> {
    let key = accounts::account_key(jid);
    let read = move |view: &dyn Snapshot| {
        let record: Option<Record> = accounts::read(view, &key)?;
        let Some(record) = record.filter(|record| record.disabled.is_none()) else {
            return Ok(None);
        };
        let uid = Uid(record.uid);
        let hidden = Hidden::load(view, uid)?.is_some();
        Ok(Some(Calling { uid, hidden }))
    };
    store.reading(read).await
}

/// An account's wish that whom it talks to does not learn its addresses: a part of it if it has that wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden;

/// Our own: the wish in an export, and its word there and in the store.
const NS: &str = "waxwing:account:0";
const NAME: &str = "calls";
const WORD: &str = "relay";

impl Hidden {
    /// What an account wishes.
    ///
    /// # Errors
    /// The store's.
    pub fn load(view: &dyn Snapshot, uid: Uid) -> Result<Option<Self>, StoreError> {
        match view.get(Space::ACCOUNT_CHOICE, &key(uid))? {
            None => Ok(None),
            Some(word) if *word == *WORD.as_bytes() => Ok(Some(Hidden)),
            Some(_) => Err(StoreError::Format("an account's choice".to_owned())),
        }
    }

    /// Writes the wish, or takes it back.
    pub fn write(batch: &mut Batch, uid: Uid, hidden: bool) {
        match hidden {
            true => batch.put(Space::ACCOUNT_CHOICE, &key(uid), WORD),
            false => batch.delete(Space::ACCOUNT_CHOICE, &key(uid)),
        }
    }

    /// The element that stands for it in an export.
    pub fn to_element(self) -> Element {
        Element::new(NAME, NS).with_text(WORD)
    }

    /// The wish from an export; `None` for any other element, and for a word that says nothing.
    pub fn parse(element: El<'_>) -> Option<Self> {
        let own = element.is(NAME, NS).then(|| element.text())?;
        (own.trim() == WORD).then_some(Hidden)
    }
}

fn key(uid: Uid) -> Key {
    Key::new().u64(uid.0).str(NAME)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_hides_whose_it_is() {
        let names = Names::new(&Secret::new("local"));
        let (one, other) = (names.make(Uid(7)), names.make(Uid(7)));
        assert_ne!(one, other);
        assert_eq!(
            (names.read(&one), names.read(&other)),
            (Some(Uid(7)), Some(Uid(7)))
        );
        assert_ne!(Names::new(&Secret::new("another")).read(&one), Some(Uid(7)));
        for bad in [
            "",
            "7",
            "é",
            &one[1..],
            &format!("{one}0"),
            &one.replace(|_| true, "g"),
        ] {
            assert_eq!(names.read(bad), None, "{bad}");
        }
    }
}
