//! Which requests at the admin socket change something, and how such a change is written down.
//!
//! Owns: the words of the audit log about them. Never knows: how a change is made.

use super::Request;
use crate::serve::Parts;
use std::sync::Arc;

/// A change, in the words of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// `retry`, `drop`, `send`.
    pub what: &'static str,
    /// Of which MM, peer or address.
    pub about: String,
    /// Why.
    pub reason: String,
}

impl Deed {
    /// A change without a reason.
    pub fn new(what: &'static str, about: impl Into<String>) -> Self {
        Self { what, about: about.into(), reason: String::new() }
    }

    /// The same, with its reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }
}

/// What a request changes; `None` when it only looks.
pub fn of(request: &Request) -> Option<Deed> {
    Some(match request {
        Request::Retry { id, why } => Deed::new("retry", id).because(why),
        Request::Drop { id, why } => Deed::new("drop", id).because(why),
        Request::Reload => Deed::new("reload", "configuration"),
        Request::Pause { peer } => Deed::new("pause", format!("peer {peer}")),
        Request::Resume { peer } => Deed::new("resume", format!("peer {peer}")),
        Request::Handle { id, how, recipient, .. } => {
            Deed::new("handle", id).because(&format!("{how} for {}", recipient.as_deref().unwrap_or("all")))
        }
        Request::Retrieve { id, peek: false, .. } => Deed::new("retrieve", id),
        Request::Send(send) => {
            let to: Vec<&str> = send.to.iter().chain(&send.cc).chain(&send.bcc).map(String::as_str).collect();
            Deed::new("send", format!("{} to {}", send.from, to.join(", ")))
        }
        Request::Backup { to } => Deed::new("backup", to),
        Request::Advance { millis } => Deed::new("advance", format!("{millis} ms")),
        _ => return None,
    })
}

/// Write a change down; returns when that is on the disk.
pub async fn record(parts: &Arc<Parts>, who: String, deed: Deed, outcome: String) {
    let parts = Arc::clone(parts);
    let written = move || {
        let now = parts.clock.now();
        parts.audit.record(now, &who, deed.what, &deed.about, &deed.reason, &outcome);
    };
    let _ = tokio::task::spawn_blocking(written).await;
}
