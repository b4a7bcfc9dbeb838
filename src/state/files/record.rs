//! What is known of one file, and the names it goes by.

use serde::{Deserialize, Serialize};

use crate::hooks::Uid;
use crate::state::token_id::Id;
use crate::store::{Key, StoreError};

/// What a file is for (XEP-0363 §5), which says how long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It goes with a message.
    Message,
    /// A picture of somebody.
    Profile,
    /// Until a moment that its owner named.
    Ephemeral,
    /// For good.
    Permanent,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 4] = [
        Purpose::Message,
        Purpose::Profile,
        Purpose::Ephemeral,
        Purpose::Permanent,
    ];

    /// The name of its element.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Message => "message",
            Purpose::Profile => "profile",
            Purpose::Ephemeral => "ephemeral",
            Purpose::Permanent => "permanent",
        }
    }
}

/// A file, or the place for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The host whose service has it.
    pub host: String,
    /// Whose it is, by number.
    pub uid: u64,
    /// And by address.
    pub account: String,
    /// As its owner calls it.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// The media type its owner gave; it may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When the slot was given, Unix milliseconds.
    pub made: u64,
    /// When the slot ends or the file goes; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// When the file goes at the latest, by its owner's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<u64>,
    /// What is known of the key with which it may be uploaded.
    pub(super) key: String,
    /// A hash of the file, in hexadecimal, once it is there: `blake3:…`. Without a name before it it is SHA-256, of which it
    /// was once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl File {
    /// Whether the bytes are there.
    pub fn is_stored(&self) -> bool {
        self.hash.is_some()
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether this is the key with which it may be uploaded.
    pub fn opens(&self, key: &str) -> bool {
        use subtle::ConstantTimeEq;
        bool::from(kept_key(key).as_bytes().ct_eq(self.key.as_bytes()))
    }

    /// Its owner's number.
    pub fn owner(&self) -> Uid {
        Uid(self.uid)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<File, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::Format("an uploaded file".to_owned()))
    }
}

/// What is kept of the key of a slot.
pub(super) fn kept_key(key: &str) -> String {
    Id::of_token(key).to_string()
}

const FILE: u8 = 0;
const TOTAL: u8 = 1;
const OWNER: u8 = 2;

/// Where the record of a file lies in its space.
pub(super) fn file_key(id: Id) -> Key {
    Key::new().u8(FILE).bytes(id.as_bytes())
}

/// Where all records lie.
pub(super) fn all_files_key() -> Key {
    Key::new().u8(FILE)
}

/// The bytes of all files of a host, a counter.
pub(super) fn total_key(host: &str) -> Key {
    Key::new().u8(TOTAL).str(host)
}

/// Says that an account has files, or had: for finding them when it is gone.
pub(super) fn owner_key(account: &str, uid: Uid) -> Key {
    owners_key(account).u64(uid.0)
}

pub(super) fn owners_key(account: &str) -> Key {
    all_owners_key().str(account)
}

pub(super) fn all_owners_key() -> Key {
    Key::new().u8(OWNER)
}

/// Where the index of an account's files has this one.
pub(super) fn by_account_key(uid: Uid, id: Id) -> Key {
    Key::new().u64(uid.0).bytes(id.as_bytes())
}

/// Where the queue of what ends has this one; never before its time.
pub(super) fn expiry_key(space: u8, until: u64, id: Id) -> Key {
    let minute = until.div_ceil(60_000);
    let minute = u32::try_from(minute).unwrap_or(u32::MAX);
    Key::new().u8(space).u32(minute).bytes(id.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_from_when_hashes_had_no_name_stays_as_it_is() {
        let stored = r#"{"host":"example.org","uid":1,"account":"juliet@example.org","name":"a","size":5,"purpose":"message","made":7,"key":"00","hash":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}"#;
        let file = File::decode(stored.as_bytes()).unwrap();
        assert!(file.is_stored());
        assert_eq!(file.encode(), stored.as_bytes());
    }
}
