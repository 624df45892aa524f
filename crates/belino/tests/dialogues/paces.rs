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
