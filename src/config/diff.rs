//! What changed between two configurations, for a reload.

use std::collections::BTreeMap;

use super::check::join;
use super::load::Loaded;
use super::modules::ModuleSettings;
use super::schema::{Describe, Section, Shape};
use super::tree::Config;

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// Before, as TOML; `None` where there was nothing.
    pub old: Option<String>,
    /// After, as TOML; `None` where there is nothing.
    pub new: Option<String>,
    /// It takes effect only after a restart.
    pub needs_restart: bool,
}

/// Every effective value that differs, by key.
pub fn diff(old: &Loaded, new: &Loaded) -> Vec<Change> {
    let (old, new) = (values(old), values(new));
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let (before, after) = (old.get(key), new.get(key));
        (before.map(|value| &value.text) != after.map(|value| &value.text)).then(|| Change {
            key: key.clone(),
            old: before.map(Value::shown),
            new: after.map(Value::shown),
            needs_restart: before.or(after).is_some_and(|value| value.restart),
        })
    });
    changed.collect()
}

/// `new` with the values of `running` wherever a change needs a restart: what can be applied to the running server.
pub fn without_restart(running: &Loaded, new: &Loaded) -> Loaded {
    let table = |loaded: &Loaded| toml::Table::try_from(&loaded.config).unwrap_or_default();
    let mut kept = table(new);
    keep(
        &table(running),
        &mut kept,
        &Config::describe(),
        &new.modules,
    );
    let mut applied = new.clone();
    if let Ok(config) = kept.try_into() {
        applied.config = config;
    }
    applied
}

fn keep(
    running: &toml::Table,
    new: &mut toml::Table,
    section: &Section,
    modules: &[ModuleSettings],
) {
    for key in &section.keys {
        match &key.shape {
            Shape::Leaf(..) if key.restart => {
                match running.get(key.name) {
                    Some(value) => new.insert(key.name.to_owned(), value.clone()),
                    None => new.remove(key.name),
                };
            }
            Shape::Leaf(..) | Shape::List(_) => {}
            Shape::Section(of) => keep_table(running, new, key.name, &of(), modules),
            Shape::Named(of) => keep_named(running, new, key.name, |_| Some(of()), modules),
            Shape::Modules => {
                let of = |name: &str| {
                    let module = modules.iter().find(|module| module.name == name);
                    module.map(ModuleSettings::section)
                };
                keep_named(running, new, key.name, of, modules);
            }
        }
    }
}

/// Below `[name]`, each table that is in both.
fn keep_named(
    running: &toml::Table,
    new: &mut toml::Table,
    name: &str,
    of: impl Fn(&str) -> Option<Section>,
    modules: &[ModuleSettings],
) {
    let tables = running.get(name).and_then(toml::Value::as_table);
    let Some(new) = new.get_mut(name).and_then(toml::Value::as_table_mut) else {
        return;
    };
    for (name, _) in tables.into_iter().flatten() {
        if let (Some(section), Some(running)) = (of(name), tables) {
            keep_table(running, new, name, &section, modules);
        }
    }
}

fn keep_table(
    running: &toml::Table,
    new: &mut toml::Table,
    name: &str,
    section: &Section,
    modules: &[ModuleSettings],
) {
    let running = running.get(name).and_then(toml::Value::as_table);
    let new = new.get_mut(name).and_then(toml::Value::as_table_mut);
    if let (Some(running), Some(new)) = (running, new) {
        keep(running, new, section, modules);
    }
}

/// Every value in force, defaults included, by dotted key: its TOML, unless it is a secret.
pub fn effective(loaded: &Loaded) -> BTreeMap<String, String> {
    let values = values(loaded).into_iter();
    values.map(|(key, value)| (key, value.shown())).collect()
}

/// One value in force.
struct Value {
    text: String,
    restart: bool,
    hidden: bool,
}

impl Value {
    fn shown(&self) -> String {
        match self.hidden && self.text != "\"\"" {
            true => "(not shown)".to_owned(),
            false => self.text.clone(),
        }
    }
}

fn values(loaded: &Loaded) -> BTreeMap<String, Value> {
    let mut walk = Walk {
        loaded,
        values: BTreeMap::new(),
    };
    let table = toml::Table::try_from(&loaded.config).unwrap_or_default();
    walk.section("", &table, &Config::describe());
    walk.values
}

struct Walk<'a> {
    loaded: &'a Loaded,
    values: BTreeMap<String, Value>,
}

impl Walk<'_> {
    fn section(&mut self, path: &str, table: &toml::Table, section: &Section) {
        let empty = toml::Table::new();
        for key in &section.keys {
            let path = join(path, key.name);
            let value = table.get(key.name);
            let inner = value.and_then(toml::Value::as_table).unwrap_or(&empty);
            match &key.shape {
                Shape::Leaf(..) => {
                    let text = value
                        .map(toml::Value::to_string)
                        .or_else(|| key.default.clone());
                    if let Some(text) = text {
                        let (restart, hidden) = (key.restart, key.hidden);
                        let value = Value {
                            text,
                            restart,
                            hidden,
                        };
                        self.values.insert(path, value);
                    }
                }
                Shape::Section(section) => self.section(&path, inner, &section()),
                Shape::Named(section) => {
                    for (name, value) in inner {
                        let value = value.as_table().unwrap_or(&empty);
                        self.section(&join(&path, name), value, &section());
                    }
                }
                Shape::List(section) => {
                    let items = value.and_then(toml::Value::as_array);
                    for (index, item) in items.into_iter().flatten().enumerate() {
                        let item = item.as_table().unwrap_or(&empty);
                        self.section(&format!("{path}[{index}]"), item, &section());
                    }
                }
                Shape::Modules => self.modules(&path, inner),
            }
        }
    }

    /// Below a host only what is written there: the rest is the global value, which is listed by itself.
    fn modules(&mut self, path: &str, table: &toml::Table) {
        let loaded = self.loaded;
        for module in &loaded.modules {
            let path = join(path, module.name);
            let written = table.get(module.name).and_then(toml::Value::as_table);
            if path.starts_with("modules.") {
                self.section(
                    &path,
                    written.unwrap_or(&toml::Table::new()),
                    &module.section(),
                );
            } else if let Some(written) = written {
                let mut section = module.section();
                section.keys.retain(|key| written.contains_key(key.name));
                self.section(&path, written, &section);
            }
        }
    }
}
