//! The header section of an `MM4_forward.REQ` that we relay from one peer to another.
//!
//! Owns: what is taken out, put in front and replaced; everything else stays as the originator made it, octet for
//! octet and in its order (spelling, folding, fields that nobody knows), because it belongs to the two ends
//! (TS 23.140 8.4.4). `Bcc` goes, for blind copies are in the envelope only (RFC 4356 2.1.3.3).
//! Never knows: what a field means, why something is replaced, the body.
//!
//! A head is read as [`HeaderBlock::parse`] reads it and cannot end anywhere else, so that both ends see the fields
//! that we saw. It is in wire form before and after. A field's name is the one that the next hop sees, without the dot
//! that its SMTP takes off: `.Bcc` is a `Bcc`.

use super::address::write_party;
use super::encode::{opaque, write_line, yes_no};
use super::field::{Field, FieldId};
use crate::mime::{self, HeaderBlock, HeaderLimits};
use mms::{HeaderText, MailPath, Party, TransactionId, Version};
use std::borrow::Cow;

/// What becomes of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it came, or absent.
    #[default]
    Keep,
    /// It has this value: where its first occurrence stood, else at the end. Further occurrences go.
    Set(T),
    /// Every occurrence goes.
    Remove,
}

/// What changes in a relayed header section; the default is nothing but `Bcc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The value of one more `Received`, put in front of everything (RFC 5321 4.4). Folded at its spaces; what is
    /// outside ASCII becomes `?`, and what is over 900 octets is cut. Empty counts as none.
    pub received: Option<HeaderText>,
    /// `From`; the end that it names keeps it, unless the next hop must not learn who hides.
    pub from: Edit<Party>,
    /// `Sender`, to which reports come back.
    pub sender: Edit<MailPath>,
    /// `X-Mms-3GPP-MMS-Version`.
    pub version: Edit<Version>,
    /// `X-Mms-Transaction-ID`, chosen by each sender of a request.
    pub transaction_id: Edit<TransactionId>,
    /// Puts a transaction id that is set here in quotation marks, as [`super::Style::quote_ids`] does.
    pub quote_ids: bool,
    /// `X-Mms-Ack-Request`.
    pub ack_request: Edit<bool>,
    /// `X-Mms-Originator-System`, to which the response comes back.
    pub originator_system: Edit<MailPath>,
    /// `Content-Transfer-Encoding`, when the body was put into another one.
    pub content_transfer_encoding: Edit<&'static str>,
}

/// Longest value of `Received`, in octets.
const RECEIVED_MAX: usize = 900;
/// Lines of `Received` are folded at this column (RFC 5322 2.1.1).
const COLUMN_MAX: usize = 78;

/// The header section at the front of `head` with `edits`, in wire form and with its empty line.
///
/// `head` is bounded by whoever took it in. Its lines may end in LF alone and its empty line may be missing: every
/// line of the result ends in CRLF, and a CR inside of a line, which no reader counts, is left out. The separator line
/// of a mailbox file is left out, as is a field whose name is but a dot: at the next hop it would be none.
///
/// ```
/// use wire::mm4::{Edit, Edits, relay};
///
/// let edits = Edits { ack_request: Edit::Set(true), ..Edits::default() };
/// let head = b"X-Odd:1\r\nBcc: bob@a.example\r\nx-mms-ack-request: No\r\n\r\n";
/// assert_eq!(relay(head, &edits), b"X-Odd:1\r\nX-Mms-Ack-Request: Yes\r\n\r\n");
/// ```
pub fn relay(head: &[u8], edits: &Edits) -> Vec<u8> {
    // Nothing to refuse: the section was accepted once, and its limits hold where it comes in.
    let limits = HeaderLimits { head_max: usize::MAX, fields_max: usize::MAX };
    let block = HeaderBlock::parse_within(head, &limits);
    let fields = block.as_ref().map_or(&[][..], HeaderBlock::fields);
    let mut changes = edits.changes();
    let mut out = Vec::with_capacity(head.len() + 512);
    if let Some(value) = edits.received.as_ref().and_then(received) {
        write_line(&mut out, "Received", &value);
    }
    for field in fields {
        let name = plain_name(field);
        if name.is_empty() || name.eq_ignore_ascii_case("Bcc") {
            continue;
        }
        match changes.iter_mut().find(|change| change.header.eq_ignore_ascii_case(name)) {
            Some(change) => change.write(&mut out),
            None => copy(&mut out, field.line()),
        }
    }
    for change in &mut changes {
        change.write(&mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A field that is replaced or removed.
struct Change {
    header: &'static str,
    /// What is still to be written.
    value: Option<String>,
}

impl Change {
    /// Writes the value, the first time.
    fn write(&mut self, out: &mut Vec<u8>) {
        if let Some(value) = self.value.take() {
            write_line(out, self.header, &value);
        }
    }
}

impl Edits {
    /// In the order of the table of fields.
    fn changes(&self) -> Vec<Change> {
        let id = |id: &TransactionId| opaque(Some(id.as_str()), self.quote_ids).into_owned();
        [
            change(FieldId::From, &self.from, |party| write_party(party, false, "From: ".len())),
            change(FieldId::Sender, &self.sender, MailPath::to_string),
            change(FieldId::Version, &self.version, Version::to_string),
            change(FieldId::TransactionId, &self.transaction_id, id),
            change(FieldId::AckRequest, &self.ack_request, |yes| yes_no(*yes).to_owned()),
            change(FieldId::OriginatorSystem, &self.originator_system, MailPath::to_string),
            change(FieldId::ContentTransferEncoding, &self.content_transfer_encoding, ToString::to_string),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn change<T>(id: FieldId, edit: &Edit<T>, write: impl Fn(&T) -> String) -> Option<Change> {
    let value = match edit {
        Edit::Keep => return None,
        Edit::Set(value) => Some(write(value)),
        Edit::Remove => None,
    };
    Some(Change { header: Field::of(id).header, value })
}

/// The name without the dot that SMTP takes off (RFC 5321 4.5.2).
fn plain_name<'a>(field: &mime::Field<'a>) -> &'a str {
    let name = field.name();
    name.strip_prefix('.').unwrap_or(name)
}

/// A field as it came. Its lines end in CRLF here, whatever they ended in.
fn copy(out: &mut Vec<u8>, field: &[u8]) {
    if is_wire_form(field) {
        out.extend_from_slice(field);
        return;
    }
    for line in field.split_inclusive(|b| *b == b'\n') {
        out.extend(line.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether there is nothing but lines that end in CRLF, without another CR or LF.
fn is_wire_form(field: &[u8]) -> bool {
    let mut rest = field;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        match rest[at..].strip_prefix(b"\r\n") {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

/// A trace value in ASCII, folded in front of words: only at single spaces, so that unfolding gives it back.
fn received(value: &HeaderText) -> Option<String> {
    let ascii: Cow<'_, str> = match value.as_str() {
        plain if plain.is_ascii() => plain.into(),
        text => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>().into(),
    };
    let value = ascii.get(..RECEIVED_MAX).unwrap_or(&ascii).trim_matches(' ');
    let mut out = String::with_capacity(value.len() + 32);
    let mut column = "Received: ".len();
    for (at, word) in value.split(' ').enumerate() {
        let single = !word.is_empty() && !out.ends_with(' ');
        if at > 0 && single && column + 1 + word.len() > COLUMN_MAX {
            out.push_str("\r\n ");
            column = 1;
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    Some(out).filter(|out| !out.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn path(text: &str) -> MailPath {
        text.parse().unwrap()
    }

    const HEAD: &str = "Received: from x.example by y.example;\r\n\tTue, 04 Mar 2025 10:15:30 +0000\r\n\
        Date: Tue, 04 Mar 2025 10:15:30 +0000\r\nFROM:+12025550110/TYPE=PLMN\r\nTo: +12025550100/TYPE=PLMN,\r\n  \r\n\
        Sender: +12025550110/TYPE=PLMN@mms.b.example\r\nbcc: +12025550177,\r\n +12025550178\r\n\
        X-TM-IMSS-Message-ID:<a@b.example>\r\nX-Mms-Transaction-Id:\r\n \"tx-1\"\r\n..Dotted: 1\r\n\
        X-Mms-Forward-Route: hub=h;x=é\r\nX-Mms-Ack-Request : Yes\r\nX-MMS-TRANSACTION-ID: tx-2\r\n\r\n";

    #[test]
    fn without_edits_only_blind_copies_go() {
        let expected = HEAD.replace("bcc: +12025550177,\r\n +12025550178\r\n", "");
        assert_eq!(relay(HEAD.as_bytes(), &Edits::default()), expected.as_bytes());
        let no_end = &HEAD[..HEAD.len() - 2];
        assert_eq!(relay(no_end.as_bytes(), &Edits::default()), expected.as_bytes());
        assert_eq!(relay(&no_end.as_bytes()[..no_end.len() - 2], &Edits::default()), expected.as_bytes());
        assert_eq!(relay(b"", &Edits::default()), b"\r\n");
    }

    #[test]
    fn fields_are_replaced_where_they_stood() {
        let edits = Edits {
            received: Some(HeaderText::cleaned(
                "from mms.b.example ([192.0.2.1]) by mms.a.example with ESMTP id 01jx for +12025550100; \
                 Tue, 04 Mar 2025 10:15:31 +0000",
            )),
            from: Edit::Keep,
            sender: Edit::Set(path("system-user@mms.a.example")),
            version: Edit::Set(Version { major: 5, minor: 5, editorial: 0 }),
            transaction_id: Edit::Set(TransactionId::new("tx-9").unwrap()),
            quote_ids: true,
            ack_request: Edit::Remove,
            originator_system: Edit::Set(path("system-user@mms.a.example")),
            content_transfer_encoding: Edit::Set("base64"),
        };
        let expected = "Received: from mms.b.example ([192.0.2.1]) by mms.a.example with ESMTP id 01jx\r\n \
            for +12025550100; Tue, 04 Mar 2025 10:15:31 +0000\r\n\
            Received: from x.example by y.example;\r\n\tTue, 04 Mar 2025 10:15:30 +0000\r\n\
            Date: Tue, 04 Mar 2025 10:15:30 +0000\r\nFROM:+12025550110/TYPE=PLMN\r\nTo: +12025550100/TYPE=PLMN,\r\n  \r\n\
            Sender: system-user@mms.a.example\r\n\
            X-TM-IMSS-Message-ID:<a@b.example>\r\nX-Mms-Transaction-ID: \"tx-9\"\r\n..Dotted: 1\r\n\
            X-Mms-Forward-Route: hub=h;x=é\r\n\
            X-Mms-3GPP-MMS-Version: 5.5.0\r\nX-Mms-Originator-System: system-user@mms.a.example\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n";
        let relayed = relay(HEAD.as_bytes(), &edits);
        assert_eq!(String::from_utf8_lossy(&relayed), expected);
    }

    #[test]
    fn what_is_no_wire_form_becomes_it() {
        let set = Edits { ack_request: Edit::Set(false), ..Edits::default() };
        let ack = "X-Mms-Ack-Request: No\r\n\r\n";
        for (head, expected) in [
            ("From someone\n folded\nA: 1\n 2\nB: 3\n\nbody: x\n", "A: 1\r\n 2\r\nB: 3\r\n"),
            ("A: 1\r\nthis is text\r\nB: 2\r\n", "A: 1\r\n"),
            ("A: 1\rX: 2\r\r\n\r\n", "A: 1X: 2\r\n"),
            // The next hop takes the dot off.
            (
                ".Bcc: x\r\n.X-Mms-Ack-Request: Yes\r\n.A: 1\r\n.: 2\r\n",
                "X-Mms-Ack-Request: No\r\n.A: 1\r\n\r\n",
            ),
        ] {
            let expected =
                if expected.ends_with("\r\n\r\n") { expected.to_owned() } else { expected.to_owned() + ack };
            assert_eq!(String::from_utf8_lossy(&relay(head.as_bytes(), &set)), expected, "{head:?}");
        }
    }

    /// Sections of lines that are right, nearly right, and wrong.
    fn any_head() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(vec![
            &b"X-Mms-Transaction-ID"[..],
            b"x-mms-transaction-id",
            b"X-Mms-Ack-Request",
            b"Sender",
            b"Bcc",
            b".bcc",
            b"..Bcc",
            b".",
            b"Received",
            b"X-Mms-Forward-Route",
            b":",
            b": ",
            b" : ",
            b"value",
            b"caf\xe9 \xc3\xa9",
            b" ",
            b"\t",
            b"\r\n",
            b"\r\n",
            b"\r\n",
            b"\r\n ",
            b"\n",
            b"\r",
            b"\0",
            b"From x\r\n",
            b"Bcc: x\r\n y\r\n",
            b"A: 1\r\n",
            b"X-Mms-Ack-Request:Yes\r\n\t\r\n",
            b"\r\n\r\n",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn edit<T: Clone + std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Edit<T>> {
        prop_oneof![Just(Edit::Keep), Just(Edit::Remove), value.prop_map(Edit::Set)]
    }

    fn any_edits() -> impl Strategy<Value = Edits> {
        let text = prop_oneof![
            any::<String>(),
            "([a-z;@]{1,30}| |é){0,60}",
            "([a-z]{1,90}| {1,90}){2,9}",
            "[a-z]{800,2000}"
        ];
        let mailbox = ("[ -~é]{1,20}", of(Just("mms.a.example")))
            .prop_map(|(local, domain)| MailPath::new(&local, domain.map(|d| d.parse().unwrap())).unwrap());
        let version = any::<(u16, u16, u16)>().prop_map(|(major, minor, editorial)| Version {
            major,
            minor,
            editorial,
        });
        let id = "[ -~]{1,256}".prop_map(|id| TransactionId::new(id).unwrap());
        (
            of(text),
            edit(mailbox.clone()),
            edit(version),
            edit(id),
            any::<bool>(),
            edit(any::<bool>()),
            edit(mailbox),
        )
            .prop_map(
                |(received, sender, version, transaction_id, quote_ids, ack_request, originator_system)| {
                    Edits {
                        received: received.map(|text| HeaderText::cleaned(&text)),
                        from: Edit::Keep,
                        sender,
                        version,
                        transaction_id,
                        quote_ids,
                        ack_request,
                        originator_system,
                        content_transfer_encoding: Edit::Keep,
                    }
                },
            )
    }

    /// Name and value of what must come out, by way of the fields of the original.
    fn expected(head: &HeaderBlock<'_>, edits: &Edits) -> Vec<(String, String)> {
        let mut set: Vec<(&str, Option<String>)> = Vec::new();
        let mut note = |name, value: Option<Option<String>>| {
            if let Some(value) = value {
                set.push((name, value));
            }
        };
        fn chosen<T>(edit: &Edit<T>, write: impl Fn(&T) -> String) -> Option<Option<String>> {
            match edit {
                Edit::Keep => None,
                Edit::Remove => Some(None),
                Edit::Set(value) => Some(Some(write(value))),
            }
        }
        let quoted = |id: &TransactionId| match id.as_str() {
            plain if edits.quote_ids && !plain.contains('"') && !plain.starts_with('<') => {
                format!("\"{plain}\"")
            }
            plain => plain.to_owned(),
        };
        note("Sender", chosen(&edits.sender, MailPath::to_string));
        note("X-Mms-3GPP-MMS-Version", chosen(&edits.version, Version::to_string));
        note("X-Mms-Transaction-ID", chosen(&edits.transaction_id, quoted));
        note(
            "X-Mms-Ack-Request",
            chosen(&edits.ack_request, |b| if *b { "Yes".into() } else { "No".into() }),
        );
        note("X-Mms-Originator-System", chosen(&edits.originator_system, MailPath::to_string));
        let mut out = Vec::new();
        for field in head.fields() {
            let name = field.name().strip_prefix('.').unwrap_or(field.name());
            match set.iter_mut().find(|(edited, _)| edited.eq_ignore_ascii_case(name)) {
                Some((edited, value)) => out.extend(value.take().map(|v| ((*edited).to_owned(), v))),
                None if name.is_empty() || name.eq_ignore_ascii_case("bcc") => {}
                None => out.push((field.name().to_owned(), field.text().into_owned())),
            }
        }
        out.extend(set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        out.iter_mut().for_each(|(_, value)| *value = value.trim_ascii().to_owned());
        out
    }

    proptest! {
        #[test]
        fn a_relayed_head_has_the_fields_it_had(head in any_head(), edits in any_edits()) {
            let before = HeaderBlock::parse(&head).unwrap();
            let relayed = relay(&head, &edits);
            let after = HeaderBlock::parse(&relayed).unwrap();
            prop_assert!(after.has_empty_line() && after.head_len() == relayed.len());
            let mut fields: Vec<_> =
                after.fields().iter().map(|f| (f.name().to_owned(), f.text().into_owned())).collect();
            if let Some(received) = edits.received.as_ref().filter(|r| !r.as_str().trim_matches(' ').is_empty()) {
                let (name, value) = fields.remove(0);
                let plain: String = received.as_str().chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
                let plain = plain.get(..900).unwrap_or(&plain).trim();
                prop_assert_eq!((&*name, &*value), ("Received", plain));
                let mut lines = after.fields()[0].line().split_inclusive(|b| *b == b'\n');
                prop_assert!(lines.all(|line| line.len() <= 1000 && !line.trim_ascii().is_empty()));
            }
            prop_assert_eq!(fields, expected(&before, &edits));
            // Wire form: lines end in CRLF and in nothing else, and none is the end of data.
            let framed = [b"\r\n", &relayed[..]].concat();
            prop_assert!(framed.windows(2).all(|w| (w[0] == b'\r') == (w[1] == b'\n')));
            prop_assert!(!framed.windows(5).any(|w| w == b"\r\n.\r\n"));
            // A second hop that changes nothing changes nothing.
            prop_assert_eq!(relay(&relayed, &Edits::default()), relayed);
        }

        #[test]
        fn what_is_not_named_stays_octet_for_octet(
            lines in prop::collection::vec("(X-[a-z]{1,5}|To|Date|Received) ?:([ -~é]{0,20}(\r\n[ \t])?){1,3}\r\n", 0..10),
            edits in any_edits(),
        ) {
            let edits = Edits { received: None, ..edits };
            let relayed = relay((lines.concat() + "\r\n").as_bytes(), &edits);
            prop_assert!(relayed.starts_with(lines.concat().as_bytes()));
        }
    }
}
