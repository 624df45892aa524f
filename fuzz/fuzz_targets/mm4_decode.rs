//! Bytes as the head of an MM4 mail: decode, encode, decode.
//!
//! Checks: no panic; what is written has one line per field and needs no dot-stuffing; after stand-ins have settled,
//! decoding and encoding change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mime::HeaderBlock;
use wire::mm4::{Mail, Style, decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(block) = HeaderBlock::parse(data) else { return };
    let mut decoded = decode(&block);
    for finding in &decoded.tolerances {
        assert!(!finding.to_string().contains(['\r', '\n']));
    }
    for finding in &decoded.violations {
        assert!(!finding.to_string().contains(['\r', '\n']));
    }
    let mut written = Vec::new();
    for round in 0..4 {
        let Mail::Message(message) = &decoded.mail else { return };
        let mail = encode(message, &Style::default());
        assert!(round < 3 || mail == written, "{}", String::from_utf8_lossy(&mail));
        assert_eq!(wire::smtp::dot_stuff(&mail), mail);
        written = mail;
        // Values may grow over the limit of a head when they are written in base64.
        let Ok(block) = HeaderBlock::parse(&written) else { return };
        let lines = written[..block.head_len()].split(|b| *b == b'\n');
        let fields = lines.filter(|line| !matches!(**line, [] | [b'\r'] | [b' ', ..])).count();
        assert_eq!(fields, block.fields().len());
        decoded = decode(&block);
    }
});
