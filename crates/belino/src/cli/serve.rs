//! `belino serve`.

use super::Common;
use crate::clock::Clock;
use crate::config::{Config, Span};
use crate::descriptors;
use crate::serve::{Running, start};
use anyhow::Context as _;
use clap::Args;
use mms::Timestamp;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Run the relay in the foreground, until SIGTERM or SIGINT. SIGHUP, and `belino reload`, read the configuration again.
#[derive(Args)]
pub struct Serve {
    /// Start with a clock that stands at this second since 1970 and is moved by `belino advance`
    #[arg(long, hide = true, value_name = "SECONDS")]
    clock: Option<i64>,
    /// For measuring only: make each flush to the disk take so much longer, as on a slower one
    #[arg(long, hide = true, value_name = "SPAN")]
    flush_delay: Option<Span>,
}

/// Logs go to standard error: text for people, or JSON.
pub fn init_log(common: &Common, standard: &str) -> anyhow::Result<()> {
    let filter = match &common.log {
        Some(filter) => EnvFilter::try_new(filter)
            .map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}; try error, warn, info, debug or trace"))?,
        None => EnvFilter::new(standard),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(crate::lines::Lines);
    if common.log_json {
        let _ = builder.json().flatten_event(true).try_init();
    } else {
        use std::io::IsTerminal as _;
        let _ = builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init();
    }
    Ok(())
}

impl Serve {
    /// The configuration, with what the command line says otherwise.
    fn read(&self, common: &Common, file: &Path) -> anyhow::Result<Config> {
        let mut config = crate::config::load(file)?;
        if let Some(data) = &common.data {
            config.data.clone_from(data);
        }
        if let Some(delay) = self.flush_delay {
            config.limits.flush_delay = delay.0;
        }
        descriptors::bound(&mut config);
        Ok(config)
    }

    /// Read the configuration again and apply it. Which changes wait for the next start, or why nothing was changed.
    fn read_again(&self, common: &Common, file: &Path, running: &Running) -> Result<Vec<String>, String> {
        match self.read(common, file).and_then(|config| running.reload(config)) {
            Ok(waiting) => {
                tracing::info!("configuration read again");
                for key in &waiting {
                    tracing::warn!("{key} has changed, which takes effect at the next start");
                }
                Ok(waiting)
            }
            Err(error) => {
                tracing::error!("configuration kept as it was: {error}");
                Err(error.to_string())
            }
        }
    }

    /// Run until told to stop. The exit code tells whether the store failed.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        init_log(common, "info")?;
        descriptors::raise();
        let file = common.config_file()?;
        let config = self.read(common, &file)?;
        if config.listen.is_empty() {
            tracing::warn!("[mm4] listen is empty: no peer can connect");
        }
        if config.house.peers.is_empty() {
            tracing::warn!("no [[peer]] is configured: nothing is accepted and nothing is sent");
        }
        let clock = match self.clock {
            Some(_) if !cfg!(debug_assertions) => anyhow::bail!("--clock is for test builds only"),
            Some(seconds) => Clock::manual(Timestamp::from_seconds(seconds)),
            None => Clock::System,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let code = runtime.block_on(async {
            // First of all: who has read "ready" may send signals.
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hangup = signal(SignalKind::hangup())?;
            let mut running = start(config, clock, None).await?;
            let mut wishes = running.wishes.take().context("wishes are heard once")?;
            // The last line of the start, for those who wait for it.
            let list = |of: &[std::net::SocketAddr]| of.iter().map(|a| format!(" {a}")).collect::<String>();
            let http = &running.http_addresses;
            let named = |name: &str, of: &[std::net::SocketAddr]| match of {
                [] => String::new(),
                of => format!(" {name}{}", list(of)),
            };
            let metrics = named("metrics", &running.metrics_addresses);
            let console = named("console", &running.console_addresses);
            say!("ready{}{}{metrics}{console}", list(&running.addresses), named("http", http));
            let code = loop {
                tokio::select! {
                    _ = terminate.recv() => break ExitCode::SUCCESS,
                    _ = interrupt.recv() => break ExitCode::SUCCESS,
                    why = running.failure() => {
                        tracing::error!("the store failed and nothing more is accepted: {why}");
                        break ExitCode::FAILURE;
                    }
                    Some(wish) = wishes.recv() => {
                        let _ = wish.send(self.read_again(common, &file, &running));
                    }
                    _ = hangup.recv() => {
                        let _ = self.read_again(common, &file, &running);
                    }
                }
            };
            running.stop().await;
            anyhow::Ok(code)
        })?;
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        Ok(code)
    }
}
