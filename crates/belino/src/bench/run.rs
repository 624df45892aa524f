//! A run: workload after workload, the relays in turn, round after round.
//!
//! Owns: the order of things, which rounds count, the numbers of runs. Never knows: how a round is measured, how a report
//! looks.

use super::ends::{SinkProcess, SourceProcess};
use super::measure::Tree;
use super::relay::{Plan, Relay, Subject, free_port, sink_address, source_address};
use super::round::{Around, Counting, End, Round, SILENCE, pass, source_arguments, spread};
use super::tally::Bits;
use super::workload::{Scene, Work, Workload};
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A round with more of the machine used by others does not count.
const FOREIGN_MAX: f64 = 0.3;
/// Nor one with a direct rate that is off the median by more.
const DIRECT_OFF_MAX: f64 = 0.2;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The relays, ours first.
    pub subjects: Vec<Subject>,
    /// Rounds that count.
    pub rounds: usize,
    /// How long mails are sent in one round.
    pub span: Duration,
    /// Measure from source to sink before each round.
    pub direct: bool,
    /// Keep folders and logs here instead of in a temporary folder.
    pub folder: PathBuf,
}

/// Hears how far a run is.
pub trait Watch {
    /// A workload begins.
    fn begins(&mut self, workload: &Workload);
    /// Something within it: which relay, which round.
    fn step(&mut self, words: &str);
    /// Deliveries of the round so far.
    fn come(&mut self, deliveries: u64);
    /// Something that whoever waits should know.
    fn say(&mut self, words: &str);
}

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// It.
    pub workload: Workload,
    /// All rounds of all relays, in the order of time.
    pub rounds: Vec<Round>,
}

/// Carries a run out.
pub struct Campaign<'a> {
    /// What.
    pub options: Options,
    /// Who hears of it.
    pub watch: &'a mut dyn Watch,
    next: u32,
}

/// What stands while a workload runs.
struct Stage {
    folder: PathBuf,
    relays: Vec<Relay>,
    sink: SinkProcess,
    /// Where the relays deliver.
    sinks: Vec<SocketAddr>,
    source: SocketAddr,
}

impl<'a> Campaign<'a> {
    /// A run that begins.
    pub fn new(options: Options, watch: &'a mut dyn Watch) -> Self {
        Self { options, watch, next: crate::entropy() as u32 >> 1 }
    }

    /// A number that no run had.
    fn fresh(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// One workload.
    ///
    /// # Errors
    /// A relay, a source or a sink fails; what relays do wrong is in the rounds.
    pub fn workload(&mut self, workload: &Workload) -> anyhow::Result<Outcome> {
        self.watch.begins(workload);
        let mut stage = self.build(workload)?;
        let mut outcome = Outcome { workload: workload.clone(), rounds: Vec::new() };
        // For sequence numbers and runs that go on from round to round while nothing is delivered.
        let mut kept: Vec<Kept> =
            stage.relays.iter().map(|_| Kept { run: self.fresh(), keys: Bits::default(), next: 0 }).collect();
        let mut turn = 0;
        let mut begin =
            |campaign: &mut Self, number: usize, span, outcome: &mut Outcome| -> anyhow::Result<()> {
                let direct = match campaign.options.direct && number > 0 && workload.work.rate.is_none() {
                    true => Some(campaign.direct(workload, &mut stage, turn)?),
                    false => None,
                };
                for place in 0..stage.relays.len() {
                    turn += 1;
                    let name = stage.relays[place].subject.name();
                    let words = if number == 0 {
                        format!("{name}, warming up")
                    } else {
                        format!("{name}, round {number}")
                    };
                    campaign.watch.step(&words);
                    let mut rounds =
                        campaign.scene(workload, &mut stage, place, turn, span, &mut kept[place])?;
                    if let Some(round) = rounds.last_mut() {
                        (round.number, round.direct_per_s) = (number, direct);
                    }
                    outcome.rounds.append(&mut rounds);
                }
                Ok(())
            };
        begin(self, 0, self.options.span.min(Duration::from_millis(300)), &mut outcome)?;
        let (mut number, mut most) = (0, 2 * self.options.rounds);
        loop {
            number += 1;
            begin(self, number, self.options.span, &mut outcome)?;
            let sound = judge(&mut outcome.rounds);
            most -= 1;
            if sound >= self.options.rounds || most == 0 {
                break;
            }
        }
        if workload.scene == Scene::Accept {
            let after = self.deliver_what_was_kept(&stage, &kept)?;
            outcome.rounds.extend(after);
        }
        Ok(outcome)
    }

    /// Relays and sink for a workload.
    fn build(&mut self, workload: &Workload) -> anyhow::Result<Stage> {
        let folder = self.options.folder.join(workload.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (port, ear) = (free_port()?, free_port()?);
        let sinks: Vec<SocketAddr> = (0..workload.work.sinks).map(|k| sink_address(k, port)).collect();
        let reports = workload.scene == Scene::Reports;
        let source = SocketAddr::new(source_address(0), if reports { port } else { ear });
        let mut relays = Vec::new();
        for subject in self.options.subjects.clone() {
            let ours = subject == Subject::Belino;
            // A relay that is told of one port has one next hop.
            let can = workload.work.sinks == 1 || !matches!(subject, Subject::Command(_));
            if !(ours || workload.others && can) {
                continue;
            }
            self.watch.step(&format!("starting {}", subject.name()));
            let plan = Plan {
                folder: folder.join(subject.name()),
                source,
                sinks: sinks.clone(),
                transit: workload.transit,
                asks: workload.work.ack,
                connections: workload.work.connections,
                flush_delay: None,
            };
            relays.push(Relay::start(&subject, &plan)?);
        }
        // While the next hop is down the sink is elsewhere, for the direct rate.
        let at = if workload.scene == Scene::Accept { ear } else { port };
        let mut listen: Vec<SocketAddr> = sinks.iter().map(|s| SocketAddr::new(s.ip(), at)).collect();
        listen.push(SocketAddr::from((Ipv4Addr::LOCALHOST, at)));
        if reports {
            listen.push(source);
        }
        let mut more = Vec::new();
        if let (true, Some(relay)) = (workload.work.ack, relays.first()) {
            more.extend(["--answer".to_owned(), relay.to.to_string(), "--answer-connections=20".into()]);
            if workload.work.reports {
                more.push("--reports".into());
            }
        }
        let sink = SinkProcess::start(&listen, &more, &folder)?;
        Ok(Stage { folder, relays, sink, sinks, source })
    }

    /// Everything that the bench has started.
    fn trees(relays: &[Relay]) -> Vec<Tree> {
        let own = Tree { root: std::process::id() };
        let apart = relays.iter().filter(|r| r.subject == Subject::Postfix).map(Relay::tree);
        std::iter::once(own).chain(apart).collect()
    }

    /// Mails a second from source to sink, with nothing between.
    fn direct(&mut self, workload: &Workload, stage: &mut Stage, turn: usize) -> anyhow::Result<f64> {
        self.watch.step("source to sink, direct");
        let run = self.fresh();
        let work = Work { ack: false, reports: false, sinks: 1, ..workload.work.clone() };
        let span = (self.options.span / 5).clamp(Duration::from_millis(100), Duration::from_millis(500));
        let arguments = source_arguments(&work, run, turn, End::Span(span));
        let at = if workload.scene == Scene::Accept {
            SocketAddr::new(stage.sinks[0].ip(), stage.source.port())
        } else {
            stage.sinks[0]
        };
        stage.sink.begin(run)?;
        let sent = SourceProcess::start(at, &arguments, &stage.folder)?.wait(|| {})?;
        Ok(sent.json["per_s"].as_f64().unwrap_or(0.0))
    }

    /// One round of a relay; what is not measured but counted comes before it.
    fn scene(
        &mut self,
        workload: &Workload,
        stage: &mut Stage,
        place: usize,
        turn: usize,
        span: Duration,
        kept: &mut Kept,
    ) -> anyhow::Result<Vec<Round>> {
        let run = self.fresh();
        let work = &workload.work;
        let all = Self::trees(&stage.relays);
        let Stage { folder, relays, sink, source, .. } = stage;
        let relay = &relays[place];
        let ours = relay.subject == Subject::Belino;
        let watch = &mut *self.watch;
        let mut tell = |come| watch.come(come);
        let folder = folder.as_path();
        let mut around = Around { sink, folder, all: &all, device: None, run, tell: &mut tell };
        match workload.scene {
            Scene::Pass => {
                let mut arguments = source_arguments(work, run, turn, End::Span(span));
                if ours && (work.ack || work.reports) {
                    arguments.push(format!("--listen={source}"));
                }
                Ok(vec![pass(relay, work, &arguments, Counting::Requests, &mut around)?.0])
            }
            Scene::Accept => {
                around.run = kept.run;
                let mut arguments = source_arguments(work, kept.run, turn, End::Span(span));
                arguments.push(format!("--first={}", kept.next));
                let (round, keys) = pass(relay, work, &arguments, Counting::Nothing, &mut around)?;
                let numbers: Vec<u32> = keys.numbers().collect();
                kept.next = numbers.last().map_or(kept.next, |last| last + 1);
                for number in numbers {
                    kept.keys.insert(number);
                }
                Ok(vec![round])
            }
            Scene::Reports => {
                let mut rounds = Vec::new();
                let mut end = End::Span(span);
                if ours {
                    // The MMs that the reports are about pass first; they are counted and not measured.
                    let mms = Work { reports: true, ..work.clone() };
                    let arguments = source_arguments(&mms, run, turn, end);
                    let round = pass(relay, &mms, &arguments, Counting::Requests, &mut around)?.0;
                    end = End::Count(u32::try_from(round.accepted).unwrap_or(u32::MAX));
                    rounds.push(round);
                }
                let back = Work { reports: false, ..work.clone() };
                let mut arguments = source_arguments(&back, run, turn, end);
                arguments.retain(|a| !a.starts_with("--from-address"));
                arguments
                    .extend(["--as-reports".into(), format!("--from-address={}", sink_address(0, 0).ip())]);
                rounds.push(pass(relay, &back, &arguments, Counting::Reports, &mut around)?.0);
                Ok(rounds)
            }
        }
    }

    /// The next hop comes up at last: what our relay has kept must all be delivered.
    fn deliver_what_was_kept(&mut self, stage: &Stage, kept: &[Kept]) -> anyhow::Result<Option<Round>> {
        let Some(place) = stage.relays.iter().position(|relay| relay.subject == Subject::Belino) else {
            return Ok(None);
        };
        let kept = &kept[place];
        self.watch.step("the next hop comes up: what was kept is delivered");
        let folder: &Path = &stage.folder;
        let mut sink = SinkProcess::start(&stage.sinks, &[], folder)?;
        sink.begin(kept.run)?;
        let watch = &mut *self.watch;
        sink.wait_for(kept.keys.count(), SILENCE, |come| watch.come(come))?;
        let (sum, keys) = sink.sum(kept.run, false)?;
        let number = |name: &str| sum["requests"][name].as_u64().unwrap_or(0);
        Ok(Some(Round {
            subject: Subject::Belino.name(),
            delivered: number("come"),
            doubled: number("doubled"),
            changed: number("changed"),
            lost: Some(spread(&kept.keys, 1).missing_in(&keys)),
            ..Round::default()
        }))
    }
}

/// What a relay keeps while its next hop is down.
struct Kept {
    run: u32,
    keys: Bits,
    next: u32,
}

/// Mark the rounds that foreign load disturbed; how many numbers are sound for every relay.
fn judge(rounds: &mut [Round]) -> usize {
    let directs: Vec<f64> = rounds.iter().filter(|r| r.number > 0).filter_map(|r| r.direct_per_s).collect();
    let usual = median(&directs);
    let mut bad: Vec<(usize, String)> = Vec::new();
    for round in rounds.iter().filter(|r| r.number > 0) {
        if round.foreign > FOREIGN_MAX {
            let why = format!(
                "{:.0} % of the machine used by others beside {}",
                round.foreign * 100.0,
                round.subject
            );
            bad.push((round.number, why));
        }
        if let (Some(direct), Some(usual)) = (round.direct_per_s, usual)
            && (direct / usual - 1.0).abs() > DIRECT_OFF_MAX
        {
            bad.push((round.number, format!("direct rate {direct:.0}/s, usually {usual:.0}/s")));
        }
    }
    for round in rounds.iter_mut() {
        // The relays of one number are compared with each other: it counts for all or for none.
        round.disturbed = bad.iter().find(|(number, _)| *number == round.number).map(|(_, why)| why.clone());
    }
    let mut sound: Vec<usize> =
        rounds.iter().filter(|r| r.number > 0 && r.disturbed.is_none()).map(|r| r.number).collect();
    sound.dedup();
    sound.sort_unstable();
    sound.dedup();
    sound.len()
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}
