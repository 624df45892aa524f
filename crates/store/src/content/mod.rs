//! The content log: where the octets of MMs lie, in the wire form that came.
//!
//! Owns: segment files, who may write where, and when a segment may be used again. Never knows: which content lives
//! (the ledger alone decides), SQL, MMs.
//!
//! One segment is active. A writer reserves room in it (lock, add, unlock) and writes there by itself, beside the
//! others. Nothing is read when a store opens, and an old segment is never appended to, so a crash leaves at worst
//! records that nobody names: they are dead, as are those of writers that gave up.

mod log;
mod owners;
mod place;
mod reader;
mod recent;
mod record;
mod segment;
mod writer;

pub(crate) use log::{Log, OldSegment};
pub(crate) use place::Place;
pub use reader::FileExtent;
pub use recent::Recent;
pub(crate) use segment::Segment;
pub(crate) use writer::Writer;
