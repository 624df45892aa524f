//! One round: traffic through one relay, and what it cost.
//!
//! Owns: the measuring of a round, and the counting at its end. Never knows: which rounds there are, and what they mean.

use super::ends::{Sent, SinkProcess, SourceProcess};
use super::measure::{Cost, Machine, Memory, Tree, device_written};
use super::relay::{Relay, source_address};
use super::tally::Bits;
use super::workload::Work;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Milliseconds: median and further percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of all take no longer.
    pub p50: f64,
    /// 99 of 100 take no longer.
    pub p99: f64,
    /// 999 of 1,000 take no longer.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// From [`Spans::json`](super::tally::Spans::json).
    pub fn read(json: &Value) -> Option<Self> {
        let of = |name: &str| json[name].as_f64();
        Some(Self { p50: of("p50")?, p99: of("p99")?, p99_9: of("p99_9")?, max: of("max")? })
    }
}

/// What a round came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// Which, from 1; 0 warms up and counts for nothing but the sums.
    pub number: usize,
    /// Of which relay.
    pub subject: String,
    /// Mails that the relay took.
    pub accepted: u64,
    /// Mails that it refused, or did not answer.
    pub refused: u64,
    /// Deliveries at the sinks, one for each recipient.
    pub delivered: u64,
    /// Deliveries that are missing; `None`: nobody waited for them.
    pub lost: Option<u64>,
    /// Deliveries of something that had been delivered.
    pub doubled: u64,
    /// Deliveries with another body or recipient than was sent.
    pub changed: u64,
    /// Responses and reports that the source was to get and did not.
    pub answers_lost: u64,
    /// What the workload is about: mails a second.
    pub rate: f64,
    /// Mails taken a second.
    pub accepted_per_s: f64,
    /// Mails delivered a second: see [`rate`](super::tally::rate).
    pub delivered_per_s: f64,
    /// The same in millions of octets.
    pub mb_per_s: f64,
    /// From first octet to the relay's reply.
    pub accept_ms: Option<Latency>,
    /// From first octet to delivery.
    pub delivery_ms: Option<Latency>,
    /// From first octet to response.
    pub response_ms: Option<Latency>,
    /// Seconds of CPU of the relay for 1,000 mails, user and system.
    pub cpu_s_per_1000: f64,
    /// Peak resident memory of the relay, octets.
    pub rss_peak: u64,
    /// Peak proportional memory of the relay, octets.
    pub pss_peak: u64,
    /// Peak proportional memory in the second and in the last third of the time in which mails were sent.
    pub pss_thirds: [u64; 2],
    /// Octets written to disk for each octet accepted.
    pub written_per_octet: f64,
    /// Share of the machine's processors that others used.
    pub foreign: f64,
    /// Mails a second from source to sink without a relay, just before.
    pub direct_per_s: Option<f64>,
    /// Why it does not count, if so.
    pub disturbed: Option<String>,
    /// The first trouble that the source had; and what the relay says of what has not come.
    pub trouble: Option<String>,
}

/// Measures what one relay costs from a moment on.
pub struct Meter {
    tree: Tree,
    all: Vec<Tree>,
    before: Cost,
    ours_before: f64,
    machine: Machine,
    device: Option<String>,
    device_before: u64,
    peak: Memory,
    /// Proportional memory while mails are sent.
    sending: Vec<u64>,
    sends: bool,
}

impl Meter {
    /// Begin. `tree` is the relay's, `all` are those of everything that the bench has started, the relay's among or below
    /// them; `device` is the loop device that the relay writes to.
    pub fn start(tree: Tree, all: Vec<Tree>, device: Option<&str>) -> Self {
        let device_before = device.and_then(device_written).unwrap_or(0);
        let ours_before = all.iter().map(|tree| tree.cost().cpu_s).sum();
        Self {
            before: tree.cost(),
            ours_before,
            machine: Machine::now(),
            device: device.map(str::to_owned),
            device_before,
            peak: Memory::default(),
            sending: Vec::new(),
            sends: true,
            tree,
            all,
        }
    }

    /// Look at the memory.
    pub fn sample(&mut self) {
        let now = self.tree.memory();
        self.peak.rss = self.peak.rss.max(now.rss);
        self.peak.pss = self.peak.pss.max(now.pss);
        if self.sends {
            self.sending.push(now.pss);
        }
    }

    /// The source has ended.
    pub const fn sending_ends(&mut self) {
        self.sends = false;
    }

    /// End, and write the figures down.
    pub fn finish(mut self, accepted: u64, octets: u64, round: &mut Round) {
        self.sample();
        let machine = Machine::now();
        let after = self.tree.cost();
        let ours: f64 = self.all.iter().map(|tree| tree.cost().cpu_s).sum();
        let cpu_s = after.cpu_s - self.before.cpu_s;
        let whole_s = machine.whole_s - self.machine.whole_s;
        let busy_s = machine.busy_s - self.machine.busy_s;
        round.foreign =
            if whole_s > 0.0 { ((busy_s - (ours - self.ours_before)) / whole_s).max(0.0) } else { 0.0 };
        round.cpu_s_per_1000 = if accepted > 0 { cpu_s * 1000.0 / accepted as f64 } else { 0.0 };
        let written = match &self.device {
            Some(device) => device_written(device).unwrap_or(0).saturating_sub(self.device_before),
            None => after.written.saturating_sub(self.before.written),
        };
        round.written_per_octet = if octets > 0 { written as f64 / octets as f64 } else { 0.0 };
        (round.rss_peak, round.pss_peak) = (self.peak.rss, self.peak.pss);
        let third = self.sending.len() / 3;
        let peak = |from: usize, to: usize| self.sending[from..to].iter().copied().max().unwrap_or(0);
        round.pss_thirds = [peak(third, 2 * third), peak(2 * third, self.sending.len())];
    }
}

/// When a source ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// After so long.
    Span(Duration),
    /// After so many mails.
    Count(u32),
}

/// Arguments for `bench source`.
pub fn source_arguments(work: &Work, run: u32, turn: usize, end: End) -> Vec<String> {
    let addresses: Vec<String> = (0..8).map(|i| source_address(turn * 8 + i).to_string()).collect();
    let mut arguments = vec![
        format!("--size={}", work.sizes),
        format!("--connections={}", work.connections),
        format!("--per-connection={}", work.per_connection),
        format!("--recipients={}", work.recipients),
        format!("--sinks={}", work.sinks),
        format!("--run={run}"),
        format!("--from-address={}", addresses.join(",")),
        match end {
            End::Span(span) => format!("--span={}ms", span.as_millis()),
            End::Count(count) => format!("--count={count}"),
        },
    ];
    if work.ack {
        arguments.push("--ack-share=1".into());
    }
    if work.reports {
        arguments.push("--reports".into());
    }
    if let Some(rate) = work.rate {
        arguments.push(format!("--rate={rate}"));
    }
    arguments
}

/// What goes on around a round.
pub struct Around<'a> {
    /// The sinks.
    pub sink: &'a mut SinkProcess,
    /// The bench's folder.
    pub folder: &'a Path,
    /// Trees of everything that the bench has started.
    pub all: &'a [Tree],
    /// The loop device that relays write to, if any.
    pub device: Option<&'a str>,
    /// Number of this run.
    pub run: u32,
    /// How long nothing may come before what is missing counts as lost.
    pub silence: Duration,
    /// How often memory is looked at while mails are sent.
    pub look: Duration,
    /// Of the keys, only those that leave a remainder below the second when divided by the first come to this sink.
    pub only: Option<(u32, u32)>,
    /// Told how many deliveries have come.
    pub tell: &'a mut dyn FnMut(u64),
}

/// How a round is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Deliveries of requests.
    Requests,
    /// Deliveries of reports.
    Reports,
    /// Nobody takes them yet.
    Nothing,
}

/// Send traffic through a relay and wait until all of it has come.
///
/// # Errors
/// Source or sink fail.
pub fn pass(
    relay: &Relay,
    work: &Work,
    arguments: &[String],
    counting: Counting,
    around: &mut Around<'_>,
) -> anyhow::Result<(Round, Bits)> {
    let Around { sink, folder, all, device, run, silence, look, only, tell } = around;
    let run = *run;
    let mut round = Round { subject: relay.subject.name(), ..Round::default() };
    sink.begin(run)?;
    let mut meter = Meter::start(relay.tree(), all.to_vec(), *device);
    let source = SourceProcess::start(relay.to, arguments, folder)?;
    let sent = source.wait(*look, || {
        meter.sample();
        tell(sink.come_now());
    })?;
    meter.sending_ends();
    let per_mail = if counting == Counting::Reports { 1 } else { work.recipients as u32 };
    let accepted = sent.json["accepted"].as_u64().unwrap_or(0);
    let expected = spread(&sent.keys, per_mail, *only);
    let reports = counting == Counting::Reports;
    if counting != Counting::Nothing {
        let mut wanted = expected.count();
        loop {
            let has_come = sink.wait_for(wanted, *silence, |come| {
                meter.sample();
                tell(come);
            })?;
            // What came twice stands for nothing that is missing.
            let twice = sink.twice(run, reports)?;
            if !has_come || wanted == expected.count() + twice {
                break;
            }
            wanted = expected.count() + twice;
        }
    }
    meter.finish(accepted, sent.json["octets"].as_u64().unwrap_or(0), &mut round);
    note_sent(&mut round, &sent);
    if counting == Counting::Nothing {
        round.rate = round.accepted_per_s;
        return Ok((round, sent.keys));
    }
    let (sum, keys) = sink.sum(Some(run), reports, sent.json["last_begun_ns"].as_u64().unwrap_or(0))?;
    note_delivered(&mut round, &sum, if reports { "reports" } else { "requests" });
    round.lost = Some(expected.missing_in(&keys));
    round.rate = round.delivered_per_s;
    note_answers(&mut round, &sent, sum["requests"]["last_ns"].as_u64());
    if round.answers_lost > 0 || round.lost.is_some_and(|lost| lost > 0) {
        let account = relay.account();
        tracing::error!("not everything has come from {}: {account}", round.subject);
        round.trouble = Some(round.trouble.map_or_else(String::new, |t| t + "; ") + &account);
    }
    Ok((round, sent.keys))
}

fn note_sent(round: &mut Round, sent: &Sent) {
    let of = |name: &str| sent.json[name].as_u64().unwrap_or(0);
    round.accepted = of("accepted");
    round.refused = of("refused") + of("unsure");
    round.accepted_per_s = sent.json["per_s"].as_f64().unwrap_or(0.0);
    round.accept_ms = Latency::read(&sent.json["accept_ms"]);
    round.response_ms = Latency::read(&sent.json["responses"]["latency_ms"]);
    round.trouble = sent.json["trouble"].as_str().map(str::to_owned);
}

fn note_delivered(round: &mut Round, sum: &Value, kind: &str) {
    let of = &sum[kind];
    let number = |name: &str| of[name].as_u64().unwrap_or(0);
    round.delivered = number("come");
    // What came of an earlier run had come before.
    round.doubled = number("doubled") + sum["late"].as_u64().unwrap_or(0);
    round.changed = number("changed") + sum["foreign"].as_u64().unwrap_or(0);
    round.delivered_per_s = of["per_s"].as_f64().unwrap_or(0.0);
    round.mb_per_s = of["mb_per_s"].as_f64().unwrap_or(0.0);
    round.delivery_ms = Latency::read(&of["latency_ms"]);
}

/// What came back to the source, if it listened. An exchange with responses is over when the last of them is here.
fn note_answers(round: &mut Round, sent: &Sent, delivered: Option<u64>) {
    for (name, is_asked) in [("responses", "asked"), ("reports", "reports_asked")] {
        let (answers, asked) = (&sent.json[name], sent.json[is_asked].as_u64().unwrap_or(0));
        if answers.is_null() || asked == 0 {
            continue;
        }
        let number = |field: &str| answers[field].as_u64().unwrap_or(0);
        round.answers_lost += asked.saturating_sub(number("distinct"));
        round.doubled += number("doubled");
        let last = Some(number("last_ns")).max(delivered);
        let nanos =
            last.zip(sent.json["first_ns"].as_u64()).map_or(0, |(last, first)| last.saturating_sub(first));
        if nanos > 0 {
            round.rate = round.rate.min(round.accepted as f64 / (nanos as f64 / 1e9));
        }
    }
}

/// The keys of all recipients of these mails, or only those that `only` names (see [`Around::only`]).
pub fn spread(mails: &Bits, recipients: u32, only: Option<(u32, u32)>) -> Bits {
    if recipients == 1 && only.is_none() {
        return mails.clone();
    }
    let mut keys = Bits::default();
    for mail in mails.numbers() {
        for key in (0..recipients).map(|place| mail * recipients + place) {
            if only.is_none_or(|(modulus, below)| key % modulus < below) {
                keys.insert(key);
            }
        }
    }
    keys
}
