//! What becomes of an application's MMs: states, and the reports that it may know of (cases D-13, D-14, D-21).

use crate::site::*;
use crate::world::*;
use serde_json::{Value, json};

/// A report of B's about an MM, from B1 to U1.
fn report(kind: &str, message_id: &str) -> Fwd {
    let lines = [
        "Date: Tue, 04 Mar 2025 10:17:01 +0000".to_owned(),
        format!("From: {B1}/TYPE=PLMN@mms.b.example"),
        "Sender: system-user@mms.b.example".into(),
        format!("To: {U1}/TYPE=PLMN@mms.a.example"),
        "Message-ID: <d-1@mms.b.example>".into(),
        "X-Mms-3GPP-MMS-Version: 6.3.0".into(),
        format!("X-Mms-Message-Type: MM4_{kind}_report.REQ"),
        "X-Mms-Transaction-ID: dr-1".into(),
        format!("X-Mms-Message-ID: {message_id}"),
        "X-Mms-Ack-Request: Yes".into(),
    ];
    Fwd { lines: lines.to_vec(), body: Vec::new() }
}

fn bring(site: &Site, mail: &[u8]) {
    let reply = site.world.from_b().mail("system-user@mms.b.example", &[&at_a(U1)], mail);
    assert!(reply.starts_with("250"), "{reply}");
}

/// An MM to B1 that B has accepted; our id and its Message-ID. The two states were told.
fn accepted(site: &Site, more: &Value) -> (String, String) {
    let mut message = json!({ "from": U1, "to": [B1], "text": "x" });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = site.taken(&message);
    let request = site.world.b.mail();
    site.until_state(&id, 0, "forwarded");
    let res = response(&request.must("X-Mms-Transaction-ID"), "Ok", &[]);
    site.world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    let told: Vec<Value> = (0..2).map(|_| site.shop.event().json()).collect();
    let mut states: Vec<&str> = told.iter().map(|e| e["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["accepted", "forwarded"]);
    for event in &told {
        assert_eq!((&event["event"], &event["recipient"]), (&json!("message.status"), &json!(B1)));
        assert_eq!(event["message"]["id"], id);
    }
    (id, request.must("X-Mms-Message-ID"))
}

/// A delivery report comes; what the application is told of it, and what it sees when it asks.
fn delivery(asked: bool, forward: Option<&str>) -> (Option<Value>, Value) {
    let site = Site::new();
    let (id, message_id) = accepted(&site, &json!({ "delivery_report": asked }));
    let mut mail = report("delivery", &message_id).set("X-Mms-MM-Status-Code", "Retrieved");
    if let Some(forward) = forward {
        mail = mail.set("X-Mms-Forward-To-Originator-UA", forward);
    }
    bring(&site, &mail.mail());
    assert_eq!(site.world.b.mail().must("X-Mms-Request-Status-Code"), "Ok", "B is answered in any case");
    // The operator sees it in any case.
    let trace = site.world.trace(&id).remove(0);
    assert_eq!(trace["recipients"][0]["delivery_report"], "Retrieved");
    // Whatever was to be told is told before something later is.
    site.taken(&json!({ "from": U1, "to": [U2], "text": "later" }));
    let next = site.shop.event().json();
    let told = (next["event"] != "message.status").then_some(next);
    let message = site.message(&id);
    if told.is_none() {
        assert!(!message.to_string().contains("Retrieved"), "{message}");
    }
    (told, message["recipients"][0]["delivery_report"].clone())
}

#[test]
fn d_13_a_report_that_the_user_did_not_ask_for_is_not_told() {
    assert_eq!(delivery(false, Some("Yes")), (None, Value::Null));
}

#[test]
fn d_14_a_report_that_is_not_for_the_user_is_not_told() {
    assert_eq!(delivery(true, Some("No")), (None, Value::Null));
}

#[test]
fn d_21_a_report_that_does_not_say_for_whom_is_told() {
    let (told, shown) = delivery(true, None);
    let told = told.expect("the application is told");
    assert_eq!((&told["event"], &told["status"]), (&json!("message.delivery_report"), &json!("Retrieved")));
    assert_eq!(told["recipient"], B1);
    assert_eq!(shown, "Retrieved");
    assert_eq!(delivery(true, Some("Yes")).1, "Retrieved");
}

#[test]
fn a_read_reply_report_is_told() {
    let site = Site::new();
    let (id, message_id) = accepted(&site, &json!({ "read_reply": true }));
    bring(&site, &report("read_reply", &message_id).set("X-Mms-Read-Status", "Read").mail());
    let told = site.shop.event().json();
    assert_eq!((&told["event"], &told["status"]), (&json!("message.read_reply_report"), &json!("Read")));
    assert_eq!(site.message(&id)["recipients"][0]["read_reply_report"], "Read");
}

#[test]
fn a_failure_is_told_with_its_reason() {
    let site = Site::new();
    let id = site.taken(&json!({ "from": U1, "to": ["+447700900123", B1], "text": "x" }));
    // Events about different recipients travel side by side and may overtake each other.
    let first = [site.shop.event().json(), site.shop.event().json()];
    let about = |number: &str| first.iter().find(|told| told["recipient"] == number).unwrap();
    let told = about("+447700900123");
    assert_eq!((&told["state"], &told["reason"]), (&json!("failed"), &json!("no-route")));
    assert_eq!(about(B1)["state"], "forwarded");
    let request = site.world.b.mail();
    let res = response(
        &request.must("X-Mms-Transaction-ID"),
        "Error-service-denied",
        &["X-Mms-Status-Text: not today"],
    );
    site.until_state(&id, 1, "forwarded");
    site.world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    let told = site.shop.event().json();
    assert_eq!((&told["state"], &told["reason"]), (&json!("failed"), &json!("response-error")));
    assert!(told["text"].as_str().unwrap().contains("not today"), "{told}");
}

/// From one application of ours to another: the one hears of it by report, once the other has taken it.
#[test]
fn between_applications_of_ours() {
    let site = Site::new();
    let id = site.taken(&json!({ "from": U1, "to": ["4455"], "text": "x", "delivery_report": true }));
    let mut kinds: Vec<String> = (0..3).map(|_| site.shop.event().kind()).collect();
    kinds.sort();
    assert_eq!(kinds, ["message.delivery_report", "message.received", "message.status"]);
    let recipient = site.message(&id)["recipients"][0].clone();
    assert_eq!((&recipient["state"], &recipient["delivery_report"]), (&json!("stored"), &json!("Retrieved")));
}
