//! Sending `MM4_forward.REQ`, and what the peer's answers make of it (cases O-01 to O-35, L-03).

use crate::world::*;
use base64::Engine as _;
use mail_parser::MimeHeaders as _;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SYSTEM_A: &str = "system-user@mms.a.example";
const SYSTEM_B: &str = "system-user@mms.b.example";

/// U1 hands in an MM; the relay's id of it.
pub fn hand_in(world: &World, to: &[&str], more: &[&str]) -> String {
    let text: &[&str] = if more.contains(&"--text") { &[] } else { &["--text", "hello"] };
    let args = [text, more].concat();
    world.send(U1, to, &args)["id"].as_str().unwrap().to_owned()
}

/// Peer B's response to one of our transactions.
pub fn respond(world: &World, transaction_id: &str, status: &str, more: &[&str]) {
    let res = response(transaction_id, status, more);
    let reply = world.from_b().mail(SYSTEM_B, &[SYSTEM_A], &res);
    assert!(reply.starts_with("250"), "{reply}");
}

/// The MM as it is now.
pub fn mm(world: &World, id: &str) -> Value {
    world.trace(id).remove(0)
}

/// State, reason and status of a recipient, `-` for none.
pub fn end_of(world: &World, id: &str, place: usize) -> String {
    let recipient = &mm(world, id)["recipients"][place];
    let word = |key: &str| recipient[key].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", word("state"), word("reason"), word("status"))
}

/// How often something is in the history of an MM.
pub fn times(world: &World, id: &str, what: &str) -> usize {
    mm(world, id)["history"].as_array().unwrap().iter().filter(|m| m["what"] == what).count()
}

/// Hand in an MM to B1 and see it forwarded; its id and its mail.
fn forwarded(world: &World) -> (String, Received) {
    let id = hand_in(world, &[B1], &[]);
    let mail = world.b.mail();
    world.until_state(&id, 0, "forwarded");
    (id, mail)
}

fn transaction_id(mail: &Received) -> String {
    mail.must("X-Mms-Transaction-ID")
}

/// Whether two mails are the same request: same ids, same everything but the mail's own Message-ID.
fn same_request(one: &Received, two: &Received) {
    let rest = |mail: &Received| mail.content.replace(&mail.must("Message-ID"), "-");
    assert_eq!(rest(one), rest(two));
    assert_ne!(one.must("Message-ID"), two.must("Message-ID"), "each mail has its own");
}

/// A peer that answers the end of content like this for so many times, then as usual.
fn refuse_content(peer: &Peer, times: usize, reply: &'static str) {
    let left = AtomicUsize::new(times);
    peer.answer(move |line| {
        (line == "." && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok())
            .then(|| reply.to_owned())
    });
}

/// Octets that mail could spoil: all values, CRLF, lone dots, a boundary, NUL.
fn picture() -> Vec<u8> {
    let mut octets = b"\x89PNG\r\n\x1a\n\0\r\n.\r\n--belino\r\nFrom x\n.\n".to_vec();
    octets.extend((0..20_000u32).map(|i| ((i * 31) >> 3) as u8));
    octets
}

fn with_picture(world: &World) -> String {
    let path = world.folder.path().join("sun.png");
    std::fs::write(&path, picture()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// O-01, O-02, O-03: every header of the table, with its exact value, in one order.
#[test]
fn o_01_o_02_o_03_the_header_of_a_request() {
    let world = World::new();
    let file = with_picture(&world);
    let more = ["--text", "Grüße", "--attach", &file, "--subject", "hello", "--delivery-report"];
    let mm = world.send(U1, &[B1], &more);
    let mail = world.b.mail();
    let id = mm["message_id"].as_str().unwrap();
    let tx = mm["transactions"][0]["transaction_id"].as_str().unwrap();
    assert_eq!(mail.from, "+12025550100/TYPE=PLMN@mms.a.example");
    assert_eq!(mail.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    let expected = [
        ("Date", "Tue, 04 Mar 2025 10:15:30 +0000"),
        ("From", "+12025550100/TYPE=PLMN@mms.a.example"),
        ("Sender", "+12025550100/TYPE=PLMN@mms.a.example"),
        ("To", "+12025550110/TYPE=PLMN@mms.b.example"),
        ("Message-ID", ""),
        ("Subject", "hello"),
        ("MIME-Version", "1.0"),
        ("Content-Type", ""),
        ("X-Mms-3GPP-MMS-Version", "6.16.0"),
        ("X-Mms-Message-Type", "MM4_forward.REQ"),
        ("X-Mms-Transaction-ID", tx),
        ("X-Mms-Message-ID", id),
        ("X-Mms-Message-Class", "Personal"),
        ("X-Mms-Expiry", "Fri, 07 Mar 2025 10:15:30 GMT"),
        ("X-Mms-Delivery-Report", "Yes"),
        ("X-Mms-Originator-R/S-Delivery-Report", "No"),
        ("X-Mms-Priority", "Normal"),
        ("X-Mms-Sender-Visibility", "Show"),
        ("X-Mms-Read-Reply", "No"),
        ("X-Mms-Ack-Request", "Yes"),
        ("X-Mms-Originator-System", "system-user@mms.a.example"),
    ];
    let names = |mail: &Received| -> Vec<String> {
        let head = mail.content.split("\r\n\r\n").next().unwrap().to_owned();
        let lines = head.split("\r\n").filter(|l| !l.starts_with([' ', '\t']));
        lines.map(|l| l.split(':').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&mail), expected.map(|(name, _)| name));
    for (name, value) in expected.into_iter().filter(|(_, value)| !value.is_empty()) {
        assert_eq!(mail.must(name), value, "{name}");
    }
    // O-03: the MM's id is the one that the user was told; the mail's id is another one.
    let std11 = mail.must("Message-ID");
    assert!(std11.starts_with('<') && std11.ends_with("@mms.a.example>"), "{std11}");
    assert!(!id.is_empty() && std11 != format!("<{id}>"));
    // Another MM: the same names in the same order, ids of its own.
    let second = world.send(U1, &[B1], &more);
    let other = world.b.mail();
    assert_eq!(names(&other), names(&mail));
    for own in ["X-Mms-Message-ID", "X-Mms-Transaction-ID", "Message-ID"] {
        assert_ne!(other.must(own), mail.must(own), "{own}");
    }
    assert_eq!(second["message_id"], other.must("X-Mms-Message-ID"));
}

/// O-01, O-07: the content arrives whole: presentation first, parts named, binary in base64, no line too long. Read
/// with a reader that is not ours.
#[test]
fn o_01_o_07_the_body_of_a_request() {
    let world = World::new();
    let file = with_picture(&world);
    let text = format!("Grüße\r\n.\r\nund ein langer Satz: {}", "ja ".repeat(1000));
    hand_in(&world, &[B1], &["--text", &text, "--attach", &file]);
    let mail = world.b.mail();
    assert!(mail.content.is_ascii());
    let longest = mail.content.lines().map(str::len).max().unwrap();
    assert!(longest <= 998, "a line of {longest}");
    let parsed = mail_parser::MessageParser::default().parse(mail.content.as_bytes()).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("related")));
    assert_eq!(kind.attribute("type"), Some("application/smil"));
    let start = kind.attribute("start").unwrap().trim_matches(['<', '>']).to_owned();
    let leaves: Vec<&mail_parser::MessagePart<'_>> =
        parsed.parts.iter().filter(|p| !p.is_multipart()).collect();
    let kinds: Vec<String> = leaves
        .iter()
        .map(|p| {
            p.content_type().map_or(String::new(), |c| format!("{}/{}", c.ctype(), c.subtype().unwrap_or("")))
        })
        .collect();
    assert_eq!(kinds, ["application/smil", "image/png", "text/plain"]);
    assert_eq!(leaves[0].content_id(), Some(start.as_str()));
    assert_eq!(leaves[1].contents(), picture());
    assert_eq!(leaves[2].contents(), text.as_bytes());
    assert_eq!(leaves[1].content_transfer_encoding(), Some("base64"));
    let smil = String::from_utf8(leaves[0].contents().to_vec()).unwrap();
    for part in &leaves[1..] {
        let id = part.content_id().unwrap();
        assert!(smil.contains(&format!("src=\"cid:{id}\"")), "{id} in {smil}");
        assert!(part.content_location().is_some());
    }
    // And the encoding is what a strict base64 reader takes.
    let encoded: String = mail
        .body()
        .split("Content-Type: image/png")
        .nth(1)
        .and_then(|rest| rest.split_once("\r\n\r\n"))
        .map(|(_, rest)| rest.split("\r\n--").next().unwrap().replace("\r\n", ""))
        .unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(), picture());
}

/// O-04: Date is when the user handed it in, not when the peer took it.
#[test]
fn o_04_date_is_the_time_of_submission() {
    let world = World::new();
    refuse_content(&world.b, 1, "451 4.3.0 later");
    let id = hand_in(&world, &[B1], &[]);
    world.b.heard();
    world.until("put off", |w| (times(w, &id, "deferred") == 1).then_some(()));
    world.advance("10m");
    assert_eq!(world.b.mail().must("Date"), "Tue, 04 Mar 2025 10:15:30 +0000");
}

/// An errand that becomes due at the moment at which an unused connection is given up is carried all the same.
#[test]
fn an_errand_is_not_left_to_a_worker_that_is_leaving() {
    let b = "profile = { expects_response = false }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    for _ in 0..40 {
        refuse_content(&world.b, 1, "451 4.3.0 later");
        let id = hand_in(&world, &[B1], &[]);
        world.until("put off", |w| (times(w, &id, "deferred") == 1).then_some(()));
        // Both the next attempt and the end of the connection's time.
        world.advance("10m");
        world.b.mail();
    }
}

/// O-05: a validity in seconds becomes an instant, in the form of RFC 1123.
#[test]
fn o_05_a_relative_expiry_becomes_an_instant() {
    let world = World::new();
    hand_in(&world, &[B1], &["--expiry", "3600s"]);
    assert_eq!(world.b.mail().must("X-Mms-Expiry"), "Tue, 04 Mar 2025 11:15:30 GMT");
    // Longer than we allow: cut to 14 days.
    hand_in(&world, &[B1], &["--expiry", "100d"]);
    assert_eq!(world.b.mail().must("X-Mms-Expiry"), "Tue, 18 Mar 2025 10:15:30 GMT");
}

/// O-09, O-10: an MM that users forwarded: the earlier handlers by index, the last one is the sender.
#[test]
fn o_09_o_10_a_forwarded_mm_tells_its_earlier_handlers() {
    let world = World::new();
    let first = format!("{C1}@1741000000");
    let once = world.send(U1, &[B1], &["--text", "x", "--previously-sent", &first]);
    let mail = world.b.mail();
    assert_eq!(mail.must("X-Mms-Forward-Counter"), "1");
    assert_eq!(mail.headers("X-Mms-Previously-sent-by"), ["0, +12025550120/TYPE=PLMN"]);
    assert_eq!(mail.headers("X-Mms-Previously-sent-date-and-time"), ["0, Mon, 03 Mar 2025 11:06:40 GMT"]);
    assert_eq!(mail.must("From"), "+12025550100/TYPE=PLMN@mms.a.example");
    let second = format!("{U2}@1741003600");
    let more = ["--text", "x", "--previously-sent", &first, "--previously-sent", &second];
    let twice = world.send(U1, &[B1], &more);
    let mail = world.b.mail();
    assert_eq!(mail.must("X-Mms-Forward-Counter"), "2");
    let by = ["0, +12025550120/TYPE=PLMN", "1, +12025550101/TYPE=PLMN"];
    assert_eq!(mail.headers("X-Mms-Previously-sent-by"), by);
    let dates = ["0, Mon, 03 Mar 2025 11:06:40 GMT", "1, Mon, 03 Mar 2025 12:06:40 GMT"];
    assert_eq!(mail.headers("X-Mms-Previously-sent-date-and-time"), dates);
    assert_ne!(once["message_id"], twice["message_id"]);
    // An MM that nobody forwarded says nothing of it.
    hand_in(&world, &[B1], &[]);
    let mail = world.b.mail();
    assert_eq!((mail.header("X-Mms-Forward-Counter"), mail.header("X-Mms-Previously-sent-by")), (None, None));
}

/// O-11, O-12, O-13: three habits of peers.
#[test]
fn o_11_o_12_o_13_peers_that_like_it_otherwise() {
    let b = "profile = { bare_addresses = true, quote_ids = true, version = \"5.5.0\" }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    let mm = world.send(U1, &[B1, C1], &["--text", "x"]);
    let (at_b, at_c) = (world.b.mail(), world.c.mail());
    assert_eq!(at_b.must("From"), "+12025550100/TYPE=PLMN");
    assert_eq!(at_b.must("To"), "+12025550110/TYPE=PLMN, +12025550120/TYPE=PLMN");
    // The envelope and Sender are for machines: they keep their domain.
    assert_eq!(at_b.from, "+12025550100/TYPE=PLMN@mms.a.example");
    assert_eq!(at_b.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    assert_eq!(at_b.must("Sender"), at_b.from);
    let (id, tx) =
        (mm["message_id"].as_str().unwrap(), mm["transactions"][0]["transaction_id"].as_str().unwrap());
    assert_eq!(at_b.must("X-Mms-Message-ID"), format!("\"{id}\""));
    assert_eq!(at_b.must("X-Mms-Transaction-ID"), format!("\"{tx}\""));
    assert_eq!(at_b.must("X-Mms-3GPP-MMS-Version"), "5.5.0");
    // Peer C has no habits.
    assert_eq!(at_c.must("X-Mms-Message-ID"), id);
    assert_eq!(at_c.must("X-Mms-3GPP-MMS-Version"), "6.16.0");
    let to = "+12025550110/TYPE=PLMN@mms.b.example, +12025550120/TYPE=PLMN@mms.c.example";
    assert_eq!(at_c.must("To"), to);
    // The quotation marks come back, and mean the same id.
    let mm_id = mm["id"].as_str().unwrap();
    world.until_state(mm_id, 0, "forwarded");
    respond(&world, &format!("\"{tx}\""), "Ok", &[]);
    assert_eq!(end_of(&world, mm_id, 0), "accepted - Ok");
}

/// O-14: a 4yz after the content is tried again by the schedule, with the same ids.
#[test]
fn o_14_a_451_is_tried_again() {
    let world = World::new();
    refuse_content(&world.b, 5, "451 4.3.0 try later");
    let id = hand_in(&world, &[B1], &[]);
    let first = world.b.heard();
    let mut now = START;
    for (attempt, minutes) in [1, 5, 15, 30, 30].into_iter().enumerate() {
        world.until("put off", |w| (times(w, &id, "deferred") == attempt + 1).then_some(()));
        now += 60 * minutes;
        let due = &mm(&world, &id)["transactions"][0];
        assert_eq!(due["due"], time_text(now), "after attempt {}", attempt + 1);
        assert_eq!(end_of(&world, &id, 0), "queued - -");
        world.advance(&format!("{minutes}m"));
        same_request(&first, &world.b.heard());
    }
    same_request(&first, &world.b.mail());
    world.until_state(&id, 0, "forwarded");
}

/// `2025-03-04T10:15:30Z`, as the relay writes instants.
fn time_text(seconds: i64) -> String {
    mms::Timestamp::from_seconds(seconds).to_string()
}

/// O-15: a 5yz after the content is the end.
#[test]
fn o_15_a_554_is_the_end() {
    let world = World::new();
    refuse_content(&world.b, 1, "554 5.6.0 not wanted");
    let id = hand_in(&world, &[B1, B2], &["--delivery-report"]);
    world.until_state(&id, 1, "failed");
    for place in [0, 1] {
        assert_eq!(end_of(&world, &id, place), "failed peer-refused -");
        let words = mm(&world, &id)["recipients"][place]["text"].as_str().unwrap().to_owned();
        assert!(words.contains("554 5.6.0 not wanted"), "{words}");
    }
    // Nothing is left to try: the next mail at B is that of another MM.
    world.advance("1h");
    hand_in(&world, &[B1], &["--subject", "another"]);
    assert_eq!(world.b.mail().must("Subject"), "another");
    assert_eq!(mm(&world, &id)["closed"], true);
}

/// O-16: the connection ends between the last dot and its reply: nobody knows, so the same again.
#[test]
fn o_16_no_reply_after_the_dot_is_sent_again() {
    let world = World::new();
    refuse_content(&world.b, 1, "");
    let id = hand_in(&world, &[B1], &[]);
    let first = world.b.heard();
    world.until("put off", |w| (times(w, &id, "deferred") == 1).then_some(()));
    world.advance("1m");
    same_request(&first, &world.b.mail());
    world.until_state(&id, 0, "forwarded");
}

/// O-18, O-19: without a response the same request goes out twice more; then it counts as accepted, unconfirmed, and a
/// late response is heard.
#[test]
fn o_18_o_19_without_a_response_it_is_sent_twice_more() {
    let world = World::new();
    let (id, first) = forwarded(&world);
    for resend in 1..=2 {
        world.advance("14m");
        assert_eq!(times(&world, &id, "no-response"), resend - 1, "not before its time");
        world.advance("1m");
        same_request(&first, &world.b.mail());
        world.until("taken again", |w| (times(w, &id, "forwarded") == resend + 1).then_some(()));
    }
    world.advance("15m");
    world.until_state(&id, 0, "unconfirmed");
    assert_eq!(end_of(&world, &id, 0), "unconfirmed - -");
    // Not a third time.
    world.advance("1h");
    hand_in(&world, &[B1], &["--subject", "another"]);
    assert_eq!(world.b.mail().must("Subject"), "another");
    // O-19: late, and said twice; what contradicts it afterwards changes nothing.
    respond(&world, &transaction_id(&first), "Ok", &[]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
    let before = mm(&world, &id);
    respond(&world, &transaction_id(&first), "Ok", &[]);
    respond(&world, &transaction_id(&first), "Error-service-denied", &[]);
    assert_eq!(mm(&world, &id), before);
}

/// O-19: the same "try again", said twice, is one retry.
#[test]
fn o_19_a_network_problem_said_twice_is_one_retry() {
    let world = World::new();
    let (id, first) = forwarded(&world);
    respond(&world, &transaction_id(&first), "Error-network-problem", &[]);
    let before = mm(&world, &id);
    assert_eq!(before["transactions"].as_array().unwrap().len(), 2);
    respond(&world, &transaction_id(&first), "Error-network-problem", &[]);
    assert_eq!(mm(&world, &id), before);
    world.advance("1m");
    let second = world.b.mail();
    world.until_state(&id, 0, "forwarded");
    // Also while the retry awaits its own response.
    let before = mm(&world, &id);
    respond(&world, &transaction_id(&first), "Error-network-problem", &[]);
    respond(&world, &transaction_id(&first), "Error-service-denied", &[]);
    assert_eq!(mm(&world, &id), before);
    respond(&world, &transaction_id(&second), "Ok", &[]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
}

/// O-19: the same response on many connections at once: every one is taken, all but one change nothing.
#[test]
fn o_19_the_same_response_on_many_connections_at_once() {
    let world = World::new();
    for _ in 0..5 {
        let (id, mail) = forwarded(&world);
        let res = response(&transaction_id(&mail), "Ok", &[]);
        let mut clients: Vec<Client> = (0..12).map(|_| world.from_b()).collect();
        for client in &mut clients {
            for (line, code) in [
                (format!("MAIL FROM:<{SYSTEM_B}>"), "250"),
                (format!("RCPT TO:<{SYSTEM_A}>"), "250"),
                ("DATA".to_owned(), "354"),
            ] {
                client.say(&line);
                client.expect(code);
            }
            client.raw(&res);
        }
        for client in &mut clients {
            client.raw(b".\r\n");
        }
        for client in &mut clients {
            client.expect("250");
        }
        assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
        assert_eq!(times(&world, &id, "response"), 1);
    }
}

/// O-20: a response to nothing of ours is taken, and leaves a line in the log.
#[test]
fn o_20_a_response_to_nothing_is_taken_and_noted() {
    let world = World::new();
    let (id, mail) = forwarded(&world);
    let real = transaction_id(&mail);
    // One that looks like ours but for its last characters, and one that does not.
    let guessed = format!("{}0000", &real[..real.len() - 4]);
    for unknown in [guessed.as_str(), "tx-unheard-of"] {
        respond(&world, unknown, "Error-service-denied", &[]);
        assert_eq!(end_of(&world, &id, 0), "forwarded - -");
        let log = world.log();
        let noted =
            log.lines().any(|l| l.contains("WARN") && l.contains(unknown) && l.contains("peer=\"b\""));
        assert!(noted, "{unknown} is in no line of the log");
    }
    assert_eq!(world.all().len(), 1, "nothing is stored for it");
    respond(&world, &real, "Ok", &[]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
}

/// O-17, O-21, O-22, O-23: every status, and the ways to write it. Only a network problem is tried again.
#[test]
fn o_17_o_21_o_22_o_23_what_each_status_means() {
    let world = World::new();
    let answered = |status: &str| {
        let (id, mail) = forwarded(&world);
        respond(&world, &transaction_id(&mail), status, &["X-Mms-Status-Text: so it is"]);
        (end_of(&world, &id, 0), id)
    };
    for (said, meant) in [
        ("Ok", "accepted - Ok"),
        ("OK", "accepted - Ok"),
        ("0", "accepted - Ok"),
        ("Error-unspecified", "failed response-error Error-unspecified"),
        ("Error-service-denied", "failed response-error Error-service-denied"),
        ("Service-denied", "failed response-error Error-service-denied"),
        ("Error-message-format-corrupt", "failed response-error Error-message-format-corrupt"),
        ("Error-sending-address-unresolved", "failed response-error Error-sending-address-unresolved"),
        ("Error-message-not-found", "failed response-error Error-message-not-found"),
        ("Error-content-not-accepted", "failed response-error Error-content-not-accepted"),
        ("Error-unsupported-message", "failed response-error Error-unsupported-message"),
        ("Error-weird", "failed response-error Error-unspecified"),
    ] {
        let (end, id) = answered(said);
        assert_eq!(end, meant, "{said}");
        let now = mm(&world, &id);
        assert_eq!(now["recipients"][0]["text"], "so it is", "{said}");
        assert_eq!(now["transactions"].as_array().unwrap().len(), 1, "{said} is not tried again");
        assert_eq!(now["closed"], true);
    }
}

/// O-21: a network problem is tried again three times, each time as a new transaction for the same MM.
#[test]
fn o_21_a_network_problem_is_tried_three_times_more() {
    let world = World::new();
    let (id, mut mail) = forwarded(&world);
    let mut seen = vec![transaction_id(&mail)];
    for minutes in ["1m", "5m", "15m"] {
        respond(&world, &transaction_id(&mail), "Error-network-problem", &[]);
        assert!(end_of(&world, &id, 0).starts_with("queued"));
        world.advance(minutes);
        let again = world.b.mail();
        assert_eq!(again.must("X-Mms-Message-ID"), mail.must("X-Mms-Message-ID"));
        assert_eq!(again.body(), mail.body());
        assert!(!seen.contains(&transaction_id(&again)));
        seen.push(transaction_id(&again));
        world.until_state(&id, 0, "forwarded");
        mail = again;
    }
    respond(&world, &transaction_id(&mail), "Error-network-problem", &[]);
    assert_eq!(end_of(&world, &id, 0), "failed response-error Error-network-problem");
}

/// O-24: a response with hardly a header is still known by its transaction.
#[test]
fn o_24_a_meagre_response_is_understood() {
    let world = World::new();
    let (id, mail) = forwarded(&world);
    let meagre = format!(
        "From: PostMaster\r\nx-mms-3gpp-mms-version: 5.5.0\r\nX-Mms-message-Type: mm4_Forward.res\r\n\
         X-Mms-Transaction-Id: \"{}\"\r\nX-Mms-Message-Id: \"their-own\"\r\nX-Mms-Message-Class: Personal\r\n\
         Subject: MM4_forward.RES\r\nX-Mms-Request-Status-Code: Ok\r\n\r\n",
        transaction_id(&mail)
    );
    let reply = world.from_b().mail("PostMaster", &[SYSTEM_A], meagre.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
}

/// O-25, O-26: from any address of the peer; not from another peer.
#[test]
fn o_25_o_26_a_response_counts_from_its_peer_only() {
    let world = World::new();
    let (id, mail) = forwarded(&world);
    let res = response(&transaction_id(&mail), "Error-service-denied", &[]);
    let reply = world.from_c().mail("system-user@mms.c.example", &[SYSTEM_A], &res);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(end_of(&world, &id, 0), "forwarded - -");
    let log = world.log();
    assert!(
        log.lines()
            .any(|l| l.contains("WARN") && l.contains(&transaction_id(&mail)) && l.contains("peer=\"c\""))
    );
    let mut second = Client::greeted("127.0.0.22".parse().unwrap(), world.address);
    let res = response(&transaction_id(&mail), "Ok", &[]);
    assert!(second.mail(SYSTEM_B, &[SYSTEM_A], &res).starts_with("250"));
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
}

/// O-27: a response is never answered, whatever it asks for.
#[test]
fn o_27_a_response_is_not_answered() {
    let world = World::new();
    let (id, mail) = forwarded(&world);
    let more = ["X-Mms-Ack-Request: Yes", "X-Mms-Originator-System: system-user@mms.b.example"];
    respond(&world, &transaction_id(&mail), "Ok", &more);
    respond(&world, "tx-unheard-of", "Ok", &more);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
    // A request is answered: what comes next at B is its response.
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    assert_eq!(world.b.mail().must("X-Mms-Transaction-ID"), "tx-1");
    let owed: usize = world.all().iter().map(|mm| mm["responses"].as_array().unwrap().len()).sum();
    assert_eq!(owed, 1);
}

/// O-28: after a day of trying it fails, and leaves the queue.
#[test]
fn o_28_after_the_queue_time_it_fails() {
    let world = World::new();
    refuse_content(&world.b, usize::MAX, "451 4.3.0 later");
    let id = hand_in(&world, &[B1], &["--delivery-report"]);
    world.b.heard();
    world.until("put off", |w| (times(w, &id, "deferred") == 1).then_some(()));
    world.advance("23h");
    world.b.heard();
    world.until("put off", |w| (times(w, &id, "deferred") == 2).then_some(()));
    assert_eq!(end_of(&world, &id, 0), "queued - -");
    world.b.behave();
    world.advance("1h");
    world.until_state(&id, 0, "failed");
    assert_eq!(end_of(&world, &id, 0), "failed gave-up -");
    hand_in(&world, &[B1], &["--subject", "another"]);
    assert_eq!(world.b.mail().must("Subject"), "another", "nothing is sent after the end");
    assert_eq!(world.json(&["queue"]).len(), 1, "only the other one is open");
    assert_eq!(times(&world, &id, "forwarded"), 0);
}

/// O-29: what expires while it waits is not sent, though the peer is well again at that moment.
#[test]
fn o_29_what_expires_in_the_queue_is_not_sent() {
    let world = World::new();
    refuse_content(&world.b, 20, "451 4.3.0 later");
    // Many, so that one that slips through the moment of its expiry is seen.
    let ids: Vec<String> = (0..20).map(|_| hand_in(&world, &[B1], &["--expiry", "600s"])).collect();
    for id in &ids {
        world.b.heard();
        world.until("put off", |w| (times(w, id, "deferred") == 1).then_some(()));
    }
    world.advance("1h");
    for id in &ids {
        world.until_state(id, 0, "expired");
        assert_eq!(end_of(&world, id, 0), "expired expired -");
    }
    hand_in(&world, &[B1], &["--subject", "another"]);
    assert_eq!(world.b.mail().must("Subject"), "another");
    assert!(ids.iter().all(|id| times(&world, id, "forwarded") == 0));
}

/// O-30: a hidden sender is hidden from the envelope; `From` tells the peer, unless the peer must not know either.
#[test]
fn o_30_a_hidden_sender() {
    let anonymous = "profile = { anonymise_hidden = true }".to_owned();
    let world = World::with(Setup { c: anonymous, ..Setup::default() });
    hand_in(&world, &[B1, C1], &["--hide"]);
    let (at_b, at_c) = (world.b.mail(), world.c.mail());
    for mail in [&at_b, &at_c] {
        assert_eq!(mail.from, SYSTEM_A);
        assert_eq!(mail.must("Sender"), SYSTEM_A);
        assert_eq!(mail.must("X-Mms-Sender-Visibility"), "Hide");
    }
    assert_eq!(at_b.must("From"), "+12025550100/TYPE=PLMN@mms.a.example");
    assert_eq!(at_c.must("From"), "anonymous@mms.a.example");
    assert!(!at_c.content.contains("2025550100"), "the number is nowhere:\n{}", at_c.content);
}

/// O-31: a machine's message asks for no reports.
#[test]
fn o_31_class_auto_asks_for_no_reports() {
    let world = World::new();
    let asked = ["--delivery-report", "--read-reply"];
    hand_in(&world, &[B1], &[&["--class", "auto"], &asked[..]].concat());
    let mail = world.b.mail();
    assert_eq!(mail.must("X-Mms-Message-Class"), "Auto");
    let reports = ["X-Mms-Delivery-Report", "X-Mms-Originator-R/S-Delivery-Report", "X-Mms-Read-Reply"];
    assert_eq!(reports.map(|name| mail.must(name)), ["No", "No", "No"]);
    hand_in(&world, &[B1], &asked);
    let mail = world.b.mail();
    assert_eq!(reports.map(|name| mail.must(name)), ["Yes", "No", "Yes"]);
}

/// O-32: a peer that knows only HELO gets 7-bit mail, one command at a time, without parameters.
#[test]
fn o_32_a_peer_that_knows_only_helo() {
    let world = World::new();
    world.b.extensions(&[]);
    let said = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&said);
    world.b.answer(move |line| {
        notes.lock().unwrap().push(line.to_owned());
        None
    });
    let id = hand_in(&world, &[B1, B2], &["--text", "Grüße", "--subject", "Schöne Grüße"]);
    let mail = world.b.mail();
    world.until_state(&id, 1, "forwarded");
    assert!(mail.content.is_ascii(), "{}", mail.content);
    let expected = [
        "connect",
        "EHLO mms.a.example",
        "HELO mms.a.example",
        "MAIL FROM:<+12025550100/TYPE=PLMN@mms.a.example>",
        "RCPT TO:<+12025550110/TYPE=PLMN@mms.b.example>",
        "RCPT TO:<+12025550111/TYPE=PLMN@mms.b.example>",
        "DATA",
        ".",
    ];
    assert_eq!(said.lock().unwrap()[..], expected);
    let parsed = mail_parser::MessageParser::default().parse(mail.content.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some("Schöne Grüße"));
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Grüße");
}

/// O-33: greylisting: the first RCPT is put off, the next one is welcome.
#[test]
fn o_33_a_greylisted_recipient_is_tried_again() {
    let world = World::new();
    let mut seen = 0;
    world.b.answer(move |line| {
        seen += usize::from(line.starts_with("RCPT"));
        (line.starts_with("RCPT") && seen == 1).then(|| "450 4.2.0 greylisted".to_owned())
    });
    let id = hand_in(&world, &[B1], &[]);
    world.until("put off", |w| (times(w, &id, "deferred") == 1).then_some(()));
    assert_eq!(end_of(&world, &id, 0), "queued - -");
    world.advance("1m");
    assert_eq!(world.b.mail().to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    world.until_state(&id, 0, "forwarded");
}

/// O-34: the first host is dead, the second turns us away at the greeting, the third takes it.
#[test]
fn o_34_the_next_host_is_used_when_one_is_dead() {
    let dead = std::net::TcpListener::bind("127.0.0.5:0").unwrap().local_addr().unwrap();
    let busy = Peer::new("busy", std::net::Ipv4Addr::new(127, 0, 0, 6));
    busy.answer(|line| (line == "connect").then(|| "421 4.3.2 not now".to_owned()));
    let b_hosts = vec![dead.to_string(), busy.address.to_string()];
    let world = World::with(Setup { b_hosts, ..Setup::default() });
    let (id, _) = forwarded(&world);
    assert_eq!(busy.connections(), 1);
    assert_eq!(times(&world, &id, "deferred"), 0, "no time was lost");
}

/// O-35: a peer that never responds is not asked to, and nothing is sent again.
#[test]
fn o_35_a_peer_that_never_responds_is_not_waited_for() {
    let b = "profile = { expects_response = false }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    let (id, mail) = forwarded(&world);
    assert_eq!(mail.must("X-Mms-Ack-Request"), "No");
    world.advance("1h");
    hand_in(&world, &[B1], &["--subject", "another"]);
    assert_eq!(world.b.mail().must("Subject"), "another");
    assert_eq!(times(&world, &id, "no-response"), 0);
    assert_eq!(end_of(&world, &id, 0), "forwarded - -");
}

/// L-03: the peer may answer for each recipient, or for all at once, or for some and then fall silent.
#[test]
fn l_03_individual_and_collective_responses() {
    let world = World::new();
    let begin = || {
        let id = hand_in(&world, &[B1, B2], &[]);
        let mail = world.b.mail();
        assert_eq!(mail.to.len(), 2);
        world.until_state(&id, 1, "forwarded");
        (id, mail)
    };
    let named = |number: &str| format!("X-Mms-Request-Recipients: {number}/TYPE=PLMN@mms.b.example");

    let (id, mail) = begin();
    respond(&world, &transaction_id(&mail), "Ok", &[&named(B1)]);
    assert_eq!(end_of(&world, &id, 1), "forwarded - -", "nothing was said about B2");
    respond(&world, &transaction_id(&mail), "Error-service-denied", &[&named(B2)]);
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
    assert_eq!(end_of(&world, &id, 1), "failed response-error Error-service-denied");

    let (id, mail) = begin();
    respond(&world, &transaction_id(&mail), "Error-content-not-accepted", &[]);
    for place in [0, 1] {
        assert_eq!(end_of(&world, &id, place), "failed response-error Error-content-not-accepted");
    }

    let (id, mail) = begin();
    respond(&world, &transaction_id(&mail), "Ok", &[&named(B1)]);
    for _ in 0..2 {
        world.advance("15m");
        let again = world.b.mail();
        assert_eq!(again.to, ["+12025550111/TYPE=PLMN@mms.b.example"], "only who is still awaited");
        assert_eq!(transaction_id(&again), transaction_id(&mail));
        assert_eq!(again.must("X-Mms-Message-ID"), mail.must("X-Mms-Message-ID"));
        world.until_state(&id, 1, "forwarded");
        world.until("awaited again", |w| {
            (mm(w, &id)["transactions"][0]["state"] == "awaiting-response").then_some(())
        });
    }
    world.advance("15m");
    world.until_state(&id, 1, "unconfirmed");
    assert_eq!(end_of(&world, &id, 0), "accepted - Ok");
}

/// A peer's own size limit: what is larger fails here and is not carried.
#[test]
fn an_mm_over_the_peers_limit_is_not_carried() {
    let b = "profile = { size_max = \"4KiB\" }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    let large = world.send(U1, &[B1], &["--text", &"x".repeat(8000)]);
    let failed = world.until_state(large["id"].as_str().unwrap(), 0, "failed");
    assert!(failed["text"].as_str().unwrap().contains("at most 4096 octets"), "{failed}");
    world.send(U1, &[B1], &["--text", "small", "--subject", "small"]);
    assert_eq!(world.b.mail().must("Subject"), "small", "nothing else was carried");
}
