//! From what was written to what an argument is.

use std::fmt;

use super::{ActError, Argument, Kind};
use crate::proto::jid::Jid;

/// A password on its way to the store: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Most values of one argument.
const VALUES: usize = 1_000;
/// Longest text, in bytes.
const TEXT: usize = 16 * 1024;
/// What is logged of a text, in characters.
const LOGGED: usize = 200;

/// An argument, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Account(Jid),
    /// Of this server.
    Accounts(Vec<Jid>),
    /// Of anywhere.
    Addresses(Vec<Jid>),
    Host(String),
    Text(String),
    Password(Password),
    Flag(bool),
    Number(u64),
    Words(Vec<String>),
}

impl Value {
    /// For the log, without secrets.
    pub(super) fn for_log(&self) -> Option<String> {
        let jids = |jids: &[Jid]| {
            let all: Vec<&str> = jids.iter().map(Jid::as_str).collect();
            all.join(",")
        };
        let text = match self {
            Value::Account(jid) => jid.to_string(),
            Value::Accounts(all) | Value::Addresses(all) => jids(all),
            Value::Host(text) | Value::Text(text) => text.clone(),
            Value::Password(_) => return None,
            Value::Flag(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Words(words) => words.join(","),
        };
        Some(match text.char_indices().nth(LOGGED) {
            Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
            None => text,
        })
    }
}

/// Reads the values of an argument.
pub(super) fn read(argument: &Argument, given: &[String]) -> Result<Value, ActError> {
    let bad = |why: String| ActError::Bad(format!("{}: {why}", argument.name));
    if given.len() > VALUES {
        return Err(bad(format!("more than {VALUES} values")));
    }
    if given.iter().map(String::len).sum::<usize>() > TEXT.max(given.len() * 4096) {
        return Err(bad("it is too long".to_owned()));
    }
    let each = |read: fn(&str) -> Result<Jid, String>| -> Result<Vec<Jid>, ActError> {
        let mut jids: Vec<Jid> = Vec::new();
        for text in given {
            let jid = read(text).map_err(bad)?;
            if !jids.contains(&jid) {
                jids.push(jid);
            }
        }
        Ok(jids)
    };
    match argument.kind {
        Kind::Accounts => return Ok(Value::Accounts(each(account)?)),
        Kind::Sessions => return Ok(Value::Accounts(each(session)?)),
        Kind::Addresses => return Ok(Value::Addresses(each(address)?)),
        Kind::Entities => return Ok(Value::Addresses(each(jid)?)),
        Kind::Domains => {
            let domains = each(domain)?;
            return Ok(Value::Words(domains.iter().map(Jid::to_string).collect()));
        }
        Kind::Choices(words) => {
            for word in given {
                chosen(words, word).map_err(bad)?;
            }
            return Ok(Value::Words(given.to_vec()));
        }
        Kind::Lines => return text(&given.join("\n")).map(Value::Text).map_err(bad),
        _ => {}
    }
    let [one] = given else {
        return Err(bad("it has several values".to_owned()));
    };
    single(argument.kind, one).map_err(bad)
}

fn single(kind: Kind, one: &str) -> Result<Value, String> {
    Ok(match kind {
        Kind::Account => Value::Account(account(one)?),
        Kind::Host => Value::Host(domain(one)?.domain().to_owned()),
        Kind::Password | Kind::Again(_) if one.is_empty() => return Err("it is empty".to_owned()),
        Kind::Password | Kind::Again(_) => Value::Password(Password(one.to_owned())),
        Kind::Flag => Value::Flag(match one {
            "true" | "1" | "yes" => true,
            "false" | "0" | "no" => false,
            _ => return Err(format!("\"{one}\" is neither true nor false")),
        }),
        Kind::Number { min, max } => {
            let number = one.parse().ok().filter(|n| (min..=max).contains(n));
            let wrong = || format!("\"{one}\" is no whole number from {min} to {max}");
            Value::Number(number.ok_or_else(wrong)?)
        }
        Kind::Choice(words) => {
            chosen(words, one)?;
            Value::Text(one.to_owned())
        }
        Kind::Output | Kind::Input if one.is_empty() => return Err("it is empty".to_owned()),
        _ if one.contains('\n') => return Err("it has several lines".to_owned()),
        _ => Value::Text(text(one)?),
    })
}

/// What XML cannot hold has no place in a text.
fn text(text: &str) -> Result<String, String> {
    let fits = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("it has control characters".to_owned())
    }
}

fn chosen(words: &[(&str, &str)], word: &str) -> Result<(), String> {
    if words.iter().any(|(known, _)| *known == word) {
        return Ok(());
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(format!("\"{word}\" is none of {}", known.join(", ")))
}

fn jid(text: &str) -> Result<Jid, String> {
    Jid::parse(text).map_err(|error| format!("\"{text}\" is not an address: {error}"))
}

fn session(text: &str) -> Result<Jid, String> {
    let jid = jid(text)?;
    if jid.node().is_none() {
        return Err(format!(
            "\"{text}\" is not an account or session; write it as user@example.org or user@example.org/phone"
        ));
    }
    Ok(jid)
}

fn account(text: &str) -> Result<Jid, String> {
    let jid = jid(text)?;
    if jid.node().is_none() || jid.is_full() {
        return Err(format!(
            "\"{text}\" is not an account; write it as user@example.org"
        ));
    }
    Ok(jid)
}

fn address(text: &str) -> Result<Jid, String> {
    account(text).map_err(|_| format!("\"{text}\" is not an address; write it as user@example.org"))
}

fn domain(text: &str) -> Result<Jid, String> {
    let jid = Jid::parse(text).map_err(|error| format!("\"{text}\" is not a domain: {error}"))?;
    if jid.as_str() != jid.domain() {
        return Err(format!(
            "\"{text}\" is not a domain; write it as example.org"
        ));
    }
    Ok(jid)
}
