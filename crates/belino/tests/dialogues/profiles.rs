//! What a peer's profile changes, knob by knob, and who may speak for whom (cases, O-36).

use crate::receiving::{id_of, only_mail};
use crate::sending::{end_of, hand_in, mm};
use crate::world::*;

fn with_b(profile: &str) -> World {
    World::with(Setup { b: format!("profile = {profile}"), ..Setup::default() })
}

/// The envelope in the forms that live peers want, and what stands for the beginning of a number.
#[test]
fn envelopes_as_the_peer_likes_them() {
    for (profile, to) in [
        ("\"us-aggregator\"", "12025550110@mms.b.example"),
        ("{ number_form = \"plus\" }", "+12025550110@mms.b.example"),
        ("{ numbers_out = { \"+1\" = \"\", \"+\" = \"00\" } }", "2025550110/TYPE=PLMN@mms.b.example"),
    ] {
        let world = with_b(profile);
        hand_in(&world, &[B1], &[]);
        let mail = world.b.mail();
        assert_eq!(mail.to, [to], "{profile}");
        assert_eq!(mail.must("To"), "+12025550110/TYPE=PLMN@mms.b.example");
    }
}

/// Who the envelope says a request is from, where its response shall go, and who speaks in responses and reports.
#[test]
fn system_mailboxes_as_agreed() {
    let world = with_b(
        "{ mail_from = \"system\", null_sender = true, originator_system = \"postmaster@gate.a.example\", \
         reports_to_system = true }",
    );
    hand_in(&world, &[B1], &[]);
    let mail = world.b.mail();
    assert_eq!(mail.from, "system-user@mms.a.example");
    assert_eq!(mail.must("X-Mms-Originator-System"), "postmaster@gate.a.example");
    let id = id_of(&world.from_b().forward(&Fwd::new(), &[U1]));
    let response = world.b.mail();
    assert_eq!((response.from.as_str(), response.to[0].as_str()), ("", "system-user@mms.b.example"));
    world.json(&["mailbox", "reject", &id]);
    let report = world.b.report();
    assert_eq!((report.from.as_str(), report.to[0].as_str()), ("", "system-user@mms.b.example"));
    assert_eq!(report.must("To"), "+12025550110/TYPE=PLMN@mms.b.example");
}

/// The ready-made `bare-operator`, and one knob of it turned back.
#[test]
fn ready_made_profiles() {
    let world = with_b("\"bare-operator\"");
    hand_in(&world, &[B1, B2], &[]);
    let mails = [world.b.mail(), world.b.mail()];
    for mail in &mails {
        assert_eq!(mail.must("X-Mms-3GPP-MMS-Version"), "5.5.0");
        assert_eq!(mail.must("From"), "+12025550100/TYPE=PLMN");
        assert_eq!(mail.to.len(), 1);
    }
    let world = with_b("{ like = \"bare-operator\", split_recipients = false }");
    hand_in(&world, &[B1, B2], &[]);
    assert_eq!(only_mail(&world.b).to.len(), 2);
}

/// At most so many MMs a minute; answers are not held up.
#[test]
fn a_peer_with_a_rate() {
    let world = with_b("{ rate_max = 6 }");
    let ids: Vec<String> = (0..3).map(|_| hand_in(&world, &[B1], &[])).collect();
    world.b.mail();
    let left = |world: &World| ids.iter().filter(|id| end_of(world, id, 0).starts_with("forwarded")).count();
    world.until("the first one has left", |w| (left(w) == 1).then_some(()));
    world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(world.b.mail().must("X-Mms-Message-Type"), "MM4_forward.RES");
    assert!(world.b.mails().is_empty());
    world.advance("10s");
    world.b.mail();
    world.until("the second one has left", |w| (left(w) == 2).then_some(()));
    world.advance("10s");
    world.b.mail();
}

/// A peer that gets the letter of the specification: what others are forgiven is refused, with the reason.
#[test]
fn the_letter_of_the_specification() {
    let world = with_b("{ strict = true }");
    let exact = Fwd::new().add("X-Mms-Sender-Visibility: Show").add("X-Mms-Read-Reply: No");
    world.from_b().forward(&exact, &[U1]);
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    let odd = Fwd::ids("mm-2", "tx-2").set("X-Mms-Delivery-Report", "TRUE");
    world.from_b().forward(&odd, &[U1]);
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-message-format-corrupt");
    assert!(res.must("X-Mms-Status-Text").contains("X-Mms-Delivery-Report"), "{}", res.content);
}

/// a short code is nobody's, unless it is ours and the peer may use it.
#[test]
fn a_33_short_codes() {
    let local = "codes = [\"4455\", \"INFO\"]".to_owned();
    let world = World::with(Setup { local: local.clone(), ..Setup::default() });
    world.from_b().forward(&Fwd::new(), &["4455@mms.a.example"]);
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Error-sending-address-unresolved");
    let b = "profile = { short_codes = true }".to_owned();
    let world = World::with(Setup { local, b, ..Setup::default() });
    for (i, code) in ["4455", "INFO", "9999"].into_iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}"));
        world.from_b().forward(&fwd, &[&format!("{code}@mms.a.example")]);
        let expected = if code == "9999" { "Error-sending-address-unresolved" } else { "Ok" };
        assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), expected, "{code}");
    }
    assert_eq!(world.mailbox("4455").len(), 1);
}

/// whoever may speak for itself only cannot speak for another, neither in the envelope nor in Sender.
#[test]
fn a_34_a_sender_of_another_domain() {
    let world = with_b("{ own_senders = true }");
    let mut client = world.from_b();
    client.say("MAIL FROM:<+12025550120/TYPE=PLMN@mms.c.example>");
    client.expect("550 5.7.1");
    let foreign = Fwd::new().set("Sender", "+12025550120/TYPE=PLMN@mms.c.example");
    let reply = client.forward(&foreign, &[U1]);
    assert!(reply.starts_with("550 5.7.1") && reply.contains("mms.c.example"), "{reply}");
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"), "its own are welcome");
    assert_eq!(world.mailbox(U1).len(), 1);
    // By default nobody is asked.
    let world = World::new();
    assert!(world.from_b().forward(&foreign, &[U1]).starts_with("250"));
}

/// every domain of ours is local.
#[test]
fn a_35_several_domains_of_ours() {
    let whole = "[relay]\ndomain = \"mms.a.example\"\ndomains = [\"mvno.a.example\", \"mms.mnc001.mcc001.gprs\"]\ndata = \"data\"\n\
        [mm4]\nlisten = [\"{listen}\"]\n[limits]\ndisk_free_min = 0\n[[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n\
        [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\nfrom = [\"127.0.0.2\"]\n";
    let world = World::with(Setup { whole: Some(whole.into()), ..Setup::default() });
    for (i, domain) in ["mms.a.example", "MVNO.a.example", "mms.mnc001.mcc001.gprs"].into_iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}"));
        let reply = world.from_b().forward(&fwd, &[&format!("{U1}/TYPE=PLMN@{domain}")]);
        assert_eq!(mm(&world, &id_of(&reply))["recipients"][0]["state"], "stored", "{domain}");
    }
    let reply = world.from_b().forward(&Fwd::ids("mm-9", "tx-9"), &["nobody@mvno.a.example"]);
    assert_eq!(mm(&world, &id_of(&reply))["recipients"][0]["reason"], "not-served");
}

/// A mail that comes back, as mail systems write it.
fn returned(about: &Received, recipient: &str, action: &str) -> Vec<u8> {
    let head = about.content.split("\r\n\r\n").next().unwrap();
    format!(
        "From: MAILER-DAEMON@mx.mms.b.example\r\nTo: +12025550100/TYPE=PLMN@mms.a.example\r\n\
         Subject: Undelivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"r\"\r\n\r\n\
         --r\r\n\r\nSorry.\r\n--r\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.mms.b.example\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: {action}\r\n\
         Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such subscriber\r\n\r\n\
         --r\r\nContent-Type: text/rfc822-headers\r\n\r\n{head}\r\n\r\n--r--\r\n"
    )
    .into_bytes()
}

/// O-36: a mail that comes back from the peer fails the recipient that it names, once; from anybody else, nobody.
#[test]
fn o_36_a_mail_that_comes_back() {
    let world = World::new();
    let id = hand_in(&world, &[B1, B2], &["--delivery-report"]);
    let mail = world.b.mail();
    world.until_state(&id, 1, "forwarded");
    let b2 = format!("{B2}/TYPE=PLMN@mms.b.example");
    let bounce = returned(&mail, &b2, "failed");
    let to_u1 = [at_a(U1)];
    let to_u1: Vec<&str> = to_u1.iter().map(String::as_str).collect();
    assert!(world.from_c().mail("", &to_u1, &bounce).starts_with("250"));
    assert!(world.from_b().mail("", &to_u1, &returned(&mail, &b2, "delayed")).starts_with("250"));
    assert!(end_of(&world, &id, 1).starts_with("forwarded"));
    for _ in 0..2 {
        assert!(world.from_b().mail("", &to_u1, &bounce).starts_with("250"));
    }
    assert_eq!(end_of(&world, &id, 1), "failed bounced -");
    assert!(end_of(&world, &id, 0).starts_with("forwarded"), "the other one is not concerned");
    let mm = mm(&world, &id);
    let text = mm["recipients"][1]["text"].as_str().unwrap();
    assert!(text.contains("550 no such subscriber"), "{text}");
    let failed = mm["history"].as_array().unwrap().iter().filter(|m| m["what"] == "failed").count();
    assert_eq!(failed, 1);
    // Ordinary mail to our user is still no MM4.
    let vacation = b"From: x@mms.b.example\r\nSubject: away\r\n\r\nI am away.\r\n";
    assert!(world.from_b().mail("", &to_u1, vacation).starts_with("554 5.6.0"));
}
