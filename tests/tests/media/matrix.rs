//! What senders really write is cut as it was sent: a part of the combinations, all of which
//! `cargo run -p clipmill-tests --example matrix` tries.

use clipmill_tests::matrix::{COMBINATIONS, Row, run, table};

#[test]
fn what_senders_write_is_cut_as_it_was_sent() {
    let mut chosen = COMBINATIONS.to_vec();
    chosen.retain(|one| one.part);
    let rows = run(&chosen);
    assert!(!rows.iter().any(Row::is_bad), "{}", table(&rows));
}
