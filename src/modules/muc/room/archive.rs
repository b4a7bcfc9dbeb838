//! Who may read what was said, and what is asked of it (XEP-0313 1.1.3 §4, §6.1.2).

use super::{Refused, Room};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::Form;
use crate::proto::jid::Jid;
use crate::proto::{datetime, ns, rsm};
use crate::state::rooms::archive::Query;
use crate::state::rooms::{Affiliation, Rid};
use crate::store::Mid;
use crate::xml::{El, Element};

/// A question to the archive that somebody may ask.
#[derive(Debug)]
pub struct Asked {
    /// Whose archive.
    pub rid: Rid,
    /// Whether the answer names who is behind nicknames.
    pub open: bool,
    /// What is asked.
    pub what: Wanted,
}

/// What the archive is asked.
#[derive(Debug)]
pub enum Wanted {
    /// A page.
    Page {
        /// Which one.
        query: Query,
        /// The asker's name for it.
        queryid: Option<String>,
        /// The newest first.
        flipped: bool,
    },
    /// Where it begins and ends (§5).
    Ends,
}

impl Room {
    /// A question that must be looked up; `None` if it is another one.
    pub(super) fn ask_archive(
        &self,
        bare: &Jid,
        set: bool,
        payload: El<'_>,
    ) -> Result<Option<Asked>, Refused> {
        let ends = match (set, payload.ns(), payload.name()) {
            (true, ns::MAM, "query") => false,
            (false, ns::MAM, "metadata") => true,
            _ => return Ok(None),
        };
        let open = self.may_read(bare)?;
        let rid = self.record()?.rid;
        let what = match ends {
            true => Wanted::Ends,
            false => self.wanted(payload, open)?,
        };
        Ok(Some(Asked { rid, open, what }))
    }

    /// §6.1.2: who may enter at the moment; whether it sees who is behind nicknames.
    pub(super) fn may_read(&self, bare: &Jid) -> Result<bool, Refused> {
        let options = &self.record()?.options;
        let own = self.affiliation(bare);
        if !options.archive {
            return Err(Condition::ServiceUnavailable.into());
        }
        let there = self.occupants.of_person(bare).map(|there| there.role).max();
        let closed = options.members_only || options.password.is_some() || self.locked;
        if own == Affiliation::Outcast || closed && own < Affiliation::Member && there.is_none() {
            return Err(Condition::Forbidden.into());
        }
        Ok(options.non_anonymous
            || own >= Affiliation::Admin
            || there == Some(super::Role::Moderator))
    }

    fn wanted(&self, payload: El<'_>, open: bool) -> Result<Wanted, Refused> {
        let page = rsm::Request::of(payload)?;
        if page.index.is_some() {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let most = self.rules.page;
        let mut query = Query {
            max: page.max.unwrap_or(most).min(most),
            bytes: self.rules.page_bytes,
            backwards: page.backwards,
            ..Query::default()
        };
        for (id, list) in [
            (page.after, &mut query.after),
            (page.before, &mut query.before),
        ] {
            list.extend(id.map(|id| mid(&id)).transpose()?);
        }
        if let Some(form) = Form::of(payload) {
            let form = form.map_err(|error| StanzaError::from(&error))?;
            fill(&mut query, &form)?;
        }
        if query.ids.as_ref().is_some_and(|ids| ids.len() > most) {
            return Err(StanzaError::from(Condition::PolicyViolation).with_text("Too many ids"));
        }
        // Who said something is found by address only by who may know it (§4.1.1).
        if let Some(by) = &query.by
            && !open
            && by.bare_str() != self.jid.as_str()
        {
            return Err(Condition::Forbidden.into());
        }
        Ok(Wanted::Page {
            query,
            queryid: payload.attr("queryid").map(str::to_owned),
            flipped: payload.has_child("flip-page", ns::MAM),
        })
    }
}

/// §4.1, §4.3.
fn fill(query: &mut Query, form: &Form) -> Result<(), StanzaError> {
    if form.form_type().is_some_and(|name| name != ns::MAM) {
        return Err(bad("FORM_TYPE"));
    }
    for field in &form.fields {
        let value = field.value().filter(|value| !value.is_empty());
        let time = || value.map(|text| datetime::parse(text).ok_or_else(|| bad(&field.var)));
        match field.var.as_str() {
            "FORM_TYPE" | "include-groupchat" => {}
            "with" => {
                let with = value.map(|text| Jid::parse(text).map_err(|_| Condition::JidMalformed));
                query.by = with.transpose()?;
            }
            "start" => query.start = time().transpose()?,
            "end" => query.end = time().transpose()?,
            "after-id" => query.after.extend(value.map(mid).transpose()?),
            "before-id" => query.before.extend(value.map(mid).transpose()?),
            "ids" => {
                let ids = field.values.iter().map(|id| mid(id));
                query.ids = Some(ids.collect::<Result<_, _>>()?);
            }
            _ => return Err(Condition::FeatureNotImplemented.into()),
        }
    }
    Ok(())
}

fn mid(id: &str) -> Result<Mid, StanzaError> {
    id.parse().map_err(|_| Condition::ItemNotFound.into())
}

fn bad(field: &str) -> StanzaError {
    StanzaError::from(Condition::BadRequest).with_text(format!("The value of {field} is none"))
}

/// §4.1.5: what may be asked.
pub(super) fn query_form() -> Element {
    let field = |kind: &str, var: &str| {
        Element::new("field", ns::DATA_FORM)
            .with_attr("type", kind)
            .with_attr("var", var)
    };
    let form_type = Element::new("value", ns::DATA_FORM).with_text(ns::MAM);
    let any = Element::new("validate", ns::DATA_VALIDATE)
        .with_attr("datatype", "xs:string")
        .with_child(Element::new("open", ns::DATA_VALIDATE));
    let x = Element::new("x", ns::DATA_FORM)
        .with_attr("type", "form")
        .with_child(field("hidden", "FORM_TYPE").with_child(form_type))
        .with_child(field("jid-single", "with"))
        .with_child(field("text-single", "start"))
        .with_child(field("text-single", "end"))
        .with_child(field("text-single", "before-id"))
        .with_child(field("text-single", "after-id"))
        .with_child(field("list-multi", "ids").with_child(any));
    Element::new("query", ns::MAM).with_child(x)
}
