//! The MM4 dock: takes mails from peers over SMTP (TS 23.140 8.4.5).
//!
//! Owns: incoming connections, who they are, their deadlines. Never knows: what becomes of a mail; it reads and asks
//! the heart. A connection is one configured peer, by its address or its certificate (`who`), or it is nobody and is turned
//! away before it can name a recipient.
//!
//! A crash loses connections only: no `250` leaves before the heart says that everything behind it is durable.

use super::intake::{Intake, Taken};
use super::listeners::Listeners;
use super::pace::{Paces, Rates, Slowest};
use super::who;
use crate::agreements::Agreements;
use crate::clock::Clock;
use crate::config::Config;
use crate::heart::{Heart, stopped};
use crate::serve::until_stop;
use crate::telemetry::{Came, Kind, Telemetry};
use crate::tls::{Seen, Stream, Tls};
use crate::traces::{self, Side, Work};
use mms::{
    AbstractMessage, ForwardReq, MailPath, MessageType, MmId, RequestStatus, Timestamp, TransactionId,
    Version,
};
use relay::store::{Store, StoreError};
use relay::{Answer, Arrival, Arrived, Bounce, Event as HeartEvent, PeerName, Reason};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use wire::mime::{Action, HeaderBlock, HeaderError};
use wire::mm4::{Decoded, Mail};
use wire::smtp::server::{Capabilities, Ending, Envelope, Event, Phase, Refusal, Session};
use wire::smtp::{Limits, Reply};

/// Octets read from a socket at once while content comes in.
const CHUNK: usize = 128 << 10;
/// Buffers of [`CHUNK`] octets kept for the next content: 8 MiB.
const SPARE_MAX: usize = 64;
/// Octets read at once between messages: an idle connection costs little.
const COMMAND_CHUNK: usize = 4 << 10;
/// The same until a connection has brought its first mail.
const SILENT_CHUNK: usize = 1 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a hop may take for its PROXY header.
const HEADER: Duration = Duration::from_secs(10);
/// How long a connection may stay that has yet to show who it is.
const NOBODY_MAX: Duration = Duration::from_secs(120);

/// What all connections share.
pub struct Dock {
    /// The configuration in force.
    pub config: RwLock<Arc<Config>>,
    /// Certificates and passwords under that configuration.
    agreed: RwLock<Arc<Agreements>>,
    /// Where content goes.
    pub store: Arc<dyn Store>,
    /// Who decides.
    pub heart: Heart,
    /// What tells the time.
    pub clock: Clock,
    /// Connections by peer, and in all.
    sessions: Mutex<HashMap<PeerName, usize>>,
    /// How fast peers are.
    pub paces: Paces,
    /// Probes that listen to what a peer answers them.
    pub listeners: Listeners,
    /// Buffers for content, between two uses.
    buffers: Buffers,
    /// Who counts what comes.
    pub telemetry: Arc<Telemetry>,
    /// Turns `true` when the house stops.
    pub stop: watch::Receiver<bool>,
}

impl Dock {
    /// A dock for this house.
    pub fn new(
        config: Arc<Config>,
        agreed: Arc<Agreements>,
        store: Arc<dyn Store>,
        heart: Heart,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (sessions, listeners) = (Mutex::default(), Listeners::default());
        let (paces, buffers) = (Paces::default(), Buffers::default());
        let (config, agreed) = (RwLock::new(config), RwLock::new(agreed));
        Self { config, agreed, store, heart, clock, sessions, paces, listeners, buffers, telemetry, stop }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Certificates and passwords under the configuration in force.
    fn agreed(&self) -> Arc<Agreements> {
        Arc::clone(&self.agreed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until when our own certificate is valid, if we have one.
    pub fn certificate_until(&self) -> Option<Timestamp> {
        self.agreed().tls.valid_until()
    }

    /// What was last seen of a peer under TLS.
    pub fn seen(&self, peer: &PeerName) -> Option<Seen> {
        self.agreed().tls.seen(peer)
    }

    /// Take another configuration. Connections that stand keep theirs.
    pub fn configure(&self, config: Arc<Config>, agreed: Arc<Agreements>) {
        *self.agreed.write().unwrap_or_else(PoisonError::into_inner) = agreed;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// A place for one more connection of a peer, or `None` when it has all that it may have.
    fn enter(self: &Arc<Self>, config: &Config, peer: &PeerName) -> Option<Place> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let link = config.links.iter().find(|l| l.peer == *peer);
        let most = link.map_or(who::NOBODIES_MAX, |l| l.sessions_max);
        let all: usize = sessions.values().sum();
        let count = sessions.entry(peer.clone()).or_default();
        if *count >= most || all >= config.limits.sessions_max {
            return None;
        }
        *count += 1;
        Some(Place { dock: Arc::clone(self), peer: peer.clone() })
    }

    /// Connections of each peer now.
    pub fn sessions(&self) -> HashMap<PeerName, usize> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Given back when the connection ends, however it ends.
struct Place {
    dock: Arc<Dock>,
    peer: PeerName,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.dock.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sessions.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Accept connections until the house stops. `implicit`: they are under TLS from their first octet.
pub async fn listen(dock: Arc<Dock>, listener: TcpListener, tasks: TaskTracker, implicit: bool) {
    let mut stop = dock.stop.clone();
    loop {
        let accepted = tokio::select! {
            () = until_stop(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                let dock = Arc::clone(&dock);
                tasks.spawn(async move { receive(dock, socket, address, implicit).await });
            }
            Err(error) => {
                // Out of descriptors, most likely: a moment's rest instead of a spin.
                tracing::error!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn receive(dock: Arc<Dock>, socket: TcpStream, address: SocketAddr, implicit: bool) {
    let (config, agreed) = (dock.config(), dock.agreed());
    let (mut socket, mut address) = (socket, address);
    if config.proxy_from.iter().any(|hop| hop.contains(address.ip())) {
        match dock.clock.within(HEADER, who::proxied(&mut socket)).await {
            Some(Ok(source)) => address = source.unwrap_or(address),
            Some(Err(why)) => {
                tracing::warn!(hop = %address, "connection of a hop closed: {why}");
                return;
            }
            None => {
                tracing::warn!(hop = %address, "no PROXY header within {} s", HEADER.as_secs());
                return;
            }
        }
    }
    let peer = match who::at(&config, address.ip()) {
        Some(peer) => peer,
        None if who::may_be_known(&config, &agreed) => PeerName::new(who::NOBODY_YET),
        None => {
            tracing::warn!(%address, "stranger turned away: no peer is configured for this address");
            dock.listeners.stranger(address.ip());
            let reply = Reply::new(554, None, "5.7.1 No MM4 service for your address");
            return turn_away(socket, &config, &reply, implicit).await;
        }
    };
    let Some(place) = dock.enter(&config, &peer) else {
        tracing::warn!(%address, %peer, "turned away: too many connections");
        let reply = Reply::later(421, 7, 0, "Too many connections, try again later");
        return turn_away(socket, &config, &reply, implicit).await;
    };
    let _ = socket.set_nodelay(true);
    let span = tracing::debug_span!("session", %peer, %address);
    let stream = Stream::Plain(socket);
    let reader = Reader { dock: Arc::clone(&dock), config, agreed, peer, address, stream, place };
    let clock = dock.clock.clone();
    let whole = reader.config.limits.session_max;
    let ended = clock.within(whole, reader.run(implicit)).instrument(span).await;
    if ended.is_none() {
        tracing::info!(%address, "connection closed after {} s", whole.as_secs());
    }
}

async fn turn_away(mut socket: TcpStream, config: &Config, reply: &Reply, implicit: bool) {
    if implicit {
        // Words would need a handshake, which is more than a stranger gets.
        return;
    }
    let mut session = Session::new(&config.host_name, Limits::default(), Capabilities::default());
    session.turn_away(reply);
    let output = std::mem::take(session.output());
    let write = async {
        let _ = socket.write_all(&output).await;
        let _ = socket.shutdown().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), write).await;
}

/// One connection of one peer.
struct Reader {
    dock: Arc<Dock>,
    config: Arc<Config>,
    agreed: Arc<Agreements>,
    peer: PeerName,
    address: SocketAddr,
    stream: Stream,
    place: Place,
}

impl Reader {
    async fn run(mut self, implicit: bool) {
        let offer = who::offer(&self.config, &self.agreed, &self.peer, implicit);
        let mut session = Session::new(&self.config.host_name, self.config.limits.smtp, offer);
        if implicit {
            session = session.under_tls();
            let Some(stream) = secured(&self.dock.clock, &self.agreed.tls, self.stream).await else { return };
            self.stream = stream;
            if let Err(reply) = self.identify(&mut session) {
                session.turn_away(&reply);
            }
        }
        session.greet();
        // Many connections say nothing for hours: what they hold meanwhile is small. What a mail needs is boxed.
        let mut buffer: Vec<u8> = Vec::with_capacity(SILENT_CHUNK);
        let mut intake: Option<Box<Intake>> = None;
        let mut stop = self.dock.stop.clone();
        let born = self.dock.clock.steady();
        // Said in answer to the EHLO that comes under TLS: before it, and closing, it would be lost.
        let mut refusal: Option<Reply> = None;
        let mut rates = self.rates();
        // When the last command was complete, when content began, and how much of it has come.
        let (mut heard, mut began, mut received) = (born, born, 0);
        loop {
            let mut start = 0;
            let before = received;
            // Everything that has come, until nothing more can be had from it.
            let over = loop {
                let (used, event) = session.advance(&buffer[start..]);
                let flush = matches!(event, Event::Flush);
                if used > 0 && !matches!(event, Event::Content(_)) {
                    heard = self.dock.clock.steady();
                }
                match event {
                    Event::NeedMore => {
                        start += used;
                        break false;
                    }
                    Event::Ended(ending) => {
                        self.log_ending(ending);
                        break true;
                    }
                    Event::Sender(sender) => match self.foreign(sender.path.as_ref()) {
                        None => match self.dock.paces.mail(&self.peer, rates, heard) {
                            Ok(wait) => {
                                if !wait.is_zero() {
                                    self.dock.clock.sleep(wait).await;
                                }
                                session.accept();
                            }
                            Err(_) => session.refuse(&Reply::later(
                                451,
                                7,
                                1,
                                "More mails in a second than agreed, try again later",
                            )),
                        },
                        Some(why) => session.refuse(&Reply::never(550, 7, 1, &why)),
                    },
                    Event::Login(shown) => {
                        let right = self.agreed.is_right(&self.peer, &shown);
                        if !right {
                            let (peer, address) = (&self.peer, self.address);
                            tracing::warn!(%peer, %address, "wrong name or password");
                        }
                        session.judge_login(right);
                    }
                    Event::ContentStarts { declared } => {
                        (began, received) = (heard, 0);
                        intake = Some(Box::new(Intake::new(&*self.dock.store, declared)));
                    }
                    Event::Content(octets) => {
                        received += octets.len() as u64;
                        if let Some(intake) = &mut intake {
                            intake.push(octets);
                        }
                    }
                    Event::ContentEnds { envelope, size } => {
                        let reply = Box::pin(self.judge(envelope, size, intake.take())).await;
                        match reply {
                            Ok(words) => session.accept_as(&words),
                            Err(reply) => session.refuse(&reply),
                        }
                    }
                    Event::ContentDropped | Event::Reset => intake = None,
                    Event::Refused(why) => {
                        tracing::debug!(?why, "command refused");
                        if let Refusal::DeclaredTooBig(size) = why {
                            self.note(&format!("552 5.3.4 a mail of {size} octets is over our limit"));
                        }
                    }
                    Event::Hello { name, .. } => {
                        tracing::debug!(%name, "greeted");
                        if let Some(reply) = &refusal {
                            session.output().clear();
                            session.turn_away(reply);
                        }
                    }
                    Event::Recipient(_) | Event::StartTls | Event::Undecided | Event::Flush => {}
                }
                start += used;
                if flush && !self.flush(&mut session).await {
                    return;
                }
            };
            buffer.drain(..start);
            if !self.flush(&mut session).await || over {
                let _ = self.stream.shutdown().await;
                return;
            }
            if session.phase() == Phase::Handshake {
                let Some(stream) = secured(&self.dock.clock, &self.agreed.tls, self.stream).await else {
                    return;
                };
                self.stream = stream;
                session.tls_started();
                refusal = self.identify(&mut session).err();
                rates = self.rates();
                continue;
            }
            let now = self.dock.clock.steady();
            if rates.octets.is_some() && received > before {
                let came = usize::try_from(received - before).unwrap_or(usize::MAX);
                let wait = self.dock.paces.content(&self.peer, rates, came, now);
                if !wait.is_zero() {
                    self.dock.clock.sleep(wait).await;
                    // That time is ours, not the peer's.
                    (heard, began) = (heard.plus(wait), began.plus(wait));
                }
            }
            let limits = &self.config.limits;
            let slowest = Slowest { rate: limits.content_rate_min, grace: limits.content_idle };
            let patience = match session.phase() {
                // Whatever it says meanwhile: who it is is all that counts.
                _ if !self.is_known() || refusal.is_some() => NOBODY_MAX.saturating_sub(now.since(born)),
                // However often a little of it comes: neither content nor a command may take for ever.
                Phase::Content => limits.content_idle.min(slowest.left(received, now.since(began))),
                _ => limits.idle.saturating_sub(now.since(heard)),
            };
            self.dock.buffers.fit(&mut buffer, session.phase());
            let clock = self.dock.clock.clone();
            let idle = matches!(session.phase(), Phase::Command);
            let read = tokio::select! {
                read = clock.within(patience, self.stream.read_buf(&mut buffer)) => read,
                // Between messages a stop is heard at once; a message that has begun is taken to its end.
                () = until_stop(&mut stop), if idle => {
                    session.turn_away(&Reply::later(421, 3, 2, "Service is stopping, try again later"));
                    self.flush(&mut session).await;
                    return;
                }
            };
            match read {
                Some(Ok(0)) | Some(Err(_)) => {
                    tracing::debug!("connection closed by the peer");
                    return;
                }
                Some(Ok(_)) => {}
                None => {
                    let slow = session.phase() == Phase::Content;
                    let why = if slow { "Content comes too slowly" } else { "Nothing heard for too long" };
                    tracing::info!(peer = %self.peer, address = %self.address, "connection ended: {why}");
                    session.turn_away(&Reply::later(421, 4, 2, why));
                    self.flush(&mut session).await;
                    return;
                }
            }
        }
    }

    /// How fast the peer may send.
    fn rates(&self) -> Rates {
        let link = self.config.links.iter().find(|link| link.peer == self.peer);
        link.map_or(Rates::default(), |link| link.rates)
    }

    fn is_known(&self) -> bool {
        self.peer.as_str() != who::NOBODY_YET
    }

    /// Decide once more who this is, now that it may have shown a certificate. What to tell whom it is not.
    fn identify(&mut self, session: &mut Session) -> Result<(), Reply> {
        let chain = self.stream.chain();
        let peer = who::under_tls(&self.config, &self.agreed, self.address.ip(), chain).map_err(|why| {
            tracing::warn!(peer = %self.peer, address = %self.address, "turned away under TLS: {why}");
            session.offer(Capabilities::default());
            Reply::never(554, 7, 1, &format!("Not known here: {why}"))
        })?;
        if peer != self.peer {
            let Some(place) = self.dock.enter(&self.config, &peer) else {
                tracing::warn!(address = %self.address, %peer, "turned away: too many connections");
                return Err(Reply::later(421, 7, 0, "Too many connections, try again later"));
            };
            (self.place, self.peer) = (place, peer);
        }
        self.agreed.tls.saw(&self.peer, &self.stream, true);
        tracing::debug!(peer = %self.peer, address = %self.address, "under TLS: {}", self.stream.facts());
        session.offer(who::offer(&self.config, &self.agreed, &self.peer, true));
        Ok(())
    }

    /// Why this envelope sender may not speak for this peer, if it may not.
    fn foreign(&self, sender: Option<&MailPath>) -> Option<String> {
        let peer = self.config.house.peer(&self.peer).filter(|p| p.profile.own_senders)?;
        let domain = sender?.domain().filter(|d| !peer.owns(d))?;
        tracing::warn!(peer = %self.peer, %domain, "envelope sender is in no domain of this peer");
        Some(format!("{domain} is no domain of this peer"))
    }

    /// Something of this peer was refused.
    fn note(&self, words: &str) {
        self.dock.telemetry.recent.refused(&self.peer, self.dock.clock.now(), None, true, words);
    }

    fn log_ending(&self, ending: Ending) {
        match ending {
            Ending::Violation(violation) => {
                tracing::warn!(peer = %self.peer, "connection ended: {violation}");
                self.note(&format!("connection ended: {violation}"));
            }
            other => tracing::debug!(?other, "connection ended"),
        }
    }

    async fn flush(&mut self, session: &mut Session) -> bool {
        let output = std::mem::take(session.output());
        if output.is_empty() {
            return true;
        }
        let patience = self.config.limits.idle;
        let clock = self.dock.clock.clone();
        matches!(clock.within(patience, self.stream.write_all(&output)).await, Some(Ok(())))
    }

    /// A whole mail: what became of it, counted.
    async fn judge(
        &self,
        envelope: Envelope,
        size: u64,
        intake: Option<Box<Intake>>,
    ) -> Result<String, Reply> {
        let (clock, telemetry) = (&self.dock.clock, &self.dock.telemetry);
        let (began, mm) = (clock.begin(), crate::fresh_id(clock));
        let recipients = envelope.recipients.len() as u64;
        let mut seen = (Kind::OTHER, None);
        let reply = self.decide(mm, envelope, size, intake, &mut seen).await;
        let code = reply.as_ref().map_or_else(Reply::code, |_| 250);
        let came = Came { kind: seen.0, octets: size, code, took: began.took(clock) };
        telemetry.came(&self.peer, came, seen.1.as_ref(), clock.now());
        // What answers a request of ours is in the trace of that request.
        if seen.0.message == MessageType::ForwardReq.as_str() {
            telemetry.worked(mm, clock, || {
                let work = Work::new(began, "receive MM4_forward.REQ", Side::Server)
                    .with(traces::id("belino.peer", &self.peer))
                    .with(traces::number("belino.recipients", recipients))
                    .with(traces::number("belino.content.octets", size))
                    .with(traces::number("smtp.reply", u64::from(code)));
                match &reply {
                    Ok(_) => work,
                    Err(reply) => work.failed(&reply.to_string()),
                }
            });
        }
        reply
    }

    /// Read its header, ask the heart, and say what the heart says. `seen`: what it is, and the transaction id of a response.
    async fn decide(
        &self,
        mm: MmId,
        envelope: Envelope,
        size: u64,
        intake: Option<Box<Intake>>,
        seen: &mut (Kind, Option<TransactionId>),
    ) -> Result<String, Reply> {
        let Some(taken) = intake.map(|intake| intake.finish()) else {
            return Err(smtp_reply(&Reason::Fault.reply()));
        };
        if size == 0 {
            return Err(smtp_reply(&Reason::Empty.reply()));
        }
        self.dock.listeners.hear(&self.peer, self.address, &envelope, &taken.head);
        let arrival = match self.read(envelope, taken) {
            Ok(arrival) => arrival,
            Err(reason) => {
                tracing::info!(%mm, peer = %self.peer, "mail refused: {reason}");
                self.note(&reason.reply().to_string());
                return Err(smtp_reply(&reason.reply()));
            }
        };
        if let Arrived::Message(message) = &arrival.message {
            let answers = match message {
                AbstractMessage::ForwardRes(response) => response.transaction_id.clone(),
                _ => None,
            };
            *seen = (Kind::of(message), answers);
        }
        let event = HeartEvent::Arrived(Box::new(arrival));
        match self.dock.heart.ask(mm, event).await.unwrap_or_else(stopped) {
            Answer::Mail(reply) if reply.code / 100 == 2 => Ok(reply.text),
            Answer::Mail(reply) => {
                tracing::info!(%mm, peer = %self.peer, "mail refused: {reply}");
                self.note(&reply.to_string());
                Err(smtp_reply(&reply))
            }
            _ => Err(smtp_reply(&Reason::Fault.reply())),
        }
    }

    /// From octets to words.
    fn read(&self, envelope: Envelope, taken: Taken) -> Result<Arrival, Reason> {
        if taken.head_too_long {
            return Err(Reason::FormatCorrupt);
        }
        let block = HeaderBlock::parse(&taken.head).map_err(|error| match error {
            HeaderError::TooLong | HeaderError::TooManyFields => Reason::FormatCorrupt,
        })?;
        let decoded = wire::mm4::decode(&block);
        let hops = wire::mm4::received_count(&block);
        // Our own stamps have ids of ours; a mail system before us may write the same name.
        let stamps = self.config.house.domains.iter().flat_map(|d| wire::mm4::received_ids(&block, d));
        let own_hops = stamps.filter(|id| id.parse::<MmId>().is_ok()).count();
        if let Some(code) = &decoded.internal_status_code {
            tracing::info!(peer = %self.peer, "X-Internal-Status-Code: {code}");
        }
        let house = &self.config.house;
        let peer = house.peer(&self.peer);
        let tolerated = decoded.tolerances.first().map(ToString::to_string);
        let (message, trouble) = words(decoded, &taken.structure);
        let is_forward = matches!(&message, Arrived::Message(AbstractMessage::ForwardReq(_)));
        // A peer that wants the letter of the specification gets it.
        let strict = peer.is_some_and(|p| p.profile.strict) && is_forward;
        let trouble =
            trouble.or_else(|| tolerated.filter(|_| strict).map(|text| (Reason::FormatCorrupt, text)));
        let message = match (message, &taken.front) {
            (Arrived::NotMm4, Some(front)) => {
                returned(&block, front).map_or(Arrived::NotMm4, Arrived::Bounce)
            }
            (message, _) => message,
        };
        // What is not for us but passes as it came is kept like a request.
        let passes = match &message {
            Arrived::Message(m) => {
                house.passes_to(&self.peer, m.message_type(), &envelope.recipients).is_some()
            }
            _ => false,
        };
        let is_request =
            is_forward || passes || matches!(&message, Arrived::Unknown { .. } | Arrived::NotMm4);
        let content = match taken.content {
            Ok(content) => Some(content),
            // Responses and reports need no room: they go on when the disk is low.
            Err(_) if !is_request => None,
            Err(StoreError::Full(why)) => {
                tracing::error!("no room for content: {why}");
                return Err(Reason::Full);
            }
            Err(error) => {
                tracing::error!("content cannot be stored: {error}");
                return Err(Reason::Unavailable);
            }
        };
        Ok(Arrival {
            peer: self.peer.clone(),
            mail_from: envelope.sender.path,
            recipients: envelope.recipients,
            message,
            trouble,
            hops,
            own_hops,
            decoded_size: taken.structure.size_estimate(),
            body: Some(taken.body).filter(|_| is_request),
            content: content.filter(|_| is_request),
        })
    }
}

/// The same connection under TLS.
async fn secured(clock: &Clock, tls: &Tls, stream: Stream) -> Option<Stream> {
    let Stream::Plain(socket) = stream else { return Some(stream) };
    // In a box: connections that are never under TLS should not hold room for it.
    let accept = Box::pin(tls.accept(socket));
    match clock.within(HANDSHAKE, accept).await {
        Some(Ok(stream)) => return Some(Stream::Tls(Box::new(stream))),
        Some(Err(why)) => tracing::warn!("no TLS: {why}"),
        None => tracing::warn!("no TLS within {} s", HANDSHAKE.as_secs()),
    }
    None
}

/// A mail that came back, if that is what it is (RFC 3464).
fn returned(block: &HeaderBlock<'_>, front: &[u8]) -> Option<Bounce> {
    let content_type = block.text("Content-Type");
    let bounce = wire::mime::bounce(content_type.as_deref(), front)?;
    let original = bounce.original?;
    let mut failed: Vec<(Option<MailPath>, String)> = Vec::new();
    let no_list = bounce.recipients.is_empty();
    for recipient in bounce.recipients.into_iter().filter(|r| r.action == Action::Failed) {
        let status = recipient.status.map_or(String::new(), |(c, s, d)| format!("{c}.{s}.{d} "));
        let why = recipient.diagnostic.map_or(String::new(), |text| text.to_string());
        failed.push((recipient.original_recipient.or(recipient.final_recipient), format!("{status}{why}")));
    }
    if no_list {
        failed.push((None, "returned without a word".into()));
    }
    Some(Bounce {
        internet_message_id: original.internet_message_id.map(|id| id.to_string()),
        transaction_id: original.transaction_id,
        failed,
    })
}

/// What the codec found, as the heart wants to hear it: the message, and why it cannot be processed, if so.
pub fn words(decoded: Decoded, structure: &wire::mime::Structure) -> (Arrived, Option<(Reason, String)>) {
    let violation = decoded.violations.iter().find(|v| v.fatal).map(|v| {
        let unsupported = decoded.refusal() == Some(RequestStatus::ErrorUnsupportedMessage);
        (if unsupported { Reason::Unsupported } else { Reason::FormatCorrupt }, v.to_string())
    });
    let version = match &decoded.mail {
        Mail::Message(AbstractMessage::ForwardReq(request)) => request.version,
        _ => None,
    };
    // What cannot be read of a later major version is not the sender's fault (TS 23.140 8.4.6).
    let later = version.is_some_and(|v| v.major > Version::OURS.major);
    let problem = structure.problems.iter().find(|p| !p.is_tolerable()).map(|p| {
        let reason = match p.is_limit() {
            true => Reason::TooComplex,
            false if later => Reason::Unsupported,
            false => Reason::FormatCorrupt,
        };
        (reason, p.to_string())
    });
    let message = match decoded.mail {
        Mail::NotMm4 => Arrived::NotMm4,
        Mail::Message(message) => Arrived::Message(message),
        Mail::Unknown(unknown) => Arrived::Unknown {
            message_type: unknown.message_type.to_string(),
            request: ForwardReq {
                version: unknown.version,
                transaction_id: unknown.transaction_id,
                message_id: unknown.message_id,
                // A response of a kind that we do not know is not answered either.
                ack_request: Some(unknown.ack_request && unknown.is_request),
                originator_system: unknown.originator_system,
                sender: unknown.sender,
                ..ForwardReq::default()
            },
        },
    };
    let is_forward = matches!(&message, Arrived::Message(AbstractMessage::ForwardReq(_)));
    (message, violation.or(problem.filter(|_| is_forward)))
}

/// A reply of the heart's, for the session.
fn smtp_reply(reply: &relay::Reply) -> Reply {
    let (_, subject, detail) = reply.enhanced;
    if reply.code / 100 == 4 {
        Reply::later(reply.code, subject, detail, &reply.text)
    } else {
        Reply::never(reply.code, subject, detail, &reply.text)
    }
}

/// Buffers for content that go from one connection to the next: an idle connection holds a small one only.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Room for the next read: much inside content, little between messages.
    fn fit(&self, buffer: &mut Vec<u8>, phase: Phase) {
        let is_big = buffer.capacity() >= CHUNK;
        match phase {
            Phase::Content if !is_big => {
                let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut big = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK));
                big.append(buffer);
                *buffer = big;
            }
            Phase::Content => {}
            _ if is_big && buffer.len() < COMMAND_CHUNK => {
                let mut small = Vec::with_capacity(2 * COMMAND_CHUNK);
                small.append(buffer);
                self.put_back(std::mem::replace(buffer, small));
            }
            _ => {}
        }
        if buffer.capacity() == buffer.len() {
            buffer.reserve(COMMAND_CHUNK);
        }
    }

    fn put_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX && buffer.capacity() >= CHUNK {
            spare.push(buffer);
        }
    }
}
