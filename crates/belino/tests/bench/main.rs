//! The load bench from outside: its two ends by hand, whole runs that last seconds, and what it says when something is
//! wrong. No test looks at how fast anything is.

mod ends;
mod runs;

use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// `belino bench` with these arguments, run to its end.
fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belino"));
    command.arg("bench").args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// What it printed.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What it printed, as JSON.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}
