//! The mail format (RFC 5322, RFC 2045 to 2047), read with the tolerances that live peers need.
//!
//! Owns: header blocks, encoded words, dates, parameters, the structure of a body, transfer encodings, delivery status
//! notifications.
//! Never knows: SMTP, MM4, what a field means.
//!
//! Everything reads the wire form, so that nothing must be copied to be looked at. All of it is bounded and linear.

mod bounce;
mod content_type;
mod date;
mod encoded_word;
mod header;
mod seven_bit;
mod transfer;
mod walk;

pub use bounce::{Action, Bounce, BouncedRecipient, Original, bounce};
pub use content_type::ContentType;
pub use date::{DateForm, http_date, mail_date, parse_date};
pub use encoded_word::{decode_words, encode_phrase, encode_text};
pub use header::{Field, HeaderBlock, HeaderError, HeaderLimits, find_head_end};
pub use seven_bit::{Obstacle, SevenBit, seven_bit};
pub use transfer::{TransferEncoding, decode_transfer};
pub use walk::{Part, Problem, Structure, Walk, WalkLimits, walk};

/// An id or address without one pair of angle brackets and outer space: `<a@b>` and `a@b` name the same part.
pub fn strip_angles(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text).trim()
}
