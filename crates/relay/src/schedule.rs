//! When to try again: pure functions of what happened and how often.

use crate::house::Retry;
use mms::Timestamp;
use std::time::Duration;

impl Retry {
    /// The pause before attempt number `attempt` + 1, after `attempt` attempts failed for a passing reason.
    pub fn pause(&self, attempt: u32) -> Duration {
        let step = (attempt as usize).saturating_sub(1).min(self.steps.len().saturating_sub(1));
        self.steps.get(step).copied().unwrap_or(Duration::from_secs(60))
    }

    /// When to try an errand again that has failed `attempt` times, or `None` when that is after `deadline`.
    pub fn next(&self, attempt: u32, now: Timestamp, deadline: Timestamp) -> Option<Timestamp> {
        let due = now.plus(self.pause(attempt));
        (now < deadline).then_some(due.min(deadline))
    }

    /// How long to leave a peer alone after `failures` connections in a row failed.
    pub fn gate_pause(&self, failures: u32) -> Duration {
        let doubled = self.gate_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.gate_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_then_the_last_one_for_ever() {
        let retry = Retry::default();
        let minutes: Vec<u64> = (1..=6).map(|n| retry.pause(n).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 5, 15, 30, 30, 30]);
        let (now, deadline) = (Timestamp::from_seconds(0), Timestamp::from_seconds(90));
        assert_eq!(retry.next(1, now, deadline), Some(Timestamp::from_seconds(60)));
        assert_eq!(retry.next(2, now, deadline), Some(deadline), "one last attempt at the deadline");
        assert_eq!(retry.next(2, deadline, deadline), None);
    }

    #[test]
    fn a_dead_peer_is_left_alone_for_longer_and_longer() {
        let retry = Retry::default();
        let seconds: Vec<u64> = (1..=9).map(|n| retry.gate_pause(n).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(retry.gate_pause(u32::MAX), retry.gate_max);
    }
}
