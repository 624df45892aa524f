//! One incoming connection of a relay: the server session, what it reads into the store, and the words it makes of it.
//!
//! Owns: what the house's dock does between a socket and the heart, stated again without sockets. Never knows: the
//! heart's decisions, time. It says `250` when it is told to, and not before.

use crate::planted::Planted;
use mms::{AbstractMessage, ForwardReq, MmId, RequestStatus, Version};
use relay::store::{ContentRef, ContentWriter, Store, StoreError};
use relay::{Arrival, Arrived, Body, House, PeerName, Reason};
use wire::mime::{HeaderBlock, Structure, Walk, WalkLimits, find_head_end};
use wire::mm4::{Decoded, Mail};
use wire::smtp::server::{Capabilities, Envelope, Event, Phase, Session};
use wire::smtp::{Limits, Reply};

/// Octets of a header block that are read.
const HEAD_MAX: usize = 64 << 10;

/// See the module.
pub struct Dock {
    session: Session,
    buffer: Vec<u8>,
    intake: Option<Intake>,
    /// Who it is taken for.
    peer: PeerName,
    /// Who it is, by its address.
    pub address: PeerName,
    /// Until when something must be heard, in milliseconds.
    pub deadline: u64,
}

/// What a dock has for the world.
#[derive(Debug, Default)]
pub struct Step {
    /// Octets to send.
    pub output: Vec<u8>,
    /// A mail to be judged; nothing more is read until [`Dock::answer`].
    pub asked: Option<Box<Arrival>>,
    /// The connection is over.
    pub over: bool,
}

impl Dock {
    /// A connection of this peer that has just been accepted.
    pub fn new(host: &str, peer: PeerName, limits: Limits) -> Self {
        let mut session = Session::new(host, limits, Capabilities::default());
        session.greet();
        Self { session, buffer: Vec::new(), intake: None, address: peer.clone(), peer, deadline: 0 }
    }

    /// Milliseconds of silence that it bears.
    pub fn patience(&self) -> u64 {
        if self.session.phase() == Phase::Content { 180_000 } else { 600_000 }
    }

    /// Whether a verdict is due from the heart.
    pub fn is_judging(&self) -> bool {
        self.session.phase() == Phase::Verdict
    }

    /// Octets that wait to be read.
    pub const fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Octets came.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Nothing was heard for too long.
    pub fn too_late(&mut self) {
        self.session.turn_away(&Reply::later(421, 4, 2, "Nothing heard for too long"));
    }

    /// What the heart says about the mail.
    pub fn answer(&mut self, reply: &relay::Reply) {
        if reply.code / 100 == 2 {
            self.session.accept_as(&reply.text)
        } else {
            self.session.refuse(&smtp(reply))
        }
    }

    /// Everything that can be had from what came.
    pub fn run(&mut self, house: &House, store: &dyn Store, planted: Option<Planted>) -> Step {
        let mut step = Step::default();
        let (mut start, buffer) = (0, std::mem::take(&mut self.buffer));
        loop {
            let (used, event) = self.session.advance(&buffer[start..]);
            match event {
                Event::NeedMore | Event::Undecided => {
                    start += used;
                    break;
                }
                Event::Ended(_) => {
                    step.over = true;
                    break;
                }
                Event::Sender(sender) => {
                    let peer = house.peer(&self.peer).filter(|p| p.profile.own_senders);
                    let domain = sender.path.as_ref().and_then(|p| p.domain());
                    match peer.zip(domain).filter(|(peer, domain)| !peer.owns(domain)) {
                        None => self.session.accept(),
                        Some(_) => self.session.refuse(&Reply::never(550, 7, 1, "no domain of this peer")),
                    }
                }
                Event::ContentStarts { declared } => self.intake = Some(Intake::new(store, declared)),
                Event::Content(octets) => {
                    if let Some(intake) = &mut self.intake {
                        intake.push(octets);
                    }
                }
                Event::ContentEnds { envelope, size } => {
                    let taken = self.intake.take().map(Intake::finish);
                    match taken.ok_or(Reason::Fault).and_then(|t| read(house, &self.peer, envelope, size, t))
                    {
                        Ok(arrival) => step.asked = Some(Box::new(arrival)),
                        Err(reason) => self.session.refuse(&smtp(&reason.reply())),
                    }
                }
                Event::ContentDropped | Event::Reset => self.intake = None,
                Event::Hello { name, .. } if planted == Some(Planted::PeerByItsHello) => {
                    let named =
                        house.peers.iter().find(|p| p.domains.iter().any(|d| d.as_str() == name.as_str()));
                    if let Some(named) = named {
                        self.peer = named.name.clone();
                    }
                }
                Event::Flush => step.output.append(self.session.output()),
                _ => {}
            }
            start += used;
        }
        self.buffer = buffer[start.min(buffer.len())..].to_vec();
        step.output.append(self.session.output());
        step
    }
}

fn smtp(reply: &relay::Reply) -> Reply {
    let (_, subject, detail) = reply.enhanced;
    if reply.code / 100 == 4 {
        Reply::later(reply.code, subject, detail, &reply.text)
    } else {
        Reply::never(reply.code, subject, detail, &reply.text)
    }
}

/// One content on its way in.
struct Intake {
    writer: Result<Box<dyn ContentWriter>, StoreError>,
    octets: Vec<u8>,
}

struct Taken {
    head: Vec<u8>,
    body: Body,
    structure: Structure,
    content: Result<ContentRef, StoreError>,
    head_too_long: bool,
}

impl Intake {
    fn new(store: &dyn Store, declared: Option<u64>) -> Self {
        Self { writer: store.content_writer(declared), octets: Vec::new() }
    }

    fn push(&mut self, octets: &[u8]) {
        if let Ok(writer) = &mut self.writer
            && let Err(error) = writer.write(octets)
        {
            self.writer = Err(error);
        }
        self.octets.extend_from_slice(octets);
    }

    fn finish(self) -> Taken {
        let octets = self.octets;
        let end = find_head_end(&octets);
        let head_too_long = end.unwrap_or(octets.len()) > HEAD_MAX;
        let head = &octets[..end.unwrap_or(octets.len())];
        let (offset, content_type, encoding) = match HeaderBlock::parse(head) {
            Ok(block) => {
                let text = |name: &str| block.text(name).map(std::borrow::Cow::into_owned);
                (block.head_len(), text("Content-Type"), text("Content-Transfer-Encoding"))
            }
            Err(_) => (head.len(), None, None),
        };
        let mut walk = Walk::new(content_type.as_deref(), encoding.as_deref(), WalkLimits::default());
        walk.push(&octets[offset..]);
        let body = body_of(&octets, offset);
        let (head, content) = (octets[..offset].to_vec(), self.writer.and_then(ContentWriter::finish));
        Taken { head, body, structure: walk.finish(), content, head_too_long }
    }
}

/// Length and digest of a content whose body begins at `offset`.
pub fn body_of(octets: &[u8], offset: usize) -> Body {
    let mix = |hash: u32, octet: &u8| (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
    let rest = &octets[offset..];
    Body {
        len: octets.len() as u64,
        decoded: rest.len() as u64,
        offset: offset as u64,
        digest: rest.iter().fold(0x811C_9DC5, mix),
        eight_bit: !rest.is_ascii(),
    }
}

/// From octets to words.
fn read(
    house: &House,
    peer: &PeerName,
    envelope: Envelope,
    size: u64,
    taken: Taken,
) -> Result<Arrival, Reason> {
    if size == 0 {
        return Err(Reason::Empty);
    }
    if taken.head_too_long {
        return Err(Reason::FormatCorrupt);
    }
    let block = HeaderBlock::parse(&taken.head).map_err(|_| Reason::FormatCorrupt)?;
    let decoded = wire::mm4::decode(&block);
    let hops = wire::mm4::received_count(&block);
    let stamps = house.domains.iter().flat_map(|d| wire::mm4::received_ids(&block, d));
    let own_hops = stamps.filter(|id| id.parse::<MmId>().is_ok()).count();
    let (message, trouble) = words(decoded, &taken.structure);
    let passes = match &message {
        Arrived::Message(m) => house.passes_to(peer, m.message_type(), &envelope.recipients).is_some(),
        _ => false,
    };
    let is_forward = matches!(&message, Arrived::Message(AbstractMessage::ForwardReq(_)));
    let is_request = is_forward || passes || matches!(&message, Arrived::Unknown { .. } | Arrived::NotMm4);
    let content = match taken.content {
        Ok(content) => Some(content),
        // Responses and reports need no room: they go on when the disk is low.
        Err(_) if !is_request => None,
        Err(StoreError::Full(_)) => return Err(Reason::Full),
        Err(_) => return Err(Reason::Unavailable),
    };
    Ok(Arrival {
        peer: peer.clone(),
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

/// What the codec found, as the heart wants to hear it.
fn words(decoded: Decoded, structure: &Structure) -> (Arrived, Option<(Reason, String)>) {
    let violation = decoded.violations.iter().find(|v| v.fatal).map(|v| {
        let unsupported = decoded.refusal() == Some(RequestStatus::ErrorUnsupportedMessage);
        (if unsupported { Reason::Unsupported } else { Reason::FormatCorrupt }, v.to_string())
    });
    let version = match &decoded.mail {
        Mail::Message(AbstractMessage::ForwardReq(request)) => request.version,
        _ => None,
    };
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
