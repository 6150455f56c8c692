//! Measures whole runs of the `clipmill` binary.
//!
//! - `memory`: a clip of one hour at 5 Mbit/s must be cut within 64 MiB;
//! - `compare`: Clipmill, a copy loop and ffmpeg in turns, as a Markdown table;
//! - `serve-load`: a server with many live streams, its cost and how fast it answers.
//!
//! Inputs (up to 2.5 GB) are made once in the folder that `CLIPMILL_BENCH_DIR` names, else in a
//! temporary one that is removed at the end.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot measure stops"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clipmill_bench::{Taken, copy, load, measure, median, segments, stream};

/// What a clip may take, however long it is.
const PEAK_KIB: u64 = 64 * 1024;

/// Rounds of the comparison.
const ROUNDS: usize = 7;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut number = || {
        args.next()
            .map(|text| text.parse().expect("a whole number"))
    };
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("CLIPMILL_BENCH_DIR")
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    match command.as_str() {
        "memory" => memory(&folder, number().unwrap_or(3_600)),
        "compare" => compare(&folder, number().unwrap_or(600)),
        "serve-load" => {
            let streams = number().unwrap_or(200) as usize;
            load::run(&folder, streams, u64::from(number().unwrap_or(120)))
        }
        _ => {
            eprintln!(
                "usage: clipmill-bench memory|compare [SECONDS OF STREAM]\n       clipmill-bench serve-load [STREAMS [SECONDS]]"
            );
            ExitCode::from(2)
        }
    }
}

fn clipmill(playlist: &Path, out: &Path, format: &str) -> Command {
    let mut command = Command::new(clipmill_tests::binary::path());
    command
        .args(["cut", "--quiet", "--format", format])
        .arg(playlist)
        .arg("-o")
        .arg(out);
    command
}

fn memory(folder: &Path, seconds: u32) -> ExitCode {
    let Some(playlist) = stream(folder, seconds) else {
        return ExitCode::SUCCESS;
    };
    let mut code = ExitCode::SUCCESS;
    for format in ["mp4", "fmp4"] {
        let out = folder.join("clip.mp4");
        let taken = measure(&mut clipmill(&playlist, &out, format));
        let bytes = out.metadata().unwrap().len();
        std::fs::remove_file(out).unwrap();
        let verdict = if taken.peak_kib <= PEAK_KIB {
            "within"
        } else {
            "OVER"
        };
        println!(
            "{seconds} s of stream to one {format} of {:.0} MB: {:.2} s, peak {:.1} MiB, {verdict} {} MiB",
            bytes as f64 / 1e6,
            taken.wall.as_secs_f64(),
            taken.peak_kib as f64 / 1024.0,
            PEAK_KIB / 1024
        );
        if taken.peak_kib > PEAK_KIB {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// One run of a program.
type Contestant<'a> = Box<dyn Fn() -> Taken + 'a>;

fn compare(folder: &Path, seconds: u32) -> ExitCode {
    let Some(playlist) = stream(folder, seconds) else {
        return ExitCode::SUCCESS;
    };
    let out = folder.join("out.mp4");
    let files = segments(&playlist);
    let ffmpeg = |faststart: bool| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-nostdin", "-y", "-i"])
            .arg(&playlist);
        command.args(["-c", "copy", "-bsf:a", "aac_adtstoasc"]);
        if faststart {
            command.args(["-movflags", "+faststart"]);
        }
        command.arg(&out);
        command
    };
    let contestants: [(&str, Contestant<'_>); 5] = [
        (
            "copy, 1 MiB buffer",
            Box::new(|| {
                let begun = Instant::now();
                copy(&files, &out);
                Taken {
                    wall: begun.elapsed(),
                    peak_kib: 0,
                }
            }),
        ),
        (
            "clipmill",
            Box::new(|| measure(&mut clipmill(&playlist, &out, "mp4"))),
        ),
        (
            "clipmill, fragmented",
            Box::new(|| measure(&mut clipmill(&playlist, &out, "fmp4"))),
        ),
        ("ffmpeg -c copy", Box::new(|| measure(&mut ffmpeg(false)))),
        (
            "ffmpeg -c copy, +faststart",
            Box::new(|| measure(&mut ffmpeg(true))),
        ),
    ];
    let mut taken: Vec<Vec<Taken>> = vec![Vec::new(); contestants.len()];
    // In turns, so that what else the machine does hits all alike; the first round warms up.
    for round in 0..=ROUNDS {
        for ((_, run), taken) in contestants.iter().zip(&mut taken) {
            let one = run();
            let _ = std::fs::remove_file(&out);
            if round > 0 {
                taken.push(one);
            }
        }
    }
    let bytes: u64 = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    println!(
        "{seconds} s of stream, {:.0} MB in {} segments; medians of {ROUNDS} runs in turns\n",
        bytes as f64 / 1e6,
        files.len()
    );
    println!("| program | wall | × copy | peak MiB |\n| --- | --- | --- | --- |");
    let walls: Vec<_> = taken
        .iter()
        .map(|runs| median(runs.iter().map(|one| one.wall).collect()).as_secs_f64())
        .collect();
    for (((name, _), runs), wall) in contestants.iter().zip(&taken).zip(&walls) {
        let peak = match runs.iter().map(|one| one.peak_kib).max() {
            Some(0) | None => "-".to_owned(),
            Some(kib) => format!("{:.0}", kib as f64 / 1024.0),
        };
        println!("| {name} | {wall:.3} s | {:.1} | {peak} |", wall / walls[0]);
    }
    ExitCode::SUCCESS
}
