//! From a header section to an abstract message.
//!
//! Owns: which fields make up which message, what stands in for a missing one, what makes a message unprocessable.
//! Never knows: how a value is spelled (`value`, `read`), the envelope, the body.
//!
//! Nothing is refused here. A message that breaks a rule comes out with a violation and everything that could be
//! read, because the refusal has to travel in a response to the right place (TS 23.140 8.4.5).

use super::field::{FIELDS, FieldId, Presence};
use super::finding::{Tolerance, Violation, ViolationKind};
use super::read::Reader;
use super::value::{self, Read};
use crate::mime::HeaderBlock;
use mms::{
    AbstractMessage, DeliveryReportReq, DeliveryReportRes, Domain, ForwardReq, ForwardRes, HeaderText,
    MailPath, MessageId, MessageType, MmStatus, Party, ReadReplyReportReq, ReadReplyReportRes, RequestStatus,
    TransactionId, Version,
};

/// What a header section is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one lives on the stack per mail; a box would only add a step")]
pub enum Mail {
    /// One of the six.
    Message(AbstractMessage),
    /// It says that it is MM4, but not a message we know.
    Unknown(UnknownMessage),
    /// No `X-Mms-Message-Type`: ordinary mail.
    NotMm4,
}

/// What can be read of a message of an unknown type: enough to answer `Error-unsupported-message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMessage {
    /// The type as written, cut to 80 octets.
    pub message_type: HeaderText,
    /// Whether it may be answered: its name does not end like a response's.
    pub is_request: bool,
    /// See [`ForwardReq::version`].
    pub version: Option<Version>,
    /// See [`ForwardReq::transaction_id`].
    pub transaction_id: Option<TransactionId>,
    /// See [`ForwardReq::message_id`].
    pub message_id: Option<MessageId>,
    /// See [`ForwardReq::ack_request`].
    pub ack_request: bool,
    /// See [`ForwardReq::originator_system`].
    pub originator_system: Option<MailPath>,
    /// See [`ForwardReq::sender`].
    pub sender: Option<MailPath>,
}

/// What a header section says, and what was odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The message.
    pub mail: Mail,
    /// What was understood although it is not as specified.
    pub tolerances: Vec<Tolerance>,
    /// What breaks the specification.
    pub violations: Vec<Violation>,
    /// `X-Internal-Status-Code`, which one hub adds to responses and reports; for the log only.
    pub internal_status_code: Option<HeaderText>,
}

impl Decoded {
    /// The status to refuse the message with, or `None` if it can be processed. Whether there is anybody to tell is
    /// the message's `ack_request`.
    pub fn refusal(&self) -> Option<RequestStatus> {
        let fatal = |kind: Option<ViolationKind>| {
            self.violations.iter().any(|v| v.fatal && kind.is_none_or(|kind| v.kind == kind))
        };
        match &self.mail {
            Mail::Unknown(_) => Some(RequestStatus::ErrorUnsupportedMessage),
            _ if fatal(Some(ViolationKind::UnsupportedVersion)) => {
                Some(RequestStatus::ErrorUnsupportedMessage)
            }
            _ if fatal(None) => Some(RequestStatus::ErrorMessageFormatCorrupt),
            _ => None,
        }
    }
}

/// Reads a header section.
pub fn decode(block: &HeaderBlock<'_>) -> Decoded {
    let written = block.text("X-Mms-Message-Type").unwrap_or_default();
    let internal_status_code = block
        .text("X-Internal-Status-Code")
        .filter(|text| !text.is_empty())
        .map(|text| HeaderText::cleaned(&text).capped(80));
    if written.is_empty() {
        return Decoded { mail: Mail::NotMm4, tolerances: vec![], violations: vec![], internal_status_code };
    }
    let (message_type, known) = match value::message_type(&written) {
        Read::Exact(message_type) | Read::Lenient(message_type) => (message_type, true),
        Read::No => (MessageType::ForwardReq, false),
    };
    let mut reader = Reader::new(block, message_type);
    let mail = if known {
        reader.word(FieldId::MessageType, value::message_type);
        Mail::Message(message(&mut reader, message_type))
    } else {
        Mail::Unknown(unknown(&mut reader, &written))
    };
    let Reader { tolerances, violations, .. } = reader;
    Decoded { mail, tolerances, violations, internal_status_code }
}

fn message(reader: &mut Reader<'_>, message_type: MessageType) -> AbstractMessage {
    let message = match message_type {
        MessageType::ForwardReq => AbstractMessage::ForwardReq(forward_req(reader)),
        MessageType::ForwardRes => AbstractMessage::ForwardRes(forward_res(reader)),
        MessageType::DeliveryReportReq => AbstractMessage::DeliveryReportReq(delivery_report_req(reader)),
        MessageType::DeliveryReportRes => {
            let Response {
                version,
                transaction_id,
                message_id,
                request_status,
                status_text,
                sender,
                to,
                date,
                id,
            } = response(reader);
            AbstractMessage::DeliveryReportRes(DeliveryReportRes {
                version,
                transaction_id,
                message_id,
                request_status,
                status_text,
                sender,
                to,
                date,
                internet_message_id: id,
            })
        }
        MessageType::ReadReplyReportReq => AbstractMessage::ReadReplyReportReq(read_reply_report_req(reader)),
        MessageType::ReadReplyReportRes => {
            let Response {
                version,
                transaction_id,
                message_id,
                request_status,
                status_text,
                sender,
                to,
                date,
                id,
            } = response(reader);
            AbstractMessage::ReadReplyReportRes(ReadReplyReportRes {
                version,
                transaction_id,
                message_id,
                request_status,
                status_text,
                sender,
                to,
                date,
                internet_message_id: id,
            })
        }
    };
    judge(reader, message_type, &message);
    message
}

/// Holds the message against the table: what is mandatory and missing, and whether it can be processed without.
fn judge(reader: &mut Reader<'_>, message_type: MessageType, message: &AbstractMessage) {
    let ack = match message {
        AbstractMessage::ForwardReq(m) => m.ack_request,
        AbstractMessage::DeliveryReportReq(m) => m.ack_request,
        AbstractMessage::ReadReplyReportReq(m) => m.ack_request,
        _ => None,
    };
    let is_response = message_type.is_response();
    for field in &FIELDS {
        match field.presence(message_type) {
            Presence::Mandatory if !holds(message, field.id) => {
                let fatal = match field.id {
                    // Only an answer needs it; a response without it answers nothing (mm4 3.1).
                    FieldId::TransactionId => ack == Some(true) || is_response,
                    // A response is correlated by its transaction id alone (field practice 4.5).
                    FieldId::MessageId => !is_response,
                    FieldId::MmStatusCode | FieldId::ReadStatus | FieldId::RequestStatusCode => true,
                    // The envelope, the time of receipt and text/plain stand in for the rest.
                    _ => false,
                };
                reader.missing(field.id, fatal);
            }
            // A response needs none of them (field practice 4.1), a request is answered without.
            Presence::Mail if !reader.has(field.id) && field.id != FieldId::InternetMessageId => {
                let needed = field.id != FieldId::OriginatorSystem || ack == Some(true);
                if needed {
                    reader.tolerate(field.id, None, "done without");
                }
            }
            _ => {}
        }
    }
    // Other majors are read in hope; what then cannot be read is not the sender's fault (TS 23.140 8.4.6).
    let version = version_of(message);
    let later = version.is_some_and(|version| version.major > Version::OURS.major);
    if later && reader.violations.iter().any(|violation| violation.fatal) {
        let written = version.map(|version| version.to_string());
        reader.violate(FieldId::Version, written.as_deref(), ViolationKind::UnsupportedVersion, true);
    }
}

/// Whether a mandatory field has arrived in the message. Version and type are noted where they are read.
fn holds(message: &AbstractMessage, id: FieldId) -> bool {
    match (id, message) {
        (FieldId::Version | FieldId::MessageType, _) => true,
        (FieldId::TransactionId, m) => m.transaction_id().is_some(),
        (FieldId::MessageId, m) => m.message_id().is_some(),
        (FieldId::Date, AbstractMessage::ForwardReq(m)) => m.date.is_some(),
        (FieldId::From, AbstractMessage::ForwardReq(m)) => m.from.is_some(),
        (FieldId::To, AbstractMessage::ForwardReq(m)) => !m.to.is_empty() || !m.cc.is_empty(),
        (FieldId::ContentType, AbstractMessage::ForwardReq(m)) => m.content_type.is_some(),
        (FieldId::Date, AbstractMessage::DeliveryReportReq(m)) => m.date.is_some(),
        (FieldId::From, AbstractMessage::DeliveryReportReq(m)) => m.recipient.is_some(),
        (FieldId::To, AbstractMessage::DeliveryReportReq(m)) => m.originator.is_some(),
        (FieldId::MmStatusCode, AbstractMessage::DeliveryReportReq(m)) => m.status.is_some(),
        (FieldId::Date, AbstractMessage::ReadReplyReportReq(m)) => m.date.is_some(),
        (FieldId::From, AbstractMessage::ReadReplyReportReq(m)) => m.recipient.is_some(),
        (FieldId::To, AbstractMessage::ReadReplyReportReq(m)) => m.originator.is_some(),
        (FieldId::ReadStatus, AbstractMessage::ReadReplyReportReq(m)) => m.status.is_some(),
        // `response` reports a missing status itself.
        _ => true,
    }
}

const fn version_of(message: &AbstractMessage) -> Option<Version> {
    match message {
        AbstractMessage::ForwardReq(m) => m.version,
        AbstractMessage::ForwardRes(m) => m.version,
        AbstractMessage::DeliveryReportReq(m) => m.version,
        AbstractMessage::DeliveryReportRes(m) => m.version,
        AbstractMessage::ReadReplyReportReq(m) => m.version,
        AbstractMessage::ReadReplyReportRes(m) => m.version,
    }
}

fn forward_req(reader: &mut Reader<'_>) -> ForwardReq {
    use FieldId as F;
    let version = reader.version();
    let transaction_id = reader.transaction_id();
    let internet_message_id = reader.internet_message_id();
    let message_id = reader.message_id().or_else(|| stand_in(reader, internet_message_id.as_ref()));
    let sender = reader.mailbox(F::Sender);
    let from = reader.party(F::From).or_else(|| {
        let party: Party = sender.as_ref()?.party()?;
        reader.tolerate(F::From, None, format!("{party}, from Sender"));
        Some(party)
    });
    reader.drop_bcc();
    let date = reader.date();
    ForwardReq {
        version,
        transaction_id,
        message_id,
        to: reader.parties(F::To),
        cc: reader.parties(F::Cc),
        from,
        content_type: reader.verbatim(F::ContentType),
        content_transfer_encoding: reader.verbatim(F::ContentTransferEncoding),
        message_class: reader.text(F::MessageClass).map(|text| value::message_class(text.as_str())),
        date,
        expiry: reader.expiry(date),
        delivery_report: reader.yes_no(F::DeliveryReport),
        originator_rs_delivery_report: reader.yes_no(F::OriginatorRsDeliveryReport),
        priority: reader.word(F::Priority, |t| value::word(t, mms::Priority::ALL, mms::Priority::as_str)),
        sender_visibility: reader
            .word(F::SenderVisibility, |t| value::word(t, mms::Visibility::ALL, mms::Visibility::as_str)),
        read_reply: reader.yes_no(F::ReadReply),
        subject: reader.text(F::Subject),
        ack_request: reader.yes_no(F::AckRequest),
        forward_counter: reader.forward_counter(),
        previously_sent: reader.previously_sent(),
        applic_id: reader.text(F::ApplicId),
        reply_applic_id: reader.text(F::ReplyApplicId),
        aux_applic_info: reader.text(F::AuxApplicInfo),
        content_class: reader
            .word(F::ContentClass, |t| value::word(t, mms::ContentClass::ALL, mms::ContentClass::as_str)),
        drm_content: reader.yes_no(F::DrmContent),
        adaptation_allowed: reader.yes_no(F::AdaptationAllowed),
        originator_system: reader.mailbox(F::OriginatorSystem),
        sender,
        internet_message_id,
        interconnect: reader.interconnect(),
    }
}

/// The STD 11 `Message-ID` in place of a missing `X-Mms-Message-ID` (mm4 2.3).
fn stand_in(reader: &mut Reader<'_>, internet_message_id: Option<&HeaderText>) -> Option<MessageId> {
    if reader.has_text(FieldId::MessageId) {
        return None;
    }
    let id = MessageId::new(internet_message_id?.as_str()).ok()?;
    reader.tolerate(FieldId::MessageId, None, format!("{id}, from Message-ID"));
    Some(id)
}

/// What every response says.
struct Response {
    version: Option<Version>,
    transaction_id: Option<TransactionId>,
    message_id: Option<MessageId>,
    request_status: RequestStatus,
    status_text: Option<HeaderText>,
    sender: Option<MailPath>,
    to: Option<MailPath>,
    date: Option<mms::Timestamp>,
    id: Option<HeaderText>,
}

fn response(reader: &mut Reader<'_>) -> Response {
    use FieldId as F;
    let request_status = reader.word(F::RequestStatusCode, value::request_status).unwrap_or_else(|| {
        reader.missing(F::RequestStatusCode, true);
        RequestStatus::ErrorUnspecified
    });
    Response {
        version: reader.version(),
        transaction_id: reader.transaction_id(),
        message_id: reader.message_id(),
        request_status,
        status_text: reader.text(F::StatusText),
        sender: reader.mailbox(F::Sender).or_else(|| reader.mailbox(F::From)),
        to: reader.mailbox(F::To),
        date: reader.date(),
        id: reader.internet_message_id(),
    }
}

fn forward_res(reader: &mut Reader<'_>) -> ForwardRes {
    let response = response(reader);
    ForwardRes {
        version: response.version,
        transaction_id: response.transaction_id,
        message_id: response.message_id,
        request_status: response.request_status,
        status_text: response.status_text,
        request_recipients: reader.request_recipients(),
        sender: response.sender,
        to: response.to,
        date: response.date,
        internet_message_id: response.id,
    }
}

fn delivery_report_req(reader: &mut Reader<'_>) -> DeliveryReportReq {
    use FieldId as F;
    let status = match reader.word(F::MmStatusCode, value::mm_status) {
        Some(status) => Some(status),
        None if reader.has_text(F::MmStatusCode) => None,
        None => reader.mm1_status(),
    };
    let extension = reader.word(F::MmStatusExtension, value::status_extension);
    // It only means something with Rejected (mm4 2.5).
    let status_extension = extension.filter(|_| status == Some(MmStatus::Rejected));
    if let (Some(extension), None) = (extension, status_extension) {
        reader.tolerate(F::MmStatusExtension, Some(extension.as_str()), "absent without Rejected");
    }
    DeliveryReportReq {
        version: reader.version(),
        transaction_id: reader.transaction_id(),
        message_id: reader.message_id(),
        recipient: reader.party(F::From),
        originator: reader.party(F::To),
        date: reader.date(),
        ack_request: reader.yes_no(F::AckRequest),
        forward_to_originator_ua: reader.yes_no(F::ForwardToOriginatorUa),
        status,
        status_extension,
        status_text: reader.text(F::StatusText),
        applic_id: reader.text(F::ApplicId),
        reply_applic_id: reader.text(F::ReplyApplicId),
        aux_applic_info: reader.text(F::AuxApplicInfo),
        sender: reader.mailbox(F::Sender),
        internet_message_id: reader.internet_message_id(),
    }
}

fn read_reply_report_req(reader: &mut Reader<'_>) -> ReadReplyReportReq {
    use FieldId as F;
    ReadReplyReportReq {
        version: reader.version(),
        transaction_id: reader.transaction_id(),
        message_id: reader.message_id(),
        recipient: reader.party(F::From),
        originator: reader.party(F::To),
        date: reader.date(),
        ack_request: reader.yes_no(F::AckRequest),
        status: reader.word(F::ReadStatus, value::read_status),
        status_text: reader.text(F::StatusText),
        applic_id: reader.text(F::ApplicId),
        reply_applic_id: reader.text(F::ReplyApplicId),
        aux_applic_info: reader.text(F::AuxApplicInfo),
        sender: reader.mailbox(F::Sender),
        internet_message_id: reader.internet_message_id(),
    }
}

fn unknown(reader: &mut Reader<'_>, written: &str) -> UnknownMessage {
    let name = written.to_ascii_uppercase();
    UnknownMessage {
        message_type: HeaderText::cleaned(written).capped(80),
        is_request: !name.ends_with("RES") && !name.ends_with("CONF"),
        version: reader.version(),
        transaction_id: reader.transaction_id(),
        message_id: reader.message_id(),
        ack_request: reader.yes_no(FieldId::AckRequest) == Some(true),
        originator_system: reader.mailbox(FieldId::OriginatorSystem),
        sender: reader.mailbox(FieldId::Sender),
    }
}

/// How many relays the mail says it passed (RFC 5321 6.3).
pub fn received_count(block: &HeaderBlock<'_>) -> usize {
    block.all("Received").count()
}

/// The ids under which the relay `domain` says that it took the mail before (RFC 5321 4.4): the words behind `id` in the
/// `Received` fields that are `by` it. What a field says `from` or `for` somebody is no sign: mail systems write our users
/// there.
pub fn received_ids(block: &HeaderBlock<'_>, domain: &Domain) -> Vec<String> {
    let id = |text: &str| {
        let mut words = text.split(|c: char| c.is_ascii_whitespace() || c == ';').filter(|w| !w.is_empty());
        words.find(|w| w.eq_ignore_ascii_case("by"))?;
        let by = words.next()?.trim_end_matches('.');
        by.eq_ignore_ascii_case(domain.as_str()).then_some(())?;
        words.find(|w| w.eq_ignore_ascii_case("id"))?;
        words.next().map(|id| id.chars().take(80).collect())
    };
    block.all("Received").filter_map(|field| id(&field.text())).collect()
}
