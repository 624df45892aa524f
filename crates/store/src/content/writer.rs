//! Takes one content into the log, piece by piece.
//!
//! Owns: at most one piece in memory. Never knows: whether the content will be kept.
//!
//! A crash, or a drop before `finish`, leaves records that nobody names.

use super::log::{Log, trouble};
use super::place::Place;
use super::record::{HEADER, Header};
use super::segment::Segment;
use crate::desk::Desk;
use relay::store::{ContentRef, ContentWriter, StoreError};
use std::sync::Arc;

pub(crate) struct Writer {
    log: Arc<Log>,
    place: Place,
    /// Room for a header, then the piece so far.
    buffer: Vec<u8>,
    /// Held so that none is taken into use again under the writer.
    segments: Vec<Arc<Segment>>,
    failed: Option<StoreError>,
    /// Where it is told that a content is complete.
    desk: Arc<Desk>,
}

impl Writer {
    pub(crate) fn new(log: Arc<Log>, size_hint: Option<u64>, desk: Arc<Desk>) -> Self {
        let content = log.next_content();
        let expected = usize::try_from(size_hint.unwrap_or(0)).unwrap_or(usize::MAX).min(log.piece);
        let mut buffer = log.shelf.buffer().unwrap_or_else(|| Vec::with_capacity(HEADER + expected));
        buffer.resize(HEADER, 0);
        let place = Place { content, len: 0, piece: log.piece as u32, runs: Vec::new() };
        Self { log, place, buffer, segments: Vec::new(), failed: None, desk }
    }

    /// Write the piece as one record.
    fn flush(&mut self) -> Result<(), StoreError> {
        let len = self.buffer.len() - HEADER;
        let (segment, offset) = self.log.reserve(self.buffer.len() as u64)?;
        let header = Header {
            generation: segment.generation,
            content: self.place.content,
            part: self.place.records() as u32,
            len: len as u32,
        };
        let header = header.seal(&self.buffer[HEADER..]);
        self.buffer[..HEADER].copy_from_slice(&header);
        let file = segment.file().map_err(|why| trouble("open a segment", &why))?;
        if let Err(why) = self.log.disk.write(&file, &self.buffer, offset) {
            self.log.leave(&segment);
            return Err(trouble("write content", &why));
        }
        segment.wrote();
        // Whoever reads it soon reads what was just written from memory: the checksum would only confirm the memory.
        self.log.verified.learn((segment.generation, self.place.content, self.place.records() as u32));
        self.place.push(segment.id, segment.generation, offset, len);
        if !self.segments.iter().any(|held| Arc::ptr_eq(held, &segment)) {
            self.segments.push(segment);
        }
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.log.shelf.put_back(std::mem::take(&mut self.buffer));
        }
        result
    }
}

impl ContentWriter for Writer {
    fn write(&mut self, mut octets: &[u8]) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let full = HEADER + self.log.piece;
        while !octets.is_empty() {
            if self.buffer.len() == full {
                // Only now: the last piece is never an empty one.
                let flushed = self.flush();
                self.note(flushed)?;
                self.buffer.truncate(HEADER);
            }
            let (now, later) = octets.split_at(octets.len().min(full - self.buffer.len()));
            // Grown by doubling, but never beyond one piece.
            if self.buffer.capacity() < self.buffer.len() + now.len() {
                let wanted = (self.buffer.len() + now.len()).max(2 * self.buffer.capacity()).min(full);
                self.buffer.reserve_exact(wanted - self.buffer.len());
            }
            self.buffer.extend_from_slice(now);
            octets = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ContentRef, StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.buffer.len() > HEADER {
            self.flush()?;
        }
        let content = ContentRef { len: self.place.len, locator: self.place.locator() };
        // Before the segments are let go: from here on the reference holds them.
        for segment in &self.segments {
            segment.expect(&content.locator);
        }
        self.desk.written();
        if self.place.records() == 1 {
            self.log.shelf.put(self.place.content, std::mem::take(&mut self.buffer));
        }
        Ok(content)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.log.shelf.put_back(std::mem::take(&mut self.buffer));
    }
}
