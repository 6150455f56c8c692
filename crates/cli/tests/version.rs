//! The binary starts. It is tested in `tests/`; this file is also what makes `cargo test` build it.
#![allow(clippy::unwrap_used, reason = "tests")]

#[test]
fn tells_its_version() {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_clipmill"))
        .arg("--version")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        concat!("clipmill ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
