//! Peers that are too slow, and peers that are too fast (threats 4 and 14).

use crate::world::*;

const SENDER: &str = "MAIL FROM:<x@mms.b.example>";

#[test]
fn threat_04_content_that_drips_ends_the_session() {
    let world = World::new();
    let mut client = world.from_b();
    client.ask(SENDER);
    client.ask(&format!("RCPT TO:<{}>", at_a(U1)));
    client.say("DATA");
    client.expect("354");
    // Never silent for the three minutes that it may be, and never at 500 octets a second.
    for _ in 0..4 {
        let _ = client.try_raw(b"x");
        world.advance("1m");
    }
    client.expect("421 4.4.2 Content comes too slowly");
    assert!(client.is_closed());
    // One that keeps to the rate may take as long as it likes.
    let mut client = world.from_b();
    client.ask(SENDER);
    client.ask(&format!("RCPT TO:<{}>", at_a(U1)));
    client.say("DATA");
    client.expect("354");
    client.raw(&Fwd::new().mail());
    for _ in 0..6 {
        client.raw(&b"more of it\r\n".repeat(3000));
        world.advance("1m");
    }
    client.raw(b".\r\n");
    client.expect("250");
}

#[test]
fn threat_04_a_command_that_drips_ends_the_session() {
    let world = World::new();
    let mut client = world.from_b();
    client.ask("NOOP");
    for octet in [b"N", b"O", b"O"] {
        let _ = client.try_raw(octet);
        world.advance("4m");
    }
    client.expect("421 4.4.2 Nothing heard for too long");
    assert!(client.is_closed());
}

/// A crowd of one peer, far within what its `sessions_max` lets it have: most say nothing, some bring content an octet at a
/// time. Another peer's MMs are taken meanwhile, and when all is over so are those that dripped.
#[test]
fn threat_04_a_crowd_that_is_idle_or_drips_takes_nothing_from_others() {
    let world = World::with(Setup { b: "sessions_max = 250".into(), ..Setup::default() });
    let mut idle: Vec<Client> = (0..200).map(|_| world.from_b()).collect();
    let mails: Vec<Vec<u8>> = (0..50)
        .map(|i| {
            Fwd::ids(&format!("mm-drip-{i}"), &format!("tx-drip-{i}")).set("X-Mms-Ack-Request", "No").mail()
        })
        .collect();
    let mut dripping: Vec<Client> = (0..50).map(|_| world.from_b()).collect();
    for client in &mut dripping {
        client.ask(SENDER);
        client.ask(&format!("RCPT TO:<{}>", at_a(U1)));
        client.say("DATA");
        client.expect("354");
    }
    let mut honest = world.from_c();
    let from = format!("{C1}/TYPE=PLMN@mms.c.example");
    for second in 0..10 {
        for (client, mail) in dripping.iter_mut().zip(&mails) {
            client.raw(&mail[second..=second]);
        }
        let fwd = Fwd::ids(&format!("mm-{second}"), &format!("tx-{second}"))
            .set("From", C1)
            .set("X-Mms-Originator-System", "system-user@mms.c.example")
            .set("Sender", &from);
        assert!(honest.mail(&from, &[&at_a(U1)], &fwd.mail()).starts_with("250"), "in second {second}");
        world.advance("1s");
    }
    assert_eq!(world.json(&["mailbox", "--recipient", U1, "--max", "1000"]).len(), 10);
    // One more of the crowd's peer than agreed is turned away, and none of the others.
    Client::connect(world.b.address.ip(), world.address).expect("421");
    idle.iter_mut().for_each(|client| assert!(client.ask("NOOP").starts_with("250")));
    for (client, mail) in dripping.iter_mut().zip(&mails) {
        client.raw(&mail[10..]);
        client.raw(b".\r\n");
    }
    dripping.iter_mut().for_each(|client| drop(client.expect("250")));
    assert_eq!(world.json(&["mailbox", "--recipient", U1, "--max", "1000"]).len(), 60);
}

#[test]
fn threat_14_a_fast_peer_is_slowed_down_and_no_other() {
    let world = World::with(Setup { b: "mails_per_second = 2".into(), ..Setup::default() });
    let mut clients: Vec<Client> = (0..20).map(|_| world.from_b()).collect();
    clients.iter_mut().for_each(|client| client.say(SENDER));
    let hits = |world: &World| {
        let row = &world.json(&["peer", "b"])[0];
        Some((row["slowed"].as_u64()?, row["refused_for_pace"].as_u64()?))
    };
    // One second's worth at once and the one that begins, five seconds' worth later, the rest not now.
    world.until("all are judged", |world| hits(world).filter(|hits| *hits == (9, 8)));
    let shown = String::from_utf8(world.cli(&["peer", "b"]).stdout).unwrap();
    assert!(shown.contains("too fast: slowed down 9 times, 8 mails put off"), "{shown}");
    // Who shares the relay with it feels nothing, and its reply comes though the clock stands.
    let fwd = Fwd::new().set("From", C1).set("X-Mms-Originator-System", "system-user@mms.c.example");
    let mut other = world.from_c();
    let from = format!("{C1}/TYPE=PLMN@mms.c.example");
    assert!(other.mail(&from, &[&at_a(U1)], &fwd.set("Sender", &from).mail()).starts_with("250"));
    world.advance("5s");
    let replies: Vec<String> = clients.iter_mut().map(Client::reply).collect();
    let count = |begins: &str| replies.iter().filter(|reply| reply.starts_with(begins)).count();
    assert_eq!((count("250"), count("451 4.7.1")), (12, 8), "{replies:?}");
    // Put off is not lost: the same connection succeeds later.
    let at = replies.iter().position(|reply| reply.starts_with("451")).unwrap();
    world.advance("10s");
    assert!(clients[at].forward(&Fwd::ids("mm-9", "tx-9"), &[U1]).starts_with("250"));
    assert_eq!(world.log().matches("the peer sends faster than it may").count(), 1);
}

#[test]
fn threat_14_content_beyond_the_pace_is_read_later() {
    let world = World::with(Setup { b: "octets_per_second = \"100KB\"".into(), ..Setup::default() });
    let mut client = world.from_b();
    let body = b"some seventy octets that fill a line of a picture or the like, or so..\r\n".repeat(7_000);
    client.ask(SENDER);
    client.ask(&format!("RCPT TO:<{}>", at_a(U1)));
    client.say("DATA");
    client.expect("354");
    let sending = std::thread::spawn(move || {
        client.raw(&Fwd::new().mail());
        client.raw(&body);
        client.raw(b".\r\n");
        client.reply()
    });
    // Half a megabyte: a second's worth is read at once, the rest only as time passes.
    world.until("the dock pauses", |world| {
        world.json(&["peer", "b"])[0]["slowed"].as_u64().filter(|slowed| *slowed > 0)
    });
    assert!(world.mailbox(U1).is_empty() && world.all().is_empty());
    let mut turns = 0;
    while !sending.is_finished() {
        world.advance("1s");
        turns += 1;
        assert!(turns < 60);
    }
    assert!(sending.join().unwrap().starts_with("250"));
    assert!(turns >= 3, "{turns}");
}

#[test]
fn paces_are_checked() {
    let world = World::new();
    let file = world.folder.path().join("belino.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("name = \"b\"").unwrap();
    std::fs::write(&file, format!("{}mails_per_second = 0\n{}", &text[..at], &text[at..])).unwrap();
    let output = world.cli(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("mails_per_second, octets_per_second: expected at least 1"),
        "{said}"
    );
}

#[test]
fn threat_14_a_peer_has_no_more_stored_here_than_agreed() {
    let setup = Setup {
        b: "stored_max = \"100KiB\"".into(),
        more: "[metrics]\nlisten = [\"127.0.0.1:0\"]".into(),
        ..Setup::default()
    };
    let mut world = World::with(setup);
    let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{}\r\n--b1--\r\n", "x".repeat(32_000));
    let big = |n: u32| Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).body(body.as_bytes());
    let mut client = world.from_b();
    for n in 0..3 {
        assert!(client.forward(&big(n), &[U1]).starts_with("250"), "{n}");
    }
    let reply = client.forward(&big(3), &[U1]);
    assert!(reply.starts_with("452 4.2.2"), "{reply}");
    // It shows, and others are not concerned.
    let stored = world.json(&["peer", "b"])[0]["stored"].as_u64().unwrap();
    assert!((96_000..110_000).contains(&stored), "{stored}");
    assert_eq!(crate::metrics::scrape(&world)["belino_stored_bytes{peer=\"b\"}"], stored as f64);
    let from = format!("{C1}/TYPE=PLMN@mms.c.example");
    let fwd = big(9).set("From", C1).set("Sender", &from);
    let fwd = fwd.set("X-Mms-Originator-System", "system-user@mms.c.example");
    assert!(world.from_c().mail(&from, &[&at_a(U1)], &fwd.mail()).starts_with("250"));
    // A restart forgets nothing of it.
    world.restart();
    let mut client = world.from_b();
    assert!(client.forward(&big(3), &[U1]).starts_with("452 4.2.2"));
    // A response needs no room.
    let res = response("nothing-of-ours", "Ok", &[]);
    assert!(
        client.mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res).starts_with("250")
    );
    // What is done makes room.
    let id = world.mailbox(U1).iter().find(|m| m["message_id"] == "mm-0").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(world.cli(&["mailbox", "delete", &id]).status.success());
    assert!(client.forward(&big(3), &[U1]).starts_with("250"));
}

#[test]
fn threat_14_a_recipient_takes_so_many_within_an_hour() {
    let world = World::with(Setup { limits: "recipient_rate_max = 3".into(), ..Setup::default() });
    let mut client = world.from_b();
    let status = |world: &World| world.b.mail().must("X-Mms-Request-Status-Code");
    for n in 0..3 {
        assert!(client.forward(&Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")), &[U1]).starts_with("250"));
        assert_eq!(status(&world), "Ok");
        // Said again it is a repeat, and does not count.
        assert!(client.forward(&Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")), &[U1]).starts_with("250"));
        assert_eq!(status(&world), "Ok");
    }
    // Accepted by SMTP, refused in the response; the other recipient has it.
    assert!(client.forward(&Fwd::ids("mm-3", "tx-3"), &[U1, U2]).starts_with("250"));
    let mut statuses = [status(&world), status(&world)];
    statuses.sort();
    assert_eq!(statuses, ["Error-network-problem", "Ok"]);
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (3, 1));
    // Later the same mail succeeds, and the other one has it once.
    world.advance("21m");
    assert!(world.from_b().forward(&Fwd::ids("mm-3", "tx-3"), &[U1, U2]).starts_with("250"));
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (4, 1));
}
