//! What a session tells the house: a closed list, so that all that may happen can be read here.

use super::Credentials;
use mms::{HeaderText, MailPath};
use std::fmt;

/// What the session may offer because the house can do it. What is not in here is never advertised, and answered
/// `502` if tried all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether `STARTTLS` is offered while the connection is in the clear.
    pub starttls: bool,
    /// Whether nothing but greetings, `NOOP`, `STARTTLS` and `QUIT` is answered while the connection is in the clear;
    /// anything else is refused with `530 5.7.0` (RFC 3207 4).
    pub tls_required: bool,
    /// Whether `AUTH` is offered, and has to succeed before the first `MAIL`.
    pub auth: bool,
}

/// The reverse path and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `None` is the null reverse path `<>`.
    pub path: Option<MailPath>,
    /// The size in octets that was declared (RFC 1870); already within the limit.
    pub size: Option<u64>,
    /// Whether `BODY=8BITMIME` was declared (RFC 6152).
    pub eight_bit: bool,
}

/// A sender and at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends.
    pub sender: Sender,
    /// To whom, in the order of arrival; never empty.
    pub recipients: Vec<MailPath>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing more can be had from this input. Write the output, then read.
    NeedMore,
    /// Much output waits. Write it before going on; the input may hold more.
    Flush,
    /// A verdict is due: [`Session::accept`](super::Session::accept), [`Session::refuse`](super::Session::refuse) or
    /// [`Session::judge_login`](super::Session::judge_login) first. No input is read meanwhile.
    Undecided,
    /// `HELO` or `EHLO`, whether for the first time or again. A transaction under way is gone.
    Hello {
        /// `EHLO`.
        extended: bool,
        /// What the peer calls itself; only good for the log.
        name: HeaderText,
    },
    /// `MAIL`. A verdict is due.
    Sender(Sender),
    /// `RCPT` of one more recipient, answered `250`.
    Recipient(MailPath),
    /// `DATA`; content follows.
    ContentStarts {
        /// Octets declared with `MAIL`, if any.
        declared: Option<u64>,
    },
    /// Octets of content in wire form, as they came.
    Content(&'a [u8]),
    /// The content is complete. A verdict is due: only now may the house answer for the message.
    ContentEnds {
        /// For whom it is.
        envelope: Envelope,
        /// The size of the message as RFC 1870 counts it, without doubled dots; 0 for an empty one.
        size: u64,
    },
    /// The content was too big. It was read to its end and refused with `552`: drop what was kept of it.
    ContentDropped,
    /// `RSET`: a transaction under way is gone.
    Reset,
    /// A command was refused here, without asking. For the log.
    Refused(Refusal),
    /// `AUTH` with a name and a password. A verdict is due: [`Session::judge_login`](super::Session::judge_login).
    Login(Credentials),
    /// Write the output, do the handshake, then call [`Session::tls_started`](super::Session::tls_started).
    StartTls,
    /// The connection is over: write the output and close. Content without [`Event::ContentEnds`] is void.
    Ended(Ending),
}

/// Why the session refused a command by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A verb that does not exist.
    Unknown,
    /// A verb that is not offered.
    NotOffered,
    /// Known, but not now.
    Order,
    /// The argument cannot be read.
    Argument,
    /// The argument of `MAIL` or `RCPT` is no path.
    NoPath,
    /// A path, local part or domain over its limit.
    PathTooLong,
    /// A parameter that was not offered.
    Parameter,
    /// More recipients than [`Limits::recipients_max`](crate::smtp::Limits::recipients_max).
    TooManyRecipients,
    /// Something that has to wait for TLS.
    NeedsTls,
    /// Something that has to wait for `AUTH`.
    NeedsLogin,
    /// The declared size is over [`Limits::message_size_max`](crate::smtp::Limits::message_size_max).
    DeclaredTooBig(u64),
}

/// Why the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `QUIT`.
    Quit,
    /// The house turned the peer away.
    TurnedAway,
    /// More than [`Limits::errors_max`](crate::smtp::Limits::errors_max) errors, or too many wrong passwords.
    TooManyErrors,
    /// The peer did what no honest peer does.
    Violation(Violation),
}

/// What ends a session at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A CR without LF.
    BareCr,
    /// A LF without CR.
    BareLf,
    /// A NUL.
    Nul,
    /// A command line over [`Limits::command_line_max`](crate::smtp::Limits::command_line_max).
    LineTooLong,
    /// Octets before the greeting (RFC 5321 3.1: the server speaks first).
    TalkedFirst,
    /// Octets in the clear behind `STARTTLS` (CVE-2011-0411).
    BytesBehindStartTls,
    /// The verb of another protocol.
    Http,
    /// Content beyond all limits.
    Endless,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "a CR without LF",
            Self::BareLf => "a LF without CR",
            Self::Nul => "a NUL octet",
            Self::LineTooLong => "a command line is too long",
            Self::TalkedFirst => "the peer talked before the greeting",
            Self::BytesBehindStartTls => "bytes came behind STARTTLS",
            Self::Http => "the peer speaks HTTP",
            Self::Endless => "the content has no end within the limits",
        })
    }
}
