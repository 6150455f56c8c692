//! What `deny.toml` says of licences, bans and sources holds, also where cargo-deny is not installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::process::Command;

use clipmill_tests::binary::{finish, root};
use serde_json::Value;

#[test]
fn licences_bans_and_sources_are_as_agreed() {
    // What other platforms need may not have been downloaded.
    let mut version = Command::new(env!("CARGO"));
    version.arg("-vV");
    let version = String::from_utf8(finish(version).expect(0).stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    cargo.args(["--filter-platform", host]).current_dir(root());
    let metadata = finish(cargo).expect(0).json();
    let agreed = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let allowed = quoted(&agreed, "allow = [");
    let banned = quoted(&agreed, "deny = [");
    assert!(allowed.contains(&"MIT") && banned.contains(&"openssl-sys"));

    let resolved: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().unwrap();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if !resolved.contains(&package["id"].as_str().unwrap()) {
            continue;
        }
        // Built for fuzzing alone; see the exception in `deny.toml`.
        let licence = package["license"].as_str().unwrap_or("none");
        if name != "libfuzzer-sys" && !is_allowed(licence, &allowed) {
            faults.push(format!("{name}: licence {licence}"));
        }
        if banned.contains(&name) {
            faults.push(format!("{name} is banned"));
        }
        let source = &package["source"];
        let from_registry = source.as_str().is_none_or(|s| s.starts_with("registry+"));
        if !from_registry {
            faults.push(format!("{name}: from {source}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        packages
            .iter()
            .any(|package| package["license"] != Value::Null)
    );
}

/// The first string of each line, or all strings of the line, between a heading and its bracket.
fn quoted<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let list = text.split(heading).nth(1).unwrap();
    let list = list.split("\n]").next().unwrap();
    list.lines()
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

/// `A OR B AND (C OR D)`: one of the alternatives has only what is allowed. Parentheses are dropped,
/// which can only make this stricter where an `AND` stands before them.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let flat = licence.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" OR ").any(|option| {
        option
            .split(" AND ")
            .all(|one| allowed.contains(&one.trim()))
    })
}
