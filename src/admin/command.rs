//! The server's own commands: declarations bound to what they do.

use std::sync::Arc;

use super::acts::Acts;
use crate::config::nearest;
use crate::hooks::command::{
    Act, ActError, AdHoc, Args, Call, Caller, Command, Given, Offered, Report,
};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::act::run;

/// A command of the server itself.
pub struct Builtin {
    /// Its declaration.
    pub command: Command,
    /// What it does.
    pub handler: for<'a> fn(&'a Call, &'a dyn Acts) -> Act<'a, ()>,
    /// What its form shows before anything was filled in.
    pub fill: Option<Beforehand>,
}

/// What is there already, for a host.
pub type Beforehand = for<'a> fn(&'a Jid, &'a dyn Acts) -> Act<'a, Given>;

impl Builtin {
    /// One with nothing to show beforehand.
    pub const fn new(
        command: Command,
        handler: for<'a> fn(&'a Call, &'a dyn Acts) -> Act<'a, ()>,
    ) -> Self {
        Builtin {
            command,
            handler,
            fill: None,
        }
    }

    /// The command over these acts.
    pub fn over(&'static self, acts: &Arc<dyn Acts>) -> Offered {
        let known = acts.clone();
        let offered = Offered::new(&self.command, move |call| {
            let acts = known.clone();
            Box::pin(async move { (self.handler)(&call, &*acts).await })
        });
        let Some(fill) = self.fill else {
            return offered;
        };
        let acts = acts.clone();
        offered.filled(move |host, _| {
            let acts = acts.clone();
            Box::pin(async move { fill(&host, &*acts).await })
        })
    }
}

/// How a command of XEP-0133 looks as an ad-hoc command.
pub const fn admin(node: &'static str, results: &'static [(&'static str, &'static str)]) -> AdHoc {
    AdHoc {
        node,
        form_type: ns::ADMIN,
        results,
    }
}

/// Does what was asked for on the control socket or the command line: a command of the server or of a module.
///
/// # Errors
/// The act's; [`ActError::Bad`] for a command or arguments that cannot be.
pub async fn ask(
    name: &str,
    given: &Given,
    caller: &Caller,
    acts: &Arc<dyn Acts>,
    report: &Report,
) -> Result<(), ActError> {
    let (offered, host) = find(name, given, acts)?;
    run(&offered, given, caller, host.as_ref(), report, acts.audit()).await
}

fn find(
    name: &str,
    given: &Given,
    acts: &Arc<dyn Acts>,
) -> Result<(Offered, Option<Jid>), ActError> {
    if let Some(builtin) = super::builtins().find(|builtin| builtin.command.name == name) {
        let args = Args::read(&builtin.command, given)?;
        let host = args.text("host").and_then(|host| Jid::parse(host).ok());
        return Ok((builtin.over(acts), host));
    }
    let of_modules = acts.commands();
    let mut named = of_modules
        .iter()
        .filter(|(_, offered)| offered.command.name == name);
    let Some((_, first)) = named.clone().next() else {
        let modules = of_modules.iter().map(|(_, offered)| offered.command.name);
        let names = super::commands().map(|command| command.name).chain(modules);
        let near = nearest(name, names).map(|near| format!("; did you mean {near}?"));
        let near = near.unwrap_or_default();
        return Err(ActError::Bad(format!("there is no command {name}{near}")));
    };
    let args = Args::read(first.command, given)?;
    let found = match args.hosts().next() {
        Some(host) => named.clone().find(|(known, _)| known.domain() == host),
        None if named.clone().count() == 1 => named.next(),
        None => None,
    };
    let (host, offered) = found.ok_or_else(|| {
        let known: Vec<&str> = named.map(|(host, _)| host.as_str()).collect();
        ActError::Bad(format!(
            "say which domain: {name} is offered by {}",
            known.join(", ")
        ))
    })?;
    Ok((offered.clone(), Some(host.clone())))
}
