//! A question: its form, what it asks for, and which rooms that are (XEP-0433 §4.2, §6.1).

use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::ns;
use crate::xml::Element;

const PARAMS: &str = "urn:xmpp:channel-search:0:search-params";
const ERRORS: &str = "urn:xmpp:channel-search:0:error";
const BY_USERS: &str = "{urn:xmpp:channel-search:0:order}nusers";
const BY_ADDRESS: &str = "{urn:xmpp:channel-search:0:order}address";
const ROOMS: &str = "xep-0045";

/// The examples write one, the table of fields the other.
const ADDRESS: [&str; 2] = ["sinaddress", "sinaddr"];

/// Words of one question.
const WORDS: usize = 10;

/// Bytes of its text.
const TEXT: usize = 256;

/// A room as it is found.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub address: String,
    pub name: String,
    pub description: String,
    pub lang: String,
    pub occupants: usize,
    /// It is entered without anything else.
    pub open: bool,
    /// Everybody sees who is behind a nickname.
    pub non_anonymous: bool,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// All of these must be there, in lower case; none: all rooms.
    words: Vec<String>,
    name: bool,
    description: bool,
    address: bool,
    least: usize,
    rooms: bool,
    by_users: bool,
}

/// §4.2.1.
pub(super) fn form(all: bool) -> Element {
    let types = Field::new(FieldType::ListMulti, "types")
        .with_label("Service types")
        .with_value(ROOMS)
        .with_option(ROOMS);
    let keys = &[(BY_USERS, "Number of occupants"), (BY_ADDRESS, "Address")];
    let mut form = Form::new(FormType::Form)
        .with_form_type(PARAMS)
        .with_field(Field::text("q", "").with_label("Search for"));
    if all {
        let field = Field::boolean("all", false);
        form = form.with_field(field.with_label("Return all, whatever is searched for"));
    }
    let form = form
        .with_field(Field::boolean("sinname", true).with_label("Search in names"))
        .with_field(Field::boolean("sindescription", true).with_label("Search in descriptions"))
        .with_field(Field::boolean(ADDRESS[0], true).with_label("Search in addresses"))
        .with_field(Field::text("min_users", "0").with_label("Occupants at the least"))
        .with_field(types)
        .with_field(Field::choice("key", BY_USERS, keys).with_label("Sort by"));
    form.to_element()
}

impl Query {
    /// Reads a submission; `all` says whether all rooms may be asked for.
    ///
    /// # Errors
    /// Those of §4.2.2.
    pub fn read(form: &Form, all: bool) -> Result<Query, StanzaError> {
        if form.kind != FormType::Submit || form.form_type().is_some_and(|kind| kind != PARAMS) {
            return Err(Condition::BadRequest.into());
        }
        let by_users = match form.value("key") {
            None | Some("" | BY_USERS) => true,
            Some(BY_ADDRESS) => false,
            Some(_) => {
                return Err(refused(
                    Condition::FeatureNotImplemented,
                    "invalid-sort-key",
                ));
            }
        };
        let text = form.value("q").map(str::trim);
        let text = text.filter(|text| !text.is_empty());
        let words = match (text, form.boolean("all").unwrap_or(false)) {
            (Some(_), true) => return Err(conflict()),
            (None, false) => {
                let none = refused(Condition::BadRequest, "no-search-conditions");
                return Err(none.with_type(ErrorType::Cancel));
            }
            (None, true) if !all => {
                let refusal = refused(Condition::NotAllowed, "full-set-retrieval-rejected");
                return Err(refusal
                    .with_type(ErrorType::Cancel)
                    .with_text("Not all rooms may be asked for at once"));
            }
            (None, true) => Vec::new(),
            (Some(text), false) => words(text)?,
        };
        let on = |names: &[&str]| {
            let mut given = names.iter().filter_map(|name| form.boolean(name));
            given.next().unwrap_or(true)
        };
        let least = form.value("min_users").filter(|least| !least.is_empty());
        let types = form.values("types");
        Ok(Query {
            words,
            name: on(&["sinname"]),
            description: on(&["sindescription"]),
            address: on(&ADDRESS),
            least: match least.map(str::parse) {
                None => 0,
                Some(Ok(least)) => least,
                Some(Err(_)) => return Err(Condition::BadRequest.into()),
            },
            rooms: types.is_empty() || types.iter().any(|kind| kind == ROOMS),
            by_users,
        })
    }

    /// Whether a room is one of those asked for.
    pub fn finds(&self, channel: &Channel) -> bool {
        let texts = [
            (self.name, &channel.name),
            (self.description, &channel.description),
            (self.address, &channel.address),
        ];
        let texts = texts.into_iter().filter(|(searched, _)| *searched);
        let texts: Vec<String> = texts.map(|(_, text)| text.to_lowercase()).collect();
        let mut words = self.words.iter();
        self.rooms
            && channel.occupants >= self.least
            && words.all(|word| texts.iter().any(|text| text.contains(word)))
    }

    /// Puts what was found in the order asked for (§6.1).
    pub fn sort(&self, found: &mut [Channel]) {
        found.sort_unstable_by(|a, b| {
            let users = match self.by_users {
                true => b.occupants.cmp(&a.occupants),
                false => std::cmp::Ordering::Equal,
            };
            users.then_with(|| a.address.cmp(&b.address))
        });
    }
}

fn words(text: &str) -> Result<Vec<String>, StanzaError> {
    let words: Vec<String> = text
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(str::to_lowercase)
        .collect();
    if words.is_empty() || words.len() > WORDS || text.len() > TEXT {
        let text = format!(
            "Search for at least one word of letters or digits, and at most {WORDS} words of {TEXT} bytes"
        );
        return Err(refused(Condition::BadRequest, "invalid-search-terms").with_text(text));
    }
    Ok(words)
}

/// A refusal with what it means here.
fn refused(condition: Condition, name: &'static str) -> StanzaError {
    StanzaError::from(condition)
        .with_type(ErrorType::Modify)
        .with_app(Element::new(name, ERRORS))
}

fn conflict() -> StanzaError {
    let vars = ["all", "q"].map(|var| Element::new("var", ERRORS).with_text(var));
    StanzaError::from(Condition::BadRequest)
        .with_type(ErrorType::Modify)
        .with_text("Either all rooms are asked for, or those with some words")
        .with_app(Element::new("conflicting-fields", ERRORS).with_children(vars))
}

/// §4.2.2.4.
pub(super) fn too_often(seconds: u64) -> StanzaError {
    let limit = Element::new("rate-limit", ERRORS);
    StanzaError::from(Condition::ResourceConstraint)
        .with_type(ErrorType::Wait)
        .with_app(limit.with_attr("retry-after", &seconds.to_string()))
}

/// §6.2.
pub(super) fn item(channel: &Channel) -> Element {
    let leaf = |name, text: &str| Element::new(name, ns::CHANNEL_SEARCH).with_text(text);
    let mut item = Element::new("item", ns::CHANNEL_SEARCH).with_attr("address", &channel.address);
    for (name, text) in [
        ("name", &channel.name),
        ("description", &channel.description),
        ("language", &channel.lang),
    ] {
        if !text.is_empty() {
            item = item.with_child(leaf(name, text));
        }
    }
    let anonymity = match channel.non_anonymous {
        true => "{urn:xmpp:channel-search:0:anonymity}none",
        false => "muc_semianonymous",
    };
    let open = if channel.open { "true" } else { "false" };
    item.with_child(leaf("nusers", &channel.occupants.to_string()))
        .with_child(leaf("service-type", ROOMS))
        .with_child(leaf("is-open", open))
        .with_child(leaf("anonymity-mode", anonymity))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<Query, String> {
        let mut form = Form::new(FormType::Submit).with_form_type(PARAMS);
        for (var, value) in fields {
            form = form.with_field(Field::new(FieldType::TextSingle, var).with_value(value));
        }
        Query::read(&form, false).map_err(|error| {
            let app = error.app.as_ref().map(|app| app.root().name().to_owned());
            app.unwrap_or_else(|| error.condition.to_string())
        })
    }

    fn channel(address: &str, name: &str, occupants: usize) -> Channel {
        Channel {
            address: address.to_owned(),
            name: name.to_owned(),
            description: "All about herbs".to_owned(),
            lang: String::new(),
            occupants,
            open: true,
            non_anonymous: false,
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        for (fields, error) in [
            (&[][..], "no-search-conditions"),
            (&[("q", " ")], "no-search-conditions"),
            (&[("q", "?! -")], "invalid-search-terms"),
            (&[("q", "x"), ("all", "1")], "conflicting-fields"),
            (&[("all", "true")], "full-set-retrieval-rejected"),
            (&[("q", "x"), ("key", "size")], "invalid-sort-key"),
            (&[("q", "x"), ("min_users", "many")], "bad-request"),
        ] {
            assert_eq!(read(fields).unwrap_err(), error, "{fields:?}");
        }
        let long = "x".repeat(TEXT + 1);
        assert_eq!(read(&[("q", &long)]).unwrap_err(), "invalid-search-terms");
    }

    #[test]
    fn all_words_are_there_where_they_are_searched() {
        let coven = channel("coven@rooms.x", "A Dark Cave", 2);
        for (fields, found) in [
            (&[("q", "dark HERBS")][..], true),
            (&[("q", "dark light")], false),
            (&[("q", "herbs"), ("sindescription", "0")], false),
            (&[("q", "coven"), ("sinaddr", "0")], false),
            (&[("q", "coven"), ("sinaddress", "0")], false),
            (&[("q", "coven"), ("min_users", "2")], true),
            (&[("q", "coven"), ("min_users", "3")], false),
            (&[("q", "coven"), ("types", "xep-0369")], false),
            (&[("q", "coven"), ("types", "xep-0045")], true),
        ] {
            assert_eq!(read(fields).unwrap().finds(&coven), found, "{fields:?}");
        }
    }

    #[test]
    fn they_come_by_occupants_or_by_address() {
        let mut found = vec![
            channel("a@x", "", 1),
            channel("c@x", "", 5),
            channel("b@x", "", 5),
        ];
        let order = |found: &[Channel]| {
            let first = found
                .iter()
                .map(|channel| channel.address.get(..1).unwrap());
            first.collect::<String>()
        };
        read(&[("q", "x")]).unwrap().sort(&mut found);
        assert_eq!(order(&found), "bca");
        let by_address = read(&[("q", "x"), ("key", BY_ADDRESS)]).unwrap();
        by_address.sort(&mut found);
        assert_eq!(order(&found), "abc");
    }
}
