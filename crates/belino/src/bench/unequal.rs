//! Two workloads that compare our relay with itself: with a slower disk, and with bad neighbours among its peers.

use super::ends::SinkProcess;
use super::relay::{Plan, Relay, Subject};
use super::round::End;
use super::run::{Bound, Campaign, Outcome, Reading};
use super::stage::{Set, Turn};
use super::tally::Bits;
use super::workload::Work;
use std::time::Duration;

/// How much longer a flush takes, as on a disk somewhere in a network.
const FLUSH_DELAY: Duration = Duration::from_millis(3);
/// Share of the usual rate that is hoped for with it.
const SLOW_FLUSH_MIN: f64 = 0.8;
/// Peers that behave.
const GOOD: usize = 8;
/// Share of its own rate that a good peer is hoped to keep beside a dead and a slow one.
const FAIR_MIN: f64 = 0.9;
/// Of what passes to the good peers at full speed so much is offered: room enough for what the others cost.
const OFFERED: f64 = 0.5;

impl Campaign<'_> {
    /// Each flush takes longer: do more connections make up for it?
    pub(super) fn slow_flush(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let mut stage = self.build(&workload, &Set { only_ours: true, ..Set::default() })?;
        let Some(plan) = stage.plans.first().cloned() else { return Ok(()) };
        let folder = stage.folder.join("slow");
        let slow = Plan { folder, flush_delay: Some(FLUSH_DELAY), ..plan };
        stage.relays.push(Relay::start(&Subject::Belino, &slow)?);
        stage.plans.push(slow);
        let usual = Work { connections: 20, ..workload.work.clone() };
        let ours = Subject::Belino.name();
        let names = [format!("{ours}, usual disk, 20 connections"), ours];
        let span = self.options.span;
        self.rounds(outcome, |campaign, number, outcome| {
            for (place, work) in [(0, &usual), (1, &workload.work)] {
                campaign.watch.step(&format!("{}, round {number}", names[place]));
                let run = campaign.fresh();
                let (mut round, _) =
                    campaign.turn(&mut stage, &Turn::new(place, work, End::Span(span), run), &[])?;
                round.number = number;
                round.subject.clone_from(&names[place]);
                outcome.rounds.push(round);
            }
            Ok(())
        })?;
        let ratio = outcome.ratio(|r| r.rate, &names[1], &names[0]).unwrap_or(0.0);
        outcome.readings.push(reading(
            "rate / usual disk and 20 connections",
            ratio,
            Some(Bound::Least(SLOW_FLUSH_MIN)),
        ));
        Ok(())
    }

    /// One peer among ten is dead, one is slow: what do the others notice?
    pub(super) fn fairness(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let mut stage =
            self.build(&workload, &Set { live: Some(GOOD), only_ours: true, ..Set::default() })?;
        let Some(place) = stage.ours() else { return Ok(()) };
        // The last one is slow, the one before it is dead.
        let slow_at = [stage.sinks[GOOD + 1]];
        let mut slow = SinkProcess::start(&slow_at, &["--delay=200ms".into()], &stage.folder)?;
        let ours = Subject::Belino.name();
        let alone_name = format!("{ours}, without the two");
        let good = Work { sinks: GOOD, ..workload.work.clone() };
        self.watch.step("how much passes to the good peers at full speed?");
        let run = self.fresh();
        let end = End::Span(self.options.span);
        let (full, _) = self.turn(&mut stage, &Turn::new(place, &good, end, run), &[])?;
        let offered = (full.rate * OFFERED).max(10.0);
        outcome.rounds.push(full);
        let ten = GOOD + 2;
        let alone = Work { rate: Some(offered as u32), ..good };
        let beside =
            Work { rate: Some((offered * ten as f64 / GOOD as f64) as u32), ..workload.work.clone() };
        let only = Some((ten as u32, GOOD as u32));
        let (mut first, mut for_dead, mut for_slow) = (0, Bits::default(), Bits::default());
        self.rounds(outcome, |campaign, number, outcome| {
            campaign.watch.step(&format!("eight good peers, round {number}"));
            let run = campaign.fresh();
            let turn = Turn::new(place, &alone, end, run);
            let (mut round, _) = campaign.turn(&mut stage, &turn, &[])?;
            (round.number, round.subject) = (number, alone_name.clone());
            outcome.rounds.push(round);

            campaign.watch.step(&format!("beside a dead and a slow one, round {number}"));
            let run = campaign.fresh();
            let turn = Turn { only, ..Turn::new(place, &beside, end, run) };
            let (mut round, keys) = campaign.turn(&mut stage, &turn, &[format!("--first={first}")])?;
            round.number = number;
            outcome.rounds.push(round);
            for key in keys.numbers() {
                first = first.max(key + 1);
                match key % ten as u32 {
                    n if n == GOOD as u32 => for_dead.insert(key),
                    n if n > GOOD as u32 => for_slow.insert(key),
                    _ => true,
                };
            }
            Ok(())
        })?;
        let ratio = outcome.ratio(|r| r.rate, &ours, &alone_name).unwrap_or(0.0);
        outcome.readings.push(reading(
            "rate of the eight / without the two",
            ratio,
            Some(Bound::Least(FAIR_MIN)),
        ));
        let slower = outcome.ratio(|r| r.delivery_ms.map_or(f64::NAN, |l| l.p50), &ours, &alone_name);
        outcome.readings.push(reading("p50 of the eight / without the two", slower.unwrap_or(0.0), None));
        outcome.notes.push(format!(
            "{offered:.0} MMs a second were offered to the eight, {OFFERED} of what passes at most"
        ));

        self.watch.step("what waits for the slow and the dead peer is delivered");
        let round = self.collect(&mut slow, &for_slow, None)?;
        outcome.rounds.push(round);
        let mut dead = SinkProcess::start(&[stage.sinks[GOOD]], &[], &stage.folder)?;
        let round = self.collect(&mut dead, &for_dead, None)?;
        outcome.rounds.push(round);
        Ok(())
    }
}

fn reading(what: &str, value: f64, goal: Option<Bound>) -> Reading {
    Reading { subject: Subject::Belino.name(), what: what.into(), value, unit: "", goal }
}
