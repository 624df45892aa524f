//! Which tests cover which cases: what their names and documentation say.
//!
//! Owns: how that is read in a source, and where in a log a test is to be found. Never knows: whether it is true.

use crate::cases::Id;
use crate::log::{Log, Outcome};
use anyhow::Context;
use std::collections::BTreeSet;
use std::path::Path;

/// A test that covers cases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    pub name: String,
    /// From the repository's root, with `/`.
    pub file: String,
    pub cases: BTreeSet<Id>,
}

impl Test {
    /// The name of the program that runs it, and the modules above it that its file stands for.
    fn home(&self) -> (String, Vec<&str>) {
        let mut parts: Vec<&str> = self.file.trim_end_matches(".rs").split('/').skip(1).collect();
        let program = match parts[..] {
            [name, "src", ..] => {
                parts.drain(..2);
                name
            }
            // tests/NAME.rs, or tests/NAME/main.rs and the modules beside it; likewise examples.
            [_, _, name, ..] => {
                parts.drain(..3);
                name
            }
            _ => "",
        };
        if matches!(parts.last(), Some(&("lib" | "main" | "mod"))) {
            parts.pop();
        }
        (program.replace('-', "_"), parts)
    }

    /// What became of it. Of several tests that can be meant, the worst.
    pub fn outcome(&self, log: &Log) -> Option<Outcome> {
        let (program, modules) = self.home();
        let is_this = |path: &str| {
            let path: Vec<&str> = path.split("::").collect();
            path.starts_with(&modules) && path.last() == Some(&self.name.as_str())
        };
        log.iter().filter(|((p, path), _)| *p == program && is_this(path)).map(|(_, o)| *o).max()
    }
}

/// All Rust sources under a folder of the root, in the order of their names.
pub fn sources(root: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(root.join(folder))
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(sources(root, &path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
    found.sort();
    Ok(found)
}

/// The tests of a source that cover cases.
pub fn tests_in(file: &str, text: &str) -> Vec<Test> {
    let mut found = Vec::new();
    let mut documentation = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("///") {
            documentation.push(line.trim());
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else if !line.starts_with("//") {
            if let Some(name) = function(line).filter(|_| is_test) {
                let mut cases: BTreeSet<Id> = ids_in_name(name).into_iter().collect();
                for begin in 0..documentation.len() {
                    cases.extend(ids_in_documentation(&documentation[begin..].join(" ")));
                }
                if !cases.is_empty() {
                    found.push(Test { name: name.to_owned(), file: file.to_owned(), cases });
                }
            }
            documentation.clear();
            is_test = false;
        }
    }
    found
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.find(|c: char| !c.is_alphanumeric() && c != '_').map(|end| &name[..end])
}

/// The ids with which a name begins: `f_03_f_04_…`, `d_06_to_d_09_…`.
fn ids_in_name(name: &str) -> Vec<Id> {
    let words: Vec<&str> = name.split('_').collect();
    let id_at = |at: usize| Id::new(words.get(at)?, words.get(at + 1)?);
    let (mut ids, mut at) = (Vec::new(), 0);
    while let Some(id) = id_at(at) {
        at += 2;
        ids.push(id);
        if words.get(at) == Some(&"to")
            && let Some(last) = id_at(at + 1)
        {
            at += 3;
            ids.extend(id.to(last));
        }
    }
    ids
}

/// The ids with which a documentation begins: `F-03, F-04: …`, `Cases D-06 to D-09.`. What is not such a list to its
/// colon or full stop is prose, and covers nothing.
fn ids_in_documentation(text: &str) -> Vec<Id> {
    let mut rest = text.strip_prefix("Cases ").or_else(|| text.strip_prefix("Case ")).unwrap_or(text);
    let mut ids = Vec::new();
    let mut is_range = false;
    loop {
        let Some(id) = rest.get(..4).and_then(Id::parse) else { return Vec::new() };
        match ids.last().copied() {
            Some(first) if is_range => ids.extend(Id::to(first, id)),
            _ => ids.push(id),
        }
        rest = &rest[4..];
        if rest.is_empty() || rest.starts_with([':', '.']) {
            return ids;
        }
        is_range = rest.starts_with(" to ");
        let Some(more) = [", ", " and ", " to "].iter().find_map(|s| rest.strip_prefix(s)) else {
            return Vec::new();
        };
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::log;
    use crate::report::tests::{ids, set};

    #[test]
    fn a_name_begins_with_ids() {
        for (name, expected) in [
            ("f_03_f_04_no_response_unless_asked", "F-03 F-04"),
            ("x_06_killed", "X-06"),
            ("a_02", "A-02"),
            ("s_02_l_04_a_stranger", "S-02 L-04"),
            ("f_03_ack_request_and_f_30_defaults", "F-03"),
            ("f_13_to_whom", "F-13"),
            ("a_421_is_distinguishable", ""),
            ("a_stranger", ""),
            ("o_7_x", ""),
            ("no_bytes_panic", ""),
        ] {
            assert_eq!(ids_in_name(name), ids(expected), "{name}");
        }
        let range: BTreeSet<Id> = ids_in_name("s_01_to_s_03_s_05_x").into_iter().collect();
        assert_eq!(range, set("S-01 S-02 S-03 S-05"));
    }

    #[test]
    fn a_documentation_begins_with_ids() {
        for (text, expected) in [
            ("S-12, S-13: dots.", "S-12 S-13"),
            ("Cases O-01, O-02.", "O-01 O-02"),
            ("Case A-02", "A-02"),
            ("O-01 and O-02: both", "O-01 O-02"),
            ("D-06 to D-08, R-01: who", "D-06 D-07 D-08 R-01"),
            ("O-01 is covered elsewhere", ""),
            ("See O-01: there", ""),
            ("O-01, and more: x", ""),
            ("F-3: x", ""),
            ("ÄÖÜ: x", ""),
            ("", ""),
        ] {
            let found: BTreeSet<Id> = ids_in_documentation(text).into_iter().collect();
            assert_eq!(found, set(expected), "{text}");
        }
    }

    #[test]
    fn only_tests_cover_anything() {
        let text = "/// F-01: not a test.\nfn f_01_helper() {}\n\n#[test]\n/// It reads on.\n/// F-02 to F-04,\n/// F-09: a list.\n\
                    #[cfg(unix)]\n// a remark\nasync fn f_05_it() {\n    let x = 1;\n}\nfn x_01_after() {}\nproptest! {\n    \
                    #[test]\n    fn x_02_law(a in 0..9) {}\n}\n#[tokio::test(flavor = \"x\")]\nfn none() {}\n";
        let found = tests_in("crates/a/src/b.rs", text);
        let names: Vec<(&str, BTreeSet<Id>)> =
            found.iter().map(|t| (t.name.as_str(), t.cases.clone())).collect();
        assert_eq!(names, [("f_05_it", set("F-02 F-03 F-04 F-05 F-09")), ("x_02_law", set("X-02"))]);
    }

    const LOG: &str = "warning: x\n     Running unittests src/lib.rs (/t/debug/deps/wire-0a1b)\n\nrunning 3 tests\n\
        test smtp::server::tests::s_03_helo ... ok\ntest smtp::path::tests::s_25_path ... FAILED\n\
        test should - should panic ... ok\ntest result: FAILED. 1 passed; 1 failed\n     \
        Running tests/dialogues/main.rs (target/debug/deps/dialogues-99)\n\
        test session::s_03_helo ... FAILED\ntest session::s_04 has been running for over 60 seconds\n\
        test session::s_04 ... ignored, why\n   Doc-tests wire\ntest src/lib.rs - (line 3) ... ok\n";

    #[test]
    fn the_log_tells_programs_apart_and_the_last_result_counts() {
        let test = |file: &str, name: &str| Test { name: name.into(), file: file.into(), cases: set("S-03") };
        let here = test("crates/wire/src/smtp/server/tests.rs", "s_03_helo");
        let there = test("crates/belino/tests/dialogues/session.rs", "s_03_helo");
        let first = log(LOG);
        assert_eq!(here.outcome(&first), Some(Outcome::Passed));
        assert_eq!(there.outcome(&first), Some(Outcome::Failed));
        assert_eq!(test("crates/wire/src/smtp/path.rs", "s_25_path").outcome(&first), Some(Outcome::Failed));
        assert_eq!(
            test("crates/belino/tests/dialogues/session.rs", "s_04").outcome(&first),
            Some(Outcome::Ignored)
        );
        assert_eq!(test("crates/wire/src/lib.rs", "should").outcome(&first), Some(Outcome::Passed));
        assert_eq!(test("crates/wire/src/smtp/path.rs", "s_03_helo").outcome(&first), None);
        assert_eq!(test("crates/relay/src/smtp/server/tests.rs", "s_03_helo").outcome(&first), None);
        let again = "Running tests/dialogues/main.rs (x/dialogues-98)\ntest session::s_03_helo ... ok\n";
        assert_eq!(there.outcome(&log(&(LOG.to_owned() + again))), Some(Outcome::Passed));
    }

    #[test]
    fn where_a_test_lives() {
        for (file, program, modules) in [
            ("crates/mms/src/lib.rs", "mms", ""),
            ("crates/wire/src/mm4/tests/cases.rs", "wire", "mm4 tests cases"),
            ("crates/wire/src/mm4/mod.rs", "wire", "mm4"),
            ("crates/relay/tests/laws.rs", "laws", ""),
            ("crates/belino/tests/dialogues/main.rs", "dialogues", ""),
            ("crates/belino/tests/dialogues/session.rs", "dialogues", "session"),
            ("crates/a-b/src/c.rs", "a_b", "c"),
        ] {
            let test = Test { name: "x".into(), file: file.into(), cases: BTreeSet::new() };
            assert_eq!(test.home(), (program.to_owned(), modules.split_whitespace().collect()), "{file}");
        }
    }
}
