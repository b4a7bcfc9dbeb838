//! XEP-0313: Message Archive Management (1.1.3): what may be asked of an archive, and the elements it answers with.

use std::fmt::Display;
use std::str::FromStr;

use super::delay::Delay;
use super::error::{Condition, StanzaError};
use super::form::{Field, Form};
use super::jid::Jid;
use super::stanza::{MessageType, Stanza};
use super::{datetime, form, forward, ns, rsm};
use crate::xml::{El, Element};

/// The field of XEP-0431.
const FULLTEXT: &str = "{urn:xmpp:fulltext:0}fulltext";

/// What an archive lets itself be asked.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Messages of a page, and ids of a query, at the most.
    pub most: usize,
    /// It may hold messages of rooms, which can be left out (§4.1.4).
    pub groupchat: bool,
    /// It can be searched (XEP-0431).
    pub fulltext: bool,
}

/// A query; `Id` is what the archive calls its messages by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<Id> {
    /// Only what this address wrote or got.
    pub with: Option<Jid>,
    /// Not before this, Unix milliseconds.
    pub start: Option<u64>,
    /// Not after this, Unix milliseconds.
    pub end: Option<u64>,
    /// Only behind these messages.
    pub after: Vec<Id>,
    /// Only before these messages.
    pub before: Vec<Id>,
    /// Only these messages.
    pub ids: Option<Vec<Id>>,
    /// Messages of rooms as well, or without them, if anything was said of that.
    pub groupchat: Option<bool>,
    /// What is searched for.
    pub text: Option<String>,
    /// Messages on the page.
    pub max: usize,
    /// How the page is to look.
    pub shape: Shape,
}

/// How the page of a query looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The asker's name for the query.
    pub queryid: Option<String>,
    /// It ends at the end of the range instead of beginning at its start.
    pub backwards: bool,
    /// Its messages come newest first (§4.3.4).
    pub flipped: bool,
}

/// What a page says of itself.
#[derive(Clone, Debug)]
pub struct Edges<Id> {
    /// The oldest message on it.
    pub first: Option<Id>,
    /// The newest.
    pub last: Option<Id>,
    /// How far it was looked for messages, if not all were looked at and the page has room for more.
    pub reached: Option<Id>,
    /// There is nothing more in its direction.
    pub complete: bool,
}

impl Offer {
    /// Reads a query (§4.1, §4.3). A value that is none is `bad-request`, an unknown field
    /// `feature-not-implemented`, an id that cannot be one of the archive `item-not-found`.
    ///
    /// # Errors
    /// These.
    pub fn read<Id: FromStr>(&self, query: El<'_>) -> Result<Query<Id>, StanzaError> {
        let page = rsm::Request::of(query)?;
        if page.index.is_some() {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let mut asked = Query {
            with: None,
            start: None,
            end: None,
            after: Vec::from_iter(page.after.as_deref().map(id).transpose()?),
            before: Vec::from_iter(page.before.as_deref().map(id).transpose()?),
            ids: None,
            groupchat: None,
            text: None,
            max: page.max.unwrap_or(self.most).min(self.most),
            shape: Shape {
                queryid: query.attr("queryid").map(str::to_owned),
                backwards: page.backwards,
                flipped: query.has_child("flip-page", ns::MAM),
            },
        };
        if let Some(form) = Form::of(query) {
            let form = form.map_err(|error| StanzaError::from(&error))?;
            if form.form_type().is_some_and(|name| name != ns::MAM) {
                return Err(bad("FORM_TYPE"));
            }
            for field in &form.fields {
                asked.set(field, self)?;
            }
        }
        Ok(asked)
    }

    /// The form that says what may be asked (§4.1.5).
    pub fn form(&self) -> Element {
        let field = |kind: &str, var: &str| {
            Element::new("field", ns::DATA_FORM)
                .with_attr("type", kind)
                .with_attr("var", var)
        };
        let form_type = Element::new("value", ns::DATA_FORM).with_text(ns::MAM);
        let any = Element::new("validate", ns::DATA_VALIDATE)
            .with_attr("datatype", "xs:string")
            .with_child(Element::new("open", ns::DATA_VALIDATE));
        let rooms = self
            .groupchat
            .then(|| field("boolean", "include-groupchat"));
        let text = self.fulltext.then(|| field("text-single", FULLTEXT));
        let x = Element::new("x", ns::DATA_FORM)
            .with_attr("type", "form")
            .with_child(field("hidden", "FORM_TYPE").with_child(form_type))
            .with_child(field("jid-single", "with"))
            .with_child(field("text-single", "start"))
            .with_child(field("text-single", "end"))
            .with_child(field("text-single", "before-id"))
            .with_child(field("text-single", "after-id"))
            .with_child(field("list-multi", "ids").with_child(any))
            .with_children(rooms.into_iter().chain(text));
        Element::new("query", ns::MAM).with_child(x)
    }
}

impl<Id: FromStr> Query<Id> {
    fn set(&mut self, field: &Field, offer: &Offer) -> Result<(), StanzaError> {
        let value = field.value().filter(|value| !value.is_empty());
        let time = || value.map(|text| datetime::parse(text).ok_or_else(|| bad(&field.var)));
        match field.var.as_str() {
            "FORM_TYPE" => {}
            "with" => {
                let with = value.map(|text| Jid::parse(text).map_err(|_| Condition::JidMalformed));
                self.with = with.transpose()?;
            }
            "start" => self.start = time().transpose()?,
            "end" => self.end = time().transpose()?,
            "after-id" => self.after.extend(value.map(id).transpose()?),
            "before-id" => self.before.extend(value.map(id).transpose()?),
            "ids" => {
                if field.values.len() > offer.most {
                    let error = StanzaError::from(Condition::PolicyViolation);
                    return Err(error.with_text("Too many ids"));
                }
                let ids = field.values.iter().map(|text| id(text));
                self.ids = Some(ids.collect::<Result<_, _>>()?);
            }
            "include-groupchat" => {
                let wanted = value.map(|text| form::boolean(text).ok_or_else(|| bad(&field.var)));
                self.groupchat = wanted.transpose()?;
            }
            FULLTEXT if offer.fulltext => self.text = value.map(str::to_owned),
            _ => return Err(Condition::FeatureNotImplemented.into()),
        }
        Ok(())
    }
}

impl Shape {
    /// The message that brings one message of the page (§4.2); `xml` is what [`Stanza::to_bytes`] wrote.
    pub fn result(&self, id: impl Display, at: u64, xml: &[u8]) -> Stanza {
        let mut result = Element::new("result", ns::MAM).with_attr("id", &id.to_string());
        result.set_attr("queryid", self.queryid.as_deref());
        let delay = Delay {
            stamp: at,
            from: None,
        };
        forward::carry(MessageType::Normal, &result, Some(&delay), xml)
    }

    /// The answer that follows the messages (§4.3). A search that did not look at everything goes on where it stopped.
    pub fn fin(&self, page: Edges<impl Display>) -> Element {
        let (first, last) = match self.backwards {
            true => (page.reached.or(page.first), page.last),
            false => (page.first, page.reached.or(page.last)),
        };
        let ends = rsm::Page {
            first: first.map(|id| (id.to_string(), None)),
            last: last.map(|id| id.to_string()),
            count: None,
        };
        let mut fin = Element::new("fin", ns::MAM);
        fin.set_attr("complete", page.complete.then_some("true"));
        fin.with_child(ends.to_element())
    }
}

/// Where an archive begins and ends (§5): ids and times of its first and last message.
pub fn metadata<Id: Display>(ends: Option<((Id, u64), (Id, u64))>) -> Element {
    let end = |name, (id, at): (Id, u64)| {
        Element::new(name, ns::MAM)
            .with_attr("id", &id.to_string())
            .with_attr("timestamp", &datetime::format(at))
    };
    let ends = ends.map(|(first, last)| [end("start", first), end("end", last)]);
    Element::new("metadata", ns::MAM).with_children(ends.into_iter().flatten())
}

fn id<Id: FromStr>(text: &str) -> Result<Id, StanzaError> {
    text.parse().map_err(|_| Condition::ItemNotFound.into())
}

fn bad(field: &str) -> StanzaError {
    StanzaError::from(Condition::BadRequest).with_text(format!("The value of {field} is none"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OFFER: Offer = Offer {
        most: 3,
        groupchat: true,
        fulltext: true,
    };

    fn query(fields: &[(&str, &[&str])], set: &[(&str, &str)]) -> Element {
        let mut x = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
        for (var, values) in fields {
            let value = |text: &&str| Element::new("value", ns::DATA_FORM).with_text(text);
            let field = Element::new("field", ns::DATA_FORM).with_attr("var", var);
            x = x.with_child(field.with_children(values.iter().map(value)));
        }
        let set = set
            .iter()
            .map(|(name, text)| Element::new(name, ns::RSM).with_text(text));
        Element::new("query", ns::MAM)
            .with_attr("queryid", "f27")
            .with_child(x)
            .with_child(Element::new("set", ns::RSM).with_children(set))
            .with_child(Element::new("flip-page", ns::MAM))
    }

    fn read(fields: &[(&str, &[&str])], set: &[(&str, &str)]) -> Result<Query<u32>, Condition> {
        let read = OFFER.read(query(fields, set).root());
        read.map_err(|error| error.condition)
    }

    #[test]
    fn everything_that_may_be_asked() {
        let fields: &[(&str, &[&str])] = &[
            ("FORM_TYPE", &[ns::MAM]),
            ("with", &["juliet@capulet.lit"]),
            ("start", &["1970-01-01T00:00:01Z"]),
            ("end", &["1970-01-01T00:00:02Z"]),
            ("after-id", &["2"]),
            ("before-id", &["8"]),
            ("ids", &["3", "5"]),
            ("include-groupchat", &["false"]),
            (FULLTEXT, &["a rose"]),
        ];
        let asked = read(fields, &[("max", "99"), ("after", "1"), ("before", "9")]).unwrap();
        let wanted = Query {
            with: Some(Jid::parse("juliet@capulet.lit").unwrap()),
            start: Some(1_000),
            end: Some(2_000),
            after: vec![1, 2],
            before: vec![9, 8],
            ids: Some(vec![3, 5]),
            groupchat: Some(false),
            text: Some("a rose".to_owned()),
            max: 3,
            shape: Shape {
                queryid: Some("f27".to_owned()),
                backwards: true,
                flipped: true,
            },
        };
        assert_eq!(asked, wanted);
        let nothing = read(&[("with", &[""]), ("start", &[])], &[]).unwrap();
        assert_eq!((nothing.with, nothing.start), (None, None));
        assert!(nothing.groupchat.is_none() && !nothing.shape.backwards);
        let form = OFFER.form();
        let form = Form::of(form.root()).unwrap().unwrap();
        let offered: Vec<&str> = form.fields.iter().map(|field| field.var.as_str()).collect();
        for (var, _) in fields {
            assert!(offered.contains(var), "{var}");
        }
    }

    #[test]
    fn refusals() {
        for (field, values, condition) in [
            ("FORM_TYPE", &["urn:example"][..], Condition::BadRequest),
            ("with", &["@"], Condition::JidMalformed),
            ("start", &["yesterday"], Condition::BadRequest),
            ("include-groupchat", &["maybe"], Condition::BadRequest),
            ("after-id", &["none"], Condition::ItemNotFound),
            ("ids", &["1", "none"], Condition::ItemNotFound),
            ("ids", &["1", "2", "3", "4"], Condition::PolicyViolation),
            ("urn:example", &["1"], Condition::FeatureNotImplemented),
        ] {
            assert_eq!(read(&[(field, values)], &[]), Err(condition), "{field}");
        }
        for (name, condition) in [
            ("index", Condition::FeatureNotImplemented),
            ("after", Condition::ItemNotFound),
        ] {
            let number = if name == "index" { "1" } else { "x" };
            assert_eq!(read(&[], &[(name, number)]), Err(condition));
        }
        let plain = Offer {
            fulltext: false,
            ..OFFER
        };
        let search = query(&[(FULLTEXT, &["rose"])], &[]);
        let refused = plain.read::<u32>(search.root()).unwrap_err();
        assert_eq!(refused.condition, Condition::FeatureNotImplemented);
    }

    #[test]
    fn a_search_goes_on_where_it_stopped() {
        let ends = |backwards, reached| {
            let shape = Shape {
                backwards,
                ..Shape::default()
            };
            let fin = shape.fin(Edges {
                first: Some(4),
                last: Some(6),
                reached,
                complete: reached.is_none(),
            });
            assert_eq!(fin.attr("complete").is_some(), reached.is_none());
            let set = fin.child("set", ns::RSM).unwrap();
            ["first", "last"].map(|name| set.child(name, ns::RSM).unwrap().text().into_owned())
        };
        assert_eq!(ends(false, None), ["4", "6"]);
        assert_eq!(ends(false, Some(9)), ["4", "9"]);
        assert_eq!(ends(true, Some(1)), ["1", "6"]);
    }
}
