//! The heart: what to do next about each MM.
//!
//! Owns: the ledger of an MM, transactions, retries, routes, verdicts, and the trait behind which all of it is kept.
//! Never knows: wires, async, sockets, files, clocks, randomness. Time and random numbers are arguments.
//!
//! ```text
//! Input ──> Shard ──> Commit ──(durable)──> Committed ──> Answer, Dispatch, News
//! ```
//!
//! A [`Shard`] takes events, decides about one ledger at a time, and puts out a declarative batch; only when that is
//! durable does anything leave: an SMTP reply, an errand, a line in the log.

mod answer;
mod arrive;
mod carry;
mod errand;
mod event;
pub mod house;
mod ledger;
pub mod memory;
mod pack;
mod queue;
mod report;
mod route;
mod schedule;
mod shard;
pub mod store;
mod submit;
mod tend;
#[cfg(test)]
mod testing;
mod turn;
mod verdict;

pub use errand::Errand;
pub use event::{Answer, Arrival, Arrived, Carried, Event, Handling, Submission, Told};
pub use house::{House, Peer, PeerName};
pub use ledger::{
    Body, Ledger, Moment, Origin, REPORT, RESPONSE, Recipient, RecipientKind, RecipientState, Response,
    Transaction, TransactionState, What,
};
pub use pack::Damaged;
pub use queue::Gate;
pub use report::{Fate, Report};
pub use route::{Explained, Route};
pub use shard::{Input, Output, PeerState, Shard, Ticket, Token};
pub use verdict::{Reason, Reply};
