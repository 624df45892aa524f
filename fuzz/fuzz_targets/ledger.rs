//! A row of the store that is not what was written.
//!
//! Checks: no panic, no allocation beyond what is there; what is read writes itself again and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::Ledger;

fuzz_target!(|data: &[u8]| {
    if let Ok(ledger) = Ledger::decode(data) {
        let again = ledger.encode();
        assert_eq!(Ledger::decode(&again).unwrap().encode(), again);
    }
});
