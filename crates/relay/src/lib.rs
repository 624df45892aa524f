//! The heart: what to do next about each MM.
//!
//! Owns: the ledger of an MM, transactions, retries, routes, verdicts, and the trait behind which all of it is kept.
//! Never knows: wires, async, sockets, files, clocks, randomness. Time and random numbers are arguments.

pub mod memory;
pub mod store;
