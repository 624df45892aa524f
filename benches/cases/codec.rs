//! Mails to words and back: header sections, structures, dots.

use crate::mails::{RESPONSE, body, forward, head, message};
use counts::{Case, Operation};
use mms::{AbstractMessage, HeaderText, TransactionId};
use std::hint::black_box;
use std::path::Path;
use wire::mime::{HeaderBlock, Walk, WalkLimits};
use wire::mm4::{Edit, Edits, Style, decode, encode, relay};
use wire::smtp::{dot_stuff, unstuff};

pub const CASES: &[Case] = &[
    Case::new("mm4-decode-forward-req", 100, |_, _| read(head())),
    Case::new("mm4-decode-forward-res", 100, |_, _| read(RESPONSE.into())),
    Case::new("mm4-encode-forward-req", 100, |_, _| write(message(&head()))),
    Case::new("mm4-encode-forward-res", 100, |_, _| write(message(RESPONSE.as_bytes()))),
    Case::new("mm4-relay-head", 100, pass_on),
    Case::new("mime-walk-30k", 100, |_, _| take_apart(30_000)),
    Case::new("mime-walk-300k", 20, |_, _| take_apart(300_000)),
    Case::new("smtp-dot-stuff-30k", 20, stuff),
    Case::new("smtp-unstuff-30k", 100, take_dots_off),
];

/// A header section to words.
fn read(head: Vec<u8>) -> Operation {
    Box::new(move || {
        let block = HeaderBlock::parse(black_box(&head)).expect("a header section");
        black_box(decode(&block));
    })
}

/// Words to a mail.
fn write(message: AbstractMessage) -> Operation {
    Box::new(move || {
        black_box(encode(black_box(&message), &Style::default()));
    })
}

/// A header section in transit: what ties it to one hop is replaced.
fn pass_on(_: &Path, _: usize) -> Operation {
    let head = head();
    let path = |text: &str| text.parse().expect("a path");
    let received = "from mms.b.example by mms.a.example with ESMTP id 01JNGSN3AG0000000000000001; \
                    Tue, 04 Mar 2025 10:15:31 +0000";
    let edits = Edits {
        received: Some(HeaderText::cleaned(received)),
        sender: Edit::Set(path("+12025550110/TYPE=PLMN@mms.a.example")),
        transaction_id: Edit::Set(
            TransactionId::new("01JNGSN3AG0000000000000001-0@mms.a.example").expect("an id"),
        ),
        ack_request: Edit::Set(true),
        originator_system: Edit::Set(path("system-user@mms.a.example")),
        ..Edits::default()
    };
    Box::new(move || {
        black_box(relay(black_box(&head), black_box(&edits)));
    })
}

/// The structure of a body that comes in pieces.
fn take_apart(size: usize) -> Operation {
    let (head, body) = (head(), body(size));
    let content_type = HeaderBlock::parse(&head).expect("a header section");
    let content_type = content_type.text("Content-Type").expect("a content type").into_owned();
    Box::new(move || {
        let mut walk = Walk::new(Some(&content_type), None, WalkLimits::default());
        black_box(&body).chunks(64 << 10).for_each(|piece| walk.push(piece));
        assert_eq!(black_box(walk.finish()).parts.len(), 3);
    })
}

/// Text of our own to wire form.
fn stuff(_: &Path, _: usize) -> Operation {
    let text = unstuff(&body(30_000)).into_owned();
    Box::new(move || {
        black_box(dot_stuff(black_box(&text)));
    })
}

/// Wire form to what was meant.
fn take_dots_off(_: &Path, _: usize) -> Operation {
    let wire_form = forward(30_000);
    Box::new(move || {
        black_box(unstuff(black_box(&wire_form)));
    })
}
