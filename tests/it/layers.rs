//! Checks which module may import which, from the `use` lines and paths of the sources. The test enforces the table in
//! ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PURE: [&str; 8] = [
    "policy", "hls", "media", "viewer", "likes", "theory", "report", "top",
];

/// Paths that code in the pure folders must not name.
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

/// The lines of code of a file; comments do not count.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .map(str::to_owned)
        .collect()
}

/// The paths in some code: each `use` unfolded, and paths in the code itself.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("use ") {
        let begins_a_word = before
            .chars()
            .next_back()
            .is_none_or(|letter| !letter.is_alphanumeric() && letter != '_');
        found.extend(inline(before));
        if begins_a_word && let Some((tree, after)) = after.split_once(';') {
            unfold("", tree, &mut found);
            rest = after;
        } else {
            rest = after;
        }
    }
    found.extend(inline(rest));
    found
}

/// Paths with `::` in code outside of a `use`.
fn inline(code: &str) -> Vec<String> {
    // A visibility is no import.
    let code = code.replace("pub(in ", "pub(\u{0}");
    code.split(|letter: char| !letter.is_alphanumeric() && !"_:\u{0}".contains(letter))
        .filter(|word| word.contains("::") && !word.contains('\u{0}'))
        .map(str::to_owned)
        .collect()
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn unfold(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inside)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        found.push(format!("{prefix}{name}"));
        return;
    };
    let inside = inside.trim_end().trim_end_matches('}');
    let (mut depth, mut begin) = (0, 0);
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                unfold(
                    &format!("{prefix}{}", head.trim()),
                    &inside[begin..at],
                    found,
                );
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !inside[begin..].trim().is_empty() {
        unfold(&format!("{prefix}{}", head.trim()), &inside[begin..], found);
    }
}

/// Whether a path leads into this crate or module.
fn leads_into(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The code of a file, without the tests at its end.
fn code(file: &Path) -> String {
    let text = lines(file).join("\n");
    let tests = text.find("#[cfg(test)]\nmod tests {");
    text[..tests.unwrap_or(text.len())].to_owned()
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
        for path in paths(&lines(file).join("\n")) {
            let names = forbidden.iter().filter(|name| {
                leads_into(&path, name) || path.split("::").any(|word| word == **name)
            });
            found.extend(names.map(|name| {
                let file = file.strip_prefix(&root).unwrap();
                format!("{}: {name}: {path}", file.display())
            }));
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
fn virtual_time_performs_without_sockets_and_without_a_clock() {
    let above = ["crate::run", "crate::app", "crate::terminal"];
    let forbidden: Vec<_> = FORBIDDEN_IN_PURE
        .into_iter()
        .chain(["Instant", "SystemTime"])
        .chain(above)
        .collect();
    assert_eq!(breaches("sim", &forbidden), Vec::<String>::new());
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
            lines(file)
                .iter()
                .any(|line| line.contains("Instant::now()") || line.contains("SystemTime::now()"))
        })
        .collect();
    assert_eq!(readers, [root.join("serve/clock.rs")]);
}

#[test]
fn a_run_knows_nothing_of_the_command_line_and_servers_nothing_of_runs() {
    assert_eq!(breaches("run", &["crate::app"]), Vec::<String>::new());
    for folder in ["serve", "load"] {
        let above = ["crate::run", "crate::app"];
        assert_eq!(breaches(folder, &above), Vec::<String>::new());
    }
    for folder in ["config", "scenario"] {
        let above = ["crate::run", "crate::app", "crate::serve", "crate::load"];
        assert_eq!(breaches(folder, &above), Vec::<String>::new());
    }
}

/// The modules of the crate, by their path (`crate::serve::edge`), and the file of each.
fn modules() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |file: PathBuf| {
        let inside = file.strip_prefix(&root).unwrap().with_extension("");
        let words = inside.iter().map(|word| word.to_str().unwrap().to_owned());
        let words = words.filter(|word| word != "mod" && word != "lib");
        let path = std::iter::once("crate".to_owned()).chain(words);
        (path.collect::<Vec<_>>().join("::"), file)
    };
    sources(&root).into_iter().map(named).collect()
}

/// The module that a path in the code of `module` leads to, if it is a module of this crate. It is the deepest module whose
/// name the path begins with.
fn target(modules: &BTreeMap<String, PathBuf>, module: &str, path: &str) -> Option<String> {
    let words: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = module.split("::").collect();
    let child = format!("{module}::{}", words[0]);
    let skip = match words[0] {
        "crate" => {
            base.truncate(1);
            1
        }
        "self" => 1,
        "super" => {
            let up = words.iter().take_while(|&&word| word == "super").count();
            base.truncate(base.len().saturating_sub(up));
            up
        }
        // A child module may be named without `self::`.
        _ if modules.contains_key(&child) => 0,
        _ => return None,
    };
    let words = words.into_iter().skip(skip);
    for word in words {
        base.push(word);
        if !modules.contains_key(&base.join("::")) {
            base.pop();
            break;
        }
    }
    Some(base.join("::"))
}

#[test]
fn no_two_files_import_each_other_directly_or_round_a_corner() {
    let modules = modules();
    let mut imports = BTreeMap::new();
    for (module, file) in &modules {
        let named = paths(&code(file));
        let targets = named
            .iter()
            .filter_map(|path| target(&modules, module, path));
        let targets: BTreeSet<_> = targets
            .filter(|target| target != module && target != "crate")
            .collect();
        imports.insert(module.clone(), targets);
    }
    // A module without remaining imports is in no cycle.
    loop {
        let free: Vec<_> = imports
            .iter()
            .filter(|(_, targets)| targets.is_empty())
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for module in free {
            imports.remove(&module);
            imports.values_mut().for_each(|targets| {
                targets.remove(&module);
            });
        }
    }
    assert!(
        imports.is_empty(),
        "these are on a circle, or import what is on one: {imports:#?}"
    );
}

#[test]
fn the_reader_of_sources_finds_what_it_looks_for() {
    let code = "use tokio::sync::watch;\nuse crate::{serve::{self, clock}, time as t};\nlet x = std::fs::read(y);";
    let found = paths(code);
    for path in [
        "tokio::sync::watch",
        "crate::serve::self",
        "crate::serve::clock",
        "crate::time",
        "std::fs::read",
    ] {
        assert!(found.iter().any(|known| known == path), "{path}: {found:?}");
    }
    assert!(leads_into("tokio::spawn", "tokio"));
    assert!(!leads_into("my_tokio::x", "tokio"));
    assert!(paths("pub(in crate::serve) fn draw()").is_empty());
    let modules = modules();
    for (module, path, leads_to) in [
        (
            "crate::serve::edge::fetch",
            "super::store::Entry",
            "crate::serve::edge::store",
        ),
        (
            "crate::serve::edge::fetch",
            "self::order::Ask",
            "crate::serve::edge::fetch::order",
        ),
        (
            "crate::policy::edge",
            "super::super::time::Timestamp",
            "crate::time",
        ),
        (
            "crate::policy::edge",
            "crate::time::Timestamp",
            "crate::time",
        ),
    ] {
        assert_eq!(target(&modules, module, path).as_deref(), Some(leads_to));
    }
}
