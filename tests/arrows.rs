//! The borders of the rooms: who may use whom, what is absent, and how long a file may get.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms, each with the rooms it may use, which stand above it. `server` sees everything.
const ROOMS: &[(&str, &[&str])] = &[
    ("runtime", &[]),
    ("metrics", &[]),
    ("xml", &["runtime"]),
    ("proto", &["runtime", "xml"]),
    ("mls", &[]),
    ("config", &["proto"]),
    ("store", &["runtime", "metrics", "proto", "config"]),
    ("stream", &["runtime", "xml", "proto"]),
    (
        "hooks",
        &[
            "runtime", "metrics", "xml", "proto", "config", "store", "stream",
        ],
    ),
    (
        "state",
        &[
            "runtime", "metrics", "xml", "proto", "mls", "config", "store", "stream", "hooks",
        ],
    ),
    ("net", &["runtime", "metrics", "xml", "proto", "stream"]),
    (
        "http",
        &["runtime", "metrics", "xml", "proto", "hooks", "net"],
    ),
    ("relay", &["runtime", "net"]),
    (
        "socks",
        &["runtime", "metrics", "xml", "proto", "hooks", "net"],
    ),
    (
        "session",
        &[
            "runtime", "metrics", "xml", "proto", "store", "stream", "hooks", "state",
        ],
    ),
    (
        "router",
        &[
            "runtime", "metrics", "xml", "proto", "config", "store", "stream", "hooks", "state",
            "session",
        ],
    ),
    (
        "federation",
        &[
            "runtime", "xml", "proto", "config", "metrics", "store", "stream", "hooks", "state",
            "net", "session", "router",
        ],
    ),
    (
        "components",
        &[
            "runtime",
            "metrics",
            "xml",
            "proto",
            "config",
            "store",
            "stream",
            "hooks",
            "state",
            "session",
            "router",
            "federation",
        ],
    ),
    (
        "modules",
        &[
            "runtime", "metrics", "xml", "proto", "mls", "config", "store", "stream", "hooks",
            "state",
        ],
    ),
    (
        "admin",
        &[
            "runtime", "metrics", "xml", "proto", "config", "store", "stream", "hooks", "state",
        ],
    ),
];

/// Rooms without sockets, clocks and `async`, and the words that would betray them.
const PURE: &[&str] = &["xml", "proto", "stream"];
const IMPURE: &[&str] = &["async", "await", "tokio", "Instant::now", "SystemTime"];

/// Macros at the root of the crate, and the rooms they belong to.
const MACROS: &[(&str, &str)] = &[("settings", "config"), ("choice", "config")];

/// Lines of a file, without its tests.
const LONGEST: usize = 900;
const LONG: usize = 500;

/// A source file.
struct Source {
    /// Below the root of the package.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room, for a file under `src`.
    fn room(&self) -> String {
        let part = self.path.components().nth(1).unwrap();
        let name = Path::new(part.as_os_str()).file_stem().unwrap();
        name.to_string_lossy().into_owned()
    }

    /// Whether all of it is tests.
    fn is_test(&self) -> bool {
        let mut parts = self.path.components();
        parts.any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
    }

    /// Code without comments; with `tests`, also its last part, the tests.
    fn code(&self, tests: bool) -> String {
        let lines = self.text.lines().map(|line| match line.find("//") {
            Some(at) => &line[..at],
            None => line,
        });
        let lines = lines.take_while(|line| tests || *line != "mod tests {");
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How many modules deep it is: `src/room/mod.rs` is one.
    fn depth(&self) -> usize {
        let parts = self.path.components().count() - 1;
        if self.path.ends_with("mod.rs") {
            parts - 1
        } else {
            parts
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(Source {
                    text: std::fs::read_to_string(&path).unwrap(),
                    path: path.strip_prefix(root).unwrap().to_owned(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The files of rooms: what is under `src` but for the root of the crate and the binary.
fn room_files() -> Vec<Source> {
    let mut files = sources(&["src"]);
    files.retain(|file| !file.path.ends_with("src/lib.rs") && !file.path.ends_with("src/main.rs"));
    files
}

/// The words of `text` that begin after `prefix`, where `prefix` does not continue another word;
/// `{a::b, c}` gives every word at the top of the braces.
fn words_after(text: &str, prefix: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => words.extend(top_words(list)),
            None => words.push(word(rest)),
        }
    }
    words
}

fn word(text: &str) -> String {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text[..end.unwrap_or(text.len())].to_owned()
}

/// The first word of each item of a list up to its closing brace.
fn top_words(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut words) = (0, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && depth == 0 && !c.is_whitespace() => {
                words.push(word(&list[at..]));
                start = false;
            }
            _ => {}
        }
    }
    words
}

/// Whether a chain of `super::` leads out of the room.
fn climbs_out(file: &Source, code: &str) -> bool {
    let inner = code.find("\nmod tests {").unwrap_or(code.len());
    code.match_indices("super::").any(|(at, _)| {
        let chain = code[at..].split("super::").take_while(|s| s.is_empty());
        let climbed = chain.count();
        climbed >= file.depth() + usize::from(at > inner)
    })
}

fn assert_none(wrong: &[String], what: &str) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    for (at, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let above = ROOMS[..at].iter().any(|(name, _)| name == used);
            assert!(above, "{room} may not use {used}, which stands below it");
        }
    }
}

#[test]
fn every_arrow_is_allowed() {
    let mut wrong = BTreeSet::new();
    for file in room_files() {
        let room = file.room();
        if room == "server" {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.insert(format!(
                "{}: no room {room} in the table",
                file.path.display()
            ));
            continue;
        };
        let code = file.code(true);
        for name in words_after(&code, "crate::") {
            let of_macro = MACROS.iter().find(|(known, _)| *known == name);
            let used = of_macro.map_or(name.as_str(), |(_, room)| room);
            if used != room && !allowed.contains(&used) {
                wrong.insert(format!("{}: {room} → {used}", file.path.display()));
            }
        }
        if climbs_out(&file, &code) {
            wrong.insert(format!("{}: `super` leads out", file.path.display()));
        }
    }
    assert_none(&wrong.into_iter().collect::<Vec<_>>(), "arrows not allowed");
}

/// What a feature may know of another goes through `hooks` and `state`.
#[test]
fn no_module_names_another() {
    let mut wrong = Vec::new();
    for file in room_files().iter().filter(|file| file.room() == "modules") {
        if file.path.ends_with("modules/mod.rs") {
            continue;
        }
        let part = file.path.components().nth(2).unwrap();
        let own = Path::new(part.as_os_str()).file_stem().unwrap();
        let code = file.code(true);
        let named = words_after(&code, "crate::modules::").into_iter();
        let named = named.filter(|name| own.to_str() != Some(name));
        wrong.extend(named.map(|name| format!("{} names {name}", file.path.display())));
        // `super` of a file in this folder is the list itself; of one in a folder below, the feature.
        if file.depth() == 2 && file.code(false).contains("super::") {
            wrong.push(format!("{} names the list", file.path.display()));
        }
    }
    assert_none(&wrong, "modules that name others");
}

#[test]
fn the_pure_rooms_have_no_clock_and_no_async() {
    let mut wrong = Vec::new();
    for file in room_files() {
        if !PURE.contains(&file.room().as_str()) || file.is_test() {
            continue;
        }
        let code = file.code(false);
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        wrong.extend(
            words
                .find(|word| {
                    IMPURE
                        .iter()
                        .any(|i| word == i || word.starts_with(&format!("{i}::")))
                })
                .map(|word| format!("{}: {word}", file.path.display())),
        );
    }
    assert_none(&wrong, "what has no place in a pure room");
}

#[test]
fn no_file_is_too_long() {
    let (mut wrong, mut long) = (Vec::new(), Vec::new());
    for file in room_files().iter().filter(|file| !file.is_test()) {
        let lines = file.code(false).lines().count();
        let line = format!("{}: {lines} lines", file.path.display());
        if lines > LONGEST {
            wrong.push(line);
        } else if lines > LONG {
            long.push(line);
        }
    }
    println!("{} files above {LONG} lines: {long:#?}", long.len());
    assert_none(&wrong, "longer than a reader can bear");
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources(&["src", "tests", "examples", "benches"])
        .iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.display().to_string())
        .collect();
    assert_none(&silent, "without a `//!` on the first line");
}

#[test]
fn words_are_found_in_every_form() {
    let found = |text| words_after(text, "crate::");
    assert_eq!(found("use crate::a::{b, c};"), ["a"]);
    assert_eq!(found("use crate::{a::{x, y}, b, c::z};"), ["a", "b", "c"]);
    assert_eq!(found("f(crate::a::b, crate::c)"), ["a", "c"]);
    assert_eq!(found("$crate::a mycrate::b"), [] as [&str; 0]);
}
