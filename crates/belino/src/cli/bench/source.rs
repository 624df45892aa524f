//! `belino bench source`.

use super::milliseconds;
use crate::bench::mail::{Shape, Size};
use crate::bench::sink::{Manners, Sink};
use crate::bench::source::{Progress, Run, Sum};
use crate::cli::Common;
use crate::clock;
use crate::config::Span;
use anyhow::{Context as _, bail};
use clap::Args;
use std::io::{IsTerminal as _, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bring MM4_forward.REQ mails with a picture to a relay. Each has ids and recipients of its own.
#[derive(Args)]
pub struct Source {
    /// The relay
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Octets of one mail: 30k, 300k, 1m; several with their weights are mixed: 30k:7,300k:3
    #[arg(long, default_value = "30k", value_delimiter = ',')]
    size: Vec<String>,
    /// Connections at once
    #[arg(long, default_value_t = 20)]
    connections: usize,
    /// Mails in all
    #[arg(long)]
    count: Option<u32>,
    /// End after so long, instead of after a count
    #[arg(long, value_name = "SPAN")]
    span: Option<Span>,
    /// Mails over one connection; 0 for all
    #[arg(long, default_value_t = 0, value_name = "M")]
    per_connection: u32,
    /// Recipients of each mail
    #[arg(long, default_value_t = 1, value_name = "R")]
    recipients: usize,
    /// Share of the mails that ask for a response, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    ack_share: f64,
    /// Ask for delivery reports
    #[arg(long)]
    reports: bool,
    /// Mails a second, whether or not the relay keeps up [default: the next when the last is answered]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Addresses of ours to connect from, turn by turn
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    from_address: Vec<IpAddr>,
    /// Hear the relay's responses and reports here, and measure them
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// How long answers are awaited after the last mail
    #[arg(long, default_value = "30s", value_name = "SPAN")]
    wait: Span,
    /// Number of the run, in every id [default: chosen by chance]
    #[arg(long, value_name = "N")]
    run: Option<u32>,
    /// Sinks over which the recipients of a mail are spread
    #[arg(long, default_value_t = 1, hide = true)]
    sinks: usize,
    /// The first of the sinks
    #[arg(long, default_value_t = 0, hide = true)]
    first_sink: usize,
    /// Bring the delivery reports for a run's mails instead of the mails
    #[arg(long, hide = true)]
    as_reports: bool,
    /// Begin with this sequence number
    #[arg(long, default_value_t = 0, hide = true)]
    first: u32,
    /// Write which sequence numbers were accepted to this file
    #[arg(long, hide = true)]
    accepted: Option<PathBuf>,
    /// Open so many more connections that stay silent
    #[arg(long, default_value_t = 0, hide = true)]
    idle: usize,
    /// Say `ready` when the silent connections are open, and end when standard input ends
    #[arg(long, hide = true)]
    hold: bool,
}

impl Source {
    /// Run.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let run = self.plan()?;
        let number = self.run.unwrap_or_else(|| crate::entropy() as u32);
        let ear = match self.listen {
            Some(address) => Some(Sink::start(&[address], Manners::default())?),
            None => None,
        };
        let run = Run {
            shapes: run.shapes.iter().map(|(w, s)| (*w, Shape { run: number, ..s.clone() })).collect(),
            ..run
        };
        if self.hold {
            return hold(&run);
        }
        let progress = Progress::default();
        let show = std::io::stderr().is_terminal() && !common.json;
        let mut sum = watched(&run, &progress, show)?;
        if let Some(ear) = &ear {
            self.hear(ear, &sum);
        }
        if let Some(file) = &self.accepted {
            std::fs::write(file, sum.keys.as_octets())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let json = sum.json(ear.as_ref().map(|ear| &*ear.tally), number);
        if common.json {
            say!("{json}");
        } else {
            print(&sum, &json);
        }
        let went_well = sum.accepted > 0 && sum.refused == 0 && sum.unsure == 0;
        Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn plan(&self) -> anyhow::Result<Run> {
        let to = self.to.to_socket_addrs().with_context(|| format!("--to {}", self.to))?.next();
        let to = to.with_context(|| format!("--to {}: no address", self.to))?;
        if !(0.0..=1.0).contains(&self.ack_share) {
            bail!("--ack-share {}: expected a share from 0 to 1", self.ack_share);
        }
        if self.connections == 0 || self.connections > 20_000 {
            bail!("--connections {}: expected 1 to 20000", self.connections);
        }
        if self.recipients == 0 || self.recipients > 1000 {
            bail!("--recipients {}: expected 1 to 1000", self.recipients);
        }
        if self.sinks == 0 || self.first_sink + self.sinks > crate::bench::mail::SINKS_MAX {
            bail!("--sinks {}: expected at most {}", self.sinks, crate::bench::mail::SINKS_MAX);
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e6)) {
            bail!("--rate: expected more than 0 and at most 1000000 mails a second");
        }
        if let Some(odd) = self.from_address.iter().find(|a| a.is_ipv4() != to.is_ipv4()) {
            bail!("--from-address {odd}: {to} is of another family");
        }
        let shapes = self.size.iter().map(|text| {
            let (size, weight) =
                text.split_once(':').map_or((text.as_str(), Ok(1)), |(s, w)| (s, w.parse::<u32>()));
            let weight = weight.ok().filter(|w| (1..=10_000).contains(w));
            let weight =
                weight.with_context(|| format!("--size {text}: expected a weight from 1 to 10000"))?;
            let size: Size = size.parse().map_err(|e| anyhow::anyhow!("--size: {e}"))?;
            let shape = Shape {
                size,
                recipients: self.recipients,
                sinks: self.sinks,
                first_sink: self.first_sink,
                ack: self.ack_share > 0.0,
                report: self.reports,
                as_report: self.as_reports,
                run: 0,
            };
            Ok((weight, shape))
        });
        Ok(Run {
            to,
            from: self.from_address.clone(),
            shapes: shapes.collect::<anyhow::Result<_>>()?,
            connections: self.connections,
            per_connection: self.per_connection,
            // Something must end it.
            count: self.count.or(if self.span.is_some() { None } else { Some(1000) }),
            span: self.span.map(|span| span.0),
            rate: self.rate,
            ack_percent: (self.ack_share * 100.0).round() as u32,
            idle: self.idle,
            first: self.first,
        })
    }

    /// Wait until every answer has come, or nothing has for a while.
    fn hear(&self, ear: &Sink, sum: &Sum) {
        let (responses, reports) = (sum.asked, sum.reports_asked);
        let heard = || (ear.tally.responses.load(Ordering::Relaxed), ear.tally.come.load(Ordering::Relaxed));
        let (mut last, mut since) = (heard(), clock::monotonic());
        while last.0 < responses || last.1 < reports {
            clock::wait_until(clock::monotonic() + 10_000_000);
            let now = heard();
            if now != last {
                (last, since) = (now, clock::monotonic());
            } else if clock::monotonic() - since > self.wait.0.as_nanos() as u64 {
                return;
            }
        }
    }
}

/// Do the run, and show how far it is.
fn watched(run: &Run, progress: &Progress, show: bool) -> anyhow::Result<Sum> {
    let (done, over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        if show {
            scope.spawn(move || {
                while over.recv_timeout(Duration::from_millis(500))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    eprint!("\r{} mails taken ", progress.taken.load(Ordering::Relaxed));
                }
                eprint!("\r\x1b[K");
            });
        }
        let sum = run.go(progress);
        drop(done);
        Ok(sum?)
    })
}

/// Keep silent connections open until nobody wants them any more.
fn hold(run: &Run) -> anyhow::Result<ExitCode> {
    let mut held = Vec::with_capacity(run.idle);
    for i in 0..run.idle {
        let from = run.from.get(i % run.from.len().max(1)).copied();
        let opened = crate::bench::client::Connection::open(run.to, from, crate::bench::mail::SOURCE_DOMAIN);
        held.push(opened.with_context(|| format!("connection {} of {}", i + 1, run.idle))?);
    }
    say!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(ExitCode::SUCCESS)
}

fn print(sum: &Sum, json: &serde_json::Value) {
    let number = |name: &str| json[name].as_f64().unwrap_or(0.0);
    say!(
        "{} mails accepted in {:.2} s over {} connections: {:.0} a second, {:.1} MB/s",
        sum.accepted,
        sum.seconds(),
        sum.connections,
        number("per_s"),
        number("mb_per_s")
    );
    if sum.accepted > 0 {
        say!("first octet to reply: {}", milliseconds(&json["accept_ms"]));
    }
    for (name, title) in [("responses", "MM4_forward.RES"), ("reports", "MM4_delivery_report.REQ")] {
        let of = &json[name];
        if of["come"].as_u64().is_some_and(|n| n > 0) {
            say!("{} {title} came, {} of them twice", of["come"], of["doubled"]);
            if !of["latency_ms"].is_null() {
                say!("first octet to response: {}", milliseconds(&of["latency_ms"]));
            }
        }
    }
    if sum.refused > 0 || sum.unsure > 0 {
        say!("{} refused, {} broke off before the reply", sum.refused, sum.unsure);
    }
    if let Some(trouble) = &sum.trouble {
        let end = if sum.gave_up { "; it went on like that, so no more were sent" } else { "" };
        say!("the first trouble: {trouble}{end}");
    }
}
