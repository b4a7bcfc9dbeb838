//! `waxwing check`: what is wrong, or will be, in plain words.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use super::{Common, Program, configuration, print, server_runs};
use crate::admin::finding::{Finding, Level};
use crate::config::{Loaded, effective};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print every value in force and where it was written, instead of checking.
    #[arg(long)]
    explain: bool,
}

/// Checks, and fails when something will not work.
pub fn execute(program: &dyn Program, common: &Common, options: &Options) -> ExitCode {
    let loaded = match configuration(program, common) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if options.explain {
        print::out(&explained(&loaded, common.json));
        return ExitCode::SUCCESS;
    }
    let findings = findings(program, &loaded);
    for finding in &findings {
        show(finding, common.json);
    }
    if findings.iter().any(|finding| finding.level == Level::Error) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn show(finding: &Finding, json: bool) {
    let level = match finding.level {
        Level::Good => "ok",
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    if json {
        print::out(&format!(
            "{}\n",
            serde_json::json!({ "level": level, "text": finding.text })
        ));
    } else {
        print::out(&format!("{level:<8} {}\n", finding.text));
    }
}

fn explained(loaded: &Loaded, json: bool) -> String {
    let values = effective(loaded).into_iter();
    let rows = values.map(|(key, (value, _))| {
        let place = match loaded.origins.get(&key) {
            Some(place) => place.to_string(),
            None => "default".to_owned(),
        };
        (key, value, place)
    });
    if json {
        let lines = rows.map(|(key, value, place)| {
            format!(
                "{}\n",
                serde_json::json!({ "key": key, "value": value, "from": place })
            )
        });
        return lines.collect();
    }
    print::aligned(
        rows.map(|(key, value, place)| vec![format!("{key} = {value}"), format!("# {place}")])
            .collect(),
    )
}

fn findings(program: &dyn Program, loaded: &Loaded) -> Vec<Finding> {
    let files: Vec<String> = loaded
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut findings = vec![Finding::new(
        Level::Good,
        format!("configuration: {}", files.join(", ")),
    )];
    let running = server_runs(loaded);
    if running {
        findings.push(Finding::new(
            Level::Note,
            "the server is running; what it holds open is not checked",
        ));
    } else {
        findings.extend(data_dir(&loaded.config.server.data_dir));
        findings.extend(ports(loaded));
    }
    findings.push(descriptors(loaded.config.limits.connections.total));
    findings.extend(program.check_certificates(loaded));
    if !running {
        findings.push(program.check_store(loaded));
    }
    findings
}

fn data_dir(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::new(
                Level::Note,
                format!("the data directory {shown} is not there yet; the server makes it"),
            )];
        }
        Err(error) => {
            return vec![Finding::new(
                Level::Error,
                format!("the data directory {shown} cannot be read: {error}"),
            )];
        }
    };
    let mut findings = Vec::new();
    if !metadata.is_dir() {
        findings.push(Finding::new(
            Level::Error,
            format!("the data directory {shown} is not a directory"),
        ));
    }
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        let text = format!(
            "the data directory {shown} belongs to uid {owner}, this is uid {own}; run the server and this check as its owner, or `chown -R` it"
        );
        findings.push(Finding::new(Level::Error, text));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!(
            "others may look into the data directory {shown} (mode {mode:o}): chmod 700 {shown}"
        );
        findings.push(Finding::new(Level::Warning, text));
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            Level::Good,
            format!("data directory: {shown}"),
        ));
    }
    findings
}

fn ports(loaded: &Loaded) -> Vec<Finding> {
    // Grouped, so that [::] and 0.0.0.0 on one port are tried one after the other, not against each other.
    let mut addresses = BTreeMap::new();
    for listen in &loaded.config.listen {
        addresses.insert(listen.address, listen.kind);
    }
    let findings = addresses.into_iter().map(|(address, kind)| match TcpListener::bind(address) {
        Ok(_) => Finding::new(Level::Good, format!("{address} is free for {kind} connections")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::new(Level::Error, format!("{address} is in use by another program; find it with: ss -ltnp 'sport = :{}'", address.port()))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::new(Level::Error, format!("this user may not listen on {address}; ports below 1024 need the capability CAP_NET_BIND_SERVICE"))
        }
        Err(error) => Finding::new(Level::Error, format!("cannot listen on {address}: {error}")),
    });
    findings.collect()
}

/// Descriptors that the server needs besides those of its connections.
const OTHER_DESCRIPTORS: u64 = 256;

fn descriptors(connections: u32) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    match limit.maximum {
        Some(maximum) if maximum < needed => {
            let text = format!(
                "this process may open {maximum} files, limits.connections.total needs {needed}: more connections will wait. Raise LimitNOFILE (systemd) or ulimit -n"
            );
            Finding::new(Level::Warning, text)
        }
        _ => Finding::new(
            Level::Good,
            format!("open files: {needed} needed at most, allowed"),
        ),
    }
}
