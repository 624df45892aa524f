//! The queue of one peer, as far as it is in memory: the heads, what is in flight, and the gate.
//!
//! Owns: which entries may go next. Never knows: what they are. The whole queue is in the store; memory holds at most
//! [`HEADS_MAX`] of its earliest entries, so a million MMs for a dead peer cost nothing here.
//!
//! A crash forgets all of it: everything in the store is due again, nothing is in flight, every gate is open.

use crate::house::Retry;
use crate::ledger::Part;
use crate::store::Entry;
use mms::{MmId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Entries held in memory for one queue.
pub(crate) const HEADS_MAX: usize = 1024;

/// The order of entries within one queue.
pub(crate) type Place = (Timestamp, MmId, u16);

pub(crate) fn place(entry: &Entry) -> Place {
    (entry.due, entry.id.mm, entry.id.part)
}

/// Whether a peer is worth a connection now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// Its last connections failed; one errand may try it again then.
    Shut {
        /// When it may be tried again.
        until: Timestamp,
        /// Failed connections in a row.
        failures: u32,
        /// Why.
        why: String,
    },
}

#[derive(Debug)]
pub(crate) struct Queue {
    heads: BTreeMap<Place, Entry>,
    /// Everything in the store beyond this place is not in memory; `None` = nothing is missing.
    horizon: Option<Place>,
    in_flight: HashMap<(MmId, u16), Entry>,
    pub gate: Gate,
    pub paused: bool,
    /// Requests a minute that the peer takes, if that is limited.
    pub rate_max: Option<u32>,
    /// When, at an even pace, the next request would be due (the generic cell rate algorithm).
    pace: Timestamp,
}

/// How far ahead of an even pace requests may go together.
const PACE_AHEAD: Duration = Duration::from_secs(6);

/// Whether the entry is a request that counts against the peer's rate; answers and reports do not.
fn is_paced(entry: &Entry) -> bool {
    matches!(Part::of(entry.id.part), Part::Transaction(_))
}

impl Queue {
    /// A queue of which nothing has been read yet.
    pub fn unread() -> Self {
        let start = (Timestamp::from_millis(i64::MIN), MmId::from_bits(0), 0);
        Self { horizon: Some(start), ..Self::empty() }
    }

    /// A queue that has nothing in the store.
    pub fn empty() -> Self {
        let (heads, in_flight) = (BTreeMap::new(), HashMap::new());
        let pace = Timestamp::from_millis(i64::MIN);
        Self { heads, horizon: None, in_flight, gate: Gate::Open, paused: false, rate_max: None, pace }
    }

    /// An entry is in the store now.
    pub fn put(&mut self, entry: Entry) {
        let at = place(&entry);
        if self.horizon.is_some_and(|h| at > h) {
            return; // it will be read when its turn comes
        }
        self.heads.insert(at, entry);
        if self.heads.len() > 2 * HEADS_MAX {
            let beyond = self.heads.keys().nth(HEADS_MAX).copied();
            if let Some(beyond) = beyond {
                drop(self.heads.split_off(&beyond));
                self.horizon = self.heads.keys().next_back().copied();
            }
        }
    }

    /// An entry has left the store.
    pub fn remove(&mut self, entry: &Entry) {
        self.heads.remove(&place(entry));
        self.in_flight.remove(&(entry.id.mm, entry.id.part));
    }

    /// From where on entries must be read from the store to fill the heads; `None` when there is no need.
    pub fn wants_after(&self) -> Option<Place> {
        self.horizon.filter(|_| self.heads.is_empty())
    }

    /// What was read after [`Queue::wants_after`], at most `max` entries of which were asked for.
    pub fn read(&mut self, entries: Vec<Entry>, max: usize) {
        self.horizon = if entries.len() < max { None } else { entries.last().map(place) };
        for entry in entries {
            if !self.in_flight.contains_key(&(entry.id.mm, entry.id.part)) {
                self.heads.insert(place(&entry), entry);
            }
        }
    }

    /// Why nothing goes to this peer now, if so.
    pub fn trouble(&self) -> Option<String> {
        match &self.gate {
            _ if self.paused => Some("it is paused by an operator".to_owned()),
            Gate::Shut { why, .. } => Some(why.clone()),
            Gate::Open => None,
        }
    }

    /// Whether this entry is still the one on its way.
    pub fn is_in_flight(&self, entry: &Entry) -> bool {
        self.in_flight.get(&(entry.id.mm, entry.id.part)) == Some(entry)
    }

    /// Parts of an MM's errands that are on their way to this peer.
    pub fn in_flight_of(&self, mm: MmId) -> impl Iterator<Item = u16> + '_ {
        self.in_flight.keys().filter(move |(id, _)| *id == mm).map(|(_, part)| *part)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether [`Queue::take`] may have something; `false` for certain only.
    pub fn may_send(&self, now: Timestamp, in_flight_max: usize) -> bool {
        let due = || match self.heads.first_key_value() {
            Some(((due, ..), _)) => *due <= now,
            None => self.horizon.is_some(),
        };
        !self.paused && self.in_flight.len() < in_flight_max && due()
    }

    /// The next entry that may go now, marked as in flight.
    pub fn take(&mut self, now: Timestamp, in_flight_max: usize) -> Option<Entry> {
        let room = match &self.gate {
            _ if self.paused => 0,
            Gate::Open => in_flight_max,
            // A peer that failed is tried with one errand before it gets all of them.
            Gate::Shut { until, .. } => usize::from(*until <= now),
        };
        if self.in_flight.len() >= room {
            return None;
        }
        let held = self.paced_until().is_some_and(|until| now < until);
        let due = self.heads.iter().take_while(|((due, ..), _)| *due <= now);
        let place = *due.into_iter().find(|(_, entry)| !held || !is_paced(entry))?.0;
        let entry = self.heads.remove(&place)?;
        if let Some(rate) = self.rate_max.filter(|_| is_paced(&entry)) {
            self.pace = self.pace.max(now).plus(Duration::from_secs(60) / rate.max(1));
        }
        self.in_flight.insert((entry.id.mm, entry.id.part), entry.clone());
        Some(entry)
    }

    /// Until when requests wait for the peer's rate.
    fn paced_until(&self) -> Option<Timestamp> {
        self.rate_max.map(|_| self.pace.minus(PACE_AHEAD))
    }

    /// The errand came back without having been tried; it waits where it was.
    pub fn put_back(&mut self, entry: &Entry) {
        if self.in_flight.remove(&(entry.id.mm, entry.id.part)).is_some() {
            self.heads.insert(place(entry), entry.clone());
        }
    }

    /// The errand came back and was decided about.
    pub fn landed(&mut self, entry: &Entry) {
        self.in_flight.remove(&(entry.id.mm, entry.id.part));
    }

    /// A connection could be had.
    pub fn opened(&mut self) {
        self.gate = Gate::Open;
    }

    /// A connection could not be had.
    pub fn shut(&mut self, now: Timestamp, retry: &Retry, why: &str) {
        let failures = match &self.gate {
            // Several connections that fail at once are one failure.
            Gate::Shut { until, .. } if *until > now => return,
            Gate::Shut { failures, .. } => failures.saturating_add(1),
            Gate::Open => 1,
        };
        let until = now.plus(retry.gate_pause(failures));
        self.gate = Gate::Shut { until, failures, why: why.to_owned() };
    }

    /// When something may go next, if nothing happens before.
    pub fn next(&self, in_flight_max: usize) -> Option<Timestamp> {
        if self.paused {
            return None;
        }
        let due = match self.paced_until() {
            None => self.heads.keys().next().map(|(due, ..)| *due),
            Some(until) => {
                let at = |((due, ..), entry): (&Place, &Entry)| {
                    if is_paced(entry) { (*due).max(until) } else { *due }
                };
                self.heads.iter().map(at).min()
            }
        };
        match &self.gate {
            Gate::Open if self.in_flight.len() >= in_flight_max => None,
            Gate::Open => due,
            Gate::Shut { until, .. } if self.in_flight.is_empty() => due.map(|d| d.max(*until)),
            Gate::Shut { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EntryId, QueueId};
    use proptest::prelude::*;

    fn entry(due: i64, mm: u128) -> Entry {
        let id = EntryId { queue: QueueId::new("b"), mm: MmId::from_bits(mm), part: 0 };
        Entry { id, due: Timestamp::from_seconds(due), attempt: 0 }
    }

    #[test]
    fn a_failed_peer_is_tried_with_one_errand() {
        let (retry, mut queue) = (Retry::default(), Queue::empty());
        (0..5).for_each(|i| queue.put(entry(0, i)));
        let now = Timestamp::from_seconds(10);
        let first = queue.take(now, 2).unwrap();
        let second = queue.take(now, 2).unwrap();
        assert_eq!(queue.take(now, 2), None, "two in flight are enough");
        queue.shut(now, &retry, "refused");
        queue.shut(now, &retry, "refused");
        queue.put_back(&first);
        queue.put_back(&second);
        assert_eq!(queue.take(now, 2), None);
        let later = queue.next(2).unwrap();
        assert_eq!(later, now.plus(retry.gate_min), "two failures at once count as one");
        assert!(queue.take(later, 2).is_some());
        assert_eq!(queue.take(later, 2), None, "one probe");
        queue.opened();
        assert!(queue.take(later, 2).is_some());
    }

    #[test]
    fn requests_keep_to_the_peers_rate_and_answers_pass_them() {
        let mut queue = Queue { rate_max: Some(6), ..Queue::empty() };
        (0..3).for_each(|i| queue.put(entry(0, i)));
        let answer = Entry { id: EntryId { part: crate::ledger::RESPONSE, ..entry(0, 9).id }, ..entry(0, 9) };
        let at = Timestamp::from_seconds;
        assert!(queue.take(at(0), 9).is_some());
        assert_eq!((queue.take(at(3), 9), queue.next(9)), (None, Some(at(4))), "six a minute");
        queue.put(answer.clone());
        assert_eq!(queue.next(9), Some(at(0)));
        assert_eq!(queue.take(at(3), 9), Some(answer));
        let mut taken = 1;
        for second in 3..60 {
            taken += usize::from(queue.take(at(second), 9).is_some());
            queue.put(entry(0, 100 + second as u128));
        }
        assert_eq!(taken, 7, "one each ten seconds, the first six seconds ahead");
    }

    proptest! {
        /// Whatever is put, read and taken, every entry of the store comes up exactly once, in order of due time.
        #[test]
        fn nothing_is_forgotten_beyond_the_horizon(dues in prop::collection::vec(0i64..50, 1..4000), late in 0usize..400) {
            let mut stored: BTreeMap<Place, Entry> = BTreeMap::new();
            let mut queue = Queue::empty();
            let split = dues.len().saturating_sub(late);
            for (i, due) in dues.iter().enumerate().take(split) {
                let e = entry(*due, i as u128);
                stored.insert(place(&e), e.clone());
                queue.put(e);
            }
            let now = Timestamp::from_seconds(100);
            let mut seen = Vec::new();
            let mut rest = dues.iter().enumerate().skip(split);
            loop {
                if let Some(after) = queue.wants_after() {
                    let more: Vec<Entry> = stored.range(after..).filter(|(k, _)| **k > after).take(100).map(|(_, e)| e.clone()).collect();
                    queue.read(more, 100);
                }
                let Some(e) = queue.take(now, usize::MAX) else { break };
                stored.remove(&place(&e));
                queue.landed(&e);
                seen.push(e.id.mm);
                if let Some((i, due)) = rest.next() {
                    let e = entry(*due, i as u128);
                    stored.insert(place(&e), e.clone());
                    queue.put(e);
                }
            }
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), dues.len() - rest.len());
            prop_assert!(stored.is_empty());
        }
    }
}
