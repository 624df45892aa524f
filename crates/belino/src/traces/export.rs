//! Sends spans to the collector: OTLP over HTTP, as protobuf.
//!
//! Owns: one connection to the configured collector, and when to try again. Never knows: what a span means. It connects to
//! the configured URL and to nothing else.
//!
//! A collector that is away costs the spans that have no room meanwhile, and nothing else.

use super::span::{Fact, Side, Span, Value};
use super::{BATCH, PAUSE, Sender};
use crate::serve::until_stop;
use crate::web_client::{Connection, Request};
use mms::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Written, Status};
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after a collector could not be reached, and the longest: it doubles.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Flags of every span: sampled, and its trace id has random bits (W3C trace context, level 2).
const FLAGS: u32 = 0x03;

/// How sending a batch ended.
enum Ended {
    /// It took all but so many.
    Taken(u64),
    /// The collector is away or busy: the batch is sent again.
    Later(String),
    /// It will never want it.
    Never(String),
}

impl Sender {
    /// Send until the house stops, and what waits then once more.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut connection, mut retry, mut is_away) = (None, RETRY[0], false);
        loop {
            let stopping = tokio::select! {
                biased;
                () = until_stop(&mut stop) => true,
                () = self.traces.full.notified() => false,
                () = self.clock.sleep(PAUSE) => false,
            };
            self.look().await;
            loop {
                let batch = self.traces.batch();
                let count = batch.len() as u64;
                if count == 0 {
                    break;
                }
                let octets = self.written(batch);
                // The same octets until the collector has them, or has no use for them.
                let ended = loop {
                    match self.post(&mut connection, octets.clone()).await {
                        Ended::Later(why) if !stopping => {
                            if !std::mem::replace(&mut is_away, true) {
                                tracing::warn!(endpoint = %self.config.endpoint, "no collector takes traces: {why}");
                            }
                            tokio::select! {
                                () = until_stop(&mut stop) => break Ended::Later(why),
                                () = self.clock.sleep(retry) => retry = (retry * 2).min(RETRY[1]),
                            }
                        }
                        ended => break ended,
                    }
                };
                match ended {
                    Ended::Taken(refused) => {
                        let refused = refused.min(count);
                        self.traces.sent.fetch_add(count - refused, Ordering::Relaxed);
                        self.traces.dropped.fetch_add(refused, Ordering::Relaxed);
                        if std::mem::replace(&mut is_away, false) {
                            tracing::info!(endpoint = %self.config.endpoint, "the collector takes traces again");
                        }
                        retry = RETRY[0];
                    }
                    Ended::Never(why) => {
                        self.traces.dropped.fetch_add(count, Ordering::Relaxed);
                        if !std::mem::replace(&mut is_away, true) {
                            tracing::warn!(endpoint = %self.config.endpoint, "the collector refuses traces: {why}");
                        }
                    }
                    Ended::Later(_) => return,
                }
                if count < BATCH as u64 {
                    break;
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Spans of MMs that have come to rest.
    async fn look(&self) {
        let (traces, store, clock) = (Arc::clone(&self.traces), Arc::clone(&self.store), self.clock.clone());
        let _ = tokio::task::spawn_blocking(move || traces.follow(&*store, &clock)).await;
    }

    async fn post(&self, slot: &mut Option<Connection>, octets: Vec<u8>) -> Ended {
        let request = Request::post(&self.config.endpoint, "application/x-protobuf", octets);
        let exchange = async {
            // A kept connection may have died meanwhile.
            if let Some(mut connection) = slot.take().filter(Connection::is_open)
                && let Ok(answered) = connection.ask(&request).await
            {
                return Ok((connection, answered));
            }
            let mut connection =
                Connection::open(&self.config.endpoint, &tokio::runtime::Handle::current()).await?;
            let answered = connection.ask(&request).await?;
            Ok::<_, String>((connection, answered))
        };
        let (connection, answered) = match self.clock.within(PATIENCE, exchange).await {
            Some(Ok(exchanged)) => exchanged,
            Some(Err(why)) => return Ended::Later(why),
            None => return Ended::Later(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let words = answered.words();
        if answered.whole {
            *slot = Some(connection);
        }
        match answered.status {
            200..=299 => {
                let said = ExportTraceServiceResponse::decode(answered.body()).unwrap_or_default();
                let refused = said.partial_success.map_or(0, |part| part.rejected_spans);
                Ended::Taken(u64::try_from(refused).unwrap_or(0))
            }
            // What OTLP calls retryable.
            429 | 502 | 503 | 504 => Ended::Later(words),
            _ => Ended::Never(words),
        }
    }

    /// The octets of a request.
    fn written(&self, batch: Vec<Span>) -> Vec<u8> {
        let of_house = [
            ("service.name", "belino"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &self.name),
        ];
        let attributes =
            of_house.into_iter().map(|(name, value)| attribute((name, Value::Text(value.into()))));
        let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
        let scope = InstrumentationScope {
            name: "belino".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..InstrumentationScope::default()
        };
        let spans = batch.into_iter().map(written).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

fn attribute((name, value): Fact) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue { key: name.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.millis()).unwrap_or(0).saturating_mul(1_000_000)
}

fn written(span: Span) -> Written {
    let kind = match span.side {
        Side::Inside => SpanKind::Internal,
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
    };
    let begin = nanos(span.begin);
    let took = u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX);
    let events = span.marks.into_iter().map(|mark| Event {
        time_unix_nano: nanos(mark.at),
        name: mark.name.into(),
        attributes: mark.facts.into_iter().map(attribute).collect(),
        ..Event::default()
    });
    let status = span.trouble.map(|message| Status { message, code: StatusCode::Error.into() });
    Written {
        trace_id: span.mm.bits().to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
        flags: FLAGS,
        name: span.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: begin.saturating_add(took),
        attributes: span.facts.into_iter().map(attribute).collect(),
        events: events.collect(),
        status,
        ..Written::default()
    }
}
