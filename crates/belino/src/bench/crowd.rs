//! A crowd: connections that take up room. Most say nothing after the greeting, some bring content an octet at a time.
//!
//! Owns: opening them, dripping, and finding out which of them the other side has ended. Never knows: who else is served.
//!
//! Plain blocking calls on one thread: a crowd costs its own side next to nothing.

use super::client::Connection;
use super::mail::{CROWD_DOMAIN, RELAY_DOMAIN};
use crate::clock;
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Each dripping connection has its octet within this time.
const SECOND: u64 = 1_000_000_000;
/// The octets of one second leave in so many portions, so that they do not come all at once.
const PORTIONS: usize = 20;
/// About so many of the silent ones are asked whether they are still served.
const ASKED: usize = 100;
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a crowd is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The relay.
    pub to: SocketAddr,
    /// Our addresses, turn by turn; none: the system's choice.
    pub from: Vec<IpAddr>,
    /// Connections that say nothing.
    pub idle: usize,
    /// Connections that bring content, an octet a second.
    pub dripping: usize,
}

/// Connections that are open.
pub struct Crowd {
    idle: Vec<TcpStream>,
    dripping: Vec<Drip>,
    octets: u64,
}

struct Drip {
    socket: TcpStream,
    failed: bool,
}

impl Crowd {
    /// Open as many of the connections as can be had; why not all of them, in words.
    pub fn open(plan: &Plan) -> (Self, Option<String>) {
        let mut crowd = Self { idle: Vec::new(), dripping: Vec::new(), octets: 0 };
        let trouble = crowd.fill(plan).err().map(|why| {
            let (have, want) = (crowd.size(), plan.idle + plan.dripping);
            format!("connection {} of {want}: {why}", have + 1)
        });
        (crowd, trouble)
    }

    fn fill(&mut self, plan: &Plan) -> io::Result<()> {
        let address = |turn: usize| plan.from.get(turn % plan.from.len().max(1)).copied();
        let begin = format!(
            "MAIL FROM:<system-user@{CROWD_DOMAIN}>\r\nRCPT TO:<system-user@{RELAY_DOMAIN}>\r\nDATA\r\n"
        );
        for turn in 0..plan.dripping {
            let mut connection = Connection::open(plan.to, address(turn), CROWD_DOMAIN)?;
            connection.begin(begin.as_bytes())?;
            self.dripping.push(Drip { socket: connection.into_socket(), failed: false });
        }
        for turn in 0..plan.idle {
            self.idle.push(Connection::greeted(plan.to, address(turn))?.into_socket());
        }
        Ok(())
    }

    /// Connections that were opened.
    pub fn size(&self) -> usize {
        self.idle.len() + self.dripping.len()
    }

    /// Drip until somebody says a word, or nobody is left who could, or so long.
    pub fn drip(&mut self, until: &Receiver<()>, longest: Duration) {
        let end = clock::monotonic() + longest.as_nanos() as u64;
        let (mut next, mut portion) = (clock::monotonic(), 0);
        while next < end {
            for drip in self.dripping.iter_mut().skip(portion).step_by(PORTIONS) {
                match drip.socket.write_all(b"x") {
                    Ok(()) => self.octets += 1,
                    Err(_) => drip.failed = true,
                }
            }
            (next, portion) = (next + SECOND / PORTIONS as u64, (portion + 1) % PORTIONS);
            let rest = Duration::from_nanos(next.saturating_sub(clock::monotonic()));
            if until.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// What became of the connections. Asks some of the silent ones whether they are served.
    pub fn count(&mut self) -> Value {
        let (idle, dripping) = (self.idle.len(), self.dripping.len());
        self.idle.retain(is_open);
        self.dripping.retain(|drip| !drip.failed && is_open(&drip.socket));
        let (idle_lost, dripping_lost) = (idle - self.idle.len(), dripping - self.dripping.len());
        let asked: Vec<&TcpStream> = self.idle.iter().step_by((idle / ASKED).max(1)).collect();
        json!({
            "idle": idle,
            "idle_lost": idle_lost,
            "dripping": dripping,
            "dripping_lost": dripping_lost,
            "octets": self.octets,
            "asked": asked.len(),
            "answered": asked.iter().filter(|socket| answers(socket)).count(),
        })
    }
}

/// Nothing has come on it: neither an end, nor a word, of which the last one would be `421`.
fn is_open(socket: &TcpStream) -> bool {
    let mut socket = socket;
    let came = socket.set_nonblocking(true).and_then(|()| socket.read(&mut [0; 64]));
    matches!(came, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn answers(socket: &TcpStream) -> bool {
    let (mut socket, mut reply) = (socket, [0; 3]);
    let asked = socket
        .set_nonblocking(false)
        .and_then(|()| socket.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| socket.write_all(b"NOOP\r\n"))
        .and_then(|()| socket.read_exact(&mut reply));
    asked.is_ok() && reply == *b"250"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn connections_that_are_ended_or_silent_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        // One that answers, one that is ended, one that is told why and ended.
        let other = std::thread::spawn(move || {
            let mut sockets: Vec<TcpStream> = (0..3)
                .map(|_| {
                    let mut socket = listener.accept().unwrap().0;
                    socket.write_all(b"220 here\r\n").unwrap();
                    socket
                })
                .collect();
            sockets[2].write_all(b"421 no more\r\n").unwrap();
            sockets.truncate(1);
            sockets.remove(0)
        });
        let plan = Plan { to, from: Vec::new(), idle: 3, dripping: 0 };
        let (mut crowd, trouble) = Crowd::open(&plan);
        assert_eq!((crowd.size(), trouble), (3, None));
        let mut one = other.join().unwrap();
        // What it will be asked is answered already: but not before it is looked at.
        let counting = std::thread::spawn(move || crowd.count());
        let mut line = [0; 6];
        one.read_exact(&mut line).unwrap();
        one.write_all(b"250 yes\r\n").unwrap();
        let count = counting.join().unwrap();
        assert_eq!(
            (&line, &count["idle_lost"], &count["asked"], &count["answered"]),
            (b"NOOP\r\n", &json!(2), &json!(1), &json!(1))
        );
    }

    #[test]
    fn a_crowd_that_finds_no_room_says_where_it_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let other = std::thread::spawn(move || {
            let mut first = listener.accept().unwrap().0;
            first.write_all(b"220 here\r\n").unwrap();
            listener.accept().unwrap().0.write_all(b"421 4.7.0 Too many\r\n").unwrap();
            first
        });
        let (crowd, trouble) = Crowd::open(&Plan { to, from: Vec::new(), idle: 5, dripping: 0 });
        let trouble = trouble.unwrap();
        assert_eq!(crowd.size(), 1);
        assert!(trouble.starts_with("connection 2 of 5: ") && trouble.contains("421 4.7.0"), "{trouble}");
        drop(other.join());
    }
}
