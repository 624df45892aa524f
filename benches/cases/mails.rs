//! The mails that the cases work on: an MM with a presentation, a text and a picture, as peers send it, and its response.

use mms::AbstractMessage;
use wire::mime::HeaderBlock;
use wire::mm4::{Mail, decode};

/// The header section of an `MM4_forward.REQ` in transit, two systems behind it.
const HEAD: &str = "\
Received: from mx2.mms.b.example (mx2.mms.b.example [192.0.2.12]) by mx1.mms.a.example\r
 (Postfix) with ESMTP id 4Z6K1r2QnVz9s7 for <+12025550120/TYPE=PLMN@mms.a.example>;\r
 Tue, 04 Mar 2025 10:15:31 +0000 (UTC)\r
Received: from mmsc3.internal.b.example (unknown [10.20.30.40]) by mx2.mms.b.example\r
 with ESMTP id 7C1A94402F; Tue, 04 Mar 2025 10:15:30 +0000\r
Date: Tue, 04 Mar 2025 10:15:30 +0000\r
From: +12025550110/TYPE=PLMN@mms.b.example\r
Sender: +12025550110/TYPE=PLMN@mms.b.example\r
To: +12025550120/TYPE=PLMN@mms.a.example\r
Message-ID: <01J9-m-7f3a@mms.b.example>\r
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_vom_See?=\r
MIME-Version: 1.0\r
Content-Type: multipart/related; type=\"application/smil\"; start=\"<s>\"; boundary=\"----=_Part_4711.1741083330\"\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_forward.REQ\r
X-Mms-Transaction-ID: \"7f3a-4711-20250304101530@mms.b.example\"\r
X-Mms-Message-ID: \"mm-7f3a-4711@mms.b.example\"\r
X-Mms-Message-Class: Personal\r
X-Mms-Message-Size: 30000\r
X-Mms-Expiry: Fri, 07 Mar 2025 10:15:30 GMT\r
X-Mms-Delivery-Report: No\r
X-Mms-Priority: Normal\r
X-Mms-Sender-Visibility: Show\r
X-Mms-Read-Reply: No\r
X-Mms-Ack-Request: Yes\r
X-Mms-Originator-System: system-user@mms.b.example\r
X-Mms-Forward-Counter: 1\r
\r
";

/// The response to it, as the next Relay/Server writes it.
pub const RESPONSE: &str = "\
Received: from mx1.mms.c.example (mx1.mms.c.example [192.0.2.50]) by mx1.mms.a.example\r
 with ESMTP id 4Z6K1s5LbHz9sB; Tue, 04 Mar 2025 10:15:34 +0000 (UTC)\r
Date: Tue, 04 Mar 2025 10:15:33 +0000\r
From: system-user@mms.c.example\r
Sender: system-user@mms.c.example\r
To: system-user@mms.a.example\r
Message-ID: <r-1@mms.c.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
X-Mms-3GPP-MMS-Version: 6.16.0\r
X-Mms-Message-Type: MM4_forward.RES\r
X-Mms-Transaction-ID: tx-4711@mms.a.example\r
X-Mms-Message-ID: \"mm-7f3a-4711@mms.b.example\"\r
X-Mms-Request-Status-Code: Ok\r
X-Mms-Request-Recipients: +12025550120/TYPE=PLMN\r
\r
Ok\r
";

const BOUNDARY: &str = "----=_Part_4711.1741083330";

/// The header section of an MM.
pub fn head() -> Vec<u8> {
    HEAD.into()
}

/// An MM of so many octets, in wire form: presentation, text, picture.
pub fn forward(size: usize) -> Vec<u8> {
    let mut mail = head();
    mail.extend(body(size - mail.len()));
    mail
}

/// The body of an MM.
pub fn body(size: usize) -> Vec<u8> {
    let part = |head: &str| format!("--{BOUNDARY}\r\n{head}\r\n\r\n");
    let mut body = part("Content-Type: application/smil; name=\"s.smil\"\r\nContent-ID: <s>").into_bytes();
    body.extend_from_slice(
        b"<smil><head><layout><root-layout width=\"160\" height=\"140\"/><region id=\"Image\" width=\"160\" height=\"120\"/>\
          </layout></head>\r\n<body><par dur=\"5000ms\"><img src=\"lake.jpg\" region=\"Image\"/>\
          <text src=\"text.txt\" region=\"Text\"/></par></body></smil>\r\n",
    );
    body.extend_from_slice(
        part("Content-Type: text/plain; charset=utf-8\r\nContent-ID: <t>\r\nContent-Location: text.txt")
            .as_bytes(),
    );
    // Two lines begin with a dot, which is doubled on the wire.
    body.extend_from_slice(b"Hello from the lake\r\n..\r\n..and back on Monday.\r\n");
    let picture = "Content-Type: image/jpeg; name=\"lake.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\
                   Content-ID: <p>\r\nContent-Location: lake.jpg";
    body.extend_from_slice(part(picture).as_bytes());
    let end = format!("--{BOUNDARY}--\r\n");
    while body.len() + 2 + end.len() < size {
        let room = size - end.len() - body.len() - 2;
        body.extend(pseudo_random(body.len() as u64).take(room.min(76)));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(end.as_bytes());
    body
}

/// Base64 of nothing in particular.
fn pseudo_random(seed: u64) -> impl Iterator<Item = u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(LETTERS[(state >> 58) as usize])
    })
}

/// What a header section says.
pub fn message(head: &[u8]) -> AbstractMessage {
    let block = HeaderBlock::parse(head).expect("a header section");
    match decode(&block).mail {
        Mail::Message(message) => message,
        other => panic!("{other:?}"),
    }
}
