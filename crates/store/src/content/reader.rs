//! Reads content back, and believes nothing that a checksum does not confirm.
//!
//! Owns: [`FileExtent`], and the memory of what was confirmed lately. Never knows: who reads.

use super::log::{Log, OVERHEAD, trouble};
use super::place::{Piece, Place};
use super::recent::Recent;
use super::record::{HEADER, Header};
use super::segment::Segment;
use relay::store::{ContentRef, StoreError};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// A part of a content, as part of a file: for `sendfile`. While it is held, the octets stay where they are,
/// and the folder stays locked, even when the store is dropped.
#[derive(Clone, Debug)]
pub struct FileExtent {
    /// The file.
    pub file: Arc<File>,
    /// Where the part begins.
    pub offset: u64,
    /// Its octets.
    pub len: u64,
    /// Keeps the segment from being used again.
    _segment: Arc<Segment>,
    /// Keeps another store from opening the folder and using it again.
    _lock: Arc<File>,
}

/// Records whose checksum was right, as far as remembered: (generation, content, piece). One that was just written counts:
/// its octets come out of the same memory again.
#[derive(Debug)]
pub(crate) struct Verified {
    slots: Mutex<Box<[(u64, u64, u32)]>>,
}

impl Default for Verified {
    fn default() -> Self {
        Self { slots: Mutex::new(vec![(0, 0, 0); 8192].into()) }
    }
}

impl Verified {
    fn slot(len: usize, key: (u64, u64, u32)) -> usize {
        ((key.1.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % len) ^ (key.2 as usize % 16)
    }

    fn knows(&self, key: (u64, u64, u32)) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots[Self::slot(slots.len(), key)] == key
    }

    pub(super) fn learn(&self, key: (u64, u64, u32)) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = Self::slot(slots.len(), key);
        slots[slot] = key;
    }
}

impl Log {
    fn place(content: &ContentRef) -> Result<Place, StoreError> {
        Place::parse(content).ok_or_else(|| StoreError::Corrupt("not a locator of this store".into()))
    }

    /// The segment of a piece and its file, with the piece's header recognised.
    ///
    /// Under the segment's `punched` lock, so that no hole is punched between the look and the use: whoever has got
    /// the `Arc` keeps the piece.
    fn locate(
        &self,
        place: &Place,
        piece: &Piece,
    ) -> Result<(Arc<Segment>, Arc<File>, super::record::Check), StoreError> {
        let segment =
            self.segment(piece.segment, piece.generation).ok_or_else(|| lost(piece, "is not there"))?;
        let _unpunched = segment.punched.read().unwrap_or_else(PoisonError::into_inner);
        let file = segment.file().map_err(|why| unreadable(piece, &why))?;
        let found =
            Segment::has(&file, header(place, piece), piece.offset).map_err(|why| unreadable(piece, &why))?;
        let check = found.ok_or_else(|| lost(piece, "holds something else"))?;
        drop(_unpunched);
        Ok((segment, file, check))
    }

    pub(crate) fn read(
        &self,
        content: &ContentRef,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, StoreError> {
        let place = Self::place(content)?;
        let mut done = 0;
        for piece in place.pieces(offset / u64::from(place.piece)) {
            let at = offset + done as u64;
            if done == into.len() || at >= place.len {
                break;
            }
            let skip = at - piece.start;
            let n = ((u64::from(piece.len) - skip) as usize).min(into.len() - done);
            self.read_piece(&place, &piece, skip, &mut into[done..done + n])?;
            done += n;
        }
        Ok(done)
    }

    /// Octets of one piece from `skip` on.
    fn read_piece(&self, place: &Place, piece: &Piece, skip: u64, into: &mut [u8]) -> Result<(), StoreError> {
        if into.len() == piece.len as usize {
            return self.read_whole(place, piece, into);
        }
        let (_segment, file) = self.confirmed(place, piece)?;
        file.read_exact_at(into, piece.offset + OVERHEAD + skip).map_err(|why| unreadable(piece, &why))
    }

    /// The segment of a piece and its file, once its checksum was right, now or lately. While the `Arc` is held, the piece
    /// stays where it is.
    fn confirmed(&self, place: &Place, piece: &Piece) -> Result<(Arc<Segment>, Arc<File>), StoreError> {
        let key = (piece.generation, place.content, piece.part);
        let known = self.verified.knows(key);
        // A segment without holes still has under this generation what was written to it.
        if known && let Some(segment) = self.segment(piece.segment, piece.generation) {
            let unpunched = segment.punched.read().unwrap_or_else(PoisonError::into_inner);
            if unpunched.is_none() {
                let file = segment.file().map_err(|why| unreadable(piece, &why))?;
                drop(unpunched);
                return Ok((segment, file));
            }
        }
        let (segment, file, mut check) = self.locate(place, piece)?;
        if !known {
            let mut scratch = vec![0; (64 << 10).min(piece.len as usize)];
            let mut at = 0;
            while at < u64::from(piece.len) {
                let n = scratch.len().min((u64::from(piece.len) - at) as usize);
                let from = piece.offset + OVERHEAD + at;
                file.read_exact_at(&mut scratch[..n], from).map_err(|why| unreadable(piece, &why))?;
                check.take(&scratch[..n]);
                at += n as u64;
            }
            if !check.holds() {
                return Err(lost(piece, "fails its checksum"));
            }
            self.verified.learn(key);
        }
        Ok((segment, file))
    }

    /// A whole piece with one call.
    fn read_whole(&self, place: &Place, piece: &Piece, into: &mut [u8]) -> Result<(), StoreError> {
        let segment =
            self.segment(piece.segment, piece.generation).ok_or_else(|| lost(piece, "is not there"))?;
        let file = segment.file().map_err(|why| unreadable(piece, &why))?;
        let mut found = [0; HEADER];
        let mut slices = [IoSliceMut::new(&mut found), IoSliceMut::new(into)];
        let n = rustix::io::preadv(&*file, &mut slices, piece.offset)
            .map_err(|why| unreadable(piece, &why.into()))?;
        if n < HEADER {
            return Err(lost(piece, "ends too early"));
        }
        file.read_exact_at(&mut into[n - HEADER..], piece.offset + n as u64)
            .map_err(|why| unreadable(piece, &why))?;
        let mut check =
            header(place, piece).recognise(&found).ok_or_else(|| lost(piece, "holds something else"))?;
        check.take(into);
        if check.holds() { Ok(()) } else { Err(lost(piece, "fails its checksum")) }
    }

    /// The content, if it came lately and is still in memory.
    pub(crate) fn recent(&self, content: &ContentRef) -> Option<Recent> {
        self.shelf.get(Place::parse(content)?.content)
    }

    /// The content from `offset` on as parts of files, their checksums right now or lately.
    pub(crate) fn extents(&self, content: &ContentRef, offset: u64) -> Result<Vec<FileExtent>, StoreError> {
        let place = Self::place(content)?;
        let mut extents = Vec::with_capacity(place.records() as usize);
        for piece in place.pieces(offset / u64::from(place.piece)) {
            let skip = offset.saturating_sub(piece.start);
            if skip >= u64::from(piece.len) {
                continue;
            }
            let (segment, file) = self.confirmed(&place, &piece)?;
            extents.push(FileExtent {
                file,
                offset: piece.offset + OVERHEAD + skip,
                len: u64::from(piece.len) - skip,
                _segment: segment,
                _lock: self.lock.clone(),
            });
        }
        Ok(extents)
    }
}

fn header(place: &Place, piece: &Piece) -> Header {
    Header { generation: piece.generation, content: place.content, part: piece.part, len: piece.len }
}

fn lost(piece: &Piece, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "content: the record at {} of segment {} {what}",
        piece.offset,
        super::segment::file_name(piece.segment)
    ))
}

fn unreadable(piece: &Piece, why: &io::Error) -> StoreError {
    match why.kind() {
        io::ErrorKind::UnexpectedEof => lost(piece, "ends too early"),
        io::ErrorKind::NotFound => lost(piece, "is missing: the file is not there"),
        _ => trouble(&format!("read segment {}", super::segment::file_name(piece.segment)), why),
    }
}
