//! Counts instructions of small pieces of work, and holds them against the committed baseline.
//!
//! Owns: what a [`Case`] is, the command line, the table. Never knows: what the cases do.
//!
//! A case is run twice under callgrind, both times prepared for the same work: once for so many operations, once for
//! three times as many. The difference, divided by the operations between, is what one costs; start, preparation and end
//! are in both and fall out.

mod baseline;
mod callgrind;

use baseline::{Baseline, Judged};
use callgrind::{Callgrind, Cost};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

/// One operation of a case.
pub type Operation = Box<dyn FnMut()>;

/// A piece of work whose instructions are counted.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name in the baseline, without blanks.
    pub name: &'static str,
    /// Operations of the short run; the long one has three times as many.
    operations: usize,
    /// Growth over the baseline from which on it fails, in percent.
    growth_max: f64,
    /// Makes the operation, ready to be called so many times, in an empty folder of its own.
    prepare: fn(&Path, usize) -> Operation,
}

impl Case {
    /// A case that fails when it grows by more than 10 %.
    pub const fn new(name: &'static str, operations: usize, prepare: fn(&Path, usize) -> Operation) -> Self {
        Self { name, operations, growth_max: 10.0, prepare }
    }

    /// The same with another limit, in percent: for one whose counts vary from run to run. Say why beside it.
    #[must_use]
    pub const fn growing_at_most(self, percent: f64) -> Self {
        Self { growth_max: percent, ..self }
    }
}

/// What the command line asks for.
enum Order {
    /// Count the cases with this in their name, and judge.
    Judge(String),
    /// Count all, and write the baseline anew.
    Write,
    /// Count the cases with this in their name, and tell where the instructions go.
    Where(String),
    /// Be counted: run a case so many times, prepared for so many.
    Run { name: String, times: usize, total: usize, folder: PathBuf },
    /// Tell what the processor looks like.
    Processor,
}

const USAGE: &str = "\
usage: cargo bench -p counts [-- ARGUMENTS]
  (none)          count all cases and compare them with benches/baseline.txt
  PART            only the cases with this in their name
  --where PART    where their instructions go, function by function
  --write         write benches/baseline.txt anew; so does BELINO_WRITE_BASELINE=1";

fn order(arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    // Cargo says `--bench` to every bench.
    let given: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().map_err(|why| format!("{text}: {why}"));
    match given[..] {
        [] if std::env::var_os("BELINO_WRITE_BASELINE").is_some() => Ok(Order::Write),
        [] => Ok(Order::Judge(String::new())),
        ["--write"] => Ok(Order::Write),
        ["--where", part] => Ok(Order::Where(part.to_owned())),
        ["--processor"] => Ok(Order::Processor),
        ["--run", name, times, total, folder] => Ok(Order::Run {
            name: name.to_owned(),
            times: number(times)?,
            total: number(total)?,
            folder: folder.into(),
        }),
        [part] if !part.starts_with('-') => Ok(Order::Judge(part.to_owned())),
        _ => Err(USAGE.into()),
    }
}

/// Do what the command line says with these cases. `baseline` is the file with the figures to compare with.
pub fn main(cases: &[Case], baseline: &Path) -> ExitCode {
    let done = order(std::env::args().skip(1)).and_then(|order| match order {
        Order::Run { name, times, total, folder } => run(cases, &name, times, total, &folder),
        Order::Processor => {
            println!("{}", callgrind::processor());
            Ok(true)
        }
        Order::Judge(part) => with_callgrind(|callgrind| judge(callgrind, cases, &part, baseline)),
        Order::Write => with_callgrind(|callgrind| write(callgrind, cases, baseline)),
        Order::Where(part) => with_callgrind(|callgrind| tell_where(callgrind, cases, &part)),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Without valgrind nothing is counted, which is no failure unless everything must run.
fn with_callgrind(work: impl FnOnce(&Callgrind) -> Result<bool, String>) -> Result<bool, String> {
    match Callgrind::find()? {
        Some(callgrind) => work(&callgrind),
        None => {
            let skip = std::env::var_os("BELINO_NO_SKIP").is_none();
            println!(
                "SKIPPED: instructions are counted by valgrind, which is not installed: apt-get install valgrind"
            );
            Ok(skip)
        }
    }
}

fn run(cases: &[Case], name: &str, times: usize, total: usize, folder: &Path) -> Result<bool, String> {
    let case =
        cases.iter().find(|case| case.name == name).ok_or_else(|| format!("no case is named {name}"))?;
    let mut operation = (case.prepare)(folder, total);
    for _ in 0..times {
        operation();
    }
    // What is left over differs between a short and a long run: leave it to the end of the process.
    std::mem::forget(operation);
    Ok(true)
}

fn chosen<'a>(cases: &'a [Case], part: &str) -> Result<Vec<&'a Case>, String> {
    let chosen: Vec<&Case> = cases.iter().filter(|case| case.name.contains(part)).collect();
    if chosen.is_empty() { Err(format!("no case has {part} in its name")) } else { Ok(chosen) }
}

/// Instructions of one operation of each case, counted on all processors at once: load does not change them.
fn count(callgrind: &Callgrind, cases: &[&Case]) -> Result<BTreeMap<&'static str, u64>, String> {
    let left = Mutex::new(cases.iter());
    let counted = Mutex::new(BTreeMap::new());
    let next = || left.lock().ok()?.next();
    let work = || -> Result<(), String> {
        while let Some(case) = next() {
            let counts = callgrind.costs(case.name, case.operations)?;
            let whole = counts.values().map(|cost| cost.own).sum::<f64>().round() as u64;
            let mut counted = counted.lock().map_err(|why| why.to_string())?;
            counted.insert(case.name, whole);
            eprintln!("counted {} of {}: {}", counted.len(), cases.len(), case.name);
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a counter panicked".to_owned())?)
    })?;
    counted.into_inner().map_err(|why| why.to_string())
}

fn judge(callgrind: &Callgrind, cases: &[Case], part: &str, path: &Path) -> Result<bool, String> {
    let cases = chosen(cases, part)?;
    let baseline = Baseline::read(path)?;
    let counted = count(callgrind, &cases)?;
    let limits = cases.iter().map(|case| (case.name, case.growth_max));
    let judged = Judged::new(&baseline, &callgrind.machine()?, limits, &counted, part.is_empty());
    print!("{judged}");
    Ok(judged.is_fine())
}

fn write(callgrind: &Callgrind, cases: &[Case], path: &Path) -> Result<bool, String> {
    let all: Vec<&Case> = cases.iter().collect();
    let counted = count(callgrind, &all)?;
    let limits = cases.iter().map(|case| (case.name, case.growth_max));
    let before = Baseline::read(path).unwrap_or_default();
    let machine = callgrind.machine()?;
    print!("{}", Judged::new(&before, &machine, limits, &counted, true).table());
    let order: Vec<&str> = cases.iter().map(|case| case.name).collect();
    Baseline::write(path, &machine, &order, &counted)?;
    println!("written: {}", path.display());
    Ok(true)
}

fn tell_where(callgrind: &Callgrind, cases: &[Case], part: &str) -> Result<bool, String> {
    for case in chosen(cases, part)? {
        let costs = callgrind.costs(case.name, case.operations)?;
        let all: f64 = costs.values().map(|cost| cost.own).sum();
        println!("\n{}: {all:.0} instructions", case.name);
        let mut costs: Vec<(String, Cost)> = costs.into_iter().collect();
        let mut list = |what: &str, of: fn(&Cost) -> f64, lines: usize| {
            println!("  {what}");
            costs.sort_by(|a, b| of(&b.1).total_cmp(&of(&a.1)));
            // What has all of it is this program's own scaffolding.
            for (function, cost) in costs.iter().filter(|(_, cost)| of(cost) < 0.999 * all).take(lines) {
                println!("{:>12.0} {:>6.2} %  {function}", of(cost), 100.0 * of(cost) / all);
            }
        };
        list("in these functions:", |cost| cost.own, 25);
        list("in these and what they call:", |cost| cost.whole, 50);
    }
    Ok(true)
}
