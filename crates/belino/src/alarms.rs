//! Alarms: what needs somebody now, each with what to do next. For the console, `belino status`, and whoever watches.
//!
//! Owns: the list, its words and its bounds. Never knows: pages. Everything is looked up when it is asked for.

use crate::explain::{failed_times, several, time, trouble_with};
use crate::serve::Parts;
use mms::Timestamp;
use relay::Gate;
use serde::Serialize;
use std::time::Duration;

/// A certificate that ends sooner is told of.
const CERTIFICATE: Duration = Duration::from_secs(14 * 86_400);
/// A peer that sent nothing for so long is told of.
const SILENCE: Duration = Duration::from_secs(86_400);
/// A queue whose first entry is overdue so long is told of.
const OVERDUE: Duration = Duration::from_secs(15 * 60);
/// A peer that was slowed down so lately is told of.
const SLOWED: Duration = Duration::from_secs(15 * 60);

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// MMs are refused, or do not arrive.
    Alarm,
    /// They will, if nothing is done; or something is odd.
    Warning,
}

impl Severity {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Warning => "warning",
        }
    }
}

/// One alarm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alarm {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `store`, `peer b`.
    pub subject: String,
    /// A plain sentence.
    pub what: String,
    /// What to do next.
    pub next: String,
}

fn alarm(severity: Severity, subject: impl Into<String>, what: String, next: impl Into<String>) -> Alarm {
    Alarm { severity, subject: subject.into(), what, next: next.into() }
}

/// `1 waits`, `3 wait`.
fn waiting(count: u64) -> String {
    if count == 1 { "1 waits".to_owned() } else { format!("{count} wait") }
}

/// What needs somebody now, the worst first.
pub async fn alarms(parts: &Parts) -> Vec<Alarm> {
    let mut found = of_house(parts);
    let (now, config) = (parts.clock.now(), parts.dock.config());
    let states = parts.heart.look(relay::Shard::peers).await.unwrap_or_default();
    let queues = parts.queues().await.unwrap_or_default();
    let mut passed = parts.dock.telemetry.passed();
    for state in &states {
        if !config.links.iter().any(|l| l.peer == state.peer) {
            continue;
        }
        let (name, subject) = (state.peer.as_str(), format!("peer {}", state.peer));
        let queue = queues.get(&state.peer).copied().unwrap_or_default();
        if state.paused {
            let what = format!("Peer {name} is paused; {} in its queue.", waiting(queue.queued));
            found.push(alarm(
                Severity::Warning,
                &*subject,
                what,
                "Resume it on its page when the reason is gone; the audit log has the reason.",
            ));
        }
        if let Gate::Shut { until, failures, why } = &state.gate {
            let what = format!(
                "Peer {name} cannot be reached: {}, the next is due at {}. Last: {why}",
                failed_times(*failures),
                time(*until)
            );
            let next = trouble_with(why, name).unwrap_or_else(|| {
                format!("Look at {name}'s host and the way there; Resume tries it at once.")
            });
            // The first failures may be a restart over there.
            let severity = if *failures >= 3 { Severity::Alarm } else { Severity::Warning };
            found.push(alarm(severity, &*subject, what, next));
        } else if queue.overdue >= OVERDUE && !state.paused {
            let what = format!(
                "Peer {name} takes less than is due: {} in its queue, the first late by {} min.",
                waiting(queue.queued),
                queue.overdue.as_secs() / 60
            );
            let next = "See what the peer said last on its page; perhaps it takes less than comes.";
            found.push(alarm(Severity::Alarm, &*subject, what, next));
        }
        let passed = passed.remove(&state.peer).unwrap_or_default();
        let heard = passed.last_received.unwrap_or(parts.dock.telemetry.recent.since());
        if now.since(heard) >= SILENCE {
            let what = format!("Nothing was received from peer {name} since {}.", time(heard));
            let next = format!(
                "Send a test MM to it; ask {name} whether it can reach us from an address that our configuration has for it."
            );
            found.push(alarm(Severity::Warning, &*subject, what, next));
        }
        let hits = parts.dock.paces.hits(&state.peer);
        if parts.dock.telemetry.recent.slowed(&state.peer, hits.slowed, hits.refused, now, SLOWED) {
            let what = format!(
                "Peer {name} sends faster than agreed: since the start {} were slowed down and {} refused with 451.",
                hits.slowed, hits.refused
            );
            let next = "Ask it to send more slowly, or agree on more (mails_per_second, octets_per_second).";
            found.push(alarm(Severity::Warning, &*subject, what, next));
        }
        if let Some(until) = parts.dock.seen(&state.peer).and_then(|seen| seen.until) {
            certificate(
                &mut found,
                &subject,
                &format!("The certificate of peer {name}"),
                until,
                now,
                &format!("Tell {name} to renew it."),
            );
        }
    }
    found.sort();
    found
}

/// What concerns the relay itself.
fn of_house(parts: &Parts) -> Vec<Alarm> {
    let mut found = Vec::new();
    let (now, config, health) = (parts.clock.now(), parts.dock.config(), parts.store.health());
    if let Some(why) = &health.failed {
        let what = format!("The store takes nothing any more: {why}");
        let next = "The process ends and recovers at its next start; look at the disk before that.";
        found.push(alarm(Severity::Alarm, "store", what, next));
    }
    if let Some(free) = health.disk_free {
        let (min, mib) = (config.limits.disk_free_min, free >> 20);
        let next = format!("Make room in the file system of {}.", config.data.display());
        if free < min {
            let what = format!(
                "The disk is full: {mib} MiB are free, fewer than disk_free_min; new MMs are refused with 452."
            );
            found.push(alarm(Severity::Alarm, "disk", what, next));
        } else if free < min.saturating_mul(4) {
            let what = format!(
                "The disk is nearly full: {mib} MiB are free; below {} MiB new MMs are refused.",
                min >> 20
            );
            found.push(alarm(Severity::Warning, "disk", what, next));
        }
    }
    let records = parts.records.state();
    if let (Some(folder), Some(why)) = (&records.folder, &records.trouble) {
        let what = format!("Charging records cannot be written since number {}: {why}", records.last);
        let next = format!("They wait in the store and none is lost; make {} writable.", folder.display());
        found.push(alarm(Severity::Alarm, "charging", what, next));
    }
    if let Some(until) = parts.dock.certificate_until() {
        let next = "Renew the files of [mm4] certificate and key; they are read again by themselves.";
        certificate(&mut found, "certificate", "Our certificate", until, now, next);
    }
    if let Some(why) = parts.audit.failed() {
        let what = format!("The last change by an operator could not be written to the audit log: {why}");
        found.push(alarm(
            Severity::Alarm,
            "audit log",
            what,
            "Look at the data folder's disk and its owner.",
        ));
    }
    found
}

fn certificate(
    found: &mut Vec<Alarm>,
    subject: &str,
    whose: &str,
    until: Timestamp,
    now: Timestamp,
    next: &str,
) {
    if until <= now {
        found.push(alarm(Severity::Alarm, subject, format!("{whose} expired at {}.", time(until)), next));
    } else if until.since(now) < CERTIFICATE {
        let within = match until.since(now).as_secs() / 86_400 {
            0 => "within a day".to_owned(),
            days => format!("in {}", several(days, "day")),
        };
        let what = format!("{whose} expires {within}, at {}.", time(until));
        found.push(alarm(Severity::Warning, subject, what, next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_of_two_weeks_before_their_end() {
        let now = Timestamp::from_seconds(1_741_083_330);
        let told = |days: i64| {
            let mut found = Vec::new();
            let until = Timestamp::from_seconds(now.seconds() + days * 86_400);
            certificate(&mut found, "certificate", "Our certificate", until, now, "Renew it.");
            found.pop().map(|a| (a.severity, a.what))
        };
        assert_eq!(told(15), None);
        let (severity, what) = told(13).unwrap();
        assert!(severity == Severity::Warning && what.contains("in 13 days"), "{what}");
        assert!(told(1).unwrap().1.contains("in 1 day,"), "one is no plural");
        assert!(told(0).is_none_or(|(severity, _)| severity == Severity::Alarm), "now is over");
        assert_eq!(told(-1).unwrap().0, Severity::Alarm);
    }
}
