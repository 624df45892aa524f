//! Reports that we make: what a local recipient does with an MM, told to the originator's Relay/Server.

use crate::receiving::id_of;
use crate::world::*;
use serde_json::Value;

/// Bring a request to U1; its id here.
fn brought(world: &World, fwd: &Fwd, to: &[&str]) -> String {
    let reply = world.from_b().forward(fwd, to);
    id_of(&reply)
}

fn act(world: &World, args: &[&str]) {
    let mut all = vec!["mailbox"];
    all.extend(args);
    let output = world.cli(&all);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Nothing more comes about this MM: everything that was owed is settled.
fn settled(world: &World, id: &str) -> Value {
    world.until("all reports are settled", |world| {
        let mm = world.trace(id).remove(0);
        let reports = mm["reports"].as_array().unwrap();
        let responses = mm["responses"].as_array().unwrap();
        let done =
            reports.iter().all(|r| r["state"] == "settled") && responses.iter().all(|r| r["owed"] == false);
        done.then(|| mm.clone())
    })
}

/// D-01: the delivery report of an MM that was fetched, field by field.
#[test]
fn d_01_retrieved() {
    let world = World::new();
    let id = brought(&world, &Fwd::new(), &[U1]);
    world.advance("90s");
    act(&world, &["get", &id, "--raw"]);
    let report = world.b.report();
    assert_eq!(report.from, "system-user@mms.a.example");
    assert_eq!(report.to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    for (field, value) in [
        ("X-Mms-Message-Type", "MM4_delivery_report.REQ"),
        ("X-Mms-3GPP-MMS-Version", "6.16.0"),
        ("X-Mms-Message-ID", "mm-1"),
        ("X-Mms-MM-Status-Code", "Retrieved"),
        ("X-Mms-Forward-To-Originator-UA", "Yes"),
        ("X-Mms-Ack-Request", "No"),
        ("From", "+12025550100/TYPE=PLMN@mms.a.example"),
        ("To", "+12025550110/TYPE=PLMN@mms.b.example"),
        ("Sender", "system-user@mms.a.example"),
        ("Date", "Tue, 04 Mar 2025 10:17:00 +0000"),
    ] {
        assert_eq!(report.must(field), value, "{field}");
    }
    assert_ne!(report.must("X-Mms-Transaction-ID"), "tx-1");
    // D-02, D-04: fetched again, it is not reported again.
    act(&world, &["get", &id, "--raw"]);
    assert_eq!(settled(&world, &id)["reports"].as_array().unwrap().len(), 1);
}

/// D-03: rejected by the recipient; it leaves the mailbox.
#[test]
fn d_03_rejected() {
    let world = World::new();
    let id = brought(&world, &Fwd::new(), &[U1]);
    act(&world, &["reject", &id]);
    let report = world.b.report();
    assert_eq!(report.must("X-Mms-MM-Status-Code"), "Rejected");
    assert_eq!(report.must("X-Mms-MM-Status-Extension"), "Rejection-by-MMS-recipient");
    assert!(world.mailbox(U1).is_empty());
    assert!(!world.cli(&["mailbox", "get", &id, "--raw"]).status.success());
}

/// D-02, D-04: deferred once, then retrieved; never after a final one.
#[test]
fn d_04_deferred_before_a_final_one() {
    let world = World::new();
    let id = brought(&world, &Fwd::new(), &[U1]);
    act(&world, &["defer", &id]);
    act(&world, &["defer", &id]);
    act(&world, &["get", &id, "--raw"]);
    act(&world, &["defer", &id]);
    act(&world, &["reject", &id]);
    let mm = settled(&world, &id);
    let said: Vec<&str> =
        mm["reports"].as_array().unwrap().iter().map(|r| r["status"].as_str().unwrap()).collect();
    assert_eq!(said, ["Deferred", "Retrieved"]);
    let mut came: Vec<String> = world.b.reports().iter().map(|r| r.must("X-Mms-MM-Status-Code")).collect();
    came.sort();
    assert_eq!(came, ["Deferred", "Retrieved"]);
}

/// D-05: expired in the mailbox, reported once.
#[test]
fn d_05_expired() {
    let world = World::new();
    let id = brought(&world, &Fwd::new().set("X-Mms-Expiry", "3600"), &[U1]);
    world.advance("1h");
    let report = world.b.report();
    assert_eq!(report.must("X-Mms-MM-Status-Code"), "Expired");
    assert_eq!(report.must("Date"), "Tue, 04 Mar 2025 11:15:30 +0000");
    world.advance("2d");
    assert_eq!(settled(&world, &id)["reports"].as_array().unwrap().len(), 1);
}

/// D-06 to D-09: who asked, what the recipient allows, and who may see it (annex M).
#[test]
fn d_06_d_07_d_08_d_09_who_asked_and_who_may_know() {
    let world = World::new();
    let cases = [
        ("No", "No", true, None),
        ("No", "Yes", true, Some("No")),
        ("Yes", "No", false, None),
        ("Yes", "Yes", false, Some("No")),
        ("Yes", "Yes", true, Some("Yes")),
    ];
    for (i, (user, relay, allowed, expected)) in cases.into_iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}"))
            .set("X-Mms-Delivery-Report", user)
            .set("X-Mms-Originator-R/S-Delivery-Report", relay);
        let id = brought(&world, &fwd, &[U1]);
        let mut args = vec!["get", id.as_str(), "--raw"];
        args.extend((!allowed).then_some("--no-report"));
        act(&world, &args);
        settled(&world, &id);
        let came = world.b.reports();
        let seen: Vec<String> = came.iter().map(|r| r.must("X-Mms-Forward-To-Originator-UA")).collect();
        assert_eq!(seen, expected.into_iter().collect::<Vec<_>>(), "case {i}");
    }
}

/// D-10: one report for each recipient.
#[test]
fn d_10_one_report_each() {
    let world = World::new();
    let id = brought(&world, &Fwd::new().set("To", &[at_a(U1), at_a(U2)].join(", ")), &[U1, U2]);
    act(&world, &["get", &id, "--raw", "--recipient", U1]);
    assert_eq!(world.b.report().must("From"), at_a(U1));
    act(&world, &["get", &id, "--raw", "--recipient", U2]);
    assert_eq!(world.b.report().must("From"), at_a(U2));
}

/// D-11: a response is asked for where the profile says so; without one the report goes again, at most twice.
#[test]
fn d_11_acknowledged_reports() {
    let b = "profile = { acknowledged_reports = true }".to_owned();
    let world = World::with(Setup { b, ..Setup::default() });
    let id = brought(&world, &Fwd::new(), &[U1]);
    act(&world, &["get", &id, "--raw"]);
    let first = world.b.report();
    assert_eq!(first.must("X-Mms-Ack-Request"), "Yes");
    let awaiting = |world: &World| {
        let mm = world.trace(&id).remove(0);
        (mm["reports"][0]["state"] == "awaiting-response").then_some(())
    };
    world.until("the response is awaited", awaiting);
    world.advance("15m");
    let again = world.b.report();
    assert_eq!(again.must("X-Mms-Transaction-ID"), first.must("X-Mms-Transaction-ID"));
    assert_ne!(again.must("Message-ID"), first.must("Message-ID"));
    world.until("the response is awaited", awaiting);
    // A response from another peer is nobody's; B's own settles it.
    let res = String::from_utf8(response(&first.must("X-Mms-Transaction-ID"), "Ok", &[])).unwrap();
    let res = res.replace("MM4_forward.RES", "MM4_delivery_report.RES").into_bytes();
    world.from_c().mail("system-user@mms.c.example", &["system-user@mms.a.example"], &res);
    assert!(awaiting(&world).is_some());
    world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    settled(&world, &id);
    world.advance("2h");
    assert!(world.b.reports().is_empty());
}

/// D-15: application ids change sides.
#[test]
fn d_15_application_ids() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("X-Mms-Applic-ID", "game")
        .set("X-Mms-Reply-Applic-ID", "score")
        .set("X-Mms-Aux-Applic-Info", "level 3");
    let id = brought(&world, &fwd, &[U1]);
    act(&world, &["get", &id, "--raw"]);
    let report = world.b.report();
    assert_eq!(report.must("X-Mms-Applic-ID"), "score");
    assert_eq!(report.must("X-Mms-Reply-Applic-ID"), "game");
    assert_eq!(report.must("X-Mms-Aux-Applic-Info"), "level 3");
}

/// D-26: a report about a hidden sender's MM goes to the real sender, and only to the Relay/Server it came from.
#[test]
fn d_26_a_hidden_sender() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("X-Mms-Sender-Visibility", "Hide")
        .set("Sender", "system-user@mms.c.example")
        .set("X-Mms-Originator-System", "system-user@mms.c.example");
    let id = brought(&world, &fwd, &[U1]);
    act(&world, &["get", &id, "--raw"]);
    assert_eq!(world.b.report().to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    assert!(world.c.reports().is_empty());
}

/// read, deleted unread, and only if asked for.
#[test]
fn r_01_r_02_r_03_read_and_deleted() {
    let world = World::new();
    let asked = |i: &str| Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("X-Mms-Read-Reply", "Yes");
    let id = brought(&world, &asked("1").without("X-Mms-Delivery-Report"), &[U1]);
    act(&world, &["read", &id]);
    let report = world.b.report();
    for (field, value) in [
        ("X-Mms-Message-Type", "MM4_read_reply_report.REQ"),
        ("X-Mms-Message-ID", "mm-1"),
        ("X-Mms-Read-Status", "Read"),
        ("From", "+12025550100/TYPE=PLMN@mms.a.example"),
        ("To", "+12025550110/TYPE=PLMN@mms.b.example"),
        ("Sender", "system-user@mms.a.example"),
    ] {
        assert_eq!(report.must(field), value, "{field}");
    }
    assert_eq!(report.header("X-Mms-Forward-To-Originator-UA"), None);
    let id = brought(&world, &asked("2").without("X-Mms-Delivery-Report"), &[U1]);
    act(&world, &["delete", &id]);
    assert_eq!(world.b.report().must("X-Mms-Read-Status"), "Deleted without being read");
    let id = brought(&world, &Fwd::ids("mm-3", "tx-3").without("X-Mms-Delivery-Report"), &[U1]);
    act(&world, &["read", &id]);
    assert_eq!(settled(&world, &id)["reports"], serde_json::json!([]));
}
