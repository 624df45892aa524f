//! Drives one shard over the store in memory, with a clock that the test turns.
#![allow(dead_code, reason = "each test file uses its own part")]

use mms::{AbstractMessage, ForwardReq, ForwardRes, MmId, Party, RequestStatus, Timestamp, TransactionId};
use relay::house::Local;
use relay::memory::Memory;
use relay::store::Store;
use relay::{
    Answer, Arrival, Arrived, Body, Carried, Errand, Event, House, Input, Ledger, Lookup, Notification,
    Output, Peer, PeerName, RecipientState, Shard, Submission, Told,
};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub fn party(text: &str) -> Party {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
pub fn u1() -> Party {
    party("+12025550100")
}
pub fn u2() -> Party {
    party("+12025550101")
}
pub fn b1() -> Party {
    party("+12025550110")
}
pub fn b2() -> Party {
    party("+12025550111")
}
pub fn body() -> Body {
    Body { len: 3, decoded: 3, offset: 0, digest: 1, eight_bit: false }
}
/// Every local recipient fetched it.
pub fn fetched() -> Event {
    Event::Handled { recipient: None, how: relay::Handling::Retrieve, report_allowed: true }
}

/// The peer took the errand, to one recipient.
pub fn taken() -> Carried {
    Carried::Told(vec![Told::Taken("250 taken".into())])
}

pub fn house() -> House {
    let peer = |name: &str, prefix: &str| {
        let domain = format!("mms.{name}.example").parse().unwrap();
        Peer { prefixes: vec![prefix.into()], ..Peer::new(name, domain) }
    };
    House {
        locals: vec![Local::mailboxes(vec!["1202555010".into()])],
        peers: vec![peer("b", "1202555011"), peer("c", "1202555012")],
        ..House::new("mms.a.example".parse().unwrap())
    }
}

pub fn request() -> ForwardReq {
    ForwardReq { content_type: mms::HeaderText::new("text/plain").ok(), ..ForwardReq::default() }
}

pub fn submission(from: Party, to: &[Party]) -> Submission {
    Submission {
        by: "test".into(),
        hook: None,
        once: None,
        from,
        to: to.to_vec(),
        cc: Vec::new(),
        bcc: Vec::new(),
        request: request(),
        body: Some(body()),
        content: None,
    }
}

/// An `MM4_forward.REQ` from B1 that asks for a response.
pub fn fwd(message_id: &str, transaction_id: &str) -> ForwardReq {
    ForwardReq {
        transaction_id: TransactionId::new(transaction_id).ok(),
        message_id: mms::MessageId::new(message_id).ok(),
        from: Some(b1()),
        to: vec![u1()],
        ack_request: Some(true),
        ..request()
    }
}

pub fn res_for(id: TransactionId, status: RequestStatus, recipients: &[Party]) -> AbstractMessage {
    AbstractMessage::ForwardRes(ForwardRes {
        version: None,
        transaction_id: Some(id),
        message_id: None,
        request_status: status,
        status_text: None,
        request_recipients: recipients.to_vec(),
        sender: None,
        to: None,
        date: None,
        internet_message_id: None,
    })
}

pub fn res(errand: &Errand, status: RequestStatus, recipients: &[Party]) -> AbstractMessage {
    res_for(errand.message.transaction_id().unwrap().clone(), status, recipients)
}

pub struct Driver {
    store: Arc<Memory>,
    shard: Shard,
    pub now: Timestamp,
    errands: VecDeque<Errand>,
    pub notifications: VecDeque<Notification>,
    pub lookups: VecDeque<Lookup>,
    answers: HashMap<u64, Answer>,
    tickets: u64,
    ids: u64,
}

impl Driver {
    pub fn new() -> Self {
        Self::over(Arc::new(Memory::default()), Timestamp::from_seconds(1_741_083_330), 0, house())
    }

    pub fn with(house: House) -> Self {
        Self::over(Arc::new(Memory::default()), Timestamp::from_seconds(1_741_083_330), 0, house)
    }

    fn over(store: Arc<Memory>, now: Timestamp, ids: u64, house: House) -> Self {
        let mut seed = u128::from(ids) + 1;
        let entropy = move || {
            seed = seed.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D);
            seed
        };
        let shard = Shard::new(store.clone(), Arc::new(house), now, Box::new(entropy)).unwrap();
        let (notifications, lookups) = (VecDeque::new(), VecDeque::new());
        let (errands, answers) = (VecDeque::new(), HashMap::new());
        let mut driver =
            Self { store, shard, now, errands, notifications, lookups, answers, tickets: 0, ids };
        driver.run();
        driver
    }

    /// The process dies and starts again: all that is not in the store is forgotten.
    pub fn restart(self) -> Self {
        let house = House::clone(self.shard.house());
        Self::over(self.store, self.now, self.ids + 1000, house)
    }

    /// The same, in place.
    pub fn restart_here(&mut self) {
        let house = House::clone(self.shard.house());
        *self = Self::over(self.store.clone(), self.now, self.ids + 1000, house);
    }

    pub fn house(&self) -> &House {
        self.shard.house()
    }

    pub fn store(&self) -> &Memory {
        &self.store
    }

    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.shard.poll() {
            any = true;
            match output {
                Output::Commit { token, batch } => {
                    let result = Arc::new(Mutex::new(None));
                    let slot = Arc::clone(&result);
                    self.store.commit(batch, Box::new(move |r| *slot.lock().unwrap() = Some(r)));
                    let result = result.lock().unwrap().take().expect("memory commits at once");
                    self.shard.input(self.now, Input::Committed { token, result });
                }
                Output::Answer { ticket, answer } => drop(self.answers.insert(ticket, answer)),
                Output::Dispatch(errand) => self.errands.push_back(*errand),
                Output::Notify(notification) => self.notifications.push_back(*notification),
                Output::Lookup(lookup) => self.lookups.push_back(*lookup),
                Output::News { .. } => {}
                Output::Alarm { mm, text } => panic!("alarm about {mm:?}: {text}"),
            }
        }
        any
    }

    pub fn run(&mut self) {
        loop {
            self.drain();
            self.shard.advance(self.now);
            if !self.drain() {
                break;
            }
        }
    }

    pub fn input(&mut self, mm: MmId, event: Event) -> Option<Answer> {
        self.tickets += 1;
        let ticket = Some(self.tickets);
        self.shard.input(self.now, Input::Event { mm, event, ticket });
        self.run();
        self.answers.remove(&self.tickets)
    }

    pub fn event(&mut self, mm: MmId, event: Event) {
        self.input(mm, event);
    }

    fn fresh(&mut self) -> MmId {
        self.ids += 1;
        MmId::new(self.now.millis(), 0, self.ids)
    }

    pub fn submit(&mut self, submission: Submission) -> Ledger {
        let id = self.fresh();
        match self.input(id, Event::Submitted(Box::new(submission))) {
            Some(Answer::Ledger(ledger)) => Ledger::clone(&ledger),
            other => panic!("{other:?}"),
        }
    }

    pub fn arrival(&self, peer: &str, message: AbstractMessage, to: &[Party]) -> Arrival {
        Arrival {
            peer: PeerName::new(peer),
            mail_from: format!("+12025550110/TYPE=PLMN@mms.{peer}.example").parse().ok(),
            recipients: to.iter().map(Party::path).collect(),
            message: Arrived::Message(message),
            trouble: None,
            hops: 1,
            own_hops: 0,
            decoded_size: 3,
            body: Some(body()),
            content: None,
        }
    }

    pub fn arrives_new(&mut self, peer: &str, request: ForwardReq, to: &[Party]) -> (MmId, Answer) {
        let arrival = self.arrival(peer, AbstractMessage::ForwardReq(request), to);
        let id = self.fresh();
        let answer = self.input(id, Event::Arrived(Box::new(arrival))).expect("an answer");
        (id, answer)
    }

    pub fn arrives(&mut self, peer: &str, message: AbstractMessage) {
        let arrival = self.arrival(peer, message, &[party("system-user@mms.a.example")]);
        let id = self.fresh();
        let answer = self.input(id, Event::Arrived(Box::new(arrival)));
        assert!(matches!(answer, Some(Answer::Mail(r)) if r.code == 250));
    }

    pub fn errand(&mut self) -> Errand {
        self.errands.pop_front().expect("an errand")
    }

    pub fn no_errand(&self) -> bool {
        self.errands.is_empty()
    }

    pub fn carried(&mut self, errand: &Errand, how: Carried) {
        self.event(
            errand.mm,
            Event::Carried { entry: errand.entry.clone(), places: errand.places.clone(), how },
        );
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now.plus(span);
        while let Some(at) = self.shard.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.run();
        }
        self.now = end;
        self.run();
    }

    pub fn ledger(&self, id: MmId) -> Ledger {
        Ledger::decode(&self.store.ledger(id).unwrap().expect("a ledger").ledger).unwrap()
    }

    pub fn states(&self, id: MmId) -> Vec<RecipientState> {
        self.ledger(id).recipients.iter().map(|r| r.state).collect()
    }
}
