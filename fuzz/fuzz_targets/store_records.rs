//! What the store reads from its disk: records of the journal, and places in the content log.
//!
//! Checks: no panic, no endless walk; a record that is read and written again is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    store::fuzzing::journal_record(data);
    if let Some((len, locator)) = data.split_first_chunk() {
        store::fuzzing::content_place(u64::from_le_bytes(*len), locator);
    }
});
