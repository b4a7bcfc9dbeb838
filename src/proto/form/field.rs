//! Fields of a form and their types (XEP-0004 §3.2 and §3.3).

/// One field: a question, an answer, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty only for a `fixed` field.
    pub var: String,
    /// Its type. In a submission it may be absent: the form decides.
    pub kind: Option<FieldType>,
    /// For the person who fills it in.
    pub label: Option<String>,
    /// More for the person who fills it in.
    pub desc: Option<String>,
    /// It must be answered.
    pub required: bool,
    /// The values, or defaults.
    pub values: Vec<String>,
    /// The choice of a list: label and value.
    pub options: Vec<(Option<String>, String)>,
    /// Bounds of a whole number (XEP-0122 §3.1.2), where it is one.
    pub whole: Option<(u64, u64)>,
}

impl Field {
    /// A field without values.
    pub fn new(kind: FieldType, var: &str) -> Field {
        Field {
            var: var.to_owned(),
            kind: Some(kind),
            label: None,
            desc: None,
            required: false,
            values: Vec::new(),
            options: Vec::new(),
            whole: None,
        }
    }

    /// Text to read, not to fill in.
    pub fn fixed(text: &str) -> Field {
        Field::new(FieldType::Fixed, "").with_value(text)
    }

    /// A yes or no.
    pub fn boolean(var: &str, value: bool) -> Field {
        Field::new(FieldType::Boolean, var).with_value(if value { "1" } else { "0" })
    }

    /// One line of text.
    pub fn text(var: &str, value: &str) -> Field {
        Field::new(FieldType::TextSingle, var).with_value(value)
    }

    /// One of several choices, each with value and label.
    pub fn choice(var: &str, value: &str, options: &[(&str, &str)]) -> Field {
        let mut field = Field::new(FieldType::ListSingle, var).with_value(value);
        let pair = |(value, label): &(&str, &str)| (Some((*label).to_owned()), (*value).to_owned());
        field.options = options.iter().map(pair).collect();
        field
    }

    /// With one more value.
    pub fn with_value(mut self, value: &str) -> Field {
        self.values.push(value.to_owned());
        self
    }

    /// With more values.
    pub fn with_values<S: Into<String>>(mut self, values: impl IntoIterator<Item = S>) -> Field {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    /// With a label.
    pub fn with_label(mut self, label: &str) -> Field {
        self.label = Some(label.to_owned());
        self
    }

    /// With one more choice, its label the value itself.
    pub fn with_option(mut self, value: &str) -> Field {
        self.options.push((None, value.to_owned()));
        self
    }

    /// To be answered.
    pub fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// The first value.
    pub fn value(&self) -> Option<&str> {
        self.values.first().map(String::as_str)
    }
}

/// What a field holds (XEP-0004 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// `0`, `1`, `false` or `true`.
    Boolean,
    /// Text to read.
    Fixed,
    /// Not shown, sent back as it is.
    Hidden,
    /// Addresses.
    JidMulti,
    /// An address.
    JidSingle,
    /// Some of the options.
    ListMulti,
    /// One of the options.
    ListSingle,
    /// Lines of text.
    TextMulti,
    /// A line of text that is not shown while it is typed.
    TextPrivate,
    /// A line of text; also what an unknown type means.
    TextSingle,
}

impl FieldType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            FieldType::Boolean => "boolean",
            FieldType::Fixed => "fixed",
            FieldType::Hidden => "hidden",
            FieldType::JidMulti => "jid-multi",
            FieldType::JidSingle => "jid-single",
            FieldType::ListMulti => "list-multi",
            FieldType::ListSingle => "list-single",
            FieldType::TextMulti => "text-multi",
            FieldType::TextPrivate => "text-private",
            FieldType::TextSingle => "text-single",
        }
    }

    /// Reads the `type` attribute; an unknown type is `text-single`.
    pub(super) fn parse(text: &str) -> FieldType {
        use FieldType::*;
        [
            Boolean,
            Fixed,
            Hidden,
            JidMulti,
            JidSingle,
            ListMulti,
            ListSingle,
            TextMulti,
            TextPrivate,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .unwrap_or(TextSingle)
    }

    /// Whether it may hold more than one value. Hidden fields may: they return what was sent.
    pub fn is_multi(self) -> bool {
        use FieldType::*;
        matches!(self, JidMulti | ListMulti | TextMulti | Hidden)
    }
}

/// A value of xs:boolean.
pub(in crate::proto) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}
