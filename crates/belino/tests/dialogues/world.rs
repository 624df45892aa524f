//! The world of a dialogue: a relay that runs, and peers that speak SMTP by hand.
#![allow(dead_code, reason = "each module of dialogues uses its own part")]

use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const U1: &str = "+12025550100";
pub const U2: &str = "+12025550101";
pub const B1: &str = "+12025550110";
pub const B2: &str = "+12025550111";
pub const C1: &str = "+12025550120";
/// Second since 1970 at which the relay's clock stands at first: 2025-03-04T10:15:30Z.
pub const START: i64 = 1_741_083_330;
/// How long anything may take before the test fails. Never waited for when things go well.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_belino")
}

/// Whether a foreign program is installed. Says so, and how to get it, when it is not; with `BELINO_NO_SKIP` set (as
/// `.ci/run` does) its absence is a failure.
pub fn has(program: &str, package: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|d| std::path::Path::new(d).join(program).exists());
    if !found {
        assert!(
            std::env::var_os("BELINO_NO_SKIP").is_none(),
            "{program} is missing: apt-get install {package}"
        );
        eprintln!("SKIPPED: {program} is not installed; get it with: apt-get install {package}");
    }
    found
}

// ---- the relay ----

/// What the configuration of relay A is made of.
pub struct Setup {
    /// Lines for `[mm4]`.
    pub mm4: String,
    /// Lines for `[limits]`.
    pub limits: String,
    /// Lines for `[retry]`.
    pub retry: String,
    /// Lines for `[[local]]` after its prefixes.
    pub local: String,
    /// Lines for peer B.
    pub b: String,
    /// Hosts of peer B that come before its own.
    pub b_hosts: Vec<String>,
    /// Lines for peer C.
    pub c: String,
    /// Anything else, at the end.
    pub more: String,
    /// Another configuration altogether; `{listen}` and `{c}` stand for the relay's address and peer C's.
    pub whole: Option<String>,
    /// Environment of the process.
    pub env: Vec<(&'static str, String)>,
    /// Goes by the system clock.
    pub real_time: bool,
    /// What is logged.
    pub log: &'static str,
    /// A shell line in front of `exec belino`, such as `ulimit -f 100`.
    pub shell: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        let empty = String::new;
        Self {
            mm4: empty(),
            limits: empty(),
            retry: empty(),
            local: empty(),
            b: empty(),
            b_hosts: Vec::new(),
            c: empty(),
            more: empty(),
            whole: None,
            env: Vec::new(),
            real_time: false,
            log: "debug",
            shell: None,
        }
    }
}

/// A relay A that runs, with peers B and C beside it.
pub struct World {
    pub folder: tempfile::TempDir,
    pub b: Peer,
    pub c: Peer,
    pub address: SocketAddr,
    /// Where it listens under TLS from the first octet, if it does.
    pub tls_address: Option<SocketAddr>,
    /// Where it listens for HTTP, if it does.
    pub http: Option<SocketAddr>,
    /// Where it listens for the console, if it does.
    pub console: Option<SocketAddr>,
    /// Where it listens for scrapes of its metrics, if it does.
    pub metrics: Option<SocketAddr>,
    setup: Setup,
    process: Option<Child>,
    /// Kept open so that the relay can go on writing.
    stdout: Option<BufReader<ChildStdout>>,
}

impl World {
    /// Relay A as the list of cases has it.
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    /// Relay A with something set differently.
    pub fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let b = Peer::new("b", Ipv4Addr::new(127, 0, 0, 2));
        let c = Peer::new("c", Ipv4Addr::new(127, 0, 0, 3));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (tls_address, http, metrics, console) = (None, None, None, None);
        let (process, stdout) = (None, None);
        let mut world =
            Self { folder, b, c, address, tls_address, http, metrics, console, setup, process, stdout };
        world.start();
        world
    }

    fn write_config(&self) {
        let Setup { mm4, limits, retry, local, b, b_hosts, c, more, .. } = &self.setup;
        let c_at = self.c.address;
        let b_at = self.b.address.to_string();
        let b_at = b_hosts.iter().chain([&b_at]).cloned().collect::<Vec<_>>().join("\", \"");
        let disk = if limits.contains("disk_free_min") { "" } else { "disk_free_min = 0\n" };
        let text = format!(
            "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n\n[mm4]\nlisten = [\"127.0.0.1:{}\"]\n{mm4}\n\
             [limits]\n{disk}{limits}\n[retry]\n{retry}\n\
             [[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n{local}\n\
             [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\nhosts = [\"{b_at}\"]\nfrom = [\"127.0.0.2\", \"127.0.0.22\"]\n\
             prefixes = [\"+1202555011\"]\n{b}\n\
             [[peer]]\nname = \"c\"\ndomains = [\"mms.c.example\"]\nhosts = [\"{c_at}\"]\nfrom = [\"127.0.0.3\"]\n\
             prefixes = [\"+1202555012\"]\n{c}\n{more}\n",
            self.address.port()
        );
        let text = match &self.setup.whole {
            Some(whole) => {
                whole.replace("{listen}", &self.address.to_string()).replace("{c}", &c_at.to_string())
            }
            None => text,
        };
        std::fs::write(self.folder.path().join("belino.toml"), text).unwrap();
    }

    /// Change what is configured; takes effect at the next start.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Start the process and wait until it listens. A restart listens on the same port.
    pub fn start(&mut self) {
        self.write_config();
        let config = self.folder.path().join("belino.toml");
        let mut command = match &self.setup.shell {
            None => Command::new(binary()),
            Some(line) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("{line}; exec \"$0\" \"$@\"")).arg(binary());
                shell
            }
        };
        command.arg("serve").arg("-c").arg(&config).arg("--log").arg(self.setup.log);
        if !self.setup.real_time {
            command.arg("--clock").arg(START.to_string());
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        command.envs(self.setup.env.iter().map(|(k, v)| (k, v)));
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("ready ") else {
            let _ = process.wait();
            panic!("the relay did not start: {line:?}\n{}", self.log());
        };
        let words: Vec<&str> = address.split(' ').collect();
        let named = |name: &str| {
            let place = words.iter().position(|word| *word == name)?;
            words.get(place + 1).map(|address| address.parse().unwrap())
        };
        self.address = words[0].parse().unwrap();
        self.tls_address = words.get(1).and_then(|address| address.parse().ok());
        (self.http, self.metrics) = (named("http"), named("metrics"));
        self.console = named("console");
        self.stdout = Some(stdout);
        self.process = Some(process);
    }

    /// What the relay has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Wait for the process to end by itself; its exit code.
    pub fn wait_for_end(&mut self) -> Option<i32> {
        self.process.take().and_then(|mut process| process.wait().unwrap().code())
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP: read the configuration again, which is written first.
    pub fn reload(&self) {
        self.write_config();
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        assert!(Command::new("kill").arg(signal).arg(process.id().to_string()).status().unwrap().success());
    }

    /// SIGTERM, and wait. `true` when it ended well.
    pub fn stop(&mut self) -> bool {
        self.terminate();
        self.wait_for_end() == Some(0)
    }

    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// Run the program with these arguments beside the relay.
    pub fn cli(&self, args: &[&str]) -> Output {
        let config = self.folder.path().join("belino.toml");
        Command::new(binary())
            .arg("-c")
            .arg(config)
            .args(args)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Run a verb with `--json`; each line it prints.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = self.cli(&all);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {text}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Let what is under way come to its end, so that the time that passes does not pass in the middle of a dialogue. A
    /// test may hold a dialogue open on purpose; then time passes all the same.
    pub fn settle(&self) {
        let (_never, pause) = channel::<()>();
        for _ in 0..40 {
            let status = self.cli(&["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            if status["quiet"] == true {
                return;
            }
            let _ = pause.recv_timeout(Duration::from_millis(50));
        }
    }

    /// Turn the relay's clock on.
    pub fn advance(&self, span: &str) {
        self.settle();
        let output = self.cli(&["advance", span]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What lies in a user's mailbox.
    pub fn mailbox(&self, user: &str) -> Vec<Value> {
        self.json(&["mailbox", "--recipient", user])
    }

    /// Everything about the MMs that go by this id.
    pub fn trace(&self, id: &str) -> Vec<Value> {
        self.json(&["trace", id])
    }

    /// All MMs.
    pub fn all(&self) -> Vec<Value> {
        self.json(&["queue", "--all", "--max", "10000"])
    }

    /// Hand in an MM; further arguments as for `belino send`.
    pub fn send(&self, from: &str, to: &[&str], more: &[&str]) -> Value {
        let to = to.join(",");
        let mut args = vec!["send", "--from", from];
        if !to.is_empty() {
            args.extend(["--to", to.as_str()]);
        }
        args.extend(more);
        self.json(&args).remove(0)
    }

    /// Look again and again until `done` says so. For states that nobody announces.
    pub fn until<T>(&self, what: &str, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        let tick = Receiver::<()>::recv_timeout;
        let (_never, pause) = channel::<()>();
        for _ in 0..400 {
            if let Some(found) = done(self) {
                return found;
            }
            let _ = tick(&pause, Duration::from_millis(50));
        }
        panic!("never came true: {what}\n{}", self.log());
    }

    /// Wait until the recipient of this MM (by its place) is in this state; its JSON.
    pub fn until_state(&self, id: &str, place: usize, state: &str) -> Value {
        self.until(&format!("recipient {place} of {id} is {state}"), |world| {
            let mm = world.trace(id).into_iter().next()?;
            let r = &mm["recipients"][place];
            (r["state"] == state).then(|| r.clone())
        })
    }

    /// A connection from peer B's address, greeted, EHLO said.
    #[expect(clippy::wrong_self_convention, reason = "it reads as what it is: a connection from B")]
    pub fn from_b(&self) -> Client {
        Client::greeted(self.b.address.ip(), self.address)
    }

    /// A connection from peer C's address.
    #[expect(clippy::wrong_self_convention, reason = "it reads as what it is: a connection from C")]
    pub fn from_c(&self) -> Client {
        Client::greeted(self.c.address.ip(), self.address)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "---- log of the relay; its folder is kept: {} ----\n{}",
                self.folder.path().display(),
                self.log()
            );
            self.folder.disable_cleanup(true);
        }
    }
}

// ---- a peer as a client ----

/// An SMTP client written by hand, line by line.
pub struct Client {
    reader: BufReader<Box<dyn Octets>>,
}

/// A socket, or what lies over it.
pub trait Octets: Read + Write + Send {}

impl<T: Read + Write + Send> Octets for T {}

impl Client {
    /// Connect from a local address.
    pub fn connect(from: std::net::IpAddr, to: SocketAddr) -> Self {
        let socket = socket_from(from, to);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(Box::new(socket))
    }

    /// A client over this.
    pub fn over(octets: Box<dyn Octets>) -> Self {
        Self { reader: BufReader::new(octets) }
    }

    /// What is under it. Nothing may have been read ahead.
    pub fn into_octets(self) -> Box<dyn Octets> {
        assert!(self.reader.buffer().is_empty(), "octets were read ahead");
        self.reader.into_inner()
    }

    /// Connect, hear the greeting, say EHLO.
    pub fn greeted(from: std::net::IpAddr, to: SocketAddr) -> Self {
        let mut client = Self::connect(from, to);
        client.expect("220");
        client.say("EHLO mms.b.example");
        client.expect("250");
        client
    }

    /// The same, or `None` when nobody listens or the connection ends.
    pub fn try_greeted(from: std::net::IpAddr, to: SocketAddr) -> Option<Self> {
        let socket = try_socket_from(from, to)?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut client = Self::over(Box::new(socket));
        if !client.reply().starts_with("220") {
            return None;
        }
        client.try_say("EHLO mms.b.example")?;
        client.reply().starts_with("250").then_some(client)
    }

    /// Octets as they are, or `None` when the connection has ended.
    pub fn try_raw(&mut self, octets: &[u8]) -> Option<()> {
        self.reader.get_mut().write_all(octets).ok()
    }

    /// A line, or `None` when the connection has ended.
    pub fn try_say(&mut self, line: &str) -> Option<()> {
        self.try_raw(format!("{line}\r\n").as_bytes())
    }

    /// One reply, all its lines joined by LF; empty when the connection is closed.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return reply;
            }
            reply.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
            reply.push('\n');
        }
    }

    /// A reply that begins like this.
    pub fn expect(&mut self, begins: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(begins), "expected {begins}, got {reply:?}");
        reply
    }

    /// Octets as they are.
    pub fn raw(&mut self, octets: &[u8]) {
        self.reader.get_mut().write_all(octets).unwrap();
    }

    /// A line, with CRLF.
    pub fn say(&mut self, line: &str) {
        self.raw(format!("{line}\r\n").as_bytes());
    }

    /// A command, and its reply.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.reply()
    }

    /// A whole mail; the reply after its end. `content` is dot-stuffed and ends in CRLF.
    pub fn mail(&mut self, from: &str, to: &[&str], content: &[u8]) -> String {
        self.say(&format!("MAIL FROM:<{from}>"));
        self.expect("250");
        for recipient in to {
            self.say(&format!("RCPT TO:<{recipient}>"));
            self.expect("250");
        }
        self.say("DATA");
        self.expect("354");
        self.raw(content);
        self.raw(b".\r\n");
        self.reply()
    }

    /// A forward request to these users at relay A; the reply after its end.
    pub fn forward(&mut self, fwd: &Fwd, to: &[&str]) -> String {
        let to: Vec<String> = to.iter().map(|n| at_a(n)).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        self.mail(&format!("{B1}/TYPE=PLMN@mms.b.example"), &to, &fwd.mail())
    }

    /// Whether the other side has closed.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.reader.read_to_end(&mut rest), Ok(0))
    }
}

/// `+12025550100/TYPE=PLMN@mms.a.example`.
pub fn at_a(number: &str) -> String {
    if number.contains('@') { number.to_owned() } else { format!("{number}/TYPE=PLMN@mms.a.example") }
}

fn socket_from(from: std::net::IpAddr, to: SocketAddr) -> TcpStream {
    try_socket_from(from, to).expect("a connection")
}

fn try_socket_from(from: std::net::IpAddr, to: SocketAddr) -> Option<TcpStream> {
    // The standard library cannot bind before it connects; tokio's socket can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(to).await.ok()
    })?;
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

// ---- mails ----

/// A forward request from B1, to be changed field by field. "FWD" of the list of cases is its default: response and
/// delivery report asked, Message-ID mm-1, Transaction-ID tx-1.
#[derive(Clone)]
pub struct Fwd {
    /// Header lines in order, without CRLF.
    pub lines: Vec<String>,
    /// Body with CRLF, dot-stuffed.
    pub body: Vec<u8>,
}

impl Default for Fwd {
    fn default() -> Self {
        let lines = [
            "Date: Tue, 04 Mar 2025 10:15:30 +0000",
            "From: +12025550110/TYPE=PLMN@mms.b.example",
            "Sender: +12025550110/TYPE=PLMN@mms.b.example",
            "To: +12025550100/TYPE=PLMN@mms.a.example",
            "Message-ID: <std11-1@mms.b.example>",
            "Subject: hello",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=\"b1\"",
            "X-Mms-3GPP-MMS-Version: 6.3.0",
            "X-Mms-Message-Type: MM4_forward.REQ",
            "X-Mms-Transaction-ID: tx-1",
            "X-Mms-Message-ID: mm-1",
            "X-Mms-Message-Class: Personal",
            "X-Mms-Delivery-Report: Yes",
            "X-Mms-Originator-R/S-Delivery-Report: No",
            "X-Mms-Priority: Normal",
            "X-Mms-Ack-Request: Yes",
            "X-Mms-Originator-System: system-user@mms.b.example",
        ];
        let body = "--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--b1--\r\n";
        Self { lines: lines.iter().map(|l| (*l).to_owned()).collect(), body: body.into() }
    }
}

impl Fwd {
    pub fn new() -> Self {
        Self::default()
    }

    /// With these ids.
    pub fn ids(message_id: &str, transaction_id: &str) -> Self {
        Self::new().set("X-Mms-Message-ID", message_id).set("X-Mms-Transaction-ID", transaction_id)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let begins = format!("{}:", name.to_ascii_lowercase());
        self.lines.iter().position(|l| l.to_ascii_lowercase().starts_with(&begins))
    }

    /// Replace a field's value, or add the field.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let line = format!("{name}: {value}");
        match self.find(name) {
            Some(i) => self.lines[i] = line,
            None => self.lines.push(line),
        }
        self
    }

    /// Add a line as it is, even if such a field exists.
    pub fn add(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Take a field out.
    pub fn without(mut self, name: &str) -> Self {
        while let Some(i) = self.find(name) {
            self.lines.remove(i);
        }
        self
    }

    /// Another body (with CRLF, dot-stuffed).
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// The whole content for DATA, without its end.
    pub fn mail(&self) -> Vec<u8> {
        let mut mail = self.lines.join("\r\n").into_bytes();
        mail.extend_from_slice(b"\r\n\r\n");
        mail.extend_from_slice(&self.body);
        mail
    }
}

// ---- a peer as a server ----

/// A mail that a peer's server received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Argument of MAIL between the angle brackets.
    pub from: String,
    /// Arguments of the RCPTs that were taken.
    pub to: Vec<String>,
    /// Content, dots unstuffed.
    pub content: String,
}

impl Received {
    /// The unfolded value of a header field.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// The unfolded values of all fields of a name.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let head = self.content.split("\r\n\r\n").next().unwrap_or_default();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let begins = format!("{}:", name.to_ascii_lowercase());
        unfolded
            .lines()
            .filter(|l| l.to_ascii_lowercase().starts_with(&begins))
            .map(|l| l[begins.len()..].trim().to_owned())
            .collect()
    }

    /// What follows the header block.
    pub fn body(&self) -> &str {
        self.content.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn is_report(&self) -> bool {
        self.header("X-Mms-Message-Type").is_some_and(|kind| kind.ends_with("report.REQ"))
    }

    /// A field that must be there.
    pub fn must(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.content))
    }
}

/// How a peer's server answers: given a command line (or `.` for the end of content), a reply, or `None` for the usual
/// one. `Some("")` closes the connection without a word.
pub type Script = dyn FnMut(&str) -> Option<String> + Send;

/// A peer: an SMTP server that records what it gets.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    mails: Receiver<Received>,
    heard: Receiver<Received>,
    /// Report requests that came while something else was waited for.
    set_aside: Mutex<VecDeque<Received>>,
    script: Arc<Mutex<Option<Box<Script>>>>,
    extensions: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Peer {
    pub fn new(name: &'static str, ip: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mails) = channel();
        let (hearer, heard) = channel();
        let script: Arc<Mutex<Option<Box<Script>>>> = Arc::default();
        let extensions =
            Arc::new(Mutex::new(vec!["PIPELINING".to_owned(), "8BITMIME".into(), "SIZE 20000000".into()]));
        let connections = Arc::<Mutex<usize>>::default();
        let peer = Self {
            name,
            address,
            mails,
            heard,
            set_aside: Mutex::default(),
            script: script.clone(),
            extensions: extensions.clone(),
            connections: connections.clone(),
        };
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                *connections.lock().unwrap() += 1;
                let senders = (sender.clone(), hearer.clone());
                let (script, extensions) = (script.clone(), extensions.clone());
                // Taken out of the lock first: a guard that lives on would let in one connection at a time.
                let extensions = extensions.lock().unwrap().clone();
                std::thread::spawn(move || serve(socket, &senders, &script, &extensions));
            }
        });
        peer
    }

    /// The next mail that came, reports aside: see [`Peer::report`].
    pub fn mail(&self) -> Received {
        self.try_mail().unwrap_or_else(|| panic!("no mail came to peer {}", self.name))
    }

    /// The next mail whose content came to its end, whatever was answered then. Mails that were taken are here, too.
    pub fn heard(&self) -> Received {
        self.heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("peer {} heard no mail", self.name))
    }

    /// The next mail, reports aside, or `None` when none comes.
    pub fn try_mail(&self) -> Option<Received> {
        loop {
            let mail = self.mails.recv_timeout(PATIENCE).ok()?;
            if !mail.is_report() {
                return Some(mail);
            }
            self.set_aside.lock().unwrap().push_back(mail);
        }
    }

    /// All mails that have come by now, reports aside.
    pub fn mails(&self) -> Vec<Received> {
        let (reports, others): (Vec<_>, Vec<_>) = self.mails.try_iter().partition(Received::is_report);
        self.set_aside.lock().unwrap().extend(reports);
        others
    }

    /// The next report request that came.
    pub fn report(&self) -> Received {
        if let Some(report) = self.set_aside.lock().unwrap().pop_front() {
            return report;
        }
        loop {
            let mail = self.mails.recv_timeout(PATIENCE);
            let mail = mail.unwrap_or_else(|_| panic!("no report came to peer {}", self.name));
            if mail.is_report() {
                return mail;
            }
        }
    }

    /// All report requests that have come by now.
    pub fn reports(&self) -> Vec<Received> {
        self.mails();
        self.set_aside.lock().unwrap().drain(..).collect()
    }

    /// Answer by a script from now on.
    pub fn answer(&self, script: impl FnMut(&str) -> Option<String> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Answer as usual from now on.
    pub fn behave(&self) {
        *self.script.lock().unwrap() = None;
    }

    /// What EHLO is answered with; nothing = EHLO is refused, only HELO works.
    pub fn extensions(&self, list: &[&str]) {
        *self.extensions.lock().unwrap() = list.iter().map(|e| (*e).to_owned()).collect();
    }

    /// Connections that were made to it so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(
    socket: TcpStream,
    (mails, heard): &(Sender<Received>, Sender<Received>),
    script: &Mutex<Option<Box<Script>>>,
    extensions: &[String],
) {
    let _ = socket.set_nodelay(true);
    let mut writer = socket.try_clone().unwrap();
    let mut reader = BufReader::new(socket);
    let scripted = |line: &str| script.lock().unwrap().as_mut().and_then(|s| s(line));
    let _ = writer.write_all(scripted("connect").unwrap_or("220 peer ESMTP".into()).as_bytes());
    let _ = writer.write_all(b"\r\n");
    let (mut from, mut to) = (String::new(), Vec::new());
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let command = line.trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let argument =
            command.split_once('<').and_then(|(_, r)| r.split_once('>')).map_or("", |(a, _)| a).to_owned();
        let usual = match verb.as_str() {
            "EHLO" if extensions.is_empty() => "502 5.5.1 no EHLO here".to_owned(),
            "EHLO" => {
                let mut lines = vec!["peer".to_owned()];
                lines.extend(extensions.iter().cloned());
                let last = lines.len() - 1;
                let lines: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' }))
                    .collect();
                lines.join("\r\n")
            }
            "DATA" if to.is_empty() => "503 5.5.1 no recipient".to_owned(),
            "DATA" => "354 go".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 2.0.0 ok".to_owned(),
        };
        let reply = scripted(&command).unwrap_or(usual);
        if reply.is_empty() {
            return;
        }
        let taken = reply.starts_with('2');
        match verb.as_str() {
            "MAIL" => (from, to) = (argument, Vec::new()),
            "RCPT" if taken => to.push(argument),
            "RSET" | "EHLO" | "HELO" => (from, to) = (String::new(), Vec::new()),
            _ => {}
        }
        if writer.write_all(format!("{reply}\r\n").as_bytes()).is_err() || verb == "QUIT" {
            return;
        }
        if verb == "DATA" && reply.starts_with("354") {
            let mut content = Vec::new();
            loop {
                let mut octets = Vec::new();
                if reader.read_until(b'\n', &mut octets).unwrap_or(0) == 0 {
                    return;
                }
                if octets == b".\r\n" {
                    break;
                }
                content.extend_from_slice(octets.strip_prefix(b".").unwrap_or(&octets));
            }
            let reply = scripted(".").unwrap_or("250 2.0.0 taken".into());
            let content = String::from_utf8_lossy(&content).into_owned();
            let mail = Received { from: from.clone(), to: to.clone(), content };
            let _ = heard.send(mail.clone());
            if reply.is_empty() {
                return;
            }
            // Recorded before the reply: whoever sees the reply's effect finds the mail here.
            if reply.starts_with('2') {
                let _ = mails.send(mail);
            }
            to.clear();
            if writer.write_all(format!("{reply}\r\n").as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// The mail of a response from a peer, for one of our transactions.
pub fn response(transaction_id: &str, status: &str, more: &[&str]) -> Vec<u8> {
    let mut mail = format!(
        "From: system-user@mms.b.example\r\nTo: system-user@mms.a.example\r\n\
         X-Mms-3GPP-MMS-Version: 5.5.0\r\nX-Mms-Message-Type: MM4_forward.RES\r\n\
         X-Mms-Transaction-ID: {transaction_id}\r\nX-Mms-Message-ID: whatever\r\n\
         X-Mms-Request-Status-Code: {status}\r\n"
    );
    for line in more {
        mail.push_str(line);
        mail.push_str("\r\n");
    }
    mail.push_str("\r\n");
    mail.into_bytes()
}
