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

/// What the committer is doing, so that nobody wakes it who need not: each waking is a system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    /// At work: it looks into the queue by itself.
    #[default]
    None,
    /// Until anything comes.
    Anything,
    /// Until something comes that somebody waits for, or much of the rest.
    Urgent,
    /// Until so many jobs wait.
    Company(usize),
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// How many of them are urgent.
    pub(crate) urgent: usize,
    pub(crate) rest: Rest,
    /// Content was written whose batch is being decided: its flush can begin.
    pub(crate) flush: bool,
    pub(crate) closed: bool,
}

/// So many jobs are enough for a group, even if nobody waits for any of them.
pub(crate) const MANY: usize = 32;

impl Queue {
    /// Whether what waits is worth the committer's while.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.urgent > 0 || self.jobs.len() >= MANY || self.flush || self.closed
    }

    pub(crate) fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.urgent -= usize::from(job.is_urgent());
        Some(job)
    }
}

impl Job {
    /// The end of an errand that begins nothing new can wait a little for company: nobody waits for it.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Batch(batch, _) => {
                let ends = batch.ops.iter().any(|op| matches!(op, Op::Ack(_)));
                !ends || batch.ops.iter().any(|op| matches!(op, Op::Enqueue(_) | Op::Retry { .. }))
            }
            Self::Task(..) | Self::Settle(_) => true,
        }
    }
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
        let (urgent, is_batch) = (job.is_urgent(), matches!(job, Job::Batch(..)));
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        queue.urgent += usize::from(urgent);
        let wake = match queue.rest {
            Rest::None => false,
            Rest::Anything => true,
            Rest::Urgent => queue.is_worth_it(),
            Rest::Company(n) => queue.jobs.len() >= n || !is_batch,
        };
        if wake {
            queue.rest = Rest::None;
        }
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn commit(&self, batch: Arc<Batch>, done: Done) {
        self.push(Job::Batch(batch, done));
    }

    /// A content is complete: a committer that has nothing to do begins to flush it, while the heart decides about it.
    pub(crate) fn written(&self) {
        let mut queue = self.lock();
        let wake = matches!(queue.rest, Rest::Anything | Rest::Urgent);
        if wake {
            (queue.flush, queue.rest) = (true, Rest::None);
        }
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
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
        self.arrived.notify_all();
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
