//! The ledger of one MM: what we know of it and what we still owe.
//!
//! Owns: recipients and their states, transactions (requests of ours that await a response), responses that we owe,
//! history. Never knows: how anything looks on a wire, what time it is, where it is stored.
//!
//! A crash leaves the last committed ledger. An errand that was in flight is due again; the recipient Relay/Server
//! discards the repeat by Message-ID (TS 23.140 8.4.1; RFC 1047 says why no sender can do better).

use crate::house::{HookName, PeerName, TransitMode};
use crate::lookup;
use crate::notice::Notice;
use crate::pack::{Damaged, Pack, damaged, pack_struct, pack_words};
use crate::report::Report;
use crate::store::{Entry, EntryId};
use crate::verdict::Reason;
use mms::{
    ForwardReq, HeaderText, MailPath, MessageId, MessageType, MmId, MmStatus, Party, ReadStatus,
    RequestStatus, Timestamp, TransactionId,
};
use std::fmt;

/// All that is known and owed about one MM, or about one mail that needs an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Our name for it.
    pub id: MmId,
    /// Where it came from.
    pub origin: Origin,
    /// When we took responsibility.
    pub accepted: Timestamp,
    /// When its validity ends.
    pub expires: Timestamp,
    /// The MM's control information; `None` for a mail that only needs an answer.
    pub request: Option<ForwardReq>,
    /// Its content, as long as it is kept.
    pub body: Option<Body>,
    /// Every recipient that is ours to deliver to.
    pub recipients: Vec<Recipient>,
    /// Requests of ours, in the order of their making. The place in this list is the part of the errand.
    pub transactions: Vec<Transaction>,
    /// Responses that we owe.
    pub responses: Vec<Response>,
    /// Who else asked for a response while the outcome was open: repeats under other transaction ids.
    pub askers: Vec<Asker>,
    /// Reports of ours to the originator's Relay/Server.
    pub reports: Vec<Report>,
    /// What applications are told by webhook.
    pub notices: Vec<Notice>,
    /// The look-up that recipients in [`RecipientState::Routing`] wait for: due time and attempts.
    pub lookup: Option<(Timestamp, u32)>,
    /// What happened, oldest first.
    pub history: Vec<Moment>,
    /// Moments left out of the middle of a long history.
    pub history_cut: u32,
}

/// How an MM came to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Handed in by a user or application of ours.
    Submitted {
        /// By whom: `cli`, or `application NAME`.
        by: String,
        /// The webhook that hears what becomes of it.
        hook: Option<HookName>,
    },
    /// From a peer.
    Received {
        /// The peer, known by its connection, never by what the message says.
        peer: PeerName,
        /// The envelope sender; `None` for `<>`.
        mail_from: Option<MailPath>,
    },
}

/// The kept content and where its body begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Octets of the whole content in wire form, header block included if there is one.
    pub len: u64,
    /// Octets of the body after decoding, about.
    pub decoded: u64,
    /// Octets before the body: the header block and the empty line, 0 for a submitted MM.
    pub offset: u64,
    /// CRC-32C of the body, to tell a repeat from another MM under the same id.
    pub digest: u32,
    /// Whether the body has octets over 127.
    pub eight_bit: bool,
}

/// How a recipient is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecipientKind {
    /// Named in `To`.
    To,
    /// Named in `Cc`.
    Cc,
    /// In the envelope only.
    Bcc,
}

impl RecipientKind {
    const ALL: &'static [Self] = &[Self::To, Self::Cc, Self::Bcc];
}

/// One recipient of the MM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address in canonical form, with the domain that the envelope had.
    pub party: Party,
    /// The path that a look-up gave for the envelope, if one did (TS 23.140 annex G).
    pub path: Option<MailPath>,
    /// How it is addressed.
    pub kind: RecipientKind,
    /// How far it got.
    pub state: RecipientState,
    /// Why, where the state needs a reason.
    pub reason: Option<Reason>,
    /// The status that a response gave or carries.
    pub status: Option<RequestStatus>,
    /// The other side's words, or ours.
    pub text: Option<HeaderText>,
    /// When the state was entered.
    pub since: Timestamp,
    /// What a delivery report said.
    pub mm_status: Option<MmStatus>,
    /// What a read-reply report said.
    pub read_status: Option<ReadStatus>,
    /// What the submitting user or application may know of `mm_status` (mm4 5.7).
    pub told: Option<MmStatus>,
    /// Whether the peer that sent the MM was told the outcome, or need not be.
    pub concluded: bool,
}

/// How far an MM got for one recipient. The order is the order in which states may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecipientState {
    /// Waits for a look-up to tell where it goes.
    Routing,
    /// Waits for its peer.
    Queued,
    /// The peer's SMTP said `250`; a response may be awaited.
    Forwarded,
    /// The peer took it, but its response never came.
    Unconfirmed,
    /// The peer's response was `Ok`.
    Accepted,
    /// In the mailbox.
    Stored,
    /// Fetched from the mailbox.
    Retrieved,
    /// The recipient did not want it.
    Rejected,
    /// The recipient deleted it.
    Deleted,
    /// Validity ended first.
    Expired,
    /// We refused it when it arrived.
    Refused,
    /// It failed after it was accepted here.
    Failed,
    /// It was a repeat; the first one counts.
    Duplicate,
}

impl RecipientState {
    const ALL: &'static [Self] = &[
        Self::Routing,
        Self::Queued,
        Self::Forwarded,
        Self::Unconfirmed,
        Self::Accepted,
        Self::Stored,
        Self::Retrieved,
        Self::Rejected,
        Self::Deleted,
        Self::Expired,
        Self::Refused,
        Self::Failed,
        Self::Duplicate,
    ];

    /// One word for JSON and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::Queued => "queued",
            Self::Forwarded => "forwarded",
            Self::Unconfirmed => "unconfirmed",
            Self::Accepted => "accepted",
            Self::Stored => "stored",
            Self::Retrieved => "retrieved",
            Self::Rejected => "rejected",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for RecipientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One `MM4_forward.REQ` of ours to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Joins it to its response; unguessable.
    pub id: TransactionId,
    /// The peer.
    pub peer: PeerName,
    /// Places in [`Ledger::recipients`].
    pub recipients: Vec<u16>,
    /// How it passes through us, if a peer sent it.
    pub transit: Option<TransitMode>,
    /// How far it got.
    pub state: TransactionState,
    /// Sent again because no response came, so many times.
    pub resends: u32,
    /// Made anew because a response said "try again", so many times.
    pub retries: u32,
    /// Its entry in the peer's queue, while it has one: due time and attempts.
    pub entry: Option<(Timestamp, u32)>,
}

impl Transaction {
    /// Whether its request goes on as it came, so that somebody else answers it.
    pub fn passes(&self) -> bool {
        self.transit == Some(TransitMode::Transparent)
    }
}

/// How far a transaction got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// In the peer's queue.
    Queued,
    /// The peer took it; its response is awaited until then.
    Awaiting(Timestamp),
    /// Nothing more will come of it.
    Settled,
}

/// One response that we owe a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Which of the three.
    pub kind: MessageType,
    /// The peer that asked. Only its configured hosts are ever connected to.
    pub peer: PeerName,
    /// The mailbox there.
    pub to: MailPath,
    /// The request's, octet for octet.
    pub transaction_id: Option<TransactionId>,
    /// The request's.
    pub message_id: Option<MessageId>,
    /// The verdict.
    pub status: RequestStatus,
    /// The verdict in words.
    pub text: Option<HeaderText>,
    /// The recipients that it names; empty = all.
    pub recipients: Vec<Party>,
    /// Since when we owe it.
    pub at: Timestamp,
    /// Its entry in the peer's queue; `None` once it was sent or given up.
    pub entry: Option<(Timestamp, u32)>,
}

/// Where a response is awaited, and under which transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The request's, octet for octet.
    pub transaction_id: Option<TransactionId>,
    /// The mailbox at the peer that the MM came from.
    pub to: MailPath,
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// With which peer.
    pub peer: Option<PeerName>,
    /// Places in [`Ledger::recipients`] that it is about; empty = all, or none in particular.
    pub recipients: Vec<u16>,
    /// In words; the other side's words where it spoke.
    pub text: String,
}

macro_rules! whats {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $sentence:literal;)+) => {
        /// Kinds of [`Moment`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum What { $($(#[$doc])* $name,)+ }

        impl What {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// One word for JSON and logs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it means, for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}

whats! {
    /// An MM was handed in here.
    Submitted = "submitted", "submitted here";
    /// A mail from a peer was taken.
    Received = "received", "received from the peer";
    /// Recipients were refused on arrival.
    Refused = "refused", "refused";
    /// It was a repeat.
    Repeated = "repeated", "recognised as a repeat; not delivered again";
    /// Put into a mailbox.
    Stored = "stored", "put into the mailbox";
    /// A look-up was made, or could not be.
    Routed = "routed", "looked up where its recipients are served";
    /// Put into a peer's queue.
    Queued = "queued", "queued for the peer";
    /// The peer's SMTP took the request.
    Forwarded = "forwarded", "MM4_forward.REQ taken by the peer";
    /// The peer said "later".
    Deferred = "deferred", "put off; will be tried again";
    /// Given up for some recipients.
    Failed = "failed", "failed";
    /// A response or report of ours was taken by the peer.
    Answered = "answered", "taken by the peer";
    /// A response of ours could not be brought.
    Unanswered = "unanswered", "could not be brought to the peer";
    /// A response came.
    Response = "response", "response received";
    /// No response came in time.
    NoResponse = "no-response", "no response in time; sending again";
    /// No response came at all.
    Unconfirmed = "unconfirmed", "no MM4_forward.RES came; delivery is unconfirmed";
    /// Fetched from the mailbox.
    Retrieved = "retrieved", "retrieved from the mailbox";
    /// Rejected, deferred, read or deleted by its recipient.
    Handled = "handled", "handled by the recipient";
    /// A report of ours is due.
    Reported = "reported", "report queued for the peer";
    /// Validity ended.
    Expired = "expired", "expired";
    /// A report came.
    Report = "report", "report received";
    /// An application took a notice, or did not.
    Notified = "notified", "application told by webhook";
    /// An application could not be told.
    Unnotified = "unnotified", "application could not be told by webhook";
    /// Something that does not fit, and changed nothing.
    Ignored = "ignored", "ignored";
    /// An operator's doing.
    Operator = "operator", "operator";
}
pack_words!(What, RecipientKind, RecipientState, MessageType);

pack_struct!(Body { len, decoded, offset, digest, eight_bit });
pack_struct!(Recipient {
    party,
    path,
    kind,
    state,
    reason,
    status,
    text,
    since,
    mm_status,
    read_status,
    told,
    concluded
});
pack_struct!(Transaction { id, peer, recipients, transit, state, resends, retries, entry });
pack_struct!(Asker { transaction_id, to });
pack_struct!(Response { kind, peer, to, transaction_id, message_id, status, text, recipients, at, entry });
pack_struct!(Moment { at, what, peer, recipients, text });

macro_rules! pack_name {
    ($($ty:ty),+) => { $(
        impl Pack for $ty {
            fn pack(&self, out: &mut Vec<u8>) {
                self.0.pack(out);
            }
            fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
                Pack::unpack(input).map(Self)
            }
        }
    )+ };
}
pack_name!(PeerName, HookName);

impl Pack for TransitMode {
    fn pack(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self == Self::Transparent));
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::BackToBack),
            1 => Ok(Self::Transparent),
            _ => damaged(input, "a way of transit"),
        }
    }
}

impl Pack for TransactionState {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Queued => 0u8.pack(out),
            Self::Awaiting(until) => (1u8, *until).pack(out),
            Self::Settled => 2u8.pack(out),
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::Queued),
            1 => Timestamp::unpack(input).map(Self::Awaiting),
            2 => Ok(Self::Settled),
            _ => damaged(input, "a transaction state"),
        }
    }
}

impl Pack for Origin {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Submitted { by, hook } => {
                (0u8, by.clone()).pack(out);
                hook.pack(out);
            }
            Self::Received { peer, mail_from } => {
                (1u8, peer.0.clone()).pack(out);
                mail_from.pack(out);
            }
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::Submitted { by: Pack::unpack(input)?, hook: Pack::unpack(input)? }),
            1 => Ok(Self::Received { peer: Pack::unpack(input)?, mail_from: Pack::unpack(input)? }),
            _ => damaged(input, "an origin"),
        }
    }
}

/// The first octet of every stored ledger: which shape follows.
const FORMAT: u8 = 3;
/// The shape before: a body without its decoded size.
const FORMAT_BEFORE: u8 = 2;

/// A body as [`FORMAT_BEFORE`] has it.
fn body_before(input: &mut &[u8]) -> Result<Option<Body>, Damaged> {
    if !bool::unpack(input)? {
        return Ok(None);
    }
    let (len, offset) = (u64::unpack(input)?, u64::unpack(input)?);
    let (digest, eight_bit) = (Pack::unpack(input)?, Pack::unpack(input)?);
    Ok(Some(Body { len, decoded: len.saturating_sub(offset), offset, digest, eight_bit }))
}

impl Recipient {
    /// A recipient about whom nothing is known yet.
    pub fn new(party: Party, kind: RecipientKind, state: RecipientState, since: Timestamp) -> Self {
        Self {
            party,
            path: None,
            kind,
            state,
            reason: None,
            status: None,
            text: None,
            since,
            mm_status: None,
            read_status: None,
            told: None,
            concluded: false,
        }
    }
}

impl Ledger {
    /// A ledger at its beginning.
    pub fn new(id: MmId, origin: Origin, accepted: Timestamp, expires: Timestamp) -> Self {
        Self {
            id,
            origin,
            accepted,
            expires,
            request: None,
            body: None,
            recipients: Vec::new(),
            transactions: Vec::new(),
            responses: Vec::new(),
            askers: Vec::new(),
            reports: Vec::new(),
            notices: Vec::new(),
            lookup: None,
            history: Vec::new(),
            history_cut: 0,
        }
    }

    /// The octets to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.push(FORMAT);
        let Self { id, origin, accepted, expires, request, body, recipients, transactions, .. } = self;
        id.pack(&mut out);
        origin.pack(&mut out);
        (*accepted, *expires).pack(&mut out);
        request.pack(&mut out);
        body.pack(&mut out);
        recipients.pack(&mut out);
        transactions.pack(&mut out);
        self.responses.pack(&mut out);
        self.askers.pack(&mut out);
        self.reports.pack(&mut out);
        self.notices.pack(&mut out);
        self.lookup.pack(&mut out);
        self.history.pack(&mut out);
        self.history_cut.pack(&mut out);
        out
    }

    /// The ledger in stored octets.
    ///
    /// # Errors
    /// [`Damaged`]: another format number, or octets that are no ledger.
    pub fn decode(octets: &[u8]) -> Result<Self, Damaged> {
        let input = &mut &octets[..];
        let format = u8::unpack(input)?;
        if format != FORMAT && format != FORMAT_BEFORE {
            return damaged(input, "ledger format 3 or 2");
        }
        let ledger = Self {
            id: Pack::unpack(input)?,
            origin: Pack::unpack(input)?,
            accepted: Pack::unpack(input)?,
            expires: Pack::unpack(input)?,
            request: Pack::unpack(input)?,
            body: if format == FORMAT { Pack::unpack(input)? } else { body_before(input)? },
            recipients: Pack::unpack(input)?,
            transactions: Pack::unpack(input)?,
            responses: Pack::unpack(input)?,
            askers: Pack::unpack(input)?,
            reports: Pack::unpack(input)?,
            notices: Pack::unpack(input)?,
            lookup: Pack::unpack(input)?,
            history: Pack::unpack(input)?,
            history_cut: Pack::unpack(input)?,
        };
        let places = ledger.recipients.len();
        let sound = |list: &[u16]| list.iter().all(|i| usize::from(*i) < places);
        let all = ledger.transactions.iter().all(|t| sound(&t.recipients))
            && ledger.reports.iter().all(|r| sound(&[r.place]))
            && ledger.notices.iter().all(|n| sound(&[n.place]))
            && ledger.history.iter().all(|m| sound(&m.recipients));
        if input.is_empty() && all { Ok(ledger) } else { damaged(input, "the end of a ledger") }
    }

    /// The entry of an errand, while it has one.
    pub fn entry(&self, part: u16) -> Option<Entry> {
        let (queue, entry) = match Part::of(part) {
            Part::Transaction(i) => self.transactions.get(i).map(|t| (t.peer.queue(), t.entry))?,
            Part::Response(i) => self.responses.get(i).map(|r| (r.peer.queue(), r.entry))?,
            Part::Report(i) => self.reports.get(i).map(|r| (r.peer.queue(), r.entry))?,
            Part::Notice(i) => self.notices.get(i).map(|n| (n.hook.queue(), n.entry))?,
            Part::Lookup => (lookup::queue(), self.lookup),
        };
        let (due, attempt) = entry?;
        Some(Entry { id: EntryId { queue, mm: self.id, part }, due, attempt })
    }

    /// Every entry that this ledger has in queues.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let transactions = 0..self.transactions.len() as u16;
        let responses = (0..self.responses.len() as u16).map(|i| i | RESPONSE);
        let reports = (0..self.reports.len() as u16).map(|i| i | REPORT);
        let notices = (0..self.notices.len() as u16).map(|i| i | NOTICE);
        let all = transactions.chain(responses).chain(reports).chain(notices).chain([LOOKUP]);
        all.filter_map(|part| self.entry(part))
    }

    /// Whether nothing is owed or awaited any more, by anybody.
    pub fn is_closed(&self) -> bool {
        self.entries().next().is_none()
            && self.transactions.iter().all(|t| t.state == TransactionState::Settled)
            && self.reports.iter().all(|r| r.state == TransactionState::Settled)
            && !self.recipients.iter().any(|r| match r.state {
                RecipientState::Routing | RecipientState::Queued | RecipientState::Stored => true,
                // It may be fetched again for as long as it is kept.
                RecipientState::Retrieved => self.body.is_some(),
                _ => false,
            })
    }

    /// Whether somebody may still need the content at this time.
    pub fn needs_content(&self, now: Timestamp) -> bool {
        let fetchable = |r: &Recipient| matches!(r.state, RecipientState::Stored | RecipientState::Retrieved);
        self.transactions.iter().any(|t| t.state != TransactionState::Settled)
            || self.recipients.iter().any(|r| r.state == RecipientState::Routing)
            || now < self.expires && self.recipients.iter().any(fetchable)
    }

    /// The last moment of its history.
    pub fn last_moment(&self) -> Timestamp {
        self.history.last().map_or(self.accepted, |m| m.at)
    }
}

/// Marks the part of an errand as the place of a response.
pub const RESPONSE: u16 = 0x8000;
/// Marks the part of an errand as the place of a report. Without any mark it is the place of a transaction.
pub const REPORT: u16 = 0x4000;
/// Marks the part of an errand as the place of a notice.
pub const NOTICE: u16 = 0x2000;
/// The part of the look-up, of which there is at most one at a time.
pub const LOOKUP: u16 = REPORT | NOTICE;
/// A ledger holds fewer transactions, reports and notices than this, each.
pub const PLACES_MAX: usize = 0x2000;

/// What the part of an errand stands for, and its place in the ledger's list of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Transaction(usize),
    Response(usize),
    Report(usize),
    Notice(usize),
    Lookup,
}

impl Part {
    pub fn of(part: u16) -> Self {
        let place = usize::from(part & !(RESPONSE | REPORT | NOTICE));
        match part & (RESPONSE | LOOKUP) {
            0 => Self::Transaction(place),
            REPORT => Self::Report(place),
            NOTICE => Self::Notice(place),
            LOOKUP => Self::Lookup,
            _ => Self::Response(usize::from(part & !RESPONSE)),
        }
    }
}

/// History longer than this loses moments from its middle.
pub const HISTORY_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::a_ledger;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_comes_back() {
        let ledger = a_ledger();
        assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    }

    #[test]
    fn a_ledger_of_the_format_before_is_read() {
        let mut ledger = a_ledger();
        let body = Body { decoded: 0x77, ..ledger.body.unwrap() };
        ledger.body = Some(body);
        let mut octets = ledger.encode();
        let mut wanted = Vec::new();
        body.pack(&mut wanted);
        let at = octets.windows(wanted.len()).position(|w| w == wanted).unwrap();
        let mut len = Vec::new();
        body.len.pack(&mut len);
        octets.remove(at + len.len());
        octets[0] = FORMAT_BEFORE;
        ledger.body = Some(Body { decoded: body.len - body.offset, ..body });
        assert_eq!(Ledger::decode(&octets), Ok(ledger));
    }

    proptest! {
        #[test]
        fn damaged_octets_never_panic(at in any::<prop::sample::Index>(), octet in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut octets = a_ledger().encode();
            let place = at.index(octets.len());
            octets[place] = octet;
            let _ = Ledger::decode(&octets);
            octets.truncate(cut.index(octets.len()));
            prop_assert!(Ledger::decode(&octets).is_err());
        }
    }
}
