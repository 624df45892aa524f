//! `belino top`: one frame for scripts, and the live view in a terminal of its own.

use crate::world::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// As long as anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn overview(world: &World) -> Value {
    let mut frames = world.json(&["top"]);
    assert_eq!(frames.len(), 1, "{frames:?}");
    frames.remove(0)
}

fn peer<'a>(overview: &'a Value, name: &str) -> &'a Value {
    let peers = overview["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["peer"] == name).unwrap_or_else(|| panic!("no {name} in {overview:#}"))
}

/// Turn the clock on until a sample has been taken at the new time.
fn sampled(world: &World, seconds: u64, done: impl Fn(&Value) -> bool) -> Value {
    world.advance(&format!("{seconds}s"));
    world.until("a sample has it", |world| Some(overview(world)).filter(&done))
}

#[test]
fn a_frame_has_rates_of_the_last_minute_and_quantiles_of_responses() {
    let world = World::new();
    let before = overview(&world);
    assert_eq!(
        (&before["ready"], &before["why"], &before["queued"]),
        (&true.into(), &Value::Null, &0.into())
    );
    assert_eq!(before["now"], "2025-03-04T10:15:30.000Z");
    assert_eq!(peer(&before, "b")["per_second"], Value::Null, "there is only one sample");
    // Two requests in, one out, and its response three seconds later.
    let mut client = world.from_b();
    for n in 0..2 {
        let ids = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        assert!(client.forward(&ids, &[U1]).starts_with("250"));
        world.b.mail();
    }
    world.send(U1, &[B1], &["--text", "hello"]);
    let sent = world.b.mail();
    world.settle();
    world.advance("3s");
    let res = response(&sent.must("X-Mms-Transaction-ID"), "Ok", &[]);
    let reply = client.mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    assert!(reply.starts_with("250"), "{reply}");
    world.settle();
    let after = sampled(&world, 7, |frame| peer(frame, "b")["per_second"]["received"].as_f64() > Some(0.0));
    let b = peer(&after, "b");
    assert_eq!(after["rates_over_seconds"], 10.0);
    assert_eq!((&b["per_second"]["received"], &b["per_second"]["sent"]), (&0.3.into(), &0.3.into()));
    assert_eq!((&b["per_second"]["never"], &b["per_second"]["later"]), (&0.0.into(), &0.0.into()));
    assert_eq!(b["response_seconds"]["count"], 1);
    let half = b["response_seconds"]["p50"].as_f64().unwrap();
    assert!((2.5..=10.0).contains(&half), "{half}");
    assert_eq!((&b["since_start"]["received"], &b["since_start"]["sent"]), (&3.into(), &3.into()));
    assert_eq!((&b["gate"]["open"], &b["incoming_connections"]), (&true.into(), &1.into()));
    assert_eq!(peer(&after, "c")["per_second"]["received"], 0.0);
}

#[test]
fn a_frame_names_what_peers_refuse_and_prints_nothing_that_a_terminal_obeys() {
    let world = World::new();
    world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 no \x1b[2Jsuch user".to_owned()));
    world.send(U1, &[B1], &["--text", "hello"]);
    let frame = world.until("the refusal shows", |world| {
        let frame = overview(world);
        (!frame["refusals"].as_array().unwrap().is_empty()).then_some(frame)
    });
    let refusal = &frame["refusals"][0];
    assert_eq!(
        (&refusal["peer"], &refusal["outcome"], &refusal["count"]),
        (&"b".into(), &"never".into(), &1.into())
    );
    assert_eq!(peer(&frame, "b")["since_start"]["wrong"]["sent: never"], 1);
    let output = world.cli(&["top", "--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains('\x1b'), "{text:?}");
    assert!(text.starts_with("belino ") && text.contains("  ready  "), "{text}");
    assert!(text.contains("LAST REFUSALS") && text.contains("550 5.1.1"), "{text}");
    let row = text.lines().find(|line| line.starts_with("b ")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("open"), "{text}");
    // Two frames, where they are asked for.
    let output = world.cli(&["top", "--json", "--frames", "2", "--every", "100ms"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let output = world.cli(&["top", "--every", "1ms"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--every"));
}

#[test]
fn a_frame_says_why_nothing_is_accepted() {
    let limits = "disk_free_min = \"900000GiB\"".into();
    let world = World::with(Setup { limits, ..Setup::default() });
    let text = String::from_utf8(world.cli(&["top"]).stdout).unwrap();
    assert!(text.contains("NOT READY: ") && text.contains("limits.disk_free_min"), "{text}");
}

/// A program in a terminal of its own.
struct Terminal {
    /// What is typed.
    keys: File,
    /// The program's end, kept open so that its state can be looked at.
    slave: OwnedFd,
    shown: Receiver<Vec<u8>>,
    seen: String,
    program: Child,
}

impl Terminal {
    fn run(world: &World, args: &[&str], no_color: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 12, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || OwnedFd::from(File::options().read(true).write(true).open(&name).unwrap());
        let mut command = Command::new(binary());
        command.arg("-c").arg(world.folder.path().join("belino.toml")).args(args).env("TERM", "xterm");
        command.env_remove("NO_COLOR").envs(no_color.then_some(("NO_COLOR", "1")));
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let slave = open();
        let program = command.spawn().unwrap();
        let keys = File::from(master);
        let mut reader = keys.try_clone().unwrap();
        let (show, shown) = channel();
        std::thread::spawn(move || {
            let mut octets = vec![0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut octets) {
                if show.send(octets[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, slave, shown, seen: String::new(), program }
    }

    /// Wait until this has been shown, since the last time.
    fn shows(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(what) {
                let rest = self.seen.split_off(at + what.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let more = self.shown.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("never shown: {what:?}, but {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// How it ended, once it has given the terminal back.
    fn end(mut self) -> bool {
        self.shows("\x1b[?25h\x1b[?1049l");
        let ended = self.program.wait().unwrap().success();
        assert!(!self.is_raw(), "the terminal is as it was");
        ended
    }
}

#[test]
fn the_live_view_hears_keys_and_gives_the_terminal_back() {
    let world = World::new();
    let mut top = Terminal::run(&world, &["top", "--every", "200ms"], false);
    top.shows("\x1b[?1049h");
    let frame = top.shows("CONNS");
    assert!(frame.contains("PEER*") && frame.contains("\x1b[32mready"), "{frame:?}");
    assert!(top.is_raw());
    // It goes on by itself.
    assert!(world.cli(&["pause", "c"]).status.success());
    top.shows("paused");
    // Right, and the state is what it is sorted by; up, the other way round; left, as it was.
    top.press(b"\x1b[C");
    top.shows("STATE*");
    top.press(b"\x1b[A");
    top.shows("STATE^");
    top.press(b"\x1b[D");
    top.shows("PEER^");
    top.press(b"p");
    top.shows("p goes on");
    // A smaller window is a smaller frame, at once.
    let size = Winsize { ws_row: 4, ws_col: 30, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&top.keys, size).unwrap();
    let pid = top.program.id().to_string();
    assert!(Command::new("kill").args(["-WINCH", &pid]).status().unwrap().success());
    top.shows("and 2 more");
    top.press(b"\x03");
    assert!(top.end());
}

#[test]
fn the_live_view_survives_its_relay_and_ends_by_signal() {
    let mut world = World::new();
    let mut top = Terminal::run(&world, &["top", "--every", "200ms"], true);
    let frame = top.shows("CONNS");
    assert!(!frame.contains("\x1b[3") && !frame.contains("\x1b[1m"), "NO_COLOR: {frame:?}");
    world.kill();
    top.shows("no answer: no relay is running");
    world.start();
    let pid = top.program.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(top.end());
}

#[test]
fn states_have_colours_on_a_terminal_alone() {
    let world = World::new();
    let mut client = world.from_b();
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    world.b.mail();
    let id = world.all()[0]["id"].as_str().unwrap().to_owned();
    for (args, painted) in [
        (vec!["peer"], "\x1b[32mopen\x1b[0m"),
        (vec!["queue", "--all"], "\x1b[32mstored\x1b[0m"),
        (vec!["trace", id.as_str()], "\x1b[32mstored\x1b[0m"),
    ] {
        let mut terminal = Terminal::run(&world, &args, false);
        terminal.shows(painted);
        assert!(terminal.program.wait().unwrap().success());
        let mut terminal = Terminal::run(&world, &args, true);
        let word = if args[0] == "peer" { "open" } else { "stored" };
        assert!(!terminal.shows(word).contains("\x1b["), "{args:?} with NO_COLOR");
        assert!(terminal.program.wait().unwrap().success());
        let piped = world.cli(&args).stdout;
        assert!(!piped.contains(&0x1b), "{args:?} into a pipe");
    }
}
