//! Administrative commands on the command line, made from their declarations: done by the running server, or on the store.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use clap::{Arg, ArgAction, ArgMatches, Command as Clap};

use super::{Common, Program, USAGE, configuration, make_data_dir, password, print, prompt};
use crate::admin::acts::Acts;
use crate::admin::client::Client;
use crate::admin::command::ask;
use crate::admin::socket::Request;
use crate::config::Loaded;
use crate::hooks::command::{Argument, Caller, Command, Given, Kind, Line, Report, Rights, Values};

/// A command with what was given on the command line.
#[derive(Debug)]
pub struct Chosen<'a> {
    command: &'static Command,
    matches: &'a ArgMatches,
}

/// Adds `user add` and so on to the command line.
pub fn with_commands(mut cli: Clap, commands: &[&'static Command]) -> Clap {
    let mut groups: Vec<Clap> = Vec::new();
    for command in commands {
        let Some((group, name)) = command.name.split_once(' ') else {
            cli = cli.subcommand(declared(command.name, command));
            continue;
        };
        let clap = declared(name, command);
        if cli.find_subcommand(group).is_some() {
            cli = cli.mut_subcommand(group, |known| known.subcommand(clap));
            continue;
        }
        match groups.iter().position(|known| known.get_name() == group) {
            Some(index) => {
                let known = groups.remove(index).subcommand(clap);
                groups.insert(index, known);
            }
            None => groups.push(
                Clap::new(group)
                    .about(about(group))
                    .subcommand_required(true)
                    .arg_required_else_help(true)
                    .subcommand(clap),
            ),
        }
    }
    for group in groups {
        cli = cli.subcommand(group);
    }
    cli
}

fn about(group: &str) -> &'static str {
    match group {
        "log" => "What is logged",
        "user" => "Accounts: add, list, show, change, remove",
        "admin" => "Who administers",
        "audit" => "Who did what",
        "s2s" => "Other servers: list, test, close",
        "announce" => "Tell something to everybody",
        "motd" => "The message of the day",
        "welcome" => "What new accounts are told",
        "report" => "What people report of spam and abuse",
        "token" => "Tokens for administration over HTTP: add, list, remove",
        "upload" => "Files that people uploaded: list, delete",
        "blacklist" => "With whom nothing is exchanged",
        "whitelist" => "With whom alone something is exchanged",
        _ => "",
    }
}

fn declared(name: &'static str, command: &'static Command) -> Clap {
    let mut clap = Clap::new(name).about(command.doc.trim_end_matches('.'));
    let needed = command.arguments.iter().any(|argument| argument.required);
    let only = command.arguments.len() == 1;
    for argument in command.arguments {
        let by_itself = only || (argument.kind == Kind::Host && !needed);
        clap = clap.args(as_clap(argument, by_itself));
    }
    if command.confirm.is_some() {
        clap = clap.arg(flag("yes", "Do not ask"));
    }
    clap
}

/// What is needed stands by itself; what may be left out has a name, but for one that stands `by_itself`: the only
/// argument, or a host beside which nothing is needed.
fn as_clap(argument: &'static Argument, by_itself: bool) -> Vec<Arg> {
    let help = argument.doc.trim_end_matches('.');
    let arg = Arg::new(argument.name).help(help);
    let arg = match argument.kind {
        Kind::Again(_) => return Vec::new(),
        Kind::Password => {
            let stdin = "Read the password from standard input (its first line)";
            return vec![
                flag("generate", "Make a password and print it"),
                flag("stdin", stdin).conflicts_with("generate"),
            ];
        }
        Kind::Flag => return vec![flag(argument.name, help)],
        Kind::Choice(words) => arg.value_parser(words.iter().map(|(w, _)| *w).collect::<Vec<_>>()),
        kind if kind.is_multi() => arg.num_args(1..).action(ArgAction::Append),
        _ => arg,
    };
    vec![match argument.kind {
        _ if argument.required => arg.required(true),
        _ if by_itself => arg,
        _ => arg.long(argument.name),
    }]
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .action(ArgAction::SetTrue)
}

/// The administrative command that was chosen, if it was one.
pub fn chosen<'a>(matches: &'a ArgMatches, commands: &[&'static Command]) -> Option<Chosen<'a>> {
    let (group, inner) = matches.subcommand()?;
    let (name, matches) = match inner.subcommand() {
        Some((name, matches)) => (format!("{group} {name}"), matches),
        None => (group.to_owned(), inner),
    };
    let command = commands.iter().find(|command| command.name == name)?;
    Some(Chosen { command, matches })
}

/// Does it.
pub fn execute(program: &dyn Program, common: &Common, chosen: &Chosen<'_>) -> ExitCode {
    let loaded = match configuration(program, common) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let given = match given(chosen) {
        Ok(given) => given,
        Err(text) => {
            print::error(&text);
            return ExitCode::from(USAGE);
        }
    };
    let mut printer = print::Printer::new(common.json);
    if let Err(text) = printer.output(&loaded.config, chosen.command, &given.arguments) {
        print::error(&text);
        return ExitCode::FAILURE;
    }
    let done = act(
        program,
        &mut printer,
        &loaded,
        chosen.command,
        given.arguments,
    );
    match done.and_then(|done| printer.finish(done)) {
        Ok(true) => {
            if let Some(password) = given.generated {
                Printing(common.json).password(&password);
            }
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            Printing(common.json).failed(&text);
            ExitCode::FAILURE
        }
    }
}

struct Printing(bool);

impl Printing {
    fn password(&self, password: &str) {
        if self.0 {
            print::out(&format!(
                "{}\n",
                serde_json::json!({ "password": password })
            ));
        } else {
            print::out(&format!("password: {password}\n"));
        }
    }

    fn failed(&self, text: &str) {
        let failed = Line::Failed {
            kind: "failed".to_owned(),
            text: text.to_owned(),
        };
        let _ = print::Printer::new(self.0).line(failed);
    }
}

#[derive(Default)]
struct Answers {
    arguments: Given,
    generated: Option<String>,
}

/// The arguments; asks for a password or a confirmation where that is needed.
fn given(chosen: &Chosen<'_>) -> Result<Answers, String> {
    let mut answers = Answers::default();
    let (command, matches) = (chosen.command, chosen.matches);
    for argument in command.arguments {
        let name = argument.name.to_owned();
        if argument.kind == Kind::Password {
            let password = secret(command, argument, matches, &answers.arguments)?;
            if matches.get_flag("generate") {
                answers.generated = Some(password.clone());
            }
            answers.arguments.insert(name, password.into());
        } else if let Some(values) = values(argument, matches) {
            argument.check(&values).map_err(|error| error.to_string())?;
            answers.arguments.insert(name, values);
        }
    }
    if let Some(warning) = command.confirm
        && !matches.get_flag("yes")
    {
        let first = answers.arguments.values().next();
        let subject = first.map_or_else(|| command.name.to_owned(), |values| values.0.join(", "));
        match prompt::confirmed(&format!("{subject}: {warning}")) {
            Some(true) => {}
            Some(false) => return Err("nothing was done".to_owned()),
            None => return Err(format!("{warning} Give --yes to do it without a terminal.")),
        }
    }
    Ok(answers)
}

/// What was given for an argument.
fn values(argument: &Argument, matches: &ArgMatches) -> Option<Values> {
    match argument.kind {
        Kind::Again(_) | Kind::Password => None,
        Kind::Flag => matches.get_flag(argument.name).then(|| "true".into()),
        Kind::Input => {
            // The server is somewhere else.
            let given = matches.get_one::<String>(argument.name)?;
            let path = std::path::absolute(given).unwrap_or_else(|_| given.into());
            Some(path.to_string_lossy().into_owned().into())
        }
        _ => {
            let given = matches.get_many::<String>(argument.name)?;
            Some(Values(given.cloned().collect()))
        }
    }
}

fn secret(
    command: &Command,
    argument: &Argument,
    matches: &ArgMatches,
    given: &Given,
) -> Result<String, String> {
    if matches.get_flag("generate") {
        return Ok(password::generate());
    }
    if matches.get_flag("stdin") {
        return prompt::password_from_stdin();
    }
    let account = given.get("account").and_then(|values| values.0.first());
    let subject = account.map_or(command.name, String::as_str);
    let typed = prompt::new_password(subject)?;
    typed.ok_or_else(|| {
        format!(
            "there is no terminal to ask for the {}: give --stdin or --generate",
            argument.name
        )
    })
}

/// Whether it was done; an error when it could not even be tried.
fn act(
    program: &dyn Program,
    printer: &mut print::Printer,
    loaded: &Loaded,
    command: &'static Command,
    given: Given,
) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let socket = loaded.config.in_data_dir(&loaded.config.control.socket);
    match runtime.block_on(Client::connect(&socket)) {
        Ok(Some(client)) => {
            runtime.block_on(unless_interrupted(remote(client, command, given, printer)))
        }
        Ok(None) => {
            make_data_dir(&loaded.config.server.data_dir)?;
            let acts = program.acts(loaded)?;
            runtime.block_on(unless_interrupted(local(&acts, command, &given, printer)))
        }
        Err(error) => Err(unreachable_socket(&socket, &error)),
    }
}

fn unreachable_socket(socket: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "{}: only the server's own user and root may administer it; try with sudo",
                socket.display()
            )
        }
        _ => format!("{}: {error}", socket.display()),
    }
}

async fn remote(
    mut client: Client,
    command: &Command,
    arguments: Given,
    printer: &mut print::Printer,
) -> Result<bool, String> {
    let request = Request {
        command: command.name.to_owned(),
        arguments,
    };
    client
        .send(&request)
        .await
        .map_err(|error| error.to_string())?;
    loop {
        let line = client.line().await.map_err(|error| error.to_string())?;
        if let Some(done) = printer.line(line)? {
            return Ok(done);
        }
    }
}

async fn local(
    acts: &Arc<dyn Acts>,
    command: &Command,
    given: &Given,
    printer: &mut print::Printer,
) -> Result<bool, String> {
    let (report, mut lines) = Report::new();
    let uid = rustix::process::geteuid().as_raw();
    let caller = Caller {
        name: format!("uid {uid} (command line)"),
        jid: None,
        rights: Rights::Server,
    };
    let work = async move { ask(command.name, given, &caller, acts, &report).await };
    let show = async {
        let mut shown = Ok(());
        while let (Some(line), Ok(())) = (lines.recv().await, &shown) {
            shown = printer.line(line).map(drop);
        }
        lines.close(); // what interrupts the work if what it makes cannot be kept
        shown
    };
    let (result, shown) = tokio::join!(work, show);
    shown?;
    let last = result.map_or_else(|error| Line::from(&error), |()| Line::Done);
    Ok(printer.line(last)?.unwrap_or(false))
}

/// Lets go of what is under way on SIGINT and SIGTERM, so that what was begun is cleaned up.
async fn unless_interrupted(
    work: impl Future<Output = Result<bool, String>>,
) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("cannot listen for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err("interrupted".to_owned()),
        _ = interrupt.recv() => Err("interrupted".to_owned()),
    }
}
