//! `[charging]`: whether charging records are made, and how they are written.
//!
//! Owns: its keys and defaults. Never knows: what stands in a record.

use super::parse::{Wrong, wrong};
use super::{ByteSize, Span};
use crate::charging::{Charging, Format};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargingPart {
    folder: Option<PathBuf>,
    formats: Option<Vec<String>>,
    file_size_max: Option<ByteSize>,
    file_age_max: Option<Span>,
}

/// The section is there: records are wanted.
pub(super) fn charging(part: &ChargingPart, base: Option<&Path>) -> Result<Charging, Wrong> {
    let names = part.formats.clone().unwrap_or_else(|| vec![Format::Json.as_str().into()]);
    let mut formats = Vec::new();
    for name in &names {
        let expected = "expected \"json\", \"csv\" or \"ber\", each once";
        match Format::named(name) {
            Some(format) if !formats.contains(&format) => formats.push(format),
            _ => return wrong(&format!("{name:?}"), format!("charging.formats: {name:?}; {expected}")),
        }
    }
    if formats.is_empty() {
        let why =
            "expected at least one of \"json\", \"csv\" and \"ber\"; without [charging] there are no records";
        return wrong("formats", format!("charging.formats: {why}"));
    }
    let size = part.file_size_max.map_or(10 << 20, |size| size.0);
    let age = part.file_age_max.map_or(Duration::from_secs(300), |age| age.0);
    if size == 0 || size > 1 << 30 {
        return wrong("file_size_max", "charging.file_size_max: expected 1 octet to 1GiB");
    }
    if age.is_zero() {
        return wrong("file_age_max", "charging.file_age_max: expected more than no time");
    }
    let folder =
        part.folder.as_ref().map(|folder| base.map_or_else(|| folder.clone(), |base| base.join(folder)));
    Ok(Charging { folder, formats, file_size_max: size, file_age_max: age })
}
