//! The load bench: what Belino reaches on this machine, and what others reach on the same.
//!
//! Owns: a source and a sink of mails, which measure any relay; starting, measuring and stopping relays; the workloads, the
//! rounds, the counting and the report. Never knows: heart and store. The relay under test is a process like any other.
//!
//! Whatever it starts it ends, also after an error; what it writes lies in a temporary folder, but for the report.

pub mod backlog;
pub mod chart;
pub mod client;
pub mod crowd;
pub mod crowded;
pub mod disk;
pub mod ends;
pub mod mail;
pub mod markdown;
pub mod measure;
pub mod medians;
pub mod memory;
pub mod passing;
pub mod postfix;
pub mod relay;
pub mod report;
pub mod round;
pub mod run;
pub mod seen;
pub mod sink;
pub mod source;
pub mod stage;
pub mod tally;
pub mod unequal;
pub mod workload;
