//! Bytes as the head of an MM4 mail that is relayed with some edits; the text of one edit comes from the bytes too.
//!
//! Checks: no panic; every field is there as it was, but for those that are edited, `Bcc` and one more `Received`;
//! the result is in wire form, and a second hop without edits changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mms::{HeaderText, TransactionId, Version};
use wire::mime::{Field, HeaderBlock, HeaderLimits};
use wire::mm4::{Edit, Edits, relay};

fn edit<T>(choice: u8, value: T) -> Edit<T> {
    match choice % 3 {
        0 => Edit::Keep,
        1 => Edit::Remove,
        _ => Edit::Set(value),
    }
}

fn kept(field: &Field<'_>) -> Option<(String, String)> {
    let name = field.name().strip_prefix('.').unwrap_or(field.name());
    let named = ["", "Bcc", "Sender", "X-Mms-Transaction-ID", "X-Mms-Ack-Request", "X-Mms-3GPP-MMS-Version"]
        .iter()
        .any(|edited| edited.eq_ignore_ascii_case(name));
    (!named).then(|| (field.name().to_owned(), field.text().into_owned()))
}

fuzz_target!(|data: &[u8]| {
    let [shape, length, data @ ..] = data else { return };
    let (text, head) = data.split_at(data.len().min(usize::from(*length)));
    let text = String::from_utf8_lossy(text);
    let edits = Edits {
        received: (shape & 1 != 0).then(|| HeaderText::cleaned(&text)),
        sender: text.parse().map_or(Edit::Keep, |path| edit(shape >> 1, path)),
        version: edit(shape >> 2, Version::OURS),
        transaction_id: TransactionId::new(&*text).map_or(Edit::Keep, |id| edit(shape >> 3, id)),
        quote_ids: shape & 16 != 0,
        ack_request: edit(shape >> 5, true),
        ..Edits::default()
    };
    let limits = HeaderLimits { head_max: usize::MAX, fields_max: usize::MAX };
    let before = HeaderBlock::parse_within(head, &limits).unwrap();
    let relayed = relay(head, &edits);
    let after = HeaderBlock::parse_within(&relayed, &limits).unwrap();
    assert!(after.has_empty_line() && after.head_len() == relayed.len());
    let expected: Vec<_> = before.fields().iter().filter_map(kept).collect();
    let found: Vec<_> = after.fields().iter().filter_map(kept).collect();
    assert!(found.len() <= expected.len() + usize::from(edits.received.is_some()));
    assert!(found.ends_with(&expected));
    let framed = [b"\r\n", &relayed[..]].concat();
    assert!(framed.windows(2).all(|w| (w[0] == b'\r') == (w[1] == b'\n')));
    assert!(!framed.windows(5).any(|w| w == b"\r\n.\r\n"));
    assert_eq!(relay(&relayed, &Edits::default()), relayed);
});
