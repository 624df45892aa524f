//! The conformance report of ourselves: docs/conformance.md, made from the list of cases, the tests and a log of their run.
//!
//! `cargo run -p belino --example conformance -- [--log FILE] [--check]`
//!
//! A test says which cases it covers at the beginning of its name (`f_03_f_04_no_response`, `d_06_to_d_09_who_asked`) or
//! at the beginning of a paragraph or line of its documentation (`/// O-01, O-02: …`, `/// Cases F-24 to F-30.`). A case
//! is covered by what a test says; whether that is true is for the reader of the test.

mod cases;
mod coverage;
mod log;
mod report;

use anyhow::Context;
use clap::Parser;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CASES: &str = "docs/conformance/cases.txt";
const PAGE: &str = "docs/conformance.md";
const COMMANDS: &str = "    cargo test --workspace 2>&1 | tee /tmp/test.log
    cargo run -p belino --example conformance -- --log /tmp/test.log
";
/// How many lines of a difference are shown, of each side.
const DIFFERENCE_MAX: usize = 20;

/// Write docs/conformance.md, or check that it is what tests and cases say.
#[derive(Parser)]
#[command(name = "conformance")]
struct Options {
    /// Output of `cargo test`, both streams; without it no result is known
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Write nothing; fail if the page is stale, or a case has neither a test that passed nor a reason to wait
    #[arg(long, requires = "log")]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well; what is not, is printed.
fn run(options: &Options) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &Path| {
        std::fs::read(path)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .with_context(|| format!("cannot read {}", path.display()))
    };
    let areas = cases::cases(&read(&root.join(CASES))?).context(CASES)?;
    let mut tests = Vec::new();
    for file in coverage::sources(&root, Path::new("crates"))? {
        tests.extend(coverage::tests_in(&file, &read(&root.join(&file))?));
    }
    let log = options.log.as_deref().map(read).transpose()?.map(|text| log::log(&text));
    let report = report::Report::new(areas, tests, log.as_ref());
    let page = report.page();
    let problems = report.problems();
    if !options.check {
        std::fs::write(root.join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))?;
        println!("{PAGE} is written: {}", report.counts());
        for problem in problems {
            println!("  --check would say: {problem}");
        }
        return Ok(true);
    }
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    let difference = difference(&read(&root.join(PAGE))?, &page);
    if !difference.is_empty() {
        eprintln!("error: {PAGE} is stale (-: as it is, +: as it should be):\n{difference}");
        eprintln!("Write it anew and look at what changed:\n\n{COMMANDS}");
    }
    let well = problems.is_empty() && difference.is_empty();
    if well {
        println!("{PAGE} is what the tests say: {}", report.counts());
    }
    Ok(well)
}

/// The lines that only one of them has, some of them; nothing if they are the same.
fn difference(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let only = |a: &str, b: &str, mark: char| {
        let b: BTreeSet<&str> = b.lines().collect();
        let lines: Vec<&str> = a.lines().filter(|l| !b.contains(l)).collect();
        let mut shown: String =
            lines.iter().take(DIFFERENCE_MAX).map(|line| format!("  {mark} {line}\n")).collect();
        if lines.len() > DIFFERENCE_MAX {
            shown += &format!("  {mark} and {} more lines\n", lines.len() - DIFFERENCE_MAX);
        }
        shown
    };
    let shown = only(old, new, '-') + &only(new, old, '+');
    if shown.is_empty() { "  the same lines in another order\n".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_in_bounds() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), "");
        assert_eq!(difference("a\nb\n", "a\nc\n"), "  - b\n  + c\n");
        assert_eq!(difference("a\nb\n", "b\na\n"), "  the same lines in another order\n");
        let long: String = (0..25).map(|n| format!("{n}\n")).collect();
        assert!(difference(&long, "").ends_with("  - 19\n  - and 5 more lines\n"));
    }
}
