//! What was seen: every exchange, every mail that left, every mail that came back.
//!
//! Owns: plain facts, in the order in which they happened, and which answer belongs to which request. Never knows: what
//! they mean.

use super::catalogue::Step;
use crate::dock::listeners::{Heard, Token};
use mms::{AbstractMessage, DeliveryReportReq, ForwardRes, HeaderText, MessageId, Party, TransactionId};
use std::collections::BTreeMap;
use std::net::IpAddr;
use wire::mime::HeaderBlock;
use wire::mm4::Mail;
use wire::smtp::Reply;

/// Mails that are kept of what comes back; a peer that sends more says nothing new.
const HEARD_MAX: usize = 200;
/// Addresses of strangers that are kept.
const STRANGERS_MAX: usize = 8;

/// One command and its reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// By what it is found: `greeting`, `ehlo`, `rcpt`…
    pub what: &'static str,
    /// What was said.
    pub sent: String,
    /// What was answered, or why nothing was.
    pub reply: Result<Reply, String>,
    /// The lines of the reply, without their codes.
    pub lines: Vec<String>,
}

impl Exchange {
    /// The reply in words.
    pub fn words(&self) -> String {
        match &self.reply {
            Ok(reply) => reply.to_string(),
            Err(why) => why.clone(),
        }
    }

    /// Whether it was answered with 2yz.
    pub fn is_fine(&self) -> bool {
        self.reply.as_ref().is_ok_and(Reply::is_positive)
    }
}

/// A mail that was to leave.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its header section, as it stands on the wire.
    pub head: Vec<u8>,
    /// Its transaction id as it stands there.
    pub transaction_id: Option<String>,
    /// Its X-Mms-Message-ID as it stands there.
    pub message_id: String,
    /// Its version as it stands there.
    pub version: String,
    /// Its recipients, and whether the peer accepted each at RCPT.
    pub recipients: Vec<(Party, bool)>,
    /// Whether the peer took it, or what it said instead.
    pub taken: Result<(), String>,
}

/// A mail that came back.
#[derive(Clone, Debug)]
pub struct Came {
    /// From where.
    pub address: IpAddr,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// Header section.
    pub head: Vec<u8>,
    /// To which request it belongs, if it belongs to one.
    pub step: Option<Step>,
    /// What it says.
    pub message: Message,
}

/// What a mail that came back says.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them in a run")]
pub enum Message {
    /// `MM4_forward.RES`.
    Response(ForwardRes),
    /// `MM4_delivery_report.REQ`.
    Report(DeliveryReportReq),
    /// Anything else; its type in words.
    Other(String),
}

impl Came {
    /// A field as it stands in the mail, unfolded.
    pub fn field(&self, name: &str) -> Option<String> {
        let block = HeaderBlock::parse(&self.head).ok()?;
        let text = block.text(name)?;
        Some(text.into_owned()).filter(|text| !text.is_empty())
    }

    /// The same, fit to be shown.
    pub fn shown(&self, name: &str) -> Option<String> {
        self.field(name).map(|text| HeaderText::cleaned(&text).capped(120).to_string())
    }

    /// The response, if it is one.
    pub const fn response(&self) -> Option<&ForwardRes> {
        match &self.message {
            Message::Response(response) => Some(response),
            _ => None,
        }
    }

    /// The delivery report, if it is one.
    pub const fn report(&self) -> Option<&DeliveryReportReq> {
        match &self.message {
            Message::Report(report) => Some(report),
            _ => None,
        }
    }
}

/// Everything that was seen in a run.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The host that was talked to.
    pub host: String,
    /// Dialogues by step.
    pub dialogues: BTreeMap<Step, Vec<Exchange>>,
    /// Mails that were to leave, by step.
    pub sent: BTreeMap<Step, Sent>,
    /// Mails that came back, in their order.
    pub came: Vec<Came>,
    /// How many had come when the repeat left.
    pub before_repeat: Option<usize>,
    /// Addresses of strangers that connected meanwhile.
    pub strangers: Vec<IpAddr>,
}

/// Two ids, told apart without quotation marks, angle brackets and outer space.
fn same(one: &str, other: &str) -> bool {
    match (MessageId::new(one), MessageId::new(other)) {
        (Ok(one), Ok(other)) => one.key() == other.key(),
        _ => one == other,
    }
}

impl Evidence {
    /// One exchange of a step.
    pub fn exchange(&self, step: Step, what: &str) -> Option<&Exchange> {
        self.dialogues.get(&step)?.iter().find(|e| e.what == what)
    }

    /// Take in what was heard; whether it is a mail that belongs to the run.
    pub fn hear(&mut self, heard: Heard, token: &Token) -> bool {
        match heard {
            Heard::Stranger { address } => {
                if !self.strangers.contains(&address) && self.strangers.len() < STRANGERS_MAX {
                    self.strangers.push(address);
                }
                false
            }
            Heard::Mail { address, recipients, head, .. } => {
                let head = Heard::octets(&head);
                if self.came.len() >= HEARD_MAX || !token.concerns(&head) {
                    return false;
                }
                let message = read(&head);
                let mut came =
                    Came { address: address.ip().to_canonical(), recipients, head, step: None, message };
                came.step = self.request_of(&came);
                self.came.push(came);
                true
            }
        }
    }

    /// The request that a mail answers: by its transaction id, or else by its message id. A report, which has a
    /// transaction id of its own, by its message id alone.
    fn request_of(&self, came: &Came) -> Option<Step> {
        let transaction_id = came.field("X-Mms-Transaction-ID");
        let message_id = came.field("X-Mms-Message-ID");
        let by_transaction = self.sent.iter().find(|(_, sent)| {
            let ids = transaction_id.as_deref().zip(sent.transaction_id.as_deref());
            came.report().is_none() && ids.is_some_and(|(theirs, ours)| same(theirs, ours))
        });
        let by_message = || {
            let ours = |sent: &Sent| message_id.as_deref().is_some_and(|id| same(id, &sent.message_id));
            self.sent.iter().find(|(_, sent)| ours(sent))
        };
        by_transaction.or_else(by_message).map(|(step, _)| *step)
    }

    /// Responses to a request, in their order. The repeat has the ids of the first request: see [`Evidence::repeated`].
    pub fn responses(&self, step: Step) -> impl Iterator<Item = (&Came, &ForwardRes)> {
        let before = self.before_repeat.unwrap_or(usize::MAX);
        let of_step =
            move |(i, came): &(usize, &Came)| came.step == Some(step) && (step != Step::Plain || *i < before);
        let came = self.came.iter().enumerate().filter(of_step);
        came.filter_map(|(_, came)| came.response().map(|response| (came, response)))
    }

    /// Responses to the first request that came after it was repeated.
    pub fn repeated(&self) -> impl Iterator<Item = (&Came, &ForwardRes)> {
        let before = self.before_repeat.unwrap_or(usize::MAX);
        let later = self.came.iter().skip(before).filter(|came| came.step == Some(Step::Plain));
        later.filter_map(|came| came.response().map(|response| (came, response)))
    }

    /// Delivery reports about a request.
    pub fn reports(&self, step: Step) -> impl Iterator<Item = (&Came, &DeliveryReportReq)> {
        let of_step = self.came.iter().filter(move |came| came.step == Some(step));
        of_step.filter_map(|came| came.report().map(|report| (came, report)))
    }

    /// Responses that belong to no request of the run.
    pub fn foreign(&self) -> impl Iterator<Item = &Came> {
        self.came.iter().filter(|came| came.step.is_none() && came.response().is_some())
    }

    /// Whether any response came to any request.
    pub fn anything_came(&self) -> bool {
        self.came.iter().any(|came| came.step.is_some() && came.response().is_some())
    }
}

fn read(head: &[u8]) -> Message {
    let Ok(block) = HeaderBlock::parse(head) else { return Message::Other("unreadable".into()) };
    match wire::mm4::decode(&block).mail {
        Mail::Message(AbstractMessage::ForwardRes(response)) => Message::Response(response),
        Mail::Message(AbstractMessage::DeliveryReportReq(report)) => Message::Report(report),
        Mail::Message(other) => Message::Other(other.message_type().as_str().to_owned()),
        Mail::Unknown(unknown) => Message::Other(unknown.message_type.to_string()),
        Mail::NotMm4 => Message::Other("not MM4".into()),
    }
}

/// Whether an id came back in exactly the octets in which it left.
pub fn is_echoed(ours: &str, theirs: Option<&str>) -> Echo {
    match theirs {
        None => Echo::Missing,
        Some(theirs) if theirs == ours => Echo::Exact,
        Some(theirs) if TransactionId::new(theirs).is_ok() && same(ours, theirs) => Echo::Requoted,
        Some(_) => Echo::Other,
    }
}

/// How an id came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Octet for octet.
    Exact,
    /// With other quotation marks, brackets or space around it.
    Requoted,
    /// As something else.
    Other,
    /// Not at all.
    Missing,
}
