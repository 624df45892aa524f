//! The six abstract messages of MM4 (TS 23.140 8.4.1 to 8.4.3), as words without a wire.
//!
//! A field is an `Option` where the specification makes it conditional or optional, and also where a tolerant
//! receiver can act without it. What is mandatory but missing is reported by the codec as a violation, so that the
//! refusal can travel in a response (8.4.5) and not be lost with the message.

use crate::{
    ContentClass, HeaderText, MailPath, MessageClass, MessageId, MmStatus, MmStatusExtension, Party,
    Priority, ReadStatus, RequestStatus, Timestamp, TransactionId, Visibility,
};
use std::fmt;
use std::time::Duration;

/// `X-Mms-3GPP-MMS-Version`: the version of TS 23.140 that the sending Relay/Server implements (8.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes with incompatible releases; 4, 5 and 6 are known.
    pub major: u16,
    /// Interworks within one major.
    pub minor: u16,
    /// Editorial; often left out.
    pub editorial: u16,
}

impl Version {
    /// 6.16.0, what this Relay/Server implements and announces.
    pub const OURS: Self = Self { major: 6, minor: 16, editorial: 0 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.editorial)
    }
}

/// `X-Mms-Message-Type` of the six abstract messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each name is the abstract message's own name")]
pub enum MessageType {
    ForwardReq,
    ForwardRes,
    DeliveryReportReq,
    DeliveryReportRes,
    ReadReplyReportReq,
    ReadReplyReportRes,
}

impl MessageType {
    /// All six, requests before their responses.
    pub const ALL: &'static [Self] = &[
        Self::ForwardReq,
        Self::ForwardRes,
        Self::DeliveryReportReq,
        Self::DeliveryReportRes,
        Self::ReadReplyReportReq,
        Self::ReadReplyReportRes,
    ];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForwardReq => "MM4_forward.REQ",
            Self::ForwardRes => "MM4_forward.RES",
            Self::DeliveryReportReq => "MM4_delivery_report.REQ",
            Self::DeliveryReportRes => "MM4_delivery_report.RES",
            Self::ReadReplyReportReq => "MM4_read_reply_report.REQ",
            Self::ReadReplyReportRes => "MM4_read_reply_report.RES",
        }
    }

    /// Whether this is one of the three responses; a response is never answered.
    pub const fn is_response(self) -> bool {
        matches!(self, Self::ForwardRes | Self::DeliveryReportRes | Self::ReadReplyReportRes)
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `X-Mms-Expiry`: when the MM's validity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// At this instant; the only form that we send.
    At(Timestamp),
    /// This long after `Date` (or after receipt, where there is no usable `Date`).
    After(Duration),
}

/// One earlier handler of a forwarded MM: `X-Mms-Previously-sent-by` and `…-date-and-time` of one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviouslySent {
    /// The order: the lowest is the original submitter (RFC 4356 2.1.3.2).
    pub index: u32,
    /// Who sent it then.
    pub by: Option<Party>,
    /// When.
    pub at: Option<Timestamp>,
}

/// `MM4_forward.REQ` (TS 23.140 8.4.1): carries an MM to the recipient Relay/Server. The content itself is the body
/// of the mail and is not held here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardReq {
    /// Version of the sender's implementation; `None` when the header was absent or unreadable.
    pub version: Option<Version>,
    /// Joins request and response. Mandatory.
    pub transaction_id: Option<TransactionId>,
    /// Names the MM. Mandatory; on receipt the STD 11 `Message-ID` stands in for a missing one.
    pub message_id: Option<MessageId>,
    /// Disclosed recipients in `To`, those of other MMSEs included. The envelope, not this, decides delivery.
    pub to: Vec<Party>,
    /// Disclosed recipients in `Cc`.
    pub cc: Vec<Party>,
    /// The user who submitted or last forwarded the MM, also with `Hide`. Mandatory.
    pub from: Option<Party>,
    /// Content type of the body, as its header says, unfolded. Mandatory.
    pub content_type: Option<HeaderText>,
    /// `Content-Transfer-Encoding` of the body when it is one part.
    pub content_transfer_encoding: Option<HeaderText>,
    /// Personal when absent.
    pub message_class: Option<MessageClass>,
    /// When a user agent last handled the MM, not when it was sent. Mandatory.
    pub date: Option<Timestamp>,
    /// End of validity.
    pub expiry: Option<Expiry>,
    /// Whether the originating user wants delivery reports; No when absent.
    pub delivery_report: Option<bool>,
    /// Whether the originator Relay/Server wants them for itself; No when absent.
    pub originator_rs_delivery_report: Option<bool>,
    /// Normal when absent.
    pub priority: Option<Priority>,
    /// Show when absent.
    pub sender_visibility: Option<Visibility>,
    /// Whether the originating user wants read-reply reports; No when absent.
    pub read_reply: Option<bool>,
    /// Decoded subject.
    pub subject: Option<HeaderText>,
    /// Whether an `MM4_forward.RES` is asked for; No when absent.
    pub ack_request: Option<bool>,
    /// How many times users forwarded the MM; 0 when absent.
    pub forward_counter: Option<u32>,
    /// Earlier handlers, sorted by index.
    pub previously_sent: Vec<PreviouslySent>,
    /// Destination application.
    pub applic_id: Option<HeaderText>,
    /// Where replies and reports of the application go.
    pub reply_applic_id: Option<HeaderText>,
    /// Opaque data of the application.
    pub aux_applic_info: Option<HeaderText>,
    /// Informative class of the content.
    pub content_class: Option<ContentClass>,
    /// Whether any element is DRM-protected; No when absent.
    pub drm_content: Option<bool>,
    /// Whether the content may be adapted; Yes when absent.
    pub adaptation_allowed: Option<bool>,
    /// Mailbox that wants the response: `X-Mms-Originator-System`. Its host is never connected to.
    pub originator_system: Option<MailPath>,
    /// `Sender` of the mail.
    pub sender: Option<MailPath>,
    /// STD 11 `Message-ID` without angle brackets: names this one mail only.
    pub internet_message_id: Option<HeaderText>,
    /// Fields of interconnect providers, name and value, passed through and not understood
    /// (`X-Mms-MMSIP-Address`, `X-Mms-Forward-Route`, `X-Mms-Return-Route`, `X-Mms-Originator-Recipient-Address`).
    pub interconnect: Vec<(HeaderText, HeaderText)>,
}

/// What every response says (TS 23.140 8.4.1 to 8.4.3).
macro_rules! response {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Version of the responder's implementation.
            pub version: Option<Version>,
            /// The request's transaction id, octet for octet. Absent only when the request had none.
            pub transaction_id: Option<TransactionId>,
            /// The request's message id (some peers put their own here; correlation does not use it).
            pub message_id: Option<MessageId>,
            /// The verdict.
            pub request_status: RequestStatus,
            /// The verdict in words.
            pub status_text: Option<HeaderText>,
            $($(#[$fdoc])* pub $field: $ty,)*
            /// The responder's system address.
            pub sender: Option<MailPath>,
            /// Where the response goes: the system address that the request named.
            pub to: Option<MailPath>,
            /// When the response mail was written.
            pub date: Option<Timestamp>,
            /// STD 11 `Message-ID` without angle brackets.
            pub internet_message_id: Option<HeaderText>,
        }
    };
}

response! {
    /// `MM4_forward.RES`: the verdict on an MM, for all recipients of the request or for those it names.
    ForwardRes {
        /// The recipients that the status is about (`X-Mms-Request-Recipients`); empty = all of the request.
        request_recipients: Vec<Party>,
    }
}
response! {
    /// `MM4_delivery_report.RES`: the verdict on a delivery report.
    DeliveryReportRes {}
}
response! {
    /// `MM4_read_reply_report.RES`: the verdict on a read-reply report.
    ReadReplyReportRes {}
}

/// `MM4_delivery_report.REQ` (TS 23.140 8.4.2): the fate of one MM for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReportReq {
    /// Version of the sender's implementation.
    pub version: Option<Version>,
    /// Chosen by the recipient Relay/Server. Mandatory.
    pub transaction_id: Option<TransactionId>,
    /// Id of the MM as it came in `MM4_forward.REQ`. Mandatory.
    pub message_id: Option<MessageId>,
    /// The MM's recipient, on the wire in `From`. Mandatory.
    pub recipient: Option<Party>,
    /// The MM's originator, on the wire in `To`. Mandatory.
    pub originator: Option<Party>,
    /// When the MM was handled. Mandatory.
    pub date: Option<Timestamp>,
    /// Whether a response is asked for; No when absent.
    pub ack_request: Option<bool>,
    /// Whether the report may be shown to the originating user.
    pub forward_to_originator_ua: Option<bool>,
    /// The fate. Mandatory.
    pub status: Option<MmStatus>,
    /// Who rejected.
    pub status_extension: Option<MmStatusExtension>,
    /// The fate in words.
    pub status_text: Option<HeaderText>,
    /// See [`ForwardReq::applic_id`].
    pub applic_id: Option<HeaderText>,
    /// See [`ForwardReq::reply_applic_id`].
    pub reply_applic_id: Option<HeaderText>,
    /// See [`ForwardReq::aux_applic_info`].
    pub aux_applic_info: Option<HeaderText>,
    /// System address that wants the response.
    pub sender: Option<MailPath>,
    /// STD 11 `Message-ID` without angle brackets.
    pub internet_message_id: Option<HeaderText>,
}

/// `MM4_read_reply_report.REQ` (TS 23.140 8.4.3): the MM was read, or deleted unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReplyReportReq {
    /// Version of the sender's implementation.
    pub version: Option<Version>,
    /// Chosen by the recipient Relay/Server. Mandatory.
    pub transaction_id: Option<TransactionId>,
    /// Id of the MM as it came in `MM4_forward.REQ`. Mandatory.
    pub message_id: Option<MessageId>,
    /// The reader, on the wire in `From`. Mandatory.
    pub recipient: Option<Party>,
    /// The MM's originator, on the wire in `To`. Mandatory.
    pub originator: Option<Party>,
    /// When it was read or deleted. Mandatory.
    pub date: Option<Timestamp>,
    /// Whether a response is asked for; No when absent.
    pub ack_request: Option<bool>,
    /// Read or deleted. Mandatory.
    pub status: Option<ReadStatus>,
    /// The status in words.
    pub status_text: Option<HeaderText>,
    /// See [`ForwardReq::applic_id`].
    pub applic_id: Option<HeaderText>,
    /// See [`ForwardReq::reply_applic_id`].
    pub reply_applic_id: Option<HeaderText>,
    /// See [`ForwardReq::aux_applic_info`].
    pub aux_applic_info: Option<HeaderText>,
    /// System address that wants the response.
    pub sender: Option<MailPath>,
    /// STD 11 `Message-ID` without angle brackets.
    pub internet_message_id: Option<HeaderText>,
}

/// Any of the six.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name is the abstract message's own name")]
#[allow(clippy::large_enum_variant, reason = "one lives on the stack per mail; a box would only add a step")]
pub enum AbstractMessage {
    ForwardReq(ForwardReq),
    ForwardRes(ForwardRes),
    DeliveryReportReq(DeliveryReportReq),
    DeliveryReportRes(DeliveryReportRes),
    ReadReplyReportReq(ReadReplyReportReq),
    ReadReplyReportRes(ReadReplyReportRes),
}

impl AbstractMessage {
    /// Which of the six it is.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::ForwardReq(_) => MessageType::ForwardReq,
            Self::ForwardRes(_) => MessageType::ForwardRes,
            Self::DeliveryReportReq(_) => MessageType::DeliveryReportReq,
            Self::DeliveryReportRes(_) => MessageType::DeliveryReportRes,
            Self::ReadReplyReportReq(_) => MessageType::ReadReplyReportReq,
            Self::ReadReplyReportRes(_) => MessageType::ReadReplyReportRes,
        }
    }

    /// The transaction id, if the message carries one.
    pub fn transaction_id(&self) -> Option<&TransactionId> {
        match self {
            Self::ForwardReq(m) => m.transaction_id.as_ref(),
            Self::ForwardRes(m) => m.transaction_id.as_ref(),
            Self::DeliveryReportReq(m) => m.transaction_id.as_ref(),
            Self::DeliveryReportRes(m) => m.transaction_id.as_ref(),
            Self::ReadReplyReportReq(m) => m.transaction_id.as_ref(),
            Self::ReadReplyReportRes(m) => m.transaction_id.as_ref(),
        }
    }

    /// The message id, if the message carries one.
    pub fn message_id(&self) -> Option<&MessageId> {
        match self {
            Self::ForwardReq(m) => m.message_id.as_ref(),
            Self::ForwardRes(m) => m.message_id.as_ref(),
            Self::DeliveryReportReq(m) => m.message_id.as_ref(),
            Self::DeliveryReportRes(m) => m.message_id.as_ref(),
            Self::ReadReplyReportReq(m) => m.message_id.as_ref(),
            Self::ReadReplyReportRes(m) => m.message_id.as_ref(),
        }
    }
}
