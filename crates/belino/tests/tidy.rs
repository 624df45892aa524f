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
    sources(&root().join("benches"), &mut found);
    found.sort();
    assert!(found.len() > 50);
    found.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect()
}

/// The floors: which of our crates, and which others, each crate may use.
#[test]
fn each_floor_uses_only_what_it_may() {
    let floors: [(&str, &[&str]); 5] = [
        ("mms", &[]),
        ("wire", &["mms", "memchr"]),
        ("relay", &["mms"]),
        ("store", &["mms", "relay", "rusqlite", "crc32c", "rustix", "tracing"]),
        ("sim", &["mms", "wire", "relay", "indicatif"]),
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

/// Every test of the threat model exists, by its whole name, and no threat is left out.
#[test]
fn each_threat_has_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let sources = all_sources();
    let mut numbers = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, _, tests] = cells[..] else { panic!("{row}") };
        numbers.push(number.parse::<u32>().unwrap());
        for test in tests.split(", ") {
            let begin = format!("fn {}(", test.trim_matches('`'));
            let exists = |text: &str| text.lines().any(|line| line.trim_start().starts_with(&begin));
            assert!(sources.iter().any(|(_, text)| exists(text)), "threat {number}: no test {test}");
        }
    }
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
}

/// The unit gives the process nothing that it does not need.
#[test]
fn the_unit_is_hardened() {
    let unit = std::fs::read_to_string(root().join("packaging/belino.service")).unwrap();
    for line in [
        "User=belino",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
        "StateDirectoryMode=0700",
        "UMask=0077",
    ] {
        assert!(unit.lines().any(|found| found == line), "packaging/belino.service: {line} is missing");
    }
    let writable = unit.lines().filter(|line| line.starts_with("ReadWritePaths")).count();
    assert_eq!(writable, 0, "only the state directory is writable");
}

/// Links between pages lead somewhere.
#[test]
fn pages_link_to_files_that_exist() {
    let pages = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "docs/configuration.md",
        "docs/metrics.md",
        "docs/traces.md",
        "docs/private-links.md",
        "docs/conformance.md",
        "benches/README.md",
        "docs/performance.md",
        "docs/backup.md",
        "docs/charging.md",
        "docs/threat-model.md",
        "docs/decisions/0018-the-simulator.md",
        "crates/sim/README.md",
    ];
    for page in pages {
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
        ("limits.rs", "struct LimitsPart {", "fn retry("),
        ("discovery.rs", "struct DiscoveryPart {", "/// How numbers and hosts are found."),
        ("charging.rs", "struct ChargingPart {", "/// The section is there"),
        ("http.rs", "struct HttpPart {", "/// Names of all webhooks, checked."),
        ("console.rs", "struct ConsolePart {", "/// The whole."),
    ] {
        let parser = std::fs::read_to_string(root().join("crates/belino/src/config").join(file)).unwrap();
        let (begin, end) = (parser.find(begin).unwrap(), parser.find(end).unwrap());
        for line in parser[begin..end].lines() {
            let field = line.strip_prefix("    ").map(|l| l.strip_prefix("pub ").unwrap_or(l));
            let field = field.and_then(|l| l.split_once(": "));
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

/// `docs/profiles.md` is made from the code: every knob, its value in each ready-made profile, and what is tolerated.
/// `BELINO_WRITE_DOCS=1 cargo test -p belino --test tidy` writes it anew.
#[test]
fn the_page_of_profiles_is_fresh() {
    use relay::house::Profile;
    let names: Vec<&str> = Profile::READY_MADE.iter().map(|(name, _)| *name).collect();
    let profiles: Vec<Profile> = names.iter().map(|name| Profile::ready_made(name).unwrap()).collect();
    let mut page = String::from(
        "# Profiles: how peers differ\n\n\
         A peer's `profile` says how it likes its MM4, and what it cannot do. It is the name of a ready-made one, or a table that\n\
         changes some knobs of one:\n\n\
         ```toml\n[[peer]]\nprofile = \"mbuni\"\n# or\nprofile = { like = \"bare-operator\", version = \"6.3.0\", rate_max = 600 }\n```\n\n\
         This page is made from the code by the tests.\n\n## Ready-made\n\n| name | for |\n|---|---|\n",
    );
    for (name, text) in Profile::READY_MADE {
        page.push_str(&format!("| `{name}` | {text} |\n"));
    }
    page.push_str(&format!(
        "\n## Knobs\n\nA ready-made profile has the default where its column is empty.\n\n| key | meaning | {} |\n|---|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    ));
    for knob in Profile::KNOBS {
        let standard = (knob.show)(&profiles[0]);
        let values: Vec<String> = profiles
            .iter()
            .enumerate()
            .map(|(i, p)| (i, (knob.show)(p)))
            .map(|(i, value)| if i > 0 && value == standard { String::new() } else { format!("`{value}`") })
            .collect();
        page.push_str(&format!(
            "| `{}` |{} | {} |\n",
            knob.key,
            knob.doc.replace('|', "\\|"),
            values.join(" | ")
        ));
    }
    page.push_str(
        "\nBesides, `[[peer]]` has `numbers` (how the peer writes numbers to us), `one_message_per_connection`, `connections_max` and\n\
         `sessions_max`: see [configuration.md](configuration.md).\n\n\
         ## What is understood\n\n\
         Every peer may write these fields in these ways; a profile with `strict = true` may not. `belino decode FILE` tells what\n\
         had to be tolerated in a mail. Names of fields and closed values are understood in any case of letters.\n\n\
         | field | expected | tolerated | when absent |\n|---|---|---|---|\n",
    );
    for field in &wire::mm4::FIELDS {
        let or_dash = |text: Option<&str>| text.map_or("-".to_owned(), |t| t.replace('|', "\\|"));
        page.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            field.header,
            field.expected,
            or_dash(field.tolerated),
            or_dash(field.default)
        ));
    }
    let path = root().join("docs/profiles.md");
    if std::env::var_os("BELINO_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "write it anew: BELINO_WRITE_DOCS=1 cargo test -p belino --test tidy");
}
