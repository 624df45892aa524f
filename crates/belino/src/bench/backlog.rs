//! The workload `depth`: traffic while very many MMs wait for a dead peer, and a start after `kill -9` with all of them.
//!
//! Owns: filling the queue, comparing with the empty queue, the restart. At the end the dead peer comes to life and gets
//! everything: a backlog that cannot be delivered would be no backlog.

use super::ends::SinkProcess;
use super::relay::{Relay, Subject};
use super::round::{Counting, End};
use super::run::{Bound, Campaign, Outcome, Reading};
use super::stage::{Set, Turn};
use super::workload::Work;
use crate::clock;
use anyhow::Context as _;
use std::time::Duration;

/// Seconds within which new traffic is hoped to be served after a start.
const START_MAX: f64 = 5.0;
/// Share of the rate with an empty queue that is hoped for.
const KEPT: f64 = 0.9;
/// Connections that fill the queue.
const FILLERS: usize = 50;

impl Campaign<'_> {
    /// See the module.
    pub(super) fn depth(&mut self, outcome: &mut Outcome, backlog: u32) -> anyhow::Result<()> {
        let backlog = if self.options.quick { (backlog / 1000).max(10) } else { backlog };
        let workload = outcome.workload.clone();
        // The second sink is dead.
        let mut stage = self.build(&workload, &Set { live: Some(1), ..Set::default() })?;
        let Some(place) = stage.ours() else { return Ok(()) };
        let work = Work { sinks: 1, ..workload.work.clone() };
        let end = End::Span(self.options.span);
        let ours = Subject::Belino.name();
        for number in 0..=self.options.rounds {
            self.watch.step(&format!("{ours}, empty queue, round {number}"));
            let run = self.fresh();
            let (mut round, _) = self.turn(&mut stage, &Turn::new(place, &work, end, run), &[])?;
            round.number = number;
            round.subject = format!("{ours}, empty queue");
            outcome.rounds.push(round);
        }

        self.watch.step(&format!("{backlog} MMs for the dead peer"));
        let small = Work { sizes: "1k", connections: FILLERS, sinks: 1, ..workload.work.clone() };
        let fill_run = self.fresh();
        let turn = Turn::new(place, &small, End::Count(backlog), fill_run);
        let fill = Turn { counting: Counting::Nothing, ..turn };
        let (mut round, waiting) = self.turn(&mut stage, &fill, &["--first-sink=1".into()])?;
        outcome.notes.push(format!("{} MMs were queued at {:.0} a second", round.accepted, round.rate));
        round.number = 0;
        outcome.rounds.push(round);

        self.rounds(outcome, |campaign, number, outcome| {
            campaign.watch.step(&format!("{ours}, {backlog} waiting, round {number}"));
            let run = campaign.fresh();
            let (mut round, _) = campaign.turn(&mut stage, &Turn::new(place, &work, end, run), &[])?;
            round.number = number;
            outcome.rounds.push(round);
            Ok(())
        })?;
        let rate = |subject: &str| outcome.medians(subject).rate[0];
        let share = rate(&ours) / rate(&format!("{ours}, empty queue"));
        outcome.readings.push(reading("rate / empty queue", share, "", Some(Bound::Least(KEPT))));

        // What has just been delivered may be known in memory alone, and would rightly come again.
        clock::wait_until(clock::monotonic() + Duration::from_secs(1).as_nanos() as u64);
        self.watch.step("kill -9, start, new traffic");
        stage.relays[place].kill();
        let begun = clock::monotonic();
        stage.relays[place] = Relay::start(&Subject::Belino, &stage.plans[place])?;
        let greets = seconds_since(begun);
        let run = self.fresh();
        let turn = Turn::new(place, &work, End::Count(200), run);
        let (mut round, _) = self.turn(&mut stage, &turn, &[])?;
        let served = seconds_since(begun);
        round.number = 0;
        outcome.rounds.push(round);
        outcome.readings.push(reading("start after kill -9 to greeting", greets, "s", None));
        let what = "start after kill -9 to 200 new MMs delivered";
        outcome.readings.push(reading(what, served, "s", Some(Bound::Most(START_MAX))));

        self.watch.step("the dead peer lives: the backlog is delivered");
        let dead = *stage.sinks.get(1).context("no second sink")?;
        let mut sink = SinkProcess::start(&[dead], &[], &stage.folder)?;
        sink.begin(fill_run)?;
        let begun = clock::monotonic();
        let round = self.collect(&mut sink, &waiting, Some(fill_run))?;
        let rate = round.delivered as f64 / seconds_since(begun);
        outcome.notes.push(format!("the backlog was delivered at {rate:.0} MMs a second"));
        outcome.rounds.push(round);
        Ok(())
    }
}

fn seconds_since(begun: u64) -> f64 {
    clock::monotonic().saturating_sub(begun) as f64 / 1e9
}

fn reading(what: &str, value: f64, unit: &'static str, goal: Option<Bound>) -> Reading {
    Reading { subject: Subject::Belino.name(), what: what.into(), value, unit, goal }
}
