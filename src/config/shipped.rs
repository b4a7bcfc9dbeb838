//! The text of the shipped `config/waxwing.toml`: every key with its documentation, its default, its unit and what is allowed.

use super::modules::ModuleSettings;
use super::schema::{Describe, Key, Section, Shape};
use super::tree::Config;

const HEAD: &str = "\
# Configuration of waxwing. Every key is here with its default; take away the # in front of what you change.
#
# Sizes are written as \"256KiB\", \"10MB\" or a number of bytes; times as \"500ms\", \"30s\", \"5m\", \"12h\" or \"7d\".
# Files in conf.d/ beside this one are read after it, in the order of their names; then environment variables such as
# WAXWING_LIMITS__STREAM__DEPTH=50; then arguments such as --set limits.stream.depth=50. The later one wins.
# `waxwing check` tells what is wrong before you start.
";

/// The whole text.
pub fn text(modules: &[ModuleSettings]) -> String {
    let mut out = Out {
        text: HEAD.to_owned(),
        modules,
    };
    out.section("", &Config::describe(), "");
    out.text
}

struct Out<'a> {
    text: String,
    modules: &'a [ModuleSettings],
}

impl Out<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn doc(&mut self, doc: &[&str]) {
        let paragraphs = doc.split(|line| line.trim().is_empty());
        for paragraph in paragraphs.filter(|lines| !lines.is_empty()) {
            for line in wrapped(&paragraph.join(" ")) {
                self.line(&format!("# {line}"));
            }
        }
    }

    /// Values first, then the sections below. `sign` is "#" inside of what is only an example.
    fn section(&mut self, path: &str, section: &Section, sign: &str) {
        let (values, sections): (Vec<&Key>, Vec<&Key>) = section
            .keys
            .iter()
            .partition(|key| matches!(key.shape, Shape::Leaf(..)));
        for key in values {
            self.value(key);
        }
        for key in sections {
            let path = if path.is_empty() {
                key.name.to_owned()
            } else {
                format!("{path}.{}", key.name)
            };
            match &key.shape {
                Shape::Leaf(..) => {}
                Shape::Section(of) => {
                    let of = of();
                    self.header(&of.doc, &of, &format!("[{path}]"), &path, sign);
                }
                Shape::Named(of) => {
                    let name = if path == "hosts" {
                        "example.org"
                    } else {
                        "irc.example.org"
                    };
                    let path = format!("{path}.\"{name}\"");
                    self.header(&key.doc, &of(), &format!("[{path}]"), &path, "#");
                }
                Shape::List(of) => self.header(&key.doc, &of(), &format!("[[{path}]]"), &path, "#"),
                Shape::Modules => self.module_sections(&key.doc, &path, sign),
            }
        }
    }

    fn header(&mut self, doc: &[&str], section: &Section, header: &str, path: &str, sign: &str) {
        self.line("");
        self.doc(doc);
        self.line(&format!("{sign}{header}"));
        self.section(path, section, sign);
    }

    fn value(&mut self, key: &Key) {
        self.doc(&key.doc);
        let shown = key.default.as_deref().or(key.example).unwrap_or("\"\"");
        let mut note = allowed(key);
        if key.default.is_none() {
            note.push_str("; an example, there is no default");
        }
        if let (Some(_), Some(example)) = (&key.default, key.example) {
            note.push_str(&format!(", for example {example}"));
        }
        if key.restart {
            note.push_str("; needs a restart");
        }
        self.line(&format!("#{} = {shown}  # {note}", key.name));
    }

    fn module_sections(&mut self, doc: &[&str], path: &str, sign: &str) {
        let global = sign.is_empty();
        self.line("");
        self.doc(doc);
        if !global {
            self.line(&format!("#[{path}.NAME]"));
            return;
        }
        for module in self.modules {
            let path = format!("{path}.{}", module.name);
            self.header(
                &[module.doc],
                &module.section(),
                &format!("[{path}]"),
                &path,
                "",
            );
        }
    }
}

/// The unit or the allowed values, short.
fn allowed(key: &Key) -> String {
    let Shape::Leaf(what, words) = &key.shape else {
        return String::new();
    };
    let what = match what.split_once(" such as ") {
        Some((short, _)) if words.is_empty() => short,
        _ => what,
    };
    if key.range.is_empty() {
        what.to_owned()
    } else {
        format!("{what}, {}", key.range)
    }
}

/// Lines of at most 110 characters.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let last = lines.last().map_or(0, |last| last.chars().count());
        if last > 0 && last + 1 + word.chars().count() > 110 {
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
