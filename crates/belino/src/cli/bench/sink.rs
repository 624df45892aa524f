//! `belino bench sink`.

use super::milliseconds;
use crate::bench::seen::Kind;
use crate::bench::sink::{Answers, Manners, Sink as Listening};
use crate::cli::Common;
use crate::config::Span;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Take mails as fast as they come, until so many have come or Ctrl-C.
#[derive(Args)]
pub struct Sink {
    /// Where to listen; several times for several peers
    #[arg(long, required = true, value_name = "HOST:PORT")]
    listen: Vec<SocketAddr>,
    /// Answer requests with MM4_forward.RES, over connections to this relay
    #[arg(long, value_name = "HOST:PORT")]
    answer: Option<SocketAddr>,
    /// Answer with delivery reports too
    #[arg(long, requires = "answer")]
    reports: bool,
    /// Connections for answers
    #[arg(long, default_value_t = 8, value_name = "N")]
    answer_connections: usize,
    /// Wait so long before the reply to each mail
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    delay: Span,
    /// Refuse each mail with this reply
    #[arg(long, value_name = "REPLY", num_args = 0..=1, default_missing_value = "451 4.3.0 not now")]
    refuse: Option<String>,
    /// End when so many deliveries have come
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Obey lines on standard input, and tell how far it is on standard output
    #[arg(long, hide = true)]
    control: bool,
}

/// What wakes the sink's own thread.
enum Wake {
    Line(String),
    Over,
}

impl Sink {
    /// Run.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        if let Some(reply) = &self.refuse {
            let code = reply.get(..3).and_then(|code| code.parse::<u16>().ok());
            if !code.is_some_and(|code| (400..600).contains(&code)) || reply.contains(['\r', '\n']) {
                bail!("--refuse {reply:?}: expected one line that begins with 4xx or 5xx");
            }
        }
        let answer =
            self.answer.map(|to| Answers { to, connections: self.answer_connections, reports: self.reports });
        let manners = Manners { delay: self.delay.0, refuse: self.refuse.clone(), answer };
        let sink = Listening::start(&self.listen, manners)?;
        let (wake, waking) = channel();
        let addresses: String = sink.addresses.iter().map(|a| format!(" {a}")).collect();
        if self.control {
            read_lines(wake.clone());
            say!("ready{addresses}");
        } else {
            interrupt(wake.clone())?;
            if !common.json {
                say!("listening on{addresses}; Ctrl-C ends it");
            }
        }
        let mut told = (0, 0);
        loop {
            let woken = waking.recv_timeout(Duration::from_millis(20));
            let come = sink.tally.come.load(Ordering::Relaxed);
            let now = (come, sink.tally.responses.load(Ordering::Relaxed));
            if self.control && now != told {
                say!("{}", json!({ "come": now.0, "responses": now.1 }));
                told = now;
            }
            match woken {
                Ok(Wake::Line(line)) => obey(&sink, &line)?,
                Ok(Wake::Over) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if !self.control && self.count.is_some_and(|n| come >= n) => {
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        if self.control {
            return Ok(ExitCode::SUCCESS);
        }
        let sum = sum(&sink, None, 0, None)?;
        if common.json {
            say!("{sum}");
        } else {
            print(&sum);
        }
        let is_bad = ["doubled", "changed", "gaps"].iter().any(|name| sum["requests"][name] != 0);
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// `run N`: count run N from now on, and tell how much had come before. `sum N KIND UNTIL FILE`: what came of run N, or of `all`, and how much of it until that
/// reading of the clock; which keys of that kind, into the file.
fn obey(sink: &Listening, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    match words[..] {
        ["run", number] => {
            let run: u32 = number.parse()?;
            sink.tally.begin(run);
            say!("{}", json!({ "begun": run, "come": sink.tally.come.load(Ordering::Relaxed) }));
        }
        ["sum", number, kind, until, file] => {
            let run = if number == "all" { None } else { Some(number.parse()?) };
            say!("{}", sum(sink, run, until.parse()?, Some((kind == "reports", file)))?);
        }
        _ => bail!("not understood: {line:?}"),
    }
    Ok(())
}

fn sum(sink: &Listening, run: Option<u32>, until: u64, file: Option<(bool, &str)>) -> anyhow::Result<Value> {
    let mut requests = sink.tally.count(Kind::Request, run, until);
    let mut reports = sink.tally.count(Kind::Report, run, until);
    if let Some((of_reports, file)) = file {
        let keys = if of_reports { &reports.keys } else { &requests.keys };
        std::fs::write(file, keys.as_octets()).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(json!({
        "requests": requests.json(),
        "reports": reports.json(),
        "responses": sink.tally.count(Kind::Response, run, until).come,
        "late": sink.tally.late.load(Ordering::Relaxed),
        "foreign": sink.tally.foreign.load(Ordering::Relaxed),
        "cpu_s": crate::bench::measure::own_cpu(),
    }))
}

fn read_lines(wake: Sender<Wake>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if wake.send(Wake::Line(line)).is_err() {
                return;
            }
        }
        let _ = wake.send(Wake::Over);
    });
}

/// Ctrl-C and SIGTERM end the sink with a sum.
fn interrupt(wake: Sender<Wake>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let _ = wake.send(Wake::Over);
    });
    Ok(())
}

fn print(sum: &Value) {
    let of = &sum["requests"];
    let number = |name: &str| of[name].as_f64().unwrap_or(0.0);
    say!(
        "{} deliveries in {} mails within {:.2} s: {:.0} mails a second, {:.1} MB/s",
        of["come"],
        of["mails"],
        number("seconds"),
        number("per_s"),
        number("mb_per_s")
    );
    if sum["responses"] != 0 || sum["reports"]["come"] != 0 {
        say!("{} responses and {} delivery reports", sum["responses"], sum["reports"]["come"]);
    }
    if !of["latency_ms"].is_null() {
        say!("first octet to delivery: {} (sender on the same machine)", milliseconds(&of["latency_ms"]));
    }
    say!(
        "{} came twice, {} were changed, {} below the highest number did not come, {} mails were not the bench's",
        of["doubled"],
        of["changed"],
        of["gaps"],
        sum["foreign"]
    );
}
