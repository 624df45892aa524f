//! What stands while a workload runs: relays, sinks, a folder.
//!
//! Owns: starting all of it with addresses that fit together. Never knows: what happens on it.

use super::ends::{SinkProcess, SourceProcess};
use super::measure::Tree;
use super::relay::{Plan, Relay, Subject, free_port, sink_address, source_address};
use super::round::{Around, Counting, End, Round, pass, source_arguments};
use super::run::Campaign;
use super::tally::Bits;
use super::workload::{Scene, Work, Workload};
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a stage differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Only so many of the sinks listen.
    pub live: Option<usize>,
    /// Arguments of the sink.
    pub manners: Vec<String>,
    /// Only our own relay.
    pub only_ours: bool,
    /// Another folder than the campaign's, for what relays write.
    pub folder: Option<PathBuf>,
}

/// What stands while a workload runs.
pub struct Stage {
    /// The workload's folder.
    pub folder: PathBuf,
    /// The relays, ours first.
    pub relays: Vec<Relay>,
    /// How each was set up.
    pub plans: Vec<Plan>,
    /// The sink, for all that listen.
    pub sink: SinkProcess,
    /// Where the relays deliver.
    pub sinks: Vec<SocketAddr>,
    /// Where the source hears answers; while the next hop is down, the port at which the sink listens instead.
    pub source: SocketAddr,
}

impl Stage {
    /// Everything that the bench has started.
    pub fn trees(&self) -> Vec<Tree> {
        let own = Tree { root: std::process::id() };
        let apart = self.relays.iter().filter(|r| r.subject == Subject::Postfix).map(Relay::tree);
        std::iter::once(own).chain(apart).collect()
    }

    /// Where our relay is among the relays.
    pub fn ours(&self) -> Option<usize> {
        self.relays.iter().position(|relay| relay.subject == Subject::Belino)
    }
}

/// How often memory is looked at: a look at a relay of many processes costs milliseconds.
const LOOK: Duration = Duration::from_millis(400);

/// What the relays of a workload are to be measured with.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// Which relay.
    pub place: usize,
    /// Traffic.
    pub work: &'a Work,
    /// When the source ends.
    pub end: End,
    /// What is counted at the sink.
    pub counting: Counting,
    /// The run's number.
    pub run: u32,
    /// The loop device that the relay writes to.
    pub device: Option<&'a str>,
    /// Of the keys, only those that leave a remainder below the second when divided by the first come to the sink.
    pub only: Option<(u32, u32)>,
    /// How often memory is looked at while mails are sent.
    pub look: Duration,
}

impl<'a> Turn<'a> {
    /// The usual.
    pub const fn new(place: usize, work: &'a Work, end: End, run: u32) -> Self {
        Self { place, work, end, counting: Counting::Requests, run, device: None, only: None, look: LOOK }
    }
}

impl Campaign<'_> {
    /// Relays and sinks for a workload.
    ///
    /// # Errors
    /// One of them does not begin.
    pub(super) fn build(&mut self, workload: &Workload, set: &Set) -> anyhow::Result<Stage> {
        let folder = self.options.folder.join(workload.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (port, ear) = (free_port()?, free_port()?);
        let sinks: Vec<SocketAddr> = (0..workload.work.sinks).map(|k| sink_address(k, port)).collect();
        let reports = workload.scene == Scene::Reports;
        let source = SocketAddr::new(source_address(0), if reports { port } else { ear });
        let (mut relays, mut plans) = (Vec::new(), Vec::new());
        for subject in self.options.subjects.clone() {
            let ours = subject == Subject::Belino;
            // A relay that is told of one port has one next hop.
            let can = workload.work.sinks == 1 || !matches!(subject, Subject::Command(_));
            if !(ours || workload.others && can && !set.only_ours) {
                continue;
            }
            self.watch.step(&format!("starting {}", subject.name()));
            let plan = Plan {
                folder: set.folder.as_ref().unwrap_or(&folder).join(subject.name()),
                source,
                sinks: sinks.clone(),
                transit: workload.transit,
                asks: workload.work.ack,
                connections: workload.work.connections,
                flush_delay: None,
                crowd: matches!(workload.scene, Scene::Crowd { .. }),
            };
            relays.push(Relay::start(&subject, &plan)?);
            plans.push(plan);
        }
        // While the next hop is down the sink is elsewhere, for the direct rate.
        let at = if workload.scene == Scene::Accept { ear } else { port };
        let live = set.live.unwrap_or(sinks.len());
        let mut listen: Vec<SocketAddr> =
            sinks.iter().take(live).map(|s| SocketAddr::new(s.ip(), at)).collect();
        listen.push(SocketAddr::from((Ipv4Addr::LOCALHOST, at)));
        if reports {
            listen.push(source);
        }
        let mut more = set.manners.clone();
        if let (true, Some(relay)) = (workload.work.ack, relays.first()) {
            more.extend(["--answer".to_owned(), relay.to.to_string(), "--answer-connections=20".into()]);
            if workload.work.reports {
                more.push("--reports".into());
            }
        }
        let sink = SinkProcess::start(&listen, &more, &folder)?;
        Ok(Stage { folder, relays, plans, sink, sinks, source })
    }

    /// Mails a second from source to sink, with nothing between.
    ///
    /// # Errors
    /// Source or sink fail.
    pub(super) fn direct(
        &mut self,
        workload: &Workload,
        stage: &mut Stage,
        number: usize,
    ) -> anyhow::Result<f64> {
        self.watch.step("source to sink, direct");
        let run = self.fresh();
        let work = Work { ack: false, reports: false, rate: None, ..workload.work.clone() };
        let span = (self.options.span / 5).clamp(Duration::from_millis(100), Duration::from_millis(500));
        let arguments = source_arguments(&work, run, number, End::Span(span));
        let port = if workload.scene == Scene::Accept { stage.source.port() } else { stage.sinks[0].port() };
        stage.sink.begin(run)?;
        let at = SocketAddr::new(stage.sinks[0].ip(), port);
        let sent = SourceProcess::start(at, &arguments, &stage.folder)?.wait(LOOK, || {})?;
        Ok(sent.json["per_s"].as_f64().unwrap_or(0.0))
    }

    /// Traffic through one relay of a stage, with more arguments for the source.
    ///
    /// # Errors
    /// Source or sink fail.
    pub(super) fn turn(
        &mut self,
        stage: &mut Stage,
        turn: &Turn<'_>,
        more: &[String],
    ) -> anyhow::Result<(Round, Bits)> {
        let mut arguments = source_arguments(turn.work, turn.run, turn.run as usize, turn.end);
        if let Some(address) = more.iter().find(|a| a.starts_with("--from-address")) {
            arguments.retain(|a| !a.starts_with("--from-address"));
            arguments.push(address.clone());
        }
        arguments.extend(more.iter().filter(|a| !a.starts_with("--from-address")).cloned());
        let all = stage.trees();
        let Stage { folder, relays, sink, .. } = stage;
        let watch = &mut *self.watch;
        let mut around = Around {
            sink,
            folder: folder.as_path(),
            all: &all,
            device: turn.device,
            run: turn.run,
            silence: self.options.silence,
            look: turn.look,
            only: turn.only,
            tell: &mut |come| watch.come(come),
        };
        pass(&relays[turn.place], turn.work, &arguments, turn.counting, &mut around)
    }
}
