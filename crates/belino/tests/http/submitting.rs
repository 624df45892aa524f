//! Submissions: from JSON or a form to the mail that a peer gets; who may, how often, how much.

use crate::site::*;
use crate::world::*;
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpStream;

fn base64(octets: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(octets)
}

/// Octets that no encoding leaves as they are.
fn picture() -> Vec<u8> {
    (0..40_000u32).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn hello(to: &str) -> Value {
    json!({ "from": U1, "to": [to], "text": "hello" })
}

/// What a peer got, taken apart: media type, content id, location and octets of each part.
fn parts(mail: &Received) -> Vec<(String, String, String, Vec<u8>)> {
    let taken = belino::decode::mail(&wire::smtp::dot_stuff(mail.content.as_bytes()));
    let text = |t: &Option<mms::HeaderText>| t.as_ref().map_or(String::new(), |t| t.as_str().to_owned());
    let part = |p: belino::decode::DecodedPart| {
        (p.part.kind(), text(&p.part.content_id), text(&p.part.content_location), p.octets)
    };
    taken.parts.into_iter().map(part).collect()
}

#[test]
fn a_json_submission_reaches_the_peer_field_by_field() {
    let site = Site::new();
    let smil = br#"<smil><body><par><img src="cid:flower"/></par></body></smil>"#;
    let message = json!({
        "from": U1, "to": [B1, C1], "cc": [B2], "bcc": ["+12025550112"],
        "subject": "Grüße aus Köln", "text": "hello",
        "class": "Informational", "priority": "High", "expiry": 7200,
        "delivery_report": true, "read_reply": true, "hide": true,
        "applic_id": "game.a", "reply_applic_id": "game.b", "aux_applic_info": "level 7",
        "adaptation_allowed": false, "drm_content": true, "content_class": "image-basic",
        "parts": [
            { "content_type": "image/jpeg", "name": "flower.jpg", "content_id": "flower", "content_location": "f.jpg", "data": base64(&picture()) },
            { "content_type": "application/smil; charset=utf-8", "name": "show.smil", "data": base64(smil) },
        ],
    });
    let answer = site.submit(&message, &[]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let receipt = answer.json();
    let id = receipt["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/messages/{id}").as_str()));
    assert_eq!(receipt["message_id"], format!("{id}@mms.a.example"));
    let addresses: Vec<&Value> =
        receipt["recipients"].as_array().unwrap().iter().map(|r| &r["address"]).collect();
    assert_eq!(addresses, [B1, C1, B2, "+12025550112"]);

    let mails = [site.world.b.mail(), site.world.b.mail()];
    let (open, hidden) = if mails[0].to.len() == 2 { (&mails[0], &mails[1]) } else { (&mails[1], &mails[0]) };
    assert_eq!(open.to, [format!("{B1}/TYPE=PLMN@mms.b.example"), format!("{B2}/TYPE=PLMN@mms.b.example")]);
    assert_eq!(hidden.to, ["+12025550112/TYPE=PLMN@mms.b.example"]);
    assert!(mails.iter().all(|mail| !mail.content.contains("12025550112/")), "Bcc in a header");
    for (field, value) in [
        ("X-Mms-Message-Type", "MM4_forward.REQ"),
        ("X-Mms-Message-ID", &format!("{id}@mms.a.example")),
        ("From", "+12025550100/TYPE=PLMN@mms.a.example"),
        ("To", "+12025550110/TYPE=PLMN@mms.b.example, +12025550120/TYPE=PLMN@mms.c.example"),
        ("Cc", "+12025550111/TYPE=PLMN@mms.b.example"),
        ("Subject", "=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?="),
        ("X-Mms-Message-Class", "Informational"),
        ("X-Mms-Priority", "High"),
        ("X-Mms-Expiry", "Tue, 04 Mar 2025 12:15:30 GMT"),
        ("X-Mms-Delivery-Report", "Yes"),
        ("X-Mms-Read-Reply", "Yes"),
        ("X-Mms-Sender-Visibility", "Hide"),
        ("X-Mms-Applic-ID", "game.a"),
        ("X-Mms-Reply-Applic-ID", "game.b"),
        ("X-Mms-Aux-Applic-Info", "level 7"),
        ("X-Mms-Adaptation-Allowed", "No"),
        ("X-Mms-Drm-Content", "Yes"),
        ("X-Mms-Content-Class", "image-basic"),
    ] {
        if field == "Subject" {
            assert_eq!(wire::mime::decode_words(&open.must(field)), "Grüße aus Köln");
        } else {
            assert_eq!(open.must(field), value, "{field}");
        }
    }
    // The presentation leads, whatever its place was; the text is a part of its own.
    let parts = parts(open);
    let kinds: Vec<&str> = parts.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(kinds, ["application/smil", "image/jpeg", "text/plain"]);
    assert_eq!(parts[0].3, smil);
    assert_eq!((parts[1].1.as_str(), parts[1].2.as_str()), ("flower", "f.jpg"));
    assert!(parts[1].3 == picture());
    assert_eq!(parts[2].3, b"hello");
}

#[test]
fn a_form_reaches_the_peer_and_a_presentation_is_made() {
    let site = Site::new();
    let message = json!({ "from": "4455", "to": [B1], "text": "look" }).to_string();
    let (content_type, body) = form(&[
        (
            "Content-Disposition: form-data; name=\"a\"; filename=\"a b.png\"\r\nContent-Type: image/png",
            &picture(),
        ),
        (
            "Content-Disposition: form-data; name=\"message\"\r\nContent-Type: application/json",
            message.as_bytes(),
        ),
        (
            "Content-Disposition: form-data; name=\"sound\"\r\nContent-Type: audio/amr\r\nContent-ID: <s1>\r\nContent-Location: s.amr",
            b"#!AMR\n",
        ),
    ]);
    let answer = site.request("POST", "/v1/messages", &[&bearer(SHOP_TOKEN), &content_type], &body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let parts = parts(&site.world.b.mail());
    let kinds: Vec<&str> = parts.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(kinds, ["application/smil", "image/png", "audio/amr", "text/plain"]);
    let smil = String::from_utf8(parts[0].3.clone()).unwrap();
    assert!(smil.contains("<img src=\"cid:part1\"") && smil.contains("<audio src=\"cid:s1\""), "{smil}");
    assert_eq!((parts[1].2.as_str(), parts[2].1.as_str(), parts[2].2.as_str()), ("a_b.png", "s1", "s.amr"));
    assert!(parts[1].3 == picture());
    assert_eq!(parts[2].3, b"#!AMR\n");

    // Without the message, and with parts where only files may be.
    for (fields, field) in [
        (vec![("Content-Disposition: form-data; name=\"a\"", &b"x"[..])], "message"),
        (
            vec![(
                "Content-Disposition: form-data; name=\"message\"",
                &br#"{"from":"4455","to":["4455"],"parts":[]}"#[..],
            )],
            "parts",
        ),
    ] {
        let (content_type, body) = form(&fields);
        let answer = site.request("POST", "/v1/messages", &[&bearer(SHOP_TOKEN), &content_type], &body);
        assert_eq!((answer.status, answer.field().as_str()), (400, field));
    }
    let cut = &body[..body.len() - 30];
    let answer = site.request("POST", "/v1/messages", &[&bearer(SHOP_TOKEN), &content_type], cut);
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn nobody_gets_in_without_a_known_token() {
    let site = Site::new();
    let basic = format!("Authorization: Basic {}", base64(SHOP_TOKEN.as_bytes()));
    let id = site.taken(&hello(B1));
    for header in [
        "X: y",
        "Authorization: Bearer",
        "Authorization: Bearer wrong-token-of-nobody",
        &basic,
        "Authorization: Bearer ",
    ] {
        for (method, path) in [
            ("POST", "/v1/messages".to_owned()),
            ("GET", "/v1/messages".to_owned()),
            ("GET", format!("/v1/messages/{id}")),
            ("GET", format!("/v1/messages/{id}/parts/1")),
        ] {
            let answer = site.request(method, &path, &[header], b"");
            assert_eq!((answer.status, answer.field().as_str()), (401, "Authorization"), "{header} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"belino\""));
        }
    }
    for path in ["/healthz", "/v1/openapi.json"] {
        assert_eq!(site.request("GET", path, &[], b"").status, 200);
    }
    assert_eq!(site.request("GET", "/v1", &[], b"").status, 404);
    let answer = site.request("DELETE", "/v1/messages", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD,POST")));
}

#[test]
fn an_application_sends_as_its_own_senders_only() {
    let site = Site::new();
    let token = bearer(OTHER_TOKEN);
    let headers = [token.as_str(), "Content-Type: application/json"];
    let send = |from: &str| {
        let message = json!({ "from": from, "to": [B1], "text": "x" }).to_string();
        site.request("POST", "/v1/messages", &headers, message.as_bytes())
    };
    for from in [U1, B1, "4455", "mallory@mms.a.example", "+120255501"] {
        let answer = send(from);
        assert_eq!((answer.status, answer.field().as_str()), (403, "from"), "{from}: {answer:?}");
    }
    assert_eq!(send(U2).status, 202);
    assert_eq!(site.world.b.mail().must("From"), format!("{U2}/TYPE=PLMN@mms.a.example"));
    assert_eq!(site.world.all().len(), 1);
}

#[test]
fn what_cannot_be_meant_is_refused_and_nothing_is_sent() {
    let site = Site::with(Setup { limits: "recipients_max = 2".into(), ..Setup::default() }, "", "");
    let with = |key: &str, value: Value| {
        let mut message = hello(B1);
        message[key] = value;
        message
    };
    for (message, status, field) in [
        (json!([]), 400, "the message"),
        (json!({ "to": [B1] }), 400, "from"),
        (with("to", json!(B1)), 400, "to"),
        (with("to", json!([])), 422, "to"),
        (with("to", json!([""])), 422, "to[0]"),
        (with("to", json!([B1, B2, C1])), 422, "to"),
        (with("subject", json!(null)), 400, "subject"),
        (with("subject", json!("a\r\nBcc: x")), 422, "subject"),
        (with("subject", json!("x".repeat(1001))), 422, "subject"),
        (with("aux_applic_info", json!("a\nX-Mms-Priority: High")), 422, "aux_applic_info"),
        (with("class", json!("Business")), 422, "class"),
        (with("expiry", json!("2025-03-04T10:15:29Z")), 422, "expiry"),
        (with("expiry", json!(0)), 422, "expiry"),
        (with("expiry", json!(1.5)), 400, "expiry"),
        (with("hide", json!("yes")), 400, "hide"),
        (with("colour", json!("red")), 400, "colour"),
        (
            with("parts", json!([{ "content_type": "image/png", "data": "AA==", "kind": 1 }])),
            400,
            "parts[0].kind",
        ),
        (
            with("parts", json!([{ "content_type": "image/png\r\nX: y", "data": "AA==" }])),
            422,
            "parts[0].content_type",
        ),
        (
            with("parts", json!([{ "content_type": "image/png", "data": "AA==", "name": "a\nb" }])),
            422,
            "parts[0].name",
        ),
    ] {
        let answer = site.submit(&message, &[]);
        assert_eq!((answer.status, answer.field().as_str()), (status, field), "{message}: {answer:?}");
    }
    let token = bearer(SHOP_TOKEN);
    for (line, status) in
        [("X: y", 415), ("Content-Type: text/plain", 415), ("Content-Type: application/json", 400)]
    {
        let answer = site.request("POST", "/v1/messages", &[&token, line], b"{not json");
        assert_eq!(answer.status, status, "{line}: {answer:?}");
    }
    assert_eq!(site.world.all(), Vec::<Value>::new());
}

#[test]
fn a_submission_under_a_key_is_taken_once() {
    let site = Site::new();
    let key = "Idempotency-Key: order 4711";
    let first = site.submit(&hello(B1), &[key]);
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
    let again = site.submit(&hello(B1), &[key]);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(
        (&again.json()["id"], &again.json()["message_id"]),
        (&first.json()["id"], &first.json()["message_id"])
    );
    // The same by a form; another content; another application.
    let message = hello(B1).to_string();
    let (content_type, body) =
        form(&[("Content-Disposition: form-data; name=\"message\"", message.as_bytes())]);
    let answer = site.request("POST", "/v1/messages", &[&bearer(SHOP_TOKEN), &content_type, key], &body);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &first.json()["id"]));
    let answer = site.submit(&hello(B2), &[key]);
    assert_eq!((answer.status, answer.field().as_str()), (409, "Idempotency-Key"));
    let others = json!({ "from": U2, "to": [B1], "text": "hello" }).to_string();
    let headers = [&bearer(OTHER_TOKEN), "Content-Type: application/json", key];
    assert_eq!(site.request("POST", "/v1/messages", &headers, others.as_bytes()).status, 202);
    for key in [
        "Idempotency-Key:",
        &format!("Idempotency-Key: {}", "k".repeat(256)),
        "Idempotency-Key: ä",
        "Idempotency-Key: a\tb",
    ] {
        let answer = site.submit(&hello(B1), &[key]);
        assert_eq!((answer.status, answer.field().as_str()), (400, "Idempotency-Key"), "{key}");
    }
    assert_eq!([site.world.b.mail(), site.world.b.mail()].len(), 2);
    // It outlives a crash, and is forgotten after a day.
    let mut site = site;
    site.world.restart();
    assert_eq!(site.submit(&hello(B1), &[key]).status, 200);
    assert_eq!(site.world.all().len(), 2);
    site.world.advance("25h");
    assert_eq!(site.submit(&hello(B1), &[key]).status, 202);
}

#[test]
fn of_many_at_once_under_one_key_one_is_taken() {
    let site = Site::new();
    let (to, body) = (site.http(), hello(B1).to_string());
    let headers = [&bearer(SHOP_TOKEN), "Content-Type: application/json", "Idempotency-Key: k"];
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let send = || request(to, "POST", "/v1/messages", &headers, body.as_bytes());
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let new = answers.iter().filter(|a| a.status == 202).count();
    let same = answers.iter().filter(|a| a.status == 200).count();
    assert_eq!((new, same), (1, 11), "{answers:?}");
    let id = answers[0].json()["id"].clone();
    assert!(answers.iter().all(|a| a.json()["id"] == id));
    assert_eq!(site.world.all().len(), 1);
}

#[test]
fn bodies_have_a_limit_and_a_deadline() {
    let site = Site::with(
        Setup::default(),
        "request_size_max = \"64KiB\"\nrequest_timeout = \"30s\"\nrequests_max = 1",
        "",
    );
    let fits = json!({ "from": U1, "to": [B1], "text": "x".repeat(65_000) });
    assert_eq!(site.submit(&fits, &[]).status, 202);
    let too_large = json!({ "from": U1, "to": [B1], "text": "x".repeat(66_000) });
    assert_eq!(site.submit(&too_large, &[]).status, 413);
    // The same without saying so before.
    let token = bearer(SHOP_TOKEN);
    let mut chunked = Vec::new();
    for _ in 0..70 {
        chunked.extend_from_slice(b"400\r\n");
        chunked.extend_from_slice(&[b'x'; 1024]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut socket = TcpStream::connect(site.http()).unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: r\r\n{token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let _ = socket.write_all(&chunked);
    assert_eq!(answer(socket).status, 413);
    let long = format!("X-Long: {}", "y".repeat(300_000));
    assert_eq!(site.request("GET", "/healthz", &[&long], b"").status, 431);

    // A body that does not come: no second request is worked on; then its time is over.
    let slow = || begun(&site, 10);
    let (sockets, busy) = until_busy(&site, slow);
    assert!(busy.header("retry-after").is_some());
    site.world.advance("31s");
    let ended = sockets.into_iter().filter_map(try_answer).find(|answer| answer.status == 408);
    assert_eq!(ended.expect("one waited for its body").header("connection"), Some("close"));
    assert_eq!(site.request("GET", "/healthz", &[], b"").status, 200);
}

/// A submission whose body is still to come.
fn begun(site: &Site, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(site.http()).unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: r\r\n{}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n",
        bearer(SHOP_TOKEN),
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Of a relay with one place: sockets of which one has it (others may have been turned away by the question whether it
/// is taken), and the answer that shows it.
fn until_busy(site: &Site, begin: impl Fn() -> TcpStream) -> (Vec<TcpStream>, Answer) {
    let mut sockets = Vec::new();
    let busy = site.world.until("the only place is taken", |_| {
        sockets.push(begin());
        let answer = site.request("GET", "/healthz", &[], b"");
        (answer.status == 503).then_some(answer)
    });
    (sockets, busy)
}

#[test]
fn a_connection_that_says_nothing_is_ended() {
    let site = Site::with(Setup::default(), "request_timeout = \"30s\"", "");
    let mut silent = TcpStream::connect(site.http()).unwrap();
    silent.write_all(b"GET /heal").unwrap();
    // Whoever is answered on a later connection knows that this one was accepted.
    assert_eq!(site.request("GET", "/healthz", &[], b"").status, 200);
    site.world.until("the connection is ended", |world| {
        world.advance("31s");
        silent.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        let n = std::io::Read::read(&mut silent, &mut [0; 512]);
        matches!(n, Ok(0)).then_some(())
    });
}

#[test]
fn a_stop_lets_a_request_finish() {
    let mut site = Site::with(Setup::default(), "requests_max = 1", "");
    let message = hello(B1).to_string();
    let (sockets, _) = until_busy(&site, || begun(&site, message.len()));
    site.world.terminate();
    let finish = |mut socket: TcpStream| {
        let _ = socket.write_all(message.as_bytes());
        try_answer(socket)
    };
    let statuses: Vec<u16> = sockets.into_iter().filter_map(finish).map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert_eq!(site.world.wait_for_end(), Some(0));
}

#[test]
fn the_body_is_never_changed_on_its_way() {
    // A part of each kind of octets: lines that begin with dots, bare line ends, no line end, nothing at all.
    let site = Site::new();
    let contents: [&[u8]; 5] = [b".\r\n..\r\n.x", b"a\nb\rc", b"no end", b"", b"\x00\xff\r\n.\r\n"];
    let list: Vec<Value> = contents
        .iter()
        .map(|c| json!({ "content_type": "application/octet-stream", "data": base64(c) }))
        .collect();
    let id = site.taken(&json!({ "from": U1, "to": [B1], "parts": list }));
    let got = parts(&site.world.b.mail());
    for (i, content) in contents.iter().enumerate() {
        assert_eq!(got[i + 1].3, *content, "part {i} at the peer");
        let answer = site.ask("GET", &format!("/v1/messages/{id}/parts/{}", i + 2));
        assert_eq!((answer.status, answer.body.as_slice()), (200, *content), "part {i} when fetched");
    }
}
