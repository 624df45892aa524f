//! Receiving `MM4_forward.REQ`: what is answered, to whom, and what is kept (cases F-03 to F-30, F-37 to F-49, L-01,
//! L-02).

use crate::world::*;
use serde_json::Value;
use std::collections::BTreeMap;

const B_SYSTEM: &str = "system-user@mms.b.example";

/// The relay's id of an MM, from the `250` after its content.
pub fn id_of(reply: &str) -> String {
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    reply.split(' ').nth(2).unwrap().to_owned()
}

/// The one mail that comes to a peer.
pub fn only_mail(peer: &Peer) -> Received {
    let mail = peer.mail();
    let more = peer.mails();
    assert!(more.is_empty(), "more than one mail: {more:?}");
    mail
}

/// The next so many responses at B: Transaction-ID to status.
pub fn responses(world: &World, count: usize) -> BTreeMap<String, String> {
    let mails = (0..count).map(|_| world.b.mail());
    mails.map(|m| (m.must("X-Mms-Transaction-ID"), m.must("X-Mms-Request-Status-Code"))).collect()
}

/// Send a request to U1 that is taken; its ledger.
fn taken(world: &World, fwd: &Fwd) -> Value {
    let reply = world.from_b().forward(fwd, &[U1]);
    world.trace(&id_of(&reply)).remove(0)
}

/// Send a request to U1 and hear its response.
fn answered(world: &World, fwd: &Fwd) -> Received {
    let mm = taken(world, fwd);
    assert_eq!(mm["responses"].as_array().unwrap().len(), 1, "{mm}");
    world.b.mail()
}

fn status(res: &Received) -> String {
    res.must("X-Mms-Request-Status-Code")
}

fn is_delivered(mm: &Value) -> bool {
    mm["recipients"][0]["state"] == "stored"
}

/// A request is refused in its response, with this status, and the user hears nothing of it.
fn refused(world: &World, fwd: &Fwd, expected: &str) -> Received {
    let before = world.mailbox(U1).len();
    let res = answered(world, fwd);
    assert_eq!(status(&res), expected, "{}", res.content);
    assert_eq!(world.mailbox(U1).len(), before);
    res
}

/// F-03, F-04: no response unless one is asked for.
#[test]
fn f_03_f_04_no_response_unless_asked() {
    let world = World::new();
    let no = taken(&world, &Fwd::ids("mm-1", "tx-1").set("X-Mms-Ack-Request", "No"));
    let none = taken(&world, &Fwd::ids("mm-2", "tx-2").without("X-Mms-Ack-Request"));
    for mm in [&no, &none] {
        assert!(is_delivered(mm), "{mm}");
        assert_eq!(mm["responses"], serde_json::json!([]));
    }
    // A third one is answered, and nothing else comes.
    taken(&world, &Fwd::ids("mm-3", "tx-3"));
    assert_eq!(only_mail(&world.b).must("X-Mms-Transaction-ID"), "tx-3");
    assert_eq!(world.mailbox(U1).len(), 3);
}

/// F-05, F-06: ids are echoed as they came; the same id without its marks is the same id.
#[test]
fn f_05_f_06_ids_are_echoed_as_they_came() {
    let world = World::new();
    for (transaction, message) in [("\"tx-1@x\"", "\"mm-1@x\""), ("<tx-2@x>", "<mm-2@x>")] {
        let res = answered(&world, &Fwd::ids(message, transaction));
        assert_eq!(res.must("X-Mms-Transaction-ID"), transaction);
        assert_eq!(res.must("X-Mms-Message-ID"), message);
        assert_eq!(status(&res), "Ok");
    }
    let repeat = taken(&world, &Fwd::ids("mm-1@x", "tx-1@x"));
    assert_eq!(repeat["recipients"][0]["state"], "duplicate");
    assert_eq!(world.b.mail().must("X-Mms-Message-ID"), "mm-1@x");
    assert_eq!(world.mailbox(U1).len(), 2);
}

/// F-07, F-08: names and the type value in any case.
#[test]
fn f_07_f_08_any_case() {
    let world = World::new();
    let fwd = Fwd::new()
        .without("X-Mms-Transaction-ID")
        .add("x-mms-TRANSACTION-id: tx-1")
        .without("X-Mms-3GPP-MMS-Version")
        .add("X-Mms-3GPP-Mms-Version: 6.3.0")
        .without("X-Mms-Message-ID")
        .add("X-MMS-MESSAGE-ID: mm-1")
        .set("X-Mms-Message-Type", "MM4_Forward.req");
    let res = answered(&world, &fwd);
    assert_eq!((status(&res).as_str(), res.must("X-Mms-Transaction-ID").as_str()), ("Ok", "tx-1"));
    assert_eq!(res.must("X-Mms-Message-Type"), "MM4_forward.RES");
    assert_eq!(world.mailbox(U1)[0]["message_id"], "mm-1");
}

/// F-09: a message type that nobody knows is answered, when that was asked for.
#[test]
fn f_09_an_unknown_message_type() {
    let world = World::new();
    let res = refused(
        &world,
        &Fwd::new().set("X-Mms-Message-Type", "MM4_unknown.REQ"),
        "Error-unsupported-message",
    );
    assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-1");
    assert_eq!(res.must("X-Mms-3GPP-MMS-Version"), "6.16.0");
    assert_eq!(res.to, [B_SYSTEM]);
    // A response of an unknown kind is answered with nothing.
    let mm = taken(&world, &Fwd::ids("mm-2", "tx-2").set("X-Mms-Message-Type", "MM4_unknown.RES"));
    assert_eq!(mm["responses"], serde_json::json!([]));
}

/// F-10: ordinary mail.
#[test]
fn f_10_ordinary_mail() {
    let world = World::new();
    let mut client = world.from_b();
    let reply = client.forward(&Fwd::new().without("X-Mms-Message-Type"), &[U1]);
    assert!(reply.starts_with("554 5.6.0"), "{reply}");
    assert!(world.all().is_empty());
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"), "the session goes on");
}

/// F-11: a response is asked for, and cannot be correlated.
#[test]
fn f_11_no_transaction_id() {
    let world = World::new();
    let fwd = Fwd::new().without("X-Mms-Transaction-ID").set("X-Mms-Originator-System", "mmsc@mms.b.example");
    let res = refused(&world, &fwd, "Error-message-format-corrupt");
    assert_eq!(res.header("X-Mms-Transaction-ID").unwrap_or_default(), "");
    assert_eq!(
        (res.must("X-Mms-Message-ID").as_str(), res.to.as_slice()),
        ("mm-1", &["mmsc@mms.b.example".into()][..])
    );
    // Where none is asked for, none is needed.
    let mm =
        taken(&world, &Fwd::ids("mm-2", "").without("X-Mms-Transaction-ID").without("X-Mms-Ack-Request"));
    assert!(is_delivered(&mm), "{mm}");
}

/// F-12: the mail's own Message-ID stands in for the MM's.
#[test]
fn f_12_no_mm_message_id() {
    let world = World::new();
    let res = answered(&world, &Fwd::new().without("X-Mms-Message-ID"));
    assert_eq!(status(&res), "Ok");
    assert_eq!(res.must("X-Mms-Message-ID"), "std11-1@mms.b.example");
    assert_eq!(world.mailbox(U1)[0]["message_id"], "std11-1@mms.b.example");
}

/// F-13, F-14: where the response goes. Never to another host, whatever the message says.
#[test]
fn f_13_f_14_where_the_response_goes() {
    let b = "system_address = \"mm4@mms.b.example\"".into();
    let world = World::with(Setup { b, ..Setup::default() });
    let bare = Fwd::new().without("X-Mms-Originator-System");
    let send = |n: usize, fwd: Fwd, mail_from: &str| {
        let fwd =
            fwd.set("X-Mms-Message-ID", &format!("mm-{n}")).set("X-Mms-Transaction-ID", &format!("tx-{n}"));
        let reply = world.from_b().mail(mail_from, &[&at_a(U1)], &fwd.mail());
        let id = id_of(&reply);
        let res = world.b.mail();
        assert_eq!(status(&res), "Ok");
        assert_eq!(res.to, [res.must("To")]);
        (res.must("To"), id)
    };
    let envelope = "bounce@mms.b.example";
    let to = |n, fwd, from| send(n, fwd, from).0;
    assert_eq!(to(1, Fwd::new(), envelope), B_SYSTEM);
    assert_eq!(to(2, bare.clone().set("Sender", "relay@mms.b.example"), envelope), "relay@mms.b.example");
    assert_eq!(to(3, bare.clone().without("Sender"), envelope), envelope);
    assert_eq!(to(4, bare.clone().without("Sender"), ""), "mm4@mms.b.example");
    assert_eq!(
        to(5, bare.clone().set("Sender", "x@elsewhere.example"), "y@elsewhere.example"),
        "mm4@mms.b.example"
    );

    // F-14: a foreign mailbox is ignored, and the history says so.
    let foreign = Fwd::new().set("X-Mms-Originator-System", "system-user@mms.c.example");
    let (to, id) = send(6, foreign, envelope);
    assert_eq!(to, "mm4@mms.b.example");
    let history = world.trace(&id)[0]["history"].clone();
    let noted = history.as_array().unwrap().iter().find(|m| m["what"] == "ignored").expect("a note");
    assert!(noted["text"].as_str().unwrap().contains("system-user@mms.c.example"), "{noted}");
    assert!(world.log().contains("system-user@mms.c.example is not of this peer"));
    assert_eq!(world.c.connections(), 0);
}

/// F-15: a multipart without a boundary.
#[test]
fn f_15_broken_mime() {
    let world = World::new();
    refused(&world, &Fwd::new().set("Content-Type", "multipart/mixed"), "Error-message-format-corrupt");
    // A boundary that never occurs is no better.
    let fwd = Fwd::ids("mm-2", "tx-2").set("Content-Type", "multipart/mixed; boundary=other");
    refused(&world, &fwd, "Error-message-format-corrupt");
}

/// F-16, F-17, F-18: the last delimiter missing, a single part, nothing at all.
#[test]
fn f_16_f_17_f_18_odd_but_whole_bodies() {
    let world = World::new();
    let parts = |n: usize, fwd: Fwd| {
        let id = format!("mm-{n}");
        let fwd = fwd.set("X-Mms-Message-ID", &id).set("X-Mms-Transaction-ID", &format!("tx-{n}"));
        let res = answered(&world, &fwd);
        assert_eq!(status(&res), "Ok", "{id}: {}", res.content);
        let mailbox = world.mailbox(U1);
        mailbox.into_iter().find(|mm| mm["message_id"] == id.as_str()).unwrap()["parts"].clone()
    };
    let open =
        b"--b1\r\nContent-Type: text/plain\r\n\r\none\r\n--b1\r\nContent-Type: text/plain\r\n\r\ntwo\r\n";
    let found = parts(1, Fwd::new().body(open));
    assert_eq!((&found[0]["text"], &found[1]["text"]), (&"one".into(), &"two\r\n".into()));

    let single = Fwd::new().set("Content-Type", "text/plain; charset=utf-8").body("gr\u{fc}n\r\n".as_bytes());
    let found = parts(2, single);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["text"]), (1, &"gr\u{fc}n\r\n".into()));

    for (n, (content_type, body)) in [
        ("text/plain", ""),
        ("multipart/mixed; boundary=b1", ""),
        ("multipart/mixed; boundary=b1", "--b1--\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = parts(3 + n, Fwd::new().set("Content-Type", content_type).body(body.as_bytes()));
        let octets: u64 = found.as_array().unwrap().iter().map(|p| p["size"].as_u64().unwrap()).sum();
        assert_eq!(octets, 0, "{content_type} {body:?}: {found}");
    }
    // Not even a body: the header block is all there is.
    let mut mail = Fwd::ids("mm-9", "tx-9").set("Content-Type", "text/plain").body(b"").mail();
    mail.truncate(mail.len() - 2);
    assert!(world.from_b().mail("", &[&at_a(U1)], &mail).starts_with("250"));
    assert_eq!(status(&world.b.mail()), "Ok");
    assert_eq!(world.mailbox(U1).len(), 6);
}

/// F-19: the recipient may not use the service.
#[test]
fn f_19_barred() {
    let local = format!("barred = [\"{U1}\"]");
    let world = World::with(Setup { local, ..Setup::default() });
    refused(&world, &Fwd::new(), "Error-service-denied");
    assert!(world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U2]).starts_with("250"));
    assert_eq!(status(&world.b.mail()), "Ok");
    assert_eq!(world.mailbox(U2).len(), 1);
}

/// F-20: a number in our range that nobody has.
#[test]
fn f_20_not_provisioned() {
    let local = format!("subscribers = [\"{U2}\"]");
    let world = World::with(Setup { local, ..Setup::default() });
    refused(&world, &Fwd::new(), "Error-sending-address-unresolved");
}

/// F-21: a number that is nobody's, no response asked: taken, dropped, and the history says why.
#[test]
fn f_21_nobodys_number_without_a_response() {
    let local = format!("subscribers = [\"{U2}\"]");
    let world = World::with(Setup { local, ..Setup::default() });
    let fwd = |n: usize| Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("X-Mms-Ack-Request", "No");
    for (n, number) in [U1, "+19995550100"].into_iter().enumerate() {
        let reply = world.from_b().forward(&fwd(n), &[number]);
        let mm = &world.trace(&id_of(&reply))[0];
        assert_eq!(mm["responses"], serde_json::json!([]));
        assert_eq!((&mm["recipients"][0]["state"], &mm["closed"]), (&"refused".into(), &true.into()));
        assert_eq!(mm["recipients"][0]["reason"], "not-served");
        let whys: Vec<&Value> =
            mm["history"].as_array().unwrap().iter().filter(|m| m["what"] == "refused").collect();
        assert_eq!(whys.len(), 1, "{mm}");
        assert_eq!(whys[0]["text"], "recipient is not known here");
    }
    assert!(world.from_b().forward(&Fwd::ids("mm-9", "tx-9"), &[U2]).starts_with("250"));
    assert_eq!(only_mail(&world.b).must("X-Mms-Transaction-ID"), "tx-9");
    assert!(world.json(&["mailbox"]).iter().all(|mm| mm["recipient"] == U2));
}

/// F-23: the back-end is down. The peer may try again later, and is not told what it was told before.
#[test]
fn f_23_out_of_service() {
    let mut world = World::with(Setup { local: "available = false".into(), ..Setup::default() });
    refused(&world, &Fwd::new(), "Error-network-problem");
    world.setup().local.clear();
    world.restart();
    let again = Fwd::new().set("Message-ID", "<std11-2@mms.b.example>").set("X-Mms-Transaction-ID", "tx-2");
    let res = answered(&world, &again);
    assert_eq!((status(&res).as_str(), res.must("X-Mms-Transaction-ID").as_str()), ("Ok", "tx-2"));
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// When each of these values of X-Mms-Expiry ends, with this Date.
fn expiries(world: &World, first: usize, date: &str, values: &[&str]) -> Vec<String> {
    let mut client = world.from_b();
    let mut ends = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let id = format!("mm-{}", first + n);
        let fwd = Fwd::ids(&id, &format!("tx-{}", first + n)).set("Date", date).set("X-Mms-Expiry", value);
        let reply = client.forward(&fwd, &[U1]);
        let mm = &world.trace(&id_of(&reply))[0];
        assert_eq!(mm["recipients"][0]["status"], "Ok", "{value}: {mm}");
        ends.push(mm["expires"].as_str().unwrap().replace(".000Z", "Z"));
    }
    ends
}

/// F-24, F-25, F-26: the end of validity, relative and in every form of date.
#[test]
fn f_24_f_25_f_26_forms_of_expiry() {
    let world = World::new();
    let now = "Tue, 04 Mar 2025 10:15:30 +0000";
    let forms = [
        "Tue, 04 Mar 2025 12:15:30 GMT",
        "Tuesday, 04-Mar-25 12:15:30 GMT",
        "Tue Mar  4 12:15:30 2025",
        "Tue, 04 Mar 2025 13:15:30 +0100",
        "4 Mar 2025 07:15:30 -0500",
        "2025-03-04T12:15:30Z",
        "2025-03-04T14:15:30+02:00",
        "1741090530",
        "7200",
    ];
    let ends = expiries(&world, 0, now, &forms);
    for (form, end) in forms.iter().zip(&ends) {
        assert_eq!(end, "2025-03-04T12:15:30Z", "{form}");
    }
    // Relative to Date, where that clock is near ours, else to now.
    let earlier = "Tue, 04 Mar 2025 10:10:30 +0000";
    assert_eq!(expiries(&world, 20, earlier, &["600"]), ["2025-03-04T10:20:30Z"]);
    assert_eq!(expiries(&world, 30, now, &["600"]), ["2025-03-04T10:25:30Z"]);
    let far = "Sat, 01 Jan 2005 00:00:00 +0000";
    assert_eq!(expiries(&world, 40, far, &["600"]), ["2025-03-04T10:25:30Z"]);
}

/// F-27: expired before it arrived: taken all the same, and the ledger holds what a delivery report will say.
#[test]
fn f_27_expired_on_arrival() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("Date", "Tue, 04 Mar 2025 08:00:00 +0000")
        .set("X-Mms-Expiry", "Tue, 04 Mar 2025 09:00:00 GMT");
    let res = answered(&world, &fwd);
    assert_eq!(status(&res), "Ok");
    let mm = &world.trace("mm-1")[0];
    assert_eq!(mm["recipients"][0]["state"], "expired");
    assert_eq!(world.b.report().must("X-Mms-MM-Status-Code"), "Expired");
    assert_eq!(mm["size"], Value::Null, "its content is not kept");
    assert!(world.mailbox(U1).is_empty());
}

/// F-28, F-29: too long is cut, nonsense and nothing are the default.
#[test]
fn f_28_f_29_expiry_clamped_and_default() {
    let limits = "expiry_default = \"3d\"\nexpiry_max = \"14d\"\n".into();
    let world = World::with(Setup { limits, ..Setup::default() });
    let now = "Tue, 04 Mar 2025 10:15:30 +0000";
    let long = ["Fri, 31 Dec 9999 23:59:59 GMT", "999999999", "99999999999999999999999", "1209601"];
    for end in expiries(&world, 0, now, &long) {
        assert_eq!(end, "2025-03-18T10:15:30Z");
    }
    // One that ends before the message was made is a mislabelled zone.
    let nonsense = ["soon", "", "-5", "32 Mar 2025", "Tue, 04 Mar 2025 10:00:00 GMT"];
    for end in expiries(&world, 10, now, &nonsense) {
        assert_eq!(end, "2025-03-07T10:15:30Z");
    }
}

/// F-30: everything that may be left out is left out.
#[test]
fn f_30_defaults() {
    let world = World::new();
    let fwd = Fwd::new()
        .without("X-Mms-Message-Class")
        .without("X-Mms-Priority")
        .without("X-Mms-Delivery-Report")
        .without("X-Mms-Originator-R/S-Delivery-Report")
        .without("Subject");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let mm = &world.mailbox(U1)[0];
    assert_eq!(mm["originator"]["value"], B1, "shown");
    assert_eq!((&mm["expires"], &mm["subject"]), (&"2025-03-07T10:15:30.000Z".into(), &Value::Null));
    assert_eq!(mm["parts"][0]["text"], "hello");
}

/// F-31: a sender who hides is hidden, and so are those before.
#[test]
fn f_31_hidden_sender() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("X-Mms-Sender-Visibility", "Hide")
        .set("X-Mms-Forward-Counter", "1")
        .add("X-Mms-Previously-sent-by: 0, +12025550119/TYPE=PLMN")
        // A second From, which the codec notes with its value.
        .add("From: +12025550119/TYPE=PLMN");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let mailbox = world.mailbox(U1);
    assert_eq!(mailbox[0]["originator"], Value::Null);
    let shown = mailbox[0].to_string();
    assert!(!shown.contains("2025550110") && !shown.contains("2025550119"), "{shown}");
    let list = String::from_utf8(world.cli(&["mailbox"]).stdout).unwrap();
    assert!(list.contains("(hidden)") && !list.contains("2025550110"), "{list}");
    let fetched = world.cli(&["--json", "mailbox", "get", "mm-1", "--to", "fetched"]).stdout;
    let fetched = String::from_utf8(fetched).unwrap();
    assert!(fetched.contains("hello") && !fetched.contains("202555011"), "{fetched}");
    // The operator's own record has the sender.
    assert_eq!(world.trace("mm-1")[0]["sender"]["value"], B1);
}

/// F-32, F-33: subjects in every dress.
#[test]
fn f_32_f_33_subjects() {
    let world = World::new();
    let subjects: [(&[u8], &str); 5] = [
        (b"=?utf-8?B?R3LDvMOfZQ==?=", "Gr\u{fc}\u{df}e"),
        (b"=?UTF-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?Q?_an_alle?=", "Gr\u{fc}\u{df}e an alle"),
        (b"=?iso-8859-1?Q?Gr=FC=DFe?= from\r\n\there", "Gr\u{fc}\u{df}e from here"),
        (b"Gr\xc3\xbc\xc3\x9fe", "Gr\u{fc}\u{df}e"),
        (b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
    ];
    for (n, (written, _)) in subjects.iter().enumerate() {
        let mut mail = b"Subject: ".to_vec();
        mail.extend_from_slice(written);
        mail.extend_from_slice(b"\r\n");
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).without("Subject");
        mail.extend_from_slice(&fwd.mail());
        id_of(&world.from_b().mail("", &[&at_a(U1)], &mail));
    }
    let mailbox = world.mailbox(U1);
    for (n, (_, read)) in subjects.iter().enumerate() {
        let id = format!("mm-{n}");
        let mm = mailbox.iter().find(|mm| mm["message_id"] == id.as_str()).unwrap();
        assert_eq!(mm["subject"], *read, "{id}");
    }
}

/// F-37: what nobody knows is ignored.
#[test]
fn f_37_unknown_fields() {
    let world = World::new();
    let fwd = Fwd::new()
        .add("X-Mms-Something-New: 17")
        .add("X-Operator-Billing: a=b; c=d")
        .add("X-Mms-MMS-Version: 1.2")
        .add("X-Mms-VASP-ID: shop");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    assert_eq!(world.mailbox(U1)[0]["parts"][0]["text"], "hello");
}

/// F-38: every version that is met in the field, and one to come; the response says ours.
#[test]
fn f_38_versions() {
    let world = World::with(Setup { c: "profile = { version = \"5.5.0\" }".into(), ..Setup::default() });
    for (n, version) in ["4.2.0", "5.5.0", "6.3.0", "6.10.0", "7.1.0", "6.3", ""].into_iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("X-Mms-3GPP-MMS-Version", version);
        let res = answered(&world, &fwd);
        assert_eq!(status(&res), "Ok", "{version}");
        assert_eq!(res.must("X-Mms-3GPP-MMS-Version"), "6.16.0", "{version}");
    }
    assert_eq!(world.mailbox(U1).len(), 7);
    // To a peer that is configured so, another version of ours.
    let reply = world.from_c().forward(&Fwd::ids("mm-c", "tx-c"), &[U1]);
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.c.mail().must("X-Mms-3GPP-MMS-Version"), "5.5.0");
}

/// F-39: a later major that cannot be read is not the sender's fault.
#[test]
fn f_39_a_version_to_come() {
    let world = World::new();
    let future =
        |n: usize| Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("X-Mms-3GPP-MMS-Version", "99.0.0");
    let unreadable = future(1).set("X-Mms-Message-ID", &"m".repeat(300));
    let res = refused(&world, &unreadable, "Error-unsupported-message");
    assert_eq!(res.must("X-Mms-3GPP-MMS-Version"), "6.16.0");
    let broken = future(2).set("Content-Type", "multipart/mixed");
    refused(&world, &broken, "Error-unsupported-message");
    // What can be read is delivered.
    assert_eq!(status(&answered(&world, &future(3))), "Ok");
    // The same faults in a version of today are format errors.
    let today = Fwd::ids(&"m".repeat(300), "tx-4");
    refused(&world, &today, "Error-message-format-corrupt");
}

/// F-40, F-41: earlier senders are shown in their order; a counter alone means nothing.
#[test]
fn f_40_f_41_forwarding_history() {
    let world = World::new();
    let fwd = Fwd::new()
        .set("X-Mms-Forward-Counter", "2")
        .add("X-Mms-Previously-sent-by: 0, +12025550118/TYPE=PLMN@mms.b.example")
        .add("X-Mms-Previously-sent-by: 1, +12025550119/TYPE=PLMN@mms.b.example")
        .add("X-Mms-Previously-sent-date-and-time: 0, Mon, 03 Mar 2025 08:00:00 GMT")
        .add("X-Mms-Previously-sent-date-and-time: 1, Mon, 03 Mar 2025 09:00:00 GMT");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let mm = &world.mailbox(U1)[0];
    assert_eq!(mm["originator"]["value"], B1, "the last one");
    let by: Vec<&str> = mm["fields"]["X-Mms-Previously-sent-by"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    assert!(by[0].contains("+12025550118") && by[1].contains("+12025550119"), "{by:?}");
    assert_eq!(mm["fields"]["X-Mms-Previously-sent-date-and-time"][1], "1, Mon, 03 Mar 2025 09:00:00 GMT");

    let plain = Fwd::ids("mm-2", "tx-2").set("X-Mms-Forward-Counter", "1");
    assert_eq!(status(&answered(&world, &plain)), "Ok");
    let trace = String::from_utf8(world.cli(&["trace", "mm-2"]).stdout).unwrap();
    assert!(trace.contains("mailbox") && !trace.contains("forwarded"), "{trace}");
}

/// F-42: forwarded once too often.
#[test]
fn f_42_forward_limit() {
    let world = World::new();
    let res = refused(&world, &Fwd::new().set("X-Mms-Forward-Counter", "11"), "Error-unspecified");
    assert!(res.must("X-Mms-Status-Text").contains("forward limit"), "{}", res.content);
    let last = Fwd::ids("mm-2", "tx-2").set("X-Mms-Forward-Counter", "10");
    assert_eq!(status(&answered(&world, &last)), "Ok");
}

/// F-44, F-45, F-46: what belongs to applications and rights is kept, what does not belong is ignored.
#[test]
fn f_44_f_45_f_46_carried_and_ignored() {
    let world = World::new();
    let fwd = Fwd::new()
        .add("X-Mms-Applic-ID: game.example")
        .add("X-Mms-Reply-Applic-ID: score.example")
        .add("X-Mms-Aux-Applic-Info: level=3")
        .add("X-Mms-Drm-Content: Yes")
        .add("X-Mms-Adaptation-Allowed: No")
        .add("X-Mms-Reply-Charging: requested");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let mm = &world.mailbox(U1)[0];
    for (field, value) in [
        ("X-Mms-Applic-ID", "game.example"),
        ("X-Mms-Reply-Applic-ID", "score.example"),
        ("X-Mms-Aux-Applic-Info", "level=3"),
    ] {
        assert_eq!(mm["fields"][field], value);
    }
    let raw = world.cli(&["mailbox", "get", "mm-1", "--raw"]).stdout;
    assert!(raw.ends_with(&fwd.body), "octet by octet as it came");
}

/// F-47: a Bcc that should not be there is shown to nobody.
#[test]
fn f_47_bcc() {
    let world = World::new();
    let fwd = Fwd::new().add("Bcc: +12025550199/TYPE=PLMN").add("bcc: someone@mms.a.example");
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let shown = world.mailbox(U1)[0].to_string();
    assert!(shown.contains(B1) && !shown.contains("2025550199") && !shown.contains("someone"), "{shown}");
}

/// F-48: booleans in every spelling.
#[test]
fn f_48_booleans() {
    let world = World::new();
    let mut client = world.from_b();
    let send = |client: &mut Client, n: usize, word: &str| {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("X-Mms-Ack-Request", word);
        let reply = client.forward(&fwd, &[U1]);
        world.trace(&id_of(&reply))[0]["responses"].as_array().unwrap().len()
    };
    for (n, word) in ["yes", "YES", "TRUE", "true", "1"].into_iter().enumerate() {
        assert_eq!(send(&mut client, n, word), 1, "{word}");
    }
    for (n, word) in ["no", "FALSE", "0", "maybe", ""].into_iter().enumerate() {
        assert_eq!(send(&mut client, 10 + n, word), 0, "{word}");
    }
    assert_eq!(responses(&world, 5).len(), 5);
}

/// F-49: the multipart types of WAP are those of mail.
#[test]
fn f_49_wap_multiparts() {
    let world = World::new();
    for (n, kind) in ["related", "mixed", "alternative"].into_iter().enumerate() {
        let content_type = format!("application/vnd.wap.multipart.{kind}; boundary=\"b1\"");
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).set("Content-Type", &content_type);
        assert_eq!(status(&answered(&world, &fwd)), "Ok", "{kind}");
    }
    // Also inside.
    let body = b"--b1\r\nContent-Type: application/vnd.wap.multipart.mixed; boundary=b2\r\n\r\n--b2\r\n\
        Content-Type: text/plain\r\n\r\nhello\r\n--b2--\r\n--b1--\r\n";
    assert_eq!(status(&answered(&world, &Fwd::ids("mm-9", "tx-9").body(body))), "Ok");
    for mm in world.mailbox(U1) {
        assert_eq!(
            (mm["parts"].as_array().unwrap().len(), &mm["parts"][0]["text"]),
            (1, &"hello".into()),
            "{mm}"
        );
    }
}

/// L-01: one request to one user of ours, one number of nobody's and one address that is no user: each gets its `250`,
/// the user gets the MM, and the rest is said in responses of the style that the peer can read.
#[test]
fn l_01_every_recipient_is_taken_and_judged_in_the_response() {
    let to = [U1, "+19995550100", "nonsense@mms.a.example"];
    let world = World::new();
    // `forward` expects 250 for each RCPT.
    let reply = world.from_b().forward(&Fwd::new(), &to);
    let mm = &world.trace(&id_of(&reply))[0];
    let states: Vec<&str> = (0..3).map(|i| mm["recipients"][i]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["stored", "refused", "refused"]);
    let count = mm["responses"].as_array().unwrap().len();
    let mut told = BTreeMap::new();
    for _ in 0..count {
        let res = world.b.mail();
        assert_eq!(res.must("X-Mms-Transaction-ID"), "tx-1");
        for recipient in res.must("X-Mms-Request-Recipients").split(',') {
            let before = told.insert(recipient.trim().to_owned(), status(&res));
            assert_eq!(before, None, "{recipient} is told of once");
        }
    }
    let told: Vec<(&str, &str)> = told.iter().map(|(r, s)| (r.as_str(), s.as_str())).collect();
    assert_eq!(
        told,
        [
            ("+12025550100/TYPE=PLMN", "Ok"),
            ("+19995550100/TYPE=PLMN", "Error-sending-address-unresolved"),
            ("nonsense@mms.a.example", "Error-sending-address-unresolved"),
        ]
    );
    assert_eq!(world.mailbox(U1).len(), 1);

    // Collective: exactly one, and it is the good news.
    let b = "profile = { response_style = \"collective\" }".into();
    let world = World::with(Setup { b, ..Setup::default() });
    let reply = world.from_b().forward(&Fwd::new(), &to);
    assert_eq!(world.trace(&id_of(&reply))[0]["responses"].as_array().unwrap().len(), 1);
    let res = world.b.mail();
    assert_eq!((status(&res).as_str(), res.header("X-Mms-Request-Recipients")), ("Ok", None));
    assert_eq!(world.mailbox(U1).len(), 1);
    // A second request is answered, and nothing more came for the first.
    assert!(world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));
    assert_eq!(only_mail(&world.b).must("X-Mms-Transaction-ID"), "tx-2");
}

/// L-02: nobody of ours among them. Still three `250`, `250` after the content, and only errors in the responses.
#[test]
fn l_02_nobody_of_ours() {
    for (style, expected) in [("individual", 2), ("collective", 1)] {
        let b = format!("profile = {{ response_style = \"{style}\" }}");
        let world = World::with(Setup { b, ..Setup::default() });
        let to = ["+19995550100", "nonsense@mms.a.example", "+19995550101/TYPE=PLMN@other.example"];
        let reply = world.from_b().forward(&Fwd::new(), &to);
        let mm = &world.trace(&id_of(&reply))[0];
        assert_eq!(mm["responses"].as_array().unwrap().len(), expected, "{mm}");
        for _ in 0..expected {
            let res = world.b.mail();
            assert!(status(&res).starts_with("Error-"), "{}", res.content);
        }
        assert!(world.json(&["mailbox"]).is_empty());
    }
}

/// F-34, F-35, F-36: parameters in capitals and folded, `start` and Content-ID without angle brackets, base64 with
/// blanks, without padding and in one long line.
#[test]
fn f_34_f_35_f_36_odd_parameters_and_base64() {
    let world = World::new();
    let long = "QUJD".repeat(2000);
    let body = format!(
        "--b\r\nContent-Type: application/smil;Name=0.smil\r\nContent-ID:0.smil\r\n\r\n<smil/>\r\n\
         --b\r\nContent-Type: image/jpeg;Name=x.jpeg\r\nContent-Transfer-Encoding: BASE64\r\n\r\nQU JD\r\n RE VG R0\r\n\
         --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{long}\r\n--b--\r\n"
    );
    let kind = "multipart/related;Start=0.smil;Type=\"application/smil\";\r\n\tboundary=\"b\"";
    let fwd = Fwd::new().set("Content-Type", kind).body(body.as_bytes());
    assert_eq!(status(&answered(&world, &fwd)), "Ok");
    let mail = world.mailbox(U1).remove(0);
    let parts = mail["parts"].as_array().unwrap();
    let sizes: Vec<u64> = parts.iter().map(|p| p["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [7, 7, 6000]);
    assert_eq!((&parts[0]["content_id"], &parts[1]["name"]), (&"0.smil".into(), &"x.jpeg".into()));
    assert_eq!(parts[1]["content_type"], "image/jpeg");
}
