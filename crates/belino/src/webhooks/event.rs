//! A notice as the JSON that an application gets.
//!
//! Owns: the form of an event; it stands in the OpenAPI document under `webhooks`. What may be in it is decided where
//! the same is decided for questions: `dock::http::shown`.

use crate::content;
use crate::decode;
use crate::dock::http::shown::{self, Standing};
use relay::store::Store;
use relay::{Noticed, Notification, Reason};
use serde_json::{Value, json};

/// An event, written.
pub struct Written {
    /// `Belino-Event`.
    pub event: &'static str,
    /// `Belino-Delivery`: the same at every attempt.
    pub id: String,
    /// The JSON.
    pub body: String,
}

/// Write a notice down.
///
/// # Errors
/// The store cannot read the content.
pub fn write(store: &dyn Store, notification: &Notification) -> anyhow::Result<Written> {
    let Notification { entry, mm, notice, ledger, .. } = notification;
    let recipient = ledger.recipients.get(usize::from(notice.place));
    let address = recipient.map(|r| r.party.address.value());
    let about = || {
        let request = ledger.request.as_ref();
        json!({
            "id": mm.to_string(),
            "message_id": request.and_then(|r| r.message_id.as_ref()).map(mms::MessageId::as_str),
            "subject": request.and_then(|r| r.subject.as_ref()).map(mms::HeaderText::as_str),
        })
    };
    let id = format!("{mm}.{}", entry.id.part);
    let mut body = json!({ "event": "", "id": id, "at": notice.at.to_string(), "recipient": address });
    let event = match notice.what {
        Noticed::Arrived => {
            let mut message = shown::message(ledger, &Standing::Receiver(notice.hook.clone()));
            // The others for whom it came here have events of their own.
            let own = |r: &Value| r["address"].as_str() == address.as_deref();
            if let Some(recipients) = message["recipients"].as_array_mut() {
                recipients.retain(own);
            }
            let octets = content::wire_form(store, ledger)?;
            message["content_kept"] = json!(octets.is_some());
            message["parts"] = octets.map_or_else(|| json!([]), |o| shown::parts(*mm, &decode::mail(&o)));
            body["message"] = message;
            "message.received"
        }
        Noticed::State(state) => {
            body["message"] = about();
            body["state"] = json!(state.word());
            let same = recipient.filter(|r| r.state == state);
            body["reason"] = json!(same.and_then(|r| r.reason).map(Reason::word));
            body["text"] = json!(same.and_then(shown::words));
            "message.status"
        }
        Noticed::DeliveryReport(status) => {
            body["message"] = about();
            body["status"] = json!(status.as_str());
            "message.delivery_report"
        }
        Noticed::ReadReply(status) => {
            body["message"] = about();
            body["status"] = json!(status.as_str());
            "message.read_reply_report"
        }
    };
    body["event"] = json!(event);
    Ok(Written { event, id, body: body.to_string() })
}
