//! The report: medians, ratios, goals; as a table and as JSON.
//!
//! Owns: what is made of rounds. Never knows: how they came about.

use super::measure::Class;
use super::round::{Latency, Round};
use super::run::{Outcome, median};
use super::workload::{Against, Figure, Goal};
use serde_json::{Value, json};

/// The medians of one relay in one workload.
#[derive(Clone, Debug, Default)]
pub struct Medians {
    /// The relay.
    pub subject: String,
    /// Rounds that count.
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

/// A goal and what came of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What is compared, in words.
    pub what: String,
    /// The ratio.
    pub ratio: f64,
    /// The goal.
    pub goal: Goal,
    /// Whether it is met.
    pub is_met: bool,
}

impl Judged {
    /// `met`, or by how much it is missed.
    pub fn verdict(&self) -> String {
        if self.is_met {
            return "met".into();
        }
        let off = if self.goal.at_least {
            1.0 - self.ratio / self.goal.bound
        } else {
            self.ratio / self.goal.bound - 1.0
        };
        format!("missed by {:.0} %", off * 100.0)
    }

    /// `>= 5.00`.
    pub fn bound(&self) -> String {
        format!("{} {:.2}", if self.goal.at_least { ">=" } else { "<=" }, self.goal.bound)
    }
}

/// A whole run.
pub struct Report {
    /// The command line.
    pub command: String,
    /// The machine.
    pub class: Class,
    /// Workload by workload.
    pub outcomes: Vec<Outcome>,
    /// What could not be run, and why.
    pub skipped: Vec<(String, String)>,
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
            rounds: rounds.len(),
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

    /// All rounds of a relay, those that do not count as well.
    pub fn sums(&self, subject: &str) -> Sums {
        let mut sums = Sums::default();
        for round in self.rounds.iter().filter(|r| r.subject == subject) {
            sums.accepted += round.accepted;
            sums.refused += round.refused;
            sums.delivered += round.delivered;
            sums.lost += round.lost.unwrap_or(0) + round.responses_lost;
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

fn figure_of(figure: Figure) -> fn(&Round) -> f64 {
    match figure {
        Figure::Rate => |r| r.rate,
        Figure::Cpu => |r| r.cpu_s_per_1000,
        Figure::LatencyMedian => |r| r.delivery_ms.map_or(f64::NAN, |l| l.p50),
        Figure::LatencyHigh => |r| r.delivery_ms.map_or(f64::NAN, |l| l.p99),
    }
}

impl Report {
    /// Each goal of a workload that can be judged in this run.
    pub fn judged(&self, outcome: &Outcome) -> Vec<Judged> {
        let goals = outcome.workload.goals.iter();
        goals
            .filter_map(|goal| {
                let (ratio, what) = self.compare(outcome, goal)?;
                let is_met = if goal.at_least { ratio >= goal.bound } else { ratio <= goal.bound };
                Some(Judged { what, ratio, goal: *goal, is_met })
            })
            .collect()
    }

    fn compare(&self, outcome: &Outcome, goal: &Goal) -> Option<(f64, String)> {
        let name = match goal.figure {
            Figure::Rate => "rate",
            Figure::Cpu => "CPU",
            Figure::LatencyMedian => "p50 to delivery",
            Figure::LatencyHigh => "p99 to delivery",
        };
        let figure = figure_of(goal.figure);
        match goal.against {
            Against::Postfix => {
                Some((outcome.ratio(figure, "belino", "postfix")?, format!("{name} / postfix")))
            }
            Against::Command => {
                let subjects = outcome.subjects();
                let other = subjects.iter().find(|s| *s != "belino" && *s != "postfix")?;
                Some((outcome.ratio(figure, "belino", other)?, format!("{name} / {other}")))
            }
            Against::PostfixMedian => {
                let ours = outcome.medians("belino").delivery_ms?.p99;
                let theirs = outcome.medians("postfix").delivery_ms?.p50;
                Some((ours / theirs, format!("{name} / postfix's p50")))
            }
            Against::Workload(other) => {
                let other = self.outcomes.iter().find(|o| o.workload.name == other)?;
                let rate = |o: &Outcome| o.medians("belino").rate[0];
                let ratio = rate(outcome) / rate(other);
                ratio.is_finite().then(|| (ratio, format!("{name} / {}", other.workload.name)))
            }
        }
    }

    /// Lost, doubled or changed mails of our own relay, anywhere.
    pub fn is_sound(&self) -> bool {
        self.outcomes.iter().all(|outcome| {
            let sums = outcome.sums("belino");
            sums.lost == 0 && sums.doubled == 0 && sums.changed == 0
        })
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let workloads: Vec<Value> = self.outcomes.iter().map(|outcome| self.outcome_json(outcome)).collect();
        let skipped = self.skipped.iter().map(|(name, why)| json!({ "workload": name, "why": why }));
        json!({
            "command": self.command,
            "belino": env!("CARGO_PKG_VERSION"),
            "machine": {
                "cores": self.class.cores,
                "processor": self.class.processor,
                "memory": self.class.memory,
                "file_system": self.class.file_system,
                "kernel": self.class.kernel,
            },
            "workloads": workloads,
            "skipped": skipped.collect::<Vec<_>>(),
            "success": self.is_sound(),
        })
    }

    fn outcome_json(&self, outcome: &Outcome) -> Value {
        let subjects: Vec<Value> = outcome
            .subjects()
            .iter()
            .map(|subject| {
                let (m, s) = (outcome.medians(subject), outcome.sums(subject));
                json!({
                    "subject": subject,
                    "rounds": m.rounds,
                    "dropped": m.dropped,
                    "rate": { "median": m.rate[0], "min": m.rate[1], "max": m.rate[2] },
                    "accepted_per_s": m.accepted_per_s,
                    "delivered_per_s": m.delivered_per_s,
                    "mb_per_s": m.mb_per_s,
                    "accept_ms": m.accept_ms,
                    "delivery_ms": m.delivery_ms,
                    "response_ms": m.response_ms,
                    "cpu_s_per_1000": m.cpu_s_per_1000,
                    "rss_peak": m.rss_peak,
                    "pss_peak": m.pss_peak,
                    "written_per_octet": m.written_per_octet,
                    "direct_per_s": m.direct_per_s,
                    "accepted": s.accepted,
                    "refused": s.refused,
                    "delivered": s.delivered,
                    "lost": s.lost,
                    "doubled": s.doubled,
                    "changed": s.changed,
                })
            })
            .collect();
        let goals: Vec<Value> = self
            .judged(outcome)
            .iter()
            .map(|j| json!({ "what": j.what, "ratio": j.ratio, "goal": j.bound(), "met": j.is_met }))
            .collect();
        json!({
            "name": outcome.workload.name,
            "title": outcome.workload.title,
            "subjects": subjects,
            "goals": goals,
            "rounds": outcome.rounds,
        })
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let head = [
            "workload",
            "relay",
            "MM/s",
            "(min-max)",
            "MB/s",
            "accepted/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU s/1000",
            "PSS MB",
            "written",
            "foreign",
        ];
        let mut rows: Vec<Vec<String>> = vec![head.iter().map(|h| (*h).to_owned()).collect()];
        for outcome in &self.outcomes {
            for (i, subject) in outcome.subjects().iter().enumerate() {
                rows.push(row(outcome, subject, i == 0));
            }
        }
        out.push_str(&aligned(&rows));
        out.push_str("\nGoals\n");
        let mut rows = Vec::new();
        for outcome in &self.outcomes {
            for judged in self.judged(outcome) {
                rows.push(vec![
                    format!("  {}", outcome.workload.name),
                    judged.what.clone(),
                    format!("{:.2}", judged.ratio),
                    judged.bound(),
                    judged.verdict(),
                ]);
            }
        }
        if rows.is_empty() {
            out.push_str("  none can be judged without the relay that they compare with: --vs postfix\n");
        }
        out.push_str(&aligned(&rows));
        for outcome in &self.outcomes {
            for round in outcome.rounds.iter().filter(|r| r.number > 0) {
                if let Some(why) = &round.disturbed {
                    out.push_str(&format!(
                        "\ndropped: {}, {}, round {}: {why}",
                        outcome.workload.name, round.subject, round.number
                    ));
                }
            }
        }
        for (name, why) in &self.skipped {
            out.push_str(&format!("\nnot run: {name}: {why}"));
        }
        out.push_str(&self.count());
        out
    }

    /// How many mails, and what became of them.
    pub fn count(&self) -> String {
        let mut out = String::from("\n");
        let mut names: Vec<String> = Vec::new();
        for name in self.outcomes.iter().flat_map(Outcome::subjects) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let mut all = Sums::default();
            for outcome in &self.outcomes {
                let sums = outcome.sums(&name);
                all.accepted += sums.accepted;
                all.refused += sums.refused;
                all.delivered += sums.delivered;
                all.lost += sums.lost;
                all.doubled += sums.doubled;
                all.changed += sums.changed;
            }
            out.push_str(&format!(
                "{name}: {} mails accepted, {} refused, {} deliveries; lost {}, doubled {}, changed {}\n",
                all.accepted, all.refused, all.delivered, all.lost, all.doubled, all.changed
            ));
        }
        out
    }
}

fn row(outcome: &Outcome, subject: &str, first: bool) -> Vec<String> {
    let m = outcome.medians(subject);
    let rounds = outcome.sound(subject);
    let foreign = median(&rounds.iter().map(|r| r.foreign).collect::<Vec<_>>()).unwrap_or(0.0);
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
    vec![
        if first { outcome.workload.name.to_owned() } else { String::new() },
        subject.to_owned(),
        format!("{:.0}", m.rate[0]),
        format!("({:.0}-{:.0})", m.rate[1], m.rate[2]),
        format!("{:.1}", m.mb_per_s),
        format!("{:.0}", m.accepted_per_s),
        ms(m.delivery_ms.map(|l| l.p50)),
        ms(m.delivery_ms.map(|l| l.p99)),
        ms(m.delivery_ms.map(|l| l.max)),
        format!("{:.3}", m.cpu_s_per_1000),
        format!("{:.0}", m.pss_peak as f64 / 1e6),
        format!("{:.2}", m.written_per_octet),
        format!("{:.0} %", foreign * 100.0),
    ]
}

/// Columns of one width, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, text) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - text.chars().count());
            // Names to the left, figures to the right.
            if c < 2 {
                line.push_str(&format!("{text}{pad}  "))
            } else {
                line.push_str(&format!("{pad}{text}  "))
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
