//! This program under valgrind's callgrind.
//!
//! Owns: how it is called, so that two runs count alike, and the reading of what it writes. Never knows: baselines.
//!
//! valgrind runs one thread at a time and shows a processor of its own, at most one with AVX2, so neither load nor a
//! newer processor changes what is counted. One without AVX2 does: libraries choose other code there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Instructions of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Its own.
    pub own: f64,
    /// With those of the functions that it calls.
    pub whole: f64,
}

/// Instructions by function.
pub type Costs = HashMap<String, Cost>;

/// What counts depend on besides our own code; in words, to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// `rustc --version`.
    pub compiler: String,
    /// The C library: it copies and allocates.
    pub libc: String,
    /// The counter.
    pub valgrind: String,
    /// The processor that valgrind shows.
    pub processor: String,
}

/// valgrind, and this program.
pub struct Callgrind {
    valgrind: PathBuf,
    program: PathBuf,
}

impl Callgrind {
    /// `None` when there is no valgrind.
    pub fn find() -> Result<Option<Self>, String> {
        let program = std::env::current_exe().map_err(|why| format!("cannot find this program: {why}"))?;
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let valgrind = std::env::split_paths(&folders).map(|f| f.join("valgrind")).find(|f| f.is_file());
        Ok(valgrind.map(|valgrind| Self { valgrind, program }))
    }

    /// Instructions of one operation of a case, by function.
    pub fn costs(&self, case: &str, operations: usize) -> Result<Costs, String> {
        let total = 3 * operations;
        let short = self.run(case, operations, total)?;
        let mut costs = self.run(case, total, total)?;
        for (function, less) in short {
            let cost = costs.entry(function).or_default();
            (cost.own, cost.whole) = (cost.own - less.own, cost.whole - less.whole);
        }
        costs.retain(|_, cost| *cost != Cost::default());
        let between = (total - operations) as f64;
        costs
            .values_mut()
            .for_each(|cost| *cost = Cost { own: cost.own / between, whole: cost.whole / between });
        Ok(costs)
    }

    fn run(&self, case: &str, times: usize, total: usize) -> Result<Costs, String> {
        let folder = tempfile::tempdir().map_err(|why| format!("no temporary folder: {why}"))?;
        let file = folder.path().join("counts");
        let work = folder.path().join("work");
        std::fs::create_dir(&work).map_err(|why| format!("no temporary folder: {why}"))?;
        let mut arguments = vec!["--run".to_owned(), case.to_owned(), times.to_string(), total.to_string()];
        arguments.push(work.display().to_string());
        self.call(&["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())], &arguments)?;
        let text =
            std::fs::read(&file).map_err(|why| format!("callgrind wrote nothing for {case}: {why}"))?;
        read(&String::from_utf8_lossy(&text)).map_err(|why| format!("{case}: {why}"))
    }

    fn call(&self, options: &[&str], arguments: &[String]) -> Result<String, String> {
        let mut command = Command::new(&self.valgrind);
        command.arg("-q").args(options).arg(&self.program).args(arguments);
        // What stands in the environment lies on the stack of the program, and valgrind takes options from it.
        command.env_clear().stdin(Stdio::null());
        let done =
            command.output().map_err(|why| format!("cannot run {}: {why}", self.valgrind.display()))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(format!("{command:?} ended with {}:\n{said}", done.status))
    }

    /// What this machine counts like.
    pub fn machine(&self) -> Result<Machine, String> {
        // Where there is no ldd, the note is one word shorter.
        let libc = first_line(Path::new("ldd")).unwrap_or_default();
        Ok(Machine {
            compiler: first_line(Path::new("rustc"))?,
            libc: libc.rsplit(' ').next().unwrap_or_default().to_owned(),
            valgrind: first_line(&self.valgrind)?,
            processor: self.call(&["--tool=none"], &["--processor".to_owned()])?,
        })
    }
}

/// The first line of what a program says of its version.
fn first_line(program: &Path) -> Result<String, String> {
    let said = Command::new(program).arg("--version").output();
    let said = said.map_err(|why| format!("cannot run {} --version: {why}", program.display()))?;
    let said = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned();
    Ok(said)
}

/// Architecture and those extensions by which libraries choose their code.
pub fn processor() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! note {
            ($($name:tt)+) => { $(if std::is_x86_feature_detected!($name) { words.push($name) })+ };
        }
        note!("sse4.2" "popcnt" "pclmulqdq" "bmi1" "bmi2" "lzcnt" "avx" "avx2" "avx512f" "avx512bw");
    }
    words.join(" ")
}

/// Reads a profile.
///
/// The format: `fn=(NUMBER) NAME` begins a function, its later mentions leave the name out; a line that begins with a
/// position has a cost; the one behind `calls=` is that of all calls of one other function.
fn read(profile: &str) -> Result<Costs, String> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut costs = Costs::new();
    let (mut function, mut of_call, mut told) = ("", false, None);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with("fn=") {
                function = names.get(number).copied().unwrap_or(number);
            }
        } else if line.starts_with("calls=") {
            of_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).map_or(Ok(0), str::parse::<u64>);
            let cost = cost.map_err(|why| format!("callgrind wrote {line:?}: {why}"))?;
            let entry = costs.entry(function.to_owned()).or_default();
            entry.whole += cost as f64;
            if !std::mem::take(&mut of_call) {
                entry.own += cost as f64;
            }
        } else if let Some(sum) = line.strip_prefix("totals: ") {
            told = sum.trim().parse::<u64>().ok();
        }
    }
    let sum: f64 = costs.values().map(|cost| cost.own).sum();
    match told {
        Some(told) if told as f64 == sum => Ok(costs),
        _ => Err(format!("callgrind counted {told:?} instructions, its profile has {sum}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1\ncmd: x\npositions: line\nevents: Ir\nsummary: 130\n\n\
ob=(1) /x\nfl=(1) a.rs\nfn=(1) main\n16 10\n+2 5\ncfn=(2) work\ncalls=2 20\n* 100\n\n\
fl=(1)\nfn=(2)\n20 60\nfi=(2) b.rs\n-3 40\n\nfn=(1)\n* 15\n\ntotals: 130\n";

    #[test]
    fn a_profile_is_read_by_function() {
        let costs = read(PROFILE).unwrap();
        assert_eq!(costs.len(), 2);
        assert_eq!(costs["main"], Cost { own: 30.0, whole: 130.0 });
        assert_eq!(costs["work"], Cost { own: 100.0, whole: 100.0 });
    }

    #[test]
    fn a_profile_that_does_not_add_up_is_no_profile() {
        for (what, instead) in
            [("20 60", "20 61"), ("calls=2 20\n", ""), ("totals: 130", ""), ("16 10", "16 x")]
        {
            assert!(read(&PROFILE.replace(what, instead)).is_err(), "{what}");
        }
    }
}
