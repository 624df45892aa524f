//! Where an address would go, and why.

use super::super::{Desk, Visitor};
use super::{Frame, page};
use crate::admin::verbs;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/routes.html")]
struct Routes {
    frame: Frame,
    address: String,
    found: Option<Found>,
    locals: Vec<(String, String)>,
    peers: Vec<(String, String, String)>,
}

struct Found {
    goes: String,
    known: bool,
    hosts: Vec<String>,
    steps: Vec<String>,
}

fn found(frame: &Frame, value: &Value) -> Found {
    let text = |value: &Value| frame.masked(value.as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let (goes, known) = match value["to"].as_str().unwrap_or_default() {
        "mailbox" => ("to a mailbox here".to_owned(), true),
        "webhook" => (format!("to webhook {}", text(&value["webhook"])), true),
        "peer" => (format!("to peer {}", text(&value["peer"])), true),
        "waiting" => ("nowhere yet: it would wait for a look-up that cannot be made now".to_owned(), false),
        _ => (format!("nowhere: {}", text(&value["why"])), false),
    };
    Found { goes, known, hosts: list(&value["hosts"]), steps: list(&value["steps"]) }
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let mut frame = Frame::new(&desk, &visitor, "Routes", "/routes").await;
    let address = query.get("address").map(|a| a.trim().to_owned()).unwrap_or_default();
    let mut answer = None;
    if !address.is_empty() {
        match verbs::route(&desk.parts, &address).await {
            Ok(value) => answer = Some(found(&frame, &value)),
            Err(error) => frame = frame.failing(&format!("{error:#}")),
        }
    }
    let config = desk.parts.dock.config();
    let list = |prefixes: &[String]| prefixes.iter().map(|p| format!("+{p}")).collect::<Vec<_>>().join(", ");
    let locals = config.house.locals.iter().map(|local| {
        let dock = match &local.dock {
            relay::house::Dock::Mailbox => "mailbox".to_owned(),
            relay::house::Dock::Hook(hook) => format!("webhook {hook}"),
        };
        let served = [list(&local.prefixes), local.codes.iter().cloned().collect::<Vec<_>>().join(", ")];
        (served.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", "), dock)
    });
    let peers = config.house.peers.iter().map(|peer| {
        let domains = peer.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        (peer.name.to_string(), list(&peer.prefixes), domains)
    });
    let (locals, peers) = (locals.collect(), peers.collect());
    page(StatusCode::OK, &Routes { frame, address, found: answer, locals, peers })
}
