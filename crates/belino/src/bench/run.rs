//! A run: workload after workload, and which rounds count.
//!
//! Owns: what is to be run, the numbers of runs, the outcome of a workload, the judging of rounds. Never knows: how a round
//! is measured, how a report looks.

use super::relay::Subject;
use super::round::Round;
use super::workload::{Goal, Scene, Workload};
use std::path::PathBuf;
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
    /// Only to see that it works: backlogs and the like are a thousandth of what they are called.
    pub quick: bool,
    /// How long nothing may come before what is missing counts as lost.
    pub silence: Duration,
    /// Everything that relays write lies in here.
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

/// A figure that is not one of a round.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Of which relay.
    pub subject: String,
    /// What it is.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What is hoped for: at least, or at most, so much.
    pub goal: Option<Bound>,
}

/// At least, or at most, so much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least.
    Least(f64),
    /// At most.
    Most(f64),
}

impl Bound {
    /// What a goal asks of a ratio.
    pub const fn of(goal: &Goal) -> Self {
        if goal.at_least { Self::Least(goal.bound) } else { Self::Most(goal.bound) }
    }

    /// Whether a value is within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::Least(bound) => value >= bound,
            Self::Most(bound) => value <= bound,
        }
    }

    /// `met`, or by how much of the bound it is missed.
    pub fn verdict(self, value: f64) -> String {
        let off = match self {
            _ if self.holds(value) => return "met".into(),
            Self::Least(bound) => 1.0 - value / bound,
            Self::Most(bound) => value / bound - 1.0,
        };
        format!("missed by {:.0} %", (off * 100.0).max(1.0))
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, bound) = match self {
            Self::Least(bound) => (">=", bound),
            Self::Most(bound) => ("<=", bound),
        };
        if *bound >= 10.0 { write!(f, "{sign} {bound:.0}") } else { write!(f, "{sign} {bound:.2}") }
    }
}

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// It.
    pub workload: Workload,
    /// All rounds of all relays, in the order of time.
    pub rounds: Vec<Round>,
    /// Figures beside those of the rounds.
    pub readings: Vec<Reading>,
    /// What whoever reads the figures must know.
    pub notes: Vec<String>,
}

/// Carries a run out.
pub struct Campaign<'a> {
    /// What.
    pub options: Options,
    /// Who hears of it.
    pub watch: &'a mut dyn Watch,
    next: u32,
}

impl<'a> Campaign<'a> {
    /// A run that begins.
    pub fn new(options: Options, watch: &'a mut dyn Watch) -> Self {
        Self { options, watch, next: crate::entropy() as u32 >> 1 }
    }

    /// A number that no run had.
    pub(super) fn fresh(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// One workload.
    ///
    /// # Errors
    /// A relay, a source or a sink fails; what relays do wrong is in the rounds.
    pub fn workload(&mut self, workload: &Workload) -> anyhow::Result<Outcome> {
        self.watch.begins(workload);
        let mut outcome = Outcome {
            workload: workload.clone(),
            rounds: Vec::new(),
            readings: Vec::new(),
            notes: Vec::new(),
        };
        match workload.scene {
            Scene::Pass | Scene::Accept | Scene::Reports => self.passing(&mut outcome)?,
            Scene::Depth(backlog) => self.depth(&mut outcome, backlog)?,
            Scene::Memory { most } => self.memory(&mut outcome, most)?,
            Scene::Idle(connections) => self.idle(&mut outcome, connections)?,
            Scene::WriteAmp { most } => self.write_amplification(&mut outcome, most)?,
            Scene::SlowFlush => self.slow_flush(&mut outcome)?,
            Scene::Fairness => self.fairness(&mut outcome)?,
            Scene::Crowd { idle, dripping } => self.crowd(&mut outcome, idle, dripping)?,
        }
        Ok(outcome)
    }

    /// Rounds until enough of them count, or twice as many have been tried. `round` does all relays of one number.
    pub(super) fn rounds(
        &mut self,
        outcome: &mut Outcome,
        mut round: impl FnMut(&mut Self, usize, &mut Outcome) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for number in 1..=2 * self.options.rounds {
            round(self, number, outcome)?;
            // A quick run shows that it works; who disturbs it does not matter.
            if self.options.quick || judge(&mut outcome.rounds) >= self.options.rounds {
                break;
            }
        }
        Ok(())
    }
}

/// Mark the rounds that foreign load disturbed; how many numbers are sound for every relay.
fn judge(rounds: &mut [Round]) -> usize {
    let directs: Vec<f64> = rounds.iter().filter(|r| r.number > 0).filter_map(|r| r.direct_per_s).collect();
    let usual = median(&directs);
    let mut bad: Vec<(usize, String)> = Vec::new();
    for round in rounds.iter().filter(|r| r.number > 0) {
        if round.foreign > FOREIGN_MAX {
            let share = round.foreign * 100.0;
            bad.push((
                round.number,
                format!("{share:.0} % of the machine used by others beside {}", round.subject),
            ));
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
    sound.sort_unstable();
    sound.dedup();
    sound.len()
}

/// The middle one, or the mean of the two in the middle. `None` of nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, f64::NAN, 3.0]), Some(2.5));
    }

    #[test]
    fn bounds_say_by_how_much_they_are_missed() {
        assert_eq!(Bound::Least(5.0).verdict(5.0), "met");
        assert_eq!(Bound::Least(5.0).verdict(4.0), "missed by 20 %");
        assert_eq!(Bound::Most(0.5).verdict(0.6), "missed by 20 %");
        assert_eq!(Bound::Most(0.5).verdict(0.500_01), "missed by 1 %");
        assert_eq!([Bound::Least(0.25).to_string(), Bound::Most(8192.0).to_string()], [">= 0.25", "<= 8192"]);
    }

    #[test]
    fn a_disturbed_round_counts_for_nobody() {
        let round = |number, subject: &str, foreign, direct| Round {
            number,
            subject: subject.into(),
            foreign,
            direct_per_s: Some(direct),
            ..Round::default()
        };
        let mut rounds = vec![
            round(0, "a", 0.9, 1.0),
            round(1, "a", 0.1, 1000.0),
            round(1, "b", 0.1, 1000.0),
            round(2, "a", 0.0, 1010.0),
            round(2, "b", 0.4, 1010.0),
            round(3, "a", 0.0, 1300.0),
            round(3, "b", 0.0, 1300.0),
            round(4, "a", 0.0, 900.0),
        ];
        assert_eq!(judge(&mut rounds), 2);
        let why: Vec<_> = rounds.iter().map(|r| r.disturbed.as_deref()).collect();
        let foreign = Some("40 % of the machine used by others beside b");
        let direct = Some("direct rate 1300/s, usually 1010/s");
        assert_eq!(why, [None, None, None, foreign, foreign, direct, direct, None]);
    }
}
