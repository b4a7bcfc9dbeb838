//! Simulated power cuts for the default engine. A child writes under strace, which records every change to its files; the record
//! is then played back up to a random moment. What was synced by then survives; of the pages written since the last sync of their
//! file, none or a random half. Creations, renames, removals and lengths survive in their order, as on a journaling file system.

use crate::store_crash::{Acknowledged, COUNT, options, random, started};
use crate::store_faults::close;
use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use waxwing::runtime::clock::Clock;
use waxwing::store::{EngineKind, Store};

const PAGE: u64 = 4096;

/// One file, whatever its names.
#[derive(Clone, Default)]
struct File {
    length: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    /// Pages written since the last sync: when, and what was there before.
    unsynced: BTreeMap<u64, (usize, Vec<u8>)>,
}

impl File {
    fn write(&mut self, mut at: u64, mut bytes: &[u8], event: usize) {
        self.length = self.length.max(at + bytes.len() as u64);
        while !bytes.is_empty() {
            let (page, offset) = (at / PAGE, (at % PAGE) as usize);
            let now = bytes.len().min(PAGE as usize - offset);
            let content = self
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE as usize]);
            self.unsynced
                .entry(page)
                .or_insert_with(|| (event, content.clone()))
                .0 = event;
            content[offset..offset + now].copy_from_slice(&bytes[..now]);
            (at, bytes) = (at + now as u64, &bytes[now..]);
        }
    }

    fn truncate(&mut self, length: u64) {
        self.length = length;
        let kept = |page: &u64| page * PAGE < length;
        self.pages.retain(|page, _| kept(page));
        self.unsynced.retain(|page, _| kept(page));
        if let Some(page) = self.pages.get_mut(&(length / PAGE)) {
            page[(length % PAGE) as usize..].fill(0);
        }
    }

    /// What is on the medium after the cut.
    fn survive(&self, path: &Path, some: bool) {
        let mut file = std::fs::File::create(path).unwrap();
        for (page, content) in &self.pages {
            let old = self
                .unsynced
                .get(page)
                .filter(|_| !some || random().is_multiple_of(2));
            file.seek(SeekFrom::Start(page * PAGE)).unwrap();
            file.write_all(old.map_or(content, |(_, old)| old)).unwrap();
        }
        file.set_len(self.length).unwrap();
    }
}

/// The machine's files as the record goes on.
#[derive(Default)]
struct Machine {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    directories: Vec<String>,
    /// Descriptor → file, position, whether it appends.
    open: BTreeMap<u64, (usize, u64, bool)>,
    /// When each thread's running sync began.
    syncing: BTreeMap<String, usize>,
}

impl Machine {
    /// Plays one call. `began` says that only its beginning is known.
    fn play(&mut self, thread: &str, call: &str, event: usize, began: bool) {
        let (name, rest) = call.split_once('(').unwrap();
        let result = rest
            .rsplit_once(" = ")
            .and_then(|(_, result)| result.split_whitespace().next()?.parse::<u64>().ok());
        let strings: Vec<Vec<u8>> = rest.split('"').skip(1).step_by(2).map(unescape).collect();
        let text = |n: usize| String::from_utf8(strings[n].clone()).unwrap();
        let number = |n: usize| {
            rest.split([',', ')'])
                .nth(n)
                .and_then(|part| part.trim().parse::<u64>().ok())
        };
        match (name, result) {
            // A write may reach the medium as soon as it has begun.
            ("write", _) if began || result.is_some() => {
                let Some((file, at, append)) = self.open.get_mut(&number(0).unwrap()) else {
                    return;
                };
                let file = &mut self.files[*file];
                let from = if *append { file.length } else { *at };
                file.write(from, &strings[0], event);
                *at = from + strings[0].len() as u64;
            }
            ("fsync" | "fdatasync", _) if began => {
                _ = self.syncing.insert(thread.to_owned(), event)
            }
            (_, None) => {}
            ("fsync" | "fdatasync", Some(0)) => {
                let since = self.syncing.remove(thread).unwrap_or(event);
                if let Some((file, ..)) = self.open.get(&number(0).unwrap()) {
                    self.files[*file]
                        .unsynced
                        .retain(|_, (when, _)| *when > since);
                }
            }
            ("openat", Some(fd)) => {
                let name = text(0);
                let new = self.files.len();
                let file = match self.names.get(&name) {
                    Some(file) => *file,
                    None if rest.contains("O_CREAT") => {
                        self.files.push(File::default());
                        self.names.insert(name, new);
                        new
                    }
                    None => {
                        self.open.remove(&fd);
                        return;
                    }
                };
                if rest.contains("O_TRUNC") {
                    self.files[file].truncate(0);
                }
                self.open.insert(fd, (file, 0, rest.contains("O_APPEND")));
            }
            ("lseek", Some(to)) => {
                if let Some((_, at, _)) = self.open.get_mut(&number(0).unwrap()) {
                    *at = to;
                }
            }
            ("ftruncate", Some(0)) => {
                if let Some((file, ..)) = self.open.get(&number(0).unwrap()) {
                    self.files[*file].truncate(number(1).unwrap());
                }
            }
            ("rename" | "renameat" | "renameat2", Some(0)) => {
                if let Some(file) = self.names.remove(&text(0)) {
                    self.names.insert(text(1), file);
                }
            }
            ("unlink" | "unlinkat", Some(0)) => _ = self.names.remove(&text(0)),
            ("mkdir", Some(0)) => self.directories.push(text(0)),
            _ => {}
        }
    }

    /// Lays out what survives of everything below `from`, below `to`.
    fn survive(&self, from: &str, to: &Path, some: bool) {
        let target = |name: &str| Some(to.join(name.strip_prefix(from)?.trim_start_matches('/')));
        std::fs::create_dir_all(to).unwrap();
        for directory in self.directories.iter().filter_map(|name| target(name)) {
            std::fs::create_dir_all(directory).unwrap();
        }
        for (name, file) in &self.names {
            if let Some(path) = target(name) {
                self.files[*file].survive(&path, some);
            }
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The record's calls in order: thread, call, whether only its beginning.
fn calls(record: &str) -> Vec<(&str, String, bool)> {
    let mut calls = Vec::new();
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    for line in record.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(beginning) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning);
            calls.push((thread, beginning.to_owned(), true));
        } else if let Some((_, end)) = call
            .strip_prefix("<... ")
            .and_then(|rest| rest.split_once("resumed>"))
        {
            let beginning = begun.remove(thread).unwrap();
            // The write itself was played when it began.
            if !beginning.starts_with("write(") {
                calls.push((thread, format!("{beginning}{end}"), false));
            }
        } else {
            calls.push((thread, call.to_owned(), false));
        }
    }
    calls
}

const TRACED: &str = "trace=openat,write,pwrite64,writev,pwritev,lseek,ftruncate,fallocate,copy_file_range,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir";

#[test]
fn a_power_cut_loses_nothing_acknowledged_on_fjall() {
    let dir = tempfile::tempdir().unwrap();
    let (live, trace) = (dir.path().join("live"), dir.path().join("trace"));
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-xx",
        "-s",
        "4000000",
        "-e",
        "signal=none",
        "-e",
        TRACED,
        "-o",
    ]);
    strace.arg(&trace).arg(std::env::current_exe().unwrap());
    let mut command = started(strace, EngineKind::Fjall, &live, 0);
    let ended = command.env(COUNT, "1500").stdout(Stdio::null()).status();
    if !ended.is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED: power cuts are simulated from a record of strace, which does not run here"
        );
        return;
    }
    let record = std::fs::read_to_string(&trace).unwrap();
    let calls = calls(&record);
    let unplayed = [
        "pwrite64(",
        "writev(",
        "pwritev(",
        "fallocate(",
        "copy_file_range(",
    ];
    assert!(
        !calls
            .iter()
            .any(|(_, call, _)| unplayed.iter().any(|name| call.starts_with(name))),
        "the engine writes in a way this does not play back"
    );
    let opened = calls
        .iter()
        .position(|(_, call, _)| said(call).is_some())
        .unwrap();
    let mut cuts: Vec<usize> = (0..cuts())
        .map(|_| opened + random() as usize % (calls.len() - opened))
        .collect();
    cuts.sort();
    let (mut machine, mut acknowledged) = (Machine::default(), Acknowledged::default());
    let mut played = 0;
    for (n, cut) in cuts.iter().enumerate() {
        for (event, (thread, call, began)) in calls.iter().enumerate().take(*cut).skip(played) {
            said(call)
                .iter()
                .for_each(|line| acknowledged.durable_only(line));
            machine.play(thread, call, event, *began);
        }
        played = *cut;
        let victim = dir.path().join(format!("victim{n}"));
        machine.survive(live.to_str().unwrap(), &victim, n % 2 == 0);
        let store = Store::open(options(EngineKind::Fjall, &victim), Clock::system()).unwrap();
        acknowledged.check(&store);
        close(store);
        std::fs::remove_dir_all(&victim).unwrap();
    }
    println!(
        "fjall: {} power cuts, up to {} acknowledged, none lost",
        cuts.len(),
        acknowledged.count()
    );
    assert!(acknowledged.count() > 0);
}

/// Few in an ordinary run; set the variable for a long one.
fn cuts() -> usize {
    std::env::var("WAXWING_TEST_CUTS").map_or(8, |cuts| cuts.parse().unwrap())
}

/// What the child says in this call, if it does.
fn said(call: &str) -> Option<String> {
    let text = call.strip_prefix("write(1, \"")?.split_once('"')?.0;
    let text = String::from_utf8(unescape(text)).ok()?;
    (text.starts_with("open") || text.starts_with("durable ")).then_some(text)
}
