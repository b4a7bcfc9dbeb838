//! A submission held against its form (XEP-0004 §4).

use thiserror::Error;

use super::field::boolean;
use super::{FORM_TYPE, Field, FieldType, Form, FormType};
use crate::proto::{Condition, Jid, StanzaError};

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// The type of the form is missing or not the expected one.
    #[error("the form has the wrong type")]
    Kind,
    /// A field that is not `fixed` has no name.
    #[error("a field has no name")]
    Nameless,
    /// A submission has two fields of one name.
    #[error("the field {0} is given twice")]
    Twice(String),
    /// Several values in a field for one.
    #[error("the field {0} has several values")]
    SeveralValues(String),
    /// The submission belongs to another form.
    #[error("FORM_TYPE is not {0}")]
    FormType(String),
    /// A required field has no value.
    #[error("the field {0} is required")]
    Required(String),
    /// A value that does not fit the field's type.
    #[error("the field {0} has a value it may not have")]
    Value(String),
}

impl From<&FormError> for StanzaError {
    /// Malformed forms are `bad-request`, data that is not valid is `not-acceptable`.
    fn from(error: &FormError) -> StanzaError {
        let condition = match error {
            FormError::Kind
            | FormError::Nameless
            | FormError::Twice(_)
            | FormError::SeveralValues(_) => Condition::BadRequest,
            FormError::FormType(_) | FormError::Required(_) | FormError::Value(_) => {
                Condition::NotAcceptable
            }
        };
        StanzaError::new(condition).with_text(error.to_string())
    }
}

impl Form {
    /// Holds a submission against this form and returns its fields as this form types them,
    /// without those it does not know. Fields that were left out stay out: they keep what they had.
    pub fn check(&self, submitted: &Form) -> Result<Form, FormError> {
        if submitted.kind != FormType::Submit {
            return Err(FormError::Kind);
        }
        if let (Some(own), Some(theirs)) = (self.form_type(), submitted.form_type())
            && own != theirs
        {
            return Err(FormError::FormType(own.to_owned()));
        }
        let mut checked = Form::new(FormType::Submit);
        for asked in self.fields.iter().filter(|field| field.var != FORM_TYPE) {
            let given = match asked.kind {
                Some(FieldType::Fixed) => None,
                _ => submitted.field(&asked.var),
            };
            let answered = given.is_some_and(|field| field.values.iter().any(|v| !v.is_empty()));
            if asked.required && !answered {
                return Err(FormError::Required(asked.var.clone()));
            }
            if let Some(given) = given {
                checked.fields.push(check_field(asked, given)?);
            }
        }
        Ok(checked)
    }
}

fn check_field(asked: &Field, given: &Field) -> Result<Field, FormError> {
    let kind = asked.kind.unwrap_or(FieldType::TextSingle);
    if given.values.len() > 1 && !kind.is_multi() {
        return Err(FormError::SeveralValues(asked.var.clone()));
    }
    let listed = |value: &str| asked.options.iter().any(|(_, option)| option == value);
    let fits = |value: &str| match kind {
        FieldType::Boolean => boolean(value).is_some(),
        FieldType::JidSingle | FieldType::JidMulti => Jid::parse(value).is_ok(),
        FieldType::ListSingle | FieldType::ListMulti => listed(value),
        _ => true,
    };
    let mut field = Field::new(kind, &asked.var);
    field.values = given.values.clone();
    if !matches!(
        kind,
        FieldType::TextMulti | FieldType::TextSingle | FieldType::Hidden
    ) {
        field.values.retain(|value| !value.is_empty()); // <value/> says "none" (§3.6)
    }
    let in_range = |value: &str| match asked.whole {
        Some((min, max)) => {
            value.is_empty() || value.parse().is_ok_and(|n| (min..=max).contains(&n))
        }
        None => true,
    };
    if !field
        .values
        .iter()
        .all(|value| fits(value) && in_range(value))
    {
        return Err(FormError::Value(asked.var.clone()));
    }
    if kind == FieldType::JidMulti {
        let prepared = field
            .values
            .iter()
            .filter_map(|value| Jid::parse(value).ok());
        let mut jids: Vec<Jid> = Vec::new();
        prepared.for_each(|jid| {
            if !jids.contains(&jid) {
                jids.push(jid);
            }
        });
        field.values = jids.iter().map(Jid::to_string).collect();
    }
    Ok(field)
}
