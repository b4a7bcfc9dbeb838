//! One feature, one file; this file is the one list.
//!
//! From the list come disco answers, the shipped configuration, the README's table, DOAP and what
//! `conformance/xeps.toml` is compared with. Inside a phase hooks run in its order.

pub mod caps;
pub mod disco;
pub mod offline;
pub mod ping;
pub mod roster;
pub mod session;

use std::sync::Arc;

use crate::config::{ModuleSettings, Modules};
use crate::hooks::registrar::Builder;
use crate::hooks::{Deps, Info, Module, ModuleError};

/// The list, in order.
macro_rules! modules {
    ($($module:ty),* $(,)?) => {
        /// Every module there is.
        pub const INFOS: &[Info] = &[$(<$module as Module>::INFO),*];

        /// Registers the modules that are on for a host.
        ///
        /// # Errors
        /// A section a module cannot work with, or two modules that claim the same.
        pub fn register(
            builder: &mut Builder,
            deps: &Deps,
            global: &Modules,
            host: &Modules,
        ) -> Result<(), ModuleError> {
            $(add::<$module>(builder, deps, global, host)?;)*
            Ok(())
        }

        /// What the modules declare about their configuration.
        pub fn settings() -> Vec<ModuleSettings> {
            vec![$({
                let info = <$module as Module>::INFO;
                type Config = <$module as Module>::Config;
                ModuleSettings::of::<Config>(info.name, info.doc, info.on_by_default)
            }),*]
        }
    };
}

modules![
    roster::Roster,
    session::Session,
    offline::Offline,
    ping::Ping,
    disco::Disco,
    caps::Caps,
];

fn add<M: Module>(
    builder: &mut Builder,
    deps: &Deps,
    global: &Modules,
    host: &Modules,
) -> Result<(), ModuleError> {
    let mut table = global.0.get(M::INFO.name).cloned().unwrap_or_default();
    for (key, value) in host.0.get(M::INFO.name).into_iter().flatten() {
        table.insert(key.clone(), value.clone());
    }
    let on = match table.remove("enabled") {
        Some(value) => value.as_bool().ok_or_else(|| ModuleError {
            module: M::INFO.name,
            reason: "`enabled` is true or false".to_owned(),
        })?,
        None => M::INFO.on_by_default,
    };
    if !on {
        return Ok(());
    }
    let config = table.try_into().map_err(|error| ModuleError {
        module: M::INFO.name,
        reason: error.to_string(),
    })?;
    builder.add(Arc::new(M::build(config, deps)?))
}
