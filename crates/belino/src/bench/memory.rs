//! The workloads about memory: a queue that grows because the sink is slower than the source, and a relay at which nothing
//! happens, alone and with thousands of silent connections.

use super::ends;
use super::relay::{Subject, source_address};
use super::round::{End, Round};
use super::run::{Bound, Campaign, Outcome, Reading};
use super::stage::{Set, Turn};
use crate::clock;
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// How slow the sink is: with [`CONNECTIONS_OUT`](super::relay::CONNECTIONS_OUT) connections, 400 mails a second.
const DELAY: &str = "--delay=50ms";
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Growth of the peak from the second third of the sending to the last that still counts as flat.
const FLAT: f64 = 1.15;
/// Millions of octets that are hoped for while nothing happens.
const IDLE_MAX: f64 = 48.0;
/// Octets that are hoped for of a silent connection.
const CONNECTION_MAX: f64 = 8192.0;

impl Campaign<'_> {
    /// The queue grows: what does memory do?
    pub(super) fn memory(&mut self, outcome: &mut Outcome, most: u32) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let set = Set { manners: vec![DELAY.into()], ..Set::default() };
        let mut stage = self.build(&workload, &set)?;
        // Long enough for several looks at it.
        let span = if self.options.quick {
            self.options.span
        } else {
            self.options.span.max(Duration::from_secs(4))
        };
        for place in 0..stage.relays.len() {
            let subject = stage.relays[place].subject.clone();
            self.watch.step(&format!("{}, the sink is slow", subject.name()));
            let run = self.fresh();
            let turn = Turn { look: LOOK, ..Turn::new(place, &workload.work, End::Span(span), run) };
            let (mut round, _) = self.turn(&mut stage, &turn, &[])?;
            round.number = 1;
            let ours = subject == Subject::Belino;
            let peak = Bound::Most(f64::from(most));
            let mut add = |what: &str, value: f64, unit, goal: Bound| {
                let goal = Some(goal).filter(|_| ours);
                outcome.readings.push(Reading {
                    subject: subject.name(),
                    what: what.into(),
                    value,
                    unit,
                    goal,
                });
            };
            add("peak PSS", round.pss_peak as f64 / 1e6, "MB", peak);
            let [one, two] = round.pss_thirds.map(|third| third as f64);
            if one > 0.0 {
                add("peak, last third of the sending / the third before", two / one, "", Bound::Most(FLAT));
            }
            outcome.notes.push(note(&round, span));
            outcome.rounds.push(round);
        }
        Ok(())
    }

    /// Nothing happens.
    pub(super) fn idle(&mut self, outcome: &mut Outcome, connections: u32) -> anyhow::Result<()> {
        let connections = if self.options.quick { connections / 100 } else { connections };
        let workload = outcome.workload.clone();
        let mut stage = self.build(&workload, &Set::default())?;
        let Some(place) = stage.ours() else { return Ok(()) };
        // A little traffic first, so that everything that a relay makes once is there.
        let run = self.fresh();
        let turn = Turn::new(place, &workload.work, End::Count(200), run);
        outcome.rounds.push(self.turn(&mut stage, &turn, &[])?.0);
        let tree = stage.relays[place].tree();
        settle();
        let alone = tree.memory().pss as f64;

        self.watch.step(&format!("{connections} silent connections"));
        let addresses: Vec<String> = (0..8).map(|i| source_address(i).to_string()).collect();
        let mut holder = ends::tool("source")?
            .arg("--to")
            .arg(stage.relays[place].to.to_string())
            .arg(format!("--idle={connections}"))
            .arg(format!("--from-address={}", addresses.join(",")))
            .arg("--hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a source")?;
        let mut line = String::new();
        let read = holder.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        settle();
        let crowded = tree.memory().pss as f64;
        // Its connections end with it.
        drop(holder.stdin.take());
        let _ = holder.wait();
        if !matches!(read, Some(Ok(_))) || line.trim() != "ready" {
            bail!("{connections} connections could not be held open: {line}");
        }
        let each = (crowded - alone).max(0.0) / f64::from(connections.max(1));
        let reading = |what: String, value, unit, goal| Reading {
            subject: Subject::Belino.name(),
            what,
            value,
            unit,
            goal: Some(Bound::Most(goal)),
        };
        outcome.readings.push(reading("PSS while nothing happens".into(), alone / 1e6, "MB", IDLE_MAX));
        let what = format!("PSS of each of {connections} silent connections");
        outcome.readings.push(reading(what, each, "octets", CONNECTION_MAX));
        Ok(())
    }
}

/// Let come to rest what has just ended.
fn settle() {
    clock::wait_until(clock::monotonic() + 2_000_000_000);
}

fn note(round: &Round, span: Duration) -> String {
    format!(
        "{} took {:.0} a second for {:.1} s and delivered {:.0} a second",
        round.subject,
        round.accepted_per_s,
        span.as_secs_f64(),
        round.delivered_per_s
    )
}
