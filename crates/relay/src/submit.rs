//! A user of ours hands in an MM: what the originator Relay/Server makes of it (TS 23.140 8.4.1.1).
//!
//! Owns: the control information of a submitted MM, its grouping by peer. Never knows: how it was handed in.

use crate::arrive::validity;
use crate::event::{Answer, Submission};
use crate::house::House;
use crate::ledger::{Ledger, Origin, Recipient, RecipientKind, RecipientState, What};
use crate::lookup::Plan;
use crate::route::Route;
use crate::store::{Need, TagKind};
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::Reason;
use mms::{
    Address, Expiry, ForwardReq, MailPath, MessageClass, MessageId, MmId, Party, Priority, Timestamp,
    Version, Visibility,
};

/// Decide about a submission that is to be a new ledger.
pub(crate) fn submitted(
    house: &House,
    now: Timestamp,
    id: MmId,
    submission: &Submission,
    entropy: Entropy<'_>,
) -> Decision {
    let refuse = |reason: Reason, detail: String| Decision::only(Some(Answer::Refused(reason, detail)));
    let from =
        Party { address: house.normalised(submission.from.address.clone()), ..submission.from.clone() };
    match house.route(&from) {
        Route::Local(_) | Route::Nowhere(Reason::Unavailable) => {}
        Route::Nowhere(Reason::Barred) => return refuse(Reason::Barred, format!("sender {from}")),
        _ => return refuse(Reason::SenderDenied, format!("{from} is not served here")),
    }

    let mut recipients: Vec<(Party, RecipientKind)> = Vec::new();
    let kinds = [
        (&submission.to, RecipientKind::To),
        (&submission.cc, RecipientKind::Cc),
        (&submission.bcc, RecipientKind::Bcc),
    ];
    for (list, kind) in kinds {
        for party in list {
            let address = house.normalised(party.address.clone());
            if !recipients.iter().any(|(known, _)| known.address == address) {
                recipients.push((Party { address, ..party.clone() }, kind));
            }
        }
    }
    if recipients.is_empty() {
        return refuse(Reason::NotAnAddress, "an MM needs a recipient".into());
    }
    if recipients.len() > house.limits.recipients_max {
        let text = format!("{} recipients, at most {}", recipients.len(), house.limits.recipients_max);
        return refuse(Reason::TooManyRecipients, text);
    }

    let plans: Vec<Plan> = recipients.iter().map(|(party, _)| house.plan(party)).collect();
    // Every recipient is written at the domain of the Relay/Server that serves it, so that all can reply to all.
    for ((party, _), plan) in recipients.iter_mut().zip(&plans) {
        let domain = match plan {
            Plan::Go(Route::Peer(name)) => house.peer(name).and_then(|p| p.domains.first()),
            _ => Some(house.domain()),
        };
        if !matches!(party.address, Address::Email { .. }) {
            party.domain = domain.cloned();
        }
    }

    let request = control_information(house, now, id, submission, &from, &recipients);
    let origin = Origin::Submitted { by: submission.by.clone(), hook: submission.hook.clone() };
    let mut ledger = Ledger::new(id, origin, now, validity(house, &request, now));
    let known = |(party, kind): &(Party, RecipientKind)| {
        Recipient::new(party.unnamed(), *kind, RecipientState::Queued, now)
    };
    ledger.recipients = recipients.iter().map(known).collect();
    (ledger.request, ledger.body) = (Some(request), submission.body);
    let mut turn = Turn::new(house, now, ledger, 0, false);
    let expires = turn.ledger.expires;
    if let Some(request) = &mut turn.ledger.request {
        request.expiry = Some(Expiry::At(expires));
    }
    let size = submission.body.map_or(0, |b| b.len);
    turn.tell(What::Submitted, None, &[], format!("by {}, {size} octets", from.address.value()));
    if let Some(content) = submission.content.clone() {
        turn.keep_content(content);
    }
    turn.tag(TagKind::MessageId, MessageId::ours(id, house.domain()).key().to_owned());
    if let Some(once) = &submission.once {
        let mut value = id.bits().to_be_bytes().to_vec();
        value.extend_from_slice(&once.digest);
        let keep_until = now.plus(once.kept);
        turn.need(Need::Once { key: once.key.clone(), value, keep_until });
    }
    let ways = turn.ledger.recipients.iter().map(|r| turn.way(&r.party)).collect::<Vec<_>>();
    turn.deliver((0..).zip(ways).collect(), entropy);
    turn.finish(|ledger| Some(Answer::Ledger(ledger.clone().into())))
}

/// The header fields of the MM that are the same for every peer.
fn control_information(
    house: &House,
    now: Timestamp,
    id: MmId,
    submission: &Submission,
    from: &Party,
    recipients: &[(Party, RecipientKind)],
) -> ForwardReq {
    let wanted = &submission.request;
    let named = |kind: RecipientKind| -> Vec<Party> {
        recipients.iter().filter(|(_, k)| *k == kind).map(|(party, _)| party.clone()).collect()
    };
    let from = Party { domain: Some(house.domain().clone()), ..from.clone() };
    let hidden = wanted.sender_visibility == Some(Visibility::Hide);
    // The envelope and Sender name the user, subject to the sender's visibility (TS 23.140 8.4.5).
    let sender: MailPath = if hidden { house.system_address.clone() } else { from.path() };
    // A machine's message must not cause reports (OMA-MMS-ENC, class Auto).
    let reports = wanted.message_class != Some(MessageClass::Auto);
    ForwardReq {
        version: Some(Version::OURS),
        transaction_id: None, // each transaction has its own
        message_id: Some(MessageId::ours(id, house.domain())),
        to: named(RecipientKind::To),
        cc: named(RecipientKind::Cc),
        from: Some(from),
        message_class: Some(wanted.message_class.clone().unwrap_or(MessageClass::Personal)),
        date: Some(now),
        delivery_report: Some(reports && wanted.delivery_report == Some(true)),
        originator_rs_delivery_report: Some(reports && wanted.originator_rs_delivery_report == Some(true)),
        priority: Some(wanted.priority.unwrap_or(Priority::Normal)),
        sender_visibility: Some(wanted.sender_visibility.unwrap_or(Visibility::Show)),
        read_reply: Some(reports && wanted.read_reply == Some(true)),
        ack_request: None, // each peer has its own habit
        originator_system: Some(house.system_address.clone()),
        sender: Some(sender),
        internet_message_id: None,
        interconnect: Vec::new(),
        ..wanted.clone()
    }
}

/// What was handed in before under the same key, from what the store remembers of it.
pub(crate) fn repeated(submission: &Submission, remembered: &[(Vec<u8>, Vec<u8>)]) -> Option<Decision> {
    let once = submission.once.as_ref()?;
    let (_, value) = remembered.iter().find(|(key, _)| *key == once.key)?;
    let (id, digest) = value.split_at_checked(16)?;
    let id = MmId::from_bits(u128::from_be_bytes(id.try_into().ok()?));
    Some(Decision::only(Some(Answer::Repeated(id, digest == once.digest))))
}
