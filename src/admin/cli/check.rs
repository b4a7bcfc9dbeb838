//! `waxwing check`: what is wrong, or will be, in plain words.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::{Common, Program, configuration, machine, print, server_runs};
use crate::admin::finding::{Finding, Level};
use crate::admin::lookup::look_up;
use crate::admin::publish::{self, Wanted};
use crate::config::{Loaded, effective};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print every value in force and where it was written, instead of checking.
    #[arg(long)]
    explain: bool,
    /// Ask nobody on the network: what the DNS says is not looked at.
    #[arg(long)]
    offline: bool,
    /// Ask this DNS server instead of those of the system.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "offline")]
    resolver: Option<SocketAddr>,
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
    let mut findings = findings(program, &loaded);
    for finding in &findings {
        show(finding, common.json);
    }
    let wanted = publish::wanted(&loaded.config);
    let found = published(&wanted, options);
    for finding in &found {
        show(finding, common.json);
    }
    if !wanted.is_empty() {
        show_records(&wanted, common.json);
    }
    findings.extend(found);
    if findings.iter().any(|finding| finding.level == Level::Error) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// What is published of what should be; nothing when nobody is to be asked.
fn published(wanted: &[Wanted], options: &Options) -> Vec<Finding> {
    if wanted.is_empty() || options.offline {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(look_up(wanted, options.resolver)));
    match answer {
        Ok(published) => publish::compare(wanted, &published),
        Err(why) => {
            let text = format!("DNS: nothing can be looked up: {why}");
            vec![Finding::new(Level::Warning, text)]
        }
    }
}

fn show_records(wanted: &[Wanted], json: bool) {
    if json {
        for line in wanted.iter().map(Wanted::to_string) {
            print::out(&format!("{}\n", serde_json::json!({ "record": line })));
        }
        return;
    }
    print::out(
        "\nRecords for the DNS, with the name of the server in the place of the last one if it has its own:\n",
    );
    for record in wanted {
        print::out(&format!("{record}\n"));
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
    let rows = values.map(|(key, value)| {
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
    findings.push(machine::clock(&loaded.files));
    let running = server_runs(loaded);
    if running {
        findings.push(Finding::new(
            Level::Note,
            "the server is running; what it holds open is not checked",
        ));
    } else {
        findings.extend(machine::data_dir(&loaded.config.server.data_dir));
        findings.extend(machine::ports(loaded));
    }
    findings.push(machine::descriptors(loaded.config.limits.connections.total));
    let store = loaded.config.in_data_dir(&loaded.config.store.path);
    findings.extend(machine::free_space(&store, loaded.config.store.reserve));
    findings.extend(program.check_certificates(loaded));
    findings.extend(program.check_relay(loaded, running));
    if !running {
        findings.push(program.check_store(loaded));
    }
    findings
}
