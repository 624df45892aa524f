//! The one thread that commits.
//!
//! Owns: the ledger's writing connection, the order of batches, what one durable group is. Never knows: what a batch
//! means to the heart.
//!
//! A group: flush the segments that its content is in, apply its batches to the ledger within a transaction that stays open,
//! write them to the journal and flush it, then every callback. The transaction is committed now and then ("settled"):
//! when nothing else is to be done, when many groups are in it, or when a reader wants to see them.
//!
//! A flush or commit that fails is final: the kernel may have dropped what it could not write and claim success the next
//! time, so nothing is tried again, and from then on everything is refused until a restart reads what the disk truly
//! has. No room is not final: the group is rolled back and the ledger is as before.

use crate::content::{Log, Place};
use crate::desk::{Desk, Job, MANY, Queue, Rest, Task};
use crate::faults::{Disk, FileOp};
use crate::journal::{self, Journal};
use crate::ledger::{self, Broken, Group, Trouble};
use crate::options::Options;
use relay::store::{Batch, Done, Op, Outcome, StoreError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::wal::CheckpointMode;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// With nothing else to do for so long, the committer settles what the journal is ahead.
const IDLE: Duration = Duration::from_millis(40);
/// How long a batch that nobody waits for may wait for company.
const MOMENT: Duration = Duration::from_millis(2);
/// With fewer at work it does not pay to wait for all of them.
const COMPANY_MIN: usize = 4;

/// What a round has to do.
#[derive(Default)]
struct Work {
    group: Vec<(Arc<Batch>, Done)>,
    task: Option<(Task, SyncSender<Result<usize, StoreError>>)>,
    settle: Option<SyncSender<()>>,
    /// Nothing came for a while.
    idle: bool,
    /// Content came whose batch will follow.
    flush: bool,
}

pub(crate) struct Committer {
    desk: Arc<Desk>,
    log: Arc<Log>,
    connection: Connection,
    disk: Disk,
    options: Options,
    journal: Journal,
    /// Queues by name, all of them durable.
    queues: HashMap<Arc<str>, i64>,
    /// Batches in the transaction that is open.
    unsettled: usize,
    /// Each batch in the journal's words, and where it ends.
    words: Vec<u8>,
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
    /// It was rolled back: what kind of trouble, and what to tell.
    RolledBack(Trouble, StoreError),
    /// Nobody can tell.
    Unsure(String),
}

impl Undone {
    fn rolled_back(why: &rusqlite::Error) -> Self {
        Self::RolledBack(ledger::trouble(why), ledger::failure(why))
    }
}

impl Committer {
    pub(crate) fn new(
        desk: Arc<Desk>,
        log: Arc<Log>,
        mut connection: Connection,
        journal: Journal,
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
        // The journal is what is flushed; the ledger is made durable before the journal is written over.
        connection.pragma_update(None, "synchronous", "normal")?;
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
            journal,
            queues: HashMap::new(),
            unsettled: 0,
            words: Vec::new(),
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
        if self.desk.failed().is_some() || !self.settle_for_good() {
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

    /// One group, one task, or both in this order. False when there will be no more.
    fn round(&mut self) -> bool {
        let Some(work) = self.take() else { return false };
        if work.flush
            && self.desk.failed().is_none()
            && let Err(why) = self.log.flush_active()
        {
            self.desk.fail(&format!("cannot flush content: {why}"));
        }
        if !work.group.is_empty() {
            self.group(work.group);
        }
        if work.idle || work.settle.is_some() || self.unsettled >= self.options.settle_batches {
            self.settle();
        }
        if let Some(answer) = work.settle {
            let _ = answer.send(());
        }
        if let Some((task, answer)) = work.task {
            let _ = answer.send(self.task(task));
        }
        true
    }

    /// What waits: some batches, then at most one of the other kinds. `None` when the desk is closed and empty.
    fn take(&mut self) -> Option<Work> {
        let desk = self.desk.clone();
        let mut queue = desk.lock();
        if queue.jobs.is_empty() && self.unsettled == 0 {
            queue = self.rest(&desk, queue, Rest::Anything, None, |queue| {
                !queue.jobs.is_empty() || queue.flush || queue.closed
            });
        }
        let mut patience = IDLE.as_millis() / MOMENT.as_millis();
        while !queue.is_worth_it() && patience > 0 {
            queue = self.rest(&desk, queue, Rest::Urgent, Some(MOMENT), Queue::is_worth_it);
            if !queue.jobs.is_empty() {
                break; // what is not urgent has waited as well
            }
            patience -= 1;
        }
        if std::mem::take(&mut queue.flush) && queue.urgent == 0 && queue.jobs.len() < MANY && !queue.closed {
            return Some(Work { flush: true, ..Work::default() });
        }
        if queue.jobs.is_empty() {
            return if queue.closed { None } else { Some(Work { idle: true, ..Work::default() }) };
        }
        // Those who came together last time have just been answered and are about to come again.
        let expected = self.company.min(self.options.group_batches);
        let only_batches = queue.jobs.iter().all(|job| matches!(job, Job::Batch(..)));
        if expected >= COMPANY_MIN
            && queue.jobs.len() < expected
            && only_batches
            && !queue.closed
            && !self.options.window.is_zero()
        {
            queue = self.rest(&desk, queue, Rest::Company(expected), Some(self.options.window), |queue| {
                queue.jobs.len() >= expected
                    || queue.closed
                    || !matches!(queue.jobs.back(), Some(Job::Batch(..)))
            });
        }
        let (mut work, mut octets) = (Work::default(), 0);
        while work.group.len() < self.options.group_batches && octets < self.options.group_octets {
            match queue.pop() {
                Some(Job::Batch(batch, done)) => {
                    octets += weight(&batch);
                    work.group.push((batch, done));
                }
                Some(Job::Task(task, answer)) => return Some(Work { task: Some((task, answer)), ..work }),
                Some(Job::Settle(answer)) => return Some(Work { settle: Some(answer), ..work }),
                None => break,
            }
        }
        Some(work)
    }

    /// Sleep until it is time, or until the span is over.
    fn rest<'a>(
        &self,
        desk: &'a Desk,
        mut queue: MutexGuard<'a, Queue>,
        rest: Rest,
        span: Option<Duration>,
        time: impl Fn(&Queue) -> bool,
    ) -> MutexGuard<'a, Queue> {
        let sleeps = |queue: &mut Queue| {
            let sleeps = !time(queue);
            // Whoever wakes us resets it.
            if sleeps {
                queue.rest = rest;
            }
            sleeps
        };
        queue = match span {
            Some(span) => {
                let slept = desk.arrived.wait_timeout_while(queue, span, sleeps);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
            None => desk.arrived.wait_while(queue, sleeps).unwrap_or_else(PoisonError::into_inner),
        };
        queue.rest = Rest::None;
        queue
    }

    fn group(&mut self, group: Vec<(Arc<Batch>, Done)>) {
        let (batches, dones): (Vec<Arc<Batch>>, Vec<Done>) = group.into_iter().unzip();
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
    fn commit(&mut self, batches: &[Arc<Batch>]) -> Vec<Result<Outcome, StoreError>> {
        let mut results: Vec<Option<Result<Outcome, StoreError>>> = vec![None; batches.len()];
        if batches.iter().any(|batch| keeps(batch)) && self.log.is_low() {
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

    /// A group of several batches did not become durable. If one of them is to blame, the others do not suffer.
    fn recover(
        &mut self,
        undone: Undone,
        batches: &[Arc<Batch>],
        results: &mut [Option<Result<Outcome, StoreError>>],
    ) {
        let (trouble, error) = match undone {
            Undone::RolledBack(trouble, error) => (trouble, error),
            Undone::Unsure(why) => return self.unsure(&why, results),
        };
        match trouble {
            Trouble::Busy => results.iter_mut().for_each(|result| *result = Some(Err(error.clone()))),
            Trouble::Final => self.desk.fail(&error.to_string()),
            Trouble::Full | Trouble::Damaged | Trouble::Request => {
                tracing::warn!(why = %error, batches = batches.len(), "a group was rolled back; one batch at a time");
                for (batch, result) in batches.iter().zip(results) {
                    if self.desk.failed().is_some() {
                        return;
                    }
                    let alone = std::slice::from_mut(result);
                    match self.transact(std::slice::from_ref(batch), alone) {
                        Ok(()) => {}
                        Err(Undone::Unsure(why)) => self.unsure(&why, alone),
                        Err(Undone::RolledBack(Trouble::Final, error)) => self.desk.fail(&error.to_string()),
                        Err(Undone::RolledBack(_, error)) => *result = Some(Err(error)),
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
    fn flush(&self, batches: &[Arc<Batch>]) -> io::Result<()> {
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

    /// One group. Batches that have a result already are passed over; on failure no result is set.
    fn transact(
        &mut self,
        batches: &[Arc<Batch>],
        results: &mut [Option<Result<Outcome, StoreError>>],
    ) -> Result<(), Undone> {
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        let mut ends = Vec::with_capacity(batches.len());
        for batch in batches {
            journal::write(batch, &mut words);
            ends.push(words.len());
        }
        let done = self.transact_as(batches, &words, &ends, results);
        self.words = words;
        done
    }

    fn transact_as(
        &mut self,
        batches: &[Arc<Batch>],
        words: &[u8],
        ends: &[usize],
        results: &mut [Option<Result<Outcome, StoreError>>],
    ) -> Result<(), Undone> {
        if !self.journal.has_room(words.len()) && !self.settle_for_good() {
            return Err(Undone::Unsure("the journal is full".into()));
        }
        self.begin().map_err(|why| Undone::rolled_back(&why))?;
        let mut group = Group::new(&self.connection, Some(&self.log), std::mem::take(&mut self.queues));
        let mut fresh = Vec::with_capacity(batches.len());
        for (index, batch) in batches.iter().enumerate() {
            if results[index].is_some() {
                continue;
            }
            match group.apply(batch) {
                Ok(outcome) => fresh.push((index, Ok(outcome))),
                Err(Broken::Refused(error)) => fresh.push((index, Err(error))),
                Err(Broken::Ledger(why)) => return Err(self.roll_back(&why)),
            }
        }
        let closed = match group.close() {
            Ok(closed) => closed,
            Err(why) => return Err(self.roll_back(&why)),
        };
        let done = |(index, result): &(usize, Result<Outcome, StoreError>)| {
            (*result == Ok(Outcome::Done)).then_some(*index)
        };
        let durable: Vec<usize> = fresh.iter().filter_map(done).collect();
        if !durable.is_empty() {
            let begin = |index: usize| if index == 0 { 0 } else { ends[index - 1] };
            let record: Vec<&[u8]> =
                durable.iter().map(|index| &words[begin(*index)..ends[*index]]).collect();
            self.journal.append(&record).map_err(|why| Undone::Unsure(why.to_string()))?;
        }
        self.release().map_err(|why| Undone::Unsure(why.to_string()))?;
        self.unsettled += durable.len();
        self.desk.note(durable.iter().map(|index| &*batches[*index]));
        self.queues = closed.committed(&self.log);
        for (index, result) in fresh {
            results[index] = Some(result);
        }
        Ok(())
    }

    /// A group begins, in the transaction that is open, or in a new one.
    fn begin(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        self.connection.prepare_cached("SAVEPOINT batches")?.execute([]).map(drop)
    }

    /// The group is part of the transaction.
    fn release(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("RELEASE batches")?.execute([]).map(drop)
    }

    /// Forget what the group did.
    fn undo(&mut self) -> Result<(), Undone> {
        if !self.connection.is_autocommit() {
            let undone = self.connection.execute_batch("ROLLBACK TO batches; RELEASE batches");
            return undone.map_err(|worse| Undone::Unsure(format!("cannot roll back: {worse}")));
        }
        // After some errors SQLite has thrown away the whole transaction; the journal still has the rest of it.
        self.repeat().map_err(|why| Undone::Unsure(format!("the journal cannot be read again: {why}")))
    }

    fn roll_back(&mut self, why: &rusqlite::Error) -> Undone {
        match self.undo() {
            Ok(()) => Undone::rolled_back(why),
            Err(undone) => undone,
        }
    }

    /// Put into a new transaction what the journal has and the ledger not.
    fn repeat(&mut self) -> Result<(), String> {
        let recorded = self.journal.written().map_err(|why| why.to_string())?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|why| why.to_string())?;
        match ledger::repeat(&self.connection, &recorded.groups) {
            Ok(last) if last == self.journal.sequence() => Ok(()),
            Ok(last) => Err(format!("it ends at {last} instead of {}", self.journal.sequence())),
            Err(Broken::Ledger(why)) => Err(why.to_string()),
            Err(Broken::Refused(why)) => Err(why.to_string()),
        }
    }

    /// Commit the transaction that is open: the ledger has what the journal has. Whether it did.
    fn settle(&mut self) -> bool {
        if self.connection.is_autocommit() {
            return true;
        }
        if self.desk.failed().is_some() {
            return false;
        }
        let sequence = self.journal.sequence();
        let committed = self.disk.run(FileOp::Settle, || {
            Ok(ledger::follow(&self.connection, sequence)
                .and_then(|()| self.connection.execute_batch("COMMIT")))
        });
        match committed {
            Ok(Ok(())) => {
                self.unsettled = 0;
                self.desk.settled();
                self.checkpoint();
                true
            }
            // Everything is in the journal, and will be in the ledger after the next start.
            Ok(Err(why)) => {
                self.desk.fail(&format!("cannot move the journal into the ledger: {why}"));
                false
            }
            Err(why) => {
                self.desk.fail(&format!("cannot move the journal into the ledger: {why}"));
                false
            }
        }
    }

    /// Settle, and make the ledger durable, so that the journal may be written over. Whether it is.
    fn settle_for_good(&mut self) -> bool {
        self.settle() && self.task(Box::new(|_| Ok(0))).is_ok()
    }

    /// A transaction of its own, durable by itself. What was settled before it is durable with it.
    fn task(&mut self, task: Task) -> Result<usize, StoreError> {
        if let Some(refusal) = self.desk.refusal() {
            return Err(refusal);
        }
        if !self.settle() {
            return Err(StoreError::Unavailable("the ledger does not follow the journal".into()));
        }
        let sequence = self.journal.sequence();
        let act = || {
            self.connection.pragma_update(None, "synchronous", "full")?;
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let done = task(&self.connection)?;
            ledger::mark(&self.connection)?;
            Ok::<_, rusqlite::Error>(done)
        };
        let done = act().map_err(|why| {
            if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
                return (Trouble::Final, ledger::failure(&why));
            }
            (ledger::trouble(&why), ledger::failure(&why))
        });
        let done = done.and_then(|done| {
            let committed = self.disk.run(FileOp::Settle, || Ok(self.connection.execute_batch("COMMIT")));
            match committed {
                Ok(Ok(())) => Ok(done),
                Ok(Err(why)) => Err((Trouble::Final, StoreError::Unknown(why.to_string()))),
                Err(why) => Err((Trouble::Final, StoreError::Unknown(why.to_string()))),
            }
        });
        match done {
            Ok(done) => {
                self.disk.note_ledger_synced();
                if let Err(why) = self.connection.pragma_update(None, "synchronous", "normal") {
                    tracing::warn!(%why, "the ledger goes on flushing by itself");
                }
                self.journal.rewind(self.journal.run(), sequence);
                self.checkpoint();
                Ok(done)
            }
            Err((Trouble::Final, error)) => {
                self.desk.fail(&format!("cannot commit: {error}"));
                Err(error)
            }
            Err((_, error)) => {
                let _ = self.connection.pragma_update(None, "synchronous", "normal");
                Err(error)
            }
        }
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
