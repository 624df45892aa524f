//! `belino bench` itself: workloads, relays in turn, the report.

use crate::bench::chart;
use crate::bench::measure::Class;
use crate::bench::postfix;
use crate::bench::relay::Subject;
use crate::bench::report::Report;
use crate::bench::run::{Campaign, Options, Watch};
use crate::bench::workload::{self, Workload};
use crate::cli::Common;
use crate::config::Span;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a quick run sees: each way in which mails pass.
const QUICK: [&str; 7] =
    ["relay-1k", "relay-30k", "relay-ack", "relay-rcpt50x5", "mm4-roundtrip", "accept-30k", "mixed"];

/// Which relays to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Debian's Postfix as a durable pure relay; needs root
    Postfix,
}

/// What to run, and where the report goes.
#[derive(Args)]
pub struct Run {
    /// Run this relay on the same work, in turn
    #[arg(long, value_enum, value_name = "RELAY")]
    vs: Option<Peer>,
    /// Run any other relay too: a command with {listen_port}, {sink_port} and {dir} in it
    #[arg(long, value_name = "COMMAND")]
    vs_command: Option<String>,
    /// Leave Belino out
    #[arg(long, hide = true)]
    without_belino: bool,
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// All workloads, the long ones too
    #[arg(long)]
    all: bool,
    /// A few seconds in all, to see that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// List the workloads
    #[arg(long)]
    list: bool,
    /// Rounds that count, of each relay in each workload [default: 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long mails are sent in one round [default: 1500ms]
    #[arg(long, value_name = "SPAN")]
    span: Option<Span>,
    /// How long nothing may be delivered before what is missing counts as lost
    #[arg(long, default_value = "20s", value_name = "SPAN")]
    silence: Span,
    /// Work in this folder and keep what relays leave there [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json_file: Option<PathBuf>,
    /// Write charts as one HTML page to this file
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Write tables in Markdown to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Run {
    /// Run.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        if self.list {
            return Ok(list());
        }
        let workloads = self.workloads()?;
        let mut subjects = if self.without_belino { Vec::new() } else { vec![Subject::Belino] };
        if self.vs == Some(Peer::Postfix) {
            if let Some(why) = postfix::obstacle() {
                bail!("{why}");
            }
            subjects.push(Subject::Postfix);
        }
        subjects.extend(self.vs_command.clone().map(Subject::Command));
        let temporary = match &self.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot create {}", folder.display()))?;
                None
            }
            None => Some(tempfile::Builder::new().prefix("belino-bench").tempdir()?),
        };
        let folder = match (&temporary, self.folder.clone()) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, folder) => folder.unwrap_or_default(),
        };
        let options = Options {
            subjects,
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1),
            span: self.span.map_or(Duration::from_millis(if self.quick { 150 } else { 1500 }), |span| span.0),
            quick: self.quick,
            silence: self.silence.0,
            folder: folder.clone(),
        };
        let mut progress = Progress::new(common.json, workloads.len());
        let mut report = Report {
            command: std::env::args().collect::<Vec<_>>().join(" "),
            class: Class::here(&folder),
            outcomes: Vec::new(),
            failed: Vec::new(),
            rounds: (options.rounds, options.span.as_secs_f64()),
        };
        let others = options.subjects.len().saturating_sub(1);
        let takes = |w: &Workload| w.seconds(options.rounds, options.span.as_secs_f64(), others);
        progress.say(&format!("{} workloads, {}", workloads.len(), about(workloads.iter().map(takes).sum())));
        for long in workloads.iter().filter(|w| takes(w) > 120.0 && workloads.len() > 1) {
            progress.say(&format!("  of which {} takes {}", long.name, about(takes(long))));
        }
        let mut campaign = Campaign::new(options, &mut progress);
        for workload in &workloads {
            match campaign.workload(workload) {
                Ok(outcome) => report.outcomes.push(outcome),
                // The others may still go well.
                Err(error) => report.failed.push((workload.name.to_owned(), format!("{error:#}"))),
            }
        }
        progress.bar.finish_and_clear();
        let write = |file: &Option<PathBuf>, text: &dyn Fn() -> String| match file {
            Some(file) => {
                std::fs::write(file, text()).with_context(|| format!("cannot write {}", file.display()))
            }
            None => Ok(()),
        };
        write(&self.json_file, &|| format!("{:#}\n", report.json()))?;
        write(&self.chart, &|| chart::page(&report))?;
        write(&self.markdown, &|| report.markdown())?;
        if common.json {
            say!("{}", report.json());
        } else {
            say!("{}", report.text().trim_end());
        }
        Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn workloads(&self) -> anyhow::Result<Vec<Workload>> {
        let all = workload::all();
        if let Some(odd) = self.only.iter().find(|name| all.iter().all(|w| w.name != **name)) {
            let names: Vec<&str> = all.iter().map(|w| w.name).collect();
            bail!("--only {odd}: no such workload; there are {}", names.join(", "));
        }
        let chosen = |w: &Workload| match self.only.is_empty() {
            false => self.only.iter().any(|name| name == w.name),
            true if self.quick => QUICK.contains(&w.name),
            true => self.all || w.by_default,
        };
        Ok(all.into_iter().filter(chosen).collect())
    }
}

/// `about 5 minutes`.
fn about(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("about {:.0} seconds", (s / 10.0).ceil() * 10.0),
        s => format!("about {:.0} minutes", (s / 60.0).ceil()),
    }
}

fn list() -> ExitCode {
    for workload in workload::all() {
        let when = if workload.by_default { "" } else { "  (only with --all or --only)" };
        say!("{:<16} {}{when}", workload.name, workload.title);
    }
    ExitCode::SUCCESS
}

/// How far it is: a bar on a terminal, plain lines elsewhere, nothing beside JSON.
struct Progress {
    bar: ProgressBar,
    plain: bool,
    name: &'static str,
    step: String,
}

impl Progress {
    fn new(quiet: bool, workloads: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal && !quiet {
            let style = ProgressStyle::with_template("  {bar:24} {pos}/{len}  {elapsed}  {wide_msg}");
            let bar = ProgressBar::new(workloads as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ "));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar, plain: !is_terminal && !quiet, name: "", step: String::new() }
    }
}

impl Watch for Progress {
    fn begins(&mut self, workload: &Workload) {
        self.name = workload.name;
        if self.plain {
            eprintln!("{}: {}", workload.name, workload.title);
        }
        self.bar.set_message(workload.name);
        self.bar.inc(1);
    }

    fn step(&mut self, words: &str) {
        self.step = format!("{}: {words}", self.name);
        self.bar.set_message(self.step.clone());
    }

    fn come(&mut self, deliveries: u64) {
        self.bar.set_message(format!("{}, {deliveries} delivered", self.step));
    }

    fn say(&mut self, words: &str) {
        if self.plain {
            eprintln!("{words}");
        } else {
            self.bar.println(words);
        }
    }
}
