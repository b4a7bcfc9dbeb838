//! What is answered: what a command said, or why it was not done.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::hooks::command::{ActError, Line};
use crate::hooks::{HttpContent, HttpResponse};
use crate::state::act::Done;
use crate::store::StoreError;

/// What a command said.
#[derive(Debug, Default, Serialize)]
struct Said {
    /// Named values, in their order.
    facts: Vec<Fact>,
    /// Names of the columns of the rows.
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Sentences.
    notes: Vec<String>,
    /// Lines that are not here because there are too many.
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

/// Why nothing was done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No token, or none that is good.
    Unknown,
    /// The token is not for this.
    Forbidden,
    NoSuchCommand,
    /// The body is not what it should be.
    Bad(String),
    TooLarge,
    CutOff,
    NoJson,
    /// Later.
    TooMany(Duration),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::Store(error)
    }
}

impl Refusal {
    pub(super) fn written(self) -> HttpResponse {
        let (status, kind, text) = match &self {
            Refusal::Unknown => (
                401,
                "unauthorized",
                "a token is needed: Authorization: Bearer …",
            ),
            Refusal::Forbidden => (403, "forbidden", "this token is not for that"),
            Refusal::NoSuchCommand => (404, "no-such-command", "there is no such command"),
            Refusal::Bad(why) => (400, "bad-argument", why.as_str()),
            Refusal::TooLarge => (413, "too-large", "the body is larger than allowed"),
            Refusal::CutOff => (
                408,
                "cut-off",
                "the body did not come in time, or not whole",
            ),
            Refusal::NoJson => (415, "no-json", "the body must be application/json"),
            Refusal::TooMany(_) => (429, "too-many", "too many requests, try again later"),
            Refusal::Store(error) => {
                tracing::error!(%error, "the tokens cannot be read");
                (500, "failed", "the server cannot read its tokens")
            }
        };
        let answer = error(status, kind, text);
        match self {
            // RFC 6750 §3
            Refusal::Unknown => answer.with_header("www-authenticate", "Bearer"),
            Refusal::TooMany(wait) => {
                let seconds = wait.as_secs().saturating_add(1);
                answer.with_header("retry-after", seconds.to_string())
            }
            _ => answer,
        }
    }
}

/// What came of a command.
pub(super) fn written(done: Done) -> HttpResponse {
    let error_of = match &done.result {
        Ok(()) => return json(200, &said(done)),
        Err(error) => error,
    };
    let status = match error_of {
        ActError::Bad(_) => 400,
        ActError::Forbidden => 403,
        ActError::NoSuchAccount(_) | ActError::NoSuchHost { .. } => 404,
        ActError::Exists(_) | ActError::NotAllowed(_) => 409,
        ActError::Interrupted | ActError::Failed(_) => 500,
    };
    error(status, error_of.kind(), &error_of.to_string())
}

fn said(done: Done) -> Said {
    let mut said = Said {
        left_out: done.left_out,
        ..Said::default()
    };
    for line in done.lines {
        match line {
            Line::Columns(names) => said.columns = names,
            Line::Row(row) => said.rows.push(row),
            Line::Fact(name, value) => said.facts.push(Fact { name, value }),
            Line::Said(text) => said.notes.push(text),
            // Not gathered, or the end that the result tells.
            Line::Data(_) | Line::Progress { .. } | Line::Done | Line::Failed { .. } => {}
        }
    }
    said
}

fn error(status: u16, kind: &str, text: &str) -> HttpResponse {
    #[derive(Serialize)]
    struct Why<'a> {
        error: &'a str,
        text: &'a str,
    }
    json(status, &Why { error: kind, text })
}

/// JSON, which nobody keeps.
pub(super) fn json(status: u16, value: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_vec(value).unwrap_or_default();
    HttpResponse::new(status)
        .with_header("content-type", "application/json")
        .with_header("cache-control", "no-store")
        .with_content(HttpContent::Bytes(Bytes::from(body)))
}
