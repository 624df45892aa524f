//! What a TCP proxy says, or somebody who pretends to be one.
//!
//! Checks: no panic; however it comes in pieces it means the same; it never asks for more than a header has, nor takes an
//! octet of what follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::proxy::{HEADER_MAX, Step, read};

fuzz_target!(|data: &[u8]| {
    let mut have = 0;
    // As the house does it: exactly what is asked for, no more.
    let ended = loop {
        match read(&data[..have]) {
            Ok(Step::More(more)) => {
                assert!(more > 0 && have + more <= HEADER_MAX);
                if have + more > data.len() {
                    return;
                }
                have += more;
            }
            ended => break ended,
        }
    };
    assert_eq!(read(&data[..have]), ended);
    if let Ok(Step::Whole { .. }) = ended {
        assert!(have <= HEADER_MAX);
    }
});
