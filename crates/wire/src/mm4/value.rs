//! The value sets of MM4 in every spelling that peers use.
//!
//! Owns: words to values. What is written is always the canonical word, which `mms` has.
//! Never knows: fields.

use mms::{MessageClass, MessageType, MmStatus, MmStatusExtension, ReadStatus, RequestStatus, Version};

/// How a value was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// As the specification writes it, whatever its case.
    Exact(T),
    /// In another spelling.
    Lenient(T),
    /// Not at all.
    No,
}

/// Letters and digits only, in lower case: what all spellings of one word share.
fn core(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A canonical word in any case, or one with other punctuation.
pub(super) fn word<T: Copy>(text: &str, all: &[T], spelling: impl Fn(T) -> &'static str) -> Read<T> {
    if let Some(value) = all.iter().copied().find(|v| spelling(*v).eq_ignore_ascii_case(text)) {
        return Read::Exact(value);
    }
    let wanted = core(text);
    match all.iter().copied().find(|v| core(spelling(*v)) == wanted) {
        Some(value) => Read::Lenient(value),
        None => Read::No,
    }
}

pub(super) fn yes_no(text: &str) -> Read<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Read::Exact(true),
        "no" => Read::Exact(false),
        "true" | "1" | "y" | "on" => Read::Lenient(true),
        _ => Read::Lenient(false),
    }
}

pub(super) fn message_type(text: &str) -> Read<MessageType> {
    word(text, MessageType::ALL, MessageType::as_str)
}

/// Every text is some status: only Ok is success, and what nobody knows is an unspecified error.
pub(super) fn request_status(text: &str) -> Read<RequestStatus> {
    use RequestStatus as S;
    if let Read::Exact(status) = word(text, S::ALL, S::as_str) {
        return Read::Exact(status);
    }
    let text = core(text);
    if text == "ok" || text == "0" {
        return Read::Lenient(S::Ok);
    }
    let name = text.strip_prefix("error").unwrap_or(&text);
    if name.starts_with("transient") {
        return Read::Lenient(S::ErrorNetworkProblem);
    }
    let name = name.strip_prefix("permanent").unwrap_or(name);
    let same = |status: &S| core(status.as_str()).strip_prefix("error") == Some(name);
    Read::Lenient(S::ALL.iter().copied().find(same).unwrap_or(S::ErrorUnspecified))
}

pub(super) fn mm_status(text: &str) -> Read<MmStatus> {
    match word(text, MmStatus::ALL, MmStatus::as_str) {
        Read::No if core(text) == "unrecognized" => Read::Lenient(MmStatus::Unrecognised),
        read => read,
    }
}

pub(super) fn status_extension(text: &str) -> Read<MmStatusExtension> {
    use MmStatusExtension as E;
    match word(text, E::ALL, E::as_str) {
        Read::No => match core(text).as_str() {
            "rejectedbyrecipient" | "rejectedbymmsrecipient" | "rejectionbyrecipient" => {
                Read::Lenient(E::RejectionByMmsRecipient)
            }
            "rejectedbyothermmsc"
            | "rejectionbyothermmsc"
            | "rejectedbyotherrs"
            | "rejectedbyvasarealimit" => Read::Lenient(E::RejectionByOtherRs),
            _ => Read::No,
        },
        read => read,
    }
}

pub(super) fn read_status(text: &str) -> Read<ReadStatus> {
    match word(text, ReadStatus::ALL, ReadStatus::as_str) {
        Read::No if core(text) == "deleted" => Read::Lenient(ReadStatus::DeletedWithoutBeingRead),
        read => read,
    }
}

/// A token outside the four known classes is a class of its own (TS 23.140 8.4.4: extension).
pub(super) fn message_class(text: &str) -> MessageClass {
    use MessageClass as C;
    [C::Personal, C::Advertisement, C::Informational, C::Auto]
        .into_iter()
        .find(|class| class.as_str().eq_ignore_ascii_case(text))
        .unwrap_or_else(|| C::Other(mms::HeaderText::cleaned(text)))
}

pub(super) fn version(text: &str) -> Read<Version> {
    let mut numbers = [0u16; 3];
    for (place, part) in text.trim_start_matches(['v', 'V']).splitn(3, '.').enumerate() {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = part[..digits].parse() else { return Read::No };
        if digits < part.len() && place < 2 {
            return Read::No;
        }
        numbers[place] = number;
    }
    let [major, minor, editorial] = numbers;
    let version = Version { major, minor, editorial };
    if version.to_string() == text { Read::Exact(version) } else { Read::Lenient(version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o_21_o_22_o_23_request_statuses() {
        use RequestStatus as S;
        for status in S::ALL {
            assert_eq!(request_status(status.as_str()), Read::Exact(*status));
            assert_eq!(request_status(&status.as_str().to_uppercase()), Read::Exact(*status));
        }
        for (text, status) in [
            ("0", S::Ok),
            ("Service-denied", S::ErrorServiceDenied),
            ("Error-Unspecified ", S::ErrorUnspecified),
            ("Error_content_not_accepted", S::ErrorContentNotAccepted),
            ("Error-transient-failure", S::ErrorNetworkProblem),
            ("Error-transient-sending-address-unresolved", S::ErrorNetworkProblem),
            ("Error-permanent-service-denied", S::ErrorServiceDenied),
            ("Error-permanent-failure", S::ErrorUnspecified),
            ("Error-permanent-network-problem", S::ErrorNetworkProblem),
            ("Error-test-failed", S::ErrorUnspecified),
            ("Error-weird", S::ErrorUnspecified),
            ("All is good.", S::ErrorUnspecified),
            ("", S::ErrorUnspecified),
        ] {
            assert_eq!(request_status(text), Read::Lenient(status), "{text}");
        }
    }

    #[test]
    fn d_18_r_05_statuses_of_reports() {
        assert_eq!(mm_status("retrieved"), Read::Exact(MmStatus::Retrieved));
        assert_eq!(mm_status("Unrecognized"), Read::Lenient(MmStatus::Unrecognised));
        assert_eq!(mm_status("Eaten"), Read::No);
        for text in ["Deletedwithoutbeingread", "Deleted-without-being-read", "DeletedWithoutBeingRead"] {
            assert_eq!(read_status(text), Read::Lenient(ReadStatus::DeletedWithoutBeingRead));
        }
        assert_eq!(
            read_status("deleted without being READ"),
            Read::Exact(ReadStatus::DeletedWithoutBeingRead)
        );
        for text in ["Rejection-By-MMS-Recipient", "rejection-by-mms-recipient"] {
            assert_eq!(status_extension(text), Read::Exact(MmStatusExtension::RejectionByMmsRecipient));
        }
        assert_eq!(
            status_extension("Rejected-by-recipient"),
            Read::Lenient(MmStatusExtension::RejectionByMmsRecipient)
        );
        for text in ["Rejected-by-other-MMSC", "Rejected-by-VAS-area-limit"] {
            assert_eq!(status_extension(text), Read::Lenient(MmStatusExtension::RejectionByOtherRs));
        }
        assert_eq!(status_extension("Odd"), Read::No);
    }

    #[test]
    fn f_08_message_types() {
        for message_type in MessageType::ALL {
            assert_eq!(super::message_type(message_type.as_str()), Read::Exact(*message_type));
        }
        for text in ["MM4_Forward.REQ", "mm4_forward.req", "MM4_FORWARD_REQ", "MM4_forward_REQ"] {
            let read = message_type(text);
            assert!(matches!(
                read,
                Read::Exact(MessageType::ForwardReq) | Read::Lenient(MessageType::ForwardReq)
            ));
        }
        assert_eq!(message_type("MM4_Delivery_report.REQ"), Read::Exact(MessageType::DeliveryReportReq));
        assert_eq!(message_type("MM4_unknown.REQ"), Read::No);
    }

    #[test]
    fn f_38_versions() {
        let version_of = |major, minor, editorial| Version { major, minor, editorial };
        for (text, read) in [
            ("6.16.0", Read::Exact(version_of(6, 16, 0))),
            ("5.5.0", Read::Exact(version_of(5, 5, 0))),
            ("99.0.0", Read::Exact(version_of(99, 0, 0))),
            ("6.3", Read::Lenient(version_of(6, 3, 0))),
            ("6", Read::Lenient(version_of(6, 0, 0))),
            ("V6.10.0", Read::Lenient(version_of(6, 10, 0))),
            ("6.16.0-rc1", Read::Lenient(version_of(6, 16, 0))),
            ("6.5.0.1", Read::Lenient(version_of(6, 5, 0))),
            ("", Read::No),
            ("x", Read::No),
            ("6.x", Read::No),
            ("6x.1", Read::No),
            ("6..1", Read::No),
            ("99999.0.0", Read::No),
        ] {
            assert_eq!(version(text), read, "{text}");
        }
    }

    #[test]
    fn f_48_booleans() {
        for text in ["yes", "YES", "TRUE", "1", "true"] {
            assert!(matches!(yes_no(text), Read::Exact(true) | Read::Lenient(true)), "{text}");
        }
        for text in ["no", "False", "0", "maybe", ""] {
            assert!(matches!(yes_no(text), Read::Exact(false) | Read::Lenient(false)), "{text}");
        }
    }
}
