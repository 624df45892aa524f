//! The heart: what to do next about each MM.
//!
//! Owns: the ledger of an MM, transactions, retries, routes, verdicts, and the trait behind which all of it is kept.
//! Never knows: wires, async, sockets, files, clocks, randomness. Time and random numbers are arguments.
//!
//! ```text
//! Input ──> Shard ──> Commit ──(durable)──> Committed ──> Answer, Dispatch, Lookup, Notify, News
//! ```
//!
//! A [`Shard`] takes events, decides about one ledger at a time, and puts out a declarative batch; only when that is
//! durable does anything leave: an SMTP reply, an errand, a line in the log.

mod answer;
mod arrive;
mod carry;
mod charging;
mod conclude;
mod deliver;
mod errand;
mod event;
mod flood;
pub mod house;
mod ledger;
mod lookup;
pub mod memory;
mod notice;
mod pack;
mod profile;
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

pub use charging::{About, Forwarded, Record, RecordType, Reported, Reporting};
pub use errand::{Errand, Relayed};
pub use event::{Answer, Arrival, Arrived, Bounce, Carried, Event, Handling, Once, Submission, Told};
pub use house::{HookName, House, Peer, PeerName};
pub use ledger::{
    Asker, Body, Ledger, Moment, Origin, REPORT, RESPONSE, Recipient, RecipientKind, RecipientState,
    Response, Transaction, TransactionState, What,
};
pub use lookup::{Found, Lookup};
pub use notice::{Notice, Noticed, Notification};
pub use pack::Damaged;
pub use queue::Gate;
pub use report::{Fate, Report};
pub use route::{Explained, Route};
pub use shard::{Input, Output, PeerState, Shard, Ticket, Token};
pub use verdict::{Reason, Reply};
