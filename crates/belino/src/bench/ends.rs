//! The two ends of a round as processes of their own: `bench source` and `bench sink`.
//!
//! Owns: starting them, their words, ending them. Never knows: what is between them.

use super::tally::Bits;
use crate::clock;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// This program, asked for one of the bench's tools.
pub fn tool(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.arg("bench").arg(name).arg("--json");
    Ok(command)
}

/// A sink that runs, and what it has told.
pub struct SinkProcess {
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Deliveries since it began.
    pub come: u64,
    /// Deliveries before the present run.
    before: u64,
    folder: PathBuf,
}

impl SinkProcess {
    /// Start one that listens at all of these, with more arguments.
    ///
    /// # Errors
    /// It does not begin; its words are on standard error.
    pub fn start(listen: &[SocketAddr], more: &[String], folder: &Path) -> anyhow::Result<Self> {
        let mut command = tool("sink")?;
        command.arg("--control").args(more);
        for address in listen {
            command.arg("--listen").arg(address.to_string());
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start a sink")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().context("a sink without output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let sink = Self { child: Some(child), stdin, lines, come: 0, before: 0, folder: folder.to_owned() };
        match sink.lines.recv() {
            Ok(line) if line.starts_with("ready") => Ok(sink),
            _ => bail!("the sink did not begin"),
        }
    }

    fn say(&mut self, words: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("the sink has ended")?;
        writeln!(stdin, "{words}").context("the sink has ended")
    }

    /// Take note of progress; anything else, and the answer to `run`, is for the caller.
    fn hear(&mut self, line: &str) -> Option<Value> {
        let value: Value = serde_json::from_str(line).ok()?;
        match value["come"].as_u64() {
            Some(come) => {
                self.come = come;
                value.get("begun").is_some().then_some(value)
            }
            None => Some(value),
        }
    }

    /// Forget what came, and count for this run.
    ///
    /// # Errors
    /// It has ended.
    pub fn begin(&mut self, run: u32) -> anyhow::Result<()> {
        self.say(&format!("run {run}"))?;
        // What it has told lags behind what has come: the rest of an earlier run would count for this one.
        loop {
            let line = self.lines.recv().context("the sink has ended")?;
            if self.hear(&line).is_some_and(|value| value["begun"] == run) {
                self.before = self.come;
                return Ok(());
            }
        }
    }

    /// Read what it has told meanwhile.
    fn catch_up(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(&line);
        }
    }

    /// Deliveries of the present run so far.
    pub fn come_now(&mut self) -> u64 {
        self.catch_up();
        self.come - self.before
    }

    /// Wait until so many deliveries of the present run have come. `false`: nothing came for so long.
    ///
    /// # Errors
    /// It has ended.
    pub fn wait_for(
        &mut self,
        deliveries: u64,
        patience: Duration,
        mut each: impl FnMut(u64),
    ) -> anyhow::Result<bool> {
        let (mut last, mut since) = (self.come_now(), clock::monotonic());
        while last < deliveries {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    self.hear(&line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the sink has ended"),
            }
            let now = self.come_now();
            each(now);
            if now != last {
                (last, since) = (now, clock::monotonic());
            } else if clock::monotonic() - since > patience.as_nanos() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What came of a run, or of all, and which keys: of requests, or of reports. Mails that came until that reading of the
    /// clock are counted apart.
    ///
    /// # Errors
    /// It has ended.
    pub fn sum(&mut self, run: Option<u32>, reports: bool, until: u64) -> anyhow::Result<(Value, Bits)> {
        let file = self.folder.join("delivered");
        let kind = if reports { "reports" } else { "requests" };
        let run = run.map_or("all".to_owned(), |run| run.to_string());
        self.say(&format!("sum {run} {kind} {until} {}", file.display()))?;
        loop {
            let line = self.lines.recv().context("the sink has ended")?;
            if let Some(sum) = self.hear(&line) {
                return Ok((sum, Bits::from_octets(std::fs::read(&file)?)));
            }
        }
    }

    /// How much of a run has come more than once.
    ///
    /// # Errors
    /// It has ended.
    pub fn twice(&mut self, run: u32, reports: bool) -> anyhow::Result<u64> {
        let (sum, _) = self.sum(Some(run), reports, 0)?;
        Ok(sum[if reports { "reports" } else { "requests" }]["doubled"].as_u64().unwrap_or(0))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// End it.
    pub fn stop(&mut self) {
        // The end of its input is the end.
        self.stdin = None;
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A source at work.
pub struct SourceProcess {
    done: Receiver<std::io::Result<std::process::Output>>,
    accepted: PathBuf,
    pid: u32,
    over: bool,
}

/// What a source came to.
pub struct Sent {
    /// Its own sum.
    pub json: Value,
    /// Sequence numbers that were accepted.
    pub keys: Bits,
}

impl SourceProcess {
    /// Start one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(to: SocketAddr, arguments: &[String], folder: &Path) -> anyhow::Result<Self> {
        let accepted = folder.join("accepted");
        let _ = std::fs::remove_file(&accepted);
        let mut command = tool("source")?;
        command.arg("--to").arg(to.to_string()).args(arguments).arg("--accepted").arg(&accepted);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a source")?;
        let pid = child.id();
        let (send, done) = channel();
        std::thread::spawn(move || send.send(child.wait_with_output()));
        Ok(Self { done, accepted, pid, over: false })
    }

    /// Wait for its end; `each` is called so often meanwhile.
    ///
    /// # Errors
    /// It said nothing that can be read.
    pub fn wait(mut self, often: Duration, mut each: impl FnMut()) -> anyhow::Result<Sent> {
        let output = loop {
            match self.done.recv_timeout(often) {
                Ok(output) => break output?,
                Err(RecvTimeoutError::Timeout) => each(),
                Err(RecvTimeoutError::Disconnected) => bail!("the source was lost"),
            }
        };
        self.over = true;
        let said = String::from_utf8_lossy(&output.stdout);
        let json: Value = serde_json::from_str(said.trim()).with_context(|| {
            format!("the source failed: {said}{}", String::from_utf8_lossy(&output.stderr))
        })?;
        if let Some(error) = json["error"].as_str() {
            bail!("the source failed: {error}");
        }
        Ok(Sent { json, keys: Bits::from_octets(std::fs::read(&self.accepted).unwrap_or_default()) })
    }
}

impl Drop for SourceProcess {
    fn drop(&mut self) {
        // Not waited for yet: the number is still its own.
        let runs = !self.over && self.done.try_recv().is_err();
        if let Some(pid) =
            i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).filter(|_| runs)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
