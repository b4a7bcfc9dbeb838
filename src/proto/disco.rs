//! XEP-0030: Service Discovery (2.5.0), what an entity says about itself, with the forms of
//! XEP-0128 (1.0.1).

use super::form::Form;
use super::ns;
use crate::xml::{El, Element};

/// The answer to disco#info.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// What it is; at least one in a proper answer.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<String>,
    /// More about it.
    pub forms: Vec<Form>,
    /// It said something else too, which is not kept.
    pub others: bool,
}

/// What an entity is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Such as `server`.
    pub category: String,
    /// Such as `im`.
    pub kind: String,
    /// `xml:lang` of the name.
    pub lang: Option<String>,
    /// For people.
    pub name: Option<String>,
}

impl Identity {
    /// An identity without a name.
    pub fn new(category: &str, kind: &str) -> Identity {
        Identity {
            category: category.to_owned(),
            kind: kind.to_owned(),
            lang: None,
            name: None,
        }
    }

    /// With a name.
    pub fn with_name(mut self, name: &str) -> Identity {
        self.name = Some(name.to_owned());
        self
    }
}

impl Info {
    /// Reads a `<query/>`; `lang` is the language it inherits. A form that cannot be read counts
    /// among [`Info::others`].
    pub fn parse(query: El<'_>, lang: Option<&str>) -> Info {
        let lang = query.attr("xml:lang").or(lang);
        let mut info = Info::default();
        for child in query.children() {
            match (child.ns(), child.name()) {
                (ns::DISCO_INFO, "identity") => info.identities.push(identity(child, lang)),
                (ns::DISCO_INFO, "feature") => {
                    let var = child.attr("var").unwrap_or_default();
                    info.features.push(var.to_owned());
                }
                (ns::DATA_FORM, "x") => match Form::parse(child) {
                    Ok(form) => info.forms.push(form),
                    Err(_) => info.others = true,
                },
                _ => info.others = true,
            }
        }
        info
    }

    /// Adds a form; there is one form of a type (XEP-0115 §5.4).
    pub fn add_form(&mut self, form: Form) {
        let same = |known: &&mut Form| {
            known.form_type().is_some() && known.form_type() == form.form_type()
        };
        match self.forms.iter_mut().find(same) {
            Some(known) => {
                let fields = form.fields.into_iter();
                known
                    .fields
                    .extend(fields.filter(|field| field.var != "FORM_TYPE"));
            }
            None => self.forms.push(form),
        }
    }

    /// The `<query/>` element, for the node it was asked for.
    pub fn to_element(&self, node: Option<&str>) -> Element {
        let mut query = Element::new("query", ns::DISCO_INFO);
        query.set_attr("node", node);
        let identities = self.identities.iter().map(|identity| {
            let mut el = Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", &identity.category)
                .with_attr("type", &identity.kind);
            el.set_attr("xml:lang", identity.lang.as_deref());
            el.set_attr("name", identity.name.as_deref());
            el
        });
        let features = self.features.iter();
        query
            .with_children(identities)
            .with_children(
                features.map(|v| Element::new("feature", ns::DISCO_INFO).with_attr("var", v)),
            )
            .with_children(self.forms.iter().map(Form::to_element))
    }
}

fn identity(el: El<'_>, lang: Option<&str>) -> Identity {
    Identity {
        category: el.attr("category").unwrap_or_default().to_owned(),
        kind: el.attr("type").unwrap_or_default().to_owned(),
        lang: el.attr("xml:lang").or(lang).map(str::to_owned),
        name: el.attr("name").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::form::{Field, FormType};

    #[test]
    fn there_and_back() {
        let info = Info {
            identities: vec![Identity::new("server", "im").with_name("waxwing")],
            features: vec![ns::DISCO_INFO.to_owned(), ns::PING.to_owned()],
            forms: vec![
                Form::new(FormType::Result)
                    .with_form_type(ns::SERVER_INFO)
                    .with_field(Field::text("abuse-addresses", "xmpp:abuse@example.com")),
            ],
            others: false,
        };
        let query = info.to_element(Some("x"));
        assert_eq!(query.attr("node"), Some("x"));
        assert_eq!(Info::parse(query.root(), None), info);
    }

    #[test]
    fn languages_are_inherited_and_strangers_noticed() {
        let query = Element::new("query", ns::DISCO_INFO)
            .with_child(Element::new("identity", ns::DISCO_INFO))
            .with_child(Element::new("set", ns::RSM));
        let info = Info::parse(query.root(), Some("de"));
        assert_eq!(
            info.identities.first().and_then(|i| i.lang.as_deref()),
            Some("de")
        );
        assert!(info.others);
    }
}
