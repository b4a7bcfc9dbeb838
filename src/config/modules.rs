//! What modules declare about their part of the configuration; they are handed in, this room knows none of them.

use serde::de::DeserializeOwned;

use super::schema::{Describe, Key, KeyOf, Section};

/// A module's `[modules.NAME]`.
#[derive(Clone, Debug)]
pub struct ModuleSettings {
    /// The module's name.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Whether it is on where nothing is written.
    pub on_by_default: bool,
    describe: fn() -> Section,
    read: fn(toml::Table) -> Result<(), String>,
}

impl ModuleSettings {
    /// The settings of a module whose own part is `C`.
    pub fn of<C: Describe + DeserializeOwned>(
        name: &'static str,
        doc: &'static str,
        on_by_default: bool,
    ) -> Self {
        Self {
            name,
            doc,
            on_by_default,
            describe: C::describe,
            read: |table| {
                table
                    .try_into::<C>()
                    .map(drop)
                    .map_err(|error| error.message().replace('\n', " "))
            },
        }
    }

    /// Its keys, with `enabled` before the module's own.
    pub fn section(&self) -> Section {
        let mut section = (self.describe)();
        section.keys.insert(0, self.enabled());
        section
    }

    fn enabled(&self) -> Key {
        KeyOf::<bool>::new("enabled", &["Whether it is on."], &self.on_by_default).done()
    }

    /// Whether a table (without `enabled`) can be read by the module.
    ///
    /// # Errors
    /// What the module says.
    pub fn read(&self, table: toml::Table) -> Result<(), String> {
        (self.read)(table)
    }
}
