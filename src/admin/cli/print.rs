//! Printing: text for people, JSON for programs. A closed pipe is no error.

use std::io::{IsTerminal, Write, stderr, stdout};

use serde_json::{Map, Value, json};

use crate::admin::report::Line;

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
}

impl Printer {
    /// As text, or as one JSON value a line.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// Prints a line; `Some(done?)` when it was the last.
    pub fn line(&mut self, line: Line) -> Option<bool> {
        match line {
            Line::Progress { text, done, total } => self.progress(&text, done, total),
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
                return Some(true);
            }
            Line::Failed { kind, text } => {
                self.flush();
                if self.json {
                    out(&format!("{}\n", json!({ "error": kind, "message": text })));
                } else {
                    error(&text);
                }
                return Some(false);
            }
        }
        None
    }

    fn say(&self, text: &str) {
        if self.json {
            out(&format!("{}\n", json!({ "message": text })));
        } else {
            out(&format!("{}\n", printable(text)));
        }
    }

    fn progress(&self, text: &str, done: u64, total: Option<u64>) {
        if !self.json && stderr().is_terminal() {
            let of = total
                .map(|total| format!(" of {total}"))
                .unwrap_or_default();
            let _ = write!(stderr(), "\r{}: {done}{of}\x1b[K", printable(text));
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
