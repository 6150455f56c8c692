//! Finds the third-party media that some tests read where it lies.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::root;

/// The folder that `CLIPMILL_CORPUS` names, else `../shared/corpus` beside the repository. Says so
/// in one line where there is none.
#[must_use]
pub fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("CLIPMILL_CORPUS")
        .map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    // Not `eprintln!`, which the test harness would swallow.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: no corpus at {} (CLIPMILL_CORPUS names another folder)",
        folder.display()
    );
    None
}

/// An input of `../shared/field/inputs`: what senders in the field wrote. Says so in one line where it is not there.
#[must_use]
pub fn field(input: &str) -> Option<PathBuf> {
    let path = root().join("../shared/field/inputs").join(input);
    if path.exists() {
        return Some(path);
    }
    let _ = writeln!(std::io::stderr(), "skipped: no {}", path.display());
    None
}

/// Every file below `folder`, sorted.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The expectation that lies beside a medium, where there is one.
#[must_use]
pub fn expectation(medium: &Path) -> Option<Value> {
    let mut name = medium.as_os_str().to_owned();
    name.push(".expect.json");
    serde_json::from_slice(&std::fs::read(name).ok()?).ok()
}

/// The MD5 of the decoded pictures of each medium, by its path relative to the set, from the set's
/// `decoded.tsv`.
#[must_use]
pub fn decoded_pictures(set: &Path) -> std::collections::HashMap<String, String> {
    let table = std::fs::read_to_string(set.join("decoded.tsv")).unwrap_or_default();
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut cells = row.split('\t');
        let (file, video) = (cells.next()?, cells.next()?);
        (!video.is_empty()).then(|| (file.to_owned(), video.to_owned()))
    });
    rows.collect()
}
