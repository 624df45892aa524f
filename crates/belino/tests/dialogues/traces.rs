//! Traces as a collector receives them: one for each MM, over a restart too, and what becomes of them without one.

use crate::metrics::scrape;
use crate::world::*;
use mms::MmId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What takes traces over HTTP, as far as these tests need it.
struct Collector {
    address: SocketAddr,
    /// Bodies as they came.
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Statuses of the next answers; then `200`.
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Collector {
    fn new(answers: &[u16]) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), answers)
    }

    fn at(listener: TcpListener, answers: &[u16]) -> Self {
        let address = listener.local_addr().unwrap();
        let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let (kept, said) = (bodies.clone(), answers.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (kept, said) = (kept.clone(), said.clone());
                std::thread::spawn(move || serve(socket.unwrap(), &kept, &said));
            }
        });
        Self { address, bodies, answers }
    }

    fn lines(&self) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\n[metrics]\nlisten = [\"127.0.0.1:0\"]", self.address)
    }

    fn world(&self) -> World {
        World::with(Setup { more: self.lines(), ..Setup::default() })
    }

    /// Spans of what was taken, and facts about the house that sent them.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in &*self.bodies.lock().unwrap() {
            let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            for of_house in request.resource_spans {
                let resource = of_house.resource.unwrap();
                assert_eq!(fact(&resource.attributes, "service.name").unwrap(), "belino");
                assert_eq!(fact(&resource.attributes, "service.instance.id").unwrap(), "mms.a.example");
                spans.extend(of_house.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        spans
    }

    /// The trace of an MM, once it has so many spans.
    fn trace(&self, world: &World, mm: &str, count: usize) -> Vec<Span> {
        let id = mm.parse::<MmId>().unwrap().bits().to_be_bytes();
        world.until("the trace is whole", |world| {
            world.advance("2s");
            let mut spans = self.spans();
            spans.retain(|span| span.trace_id == id);
            (spans.len() >= count).then_some(spans)
        })
    }
}

fn serve(socket: TcpStream, kept: &Mutex<Vec<Vec<u8>>>, answers: &Mutex<VecDeque<u16>>) {
    let mut reader = BufReader::new(socket);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
        let (mut length, mut host) = (0, String::new());
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            let field = field.trim_end().to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if let Some(value) = field.strip_prefix("host: ") {
                value.clone_into(&mut host);
            }
            if let Some(value) = field.strip_prefix("content-type: ") {
                assert_eq!(value, "application/x-protobuf");
            }
            if field.is_empty() {
                break;
            }
        }
        assert_eq!(host, reader.get_ref().local_addr().unwrap().to_string());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let status = answers.lock().unwrap().pop_front().unwrap_or(200);
        if status == 200 {
            kept.lock().unwrap().push(body);
        }
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        if reader.get_mut().write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

fn fact(facts: &[KeyValue], name: &str) -> Option<String> {
    let fact = facts.iter().find(|fact| fact.key == name)?;
    match fact.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let of_name: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(of_name.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    of_name[0]
}

/// An MM to peer B, taken and answered three seconds later; its id.
fn through(world: &World) -> String {
    let mm = world.send(U1, &[B1], &["--subject", "hello"])["id"].as_str().unwrap().to_owned();
    let sent = world.b.mail();
    world.advance("3s");
    let res = response(&sent.must("X-Mms-Transaction-ID"), "Ok", &[]);
    let reply = world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    assert!(reply.starts_with("250"), "{reply}");
    mm
}

#[test]
fn an_mm_is_one_trace() {
    let collector = Collector::new(&[]);
    let world = collector.world();
    let spans = collector.trace(&world, &through(&world), 3);
    let whole = named(&spans, "MM");
    assert!(whole.parent_span_id.is_empty() && whole.status.is_none(), "{whole:?}");
    let events: Vec<&str> = whole.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["submitted", "queued", "forwarded", "response"]);
    assert_eq!(fact(&whole.attributes, "belino.states").unwrap(), "accepted");
    assert!(fact(&whole.attributes, "belino.what_happened").is_some_and(|what| !what.is_empty()));
    let send = named(&spans, "send MM4_forward.REQ");
    assert_eq!((fact(&send.attributes, "belino.peer").unwrap().as_str(), send.kind), ("b", 3));
    assert_eq!(fact(&send.attributes, "belino.attempt").unwrap(), "1");
    let wait = named(&spans, "await MM4_forward.RES");
    assert_eq!(wait.end_time_unix_nano - wait.start_time_unix_nano, 3_000_000_000);
    for part in [send, wait] {
        assert_eq!(part.parent_span_id, whole.span_id);
        assert!(part.start_time_unix_nano >= whole.start_time_unix_nano);
        assert!(part.end_time_unix_nano <= whole.end_time_unix_nano);
    }
    let ids: HashSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len());
    assert!(ids.iter().all(|id| id.len() == 8 && id.iter().any(|octet| *octet != 0)));
    // No number of anybody leaves with it.
    for body in &*collector.bodies.lock().unwrap() {
        assert!(!String::from_utf8_lossy(body).contains("20255501"));
    }
    world.until("it is counted", |world| {
        let samples = scrape(world);
        (samples["belino_trace_spans_total{outcome=\"sent\"}"] == 3.0).then_some(())
    });
}

#[test]
fn what_a_peer_brings_and_what_comes_later_are_in_its_trace() {
    let collector = Collector::new(&[]);
    let world = collector.world();
    assert!(world.from_b().forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    world.b.mail();
    let mm = world.trace("mm-1")[0]["id"].as_str().unwrap().to_owned();
    let spans = collector.trace(&world, &mm, 3);
    let whole = named(&spans, "MM");
    assert_eq!(fact(&whole.attributes, "belino.origin.peer").unwrap(), "b");
    assert_eq!(fact(&whole.attributes, "mm4.transaction_id").unwrap(), "tx-1");
    let received = named(&spans, "receive MM4_forward.REQ");
    assert_eq!((received.kind, fact(&received.attributes, "smtp.reply").unwrap().as_str()), (2, "250"));
    assert_eq!(received.parent_span_id, whole.span_id);
    assert_eq!(named(&spans, "send MM4_forward.RES").parent_span_id, whole.span_id);
    // The mailbox is emptied much later: a part of its own.
    world.advance("1h");
    assert!(world.cli(&["mailbox", "get", &mm, "--to", "fetched"]).status.success());
    let spans = collector.trace(&world, &mm, 4);
    let later = named(&spans, "MM, later");
    assert_eq!(later.parent_span_id, whole.span_id);
    assert!(later.events.iter().any(|event| event.name == "retrieved"), "{later:?}");
}

#[test]
fn a_mail_that_is_refused_stands_alone() {
    let collector = Collector::new(&[]);
    let b = "stored_max = \"1B\"".into();
    let world = World::with(Setup { b, more: collector.lines(), ..Setup::default() });
    assert!(world.from_b().forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("452"));
    let span = world.until("the span is there", |world| {
        world.advance("2s");
        collector.spans().pop()
    });
    assert_eq!((span.name.as_str(), &span.parent_span_id[..]), ("receive MM4_forward.REQ", &[][..]));
    assert_eq!(fact(&span.attributes, "smtp.reply").unwrap(), "452");
    assert!(span.status.unwrap().message.starts_with("452 4.2.2"));
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn a_trace_goes_on_after_a_crash() {
    let collector = Collector::new(&[]);
    let mut world = collector.world();
    let mm = world.send(U1, &[B1], &["--subject", "hello"])["id"].as_str().unwrap().to_owned();
    let sent = world.b.mail();
    let before = collector.trace(&world, &mm, 1);
    world.restart();
    let res = response(&sent.must("X-Mms-Transaction-ID"), "Ok", &[]);
    world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    let spans = collector.trace(&world, &mm, 3);
    let whole = named(&spans, "MM");
    assert_eq!(before[0].parent_span_id, whole.span_id);
    assert_eq!(whole.events.len(), 4);
}

#[test]
fn a_collector_that_is_busy_or_away_gets_the_same_later() {
    // A port where nobody listens at first, at an address that no other test uses.
    let listener = TcpListener::bind("127.0.0.77:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let more =
        format!("[traces]\nendpoint = \"http://{address}/v1/traces\"\n[metrics]\nlisten = [\"127.0.0.1:0\"]");
    let world = World::with(Setup { more, ..Setup::default() });
    let mm = through(&world);
    world.until("nobody is there", |world| {
        world.advance("2s");
        world.log().contains("no collector takes traces").then_some(())
    });
    let collector = Collector::at(TcpListener::bind(address).unwrap(), &[503, 429]);
    let spans = collector.trace(&world, &mm, 3);
    assert_eq!(spans.len(), 3);
    assert!(collector.answers.lock().unwrap().is_empty());
    let log = world.log();
    assert_eq!(log.matches("no collector takes traces").count(), 1, "{log}");
    world.until("it is said", |world| world.log().contains("the collector takes traces again").then_some(()));
    assert_eq!(scrape(&world)["belino_trace_spans_total{outcome=\"dropped\"}"], 0.0);
}

#[test]
fn what_a_collector_refuses_is_dropped_and_counted() {
    let collector = Collector::new(&[400]);
    let world = collector.world();
    through(&world);
    world.until("it is counted", |world| {
        world.advance("2s");
        (scrape(world)["belino_trace_spans_total{outcome=\"dropped\"}"] > 0.0).then_some(())
    });
    assert!(world.log().contains("the collector refuses traces: 400"));
    // The next one is sent as ever.
    let mm = through(&world);
    assert_eq!(collector.trace(&world, &mm, 3).len(), 3);
}

#[test]
fn a_stop_sends_what_waits() {
    let collector = Collector::new(&[]);
    let mut world = collector.world();
    let mm = world.send(U1, &[C1], &["--subject", "hello"])["id"].as_str().unwrap().to_owned();
    world.c.mail();
    world.settle();
    assert!(world.stop());
    let id = mm.parse::<MmId>().unwrap().bits().to_be_bytes();
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.trace_id == id && span.name == "send MM4_forward.REQ"), "{spans:?}");
}
