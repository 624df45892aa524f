//! How busy the relay is, and with whom: what `belino top` shows.
//!
//! Owns: which figures an overview has, and over how long rates and quantiles are taken. Never knows: terminals. Reads
//! only, so a crash leaves nothing.

use crate::metrics::unready;
use crate::serve::Parts;
use crate::telemetry::{Histogram, Passed, PeerSample, REFUSALS_MAX, Sample};
use crate::view;
use anyhow::Context as _;
use mms::Timestamp;
use relay::{PeerName, PeerState};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rates are taken over so long, or as long as it has run.
const RATES: Duration = Duration::from_secs(60);
/// Quantiles of round trips are taken over so long.
const QUANTILES: Duration = Duration::from_secs(300);
/// Kinds of refusals that are told.
const REFUSALS_TOLD_MAX: usize = 20;

/// Everything at one moment.
pub async fn overview(parts: &Parts) -> anyhow::Result<Value> {
    let telemetry = &parts.dock.telemetry;
    let why = unready(parts).await;
    let states = parts.heart.look(relay::Shard::peers).await.context("the relay is stopping")?;
    let (mut queues, sessions, config) = (parts.queues().await?, parts.dock.sessions(), parts.dock.config());
    let (health, passed) = (parts.store.health(), telemetry.passed());
    let (rates, quantiles) = (telemetry.window(RATES), telemetry.window(QUANTILES));
    let nothing = Passed::default();
    let figures = |name: &PeerName| {
        let passed = passed.get(name).unwrap_or(&nothing);
        json!({
            "per_second": per_second(rates.as_ref(), name),
            "response_seconds": response(quantiles.as_ref(), name),
            "since_start": since_start(passed),
            "last_received": passed.last_received.map(|at| at.to_string()),
            "last_sent": passed.last_sent.map(|at| at.to_string()),
        })
    };
    let mut rows = Vec::new();
    let mut queued_all = 0;
    for state in &states {
        let queue = queues.remove(&state.peer).unwrap_or_default();
        let link = config.links.iter().find(|link| link.peer == state.peer);
        let incoming = sessions.get(&state.peer).copied().unwrap_or(0);
        let tls = link.map(|link| link.tls.mode).unwrap_or_default();
        let mut row = view::peer(state, queue.queued, incoming, tls);
        row["overdue_seconds"] = json!(queue.overdue.as_secs_f64());
        extend(&mut row, figures(&state.peer));
        queued_all += queue.queued;
        rows.push(row);
    }
    // Whoever brought mails and is nobody's peer: not shown yet who it is, or not configured any more.
    let is_peer = |name: &PeerName| states.iter().any(|state: &PeerState| state.peer == *name);
    for name in passed.keys().filter(|name| !is_peer(name)) {
        let incoming = sessions.get(name).copied().unwrap_or(0);
        let mut row = json!({ "peer": name.as_str(), "incoming_connections": incoming });
        extend(&mut row, figures(name));
        rows.push(row);
    }
    Ok(json!({
        "now": parts.clock.now().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "ready": why.is_none(),
        "why": why,
        "disk_free": health.disk_free,
        "disk_free_min": config.limits.disk_free_min,
        "queued": queued_all,
        "rates_over_seconds": rates.as_ref().map(|(old, new)| new.at.since(old.at).as_secs_f64()),
        "peers": rows,
        "refusals": refusals(&passed),
    }))
}

fn extend(row: &mut Value, more: Value) {
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
}

/// What a peer had in both samples of a window, and how many seconds lie between.
fn between(window: Option<&(Sample, Sample)>, peer: &PeerName) -> Option<(PeerSample, PeerSample, f64)> {
    let (old, new) = window?;
    let of = |sample: &Sample| sample.peers.get(peer).cloned().unwrap_or_default();
    let seconds = new.at.since(old.at).as_secs_f64();
    (seconds > 0.0).then(|| (of(old), of(new), seconds))
}

/// Nothing is known before there are two samples.
fn per_second(window: Option<&(Sample, Sample)>, peer: &PeerName) -> Value {
    let Some((old, new, seconds)) = between(window, peer) else { return Value::Null };
    let rate = |of: fn(&PeerSample) -> u64| of(&new).saturating_sub(of(&old)) as f64 / seconds;
    json!({
        "received": rate(|peer| peer.received),
        "sent": rate(|peer| peer.sent),
        "never": rate(|peer| peer.never),
        "later": rate(|peer| peer.later),
    })
}

fn response(window: Option<&(Sample, Sample)>, peer: &PeerName) -> Value {
    let spans = match between(window, peer) {
        Some((old, new, _)) => new.round_trip.since(&old.round_trip),
        None => Histogram::default(),
    };
    json!({ "count": spans.count(), "p50": spans.quantile(0.5), "p95": spans.quantile(0.95) })
}

/// What went wrong since the start, by its name: our replies that were no `2xx`, statuses that were errors, attempts that
/// were not taken.
fn since_start(passed: &Passed) -> Value {
    let mut wrong = BTreeMap::<String, u64>::new();
    let mut note = |name: String, count: u64| *wrong.entry(name).or_default() += count;
    for (code, count) in passed.replies.iter().filter(|(code, _)| **code >= 400) {
        note(format!("we replied {code}"), *count);
    }
    for (kind, count) in passed.received.iter().filter(|(kind, _)| kind.status.starts_with("Error")) {
        note(format!("{} {}", kind.message, kind.status), *count);
    }
    for ended in crate::telemetry::Ended::ALL {
        if ended != crate::telemetry::Ended::Taken {
            note(format!("sent: {}", ended.word()), passed.ended(ended));
        }
    }
    wrong.retain(|_, count| *count > 0);
    let taken = passed.ended(crate::telemetry::Ended::Taken);
    let wrong: Map<String, Value> = wrong.into_iter().map(|(name, count)| (name, json!(count))).collect();
    json!({ "received": passed.received_all(), "sent": taken, "wrong": wrong })
}

/// What peers did not take last, the same words together, the newest first.
fn refusals(passed: &BTreeMap<PeerName, Passed>) -> Value {
    let mut mix: BTreeMap<(&str, &str, &str), (u64, Timestamp)> = BTreeMap::new();
    for (peer, passed) in passed {
        for refusal in passed.refusals.iter().rev().take(REFUSALS_MAX) {
            let key = (peer.as_str(), refusal.ended.word(), refusal.words.as_str());
            let (count, last) = mix.entry(key).or_insert((0, refusal.at));
            *count += 1;
            *last = (*last).max(refusal.at);
        }
    }
    let mut mix: Vec<_> = mix.into_iter().collect();
    mix.sort_by_key(|(_, (_, last))| std::cmp::Reverse(*last));
    let row = |((peer, outcome, words), (count, last)): (_, (u64, Timestamp))| json!({ "peer": peer, "outcome": outcome, "words": words, "count": count, "last": last.to_string() });
    mix.into_iter().take(REFUSALS_TOLD_MAX).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Ended, Refusal};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    #[test]
    fn rates_are_of_the_window_alone() {
        let peer = PeerName::new("b");
        let sample = |seconds, received, later| {
            let of_b = PeerSample { received, later, ..PeerSample::default() };
            Sample { at: at(seconds), peers: BTreeMap::from([(peer.clone(), of_b)]) }
        };
        let window = (sample(0, 100, 7), sample(20, 150, 7));
        let rates = per_second(Some(&window), &peer);
        assert_eq!((&rates["received"], &rates["later"]), (&json!(2.5), &json!(0.0)));
        // A peer that was not there yet began at 0; without a window nothing is known.
        assert_eq!(per_second(Some(&window), &PeerName::new("c"))["sent"], json!(0.0));
        assert_eq!(per_second(None, &peer), Value::Null);
    }

    #[test]
    fn refusals_with_the_same_words_are_one_line() {
        let refusal = |seconds, words: &str| Refusal {
            at: at(seconds),
            ended: Ended::Later,
            message: "MM4_forward.REQ",
            words: words.into(),
        };
        let b = Passed {
            refusals: [refusal(1, "421 busy"), refusal(2, "450 no"), refusal(3, "421 busy")].into(),
            ..Passed::default()
        };
        let told = refusals(&BTreeMap::from([(PeerName::new("b"), b)]));
        assert_eq!((&told[0]["words"], &told[0]["count"]), (&json!("421 busy"), &json!(2)));
        assert_eq!(told[0]["last"], json!(at(3).to_string()));
        assert_eq!((&told[1]["words"], told.as_array().unwrap().len()), (&json!("450 no"), 2));
    }
}
