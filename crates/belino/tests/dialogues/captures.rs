//! Interop by bytes: mails as live Relay/Servers write them, with every oddity that is known of them, through the real
//! binary. Each one is written out whole, so that what is understood can be seen.

use crate::receiving::id_of;
use crate::sending::{end_of, hand_in, mm};
use crate::world::*;

fn bring(world: &World, from: &str, to: &str, mail: &str) -> String {
    let mail = mail.replace('\n', "\r\n");
    world.from_b().mail(from, &[to], mail.as_bytes())
}

/// An operator's MMSC of the 5.5.0 generation: bare addresses, no Date, quoted ids, an empty continuation line behind `To`,
/// parameters in capitals and before the boundary, a start part without angle brackets, relays' fields without a space.
#[test]
fn f_05_f_34_f_35_g_09_a_request_of_an_operators_mmsc() {
    let world = World::new();
    let request = "Received: from mmsc1 (unknown [192.0.2.7])
\tby mtaout.mms.b.example (Postfix) with ESMTP id 4A1B
X-TM-IMSS-Message-ID:<5f0c@mtaout.mms.b.example>
From: +12025550110/TYPE=PLMN
To: +12025550100/TYPE=PLMN,
 +12025550101/TYPE=PLMN,
 +12025550122/TYPE=PLMN
\x20
Subject:\x20
Sender: +12025550110/TYPE=PLMN@mms.b.example
X-Mms-3GPP-Mms-Version: 5.5.0
X-Mms-MMS-Version: 1.2
X-Mms-message-Type: MM4_forward.REQ
X-Mms-Transaction-Id: \"t/4711;7@mmsc1\"
X-Mms-Message-Id: \"m/0815;7@mmsc1\"
X-Mms-Message-Class: Personal
X-Mms-Expiry: 86400
X-Mms-Delivery-Report: Yes
X-Mms-Originator-R/S-Delivery-Report: No
X-Mms-Priority: Normal
X-Mms-Read-Reply: No
X-Mms-Ack-Request: Yes
X-Mms-Originator-System: PostMaster
X-Mms-Forward-Counter: 1
X-Mms-Forwarded-By: +12025550110/TYPE=PLMN
MIME-Version: 1.0
Content-Type: multipart/related;Start=0.smil;Type=\"application/smil\";
 boundary=\"==x==\"

--==x==
Content-Type: application/smil;Name=0.smil;Charset=utf-8
Content-ID:0.smil

<smil><body><par><img src=\"cid:1\"/></par></body></smil>
--==x==
Content-Type: image/jpeg;Name=a b.jpeg
Content-ID:<1>
Content-Transfer-Encoding: BASE64

/9j/ 4AAQ
SkZJRg
--==x==--
";
    let reply = bring(&world, "+12025550110/TYPE=PLMN@mms.b.example", &at_a(U1), request);
    let id = id_of(&reply);
    let res = world.b.mail();
    assert_eq!(res.to, ["PostMaster@mms.b.example"], "a mailbox without a domain is the peer's own");
    assert_eq!(res.must("X-Mms-Transaction-ID"), "\"t/4711;7@mmsc1\"");
    assert_eq!(res.must("X-Mms-Message-ID"), "\"m/0815;7@mmsc1\"");
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!(res.must("X-Mms-3GPP-MMS-Version"), "6.16.0");
    let kept = world.mailbox(U1).remove(0);
    let names: Vec<&str> =
        kept["parts"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap_or("-")).collect();
    assert_eq!(names, ["0.smil", "a b.jpeg"]);
    assert_eq!(kept["parts"][1]["size"], 10);
    let to: Vec<&str> =
        kept["recipients"]["to"].as_array().unwrap().iter().map(|a| a["value"].as_str().unwrap()).collect();
    assert_eq!(to, ["+12025550100", "+12025550101", "+12025550122"]);
    world.json(&["mailbox", "reject", &id]);
    let report = world.b.report();
    assert_eq!(report.must("X-Mms-Message-ID"), "\"m/0815;7@mmsc1\"");
    assert_eq!(report.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
}

/// Per-recipient copies: the same MM, ids that carry the recipient's number, one mail for each.
#[test]
fn g_06_copies_with_ids_of_their_own() {
    let world = World::new();
    for number in [U1, U2] {
        let fwd = Fwd::ids(&format!("base.{number}"), &format!("t.{number}"))
            .set("To", "+12025550100/TYPE=PLMN, +12025550101");
        id_of(&world.from_b().forward(&fwd, &[number]));
        let res = world.b.mail();
        assert_eq!(res.must("X-Mms-Transaction-ID"), format!("t.{number}"));
        assert_eq!(res.must("X-Mms-Message-ID"), format!("base.{number}"));
        assert_eq!(world.mailbox(number).len(), 1);
    }
}

/// Responses as several vendors write them: nothing but what correlates, the responder's own Message-ID, recipients in forms
/// of their own; joined by dots as one implementation does by mistake.
#[test]
fn o_24_g_15_responses_as_they_come() {
    let world = World::new();
    let both = ["accepted", "accepted"];
    let cases = [
        ("X-Mms-Request-Recipients: +12025550111", ["forwarded", "accepted"]),
        ("X-Mms-Request-Recipients: 12025550110, +12025550111/TYPE=PLMN@mms.b.example", both),
        ("X-Mms-Request-Recipients: +12025550110/TYPE=PLMN.+12025550111/TYPE=PLMN", both),
        ("X-Mms-Request-Recipients: +12025550110/TYPE=PLMN\nX-Mms-Request-Recipients: +12025550111", both),
        ("Subject: MM4_forward.RES\nX-Mms-Message-Class: Personal", both),
    ];
    for (i, (recipients, expected)) in cases.into_iter().enumerate() {
        let id = hand_in(&world, &[B1, B2], &[]);
        let tx = world.b.mail().must("X-Mms-Transaction-ID");
        world.until_state(&id, 1, "forwarded");
        let response = format!(
            "From: PostMaster\nTo: system-user@mms.a.example\nX-Mms-Originator-System: PostMaster@mms.b.example\n\
             X-Mms-3GPP-MMS-Version: 5.5.0\nX-Mms-Message-Type: MM4_forward.RES\nX-Mms-Transaction-Id: \"{tx}\"\n\
             X-Mms-Message-Id: own-{i}@mms.b.example\nX-Mms-Request-Status-Code: Ok\nX-Mms-Status-Text: All is good.\n\
             {recipients}\n\n"
        );
        let reply = bring(&world, "postmaster@mms.b.example", "system-user@mms.a.example", &response);
        assert!(reply.starts_with("250"), "{reply}");
        let state = |place| end_of(&world, &id, place).split(' ').next().unwrap().to_owned();
        assert_eq!([state(0), state(1)], expected, "{recipients}");
    }
}

/// Reports as they come: without a type of content, with the roles swapped, with the name of a host, with the status under
/// MM1's name, to our system address.
#[test]
fn d_18_d_19_d_20_d_22_reports_as_they_come() {
    let world = World::new();
    let (b1, u1) = ("+12025550110/TYPE=PLMN", "+12025550100/TYPE=PLMN");
    let variants = [
        (b1, u1, "X-Mms-MM-Status-Code: retrieved", "Retrieved"),
        (u1, b1, "X-Mms-MM-Status-Code: Unrecognized", "Unrecognised"),
        ("mmsc.mms.b.example", u1, "X-Mms-Status: Rejected\nX-Mms-Request-Status-Code: Ok", "Rejected"),
    ];
    for (from, to, status, expected) in variants {
        let id = hand_in(&world, &[B1], &["--delivery-report"]);
        let message_id = world.b.mail().must("X-Mms-Message-ID");
        world.until_state(&id, 0, "forwarded");
        let report = format!(
            "From: {from}\nTo: {to}\nX-Mms-3GPP-MMS-Version: 5.5.0\nX-Mms-Message-Type: MM4_Delivery_report.REQ\n\
             X-Mms-Transaction-ID: dr\nX-Mms-Message-ID: <{message_id}>\n{status}\n\n"
        );
        let reply = bring(&world, "", "system-user@mms.a.example", &report);
        assert!(reply.starts_with("250"), "{reply}");
        assert_eq!(mm(&world, &id)["recipients"][0]["delivery_report"], expected, "{from}");
    }
}

/// A Relay/Server that names its system as `system=host;party=+number`, writes its expiry by RFC 3339, and answers with
/// digits for Yes.
#[test]
fn f_13_f_26_f_48_a_request_of_a_lab_mmsc() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("X-Mms-Originator-System", "system=mms.b.example;party=+12025550110")
        .set("X-Mms-Expiry", "2025-03-05T10:15:30Z")
        .set("X-Mms-Ack-Request", "1")
        .set("X-Mms-Delivery-Report", "true")
        .without("Date");
    let id = id_of(&world.from_b().forward(&fwd, &[U1]));
    assert_eq!(world.b.mail().to, ["system-user@mms.b.example"]);
    let mm = mm(&world, &id);
    assert!(mm["expires"].as_str().unwrap().starts_with("2025-03-05T10:15:30"), "{}", mm["expires"]);
    world.json(&["mailbox", "reject", &id]);
    assert_eq!(world.b.report().must("X-Mms-MM-Status-Code"), "Rejected");
}
