//! `bench source` and `bench sink`, each against something made by hand.

use crate::{bench, json, said};
use belino::bench::client::{Connection, Outcome};
use belino::bench::mail::{Shape, Template};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

/// A sink of the program's, with its first line read.
struct Sink {
    process: Child,
    address: SocketAddr,
}

impl Sink {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_belino"))
            .args(["bench", "sink", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(';').next()).unwrap();
        let address = address.parse().unwrap();
        // The rest is read at the end.
        process.stdout = Some(stdout.into_inner());
        Self { process, address }
    }

    /// What it says at its end, and whether it is content.
    fn end(mut self) -> (String, bool) {
        let mut text = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (text, self.process.wait().unwrap().success())
    }
}

fn shape() -> Shape {
    let size = "4k".parse().unwrap();
    Shape {
        size,
        recipients: 1,
        sinks: 1,
        first_sink: 0,
        ack: false,
        report: false,
        as_report: false,
        run: 7,
    }
}

fn bring(connection: &mut Connection, template: &Template) {
    let outcome = connection.bring(&template.commands, 1, &template.content).unwrap();
    assert_eq!(outcome, Outcome::Taken);
}

#[test]
fn a_sink_knows_what_is_missing_what_came_twice_and_what_was_changed() {
    let sink = Sink::start(&["--count", "5"]);
    let mut connection = Connection::open(sink.address, None, "mms.source.example").unwrap();
    let mut template = Template::new(&shape());
    // Number 2 never comes, number 1 comes twice.
    for number in [0, 1, 1, 4] {
        template.set(number, 1);
        bring(&mut connection, &template);
    }
    // Number 3 has one octet of its picture changed.
    template.set(3, 1);
    let at = template.content.len() - 40;
    template.content[at] = if template.content[at] == b'A' { b'B' } else { b'A' };
    // Mail of somebody else is counted apart, and does not count towards the five.
    let foreign = b"From: a@b.example\r\n\r\nhello\r\n.\r\n";
    let commands = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
    assert_eq!(connection.bring(commands, 1, foreign).unwrap(), Outcome::Taken);
    bring(&mut connection, &template);
    let (text, is_content) = sink.end();
    assert!(text.contains("5 deliveries in 5 mails"), "{text}");
    assert!(
        text.contains(
            "1 came twice, 1 were changed, 1 below the highest number did not come, 1 mails were not"
        ),
        "{text}"
    );
    assert!(!is_content, "something was wrong, so its exit code says so");
}

#[test]
fn a_sink_takes_what_a_source_sends() {
    let sink = Sink::start(&["--count", "300"]);
    let to = sink.address.to_string();
    let sent = bench(&[
        "source",
        "--json",
        "--to",
        &to,
        "--size",
        "1k:2,9k:1",
        "--count",
        "100",
        "--connections",
        "5",
        "--recipients",
        "3",
        "--per-connection",
        "4",
    ]);
    assert!(sent.status.success(), "{}", said(&sent));
    let sent = json(&sent);
    assert_eq!((&sent["accepted"], &sent["refused"], &sent["unsure"]), (&100.into(), &0.into(), &0.into()));
    assert!(sent["connections"].as_u64().unwrap() >= 25, "four mails over each: {sent}");
    assert!(sent["accept_ms"]["p50"].as_f64().unwrap() > 0.0, "{sent}");
    let (text, is_content) = sink.end();
    assert!(text.contains("300 deliveries in 100 mails"), "{text}");
    assert!(text.contains("0 came twice, 0 were changed, 0 below"), "{text}");
    assert!(is_content);
}

#[test]
fn an_open_loop_keeps_to_its_rate() {
    let sink = Sink::start(&["--count", "21"]);
    let to = sink.address.to_string();
    let sent =
        json(&bench(&["source", "--json", "--to", &to, "--size", "1k", "--count", "21", "--rate", "100"]));
    // The last of them is due 200 ms after the first, whatever the machine does.
    assert!(sent["seconds"].as_f64().unwrap() >= 0.2, "{sent}");
    assert_eq!(sent["accepted"], 21);
    sink.end();
}

#[test]
fn a_source_says_why_it_is_refused() {
    let mut sink = Sink::start(&["--refuse", "452 4.3.1 no room today"]);
    let to = sink.address.to_string();
    let sent = bench(&["source", "--to", &to, "--size", "1k", "--count", "5"]);
    assert!(!sent.status.success());
    assert!(said(&sent).contains("5 refused"), "{}", said(&sent));
    assert!(said(&sent).contains("the first trouble: 452 4.3.1 no room today"), "{}", said(&sent));
    // It does not go on for ever against somebody who only refuses.
    let sent = json(&bench(&["source", "--json", "--to", &to, "--size", "1k", "--count", "100000"]));
    assert_eq!(sent["gave_up"], true, "{sent}");
    assert!(sent["refused"].as_u64().unwrap() < 1000, "{sent}");
    sink.process.kill().unwrap();
    sink.process.wait().unwrap();
}

#[test]
fn a_source_says_why_it_is_turned_away_and_that_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        for socket in listener.incoming() {
            if stopped.try_recv().is_ok() {
                return;
            }
            let _ = socket.unwrap().write_all(b"554 5.7.1 No MM4 service for your address\r\n");
        }
    });
    let sent = bench(&["source", "--to", &to, "--count", "3"]);
    assert!(!sent.status.success());
    let words = "answered to the greeting: 554 5.7.1 No MM4 service for your address";
    assert!(said(&sent).contains(words), "{}", said(&sent));
    stop.send(()).unwrap();
    let _ = std::net::TcpStream::connect(&to);
    thread.join().unwrap();
    let sent = bench(&["source", "--to", &to, "--count", "3"]);
    assert!(said(&sent).contains("Connection refused"), "{}", said(&sent));
}

#[test]
fn a_sink_answers_like_a_peer() {
    // The relay is played by a second sink: response and report come to it, in this order, over one connection.
    let relay = Sink::start(&["--count", "1"]);
    let relay_at = relay.address.to_string();
    let answer = ["--count", "1", "--answer", &relay_at, "--reports", "--answer-connections", "1"];
    let sink = Sink::start(&answer);
    let mut connection = Connection::open(sink.address, None, "mms.source.example").unwrap();
    let mut template = Template::new(&Shape { ack: true, report: true, ..shape() });
    template.set(0, 1);
    bring(&mut connection, &template);
    // A report counts as a delivery, a response does not.
    let (text, _) = relay.end();
    assert!(text.contains("1 responses and 1 delivery reports"), "{text}");
    assert!(sink.end().1);
}

#[test]
fn a_sink_that_is_ended_tells_what_came() {
    let mut sink = Sink::start(&[]);
    let pid = sink.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut text = String::new();
    sink.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("0 deliveries in 0 mails"), "{text}");
    assert!(sink.process.wait().unwrap().success());
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, words) in [
        (&["source", "--to", "127.0.0.1:9", "--size", "many"][..], "\"many\" is no size up to 64m"),
        (
            &["source", "--to", "127.0.0.1:9", "--ack-share", "2"],
            "--ack-share 2: expected a share from 0 to 1",
        ),
        (&["source", "--to", "127.0.0.1:9", "--connections", "0"], "--connections 0: expected 1 to 20000"),
        (&["source", "--to", "127.0.0.1:9", "--rate", "0"], "--rate: expected more than 0"),
        (&["source", "--to", "127.0.0.1:9", "--from-address", "::1"], "127.0.0.1:9 is of another family"),
        (&["sink", "--listen", "127.0.0.1:0", "--refuse", "250 ok"], "begins with 4xx or 5xx"),
        (&["--only", "relay-31k"], "--only relay-31k: no such workload; there are relay-1k, relay-30k"),
    ] {
        let output = bench(arguments);
        assert!(!output.status.success());
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
    let output = bench(&["--json", "--only", "relay-31k"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["error"].as_str().unwrap().contains("no such workload"));
}

/// What a sink tells by itself lags behind; what it answers to `run` does not. Else the rest of one run would count for the
/// next, whose last mails would seem lost.
#[test]
fn a_run_begins_with_the_exact_count_of_what_came_before() {
    let mut sink = Command::new(env!("CARGO_BIN_EXE_belino"))
        .args(["bench", "sink", "--listen", "127.0.0.1:0", "--control"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(sink.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.next().unwrap().strip_prefix("ready ").unwrap().parse().unwrap();
    let mut input = sink.stdin.take().unwrap();
    let mut connection = Connection::open(address, None, "mms.source.example").unwrap();
    let mut template = Template::new(&shape());
    for run in 0..30u32 {
        template.set(run, 1);
        bring(&mut connection, &template);
        writeln!(input, "run 7").unwrap();
        let answers = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let begun = answers.into_iter().find(|value| !value["begun"].is_null()).unwrap();
        assert_eq!(begun["come"], run + 1);
    }
    connection.quit();
    drop(input);
    assert!(sink.wait().unwrap().success());
}
