//! From a form to an element.

use super::{Field, Form};
use crate::proto::ns;
use crate::xml::Element;

impl Form {
    /// The `<x/>` element.
    pub fn to_element(&self) -> Element {
        let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", self.kind.as_str());
        if let Some(title) = &self.title {
            x = x.with_child(leaf("title", title));
        }
        x = x
            .with_children(
                self.instructions
                    .iter()
                    .map(|line| leaf("instructions", line)),
            )
            .with_children(self.fields.iter().map(field));
        if !self.reported.is_empty() {
            x = x.with_child(row("reported", &self.reported));
        }
        x.with_children(self.items.iter().map(|item| row("item", item)))
    }
}

fn row(name: &str, fields: &[Field]) -> Element {
    Element::new(name, ns::DATA_FORM).with_children(fields.iter().map(field))
}

fn field(field: &Field) -> Element {
    let mut el = Element::new("field", ns::DATA_FORM);
    el.set_attr(
        "var",
        Some(field.var.as_str()).filter(|var| !var.is_empty()),
    );
    el.set_attr("type", field.kind.map(|kind| kind.as_str()));
    el.set_attr("label", field.label.as_deref());
    if let Some(desc) = &field.desc {
        el = el.with_child(leaf("desc", desc));
    }
    if field.required {
        el = el.with_child(Element::new("required", ns::DATA_FORM));
    }
    let options = field.options.iter().map(|(label, value)| {
        let mut option = Element::new("option", ns::DATA_FORM).with_child(leaf("value", value));
        option.set_attr("label", label.as_deref());
        option
    });
    if let Some((min, max)) = field.whole {
        el = el.with_child(
            Element::new("validate", ns::DATA_VALIDATE)
                .with_attr("datatype", "xs:integer")
                .with_child(
                    Element::new("range", ns::DATA_VALIDATE)
                        .with_attr("min", &min.to_string())
                        .with_attr("max", &max.to_string()),
                ),
        );
    }
    el.with_children(field.values.iter().map(|value| leaf("value", value)))
        .with_children(options)
}

fn leaf(name: &str, text: &str) -> Element {
    Element::new(name, ns::DATA_FORM).with_text(text)
}
