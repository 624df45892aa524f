//! The segments together: reserving room, taking dead segments into use again, giving room back.
//!
//! Owns: the map of segments and the active one. Never knows: what is written into the room.
//!
//! Locks are taken in this order: active, segments, one segment's own. Files are touched under none of the first two,
//! except that those who need room wait while a segment is made that could not be made ahead of need.

use super::owners::Owners;
use super::place::Place;
use super::reader::Verified;
use super::recent::Shelf;
use super::record::HEADER;
use super::segment::{Segment, file_name};

use crate::faults::{Disk, is_full};
use crate::options::{OpenError, Options};
use relay::store::{ContentRef, StoreError};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// What the ledger says of a segment of an earlier run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldSegment {
    pub(crate) id: u32,
    pub(crate) generation: u64,
    pub(crate) live: u64,
}

#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// The lock of the store: as long as a writer or a reader has us, nobody else may use its segments again.
    pub(super) lock: Arc<File>,
    pub(super) disk: Disk,
    segment_size: u64,
    pub(super) piece: usize,
    disk_free_min: u64,
    recycled_max: usize,
    open_files_max: usize,
    active: Mutex<Active>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    next_id: AtomicU32,
    next_generation: AtomicU64,
    next_content: AtomicU64,
    low: AtomicBool,
    /// Octets that may be reserved before the disk is asked again how much is free.
    unasked: AtomicU64,
    pub(super) verified: Verified,
    pub(super) shelf: Shelf,
    /// How many want dead room to stay as it is.
    holds: AtomicUsize,
    /// In whose name content lives.
    pub(crate) owners: Owners,
}

/// As long as this is there no dead room is used again, given back or removed.
pub(crate) struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Active {
    segment: Option<Arc<Segment>>,
    /// Where the next record goes.
    next: u64,
    /// The segment after this one.
    spare: Option<Arc<Segment>>,
    /// Somebody is making the spare.
    preparing: bool,
}

impl Log {
    /// `run` has never been used before in this folder: it makes generations unique.
    pub(crate) fn open(
        folder: &Path,
        lock: Arc<File>,
        options: &Options,
        disk: Disk,
        run: u64,
        known: &[OldSegment],
    ) -> Result<Self, OpenError> {
        let trouble = |doing, why| OpenError::Io { path: folder.to_owned(), doing, why };
        fs::create_dir_all(folder).map_err(|why| trouble("create the folder", why))?;
        let mut segments = BTreeMap::new();
        for file in fs::read_dir(folder).map_err(|why| trouble("read the folder", why))? {
            let file = file.map_err(|why| trouble("read the folder", why))?;
            let name = file.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|id| id.parse().ok());
            let Some(id) = id.filter(|id| name.to_str() == Some(&file_name(*id))) else {
                tracing::warn!(file = %file.path().display(), "not a segment; left alone");
                continue;
            };
            let stored = file.metadata().map_err(|why| trouble("read the folder", why))?.blocks() * 512;
            // Without a row nothing in it was ever kept.
            let row = known.iter().find(|row| row.id == id);
            let (generation, live) = row.map_or((0, 0), |row| (row.generation, row.live));
            segments.insert(id, Arc::new(Segment::old(folder, id, generation, live, stored)));
        }
        for lost in known.iter().filter(|row| row.live > 0 && !segments.contains_key(&row.id)) {
            tracing::error!(
                segment = %folder.join(file_name(lost.id)).display(),
                octets = lost.live,
                "a segment is missing: the MMs whose content was in it cannot be delivered"
            );
        }
        let next_id = known.iter().map(|row| row.id).chain(segments.keys().copied()).max().unwrap_or(0) + 1;
        Ok(Self {
            folder: folder.to_owned(),
            lock,
            disk,
            segment_size: options.segment_size,
            piece: options.chunk_size,
            disk_free_min: options.disk_free_min,
            recycled_max: options.recycled_max,
            open_files_max: options.open_files_max,
            active: Mutex::default(),
            segments: RwLock::new(segments),
            next_id: AtomicU32::new(next_id),
            next_generation: AtomicU64::new(run << 24),
            next_content: AtomicU64::new(1),
            low: AtomicBool::new(false),
            unasked: AtomicU64::new(0),
            verified: Verified::default(),
            owners: Owners::default(),
            shelf: Shelf::new(SHELF_OCTETS),
            holds: AtomicUsize::new(0),
        })
    }

    pub(super) fn next_content(&self) -> u64 {
        self.next_content.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment, if it is still the one that had this generation.
    pub(crate) fn segment(&self, id: u32, generation: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(&id).filter(|segment| segment.generation == generation).cloned()
    }

    /// Keep dead room as it is. What was found dead before is not named by anything that is read of the ledger later.
    pub(crate) fn hold(&self) -> Held<'_> {
        // Under the lock under which dead segments are looked for: nobody has looked and not yet taken.
        let _segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        self.holds.fetch_add(1, Ordering::SeqCst);
        Held(&self.holds)
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    /// The file of a segment in which something lives, and its name.
    pub(crate) fn file_of(&self, id: u32) -> Result<(Arc<File>, String), StoreError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let name = file_name(id);
        let segment = segments.get(&id).cloned();
        drop(segments);
        let segment = segment.ok_or_else(|| StoreError::Corrupt(format!("the segment {name} is missing")))?;
        Ok((segment.file().map_err(|why| trouble("open a segment", &why))?, name))
    }

    fn all(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Room for `len` octets, for the caller alone.
    pub(super) fn reserve(&self, len: u64) -> Result<(Arc<Segment>, u64), StoreError> {
        let mut active = self.lock();
        let segment = match &active.segment {
            Some(segment) if active.next + len <= self.segment_size => segment.clone(),
            _ => {
                active.segment = None; // sealed: it may be found dead, and be the next one
                let segment = match active.spare.take() {
                    Some(spare) => spare,
                    None => self.next_segment()?,
                };
                active.next = 0;
                active.segment.insert(segment).clone()
            }
        };
        let offset = active.next;
        active.next += len;
        // Whoever passes the middle makes the next segment, so that the others need not wait for it.
        let prepare = active.next > self.segment_size / 2 && active.spare.is_none() && !active.preparing;
        active.preparing |= prepare;
        drop(active);
        if prepare {
            let spare = self.next_segment().ok(); // trouble will come up again when it is needed
            let mut active = self.lock();
            (active.spare, active.preparing) = (spare, false);
        }
        self.ask_disk_after(len);
        Ok((segment, offset))
    }

    /// From now on write elsewhere: this segment has trouble.
    pub(super) fn leave(&self, segment: &Arc<Segment>) {
        let mut active = self.lock();
        if active.segment.as_ref().is_some_and(|active| Arc::ptr_eq(active, segment)) {
            active.segment = None;
        }
    }

    /// A dead segment under a new generation, or a new file.
    fn next_segment(&self) -> Result<Arc<Segment>, StoreError> {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        // Who wants a segment must ask the map, which is locked: a dead one that is taken out of it stays dead.
        let dead = segments.values().find(|segment| !self.is_held() && segment.is_dead(1));
        let dead = dead.map(|segment| segment.id);
        let dead = dead.and_then(|id| segments.remove(&id));
        drop(segments);
        let (id, file, fresh) = match &dead {
            Some(segment) => match segment.file() {
                Ok(file) => (segment.id, file, false),
                Err(why) => {
                    // Unusable and empty: not worth another thought.
                    tracing::warn!(segment = %segment.path().display(), %why, "cannot use a dead segment again");
                    return self.next_segment();
                }
            },
            None => {
                if self.is_low() {
                    return Err(self.full());
                }
                let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                let path = self.folder.join(file_name(id));
                (
                    id,
                    Arc::new(self.disk.create(&path).map_err(|why| trouble("create a segment", &why))?),
                    true,
                )
            }
        };
        let prepared = self.disk.allocate(&file, self.segment_size).and_then(|()| {
            // A file that the folder forgets in a power cut would take its content along.
            if fresh { self.disk.sync_folder(&self.folder) } else { Ok(()) }
        });
        let put = |segment: Arc<Segment>| {
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            segments.insert(id, segment);
        };
        if let Err(why) = prepared {
            match dead {
                Some(dead) => put(dead),
                None => drop(fs::remove_file(self.folder.join(file_name(id)))),
            }
            return Err(trouble("prepare a segment", &why));
        }
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let segment = Arc::new(Segment::new(&self.folder, id, generation, file, self.segment_size));
        put(segment.clone());
        Ok(segment)
    }

    /// Whether new content must be refused because the disk is low.
    pub(crate) fn is_low(&self) -> bool {
        if self.low.load(Ordering::Relaxed) || self.unasked.load(Ordering::Relaxed) == 0 {
            let low = self.free().is_some_and(|free| free < self.disk_free_min);
            self.low.store(low, Ordering::Relaxed);
            self.unasked.store(4 << 20, Ordering::Relaxed);
        }
        self.low.load(Ordering::Relaxed)
    }

    fn ask_disk_after(&self, len: u64) {
        let _ = self
            .unasked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(len)));
    }

    pub(crate) fn free(&self) -> Option<u64> {
        self.disk.free(&self.folder).ok()
    }

    pub(crate) fn full(&self) -> StoreError {
        StoreError::Full(format!(
            "fewer than {} MB are free on the disk of {}",
            self.disk_free_min / 1_000_000,
            self.folder.display()
        ))
    }

    /// The segments of a content that is about to be kept, so that they stay until the caller drops them. `lives`
    /// tells whether the ledger names the place (segment, offset) now.
    ///
    /// Fails when the content is not there any more: its reference is older than this run, or a copy.
    pub(crate) fn pin(
        &self,
        content: &ContentRef,
        lives: impl Fn(u32, u64) -> Result<bool, StoreError>,
    ) -> Result<(Place, Vec<Arc<Segment>>), StoreError> {
        let gone = || StoreError::Unavailable("the content is not there any more; it must come again".into());
        let place = Place::parse(content).ok_or_else(gone)?;
        let mut pins = Vec::with_capacity(1);
        for run in &place.runs {
            let segment = self.segment(run.segment, run.generation).ok_or_else(gone)?;
            // Being punched right now counts as punched.
            let whole = !segment.old && segment.punched.try_read().is_ok_and(|punched| punched.is_none());
            if !whole && !lives(run.segment, run.offset)? {
                return Err(gone());
            }
            pins.push(segment);
        }
        Ok((place, pins))
    }

    /// Flush where content is written at present.
    pub(crate) fn flush_active(&self) -> io::Result<()> {
        let active = self.lock().segment.clone();
        active.map_or(Ok(()), |segment| self.flush(&segment))
    }

    pub(crate) fn flush(&self, segment: &Segment) -> io::Result<()> {
        segment.flush(|file| self.disk.sync(file))
    }

    /// Whoever has this content in memory does not need it any more.
    pub(crate) fn forget_recent(&self, content: u64) {
        self.shelf.drop(content);
    }

    /// (living, stored) octets.
    pub(crate) fn octets(&self) -> (u64, u64) {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.values().fold((0, 0), |(live, stored), segment| {
            (live + segment.live.load(Ordering::Relaxed), stored + segment.stored.load(Ordering::Relaxed))
        })
    }

    fn is_active(&self, segment: &Arc<Segment>) -> bool {
        self.lock().segment.as_ref().is_some_and(|active| Arc::ptr_eq(active, segment))
    }

    /// Remove one dead segment beyond those that are kept for use again. Returns its id and how much that freed;
    /// `None` when there is none.
    pub(crate) fn remove_one(&self) -> Result<Option<(u32, u64)>, StoreError> {
        let segment = {
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            // The active one and the spare are held by `active` as well, so they are never dead here.
            let dead: Vec<u32> = segments.values().filter(|one| one.is_dead(1)).map(|one| one.id).collect();
            if dead.len() <= self.recycled_max || self.is_held() {
                return Ok(None);
            }
            segments.remove(dead.last().unwrap_or(&0))
        };
        let Some(segment) = segment else { return Ok(None) };
        self.disk.remove(segment.path()).map_err(|why| trouble("remove a segment", &why))?;
        Ok(Some((segment.id, segment.stored.load(Ordering::Relaxed))))
    }

    /// Sealed segments of which less than half of what they take lives, and that nobody uses.
    pub(crate) fn half_dead(&self) -> Vec<Arc<Segment>> {
        let mut found = self.all();
        found.retain(|segment| {
            let (live, stored) =
                (segment.live.load(Ordering::Acquire), segment.stored.load(Ordering::Relaxed));
            let before = segment.punched.try_read().map_or(Some(0), |punched| *punched);
            live > 0
                && live < stored / 2
                && before.is_none_or(|before| live < before / 2)
                && !self.is_active(segment)
        });
        found
    }

    /// Give back what does not live in a segment. `living` reads from the ledger (offset, length) of all that lives
    /// in it, in order. Returns the octets freed; 0 when somebody uses the segment.
    pub(crate) fn punch(
        &self,
        segment: &Arc<Segment>,
        living: impl FnOnce() -> Result<Vec<(u64, u64)>, StoreError>,
    ) -> Result<u64, StoreError> {
        // From here on nobody can begin to keep or read anything in it; those who had begun hold an `Arc`. The map
        // and the caller hold the other two.
        let Ok(mut punched) = segment.punched.try_write() else { return Ok(0) };
        if Arc::strong_count(segment) > 2 || segment.expects() || self.is_held() {
            return Ok(0);
        }
        let live = segment.live.load(Ordering::Acquire);
        let before = segment.stored.load(Ordering::Relaxed);
        let file = segment.file().map_err(|why| trouble("open a segment", &why))?;
        let end = file.metadata().map_err(|why| trouble("read a segment", &why))?.len();
        *punched = Some(live);
        let mut next = 0;
        for (offset, len) in living()?.into_iter().chain([(end, 0)]) {
            // Less than a block gives nothing back.
            if offset >= next + 4096
                && let Err(why) = self.disk.punch(&file, next, offset - next)
            {
                tracing::warn!(segment = %segment.path().display(), %why, "cannot punch holes");
                return Ok(0);
            }
            next = next.max(offset + len);
        }
        segment.measure().map_err(|why| trouble("read a segment", &why))?;
        Ok(before.saturating_sub(segment.stored.load(Ordering::Relaxed)))
    }

    /// Close files that nobody uses, if many are open.
    pub(crate) fn close_idle(&self) {
        let open: Vec<_> = self.all().into_iter().filter(|one| one.is_open()).collect();
        let excess = open.len().saturating_sub(self.open_files_max);
        for segment in open.iter().filter(|one| one.old || !self.is_active(one)).take(excess) {
            segment.close();
        }
    }
}

/// A failed touch of a file, in the store's words.
pub(super) fn trouble(doing: &str, why: &io::Error) -> StoreError {
    if is_full(why) {
        StoreError::Full(format!("cannot {doing}: {why}"))
    } else {
        StoreError::Unavailable(format!("cannot {doing}: {why}"))
    }
}

/// Octets of contents that came lately, and of buffers for the next ones, kept in memory.
const SHELF_OCTETS: usize = 16 << 20;

/// Octets that a record adds to its piece.
pub(super) const OVERHEAD: u64 = HEADER as u64;
