//! The hostile peer: it hears everything, and sends what it should not.
//!
//! Owns: what it has heard, and the dialogues that it makes of it. Never knows: the relays' state, secrets that were never
//! on a wire.

use crate::dice::Dice;
use crate::net::ConnId;
use crate::relays::{BY_HUB, NAMES, X, domain, prefix};
use mms::{
    AbstractMessage, DeliveryReportReq, DeliveryReportRes, ForwardReq, ForwardRes, HeaderText, MailPath,
    MessageId, MmStatus, ReadReplyReportReq, ReadStatus, RequestStatus, TransactionId,
};
use std::collections::BTreeMap;
use wire::mime::HeaderBlock;
use wire::mm4::{Mail, Style, decode, encode};
use wire::smtp::server::{Capabilities, Event, Session};
use wire::smtp::{Limits, Reply};

/// Mails that it remembers.
const HEARD_MAX: usize = 200;

/// See the module.
pub struct Hostile {
    /// Mails of others and to it, as they were on the wire.
    heard: Vec<Vec<u8>>,
    /// Connections to it.
    pub docks: BTreeMap<ConnId, Sink>,
    /// Connections of it, with what it will say once it is greeted.
    pub lines: BTreeMap<ConnId, Vec<u8>>,
    made: u64,
    /// Whether it takes everything from now on.
    pub tamed: bool,
}

/// A connection to it.
pub struct Sink {
    session: Session,
    buffer: Vec<u8>,
    mail: Vec<u8>,
}

impl Default for Sink {
    fn default() -> Self {
        let mut session = Session::new("mms.x.example", Limits::default(), Capabilities::default());
        session.greet();
        Self { session, buffer: Vec::new(), mail: Vec::new() }
    }
}

impl Hostile {
    /// It has heard nothing yet.
    pub const fn new() -> Self {
        Self { heard: Vec::new(), docks: BTreeMap::new(), lines: BTreeMap::new(), made: 0, tamed: false }
    }

    /// A mail went over some wire.
    pub fn hears(&mut self, mail: &[u8]) {
        if self.heard.len() < HEARD_MAX {
            self.heard.push(mail.to_vec());
        }
    }

    /// Somebody speaks to it: what it replies, and whether the connection is over.
    pub fn receives(&mut self, conn: ConnId, octets: &[u8], dice: &mut Dice) -> (Vec<u8>, bool) {
        let Some(sink) = self.docks.get_mut(&conn) else { return (Vec::new(), true) };
        let (mut start, mut over) = (0, false);
        let mut buffer = std::mem::take(&mut sink.buffer);
        buffer.extend_from_slice(octets);
        let mut taken = Vec::new();
        loop {
            let (used, event) = sink.session.advance(&buffer[start..]);
            match event {
                Event::NeedMore | Event::Undecided => {
                    start += used;
                    break;
                }
                Event::Ended(_) => {
                    over = true;
                    break;
                }
                Event::Sender(_) => sink.session.accept(),
                Event::Content(octets) => sink.mail.extend_from_slice(octets),
                Event::ContentEnds { .. } => {
                    taken.push(std::mem::take(&mut sink.mail));
                    match dice.below(8) {
                        0 if !self.tamed => sink.session.refuse(&Reply::later(451, 3, 0, "Not now")),
                        1 if !self.tamed => sink.session.refuse(&Reply::never(550, 1, 1, "Never")),
                        _ => sink.session.accept(),
                    }
                }
                _ => {}
            }
            start += used;
        }
        sink.buffer = buffer[start.min(buffer.len())..].to_vec();
        let output = std::mem::take(sink.session.output());
        taken.iter().for_each(|mail| self.hears(mail));
        (output, over)
    }

    fn head(&self, dice: &mut Dice) -> Option<AbstractMessage> {
        let mail = dice.pick(&self.heard)?;
        match decode(&HeaderBlock::parse(mail).ok()?).mail {
            Mail::Message(message) => Some(message),
            _ => None,
        }
    }

    fn fresh_id(&mut self, dice: &mut Dice) -> String {
        self.made += 1;
        format!("x{}.{}@mms.x.example", self.made, dice.below(1000))
    }

    /// One dialogue with a relay, and how many mails in it should not be.
    pub fn mischief(&mut self, target: usize, dice: &mut Dice) -> Vec<u8> {
        let claimed = *dice.pick(&["x", "x", "a", "b", "h", "c"]).unwrap_or(&"x");
        let mut script = format!("EHLO {}\r\n", domain(claimed)).into_bytes();
        let count = if dice.below(6) == 0 { dice.between(5, 30) } else { dice.between(1, 3) };
        let kind = dice.below(12);
        for _ in 0..count {
            let (to, mail) = self.mail(kind, target, dice);
            let from = match dice.below(4) {
                0 => "<>".to_owned(),
                1 => format!("<+{}1/TYPE=PLMN@{}>", prefix(1), domain("b")),
                _ => format!("<+{}0/TYPE=PLMN@{}>", prefix(X), domain("x")),
            };
            script.extend_from_slice(format!("MAIL FROM:{from}\r\n").as_bytes());
            to.iter().for_each(|to| script.extend_from_slice(format!("RCPT TO:<{to}>\r\n").as_bytes()));
            script.extend_from_slice(b"DATA\r\n");
            script.extend_from_slice(&mail);
            script.extend_from_slice(b".\r\n");
        }
        if dice.below(8) == 0 {
            let nonsense: [&[u8]; 6] = [
                b"DATA\r\n",
                b"RCPT TO:<a@b>\r\n",
                b"BDAT 3\r\nabc",
                b"\0\0\r\n",
                b"GET / HTTP/1.1\r\n",
                b"MAIL FROM:<>\n",
            ];
            let at = dice.below(script.len() as u64) as usize;
            let piece = dice.pick(&nonsense).copied().unwrap_or_default();
            script.splice(at..at, piece.iter().copied());
        }
        script.extend_from_slice(b"QUIT\r\n");
        script
    }

    fn mail(&mut self, kind: u64, target: usize, dice: &mut Dice) -> (Vec<String>, Vec<u8>) {
        let user = |dice: &mut Dice| format!("+{}{}", prefix(target), dice.below(4));
        let at_target = domain(NAMES[target]);
        let system = vec![format!("system-user@{at_target}")];
        let party = |number: &str| format!("{number}/TYPE=PLMN@{at_target}").parse().ok();
        let status = *dice.pick(RequestStatus::ALL).unwrap_or(&RequestStatus::Ok);
        let heard = self.head(dice);
        let (heard_transaction, heard_id) =
            heard.as_ref().map_or((None, None), |m| (m.transaction_id().cloned(), m.message_id().cloned()));
        let near = |text: &str, dice: &mut Dice| {
            let mut octets = text.as_bytes().to_vec();
            let at = dice.below(octets.len() as u64) as usize;
            if let Some(octet) = octets.get_mut(at).filter(|o| o.is_ascii_alphanumeric()) {
                *octet = if *octet == b'0' { b'1' } else { b'0' };
            }
            String::from_utf8(octets).unwrap_or_default()
        };
        let transaction = match (kind % 2, heard_transaction) {
            (_, None) => TransactionId::new(self.fresh_id(dice)).ok(),
            (0, Some(id)) => Some(id),
            (_, Some(id)) => TransactionId::new(near(id.as_str(), dice)).ok(),
        };
        let response = |transaction_id, message_id| ForwardRes {
            version: Some(mms::Version::OURS),
            transaction_id,
            message_id,
            request_status: status,
            status_text: None,
            request_recipients: Vec::new(),
            sender: MailPath::new("system-user", Some(domain("x"))).ok(),
            to: None,
            date: None,
            internet_message_id: None,
        };
        let style = Style::default();
        match kind {
            // Responses to what others sent, with ids as they were and nearly so.
            0..=2 => (system, encode(&AbstractMessage::ForwardRes(response(transaction, heard_id)), &style)),
            3 => {
                let ForwardRes {
                    version,
                    transaction_id,
                    message_id,
                    request_status,
                    status_text,
                    sender,
                    to,
                    date,
                    internet_message_id,
                    ..
                } = response(transaction, heard_id);
                let answer = DeliveryReportRes {
                    version,
                    transaction_id,
                    message_id,
                    request_status,
                    status_text,
                    sender,
                    to,
                    date,
                    internet_message_id,
                };
                (system, encode(&AbstractMessage::DeliveryReportRes(answer), &style))
            }
            // Reports about what others sent.
            4 | 5 => {
                let recipient = match &heard {
                    Some(AbstractMessage::ForwardReq(request)) => request.to.first().cloned(),
                    _ => party(&user(dice)),
                };
                let own = MessageId::new(self.fresh_id(dice)).ok();
                let (message_id, ack) = (heard_id.or(own), Some(dice.below(2) == 0));
                let originator = party(&user(dice));
                let report = if kind == 4 {
                    AbstractMessage::DeliveryReportReq(DeliveryReportReq {
                        version: Some(mms::Version::OURS),
                        transaction_id: transaction,
                        message_id,
                        recipient,
                        originator,
                        date: None,
                        ack_request: ack,
                        forward_to_originator_ua: None,
                        status: Some(MmStatus::Rejected),
                        status_extension: None,
                        status_text: None,
                        applic_id: None,
                        reply_applic_id: None,
                        aux_applic_info: None,
                        sender: None,
                        internet_message_id: None,
                    })
                } else {
                    AbstractMessage::ReadReplyReportReq(ReadReplyReportReq {
                        version: Some(mms::Version::OURS),
                        transaction_id: transaction,
                        message_id,
                        recipient,
                        originator,
                        date: None,
                        ack_request: ack,
                        status: Some(ReadStatus::Read),
                        status_text: None,
                        applic_id: None,
                        reply_applic_id: None,
                        aux_applic_info: None,
                        sender: None,
                        internet_message_id: None,
                    })
                };
                (vec![user(dice) + "@" + at_target.as_str()], encode(&report, &style))
            }
            // What somebody else sent, as it was, to whom it was sent.
            6..=8 => {
                let latest = self.heard.len().saturating_sub(if kind == 8 { 1 } else { HEARD_MAX });
                let mail = dice
                    .pick(&self.heard[latest..])
                    .cloned()
                    .unwrap_or_else(|| b"A: b\r\n\r\nc\r\n".to_vec());
                let to = match &heard {
                    _ if kind == 6 => vec![format!("{}/TYPE=PLMN@{at_target}", user(dice))],
                    _ => {
                        let named = decode(
                            &HeaderBlock::parse(&mail)
                                .unwrap_or_else(|_| HeaderBlock::parse(b"\r\n").expect("empty")),
                        );
                        match named.mail {
                            Mail::Message(AbstractMessage::ForwardReq(request)) if !request.to.is_empty() => {
                                request
                                    .to
                                    .iter()
                                    .map(|p| format!("{}/TYPE=PLMN@{at_target}", p.address.value()))
                                    .collect()
                            }
                            _ => system,
                        }
                    }
                };
                (to, mail)
            }
            // Requests of its own, with system addresses that are not its own, to users and through the relay to others.
            _ => {
                let named = *dice.pick(&["canary", "a", "b", "h", "c", "x"]).unwrap_or(&"x");
                let number = match dice.below(4) {
                    0 => format!("+{}1", prefix(dice.below(4) as usize)),
                    1 => format!("+{BY_HUB}"),
                    _ => user(dice),
                };
                let request = ForwardReq {
                    version: Some(mms::Version::OURS),
                    transaction_id: TransactionId::new(self.fresh_id(dice)).ok(),
                    message_id: MessageId::new(self.fresh_id(dice)).ok(),
                    to: party(&number).into_iter().collect(),
                    from: format!("+{}0/TYPE=PLMN@{}", prefix(X), domain("x")).parse().ok(),
                    content_type: HeaderText::new("text/plain").ok(),
                    ack_request: Some(true),
                    delivery_report: Some(true),
                    originator_system: MailPath::new("system-user", Some(domain(named))).ok(),
                    sender: MailPath::new("system-user", Some(domain(named))).ok(),
                    ..ForwardReq::default()
                };
                let mut mail = encode(&AbstractMessage::ForwardReq(request), &style);
                if kind == 11 {
                    // A second mail behind an end of data that is none.
                    mail.extend_from_slice(b"one\r\n.\nMAIL FROM:<+12025550110@mms.b.example>\r\n");
                }
                mail.extend_from_slice(b"hello\r\n");
                (vec![format!("{number}/TYPE=PLMN@{at_target}")], mail)
            }
        }
    }
}

impl Default for Hostile {
    fn default() -> Self {
        Self::new()
    }
}
