//! Who is let in, what may be changed by whom, and what every answer carries.

use crate::desk::*;
use crate::world::*;

const PAGES: [&str; 8] =
    ["/", "/peers", "/peers/b", "/messages", "/send", "/routes", "/alarms", "/configuration"];

#[test]
fn nobody_sees_anything_without_a_token() {
    let desk = Desk::new();
    for path in PAGES {
        let answer = desk.request("GET", path, &[], "");
        assert_eq!((answer.status, answer.header("location")), (303, Some("/login")), "{path}");
        assert!(answer.body.is_empty());
    }
    let answer = desk.request("GET", "/", &["Cookie: belino=x"], "");
    assert_eq!(answer.status, 303);
    let answer = desk.request("POST", "/login", &[], "token=canary-token-of-nobody-0");
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
    let answer = desk.request("POST", "/peers/b/pause", &[], "reason=x");
    assert_eq!(answer.status, 403);
    let line = desk.request("POST", "/login", &[], &format!("token={ANN}"));
    let cookie = line.header("set-cookie").unwrap();
    let port = desk.at().port();
    assert!(cookie.starts_with(&format!("belino-{port}=")), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"));
    let line = desk.request("POST", "/login", &["X-Forwarded-Proto: https"], &format!("token={ANN}"));
    assert!(line.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[test]
fn sessions_end_by_log_out_by_time_and_with_their_user() {
    let desk = Desk::with(Setup::default(), "session_life = \"1h\"");
    let ann = desk.login(ANN);
    assert_eq!(ann.get("/").status, 200);
    let answer = ann.post("/logout", "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login")));
    assert_eq!(ann.get("/").status, 303);

    let rob = desk.login(ROB);
    desk.world.advance("59m");
    assert_eq!(rob.get("/").status, 200);
    desk.world.advance("2m");
    assert_eq!(rob.get("/").status, 303);

    let (ann, rob) = (desk.login(ANN), desk.login(ROB));
    token_file(desk.files.path(), "rob.token", "another-token-of-rob-9999");
    desk.world.reload();
    desk.world.until("it was read again", |w| w.log().contains("configuration read again").then_some(()));
    assert_eq!(
        (rob.get("/").status, ann.get("/").status),
        (303, 200),
        "whose token was changed has to log in again"
    );
    desk.login("another-token-of-rob-9999");
}

#[test]
fn wrong_tokens_are_slowed_down() {
    let desk = Desk::new();
    let wrong = || desk.request("POST", "/login", &[], "token=canary-token-of-nobody-0").status;
    assert!((0..10).all(|_| wrong() == 403));
    assert_eq!(wrong(), 429);
    let right = desk.request("POST", "/login", &[], &format!("token={ANN}"));
    assert_eq!(
        (right.status, right.header("retry-after")),
        (429, Some("60")),
        "nor is the right one looked at"
    );
    desk.world.advance("1m");
    desk.login(ANN);
}

#[test]
fn who_may_read_changes_nothing() {
    let desk = Desk::new();
    let rob = desk.login(ROB);
    for path in PAGES {
        let text = rob.page(path);
        let forms = text.matches("method=\"post\"").count();
        assert_eq!(forms, 1, "{path}: only the one that logs out");
    }
    for (path, fields) in [
        ("/peers/b/pause", "reason=x"),
        ("/peers/b/resume", "reason=x"),
        ("/send", "from=%2B12025550100&to=%2B12025550110"),
        ("/messages/00000000000000000000000000/drop", "reason=x"),
    ] {
        assert_eq!(rob.post(path, fields).status, 403, "{path}");
    }
    assert!(!desk.world.json(&["peer", "b"])[0]["paused"].as_bool().unwrap());
}

#[test]
fn a_forged_request_changes_nothing() {
    let desk = Desk::new();
    let ann = desk.login(ANN);
    let csrf = ann.get("/").csrf();
    let other = desk.login(ANN).get("/").csrf();
    let form = format!("csrf={csrf}&reason=maintenance");
    for (headers, body, why) in [
        (vec![], "reason=x".to_owned(), "no token of the session"),
        (vec![], format!("csrf={other}&reason=x"), "another session's"),
        (vec!["Sec-Fetch-Site: cross-site"], form.clone(), "another site"),
        (vec!["Sec-Fetch-Site: same-site"], form.clone(), "a neighbour"),
        (vec!["Origin: http://evil.example"], form.clone(), "another origin"),
        (vec!["Origin: null"], form.clone(), "no origin"),
    ] {
        let headers: Vec<&str> = headers.into_iter().chain([ann.cookie.as_str()]).collect();
        let answer = desk.request("POST", "/peers/b/pause", &headers, &body);
        assert_eq!(answer.status, 403, "{why}: {answer:?}");
    }
    assert_eq!(ann.get("/peers/b/pause").status, 405, "nothing is changed by a link");
    assert!(!desk.world.json(&["peer", "b"])[0]["paused"].as_bool().unwrap());
    let origin = format!("Origin: http://{}", desk.at());
    let answer = desk.request("POST", "/peers/b/pause", &[&ann.cookie, &origin], &form);
    assert_eq!(answer.status, 303);
    assert!(desk.world.json(&["peer", "b"])[0]["paused"].as_bool().unwrap());
    let long =
        desk.request("POST", "/peers/b/pause", &[&ann.cookie], &format!("{form}&x={}", "y".repeat(70_000)));
    assert_eq!(long.status, 400, "a form has a limit");
}

#[test]
fn every_answer_is_guarded() {
    let desk = Desk::new();
    let ann = desk.login(ANN);
    for path in
        PAGES.iter().chain(&["/login", "/console.css", "/console.js", "/icon.svg", "/audit", "/nothing"])
    {
        let answer = ann.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for word in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("date", "Tue, 04 Mar 2025 10:15:30 GMT"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        // Nothing is written so that it would need an exception, and nothing is fetched from elsewhere.
        let text = answer.text();
        for mark in [" style=", "<style", "javascript:", " onclick=", "http://", "https://"] {
            let own = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(mark), "{path} holds {mark}");
        }
    }
    assert_eq!(ann.get("/nothing").status, 404);
    assert_eq!(desk.request("GET", "/nothing", &[], "").status, 303, "who is not let in learns of no page");
}

/// Threat 22: tokens are shown nowhere.
#[test]
fn threat_22_no_token_of_the_console_is_ever_shown() {
    let desk = Desk::with(Setup { log: "trace", ..Setup::default() }, "");
    let ann = desk.login(ANN);
    let mut shown: String = PAGES.iter().map(|path| ann.page(path)).collect();
    shown.push_str(&ann.page("/audit"));
    desk.request("POST", "/login", &[], "token=canary-token-of-nobody-0");
    let checked = String::from_utf8_lossy(&desk.world.cli(&["check"]).stdout).into_owned();
    assert!(checked.contains("rob may log in to the console, role read"), "{checked}");
    shown.push_str(&checked);
    shown.push_str(&String::from_utf8_lossy(&desk.world.cli(&["--json", "check"]).stdout));
    shown.push_str(&desk.world.log());
    assert!(shown.contains("ann (operate)"), "the search would find something");
    assert!(!shown.contains("canary-"));
    let cookie = ann.cookie.split('=').nth(1).unwrap();
    assert!(!shown.contains(cookie), "nor is a cookie");
}
