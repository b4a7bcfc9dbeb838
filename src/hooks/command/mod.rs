//! An administrative act, declared once: its arguments, who may, and what is shown of it.
//!
//! A declaration ([`Command`]) is static, so that the command line knows it without a server. With a
//! [`Handler`] it stands in the tables of a host ([`Offered`]); the control socket, the command line
//! and ad-hoc commands (XEP-0050) offer what stands there.

mod args;
mod error;
mod report;
#[cfg(test)]
mod tests;
mod value;

use std::pin::Pin;
use std::sync::Arc;

pub use args::{Args, Given, Values};
pub use error::ActError;
pub use report::{Line, Report};
pub use value::Password;

use crate::proto::jid::Jid;

/// An act under way.
pub type Act<'a, T> = Pin<Box<dyn Future<Output = Result<T, ActError>> + Send + 'a>>;

/// One administrative act.
#[derive(Debug)]
pub struct Command {
    /// Group and name: `user add`.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// The node and the field names of its ad-hoc form (XEP-0050); `None` for acts of the command line alone.
    pub adhoc: Option<AdHoc>,
    /// In the order in which they are asked for.
    pub arguments: &'static [Argument],
    /// Who may.
    pub permission: Permission,
    /// What to ask before it is done, for acts that cannot be taken back.
    pub confirm: Option<&'static str>,
    /// Whether it is written down who did it: what changes something, or looks into what is somebody's own.
    pub audited: bool,
}

/// How a command looks as an ad-hoc command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdHoc {
    /// The node that names it.
    pub node: &'static str,
    /// The FORM_TYPE of its form (XEP-0068); empty for none.
    pub form_type: &'static str,
    /// Names of facts and columns, and the fields they become: a fact one field, a column a field with all its values.
    /// Columns beside one that is named here are left out; without any, rows become a table.
    pub results: &'static [(&'static str, &'static str)],
}

/// One argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether the command needs it.
    pub required: bool,
    /// Its name in a form (XEP-0068), where that is another.
    pub field: Option<&'static str>,
    /// Whether forms ask for it.
    pub in_form: bool,
}

impl Argument {
    /// One the command needs.
    pub const fn needed(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Argument {
            name,
            doc,
            kind,
            required: true,
            field: None,
            in_form: true,
        }
    }

    /// One that may be left out.
    pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Argument {
            required: false,
            ..Argument::needed(name, kind, doc)
        }
    }

    /// With this name in a form.
    pub const fn field(self, name: &'static str) -> Self {
        Argument {
            field: Some(name),
            ..self
        }
    }

    /// Not for forms: they show the whole of what it is a part of.
    pub const fn line_only(self) -> Self {
        Argument {
            in_form: false,
            ..self
        }
    }

    /// Its name in a form.
    pub fn var(&self) -> &'static str {
        self.field.unwrap_or(self.name)
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bare JID of this server.
    Account,
    /// Bare JIDs of this server.
    Accounts,
    /// Bare or full JIDs of this server: all sessions of an account, or one.
    Sessions,
    /// Bare JIDs, of this server or of others.
    Addresses,
    /// JIDs of any form: accounts, domains, and single resources of either.
    Entities,
    /// A domain of this server. In an ad-hoc command it is the one that was asked.
    Host,
    /// Domains, of this server or of others.
    Domains,
    /// One line of text.
    Text,
    /// Text of several lines.
    Lines,
    /// A file that whoever asks puts what the act makes into, or "-" for standard output. The server never opens it.
    Output,
    /// A file that the server reads; whoever asks gives its whole path.
    Input,
    /// A secret: asked for without echo, never on a command line, never logged.
    Password,
    /// The secret of this name once more; forms have it, the command line asks twice by itself.
    Again(&'static str),
    /// Yes or no.
    Flag,
    /// A whole number.
    Number {
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// One of these words; each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// Some of these words; each with what it means.
    Choices(&'static [(&'static str, &'static str)]),
}

impl Kind {
    /// Whether it may have several values.
    pub fn is_multi(self) -> bool {
        matches!(
            self,
            Kind::Accounts
                | Kind::Sessions
                | Kind::Addresses
                | Kind::Entities
                | Kind::Domains
                | Kind::Choices(_)
        )
    }
}

/// Who may do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody who can reach the host.
    Anyone,
    /// Every account of the host, for itself: the caller's address says which it is. And administrators, who
    /// name the account.
    User,
    /// Administrators of the host that it is asked of or that the arguments name, and of the server.
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
    /// Nothing.
    None,
}

/// Who asks for an act.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As it is logged.
    pub name: String,
    /// The address, for who asks over XMPP.
    pub jid: Option<Jid>,
    /// What the caller may administer.
    pub rights: Rights,
}

/// A command asked for, with its arguments checked and its permission given.
#[derive(Debug)]
pub struct Call {
    /// The arguments.
    pub args: Args,
    /// Who asks.
    pub caller: Caller,
    /// The host it is asked of: for a module's command its own, for the server's own `None` if all are meant.
    pub host: Option<Jid>,
    /// Where it says what it has to say.
    pub report: Report,
}

/// What a command does.
pub type Handler = Arc<dyn Fn(Call) -> Act<'static, ()> + Send + Sync>;

/// What a form shows before anything was filled in, for a host and for who asks.
pub type Fill = Arc<dyn Fn(Jid, Caller) -> Act<'static, Given> + Send + Sync>;

/// A command as a host offers it.
#[derive(Clone)]
pub struct Offered {
    /// Its declaration.
    pub command: &'static Command,
    /// What it does.
    pub handler: Handler,
    /// What is there already.
    pub fill: Option<Fill>,
}

impl Offered {
    /// A command with what it does.
    pub fn new(
        command: &'static Command,
        handler: impl Fn(Call) -> Act<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Offered {
            command,
            handler: Arc::new(handler),
            fill: None,
        }
    }

    /// With what a form shows before anything was filled in.
    #[must_use]
    pub fn filled(
        mut self,
        fill: impl Fn(Jid, Caller) -> Act<'static, Given> + Send + Sync + 'static,
    ) -> Self {
        self.fill = Some(Arc::new(fill));
        self
    }
}

impl Command {
    /// What the administrators of a host may do there, written down; as an ad-hoc command under `node`.
    pub const fn of_host(
        name: &'static str,
        doc: &'static str,
        node: &'static str,
        arguments: &'static [Argument],
        confirm: Option<&'static str>,
    ) -> Command {
        Command {
            name,
            doc,
            adhoc: Some(AdHoc {
                node,
                form_type: "",
                results: &[],
            }),
            arguments,
            permission: Permission::Host,
            confirm,
            audited: true,
        }
    }

    /// Whether this caller may ask a host for it, whatever the arguments. `host` is `None` when all hosts are meant.
    pub fn may(&self, caller: &Caller, host: Option<&str>) -> bool {
        match (self.permission, &caller.rights) {
            (Permission::Anyone, _) => true,
            (_, Rights::Server) => true,
            (Permission::Host | Permission::User, Rights::Host(own))
                if host.is_some_and(|host| host == own) =>
            {
                true
            }
            (Permission::User, _) => caller.jid.as_ref().is_some_and(|jid| {
                jid.node().is_some() && host.is_some_and(|host| host == jid.domain())
            }),
            (Permission::Host | Permission::Server, _) => false,
        }
    }

    /// Whether this caller may do it with these arguments.
    ///
    /// # Errors
    /// [`ActError::Forbidden`].
    pub fn permitted(
        &self,
        args: &Args,
        caller: &Caller,
        host: Option<&str>,
    ) -> Result<(), ActError> {
        let mut named = args.hosts();
        // Without a host the act concerns every host.
        let of = host.or_else(|| args.hosts().next());
        let own = match &caller.rights {
            Rights::Host(own) if self.permission != Permission::Server => {
                named.all(|host| host == own)
            }
            // For itself alone.
            Rights::None if self.permission == Permission::User => {
                let own = caller.jid.as_ref().map(Jid::bare);
                args.accounts().all(|account| Some(account) == own.as_ref())
            }
            _ => true,
        };
        if own && self.may(caller, of) {
            Ok(())
        } else {
            Err(ActError::Forbidden)
        }
    }
}
