//! Charging records: which there are, what they say, and that each is in the files once, whatever happens (cases T-06 to T-10).

use crate::sending::hand_in;
use crate::world::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

const ALL: &str = "[charging]\nformats = [\"json\", \"csv\", \"ber\"]\n";

/// Relay A that writes records in all formats, and whose reports B answers.
fn charging(more: &str) -> World {
    let b = "profile = { acknowledged_reports = true }".into();
    World::with(Setup { b, more: format!("{ALL}{more}"), ..Setup::default() })
}

fn folder(world: &World) -> PathBuf {
    world.folder.path().join("data/charging")
}

/// Files of a format, in the order of their records; open ones too.
fn files(folder: &Path, format: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let ends = [format!(".{format}"), format!(".{format}.open")];
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    found.retain(|path| ends.iter().any(|end| name(path).ends_with(end)));
    found.sort();
    found
}

/// The records in all files of a format, as `belino charging show` reads them.
fn shown(world: &World, format: &str) -> Vec<Value> {
    // A file that is closed at this moment has another name the next one, and one that is written may end in half a record.
    world.until("the files can be read", |world| {
        let files = files(&folder(world), format);
        if files.is_empty() {
            return Some(Vec::new());
        }
        let mut args = vec!["--json", "charging", "show"];
        args.extend(files.iter().map(|file| file.to_str().unwrap()));
        let output = world.cli(&args);
        let text = String::from_utf8(output.stdout).unwrap();
        let records = || text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        output.status.success().then(records)
    })
}

/// Wait until so many records are written.
fn records(world: &World, n: usize) -> Vec<Value> {
    world.until(&format!("{n} records are written"), |world| {
        let status = world.json(&["status"]).remove(0);
        (status["charging"]["last_number"] == n).then_some(())
    });
    let records = shown(world, "json");
    assert_eq!(records.len(), n, "{records:#?}");
    records
}

fn names(records: &[Value]) -> Vec<&str> {
    records.iter().map(|r| r["record"].as_str().unwrap()).collect()
}

/// Every format says the same, to the last field, and numbers have no gap. The relay must have ended.
fn compare(world: &World) -> Vec<Value> {
    let records = shown(world, "json");
    assert_eq!(shown(world, "csv"), records, "CSV says what JSON says");
    assert_eq!(shown(world, "ber"), records, "BER says what JSON says");
    for (record, number) in records.iter().zip(1..) {
        assert_eq!(record["localSequenceNumber"], number, "numbers have no gap");
    }
    let lines: Vec<Value> = files(&folder(world), "json")
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(lines, records, "what is shown is what stands in the file");
    if let Some(python) = pyasn1() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues/decode_records.py");
        let output = Command::new(python).arg(script).args(files(&folder(world), "ber")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let decoded: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(decoded, records, "a decoder of others reads the same");
    }
    records
}

/// A Python that has the decoder of others.
fn pyasn1() -> Option<&'static str> {
    let can = |python: &&str| {
        let tried = Command::new(python).args(["-c", "import pyasn1"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(can);
    if found.is_none() {
        let how = "apt-get install python3-pyasn1";
        assert!(std::env::var_os("BELINO_NO_SKIP").is_none(), "pyasn1 is missing: {how}");
        eprintln!("SKIPPED: BER is not read by pyasn1, which is not installed; get it with: {how}");
    }
    found
}

/// A report or an answer to one, from B.
fn bring(world: &World, message_type: &str, message_id: &str, transaction_id: &str, more: &[&str], to: &str) {
    let mut lines = vec![
        "Date: Tue, 04 Mar 2025 10:17:01 +0000".to_owned(),
        "From: +12025550110/TYPE=PLMN@mms.b.example".into(),
        "Sender: system-user@mms.b.example".into(),
        "To: +12025550100/TYPE=PLMN@mms.a.example".into(),
        "Message-ID: <d-1@mms.b.example>".into(),
        "X-Mms-3GPP-MMS-Version: 6.3.0".into(),
        format!("X-Mms-Message-Type: {message_type}"),
        format!("X-Mms-Transaction-ID: {transaction_id}"),
        format!("X-Mms-Message-ID: {message_id}"),
    ];
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    let mail = Fwd { lines, body: Vec::new() }.mail();
    let reply = world.from_b().mail("system-user@mms.b.example", &[to], &mail);
    assert!(reply.starts_with("250"), "{reply}");
}

const SYSTEM_A: &str = "system-user@mms.a.example";

/// T-06: a request that came, with every mandatory field and the status that was answered.
#[test]
fn t_06_a_request_that_comes_makes_its_record() {
    let mut world = charging("");
    let fwd = Fwd::new()
        .set("Subject", "hello")
        .set("Cc", "+12025550101/TYPE=PLMN@mms.a.example")
        .set("X-Mms-Forward-Counter", "2")
        .add("X-Mms-Previously-sent-by: 1, +12025550119/TYPE=PLMN@mms.b.example")
        .add("X-Mms-Previously-sent-by: 0, bob@mms.c.example");
    assert!(world.from_b().forward(&fwd, &[U1, U2]).starts_with("250"));
    assert!(world.from_b().forward(&fwd, &[U1, U2]).starts_with("250"), "a repeat makes no record");
    let records = records(&world, 1);
    let user = |number: &str, kind: &str| json!({ "mSISDN": number, "recipientType": kind });
    let expected = json!({
        "record": "MMR4F",
        "recordType": 38,
        "recipientMmsRSAddress": { "domainName": "mms.a.example" },
        "originatorMmsRSAddress": { "domainName": "mms.b.example" },
        "messageID": "mm-1",
        "mms3GPPVersion": "6.3.0",
        "originatorAddress": { "mSISDN": B1 },
        "recipientAddresses": [user(U1, "to"), user(U2, "cc")],
        "contentType": "multipart/mixed; boundary=\"b1\"",
        "messageSize": records[0]["messageSize"],
        "messageClass": "personal",
        "submissionTime": "2025-03-04T10:15:30Z",
        "timeOfExpiry": { "httpDate": "2025-03-07T10:15:30Z" },
        "deliveryReportRequested": true,
        "priority": "normal",
        "senderVisibility": false,
        "readReplyRequested": false,
        "requestStatusCode": "ok",
        "statusText": "",
        "acknowledgementRequest": true,
        "forwardCounter": 2,
        "forwardingAddress": [{ "eMail": "bob@mms.c.example" }, { "mSISDN": "+12025550119" }],
        "recordTimeStamp": "2025-03-04T10:15:30Z",
        "localSequenceNumber": 1,
    });
    assert_eq!(records[0], expected);
    let size = records[0]["messageSize"].as_u64().unwrap();
    assert!((10..=12).contains(&size), "\"hello\" twice, and a line end perhaps: {size}");
    // One that is refused has its record as well, with what was answered.
    let reply =
        world.from_b().forward(&Fwd::ids("mm-2", "tx-2").set("To", "+19995550100"), &["+19995550100"]);
    assert!(reply.starts_with("250"), "{reply}");
    let refused = world.until("the refusal is recorded", |world| shown(world, "json").get(1).cloned());
    assert_ne!(refused["requestStatusCode"], "ok");
    assert_ne!(refused["statusText"], "");
    assert!(world.stop());
    assert_eq!(compare(&world).len(), 2);
    assert!(
        files(&folder(&world), "json").iter().all(|f| f.extension().unwrap() == "json"),
        "none stays open"
    );
}

/// T-07: a request that went out, its response and its report, all with one message id.
#[test]
fn t_07_a_request_that_goes_out_makes_its_records() {
    let mut world = charging("");
    let id = hand_in(&world, &[B1], &["--delivery-report", "--read-reply", "--hide", "--priority", "High"]);
    let mail = world.b.mail();
    let message_id = mail.must("X-Mms-Message-ID");
    world.until_state(&id, 0, "forwarded");
    let answer = response(&mail.must("X-Mms-Transaction-ID"), "Ok", &["X-Mms-Status-Text: well, \"fine\""]);
    for _ in 0..2 {
        world.from_b().mail("system-user@mms.b.example", &[SYSTEM_A], &answer);
    }
    for (tx, status) in [("d-1", "Deferred"), ("d-2", "Unreachable"), ("d-3", "Unreachable")] {
        let lines = [format!("X-Mms-MM-Status-Code: {status}"), "X-Mms-Ack-Request: Yes".into()];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        bring(&world, "MM4_delivery_report.REQ", &message_id, tx, &lines, &at_a(U1));
    }
    bring(&world, "MM4_read_reply_report.REQ", &message_id, "r-1", &["X-Mms-Read-Status: Read"], &at_a(U1));
    let records = records(&world, 5);
    assert_eq!(names(&records), ["MMO4FRq", "MMO4FRs", "MMO4D", "MMO4D", "MMO4R"]);
    assert!(records.iter().all(|r| r["messageID"] == message_id));
    let sides = ["originatorMmsRSAddress", "recipientMmsRSAddress"];
    for record in &records {
        assert_eq!(sides.map(|s| record[s]["domainName"].clone()), ["mms.a.example", "mms.b.example"]);
    }
    let request = &records[0];
    assert_eq!(request["originatorAddress"], json!({ "mSISDN": U1 }), "recorded though it is hidden");
    assert_eq!((&request["senderVisibility"], &request["priority"]), (&json!(true), &json!("high")));
    assert_eq!(request["recipientAddresses"], json!([{ "mSISDN": B1, "recipientType": "to" }]));
    assert_eq!(records[1]["statusText"], "well, \"fine\"");
    assert_eq!(records[2]["mmStatusCode"], "deferred");
    assert_eq!((records[3].get("mmStatusCode"), &records[3]["statusText"]), (None, &json!("Unreachable")));
    assert_eq!(records[2]["mmDateAndTime"], "2025-03-04T10:17:01Z");
    assert_eq!(records[4]["readStatus"], "read");
    assert!(world.stop());
    assert_eq!(compare(&world), records);
}

/// T-08: a report that went out, and its response.
#[test]
fn t_08_a_report_that_goes_out_makes_its_records() {
    let mut world = charging("");
    let fwd = Fwd::new().set("X-Mms-Read-Reply", "Yes");
    assert!(world.from_b().forward(&fwd, &[U1]).starts_with("250"));
    let id = world.mailbox(U1)[0]["id"].as_str().unwrap().to_owned();
    world.json(&["mailbox", "read", &id]);
    let reports = [world.b.report(), world.b.report()];
    world.until("both reports are taken", |world| {
        let history = world.trace(&id)[0]["history"].to_string();
        (history.matches("\"answered\"").count() >= 3).then_some(())
    });
    for report in &reports {
        let kind = report.must("X-Mms-Message-Type").replace(".REQ", ".RES");
        let lines = ["X-Mms-Request-Status-Code: Ok"];
        for _ in 0..2 {
            bring(&world, &kind, "mm-1", &report.must("X-Mms-Transaction-ID"), &lines, SYSTEM_A);
        }
    }
    let mut found = records(&world, 5);
    assert!(found.iter().all(|r| r["messageID"] == "mm-1"));
    found.sort_by_key(|r| r["recordType"].as_u64());
    assert_eq!(names(&found), ["MMR4F", "MMR4DRq", "MMR4DRs", "MMR4RRq", "MMR4RRs"]);
    assert_eq!((&found[1]["mmStatusCode"], &found[3]["mmStatusCode"]), (&json!("retrieved"), &json!("read")));
    assert_eq!(found[2]["requestStatusCode"], "ok");
    assert!(world.stop());
    assert_eq!(compare(&world).len(), 5);
}

/// T-09: an MM between users of ours has nothing to do with MM4.
#[test]
fn t_09_local_to_local_makes_no_record() {
    let world = charging("");
    let sent = world.send(U1, &[U2], &["--text", "here", "--delivery-report", "--read-reply"]);
    world.json(&["mailbox", "read", sent["id"].as_str().unwrap()]);
    // What comes after it has the first number.
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    assert_eq!(names(&records(&world, 1)), ["MMR4F"]);
}

/// T-10: numbers go on over restarts of all kinds, and no record is lost or doubled by a file that was torn.
#[test]
fn t_10_numbers_go_on_over_restarts() {
    let mut world = charging("file_size_max = \"3KiB\"\n");
    let mut n = 0;
    let mut forward = |world: &World| {
        n += 1;
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        assert!(world.from_b().forward(&fwd, &[U1]).starts_with("250"));
        n
    };
    for tear in 0..5 {
        for _ in 0..4 {
            forward(&world);
        }
        let n = forward(&world);
        records(&world, n);
        world.kill();
        let cut = |format: &str, octets: u64| {
            let Some(file) = files(&folder(&world), format).pop() else { return };
            if file.extension().unwrap() == "open" {
                let opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
                opened.set_len(opened.metadata().unwrap().len().saturating_sub(octets)).unwrap();
            }
        };
        match tear {
            0 => cut("json", 10),
            1 => cut("ber", 500),
            2 => cut("csv", 100_000),
            3 => {
                // As a power failure may leave it: room without what was to be written there.
                let file = files(&folder(&world), "ber").pop().unwrap();
                if file.extension().unwrap() == "open" {
                    let mut octets = std::fs::read(&file).unwrap();
                    octets.extend([0; 700]);
                    std::fs::write(&file, octets).unwrap();
                }
            }
            _ => {}
        }
        world.start();
    }
    let n = forward(&world);
    records(&world, n);
    assert!(world.stop());
    assert_eq!(compare(&world).len(), n);
    world.start();
    // Closed files may be taken away; the numbers go on.
    for format in ["json", "csv", "ber"] {
        files(&folder(&world), format).iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
    world.restart();
    let n = forward(&world);
    let next = world.until("the next record", |world| shown(world, "json").first().cloned());
    assert_eq!(next["localSequenceNumber"], n);
}

/// What cannot be written waits, and stops nothing else; it is told, and written as soon as it can be.
#[test]
fn records_that_cannot_be_written_wait() {
    let world = charging("folder = \"books\"\n");
    let books = world.folder.path().join("books");
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    world.until("the folder is there", |_| books.is_dir().then_some(()));
    world.until("the first is written", |w| {
        (w.json(&["status"])[0]["charging"]["last_number"] == 1).then_some(())
    });
    // Files that are open cannot be closed any more: where they were is something else.
    std::fs::rename(&books, world.folder.path().join("moved")).unwrap();
    std::fs::write(&books, "no folder").unwrap();
    world.advance("10m");
    world.until("trouble is told", |w| w.json(&["status"])[0]["charging"]["trouble"].as_str().map(drop));
    assert!(world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));
    assert_eq!(world.mailbox(U1).len(), 2, "MMs go their way");
    let status = world.cli(&["charging", "status"]);
    assert!(!status.status.success() && String::from_utf8_lossy(&status.stdout).contains("books"));
    assert!(world.log().contains("charging records wait in the outbox"));
    std::fs::remove_file(&books).unwrap();
    std::fs::rename(world.folder.path().join("moved"), &books).unwrap();
    world.until("all is written", |w| {
        let status = w.json(&["status"])[0]["charging"].clone();
        (status["last_number"] == 2 && status["waiting"] == 0 && status["trouble"].is_null()).then_some(())
    });
    let args: Vec<String> = files(&books, "json").iter().map(|f| f.to_str().unwrap().to_owned()).collect();
    let mut all = vec!["charging", "show"];
    all.extend(args.iter().map(String::as_str));
    let ids: Vec<Value> = world.json(&all).iter().map(|r| r["messageID"].clone()).collect();
    assert_eq!(ids, ["mm-1", "mm-2"]);
}

/// Records begin and end with the configuration, and files are closed by age.
#[test]
fn a_reload_begins_and_ends_records() {
    let mut world = World::new();
    assert!(world.from_b().forward(&Fwd::new(), &[U1]).starts_with("250"));
    assert!(world.json(&["status"])[0]["charging"].is_null());
    world.setup().more = "[charging]\nformats = [\"csv\"]\nfile_age_max = \"1m\"\n".into();
    let reload = |world: &World, times: usize| {
        world.reload();
        world.until("it is read again", |w| {
            (w.log().matches("configuration read again").count() == times).then_some(())
        });
    };
    reload(&world, 1);
    assert!(world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));
    world.until("it is written", |w| (shown(w, "csv").len() == 1).then_some(()));
    assert!(files(&folder(&world), "json").is_empty());
    world.advance("61s");
    world.until("the file is closed by its age", |w| {
        files(&folder(w), "csv").iter().all(|f| f.extension().unwrap() == "csv").then_some(())
    });
    let table = world.cli(&["charging", "show", files(&folder(&world), "csv")[0].to_str().unwrap()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("MMR4F") && table.contains("mm-2") && table.contains("NUMBER"), "{table}");
    world.setup().more = String::new();
    reload(&world, 2);
    assert!(world.from_b().forward(&Fwd::ids("mm-3", "tx-3"), &[U1]).starts_with("250"));
    world.settle();
    assert!(world.json(&["status"])[0]["charging"].is_null());
    assert_eq!(shown(&world, "csv").len(), 1);
}

/// A small random generator: the seed is all that a repeat needs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}

/// One mail from a peer, if it is taken.
fn try_mail(from: IpAddr, to_relay: SocketAddr, sender: &str, to: &str, content: &[u8]) -> Option<()> {
    let mut client = Client::try_greeted(from, to_relay)?;
    for (line, reply) in [
        (format!("MAIL FROM:<{sender}>"), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        ("DATA".to_owned(), "354"),
    ] {
        client.try_say(&line)?;
        client.reply().starts_with(reply).then_some(())?;
    }
    client.try_raw(content)?;
    client.try_raw(b".\r\n")?;
    client.reply().starts_with("250").then_some(())
}

/// T-10: killed fifty times while MMs come, stay, pass on and are answered: the records are those that the histories tell,
/// each once, numbered without a gap, the same in every format.
#[test]
fn t_10_killed_fifty_times_each_record_is_there_once() {
    let kills: usize = std::env::var("BELINO_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(50);
    let seed: Option<u64> = std::env::var("BELINO_SEED").ok().and_then(|v| v.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into()) | 1;
    println!("{kills} kills, BELINO_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut world = World::with(Setup {
        real_time: true,
        log: "info",
        b: "transit = [\"c\"]".into(),
        retry: "steps = [\"1s\"]\ngate_min = \"100ms\"\ngate_max = \"200ms\"".into(),
        more: format!("{ALL}file_size_max = \"4KiB\"\n"),
        ..Setup::default()
    });
    let (b, c) = (world.b.address.ip(), world.c.address.ip());
    let sender = format!("{B1}/TYPE=PLMN@mms.b.example");
    let c1 = format!("{C1}/TYPE=PLMN@mms.c.example");
    let (_never, pause) = channel::<()>();
    let mut unanswered: Vec<String> = Vec::new();
    let respond = |world: &World, unanswered: &mut Vec<String>| {
        unanswered.extend(world.c.mails().iter().map(|mail| mail.must("X-Mms-Transaction-ID")));
        unanswered.retain(|tx| {
            let res = response(tx, "Ok", &[]);
            try_mail(c, world.address, "system-user@mms.c.example", SYSTEM_A, &res).is_none()
        });
    };
    // What was not taken for certain before a kill is sent again: the relay has it twice then, or not.
    let (mut begun, mut uncertain) = (0, Vec::new());
    for _ in 0..kills {
        let fresh = 1 + dice.roll(5) as usize;
        let todo: Vec<usize> = uncertain.drain(..).chain(begun..begun + fresh).collect();
        begun += fresh;
        let (address, to) = (world.address, [at_a(U1), c1.clone()]);
        let sender = sender.clone();
        let sending = std::thread::spawn(move || {
            let take = |i: &usize| {
                let to = &to[i % 2];
                let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("To", to);
                try_mail(b, address, &sender, to, &fwd.mail()).is_some()
            };
            todo.into_iter().filter(|i| !take(i)).collect::<Vec<_>>()
        });
        if dice.roll(2) == 0 {
            respond(&world, &mut unanswered);
        }
        // The writer looks at the outbox now and then: sometimes long enough for it, sometimes in the middle of a mail.
        let most = if dice.roll(2) == 0 { 40 } else { 400 };
        let _ = pause.recv_timeout(Duration::from_millis(dice.roll(most)));
        world.kill();
        uncertain = sending.join().unwrap();
        world.start();
    }
    for i in uncertain {
        let to = [at_a(U1), c1.clone()][i % 2].clone();
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).set("To", &to);
        assert!(try_mail(b, world.address, &sender, &to, &fwd.mail()).is_some());
    }
    // Everything that passes on is answered, and everybody hears of it.
    world.until("all is over", |world| {
        respond(world, &mut unanswered);
        let open = world.json(&["queue", "--max", "10000"]);
        open.iter().all(|mm| mm["recipients"][0]["state"] == "stored").then_some(())
    });
    assert!(world.stop());
    let records = compare(&world);
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for record in &records {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        *made.entry((text("messageID"), text("record"))).or_default() += 1;
    }
    world.start();
    let mut owed: BTreeMap<(String, String), usize> = BTreeMap::new();
    for mm in world.all() {
        let whole = world.trace(mm["id"].as_str().unwrap()).remove(0);
        let id = whole["message_id"].as_str().unwrap().to_owned();
        let history = whole["history"].as_array().unwrap();
        let moments = |what: &str| history.iter().filter(|m| m["what"] == what).count();
        if whole["recipients"][0]["state"] != "duplicate" {
            *owed.entry((id.clone(), "MMR4F".into())).or_default() += 1;
        }
        if moments("response") + moments("forwarded") > 0 {
            *owed.entry((id.clone(), "MMO4FRq".into())).or_default() += moments("forwarded").max(1);
        }
        if moments("response") > 0 {
            *owed.entry((id, "MMO4FRs".into())).or_default() += moments("response");
        }
    }
    assert_eq!(made, owed);
    let came = made.keys().filter(|(_, kind)| kind == "MMR4F").count();
    assert!(came == begun && made.values().all(|n| *n == 1), "{made:?}");
    println!("{kills} kills: {begun} MMs, {} records, 0 lost, 0 doubled", records.len());
}
