//! Several recipients: who is served, who sees whom, and how mails are grouped (cases G-01 to G-17).

use crate::receiving::id_of;
use crate::sending::{end_of, hand_in, mm, respond, times};
use crate::world::*;
use serde_json::{Value, json};

fn barring_u2() -> String {
    format!("barred = [\"{U2}\"]")
}

/// The addresses in a list of the mailbox's JSON.
fn numbers(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|p| p["value"].as_str().unwrap()).collect()
}

/// The mail that a user fetches.
fn fetched(world: &World, id: &str, user: &str) -> String {
    let output = world.cli(&["mailbox", "get", id, "--recipient", user, "--raw"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn at(number: &str, domain: &str) -> String {
    format!("{number}/TYPE=PLMN@{domain}")
}

/// G-01, G-07: the envelope says who gets it, the header who else did.
#[test]
fn g_01_g_07_the_envelope_decides() {
    let world = World::new();
    let everybody = [at_a(U1), at_a(U2), at(C1, "mms.c.example")].join(", ");
    let reply = world.from_b().forward(&Fwd::new().set("To", &everybody), &[U1]);
    assert_eq!(world.mailbox(U2), Vec::<Value>::new());
    let mailbox = world.mailbox(U1);
    assert_eq!(mailbox.len(), 1);
    assert_eq!(numbers(&mailbox[0]["recipients"]["to"]), [U1, U2, C1]);
    assert!(fetched(&world, &id_of(&reply), U1).contains(&everybody));
    // One response, and nothing goes on to C: it is not in the envelope.
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    // G-07: the header names somebody else only.
    let reply = world.from_b().forward(&Fwd::ids("mm-2", "tx-2").set("To", &at_a(U2)), &[U1]);
    assert_eq!(end_of(&world, &id_of(&reply), 0), "stored - Ok");
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (2, 0));
    assert_eq!(world.b.mail().must("X-Mms-Transaction-ID"), "tx-2");
    assert!(world.c.mails().is_empty());
}

/// G-02: two recipients with one outcome: one response.
#[test]
fn g_02_two_recipients_one_response() {
    let world = World::new();
    let fwd = Fwd::new().set("To", &[at_a(U1), at_a(U2)].join(", "));
    let reply = world.from_b().forward(&fwd, &[U1, U2]);
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 1));
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!(mm(&world, &id_of(&reply))["responses"].as_array().unwrap().len(), 1);
}

/// G-03: outcomes differ: one response for each, naming its recipients, all in the request's transaction.
#[test]
fn g_03_partial_failure_is_answered_one_by_one() {
    let world = World::with(Setup { local: barring_u2(), ..Setup::default() });
    let fwd = Fwd::new().set("To", &[at_a(U1), at_a(U2)].join(", "));
    world.from_b().forward(&fwd, &[U1, U2]);
    let mut said: Vec<_> = (0..2)
        .map(|_| {
            let res = world.b.mail();
            assert_eq!(
                (res.must("X-Mms-Transaction-ID"), res.must("X-Mms-Message-ID")),
                ("tx-1".into(), "mm-1".into())
            );
            (res.must("X-Mms-Request-Status-Code"), res.must("X-Mms-Request-Recipients"))
        })
        .collect();
    said.sort();
    let (denied, ok) = ("Error-service-denied".to_owned(), "Ok".to_owned());
    assert_eq!(said, [(denied, format!("{U2}/TYPE=PLMN")), (ok, format!("{U1}/TYPE=PLMN"))]);
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 0));
}

/// G-04: the same for a peer that would take one error for all: a single `Ok`, since somebody got it.
#[test]
fn g_04_partial_failure_is_answered_once_to_a_peer_that_cannot_tell() {
    let b = "profile = { response_style = \"collective\" }".to_owned();
    let world = World::with(Setup { local: barring_u2(), b, ..Setup::default() });
    let fwd = Fwd::new().set("To", &[at_a(U1), at_a(U2)].join(", "));
    let reply = world.from_b().forward(&fwd, &[U1, U2]);
    let id = id_of(&reply);
    let res = world.b.mail();
    assert_eq!(
        (res.must("X-Mms-Request-Status-Code"), res.header("X-Mms-Request-Recipients")),
        ("Ok".into(), None)
    );
    assert_eq!(mm(&world, &id)["responses"].as_array().unwrap().len(), 1);
    assert_eq!(end_of(&world, &id, 0), "stored - Ok");
    assert!(end_of(&world, &id, 1).starts_with("refused barred"), "{}", end_of(&world, &id, 1));
    let report = world.b.report();
    assert_eq!(report.must("X-Mms-MM-Status-Code"), "Rejected");
    assert_eq!(report.must("X-Mms-MM-Status-Extension"), "Rejection-by-other-RS");
    assert_eq!(report.must("From"), at_a(U2));
    // Nobody got it: a single error.
    world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U2, "nonsense@mms.a.example"]);
    let res = world.b.mail();
    assert!(res.must("X-Mms-Request-Status-Code").starts_with("Error-"), "{}", res.content);
    assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-2");
}

/// G-05: who is in the envelope only is seen by nobody, himself included.
#[test]
fn g_05_a_bcc_recipient_is_not_shown() {
    let world = World::new();
    let reply = world.from_b().forward(&Fwd::new().set("To", &at_a(U1)), &[U1, U2]);
    let id = id_of(&reply);
    for user in [U1, U2] {
        let row = world.mailbox(user).remove(0);
        assert_eq!(row["recipients"], json!({ "to": row["recipients"]["to"], "cc": [] }));
        assert_eq!(numbers(&row["recipients"]["to"]), [U1], "what {user} sees");
        let mail = fetched(&world, &id, user);
        assert!(!mail.contains("2025550101"), "what {user} fetches:\n{mail}");
    }
}

/// G-06: a copy for each recipient, under one Message-ID.
#[test]
fn g_06_a_copy_for_each_recipient() {
    let world = World::new();
    let to = [at_a(U1), at_a(U2)].join(", ");
    for (tx, user) in [("tx-1", U1), ("tx-2", U2)] {
        world.from_b().forward(&Fwd::ids("mm-1", tx).set("To", &to), &[user]);
        let res = world.b.mail();
        assert_eq!(
            (res.must("X-Mms-Transaction-ID"), res.must("X-Mms-Request-Status-Code")),
            (tx.into(), "Ok".into())
        );
    }
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 1));
    // The copy for U1 again: a repeat for U1, though U2's came in between.
    world.from_b().forward(&Fwd::ids("mm-1", "tx-3").set("To", &to), &[U1]);
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 1));
}

/// G-08: named twice, in the header or in the envelope, served once.
#[test]
fn g_08_named_twice_served_once() {
    let world = World::new();
    let fwd = Fwd::new().set("To", &at_a(U1)).set("Cc", &at_a(U1));
    world.from_b().forward(&fwd, &[U1, U1, "+12025550100@mms.a.example"]);
    assert_eq!(world.mailbox(U1).len(), 1);
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    // The same when our user writes one twice.
    let id = world.send(U1, &[B1, B1], &["--cc", B1, "--bcc", B1, "--text", "x"])["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mail = world.b.mail();
    assert_eq!((mail.to.clone(), mail.header("Cc")), (vec![at(B1, "mms.b.example")], None));
    assert_eq!(mm(&world, &id)["recipients"].as_array().unwrap().len(), 1);
}

/// G-09: a list folded over eight lines, one of them blank.
#[test]
fn g_09_a_folded_list_with_a_blank_line() {
    let world = World::new();
    let numbers_sent: Vec<String> = (0..7).map(|i| format!("+1202555010{i}")).collect();
    let lines: Vec<String> = numbers_sent.iter().map(|n| format!("{},", at_a(n))).collect();
    let mut folded = lines.join("\r\n ");
    folded.pop();
    // The fold before the last one is followed by a line of blanks only.
    let last = folded.rfind("\r\n ").unwrap();
    folded.insert_str(last, "\r\n \t ");
    let fwd = Fwd::new().set("To", &folded);
    assert_eq!(folded.matches("\r\n").count(), 7);
    world.from_b().forward(&fwd, &[U1]);
    let row = world.mailbox(U1).remove(0);
    assert_eq!(numbers(&row["recipients"]["to"]), numbers_sent);
    assert_eq!((row["subject"].as_str(), row["message_id"].as_str()), (Some("hello"), Some("mm-1")));
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
}

/// G-10: one mail for each peer with its own recipients; every header names all.
#[test]
fn g_10_one_mail_for_each_peer() {
    let world = World::new();
    let id = hand_in(&world, &[B1, B2, C1], &[]);
    let (at_b, at_c) = (world.b.mail(), world.c.mail());
    assert_eq!(at_b.to, [at(B1, "mms.b.example"), at(B2, "mms.b.example")]);
    assert_eq!(at_c.to, [at(C1, "mms.c.example")]);
    let all = [at(B1, "mms.b.example"), at(B2, "mms.b.example"), at(C1, "mms.c.example")].join(", ");
    assert_eq!((at_b.must("To"), at_c.must("To")), (all.clone(), all));
    assert_eq!(at_b.must("X-Mms-Message-ID"), at_c.must("X-Mms-Message-ID"));
    assert_ne!(at_b.must("X-Mms-Transaction-ID"), at_c.must("X-Mms-Transaction-ID"));
    world.until_state(&id, 1, "forwarded");
    assert_eq!((times(&world, &id, "queued"), world.b.mails().len()), (2, 0));
}

/// G-11: for a peer that wants them one by one: one mail each, one MM, a transaction each.
#[test]
fn g_11_a_peer_that_wants_them_one_by_one() {
    let b = "profile = { split_recipients = true }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    let id = hand_in(&world, &[B1, B2], &[]);
    let (one, two) = (world.b.mail(), world.b.mail());
    let mut to = [one.to.clone(), two.to.clone()].concat();
    to.sort();
    assert_eq!(to, [at(B1, "mms.b.example"), at(B2, "mms.b.example")]);
    assert_eq!((one.to.len(), two.to.len()), (1, 1));
    assert_eq!(one.must("X-Mms-Message-ID"), two.must("X-Mms-Message-ID"));
    assert_eq!(one.must("To"), two.must("To"), "each mail names both");
    assert_ne!(one.must("X-Mms-Transaction-ID"), two.must("X-Mms-Transaction-ID"));
    assert_ne!(one.must("Message-ID"), two.must("Message-ID"));
    // A response without a list is about the one recipient of its transaction.
    world.until_state(&id, 0, "forwarded");
    world.until_state(&id, 1, "forwarded");
    let (first, second) = if one.to[0].starts_with(B1) { (&one, &two) } else { (&two, &one) };
    respond(&world, &first.must("X-Mms-Transaction-ID"), "Ok", &[]);
    respond(&world, &second.must("X-Mms-Transaction-ID"), "Error-service-denied", &[]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
    assert_eq!(end_of(&world, &id, 1), "failed response-error Error-service-denied");
}

/// G-12: an undisclosed recipient gets a mail of his own, and no header anywhere names him.
#[test]
fn g_12_an_undisclosed_recipient_travels_alone() {
    let world = World::new();
    world.send(U1, &[B1], &["--bcc", B2, "--text", "x"]);
    let mails = [world.b.mail(), world.b.mail()];
    let mut envelopes: Vec<_> = mails.iter().map(|m| m.to.clone()).collect();
    envelopes.sort();
    assert_eq!(envelopes, [[at(B1, "mms.b.example")], [at(B2, "mms.b.example")]]);
    for mail in &mails {
        assert_eq!(mail.must("To"), at(B1, "mms.b.example"));
        assert!(!mail.content.contains("2025550111"), "{}", mail.content);
    }
    assert_eq!(mails[0].must("X-Mms-Message-ID"), mails[1].must("X-Mms-Message-ID"));
}

/// G-13: one is taken, the other refused: each has its own end.
#[test]
fn g_13_one_taken_one_refused() {
    let world = World::new();
    world.b.answer(|line| {
        (line.starts_with("RCPT") && line.contains("0111")).then(|| "550 5.1.1 nobody here".to_owned())
    });
    let id = hand_in(&world, &[B1, B2], &["--delivery-report"]);
    let mail = world.b.mail();
    assert_eq!(mail.to, [at(B1, "mms.b.example")]);
    world.until_state(&id, 0, "forwarded");
    assert_eq!(end_of(&world, &id, 1), "failed peer-refused -");
    assert!(mm(&world, &id)["recipients"][1]["text"].as_str().unwrap().contains("nobody here"));
    respond(&world, &mail.must("X-Mms-Transaction-ID"), "Ok", &[]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
    assert_eq!(end_of(&world, &id, 1), "failed peer-refused -", "the response was not about him");
}

/// G-14: no room for the second in this mail: it goes at once in another one.
#[test]
fn g_14_too_many_in_one_mail() {
    let world = World::new();
    let mut recipients = 0;
    world.b.answer(move |line| {
        if line.starts_with("MAIL") {
            recipients = 0;
        }
        recipients += usize::from(line.starts_with("RCPT"));
        (line.starts_with("RCPT") && recipients > 1).then(|| "452 4.5.3 one at a time".to_owned())
    });
    let id = hand_in(&world, &[B1, B2], &[]);
    // Without any turn of the clock.
    let (one, two) = (world.b.mail(), world.b.mail());
    assert_eq!(
        (one.to.clone(), two.to.clone()),
        (vec![at(B1, "mms.b.example")], vec![at(B2, "mms.b.example")])
    );
    assert_eq!(one.must("X-Mms-Message-ID"), two.must("X-Mms-Message-ID"));
    assert_ne!(one.must("X-Mms-Transaction-ID"), two.must("X-Mms-Transaction-ID"));
    world.until_state(&id, 1, "forwarded");
    respond(&world, &one.must("X-Mms-Transaction-ID"), "Error-service-denied", &[]);
    assert_eq!(end_of(&world, &id, 0), "failed response-error Error-service-denied");
    assert_eq!(end_of(&world, &id, 1), "forwarded - -", "the response was about the first mail");
    respond(&world, &two.must("X-Mms-Transaction-ID"), "Ok", &[]);
    assert_eq!(end_of(&world, &id, 1), "accepted - Ok");
}

/// G-15, G-16: an error is about those that it names, or else about all that wait.
#[test]
fn g_15_g_16_whom_an_error_is_about() {
    let world = World::new();
    let begin = || {
        let id = hand_in(&world, &[B1, B2], &[]);
        let tx = world.b.mail().must("X-Mms-Transaction-ID");
        world.until_state(&id, 1, "forwarded");
        (id, tx)
    };
    for named in [B2, "12025550111", "<+12025550111>", "+12025550111/TYPE=PLMN"] {
        let (id, tx) = begin();
        let names = format!("X-Mms-Request-Recipients: {named}");
        respond(&world, &tx, "Error-service-denied", &[&names]);
        assert_eq!(end_of(&world, &id, 0), "forwarded - -", "{named} is not B1");
        assert_eq!(end_of(&world, &id, 1), "failed response-error Error-service-denied", "{named} is B2");
    }
    let (id, tx) = begin();
    respond(&world, &tx, "Error-service-denied", &[]);
    for place in [0, 1] {
        assert_eq!(end_of(&world, &id, place), "failed response-error Error-service-denied");
    }
    // Of one that names nobody we sent it to, nothing is believed.
    let (id, tx) = begin();
    respond(&world, &tx, "Error-service-denied", &["X-Mms-Request-Recipients: +12025550199"]);
    assert_eq!(
        (end_of(&world, &id, 0), end_of(&world, &id, 1)),
        ("forwarded - -".into(), "forwarded - -".into())
    );
}

/// G-17: a thousand recipients are taken; the next one is for another mail, and this one goes on.
#[test]
fn g_17_a_thousand_recipients_and_one() {
    let world = World::new();
    let mut client = world.from_b();
    client.say("MAIL FROM:<+12025550110/TYPE=PLMN@mms.b.example>");
    client.expect("250");
    // The last of the thousand is ours, the others are nobody's.
    let mut lines: Vec<String> =
        (0..999).map(|i| format!("RCPT TO:<+1999555{i:04}/TYPE=PLMN@mms.a.example>")).collect();
    lines.push(format!("RCPT TO:<{}>", at_a(U1)));
    lines.push(format!("RCPT TO:<{}>", at_a(U2)));
    client.raw(format!("{}\r\n", lines.join("\r\n")).as_bytes());
    for _ in 0..1000 {
        client.expect("250");
    }
    client.expect("452 4.5.3");
    client.say("DATA");
    client.expect("354");
    client.raw(&Fwd::new().mail());
    client.raw(b".\r\n");
    let id = id_of(&client.expect("250"));
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 0));
    assert_eq!(mm(&world, &id)["recipients"].as_array().unwrap().len(), 1000);
    // The responses name every recipient once, in lines that mail can carry.
    let (mut ok, mut refused) = (Vec::new(), Vec::new());
    let responses = mm(&world, &id)["responses"].as_array().unwrap().len();
    for _ in 0..responses {
        let res = world.b.mail();
        assert!(res.content.lines().all(|l| l.len() <= 998));
        let names: Vec<String> =
            res.must("X-Mms-Request-Recipients").split(", ").map(str::to_owned).collect();
        if res.must("X-Mms-Request-Status-Code") == "Ok" { ok.extend(names) } else { refused.extend(names) }
    }
    assert_eq!(ok, [format!("{U1}/TYPE=PLMN")]);
    refused.sort();
    refused.dedup();
    assert_eq!(refused.len(), 999);
}
