//! What is counted. `cargo bench -p counts` counts all of it and compares it with `baseline.txt`.
//!
//! Each case does the work of one message or one turn, with the same octets every time. What it needs is made before,
//! for all of its operations, and is not counted.

mod codec;
mod heart;
mod mails;
mod site;
mod smtp;
mod store;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cases = [codec::CASES, smtp::CASES, heart::CASES, store::CASES].concat();
    counts::main(&cases, &Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.txt"))
}
