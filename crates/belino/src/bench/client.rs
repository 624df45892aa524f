//! One SMTP connection that brings mails as fast as the other side takes them.
//!
//! Owns: the socket, reading replies. Never knows: what the mails are, how many there are to be.
//!
//! Plain blocking calls: a load generator must cost as little as it can, and four system calls a mail is what it comes to.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply or a connection may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A reply's code, and its last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// The last line, code included.
    pub line: String,
}

/// How one mail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side owns it.
    Taken,
    /// It said no; the reply's line.
    Refused(String),
}

/// A connection that is greeted.
pub struct Connection {
    socket: TcpStream,
    input: Box<[u8; 4096]>,
    /// What of `input` is read and not used.
    start: usize,
    end: usize,
}

/// Connect from an address of ours, if one is given.
///
/// # Errors
/// What the system says.
pub fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect_timeout(&to, PATIENCE);
    };
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A port in TIME_WAIT may be had again: a connection for each mail would run out of them otherwise.
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

impl Connection {
    /// Connect, hear the greeting, say EHLO.
    ///
    /// # Errors
    /// What the system says, or what the other side said instead of welcome.
    pub fn open(to: SocketAddr, from: Option<IpAddr>, name: &str) -> io::Result<Self> {
        let mut connection = Self::greeted(to, from)?;
        connection.socket.write_all(format!("EHLO {name}\r\n").as_bytes())?;
        connection.welcome("EHLO")?;
        Ok(connection)
    }

    /// Connect and hear the greeting.
    ///
    /// # Errors
    /// What the system says, or what the other side said instead of welcome.
    pub fn greeted(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let socket = connect(to, from)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { socket, input: Box::new([0; 4096]), start: 0, end: 0 };
        connection.welcome("the greeting")?;
        Ok(connection)
    }

    /// Say `MAIL`, one `RCPT` and `DATA`, in one write, and hear that content is awaited.
    ///
    /// # Errors
    /// What the system says, or what the other side said instead.
    pub fn begin(&mut self, commands: &[u8]) -> io::Result<()> {
        self.socket.write_all(commands)?;
        self.welcome("MAIL")?;
        self.welcome("RCPT")?;
        match self.reply()? {
            reply if reply.code == 354 => Ok(()),
            reply => {
                let what = format!("answered to DATA: {}", reply.line);
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, what))
            }
        }
    }

    /// The socket alone. What was read ahead is lost.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn welcome(&mut self, to: &str) -> io::Result<()> {
        let reply = self.reply()?;
        if reply.code / 100 == 2 {
            return Ok(());
        }
        let what = format!("answered to {to}: {}", reply.line);
        Err(io::Error::new(io::ErrorKind::ConnectionRefused, what))
    }

    /// The next reply, all its lines read.
    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let (code, is_last, line) = {
                let line = self.line()?;
                let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
                let is_last = line.get(3) != Some(&b'-');
                // Text is wanted of refusals alone; the common case allocates nothing.
                let wanted = is_last && !matches!(line.first(), Some(b'2' | b'3'));
                let text =
                    if wanted { String::from_utf8_lossy(line).trim_end().to_owned() } else { String::new() };
                (code, is_last, text)
            };
            let Some(code) = code else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("no reply of SMTP: {line:?}"),
                ));
            };
            if is_last {
                return Ok(Reply { code, line });
            }
        }
    }

    /// The next line, with its end.
    fn line(&mut self) -> io::Result<&[u8]> {
        loop {
            if let Some(n) = memchr::memchr(b'\n', &self.input[self.start..self.end]) {
                let from = self.start;
                self.start += n + 1;
                return Ok(&self.input[from..self.start]);
            }
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.input.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply's line is too long"));
            }
            match self.socket.read(&mut self.input[self.end..])? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side")),
                n => self.end += n,
            }
        }
    }

    /// Bring one mail: `commands` are `MAIL`, the `RCPT`s and `DATA` in one write, `content` ends with the end of data.
    ///
    /// # Errors
    /// The connection is of no further use; whether the mail was taken is not known.
    pub fn bring(&mut self, commands: &[u8], recipients: usize, content: &[u8]) -> io::Result<Outcome> {
        self.socket.write_all(commands)?;
        let mut refused = None;
        for _ in 0..=recipients {
            let reply = self.reply()?;
            if reply.code / 100 != 2 && refused.is_none() {
                refused = Some(reply.line);
            }
        }
        let go = self.reply()?;
        match (go.code, refused) {
            (354, None) => self.socket.write_all(content)?,
            // It wants content all the same: an empty one, so that nothing half addressed is delivered.
            (354, Some(why)) => {
                self.socket.write_all(b".\r\n")?;
                self.reply()?;
                return self.reset(why);
            }
            (_, why) => return self.reset(why.unwrap_or(go.line)),
        }
        let reply = self.reply()?;
        Ok(if reply.code / 100 == 2 { Outcome::Taken } else { Outcome::Refused(reply.line) })
    }

    fn reset(&mut self, why: String) -> io::Result<Outcome> {
        self.socket.write_all(b"RSET\r\n")?;
        self.reply()?;
        Ok(Outcome::Refused(why))
    }

    /// Say goodbye, and wait for the answer.
    pub fn quit(mut self) {
        if self.socket.write_all(b"QUIT\r\n").is_ok() {
            let _ = self.reply();
        }
    }
}
