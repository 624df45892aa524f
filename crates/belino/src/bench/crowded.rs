//! The workload about a crowd: another peer holds thousands of connections, and what does an honest one notice?
//!
//! Owns: rounds alone and rounds beside the crowd in turn, the process that is the crowd, how many connections there can be.
//! Never knows: how connections are held (`crowd.rs`).

use super::ends::tool;
use super::measure::open_files_max;
use super::relay::{Subject, crowd_addresses};
use super::round::End;
use super::run::{Bound, Campaign, Outcome, Reading};
use super::stage::{Set, Turn};
use crate::clock;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

/// Share of its usual rate that an honest peer is hoped to keep.
const KEPT_MIN: f64 = 0.8;
/// Files that a relay has open beside the crowd's connections: those of the honest peer and of the sink, and its store's.
const OTHER_FILES: u64 = 400;
/// How long the relay may take to let a crowd go that has ended.
const PATIENCE: u64 = 20_000_000_000;
/// Files that the relay has open when it has let the crowd go.
const FEW: usize = 300;

impl Campaign<'_> {
    /// A crowd beside an honest peer.
    pub(super) fn crowd(&mut self, outcome: &mut Outcome, idle: u32, dripping: u32) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let scale = if self.options.quick { 100 } else { 1 };
        let (size, short) = fitting(idle / scale, dripping / scale, open_files_max());
        outcome.notes.extend(short);
        let mut stage = self.build(&workload, &Set { only_ours: true, ..Set::default() })?;
        let Some(place) = stage.ours() else { return Ok(()) };
        let (to, tree) = (stage.relays[place].to, stage.relays[place].tree());
        let ours = Subject::Belino.name();
        let alone = format!("{ours}, alone");
        let end = End::Span(self.options.span);
        self.watch.step("warming up");
        let run = self.fresh();
        let (warm, _) = self.turn(&mut stage, &Turn::new(place, &workload.work, end, run), &[])?;
        outcome.rounds.push(warm);

        let mut seen = Seen::default();
        self.rounds(outcome, |campaign, number, outcome| {
            // Who comes first takes turns, so that neither has the younger relay.
            for beside in [number % 2 == 0, number % 2 != 0] {
                let crowd = match beside {
                    true => {
                        campaign
                            .watch
                            .step(&format!("{} connections of another peer are opened", size.0 + size.1));
                        Some(CrowdProcess::start(to, size)?)
                    }
                    false => None,
                };
                let words = if beside { "beside the crowd" } else { "alone" };
                campaign.watch.step(&format!("{words}, round {number}"));
                let run = campaign.fresh();
                let turn = Turn::new(place, &workload.work, end, run);
                let (mut round, _) = campaign.turn(&mut stage, &turn, &[])?;
                round.number = number;
                if let Some(crowd) = crowd {
                    seen.rss = seen.rss.max(tree.memory().rss);
                    seen.add(crowd.end()?);
                    let until = clock::monotonic() + PATIENCE;
                    while tree.open_files() > FEW && clock::monotonic() < until {
                        clock::wait_until(clock::monotonic() + 50_000_000);
                    }
                } else {
                    round.subject.clone_from(&alone);
                }
                outcome.rounds.push(round);
            }
            Ok(())
        })?;
        let ratio = outcome.ratio(|r| r.rate, &ours, &alone).unwrap_or(0.0);
        outcome.readings.push(reading("rate / alone", ratio, "", Some(Bound::Least(KEPT_MIN))));
        seen.tell(outcome);
        Ok(())
    }
}

/// How many silent and dripping connections there can be, and, if fewer than wanted, why.
fn fitting(idle: u32, dripping: u32, files: Option<u64>) -> ((u32, u32), Option<String>) {
    let wanted = u64::from(idle) + u64::from(dripping);
    let Some(files) = files.filter(|files| files.saturating_sub(OTHER_FILES) < wanted) else {
        return ((idle, dripping), None);
    };
    let share = |of: u32| (u64::from(of) * files.saturating_sub(OTHER_FILES) / wanted.max(1)) as u32;
    let size = (share(idle), share(dripping));
    let why = format!(
        "a process may have {files} files open here (ulimit -Hn), which is too few for {wanted} connections: \
         {} silent and {} dripping ones were held",
        size.0, size.1
    );
    (size, Some(why))
}

/// What came of the crowds of all rounds.
#[derive(Default)]
struct Seen {
    /// The relay's resident memory beside the crowd, at most.
    rss: u64,
    /// Sums over all rounds of what [`Crowd::count`](super::crowd::Crowd::count) says.
    idle: u64,
    dripping: u64,
    lost: u64,
    asked: u64,
    answered: u64,
    octets: u64,
    rounds: u64,
    trouble: Option<String>,
}

impl Seen {
    fn add(&mut self, (count, trouble): (Value, Option<String>)) {
        let of = |name: &str| count[name].as_u64().unwrap_or(0);
        self.idle += of("idle");
        self.dripping += of("dripping");
        self.lost += of("idle_lost") + of("dripping_lost");
        self.asked += of("asked");
        self.answered += of("answered");
        self.octets += of("octets");
        self.rounds += 1;
        self.trouble = self.trouble.take().or(trouble);
    }

    fn tell(self, outcome: &mut Outcome) {
        let all = self.idle + self.dripping;
        let share = |of: u64, whole: u64| if whole > 0 { of as f64 / whole as f64 } else { 0.0 };
        let rounds = self.rounds.max(1);
        let whole = Some(Bound::Least(1.0));
        outcome.readings.extend([
            reading("RSS of the relay beside the crowd", self.rss as f64 / 1e6, "MB", None),
            reading("connections of the crowd", (all / rounds) as f64, "in each round", None),
            reading("share of them that the relay kept", share(all - self.lost, all), "", whole),
            reading(
                "share of silent ones asked that answered NOOP",
                share(self.answered, self.asked),
                "",
                whole,
            ),
        ]);
        outcome.notes.push(format!(
            "crowd of each round: {} silent and {} dripping connections; of all rounds' together {} were lost, and {} of {} \
             silent ones that were asked answered; {} octets dripped",
            self.idle / rounds,
            self.dripping / rounds,
            self.lost,
            self.answered,
            self.asked,
            self.octets
        ));
        outcome.notes.extend(self.trouble.map(|why| format!("not the whole crowd could be had: {why}")));
    }
}

fn reading(what: &str, value: f64, unit: &'static str, goal: Option<Bound>) -> Reading {
    Reading { subject: Subject::Belino.name(), what: what.into(), value, unit, goal }
}

/// A crowd as a process of its own. It ends when its input does, so also when the bench is gone.
struct CrowdProcess {
    child: Child,
    output: BufReader<ChildStdout>,
    trouble: Option<String>,
}

impl CrowdProcess {
    /// Start one of so many silent and dripping connections, and wait until they are open.
    fn start(to: SocketAddr, (idle, dripping): (u32, u32)) -> anyhow::Result<Self> {
        let from: Vec<String> = crowd_addresses().iter().map(ToString::to_string).collect();
        let mut child = tool("crowd")?
            .arg("--to")
            .arg(to.to_string())
            .arg(format!("--idle={idle}"))
            .arg(format!("--dripping={dripping}"))
            .arg(format!("--from-address={}", from.join(",")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a crowd")?;
        let output = BufReader::new(child.stdout.take().context("a crowd without output")?);
        let mut crowd = Self { child, output, trouble: None };
        let ready = crowd.line()?;
        crowd.trouble = ready["trouble"].as_str().map(str::to_owned);
        if ready["open"].as_u64().unwrap_or(0) == 0 && idle + dripping > 0 {
            bail!("no crowd could be had: {}", crowd.trouble.as_deref().unwrap_or("nobody says why"));
        }
        Ok(crowd)
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the crowd failed: {line}"))
    }

    /// End it: what became of its connections, and why it was not whole, if so.
    fn end(mut self) -> anyhow::Result<(Value, Option<String>)> {
        drop(self.child.stdin.take());
        let count = self.line()?;
        let _ = self.child.wait();
        Ok((count, self.trouble.take()))
    }
}

impl Drop for CrowdProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_of_open_files_makes_a_smaller_crowd_and_says_so() {
        assert_eq!(fitting(10_000, 1000, None), ((10_000, 1000), None));
        assert_eq!(fitting(10_000, 1000, Some(11_400)), ((10_000, 1000), None));
        let (size, why) = fitting(10_000, 1000, Some(4096));
        assert_eq!(size, (3360, 336));
        let why = why.unwrap();
        assert!(why.contains("4096 files") && why.contains("3360 silent and 336 dripping"), "{why}");
        assert_eq!(fitting(10_000, 1000, Some(300)).0, (0, 0));
    }
}
