//! What was last refused, to each peer and by it, with the words that were said.
//!
//! Owns: a few lines for each peer, in memory. Never knows: sockets, stores, what follows from it.
//!
//! A crash forgets it; what concerns an MM is in its ledger.

use mms::{MmId, Timestamp};
use relay::{Moment, PeerName, What};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Refusals that are kept for each peer.
const KEPT: usize = 30;
/// Peers that are kept apart; there are no more than are configured, and their configuration changes now and then.
const PEERS_MAX: usize = 4096;
/// Octets of one text.
const TEXT_MAX: usize = 400;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The MM, where there is one.
    pub mm: Option<MmId>,
    /// Whether we refused the peer; otherwise it refused us.
    pub ours: bool,
    /// What was said, and about what.
    pub words: String,
}

/// What was last heard of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Refusals, newest first.
    pub refusals: VecDeque<Refusal>,
    /// How often it was too fast, and when that was last seen to grow.
    slowed: (u64, Option<Timestamp>),
}

/// What was last heard of all peers.
#[derive(Debug)]
pub struct Recent {
    since: Timestamp,
    peers: Mutex<HashMap<PeerName, Heard>>,
}

impl Recent {
    /// Nothing was heard yet.
    pub fn new(since: Timestamp) -> Self {
        Self { since, peers: Mutex::default() }
    }

    /// Since when it is kept: the start of the relay.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Something happened to an MM.
    pub fn note(&self, mm: MmId, moment: &Moment) {
        let Some(peer) = &moment.peer else { return };
        let refused = |ours: bool| {
            let said = if moment.text.is_empty() { moment.what.sentence() } else { &moment.text };
            self.refused(peer, moment.at, Some(mm), ours, said);
        };
        match moment.what {
            What::Response => {
                let status = moment.text.split(':').next().unwrap_or_default();
                if !status.ends_with("Ok") {
                    refused(false);
                }
            }
            What::Deferred | What::Failed | What::Unanswered | What::NoResponse | What::Unconfirmed => {
                refused(false)
            }
            What::Refused => refused(true),
            _ => {}
        }
    }

    /// A mail or a connection was refused.
    pub fn refused(&self, peer: &PeerName, at: Timestamp, mm: Option<MmId>, ours: bool, words: &str) {
        let words = mms::HeaderText::cleaned(words).capped(TEXT_MAX).to_string();
        self.with(peer, |heard| {
            heard.refusals.truncate(KEPT - 1);
            heard.refusals.push_front(Refusal { at, mm, ours, words });
        });
    }

    /// Whether a peer was too fast lately, by how often it was so far (slowed down, refused).
    pub fn slowed(
        &self,
        peer: &PeerName,
        slowed: u64,
        refused: u64,
        now: Timestamp,
        lately: Duration,
    ) -> bool {
        let count = slowed + refused;
        let mut last = None;
        self.with(peer, |heard| {
            if count > heard.slowed.0 {
                heard.slowed = (count, Some(now));
            }
            last = heard.slowed.1;
        });
        last.is_some_and(|at| now.since(at) < lately)
    }

    /// What was last heard of a peer.
    pub fn of(&self, peer: &PeerName) -> Heard {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).cloned().unwrap_or_default()
    }

    fn with(&self, peer: &PeerName, change: impl FnOnce(&mut Heard)) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = peers.get_mut(peer) {
            change(heard);
        } else if peers.len() < PEERS_MAX {
            change(peers.entry(peer.clone()).or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusals_are_kept_with_their_words() {
        let (start, b) = (Timestamp::from_seconds(1_741_083_330), PeerName::new("b"));
        let recent = Recent::new(start);
        let mm = MmId::from_bits(7);
        let moment = |what, text: &str| Moment {
            at: start,
            what,
            peer: Some(b.clone()),
            recipients: vec![0],
            text: text.into(),
        };
        for n in 0..100 {
            recent.note(mm, &moment(What::Deferred, &format!("450 4.2.0 busy {n}\r\n\u{7}")));
        }
        recent.note(mm, &moment(What::Response, "Ok"));
        recent.note(mm, &moment(What::Stored, "not about a refusal"));
        recent.note(mm, &moment(What::Response, "Error-service-denied: no"));
        let heard = recent.of(&b);
        assert_eq!(heard.refusals.len(), KEPT);
        assert_eq!(heard.refusals[0].words, "Error-service-denied: no");
        assert!(heard.refusals[1].words.starts_with("450 4.2.0 busy 99"));
        assert!(!heard.refusals[1].words.contains('\u{7}') && !heard.refusals[1].ours);
        assert_eq!(recent.of(&PeerName::new("c")), Heard::default());
    }
}
