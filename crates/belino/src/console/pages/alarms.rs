//! What needs somebody now.

use super::super::{Desk, Visitor};
use super::{Frame, page};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/alarms.html")]
struct Alarms {
    frame: Frame,
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Response<Body> {
    let frame = Frame::new(&desk, &visitor, "Alarms", "/alarms").await;
    page(StatusCode::OK, &Alarms { frame })
}
