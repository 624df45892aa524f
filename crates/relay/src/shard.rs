//! A shard of the heart: an event loop's state, without the loop.
//!
//! Owns: the ledgers that are in memory, the heads of the queues, the gates of the peers, the batches under way. Never
//! knows: threads, sockets, clocks, files. Whoever drives it puts inputs in and takes outputs out, to the end, before
//! the next input.
//!
//! Decide, commit, then act: an answer, an errand or a moment is put out only after the batch that justifies it is
//! durable. While a ledger's batch is under way its further events wait; those of other ledgers pass.

use crate::answer::{
    Report, bounced, ignored, named_recipient, passed_on, report, report_answered, reported, responded,
    unfit_report,
};
use crate::arrive::{arrived, asked_again, passing};
use crate::carry::carried;
use crate::deliver::found;
use crate::errand::{Due, Errand};
use crate::event::{Answer, Arrival, Arrived, Carried, Event};
use crate::flood::{self, Floods};
use crate::house::{House, PeerName};
use crate::ledger::{Ledger, Moment};
use crate::lookup::Lookup;
use crate::notice::Notification;
use crate::queue::{Gate, Queue};
use crate::store::{Batch, ContentRef, Entry, Op, Outcome, QueueId, Store, StoreError, TagKind};
use crate::submit::{repeated, submitted};
use crate::tend::{dropped, handled, retry_now, woken};
use crate::turn::{Decision, Turn};
use crate::verdict::Reason;
use mms::{AbstractMessage, Address, ForwardRes, MmId, Timestamp, TransactionId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Names the one who waits for an answer; made by the driver.
pub type Ticket = u64;

/// Names a batch under way; made by the shard.
pub type Token = u64;

/// What goes into a shard.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time")]
pub enum Input {
    /// Something happened to an MM, old or new.
    Event {
        /// The MM. For an arrival or a submission: a fresh id.
        mm: MmId,
        /// What happened.
        event: Event,
        /// Who waits for the answer, if anybody.
        ticket: Option<Ticket>,
    },
    /// What became of a batch.
    Committed {
        /// Which one.
        token: Token,
        /// What became of it.
        result: Result<Outcome, StoreError>,
    },
    /// The operator changed the configuration.
    Reload(Arc<House>),
    /// Nothing goes to this peer until it is resumed.
    Pause(PeerName),
    /// Undo a pause; also opens a shut gate.
    Resume(PeerName),
}

/// What comes out of a shard.
#[derive(Debug)]
pub enum Output {
    /// Commit this and report with the token.
    Commit {
        /// Names it.
        token: Token,
        /// The batch.
        batch: Arc<Batch>,
    },
    /// Tell the one who waits.
    Answer {
        /// Who.
        ticket: Ticket,
        /// What.
        answer: Answer,
    },
    /// Carry this, and report with [`Event::Carried`].
    Dispatch(Box<Errand>),
    /// Tell this to an application, and report with [`Event::Carried`].
    Notify(Box<Notification>),
    /// Look these numbers up, and report with [`Event::Found`].
    Lookup(Box<Lookup>),
    /// This happened; for the log.
    News {
        /// The MM.
        mm: MmId,
        /// What.
        moment: Moment,
    },
    /// Something about our own house that an operator should know.
    Alarm {
        /// The MM, if it is about one.
        mm: Option<MmId>,
        /// What.
        text: String,
    },
}

/// One peer's queue at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// The peer.
    pub peer: PeerName,
    /// Its gate.
    pub gate: Gate,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Errands on their way.
    pub in_flight: usize,
}

/// Ledgers kept in memory although nothing is under way for them.
const CACHE_MAX: usize = 4096;
/// MMs of one Message-ID that a report may be about.
const NAMESAKES_MAX: usize = 64;
/// Entries and wakes read from the store at once.
const READ_MAX: usize = 512;

/// An event in waiting, and who waits for its answer.
#[derive(Debug)]
struct Pending {
    event: Event,
    ticket: Option<Ticket>,
    /// What the store remembers under the keys of this arrival.
    remembered: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct Slot {
    ledger: Option<Arc<Ledger>>,
    version: u32,
    content: Option<ContentRef>,
    /// Whether ledger and version are what the store has.
    loaded: bool,
    /// A batch is under way.
    busy: bool,
    /// Not empty only while busy, and while [`Shard::go_on`] works through it.
    waiting: VecDeque<Pending>,
    /// Entries whose turn to leave came while a batch was under way. What is to be carried, if anything still is, shows
    /// when it is over.
    leaving: Vec<Entry>,
}

impl Slot {
    fn is_idle(&self) -> bool {
        !self.busy && self.waiting.is_empty() && self.leaving.is_empty()
    }
}

#[derive(Debug)]
struct UnderWay {
    mm: MmId,
    pending: Pending,
    ledger: Option<Ledger>,
    news: Vec<Moment>,
    answer: Option<Answer>,
    batch: Arc<Batch>,
    repeats: u32,
}

/// See the module.
pub struct Shard {
    store: Arc<dyn Store>,
    house: Arc<House>,
    entropy: Box<dyn FnMut() -> u128 + Send>,
    now: Timestamp,
    slots: HashMap<MmId, Slot>,
    /// Loaded slots in the order of their loading, for eviction.
    cached: VecDeque<MmId>,
    queues: HashMap<PeerName, Queue>,
    /// Queues of the store whose peer is not configured any more are left alone.
    wakes: BTreeSet<(Timestamp, MmId)>,
    /// Wakes in the store beyond this are not in memory; `None` = nothing is missing.
    wakes_horizon: Option<(Timestamp, MmId)>,
    under_way: HashMap<Token, UnderWay>,
    next_token: Token,
    outputs: VecDeque<Output>,
    floods: Floods,
}

impl Shard {
    /// A shard over a store, at this time. `entropy` gives unguessable bits.
    ///
    /// # Errors
    /// When the store cannot say which queues it has.
    pub fn new(
        store: Arc<dyn Store>,
        house: Arc<House>,
        now: Timestamp,
        entropy: Box<dyn FnMut() -> u128 + Send>,
    ) -> Result<Self, StoreError> {
        let queues =
            store.queues()?.into_iter().map(|head| (PeerName(head.queue.0), Queue::unread())).collect();
        Ok(Self {
            store,
            house,
            entropy,
            now,
            slots: HashMap::new(),
            cached: VecDeque::new(),
            queues,
            wakes: BTreeSet::new(),
            wakes_horizon: Some((Timestamp::from_millis(i64::MIN), MmId::from_bits(0))),
            under_way: HashMap::new(),
            next_token: 0,
            outputs: VecDeque::new(),
            floods: Floods::default(),
        })
    }

    /// Take the next output. Empty it before the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many batches are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nothing is under way and nothing is due: only an event or the passing of time can change anything.
    pub fn is_quiet(&self) -> bool {
        let nothing_due = self.next_wake().is_none_or(|at| at > self.now);
        self.under_way.is_empty() && nothing_due && self.queues.values().all(|q| q.in_flight() == 0)
    }

    /// The policy in force.
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// Every peer, as its queue stands.
    pub fn peers(&self) -> Vec<PeerState> {
        let state = |peer: &PeerName| {
            let queue = self.queues.get(peer);
            PeerState {
                peer: peer.clone(),
                gate: queue.map_or(Gate::Open, |q| q.gate.clone()),
                paused: queue.is_some_and(|q| q.paused),
                in_flight: queue.map_or(0, Queue::in_flight),
            }
        };
        self.house.peers.iter().map(|p| state(&p.name)).collect()
    }

    /// Put one input in.
    pub fn input(&mut self, now: Timestamp, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Event { mm, event, ticket } => self.event(mm, event, ticket),
            Input::Committed { token, result } => self.committed(token, result),
            Input::Reload(house) => self.house = house,
            Input::Pause(peer) => self.queue(&peer).paused = true,
            Input::Resume(peer) => {
                let queue = self.queue(&peer);
                queue.paused = false;
                queue.opened();
            }
        }
    }

    /// Let time pass: wake ledgers, open gates, send errands that are due.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.wake_ledgers();
        self.dispatch();
    }

    /// When [`Shard::advance`] has something to do next, if nothing happens before.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let most = self.house.limits.in_flight_max;
        let wake = match self.wakes.first() {
            Some((at, _)) => Some(*at),
            None => self.wakes_horizon.map(|_| self.now), // not all of them were read yet
        };
        let known = |name: &PeerName| self.house.serves(name);
        let queues = self.queues.iter().filter(|(name, _)| known(name)).filter_map(|(_, q)| q.next(most));
        queues.chain(wake).min()
    }

    fn queue(&mut self, peer: &PeerName) -> &mut Queue {
        // A queue that is not known has nothing in the store: all that have were read at the start.
        self.queues.entry(peer.clone()).or_insert_with(Queue::empty)
    }

    // ---- events ----

    fn event(&mut self, mm: MmId, event: Event, ticket: Option<Ticket>) {
        if let Event::Carried { entry, how: Carried::Unreachable(why), .. } = &event {
            let retry = self.house.retry.clone();
            let now = self.now;
            let queue = self.queue(&PeerName(entry.id.queue.0.clone()));
            queue.shut(now, &retry, why);
            queue.put_back(entry);
            // Its time may have ended while it was away, and nobody said so yet.
            let ledger = self.slots.get(&mm).and_then(|slot| slot.ledger.as_ref());
            if ledger.is_some_and(|ledger| ledger.deliver_by(&self.house) <= now) {
                self.wake(mm);
            }
            return;
        }
        if let Event::Carried { entry, how: Carried::Told(_), .. } = &event {
            self.queue(&PeerName(entry.id.queue.0.clone())).opened();
        }
        let (mm, event) = match event {
            Event::Arrived(arrival) => (self.ledger_of(&arrival).unwrap_or(mm), Event::Arrived(arrival)),
            Event::RetryNow { why, .. } => {
                let in_flight = self.queues.values().flat_map(|q| q.in_flight_of(mm)).collect();
                (mm, Event::RetryNow { why, in_flight })
            }
            other => (mm, other),
        };
        self.take_turn(mm, Pending { event, ticket, remembered: Vec::new() });
    }

    /// The ledger that a response, report or returned mail is about, by the ids in it. A hint only: the ledger decides.
    fn ledger_of(&self, arrival: &Arrival) -> Option<MmId> {
        match &arrival.message {
            Arrived::Message(AbstractMessage::ForwardReq(_)) => None,
            Arrived::Message(AbstractMessage::ForwardRes(response)) => {
                let ours = response.transaction_id.as_ref()?.mm();
                let asked = |mm: &MmId| {
                    let key = response.transaction_id.as_ref().map(TransactionId::key);
                    self.known(*mm).is_some_and(|l| l.transactions.iter().any(|t| Some(t.id.key()) == key))
                };
                ours.filter(asked).or_else(|| self.passed_mm(arrival, response)).or(ours)
            }
            Arrived::Message(m) if m.message_type().is_response() => m.transaction_id()?.mm(),
            Arrived::Message(m) => self.reported_mm(arrival, &report(m)?),
            Arrived::Bounce(bounce) => {
                let mail = bounce.internet_message_id.as_deref();
                let by_mail = || mail?.split(['.', '@']).next()?.parse().ok();
                bounce.transaction_id.as_ref().and_then(TransactionId::mm).or_else(by_mail)
            }
            Arrived::Unknown { .. } | Arrived::NotMm4 => None,
        }
    }

    /// The MM that passed through us as it came, to the peer that now answers us.
    fn passed_mm(&self, arrival: &Arrival, response: &ForwardRes) -> Option<MmId> {
        let key = response.message_id.as_ref()?.key();
        let tagged = self.store.tagged(TagKind::MessageId, Some(key), None, NAMESAKES_MAX).ok()?;
        let passed = |mm: &MmId| self.known(*mm).is_some_and(|l| passed_on(&l, &arrival.peer, response));
        tagged.into_iter().map(|(_, mm)| mm).find(passed)
    }

    /// A ledger, from memory or from the store.
    fn known(&self, mm: MmId) -> Option<Arc<Ledger>> {
        let stored = || Some(Arc::new(Ledger::decode(&self.store.ledger(mm).ok()??.ledger).ok()?));
        self.slots.get(&mm).and_then(|slot| slot.ledger.clone()).or_else(stored)
    }

    /// The MM that a report is about: ours by its id; one that passed through us by the id its originator gave it, which
    /// other MMs may have as well.
    fn reported_mm(&self, arrival: &Arrival, report: &Report<'_>) -> Option<MmId> {
        let key = report.message_id?.key();
        // Another relay of our kind writes ids like ours, at its own domain.
        let at_ours =
            |domain: &str| self.house.domains.iter().any(|d| d.as_str().eq_ignore_ascii_case(domain));
        let ours =
            key.split_once('@').filter(|(_, domain)| at_ours(domain)).and_then(|(id, _)| id.parse().ok());
        let peer = self.house.peer(&arrival.peer)?;
        if ours.is_some() {
            return ours;
        }
        let names_it = |mm: &MmId| {
            self.known(*mm).is_some_and(|ledger| named_recipient(&ledger, peer, report).is_some())
        };
        let tagged = self.store.tagged(TagKind::MessageId, Some(key), None, NAMESAKES_MAX).ok()?;
        let namesakes: Vec<MmId> = tagged.into_iter().map(|(_, mm)| mm).collect();
        namesakes.iter().copied().find(names_it).or(namesakes.first().copied())
    }

    fn take_turn(&mut self, mm: MmId, pending: Pending) {
        let slot = self.slots.entry(mm).or_default();
        if slot.busy {
            slot.waiting.push_back(pending);
            return;
        }
        if !slot.loaded && !self.load(mm, &pending) {
            self.refuse(mm, pending, Reason::Unavailable, "the ledger cannot be read".into());
            return;
        }
        if let Event::Arrived(arrival) = &pending.event
            && let Some(content) = &arrival.content
            && !self.floods.has_room(&self.house, &*self.store, &arrival.peer, content.len)
        {
            return self.refuse(mm, pending, Reason::Quota, String::new());
        }
        let decision = self.decide(mm, &pending);
        self.carry_out(mm, pending, decision);
    }

    /// Bring a ledger into memory. `false` when it exists but cannot be read: it is set aside, the others go on.
    fn load(&mut self, mm: MmId, pending: &Pending) -> bool {
        // A fresh id has no ledger; do not ask.
        let fresh = match &pending.event {
            Event::Submitted(_) => true,
            Event::Arrived(arrival) => {
                matches!(
                    arrival.message,
                    Arrived::Unknown { .. }
                        | Arrived::NotMm4
                        | Arrived::Message(AbstractMessage::ForwardReq(_))
                )
            }
            _ => false,
        };
        let stored = if fresh { Ok(None) } else { self.store.ledger(mm) };
        let slot = self.slots.entry(mm).or_default();
        match stored {
            Ok(None) => {
                let (waiting, leaving) =
                    (std::mem::take(&mut slot.waiting), std::mem::take(&mut slot.leaving));
                *slot = Slot { loaded: true, waiting, leaving, ..Slot::default() };
            }
            Ok(Some(stored)) => match Ledger::decode(&stored.ledger) {
                Ok(ledger) => {
                    slot.ledger = Some(Arc::new(ledger));
                    slot.version = stored.version;
                    slot.content = stored.content;
                    slot.loaded = true;
                }
                Err(damaged) => {
                    let text = format!(
                        "ledger set aside: expected {}, {} octets from its end",
                        damaged.expected, damaged.left
                    );
                    self.outputs.push_back(Output::Alarm { mm: Some(mm), text });
                    return false;
                }
            },
            Err(error) => {
                self.outputs.push_back(Output::Alarm { mm: Some(mm), text: error.to_string() });
                return false;
            }
        }
        self.cached.push_back(mm);
        true
    }

    fn decide(&mut self, mm: MmId, pending: &Pending) -> Decision {
        let house = Arc::clone(&self.house);
        let now = self.now;
        let Some(slot) = self.slots.get(&mm) else { return Decision::only(None) };
        let entropy = &mut *self.entropy;
        let turn = slot.ledger.as_ref().map(|ledger| {
            Turn::new(&house, now, Ledger::clone(ledger), slot.version, slot.content.is_some())
        });
        match (&pending.event, turn) {
            (Event::Submitted(submission), None) => repeated(submission, &pending.remembered)
                .unwrap_or_else(|| submitted(&house, now, mm, submission, entropy)),
            (Event::Arrived(arrival), turn) => match (&arrival.message, turn) {
                // It would be taken for a word about everybody.
                (Arrived::Message(AbstractMessage::ForwardRes(response)), Some(turn))
                    if response.request_recipients.is_empty()
                        && passed_on(&turn.ledger, &arrival.peer, response)
                        && !turn.ledger.passed_to(&arrival.peer).is_empty() =>
                {
                    responded(turn, arrival, response, entropy)
                }
                (Arrived::Message(message), _) if let Some(to) = house.passes(arrival, message) => {
                    let fresh = MmId::new(now.millis(), mm.shard(), entropy() as u64);
                    passing(&house, now, fresh, arrival, &to, entropy)
                }
                (Arrived::Bounce(bounce), Some(turn)) => bounced(turn, arrival, bounce, entropy),
                (Arrived::Bounce(_), None) => ignored(now, arrival),
                (Arrived::Message(AbstractMessage::ForwardRes(response)), Some(turn)) => {
                    responded(turn, arrival, response, entropy)
                }
                (Arrived::Message(message), Some(turn)) if message.message_type().is_response() => {
                    report_answered(turn, arrival, message)
                }
                (Arrived::Message(message), turn) if report(message).is_some() => {
                    let Some(report) = report(message) else { return ignored(now, arrival) };
                    let fits = turn
                        .filter(|_| arrival.trouble.is_none())
                        .and_then(|t| reported(t, arrival, &report, entropy));
                    // Answered in a ledger of its own, under an id that no peer chose.
                    fits.unwrap_or_else(|| {
                        let fresh = MmId::new(now.millis(), mm.shard(), (self.entropy)() as u64);
                        unfit_report(&house, now, fresh, arrival, &report)
                    })
                }
                // A response to nothing of ours, or to a report (whose ledgers come and go).
                (Arrived::Message(message), _) if message.message_type().is_response() => {
                    ignored(now, arrival)
                }
                (_, _) => {
                    let crowded = |address: &Address| self.floods.is_crowded(&house, address, now);
                    arrived(&house, now, mm, arrival, &pending.remembered, crowded, entropy)
                }
            },
            (Event::AskedAgain(arrival), Some(turn)) => asked_again(turn, arrival),
            (Event::AskedAgain(_), None) => Decision::only(Some(Answer::Mail(Reason::Unavailable.reply()))),
            (Event::Found { entry, found: what }, Some(turn)) => found(turn, entry, what, entropy),
            (Event::Carried { entry, places, how }, Some(turn)) => carried(turn, entry, places, how, entropy),
            (Event::Handled { recipient, how, report_allowed }, Some(turn)) => {
                handled(turn, recipient.as_ref(), *how, *report_allowed, entropy)
            }
            (Event::RetryNow { why, in_flight }, Some(turn)) => retry_now(turn, why, in_flight),
            (Event::Drop { why }, Some(turn)) => dropped(turn, why, entropy),
            (Event::Woken { in_flight, trouble }, Some(turn)) => woken(turn, in_flight, trouble, entropy),
            (_, None) => Decision::only(Some(Answer::Unknown(mm))),
            (Event::Submitted(_), Some(_)) => {
                Decision::only(Some(Answer::Refused(Reason::Fault, "id in use".into())))
            }
        }
    }

    fn carry_out(&mut self, mm: MmId, pending: Pending, decision: Decision) {
        let Decision { ledger, batch, news, answer, redirect } = decision;
        if let Some(first) = redirect {
            if let Event::Arrived(arrival) = pending.event {
                let event = Event::AskedAgain(arrival);
                self.take_turn(first, Pending { event, ticket: pending.ticket, remembered: Vec::new() });
            }
            self.tidy(mm);
            return;
        }
        let Some(batch) = batch else {
            self.outputs.extend(news.into_iter().map(|moment| Output::News { mm, moment }));
            self.put_answer(pending.ticket, answer);
            if let Some(entry) = pending.event.entry() {
                // The MM is gone: nothing waits for this errand any more.
                self.queue(&PeerName(entry.id.queue.0.clone())).remove(entry);
            }
            self.tidy(mm);
            return;
        };
        // A decision may have made a ledger of another name (the answer to a report that fits nothing).
        let asked = mm;
        let mm = ledger.as_ref().map_or(mm, |l| l.id);
        if mm != asked {
            self.tidy(asked);
        }
        self.slots.entry(mm).or_default().busy = true;
        let token = self.next_token;
        self.next_token += 1;
        let batch = Arc::new(batch);
        self.outputs.push_back(Output::Commit { token, batch: batch.clone() });
        self.floods.begin(&batch);
        if let (Event::Arrived(_), Some(ledger)) = (&pending.event, &ledger)
            && flood::is_first(&batch)
        {
            self.floods.note(&self.house, ledger, self.now, false);
        }
        let under_way = UnderWay { mm, pending, ledger, news, answer, batch, repeats: 0 };
        self.under_way.insert(token, under_way);
    }

    fn put_answer(&mut self, ticket: Option<Ticket>, answer: Option<Answer>) {
        if let (Some(ticket), Some(answer)) = (ticket, answer) {
            self.outputs.push_back(Output::Answer { ticket, answer });
        }
    }

    fn refuse(&mut self, mm: MmId, pending: Pending, reason: Reason, why: String) {
        let answer = match &pending.event {
            Event::Arrived(_) | Event::AskedAgain(_) => Answer::Mail(reason.reply()),
            _ => Answer::Refused(reason, why),
        };
        self.put_answer(pending.ticket, Some(answer));
        if let Some(entry) = pending.event.entry() {
            self.queue(&PeerName(entry.id.queue.0.clone())).landed(entry);
        }
        self.forget(mm);
        self.tidy(mm);
    }

    // ---- commits ----

    fn committed(&mut self, token: Token, result: Result<Outcome, StoreError>) {
        let Some(mut done) = self.under_way.remove(&token) else { return };
        if !matches!(result, Err(StoreError::Unknown(_))) || done.repeats >= 3 {
            self.floods.end(&done.batch);
        }
        if let (Event::Arrived(_), Some(ledger)) = (&done.pending.event, &done.ledger)
            && flood::is_first(&done.batch)
            && !matches!(result, Ok(Outcome::Done) | Err(StoreError::Unknown(_)))
        {
            self.floods.note(&self.house, ledger, self.now, true);
        }
        match result {
            Ok(Outcome::Done) => self.became_true(done),
            Ok(Outcome::Duplicates(remembered)) => {
                done.pending.remembered = remembered;
                self.again(done.mm, done.pending, true);
            }
            Ok(Outcome::Stale(_)) => self.again(done.mm, done.pending, false),
            Ok(Outcome::Lost(entry)) => {
                // Somebody settled it meanwhile; what came back is history.
                self.queue(&PeerName(entry.id.queue.0.clone())).landed(&entry);
                self.forget(done.mm);
                self.landed(done.mm);
            }
            Err(StoreError::Unknown(_)) if done.repeats < 3 => {
                done.repeats += 1;
                self.outputs.push_back(Output::Commit { token, batch: done.batch.clone() });
                self.under_way.insert(token, done);
            }
            Err(error) => self.store_failed(done, &error),
        }
    }

    fn became_true(&mut self, done: UnderWay) {
        let UnderWay { mm, pending, ledger, news, answer, batch, .. } = done;
        for op in &batch.ops {
            match op {
                Op::Enqueue(entry) => {
                    let queue = self.queue(&PeerName(entry.id.queue.0.clone()));
                    queue.landed(entry);
                    queue.put(entry.clone());
                }
                Op::Retry { entry, due } => {
                    let queue = self.queue(&PeerName(entry.id.queue.0.clone()));
                    queue.remove(entry);
                    queue.put(Entry { due: *due, attempt: entry.attempt + 1, ..entry.clone() });
                }
                Op::Ack(entry) => self.queue(&PeerName(entry.id.queue.0.clone())).remove(entry),
                Op::PutLedger { wake: Some(at), id, .. }
                    if self.wakes_horizon.is_none_or(|h| (*at, *id) <= h) =>
                {
                    self.wakes.insert((*at, *id));
                    self.bound_wakes();
                }
                Op::KeepContent { content, .. } => {
                    self.slots.entry(mm).or_default().content = Some(content.clone());
                }
                Op::DropContent { .. } => self.slots.entry(mm).or_default().content = None,
                _ => {}
            }
        }
        let slot = self.slots.entry(mm).or_default();
        slot.version = if ledger.is_some() { slot.version + 1 } else { 0 };
        slot.ledger = ledger.map(Arc::new);
        slot.loaded = true;
        self.put_answer(pending.ticket, answer);
        self.outputs.extend(news.into_iter().map(|moment| Output::News { mm, moment }));
        self.landed(mm);
    }

    /// The decision rested on something that the store knows better: decide again.
    fn again(&mut self, mm: MmId, pending: Pending, loaded: bool) {
        if let Some(slot) = self.slots.get_mut(&mm) {
            slot.busy = false;
            slot.loaded = loaded;
        }
        self.take_turn(mm, pending);
        self.go_on(mm);
    }

    fn store_failed(&mut self, done: UnderWay, error: &StoreError) {
        self.outputs.push_back(Output::Alarm { mm: Some(done.mm), text: error.to_string() });
        let reason = match error {
            StoreError::Full(_) => Reason::Full,
            _ => Reason::Unavailable,
        };
        let mm = done.mm;
        if let Some(slot) = self.slots.get_mut(&mm) {
            slot.busy = false;
        }
        if let Some(entry) = done.pending.event.entry() {
            // It stays where it is in the store; it is due again after the next start, or sooner.
            let (retry, now) = (self.house.retry.clone(), self.now);
            let queue = self.queue(&PeerName(entry.id.queue.0.clone()));
            queue.shut(now, &retry, "our own store failed");
            queue.put_back(entry);
        }
        self.refuse(mm, done.pending, reason, error.to_string());
        self.go_on(mm);
    }

    fn forget(&mut self, mm: MmId) {
        if let Some(slot) = self.slots.get_mut(&mm) {
            (slot.loaded, slot.ledger) = (false, None);
        }
    }

    /// The batch of a ledger is over.
    fn landed(&mut self, mm: MmId) {
        if let Some(slot) = self.slots.get_mut(&mm) {
            slot.busy = false;
        }
        self.go_on(mm);
    }

    /// Everything that waited for this ledger, until one of them makes it busy again.
    fn go_on(&mut self, mm: MmId) {
        while let Some(slot) = self.slots.get_mut(&mm).filter(|slot| !slot.busy) {
            if let Some(pending) = slot.waiting.pop_front() {
                self.take_turn(mm, pending);
            } else if let Some(entry) = slot.leaving.pop() {
                self.send(entry);
            } else {
                self.tidy(mm);
                return;
            }
        }
    }

    /// A ledger that does not exist needs no slot, and the oldest of too many give way.
    fn tidy(&mut self, mm: MmId) {
        if self.slots.get(&mm).is_some_and(|slot| slot.is_idle() && slot.ledger.is_none()) {
            self.slots.remove(&mm);
        }
        let mut looked_at = 0;
        while self.cached.len() > CACHE_MAX && looked_at < 16 {
            looked_at += 1;
            let Some(oldest) = self.cached.pop_front() else { break };
            match self.slots.get(&oldest) {
                Some(slot) if !slot.is_idle() => self.cached.push_back(oldest),
                Some(_) => drop(self.slots.remove(&oldest)),
                None => {}
            }
        }
    }

    // ---- time ----

    fn bound_wakes(&mut self) {
        if self.wakes.len() > 4 * READ_MAX {
            let beyond = self.wakes.iter().nth(2 * READ_MAX).copied();
            if let Some(beyond) = beyond {
                drop(self.wakes.split_off(&beyond));
                self.wakes_horizon = self.wakes.last().copied();
            }
        }
    }

    fn wake_ledgers(&mut self) {
        // A bounded number at a time: the rest is due at once in the next turn.
        for _ in 0..READ_MAX {
            if self.wakes.is_empty()
                && let Some(after) = self.wakes_horizon
            {
                match self.store.wakes(Some(after), READ_MAX) {
                    Ok(more) => {
                        self.wakes_horizon = if more.len() < READ_MAX { None } else { more.last().copied() };
                        self.wakes.extend(more);
                    }
                    Err(error) => {
                        self.outputs.push_back(Output::Alarm { mm: None, text: error.to_string() });
                        return;
                    }
                }
            }
            let Some(first) = self.wakes.first().copied().filter(|(at, _)| *at <= self.now) else { return };
            self.wakes.remove(&first);
            let (at, mm) = first;
            // The ledger may have changed its mind since; only its latest wish counts.
            let current = self.slots.get(&mm).filter(|s| s.loaded).map(|s| s.busy);
            let stored = || self.store.ledger(mm).ok().flatten().and_then(|l| l.wake);
            if current == Some(true) || stored().is_some_and(|wish| wish <= self.now.max(at)) {
                self.wake(mm);
            }
        }
    }

    fn wake(&mut self, mm: MmId) {
        let in_flight = self.queues.values().flat_map(|q| q.in_flight_of(mm)).collect();
        let shut = self.queues.iter().filter_map(|(peer, queue)| Some((peer.clone(), queue.trouble()?)));
        let event = Event::Woken { in_flight, trouble: shut.collect() };
        self.take_turn(mm, Pending { event, ticket: None, remembered: Vec::new() });
    }

    fn dispatch(&mut self) {
        let (now, most) = (self.now, self.house.limits.in_flight_max);
        let ready = self.queues.iter().filter(|(_, queue)| queue.may_send(now, most));
        let mut names: Vec<PeerName> = ready.map(|(name, _)| name.clone()).collect();
        names.retain(|name| self.house.serves(name));
        // The order must not be chance: with the same inputs the heart puts out the same.
        names.sort_unstable();
        // One errand of each peer at a time: a long queue delays nobody else.
        while !names.is_empty() {
            names.retain(|name| {
                let rate_max = self.house.peer(name).and_then(|p| p.profile.rate_max);
                let Some(queue) = self.queues.get_mut(name) else { return false };
                queue.rate_max = rate_max;
                if queue.wants_after().is_some() {
                    self.fill(name);
                }
                let entry = self.queues.get_mut(name).and_then(|queue| queue.take(now, most));
                let more = entry.is_some();
                if let Some(entry) = entry {
                    self.send(entry);
                }
                more
            });
        }
    }

    fn fill(&mut self, name: &PeerName) {
        let Some((due, mm, part)) = self.queue(name).wants_after() else { return };
        let id = crate::store::EntryId { queue: QueueId(name.0.clone()), mm, part };
        let after = Entry { id, due, attempt: 0 };
        match self.store.entries(&after.id.queue, Some(&after), READ_MAX) {
            Ok(entries) => self.queue(name).read(entries, READ_MAX),
            Err(error) => self.outputs.push_back(Output::Alarm { mm: None, text: error.to_string() }),
        }
    }

    fn send(&mut self, entry: Entry) {
        let (mm, name) = (entry.id.mm, PeerName(entry.id.queue.0.clone()));
        let slot = self.slots.entry(mm).or_default();
        if slot.busy {
            // What is being decided may forbid it: an MM that expires at this moment must not leave.
            slot.leaving.push(entry);
            return;
        }
        if !self.queue(&name).is_in_flight(&entry) {
            return; // it was settled while it waited
        }
        let event = Event::Woken { in_flight: Vec::new(), trouble: Vec::new() };
        let probe = Pending { event, ticket: None, remembered: Vec::new() };
        if !self.slots.entry(mm).or_default().loaded && !self.load(mm, &probe) {
            self.queue(&name).landed(&entry);
            return;
        }
        let house = Arc::clone(&self.house);
        let (now, slot) = (self.now, self.slots.entry(mm).or_default());
        let due = match &slot.ledger {
            Some(ledger) => ledger.errand(&house, &entry, slot.content.as_ref(), now),
            None => Due::Nothing,
        };
        match due {
            Due::Carry(errand) => self.outputs.push_back(Output::Dispatch(errand)),
            Due::Notify(notification) => self.outputs.push_back(Output::Notify(notification)),
            Due::Lookup(lookup) => self.outputs.push_back(Output::Lookup(lookup)),
            Due::TooLate => {
                // Its ledger was not woken yet, because very many are due at this moment.
                self.queue(&name).put_back(&entry);
                self.wake(mm);
            }
            Due::Nothing => {
                let how = Carried::Unable("nothing to carry".into());
                self.take_turn(
                    mm,
                    Pending {
                        event: Event::Carried { entry, places: Vec::new(), how },
                        ticket: None,
                        remembered: Vec::new(),
                    },
                );
            }
        }
    }
}
