//! Traces: one for each MM, for an OpenTelemetry collector (OTLP over HTTP), if one is configured.
//!
//! Owns: which MMs are traced, spans that wait to be sent, which MMs were told. Never knows: what anything means; whoever
//! works for an MM says so here, and the rest follows from its ledger. Nothing waits for a trace: what has no room is dropped
//! and counted.
//!
//! The id of an MM is the id of its trace, so nothing needs to be remembered to go on with it after a restart. A crash loses
//! spans that wait; an MM that comes to rest after it is told whole.

mod export;
mod span;

use crate::clock::Clock;
use crate::config;
use crate::content;
use mms::MmId;
use relay::store::Store;
pub use span::{Fact, Side, Work, id, number, text};
use span::{Span, root};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Spans that wait to be sent; beyond that new ones are dropped.
const SPANS_MAX: usize = 20_000;
/// Spans in one request.
const BATCH: usize = 512;
/// MMs that have changed and wait to be looked at.
const CHANGED_MAX: usize = 50_000;
/// MMs of which it is known how much of their history was told; two generations, each half as many.
const KNOWN_MAX: usize = 100_000;
/// How long a span waits for others at most.
const PAUSE: Duration = Duration::from_secs(1);

/// Where work for MMs is told. All methods may be called from any thread, and none blocks for long.
pub struct Traces {
    /// An MM is traced when the low 56 bits of its id, which are random, are below this.
    below: u64,
    waiting: Mutex<Waiting>,
    /// A whole batch waits.
    full: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    changed: BTreeSet<MmId>,
    /// So many moments of its history were told; 0 while it has not come to rest.
    known: [HashMap<MmId, usize>; 2],
}

impl Waiting {
    fn told(&self, mm: MmId) -> Option<usize> {
        self.known.iter().find_map(|half| half.get(&mm)).copied()
    }

    fn know(&mut self, mm: MmId, told: usize) {
        if let Some(known) = self.known.iter_mut().find_map(|half| half.get_mut(&mm)) {
            *known = told;
            return;
        }
        if self.known[0].len() >= KNOWN_MAX / 2 {
            self.known.swap(0, 1);
            self.known[0].clear();
        }
        self.known[0].insert(mm, told);
    }
}

/// Spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Taken by the collector.
    pub sent: u64,
    /// Lost: there was no room, or the collector did not want them.
    pub dropped: u64,
}

impl Traces {
    /// Traces as they are configured.
    pub fn new(config: &config::Traces) -> Self {
        let below = (config.sample * (1u64 << 56) as f64) as u64;
        let (sent, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { below, waiting: Mutex::default(), full: Notify::new(), sent, dropped }
    }

    /// Whether this MM is traced. The same for every part of its trace, and after a restart.
    pub const fn wants(&self, mm: MmId) -> bool {
        (mm.bits() as u64) & ((1 << 56) - 1) < self.below
    }

    /// Spans since the start.
    pub fn count(&self) -> Count {
        Count { sent: self.sent.load(Ordering::Relaxed), dropped: self.dropped.load(Ordering::Relaxed) }
    }

    /// An MM has changed.
    pub fn touch(&self, mm: MmId) {
        if !self.wants(mm) {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.told(mm).is_none() {
            waiting.know(mm, 0);
        }
        if waiting.changed.len() < CHANGED_MAX || waiting.changed.contains(&mm) {
            waiting.changed.insert(mm);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody has worked for an MM, until now.
    pub fn worked(&self, mm: MmId, clock: &Clock, work: impl FnOnce() -> Work) {
        if !self.wants(mm) {
            return;
        }
        let Work { began, name, side, facts, trouble } = work();
        let (begin, took) = (began.at, began.took(clock));
        let mut waiting = self.waiting();
        // What never became an MM, such as a mail that was refused, is a trace of one span.
        let parent = waiting.told(mm).map(|_| root(mm));
        let span =
            Span { mm, id: fresh(), parent, name, side, begin, took, facts, marks: Vec::new(), trouble };
        self.push(&mut waiting, span);
    }

    fn push(&self, waiting: &mut Waiting, span: Span) {
        if waiting.spans.len() >= SPANS_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.spans.push_back(span);
        if waiting.spans.len() >= BATCH {
            self.full.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look at the MMs that have changed; those that rest are told. Reads files.
    fn follow(&self, store: &dyn Store, clock: &Clock) {
        let changed = std::mem::take(&mut self.waiting().changed);
        for mm in changed {
            let ledger = match content::ledger(store, mm) {
                Ok(Some(ledger)) if span::rests(&ledger) => ledger,
                Ok(_) => continue,
                // One that cannot be read is for `belino verify`, not for a trace.
                Err(why) => {
                    tracing::debug!(%mm, "not in its trace: {why:#}");
                    continue;
                }
            };
            let mut waiting = self.waiting();
            let told = waiting.told(mm).unwrap_or(0);
            for span in span::of_whole(&ledger, told, clock.now(), fresh) {
                self.push(&mut waiting, span);
            }
            waiting.know(mm, ledger.history.len() + ledger.history_cut as usize);
        }
    }

    /// The next spans to send.
    fn batch(&self) -> Vec<Span> {
        let mut waiting = self.waiting();
        let count = waiting.spans.len().min(BATCH);
        waiting.spans.drain(..count).collect()
    }
}

/// An id of a span.
fn fresh() -> u64 {
    (crate::entropy() as u64).max(1)
}

/// Who sends what waits ([`Sender::run`]).
pub struct Sender {
    /// Where spans wait.
    pub traces: Arc<Traces>,
    /// Where they go.
    pub config: config::Traces,
    /// Our name: the domain of this relay.
    pub name: String,
    /// Where ledgers are.
    pub store: Arc<dyn Store>,
    /// What tells the time.
    pub clock: Clock,
}

#[cfg(test)]
mod tests {
    use super::*;
    use mms::Timestamp;

    fn traces(sample: f64) -> Traces {
        let endpoint = config::Url::plain("http://127.0.0.1:4318/v1/traces").unwrap();
        Traces::new(&config::Traces { endpoint, sample })
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_seconds(1_700_000_000))
    }

    #[test]
    fn the_share_that_is_asked_for_is_traced() {
        let ids: Vec<MmId> = (0..10_000).map(|_| crate::fresh_id(&clock())).collect();
        let count = |sample| {
            let traces = traces(sample);
            ids.iter().filter(|id| traces.wants(**id)).count()
        };
        assert_eq!(count(1.0), 10_000);
        assert!((800..1200).contains(&count(0.1)), "{}", count(0.1));
        assert!(traces(1.0).wants(MmId::from_bits(u128::MAX)));
        assert!(!traces(0.5).wants(MmId::from_bits(u128::MAX)));
    }

    #[test]
    fn work_belongs_to_its_mm_and_what_never_was_one_stands_alone() {
        let (traces, clock) = (traces(1.0), clock());
        let (known, unknown) = (MmId::new(0, 0, 5), MmId::new(0, 0, 6));
        traces.touch(known);
        for mm in [known, unknown] {
            traces.worked(mm, &clock, || Work::new(clock.begin(), "work", Side::Client).failed("why"));
        }
        let parents: Vec<_> = traces.batch().into_iter().map(|span| (span.mm, span.parent)).collect();
        assert_eq!(parents, [(known, Some(5)), (unknown, None)]);
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let (traces, clock) = (traces(1.0), clock());
        for n in 0..SPANS_MAX + 7 {
            traces
                .worked(MmId::new(0, 0, n as u64), &clock, || Work::new(clock.begin(), "work", Side::Client));
        }
        assert_eq!(traces.count(), Count { sent: 0, dropped: 7 });
        for n in 0..CHANGED_MAX + 3 {
            traces.touch(MmId::new(0, 0, n as u64));
        }
        assert_eq!(traces.count().dropped, 10);
        assert_eq!(traces.batch().len(), BATCH);
        for n in 0..3 * KNOWN_MAX {
            traces.waiting().know(MmId::new(1, 0, n as u64), 1);
        }
        assert!(traces.waiting().known.iter().map(HashMap::len).sum::<usize>() <= KNOWN_MAX);
    }
}
