//! `docs/guide/codes.md`, made from the code: every status that Belino says or hears, every SMTP reply, every HTTP problem.
//!
//! Replies inside an SMTP session are gathered from the sources that say them, so that none is forgotten.

use crate::pages::{fresh, root};
use belino::dock::http::problem::Kind;
use mms::{MmStatus, ReadStatus, RequestStatus};
use regex_lite::Regex;
use relay::Reason;
use std::collections::BTreeSet;
use std::fmt::Write as _;

fn of_request(status: RequestStatus) -> (&'static str, &'static str) {
    match status {
        RequestStatus::Ok => {
            ("taken; the recipient's Relay/Server has it", "wait for reports, if any were asked for")
        }
        RequestStatus::ErrorUnspecified => {
            ("something without a better name", "read the text that comes with it")
        }
        RequestStatus::ErrorServiceDenied => (
            "sender or recipient may not use the service, or no transit is agreed",
            "ask the peer; sending again does not help",
        ),
        RequestStatus::ErrorMessageFormatCorrupt => {
            ("a field is missing or cannot be read", "`belino decode` on the mail shows which")
        }
        RequestStatus::ErrorSendingAddressUnresolved => (
            "nobody has this number, or no route leads to it",
            "`belino route NUMBER`; perhaps it has been ported",
        ),
        RequestStatus::ErrorMessageNotFound => (
            "the MM that a report is about is not known",
            "a report that came late, or twice, or to the wrong place",
        ),
        RequestStatus::ErrorNetworkProblem => {
            ("not now; the only error after which the MM is sent again", "wait: `[retry] response_retries`")
        }
        RequestStatus::ErrorContentNotAccepted => {
            ("too large, too many parts, or not wanted", "agree on a size")
        }
        RequestStatus::ErrorUnsupportedMessage => {
            ("a type or version that is not known", "a lower `version` in the profile")
        }
    }
}

fn of_mm(status: MmStatus) -> &'static str {
    match status {
        MmStatus::Expired => "its validity ended before it was fetched",
        MmStatus::Retrieved => "the recipient has it",
        MmStatus::Rejected => {
            "refused, by the recipient or by a Relay/Server (`X-Mms-MM-Status-Extension` says by whom)"
        }
        MmStatus::Deferred => "put off by the recipient; the only one after which another report follows",
        MmStatus::Indeterminate => "nobody can say",
        MmStatus::Forwarded => "passed on by the recipient without being fetched",
        MmStatus::Unrecognised => "the recipient's device did not understand it",
        MmStatus::Unreachable => "the recipient's network could not be reached",
    }
}

/// What a reply in a session means, for those that say more than that the other side speaks another SMTP.
const REPLIES: &[(&str, &str)] = &[
    ("250 2.0.0 ... taken", "the mail is on our disk; the words are our id, for `belino trace`"),
    ("421 4.3.2 Service is stopping", "a restart; the peer tries again by itself"),
    ("421 4.4.2 Content comes too slowly", "`[limits] content_idle`, `content_rate_min`"),
    ("421 4.4.2 Nothing heard for too long", "`[limits] idle`, `session_max`"),
    ("421 4.7.0 Too many connections", "`sessions_max` of the peer or of `[limits]`"),
    ("421 4.7.0 Too many errors", "the peer gets every command wrong; the log says which"),
    ("421 4.7.0 Too many wrong passwords", "`auth_user`, `auth_password_file`"),
    ("451 4.3.0 Try again later", "our own trouble; the log says which"),
    ("451 4.7.1 More mails in a second", "`mails_per_second` of the peer"),
    (
        "451 4.7.1 take the answers that wait",
        "the peer reports about one MM again and again and takes no answer",
    ),
    (
        "452 4.5.3 Too many recipients",
        "`[limits] envelope_recipients_max`; the peer sends the rest separately",
    ),
    ("530 5.7.0 Authentication required", "the peer has to log in: `auth_user`"),
    ("530 5.7.0 Must issue a STARTTLS", "`tls = \"required\"`, and the peer speaks in the clear"),
    ("535 5.7.8 Authentication credentials", "a wrong name or password"),
    (
        "550 5.6.11 Only CRLF",
        "the peer ends lines by LF or CR alone: [symptom](troubleshooting.md#a-peers-mails-end-its-connections)",
    ),
    (
        "550 5.6.11 NUL",
        "the peer sends octets that are no mail: [symptom](troubleshooting.md#a-peers-mails-end-its-connections)",
    ),
    (
        "552 5.3.4 Message too big",
        "`[limits] message_size_max`: [symptom](troubleshooting.md#an-mm-is-too-large)",
    ),
    ("552 5.3.4 Message far too big", "the peer went on long after the limit, so the connection ends"),
    (
        "554 5.5.0 Bytes behind STARTTLS",
        "something in between puts words into the peer's mouth; nothing of it is used",
    ),
    ("554 5.5.0 This is SMTP", "somebody speaks HTTP to the port"),
    ("554 5.5.0 Wait for the greeting", "the other side talks before it is greeted: seldom a peer"),
    (
        "554 5.7.1 No MM4 service",
        "the address is in nobody's `from`: [symptom](troubleshooting.md#a-peer-cannot-connect)",
    ),
    (
        "554 5.7.1 Not known here",
        "its certificate is not the one that was agreed; the words behind it say what is wrong",
    ),
];

fn source(path: &str) -> String {
    let text = std::fs::read_to_string(root().join("crates").join(path)).unwrap();
    // Without the tests at its end.
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

/// Every 4yz and 5yz reply that the sources of the sessions say.
fn replies() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let whole = Regex::new(r#"b"([45]\d\d [245]\.\d+\.\d+ [^"]+?)(?:\\r\\n)?""#).unwrap();
    for path in ["wire/src/smtp/server/mod.rs", "wire/src/smtp/server/login.rs"] {
        found.extend(whole.captures_iter(&source(path)).map(|c| c[1].trim_end_matches("\\r\\n").to_owned()));
    }
    let text = source("belino/src/dock/mm4.rs");
    let made = Regex::new(r#"Reply::(later|never)\(\s*(\d+),\s*(\d+),\s*(\d+),\s*"([^"]+)""#).unwrap();
    for c in made.captures_iter(&text) {
        let class = if &c[1] == "later" { 4 } else { 5 };
        found.insert(format!("{} {class}.{}.{} {}", &c[2], &c[3], &c[4], &c[5]));
    }
    let plain = Regex::new(r#"Reply::new\((\d+), None, "([^"]+)""#).unwrap();
    found.extend(plain.captures_iter(&text).map(|c| format!("{} {}", &c[1], &c[2])));
    let either = Regex::new(r#"else \{ "Nothing heard for too long" \}"#).unwrap();
    assert!(either.is_match(&text), "dock/mm4.rs says something else to silent peers");
    found.extend(
        ["Content comes too slowly", "Nothing heard for too long"].map(|why| format!("421 4.4.2 {why}")),
    );
    assert!(text.contains("format!(\"Not known here: {why}\")"));
    found.insert("554 5.7.1 Not known here: ...".into());
    let text = source("relay/src/answer.rs");
    let why = "take the answers that wait for you first, then try again";
    assert!(text.contains(why));
    found.insert(format!("451 4.7.1 {why}"));
    assert!(found.len() > 40, "{found:?}");
    found
}

#[test]
fn the_page_of_codes_is_fresh() {
    let mut page = String::from(
        "# Codes\n\nEverything that Belino says to a peer, to an application or about an MM, and what it means. This page is made from the code by the \
         tests.\n\n## What a response says\n\n`X-Mms-Request-Status-Code` of an `MM4_forward.RES`, and of the answers to reports.\n\n\
         | status | meaning | what to do as its receiver |\n|---|---|---|\n",
    );
    for status in RequestStatus::ALL {
        let (meaning, deed) = of_request(*status);
        let _ = writeln!(page, "| `{status}` | {meaning} | {deed} |");
    }
    page.push_str(
        "\nOther spellings, and the codes of other interfaces that some peers use, are understood: see [profiles](../profiles.md#what-is-understood).\n\n\
         ## What a report says\n\n`X-Mms-MM-Status-Code` of an `MM4_delivery_report.REQ`:\n\n| status | meaning |\n|---|---|\n",
    );
    for status in MmStatus::ALL {
        let _ = writeln!(page, "| `{status}` | {} |", of_mm(*status));
    }
    let reading: Vec<String> = ReadStatus::ALL.iter().map(|status| format!("`{status}`")).collect();
    let _ =
        writeln!(page, "\n`X-Mms-Read-Status` of an `MM4_read_reply_report.REQ`: {}.", reading.join(" or "));
    page.push_str(
        "\n## Why an MM is refused or fails\n\nThe reason stands in histories and in JSON (`why`). A peer reads the status in the response; the SMTP reply \
         stands where no response can carry it: the mail is no MM4 message, or cannot be kept now. The report is what the sender gets who asked for one.\n\n\
         | reason | in words | response | SMTP | report |\n|---|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let reply = reason.reply().to_string();
        let code = reply.strip_suffix(reason.text()).unwrap().trim_end();
        let (word, text) = (reason.word(), reason.text());
        let _ = writeln!(
            page,
            "| `{word}` | {text} | `{}` | `{code}` | `{}` |",
            reason.request_status(),
            reason.mm_status()
        );
    }
    page.push_str(
        "\n## What an SMTP session says\n\nReplies that take what was said are 2yz. These do not; 4yz means later, 5yz means never. Where nothing stands behind \
         it the other side speaks SMTP as we do not know it, or out of order.\n\n| reply | what it is about |\n|---|---|\n",
    );
    let replies = replies();
    for reply in &replies {
        let about = REPLIES.iter().find(|(begin, _)| reply.starts_with(begin)).map_or("", |(_, about)| about);
        let _ = writeln!(page, "| `{reply}` |{}{about} |", if about.is_empty() { "" } else { " " });
    }
    for (begin, _) in &REPLIES[1..] {
        assert!(replies.iter().any(|reply| reply.starts_with(begin)), "nobody says {begin}");
    }
    let _ = writeln!(page, "\n`{}`: {}.", REPLIES[0].0, REPLIES[0].1);
    page.push_str(
        "\n## What an HTTP answer says\n\nRefusals are `application/problem+json` (RFC 9457); `type` is `urn:belino:problem:` and the word. `detail` says more, \
         `field` names the field that is to blame.\n\n| status | word | title |\n|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let _ = writeln!(page, "| {} | `{}` | {} |", kind.status(), kind.word(), kind.title());
    }
    page.push_str(
        "\n## What a command's exit code says\n\n| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | not done, or not well: the last line says why. `probe`: something \
         failed; `verify`: something is damaged; `bench`: a mail was lost, doubled or changed |\n| 2 | the command line is wrong; `probe`, `verify`: it could not \
         run |\n",
    );
    fresh("guide/codes.md", &page);
}
