//! Charging records: which event makes which record, and that none makes two.

mod driver;

use driver::{Driver, b1, body, fwd, house, party, res, submission, taken, u1, u2};
use mms::{
    AbstractMessage, DeliveryReportReq, DeliveryReportRes, MmStatus, Party, ReadReplyReportReq, ReadStatus,
    RequestStatus,
};
use relay::house::{Transit, TransitMode};
use relay::store::{Store, Topic};
use relay::{
    About, Carried, Errand, Event, Forwarded, Handling, House, Record, Reported, Reporting, Submission, Told,
};
use std::time::Duration;

fn charging() -> Driver {
    Driver::with(charging_house())
}

/// Reports to B are answered.
fn charging_house() -> House {
    let mut house = House { charging: true, ..house() };
    house.peers[0].profile.acknowledged_reports = true;
    house
}

fn records(a: &Driver) -> Vec<Record> {
    let all = a.store().drain(Topic::Charging, 0, 1000).unwrap();
    assert!(all.iter().zip(1..).all(|((number, _), place)| *number == place), "numbered without gaps");
    all.iter().map(|(_, data)| Record::decode(data).unwrap()).collect()
}

fn names(a: &Driver) -> Vec<&'static str> {
    records(a).iter().map(|r| r.kind.as_str()).collect()
}

fn forwarded(record: &Record) -> &Forwarded {
    match &record.about {
        About::Forward(forwarded) => forwarded,
        other => panic!("{other:?}"),
    }
}

fn reported(record: &Record) -> &Reported {
    match &record.about {
        About::Report(reported) => reported,
        other => panic!("{other:?}"),
    }
}

fn asks(mut submission: Submission) -> Submission {
    submission.request.delivery_report = Some(true);
    submission.request.read_reply = Some(true);
    submission
}

fn delivery_report(errand: &Errand, recipient: Party, status: MmStatus) -> AbstractMessage {
    AbstractMessage::DeliveryReportReq(DeliveryReportReq {
        version: None,
        transaction_id: mms::TransactionId::new("dr-1").ok(),
        message_id: errand.message.message_id().cloned(),
        recipient: Some(recipient),
        originator: None,
        date: None,
        ack_request: Some(true),
        status: Some(status),
        status_extension: None,
        status_text: None,
        forward_to_originator_ua: None,
        applic_id: None,
        reply_applic_id: None,
        aux_applic_info: None,
        sender: None,
        internet_message_id: None,
    })
}

fn read_report(errand: &Errand, recipient: Party) -> AbstractMessage {
    AbstractMessage::ReadReplyReportReq(ReadReplyReportReq {
        version: None,
        transaction_id: mms::TransactionId::new("rr-1").ok(),
        message_id: errand.message.message_id().cloned(),
        recipient: Some(recipient),
        originator: None,
        date: None,
        ack_request: None,
        status: Some(ReadStatus::Read),
        status_text: None,
        applic_id: None,
        reply_applic_id: None,
        aux_applic_info: None,
        sender: None,
        internet_message_id: None,
    })
}

fn report_answer(errand: &Errand) -> AbstractMessage {
    AbstractMessage::DeliveryReportRes(DeliveryReportRes {
        version: None,
        transaction_id: errand.message.transaction_id().cloned(),
        message_id: errand.message.message_id().cloned(),
        request_status: RequestStatus::Ok,
        status_text: None,
        sender: None,
        to: None,
        date: None,
        internet_message_id: None,
    })
}

#[test]
fn nothing_is_recorded_unless_asked() {
    let mut a = Driver::new();
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    a.submit(submission(u1(), &[b1()]));
    while !a.no_errand() {
        let errand = a.errand();
        a.carried(&errand, taken());
    }
    assert_eq!(names(&a), Vec::<&str>::new());
}

/// T-06: the record of a request that came, once, with what was answered.
#[test]
fn t_06_a_request_that_comes_is_recorded_once() {
    let mut a = charging();
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1(), party("+12025550120")]);
    a.arrives_new("b", fwd("mm-1", "tx-2"), &[u1(), party("+12025550120")]);
    let all = records(&a);
    assert_eq!(names(&a), ["MMR4F", "MMR4F"], "one for each answer, and none for the repeat");
    let statuses: Vec<_> = all.iter().map(|r| forwarded(r).status.clone().unwrap().0).collect();
    assert_eq!(statuses, [RequestStatus::Ok, RequestStatus::ErrorServiceDenied]);
    assert_eq!(forwarded(&all[0]).recipients.len(), 1);
    assert_eq!(
        (all[0].originator_rs.as_str(), all[0].recipient_rs.as_str()),
        ("mms.b.example", "mms.a.example")
    );
    assert_eq!((all[0].message_id.as_str(), forwarded(&all[0]).size), ("mm-1", body().decoded));
}

/// T-07: request, response and report, with one message id; a resend and a second report of the same make no second one.
#[test]
fn t_07_a_request_that_goes_out_is_recorded_once() {
    let mut a = charging();
    a.submit(asks(submission(u1(), &[b1()])));
    let errand = a.errand();
    a.carried(&errand, Carried::Told(vec![Told::Unknown("broken".into())]));
    assert_eq!(names(&a), Vec::<&str>::new(), "nobody knows whether the peer has it");
    a.pass(Duration::from_secs(60));
    let again = a.errand();
    a.carried(&again, taken());
    a.pass(Duration::from_secs(15 * 60));
    let resent = a.errand();
    a.carried(&resent, taken());
    assert_eq!(names(&a), ["MMO4FRq"], "a resend is the same request");
    a.arrives("b", res(&errand, RequestStatus::Ok, &[]));
    a.arrives("b", res(&errand, RequestStatus::Ok, &[]));
    for status in [MmStatus::Deferred, MmStatus::Deferred, MmStatus::Retrieved, MmStatus::Expired] {
        a.arrives("b", delivery_report(&errand, b1(), status));
    }
    a.arrives("b", read_report(&errand, b1()));
    a.arrives("b", read_report(&errand, b1()));
    assert_eq!(names(&a), ["MMO4FRq", "MMO4FRs", "MMO4D", "MMO4D", "MMO4R"]);
    let all = records(&a);
    assert!(all.iter().all(|r| r.message_id == all[0].message_id && !r.message_id.is_empty()));
    assert_eq!(reported(&all[3]).status, Reporting::Delivery(MmStatus::Retrieved));
    assert!(forwarded(&all[0]).ack && forwarded(&all[0]).delivery_report);
}

/// A response that comes before the peer's SMTP has replied: the request is recorded first, and once.
#[test]
fn an_overtaken_request_is_recorded_before_its_response() {
    let mut a = charging();
    a.submit(submission(u1(), &[b1(), driver::b2()]));
    let errand = a.errand();
    a.arrives("b", res(&errand, RequestStatus::Ok, &[b1()]));
    a.carried(&errand, Carried::Told(vec![Told::Taken("250".into()), Told::Taken("250".into())]));
    a.arrives("b", res(&errand, RequestStatus::Ok, &[driver::b2()]));
    assert_eq!(names(&a), ["MMO4FRq", "MMO4FRs", "MMO4FRq", "MMO4FRs"]);
    let all = records(&a);
    let recipients = |r: &Record| forwarded(r).recipients.iter().map(|(a, _)| a.value()).collect::<Vec<_>>();
    assert_eq!(
        (recipients(&all[0]), recipients(&all[2])),
        (vec![b1().address.value()], vec![driver::b2().address.value()])
    );
}

/// T-08: our report and its response.
#[test]
fn t_08_a_report_that_goes_out_is_recorded_once() {
    let mut a = charging();
    let mut request = fwd("mm-1", "tx-1");
    (request.delivery_report, request.read_reply) = (Some(true), Some(true));
    let (id, _) = a.arrives_new("b", request, &[u1()]);
    let response = a.errand();
    a.carried(&response, taken());
    a.event(id, Event::Handled { recipient: None, how: Handling::Read, report_allowed: true });
    let (delivery, reading) = (a.errand(), a.errand());
    a.carried(&delivery, taken());
    a.carried(&reading, taken());
    a.pass(Duration::from_secs(15 * 60));
    while !a.no_errand() {
        let resent = a.errand();
        a.carried(&resent, taken());
    }
    a.arrives("b", report_answer(&delivery));
    a.arrives("b", report_answer(&delivery));
    assert_eq!(names(&a), ["MMR4F", "MMR4DRq", "MMR4RRq", "MMR4DRs"]);
    let all = records(&a);
    assert!(all.iter().all(|r| r.message_id == "mm-1"));
    assert_eq!(reported(&all[1]).status, Reporting::Delivery(MmStatus::Retrieved));
}

/// T-09: between users of ours MM4 has no part.
#[test]
fn t_09_local_to_local_makes_no_record() {
    let mut a = charging();
    let ledger = a.submit(asks(submission(u1(), &[u2()])));
    a.event(ledger.id, driver::fetched());
    assert_eq!(names(&a), Vec::<&str>::new());
}

fn transit(mode: TransitMode) -> Driver {
    let mut house = charging_house();
    house.peers[0].transit = Transit { to: [(relay::PeerName::new("c"), mode)].into(), to_any: None };
    Driver::with(house)
}

/// In transit we are the recipients' side to the one and the originator's to the other.
#[test]
fn transit_makes_the_records_of_both_sides() {
    let mut a = transit(TransitMode::BackToBack);
    let c1 = party("+12025550120");
    let request = mms::ForwardReq { delivery_report: Some(true), ..fwd("mm-1", "tx-1") };
    a.arrives_new("b", request, std::slice::from_ref(&c1));
    let errand = a.errand();
    a.carried(&errand, taken());
    assert_eq!(names(&a), ["MMO4FRq"], "what is answered is not known yet");
    a.arrives("c", res(&errand, RequestStatus::Ok, &[]));
    let response = a.errand();
    a.carried(&response, taken());
    a.arrives("c", delivery_report(&errand, c1, MmStatus::Retrieved));
    let report = a.errand();
    a.carried(&report, taken());
    a.arrives("b", report_answer(&report));
    assert_eq!(names(&a), ["MMO4FRq", "MMO4FRs", "MMR4F", "MMO4D", "MMR4DRq", "MMR4DRs"]);
    for record in records(&a) {
        let sides = (record.originator_rs.as_str(), record.recipient_rs.as_str());
        match record.kind.as_str().starts_with("MMO") {
            true => assert_eq!(sides, ("mms.a.example", "mms.c.example")),
            false => assert_eq!(sides, ("mms.b.example", "mms.a.example")),
        }
        assert_eq!(record.message_id, "mm-1");
    }
}

/// What passes as it came is recorded when the next one has it; what passes back is not ours.
#[test]
fn transparent_transit_is_recorded_when_the_next_has_it() {
    let mut a = transit(TransitMode::Transparent);
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[party("+12025550120")]);
    let errand = a.errand();
    a.carried(&errand, taken());
    let back = a.arrival("c", res(&errand, RequestStatus::Ok, &[]), &[party("system-user@mms.b.example")]);
    a.event(mms::MmId::new(a.now.millis(), 0, 99), Event::Arrived(Box::new(back)));
    let passing = a.errand();
    assert_eq!(passing.peer.as_str(), "b");
    a.carried(&passing, taken());
    assert_eq!(names(&a), ["MMO4FRq", "MMR4F"]);
    let (status, text) = forwarded(&records(&a)[1]).status.clone().unwrap();
    assert_eq!((status, text.unwrap().as_str()), (RequestStatus::Ok, "passed on as it came"));
}
