//! What fuzz targets ask of this crate and nobody else does: readers of octets that a disk may have damaged.
//!
//! Owns: nothing. Never knows: files.

use crate::content::Place;
use relay::store::{Batch, ContentRef};

/// Read a record of the journal; what is read and written again is read the same.
pub fn journal_record(octets: &[u8]) {
    let Some(ops) = crate::journal::ops(octets) else { return };
    let mut again = Vec::new();
    crate::journal::write(&Batch { need: Vec::new(), ops: ops.clone() }, &mut again);
    assert_eq!(crate::journal::ops(&again), Some(ops));
}

/// Read where a content lies; walking over it ends, and stays within its length.
pub fn content_place(len: u64, locator: &[u8]) {
    let content = ContentRef { len, locator: locator.into() };
    if let Some(place) = Place::parse(&content) {
        let _ = place.pieces(0).take(10_000).count();
        let _ = place.extents().count();
    }
}
