//! Verdicts: from our reason to what each side is told, in one table.
//!
//! Owns: the reasons why a recipient is refused or fails. Never knows: which MM it was.

use crate::pack::pack_words;
use mms::{HeaderText, MmStatus, RequestStatus};
use std::fmt;

/// An SMTP reply, as words: code, enhanced status code (RFC 3463), text of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Class, subject, detail.
    pub enhanced: (u8, u16, u16),
    /// What a person at the peer should read.
    pub text: String,
}

impl Reply {
    /// A reply from its parts.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into() }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, subject, detail) = self.enhanced;
        write!(f, "{} {class}.{subject}.{detail} {}", self.code, self.text)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $word:literal, $reply:tt, $status:ident, $mm:ident, $text:literal;)+) => {
        /// Why a recipient, or a whole MM, is refused or fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// One word for JSON, logs and metrics.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The sentence for people: status text of a response, reason of a failed recipient.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// `X-Mms-Request-Status-Code` of the response that carries this refusal (TS 23.140 8.4.1.4).
            pub const fn request_status(self) -> RequestStatus {
                match self { $(Self::$name => RequestStatus::$status,)+ }
            }

            /// `X-Mms-MM-Status-Code` of the report to the originator, if reports were asked for.
            pub const fn mm_status(self) -> MmStatus {
                match self { $(Self::$name => MmStatus::$mm,)+ }
            }

            /// The SMTP reply after the final dot where no response can carry the refusal: the whole mail is no
            /// MM4 message, or cannot be kept now.
            pub fn reply(self) -> Reply {
                let (code, class, subject, detail) = match self { $(Self::$name => $reply,)+ };
                Reply::new(code, (class, subject, detail), self.text())
            }
        }
    };
}

reasons! {
    /// A number in our ranges that nobody has, or one that no route knows.
    NotServed: "not-served", (550, 5, 1, 1), ErrorSendingAddressUnresolved, Rejected,
        "recipient is not known here";
    /// The recipient may not receive MMs.
    Barred: "barred", (550, 5, 7, 1), ErrorServiceDenied, Rejected, "recipient may not use the service";
    /// The sender may not submit here.
    SenderDenied: "sender-denied", (550, 5, 7, 1), ErrorServiceDenied, Rejected, "sender may not use the service";
    /// A recipient of another network, without a transit agreement with the peer that asks.
    NoTransit: "no-transit", (550, 5, 7, 1), ErrorServiceDenied, Rejected,
        "recipient is served elsewhere and no transit is agreed";
    /// No address that MMS knows.
    NotAnAddress: "not-an-address", (550, 5, 1, 3), ErrorSendingAddressUnresolved, Rejected,
        "recipient is not an MMS address";
    /// No table, no lookup leads to the recipient.
    NoRoute: "no-route", (550, 5, 4, 4), ErrorSendingAddressUnresolved, Rejected, "no route to the recipient";
    /// A mandatory field is missing or unreadable, or the MIME structure is broken.
    FormatCorrupt: "format-corrupt", (554, 5, 6, 0), ErrorMessageFormatCorrupt, Rejected, "message format is corrupt";
    /// A message type or version that we do not support.
    Unsupported: "unsupported", (554, 5, 6, 1), ErrorUnsupportedMessage, Rejected, "message is not supported";
    /// The MM a response or report refers to is not known here.
    UnknownMessage: "unknown-message", (554, 5, 6, 0), ErrorMessageNotFound, Indeterminate,
        "no such message is known here";
    /// Over the size limit.
    TooLarge: "too-large", (552, 5, 3, 4), ErrorContentNotAccepted, Rejected, "content exceeds the size limit";
    /// Too many parts, or nested too deeply.
    TooComplex: "too-complex", (552, 5, 6, 0), ErrorContentNotAccepted, Rejected,
        "content has too many parts or is nested too deeply";
    /// More recipients than one MM may have.
    TooManyRecipients: "too-many-recipients", (554, 5, 5, 3), ErrorContentNotAccepted, Rejected, "too many recipients";
    /// Forwarded too often by users.
    ForwardLimit: "forward-limit", (554, 5, 4, 6), ErrorUnspecified, Rejected, "forward limit exceeded";
    /// Too many hops, or it was here before.
    Loop: "loop", (554, 5, 4, 6), ErrorUnspecified, Rejected, "mail loop: too many hops";
    /// Ordinary mail on the MM4 port.
    NotMm4: "not-mm4", (554, 5, 6, 0), ErrorUnsupportedMessage, Rejected,
        "not an MM4 message: X-Mms-Message-Type is missing";
    /// A mail without anything in it.
    Empty: "empty", (554, 5, 6, 0), ErrorMessageFormatCorrupt, Rejected, "empty mail";
    /// No room; the peer keeps the MM and tries again.
    Full: "full", (452, 4, 3, 1), ErrorNetworkProblem, Rejected, "storage is full, try again later";
    /// The peer has as much content here as it may; it keeps the MM and tries again.
    Quota: "quota", (452, 4, 2, 2), ErrorNetworkProblem, Rejected,
        "this peer has as much stored here as it may, try again later";
    /// The recipient has had as many MMs within an hour as it may.
    TooFrequent: "too-frequent", (451, 4, 7, 1), ErrorNetworkProblem, Rejected,
        "too many messages for this recipient, try again later";
    /// The store does not answer; the peer keeps the MM and tries again.
    Unavailable: "unavailable", (451, 4, 3, 0), ErrorNetworkProblem, Rejected, "cannot store now, try again later";
    /// The peer refused it for good.
    PeerRefused: "peer-refused", (554, 5, 0, 0), ErrorUnspecified, Rejected, "refused by the peer";
    /// The peer's response was an error.
    ResponseError: "response-error", (554, 5, 0, 0), ErrorUnspecified, Rejected, "the peer's response was an error";
    /// The peer could not be reached for as long as we try.
    GaveUp: "gave-up", (451, 4, 4, 7), ErrorNetworkProblem, Unreachable, "the peer could not be reached in time";
    /// Nobody could say in time where the recipient is served.
    LookupFailed: "lookup-failed", (451, 4, 4, 3), ErrorNetworkProblem, Unreachable,
        "the recipient's network could not be looked up in time";
    /// A mail system behind the peer returned it.
    Bounced: "bounced", (554, 5, 0, 0), ErrorUnspecified, Rejected, "returned by a mail system on the way";
    /// Validity ended before delivery.
    Expired: "expired", (554, 5, 4, 7), ErrorUnspecified, Expired, "the message expired before delivery";
    /// An operator dropped it.
    Dropped: "dropped", (554, 5, 7, 0), ErrorUnspecified, Rejected, "dropped by the operator";
    /// Our own trouble that will not pass by itself.
    Fault: "fault", (451, 4, 3, 0), ErrorUnspecified, Indeterminate, "internal error";
}
pack_words!(Reason);

/// A refusal in words, with what was found; at most 256 octets.
pub(crate) fn refusal_text(reason: Reason, detail: Option<&str>) -> HeaderText {
    let text = match detail {
        Some(detail) if !detail.is_empty() => format!("{}: {detail}", reason.text()),
        _ => reason.text().to_owned(),
    };
    HeaderText::cleaned(&text).capped(256)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_an_error_with_a_consistent_reply() {
        for reason in Reason::ALL {
            assert_ne!(reason.request_status(), RequestStatus::Ok, "{}", reason.word());
            let reply = reason.reply();
            assert!((400..600).contains(&reply.code), "{reply}");
            assert!(reply.text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{reply}");
            assert!(reply.text.len() <= 256);
        }
    }
}
