//! The mails of the probe: small, correct, and recognisable.
//!
//! Owns: what stands in each. Never knows: how they travel.

use super::Plan;
use super::catalogue::Step;
use super::evidence::Sent;
use mms::{
    AbstractMessage, Expiry, ForwardReq, HeaderText, MessageClass, MessageId, Party, Timestamp,
    TransactionId, Version,
};
use std::time::Duration;
use wire::mime::HeaderBlock;
use wire::mm4::Style;
use wire::smtp::dot_stuff;

/// A mail that is ready to leave, in wire form.
pub struct Prepared {
    /// What is noted of it.
    pub sent: Sent,
    /// Header section and body.
    pub wire_form: Vec<u8>,
}

/// How long the MMs of a probe are worth delivering.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// A message type that no release knows.
const ODD_TYPE: &str = "MM4_probe.REQ";

/// The version that one mail announces instead of ours, so that a responder that copies it gives itself away.
const OTHER_VERSION: Version = Version { major: 6, minor: 5, editorial: 0 };

/// The mail of a step. The repeat is the mail of [`Step::Plain`] under another `Message-ID`.
///
/// # Errors
/// An id that cannot be written; our own bug.
pub fn prepare(plan: &Plan, step: Step, now: Timestamp) -> anyhow::Result<Prepared> {
    let of = if step == Step::Repeat { Step::Plain } else { step };
    let request = request(plan, step, of, now)?;
    let recipients = request.to.clone();
    let profile = &plan.peer.profile;
    let version = if step == Step::Relative { OTHER_VERSION } else { profile.version };
    let style = Style {
        quote_ids: profile.quote_ids,
        bare_addresses: profile.bare_addresses,
        version: Some(version),
    };
    let head = wire::mm4::encode(&AbstractMessage::ForwardReq(request), &style);
    let head = match step {
        Step::OddType => with(&head, "X-Mms-Message-Type", ODD_TYPE),
        // The codec writes dates, as Belino does on live links.
        Step::Relative => with(&head, "X-Mms-Expiry", &VALIDITY.as_secs().to_string()),
        _ => head,
    };
    let block = HeaderBlock::parse(&head)?;
    let field = |name: &str| block.text(name).map(std::borrow::Cow::into_owned);
    let sent = Sent {
        transaction_id: field("X-Mms-Transaction-ID"),
        message_id: field("X-Mms-Message-ID").unwrap_or_default(),
        version: field("X-Mms-3GPP-MMS-Version").unwrap_or_default(),
        recipients: recipients.into_iter().map(|party| (party, false)).collect(),
        taken: Err("it was not sent".into()),
        head: head.clone(),
    };
    let wire_form = [head, dot_stuff(text(plan, of).as_bytes())].concat();
    Ok(Prepared { sent, wire_form })
}

fn request(plan: &Plan, step: Step, of: Step, now: Timestamp) -> anyhow::Result<ForwardReq> {
    let (name, token) = (of.name().to_ascii_lowercase().replace('-', ""), plan.token.as_str());
    let domain = plan.house.domain();
    let quote = |id: String| if step == Step::Quoted { format!("\"{id}\"") } else { id };
    let transaction_id = TransactionId::new(quote(format!("{token}.{name}@{domain}")))?;
    let message_id = MessageId::new(quote(format!("{token}.{name}.mm@{domain}")))?;
    let mail = if step == Step::Repeat { ".again" } else { "" };
    let own = |party: &Party| Party::at(party.address.clone(), plan.peer_domain());
    let (to, second, unknown) = (Some(&plan.to), plan.second.as_ref(), plan.unknown.as_ref());
    let to = match step {
        Step::Unknown => [unknown, None],
        Step::Mixed => [to, unknown],
        Step::Two => [to, second],
        _ => [to, None],
    };
    Ok(ForwardReq {
        version: Some(plan.peer.profile.version),
        transaction_id: Some(transaction_id).filter(|_| step != Step::NoTransaction),
        message_id: Some(message_id),
        to: to.into_iter().flatten().map(own).collect(),
        from: Some(Party::at(plan.from.address.clone(), domain)),
        content_type: Some(HeaderText::cleaned("text/plain; charset=us-ascii")),
        message_class: Some(MessageClass::Informational),
        date: Some(now),
        expiry: Some(Expiry::At(now.plus(VALIDITY))).filter(|_| {
            // One mail shows the absolute form, one the relative; the others do without.
            matches!(step, Step::Absolute | Step::Relative)
        }),
        delivery_report: Some(step == Step::Report),
        originator_rs_delivery_report: Some(false),
        read_reply: Some(false),
        subject: Some(HeaderText::cleaned(&format!("Belino probe {}", of.name()))),
        ack_request: Some(step != Step::Unanswered),
        originator_system: Some(plan.originator_system().clone()),
        sender: Some(plan.mail_from()),
        internet_message_id: Some(HeaderText::cleaned(&format!("{token}.{name}{mail}.mail@{domain}"))),
        ..ForwardReq::default()
    })
}

/// What the subscriber reads.
fn text(plan: &Plan, step: Step) -> String {
    let dot = match step {
        Step::Plain => ".This line begins with a dot.\n",
        _ => "",
    };
    format!("Belino probe {} from {}. Nothing to do.\n{dot}", step.name(), plan.house.domain())
}

/// The section with another value in a field of ours; the field stands on one line.
fn with(head: &[u8], name: &str, value: &str) -> Vec<u8> {
    let begins = format!("{name}: ");
    let mut out = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(begins.as_bytes()) {
            out.extend_from_slice(format!("{begins}{value}\r\n").as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    out
}
