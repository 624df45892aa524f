//! Who changed what.

use super::super::{Desk, Visitor};
use super::{Frame, bare, blocking, page};
use crate::audit::Entry;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use std::collections::HashMap;
use std::sync::Arc;

/// Lines on one page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Audit {
    frame: Frame,
    lines: Vec<Result<Entry, String>>,
    /// How many newer ones there are, and where the next page begins.
    skip: usize,
    newer: usize,
    older: Option<usize>,
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let skip = query.get("skip").and_then(|s| s.parse().ok()).unwrap_or(0);
    let parts = desk.parts.clone();
    let Ok(mut lines) = blocking(move || parts.audit.newest(skip, PAGE + 1)).await else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR, "The audit log cannot be read.");
    };
    let older = (lines.len() > PAGE).then_some(skip + PAGE);
    lines.truncate(PAGE);
    let frame = Frame::new(&desk, &visitor, "Audit", "/audit").await;
    page(StatusCode::OK, &Audit { frame, lines, skip, newer: skip.saturating_sub(PAGE), older })
}
