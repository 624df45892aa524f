//! Whole runs, as short as they can be.

use crate::{bench, json, said};
use serde_json::Value;

fn names(report: &Value) -> Vec<&str> {
    report["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect()
}

/// The figures of a relay in a workload.
fn figures<'a>(report: &'a Value, workload: &str, subject: &str) -> &'a Value {
    let workloads = report["workloads"].as_array().unwrap();
    let workload = workloads.iter().find(|w| w["name"] == workload).unwrap();
    workload["subjects"].as_array().unwrap().iter().find(|s| s["subject"] == subject).unwrap()
}

#[test]
fn a_quick_run_loses_nothing_and_reports_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (report, chart, markdown) = (file("report.json"), file("chart.html"), file("tables.md"));
    let output = bench(&["--quick", "--json-file", &report, "--chart", &chart, "--markdown", &markdown]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("lost 0, doubled 0, changed 0"), "{text}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(
        names(&report),
        ["relay-1k", "relay-30k", "relay-ack", "relay-rcpt50x5", "mm4-roundtrip", "accept-30k", "mixed"]
    );
    assert_eq!(report["success"], true);
    for field in ["cores", "processor", "memory", "file_system", "kernel"] {
        assert!(!report["machine"][field].is_null(), "{field}");
    }
    for name in names(&report) {
        let of = figures(&report, name, "belino");
        for field in [
            "rate",
            "accepted_per_s",
            "delivered_per_s",
            "mb_per_s",
            "accept_ms",
            "delivery_ms",
            "response_ms",
            "cpu_s_per_1000",
            "rss_peak",
            "pss_peak",
            "written_per_octet",
            "direct_per_s",
            "rounds",
            "dropped",
        ] {
            assert!(of.get(field).is_some(), "{name}: {field}");
        }
        assert!(of["accepted"].as_u64().unwrap() > 0, "{name}: {of}");
        for field in ["lost", "doubled", "changed", "refused"] {
            assert_eq!(of[field], 0, "{name}: {field}: {of}");
        }
        assert!(of["rate"]["median"].as_f64().unwrap() > 0.0, "{name}: {of}");
        assert!(of["pss_peak"].as_u64().unwrap() > 1_000_000, "{name}: {of}");
    }
    // What was taken while the next hop was down has come later.
    let kept = figures(&report, "accept-30k", "belino");
    assert_eq!(kept["delivered"], kept["accepted"]);
    // Fifty recipients are fifty deliveries, wherever they are served.
    let many = figures(&report, "relay-rcpt50x5", "belino");
    assert_eq!(many["delivered"].as_u64().unwrap(), 50 * many["accepted"].as_u64().unwrap());
    // Responses are measured where they are asked for.
    assert!(figures(&report, "mm4-roundtrip", "belino")["response_ms"]["p50"].as_f64().unwrap() > 0.0);

    let chart = std::fs::read_to_string(chart).unwrap();
    assert!(chart.starts_with("<!doctype html>") && chart.contains("relay-30k") && chart.contains("<svg"));
    for other in ["<script", "<link", "url(", "src=", "http:", "https:"] {
        assert!(!chart.contains(other), "the page needs something else: {other}");
    }
    let markdown = std::fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("| relay-30k | belino |") && markdown.contains("Machine: "), "{markdown}");
}

#[test]
fn the_page_about_performance_names_every_workload() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
    let page = std::fs::read_to_string(page).unwrap();
    let list = bench(&["--list"]);
    let named: Vec<&str> = page
        .lines()
        .filter(|l| l.starts_with("| "))
        .flat_map(|l| l.split('|').nth(1).unwrap().split(", "))
        .map(str::trim)
        .collect();
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(text.lines().count() > 20, "{text}");
    for name in text.lines().filter_map(|line| line.split(' ').next()) {
        assert!(named.contains(&name), "docs/performance.md does not name {name}");
    }
}

#[test]
fn queues_disks_and_neighbours() {
    let names = "slow-flush,fairness,rss-20,idle,crowd,depth-10k,write-amp-30k";
    let output = bench(&["--quick", "--json", "--only", names]);
    assert!(output.status.success(), "{}", said(&output));
    let report = json(&output);
    let reading = |name: &str, what: &str| {
        let workloads = report["workloads"].as_array().unwrap();
        let goals = &workloads.iter().find(|w| w["name"] == name).unwrap()["goals"];
        let found = goals.as_array().unwrap().iter().find(|g| g["what"].as_str().unwrap().contains(what));
        found.unwrap_or_else(|| panic!("{name}: {what}: {goals}"))["value"].as_f64().unwrap()
    };
    for (name, what) in [
        ("slow-flush", "rate / usual disk"),
        ("fairness", "rate of the eight"),
        ("rss-20", "peak PSS"),
        ("idle", "PSS while nothing happens"),
        ("crowd", "rate / alone"),
        ("crowd", "RSS of the relay"),
        ("depth-10k", "rate / empty queue"),
        ("depth-10k", "start after kill -9"),
        ("write-amp-30k", "octets written"),
    ] {
        assert!(reading(name, what) > 0.0, "{name}: {what}");
    }
    // The whole crowd was there, and is served when the rounds are over.
    for (what, value) in
        [("connections of the crowd", 110.0), ("that the relay kept", 1.0), ("answered NOOP", 1.0)]
    {
        assert_eq!(reading("crowd", what), value, "{what}: {report:#}");
    }
    for workload in report["workloads"].as_array().unwrap() {
        for of in workload["subjects"].as_array().unwrap() {
            assert_eq!(
                (&of["lost"], &of["doubled"], &of["changed"]),
                (&0.into(), &0.into(), &0.into()),
                "{workload:#}"
            );
        }
    }
}

#[test]
fn beside_postfix() {
    if let Some(why) = belino::bench::postfix::obstacle() {
        assert!(std::env::var_os("BELINO_NO_SKIP").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        let output = bench(&["--quick", "--only", "relay-30k", "--vs", "postfix"]);
        assert!(!output.status.success() && said(&output).contains(&why), "{}", said(&output));
        return;
    }
    let output = bench(&["--quick", "--json", "--only", "relay-30k,relay-ack,accept-30k", "--vs", "postfix"]);
    assert!(output.status.success(), "{}", said(&output));
    let report = json(&output);
    for name in names(&report) {
        let of = figures(&report, name, "postfix");
        assert!(of["accepted"].as_u64().unwrap() > 0 && of["cpu_s_per_1000"].as_f64().unwrap() > 0.0, "{of}");
        assert_eq!((&of["lost"], &of["doubled"], &of["changed"]), (&0.into(), &0.into(), &0.into()), "{of}");
    }
    let goals = report["workloads"][0]["goals"].as_array().unwrap();
    let rate = goals.iter().find(|g| g["what"] == "rate / postfix").unwrap();
    assert!(rate["value"].as_f64().unwrap() > 0.0 && rate["goal"] == ">= 5.00", "{rate}");
}

/// Another relay is any program; a sink that stores nothing plays the one that loses everything.
#[test]
fn a_relay_that_loses_mail_is_found_out() {
    let belino = env!("CARGO_BIN_EXE_belino");
    let command = format!("{belino} bench sink --listen 127.0.0.1:{{listen_port}}");
    let output = bench(&[
        "--quick",
        "--json",
        "--only",
        "relay-1k",
        "--rounds",
        "1",
        "--silence",
        "300ms",
        "--vs-command",
        &command,
    ]);
    let report = json(&output);
    let of = figures(&report, "relay-1k", "command");
    assert!(of["accepted"].as_u64().unwrap() > 0 && of["lost"] == of["accepted"], "{of}");
    assert_eq!(report["success"], true, "what others lose is not our failure: {report}");
    let output = bench(&["--quick", "--only", "relay-1k", "--vs-command", "/bin/false {listen_port}"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("false did not begin: it ended"), "{}", said(&output));
}
