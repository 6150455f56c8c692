//! Clipmill, a plain copy and the other programs that do its work, in turns.

mod copying;
mod input;
mod peers;
mod report;
mod template;
mod verify;

use std::path::Path;
use std::time::Duration;

pub use self::copying::copy;
use self::input::Input;
pub use self::input::InputName;
use self::peers::Peer;
pub use self::report::{Report, Row, Table, print};
pub use self::template::Template;
pub use self::verify::{Found, Samples};
use crate::interrupt;
use crate::process::{self, Failed, Taken};

/// What is compared.
#[derive(Debug, Clone)]
pub struct Options {
    /// The inputs, one table for each.
    pub inputs: Vec<InputName>,
    /// Times that each program runs, after one to warm up.
    pub rounds: usize,
    /// Only the programs whose names hold one of these; all when there are none.
    pub only: Vec<String>,
    /// Other programs: name and command.
    pub others: Vec<(String, Template)>,
    /// The most seconds that all runs of one program on one input may take together: slow ones run
    /// fewer times.
    pub budget: u64,
    /// The most seconds that one run may take.
    pub limit: u64,
}

/// Compares, in a temporary folder below `folder`, and gives a table for each input. What was
/// interrupted gives those that were done.
///
/// # Errors
/// A sentence, when there is nothing to compare.
///
/// # Panics
/// When files cannot be written.
pub fn run(folder: &Path, options: &Options) -> Result<Vec<Table>, String> {
    let mut tables = Vec::new();
    for name in &options.inputs {
        let scratch = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
        let input = Input::make(*name, folder, scratch.path())?;
        let (peers, skipped) = peers::find(&input, options);
        if peers.is_empty() {
            return Err("no program is left to compare".to_owned());
        }
        let Some(rows) = compare(&input, &peers, options) else {
            break;
        };
        tables.push(Table {
            input: name.to_string(),
            what: name.what().to_owned(),
            seconds: input.seconds,
            bytes: input.bytes,
            segments: input.segments.len(),
            expected: input.samples.clone(),
            rows,
            skipped,
            peak_floor_mib: process::own_peak_kib() as f64 / 1024.0,
        });
    }
    Ok(tables)
}

/// What has been seen of a program.
struct Seen<'a> {
    peer: &'a Peer,
    runs: Vec<Taken>,
    /// How often it is to run.
    wanted: usize,
    faults: Vec<String>,
    output: Option<Samples>,
    bytes: u64,
}

/// `None` when it was interrupted.
fn compare(input: &Input, peers: &[Peer], options: &Options) -> Option<Vec<Row>> {
    let mut all: Vec<_> = peers
        .iter()
        .map(|peer| Seen {
            peer,
            runs: Vec::new(),
            wanted: options.rounds,
            faults: Vec::new(),
            output: None,
            bytes: 0,
        })
        .collect();
    for seen in &mut all {
        eprintln!("{}: {}, warming up", input.name, seen.peer.name);
        let first = once(input, seen, "warm", options.limit)?;
        let Some(first) = first else {
            seen.wanted = 0;
            continue;
        };
        seen.wanted = rounds(first.wall, options);
        if seen.wanted == 0 {
            // So slow that this has to do.
            seen.runs.push(first);
        }
    }
    for round in 0..options.rounds {
        eprintln!("{}: round {} of {}", input.name, round + 1, options.rounds);
        for turn in 0..all.len() {
            // Each round begins with another one, so that nobody always follows the same.
            let number = (turn + round) % peers.len();
            let seen = &mut all[number];
            if seen.runs.len() >= seen.wanted {
                continue;
            }
            match once(input, seen, &format!("{round}-{number}"), options.limit)? {
                Some(taken) => seen.runs.push(taken),
                None => seen.wanted = 0,
            }
        }
    }
    Some(all.iter().map(|seen| row(input, seen)).collect())
}

/// How often a program runs whose first run took so long; 0 when once was enough.
fn rounds(first: f64, options: &Options) -> usize {
    let affordable = (options.budget as f64 / first.max(1e-6)).floor();
    if affordable < 1.0 {
        return 0;
    }
    options.rounds.min(affordable as usize)
}

/// One run into a new file. `Some(None)` when it failed, `None` when it was interrupted.
fn once(input: &Input, seen: &mut Seen<'_>, label: &str, limit: u64) -> Option<Option<Taken>> {
    let out = input.scratch.join(format!("out-{label}.mp4"));
    let mut command = seen.peer.template.command(&input.values(&out));
    command.current_dir(&input.folder);
    let taken = process::measure(&mut command, Duration::from_secs(limit));
    let taken = match taken {
        Ok(taken) => Some(taken),
        Err(Failed::Interrupted) => None,
        Err(why) => {
            seen.faults.push(why.to_string());
            None
        }
    };
    if taken.is_some() {
        seen.bytes = out.metadata().map_or(0, |metadata| metadata.len());
        match seen.peer.verify(input, &out) {
            Ok(samples) => {
                if let Some(samples) = &samples {
                    seen.faults.extend(samples.differ_from(&input.samples));
                }
                seen.output = samples;
            }
            Err(why) => seen.faults.push(why),
        }
    }
    for file in std::fs::read_dir(&input.scratch)
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("out-") || name.starts_with("step-") {
            let _ = std::fs::remove_file(file.path());
        }
    }
    (!interrupt::asked()).then_some(taken)
}

fn row(input: &Input, seen: &Seen<'_>) -> Row {
    let mut faults = seen.faults.clone();
    faults.sort();
    faults.dedup();
    Row {
        name: seen.peer.name.clone(),
        command: seen.peer.template.shown(),
        version: seen.peer.version.clone(),
        runs: seen.runs.clone(),
        bytes: seen.bytes,
        output: seen.output.clone(),
        faults,
        is_copy: seen.peer.is_copy,
        input_bytes: input.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_programs_run_fewer_times() {
        let options = Options {
            inputs: Vec::new(),
            rounds: 11,
            only: Vec::new(),
            others: Vec::new(),
            budget: 60,
            limit: 120,
        };
        assert_eq!(rounds(0.15, &options), 11);
        assert_eq!(rounds(8.0, &options), 7);
        assert_eq!(rounds(47.0, &options), 1);
        assert_eq!(rounds(61.0, &options), 0);
    }
}
