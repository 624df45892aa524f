//! SMTP for both sides of an MM4 link (RFC 5321; TS 23.140 8.4.5), without a socket.
//!
//! Owns: framing, commands, replies, the order of things. Bytes go in, events and bytes to write come out.
//! Never knows: what a mail says, who a peer is, what time it is.
//!
//! Content is never copied or changed here. It travels as the *wire form*: lines ending in CRLF, a leading dot
//! doubled (RFC 5321 4.5.2), without the `.` CRLF that ends it. What [`server`] hands out is what [`client`] sends.

mod base64;
pub mod client;
mod framer;
mod limits;
mod path;
mod reply;
pub mod server;
mod stuffing;

pub use limits::Limits;
pub use reply::{Enhanced, Reply, ReplyError, ReplyReader};
pub use stuffing::{dot_stuff, unstuff};

/// What ends content on the wire, behind the CRLF of its last line (RFC 5321 4.1.1.4).
pub const TERMINATOR: &[u8] = b".\r\n";
