//! Tokens, made and removed on the command line alone: no token makes another.

use std::sync::Arc;
use std::time::Duration;

use super::Api;
use super::scope::Scopes;
use super::tokens::{TokenError, Wish};
use crate::hooks::Registrar;
use crate::hooks::command::{ActError, Argument, Call, Command, Kind, Offered, Permission};
use crate::proto::datetime;

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");
const NAME: Argument = Argument::needed("name", Kind::Text, "What the token is called.");

const fn of_line(
    name: &'static str,
    doc: &'static str,
    arguments: &'static [Argument],
    audited: bool,
) -> Command {
    Command {
        name,
        doc,
        adhoc: None,
        arguments,
        permission: Permission::Host,
        confirm: None,
        audited,
    }
}

pub(super) static DECLARED: [Command; 3] = [
    of_line(
        "token add",
        "Make a token for administration over HTTP. It is shown once.",
        &[
            NAME,
            Argument::needed(
                "scopes",
                Kind::Text,
                "What for, with commas: \"all\", \"read\" (what changes nothing), \"status\" (the status page), commands such as \"user add\" or groups such as \"room\".",
            ),
            Argument::optional(
                "days",
                Kind::Number {
                    min: 1,
                    max: 36_500,
                },
                "How long it is good [default: until it is removed].",
            ),
            Argument::optional(
                "server",
                Kind::Flag,
                "With the rights of an administrator of the server, not of the domain alone.",
            ),
            HOST,
        ],
        true,
    ),
    of_line(
        "token list",
        "List tokens, not what they are.",
        &[HOST],
        false,
    ),
    of_line("token remove", "Remove a token.", &[NAME, HOST], true),
];

/// Longest name of a token, characters.
const LONGEST: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);

/// Offers the commands.
pub(super) fn offer(api: &Arc<Api>, r: &mut Registrar<'_>) {
    let [add, list, remove] = &DECLARED;
    let this = api.clone();
    r.command(Offered::new(add, move |call| {
        let this = this.clone();
        Box::pin(async move { this.add(call).await })
    }));
    let this = api.clone();
    r.command(Offered::new(list, move |call| {
        let this = this.clone();
        Box::pin(async move { this.list(call).await })
    }));
    let this = api.clone();
    r.command(Offered::new(remove, move |call| {
        let this = this.clone();
        Box::pin(async move { this.remove(call).await })
    }));
}

impl Api {
    async fn add(&self, call: Call) -> Result<(), ActError> {
        let name = call.args.text("name").unwrap_or_default();
        if name.trim().is_empty() || name.chars().count() > LONGEST {
            return Err(ActError::Bad(format!(
                "name: it has 1 to {LONGEST} characters"
            )));
        }
        let known: Vec<&str> = self.offered().iter().map(|o| o.command.name).collect();
        let scopes = call.args.text("scopes").unwrap_or_default();
        let scopes =
            Scopes::parse(scopes, &known).map_err(|why| ActError::Bad(format!("scopes: {why}")))?;
        let now = self.clock.wall();
        let until = call.args.number("days").map(|days| {
            let days = DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
            now.saturating_add(u64::try_from(days.as_millis()).unwrap_or(u64::MAX))
        });
        let wish = Wish {
            name: name.to_owned(),
            scopes,
            server: call.args.flag("server"),
            until,
        };
        let secret = self.tokens.make(wish, now).await.map_err(refusal)?;
        call.report.fact("token", secret).await
    }

    async fn list(&self, call: Call) -> Result<(), ActError> {
        let columns = ["name", "scopes", "rights", "made", "until"];
        call.report.columns(&columns).await?;
        for token in self.tokens.list().await.map_err(|e| refusal(e.into()))? {
            let rights = if token.server { "server" } else { "domain" };
            let row = vec![
                token.name,
                token.scopes.to_string(),
                rights.to_owned(),
                datetime::format(token.made),
                token.until.map(datetime::format).unwrap_or_default(),
            ];
            call.report.row(row).await?;
        }
        Ok(())
    }

    async fn remove(&self, call: Call) -> Result<(), ActError> {
        let name = call.args.text("name").unwrap_or_default();
        match self.tokens.remove(name).await.map_err(refusal)? {
            true => Ok(()),
            false => Err(ActError::Bad(format!("there is no token {name}"))),
        }
    }
}

fn refusal(error: TokenError) -> ActError {
    match error {
        TokenError::Exists | TokenError::Full(_) => ActError::NotAllowed(error.to_string()),
        TokenError::Read(_) | TokenError::Write(_) => ActError::Failed(error.to_string()),
    }
}
