//! The cellar: durable truth in one folder of one machine.
//!
//! Owns: [`Embedded`], a [`relay::store::Store`] made of a content log (segment files, written in parallel by those who
//! receive), a journal (in which one committer makes groups of batches durable) and a ledger (one SQLite file, which follows
//! the journal). Never knows: protocols, peers, what an MM is about, what time it is.
//!
//! A crash leaves every batch whose callback ran, none in part, and at worst some room that nobody names until its
//! segment is used again.

mod backup;
mod committer;
mod content;
mod desk;
mod embedded;
mod faults;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod ledger;
mod options;
mod search;

pub use backup::Copied;
pub use content::{FileExtent, Recent};
pub use embedded::Embedded;
pub use faults::FileOp;
#[cfg(debug_assertions)]
pub use faults::{Fault, Faults};
pub use options::{OpenError, Options};
pub use search::{Found, Index, Kind, Query, Row, State};
