//! Laws of the heart: whatever peers, users, operators and time do, in any order.

mod driver;

use driver::{Driver, b1, b2, fwd, party, res_for, submission, u1, u2};
use mms::{AbstractMessage, MessageType, MmId, Party, RequestStatus, TransactionId};
use proptest::prelude::*;
use relay::house::{Discovery, Transit, TransitMode};
use relay::store::{QueueId, Store, Topic};
use relay::{
    About, Carried, Errand, Event, Fate, Found, Handling, House, Ledger, Origin, PeerName, Recipient,
    RecipientState, Record, Told, Transaction, TransactionState, What,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    Submit(Vec<usize>),
    Arrive {
        from: usize,
        mm: u8,
        ack: bool,
        to: Vec<usize>,
    },
    /// The next errand comes back like this.
    Carry(u8),
    /// A response to a transaction that was seen on the wire, from this peer, perhaps not the one it was sent to.
    Respond {
        from: usize,
        seen: usize,
        status: usize,
        to: Vec<usize>,
    },
    /// A response with an id that nobody gave out.
    Guess {
        from: usize,
        id: u64,
    },
    /// A report about an MM that was seen on the wire, from this peer, about one of its recipients.
    Report {
        from: usize,
        seen: usize,
        about: usize,
        status: usize,
    },
    /// The next look-up ends like this.
    Found(usize),
    Pass(u32),
    Restart,
    Handle(usize, usize),
    Drop(usize),
    Retry(usize),
}

const PEERS: [&str; 2] = ["b", "c"];

fn everybody() -> [Party; 8] {
    [
        u1(),
        u2(),
        b1(),
        b2(),
        party("+12025550120"),
        party("+19995550100"),
        party("nobody@mms.a.example"),
        party("4455"),
    ]
}

fn some() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..8, 1..4)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => some().prop_map(Act::Submit),
        4 => (0usize..2, 0u8..4, any::<bool>(), some())
            .prop_map(|(from, mm, ack, to)| Act::Arrive { from, mm, ack, to }),
        6 => (0u8..7).prop_map(Act::Carry),
        4 => (0usize..2, any::<usize>(), 0usize..9, prop::collection::vec(0usize..8, 0..3))
            .prop_map(|(from, seen, status, to)| Act::Respond { from, seen, status, to }),
        1 => (0usize..2, any::<u64>()).prop_map(|(from, id)| Act::Guess { from, id }),
        3 => (0usize..2, any::<usize>(), 0usize..8, 0usize..10)
            .prop_map(|(from, seen, about, status)| Act::Report { from, seen, about, status }),
        3 => (0usize..7).prop_map(Act::Found),
        2 => (1u32..200_000).prop_map(Act::Pass),
        1 => Just(Act::Restart),
        1 => (any::<usize>(), 0usize..5).prop_map(|(i, how)| Act::Handle(i, how)),
        1 => any::<usize>().prop_map(Act::Drop),
        1 => any::<usize>().prop_map(Act::Retry),
    ]
}

struct Play {
    relay: Driver,
    mms: Vec<MmId>,
    /// Forward requests seen on the wire: transaction, peer, MM.
    seen: Vec<(TransactionId, String, MmId)>,
    /// Response mails by the ledger that owed them.
    responses: BTreeMap<MmId, BTreeSet<u16>>,
}

impl Play {
    fn ledger(&self, mm: MmId) -> Option<Ledger> {
        let stored = self.relay.store().ledger(mm).unwrap()?;
        Some(Ledger::decode(&stored.ledger).unwrap())
    }

    fn all(&self) -> BTreeMap<MmId, Ledger> {
        let ids = self.relay.store().ledgers(None, false, usize::MAX).unwrap();
        ids.into_iter().filter_map(|mm| Some((mm, self.ledger(mm)?))).collect()
    }

    fn people(places: &[usize]) -> Vec<Party> {
        places.iter().map(|i| everybody()[*i].clone()).collect()
    }

    /// What leaves is for a peer that the ledger has to do with, and for nobody else (threats 9 and 10).
    fn watch(&mut self, errand: &Errand) {
        // An errand that a courier forgets for weeks may outlive its ledger.
        let Some(ledger) = self.ledger(errand.mm) else { return };
        match (&errand.message, &ledger.origin) {
            (AbstractMessage::ForwardReq(req), Origin::Submitted { .. }) => {
                let domain = errand.recipients[0].domain().unwrap().to_string();
                assert_eq!(
                    domain,
                    format!("mms.{}.example", errand.peer),
                    "an MM goes to the peer that serves it"
                );
                let id = req.transaction_id.clone().unwrap();
                self.seen.push((id, errand.peer.to_string(), errand.mm));
            }
            (AbstractMessage::ForwardReq(req), Origin::Received { peer, .. }) => {
                let granted = self.relay.house().transit(peer, &errand.peer);
                assert!(granted.is_some(), "what {peer} sent goes to {} without a grant", errand.peer);
                if granted == Some(TransitMode::BackToBack) {
                    let id = req.transaction_id.clone().unwrap();
                    self.seen.push((id, errand.peer.to_string(), errand.mm));
                }
            }
            // Whoever was sent an MM may report about it, and is answered.
            (AbstractMessage::DeliveryReportRes(_) | AbstractMessage::ReadReplyReportRes(_), _)
                if ledger.transactions.iter().any(|t| t.peer == errand.peer) => {}
            (message, Origin::Received { peer, .. }) => {
                assert_eq!(*peer, errand.peer, "responses and reports go to the peer that asked");
                if !message.message_type().is_response() {
                    return;
                }
                self.responses.entry(errand.mm).or_default().insert(errand.entry.id.part);
            }
            (message, Origin::Submitted { .. }) => panic!("nobody asked for {}", message.message_type()),
        }
    }

    fn carry(&mut self, how: u8) {
        if self.relay.no_errand() {
            return;
        }
        let errand = self.relay.errand();
        self.watch(&errand);
        let words = || "said the peer".to_owned();
        let ends = (0..errand.recipients.len()).map(|i| match (how, i) {
            (0, _) | (1..=3, 0) => Told::Taken(words()),
            (1, _) => Told::Never(words()),
            (2, _) => Told::Crowded(words()),
            (3, _) | (4, _) => Told::Later(words()),
            _ => Told::Unknown(words()),
        });
        let how = if how == 6 { Carried::Unreachable(words()) } else { Carried::Told(ends.collect()) };
        self.relay.carried(&errand, how);
    }

    fn perform(&mut self, act: &Act) {
        match act {
            Act::Submit(to) => {
                let ledger = self.relay.submit(submission(u1(), &Self::people(to)));
                self.mms.push(ledger.id);
            }
            Act::Arrive { from, mm, ack, to } => {
                let mut request = fwd(&format!("mm-{mm}"), &format!("tx-{mm}"));
                request.ack_request = Some(*ack);
                (request.delivery_report, request.read_reply) = (Some(mm % 2 == 0), Some(true));
                let (id, _) = self.relay.arrives_new(PEERS[*from], request, &Self::people(to));
                self.mms.push(id);
            }
            Act::Carry(how) => self.carry(*how),
            Act::Respond { from, seen, status, to } => {
                let Some((id, peer, mm)) = self.seen.get(seen % self.seen.len().max(1)).cloned() else {
                    return;
                };
                let before = self.ledger(mm);
                let status = RequestStatus::ALL[*status];
                self.relay.arrives(PEERS[*from], res_for(id, status, &Self::people(to)));
                if peer != PEERS[*from] {
                    assert_eq!(
                        self.ledger(mm),
                        before,
                        "a response from another peer changes nothing (threat 11)"
                    );
                }
            }
            Act::Guess { from, id } => {
                let before = self.all();
                let guess =
                    TransactionId::new(format!("{}.0.{id}", MmId::from_bits(u128::from(*id)))).unwrap();
                self.relay.arrives(PEERS[*from], res_for(guess, RequestStatus::Ok, &[]));
                assert_eq!(self.all(), before);
            }
            Act::Report { from, seen, about, status } => {
                let Some((_, _, mm)) = self.seen.get(seen % self.seen.len().max(1)).cloned() else { return };
                let Some(message_id) = self.ledger(mm).and_then(|l| l.request?.message_id) else { return };
                let report = report(message_id.as_str(), &everybody()[*about], *status);
                self.relay.arrives(PEERS[*from], report);
            }
            Act::Found(how) => {
                let Some(lookup) = self.relay.lookups.pop_front() else { return };
                let found = match how {
                    0 | 1 => Found::Tables,
                    2 => Found::Nothing,
                    3 => Found::Here,
                    4 => Found::Peer(PeerName::new("c")),
                    5 => Found::Domain("mms.b.example".parse().unwrap()),
                    _ => Found::Later("said nobody".into()),
                };
                let found = lookup.numbers.iter().map(|(place, _)| (*place, found.clone())).collect();
                self.relay.event(lookup.mm, Event::Found { entry: lookup.entry, found });
            }
            Act::Pass(seconds) => self.relay.pass(Duration::from_secs(u64::from(*seconds))),
            Act::Restart => self.relay.restart_here(),
            Act::Handle(i, how) => {
                let how =
                    [Handling::Retrieve, Handling::Reject, Handling::Defer, Handling::Read, Handling::Delete]
                        [*how];
                self.touch(*i, Event::Handled { recipient: None, how, report_allowed: i % 3 > 0 });
            }
            Act::Drop(i) => self.touch(*i, Event::Drop { why: "test".into() }),
            Act::Retry(i) => self.touch(*i, Event::RetryNow { why: String::new(), in_flight: Vec::new() }),
        }
    }

    fn touch(&mut self, i: usize, event: Event) {
        if let Some(mm) = self.mms.get(i % self.mms.len().max(1)).copied() {
            self.relay.event(mm, event);
        }
    }

    /// The weather clears: peers take everything and say `Ok`, and time passes.
    fn heal(&mut self) {
        for _ in 0..60 {
            while !self.relay.lookups.is_empty() {
                self.perform(&Act::Found(0));
            }
            while !self.relay.no_errand() {
                let before = self.seen.len();
                self.carry(0);
                let fresh: Vec<_> = self.seen[before..].to_vec();
                for (id, peer, _) in fresh {
                    self.relay.arrives(&peer, res_for(id, RequestStatus::Ok, &[]));
                }
            }
            self.relay.pass(Duration::from_secs(43_200));
        }
    }
}

/// A delivery report, or for the last two numbers a read-reply report.
fn report(message_id: &str, about: &Party, status: usize) -> AbstractMessage {
    macro_rules! build {
        ($ty:ident { $($field:ident: $value:expr),* $(,)? }) => {
            AbstractMessage::$ty(mms::$ty {
                version: None,
                transaction_id: TransactionId::new("dr-1").ok(),
                message_id: mms::MessageId::new(message_id).ok(),
                recipient: Some(about.clone()),
                originator: Some(u1()),
                date: None,
                ack_request: Some(true),
                status_text: None,
                applic_id: None,
                reply_applic_id: None,
                aux_applic_info: None,
                sender: None,
                internet_message_id: None,
                $($field: $value,)*
            })
        };
    }
    match mms::ReadStatus::ALL.get(status.wrapping_sub(8)) {
        Some(read) => build!(ReadReplyReportReq { status: Some(*read) }),
        None => build!(DeliveryReportReq {
            status: Some(mms::MmStatus::ALL[status]),
            status_extension: None,
            forward_to_originator_ua: None,
        }),
    }
}

/// Whether a recipient may go from one state to another. Only a peer that says "try again" sends it back, into its queue.
fn may_follow(before: RecipientState, after: RecipientState) -> bool {
    use RecipientState as R;
    let ends = [R::Accepted, R::Failed, R::Expired];
    before == after
        || match before {
            R::Routing => true,
            R::Queued => matches!(after, R::Forwarded | R::Unconfirmed) || ends.contains(&after),
            R::Forwarded => matches!(after, R::Queued | R::Unconfirmed) || ends.contains(&after),
            R::Unconfirmed => after == R::Queued || ends.contains(&after),
            R::Stored => {
                matches!(after, R::Retrieved | R::Rejected | R::Deleted | R::Expired | R::Failed)
            }
            R::Retrieved => after == R::Deleted,
            R::Accepted | R::Rejected | R::Deleted | R::Expired | R::Refused | R::Failed | R::Duplicate => {
                false
            }
        }
}

/// The peer behind an act, if a peer is.
fn actor(act: &Act) -> Option<&'static str> {
    match act {
        Act::Arrive { from, .. }
        | Act::Respond { from, .. }
        | Act::Guess { from, .. }
        | Act::Report { from, .. } => Some(PEERS[*from]),
        _ => None,
    }
}

/// Recipients that an act of this peer must leave as they are: those of MMs that neither came from it nor went to it.
fn foreign(ledger: &Ledger, peer: &str) -> Vec<Recipient> {
    if matches!(&ledger.origin, Origin::Received { peer: from, .. } if from.as_str() == peer) {
        return Vec::new();
    }
    let went = |place: usize| {
        let sent = ledger.transactions.iter().filter(|t| t.peer.as_str() == peer);
        sent.flat_map(|t| &t.recipients).any(|p| usize::from(*p) == place)
    };
    let all = ledger.recipients.iter().enumerate();
    all.filter(|(place, _)| !went(*place)).map(|(_, r)| r.clone()).collect()
}

/// Peers may send through us to each other, numbers are asked for, and submitters want to know.
fn busy_house() -> House {
    let mut house = driver::house();
    house.discovery = Discovery { asks: true, tables_first: true, portability_first: true };
    house.peers[0].transit = Transit { to: BTreeMap::new(), to_any: Some(TransitMode::BackToBack) };
    house.peers[1].transit = Transit { to: BTreeMap::new(), to_any: Some(TransitMode::Transparent) };
    house
}

fn outcome(ledger: &Ledger) -> Vec<RecipientState> {
    ledger.recipients.iter().map(|r| r.state).collect()
}

/// A charging record as far as the law goes: name, MM, recipients.
type Line = (&'static str, String, Vec<String>);

/// Which records must have been made between two looks at all ledgers, by the ledgers and their histories alone.
fn owed_records(
    before: &BTreeMap<MmId, Ledger>,
    after: &BTreeMap<MmId, Ledger>,
    answered: Option<&TransactionId>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (mm, ledger) in after {
        let begun = Ledger::new(*mm, ledger.origin.clone(), ledger.accepted, ledger.expires);
        let old = before.get(mm).unwrap_or(&begun);
        let Some(id) = ledger.request.as_ref().and_then(|r| r.message_id.as_ref()) else { continue };
        let id = id.as_str().to_owned();
        let name = |place: u16| ledger.recipients[usize::from(place)].party.address.value();
        let everybody: Vec<u16> = (0..ledger.recipients.len() as u16).collect();
        for moment in &ledger.history[old.history.len()..] {
            let places = if moment.recipients.is_empty() { &everybody } else { &moment.recipients };
            let names = || places.iter().map(|p| name(*p)).collect::<Vec<_>>();
            let first = |t: &&Transaction| t.state == TransactionState::Queued && t.resends == 0;
            match moment.what {
                What::Forwarded => {
                    let left = old.transactions.iter().enumerate().filter(|(_, t)| first(t));
                    let left =
                        left.filter(|(i, _)| ledger.transactions[*i].state != TransactionState::Queued);
                    if left.count() > 0 {
                        lines.push(("MMO4FRq", id.clone(), names()));
                    }
                }
                What::Response => {
                    if old.transactions.iter().any(|t| Some(&t.id) == answered && first(&t)) {
                        lines.push(("MMO4FRq", id.clone(), names()));
                    }
                    lines.push(("MMO4FRs", id.clone(), vec![]));
                }
                What::Report => {
                    let place = usize::from(places[0]);
                    let (was, is) = (&old.recipients[place], &ledger.recipients[place]);
                    if was.mm_status != is.mm_status {
                        lines.push(("MMO4D", id.clone(), names()));
                    }
                    if was.read_status != is.read_status {
                        lines.push(("MMO4R", id.clone(), names()));
                    }
                }
                What::Answered if moment.text.contains("report.REQ") => {
                    let gone = old.reports.iter().zip(&ledger.reports).filter(|(was, is)| {
                        was.state == TransactionState::Queued
                            && was.resends == 0
                            && is.state != TransactionState::Queued
                    });
                    lines.extend(gone.map(|(was, _)| match was.fate {
                        Fate::Delivery { .. } => ("MMR4DRq", id.clone(), vec![name(was.place)]),
                        Fate::Reading(_) => ("MMR4RRq", id.clone(), vec![name(was.place)]),
                    }));
                }
                _ => {}
            }
        }
        if matches!(ledger.origin, Origin::Received { .. }) {
            for (place, recipient) in ledger.recipients.iter().enumerate() {
                let told = old.recipients.get(place).is_some_and(|r| r.concluded);
                if recipient.concluded && !told && recipient.state != RecipientState::Duplicate {
                    lines.push(("MMR4F", id.clone(), vec![name(place as u16)]));
                }
            }
        }
    }
    lines.sort();
    lines
}

/// What was recorded since a number; one line for each recipient of what came.
fn recorded(relay: &Driver, number: &mut u64) -> Vec<Line> {
    let mut lines = Vec::new();
    for (next, data) in relay.store().drain(Topic::Charging, *number, usize::MAX).unwrap() {
        assert_eq!(next, *number + 1, "numbered without gaps");
        *number = next;
        let record = Record::decode(&data).unwrap();
        let (kind, id) = (record.kind.as_str(), record.message_id);
        match record.about {
            About::Forward(f) => {
                let names = f.recipients.iter().map(|(address, _)| address.value());
                match kind {
                    "MMR4F" => lines.extend(names.map(|n| (kind, id.clone(), vec![n]))),
                    _ => lines.push((kind, id, names.collect())),
                }
            }
            About::Response { .. } => lines.push((kind, id, vec![])),
            About::Report(r) => lines.push((kind, id, vec![r.recipient.value()])),
        }
    }
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_leaks_and_everything_ends(acts in prop::collection::vec(act(), 1..60)) {
        let mut play = Play { relay: Driver::new(), mms: vec![], seen: vec![], responses: BTreeMap::new() };
        for act in &acts {
            play.perform(act);
            for ledger in play.all().values() {
                // One mail buys at most one response for each distinct status (threat 12).
                let owed = ledger.responses.iter().filter(|r| r.kind == MessageType::ForwardRes).count();
                let statuses: BTreeSet<_> = ledger.recipients.iter().map(|r| (r.status, r.text.clone())).collect();
                prop_assert!(owed <= statuses.len().max(1), "{owed} responses for {:?}", outcome(ledger));
                // At most one final delivery report and one read-reply report for each recipient.
                let finals = ledger.reports.iter().filter(|r| match &r.fate {
                    Fate::Delivery { status, .. } => status.is_final(),
                    Fate::Reading(_) => false,
                });
                let places: Vec<u16> = finals.map(|r| r.place).collect();
                prop_assert_eq!(places.len(), places.iter().collect::<BTreeSet<_>>().len());
                prop_assert!(ledger.history.len() <= 200);
                for (mm, parts) in &play.responses {
                    prop_assert!(*mm != ledger.id || parts.len() <= ledger.responses.len());
                }
            }
        }
        play.heal();
        for peer in PEERS {
            prop_assert_eq!(play.relay.store().depth(&QueueId::new(peer), 10).unwrap(), 0);
        }
        prop_assert_eq!(play.all().len(), 0, "every history ends");
        prop_assert_eq!(play.relay.store().health().content_live, 0);
    }

    /// Whatever comes in whatever order: each recipient's state only moves forward, one final report reaches the submitter,
    /// and no event of one peer changes what is another's.
    #[test]
    fn states_move_forward_and_peers_keep_to_their_own(acts in prop::collection::vec(act(), 1..80)) {
        let mut play = Play { relay: Driver::with(busy_house()), mms: vec![], seen: vec![], responses: BTreeMap::new() };
        let mut told: BTreeMap<(MmId, usize), mms::MmStatus> = BTreeMap::new();
        for act in &acts {
            let before = play.all();
            play.perform(act);
            let after = play.all();
            for (mm, ledger) in &after {
                let Some(old) = before.get(mm) else { continue };
                for (was, is) in old.recipients.iter().zip(&ledger.recipients) {
                    prop_assert!(may_follow(was.state, is.state), "{} after {} by {act:?}", is.state, was.state);
                    prop_assert!(!was.concluded || is.concluded);
                }
                if let Some(peer) = actor(act) {
                    prop_assert_eq!(foreign(old, peer), foreign(ledger, peer), "{:?}", act);
                }
                for (place, recipient) in ledger.recipients.iter().enumerate() {
                    if let Some(status) = recipient.told.filter(|s| s.is_final()) {
                        let first = *told.entry((*mm, place)).or_insert(status);
                        prop_assert_eq!(first, status, "the submitter hears one final report");
                    }
                }
                let finals = ledger.reports.iter().filter(|r| match &r.fate {
                    Fate::Delivery { status, .. } => status.is_final(),
                    Fate::Reading(_) => false,
                });
                let places: Vec<u16> = finals.map(|r| r.place).collect();
                prop_assert_eq!(places.len(), places.iter().collect::<BTreeSet<_>>().len());
                // Threat 12: a request buys no more responses than it has recipients, for each who asked.
                let most = ledger.recipients.len().max(1) * (1 + ledger.askers.len());
                let owed = ledger.responses.iter().filter(|r| r.kind == MessageType::ForwardRes).count();
                prop_assert!(owed <= most, "{owed} for {most}");
            }
        }
        play.heal();
        for queue in [QueueId::new("b"), QueueId::new("c"), QueueId::new("lookup:")] {
            prop_assert_eq!(play.relay.store().depth(&queue, 10).unwrap(), 0, "{}", queue);
        }
        prop_assert_eq!(play.all().len(), 0, "every history ends");
        prop_assert_eq!(play.relay.store().health().content_live, 0);
    }

    /// Charging records are made exactly for what the histories tell, in the step in which it happened.
    #[test]
    fn records_match_histories(acts in prop::collection::vec(act(), 1..80)) {
        let house = House { charging: true, ..busy_house() };
        let mut play = Play { relay: Driver::with(house), mms: vec![], seen: vec![], responses: BTreeMap::new() };
        let mut number = 0;
        for act in &acts {
            let answered = match act {
                Act::Respond { seen, .. } => play.seen.get(seen % play.seen.len().max(1)).map(|(id, ..)| id.clone()),
                _ => None,
            };
            let before = play.all();
            play.perform(act);
            let owed = owed_records(&before, &play.all(), answered.as_ref());
            prop_assert_eq!(recorded(&play.relay, &mut number), owed, "{:?}", act);
        }
    }

    /// A user is delivered to once, however often and by whichever way the same request comes.
    #[test]
    fn one_delivery_however_often_it_comes(times in 1usize..6, restarts in prop::collection::vec(any::<bool>(), 6)) {
        let mut relay = Driver::new();
        let mut states = Vec::new();
        for restart in &restarts[..times] {
            let (id, _) = relay.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
            states.push(relay.states(id)[0]);
            if *restart {
                relay.restart_here();
            }
        }
        prop_assert_eq!(states[0], RecipientState::Stored);
        prop_assert!(states[1..].iter().all(|s| *s == RecipientState::Duplicate));
    }
}
