//! The SMTP session: who is let in, in which order, and where content ends (cases S-01 to S-15, S-20 to S-28, L-04).

use crate::receiving::{id_of, only_mail, responses};
use crate::world::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::channel;

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
const FROM_B1: &str = "MAIL FROM:<+12025550110/TYPE=PLMN@mms.b.example>";
const TO_U1: &str = "RCPT TO:<+12025550100/TYPE=PLMN@mms.a.example>";

/// S-01: the greeting, and what EHLO offers.
#[test]
fn s_01_greeting_and_extensions() {
    let world = World::new();
    let mut client = Client::connect(world.b.address.ip(), world.address);
    client.expect("220 mms.a.example");
    let offer = client.ask("EHLO mms.b.example");
    let words: Vec<&str> = offer.lines().map(|line| &line[4..]).collect();
    assert_eq!(words[0], "mms.a.example");
    for extension in ["PIPELINING", "SIZE 8388608", "8BITMIME"] {
        assert!(words.contains(&extension), "{extension} in {offer}");
    }
    // TLS and AUTH are not configured, so they are neither offered nor taken.
    assert!(!offer.contains("STARTTLS") && !offer.contains("AUTH"), "{offer}");
    assert!(client.ask("STARTTLS").starts_with("502"));
}

/// S-02, L-04: a stranger is refused at the greeting, before any command, and leaves nothing behind.
#[test]
fn s_02_l_04_a_stranger_is_turned_away_before_rcpt() {
    let world = World::new();
    let mut stranger = Client::connect(STRANGER, world.address);
    stranger.expect("554 5.7.1");
    assert!(stranger.is_closed());
    // One that does not listen, and talks on: not one 250.
    let mut deaf = Client::connect(STRANGER, world.address);
    deaf.expect("554 5.7.1");
    for line in ["EHLO mms.b.example", FROM_B1, TO_U1] {
        let said = deaf.try_say(line).map_or(String::new(), |()| deaf.reply());
        assert_eq!(said, "", "after {line}");
    }
    // Peers go on, and nothing of the stranger's is known.
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(world.all().len(), 1, "only {reply}");
    assert!(world.log().contains("127.0.0.9"), "the operator can see who knocked");
}

/// S-03: HELO is enough.
#[test]
fn s_03_helo_is_enough() {
    let world = World::new();
    let mut client = Client::connect(world.b.address.ip(), world.address);
    client.expect("220");
    assert_eq!(client.ask("HELO mms.b.example"), "250 mms.a.example");
    let reply = client.forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// S-04: commands out of order are refused one by one, and the session goes on.
#[test]
fn s_04_commands_out_of_order() {
    let world = World::new();
    let mut client = Client::connect(world.b.address.ip(), world.address);
    client.expect("220");
    assert!(client.ask(FROM_B1).starts_with("503"), "MAIL before HELO");
    client.say("EHLO mms.b.example");
    client.expect("250");
    assert!(client.ask(TO_U1).starts_with("503"), "RCPT before MAIL");
    assert!(client.ask("DATA").starts_with("503"), "DATA before MAIL");
    assert!(client.ask(FROM_B1).starts_with("250"));
    assert!(client.ask("DATA").starts_with("503"), "DATA before RCPT");
    assert!(client.ask(FROM_B1).starts_with("503"), "MAIL within MAIL");
    assert!(client.ask(TO_U1).starts_with("250"));
    client.say("DATA");
    client.expect("354");
    client.raw(&Fwd::new().mail());
    client.raw(b".\r\n");
    client.expect("250");
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// A forward request whose message has exactly so many octets.
fn of_size(octets: usize) -> Fwd {
    let fwd = Fwd::new().set("Content-Type", "text/plain");
    let empty = fwd.clone().body(b"").mail().len();
    let mut body = Vec::new();
    while empty + body.len() + 80 < octets {
        body.extend_from_slice(&[b'x'; 76]);
        body.extend_from_slice(b"\r\n");
    }
    let last = octets - empty - body.len() - 2;
    body.extend(std::iter::repeat_n(b'y', last));
    body.extend_from_slice(b"\r\n");
    let fwd = fwd.body(&body);
    assert_eq!(fwd.mail().len(), octets);
    fwd
}

/// S-05, S-06: the size limit, announced and not announced, at n and n + 1.
#[test]
fn s_05_s_06_the_size_limit() {
    let world = World::with(Setup { limits: "message_size_max = 4000\n".into(), ..Setup::default() });
    let mut client = world.from_b();
    assert!(client.ask(&format!("{FROM_B1} SIZE=4001")).starts_with("552 5.3.4"));
    assert!(client.ask(&format!("{FROM_B1} SIZE=4000")).starts_with("250"));
    assert!(client.ask("RSET").starts_with("250"));

    let reply = client.forward(&of_size(4001), &[U1]);
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert!(world.all().is_empty());
    // The session is usable, and the refused message is not remembered as seen.
    let reply = client.forward(&of_size(4000), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.mailbox(U1).len(), 1);
    assert_eq!(only_mail(&world.b).must("X-Mms-Request-Status-Code"), "Ok");
}

/// S-07: three requests in one session.
#[test]
fn s_07_three_requests_in_one_session() {
    let world = World::new();
    let mut client = world.from_b();
    for n in 1..=3 {
        let reply = client.forward(&Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")), &[U1]);
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert!(client.ask("QUIT").starts_with("221"));
    assert!(client.is_closed());
    assert_eq!(world.mailbox(U1).len(), 3);
    let mut answered: Vec<String> = (0..3).map(|_| world.b.mail().must("X-Mms-Transaction-ID")).collect();
    answered.sort();
    assert_eq!(answered, ["tx-1", "tx-2", "tx-3"]);
}

/// S-08, S-09, S-10: NOOP, a second HELO, RSET.
#[test]
fn s_08_s_09_s_10_noop_helo_again_and_rset() {
    let world = World::new();
    let mut client = world.from_b();
    for _ in 0..100 {
        assert!(client.ask("NOOP").starts_with("250"));
    }
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));

    // HELO in the middle of a transaction: it is gone, the session is not.
    assert!(client.ask(FROM_B1).starts_with("250"));
    assert!(client.ask(TO_U1).starts_with("250"));
    assert!(client.ask("HELO mms.b.example").starts_with("250"));
    assert!(client.ask("DATA").starts_with("503"));
    assert!(client.forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));

    assert!(client.ask(FROM_B1).starts_with("250"));
    assert!(client.ask(TO_U1).starts_with("250"));
    assert!(client.ask("RSET").starts_with("250"));
    assert!(client.ask("DATA").starts_with("503"));
    assert!(client.ask(TO_U1).starts_with("503"), "the sender is gone as well");
    assert!(client.forward(&Fwd::ids("mm-3", "tx-3"), &[U1]).starts_with("250"));
    assert_eq!(world.mailbox(U1).len(), 3);
}

/// S-11: a connection without a word is nothing to worry about.
#[test]
fn s_11_connect_and_close() {
    let world = World::new();
    let mut silent = Client::connect(world.b.address.ip(), world.address);
    silent.expect("220");
    drop(silent);
    // The relay has seen the end of it when the peer's count of connections is down again.
    world.until("the connection is forgotten", |world| {
        let peers = world.json(&["peer", "b"]);
        (peers[0]["incoming_connections"] == 0).then_some(())
    });
    assert!(world.all().is_empty());
    let log = world.log();
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

/// S-12: content of nothing but the final dot.
#[test]
fn s_12_an_empty_mail() {
    let world = World::new();
    let mut client = world.from_b();
    let reply = client.mail("system-user@mms.b.example", &[&at_a(U1)], b"");
    assert!(reply.starts_with("554"), "{reply}");
    assert!(world.all().is_empty());
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
}

/// S-13: a doubled dot at the start of a line is one dot.
#[test]
fn s_13_dots_are_unstuffed() {
    let world = World::new();
    let body = b"..one\r\n...two\r\nthree..\r\n..\r\n";
    let fwd = Fwd::new().set("Content-Type", "text/plain").body(body);
    let reply = world.from_b().forward(&fwd, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.mailbox(U1)[0]["parts"][0]["text"], ".one\r\n..two\r\nthree..\r\n.\r\n");
    let raw = world.cli(&["mailbox", "get", "mm-1", "--raw"]).stdout;
    assert!(raw.ends_with(b"\r\n\r\n.one\r\n..two\r\nthree..\r\n.\r\n"));
}

/// S-14: nothing but CRLF.CRLF ends content. What a laxer reader would take for the end is a violation that ends the
/// session: no second mail can be smuggled behind it.
#[test]
fn s_14_no_other_end_of_data() {
    let world = World::new();
    let smuggled = String::from_utf8(Fwd::ids("mm-smuggled", "tx-smuggled").mail()).unwrap();
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r\n\0.\r\n"] {
        let mut client = world.from_b();
        for line in [FROM_B1, TO_U1] {
            assert!(client.ask(line).starts_with("250"));
        }
        client.say("DATA");
        client.expect("354");
        let mut octets = Fwd::ids("mm-front", "tx-front").mail();
        octets.extend_from_slice(end.as_bytes());
        let behind = format!("{FROM_B1}\r\n{TO_U1}\r\nDATA\r\n{smuggled}.\r\n");
        octets.extend_from_slice(behind.as_bytes());
        client.raw(&octets);
        let reply = client.reply();
        assert!(reply.starts_with("550 5.6.11"), "{end:?}: {reply}");
        assert_eq!(client.reply(), "", "{end:?}");
    }
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    assert_eq!(world.all().len(), 1);
    assert_eq!(only_mail(&world.b).must("X-Mms-Transaction-ID"), "tx-1");
}

/// S-15: long lines, in the header and in base64.
#[test]
fn s_15_long_lines() {
    let world = World::new();
    let long = "x".repeat(4000 - "X-Long: ".len());
    let body = format!(
        "--b1\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b1--\r\n",
        "AAAA".repeat(2500)
    );
    let fwd = Fwd::new().add(&format!("X-Long: {long}")).body(body.as_bytes());
    let reply = world.from_b().forward(&fwd, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    let part = &world.mailbox(U1)[0]["parts"][0];
    assert_eq!((part["content_type"].as_str(), part["size"].as_u64()), (Some("image/png"), Some(7500)));
}

/// S-20: a peer has no more connections than it may have, and its others are not harmed.
#[test]
fn s_20_too_many_connections() {
    let world = World::with(Setup { b: "sessions_max = 2".into(), ..Setup::default() });
    let mut first = world.from_b();
    let second = world.from_b();
    let mut third = Client::connect(world.b.address.ip(), world.address);
    third.expect("421 4.7.0");
    assert!(third.is_closed());
    // Another peer is not concerned.
    assert!(world.from_c().forward(&Fwd::ids("mm-c", "tx-c"), &[U1]).starts_with("250"));
    assert!(first.forward(&Fwd::new(), &[U1]).starts_with("250"));
    drop(second);
    world.until("a place is free again", |world| {
        Client::try_greeted(world.b.address.ip(), world.address).map(|_| ())
    });
}

/// S-21, L-05: no room. The peer keeps the MM, nothing is acknowledged, and no response goes out.
#[test]
fn s_21_l_05_no_room_on_the_disk() {
    let limits = "disk_free_min = \"1000000GiB\"\n".into();
    let mut world = World::with(Setup { limits, ..Setup::default() });
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    assert!(world.all().is_empty());
    world.setup().limits.clear();
    world.restart();
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.mailbox(U1).len(), 1);
    assert_eq!(only_mail(&world.b).must("X-Mms-Request-Status-Code"), "Ok");
}

/// S-21, L-05: the disk takes no content (files may not grow). The relay goes on, and owes nothing for what it refused.
#[test]
fn s_21_l_05_content_cannot_be_written() {
    let mut world = World::new();
    assert!(world.from_b().forward(&Fwd::ids("mm-0", "tx-0"), &[U1]).starts_with("250"));
    assert_eq!(world.b.mail().must("X-Mms-Transaction-ID"), "tx-0");
    world.until("the response is known to be taken", |world| {
        let mm = world.trace("mm-0").remove(0);
        (mm["responses"][0]["owed"] == false).then_some(())
    });
    assert!(world.stop());
    world.setup().shell = Some("trap '' XFSZ; ulimit -f 400".into());
    world.start();
    let mut client = world.from_b();
    for _ in 0..2 {
        let reply = client.forward(&Fwd::new(), &[U1]);
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
    }
    assert_eq!(world.all().len(), 1);
    assert!(world.log().contains("content cannot be stored"));
    assert!(world.stop());
    world.setup().shell = None;
    world.start();
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(only_mail(&world.b).must("X-Mms-Transaction-ID"), "tx-1");
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// S-21: the ledger cannot be written. That is believed: nobody is told that anything was taken, the house stops, and
/// finds what it had at the next start.
#[test]
fn s_21_the_ledger_cannot_be_written() {
    let mut world =
        World::with(Setup { shell: Some("trap '' XFSZ; ulimit -f 400".into()), ..Setup::default() });
    // Reports need no room for content; each one that is asked about is answered from a ledger of its own.
    let mut client = world.from_b();
    let mut taken = BTreeSet::new();
    let reply = loop {
        let transaction = format!("dr-{}", taken.len());
        let report = format!(
            "From: +12025550110/TYPE=PLMN@mms.b.example\r\nTo: +12025550100/TYPE=PLMN@mms.a.example\r\n\
             Sender: system-user@mms.b.example\r\nX-Mms-3GPP-MMS-Version: 6.3.0\r\n\
             X-Mms-Message-Type: MM4_delivery_report.REQ\r\nX-Mms-Transaction-ID: {transaction}\r\n\
             X-Mms-Message-ID: nobody-knows\r\nX-Mms-Ack-Request: Yes\r\nX-Mms-MM-Status-Code: Retrieved\r\n\r\n"
        );
        let reply = client.mail("", &[&at_a(U1)], report.as_bytes());
        if !reply.starts_with("250") {
            break reply;
        }
        taken.insert(transaction);
    };
    assert!(reply.is_empty() || reply.starts_with("45"), "{reply}");
    assert_ne!(world.wait_for_end(), Some(0), "it ends, and says that something is wrong");
    world.setup().shell = None;
    world.start();
    assert_eq!(world.all().len(), taken.len());
    let mut answered = BTreeSet::new();
    while answered.len() < taken.len() {
        answered.insert(world.b.mail().must("X-Mms-Transaction-ID"));
    }
    assert_eq!(answered, taken);
}

/// A stop that comes while an errand is on its way waits for that errand and for nothing else.
#[test]
fn a_stop_lets_the_errand_end_and_waits_no_longer() {
    let mut world = World::new();
    let (begun, begins) = channel();
    let (go, goes) = channel();
    world.b.answer(move |line| {
        if line == "." {
            begun.send(()).unwrap();
            let _: Result<(), _> = goes.recv();
        }
        None
    });
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    begins.recv().unwrap();
    world.terminate();
    world.until("it takes no more connections", |world| {
        Client::try_greeted(world.b.address.ip(), world.address).is_none().then_some(())
    });
    go.send(()).unwrap();
    assert_eq!(world.wait_for_end(), Some(0));
    assert!(!world.log().contains("stopping with"), "{}", world.log());
    assert_eq!(world.b.mails().len(), 1);
    world.start();
    assert_eq!(world.trace("mm-1")[0]["responses"][0]["owed"], false);
}

/// S-22: the crash that no sender can see: stored, but not yet acknowledged. The MM exists once, whatever is re-sent.
#[test]
fn s_22_crash_between_storing_and_250() {
    let env = vec![("BELINO_TEST_ABORT_BEFORE_DONE", "1".to_owned())];
    let mut world = World::with(Setup { env, ..Setup::default() });
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(reply, "", "not a word");
    assert_eq!(world.wait_for_end(), None, "aborted by a signal");
    assert!(world.b.mails().is_empty());
    world.setup().env.clear();
    world.start();
    // The response that was owed goes out now, and again for the repeat.
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    let again = Fwd::new().set("Message-ID", "<std11-2@mms.b.example>");
    let reply = world.from_b().forward(&again, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-1");
    assert_eq!(world.mailbox(U1).len(), 1);
    let repeat = &world.trace(&id_of(&reply))[0];
    assert_eq!(repeat["recipients"][0]["state"], "duplicate");
}

/// S-23: a report under the null reverse path.
#[test]
fn s_23_a_report_from_the_null_path() {
    let world = World::new();
    let mm = world.send(U1, &[B1], &["--text", "hello"]);
    let id = mm["id"].as_str().unwrap();
    let request = world.b.mail();
    world.until_state(id, 0, "forwarded");
    let report = format!(
        "Date: Tue, 04 Mar 2025 10:17:01 +0000\r\nFrom: +12025550110/TYPE=PLMN@mms.b.example\r\n\
         Sender: system-user@mms.b.example\r\nTo: +12025550100/TYPE=PLMN@mms.a.example\r\n\
         Message-ID: <d-1@mms.b.example>\r\nX-Mms-3GPP-MMS-Version: 6.3.0\r\n\
         X-Mms-Message-Type: MM4_delivery_report.REQ\r\nX-Mms-Transaction-ID: dr-1\r\n\
         X-Mms-Message-ID: {}\r\nX-Mms-Ack-Request: Yes\r\nX-Mms-MM-Status-Code: Retrieved\r\n\r\n",
        request.must("X-Mms-Message-ID")
    );
    let reply = world.from_b().mail("", &[&at_a(U1)], report.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Message-Type"), "MM4_delivery_report.RES");
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok");
    assert_eq!(res.to, ["system-user@mms.b.example"]);
    assert_eq!(world.trace(id)[0]["recipients"][0]["delivery_report"], "Retrieved");
}

/// S-24: a recipient elsewhere gets its `250` and its refusal in the response; nothing is relayed.
#[test]
fn s_24_no_relaying() {
    let world = World::new();
    let fwd = Fwd::new();
    let reply = world.from_b().forward(&fwd, &["+19995550100/TYPE=PLMN@other.example"]);
    assert!(reply.starts_with("250"), "{reply}");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-service-denied");
    assert!(res.must("X-Mms-Request-Recipients").contains("+19995550100"), "{}", res.content);
    // To a peer of ours, without transit agreed: the same.
    let reply =
        world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[&format!("{C1}/TYPE=PLMN@mms.c.example")]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Error-service-denied");
    assert_eq!(world.c.connections(), 0);
    world
        .until("both are done with", |world| world.all().iter().all(|mm| mm["closed"] == true).then_some(()));
    for mm in world.all() {
        assert_eq!((&mm["closed"], &mm["transactions"]), (&true.into(), &serde_json::json!([])));
        assert_eq!(mm["size"], serde_json::Value::Null, "its content is not kept");
    }
}

/// S-25, S-26: all forms of path for one user; a source route is forgotten.
#[test]
fn s_25_s_26_forms_of_recipient() {
    let b = "numbers = { bare_is_international = true }".into();
    let world = World::with(Setup { b, ..Setup::default() });
    let mut client = world.from_b();
    let forms = [
        "+12025550100@mms.a.example",
        "12025550100@mms.a.example",
        "+12025550100/TYPE=PLMN",
        "12025550100/TYPE=PLMN@mms.a.example",
        "\"+12025550100/TYPE=PLMN\"@mms.a.example",
        "@x.example,@y.example:+12025550100/TYPE=PLMN@mms.a.example",
    ];
    for (n, form) in forms.iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        let reply = client.mail("", &[form], &fwd.mail());
        assert!(reply.starts_with("250"), "{form}: {reply}");
        let mm = &world.trace(&format!("mm-{n}"))[0];
        assert_eq!(mm["recipients"][0]["address"]["value"], U1, "{form}");
        assert_eq!(mm["recipients"][0]["state"], "stored", "{form}");
    }
    assert_eq!(world.mailbox(U1).len(), forms.len());
    let statuses = responses(&world, forms.len());
    assert!(statuses.values().all(|s| s == "Ok"), "{statuses:?}");
}

/// S-27: MAIL, RCPT and DATA in one segment, and a whole second transaction behind the content.
#[test]
fn s_27_pipelining() {
    let world = World::new();
    let mut client = world.from_b();
    client.raw(format!("{FROM_B1}\r\n{TO_U1}\r\nDATA\r\n").as_bytes());
    client.expect("250 2.1.0");
    client.expect("250 2.1.5");
    client.expect("354");
    let mut octets = Fwd::ids("mm-1", "tx-1").mail();
    octets.extend_from_slice(format!(".\r\nNOOP\r\n{FROM_B1}\r\n{TO_U1}\r\nDATA\r\n").as_bytes());
    octets.extend_from_slice(&Fwd::ids("mm-2", "tx-2").mail());
    octets.extend_from_slice(b".\r\nQUIT\r\n");
    client.raw(&octets);
    for reply in ["250 2.0.0", "250 2.0.0 Ok", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "221"] {
        client.expect(reply);
    }
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// S-28: silence within the limit is fine, beyond it the session ends with `421`.
#[test]
fn s_28_idle() {
    let world = World::new();
    let mut client = world.from_b();
    world.advance("4m");
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
    // Each command starts the time anew.
    for _ in 0..3 {
        world.advance("9m");
        assert!(client.ask("NOOP").starts_with("250"));
    }
    // Turned twice: the first turn may come before the relay has begun to wait.
    world.advance("601s");
    world.advance("601s");
    client.expect("421");
    assert!(client.is_closed());
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// X-05: a sender of one octet now and then is never silent for long, and ends all the same with the life of its session.
#[test]
fn x_05_a_slow_sender() {
    let world = World::with(Setup { limits: "session_max = \"10m\"\n".into(), ..Setup::default() });
    let mut client = world.from_b();
    client.ask("MAIL FROM:<x@mms.b.example>");
    client.ask(&format!("RCPT TO:<{}>", at_a(U1)));
    client.say("DATA");
    client.expect("354");
    for _ in 0..6 {
        let _ = client.try_raw(b"x");
        world.advance("2m");
    }
    // Nothing of it is taken, and the next one is.
    assert!(!client.reply().starts_with("250"));
    assert!(world.mailbox(U1).is_empty());
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
}
