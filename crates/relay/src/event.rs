//! What may happen to the heart: the closed list of events, and the answers that those who caused them get.

use crate::house::{HookName, PeerName};
use crate::ledger::{Body, Ledger};
use crate::lookup::Found;
use crate::store::{ContentRef, Entry};
use crate::verdict::{Reason, Reply};
use mms::{AbstractMessage, ForwardReq, MailPath, MmId, Party, TransactionId};
use std::sync::Arc;
use std::time::Duration;

/// An MM that a user or application of ours hands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// By whom: `cli`, or `application NAME`.
    pub by: String,
    /// The webhook that hears what becomes of it.
    pub hook: Option<HookName>,
    /// By what the same submission is recognised when it is handed in again.
    pub once: Option<Once>,
    /// The sender; must be one of ours.
    pub from: Party,
    /// Disclosed recipients.
    pub to: Vec<Party>,
    /// Disclosed recipients.
    pub cc: Vec<Party>,
    /// Undisclosed recipients.
    pub bcc: Vec<Party>,
    /// Everything else that the sender said: subject, class, expiry, reports, content type. Ids, addresses, date
    /// and system addresses in it are ignored and made here.
    pub request: ForwardReq,
    /// The content, body only.
    pub body: Option<Body>,
    /// Where it is stored.
    pub content: Option<ContentRef>,
}

/// What makes a submission one: the key that its application chose, and what was asked under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The application and its key.
    pub key: Vec<u8>,
    /// A digest of everything that was asked.
    pub digest: [u8; 32],
    /// How long it is remembered.
    pub kept: Duration,
}

/// A mail that a peer brought, read but not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The peer, known by its connection.
    pub peer: PeerName,
    /// The envelope sender; `None` for `<>`.
    pub mail_from: Option<MailPath>,
    /// The envelope recipients, in order.
    pub recipients: Vec<MailPath>,
    /// What the header says.
    pub message: Arrived,
    /// Why it cannot be processed as what it says it is, if so, and what was found.
    pub trouble: Option<(Reason, String)>,
    /// How many `Received` fields it has.
    pub hops: usize,
    /// How many of them are stamps of ours: it passed us before.
    pub own_hops: usize,
    /// Octets of the content after decoding, about.
    pub decoded_size: u64,
    /// The content, header block included.
    pub body: Option<Body>,
    /// Where it is stored.
    pub content: Option<ContentRef>,
}

/// What a mail turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one lives for the length of a turn")]
pub enum Arrived {
    /// One of the six abstract messages.
    Message(AbstractMessage),
    /// An MM4 message of a type that we do not know, with as much of it as could be read as a forward request.
    Unknown {
        /// The value of `X-Mms-Message-Type`.
        message_type: String,
        /// Ids, addresses and whether an answer is asked for.
        request: ForwardReq,
    },
    /// A mail system returned a mail of ours (RFC 3464), or says what became of it.
    Bounce(Bounce),
    /// Ordinary mail.
    NotMm4,
}

/// A delivery status notification about a mail of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// STD 11 `Message-ID` of the returned mail, without angle brackets.
    pub internet_message_id: Option<String>,
    /// Its `X-Mms-Transaction-ID`.
    pub transaction_id: Option<TransactionId>,
    /// Recipients that the mail failed for, and why. One without a name stands for the only one of its mail.
    pub failed: Vec<(Option<MailPath>, String)>,
}

/// How an attempt to bring an errand to its peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// No connection could be had, or the peer turned it away before the errand began. Counts against the peer, not
    /// against the errand.
    Unreachable(String),
    /// The dialogue took place; one end for each recipient of the errand, in order.
    Told(Vec<Told>),
    /// It cannot be made into a mail or read from the store; our own trouble.
    Unable(String),
}

/// How an errand to one recipient ended: a response, a report, a notice.
pub(crate) enum Brought {
    /// It was taken.
    Taken,
    /// It was not, and may be the next time.
    NotNow(String),
    /// It will not be.
    Never(String),
}

impl Carried {
    /// How it ended for the one recipient of a response, a report or a notice.
    pub(crate) fn of_one(&self) -> Brought {
        match self {
            Self::Told(ends) => match ends.first() {
                Some(Told::Taken(_)) => Brought::Taken,
                Some(Told::Never(why)) => Brought::Never(why.clone()),
                Some(Told::Later(why) | Told::Crowded(why) | Told::Unknown(why)) => {
                    Brought::NotNow(why.clone())
                }
                None => Brought::NotNow("no reply".into()),
            },
            Self::Unreachable(why) => Brought::NotNow(why.clone()),
            Self::Unable(why) => Brought::Never(why.clone()),
        }
    }
}

/// How an errand ended for one recipient, with the peer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The peer has it now (RFC 5321 6.1).
    Taken(String),
    /// Not now.
    Later(String),
    /// Not in the same mail as the others; at once in another one (RFC 5321 4.5.3.1.10).
    Crowded(String),
    /// Not at all.
    Never(String),
    /// The connection broke after the content: whether the peer has it, nobody knows (RFC 1047).
    Unknown(String),
}

/// What a recipient may do with an MM in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Fetch it.
    Retrieve,
    /// Not want it.
    Reject,
    /// Leave it for later.
    Defer,
    /// Read it; fetches it, if that was not done before.
    Read,
    /// Delete it, read or not.
    Delete,
}

/// What may happen.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives for the length of a turn")]
pub enum Event {
    /// An MM was handed in.
    Submitted(Box<Submission>),
    /// A mail came from a peer.
    Arrived(Box<Arrival>),
    /// An errand came back.
    Carried {
        /// The errand's entry, as it was dispatched.
        entry: Entry,
        /// The errand's places.
        places: Vec<u16>,
        /// How it ended.
        how: Carried,
    },
    /// A look-up came back.
    Found {
        /// The look-up's entry, as it was handed out.
        entry: Entry,
        /// What was found about each recipient, by its place.
        found: Vec<(u16, Found)>,
    },
    /// A request was repeated whose outcome is not known yet; for the MM that it came as at first.
    AskedAgain(Box<Arrival>),
    /// A local recipient did something with the MM.
    Handled {
        /// Which recipient; `None` = every local one.
        recipient: Option<Party>,
        /// What.
        how: Handling,
        /// Whether the recipient allows a report of it.
        report_allowed: bool,
    },
    /// An operator wants it tried at once.
    RetryNow {
        /// Why, in the operator's words; may be empty.
        why: String,
        /// Parts of errands that are on their way and are left alone.
        in_flight: Vec<u16>,
    },
    /// An operator wants it gone.
    Drop {
        /// Why, in the operator's words.
        why: String,
    },
    /// The time that the ledger asked to be woken at has come.
    Woken {
        /// Parts of errands that are on their way: how they end decides.
        in_flight: Vec<u16>,
        /// Why nothing goes to these peers now.
        trouble: Vec<(PeerName, String)>,
    },
}

impl Event {
    /// The entry that the event settles.
    pub(crate) const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Carried { entry, .. } | Self::Found { entry, .. } => Some(entry),
            _ => None,
        }
    }
}

/// What the one who caused an event is told, once everything that the answer promises is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a peer's connection, after the final dot.
    Mail(Reply),
    /// The MM, as it is now.
    Ledger(Arc<Ledger>),
    /// This was handed in before, as this MM; `false` when under the same key something else was asked.
    Repeated(MmId, bool),
    /// There is no such MM.
    Unknown(MmId),
    /// It was refused, or could not be stored; nothing of it happened.
    Refused(Reason, String),
}
