//! The store in one folder.
//!
//! Owns: the folder, its lock, and what joins the content log to the ledger. Never knows: what an MM is about.
//!
//! ```text
//! lock            held while the store is open
//! journal         what the ledger does not have for certain yet
//! store.db        the ledger, with its write-ahead log beside it
//! body/           the content log
//! ```
//!
//! A crash leaves what was committed. Opening puts the journal into the ledger and reads its table of segments, nothing
//! else, however much waits.

use crate::backup::Copied;
use crate::committer::Committer;
use crate::content::{FileExtent, Log, Recent, Writer};
use crate::desk::{Ahead, Desk};
use crate::faults::Disk;
use crate::journal::Journal;
use crate::ledger::{self, Readers};
use crate::options::{OpenError, Options};
use mms::{MmId, Timestamp};
use relay::store::{
    Batch, ContentRef, ContentWriter, Done, Entry, Health, Maintained, QueueHead, QueueId, Store, StoreError,
    StoredLedger, TagKind, Topic,
};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Keys forgotten in one transaction.
const FORGET_AT_ONCE: usize = 512;

/// A store in a folder of the local disk. Dropping it finishes what is queued.
///
/// The folder is locked until the store, its content writers and its [`FileExtent`]s are all gone.
pub struct Embedded {
    folder: PathBuf,
    log: Arc<Log>,
    readers: Readers,
    desk: Arc<Desk>,
    committer: Option<JoinHandle<()>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Open the store in `folder`; make one if there is none.
    ///
    /// # Errors
    /// See [`OpenError`]: each says what to do.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let fresh = !folder.exists();
        let lock = Arc::new(lock(folder)?);
        let disk = Disk {
            flush_delay: options.flush_delay,
            #[cfg(debug_assertions)]
            faults: options.faults.clone(),
        };
        let path = folder.join("store.db");
        let beside = folder.join("journal");
        let (mut journal, recorded) = Journal::open(&beside, options.journal_size, disk.clone())
            .map_err(|why| OpenError::Io { path: beside, doing: "open the journal", why })?;
        let opened = ledger::open(&path, &recorded)?;
        drop(recorded);
        journal.rewind(opened.run, opened.sequence);
        let body = folder.join("body");
        let log = Arc::new(Log::open(&body, lock, &options, disk.clone(), opened.run, &opened.segments)?);
        log.owners.change(opened.owners);
        // The names of what was just made, the folder's own included.
        let io = |why| OpenError::Io { path: folder.to_owned(), doing: "flush the folder", why };
        disk.sync_folder(folder).map_err(io)?;
        if fresh && let Some(parent) = folder.canonicalize().map_err(io)?.parent() {
            disk.sync_folder(parent).map_err(io)?;
        }
        let desk = Arc::new(Desk::default());
        let committer = Committer::new(desk.clone(), log.clone(), opened.connection, journal, disk, options)
            .map_err(|why| OpenError::Ledger { path: path.clone(), why })?;
        let thread = std::thread::Builder::new().name("committer".into()).spawn(|| committer.run());
        let thread = thread.map_err(|why| OpenError::Io {
            path: folder.to_owned(),
            doing: "start a thread for",
            why,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            log,
            readers: Readers::new(path),
            desk,
            committer: Some(thread),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A content from `offset` on as parts of files, in order, for `sendfile`. While they are held their octets stay where
    /// they are, even when the content is dropped. Their checksums were right, now or lately.
    ///
    /// # Errors
    /// `Corrupt` when the content is not there, or not what it was.
    pub fn extents(&self, content: &ContentRef, offset: u64) -> Result<Vec<FileExtent>, StoreError> {
        self.log.extents(content, offset)
    }

    /// A content that came lately, if it is still in memory. For one that is not, ask for its [`Embedded::extents`] or read
    /// it.
    pub fn recent(&self, content: &ContentRef) -> Option<Recent> {
        self.log.recent(content)
    }

    /// Copy the store as it is now into the folder `to`, which must not be there yet, while others go on using it. Told
    /// (octets of content copied, octets in all) as it goes on; it says whether to go on. The copy is a store of its own. May take minutes.
    ///
    /// Meanwhile dead room in the content log is not used again, so the log grows a little faster.
    ///
    /// # Errors
    /// `Unavailable` in words that name the file. Nothing is left under the name `to` then.
    pub fn backup(&self, to: &Path, tell: &mut dyn FnMut(u64, u64) -> bool) -> Result<Copied, StoreError> {
        let _held = self.log.hold();
        // After this everything that was reported durable is where a reader sees it.
        self.desk.run(|_| Ok(0))?;
        crate::backup::copy(&self.readers, &self.log, to, tell)
    }

    /// What SQLite finds wrong with the ledger file, one line each; at most a hundred. Reads all of it.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn check_ledger(&self) -> Result<Vec<String>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(ledger::check)
    }

    fn refuse_if_failed(&self) -> Result<(), StoreError> {
        self.desk.refusal().map_or(Ok(()), Err)
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |doing, why| OpenError::Io { path: folder.to_owned(), doing, why };
    fs::create_dir_all(folder).map_err(|why| io("create the folder", why))?;
    let file = File::options().write(true).create(true).truncate(false).open(folder.join("lock"));
    let file = file.map_err(|why| io("write to the folder", why))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(why)) => Err(io("lock the folder", why)),
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.readers.close(); // so that the committer closes last, and tidies up
        self.desk.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!(folder = %self.folder.display(), "the committer ended badly");
        }
    }
}

impl Store for Embedded {
    fn content_writer(&self, size_hint: Option<u64>) -> Result<Box<dyn ContentWriter>, StoreError> {
        self.refuse_if_failed()?;
        if self.log.is_low() {
            return Err(self.log.full());
        }
        Ok(Box::new(Writer::new(self.log.clone(), size_hint, self.desk.clone())))
    }

    fn read_content(&self, content: &ContentRef, offset: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        self.log.read(content, offset, into)
    }

    fn commit(&self, batch: Arc<Batch>, done: Done) {
        self.desk.commit(batch, done);
    }

    fn ledger(&self, id: MmId) -> Result<Option<StoredLedger>, StoreError> {
        self.desk.settle(|ahead| ahead.has_mm(id))?;
        self.readers.with(|connection| ledger::ledger(connection, id))
    }

    fn once(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.desk.settle(|ahead| ahead.has_word(key))?;
        self.readers.with(|connection| ledger::once(connection, key))
    }

    fn queues(&self) -> Result<Vec<QueueHead>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(ledger::queues)
    }

    fn entries(&self, queue: &QueueId, after: Option<&Entry>, max: usize) -> Result<Vec<Entry>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(|connection| ledger::entries(connection, queue, after, max))
    }

    fn depth(&self, queue: &QueueId, max: u64) -> Result<u64, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(|connection| ledger::depth(connection, queue, max))
    }

    fn wakes(
        &self,
        after: Option<(Timestamp, MmId)>,
        max: usize,
    ) -> Result<Vec<(Timestamp, MmId)>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(|connection| ledger::wakes(connection, after, max))
    }

    fn ledgers(&self, after: Option<MmId>, newest_first: bool, max: usize) -> Result<Vec<MmId>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(|connection| ledger::ledgers(connection, after, newest_first, max))
    }

    fn tagged(
        &self,
        kind: TagKind,
        value: Option<&str>,
        after: Option<&(String, MmId)>,
        max: usize,
    ) -> Result<Vec<(String, MmId)>, StoreError> {
        self.desk.settle(|ahead| match value {
            Some(value) => ahead.has_word(value.as_bytes()),
            None => ahead.has_any(),
        })?;
        self.readers.with(|connection| ledger::tagged(connection, kind, value, after, max))
    }

    fn drain(&self, topic: Topic, after: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.desk.settle(Ahead::has_any)?;
        self.readers.with(|connection| ledger::drain(connection, topic, after, max))
    }

    fn trim(&self, topic: Topic, up_to: u64) -> Result<(), StoreError> {
        self.desk.run(move |connection| ledger::trim(connection, topic, up_to).map(|()| 0)).map(drop)
    }

    fn maintain(&self, now: Timestamp, budget: Duration) -> Result<Maintained, StoreError> {
        self.refuse_if_failed()?;
        let budget = Budget::new(budget);
        let mut maintained = Maintained::default();
        // Each kind of work gets its turn, however small the budget; what does not fit is left for the next call.
        loop {
            let forgotten =
                self.desk.run(move |connection| ledger::forget_keys(connection, now, FORGET_AT_ONCE))?;
            maintained.forgotten += forgotten as u64;
            if forgotten < FORGET_AT_ONCE {
                break;
            }
            if budget.is_spent() {
                maintained.more = true;
                break;
            }
        }
        let mut removed = Vec::new();
        while let Some((id, freed)) = self.log.remove_one()? {
            removed.push(id);
            maintained.freed += freed;
            if budget.is_spent() {
                maintained.more = true;
                break;
            }
        }
        if !removed.is_empty() {
            self.desk.run(move |connection| ledger::forget_segments(connection, &removed).map(|()| 0))?;
        }
        let mut half_dead = self.log.half_dead();
        while let Some(segment) = half_dead.pop() {
            let living = || {
                self.desk.settle(Ahead::has_any)?;
                self.readers.with(|connection| ledger::extents(connection, segment.id))
            };
            maintained.freed += self.log.punch(&segment, living)?;
            if budget.is_spent() && !half_dead.is_empty() {
                maintained.more = true;
                break;
            }
        }
        self.log.close_idle();
        Ok(maintained)
    }

    fn stored_by(&self, owner: &str) -> u64 {
        self.log.owners.of(owner)
    }

    fn health(&self) -> Health {
        let (content_live, content_stored) = self.log.octets();
        let log_size = match fs::metadata(self.folder.join("store.db-wal")) {
            Ok(file) => file.len(),
            Err(_) => 0, // there is none before the first commit
        };
        Health {
            failed: self.desk.failed().map(str::to_owned),
            disk_free: self.log.free(),
            content_live,
            content_stored,
            log_size,
        }
    }
}

/// How long housekeeping may go on.
struct Budget {
    since: Instant,
    span: Duration,
}

impl Budget {
    #[expect(
        clippy::disallowed_methods,
        reason = "measures our own work; nothing that is stored depends on it"
    )]
    fn new(span: Duration) -> Self {
        Self { since: Instant::now(), span }
    }

    fn is_spent(&self) -> bool {
        self.since.elapsed() >= self.span
    }
}
