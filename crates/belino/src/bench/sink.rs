//! The sink: takes mails as fast as they come, and remembers which.
//!
//! Owns: listening, reading content, the answers that a peer would give. Never knows: who sends, and what a run is for.
//!
//! A thread for each connection and plain blocking reads into one buffer: the end of data is found by vectorised search,
//! the body is digested as it passes, and nothing is kept of it.

use super::client::Connection;
use super::mail;
use super::seen::{self, Kind, Seen};
use super::tally::{Arrival, Page, Tally};
use crate::clock;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Octets read at once.
const BUFFER: usize = 256 << 10;
/// Octets of a header section, at most; a longer one is not the bench's.
const HEAD_MAX: usize = 64 << 10;
/// Stack of a thread: hundreds of connections shall cost little.
pub const STACK: usize = 256 << 10;

/// How a sink behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Wait so long before the reply to each mail.
    pub delay: Duration,
    /// Say this to each mail instead of `250`.
    pub refuse: Option<String>,
    /// Send `MM4_forward.RES` where one is asked for, and delivery reports, over connections to this address.
    pub answer: Option<Answers>,
}

/// The answers that a peer owes.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The relay.
    pub to: SocketAddr,
    /// Connections, at most.
    pub connections: usize,
    /// Delivery reports too, where asked for.
    pub reports: bool,
}

/// A sink that listens.
pub struct Sink {
    /// What came.
    pub tally: Arc<Tally>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// What an answer is made of.
struct Owed {
    to: String,
    transaction: String,
    message: String,
    recipient: String,
    from: IpAddr,
    report: bool,
}

struct Shared {
    tally: Arc<Tally>,
    manners: Manners,
    answers: Option<Sender<Owed>>,
}

impl Sink {
    /// Listen at all of these.
    ///
    /// # Errors
    /// An address cannot be had, or no thread.
    pub fn start(listen: &[SocketAddr], manners: Manners) -> io::Result<Self> {
        let tally = Arc::new(Tally::default());
        let answers = match &manners.answer {
            None => None,
            Some(answers) => {
                let (sender, receiver) = channel();
                let receiver = Arc::new(Mutex::new(receiver));
                for _ in 0..answers.connections.max(1) {
                    let (receiver, to) = (receiver.clone(), answers.to);
                    thread("answers", move || answer(&receiver, to))?;
                }
                Some(sender)
            }
        };
        let shared = Arc::new(Shared { tally: tally.clone(), manners, answers });
        let mut addresses = Vec::new();
        for address in listen {
            let listener = TcpListener::bind(address)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))?;
            addresses.push(listener.local_addr()?);
            let shared = shared.clone();
            thread("listens", move || {
                for socket in listener.incoming().flatten() {
                    let shared = shared.clone();
                    // Without a thread the connection is closed, which its sender sees.
                    let _ = thread("takes", move || {
                        let _ = Guest::new(socket, &shared).and_then(|mut guest| guest.serve());
                    });
                }
            })?;
        }
        Ok(Self { tally, addresses })
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work).map(drop)
}

/// One connection.
struct Guest<'a> {
    shared: &'a Shared,
    socket: TcpStream,
    local: IpAddr,
    page: Page,
    buffer: Vec<u8>,
    have: usize,
    output: Vec<u8>,
    recipients: Vec<Vec<u8>>,
    arrivals: Vec<Arrival>,
}

/// A content that has been read to its end.
struct Taken {
    seen: Option<Seen>,
    owed: Option<(String, String, String)>,
    crc: u32,
    body: u64,
    head: u64,
}

impl<'a> Guest<'a> {
    fn new(socket: TcpStream, shared: &'a Shared) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let local = socket.local_addr()?.ip();
        Ok(Self {
            shared,
            socket,
            local,
            page: shared.tally.page(),
            buffer: vec![0; BUFFER],
            have: 0,
            output: b"220 sink.example ESMTP bench\r\n".to_vec(),
            recipients: Vec::new(),
            arrivals: Vec::new(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.socket.write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        if self.have == self.buffer.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        match self.socket.read(&mut self.buffer[self.have..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.have += n;
                Ok(())
            }
        }
    }

    /// Throw the first octets away.
    fn used(&mut self, n: usize) {
        self.buffer.copy_within(n..self.have, 0);
        self.have -= n;
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut start = 0;
            let mut content = false;
            while let Some(n) = memchr::memchr(b'\n', &self.buffer[start..self.have]) {
                let line = &self.buffer[start..start + n];
                start += n + 1;
                let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
                let say: &[u8] = match &verb[..] {
                    b"EHLO" => {
                        b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n"
                    }
                    b"RCPT" => {
                        self.recipients.push(line.to_vec());
                        b"250 ok\r\n"
                    }
                    b"MAIL" | b"RSET" => {
                        self.recipients.clear();
                        b"250 ok\r\n"
                    }
                    b"DATA" if self.recipients.is_empty() => b"554 no recipients\r\n",
                    b"DATA" => {
                        content = true;
                        b"354 go on\r\n"
                    }
                    b"HELO" | b"NOOP" => b"250 ok\r\n",
                    b"QUIT" => {
                        self.output.extend_from_slice(b"221 bye\r\n");
                        return self.flush();
                    }
                    _ => b"502 unknown\r\n",
                };
                self.output.extend_from_slice(say);
                if content {
                    break;
                }
            }
            self.used(start);
            self.flush()?;
            if content {
                let taken = self.content()?;
                self.judge(taken)?;
            } else {
                self.read()?;
            }
        }
    }

    /// Read a content to its end.
    fn content(&mut self) -> io::Result<Taken> {
        let mut scanned = 0;
        let head = loop {
            let from = scanned;
            if let Some(n) = memchr::memmem::find(&self.buffer[from..self.have], b"\r\n\r\n") {
                break from + n + 4;
            }
            // The end of a content without a body.
            if self.buffer[..self.have].starts_with(b".\r\n") {
                self.used(3);
                return Ok(Taken { seen: None, owed: None, crc: 0, body: 0, head: 0 });
            }
            if self.have > HEAD_MAX {
                break 0;
            }
            scanned = self.have.saturating_sub(3);
            self.read()?;
        };
        let seen = seen::seen(&self.buffer[..head]);
        let owed = seen.filter(|seen| self.owes(seen)).map(|_| {
            let text = |name| seen::field(&self.buffer[..head], name).unwrap_or_default().to_owned();
            (text("X-Mms-Originator-System"), text("X-Mms-Transaction-ID"), text("X-Mms-Message-ID"))
        });
        // `body` is where what is not digested yet begins; the line end before it may belong to the end of data.
        let (mut crc, mut octets, mut body) = (0, 0, head);
        loop {
            let from = body.saturating_sub(2);
            if let Some(n) = memchr::memmem::find(&self.buffer[from..self.have], b"\r\n.\r\n") {
                let end = from + n + 2;
                crc = crc32c::crc32c_append(crc, &self.buffer[body.min(end)..end]);
                octets += end.saturating_sub(body) as u64;
                self.used(end + 3);
                return Ok(Taken { seen, owed, crc, body: octets, head: head as u64 });
            }
            // The last octets may be the beginning of the end.
            let safe = self.have.saturating_sub(4).max(body);
            crc = crc32c::crc32c_append(crc, &self.buffer[body..safe]);
            octets += (safe - body) as u64;
            let keep = safe.saturating_sub(2);
            self.used(keep);
            body = safe - keep;
            self.read()?;
        }
    }

    fn owes(&self, seen: &Seen) -> bool {
        let reports = self.shared.manners.answer.as_ref().is_some_and(|a| a.reports);
        seen.kind == Kind::Request && self.shared.answers.is_some() && (seen.ack || seen.report && reports)
    }

    /// Write down what came, and answer it.
    fn judge(&mut self, taken: Taken) -> io::Result<()> {
        let now = clock::monotonic();
        let Manners { delay, refuse, .. } = &self.shared.manners;
        if !delay.is_zero() {
            clock::wait_until(now + delay.as_nanos() as u64);
        }
        if let Some(words) = refuse {
            self.output.extend_from_slice(format!("{words}\r\n").as_bytes());
            self.recipients.clear();
            return Ok(());
        }
        self.note(&taken, now);
        self.output.extend_from_slice(b"250 ok\r\n");
        // The reply first: an answer may wait.
        self.flush()?;
        if let (Some((to, transaction, message)), Some(answers), Some(seen)) =
            (taken.owed, &self.shared.answers, taken.seen)
        {
            let path = |command: &Vec<u8>| {
                let command = String::from_utf8_lossy(command);
                let path = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                path.map_or(String::new(), |(path, _)| path.to_owned())
            };
            let owed = |recipient: String, report| {
                let (to, transaction, message) = (to.clone(), transaction.clone(), message.clone());
                Owed { to, transaction, message, recipient, from: self.local, report }
            };
            if seen.ack {
                let first = self.recipients.first().map(path).unwrap_or_default();
                let _ = answers.send(owed(first, false));
            }
            if seen.report && self.shared.manners.answer.as_ref().is_some_and(|a| a.reports) {
                for recipient in &self.recipients {
                    let _ = answers.send(owed(path(recipient), true));
                }
            }
        }
        self.recipients.clear();
        Ok(())
    }

    fn note(&mut self, taken: &Taken, at: u64) {
        let Some(seen) = taken.seen else {
            self.shared.tally.foreign.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        let octets = u32::try_from(taken.head + taken.body).unwrap_or(u32::MAX).max(1);
        let is_bad = !seen.is_ok;
        let base = Arrival {
            kind: seen.kind,
            run: seen.run,
            key: seen.sequence,
            octets,
            sent: seen.sent.unwrap_or(0),
            at,
            is_changed: false,
            is_bad,
        };
        self.arrivals.clear();
        match (seen.kind, seen.promise) {
            (Kind::Request, Some(promise)) => {
                let is_whole = promise.crc == taken.crc && u64::from(promise.octets) == taken.body;
                for (i, recipient) in self.recipients.iter().enumerate() {
                    let place = seen::place(recipient, seen.sequence, promise.recipients);
                    self.arrivals.push(Arrival {
                        key: seen.sequence * promise.recipients + place.unwrap_or(0),
                        octets: if i == 0 { octets } else { 0 },
                        is_changed: !is_whole || place.is_none(),
                        ..base
                    });
                }
            }
            // A request without its field is not the one that was sent.
            (Kind::Request, None) => self.arrivals.push(Arrival { is_changed: true, ..base }),
            _ => self.arrivals.push(base),
        }
        self.shared.tally.note(&self.page, &self.arrivals);
    }
}

/// Bring answers to the relay, one after another, over one connection.
fn answer(owed: &Mutex<Receiver<Owed>>, to: SocketAddr) {
    let mut connection: Option<(Connection, IpAddr)> = None;
    loop {
        let next = owed.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(owed) = next else { return };
        let domain = owed.recipient.rsplit_once('@').map_or("mms.sink0.example", |(_, domain)| domain);
        let (from, mail) = (format!("system-user@{domain}"), words(&owed, domain));
        let to_path = if owed.report {
            format!("{}/TYPE=PLMN@{}", mail::SOURCE_NUMBER, mail::RELAY_DOMAIN)
        } else {
            owed.to.clone()
        };
        let commands = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to_path}>\r\nDATA\r\n");
        // A kept connection may have died; then once more over a fresh one.
        for _ in 0..2 {
            if connection.as_ref().is_none_or(|(_, from)| *from != owed.from) {
                connection = Connection::open(to, Some(owed.from), domain).ok().map(|c| (c, owed.from));
            }
            let brought = connection.as_mut().map(|(c, _)| c.bring(commands.as_bytes(), 1, mail.as_bytes()));
            match brought {
                Some(Ok(_)) => break,
                _ => connection = None,
            }
        }
    }
}

/// The mail of an answer, with the end of data.
fn words(owed: &Owed, domain: &str) -> String {
    let Owed { to, transaction, message, recipient, report, .. } = owed;
    let common = "Date: Tue, 04 Mar 2025 10:15:31 +0000\r\nX-Mms-3GPP-MMS-Version: 6.16.0\r\n";
    let mime = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n";
    if *report {
        let number = mail::SOURCE_NUMBER;
        format!(
            "{common}From: {recipient}\r\nSender: system-user@{domain}\r\nTo: {number}/TYPE=PLMN@{}\r\n\
             X-Mms-Message-Type: MM4_delivery_report.REQ\r\nX-Mms-Transaction-ID: r{message}\r\n\
             X-Mms-Message-ID: {message}\r\nX-Mms-MM-Status-Code: Retrieved\r\nX-Mms-Ack-Request: No\r\n\
             Message-ID: <r{transaction}@{domain}>\r\n{mime}Retrieved\r\n.\r\n",
            mail::RELAY_DOMAIN
        )
    } else {
        format!(
            "{common}Sender: system-user@{domain}\r\nTo: {to}\r\nX-Mms-Message-Type: MM4_forward.RES\r\n\
             X-Mms-Transaction-ID: {transaction}\r\nX-Mms-Message-ID: {message}\r\n\
             X-Mms-Request-Status-Code: Ok\r\nMessage-ID: <s{transaction}@{domain}>\r\n{mime}Ok\r\n.\r\n"
        )
    }
}
