//! A configuration file that somebody writes.
//!
//! Checks: no panic; an error is one that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Err(why) = belino::config::parse(text, Path::new("belino.toml")) {
        assert!(!why.to_string().is_empty());
    }
});
