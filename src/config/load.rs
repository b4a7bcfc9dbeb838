//! Loads a configuration: defaults → file → `conf.d/*.toml` beside it → environment → `--set`. Later layers win, key by key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::check::{self, Checked, Origins};
use super::layer::{self, Node};
use super::merge;
use super::modules::ModuleSettings;
use super::problem::{Place, Problem, Problems};
use super::rules;
use super::tree::Config;

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The main file; without it only the other layers count.
    pub file: Option<PathBuf>,
    /// Environment variables, all of them; those of others are ignored.
    pub environment: Vec<(String, String)>,
    /// `section.key=value` arguments.
    pub sets: Vec<String>,
}

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each value that is not a default was written, by dotted key.
    pub origins: Origins,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// The modules it was checked against.
    pub modules: Vec<ModuleSettings>,
    /// What it was loaded from.
    pub request: Request,
}

/// Loads and checks everything.
///
/// # Errors
/// All mistakes that were found, in the order of the layers.
pub fn load(request: &Request, modules: &[ModuleSettings]) -> Result<Loaded, Problems> {
    let (nodes, files, mut problems) = layers(request);
    let mut merged = Vec::new();
    let mut origins = Origins::new();
    for node in &nodes {
        let Checked {
            table,
            origins: places,
            problems: found,
        } = check::layer(node, modules);
        problems.extend(found);
        overlay(&mut origins, places);
        merged.push(table);
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let config: Config = merge::layers(merged)
        .and_then(|table| {
            table
                .try_into()
                .map_err(|error: toml::de::Error| error.to_string())
        })
        .map_err(|what| {
            Problems(vec![Problem {
                place: Place::Default,
                key: String::new(),
                what,
            }])
        })?;
    let loaded = Loaded {
        config,
        origins,
        files,
        modules: modules.to_vec(),
        request: request.clone(),
    };
    let broken = rules::broken(&loaded);
    if broken.is_empty() {
        Ok(loaded)
    } else {
        Err(Problems(broken))
    }
}

impl Loaded {
    /// Loads the same again, as it is written now.
    ///
    /// # Errors
    /// As [`load`].
    pub fn again(&self) -> Result<Loaded, Problems> {
        load(&self.request, &self.modules)
    }

    /// Where the value of a dotted key was written.
    pub fn place(&self, key: &str) -> &Place {
        self.origins.get(key).unwrap_or(&Place::Default)
    }

    /// Whether a module is on, for a host.
    pub fn module_enabled(&self, host: &str, name: &str) -> bool {
        let written = self.module_table(Some(host), name);
        let written = written.get("enabled").and_then(toml::Value::as_bool);
        let default = self.modules.iter().find(|module| module.name == name);
        written.unwrap_or(default.is_some_and(|module| module.on_by_default))
    }

    /// A module's own settings: those of `[modules.NAME]`, overridden key by key by the host's.
    ///
    /// # Errors
    /// What the module's type says about them.
    pub fn module<C: DeserializeOwned>(&self, host: Option<&str>, name: &str) -> Result<C, String> {
        let mut table = self.module_table(host, name);
        table.remove("enabled");
        table
            .try_into()
            .map_err(|error: toml::de::Error| error.message().to_owned())
    }

    /// As [`Loaded::module`], as it stands, with `enabled`.
    pub(super) fn module_table(&self, host: Option<&str>, name: &str) -> toml::Table {
        let global = self.config.modules.0.get(name).cloned().unwrap_or_default();
        let own = host
            .and_then(|host| self.config.hosts.get(host))
            .and_then(|host| host.modules.0.get(name));
        merge::over(global, own.cloned().unwrap_or_default())
    }
}

/// Later places win; a list replaces the whole earlier list.
fn overlay(origins: &mut Origins, later: Origins) {
    let lists: Vec<&str> = later
        .keys()
        .filter_map(|key| key.split_once('['))
        .map(|(list, _)| list)
        .collect();
    origins.retain(|key, _| {
        !key.split_once('[')
            .is_some_and(|(list, _)| lists.contains(&list))
    });
    origins.extend(later);
}

fn layers(request: &Request) -> (Vec<Node>, Vec<PathBuf>, Vec<Problem>) {
    let mut nodes = Vec::new();
    let mut problems = Vec::new();
    let mut files = Vec::new();
    if let Some(file) = &request.file {
        files.push(file.clone());
        match drop_ins(file) {
            Ok(more) => files.extend(more),
            Err(problem) => problems.push(problem),
        }
    }
    for file in &files {
        match read(file) {
            Ok(node) => nodes.push(node),
            Err(found) => problems.extend(found),
        }
    }
    let mut environment: Vec<_> = request.environment.iter().collect();
    environment.sort();
    nodes.extend(
        environment
            .into_iter()
            .filter_map(|(name, value)| layer::environment(name, value)),
    );
    for set in &request.sets {
        match layer::argument(set) {
            Ok(node) => nodes.push(node),
            Err(problem) => problems.push(problem),
        }
    }
    (nodes, files, problems)
}

/// `conf.d/*.toml` beside the file, sorted by name.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, Problem> {
    let directory = file.parent().unwrap_or(Path::new("")).join("conf.d");
    let unreadable = |error: std::io::Error| problem_with(&directory, &error);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<Node, Vec<Problem>> {
    let bytes = std::fs::read(file).map_err(|error| vec![problem_with(file, &error)])?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|byte| **byte == b'\n')
            .count();
        vec![Problem {
            place: Place::File(file.to_owned(), line),
            key: String::new(),
            what: "not UTF-8 text; save the file as UTF-8".to_owned(),
        }]
    })?;
    layer::file(file, &text)
}

fn problem_with(path: &Path, error: &std::io::Error) -> Problem {
    let what = match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; name another with --config, make one with `waxwing init DOMAIN`, or try `waxwing quickstart`"
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            "may not be read by this user; change its owner or mode".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    };
    Problem {
        place: Place::File(path.to_owned(), 0),
        key: String::new(),
        what,
    }
}
