//! `/metrics` in the OpenMetrics text format, `/healthz` and `/readyz`.
//!
//! Owns: names, units and meanings of all metrics, in one table ([`TABLE`]) that is also the page docs/metrics.md. Never
//! knows: how anything is counted; that is telemetry's business. Reads only, so a crash leaves nothing.

use crate::serve::Parts;
use crate::telemetry::{BUCKETS, Histogram};
use crate::web::{self, Terms};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use relay::{Gate, PeerState};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// Connections at once; whoever scrapes needs one.
const SESSIONS_MAX: usize = 16;
/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Only grows, from 0 at the start.
    Counter,
    /// How it is now.
    Gauge,
    /// How long things took, in the buckets of [`BUCKETS`].
    Histogram,
}

impl Sort {
    /// As Prometheus calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric: its name without the `_total` of a counter, its labels, what it means.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name; the unit is its last word.
    pub name: &'static str,
    /// What it is.
    pub sort: Sort,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($key:ident: $sort:ident $name:literal $labels:expr, $help:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Key { $($key,)+ }

        /// Every metric.
        pub const TABLE: &[Metric] = &[$(
            Metric { name: $name, sort: Sort::$sort, labels: &$labels, help: $help },
        )+];
    };
}

metrics! {
    Build: Gauge "belino_build_info" ["version"], "Always 1; the version is a label";
    Ready: Gauge "belino_ready" [], "1 while new MMs are accepted, as /readyz says";
    Received: Counter "belino_messages_received" ["peer", "message", "status"], "Mails that the peer brought to their end of data, by abstract message and the status that it carries";
    Replies: Counter "belino_replies" ["peer", "code"], "Our SMTP replies to these mails, by code";
    ReceivedBytes: Counter "belino_received_bytes" ["peer"], "Octets of these mails";
    Sent: Counter "belino_messages_sent" ["peer", "message", "status", "outcome"], "Attempts to bring a mail to the peer: taken, later, never, unreachable, unable";
    SentBytes: Counter "belino_sent_bytes" ["peer"], "Octets of bodies that the peer took";
    Acceptance: Histogram "belino_acceptance_seconds" ["peer"], "From a mail's last octet to our reply, durable commit included";
    RoundTrip: Histogram "belino_response_seconds" ["peer"], "From the peer's 250 for our MM4_forward.REQ to its MM4_forward.RES";
    Age: Histogram "belino_delivery_age_seconds" ["peer"], "Age of what the peer took, since we took responsibility for it";
    LastReceived: Gauge "belino_last_received_timestamp_seconds" ["peer"], "When the peer last brought a mail";
    LastSent: Gauge "belino_last_sent_timestamp_seconds" ["peer"], "When the peer last took a mail";
    Queue: Gauge "belino_queue_entries" ["peer"], "Errands that wait for the peer, counted up to 100,000";
    Overdue: Gauge "belino_queue_overdue_seconds" ["peer"], "For how long the first of them has been due";
    InFlight: Gauge "belino_in_flight" ["peer"], "Errands on their way to the peer";
    GateOpen: Gauge "belino_peer_reachable" ["peer"], "1 while the peer can be reached, 0 after failed connections";
    Paused: Gauge "belino_peer_paused" ["peer"], "1 while an operator has paused the peer";
    Connections: Gauge "belino_incoming_connections" ["peer"], "Connections of the peer to us";
    Stored: Gauge "belino_stored_bytes" ["peer"], "Octets of content of MMs from the peer that live here (stored_max)";
    Slowed: Counter "belino_pace_slowed" ["peer"], "Mails and reads of content that had to wait, for the peer sends faster than agreed";
    PaceRefused: Counter "belino_pace_refused" ["peer"], "Mails answered 451, for the peer sends faster than agreed";
    Failed: Gauge "belino_store_failed" [], "1 once the store takes nothing any more; the process ends then";
    DiskFree: Gauge "belino_disk_free_bytes" [], "Free octets where the data folder is";
    DiskMin: Gauge "belino_disk_free_min_bytes" [], "Below so many free octets new MMs are refused (limits.disk_free_min)";
    ContentLive: Gauge "belino_content_live_bytes" [], "Octets of content that is still needed";
    ContentStored: Gauge "belino_content_stored_bytes" [], "Octets that content takes up on the disk";
    LedgerLog: Gauge "belino_ledger_log_bytes" [], "Octets of the ledger's write-ahead log";
    Certificate: Gauge "belino_certificate_expiry_timestamp_seconds" [], "When our own certificate ends; absent without one";
    Spans: Counter "belino_trace_spans" ["outcome"], "Spans of traces: sent to the collector, or dropped, for there was no room or it refused them; absent without [traces]";
    Memory: Gauge "process_resident_memory_bytes" [], "Memory of the process";
    Descriptors: Gauge "process_open_fds" [], "Open file descriptors of the process";
    DescriptorsMax: Gauge "process_max_fds" [], "As many may be open";
    Cpu: Counter "process_cpu_seconds" [], "CPU time of the process";
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Spans(Box<Histogram>),
}

/// One value of a metric.
#[derive(Clone, Debug)]
struct Row {
    /// Its place in [`TABLE`].
    metric: usize,
    labels: Vec<(&'static str, String)>,
    value: Value,
}

/// All values at one moment.
#[derive(Clone, Debug, Default)]
struct Scrape(Vec<Row>);

impl Scrape {
    fn put(&mut self, key: Key, labels: &[&str], value: f64) {
        self.row(key, labels, Value::Number(value));
    }

    fn row(&mut self, key: Key, values: &[&str], value: Value) {
        let names = TABLE[key as usize].labels;
        let labels = names.iter().copied().zip(values.iter().map(|v| (*v).to_owned())).collect();
        self.0.push(Row { metric: key as usize, labels, value });
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (place, metric) in TABLE.iter().enumerate() {
            let rows: Vec<_> = self.0.iter().filter(|row| row.metric == place).collect();
            if rows.is_empty() {
                continue;
            }
            let sort = match metric.sort {
                Sort::Counter => MetricType::Counter,
                Sort::Gauge => MetricType::Gauge,
                Sort::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, sort)?;
            for Row { labels, value, .. } in rows {
                match labels.is_empty() {
                    true => write(&mut family, metric.sort, value)?,
                    false => write(&mut family.encode_family(labels)?, metric.sort, value)?,
                }
            }
        }
        Ok(())
    }
}

fn write(one: &mut MetricEncoder<'_>, sort: Sort, value: &Value) -> Result<(), fmt::Error> {
    match (value, sort) {
        (Value::Number(number), Sort::Counter) => one.encode_counter::<NoLabelSet, f64, f64>(number, None),
        (Value::Number(number), _) => one.encode_gauge(number),
        (Value::Spans(spans), _) => {
            let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(spans.counts).collect();
            one.encode_histogram::<NoLabelSet>(spans.sum, spans.count(), &buckets, None)
        }
    }
}

/// Why no new MM is accepted at the moment, if so.
pub async fn unready(parts: &Parts) -> Option<String> {
    let health = parts.store.health();
    let min = parts.dock.config().limits.disk_free_min;
    if let Some(why) = health.failed {
        return Some(format!("the store takes nothing any more: {why}"));
    }
    if let Some(free) = health.disk_free.filter(|free| *free < min) {
        return Some(format!(
            "{free} octets are free where the data folder is, and limits.disk_free_min is {min}"
        ));
    }
    let patience = Duration::from_secs(5);
    match parts.clock.within(patience, parts.heart.look(|_| ())).await {
        Some(Some(())) => None,
        _ => Some("the heart does not answer".to_owned()),
    }
}

async fn scrape(parts: &Parts) -> anyhow::Result<String> {
    let mut all = Scrape::default();
    all.put(Key::Build, &[env!("CARGO_PKG_VERSION")], 1.0);
    all.put(Key::Ready, &[], f64::from(u8::from(unready(parts).await.is_none())));
    passed(parts, &mut all);
    let states: Vec<PeerState> = parts.heart.look(relay::Shard::peers).await.unwrap_or_default();
    let (queues, sessions) = (parts.queues().await.unwrap_or_default(), parts.dock.sessions());
    for state in &states {
        let peer = [state.peer.as_str()];
        let queue = queues.get(&state.peer).copied().unwrap_or_default();
        all.put(Key::Queue, &peer, queue.queued as f64);
        all.put(Key::Overdue, &peer, queue.overdue.as_secs_f64());
        all.put(Key::InFlight, &peer, state.in_flight as f64);
        all.put(Key::GateOpen, &peer, f64::from(u8::from(state.gate == Gate::Open)));
        all.put(Key::Paused, &peer, f64::from(u8::from(state.paused)));
        all.put(Key::Connections, &peer, sessions.get(&state.peer).copied().unwrap_or(0) as f64);
        all.put(Key::Stored, &peer, parts.store.stored_by(state.peer.as_str()) as f64);
        let hits = parts.dock.paces.hits(&state.peer);
        all.put(Key::Slowed, &peer, hits.slowed as f64);
        all.put(Key::PaceRefused, &peer, hits.refused as f64);
    }
    let health = parts.store.health();
    all.put(Key::Failed, &[], f64::from(u8::from(health.failed.is_some())));
    if let Some(free) = health.disk_free {
        all.put(Key::DiskFree, &[], free as f64);
    }
    all.put(Key::DiskMin, &[], parts.dock.config().limits.disk_free_min as f64);
    all.put(Key::ContentLive, &[], health.content_live as f64);
    all.put(Key::ContentStored, &[], health.content_stored as f64);
    all.put(Key::LedgerLog, &[], health.log_size as f64);
    if let Some(until) = parts.dock.certificate_until() {
        all.put(Key::Certificate, &[], until.millis() as f64 / 1000.0);
    }
    if let Some(traces) = &parts.dock.telemetry.traces {
        let count = traces.count();
        all.put(Key::Spans, &["sent"], count.sent as f64);
        all.put(Key::Spans, &["dropped"], count.dropped as f64);
    }
    process(&mut all);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(all));
    let mut text = String::with_capacity(64 << 10);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

fn passed(parts: &Parts, all: &mut Scrape) {
    let mut every = parts.dock.telemetry.passed();
    // A peer that is configured has its counters from the start: a rate needs the 0 before the first.
    for link in &parts.dock.config().links {
        every.entry(link.peer.clone()).or_default();
    }
    for (peer, passed) in every {
        let peer = peer.as_str();
        for (kind, count) in &passed.received {
            all.put(Key::Received, &[peer, kind.message, kind.status], *count as f64);
        }
        for (code, count) in &passed.replies {
            all.put(Key::Replies, &[peer, &code.to_string()], *count as f64);
        }
        all.put(Key::ReceivedBytes, &[peer], passed.octets_received as f64);
        for ((kind, ended), count) in &passed.sent {
            all.put(Key::Sent, &[peer, kind.message, kind.status, ended.word()], *count as f64);
        }
        all.put(Key::SentBytes, &[peer], passed.octets_sent as f64);
        all.row(Key::Acceptance, &[peer], Value::Spans(Box::new(passed.acceptance)));
        all.row(Key::RoundTrip, &[peer], Value::Spans(Box::new(passed.round_trip)));
        all.row(Key::Age, &[peer], Value::Spans(Box::new(passed.age)));
        if let Some(at) = passed.last_received {
            all.put(Key::LastReceived, &[peer], at.millis() as f64 / 1000.0);
        }
        if let Some(at) = passed.last_sent {
            all.put(Key::LastSent, &[peer], at.millis() as f64 / 1000.0);
        }
    }
}

/// What the system says of this process.
fn process(all: &mut Scrape) {
    let page = rustix::param::page_size() as f64;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    if let Some(pages) = statm.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok()) {
        all.put(Key::Memory, &[], pages * page);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        all.put(Key::Descriptors, &[], open.count() as f64);
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    all.put(Key::DescriptorsMax, &[], most.map_or(f64::INFINITY, |most| most as f64));
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    all.put(Key::Cpu, &[], used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
}

fn plain(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

const WORDS: &str = "text/plain; charset=utf-8";

async fn metrics(State(parts): State<Arc<Parts>>) -> Response<Body> {
    match scrape(&parts).await {
        Ok(text) => plain(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, WORDS, format!("{error:#}\n")),
    }
}

/// Whether the process lives and can go on: a `503` here is a reason to start it anew.
async fn healthz(State(parts): State<Arc<Parts>>) -> Response<Body> {
    match parts.store.health().failed {
        None => plain(StatusCode::OK, WORDS, "ok\n".into()),
        Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, WORDS, format!("the store has failed: {why}\n")),
    }
}

/// Whether new MMs are accepted: a `503` here is a reason to send them elsewhere.
async fn readyz(State(parts): State<Arc<Parts>>) -> Response<Body> {
    match unready(&parts).await {
        None => plain(StatusCode::OK, WORDS, "ready\n".into()),
        Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, WORDS, format!("{why}\n")),
    }
}

/// Serve until the house stops.
pub async fn listen(
    parts: Arc<Parts>,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: watch::Receiver<bool>,
) {
    let terms = Terms {
        clock: parts.clock.clone(),
        sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
        patience: Arc::new(|| PATIENCE),
        stop,
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async {
            plain(StatusCode::NOT_FOUND, WORDS, "here are /metrics, /healthz and /readyz\n".into())
        })
        .with_state(parts);
    web::listen(terms, listener, router, tasks).await;
}

/// The table as a page of the documentation.
pub fn page() -> String {
    use fmt::Write as _;
    let mut out = String::from(
        "| metric | kind | labels | meaning |\n|---|---|---|---|\n", // as Markdown
    );
    for metric in TABLE {
        let name =
            if metric.sort == Sort::Counter { format!("{}_total", metric.name) } else { metric.name.into() };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (sort, labels) = (metric.sort.word(), labels.join(", "));
        let _ = writeln!(out, "| `{name}` | {sort} | {labels} | {} |", metric.help);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_conventions() {
        for metric in TABLE {
            let name = metric.name;
            assert!(name.starts_with("belino_") || name.starts_with("process_"), "{name}");
            assert!(!name.ends_with("_total"), "{name}: the encoder adds it");
            assert_eq!(
                metric.sort == Sort::Histogram,
                metric.sort == Sort::Histogram && name.ends_with("_seconds"),
                "{name}"
            );
            assert_eq!(TABLE.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }

    /// The page of the documentation holds the table as it is.
    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../../docs/metrics.md");
        assert!(page.contains(&super::page()), "docs/metrics.md must hold this table:\n{}", super::page());
    }
}
