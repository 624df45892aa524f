//! One connection to one peer: the sans-IO client session and the socket under it.

use super::mail::{Body, Mail};
use crate::clock::Clock;
use crate::config::HouseLimits;
use relay::{Carried, Errand, Told};
use rustix::net::SendFlags;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use store::Embedded;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use wire::smtp::Reply;
use wire::smtp::client::{Event, NotSent, Report, Session, Stage, Transaction, Trouble, Verdict};

/// A connection that is greeted and ready, or in the middle of an errand.
pub struct Connection {
    socket: TcpStream,
    session: Session,
    input: Vec<u8>,
}

/// How an attempt on this connection ended.
pub enum Outcome {
    /// The connection was of no use before the errand began; another one may be.
    NotBegun(String),
    /// The errand is over.
    Over(Carried),
}

impl Connection {
    /// Connect to `host:port`, from `source` if we have several addresses, greet and be greeted.
    ///
    /// # Errors
    /// In words, for the log and the history.
    pub async fn open(
        host: &str,
        source: Option<IpAddr>,
        name: &str,
        clock: &Clock,
        limits: &HouseLimits,
    ) -> Result<Self, String> {
        let socket = connect(host, source, clock, limits).await?;
        let session = Session::new(name, limits.smtp);
        let mut connection = Self { socket, session, input: Vec::new() };
        match connection.next(clock, limits.reply).await {
            Event::Ready => Ok(connection),
            Event::Ended(trouble) => Err(trouble.to_string()),
            Event::Farewell => Err("closed by the peer".into()),
            other => Err(format!("unexpected at the greeting: {other:?}")),
        }
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
            match clock.within(patience, self.socket.read_buf(&mut self.input)).await {
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
        tracing::trace!(target: "belino::dialogue", "> {}", String::from_utf8_lossy(&output).escape_debug());
        self.write(clock, patience, &output).await
    }

    async fn write(&mut self, clock: &Clock, patience: Duration, octets: &[u8]) -> Result<(), ()> {
        match clock.within(patience, self.socket.write_all(octets)).await {
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
        if let Some(why) = self.is_stale() {
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
                Event::Ready | Event::NeedMore | Event::StartTls | Event::TlsRefused(_) => {}
            }
        }
    }

    /// Whether the peer has closed, or spoken out of turn (`421`), while nothing was under way.
    fn is_stale(&mut self) -> Option<String> {
        let mut probe = [0; 512];
        match self.socket.try_read(&mut probe) {
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
        let mut left: usize = parts.iter().map(|part| part.len()).sum();
        let mut slices = parts.map(IoSlice::new);
        let mut slices = &mut slices[..];
        while left > 0 {
            match clock.within(patience, self.socket.write_vectored(slices)).await {
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
        while !octets.is_empty() {
            let send = || Ok(rustix::net::send(&self.socket, octets, SendFlags::MORE | SendFlags::NOSIGNAL)?);
            match clock.within(patience, self.socket.async_io(Interest::WRITABLE, send)).await {
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
        while offset < end {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let mut from = offset;
            let send = || -> io::Result<usize> {
                from = offset;
                Ok(rustix::fs::sendfile(&self.socket, &*extent.file, Some(&mut from), left)?)
            };
            match clock.within(patience, self.socket.async_io(Interest::WRITABLE, send)).await {
                Some(Ok(0)) => return Err(Some("the stored content ends too early".into())),
                Some(Ok(n)) => offset += n as u64,
                _ => return Err(None),
            }
        }
        Ok(())
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
