//! What comes in for an application: told by webhook, at least once, signed, tried again, given up with a record.

use crate::site::*;
use crate::world::*;
use serde_json::{Value, json};
use std::net::TcpListener;

/// A request of B's to the code that the shop serves.
fn to_shop() -> Fwd {
    Fwd::new().set("To", CODE)
}

fn bring(site: &Site, fwd: &Fwd) {
    let reply = site.world.from_b().forward(fwd, &[CODE]);
    assert!(reply.starts_with("250"), "{reply}");
}

fn id_of(event: &Event) -> String {
    event.json()["message"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_mm_is_told_signed_and_taken_as_retrieved() {
    let site = Site::new();
    let fwd = to_shop().set("Cc", &format!("{U2}/TYPE=PLMN@mms.a.example")).set("X-Mms-Priority", "High");
    bring(&site, &fwd);
    let event = site.shop.event();
    assert_eq!(event.first, "POST /mms?from=belino HTTP/1.1");
    assert_eq!(event.header("host"), site.shop.address.to_string());
    assert_eq!(event.header("content-type"), "application/json");
    assert_eq!(event.header("belino-event"), "message.received");
    assert_eq!(event.signed_at(), START);
    let told = event.json();
    let id = id_of(&event);
    assert_eq!(told["id"], event.header("belino-delivery"));
    assert!(told["id"].as_str().unwrap().starts_with(&format!("{id}.")));
    let message = &told["message"];
    assert_eq!((&told["event"], &told["recipient"]), (&json!("message.received"), &json!("4455")));
    assert_eq!(told["at"], "2025-03-04T10:15:30.000Z");
    for (field, value) in [
        ("direction", json!("received")),
        ("message_id", json!("mm-1")),
        ("from", json!(B1)),
        ("to", json!(["4455"])),
        ("cc", json!([U2])),
        ("subject", json!("hello")),
        ("priority", json!("High")),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    let url = message["parts"][0]["url"].as_str().unwrap();
    assert_eq!(site.ask("GET", url).body, b"hello");
    // Taken is retrieved, and B, who asked, hears so.
    let report = site.world.b.report();
    assert_eq!(report.must("X-Mms-MM-Status-Code"), "Retrieved");
    assert_eq!(report.must("From"), "4455@mms.a.example");
    assert_eq!(site.message(&id)["recipients"][0]["state"], "retrieved");
    assert_eq!(site.history(&id, "notified").len(), 1);
    assert_eq!(site.shop.events().len(), 0, "once");
}

#[test]
fn a_recipient_learns_of_no_hidden_sender_and_of_no_undisclosed_recipient() {
    let site = Site::new();
    // By MM4.
    let bcc = "Bcc: +12025550108/TYPE=PLMN@mms.a.example";
    bring(&site, &to_shop().set("X-Mms-Sender-Visibility", "Hide").add(bcc));
    let event = site.shop.event();
    let text = String::from_utf8(event.body.clone()).unwrap();
    assert_eq!(event.json()["message"]["from"], Value::Null);
    assert!(!text.contains("2025550110") && !text.contains("2025550108"), "{text}");
    let shown = site.message(&id_of(&event)).to_string();
    assert!(!shown.contains("2025550110") && !shown.contains("2025550108"), "{shown}");
    // By HTTP, from the other application.
    let message =
        json!({ "from": U2, "to": ["4455"], "bcc": ["+12025550108"], "hide": true, "text": "x" }).to_string();
    let headers = [&bearer(OTHER_TOKEN), "Content-Type: application/json"];
    assert_eq!(site.request("POST", "/v1/messages", &headers, message.as_bytes()).status, 202);
    let event = site.shop.event_of("message.received");
    let shown = site.message(&id_of(&event));
    for text in [String::from_utf8(event.body.clone()).unwrap(), shown.to_string()] {
        assert!(!text.contains(U2) && !text.contains("2025550108"), "{text}");
    }
    assert_eq!((shown.get("bcc"), shown.get("history")), (None, None));
}

#[test]
fn an_event_is_brought_again_until_it_is_taken() {
    let site = Site::new();
    site.shop.answer_next("500 Oops\nContent-Type: text/plain\n\nbroken\u{7}\r\nhere");
    site.shop.answer_next("");
    bring(&site, &to_shop());
    let first = site.shop.event();
    let id = id_of(&first);
    let deferred = site.world.until("it was put off", |_| site.history(&id, "deferred").pop());
    let text = deferred["text"].as_str().unwrap();
    assert!(text.contains("webhook shop") && text.ends_with("500 broken   here"), "{text}");
    assert_eq!(site.message(&id)["recipients"][0]["state"], "stored");
    // The second attempt ends without an answer, which counts against the webhook; the third is taken.
    let mut attempts = vec![first];
    for span in ["1m", "6m"] {
        site.world.advance(span);
        attempts.push(site.shop.event());
    }
    assert_eq!(site.until_state(&id, 0, "retrieved")["state"], "retrieved");
    let seconds: Vec<i64> = attempts.iter().map(Event::signed_at).collect();
    assert_eq!(seconds, [START, START + 60, START + 420]);
    for attempt in &attempts[1..] {
        assert_eq!(attempt.header("belino-delivery"), attempts[0].header("belino-delivery"));
        assert_eq!(attempt.json()["at"], attempts[0].json()["at"]);
    }
    assert_eq!(site.shop.events().len(), 0);
}

#[test]
fn an_event_that_nobody_takes_is_given_up_with_a_record() {
    let site = Site::with(Setup { limits: "expiry_default = \"10d\"\n".into(), ..Setup::default() }, "", "");
    site.shop.answer_always(Some("503 Later"));
    bring(&site, &to_shop());
    let id = id_of(&site.shop.event());
    for _ in 0..50 {
        site.world.advance("30m");
    }
    let given_up = site.world.until("it was given up", |_| site.history(&id, "unnotified").pop());
    assert_eq!(given_up["meaning"], "application could not be told by webhook");
    let text = given_up["text"].as_str().unwrap();
    assert!(text.contains("webhook shop, the MM"), "{text}");
    let attempts = site.shop.events();
    assert!(attempts.len() > 40, "{} attempts", attempts.len());
    // Nobody took it: it is not retrieved, and can still be asked for.
    assert_eq!(site.message(&id)["recipients"][0]["state"], "stored");
    site.world.advance("1d");
    assert_eq!(site.shop.events().len(), 0);
    // 410: never again, at once.
    site.shop.answer_always(Some("410 Gone\n\nno more"));
    bring(&site, &Fwd::ids("mm-2", "tx-2").set("To", CODE));
    let id = id_of(&site.shop.event());
    let given_up = site.world.until("it was given up", |_| site.history(&id, "unnotified").pop());
    assert!(given_up["text"].as_str().unwrap().ends_with("410 no more"), "{given_up}");
}

#[test]
fn a_webhook_that_cannot_be_reached_is_left_alone_for_a_while() {
    let site = Site::with(Setup::default(), "", "timeout = \"5s\"");
    site.shop.answer_next("hang");
    bring(&site, &to_shop());
    let id = id_of(&site.shop.event());
    // Its silence is noticed by the relay's clock.
    site.world.advance("6s");
    site.world.until("its silence was noticed", |world| {
        world.log().contains("did not answer in time").then_some(())
    });
    let before = site.shop.connections().0;
    bring(&site, &Fwd::ids("mm-2", "tx-2").set("To", CODE));
    assert_eq!((site.shop.events().len(), site.shop.connections().0), (0, before), "its gate is shut");
    site.world.advance("10m");
    let mut ids = [id_of(&site.shop.event()), id_of(&site.shop.event())];
    ids.sort();
    assert!(ids.contains(&id));
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_notice_outlives_a_crash() {
    let mut site = Site::new();
    // Committed, and on its way when the process dies.
    site.shop.answer_next("hang");
    bring(&site, &to_shop());
    let first = site.shop.event();
    site.world.restart();
    let second = site.shop.event();
    assert_eq!(second.header("belino-delivery"), first.header("belino-delivery"));
    assert_eq!(second.json()["message"]["id"], first.json()["message"]["id"]);
    site.until_state(&id_of(&first), 0, "retrieved");
    assert_eq!(site.world.b.report().must("X-Mms-MM-Status-Code"), "Retrieved");
}

/// Threat 21: HTTP goes to configured URLs only. A listener that is named in every field of an MM, in every answer of the
/// application and in its redirects hears nothing.
#[test]
fn threat_21_no_request_goes_where_a_message_or_an_answer_points() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let url = format!("http://{}/canary", canary.local_addr().unwrap());
    let host = canary.local_addr().unwrap().to_string();
    let site = Site::new();
    let redirects = ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"];
    for redirect in redirects {
        site.shop.answer_next(&format!(
            "{redirect}\nLocation: {url}\nRefresh: 0; url={url}\nLink: <{url}>; rel=next"
        ));
    }
    let body = format!(
        "--b1\r\nContent-Type: message/external-body; access-type=URL; URL=\"{url}\"\r\nContent-Location: {url}\r\n\r\n\r\n\
         --b1\r\nContent-Type: application/smil\r\nContent-Base: {url}\r\n\r\n<smil><img src=\"{url}\"/></smil>\r\n--b1--\r\n"
    );
    let fwd = to_shop()
        .set("Subject", &url)
        .add(&format!("X-Mms-Reply-Applic-ID: {url}"))
        .add(&format!("X-Mms-Aux-Applic-Info: {url}"))
        .add(&format!("Reply-To: <x@{host}>"))
        .body(body.as_bytes());
    bring(&site, &fwd);
    let id = id_of(&site.shop.event());
    for _ in 1..=redirects.len() {
        site.world.advance("31m");
        site.shop.event();
    }
    site.until_state(&id, 0, "retrieved");
    let deferred = site.history(&id, "deferred");
    assert_eq!(deferred.len(), redirects.len());
    assert!(deferred[0]["text"].as_str().unwrap().ends_with(": 301"), "{}", deferred[0]);
    site.ask("GET", &format!("/v1/messages/{id}/parts/1"));
    assert!(canary.accept().is_err(), "the canary was called");
}

#[test]
fn connections_to_a_webhook_are_few_and_used_again() {
    let site = Site::with(Setup::default(), "", "connections_max = 2");
    for i in 0..20 {
        bring(&site, &Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("To", CODE));
    }
    let mut ids: Vec<String> = (0..20).map(|_| id_of(&site.shop.event())).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    let (all, most) = site.shop.connections();
    assert!(all <= 2 && most <= 2, "{all} connections, {most} at once");
    // No more either when the application is slow: the others wait, as the questions in between show.
    site.shop.answer_always(Some("hang"));
    for i in 20..26 {
        bring(&site, &Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("To", CODE));
    }
    let _ = [site.shop.event(), site.shop.event()];
    for _ in 0..20 {
        assert_eq!(site.request("GET", "/healthz", &[], b"").status, 200);
    }
    assert_eq!(site.shop.events().len(), 0, "a third one at once");
}

/// An answer that does not end is not read for long; its status is what counts.
#[test]
fn a_long_answer_is_cut() {
    let site = Site::new();
    let long = "x".repeat(200_000);
    site.shop.answer_next(&format!("200 OK\n\n{long}"));
    bring(&site, &to_shop());
    let id = id_of(&site.shop.event());
    site.until_state(&id, 0, "retrieved");
}

#[test]
fn a_stop_leaves_notices_for_the_next_start() {
    let mut site =
        Site::with(Setup { limits: "stop = \"1s\"".into(), ..Setup::default() }, "", "connections_max = 1");
    site.shop.answer_always(Some("hang"));
    for i in 0..3 {
        bring(&site, &Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("To", CODE));
    }
    site.shop.event();
    assert!(site.world.stop());
    site.shop.answer_always(None);
    site.shop.events();
    site.world.start();
    let mut told: Vec<Value> =
        (0..3).map(|_| site.shop.event().json()["message"]["message_id"].clone()).collect();
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, ["mm-0", "mm-1", "mm-2"]);
}
