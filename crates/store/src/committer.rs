//! The one thread that commits.
//!
//! Owns: the ledger's writing connection, the order of batches, what one durable group is. Never knows: what a batch
//! means to the heart.
//!
//! A group: flush the segments that its content is in, one transaction, one durable commit, then every callback. A
//! flush or commit that fails is final: the kernel may have dropped what it could not write and claim success the next
//! time, so nothing is tried again, and from then on everything is refused until a restart reads what the disk truly
//! has. No room is not final: the transaction is rolled back and the ledger is as before.

use crate::content::{Log, Place};
use crate::faults::{Disk, FileOp};
use crate::ledger::{self, Broken, Group, Trouble};
use crate::options::Options;
use relay::store::{Batch, Done, Op, Outcome, StoreError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::wal::CheckpointMode;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A transaction of housekeeping.
type Task = Box<dyn FnOnce(&Connection) -> rusqlite::Result<usize> + Send>;

enum Job {
    Batch(Batch, Done),
    Task(Task, SyncSender<Result<usize, StoreError>>),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Wake the committer when so many jobs wait.
    wanted: usize,
    closed: bool,
}

/// What the committer shares with those who send it work.
#[derive(Default)]
pub(crate) struct Desk {
    queue: Mutex<Queue>,
    arrived: Condvar,
    failed: OnceLock<String>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        let wake = queue.jobs.len() >= queue.wanted;
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn commit(&self, batch: Batch, done: Done) {
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
    fn fail(&self, why: &str) {
        if self.failed.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the store has failed; nothing is accepted until a restart");
        }
    }

    pub(crate) fn refusal(&self) -> Option<StoreError> {
        self.failed().map(|why| StoreError::Unavailable(format!("{why}; a restart is needed")))
    }
}

pub(crate) struct Committer {
    desk: Arc<Desk>,
    log: Arc<Log>,
    connection: Connection,
    disk: Disk,
    options: Options,
    /// Queues by name, all of them committed.
    queues: HashMap<Arc<str>, i64>,
    /// Frames in the write-ahead log after the last commit.
    log_frames: Arc<AtomicU64>,
    /// From how many on they are moved into the ledger, by choice and at present.
    checkpoint_first: u64,
    checkpoint_frames: u64,
    /// Batches that came together last time.
    company: usize,
    #[cfg(debug_assertions)]
    durable: u64,
}

/// Why a transaction did not become durable.
enum Undone {
    /// It was rolled back.
    RolledBack(rusqlite::Error),
    /// Nobody can tell.
    Unsure(String),
}

impl Committer {
    pub(crate) fn new(
        desk: Arc<Desk>,
        log: Arc<Log>,
        mut connection: Connection,
        disk: Disk,
        options: Options,
    ) -> rusqlite::Result<Self> {
        let log_frames = Arc::new(AtomicU64::new(0));
        let frames = log_frames.clone();
        connection.wal_hook(Some(move |_: &mut _, pages| {
            frames.store(pages as u64, Ordering::Relaxed);
            Ok(())
        }))?;
        // A store that has failed must not touch the disk again when it closes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "journal_size_limit", options.checkpoint_size as i64)?;
        #[cfg(debug_assertions)]
        if let Some(pages) = options.ledger_pages_max {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        let page_size: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        Ok(Self {
            desk,
            log,
            connection,
            disk,
            queues: HashMap::new(),
            log_frames,
            checkpoint_first: (options.checkpoint_size / page_size).max(1),
            checkpoint_frames: (options.checkpoint_size / page_size).max(1),
            company: 0,
            options,
            #[cfg(debug_assertions)]
            durable: 0,
        })
    }

    /// Work until the desk is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let round = catch_unwind(AssertUnwindSafe(|| self.round()));
            match round {
                Ok(true) => {}
                Ok(false) => break,
                // Our bug. What it left half done is not committed; the callbacks of the group are dropped unheard.
                Err(_) => self.desk.fail("the committer panicked"),
            }
        }
        if self.desk.failed().is_some() {
            return;
        }
        let moved = self
            .connection
            .wal_checkpoint_v2(Some(c"main"), CheckpointMode::TRUNCATE)
            .and_then(|_| self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false));
        if let Err(why) = moved {
            tracing::warn!(%why, "the write-ahead log is left to the next start");
        }
    }

    /// One group or one task. False when there will be no more.
    fn round(&mut self) -> bool {
        let Some((group, task)) = self.take() else { return false };
        if !group.is_empty() {
            self.group(group);
        }
        if let Some((task, answer)) = task {
            let _ = answer.send(self.task(task));
        }
        self.checkpoint();
        true
    }

    /// What waits: some batches, or a task, or both in this order.
    #[allow(clippy::type_complexity)]
    fn take(
        &mut self,
    ) -> Option<(Vec<(Batch, Done)>, Option<(Task, SyncSender<Result<usize, StoreError>>)>)> {
        let desk = self.desk.clone();
        let mut queue = desk.lock();
        queue.wanted = 1;
        queue = desk
            .arrived
            .wait_while(queue, |queue| queue.jobs.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        // Those who came together last time have just been answered and are about to come again.
        let expected = self.company.min(self.options.group_batches);
        if expected > 1 && queue.jobs.len() < expected && !self.options.window.is_zero() {
            queue.wanted = expected;
            (queue, _) = desk
                .arrived
                .wait_timeout_while(queue, self.options.window, |queue| {
                    queue.jobs.len() < queue.wanted && !queue.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            queue.wanted = 1;
        }
        if queue.jobs.is_empty() {
            return None;
        }
        let (mut group, mut octets) = (Vec::new(), 0);
        while group.len() < self.options.group_batches && octets < self.options.group_octets {
            match queue.jobs.pop_front() {
                Some(Job::Batch(batch, done)) => {
                    octets += weight(&batch);
                    group.push((batch, done));
                }
                Some(Job::Task(task, answer)) => return Some((group, Some((task, answer)))),
                None => break,
            }
        }
        Some((group, None))
    }

    fn group(&mut self, group: Vec<(Batch, Done)>) {
        let (batches, dones): (Vec<Batch>, Vec<Done>) = group.into_iter().unzip();
        let results = match self.desk.refusal() {
            Some(refusal) => vec![Err(refusal); batches.len()],
            None => self.commit(&batches),
        };
        #[cfg(debug_assertions)]
        {
            self.durable += results.iter().filter(|result| **result == Ok(Outcome::Done)).count() as u64;
            if self.options.abort_before_done.is_some_and(|after| self.durable >= after) {
                std::process::abort();
            }
        }
        // How many are at work: those answered now, and those who came meanwhile.
        self.company = dones.len() + self.desk.lock().jobs.len();
        drop(batches); // and with them the last references to content that was not kept
        for (done, result) in dones.into_iter().zip(results) {
            if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
                tracing::error!("a callback of a commit panicked");
            }
        }
    }

    /// Make a group durable, and tell what became of each batch.
    fn commit(&mut self, batches: &[Batch]) -> Vec<Result<Outcome, StoreError>> {
        let mut results: Vec<Option<Result<Outcome, StoreError>>> = vec![None; batches.len()];
        if batches.iter().any(keeps) && self.log.is_low() {
            for (result, _) in results.iter_mut().zip(batches).filter(|(_, batch)| keeps(batch)) {
                *result = Some(Err(self.log.full()));
            }
        }
        if let Err(why) = self.flush(batches) {
            self.desk.fail(&format!("cannot flush content: {why}"));
        } else if let Err(undone) = self.transact(batches, &mut results) {
            self.recover(undone, batches, &mut results);
        }
        let left = self.desk.refusal().unwrap_or_else(|| StoreError::Unavailable("not committed".into()));
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(left.clone()))).collect()
    }

    /// A transaction of several batches did not become durable. If one of them is to blame, the others do not suffer.
    fn recover(
        &mut self,
        undone: Undone,
        batches: &[Batch],
        results: &mut [Option<Result<Outcome, StoreError>>],
    ) {
        let why = match undone {
            Undone::RolledBack(why) => why,
            Undone::Unsure(why) => return self.unsure(&why, results),
        };
        match ledger::trouble(&why) {
            Trouble::Busy => results.iter_mut().for_each(|result| *result = Some(Err(ledger::failure(&why)))),
            Trouble::Final => self.desk.fail(&format!("ledger: {why}")),
            Trouble::Full | Trouble::Damaged | Trouble::Request => {
                tracing::warn!(%why, batches = batches.len(), "a transaction was rolled back; one batch at a time");
                for (batch, result) in batches.iter().zip(results) {
                    if self.desk.failed().is_some() {
                        return;
                    }
                    let alone = std::slice::from_mut(result);
                    match self.transact(std::slice::from_ref(batch), alone) {
                        Ok(()) => {}
                        Err(Undone::Unsure(why)) => self.unsure(&why, alone),
                        Err(Undone::RolledBack(why)) if ledger::trouble(&why) == Trouble::Final => {
                            self.desk.fail(&format!("ledger: {why}"));
                        }
                        Err(Undone::RolledBack(why)) => *result = Some(Err(ledger::failure(&why))),
                    }
                }
            }
        }
    }

    fn unsure(&mut self, why: &str, results: &mut [Option<Result<Outcome, StoreError>>]) {
        self.desk.fail(&format!("cannot commit: {why}"));
        results.iter_mut().for_each(|result| *result = Some(Err(StoreError::Unknown(why.to_owned()))));
    }

    /// Flush the segments that hold the content of these batches.
    fn flush(&self, batches: &[Batch]) -> io::Result<()> {
        let mut flushed = Vec::new();
        for op in batches.iter().flat_map(|batch| &batch.ops) {
            let Op::KeepContent { content, .. } = op else { continue };
            let Some(place) = Place::parse(content) else { continue };
            for run in &place.runs {
                let name = (run.segment, run.generation);
                if flushed.contains(&name) {
                    continue;
                }
                flushed.push(name);
                if let Some(segment) = self.log.segment(run.segment, run.generation) {
                    self.log.flush(&segment)?;
                }
            }
        }
        Ok(())
    }

    /// One transaction. Batches that have a result already are passed over; on failure no result is set.
    fn transact(
        &mut self,
        batches: &[Batch],
        results: &mut [Option<Result<Outcome, StoreError>>],
    ) -> Result<(), Undone> {
        self.begin().map_err(Undone::RolledBack)?;
        let mut group = Group::new(&self.connection, &self.log, std::mem::take(&mut self.queues));
        let mut fresh = Vec::with_capacity(batches.len());
        for (index, batch) in batches.iter().enumerate() {
            if results[index].is_some() {
                continue;
            }
            match group.apply(batch) {
                Ok(outcome) => fresh.push((index, Ok(outcome))),
                Err(Broken::Refused(error)) => fresh.push((index, Err(error))),
                Err(Broken::Ledger(why)) => return Err(self.roll_back(why)),
            }
        }
        let closed = match group.close() {
            Ok(closed) => closed,
            Err(why) => return Err(self.roll_back(why)),
        };
        self.end()?;
        self.queues = closed.committed();
        for (index, result) in fresh {
            results[index] = Some(result);
        }
        Ok(())
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    /// Commit.
    fn end(&self) -> Result<(), Undone> {
        let committed = self.disk.run(FileOp::Commit, || {
            Ok(self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])))
        });
        match committed {
            Ok(Ok(_)) => Ok(()),
            // No room for the write-ahead log: its last frame, the one that counts, was not written.
            Ok(Err(why)) if ledger::trouble(&why) == Trouble::Full => Err(self.roll_back(why)),
            Ok(Err(why)) => Err(Undone::Unsure(why.to_string())),
            Err(why) => Err(Undone::Unsure(why.to_string())),
        }
    }

    fn roll_back(&self, why: rusqlite::Error) -> Undone {
        // After some errors SQLite has done it by itself.
        if self.connection.is_autocommit() {
            return Undone::RolledBack(why);
        }
        match self.connection.execute_batch("ROLLBACK") {
            Ok(()) => Undone::RolledBack(why),
            Err(worse) => Undone::Unsure(format!("{why}; and cannot roll back: {worse}")),
        }
    }

    fn task(&mut self, task: Task) -> Result<usize, StoreError> {
        if let Some(refusal) = self.desk.refusal() {
            return Err(refusal);
        }
        let done = self.begin().map_err(Undone::RolledBack).and_then(|()| {
            let done = task(&self.connection).map_err(|why| self.roll_back(why))?;
            self.end()?;
            Ok(done)
        });
        done.map_err(|undone| match undone {
            Undone::RolledBack(why) => {
                if ledger::trouble(&why) == Trouble::Final {
                    self.desk.fail(&format!("ledger: {why}"));
                }
                ledger::failure(&why)
            }
            Undone::Unsure(why) => {
                self.desk.fail(&format!("cannot commit: {why}"));
                StoreError::Unknown(why)
            }
        })
    }

    /// Move the write-ahead log into the ledger when it has grown.
    fn checkpoint(&mut self) {
        let frames = self.log_frames.load(Ordering::Relaxed);
        if frames < self.checkpoint_frames || self.desk.failed().is_some() {
            return;
        }
        // Wait a moment for readers, so that the log starts anew; readers are short.
        let moved = self
            .connection
            .busy_timeout(Duration::from_millis(100))
            .and_then(|()| self.connection.wal_checkpoint_v2(Some(c"main"), CheckpointMode::RESTART))
            .and_then(|_| self.connection.busy_timeout(Duration::from_secs(5)));
        match moved {
            Ok(()) => {
                self.log_frames.store(0, Ordering::Relaxed);
                self.checkpoint_frames = self.checkpoint_first;
            }
            Err(why) if matches!(ledger::trouble(&why), Trouble::Busy | Trouble::Full) => {
                tracing::warn!(%why, frames, "the write-ahead log cannot shrink: a reader holds it, or the disk is full");
                self.checkpoint_frames = frames + self.checkpoint_first / 4 + 1;
            }
            Err(why) => self.desk.fail(&format!("cannot move the write-ahead log into the ledger: {why}")),
        }
    }
}

fn keeps(batch: &Batch) -> bool {
    batch.ops.iter().any(|op| matches!(op, Op::KeepContent { .. }))
}

/// Octets of a batch, about.
fn weight(batch: &Batch) -> usize {
    let ops = batch.ops.iter().map(|op| match op {
        Op::PutLedger { ledger, .. } => ledger.len(),
        Op::Remember { value, .. } => value.len(),
        Op::Emit { data, .. } => data.len(),
        _ => 0,
    });
    ops.sum::<usize>() + 64 * (batch.ops.len() + batch.need.len())
}
