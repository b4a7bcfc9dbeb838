//! A module as it stands in a list, with what it takes to read its configuration and register it.

use std::sync::Arc;

use super::command::Command;
use super::{Builder, Deps, Info, Module, ModuleError};
use crate::config::{ModuleSettings, Modules};

/// One entry of a list of modules: the server's own, or that of a program around it.
#[derive(Clone, Copy)]
pub struct Listed {
    /// What the module is.
    pub info: Info,
    /// The administrative commands it offers.
    pub commands: &'static [Command],
    settings: fn() -> ModuleSettings,
    add: fn(&mut Builder, &Deps, toml::Table) -> Result<(), ModuleError>,
}

impl Listed {
    /// The entry of a module.
    pub const fn of<M: Module>() -> Self {
        Listed {
            info: M::INFO,
            commands: M::COMMANDS,
            settings: settings::<M>,
            add: add::<M>,
        }
    }

    /// What the module declares about its configuration.
    pub fn settings(&self) -> ModuleSettings {
        (self.settings)()
    }

    /// Builds and registers the module for one host, if it is on there. What is written for the
    /// host overrides what is written for all, key by key.
    ///
    /// # Errors
    /// A section the module cannot work with, or something that another module claimed before.
    pub fn add(
        &self,
        builder: &mut Builder,
        deps: &Deps,
        global: &Modules,
        host: &Modules,
    ) -> Result<(), ModuleError> {
        let name = self.info.name;
        let mut table = global.0.get(name).cloned().unwrap_or_default();
        for (key, value) in host.0.get(name).into_iter().flatten() {
            table.insert(key.clone(), value.clone());
        }
        let on = match table.remove("enabled") {
            Some(value) => value.as_bool().ok_or_else(|| ModuleError {
                module: name,
                reason: "`enabled` is true or false".to_owned(),
            })?,
            None => self.info.on_by_default,
        };
        if on {
            (self.add)(builder, deps, table)
        } else {
            Ok(())
        }
    }
}

fn settings<M: Module>() -> ModuleSettings {
    ModuleSettings::of::<M::Config>(M::INFO.name, M::INFO.doc, M::INFO.on_by_default)
}

fn add<M: Module>(
    builder: &mut Builder,
    deps: &Deps,
    table: toml::Table,
) -> Result<(), ModuleError> {
    let config = table
        .try_into()
        .map_err(|error: toml::de::Error| ModuleError {
            module: M::INFO.name,
            reason: error.message().replace('\n', " "),
        })?;
    builder.add(Arc::new(M::build(config, deps)?))
}
