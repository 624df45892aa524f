//! `[metrics]`: where numbers for monitoring are had.

use serde::Deserialize;
use std::net::SocketAddr;

/// Where `/metrics`, `/healthz` and `/readyz` are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Addresses; none: nowhere.
    pub listen: Vec<SocketAddr>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsPart {
    #[serde(default)]
    listen: Vec<SocketAddr>,
}

/// The part, as it is used.
pub(super) fn build(part: MetricsPart) -> Metrics {
    Metrics { listen: part.listen }
}
