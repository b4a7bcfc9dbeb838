//! `waxwing quickstart`: a server for localhost with two accounts, everything in one directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Common, Program, environment, make_data_dir, password, print, serve};
use crate::admin::log;
use crate::admin::{ActError, Acts, Password};
use crate::config::{Loaded, Request, load};
use crate::proto::jid::Jid;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where everything is kept; made if it is not there. Delete it and nothing is left.
    #[arg(long, value_name = "DIRECTORY", default_value = "waxwing-data")]
    data_dir: PathBuf,
    /// The port on the loopback addresses.
    #[arg(long, default_value_t = 5222)]
    port: u16,
}

const DOMAIN: &str = "localhost";
const USERS: [&str; 2] = ["juliet", "romeo"];
/// Passwords by account name, so that a second run shows the same.
const PASSWORDS: &str = "quickstart-passwords.json";

/// Runs it.
pub fn execute(program: &dyn Program, common: &Common, options: &Options) -> ExitCode {
    let prepared = prepare(program, common, options);
    let (loaded, screen) = match prepared {
        Ok(prepared) => prepared,
        Err(text) => {
            print::error(&text);
            return ExitCode::FAILURE;
        }
    };
    serve::run(program, loaded, Box::new(move || print::out(&screen)))
}

fn prepare(
    program: &dyn Program,
    common: &Common,
    options: &Options,
) -> Result<(Loaded, String), String> {
    let directory = make_directory(&options.data_dir)?;
    let addresses = addresses(options.port)?;
    let loaded = configure(program, common, &directory, &addresses)?;
    log::start(&loaded.config.log);
    let passwords = passwords(&options.data_dir)?;
    let acts = program.acts(&loaded)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime
        .block_on(accounts(&*acts, &passwords))
        .map_err(|error| error.to_string())?;
    drop(acts);
    let fingerprint = program.fingerprint(&loaded, DOMAIN)?;
    let screen = screen(options, &passwords, &fingerprint);
    Ok((loaded, screen))
}

/// The directory as an absolute path, made if it was not there.
fn make_directory(path: &Path) -> Result<PathBuf, String> {
    make_data_dir(path)?;
    path.canonicalize()
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The loopback addresses of this machine on which the port is free.
fn addresses(port: u16) -> Result<Vec<SocketAddr>, String> {
    let mut free = Vec::new();
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let address = SocketAddr::new(ip, port);
        match TcpListener::bind(address) {
            Ok(_) => free.push(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(format!(
                    "something else listens on {address}; try `waxwing quickstart --port {}`",
                    port.wrapping_add(10)
                ));
            }
            // This machine has only one of the two.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(format!("cannot listen on {address}: {error}")),
        }
    }
    if free.is_empty() {
        return Err("this machine has no loopback address to listen on".to_owned());
    }
    Ok(free)
}

/// Writes the configuration into the directory, so that other commands can be given the same, and loads it.
fn configure(
    program: &dyn Program,
    common: &Common,
    directory: &Path,
    addresses: &[SocketAddr],
) -> Result<Loaded, String> {
    let file = directory.join("waxwing.toml");
    let data_dir = toml::Value::String(directory.display().to_string());
    let mut text = format!(
        "# Written by `waxwing quickstart` at every start: copy it before you change it.\n\n\
         [server]\ndata_dir = {data_dir}\n\n\
         [hosts.{DOMAIN}]\n\n\
         [limits.connections]\ntotal = 1000\n\n\
         [log]\nlevel = \"warn,waxwing::net::tls::self_signed=error\"\n"
    );
    for address in addresses {
        text.push_str(&format!("\n[[listen]]\naddress = \"{address}\"\n"));
    }
    fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let request = Request {
        file: Some(file),
        environment: environment(),
        sets: common.set.clone(),
    };
    load(&request, &program.modules()).map_err(|problems| problems.to_string())
}

/// The passwords of an earlier run, or new ones.
fn passwords(data_dir: &Path) -> Result<BTreeMap<String, String>, String> {
    let path = data_dir.join(PASSWORDS);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::read(&path) {
        Ok(bytes) => return serde_json::from_slice(&bytes).map_err(|error| failed(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&error)),
    }
    let passwords: BTreeMap<String, String> = USERS
        .iter()
        .map(|user| (format!("{user}@{DOMAIN}"), password::generate()))
        .collect();
    let text = serde_json::to_vec_pretty(&passwords).map_err(|error| failed(&error))?;
    let file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let written = file.and_then(|mut file| file.write_all(&text));
    written.map_err(|error| failed(&error))?;
    Ok(passwords)
}

/// Makes the accounts; one that is there already gets the password that is shown.
async fn accounts(acts: &dyn Acts, passwords: &BTreeMap<String, String>) -> Result<(), ActError> {
    for (account, password) in passwords {
        let jid =
            Jid::parse(account).map_err(|error| ActError::Bad(format!("{account}: {error}")))?;
        let password = Password(password.clone());
        match acts.accounts().create(&jid, &password).await {
            Err(ActError::Exists(_)) => acts.accounts().set_password(&jid, &password).await?,
            other => other?,
        }
    }
    Ok(())
}

fn screen(options: &Options, passwords: &BTreeMap<String, String>, fingerprint: &str) -> String {
    let port = options.port;
    let accounts = passwords
        .iter()
        .map(|(account, password)| format!("{account:<20} password  {password}"));
    let accounts = accounts.collect::<Vec<_>>().join("\n               ");
    let (first, second) = fingerprint
        .split_at_checked(fingerprint.len().div_ceil(2))
        .unwrap_or((fingerprint, ""));
    let second = second.trim_start_matches(':');
    let first = first.trim_end_matches(':');
    let directory = options.data_dir.display();
    let user = passwords.keys().next().map_or("", String::as_str);
    format!(
        "
  waxwing {version} is running for this machine. Ctrl-C stops it.

  Accounts     {accounts}
  Server       {DOMAIN}, port {port} (STARTTLS and direct TLS)
  Web clients  wss://{DOMAIN}:{port}/xmpp-websocket (RFC 7395); open https://{DOMAIN}:{port}/ once and
               have the browser accept the certificate
  Certificate  made here for {DOMAIN}; SHA-256 fingerprint:
               {first}
               {second}

  Gajim        Add Account, Log In with {user} and its password.
               If it does not find the server: Advanced Settings, host {DOMAIN}, port {port}.
               It shows the fingerprint above and asks whether to trust it.
  Profanity    /connect {user} server {DOMAIN} port {port} tls trust

  More accounts: {program} --config {directory}/waxwing.toml user add NAME@{DOMAIN}
  Everything is kept in {directory}; the next start shows the same accounts.

",
        version = env!("CARGO_PKG_VERSION"),
        program = std::env::args()
            .next()
            .unwrap_or_else(|| "waxwing".to_owned()),
    )
}
