//! A charging record as the fields that TS 32.298 names, before it becomes JSON, CSV or BER.
//!
//! Owns: which field each record has, with its tag and type. Never knows: how any of the three forms writes it.
//! Everything that a form writes stands in a [`Row`], and every form reads the same row back.

use mms::{Address, MessageClass, MmStatus, Priority, ReadStatus, RequestStatus, Timestamp};
use relay::{About, RecipientKind, Record, RecordType, Reporting};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A whole number.
    Int,
    /// Yes or no.
    Bool,
    /// Text.
    Text,
    /// An instant, to the second.
    Time,
    /// The same, where a span would be allowed, too.
    Wait,
    /// A Relay/Server, by its domain.
    Rs,
    /// A user.
    Agent,
    /// Users.
    Agents,
    /// One of these words, each with its number.
    Word(&'static [(u8, &'static str)]),
}

/// One field of a record.
#[derive(Debug)]
pub struct Field {
    /// Its tag.
    pub tag: u8,
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Whether it may not be left out.
    pub must: bool,
}

const CLASSES: Type =
    Type::Word(&[(0, "personal"), (1, "advertisement"), (2, "information-service"), (3, "auto")]);
const PRIORITIES: Type = Type::Word(&[(0, "low"), (1, "normal"), (2, "high")]);
const STATUSES: Type = Type::Word(&[
    (0, "ok"),
    (4, "unspecified"),
    (30, "service-denied"),
    (31, "message-format-corrupt"),
    (32, "sending-address-unresolved"),
    (33, "message-not-found"),
    (34, "network-problem"),
    (35, "content-not-accepted"),
    (36, "unsupported-message"),
]);
const FATES: Type = Type::Word(&[
    (0, "retrieved"),
    (1, "forwarded"),
    (2, "expired"),
    (3, "rejected"),
    (4, "deferred"),
    (5, "unrecognised"),
    (6, "read"),
    (7, "deletedWithoutBeingRead"),
]);
/// How a recipient is addressed.
pub const KINDS: &[(u8, &str)] = &[(0, "to"), (1, "cc"), (2, "bcc")];

macro_rules! fields {
    ($name:ident: $($tag:literal $field:ident $ty:expr, $must:literal;)+) => {
        const $name: &[Field] =
            &[$(Field { tag: $tag, name: stringify!($field), ty: $ty, must: $must },)+];
    };
}

fields! { MMO4FRQ:
    0 recordType Type::Int, true;
    1 originatorMmsRSAddress Type::Rs, true;
    2 recipientMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 originatorAddress Type::Agent, true;
    6 recipientAddresses Type::Agents, true;
    7 contentType Type::Text, true;
    9 messageSize Type::Int, true;
    10 messageClass CLASSES, false;
    11 submissionTime Type::Time, true;
    12 timeOfExpiry Type::Wait, false;
    13 deliveryReportRequested Type::Bool, true;
    14 priority PRIORITIES, false;
    15 senderVisibility Type::Bool, true;
    16 readReplyRequested Type::Bool, true;
    17 acknowledgementRequest Type::Bool, true;
    18 forwardCounter Type::Int, false;
    19 forwardingAddress Type::Agents, false;
    20 recordTimeStamp Type::Time, true;
    21 localSequenceNumber Type::Int, true;
}

fields! { MMR4F:
    0 recordType Type::Int, true;
    1 recipientMmsRSAddress Type::Rs, true;
    2 originatorMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 originatorAddress Type::Agent, true;
    6 recipientAddresses Type::Agents, true;
    7 contentType Type::Text, true;
    9 messageSize Type::Int, true;
    10 messageClass CLASSES, false;
    11 submissionTime Type::Time, true;
    12 timeOfExpiry Type::Wait, false;
    13 deliveryReportRequested Type::Bool, true;
    14 priority PRIORITIES, false;
    15 senderVisibility Type::Bool, true;
    16 readReplyRequested Type::Bool, true;
    17 requestStatusCode STATUSES, true;
    18 statusText Type::Text, true;
    19 acknowledgementRequest Type::Bool, true;
    20 forwardCounter Type::Int, false;
    21 forwardingAddress Type::Agents, false;
    22 recordTimeStamp Type::Time, true;
    23 localSequenceNumber Type::Int, true;
}

fields! { MMO4FRS:
    0 recordType Type::Int, true;
    1 originatorMmsRSAddress Type::Rs, false;
    2 recipientMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 requestStatusCode STATUSES, false;
    6 statusText Type::Text, false;
    7 recordTimeStamp Type::Time, false;
    8 localSequenceNumber Type::Int, true;
}

fields! { MMR4RS:
    0 recordType Type::Int, true;
    1 recipientMmsRSAddress Type::Rs, true;
    2 originatorMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 requestStatusCode STATUSES, false;
    6 statusText Type::Text, false;
    7 recordTimeStamp Type::Time, false;
    8 localSequenceNumber Type::Int, true;
}

fields! { REPORT:
    0 recordType Type::Int, true;
    1 recipientMmsRSAddress Type::Rs, true;
    2 originatorMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 originatorAddress Type::Agent, true;
    6 recipientAddress Type::Agent, true;
    7 mmDateAndTime Type::Time, true;
    8 acknowledgementRequest Type::Bool, true;
    9 mmStatusCode FATES, false;
    10 statusText Type::Text, false;
    11 recordTimeStamp Type::Time, false;
    12 localSequenceNumber Type::Int, true;
}

fields! { MMO4R:
    0 recordType Type::Int, true;
    1 recipientMmsRSAddress Type::Rs, true;
    2 originatorMmsRSAddress Type::Rs, true;
    3 messageID Type::Text, true;
    4 mms3GPPVersion Type::Text, false;
    5 originatorAddress Type::Agent, true;
    6 recipientAddresses Type::Agents, false;
    7 mmDateAndTime Type::Time, false;
    8 acknowledgementRequest Type::Bool, true;
    9 readStatus FATES, false;
    10 statusText Type::Text, false;
    11 recordTimeStamp Type::Time, false;
    12 localSequenceNumber Type::Int, true;
}

/// The fields of a record, by their tags.
pub const fn fields(kind: RecordType) -> &'static [Field] {
    match kind {
        RecordType::Mmo4frq => MMO4FRQ,
        RecordType::Mmr4f => MMR4F,
        RecordType::Mmo4frs => MMO4FRS,
        RecordType::Mmr4drs | RecordType::Mmr4rrs => MMR4RS,
        RecordType::Mmo4d | RecordType::Mmr4drq | RecordType::Mmr4rrq => REPORT,
        RecordType::Mmo4r => MMO4R,
    }
}

/// The record with this name.
pub fn kind_named(name: &str) -> Option<RecordType> {
    RecordType::ALL.iter().copied().find(|kind| kind.as_str() == name)
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(u64),
    /// Yes or no.
    Bool(bool),
    /// Text without control characters; also the domain of a Relay/Server.
    Text(String),
    /// Seconds since 1970, within the years 2000 to 2099.
    Time(i64),
    /// A user.
    Agent(Agent),
    /// Users.
    Agents(Vec<Agent>),
    /// The number of a word.
    Word(u8),
}

/// How a user is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By an e-mail address, or what stands for one.
    Email,
    /// By a phone number.
    Msisdn,
    /// By a short code.
    ShortCode,
}

impl Naming {
    /// All of them, each at the place of its tag.
    pub const ALL: [Self; 3] = [Self::Email, Self::Msisdn, Self::ShortCode];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "eMail",
            Self::Msisdn => "mSISDN",
            Self::ShortCode => "shortCode",
        }
    }
}

/// A user: `MMSAgentAddress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// How.
    pub naming: Naming,
    /// Who.
    pub text: String,
    /// As what, by its number in [`KINDS`]; only of recipients.
    pub kind: Option<u8>,
}

/// One record with its number: a value for each of its [`fields`], in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which record.
    pub kind: RecordType,
    /// The values.
    pub values: Vec<Option<Value>>,
}

/// First and last second that a time stamp can write: its year has two digits.
const TIMES: (i64, i64) = (946_684_800, 4_102_444_799);

fn text(of: &str) -> Value {
    Value::Text(of.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

fn time(at: Timestamp) -> Value {
    Value::Time(at.seconds().clamp(TIMES.0, TIMES.1))
}

fn agent(address: Option<&Address>, kind: Option<RecipientKind>) -> Agent {
    let (naming, text) = match address {
        Some(Address::Plmn(number)) => (Naming::Msisdn, number.to_string()),
        Some(Address::ShortCode(code) | Address::AlphaCode(code)) => (Naming::ShortCode, code.clone()),
        // IP addresses have no field of their own.
        Some(other) => (Naming::Email, other.to_string()),
        None => (Naming::Email, String::new()),
    };
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let kind = kind.map(|kind| match kind {
        RecipientKind::To => 0,
        RecipientKind::Cc => 1,
        RecipientKind::Bcc => 2,
    });
    Agent { naming, text, kind }
}

fn class(class: &MessageClass) -> Option<Value> {
    match class {
        MessageClass::Personal => Some(Value::Word(0)),
        MessageClass::Advertisement => Some(Value::Word(1)),
        MessageClass::Informational => Some(Value::Word(2)),
        MessageClass::Auto => Some(Value::Word(3)),
        MessageClass::Other(_) => None,
    }
}

const fn priority(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

const fn status(status: RequestStatus) -> u8 {
    match status {
        RequestStatus::Ok => 0,
        RequestStatus::ErrorUnspecified => 4,
        RequestStatus::ErrorServiceDenied => 30,
        RequestStatus::ErrorMessageFormatCorrupt => 31,
        RequestStatus::ErrorSendingAddressUnresolved => 32,
        RequestStatus::ErrorMessageNotFound => 33,
        RequestStatus::ErrorNetworkProblem => 34,
        RequestStatus::ErrorContentNotAccepted => 35,
        RequestStatus::ErrorUnsupportedMessage => 36,
    }
}

/// The number of a fate; two of MM4 have none.
const fn fate(fate: Reporting) -> Option<u8> {
    Some(match fate {
        Reporting::Delivery(MmStatus::Retrieved) => 0,
        Reporting::Delivery(MmStatus::Forwarded) => 1,
        Reporting::Delivery(MmStatus::Expired) => 2,
        Reporting::Delivery(MmStatus::Rejected) => 3,
        Reporting::Delivery(MmStatus::Deferred) => 4,
        Reporting::Delivery(MmStatus::Unrecognised) => 5,
        Reporting::Delivery(MmStatus::Indeterminate | MmStatus::Unreachable) => return None,
        Reporting::Reading(ReadStatus::Read) => 6,
        Reporting::Reading(ReadStatus::DeletedWithoutBeingRead) => 7,
    })
}

impl Row {
    /// The row of a record under its number.
    pub fn of(number: u64, record: &Record) -> Self {
        let values = fields(record.kind).iter().map(|field| value(number, record, field.name)).collect();
        Self { kind: record.kind, values }
    }

    /// The value of a field that this record has.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let place = fields(self.kind).iter().position(|f| f.name == name)?;
        self.values.get(place)?.as_ref()
    }

    /// `localSequenceNumber`; 0 if there is none, which nothing of ours writes.
    pub fn number(&self) -> u64 {
        match self.get("localSequenceNumber") {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// The row, if it has what it must have.
    ///
    /// # Errors
    /// The name of what is missing.
    pub fn complete(self) -> Result<Self, String> {
        let all = fields(self.kind).iter().zip(&self.values);
        match all.filter(|(field, value)| field.must && value.is_none()).map(|(field, _)| field.name).next() {
            Some(name) => Err(format!("{}: {name} is missing", self.kind)),
            None => Ok(self),
        }
    }
}

fn value(number: u64, record: &Record, name: &str) -> Option<Value> {
    Some(match name {
        "recordType" => Value::Int(record.kind.number().into()),
        "originatorMmsRSAddress" => text(&record.originator_rs),
        "recipientMmsRSAddress" => text(&record.recipient_rs),
        "messageID" => text(&record.message_id),
        "mms3GPPVersion" => text(&record.version?.to_string()),
        "recordTimeStamp" => time(record.at),
        "localSequenceNumber" => Value::Int(number),
        _ => return about(&record.about, name),
    })
}

fn about(about: &About, name: &str) -> Option<Value> {
    Some(match about {
        About::Forward(f) => match name {
            "originatorAddress" => Value::Agent(agent(f.originator.as_ref(), None)),
            "recipientAddresses" => {
                Value::Agents(f.recipients.iter().map(|(a, kind)| agent(Some(a), Some(*kind))).collect())
            }
            "contentType" => text(&f.content_type),
            "messageSize" => Value::Int(f.size),
            "messageClass" => class(f.class.as_ref()?)?,
            "submissionTime" => time(f.submitted),
            "timeOfExpiry" => time(f.expires),
            "deliveryReportRequested" => Value::Bool(f.delivery_report),
            "priority" => Value::Word(priority(f.priority?)),
            "senderVisibility" => Value::Bool(f.hidden),
            "readReplyRequested" => Value::Bool(f.read_reply),
            "acknowledgementRequest" => Value::Bool(f.ack),
            "forwardCounter" => Value::Int(f.forward_counter?.into()),
            "forwardingAddress" if f.forwarded_by.is_empty() => return None,
            "forwardingAddress" => {
                Value::Agents(f.forwarded_by.iter().map(|by| agent(Some(by), None)).collect())
            }
            "requestStatusCode" => Value::Word(status(f.status.as_ref()?.0)),
            "statusText" => text(f.status.as_ref()?.1.as_ref().map_or("", |t| t.as_str())),
            _ => return None,
        },
        About::Response { status: said, text: words } => match name {
            "requestStatusCode" => Value::Word(status(*said)),
            "statusText" => text(words.as_ref()?.as_str()),
            _ => return None,
        },
        About::Report(r) => match name {
            "originatorAddress" => Value::Agent(agent(r.originator.as_ref(), None)),
            "recipientAddress" => Value::Agent(agent(Some(&r.recipient), None)),
            "recipientAddresses" => Value::Agents(vec![agent(Some(&r.recipient), None)]),
            "mmDateAndTime" => time(r.happened),
            "acknowledgementRequest" => Value::Bool(r.ack),
            "mmStatusCode" | "readStatus" => Value::Word(fate(r.status)?),
            "statusText" => match (r.status, fate(r.status), &r.text) {
                (Reporting::Delivery(status), None, Some(words)) => text(&format!("{status}: {words}")),
                (Reporting::Delivery(status), None, None) => text(status.as_str()),
                (_, _, words) => text(words.as_ref()?.as_str()),
            },
            _ => return None,
        },
    })
}
