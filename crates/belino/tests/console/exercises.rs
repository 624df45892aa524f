//! "What happened?": ten things that go wrong on a live link at night. For each, the console and the command line name the
//! cause in plain words, and what to do next.

use crate::certificates::{Authority, Issued};
use crate::desk::{ANN, Desk};
use crate::world::*;

/// What the command line says, whatever its exit code.
fn says(desk: &Desk, args: &[&str]) -> String {
    String::from_utf8(desk.world.cli(args).stdout).unwrap()
}

/// The text of a page, as a browser shows it.
fn shown(desk: &Desk, path: &str) -> String {
    let page = desk.login(ANN).page(path);
    let mut text = String::new();
    for piece in page.split('<').skip(1) {
        text.push_str(piece.split_once('>').map_or("", |(_, text)| text));
    }
    for (name, sign) in [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")] {
        text = text.replace(name, sign);
    }
    text
}

/// Both name the cause, once it is known: this page, and these arguments of the command line.
fn both_name(desk: &Desk, page: &str, args: &[&str], words: &[&str]) {
    let mut last = String::new();
    let lacks = |text: &str| words.iter().find(|word| !text.contains(**word)).copied();
    desk.world.until(&format!("{args:?} and {page} tell of {words:?}"), |_| {
        let (told, page) = (says(desk, args), shown(desk, page));
        last = format!("{args:?} lacks {:?}:\n{told}\n{page:?} lacks {:?}", lacks(&told), lacks(&page));
        (lacks(&told).is_none() && lacks(&page).is_none()).then_some(())
    });
}

fn of_mm(desk: &Desk, id: &str, words: &[&str]) {
    both_name(desk, &format!("/messages/{id}"), &["trace", id], words);
}

fn of_peer_b(desk: &Desk, words: &[&str]) {
    both_name(desk, "/peers/b", &["peer", "b"], words);
}

fn send(desk: &Desk) -> String {
    desk.world.send(U1, &[B1], &["--text", "hello"])["id"].as_str().unwrap().to_owned()
}

/// The id of the only MM.
fn only(desk: &Desk) -> String {
    let all = desk.world.all();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_happened_a_peer_refuses_recipients_since_an_upgrade() {
    let desk = Desk::new();
    desk.world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 unknown user".to_owned()));
    let id = send(&desk);
    of_mm(&desk, &id, &["Peer b refused the recipient", "550 5.1.1 unknown user", "since an upgrade at b"]);
    of_peer_b(&desk, &["550 5.1.1 unknown user", "since an upgrade at b"]);
}

#[test]
fn what_happened_the_response_never_comes() {
    let desk = Desk::new();
    let id = send(&desk);
    for _ in 0..3 {
        desk.world.b.mail();
        desk.world.until("taken", |w| {
            (w.trace(&id)[0]["transactions"][0]["state"] == "awaiting-response").then_some(())
        });
        desk.world.advance("15m");
    }
    of_mm(
        &desk,
        &id,
        &["took the MM with 250", "its MM4_forward.RES never came", "where it sends its responses"],
    );
}

#[test]
fn what_happened_the_same_mm_comes_again_and_again() {
    let desk = Desk::new();
    let mut b = desk.world.from_b();
    for _ in 0..4 {
        assert!(b.forward(&Fwd::new(), &[U1]).starts_with("250"));
        desk.world.b.mail();
    }
    let all = desk.world.all();
    let repeat = all.iter().find(|mm| mm["recipients"][0]["state"] == "duplicate").unwrap();
    of_mm(
        &desk,
        repeat["id"].as_str().unwrap(),
        &["repeat by b", "not delivered again", "does not get, or does not read, our MM4_forward.RES"],
    );
}

#[test]
fn what_happened_an_mm_goes_round() {
    let desk = Desk::new();
    let mut fwd = Fwd::new();
    for _ in 0..101 {
        fwd = fwd.add("Received: from x.example by y.example; Tue, 04 Mar 2025 10:15:30 +0000");
    }
    assert!(desk.world.from_b().forward(&fwd, &[U1]).starts_with("554 5.4.6"));
    of_peer_b(&desk, &["mail loop: too many hops", "Two tables point at each other"]);
}

#[test]
fn what_happened_a_certificate_has_expired() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue_until("mms.b.example", 2020));
    let own = |of: &Issued| {
        format!("certificate = \"{}\"\nkey = \"{}\"\n", of.certificate.display(), of.key.display())
    };
    let whole = format!(
        "[relay]\ndomain = \"mms.b.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"{{listen}}\"]\n{}\
         [[peer]]\nname = \"a\"\ndomains = [\"mms.a.example\"]\nhosts = [\"127.0.0.1:9\"]\nfrom = [\"127.0.0.1\"]\n",
        own(&b)
    );
    let b = World::with(Setup { whole: Some(whole), ..Setup::default() });
    let must =
        format!("tls = \"required\"\ntls_ca = \"{}\"\ntls_name = \"mms.b.example\"", ca.ca().display());
    let setup = Setup { mm4: own(&a), b: must, b_hosts: vec![b.address.to_string()], ..Setup::default() };
    let desk = Desk::with(setup, "");
    let id = send(&desk);
    let words = ["certificate has expired", "b has to renew its certificate"];
    of_mm(&desk, &id, &["Peer b cannot be reached", words[0], words[1]]);
    both_name(&desk, "/alarms", &["status"], &words);
}

#[test]
fn what_happened_the_disk_is_full() {
    let limits = "disk_free_min = \"9000000GiB\"".into();
    let desk = Desk::with(Setup { limits, ..Setup::default() }, "");
    assert!(desk.world.from_b().forward(&Fwd::new(), &[U1]).starts_with("452 4.3.1"));
    both_name(
        &desk,
        "/alarms",
        &["status"],
        &["The disk is full", "new MMs are refused with 452", "Make room"],
    );
    of_peer_b(&desk, &["452 4.3.1 storage is full"]);
}

#[test]
fn what_happened_a_prefix_is_wrong() {
    let desk = Desk::new();
    let to = Fwd::new().set("To", "+12025550199/TYPE=PLMN@mms.a.example");
    assert!(desk.world.from_b().forward(&to, &["+12025550199"]).starts_with("250"));
    desk.world.b.mail();
    of_mm(
        &desk,
        &only(&desk),
        &["No table knows where this recipient is served", "a prefix is missing or wrong"],
    );
}

#[test]
fn what_happened_a_peer_ends_lines_by_lf() {
    let desk = Desk::new();
    let reply = desk.world.from_b().forward(&Fwd::new().body(b"a line\nof text\r\n"), &[U1]);
    assert_eq!(reply, "550 5.6.11 Only CRLF ends a line here");
    of_peer_b(&desk, &["LF without CR", "line ends that SMTP forbids", "it must send CRLF"]);
}

#[test]
fn what_happened_the_sender_is_missing() {
    let desk = Desk::new();
    let hidden = Fwd::new().set("X-Mms-Sender-Visibility", "Hide");
    assert!(desk.world.from_b().forward(&hidden, &[U1]).starts_with("250"));
    of_mm(&desk, &only(&desk), &["The sender asked to be hidden", "by the sender's wish and not by a fault"]);
}

#[test]
fn what_happened_an_mm_is_too_large() {
    let desk = Desk::new();
    let content = ("x".repeat(76) + "\r\n").repeat(70_000);
    let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{content}\r\n--b1--\r\n");
    assert!(desk.world.from_b().forward(&Fwd::new().body(body.as_bytes()), &[U1]).starts_with("250"));
    desk.world.b.mail();
    of_mm(&desk, &only(&desk), &["It is over the size limit", "at most 5242880", "content_size_max"]);
}
