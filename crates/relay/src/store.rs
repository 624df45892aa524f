//! The heart's view of the cellar: what must be durable, and the one unit in which it changes.
//!
//! Owns: the trait [`Store`] and its vocabulary. Never knows: files, SQL, sockets, clocks.
//!
//! The unit is a [`Batch`]: preconditions, then effects, all or nothing, durable when its callback runs. It is data,
//! never an interactive transaction, so that an embedded store can put a hundred of them under one flush and a remote
//! one can send them in one round trip. When the outcome is unknown the same batch may be committed again, provided
//! that it carries a precondition which the first one would have used up.
//!
//! Order: content is durable before the ledger row that names it; the row is gone before its content is freed. A
//! crash therefore leaves, at worst, content that nobody names.

use mms::{MmId, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The name of a queue of errands: one for each peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub Arc<str>);

impl QueueId {
    /// The queue with this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an entry: one errand of one MM in one queue. At most one entry has a given name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The queue it waits in.
    pub queue: QueueId,
    /// The MM whose errand it is.
    pub mm: MmId,
    /// Which errand of the MM's ledger.
    pub part: u16,
}

/// An entry as the store holds it, and at the same time the claim on it: what `Ack` and `Retry` name.
///
/// `attempt` is the fence: every `Retry` raises it, so a claim from before changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// When it may be tried.
    pub due: Timestamp,
    /// How often it was tried before.
    pub attempt: u32,
}

/// Where stored content is. Opaque outside the store that made it; kept in the ledger, octet for octet.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentRef {
    /// Octets, in wire form (dot-stuffed, CRLF, without the terminator).
    pub len: u64,
    /// The store's own words for the place.
    pub locator: Arc<[u8]>,
}

impl fmt::Debug for ContentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content of {} octets", self.len)
    }
}

/// A small word by which an MM can be found again: `mailbox=+12025550100`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// What kind of word.
    pub kind: TagKind,
    /// The word.
    pub value: String,
}

/// Kinds of [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TagKind {
    /// A local recipient in whose mailbox the MM lies.
    Mailbox = 1,
    /// The key of the `X-Mms-Message-ID` under which the MM is known between Relay/Servers.
    MessageId = 2,
}

/// What must hold, or nothing of the batch happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nobody has used this key before (or it was forgotten since). On success the value is remembered under it.
    /// Otherwise the outcome is [`Outcome::Duplicates`].
    Once {
        /// The key.
        key: Vec<u8>,
        /// What to answer to later batches with the same key.
        value: Vec<u8>,
        /// When it may be forgotten.
        keep_until: Timestamp,
    },
    /// The ledger has this version; 0 = there is none yet. Otherwise [`Outcome::Stale`].
    Version {
        /// The MM.
        id: MmId,
        /// 1 after the first `PutLedger`, then one more with each.
        version: u32,
    },
    /// The entry is still there, with the same due time and attempt. Otherwise [`Outcome::Lost`].
    Held(Entry),
}

/// What happens, in this order, if all needs hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write the ledger; its version rises by one.
    PutLedger {
        /// The MM.
        id: MmId,
        /// The ledger, in the heart's own encoding.
        ledger: Vec<u8>,
        /// When the heart wants to look at this MM again, if ever.
        wake: Option<Timestamp>,
    },
    /// Remove the ledger, its content, its tags and its entries.
    RemoveLedger {
        /// The MM.
        id: MmId,
    },
    /// From now on this content lives, in the name of the MM, until dropped. It becomes durable before this batch.
    KeepContent {
        /// The MM; it has at most one content.
        id: MmId,
        /// What a writer of this store returned.
        content: ContentRef,
        /// In whose name its octets count; empty: in nobody's.
        owner: Arc<str>,
    },
    /// The MM's content is not needed any more; its room may be used again after this batch.
    DropContent {
        /// The MM.
        id: MmId,
    },
    /// Put an entry into its queue; an entry of the same name is replaced.
    Enqueue(Entry),
    /// The errand is done: remove the entry (named by [`Entry::id`]), if it is there.
    Ack(Entry),
    /// The errand is to be tried again at `due`, with its attempt raised by one.
    Retry {
        /// The entry as it was.
        entry: Entry,
        /// When to try again.
        due: Timestamp,
    },
    /// Remember a value under a key of [`Need::Once`], replacing what was there.
    Remember {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
        /// When it may be forgotten.
        keep_until: Timestamp,
    },
    /// Make the MM findable by a tag.
    PutTag {
        /// The MM.
        id: MmId,
        /// The tag.
        tag: Tag,
    },
    /// Undo `PutTag`.
    RemoveTag {
        /// The MM.
        id: MmId,
        /// The tag.
        tag: Tag,
    },
    /// Append a record to the outbox of a topic, in the same step.
    Emit {
        /// The topic.
        topic: Topic,
        /// The record.
        data: Vec<u8>,
    },
}

/// Outboxes: records that somebody else reads, in order, exactly those whose batch was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Charging records (TS 32.270).
    Charging = 1,
    /// Events for applications.
    Event = 2,
}

/// Preconditions, then effects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// All must hold.
    pub need: Vec<Need>,
    /// Applied in order.
    pub ops: Vec<Op>,
}

/// What became of a batch. Everything but `Done` means that nothing of it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable.
    Done,
    /// These keys were used before, with these values.
    Duplicates(Vec<(Vec<u8>, Vec<u8>)>),
    /// The entry is gone or was tried since.
    Lost(Entry),
    /// The ledger has another version.
    Stale(MmId),
}

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No room. New MMs are refused (`452`); what is already here goes on.
    Full(String),
    /// Not now (`451`). After a failed flush this is final until a restart: a flush is never tried again.
    Unavailable(String),
    /// It may or may not have happened: commit the same batch again.
    Unknown(String),
    /// What was read is damaged: set it aside for a person to see.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => write!(f, "no room in the store: {why}"),
            Self::Unavailable(why) => write!(f, "store unavailable: {why}"),
            Self::Unknown(why) => write!(f, "outcome of the commit unknown: {why}"),
            Self::Corrupt(why) => write!(f, "damaged data in the store: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A ledger as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    /// Counts its `PutLedger`s.
    pub version: u32,
    /// The ledger, in the heart's own encoding.
    pub ledger: Vec<u8>,
    /// The content that lives in its name.
    pub content: Option<ContentRef>,
    /// When the heart wants to look again.
    pub wake: Option<Timestamp>,
}

/// One queue at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueHead {
    /// The queue.
    pub queue: QueueId,
    /// The earliest due time in it.
    pub due: Timestamp,
}

/// What the store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing is accepted any more, if so. Final until a restart.
    pub failed: Option<String>,
    /// Octets free for content, as far as known.
    pub disk_free: Option<u64>,
    /// Octets of content that live.
    pub content_live: u64,
    /// Octets that content occupies, dead ones included.
    pub content_stored: u64,
    /// Octets of the ledger's write-ahead log.
    pub log_size: u64,
}

/// What [`Store::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Keys forgotten.
    pub forgotten: u64,
    /// Octets of content freed.
    pub freed: u64,
    /// Whether something is left to do at once.
    pub more: bool,
}

/// Runs once, on a thread of the store, when the batch is durable or has failed. Must not block.
pub type Done = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;

/// Takes the octets of one content as they arrive. Dropping it before `finish` abandons them.
pub trait ContentWriter: Send {
    /// Append octets, in wire form.
    ///
    /// # Errors
    /// `Full` or `Unavailable`; the writer is of no use after that.
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError>;

    /// All octets are here. They become durable with the batch that keeps them ([`Op::KeepContent`]), not before.
    ///
    /// # Errors
    /// As [`ContentWriter::write`].
    fn finish(self: Box<Self>) -> Result<ContentRef, StoreError>;
}

/// Durable truth. All methods may be called from any thread.
pub trait Store: Send + Sync + 'static {
    /// A place for one new content. `size_hint` is what the peer announced, in octets.
    ///
    /// # Errors
    /// `Full` when the disk is low, `Unavailable` after a failed flush.
    fn content_writer(&self, size_hint: Option<u64>) -> Result<Box<dyn ContentWriter>, StoreError>;

    /// Read octets of a content into `into`, from `offset` on; returns how many (fewer only at the end).
    ///
    /// # Errors
    /// `Corrupt` when a checksum does not match.
    fn read_content(&self, content: &ContentRef, offset: u64, into: &mut [u8]) -> Result<usize, StoreError>;

    /// Commit a batch; `done` runs when it is durable, or when it is certain that nothing happened.
    /// Batches take effect in the order of these calls.
    fn commit(&self, batch: Arc<Batch>, done: Done);

    /// The committed ledger of an MM.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read.
    fn ledger(&self, id: MmId) -> Result<Option<StoredLedger>, StoreError>;

    /// What is remembered under a key of [`Need::Once`].
    ///
    /// # Errors
    /// `Unavailable`.
    fn once(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every queue that has entries, with its earliest due time.
    ///
    /// # Errors
    /// `Unavailable`.
    fn queues(&self) -> Result<Vec<QueueHead>, StoreError>;

    /// Entries of a queue in order of (due, MM, part), those after `after` only, at most `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn entries(&self, queue: &QueueId, after: Option<&Entry>, max: usize) -> Result<Vec<Entry>, StoreError>;

    /// How many entries a queue has, counted up to `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn depth(&self, queue: &QueueId, max: u64) -> Result<u64, StoreError>;

    /// MMs that want to be looked at, in order of (wake, id), those after `after` only, at most `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn wakes(
        &self,
        after: Option<(Timestamp, MmId)>,
        max: usize,
    ) -> Result<Vec<(Timestamp, MmId)>, StoreError>;

    /// MMs in order of id, those after `after` only (or, with `newest_first`, those before it), at most `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn ledgers(&self, after: Option<MmId>, newest_first: bool, max: usize) -> Result<Vec<MmId>, StoreError>;

    /// (value, MM) of one kind of tag, in order, those after `after` only, at most `max`. With `value`, only that
    /// value.
    ///
    /// # Errors
    /// `Unavailable`.
    fn tagged(
        &self,
        kind: TagKind,
        value: Option<&str>,
        after: Option<&(String, MmId)>,
        max: usize,
    ) -> Result<Vec<(String, MmId)>, StoreError>;

    /// Records of an outbox after sequence number `after`, at most `max`. Numbers start at 1 and have no gaps.
    ///
    /// # Errors
    /// `Unavailable`.
    fn drain(&self, topic: Topic, after: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Forget records of an outbox up to and including a sequence number.
    ///
    /// # Errors
    /// `Unavailable`.
    fn trim(&self, topic: Topic, up_to: u64) -> Result<(), StoreError>;

    /// Housekeeping: forget old keys, free dead content, shorten logs. Takes at most about `budget`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn maintain(&self, now: Timestamp, budget: Duration) -> Result<Maintained, StoreError>;

    /// Octets of content that live in the name of this owner, those included that a store puts beside them for itself.
    fn stored_by(&self, owner: &str) -> u64;

    /// How it is.
    fn health(&self) -> Health;
}
