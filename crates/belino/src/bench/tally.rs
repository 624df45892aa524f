//! Counting: which mails came, which are lost, which came twice, how long they took.
//!
//! Owns: bits, arrivals, percentiles. Never knows: sockets, processes, relays.

use super::seen::Kind;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A set of small numbers, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

impl Bits {
    /// Add a number; whether it was new.
    pub fn insert(&mut self, number: u32) -> bool {
        let (octet, bit) = ((number / 8) as usize, 1 << (number % 8));
        if octet >= self.0.len() {
            self.0.resize(octet + 1, 0);
        }
        let is_new = self.0[octet] & bit == 0;
        self.0[octet] |= bit;
        is_new
    }

    /// Whether it is in.
    pub fn contains(&self, number: u32) -> bool {
        self.0.get((number / 8) as usize).is_some_and(|octet| octet & 1 << (number % 8) != 0)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|octet| u64::from(octet.count_ones())).sum()
    }

    /// How many are in here and not in the other.
    pub fn missing_in(&self, other: &Self) -> u64 {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0.iter().zip(others).map(|(a, b)| u64::from((a & !b).count_ones())).sum()
    }

    /// All of them, lowest first.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let octets = self.0.iter().enumerate();
        octets.flat_map(|(at, octet)| {
            (0..8).filter(move |bit| octet & 1 << bit != 0).map(move |bit| at as u32 * 8 + bit)
        })
    }

    /// As octets, lowest number first.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// From [`Bits::as_octets`].
    pub const fn from_octets(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

/// Spans of time in microseconds, to be asked for percentiles.
#[derive(Clone, Debug, Default)]
pub struct Spans(Vec<u32>);

impl Spans {
    /// From nanoseconds.
    pub fn push(&mut self, nanos: u64) {
        self.0.push(u32::try_from(nanos / 1000).unwrap_or(u32::MAX));
    }

    /// How many.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The span, in milliseconds, that this share of all (0 to 1) does not exceed: the nearest rank. 0 without spans.
    pub fn percentile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (share * self.0.len() as f64).ceil().max(1.0) as usize;
        self.0.get(rank.min(self.0.len()).wrapping_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }

    /// p50, p99, p99.9 and the longest, in milliseconds; null without spans.
    pub fn json(&mut self) -> Value {
        if self.is_empty() {
            return Value::Null;
        }
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| self.percentile(share));
        json!({ "p50": p50, "p99": p99, "p99_9": p999, "max": max, "count": self.len() })
    }
}

/// One mail for one recipient, as a sink saw it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// What it was.
    pub kind: Kind,
    /// From which run.
    pub run: u32,
    /// Sequence number times recipients, plus the recipient's place.
    pub key: u32,
    /// Octets of the mail; of several recipients of one mail the first has them.
    pub octets: u32,
    /// Clock at the sender, 0 if it did not say.
    pub sent: u64,
    /// Clock when the last octet was here.
    pub at: u64,
    /// Its body was not the one that was sent, or its recipient not one of its own.
    pub is_changed: bool,
    /// A response that does not say `Ok`.
    pub is_bad: bool,
}

/// Where the arrivals of one connection go. Nobody else writes there, so the lock costs nothing.
#[derive(Clone, Default)]
pub struct Page(Arc<Mutex<Vec<Arrival>>>);

/// The run that is counted; none: all of them.
#[derive(Default)]
struct Counted(AtomicU64);

impl Counted {
    fn set(&self, run: u32) {
        self.0.store(u64::from(run) + 1, Ordering::Relaxed);
    }

    fn counts(&self, run: u32) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        now == 0 || now == u64::from(run) + 1
    }
}

/// All arrivals of a process.
#[derive(Default)]
pub struct Tally {
    pages: Mutex<Vec<Page>>,
    /// Requests and reports that have come, for each recipient one.
    pub come: AtomicU64,
    /// The run that is counted, from [`Tally::begin`] on.
    run: Counted,
    /// What came of another run than the one that is counted: all of those had come before, so it came twice.
    pub late: AtomicU64,
    /// Mails that are none of the bench's.
    pub foreign: AtomicU64,
    /// Responses that have come.
    pub responses: AtomicU64,
}

impl Tally {
    /// A page for one more connection.
    pub fn page(&self) -> Page {
        let page = Page::default();
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(page.clone());
        page
    }

    /// Write arrivals down.
    pub fn note(&self, page: &Page, arrivals: &[Arrival]) {
        if arrivals.first().is_some_and(|first| !self.run.counts(first.run)) {
            self.late.fetch_add(arrivals.len() as u64, Ordering::Relaxed);
            return;
        }
        page.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(arrivals);
        for arrival in arrivals {
            match arrival.kind {
                Kind::Response => self.responses.fetch_add(1, Ordering::Relaxed),
                _ => self.come.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    /// What came of one kind in one run. `until` is a reading of the clock up to which mails are counted apart.
    pub fn count(&self, kind: Kind, run: Option<u32>, until: u64) -> Count {
        let mut count = Count { first_sent: u64::MAX, until, ..Count::default() };
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for page in pages.iter() {
            let page = page.0.lock().unwrap_or_else(PoisonError::into_inner);
            page.iter()
                .filter(|a| a.kind == kind && run.is_none_or(|run| run == a.run))
                .for_each(|a| count.add(a));
        }
        count
    }

    /// Count this run and no other from now on; forget what came of others.
    pub fn begin(&self, run: u32) {
        self.run.set(run);
        self.late.store(0, Ordering::Relaxed);
        self.foreign.store(0, Ordering::Relaxed);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for page in pages.iter() {
            page.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|a| a.run == run);
        }
        // The page of a connection that has ended is held by nobody else.
        pages.retain(|page| {
            Arc::strong_count(&page.0) > 1
                || !page.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
        });
    }
}

/// Things a second: all of them until the last one, or those that were there while more were sent, whichever is better. A
/// relay that pauses at the end is not blamed for the pause, and one that catches up after the end may.
pub fn rate(all: u64, while_sent: u64, first: u64, sent_until: u64, last: u64) -> f64 {
    /// A shorter time of sending says nothing.
    const SENDING_MIN: u64 = 100_000_000;
    let over = |count: u64, until: u64| match until.saturating_sub(first) {
        0 => 0.0,
        nanos => count as f64 / (nanos as f64 / 1e9),
    };
    let sending =
        if sent_until.saturating_sub(first) >= SENDING_MIN { over(while_sent, sent_until) } else { 0.0 };
    over(all, last).max(sending)
}

/// The sum of arrivals.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Deliveries, one for each recipient.
    pub come: u64,
    /// Mails, whatever their recipients.
    pub mails: u64,
    /// An instant.
    pub until: u64,
    /// Mails that had come by then.
    pub mails_until: u64,
    /// Deliveries of something that had come before.
    pub doubled: u64,
    /// Deliveries with a body or recipient that was not sent.
    pub changed: u64,
    /// Responses that do not say `Ok`.
    pub bad: u64,
    /// Octets of the mails.
    pub octets: u64,
    /// The first that was sent.
    pub first_sent: u64,
    /// The last that came.
    pub last: u64,
    /// Keys that came.
    pub keys: Bits,
    /// From sending to arrival.
    pub spans: Spans,
    /// Arrival of each key, for those who know when it was sent.
    pub arrivals: Vec<(u32, u64)>,
}

impl Count {
    fn add(&mut self, a: &Arrival) {
        self.come += 1;
        self.mails += u64::from(a.octets > 0);
        self.mails_until += u64::from(a.octets > 0 && a.at <= self.until);
        self.octets += u64::from(a.octets);
        self.doubled += u64::from(!self.keys.insert(a.key));
        self.changed += u64::from(a.is_changed);
        self.bad += u64::from(a.is_bad);
        self.last = self.last.max(a.at);
        if a.kind == Kind::Response {
            self.arrivals.push((a.key, a.at));
        }
        if a.sent > 0 && a.sent <= a.at {
            self.first_sent = self.first_sent.min(a.sent);
            self.spans.push(a.at - a.sent);
        }
    }

    /// Seconds from the first sending to the last arrival.
    pub fn seconds(&self) -> f64 {
        self.last.saturating_sub(self.first_sent) as f64 / 1e9
    }

    /// Keys below the highest that have not come.
    pub fn gaps(&self) -> u64 {
        let octets = self.keys.as_octets();
        let Some(top) = octets.iter().rposition(|octet| *octet != 0) else { return 0 };
        let highest = top as u64 * 8 + u64::from(7 - octets[top].leading_zeros());
        highest + 1 - self.keys.count()
    }

    /// As JSON.
    pub fn json(&mut self) -> Value {
        let seconds = self.seconds();
        let per_s = rate(self.mails, self.mails_until, self.first_sent, self.until, self.last);
        let mb_per_s =
            if self.mails > 0 { per_s * self.octets as f64 / self.mails as f64 / 1e6 } else { 0.0 };
        json!({
            "come": self.come,
            "mails": self.mails,
            "distinct": self.keys.count(),
            "doubled": self.doubled,
            "changed": self.changed,
            "gaps": self.gaps(),
            "octets": self.octets,
            "first_sent_ns": if self.first_sent == u64::MAX { 0 } else { self.first_sent },
            "last_ns": self.last,
            "seconds": seconds,
            "per_s": per_s,
            "mb_per_s": mb_per_s,
            "latency_ms": self.spans.json(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(numbers: &[u32]) -> Bits {
        let mut bits = Bits::default();
        numbers.iter().for_each(|n| assert!(bits.insert(*n)));
        bits
    }

    #[test]
    fn bits_know_what_is_missing() {
        let mut sent = bits(&[0, 7, 8, 1000]);
        assert!(!sent.insert(7), "it was in already");
        assert_eq!(
            (sent.count(), sent.contains(8), sent.contains(9), sent.contains(100_000)),
            (4, true, false, false)
        );
        assert_eq!(sent.numbers().collect::<Vec<_>>(), [0, 7, 8, 1000]);
        let come = bits(&[7, 9]);
        assert_eq!((sent.missing_in(&come), come.missing_in(&sent)), (3, 1));
        assert_eq!(Bits::from_octets(sent.as_octets().to_vec()), sent);
        assert_eq!(Bits::default().numbers().count(), 0);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut spans = Spans::default();
        assert_eq!((spans.percentile(0.5), spans.json()), (0.0, Value::Null));
        (1..=1000).rev().for_each(|ms| spans.push(ms * 1_000_000));
        let of = [0.0, 0.5, 0.99, 0.999, 1.0].map(|share| spans.percentile(share));
        assert_eq!(of, [1.0, 500.0, 990.0, 999.0, 1000.0]);
        let mut one = Spans::default();
        one.push(2_500_000);
        assert_eq!((one.percentile(0.5), one.percentile(0.999)), (2.5, 2.5));
    }

    fn arrival(run: u32, key: u32) -> Arrival {
        let (kind, octets, sent) = (Kind::Request, 1000, 5_000_000);
        Arrival { kind, run, key, octets, sent, at: 7_000_000, is_changed: false, is_bad: false }
    }

    #[test]
    fn a_pause_at_the_end_is_nobodys_rate() {
        let second = 1_000_000_000;
        // 100 in a second of sending, and one more after a pause of a second.
        assert_eq!(rate(101, 100, second, 2 * second, 3 * second), 100.0);
        // 50 of 300 come while more are sent, and the rest in the second after it.
        assert_eq!(rate(300, 50, second, 2 * second, 3 * second), 150.0);
        // A time of sending too short to count.
        assert_eq!(rate(10, 10, second, second + 1000, 2 * second), 10.0);
        assert_eq!(rate(1, 1, second, second, second), 0.0);
    }

    #[test]
    fn what_came_is_counted_by_run_and_kind() {
        let tally = Tally::default();
        let page = tally.page();
        tally.begin(1);
        tally.note(&page, &[arrival(1, 0), Arrival { octets: 0, ..arrival(1, 1) }]);
        tally.note(&page, &[Arrival { is_changed: true, ..arrival(1, 5) }]);
        tally.note(&page, &[arrival(1, 0)]);
        tally.note(&page, &[Arrival { kind: Kind::Response, ..arrival(1, 0) }]);
        let mut count = tally.count(Kind::Request, Some(1), 0);
        assert_eq!((count.come, count.mails, count.doubled, count.changed), (4, 3, 1, 1));
        assert_eq!((count.octets, count.gaps(), count.keys.count()), (3000, 3, 3));
        assert_eq!(count.spans.percentile(0.5), 2.0);
        assert_eq!(tally.count(Kind::Response, Some(1), 0).arrivals, [(0, 7_000_000)]);
        // What comes of an earlier run came before: it is no delivery of this one.
        tally.begin(2);
        tally.note(&page, &[arrival(1, 0)]);
        tally.note(&page, &[arrival(2, 3)]);
        assert_eq!(tally.late.load(Ordering::Relaxed), 1);
        assert_eq!(
            (tally.count(Kind::Request, None, 0).come, tally.count(Kind::Request, Some(1), 0).come),
            (1, 0)
        );
        assert_eq!(tally.count(Kind::Request, Some(2), 0).gaps(), 3);
    }
}
