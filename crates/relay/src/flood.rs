//! Floods of MMs: how much content one peer may have here, and how often one recipient is written to.
//!
//! Owns: what is promised and not counted by the store yet, and the paces of recipients. Never knows: why anything is sent.
//! Both are bounds that will pass: a mail beyond a peer's quota gets `452` and stays with the peer; a recipient beyond the pace
//! is refused in the response, with a status after which the sender may try again.
//!
//! A crash forgets the paces. What a peer has here follows from the store.

use crate::house::{House, PeerName};
use crate::ledger::{Ledger, RecipientState};
use crate::store::{Batch, Need, Op, Store};
use mms::{Address, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

/// Recipients whose pace is remembered; beyond that new ones are not held to theirs.
const RECIPIENTS_MAX: usize = 100_000;
/// The span of which a rate speaks: an hour, in milliseconds.
const HOUR: i64 = 3_600_000;

#[derive(Debug, Default)]
pub(crate) struct Floods {
    /// Octets in batches that are under way.
    promised: HashMap<Arc<str>, u64>,
    /// When, at an even pace, the next MM for a recipient would be due (the generic cell rate algorithm).
    paces: HashMap<Address, Timestamp>,
}

impl Floods {
    /// Whether so many octets more of this peer may be kept.
    pub fn has_room(&self, house: &House, store: &dyn Store, peer: &PeerName, octets: u64) -> bool {
        let Some(most) = house.peer(peer).and_then(|peer| peer.stored_max) else { return true };
        let promised = self.promised.get(&peer.0).copied().unwrap_or(0);
        store.stored_by(&peer.0).saturating_add(promised).saturating_add(octets) <= most
    }

    /// A batch begins.
    pub fn begin(&mut self, batch: &Batch) {
        for (owner, octets) in kept(batch) {
            *self.promised.entry(owner.clone()).or_default() += octets;
        }
    }

    /// A batch is over: the store counts it now, or it was nothing.
    pub fn end(&mut self, batch: &Batch) {
        for (owner, octets) in kept(batch) {
            if let Some(promised) = self.promised.get_mut(owner) {
                *promised = promised.saturating_sub(octets);
            }
        }
    }

    /// Whether this recipient has been written to as often as may be.
    pub fn is_crowded(&self, house: &House, recipient: &Address, now: Timestamp) -> bool {
        let Some(most) = house.limits.recipient_rate_max else { return false };
        let ahead = self.paces.get(recipient).map_or(0, |next| next.millis().saturating_sub(now.millis()));
        // A whole hour's worth at once, then one after another.
        ahead > HOUR - HOUR / i64::from(most.max(1))
    }

    /// MMs have been put into mailboxes, or (`back`) have turned out to be repeats.
    pub fn note(&mut self, house: &House, ledger: &Ledger, now: Timestamp, back: bool) {
        let Some(most) = house.limits.recipient_rate_max else { return };
        let each = HOUR / i64::from(most.max(1));
        for recipient in ledger.recipients.iter().filter(|r| r.state == RecipientState::Stored) {
            let address = &recipient.party.address;
            if self.paces.len() >= RECIPIENTS_MAX && !self.paces.contains_key(address) {
                self.paces.retain(|_, next| *next > now);
                if self.paces.len() >= RECIPIENTS_MAX {
                    continue;
                }
            }
            let next = self.paces.entry(address.clone()).or_insert(now);
            let begin = if back { next.millis() - each } else { (*next).max(now).millis() + each };
            *next = Timestamp::from_millis(begin);
        }
    }
}

/// Whether a batch begins a ledger.
pub(crate) fn is_first(batch: &Batch) -> bool {
    batch.need.iter().any(|need| matches!(need, Need::Version { version: 0, .. }))
}

fn kept(batch: &Batch) -> impl Iterator<Item = (&Arc<str>, u64)> {
    batch.ops.iter().filter_map(|op| match op {
        Op::KeepContent { content, owner, .. } if !owner.is_empty() => Some((owner, content.len)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{a_ledger, house, party};
    use std::time::Duration;

    #[test]
    fn a_recipient_takes_an_hours_worth_at_once_and_then_at_its_pace() {
        let mut house = house();
        house.limits.recipient_rate_max = Some(60);
        let ledger = a_ledger();
        let address = party("+12025550100").address;
        let (mut floods, start) = (Floods::default(), Timestamp::from_seconds(1_741_083_330));
        let mut taken = 0;
        while !floods.is_crowded(&house, &address, start) {
            floods.note(&house, &ledger, start, false);
            taken += 1;
        }
        assert_eq!(taken, 60);
        assert!(!floods.is_crowded(&house, &party("+12025550101").address, start), "nobody else feels it");
        let later = start.plus(Duration::from_secs(59));
        assert!(floods.is_crowded(&house, &address, later));
        let later = start.plus(Duration::from_secs(60));
        assert!(!floods.is_crowded(&house, &address, later));
        // What was a repeat is not counted.
        floods.note(&house, &ledger, later, false);
        assert!(floods.is_crowded(&house, &address, later));
        floods.note(&house, &ledger, later, true);
        assert!(!floods.is_crowded(&house, &address, later));
        house.limits.recipient_rate_max = None;
        assert!(!floods.is_crowded(&house, &address, start));
    }

    #[test]
    fn the_paces_of_recipients_are_bounded() {
        let mut house = house();
        house.limits.recipient_rate_max = Some(1);
        let mut ledger = a_ledger();
        ledger.recipients.truncate(1);
        let (mut floods, now) = (Floods::default(), Timestamp::from_seconds(1_741_083_330));
        for n in 0..RECIPIENTS_MAX + 1000 {
            ledger.recipients[0].party = party(&format!("+1202{n:07}"));
            floods.note(&house, &ledger, now, false);
        }
        assert_eq!(floods.paces.len(), RECIPIENTS_MAX);
        ledger.recipients[0].party = party("+447700900123");
        floods.note(&house, &ledger, now.plus(Duration::from_secs(7200)), false);
        assert_eq!(floods.paces.len(), 1);
    }
}
