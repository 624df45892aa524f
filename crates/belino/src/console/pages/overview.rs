//! The overview: how it is now, what the last hour was like, and each peer in a line.

use super::super::chart::{Line, Scale, lines};
use super::super::{Desk, Visitor};
use super::peers::{Row, rows, seconds};
use super::{Frame, page, size, span};
use crate::telemetry::{Ended, Histogram, PeerSample, SAMPLES_MAX, Sample};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use relay::PeerName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Samples without a value that a line goes on over: five minutes. A quiet link has a response now and then.
const GAP: usize = 30;
/// Peers that have a line of their own in a chart.
const LINES_MAX: usize = 6;
/// Peers in the table: the charts below it should be near.
const ROWS_MAX: usize = 8;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Overview {
    frame: Frame,
    tiles: Vec<Tile>,
    charts: Vec<Chart>,
    /// Peers, those first that somebody should look at.
    rows: Vec<Row>,
    /// How many there are that stand on their own page only.
    more: usize,
    mix: Vec<Mix>,
}

struct Chart {
    title: &'static str,
    unit: &'static str,
    svg: String,
    /// The lines, and what each was last.
    names: Vec<(String, String)>,
    quiet: bool,
}

/// One number that matters.
struct Tile {
    name: &'static str,
    value: String,
    note: String,
    /// Somebody should look.
    bad: bool,
}

/// One kind of answer, how often it was given, and how much of all that is.
struct Mix {
    what: String,
    peer: String,
    count: u64,
    share: u64,
    tone: &'static str,
}

/// What came between each sample and the next; `of` has the seconds in between.
fn steps(
    samples: &[Sample],
    of: impl Fn(&PeerSample, &PeerSample, f64) -> Option<f64>,
    peer: &PeerName,
) -> Vec<Option<f64>> {
    let none = PeerSample::default();
    let each = samples.windows(2).map(|pair| {
        let seconds = pair[1].at.since(pair[0].at).as_secs_f64().max(1.0);
        let before = pair[0].peers.get(peer).unwrap_or(&none);
        of(before, pair[1].peers.get(peer)?, seconds)
    });
    each.collect()
}

fn chart(
    (title, unit, scale): (&'static str, &'static str, Scale),
    samples: &[Sample],
    peers: &[PeerName],
    of: impl Fn(&PeerSample, &PeerSample, f64) -> Option<f64>,
) -> Chart {
    let of_peer = |peer: &PeerName| Line { name: peer.to_string(), values: steps(samples, &of, peer) };
    let drawn: Vec<Line> = peers.iter().take(LINES_MAX).map(of_peer).collect();
    let quiet = drawn.iter().all(|l| l.values.iter().flatten().all(|v| *v == 0.0));
    let svg = lines(title, unit, scale, &drawn, SAMPLES_MAX - 1, GAP);
    let names = drawn.into_iter().map(|line| (line.last(scale), line.name));
    let names = names.map(|(last, name)| (name, last.unwrap_or_else(|| "\u{2013}".into())));
    Chart { title, unit, svg, names: names.collect(), quiet }
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Response<Body> {
    let parts = &desk.parts;
    let frame = Frame::new(&desk, &visitor, "Overview", "/").await;
    let mut rows = rows(&desk, &frame).await;
    let (samples, passed, health) =
        (parts.dock.telemetry.samples(), parts.dock.telemetry.passed(), parts.store.health());
    let mut peers: Vec<PeerName> = rows.iter().map(|row| PeerName::new(&row.name)).collect();
    // Those with the most to tell first.
    peers.sort_by_key(|peer| {
        std::cmp::Reverse(passed.get(peer).map_or(0, |p| p.received_all() + p.ended(Ended::Taken)))
    });
    let draw = |title, unit, scale, of: fn(&PeerSample, &PeerSample, f64) -> Option<f64>| {
        chart((title, unit, scale), &samples, &peers, of)
    };
    let charts = vec![
        draw("Mails in", "a second", Scale::Number, |a, b, s| {
            Some(b.received.saturating_sub(a.received) as f64 / s)
        }),
        draw("Mails out", "a second", Scale::Number, |a, b, s| {
            Some(b.sent.saturating_sub(a.sent) as f64 / s)
        }),
        draw("Queue age", "how late its first entry is", Scale::Span, |_, b, _| {
            Some(b.overdue.as_secs_f64())
        }),
        draw("RES latency", "from 250 to RES, the median", Scale::Span, |a, b, _| {
            b.round_trip.since(&a.round_trip).quantile(0.5)
        }),
        draw("Refused or put off", "a minute", Scale::Number, |a, b, s| {
            let both = |s: &PeerSample| s.never + s.later;
            Some(both(b).saturating_sub(both(a)) as f64 * 60.0 / s)
        }),
        draw("Queued", "entries that wait for the peer", Scale::Count, |_, b, _| Some(b.queued as f64)),
    ];
    let tiles = tiles(
        &rows,
        &samples,
        &passed,
        &health,
        parts.clock.now().since(parts.dock.telemetry.recent.since()),
    );
    let mix = mix(&passed);
    worst_first(&mut rows);
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    page(StatusCode::OK, &Overview { frame, tiles, charts, rows, more, mix })
}

/// Shut gates, then paused ones, then the longest queues, then who has the most to tell.
fn worst_first(rows: &mut [Row]) {
    let rank = |row: &Row| match row.gate {
        "shut" => 0,
        "paused" => 1,
        _ => 2,
    };
    rows.sort_by_key(|row| {
        (rank(row), std::cmp::Reverse(row.queued), std::cmp::Reverse(row.received + row.sent))
    });
}

fn tiles(
    rows: &[Row],
    samples: &[Sample],
    passed: &BTreeMap<PeerName, crate::telemetry::Passed>,
    health: &relay::store::Health,
    up: Duration,
) -> Vec<Tile> {
    let queued: u64 = rows.iter().map(|r| r.queued).sum();
    let overdue = samples.last().and_then(|s| s.peers.values().map(|p| p.overdue).max()).unwrap_or_default();
    let round_trip = passed.values().fold(Histogram::default(), |all, p| all.with(&p.round_trip));
    let minute = |of: fn(&PeerSample) -> u64| {
        let sum = |sample: &Sample| sample.peers.values().map(of).sum::<u64>();
        let Some(newest) = samples.last() else { return 0 };
        let (last, begin) = (sum(newest), newest.at.minus(Duration::from_secs(60)));
        let before = samples.iter().rev().find(|s| s.at <= begin).or(samples.first()).map_or(0, sum);
        last.saturating_sub(before)
    };
    let stand = |gate: &str| rows.iter().filter(|r| r.gate == gate).count();
    let (open, shut, paused) = (stand("open"), stand("shut"), stand("paused"));
    let gates = match (shut, paused) {
        (0, 0) => "every peer can be reached".to_owned(),
        (shut, 0) => format!("{shut} shut"),
        (0, paused) => format!("{paused} paused"),
        (shut, paused) => format!("{shut} shut, {paused} paused"),
    };
    let failed = health.failed.is_some();
    let late = match overdue.as_secs() {
        0 | 1 => "nothing is late".to_owned(),
        _ => format!("the first is late by {}", span(overdue)),
    };
    let free = health.disk_free.map_or("unknown".into(), size);
    let tile = |name, value: String, note: String, bad| Tile { name, value, note, bad };
    vec![
        tile("In, last minute", minute(|p| p.received).to_string(), "mails from all peers".into(), false),
        tile("Out, last minute", minute(|p| p.sent).to_string(), "mails to all peers".into(), false),
        tile("Waiting for peers", queued.to_string(), late, false),
        tile(
            "RES latency",
            seconds(round_trip.quantile(0.5)),
            match round_trip.quantile(0.95) {
                None => "no response since the start".to_owned(),
                most => format!("95 of 100 within {}", seconds(most)),
            },
            false,
        ),
        tile("Gates open", format!("{open} of {}", rows.len()), gates, shut > 0),
        tile(
            "Store",
            (if failed { "failed" } else { "fine" }).to_owned(),
            format!("{} kept, {free} free", size(health.content_live)),
            failed,
        ),
        tile("Running", span(up), "counts begin there".into(), false),
    ]
}

/// Answers by kind: what peers said to us, and we to them.
fn mix(passed: &BTreeMap<PeerName, crate::telemetry::Passed>) -> Vec<Mix> {
    let mut rows: Vec<(String, String, u64, &'static str)> = Vec::new();
    for (peer, passed) in passed {
        for (code, count) in &passed.replies {
            let tone = if *code < 300 { "good" } else { "bad" };
            rows.push((format!("our reply {code}"), peer.to_string(), *count, tone));
        }
        for (kind, count) in passed.received.iter().filter(|(k, _)| k.message.ends_with(".RES")) {
            let tone = if kind.status == "Ok" { "good" } else { "bad" };
            rows.push((format!("{} {}", kind.message, kind.status), peer.to_string(), *count, tone));
        }
        for ended in [Ended::Later, Ended::Never, Ended::Unreachable, Ended::Unable] {
            let count = passed.ended(ended);
            let words = match ended {
                Ended::Later => "our mails put off",
                Ended::Never => "our mails refused",
                Ended::Unreachable => "no connection to it",
                _ => "mails that we could not make",
            };
            if count > 0 {
                rows.push((words.to_owned(), peer.to_string(), count, "bad"));
            }
        }
    }
    rows.sort_by_key(|(.., count, tone)| (*tone == "good", std::cmp::Reverse(*count)));
    let most = rows.iter().map(|r| r.2).max().unwrap_or(1).max(1);
    let shown = rows.into_iter().take(20);
    shown
        .map(|(what, peer, count, tone)| Mix { what, peer, count, share: (count * 100).div_ceil(most), tone })
        .collect()
}
