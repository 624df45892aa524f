//! Duplicates: whatever is sent again is delivered once and answered as the first time (cases I-01 to I-07).

use crate::receiving::{id_of, responses};
use crate::world::*;
use serde_json::Value;

fn ledger(world: &World, reply: &str) -> Value {
    world.trace(&id_of(reply)).remove(0)
}

fn state(mm: &Value) -> &str {
    mm["recipients"][0]["state"].as_str().unwrap()
}

/// I-01: the same request again, under another Message-ID of the mail.
#[test]
fn i_01_the_same_request_again() {
    let world = World::new();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    let first = world.b.mail();
    let again = Fwd::new().set("Message-ID", "<std11-2@mms.b.example>");
    let reply = world.from_b().forward(&again, &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    let second = world.b.mail();
    for field in ["X-Mms-Transaction-ID", "X-Mms-Message-ID", "X-Mms-Request-Status-Code", "To"] {
        assert_eq!(first.must(field), second.must(field));
    }
    assert_ne!(first.must("Message-ID"), second.must("Message-ID"), "each mail has its own");
    assert_eq!(world.mailbox(U1).len(), 1);
    // Also when the first has been fetched meanwhile.
    assert!(world.cli(&["mailbox", "get", "mm-1", "--raw"]).status.success());
    let reply = world.from_b().forward(&again, &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
    let mailbox = world.mailbox(U1);
    assert!(mailbox.iter().all(|mm| mm["state"] != "stored"), "{mailbox:?}");
}

/// I-01: recognised over a restart as well.
#[test]
fn i_01_the_same_request_after_a_restart() {
    let mut world = World::new();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    world.restart();
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// I-02: what was refused is refused again in the same words, even if it would now be accepted.
#[test]
fn i_02_a_refusal_is_repeated() {
    let barred = format!("barred = [\"{U1}\"]");
    let mut world = World::with(Setup { local: barred, ..Setup::default() });
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    let first = world.b.mail();
    assert_eq!(first.must("X-Mms-Request-Status-Code"), "Error-service-denied");
    world.until("the response is off the books", |world| {
        world.all().iter().all(|mm| mm["responses"][0]["owed"] == false).then_some(())
    });
    world.setup().local.clear();
    world.restart();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    let second = world.b.mail();
    for field in ["X-Mms-Request-Status-Code", "X-Mms-Status-Text", "X-Mms-Transaction-ID"] {
        assert_eq!(first.must(field), second.must(field));
    }
    assert!(world.mailbox(U1).is_empty());
}

/// I-03: ids belong to the peer that chose them.
#[test]
fn i_03_the_same_id_from_another_peer() {
    let world = World::new();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    let reply = world.from_c().forward(&Fwd::new(), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "stored");
    assert_eq!(world.mailbox(U1).len(), 2);
    assert_eq!(world.b.mail().to, ["system-user@mms.b.example"]);
    // Its Originator-System is B's, so the answer goes to C's own address, at C.
    assert_eq!(world.c.mail().to, ["system-user@mms.c.example"]);
}

/// I-04: a peer that reuses an id for another MM: delivered, and noted.
#[test]
fn i_04_the_same_id_for_another_mm() {
    let world = World::new();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    let body = b"--b1\r\nContent-Type: text/plain\r\n\r\nsomething else\r\n--b1--\r\n";
    let other = Fwd::new().set("Date", "Tue, 04 Mar 2025 10:15:31 +0000").body(body);
    let reply = world.from_b().forward(&other, &[U1]);
    let mm = ledger(&world, &reply);
    assert_eq!(state(&mm), "stored");
    let note = mm["history"].as_array().unwrap().iter().find(|m| m["what"] == "ignored").expect("a note");
    assert!(note["text"].as_str().unwrap().contains("other content"), "{note}");
    assert!(world.log().contains("other content"));
    let texts: Vec<Value> = world.mailbox(U1).iter().map(|mm| mm["parts"][0]["text"].clone()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.contains(&"hello".into()) && texts.contains(&"something else".into()));
    // The later one is what is remembered now; with one of the two the same, it is a repeat.
    let reply = world.from_b().forward(&other, &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    let reply = world.from_b().forward(&Fwd::new().body(body), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate", "another Date alone is a repeat");
    // Bytes that changed on the way (a boundary, a footer) under the same Date are no other MM either.
    let reply = world.from_b().forward(&other.body(b"--b1\r\n\r\nchanged\r\n--b1--\r\n"), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate", "other content alone is a repeat");
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// I-05: a transaction id says nothing about the MM.
#[test]
fn i_05_the_same_transaction_id() {
    let world = World::new();
    for id in ["mm-1", "mm-2"] {
        let reply = world.from_b().forward(&Fwd::ids(id, "tx-1"), &[U1]);
        assert_eq!(state(&ledger(&world, &reply)), "stored", "{id}");
    }
    let mut answered: Vec<String> = (0..2).map(|_| world.b.mail().must("X-Mms-Message-ID")).collect();
    answered.sort();
    assert_eq!(answered, ["mm-1", "mm-2"]);
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// I-06: two copies at the same moment on two connections.
#[test]
fn i_06_two_copies_at_once() {
    let world = World::new();
    for round in 0..10 {
        let id = format!("mm-{round}");
        let fwds = ["x", "y"].map(|tx| Fwd::ids(&id, &format!("tx-{round}-{tx}")));
        let mut clients: Vec<Client> = (0..2).map(|_| world.from_b()).collect();
        // All but the final dots first, so that the ends come together.
        for (client, fwd) in clients.iter_mut().zip(&fwds) {
            for line in ["MAIL FROM:<>".to_owned(), format!("RCPT TO:<{}>", at_a(U1))] {
                assert!(client.ask(&line).starts_with("250"));
            }
            client.say("DATA");
            client.expect("354");
            client.raw(&fwd.mail());
        }
        for client in &mut clients {
            client.raw(b".\r\n");
        }
        let mut states: Vec<String> =
            clients.iter_mut().map(|client| state(&ledger(&world, &client.reply())).to_owned()).collect();
        states.sort();
        assert_eq!(states, ["duplicate", "stored"], "round {round}");
        let told = responses(&world, 2);
        assert_eq!(told.len(), 2);
        assert!(told.values().all(|status| status == "Ok"), "{told:?}");
        assert_eq!(world.mailbox(U1).len(), round + 1);
    }
}

/// I-07: long after, it is a new MM. Until then, and as long as the MM lives, it is a repeat.
#[test]
fn i_07_the_window_has_passed() {
    let limits = "duplicates_kept = \"1h\"\nexpiry_default = \"30m\"\n".into();
    let world = World::with(Setup { limits, ..Setup::default() });
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    world.advance("59m");
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    world.advance("2m");
    let reply = world.from_b().forward(
        &Fwd::new().set("X-Mms-Expiry", "7200").set("Date", "Tue, 04 Mar 2025 11:16:30 +0000"),
        &[U1],
    );
    assert_eq!(state(&ledger(&world, &reply)), "stored");
    assert_eq!(world.mailbox(U1).len(), 1, "the first one expired long ago");
    // This one lives two hours: a repeat after ninety minutes is still one.
    world.advance("90m");
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    assert_eq!(state(&ledger(&world, &reply)), "duplicate");
    assert_eq!(responses(&world, 4).len(), 1);
}
