//! What a dialogue meant: for each recipient an end, with the reason and who gave it.

use crate::smtp::{Reply, ReplyError};
use std::fmt;

/// Where in the dialogue something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The greeting of the peer.
    Greeting,
    /// `EHLO` or `HELO`.
    Hello,
    /// `STARTTLS` and its handshake.
    StartTls,
    /// `AUTH`.
    Login,
    /// Between two transactions.
    Idle,
    /// `RSET`.
    Reset,
    /// `MAIL`.
    Sender,
    /// `RCPT`.
    Recipient,
    /// `DATA`.
    Data,
    /// While content was written.
    Content,
    /// After the end of content.
    Final,
    /// `QUIT`.
    Quit,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "at the greeting",
            Self::Hello => "at EHLO",
            Self::StartTls => "at STARTTLS",
            Self::Login => "at AUTH",
            Self::Idle => "between two messages",
            Self::Reset => "at RSET",
            Self::Sender => "at MAIL",
            Self::Recipient => "at RCPT",
            Self::Data => "at DATA",
            Self::Content => "inside the content",
            Self::Final => "after the content",
            Self::Quit => "at QUIT",
        })
    }
}

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The peer said no with a 4yz or 5yz.
    Refused {
        /// To what.
        stage: Stage,
        /// Its words.
        reply: Reply,
    },
    /// The peer said `421` and closes. It means the connection, not the message.
    Closing {
        /// When.
        stage: Stage,
        /// Its words.
        reply: Reply,
    },
    /// The connection ended or a deadline passed.
    Lost {
        /// When.
        stage: Stage,
    },
    /// The peer broke the protocol.
    Malformed {
        /// When.
        stage: Stage,
        /// How.
        error: ReplyError,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { stage, reply } => write!(f, "refused {stage}: {reply}"),
            Self::Closing { stage, reply } => write!(f, "closed by the peer {stage}: {reply}"),
            Self::Lost { stage } => write!(f, "connection lost {stage}"),
            Self::Malformed { stage, error } => write!(f, "protocol error {stage}: {error}"),
        }
    }
}

/// How it ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The peer owns the message now (RFC 5321 6.1).
    Accepted(Reply),
    /// Not now.
    Later(Trouble),
    /// Not at all.
    Never(Trouble),
    /// The content was sent and no answer came: the peer may own the message (RFC 1047).
    Unknown(Trouble),
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One verdict per recipient, in their order.
    pub recipients: Vec<Verdict>,
    /// Whether the session can take another transaction.
    pub usable: bool,
}

/// What a reply that is no consent means for a recipient.
pub(super) fn refusal(stage: Stage, reply: Reply) -> Verdict {
    // RFC 5321 4.5.3.1.10: to RCPT, 552 means too many recipients and is to be read as 452.
    let too_many = stage == Stage::Recipient && reply.code() == 552;
    let permanent = reply.is_permanent() && !too_many;
    let trouble = Trouble::Refused { stage, reply };
    if permanent { Verdict::Never(trouble) } else { Verdict::Later(trouble) }
}
