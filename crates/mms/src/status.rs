//! Statuses and the other closed value sets of MM4 (TS 23.140 8.4.4; values in their canonical spelling).

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The canonical spelling on MM4.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value with this canonical spelling, whatever its case. Other variants are the business of
            /// the codec.
            pub fn from_canonical(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// `X-Mms-Request-Status-Code` of a response.
    RequestStatus {
        /// The request and its content were accepted.
        Ok = "Ok",
        /// Some error without a better name.
        ErrorUnspecified = "Error-unspecified",
        /// The sender or the recipient may not use the service.
        ErrorServiceDenied = "Error-service-denied",
        /// The request is malformed or inconsistent.
        ErrorMessageFormatCorrupt = "Error-message-format-corrupt",
        /// An address could not be resolved to a user.
        ErrorSendingAddressUnresolved = "Error-sending-address-unresolved",
        /// The message referred to is not known here.
        ErrorMessageNotFound = "Error-message-not-found",
        /// Trouble of network or capacity; the request may be repeated.
        ErrorNetworkProblem = "Error-network-problem",
        /// Size, type or content refused.
        ErrorContentNotAccepted = "Error-content-not-accepted",
        /// Message type or version not supported.
        ErrorUnsupportedMessage = "Error-unsupported-message",
    }
}

words! {
    /// `X-Mms-MM-Status-Code` of a delivery report.
    MmStatus {
        /// Validity ended before retrieval.
        Expired = "Expired",
        /// The recipient's user agent fetched the MM.
        Retrieved = "Retrieved",
        /// Refused by the recipient, or by another Relay/Server (see the extension).
        Rejected = "Rejected",
        /// The recipient postponed retrieval; the only value that is not final.
        Deferred = "Deferred",
        /// The outcome cannot be known.
        Indeterminate = "Indeterminate",
        /// The recipient forwarded the MM without retrieving it.
        Forwarded = "Forwarded",
        /// The recipient's user agent did not understand the message.
        Unrecognised = "Unrecognised",
        /// The recipient could not be reached.
        Unreachable = "Unreachable",
    }
}

impl MmStatus {
    /// Whether no further report about this recipient follows. All but `Deferred`.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Deferred)
    }
}

words! {
    /// `X-Mms-MM-Status-Extension`: who rejected; only meaningful with [`MmStatus::Rejected`].
    MmStatusExtension {
        /// The recipient user did.
        RejectionByMmsRecipient = "Rejection-by-MMS-recipient",
        /// Another Relay/Server on the path did.
        RejectionByOtherRs = "Rejection-by-other-RS",
    }
}

words! {
    /// `X-Mms-Read-Status` of a read-reply report.
    ReadStatus {
        /// The recipient read the MM.
        Read = "Read",
        /// The recipient deleted the MM unread.
        DeletedWithoutBeingRead = "Deleted without being read",
    }
}

words! {
    /// `X-Mms-Priority`; Normal when absent.
    Priority {
        /// Low.
        Low = "Low",
        /// Normal, the default.
        Normal = "Normal",
        /// High.
        High = "High",
    }
}

words! {
    /// `X-Mms-Sender-Visibility`; Show when absent.
    Visibility {
        /// The recipient must not learn the sender's address.
        Hide = "Hide",
        /// The default.
        Show = "Show",
    }
}

words! {
    /// `X-Mms-Content-Class`: the smallest class that covers the content; informative.
    ContentClass {
        /// Text only.
        Text = "text",
        /// Basic images.
        ImageBasic = "image-basic",
        /// Rich images.
        ImageRich = "image-rich",
        /// Basic video.
        VideoBasic = "video-basic",
        /// Rich video.
        VideoRich = "video-rich",
        /// Megapixel images.
        Megapixel = "megapixel",
        /// Basic content.
        ContentBasic = "content-basic",
        /// Rich content.
        ContentRich = "content-rich",
    }
}

/// `X-Mms-Message-Class`; Personal when absent. A token outside the four is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageClass {
    /// From person to person, the default.
    Personal,
    /// Advertisement.
    Advertisement,
    /// Informational.
    Informational,
    /// Made by a machine; must not cause reports (OMA-MMS-ENC).
    Auto,
    /// An extension token.
    Other(crate::HeaderText),
}

impl MessageClass {
    /// The spelling on MM4.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Personal => "Personal",
            Self::Advertisement => "Advertisement",
            Self::Informational => "Informational",
            Self::Auto => "Auto",
            Self::Other(token) => token.as_str(),
        }
    }
}

impl fmt::Display for MessageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
