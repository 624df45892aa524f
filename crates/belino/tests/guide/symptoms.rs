//! Each symptom of `docs/guide/troubleshooting.md`, brought about: the commands of its section are run, and what the section
//! shows is there.

use crate::certificates::Authority;
use crate::pages::{blocks, missing, page, section};
use crate::world::*;
use std::process::Command;

const PAGE: &str = "guide/troubleshooting.md";

/// Run the section's commands in this world; everything that it shows is printed by one of them, or logged.
fn looks_like(world: &World, heading: &str, id: &str) {
    let text = page(PAGE);
    let blocks = blocks(section(&text, heading));
    let of = |language: &'static str| blocks.iter().filter(move |block| block.language == language);
    let shown: Vec<&str> = of("text").map(|block| block.text.as_str()).collect();
    let commands: Vec<&str> = of("sh").flat_map(|block| block.text.lines()).collect();
    assert!(!shown.is_empty() && !commands.is_empty(), "{heading}");
    world.until(&format!("{heading}: {shown:?}"), |world| {
        let mut printed = world.log();
        for command in &commands {
            printed.push('\n');
            printed.push_str(&run(world, command, id));
        }
        missing(&shown.join("\n"), &printed).is_none().then_some(())
    });
}

/// What a line of the page prints. It may fail, but not because there is no such command.
fn run(world: &World, line: &str, id: &str) -> String {
    let line =
        line.strip_prefix("belino ").unwrap_or_else(|| panic!("{line}")).replace(" ID", &format!(" {id}"));
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec \"$0\" {line}"))
        .arg(binary())
        .env("BELINO_CONFIG", world.folder.path().join("belino.toml"))
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(2), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn send(world: &World) -> String {
    world.send(U1, &[B1], &["--text", "hello"])["id"].as_str().unwrap().to_owned()
}

/// The id of the MM that came last.
fn last(world: &World) -> String {
    let all = world.all();
    let ids = all.iter().map(|mm| mm["id"].as_str().unwrap().to_owned());
    ids.max().unwrap()
}

#[test]
fn a_peer_refuses_recipients() {
    let world = World::new();
    world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 unknown user".to_owned()));
    let id = send(&world);
    looks_like(&world, "A peer refuses recipients that it took yesterday", &id);
}

/// What the section says to do about it helps.
#[test]
fn another_form_of_numbers_helps() {
    let world = World::with(Setup { b: "profile = { number_form = \"plus\" }".into(), ..Setup::default() });
    world.b.answer(|line| {
        (line.starts_with("RCPT") && line.contains("/TYPE=")).then(|| "550 5.1.1 unknown user".to_owned())
    });
    let id = send(&world);
    world.until_state(&id, 0, "forwarded");
    assert_eq!(world.b.mail().to, ["+12025550110@mms.b.example"]);
}

#[test]
fn no_response_comes() {
    let world = World::new();
    world.b.answer(|line| (line == ".").then(|| "250 ok".to_owned()));
    let id = send(&world);
    for _ in 0..3 {
        world.b.mail();
        world.until("taken", |w| {
            (w.trace(&id)[0]["transactions"][0]["state"] == "awaiting-response").then_some(())
        });
        world.advance("15m");
    }
    looks_like(&world, "No MM4_forward.RES comes", &id);
}

#[test]
fn the_same_mm_comes_again() {
    let world = World::new();
    for _ in 0..2 {
        assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
        world.b.mail();
    }
    looks_like(&world, "The same MM comes again and again", &last(&world));
}

#[test]
fn an_mm_goes_round() {
    let world = World::new();
    let mut fwd = Fwd::new();
    for _ in 0..101 {
        fwd = fwd.add("Received: from x.example by y.example; Tue, 04 Mar 2025 10:15:30 +0000");
    }
    assert!(world.from_b().forward(&fwd, &[U1]).starts_with("554 5.4.6"));
    looks_like(&world, "An MM goes round in circles", "");
}

#[test]
fn a_certificate_has_expired() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue_until("mms.b.example", 2020));
    let own = |of: &crate::certificates::Issued| {
        format!("certificate = \"{}\"\nkey = \"{}\"\n", of.certificate.display(), of.key.display())
    };
    // B has a certificate of 2020, and is a relay, too.
    let b = format!(
        "[relay]\ndomain = \"mms.b.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"{{listen}}\"]\n{}\
         [[peer]]\nname = \"a\"\ndomains = [\"mms.a.example\"]\nhosts = [\"127.0.0.1:9\"]\nfrom = [\"127.0.0.1\"]\n",
        own(&b)
    );
    let b = World::with(Setup { whole: Some(b), ..Setup::default() });
    let a = format!(
        "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"{{listen}}\"]\n{}\
         [limits]\ndisk_free_min = 0\n[[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n\
         [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\nhosts = [\"{}\"]\nprefixes = [\"+1202555011\"]\n\
         tls = \"required\"\ntls_ca = \"{}\"\ntls_name = \"mms.b.example\"\n",
        own(&a),
        b.address,
        ca.ca().display()
    );
    let a = World::with(Setup { whole: Some(a), ..Setup::default() });
    send(&a);
    looks_like(&a, "A certificate has expired", "");
    b.until("its owner hears of it", |b| {
        b.log().contains("no TLS: the peer says that our certificate has expired").then_some(())
    });
}

#[test]
fn the_disk_is_full() {
    let world = World::with(Setup { limits: "disk_free_min = \"9000000GiB\"\n".into(), ..Setup::default() });
    assert!(
        world.from_b().forward(&Fwd::new(), &[U1]).starts_with("452 4.3.1 storage is full, try again later")
    );
    looks_like(&world, "The disk is full", "");
}

#[test]
fn a_number_goes_nowhere() {
    let world = World::new();
    looks_like(&world, "A number goes nowhere, or to the wrong place", "");
    // From a peer it is answered.
    let to = Fwd::new().set("To", "+12025550199/TYPE=PLMN@mms.a.example");
    assert!(world.from_b().forward(&to, &["+12025550199"]).starts_with("250"));
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Error-sending-address-unresolved");
    assert!(world.log().contains("refused: recipient is not known here"));
}

#[test]
fn a_line_ends_by_lf() {
    let world = World::new();
    let reply = world.from_b().forward(&Fwd::new().body(b"a line\nof text\r\n"), &[U1]);
    assert_eq!(reply, "550 5.6.11 Only CRLF ends a line here");
    looks_like(&world, "A peer's mails end its connections", "");
}

#[test]
fn a_sender_is_hidden() {
    let world = World::new();
    let hidden = Fwd::new().set("X-Mms-Sender-Visibility", "Hide");
    assert!(world.from_b().forward(&hidden, &[U1]).starts_with("250"));
    let id = last(&world);
    world.until_state(&id, 0, "stored");
    looks_like(&world, "The sender is missing", &id);
}

#[test]
fn an_mm_is_too_large() {
    let world = World::new();
    let content = "x".repeat(76) + "\r\n";
    let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{}\r\n--b1--\r\n", content.repeat(70_000));
    assert!(world.from_b().forward(&Fwd::new().body(body.as_bytes()), &[U1]).starts_with("250"));
    looks_like(&world, "An MM is too large", &last(&world));
}

#[test]
fn a_stranger_connects() {
    let world = World::new();
    let mut client = Client::connect([127, 0, 0, 99].into(), world.address);
    assert_eq!(client.reply(), "554 5.7.1 No MM4 service for your address");
    looks_like(&world, "A peer cannot connect", "");
}

#[test]
fn a_peer_cannot_be_reached() {
    let world = World::new();
    world.b.answer(|line| (line == "connect").then(|| "421 4.7.0 not from your address".to_owned()));
    send(&world);
    looks_like(&world, "A peer cannot be reached", "");
}

#[test]
fn the_relay_does_not_start() {
    let world = World::new();
    let file = world.folder.path().join("belino.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("listen", "listn")).unwrap();
    looks_like(&world, "The relay does not start", "");
}

/// No symptom stands in the page without a test here, and the list at its head has each.
#[test]
fn every_symptom_is_brought_about() {
    let text = page(PAGE);
    let tests = include_str!("symptoms.rs");
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(headings.len() >= 10);
    for heading in headings {
        assert!(tests.contains(&format!("\"{heading}\"")), "no test brings about {heading:?}");
        assert!(text.contains(&format!("- [{heading}](#")), "the list lacks {heading:?}");
    }
}
