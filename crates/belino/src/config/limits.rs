//! `[limits]` and `[retry]`: how much, how long, how often.
//!
//! Owns: their keys and defaults outside the heart. Never knows: peers.

use super::parse::{Wrong, wrong};
use super::{ByteSize, HouseLimits, Span};
use relay::house::{Limits, Retry};
use serde::Deserialize;
use std::time::Duration;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsPart {
    message_size_max: Option<ByteSize>,
    content_size_max: Option<ByteSize>,
    recipients_max: Option<usize>,
    envelope_recipients_max: Option<usize>,
    sessions_max: Option<usize>,
    disk_free_min: Option<ByteSize>,
    forward_max: Option<u32>,
    hops_max: Option<usize>,
    expiry_default: Option<Span>,
    expiry_max: Option<Span>,
    duplicates_kept: Option<Span>,
    history_kept: Option<Span>,
    in_flight_max: Option<usize>,
    recipient_rate_max: Option<u32>,
    idle: Option<Span>,
    content_idle: Option<Span>,
    content_rate_min: Option<ByteSize>,
    session_max: Option<Span>,
    connect: Option<Span>,
    reply: Option<Span>,
    keep: Option<Span>,
    stop: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryPart {
    steps: Option<Vec<Span>>,
    give_up: Option<Span>,
    response_timeout: Option<Span>,
    response_resends: Option<u32>,
    response_retries: Option<u32>,
    gate_min: Option<Span>,
    gate_max: Option<Span>,
}

pub(super) fn retry(part: &RetryPart) -> Result<Retry, Wrong> {
    let standard = Retry::default();
    let or = |span: Option<Span>, standard: Duration| span.map_or(standard, |s| s.0);
    let steps = match &part.steps {
        Some(steps) if steps.is_empty() || steps.iter().any(|s| s.0.is_zero()) => {
            return wrong("steps", "retry.steps: expected at least one span of time, none of them zero");
        }
        Some(steps) => steps.iter().map(|s| s.0).collect(),
        None => standard.steps,
    };
    Ok(Retry {
        steps,
        give_up: or(part.give_up, standard.give_up),
        response_timeout: or(part.response_timeout, standard.response_timeout),
        response_resends: part.response_resends.unwrap_or(standard.response_resends),
        response_retries: part.response_retries.unwrap_or(standard.response_retries),
        gate_min: or(part.gate_min, standard.gate_min).max(Duration::from_millis(100)),
        gate_max: or(part.gate_max, standard.gate_max),
    })
}

pub(super) fn heart_limits(part: &LimitsPart) -> Limits {
    let standard = Limits::default();
    let or = |span: Option<Span>, standard: Duration| span.map_or(standard, |s| s.0);
    Limits {
        recipients_max: part.recipients_max.unwrap_or(standard.recipients_max),
        content_size_max: part.content_size_max.map_or(standard.content_size_max, |s| s.0),
        forward_max: part.forward_max.unwrap_or(standard.forward_max),
        hops_max: part.hops_max.unwrap_or(standard.hops_max),
        expiry_default: or(part.expiry_default, standard.expiry_default),
        expiry_max: or(part.expiry_max, standard.expiry_max),
        duplicates_kept: or(part.duplicates_kept, standard.duplicates_kept),
        history_kept: or(part.history_kept, standard.history_kept),
        in_flight_max: part.in_flight_max.unwrap_or(standard.in_flight_max).max(1),
        recipient_rate_max: part.recipient_rate_max.filter(|most| *most > 0),
    }
}

pub(super) fn house_limits(part: &LimitsPart) -> HouseLimits {
    let or = |span: Option<Span>, standard: u64| span.map_or(Duration::from_secs(standard), |s| s.0);
    let mut smtp = wire::smtp::Limits::default();
    if let Some(size) = part.message_size_max {
        smtp.message_size_max = size.0;
    } else {
        smtp.message_size_max = 8 << 20; // 5 MiB of content, in base64 and with its headers
    }
    if let Some(most) = part.envelope_recipients_max {
        smtp.recipients_max = most.max(1);
    }
    HouseLimits {
        smtp,
        sessions_max: part.sessions_max.unwrap_or(10_000),
        idle: or(part.idle, 600),
        content_idle: or(part.content_idle, 180),
        content_rate_min: part.content_rate_min.map_or(500, |s| s.0),
        session_max: or(part.session_max, 86_400),
        connect: or(part.connect, 10),
        reply: or(part.reply, 300),
        keep: or(part.keep, 60),
        disk_free_min: part.disk_free_min.map_or(256 << 20, |s| s.0),
        stop: or(part.stop, 10),
        flush_delay: Duration::ZERO,
    }
}
