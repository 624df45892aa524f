//! Pages as they lie in `docs`: sections, fenced blocks, links; and how what a page shows is compared with what is printed.

use std::path::{Path, PathBuf};

/// A fenced block.
pub struct Block {
    pub language: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A page, by its path below `docs`.
pub fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|e| panic!("docs/{name}: {e}"))
}

/// Write a page anew if that was asked for; it must be what it should be.
pub fn fresh(name: &str, expected: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("BELINO_WRITE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let first = written.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        written == expected,
        "docs/{name} is not fresh: {first:?}; write it anew: BELINO_WRITE_DOCS=1 cargo test -p belino --test guide"
    );
}

/// Every page below `docs`, decisions aside.
pub fn all() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "guide/"] {
        for entry in std::fs::read_dir(root().join("docs").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    names.sort();
    names
}

/// The fenced blocks of a text, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.to_owned(), text: inside.join("\n") });
        }
    }
    blocks
}

/// The section under a heading of the second level, up to the next one.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let begin = format!("\n## {heading}\n");
    let at = text.find(&begin).unwrap_or_else(|| panic!("no section {heading:?}")) + begin.len();
    let rest = &text[at..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// Whether a line of a page stands in one that was printed. `...` and `ID` stand for anything, and space is space.
pub fn shows(shown: &str, printed: &str) -> bool {
    let one_space = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = one_space(printed);
    let pattern: Vec<&str> =
        shown.split_whitespace().map(|word| if word == "ID" { "..." } else { word }).collect();
    let mut rest = printed.as_str();
    pattern.join(" ").replace("ID/", ".../").split("...").map(str::trim).all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// The first line of a page that nothing shows of what was printed.
pub fn missing<'a>(shown: &'a str, printed: &str) -> Option<&'a str> {
    shown.lines().find(|line| !line.is_empty() && !printed.lines().any(|printed| shows(line, printed)))
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn lines_are_compared_loosely() {
    assert!(shows("taken as ID", "taken as 01m89c4y49000csb5cma95h1nm"));
    assert!(shows("  ...  queued for the peer [b]", "  2026-11-25T12:54:58.786Z  queued for the peer [b]"));
    assert!(shows("b   1 ... open", "b                       1          0         1  off            open"));
    assert!(!shows("taken as ID", "refused"));
    assert!(!shows("open ... b", "b open"));
    assert_eq!(missing("a\nb", "a\nc"), Some("b"));
}

/// Links lead to files that exist and to headings that they have; every page is in the summary.
#[test]
fn links_lead_somewhere() {
    let summary = page("SUMMARY.md");
    for name in all() {
        let text = page(&name);
        let here = root().join("docs").join(&name);
        let mut outside = String::new();
        for (i, part) in text.split("```").enumerate() {
            if i % 2 == 0 {
                outside.push_str(part);
            }
        }
        for link in outside.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, h)| (file, Some(h)));
            let target = if file.is_empty() { here.clone() } else { here.parent().unwrap().join(file) };
            assert!(target.exists(), "docs/{name} links to {link}");
            if let Some(heading) = heading {
                let there = std::fs::read_to_string(&target).unwrap();
                assert!(
                    anchors(&there).iter().any(|a| a == heading),
                    "docs/{name}: no heading behind {link}"
                );
            }
        }
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "SUMMARY.md lacks {name}");
    }
}

/// Every configuration in the guide is read: a whole one as it is, a part of one within the least that it needs.
#[test]
fn configurations_are_read() {
    let mut whole = 0;
    for name in all() {
        for block in blocks(&page(&name)).iter().filter(|block| block.language == "toml") {
            let text = &block.text;
            // Two ways of writing one key, the second after `# or`.
            for text in text.split("# or\n").enumerate().map(|(i, part)| match i {
                0 => part.to_owned(),
                _ => format!("[[peer]]\n{part}"),
            }) {
                let is_whole = text.contains("[relay]");
                whole += usize::from(is_whole);
                let relay = "[relay]\ndomain = \"mms.a.example\"\ndata = \"/var/lib/belino\"\n";
                let mut text = if is_whole { text } else { format!("{relay}{text}") };
                if text.contains("[[application]]") && !is_whole {
                    text.push_str("\n[[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n");
                }
                if !text.contains("name =") {
                    text = text.replace("[[peer]]", "[[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]");
                }
                if text.contains("[[peer]]") && !text.contains("hosts =") {
                    text.push_str("\nhosts = [\"192.0.2.20\"]\n");
                }
                if let Err(error) = belino::config::parse(&text, Path::new("/etc/belino/belino.toml")) {
                    panic!("docs/{name}: {error}\n{text}");
                }
            }
        }
    }
    assert!(whole >= 3, "{whole}");
}

/// The package's configuration is fine, and safe: nobody but this machine can connect, and it knows no peer.
#[test]
fn the_packaged_configuration_is_safe() {
    let path = root().join("packaging/belino.toml");
    let config = belino::config::load(&path).unwrap();
    assert!(config.listen.iter().all(|address| address.ip().is_loopback()) && config.http.listen.is_empty());
    assert!(config.house.peers.is_empty() && config.house.locals.is_empty());
    // What is commented out would be fine, too.
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, examples) = text.split_once("# Whom we serve:").unwrap();
    let examples: Vec<&str> =
        examples.lines().map(|line| line.trim_start_matches("# ").trim_start_matches('#')).collect();
    let examples = examples.join("\n").replace("Another operator:", "");
    let config = belino::config::parse(&format!("{head}{examples}"), &path).unwrap();
    assert_eq!((config.house.peers.len(), config.house.locals.len()), (1, 1));
}
