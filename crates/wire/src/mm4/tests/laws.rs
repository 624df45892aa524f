//! Laws of the codec, over all messages and all bytes.

use super::*;
use mms::*;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Any text that a header can hold, the nasty ones often.
fn text() -> impl Strategy<Value = HeaderText> {
    let nasty = "( |=\\?|\\?=|UTF-8|\\?Q\\?|,|;|:|\"|<|>|@|\\.|\\\\|é|€|😀|[a-z]){1,40}";
    prop_oneof![any::<String>(), nasty, "[ -~]{1,1200}"]
        .prop_map(|text| HeaderText::cleaned(&text))
        .prop_filter("empty counts as absent", |text| !text.as_str().is_empty())
}

/// Text that is passed on as it came: no outer space, which no header keeps.
fn verbatim() -> impl Strategy<Value = HeaderText> {
    "[!-~]([ -~]{0,100}[!-~])?".prop_map(|text| HeaderText::cleaned(&text))
}

fn domain() -> impl Strategy<Value = Domain> {
    select(vec!["mms.a.example", "mms.mnc006.mcc260.gprs", "[192.0.2.1]"]).prop_map(|d| d.parse().unwrap())
}

fn party() -> impl Strategy<Value = Party> {
    let number = "[1-9][0-9]{6,14}".prop_map(|d| Address::Plmn(Number::international(&d).unwrap()));
    let code = "[*#]?[0-9]{1,6}".prop_map(Address::ShortCode);
    let ip = any::<u128>().prop_map(|ip| Address::Ipv6(ip.into()));
    let email = ("([a-z\"<>, .\\\\@]{1,20}[a-z]|[a-z.]{1,10}[a-z])", domain())
        .prop_map(|(local, domain)| Address::Email { local, domain });
    (prop_oneof![4 => number, 1 => code, 1 => ip, 1 => email], of(domain()), of(text())).prop_map(
        |(address, domain, name)| {
            let domain = domain.filter(|_| !matches!(address, Address::Email { .. }));
            Party { address, domain, name }
        },
    )
}

fn unnamed() -> impl Strategy<Value = Party> {
    party().prop_map(|party| Party { name: None, domain: None, ..party })
}

fn path() -> impl Strategy<Value = MailPath> {
    ("[a-zA-Z+/=][a-zA-Z0-9+/=-]{0,20}", of(domain()))
        .prop_map(|(local, domain)| MailPath::new(&local, domain).unwrap())
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[!-~]([ -~]{0,254}[!-~])?", "\"[a-z@.]{1,20}\"", "<[a-z@.]{1,20}>"]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0i64..250_000_000_000).prop_map(Timestamp::from_seconds)
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u16, u16, u16)>().prop_map(|(major, minor, editorial)| Version { major, minor, editorial })
}

fn history() -> impl Strategy<Value = Vec<PreviouslySent>> {
    prop::collection::btree_map(any::<u32>(), (party(), of(instant())), 0..4).prop_map(|entries| {
        entries.into_iter().map(|(index, (by, at))| PreviouslySent { index, by: Some(by), at }).collect()
    })
}

fn class() -> impl Strategy<Value = MessageClass> {
    prop_oneof![
        Just(MessageClass::Personal),
        Just(MessageClass::Auto),
        text().prop_map(|t| MessageClass::Other(HeaderText::cleaned(&format!("x{t}")))),
    ]
}

/// A message with every mandatory field, so that nothing needs a tolerance.
fn any_forward() -> impl Strategy<Value = ForwardReq> {
    let ids = (version(), id(), id(), verbatim(), path(), path());
    let people =
        (party(), prop::collection::vec(party(), 1..6), prop::collection::vec(party(), 0..4), history());
    let texts = (of(text()), of(text()), of(text()), of(text()), verbatim(), of(verbatim()));
    let flags =
        (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let rest = (
        instant(),
        of(0u64..1_000_000_000),
        of(class()),
        of(select(Priority::ALL.to_vec())),
        of(select(Visibility::ALL.to_vec())),
        of(select(ContentClass::ALL.to_vec())),
        of(any::<u32>()),
        of(any::<bool>()),
        of(verbatim()),
    );
    (ids, people, texts, flags, rest).prop_map(|(ids, people, texts, flags, rest)| ForwardReq {
        version: Some(ids.0),
        transaction_id: Some(TransactionId::new(&ids.1).unwrap()),
        message_id: Some(MessageId::new(&ids.2).unwrap()),
        to: people.1,
        cc: people.2,
        from: Some(people.0),
        content_type: Some(texts.4),
        content_transfer_encoding: texts.5,
        message_class: rest.2,
        date: Some(rest.0),
        expiry: rest.1.map(|span| Expiry::At(rest.0.plus(std::time::Duration::from_secs(span)))),
        delivery_report: flags.0,
        originator_rs_delivery_report: flags.1,
        priority: rest.3,
        sender_visibility: rest.4,
        read_reply: flags.2,
        subject: texts.0,
        ack_request: flags.3,
        forward_counter: rest.6,
        previously_sent: people.3,
        applic_id: texts.1,
        reply_applic_id: texts.2,
        aux_applic_info: texts.3,
        content_class: rest.5,
        drm_content: flags.4,
        adaptation_allowed: rest.7,
        originator_system: Some(ids.4),
        sender: Some(ids.5),
        internet_message_id: Some(HeaderText::cleaned(&format!("{}@a.example", ids.3))),
        interconnect: rest.8.into_iter().map(|v| (HeaderText::cleaned("X-Mms-Forward-Route"), v)).collect(),
    })
}

fn any_response() -> impl Strategy<Value = AbstractMessage> {
    let ids = (version(), id(), id(), verbatim(), path(), path(), instant());
    (ids, select(RequestStatus::ALL.to_vec()), of(text()), prop::collection::vec(unnamed(), 0..5), 0..3)
        .prop_map(|(ids, request_status, status_text, request_recipients, which)| {
            let (version, transaction_id) = (Some(ids.0), Some(TransactionId::new(&ids.1).unwrap()));
            let message_id = Some(MessageId::new(&ids.2).unwrap());
            let (sender, to, date) = (Some(ids.4), Some(ids.5), Some(ids.6));
            let internet_message_id = Some(HeaderText::cleaned(&format!("{}@a.example", ids.3)));
            match which {
                0 => AbstractMessage::ForwardRes(ForwardRes {
                    version,
                    transaction_id,
                    message_id,
                    request_status,
                    status_text,
                    request_recipients,
                    sender,
                    to,
                    date,
                    internet_message_id,
                }),
                1 => AbstractMessage::DeliveryReportRes(DeliveryReportRes {
                    version,
                    transaction_id,
                    message_id,
                    request_status,
                    status_text,
                    sender,
                    to,
                    date,
                    internet_message_id,
                }),
                _ => AbstractMessage::ReadReplyReportRes(ReadReplyReportRes {
                    version,
                    transaction_id,
                    message_id,
                    request_status,
                    status_text,
                    sender,
                    to,
                    date,
                    internet_message_id,
                }),
            }
        })
}

fn any_report() -> impl Strategy<Value = AbstractMessage> {
    let ids = (version(), id(), id(), verbatim(), path(), instant(), party(), party());
    let texts = (of(text()), of(text()), of(text()), of(text()));
    let status = (select(MmStatus::ALL.to_vec()), of(select(MmStatusExtension::ALL.to_vec())));
    let flags = (of(any::<bool>()), of(any::<bool>()), any::<bool>(), select(ReadStatus::ALL.to_vec()));
    (ids, texts, status, flags).prop_map(|(ids, texts, status, flags)| {
        let (version, transaction_id) = (Some(ids.0), Some(TransactionId::new(&ids.1).unwrap()));
        let message_id = Some(MessageId::new(&ids.2).unwrap());
        let internet_message_id = Some(HeaderText::cleaned(&format!("{}@a.example", ids.3)));
        let (sender, date, recipient, originator) = (Some(ids.4), Some(ids.5), Some(ids.6), Some(ids.7));
        if flags.2 {
            AbstractMessage::DeliveryReportReq(DeliveryReportReq {
                version,
                transaction_id,
                message_id,
                recipient,
                originator,
                date,
                ack_request: flags.0,
                forward_to_originator_ua: flags.1,
                status: Some(status.0),
                status_extension: status.1.filter(|_| status.0 == MmStatus::Rejected),
                status_text: texts.0,
                applic_id: texts.1,
                reply_applic_id: texts.2,
                aux_applic_info: texts.3,
                sender,
                internet_message_id,
            })
        } else {
            AbstractMessage::ReadReplyReportReq(ReadReplyReportReq {
                version,
                transaction_id,
                message_id,
                recipient,
                originator,
                date,
                ack_request: flags.0,
                status: Some(flags.3),
                status_text: texts.0,
                applic_id: texts.1,
                reply_applic_id: texts.2,
                aux_applic_info: texts.3,
                sender,
                internet_message_id,
            })
        }
    })
}

fn any_message() -> impl Strategy<Value = AbstractMessage> {
    prop_oneof![any_forward().prop_map(AbstractMessage::ForwardReq), any_response(), any_report()]
}

/// Lines that begin a field: the count of fields.
fn field_lines(mail: &[u8]) -> usize {
    let block = HeaderBlock::parse(mail).unwrap();
    let head = &mail[..block.head_len()];
    assert!(block.has_empty_line());
    assert!(!head.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n')), "only CRLF");
    head.split(|b| *b == b'\n').filter(|line| !line.is_empty() && *line != b"\r" && line[0] != b' ').count()
}

proptest! {
    /// What we write we read, without a tolerance or a violation; and write again as the same octets.
    #[test]
    fn decode_of_encode_is_the_same(message in any_message()) {
        let mail = encode(&message, &Style::default());
        let decoded = decode(&HeaderBlock::parse(&mail).unwrap());
        prop_assert_eq!(&decoded.mail, &Mail::Message(message.clone()));
        prop_assert_eq!((&decoded.tolerances, &decoded.violations), (&vec![], &vec![]));
        prop_assert_eq!(encode(&message, &Style::default()), mail);
    }

    /// Threat 5: no value in any field, in any style, makes a line of its own.
    #[test]
    fn no_value_makes_a_new_field(message in any_message(), quote_ids: bool, bare_addresses: bool) {
        let style = Style { quote_ids, bare_addresses, version: None };
        let mail = encode(&message, &style);
        let block = HeaderBlock::parse(&mail).unwrap();
        prop_assert_eq!(field_lines(&mail), block.fields().len());
        for field in block.fields() {
            let known = FIELDS.iter().find(|known| known.header == field.name());
            prop_assert!(known.is_some_and(|k| k.presence(message.message_type()) != Presence::Absent));
            prop_assert!(known.is_some_and(|k| k.repeatable) || block.all(field.name()).count() == 1);
        }
        for line in mail.split(|b| *b == b'\n') {
            prop_assert!(line.len() <= 999, "{}", line.len());
        }
        // It is content in wire form already: nothing in it could end it or need a doubled dot.
        prop_assert_eq!(crate::smtp::dot_stuff(&mail), mail);
    }

    /// Any header section: no panic; findings are one line. What was read can be written and read again, until it no
    /// longer changes, which is at once but for what stood in for a missing field.
    #[test]
    fn any_bytes_decode(head in any_head()) {
        let mut decoded = decode(&HeaderBlock::parse(head.as_bytes()).unwrap());
        let findings = decoded.tolerances.iter().map(|t| t.to_string());
        for said in findings.chain(decoded.violations.iter().map(|v| v.to_string())) {
            prop_assert!(!said.contains(['\r', '\n']));
        }
        let mut written = Vec::new();
        for round in 0..4 {
            let Mail::Message(message) = &decoded.mail else { panic!("{head:?}") };
            let mail = encode(message, &Style::default());
            prop_assert!(round < 3 || mail == written, "{}", String::from_utf8_lossy(&mail));
            decoded = decode(&HeaderBlock::parse(&mail).unwrap());
            written = mail;
        }
    }
}

/// A header section of known fields with values that are nearly right.
fn any_head() -> impl Strategy<Value = String> {
    let name = select(
        FIELDS.iter().map(|f| f.header).chain(["Bcc", "X-Mms-Status", "Received"]).collect::<Vec<_>>(),
    );
    let value = prop_oneof![
        select(vec![
            "MM4_forward.REQ",
            "MM4_delivery_report.REQ",
            "MM4_forward.RES",
            "MM4_read_reply_report.REQ",
            "Yes",
            "0",
            "6.16.0",
            "+12025550100/TYPE=PLMN@mms.a.example",
            "+12025550100",
            "bob@a.example",
            "1, bob@a.example",
            "Tue, 04 Mar 2025 10:15:30 +0000",
            "600",
            "\"id\"",
            "<id@a.example>",
            "Ok",
            "Retrieved",
            "Rejected",
            "Read",
            "=?UTF-8?B?w6k=?=",
            "a,\r\n b",
            "",
        ])
        .prop_map(str::to_owned),
        "[ -~é]{0,30}",
        "(\\+1|2025550100|/TYPE=PLMN|@a.example|,|\\.|<|>|\"| |=\\?UTF-8\\?Q\\?x\\?=){0,8}",
    ];
    let first = select(MessageType::ALL.to_vec());
    (first, prop::collection::vec((name, value), 0..25)).prop_map(|(first, fields)| {
        let mut head = format!("X-Mms-Message-Type: {first}\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    })
}
