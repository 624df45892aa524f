//! `belino top`: the running relay, live.
//!
//! Owns: when a frame is taken and where it goes. Never knows: columns (`frame`), the terminal (`screen`).

mod frame;
mod screen;

use super::{Common, paint};
use crate::admin::{Request, client};
use crate::clock::Clock;
use crate::config::Span;
use anyhow::Context as _;
use clap::Args;
use frame::Look;
use screen::{Key, Screen};
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Shorter than this nothing is refreshed.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// Watch the running relay: its peers, their rates and queues, and what they refuse. Rates are those of the last minute, the
/// quantiles of MM4_forward.RES those of the last five.
#[derive(Args)]
pub struct Top {
    /// Print one frame and end; so it is anyway where standard output is no terminal
    #[arg(long, conflicts_with = "frames")]
    once: bool,
    /// Print so many frames, one after another, and end
    #[arg(long, value_name = "N")]
    frames: Option<NonZeroU64>,
    /// Between two frames
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    every: String,
}

impl Top {
    /// Show it.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let every = self.every.parse::<Span>().map_err(|why| anyhow::anyhow!("--every: {why}"))?.0;
        anyhow::ensure!(every >= EVERY_MIN, "--every: {:?} is too short; at least 100ms", self.every);
        let data = common.data()?;
        let is_terminal = std::io::stdout().is_terminal();
        let frames = match (self.frames, self.once || !is_terminal) {
            (Some(frames), _) => Some(frames.get()),
            (None, true) => Some(1),
            (None, false) => None,
        };
        // Whoever finds no relay learns it on the screen that stays.
        let first = ask(&data)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shown = if frames.is_some() || common.json {
            runtime.block_on(print(&data, first, frames, every, common.json))
        } else {
            runtime.block_on(watch(&data, first, every))
        };
        // A relay that does not answer must not keep anybody here.
        runtime.shutdown_background();
        shown.map(|()| ExitCode::SUCCESS)
    }
}

fn ask(data: &Path) -> anyhow::Result<Value> {
    Ok(client::ask(data, &Request::Overview, &[])?.0)
}

/// Frames one after another. Ends when nobody reads on.
async fn print(
    data: &Path,
    first: Value,
    frames: Option<u64>,
    every: Duration,
    json: bool,
) -> anyhow::Result<()> {
    let look = Look { colours: paint::wanted(), ..Look::default() };
    let mut overview = first;
    let mut printed = 0;
    loop {
        let text = if json { overview.to_string() } else { frame::lines(&overview, &look).join("\n") };
        let gap = if json || printed == 0 { "" } else { "\n" };
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{gap}{text}").and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        drop(out);
        printed += 1;
        if frames.is_some_and(|frames| printed >= frames) {
            return Ok(());
        }
        Clock::System.sleep(every).await;
        overview = ask(data)?;
    }
}

/// The live view, until a key or a signal ends it.
async fn watch(data: &Path, first: Value, every: Duration) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut screen = Screen::take()?;
    let mut look = Look { colours: paint::wanted(), keys: screen.has_keys(), ..Look::default() };
    let mut overview = first;
    let next = async |data: PathBuf| {
        Clock::System.sleep(every).await;
        tokio::task::spawn_blocking(move || ask(&data)).await
    };
    let mut asked = Box::pin(next(data.to_owned()));
    loop {
        look.room = screen.room();
        screen.show(&frame::lines(&overview, &look)).context("the terminal is gone")?;
        tokio::select! {
            answer = &mut asked, if !look.paused => {
                asked = Box::pin(next(data.to_owned()));
                match answer? {
                    Ok(newer) => (overview, look.trouble) = (newer, None),
                    Err(error) => look.trouble = Some(format!("{error:#}")),
                }
            }
            keys = screen.keys() => for key in keys {
                match key {
                    Key::End => return Ok(()),
                    Key::Pause => look.paused = !look.paused,
                    Key::Next => look.sort = look.sort.step(1),
                    Key::Previous => look.sort = look.sort.step(-1),
                    Key::Turn => look.reverse = !look.reverse,
                }
            },
            _ = resized.recv() => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}
