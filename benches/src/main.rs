//! Measures whole runs of the `clipmill` binary. `--help` tells how.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot measure stops"
)]

mod args;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{Args, Command, LoadArgs};
use clap::Parser;
use clipmill_bench::{interrupt, load, machine::Machine, memory};
use serde::Serialize;

fn main() -> ExitCode {
    let args = Args::parse();
    interrupt::watch();
    let folder = args.dir.unwrap_or_else(default_folder);
    std::fs::create_dir_all(&folder).unwrap();
    match args.command {
        Command::Memory { seconds } => memory::run(&folder, seconds),
        Command::ServeLoad(args) => serve_load(&folder, &args),
    }
}

/// `target/bench`: this program is `target/PROFILE/clipmill-bench`.
fn default_folder() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.parent().and_then(Path::parent);
    target.map_or_else(std::env::temp_dir, |target| target.join("bench"))
}

/// The command line, as it can be typed again.
fn command_line() -> String {
    let args: Vec<_> = std::env::args().skip(1).collect();
    format!(
        "cargo run --release -p clipmill-bench -- {}",
        args.join(" ")
    )
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
