//! What happens to an MM without a peer: time passes, its recipient fetches it, an operator steps in.

use crate::carry::give_up;
use crate::event::{Answer, Handling};
use crate::house::PeerName;
use crate::ledger::{LOOKUP, Ledger, RESPONSE, RecipientState, TransactionState, What};
use crate::report::Happening;
use crate::store::TagKind;
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::Reason;
use mms::{HeaderText, MmStatus, Party, ReadStatus};

/// The time that the ledger asked for has come.
pub(crate) fn woken(
    mut turn: Turn<'_>,
    in_flight: &[u16],
    trouble: &[(PeerName, String)],
    entropy: Entropy<'_>,
) -> Decision {
    turn.trouble = trouble.to_vec();
    let now = turn.now;
    let history_ends = turn.ledger.last_moment().plus(turn.house.limits.history_kept);
    if turn.ledger.is_closed() && history_ends <= now {
        return turn.remove(None);
    }
    miss_responses(&mut turn);
    end_queueing(&mut turn, in_flight);
    if turn.now >= turn.deadline() && !in_flight.contains(&LOOKUP) {
        turn.end_routing("queue time exceeded");
    }
    end_validity(&mut turn, entropy);
    end_answering(&mut turn);
    turn.tend_reports();
    turn.tend_notices();
    turn.conclude(entropy);
    turn.finish(|_| None)
}

/// A response did not come in time: the same request again, or, after the last, nothing more (mm4 5.5).
fn miss_responses(turn: &mut Turn<'_>) {
    for part in 0..turn.ledger.transactions.len() {
        let transaction = turn.ledger.transactions[part].clone();
        let TransactionState::Awaiting(until) = transaction.state else { continue };
        if until > turn.now {
            continue;
        }
        let peer = &transaction.peer;
        let again = transaction.resends < turn.house.retry.response_resends && turn.now < turn.deadline();
        if again && turn.ledger.request.is_some() {
            let slot = &mut turn.ledger.transactions[part];
            slot.state = TransactionState::Queued;
            slot.resends += 1;
            turn.requeue(part as u16, turn.now);
            turn.tell(What::NoResponse, Some(peer), &transaction.recipients, "");
        } else {
            turn.ledger.transactions[part].state = TransactionState::Settled;
            let places = in_state(&turn.ledger, &transaction.recipients, RecipientState::Forwarded);
            for place in &places {
                turn.enter(*place, RecipientState::Unconfirmed, None, None, None);
            }
            turn.tell(What::Unconfirmed, Some(peer), &places, "");
        }
    }
}

/// What still waits for its peer at the deadline is not sent any more.
fn end_queueing(turn: &mut Turn<'_>, in_flight: &[u16]) {
    if turn.now < turn.deadline() {
        return;
    }
    for part in 0..turn.ledger.transactions.len() {
        let transaction = turn.ledger.transactions[part].clone();
        // What is on its way may be taken yet; its end is heard before anything is said about it.
        if transaction.state != TransactionState::Queued || in_flight.contains(&(part as u16)) {
            continue;
        }
        let queued = in_state(&turn.ledger, &transaction.recipients, RecipientState::Queued);
        if !queued.is_empty() {
            let why = turn.too_late(&transaction.peer);
            give_up(turn, &queued, &transaction.peer, &why);
        }
        // A resend that is still queued: the peer has had it once, and never answered.
        let forwarded = in_state(&turn.ledger, &transaction.recipients, RecipientState::Forwarded);
        if !forwarded.is_empty() {
            for place in &forwarded {
                turn.enter(*place, RecipientState::Unconfirmed, None, None, None);
            }
            turn.tell(What::Unconfirmed, Some(&transaction.peer), &forwarded, "");
        }
        turn.ledger.transactions[part].state = TransactionState::Settled;
        turn.ack(part as u16);
    }
}

/// What lies in a mailbox at the end of its validity is not kept any more.
fn end_validity(turn: &mut Turn<'_>, entropy: Entropy<'_>) {
    if turn.now < turn.ledger.expires {
        return;
    }
    let everybody: Vec<u16> = (0..turn.ledger.recipients.len() as u16).collect();
    let stored = in_state(&turn.ledger, &everybody, RecipientState::Stored);
    let retrieved = in_state(&turn.ledger, &everybody, RecipientState::Retrieved);
    for place in stored.iter().chain(&retrieved) {
        let value = turn.ledger.recipients[usize::from(*place)].party.address.value();
        turn.untag(TagKind::Mailbox, value);
    }
    if !stored.is_empty() {
        for place in &stored {
            turn.enter(*place, RecipientState::Expired, Some(Reason::Expired), None, None);
        }
        turn.tell(What::Expired, None, &stored, "before it was retrieved");
        for place in &stored {
            turn.report_delivery(*place, Happening::ours(MmStatus::Expired), None, entropy);
        }
    }
    if !turn.ledger.needs_content(turn.now) {
        turn.ledger.body = None;
    }
}

fn end_answering(turn: &mut Turn<'_>) {
    for place in 0..turn.ledger.responses.len() {
        let response = &turn.ledger.responses[place];
        if response.entry.is_some() && response.bring_by(turn.house) <= turn.now {
            let (peer, words) = (response.peer.clone(), response.kind.to_string());
            let why = turn.too_late(&peer);
            turn.ack(place as u16 | RESPONSE);
            turn.tell(What::Unanswered, Some(&peer), &[], format!("{words}: {why}"));
        }
    }
}

fn in_state(ledger: &Ledger, places: &[u16], state: RecipientState) -> Vec<u16> {
    places.iter().copied().filter(|i| ledger.recipients[usize::from(*i)].state == state).collect()
}

fn now_as_it_is(ledger: &Ledger) -> Option<Answer> {
    Some(Answer::Ledger(ledger.clone().into()))
}

/// A local recipient, or all of them, did something with the MM.
pub(crate) fn handled(
    mut turn: Turn<'_>,
    recipient: Option<&Party>,
    how: Handling,
    report_allowed: bool,
    entropy: Entropy<'_>,
) -> Decision {
    let house = turn.house;
    let meant = |i: &u16| match recipient {
        Some(party) => {
            turn.ledger.recipients[usize::from(*i)].party.address == house.normalised(party.address.clone())
        }
        None => true,
    };
    let everybody: Vec<u16> = (0..turn.ledger.recipients.len() as u16).filter(meant).collect();
    let before = turn.ledger.clone();
    for place in everybody {
        handle(&mut turn, place, how, report_allowed, entropy);
    }
    if turn.ledger == before {
        return Decision::only(now_as_it_is(&before));
    }
    turn.finish(now_as_it_is)
}

fn handle(turn: &mut Turn<'_>, place: u16, how: Handling, report_allowed: bool, entropy: Entropy<'_>) {
    let state = turn.ledger.recipients[usize::from(place)].state;
    let unread = state == RecipientState::Stored;
    if !unread && state != RecipientState::Retrieved {
        return;
    }
    let fetch = |turn: &mut Turn<'_>, entropy: Entropy<'_>| {
        turn.enter(place, RecipientState::Retrieved, None, None, None);
        turn.tell(What::Retrieved, None, &[place], "");
        let retrieved = Happening::of_recipient(MmStatus::Retrieved, report_allowed);
        turn.report_delivery(place, retrieved, None, entropy);
    };
    let leave = |turn: &mut Turn<'_>, state: RecipientState, word: &str| {
        let value = turn.ledger.recipients[usize::from(place)].party.address.value();
        turn.untag(TagKind::Mailbox, value);
        turn.enter(place, state, None, None, None);
        turn.tell(What::Handled, None, &[place], word);
    };
    match how {
        Handling::Retrieve if unread => fetch(turn, entropy),
        Handling::Reject if unread => {
            leave(turn, RecipientState::Rejected, "rejected");
            let rejected = Happening::of_recipient(MmStatus::Rejected, report_allowed);
            turn.report_delivery(place, rejected, None, entropy);
        }
        Handling::Defer if unread => {
            turn.tell(What::Handled, None, &[place], "deferred");
            let deferred = Happening::of_recipient(MmStatus::Deferred, report_allowed);
            turn.report_delivery(place, deferred, None, entropy);
        }
        Handling::Read => {
            if unread {
                fetch(turn, entropy);
            }
            turn.tell(What::Handled, None, &[place], "read");
            turn.report_reading(place, ReadStatus::Read, entropy);
        }
        Handling::Delete => {
            leave(turn, RecipientState::Deleted, "deleted");
            turn.report_reading(place, ReadStatus::DeletedWithoutBeingRead, entropy);
        }
        Handling::Retrieve | Handling::Reject | Handling::Defer => {}
    }
}

/// An operator wants everything that waits to be tried at once. What is on its way already is left alone.
pub(crate) fn retry_now(mut turn: Turn<'_>, why: &str, in_flight: &[u16]) -> Decision {
    let parts: Vec<u16> =
        turn.ledger.entries().map(|e| e.id.part).filter(|p| !in_flight.contains(p)).collect();
    if parts.is_empty() {
        let answer = now_as_it_is(&turn.ledger);
        return Decision::only(answer);
    }
    for part in parts {
        let now = turn.now;
        turn.retry(part, now);
    }
    let words = if why.is_empty() { "retry now".to_owned() } else { format!("retry now: {why}") };
    turn.tell(What::Operator, None, &[], words);
    turn.finish(now_as_it_is)
}

/// An operator wants it gone. Responses that are owed are still brought: the peer waits for them.
pub(crate) fn dropped(mut turn: Turn<'_>, why: &str, entropy: Entropy<'_>) -> Decision {
    let waits =
        [RecipientState::Routing, RecipientState::Queued, RecipientState::Forwarded, RecipientState::Stored];
    let places: Vec<u16> = (0..turn.ledger.recipients.len() as u16)
        .filter(|i| waits.contains(&turn.ledger.recipients[usize::from(*i)].state))
        .collect();
    let kept = in_state(&turn.ledger, &places, RecipientState::Stored);
    let text = Some(HeaderText::cleaned(why));
    for place in &places {
        let recipient = &turn.ledger.recipients[usize::from(*place)];
        if recipient.state == RecipientState::Stored {
            let value = recipient.party.address.value();
            turn.untag(TagKind::Mailbox, value);
        }
        turn.enter(*place, RecipientState::Failed, Some(Reason::Dropped), None, text.clone());
    }
    for part in 0..turn.ledger.transactions.len() {
        turn.ledger.transactions[part].state = TransactionState::Settled;
        turn.ack(part as u16);
    }
    turn.ack(LOOKUP);
    turn.tell(What::Operator, None, &places, format!("dropped: {why}"));
    turn.conclude(entropy);
    // Whoever was told that it was accepted hears that it is gone after all.
    for place in &kept {
        turn.report_delivery(*place, Happening::ours(MmStatus::Rejected), None, entropy);
    }
    turn.finish(now_as_it_is)
}
