//! How many MMs per second the cellar takes, and gives back.
//!
//! `cargo run --release -p store --example throughput [-- FOLDER [SECONDS [WRITERS [KB]]]]`
//!
//! Each writer waits until its MM is durable before it begins the next: content in pieces of 16 KiB, a ledger of 600
//! octets, one entry in one of 200 queues. `full` adds what a real MM needs: a used key, a tag, a record in an outbox.
//! Then as many workers read each MM back, with its content, and remove it. Medians of three rounds.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use mms::{MmId, Timestamp};
use relay::store::*;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Embedded, Options};

struct Round {
    accepted: f64,
    p50_ms: f64,
    p99_ms: f64,
    worst_ms: f64,
    drained: f64,
    written: f64,
}

/// MMs and their numbers.
type Ids = Vec<(MmId, u64)>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn commit(store: &Embedded, batch: Batch) -> Outcome {
    let (tx, rx) = sync_channel(1);
    store.commit(batch.into(), Box::new(move |result| drop(tx.send(result))));
    rx.recv().expect("an answer").expect("a commit")
}

fn entry(id: MmId, n: u64) -> Entry {
    let id = EntryId { queue: QueueId::new(&format!("peer{}.example", n % 200)), mm: id, part: 0 };
    Entry { id, due: Timestamp::from_seconds(n as i64), attempt: 0 }
}

fn accept(store: &Embedded, id: MmId, n: u64, body: &[u8], full: bool) {
    let mut writer = store.content_writer(Some(body.len() as u64)).expect("room");
    for piece in body.chunks(16 << 10) {
        writer.write(piece).expect("room");
    }
    let content = writer.finish().expect("room");
    let mut batch = Batch {
        need: Vec::new(),
        ops: vec![
            Op::PutLedger { id, ledger: body[..600].to_vec(), wake: None },
            Op::KeepContent { id, content, owner: "b".into() },
            Op::Enqueue(entry(id, n)),
        ],
    };
    if full {
        let key = format!("peer{}.example {id}@peer.example", n % 200).into_bytes();
        let keep_until = Timestamp::from_seconds(1_800_000_000);
        batch.need.push(Need::Once { key, value: vec![1], keep_until });
        batch.need.push(Need::Version { id, version: 0 });
        let tag = Tag { kind: TagKind::MessageId, value: format!("{id}@peer.example") };
        batch.ops.push(Op::PutTag { id, tag });
        batch.ops.push(Op::Emit { topic: Topic::Charging, data: vec![7; 200] });
    }
    assert_eq!(commit(store, batch), Outcome::Done);
}

fn remove(store: &Embedded, id: MmId, n: u64, len: usize) {
    let stored = store.ledger(id).expect("an answer").expect("a ledger");
    let content = stored.content.expect("content");
    let mut octets = vec![0; len];
    assert_eq!(store.read_content(&content, 0, &mut octets), Ok(len));
    let (id, entry) = (id, entry(id, n));
    let need = vec![Need::Held(entry.clone())];
    let ops = vec![Op::Ack(entry), Op::RemoveLedger { id }];
    assert_eq!(commit(store, Batch { need, ops }), Outcome::Done);
}

fn written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
}

fn round(
    store: &Arc<Embedded>,
    writers: u64,
    len: usize,
    span: Duration,
    full: bool,
    serial: &mut u64,
) -> Round {
    let base = *serial;
    *serial += 1 << 32;
    let before = written();
    let start = Instant::now();
    let done: Vec<(Ids, Vec<f64>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|w| {
                scope.spawn(move || {
                    let mut body = vec![0u8; len.max(600)];
                    let mut state = base + w + 1;
                    body.iter_mut().for_each(|octet| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        *octet = (state >> 56) as u8;
                    });
                    let (mut ids, mut waits) = (Vec::new(), Vec::new());
                    let mut n = w;
                    while start.elapsed() < span {
                        let random = (base + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        let id =
                            MmId::new((base >> 12) as i64 + start.elapsed().as_millis() as i64, 0, random);
                        let began = Instant::now();
                        accept(store, id, n, &body, full);
                        waits.push(began.elapsed().as_secs_f64() * 1e3);
                        ids.push((id, n));
                        n += writers;
                    }
                    (ids, waits)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer")).collect()
    });
    let took = start.elapsed().as_secs_f64();
    let octets = written() - before;
    let mut waits: Vec<f64> = done.iter().flat_map(|(_, waits)| waits).copied().collect();
    waits.sort_by(f64::total_cmp);
    let ids: Ids = done.into_iter().flat_map(|(ids, _)| ids).collect();
    let (count, at) = (ids.len(), |share: f64| waits[((waits.len() - 1) as f64 * share) as usize]);
    let (p50_ms, p99_ms, worst_ms) = (at(0.5), at(0.99), at(1.0));
    let left = Mutex::new(ids);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while let Some((id, n)) = { left.lock().expect("no panic").pop() } {
                    remove(store, id, n, len.max(600));
                }
            });
        }
    });
    let drained = count as f64 / start.elapsed().as_secs_f64();
    while store.maintain(Timestamp::MAX, Duration::from_secs(1)).expect("maintained").more {}
    let accepted = count as f64 / took;
    Round { accepted, p50_ms, p99_ms, worst_ms, drained, written: octets / (count * len.max(600)) as f64 }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(|| std::env::temp_dir().join("belino-throughput"), PathBuf::from);
    let span = Duration::from_secs_f64(args.next().and_then(|n| n.parse().ok()).unwrap_or(2.0));
    let pick = |arg: Option<String>, all: &[u64]| match arg.and_then(|n| n.parse().ok()) {
        Some(one) => vec![one],
        None => all.to_vec(),
    };
    let writers = pick(args.next(), &[1, 20, 100]);
    let sizes = pick(args.next(), &[1, 30, 300]);
    println!(
        "{:>7} {:>5} {:>8} {:>9} {:>7} {:>7} {:>8} {:>9} {:>6}",
        "writers", "KB", "batch", "MMs/s", "p50 ms", "p99 ms", "worst ms", "drained/s", "WA"
    );
    let mut serial = 1;
    for &kb in &sizes {
        for &writers in &writers {
            for full in [false, true] {
                let _ = std::fs::remove_dir_all(&folder);
                let store = Arc::new(Embedded::open(&folder, Options::default()).expect("a store"));
                let rounds: Vec<Round> = (0..3)
                    .map(|_| round(&store, writers, kb as usize * 1000, span, full, &mut serial))
                    .collect();
                let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
                println!(
                    "{writers:>7} {kb:>5} {:>8} {:>9.0} {:>7.2} {:>7.2} {:>8.1} {:>9.0} {:>6.2}",
                    if full { "full" } else { "plain" },
                    of(|r| r.accepted),
                    of(|r| r.p50_ms),
                    of(|r| r.p99_ms),
                    of(|r| r.worst_ms),
                    of(|r| r.drained),
                    of(|r| r.written),
                );
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
}
