//! What modules keep with a session: values and flags that stay with it while it is detached, and
//! come back with it after a restart.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account::SessionInfo;
use super::parts::{Part, Parts};

/// A kind of value kept with sessions; from [`super::Registrar::session_slot`].
///
/// A session in which nobody has put one costs nothing.
pub struct SessionSlot<T>(PhantomData<fn() -> T>);

impl<T> Clone for SessionSlot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SessionSlot<T> {}

impl<T: Part + Default> SessionSlot<T> {
    pub(super) fn new() -> Self {
        SessionSlot(PhantomData)
    }

    /// What the session keeps, if anything.
    pub fn of(self, session: &SessionInfo) -> Option<&T> {
        session.slots.find()
    }

    /// What the session keeps, to change; a default where there was nothing.
    pub fn of_mut(self, session: &mut SessionInfo) -> Option<&mut T> {
        session.slots.of()
    }

    /// Takes it away.
    pub fn take(self, session: &mut SessionInfo) -> Option<T> {
        session.slots.take()
    }
}

/// A yes or no kept with each session, from [`super::Registrar::session_flag`]; no at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionFlag(u32);

impl SessionFlag {
    /// Whether it is set.
    pub fn is_set(self, session: &SessionInfo) -> bool {
        session.flags.0 & self.0 != 0
    }

    /// Sets it, or not.
    pub fn set(self, session: &mut SessionInfo, to: bool) {
        if to {
            session.flags.0 |= self.0;
        } else {
            session.flags.0 &= !self.0;
        }
        session.outbox.flagged(session.flags);
    }
}

impl Flags {
    /// Whether this one is set.
    pub fn has(self, flag: SessionFlag) -> bool {
        self.0 & flag.0 != 0
    }
}

/// The flags of one session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// What one kind of slot is called on disk, and how it gets there.
pub(super) struct SlotKind {
    name: String,
    version: u32,
    save: fn(&Parts) -> Option<serde_json::Value>,
    load: fn(&mut Parts, serde_json::Value) -> bool,
}

/// The slots and flags of a host's modules, by name.
#[derive(Default)]
pub(super) struct Kept {
    slots: Vec<SlotKind>,
    flags: Vec<String>,
}

/// What a session's modules keep, as it is written down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct Keepsakes {
    /// Names of the flags that are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    /// Name, version and value of the slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slots: Vec<(String, u32, serde_json::Value)>,
}

impl Kept {
    /// Adds a kind of slot; whether its name was free.
    pub fn slot<T>(&mut self, name: String, version: u32) -> bool
    where
        T: Part + Default + Serialize + DeserializeOwned,
    {
        let free = !self.slots.iter().any(|slot| slot.name == name);
        self.slots.push(SlotKind {
            name,
            version,
            save: |parts| serde_json::to_value(parts.find::<T>()?).ok(),
            load: |parts, value| match serde_json::from_value::<T>(value) {
                Ok(value) => {
                    parts.put(value);
                    true
                }
                Err(_) => false,
            },
        });
        free
    }

    /// Adds a flag; nothing when its name is taken or there are 32 already.
    pub fn flag(&mut self, name: String) -> Option<SessionFlag> {
        if self.flags.contains(&name) {
            return None;
        }
        let bit = 1_u32.checked_shl(u32::try_from(self.flags.len()).ok()?)?;
        self.flags.push(name);
        Some(SessionFlag(bit))
    }

    /// What there is to write down of a session.
    pub fn save(&self, session: &SessionInfo) -> Keepsakes {
        let set = |(at, name): (usize, &String)| {
            let bit = u32::try_from(at).ok().and_then(|at| 1_u32.checked_shl(at));
            (session.flags.0 & bit? != 0).then(|| name.clone())
        };
        let value = |slot: &SlotKind| {
            let value = (slot.save)(&session.slots)?;
            Some((slot.name.clone(), slot.version, value))
        };
        Keepsakes {
            flags: self.flags.iter().enumerate().filter_map(set).collect(),
            slots: self.slots.iter().filter_map(value).collect(),
        }
    }

    /// Gives a session back what was written down. What no module knows any more, or in another
    /// version, is left out.
    pub fn load(&self, session: &mut SessionInfo, keepsakes: Keepsakes) {
        for (at, name) in self.flags.iter().enumerate() {
            let bit = u32::try_from(at).ok().and_then(|at| 1_u32.checked_shl(at));
            if keepsakes.flags.contains(name) {
                session.flags.0 |= bit.unwrap_or(0);
            }
        }
        for (name, version, value) in keepsakes.slots {
            let known = |slot: &&SlotKind| slot.name == name && slot.version == version;
            let loaded = self.slots.iter().find(known).map(|slot| slot.load);
            if !loaded.is_some_and(|load| load(&mut session.slots, value)) {
                tracing::debug!(session = %session.jid, slot = name, version, "what a module kept is not understood any more");
            }
        }
    }
}
