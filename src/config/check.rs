//! Compares what was written with what is known: every unknown key and every wrong value becomes a [`Problem`].

use std::collections::BTreeMap;

use super::layer::{Kind, Node};
use super::modules::ModuleSettings;
use super::problem::{Place, Problem, nearest};
use super::schema::{Describe, Key, Section, Shape};
use super::tree::Config;

/// Where each written value comes from, by dotted key.
pub type Origins = BTreeMap<String, Place>;

/// A layer after the check: canonical values, and where they stand. Wrong parts are left out.
#[derive(Debug, Default)]
pub struct Checked {
    /// Canonical values.
    pub table: toml::Table,
    /// Where they stand.
    pub origins: Origins,
    /// What was wrong.
    pub problems: Vec<Problem>,
}

/// Checks one layer.
pub fn layer(node: &Node, modules: &[ModuleSettings]) -> Checked {
    let mut checker = Checker {
        modules,
        out: Checked::default(),
    };
    checker.out.table = match &node.kind {
        Kind::Table(entries) => checker.section("", entries, &Config::describe()),
        _ => toml::Table::new(),
    };
    checker.out
}

/// `parent.name`, quoted as TOML wants it.
pub fn join(parent: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if bare {
        name.to_owned()
    } else {
        toml::Value::String(name.to_owned()).to_string()
    };
    if parent.is_empty() {
        name
    } else {
        format!("{parent}.{name}")
    }
}

struct Checker<'a> {
    modules: &'a [ModuleSettings],
    out: Checked,
}

impl Checker<'_> {
    fn problem(&mut self, node: &Node, key: &str, what: String) {
        self.out.problems.push(Problem {
            place: node.place.clone(),
            key: key.to_owned(),
            what,
        });
    }

    fn section(
        &mut self,
        path: &str,
        entries: &[(String, Node)],
        section: &Section,
    ) -> toml::Table {
        let mut table = toml::Table::new();
        for (name, node) in entries {
            let key_path = join(path, name);
            let Some(key) = section.key(name) else {
                let what = unknown(path, name, section);
                self.problem(node, &key_path, what);
                continue;
            };
            if let Some(value) = self.value(&key_path, node, key) {
                table.insert(name.clone(), value);
            }
        }
        table
    }

    fn value(&mut self, path: &str, node: &Node, key: &Key) -> Option<toml::Value> {
        match (&key.shape, &node.kind) {
            (Shape::Leaf(..), _) => self.leaf(path, node, key),
            (Shape::Section(section), Kind::Table(entries)) => {
                Some(toml::Value::Table(self.section(path, entries, &section())))
            }
            (Shape::Named(section), Kind::Table(entries)) => {
                Some(toml::Value::Table(self.named(path, entries, &section())))
            }
            (Shape::List(section), Kind::List(items)) => {
                Some(toml::Value::Array(self.list(path, items, &section())))
            }
            (Shape::Modules, Kind::Table(entries)) => {
                Some(toml::Value::Table(self.module_sections(path, entries)))
            }
            (Shape::List(_), _) => {
                let what = format!(
                    "this is a list: write [[{path}]] (two brackets) before the keys of each entry"
                );
                self.problem(node, path, what);
                None
            }
            (_, _) => {
                let header = match key.shape {
                    Shape::Named(_) => format!("{path}.\"NAME\""),
                    Shape::Modules => format!("{path}.NAME"),
                    _ => path.to_owned(),
                };
                let what = format!("this is a section: write [{header}] and its keys below it");
                self.problem(node, path, what);
                None
            }
        }
    }

    fn leaf(&mut self, path: &str, node: &Node, key: &Key) -> Option<toml::Value> {
        let value = node.value();
        let canonical = (key.canonical)(&value).or_else(|| match &node.kind {
            Kind::Text(text) => (key.canonical)(&toml::Value::String(text.clone())),
            _ => None,
        });
        if canonical.is_some() {
            self.out.origins.insert(path.to_owned(), node.place.clone());
            return canonical;
        }
        let wrong = wrong_item(node, key);
        self.problem(wrong, path, not_allowed(&wrong.value(), key));
        None
    }

    fn named(&mut self, path: &str, entries: &[(String, Node)], section: &Section) -> toml::Table {
        let mut table = toml::Table::new();
        for (name, node) in entries {
            let path = join(path, name);
            let Kind::Table(entries) = &node.kind else {
                let what = format!("this is a section: write [{path}] and its keys below it");
                self.problem(node, &path, what);
                continue;
            };
            self.out.origins.insert(path.clone(), node.place.clone());
            table.insert(
                name.clone(),
                toml::Value::Table(self.section(&path, entries, section)),
            );
        }
        table
    }

    fn list(&mut self, path: &str, items: &[Node], section: &Section) -> Vec<toml::Value> {
        let mut list = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let item = format!("{path}[{index}]");
            let Kind::Table(entries) = &node.kind else {
                self.problem(
                    node,
                    &item,
                    format!("each entry is a section: write [[{path}]] and its keys below it"),
                );
                continue;
            };
            self.out.origins.insert(item.clone(), node.place.clone());
            list.push(toml::Value::Table(self.section(&item, entries, section)));
        }
        list
    }

    fn module_sections(&mut self, path: &str, entries: &[(String, Node)]) -> toml::Table {
        let mut table = toml::Table::new();
        for (name, node) in entries {
            let path = join(path, name);
            let Some(module) = self.modules.iter().find(|module| module.name == name) else {
                let names: Vec<&str> = self.modules.iter().map(|module| module.name).collect();
                let what = not_known("no such module", name, &names);
                self.problem(node, &path, what);
                continue;
            };
            let Kind::Table(entries) = &node.kind else {
                let what = format!("this is a section: write [{path}] and its keys below it");
                self.problem(node, &path, what);
                continue;
            };
            let section = module.section();
            table.insert(
                name.clone(),
                toml::Value::Table(self.section(&path, entries, &section)),
            );
        }
        table
    }
}

fn unknown(path: &str, name: &str, section: &Section) -> String {
    let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
    if !path.is_empty() && Config::describe().key(name).is_some() {
        return format!(
            "{name} is a section of its own and does not belong into [{path}]: write [{name}] above its keys"
        );
    }
    if nearest(name, names.iter().copied()).is_none()
        && let Some(elsewhere) = elsewhere(name)
    {
        return format!("no such key; did you mean {elsewhere}?");
    }
    let what = if path.is_empty() {
        "no such section"
    } else {
        "no such key"
    };
    not_known(what, name, &names)
}

fn not_known(what: &str, name: &str, names: &[&str]) -> String {
    let known = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("{what}; did you mean {near}? Known here: {known}"),
        None => format!("{what}. Known here: {known}"),
    }
}

/// A key of that name in another section.
fn elsewhere(name: &str) -> Option<String> {
    let mut open = vec![(String::new(), Config::describe())];
    while let Some((path, section)) = open.pop() {
        for key in &section.keys {
            let path = join(&path, key.name);
            match key.shape {
                Shape::Leaf(..) if key.name == name => return Some(path),
                Shape::Section(section) => open.push((path, section())),
                _ => {}
            }
        }
    }
    None
}

fn not_allowed(value: &toml::Value, key: &Key) -> String {
    let Shape::Leaf(what, words) = &key.shape else {
        return String::new();
    };
    let shown = match value {
        toml::Value::Table(_) => "a section".to_owned(),
        other => other.to_string().replace('\n', "\\n"),
    };
    let mut text = format!("{shown} is not allowed; give {what}");
    if !key.range.is_empty() {
        text.push_str(&format!(", {}", key.range));
    }
    let near = value
        .as_str()
        .and_then(|word| nearest(word, words.iter().copied()));
    if let Some(near) = near {
        text.push_str(&format!(" (did you mean \"{near}\"?)"));
    }
    if let Some(default) = &key.default {
        text.push_str(&format!(". Default: {default}"));
    }
    text
}

/// The item of a list that is to blame, where it can be told: its line is the useful one.
fn wrong_item<'a>(node: &'a Node, key: &Key) -> &'a Node {
    let Kind::List(items) = &node.kind else {
        return node;
    };
    if (key.canonical)(&toml::Value::Array(Vec::new())).is_none() {
        return node;
    }
    let alone = |item: &Node| toml::Value::Array(vec![item.value()]);
    let wrong = items
        .iter()
        .find(|item| (key.canonical)(&alone(item)).is_none());
    wrong.unwrap_or(node)
}
