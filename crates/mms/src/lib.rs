//! The words of MMS: what 3GPP TS 23.140 speaks of, as types.
//!
//! Owns: addresses, identifiers, the six abstract messages of MM4 (clause 8.4), statuses, time as a number.
//! Never knows: how a word looks on a wire beyond its own characters, clocks, disks, sockets, policy.
//! Every value that came from outside is checked once, when its type is made; after that it cannot be wrong.

mod address;
mod id;
mod message;
mod status;
mod text;
mod time;

pub use address::{Address, AddressError, Domain, MailPath, Number, NumberPlan, Party};
pub use id::{IdError, MessageId, MmId, TransactionId};
pub use message::{
    AbstractMessage, DeliveryReportReq, DeliveryReportRes, Expiry, ForwardReq, ForwardRes, MessageType,
    PreviouslySent, ReadReplyReportReq, ReadReplyReportRes, Version,
};
pub use status::{
    ContentClass, MessageClass, MmStatus, MmStatusExtension, Priority, ReadStatus, RequestStatus, Visibility,
};
pub use text::{ControlCharacter, HeaderText};
pub use time::Timestamp;
