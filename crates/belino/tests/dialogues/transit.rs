//! From one peer through us to another: what changes on the way, who answers, and how loops end (cases T-01 to T-05).

use crate::receiving::id_of;
use crate::sending::respond;
use crate::world::*;

/// Relay A lets peer B send through it to peer C.
fn between(mode: &str) -> World {
    World::with(Setup { b: format!("{mode} = [\"c\"]"), ..Setup::default() })
}

/// A request from B1 to C1 with fields that only its two ends know.
fn to_c1() -> Fwd {
    Fwd::new()
        .set("To", "+12025550120/TYPE=PLMN@mms.c.example")
        .add("X-Mms-MMSIP-Address: hub.mms.example")
        .add("X-Mms-Return-Route:back;the same way")
        .add("X-Unheard-Of:  two  blanks, ö")
        .add("x-mms-FORWARD-route: a\r\n\tfolded one")
        .add("Bcc: someone@mms.b.example")
        .body(b"--b1\r\nContent-Type: text/plain\r\n\r\n..dots\r\nhello\r\n--b1--\r\n")
}

const C1_AT_C: &str = "+12025550120/TYPE=PLMN@mms.c.example";

/// A response of peer C to our system address.
fn c_responds(world: &World, transaction_id: &str, status: &str, more: &[&str]) {
    let res = response(transaction_id, status, more);
    let reply = world.from_c().mail("system-user@mms.c.example", &["system-user@mms.a.example"], &res);
    assert!(reply.starts_with("250"), "{reply}");
}

/// T-01: as it came, with one `Received` more and without Bcc; the response passes through as it came.
#[test]
fn t_01_transparent() {
    let world = between("transit_transparent");
    let fwd = to_c1();
    world.from_b().forward(&fwd, &[C1_AT_C]);
    let mail = world.c.mail();
    assert_eq!(mail.from, "+12025550110/TYPE=PLMN@mms.b.example");
    assert_eq!(mail.to, [C1_AT_C]);
    let (trace, rest) = mail.content.split_once("\r\nDate:").unwrap();
    assert!(trace.starts_with("Received: from mms.b.example by mms.a.example with ESMTP id\r\n "), "{trace}");
    assert!(trace.ends_with("Tue, 04 Mar 2025 10:15:30 +0000"), "{trace}");
    let sent = String::from_utf8(fwd.mail()).unwrap().replace("Bcc: someone@mms.b.example\r\n", "");
    assert_eq!(format!("Date:{rest}"), sent.replace("\r\n..", "\r\n."), "equal but for the dots of SMTP");
    // Its response goes around us, or, as here, through us to the mailbox that B named.
    let res = response("tx-1", "Ok", &["X-Odd: kept"]);
    world.from_c().mail("system-user@mms.c.example", &["system-user@mms.b.example"], &res);
    let passed = world.b.mail();
    assert_eq!(
        (passed.from.as_str(), passed.to[0].as_str()),
        ("system-user@mms.c.example", "system-user@mms.b.example")
    );
    assert!(
        passed.content.starts_with("Received: from mms.c.example by mms.a.example"),
        "{}",
        passed.content
    );
    assert!(passed.content.ends_with(std::str::from_utf8(&res).unwrap()), "{}", passed.content);
    assert!(world.b.mails().is_empty(), "nobody else answers");
}

/// T-02, T-05: our own transaction to C; B hears what C says, when C says it; what belongs to the two ends stays.
#[test]
fn t_02_t_05_back_to_back() {
    let world = between("transit");
    let fwd = to_c1();
    let id = id_of(&world.from_b().forward(&fwd, &[C1_AT_C]));
    let mail = world.c.mail();
    assert_eq!(mail.from, "+12025550110/TYPE=PLMN@mms.a.example", "so that reports come back to us");
    assert_eq!(mail.must("Sender"), mail.from);
    assert_eq!(mail.must("From"), "+12025550110/TYPE=PLMN@mms.b.example");
    assert_eq!(mail.must("X-Mms-Originator-System"), "system-user@mms.a.example");
    assert_eq!(mail.must("X-Mms-Message-ID"), "mm-1");
    assert_eq!(mail.must("Message-ID"), "<std11-1@mms.b.example>");
    let ours = mail.must("X-Mms-Transaction-ID");
    assert_ne!(ours, "tx-1");
    for kept in ["X-Mms-MMSIP-Address: hub.mms.example", "X-Mms-Return-Route:back;the same way"] {
        assert!(mail.content.contains(kept), "{}", mail.content);
    }
    assert!(
        mail.content.contains("X-Unheard-Of:  two  blanks, ö\r\nx-mms-FORWARD-route: a\r\n\tfolded one\r\n")
    );
    assert!(!mail.content.contains("Bcc"), "{}", mail.content);
    assert!(mail.body().contains("\r\n.dots\r\n"), "{}", mail.body());
    world.until_state(&id, 0, "forwarded");
    assert!(world.b.mails().is_empty(), "not before C has answered");
    // Not a peer that has nothing to do with it.
    respond(&world, &ours, "Ok", &[]);
    assert!(world.b.mails().is_empty());
    c_responds(&world, &ours, "Error-content-not-accepted", &["X-Mms-Status-Text: too loud"]);
    let res = world.b.mail();
    assert_eq!(res.to, ["system-user@mms.b.example"]);
    for (field, value) in [
        ("X-Mms-Transaction-ID", "tx-1"),
        ("X-Mms-Message-ID", "mm-1"),
        ("X-Mms-Request-Status-Code", "Error-content-not-accepted"),
        ("X-Mms-Status-Text", "too loud"),
        ("X-Mms-Request-Recipients", "+12025550120/TYPE=PLMN"),
    ] {
        assert_eq!(res.must(field), value, "{field}");
    }
}

/// Reports come back the way the MM went, to the user at home with B.
#[test]
fn reports_come_back_through_us() {
    let world = between("transit");
    let id = id_of(&world.from_b().forward(&to_c1().set("X-Mms-Read-Reply", "Yes"), &[C1_AT_C]));
    let ours = world.c.mail().must("X-Mms-Transaction-ID");
    world.until_state(&id, 0, "forwarded");
    c_responds(&world, &ours, "Ok", &[]);
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    for (kind, field, value) in [
        ("MM4_delivery_report.REQ", "X-Mms-MM-Status-Code", "Retrieved"),
        ("MM4_read_reply_report.REQ", "X-Mms-Read-Status", "Read"),
    ] {
        let lines = [
            "Date: Tue, 04 Mar 2025 10:15:30 +0000".to_owned(),
            format!("From: {C1_AT_C}"),
            "Sender: system-user@mms.c.example".into(),
            "To: +12025550110/TYPE=PLMN@mms.a.example".into(),
            format!("X-Mms-Message-Type: {kind}"),
            "X-Mms-Transaction-ID: dr-1".into(),
            "X-Mms-Message-ID: mm-1".into(),
            "X-Mms-Ack-Request: Yes".into(),
            format!("{field}: {value}"),
        ];
        let report = Fwd { lines: lines.to_vec(), body: Vec::new() };
        let to = ["+12025550110/TYPE=PLMN@mms.a.example"];
        assert!(world.from_c().mail("system-user@mms.c.example", &to, &report.mail()).starts_with("250"));
        assert_eq!(world.c.mail().must("X-Mms-Request-Status-Code"), "Ok");
        let passed = world.b.report();
        assert_eq!(passed.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
        assert_eq!((passed.must("X-Mms-Message-Type").as_str(), passed.must(field).as_str()), (kind, value));
        assert_eq!(passed.must("X-Mms-Message-ID"), "mm-1");
        assert_eq!(passed.must("From"), "+12025550120/TYPE=PLMN@mms.a.example");
        assert_ne!(passed.must("X-Mms-Transaction-ID"), "dr-1");
    }
}

/// T-03: C is down for as long as we try; then B hears so.
#[test]
fn t_03_the_next_peer_is_down() {
    let world = between("transit");
    world.c.answer(|line| (line == "connect").then(|| "421 4.3.2 closed".to_owned()));
    let id = id_of(&world.from_b().forward(&to_c1(), &[C1_AT_C]));
    for _ in 0..25 {
        world.advance("1h");
    }
    world.until_state(&id, 0, "failed");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-network-problem");
    assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-1");
}

/// T-04: without a grant to that very peer nothing passes.
#[test]
fn t_04_without_a_grant() {
    let world = between("transit");
    // B may send to C; C may not send to B, nor may B send to itself.
    let to_b = Fwd::new().set("X-Mms-Originator-System", "system-user@mms.c.example");
    let to = "+12025550110/TYPE=PLMN@mms.b.example";
    world.from_c().mail("x@mms.c.example", &[to], &to_b.mail());
    assert_eq!(world.c.mail().must("X-Mms-Request-Status-Code"), "Error-service-denied");
    world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[to]);
    let only = world.b.mail();
    assert_eq!(only.must("X-Mms-Request-Status-Code"), "Error-service-denied");
    assert_eq!(only.must("X-Mms-Message-Type"), "MM4_forward.RES");
    assert!(world.b.mails().is_empty() && world.c.mails().is_empty());
}

/// Threat 13: two relays that send a number at each other; it dies within a bounded number of hops, and is answered.
#[test]
fn two_relays_that_route_at_each_other() {
    let ours = World::with(Setup {
        b: "transit = [\"c\"]".into(),
        c: "transit = [\"b\"]".into(),
        ..Setup::default()
    });
    // What went to C comes back from C, as C would relay it: its own Received in front.
    let id = id_of(&ours.from_b().forward(&to_c1(), &[C1_AT_C]));
    let out = ours.c.mail();
    let back = format!("Received: from mms.a.example by mms.c.example with ESMTP id 1\r\n{}", out.content);
    let back = back.replace("\r\n.", "\r\n..");
    let reply = ours.from_c().mail(&out.from, &["+12025550110/TYPE=PLMN@mms.b.example"], back.as_bytes());
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    ours.until_state(&id, 0, "forwarded");
    c_responds(
        &ours,
        &out.must("X-Mms-Transaction-ID"),
        "Error-unspecified",
        &["X-Mms-Status-Text: mail loop"],
    );
    let res = ours.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-unspecified");
    assert!(ours.b.mails().is_empty() && ours.c.mails().is_empty(), "one failure, then silence");
}

/// O-32: what came with octets over 127 goes on in 7 bits to a peer that has no 8BITMIME, and means the same.
#[test]
fn o_32_eight_bits_for_a_peer_of_seven() {
    let world = between("transit");
    world.c.extensions(&["SIZE 20000000"]);
    let body = "--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                Grüße\r\n..dot\r\n--b1\r\nContent-Type: image/png\r\n\r\nÿ\r\n--b1--\r\n";
    world.from_b().forward(&Fwd::new().body(body.as_bytes()), &[C1_AT_C]);
    let mail = world.c.mail();
    assert!(mail.content.is_ascii(), "{}", mail.content);
    let parsed = mail_parser::MessageParser::default().parse(mail.content.as_bytes()).unwrap();
    assert_eq!(parsed.part(1).unwrap().text_contents(), Some("Grüße\r\n.dot"));
    assert_eq!(parsed.part(2).unwrap().contents(), "ÿ".as_bytes());
    // A peer that has it gets the octets that came, on a connection of its own.
    let world = between("transit");
    world.from_b().forward(&Fwd::new().body(body.as_bytes()), &[C1_AT_C]);
    let as_it_came = world.c.mail();
    assert!(as_it_came.body().contains("Grüße\r\n.dot"), "{}", as_it_came.body());
}

/// Mail systems before us, and of our own name, write our users and our name into `Received`: that is no loop.
#[test]
fn what_others_write_about_us_is_no_loop() {
    let world = World::new();
    let stamp =
        |by: &str| format!("Received: from x by {by} (Postfix) with ESMTP id 4A1B2C for <{}>; x", at_a(U1));
    let mut fwd = Fwd::new();
    for by in ["mtaout.mms.b.example", "mms.a.example", "mms.a.example"] {
        fwd.lines.insert(0, stamp(by));
    }
    assert!(world.from_b().forward(&fwd, &[U1]).starts_with("250"));
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// A sender who hides stays hidden from a peer that must not learn who it is, also when the MM passes through us.
#[test]
fn a_hidden_sender_in_transit() {
    let c = "profile = { anonymise_hidden = true }".to_owned();
    let world = World::with(Setup { b: "transit = [\"c\"]".into(), c, ..Setup::default() });
    let hidden = to_c1().set("X-Mms-Sender-Visibility", "Hide");
    world.from_b().forward(&hidden, &[C1_AT_C]);
    let mail = world.c.mail();
    assert_eq!(mail.must("From"), "anonymous@mms.a.example");
    assert_eq!(
        (mail.from.as_str(), mail.must("Sender").as_str()),
        ("system-user@mms.a.example", "system-user@mms.a.example")
    );
    assert!(!mail.content.contains("+12025550110"), "{}", mail.content);
}
