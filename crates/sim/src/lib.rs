//! The weather: relays, network, disks and a hostile peer under a virtual clock, all from one seed.
//!
//! Owns: a small world in which the real heart (`relay`), the real SMTP sessions and the real codec (`wire`) run, what may
//! fail in it, and what must hold all the same. Never knows: threads, sockets, files, the time of day; and not the house,
//! whose glue between heart, disk and wire is stated again here.
//!
//! One seed is one run: `cargo run -p sim -- --seed N --trace` tells it again, step by step.

pub mod check;
pub mod dice;
pub mod disk;
pub mod dock;
pub mod hostile;
pub mod line;
pub mod net;
pub mod planted;
pub mod process;
pub mod relays;
pub mod story;
pub mod weather;
pub mod world;

pub use planted::Planted;
pub use weather::{Fault, Faults};
pub use world::{Options, Outcome, World};

/// Run one seed.
pub fn run(seed: u64) -> Outcome {
    World::run(Options { seed, ..Options::default() })
}

/// The command that runs a seed again.
pub fn command(seed: u64) -> String {
    format!("cargo run -p sim -- --seed {seed}")
}
