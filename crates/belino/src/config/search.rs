//! `[search]`: whether an index over MMs is kept.

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchPart {
    index: Option<bool>,
}

/// Whether it is kept: where somebody may search, unless it is turned off.
pub(super) fn build(part: &SearchPart, console_listens: bool) -> bool {
    part.index.unwrap_or(console_listens)
}
