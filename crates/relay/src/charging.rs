//! Charging records of MM4 (TS 32.270, TS 32.298): what is owed to whoever writes bills.
//!
//! Owns: when a record is made, what it holds, and its encoding in the outbox. Never knows: files, JSON, BER, numbers of
//! records; those are given by the store.
//!
//! A record is part of the batch of the event that it tells of: it is there exactly if the event took place, and it never
//! changes when the ledger does later. The rules are in docs/decisions/0019-charging-records.md.

use crate::conclude::Share;
use crate::house::PeerName;
use crate::ledger::{RecipientKind, RecipientState, Transaction};
use crate::pack::{Damaged, Pack, damaged, pack_struct, pack_words};
use crate::report::{Fate, Report};
use crate::store::{Op, Topic};
use crate::turn::Turn;
use mms::{
    Address, ForwardReq, HeaderText, MessageClass, MmStatus, Party, Priority, ReadStatus, RequestStatus,
    Timestamp, Version, Visibility,
};
use std::fmt;

macro_rules! record_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)+) => {
        /// Which record: its name and number in TS 32.298.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RecordType { $($(#[$doc])* $name,)+ }

        impl RecordType {
            /// All that MM4 makes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The value of `recordType`, and the tag of the record.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The abbreviation, such as `MMO4FRq`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

record_types! {
    /// We are the originator's side: the peer took our `MM4_forward.REQ`.
    Mmo4frq = 31, "MMO4FRq";
    /// Its `MM4_forward.RES` came.
    Mmo4frs = 32, "MMO4FRs";
    /// A delivery report came.
    Mmo4d = 33, "MMO4D";
    /// A read-reply report came.
    Mmo4r = 35, "MMO4R";
    /// We are the recipient's side: an `MM4_forward.REQ` came, and what is answered about it is known.
    Mmr4f = 38, "MMR4F";
    /// The peer took our delivery report.
    Mmr4drq = 43, "MMR4DRq";
    /// Its response came.
    Mmr4drs = 44, "MMR4DRs";
    /// The peer took our read-reply report.
    Mmr4rrq = 46, "MMR4RRq";
    /// Its response came.
    Mmr4rrs = 47, "MMR4RRs";
}
pack_words!(RecordType);

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One charging record, all that its files say but the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub kind: RecordType,
    /// When it was made: `recordTimeStamp`.
    pub at: Timestamp,
    /// Domain of the originator's Relay/Server; in transit, of ours towards the next one.
    pub originator_rs: String,
    /// Domain of the recipients' Relay/Server; in transit, of ours towards the one before.
    pub recipient_rs: String,
    /// `X-Mms-Message-ID` of the `MM4_forward.REQ`; the same in all records of an MM.
    pub message_id: String,
    /// MMS version of the originator's Relay/Server.
    pub version: Option<Version>,
    /// The rest.
    pub about: About,
}

/// What a record tells besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Of an `MM4_forward.REQ`.
    Forward(Forwarded),
    /// Of a response.
    Response {
        /// What it said.
        status: RequestStatus,
        /// In words.
        text: Option<HeaderText>,
    },
    /// Of a report.
    Report(Reported),
}

/// An `MM4_forward.REQ` in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The sender, hidden or not.
    pub originator: Option<Address>,
    /// The recipients that this record is about.
    pub recipients: Vec<(Address, RecipientKind)>,
    /// `Content-Type` of the MM.
    pub content_type: String,
    /// Octets of its content after decoding, and of its subject.
    pub size: u64,
    /// Message class.
    pub class: Option<MessageClass>,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// When its validity ends.
    pub expires: Timestamp,
    /// Whether the user asked for a delivery report.
    pub delivery_report: bool,
    /// Priority.
    pub priority: Option<Priority>,
    /// Whether the sender wants to be hidden.
    pub hidden: bool,
    /// Whether the user asked for a read-reply report.
    pub read_reply: bool,
    /// Whether a response was asked for.
    pub ack: bool,
    /// How often the MM was forwarded before.
    pub forward_counter: Option<u32>,
    /// By whom, in that order.
    pub forwarded_by: Vec<Address>,
    /// What is answered about these recipients; only in `MMR4F`.
    pub status: Option<(RequestStatus, Option<HeaderText>)>,
}

/// A report in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The sender of the MM.
    pub originator: Option<Address>,
    /// Whom the report is about.
    pub recipient: Address,
    /// When it happened.
    pub happened: Timestamp,
    /// Whether a response was asked for.
    pub ack: bool,
    /// What is reported.
    pub status: Reporting,
    /// In words.
    pub text: Option<HeaderText>,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// What became of the MM.
    Delivery(MmStatus),
    /// What the recipient did with it.
    Reading(ReadStatus),
}

pack_struct!(Record { kind, at, originator_rs, recipient_rs, message_id, version, about });
pack_struct!(Forwarded {
    originator,
    recipients,
    content_type,
    size,
    class,
    submitted,
    expires,
    delivery_report,
    priority,
    hidden,
    read_reply,
    ack,
    forward_counter,
    forwarded_by,
    status
});
pack_struct!(Reported { originator, recipient, happened, ack, status, text });

impl Pack for About {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Forward(forward) => {
                out.push(0);
                forward.pack(out);
            }
            Self::Response { status, text } => {
                (1u8, *status).pack(out);
                text.pack(out);
            }
            Self::Report(report) => {
                out.push(2);
                report.pack(out);
            }
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Forwarded::unpack(input).map(Self::Forward),
            1 => Ok(Self::Response { status: Pack::unpack(input)?, text: Pack::unpack(input)? }),
            2 => Reported::unpack(input).map(Self::Report),
            _ => damaged(input, "what a record is about"),
        }
    }
}

impl Pack for Reporting {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Delivery(status) => (0u8, *status).pack(out),
            Self::Reading(status) => (1u8, *status).pack(out),
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => MmStatus::unpack(input).map(Self::Delivery),
            1 => ReadStatus::unpack(input).map(Self::Reading),
            _ => damaged(input, "what a report says"),
        }
    }
}

/// The first octet of every record in the outbox: which shape follows.
const FORMAT: u8 = 1;

impl Record {
    /// The octets for the outbox.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(FORMAT);
        self.pack(&mut out);
        out
    }

    /// The record in octets of the outbox.
    ///
    /// # Errors
    /// [`Damaged`]: another format number, or octets that are no record.
    pub fn decode(octets: &[u8]) -> Result<Self, Damaged> {
        let input = &mut &octets[..];
        if u8::unpack(input)? != FORMAT {
            return damaged(input, "record format 1");
        }
        let record = Self::unpack(input)?;
        if input.is_empty() { Ok(record) } else { damaged(input, "the end of a record") }
    }
}

/// Which side of MM4 we are in a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Originator,
    Recipient,
}

impl RecordType {
    const fn side(self) -> Side {
        match self {
            Self::Mmo4frq | Self::Mmo4frs | Self::Mmo4d | Self::Mmo4r => Side::Originator,
            _ => Side::Recipient,
        }
    }
}

impl Turn<'_> {
    fn charge(&mut self, kind: RecordType, peer: &PeerName, about: About) {
        let Some(request) = &self.ledger.request else { return };
        let configured = self.house.peer(peer);
        // A peer that is configured no more still has a name.
        let theirs = configured.and_then(|p| p.domains.first()).map_or(peer.as_str(), |d| d.as_str());
        let (theirs, ours) = (theirs.to_owned(), self.house.domain().to_string());
        let (originator_rs, recipient_rs, version) = match kind.side() {
            Side::Originator => (ours, theirs, configured.map(|p| p.profile.version)),
            Side::Recipient => (theirs, ours, request.version),
        };
        let message_id = request.message_id.as_ref().map_or(String::new(), |id| id.as_str().to_owned());
        let record = Record { kind, at: self.now, originator_rs, recipient_rs, message_id, version, about };
        self.op(Op::Emit { topic: Topic::Charging, data: record.encode() });
    }

    fn forwarded(
        &self,
        request: &ForwardReq,
        places: &[u16],
        status: Option<(RequestStatus, Option<HeaderText>)>,
    ) -> Forwarded {
        let recipients = places.iter().filter_map(|i| self.ledger.recipients.get(usize::from(*i)));
        let subject = request.subject.as_ref().map_or(0, |s| s.as_str().len() as u64);
        let mut before: Vec<_> = request.previously_sent.iter().collect();
        before.sort_by_key(|p| p.index);
        let before = before.into_iter().filter_map(|p| p.by.as_ref());
        Forwarded {
            originator: originator(request),
            recipients: recipients.map(|r| (r.party.address.clone(), r.kind)).collect(),
            content_type: request.content_type.as_ref().map_or(String::new(), |t| t.as_str().to_owned()),
            size: self.size + subject,
            class: request.message_class.clone(),
            submitted: request.date.unwrap_or(self.ledger.accepted),
            expires: self.ledger.expires,
            delivery_report: request.delivery_report == Some(true),
            priority: request.priority,
            hidden: request.sender_visibility == Some(Visibility::Hide),
            read_reply: request.read_reply == Some(true),
            ack: request.ack_request == Some(true),
            forward_counter: request.forward_counter,
            forwarded_by: before.map(|by| by.address.clone()).collect(),
            status,
        }
    }

    /// The peer has our request, for these recipients: `MMO4FRq`.
    pub fn charge_forward(&mut self, transaction: &Transaction, places: &[u16]) {
        if !self.house.charging || places.is_empty() {
            return;
        }
        // A response or report that passes us as it came has no id here, and is no request of ours.
        let Some(request) = self.ledger.request.clone().filter(|r| r.message_id.is_some()) else { return };
        let mut forwarded = self.forwarded(&request, places, None);
        let transparent = transaction.passes();
        if !transparent {
            forwarded.ack = self.house.peer(&transaction.peer).is_some_and(|p| p.profile.expects_response);
        }
        self.charge(RecordType::Mmo4frq, &transaction.peer, About::Forward(forwarded));
    }

    /// The peer answered our request: `MMO4FRs`.
    pub fn charge_response(&mut self, peer: &PeerName, status: RequestStatus, text: Option<&HeaderText>) {
        if self.house.charging {
            self.charge(RecordType::Mmo4frs, peer, About::Response { status, text: text.cloned() });
        }
    }

    /// A report came about this recipient that says something new: `MMO4D`, `MMO4R`.
    pub fn charge_report(
        &mut self,
        peer: &PeerName,
        place: u16,
        status: Reporting,
        (date, ack, text): (Option<Timestamp>, bool, Option<&HeaderText>),
    ) {
        if !self.house.charging {
            return;
        }
        let kind = match status {
            Reporting::Delivery(_) => RecordType::Mmo4d,
            Reporting::Reading(_) => RecordType::Mmo4r,
        };
        let happened = date.unwrap_or(self.now);
        self.charge_about(kind, peer, place, (happened, ack, status, text.cloned()));
    }

    fn charge_about(
        &mut self,
        kind: RecordType,
        peer: &PeerName,
        place: u16,
        (happened, ack, status, text): (Timestamp, bool, Reporting, Option<HeaderText>),
    ) {
        let Some(recipient) = self.ledger.recipients.get(usize::from(place)) else { return };
        let recipient = recipient.party.address.clone();
        let originator = self.ledger.request.as_ref().and_then(originator);
        let reported = Reported { originator, recipient, happened, ack, status, text };
        self.charge(kind, peer, About::Report(reported));
    }

    /// What is answered about these recipients is known: one `MMR4F` for each different answer. Repeats have none.
    pub fn charge_arrival(&mut self, peer: &PeerName, known: &[(u16, Share)]) {
        if !self.house.charging || self.unknown_type {
            return;
        }
        let Some(request) = self.ledger.request.clone() else { return };
        let mut groups: Vec<(&Share, Vec<u16>)> = Vec::new();
        for (place, share) in known {
            if self.ledger.recipients[usize::from(*place)].state == RecipientState::Duplicate {
                continue;
            }
            match groups.iter_mut().find(|(known, _)| *known == share) {
                Some((_, places)) => places.push(*place),
                None => groups.push((share, vec![*place])),
            }
        }
        for (share, places) in groups {
            let forwarded = self.forwarded(&request, &places, Some((share.status, share.text.clone())));
            self.charge(RecordType::Mmr4f, peer, About::Forward(forwarded));
        }
    }

    /// The peer has our report: `MMR4DRq`, `MMR4RRq`.
    pub fn charge_our_report(&mut self, report: &Report) {
        if !self.house.charging {
            return;
        }
        let (kind, status, text) = match &report.fate {
            Fate::Delivery { status, text, .. } => {
                (RecordType::Mmr4drq, Reporting::Delivery(*status), text.clone())
            }
            Fate::Reading(status) => (RecordType::Mmr4rrq, Reporting::Reading(*status), None),
        };
        let ack = self.house.peer(&report.peer).is_some_and(|p| p.profile.acknowledged_reports);
        self.charge_about(kind, &report.peer, report.place, (report.happened, ack, status, text));
    }

    /// The peer answered our report: `MMR4DRs`, `MMR4RRs`.
    pub fn charge_report_answer(
        &mut self,
        report: &Report,
        status: RequestStatus,
        text: Option<&HeaderText>,
    ) {
        if !self.house.charging {
            return;
        }
        let kind = match report.fate {
            Fate::Delivery { .. } => RecordType::Mmr4drs,
            Fate::Reading(_) => RecordType::Mmr4rrs,
        };
        self.charge(kind, &report.peer, About::Response { status, text: text.cloned() });
    }
}

fn originator(request: &ForwardReq) -> Option<Address> {
    request.from.as_ref().map(|party: &Party| party.address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::party;
    use proptest::prelude::*;

    fn records() -> Vec<Record> {
        let at = Timestamp::from_seconds(1_741_083_330);
        let record = |kind, about| Record {
            kind,
            at,
            originator_rs: "mms.b.example".into(),
            recipient_rs: "mms.a.example".into(),
            message_id: "mm-1".into(),
            version: Some(Version::OURS),
            about,
        };
        let forwarded = Forwarded {
            originator: Some(party("+12025550110").address),
            recipients: vec![(party("+12025550100").address, RecipientKind::Cc)],
            content_type: "multipart/mixed".into(),
            size: 30_000,
            class: Some(MessageClass::Personal),
            submitted: at,
            expires: Timestamp::MAX,
            delivery_report: true,
            priority: Some(Priority::High),
            hidden: true,
            read_reply: false,
            ack: true,
            forward_counter: Some(3),
            forwarded_by: vec![party("bob@mms.c.example").address],
            status: Some((RequestStatus::Ok, HeaderText::new("fine").ok())),
        };
        let reported = Reported {
            originator: None,
            recipient: party("4455").address,
            happened: at,
            ack: false,
            status: Reporting::Reading(ReadStatus::Read),
            text: None,
        };
        let status = RequestStatus::ErrorNetworkProblem;
        vec![
            record(RecordType::Mmr4f, About::Forward(forwarded)),
            record(RecordType::Mmo4frs, About::Response { status, text: None }),
            record(RecordType::Mmo4r, About::Report(reported)),
        ]
    }

    #[test]
    fn what_is_emitted_comes_back() {
        for record in records() {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    proptest! {
        #[test]
        fn damaged_octets_never_panic(which in 0usize..3, at in any::<prop::sample::Index>(), octet in any::<u8>()) {
            let mut octets = records()[which].encode();
            let place = at.index(octets.len());
            octets[place] = octet;
            let _ = Record::decode(&octets);
            octets.truncate(place);
            prop_assert!(Record::decode(&octets).is_err());
        }
    }
}
