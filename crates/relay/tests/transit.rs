//! The heart between two peers, and the heart that has to ask where a number is served.

mod driver;

use driver::{Driver, b1, fwd, house, party, res, res_for, submission, taken, u1};
use mms::{
    AbstractMessage, DeliveryReportReq, ForwardReq, MailPath, MmStatus, Party, RequestStatus, TransactionId,
};
use relay::house::{Discovery, Dock, ResponseStyle, Transit, TransitMode};
use relay::store::{QueueId, Store};
use relay::{
    Answer, Carried, Errand, Event, Found, HookName, House, Noticed, Once, PeerName, RecipientState, Told,
};
use std::time::Duration;

fn c1() -> Party {
    party("+12025550120")
}

/// B may send through us to C.
fn between(mode: TransitMode) -> House {
    let mut house = house();
    house.peers[0].transit = Transit { to: [(PeerName::new("c"), mode)].into(), to_any: None };
    house
}

fn back_to_back() -> Driver {
    Driver::with(between(TransitMode::BackToBack))
}

fn forward(errand: &Errand) -> &ForwardReq {
    match &errand.message {
        AbstractMessage::ForwardReq(request) => request,
        other => panic!("{other:?}"),
    }
}

/// Peer, transaction id, status and recipients of a response of ours.
fn answered(errand: &Errand) -> (String, String, RequestStatus, Vec<String>) {
    let AbstractMessage::ForwardRes(res) = &errand.message else { panic!("{:?}", errand.message) };
    let recipients = res.request_recipients.iter().map(|p| p.address.value()).collect();
    let id = res.transaction_id.as_ref().map_or("none", TransactionId::as_str);
    (errand.peer.to_string(), id.to_owned(), res.request_status, recipients)
}

fn ok_for_b(id: &str, recipients: &[&str]) -> (String, String, RequestStatus, Vec<String>) {
    ("b".into(), id.into(), RequestStatus::Ok, recipients.iter().map(|r| (*r).to_owned()).collect())
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(3600 * n)
}

/// T-02: our own transaction downstream; the response upstream only after the one from downstream, and the same.
#[test]
fn t_02_back_to_back() {
    let mut a = back_to_back();
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    assert!(a.no_errand(), "no response yet");
    let request = forward(&errand);
    assert_eq!(errand.peer, PeerName::new("c"));
    assert_eq!(errand.recipients[0].to_string(), "+12025550120/TYPE=PLMN@mms.c.example");
    assert_eq!(errand.mail_from, request.sender);
    assert_eq!(request.sender.as_ref().unwrap().to_string(), "+12025550110/TYPE=PLMN@mms.a.example");
    assert_eq!(request.originator_system.as_ref().unwrap().to_string(), "system-user@mms.a.example");
    assert_eq!(request.message_id.as_ref().unwrap().as_str(), "mm-1", "the MM keeps its id");
    assert_ne!(request.transaction_id.as_ref().unwrap().as_str(), "tx-1");
    a.carried(&errand, taken());
    assert!(a.no_errand(), "taken is not accepted");
    let mut response = res(&errand, RequestStatus::ErrorContentNotAccepted, &[]);
    if let AbstractMessage::ForwardRes(res) = &mut response {
        res.status_text = mms::HeaderText::new("too loud").ok();
    }
    a.arrives("c", response);
    assert_eq!(a.states(id), [RecipientState::Failed]);
    let upstream = a.errand();
    let (peer, tx, status, recipients) = answered(&upstream);
    assert_eq!((peer.as_str(), tx.as_str()), ("b", "tx-1"));
    assert_eq!(
        (status, recipients),
        (RequestStatus::ErrorContentNotAccepted, vec!["+12025550120".to_owned()])
    );
    let AbstractMessage::ForwardRes(res) = &upstream.message else { unreachable!() };
    assert_eq!(res.status_text.as_ref().unwrap().as_str(), "too loud");
}

/// T-03: the next peer is down for as long as we try: the one before hears of it.
#[test]
fn t_03_the_next_peer_is_down() {
    let mut a = back_to_back();
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    a.carried(&errand, Carried::Unreachable("refused".into()));
    a.pass(hours(23));
    assert_eq!(a.states(id), [RecipientState::Queued]);
    while !a.no_errand() {
        let errand = a.errand();
        assert_eq!(errand.peer, PeerName::new("c"), "nothing is said before");
        a.carried(&errand, Carried::Unreachable("refused".into()));
    }
    a.pass(hours(1));
    let errand = a.errand();
    a.carried(&errand, Carried::Unreachable("refused".into()));
    assert_eq!(a.states(id), [RecipientState::Failed]);
    let (peer, tx, status, _) = answered(&a.errand());
    assert_eq!((peer.as_str(), tx.as_str(), status), ("b", "tx-1", RequestStatus::ErrorNetworkProblem));
    // It may try again, and is not taken for a repeat of what failed in passing.
    let (again, _) = a.arrives_new("b", fwd("mm-1", "tx-2"), &[c1()]);
    assert_eq!(a.states(again), [RecipientState::Queued]);
}

/// T-04: without a grant a recipient elsewhere is refused, and nothing leaves for it.
#[test]
fn t_04_no_grant_no_transit() {
    let mut a = Driver::new();
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    assert_eq!(answered(&a.errand()).2, RequestStatus::ErrorServiceDenied);
    assert!(a.no_errand());
    // A grant to one peer is none to another, nor back to where it came from.
    let mut a = back_to_back();
    a.arrives_new("c", fwd("mm-1", "tx-1"), &[b1()]);
    assert_eq!(answered(&a.errand()).2, RequestStatus::ErrorServiceDenied);
    a.arrives_new("b", fwd("mm-2", "tx-2"), &[b1()]);
    assert_eq!(answered(&a.errand()).2, RequestStatus::ErrorServiceDenied);
    assert!(a.no_errand());
}

/// Who is known at once is answered at once; who is not, later, by name.
#[test]
fn outcomes_are_answered_as_they_become_known() {
    let mut a = back_to_back();
    let nobody = party("+19995550100");
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1(), c1(), nobody]);
    let mut now = vec![a.errand(), a.errand(), a.errand()];
    now.retain(|e| e.peer == PeerName::new("b"));
    let told: Vec<_> = now.iter().map(answered).map(|(_, _, status, to)| (status, to)).collect();
    let unknown = RequestStatus::ErrorSendingAddressUnresolved;
    assert_eq!(
        told,
        [(RequestStatus::Ok, vec!["+12025550100".into()]), (unknown, vec!["+19995550100".to_owned()])]
    );
    assert!(a.no_errand());
}

/// A peer that reads one response only gets it as soon as somebody was accepted; the rest goes by report.
#[test]
fn one_collective_response_and_a_report_for_the_rest() {
    let mut house = between(TransitMode::BackToBack);
    house.peers[0].profile.response_style = ResponseStyle::Collective;
    let mut a = Driver::with(house);
    let (c2, nobody) = (party("+12025550121"), party("+19995550100"));
    let to = vec![c1(), c2.clone(), nobody.clone()];
    let asking = ForwardReq { delivery_report: Some(true), to, ..fwd("mm-1", "tx-1") };
    a.arrives_new("b", asking, &[c1(), c2, nobody]);
    let errand = a.errand();
    assert!(a.no_errand(), "nobody was accepted yet, and somebody may be");
    a.carried(&errand, Carried::Told(vec![Told::Taken("250".into()); 2]));
    a.arrives("c", res(&errand, RequestStatus::ErrorServiceDenied, &[c1()]));
    assert!(a.no_errand());
    a.arrives("c", res(&errand, RequestStatus::Ok, &[party("+12025550121")]));
    let all: Vec<Errand> = std::iter::from_fn(|| (!a.no_errand()).then(|| a.errand())).collect();
    let (responses, reports): (Vec<_>, Vec<_>) =
        all.iter().partition(|e| e.message.message_type().is_response());
    assert_eq!(responses.iter().map(|e| answered(e)).collect::<Vec<_>>(), [ok_for_b("tx-1", &[])]);
    assert_eq!(reports.len(), 2, "the two that were refused");
}

/// A repeat before the outcome is known is answered when it is known; under its own transaction id.
#[test]
fn a_repeat_before_the_outcome_is_answered_with_it() {
    let mut a = back_to_back();
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    a.carried(&errand, taken());
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    // Named twice in the envelope is one recipient all the same.
    a.arrives_new("b", fwd("mm-1", "tx-2"), &[c1(), c1()]);
    assert!(a.no_errand(), "it is carried once, and nothing is known yet");
    a = a.restart();
    a.arrives("c", res(&errand, RequestStatus::Ok, &[]));
    let told = [answered(&a.errand()), answered(&a.errand())];
    assert_eq!(told, [ok_for_b("tx-1", &["+12025550120"]), ok_for_b("tx-2", &["+12025550120"])]);
    // Afterwards a repeat is answered at once.
    a.arrives_new("b", fwd("mm-1", "tx-3"), &[c1()]);
    assert_eq!(answered(&a.errand()), ok_for_b("tx-3", &["+12025550120"]));
    assert!(a.no_errand());
}

fn report(message_id: &str, from: &Party, status: MmStatus) -> AbstractMessage {
    AbstractMessage::DeliveryReportReq(DeliveryReportReq {
        version: None,
        transaction_id: TransactionId::new("dr-1").ok(),
        message_id: mms::MessageId::new(message_id).ok(),
        recipient: Some(from.clone()),
        originator: Some(b1()),
        date: None,
        ack_request: Some(true),
        forward_to_originator_ua: Some(true),
        status: Some(status),
        status_extension: None,
        status_text: None,
        applic_id: None,
        reply_applic_id: None,
        aux_applic_info: None,
        sender: "system-user@mms.c.example".parse().ok(),
        internet_message_id: None,
    })
}

/// A report of the next peer goes to the one before, once, among several MMs of the same id.
#[test]
fn reports_find_their_way_back() {
    let mut a = back_to_back();
    let c2 = party("+12025550121");
    let asking = |tx: &str| ForwardReq { delivery_report: Some(true), ..fwd("mm-1", tx) };
    // A mail for each recipient, all with the same Message-ID.
    for (tx, to) in [("tx-1", c1()), ("tx-2", c2.clone())] {
        a.arrives_new("b", asking(tx), &[to]);
        let errand = a.errand();
        a.carried(&errand, taken());
        a.arrives("c", res(&errand, RequestStatus::Ok, &[]));
        let response = a.errand();
        a.carried(&response, taken());
    }
    for _ in 0..2 {
        a.arrives("c", report("mm-1", &c2, MmStatus::Retrieved));
    }
    let all: Vec<Errand> = std::iter::from_fn(|| (!a.no_errand()).then(|| a.errand())).collect();
    let passed: Vec<_> = all.iter().filter(|e| !e.message.message_type().is_response()).collect();
    assert_eq!(passed.len(), 1);
    let AbstractMessage::DeliveryReportReq(passed_on) = &passed[0].message else { panic!() };
    assert_eq!(passed[0].peer, PeerName::new("b"));
    assert_eq!(passed[0].recipients[0].to_string(), "+12025550110/TYPE=PLMN@mms.b.example");
    assert_eq!(passed_on.recipient.as_ref().unwrap().address, c2.address);
    assert_eq!(passed_on.status, Some(MmStatus::Retrieved));
    // A report of a peer that had nothing to do with it is about nothing.
    a.arrives("b", report("mm-1", &c2, MmStatus::Retrieved));
    let AbstractMessage::DeliveryReportRes(res) = &a.errand().message else { panic!() };
    assert_eq!(res.request_status, RequestStatus::ErrorMessageNotFound);
}

/// The clock is turned back while the relay is down: a report about an MM that came later than now is taken all the same.
#[test]
fn a_report_about_an_mm_from_before_the_clock_was_turned_back() {
    let mut a = back_to_back();
    a.arrives_new("b", ForwardReq { delivery_report: Some(true), ..fwd("mm-1", "tx-1") }, &[c1()]);
    let errand = a.errand();
    a.carried(&errand, taken());
    a.now = a.now.minus(Duration::from_secs(3600));
    let mut a = a.restart();
    let mut message = report("mm-1", &c1(), MmStatus::Retrieved);
    if let AbstractMessage::DeliveryReportReq(report) = &mut message {
        report.date = Some(a.now);
    }
    a.arrives("c", message);
    let sent: Vec<Errand> = std::iter::from_fn(|| (!a.no_errand()).then(|| a.errand())).collect();
    let dates: Vec<_> = sent
        .iter()
        .filter_map(|e| match &e.message {
            AbstractMessage::DeliveryReportReq(report) => report.date,
            _ => None,
        })
        .collect();
    assert_eq!(dates, [a.now]);
}

/// A peer that takes no answers and reports for ever, each time under a new id, does not grow the ledger of the MM.
#[test]
fn reports_under_ever_new_ids_buy_a_few_answers_at_once() {
    let mut a = back_to_back();
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    a.carried(&errand, taken());
    for n in 0..1000u128 {
        let mut message = report("mm-1", &c1(), MmStatus::Deferred);
        if let AbstractMessage::DeliveryReportReq(report) = &mut message {
            report.transaction_id = TransactionId::new(format!("dr-{n}")).ok();
        }
        // What is taken is answered; what cannot be answered now stays with the peer, and changes nothing.
        let version = a.ledger(id).history.len();
        let arrival = a.arrival("c", message, &[party("system-user@mms.a.example")]);
        match a.input(mms::MmId::from_bits(1_000_000 + n), Event::Arrived(Box::new(arrival))) {
            Some(Answer::Mail(reply)) if n < 8 => assert_eq!(reply.code, 250),
            Some(Answer::Mail(reply)) => {
                assert_eq!((reply.code, reply.enhanced), (451, (4, 7, 1)));
                assert_eq!(a.ledger(id).history.len(), version);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(a.ledger(id).responses.len() < 10, "{} responses", a.ledger(id).responses.len());
    // Once it takes them again, it is answered again.
    let mut answered = 0;
    while !a.no_errand() {
        let answer = a.errand();
        a.carried(&answer, taken());
        answered += 1;
    }
    assert_eq!(answered, 8);
    a.arrives("c", report("mm-1", &c1(), MmStatus::Deferred));
    assert_eq!(a.errand().message.transaction_id().unwrap().as_str(), "dr-1");
}

/// T-01, the heart's part: it goes on as it came, its response is none of our business, unless it never got there.
#[test]
fn t_01_transparent() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    let relayed = errand.relayed.clone().unwrap();
    assert_eq!(relayed.mode, TransitMode::Transparent);
    assert!(relayed.received.contains("from mms.b.example by mms.a.example"), "{}", relayed.received);
    assert_eq!(errand.mail_from.as_ref().unwrap().to_string(), "+12025550110/TYPE=PLMN@mms.b.example");
    a.carried(&errand, taken());
    assert_eq!(a.states(id), [RecipientState::Forwarded]);
    // Its response comes through us, addressed to B.
    let mut arrival =
        a.arrival("c", res_for(TransactionId::new("tx-1").unwrap(), RequestStatus::Ok, &[]), &[]);
    arrival.recipients = vec!["system-user@mms.b.example".parse::<MailPath>().unwrap()];
    let answer = a.input(mms::MmId::new(1, 0, 1), Event::Arrived(Box::new(arrival)));
    assert!(matches!(answer, Some(Answer::Mail(reply)) if reply.code == 250));
    let passing = a.errand();
    assert_eq!(
        (passing.peer.as_str(), passing.recipients[0].to_string().as_str()),
        ("b", "system-user@mms.b.example")
    );
    assert_eq!(passing.relayed.unwrap().mode, TransitMode::Transparent);
    a.pass(hours(48));
    // What never arrived is answered by us.
    a.arrives_new("b", fwd("mm-2", "tx-2"), &[c1()]);
    let errand = a.errand();
    a.carried(&errand, Carried::Told(vec![Told::Never("550 no".into())]));
    let (peer, tx, status, _) = answered(&a.errand());
    assert_eq!((peer.as_str(), tx.as_str(), status), ("b", "tx-2", RequestStatus::ErrorUnspecified));
}

/// What passed as it came is answered by whoever has it: a repeat passes as well, and we vouch for nobody.
#[test]
fn a_repeat_of_what_passed_passes_again() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let first = a.errand();
    // While it waits for C, one is enough.
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    assert!(a.no_errand());
    a.carried(&first, taken());
    assert!(a.no_errand(), "it is not for us to say what became of it");
    for _ in 0..2 {
        a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
        let again = a.errand();
        assert_eq!(
            (again.peer.as_str(), again.relayed.as_ref().unwrap().mode),
            ("c", TransitMode::Transparent)
        );
        a.carried(&again, taken());
        assert!(a.no_errand());
    }
}

/// However often, under whatever ids and names and about whomever a peer asks again: its answers stay few.
#[test]
fn a_peer_that_asks_again_and_again_gets_a_bounded_number_of_answers() {
    let mut a = back_to_back();
    let all = [u1(), party("+12025550101"), party("+12025550102"), c1()];
    let request = |tx: String, system: usize| ForwardReq {
        to: all.to_vec(),
        originator_system: format!("user{system}@mms.b.example").parse().ok(),
        ..fwd("mm-1", &tx)
    };
    let (id, _) = a.arrives_new("b", request("tx-0".into(), 0), &all);
    for n in 0..400 {
        a.arrives_new("b", request(format!("tx-{}", n % 50), n), &all);
    }
    let ledger = a.ledger(id);
    assert_eq!(ledger.askers.len(), 8);
    let most = 9 * 2 * all.len();
    assert!(ledger.responses.len() <= most, "{} answers, at most {most}", ledger.responses.len());
    // Each of the first few ids has its answer, to the mailbox that was named first with it.
    for n in 0..9 {
        let of = ledger
            .responses
            .iter()
            .find(|r| r.transaction_id.as_ref().unwrap().as_str() == format!("tx-{n}"));
        assert_eq!(of.unwrap().to.to_string(), format!("user{n}@mms.b.example"));
    }
}

/// C takes a part of the request, and answers it as a whole: what it has, and no more. The rest goes on in a transaction of ours.
#[test]
fn what_has_passed_in_part_is_answered_in_parts() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    let both = [c1(), party("+12025550121")];
    let request = || ForwardReq { to: both.to_vec(), ..fwd("mm-1", "tx-1") };
    let (id, _) = a.arrives_new("b", request(), &both);
    let errand = a.errand();
    assert_eq!(errand.relayed.as_ref().unwrap().mode, TransitMode::Transparent);
    let told = vec![Told::Taken("250 taken".into()), Told::Later("450 later".into())];
    a.carried(&errand, Carried::Told(told));
    a.pass(Duration::from_secs(120));
    let rest = a.errand();
    assert_eq!(
        (rest.places.as_slice(), rest.relayed.as_ref().unwrap().mode),
        (&[1][..], TransitMode::BackToBack)
    );
    // A repeat waits for the rest.
    a.arrives_new("b", request(), &both);
    assert!(a.no_errand());
    for to in ["system-user@mms.a.example", "system-user@mms.b.example"] {
        let mut response = res_for(TransactionId::new("tx-1").unwrap(), RequestStatus::Ok, &[]);
        if let AbstractMessage::ForwardRes(response) = &mut response {
            response.message_id = mms::MessageId::new("mm-1").ok();
        }
        let mut arrival = a.arrival("c", response, &[]);
        arrival.recipients = vec![to.parse::<MailPath>().unwrap()];
        a.input(mms::MmId::new(1, 0, 1), Event::Arrived(Box::new(arrival)));
        let answer = a.errand();
        assert_eq!(answered(&answer), ok_for_b("tx-1", &["+12025550120"]), "{to}");
        a.carried(&answer, taken());
    }
    a.carried(&rest, taken());
    a.arrives("c", res(&rest, RequestStatus::ErrorUnspecified, &[]));
    assert_eq!(a.states(id), [RecipientState::Forwarded, RecipientState::Failed]);
    let (_, tx, status, recipients) = answered(&a.errand());
    assert_eq!(
        (tx.as_str(), status, recipients),
        ("tx-1", RequestStatus::ErrorUnspecified, vec!["+12025550121".to_owned()])
    );
}

/// What goes several ways would be answered by several, each for all: then we answer.
#[test]
fn what_goes_several_ways_does_not_pass_as_it_came() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1(), u1()]);
    let answer = a.errand();
    let errand = a.errand();
    let (answer, errand) = if errand.peer.as_str() == "c" { (answer, errand) } else { (errand, answer) };
    assert_eq!(errand.relayed.as_ref().unwrap().mode, TransitMode::BackToBack);
    assert_eq!(answered(&answer), ok_for_b("tx-1", &["+12025550100"]));
}

/// The same when it had to be looked up where it goes.
#[test]
fn a_repeat_of_what_passed_after_a_look_up_passes_again() {
    let mut a = Driver::with(House { discovery: outside(true), ..between(TransitMode::Transparent) });
    for _ in 0..2 {
        a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
        find(&mut a, Found::Peer(PeerName::new("c")));
        let errand = a.errand();
        a.carried(&errand, taken());
        assert!(a.no_errand());
    }
}

/// A Relay/Server that knows no mailbox behind us answers us. What it says is for the one that asked, once for each time that it is said.
#[test]
fn an_answer_to_us_about_what_passed_goes_on() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    let said = |status, tx: &str| {
        let tx = TransactionId::new(tx).unwrap();
        let mut response = res_for(tx, status, &[c1()]);
        if let AbstractMessage::ForwardRes(response) = &mut response {
            response.message_id = mms::MessageId::new("mm-1").ok();
        }
        response
    };
    // Nobody else may say it, and not about another request.
    a.arrives("b", said(RequestStatus::Ok, "tx-1"));
    a.arrives("c", said(RequestStatus::Ok, "tx-2"));
    assert!(a.no_errand());
    // It may be quicker than the word that C has the request.
    a.arrives("c", said(RequestStatus::ErrorContentNotAccepted, "tx-1"));
    let answer = a.errand();
    let expected =
        ("b".into(), "tx-1".into(), RequestStatus::ErrorContentNotAccepted, vec!["+12025550120".into()]);
    assert_eq!(answered(&answer), expected);
    a.carried(&answer, taken());
    a.carried(&errand, taken());
    assert_eq!(a.states(id), [RecipientState::Forwarded]);
    assert!(a.no_errand());
    a.arrives("c", said(RequestStatus::ErrorContentNotAccepted, "tx-1"));
    assert_eq!(answered(&a.errand()), expected);
}

/// The same for a peer that wants one answer for all: what C said of its part, by name, was none.
#[test]
fn the_rest_of_what_has_passed_in_part_is_answered_collectively() {
    let mut house = between(TransitMode::Transparent);
    house.peers[0].profile.response_style = ResponseStyle::Collective;
    let mut a = Driver::with(house);
    let both = [c1(), party("+12025550121")];
    a.arrives_new("b", ForwardReq { to: both.to_vec(), ..fwd("mm-1", "tx-1") }, &both);
    let errand = a.errand();
    a.carried(&errand, Carried::Told(vec![Told::Taken("250 taken".into()), Told::Later("450 later".into())]));
    let mut response = res_for(TransactionId::new("tx-1").unwrap(), RequestStatus::ErrorUnspecified, &[]);
    if let AbstractMessage::ForwardRes(response) = &mut response {
        response.message_id = mms::MessageId::new("mm-1").ok();
    }
    a.arrives("c", response);
    let some = a.errand();
    assert_eq!(answered(&some).3, ["+12025550120"]);
    a.carried(&some, taken());
    a.pass(Duration::from_secs(120));
    let rest = a.errand();
    a.carried(&rest, taken());
    a.arrives("c", res(&rest, RequestStatus::Ok, &[]));
    assert_eq!(answered(&a.errand()), ok_for_b("tx-1", &[]));
}

/// However much the next peer has to say about what passed, the peer that sent it hears a bounded number of answers.
#[test]
fn a_peer_that_answers_us_for_ever_is_not_said_on_for_ever() {
    let mut a = Driver::with(between(TransitMode::Transparent));
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[c1()]);
    let errand = a.errand();
    a.carried(&errand, taken());
    for n in 0..100 {
        let mut response = res_for(TransactionId::new("tx-1").unwrap(), RequestStatus::Ok, &[]);
        if let AbstractMessage::ForwardRes(response) = &mut response {
            response.message_id = mms::MessageId::new("mm-1").ok();
            response.status_text = mms::HeaderText::new(format!("word {n}")).ok();
        }
        a.arrives("c", response);
    }
    assert_eq!(a.ledger(id).responses.len(), 2);
}

/// Without a transparent grant nothing passes as it came, whoever it is addressed to.
#[test]
fn a_response_for_another_peer_passes_only_where_its_request_may() {
    for house in [house(), between(TransitMode::BackToBack)] {
        let mut a = Driver::with(house);
        let response = res_for(TransactionId::new("tx-1").unwrap(), RequestStatus::Ok, &[]);
        let mut arrival = a.arrival("c", response, &[]);
        arrival.recipients = vec!["system-user@mms.b.example".parse::<MailPath>().unwrap()];
        a.input(mms::MmId::new(1, 0, 1), Event::Arrived(Box::new(arrival)));
        assert!(a.no_errand());
        assert!(a.store().ledgers(None, false, 10).unwrap().is_empty());
    }
}

/// D-13, D-14, D-21, the heart's part: what the submitter may know of a report.
#[test]
fn d_13_d_14_d_21_what_a_submitter_may_know() {
    let cases = [
        (true, Some(true), true),
        (true, None, true),
        (true, Some(false), false),
        (false, Some(true), false),
        (false, None, false),
    ];
    for (asked, forward_it, told) in cases {
        let mut a = Driver::new();
        let mut wanted = submission(u1(), &[b1()]);
        wanted.request.delivery_report = Some(asked);
        let ledger = a.submit(wanted);
        let errand = a.errand();
        a.carried(&errand, taken());
        let message_id = ledger.request.unwrap().message_id.unwrap();
        let mut message = report(message_id.as_str(), &b1(), MmStatus::Retrieved);
        if let AbstractMessage::DeliveryReportReq(report) = &mut message {
            report.forward_to_originator_ua = forward_it;
        }
        a.arrives("b", message);
        let recipient = a.ledger(ledger.id).recipients.remove(0);
        assert_eq!(recipient.mm_status, Some(MmStatus::Retrieved), "we know in any case");
        assert_eq!(recipient.told.is_some(), told, "asked {asked}, forward {forward_it:?}");
    }
}

fn asking(discovery: Discovery, transit: bool) -> Driver {
    let base = if transit { between(TransitMode::BackToBack) } else { house() };
    Driver::with(House { discovery, ..base })
}

fn outside(portability_first: bool) -> Discovery {
    Discovery { asks: true, tables_first: false, portability_first }
}

fn find(a: &mut Driver, found: Found) {
    let lookup = a.lookups.pop_front().expect("a look-up");
    let found = lookup.numbers.iter().map(|(place, _)| (*place, found.clone())).collect();
    a.event(lookup.mm, Event::Found { entry: lookup.entry, found });
}

/// A-10, the heart's part: an MM waits for the look-up, over restarts and silence, and goes where it leads.
#[test]
fn a_10_a_21_an_mm_waits_for_its_look_up() {
    let mut a = asking(outside(false), false);
    let abroad = party("+447700900100");
    let ledger = a.submit(submission(u1(), &[abroad.clone(), b1()]));
    assert_eq!(a.states(ledger.id), [RecipientState::Routing; 2], "both are asked for");
    a = a.restart();
    find(&mut a, Found::Later("timeout".into()));
    assert!(a.lookups.is_empty(), "not at once");
    a.pass(Duration::from_secs(60));
    assert_eq!(a.lookups.len(), 1);
    let lookup = a.lookups.pop_front().unwrap();
    assert_eq!(lookup.entry.attempt, 1);
    let path = "+447700900100/TYPE=PLMN@mms.c.example".parse().unwrap();
    let found = vec![(0, Found::Path(path)), (1, Found::Tables)];
    a.event(lookup.mm, Event::Found { entry: lookup.entry, found });
    let errands = [a.errand(), a.errand()];
    let to: Vec<_> = errands.iter().map(|e| (e.peer.to_string(), e.recipients[0].to_string())).collect();
    assert!(to.contains(&("c".into(), "+447700900100/TYPE=PLMN@mms.c.example".into())), "{to:?}");
    assert!(to.contains(&("b".into(), "+12025550110/TYPE=PLMN@mms.b.example".into())), "{to:?}");
    let domain = |p: &Party| p.domain.as_ref().unwrap().to_string();
    assert_eq!(domain(&forward(&errands[0]).to[0]), "mms.c.example");
    // Nobody knows this one.
    let ledger = a.submit(submission(u1(), &[abroad]));
    find(&mut a, Found::Nothing);
    assert_eq!(a.states(ledger.id), [RecipientState::Failed]);
}

/// What a look-up gives for the envelope is used there, and only there.
#[test]
fn the_envelope_has_what_the_look_up_gave() {
    let mut a = asking(outside(false), false);
    let ledger = a.submit(submission(u1(), &[party("+447700900100")]));
    find(&mut a, Found::Path("447700900100.gate7@mms.c.example".parse().unwrap()));
    let errand = a.errand();
    assert_eq!(errand.recipients[0].to_string(), "447700900100.gate7@mms.c.example");
    assert_eq!(forward(&errand).to[0].to_string(), "+447700900100/TYPE=PLMN@mms.c.example");
    a.carried(&errand, taken());
    a.arrives("c", res(&errand, RequestStatus::Ok, &[party("+447700900100")]));
    assert_eq!(a.states(ledger.id), [RecipientState::Accepted]);
}

/// A look-up that never got its turn ends with the queue time as well.
#[test]
fn a_look_up_that_never_has_its_turn() {
    let mut house = House { discovery: outside(false), ..house() };
    house.limits.in_flight_max = 1;
    let mut a = Driver::with(house);
    let first = a.submit(submission(u1(), &[party("+447700900100")]));
    let second = a.submit(submission(u1(), &[party("+447700900101")]));
    assert_eq!(a.lookups.len(), 1, "one at a time");
    a.pass(hours(25));
    assert_eq!(a.states(first.id), [RecipientState::Routing], "how it ends decides");
    assert_eq!(a.states(second.id), [RecipientState::Failed]);
}

/// A look-up that never succeeds ends with the queue time, and is answered.
#[test]
fn a_look_up_that_never_succeeds() {
    let mut a = asking(outside(false), true);
    let (id, answer) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[party("+447700900100")]);
    assert!(matches!(answer, Answer::Mail(reply) if reply.code == 250), "taken before anybody is asked");
    for _ in 0..80 {
        if !a.lookups.is_empty() {
            find(&mut a, Found::Later("timeout".into()));
        }
        a.pass(Duration::from_secs(1800));
    }
    assert_eq!(a.states(id), [RecipientState::Refused]);
    assert_eq!(answered(&a.errand()).2, RequestStatus::ErrorNetworkProblem);
    assert_eq!(a.store().depth(&QueueId::new("lookup:"), 10).unwrap(), 0);
}

/// a number in our range that has gone elsewhere is followed; one that has not is delivered here.
#[test]
fn a_30_a_number_that_has_gone_elsewhere() {
    let mut a = asking(outside(true), true);
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    assert_eq!(a.states(id), [RecipientState::Routing]);
    find(&mut a, Found::Domain("mms.c.example".parse().unwrap()));
    assert_eq!(a.errand().peer, PeerName::new("c"));
    let (id, _) = a.arrives_new("b", fwd("mm-2", "tx-2"), &[u1()]);
    find(&mut a, Found::Nothing);
    assert_eq!(a.states(id), [RecipientState::Stored]);
    assert_eq!(answered(&a.errand()), ok_for_b("tx-2", &["+12025550100"]));
}

/// A user of ours who is served by an application: told by webhook, retrieved when the application has it.
#[test]
fn an_application_is_told_until_it_listens() {
    let mut house = house();
    house.hooks = vec![HookName::new("shop")];
    house.locals[0].dock = Dock::Hook(HookName::new("shop"));
    let mut a = Driver::with(house);
    let asking = ForwardReq { delivery_report: Some(true), ..fwd("mm-1", "tx-1") };
    let (id, _) = a.arrives_new("b", asking, &[u1()]);
    assert_eq!(answered(&a.errand()), ok_for_b("tx-1", &["+12025550100"]));
    a = a.restart();
    let response = a.errand();
    a.carried(&response, taken());
    let notice = a.notifications.pop_front().expect("a notice");
    assert_eq!(notice.notice.what, Noticed::Arrived);
    let tell = |a: &mut Driver, entry, how| a.event(id, Event::Carried { entry, places: vec![], how });
    tell(&mut a, notice.entry, Carried::Told(vec![Told::Later("500".into())]));
    a.pass(Duration::from_secs(60));
    let notice = a.notifications.pop_front().expect("again");
    tell(&mut a, notice.entry, taken());
    assert_eq!(a.states(id), [RecipientState::Retrieved]);
    let AbstractMessage::DeliveryReportReq(report) = &a.errand().message else { panic!() };
    assert_eq!(report.status, Some(MmStatus::Retrieved));
    assert!(a.notifications.is_empty());
}

/// The same submission under the same key is one MM, also at the same time and after a restart.
#[test]
fn a_submission_under_a_key_is_made_once() {
    let mut a = Driver::new();
    let keyed = |digest: u8| {
        let once = Once { key: b"shop/1".to_vec(), digest: [digest; 32], kept: hours(24) };
        let submission = submission(u1(), &[b1()]);
        Event::Submitted(Box::new(relay::Submission { once: Some(once), ..submission }))
    };
    let first = mms::MmId::new(a.now.millis(), 0, 77);
    assert!(matches!(a.input(first, keyed(1)), Some(Answer::Ledger(_))));
    a = a.restart();
    let other = |n| mms::MmId::new(a.now.millis(), 0, n);
    let (second, third) = (other(78), other(79));
    assert_eq!(a.input(second, keyed(1)), Some(Answer::Repeated(first, true)));
    assert_eq!(a.input(third, keyed(2)), Some(Answer::Repeated(first, false)));
    assert_eq!(a.store().ledgers(None, false, 10).unwrap().len(), 1);
}

/// What became of a submitted MM is told once for each change.
#[test]
fn a_submitter_hears_of_each_change() {
    let mut house = house();
    house.hooks = vec![HookName::new("shop")];
    let mut a = Driver::with(house);
    let hook = Some(HookName::new("shop"));
    let mut wanted = submission(u1(), &[b1()]);
    wanted.request.delivery_report = Some(true);
    let ledger = a.submit(relay::Submission { hook, ..wanted });
    let errand = a.errand();
    a.carried(&errand, taken());
    a.arrives("b", res(&errand, RequestStatus::Ok, &[]));
    let message_id = a.ledger(ledger.id).request.unwrap().message_id.unwrap();
    for status in [MmStatus::Deferred, MmStatus::Retrieved, MmStatus::Expired] {
        a.arrives("b", report(message_id.as_str(), &b1(), status));
    }
    let told: Vec<Noticed> = a.ledger(ledger.id).notices.iter().map(|n| n.what).collect();
    let states = [RecipientState::Forwarded, RecipientState::Accepted].map(Noticed::State);
    let reports = [MmStatus::Deferred, MmStatus::Retrieved].map(Noticed::DeliveryReport);
    assert_eq!(told, [states.as_slice(), reports.as_slice()].concat());
}
