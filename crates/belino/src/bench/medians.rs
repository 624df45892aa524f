//! What rounds come to: medians, sums, ratios.
//!
//! Owns: the arithmetic over the rounds of a workload. Never knows: goals, tables.

use super::round::{Latency, Round};
use super::run::{Outcome, median};

/// The medians of one relay in one workload.
#[derive(Clone, Debug, Default)]
pub struct Medians {
    /// The relay.
    pub subject: String,
    /// Rounds that were not disturbed. The figures are of these, or of all if it is none.
    pub rounds: usize,
    /// Rounds that were dropped.
    pub dropped: usize,
    /// The workload's rate: median, least, most.
    pub rate: [f64; 3],
    /// Mails taken a second.
    pub accepted_per_s: f64,
    /// Mails delivered a second.
    pub delivered_per_s: f64,
    /// Millions of octets delivered a second.
    pub mb_per_s: f64,
    /// First octet to reply.
    pub accept_ms: Option<Latency>,
    /// First octet to delivery.
    pub delivery_ms: Option<Latency>,
    /// First octet to response.
    pub response_ms: Option<Latency>,
    /// Seconds of CPU for 1,000 mails.
    pub cpu_s_per_1000: f64,
    /// The highest peak.
    pub rss_peak: u64,
    /// The highest peak.
    pub pss_peak: u64,
    /// Octets written for each accepted.
    pub written_per_octet: f64,
    /// From source to sink without a relay.
    pub direct_per_s: Option<f64>,
}

/// All rounds counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Mails taken.
    pub accepted: u64,
    /// Mails refused or not answered.
    pub refused: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Deliveries missing.
    pub lost: u64,
    /// Deliveries of what had been delivered.
    pub doubled: u64,
    /// Deliveries of what was not sent like that.
    pub changed: u64,
}

impl Sums {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            delivered: self.delivered + other.delivered,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            changed: self.changed + other.changed,
        }
    }
}

impl Outcome {
    /// The relays, in order.
    pub fn subjects(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for round in &self.rounds {
            if !names.contains(&round.subject) {
                names.push(round.subject.clone());
            }
        }
        names
    }

    /// The rounds of a relay that count: those that were not disturbed, or all if none is left.
    pub fn sound(&self, subject: &str) -> Vec<&Round> {
        let measured = || self.rounds.iter().filter(|r| r.number > 0 && r.subject == subject);
        let sound: Vec<&Round> = measured().filter(|r| r.disturbed.is_none()).collect();
        if sound.is_empty() { measured().collect() } else { sound }
    }

    /// A relay's medians.
    pub fn medians(&self, subject: &str) -> Medians {
        let rounds = self.sound(subject);
        let of = |figure: fn(&Round) -> f64| {
            median(&rounds.iter().map(|r| figure(r)).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        let latency = |which: fn(&Round) -> Option<Latency>| {
            let all: Vec<Latency> = rounds.iter().filter_map(|r| which(r)).collect();
            let of = |figure: fn(&Latency) -> f64| median(&all.iter().map(figure).collect::<Vec<_>>());
            Some(Latency {
                p50: of(|l| l.p50)?,
                p99: of(|l| l.p99)?,
                p99_9: of(|l| l.p99_9)?,
                max: of(|l| l.max)?,
            })
        };
        let rates = || rounds.iter().map(|r| r.rate);
        let dropped = self
            .rounds
            .iter()
            .filter(|r| r.number > 0 && r.subject == subject && r.disturbed.is_some())
            .count();
        let directs: Vec<f64> = rounds.iter().filter_map(|r| r.direct_per_s).collect();
        Medians {
            subject: subject.to_owned(),
            rounds: rounds.iter().filter(|r| r.disturbed.is_none()).count(),
            dropped,
            rate: [of(|r| r.rate), rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)],
            accepted_per_s: of(|r| r.accepted_per_s),
            delivered_per_s: of(|r| r.delivered_per_s),
            mb_per_s: of(|r| r.mb_per_s),
            accept_ms: latency(|r| r.accept_ms),
            delivery_ms: latency(|r| r.delivery_ms),
            response_ms: latency(|r| r.response_ms),
            cpu_s_per_1000: of(|r| r.cpu_s_per_1000),
            rss_peak: rounds.iter().map(|r| r.rss_peak).max().unwrap_or(0),
            pss_peak: rounds.iter().map(|r| r.pss_peak).max().unwrap_or(0),
            written_per_octet: of(|r| r.written_per_octet),
            direct_per_s: median(&directs),
        }
    }

    /// All rounds of a relay, under whatever name, those that do not count as well.
    pub fn sums(&self, subject: &str) -> Sums {
        let mut sums = Sums::default();
        let same = |r: &&Round| r.subject.split(',').next() == Some(subject);
        for round in self.rounds.iter().filter(same) {
            sums.accepted += round.accepted;
            sums.refused += round.refused;
            sums.delivered += round.delivered;
            sums.lost += round.lost.unwrap_or(0) + round.answers_lost;
            sums.doubled += round.doubled;
            sums.changed += round.changed;
        }
        sums
    }

    /// A figure of one relay over that of another: the median of the ratios round by round.
    pub fn ratio(&self, figure: fn(&Round) -> f64, one: &str, other: &str) -> Option<f64> {
        let (one, other) = (self.sound(one), self.sound(other));
        let pairs = one.iter().filter_map(|a| {
            let b = other.iter().find(|b| b.number == a.number)?;
            Some(figure(a) / figure(b))
        });
        median(&pairs.collect::<Vec<_>>())
    }
}
