//! How answers are heard: beside the relay that runs over the data folder, or at its address when none runs.
//!
//! Owns: the listening socket while there is no relay, and what becomes of mails that come to it. Never knows: what an
//! answer means.
//!
//! A probe that listens itself takes mails of its own run only. Whatever else comes is put off with 4yz, so that it stays
//! with the peer until the relay runs again: nothing is lost by probing.

use crate::admin::{Request, Response};
use crate::clock::Clock;
use crate::config::Config;
use crate::dock::listeners::{Heard, Token};
use crate::dock::who;
use crate::serve::socket_path;
use anyhow::{Context as _, bail};
use relay::PeerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::mime::find_head_end;
use wire::smtp::Reply;
use wire::smtp::server::{Capabilities, Event, Session};

/// Octets of a header section that are kept.
const HEAD_MAX: usize = 64 << 10;
/// Connections at once while the probe listens itself.
const CONNECTIONS_MAX: usize = 16;

/// What hears.
pub enum Ear {
    /// The relay, which hands on copies.
    Relay(Lines<BufReader<UnixStream>>),
    /// Ourselves.
    Own {
        /// Where we listen.
        addresses: Vec<SocketAddr>,
        /// What comes.
        heard: mpsc::Receiver<Heard>,
        /// The listening tasks; they end when this is dropped.
        _tasks: JoinSet<()>,
    },
}

impl Ear {
    /// Listen to a peer: through the relay if one runs, or else ourselves.
    ///
    /// # Errors
    /// In words: the relay refuses, or our addresses cannot be had.
    pub async fn open(
        config: &Config,
        peer: &PeerName,
        token: &Token,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        match UnixStream::connect(socket_path(&config.data)).await {
            Ok(socket) => Self::beside_the_relay(socket, peer, token).await,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bail!(
                "the relay over {} belongs to another user; run this as the user that the relay runs as",
                config.data.display()
            ),
            Err(_) => Self::own(config, peer, token, clock).await,
        }
    }

    async fn beside_the_relay(
        mut socket: UnixStream,
        peer: &PeerName,
        token: &Token,
    ) -> anyhow::Result<Self> {
        let request = Request::Listen { peer: peer.to_string(), token: token.as_str().to_owned() };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        socket.write_all(&line).await?;
        let mut lines = BufReader::new(socket).lines();
        let answer = lines.next_line().await?.context("the relay closed the connection without an answer")?;
        match serde_json::from_str(&answer)
            .context("the relay's answer cannot be read; is it of another version?")?
        {
            Response::Ok { .. } => Ok(Self::Relay(lines)),
            Response::Error(why) => bail!("the relay does not let the probe listen: {why}"),
        }
    }

    async fn own(config: &Config, peer: &PeerName, token: &Token, clock: &Clock) -> anyhow::Result<Self> {
        if config.listen.is_empty() {
            bail!("no relay runs, and [mm4] listen is empty: no answer of the peer could be heard");
        }
        let (sender, heard) = mpsc::channel(256);
        let house = Arc::new(Door {
            config: config.clone(),
            peer: peer.clone(),
            token: token.clone(),
            clock: clock.clone(),
            sender,
        });
        let (mut tasks, mut addresses) = (JoinSet::new(), Vec::new());
        for address in &config.listen {
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!(
                    "no relay answers at {}, and {address} cannot be listened on",
                    socket_path(&config.data).display()
                )
            })?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(accept(Arc::clone(&house), listener));
        }
        Ok(Self::Own { addresses, heard, _tasks: tasks })
    }

    /// Where answers are heard, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Relay(_) => "answers are heard by the relay that runs".into(),
            Self::Own { addresses, .. } => {
                let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("no relay runs: answers are heard at {} while the probe runs", list.join(", "))
            }
        }
    }

    /// The next thing that is heard; `None` when nothing more will be. Nothing is lost when this is not waited for to its
    /// end.
    pub async fn next(&mut self) -> Option<Heard> {
        match self {
            Self::Own { heard, .. } => heard.recv().await,
            Self::Relay(lines) => loop {
                let line = lines.next_line().await.ok().flatten()?;
                if let Ok(heard) = serde_json::from_str(&line) {
                    return Some(heard);
                }
            },
        }
    }
}

/// What all connections of a listening probe share.
struct Door {
    config: Config,
    peer: PeerName,
    token: Token,
    clock: Clock,
    sender: mpsc::Sender<Heard>,
}

async fn accept(door: Arc<Door>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            // One more than may be waits in the queue of the system until another has ended.
            Ok((socket, address)) => {
                let door = Arc::clone(&door);
                connections.spawn(async move { door.receive(socket, address).await });
                if connections.len() >= CONNECTIONS_MAX {
                    connections.join_next().await;
                }
            }
            Err(error) => {
                tracing::error!("cannot accept a connection: {error}");
                door.clock.sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Door {
    async fn receive(&self, mut socket: TcpStream, address: SocketAddr) {
        let limits = &self.config.limits;
        let mut session = Session::new(&self.config.host_name, limits.smtp, Capabilities::default());
        match who::at(&self.config, address.ip()) {
            Some(peer) if peer == self.peer => session.greet(),
            Some(_) => {
                session.turn_away(&Reply::later(421, 3, 2, "Service is being tested, try again later"))
            }
            None => {
                let _ = self.sender.try_send(Heard::Stranger { address: address.ip() });
                session.turn_away(&Reply::new(554, None, "5.7.1 No MM4 service for your address"));
            }
        }
        let talk = self.talk(&mut socket, &mut session, address);
        let _ = self.clock.within(limits.session_max, talk).await;
        let _ = socket.shutdown().await;
    }

    /// The dialogue, to its end or to the peer's.
    async fn talk(&self, socket: &mut TcpStream, session: &mut Session, address: SocketAddr) -> Option<()> {
        let (mut buffer, mut head) = (Vec::new(), Vec::new());
        loop {
            let mut start = 0;
            let over = loop {
                let (used, event) = session.advance(&buffer[start..]);
                let flush = matches!(event, Event::Flush);
                match event {
                    Event::NeedMore => {
                        start += used;
                        break false;
                    }
                    Event::Ended(_) => break true,
                    Event::Sender(_) => session.accept(),
                    Event::ContentStarts { .. } => head.clear(),
                    Event::Content(octets) => {
                        // The header section is all that is kept.
                        let room = HEAD_MAX.saturating_sub(head.len()).min(octets.len());
                        head.extend_from_slice(&octets[..room]);
                    }
                    Event::ContentEnds { envelope, .. } => {
                        head.truncate(find_head_end(&head).unwrap_or(head.len()));
                        if self.token.concerns(&head) {
                            let _ = self.sender.try_send(Heard::mail(address, &envelope, &head));
                            session.accept_as("heard by a probe");
                        } else {
                            let text = "Only answers to a probe are taken now, try again later";
                            session.refuse(&Reply::later(451, 3, 2, text));
                        }
                    }
                    _ => {}
                }
                start += used;
                if flush {
                    self.flush(socket, session).await?;
                }
            };
            buffer.drain(..start);
            self.flush(socket, session).await?;
            if over {
                return None;
            }
            let read = self.clock.within(self.config.limits.idle, socket.read_buf(&mut buffer)).await?;
            if read.ok()? == 0 {
                return None;
            }
        }
    }

    async fn flush(&self, socket: &mut TcpStream, session: &mut Session) -> Option<()> {
        let output = std::mem::take(session.output());
        let write = self.clock.within(self.config.limits.idle, socket.write_all(&output)).await?;
        write.ok()
    }
}
