//! Workloads in which traffic passes through the relays in turn: the plain ones, those whose next hop is down, and reports
//! on their way back.

use super::ends::SinkProcess;
use super::relay::{Subject, sink_address};
use super::round::{Counting, End, Round};
use super::run::{Campaign, Outcome};
use super::stage::{Set, Stage, Turn};
use super::tally::Bits;
use super::workload::{Scene, Work, Workload};
use std::time::Duration;

/// How long a warming up lasts, at most.
const WARM: Duration = Duration::from_millis(300);

/// What a relay keeps while its next hop is down: one run, round after round.
struct Kept {
    run: u32,
    keys: Bits,
    next: u32,
}

impl Campaign<'_> {
    /// Rounds of all relays in turn.
    pub(super) fn passing(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let mut stage = self.build(&workload, &Set::default())?;
        let mut kept: Vec<Kept> = Vec::new();
        for _ in &stage.relays {
            kept.push(Kept { run: self.fresh(), keys: Bits::default(), next: 0 });
        }
        let span = self.options.span;
        self.all_in_turn(&workload, &mut stage, &mut kept, 0, span.min(WARM), outcome)?;
        self.rounds(outcome, |campaign, number, outcome| {
            campaign.all_in_turn(&workload, &mut stage, &mut kept, number, span, outcome)
        })?;
        if workload.scene == Scene::Accept
            && let Some(place) = stage.ours()
        {
            let round = self.deliver_what_was_kept(&stage, &kept[place])?;
            outcome.rounds.push(round);
        }
        Ok(())
    }

    fn all_in_turn(
        &mut self,
        workload: &Workload,
        stage: &mut Stage,
        kept: &mut [Kept],
        number: usize,
        span: Duration,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let direct = match number > 0 && workload.work.rate.is_none() {
            true => Some(self.direct(workload, stage, number)?),
            false => None,
        };
        for (place, kept) in kept.iter_mut().enumerate() {
            let name = stage.relays[place].subject.name();
            match number {
                0 => self.watch.step(&format!("{name}, warming up")),
                _ => self.watch.step(&format!("{name}, round {number}")),
            }
            let (before, mut round) = self.one(workload, stage, place, span, kept)?;
            (round.number, round.direct_per_s) = (number, direct);
            outcome.rounds.extend(before);
            outcome.rounds.push(round);
        }
        Ok(())
    }

    /// One round of one relay; first what comes before it, counted but not measured.
    fn one(
        &mut self,
        workload: &Workload,
        stage: &mut Stage,
        place: usize,
        span: Duration,
        kept: &mut Kept,
    ) -> anyhow::Result<(Option<Round>, Round)> {
        let (work, run) = (&workload.work, self.fresh());
        let ours = stage.relays[place].subject == Subject::Belino;
        let turn = Turn::new(place, work, End::Span(span), run);
        match workload.scene {
            Scene::Accept => {
                let turn = Turn { run: kept.run, counting: Counting::Nothing, ..turn };
                let (round, keys) = self.turn(stage, &turn, &[format!("--first={}", kept.next)])?;
                for number in keys.numbers() {
                    kept.keys.insert(number);
                    kept.next = number + 1;
                }
                Ok((None, round))
            }
            Scene::Reports => {
                let (mut before, mut end) = (None, turn.end);
                if ours {
                    // The MMs that the reports are about pass first.
                    let mms = Work { reports: true, ..work.clone() };
                    let round = self.turn(stage, &Turn { work: &mms, ..turn }, &[])?.0;
                    end = End::Count(u32::try_from(round.accepted).unwrap_or(u32::MAX));
                    before = Some(round);
                }
                let back = Work { reports: false, ..work.clone() };
                let turn = Turn { work: &back, end, counting: Counting::Reports, ..turn };
                let more = ["--as-reports".to_owned(), format!("--from-address={}", sink_address(0, 0).ip())];
                Ok((before, self.turn(stage, &turn, &more)?.0))
            }
            _ => {
                let listens = ours && (work.ack || work.reports);
                let more = listens.then(|| format!("--listen={}", stage.source));
                Ok((None, self.turn(stage, &turn, more.as_slice())?.0))
            }
        }
    }

    /// The next hop comes up at last: what our relay has kept must all be delivered.
    fn deliver_what_was_kept(&mut self, stage: &Stage, kept: &Kept) -> anyhow::Result<Round> {
        self.watch.step("the next hop comes up: what was kept is delivered");
        let mut sink = SinkProcess::start(&stage.sinks, &[], &stage.folder)?;
        sink.begin(kept.run)?;
        self.collect(&mut sink, &kept.keys, Some(kept.run))
    }

    /// Wait for deliveries of our relay that nobody measures, and count them.
    ///
    /// # Errors
    /// The sink fails.
    pub(super) fn collect(
        &mut self,
        sink: &mut SinkProcess,
        keys: &Bits,
        run: Option<u32>,
    ) -> anyhow::Result<Round> {
        let watch = &mut *self.watch;
        sink.wait_for(keys.count(), self.options.silence, |come| watch.come(come))?;
        let (sum, come) = sink.sum(run, false, 0)?;
        let number = |name: &str| sum["requests"][name].as_u64().unwrap_or(0);
        Ok(Round {
            subject: Subject::Belino.name(),
            delivered: number("come"),
            doubled: number("doubled"),
            changed: number("changed"),
            lost: Some(keys.missing_in(&come)),
            ..Round::default()
        })
    }
}
