//! XEP-0004: Data Forms (2.13.2), with FORM_TYPE of XEP-0068 (1.3.0).

mod check;
mod field;
mod read;
mod write;

pub use check::FormError;
pub(super) use field::boolean;
pub use field::{Field, FieldType};

/// A form, its submission, or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its place in the exchange.
    pub kind: FormType,
    /// For the person who fills it in.
    pub title: Option<String>,
    /// For the person who fills it in.
    pub instructions: Vec<String>,
    /// The fields in their order, FORM_TYPE among them.
    pub fields: Vec<Field>,
    /// The columns of a table of results.
    pub reported: Vec<Field>,
    /// The rows of a table of results.
    pub items: Vec<Vec<Field>>,
}

/// The place of a form in an exchange (XEP-0004 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormType {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Given up.
    Cancel,
    /// Data.
    Result,
}

impl FormType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            FormType::Form => "form",
            FormType::Submit => "submit",
            FormType::Cancel => "cancel",
            FormType::Result => "result",
        }
    }

    fn parse(text: &str) -> Option<FormType> {
        use FormType::*;
        [Form, Submit, Cancel, Result]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl Form {
    /// An empty form.
    pub fn new(kind: FormType) -> Form {
        Form {
            kind,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// With a title.
    pub fn with_title(mut self, title: &str) -> Form {
        self.title = Some(title.to_owned());
        self
    }

    /// With one more line of instructions.
    pub fn with_instructions(mut self, line: &str) -> Form {
        self.instructions.push(line.to_owned());
        self
    }

    /// With the hidden field that names its fields' namespace (XEP-0068).
    pub fn with_form_type(self, name: &str) -> Form {
        self.with_field(Field::new(FieldType::Hidden, FORM_TYPE).with_value(name))
    }

    /// With one more field.
    pub fn with_field(mut self, field: Field) -> Form {
        self.fields.push(field);
        self
    }

    /// The namespace of its fields. In a form or result the field that says so must be hidden, in
    /// a submission it need not (XEP-0068 §4).
    pub fn form_type(&self) -> Option<&str> {
        let field = self.field(FORM_TYPE)?;
        let counts = self.kind == FormType::Submit || field.kind == Some(FieldType::Hidden);
        field.value().filter(|_| counts)
    }

    /// The first field with this name.
    pub fn field(&self, var: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.var == var)
    }

    /// The first value of a field.
    pub fn value(&self, var: &str) -> Option<&str> {
        self.field(var)?.value()
    }

    /// All values of a field; none if there is no such field.
    pub fn values(&self, var: &str) -> &[String] {
        self.field(var).map_or(&[], |field| &field.values)
    }

    /// A field's value as a boolean; `None` if it is absent or no boolean.
    pub fn boolean(&self, var: &str) -> Option<bool> {
        field::boolean(self.value(var)?)
    }
}

/// The field that names the namespace of the others.
const FORM_TYPE: &str = "FORM_TYPE";

#[cfg(test)]
mod tests;
