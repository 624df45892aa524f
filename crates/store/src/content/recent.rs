//! Contents that came lately, still in the memory in which they came: most leave again within milliseconds.
//!
//! Owns: that memory, up to so many octets, the oldest given up first; and buffers for what comes next. Never knows: whether
//! a content lives. A crash loses nothing: all of it is in the log.

use super::record::HEADER;
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A content in memory.
#[derive(Clone, Debug)]
pub struct Recent(Arc<Vec<u8>>);

impl Deref for Recent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[HEADER..]
    }
}

/// See the module. Buffers have room for a record's header in front.
#[derive(Debug)]
pub(super) struct Shelf {
    inner: Mutex<Inner>,
    octets_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    contents: HashMap<u64, Recent>,
    /// In the order in which they came.
    order: VecDeque<u64>,
    spare: Vec<Vec<u8>>,
    /// Capacity of all of them.
    octets: usize,
}

impl Shelf {
    pub(super) fn new(octets_max: usize) -> Self {
        Self { inner: Mutex::default(), octets_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer, used before.
    pub(super) fn buffer(&self) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        let buffer = inner.spare.pop()?;
        inner.octets -= buffer.capacity();
        Some(buffer)
    }

    /// A buffer that is not needed any more.
    pub(super) fn put_back(&self, buffer: Vec<u8>) {
        self.lock().put_back(buffer, self.octets_max);
    }

    /// A content that came whole in one buffer.
    pub(super) fn put(&self, content: u64, buffer: Vec<u8>) {
        let mut inner = self.lock();
        inner.octets += buffer.capacity();
        inner.contents.insert(content, Recent(Arc::new(buffer)));
        inner.order.push_back(content);
        while inner.octets > self.octets_max {
            if inner.spare.pop().map(|spare| inner.octets -= spare.capacity()).is_some() {
                continue;
            }
            let Some(oldest) = inner.order.pop_front() else { return };
            let Some(Recent(octets)) = inner.contents.remove(&oldest) else { continue };
            inner.octets -= octets.capacity();
            // Whoever is sending it keeps it until then.
            if let Some(buffer) = Arc::into_inner(octets) {
                inner.put_back(buffer, self.octets_max);
            }
        }
    }

    /// The content, if it is still there.
    pub(super) fn get(&self, content: u64) -> Option<Recent> {
        self.lock().contents.get(&content).cloned()
    }

    /// It has served.
    pub(super) fn drop(&self, content: u64) {
        let mut inner = self.lock();
        let Some(Recent(octets)) = inner.contents.remove(&content) else { return };
        inner.octets -= octets.capacity();
        // Mostly it is the oldest, or one of them.
        if let Some(at) = inner.order.iter().take(64).position(|one| *one == content) {
            inner.order.remove(at);
        }
        if let Some(buffer) = Arc::into_inner(octets) {
            inner.put_back(buffer, self.octets_max);
        }
    }
}

impl Inner {
    fn put_back(&mut self, mut buffer: Vec<u8>, octets_max: usize) {
        buffer.clear();
        if buffer.capacity() > 0 && self.octets + buffer.capacity() <= octets_max {
            self.octets += buffer.capacity();
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(octet: u8, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; HEADER];
        buffer.resize(HEADER + len, octet);
        buffer
    }

    #[test]
    fn the_oldest_give_way_and_memory_is_bounded() {
        let shelf = Shelf::new(10 * (HEADER + 1000));
        for n in 0..50 {
            shelf.put(n, buffer(n as u8, 1000));
            assert!(shelf.lock().octets <= shelf.octets_max);
        }
        assert!(shelf.get(39).is_none());
        let last = shelf.get(49).unwrap();
        assert_eq!(*last, [49; 1000]);
        shelf.drop(49);
        assert!(shelf.get(49).is_none());
        assert_eq!(last[999], 49, "who has it keeps it");
        shelf.drop(48);
        let again = shelf.buffer().unwrap();
        assert!(again.is_empty() && again.capacity() >= HEADER + 1000);
        shelf.put_back(again);
        let inner = shelf.lock();
        let held: usize = inner.contents.values().map(|recent| recent.0.capacity()).sum();
        assert_eq!(inner.octets, held + inner.spare.iter().map(Vec::capacity).sum::<usize>());
    }

    #[test]
    fn one_that_is_too_big_is_not_kept() {
        let shelf = Shelf::new(1000);
        shelf.put(1, buffer(1, 5000));
        assert!(shelf.get(1).is_none());
        assert_eq!(shelf.lock().octets, 0);
    }
}
