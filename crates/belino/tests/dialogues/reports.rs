//! Reports from a peer about MMs of our users, as far as the ledger shows them: attribution, finality, answers (cases
//! D-12, D-16 to D-23, D-25, R-04 to R-07).

use crate::sending::{hand_in, mm};
use crate::world::*;

const SYSTEM_A: &str = "system-user@mms.a.example";

/// A report about an MM, from B1 to U1, asking for an answer.
fn report(message_type: &str, message_id: &str, transaction_id: &str) -> Fwd {
    let lines = [
        "Date: Tue, 04 Mar 2025 10:17:01 +0000".to_owned(),
        "From: +12025550110/TYPE=PLMN@mms.b.example".into(),
        "Sender: system-user@mms.b.example".into(),
        "To: +12025550100/TYPE=PLMN@mms.a.example".into(),
        "Message-ID: <d-1@mms.b.example>".into(),
        "X-Mms-3GPP-MMS-Version: 6.3.0".into(),
        format!("X-Mms-Message-Type: {message_type}"),
        format!("X-Mms-Transaction-ID: {transaction_id}"),
        format!("X-Mms-Message-ID: {message_id}"),
        "X-Mms-Ack-Request: Yes".into(),
    ];
    Fwd { lines: lines.to_vec(), body: Vec::new() }
}

fn delivery(message_id: &str, transaction_id: &str, status: &str) -> Fwd {
    report("MM4_delivery_report.REQ", message_id, transaction_id)
        .set("X-Mms-Forward-To-Originator-UA", "Yes")
        .set("X-Mms-MM-Status-Code", status)
}

fn read(message_id: &str, transaction_id: &str, status: &str) -> Fwd {
    report("MM4_read_reply_report.REQ", message_id, transaction_id).set("X-Mms-Read-Status", status)
}

fn bring(mut client: Client, report: &Fwd, to: &str) {
    let reply = client.mail("system-user@mms.b.example", &[to], &report.mail());
    assert!(reply.starts_with("250"), "{reply}");
}

/// An MM to these recipients, forwarded; our id and its Message-ID.
fn sent(world: &World, to: &[&str]) -> (String, String) {
    let id = hand_in(world, to, &["--delivery-report", "--read-reply"]);
    let message_id = world.b.mail().must("X-Mms-Message-ID");
    for place in 0..to.len() {
        world.until_state(&id, place, "forwarded");
    }
    (id, message_id)
}

fn reported(world: &World, id: &str, place: usize) -> (Option<String>, Option<String>) {
    let recipient = &mm(world, id)["recipients"][place];
    let word = |key: &str| recipient[key].as_str().map(str::to_owned);
    (word("delivery_report"), word("read_reply_report"))
}

fn said(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// D-12, D-17: a delivery report is noted and answered; what comes after a final one is answered and changes nothing.
#[test]
fn d_12_d_17_a_delivery_report_is_noted_and_answered() {
    let world = World::new();
    let (id, message_id) = sent(&world, &[B1]);
    let mut number = 0;
    for (status, noted) in [
        ("Deferred", "Deferred"),
        ("Retrieved", "Retrieved"),
        ("Retrieved", "Retrieved"),
        ("Expired", "Retrieved"),
    ] {
        number += 1;
        let tx = format!("dr-{number}");
        bring(world.from_b(), &delivery(&message_id, &tx, status), &at_a(U1));
        let res = world.b.mail();
        assert_eq!(res.must("X-Mms-Message-Type"), "MM4_delivery_report.RES");
        assert_eq!(
            (res.must("X-Mms-Transaction-ID"), res.must("X-Mms-Message-ID")),
            (tx, message_id.clone())
        );
        assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok");
        assert_eq!(res.to, ["system-user@mms.b.example"], "to the Sender of the report");
        assert_eq!(reported(&world, &id, 0).0, said(noted), "after {status}");
    }
    // A report is no response: that is still awaited.
    assert_eq!(mm(&world, &id)["recipients"][0]["state"], "forwarded");
}

/// D-16, D-25: a report about nothing that this peer got from us is answered so, and changes nothing.
#[test]
fn d_16_d_25_a_report_about_nothing_of_this_peers() {
    let world = World::new();
    let (id, message_id) = sent(&world, &[B1]);
    bring(world.from_b(), &delivery("mm-unheard-of", "dr-1", "Retrieved"), &at_a(U1));
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-message-not-found");
    assert_eq!(
        (res.must("X-Mms-Transaction-ID"), res.must("X-Mms-Message-ID")),
        ("dr-1".into(), "mm-unheard-of".into())
    );
    // Peer C never got this MM.
    bring(world.from_c(), &delivery(&message_id, "dr-2", "Retrieved"), &at_a(U1));
    let res = world.c.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-message-not-found");
    assert_eq!(reported(&world, &id, 0).0, None);
    // Not asked for an answer: none is given, and the log tells of it.
    let quiet = delivery("mm-unheard-of", "dr-3", "Retrieved").set("X-Mms-Ack-Request", "No");
    bring(world.from_b(), &quiet, &at_a(U1));
    let told = |l: &str| l.contains("WARN") && l.contains("dr-3") && l.contains("mm-unheard-of");
    world.until("a warning in the log", |world| world.log().lines().any(told).then_some(()));
    bring(world.from_b(), &delivery(&message_id, "dr-4", "Retrieved"), &at_a(U1));
    assert_eq!(world.b.mail().must("X-Mms-Transaction-ID"), "dr-4", "nothing came for dr-3");
    assert_eq!(reported(&world, &id, 0).0, said("Retrieved"));
}

/// D-18, D-19, D-20, D-22, D-23: odd spellings, the other header, swapped parties, the system's mailbox.
#[test]
fn d_18_d_19_d_20_d_22_d_23_reports_that_live_peers_write() {
    let world = World::new();
    let usual = |id: &str| delivery(id, "dr-1", "retrieved");
    let swapped = |fwd: Fwd| {
        fwd.set("From", "+12025550100/TYPE=PLMN@mms.a.example")
            .set("To", "+12025550110/TYPE=PLMN@mms.b.example")
    };
    type Made = Box<dyn Fn(&str) -> Fwd>;
    let cases: [(&str, Made, String, &str); 6] = [
        ("D-18 lower case", Box::new(usual), at_a(U1), "Retrieved"),
        ("D-18 American", Box::new(|id| delivery(id, "dr-1", "Unrecognized")), at_a(U1), "Unrecognised"),
        (
            "D-19 the other header",
            Box::new(move |id| usual(id).without("X-Mms-MM-Status-Code").add("X-Mms-Status: Retrieved")),
            at_a(U1),
            "Retrieved",
        ),
        ("D-20 swapped", Box::new(move |id| swapped(usual(id))), at_a(U1), "Retrieved"),
        ("D-22 to the system", Box::new(usual), SYSTEM_A.to_owned(), "Retrieved"),
        (
            "D-23 extension",
            Box::new(move |id| usual(id).add("X-Mms-MM-Status-Extension: Rejection-by-MMS-recipient")),
            at_a(U1),
            "Retrieved",
        ),
    ];
    for (case, made, to, noted) in cases {
        let (id, message_id) = sent(&world, &[B1, B2]);
        bring(world.from_b(), &made(&message_id), &to);
        assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok", "{case}");
        assert_eq!(reported(&world, &id, 0).0, said(noted), "{case}");
        assert_eq!(reported(&world, &id, 1).0, None, "{case}: it was about B1");
    }
}

/// a read-reply report is noted and answered, however it is written, and needs no delivery report
/// before it.
#[test]
fn r_04_r_05_r_06_a_read_reply_report_is_noted_and_answered() {
    let world = World::new();
    for (written, noted) in [
        ("Read", "Read"),
        ("read", "Read"),
        ("Deleted without being read", "Deleted without being read"),
        ("Deleted-without-being-read", "Deleted without being read"),
        ("DeletedWithoutBeingRead", "Deleted without being read"),
    ] {
        let (id, message_id) = sent(&world, &[B1]);
        bring(world.from_b(), &read(&message_id, "rr-1", written), &at_a(U1));
        let res = world.b.mail();
        assert_eq!(res.must("X-Mms-Message-Type"), "MM4_read_reply_report.RES");
        assert_eq!(
            (res.must("X-Mms-Transaction-ID"), res.must("X-Mms-Request-Status-Code")),
            ("rr-1".into(), "Ok".into())
        );
        assert_eq!(reported(&world, &id, 0), (None, said(noted)), "{written}");
    }
}

/// one that says nothing that we know is answered so, and changes nothing.
#[test]
fn r_07_an_unknown_read_status() {
    let world = World::new();
    let (id, message_id) = sent(&world, &[B1]);
    bring(world.from_b(), &read(&message_id, "rr-1", "Eaten"), &at_a(U1));
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-message-format-corrupt");
    assert_eq!(reported(&world, &id, 0), (None, None));
}
