//! One turn: a ledger before, an event, a ledger after, and the batch that makes it true.
//!
//! Owns: how changes to a ledger become declarative effects. Every decision in this crate is written with it.

use crate::event::Answer;
use crate::house::{House, PeerName, TransitMode};
use crate::ledger::{
    HISTORY_MAX, Ledger, Moment, Origin, PLACES_MAX, Part, RESPONSE, RecipientState, Response, Transaction,
    TransactionState, What,
};
use crate::notice::{Seen, seen};
use crate::store::{Batch, ContentRef, Entry, Need, Op, Tag, TagKind};
use crate::verdict::Reason;
use mms::{HeaderText, MmId, RequestStatus, Timestamp, TransactionId};
use std::sync::Arc;
use std::time::Duration;

/// Where unguessable bits come from. The heart has no randomness of its own.
pub type Entropy<'a> = &'a mut dyn FnMut() -> u128;

/// Answers to reports that wait at once, for each recipient: there is a `Deferred`, a final one and one of reading, and
/// each may come again.
const REPORT_ANSWERS_MAX: usize = 8;

/// A turn under way.
pub(crate) struct Turn<'a> {
    pub house: &'a House,
    pub now: Timestamp,
    pub ledger: Ledger,
    /// Version of the ledger in the store; 0 = not there yet.
    version: u32,
    had_content: bool,
    /// Octets of the MM's content after decoding, if it was kept when the turn began.
    pub size: u64,
    /// What came says that it is something that we do not know, and is no request for charging.
    pub unknown_type: bool,
    /// Why nothing goes to these peers now, as far as it matters.
    pub trouble: Vec<(PeerName, String)>,
    told: usize,
    seen: Vec<Seen>,
    needs: Vec<Need>,
    ops: Vec<Op>,
}

/// What a turn decided.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The ledger after it; `None` = it is removed, or there is none.
    pub ledger: Option<Ledger>,
    /// To be committed before anything else happens; `None` when nothing changes.
    pub batch: Option<Batch>,
    /// Moments that are new.
    pub news: Vec<Moment>,
    /// What to tell the one who caused it.
    pub answer: Option<Answer>,
    /// Another MM that the event is about after all; nothing else of this counts then.
    pub redirect: Option<MmId>,
}

impl Decision {
    /// Nothing changes.
    pub fn only(answer: Option<Answer>) -> Self {
        Self { ledger: None, batch: None, news: Vec::new(), answer, redirect: None }
    }

    /// The event is about another MM.
    pub fn redirect(to: MmId) -> Self {
        Self { redirect: Some(to), ..Self::only(None) }
    }
}

impl<'a> Turn<'a> {
    pub fn new(house: &'a House, now: Timestamp, ledger: Ledger, version: u32, had_content: bool) -> Self {
        let (told, seen) = (ledger.history.len(), if version == 0 { Vec::new() } else { seen(&ledger) });
        let size = ledger.body.map_or(0, |body| body.decoded);
        let (needs, ops) = (Vec::new(), Vec::new());
        let unknown_type = false;
        let trouble = Vec::new();
        Self { house, now, ledger, version, had_content, size, unknown_type, trouble, told, seen, needs, ops }
    }

    /// Whether the ledger is just being made.
    pub const fn is_first(&self) -> bool {
        self.version == 0
    }

    /// How long a repeat of this MM is recognised (mm4 5.6).
    pub fn remember_until(&self) -> Timestamp {
        self.ledger.expires.max(self.now.plus(self.house.limits.duplicates_kept))
    }

    pub fn need(&mut self, need: Need) {
        self.needs.push(need);
    }

    pub fn op(&mut self, op: Op) {
        self.ops.push(op);
    }

    pub fn tell(&mut self, what: What, peer: Option<&PeerName>, recipients: &[u16], text: impl Into<String>) {
        let mut text: String = text.into();
        if text.len() > 300 {
            let end = (0..=300).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.truncate(end);
        }
        // All recipients are written as none in particular.
        let recipients = if recipients.len() == self.ledger.recipients.len() { &[] } else { recipients };
        let (at, peer) = (self.now, peer.cloned());
        self.ledger.history.push(Moment { at, what, peer, recipients: recipients.to_vec(), text });
    }

    pub fn keep_content(&mut self, content: ContentRef) {
        self.had_content = true;
        let id = self.ledger.id;
        let owner = match &self.ledger.origin {
            Origin::Received { peer, .. } => peer.0.clone(),
            Origin::Submitted { .. } => Arc::from(""),
        };
        self.ops.push(Op::KeepContent { id, content, owner });
    }

    pub fn tag(&mut self, kind: TagKind, value: String) {
        let id = self.ledger.id;
        self.ops.push(Op::PutTag { id, tag: Tag { kind, value } });
    }

    pub fn untag(&mut self, kind: TagKind, value: String) {
        let id = self.ledger.id;
        self.ops.push(Op::RemoveTag { id, tag: Tag { kind, value } });
    }

    /// Why what waits for this peer is given up: its time is over, and what stood in the way to the last.
    pub fn too_late(&self, peer: &PeerName) -> String {
        match self.trouble.iter().find(|(of, _)| of == peer) {
            Some((_, why)) => format!("queue time exceeded; last trouble with the peer: {why}"),
            None => "queue time exceeded".to_owned(),
        }
    }

    /// The last instant at which an errand of this MM may still be tried.
    pub fn deadline(&self) -> Timestamp {
        self.ledger.deliver_by(self.house)
    }

    /// Put recipients into a new transaction with a peer.
    pub fn open_transaction(
        &mut self,
        peer: &PeerName,
        recipients: Vec<u16>,
        retries: u32,
        due: Timestamp,
        attempt: u32,
        entropy: Entropy<'_>,
    ) {
        let part = self.ledger.transactions.len() as u16;
        let id = TransactionId::ours(self.ledger.id, part, entropy());
        for i in &recipients {
            self.enter(*i, RecipientState::Queued, None, None, None);
        }
        let is_whole = recipients.len() == self.ledger.recipients.len();
        let transit = match &self.ledger.origin {
            Origin::Submitted { .. } => None,
            // What has begun one way goes on so, whatever the configuration says meanwhile.
            Origin::Received { peer: from, .. } => {
                let begun = self.ledger.transactions.iter().find(|t| t.peer == *peer).and_then(|t| t.transit);
                let agreed = begun.or_else(|| self.house.transit(from, peer));
                // Several who have parts of one request would each answer it as a whole, under the same ids: then we answer.
                agreed
                    .filter(|mode| is_whole || *mode != TransitMode::Transparent)
                    .or(Some(TransitMode::BackToBack))
            }
        };
        let peer = peer.clone();
        let state = TransactionState::Queued;
        let entry = Some((due, attempt));
        self.ledger.transactions.push(Transaction {
            id,
            peer,
            recipients,
            transit,
            state,
            resends: 0,
            retries,
            entry,
        });
        self.enqueue(part);
    }

    /// Owe a response. One that is owed already answers the repeat as well; and whatever a peer repeats, a ledger does not
    /// grow by it: the same response again, or another one to a report, takes the place of one that was brought.
    pub fn owe(&mut self, response: Response) {
        let response = Response { at: self.now, entry: Some((self.now, 0)), ..response };
        let Some(place) = self.place_for(&response) else { return };
        let responses = &mut self.ledger.responses;
        match responses.get_mut(place) {
            Some(slot) => *slot = response,
            None => responses.push(response),
        }
        self.enqueue(place as u16 | RESPONSE);
    }

    /// Where an answer to owe goes; `None` when it is owed already, or when there is no room for it.
    fn place_for(&self, response: &Response) -> Option<usize> {
        let responses = &self.ledger.responses;
        let place = responses.iter().position(|r| r.entry.is_none() && r.gives_way_to(response));
        let place = place.unwrap_or(responses.len());
        (!self.owes(response) && place < PLACES_MAX && !self.is_full_for(response)).then_some(place)
    }

    fn owes(&self, response: &Response) -> bool {
        self.ledger.responses.iter().any(|r| r.entry.is_some() && r.says_the_same(response))
    }

    /// Whether so many answers to reports wait that one more has to come later. A peer that does not take its answers may
    /// report for ever under new ids; whoever decides says so to it, for what asks for an answer and is taken gets one.
    pub fn has_no_room(&self, response: &Response) -> bool {
        !self.owes(response) && self.is_full_for(response)
    }

    fn is_full_for(&self, response: &Response) -> bool {
        let waiting = self.ledger.responses.iter().filter(|r| r.entry.is_some() && r.is_to_report()).count();
        response.is_to_report() && waiting >= REPORT_ANSWERS_MAX * self.ledger.recipients.len().max(1)
    }

    fn enqueue(&mut self, part: u16) {
        if let Some(entry) = self.ledger.entry(part) {
            self.ops.push(Op::Enqueue(entry));
        }
    }

    fn entry_slot(&mut self, part: u16) -> Option<&mut Option<(Timestamp, u32)>> {
        match Part::of(part) {
            Part::Transaction(i) => self.ledger.transactions.get_mut(i).map(|t| &mut t.entry),
            Part::Response(i) => self.ledger.responses.get_mut(i).map(|r| &mut r.entry),
            Part::Report(i) => self.ledger.reports.get_mut(i).map(|r| &mut r.entry),
            Part::Notice(i) => self.ledger.notices.get_mut(i).map(|n| &mut n.entry),
            Part::Lookup => Some(&mut self.ledger.lookup),
        }
    }

    /// The errand is over: its entry leaves the queue.
    pub fn ack(&mut self, part: u16) {
        if let Some(entry) = self.ledger.entry(part) {
            self.ops.push(Op::Ack(entry));
        }
        if let Some(slot) = self.entry_slot(part) {
            *slot = None;
        }
    }

    /// The errand is tried again at `due`, as one more attempt.
    pub fn retry(&mut self, part: u16, due: Timestamp) {
        match self.ledger.entry(part) {
            Some(entry) => {
                let attempt = entry.attempt + 1;
                self.ops.push(Op::Retry { entry, due });
                if let Some(slot) = self.entry_slot(part) {
                    *slot = Some((due, attempt));
                }
            }
            None => self.requeue(part, due),
        }
    }

    /// Put an errand that has no entry (its request was taken before) back into the queue.
    pub fn requeue(&mut self, part: u16, due: Timestamp) {
        if let Some(slot) = self.entry_slot(part) {
            *slot = Some((due, 0));
        }
        self.enqueue(part);
    }

    /// The recipient enters a state.
    pub fn enter(
        &mut self,
        place: u16,
        state: RecipientState,
        reason: Option<Reason>,
        status: Option<RequestStatus>,
        text: Option<HeaderText>,
    ) {
        let now = self.now;
        if let Some(recipient) = self.ledger.recipients.get_mut(usize::from(place)) {
            recipient.state = state;
            recipient.reason = reason;
            recipient.status = status.or(recipient.status);
            recipient.text = text.map(|t| t.capped(256));
            recipient.since = now;
        }
    }

    /// Close the transactions in which nobody waits any more.
    pub fn settle(&mut self) {
        for part in 0..self.ledger.transactions.len() {
            let transaction = &self.ledger.transactions[part];
            let waits = transaction.recipients.iter().any(|i| {
                let state = self.ledger.recipients[usize::from(*i)].state;
                matches!(state, RecipientState::Queued | RecipientState::Forwarded)
            });
            // Recipients may have moved on to a later transaction.
            let superseded =
                |i: &u16| self.ledger.transactions[part + 1..].iter().any(|t| t.recipients.contains(i));
            if transaction.state != TransactionState::Settled
                && (!waits || transaction.recipients.iter().all(superseded))
            {
                self.ledger.transactions[part].state = TransactionState::Settled;
                self.ack(part as u16);
            }
        }
    }

    /// When this ledger wants to be looked at again. Not at once: a ledger that has just been looked at and still has
    /// something due must not keep the heart spinning.
    fn wake(&self) -> Option<Timestamp> {
        let soonest = self.now.plus(Duration::from_secs(1));
        self.next_timer().map(|at| at.max(soonest))
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let ledger = &self.ledger;
        if ledger.is_closed() {
            return Some(ledger.last_moment().plus(self.house.limits.history_kept));
        }
        let timers = ledger.transactions.iter().filter_map(|t| match t.state {
            TransactionState::Awaiting(until) => Some(until),
            // Past its deadline it is on its way; its end, or its next turn to leave, wakes the ledger.
            TransactionState::Queued => Some(self.deadline()).filter(|at| *at > self.now),
            TransactionState::Settled => None,
        });
        let kept = ledger
            .recipients
            .iter()
            .any(|r| match r.state {
                RecipientState::Stored => true,
                RecipientState::Retrieved => ledger.body.is_some(),
                _ => false,
            })
            .then_some(ledger.expires);
        let owed = ledger.responses.iter().filter(|r| r.entry.is_some()).map(|r| r.bring_by(self.house));
        let reports = ledger.reports.iter().filter_map(|r| r.timer(self.house));
        let notices = ledger.notices.iter().filter(|n| n.entry.is_some()).map(|n| n.bring_by(self.house));
        let routing = ledger.lookup.map(|_| self.deadline()).filter(|at| *at > self.now);
        timers.chain(kept).chain(owed).chain(reports).chain(notices).chain(routing).min()
    }

    /// The ledger has served; everything about it goes.
    pub fn remove(mut self, answer: Option<Answer>) -> Decision {
        let id = self.ledger.id;
        self.needs.push(Need::Version { id, version: self.version });
        self.ops.push(Op::RemoveLedger { id });
        let batch = Batch { need: self.needs, ops: self.ops };
        Decision { batch: Some(batch), ..Decision::only(answer) }
    }

    /// The ledger as it is now becomes true.
    pub fn finish(mut self, answer: impl FnOnce(&Ledger) -> Option<Answer>) -> Decision {
        self.settle();
        let before = std::mem::take(&mut self.seen);
        self.notify_changes(&before);
        let id = self.ledger.id;
        if self.had_content && !self.ledger.needs_content(self.now) {
            self.ops.push(Op::DropContent { id });
            self.ledger.body = None;
        }
        let news = self.ledger.history[self.told.min(self.ledger.history.len())..].to_vec();
        if self.ledger.history.len() > HISTORY_MAX {
            // The beginning tells where it came from, the end where it stands; the middle is repetition.
            let excess = self.ledger.history.len() - HISTORY_MAX;
            self.ledger.history.drain(20..20 + excess);
            self.ledger.history_cut += excess as u32;
        }
        self.needs.push(Need::Version { id, version: self.version });
        let wake = self.wake();
        self.ops.push(Op::PutLedger { id, ledger: self.ledger.encode(), wake });
        let answer = answer(&self.ledger);
        let batch = Batch { need: self.needs, ops: self.ops };
        Decision { ledger: Some(self.ledger), batch: Some(batch), news, answer, redirect: None }
    }

    /// The claim must still be ours.
    pub fn hold(&mut self, entry: &Entry) {
        self.needs.push(Need::Held(entry.clone()));
    }
}
