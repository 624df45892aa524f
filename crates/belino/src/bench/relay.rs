//! Relays under test: started with a configuration of their own, measured, and stopped whatever happens.
//!
//! Owns: the processes of a relay and the folder that it works in. Never knows: what traffic it gets.
//!
//! A crash of the bench itself leaves a relay running; its folder's name begins with `belino-bench`.

use super::mail::{CROWD_DOMAIN, RELAY_DOMAIN, SINK_PREFIX, SOURCE_DOMAIN, SOURCE_NUMBER, sink_domain};
use super::measure::Tree;
use super::postfix::Postfix;
use crate::clock;
use anyhow::{Context as _, bail};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a relay may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This program.
    Belino,
    /// Debian's Postfix.
    Postfix,
    /// A command line with `{listen_port}`, `{sink_port}` and `{dir}` in it.
    Command(String),
}

impl Subject {
    /// In tables.
    pub fn name(&self) -> String {
        match self {
            Self::Belino => "belino".into(),
            Self::Postfix => "postfix".into(),
            Self::Command(line) => {
                let program = line.split_whitespace().next().unwrap_or_default();
                let name = Path::new(program).file_name().map(|n| n.to_string_lossy().into_owned());
                // Two of one name could not be told apart.
                name.filter(|n| n != "belino" && n != "postfix").unwrap_or_else(|| "command".into())
            }
        }
    }
}

/// How MMs pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transit {
    /// As they came, with one more `Received`: what any mail relay does.
    Transparent,
    /// With transactions of the relay's own: it asks, answers and reports.
    BackToBack,
}

/// What a relay is to be set up for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its folder; empty.
    pub folder: PathBuf,
    /// Where the source hears answers.
    pub source: SocketAddr,
    /// The sinks, in their order; all on the same port.
    pub sinks: Vec<SocketAddr>,
    /// How MMs pass.
    pub transit: Transit,
    /// The relay asks the sinks for responses.
    pub asks: bool,
    /// Incoming connections, at most.
    pub connections: usize,
    /// Each flush takes so much longer.
    pub flush_delay: Option<Duration>,
    /// There is another peer, of [`crowd_addresses`], that may have as many connections as it likes.
    pub crowd: bool,
}

/// Addresses of sources: all of them are one peer.
pub fn source_address(turn: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + (turn % 64) as u8))
}

/// Addresses of the peer that only holds connections: two hundred, for ports are few on each.
pub fn crowd_addresses() -> Vec<IpAddr> {
    (1..=200).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 3, last))).collect()
}

/// Address of a sink, by its place.
pub fn sink_address(sink: usize, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 2, 1 + sink as u8), port))
}

/// A port of the loopback that nobody has at this moment.
///
/// # Errors
/// There is none.
pub fn free_port() -> anyhow::Result<u16> {
    // Bound to every address, so that it is free on each.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Outgoing connections to one next hop, for every relay that can be told.
pub const CONNECTIONS_OUT: usize = 20;

/// The configuration with which Belino is measured.
pub fn configuration(plan: &Plan) -> String {
    let mut text = format!(
        "# Written by belino bench.\n[relay]\ndomain = \"{RELAY_DOMAIN}\"\ndata = \"data\"\n\n\
         [mm4]\nlisten = [\"127.0.0.1:0\"]\n\n\
         [limits]\nmessage_size_max = \"64MiB\"\ncontent_size_max = \"64MiB\"\nsessions_max = 20000\n\
         in_flight_max = 256\nstop = \"2s\"\n\n[retry]\nsteps = [\"1s\", \"2s\", \"5s\"]\n\
         gate_min = \"1s\"\ngate_max = \"2s\"\n\n"
    );
    let names: Vec<String> = (0..plan.sinks.len()).map(|k| format!("\"sink{k}\"")).collect();
    let transit = match plan.transit {
        Transit::Transparent => "transit_transparent",
        Transit::BackToBack => "transit",
    };
    text.push_str(&format!(
        "[[peer]]\nname = \"source\"\ndomains = [\"{SOURCE_DOMAIN}\"]\nhosts = [\"{}\"]\nfrom = [\"127.0.1.0/24\"]\n\
         prefixes = [\"{SOURCE_NUMBER}\"]\nsessions_max = 20000\nconnections_max = {CONNECTIONS_OUT}\n\
         {transit} = [{}]\n\n",
        plan.source,
        names.join(", ")
    ));
    for (k, sink) in plan.sinks.iter().enumerate() {
        text.push_str(&format!(
            "[[peer]]\nname = \"sink{k}\"\ndomains = [\"{}\"]\nhosts = [\"{sink}\"]\nfrom = [\"{}\"]\n\
             prefixes = [\"{SINK_PREFIX}{k}\"]\nsessions_max = 20000\nconnections_max = {CONNECTIONS_OUT}\n\
             profile = {{ expects_response = {} }}\n\n",
            sink_domain(k),
            sink.ip(),
            plan.asks
        ));
    }
    if plan.crowd {
        text.push_str(&format!(
            "[[peer]]\nname = \"crowd\"\ndomains = [\"{CROWD_DOMAIN}\"]\nhosts = [\"127.0.0.1:9\"]\nfrom = [\"127.0.3.0/24\"]\n\
             sessions_max = 20000\n\n"
        ));
    }
    text
}

/// A relay that runs.
pub struct Relay {
    /// What it is.
    pub subject: Subject,
    /// Where it takes mail.
    pub to: SocketAddr,
    /// Its folder.
    pub folder: PathBuf,
    process: Process,
}

enum Process {
    Child(Child),
    Postfix(Postfix),
    Gone,
}

impl Relay {
    /// Start it, and wait until it takes mail.
    ///
    /// # Errors
    /// In words, with what it said itself.
    pub fn start(subject: &Subject, plan: &Plan) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&plan.folder)?;
        let (to, process) = match subject {
            Subject::Belino => belino(plan)?,
            Subject::Postfix => {
                let port = free_port()?;
                let postfix = Postfix::start(plan, port)?;
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                (to, Process::Postfix(postfix))
            }
            Subject::Command(line) => command(line, plan)?,
        };
        let mut relay = Self { subject: subject.clone(), to, folder: plan.folder.clone(), process };
        if let Err(why) = relay.greets() {
            let said = relay.log();
            relay.stop();
            bail!("{} did not begin: {why:#}{said}", subject.name());
        }
        Ok(relay)
    }

    /// Wait for a greeting.
    fn greets(&mut self) -> anyhow::Result<()> {
        let end = clock::monotonic() + PATIENCE.as_nanos() as u64;
        loop {
            let greeting = super::client::connect(self.to, Some(source_address(0))).and_then(greeting);
            match greeting {
                Ok(220) => return Ok(()),
                Ok(code) => bail!("it greets with {code}"),
                Err(error) if clock::monotonic() > end => bail!("{}: {error}", self.to),
                Err(_) => clock::wait_until(clock::monotonic() + 20_000_000),
            }
            if let Process::Child(child) = &mut self.process
                && let Some(status) = child.try_wait()?
            {
                bail!("it ended: {status}");
            }
        }
    }

    /// Its processes.
    pub fn tree(&self) -> Tree {
        let root = match &self.process {
            Process::Child(child) => child.id(),
            Process::Postfix(postfix) => postfix.master,
            Process::Gone => 0,
        };
        Tree { root }
    }

    /// The end of what it has said.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.iter().rev().map(|line| format!("\n    {line}")).collect()
    }

    /// What it says itself of MMs that have not arrived: those that wait, with the history of the first, and the end of its log.
    /// A mail that waits for its next try is late; one that nobody knows is lost.
    pub fn account(&self) -> String {
        if self.subject != Subject::Belino {
            return self.log();
        }
        let ask = |more: &[&str]| -> String {
            let Ok(program) = std::env::current_exe() else { return String::new() };
            let mut command = Command::new(program);
            command.arg("queue").args(more).arg("-c").arg(self.folder.join("belino.toml"));
            command.stdin(Stdio::null()).stderr(Stdio::null()).output().map_or_else(
                |error| error.to_string(),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let waiting = ask(&["--max", "5"]);
        let first = waiting.split_whitespace().find(|word| word.parse::<mms::MmId>().is_ok());
        let story = first.map_or(String::new(), |id| ask(&[id]));
        format!("\nits queue:\n{waiting}{story}its log:{}", self.log())
    }

    /// End it as its operator would.
    pub fn stop(&mut self) {
        match std::mem::replace(&mut self.process, Process::Gone) {
            Process::Child(child) => end(child),
            Process::Postfix(mut postfix) => postfix.stop(),
            Process::Gone => {}
        }
    }

    /// `kill -9`, for relays that are a child of ours.
    pub fn kill(&mut self) {
        if let Process::Child(mut child) = std::mem::replace(&mut self.process, Process::Gone) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The code of the greeting.
fn greeting(socket: TcpStream) -> std::io::Result<u16> {
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = String::new();
    BufReader::new(socket.take(1000)).read_line(&mut line)?;
    let code = line.get(..3).and_then(|code| code.parse().ok());
    code.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("no greeting: {line:?}")))
}

/// SIGTERM, and SIGKILL to whoever does not hear it.
pub fn end(mut child: Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let until = clock::monotonic() + 10_000_000_000;
    while clock::monotonic() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        clock::wait_until(clock::monotonic() + 5_000_000);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn belino(plan: &Plan) -> anyhow::Result<(SocketAddr, Process)> {
    let config = plan.folder.join("belino.toml");
    if !config.exists() {
        std::fs::write(&config, configuration(plan))?;
    }
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.arg("serve").arg("-c").arg(&config);
    if let Some(delay) = plan.flush_delay {
        command.arg("--flush-delay").arg(format!("{}ms", delay.as_millis()));
    }
    let log = File::options().create(true).append(true).open(plan.folder.join("log"))?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
    let mut child = spawned.context("cannot start belino serve")?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().strip_prefix("ready ").and_then(|words| words.split(' ').next()?.parse().ok());
    match address {
        Some(address) => Ok((address, Process::Child(child))),
        None => {
            end(child);
            let said = std::fs::read_to_string(plan.folder.join("log")).unwrap_or_default();
            bail!("belino serve did not begin: {line}{said}")
        }
    }
}

fn command(line: &str, plan: &Plan) -> anyhow::Result<(SocketAddr, Process)> {
    let port = free_port()?;
    let sink = plan.sinks.first().map_or(0, SocketAddr::port);
    let dir = plan.folder.join("work");
    std::fs::create_dir_all(&dir)?;
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| {
            word.replace("{listen_port}", &port.to_string())
                .replace("{sink_port}", &sink.to_string())
                .replace("{dir}", &dir.display().to_string())
        })
        .collect();
    let (program, arguments) = words.split_first().context("--vs-command is empty")?;
    let log = File::options().create(true).append(true).open(plan.folder.join("log"))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    Ok((SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Process::Child(child)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(transit: Transit) -> Plan {
        Plan {
            folder: "/nowhere".into(),
            source: SocketAddr::new(source_address(0), 4000),
            sinks: (0..3).map(|k| sink_address(k, 5000)).collect(),
            transit,
            asks: transit == Transit::BackToBack,
            connections: 20,
            flush_delay: None,
            crowd: true,
        }
    }

    #[test]
    fn our_configuration_is_one_that_we_take() {
        use relay::PeerName;
        for (transit, mode) in [
            (Transit::Transparent, relay::house::TransitMode::Transparent),
            (Transit::BackToBack, relay::house::TransitMode::BackToBack),
        ] {
            let config =
                crate::config::parse(&configuration(&plan(transit)), Path::new("/x/belino.toml")).unwrap();
            let (source, sink) = (PeerName::new("source"), PeerName::new("sink2"));
            assert_eq!(config.house.transit(&source, &sink), Some(mode));
            assert_eq!(config.links.len(), 5);
        }
    }

    #[test]
    fn relays_are_told_apart_by_name() {
        let name = |line: &str| Subject::Command(line.into()).name();
        assert_eq!(name("/opt/x/ceiling {listen_port}"), "ceiling");
        assert_eq!([name("/usr/bin/belino x"), name("")], ["command", "command"]);
    }
}
