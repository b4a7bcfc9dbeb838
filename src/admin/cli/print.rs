//! Printing: text for people, JSON for programs. A closed pipe is no error.

use std::io::{IsTerminal, Write, stderr, stdout};

use serde_json::{Map, Value, json};

use super::output::Output;
use crate::config::Config;
use crate::hooks::command::{Command, Given, Kind, Line};

/// Writes text to standard output.
pub fn out(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Writes an error to standard error.
pub fn error(text: &str) {
    let _ = writeln!(stderr(), "error: {text}");
}

/// Rows are held back until this many are there, so that their columns can be aligned.
const ROWS: usize = 200;

/// Prints the lines of a command.
#[derive(Debug, Default)]
pub struct Printer {
    json: bool,
    columns: Vec<String>,
    headed: bool,
    rows: Vec<Vec<String>>,
    facts: Vec<(String, String)>,
    output: Option<Output>,
    /// Whether a line with progress stands on the terminal.
    progressing: bool,
}

impl Printer {
    /// As text, or as one JSON value a line.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// Opens the file that a command fills, if it has one.
    ///
    /// # Errors
    /// In words: it cannot be written.
    pub fn output(
        &mut self,
        config: &Config,
        command: &Command,
        given: &Given,
    ) -> Result<(), String> {
        let mut arguments = command.arguments.iter();
        let output = arguments.find(|argument| argument.kind == Kind::Output);
        let name = output.and_then(|argument| given.get(argument.name)?.0.first());
        if let Some(name) = name {
            self.output = Some(Output::begin(name, config.store.reserve.0)?);
        }
        Ok(())
    }

    /// Puts the file that was filled in its place, if it was `done`.
    ///
    /// # Errors
    /// In words: it cannot be written.
    pub fn finish(&mut self, done: bool) -> Result<bool, String> {
        match self.output.take() {
            Some(output) if done => output.finish().map(|()| true),
            _ => Ok(done),
        }
    }

    /// Prints a line; `Some(done?)` when it was the last.
    ///
    /// # Errors
    /// In words: what the command makes cannot be written where it should.
    pub fn line(&mut self, line: Line) -> Result<Option<bool>, String> {
        if self.progressing && !matches!(line, Line::Data(_) | Line::Progress { .. }) {
            let _ = write!(stderr(), "\r\x1b[K");
            self.progressing = false;
        }
        match line {
            Line::Progress { text, done, total } => self.progress(&text, done, total),
            Line::Data(bytes) => {
                if let Some(output) = &mut self.output {
                    output.write(&bytes)?;
                }
            }
            Line::Columns(columns) => {
                self.flush();
                self.columns = columns;
                self.headed = false;
            }
            Line::Row(row) => {
                self.flush_facts();
                self.rows.push(row);
                if self.json || self.rows.len() >= ROWS {
                    self.flush();
                }
            }
            Line::Fact(name, value) => self.facts.push((name, value)),
            Line::Said(text) => {
                self.flush();
                self.say(&text);
            }
            Line::Done => {
                self.flush();
                return Ok(Some(true));
            }
            Line::Failed { kind, text } => {
                self.flush();
                if self.json {
                    out(&format!("{}\n", json!({ "error": kind, "message": text })));
                } else {
                    error(&text);
                }
                return Ok(Some(false));
            }
        }
        Ok(None)
    }

    fn say(&self, text: &str) {
        if self.output.as_ref().is_some_and(Output::is_standard) {
            let _ = writeln!(stderr(), "{}", printable(text));
        } else if self.json {
            out(&format!("{}\n", json!({ "message": text })));
        } else {
            out(&format!("{}\n", printable(text)));
        }
    }

    fn progress(&mut self, text: &str, done: u64, total: Option<u64>) {
        if !self.json && stderr().is_terminal() {
            let bar = total.map(|total| bar(done, total)).unwrap_or_default();
            let _ = write!(stderr(), "\r{bar}{}: {done}\x1b[K", printable(text));
            let _ = stderr().flush();
            self.progressing = true;
        }
    }

    fn flush(&mut self) {
        self.flush_facts();
        let rows = std::mem::take(&mut self.rows);
        if self.json {
            for row in rows {
                let object = self
                    .columns
                    .iter()
                    .cloned()
                    .zip(row.into_iter().map(Value::String));
                out(&format!("{}\n", Value::Object(object.collect())));
            }
        } else if !rows.is_empty() {
            let head = (!self.headed).then(|| self.columns.clone());
            self.headed = true;
            out(&aligned(head.into_iter().chain(rows).collect()));
        }
    }

    fn flush_facts(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        if facts.is_empty() {
            return;
        }
        if self.json {
            let object: Map<String, Value> = facts
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)))
                .collect();
            out(&format!("{}\n", Value::Object(object)));
        } else {
            out(&aligned(
                facts
                    .into_iter()
                    .map(|(name, value)| vec![name, value])
                    .collect(),
            ));
        }
    }
}

/// `[#####     ]  50 % `
fn bar(done: u64, total: u64) -> String {
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
    let full = usize::try_from(percent / 5).unwrap_or_default();
    format!("[{:<20}] {percent:>3} % ", "#".repeat(full))
}

/// Rows with their columns below each other.
pub fn aligned(rows: Vec<Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Without control characters: what came from the network must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bb", ""], ["cccc", "d\x1b[31m", "e"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(aligned(rows), "a     bb\ncccc  d\u{fffd}[31m  e\n");
    }
}
