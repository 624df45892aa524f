//! What passes, counted: abstract messages by peer, kind and status, how long things take, and what the last hour was like.
//!
//! Owns: counters since the start, one sample of them every [`STEP`] for the last hour, and the last refusals
//! ([`Recent`]). Never knows: what anything means, sockets, the store. Whoever does something tells it here; `/metrics`, the console and `belino top` read.
//!
//! A crash forgets all of it: what must not be forgotten is in the ledgers.

use crate::clock::Clock;
use crate::recent::Recent;
use crate::traces::{Traces, Work};
use mms::{AbstractMessage, MmId, Timestamp, TransactionId};
use relay::{Carried, PeerName, Told};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two samples.
pub const STEP: Duration = Duration::from_secs(10);
/// Samples that are kept: an hour.
pub const SAMPLES_MAX: usize = 360;
/// Requests whose response is awaited, of which the sending time is remembered; beyond that the oldest are forgotten.
const AWAITED_MAX: usize = 100_000;
/// Refusals of a peer that are kept with its own words.
pub const REFUSALS_MAX: usize = 10;
/// Octets of a peer's words that are kept.
const WORDS_MAX: usize = 200;

/// Upper bounds of the buckets of every histogram, in seconds.
pub const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 3600.0, 86_400.0];

/// How long things took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many fell into each bucket of [`BUCKETS`]; last those beyond all of them.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum, in seconds.
    pub sum: f64,
}

impl Histogram {
    fn note(&mut self, span: Duration) {
        let seconds = span.as_secs_f64();
        let place = BUCKETS.iter().position(|most| seconds <= *most).unwrap_or(BUCKETS.len());
        self.counts[place] += 1;
        self.sum += seconds;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came after `before`, which is an earlier state of this histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        Self { counts, sum: (self.sum - before.sum).max(0.0) }
    }

    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut counts = self.counts;
        for (count, other) in counts.iter_mut().zip(other.counts) {
            *count += other;
        }
        Self { counts, sum: self.sum + other.sum }
    }

    /// The quantile `q` (0 to 1) in seconds, even within its bucket; `None` when there was nothing.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = q * self.count() as f64;
        let mut below = 0.0;
        for (place, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= wanted {
                let low = place.checked_sub(1).map_or(0.0, |place| BUCKETS[place]);
                let high = BUCKETS.get(place).copied().unwrap_or(low);
                return Some(low + (high - low) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

/// How an attempt to bring a mail to a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// The peer took it.
    Taken,
    /// It said "later".
    Later,
    /// It said "never".
    Never,
    /// There was no connection.
    Unreachable,
    /// We could not make the mail.
    Unable,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Taken, Self::Later, Self::Never, Self::Unreachable, Self::Unable];

    /// One word for labels.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Later => "later",
            Self::Never => "never",
            Self::Unreachable => "unreachable",
            Self::Unable => "unable",
        }
    }
}

/// An abstract message for a label: which of the six, and the status that it carries (`-` for none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// `MM4_forward.REQ` and so on; `other` for what is none of the six.
    pub message: &'static str,
    /// The status as it is spelled on the wire.
    pub status: &'static str,
}

impl Kind {
    /// What is none of the six.
    pub const OTHER: Self = Self { message: "other", status: "-" };

    /// Of this message.
    pub fn of(message: &AbstractMessage) -> Self {
        let status = match message {
            AbstractMessage::ForwardReq(_) => "-",
            AbstractMessage::ForwardRes(m) => m.request_status.as_str(),
            AbstractMessage::DeliveryReportRes(m) => m.request_status.as_str(),
            AbstractMessage::ReadReplyReportRes(m) => m.request_status.as_str(),
            AbstractMessage::DeliveryReportReq(m) => m.status.map_or("-", mms::MmStatus::as_str),
            AbstractMessage::ReadReplyReportReq(m) => m.status.map_or("-", mms::ReadStatus::as_str),
        };
        Self { message: message.message_type().as_str(), status }
    }
}

/// One mail that a peer brought to its end of data.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// What it was.
    pub kind: Kind,
    /// Its octets on the wire.
    pub octets: u64,
    /// The code of our reply.
    pub code: u16,
    /// From its last octet to our reply.
    pub took: Duration,
}

/// What a peer said when it did not take something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub ended: Ended,
    /// Which abstract message it was.
    pub message: &'static str,
    /// In the peer's own words.
    pub words: String,
}

/// What passed between a peer and us since the start.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Mails that it brought, by kind.
    pub received: BTreeMap<Kind, u64>,
    /// Our replies to its mails, by code.
    pub replies: BTreeMap<u16, u64>,
    /// Octets of its mails.
    pub octets_received: u64,
    /// Attempts to bring a mail to it, by kind and end.
    pub sent: BTreeMap<(Kind, Ended), u64>,
    /// Octets of mails that it took.
    pub octets_sent: u64,
    /// From a mail's last octet to our reply.
    pub acceptance: Histogram,
    /// From its `250` for our `MM4_forward.REQ` to its `MM4_forward.RES`.
    pub round_trip: Histogram,
    /// How old an MM was when it took it, since we took responsibility.
    pub age: Histogram,
    /// Its last mail.
    pub last_received: Option<Timestamp>,
    /// The last mail that it took.
    pub last_sent: Option<Timestamp>,
    /// What it did not take last, newest last.
    pub refusals: VecDeque<Refusal>,
}

impl Passed {
    /// Mails that it brought.
    pub fn received_all(&self) -> u64 {
        self.received.values().sum()
    }

    /// Attempts that ended so.
    pub fn ended(&self, ended: Ended) -> u64 {
        self.sent.iter().filter(|((_, how), _)| *how == ended).map(|(_, count)| count).sum()
    }
}

/// One peer in one [`Sample`]: totals since the start, and how it was at that moment.
#[derive(Clone, Debug, Default)]
pub struct PeerSample {
    /// Mails that it brought.
    pub received: u64,
    /// Mails that it took.
    pub sent: u64,
    /// Attempts that it refused for ever.
    pub never: u64,
    /// Attempts that it put off, or for which there was no connection.
    pub later: u64,
    /// Of its responses.
    pub round_trip: Histogram,
    /// Entries in its queue.
    pub queued: u64,
    /// For how long the first of them has been due.
    pub overdue: Duration,
}

/// How it was at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Each peer.
    pub peers: BTreeMap<PeerName, PeerSample>,
}

/// A peer's queue, as the one who takes a sample finds it.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueNow {
    /// Entries, counted up to a bound.
    pub queued: u64,
    /// For how long the first of them has been due.
    pub overdue: Duration,
}

/// Counts. All methods may be called from any thread, and none blocks for long.
pub struct Telemetry {
    figures: Mutex<Figures>,
    /// What was last refused.
    pub recent: Recent,
    /// Where work for single MMs is told, if it is traced.
    pub traces: Option<Arc<Traces>>,
}

#[derive(Debug, Default)]
struct Figures {
    peers: BTreeMap<PeerName, Passed>,
    /// When a peer took a request whose response is awaited, by our transaction id. Two generations, each half as many.
    awaited: [HashMap<TransactionId, Timestamp>; 2],
    samples: VecDeque<Sample>,
}

impl Telemetry {
    /// Nothing has passed yet.
    pub fn new(now: Timestamp) -> Self {
        Self { figures: Mutex::default(), recent: Recent::new(now), traces: None }
    }

    /// The same, with traces.
    #[must_use]
    pub fn tracing(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    /// Somebody has worked for an MM, until now.
    pub fn worked(&self, mm: MmId, clock: &Clock, work: impl FnOnce() -> Work) {
        if let Some(traces) = &self.traces {
            traces.worked(mm, clock, work);
        }
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer brought a mail. `answers` is the transaction id that a response names.
    pub fn came(&self, peer: &PeerName, came: Came, answers: Option<&TransactionId>, now: Timestamp) {
        let mut figures = self.figures();
        let asked = answers.and_then(|id| figures.awaited.iter_mut().find_map(|half| half.remove(id)));
        let passed = figures.of(peer);
        *passed.received.entry(came.kind).or_default() += 1;
        *passed.replies.entry(came.code).or_default() += 1;
        passed.octets_received += came.octets;
        passed.acceptance.note(came.took);
        passed.last_received = Some(now);
        if let Some(asked) = asked {
            passed.round_trip.note(now.since(asked));
        }
    }

    /// An attempt to bring a mail to a peer ended.
    pub fn carried(
        &self,
        peer: &PeerName,
        message: &AbstractMessage,
        how: &Carried,
        octets: u64,
        age: Duration,
        now: Timestamp,
    ) {
        let kind = Kind::of(message);
        let (ended, words) = end(how);
        let mut figures = self.figures();
        if let (Ended::Taken, AbstractMessage::ForwardReq(request)) = (ended, message)
            && let Some(id) = request.transaction_id.as_ref().filter(|_| request.ack_request == Some(true))
        {
            figures.await_response(id.clone(), now);
        }
        let passed = figures.of(peer);
        *passed.sent.entry((kind, ended)).or_default() += 1;
        if ended == Ended::Taken {
            passed.octets_sent += octets;
            passed.last_sent = Some(now);
            passed.age.note(age);
        } else {
            let words = mms::HeaderText::cleaned(words).capped(WORDS_MAX).as_str().to_owned();
            if passed.refusals.len() == REFUSALS_MAX {
                passed.refusals.pop_front();
            }
            passed.refusals.push_back(Refusal { at: now, ended, message: kind.message, words });
        }
    }

    /// What passed, by peer.
    pub fn passed(&self) -> BTreeMap<PeerName, Passed> {
        self.figures().peers.clone()
    }

    /// Take a sample. `queues` are those of the peers now.
    pub fn sample(&self, now: Timestamp, queues: &BTreeMap<PeerName, QueueNow>) {
        let mut figures = self.figures();
        let mut peers: BTreeMap<PeerName, PeerSample> = BTreeMap::new();
        for (name, queue) in queues {
            let sample = peers.entry(name.clone()).or_default();
            (sample.queued, sample.overdue) = (queue.queued, queue.overdue);
        }
        for (name, passed) in &figures.peers {
            let sample = peers.entry(name.clone()).or_default();
            sample.received = passed.received_all();
            sample.sent = passed.ended(Ended::Taken);
            sample.never = passed.ended(Ended::Never);
            sample.later = passed.ended(Ended::Later) + passed.ended(Ended::Unreachable);
            sample.round_trip = passed.round_trip;
        }
        if figures.samples.len() == SAMPLES_MAX {
            figures.samples.pop_front();
        }
        figures.samples.push_back(Sample { at: now, peers });
    }

    /// The samples of the last hour, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.figures().samples.iter().cloned().collect()
    }

    /// The newest sample, and the one before it that is at least `span` older, or else the oldest. `None` before there
    /// are two.
    pub fn window(&self, span: Duration) -> Option<(Sample, Sample)> {
        let figures = self.figures();
        let newest = figures.samples.back()?;
        let earlier = || figures.samples.iter().rev().skip(1);
        let old = earlier().find(|sample| newest.at.since(sample.at) >= span);
        let old = old.or_else(|| earlier().next_back())?;
        Some((old.clone(), newest.clone()))
    }
}

impl Figures {
    fn of(&mut self, peer: &PeerName) -> &mut Passed {
        self.peers.entry(peer.clone()).or_default()
    }

    fn await_response(&mut self, id: TransactionId, now: Timestamp) {
        if self.awaited[0].len() >= AWAITED_MAX / 2 {
            self.awaited.swap(0, 1);
            self.awaited[0].clear();
        }
        self.awaited[0].insert(id, now);
    }
}

/// How it ended, taken together, with the peer's words.
pub fn end(how: &Carried) -> (Ended, &str) {
    match how {
        Carried::Unreachable(why) => (Ended::Unreachable, why),
        Carried::Unable(why) => (Ended::Unable, why),
        Carried::Told(ends) => {
            let worst = ends.iter().find_map(|told| match told {
                Told::Never(why) => Some((Ended::Never, why.as_str())),
                _ => None,
            });
            let later = ends.iter().find_map(|told| match told {
                Told::Later(why) | Told::Crowded(why) | Told::Unknown(why) => {
                    Some((Ended::Later, why.as_str()))
                }
                _ => None,
            });
            worst.or(later).unwrap_or((Ended::Taken, ""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mms::ForwardReq;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn request(id: &str) -> AbstractMessage {
        let id = TransactionId::new(id).unwrap();
        let request =
            ForwardReq { transaction_id: Some(id), ack_request: Some(true), ..ForwardReq::default() };
        AbstractMessage::ForwardReq(request)
    }

    #[test]
    fn a_response_is_measured_from_the_250_for_its_request() {
        let (telemetry, b) = (Telemetry::new(at(0)), PeerName::new("b"));
        let taken = Carried::Told(vec![Told::Taken("250 ok".into())]);
        telemetry.carried(&b, &request("t1"), &taken, 3000, Duration::from_secs(4), at(0));
        let kind = Kind { message: "MM4_forward.RES", status: "Ok" };
        let came = Came { kind, octets: 500, code: 250, took: Duration::from_millis(2) };
        let id = TransactionId::new("t1").unwrap();
        telemetry.came(&b, came, Some(&id), at(3));
        // Said twice it counts once.
        telemetry.came(&b, came, Some(&id), at(9));
        let passed = telemetry.passed().remove(&b).unwrap();
        assert_eq!((passed.round_trip.count(), passed.round_trip.sum), (1, 3.0));
        assert_eq!(passed.received[&Kind { message: "MM4_forward.RES", status: "Ok" }], 2);
        assert_eq!((passed.octets_sent, passed.octets_received), (3000, 1000));
        assert_eq!((passed.age.count(), passed.age.sum), (1, 4.0));
    }

    #[test]
    fn refusals_keep_the_peers_words_and_are_bounded() {
        let (telemetry, b) = (Telemetry::new(at(0)), PeerName::new("b"));
        for n in 0..20 {
            let never = Told::Never(format!("550 5.1.1 no such user {n}\r\n{}", "x".repeat(1000)));
            let how = Carried::Told(vec![Told::Taken("250".into()), never]);
            telemetry.carried(&b, &request("t"), &how, 0, Duration::ZERO, at(n));
        }
        let passed = telemetry.passed().remove(&b).unwrap();
        assert_eq!(passed.refusals.len(), REFUSALS_MAX);
        let last = passed.refusals.back().unwrap();
        assert!(last.words.starts_with("550 5.1.1 no such user 19") && last.words.len() <= WORDS_MAX);
        assert!(!last.words.contains(['\r', '\n']));
        assert_eq!((passed.ended(Ended::Never), passed.ended(Ended::Taken)), (20, 0));
    }

    #[test]
    fn an_hour_of_samples_is_kept() {
        let telemetry = Telemetry::new(at(0));
        let queue = QueueNow { queued: 3, overdue: Duration::from_secs(5) };
        let queues = BTreeMap::from([(PeerName::new("c"), queue)]);
        for n in 0..1000 {
            telemetry.sample(at(10 * n), &queues);
        }
        let samples = telemetry.samples();
        assert_eq!((samples.len(), samples[0].at), (SAMPLES_MAX, at(10 * (1000 - SAMPLES_MAX as i64))));
        assert_eq!(samples[0].peers[&PeerName::new("c")].queued, 3);
    }

    #[test]
    fn a_window_is_as_wide_as_asked_or_as_there_is() {
        let telemetry = Telemetry::new(at(0));
        let sample = |seconds| {
            telemetry.sample(at(seconds), &BTreeMap::new());
            telemetry.window(Duration::from_secs(60)).map(|(old, new)| (old.at, new.at))
        };
        assert_eq!(sample(0), None);
        assert_eq!(sample(10), Some((at(0), at(10))));
        assert_eq!(sample(60), Some((at(0), at(60))));
        assert_eq!(sample(70), Some((at(10), at(70))));
        // After a gap, what lies before it.
        assert_eq!(sample(900), Some((at(70), at(900))));
    }

    proptest! {
        /// A quantile is never beyond the bucket of the greatest.
        #[test]
        fn quantiles_lie_in_their_bucket(millis in prop::collection::vec(0u64..100_000_000, 1..200), q in 0.0f64..=1.0) {
            let mut histogram = Histogram::default();
            for m in &millis {
                histogram.note(Duration::from_millis(*m));
            }
            let found = histogram.quantile(q).unwrap();
            let most = *millis.iter().max().unwrap() as f64 / 1000.0;
            let bucket = BUCKETS.iter().copied().find(|b| most <= *b).unwrap_or(86_400.0);
            prop_assert!((0.0..=bucket).contains(&found), "{found} of at most {most}");
            prop_assert_eq!(histogram.since(&histogram).count(), 0);
        }
    }

    #[test]
    fn what_never_answers_is_forgotten() {
        let (telemetry, b) = (Telemetry::new(at(0)), PeerName::new("b"));
        let taken = Carried::Told(vec![Told::Taken("250 ok".into())]);
        for n in 0..AWAITED_MAX + 10 {
            telemetry.carried(&b, &request(&format!("t{n}")), &taken, 0, Duration::ZERO, at(0));
        }
        let figures = telemetry.figures();
        assert!(figures.awaited.iter().map(HashMap::len).sum::<usize>() <= AWAITED_MAX);
    }
}
