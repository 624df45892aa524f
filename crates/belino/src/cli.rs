//! The command line: verbs, their arguments, and what they print.
//!
//! Every verb but `serve`, `demo`, `bench`, `check`, `decode`, `verify`, `charging show`, `completions` and `man` talks to the
//! relay that runs over the data folder, through its admin socket.

mod bench;
mod charging;
mod keep;
mod mailbox;
mod manual;
mod paint;
mod probe;
mod send;
mod serve;
mod show;
mod top;

pub use serve::init_log;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// MMS Relay/Server whose heart is MM4 (3GPP TS 23.140 clause 8.4).
#[derive(Parser)]
#[command(name = "belino", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Args, Clone)]
pub struct Common {
    /// Configuration file [default: ./belino.toml, then /etc/belino/belino.toml]
    #[arg(short, long, global = true, value_name = "FILE", env = "BELINO_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder of the running relay, instead of the one in the configuration
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Log lines as JSON
    #[arg(long, global = true)]
    log_json: bool,
    /// What is logged: error, warn, info, debug, trace, or filters such as belino=debug
    #[arg(long, global = true, value_name = "LEVEL", env = "BELINO_LOG")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the relay
    Serve(serve::Serve),
    /// Show two relays exchanging a picture message, here and now; needs no configuration
    Demo(crate::demo::Demo),
    /// Measure what a relay carries on this machine
    Bench(Box<bench::Bench>),
    /// Hand in an MM
    Send(send::Send),
    /// Ask a live peer what TS 23.140 clause 8.4 asks of it, and judge what comes back
    Probe(probe::Probe),
    /// Check a configuration and say what it would do
    Check {
        /// Instead, show every key that a configuration may have, its default and its meaning
        #[arg(long)]
        keys: bool,
    },
    /// Show an MM4 mail as words, what had to be tolerated in it and what it breaks
    Decode {
        /// The file; - for standard input
        file: PathBuf,
    },
    /// Show where a recipient's MM would go, and why
    Route {
        /// The recipient: +12025550110, bob@mms.b.example
        address: String,
    },
    /// List MMs that are not finished yet
    Queue {
        /// One MM, with its history
        id: Option<String>,
        /// Only those that wait for this peer
        #[arg(long)]
        peer: Option<String>,
        /// Also finished ones
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        max: usize,
    },
    /// Find MMs by address, peer, Message-ID, state or time, newest first
    Find(show::Find),
    /// Show one MM's whole history
    Trace {
        /// Our id, or the X-Mms-Message-ID
        id: String,
    },
    /// List mailboxes, or fetch an MM from one
    Mailbox(mailbox::Mailbox),
    /// Try what waits of an MM at once
    Retry {
        /// Our id, or the X-Mms-Message-ID
        id: String,
        /// Why; kept in its history
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Give an MM up
    Drop {
        /// Our id, or the X-Mms-Message-ID
        id: String,
        /// Why; kept in its history
        #[arg(long, default_value = "by the operator")]
        why: String,
    },
    /// Show peers: their queues and whether they can be reached
    Peer {
        /// Only this one
        name: Option<String>,
    },
    /// Send nothing to a peer until it is resumed
    Pause {
        /// The peer
        peer: String,
    },
    /// Send to a paused peer again, or try an unreachable one at once
    Resume {
        /// The peer
        peer: String,
    },
    /// Have the running relay read its configuration again: peers, routes, limits, certificates, secrets. No session is dropped
    Reload,
    /// Show how the running relay is
    Status,
    /// Watch the running relay: peers, rates, queues, refusals
    Top(top::Top),
    /// Read charging records, and see how they are written
    Charging(charging::Charging),
    /// Copy the data folder while the relay runs
    Backup(keep::Backup),
    /// Check a data folder that no relay uses, octet by octet
    Verify(keep::Verify),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Print the manual page, or write those of every verb into a folder
    Man(manual::Manual),
    /// Move a clock that was started by hand
    #[command(hide = true)]
    Advance {
        /// A span: 15m, 24h
        span: String,
    },
}

/// The program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let common = cli.common.clone();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&common, &error);
            ExitCode::FAILURE
        }
    }
}

/// Say what went wrong, in the form that was asked for.
fn complain(common: &Common, error: &anyhow::Error) {
    if common.json {
        say!("{}", serde_json::json!({ "error": format!("{error:#}") }));
    } else {
        eprintln!("belino: {error:#}");
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let common = cli.common;
    match cli.verb {
        Verb::Serve(serve) => serve.run(&common),
        Verb::Demo(demo) => demo.run(&common),
        Verb::Bench(bench) => bench.run(&common),
        Verb::Send(send) => send.run(&common),
        Verb::Probe(probe) => probe.run(&common),
        Verb::Check { keys: true } => manual::keys(&common),
        Verb::Check { keys: false } => show::check(&common),
        Verb::Decode { file } => show::decode(&common, &file),
        Verb::Route { address } => show::route(&common, &address),
        Verb::Queue { id: Some(id), .. } | Verb::Trace { id } => show::trace(&common, id),
        Verb::Queue { id: None, peer, all, max } => show::queue(&common, peer, all, max),
        Verb::Find(find) => find.run(&common),
        Verb::Mailbox(mailbox) => mailbox.run(&common),
        Verb::Retry { id, why } => show::changed(&common, &crate::admin::Request::Retry { id, why }),
        Verb::Drop { id, why } => show::changed(&common, &crate::admin::Request::Drop { id, why }),
        Verb::Peer { name } => show::peers(&common, &crate::admin::Request::Peers, name.as_deref()),
        Verb::Pause { peer } => {
            let request = crate::admin::Request::Pause { peer: peer.clone() };
            show::peers(&common, &request, Some(&peer))
        }
        Verb::Resume { peer } => {
            let request = crate::admin::Request::Resume { peer: peer.clone() };
            show::peers(&common, &request, Some(&peer))
        }
        Verb::Reload => show::reload(&common),
        Verb::Status => show::status(&common),
        Verb::Top(top) => top.run(&common),
        Verb::Charging(charging) => charging.run(&common),
        Verb::Backup(backup) => backup.run(&common),
        Verb::Verify(verify) => verify.run(&common),
        Verb::Completions(completions) => completions.run(),
        Verb::Man(manual) => manual.run(),
        Verb::Advance { span } => show::advance(&common, &span),
    }
}

impl Common {
    /// The configuration file to use.
    fn config_file(&self) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.config {
            return Ok(file.clone());
        }
        let places = [Path::new("belino.toml"), Path::new("/etc/belino/belino.toml")];
        match places.into_iter().find(|p| p.exists()) {
            Some(place) => Ok(place.to_owned()),
            None => anyhow::bail!(
                "no configuration: neither ./belino.toml nor /etc/belino/belino.toml exists; name one with --config, \
                 or see it work without any: belino demo"
            ),
        }
    }

    fn load(&self) -> anyhow::Result<crate::config::Config> {
        Ok(crate::config::load(&self.config_file()?)?)
    }

    /// The data folder of the running relay.
    fn data(&self) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(self.load()?.data),
        }
    }

    fn ask(&self, request: &crate::admin::Request) -> anyhow::Result<Value> {
        Ok(crate::admin::client::ask(&self.data()?, request, &[])?.0)
    }
}

/// Print JSON, one value on one line after another where it is a list.
fn print_json(value: &Value) {
    match value {
        Value::Array(rows) => rows.iter().for_each(|row| say!("{row}")),
        other => say!("{other}"),
    }
}
