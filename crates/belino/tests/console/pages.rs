//! What pages show, and what they do.

use crate::desk::*;
use crate::world::*;

/// A one-pixel GIF, in base64.
const GIF: &str = "R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==";

/// A request with a picture, a page that would run if it could, and a text.
fn hostile(message_id: &str) -> Fwd {
    let body = format!(
        "--b1\r\nContent-Type: image/gif; name=\"a.gif\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{GIF}\r\n\
         --b1\r\nContent-Type: text/html; name=\"</bdi><script>alert(1)</script>.html\"\r\n\r\n<script>alert(1)</script>\r\n\
         --b1\r\nContent-Type: image/svg+xml\r\n\r\n<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>\r\n\
         --b1\r\nContent-Type: image/png\r\n\r\n<script>alert(1)</script>\r\n\
         --b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ncall +12025550123 </pre><img src=x onerror=alert(1)>\r\n--b1--\r\n"
    );
    Fwd::ids(message_id, "\"><script>alert(1)</script>")
        .set("Subject", "<img src=x onerror=alert(1)> & \"quotes\"")
        .body(body.as_bytes())
}

fn only_id(desk: &Desk) -> String {
    desk.world.all().last().expect("an MM")["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_page_answers_and_tells_what_is_there() {
    let desk = Desk::new();
    desk.world.from_b().forward(&Fwd::new(), &[U1]);
    desk.world.b.mail();
    let id = only_id(&desk);
    let ann = desk.login(ANN);
    for (path, words) in [
        ("/", &["Overview", "In, last minute", "<svg class=\"chart\"", "our reply 250", "/peers/b"][..]),
        ("/peers", &["/peers/b", "/peers/c", "open"]),
        ("/peers/b", &["Last refusals", "Hosts", "Pause b", "MM4_forward.REQ"]),
        ("/messages", &["+12025550110", "stored", "hello"]),
        ("/send", &["With a small picture", "+12025550100"]),
        ("/routes?address=%2B12025550115", &["It goes to peer b", "Hosts: 127.0.0.2"]),
        ("/routes?address=%2B4420", &["It goes nowhere"]),
        ("/routes?address=%40%40", &["address"]),
        ("/alarms", &["Nothing needs anybody now"]),
        ("/audit", &["log in"]),
        (
            "/configuration",
            &["disk_free_min", "Peer b", "ann (operate), rob (read)", "token_file", "mask_numbers"],
        ),
    ] {
        let text = ann.page(path);
        for word in words.iter().filter(|w| **w != "token_file") {
            assert!(text.contains(word), "{path} has no {word}:\n{text}");
        }
    }
    let page = ann.page(&format!("/messages/{id}"));
    for word in [
        "What happened",
        "It lies in the mailbox",
        "X-Mms-Message-ID",
        "mm-1",
        "Received from the peer",
        "6.3.0",
        "Raw mail",
    ] {
        assert!(page.contains(word), "no {word}:\n{page}");
    }
    let raw = ann.page(&format!("/messages/{id}/raw"));
    assert!(raw.contains("X-Mms-Message-Type: MM4_forward.REQ") && raw.contains("--b1--"), "{raw}");
    assert_eq!(
        ann.get(&format!("/messages?text={id}")).header("location"),
        Some(&*format!("/messages/{id}"))
    );
    assert_eq!(ann.get("/messages/00000000000000000000000000").status, 404);
    assert_eq!(ann.get("/peers/nobody").status, 404);
}

#[test]
fn threat_24_what_strangers_sent_stays_text() {
    let desk = Desk::new();
    let reply = desk.world.from_b().forward(&hostile("<script>alert(1)</script>"), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    desk.world.b.mail();
    let id = only_id(&desk);
    let ann = desk.login(ANN);
    for path in ["/messages", &format!("/messages/{id}"), &format!("/messages/{id}/raw"), "/", "/peers/b"] {
        let text = ann.page(path);
        for mark in ["<script>alert", "<img src=x", "onerror=alert(1)>", "<svg xmlns"] {
            assert!(!text.contains(mark), "{path} holds {mark}");
        }
    }
    let page = ann.page(&format!("/messages/{id}"));
    assert!(
        page.contains("&#60;img src=x onerror=alert(1)&#62;") || page.contains("&lt;img src=x"),
        "{page}"
    );
    // The picture is shown; everything else is a file, whatever it says of itself.
    assert_eq!(page.matches(&format!("<img src=\"/messages/{id}/parts/")).count(), 1);
    let part = |n: usize| ann.get(&format!("/messages/{id}/parts/{n}"));
    let picture = part(1);
    assert_eq!(picture.header("content-type"), Some("image/gif"));
    assert_eq!(picture.header("content-disposition"), Some("inline"));
    assert!(picture.body.starts_with(b"GIF89a"));
    for n in 1..=5 {
        let part = part(n);
        assert_eq!(part.status, 200);
        assert_eq!(part.header("content-security-policy"), Some("sandbox; default-src 'none'"), "{n}");
        assert_eq!(part.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(part.header("cross-origin-resource-policy"), Some("same-origin"));
        if n > 1 {
            assert_eq!(part.header("content-type"), Some("application/octet-stream"), "{n}");
            assert!(
                part.header("content-disposition").unwrap().starts_with("attachment; filename=\""),
                "{n}"
            );
        }
    }
    assert!(!part(2).header("content-disposition").unwrap().contains('<'));
    assert_eq!((part(0).status, part(6).status), (404, 404));
    assert_eq!(desk.request("GET", &format!("/messages/{id}/parts/1"), &[], "").status, 303);
}

#[test]
fn numbers_are_hidden_where_that_is_asked_for() {
    let desk = Desk::with(Setup::default(), "mask_numbers = true");
    desk.world.from_b().forward(&hostile("m-1"), &[U1]);
    desk.world.b.mail();
    let id = only_id(&desk);
    let ann = desk.login(ANN);
    desk.world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 +12025550110 unknown".to_owned()));
    let sent = desk.world.send(U1, &[B1], &["--text", "x"])["id"].as_str().unwrap().to_owned();
    desk.world.until_state(&sent, 0, "failed");
    for path in [
        "/messages",
        &format!("/messages/{id}"),
        &format!("/messages/{id}/raw"),
        &format!("/messages/{sent}"),
        "/peers/b",
        "/audit",
    ] {
        let text = ann.page(path);
        for number in ["12025550100", "12025550110", "12025550123"] {
            assert!(!text.contains(number), "{path} shows {number}");
        }
        assert!(text.contains("the last digits of numbers are hidden"));
    }
    assert!(!ann.page(&format!("/messages/{id}/raw")).contains("--b1"), "a body may hide numbers in base64");
    assert!(ann.page("/messages").contains("+1202555\u{2022}\u{2022}\u{2022}\u{2022}"));
    let part = |n: usize| ann.get(&format!("/messages/{id}/parts/{n}")).status;
    assert_eq!((part(1), part(5)), (200, 403), "a text is not handed out");
}

#[test]
fn alarms_say_what_to_do_on_every_page_and_at_the_command_line() {
    let limits = "disk_free_min = \"900000GiB\"".to_owned();
    let desk = Desk::with(Setup { limits, ..Setup::default() }, "");
    let ann = desk.login(ANN);
    for path in ["/", "/messages", "/configuration"] {
        let page = ann.page(path);
        assert!(page.contains("role=\"alert\"") && page.contains("The disk is full"), "{path}");
    }
    let page = ann.page("/alarms");
    assert!(page.contains("Make room in the file system of"), "{page}");
    let alarm = desk.world.json(&["status"])[0]["alarms"][0].clone();
    assert_eq!((alarm["severity"].as_str(), alarm["subject"].as_str()), (Some("alarm"), Some("disk")));
    let told = String::from_utf8(desk.world.cli(&["status"]).stdout).unwrap();
    assert!(told.contains("Make room"), "{told}");
}

#[test]
fn changes_need_a_reason_and_leave_a_line() {
    let desk = Desk::new();
    desk.world.b.answer(|line| line.starts_with("MAIL").then(|| "451 4.3.0 not now".to_owned()));
    let id = desk.world.send(U1, &[B1], &["--text", "x"])["id"].as_str().unwrap().to_owned();
    desk.world.until("it was put off", |w| {
        w.trace(&id)[0]["history"].to_string().contains("451 4.3.0").then_some(())
    });
    let ann = desk.login(ANN);
    let page = ann.page(&format!("/messages/{id}"));
    assert!(page.contains("Retry now") && page.contains("451 4.3.0 not now"), "{page}");
    let without = ann.post(&format!("/messages/{id}/drop"), "reason=+");
    assert!(without.text().contains("Write a reason"), "{without:?}");
    let retried = ann.post(&format!("/messages/{id}/retry"), "reason=b+says+it+is+mended");
    assert_eq!(retried.header("location"), Some(&*format!("/messages/{id}?done=retry")));
    let dropped = ann.post(&format!("/messages/{id}/drop"), "reason=nobody+wants+%3Cit%3E");
    assert_eq!(dropped.status, 303);
    desk.world.until_state(&id, 0, "failed");
    let history = desk.world.trace(&id)[0]["history"].to_string();
    assert!(history.contains("retry now: b says it is mended (ann, at the console)"), "{history}");
    assert!(history.contains("dropped: nobody wants <it> (ann, at the console)"), "{history}");
    let page = ann.page(&format!("/messages/{id}"));
    assert!(page.contains("An operator dropped it") && !page.contains("Drop this MM"), "{page}");

    assert_eq!(ann.post("/peers/c/pause", "reason=window").status, 303);
    assert!(ann.page("/alarms").contains("Peer c is paused"));
    assert_eq!(ann.post("/peers/c/resume", "reason=done").status, 303);
    desk.world.json(&["pause", "c"]);
    let text = std::fs::read_to_string(desk.world.folder.path().join("data/audit.log")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told = |who: &str, what: &str, reason: &str| {
        lines.iter().any(|l| {
            l["who"].as_str().unwrap().starts_with(who)
                && l["what"] == what
                && l["reason"].as_str().unwrap_or_default() == reason
                && l["outcome"] == "done"
        })
    };
    assert!(told("console ann", "log in", ""), "{text}");
    assert!(told("console ann", "retry", "b says it is mended"), "{text}");
    assert!(told("console ann", "drop", "nobody wants <it>"), "{text}");
    assert!(told("console ann", "pause", "window") && told("console ann", "resume", "done"), "{text}");
    assert!(told("admin socket, user ", "pause", "") && told("admin socket, user ", "send", ""), "{text}");
    assert!(ann.page("/audit").contains("nobody wants"));
}

#[test]
fn a_test_mm_goes_its_way() {
    let desk = Desk::new();
    let ann = desk.login(ANN);
    let refused = ann.post("/send", "from=%2B12025550100&to=&text=x");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("expected an address"));
    let sent = ann.post(
        "/send",
        "from=%2B12025550100&to=%2B12025550110&subject=Test&text=good+evening&picture=yes&report=yes",
    );
    assert_eq!(sent.status, 303, "{sent:?}");
    let mail = desk.world.b.mail();
    assert_eq!(mail.must("X-Mms-Delivery-Report"), "Yes");
    assert!(
        mail.content.contains("Content-Type: image/png") && mail.content.contains("good evening"),
        "{}",
        mail.content
    );
    let page = ann.page(sent.header("location").unwrap());
    assert!(page.contains("console ann") && page.contains("width=\"96\""), "{page}");
}

#[test]
fn a_peers_own_words_are_on_its_page_with_what_to_do() {
    let desk = Desk::new();
    desk.world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 user <unknown> here".to_owned()));
    let id = desk.world.send(U1, &[B1], &["--text", "x"])["id"].as_str().unwrap().to_owned();
    desk.world.until_state(&id, 0, "failed");
    let mut b = desk.world.from_b();
    b.raw(b"NOOP\n");
    let _ = b.reply();
    let ann = desk.login(ANN);
    let page = desk.world.until("both refusals are told", |_| {
        let page = ann.page("/peers/b");
        page.contains("a LF without CR").then_some(page)
    });
    for word in ["550 5.1.1 user", "b does not know the recipient", "bare LF", &format!("/messages/{id}")] {
        assert!(page.contains(word), "no {word}:\n{page}");
    }
    assert!(!page.contains("<unknown>"));
    let told = desk.world.cli(&["trace", &id]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("what happened: Peer b refused the recipient") && told.contains("what next:"),
        "{told}"
    );
}

#[test]
fn lists_go_on_page_by_page() {
    pages_of(&Desk::with(Setup { more: "[search]\nindex = false\n".into(), ..Setup::default() }, ""));
}

#[test]
fn lists_out_of_the_index_go_on_page_by_page() {
    pages_of(&Desk::new());
}

fn pages_of(desk: &Desk) {
    let mut b = desk.world.from_b();
    for n in 0..120 {
        let reply = b.forward(
            &Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("Subject", &format!("no {n}.")),
            &[U1],
        );
        assert!(reply.starts_with("250"), "{reply}");
    }
    let ann = desk.login(ANN);
    let (mut path, mut seen, mut pages) = ("/messages".to_owned(), Vec::new(), 0);
    loop {
        let page = ann.page(&path);
        seen.extend((0..120).filter(|n| page.contains(&format!(">no {n}.<"))));
        pages += 1;
        let Some(next) = page.split("href=\"/messages?before=").nth(1) else { break };
        path = format!("/messages?before={}", next.split('"').next().unwrap().replace("&#38;", "&"));
    }
    assert_eq!((pages, seen.len()), (3, 120));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 120);
    // Narrowed; an index is a little behind.
    let found = |query: &str, count: usize| {
        desk.world.until(&format!("{query} finds {count}"), |_| {
            let page = ann.page(&format!("/messages?{query}"));
            (page.matches("<td data-label=\"Accepted\"").count() == count).then_some(())
        });
    };
    found("text=mm-7", 1);
    found("text=%2B1202555010&peer=b", 50);
    found("peer=c", 0);
    found("state=failed", 0);
    found("from=2025-03-04T10:00&to=2025-03-04T10:15", 0);
    assert!(ann.page("/messages?from=yesterday").contains("expected a span before now"));
}

#[test]
fn what_cannot_be_reached_and_what_ends_soon_is_told_of() {
    let files = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::new(vec!["mms.a.example".to_owned()]).unwrap();
    // The relay's clock stands at 2025-03-04.
    wanted.not_after = rcgen::date_time_ymd(2025, 3, 10);
    let certificate = wanted.self_signed(&key).unwrap();
    token_file(files.path(), "a.key", &key.serialize_pem());
    std::fs::write(files.path().join("a.pem"), certificate.pem()).unwrap();
    let folder = files.path().display();
    let mm4 = format!("certificate = \"{folder}/a.pem\"\nkey = \"{folder}/a.key\"");
    // Nobody listens at port 9.
    let more = "[[peer]]\nname = \"d\"\ndomains = [\"mms.d.example\"]\nhosts = [\"127.0.0.9:9\"]\nfrom = [\"127.0.0.9\"]\n\
                prefixes = [\"+1202555013\"]\n";
    let desk = Desk::with(Setup { mm4, more: more.into(), ..Setup::default() }, "");
    let ann = desk.login(ANN);
    assert!(ann.page("/alarms").contains("Our certificate expires in 5 days"), "{}", ann.page("/alarms"));
    let id = desk.world.send(U1, &["+12025550130"], &["--text", "x"])["id"].as_str().unwrap().to_owned();
    desk.world.until("the gate is shut", |_| ann.page("/peers/d").contains("Gate shut").then_some(()));
    let alarms = ann.page("/alarms");
    assert!(
        alarms.contains("Peer d cannot be reached") && alarms.contains("Nothing listens at d"),
        "{alarms}"
    );
    let page = ann.page(&format!("/messages/{id}"));
    assert!(page.contains("Peer d cannot be reached, "), "{page}");
    desk.world.advance("7d");
    let ann = desk.login(ANN);
    let alarms = ann.page("/alarms");
    assert!(alarms.contains("Our certificate expired at 2025-03-10"), "{alarms}");
    assert!(alarms.contains("Nothing was received from peer b since 2025-03-04 10:15:30 UTC"), "{alarms}");
    // The banner counts what the menu counts.
    let overview = ann.page("/");
    let banner = overview.split("⚠ ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let counted: usize = banner.split(' ').filter_map(|word| word.parse::<usize>().ok()).sum();
    assert!(banner.contains("alarm") && banner.contains(" and ") && banner.contains("warning"), "{banner}");
    assert!(overview.contains(&format!(">{counted}</b>")), "{banner}");
}

#[test]
fn the_overview_begins_with_peers_that_need_a_look() {
    let more: String = (0..12)
        .map(|n| {
            format!(
                "[[peer]]\nname = \"e-{n:02}\"\ndomains = [\"mms.e-{n:02}.example\"]\nhosts = [\"127.0.0.9:9\"]\n\
                 prefixes = [\"+447700901{n:02}\"]\n"
            )
        })
        .collect();
    let desk = Desk::with(Setup { more, ..Setup::default() }, "");
    let ann = desk.login(ANN);
    assert_eq!(ann.post("/peers/e-11/pause", "reason=window").status, 303);
    let names = |path: &str| -> Vec<String> {
        let page = ann.page(path);
        let rows = page.split("<th scope=\"row\"").skip(1);
        rows.map(|row| row.split("/peers/").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
    };
    let seen = desk.world.until("the paused one is first", |_| {
        let seen = names("/");
        (seen[0] == "e-11").then_some(seen)
    });
    assert_eq!(seen.len(), 8);
    assert!(ann.page("/").contains("6 more"));
    let all = names("/peers");
    assert!(all.len() == 14 && all.is_sorted(), "{all:?}");
}
