//! `[search]`: whether an index over MMs is kept.

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchPart {
    index: Option<bool>,
}

/// Whether it is kept.
pub(super) fn build(part: &SearchPart) -> bool {
    part.index.unwrap_or(false)
}
