//! In whose name content lives, and how many octets.
//!
//! Owns: the sums in memory; the ledger's table of extents is the truth, from which they are made at each opening. Never
//! knows: who an owner is, or how much is too much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Octets by owner.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<Arc<str>, i64>>);

impl Owners {
    /// Count what a commit has changed.
    pub(crate) fn change(&self, by: HashMap<Arc<str>, i64>) {
        if by.is_empty() {
            return;
        }
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (owner, change) in by {
            *sums.entry(owner).or_default() += change;
        }
        sums.retain(|_, sum| *sum != 0);
    }

    /// Octets that live in this name.
    pub(crate) fn of(&self, owner: &str) -> u64 {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.get(owner).map_or(0, |sum| u64::try_from(*sum).unwrap_or(0))
    }
}
