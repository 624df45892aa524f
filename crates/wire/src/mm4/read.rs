//! Reads single fields of one message and keeps book of what was odd about them.
//!
//! Owns: the step from a header block to typed values, by way of the table of fields.
//! Never knows: which fields make up which message; see `decode`.

use super::address;
use super::field::{FIELDS, Field, FieldId, Presence, clause, named};
use super::finding::{Tolerance, Violation, ViolationKind, quoted};
use super::value::{self, Read};
use crate::mime::{self, DateForm, HeaderBlock, decode_words, http_date, parse_date, strip_angles};
use mms::{
    Expiry, HeaderText, MailPath, MessageId, MessageType, MmStatus, Party, PreviouslySent, Timestamp,
    TransactionId, Version,
};
use std::borrow::Cow;
use std::time::Duration;

/// Earlier handlers that are read at most.
const PREVIOUS_MAX: usize = 100;
/// A number of seconds over this is counted from 1970: nobody means thirty years.
const DELTA_MAX: u64 = 1_000_000_000;

pub(super) struct Reader<'b> {
    block: &'b HeaderBlock<'b>,
    places: Places,
    message_type: MessageType,
    pub(super) tolerances: Vec<Tolerance>,
    pub(super) violations: Vec<Violation>,
}

/// Where in the header section the fields of the table are: found once, since nearly every one is asked for.
struct Places {
    /// The first of each.
    first: [Option<usize>; FIELDS.len()],
    /// One bit for each that stands there again.
    again: u64,
}

impl Places {
    fn of(block: &HeaderBlock<'_>) -> Self {
        let mut places = Self { first: [None; FIELDS.len()], again: 0 };
        for (at, field) in block.fields().iter().enumerate() {
            let Some(id) = named(field.name()) else { continue };
            match &mut places.first[id as usize] {
                Some(_) => places.again |= 1 << id as usize,
                first => *first = Some(at),
            }
        }
        places
    }

    const fn again(&self, id: FieldId) -> bool {
        self.again & (1 << id as usize) != 0
    }
}

impl<'b> Reader<'b> {
    /// All fields of this name in their order.
    fn all(&self, id: FieldId) -> impl Iterator<Item = mime::Field<'b>> + use<'b> {
        let fields = match self.places.first[id as usize] {
            None => &[][..],
            Some(at) if self.places.again(id) => &self.block.fields()[at..],
            Some(at) => &self.block.fields()[at..=at],
        };
        fields.iter().copied().filter(move |field| field.is(Field::of(id).header))
    }

    /// The value of the first field of this name, unfolded.
    fn first(&self, id: FieldId) -> Option<Cow<'b, str>> {
        let at = self.places.first[id as usize]?;
        self.block.fields().get(at).map(mime::Field::text)
    }

    pub(super) fn new(block: &'b HeaderBlock<'b>, message_type: MessageType) -> Self {
        Self {
            block,
            places: Places::of(block),
            message_type,
            tolerances: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The value of a field, unfolded; `None` when it is missing or empty. A single `X-Mms-` field that stands more
    /// than once with different values is a fatal violation: two readers could choose differently.
    fn raw(&mut self, id: FieldId) -> Option<Cow<'b, str>> {
        let field = Field::of(id);
        let first = self.first(id)?;
        if !self.places.again(id) {
            return Some(first).filter(|text| !text.is_empty());
        }
        let mut others = self.all(id).skip(1).map(|f| f.text()).peekable();
        if others.peek().is_some() {
            if others.all(|other| other == first) {
                self.tolerate(id, Some(&first), "one field");
            } else if field.header.starts_with("X-Mms-") {
                self.violate(id, Some(&first), ViolationKind::Duplicate, true);
            } else {
                self.tolerate(id, Some(&first), "the one that counts");
            }
        }
        Some(first).filter(|text| !text.is_empty())
    }

    /// Whether the field stands in the mail, even if empty.
    pub(super) fn has(&self, id: FieldId) -> bool {
        self.places.first[id as usize].is_some()
    }

    /// Whether the field stands in the mail with a value.
    pub(super) fn has_text(&self, id: FieldId) -> bool {
        self.first(id).is_some_and(|text| !text.is_empty())
    }

    /// Notes a `Bcc`, which no mail should have; it is not read.
    pub(super) fn drop_bcc(&mut self) {
        if let Some(raw) = self.block.text("Bcc") {
            self.tolerances.push(Tolerance {
                field: "Bcc",
                value: Some(quoted(&raw)),
                understood: "nothing".into(),
                expected: "no such field: blind copies are in the envelope only",
                clause: "RFC 4356 2.1.3.3",
            });
        }
    }

    /// The status under the name that MM1 gives it, as one vendor does in delivery reports.
    pub(super) fn mm1_status(&mut self) -> Option<MmStatus> {
        let raw = self.block.text("X-Mms-Status")?;
        match value::mm_status(&raw) {
            Read::Exact(status) | Read::Lenient(status) => {
                self.tolerate(FieldId::MmStatusCode, None, format!("{status}, from X-Mms-Status"));
                Some(status)
            }
            Read::No => None,
        }
    }

    pub(super) fn tolerate(
        &mut self,
        id: FieldId,
        value: Option<&str>,
        understood: impl Into<Cow<'static, str>>,
    ) {
        let field = Field::of(id);
        self.tolerances.push(Tolerance {
            field: field.header,
            value: value.map(quoted),
            understood: understood.into(),
            expected: field.expected,
            clause: clause(self.message_type),
        });
    }

    pub(super) fn violate(&mut self, id: FieldId, value: Option<&str>, kind: ViolationKind, fatal: bool) {
        let field = Field::of(id);
        self.violations.push(Violation {
            field: field.header,
            value: value.map(quoted),
            kind,
            expected: field.expected,
            clause: clause(self.message_type),
            fatal,
        });
    }

    /// A field that the message needs is not there, or was there and unreadable.
    pub(super) fn missing(&mut self, id: FieldId, fatal: bool) {
        let raw = self.first(id).filter(|text| !text.is_empty());
        let kind = if raw.is_some() { ViolationKind::Unreadable } else { ViolationKind::Missing };
        self.violate(id, raw.as_deref(), kind, fatal);
    }

    /// Reads with `read`; a lenient reading is noted, an impossible one too, and counts as absent.
    fn value<T>(
        &mut self,
        id: FieldId,
        read: impl Fn(&str) -> Read<T>,
        say: impl Fn(&T) -> String,
    ) -> Option<T> {
        let raw = self.raw(id)?;
        match read(&raw) {
            Read::Exact(value) => Some(value),
            Read::Lenient(value) => {
                self.tolerate(id, Some(&raw), say(&value));
                Some(value)
            }
            Read::No => {
                // What is mandatory is reported as a violation by whoever needs it.
                if Field::of(id).presence(self.message_type) != Presence::Mandatory {
                    self.tolerate(id, Some(&raw), "absent");
                }
                None
            }
        }
    }

    pub(super) fn yes_no(&mut self, id: FieldId) -> Option<bool> {
        self.value(id, value::yes_no, |yes| if *yes { "Yes" } else { "No" }.to_owned())
    }

    pub(super) fn word<T: ToString>(&mut self, id: FieldId, read: impl Fn(&str) -> Read<T>) -> Option<T> {
        self.value(id, read, T::to_string)
    }

    pub(super) fn version(&mut self) -> Option<Version> {
        let version = self.word(FieldId::Version, value::version);
        if version.is_none() {
            let raw = self.first(FieldId::Version);
            self.tolerate(FieldId::Version, raw.as_deref(), "the lowest version");
        }
        version
    }

    /// Decoded text on one line; controls become spaces.
    pub(super) fn text(&mut self, id: FieldId) -> Option<HeaderText> {
        let raw = self.raw(id)?;
        let raw_eight_bit = !raw.is_ascii();
        let text = HeaderText::cleaned(&decode_words(&raw));
        if raw_eight_bit {
            self.tolerate(id, Some(&raw), "UTF-8 or Latin-1");
        }
        Some(text).filter(|text| !text.as_str().is_empty())
    }

    /// A value as it stands, on one line.
    pub(super) fn verbatim(&mut self, id: FieldId) -> Option<HeaderText> {
        self.raw(id).map(|raw| HeaderText::cleaned(&raw))
    }

    pub(super) fn transaction_id(&mut self) -> Option<TransactionId> {
        self.raw(FieldId::TransactionId).and_then(|raw| TransactionId::new(raw).ok())
    }

    pub(super) fn message_id(&mut self) -> Option<MessageId> {
        self.raw(FieldId::MessageId).and_then(|raw| MessageId::new(raw).ok())
    }

    /// The STD 11 `Message-ID` without angle brackets.
    pub(super) fn internet_message_id(&mut self) -> Option<HeaderText> {
        let raw = self.raw(FieldId::InternetMessageId);
        let id = raw.map(|raw| HeaderText::cleaned(strip_angles(&raw))).filter(|id| !id.as_str().is_empty());
        if id.is_none() {
            self.tolerate(FieldId::InternetMessageId, None, "not needed");
        }
        id
    }

    pub(super) fn date(&mut self) -> Option<Timestamp> {
        let raw = self.raw(FieldId::Date)?;
        let (at, form) = parse_date(&raw)?;
        if form != DateForm::Mail {
            self.tolerate(FieldId::Date, Some(&raw), http_date(at));
        }
        Some(at)
    }

    /// Seconds, or a date in any form. What ends before the message was made is a mislabelled zone: the default of
    /// the receiver is better (mm4 2.7).
    pub(super) fn expiry(&mut self, date: Option<Timestamp>) -> Option<Expiry> {
        let raw = self.raw(FieldId::Expiry)?;
        let expiry = read_expiry(&raw);
        let early = match (&expiry, date) {
            (Read::Exact(Expiry::At(at)) | Read::Lenient(Expiry::At(at)), Some(date)) => *at < date,
            _ => false,
        };
        match expiry {
            Read::Exact(expiry) if !early => Some(expiry),
            Read::Lenient(expiry) if !early => {
                self.tolerate(
                    FieldId::Expiry,
                    Some(&raw),
                    match expiry {
                        Expiry::At(at) => http_date(at),
                        Expiry::After(span) => format!("{} seconds", span.as_secs()),
                    },
                );
                Some(expiry)
            }
            _ => {
                self.tolerate(FieldId::Expiry, Some(&raw), "absent");
                None
            }
        }
    }

    pub(super) fn party(&mut self, id: FieldId) -> Option<Party> {
        let raw = self.raw(id)?;
        let found = match address::party(&raw) {
            Read::Exact(party) => return Some(party),
            Read::Lenient(party) => Some(party),
            Read::No => address::parties(&raw).0.into_iter().next(),
        }?;
        self.tolerate(id, Some(&raw), found.to_string());
        Some(found)
    }

    /// The addresses of all fields of this name.
    pub(super) fn parties(&mut self, id: FieldId) -> Vec<Party> {
        let fields: Vec<_> = self.all(id).map(|field| field.text()).collect();
        let mut found = Vec::new();
        for raw in &fields {
            let (parties, lenient) = address::parties(raw);
            if lenient || fields.len() > 1 {
                self.tolerate(id, Some(raw), format!("{} addresses", parties.len()));
            }
            found.extend(parties);
        }
        found
    }

    pub(super) fn request_recipients(&mut self) -> Vec<Party> {
        let id = FieldId::RequestRecipients;
        let fields: Vec<_> = self.all(id).map(|field| field.text()).collect();
        let mut found = Vec::new();
        for raw in &fields {
            let (recipients, lenient) = address::request_recipients(raw);
            if lenient || recipients.is_empty() || fields.len() > 1 {
                self.tolerate(id, Some(raw), format!("{} addresses", recipients.len()));
            }
            found.extend(recipients);
        }
        found
    }

    pub(super) fn mailbox(&mut self, id: FieldId) -> Option<MailPath> {
        self.word(id, address::mailbox)
    }

    pub(super) fn forward_counter(&mut self) -> Option<u32> {
        self.word(FieldId::ForwardCounter, |text| match text.parse::<u32>() {
            Ok(count) if text.bytes().all(|b| b.is_ascii_digit()) => Read::Exact(count),
            Ok(count) => Read::Lenient(count),
            Err(_) => Read::No,
        })
    }

    /// Earlier handlers: the two repeatable fields joined by index and sorted by it. A line without an index counts
    /// by its place.
    pub(super) fn previously_sent(&mut self) -> Vec<PreviouslySent> {
        let mut found: Vec<PreviouslySent> = Vec::new();
        for id in [FieldId::PreviouslySentBy, FieldId::PreviouslySentDateAndTime] {
            let by_line = id == FieldId::PreviouslySentBy;
            for (place, field) in self.all(id).take(PREVIOUS_MAX).enumerate() {
                let raw = field.text();
                let indexed =
                    raw.split_once(',').and_then(|(i, v)| Some((i.trim().parse::<u32>().ok()?, v.trim())));
                let (index, value) = indexed.unwrap_or((place as u32, &raw));
                let (by, at) = match by_line {
                    true => (address::parties(value).0.into_iter().next(), None),
                    false => (None, parse_date(value).map(|(at, _)| at)),
                };
                if indexed.is_none() || (by.is_none() && at.is_none()) {
                    self.tolerate(id, Some(&raw), format!("entry {index}"));
                }
                if by.is_none() && at.is_none() {
                    continue;
                }
                let fits = |p: &&mut PreviouslySent| {
                    p.index == index && if by_line { p.by.is_none() } else { p.at.is_none() }
                };
                match found.iter_mut().find(fits) {
                    Some(entry) if by_line => entry.by = by,
                    Some(entry) => entry.at = at,
                    None => found.push(PreviouslySent { index, by, at }),
                }
            }
        }
        found.sort_by_key(|entry| entry.index);
        found
    }

    /// Fields of interconnect providers, by table row and then in their order.
    pub(super) fn interconnect(&self) -> Vec<(HeaderText, HeaderText)> {
        let lines = super::field::INTERCONNECT
            .iter()
            .flat_map(|id| self.all(*id).map(|field| (Field::of(*id).header, field.text())));
        let lines = lines.filter(|(_, text)| !text.is_empty());
        lines.map(|(name, text)| (HeaderText::cleaned(name), HeaderText::cleaned(&text))).collect()
    }
}

fn read_expiry(text: &str) -> Read<Expiry> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        if seconds <= DELTA_MAX {
            return Read::Exact(Expiry::After(Duration::from_secs(seconds)));
        }
        let at = Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
        return Read::Lenient(Expiry::At(at));
    }
    match parse_date(text) {
        Some((at, _)) if http_date(at) == text => Read::Exact(Expiry::At(at)),
        Some((at, _)) => Read::Lenient(Expiry::At(at)),
        None => Read::No,
    }
}
