//! Bytes as a header section and its values.
//!
//! Checks: no panic; values are one line; encoded words and dates read back what we write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mime::{ContentType, HeaderBlock, decode_words, encode_phrase, encode_text, find_head_end, parse_date};

fuzz_target!(|data: &[u8]| {
    let _ = find_head_end(data);
    let Ok(block) = HeaderBlock::parse(data) else { return };
    assert!(block.head_len() <= data.len());
    for field in block.fields() {
        let text = field.text();
        assert!(!text.contains(['\r', '\n']));
        assert!(block.field(field.name()).is_some());
        let decoded = field.decoded();
        let written = encode_text(&decoded, field.name().len() % 60);
        assert_eq!(decode_words(written.replace("\r\n", "").trim_start_matches(' ')), decoded);
        let _ = encode_phrase(&decoded, 4);
        if let Some((at, _)) = parse_date(&text) {
            assert_eq!(parse_date(&wire::mime::mail_date(at)).map(|d| d.0), Some(at));
        }
        if let Some(content_type) = ContentType::parse(&text) {
            let _ = (content_type.boundary(), content_type.start(), content_type.parameter("name"));
        }
    }
});
