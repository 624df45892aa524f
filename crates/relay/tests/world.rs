//! The heart over the store in memory: whole stories, told without a wire.

mod driver;

use driver::{Driver, b1, b2, body, fwd, res, submission, taken, u1, u2};
use mms::RequestStatus;
use relay::store::Store;
use relay::{Answer, Carried, RecipientState, Told, TransactionState};
use std::time::Duration;

#[test]
fn an_mm_goes_out_and_its_response_settles_it() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1()]));
    let errand = a.errand();
    assert_eq!(errand.recipients[0].to_string(), "+12025550110/TYPE=PLMN@mms.b.example");
    assert_eq!(errand.mail_from.as_ref().unwrap().to_string(), "+12025550100/TYPE=PLMN@mms.a.example");
    a.carried(&errand, taken());
    assert_eq!(a.states(ledger.id), [RecipientState::Forwarded]);
    a.arrives("b", res(&errand, RequestStatus::Ok, &[]));
    assert_eq!(a.states(ledger.id), [RecipientState::Accepted]);
    assert_eq!(a.store().ledger(ledger.id).unwrap().unwrap().content, None, "nobody needs the content now");
}

#[test]
fn an_mm_comes_in_is_answered_and_fetched() {
    let mut a = Driver::new();
    let (id, answer) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    assert!(matches!(answer, Answer::Mail(r) if r.code == 250));
    let errand = a.errand();
    assert_eq!(
        errand.recipients[0].to_string(),
        "+12025550110/TYPE=PLMN@mms.b.example",
        "no Originator-System, no Sender: the envelope sender"
    );
    a.carried(&errand, taken());
    assert_eq!(a.states(id), [RecipientState::Stored]);
    a.event(id, driver::fetched());
    assert_eq!(a.states(id), [RecipientState::Retrieved]);
    assert!(a.no_errand());
}

/// Case I-01: the same request again is answered the same way and delivered once.
#[test]
fn i_01_a_repeat_is_answered_and_not_delivered() {
    let mut a = Driver::new();
    let (first, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    let (second, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    assert_eq!(a.states(first), [RecipientState::Stored]);
    assert_eq!(a.states(second), [RecipientState::Duplicate]);
    let (one, two) = (a.errand(), a.errand());
    assert_eq!(one.message.transaction_id(), two.message.transaction_id());
}

/// Case I-03: another peer may use the same Message-ID.
#[test]
fn i_03_same_message_id_from_another_peer_is_no_repeat() {
    let mut a = Driver::new();
    a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    let (second, _) = a.arrives_new("c", fwd("mm-1", "tx-1"), &[u1()]);
    assert_eq!(a.states(second), [RecipientState::Stored]);
}

/// Case G-13, G-14: the peer takes one recipient, refuses one, and wants one later.
#[test]
fn g_13_recipients_part_ways() {
    let mut a = Driver::new();
    let b3 = driver::party("+12025550112");
    let ledger = a.submit(submission(u1(), &[b1(), b2(), b3]));
    let errand = a.errand();
    let words = || "said the peer".to_owned();
    let ends = vec![Told::Taken(words()), Told::Never(words()), Told::Crowded(words())];
    a.carried(&errand, Carried::Told(ends));
    let states = [RecipientState::Forwarded, RecipientState::Failed, RecipientState::Queued];
    assert_eq!(a.states(ledger.id), states);
    let rest = a.errand();
    assert_eq!(rest.recipients.len(), 1);
    assert_ne!(rest.message.transaction_id(), errand.message.transaction_id());
    assert_eq!(rest.message.message_id(), errand.message.message_id());
}

/// Case O-18, O-19: no response, two resends under the same ids, then unconfirmed; a late response still counts.
#[test]
fn o_18_a_response_that_stays_away() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1()]));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let errand = a.errand();
        ids.push(errand.message.transaction_id().cloned());
        a.carried(&errand, taken());
        assert!(a.no_errand());
        a.pass(Duration::from_secs(15 * 60));
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert!(a.no_errand());
    assert_eq!(a.states(ledger.id), [RecipientState::Unconfirmed]);
    a.arrives("b", driver::res_for(ids[0].clone().unwrap(), RequestStatus::Ok, &[]));
    assert_eq!(a.states(ledger.id), [RecipientState::Accepted]);
}

/// Case O-26: a response that comes from another peer changes nothing.
#[test]
fn o_26_a_response_from_another_peer_is_ignored() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1()]));
    let errand = a.errand();
    a.carried(&errand, taken());
    let before = a.ledger(ledger.id);
    a.arrives("c", res(&errand, RequestStatus::ErrorServiceDenied, &[]));
    assert_eq!(a.ledger(ledger.id), before);
}

/// The response about one recipient overtakes the peer's `250` and comes once more: it is not about the other one.
#[test]
fn a_repeated_response_about_one_recipient_is_not_about_the_other() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1(), b2()]));
    let errand = a.errand();
    let first = res(&errand, RequestStatus::Ok, &[b1()]);
    a.arrives("b", first.clone());
    a.carried(&errand, Carried::Told(vec![Told::Taken("250 taken".into()); 2]));
    a.arrives("b", first);
    assert_eq!(a.states(ledger.id), [RecipientState::Accepted, RecipientState::Forwarded]);
    a.arrives("b", res(&errand, RequestStatus::ErrorServiceDenied, &[b2()]));
    assert_eq!(a.states(ledger.id), [RecipientState::Accepted, RecipientState::Failed]);
}

/// "Try again" about one recipient, said twice, does not put off the other one, who is still awaited.
#[test]
fn a_repeated_try_again_about_one_recipient_is_not_about_the_other() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1(), b2()]));
    let errand = a.errand();
    a.carried(&errand, Carried::Told(vec![Told::Taken("250 taken".into()); 2]));
    let later = res(&errand, RequestStatus::ErrorNetworkProblem, &[b1()]);
    a.arrives("b", later.clone());
    a.arrives("b", later);
    assert_eq!(a.states(ledger.id), [RecipientState::Queued, RecipientState::Forwarded]);
}

#[test]
fn a_dead_peer_costs_nothing_until_it_is_back() {
    let mut a = Driver::new();
    let first = a.submit(submission(u1(), &[b1()]));
    let errand = a.errand();
    a.carried(&errand, Carried::Unreachable("refused".into()));
    assert!(a.no_errand(), "the gate is shut");
    assert_eq!(a.ledger(first.id), first, "no attempt is counted");
    a.submit(submission(u2(), &[b1()]));
    a.pass(Duration::from_secs(5));
    let probe = a.errand();
    assert!(a.no_errand(), "one probe only");
    a.carried(&probe, taken());
    a.errand();
}

/// Case O-29: what expires in the queue is not sent.
#[test]
fn o_29_expired_in_the_queue() {
    let mut a = Driver::new();
    let mut mm = submission(u1(), &[b1()]);
    mm.request.expiry = Some(mms::Expiry::After(Duration::from_secs(3600)));
    let ledger = a.submit(mm);
    let errand = a.errand();
    a.carried(&errand, Carried::Unreachable("refused".into()));
    a.pass(Duration::from_secs(3600));
    let probe = a.errand();
    a.carried(&probe, Carried::Unreachable("refused".into()));
    assert_eq!(a.states(ledger.id), [RecipientState::Expired]);
    a.pass(Duration::from_secs(600));
    assert!(a.no_errand(), "neither sent nor probed any more");
}

/// More than are woken at once, and all of them due: what expired while the relay was down does not leave at its start.
#[test]
fn o_29_expired_while_the_relay_was_down() {
    let mut house = driver::house();
    house.limits.in_flight_max = 10_000;
    let mut a = Driver::with(house);
    let mut mm = submission(u1(), &[b1()]);
    mm.request.expiry = Some(mms::Expiry::After(Duration::from_secs(3600)));
    let ids: Vec<_> = (0..1200).map(|_| a.submit(mm.clone()).id).collect();
    a.now = a.now.plus(Duration::from_secs(3600));
    let a = a.restart();
    assert!(a.no_errand());
    assert!(ids.iter().all(|id| a.states(*id) == [RecipientState::Expired]));
}

#[test]
fn a_restart_forgets_nothing() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1()]));
    let lost = a.errand();
    let mut a = a.restart();
    let again = a.errand();
    assert_eq!(again.message.transaction_id(), lost.message.transaction_id());
    a.carried(&again, taken());
    let mut a = a.restart();
    assert!(a.no_errand());
    assert!(matches!(a.ledger(ledger.id).transactions[0].state, TransactionState::Awaiting(_)));
    a.pass(Duration::from_secs(15 * 60));
    a.errand();
}

#[test]
fn a_history_ends_when_it_has_served() {
    let mut a = Driver::new();
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    let errand = a.errand();
    a.carried(&errand, taken());
    a.pass(Duration::from_secs(3 * 86_400));
    assert_eq!(a.states(id), [RecipientState::Expired]);
    assert!(a.store().tagged(relay::store::TagKind::Mailbox, None, None, 10).unwrap().is_empty());
    a.pass(Duration::from_secs(8 * 86_400));
    assert_eq!(a.store().ledger(id).unwrap(), None);
    assert!(body().len > 0);
}

/// An MM that is on its way when its time ends is the peer's, if the peer takes it.
#[test]
fn what_is_on_its_way_at_the_deadline_is_decided_by_its_end() {
    for (end, state) in [
        (Told::Taken("250 taken".into()), RecipientState::Forwarded),
        (Told::Later("451 later".into()), RecipientState::Expired),
    ] {
        let mut a = Driver::new();
        let mut mm = submission(u1(), &[b1()]);
        mm.request.expiry = Some(mms::Expiry::After(Duration::from_secs(60)));
        let ledger = a.submit(mm);
        let errand = a.errand();
        a.pass(Duration::from_secs(65));
        assert_eq!(a.states(ledger.id), [RecipientState::Queued], "nothing is said before the end is known");
        a.carried(&errand, Carried::Told(vec![end]));
        assert_eq!(a.states(ledger.id), [state]);
        assert!(a.no_errand());
    }
}

/// a clock that jumps back makes nothing expire early, and nothing wait longer than from where it stood.
#[test]
fn x_07_a_clock_that_jumps_back() {
    let mut a = Driver::new();
    let ledger = a.submit(submission(u1(), &[b1()]));
    let errand = a.errand();
    a.carried(&errand, taken());
    let stood = a.now;
    a.now = stood.minus(Duration::from_secs(3600));
    a.run();
    assert_eq!(a.states(ledger.id), [RecipientState::Forwarded]);
    assert!(a.no_errand(), "the response is not missed yet");
    let (id, _) = a.arrives_new("b", fwd("mm-1", "tx-1"), &[u1()]);
    assert_eq!(a.states(id), [RecipientState::Stored]);
    assert!(a.ledger(id).accepted >= stood, "time does not go back in the ledgers");
    let response = a.errand();
    a.carried(&response, taken());
    a.now = stood;
    a.pass(Duration::from_secs(15 * 60));
    assert_eq!(a.errand().message.transaction_id(), errand.message.transaction_id(), "and is missed in time");
}
