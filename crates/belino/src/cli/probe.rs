//! `belino probe`.

use super::Common;
use crate::clock::Clock;
use crate::config::{Config, Span};
use crate::discovery::HostTrouble;
use crate::probe::ear::Ear;
use crate::probe::evidence::Evidence;
use crate::probe::judge::Verdict;
use crate::probe::report::Report;
use crate::probe::run::{Run, Watch};
use crate::probe::{Numbers, Plan, Step, html, report};
use crate::resolver::Resolver;
use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Ask a live peer what TS 23.140 clause 8.4 asks of it, and judge what comes back. Exit code: 0 nothing failed, 1
/// something failed, 2 it could not run.
#[derive(Args)]
pub struct Probe {
    /// The peer, by its configured name
    peer: String,
    /// Sender: a number that this relay serves
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// Recipient: a subscriber of the peer who knows about it
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// A number that the peer serves to nobody
    #[arg(long, value_name = "NUMBER")]
    unknown: Option<String>,
    /// Another subscriber of the peer
    #[arg(long, value_name = "NUMBER")]
    second: Option<String>,
    /// Show what would be sent, expected and seen; send nothing
    #[arg(long)]
    dry_run: bool,
    /// Only these cases: P-11,P-12
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,
    /// Do not ask before sending
    #[arg(long)]
    yes: bool,
    /// How long answers are awaited
    #[arg(long, default_value = "60s", value_name = "SPAN")]
    wait: String,
    /// Write the report as a page of its own
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Probe {
    /// Run, or show what would be run.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.probe(common) {
            Ok(code) => Ok(code),
            Err(error) => {
                super::complain(common, &error);
                Ok(ExitCode::from(2))
            }
        }
    }

    fn probe(self, common: &Common) -> anyhow::Result<ExitCode> {
        super::init_log(common, "off")?;
        let mut config = common.load()?;
        if let Some(data) = &common.data {
            config.data.clone_from(data);
        }
        let wait = self.wait.parse::<Span>().map_err(|e| anyhow::anyhow!("--wait {e}"))?.0;
        let numbers = Numbers {
            from: self.from.clone(),
            to: self.to.clone(),
            second: self.second.clone(),
            unknown: self.unknown.clone(),
        };
        let plan = Plan::new(&config, &self.peer, &numbers, &self.only, wait)?;
        let clock = Clock::System;
        let words = report::plan(&plan, clock.now())?;
        if self.dry_run {
            say!("{words}\nNothing was sent.");
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes && !may_send(&plan, &words)? {
            bail!("nothing was sent");
        }
        // The page is made ready before anything is sent: a wrong path must not cost a run.
        let mut page = match &self.html {
            Some(path) => {
                let file = std::fs::File::create(path);
                Some(file.with_context(|| format!("cannot write {}", path.display()))?)
            }
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let watch = Progress::new(&plan, common.json);
        let evidence = runtime.block_on(run(&config, &plan, &clock, watch));
        runtime.shutdown_timeout(Duration::from_secs(1));
        let report = Report::new(&plan, &evidence?, clock.now());
        if let Some(page) = &mut page {
            page.write_all(html::page(&report).as_bytes())?;
        }
        if common.json {
            super::print_json(&report.json());
        } else {
            let stdout = std::io::stdout();
            let coloured = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            say!("{}", report.lines(coloured).trim_end());
            if let Some(path) = &self.html {
                say!("\nThe report lies in {}.", path.display());
            }
        }
        let failed = report.count(Verdict::Fail) > 0;
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

async fn run(config: &Config, plan: &Plan, clock: &Clock, watch: Progress) -> anyhow::Result<Evidence> {
    let hosts = hosts(config, plan, clock).await?;
    let ear = match plan.mails() {
        0 => None,
        _ => Some(Ear::open(config, &plan.peer.name, &plan.token, clock).await?),
    };
    if let Some(ear) = &ear {
        watch.say(&ear.describe());
    }
    let run = Run {
        plan,
        hosts,
        clock: clock.clone(),
        limits: config.limits.clone(),
        ear,
        watch,
        evidence: Evidence::default(),
    };
    run.all().await
}

/// `host:port`, as configured, or found for the peer's own domain, as the courier does.
async fn hosts(config: &Config, plan: &Plan, clock: &Clock) -> anyhow::Result<Vec<String>> {
    let Some(discover) = &plan.link.discover else { return Ok(plan.link.hosts.clone()) };
    let runtime = tokio::runtime::Handle::current();
    let resolver = Resolver::new(config, clock.clone(), runtime, TaskTracker::new());
    match resolver.hosts(plan.peer_domain(), discover, &mut Vec::new()).await {
        Ok(hosts) => Ok(hosts.iter().map(ToString::to_string).collect()),
        Err(HostTrouble::Never(why) | HostTrouble::Later(why)) => {
            bail!("no host of {} can be found: {why}", plan.peer_domain())
        }
    }
}

/// Ask whoever sits at the terminal.
fn may_send(plan: &Plan, words: &str) -> anyhow::Result<bool> {
    let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        bail!(
            "this sends {} mails to peer {}: say --yes, or look first with --dry-run",
            plan.mails(),
            plan.peer.name
        );
    }
    let mut stderr = stderr.lock();
    write!(stderr, "{words}\nSend this to peer {}? [y/N] ", plan.peer.name)?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// How far it is: a bar on a terminal, plain lines elsewhere, nothing beside JSON.
struct Progress {
    bar: ProgressBar,
    plain: bool,
    /// For whom is waited, as it was said last.
    said: Option<bool>,
}

impl Progress {
    fn new(plan: &Plan, quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal && !quiet {
            let style = ProgressStyle::with_template("  {bar:24} {pos}/{len}  {elapsed}  {wide_msg}");
            let bar = ProgressBar::new(plan.steps().len() as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ "));
            // The time goes on while nothing else happens.
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar, plain: !is_terminal && !quiet, said: None }
    }

    fn say(&self, text: &str) {
        if self.plain {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Watch for Progress {
    fn begins(&mut self, step: Step) {
        if self.plain {
            eprintln!("{}: {}", step.name(), step.title());
        }
        self.bar.set_message(step.title());
        self.bar.inc(1);
    }

    fn waits(&mut self, come: usize, awaited: usize, only_a_person: bool) {
        let words = if only_a_person {
            "waiting for the subscriber to open the MM that asks for a report (not longer than --wait)"
                .to_owned()
        } else {
            format!("waiting for answers: {come} of {awaited} have come")
        };
        // Lines are not counted up: a log needs to hear of each wait once.
        if self.plain && self.said != Some(only_a_person) {
            eprintln!("{}", if only_a_person { &words } else { "waiting for answers" });
            self.said = Some(only_a_person);
        }
        self.bar.set_message(words);
    }

    fn ends(&mut self) {
        self.bar.finish_and_clear();
    }
}
