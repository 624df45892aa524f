//! A bounded memory of answers, each with the instant at which it ends.
//!
//! Never knows: what it remembers, and what time it is; the time is an argument. When it is full, what would end first
//! goes first. Nothing is kept for more than a day (numbers are ported, peers move).

use mms::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// The longest that anything is remembered.
pub const KEPT_MAX: Duration = Duration::from_secs(86_400);

/// Answers by what was asked.
pub(super) struct Cache<K, V> {
    most: usize,
    kept: HashMap<K, (Timestamp, V)>,
    ends: BTreeSet<(Timestamp, K)>,
}

impl<K: Clone + Eq + Hash + Ord, V: Clone> Cache<K, V> {
    /// Room for `most` answers.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: HashMap::new(), ends: BTreeSet::new() }
    }

    /// What is remembered, and for how long yet.
    pub(super) fn get(&self, key: &K, now: Timestamp) -> Option<(V, Duration)> {
        let (end, value) = self.kept.get(key)?;
        (*end > now).then(|| (value.clone(), end.since(now)))
    }

    /// Remember an answer for `span`; for no time at all, not at all.
    pub(super) fn put(&mut self, key: K, value: V, now: Timestamp, span: Duration) {
        self.forget(&key);
        let end = now.plus(span.min(KEPT_MAX));
        if self.most == 0 || end <= now {
            return;
        }
        while self.kept.len() >= self.most {
            let Some((_, first)) = self.ends.first().cloned() else { break };
            self.forget(&first);
        }
        self.ends.insert((end, key.clone()));
        self.kept.insert(key, (end, value));
    }

    fn forget(&mut self, key: &K) {
        if let Some((end, _)) = self.kept.remove(key) {
            self.ends.remove(&(end, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_seconds(1_000_000);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_answer_ends_when_its_time_is_over() {
        let mut cache = Cache::new(10);
        cache.put("a", 1, T0, seconds(60));
        assert_eq!(cache.get(&"a", T0.plus(seconds(59))), Some((1, seconds(1))));
        assert_eq!(cache.get(&"a", T0.plus(seconds(60))), None);
        cache.put("a", 2, T0, Duration::ZERO);
        assert_eq!(cache.get(&"a", T0), None);
        cache.put("b", 3, T0, seconds(u64::MAX));
        assert_eq!(cache.get(&"b", T0), Some((3, KEPT_MAX)));
    }

    #[test]
    fn a_full_memory_lets_go_of_what_ends_first() {
        let mut cache = Cache::new(2);
        cache.put("a", 1, T0, seconds(60));
        cache.put("b", 2, T0, seconds(30));
        cache.put("a", 3, T0, seconds(50));
        cache.put("c", 4, T0, seconds(10));
        assert_eq!(cache.get(&"b", T0), None);
        assert_eq!((cache.get(&"a", T0).unwrap().0, cache.get(&"c", T0).unwrap().0), (3, 4));
        assert_eq!((cache.kept.len(), cache.ends.len()), (2, 2));
    }
}
