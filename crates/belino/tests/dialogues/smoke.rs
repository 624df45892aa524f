//! The first two stories: in, and out.

use crate::world::*;

/// F-01, F-02: a forward request is stored, answered and found in the mailbox.
#[test]
fn f_01_f_02_a_request_is_stored_and_answered() {
    let world = World::new();
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Message-Type"), "MM4_forward.RES");
    assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-1");
    assert_eq!(res.must("X-Mms-Message-ID"), "mm-1");
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!(res.must("X-Mms-3GPP-MMS-Version"), "6.16.0");
    assert_eq!(res.to, ["system-user@mms.b.example"]);
    assert_eq!(res.must("To"), "system-user@mms.b.example");
    assert_eq!(res.must("From"), "system-user@mms.a.example");
    assert_eq!(res.must("Sender"), "system-user@mms.a.example");
    assert_eq!(res.must("Date"), "Tue, 04 Mar 2025 10:15:30 +0000");
    assert_ne!(res.must("Message-ID"), "<std11-1@mms.b.example>");
    assert!(res.must("Content-Type").starts_with("text/plain"));
    let mailbox = world.mailbox(U1);
    assert_eq!(mailbox.len(), 1);
    assert_eq!(
        (mailbox[0]["state"].as_str(), mailbox[0]["message_id"].as_str()),
        (Some("stored"), Some("mm-1"))
    );
    assert_eq!(mailbox[0]["parts"][0]["text"], "hello");
}

/// O-02, O-17: a submitted MM goes to its peer, and the peer's response settles it.
#[test]
fn o_02_o_17_a_submission_is_forwarded_and_confirmed() {
    let world = World::new();
    let mm = world.send(U1, &[B1], &["--text", "hello", "--subject", "hi"]);
    let id = mm["id"].as_str().unwrap();
    let req = world.b.mail();
    assert_eq!(req.from, "+12025550100/TYPE=PLMN@mms.a.example");
    assert_eq!(req.must("Sender"), req.from);
    assert_eq!(req.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    assert_eq!(req.must("X-Mms-Ack-Request"), "Yes");
    world.until_state(id, 0, "forwarded");
    let res = response(&req.must("X-Mms-Transaction-ID"), "Ok", &[]);
    let reply = world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    assert!(reply.starts_with("250"), "{reply}");
    world.until_state(id, 0, "accepted");
}
