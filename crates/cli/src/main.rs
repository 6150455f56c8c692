//! The `clipmill` command.
fn main() {}
