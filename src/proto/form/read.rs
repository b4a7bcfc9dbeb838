//! From an element to a form.

use std::collections::HashSet;

use super::{Field, FieldType, Form, FormError, FormType};
use crate::proto::ns;
use crate::xml::El;

impl Form {
    /// The first form among the children of an element.
    pub fn of(parent: El<'_>) -> Option<Result<Form, FormError>> {
        parent.child("x", ns::DATA_FORM).map(Form::parse)
    }

    /// Reads an `<x/>`. Fields need names, in a submission of their own, and only those of a multi type
    /// may have several values where the type is given.
    pub fn parse(x: El<'_>) -> Result<Form, FormError> {
        let kind = x.attr("type").and_then(FormType::parse);
        let mut form = Form::new(kind.ok_or(FormError::Kind)?);
        for child in x.children().filter(|child| child.ns() == ns::DATA_FORM) {
            match child.name() {
                "title" => form.title = Some(child.text().into_owned()),
                "instructions" => form.instructions.push(child.text().into_owned()),
                "field" => form.fields.push(field(child)?),
                "reported" => form.reported = fields(child)?,
                "item" => form.items.push(fields(child)?),
                _ => {}
            }
        }
        let mut seen = HashSet::new();
        let named = form.fields.iter().filter(|field| !field.var.is_empty());
        match named.map(|field| &field.var).find(|var| !seen.insert(*var)) {
            Some(twice) if form.kind == FormType::Submit => Err(FormError::Twice(twice.clone())),
            _ => Ok(form),
        }
    }
}

fn fields(el: El<'_>) -> Result<Vec<Field>, FormError> {
    let children = el
        .children()
        .filter(|child| child.is("field", ns::DATA_FORM));
    children.map(field).collect()
}

fn field(el: El<'_>) -> Result<Field, FormError> {
    let kind = el.attr("type").map(FieldType::parse);
    let mut field = Field::new(FieldType::TextSingle, el.attr("var").unwrap_or_default());
    field.kind = kind;
    field.label = el.attr("label").map(str::to_owned);
    for child in el.children().filter(|child| child.ns() == ns::DATA_FORM) {
        match child.name() {
            "value" => field.values.push(child.text().into_owned()),
            "desc" => field.desc = Some(child.text().into_owned()),
            "required" => field.required = true,
            "option" => {
                let value = child
                    .child("value", ns::DATA_FORM)
                    .map(|v| v.text().into_owned());
                let label = child.attr("label").map(str::to_owned);
                field.options.push((label, value.unwrap_or_default()));
            }
            _ => {}
        }
    }
    if field.var.is_empty() && kind != Some(FieldType::Fixed) {
        return Err(FormError::Nameless);
    }
    if kind.is_some_and(|kind| !kind.is_multi()) && field.values.len() > 1 {
        return Err(FormError::SeveralValues(field.var));
    }
    Ok(field)
}
