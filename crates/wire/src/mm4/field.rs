//! The table of fields: every information element of MM4, its header, and where it belongs.
//!
//! Owns: names, presence, defaults and expected values, in the order in which we write them. Both directions of the
//! codec read this table; there is no second list of headers.
//! Never knows: how a value is read or written.

use mms::MessageType;

/// Names a row of [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each name is the field's own name")]
pub enum FieldId {
    Date,
    From,
    Sender,
    To,
    Cc,
    InternetMessageId,
    Subject,
    MimeVersion,
    ContentType,
    ContentTransferEncoding,
    Version,
    MessageType,
    TransactionId,
    MessageId,
    MessageClass,
    Expiry,
    DeliveryReport,
    OriginatorRsDeliveryReport,
    Priority,
    SenderVisibility,
    ReadReply,
    AckRequest,
    ForwardToOriginatorUa,
    MmStatusCode,
    MmStatusExtension,
    ReadStatus,
    RequestStatusCode,
    StatusText,
    RequestRecipients,
    OriginatorSystem,
    ForwardCounter,
    PreviouslySentBy,
    PreviouslySentDateAndTime,
    ApplicId,
    ReplyApplicId,
    AuxApplicInfo,
    ContentClass,
    DrmContent,
    AdaptationAllowed,
    MmsipAddress,
    ForwardRoute,
    ReturnRoute,
    OriginatorRecipientAddress,
}

/// Whether a message has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Mandatory in the abstract message.
    Mandatory,
    /// Present under a condition, such as being given at submission.
    Conditional,
    /// The sender's choice.
    Optional,
    /// Required by the mapping to mail, not by the abstract message.
    Mail,
    /// Does not belong.
    Absent,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Which.
    pub id: FieldId,
    /// Information element.
    pub element: &'static str,
    /// Header name in the spelling that we write.
    pub header: &'static str,
    /// One letter per abstract message, in the order of [`MessageType::ALL`]: M, C, O, R (mail), or `-`.
    presence: &'static [u8; 6],
    /// Whether it may stand more than once.
    pub repeatable: bool,
    /// What a value looks like.
    pub expected: &'static str,
    /// What its absence means.
    pub default: Option<&'static str>,
    /// What else is understood, in words.
    pub tolerated: Option<&'static str>,
}

impl Field {
    /// Whether a message of this type has the field.
    pub fn presence(&self, message_type: MessageType) -> Presence {
        let column = MessageType::ALL.iter().position(|t| *t == message_type).unwrap_or_default();
        match self.presence[column] {
            b'M' => Presence::Mandatory,
            b'C' => Presence::Conditional,
            b'O' => Presence::Optional,
            b'R' => Presence::Mail,
            _ => Presence::Absent,
        }
    }

    /// The row of `id`.
    pub fn of(id: FieldId) -> &'static Self {
        // The rows stand in the order of the names; a test holds them to it.
        &FIELDS[id as usize]
    }
}

/// Rows by the length of their names: 43 comparisons would be too many for each field of each mail.
static BY_LENGTH: [[Option<FieldId>; SAME_LENGTH]; NAME_MAX + 1] = {
    let mut table = [[None; SAME_LENGTH]; NAME_MAX + 1];
    let mut row = 0;
    while row < FIELDS.len() {
        let length = FIELDS[row].header.len();
        let mut place = 0;
        while table[length][place].is_some() {
            place += 1;
        }
        table[length][place] = Some(FIELDS[row].id);
        row += 1;
    }
    table
};

/// The longest name of a field; a longer one does not compile.
const NAME_MAX: usize = 40;
/// How many names have one length at most; more do not compile.
const SAME_LENGTH: usize = 5;

/// The row of the field with this name, in any case.
pub(super) fn named(name: &str) -> Option<FieldId> {
    let same_length = BY_LENGTH.get(name.len())?;
    same_length.iter().map_while(|id| *id).find(|id| Field::of(*id).header.eq_ignore_ascii_case(name))
}

/// Where the headers of a message are laid down.
pub(super) const fn clause(message_type: MessageType) -> &'static str {
    match message_type {
        MessageType::ForwardReq => "TS 23.140 8.4.4.2",
        MessageType::ForwardRes => "TS 23.140 8.4.4.3",
        MessageType::DeliveryReportReq => "TS 23.140 8.4.4.4",
        MessageType::DeliveryReportRes => "TS 23.140 8.4.4.5",
        MessageType::ReadReplyReportReq => "TS 23.140 8.4.4.6",
        MessageType::ReadReplyReportRes => "TS 23.140 8.4.4.7",
    }
}

const fn row(id: FieldId, element: &'static str, header: &'static str, presence: &'static [u8; 6]) -> Field {
    Field {
        id,
        element,
        header,
        presence,
        repeatable: false,
        expected: "text",
        default: None,
        tolerated: None,
    }
}

impl Field {
    const fn expects(mut self, expected: &'static str) -> Self {
        self.expected = expected;
        self
    }

    const fn defaults(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn tolerates(mut self, tolerated: &'static str) -> Self {
        self.tolerated = Some(tolerated);
        self
    }

    const fn repeats(mut self) -> Self {
        self.repeatable = true;
        self
    }

    const fn yes_no(self) -> Self {
        self.expects("Yes or No").tolerates("true, false, 1, 0; anything else is No")
    }
}

const ADDRESS: &str = "an address such as +12025550100/TYPE=PLMN@mms.a.example";
const ADDRESSES: &str = "addresses such as +12025550100/TYPE=PLMN@mms.a.example, separated by commas";
const ADDRESS_FORMS: &str = "display names, bare addresses, numbers without /TYPE=PLMN, an empty folded line";
const MAILBOX: &str = "a mailbox such as system-user@mms.a.example";
const OPAQUE: &str = "1 to 256 printable ASCII characters";
const QUOTED: &str = "quotation marks or angle brackets around it; it is echoed as it came";

/// Every field of MM4, in the order in which we write them (TS 23.140 8.4.4; presence in the order forward.REQ,
/// forward.RES, delivery_report.REQ, delivery_report.RES, read_reply_report.REQ, read_reply_report.RES).
pub static FIELDS: [Field; 43] = {
    use FieldId::*;
    [
        row(Date, "Date and time", "Date", b"MRMRMR")
            .expects("an RFC 5322 date")
            .tolerates("RFC 850, asctime and RFC 3339 dates"),
        row(From, "Sender address; of reports the recipient's", "From", b"MRMRMR")
            .expects(ADDRESS)
            .tolerates(ADDRESS_FORMS),
        row(Sender, "STD 11 Sender", "Sender", b"RRRRRR").expects(MAILBOX).tolerates("a missing domain; From"),
        row(To, "Recipient address; of reports the originator's", "To", b"MRMRMR")
            .expects(ADDRESSES)
            .tolerates(ADDRESS_FORMS),
        row(Cc, "Recipient address", "Cc", b"C-----").expects(ADDRESSES).tolerates(ADDRESS_FORMS),
        row(InternetMessageId, "STD 11 Message-ID", "Message-ID", b"RRRRRR").expects("<unique@domain>"),
        row(Subject, "Subject", "Subject", b"C-----")
            .expects("text, outside ASCII as RFC 2047 has it")
            .tolerates("raw UTF-8 or Latin-1"),
        row(MimeVersion, "MIME version", "MIME-Version", b"OOOOOO").expects("1.0").defaults("1.0"),
        row(ContentType, "Content type", "Content-Type", b"MOOOOO")
            .expects("a MIME type")
            .defaults("text/plain")
            .tolerates("capitals, missing spaces, vnd.wap.multipart names"),
        row(ContentTransferEncoding, "STD 11 encoding", "Content-Transfer-Encoding", b"O-----"),
        row(Version, "3GPP MMS Version", "X-Mms-3GPP-MMS-Version", b"MMMMMM")
            .expects("major.minor.editorial")
            .tolerates("one or two numbers; absence"),
        row(MessageType, "Message Type", "X-Mms-Message-Type", b"MMMMMM")
            .expects("one of the six message types")
            .tolerates("_ for . in any case of letters"),
        row(TransactionId, "Transaction ID", "X-Mms-Transaction-ID", b"MMMMMM").expects(OPAQUE).tolerates(QUOTED),
        row(MessageId, "Message ID", "X-Mms-Message-ID", b"MMMMMO").expects(OPAQUE).tolerates(QUOTED),
        row(MessageClass, "Message class", "X-Mms-Message-Class", b"C-----")
            .expects("Personal, Advertisement, Informational, Auto or a token")
            .defaults("Personal"),
        row(Expiry, "Time of expiry", "X-Mms-Expiry", b"C-----")
            .expects("an RFC 1123 date or seconds")
            .tolerates("any date form; seconds since 1970; what cannot be read counts as absent"),
        row(DeliveryReport, "Delivery report", "X-Mms-Delivery-Report", b"C-----").yes_no().defaults("No"),
        row(
            OriginatorRsDeliveryReport,
            "Originator R/S delivery report",
            "X-Mms-Originator-R/S-Delivery-Report",
            b"C-----",
        )
        .yes_no()
        .defaults("No"),
        row(Priority, "Priority", "X-Mms-Priority", b"C-----").expects("Low, Normal or High").defaults("Normal"),
        row(SenderVisibility, "Sender visibility", "X-Mms-Sender-Visibility", b"C-----")
            .expects("Hide or Show")
            .defaults("Show"),
        row(ReadReply, "Read reply", "X-Mms-Read-Reply", b"C-----").yes_no().defaults("No"),
        row(AckRequest, "Acknowledgement request", "X-Mms-Ack-Request", b"O-O-O-").yes_no().defaults("No"),
        row(ForwardToOriginatorUa, "Forward to originator UA", "X-Mms-Forward-To-Originator-UA", b"--C---")
            .yes_no()
            .defaults("Yes if the user asked for a report"),
        row(MmStatusCode, "MM status", "X-Mms-MM-Status-Code", b"--M---")
            .expects("Expired, Retrieved, Rejected, Deferred, Indeterminate, Forwarded, Unrecognised or Unreachable")
            .tolerates("Unrecognized; the header X-Mms-Status"),
        row(MmStatusExtension, "MM status extension", "X-Mms-MM-Status-Extension", b"--C---")
            .expects("Rejection-by-MMS-recipient or Rejection-by-other-RS, with Rejected")
            .tolerates("Rejected-by-recipient, Rejected-by-other-MMSC and the like"),
        row(ReadStatus, "Read status", "X-Mms-Read-Status", b"----M-")
            .expects("Read or Deleted without being read")
            .tolerates("dashes for the spaces, or none"),
        row(RequestStatusCode, "Request status", "X-Mms-Request-Status-Code", b"-M-M-M")
            .expects("Ok or one of the eight Error- codes")
            .tolerates("0; names without Error-; Error-transient- and Error-permanent- codes; unknown codes"),
        row(StatusText, "Status text", "X-Mms-Status-Text", b"-OOOOO"),
        row(RequestRecipients, "Request recipients", "X-Mms-Request-Recipients", b"-C----")
            .expects(ADDRESSES)
            .defaults("all recipients of the request")
            .repeats()
            .tolerates("bare numbers, lists joined by dots, several fields"),
        row(OriginatorSystem, "Originator system", "X-Mms-Originator-System", b"R-----")
            .expects(MAILBOX)
            .defaults("Sender")
            .tolerates("a missing domain; system=host;party=+number"),
        row(ForwardCounter, "Forward counter", "X-Mms-Forward-Counter", b"C-----").expects("a number").defaults("0"),
        row(PreviouslySentBy, "Previously-sent-by", "X-Mms-Previously-sent-by", b"O-----")
            .repeats()
            .expects("index, address"),
        row(
            PreviouslySentDateAndTime,
            "Previously-sent-date-and-time",
            "X-Mms-Previously-sent-date-and-time",
            b"O-----",
        )
        .repeats()
        .expects("index, RFC 1123 date"),
        row(ApplicId, "Applic-ID", "X-Mms-Applic-ID", b"C-C-C-"),
        row(ReplyApplicId, "Reply-Applic-ID", "X-Mms-Reply-Applic-ID", b"C-C-C-"),
        row(AuxApplicInfo, "Aux-Applic-Info", "X-Mms-Aux-Applic-Info", b"C-C-C-"),
        row(ContentClass, "Content class", "X-Mms-Content-Class", b"C-----")
            .expects("text, image-basic, image-rich, video-basic, video-rich, megapixel, content-basic or content-rich"),
        row(DrmContent, "DRM content", "X-Mms-Drm-Content", b"C-----").yes_no().defaults("No"),
        row(AdaptationAllowed, "Adaptation allowed", "X-Mms-Adaptation-Allowed", b"C-----").yes_no().defaults("Yes"),
        row(MmsipAddress, "MMS interconnect provider", "X-Mms-MMSIP-Address", b"O-----").repeats(),
        row(ForwardRoute, "Forward route", "X-Mms-Forward-Route", b"O-----").repeats(),
        row(ReturnRoute, "Return route", "X-Mms-Return-Route", b"O-----").repeats(),
        row(
            OriginatorRecipientAddress,
            "Recipient as the originator wrote it",
            "X-Mms-Originator-Recipient-Address",
            b"O-----",
        )
        .repeats(),
    ]
};

/// The fields of interconnect providers, carried and not understood.
pub(super) const INTERCONNECT: [FieldId; 4] =
    [FieldId::MmsipAddress, FieldId::ForwardRoute, FieldId::ReturnRoute, FieldId::OriginatorRecipientAddress];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_in_any_case() {
        for field in &FIELDS {
            assert_eq!(named(field.header), Some(field.id));
            assert_eq!(named(&field.header.to_uppercase()), Some(field.id));
            assert_eq!(named(&field.header.to_lowercase()), Some(field.id));
            assert_eq!(named(&format!("{}x", field.header)), None);
        }
        for name in ["", "Bcc", "Received", &"x".repeat(NAME_MAX), &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
