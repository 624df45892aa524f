//! Bytes as a mail that may be a delivery status notification, whole and cut.
//!
//! Checks: no panic; values are one line; a cut body has no id that the whole one does not have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mime::{HeaderBlock, Original, bounce};

fuzz_target!(|data: &[u8]| {
    let [cut, mail @ ..] = data else { return };
    let Ok(block) = HeaderBlock::parse(mail) else { return };
    let kind = block.text("Content-Type");
    let body = &mail[block.head_len()..];
    let Some(whole) = bounce(kind.as_deref(), body) else { return };
    for recipient in &whole.recipients {
        for path in [&recipient.final_recipient, &recipient.original_recipient].into_iter().flatten() {
            assert!(!path.to_string().contains(['\r', '\n']));
        }
        assert!(recipient.diagnostic.as_ref().is_none_or(|text| text.as_str().len() <= 500));
    }
    let end = body.len() * usize::from(*cut) / 256;
    // A cut may only hide: what is left of a header section ends with a whole line.
    let Some(cut) = bounce(kind.as_deref(), &body[..end]) else { return };
    let whole = whole.original.unwrap_or_default();
    if let (Some(Original { transaction_id: Some(id), .. }), Some(whole)) = (cut.original, whole.transaction_id) {
        assert!(whole.as_str().starts_with(id.as_str()));
    }
});
