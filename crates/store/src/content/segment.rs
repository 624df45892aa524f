//! One segment of the content log: a file, and who needs it.
//!
//! Owns: the file, counts of what lives in it, and the rule when nobody needs it. Never knows: which MMs they are.
//!
//! A use of a segment is a clone of its `Arc`: writers, readers and the committer hold one while they work, and the
//! log holds one. So `Arc::strong_count` tells whether anybody else is at it.

use super::record::{HEADER, Header};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    /// Never used before, nor again. 0: from an earlier run and without living content.
    pub(crate) generation: u64,
    /// From an earlier run: nothing in it waits to be kept.
    pub(crate) old: bool,
    path: PathBuf,
    file: RwLock<Option<Arc<File>>>,
    /// Octets of records that MMs keep, as of the last durable commit. Only the committer changes it.
    pub(crate) live: AtomicU64,
    /// Octets that the file takes on the disk.
    pub(crate) stored: AtomicU64,
    /// Records written, and how many of them were when the last flush began.
    written: AtomicU64,
    flushed: AtomicU64,
    /// Contents that a writer finished. Those whose reference nobody holds any more cannot be kept any more.
    pending: Mutex<Vec<Weak<[u8]>>>,
    /// Held for writing while holes are punched; then it says at how many living octets that was.
    pub(crate) punched: RwLock<Option<u64>>,
}

/// `00000042.seg`
pub(crate) fn file_name(id: u32) -> String {
    format!("{id:08}.seg")
}

impl Segment {
    pub(crate) fn new(folder: &Path, id: u32, generation: u64, file: Arc<File>, size: u64) -> Self {
        let segment = Self::old(folder, id, generation, 0, size);
        Self { old: false, file: RwLock::new(Some(file)), ..segment }
    }

    /// A segment from an earlier run: sealed. Its file is opened when somebody reads it.
    pub(crate) fn old(folder: &Path, id: u32, generation: u64, live: u64, stored: u64) -> Self {
        Self {
            id,
            generation,
            old: true,
            path: folder.join(file_name(id)),
            file: RwLock::new(None),
            live: AtomicU64::new(live),
            stored: AtomicU64::new(stored),
            written: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            pending: Mutex::new(Vec::new()),
            punched: RwLock::new(None),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file; opened when it is not.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(file.clone());
        }
        let mut slot = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*slot {
            return Ok(file.clone());
        }
        let file = Arc::new(File::options().read(true).write(true).open(&self.path)?);
        *slot = Some(file.clone());
        Ok(file)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Close the file; the next reader opens it again.
    pub(crate) fn close(&self) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A record was written.
    pub(crate) fn wrote(&self) {
        self.written.fetch_add(1, Ordering::Release);
    }

    /// Flush, unless nothing was written since the last flush.
    pub(crate) fn flush(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let written = self.written.load(Ordering::Acquire);
        if written == self.flushed.load(Ordering::Relaxed) {
            return Ok(());
        }
        sync(&*self.file()?)?;
        self.flushed.store(written, Ordering::Relaxed);
        Ok(())
    }

    /// A content was finished here. It may be kept as long as somebody holds `locator`.
    pub(crate) fn expect(&self, locator: &Arc<[u8]>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() == pending.capacity() {
            pending.retain(|one| one.strong_count() > 0); // before it would grow: so the work stays in proportion
            let room = pending.len().max(16);
            pending.reserve(room);
        }
        pending.push(Arc::downgrade(locator));
    }

    /// Whether a finished content could still be kept here.
    pub(crate) fn expects(&self) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.iter().any(|one| one.strong_count() > 0)
    }

    /// Whether nothing lives here and nothing can come to live here; `holders` are those `Arc`s that do not count.
    pub(crate) fn is_dead(self: &Arc<Self>, holders: usize) -> bool {
        self.live.load(Ordering::Acquire) == 0 && Arc::strong_count(self) <= holders && !self.expects()
    }

    /// Ask the file how much of the disk it takes.
    pub(crate) fn measure(&self) -> io::Result<()> {
        let octets = self.file()?.metadata()?.blocks() * 512;
        self.stored.store(octets, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the file has this header at this offset.
    pub(crate) fn has(file: &File, header: Header, offset: u64) -> io::Result<Option<super::record::Check>> {
        let mut found = [0; HEADER];
        match file.read_exact_at(&mut found, offset) {
            Ok(()) => Ok(header.recognise(&found)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}
