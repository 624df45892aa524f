//! Identifiers: ours ([`MmId`]) and those that peers choose ([`MessageId`], [`TransactionId`]).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Our own name for one MM: 128 bits, the first 48 the creation time in milliseconds (so ids sort by age),
/// the next 16 the shard that owns the ledger, the last 64 random.
///
/// Written as 26 characters of Crockford's base 32, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MmId(u128);

/// Why a string or value is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Nothing in it.
    Empty,
    /// Longer than the 256 octets that we accept and echo.
    TooLong(usize),
    /// An octet outside printable ASCII (0x20 to 0x7E), which could not be echoed safely.
    NotPrintable(u8),
    /// Not the 26 characters of an MM id of ours.
    NotOurs,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "empty identifier"),
            Self::TooLong(n) => write!(f, "identifier of {n} octets; at most 256 are accepted"),
            Self::NotPrintable(b) => {
                write!(f, "identifier holds octet 0x{b:02x}; only printable ASCII is accepted")
            }
            Self::NotOurs => {
                write!(f, "not an MM id: expected 26 characters of 0-9 and a-z without i, l, o, u")
            }
        }
    }
}

impl std::error::Error for IdError {}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters of Crockford's base 32 for 128 bits.
pub(crate) fn base32(value: u128) -> [u8; 26] {
    std::array::from_fn(|i| BASE32[(value >> (5 * (25 - i)) & 31) as usize])
}

impl MmId {
    /// An id from its parts: milliseconds since the epoch (the low 48 bits count), shard, and 64 random bits.
    pub const fn new(millis: i64, shard: u16, random: u64) -> Self {
        Self(((millis as u128 & 0xffff_ffff_ffff) << 80) | ((shard as u128) << 64) | random as u128)
    }

    /// The id with exactly these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// All 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The shard that owns this MM's ledger.
    pub const fn shard(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// When the id was made, in milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        (self.0 >> 80) as i64
    }
}

impl fmt::Display for MmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&base32(self.0)).unwrap_or_default())
    }
}

impl fmt::Debug for MmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MmId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 26 {
            return Err(IdError::NotOurs);
        }
        let mut value = 0u128;
        for (i, b) in text.bytes().enumerate() {
            let digit = BASE32.iter().position(|d| *d == b.to_ascii_lowercase()).ok_or(IdError::NotOurs)?;
            if i == 0 && digit > 7 {
                return Err(IdError::NotOurs); // 26 characters hold 130 bits; the top two must be clear
            }
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > 256 {
        return Err(IdError::TooLong(text.len()));
    }
    match text.bytes().find(|b| !(0x20..=0x7e).contains(b)) {
        Some(b) => Err(IdError::NotPrintable(b)),
        None => Ok(()),
    }
}

/// The identifier without one pair of surrounding quotation marks or angle brackets and outer space:
/// what two spellings of one id have in common.
fn stripped(text: &str) -> &str {
    let text = text.trim_matches(' ');
    let inner = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .or_else(|| text.strip_prefix('<').and_then(|t| t.strip_suffix('>')));
    match inner {
        Some(inner) if !inner.trim_matches(' ').is_empty() => inner.trim_matches(' '),
        _ => text,
    }
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Opaque: 1 to 256 octets of printable ASCII, kept byte for byte as it came, because a response must
        /// echo exactly that. For correlation use `key`, which ignores quotation marks and angle brackets.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id in exactly these octets.
            ///
            /// # Errors
            /// Empty, over 256 octets, or anything outside printable ASCII.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check(text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// The octets to echo.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The part that counts in comparison: without quotes, angle brackets and outer space.
            pub fn key(&self) -> &str {
                stripped(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

opaque_id! {
    /// `X-Mms-Message-ID`: identifies the MM itself, chosen by the originator Relay/Server (TS 23.140 8.4.1).
    MessageId
}

opaque_id! {
    /// `X-Mms-Transaction-ID`: joins one request and its response, chosen by the sender of the request
    /// (TS 23.140 8.4.1).
    TransactionId
}

impl MessageId {
    /// The id that we give an MM submitted here: `<mm id>@<our domain>`.
    pub fn ours(id: MmId, domain: &crate::Domain) -> Self {
        Self(format!("{id}@{domain}").into())
    }
}

impl TransactionId {
    /// A transaction id of ours: the MM, the number of the transaction in its ledger, and 128 unguessable bits.
    pub fn ours(id: MmId, index: u16, secret: u128) -> Self {
        let secret = base32(secret);
        Self(format!("{id}.{index}.{}", std::str::from_utf8(&secret).unwrap_or_default()).into())
    }

    /// The MM that a transaction id of ours belongs to, or `None` when it was never one of ours.
    /// Only a hint where to look: the whole id decides.
    pub fn mm(&self) -> Option<MmId> {
        self.key().split('.').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_keep_their_octets_and_compare_without_quotes() {
        let quoted = TransactionId::new("\"tx-1@x\"").unwrap();
        assert_eq!(quoted.as_str(), "\"tx-1@x\"");
        assert_eq!(quoted.key(), "tx-1@x");
        assert_eq!(MessageId::new("<mm-1@x> ").unwrap().key(), "mm-1@x");
        assert_eq!(MessageId::new("\"\"").unwrap().key(), "\"\"");
        assert_eq!(MessageId::new("a\r\nb"), Err(IdError::NotPrintable(b'\r')));
        assert_eq!(MessageId::new("x".repeat(257)), Err(IdError::TooLong(257)));
        assert_eq!(TransactionId::new(""), Err(IdError::Empty));
    }

    proptest! {
        #[test]
        fn mm_id_text_and_back(bits in any::<u128>()) {
            let id = MmId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<MmId>(), Ok(id));
            let tx = TransactionId::ours(id, 7, bits.rotate_left(9));
            prop_assert_eq!(tx.mm(), Some(id));
        }

        #[test]
        fn mm_id_parts(millis in 0i64..1 << 48, shard in any::<u16>(), random in any::<u64>()) {
            let id = MmId::new(millis, shard, random);
            prop_assert_eq!((id.millis(), id.shard()), (millis, shard));
        }

        #[test]
        fn no_string_panics(text in any::<String>()) {
            let _ = text.parse::<MmId>();
            if let Ok(id) = TransactionId::new(&text) {
                let _ = (id.key().len(), id.mm());
            }
        }
    }
}
