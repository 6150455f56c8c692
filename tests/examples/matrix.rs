//! What senders really write, in all combinations, against the modes of cutting.
//!
//!     cargo run -p clipmill-tests --example matrix [WORD...]
//!
//! With words, only combinations whose names hold one of them. It prints a table, and before it each
//! cut that is wrong; it ends with 1 where there is one.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::process::ExitCode;

use clipmill_tests::matrix::{COMBINATIONS, Row, run, table};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut chosen = COMBINATIONS.to_vec();
    chosen.retain(|one| words.is_empty() || words.iter().any(|word| one.name.contains(word)));
    let rows = run(&chosen);
    println!("{}", table(&rows));
    ExitCode::from(u8::from(rows.iter().any(Row::is_bad)))
}
