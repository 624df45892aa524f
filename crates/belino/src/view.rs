//! What the heart knows, as JSON and as lines for people.
//!
//! Peer text reaches a terminal only through [`Plain`]: one printable line, capped.

use crate::config::TlsMode;
use mms::{HeaderText, MmId};
use relay::house::TransitMode;
use relay::{Gate, Ledger, Moment, Noticed, Origin, PeerState, TransactionState};
use serde_json::{Value, json};
use std::fmt;

/// Text from outside, safe for a terminal: no control characters, at most 400 octets.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() <= 400 && self.0.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
            return f.write_str(self.0);
        }
        f.write_str(HeaderText::cleaned(self.0).capped(400).as_str())
    }
}

/// An address: kind and value.
pub fn address(party: &mms::Party) -> Value {
    let mut value = json!({ "kind": party.address.kind(), "value": party.address.value() });
    if let Some(domain) = &party.domain {
        value["domain"] = json!(domain.as_str());
    }
    if let Some(name) = &party.name {
        value["name"] = json!(name.as_str());
    }
    value
}

fn moment(ledger: &Ledger, moment: &Moment) -> Value {
    let recipients: Vec<String> = moment
        .recipients
        .iter()
        .filter_map(|i| ledger.recipients.get(usize::from(*i)))
        .map(|r| r.party.address.value())
        .collect();
    json!({
        "at": moment.at.to_string(),
        "what": moment.what.word(),
        "meaning": moment.what.sentence(),
        "peer": moment.peer.as_ref().map(|p| p.as_str()),
        "recipients": recipients,
        "text": moment.text,
    })
}

/// Everything about one MM.
pub fn ledger(ledger: &Ledger) -> Value {
    let origin = match &ledger.origin {
        Origin::Submitted { by, .. } => json!({ "submitted_by": by }),
        Origin::Received { peer, mail_from } => {
            json!({ "peer": peer.as_str(), "mail_from": mail_from.as_ref().map(ToString::to_string) })
        }
    };
    let request = ledger.request.as_ref();
    let recipients: Vec<Value> = ledger
        .recipients
        .iter()
        .map(|r| {
            json!({
                "address": address(&r.party),
                "state": r.state.word(),
                "since": r.since.to_string(),
                "reason": r.reason.map(relay::Reason::word),
                "why": r.reason.map(relay::Reason::text),
                "status": r.status.map(mms::RequestStatus::as_str),
                "text": r.text.as_ref().map(HeaderText::as_str),
                "delivery_report": r.mm_status.map(mms::MmStatus::as_str),
                "read_reply_report": r.read_status.map(mms::ReadStatus::as_str),
                "submitter_told": r.told.map(mms::MmStatus::as_str),
                "envelope": r.path.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let transactions: Vec<Value> = ledger
        .transactions
        .iter()
        .map(|t| {
            let (state, until) = match t.state {
                TransactionState::Queued => ("queued", t.entry.map(|(due, _)| due)),
                TransactionState::Awaiting(until) => ("awaiting-response", Some(until)),
                TransactionState::Settled => ("settled", None),
            };
            json!({
                "transaction_id": t.id.as_str(),
                "peer": t.peer.as_str(),
                "transit": t.transit.map(|mode| match mode {
                    TransitMode::BackToBack => "back-to-back",
                    TransitMode::Transparent => "transparent",
                }),
                "state": state,
                "due": until.map(|u| u.to_string()),
                "attempts": t.entry.map(|(_, attempt)| attempt),
                "resends": t.resends,
            })
        })
        .collect();
    let responses: Vec<Value> = ledger
        .responses
        .iter()
        .map(|r| {
            json!({
                "message_type": r.kind.as_str(),
                "peer": r.peer.as_str(),
                "to": r.to.to_string(),
                "transaction_id": r.transaction_id.as_ref().map(mms::TransactionId::as_str),
                "status": r.status.as_str(),
                "text": r.text.as_ref().map(HeaderText::as_str),
                "owed": r.entry.is_some(),
            })
        })
        .collect();
    let reports: Vec<Value> = ledger.reports.iter().map(|r| report(ledger, r)).collect();
    let notices: Vec<Value> = ledger.notices.iter().map(|n| notice(ledger, n)).collect();
    json!({
        "id": ledger.id.to_string(),
        "origin": origin,
        "accepted": ledger.accepted.to_string(),
        "expires": ledger.expires.to_string(),
        "message_id": request.and_then(|r| r.message_id.as_ref()).map(mms::MessageId::as_str),
        "sender": request.and_then(|r| r.from.as_ref()).map(address),
        "subject": request.and_then(|r| r.subject.as_ref()).map(HeaderText::as_str),
        "size": ledger.body.map(|b| b.len),
        "closed": ledger.is_closed(),
        "recipients": recipients,
        "transactions": transactions,
        "responses": responses,
        "reports": reports,
        "notices": notices,
        "lookup": ledger.lookup.map(|(due, attempts)| json!({ "due": due.to_string(), "attempts": attempts })),
        "history": ledger.history.iter().map(|m| moment(ledger, m)).collect::<Vec<_>>(),
        "history_cut": ledger.history_cut,
    })
}

fn notice(ledger: &Ledger, notice: &relay::Notice) -> Value {
    let recipient = ledger.recipients.get(usize::from(notice.place)).map(|r| r.party.address.value());
    let (what, status) = match notice.what {
        Noticed::Arrived => ("message", None),
        Noticed::State(state) => ("state", Some(state.word())),
        Noticed::DeliveryReport(status) => ("delivery-report", Some(status.as_str())),
        Noticed::ReadReply(status) => ("read-reply-report", Some(status.as_str())),
    };
    json!({
        "webhook": notice.hook.as_str(),
        "what": what,
        "status": status,
        "recipient": recipient,
        "at": notice.at.to_string(),
        "due": notice.entry.map(|(due, _)| due.to_string()),
        "attempts": notice.entry.map(|(_, attempts)| attempts),
    })
}

fn report(ledger: &Ledger, report: &relay::Report) -> Value {
    let recipient = ledger.recipients.get(usize::from(report.place)).map(|r| r.party.address.value());
    let status = match &report.fate {
        relay::Fate::Delivery { status, .. } => status.as_str(),
        relay::Fate::Reading(status) => status.as_str(),
    };
    let state = match report.state {
        TransactionState::Queued => "queued",
        TransactionState::Awaiting(_) => "awaiting-response",
        TransactionState::Settled => "settled",
    };
    json!({
        "message_type": report.fate.message_type().as_str(),
        "transaction_id": report.id.as_str(),
        "peer": report.peer.as_str(),
        "recipient": recipient,
        "status": status,
        "at": report.at.to_string(),
        "state": state,
    })
}

/// A ledger that cannot be read, so that it shows up instead of hiding.
pub fn unreadable(id: MmId, why: &str) -> Value {
    json!({ "id": id.to_string(), "unreadable": why, "recipients": [], "history": [] })
}

/// One peer's queue and gate.
pub fn peer(state: &PeerState, depth: u64, sessions: usize, tls: TlsMode) -> Value {
    let gate = match &state.gate {
        Gate::Open => json!({ "open": true }),
        Gate::Shut { until, failures, why } => {
            json!({ "open": false, "until": until.to_string(), "failures": failures, "why": why })
        }
    };
    json!({
        "peer": state.peer.as_str(),
        "paused": state.paused,
        "gate": gate,
        "queued": depth,
        "in_flight": state.in_flight,
        "incoming_connections": sessions,
        "tls": tls.as_str(),
    })
}

/// Text of a JSON value for a table; `-` for nothing.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => Plain(text).to_string(),
        other => Plain(&other.to_string()).to_string(),
    }
}

/// One MM as lines: who, to whom, how far, and what happened when.
pub fn ledger_lines(mm: &Value) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let _ = writeln!(out, "MM {}", text(&mm["id"]));
    if let Some(why) = mm["unreadable"].as_str() {
        let _ = writeln!(out, "  its ledger cannot be read: {}", Plain(why));
        return out;
    }
    if let Some(what) = mm["what_happened"].as_str() {
        let _ = writeln!(out, "  what happened: {}", HeaderText::cleaned(what));
        if let Some(next) = mm["what_next"].as_str().filter(|next| !next.is_empty()) {
            let _ = writeln!(out, "  what next: {}", HeaderText::cleaned(next));
        }
    }
    let from = match mm["origin"]["peer"].as_str() {
        Some(peer) => format!("received from peer {}", Plain(peer)),
        None => format!("submitted by {}", text(&mm["origin"]["submitted_by"])),
    };
    let _ = writeln!(out, "  {from} at {}, valid until {}", text(&mm["accepted"]), text(&mm["expires"]));
    let _ = writeln!(out, "  sender      {}", text(&mm["sender"]["value"]));
    let _ = writeln!(out, "  Message-ID  {}", text(&mm["message_id"]));
    if !mm["subject"].is_null() {
        let _ = writeln!(out, "  subject     {}", text(&mm["subject"]));
    }
    if !mm["size"].is_null() {
        let _ = writeln!(out, "  content     {} octets kept", text(&mm["size"]));
    }
    for r in mm["recipients"].as_array().into_iter().flatten() {
        let said = if r["text"].is_null() { &r["why"] } else { &r["text"] };
        let why = [&r["status"], said];
        let why: Vec<String> = why.into_iter().filter(|v| !v.is_null()).map(text).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        let _ =
            writeln!(out, "  recipient   {:<18} {}{why}", text(&r["address"]["value"]), text(&r["state"]));
    }
    for t in mm["transactions"].as_array().into_iter().flatten() {
        let (peer, due) = (text(&t["peer"]), text(&t["due"]));
        let state = match t["state"].as_str() {
            Some("queued") => format!(
                "queued, to be tried from {due} on; whether the peer can be reached: belino peer {peer}"
            ),
            Some("awaiting-response") => {
                format!("taken by the peer, its MM4_forward.RES is awaited until {due}")
            }
            _ => "settled".to_owned(),
        };
        let _ = writeln!(out, "  transaction {peer}: {state}");
    }
    if !mm["lookup"].is_null() {
        let (due, attempts) = (text(&mm["lookup"]["due"]), text(&mm["lookup"]["attempts"]));
        let _ = writeln!(
            out,
            "  look-up     to be made from {due} on, {attempts} made; see what it gives: belino route ADDRESS"
        );
    }
    for r in mm["responses"].as_array().into_iter().flatten() {
        let owed = if r["owed"] == json!(true) { "still to be sent" } else { "sent" };
        let (kind, status) = (text(&r["message_type"]), text(&r["status"]));
        let _ = writeln!(out, "  response    {kind} {status} to {}: {owed}", text(&r["to"]));
    }
    for r in mm["reports"].as_array().into_iter().flatten() {
        let (kind, status) = (text(&r["message_type"]), text(&r["status"]));
        let _ = writeln!(
            out,
            "  report      {kind} {status} about {}: {}",
            text(&r["recipient"]),
            text(&r["state"])
        );
    }
    for n in mm["notices"].as_array().into_iter().flatten().filter(|n| !n["due"].is_null()) {
        let (hook, what) = (text(&n["webhook"]), text(&n["what"]));
        let (due, attempts) = (text(&n["due"]), text(&n["attempts"]));
        let _ =
            writeln!(out, "  webhook     {hook}: {what} to be told from {due} on, {attempts} attempts made");
    }
    let _ = writeln!(out, "  history");
    for m in mm["history"].as_array().into_iter().flatten() {
        let peer = if m["peer"].is_null() { String::new() } else { format!(" [{}]", text(&m["peer"])) };
        let recipients: Vec<String> = m["recipients"].as_array().into_iter().flatten().map(text).collect();
        let to = if recipients.is_empty() { String::new() } else { format!(" {}", recipients.join(", ")) };
        let said =
            m["text"].as_str().filter(|t| !t.is_empty()).map_or(String::new(), |t| format!(": {}", Plain(t)));
        let _ = writeln!(out, "    {}  {}{peer}{to}{said}", text(&m["at"]), text(&m["meaning"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Threat 20: whatever a peer says is one printable line of bounded length.
        #[test]
        fn peer_text_is_one_printable_line(said in any::<String>()) {
            let shown = Plain(&said).to_string();
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(shown.lines().count() <= 1, true);
            prop_assert!(shown.len() <= 400);
        }
    }
}
