//! The dashboard and the alert rules of `packaging`: they ask for metrics and labels that there are, and lead to
//! sections of the guide that there are.

use crate::metrics::scrape;
use crate::world::*;
use belino::metrics::{Sort, TABLE};
use belino::telemetry::Ended;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use yaml_rust2::{Yaml, YamlLoader};

const DASHBOARD: &str = "packaging/grafana/belino.json";
const RULES: &str = "packaging/prometheus/belino-rules.yml";
/// Labels that Prometheus gives to whatever it scrapes.
const TARGET: [&str; 2] = ["instance", "job"];
/// Words of the query language that are used here.
const WORDS: [&str; 13] = [
    "and",
    "by",
    "count",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "offset",
    "on",
    "or",
    "rate",
    "sum",
    "vector",
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// ---- a little of the query language ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Sign(char),
}

/// Words, texts and signs. Numbers, spans of time and ranges say nothing about metrics.
fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let length = match first {
            '"' => {
                let end =
                    rest[1..].find('"').unwrap_or_else(|| panic!("a text without an end: {expression}"));
                tokens.push(Token::Text(&rest[1..=end]));
                end + 2
            }
            '[' => rest.find(']').unwrap_or_else(|| panic!("a range without an end: {expression}")) + 1,
            c if is_part(c) => {
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                if !c.is_ascii_digit() {
                    tokens.push(Token::Word(&rest[..end]));
                }
                end
            }
            c => {
                tokens.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

/// What an expression uses.
#[derive(Debug, Default)]
struct Uses {
    /// Names as they are scraped.
    names: BTreeSet<String>,
    /// Labels that its metrics have.
    labels: BTreeSet<String>,
    /// Labels by which something is grouped.
    groups: BTreeSet<String>,
}

impl Uses {
    /// Labels of its result.
    fn result(&self) -> &BTreeSet<String> {
        if self.groups.is_empty() { &self.labels } else { &self.groups }
    }
}

/// The labels of a metric by the name under which it is scraped; `None` if there is none.
fn labels_of(name: &str) -> Option<BTreeSet<String>> {
    let own = |labels: &[&str]| labels.iter().chain(&TARGET).map(|label| (*label).to_owned()).collect();
    if name == "up" {
        return Some(own(&[]));
    }
    TABLE.iter().find_map(|metric| {
        let suffix = name.strip_prefix(metric.name)?;
        let mut labels: BTreeSet<String> = own(metric.labels);
        match (metric.sort, suffix) {
            (Sort::Counter, "_total") | (Sort::Gauge, "") | (Sort::Histogram, "_sum" | "_count") => {}
            (Sort::Histogram, "_bucket") => _ = labels.insert("le".into()),
            _ => return None,
        }
        Some(labels)
    })
}

/// Read an expression. All in it is known.
fn uses(expression: &str) -> Uses {
    let tokens = tokens(expression);
    let mut uses = Uses::default();
    let (mut place, mut depth) = (0, 0);
    while place < tokens.len() {
        let next = tokens.get(place + 1);
        match tokens[place] {
            Token::Word("by" | "on") if next == Some(&Token::Sign('(')) => {
                place += 2;
                while tokens[place] != Token::Sign(')') {
                    if let Token::Word(label) = tokens[place] {
                        uses.groups.insert(label.to_owned());
                    }
                    place += 1;
                }
            }
            Token::Word(name) if name == "up" || name.contains('_') && !WORDS.contains(&name) => {
                let labels = labels_of(name).unwrap_or_else(|| panic!("no metric {name}: {expression}"));
                if next == Some(&Token::Sign('{')) {
                    place += 2;
                    while tokens[place] != Token::Sign('}') {
                        if let Token::Word(label) = tokens[place] {
                            assert!(labels.contains(label), "{name} has no label {label}: {expression}");
                            let is =
                                matches!(tokens[place + 1..place + 3], [Token::Sign('='), Token::Text(_)]);
                            if let (true, Token::Text(value)) = (is, tokens[place + 2]) {
                                assert!(may_be(label, value), "{label} is never {value}: {expression}");
                            }
                        }
                        place += 1;
                    }
                }
                uses.names.insert(name.to_owned());
                uses.labels.extend(labels);
            }
            Token::Word("time") => {}
            Token::Word(word) => assert!(WORDS.contains(&word), "{word}: {expression}"),
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            Token::Text(_) | Token::Sign(_) => {}
        }
        place += 1;
    }
    assert_eq!(depth, 0, "parentheses: {expression}");
    assert!(!uses.names.is_empty(), "{expression}");
    for label in &uses.groups {
        assert!(uses.labels.contains(label), "grouped by {label}, which nothing has: {expression}");
    }
    assert!(!expression.contains("histogram_quantile") || uses.groups.contains("le"), "{expression}");
    uses
}

/// Whether a label can have this value, as far as values are known.
fn may_be(label: &str, value: &str) -> bool {
    match label {
        "outcome" => Ended::ALL.iter().any(|ended| ended.word() == value),
        "message" => {
            let (of, kind) = value.split_once('.').unwrap_or_default();
            ["MM4_forward", "MM4_delivery_report", "MM4_read_reply_report"].contains(&of)
                && ["REQ", "RES"].contains(&kind)
        }
        _ => true,
    }
}

/// What stands between these marks.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[test]
fn what_is_not_there_is_found() {
    let found = |expression: &str| {
        let expression = expression.to_owned();
        std::panic::catch_unwind(move || drop(uses(&expression))).is_ok()
    };
    assert!(found("sum by (peer) (rate(belino_messages_sent_total{outcome=\"taken\"}[5m])) > 0.5"));
    for wrong in [
        "belino_messages_sent",
        "belino_queue_entrys",
        "belino_ready_total",
        "belino_response_seconds",
        "belino_ready{peer=\"b\"}",
        "sum by (peer) (belino_ready)",
        "belino_messages_sent_total{outcome=\"refused\"}",
        "belino_messages_received_total{message=\"MM4_forward.REP\"}",
        "sums(belino_ready)",
        "histogram_quantile(0.5, sum by (peer) (rate(belino_response_seconds_bucket[5m])))",
        "sum(belino_ready",
        "1 + 1",
    ] {
        assert!(!found(wrong), "{wrong}");
    }
}

// ---- the files ----

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

fn expressions_of_panels() -> Vec<String> {
    let targets = panels().into_iter().flat_map(|p| p["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

fn rules() -> Vec<Yaml> {
    let file = YamlLoader::load_from_str(&read(RULES)).unwrap();
    let groups = file[0]["groups"].as_vec().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_vec().unwrap().clone()).collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(38) && dashboard["id"].is_null());
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "instance", "peer"]);
    for variable in &dashboard["templating"]["list"].as_array().unwrap()[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        assert_eq!(variable["definition"], query);
        let inside = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')).unwrap();
        let (metric, label) = inside.split_once(", ").unwrap();
        assert!(labels_of(metric).unwrap().contains(label) && label == variable["name"], "{query}");
    }
    let panels = panels();
    let (mut ids, mut squares) = (BTreeSet::new(), BTreeSet::new());
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let of = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(of("x") + of("w") <= 24, "{title}");
        for x in of("x")..of("x") + of("w") {
            assert!(
                (of("y")..of("y") + of("h")).all(|y| squares.insert((x, y))),
                "{title} lies over another"
            );
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let uses = uses(expression);
            for name in between(expression, "$", "\"").filter(|name| !name.starts_with("__")) {
                assert!(variables.contains(&name), "{title}: no variable {name}: {expression}");
            }
            for label in between(target["legendFormat"].as_str().unwrap(), "{{", "}}") {
                assert!(uses.result().contains(label), "{title}: no {label} for the legend of {expression}");
            }
        }
    }
    assert!(panels.len() > 30, "{}", panels.len());
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn alerts_ask_for_what_there_is_and_say_what_to_do() {
    let mut names = BTreeSet::new();
    for rule in rules() {
        let text =
            |key: &str| rule[key].as_str().unwrap_or_else(|| panic!("no {key} in {rule:?}")).to_owned();
        let name = text("alert");
        assert!(name.starts_with("Belino") && names.insert(name.clone()), "{name}");
        let uses = uses(&text("expr"));
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        let note = |key: &str| {
            rule["annotations"][key].as_str().unwrap_or_else(|| panic!("{name}: no {key}")).trim().to_owned()
        };
        let (summary, description, runbook) = (note("summary"), note("description"), note("runbook"));
        assert!(!summary.ends_with('.') && description.ends_with('.'), "{name}");
        for label in between(&format!("{summary} {description}"), "$labels.", " }}") {
            assert!(uses.result().contains(label), "{name}: its result has no {label}");
        }
        let (page, section) = runbook.split_once('#').unwrap();
        let headings = read(page);
        let mut headings = headings.lines().filter_map(|line| line.strip_prefix("## ").map(anchor));
        assert!(headings.any(|heading| heading == section), "{name}: {page} has no section {section}");
    }
    assert!(names.len() >= 12, "{names:?}");
}

/// What the table promises is scraped, too, once there has been an exchange.
#[test]
fn everything_asked_for_is_scraped() {
    let more = "[metrics]\nlisten = [\"127.0.0.1:0\"]".into();
    let world = World::with(Setup { more, ..Setup::default() });
    assert!(world.from_b().forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    world.b.mail();
    let asked: Vec<String> = rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    let asked = asked.iter().chain(&expressions_of_panels()).flat_map(|expr| uses(expr).names).collect();
    world.until("all is scraped", |world| {
        let scraped = scrape(world);
        let names: BTreeSet<String> = scraped.keys().map(|n| n.split('{').next().unwrap().into()).collect();
        let missing: Vec<&String> = BTreeSet::difference(&asked, &names).collect();
        // Prometheus makes the one itself, and this relay has no certificate.
        (missing == ["belino_certificate_expiry_timestamp_seconds", "up"]).then_some(())
    });
}
