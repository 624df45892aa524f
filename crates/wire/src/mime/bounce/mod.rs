//! Delivery status notifications (RFC 3464 in the `multipart/report` of RFC 6522): what a mail system between us and a
//! peer sends back about a mail of ours.
//!
//! Owns: which recipients it speaks of and what became of each, and what of the returned header section identifies our
//! mail. Tolerates: capitals, a missing part, missing or additional blank lines between the groups of fields, address
//! types with odd spacing or none, xtext that was not undone, encoded parts, an end that was cut off.
//! Never knows: which mails are ours, and whether to believe any of it: anybody can write this.
//!
//! A value is never cut in two by a cut body: the line that the cut went through does not count.

use super::{ContentType, HeaderBlock, HeaderLimits, Part, WalkLimits, decode_transfer, strip_angles, walk};
use mms::{HeaderText, MailPath, MessageId, TransactionId};

/// What happened to a mail for one recipient (RFC 3464 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// Not yet; somebody keeps trying.
    Delayed,
    /// It was delivered.
    Delivered,
    /// It went where no such notifications are made.
    Relayed,
    /// It was delivered to a list.
    Expanded,
}

/// One recipient that a notification speaks of. Only the action is certain to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BouncedRecipient {
    /// `Action`; without a word that is known, what the class of the status says.
    pub action: Action,
    /// `Status`: class, subject, detail (RFC 3463).
    pub status: Option<(u8, u16, u16)>,
    /// `Final-Recipient` without its address type.
    pub final_recipient: Option<MailPath>,
    /// `Original-Recipient` without its address type, xtext undone: the recipient as we wrote it, if the system in
    /// between can say.
    pub original_recipient: Option<MailPath>,
    /// `Diagnostic-Code` as written, at most 500 octets of it.
    pub diagnostic: Option<HeaderText>,
}

/// What identifies the mail that came back, as far as its header section was returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// `Message-ID` without angle brackets.
    pub internet_message_id: Option<HeaderText>,
    /// `X-Mms-Transaction-ID`.
    pub transaction_id: Option<TransactionId>,
    /// `X-Mms-Message-ID`.
    pub message_id: Option<MessageId>,
}

/// A delivery status notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// In their order, at most 1000. Empty when the part that lists them is missing.
    pub recipients: Vec<BouncedRecipient>,
    /// `None` when nothing came back that identifies a mail.
    pub original: Option<Original>,
}

const RECIPIENTS_MAX: usize = 1000;
const DIAGNOSTIC_MAX: usize = 500;
/// Longest `Message-ID`: a line of mail holds no longer one.
const ID_MAX: usize = 998;

/// Reads the mail with this `Content-Type` and body, in wire form, as a delivery status notification. `None` when it
/// is anything else, such as the answer of a person or of an absent one.
///
/// The beginning of a long body is enough (64 KiB, say): what identifies the mail stands in front of its content. Time
/// and memory are linear in the octets given.
pub fn bounce(content_type: Option<&str>, body: &[u8]) -> Option<Bounce> {
    let kind = ContentType::parse(content_type?).filter(|kind| kind.kind() == "multipart/report")?;
    let parts = walk(content_type, None, body, WalkLimits::default()).parts;
    let part = |kinds: &[&str]| parts.iter().find(|part| kinds.contains(&&*part.kind()));
    let status = part(&["message/delivery-status", "message/global-delivery-status"]);
    match kind.parameter("report-type") {
        Some(report) if !report.trim().eq_ignore_ascii_case("delivery-status") => return None,
        None if status.is_none() => return None,
        _ => {}
    }
    let returned = part(&[
        "message/rfc822",
        "text/rfc822-headers",
        "message/global",
        "message/global-headers",
        "message/rfc822-headers",
    ]);
    Some(Bounce {
        recipients: status.map(|part| recipients(&Content::of(part, body))).unwrap_or_default(),
        original: returned.and_then(|part| original(&Content::of(part, body))),
    })
}

/// A part without its encodings.
struct Content {
    plain: Vec<u8>,
    /// Nothing tells that it ended here.
    cut: bool,
}

impl Content {
    fn of(part: &Part, body: &[u8]) -> Self {
        let range = part.body.start as usize..part.body.end as usize;
        let mut plain = decode_transfer(part.transfer_encoding, body.get(range).unwrap_or_default());
        let cut = part.body.end == body.len() as u64;
        if cut {
            // Half an id would be another id.
            plain.truncate(memchr::memrchr(b'\n', &plain).map_or(0, |end| end + 1));
        }
        Self { plain, cut }
    }
}

/// The caller has bounded the body, so every section in it is.
const LIMITS: HeaderLimits = HeaderLimits { head_max: usize::MAX, fields_max: usize::MAX };

fn original(returned: &Content) -> Option<Original> {
    let block = HeaderBlock::parse_within(returned.plain.trim_ascii_start(), &LIMITS).ok()?;
    let internet_message_id = block
        .text("Message-ID")
        .map(|id| HeaderText::cleaned(strip_angles(&id)).capped(ID_MAX))
        .filter(|id| !id.as_str().is_empty());
    let original = Original {
        internet_message_id,
        transaction_id: block.text("X-Mms-Transaction-ID").and_then(|id| TransactionId::new(id).ok()),
        message_id: block.text("X-Mms-Message-ID").and_then(|id| MessageId::new(id).ok()),
    };
    Some(original).filter(|original| *original != Original::default())
}

/// What is known so far of a recipient.
#[derive(Debug, Default)]
struct Draft {
    action: Option<Action>,
    status: Option<(u8, u16, u16)>,
    final_recipient: Option<MailPath>,
    original_recipient: Option<MailPath>,
    diagnostic: Option<HeaderText>,
    /// Names of the fields that were there, readable or not.
    seen: Vec<&'static str>,
}

const FIELDS: [&str; 5] = ["Original-Recipient", "Final-Recipient", "Action", "Status", "Diagnostic-Code"];

/// The groups of fields behind the one about the mail as a whole. A blank line should part them, but some systems
/// leave it out and some add more. So blank lines count for nothing: a recipient begins where a field comes for the
/// second time, or where one is named and the fate of the one before is told.
fn recipients(status: &Content) -> Vec<BouncedRecipient> {
    let mut found: Vec<BouncedRecipient> = Vec::new();
    let mut draft = Draft::default();
    let mut rest = &status.plain[..];
    while !rest.is_empty() {
        let Ok(block) = HeaderBlock::parse_within(rest, &LIMITS) else { break };
        for field in block.fields() {
            let Some(name) = FIELDS.iter().copied().find(|name| field.is(name)) else { continue };
            if draft.seen.contains(&name) || (name.ends_with("-Recipient") && draft.is_complete()) {
                found.extend(std::mem::take(&mut draft).finish(true));
            }
            draft.take(name, &field.text());
        }
        // What is no field is passed over, line by line.
        let line = || memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        rest = &rest[if block.head_len() > 0 { block.head_len() } else { line() }..];
    }
    // The action of the last one may be beyond the cut.
    found.extend(draft.finish(!status.cut));
    found.truncate(RECIPIENTS_MAX);
    found
}

impl Draft {
    fn take(&mut self, name: &'static str, text: &str) {
        self.seen.push(name);
        match name {
            "Original-Recipient" => self.original_recipient = address(text),
            "Final-Recipient" => self.final_recipient = address(text),
            "Action" => self.action = action(text),
            "Status" => self.status = status_code(text),
            _ => {
                let text = HeaderText::cleaned(text).capped(DIAGNOSTIC_MAX);
                self.diagnostic = Some(text).filter(|text| !text.as_str().is_empty());
            }
        }
    }

    /// Whether a recipient is named and its fate told.
    fn is_complete(&self) -> bool {
        let told = self.seen.contains(&"Action") || self.seen.contains(&"Status");
        told && self.seen.iter().any(|name| name.ends_with("-Recipient"))
    }

    /// The recipient, if anything is said about it; `infer` lets the status stand in for the action.
    fn finish(self, infer: bool) -> Option<BouncedRecipient> {
        let Self { action, status, final_recipient, original_recipient, diagnostic, .. } = self;
        let implied = match status {
            Some((5, ..)) => Some(Action::Failed),
            Some((4, ..)) => Some(Action::Delayed),
            Some((2, ..)) => Some(Action::Delivered),
            _ => None,
        };
        let action = action.or(implied.filter(|_| infer))?;
        Some(BouncedRecipient { action, status, final_recipient, original_recipient, diagnostic })
    }
}

fn action(text: &str) -> Option<Action> {
    let word = text.split([' ', '\t', '(', ';']).next()?;
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    Some(match () {
        () if is(&["failed", "failure", "fail"]) => Action::Failed,
        () if is(&["delayed", "delay", "deferred"]) => Action::Delayed,
        () if is(&["delivered"]) => Action::Delivered,
        () if is(&["relayed"]) => Action::Relayed,
        () if is(&["expanded"]) => Action::Expanded,
        () => return None,
    })
}

/// `5.1.1`, perhaps with words behind it.
fn status_code(text: &str) -> Option<(u8, u16, u16)> {
    let code = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    let mut numbers = code.split('.');
    let mut next = || numbers.next().filter(|n| (1..=3).contains(&n.len()));
    let class = next()?.parse().ok()?;
    Some((class, next()?.parse().ok()?, next()?.parse().ok()?))
}

/// `rfc822; user@domain`, with or without the type, angle brackets, xtext.
fn address(text: &str) -> Option<MailPath> {
    let typed = text.split_once(';').filter(|(kind, _)| !kind.contains(['@', '"', '<']));
    let address = typed.map_or(text, |(_, address)| address).trim();
    let inside = address.split_once('<').and_then(|(_, inside)| inside.rsplit_once('>'));
    xtext(inside.map_or(address, |(inside, _)| inside)).parse().ok()
}

/// Undoes xtext (RFC 3461 4) that a system has left in: only where every `+` stands for one of the two printable
/// characters that xtext cannot hold. Any other `+` is that of a number.
fn xtext(text: &str) -> String {
    let pieces: Vec<&str> = text.split('+').collect();
    let code = |piece: &&str| piece.get(..2).and_then(|code| super::transfer::hex_pair(code.as_bytes()));
    if !pieces[1..].iter().all(|piece| matches!(code(piece), Some(b'+' | b'='))) {
        return text.to_owned();
    }
    let mut plain = pieces[0].to_owned();
    for piece in &pieces[1..] {
        plain.extend(code(piece).map(char::from));
        plain.push_str(&piece[2..]);
    }
    plain
}

#[cfg(test)]
mod tests;
