//! What a command said, as notes and a form of results; why it was not done, as an error.

use super::refused;
use crate::hooks::command::{ActError, Command, Line};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::ns;
use crate::state::act::Done;
use crate::xml::Element;

/// What came of a command.
pub(super) struct Outcome {
    pub(super) result: Result<(), ActError>,
    pub(super) lines: Vec<Line>,
}

/// Bytes of one answer: well below what clients and servers take as one stanza.
pub(super) const BYTES: usize = 128 * 1024;

impl From<Done> for Outcome {
    fn from(done: Done) -> Self {
        let mut lines = done.lines;
        if done.left_out > 0 {
            lines.push(Line::Said(format!("{} more are not shown.", done.left_out)));
        }
        Outcome {
            result: done.result,
            lines,
        }
    }
}

impl Outcome {
    /// Whether other arguments may do.
    pub(super) fn is_bad_argument(&self) -> bool {
        matches!(self.result, Err(ActError::Bad(_))) && self.lines.is_empty()
    }

    /// Notes and results. What failed before it had said anything is an error; what had is completed
    /// with a note that says so (XEP-0050 §3.6).
    pub(super) fn payload(self, command: &Command) -> Result<Vec<Element>, StanzaError> {
        let mut notes: Vec<Element> = Vec::new();
        let said = self.lines.iter().filter_map(|line| match line {
            Line::Said(text) => Some(note("info", text)),
            _ => None,
        });
        notes.extend(said);
        match &self.result {
            Err(error) if self.lines.is_empty() => return Err(refusal(error)),
            Err(error) => notes.push(note("error", &error.to_string())),
            Ok(()) => {}
        }
        let form = results(command, &self.lines).map(|form| form.to_element());
        Ok(form.into_iter().chain(notes).collect())
    }
}

fn note(kind: &str, text: &str) -> Element {
    Element::new("note", ns::COMMANDS)
        .with_attr("type", kind)
        .with_text(text)
}

fn results(command: &Command, lines: &[Line]) -> Option<Form> {
    let adhoc = command.adhoc?;
    let mut form = Form::new(FormType::Result).with_title(command.doc.trim_end_matches('.'));
    if !adhoc.form_type.is_empty() {
        form = form.with_form_type(adhoc.form_type);
    }
    let renamed = |name: &str| {
        let mut known = adhoc.results.iter();
        known.find(|(own, _)| *own == name).map(|(_, var)| *var)
    };
    let (mut columns, mut found): (&[String], bool) = (&[], false);
    for line in lines {
        match line {
            Line::Fact(name, value) => {
                found = true;
                let var = renamed(name).unwrap_or(name);
                add(&mut form, FieldType::TextSingle, var, name, value);
            }
            Line::Columns(names) => {
                found = true;
                columns = names;
                let named = names.iter().find_map(|name| Some((name, renamed(name)?)));
                match named {
                    Some((name, var)) => form
                        .fields
                        .push(Field::new(FieldType::TextMulti, var).with_label(name)),
                    None => {
                        let column = |name: &String| {
                            Field::new(FieldType::TextSingle, name).with_label(name)
                        };
                        form.reported = names.iter().map(column).collect();
                    }
                }
            }
            Line::Row(values) => {
                let pairs = || columns.iter().zip(values);
                match pairs().find_map(|(name, value)| Some((renamed(name)?, value))) {
                    Some((var, value)) => add(&mut form, FieldType::TextMulti, var, var, value),
                    None => {
                        let cell = |(name, value): (&String, &String)| {
                            let mut field = Field::text(name, value);
                            field.kind = None;
                            field
                        };
                        form.items.push(pairs().map(cell).collect());
                    }
                }
            }
            _ => {}
        }
    }
    found.then_some(form)
}

/// Adds a value to a field, which becomes one of several values with the second.
fn add(form: &mut Form, kind: FieldType, var: &str, label: &str, value: &str) {
    match form.fields.iter_mut().find(|field| field.var == var) {
        Some(field) => {
            field.values.push(value.to_owned());
            field.kind = Some(FieldType::TextMulti);
        }
        None => form
            .fields
            .push(Field::new(kind, var).with_label(label).with_value(value)),
    }
}

/// Why it was not done (XEP-0050 §4.4, XEP-0133 §5).
pub(super) fn refusal(error: &ActError) -> StanzaError {
    let condition = match error {
        ActError::Exists(_) => Condition::Conflict,
        ActError::NoSuchAccount(_) | ActError::NoSuchHost { .. } => Condition::ItemNotFound,
        ActError::Bad(_) => {
            return refused(Condition::BadRequest, "bad-payload").with_text(error.to_string());
        }
        ActError::Forbidden => return Condition::Forbidden.into(),
        ActError::NotAllowed(_) => Condition::NotAllowed,
        ActError::Interrupted | ActError::Failed(_) => Condition::InternalServerError,
    };
    StanzaError::from(condition).with_text(error.to_string())
}
