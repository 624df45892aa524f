//! What must hold in every run, whatever the weather.
//!
//! Owns: the promises that were made while the world ran, and every comparison of them with what became true. Never
//! knows: why anything happened. It looks from outside: at `250`s that left, connections that were asked for, and ledgers
//! as they are on the disks.

use crate::disk::Disk;
use crate::relays::{HUB, exists, granted, serves};
use mms::{AbstractMessage, Address, MessageType, MmId, RequestStatus};
use relay::house::{House, ResponseStyle};
use relay::store::{Batch, Op, Store};
use relay::{Arrival, Arrived, Ledger, Origin, RecipientState, TransactionState, What};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The peer that keeps to no rule; what it is promised counts, what it promises does not.
pub const HOSTILE: &str = "x";

/// Seconds after which an MM is gone although the weather is fine, where its sender wanted so; others live for days.
pub const SHORT: u64 = 7200;

/// A request for which a `250` left.
#[derive(Clone, Debug)]
pub struct Promise {
    relay: usize,
    peer: String,
    message_id: String,
    recipients: Vec<Address>,
    asked: bool,
}

impl Promise {
    /// What a `250` for this mail will promise; `None` for what is no request, or has no Message-ID to find it by.
    pub fn of(relay: usize, arrival: &Arrival) -> Option<Self> {
        let Arrived::Message(AbstractMessage::ForwardReq(request)) = &arrival.message else { return None };
        let recipients = arrival.recipients.iter().filter_map(|r| Some(r.party()?.address)).collect();
        Some(Self {
            relay,
            peer: arrival.peer.to_string(),
            message_id: request.message_id.as_ref()?.key().to_owned(),
            recipients,
            asked: request.ack_request == Some(true),
        })
    }
}

/// A relay, as the checks see it.
pub struct View<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its disk.
    pub disk: &'a Disk,
    /// Its configuration.
    pub house: &'a House,
}

impl View<'_> {
    /// Whether it may say `Ok` for all recipients when it took some.
    fn is_collective(&self) -> bool {
        self.house.peers.iter().any(|p| p.profile.response_style == ResponseStyle::Collective)
    }

    /// Whether it has a peer that sends no responses, so that it answers for what that peer took.
    fn is_silent(&self) -> bool {
        self.house.peers.iter().any(|p| !p.profile.expects_response)
    }

    fn ledgers(&self) -> Vec<Ledger> {
        let ids = self.disk.ledgers(None, false, usize::MAX).unwrap_or_default();
        let stored = ids.into_iter().filter_map(|id| self.disk.ledger(id).ok()?);
        stored.filter_map(|stored| Ledger::decode(&stored.ledger).ok()).collect()
    }
}

fn sender(ledger: &Ledger) -> Option<&str> {
    match &ledger.origin {
        Origin::Received { peer, .. } => Some(peer.as_str()),
        Origin::Submitted { .. } => None,
    }
}

fn message_id(ledger: &Ledger) -> Option<&str> {
    Some(ledger.request.as_ref()?.message_id.as_ref()?.key())
}

/// Whether the MM came from this peer or was sent to it.
fn concerns(ledger: &Ledger, peer: &str) -> bool {
    sender(ledger) == Some(peer) || ledger.transactions.iter().any(|t| t.peer.as_str() == peer)
}

/// In somebody's mailbox, now or before.
fn is_delivered(ledger: &Ledger, place: usize) -> bool {
    let state = ledger.recipients[place].state;
    let was_stored = || {
        let about = |m: &relay::Moment| m.recipients.is_empty() || m.recipients.contains(&(place as u16));
        ledger.history.iter().any(|m| m.what == What::Stored && about(m))
    };
    match state {
        RecipientState::Stored | RecipientState::Retrieved => true,
        RecipientState::Rejected | RecipientState::Deleted => true,
        // It was there, until its time ended or an operator dropped it.
        RecipientState::Expired | RecipientState::Failed => was_stored(),
        _ => false,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Checks {
    /// What did not hold, in words.
    pub broken: Vec<String>,
    promises: Vec<Promise>,
    submitted: Vec<(usize, MmId)>,
    /// Requests that reached a relay: whose, at which, from which peer, under which transaction.
    requests: BTreeSet<(usize, String, String)>,
    mails: u64,
}

impl Checks {
    fn fail(&mut self, words: String) {
        if self.broken.len() < 20 {
            self.broken.push(words);
        }
    }

    /// A mail came to a relay over a connection of this peer.
    pub fn arrived(&mut self, relay: usize, peer: &str, arrival: &Arrival) {
        self.mails += 1;
        let transaction = match &arrival.message {
            Arrived::Message(m) if !m.message_type().is_response() => m.transaction_id(),
            Arrived::Unknown { request, .. } => request.transaction_id.as_ref(),
            _ => None,
        };
        if let Some(id) = transaction {
            self.requests.insert((relay, peer.to_owned(), id.key().to_owned()));
        }
    }

    /// A `250` left for a mail.
    pub fn promised(&mut self, promise: Promise) {
        self.promises.push(promise);
    }

    /// A submission was taken.
    pub fn submitted(&mut self, relay: usize, mm: MmId) {
        self.submitted.push((relay, mm));
    }

    /// How many submissions were taken.
    pub fn submissions(&self) -> usize {
        self.submitted.len()
    }

    /// A relay is about to bring an errand to a peer: a response must answer a request of that very peer.
    pub fn brings(&mut self, relay: usize, name: &str, peer: &str, message: &AbstractMessage) {
        let kind = message.message_type();
        let Some(id) = message.transaction_id().filter(|_| kind.is_response()) else { return };
        if !self.requests.contains(&(relay, peer.to_owned(), id.key().to_owned())) {
            self.fail(format!("{name} answers {peer} with {kind} about {id}, which {peer} never asked"));
        }
    }

    /// What a mail of a peer is about to change: only what that peer sent, or was sent.
    pub fn changes(&mut self, name: &str, disk: &Disk, peer: &str, batch: &Batch) {
        for op in &batch.ops {
            let (Op::PutLedger { id, .. } | Op::RemoveLedger { id }) = op else { continue };
            let stored = disk.ledger(*id).ok().flatten();
            let Some(before) = stored.and_then(|stored| Ledger::decode(&stored.ledger).ok()) else {
                continue;
            };
            if !concerns(&before, peer) {
                self.fail(format!("{name}: a mail of {peer} changes {id}, which does not concern it"));
            }
        }
    }

    /// A relay connects.
    pub fn connects(&mut self, name: &str, peer: &str, host: &str, configured: Option<&str>) {
        if configured != Some(host) {
            let other = configured.unwrap_or("nowhere");
            self.fail(format!("{name} connects to {host} for {peer}, which is configured at {other}"));
        }
    }

    /// Something that is bounded is measured.
    pub fn measures(&mut self, name: &str, what: &str, is: usize, most: usize) {
        if is > most {
            self.fail(format!("{name}: {what} came to {is}, at most {most} are allowed"));
        }
    }

    /// A relay has started from its disk: whatever a `250` left for must be there.
    pub fn restarted(&mut self, relay: usize, view: &View<'_>) {
        let ledgers = view.ledgers();
        self.kept(relay, view.name, &ledgers);
    }

    fn kept(&mut self, relay: usize, name: &str, ledgers: &[Ledger]) {
        let mut known: BTreeMap<(&str, &str), Vec<&Address>> = BTreeMap::new();
        for ledger in ledgers {
            if let (Some(peer), Some(id)) = (sender(ledger), message_id(ledger)) {
                let recipients = ledger.recipients.iter().map(|r| &r.party.address);
                known.entry((peer, id)).or_default().extend(recipients);
            }
        }
        let mut lost = Vec::new();
        for promise in self.promises.iter().filter(|p| p.relay == relay) {
            let found = known.get(&(promise.peer.as_str(), promise.message_id.as_str()));
            let there = |a: &Address| found.is_some_and(|f| f.contains(&a));
            if let Some(missing) = promise.recipients.iter().find(|a| !there(a)) {
                let (peer, id) = (&promise.peer, &promise.message_id);
                lost.push(format!(
                    "{name} said 250 to {peer} for {id}, and has nothing for {}",
                    missing.value()
                ));
            }
        }
        for (_, mm) in self.submitted.iter().filter(|(at, _)| *at == relay) {
            if !ledgers.iter().any(|l| l.id == *mm) {
                lost.push(format!("{name} took the submission {mm} and has lost it"));
            }
        }
        lost.into_iter().for_each(|words| self.fail(words));
    }

    /// The weather has been clear for long enough.
    pub fn at_end(&mut self, views: &[View<'_>]) -> u64 {
        let all: Vec<Vec<Ledger>> = views.iter().map(View::ledgers).collect();
        let mut deliveries = 0;
        for (relay, view) in views.iter().enumerate() {
            self.kept(relay, view.name, &all[relay]);
            deliveries += self.delivered_once(view, &all[relay]);
            self.over(view, &all[relay]);
            self.own_peers_only(view, &all[relay]);
            self.answered(relay, view, &all[relay]);
            let most = self.submitted.len() + self.mails as usize;
            self.measures(view.name, "ledgers", all[relay].len(), most);
        }
        for (relay, mm) in self.submitted.clone() {
            if let Some(ledger) = all[relay].iter().find(|l| l.id == mm) {
                self.submission(relay, views, &all, ledger);
            }
        }
        deliveries
    }

    /// At most one delivery for each recipient of what one peer sent under one Message-ID.
    fn delivered_once(&mut self, view: &View<'_>, ledgers: &[Ledger]) -> u64 {
        let mut count: BTreeMap<(Option<&str>, &str, &Address), u64> = BTreeMap::new();
        for ledger in ledgers {
            let Some(id) = message_id(ledger) else { continue };
            for (place, recipient) in ledger.recipients.iter().enumerate() {
                if !is_delivered(ledger, place) {
                    continue;
                }
                *count.entry((sender(ledger), id, &recipient.party.address)).or_default() += 1;
            }
        }
        // The hostile peer may send different MMs under one id on purpose; those are different MMs.
        for ((peer, id, to), n) in count.iter().filter(|((peer, ..), n)| **n > 1 && *peer != Some(HOSTILE)) {
            let (peer, name) = (peer.unwrap_or("its own user"), view.name);
            self.fail(format!("{name} delivered {id} of {peer} to {} {n} times", to.value()));
        }
        count.values().sum()
    }

    /// Nothing waits any more, nothing that was owed to an honest peer was dropped.
    fn over(&mut self, view: &View<'_>, ledgers: &[Ledger]) {
        let name = view.name;
        for head in view.disk.queues().unwrap_or_default() {
            self.fail(format!("{name} still has something for {}", head.queue));
        }
        for ledger in ledgers {
            let id = ledger.id;
            let waits = |s: RecipientState| matches!(s, RecipientState::Routing | RecipientState::Queued);
            if ledger.recipients.iter().any(|r| waits(r.state)) {
                self.fail(format!("{name}: {id} still waits"));
            }
            if ledger.transactions.iter().any(|t| t.state != TransactionState::Settled) {
                self.fail(format!("{name}: a transaction of {id} is still open"));
            }
            // What a peer asks, however often, buys it so many answers about one MM.
            let asked = ledger.askers.len() + 1;
            let most = asked * 2 * ledger.recipients.len().max(1);
            let (forwards, reports): (Vec<_>, Vec<_>) =
                ledger.responses.iter().partition(|r| r.kind == MessageType::ForwardRes);
            self.measures(name, "responses about one MM", forwards.len(), most);
            let most = 8 * ledger.recipients.len().max(1);
            self.measures(name, "answers to reports about one MM", reports.len(), most);
            self.measures(name, "repeats to be answered", asked, 9);
            let dropped = |m: &&relay::Moment| {
                m.what == What::Unanswered && m.peer.as_ref().is_some_and(|p| p.as_str() != HOSTILE)
            };
            if let Some(moment) = ledger.history.iter().find(dropped) {
                self.fail(format!("{name}: {id} could not answer: {}", moment.text));
            }
        }
    }

    /// What a peer said stands only in the history of an MM that it sent or was sent.
    fn own_peers_only(&mut self, view: &View<'_>, ledgers: &[Ledger]) {
        for ledger in ledgers {
            let foreign = ledger
                .history
                .iter()
                .find(|m| m.peer.as_ref().is_some_and(|p| !concerns(ledger, p.as_str())));
            if let Some(moment) = foreign {
                let (name, id, what) = (view.name, ledger.id, moment.what.word());
                self.fail(format!("{name}: {id} was changed by a peer that it does not concern: {what}"));
            }
            let sent = |m: &&relay::Moment| {
                let to = |p: &relay::PeerName| ledger.transactions.iter().any(|t| t.peer == *p);
                matches!(m.what, What::Response | What::Report) && !m.peer.as_ref().is_some_and(to)
            };
            // Answers to reports of ours come from where the MM came from.
            if let Some(moment) = ledger.history.iter().find(sent).filter(|_| ledger.reports.is_empty()) {
                let (name, id, text) = (view.name, ledger.id, &moment.text);
                self.fail(format!("{name}: {id} heard an answer from a peer that was not asked: {text}"));
            }
        }
    }

    /// Every response that was asked for was brought.
    fn answered(&mut self, relay: usize, view: &View<'_>, ledgers: &[Ledger]) {
        let mut silent = Vec::new();
        for promise in self.promises.iter().filter(|p| p.relay == relay && p.asked && p.peer != HOSTILE) {
            let concerned = |l: &&Ledger| {
                sender(l) == Some(promise.peer.as_str()) && message_id(l) == Some(promise.message_id.as_str())
            };
            let brought = |l: &Ledger| {
                l.responses.iter().any(|r| r.kind == MessageType::ForwardRes && r.entry.is_none())
            };
            // What passed as it came is answered by whoever has it now.
            let passed = |l: &Ledger| {
                l.transactions.iter().any(relay::Transaction::passes)
                    && l.history.iter().any(|m| m.what == What::Forwarded)
            };
            if !ledgers.iter().filter(concerned).any(|l| brought(l) || passed(l)) {
                silent.push(format!(
                    "{} never answered {} about {}",
                    view.name, promise.peer, promise.message_id
                ));
            }
        }
        silent.into_iter().for_each(|words| self.fail(words));
    }

    /// A submission is delivered where its sender is told so, and known where the next relay took it.
    fn submission(&mut self, relay: usize, views: &[View<'_>], all: &[Vec<Ledger>], ledger: &Ledger) {
        let Some(id) = message_id(ledger) else { return };
        let is_short = ledger.expires.since(ledger.accepted) <= Duration::from_secs(SHORT);
        let copies = || all.iter().flatten().filter(|l| message_id(l) == Some(id));
        let touched = copies().any(|l| l.history.iter().any(|m| m.what == What::Operator));
        let unanswered = copies().any(|l| l.history.iter().any(|m| m.what == What::Unconfirmed));
        for (own, recipient) in ledger.recipients.iter().enumerate() {
            let (state, address) = (recipient.state, &recipient.party.address);
            let Some(at) = serves(address) else { continue };
            let copies = all[at].iter().filter(|l| message_id(l) == Some(id) && sender(l) != Some(HOSTILE));
            let delivered_in = |l: &&Ledger| {
                let named = l.recipients.iter().position(|r| r.party.address == *address);
                named.is_some_and(|place| is_delivered(l, place))
            };
            let delivered = copies.filter(delivered_in).count();
            let told = state == RecipientState::Accepted || is_delivered(ledger, own);
            let (name, number) = (views[relay].name, address.value());
            let for_all = views[at].is_collective() || views[HUB].is_collective();
            let alone = ledger.recipients.len() == 1;
            // What one `Ok` for all leaves open, what nobody was asked or nobody answered in time; what has expired on the
            // way is taken, too.
            let open = for_all && !alone || views[HUB].is_silent() || is_short || unanswered;
            let vague = open && delivered == 0;
            if told && delivered != 1 && !vague {
                let there = views[at].name;
                self.fail(format!(
                    "{name} told the sender of {id} that {number} has it, and {there} delivered it {delivered} times"
                ));
            }
            if delivered > 1 {
                self.fail(format!("{id} was delivered to {number} {delivered} times"));
            }
            // All trouble passes, so what may be sent arrives. Only "try again" may be said too often.
            let failed =
                matches!(state, RecipientState::Failed | RecipientState::Refused | RecipientState::Expired);
            let too_often = recipient.status == Some(RequestStatus::ErrorNetworkProblem);
            let may = granted(relay, at) && exists(address) && (alone || !for_all);
            if failed && may && !too_often && !is_short && !touched {
                let why = recipient.reason.map_or("no reason", relay::Reason::word);
                self.fail(format!("{name}: {id} for {number} is {state}: {why} {:?}", recipient.text));
            }
            if state == RecipientState::Unconfirmed {
                // Late, but it was brought: `answered` sees to that.
                self.fail(format!("{name}: {id} for {number} is unconfirmed although it was answered"));
            }
            if state == RecipientState::Forwarded {
                let taken_by = |l: &&Ledger| message_id(l) == Some(id) && sender(l) == Some(name);
                if !all.iter().any(|l| l.iter().any(|l| taken_by(&l))) {
                    self.fail(format!("{name}: {id} for {number} was taken by nobody"));
                }
            }
        }
    }
}
