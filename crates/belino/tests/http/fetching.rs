//! What an application can ask: its own MMs only, and of them nothing that others keep to themselves.

use crate::site::*;
use crate::world::*;
use serde_json::{Value, json};

#[test]
fn others_mms_do_not_exist() {
    let site = Site::new();
    let mine = site.taken(&json!({ "from": U1, "to": [B1], "text": "x" }));
    let others = json!({ "from": U2, "to": [U1], "text": "secret" }).to_string();
    let headers = [&bearer(OTHER_TOKEN), "Content-Type: application/json"];
    let answer = site.request("POST", "/v1/messages", &headers, others.as_bytes());
    let theirs = answer.json()["id"].as_str().unwrap().to_owned();
    let by_cli = site.world.send(U1, &[B2], &["--text", "x"])["id"].as_str().unwrap().to_owned();
    // A stranger's id and one that nobody has are answered alike, octet for octet.
    let unknown = site.ask("GET", "/v1/messages/00000000000000000000000000");
    assert_eq!(unknown.status, 404);
    for id in [theirs.as_str(), &by_cli, "nonsense", "%ff", "..", "0"] {
        for path in [format!("/v1/messages/{id}"), format!("/v1/messages/{id}/parts/1")] {
            let answer = site.ask("GET", &path);
            assert_eq!((answer.status, &answer.body), (404, &unknown.body), "{path}");
        }
    }
    assert_eq!(site.message(&mine)["direction"], "submitted");
    assert_eq!(site.message(&mine.to_uppercase())["id"], mine);
    let answer = site.request("GET", &format!("/v1/messages/{mine}"), &[&bearer(OTHER_TOKEN)], b"");
    assert_eq!(answer.status, 404);
}

/// An operator's recipient reads, and allows no report: the submitter sees neither that nor when.
#[test]
fn what_a_recipient_keeps_to_themselves_is_not_shown() {
    let site = Site::new();
    let message =
        json!({ "from": U1, "to": [U2], "text": "x", "delivery_report": true, "read_reply": false });
    for (how, report) in [("reject", false), ("delete", false), ("get", false), ("get", true)] {
        let id = site.taken(&message);
        let before = site.message(&id);
        assert_eq!(before["recipients"][0]["state"], "stored");
        site.world.advance("1h");
        let mut args = vec!["mailbox", how, &id];
        args.extend(if how == "get" { vec!["--raw"] } else { vec![] });
        args.extend(if report { vec![] } else { vec!["--no-report"] });
        let output = site.world.cli(&args);
        assert!(output.status.success(), "{args:?} {}", String::from_utf8_lossy(&output.stderr));
        assert_ne!(site.world.trace(&id)[0]["recipients"][0]["state"], "stored");
        let mut after = site.message(&id);
        if report {
            assert_eq!(after["recipients"][0]["delivery_report"], "Retrieved");
            after["recipients"][0]["delivery_report"] = Value::Null;
        }
        after["content_kept"] = before["content_kept"].clone();
        after["parts"] = before["parts"].clone();
        assert_eq!(after, before, "{how}");
    }
}

/// The way of the MM is shown, our and the peers' insides are not.
#[test]
fn the_history_shows_no_hosts_and_no_peers() {
    let site = Site::with(Setup { retry: "give_up = \"1h\"".into(), ..Setup::default() }, "", "");
    site.world.b.answer(|line| {
        line.starts_with("MAIL").then(|| "451 4.3.2 canary-host.mms.b.example says later".into())
    });
    let id = site.taken(&json!({ "from": U1, "to": [B1], "bcc": [B2], "text": "x" }));
    site.world.until("it was put off", |_| {
        let history = site.message(&id)["history"].clone();
        history.as_array().unwrap().iter().any(|m| m["what"] == "deferred").then_some(())
    });
    site.world.advance("2h");
    let recipient = site.until_state(&id, 0, "failed");
    assert_eq!((&recipient["reason"], &recipient["kind"]), (&json!("gave-up"), &json!("to")));
    let message = site.message(&id);
    assert_eq!(message["bcc"], json!([B2]));
    let text = message.to_string();
    for inside in ["canary-host", "127.0.0.2", "peer\":", "transaction", "\"b\""] {
        assert!(!text.contains(inside), "{inside} in {text}");
    }
}

#[test]
fn parts_are_fetched_as_octets_that_no_browser_runs() {
    let site = Site::new();
    let body = b"--b1\r\nContent-Type: text/html; name=\"../../evil.html\"\r\n\r\n<script>x</script>\r\n\
        --b1\r\nContent-Type: image/png; name=\"a\xc3\xa9.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0K\r\n--b1--\r\n";
    let fwd = Fwd::new().body(body).set("To", CODE);
    site.world.from_b().forward(&fwd, &[CODE]);
    let event = site.shop.event_of("message.received").json();
    let parts = event["message"]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    let url = parts[0]["url"].as_str().unwrap();
    let answer = site.ask("GET", url);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"<script>x</script>"[..]));
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment; filename=\"1-evil.html\""),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(answer.header(header), Some(value));
    }
    let answer = site.ask("GET", parts[1]["url"].as_str().unwrap());
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"\x89PNG\r\n"[..]));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"2-a_.png\""));
    let id = event["message"]["id"].as_str().unwrap();
    for n in ["0", "3", "-1", "x", "99999999999999999999"] {
        assert_eq!(site.ask("GET", &format!("/v1/messages/{id}/parts/{n}")).status, 404, "{n}");
    }
    // The other application has no business with it.
    assert_eq!(site.request("GET", url, &[&bearer(OTHER_TOKEN)], b"").status, 404);
    // When its time has ended, the content goes; what is known of it stays.
    site.world.advance("4d");
    site.world.until("the content is gone", |_| (site.ask("GET", url).status == 410).then_some(()));
    let message = site.message(id);
    assert_eq!((&message["content_kept"], &message["parts"]), (&json!(false), &json!([])));
}

#[test]
fn lists_have_pages_newest_first() {
    pages_newest_first(&Site::new());
}

/// The same by the search index, which is half a second behind: nobody waits for it here.
#[test]
fn lists_have_pages_newest_first_with_a_search_index() {
    pages_newest_first(&Site::with(with_index(), "", ""));
}

fn with_index() -> Setup {
    Setup { more: "[search]\nindex = true\n".into(), ..Setup::default() }
}

/// What was handed in and what has come is in the list at once, and in it once, while the index is still to hear of it and
/// after it has; a start of the relay changes nothing, nor does one without the index.
#[test]
fn a_list_has_at_once_what_was_handed_in_and_what_has_come() {
    let mut site = Site::with(with_index(), "", "");
    let ids = |site: &Site, token: &str| -> Vec<String> {
        let page = site.request("GET", "/v1/messages?limit=100", &[&bearer(token)], b"").json();
        assert_eq!(page["next"], Value::Null);
        page["messages"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut expected = Vec::new();
    for i in 0..30 {
        expected.insert(0, site.taken(&json!({ "from": U1, "to": [U2], "text": i.to_string() })));
        assert_eq!(ids(&site, SHOP_TOKEN), expected);
        site.world.send(U1, &[U2], &["--text", "not the shop's"]);
        // The clock stands, so that ids of one instant are in no order: each has an instant of its own.
        site.world.advance("1s");
    }
    // One that has come for the shop.
    let reply = site.world.from_b().forward(&Fwd::ids("mm-in", "tx-in"), &[SHOP]);
    expected.insert(0, reply.split(' ').nth(2).unwrap().to_owned());
    assert_eq!(ids(&site, SHOP_TOKEN), expected);
    assert!(ids(&site, OTHER_TOKEN).is_empty());
    let indexed = |site: &Site| {
        site.world.until("the index has all of it", |world| {
            // It may still be opening its file.
            let shown = world.cli(&["--json", "find", "--max", "100"]);
            (shown.stdout.iter().filter(|octet| **octet == b'\n').count() == 61).then_some(())
        });
    };
    indexed(&site);
    assert_eq!(ids(&site, SHOP_TOKEN), expected);
    site.world.restart();
    assert_eq!(ids(&site, SHOP_TOKEN), expected);
    indexed(&site);
    assert_eq!(ids(&site, SHOP_TOKEN), expected);
    let more = site.world.setup().more.replace("[search]\nindex = true\n", "");
    site.world.setup().more = more;
    site.world.restart();
    assert_eq!(ids(&site, SHOP_TOKEN), expected);
}

fn pages_newest_first(site: &Site) {
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.insert(0, site.taken(&json!({ "from": U1, "to": [U2], "text": i.to_string() })));
        site.world.send(U1, &[U2], &["--text", "not the shop's"]);
        site.world.advance("1s");
    }
    let (mut found, mut path) = (Vec::new(), "/v1/messages?limit=2".to_owned());
    for expected in [2, 2, 1] {
        let page = site.ask("GET", &path).json();
        let messages = page["messages"].as_array().unwrap();
        assert_eq!(messages.len(), expected);
        found.extend(messages.iter().map(|m| m["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/messages?limit=2&after={next}"),
            None => assert_eq!(expected, 1),
        }
    }
    assert_eq!(found, ids);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit", "limit"),
        ("after=x", "after"),
        ("page=1", "page"),
    ] {
        let answer = site.ask("GET", &format!("/v1/messages?{query}"));
        assert_eq!((answer.status, answer.field().as_str()), (400, field));
    }
}
