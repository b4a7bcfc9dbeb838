//! Arguments in JSON: an object, each of them of the type that its kind has there.

use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::hooks::command::{Argument, Command, Given, Kind, Values};

/// Whether a command can be asked for over HTTP: it is offered to clients too, and needs no file of who asks.
pub(super) fn fits(command: &Command) -> bool {
    let mut arguments = command.arguments.iter();
    let needs_file = |argument: &Argument| argument.required && is_file(argument.kind);
    command.adhoc.is_some() && !arguments.any(needs_file)
}

fn is_file(kind: Kind) -> bool {
    matches!(kind, Kind::Input | Kind::Output)
}

/// Whether an argument is asked for here. The host is in the address.
pub(super) fn is_asked(argument: &Argument) -> bool {
    !is_file(argument.kind) && !matches!(argument.kind, Kind::Host | Kind::Again(_))
}

/// Reads the arguments of a command; no body stands for none.
pub(super) fn read(command: &Command, body: &[u8]) -> Result<Given, Refusal> {
    let object = match body {
        [] => Map::new(),
        body => serde_json::from_slice(body)
            .map_err(|error| Refusal::Bad(format!("the body is no JSON object: {error}")))?,
    };
    let mut given = Given::new();
    for (name, value) in &object {
        let mut asked = command.arguments.iter().filter(|a| is_asked(a));
        let argument = asked.find(|argument| argument.name == name);
        let argument =
            argument.ok_or_else(|| Refusal::Bad(format!("{name}: there is no such argument")))?;
        let values = values(argument.kind, value);
        let values = values.ok_or_else(|| {
            Refusal::Bad(format!("{name}: it must be {}", type_of(argument.kind)))
        })?;
        given.insert(name.clone(), Values(values));
    }
    Ok(given)
}

fn values(kind: Kind, value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match kind {
        Kind::Flag => value.as_bool().map(|truth| vec![truth.to_string()]),
        Kind::Number { .. } => value.as_u64().map(|number| vec![number.to_string()]),
        kind if kind.is_multi() => value.as_array()?.iter().map(text).collect(),
        _ => text(value).map(|text| vec![text]),
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Flag => "true or false",
        Kind::Number { .. } => "a whole number",
        kind if kind.is_multi() => "a list of strings",
        _ => "a string",
    }
}
