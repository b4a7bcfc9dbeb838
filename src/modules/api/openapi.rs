//! The description of the API for programs: OpenAPI 3.1, made from the declarations of the commands.

use serde_json::{Map, Value, json};

use super::PATH;
use super::given::is_asked;
use crate::hooks::command::{Argument, Command, Kind};
use crate::proto::jid::Jid;

/// What may go wrong with any command.
const ERRORS: &[(&str, &str)] = &[
    ("400", "An argument cannot be accepted."),
    ("401", "No good token."),
    ("403", "The token is not for this."),
    ("404", "There is no such account, or no such command."),
    ("408", "The body did not come in time, or not whole."),
    ("409", "It is there already, or cannot be done now."),
    ("415", "The body is no JSON."),
    (
        "429",
        "Too many requests; Retry-After says when to try again.",
    ),
    ("500", "It failed; the text says why."),
];

/// The description of these commands of a host.
pub(super) fn document<'c>(
    url: &str,
    host: &Jid,
    commands: impl Iterator<Item = &'c Command>,
) -> Value {
    let paths: Map<String, Value> = commands.map(|c| (path(c), operation(c, host))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("waxwing at {host}"),
            "description": "What administrators do. Every request is a command with its arguments; what it says is the answer.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": format!("{url}{PATH}") }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Answer": answer(), "Error": error() },
        },
    })
}

/// `user add` is `/user/add`.
fn path(command: &Command) -> String {
    format!("/{}", command.name.replace(' ', "/"))
}

fn operation(command: &Command, host: &Jid) -> Value {
    let asked = || {
        command
            .arguments
            .iter()
            .filter(|argument| is_asked(argument))
    };
    let properties: Map<String, Value> = asked()
        .map(|argument| (argument.name.to_owned(), property(argument, host)))
        .collect();
    let required: Vec<&str> = asked().filter(|a| a.required).map(|a| a.name).collect();
    let mut responses: Map<String, Value> = ERRORS
        .iter()
        .map(|(status, text)| ((*status).to_owned(), response(text, "Error")))
        .collect();
    responses.insert("200".to_owned(), response("Done.", "Answer"));
    // Said before anybody has looked at what is asked.
    let large = json!({ "description": "The body is larger than allowed." });
    responses.insert("413".to_owned(), large);
    let group = command.name.split(' ').next().unwrap_or_default();
    json!({ "post": {
        "operationId": command.name.replace([' ', '-'], "_"),
        "summary": command.doc,
        "tags": [group],
        "requestBody": {
            "required": !required.is_empty(),
            "content": { "application/json": { "schema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            } } },
        },
        "responses": responses,
    } })
}

fn response(text: &str, schema: &str) -> Value {
    let schema = format!("#/components/schemas/{schema}");
    json!({
        "description": text,
        "content": { "application/json": { "schema": { "$ref": schema } } },
    })
}

fn property(argument: &Argument, host: &Jid) -> Value {
    let words = |words: &[(&str, &str)]| words.iter().map(|(w, _)| (*w).into()).collect();
    let mut schema = match argument.kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Kind::Choice(known) => json!({ "type": "string", "enum": Value::Array(words(known)) }),
        Kind::Choices(known) => json!({
            "type": "array",
            "items": { "type": "string", "enum": Value::Array(words(known)) },
        }),
        Kind::Password | Kind::Again(_) => {
            json!({ "type": "string", "format": "password", "minLength": 1 })
        }
        kind if kind.is_multi() => json!({ "type": "array", "items": { "type": "string" } }),
        _ => json!({ "type": "string" }),
    };
    let example = match argument.kind {
        Kind::Account => Some(json!(format!("juliet@{host}"))),
        Kind::Accounts | Kind::Sessions => Some(json!([format!("juliet@{host}")])),
        _ => None,
    };
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), argument.doc.into());
        if let Some(example) = example {
            object.insert("examples".to_owned(), json!([example]));
        }
    }
    schema
}

/// What a command said.
fn answer() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "properties": {
            "facts": { "type": "array", "items": {
                "type": "object",
                "properties": { "name": { "type": "string" }, "value": { "type": "string" } },
                "required": ["name", "value"],
            } },
            "columns": texts,
            "rows": { "type": "array", "items": texts },
            "notes": texts,
            "left_out": {
                "type": "integer",
                "description": "How many lines are not here because there are too many.",
            },
        },
        "required": ["facts", "columns", "rows", "notes", "left_out"],
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": { "type": "string", "description": "A word for programs." },
            "text": { "type": "string", "description": "A sentence for people." },
        },
        "required": ["error", "text"],
    })
}
