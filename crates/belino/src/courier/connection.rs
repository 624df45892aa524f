//! One connection to one peer: the sans-IO client session and the socket under it, in the clear or under TLS.
//!
//! In the clear, header, body and the final dot leave with one system call, or the body goes from file to socket by
//! `sendfile`. Under TLS they are read and encrypted here.

use super::mail::{Body, Mail};
use crate::agreements::Agreements;
use crate::clock::Clock;
use crate::config::{HouseLimits, Link, TlsMode};
use crate::tls::{NoTls, Stream};
use relay::{Carried, Errand, Told};
use rustix::net::SendFlags;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;
use store::Embedded;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use wire::smtp::Reply;
use wire::smtp::client::{Event, NotSent, Report, Session, Stage, Transaction, Trouble, Verdict};

/// Octets that are read from a file and encrypted at once.
const PIECE: usize = 64 << 10;

/// A connection that is greeted and ready, or in the middle of an errand.
pub struct Connection {
    stream: Stream,
    session: Session,
    input: Vec<u8>,
}

/// Whom to connect to, and how.
pub struct Way<'a> {
    /// The peer.
    pub link: &'a Link,
    /// One of its hosts, with a port.
    pub host: &'a str,
    /// What we call ourselves.
    pub name: &'a str,
    /// Certificates and passwords.
    pub agreed: &'a Agreements,
}

/// Why there is no connection.
enum NoConnection {
    /// Whatever it is.
    Trouble(String),
    /// The TLS handshake failed, whoever is there.
    Handshake(String),
}

impl NoConnection {
    fn words(self) -> String {
        let (Self::Trouble(why) | Self::Handshake(why)) = self;
        why
    }
}

impl From<String> for NoConnection {
    fn from(why: String) -> Self {
        Self::Trouble(why)
    }
}

/// How an attempt on this connection ended.
pub enum Outcome {
    /// The connection was of no use before the errand began; another one may be.
    NotBegun(String),
    /// The errand is over.
    Over(Carried),
}

impl Connection {
    /// Connect, greet and be greeted, and start TLS as the peer's `tls` has it.
    ///
    /// # Errors
    /// In words, for the log and the history.
    pub async fn open(way: &Way<'_>, clock: &Clock, limits: &HouseLimits) -> Result<Self, String> {
        let mode = way.link.tls.mode;
        let opened = match Self::attempt(way, mode, clock, limits).await {
            Ok(connection) => Ok(connection),
            Err(NoConnection::Handshake(why)) if mode == TlsMode::Opportunistic => {
                let (peer, host) = (&way.link.peer, way.host);
                tracing::warn!(%peer, host, "in the clear, for TLS failed: {why}");
                let again = Self::attempt(way, TlsMode::Off, clock, limits).await;
                again.map_err(NoConnection::words)
            }
            Err(none) => Err(none.words()),
        };
        let mut connection = opened?;
        connection.log_in(way, clock, limits).await?;
        Ok(connection)
    }

    /// Say name and password, if the peer wants them.
    async fn log_in(&mut self, way: &Way<'_>, clock: &Clock, limits: &HouseLimits) -> Result<(), String> {
        let Some(login) = way.agreed.login(&way.link.peer) else { return Ok(()) };
        // In the clear only where that was agreed: else whoever takes STARTTLS out of the way would get it.
        if way.link.tls.mode != TlsMode::Off && matches!(self.stream, Stream::Plain(_)) {
            return Err(
                "there is no TLS, and the password is not said in the clear unless tls is \"off\"".into()
            );
        }
        if !self.session.login(&login.user, &login.password) {
            return Err("the peer offers neither AUTH PLAIN nor AUTH LOGIN".into());
        }
        match self.next(clock, limits.reply).await {
            Event::LoggedIn => Ok(()),
            Event::LoginRefused(reply) => Err(format!("the peer refused our name and password: {reply}")),
            Event::Ended(trouble) => Err(trouble.to_string()),
            other => Err(format!("unexpected at AUTH: {other:?}")),
        }
    }

    async fn attempt(
        way: &Way<'_>,
        mode: TlsMode,
        clock: &Clock,
        limits: &HouseLimits,
    ) -> Result<Self, NoConnection> {
        let mut stream = Stream::Plain(connect(way.host, way.link.source, clock, limits).await?);
        if mode == TlsMode::Implicit {
            stream = handshake(stream, way, clock, limits).await?;
        }
        let session = Session::new(way.name, limits.smtp);
        let mut connection = Self { stream, session, input: Vec::new() };
        connection.greeted(clock, limits).await?;
        if !matches!(mode, TlsMode::Opportunistic | TlsMode::Required) {
            return Ok(connection);
        }
        if !connection.session.capabilities().starttls {
            return match mode {
                TlsMode::Required => {
                    Err("the peer does not offer STARTTLS, and tls is \"required\"".to_owned())?
                }
                _ => Ok(connection),
            };
        }
        connection.session.start_tls();
        match connection.next(clock, limits.reply).await {
            Event::StartTls => {}
            Event::TlsRefused(_) if mode == TlsMode::Opportunistic => return Ok(connection),
            Event::TlsRefused(reply) => Err(format!("the peer refused STARTTLS: {reply}"))?,
            Event::Ended(trouble) => return Err(NoConnection::Handshake(trouble.to_string())),
            other => Err(format!("unexpected at STARTTLS: {other:?}"))?,
        }
        connection.stream = handshake(connection.stream, way, clock, limits).await?;
        connection.session.tls_started();
        connection.greeted(clock, limits).await?;
        Ok(connection)
    }

    /// Wait until the session is ready for the first time, or anew under TLS.
    async fn greeted(&mut self, clock: &Clock, limits: &HouseLimits) -> Result<(), String> {
        match self.next(clock, limits.reply).await {
            Event::Ready => Ok(()),
            Event::Ended(trouble) => Err(trouble.to_string()),
            Event::Farewell => Err("closed by the peer".into()),
            other => Err(format!("unexpected at the greeting: {other:?}")),
        }
    }

    /// Version, cipher and certificate of a connection under TLS; empty in the clear.
    pub fn tls_facts(&self) -> String {
        self.stream.facts()
    }

    /// Say goodbye, without waiting long for the answer.
    pub async fn quit(mut self, clock: &Clock, limits: &HouseLimits) {
        if self.session.is_ready() {
            self.session.quit();
            let _ = self.next(clock, limits.connect.min(Duration::from_secs(2))).await;
        }
    }

    /// Write what waits, then read until the session has something to say.
    async fn next(&mut self, clock: &Clock, patience: Duration) -> Event {
        loop {
            if self.flush(clock, patience).await.is_err() {
                return self.session.lost();
            }
            let (used, event) = self.session.advance(&self.input);
            self.input.drain(..used);
            if event != Event::NeedMore {
                return event;
            }
            if !self.session.output().is_empty() {
                continue;
            }
            self.input.reserve(2048);
            match clock.within(patience, self.stream.read_buf(&mut self.input)).await {
                Some(Ok(n)) if n > 0 => {}
                _ => return self.session.lost(),
            }
        }
    }

    async fn flush(&mut self, clock: &Clock, patience: Duration) -> Result<(), ()> {
        let output = std::mem::take(self.session.output());
        if output.is_empty() {
            return Ok(());
        }
        match self.session.stage() {
            Stage::Login => tracing::trace!(target: "belino::dialogue", "> AUTH, not shown"),
            _ => {
                let said = String::from_utf8_lossy(&output);
                tracing::trace!(target: "belino::dialogue", "> {}", said.escape_debug());
            }
        }
        self.write(clock, patience, &output).await
    }

    async fn write(&mut self, clock: &Clock, patience: Duration, octets: &[u8]) -> Result<(), ()> {
        match clock.within(patience, self.stream.write_all(octets)).await {
            Some(Ok(())) => Ok(()),
            _ => Err(()),
        }
    }

    /// Bring one mail. Also says whether the connection can bring another.
    pub async fn carry(
        &mut self,
        clock: &Clock,
        limits: &HouseLimits,
        store: &Embedded,
        mail: &Mail,
        errand: &Errand,
    ) -> (Outcome, bool) {
        // A connection that was kept may have been closed by the peer; its last words are waiting to be read.
        if let Some(why) = self.is_stale().await {
            return (Outcome::NotBegun(why), false);
        }
        let seven_bit;
        let mail = if mail.eight_bit && !self.session.capabilities().eight_bit {
            match mail.seven_bit(store) {
                Ok(rewritten) => seven_bit = rewritten,
                Err(why) => {
                    let ends = errand.recipients.iter().map(|_| Told::Never(why.clone())).collect();
                    return (Outcome::Over(Carried::Told(ends)), true);
                }
            }
            &seven_bit
        } else {
            mail
        };
        let (from, to) = (errand.mail_from.clone(), errand.recipients.clone());
        let transaction = match Transaction::new(from, to, mail.size, mail.eight_bit) {
            Ok(transaction) => transaction,
            Err(why) => return (Outcome::Over(Carried::Unable(why.to_string())), true),
        };
        match self.session.send(transaction) {
            Ok(()) => {}
            Err(NotSent::TooBig { size_max }) => {
                let why = format!("the peer takes at most {size_max} octets, this has {}", mail.size);
                let ends = errand.recipients.iter().map(|_| Told::Never(why.clone())).collect();
                return (Outcome::Over(Carried::Told(ends)), true);
            }
            Err(NotSent::NotReady(_)) => {
                return (Outcome::NotBegun("the session is not ready".into()), false);
            }
        }
        loop {
            match self.next(clock, limits.reply).await {
                Event::SendContent => match self.send_content(clock, limits, store, mail).await {
                    Ok(()) => self.session.content_ended(),
                    Err(Some(why)) => return (Outcome::Over(Carried::Unable(why)), false),
                    Err(None) => {
                        if let Event::Done(report) = self.session.lost() {
                            return (told(report, errand.recipients.len()), false);
                        }
                    }
                },
                Event::Done(report) => {
                    let usable = report.usable;
                    return (told(report, errand.recipients.len()), usable);
                }
                Event::Ended(trouble) => return (Outcome::NotBegun(trouble.to_string()), false),
                Event::Farewell => return (Outcome::NotBegun("closed by the peer".into()), false),
                Event::Ready
                | Event::NeedMore
                | Event::StartTls
                | Event::TlsRefused(_)
                | Event::LoggedIn
                | Event::LoginRefused(_) => {}
            }
        }
    }

    /// Whether the peer has closed, or spoken out of turn (`421`), while nothing was under way.
    async fn is_stale(&mut self) -> Option<String> {
        let mut probe = [0; 512];
        match self.stream.try_read(&mut probe).await {
            Ok(0) => Some("closed by the peer while unused".into()),
            Ok(n) => Some(format!(
                "the peer said {:?} while nothing was asked",
                String::from_utf8_lossy(&probe[..n])
            )),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => Some(error.to_string()),
        }
    }

    /// Header and body, the body as it lies in the log. `Err(Some)` is our own trouble, `Err(None)` the connection's.
    async fn send_content(
        &mut self,
        clock: &Clock,
        limits: &HouseLimits,
        store: &Embedded,
        mail: &Mail,
    ) -> Result<(), Option<String>> {
        let patience = limits.content_idle;
        let sent = match &mail.body {
            None => self.write_all(clock, patience, [&mail.head, Session::TERMINATOR, &[]]).await,
            Some(Body { begin, octets: Some(octets), .. }) => {
                let body = octets.get(*begin as usize..).unwrap_or_default();
                self.write_all(clock, patience, [&mail.head, body, Session::TERMINATOR]).await
            }
            Some(Body { content, begin, octets: None }) => {
                let extents = store.extents(content, *begin).map_err(|e| Some(e.to_string()))?;
                self.begin_content(clock, patience, &mail.head).await.map_err(|()| None)?;
                for extent in &extents {
                    self.send_file(clock, patience, extent).await?;
                }
                self.write(clock, patience, Session::TERMINATOR).await
            }
        };
        sent.map_err(|()| None)
    }

    /// Write all three with as few system calls as may be: no small segment goes before or behind the body.
    async fn write_all(&mut self, clock: &Clock, patience: Duration, parts: [&[u8]; 3]) -> Result<(), ()> {
        let Stream::Plain(socket) = &mut self.stream else {
            for part in parts {
                self.write(clock, patience, part).await?;
            }
            return Ok(());
        };
        let mut left: usize = parts.iter().map(|part| part.len()).sum();
        let mut slices = parts.map(IoSlice::new);
        let mut slices = &mut slices[..];
        while left > 0 {
            match clock.within(patience, socket.write_vectored(slices)).await {
                Some(Ok(n)) if n > 0 => {
                    IoSlice::advance_slices(&mut slices, n);
                    left -= n;
                }
                _ => return Err(()),
            }
        }
        Ok(())
    }

    /// Write the header, and tell the system that the body follows at once.
    async fn begin_content(
        &mut self,
        clock: &Clock,
        patience: Duration,
        mut octets: &[u8],
    ) -> Result<(), ()> {
        let Stream::Plain(socket) = &self.stream else { return self.write(clock, patience, octets).await };
        while !octets.is_empty() {
            let send = || Ok(rustix::net::send(socket, octets, SendFlags::MORE | SendFlags::NOSIGNAL)?);
            match clock.within(patience, socket.async_io(Interest::WRITABLE, send)).await {
                Some(Ok(n)) if n > 0 => octets = &octets[n..],
                _ => return Err(()),
            }
        }
        Ok(())
    }

    /// Let the system copy a part of a file to the socket.
    async fn send_file(
        &mut self,
        clock: &Clock,
        patience: Duration,
        extent: &store::FileExtent,
    ) -> Result<(), Option<String>> {
        let (mut offset, end) = (extent.offset, extent.offset + extent.len);
        let Stream::Plain(socket) = &self.stream else {
            return self.send_file_under_tls(clock, patience, extent).await;
        };
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let mut from = offset;
            let send = || -> io::Result<usize> {
                from = offset;
                Ok(rustix::fs::sendfile(socket, &*extent.file, Some(&mut from), left)?)
            };
            match clock.within(patience, socket.async_io(Interest::WRITABLE, send)).await {
                Some(Ok(0)) => return Err(Some("the stored content ends too early".into())),
                Some(Ok(n)) => offset += n as u64,
                _ => return Err(None),
            }
        }
        Ok(())
    }

    /// The same through memory: the system cannot encrypt it.
    async fn send_file_under_tls(
        &mut self,
        clock: &Clock,
        patience: Duration,
        extent: &store::FileExtent,
    ) -> Result<(), Option<String>> {
        let (mut offset, end) = (extent.offset, extent.offset + extent.len);
        let mut piece = vec![0; PIECE];
        while offset < end {
            let most = PIECE.min(usize::try_from(end - offset).unwrap_or(PIECE));
            match extent.file.read_at(&mut piece[..most], offset) {
                Ok(0) => return Err(Some("the stored content ends too early".into())),
                Ok(n) => {
                    self.write(clock, patience, &piece[..n]).await.map_err(|()| None)?;
                    offset += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Some(error.to_string())),
            }
        }
        Ok(())
    }
}

/// The same connection under TLS.
async fn handshake(
    stream: Stream,
    way: &Way<'_>,
    clock: &Clock,
    limits: &HouseLimits,
) -> Result<Stream, NoConnection> {
    let Stream::Plain(socket) = stream else { return Ok(stream) };
    let connect = Box::pin(way.agreed.tls.connect(&way.link.peer, &way.link.tls, way.host, socket));
    match clock.within(limits.connect, connect).await {
        Some(Ok(stream)) => {
            let stream = Stream::Tls(Box::new(stream));
            way.agreed.tls.saw(&way.link.peer, &stream, false);
            Ok(stream)
        }
        Some(Err(NoTls::Failed(why))) => Err(NoConnection::Handshake(why)),
        // Whoever is there is not the peer: no reason to tell it everything in the clear.
        Some(Err(NoTls::WrongPeer(why))) => Err(NoConnection::Trouble(why)),
        None => Err(NoConnection::Handshake(format!("no TLS within {} s", limits.connect.as_secs()))),
    }
}

/// The first address of `host:port` that can be had, from the address that the peer knows us by.
///
/// # Errors
/// In words: the host has no address, or none that can be reached from there, or not within `limits.connect`.
pub async fn connect(
    host: &str,
    source: Option<IpAddr>,
    clock: &Clock,
    limits: &HouseLimits,
) -> Result<TcpStream, String> {
    let socket = match clock.within(limits.connect, reach(host, source)).await {
        Some(reached) => reached.map_err(|e| e.to_string())?,
        None => return Err(format!("no connection within {} s", limits.connect.as_secs())),
    };
    // Commands are small, and each waits for the reply to the one before.
    socket.set_nodelay(true).map_err(|e| e.to_string())?;
    Ok(socket)
}

async fn reach(host: &str, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(host).await };
    let mut trouble = None;
    for address in tokio::net::lookup_host(host).await?.filter(|a| a.is_ipv4() == source.is_ipv4()) {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => trouble = Some(error),
        }
    }
    let none = || std::io::Error::other(format!("{host} has no address that {source} could reach"));
    Err(trouble.unwrap_or_else(none))
}

fn told(report: Report, recipients: usize) -> Outcome {
    // Nothing but the connection was lost before a single MAIL was answered: it counts against the peer.
    let not_begun = |verdict: &Verdict| match verdict {
        Verdict::Later(Trouble::Lost { stage } | Trouble::Closing { stage, .. }) => {
            matches!(stage, Stage::Sender | Stage::Reset | Stage::Idle)
        }
        _ => false,
    };
    if let Some(Verdict::Later(trouble)) = report.recipients.first()
        && report.recipients.iter().all(not_begun)
    {
        return Outcome::NotBegun(trouble.to_string());
    }
    let mut ends: Vec<Told> = report.recipients.into_iter().map(end).collect();
    ends.resize(recipients, Told::Later("no answer".into()));
    Outcome::Over(Carried::Told(ends))
}

fn end(verdict: Verdict) -> Told {
    match verdict {
        Verdict::Accepted(reply) => Told::Taken(reply.to_string()),
        Verdict::Never(trouble) => Told::Never(trouble.to_string()),
        Verdict::Unknown(trouble) => Told::Unknown(trouble.to_string()),
        Verdict::Later(Trouble::Refused { stage: Stage::Recipient, reply }) if is_crowded(&reply) => {
            Told::Crowded(reply.to_string())
        }
        Verdict::Later(trouble) => Told::Later(trouble.to_string()),
    }
}

/// "Too many recipients" (RFC 5321 4.5.3.1.10).
fn is_crowded(reply: &Reply) -> bool {
    matches!(reply.code(), 452 | 552)
}
