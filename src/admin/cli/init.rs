//! `waxwing init DOMAIN`: a configuration for a domain of one's own, and what is left to be done.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Common, Program, environment, print};
use crate::admin::publish::{self, Wanted};
use crate::config::{Loaded, Request, load};
use crate::proto::jid::Jid;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The domain, as it stands in the addresses of its people: example.org
    domain: String,
    /// Where accounts and messages are kept [default: /var/lib/waxwing for root, else waxwing-data beside the file]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

/// Where the system keeps it.
const SYSTEM_FILE: &str = "/etc/waxwing/waxwing.toml";
const SYSTEM_DATA: &str = "/var/lib/waxwing";
/// Where certbot puts certificates.
const CERTBOT: &str = "/etc/letsencrypt/live";

/// Writes it.
pub fn execute(program: &dyn Program, common: &Common, options: &Options) -> ExitCode {
    match try_execute(program, common, options) {
        Ok(text) => {
            print::out(&text);
            ExitCode::SUCCESS
        }
        Err(text) => {
            print::error(&text);
            ExitCode::FAILURE
        }
    }
}

fn try_execute(
    program: &dyn Program,
    common: &Common,
    options: &Options,
) -> Result<String, String> {
    let domain = domain(&options.domain)?;
    let root = rustix::process::geteuid().is_root();
    let file = common.config.clone().unwrap_or_else(|| match root {
        true => PathBuf::from(SYSTEM_FILE),
        false => PathBuf::from("waxwing.toml"),
    });
    let data = match &options.data_dir {
        Some(data) => absolute(data)?,
        None if root => PathBuf::from(SYSTEM_DATA),
        None => absolute(file.parent().unwrap_or(Path::new("")))?.join("waxwing-data"),
    };
    write_new(&file, &text(&domain, &data))?;
    let request = Request {
        file: Some(file.clone()),
        environment: environment(),
        sets: common.set.clone(),
    };
    let loaded = load(&request, &program.modules()).map_err(|problems| problems.to_string())?;
    Ok(explained(&domain, &file, &loaded))
}

/// The domain in its one spelling.
fn domain(text: &str) -> Result<String, String> {
    let bad = || format!("\"{text}\" is not a domain; write it as example.org");
    let jid = Jid::parse(text).map_err(|_| bad())?;
    if jid.as_str() != jid.domain() || jid.domain().parse::<std::net::IpAddr>().is_ok() {
        return Err(bad());
    }
    match jid.domain() {
        "localhost" => Err("localhost needs no configuration: try `waxwing quickstart`".to_owned()),
        domain if !domain.contains('.') => Err(bad()),
        domain => Ok(domain.to_owned()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Never over anything that is there.
fn write_new(file: &Path, text: &str) -> Result<(), String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{} is there already and was left as it is; name another file with --config",
            file.display()
        ),
        _ => format!("cannot write {}: {error}", file.display()),
    };
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut new = fs::File::options()
        .write(true)
        .create_new(true)
        .open(file)
        .map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)
}

fn text(domain: &str, data: &Path) -> String {
    let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let live = Path::new(CERTBOT).join(domain);
    let certificate = format!(
        "certificate = {}\nkey = {}\n",
        quoted(&live.join("fullchain.pem")),
        quoted(&live.join("privkey.pem"))
    );
    format!(
        "# Configuration of waxwing for {domain}. Every other key, with its default: waxwing defaults\n\n\
         [server]\ndata_dir = {}\n\n\
         [hosts.\"{domain}\"]\n\
         # PEM files, the certificate with its whole chain; here as certbot makes them.\n{certificate}\n\
         # Other servers can be reached, and reach this one.\n[federation]\nenabled = true\n",
        quoted(data)
    )
}

fn explained(domain: &str, file: &Path, loaded: &Loaded) -> String {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "waxwing".to_owned());
    let program = format!("{program} --config {}", file.display());
    let wanted = publish::wanted(&loaded.config);
    let records: Vec<String> = wanted.iter().map(Wanted::to_string).collect();
    let ascii = publish::ascii(domain);
    let (chain, _) = loaded.config.certificate(domain);
    let there = if chain.exists() {
        "It is there already."
    } else {
        "It is not there yet."
    };
    format!(
        "{file} is written. What is left to be done:

1. Publish these records in the DNS of {domain}. If the server has a name of its own, put it
   in the place of the last {ascii}. of each line:

{records}
{ascii}. 3600 IN A 192.0.2.1    ; the addresses of the server, also as AAAA

2. Get a certificate for {domain}. {there} With certbot, for example:

certbot certonly --standalone -d {ascii} --deploy-hook '{program} reload'

   The user the server runs as must be able to read {chain}.

3. See whether all is well, start the server, and make an account:

{program} check
{program} serve
{program} user add NAME@{domain}
",
        file = file.display(),
        records = records.join("\n"),
        chain = chain.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_one_spelling() {
        assert_eq!(domain("Example.ORG").as_deref(), Ok("example.org"));
        assert_eq!(domain("BÜCHER.example").as_deref(), Ok("bücher.example"));
        for wrong in [
            "",
            "a@b.example",
            "b.example/r",
            "192.0.2.1",
            "example",
            "a b.example",
        ] {
            let error = domain(wrong).err().unwrap_or_default();
            assert!(
                error.contains("write it as example.org"),
                "{wrong}: {error}"
            );
        }
        let error = domain("localhost").err().unwrap_or_default();
        assert!(error.contains("quickstart"), "{error}");
    }
}
