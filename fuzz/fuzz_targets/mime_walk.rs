//! Bytes as a mail: its head says the content type, the rest is walked whole and in chunks.
//!
//! Checks: no panic; chunks change nothing; ranges are in order and inside; limits hold; every part decodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mime::{HeaderBlock, Walk, WalkLimits, decode_transfer, walk};

fuzz_target!(|data: &[u8]| {
    let [cut, mail @ ..] = data else { return };
    let Ok(block) = HeaderBlock::parse(mail) else { return };
    let kind = block.text("Content-Type");
    let encoding = block.text("Content-Transfer-Encoding");
    let body = &mail[block.head_len()..];
    for limits in [WalkLimits::default(), WalkLimits { depth_max: 2, parts_max: 4, header_max: 50 }] {
        let whole = walk(kind.as_deref(), encoding.as_deref(), body, limits);
        let mut parts = Walk::new(kind.as_deref(), encoding.as_deref(), limits);
        body.chunks(usize::from(*cut).max(1)).for_each(|chunk| parts.push(chunk));
        assert_eq!(parts.finish(), whole);
        assert!(whole.parts.len() <= limits.parts_max);
        let mut end = 0;
        for part in &whole.parts {
            assert!(part.depth <= limits.depth_max);
            assert!(part.headers.start >= end && part.headers.end == part.body.start);
            assert!(part.body.start <= part.body.end && part.body.end <= body.len() as u64);
            end = part.body.end;
            let content = &body[part.body.start as usize..part.body.end as usize];
            assert!(decode_transfer(part.transfer_encoding, content).len() <= content.len());
        }
    }
});
