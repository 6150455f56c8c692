//! The `clipmill` command: arguments, progress and exit codes.
#![forbid(unsafe_code)]

mod args;
mod demo;
mod failure;
mod progress;
mod report;
mod run;
mod serve;
mod spool;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::read();
    match run::run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("clipmill: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
