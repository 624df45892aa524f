//! Requests that are too much: size, nesting, parts, hops, header blocks, odd octets (cases F-22, F-43, F-50, X-01 to
//!

use crate::receiving::{id_of, only_mail};
use crate::world::*;
use std::fmt::Write as _;

fn status_of(world: &World, fwd: &Fwd) -> String {
    let reply = world.from_b().forward(fwd, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    world.b.mail().must("X-Mms-Request-Status-Code")
}

/// F-22: the limit counts decoded octets.
#[test]
fn f_22_content_size() {
    let world = World::with(Setup { limits: "content_size_max = 3000\n".into(), ..Setup::default() });
    let image = |n: usize, quads: usize| {
        let mut body =
            "--b1\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_owned();
        for line in vec!["AAAA"; quads].chunks(19) {
            let _ = write!(body, "{}\r\n", line.concat());
        }
        body.push_str("--b1--\r\n");
        Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).body(body.as_bytes())
    };
    assert_eq!(status_of(&world, &image(1, 1000)), "Ok", "3,000 octets in over 4,000 of base64");
    assert_eq!(status_of(&world, &image(2, 1040)), "Error-content-not-accepted");
    let text = format!("--b1\r\n\r\n{}\r\n--b1--\r\n", "x".repeat(3100));
    assert_eq!(
        status_of(&world, &Fwd::ids("mm-3", "tx-3").body(text.as_bytes())),
        "Error-content-not-accepted"
    );
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// F-43: a mail that has gone round.
#[test]
fn f_43_too_many_hops() {
    let world = World::new();
    let hops = |n: usize| {
        let mut fwd = Fwd::new();
        for hop in 0..n {
            fwd = fwd.add(&format!("Received: from a.example by b.example; hop {hop}"));
        }
        fwd
    };
    let mut client = world.from_b();
    let reply = client.forward(&hops(101), &[U1]);
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    assert!(world.all().is_empty());
    let reply = client.forward(&hops(100), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(only_mail(&world.b).must("X-Mms-Request-Status-Code"), "Ok");
}

fn nested(levels: usize) -> Vec<u8> {
    let mut body = String::new();
    for level in 1..levels {
        let _ = write!(body, "--b{level}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", level + 1);
    }
    let _ = write!(body, "--b{levels}\r\nContent-Type: text/plain\r\n\r\nhello\r\n");
    for level in (1..=levels).rev() {
        let _ = write!(body, "--b{level}--\r\n");
    }
    body.into_bytes()
}

fn many(parts: usize) -> Vec<u8> {
    let mut body = "--b1\r\n\r\nx\r\n".repeat(parts);
    body.push_str("--b1--\r\n");
    body.into_bytes()
}

/// F-50: at the limits of nesting and of parts, one beyond, and far beyond.
#[test]
fn f_50_nesting_and_parts() {
    let world = World::new();
    let refused = "Error-content-not-accepted";
    let bodies = [
        (nested(10), "Ok"),
        (nested(11), refused),
        (nested(50), refused),
        (many(100), "Ok"),
        (many(101), refused),
        (many(10_000), refused),
    ];
    for (n, (body, expected)) in bodies.iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).body(body);
        assert_eq!(status_of(&world, &fwd), *expected, "body {n}");
    }
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// control octets and eight bits in headers. A NUL ends the session; the rest is cleaned.
#[test]
fn x_01_odd_octets_in_headers() {
    let world = World::new();
    let mut mail =
        b"Subject: a\x01b\x1b[31mc\x7f\xff\xfe d\r\nX-Mms-Aux-Applic-Info: \x08\x07\x1b]0;t\r\n".to_vec();
    mail.extend_from_slice(&Fwd::new().without("Subject").mail());
    let reply = world.from_b().mail("", &[&at_a(U1)], &mail);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    let subject = world.mailbox(U1)[0]["subject"].as_str().unwrap().to_owned();
    assert!(subject.starts_with("a b [31mc") && !subject.contains(char::is_control), "{subject:?}");
    for verb in [&["mailbox"][..], &["trace", "mm-1"], &["queue", "--all"]] {
        let shown = String::from_utf8(world.cli(verb).stdout).unwrap();
        assert!(shown.contains(B1) && !shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }

    let mut mail = b"Subject: a\0b\r\n".to_vec();
    mail.extend_from_slice(&Fwd::ids("mm-2", "tx-2").without("Subject").mail());
    let mut client = world.from_b();
    let reply = client.mail("", &[&at_a(U1)], &mail);
    assert!(reply.starts_with("550"), "{reply}");
    assert_eq!(world.all().len(), 1);
}

/// X-02: line ends that hide in encoded words and ids become no lines of ours.
#[test]
fn x_02_no_header_injection() {
    let world = World::new();
    // "x CR LF X-Evil: 1" in base64, in every field whose words we might repeat.
    let evil = "=?utf-8?B?eA0KWC1FdmlsOiAx?=";
    let fwd = Fwd::new()
        .set("Subject", evil)
        .set("From", &format!("{evil} <+12025550110/TYPE=PLMN@mms.b.example>"))
        .set("X-Mms-Message-Type", &format!("MM4_{evil}.REQ"));
    let reply = world.from_b().forward(&fwd, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    let res = world.b.mail();
    assert_eq!(res.must("X-Mms-Request-Status-Code"), "Error-unsupported-message");
    assert_eq!(res.header("X-Evil"), None, "{}", res.content);
    let fwd = Fwd::ids("mm-2", "tx-2").set("Subject", evil);
    let reply = world.from_b().forward(&fwd, &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.b.mail().header("X-Evil"), None);
    assert_eq!(world.mailbox(U1)[0]["subject"], "x  X-Evil: 1");
    // Every line of a record is one line: nothing in the list begins with the injected words.
    let list = String::from_utf8(world.cli(&["mailbox"]).stdout).unwrap();
    assert!(list.contains("X-Evil") && !list.lines().any(|l| l.starts_with("X-Evil")), "{list}");
}

/// a header block without an end.
#[test]
fn x_03_an_endless_header_block() {
    let world = World::new();
    let mut mail = Fwd::new().mail();
    mail.splice(0..0, b"X-Filler: 0123456789abcdef0123456789abcdef\r\n".repeat((1 << 20) / 44));
    let mut client = world.from_b();
    let reply = client.mail("", &[&at_a(U1)], &mail);
    assert!(reply.starts_with("554") || reply.starts_with("552"), "{reply}");
    assert!(world.all().is_empty());
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"), "the session goes on");
}

/// a mail mutated in a hundred ways is taken or refused, never the end of anything; and so it is read by
/// `belino decode`.
#[test]
fn x_08_mutated_mails() {
    let world = World::new();
    let original = Fwd::new().mail();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut roll = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut client = world.from_b();
    for round in 0..100 {
        let mut mail = original.clone();
        for _ in 0..=roll(8) {
            let at = roll(mail.len());
            match roll(3) {
                // Nothing that would end a line or content: framing has its own tests.
                0 if mail[at] > 31 => mail[at] = 33 + roll(200) as u8,
                1 => {
                    mail.drain(at..mail.len().min(at + roll(20)));
                }
                _ => {
                    let piece =
                        original[roll(original.len())..].iter().take(roll(60)).copied().collect::<Vec<_>>();
                    mail.splice(at..at, piece);
                }
            }
        }
        let text: Vec<&[u8]> = mail.split(|b| matches!(b, b'\r' | b'\n')).filter(|l| *l != b".").collect();
        let mut mail = text.join(&b"\r\n"[..]);
        mail.extend_from_slice(b"\r\n");
        if round % 10 == 0 {
            let path = world.folder.path().join("mutant");
            std::fs::write(&path, &mail).unwrap();
            let rows = world.json(&["decode", path.to_str().unwrap()]);
            assert!(rows[0]["violations"].is_array(), "round {round}");
        }
        let reply = client.mail("", &[&at_a(U1)], &mail);
        assert!(reply.starts_with("250") || reply.starts_with("554"), "round {round}: {reply}");
    }
    let reply = client.forward(&Fwd::ids("mm-last", "tx-last"), &[U1]);
    assert_eq!(world.trace(&id_of(&reply))[0]["recipients"][0]["state"], "stored");
}

/// a thousand sessions of one peer at once: the limit holds, and what is acknowledged is there.
#[test]
fn x_04_a_thousand_sessions() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile);
    let wanted = Some(most.maximum.map_or(4096, |hard| hard.min(4096)));
    setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: most.maximum }).unwrap();
    let world = World::with(Setup {
        b: "sessions_max = 1000".into(),
        shell: Some("ulimit -n 4096".into()),
        ..Setup::default()
    });
    let mut sessions: Vec<Client> = (0..1000).map(|_| world.from_b()).collect();
    let mut one_more = Client::connect(world.b.address.ip(), world.address);
    one_more.expect("421");
    // All speak at once: the first half of a mail from each, then the second.
    for client in sessions.iter_mut().step_by(5) {
        client.raw(format!("MAIL FROM:<x@mms.b.example>\r\nRCPT TO:<{}>\r\nDATA\r\n", at_a(U1)).as_bytes());
    }
    let mut sent = 0;
    for (i, client) in sessions.iter_mut().enumerate().step_by(5) {
        ["250", "250", "354"].iter().for_each(|code| drop(client.expect(code)));
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("X-Mms-Ack-Request", "No");
        client.raw(&fwd.mail());
        client.raw(b".\r\n");
        sent += 1;
    }
    sessions.iter_mut().step_by(5).for_each(|client| drop(client.expect("250")));
    assert_eq!(world.json(&["mailbox", "--recipient", U1, "--max", "1000"]).len(), sent);
    assert!(sessions[1].ask("NOOP").starts_with("250"), "the others are still served");
}

/// The soft limit of open files is no limit: a relay that is started with a low one holds what the hard one lets it.
#[test]
fn threat_04_the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let world = World::with(Setup {
        b: "sessions_max = 400".into(),
        limits: "sessions_max = 500".into(),
        shell: Some("ulimit -n 1000; ulimit -Sn 200".into()),
        ..Setup::default()
    });
    let mut sessions: Vec<Client> = (0..400).map(|_| world.from_b()).collect();
    sessions.iter_mut().for_each(|client| assert!(client.ask("NOOP").starts_with("250")));
    assert!(!world.log().contains("sessions_max"), "there is room for all: {}", world.log());
}

/// Where the hard limit is too low for `sessions_max`, the log says so, one connection too many is answered in words, and
/// what the relay needs for its own work is left.
#[test]
fn threat_04_peers_leave_descriptors_for_the_work() {
    let world = World::with(Setup {
        b: "sessions_max = 400".into(),
        shell: Some("ulimit -n 300".into()),
        ..Setup::default()
    });
    let log = world.log();
    assert!(log.contains("limits.sessions_max is 10000, but this process may have 300 files open"), "{log}");
    let room = log.split(" incoming connections are taken at once").next().and_then(|t| t.rsplit(' ').next());
    let room: usize = room.unwrap().parse().unwrap();
    assert!((75..250).contains(&room), "{room}");
    let mut sessions: Vec<Client> = (0..room).map(|_| world.from_b()).collect();
    Client::connect(world.b.address.ip(), world.address).expect("421 4.7.0 Too many connections");
    let reply = sessions[0].forward(&Fwd::new(), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    // Its answer goes out over a connection of ours, for which a descriptor is left.
    world.b.mail();
    assert!(!world.log().contains("cannot accept a connection"), "{}", world.log());
}

/// a flood of responses to nothing of ours: each one is taken, nothing changes, and the log does not drown in it.
#[test]
fn x_10_a_flood_of_responses() {
    let world = World::new();
    let mut client = world.from_b();
    for i in 0..300 {
        let res = response(&format!("guess-{i}@mms.a.example"), "Ok", &[]);
        assert!(
            client.mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res).starts_with("250")
        );
    }
    assert!(world.all().is_empty());
    let lines = |world: &World| world.log().lines().filter(|l| l.contains("nothing of ours")).count();
    assert!((1..=20).contains(&lines(&world)), "{} lines", lines(&world));
    // Later it says how many were left out, and speaks again.
    world.advance("1m");
    let res = response("guess@mms.a.example", "Ok", &[]);
    client.mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    let log = world.log();
    assert!(log.contains("280 more"), "{log}");
}
