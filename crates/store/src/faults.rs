//! The one door through which the cellar touches files, so that tests can make any touch fail.
//!
//! Owns: [`Disk`], how much slower than it is the disk shall seem, and, in debug builds, [`Faults`]. Never knows: what the octets mean.
//!
//! SQLite has its own door; only its commits are announced here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

#[cfg(debug_assertions)]
use std::sync::Arc;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOp {
    /// Create or open a segment for writing.
    Create,
    /// Allocate a segment's room.
    Allocate,
    /// Write a record.
    Write,
    /// Make a segment durable.
    Sync,
    /// Make the folder of segments durable.
    SyncFolder,
    /// Give room back.
    Punch,
    /// Remove a segment.
    Remove,
    /// Write a group of batches to the journal, and make it durable.
    Commit,
    /// Commit a transaction of the ledger, with or without a flush.
    Settle,
}

/// How it is to fail.
#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With this error number, undone.
    Errno(i32),
    /// With this error number, but done in truth (for a write: done in half).
    Afterwards(i32),
}

/// Asked before every operation.
#[cfg(debug_assertions)]
pub trait Faults: Send + Sync + std::fmt::Debug {
    /// `None`: let it be done.
    fn before(&self, op: FileOp) -> Option<Fault>;
    /// A file of this name may have come into being.
    fn created(&self, path: &Path) {
        let _ = path;
    }
    /// So many octets are about to be written to a file; they are not durable yet.
    fn writes(&self, file: &File, offset: u64, len: usize) {
        let _ = (file, offset, len);
    }
    /// What was written to a file, or into a folder, is durable now.
    fn synced(&self, file: &File) {
        let _ = file;
    }
    /// The ledger is durable now, as far as it goes.
    fn ledger_synced(&self) {}
}

/// Does what is asked, or what a fault makes of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// See [`Options::flush_delay`](crate::Options::flush_delay).
    pub(crate) flush_delay: Duration,
    #[cfg(debug_assertions)]
    pub(crate) faults: Option<Arc<dyn Faults>>,
}

impl Disk {
    /// Do `act`, unless a fault is due.
    #[cfg(debug_assertions)]
    pub(crate) fn run<T>(&self, op: FileOp, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.lag(op);
        match self.faults.as_ref().and_then(|faults| faults.before(op)) {
            None => act(),
            Some(Fault::Errno(n)) => Err(io::Error::from_raw_os_error(n)),
            Some(Fault::Afterwards(n)) => {
                let _ = act();
                Err(io::Error::from_raw_os_error(n))
            }
        }
    }

    /// Do `act`.
    #[cfg(not(debug_assertions))]
    pub(crate) fn run<T>(&self, op: FileOp, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.lag(op);
        act()
    }

    /// Seem to be slower than it is, where something is made durable.
    fn lag(&self, op: FileOp) {
        if self.flush_delay.is_zero() || !matches!(op, FileOp::Sync | FileOp::Commit) {
            return;
        }
        let span = rustix::thread::Timespec {
            tv_sec: i64::try_from(self.flush_delay.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(self.flush_delay.subsec_nanos()),
        };
        // Woken early, it is a little faster once.
        let _ = rustix::thread::nanosleep(&span);
    }

    /// Tell who wants to know.
    #[cfg(debug_assertions)]
    fn tell(&self, of: impl FnOnce(&dyn Faults)) {
        if let Some(faults) = &self.faults {
            of(&**faults);
        }
    }

    /// What was written to `file` is durable, by other means than [`Disk::sync`].
    pub(crate) fn note_synced(&self, file: &File) {
        #[cfg(debug_assertions)]
        self.tell(|faults| faults.synced(file));
        let _ = file;
    }

    /// The ledger is durable.
    pub(crate) fn note_ledger_synced(&self) {
        #[cfg(debug_assertions)]
        self.tell(|faults| faults.ledger_synced());
    }

    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        #[cfg(debug_assertions)]
        self.tell(|faults| faults.created(path));
        self.run(FileOp::Create, || {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        })
    }

    /// Make `file` `size` octets long, with room on the disk for all of them where the file system can promise that.
    pub(crate) fn allocate(&self, file: &File, size: u64) -> io::Result<()> {
        self.run(FileOp::Allocate, || {
            file.set_len(size)?;
            match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
                result => Ok(result?),
            }
        })
    }

    pub(crate) fn write(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(debug_assertions)]
        self.tell(|faults| faults.writes(file, offset, octets.len()));
        #[cfg(debug_assertions)]
        match self.faults.as_ref().and_then(|faults| faults.before(FileOp::Write)) {
            None => {}
            Some(Fault::Errno(n)) => return Err(io::Error::from_raw_os_error(n)),
            Some(Fault::Afterwards(n)) => {
                file.write_all_at(&octets[..octets.len() / 2], offset)?;
                return Err(io::Error::from_raw_os_error(n));
            }
        }
        file.write_all_at(octets, offset)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.run(FileOp::Sync, || Ok(rustix::fs::fdatasync(file)?))?;
        self.note_synced(file);
        Ok(())
    }

    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let file = self.run(FileOp::SyncFolder, || {
            let file = File::open(folder)?;
            file.sync_all().map(|()| file)
        })?;
        self.note_synced(&file);
        Ok(())
    }

    pub(crate) fn punch(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.run(FileOp::Punch, || Ok(rustix::fs::fallocate(file, flags, offset, len)?))
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(FileOp::Remove, || std::fs::remove_file(path))
    }

    /// Octets that this user may still write to the disk that holds `path`.
    pub(crate) fn free(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// No room, as opposed to trouble.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
