//! The admin socket: how the command line talks to a running relay.
//!
//! One Unix socket in the data folder, for its owner only. One request a connection: a line of JSON, followed by the
//! octets that it announces; the answer likewise.

pub mod backup;
pub mod client;
pub mod deed;
mod overview;
pub mod server;
pub mod verbs;

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verb")]
pub enum Request {
    /// Whether it runs, and how it is.
    Status,
    /// How busy it is, and with whom: what `belino top` shows.
    Overview,
    /// MMs that are not finished, newest last; or all.
    Queue {
        /// Only those that wait for this peer.
        peer: Option<String>,
        /// Also finished ones.
        all: bool,
        /// At most so many.
        max: usize,
    },
    /// MMs by what is known of them, newest first.
    Find {
        /// Our id, an `X-Mms-Message-ID`, an address or its beginning.
        text: Option<String>,
        /// A peer that sent it or that it goes to.
        peer: Option<String>,
        /// open, done, failed.
        state: Option<String>,
        /// Not before: an instant, or a span before now.
        since: Option<String>,
        /// Before: an instant, or a span before now.
        until: Option<String>,
        /// Where a page before ended.
        before: Option<String>,
        /// At most so many.
        max: usize,
    },
    /// One MM, by our id or its `X-Mms-Message-ID`.
    Trace {
        /// The id.
        id: String,
    },
    /// What lies in mailboxes.
    Mailbox {
        /// Only for this recipient.
        recipient: Option<String>,
        /// At most so many.
        max: usize,
    },
    /// One MM's mail in wire form; marks it as retrieved.
    Retrieve {
        /// Our id or its `X-Mms-Message-ID`.
        id: String,
        /// For this recipient; without one, for all local ones.
        recipient: Option<String>,
        /// Only look, do not mark.
        peek: bool,
        /// Whether a report of it may be sent.
        report: bool,
    },
    /// What a recipient does with an MM in the mailbox.
    Handle {
        /// Our id or its `X-Mms-Message-ID`.
        id: String,
        /// For this recipient; without one, for all local ones.
        recipient: Option<String>,
        /// reject, defer, read, delete.
        how: String,
        /// Whether a report of it may be sent.
        report: bool,
    },
    /// Where a recipient's MM would go, and why.
    Route {
        /// The address.
        address: String,
    },
    /// Try an MM's errands at once.
    Retry {
        /// The MM.
        id: String,
        /// Why; kept in its history.
        #[serde(default)]
        why: String,
    },
    /// Give an MM up.
    Drop {
        /// The MM.
        id: String,
        /// Why; kept in its history.
        why: String,
    },
    /// Every peer, as its queue stands.
    Peers,
    /// Send nothing to a peer until it is resumed.
    Pause {
        /// The peer.
        peer: String,
    },
    /// Undo a pause; also opens a shut gate.
    Resume {
        /// The peer.
        peer: String,
    },
    /// Read the configuration again and apply it.
    Reload,
    /// Hand in an MM; its body follows in wire form.
    Send(Box<Send>),
    /// Listen to what a peer answers a probe, until the connection is closed: after the answer, one
    /// [`Heard`](crate::dock::listeners::Heard) a line.
    Listen {
        /// The peer.
        peer: String,
        /// What all ids of the probe contain, see [`Token`](crate::dock::listeners::Token).
        token: String,
    },
    /// Copy the store into a folder that is not there yet. Several [`Progress`] a line, then the answer.
    Backup {
        /// The folder, absolute: the relay writes it.
        to: String,
    },
    /// Move a manual clock on; for tests.
    Advance {
        /// Milliseconds.
        millis: u64,
    },
}

/// An MM to be handed in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Send {
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Recipients.
    pub cc: Vec<String>,
    /// Recipients nobody else learns of.
    pub bcc: Vec<String>,
    /// Subject.
    pub subject: Option<String>,
    /// Content type of the body.
    pub content_type: String,
    /// Transfer encoding of the body, when it is one part.
    pub content_transfer_encoding: Option<String>,
    /// Message class.
    pub class: Option<String>,
    /// Low, Normal, High.
    pub priority: Option<String>,
    /// Validity in seconds.
    pub expiry_seconds: Option<u64>,
    /// Ask for delivery reports.
    pub delivery_report: bool,
    /// Ask for read-reply reports.
    pub read_reply: bool,
    /// Hide the sender from the recipients.
    pub hide: bool,
    /// Times that users forwarded it, and by whom before: an earlier handler and when (RFC 3339 seconds).
    pub previously_sent: Vec<(String, i64)>,
    /// Octets of the body that follow.
    pub octets: usize,
}

/// How far a backup has come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Octets of content copied.
    pub copied: u64,
    /// Octets of content in all.
    pub all: u64,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It worked.
    Ok {
        /// What was asked for.
        value: serde_json::Value,
        /// Octets that follow.
        #[serde(default)]
        octets: usize,
    },
    /// It did not.
    Error(String),
}
