//! How fast a peer may send: mails, and octets of content, in a second.
//!
//! Owns: two buckets for each peer with a limit. Never knows: sockets, what the mails are; time is an argument, and runs
//! forward ([`Clock::steady`](crate::clock::Clock::steady)).
//!
//! A peer that is a little too fast is slowed down: its replies come later, its content is read later. Nothing is refused
//! that waiting can mend; a mail that would have to wait longer than [`WAIT_MAX`] gets a `451`, and stays with the peer.
//!
//! A crash forgets how fast peers were.

use mms::Timestamp;
use relay::PeerName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest that a `MAIL` command waits for its reply.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// What may come at once after a pause: that of so many seconds.
const BURST_MILLIS: f64 = 1000.0;

/// What a peer may send in a second; `None`: whatever it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Mails of all kinds, responses and reports among them.
    pub mails: Option<u32>,
    /// Octets of content.
    pub octets: Option<u64>,
}

/// When all that has come would have come at the agreed pace, in milliseconds.
#[derive(Debug, Default)]
struct Bucket {
    level: f64,
}

impl Bucket {
    /// How long the next unit must wait, in milliseconds.
    fn wait(&self, now: f64) -> f64 {
        (self.level - BURST_MILLIS - now).max(0.0)
    }

    fn take(&mut self, now: f64, units: f64, a_second: f64) {
        self.level = self.level.max(now) + units * 1000.0 / a_second;
    }
}

/// What was done to a peer that was too fast, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Mails and reads of content that had to wait.
    pub slowed: u64,
    /// Mails that were answered `451`.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Pace {
    mails: Bucket,
    content: Bucket,
    hits: Hits,
    /// When the log last told of it.
    told: Option<Timestamp>,
}

/// The log tells once in so long that a peer is too fast.
const TELL: Duration = Duration::from_secs(60);

/// The paces of all peers.
#[derive(Debug, Default)]
pub struct Paces(Mutex<HashMap<PeerName, Pace>>);

impl Paces {
    /// A peer begins a mail. How long its reply must wait, or `Err` when that is too long: then it is not counted.
    ///
    /// # Errors
    /// Longer than [`WAIT_MAX`].
    pub fn mail(&self, peer: &PeerName, rates: Rates, now: Timestamp) -> Result<Duration, Duration> {
        let Some(a_second) = rates.mails else { return Ok(Duration::ZERO) };
        self.with(peer, |pace| {
            let max = WAIT_MAX.as_millis() as f64;
            let instant = now.millis() as f64;
            let wait = pace.mails.wait(instant);
            let span = Duration::from_millis(wait.ceil() as u64);
            if wait >= max {
                pace.hits.refused += 1;
                pace.tell(peer, now);
                return Err(span);
            }
            pace.mails.take(instant, 1.0, f64::from(a_second.max(1)));
            if wait > 0.0 {
                pace.hits.slowed += 1;
                pace.tell(peer, now);
            }
            Ok(span)
        })
    }

    /// Octets of content have come. How long to wait before more are read.
    pub fn content(&self, peer: &PeerName, rates: Rates, octets: usize, now: Timestamp) -> Duration {
        let Some(a_second) = rates.octets else { return Duration::ZERO };
        self.with(peer, |pace| {
            let instant = now.millis() as f64;
            pace.content.take(instant, octets as f64, a_second.max(1) as f64);
            let wait = pace.content.wait(instant);
            if wait > 0.0 {
                pace.hits.slowed += 1;
                pace.tell(peer, now);
            }
            Duration::from_millis(wait.ceil() as u64)
        })
    }

    /// What was done to a peer that was too fast.
    pub fn hits(&self, peer: &PeerName) -> Hits {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).map_or(Hits::default(), |pace| pace.hits)
    }

    fn with<T>(&self, peer: &PeerName, ask: impl FnOnce(&mut Pace) -> T) -> T {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match peers.get_mut(peer) {
            Some(pace) => ask(pace),
            None => ask(peers.entry(peer.clone()).or_default()),
        }
    }
}

impl Pace {
    fn tell(&mut self, peer: &PeerName, now: Timestamp) {
        if self.told.is_some_and(|told| now.since(told) < TELL && told <= now) {
            return;
        }
        self.told = Some(now);
        let Hits { slowed, refused } = self.hits;
        tracing::warn!(%peer, slowed, refused, "the peer sends faster than it may: it is slowed down");
    }
}

/// How long content may be under way: it may pause, but on average it must keep to a rate, so that nobody holds a
/// connection and memory with one octet now and then.
#[derive(Clone, Copy, Debug)]
pub struct Slowest {
    /// Octets a second, on average.
    pub rate: u64,
    /// Counted only after so long.
    pub grace: Duration,
}

impl Slowest {
    /// How long one may still wait for the next octets, when so many have come in such a time.
    pub fn left(self, octets: u64, taken: Duration) -> Duration {
        let earned = octets.saturating_mul(1000).checked_div(self.rate).map(Duration::from_millis);
        let due = earned.map_or(Duration::MAX, |earned| self.grace.saturating_add(earned));
        due.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn peer(name: &str) -> PeerName {
        PeerName::new(name)
    }

    #[test]
    fn a_second_of_mails_at_once_then_one_after_another() {
        let (paces, b) = (Paces::default(), peer("b"));
        let rates = Rates { mails: Some(10), octets: None };
        for _ in 0..=10 {
            assert_eq!(paces.mail(&b, rates, at(0)), Ok(Duration::ZERO));
        }
        assert_eq!(paces.mail(&b, rates, at(0)), Ok(Duration::from_millis(100)));
        assert_eq!(paces.mail(&b, rates, at(0)), Ok(Duration::from_millis(200)));
        // Another peer has a pace of its own, and one without a limit waits for nothing.
        assert_eq!(paces.mail(&peer("c"), rates, at(0)), Ok(Duration::ZERO));
        assert_eq!(paces.mail(&b, Rates::default(), at(0)), Ok(Duration::ZERO));
        // Later it may be quick again.
        assert_eq!(paces.mail(&b, rates, at(60_000)), Ok(Duration::ZERO));
    }

    #[test]
    fn who_would_wait_too_long_is_refused_and_not_counted() {
        let (paces, b) = (Paces::default(), peer("b"));
        let rates = Rates { mails: Some(10), octets: None };
        let taken = (0..1000).filter(|_| paces.mail(&b, rates, at(0)).is_ok()).count();
        assert_eq!(taken, 61 - 1);
        // Five seconds later as many more.
        let taken = (0..1000).filter(|_| paces.mail(&b, rates, at(5000)).is_ok()).count();
        assert_eq!(taken, 50);
    }

    #[test]
    fn a_drop_now_and_then_is_not_enough() {
        let slowest = Slowest { rate: 500, grace: Duration::from_secs(60) };
        let seconds = Duration::from_secs;
        assert_eq!(slowest.left(0, seconds(0)), seconds(60));
        assert_eq!(slowest.left(10, seconds(60)), Duration::from_millis(20));
        assert_eq!(slowest.left(10, seconds(61)), Duration::ZERO);
        assert_eq!(slowest.left(500_000, seconds(100)), seconds(960));
        assert_eq!(
            Slowest { rate: 0, ..slowest }.left(0, seconds(100_000)),
            Duration::MAX - seconds(100_000)
        );
        assert_eq!(slowest.left(u64::MAX, Duration::MAX), Duration::ZERO);
    }

    proptest! {
        /// Whatever comes when: in no span passes more than a second's worth beyond the pace.
        #[test]
        fn no_span_has_more_than_its_pace(gaps in prop::collection::vec(0i64..400, 1..300), a_second in 1u32..50) {
            let (paces, b) = (Paces::default(), peer("b"));
            let rates = Rates { mails: Some(a_second), octets: None };
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if let Ok(wait) = paces.mail(&b, rates, at(now)) {
                    passed.push(now + wait.as_millis() as i64);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (count, to) in passed[i..].iter().enumerate() {
                    let most = f64::from(a_second) * ((to - from) as f64 + 1.0 + BURST_MILLIS) / 1000.0 + 1.0;
                    prop_assert!((count + 1) as f64 <= most + 1.0, "{} in {} ms", count + 1, to - from);
                }
            }
        }

        #[test]
        fn content_keeps_to_its_pace(pieces in prop::collection::vec(1usize..200_000, 1..100)) {
            let (paces, b) = (Paces::default(), peer("b"));
            let rates = Rates { mails: None, octets: Some(1_000_000) };
            let (mut now, mut sum) = (0, 0);
            for piece in pieces {
                sum += piece;
                now += paces.content(&b, rates, piece, at(now)).as_millis() as i64;
            }
            // A second's worth comes at once; the last piece is not waited for any more.
            prop_assert!(sum as f64 / 1e6 <= (now as f64 + BURST_MILLIS) / 1000.0 + 0.001, "{sum} in {now} ms");
        }
    }
}
