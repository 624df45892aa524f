//! Ten troubles, each told in words that name its cause.

use super::*;
use mms::{ForwardReq, HeaderText, MmId, Party, RequestStatus, TransactionId};
use relay::{Origin, Recipient, RecipientKind, Transaction};
use std::time::Duration;

const START: Timestamp = Timestamp::from_seconds(1_741_083_330);

fn party(text: &str) -> Party {
    text.parse().unwrap()
}

/// An MM that was handed in here for one recipient at peer B.
fn submitted(state: RecipientState, reason: Option<Reason>, words: &str) -> Ledger {
    let origin = Origin::Submitted { by: "cli".into(), hook: None };
    let mut ledger = Ledger::new(MmId::from_bits(7), origin, START, START.plus(Duration::from_secs(86_400)));
    let mut recipient = Recipient::new(party("+12025550110"), RecipientKind::To, state, START);
    recipient.reason = reason;
    recipient.text = (!words.is_empty()).then(|| HeaderText::cleaned(words));
    ledger.recipients.push(recipient);
    ledger.request = Some(ForwardReq { from: Some(party("+12025550100")), ..ForwardReq::default() });
    ledger.transactions.push(Transaction {
        id: TransactionId::ours(ledger.id, 0, 9),
        peer: PeerName::new("b"),
        recipients: vec![0],
        transit: None,
        state: TransactionState::Settled,
        resends: 0,
        retries: 0,
        entry: None,
    });
    ledger
}

/// The same, but peer B sent it.
fn received(state: RecipientState, reason: Option<Reason>, words: &str) -> Ledger {
    let mut ledger = submitted(state, reason, words);
    ledger.origin = Origin::Received { peer: PeerName::new("b"), mail_from: None };
    ledger.transactions.clear();
    ledger
}

fn moment(what: What, text: &str) -> Moment {
    Moment { at: START, what, peer: Some(PeerName::new("b")), recipients: vec![0], text: text.into() }
}

fn shut(why: &str) -> Vec<PeerState> {
    let until = START.plus(Duration::from_secs(60));
    let gate = Gate::Shut { until, failures: 3, why: why.into() };
    vec![PeerState { peer: PeerName::new("b"), gate, paused: false, in_flight: 0 }]
}

fn told(ledger: &Ledger, peers: &[PeerState]) -> Told {
    what_happened(ledger, peers, START)
}

fn expect(told: &Told, what: &[&str], next: &[&str]) {
    assert!(told.trouble, "{told:?}");
    for word in what {
        assert!(told.what.contains(word), "{word}: {told:?}");
    }
    for word in next {
        assert!(told.next.contains(word), "{word}: {told:?}");
    }
}

#[test]
fn a_peer_refuses_recipients_after_an_upgrade() {
    let words = "550 5.7.1 relay access denied";
    let ledger = submitted(RecipientState::Failed, Some(Reason::PeerRefused), words);
    expect(&told(&ledger, &[]), &["Peer b refused the recipient", words], &["after an upgrade"]);
    let words = "550 5.1.1 user unknown";
    let ledger = submitted(RecipientState::Failed, Some(Reason::PeerRefused), words);
    expect(&told(&ledger, &[]), &[words], &["b does not know the recipient", "upgrade at b"]);
    let mut ledger = submitted(RecipientState::Failed, Some(Reason::ResponseError), "no such user");
    ledger.recipients[0].status = Some(RequestStatus::ErrorSendingAddressUnresolved);
    expect(
        &told(&ledger, &[]),
        &["MM4_forward.RES with Error-sending-address-unresolved", "no such user"],
        &["ported"],
    );
}

#[test]
fn a_response_never_comes() {
    let mut ledger = submitted(RecipientState::Unconfirmed, None, "");
    ledger.transactions[0].resends = 3;
    expect(
        &told(&ledger, &[]),
        &["4 times", "MM4_forward.RES never came"],
        &["X-Mms-Transaction-ID", "expects_response"],
    );
    let mut ledger = submitted(RecipientState::Forwarded, None, "");
    ledger.transactions[0].state = TransactionState::Awaiting(START.plus(Duration::from_secs(600)));
    let quiet = told(&ledger, &[]);
    assert!(!quiet.trouble && quiet.what.contains("is awaited until 2025-03-04 10:25:30 UTC"), "{quiet:?}");
    ledger.transactions[0].resends = 1;
    expect(&told(&ledger, &[]), &["has not answered", "sent 2 times"], &["system address"]);
}

#[test]
fn a_storm_of_repeats() {
    let mut ledger = received(RecipientState::Stored, None, "");
    ledger.history = vec![moment(What::Received, "")];
    ledger.history.extend((0..40).map(|_| moment(What::Repeated, "")));
    expect(&told(&ledger, &[]), &["sent this MM 40 times more", "delivered once"], &["MM4_forward.RES"]);
    let ledger = received(RecipientState::Duplicate, None, "");
    expect(&told(&ledger, &[]), &["repeat by b"], &["no response"]);
}

#[test]
fn a_loop() {
    let ledger = received(RecipientState::Refused, Some(Reason::Loop), "");
    expect(&told(&ledger, &[]), &["went round", "too many hops"], &["tables point at each other"]);
}

#[test]
fn an_expired_certificate() {
    let mut ledger = submitted(RecipientState::Queued, None, "");
    let why = "mx.b.example:25: the peer's certificate has expired: it was valid until 2025-03-01T00:00:00Z";
    expect(
        &told(&ledger, &shut(why)),
        &["cannot be reached", "has expired"],
        &["b has to renew its certificate"],
    );
    let why = "mx.b.example:25: the peer says that our certificate has expired";
    expect(&told(&ledger, &shut(why)), &["our certificate"], &["Renew our certificate"]);
    ledger.recipients[0].state = RecipientState::Failed;
    ledger.recipients[0].reason = Some(Reason::GaveUp);
    ledger.history.push(moment(What::Deferred, "the peer's certificate has expired"));
    expect(&told(&ledger, &[]), &["in the time that we try", "has expired"], &["renew"]);
    ledger.history.clear();
    expect(
        &told(&ledger, &shut("Connection refused")),
        &["in the time that we try", "refused"],
        &["Nothing listens"],
    );
}

#[test]
fn a_full_disk_here_and_there() {
    let mut ledger = submitted(RecipientState::Queued, None, "");
    ledger.history.push(moment(What::Deferred, "452 4.3.1 insufficient system storage"));
    expect(&told(&ledger, &[]), &["452 4.3.1"], &["b's disk is full"]);
    let ledger = received(RecipientState::Refused, Some(Reason::Full), "");
    expect(&told(&ledger, &[]), &["no room on the disk"], &["Make room"]);
}

#[test]
fn a_wrong_prefix() {
    let ledger = submitted(RecipientState::Failed, Some(Reason::NoRoute), "");
    expect(&told(&ledger, &[]), &["No table knows"], &["page of routes", "prefix is missing or wrong"]);
    let ledger = received(RecipientState::Refused, Some(Reason::NotServed), "");
    expect(&told(&ledger, &[]), &["not known here"], &["peer b routes a number to us that is not ours"]);
}

#[test]
fn a_peer_that_sends_a_bare_lf() {
    let next = trouble_with("connection ended: a LF without CR", "b").unwrap();
    assert!(next.contains("bare LF") && next.contains("CRLF"), "{next}");
}

#[test]
fn a_hidden_sender() {
    let mut ledger = received(RecipientState::Stored, None, "");
    ledger.request.as_mut().unwrap().sender_visibility = Some(Visibility::Hide);
    let told = told(&ledger, &[]);
    assert!(!told.trouble && told.what.contains("asked to be hidden"), "{told:?}");
}

#[test]
fn five_megabytes_over_the_limit() {
    let ledger = received(RecipientState::Refused, Some(Reason::TooLarge), "");
    expect(&told(&ledger, &[]), &["over the size limit"], &["content_size_max"]);
    let words = "552 5.3.4 message size exceeds fixed limit";
    let ledger = submitted(RecipientState::Failed, Some(Reason::PeerRefused), words);
    expect(&told(&ledger, &[]), &[words], &["larger than b takes"]);
}

#[test]
fn what_is_worst_is_told_first_and_all_is_well_is_said() {
    let mut ledger = submitted(RecipientState::Accepted, None, "");
    let fine = told(&ledger, &[]);
    assert!(!fine.trouble && fine.next.is_empty() && fine.what.contains("accepted"), "{fine:?}");
    let mut other = ledger.recipients[0].clone();
    (other.state, other.reason) = (RecipientState::Failed, Some(Reason::Dropped));
    ledger.recipients.push(other);
    let both = told(&ledger, &[]);
    assert!(both.what.starts_with("1 of 2 recipients: An operator dropped it"), "{both:?}");
    assert!(both.what.contains("1 of 2 recipients: Peer b accepted"), "{both:?}");
}
