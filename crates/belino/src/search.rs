//! Search for MMs: keeps the store's search index up to date, a little behind, and understands what people type.
//!
//! Owns: one thread that follows. Never knows: who asks. It is told which MMs have changed, reads their ledgers and puts words
//! into the index; it takes at most a third of one core, and bounded memory.
//!
//! A crash leaves an index that is a little older than the ledgers. The next start reads again what is newer than the newest
//! MM in it, and what was open in it.

use crate::content;
use mms::{MmId, Timestamp};
use relay::store::{Store, StoreError};
use relay::{Ledger, Noticed, Origin, RecipientState};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::{Found, Index, Kind, Query, Row, State};

/// MMs that have changed and wait; beyond that they are found again by reading.
const CHANGED_MAX: usize = 50_000;
/// MMs in one transaction of the index.
const BATCH: usize = 256;
/// An MM is looked at so long after it changed, so that several changes cost one look.
const PAUSE: Duration = Duration::from_millis(500);
/// Milliseconds by which a younger id may be in the index before an older one.
const OUT_OF_ORDER: i64 = 60_000;
/// Octets of what somebody types.
const TEXT_MAX: usize = 256;

/// What somebody searches for. All conditions must hold; none: the newest MMs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Our id, an `X-Mms-Message-ID`, an address, or the beginning of an address.
    pub text: Option<String>,
    /// A peer that sent it or that it goes to.
    pub peer: Option<String>,
    /// How far it is.
    pub state: Option<State>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Where a page before ended.
    pub before: Option<MmId>,
    /// At most so many.
    pub max: usize,
}

/// `open`, `done` or `failed`.
///
/// # Errors
/// Another word.
pub fn state(word: &str) -> Result<State, String> {
    match word {
        "open" => Ok(State::Open),
        "done" => Ok(State::Done),
        "failed" => Ok(State::Failed),
        other => Err(format!(
            "state {:?}: expected open, done or failed",
            mms::HeaderText::cleaned(other).capped(40).as_str()
        )),
    }
}

/// What one finds, and how far the index is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub ids: Vec<MmId>,
    /// [`Asked::before`] of the next page, if there may be one.
    pub next: Option<MmId>,
    /// What is not in the index yet.
    pub behind: Behind,
}

/// How far the index is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// MMs that have changed and wait to be looked at.
    pub waiting: u64,
    /// It is still reading what came before the start: so many MMs so far.
    pub reading: Option<u64>,
}

/// The search. Cheap to clone behind an [`Arc`].
pub struct Search {
    folder: PathBuf,
    store: Arc<dyn Store>,
    index: OnceLock<Index>,
    changed: Mutex<Changed>,
    news: Condvar,
    /// It reads what came before the start.
    is_reading: AtomicBool,
    read: AtomicU64,
}

#[derive(Default)]
struct Changed {
    ids: BTreeSet<MmId>,
    /// Those that are being put in now.
    under_way: BTreeSet<MmId>,
    /// The smallest of those that had no room.
    missed: Option<MmId>,
    /// What had no room is being read again, or nobody reads any more.
    has_gaps: bool,
    stopping: bool,
}

impl Search {
    /// Start following. The index is opened by its thread: opening may take seconds.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(folder: &Path, store: Arc<dyn Store>) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let search = Arc::new(Self::new(folder, store));
        let own = Arc::clone(&search);
        let thread = std::thread::Builder::new().name("search".into()).spawn(move || own.run())?;
        Ok((search, thread))
    }

    fn new(folder: &Path, store: Arc<dyn Store>) -> Self {
        Self {
            folder: folder.to_owned(),
            store,
            index: OnceLock::new(),
            changed: Mutex::default(),
            news: Condvar::new(),
            is_reading: AtomicBool::new(true),
            read: AtomicU64::new(0),
        }
    }

    /// An MM has changed. Never blocks for long.
    pub fn touch(&self, mm: MmId) {
        let mut changed = self.changed();
        if changed.ids.len() < CHANGED_MAX || changed.ids.contains(&mm) {
            changed.ids.insert(mm);
        } else {
            changed.missed = Some(changed.missed.map_or(mm, |least| least.min(mm)));
        }
    }

    /// End the thread.
    pub fn stop(&self) {
        self.changed().stopping = true;
        self.news.notify_all();
    }

    /// How far the index is behind.
    pub fn behind(&self) -> Behind {
        let waiting = {
            let changed = self.changed();
            (changed.ids.len() + changed.under_way.len()) as u64
        };
        let reading = self.is_reading.load(Ordering::Relaxed).then(|| self.read.load(Ordering::Relaxed));
        Behind { waiting, reading }
    }

    /// Search. Reads files: not for a task that must not block.
    ///
    /// # Errors
    /// In words: the index is not there yet, or cannot be read.
    pub fn find(&self, asked: &Asked) -> anyhow::Result<Page> {
        let index =
            self.index.get().ok_or_else(|| anyhow::anyhow!("the search index is being opened; ask again"))?;
        let found = self.look(index, asked)?;
        Ok(Page { ids: found.ids, next: found.next, behind: self.behind() })
    }

    /// MMs that may have one of these words, newest first, those before `before` only: at most `max` for each word, and as many
    /// that the index does not have as they are now. None that has one is left out. Reads files.
    ///
    /// `None`: which MMs the index does not have is not known, as it still reads what came before the start, or has missed
    /// some.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn any_of(
        &self,
        words: &[(Kind, String)],
        before: Option<MmId>,
        max: usize,
    ) -> Result<Option<Found>, StoreError> {
        let max = max.max(1);
        let Some(index) = self.index.get() else { return Ok(None) };
        // First what waits, then the index: what goes from here to there meanwhile is found twice, and not at all the other
        // way round.
        let Some(waiting) = self.waiting(before, max) else { return Ok(None) };
        let mut sources = vec![waiting];
        for word in words {
            let query = Query { words: vec![word.clone()], before, max, ..Query::default() };
            sources.push(index.find(&query)?.ids);
        }
        // A source that is cut off says nothing about what is older than its last.
        let next = sources.iter().filter(|ids| ids.len() >= max).filter_map(|ids| ids.last().copied()).max();
        let all: BTreeSet<MmId> = sources.into_iter().flatten().filter(|id| Some(*id) >= next).collect();
        Ok(Some(Found { ids: all.into_iter().rev().collect(), next }))
    }

    /// The newest of the MMs that the index does not have as they are; `None`: not all of them are known.
    fn waiting(&self, before: Option<MmId>, max: usize) -> Option<Vec<MmId>> {
        let changed = self.changed();
        if self.is_reading.load(Ordering::Relaxed) || changed.missed.is_some() || changed.has_gaps {
            return None;
        }
        let older = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let newest = |ids: &BTreeSet<MmId>| ids.range(older).rev().take(max).copied().collect::<Vec<_>>();
        let mut all = [newest(&changed.ids), newest(&changed.under_way)].concat();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        all.truncate(max);
        Some(all)
    }

    fn look(&self, index: &Index, asked: &Asked) -> Result<Found, StoreError> {
        let text = asked.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let text = text.map(|text| &text[..text.floor_char_boundary(TEXT_MAX)]);
        let mut query = Query {
            address: None,
            words: asked.peer.iter().map(|peer| (Kind::Peer, peer.clone())).collect(),
            state: asked.state,
            from: asked.from,
            to: asked.to,
            before: asked.before,
            max: asked.max.max(1),
        };
        let Some(text) = text else { return index.find(&query) };
        // An id of ours says it all. It need not be in the index yet.
        if let Ok(id) = text.parse::<MmId>()
            && self.store.ledger(id)?.is_some()
        {
            return Ok(Found { ids: vec![id], next: None });
        }
        if let Ok(id) = mms::MessageId::new(text) {
            let by_id = Query {
                words: [query.words.clone(), vec![(Kind::MessageId, id.key().to_owned())]].concat(),
                ..query.clone()
            };
            let found = index.find(&by_id)?;
            if !found.ids.is_empty() {
                return Ok(found);
            }
        }
        query.address = Some(text.to_owned());
        index.find(&query)
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let opened = match Index::open(&self.folder) {
            Ok(index) => self.index.get_or_init(|| index),
            Err(why) => {
                tracing::error!("there is no search: {why}");
                return;
            }
        };
        if let Err(why) = self.follow(opened) {
            self.changed().has_gaps = true;
            tracing::error!("the search index stays as it is until the next start: {why}");
        }
    }

    fn follow(&self, index: &Index) -> Result<(), StoreError> {
        if !self.catch_up(index)? {
            return Ok(());
        }
        let read = self.read.load(Ordering::Relaxed);
        if read > BATCH as u64 {
            tracing::info!(read, "the search index is up to date");
        }
        self.is_reading.store(false, Ordering::Relaxed);
        // Where the round of those that may be gone stands.
        let mut seen: Option<MmId> = None;
        while self.round(index, &mut seen)? {}
        Ok(())
    }

    /// Read what the index may have missed: what is newer than the newest in it, and what was open in it. `false` when the
    /// house stops.
    fn catch_up(&self, index: &Index) -> Result<bool, StoreError> {
        // Ids are made a little before they are committed, so they do not come quite in their order.
        let from = index.newest()?.map(|newest| MmId::new((newest.millis() - OUT_OF_ORDER).max(0), 0, 0));
        Ok(self.read_from(index, from)? && self.read_open(index)?)
    }

    /// Put in what has changed meanwhile, and take out some that are gone. `false` when the house stops.
    fn round(&self, index: &Index, seen: &mut Option<MmId>) -> Result<bool, StoreError> {
        let (ids, missed, stopping) = self.take();
        for batch in ids.chunks(BATCH) {
            self.put(index, batch)?;
        }
        self.changed().under_way.clear();
        if stopping {
            return Ok(false);
        }
        if let Some(least) = missed {
            let before = MmId::from_bits(least.bits().saturating_sub(1));
            if !self.read_from(index, Some(before))? || !self.read_open(index)? {
                return Ok(false);
            }
            self.changed().has_gaps = false;
        }
        let some = index.all(*seen, BATCH)?;
        self.put_gone(index, &some)?;
        *seen = some.last().copied();
        Ok(true)
    }

    /// What has changed, after a pause.
    fn take(&self) -> (Vec<MmId>, Option<MmId>, bool) {
        let changed = self.changed();
        let (mut changed, _) = self
            .news
            .wait_timeout_while(changed, PAUSE, |changed| !changed.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        changed.under_way = std::mem::take(&mut changed.ids);
        let missed = changed.missed.take();
        changed.has_gaps = missed.is_some();
        (changed.under_way.iter().copied().collect(), missed, changed.stopping)
    }

    /// Put in all MMs after this one. `false` when the house stops.
    fn read_from(&self, index: &Index, mut after: Option<MmId>) -> Result<bool, StoreError> {
        loop {
            let ids = self.store.ledgers(after, false, BATCH)?;
            let Some(last) = ids.last().copied() else { return Ok(true) };
            if !self.step(index, &ids)? {
                return Ok(false);
            }
            after = Some(last);
        }
    }

    /// Look again at all that was open. `false` when the house stops.
    fn read_open(&self, index: &Index) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let ids = index.open_ones(after, BATCH)?;
            let Some(last) = ids.last().copied() else { return Ok(true) };
            if !self.step(index, &ids)? {
                return Ok(false);
            }
            after = Some(last);
        }
    }

    /// A batch of many, and a rest that is twice as long: nothing waits for this.
    fn step(&self, index: &Index, ids: &[MmId]) -> Result<bool, StoreError> {
        let began = crate::clock::monotonic();
        self.put(index, ids)?;
        self.read.fetch_add(ids.len() as u64, Ordering::Relaxed);
        let rest = 2 * Duration::from_nanos(crate::clock::monotonic().saturating_sub(began));
        let changed = self.changed();
        let (changed, _) = self
            .news
            .wait_timeout_while(changed, rest.min(PAUSE), |changed| !changed.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(!changed.stopping)
    }

    fn put(&self, index: &Index, ids: &[MmId]) -> Result<(), StoreError> {
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            match content::ledger(&*self.store, *id) {
                Ok(Some(ledger)) => rows.push(row(&ledger)),
                Ok(None) => gone.push(*id),
                // One that cannot be read is for `belino verify`, not for a search.
                Err(why) => tracing::debug!(mm = %id, "not in the search index: {why:#}"),
            }
        }
        index.put(&rows, &gone)
    }

    fn put_gone(&self, index: &Index, ids: &[MmId]) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for id in ids {
            if let Ok(None) = self.store.ledger(*id) {
                gone.push(*id);
            }
        }
        if gone.is_empty() { Ok(()) } else { index.put(&[], &gone) }
    }
}

#[cfg(test)]
impl Search {
    /// One without a thread, which has read what there is.
    pub(crate) fn by_hand(folder: &Path, store: Arc<dyn Store>) -> Self {
        let search = Self::new(folder, store);
        let index = search.index.get_or_init(|| Index::open(folder).unwrap());
        assert!(search.catch_up(index).unwrap());
        search.is_reading.store(false, Ordering::Relaxed);
        // Rounds need not wait for company.
        search.stop();
        search
    }

    /// What has changed is taken, and not put in yet.
    pub(crate) fn begin_by_hand(&self) {
        // Not while something is under way: there is one thread.
        if self.changed().under_way.is_empty() {
            self.take();
        }
    }

    /// What is under way is put in, and then what has changed.
    pub(crate) fn follow_by_hand(&self) {
        let Some(index) = self.index.get() else { return };
        let ids: Vec<MmId> = self.changed().under_way.iter().copied().collect();
        self.put(index, &ids).unwrap();
        assert!(!self.round(index, &mut None).unwrap());
    }
}

/// How far an MM is.
pub fn state_of(ledger: &Ledger) -> State {
    let is_lost = |state| {
        use RecipientState::{Expired, Failed, Refused, Rejected, Unconfirmed};
        matches!(state, Expired | Failed | Refused | Rejected | Unconfirmed)
    };
    match ledger.is_closed() {
        false => State::Open,
        true if ledger.recipients.iter().any(|r| is_lost(r.state)) => State::Failed,
        true => State::Done,
    }
}

/// By what an MM is found.
fn row(ledger: &Ledger) -> Row {
    let mut words = Vec::new();
    match &ledger.origin {
        Origin::Submitted { by, .. } => words.push((Kind::Submitter, by.clone())),
        Origin::Received { peer, .. } => words.push((Kind::Peer, peer.as_str().to_owned())),
    }
    if let Some(request) = &ledger.request {
        words.extend(request.message_id.iter().map(|id| (Kind::MessageId, id.key().to_owned())));
        words.extend(request.from.iter().map(|from| (Kind::Address, from.address.value())));
    }
    let came = ledger.notices.iter().filter(|notice| notice.what == Noticed::Arrived);
    words.extend(came.map(|notice| (Kind::Webhook, notice.hook.as_str().to_owned())));
    words.extend(ledger.recipients.iter().map(|r| (Kind::Address, r.party.address.value())));
    words.extend(ledger.transactions.iter().map(|t| (Kind::Peer, t.peer.as_str().to_owned())));
    Row { id: ledger.id, state: state_of(ledger), words }
}

/// An instant as people type it: a span before now (`2h`, `3d`), a day (`2026-11-25`), or a time of a day in UTC
/// (`2026-11-25T22:10`, `2026-11-25 22:10:30Z`).
///
/// # Errors
/// What was expected.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(span) = text.parse::<crate::config::Span>() {
        return Ok(now.minus(span.0));
    }
    let wrong = || {
        let text = mms::HeaderText::cleaned(text).capped(40);
        format!(
            "time {:?}: expected a span before now such as 2h or 3d, or a time in UTC such as 2026-11-25T22:10",
            text.as_str()
        )
    };
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "0:0"),
    };
    let numbers =
        |text: &str, by: char| -> Option<Vec<u32>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let day = numbers(day, '-').filter(|day| day.len() == 3).ok_or_else(wrong)?;
    let time = numbers(time, ':').filter(|time| matches!(time.len(), 2 | 3)).ok_or_else(wrong)?;
    let year = i32::try_from(day[0]).map_err(|_| wrong())?;
    let second = time.get(2).copied().unwrap_or(0);
    Timestamp::from_civil(year, day[1], day[2], time[0], time[1], second).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_type_them() {
        let now = Timestamp::from_civil(2026, 11, 25, 22, 10, 30).unwrap();
        let at = |text: &str| instant(text, now).unwrap().to_string();
        assert_eq!(at("2h"), "2026-11-25T20:10:30.000Z");
        assert_eq!(at("2026-11-24"), "2026-11-24T00:00:00.000Z");
        assert_eq!(at("2026-11-24T21:05"), "2026-11-24T21:05:00.000Z");
        assert_eq!(at(" 2026-11-24 21:05:07Z "), "2026-11-24T21:05:07.000Z");
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-24T", "2026-11-24T25:00", "1-2", "\u{1b}[31m"] {
            let why = instant(wrong, now).unwrap_err();
            assert!(why.contains("expected") && !why.contains('\u{1b}'), "{why}");
        }
    }

    #[test]
    fn states_as_people_type_them() {
        assert_eq!(state("failed"), Ok(State::Failed));
        assert!(state("broken").unwrap_err().contains("open, done or failed"));
    }

    use relay::memory::Memory;
    use relay::store::{Batch, Op};
    use relay::{PeerName, Recipient, RecipientKind};

    fn commit(store: &Memory, op: Op) {
        let (done, came) = std::sync::mpsc::channel();
        let batch = Batch { need: Vec::new(), ops: vec![op] };
        store.commit(Arc::new(batch), Box::new(move |result| drop(done.send(result))));
        came.recv().unwrap().unwrap();
    }

    fn put(store: &Memory, millis: i64, state: RecipientState) -> MmId {
        let (id, at) = (MmId::new(millis, 0, 7), Timestamp::from_millis(millis));
        let origin = Origin::Received { peer: PeerName::new("b"), mail_from: None };
        let mut ledger = Ledger::new(id, origin, at, Timestamp::MAX);
        let party = "+12025550100".parse().unwrap();
        ledger.recipients.push(Recipient::new(party, RecipientKind::To, state, at));
        commit(store, Op::PutLedger { id, ledger: ledger.encode(), wake: None });
        id
    }

    /// What a crash has kept from the index is found at the next start, also what is a little older than the newest.
    #[test]
    fn a_start_reads_what_the_index_has_missed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new());
        let index = Index::open(folder.path()).unwrap();
        let found =
            |state| index.find(&Query { state: Some(state), max: 10, ..Query::default() }).unwrap().ids;
        let open = put(&store, 1_000_000, RecipientState::Queued);
        let newest = put(&store, 2_000_000, RecipientState::Queued);
        let search = Search::new(folder.path(), store.clone());
        search.touch(open);
        search.touch(newest);
        assert!(search.round(&index, &mut None).unwrap());
        assert_eq!(found(State::Open), [newest, open]);
        // Both change, and one comes that has an older id: nobody told the index.
        put(&store, 1_000_000, RecipientState::Accepted);
        put(&store, 2_000_000, RecipientState::Failed);
        let late = put(&store, 1_999_000, RecipientState::Queued);
        let search = Search::new(folder.path(), store.clone());
        assert!(search.catch_up(&index).unwrap());
        assert_eq!((found(State::Done), found(State::Failed)), (vec![open], vec![newest]));
        assert_eq!(found(State::Open), [late]);
    }

    /// Ledgers end without a word; the rounds find out.
    #[test]
    fn what_is_gone_from_the_store_goes_from_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new());
        let index = Index::open(folder.path()).unwrap();
        let search = Search::new(folder.path(), store.clone());
        let ids: Vec<MmId> = (1..=3).map(|n| put(&store, n, RecipientState::Accepted)).collect();
        ids.iter().for_each(|id| search.touch(*id));
        let mut seen = None;
        assert!(search.round(&index, &mut seen).unwrap());
        commit(&store, Op::RemoveLedger { id: ids[1] });
        // One round to the end, one from the beginning.
        assert!(search.round(&index, &mut seen).unwrap() && search.round(&index, &mut seen).unwrap());
        assert_eq!(index.all(None, 10).unwrap(), [ids[0], ids[2]]);
        // A stop puts in what was still waiting.
        search.touch(put(&store, 4, RecipientState::Accepted));
        search.stop();
        assert!(!search.round(&index, &mut seen).unwrap());
        assert_eq!(index.all(None, 10).unwrap().len(), 3);
    }
}
