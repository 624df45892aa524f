//! `belino bench`, `belino bench source`, `belino bench sink`, and `belino bench crowd` for the workload of that name.

mod crowd;
mod run;
mod sink;
mod source;

use super::Common;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Measure what a relay carries here: Belino by default, others beside it on the same work.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    tool: Option<Tool>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Subcommand)]
enum Tool {
    /// Bring mails to any relay, as fast as it takes them or at a given rate
    Source(source::Source),
    /// Take mails as fast as they come, and tell which of the bench's are lost, doubled or changed
    Sink(sink::Sink),
    /// Hold many connections
    #[command(hide = true)]
    Crowd(crowd::Held),
}

impl Bench {
    /// Run.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        // Thousands of connections may be wanted here and in what is started.
        crate::bench::measure::raise_open_files();
        match self.tool {
            Some(Tool::Source(source)) => source.run(common),
            Some(Tool::Sink(sink)) => sink.run(common),
            Some(Tool::Crowd(crowd)) => crowd.run(common),
            None => self.run.run(common),
        }
    }
}

/// Milliseconds with three digits at most.
fn milliseconds(spans: &serde_json::Value) -> String {
    let of = |name: &str| spans[name].as_f64().unwrap_or(0.0);
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.1} ms",
        of("p50"),
        of("p99"),
        of("p99_9"),
        of("max")
    )
}
