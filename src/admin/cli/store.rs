//! `waxwing restore` and `waxwing store copy`: a store is made anew while no server runs.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::print::Printer;
use super::{Common, Program, configuration, make_data_dir};
use crate::config::Loaded;
use crate::hooks::command::Line;
use crate::store::{self, Copied, EngineKind, Options};

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup; - is standard input
    file: PathBuf,
}

/// What is done to the store.
#[derive(Debug, clap::Subcommand)]
pub enum Act {
    /// Copy the store, to another engine for example; the server must not run
    Copy(Copy),
}

/// Arguments of `store copy`.
#[derive(Debug, clap::Args)]
pub struct Copy {
    /// The engine of the copy: fjall or sled
    #[arg(long, value_name = "ENGINE", value_parser = engine)]
    to: EngineKind,
    /// A new directory for it [default: the store's, with the engine's name behind it]
    path: Option<PathBuf>,
}

fn engine(name: &str) -> Result<EngineKind, String> {
    name.parse()
}

const MIB: u64 = 1 << 20;

/// Restores a backup.
pub fn restore(program: &dyn Program, common: &Common, options: &Restore) -> ExitCode {
    on_the_store(program, common, |printer, place| {
        let (source, total): (Box<dyn Read>, _) = if options.file == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let name = options.file.display();
            let file = File::open(&options.file).map_err(|error| format!("{name}: {error}"))?;
            let bytes = file.metadata().ok().filter(|metadata| metadata.is_file());
            (Box::new(file), bytes.map(|bytes| bytes.len()))
        };
        let source = BufReader::with_capacity(1 << 20, source);
        let mut progress = Progress::new(printer, "MiB restored", total);
        let restored = store::restore(source, place, |bytes| progress.at(bytes));
        let Copied { records, .. } =
            restored.map_err(|error| format!("nothing was restored: {error}"))?;
        let place = place.path.display();
        Ok(format!("{records} records are now the store in {place}."))
    })
}

/// Does what is to be done to the store.
pub fn execute(program: &dyn Program, common: &Common, act: &Act) -> ExitCode {
    let Act::Copy(options) = act;
    on_the_store(program, common, |printer, from| {
        let to = Options {
            engine: options.to,
            path: options
                .path
                .clone()
                .unwrap_or_else(|| beside(from, options.to)),
            ..from.clone()
        };
        if !from.path.exists() {
            return Err(format!("there is no store in {}", from.path.display()));
        }
        let mut progress = Progress::new(printer, "MiB copied", None);
        let copied = store::copy(from, &to, |so_far| {
            progress.at(so_far.bytes);
        });
        let Copied { records, .. } = copied.map_err(|error| error.to_string())?;
        let path = std::path::absolute(&to.path).unwrap_or(to.path);
        Ok(format!(
            "{records} records are copied. To use the copy, set in [store]: engine = \"{}\", path = {:?}",
            to.engine, path
        ))
    })
}

fn beside(from: &Options, engine: EngineKind) -> PathBuf {
    let mut name = from.path.clone().into_os_string();
    name.push(format!("-{engine}"));
    PathBuf::from(name)
}

/// Does work on the files of the store while no server has it open.
fn on_the_store(
    program: &dyn Program,
    common: &Common,
    work: impl FnOnce(&mut Printer, &Options) -> Result<String, String>,
) -> ExitCode {
    let loaded = match configuration(program, common) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut printer = Printer::new(common.json);
    let done = stopped(&loaded).and_then(|()| work(&mut printer, &program.store(&loaded)));
    let (last, code) = match done {
        Ok(text) => {
            let _ = printer.line(Line::Said(text));
            (Line::Done, ExitCode::SUCCESS)
        }
        Err(text) => {
            let kind = "failed".to_owned();
            (Line::Failed { kind, text }, ExitCode::FAILURE)
        }
    };
    let _ = printer.line(last);
    code
}

fn stopped(loaded: &Loaded) -> Result<(), String> {
    if super::server_runs(loaded) {
        return Err("the server is running; stop it first".to_owned());
    }
    make_data_dir(&loaded.config.server.data_dir)
}

/// Shows how far it is, MiB by MiB.
struct Progress<'a> {
    printer: &'a mut Printer,
    text: &'static str,
    total: Option<u64>,
    told: u64,
}

impl<'a> Progress<'a> {
    fn new(printer: &'a mut Printer, text: &'static str, total: Option<u64>) -> Self {
        Progress {
            printer,
            text,
            total: total.map(|total| total / MIB),
            told: 0,
        }
    }

    fn at(&mut self, bytes: u64) -> bool {
        let done = bytes / MIB;
        if std::mem::replace(&mut self.told, done) != done {
            let (text, total) = (self.text.to_owned(), self.total);
            let _ = self.printer.line(Line::Progress { text, done, total });
        }
        true
    }
}
