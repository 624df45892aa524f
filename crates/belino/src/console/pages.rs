//! The pages: what each shows, made of what the relay knows, in words that templates escape.
//!
//! Owns: the frame around every page. Never knows: how anything is decided or stored.

pub(super) mod alarms;
pub(super) mod audit;
pub(super) mod configuration;
pub(super) mod login;
pub(super) mod messages;
pub(super) mod mm;
pub(super) mod overview;
pub(super) mod parts;
pub(super) mod peers;
pub(super) mod routes;
pub(super) mod send;

use super::{Desk, Visitor};
use crate::alarms::Alarm;
use crate::explain::time;
use crate::mask::Mask;
use askama::Template;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use mms::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What stands around every page.
pub(super) struct Frame {
    title: String,
    /// The place in the menu.
    current: &'static str,
    relay: String,
    user: String,
    role: &'static str,
    may_operate: bool,
    csrf: String,
    alarms: Vec<Alarm>,
    masked: bool,
    now: String,
    /// What was just done.
    notice: String,
    /// What went wrong just now.
    error: String,
    mask: Mask,
}

/// The menu.
const MENU: [(&str, &str); 8] = [
    ("/", "Overview"),
    ("/peers", "Peers"),
    ("/messages", "Messages"),
    ("/send", "Send"),
    ("/routes", "Routes"),
    ("/alarms", "Alarms"),
    ("/audit", "Audit"),
    ("/configuration", "Configuration"),
];

impl Frame {
    pub(super) async fn new(
        desk: &Desk,
        visitor: &Visitor,
        title: impl Into<String>,
        current: &'static str,
    ) -> Self {
        let config = desk.parts.dock.config();
        Self {
            title: title.into(),
            current,
            relay: config.house.domain().to_string(),
            user: visitor.name.clone(),
            role: visitor.role.as_str(),
            may_operate: visitor.may_operate(),
            csrf: visitor.csrf.clone(),
            alarms: crate::alarms::alarms(&desk.parts).await,
            masked: config.console.mask_numbers,
            now: time(desk.parts.clock.now()),
            notice: String::new(),
            error: String::new(),
            mask: Mask(config.console.mask_numbers),
        }
    }

    fn noticing(mut self, notice: &str) -> Self {
        notice.clone_into(&mut self.notice);
        self
    }

    fn failing(mut self, error: &str) -> Self {
        error.clone_into(&mut self.error);
        self
    }

    fn menu(&self) -> &'static [(&'static str, &'static str)] {
        &MENU
    }

    fn serious(&self) -> usize {
        self.alarms.iter().filter(|a| a.severity == crate::alarms::Severity::Alarm).count()
    }

    /// How many alarms there are, and warnings beside them: together what the menu counts.
    fn headline(&self) -> String {
        let of = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let alarms = of(self.serious(), "alarm");
        match self.alarms.len() - self.serious() {
            0 => alarms,
            rest => format!("{alarms} and {}", of(rest, "warning")),
        }
    }

    /// Words with numbers hidden, if they are to be.
    fn masked(&self, text: &str) -> String {
        self.mask.text(text).into_owned()
    }
}

/// A page as an answer.
fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    match template.render() {
        Ok(text) => html(status, text),
        Err(error) => {
            tracing::error!("a page of the console cannot be written: {error}");
            bare(StatusCode::INTERNAL_SERVER_ERROR, "This page cannot be shown; the log says why.")
        }
    }
}

fn html(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

#[derive(Template)]
#[template(path = "console/bare.html")]
struct Bare<'a> {
    status: u16,
    what: &'a str,
}

/// A page without anything around it: for who is not let in.
pub(super) fn bare(status: StatusCode, what: &str) -> Response<Body> {
    let text = Bare { status: status.as_u16(), what }.render();
    html(status, text.unwrap_or_else(|_| what.to_owned()))
}

/// What went wrong, with a way back.
pub(super) async fn trouble(_desk: &Arc<Desk>, status: StatusCode, what: &str) -> Response<Body> {
    bare(status, what)
}

/// Do something that may block on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// A span in words: `12 s`, `3 min`, `24 h`, `2 h 5 min`, `4 d`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago, in words.
fn ago(now: Timestamp, at: Option<Timestamp>) -> String {
    match at.map(|at| now.since(at)) {
        None => "not since the start".to_owned(),
        Some(since) if since < Duration::from_secs(2) => "just now".to_owned(),
        Some(since) => format!("{} ago", span(since)),
    }
}

/// Who handed an MM in, in words: an application, a user of the console, or who sits at the machine.
fn submitted_by(by: &str) -> &str {
    if by == "cli" { "command line" } else { by }
}

/// An instant of the audit log to the second, as every page writes it. The file may hold anything.
fn instant(at: &str) -> String {
    match at.get(..19) {
        Some(begin) if at.ends_with('Z') => format!("{} UTC", begin.replace('T', " ")),
        _ => at.to_owned(),
    }
}

/// The MM that a change led to, out of its outcome in the audit log.
fn done_with(outcome: &str) -> Option<&str> {
    outcome.strip_prefix("done: ").filter(|id| is_mm(id))
}

/// A title as the target of a link.
fn anchor(title: &str) -> String {
    title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Whether this is the id of an MM.
fn is_mm(text: &str) -> bool {
    text.parse::<mms::MmId>().is_ok()
}

/// A size in words.
fn size(octets: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| octets >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", octets as f64 / *unit as f64),
        None => crate::explain::several(octets, "octet"),
    }
}

/// How a state of a recipient looks: a word for the style sheet and a sign that needs no colour.
fn tone(state: &str) -> (&'static str, &'static str) {
    match state {
        "accepted" | "stored" | "retrieved" => ("good", "\u{2713}"),
        "routing" | "queued" | "forwarded" => ("wait", "\u{2026}"),
        "failed" | "refused" | "expired" => ("bad", "\u{2715}"),
        "unconfirmed" => ("warn", "?"),
        _ => ("plain", "\u{2013}"),
    }
}

/// A state with its look.
pub(super) struct Shown {
    word: String,
    tone: &'static str,
    sign: &'static str,
}

fn shown(state: &str) -> Shown {
    let (tone, sign) = tone(state);
    Shown { word: state.to_owned(), tone, sign }
}
