//! The desk where the committer gets its work, and what readers of the ledger have to know about the journal.
//!
//! Owns: the queue of batches, tasks and wishes; what the journal has and the ledger not yet. Never knows: files, SQL.

use mms::MmId;
use relay::store::{Batch, Done, Need, Op, StoreError};
use rusqlite::Connection;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// A transaction of housekeeping.
pub(crate) type Task = Box<dyn FnOnce(&Connection) -> rusqlite::Result<usize> + Send>;

pub(crate) enum Job {
    Batch(Arc<Batch>, Done),
    Task(Task, SyncSender<Result<usize, StoreError>>),
    /// Somebody wants to read what the ledger does not have yet.
    Settle(SyncSender<()>),
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// Wake the committer when so many jobs wait.
    pub(crate) wanted: usize,
    pub(crate) closed: bool,
}

/// What the journal has and the ledger not yet. A reader asks here first, and has it settled if it matters to it.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    any: bool,
    mms: HashSet<MmId>,
    /// Hashes of keys and tags: a stranger with the same hash costs a commit, nothing else.
    words: HashSet<u64>,
    hasher: RandomState,
}

impl Ahead {
    /// Whether anything is.
    pub(crate) fn has_any(&self) -> bool {
        self.any
    }

    /// Whether something about this MM is.
    pub(crate) fn has_mm(&self, id: MmId) -> bool {
        self.mms.contains(&id)
    }

    /// Whether something about this key, or value of a tag, is.
    pub(crate) fn has_word(&self, word: &[u8]) -> bool {
        self.any && self.words.contains(&self.hasher.hash_one(word))
    }

    fn word(&mut self, word: &[u8]) {
        self.words.insert(self.hasher.hash_one(word));
    }

    fn note(&mut self, batch: &Batch) {
        self.any = true;
        for need in &batch.need {
            if let Need::Once { key, .. } = need {
                self.word(key);
            }
        }
        for op in &batch.ops {
            match op {
                // It takes its tags along, whatever they are.
                Op::RemoveLedger { id } => {
                    self.mms.insert(*id);
                }
                Op::PutLedger { id, .. } | Op::KeepContent { id, .. } | Op::DropContent { id } => {
                    self.mms.insert(*id);
                }
                Op::Remember { key, .. } => self.word(key),
                Op::PutTag { tag, .. } | Op::RemoveTag { tag, .. } => self.word(tag.value.as_bytes()),
                Op::Enqueue(_) | Op::Ack(_) | Op::Retry { .. } | Op::Emit { .. } => {}
            }
        }
    }

    fn clear(&mut self) {
        self.any = false;
        self.mms.clear();
        self.words.clear();
    }
}

/// What the committer shares with those who send it work.
#[derive(Default)]
pub(crate) struct Desk {
    queue: Mutex<Queue>,
    pub(crate) arrived: Condvar,
    ahead: Mutex<Ahead>,
    failed: OnceLock<String>,
}

impl Desk {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        let urgent = !matches!(job, Job::Batch(..));
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        let wake = urgent || queue.jobs.len() >= queue.wanted;
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn commit(&self, batch: Arc<Batch>, done: Done) {
        self.push(Job::Batch(batch, done));
    }

    /// Run a transaction between groups, and wait for it.
    pub(crate) fn run(
        &self,
        task: impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<usize, StoreError> {
        let (answer, answered) = sync_channel(1);
        self.push(Job::Task(Box::new(task), answer));
        answered.recv().unwrap_or_else(|_| Err(StoreError::Unavailable("the store is closed".into())))
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have what the journal is ahead of the ledger put into the ledger, if it matters.
    pub(crate) fn settle(&self, matters: impl FnOnce(&Ahead) -> bool) -> Result<(), StoreError> {
        // After a failure nothing is moved any more; what the ledger has can be read.
        if !matters(&self.ahead()) || self.failed().is_some() {
            return Ok(());
        }
        let (answer, answered) = sync_channel(1);
        self.push(Job::Settle(answer));
        answered.recv().map_err(|_| StoreError::Unavailable("the store is closed".into()))
    }

    /// These batches are durable in the journal.
    pub(crate) fn note<'a>(&self, batches: impl Iterator<Item = &'a Batch>) {
        let mut ahead = self.ahead();
        batches.for_each(|batch| ahead.note(batch));
    }

    /// The ledger has everything.
    pub(crate) fn settled(&self) {
        self.ahead().clear();
    }

    /// Finish what is queued, then stop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Why everything is refused, if so.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Refuse everything from now on.
    pub(crate) fn fail(&self, why: &str) {
        if self.failed.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the store has failed; nothing is accepted until a restart");
        }
    }

    pub(crate) fn refusal(&self) -> Option<StoreError> {
        self.failed().map(|why| StoreError::Unavailable(format!("{why}; a restart is needed")))
    }
}
