//! `cargo run -p sim -- --seed N`: one run again, told step by step with `--trace`. `--soak`: ever new seeds.
//!
//! Owns: the command line. Never knows: what a run does.

use indicatif::{ProgressBar, ProgressStyle};
use sim::{Faults, Options, Outcome, Planted, World};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: sim --seed N [--trace] [--planted BUG]
       sim --soak [--for 10m] [--from N]

  --seed N       one run; --trace prints its story
  --planted BUG  with a bug: answer-before-commit, folder-not-synced, repeats-across-peers,
                 response-to-named-host, peer-by-its-hello
  --soak         seed after seed, until one fails or the time of --for (s, m, h) is over";

struct Asked {
    seed: Option<u64>,
    from: u64,
    soak: bool,
    span: Option<Duration>,
    trace: bool,
    planted: Option<Planted>,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { seed: None, from: 0, soak: false, span: None, trace: false, planted: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => asked.seed = Some(words.next()?.parse().ok()?),
            "--from" => asked.from = words.next()?.parse().ok()?,
            "--for" => asked.span = Some(span(&words.next()?)?),
            "--planted" => {
                let name = words.next()?;
                asked.planted = Some(Planted::ALL.iter().find(|(_, n)| *n == name)?.0);
            }
            "--soak" => asked.soak = true,
            "--trace" => asked.trace = true,
            _ => return None,
        }
    }
    (asked.soak != asked.seed.is_some()).then_some(asked)
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match asked.seed {
        Some(seed) => {
            let outcome = World::run(Options { seed, planted: asked.planted, aloud: asked.trace });
            println!(
                "seed {seed}: {} steps, hash {:016x}, {} MMs handed in, {} deliveries\n{}",
                outcome.steps, outcome.hash, outcome.submissions, outcome.deliveries, outcome.faults
            );
            verdict(&outcome)
        }
        None => soak(&asked),
    }
}

fn verdict(outcome: &Outcome) -> ExitCode {
    if outcome.broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    outcome.broken.iter().for_each(|words| println!("BROKEN: {words}"));
    println!("again: {} --trace", sim::command(outcome.seed));
    ExitCode::FAILURE
}

fn soak(asked: &Asked) -> ExitCode {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {elapsed_precise}  {pos} seeds, {per_sec}  {msg}")
    {
        bar.set_style(style);
    }
    let (mut faults, mut submissions, mut deliveries) = (Faults::default(), 0, 0);
    let mut seed = asked.from;
    let summary = |faults: &Faults, submissions: u64, deliveries: u64, seed: u64| {
        println!(
            "{} seeds from {}, {submissions} MMs handed in, {deliveries} deliveries\n{faults}",
            seed - asked.from,
            asked.from
        );
    };
    while asked.span.is_none_or(|span| bar.elapsed() < span) {
        let outcome = World::run(Options { seed, planted: asked.planted, aloud: false });
        seed += 1;
        faults += &outcome.faults;
        submissions += outcome.submissions;
        deliveries += outcome.deliveries;
        bar.inc(1);
        bar.set_message(format!("{submissions} MMs, {deliveries} deliveries"));
        if !outcome.broken.is_empty() {
            bar.finish_and_clear();
            summary(&faults, submissions, deliveries, seed);
            return verdict(&outcome);
        }
    }
    bar.finish_and_clear();
    summary(&faults, submissions, deliveries, seed);
    ExitCode::SUCCESS
}
