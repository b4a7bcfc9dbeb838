//! The layers a configuration is made of: files (`toml`, with lines), environment variables, `--set` arguments.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value or table with the place where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it was written.
    pub place: Place,
    /// What was written.
    pub kind: Kind,
}

/// What was written.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One value.
    Value(toml::Value),
    /// One value from a place where quotes around a text are optional.
    Text(String),
    /// A list, of values or of tables.
    List(Vec<Node>),
    /// A table in the order in which it was written.
    Table(Vec<(String, Node)>),
}

impl Node {
    /// The value without its places.
    pub fn value(&self) -> toml::Value {
        match &self.kind {
            Kind::Value(value) => value.clone(),
            Kind::Text(text) => unquoted(text),
            Kind::List(items) => toml::Value::Array(items.iter().map(Node::value).collect()),
            Kind::Table(entries) => toml::Value::Table(
                entries
                    .iter()
                    .map(|(name, node)| (name.clone(), node.value()))
                    .collect(),
            ),
        }
    }
}

/// Reads one file.
///
/// # Errors
/// Everything in the text that is not TOML.
pub fn file(path: &Path, text: &str) -> Result<Node, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let at = |span: usize| Place::File(path.to_owned(), line(text, span));
    if errors.is_empty() {
        let node = from_table(table.as_ref(), Place::File(path.to_owned(), 0), &at);
        return Ok(node);
    }
    let problems = errors.iter().map(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let message = one_line(error.message());
        let what = match hint(text, start) {
            _ if message == "duplicate key" => {
                "this name stands in the file twice; keep one".to_owned()
            }
            Some(hint) => format!("not TOML: {hint}"),
            None => format!("not TOML: {message}"),
        };
        Problem {
            place: at(start),
            key: String::new(),
            what,
        }
    });
    let mut problems: Vec<Problem> = problems.collect();
    problems.dedup_by(|later, earlier| later.place == earlier.place);
    Err(problems)
}

/// What is probably meant on a line that is not TOML.
fn hint(text: &str, offset: usize) -> Option<String> {
    let written = text.lines().nth(line(text, offset).checked_sub(1)?)?;
    let Some((key, value)) = written.split_once('=') else {
        let header = written.trim().starts_with('[');
        return (!header).then(|| "write `key = value`, or `[section]` in brackets".to_owned());
    };
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() {
        return Some(format!("a value is missing after `{key} =`"));
    }
    if value.matches('"').count() % 2 == 1 {
        return Some(format!("a quotation mark is missing after `{key} =`"));
    }
    let bare = !value.contains(['"', '\'', '[', '{']);
    if bare && key_path(key).is_some() && toml::from_str::<toml::Table>(written).is_err() {
        return Some(format!(
            "a text stands in quotation marks: {key} = \"{value}\""
        ));
    }
    None
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    lines.join("; ")
}

fn from_table(table: &DeTable<'_>, place: Place, at: &dyn Fn(usize) -> Place) -> Node {
    let mut entries: Vec<(usize, String, Node)> = table
        .iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let name = key.get_ref().clone().into_owned();
            (start, name, from_value(value, at(start), at))
        })
        .collect();
    entries.sort_by_key(|(start, _, _)| *start);
    let entries = entries
        .into_iter()
        .map(|(_, name, node)| (name, node))
        .collect();
    Node {
        place,
        kind: Kind::Table(entries),
    }
}

fn from_value(value: &Spanned<DeValue<'_>>, place: Place, at: &dyn Fn(usize) -> Place) -> Node {
    let kind = match value.get_ref() {
        DeValue::Table(table) => return from_table(table, place, at),
        DeValue::Array(items) => {
            let items = items.iter();
            Kind::List(
                items
                    .map(|item| from_value(item, at(item.span().start), at))
                    .collect(),
            )
        }
        DeValue::String(text) => Kind::Value(toml::Value::String(text.clone().into_owned())),
        DeValue::Boolean(truth) => Kind::Value(toml::Value::Boolean(*truth)),
        DeValue::Datetime(time) => Kind::Value(toml::Value::Datetime(*time)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| Kind::Value(toml::Value::String(number.to_string())),
                |number| Kind::Value(toml::Value::Integer(number)),
            ),
        DeValue::Float(number) => number.as_str().parse().map_or_else(
            |_| Kind::Value(toml::Value::String(number.to_string())),
            |number| Kind::Value(toml::Value::Float(number)),
        ),
    };
    Node { place, kind }
}

/// The prefix of environment variables.
pub const PREFIX: &str = "WAXWING_";

/// Reads `WAXWING_SECTION__KEY`. Variables without a double underscore are not ours: `WAXWING_CONFIG` belongs to the command line,
/// and orchestrators set such as `WAXWING_PORT` for a service of that name.
pub fn environment(name: &str, value: &str) -> Option<Node> {
    let rest = name.strip_prefix(PREFIX)?;
    let (_, _) = rest.split_once("__")?;
    let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    Some(nested(path, value, Place::Environment(name.to_owned())))
}

/// Reads `section.key=value`, the key as in TOML; quotes around a text may be left out.
///
/// # Errors
/// It does not have that form.
pub fn argument(text: &str) -> Result<Node, Problem> {
    let place = Place::Argument(text.to_owned());
    let bad = |what: &str| Problem {
        place: place.clone(),
        key: String::new(),
        what: what.to_owned(),
    };
    let form = "write it as section.key=value, for example --set log.level=debug";
    let equals = unquoted_equals(text).ok_or_else(|| bad(form))?;
    let (key, value) = text.split_at(equals);
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    let path = key_path(key.trim()).ok_or_else(|| bad(form))?;
    Ok(nested(path, value, place))
}

/// The first `=` that is not inside a quoted key.
fn unquoted_equals(text: &str) -> Option<usize> {
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some(index),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn key_path(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '#', '[']) {
        return None;
    }
    let mut table: toml::Table = toml::from_str(&format!("{key} = 0")).ok()?;
    let mut path = Vec::new();
    loop {
        let (name, value) = std::mem::take(&mut table).into_iter().next()?;
        path.push(name);
        match value {
            toml::Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

fn nested(path: Vec<String>, value: &str, place: Place) -> Node {
    let leaf = match unquoted(value) {
        value @ (toml::Value::Array(_) | toml::Value::Table(_)) => placed(value, &place),
        _ => Node {
            place: place.clone(),
            kind: Kind::Text(value.to_owned()),
        },
    };
    path.into_iter().rev().fold(leaf, |node, name| Node {
        place: place.clone(),
        kind: Kind::Table(vec![(name, node)]),
    })
}

/// A TOML value, or the text itself where it is none.
fn unquoted(text: &str) -> toml::Value {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {text}")).ok();
    let value = parsed.filter(|table| table.len() == 1);
    let value = value.and_then(|mut table| table.remove("v"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn placed(value: toml::Value, place: &Place) -> Node {
    let kind = match value {
        toml::Value::Array(items) => {
            Kind::List(items.into_iter().map(|item| placed(item, place)).collect())
        }
        toml::Value::Table(table) => {
            let entries = table.into_iter();
            Kind::Table(
                entries
                    .map(|(name, value)| (name, placed(value, place)))
                    .collect(),
            )
        }
        value => Kind::Value(value),
    };
    Node {
        place: place.clone(),
        kind,
    }
}
