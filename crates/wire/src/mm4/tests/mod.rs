//! The codec as a whole: what peers send, what we send, and that nothing is lost between.

mod cases;
mod laws;

use super::*;
use crate::mime::HeaderBlock;
use mms::{AbstractMessage, ForwardReq, ForwardRes};

pub(super) const FORWARD: &str = "Date: Tue, 04 Mar 2025 10:15:30 +0000\r
From: +12025550110/TYPE=PLMN@mms.b.example\r
Sender: +12025550110/TYPE=PLMN@mms.b.example\r
To: +12025550100/TYPE=PLMN@mms.a.example,\r
 +12025550120/TYPE=PLMN@mms.c.example\r
Message-ID: <01J9-m-7f3a@mms.b.example>\r
Subject: hello\r
MIME-Version: 1.0\r
Content-Type: multipart/related; type=\"application/smil\"; start=\"<s>\"; boundary=\"b1\"\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_forward.REQ\r
X-Mms-Transaction-ID: tx-1\r
X-Mms-Message-ID: mm-1\r
X-Mms-Message-Class: Personal\r
X-Mms-Expiry: Fri, 07 Mar 2025 10:15:30 GMT\r
X-Mms-Delivery-Report: Yes\r
X-Mms-Originator-R/S-Delivery-Report: No\r
X-Mms-Priority: Normal\r
X-Mms-Sender-Visibility: Show\r
X-Mms-Read-Reply: No\r
X-Mms-Ack-Request: Yes\r
X-Mms-Originator-System: system-user@mms.b.example\r
\r
";

pub(super) const RESPONSE: &str = "Date: Tue, 04 Mar 2025 10:15:33 +0000\r
From: system-user@mms.b.example\r
Sender: system-user@mms.b.example\r
To: system-user@mms.a.example\r
Message-ID: <r-1@mms.b.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_forward.RES\r
X-Mms-Transaction-ID: tx-4711@mms.a.example\r
X-Mms-Message-ID: mm-0815@mms.a.example\r
X-Mms-Request-Status-Code: Ok\r
X-Mms-Request-Recipients: +12025550111/TYPE=PLMN\r
\r
Ok\r
";

pub(super) const REPORT: &str = "Date: Tue, 04 Mar 2025 10:17:01 +0000\r
From: +12025550111/TYPE=PLMN@mms.b.example\r
Sender: system-user@mms.b.example\r
To: +12025550100/TYPE=PLMN@mms.a.example\r
Message-ID: <d-1@mms.b.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_delivery_report.REQ\r
X-Mms-Transaction-ID: dr-99@mms.b.example\r
X-Mms-Message-ID: mm-0815@mms.a.example\r
X-Mms-Ack-Request: Yes\r
X-Mms-Forward-To-Originator-UA: Yes\r
X-Mms-MM-Status-Code: Retrieved\r
\r
Retrieved\r
";

pub(super) const READ_REPORT: &str = "Date: Tue, 04 Mar 2025 10:17:01 +0000\r
From: +12025550111/TYPE=PLMN@mms.b.example\r
Sender: system-user@mms.b.example\r
To: +12025550100/TYPE=PLMN@mms.a.example\r
Message-ID: <d-2@mms.b.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_read_reply_report.REQ\r
X-Mms-Transaction-ID: rr-99@mms.b.example\r
X-Mms-Message-ID: mm-0815@mms.a.example\r
X-Mms-Ack-Request: No\r
X-Mms-Read-Status: Deleted without being read\r
\r
Deleted without being read\r
";

pub(super) fn decoded(head: &str) -> Decoded {
    decode(&HeaderBlock::parse(head.as_bytes()).unwrap())
}

pub(super) fn message(head: &str) -> (AbstractMessage, Decoded) {
    let decoded = decoded(head);
    match &decoded.mail {
        Mail::Message(message) => (message.clone(), decoded),
        other => panic!("{other:?}"),
    }
}

pub(super) fn forward(head: &str) -> (ForwardReq, Decoded) {
    match message(head) {
        (AbstractMessage::ForwardReq(message), decoded) => (message, decoded),
        (other, _) => panic!("{other:?}"),
    }
}

pub(super) fn response(head: &str) -> (ForwardRes, Decoded) {
    match message(head) {
        (AbstractMessage::ForwardRes(message), decoded) => (message, decoded),
        (other, _) => panic!("{other:?}"),
    }
}

/// `head` without the field `name`, and with `lines` in front.
pub(super) fn edited(head: &str, name: &str, lines: &str) -> String {
    let mut out = lines.to_owned();
    let mut skipping = false;
    for line in head.split_inclusive("\r\n") {
        skipping = if line.starts_with(' ') { skipping } else { line.starts_with(&format!("{name}:")) };
        if !skipping {
            out.push_str(line);
        }
    }
    out
}
