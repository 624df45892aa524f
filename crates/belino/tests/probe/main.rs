//! The probe against peers of every kind: two relays of ours, a peer that answers by hand, and that peer with one fault at
//! a time, which must give exactly the row that belongs to it.

#[path = "../dialogues/world.rs"]
mod world;

mod bench;

use bench::{Answer, Bench, Outcome, UNKNOWN};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use world::*;

/// Every number that a probe can use.
const NUMBERS: [&str; 8] = ["--from", U1, "--to", B1, "--unknown", UNKNOWN, "--second", B2];

fn relay(domain: &str, ours: &str, peer: &str, peer_domain: &str, theirs: &str, host: &str) -> String {
    format!(
        "[relay]\ndomain = \"{domain}\"\ndata = \"data\"\n\n[mm4]\nlisten = [\"{{listen}}\"]\n\n\
         [limits]\ndisk_free_min = 0\n\n\
         [[local]]\nprefixes = [\"{ours}\"]\nsubscribers = [\"{U1}\", \"{B1}\", \"{B2}\"]\ndock = \"mailbox\"\n\n\
         [[peer]]\nname = \"{peer}\"\ndomains = [\"{peer_domain}\"]\nhosts = [\"{host}\"]\nfrom = [\"127.0.0.1\"]\n\
         prefixes = [\"{theirs}\"]\n"
    )
}

/// Two relays that know each other.
fn two_relays() -> (World, World) {
    let b_with =
        |host: &str| relay("mms.b.example", "+1202555011", "a", "mms.a.example", "+1202555010", host);
    let setup = |whole: String| Setup { whole: Some(whole), real_time: true, ..Setup::default() };
    // Nobody knows a port before its relay has started: B starts twice.
    let mut b = World::with(setup(b_with("127.0.0.1:1")));
    let host = b.address.to_string();
    let mut a =
        World::with(setup(relay("mms.a.example", "+1202555010", "b", "mms.b.example", "+1202555011", &host)));
    b.setup().whole = Some(b_with(&a.address.to_string()));
    b.restart();
    // Its configuration names its port from now on, also for a probe that listens itself.
    a.restart();
    (a, b)
}

/// The subscriber at B opens the MM that asks for a report.
fn open_the_report(b: &World) {
    let id = b.until("the MM of P-40 lies in the mailbox", |b| {
        let rows = b.mailbox(B1);
        let row = rows.into_iter().find(|row| row["subject"] == "Belino probe P-40")?;
        row["id"].as_str().map(str::to_owned)
    });
    let folder = b.folder.path().join("opened");
    let output = b.cli(&["mailbox", "get", &id, "--to", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn probe_of_b(a: &World, b: &World, more: &[&str]) -> Outcome {
    let mut args = vec!["--json", "probe", "b", "--yes"];
    args.extend(NUMBERS);
    args.extend(more);
    let folder = a.folder.path();
    std::thread::scope(|scope| {
        let mut command = Command::new(binary());
        command.current_dir(folder).args(["-c", "belino.toml"]).args(&args);
        let probe = scope.spawn(move || Outcome::of(&command.output().unwrap()));
        open_the_report(b);
        probe.join().unwrap()
    })
}

#[test]
fn a_relay_passes_the_probe_of_another() {
    let (mut a, b) = two_relays();
    let outcome = probe_of_b(&a, &b, &["--wait", "20s"]);
    outcome.passes();
    assert_eq!(outcome.row("P-25")["seen"].as_str().unwrap().matches("Ok").count(), 1, "individual statuses");
    // The relay at A knew of none of it: nothing waits there.
    assert!(a.json(&["queue"]).is_empty());

    // The same while no relay runs at A: the probe hears for itself.
    let opened = b.mailbox(B1);
    assert!(opened.len() >= 8);
    for row in opened {
        b.cli(&["mailbox", "delete", row["id"].as_str().unwrap()]);
    }
    assert!(a.stop());
    probe_of_b(&a, &b, &["--wait", "20s"]).passes();
}

#[test]
fn an_honest_peer_passes() {
    let outcome = Bench::new().run(&[]);
    outcome.passes();
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.json["mails"].as_u64().unwrap() <= 15);
}

/// One fault, and the one row that it gives.
fn gives(bench: Bench, more: &[&str], id: &str, verdict: &str, seen: &str) -> Outcome {
    let outcome = bench.run(more);
    let expected = vec![(id.to_owned(), verdict.to_owned())];
    assert_eq!(outcome.wrong(), expected, "{}", outcome.shown());
    let row = outcome.row(id);
    assert!(row["seen"].as_str().unwrap().contains(seen), "{row}");
    assert_eq!(outcome.code, Some(i32::from(verdict == "fail")));
    outcome
}

fn for_responses(answer: &mut Answer, change: impl FnOnce(&mut Answer)) {
    if answer.is_response() {
        change(answer);
    }
}

#[test]
fn a_message_id_of_its_own() {
    let bench = Bench::new().fault(|_, answers| {
        answers
            .iter_mut()
            .for_each(|a| for_responses(a, |a| a.set("X-Mms-Message-ID", "mine@mms.b.example")));
    });
    // Without a transaction id and with a message id of its own, one answer is lost: that row does not fail.
    gives(bench, &["--wait", "3s", "--only", ALL_BUT_P28], "P-13", "fail", "mine@mms.b.example");
}

/// Every case but the one that such a peer cannot answer.
const ALL_BUT_P28: &str = "P-01,P-02,P-03,P-04,P-05,P-06,P-07,P-08,P-10,P-11,P-12,P-13,P-14,P-15,P-16,P-17,P-18,P-19,P-20,\
                           P-21,P-22,P-23,P-24,P-25,P-26,P-27,P-29,P-30,P-31,P-40,P-41,P-42,P-43,P-44,P-50";

#[test]
fn another_transaction_id() {
    for id in [Some("tx-1"), None] {
        let bench = Bench::new().fault(move |_, answers| {
            answers.iter_mut().for_each(|a| {
                for_responses(a, |a| match id {
                    Some(id) => a.set("X-Mms-Transaction-ID", id),
                    None => a.drop("X-Mms-Transaction-ID"),
                });
            });
        });
        let outcome = gives(bench, &[], "P-12", "fail", id.unwrap_or("has no X-Mms-Transaction-ID"));
        assert!(outcome.row("P-12")["hint"].as_str().unwrap().contains("by its message id"));
    }
}

#[test]
fn no_id_comes_back() {
    let bench = Bench::new().fault(|_, answers| {
        answers.iter_mut().for_each(|a| {
            for_responses(a, |a| {
                a.set("X-Mms-Transaction-ID", "tx-1");
                a.set("X-Mms-Message-ID", "mm-1");
            });
        });
    });
    let outcome = gives(bench, &["--wait", "3s"], "P-11", "fail", "no response came within 3 s");
    assert!(outcome.row("P-11")["hint"].as_str().unwrap().contains("tx-1"));
}

#[test]
fn an_unknown_number_is_refused_at_rcpt() {
    let bench = Bench::new().replies(|line| {
        (line.starts_with("RCPT") && line.contains(UNKNOWN)).then(|| "550 5.1.1 no such user".to_owned())
    });
    let outcome = gives(bench, &[], "P-08", "fail", "550 5.1.1 no such user");
    assert_eq!(outcome.row("P-24")["verdict"], "skip");
    assert_eq!(outcome.row("P-25")["verdict"], "skip");
}

#[test]
fn quotation_marks_are_lost() {
    let bench = Bench::new().fault(|_, answers| {
        answers.iter_mut().for_each(|a| {
            for name in ["X-Mms-Transaction-ID", "X-Mms-Message-ID"] {
                if let Some(id) = a.get(name) {
                    a.set(name, id.trim_matches('"'));
                }
            }
        });
    });
    gives(bench, &[], "P-22", "fail", "sent was \"probe-");
}

#[test]
fn a_collective_ok_is_a_warning() {
    let bench = Bench::new().fault(|_, answers| {
        if answers.iter().filter(|a| a.is_response()).count() == 2 {
            answers.truncate(1);
            answers[0].drop("X-Mms-Request-Recipients");
        }
    });
    gives(bench, &[], "P-25", "warn", "collective Ok");
}

#[test]
fn ok_for_a_number_that_nobody_has() {
    let bench = Bench::new().fault(|mail, answers| {
        if mail.to.len() == 1 && mail.to[0].contains(UNKNOWN) {
            answers[0].set("X-Mms-Request-Status-Code", "Ok");
        }
    });
    gives(bench, &[], "P-24", "fail", "Ok");
}

#[test]
fn an_answer_comes_twice() {
    let bench = Bench::new().fault(|_, answers| {
        if answers.len() == 1 && answers[0].is_response() {
            answers.push(answers[0].clone());
        }
    });
    gives(bench, &[], "P-20", "fail", "was answered 2 times");
}

#[test]
fn an_answer_that_nobody_asked_for() {
    let bench = Bench::new().honest_about_acks(false);
    gives(bench, &[], "P-21", "fail", "a response came from 127.0.0.2");
}

#[test]
fn a_status_that_nobody_knows() {
    let bench = Bench::new().fault(|_, answers| {
        answers.iter_mut().for_each(|a| for_responses(a, |a| a.set("X-Mms-Request-Status-Code", "All-good")));
    });
    gives(bench, &[], "P-14", "fail", "All-good");
}

#[test]
fn a_report_with_from_and_to_exchanged() {
    let bench = Bench::new().fault(|_, answers| {
        for a in answers.iter_mut().filter(|a| !a.is_response()) {
            let (from, to) = (a.get("From").unwrap(), a.get("To").unwrap());
            a.set("From", &to);
            a.set("To", &from);
        }
    });
    gives(bench, &[], "P-41", "fail", "exchanged");
}

#[test]
fn ehlo_is_refused() {
    // TS 23.140 8.4.5 rests on STD 10, which HELO is enough for: worth knowing, and no failure.
    gives(Bench::new().extensions(&[]), &[], "P-02", "warn", "502 5.5.1 no EHLO here");
}

#[test]
fn a_version_copied_from_the_request() {
    let bench = Bench::new().fault(|mail, answers| {
        let version = mail.must("X-Mms-3GPP-MMS-Version");
        answers.iter_mut().for_each(|a| for_responses(a, |a| a.set("X-Mms-3GPP-MMS-Version", &version)));
    });
    gives(bench, &[], "P-16", "fail", "copied");
}

#[test]
fn a_repeat_that_is_not_answered() {
    let bench = Bench::new().fault(|mail, answers| {
        if mail.must("Message-ID").contains(".again") {
            answers.clear();
        }
    });
    gives(bench, &["--wait", "3s"], "P-23", "fail", "no response came");
}

#[test]
fn the_response_goes_to_the_user() {
    let bench = Bench::new().fault(|mail, answers| {
        answers.iter_mut().filter(|a| a.is_response()).for_each(|a| a.to.clone_from(&mail.from));
    });
    gives(bench, &[], "P-18", "fail", "its envelope names +12025550100");
}

#[test]
fn a_response_without_date_and_from() {
    let bench = Bench::new().fault(|_, answers| {
        answers.iter_mut().for_each(|a| {
            for_responses(a, |a| {
                a.drop("Date");
                a.drop("From");
            });
        });
    });
    gives(bench, &[], "P-17", "fail", "lacks From, Date");
}

#[test]
fn the_second_mail_over_a_connection_is_refused() {
    let bench = Bench::new().replies({
        let mut mails = 0;
        move |line| {
            match line {
                "connect" => mails = 0,
                "." => mails += 1,
                _ => {}
            }
            (line.starts_with("NOOP") && mails > 0).then(|| "500 5.5.2 what?".to_owned())
        }
    });
    gives(bench, &[], "P-31", "fail", "NOOP behind a mail was answered 500");
}

#[test]
fn no_connection_is_one_failure() {
    let bench = Bench::new().replies(|line| (line == "connect").then(|| "554 5.7.1 go away".to_owned()));
    let outcome = gives(bench, &[], "P-01", "fail", "554 5.7.1 go away");
    assert_eq!(outcome.json["mails"], 0);
}

/// A stranger is told to the engineer: it may be the peer's outbound host.
#[test]
fn answers_from_an_unexpected_host() {
    let outcome =
        gives(Bench::new().answers_from([127, 0, 0, 9]), &["--wait", "3s"], "P-11", "fail", "no response");
    assert!(outcome.row("P-11")["hint"].as_str().unwrap().contains("127.0.0.9"), "{}", outcome.shown());
}

/// A probe that listens itself must not take what it cannot keep.
#[test]
fn other_mail_stays_with_the_peer() {
    let (said, heard) = channel();
    let bench = Bench::new().beside(move |listen| {
        let mut client = Client::greeted([127, 0, 0, 2].into(), listen);
        let _ = said.send(client.forward(&Fwd::new(), &[U1]));
    });
    bench.run(&[]).passes();
    let reply = heard.recv().unwrap();
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
}

#[test]
fn a_dry_run_sends_nothing() {
    let bench = Bench::new();
    let output = bench.cli(&["--dry-run"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.connections(), 0);
    for case in belino::probe::CASES {
        assert!(text.contains(&format!("{}      {} ({})", case.id, case.title, case.clause)), "{}", case.id);
    }
    for words in
        ["receives one text MM", "sees nothing", "Subject: Belino probe P-10", "RCPT TO:<+12025550119"]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn nothing_is_sent_unasked() {
    let bench = Bench::new();
    for (more, words) in [
        (vec![], "--yes"),
        (vec!["--yes", "--only", "P-99"], "P-99"),
        (vec!["--yes", "--wait", "soon"], "--wait"),
        (vec!["--yes", "--html", "/nowhere/at/all.html"], "/nowhere/at/all.html"),
    ] {
        let output = bench.cli(&more);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {text}");
        assert!(text.contains(words), "{more:?}: {text}");
    }
    assert_eq!(bench.connections(), 0);
}

#[test]
fn some_cases_only() {
    let bench = Bench::new();
    let outcome = bench.run(&["--only", "p-11,P-24"]);
    let ids: Vec<&str> =
        outcome.json["cases"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["P-11", "P-24"]);
    assert_eq!((outcome.wrong().len(), &outcome.json["mails"]), (0, &Value::from(2)));
}

/// The page: each case has its row, and what a peer says stays text.
#[test]
fn the_page_has_every_case_and_escapes_the_peer() {
    let bench = Bench::new()
        .replies(|line| (line == "connect").then(|| "220 <b onload=alert(1)>peer</b>".to_owned()))
        .fault(|_, answers| {
            answers.iter_mut().for_each(|a| {
                a.set("X-Mms-Status-Text", "<script>alert(1)</script>");
                a.set("X-Mms-3GPP-MMS-Version", "\"><script>");
            });
        });
    let page = bench.folder().join("probe.html");
    bench.run(&["--html", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    for case in belino::probe::CASES {
        assert!(page.contains(&format!("<tr id=\"{}\" ", case.id)), "{}", case.id);
    }
    assert!(!page.contains("<script") && !page.contains("<b onload"));
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&lt;b onload=alert(1)&gt;")
    );
}

/// docs/probe.md is made from the catalogue. `BELINO_WRITE_DOCS=1` writes it.
#[test]
fn the_page_of_cases_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/probe.md");
    let page = belino::probe::report::page();
    if std::env::var_os("BELINO_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == page, "docs/probe.md is stale: BELINO_WRITE_DOCS=1 cargo test -p belino --test probe");
}

/// A terminal gets one printable line whatever the peer says.
#[test]
fn the_terminal_gets_plain_lines() {
    let bench = Bench::new()
        .replies(|line| (line == "connect").then(|| "554 5.7.1 no\x1b[31mred\x07 peer".to_owned()));
    let output = bench.cli(&["--yes", "--only", "P-01"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("554 5.7.1 no [31mred  peer") && text.contains("1 case: 1 fail"), "{text}");
    assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
}

#[test]
fn an_unknown_peer_is_named() {
    let output = Command::new(binary())
        .current_dir(Bench::new().folder())
        .args(["-c", "belino.toml", "probe", "nobody", "--from", U1, "--to", B1, "--dry-run"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
