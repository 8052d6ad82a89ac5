//! Who may import whom, read from the `use` lines and paths of the sources: the drawing in ARCHITECTURE.md, held true.

use std::path::{Path, PathBuf};

const PURE: [&str; 8] = [
    "policy", "hls", "media", "viewer", "likes", "theory", "report", "top",
];

/// What code in the pure folders never names.
const FORBIDDEN_IN_PURE: [&str; 16] = [
    "async_nats",
    "tokio",
    "warp",
    "hyper",
    "hyper_util",
    "moka",
    "prometheus",
    "rusqlite",
    "rustix",
    "governor",
    "socket2",
    "crate::serve",
    "crate::load",
    "std::net",
    "std::fs",
    "std::thread",
];

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The names that a file uses, one per line of code; comments do not count.
fn names(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn mentions(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind =
            line[at + name.len()..].starts_with("::") || line[at + name.len()..].starts_with(';');
        behind
            && before.is_none_or(|character| {
                !character.is_alphanumeric() && character != '_' && character != ':'
            })
    })
}

fn breaches(below: &str, forbidden: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = root.join(below);
    let files = if place.is_dir() {
        sources(&place)
    } else {
        vec![place.with_extension("rs")]
    };
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        for line in names(file) {
            for name in forbidden.iter().filter(|name| mentions(&line, name)) {
                found.push(format!(
                    "{}: {name}: {line}",
                    file.strip_prefix(&root).unwrap().display()
                ));
            }
        }
    }
    found
}

#[test]
fn what_decides_neither_performs_nor_reads_a_clock() {
    let forbidden: Vec<_> = FORBIDDEN_IN_PURE
        .into_iter()
        .chain(["Instant", "SystemTime"])
        .collect();
    for folder in PURE.into_iter().chain(["time"]) {
        assert_eq!(breaches(folder, &forbidden), Vec::<String>::new());
    }
}

#[test]
fn policy_imports_no_other_pure_folder() {
    let others: Vec<_> = PURE
        .iter()
        .filter(|folder| **folder != "policy")
        .map(|folder| format!("crate::{folder}"))
        .collect();
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    assert_eq!(breaches("policy", &others), Vec::<String>::new());
}

#[test]
fn servers_know_nothing_of_the_audience() {
    assert_eq!(
        breaches(
            "serve",
            &[
                "crate::load",
                "crate::viewer",
                "crate::theory",
                "crate::sim"
            ]
        ),
        Vec::<String>::new()
    );
    assert_eq!(breaches("load", &["crate::sim"]), Vec::<String>::new());
}

#[test]
fn one_file_reads_the_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let readers: Vec<_> = sources(&root)
        .into_iter()
        .filter(|file| {
            names(file)
                .iter()
                .any(|line| line.contains("Instant::now()") || line.contains("SystemTime::now()"))
        })
        .collect();
    assert_eq!(readers, [root.join("serve/clock.rs")]);
}

#[test]
fn the_reader_of_sources_finds_what_it_looks_for() {
    assert!(mentions("use tokio::sync::watch;", "tokio"));
    assert!(mentions("let x = tokio::spawn(y);", "tokio"));
    assert!(!mentions("use my_tokio::x;", "tokio"));
    assert!(mentions("use crate::serve::clock;", "crate::serve"));
}
