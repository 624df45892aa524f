//! The forms of charging records: whatever a record holds, each form gives it back; whatever a file holds, nothing panics.

use belino::charging::files::{Reader, Set, recover};
use belino::charging::record::Row;
use belino::charging::{Format, ber};
use mms::{
    HeaderText, MessageClass, MmStatus, Party, Priority, ReadStatus, RequestStatus, Timestamp, Version,
};
use proptest::prelude::*;
use relay::{About, Forwarded, RecipientKind, Record, RecordType, Reported, Reporting};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "[a-zäöü€\"',;:%\\n]{0,200}", Just(String::new())]
}

fn header_text() -> impl Strategy<Value = Option<HeaderText>> {
    prop::option::of(text().prop_map(|text| HeaderText::cleaned(&text)))
}

fn address() -> impl Strategy<Value = mms::Address> {
    let known = [
        "+12025550110",
        "12025550",
        "+447700900123",
        "bob@mms.c.example",
        "\"a;b%3B c\"@mms.c.example",
        "4455",
        "INFO",
        "192.0.2.1/TYPE=IPv4",
    ];
    prop::sample::select(known.to_vec()).prop_map(|text| text.parse::<Party>().unwrap().address)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn status() -> impl Strategy<Value = RequestStatus> {
    prop::sample::select(RequestStatus::ALL.to_vec())
}

fn forwarded() -> impl Strategy<Value = Forwarded> {
    let kinds = prop::sample::select(vec![RecipientKind::To, RecipientKind::Cc, RecipientKind::Bcc]);
    let classes = [
        MessageClass::Personal,
        MessageClass::Advertisement,
        MessageClass::Informational,
        MessageClass::Auto,
    ];
    let people = (
        prop::option::of(address()),
        prop::collection::vec((address(), kinds), 1..40),
        prop::collection::vec(address(), 0..4),
    );
    let words = (
        text(),
        prop::option::of(prop::sample::select(classes.to_vec())),
        prop::option::of(prop::sample::select(Priority::ALL.to_vec())),
        (status(), header_text()),
    );
    let numbers = (any::<u64>(), time(), time(), prop::option::of(any::<u32>()));
    (people, words, numbers, any::<[bool; 4]>()).prop_map(|(people, words, numbers, yes)| Forwarded {
        originator: people.0,
        recipients: people.1,
        content_type: words.0,
        size: numbers.0,
        class: words.1,
        submitted: numbers.1,
        expires: numbers.2,
        delivery_report: yes[0],
        priority: words.2,
        hidden: yes[1],
        read_reply: yes[2],
        ack: yes[3],
        forward_counter: numbers.3,
        forwarded_by: people.2,
        status: Some(words.3),
    })
}

fn record() -> impl Strategy<Value = Record> {
    let fates = prop_oneof![
        prop::sample::select(MmStatus::ALL.to_vec()).prop_map(Reporting::Delivery),
        prop::sample::select(ReadStatus::ALL.to_vec()).prop_map(Reporting::Reading),
    ];
    let reported = (prop::option::of(address()), address(), time(), any::<bool>(), fates, header_text());
    let reported = reported.prop_map(|(originator, recipient, happened, ack, status, text)| Reported {
        originator,
        recipient,
        happened,
        ack,
        status,
        text,
    });
    let kind = prop::sample::select(RecordType::ALL.to_vec());
    (
        kind,
        time(),
        text(),
        prop::option::of(Just(Version::OURS)),
        forwarded(),
        reported,
        status(),
        header_text(),
    )
        .prop_map(|(kind, at, message_id, version, forwarded, reported, status, text)| Record {
            kind,
            at,
            originator_rs: "mms.a.example".into(),
            recipient_rs: "mms.b.example".into(),
            message_id,
            version,
            about: match kind {
                RecordType::Mmo4frq | RecordType::Mmr4f => About::Forward(forwarded),
                RecordType::Mmo4frs | RecordType::Mmr4drs | RecordType::Mmr4rrs => {
                    About::Response { status, text }
                }
                _ => About::Report(reported),
            },
        })
}

/// A file of these rows.
fn file(format: Format, rows: &[Row]) -> Vec<u8> {
    let mut octets = match format {
        Format::Csv => belino::charging::csv::header().into_bytes(),
        Format::Json | Format::Ber => Vec::new(),
    };
    rows.iter().for_each(|row| format.encode(row, &mut octets));
    octets
}

proptest! {
    /// What is written in any form is read from it, and from the beginning of it as far as it goes.
    #[test]
    fn each_form_gives_back_what_it_was_given(
        records in prop::collection::vec(record(), 1..6), first in 1u64..1 << 40, cut in any::<prop::sample::Index>()
    ) {
        let numbered = records.iter().zip(first..);
        let rows: Vec<Row> = numbered.map(|(record, number)| Row::of(number, record)).collect();
        for format in Format::ALL {
            let octets = file(format, &rows);
            let read: Result<Vec<Row>, String> = Reader::new(format, &octets).collect();
            prop_assert_eq!(read.as_ref(), Ok(&rows), "{:?}", format);
            let torn = &octets[..cut.index(octets.len())];
            let whole: Vec<Row> = Reader::new(format, torn).map_while(Result::ok).collect();
            prop_assert!(rows.starts_with(&whole) && whole.len() < rows.len(), "{:?}", format);
        }
        for record in &records {
            prop_assert_eq!(&Record::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn damaged_files_never_panic(record in record(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        for format in Format::ALL {
            let mut octets = file(format, &[Row::of(7, &record)]);
            let place = at.index(octets.len());
            octets[place] = octet;
            let _ = Reader::new(format, &octets).count();
        }
    }

    #[test]
    fn arbitrary_octets_are_no_record_and_no_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ber::decode(&mut octets.as_slice());
        for format in Format::ALL {
            let _ = Reader::new(format, &octets).count();
        }
    }
}

/// A length that says more than there is does not make a reader ask for room.
#[test]
fn a_length_that_lies_is_no_record() {
    let octets = [0xbf, 38, 0x84, 0xff, 0xff, 0xff, 0xff, 0x80, 1, 38];
    assert_eq!(ber::decode(&mut octets.as_slice()), Err(ber::Unread::Short));
}

/// The module beside the encoder names every field with the tag that is written.
#[test]
fn the_module_names_each_field_with_its_tag() {
    let module = include_str!("../../src/charging/mm4-records.asn");
    for kind in RecordType::ALL {
        let name = format!("m{}", &kind.as_str()[1..]);
        let line = module.lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap();
        let (tag, set) = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).unwrap();
        assert_eq!(tag, kind.number().to_string(), "{kind}");
        let set = set.trim().trim_end_matches(',');
        let begin = module.find(&format!("{set} ::= SET {{")).unwrap();
        let body = &module[begin..begin + module[begin..].find("\n}").unwrap()];
        let mut named = 0;
        for field in belino::charging::record::fields(*kind) {
            let line = body.lines().find(|line| line.trim_start().starts_with(&format!("{} ", field.name)));
            let line = line.unwrap_or_else(|| panic!("{set} has no {}", field.name));
            assert!(line.contains(&format!("[{}]", field.tag)), "{set}: {line}");
            assert_eq!(line.contains("OPTIONAL"), !field.must, "{set}: {line}");
            named += 1;
        }
        assert_eq!(body.lines().filter(|line| line.contains('[')).count(), named, "{set}");
    }
}

/// Five records in a set that was closed, and put back to the moment before some of its files got their final names.
fn closing(open_again: &[Format]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let record = Record {
        kind: RecordType::Mmo4frs,
        at: Timestamp::from_seconds(1_741_083_330),
        originator_rs: "mms.a.example".into(),
        recipient_rs: "mms.b.example".into(),
        message_id: "mm-1".into(),
        version: None,
        about: About::Response { status: RequestStatus::Ok, text: None },
    };
    let rows: Vec<Row> = (6..=10).map(|number| Row::of(number, &record)).collect();
    let mut set = Set::open(folder.path(), &Format::ALL, 6, record.at).unwrap();
    set.write(&rows[..2]).unwrap();
    set.write(&rows[2..]).unwrap();
    set.close().unwrap();
    for format in open_again {
        std::fs::rename(name(&folder, *format, ""), name(&folder, *format, ".open")).unwrap();
    }
    folder
}

fn name(folder: &tempfile::TempDir, format: Format, end: &str) -> std::path::PathBuf {
    folder.path().join(format!("mm4-0000000006-20250304T101530Z.{}{end}", format.as_str()))
}

/// Cut octets off the end of a file.
fn cut(file: &std::path::Path, octets: u64) {
    let opened = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    opened.set_len(opened.metadata().unwrap().len().saturating_sub(octets)).unwrap();
}

/// How many records each format has under its final name.
fn closed(folder: &tempfile::TempDir) -> Vec<usize> {
    let count = |format: &Format| {
        let octets = std::fs::read(name(folder, *format, "")).unwrap_or_default();
        assert!(!name(folder, *format, ".open").exists());
        Reader::new(*format, &octets).map(Result::unwrap).count()
    };
    Format::ALL.iter().map(count).collect()
}

#[test]
fn a_crash_between_final_names_leaves_nothing_to_write_again() {
    let folder = closing(&[Format::Csv, Format::Ber]);
    assert_eq!(recover(folder.path()).unwrap().number, 10);
    assert_eq!(closed(&folder), [5, 5, 5]);
    assert_eq!(recover(folder.path()).unwrap().number, 10);
}

#[test]
fn what_one_file_lost_is_cut_from_all() {
    let folder = closing(&Format::ALL);
    cut(&name(&folder, Format::Ber, ".open"), 1);
    let last = recover(folder.path()).unwrap();
    assert_eq!((last.number, last.row.map(|row| row.number())), (9, Some(9)));
    assert_eq!(closed(&folder), [4, 4, 4]);
    assert_eq!(recover(folder.path()).unwrap().number, 9, "and `.last` says so");
}

/// A disk that lost what it said it had: the set counts, whatever `.last` tells.
#[test]
fn a_set_that_is_gone_is_written_again() {
    let folder = closing(&Format::ALL);
    cut(&name(&folder, Format::Csv, ".open"), 100_000);
    let last = recover(folder.path()).unwrap();
    assert_eq!((last.number, last.row), (5, None));
    assert_eq!(closed(&folder), [0, 0, 0]);
    assert_eq!(recover(folder.path()).unwrap().number, 0, "nothing tells of records that are nowhere");
}

/// Closed files may be taken away; without `.last` the newest one tells.
#[test]
fn the_last_number_is_known_without_its_file_or_without_the_note() {
    let folder = closing(&[]);
    std::fs::remove_file(folder.path().join(".last")).unwrap();
    assert_eq!(recover(folder.path()).unwrap().number, 10);
    let folder = closing(&[]);
    Format::ALL.iter().for_each(|format| std::fs::remove_file(name(&folder, *format, "")).unwrap());
    assert_eq!(recover(folder.path()).unwrap().number, 10);
}
