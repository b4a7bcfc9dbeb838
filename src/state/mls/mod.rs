//! What accounts have of MLS (RFC 9420): key packages by device, welcomes that wait for a device, and groups whose home
//! they are.

mod devices;
mod elsewhere;
mod homes;
pub mod order;
mod packages;
mod take;
mod welcomes;

pub use devices::{Device, MlsError, is_device};
pub use elsewhere::{Elsewhere, Info};
pub use homes::{Accepted, Home, Letter, Parcel, Place, SendError};
pub use packages::Offered;
pub use take::{Taken, Wanted};
pub use welcomes::Waiting;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hooks::Uid;
use crate::state::owned::{AccountSpace, Quota};
use crate::store::{Key, Space, Store, StoreError};
use crate::xml::El;

/// Bounds of one account.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Devices.
    pub devices: usize,
    /// Key packages of one device that are for one use.
    pub packages: usize,
    /// Packages of one device of which it is remembered that there were such.
    pub remembered: usize,
    /// Welcomes that wait for one device.
    pub welcomes: usize,
    /// Their bytes.
    pub welcome_bytes: usize,
    /// Groups whose home it is.
    pub groups: usize,
    /// Accounts that take part in one.
    pub members: usize,
}

/// The key packages and welcomes of all accounts.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    space: Space,
    /// Where messages of groups lie until all have them.
    parcels: Space,
    bounds: Bounds,
}

/// What devices there are, and how much of each thing they have.
const DEVICE: u8 = 0;
/// Key packages for one use: device, suite, end, id → the package.
const PACKAGE: u8 = 1;
/// Key packages for when no other is left: device, suite → end, the package.
const LAST: u8 = 2;
/// Packages that there are or were: device, id → end.
const KNOWN: u8 = 3;
/// Welcomes: device, mid → the message.
const WELCOME: u8 = 4;

impl Desk {
    /// Over a store.
    ///
    /// # Errors
    /// The store has them in a form of another version.
    pub fn new(store: &Store, bounds: Bounds) -> Result<Self, StoreError> {
        let space = AccountSpace::named(store, "mls", 1, Quota::NONE)?;
        let parcels = AccountSpace::named(store, "mls-parcels", 1, Quota::NONE)?;
        Ok(Desk {
            store: store.clone(),
            space: space.space(),
            parcels: parcels.space(),
            bounds,
        })
    }
}

/// The bytes of a message that an element has in base64, in its one form.
pub fn decode(element: El<'_>) -> Option<Vec<u8>> {
    decode_text(&element.text())
}

/// The same of a text.
pub fn decode_text(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.as_bytes()).ok()
}

/// Bytes as they stand in an element.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What begins the keys of one kind, of one account.
fn of_kind(uid: Uid, kind: u8) -> Key {
    Key::new().u64(uid.0).u8(kind)
}

/// What begins the keys of one kind, of one device.
fn of_device(uid: Uid, kind: u8, device: &str) -> Key {
    of_kind(uid, kind).str(device)
}

#[cfg(test)]
mod tests;
