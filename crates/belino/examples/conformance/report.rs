//! Cases, tests and results together: counts, what must not be, and the page.

use crate::cases::{Area, Case, Id, Waits};
use crate::coverage::Test;
use crate::log::{Log, Outcome};
use crate::{CASES, COMMANDS};
use std::collections::BTreeSet;
use std::fmt;

/// How it stands with a case.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Passed,
    PassedInPart(String),
    Waits(String),
    Failed,
    NotRun,
    NoTest,
}

impl Standing {
    fn of(waits: &Waits, outcomes: &[Option<Outcome>]) -> Self {
        if outcomes.contains(&Some(Outcome::Failed)) {
            return Self::Failed;
        }
        let passed = outcomes.iter().all(|o| *o == Some(Outcome::Passed));
        match waits {
            Waits::Whole(what) => Self::Waits(what.clone()),
            _ if outcomes.is_empty() => Self::NoTest,
            _ if !passed => Self::NotRun,
            Waits::Part(what) => Self::PassedInPart(what.clone()),
            Waits::Nothing => Self::Passed,
        }
    }

    fn is_passed(&self) -> bool {
        matches!(self, Self::Passed | Self::PassedInPart(_))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::PassedInPart(what) => write!(f, "passed; the rest waits for {what}"),
            Self::Waits(what) => write!(f, "waits for {what}"),
            Self::Failed => f.write_str("**failed**"),
            Self::NotRun => f.write_str("**not run**"),
            Self::NoTest => f.write_str("**no test yet**"),
        }
    }
}

/// How many cases stand how.
#[derive(Default)]
pub struct Counts {
    all: usize,
    passed: usize,
    waiting: usize,
    no_test: usize,
}

impl Counts {
    fn add(&mut self, standing: &Standing) {
        self.all += 1;
        self.passed += usize::from(standing.is_passed());
        self.waiting += usize::from(matches!(standing, Standing::Waits(_)));
        self.no_test += usize::from(*standing == Standing::NoTest);
    }

    /// Failed or not run.
    fn other(&self) -> usize {
        self.all - self.passed - self.waiting - self.no_test
    }

    fn row(&self, title: &str) -> String {
        let other = self.other();
        let Self { all, passed, waiting, no_test, .. } = self;
        format!("| {title} | {all} | {passed} | {waiting} | {no_test} | {other} |\n")
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, passed, waiting, no_test, .. } = self;
        write!(f, "{all} cases: {passed} passed, {waiting} wait, {no_test} have no test, ")?;
        write!(f, "{} failed or did not run", self.other())
    }
}

/// All cases with their tests and their results.
pub struct Report {
    areas: Vec<Area>,
    tests: Vec<(Test, Option<Outcome>)>,
}

impl Report {
    pub fn new(areas: Vec<Area>, tests: Vec<Test>, log: Option<&Log>) -> Self {
        let mut tests: Vec<_> =
            tests.into_iter().map(|test| (test.clone(), log.and_then(|log| test.outcome(log)))).collect();
        tests.sort_by(|(a, _), (b, _)| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        Self { areas, tests }
    }

    fn tests_of(&self, id: Id) -> impl Iterator<Item = &(Test, Option<Outcome>)> {
        self.tests.iter().filter(move |(test, _)| test.cases.contains(&id))
    }

    fn standing(&self, case: &Case) -> Standing {
        let outcomes: Vec<Option<Outcome>> = self.tests_of(case.id).map(|(_, outcome)| *outcome).collect();
        Standing::of(&case.waits, &outcomes)
    }

    fn all(&self) -> impl Iterator<Item = &Case> {
        self.areas.iter().flat_map(|area| &area.cases)
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.all().for_each(|case| counts.add(&self.standing(case)));
        counts
    }

    /// What must not be, each in one line.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for case in self.all() {
            if self.standing(case) == Standing::NoTest {
                problems.push(format!("{} has no test and waits for nothing: {}", case.id, case.expected));
            }
        }
        let known: BTreeSet<Id> = self.all().map(|case| case.id).collect();
        for (Test { name, file, cases }, outcome) in &self.tests {
            let ids = cases.iter().map(Id::to_string).collect::<Vec<_>>().join(", ");
            let word = match outcome {
                Some(Outcome::Passed) => None,
                Some(Outcome::Failed) => Some("failed"),
                Some(Outcome::Ignored) => Some("was ignored"),
                None => Some("has no result in the log"),
            };
            if let Some(word) = word {
                problems.push(format!("{name} in {file}, which covers {ids}, {word}"));
            }
            for id in cases.difference(&known) {
                problems.push(format!("{name} in {file} covers {id}, which is not in {CASES}"));
            }
        }
        problems
    }

    pub fn page(&self) -> String {
        let mut page = format!(
            "# Conformance\n\n\
             How Belino stands to each case of its own list for MM4: what is expected, where the rule lives, the test that \
             shows it, and that test's\nlast result. Where a case speaks of what a user sees or does, the mailbox and the \
             command line stand for his terminal. A case that waits\nfor something that Belino does not have yet says for \
             what; tests that it names then show what is there already.\n\n\
             This page is made from [the list](conformance/cases.txt), from the names and documentation of the tests, and \
             from a log of their run:\n\n{COMMANDS}\n\
             `.ci/run` fails when the page is stale, when a test that covers a case failed, and when a case has neither a \
             test that passed nor a\nreason to wait.\n\n\
             | area | cases | passed | waiting | no test yet | failed or not run |\n|---|---|---|---|---|---|\n"
        );
        for area in &self.areas {
            let mut counts = Counts::default();
            area.cases.iter().for_each(|case| counts.add(&self.standing(case)));
            page += &counts.row(&format!("{}: {}", area.letter, area.name));
        }
        page += &self.counts().row("all");
        for area in &self.areas {
            page += &format!("\n## {}: {}\n\n", area.letter, area.name);
            page += "| case | what is expected when | rule | test | result |\n|---|---|---|---|---|\n";
            for case in &area.cases {
                let tests: Vec<String> = self.tests_of(case.id).map(|(test, _)| link(test)).collect();
                let Case { id, expected, clause, .. } = case;
                let (tests, standing) = (tests.join("<br>"), self.standing(case));
                page += &format!("| {id} | {expected} | {clause} | {tests} | {standing} |\n");
            }
        }
        page
    }
}

/// A test as it stands in the page.
fn link(Test { name, file, .. }: &Test) -> String {
    let shown = file.strip_prefix("crates/").unwrap_or(file);
    format!("`{name}` in [{shown}](../{file})")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cases::cases;
    use crate::log::log;

    pub fn ids(text: &str) -> Vec<Id> {
        text.split_whitespace().map(|id| Id::parse(id).unwrap()).collect()
    }

    pub fn set(text: &str) -> BTreeSet<Id> {
        ids(text).into_iter().collect()
    }

    pub const LIST: &str = "# a remark\n\n== F | Forward\nF-01 | It is taken | TS 23.140 8.4.1\nF-02 | It is told | \
                        our rule | MM1\n== X | Rest\nX-01 | It is shown | our rule | part: MM3\n";

    fn report(tests: &[(&str, &str)], log_text: &str) -> Report {
        let tests = tests.iter().map(|(name, cases)| Test {
            name: (*name).into(),
            file: "crates/a/tests/t.rs".into(),
            cases: set(cases),
        });
        let log = log(&format!("Running tests/t.rs (deps/t-1)\n{log_text}"));
        Report::new(cases(LIST).unwrap(), tests.collect(), Some(&log))
    }

    #[test]
    fn what_passed_or_waits_is_no_problem() {
        let tests = [("f_01_a", "F-01"), ("f_01_b", "F-01 X-01")];
        let report = report(&tests, "test f_01_a ... ok\ntest f_01_b ... ok\n");
        assert_eq!(report.problems(), Vec::<String>::new());
        assert_eq!(
            report.counts().to_string(),
            "3 cases: 2 passed, 1 wait, 0 have no test, 0 failed or did not run"
        );
        let page = report.page();
        let both = "`f_01_a` in [a/tests/t.rs](../crates/a/tests/t.rs)<br>`f_01_b` in [a/tests/t.rs](../crates/a/tests/t.rs)";
        for line in [
            format!("| F-01 | It is taken | TS 23.140 8.4.1 | {both} | passed |"),
            "| F-02 | It is told | our rule |  | waits for MM1 |".into(),
            "| F: Forward | 2 | 1 | 1 | 0 | 0 |".into(),
            "| all | 3 | 2 | 1 | 0 | 0 |".into(),
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
        assert!(page.contains("| passed; the rest waits for MM3 |"));
    }

    #[test]
    fn each_problem_is_named() {
        let tests = [("f_01_a", "F-01"), ("f_01_b", "F-01"), ("f_02_a", "F-02 F-77")];
        let report = report(&tests, "test f_01_a ... ok\ntest f_02_a ... FAILED\n");
        let problems = report.problems();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].starts_with("X-01 has no test"));
        assert!(
            problems[1].starts_with("f_01_b in crates/a/tests/t.rs") && problems[1].contains("no result")
        );
        assert!(problems[2].starts_with("f_02_a") && problems[2].ends_with("covers F-02, F-77, failed"));
        assert!(problems[3].contains("F-77, which is not in docs/conformance/cases.txt"));
        // One of several tests that did not run is enough; a failure counts while waiting, too.
        let page = report.page();
        assert_eq!(page.matches("**not run**").count(), 1);
        assert_eq!(page.matches("**failed**").count(), 1);
        assert_eq!(page.matches("**no test yet**").count(), 1);
    }
}
