//! Bytes as a mail whose body is made 7-bit.
//!
//! Checks: no panic; what comes out is 7-bit in short lines and stays as it is the second time; every part has the
//! content that it had.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::mime::{HeaderBlock, SevenBit, WalkLimits, decode_transfer, seven_bit, walk};

fuzz_target!(|data: &[u8]| {
    let Ok(block) = HeaderBlock::parse(data) else { return };
    let kind = block.text("Content-Type");
    let encoding = block.text("Content-Transfer-Encoding");
    // Content comes in wire form: the receiving side takes no other.
    let body = wire::smtp::dot_stuff(&data[block.head_len()..]);
    let limits = WalkLimits::default();
    let SevenBit::Rewritten { body: made, content_transfer_encoding } =
        seven_bit(kind.as_deref(), encoding.as_deref(), &body, limits)
    else {
        return;
    };
    assert!(made.is_ascii());
    assert!(made.split(|b| *b == b'\n').all(|line| line.len() <= 999));
    assert!(![b"\r\n", &made[..]].concat().windows(5).any(|w| w == b"\r\n.\r\n"));
    let encoding_after = content_transfer_encoding.or(encoding.as_deref());
    assert_eq!(seven_bit(kind.as_deref(), encoding_after, &made, limits), SevenBit::Fits);
    let before = walk(kind.as_deref(), encoding.as_deref(), &body, limits);
    let after = walk(kind.as_deref(), encoding_after, &made, limits);
    if before.problems.iter().any(|problem| !problem.is_tolerable()) {
        return;
    }
    assert_eq!(before.parts.len(), after.parts.len());
    for (old, new) in before.parts.iter().zip(&after.parts) {
        let was = &body[old.body.start as usize..old.body.end as usize];
        let is = &made[new.body.start as usize..new.body.end as usize];
        assert_eq!(decode_transfer(new.transfer_encoding, is), decode_transfer(old.transfer_encoding, was));
    }
});
