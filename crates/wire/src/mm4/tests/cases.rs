//! The conformance cases that a codec can show, by their names.

use super::*;
use mms::{
    Domain, Expiry, MessageClass, MmStatus, MmStatusExtension, Priority, ReadStatus, RequestStatus,
    Timestamp, Version, Visibility,
};

const DATE: i64 = 1_741_083_330;

fn fields(decoded: &Decoded) -> Vec<&str> {
    decoded.tolerances.iter().map(|t| t.field).collect()
}

fn fatal(decoded: &Decoded) -> Vec<(&str, ViolationKind)> {
    decoded.violations.iter().filter(|v| v.fatal).map(|v| (v.field, v.kind)).collect()
}

#[test]
fn f_01_a_whole_forward_request() {
    let (m, decoded) = forward(FORWARD);
    assert_eq!((decoded.tolerances, decoded.violations), (vec![], vec![]));
    assert_eq!(m.version, Some(Version::OURS));
    assert_eq!(m.transaction_id.unwrap().as_str(), "tx-1");
    assert_eq!(m.message_id.unwrap().as_str(), "mm-1");
    assert_eq!(m.to.iter().map(|p| p.address.value()).collect::<Vec<_>>(), ["+12025550100", "+12025550120"]);
    assert_eq!(m.from.unwrap().to_string(), "+12025550110/TYPE=PLMN@mms.b.example");
    assert_eq!(m.date, Some(Timestamp::from_seconds(DATE)));
    assert_eq!(m.expiry, Some(Expiry::At(Timestamp::from_seconds(DATE + 3 * 86_400))));
    assert_eq!((m.delivery_report, m.originator_rs_delivery_report), (Some(true), Some(false)));
    assert_eq!((m.priority, m.sender_visibility), (Some(Priority::Normal), Some(Visibility::Show)));
    assert_eq!((m.read_reply, m.ack_request), (Some(false), Some(true)));
    assert_eq!(m.originator_system.unwrap().to_string(), "system-user@mms.b.example");
    assert_eq!(m.subject.unwrap().as_str(), "hello");
    assert_eq!(m.internet_message_id.unwrap().as_str(), "01J9-m-7f3a@mms.b.example");
}

/// What we write is what we read, octet for octet.
#[test]
fn o_01_the_templates_are_byte_stable() {
    for mail in [FORWARD, RESPONSE, REPORT, READ_REPORT] {
        let (message, decoded) = message(mail);
        assert_eq!((&decoded.tolerances, &decoded.violations), (&vec![], &vec![]));
        assert_eq!(String::from_utf8(encode(&message, &Style::default())).unwrap(), mail);
    }
}

/// F-03, F-04, F-30: nothing is there that was not written.
#[test]
fn f_03_f_04_ack_request_and_f_30_defaults() {
    assert_eq!(forward(&edited(FORWARD, "X-Mms-Ack-Request", "")).0.ack_request, None);
    let bare = "X-Mms-Message-Type: MM4_forward.REQ\r\nX-Mms-Message-ID: mm-1\r\n\r\n";
    let (m, decoded) = forward(bare);
    assert_eq!(decoded.refusal(), None);
    assert_eq!((m.message_class, m.priority, m.sender_visibility), (None, None, None));
    assert_eq!((m.delivery_report, m.read_reply, m.expiry), (None, None, None));
}

#[test]
fn f_05_f_06_ids_are_echoed_octet_for_octet() {
    for id in ["\"tx-1@x\"", "<tx-1@x>", "tx 1; a=b"] {
        let head = edited(FORWARD, "X-Mms-Transaction-ID", &format!("X-Mms-Transaction-Id: {id}\r\n"));
        let (m, decoded) = forward(&head);
        assert_eq!(decoded.refusal(), None);
        assert_eq!(m.transaction_id.clone().unwrap().as_str(), id);
        let (mut answer, _) = response(RESPONSE);
        answer.transaction_id = m.transaction_id;
        let style = Style { quote_ids: true, ..Style::default() };
        let mail = String::from_utf8(encode(&AbstractMessage::ForwardRes(answer), &style)).unwrap();
        assert!(mail.contains(&format!("X-Mms-Transaction-ID: {id}\r\n")), "{mail}");
    }
}

#[test]
fn f_07_f_08_names_and_types_in_any_case() {
    let head = FORWARD
        .replace("X-Mms-", "x-mms-")
        .replace("3GPP-MMS", "3gpp-Mms")
        .replace("_forward.REQ", "_Forward.req");
    let (m, decoded) = forward(&head);
    assert_eq!((m, decoded.tolerances), (forward(FORWARD).0, vec![]));
    let (_, decoded) = forward(&FORWARD.replace("MM4_forward.REQ", "MM4_FORWARD_REQ"));
    assert_eq!(fields(&decoded), ["X-Mms-Message-Type"]);
}

#[test]
fn f_09_an_unknown_type_can_be_answered() {
    let decoded = decoded(&FORWARD.replace("MM4_forward.REQ", "MM4_unknown.REQ"));
    assert_eq!(decoded.refusal(), Some(RequestStatus::ErrorUnsupportedMessage));
    let Mail::Unknown(m) = decoded.mail else { panic!() };
    assert!(m.ack_request && m.is_request);
    assert_eq!(m.transaction_id.unwrap().as_str(), "tx-1");
    assert_eq!(m.originator_system.unwrap().to_string(), "system-user@mms.b.example");
    let Mail::Unknown(m) = super::decoded(&FORWARD.replace("MM4_forward.REQ", "MM4_unknown.RES")).mail else {
        panic!()
    };
    assert!(!m.is_request);
}

#[test]
fn f_10_ordinary_mail() {
    let decoded = decoded("From: bob@a.example\r\nTo: eve@b.example\r\n\r\n");
    assert_eq!((&decoded.mail, decoded.refusal()), (&Mail::NotMm4, None));
}

#[test]
fn f_11_no_transaction_id() {
    for line in ["", "X-Mms-Transaction-ID:\r\n", "X-Mms-Transaction-ID: caf\u{e9}\r\n"] {
        let (m, decoded) = forward(&edited(FORWARD, "X-Mms-Transaction-ID", line));
        assert_eq!(decoded.refusal(), Some(RequestStatus::ErrorMessageFormatCorrupt));
        let kind = if line.contains('\u{e9}') { ViolationKind::Unreadable } else { ViolationKind::Missing };
        assert_eq!(fatal(&decoded), [("X-Mms-Transaction-ID", kind)]);
        assert!(m.originator_system.is_some());
    }
    // Nobody waits for an answer.
    let head = edited(&edited(FORWARD, "X-Mms-Transaction-ID", ""), "X-Mms-Ack-Request", "");
    let (_, decoded) = forward(&head);
    assert_eq!((decoded.refusal(), decoded.violations.len()), (None, 1));
    let long = format!("X-Mms-Transaction-ID: {}\r\n", "x".repeat(257));
    assert!(forward(&edited(FORWARD, "X-Mms-Transaction-ID", &long)).1.refusal().is_some());
}

#[test]
fn f_12_message_id_stands_in() {
    let (m, decoded) = forward(&edited(FORWARD, "X-Mms-Message-ID", ""));
    assert_eq!(m.message_id.unwrap().as_str(), "01J9-m-7f3a@mms.b.example");
    assert_eq!((decoded.refusal(), fields(&decoded)), (None, vec!["X-Mms-Message-ID"]));
    let (_, decoded) = forward(&edited(&edited(FORWARD, "X-Mms-Message-ID", ""), "Message-ID", ""));
    assert_eq!(decoded.refusal(), Some(RequestStatus::ErrorMessageFormatCorrupt));
    // In a report it would name the report.
    let (_, decoded) = message(&edited(REPORT, "X-Mms-Message-ID", ""));
    assert_eq!(fatal(&decoded), [("X-Mms-Message-ID", ViolationKind::Missing)]);
}

#[test]
fn f_13_originator_system_in_all_its_forms() {
    let (m, decoded) = forward(&edited(FORWARD, "X-Mms-Originator-System", ""));
    assert_eq!((m.originator_system, fields(&decoded)), (None, vec!["X-Mms-Originator-System"]));
    let odd = "X-Mms-Originator-System: system=mms.b.example;party=+12025550110\r\n";
    let (m, _) = forward(&edited(FORWARD, "X-Mms-Originator-System", odd));
    assert_eq!(m.originator_system.unwrap().to_string(), "system-user@mms.b.example");
}

#[test]
fn f_24_f_25_f_26_f_29_expiry() {
    let expiry = |text: &str| {
        let (m, decoded) = forward(&edited(FORWARD, "X-Mms-Expiry", &format!("X-Mms-Expiry: {text}\r\n")));
        assert_eq!(decoded.refusal(), None);
        (m.expiry, decoded.tolerances.len())
    };
    let at = |seconds| Some(Expiry::At(Timestamp::from_seconds(seconds)));
    assert_eq!(expiry("600"), (Some(Expiry::After(std::time::Duration::from_secs(600))), 0));
    let friday = DATE + 3 * 86_400;
    assert_eq!(expiry("Fri, 07 Mar 2025 10:15:30 GMT"), (at(friday), 0));
    for text in [
        "Friday, 07-Mar-25 10:15:30 GMT",
        "Fri Mar  7 10:15:30 2025",
        "Fri, 07 Mar 2025 11:15:30 +0100",
        "2025-03-07T10:15:30Z",
        "1741342530",
    ] {
        assert_eq!(expiry(text), (at(friday), 1), "{text}");
    }
    for text in ["soon", "-600", "Mon, 03 Mar 2025 10:15:30 GMT", "600 s"] {
        assert_eq!(expiry(text), (None, 1), "{text}");
    }
    assert_eq!(expiry("99999999999999999999999999"), (Some(Expiry::At(Timestamp::MAX)), 1));
    assert_eq!(expiry(&u64::MAX.to_string()), (Some(Expiry::At(Timestamp::MAX)), 1));
    assert_eq!(expiry("").0, None);
}

#[test]
fn f_31_f_45_f_48_words_and_booleans() {
    for (text, yes) in [("yes", true), ("TRUE", true), ("1", true), ("0", false), ("perhaps", false)] {
        let (m, decoded) =
            forward(&FORWARD.replace("Delivery-Report: Yes", &format!("Delivery-Report: {text}")));
        assert_eq!(m.delivery_report, Some(yes), "{text}");
        assert_eq!(decoded.tolerances.len(), usize::from(text != "yes"));
    }
    let head = FORWARD
        .replace("Visibility: Show", "Visibility: hide")
        .replace("Priority: Normal", "Priority: Urgent");
    let (m, decoded) = forward(&head);
    assert_eq!((m.sender_visibility, m.priority), (Some(Visibility::Hide), None));
    assert_eq!(fields(&decoded), ["X-Mms-Priority"]);
    let head = format!("X-Mms-Drm-Content: Yes\r\nX-Mms-Adaptation-Allowed: No\r\n{FORWARD}");
    let (m, _) = forward(&head);
    assert_eq!((m.drm_content, m.adaptation_allowed), (Some(true), Some(false)));
    let (m, _) = forward(&FORWARD.replace("Class: Personal", "Class: auto"));
    assert_eq!(m.message_class, Some(MessageClass::Auto));
}

#[test]
fn f_32_f_33_x_02_subjects() {
    let subject = |raw: &[u8]| {
        let head = [b"Subject: ", raw, b"\r\n", edited(FORWARD, "Subject", "").as_bytes()].concat();
        let decoded = decode(&HeaderBlock::parse(&head).unwrap());
        let Mail::Message(AbstractMessage::ForwardReq(m)) = decoded.mail else { panic!() };
        m.subject.map(|s| s.as_str().to_owned())
    };
    assert_eq!(subject(b"=?UTF-8?B?w6k=?=\r\n =?UTF-8?Q?_x?=").unwrap(), "\u{e9} x");
    assert_eq!(subject(b"caf\xc3\xa9").unwrap(), "caf\u{e9}");
    assert_eq!(subject(b"caf\xe9").unwrap(), "caf\u{e9}");
    assert_eq!(subject(b""), None);
    // Line ends inside encoded words never become lines.
    let hidden = subject(b"=?UTF-8?Q?a=0D=0ABcc:_b?=").unwrap();
    assert_eq!(hidden, "a  Bcc: b");
}

#[test]
fn f_37_f_46_unknown_fields_are_ignored() {
    let extra =
        "X-Mms-Fee-Type: 1\r\nX-Mms-Reply-Charging: requested\r\nX-Mms-MMS-Version: 1.2\r\nX-Any: y\r\n";
    assert_eq!(forward(&format!("{extra}{FORWARD}")).0, forward(FORWARD).0);
    let (_, decoded) = forward(&format!("X-Internal-Status-Code: 411\r\n{FORWARD}"));
    assert_eq!(decoded.internal_status_code.unwrap().as_str(), "411");
}

#[test]
fn f_38_f_39_versions() {
    for version in ["4.2.0", "5.5.0", "6.3.0", "6.10.0", "7.1.0", "99.0.0"] {
        let (m, decoded) = forward(&FORWARD.replace("6.16.0", version));
        assert_eq!((decoded.refusal(), m.version.unwrap().to_string()), (None, version.to_owned()));
    }
    let broken = edited(FORWARD, "X-Mms-Transaction-ID", "");
    let refusal = |version: &str| forward(&broken.replace("6.16.0", version)).1.refusal();
    assert_eq!(refusal("99.0.0"), Some(RequestStatus::ErrorUnsupportedMessage));
    assert_eq!(refusal("6.16.0"), Some(RequestStatus::ErrorMessageFormatCorrupt));
    let (m, decoded) = forward(&edited(FORWARD, "X-Mms-3GPP-MMS-Version", ""));
    assert_eq!((m.version, decoded.refusal()), (None, None));
}

#[test]
fn f_40_f_41_forwarding_history() {
    let history = "X-Mms-Forward-Counter: 2\r\nX-Mms-Previously-sent-by: 1, +12025550112/TYPE=PLMN@mms.b.example\r\n\
        X-Mms-Previously-Sent-By: 0 ,+12025550111/TYPE=PLMN@mms.b.example\r\n\
        X-Mms-Previously-sent-date-and-time: 0, Tue, 04 Mar 2025 10:15:30 GMT\r\n\
        X-Mms-Previously-sent-date-and-time: 1, Tue, 04 Mar 2025 11:15:30 GMT\r\n";
    let (m, decoded) = forward(&format!("{history}{FORWARD}"));
    assert_eq!((m.forward_counter, decoded.tolerances.len()), (Some(2), 0));
    let order: Vec<_> =
        m.previously_sent.iter().map(|p| (p.index, p.by.clone().unwrap().address.value())).collect();
    assert_eq!(order, [(0, "+12025550111".to_owned()), (1, "+12025550112".to_owned())]);
    assert_eq!(m.previously_sent[1].at, Some(Timestamp::from_seconds(DATE + 3600)));
    let (m, decoded) = forward(&format!("X-Mms-Forward-Counter: 1\r\n{FORWARD}"));
    assert_eq!((m.forward_counter, m.previously_sent.len(), decoded.tolerances.len()), (Some(1), 0, 0));
    let (m, decoded) = forward(&format!(
        "X-Mms-Forward-Counter: many\r\nX-Mms-Previously-sent-by: +12025550111\r\n{FORWARD}"
    ));
    assert_eq!((m.forward_counter, m.previously_sent.len(), decoded.tolerances.len()), (None, 1, 2));
}

#[test]
fn f_43_received_lines_are_counted() {
    let line =
        "Received: from mx.b.example (mms.a.example [192.0.2.1])\r\n\tby MMS.C.example. with ESMTP; x\r\n";
    let head = format!("{}{FORWARD}", line.repeat(101));
    let block = HeaderBlock::parse(head.as_bytes()).unwrap();
    assert_eq!(received_count(&block), 101);
    // Our own stamps are told from what others write about us.
    let stamps = "Received: from mms.b.example by mms.a.example with ESMTP id\r\n 01jx;\r\n Tue, 04 Mar 2025 10:15:30 +0000\r\n\
        Received: from mms.a.example by mms.b.example with ESMTP id 4A1B for <+12025550100/TYPE=PLMN@mms.a.example>; x\r\n\
        Received: BY MMS.A.example. (Postfix) ID 5C; x\r\nReceived: by mms.a.example; x\r\n\r\n";
    let block = HeaderBlock::parse(stamps.as_bytes()).unwrap();
    let ids = |domain: &str| received_ids(&block, &domain.parse::<Domain>().unwrap());
    assert_eq!(
        (ids("mms.a.example"), ids("mms.b.example")),
        (vec!["01jx".into(), "5C".into()], vec!["4A1B".into()])
    );
    assert!(ids("a.example").is_empty());
}

#[test]
fn f_44_application_fields() {
    let head =
        format!("X-Mms-Applic-ID: a1\r\nX-Mms-Reply-Applic-ID: r1\r\nX-Mms-Aux-Applic-Info: x\r\n{FORWARD}");
    let (m, _) = forward(&head);
    let text = |value: Option<mms::HeaderText>| value.unwrap().as_str().to_owned();
    assert_eq!([text(m.applic_id), text(m.reply_applic_id), text(m.aux_applic_info)], ["a1", "r1", "x"]);
}

#[test]
fn f_47_bcc_is_dropped() {
    let (m, decoded) = forward(&format!("Bcc: +12025550101/TYPE=PLMN\r\n{FORWARD}"));
    assert_eq!(fields(&decoded), ["Bcc"]);
    let written = String::from_utf8(encode(&AbstractMessage::ForwardReq(m), &Style::default())).unwrap();
    assert_eq!(written, FORWARD);
}

#[test]
fn g_09_a_folded_list_with_an_empty_line() {
    let to = "To: +12025550100/TYPE=PLMN,\r\n +12025550101/TYPE=PLMN,\r\n\t+12025550102,\r\n \r\n";
    let (m, decoded) = forward(&edited(FORWARD, "To", to));
    assert_eq!((m.to.len(), decoded.refusal(), fields(&decoded)), (3, None, vec!["To"]));
    let (m, decoded) = forward(&edited(FORWARD, "To", "To: undisclosed-recipients:;\r\n"));
    assert_eq!((m.to.len(), decoded.refusal(), decoded.violations.len()), (0, None, 1));
}

#[test]
fn threat_6_duplicates_of_single_fields() {
    let (_, decoded) = forward(&format!("X-Mms-Message-ID: mm-2\r\n{FORWARD}"));
    assert_eq!(fatal(&decoded), [("X-Mms-Message-ID", ViolationKind::Duplicate)]);
    let (_, decoded) = forward(&format!("x-mms-message-id: mm-1\r\n{FORWARD}"));
    assert_eq!((decoded.refusal(), fields(&decoded)), (None, vec!["X-Mms-Message-ID"]));
    let double = format!("X-Mms-Message-Type: MM4_delivery_report.REQ\r\n{FORWARD}");
    assert!(message(&double).1.refusal().is_some());
    let (_, decoded) = forward(&format!("Subject: other\r\n{FORWARD}"));
    assert_eq!((decoded.refusal(), fields(&decoded)), (None, vec!["Subject"]));
}

#[test]
fn sender_stands_in_for_from() {
    let (m, decoded) = forward(&edited(FORWARD, "From", ""));
    assert_eq!(m.from.unwrap().address.value(), "+12025550110");
    assert_eq!((decoded.refusal(), fields(&decoded)), (None, vec!["From"]));
}

#[test]
fn o_11_o_12_o_13_styles() {
    let (m, _) = forward(FORWARD);
    let version = Some(Version { major: 5, minor: 5, editorial: 0 });
    let style = Style { quote_ids: true, bare_addresses: true, version };
    let written = String::from_utf8(encode(&AbstractMessage::ForwardReq(m), &style)).unwrap();
    for line in [
        "From: +12025550110/TYPE=PLMN\r\n",
        "Sender: +12025550110/TYPE=PLMN@mms.b.example\r\n",
        "To: +12025550100/TYPE=PLMN, +12025550120/TYPE=PLMN\r\n",
        "X-Mms-3GPP-MMS-Version: 5.5.0\r\n",
        "X-Mms-Transaction-ID: \"tx-1\"\r\n",
        "X-Mms-Message-ID: \"mm-1\"\r\n",
    ] {
        assert!(written.contains(line), "{line}{written}");
    }
    // The message id of a report is the originator's and stays.
    let written = String::from_utf8(encode(&message(REPORT).0, &style)).unwrap();
    assert!(written.contains("X-Mms-Message-ID: mm-0815@mms.a.example\r\n"));
    assert!(written.contains("X-Mms-Transaction-ID: \"dr-99@mms.b.example\"\r\n"));
}

#[test]
fn o_05_a_relative_expiry_is_written_as_a_date() {
    let (mut m, _) = forward(FORWARD);
    m.expiry = Some(Expiry::After(std::time::Duration::from_secs(3 * 86_400)));
    let written = String::from_utf8(encode(&AbstractMessage::ForwardReq(m), &Style::default())).unwrap();
    assert_eq!(written, FORWARD);
}

#[test]
fn o_23_o_24_responses_as_vendors_send_them() {
    let head = "From: PostMaster\r\nSubject: MM4_forward.RES\r\nX-Mms-Transaction-Id: \"tx-1\"\r\n\
        X-Mms-Message-Id: \"other\"\r\nX-Mms-Message-Type: MM4_forward.RES\r\nX-Mms-Message-Class: Personal\r\n\
        X-Mms-Originator-System: postmaster@mms.b.example\r\nX-Mms-3GPP-MMS-Version: 5.5.0\r\n\
        X-Mms-Request-Status-Code: Service-denied\r\nX-Mms-Status-Text: All is good.\r\n\
        X-Mms-Request-Recipients: +12025550111\r\n\r\n";
    let (m, decoded) = response(head);
    assert_eq!(decoded.refusal(), None);
    assert_eq!(m.transaction_id.unwrap().key(), "tx-1");
    assert_eq!(m.request_status, RequestStatus::ErrorServiceDenied);
    assert_eq!(m.request_recipients[0].address.value(), "+12025550111");
    assert_eq!((m.sender.unwrap().to_string(), m.to, m.date), ("PostMaster".to_owned(), None, None));
    let (m, decoded) = response(&edited(RESPONSE, "X-Mms-Request-Status-Code", ""));
    assert_eq!(m.request_status, RequestStatus::ErrorUnspecified);
    assert_eq!(fatal(&decoded), [("X-Mms-Request-Status-Code", ViolationKind::Missing)]);
    let (m, decoded) = response(&format!("X-Mms-Request-Recipients: +12025550112/TYPE=PLMN\r\n{RESPONSE}"));
    assert_eq!((m.request_recipients.len(), decoded.refusal()), (2, None));
    let (_, decoded) = response(&edited(RESPONSE, "X-Mms-Transaction-ID", ""));
    assert!(decoded.refusal().is_some());
    let (_, decoded) = message(
        "X-Mms-Message-Type: MM4_read_reply_report.RES\r\nX-Mms-Transaction-ID: t\r\n\
        X-Mms-Request-Status-Code: Ok\r\n\r\n",
    );
    assert_eq!(decoded.refusal(), None, "r_04: no message id is needed");
}

#[test]
fn d_18_d_19_d_23_delivery_reports() {
    let report = |head: &str| match message(head) {
        (AbstractMessage::DeliveryReportReq(m), decoded) => (m, decoded),
        other => panic!("{other:?}"),
    };
    let (m, _) = report(&REPORT.replace("Code: Retrieved", "Code: Unrecognized"));
    assert_eq!(m.status, Some(MmStatus::Unrecognised));
    let (m, decoded) = report(&edited(REPORT, "X-Mms-MM-Status-Code", "X-Mms-Status: retrieved\r\n"));
    assert_eq!((m.status, decoded.refusal()), (Some(MmStatus::Retrieved), None));
    assert_eq!(fields(&decoded), ["X-Mms-MM-Status-Code"]);
    let extended = format!("X-Mms-MM-Status-Extension: Rejected-by-recipient\r\n{REPORT}");
    let (m, decoded) = report(&extended);
    assert_eq!((m.status_extension, decoded.refusal()), (None, None));
    let (m, _) = report(&extended.replace("Code: Retrieved", "Code: Rejected"));
    assert_eq!(m.status_extension, Some(MmStatusExtension::RejectionByMmsRecipient));
    for line in ["", "X-Mms-MM-Status-Code: Eaten\r\n", "X-Mms-Status: Eaten\r\n"] {
        let (_, decoded) = report(&edited(REPORT, "X-Mms-MM-Status-Code", line));
        assert_eq!(fatal(&decoded).len(), 1, "{line}");
    }
    // Field practice 4.13: a host without user in From; the message id decides.
    let (m, decoded) = report(&edited(REPORT, "From", "From: @mms.b.example\r\n"));
    assert_eq!((m.recipient, decoded.refusal()), (None, None));
}

#[test]
fn r_02_r_05_r_07_read_reports() {
    let status = |text: &str| match message(&READ_REPORT.replace("Deleted without being read", text)) {
        (AbstractMessage::ReadReplyReportReq(m), decoded) => (m.status, decoded.refusal()),
        other => panic!("{other:?}"),
    };
    let deleted = (Some(ReadStatus::DeletedWithoutBeingRead), None);
    assert_eq!(status("Deleted without being read"), deleted);
    assert_eq!(status("Deletedwithoutbeingread"), deleted);
    assert_eq!(status("read"), (Some(ReadStatus::Read), None));
    assert_eq!(status("Eaten"), (None, Some(RequestStatus::ErrorMessageFormatCorrupt)));
}

#[test]
fn interconnect_fields_pass() {
    let lines = "X-Mms-MMSIP-Address: hub.example\r\nX-Mms-Return-Route: a, b\r\nX-Mms-Return-Route: c\r\n";
    let head = FORWARD.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
    let (m, _) = forward(&head);
    assert_eq!(m.interconnect.len(), 3);
    assert_eq!(String::from_utf8(encode(&AbstractMessage::ForwardReq(m), &Style::default())).unwrap(), head);
}

#[test]
fn findings_speak_plainly() {
    let head =
        edited(&FORWARD.replace("Delivery-Report: Yes", "Delivery-Report: TRUE"), "X-Mms-Transaction-ID", "");
    let (_, decoded) = forward(&head);
    assert_eq!(
        decoded.tolerances[0].to_string(),
        "X-Mms-Delivery-Report \"TRUE\" taken as Yes; expected Yes or No (TS 23.140 8.4.4.2)"
    );
    assert_eq!(
        decoded.violations[0].to_string(),
        "X-Mms-Transaction-ID is missing; expected 1 to 256 printable ASCII characters (TS 23.140 8.4.4.2): \
         cannot be processed"
    );
}

/// The table is in the order of its names, so that a name finds its row; no header stands twice.
#[test]
fn the_table_is_in_order() {
    for (index, field) in FIELDS.iter().enumerate() {
        assert_eq!(field.id as usize, index);
        assert!(FIELDS.iter().filter(|f| f.header.eq_ignore_ascii_case(field.header)).count() == 1);
    }
}
