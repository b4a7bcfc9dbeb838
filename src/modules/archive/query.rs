//! From a query as it came to what is read (XEP-0313 §4), and the form that says what may be asked.

use super::Config;
use crate::hooks::{To, Turn};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::{datetime, ns, rsm};
use crate::state::log;
use crate::store::Mid;
use crate::xml::{El, Element};

/// Words looked for at the most.
const WORDS: usize = 16;

/// The field of XEP-0431, understood where a module announces it.
const FULLTEXT_FIELD: &str = "{urn:xmpp:fulltext:0}fulltext";

/// A query, and how its page is sent.
pub(super) struct Wanted {
    pub query: log::Query,
    pub queryid: Option<String>,
    pub flipped: bool,
}

/// §4.1, §4.3. A value that is none is `bad-request`, a field that is unknown
/// `feature-not-implemented`, an id that cannot be one of the archive `item-not-found`.
pub(super) fn read(
    payload: El<'_>,
    config: &Config,
    turn: &Turn<'_>,
) -> Result<Wanted, StanzaError> {
    let page = rsm::Request::of(payload)?;
    let most = config.page as usize;
    let mut query = log::Query {
        max: page.max.unwrap_or(most).min(most),
        bytes: config.page_bytes.as_usize(),
        backwards: page.backwards,
        ..log::Query::default()
    };
    if page.index.is_some() {
        return Err(Condition::FeatureNotImplemented.into());
    }
    for (id, list) in [
        (page.after, &mut query.after),
        (page.before, &mut query.before),
    ] {
        list.extend(id.map(|id| mid(&id)).transpose()?);
    }
    if let Some(form) = Form::of(payload) {
        let form = form.map_err(|error| StanzaError::from(&error))?;
        fill(&mut query, &form, searchable(turn))?;
        if query.ids.as_ref().is_some_and(|ids| ids.len() > most) {
            return Err(StanzaError::from(Condition::PolicyViolation).with_text("Too many ids"));
        }
    }
    Ok(Wanted {
        query,
        queryid: payload.attr("queryid").map(str::to_owned),
        flipped: payload.has_child("flip-page", ns::MAM),
    })
}

fn fill(query: &mut log::Query, form: &Form, searchable: bool) -> Result<(), StanzaError> {
    if form.form_type().is_some_and(|name| name != ns::MAM) {
        return Err(bad("FORM_TYPE"));
    }
    for field in &form.fields {
        let value = field.value().filter(|value| !value.is_empty());
        let time = || value.map(|text| datetime::parse(text).ok_or_else(|| bad(&field.var)));
        match field.var.as_str() {
            "FORM_TYPE" => {}
            "with" => {
                let with = value.map(|text| Jid::parse(text).map_err(|_| jid_malformed()));
                query.with = with.transpose()?;
            }
            "start" => query.start = time().transpose()?,
            "end" => query.end = time().transpose()?,
            "after-id" => query.after.extend(value.map(mid).transpose()?),
            "before-id" => query.before.extend(value.map(mid).transpose()?),
            "ids" => {
                let ids = field.values.iter().map(|id| mid(id));
                query.ids = Some(ids.collect::<Result<_, _>>()?);
            }
            "include-groupchat" => match value {
                Some("true" | "1") | None => {}
                Some("false" | "0") => query.no_rooms = true,
                Some(_) => return Err(bad(&field.var)),
            },
            FULLTEXT_FIELD if searchable => {
                let text = value.unwrap_or_default().to_lowercase();
                let words = text.split_whitespace().take(WORDS);
                query.words = words.map(str::to_owned).collect();
            }
            _ => return Err(Condition::FeatureNotImplemented.into()),
        }
    }
    Ok(())
}

fn searchable(turn: &Turn<'_>) -> bool {
    let disco = turn.account.tables.disco(To::OwnAccount);
    disco.is_some_and(|disco| disco.features.iter().any(|var| var == ns::FULLTEXT))
}

fn mid(id: &str) -> Result<Mid, StanzaError> {
    id.parse().map_err(|_| Condition::ItemNotFound.into())
}

fn bad(field: &str) -> StanzaError {
    StanzaError::from(Condition::BadRequest).with_text(format!("The value of {field} is none"))
}

fn jid_malformed() -> StanzaError {
    Condition::JidMalformed.into()
}

/// §4.1.5: the fields there are.
pub(super) fn form(turn: &Turn<'_>) -> Element {
    let field = |kind: &str, var: &str| {
        Element::new("field", ns::DATA_FORM)
            .with_attr("type", kind)
            .with_attr("var", var)
    };
    let form_type = Element::new("value", ns::DATA_FORM).with_text(ns::MAM);
    let any = Element::new("validate", ns::DATA_VALIDATE)
        .with_attr("datatype", "xs:string")
        .with_child(Element::new("open", ns::DATA_VALIDATE));
    let text = searchable(turn).then(|| field("text-single", FULLTEXT_FIELD));
    let x = Element::new("x", ns::DATA_FORM)
        .with_attr("type", "form")
        .with_child(field("hidden", "FORM_TYPE").with_child(form_type))
        .with_child(field("jid-single", "with"))
        .with_child(field("text-single", "start"))
        .with_child(field("text-single", "end"))
        .with_child(field("text-single", "before-id"))
        .with_child(field("text-single", "after-id"))
        .with_child(field("list-multi", "ids").with_child(any))
        .with_child(field("boolean", "include-groupchat"))
        .with_children(text);
    Element::new("query", ns::MAM).with_child(x)
}
