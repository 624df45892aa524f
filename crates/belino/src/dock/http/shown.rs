//! What an application may see of an MM: as its submitter, or as the one for whom it came.
//!
//! Owns: the JSON of messages, and everything that is left out of it. A submitter learns nothing that a recipient keeps
//! to themselves (annex M of TS 23.140; mm4 5.7); a recipient learns of no undisclosed recipient and of no sender who
//! hides. Peers, hosts, transactions and our own responses are nobody's business here.

use crate::decode::Mail;
use mms::{ForwardReq, MessageId, MmId, Party, Visibility};
use relay::{HookName, Ledger, Noticed, Origin, Reason, Recipient, RecipientKind, RecipientState, What};
use serde_json::{Value, json};

/// How an application stands to an MM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It handed it in.
    Submitter,
    /// The MM came for recipients that this webhook of its serves.
    Receiver(HookName),
}

/// Who an application is in [`relay::Submission::by`].
pub fn submitter(application: &str) -> String {
    format!("application {application}")
}

/// How an application with this webhook stands to an MM; `None` when it is none of its business.
pub fn standing(ledger: &Ledger, application: &str, webhook: Option<&HookName>) -> Option<Standing> {
    match &ledger.origin {
        Origin::Submitted { by, .. } if *by == submitter(application) => return Some(Standing::Submitter),
        _ => {}
    }
    let came = |n: &relay::Notice| n.what == Noticed::Arrived && Some(&n.hook) == webhook;
    let webhook = ledger.notices.iter().find(|n| came(n)).map(|n| n.hook.clone())?;
    Some(Standing::Receiver(webhook))
}

/// What is answered to a submission.
pub fn receipt(ledger: &Ledger) -> Value {
    let recipients: Vec<Value> = ledger
        .recipients
        .iter()
        .map(|r| json!({ "address": r.party.address.value(), "state": state_for_submitter(r).word() }))
        .collect();
    json!({ "id": ledger.id.to_string(), "message_id": message_id(ledger), "recipients": recipients })
}

fn message_id(ledger: &Ledger) -> Option<&str> {
    ledger.request.as_ref()?.message_id.as_ref().map(MessageId::as_str)
}

fn parties(list: &[Party]) -> Vec<String> {
    list.iter().map(|party| party.address.value()).collect()
}

/// An MM without its parts and its history.
pub fn message(ledger: &Ledger, standing: &Standing) -> Value {
    let none = ForwardReq::default();
    let request = ledger.request.as_ref().unwrap_or(&none);
    let submitted = *standing == Standing::Submitter;
    let hidden = !submitted && request.sender_visibility == Some(Visibility::Hide);
    let from = request.from.as_ref().filter(|_| !hidden).map(|party| party.address.value());
    let mut message = json!({
        "id": ledger.id.to_string(),
        "direction": if submitted { "submitted" } else { "received" },
        "message_id": message_id(ledger),
        "from": from,
        "to": parties(&request.to),
        "cc": parties(&request.cc),
        "subject": request.subject.as_ref().map(mms::HeaderText::as_str),
        "class": request.message_class.as_ref().map(mms::MessageClass::as_str),
        "priority": request.priority.map(mms::Priority::as_str),
        "accepted": ledger.accepted.to_string(),
        "expires": ledger.expires.to_string(),
    });
    message["recipients"] = match standing {
        Standing::Submitter => ledger.recipients.iter().map(|r| for_submitter(ledger, r)).collect(),
        Standing::Receiver(hook) => served(ledger, hook).map(for_receiver).collect(),
    };
    message
}

/// The recipients for whom an MM came to this webhook.
fn served<'a>(ledger: &'a Ledger, hook: &'a HookName) -> impl Iterator<Item = &'a Recipient> {
    let came = ledger.notices.iter().filter(move |n| n.what == Noticed::Arrived && n.hook == *hook);
    came.filter_map(|notice| ledger.recipients.get(usize::from(notice.place)))
}

const fn kind(kind: RecipientKind) -> &'static str {
    match kind {
        RecipientKind::To => "to",
        RecipientKind::Cc => "cc",
        RecipientKind::Bcc => "bcc",
    }
}

/// A recipient here has it, and what they did with it is told by report, if at all.
const fn state_for_submitter(recipient: &Recipient) -> RecipientState {
    match recipient.state {
        RecipientState::Retrieved | RecipientState::Rejected | RecipientState::Deleted => {
            RecipientState::Stored
        }
        other => other,
    }
}

/// Why a recipient did not get it, in words that name none of our or a peer's hosts.
pub fn words(recipient: &Recipient) -> Option<&str> {
    match recipient.reason {
        Some(reason @ (Reason::GaveUp | Reason::LookupFailed | Reason::Fault)) => Some(reason.text()),
        _ => recipient.text.as_ref().map(mms::HeaderText::as_str),
    }
}

fn for_submitter(ledger: &Ledger, recipient: &Recipient) -> Value {
    let state = state_for_submitter(recipient);
    let masked = state != recipient.state;
    let since = if masked { stored_at(ledger, recipient) } else { recipient.since };
    let open = Some(recipient).filter(|_| !masked);
    json!({
        "address": recipient.party.address.value(),
        "kind": kind(recipient.kind),
        "state": state.word(),
        "since": since.to_string(),
        "reason": open.and_then(|r| r.reason).map(Reason::word),
        "text": open.and_then(words),
        "delivery_report": recipient.told.map(mms::MmStatus::as_str),
        "read_reply_report": recipient.read_status.map(mms::ReadStatus::as_str),
    })
}

/// When the MM was put into the mailbox of this recipient.
fn stored_at(ledger: &Ledger, recipient: &Recipient) -> mms::Timestamp {
    let place = ledger.recipients.iter().position(|r| r.party.address == recipient.party.address);
    let about = |m: &&relay::Moment| m.recipients.iter().any(|i| Some(usize::from(*i)) == place);
    let moment = ledger.history.iter().filter(|m| m.what == What::Stored).find(about);
    moment.map_or(ledger.accepted, |m| m.at)
}

fn for_receiver(recipient: &Recipient) -> Value {
    json!({
        "address": recipient.party.address.value(),
        "kind": kind(recipient.kind),
        "state": recipient.state.word(),
        "since": recipient.since.to_string(),
        "reason": recipient.reason.map(Reason::word),
        "text": null,
        "delivery_report": null,
        "read_reply_report": null,
    })
}

/// What the submitter may know of an MM's history: the way of the MM, not what its recipients did.
pub fn history(ledger: &Ledger) -> Value {
    let open = |what: What| {
        matches!(
            what,
            What::Submitted
                | What::Stored
                | What::Routed
                | What::Queued
                | What::Forwarded
                | What::Deferred
                | What::Failed
                | What::Response
                | What::NoResponse
                | What::Unconfirmed
                | What::Expired
        )
    };
    // A notice of ours that is put off is noted as "deferred", too; it names no peer.
    let own = |m: &&relay::Moment| open(m.what) && (m.what != What::Deferred || m.peer.is_some());
    let moments = ledger.history.iter().filter(own).map(|m| {
        let recipients = m.recipients.iter().filter_map(|i| ledger.recipients.get(usize::from(*i)));
        let recipients: Vec<String> = recipients.map(|r| r.party.address.value()).collect();
        json!({ "at": m.at.to_string(), "what": m.what.word(), "meaning": m.what.sentence(), "recipients": recipients })
    });
    moments.collect()
}

/// The parts of an MM, and where each can be fetched.
pub fn parts(mm: MmId, mail: &Mail) -> Value {
    let numbered = mail.parts.iter().enumerate();
    let part = |(i, decoded): (usize, &crate::decode::DecodedPart)| {
        let part = &decoded.part;
        let text = |t: &Option<mms::HeaderText>| t.as_ref().map(|t| t.as_str().to_owned());
        json!({
            "n": i + 1,
            "content_type": part.kind(),
            "name": text(&part.name),
            "content_id": text(&part.content_id),
            "content_location": text(&part.content_location),
            "size": decoded.octets.len(),
            "url": format!("/v1/messages/{mm}/parts/{}", i + 1),
        })
    };
    numbered.map(part).collect()
}
