//! The committed figures, and what becomes of a count that is held against them.
//!
//! Owns: the file, the judgement, the table. Never knows: how anything is counted.

use crate::callgrind::Machine;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

const HEAD: &str = "\
# Instructions of one operation, counted by callgrind (benches/README.md).
# `BELINO_WRITE_BASELINE=1 cargo bench -p counts` writes this file anew.
";

/// Figures to compare with, and where they were counted.
#[derive(Debug, Default)]
pub struct Baseline {
    machine: Machine,
    counts: BTreeMap<String, u64>,
}

impl Baseline {
    /// The committed one.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        Self::parse(&text).map_err(|line| format!("{}: expected NAME COUNT, found {line:?}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || line.to_owned();
            let (name, value) = line.split_once(' ').ok_or_else(wrong)?;
            let value = value.trim();
            match name {
                "compiler:" => found.machine.compiler = value.to_owned(),
                "libc:" => found.machine.libc = value.to_owned(),
                "valgrind:" => found.machine.valgrind = value.to_owned(),
                "processor:" => found.machine.processor = value.to_owned(),
                _ => drop(found.counts.insert(name.to_owned(), value.parse().map_err(|_| wrong())?)),
            }
        }
        Ok(found)
    }

    /// Write figures, in this order.
    pub fn write(
        path: &Path,
        machine: &Machine,
        order: &[&str],
        counts: &BTreeMap<&str, u64>,
    ) -> Result<(), String> {
        let mut text = HEAD.to_owned();
        for (name, value) in parts(machine) {
            text.push_str(&format!("{:<11}{value}\n", format!("{name}:")));
        }
        text.push('\n');
        for name in order {
            text.push_str(&format!("{name:<32}{:>12}\n", counts.get(name).copied().unwrap_or_default()));
        }
        std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
    }
}

fn parts(machine: &Machine) -> [(&'static str, &str); 4] {
    [
        ("compiler", &machine.compiler),
        ("libc", &machine.libc),
        ("valgrind", &machine.valgrind),
        ("processor", &machine.processor),
    ]
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    before: Option<u64>,
    now: Option<u64>,
    growth_max: f64,
}

impl Row {
    /// In percent.
    fn growth(&self) -> Option<f64> {
        let (before, now) = (self.before? as f64, self.now? as f64);
        Some(100.0 * (now - before) / before)
    }

    fn trouble(&self) -> Option<String> {
        let name = &self.name;
        match self.growth() {
            Some(growth) if growth > self.growth_max => {
                Some(format!("{name} grew by {growth:.1} %, more than {} %", self.growth_max))
            }
            Some(_) => None,
            None if self.now.is_none() => Some(format!("{name} is in the baseline, but no case")),
            None => Some(format!("{name} is not in the baseline")),
        }
    }
}

/// Counts beside their baseline.
#[derive(Debug)]
pub struct Judged {
    rows: Vec<Row>,
    notes: Vec<String>,
    comparable: bool,
}

impl Judged {
    /// Judge `counts`, where each case may grow by so many percent. With `whole`, what only the baseline has is noticed.
    pub fn new<'a>(
        baseline: &Baseline,
        machine: &Machine,
        limits: impl Iterator<Item = (&'a str, f64)>,
        counts: &BTreeMap<&str, u64>,
        whole: bool,
    ) -> Self {
        let mut rows: Vec<Row> = limits
            .map(|(name, growth_max)| Row {
                name: name.to_owned(),
                before: baseline.counts.get(name).copied(),
                now: counts.get(name).copied(),
                growth_max,
            })
            .collect();
        let gone = baseline.counts.iter().filter(|(name, _)| whole && !counts.contains_key(name.as_str()));
        rows.extend(gone.map(|(name, before)| Row {
            name: name.clone(),
            before: Some(*before),
            now: None,
            growth_max: 0.0,
        }));
        let other =
            parts(&baseline.machine).into_iter().zip(parts(machine)).filter(|(then, now)| then != now);
        let notes = other.map(|((name, then), (_, now))| {
            format!("NOTE: another {name} than the baseline's: {now} instead of {then}")
        });
        let comparable = baseline.machine.processor == machine.processor;
        Self { rows, notes: notes.collect(), comparable }
    }

    /// Whether nothing grew too much.
    pub fn is_fine(&self) -> bool {
        !self.comparable || self.rows.iter().all(|row| row.trouble().is_none())
    }

    /// Case, baseline, now, change.
    pub fn table(&self) -> String {
        let shown = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let mut table = format!("{:<32}{:>12}{:>12}{:>10}\n", "case", "baseline", "now", "change");
        for row in &self.rows {
            let change = row.growth().map_or("-".to_owned(), |growth| format!("{growth:+.2} %"));
            let (before, now) = (shown(row.before), shown(row.now));
            table.push_str(&format!("{:<32}{before:>12}{now:>12}{change:>10}\n", row.name));
        }
        table
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table())?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        let troubles: Vec<String> = self.rows.iter().filter_map(Row::trouble).collect();
        if !self.comparable {
            return writeln!(
                f,
                "NOT JUDGED: libraries choose other code on this processor. Count the change and what was before it here."
            );
        }
        troubles.iter().try_for_each(|trouble| writeln!(f, "FAILED: {trouble}"))?;
        if !troubles.is_empty() {
            return writeln!(
                f,
                "`cargo bench -p counts -- --where CASE` tells where; if it is worth it: BELINO_WRITE_BASELINE=1 cargo bench -p counts"
            );
        }
        let smaller =
            self.rows.iter().filter(|row| row.growth().is_some_and(|growth| growth < -row.growth_max));
        for row in smaller {
            writeln!(f, "{} shrank: write the baseline anew, so that it stays so", row.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(processor: &str) -> Machine {
        let compiler = "rustc 1.95.0".to_owned();
        Machine { compiler, libc: "2.36".into(), valgrind: "3.19".into(), processor: processor.into() }
    }

    /// A baseline, written and read.
    fn baseline(counts: &[(&'static str, u64)]) -> Baseline {
        let file = tempfile::NamedTempFile::new().unwrap();
        let order: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
        let counts: BTreeMap<&str, u64> = counts.iter().copied().collect();
        Baseline::write(file.path(), &machine("x86_64 avx2"), &order, &counts).unwrap();
        Baseline::read(file.path()).unwrap()
    }

    fn judge(before: &[(&'static str, u64)], now: &[(&'static str, u64)], processor: &str) -> (bool, String) {
        let limits = now.iter().map(|(name, _)| (*name, if *name == "loose" { 20.0 } else { 10.0 }));
        let counts = now.iter().copied().collect();
        let judged = Judged::new(&baseline(before), &machine(processor), limits, &counts, true);
        (judged.is_fine(), judged.to_string())
    }

    #[test]
    fn what_grew_too_much_is_named() {
        let before = [("decode", 1000), ("encode", 1000), ("loose", 1000), ("small", 1000)];
        let now = [("decode", 1101), ("encode", 1100), ("loose", 1199), ("small", 100)];
        let (fine, said) = judge(&before, &now, "x86_64 avx2");
        assert!(!fine);
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
        assert_eq!(failed, ["FAILED: decode grew by 10.1 %, more than 10 %"]);
        assert!(!said.contains("NOTE"), "{said}");
        assert!(judge(&before, &before, "x86_64 avx2").0);
    }

    #[test]
    fn a_baseline_covers_all_cases_and_nothing_else() {
        let (fine, said) = judge(&[("old", 1)], &[("new", 1)], "x86_64 avx2");
        assert!(!fine && said.contains("new is not in the baseline"), "{said}");
        assert!(said.contains("old is in the baseline, but no case"), "{said}");
    }

    #[test]
    fn another_processor_is_not_judged_and_says_so() {
        let (fine, said) = judge(&[("decode", 1000)], &[("decode", 3000)], "x86_64");
        assert!(fine && said.contains("NOT JUDGED"), "{said}");
        assert!(said.contains("NOTE: another processor than the baseline's: x86_64 instead of x86_64 avx2"));
    }

    #[test]
    fn a_line_that_is_no_figure_is_shown() {
        assert_eq!(Baseline::parse("decode 12\nencode many\n").unwrap_err(), "encode many");
    }
}
