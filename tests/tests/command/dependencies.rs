//! What `deny.toml` says of licences, bans and sources holds, also where cargo-deny is not installed; and
//! modules depend on one another one way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use clipmill_tests::binary::{finish, root};
use clipmill_tests::corpus::files;
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

#[test]
fn the_modules_of_a_crate_depend_on_one_another_one_way() {
    let mut circles = Vec::new();
    for name in [
        "media", "ts", "mp4", "playlist", "clipmill", "server", "cli",
    ] {
        let uses = uses_between_modules(&root().join("crates").join(name).join("src"));
        assert!(
            uses.values().any(|used| !used.is_empty()),
            "{name}: no uses"
        );
        for (module, used) in &uses {
            let back = used.iter().filter(|other| leads_to(&uses, other, module));
            circles.extend(
                back.map(|other| format!("{name}: {module} uses {other}, and it {module}")),
            );
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// Which of the top modules of a crate name which others, tests left out.
fn uses_between_modules(sources: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(sources) {
        let below = file.strip_prefix(sources).unwrap().with_extension("");
        let path: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
        let is_test =
            |part: &&str| ["tests", "testing", "simulation", "conformance"].contains(part);
        if path.iter().any(is_test) || ["lib", "main"].contains(&path[0]) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: String = code
            .lines()
            .map(|line| line.split("//").next().unwrap())
            .collect::<Vec<_>>()
            .join("\n");
        let used = uses.entry(path[0].to_owned()).or_default();
        used.extend(of_the_root(&code, "crate::"));
        // What the root of the crate is called in a file below it.
        if path.len() == 1 {
            used.extend(of_the_root(&code, " super::"));
        }
        used.remove(path[0]);
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    uses.values_mut()
        .for_each(|used| used.retain(|name| modules.contains(name)));
    uses
}

/// The first names behind each `root`: of a path, or of all paths of a group.
fn of_the_root(code: &str, root: &str) -> Vec<String> {
    let is_name = |one: char| one.is_alphanumeric() || one == '_';
    let first = |path: &str| -> String {
        path.trim_start()
            .chars()
            .take_while(|one| is_name(*one))
            .collect()
    };
    let mut names = Vec::new();
    for behind in code.split(root).skip(1) {
        let Some(group) = behind.strip_prefix('{') else {
            names.push(first(behind));
            continue;
        };
        let mut depth = 0;
        let mut paths = group.split_inclusive([',', '{', '}']);
        let mut begins = true;
        while depth >= 0 {
            let Some(part) = paths.next() else { break };
            if begins && depth == 0 {
                names.push(first(part));
            }
            depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
            begins = part.ends_with(',');
        }
    }
    names
}

/// Whether one module uses another, by whatever way.
fn leads_to(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            left.extend(uses.get(module).into_iter().flatten().map(String::as_str));
        }
    }
    false
}
