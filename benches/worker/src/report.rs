//! What was measured, as tables for people and as JSON.

use crate::{Fallible, sample::Sample};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How long something took, many times.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Timing {
    /// What.
    pub what: String,
    /// How many times.
    pub runs: usize,
    /// The median, in microseconds.
    pub median_us: f64,
    /// What 99 of 100 runs did not exceed, in microseconds.
    pub p99_us: f64,
    /// The median, as a multiple of what it is compared with.
    pub ratio: Option<f64>,
}

/// A number that was promised, and what it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Judgement {
    /// Of what.
    pub what: String,
    /// The number.
    pub measured: f64,
    /// Its unit; nothing for a ratio.
    pub unit: String,
    /// What it must be.
    pub target: f64,
    /// Whether it must be at most that, or at least.
    pub at_most: bool,
    /// Whether it is.
    pub met: bool,
}

/// One part of the benchmark.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// The part's name.
    pub part: String,
    /// How it was measured, and what else there is to know.
    pub facts: Vec<(String, String)>,
    /// The times.
    pub timings: Vec<Timing>,
    /// The promises.
    pub judgements: Vec<Judgement>,
}

impl Report {
    /// An empty one.
    pub fn new(part: &str) -> Self {
        Self {
            part: part.to_owned(),
            ..Self::default()
        }
    }

    /// Adds something to know.
    pub fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.facts.push((name.to_owned(), value.into()));
    }

    /// Adds times, compared with a median in microseconds.
    pub fn timing(&mut self, what: &str, sample: &Sample, compared: Option<f64>) {
        let median_us = sample.median();
        self.timings.push(Timing {
            what: what.to_owned(),
            runs: sample.runs(),
            median_us,
            p99_us: sample.quantile(0.99),
            ratio: compared.map(|compared| median_us / compared),
        });
    }

    /// Adds a number that must not be over its target.
    pub fn at_most(&mut self, what: &str, measured: f64, unit: &str, target: f64) {
        self.judge(what, measured, unit, target, true);
    }

    /// Adds a number that must not be under its target.
    pub fn at_least(&mut self, what: &str, measured: f64, unit: &str, target: f64) {
        self.judge(what, measured, unit, target, false);
    }

    fn judge(&mut self, what: &str, measured: f64, unit: &str, target: f64, at_most: bool) {
        self.judgements.push(Judgement {
            what: what.to_owned(),
            measured,
            unit: unit.to_owned(),
            target,
            at_most,
            met: if at_most {
                measured <= target
            } else {
                measured >= target
            },
        });
    }

    /// The report for people; as Markdown for a page.
    pub fn text(&self, markdown: bool) -> String {
        let mut text = format!("\n## {}\n\n", self.part);
        for (name, value) in &self.facts {
            text += &format!("- {name}: {value}\n");
        }
        if !self.timings.is_empty() {
            let mut table = new_table(markdown, &["", "runs", "median", "p99", "ratio"]);
            for timing in &self.timings {
                table.add_row([
                    timing.what.clone(),
                    count(timing.runs as f64),
                    duration(timing.median_us),
                    duration(timing.p99_us),
                    timing.ratio.map_or(String::new(), ratio),
                ]);
            }
            text += &format!("\n{table}\n");
        }
        if !self.judgements.is_empty() {
            let mut table = new_table(markdown, &["", "measured", "target", "met"]);
            for each in &self.judgements {
                let bound = if each.at_most { "≤" } else { "≥" };
                table.add_row([
                    each.what.clone(),
                    with_unit(each.measured, &each.unit),
                    format!("{bound} {}", with_unit(each.target, &each.unit)),
                    if each.met { "yes" } else { "NO" }.to_owned(),
                ]);
            }
            text += &format!("\n{table}\n");
        }
        text
    }
}

fn new_table(markdown: bool, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(if markdown {
        presets::ASCII_MARKDOWN
    } else {
        presets::UTF8_BORDERS_ONLY
    });
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn with_unit(number: f64, unit: &str) -> String {
    match unit {
        "" => ratio(number),
        "us" => duration(number),
        _ => format!("{} {unit}", count(number)),
    }
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

/// A number of things, with its thousands apart.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(micros: f64) -> String {
    match micros {
        micros if micros < 10_000.0 => format!("{} µs", count(micros)),
        micros if micros < 10_000_000.0 => format!("{} ms", count(micros / 1e3)),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

/// Everything that one run has measured: the content of its JSON file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    /// Where it was measured.
    pub machine: Vec<(String, String)>,
    /// What was measured.
    pub reports: Vec<Report>,
}

impl Run {
    /// The run for people; as Markdown for a page.
    pub fn text(&self, markdown: bool) -> String {
        let machine = self.machine.iter();
        let mut text: String = machine
            .map(|(name, value)| format!("- {name}: {value}\n"))
            .collect();
        for report in &self.reports {
            text += &report.text(markdown);
        }
        text
    }

    /// Whether every promise is kept.
    pub fn met(&self) -> bool {
        let mut judgements = self.reports.iter().flat_map(|report| &report.judgements);
        judgements.all(|judgement| judgement.met)
    }

    /// Writes the run as JSON.
    pub fn save(&self, path: &Path) -> Fallible<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }

    /// Reads what [`Run::save`] wrote.
    pub fn load(path: &Path) -> Fallible<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0.4), "0");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(duration(250.0), "250 µs");
        assert_eq!(duration(12_345.0), "12 ms");
    }

    #[test]
    fn a_number_that_is_none_meets_nothing() {
        let mut report = Report::new("x");
        report.at_most("nothing", f64::NAN, "", 1.0);
        report.at_least("nothing", f64::NAN, "", 1.0);
        assert!(report.judgements.iter().all(|judgement| !judgement.met));
    }
}
