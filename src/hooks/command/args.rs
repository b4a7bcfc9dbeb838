//! The arguments of a command: as they come, and as they are once they are checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::value::{Password, Value, read};
use super::{ActError, Argument, Command, Kind};
use crate::config::nearest;
use crate::proto::jid::Jid;

/// The arguments as they come, by name.
pub type Given = BTreeMap<String, Values>;

/// The values of one argument as they come. In JSON a text, a number, a truth, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Values(pub Vec<String>);

impl From<&str> for Values {
    fn from(text: &str) -> Self {
        Values(vec![text.to_owned()])
    }
}

impl From<String> for Values {
    fn from(text: String) -> Self {
        Values(vec![text])
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Text(String),
            Number(u64),
            Truth(bool),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Some {
            One(One),
            Many(Vec<One>),
        }
        let text = |one| match one {
            One::Text(text) => text,
            One::Number(number) => number.to_string(),
            One::Truth(truth) => truth.to_string(),
        };
        Ok(Values(match Some::deserialize(deserializer)? {
            Some::One(one) => vec![text(one)],
            Some::Many(many) => many.into_iter().map(text).collect(),
        }))
    }
}

/// Arguments, checked.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<&'static str, Value>);

impl Argument {
    /// Whether these values can be this argument.
    ///
    /// # Errors
    /// [`ActError::Bad`]: what would be right.
    pub fn check(&self, given: &Values) -> Result<(), ActError> {
        read(self, &given.0).map(drop)
    }
}

impl Args {
    /// Reads arguments as a command declares them.
    ///
    /// # Errors
    /// [`ActError::Bad`]: unknown, missing, or not what it should be.
    pub fn read(command: &Command, given: &Given) -> Result<Self, ActError> {
        known(command, given)?;
        let mut args = BTreeMap::new();
        for argument in command.arguments {
            let values = given.get(argument.name);
            let empty = |values: &Values| values.0.is_empty();
            match values.filter(|given| !empty(given) || argument.kind.is_multi()) {
                Some(values) if argument.required && empty(values) => {
                    return Err(needs(command, argument));
                }
                Some(values) => {
                    args.insert(argument.name, read(argument, &values.0)?);
                }
                None if argument.required => {
                    return Err(needs(command, argument));
                }
                None => {}
            }
        }
        for argument in command.arguments {
            if let Kind::Again(first) = argument.kind
                && let Some(again) = args.remove(argument.name)
                && args.get(first) != Some(&again)
            {
                return Err(ActError::Bad(format!("{first}: the two differ")));
            }
        }
        Ok(Self(args))
    }

    /// Whether it was given at all: a list may be given with nothing in it.
    pub fn is_given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// An account; [`Args::read`] has seen to it that required ones are there.
    ///
    /// # Errors
    /// [`ActError::Bad`] when it is not among the arguments.
    pub fn account(&self, name: &str) -> Result<&Jid, ActError> {
        match self.0.get(name) {
            Some(Value::Account(jid)) => Ok(jid),
            _ => Err(missing(name)),
        }
    }

    /// Accounts, sessions, or addresses; none when they were not given.
    pub fn addresses(&self, name: &str) -> &[Jid] {
        match self.0.get(name) {
            Some(Value::Accounts(jids) | Value::Addresses(jids)) => jids,
            _ => &[],
        }
    }

    /// A password.
    ///
    /// # Errors
    /// [`ActError::Bad`] when it is not among the arguments.
    pub fn password(&self, name: &str) -> Result<&Password, ActError> {
        match self.0.get(name) {
            Some(Value::Password(password)) => Ok(password),
            _ => Err(missing(name)),
        }
    }

    /// A host, a text, or a chosen word, if given.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Host(text) | Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Domains or chosen words; none when they were not given.
    pub fn words(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Value::Words(words)) => words,
            _ => &[],
        }
    }

    /// A number, if given.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Yes or no; no when it was not given.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Flag(true)))
    }

    /// The accounts that the arguments name.
    pub fn accounts(&self) -> impl Iterator<Item = &Jid> {
        self.0.values().flat_map(|value| match value {
            Value::Account(jid) => std::slice::from_ref(jid),
            Value::Accounts(jids) => jids.as_slice(),
            _ => &[],
        })
    }

    /// The hosts that the arguments name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|value| {
            let (jids, host): (&[Jid], _) = match value {
                Value::Account(jid) => (std::slice::from_ref(jid), None),
                Value::Accounts(jids) => (jids, None),
                Value::Host(host) => (&[], Some(host.as_str())),
                _ => (&[], None),
            };
            jids.iter().map(Jid::domain).chain(host)
        })
    }

    /// `account=romeo@example.org`, without secrets.
    pub fn for_log(&self) -> String {
        let shown = self.0.iter();
        let shown = shown.filter_map(|(name, value)| Some(format!("{name}={}", value.for_log()?)));
        shown.collect::<Vec<_>>().join(" ")
    }
}

fn known(command: &Command, given: &Given) -> Result<(), ActError> {
    let names: Vec<&str> = command.arguments.iter().map(|known| known.name).collect();
    let Some(unknown) = given.keys().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let near = nearest(unknown, names.iter().copied());
    let near = near.map(|near| format!("; did you mean {near}?"));
    Err(ActError::Bad(format!(
        "{} has no argument {unknown}{}",
        command.name,
        near.unwrap_or_default()
    )))
}

fn needs(command: &Command, argument: &Argument) -> ActError {
    ActError::Bad(format!(
        "{} needs {}: {}",
        command.name, argument.name, argument.doc
    ))
}

fn missing(name: &str) -> ActError {
    ActError::Bad(format!("{name} is missing"))
}
