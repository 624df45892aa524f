//! Coming and going.

use super::super::{Desk, Ends, Fields, Visitor, cookie_name, redirect};
use super::page;
use crate::admin::deed::{self, Deed};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use axum::http::{Response, StatusCode};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/login.html")]
struct Login {
    relay: String,
    error: &'static str,
}

fn form(desk: &Desk, status: StatusCode, error: &'static str) -> Response<Body> {
    let relay = desk.parts.dock.config().house.domain().to_string();
    page(status, &Login { relay, error })
}

pub(in super::super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Extension(ends): Extension<Ends>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let Some(link) = query.get("link") else { return form(&desk, StatusCode::OK, "") };
    if !desk.sessions.may_try(ends.from) {
        return slow_down(&desk);
    }
    match desk.sessions.follow(link) {
        Some(name) => begin(&desk, &name, ends, &headers).await,
        None => {
            desk.sessions.was_wrong(ends.from);
            form(
                &desk,
                StatusCode::FORBIDDEN,
                "This link has been used, or is too old. Log in with the token.",
            )
        }
    }
}

fn slow_down(desk: &Desk) -> Response<Body> {
    let mut response =
        form(desk, StatusCode::TOO_MANY_REQUESTS, "Too many wrong tokens: wait a minute, then try again.");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

pub(in super::super) async fn enter(
    State(desk): State<Arc<Desk>>,
    Extension(ends): Extension<Ends>,
    Extension(fields): Extension<Fields>,
    headers: HeaderMap,
) -> Response<Body> {
    if !desk.sessions.may_try(ends.from) {
        return slow_down(&desk);
    }
    let name = desk.tokens().user(fields.text("token")).map(str::to_owned);
    match name {
        Some(name) => begin(&desk, &name, ends, &headers).await,
        None => {
            desk.sessions.was_wrong(ends.from);
            tracing::warn!(from = %ends.from, "wrong token at the console");
            form(&desk, StatusCode::FORBIDDEN, "Nobody has this token.")
        }
    }
}

async fn begin(desk: &Desk, name: &str, ends: Ends, headers: &HeaderMap) -> Response<Body> {
    let life = desk.console().session_life;
    let Some(cookie) = desk.sessions.begin(name, &desk.tokens(), life) else {
        return form(desk, StatusCode::FORBIDDEN, "This user is not configured any more.");
    };
    deed::record(
        &desk.parts,
        format!("console {name}"),
        Deed::new("log in", ends.from.to_string()),
        "done".into(),
    )
    .await;
    // A proxy that has TLS says so; then the cookie never goes without it.
    let proto = headers.get("x-forwarded-proto").and_then(|v| v.to_str().ok());
    let secure = if proto == Some("https") { "; Secure" } else { "" };
    let (cookie_name, life) = (cookie_name(ends.port), life.as_secs());
    let line = format!("{cookie_name}={cookie}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    let mut response = redirect("/");
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(SET_COOKIE, line);
    }
    response
}

pub(in super::super) async fn leave(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(ends): Extension<Ends>,
) -> Response<Body> {
    desk.sessions.end(&visitor);
    let mut response = redirect("/login");
    let line = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", cookie_name(ends.port));
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(SET_COOKIE, line);
    }
    response
}
