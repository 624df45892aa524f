//! The OpenAPI document and the relay hold each other to account: every operation is called with what the document allows
//! and with what it does not, and every answer must stand in it. With a fixed seed; another one with `BELINO_SEED`.

use crate::schema::{Dice, Document};
use crate::site::*;
use crate::world::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "options"];

fn document(site: &Site) -> Document {
    let answer = site.request("GET", "/v1/openapi.json", &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["openapi"], "3.1.0");
    Document(answer.json())
}

/// Every answer, checked; which statuses each operation gave.
struct Judge<'a> {
    site: &'a Site,
    document: Document,
    seen: BTreeMap<String, BTreeMap<u16, usize>>,
}

impl Judge<'_> {
    /// Call an operation and hold the answer against the document.
    fn call(&mut self, template: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let answer = self.site.request(&method.to_uppercase(), path, headers, body);
        let operation = &self.document.0["paths"][template][method];
        let name =
            operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {template}")).to_owned();
        let status = answer.status;
        let told = || {
            format!(
                "{name}: {path} {headers:?} {}: {answer:?}",
                String::from_utf8_lossy(&body[..body.len().min(500)])
            )
        };
        assert!(status < 500, "{}", told());
        let response = self.document.resolved(&operation["responses"][status.to_string()]);
        assert!(response.is_object(), "status {status} is not documented\n{}", told());
        for (header, _) in response["headers"].as_object().into_iter().flatten() {
            assert!(answer.header(&header.to_ascii_lowercase()).is_some(), "no {header}\n{}", told());
        }
        match response["content"].as_object() {
            None => assert_eq!(answer.body, b"", "{}", told()),
            Some(contents) => {
                let kind = answer.header("content-type").unwrap_or_default();
                let content = contents.get(kind).or_else(|| contents.get("*/*"));
                let content = content.unwrap_or_else(|| panic!("{kind} is not documented\n{}", told()));
                if content["schema"].is_object() {
                    let why = self.document.misfit(&content["schema"], &answer.json(), "answer");
                    assert_eq!(why, None, "{}", told());
                }
            }
        }
        *self.seen.entry(name).or_default().entry(status).or_default() += 1;
        answer
    }

    /// A submission that can be sent, with everything else as it may be.
    fn submission(&self, schema: &str, dice: &mut Dice) -> Value {
        let schema = &self.document.0["components"]["schemas"][schema];
        let mut message = self.document.sample(schema, dice);
        let senders = [U1, U2, "4455", "0012025550100", "mallory@mms.b.example"];
        message["from"] = json!(dice.pick(&senders));
        for list in ["to", "cc", "bcc"] {
            let some: Vec<&str> = [B1, U2, "4455", "bob@mms.b.example", "+447700900123", SHOP]
                .into_iter()
                .filter(|_| dice.roll(3) == 0)
                .collect();
            message[list] = json!(some);
        }
        if dice.roll(10) == 0 {
            message["to"] = json!([self.document.sample(&json!({ "type": "string", "minLength": 1 }), dice)]);
        }
        message
    }

    fn assert_seen(&self, operation: &str, statuses: &[u16]) {
        let seen: BTreeSet<u16> = self.seen[operation].keys().copied().collect();
        let all: BTreeSet<u16> = statuses.iter().copied().collect();
        assert!(seen.is_superset(&all), "{operation} gave {seen:?}, this test means to see {all:?}");
    }
}

#[test]
fn every_answer_stands_in_the_document() {
    let seed = std::env::var("BELINO_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_250_304);
    println!("BELINO_SEED={seed}");
    let mut dice = Dice(seed);
    let site = Site::with(Setup::default(), "request_size_max = \"100KiB\"", "");
    let mut judge = Judge { site: &site, document: document(&site), seen: BTreeMap::new() };
    let token = bearer(SHOP_TOKEN);
    let json_type = "Content-Type: application/json";
    let post = ("/v1/messages", "post");
    let mut ids = vec!["00000000000000000000000000".to_owned()];

    // Submissions that the document allows, some under keys that come again.
    for i in 0..150 {
        let message = judge.submission("Submission", &mut dice).to_string();
        let key = format!("Idempotency-Key: k{}", i % 40);
        let headers = [token.as_str(), json_type, &key];
        let headers = if i % 3 == 0 { &headers[..] } else { &headers[..2] };
        let answer = judge.call(post.0, post.1, post.0, headers, message.as_bytes());
        assert_ne!(answer.status, 400, "{message}: {answer:?}");
        if answer.status == 202 {
            ids.push(answer.json()["id"].as_str().unwrap().to_owned());
            if i % 3 == 0 {
                judge.call(post.0, post.1, post.0, headers, message.as_bytes());
            }
        }
    }
    // Forms.
    for i in 0..40 {
        let message = judge.submission("FormMessage", &mut dice).to_string();
        let kinds =
            ["image/png", "text/plain; charset=x", "multipart/mixed", "message/rfc822", "no type", "a/b"];
        let file = format!(
            "Content-Disposition: form-data; name=\"f{i}\"; filename=\"n{i}\"\r\nContent-Type: {}",
            dice.pick(&kinds)
        );
        let head = "Content-Disposition: form-data; name=\"message\"\r\nContent-Type: application/json";
        let (content_type, body) = form(&[(head, message.as_bytes()), (&file, b"\x00\xff\r\n--form")]);
        let body = if dice.roll(6) == 0 { &body[..dice.roll(body.len())] } else { &body[..] };
        judge.call(post.0, post.1, post.0, &[&token, &content_type], body);
    }
    // What it does not allow is never taken.
    let fitting =
        json!({ "from": U1, "to": [U2], "parts": [{ "content_type": "image/png", "data": "AA==" }] });
    let schema = judge.document.0["components"]["schemas"]["Submission"].clone();
    assert_eq!(judge.document.misfit(&schema, &fitting, "fitting"), None);
    for wrong in judge.document.misfits(&schema, &fitting, &mut dice) {
        let answer = judge.call(post.0, post.1, post.0, &[&token, json_type], wrong.to_string().as_bytes());
        assert!(matches!(answer.status, 400 | 422), "{wrong} was answered {answer:?}");
    }
    for body in [&b""[..], b"{", b"\xff\xfe", b"nul", b"{\"from\":\"a\",}", &[b'['; 5000], &[b'x'; 150_000]] {
        judge.call(post.0, post.1, post.0, &[&token, json_type], body);
    }
    for headers in [
        &[][..],
        &["Authorization: Bearer x"],
        &["Authorization: \u{e4}"],
        &[&token],
        &[&token, "Content-Type: text/xml"],
        &[&token, json_type, "Idempotency-Key: "],
        &[&token, "Content-Type: multipart/form-data"],
        &[&token, "Content-Type: multipart/form-data; boundary=\u{e4}"],
    ] {
        judge.call(post.0, post.1, post.0, headers, b"{}");
    }
    judge.assert_seen("submit", &[200, 202, 400, 401, 403, 409, 413, 415, 422]);

    // Questions: ids that are known, unknown and none; parts; pages.
    let made: Vec<String> = (0..5)
        .map(|_| judge.document.sample(&json!({ "$ref": "#/components/schemas/Id" }), &mut dice))
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    for id in ids.iter().chain(&made).map(String::as_str).chain([
        "x",
        "%00",
        "%ff%fe",
        "a%2Fb",
        "zzzzzzzzzzzzzzzzzzzzzzzzzz",
    ]) {
        for auth in [token.as_str(), "Authorization: Bearer nobody-knows-this"] {
            judge.call("/v1/messages/{id}", "get", &format!("/v1/messages/{id}"), &[auth], b"");
            let n = *dice.pick(&["1", "2", "3", "0", "-1", "x", "1000", "%31", "99999999999999999999"]);
            judge.call(
                "/v1/messages/{id}/parts/{n}",
                "get",
                &format!("/v1/messages/{id}/parts/{n}"),
                &[auth],
                b"",
            );
        }
    }
    for query in [
        "",
        "?",
        "?limit=1",
        "?limit=100",
        "?limit=0",
        "?limit=x",
        "?limit=1&limit=2",
        "?after=x",
        "?after=%00",
        "?a=b",
        "?&&",
    ] {
        for auth in [token.as_str(), "X: y"] {
            judge.call(post.0, "get", &format!("/v1/messages{query}"), &[auth], b"");
        }
    }
    let after = format!("/v1/messages?after={}&limit=50", ids.last().unwrap());
    judge.call(post.0, "get", &after, &[&token], b"");
    for path in ["/v1/openapi.json", "/healthz"] {
        judge.call(path, "get", path, &[], b"");
    }
    // When content is gone.
    let id = site.taken(&json!({ "from": U1, "to": [U2], "text": "x" }));
    site.world.advance("4d");
    let of_content = format!("/v1/messages/{id}/parts/1");
    site.world.until("the content is gone", |_| (site.ask("GET", &of_content).status == 410).then_some(()));
    judge.call("/v1/messages/{id}/parts/{n}", "get", &of_content, &[&token], b"");
    judge.assert_seen("message", &[200, 401, 404]);
    judge.assert_seen("part", &[200, 401, 404, 410]);
    judge.assert_seen("list", &[200, 400, 401]);
    let calls: usize = judge.seen.values().flat_map(BTreeMap::values).sum();
    println!("{calls} requests: {:?}", judge.seen);
    assert!(calls > 400);

    // Methods and paths that it does not have are answered as it says.
    let paths: Vec<String> = judge.document.0["paths"].as_object().unwrap().keys().cloned().collect();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    for path in &paths {
        for method in METHODS.iter().filter(|m| judge.document.0["paths"][path][**m].is_null()) {
            let answer = site.request(&method.to_uppercase(), path, &[&token], b"");
            assert_eq!((answer.status, answer.field().as_str()), (405, ""), "{method} {path}");
            assert_eq!(judge.document.misfit(&problem, &answer.json(), "405"), None);
            assert!(answer.header("allow").is_some());
        }
    }
    for path in
        ["/", "/v1", "/v2/messages", "/v1/messages/", "/v1/messages/a/b", "/v1/messages/a/parts", "//healthz"]
    {
        let answer = site.request("GET", path, &[&token], b"");
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(judge.document.misfit(&problem, &answer.json(), "404"), None);
    }
}

/// Events are what the document says of them.
#[test]
fn every_event_stands_in_the_document() {
    let site = Site::new();
    let document = document(&site);
    let reply =
        site.world.from_b().forward(&Fwd::new().set("To", CODE).set("X-Mms-Ack-Request", "No"), &[CODE]);
    assert!(reply.starts_with("250"), "{reply}");
    site.taken(&json!({ "from": U1, "to": ["4455", B1, "+447700900123"], "delivery_report": true, "read_reply": true }));
    let request = site.world.b.mail();
    let report = |kind: &str, field: &str| {
        let mut fwd = Fwd::ids(&request.must("X-Mms-Message-ID"), kind)
            .set("X-Mms-Message-Type", &format!("MM4_{kind}_report.REQ"))
            .set("From", &format!("{B1}/TYPE=PLMN@mms.b.example"));
        fwd.lines.push(field.to_owned());
        let reply = site.world.from_b().mail("system-user@mms.b.example", &[&at_a(U1)], &fwd.mail());
        assert!(reply.starts_with("250"), "{reply}");
    };
    report("delivery", "X-Mms-MM-Status-Code: Retrieved");
    report("read_reply", "X-Mms-Read-Status: Deleted without being read");
    let mut wanted: BTreeSet<String> = document.0["webhooks"].as_object().unwrap().keys().cloned().collect();
    let mut states = BTreeSet::new();
    // Two MMs arrive, three states, one delivery report of the shop's own and one of B's, one read-reply report.
    for _ in 0..9 {
        let event = site.shop.event();
        let kind = event.kind();
        let operation = &document.0["webhooks"][&kind]["post"];
        let schema = &operation["requestBody"]["content"][event.header("content-type")]["schema"];
        assert_eq!(document.misfit(schema, &event.json(), &kind), None);
        for parameter in operation["parameters"].as_array().unwrap() {
            let value = event.header(&parameter["name"].as_str().unwrap().to_ascii_lowercase());
            assert_eq!(document.misfit(&parameter["schema"], &json!(value), "header"), None);
        }
        if let Some(state) = event.json()["state"].as_str() {
            states.insert(state.to_owned());
        }
        wanted.remove(&kind);
        if wanted.is_empty() && states.len() == 3 {
            return;
        }
    }
    panic!("never told: {wanted:?}; states {states:?}");
}
