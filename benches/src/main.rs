//! Measures whole runs of the `clipmill` binary. `--help` tells how.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot measure stops"
)]

mod args;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{Args, Command, CompareArgs, DvrArgs, LoadArgs};
use clap::Parser;
use clipmill_bench::{compare, interrupt, load, machine::Machine, media, memory, plot};
use serde::Serialize;

fn main() -> ExitCode {
    let args = Args::parse();
    // What is measured, or starts often, does nothing else first.
    match &args.command {
        Command::Copy { offset, out, files } => return told(compare::copy(out, files, *offset)),
        Command::Plot { files, out } => return draw(files, out),
        Command::Samples { file } => return told(samples(file)),
        _ => {}
    }
    interrupt::watch();
    let folder = args.dir.unwrap_or_else(media::default_folder);
    std::fs::create_dir_all(&folder).unwrap();
    match args.command {
        Command::Memory { seconds } => memory::run(&folder, seconds),
        Command::Compare(args) => compare(&folder, &args),
        Command::Copy { .. } | Command::Plot { .. } | Command::Samples { .. } => ExitCode::FAILURE,
        Command::ServeLoad(args) => serve_load(&folder, &args),
        Command::Dvr(args) => keep(&folder, &args),
    }
}

/// The command line, as it can be typed again.
fn command_line() -> String {
    let args: Vec<_> = std::env::args().skip(1).collect();
    format!(
        "cargo run --release -p clipmill-bench -- {}",
        args.join(" ")
    )
}

fn told(done: Result<(), impl Display>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn samples(file: &Path) -> Result<(), String> {
    let samples = compare::Samples::of(file)?;
    println!("{}", serde_json::to_string(&samples).unwrap());
    Ok(())
}

fn draw(files: &[PathBuf], out: &Path) -> ExitCode {
    let drawn = plot::run(files, out).map(|paths| {
        for path in paths {
            println!("{}", path.display());
        }
    });
    told(drawn)
}

fn compare(folder: &Path, args: &CompareArgs) -> ExitCode {
    let machine = Machine::here(folder);
    let tables = match compare::run(folder, &args.options()) {
        Ok(tables) => tables,
        Err(why) => return told(Err(why)),
    };
    let report = compare::Report {
        kind: "compare".to_owned(),
        machine,
        command: command_line(),
        tables,
    };
    save(args.json.as_deref(), &report);
    print!("{}", compare::print(&report));
    if interrupt::asked() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn keep(folder: &Path, args: &DvrArgs) -> ExitCode {
    match load::dvr::run(folder, &args.options()) {
        Ok(Some(table)) => {
            println!("{}\n\n{table}", Machine::here(folder).sentence());
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(why) => told(Err(why)),
    }
}

fn serve_load(folder: &Path, args: &LoadArgs) -> ExitCode {
    let mut report = load::Report {
        kind: "serve-load".to_owned(),
        machine: Machine::here(folder),
        command: command_line(),
        runs: Vec::new(),
    };
    for streams in args.numbers() {
        match load::run(folder, &args.options(streams)) {
            Ok(Some(run)) => report.runs.push(run),
            Ok(None) => break,
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        }
        // After each, as a curve takes long.
        save(args.json.as_deref(), &report);
    }
    if report.runs.is_empty() {
        return ExitCode::FAILURE;
    }
    print!("{}", load::print(&report));
    if interrupt::asked() || !report.runs.iter().all(load::Run::is_complete) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn save(path: Option<&Path>, report: &impl Serialize) {
    if let Some(path) = path {
        let text = serde_json::to_string_pretty(report).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
