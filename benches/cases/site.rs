//! A relay between two peers without its docks: the heart over a store, driven as the house drives it.

use mms::{AbstractMessage, ForwardReq, MessageId, MmId, RequestStatus, Timestamp, TransactionId};
use relay::house::{Local, Transit, TransitMode};
use relay::store::{Batch, ContentRef, Outcome, Store, StoreError};
use relay::{
    Arrival, Arrived, Body, Carried, Errand, Event, House, Input, Output, Peer, PeerName, Shard, Token, Told,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_seconds(1_741_083_330);

/// The house: our own users, B, who may send through us to C.
fn house() -> House {
    let peer = |name: &str, prefix: &str| {
        let domain = format!("mms.{name}.example").parse().expect("a domain");
        Peer { prefixes: vec![prefix.into()], ..Peer::new(name, domain) }
    };
    let mut house = House {
        locals: vec![Local::mailboxes(vec!["1202555010".into()])],
        peers: vec![peer("b", "1202555011"), peer("c", "1202555012")],
        ..House::new("mms.a.example".parse().expect("a domain"))
    };
    house.peers[0].transit =
        Transit { to: [(PeerName::new("c"), TransitMode::BackToBack)].into(), to_any: None };
    // All that a case prepares may be on its way at once.
    house.limits.in_flight_max = 4096;
    house
}

/// The heart, its store, and what came out of it.
pub struct Site {
    shard: Shard,
    store: Arc<dyn Store>,
    committed: (Sender<Committed>, Receiver<Committed>),
    under_way: usize,
    /// What is to be carried.
    pub errands: VecDeque<Errand>,
    /// Batches of the last event, if they are kept.
    pub batches: Option<Vec<Batch>>,
    request: ForwardReq,
    ids: u64,
}

type Committed = (Token, Result<Outcome, StoreError>);

impl Site {
    /// A site over this store, to which B sends MMs with the header that `mails` has.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let mut bits: u128 = 1;
        let entropy = move || {
            bits = bits.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(0x5851_F42D);
            bits
        };
        let shard = Shard::new(store.clone(), Arc::new(house()), NOW, Box::new(entropy)).expect("a shard");
        let AbstractMessage::ForwardReq(request) = crate::mails::message(&crate::mails::head()) else {
            unreachable!("it is a request")
        };
        let committed = channel();
        let mut site = Self {
            shard,
            store,
            committed,
            under_way: 0,
            errands: VecDeque::new(),
            batches: None,
            request,
            ids: 0,
        };
        site.settle();
        site
    }

    /// An MM from B, for a user of C or of ours.
    pub fn arrival(
        &mut self,
        for_us: bool,
        asks_for_response: bool,
        content: Option<ContentRef>,
    ) -> (MmId, Event) {
        self.ids += 1;
        let n = self.ids;
        let number = if for_us { "+12025550100" } else { "+12025550120" };
        let to: mms::Party = format!("{number}/TYPE=PLMN@mms.a.example").parse().expect("a party");
        let path = to.path();
        let request = ForwardReq {
            transaction_id: TransactionId::new(format!("7f3a-{n:06}-20250304101530@mms.b.example")).ok(),
            message_id: MessageId::new(format!("mm-7f3a-{n:06}@mms.b.example")).ok(),
            to: vec![to],
            ack_request: Some(asks_for_response),
            ..self.request.clone()
        };
        let arrival = Arrival {
            peer: PeerName::new("b"),
            mail_from: "+12025550110/TYPE=PLMN@mms.b.example".parse().ok(),
            recipients: vec![path],
            message: Arrived::Message(AbstractMessage::ForwardReq(request)),
            trouble: None,
            hops: 2,
            own_hops: 0,
            decoded_size: 22_000,
            body: Some(Body {
                len: 30_000,
                decoded: 22_000,
                offset: 1800,
                digest: n as u32,
                eight_bit: false,
            }),
            content,
        };
        (MmId::new(NOW.millis() + n as i64 / 4, 0, n << 32), Event::Arrived(Box::new(arrival)))
    }

    /// The response of C to a request of ours.
    pub fn response(&mut self, to: &Errand) -> (MmId, Event) {
        let AbstractMessage::ForwardRes(mut response) =
            crate::mails::message(crate::mails::RESPONSE.as_bytes())
        else {
            unreachable!("it is a response")
        };
        response.transaction_id = to.message.transaction_id().cloned();
        response.message_id = to.message.message_id().cloned();
        response.request_status = RequestStatus::Ok;
        self.ids += 1;
        let arrival = Arrival {
            peer: to.peer.clone(),
            mail_from: "system-user@mms.c.example".parse().ok(),
            recipients: vec!["system-user@mms.a.example".parse().expect("a path")],
            message: Arrived::Message(AbstractMessage::ForwardRes(response)),
            trouble: None,
            hops: 1,
            own_hops: 0,
            decoded_size: 4,
            body: None,
            content: None,
        };
        (MmId::new(NOW.millis(), 0, self.ids << 32 | 1), Event::Arrived(Box::new(arrival)))
    }

    /// What the courier says when a peer has taken an errand.
    pub fn taken(errand: &Errand) -> (MmId, Event) {
        let told =
            errand.recipients.iter().map(|_| Told::Taken("250 2.0.0 Ok: queued as 4Z6K1r2QnVz9s7".into()));
        let how = Carried::Told(told.collect());
        (errand.mm, Event::Carried { entry: errand.entry.clone(), places: errand.places.clone(), how })
    }

    /// One event, all batches that follow from it, and what is then due.
    pub fn happens(&mut self, (mm, event): (MmId, Event)) {
        self.shard.input(NOW, Input::Event { mm, event, ticket: Some(1) });
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            while let Some(output) = self.shard.poll() {
                self.carry_out(output);
            }
            if self.under_way > 0 {
                let (token, result) = self.committed.1.recv().expect("an answer");
                assert_eq!(result, Ok(Outcome::Done));
                self.under_way -= 1;
                self.shard.input(NOW, Input::Committed { token, result });
                continue;
            }
            self.shard.advance(NOW);
            match self.shard.poll() {
                Some(output) => self.carry_out(output),
                None => return,
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Commit { token, batch } => {
                self.under_way += 1;
                let answer = self.committed.0.clone();
                let done = move |result| drop(answer.send((token, result)));
                match &mut self.batches {
                    Some(batches) => {
                        batches.push(Batch::clone(&batch));
                        done(Ok(Outcome::Done));
                    }
                    None => self.store.commit(batch, Box::new(done)),
                }
            }
            Output::Dispatch(errand) => self.errands.push_back(*errand),
            Output::Alarm { text, .. } => panic!("{text}"),
            Output::Answer { .. } | Output::News { .. } | Output::Notify(_) | Output::Lookup(_) => {}
        }
    }
}
