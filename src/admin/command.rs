//! An administrative act, declared once: its arguments, who may, and what it does.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::acts::{Act, ActError, Acts, Password};
use super::report::Report;
use crate::config::nearest;
use crate::proto::jid::Jid;

/// One administrative act.
#[derive(Debug)]
pub struct Command {
    /// Group and name: `user add`.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// In the order in which they are asked for.
    pub arguments: &'static [Argument],
    /// Who may.
    pub permission: Permission,
    /// What to ask before it is done, for acts that cannot be taken back.
    pub confirm: Option<&'static str>,
    /// What it does.
    pub handler: for<'a> fn(&'a Args, &'a dyn Acts, &'a Report) -> Act<'a, ()>,
}

/// One argument of a command.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether the command needs it.
    pub required: bool,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bare JID of this server.
    Account,
    /// A domain of this server.
    Host,
    /// Any text.
    Text,
    /// A file that whoever asks puts what the act makes into, or "-" for standard output. The server never opens it.
    Output,
    /// A secret: asked for without echo, never on a command line, never logged.
    Password,
}

/// Who may do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Administrators of the host that the arguments name, and of the server.
    Host,
    /// Administrators of the server.
    Server,
}

/// What a caller may administer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Server,
    /// One host.
    Host(String),
}

/// Who asks for an act.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As it is logged.
    pub name: String,
    /// What the caller may administer.
    pub rights: Rights,
}

/// Arguments, checked.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<&'static str, Value>);

#[derive(Debug)]
enum Value {
    Account(Jid),
    Host(String),
    Text(String),
    Password(Password),
}

/// The arguments as they come, by name.
pub type Given = BTreeMap<String, String>;

/// Checks arguments and permission, does the act, and writes who did what to the log.
///
/// # Errors
/// The act's; [`ActError::Bad`] for arguments that cannot be accepted.
pub async fn run(
    command: &Command,
    given: &Given,
    caller: &Caller,
    acts: &dyn Acts,
    report: &Report,
) -> Result<(), ActError> {
    let args = Args::read(command, given)?;
    let what = args.for_log();
    let result = match permitted(command, &args, caller) {
        Ok(()) => (command.handler)(&args, acts, report).await,
        Err(error) => Err(error),
    };
    match &result {
        Ok(()) => info!(by = %caller.name, arguments = %what, "{}", command.name),
        Err(error) => {
            warn!(by = %caller.name, arguments = %what, %error, "{} was not done", command.name)
        }
    }
    result
}

fn permitted(command: &Command, args: &Args, caller: &Caller) -> Result<(), ActError> {
    let Rights::Host(own) = &caller.rights else {
        return Ok(());
    };
    let mut hosts = args.0.values().filter_map(|value| match value {
        Value::Account(jid) => Some(jid.domain()),
        Value::Host(host) => Some(host.as_str()),
        Value::Text(_) | Value::Password(_) => None,
    });
    // Without a host among the arguments the act concerns every host.
    let own_only = hosts.next().is_some_and(|host| host == own) && hosts.all(|host| host == own);
    if command.permission == Permission::Host && own_only {
        return Ok(());
    }
    Err(ActError::Forbidden)
}

impl Argument {
    /// Whether a text can be this argument.
    ///
    /// # Errors
    /// [`ActError::Bad`]: what would be right.
    pub fn check(&self, text: &str) -> Result<(), ActError> {
        value(self, text).map(drop)
    }
}

impl Args {
    /// Reads arguments as a command declares them.
    ///
    /// # Errors
    /// [`ActError::Bad`]: unknown, missing, or not what it should be.
    pub fn read(command: &Command, given: &Given) -> Result<Self, ActError> {
        let names: Vec<&str> = command
            .arguments
            .iter()
            .map(|argument| argument.name)
            .collect();
        for name in given.keys() {
            if !names.contains(&name.as_str()) {
                let near = nearest(name, names.iter().copied())
                    .map(|near| format!("; did you mean {near}?"));
                let text = format!(
                    "{} has no argument {name}{}",
                    command.name,
                    near.unwrap_or_default()
                );
                return Err(ActError::Bad(text));
            }
        }
        let mut args = BTreeMap::new();
        for argument in command.arguments {
            match given.get(argument.name) {
                Some(text) => {
                    args.insert(argument.name, value(argument, text)?);
                }
                None if argument.required => {
                    return Err(ActError::Bad(format!(
                        "{} needs {}: {}",
                        command.name, argument.name, argument.doc
                    )));
                }
                None => {}
            }
        }
        Ok(Self(args))
    }

    /// An account; [`Args::read`] has seen to it that required ones are there.
    ///
    /// # Errors
    /// [`ActError::Bad`] when it is not among the arguments.
    pub fn account(&self, name: &str) -> Result<&Jid, ActError> {
        match self.0.get(name) {
            Some(Value::Account(jid)) => Ok(jid),
            _ => Err(missing(name)),
        }
    }

    /// A password.
    ///
    /// # Errors
    /// [`ActError::Bad`] when it is not among the arguments.
    pub fn password(&self, name: &str) -> Result<&Password, ActError> {
        match self.0.get(name) {
            Some(Value::Password(password)) => Ok(password),
            _ => Err(missing(name)),
        }
    }

    /// A host or a text, if given.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Host(text) | Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// `account=romeo@example.org`, without secrets.
    fn for_log(&self) -> String {
        let shown = self.0.iter().filter_map(|(name, value)| match value {
            Value::Account(jid) => Some(format!("{name}={jid}")),
            Value::Host(text) | Value::Text(text) => Some(format!("{name}={text}")),
            Value::Password(_) => None,
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

fn missing(name: &str) -> ActError {
    ActError::Bad(format!("{name} is missing"))
}

fn value(argument: &Argument, text: &str) -> Result<Value, ActError> {
    let bad = |why: String| ActError::Bad(format!("{}: {why}", argument.name));
    match argument.kind {
        Kind::Account => {
            let jid = Jid::parse(text)
                .map_err(|error| bad(format!("\"{text}\" is not an address: {error}")))?;
            if jid.node().is_none() || jid.is_full() {
                return Err(bad(format!(
                    "\"{text}\" is not an account; write it as user@example.org"
                )));
            }
            Ok(Value::Account(jid))
        }
        Kind::Host => {
            let jid = Jid::parse(text)
                .map_err(|error| bad(format!("\"{text}\" is not a domain: {error}")))?;
            if jid.as_str() != jid.domain() {
                return Err(bad(format!(
                    "\"{text}\" is not a domain; write it as example.org"
                )));
            }
            Ok(Value::Host(jid.domain().to_owned()))
        }
        Kind::Output if text.is_empty() => Err(bad("it is empty".to_owned())),
        Kind::Text | Kind::Output => Ok(Value::Text(text.to_owned())),
        Kind::Password if text.is_empty() => Err(bad("it is empty".to_owned())),
        Kind::Password => Ok(Value::Password(Password(text.to_owned()))),
    }
}
