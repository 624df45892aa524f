//! From an abstract message to a mail, in exactly one form.
//!
//! Owns: the order of headers (the order of the table), their spelling, folding, the short body of responses and
//! reports. Never knows: envelopes, and the content of an MM.
//!
//! No value can start a new header line: texts are types without controls, and [`write_line`] is the only place that
//! ends a line that we made. (What a peer made and we pass on is `transit`.)

use super::address::{write_list, write_party};
use super::field::{FIELDS, Field, FieldId, Presence};
use crate::mime::{encode_text, http_date, mail_date};
use mms::{
    AbstractMessage, DeliveryReportReq, Expiry, ForwardReq, HeaderText, MailPath, MessageType, Party,
    ReadReplyReportReq, RequestStatus, Timestamp, Version,
};
use std::borrow::Cow;

/// How a peer wants to be written to; the default is what the specification says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Puts the ids that we choose in quotation marks. Ids that we echo are never touched.
    pub quote_ids: bool,
    /// Writes numbers in `From`, `To` and `Cc` without a domain.
    pub bare_addresses: bool,
    /// The version to announce instead of the message's own.
    pub version: Option<Version>,
}

/// The mail that carries `message`, in wire form.
///
/// For `MM4_forward.REQ` the header section with its empty line: the body, in wire form, follows as it is, and
/// `Content-Type` and `Content-Transfer-Encoding` come from the message. Trace fields go in front. For the others
/// the whole mail with a short body.
///
/// A field that the message does not have is left out, except `MIME-Version`, `X-Mms-3GPP-MMS-Version` and, for a
/// mail without content type of its own, `Content-Type`.
pub fn encode(message: &AbstractMessage, style: &Style) -> Vec<u8> {
    let message_type = message.message_type();
    let mut out = Vec::with_capacity(2048);
    for field in FIELDS.iter().filter(|field| field.presence(message_type) != Presence::Absent) {
        write_field(&mut out, message, field, style);
    }
    out.extend_from_slice(b"\r\n");
    if let Some(body) = body(message) {
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The one place that ends a header line of ours. Of CR and LF in `value` only our own folds survive.
pub(super) fn write_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    // Nearly every value is one line of printable text.
    if !value.bytes().fold(false, |found, b| found | is_control(b)) {
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
        return;
    }
    for (index, line) in value.split("\r\n ").enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend(line.bytes().map(|b| if is_control(b) { b' ' } else { b }));
    }
    out.extend_from_slice(b"\r\n");
}

const fn is_control(octet: u8) -> bool {
    octet < b' ' || octet == 0x7f
}

/// The body of what carries no MM: the verdict in one word.
fn body(message: &AbstractMessage) -> Option<&'static str> {
    match message {
        AbstractMessage::ForwardReq(_) => None,
        AbstractMessage::ForwardRes(m) => Some(m.request_status.as_str()),
        AbstractMessage::DeliveryReportRes(m) => Some(m.request_status.as_str()),
        AbstractMessage::ReadReplyReportRes(m) => Some(m.request_status.as_str()),
        AbstractMessage::DeliveryReportReq(m) => {
            Some(m.status.map_or("Indeterminate", mms::MmStatus::as_str))
        }
        AbstractMessage::ReadReplyReportReq(m) => Some(m.status.map_or("Report", mms::ReadStatus::as_str)),
    }
}

/// What stands in a field: what the message holds, where it is written as it is.
type Value<'a> = Cow<'a, str>;

/// The values of one field, folded where needed; empty ones are not written.
fn write_field(out: &mut Vec<u8>, message: &AbstractMessage, field: &Field, style: &Style) {
    let (id, header) = (field.id, field.header);
    let used = header.len() + 2;
    let mut write = |value: &str| {
        if !value.is_empty() {
            write_line(out, header, value);
        }
    };
    if let Some(value) = common(message, id, style) {
        return write(&value);
    }
    let value = match message {
        AbstractMessage::ForwardReq(m) => match id {
            FieldId::PreviouslySentBy | FieldId::PreviouslySentDateAndTime => {
                return previously_sent(m, id, style).for_each(|value| write(&value));
            }
            id if super::field::INTERCONNECT.contains(&id) => {
                let same =
                    m.interconnect.iter().filter(|(name, _)| name.as_str().eq_ignore_ascii_case(header));
                return same.for_each(|(_, value)| write(&raw(value, used)));
            }
            id => forward_req(m, id, used, style),
        },
        AbstractMessage::ForwardRes(m) if id == FieldId::RequestRecipients => {
            Some(write_list(m.request_recipients.iter(), true, used).into())
        }
        AbstractMessage::ForwardRes(m) => {
            Response::new(m.request_status, &m.status_text, &m.sender, &m.to).value(id, used)
        }
        AbstractMessage::DeliveryReportRes(m) => {
            Response::new(m.request_status, &m.status_text, &m.sender, &m.to).value(id, used)
        }
        AbstractMessage::ReadReplyReportRes(m) => {
            Response::new(m.request_status, &m.status_text, &m.sender, &m.to).value(id, used)
        }
        AbstractMessage::DeliveryReportReq(m) => delivery_report(m, id, used, style),
        AbstractMessage::ReadReplyReportReq(m) => read_reply_report(m, id, used, style),
    };
    write(&value.unwrap_or_default());
}

/// Fields that all six have alike.
fn common<'a>(message: &'a AbstractMessage, id: FieldId, style: &Style) -> Option<Value<'a>> {
    let (version, date, internet_message_id) = match message {
        AbstractMessage::ForwardReq(m) => (m.version, m.date, &m.internet_message_id),
        AbstractMessage::ForwardRes(m) => (m.version, m.date, &m.internet_message_id),
        AbstractMessage::DeliveryReportReq(m) => (m.version, m.date, &m.internet_message_id),
        AbstractMessage::DeliveryReportRes(m) => (m.version, m.date, &m.internet_message_id),
        AbstractMessage::ReadReplyReportReq(m) => (m.version, m.date, &m.internet_message_id),
        AbstractMessage::ReadReplyReportRes(m) => (m.version, m.date, &m.internet_message_id),
    };
    let message_type = message.message_type();
    Some(match id {
        FieldId::Version => style.version.or(version).unwrap_or(Version::OURS).to_string().into(),
        FieldId::MessageType => message_type.as_str().into(),
        FieldId::MimeVersion => "1.0".into(),
        FieldId::Date => date.map(mail_date).unwrap_or_default().into(),
        FieldId::InternetMessageId => {
            internet_message_id.as_ref().map(|id| format!("<{}>", id.capped(900)).into()).unwrap_or_default()
        }
        // Chosen by the sender of a request, echoed by a response.
        FieldId::TransactionId => {
            let id = message.transaction_id().map(mms::TransactionId::as_str);
            opaque(id, style.quote_ids && !message_type.is_response())
        }
        // Chosen by the originator, echoed by everybody else.
        FieldId::MessageId => {
            let id = message.message_id().map(mms::MessageId::as_str);
            opaque(id, style.quote_ids && message_type == MessageType::ForwardReq)
        }
        FieldId::ContentType if message_type != MessageType::ForwardReq => {
            "text/plain; charset=us-ascii".into()
        }
        _ => return None,
    })
}

pub(super) fn opaque(id: Option<&str>, quote: bool) -> Value<'_> {
    match id {
        Some(id) if quote && !id.contains('"') && !id.starts_with('<') => format!("\"{id}\"").into(),
        Some(id) => id.into(),
        None => Value::default(),
    }
}

pub(super) const fn yes_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

fn yes_or_no<'a>(value: Option<bool>) -> Option<Value<'a>> {
    value.map(|value| yes_no(value).into())
}

fn text(value: &Option<HeaderText>, used: usize) -> Option<Value<'_>> {
    value.as_ref().map(|text| encode_text(text.as_str(), used))
}

fn path<'a>(value: &Option<MailPath>) -> Option<Value<'a>> {
    value.as_ref().map(|path| path.to_string().into())
}

fn one<'a>(value: &Option<Party>, used: usize, style: &Style) -> Option<Value<'a>> {
    value.as_ref().map(|party| write_party(party, style.bare_addresses, used).into())
}

/// A value that is passed on as it came; only a line over the limit of mail (RFC 5322 2.1.1) is folded, at spaces.
fn raw(value: &HeaderText, used: usize) -> Value<'_> {
    if used + value.as_str().len() <= 900 {
        return value.as_str().into();
    }
    let mut column = used;
    let mut out = String::with_capacity(value.as_str().len());
    for word in value.as_str().split_inclusive(' ') {
        let ends_in_space = out.ends_with(' ');
        if column + word.len() > 900 && ends_in_space && word.trim() != "" {
            out.pop();
            out.push_str("\r\n ");
            column = 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.into()
}

fn expiry(expiry: Expiry, date: Option<Timestamp>) -> String {
    match (expiry, date) {
        (Expiry::At(at), _) => http_date(at),
        // The relative form loses its meaning in queues (mm4 2.7).
        (Expiry::After(span), Some(date)) => http_date(date.plus(span)),
        (Expiry::After(span), None) => span.as_secs().to_string(),
    }
}

fn forward_req<'a>(m: &'a ForwardReq, id: FieldId, used: usize, style: &Style) -> Option<Value<'a>> {
    use FieldId as F;
    match id {
        F::From => one(&m.from, used, style),
        F::Sender => path(&m.sender),
        F::To => Some(write_list(m.to.iter(), style.bare_addresses, used).into()),
        F::Cc => Some(write_list(m.cc.iter(), style.bare_addresses, used).into()),
        F::Subject => text(&m.subject, used),
        F::ContentType => Some(match &m.content_type {
            Some(content_type) => raw(content_type, used),
            None => "text/plain; charset=us-ascii".into(),
        }),
        F::ContentTransferEncoding => m.content_transfer_encoding.as_ref().map(|e| raw(e, used)),
        F::MessageClass => m.message_class.as_ref().map(|class| encode_text(class.as_str(), used)),
        F::Expiry => m.expiry.map(|e| expiry(e, m.date).into()),
        F::DeliveryReport => yes_or_no(m.delivery_report),
        F::OriginatorRsDeliveryReport => yes_or_no(m.originator_rs_delivery_report),
        F::Priority => m.priority.map(|p| p.as_str().into()),
        F::SenderVisibility => m.sender_visibility.map(|v| v.as_str().into()),
        F::ReadReply => yes_or_no(m.read_reply),
        F::AckRequest => yes_or_no(m.ack_request),
        F::OriginatorSystem => path(&m.originator_system),
        F::ForwardCounter => m.forward_counter.map(|count| count.to_string().into()),
        F::ApplicId => text(&m.applic_id, used),
        F::ReplyApplicId => text(&m.reply_applic_id, used),
        F::AuxApplicInfo => text(&m.aux_applic_info, used),
        F::ContentClass => m.content_class.map(|class| class.as_str().into()),
        F::DrmContent => yes_or_no(m.drm_content),
        F::AdaptationAllowed => yes_or_no(m.adaptation_allowed),
        _ => None,
    }
}

fn previously_sent(m: &ForwardReq, id: FieldId, style: &Style) -> impl Iterator<Item = String> {
    let line = move |entry: &mms::PreviouslySent| {
        let value = match id {
            FieldId::PreviouslySentBy => write_party(entry.by.as_ref()?, style.bare_addresses, 60),
            _ => http_date(entry.at?),
        };
        Some(format!("{}, {value}", entry.index))
    };
    m.previously_sent.iter().filter_map(line)
}

/// What every response says.
struct Response<'a> {
    status: RequestStatus,
    text: &'a Option<HeaderText>,
    sender: &'a Option<MailPath>,
    to: &'a Option<MailPath>,
}

impl<'a> Response<'a> {
    const fn new(
        status: RequestStatus,
        text: &'a Option<HeaderText>,
        sender: &'a Option<MailPath>,
        to: &'a Option<MailPath>,
    ) -> Self {
        Self { status, text, sender, to }
    }

    fn value(&self, id: FieldId, used: usize) -> Option<Value<'a>> {
        match id {
            // A response comes from a system: both are its address.
            FieldId::From | FieldId::Sender => path(self.sender),
            FieldId::To => path(self.to),
            FieldId::RequestStatusCode => Some(self.status.as_str().into()),
            FieldId::StatusText => text(self.text, used),
            _ => None,
        }
    }
}

fn delivery_report<'a>(
    m: &'a DeliveryReportReq,
    id: FieldId,
    used: usize,
    style: &Style,
) -> Option<Value<'a>> {
    use FieldId as F;
    match id {
        // The elements are named from the MM's point of view, the headers from the mail's (mm4 3.3).
        F::From => one(&m.recipient, used, style),
        F::To => one(&m.originator, used, style),
        F::Sender => path(&m.sender),
        F::AckRequest => yes_or_no(m.ack_request),
        F::ForwardToOriginatorUa => yes_or_no(m.forward_to_originator_ua),
        F::MmStatusCode => m.status.map(|status| status.as_str().into()),
        F::MmStatusExtension => m.status_extension.map(|extension| extension.as_str().into()),
        F::StatusText => text(&m.status_text, used),
        F::ApplicId => text(&m.applic_id, used),
        F::ReplyApplicId => text(&m.reply_applic_id, used),
        F::AuxApplicInfo => text(&m.aux_applic_info, used),
        _ => None,
    }
}

fn read_reply_report<'a>(
    m: &'a ReadReplyReportReq,
    id: FieldId,
    used: usize,
    style: &Style,
) -> Option<Value<'a>> {
    use FieldId as F;
    match id {
        F::From => one(&m.recipient, used, style),
        F::To => one(&m.originator, used, style),
        F::Sender => path(&m.sender),
        F::AckRequest => yes_or_no(m.ack_request),
        F::ReadStatus => m.status.map(|status| status.as_str().into()),
        F::StatusText => text(&m.status_text, used),
        F::ApplicId => text(&m.applic_id, used),
        F::ReplyApplicId => text(&m.reply_applic_id, used),
        F::AuxApplicInfo => text(&m.aux_applic_info, used),
        _ => None,
    }
}
