//! The table of the comparison: per server the median of all rounds, and how many times waxwing's figure it is.

use std::collections::BTreeMap;
use std::fmt;

/// Figures of one round, by what they say, with the unit in the name.
pub type Figures = Vec<(&'static str, f64)>;

/// Above this share of the median between smallest and largest a figure is not to be trusted.
const SPREAD: f64 = 0.3;

/// All rounds of all servers.
#[derive(Default)]
pub struct Table {
    servers: Vec<&'static str>,
    rows: Vec<&'static str>,
    values: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

impl Table {
    /// Adds a round.
    pub fn add(&mut self, server: &'static str, figures: Figures) {
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        for (row, value) in figures {
            if !self.rows.contains(&row) {
                self.rows.push(row);
            }
            self.values.entry((server, row)).or_default().push(value);
        }
    }

    /// Figures that differ too much from round to round.
    pub fn warnings(&self) -> Vec<String> {
        let wide = self
            .values
            .iter()
            .filter(|(_, values)| spread(values) > SPREAD);
        wide.map(|((server, row), values)| {
            let all: Vec<String> = values.iter().map(|value| number(*value)).collect();
            format!("not steady: {server}, {row}: {}", all.join(", "))
        })
        .collect()
    }

    fn median(&self, server: &'static str, row: &'static str) -> Option<f64> {
        self.values.get(&(server, row)).map(|values| median(values))
    }

    fn cell(&self, server: &'static str, row: &'static str) -> String {
        match (self.median(server, row), self.median(self.servers[0], row)) {
            (Some(value), Some(first)) if server != self.servers[0] && first > 0.0 => {
                format!("{} ({}×)", number(value), number(value / first))
            }
            (Some(value), _) => number(value),
            (None, _) => "–".to_owned(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | {} |", self.servers.join(" | "))?;
        writeln!(f, "|---{}|", "|---".repeat(self.servers.len()))?;
        for row in &self.rows {
            let cells: Vec<String> = self
                .servers
                .iter()
                .map(|server| self.cell(server, row))
                .collect();
            writeln!(f, "| {row} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn spread(values: &[f64]) -> f64 {
    let (least, most) = values
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(*value), most.max(*value))
        });
    (most - least) / median(values).max(f64::EPSILON)
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Puts the table between the marks in the README.
pub fn write_readme(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (head, rest) = text
        .split_once("<!-- compare: begin -->")
        .expect("the mark <!-- compare: begin -->");
    let (_, tail) = rest
        .split_once("<!-- compare: end -->")
        .expect("the mark <!-- compare: end -->");
    let new = format!("{head}<!-- compare: begin -->\n{table}<!-- compare: end -->{tail}");
    std::fs::write(path, new).unwrap();
}
