//! The codec of MM4: abstract messages to header sections and back (TS 23.140 8.4.4).
//!
//! Owns: the one table of fields ([`FIELDS`]), the tolerances that live peers need, the one form in which we write,
//! and what changes in a header section that is relayed ([`relay`]).
//! Never knows: SMTP, peers, policy. It says what it had to tolerate and what it cannot accept; what follows from
//! that is decided elsewhere.
//!
//! ```
//! use wire::{mime::HeaderBlock, mm4::{Mail, Style, decode, encode}};
//!
//! let head = b"X-Mms-Message-Type: MM4_forward.RES\r\nX-Mms-Transaction-ID: tx-1\r\nX-Mms-Message-ID: mm-1\r\n\
//!              X-Mms-Request-Status-Code: OK\r\n\r\n";
//! let decoded = decode(&HeaderBlock::parse(head).unwrap());
//! let Mail::Message(message) = &decoded.mail else { panic!() };
//! assert!(decoded.refusal().is_none());
//! let mail = encode(message, &Style::default());
//! assert!(mail.ends_with(b"X-Mms-Request-Status-Code: Ok\r\n\r\nOk\r\n"));
//! ```

mod address;
mod decode;
mod encode;
mod field;
mod finding;
mod read;
mod transit;
mod value;

pub use decode::{Decoded, Mail, UnknownMessage, decode, received_count, received_ids};
pub use encode::{Style, encode};
pub use field::{FIELDS, Field, FieldId, Presence};
pub use finding::{Tolerance, Violation, ViolationKind};
pub use transit::{Edit, Edits, relay};

#[cfg(test)]
mod tests;
