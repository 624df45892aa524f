//! The source: brings mails over many connections, as fast as they are taken or at a given rate.
//!
//! Owns: connections, sequence numbers, what was accepted and when. Never knows: what becomes of a mail after its `250`.
//!
//! Closed loop: each connection sends its next mail when the last one is answered. Open loop: mails are due at fixed
//! instants whether or not the other side keeps up, and spans are counted from those instants, so that a slow relay cannot
//! hide its slowness by slowing the source down.

use super::client::{Connection, Outcome};
use super::mail::{Shape, Template};
use super::seen::Kind;
use super::sink::STACK;
use super::tally::{Bits, Spans, Tally, rate};
use crate::clock;
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// After so many refusals in a row, over all connections, nothing more is sent.
const REFUSALS_MAX: u32 = 100;
/// After so many connections in a row that failed or broke, nothing more is sent.
const TROUBLES_MAX: u32 = 20;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The relay.
    pub to: SocketAddr,
    /// Our addresses, turn by turn; none: the system's choice.
    pub from: Vec<IpAddr>,
    /// What the mails are like; several sizes are mixed by their weights.
    pub shapes: Vec<(u32, Shape)>,
    /// Connections at once.
    pub connections: usize,
    /// Mails over one connection; 0: all.
    pub per_connection: u32,
    /// Ends after so many mails.
    pub count: Option<u32>,
    /// Ends after so long.
    pub span: Option<Duration>,
    /// Mails a second; none: closed loop.
    pub rate: Option<f64>,
    /// Of a hundred mails so many ask for a response, where the shape does.
    pub ack_percent: u32,
    /// Connections that are opened beforehand and say nothing.
    pub idle: usize,
    /// Begin with this sequence number.
    pub first: u32,
}

/// One mail that was sent.
#[derive(Clone, Copy)]
struct Sent {
    sequence: u32,
    /// The clock at its beginning, or when it was due.
    at: u64,
    /// The clock at its reply.
    replied: u64,
    octets: u32,
    asks: bool,
    reports: u32,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    Refused,
    /// The connection broke before the reply.
    Unsure,
}

/// How far a run is; read while it goes on.
#[derive(Default)]
pub struct Progress {
    /// Mails taken.
    pub taken: AtomicU64,
    /// Ends the run early.
    pub stop: AtomicBool,
}

/// What a run came to.
#[derive(Default)]
pub struct Sum {
    /// Taken by the relay.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// The connection broke before the reply.
    pub unsure: u64,
    /// Octets of what was accepted.
    pub octets: u64,
    /// Connections opened.
    pub connections: u64,
    /// The clock when the first mail began.
    pub first: u64,
    /// The clock when the last mail began.
    pub last_begun: u64,
    /// The clock at the last reply.
    pub last: u64,
    /// Sequence numbers that were accepted.
    pub keys: Bits,
    /// From a mail's first octet to its reply.
    pub spans: Spans,
    /// Of the accepted, those that asked for a response.
    pub asked: u64,
    /// Of the accepted, their recipients of whom delivery reports were asked for.
    pub reports_asked: u64,
    /// When each accepted mail began.
    pub begun: Vec<(u32, u64)>,
    /// When each was accepted.
    pub replied: Vec<u64>,
    /// The first refusal or failure in words.
    pub trouble: Option<String>,
    /// Nothing more was sent because of it.
    pub gave_up: bool,
}

struct Shared<'a> {
    run: &'a Run,
    progress: &'a Progress,
    next: AtomicU32,
    /// When the first connection was ready to send: to make big mails takes its time, which is not part of the run.
    start: OnceLock<u64>,
    refusals: AtomicU32,
    troubles: AtomicU32,
    gave_up: AtomicBool,
    opened: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Run {
    /// Do it.
    ///
    /// # Errors
    /// No thread can be had, or an idle connection not be opened.
    pub fn go(&self, progress: &Progress) -> io::Result<Sum> {
        let mut idle = Vec::with_capacity(self.idle);
        for i in 0..self.idle {
            idle.push(Connection::open(self.to, self.address(i), super::mail::SOURCE_DOMAIN)?);
        }
        let shared = Shared {
            run: self,
            progress,
            next: AtomicU32::new(0),
            start: OnceLock::new(),
            refusals: AtomicU32::new(0),
            troubles: AtomicU32::new(0),
            gave_up: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            trouble: Mutex::new(None),
        };
        let pages: io::Result<Vec<Vec<Sent>>> = std::thread::scope(|scope| {
            let threads: io::Result<Vec<_>> = (0..self.connections)
                .map(|place| {
                    let shared = &shared;
                    let builder = std::thread::Builder::new().name("brings".into()).stack_size(STACK);
                    builder.spawn_scoped(scope, move || shared.bring_all(place))
                })
                .collect();
            Ok(threads?.into_iter().map(|thread| thread.join().unwrap_or_default()).collect())
        });
        let mut sum = Sum {
            first: u64::MAX,
            connections: shared.opened.load(Ordering::Relaxed),
            trouble: shared.trouble.into_inner().unwrap_or_else(PoisonError::into_inner),
            gave_up: shared.gave_up.load(Ordering::Relaxed),
            ..Sum::default()
        };
        pages?.iter().flatten().for_each(|sent| sum.add(sent));
        drop(idle);
        Ok(sum)
    }

    fn address(&self, turn: usize) -> Option<IpAddr> {
        self.from.get(turn % self.from.len().max(1)).copied()
    }

    /// Which shape a mail has: by weight, spread evenly, the same in each run.
    fn shape(&self, sequence: u32) -> usize {
        let whole: u32 = self.shapes.iter().map(|(weight, _)| weight).sum();
        // A step that shares no factor with the whole visits every remainder before it repeats.
        let mut at = (u64::from(sequence) * 7_919 % u64::from(whole.max(1))) as u32;
        for (i, (weight, _)) in self.shapes.iter().enumerate() {
            if at < *weight {
                return i;
            }
            at -= weight;
        }
        0
    }
}

impl Shared<'_> {
    /// The next mail: its sequence number, and when it is due in an open loop. `None`: the run is over.
    fn next(&self) -> Option<(u32, Option<u64>)> {
        if self.gave_up.load(Ordering::Relaxed) || self.progress.stop.load(Ordering::Relaxed) {
            return None;
        }
        let start = *self.start.get_or_init(clock::monotonic);
        let end = self.run.span.map_or(u64::MAX, |span| start + span.as_nanos() as u64);
        let due_of = |turn: u32| {
            let rate = self.run.rate?;
            Some(start + (f64::from(turn) / rate * 1e9) as u64)
        };
        // The numbers that are given out have no gaps: whether the run is over is asked before.
        let mut turn = self.next.load(Ordering::Relaxed);
        loop {
            if self.run.count.is_some_and(|count| turn >= count) {
                return None;
            }
            let due = due_of(turn);
            if due.unwrap_or_else(|| if end == u64::MAX { 0 } else { clock::monotonic() }) >= end {
                return None;
            }
            match self.next.compare_exchange_weak(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some((self.run.first + turn, due)),
                Err(now) => turn = now,
            }
        }
    }

    fn complain(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert(what);
    }

    /// Count one more of the same in a row; whether that is too many.
    fn again(&self, counter: &AtomicU32, most: u32) {
        if counter.fetch_add(1, Ordering::Relaxed) + 1 >= most {
            self.gave_up.store(true, Ordering::Relaxed);
        }
    }

    /// The work of one connection's place.
    fn bring_all(&self, place: usize) -> Vec<Sent> {
        let run = self.run;
        let make = |ack: bool| -> Vec<Template> {
            let shapes = run.shapes.iter().map(|(_, shape)| Shape { ack: shape.ack && ack, ..shape.clone() });
            shapes.map(|shape| Template::new(&shape)).collect()
        };
        let mut asking = make(true);
        let mut silent = if run.ack_percent < 100 { make(false) } else { Vec::new() };
        let mut out = Vec::new();
        let mut connection: Option<Connection> = None;
        let mut turns = 0;
        while let Some((sequence, due)) = self.next() {
            if connection.is_none() {
                let from = run.address(place + turns * run.connections);
                match Connection::open(run.to, from, super::mail::SOURCE_DOMAIN) {
                    Ok(opened) => connection = Some(opened),
                    Err(error) => {
                        self.complain(format!("{}: {error}", run.to));
                        self.again(&self.troubles, TROUBLES_MAX);
                        let at = clock::monotonic();
                        let (octets, asks, reports) = (0, false, 0);
                        out.push(Sent {
                            sequence,
                            at,
                            replied: at,
                            octets,
                            asks,
                            reports,
                            fate: Fate::Refused,
                        });
                        continue;
                    }
                }
                self.opened.fetch_add(1, Ordering::Relaxed);
                turns += 1;
            }
            let Some(mut open) = connection.take() else { continue };
            let which = run.shape(sequence);
            let silent_one = !silent.is_empty() && sequence.wrapping_mul(37) % 100 >= run.ack_percent;
            let Some(template) = (if silent_one { &mut silent } else { &mut asking }).get_mut(which) else {
                return out;
            };
            let shape = &run.shapes[which].1;
            let recipients = shape.recipients;
            let (asks, reports) =
                (shape.ack && !silent_one, if shape.report { recipients as u32 } else { 0 });
            if let Some(due) = due.filter(|due| *due > clock::monotonic()) {
                clock::wait_until(due);
            }
            let at = due.unwrap_or_else(clock::monotonic);
            template.set(sequence, at);
            let outcome = open.bring(&template.commands, recipients, &template.content);
            let replied = clock::monotonic();
            let octets = template.size() as u32;
            let fate = match outcome {
                Ok(Outcome::Taken) => {
                    self.progress.taken.fetch_add(1, Ordering::Relaxed);
                    self.refusals.store(0, Ordering::Relaxed);
                    self.troubles.store(0, Ordering::Relaxed);
                    Fate::Taken
                }
                Ok(Outcome::Refused(why)) => {
                    self.complain(why);
                    self.again(&self.refusals, REFUSALS_MAX);
                    Fate::Refused
                }
                Err(error) => {
                    self.complain(format!("the connection broke: {error}"));
                    self.again(&self.troubles, TROUBLES_MAX);
                    out.push(Sent { sequence, at, replied, octets, asks, reports, fate: Fate::Unsure });
                    continue;
                }
            };
            out.push(Sent { sequence, at, replied, octets, asks, reports, fate });
            let brought = out.len() as u32;
            if run.per_connection > 0 && brought.is_multiple_of(run.per_connection) {
                open.quit();
            } else {
                connection = Some(open);
            }
        }
        if let Some(connection) = connection {
            connection.quit();
        }
        out
    }
}

impl Sum {
    fn add(&mut self, sent: &Sent) {
        self.first = self.first.min(sent.at);
        self.last_begun = self.last_begun.max(sent.at);
        match sent.fate {
            Fate::Refused => self.refused += 1,
            Fate::Unsure => self.unsure += 1,
            Fate::Taken => {
                self.accepted += 1;
                self.octets += u64::from(sent.octets);
                self.last = self.last.max(sent.replied);
                self.replied.push(sent.replied);
                self.asked += u64::from(sent.asks);
                self.reports_asked += u64::from(sent.reports);
                self.keys.insert(sent.sequence);
                self.spans.push(sent.replied - sent.at.min(sent.replied));
                self.begun.push((sent.sequence, sent.at));
            }
        }
    }

    /// Seconds from the first octet to the last reply.
    pub fn seconds(&self) -> f64 {
        self.last.saturating_sub(self.first) as f64 / 1e9
    }

    /// As JSON. `heard` is what came to our own listener.
    pub fn json(&mut self, heard: Option<&Tally>, run: u32) -> Value {
        let seconds = self.seconds();
        let while_sent = self.replied.iter().filter(|at| **at <= self.last_begun).count() as u64;
        let per_s = rate(self.accepted, while_sent, self.first, self.last_begun, self.last);
        let mb_per_s =
            if self.accepted > 0 { per_s * self.octets as f64 / self.accepted as f64 / 1e6 } else { 0.0 };
        let responses = heard.map(|tally| {
            let count = tally.count(Kind::Response, Some(run), 0);
            let begun: std::collections::HashMap<u32, u64> = self.begun.iter().copied().collect();
            let mut spans = Spans::default();
            for (key, at) in &count.arrivals {
                if let Some(begun) = begun.get(key) {
                    spans.push(at.saturating_sub(*begun));
                }
            }
            json!({ "come": count.come, "distinct": count.keys.count(), "doubled": count.doubled, "not_ok": count.bad,
                    "last_ns": count.last, "latency_ms": spans.json() })
        });
        let reports = heard.map(|tally| {
            let count = tally.count(Kind::Report, Some(run), 0);
            json!({ "come": count.come, "distinct": count.keys.count(), "doubled": count.doubled, "last_ns": count.last })
        });
        json!({
            "accepted": self.accepted,
            "refused": self.refused,
            "asked": self.asked,
            "reports_asked": self.reports_asked,
            "unsure": self.unsure,
            "octets": self.octets,
            "connections": self.connections,
            "first_ns": if self.first == u64::MAX { 0 } else { self.first },
            "last_begun_ns": self.last_begun,
            "last_ns": self.last,
            "seconds": seconds,
            "per_s": per_s,
            "mb_per_s": mb_per_s,
            "accept_ms": self.spans.json(),
            "responses": responses,
            "reports": reports,
            "trouble": self.trouble,
            "gave_up": self.gave_up,
            "cpu_s": super::measure::own_cpu(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(weights: &[u32]) -> Run {
        let size = "1k".parse().unwrap();
        let shape = Shape {
            size,
            recipients: 1,
            sinks: 1,
            first_sink: 0,
            ack: false,
            report: false,
            as_report: false,
            run: 0,
        };
        Run {
            to: ([127, 0, 0, 1], 9).into(),
            from: Vec::new(),
            shapes: weights.iter().map(|w| (*w, shape.clone())).collect(),
            connections: 1,
            per_connection: 0,
            count: None,
            span: None,
            rate: None,
            ack_percent: 100,
            idle: 0,
            first: 0,
        }
    }

    #[test]
    fn sizes_are_mixed_by_their_weights() {
        let run = run(&[70, 25, 5]);
        let mut counts = [0; 3];
        (0..1000).for_each(|n| counts[run.shape(n)] += 1);
        assert_eq!(counts, [700, 250, 50]);
        // And evenly: no hundred of them is all of one kind.
        assert!((0..100).any(|n| run.shape(n) == 2));
    }
}
