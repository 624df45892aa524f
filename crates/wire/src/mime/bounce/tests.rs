//! What comes back, in the shapes that mail systems give it.

use super::*;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

const KIND: &str = "Multipart/Report; REPORT-TYPE=Delivery-Status;\r\n boundary=\"b\"";

const STATUS: &str = "Reporting-MTA: dns; mx.b.example\r\nArrival-Date: Tue, 04 Mar 2025 10:15:30 +0000\r\n\r\n\
    Final-Recipient: rfc822; +12025550111/TYPE=PLMN@mms.b.example\r\n\
    Original-Recipient: rfc822;+2B12025550111/TYPE+3DPLMN@mms.b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
    Diagnostic-Code: smtp; 550 5.1.1\r\n unknown user\r\n";

const RETURNED: &str = "Date: Tue, 04 Mar 2025 10:15:30 +0000\r\nMessage-ID: <01jx@mms.a.example>\r\n\
    X-Mms-Message-Type: MM4_forward.REQ\r\nX-Mms-Transaction-ID: \"tx-1\"\r\nX-Mms-Message-Id:mm-1@mms.a.example\r\n\
    Content-Type: multipart/related; boundary=inner\r\n";

/// A notification of these parts: lines of headers, and a body.
fn report(parts: &[(&str, &str)]) -> String {
    let mut body = "This is a report.\r\n--b\r\n\r\nYour mail came back.\r\n".to_owned();
    for (head, content) in parts {
        body.push_str(&format!("--b\r\n{head}\r\n\r\n{content}\r\n"));
    }
    body + "--b--\r\n"
}

fn usual() -> String {
    let returned = format!("{RETURNED}\r\n--inner\r\n\r\nhello\r\n--inner--\r\n");
    report(&[("Content-Type: message/delivery-status", STATUS), ("Content-Type: message/rfc822", &returned)])
}

fn read(body: &str) -> Bounce {
    bounce(Some(KIND), body.as_bytes()).unwrap()
}

fn path(text: &str) -> Option<MailPath> {
    Some(text.parse().unwrap())
}

fn usual_recipient() -> BouncedRecipient {
    BouncedRecipient {
        action: Action::Failed,
        status: Some((5, 1, 1)),
        final_recipient: path("+12025550111/TYPE=PLMN@mms.b.example"),
        original_recipient: path("+12025550111/TYPE=PLMN@mms.b.example"),
        diagnostic: Some(HeaderText::cleaned("smtp; 550 5.1.1 unknown user")),
    }
}

fn usual_original() -> Original {
    Original {
        internet_message_id: Some(HeaderText::cleaned("01jx@mms.a.example")),
        transaction_id: Some(TransactionId::new("\"tx-1\"").unwrap()),
        message_id: Some(MessageId::new("mm-1@mms.a.example").unwrap()),
    }
}

#[test]
fn o_36_a_returned_mail_is_recognised() {
    let read = read(&usual());
    assert_eq!(read.recipients, [usual_recipient()]);
    assert_eq!(read.original, Some(usual_original()));
}

#[test]
fn o_36_headers_alone_encoded_or_not() {
    let base64 = "RGF0ZTogVHVlLCAwNCBNYXIgMjAyNSAxMDoxNTozMCArMDAwMA0KTWVzc2FnZS1JRDogPDAxanhA\r\n\
        bW1zLmEuZXhhbXBsZT4NClgtTW1zLVRyYW5zYWN0aW9uLUlEOiAidHgtMSINClgtTW1zLU1lc3Nh\r\n\
        Z2UtSWQ6bW0tMUBtbXMuYS5leGFtcGxlDQo=";
    let quoted = RETURNED.replace("ID: <01jx", "ID:=20<01=\r\njx").replace('"', "=22");
    for (head, content) in [
        ("Content-Type: text/rfc822-headers", RETURNED),
        ("content-type:TEXT/RFC822-HEADERS; charset=us-ascii", RETURNED),
        ("Content-Type: message/global-headers\r\nContent-Transfer-Encoding: base64", base64),
        ("Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: Quoted-Printable", &quoted),
        ("Content-Type: message/rfc822", &format!("\r\n{RETURNED}")),
    ] {
        let read = read(&report(&[("Content-Type: message/delivery-status", STATUS), (head, content)]));
        assert_eq!((read.recipients.len(), read.original), (1, Some(usual_original())), "{head}");
    }
}

#[test]
fn missing_parts() {
    let status = report(&[("Content-Type: message/delivery-status", STATUS)]);
    assert_eq!(read(&status), Bounce { recipients: vec![usual_recipient()], original: None });
    let returned = report(&[("Content-Type: text/rfc822-headers", RETURNED)]);
    assert_eq!(read(&returned), Bounce { recipients: vec![], original: Some(usual_original()) });
    for body in [report(&[]), String::new(), report(&[("Content-Type: message/rfc822", "Subject: x\r\n")])] {
        assert_eq!(read(&body), Bounce { recipients: vec![], original: None });
    }
    let unsaid = "multipart/report; boundary=b";
    assert!(bounce(Some(unsaid), status.as_bytes()).is_some());
    assert_eq!(bounce(Some(unsaid), returned.as_bytes()), None);
}

#[test]
fn what_is_no_notification() {
    let body = usual();
    for kind in [
        None,
        Some("text/plain"),
        Some("multipart/mixed; boundary=b"),
        Some("multipart/report; report-type=disposition-notification; boundary=b"),
        Some("nonsense"),
    ] {
        assert_eq!(bounce(kind, body.as_bytes()), None, "{kind:?}");
    }
}

type Told = (Action, Option<(u8, u16, u16)>, Option<String>);

fn recipients_of(status: &str) -> Vec<Told> {
    let read = read(&report(&[("Content-Type: message/delivery-status", status)]));
    let text = |r: &BouncedRecipient| r.final_recipient.as_ref().map(MailPath::to_string);
    read.recipients.iter().map(|r| (r.action, r.status, text(r))).collect()
}

#[test]
fn groups_with_blank_lines_anywhere_or_nowhere() {
    let lines = [
        "Reporting-MTA: dns; mx.b.example",
        "",
        "Final-Recipient: rfc822; a@b.example",
        "Action: failed",
        "Status: 5.1.1",
        "",
        "Final-Recipient: rfc822; c@b.example",
        "Action: delayed",
        "Status: 4.4.1 (no answer)",
    ];
    let expected = [
        (Action::Failed, Some((5, 1, 1)), Some("a@b.example".to_owned())),
        (Action::Delayed, Some((4, 4, 1)), Some("c@b.example".to_owned())),
    ];
    assert_eq!(recipients_of(&lines.join("\r\n")), expected);
    assert_eq!(recipients_of(&lines.join("\r\n\r\n")), expected);
    assert_eq!(recipients_of(&lines.join("\r\nno field\r\n")), expected);
    let dense: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(recipients_of(&dense.join("\r\n")), expected);
    assert_eq!(recipients_of(&format!("\r\n\r\n{}", lines[2..].join("\r\n"))), expected);
}

#[test]
fn recipients_that_are_told_of_badly() {
    for (status, expected) in [
        ("Final-Recipient: rfc822; a@b.example\r\nStatus: 5.0.0\r\n", vec![Action::Failed]),
        (
            "Final-Recipient: rfc822; a@b.example\r\nAction: Failed (bad mailbox)\r\nStatus: x\r\n",
            vec![Action::Failed],
        ),
        (
            "Action: expanded\r\n\r\nACTION:RELAYED\r\n\r\nAction: delivered\r\n",
            vec![Action::Expanded, Action::Relayed, Action::Delivered],
        ),
        (
            "Final-Recipient: rfc822; a@b.example\r\nAction: pondered\r\nStatus: 4.2.2\r\n",
            vec![Action::Delayed],
        ),
        ("Final-Recipient: rfc822; a@b.example\r\nAction: pondered\r\nStatus: 9.2.2\r\n", vec![]),
        ("Final-Recipient: rfc822; a@b.example\r\n", vec![]),
        ("", vec![]),
    ] {
        let found: Vec<_> = recipients_of(status).iter().map(|r| r.0).collect();
        assert_eq!(found, expected, "{status:?}");
    }
}

#[test]
fn addresses_and_status_codes() {
    let number = "+12025550111/TYPE=PLMN@mms.b.example";
    for text in [
        "rfc822; +12025550111/TYPE=PLMN@mms.b.example",
        "RFC822 ;\t<+12025550111/TYPE=PLMN@mms.b.example>",
        "rfc822;<+12025550111/TYPE=PLMN@mms.b.example> (Bob)",
        "+12025550111/TYPE=PLMN@mms.b.example",
        "utf-8; +2B12025550111/TYPE+3DPLMN@mms.b.example",
        "rfc822;+2b12025550111/TYPE+3dPLMN@mms.b.example",
    ] {
        assert_eq!(address(text), path(number), "{text}");
    }
    // Other codes than those of + and = are digits of a number.
    assert_eq!(address("rfc822; +2025550111@mms.b.example"), path("+2025550111@mms.b.example"));
    assert_eq!(address("rfc822; bob"), path("bob"));
    for text in ["", "rfc822;", "rfc822; <>", "rfc822; a@b..example"] {
        assert_eq!(address(text), None, "{text}");
    }
    for (text, expected) in [
        ("5.1.1", Some((5, 1, 1))),
        ("4.999.999 later", Some((4, 999, 999))),
        ("5.1.1.2", Some((5, 1, 1))),
        ("5.1", None),
        ("5.1000.1", None),
        ("300.1.1", None),
        ("failed", None),
        ("", None),
    ] {
        assert_eq!(status_code(text), expected, "{text}");
    }
}

#[test]
fn more_recipients_than_anybody_has() {
    let many = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n".repeat(RECIPIENTS_MAX + 1);
    assert_eq!(recipients_of(&many).len(), RECIPIENTS_MAX);
}

/// Cut anywhere, an id is whole or missing, and what is said of recipients is the truth.
#[test]
fn o_36_a_cut_body_tells_nothing_wrong() {
    let body = usual().replace("Action: failed\r\nStatus: 5.1.1\r\n", "Status: 4.1.1\r\nAction: failed\r\n");
    let whole = read(&body);
    let (returned, expected) = (whole.original.unwrap(), &whole.recipients[0]);
    let mut known = 0;
    for end in 0..body.len() {
        let cut = read(&body[..end]);
        if let Some(recipient) = cut.recipients.first() {
            assert_eq!(recipient.action, Action::Failed, "{end}");
            assert_eq!(recipient.final_recipient, expected.final_recipient);
        }
        let original = cut.original.unwrap_or_default();
        for (value, whole) in [
            (original.internet_message_id.map(|id| id.to_string()), "01jx@mms.a.example"),
            (original.transaction_id.map(|id| id.to_string()), "\"tx-1\""),
            (original.message_id.map(|id| id.to_string()), "mm-1@mms.a.example"),
        ] {
            known += usize::from(value.is_some());
            assert!(value.is_none_or(|value| value == whole), "{end}");
        }
    }
    assert_eq!(returned, usual_original());
    assert!(known > 300);
}

/// Threat 6: nothing is looked at again and again.
#[test]
fn rows_of_anything_are_read_in_one_pass() {
    for piece in [
        "\r\n",
        "\n",
        "x\r\n",
        "A: b\r\n",
        "A: b\r\n\r\n",
        " ",
        "Status: 5.1.1\r\n",
        "+2B",
        "Action:\r\n",
        ".\r\n",
    ] {
        let body = report(&[
            ("Content-Type: message/delivery-status", &piece.repeat(1_000_000 / piece.len())),
            ("Content-Type: message/rfc822", &piece.repeat(1_000_000 / piece.len())),
        ]);
        assert!(read(&body).recipients.len() <= RECIPIENTS_MAX, "{piece:?}");
    }
}

/// A recipient, and how it is written: fields in one of the usual orders.
fn any_recipient() -> impl Strategy<Value = (BouncedRecipient, String)> {
    let address = select(vec![
        "+12025550111/TYPE=PLMN@mms.b.example",
        "+447700900123/TYPE=PLMN@mms.b.example",
        "bob@b.example",
        "\"b b\"@b.example",
        "4455@mms.b.example",
    ]);
    let action = select(vec![
        ("failed", Action::Failed),
        ("Delayed", Action::Delayed),
        ("DELIVERED", Action::Delivered),
        ("relayed", Action::Relayed),
        ("expanded", Action::Expanded),
    ]);
    let style = (select(vec!["rfc822;", "RFC822 ; ", "utf-8;\r\n ", ""]), any::<bool>(), any::<bool>());
    let said = "[!-~]([ -~]{0,60}[!-~])?";
    (of(address.clone()), of(address), action, of((2u8..6, 0u16..1000, 0u16..1000)), of(said), style)
        .prop_map(|(fin, original, (word, action), status, said, (kind, xtext, status_first))| {
            // One of the two is always there.
            let fin = fin.or(original.is_none().then_some("bob@b.example"));
            let plain = |text: &str| text.to_owned();
            let coded = |text: &str| text.replace('+', "\u{1}").replace('=', "+3D").replace('\u{1}', "+2B");
            let write = |text: &str| if xtext { coded(text) } else { plain(text) };
            let mut lines = String::new();
            if let Some(original) = original {
                lines.push_str(&format!("Original-recipient:{kind}{}\r\n", write(original)));
            }
            if let Some(fin) = fin {
                lines.push_str(&format!("FINAL-RECIPIENT: {kind}{fin}\r\n"));
            }
            let status_line = status.map(|(a, b, c)| format!("Status: {a}.{b}.{c}\r\n")).unwrap_or_default();
            let action_line = format!("Action: {word}\r\n");
            lines += &if status_first { status_line + &action_line } else { action_line + &status_line };
            if let Some(said) = &said {
                lines.push_str(&format!("X-Odd: 1\r\nDiagnostic-Code: {said}\r\n"));
            }
            let recipient = BouncedRecipient {
                action,
                status,
                final_recipient: fin.and_then(path),
                original_recipient: original.and_then(path),
                diagnostic: said.map(|said| HeaderText::cleaned(&said)),
            };
            (recipient, lines)
        })
}

proptest! {
    #[test]
    fn every_recipient_and_id_is_read_back(
        recipients in prop::collection::vec(any_recipient(), 0..6),
        blank in 1usize..4,
        per_message in any::<bool>(),
        ids in (of("[!-~]{1,60}"), of("[!-~]([ -~]{0,60}[!-~])?"), of("[!-~]{1,60}")),
        encoding in select(vec!["7bit", "base64", "quoted-printable"]),
    ) {
        let mut groups: Vec<String> = recipients.iter().map(|(_, lines)| lines.clone()).collect();
        if per_message {
            groups.insert(0, "Reporting-MTA: dns; mx.b.example\r\n".to_owned());
        }
        let status = groups.join(&"\r\n".repeat(blank));
        let mut returned = "Received: x\r\n".to_owned();
        for (name, id) in [("Message-ID", &ids.0), ("X-Mms-Transaction-ID", &ids.1), ("x-mms-message-id", &ids.2)] {
            returned.extend(id.as_ref().map(|id| format!("{name}: {id}\r\n")));
        }
        let encoded = |text: &str| match encoding {
            "base64" => crate::mime::encoded_word::base64(text.as_bytes()),
            "quoted-printable" => text.bytes().map(|b| format!("={b:02X}=\r\n")).collect(),
            _ => text.to_owned(),
        };
        let head = |kind: &str| format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}");
        let body = report(&[
            (&head("message/delivery-status"), &encoded(&status)),
            (&head("message/rfc822"), &encoded(&returned)),
        ]);
        let read = bounce(Some(KIND), &crate::smtp::dot_stuff(body.as_bytes())).unwrap();
        let expected: Vec<_> = recipients.into_iter().map(|(recipient, _)| recipient).collect();
        prop_assert_eq!(read.recipients, expected);
        let original = read.original.unwrap_or_default();
        let id = |id: &Option<String>| id.clone().filter(|id| !strip_angles(id).is_empty());
        prop_assert_eq!(
            original.internet_message_id.map(|id| id.to_string()),
            id(&ids.0).map(|id| strip_angles(&id).to_owned())
        );
        prop_assert_eq!(original.transaction_id.map(|id| id.to_string()), ids.1);
        prop_assert_eq!(original.message_id.map(|id| id.to_string()), ids.2);
    }

    #[test]
    fn any_bytes(pieces in prop::collection::vec(prop_oneof![
        select(vec![
            "--b\r\n", "--b--\r\n", "Content-Type: message/delivery-status\r\n", "Content-Type: message/rfc822\r\n",
            "Content-Transfer-Encoding: base64\r\n", "\r\n", "\n", "Final-Recipient: rfc822; ", "Action: failed\r\n",
            "Status: 5.1", "Original-Recipient:", "+2B", "+", "+é", "<", ">", ";", "Message-ID: <x>\r\n", ".", " ",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ], 0..40)) {
        let body = pieces.concat();
        if let Some(read) = bounce(Some(KIND), &body) {
            prop_assert!(read.recipients.len() <= body.len());
        }
    }
}
