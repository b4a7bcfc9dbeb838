//! The form of a command (XEP-0004, XEP-0068, XEP-0122), and what was filled in.

use crate::hooks::command::{Argument, Command, Given, Kind, Values};
use crate::proto::form::{Field, FieldType, Form, FormError, FormType};

/// What people read of a command: its doc without the full stop.
pub(super) fn title(command: &'static Command) -> &'static str {
    command.doc.trim_end_matches('.')
}

/// The arguments a form asks for: the host is the one that was asked.
fn asked(command: &Command) -> impl Iterator<Item = &Argument> {
    command
        .arguments
        .iter()
        .filter(|argument| argument.in_form && !matches!(argument.kind, Kind::Host | Kind::Output))
}

/// Whether there is something to fill in.
pub(super) fn has_fields(command: &Command) -> bool {
    asked(command).next().is_some()
}

/// Whether it is done only after something was asked.
pub(super) fn needed(command: &Command) -> bool {
    has_fields(command) || command.confirm.is_some()
}

/// The form to fill in, with what is known already; never secrets.
pub(super) fn ask(command: &'static Command, given: &Given) -> Form {
    let mut form = started(command);
    if let Some(warning) = command.confirm {
        form = form.with_instructions(warning);
    }
    for argument in asked(command) {
        let mut asked = field(argument);
        let known = given.get(argument.name);
        if let Some(known) = known.filter(|_| asked.kind != Some(FieldType::TextPrivate)) {
            asked.values = match argument.kind {
                Kind::Lines => lines(&known.0),
                _ => known.0.clone(),
            };
        }
        form = form.with_field(asked);
    }
    form
}

/// The question whether it is meant.
pub(super) fn confirm(command: &'static Command, given: &Given) -> Form {
    let form = started(command).with_instructions(command.confirm.unwrap_or_default());
    asked(command).fold(form, |form, argument| match given.get(argument.name) {
        Some(known) if field(argument).kind != Some(FieldType::TextPrivate) => {
            let known = format!("{}: {}", label(argument), known.0.join(", "));
            form.with_field(Field::fixed(&known))
        }
        _ => form,
    })
}

fn started(command: &'static Command) -> Form {
    let form = Form::new(FormType::Form).with_title(title(command));
    match command.adhoc.map(|adhoc| adhoc.form_type) {
        Some(name) if !name.is_empty() => form.with_form_type(name),
        _ => form,
    }
}

/// What was filled in, held against the form.
pub(super) fn read(command: &'static Command, mut given: Form) -> Result<Given, FormError> {
    // XEP-0050 §3.5.1: what cancels a form submits it.
    if given.kind == FormType::Cancel {
        given.kind = FormType::Submit;
    }
    let checked = ask(command, &Given::new()).check(&given)?;
    let mut values = Given::new();
    for argument in asked(command) {
        let Some(field) = checked.field(argument.var()) else {
            continue;
        };
        let mut given = field.values.clone();
        if argument.kind != Kind::Lines || given.iter().all(String::is_empty) {
            given.retain(|value| !value.is_empty());
        }
        values.insert(argument.name.to_owned(), Values(given));
    }
    Ok(values)
}

fn field(argument: &Argument) -> Field {
    let kind = match argument.kind {
        Kind::Account => FieldType::JidSingle,
        Kind::Accounts | Kind::Sessions | Kind::Addresses | Kind::Entities | Kind::Domains => {
            FieldType::JidMulti
        }
        Kind::Host | Kind::Text | Kind::Output | Kind::Input | Kind::Number { .. } => {
            FieldType::TextSingle
        }
        Kind::Lines => FieldType::TextMulti,
        Kind::Password | Kind::Again(_) => FieldType::TextPrivate,
        Kind::Flag => FieldType::Boolean,
        Kind::Choice(_) => FieldType::ListSingle,
        Kind::Choices(_) => FieldType::ListMulti,
    };
    let mut field = Field::new(kind, argument.var()).with_label(label(argument));
    field.required = argument.required;
    match argument.kind {
        Kind::Number { min, max } => field.whole = Some((min, max)),
        Kind::Choice(words) | Kind::Choices(words) => {
            let pair = |(word, text): &(&str, &str)| (Some((*text).to_owned()), (*word).to_owned());
            field.options = words.iter().map(pair).collect();
        }
        _ => {}
    }
    field
}

fn label(argument: &Argument) -> &'static str {
    argument.doc.trim_end_matches('.')
}

/// One value a line (XEP-0004 §3.3, text-multi).
fn lines(values: &[String]) -> Vec<String> {
    let lines = values.iter().flat_map(|value| value.lines());
    lines.map(str::to_owned).collect()
}
