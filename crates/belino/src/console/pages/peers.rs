//! Peers: how each link stands, and pausing and resuming it.

use super::super::{Desk, Fields, Visitor, redirect};
use super::{Frame, ago, anchor, bare, page, size, span};
use crate::admin::deed::{self, Deed};
use crate::admin::verbs;
use crate::explain::{failed_times, several, time, trouble_with};
use crate::telemetry::{Ended, Passed};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Response, StatusCode};
use relay::{Gate, Input, PeerName, PeerState};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// One peer at a glance.
pub(super) struct Row {
    pub name: String,
    pub gate: &'static str,
    pub tone: &'static str,
    pub sign: &'static str,
    pub why: String,
    pub queued: u64,
    /// How long the first of its queue is overdue, if that is worth a word.
    pub overdue: Option<String>,
    pub in_flight: usize,
    pub incoming: usize,
    pub received: u64,
    pub sent: u64,
    pub refused: u64,
    pub round_trip: String,
    pub heard: String,
}

/// How the gate stands: a word, a tone, a sign, and why.
fn gate(state: &PeerState) -> (&'static str, &'static str, &'static str, String) {
    match &state.gate {
        _ if state.paused => ("paused", "warn", "\u{2016}", "paused by an operator".into()),
        Gate::Open => ("open", "good", "\u{2713}", String::new()),
        Gate::Shut { until, failures, why } => (
            "shut",
            "bad",
            "\u{2715}",
            format!("{}, next at {}: {why}", failed_times(*failures), time(*until)),
        ),
    }
}

/// Every peer at a glance.
pub(super) async fn rows(desk: &Desk, frame: &Frame) -> Vec<Row> {
    let parts = &desk.parts;
    let states = parts.heart.look(relay::Shard::peers).await.unwrap_or_default();
    let (queues, passed) = (parts.queues().await.unwrap_or_default(), parts.dock.telemetry.passed());
    let (sessions, now) = (parts.dock.sessions(), parts.clock.now());
    let row = |state: &PeerState| {
        let none = Passed::default();
        let passed = passed.get(&state.peer).unwrap_or(&none);
        let queue = queues.get(&state.peer).copied().unwrap_or_default();
        let (gate, tone, sign, why) = gate(state);
        Row {
            name: state.peer.to_string(),
            gate,
            tone,
            sign,
            why: frame.masked(&why),
            queued: queue.queued,
            overdue: (queue.overdue >= Duration::from_secs(2)).then(|| span(queue.overdue)),
            in_flight: state.in_flight,
            incoming: sessions.get(&state.peer).copied().unwrap_or(0),
            received: passed.received_all(),
            sent: passed.ended(Ended::Taken),
            refused: passed.ended(Ended::Never),
            round_trip: seconds(passed.round_trip.quantile(0.5)),
            heard: ago(now, passed.last_received),
        }
    };
    states.iter().map(row).collect()
}

/// Seconds in words.
pub(super) fn seconds(of: Option<f64>) -> String {
    match of {
        None => "\u{2013}".into(),
        Some(s) if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        Some(s) if s < 120.0 => format!("{s:.1} s"),
        Some(s) => format!("{:.0} min", s / 60.0),
    }
}

#[derive(Template)]
#[template(path = "console/peers.html")]
struct Peers {
    frame: Frame,
    rows: Vec<Row>,
}

pub(in super::super) async fn all(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Response<Body> {
    let frame = Frame::new(&desk, &visitor, "Peers", "/peers").await;
    let rows = rows(&desk, &frame).await;
    page(StatusCode::OK, &Peers { frame, rows })
}

#[derive(Template)]
#[template(path = "console/peer.html")]
struct Peer {
    frame: Frame,
    row: Row,
    facts: Vec<(&'static str, String)>,
    refusals: Vec<Refusal>,
    kinds: Vec<(String, &'static str, String, u64)>,
    /// Its connections to us, in words.
    incoming: String,
    /// Where its configuration is shown.
    anchor: String,
    paused: bool,
}

/// Something that was refused, with the words that were said.
struct Refusal {
    at: String,
    who: String,
    words: String,
    next: String,
    mm: Option<String>,
}

pub(in super::super) async fn one(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let notice = match query.get("done").map(String::as_str) {
        Some("pause") => "Nothing is sent to this peer until it is resumed.",
        Some("resume") => "The peer is tried again at once.",
        _ => "",
    };
    let frame = Frame::new(&desk, &visitor, format!("Peer {name}"), "/peers").await.noticing(notice);
    show(&desk, frame, &name).await
}

async fn show(desk: &Desk, frame: Frame, name: &str) -> Response<Body> {
    let parts = &desk.parts;
    let Some(row) = rows(desk, &frame).await.into_iter().find(|row| row.name == name) else {
        return bare(StatusCode::NOT_FOUND, "No peer has this name.");
    };
    let (peer, config, now) = (PeerName::new(name), parts.dock.config(), parts.clock.now());
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    let passed = parts.dock.telemetry.passed().remove(&peer).unwrap_or_default();
    let heard = parts.dock.telemetry.recent.of(&peer);
    if let Some(link) = config.links.iter().find(|l| l.peer == peer) {
        let hosts =
            if link.discover.is_some() { "as the DNS says".to_owned() } else { link.hosts.join(", ") };
        let from: Vec<String> = link.from.iter().map(ToString::to_string).collect();
        facts.push(("Hosts", hosts));
        facts.push((
            "Connects from",
            if from.is_empty() { "anywhere, by its certificate".into() } else { from.join(", ") },
        ));
        facts.push(("Connections out, at most", link.connections_max.to_string()));
        facts.push(("Connections in", format!("{} of at most {}", row.incoming, link.sessions_max)));
        facts.push(("TLS", link.tls.mode.as_str().to_owned()));
    }
    match parts.dock.seen(&peer) {
        Some(seen) => {
            let way = if seen.incoming { "when it connected" } else { "when we connected" };
            facts.push(("Last under TLS", format!("{}, {way}: {}", time(seen.at), seen.facts)));
            facts.push(("Its certificate ends", seen.until.map_or("it showed none".into(), time)));
        }
        None => facts.push(("Last under TLS", "not since the configuration was read".into())),
    }
    let hits = parts.dock.paces.hits(&peer);
    facts.push(("Last mail from it", ago(now, passed.last_received)));
    facts.push(("Last mail to it", ago(now, passed.last_sent)));
    facts.push((
        "First of its queue",
        match (&row.overdue, row.queued) {
            (Some(overdue), _) => format!("late by {overdue}"),
            (None, 0) => "nothing waits".to_owned(),
            (None, _) => "not due yet".to_owned(),
        },
    ));
    let quantile = |q| seconds(passed.round_trip.quantile(q));
    facts.push((
        "Its responses take",
        match passed.round_trip.count() {
            0 => "none came since the start".to_owned(),
            n => format!("{} for half, {} for 95 of 100; {n} so far", quantile(0.5), quantile(0.95)),
        },
    ));
    facts.push((
        "Octets in and out",
        format!("{} in, {} out", size(passed.octets_received), size(passed.octets_sent)),
    ));
    facts.push(("Too fast", format!("{} slowed down, {} refused", hits.slowed, hits.refused)));
    let refusal = |r: &crate::recent::Refusal| Refusal {
        at: time(r.at),
        who: if r.ours { format!("from {name}, refused by us") } else { format!("to {name}") },
        words: frame.masked(&r.words),
        next: trouble_with(&r.words, name).unwrap_or_default(),
        mm: r.mm.map(|mm| mm.to_string()),
    };
    let refusals = heard.refusals.iter().map(refusal).collect();
    let message = |message: &str| (if message == "other" { "other mail" } else { message }).to_owned();
    let status = |status: &str| if status == "-" { String::new() } else { status.to_owned() };
    let received = passed.received.iter().map(|(k, n)| (message(k.message), "in", status(k.status), *n));
    let sent = passed.sent.iter().map(|((k, how), n)| {
        let how = match how {
            Ended::Taken => "taken",
            Ended::Later => "put off",
            Ended::Never => "refused",
            Ended::Unreachable => "no connection",
            Ended::Unable => "could not be made",
        };
        let words = [status(k.status), how.to_owned()];
        (
            message(k.message),
            "out",
            words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", "),
            *n,
        )
    });
    let kinds = received.chain(sent).collect();
    let paused = row.gate == "paused";
    let (incoming, anchor) = (several(row.incoming as u64, "connection"), anchor(&format!("Peer {name}")));
    page(StatusCode::OK, &Peer { frame, row, facts, refusals, kinds, incoming, anchor, paused })
}

pub(in super::super) async fn change(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path((name, change)): Path<(String, String)>,
) -> Response<Body> {
    let reason = fields.text("reason");
    let (what, input): (&'static str, fn(PeerName) -> Input) = match change.as_str() {
        "pause" => ("pause", Input::Pause),
        "resume" => ("resume", Input::Resume),
        _ => return bare(StatusCode::NOT_FOUND, "There is no such change of a peer."),
    };
    if reason.is_empty() {
        let frame = Frame::new(&desk, &visitor, format!("Peer {name}"), "/peers").await;
        return show(&desk, frame.failing("Write a reason: it is kept in the audit log."), &name).await;
    }
    let peer = match verbs::known_peer(&desk.parts, &name).await {
        Ok(peer) => peer,
        Err(_) => return bare(StatusCode::NOT_FOUND, "No peer has this name."),
    };
    desk.parts.heart.input(input(peer));
    let deed = Deed::new(what, format!("peer {name}")).because(reason);
    deed::record(&desk.parts, format!("console {}", visitor.name), deed, "done".into()).await;
    redirect(&format!("/peers/{name}?done={what}"))
}
