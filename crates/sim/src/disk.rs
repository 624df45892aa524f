//! A disk that can lose what it did not flush: a [`Store`] for one relay of the world.
//!
//! Owns: what is durable (the log of batches, and contents), what only waits for a flush, and how the disk fails. The
//! meaning of batches is that of the heart's own model, [`Memory`]; this adds the difference between written and
//! durable. Never knows: protocols, time.
//!
//! A crash keeps what was flushed, some beginning of what was waiting, and nothing else.

use crate::dice::Dice;
use crate::planted::Planted;
use mms::{MmId, Timestamp};
use relay::memory::Memory;
use relay::store::{
    Batch, ContentRef, ContentWriter, Done, Entry, Health, Maintained, Outcome, QueueHead, QueueId, Store,
    StoreError, StoredLedger, TagKind, Topic,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// See the module. Clones share it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the log comes to.
    memory: Memory,
    /// Batches that were flushed, in order.
    log: Vec<Arc<Batch>>,
    /// Every content that was ever complete, in order; the durable ones are those that the log names.
    contents: Vec<Vec<u8>>,
    /// Batches that wait for a flush.
    waiting: VecDeque<(Arc<Batch>, Done)>,
    /// Why nothing works until a restart.
    failed: Option<String>,
    full: bool,
    /// The next content fails inside.
    write_fails: bool,
    /// Contents that failed inside.
    failed_writes: u64,
}

/// What a crash did to the batches that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed {
    /// Durable although nobody was told.
    pub kept: usize,
    /// Gone.
    pub dropped: usize,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything waits for a flush.
    pub fn is_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Make everything durable that waits, and say so.
    pub fn flush(&self) {
        let (memory, waiting) = {
            let mut state = self.lock();
            (state.memory.clone(), std::mem::take(&mut state.waiting))
        };
        for (batch, done) in waiting {
            let result = apply(&memory, &batch);
            if result == Ok(Outcome::Done) {
                self.lock().log.push(batch);
            }
            done(result);
        }
    }

    /// The flush fails, finally. Some of what was written may be there after the next start.
    pub fn fail(&self, dice: &mut Dice) {
        let waiting = {
            let mut state = self.lock();
            state.failed = Some("flush failed".into());
            std::mem::take(&mut state.waiting)
        };
        let kept = dice.below(waiting.len() as u64 + 1) as usize;
        let memory = self.lock().memory.clone();
        for (i, (batch, done)) in waiting.into_iter().enumerate() {
            if i < kept && apply(&memory, &batch) == Ok(Outcome::Done) {
                self.lock().log.push(batch);
            }
            done(Err(StoreError::Unknown("flush failed".into())));
        }
    }

    /// No room for new content, or room again.
    pub fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// The next content breaks off.
    pub fn break_next_write(&self) {
        self.lock().write_fails = true;
    }

    /// How many contents broke off since this was asked last.
    pub fn failed_writes(&self) -> u64 {
        std::mem::take(&mut self.lock().failed_writes)
    }

    /// The process dies: what waited is lost, but for some beginning of it. What is there afterwards comes from the log
    /// alone.
    pub fn crash(&self, dice: &mut Dice, planted: Option<Planted>) -> Crashed {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let kept = dice.below(waiting.len() as u64 + 1) as usize;
        let dropped = waiting.len() - kept;
        for (batch, _) in waiting.into_iter().take(kept) {
            if apply(&state.memory, &batch) == Ok(Outcome::Done) {
                state.log.push(batch);
            }
        }
        if planted == Some(Planted::FolderNotSynced) {
            // The newest file's name never reached the disk: what was reported of it is gone.
            let lost = dice.below(4).min(state.log.len() as u64) as usize;
            let left = state.log.len() - lost;
            state.log.truncate(left);
        }
        let memory = Memory::new();
        let references: Vec<ContentRef> = state.contents.iter().filter_map(|c| write(&memory, c)).collect();
        for batch in &state.log {
            let again = apply(&memory, batch);
            debug_assert_eq!(again, Ok(Outcome::Done));
        }
        drop(references);
        // Contents that nobody names are freed by the next batch that frees any; so are these.
        let _ = memory.maintain(Timestamp::EPOCH, Duration::ZERO);
        (state.memory, state.failed, state.write_fails) = (memory, None, false);
        Crashed { kept, dropped }
    }

    fn memory(&self) -> Result<Memory, StoreError> {
        let state = self.lock();
        match &state.failed {
            Some(why) => Err(StoreError::Unavailable(why.clone())),
            None => Ok(state.memory.clone()),
        }
    }
}

fn apply(memory: &Memory, batch: &Arc<Batch>) -> Result<Outcome, StoreError> {
    let slot = Arc::new(Mutex::new(None));
    let into = Arc::clone(&slot);
    let done = move |result| *into.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    memory.commit(Arc::clone(batch), Box::new(done));
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.unwrap_or_else(|| Err(StoreError::Unavailable("the model did not answer".into())))
}

fn write(memory: &Memory, octets: &[u8]) -> Option<ContentRef> {
    let mut writer = memory.content_writer(None).ok()?;
    writer.write(octets).ok()?;
    writer.finish().ok()
}

struct Writer {
    disk: Disk,
    octets: Vec<u8>,
    breaks: bool,
}

impl ContentWriter for Writer {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        let mut state = self.disk.lock();
        if self.breaks || state.full {
            state.failed_writes += u64::from(self.breaks);
            return Err(StoreError::Full("no room for this content".into()));
        }
        drop(state);
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ContentRef, StoreError> {
        let memory = self.disk.memory()?;
        let content = write(&memory, &self.octets);
        // In step with the numbers that the model gives.
        self.disk.lock().contents.push(self.octets);
        content.ok_or_else(|| StoreError::Unavailable("the model took no content".into()))
    }
}

impl Store for Disk {
    fn content_writer(&self, size_hint: Option<u64>) -> Result<Box<dyn ContentWriter>, StoreError> {
        let _ = size_hint;
        self.memory()?;
        let mut state = self.lock();
        if state.full {
            return Err(StoreError::Full("the disk is full".into()));
        }
        let breaks = std::mem::take(&mut state.write_fails);
        Ok(Box::new(Writer { disk: self.clone(), octets: Vec::new(), breaks }))
    }

    fn read_content(&self, content: &ContentRef, offset: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        self.memory()?.read_content(content, offset, into)
    }

    fn commit(&self, batch: Arc<Batch>, done: Done) {
        let failed = self.lock().failed.clone();
        match failed {
            Some(why) => done(Err(StoreError::Unavailable(why))),
            None => self.lock().waiting.push_back((batch, done)),
        }
    }

    fn ledger(&self, id: MmId) -> Result<Option<StoredLedger>, StoreError> {
        self.memory()?.ledger(id)
    }

    fn once(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory()?.once(key)
    }

    fn queues(&self) -> Result<Vec<QueueHead>, StoreError> {
        self.memory()?.queues()
    }

    fn entries(&self, queue: &QueueId, after: Option<&Entry>, max: usize) -> Result<Vec<Entry>, StoreError> {
        self.memory()?.entries(queue, after, max)
    }

    fn depth(&self, queue: &QueueId, max: u64) -> Result<u64, StoreError> {
        self.memory()?.depth(queue, max)
    }

    fn wakes(
        &self,
        after: Option<(Timestamp, MmId)>,
        max: usize,
    ) -> Result<Vec<(Timestamp, MmId)>, StoreError> {
        self.memory()?.wakes(after, max)
    }

    fn ledgers(&self, after: Option<MmId>, newest_first: bool, max: usize) -> Result<Vec<MmId>, StoreError> {
        self.memory()?.ledgers(after, newest_first, max)
    }

    fn tagged(
        &self,
        kind: TagKind,
        value: Option<&str>,
        after: Option<&(String, MmId)>,
        max: usize,
    ) -> Result<Vec<(String, MmId)>, StoreError> {
        self.memory()?.tagged(kind, value, after, max)
    }

    fn drain(&self, topic: Topic, after: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.memory()?.drain(topic, after, max)
    }

    fn trim(&self, topic: Topic, up_to: u64) -> Result<(), StoreError> {
        self.memory()?.trim(topic, up_to)
    }

    fn maintain(&self, now: Timestamp, budget: Duration) -> Result<Maintained, StoreError> {
        self.memory()?.maintain(now, budget)
    }

    fn stored_by(&self, owner: &str) -> u64 {
        self.lock().memory.stored_by(owner)
    }

    fn health(&self) -> Health {
        let state = self.lock();
        Health { failed: state.failed.clone(), ..state.memory.health() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::store::Op;

    fn put(n: u64) -> Arc<Batch> {
        let id = MmId::new(0, 0, n);
        Arc::new(Batch {
            need: Vec::new(),
            ops: vec![Op::PutLedger { id, ledger: vec![n as u8], wake: None }],
        })
    }

    #[test]
    fn a_crash_keeps_what_was_flushed_and_a_beginning_of_the_rest() {
        let mut kept = [false; 3];
        for seed in 0..50 {
            let (disk, mut dice) = (Disk::new(), Dice::new(seed));
            disk.commit(put(1), Box::new(|_| {}));
            disk.flush();
            disk.commit(put(2), Box::new(|_| {}));
            disk.commit(put(3), Box::new(|_| {}));
            assert_eq!(disk.ledger(MmId::new(0, 0, 2)), Ok(None), "not yet");
            let crashed = disk.crash(&mut dice, None);
            kept[crashed.kept] = true;
            let there: Vec<bool> =
                (1..=3).map(|n| disk.ledger(MmId::new(0, 0, n)).unwrap().is_some()).collect();
            assert_eq!(there, [true, crashed.kept >= 1, crashed.kept == 2]);
        }
        assert_eq!(kept, [true; 3]);
    }
}
