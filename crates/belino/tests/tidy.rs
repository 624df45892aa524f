//! What can be checked is not left to review: floors, sizes of rooms, pages that name tests and decisions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    found.sort();
    assert!(found.len() > 50);
    found.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect()
}

/// The floors: which of our crates, and which others, each crate may use.
#[test]
fn each_floor_uses_only_what_it_may() {
    let floors: [(&str, &[&str]); 4] = [
        ("mms", &[]),
        ("wire", &["mms", "memchr"]),
        ("relay", &["mms"]),
        ("store", &["mms", "relay", "rusqlite", "crc32c", "rustix", "tracing"]),
    ];
    for (name, may) in floors {
        let manifest = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let uses: BTreeSet<&str> = manifest
            .split("\n[")
            .filter_map(|section| section.strip_prefix("dependencies]"))
            .flat_map(str::lines)
            .filter_map(|line| {
                line.split(['.', ' ', '=']).next().filter(|n| !n.is_empty() && !n.starts_with('#'))
            })
            .collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert!(uses.is_subset(&may), "{name} uses {uses:?}, may use {may:?}");
    }
}

/// A module says in its first line what it is.
#[test]
fn each_file_opens_with_its_purpose() {
    for (path, text) in all_sources() {
        assert!(text.starts_with("//!"), "{} does not open with a module head", path.display());
    }
}

/// Past this a room holds a second noun.
#[test]
fn no_file_outgrows_its_room() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= 900, "{} has {lines} lines; look for the second noun", path.display());
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let marks = [
        concat!("#[ig", "nore"),
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
    ];
    for (path, text) in all_sources() {
        for mark in marks {
            assert!(!text.contains(mark), "{} holds {mark}", path.display());
        }
    }
}

/// Every test that SECURITY.md names exists; a name may be a part of one.
#[test]
fn promises_name_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let sources = all_sources();
    let mut named = 0;
    for row in page.lines().filter(|l| l.starts_with("| ")) {
        let Some(test) = row.trim_end_matches(" |").rsplit("| ").next().and_then(|c| c.strip_prefix('`'))
        else {
            continue;
        };
        let test = test.trim_end_matches('`');
        let is_named =
            |line: &str| line.trim_start().strip_prefix("fn ").is_some_and(|name| name.contains(test));
        assert!(sources.iter().any(|(_, text)| text.lines().any(is_named)), "no test is named after {test}");
        named += 1;
    }
    assert!(named >= 10);
}

/// Links between pages lead somewhere.
#[test]
fn pages_link_to_files_that_exist() {
    for page in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "docs/configuration.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                assert!(root().join(page).parent().unwrap().join(link).exists(), "{page} links to {link}");
            }
        }
    }
}

/// The reference of the configuration names every key that is read, and the key stands in the parser.
#[test]
fn every_key_is_documented() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut keys = 0;
    for (file, begin, end) in [
        ("parse.rs", "struct File {", "/// Read and check a configuration file."),
        ("http.rs", "struct HttpPart {", "/// Names of all webhooks, checked."),
    ] {
        let parser = std::fs::read_to_string(root().join("crates/belino/src/config").join(file)).unwrap();
        let (begin, end) = (parser.find(begin).unwrap(), parser.find(end).unwrap());
        for line in parser[begin..end].lines() {
            let field = line.strip_prefix("    ").and_then(|l| l.split_once(": "));
            let Some((key, _)) =
                field.filter(|(k, _)| k.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            else {
                continue;
            };
            keys += 1;
            let named = page.contains(&format!("`{key}`")) || page.contains(&format!("[{key}]"));
            assert!(named, "docs/configuration.md does not name {key}");
        }
    }
    assert!(keys > 70);
}

/// The configuration in README is accepted.
#[test]
fn the_readmes_configuration_is_fine() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    belino::config::parse(example, Path::new("/etc/belino/belino.toml")).unwrap();
}
