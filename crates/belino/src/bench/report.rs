//! The report: medians, ratios, goals; as text and as JSON.
//!
//! Owns: what is made of rounds. Never knows: how they came about.

use super::measure::Class;
use super::medians::Sums;
use super::round::Round;
use super::run::{Bound, Outcome, Reading, median};
use super::workload::{Against, Figure, Goal};
use serde_json::{Value, json};

/// A figure beside those of the rounds, and what was hoped for.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What it is, in words.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what; empty for a ratio.
    pub unit: &'static str,
    /// What was hoped for.
    pub bound: Option<Bound>,
}

impl Judged {
    /// `0.91`, `43.1 MB`.
    pub fn amount(&self) -> String {
        let Self { value, unit, .. } = self;
        match *unit {
            "" => format!("{value:.2}"),
            unit if *value >= 100.0 => format!("{value:.0} {unit}"),
            unit => format!("{value:.1} {unit}"),
        }
    }

    /// `>= 5.00`.
    pub fn goal(&self) -> String {
        self.bound.map_or("-".into(), |bound| bound.to_string())
    }

    /// `met`, or by how much it is missed.
    pub fn verdict(&self) -> String {
        self.bound.map_or("-".into(), |bound| bound.verdict(self.value))
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
    /// Workloads that could not be run to their end, and why.
    pub failed: Vec<(String, String)>,
    /// Rounds that were asked for, and how long mails were sent in each, in seconds.
    pub rounds: (usize, f64),
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
    /// Each goal of a workload that can be judged in this run, and each figure beside those of the rounds.
    pub fn judged(&self, outcome: &Outcome) -> Vec<Judged> {
        let goals = outcome.workload.goals.iter().filter_map(|goal| {
            let (value, what) = self.compare(outcome, goal)?;
            value.is_finite().then(|| Judged { what, value, unit: "", bound: Some(Bound::of(goal)) })
        });
        let readings = outcome.readings.iter().map(|reading| {
            let Reading { subject, what, value, unit, goal } = reading;
            let what = if subject == "belino" { what.clone() } else { format!("{subject}: {what}") };
            Judged { what, value: *value, unit, bound: *goal }
        });
        goals.chain(readings).collect()
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
                Some((ratio, format!("{name} / {}", other.workload.name)))
            }
        }
    }

    /// Whether everything ran, and our own relay lost, doubled and changed nothing.
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty()
            && self.outcomes.iter().all(|outcome| {
                let sums = outcome.sums("belino");
                sums.lost == 0 && sums.doubled == 0 && sums.changed == 0
            })
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let workloads: Vec<Value> = self.outcomes.iter().map(|outcome| self.outcome_json(outcome)).collect();
        let failed = self.failed.iter().map(|(name, why)| json!({ "workload": name, "why": why }));
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
            "rounds": self.rounds.0,
            "span_s": self.rounds.1,
            "workloads": workloads,
            "failed": failed.collect::<Vec<_>>(),
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
        let judged = self.judged(outcome);
        let goals = judged.iter().map(|j| {
            let met = j.bound.map(|bound| bound.holds(j.value));
            let goal = j.bound.map(|bound| bound.to_string());
            json!({ "what": j.what, "value": j.value, "unit": j.unit, "goal": goal, "met": met, "verdict": j.verdict() })
        });
        json!({
            "name": outcome.workload.name,
            "title": outcome.workload.title,
            "subjects": subjects,
            "goals": goals.collect::<Vec<_>>(),
            "notes": outcome.notes,
            "rounds": outcome.rounds,
        })
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = aligned(&self.rows());
        let mut rows = Vec::new();
        for outcome in &self.outcomes {
            for judged in self.judged(outcome) {
                let name = format!("  {}", outcome.workload.name);
                rows.push(vec![name, judged.what.clone(), judged.amount(), judged.goal(), judged.verdict()]);
            }
        }
        out.push_str("\nGoals\n");
        out.push_str(&aligned(&rows));
        if rows.is_empty() {
            out.push_str("  none can be judged without a relay to compare with: --vs postfix\n");
        }
        let remarks = self.remarks();
        if !remarks.is_empty() {
            out.push_str(&format!("\nRemarks\n  {}\n", remarks.join("\n  ")));
        }
        out.push('\n');
        self.counts().iter().for_each(|line| out.push_str(&format!("{line}\n")));
        out
    }

    /// The head of the table, then a row for each relay in each workload.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            "workload",
            "relay",
            "MM/s",
            "(min-max)",
            "MB/s",
            "accepted/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "CPU s/1000",
            "PSS MB",
            "written",
            "rounds",
            "foreign",
        ];
        let mut rows: Vec<Vec<String>> = vec![head.iter().map(|h| (*h).to_owned()).collect()];
        for outcome in &self.outcomes {
            let mut name = outcome.workload.name;
            for subject in outcome.subjects() {
                // Deliveries that nobody measures make no row.
                if outcome.rounds.iter().any(|r| r.number > 0 && r.subject == subject) {
                    rows.push(row(outcome, &subject, name));
                    name = "";
                }
            }
        }
        rows
    }

    /// What whoever reads the figures must know.
    pub fn remarks(&self) -> Vec<String> {
        let mut out = Vec::new();
        for outcome in &self.outcomes {
            let name = outcome.workload.name;
            out.extend(outcome.notes.iter().map(|note| format!("{name}: {note}")));
            let mut told = Vec::new();
            for round in outcome.rounds.iter().filter(|r| r.number > 0) {
                if let Some(why) = round.disturbed.as_ref().filter(|_| !told.contains(&round.number)) {
                    out.push(format!("{name}: round {} dropped: {why}", round.number));
                    told.push(round.number);
                }
            }
            if outcome.rounds.iter().any(|r| r.number > 0)
                && outcome.rounds.iter().all(|r| r.number == 0 || r.disturbed.is_some())
            {
                out.push(format!(
                    "{name}: every round was disturbed, so all of them count; run it again on a quiet machine"
                ));
            }
            let troubles = outcome.rounds.iter().filter_map(|r| Some((&r.subject, r.trouble.as_ref()?)));
            if let Some((subject, trouble)) = troubles.into_iter().next() {
                out.push(format!("{name}: {subject}: {trouble}"));
            }
        }
        out.extend(self.failed.iter().map(|(name, why)| format!("{name}: failed: {why}")));
        out
    }

    /// How many mails each relay took, and what became of them.
    pub fn counts(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.outcomes.iter().flat_map(Outcome::subjects) {
            // One relay under several names is one relay.
            let name = name.split(',').next().unwrap_or_default().to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let count = |name: &String| {
            let all =
                self.outcomes.iter().map(|outcome| outcome.sums(name)).fold(Sums::default(), Sums::plus);
            format!(
                "{name}: {} mails accepted, {} refused, {} deliveries; lost {}, doubled {}, changed {}",
                all.accepted, all.refused, all.delivered, all.lost, all.doubled, all.changed
            )
        };
        names.iter().map(count).collect()
    }
}

fn row(outcome: &Outcome, subject: &str, name: &str) -> Vec<String> {
    let m = outcome.medians(subject);
    let rounds = outcome.sound(subject);
    let foreign = median(&rounds.iter().map(|r| r.foreign).collect::<Vec<_>>()).unwrap_or(0.0);
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
    vec![
        name.to_owned(),
        subject.to_owned(),
        format!("{:.0}", m.rate[0]),
        format!("({:.0}-{:.0})", m.rate[1], m.rate[2]),
        format!("{:.1}", m.mb_per_s),
        format!("{:.0}", m.accepted_per_s),
        ms(m.delivery_ms.map(|l| l.p50)),
        ms(m.delivery_ms.map(|l| l.p99)),
        ms(m.delivery_ms.map(|l| l.p99_9)),
        ms(m.delivery_ms.map(|l| l.max)),
        format!("{:.3}", m.cpu_s_per_1000),
        format!("{:.0}", m.pss_peak as f64 / 1e6),
        format!("{:.2}", m.written_per_octet),
        format!("{}/{}", m.rounds, m.rounds + m.dropped),
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
