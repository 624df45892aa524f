//! The body of `POST /v1/messages`, as JSON and as the message of a form.
//!
//! Checks: no panic; the same octets give the same digest.
#![no_main]

use belino::dock::http::wanted::{Raw, Wanted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for raw in [|data: &[u8]| Raw::Json(data.to_vec()), |data: &[u8]| Raw::Form(data.to_vec(), Vec::new())] {
        if let (Ok(first), Ok(second)) = (Wanted::read(raw(data)), Wanted::read(raw(data))) {
            assert_eq!(first.digest, second.digest);
        }
    }
});
