//! The comparison as JSON and as Markdown.

use serde::{Deserialize, Serialize};

use super::verify::{Found, Samples};
use crate::machine::Machine;
use crate::process::Taken;
use crate::stats::{median, percentile};
use crate::units::{digits, time};

/// All tables of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// `compare`.
    pub kind: String,
    /// Where.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// By input.
    pub tables: Vec<Table>,
}

/// The programs on one input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// The input's name.
    pub input: String,
    /// What it is made of.
    pub what: String,
    /// How long it plays.
    pub seconds: u64,
    /// How large it is.
    pub bytes: u64,
    /// In how many segments.
    pub segments: usize,
    /// What an output should hold.
    pub expected: Samples,
    /// By program.
    pub rows: Vec<Row>,
    /// Programs that did not run, and why.
    pub skipped: Vec<(String, String)>,
    /// Peaks of memory below so many MiB cannot be told.
    pub peak_floor_mib: f64,
}

/// One program on one input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The program's name.
    pub name: String,
    /// Its command.
    pub command: String,
    /// What it says of itself.
    pub version: Option<String>,
    /// Its runs, but the first.
    pub runs: Vec<Taken>,
    /// How large the output is.
    pub bytes: u64,
    /// What is in it.
    pub output: Option<Samples>,
    /// What is not as it should be.
    pub faults: Vec<String>,
    /// Whether it is a plain copy.
    pub is_copy: bool,
    /// How large the input is.
    pub input_bytes: u64,
}

impl Row {
    /// The median of something, over the runs.
    #[must_use]
    pub fn median(&self, what: fn(&Taken) -> f64) -> f64 {
        median(&self.runs.iter().map(what).collect::<Vec<_>>())
    }
}

/// Processor time in seconds.
#[must_use]
pub(super) fn cpu(taken: &Taken) -> f64 {
    taken.user + taken.system
}

/// As Markdown, ready to be pasted.
#[must_use]
pub fn print(report: &Report) -> String {
    let mut text = format!("{}\n\n    {}\n", report.machine.sentence(), report.command);
    let mut versions: Vec<_> = report
        .tables
        .iter()
        .flat_map(|table| table.rows.iter().filter_map(|row| row.version.as_deref()))
        .map(|version| version.split(" Copyright").next().unwrap_or(version))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    if !versions.is_empty() {
        text.push_str(&format!("\nPeers: {}.\n", versions.join("; ")));
    }
    for table in &report.tables {
        text.push('\n');
        text.push_str(&one(table));
    }
    text
}

fn one(table: &Table) -> String {
    let expected: Vec<_> = table
        .expected
        .tracks
        .iter()
        .map(|(kind, count)| match kind {
            Found::Video => format!("{count} pictures"),
            Found::Audio => format!("{count} frames of sound"),
        })
        .collect();
    let mut text = format!(
        "**{}**: {} s of {}; {:.1} MB in {} segments; {}.\n\n",
        table.input,
        table.seconds,
        table.what,
        table.bytes as f64 / 1e6,
        table.segments,
        expected.join(", ")
    );
    text.push_str(
        "| program | wall, median | least | × copy | user | system | CPU × copy | peak MiB | runs | output |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let yardstick = table
        .rows
        .iter()
        .find(|row| row.is_copy && !row.runs.is_empty());
    for row in &table.rows {
        text.push_str(&line(row, yardstick, table.peak_floor_mib));
    }
    for (name, why) in &table.skipped {
        text.push_str(&format!("\nNot run: {name}, as {why}.\n"));
    }
    text
}

fn line(row: &Row, yardstick: Option<&Row>, floor_mib: f64) -> String {
    if row.runs.is_empty() {
        return format!(
            "| {} | – | – | – | – | – | – | – | 0 | {} |\n",
            row.name,
            row.faults.join("; ")
        );
    }
    let ratio = |what: fn(&Taken) -> f64| {
        let base = yardstick.map_or(0.0, |row| row.median(what));
        if base > 0.0 {
            format!("{:.2}", row.median(what) / base)
        } else {
            "–".to_owned()
        }
    };
    let walls: Vec<_> = row.runs.iter().map(|taken| taken.wall).collect();
    let peak = row.median(|taken| taken.peak_kib as f64) / 1024.0;
    let peak = if peak <= floor_mib * 1.02 {
        format!("≤ {floor_mib:.0}")
    } else {
        digits(peak)
    };
    let output = match (&row.output, row.faults.is_empty()) {
        (_, false) => row.faults.join("; "),
        (Some(_), true) => "complete".to_owned(),
        (None, true) => "the segments".to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {peak} | {} | {output} |\n",
        row.name,
        time(row.median(|taken| taken.wall)),
        time(percentile(&walls, 0.0)),
        ratio(|taken| taken.wall),
        time(row.median(|taken| taken.user)),
        time(row.median(|taken| taken.system)),
        ratio(cpu),
        row.runs.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, wall: f64, is_copy: bool) -> Row {
        let taken = Taken {
            wall,
            user: wall / 4.0,
            system: wall / 2.0,
            peak_kib: 20 * 1024,
        };
        Row {
            name: name.to_owned(),
            command: String::new(),
            version: None,
            runs: vec![taken; 3],
            bytes: 1,
            output: (!is_copy).then(Samples::default),
            faults: Vec::new(),
            is_copy,
            input_bytes: 1,
        }
    }

    #[test]
    fn ratios_are_to_the_first_copy() {
        let copy = row("copy", 0.2, true);
        let text = line(&row("tool", 0.3, false), Some(&copy), 5.0);
        assert_eq!(
            text,
            "| tool | 0.300 s | 0.300 s | 1.50 | 75.0 ms | 0.150 s | 1.50 | 20.0 | 3 | complete |\n"
        );
        let text = line(&row("tool", 0.3, false), None, 30.0);
        assert!(
            text.contains("| – | 75.0 ms") && text.contains("| ≤ 30 |"),
            "{text}"
        );
    }

    #[test]
    fn what_failed_stays_in_the_table_with_the_reason() {
        let mut failed = row("tool", 0.3, false);
        failed.runs.clear();
        failed.faults.push("took longer than it may".to_owned());
        let text = line(&failed, None, 0.0);
        assert!(
            text.ends_with("| 0 | took longer than it may |\n"),
            "{text}"
        );
    }
}
