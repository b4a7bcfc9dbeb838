//! What the configuration consists of: sections and keys with their documentation, defaults, and allowed values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::units::{Bytes, Period};

/// A section that can say what is in it. Made by [`settings!`](crate::settings).
pub trait Describe {
    /// The section: its doc and its keys, in the order in which they are shown.
    fn describe() -> Section;
}

/// A value or section that may stand in the configuration.
pub trait Setting: Serialize + DeserializeOwned + 'static {
    /// What is allowed.
    fn shape() -> Shape;
}

/// One section.
#[derive(Clone, Debug)]
pub struct Section {
    /// One line per paragraph line, without comment signs.
    pub doc: Vec<&'static str>,
    /// In the order in which they are shown.
    pub keys: Vec<Key>,
}

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Reads a value and returns it in canonical form; `None` when it is not allowed.
pub type Canonical = Arc<dyn Fn(&toml::Value) -> Option<toml::Value> + Send + Sync>;

/// One key of a section.
#[derive(Clone)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// One entry per line.
    pub doc: Vec<&'static str>,
    /// Value or section.
    pub shape: Shape,
    /// Allowed range, in words; empty when every value of the shape is allowed.
    pub range: String,
    /// The default as TOML; `None` when there is none (or for sections).
    pub default: Option<String>,
    /// What to show as an example where there is no default.
    pub example: Option<&'static str>,
    /// A change takes effect only after a restart.
    pub restart: bool,
    /// It is a secret: never shown.
    pub hidden: bool,
    /// Reads a value.
    pub canonical: Canonical,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

/// What stands behind a key.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One value: what it is in words, and the allowed words if it is a closed list.
    Leaf(String, &'static [&'static str]),
    /// `[name]`
    Section(fn() -> Section),
    /// `[name."anything"]`, each with the same keys.
    Named(fn() -> Section),
    /// `[[name]]`
    List(fn() -> Section),
    /// `[modules.name]`: described by the modules themselves.
    Modules,
}

impl Shape {
    /// A value described in words.
    pub fn leaf(what: impl Into<String>) -> Self {
        Self::Leaf(what.into(), &[])
    }

    /// One of these words.
    pub fn words(words: &'static [&'static str]) -> Self {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        Self::Leaf(in_words(&quoted, "or"), words)
    }
}

/// `a, b or c`
fn in_words(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// A [`Key`] while it is being declared, when its type is still known.
pub struct KeyOf<T> {
    key: Key,
    of: PhantomData<T>,
}

impl<T: Setting> KeyOf<T> {
    /// A key of type `T` with its default.
    pub fn new(name: &'static str, doc: &[&'static str], default: &T) -> Self {
        let shape = T::shape();
        let default = match shape {
            Shape::Leaf(..) => toml::Value::try_from(default).ok(),
            _ => None,
        };
        let canonical = |value: &toml::Value| {
            let read: T = value.clone().try_into().ok()?;
            toml::Value::try_from(&read).ok()
        };
        Self {
            key: Key {
                name,
                doc: doc.iter().map(|line| line.trim()).collect(),
                shape,
                range: String::new(),
                default: default.map(|value| value.to_string()),
                example: None,
                restart: false,
                hidden: false,
                canonical: Arc::new(canonical),
            },
            of: PhantomData,
        }
    }

    /// Only values in this range are allowed.
    pub fn within(mut self, range: RangeInclusive<T>) -> Self
    where
        T: PartialOrd + Display + Send + Sync,
    {
        self.key.range = format!("from {} to {}", range.start(), range.end());
        self.key.canonical = Arc::new(move |value| {
            let read: T = value.clone().try_into().ok()?;
            if !range.contains(&read) {
                return None;
            }
            toml::Value::try_from(&read).ok()
        });
        self
    }

    /// A change takes effect only after a restart.
    pub fn restart(mut self) -> Self {
        self.key.restart = true;
        self
    }

    /// It is a secret: never shown.
    pub fn hidden(mut self) -> Self {
        self.key.hidden = true;
        self
    }

    /// What to show where there is no default, as TOML.
    pub fn example(mut self, text: &'static str) -> Self {
        self.key.example = Some(text);
        self
    }

    /// The finished key.
    pub fn done(self) -> Key {
        self.key
    }
}

/// Declares sections: each makes a struct with `Default`, serde's traits, [`Describe`] and [`Setting`].
///
/// A key is `pub name: Type = default;`, optionally followed by `=> within(a..=b)`, `restart()`, `hidden()` and
/// `example("…")`.
///
/// ```
/// waxwing::settings! {
///     /// How postcards are sent.
///     pub struct Postcards {
///         /// How many a day.
///         pub daily: u32 = 3 => within(1..=10);
///     }
/// }
/// assert_eq!(Postcards::default().daily, 3);
/// ```
#[macro_export]
macro_rules! settings {
    ($($(#[doc = $doc:literal])* $vis:vis struct $name:ident { $(
        $(#[doc = $kdoc:literal])* $kvis:vis $key:ident : $ty:ty = $default:expr $(=> $($note:ident ($($arg:tt)*)),+)? ;
    )* })+) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name { $($(#[doc = $kdoc])* $kvis $key: $ty,)* }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::Describe for $name {
            fn describe() -> $crate::config::Section {
                let _default = Self::default();
                $crate::config::Section {
                    doc: ::std::vec![$($doc.trim()),*],
                    keys: ::std::vec![$(
                        $crate::config::schema::KeyOf::<$ty>::new(stringify!($key), &[$($kdoc),*], &_default.$key)
                            $($(.$note($($arg)*))+)?
                            .done()
                    ),*],
                }
            }
        }

        impl $crate::config::Setting for $name {
            fn shape() -> $crate::config::Shape {
                $crate::config::Shape::Section(<Self as $crate::config::Describe>::describe)
            }
        }
    )+ };
}

macro_rules! leaf {
    ($($ty:ty: $what:literal),+ $(,)?) => { $(
        impl Setting for $ty {
            fn shape() -> Shape {
                Shape::leaf($what)
            }
        }
    )+ };
}

leaf! {
    bool: "true or false",
    u16: "a whole number",
    u32: "a whole number",
    u64: "a whole number",
    usize: "a whole number",
    String: "text",
    PathBuf: "a path",
    IpAddr: "an address such as \"192.0.2.1\" or \"2001:db8::1\"",
    SocketAddr: "an address with port such as \"0.0.0.0:5222\" or \"[::]:5222\"",
    Bytes: "a size such as \"256KiB\", \"10MB\" or a number of bytes",
    Period: "a time such as \"30s\", \"5m\", \"12h\" or \"7d\"",
}

impl Setting for crate::proto::Jid {
    fn shape() -> Shape {
        Shape::leaf("an address such as \"juliet@example.org\"")
    }
}

impl<T: Setting> Setting for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn shape() -> Shape {
        match T::shape() {
            Shape::Leaf(what, words) => Shape::Leaf(format!("a list, each {what}"), words),
            Shape::Section(section) => Shape::List(section),
            other => other,
        }
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn shape() -> Shape {
        match T::shape() {
            Shape::Section(section) => Shape::Named(section),
            Shape::Leaf(what, _) => Shape::leaf(format!("a table of names, each {what}")),
            other => other,
        }
    }
}
