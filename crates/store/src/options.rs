//! What an operator may choose about the cellar, and why it may refuse to open.
//!
//! Owns: [`Options`], [`OpenError`]. Never knows: what is stored.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(debug_assertions)]
use crate::faults::Faults;
#[cfg(debug_assertions)]
use std::sync::Arc;

/// The knobs of [`Embedded`](crate::Embedded). The defaults suit one machine with a local disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Octets of one segment file of the content log, allocated at once. At least 64 KiB.
    pub segment_size: u64,
    /// Octets that a writer of content collects before it writes a record: its memory, at most. A content of up to
    /// this size costs one write. Never more than a quarter of a segment.
    pub chunk_size: usize,
    /// With fewer octets than this free on the disk, new content is refused with `Full`; all else goes on.
    pub disk_free_min: u64,
    /// Batches in one durable transaction, at most.
    pub group_batches: usize,
    /// Octets of batches in one durable transaction, at most (one batch may be bigger).
    pub group_octets: usize,
    /// How long a group may wait for more batches. Used only when several writers are at work; alone, nobody waits.
    pub window: Duration,
    /// Dead segments kept for use again; what is beyond them is removed by `maintain`.
    pub recycled_max: usize,
    /// Octets of the journal. It is written over from the beginning when it is full and the ledger is durable so far.
    pub journal_size: u64,
    /// Batches in one transaction of the ledger, which follows behind the journal.
    pub settle_batches: usize,
    /// Octets of the ledger's write-ahead log from which on the committer moves them into the ledger.
    pub checkpoint_size: u64,
    /// Segment files kept open, at most, besides those in use.
    pub open_files_max: usize,
    /// For measuring only: each flush of content and each commit of the ledger takes so much longer, as on a slower disk.
    pub flush_delay: Duration,
    /// For tests: asked before every operation on a file and before every commit.
    #[cfg(debug_assertions)]
    pub faults: Option<Arc<dyn Faults>>,
    /// For tests: abort the process when this many batches are durable, before anybody hears of the last of them.
    #[cfg(debug_assertions)]
    pub abort_before_done: Option<u64>,
    /// For tests: the ledger may not grow beyond this many pages.
    #[cfg(debug_assertions)]
    pub ledger_pages_max: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            chunk_size: 256 << 10,
            disk_free_min: 256 << 20,
            group_batches: 512,
            group_octets: 16 << 20,
            window: Duration::from_micros(300),
            recycled_max: 4,
            journal_size: 16 << 20,
            settle_batches: 1024,
            checkpoint_size: 64 << 20,
            open_files_max: 256,
            flush_delay: Duration::ZERO,
            #[cfg(debug_assertions)]
            faults: None,
            #[cfg(debug_assertions)]
            abort_before_done: None,
            #[cfg(debug_assertions)]
            ledger_pages_max: None,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let bad = |why: &'static str| Err(OpenError::Options(why));
        if !(64 << 10..=1 << 32).contains(&self.segment_size) {
            return bad("segment_size must lie between 64 KiB and 4 GiB");
        }
        if self.chunk_size < 1024 || self.chunk_size as u64 > self.segment_size / 4 {
            return bad("chunk_size must lie between 1 KiB and a quarter of segment_size");
        }
        if self.group_batches == 0 {
            return bad("group_batches must be at least 1");
        }
        Ok(())
    }
}

/// Why a store does not open.
#[derive(Debug)]
pub enum OpenError {
    /// The options contradict themselves.
    Options(&'static str),
    /// A file or folder cannot be used.
    Io {
        /// Which.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// Another process (or another part of this one) has the folder open.
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The SQLite in this program has a bug that can damage a ledger.
    Library {
        /// Its version.
        found: String,
    },
    /// The file is a database, but not ours.
    NotOurs {
        /// The file.
        path: PathBuf,
        /// The application id in it.
        application: i32,
    },
    /// A later version of this program wrote the ledger.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The last schema that this program knows.
        known: i64,
    },
    /// The journal does not go with the ledger.
    Journal {
        /// The ledger.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The ledger cannot be read or brought up to date.
    Ledger {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: rusqlite::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => write!(f, "store options: {why}"),
            Self::Io { path, doing, why } => write!(
                f,
                "cannot {doing} {}: {why}; check that it exists, that this user may write to it, and the disk",
                path.display()
            ),
            Self::Locked { folder } => write!(
                f,
                "the store in {} is in use; stop the process that has it open, or name another folder",
                folder.display()
            ),
            Self::Library { found } => write!(
                f,
                "SQLite {found} can damage a write-ahead log; 3.51.3 or later is needed: build with the bundled one"
            ),
            Self::NotOurs { path, application } => write!(
                f,
                "{} is a database of another program (application id {application:#x}, expected {:#x}); name another \
                 folder",
                path.display(),
                crate::ledger::APPLICATION
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "{} was written by a later version (schema {found}, this one knows up to {known}); run that version, \
                 or restore a backup from before the upgrade",
                path.display()
            ),
            Self::Journal { path, why } => write!(
                f,
                "the journal beside {} does not go with it: {why}; the files of a data folder belong together: restore all \
                 of them from one backup",
                path.display()
            ),
            Self::Ledger { path, why } => write!(
                f,
                "cannot read the ledger {}: {why}; keep a copy of the folder, then check the disk, and restore a backup \
                 if `sqlite3 {} 'PRAGMA integrity_check'` complains",
                path.display(),
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { why, .. } => Some(why),
            Self::Ledger { why, .. } => Some(why),
            _ => None,
        }
    }
}
