//! What `cargo test` printed: the last result of each test.

use std::collections::BTreeMap;

/// What became of a test, the better before the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    Passed,
    Ignored,
    Failed,
}

/// By the program that ran it, and the path of the test in there.
pub type Log = BTreeMap<(String, String), Outcome>;

/// Read what `cargo test` printed, programs one after the other. The last result of a test counts.
pub fn log(text: &str) -> Log {
    let mut results = Log::new();
    let mut program = String::new();
    for line in text.lines() {
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            // `Running tests/laws.rs (target/debug/deps/laws-0123456789abcdef)`
            let file = running.trim_end_matches(')').rsplit(['/', '\\']).next().unwrap_or_default();
            program = file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned();
        } else if line.trim_start().starts_with("Doc-tests ") {
            program.clear();
        } else if let Some((path, result)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ")) {
            let outcome = match result.split([' ', ',']).next() {
                Some("ok") => Outcome::Passed,
                Some("FAILED") => Outcome::Failed,
                Some("ignored") => Outcome::Ignored,
                _ => continue,
            };
            let path = path.split(" - ").next().unwrap_or(path);
            results.insert((program.clone(), path.to_owned()), outcome);
        }
    }
    results
}
