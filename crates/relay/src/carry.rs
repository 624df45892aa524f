//! An errand came back: what its outcome means for the MM (mm4 5.4, 5.5).

use crate::event::Carried;
use crate::house::PeerName;
use crate::ledger::{RESPONSE, RecipientState, Transaction, TransactionState, What};
use crate::store::Entry;
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::{Reason, Reply};
use mms::HeaderText;

/// Decide about an errand that was carried, or could not be.
pub(crate) fn carried(mut turn: Turn<'_>, entry: &Entry, how: &Carried, entropy: Entropy<'_>) -> Decision {
    turn.hold(entry);
    let part = entry.id.part;
    if part & RESPONSE != 0 {
        response_carried(&mut turn, part, entry.attempt, how);
    } else if let Some(transaction) = turn.ledger.transactions.get(usize::from(part)).cloned() {
        match transaction.state {
            TransactionState::Queued => forward_carried(&mut turn, part, entry, &transaction, how, entropy),
            // Its response overtook the reply of the peer's SMTP; all is said.
            TransactionState::Awaiting(_) | TransactionState::Settled => turn.ack(part),
        }
    }
    turn.finish(|_| None)
}

fn response_carried(turn: &mut Turn<'_>, part: u16, attempt: u32, how: &Carried) {
    let Some(response) = turn.ledger.responses.get(usize::from(part & !RESPONSE)) else { return };
    let peer = response.peer.clone();
    let words = format!("{} {}", response.kind, response.status);
    let (passing, why) = match how {
        Carried::Answered { recipients, content } => {
            let last = content.as_ref().or(recipients.first());
            match last {
                Some(reply) if reply.code / 100 == 2 && content.is_some() => {
                    turn.ack(part);
                    turn.tell(What::Answered, Some(&peer), &[], words);
                    return;
                }
                Some(reply) => (reply.code / 100 == 4, reply.to_string()),
                None => (true, "no reply".into()),
            }
        }
        Carried::Broken(why) | Carried::Unreachable(why) => (true, why.clone()),
        Carried::Unable(why) => (false, why.clone()),
    };
    let deadline = turn.ledger.accepted.plus(turn.house.retry.give_up);
    match turn.house.retry.next(attempt + 1, turn.now, deadline).filter(|_| passing) {
        Some(due) => {
            turn.retry(part, due);
            turn.tell(What::Deferred, Some(&peer), &[], format!("{words}: {why}"));
        }
        None => {
            turn.ack(part);
            turn.tell(What::Unanswered, Some(&peer), &[], format!("{words}: {why}"));
        }
    }
}

fn forward_carried(
    turn: &mut Turn<'_>,
    part: u16,
    entry: &Entry,
    transaction: &Transaction,
    how: &Carried,
    entropy: Entropy<'_>,
) {
    let peer = &transaction.peer;
    // In the order of the errand's recipients: those that still waited when it was made.
    let waiting: Vec<u16> = transaction
        .recipients
        .iter()
        .copied()
        .filter(|i| {
            let state = turn.ledger.recipients[usize::from(*i)].state;
            matches!(state, RecipientState::Queued | RecipientState::Forwarded)
        })
        .collect();
    let attempt = entry.attempt + 1;
    match how {
        Carried::Answered { recipients, content } => {
            let sorted = Sorted::new(&waiting, recipients, content.as_ref());
            apply(turn, part, attempt, transaction, sorted, entropy);
        }
        Carried::Broken(why) | Carried::Unreachable(why) => {
            // The same ids again: if the peer has it already, it will recognise the repeat.
            put_off(turn, part, attempt, &waiting, peer, why);
        }
        Carried::Unable(why) => {
            fail(turn, &waiting, Reason::Fault, peer, why);
        }
    }
}

/// What became of each recipient.
#[derive(Default)]
struct Sorted {
    /// The peer has it.
    taken: Vec<u16>,
    /// Refused for good.
    refused: Vec<(u16, Reply)>,
    /// Refused for now.
    later: Vec<(u16, Reply)>,
    /// The reply to the content, if it came to that.
    content: Option<Reply>,
}

impl Sorted {
    fn new(waiting: &[u16], replies: &[Reply], content: Option<&Reply>) -> Self {
        let mut sorted = Self { content: content.cloned(), ..Self::default() };
        for (place, reply) in waiting.iter().zip(replies) {
            let last = if reply.code / 100 == 2 { content.unwrap_or(reply) } else { reply };
            match last.code / 100 {
                2 if content.is_some() => sorted.taken.push(*place),
                5 => sorted.refused.push((*place, last.clone())),
                _ => sorted.later.push((*place, last.clone())),
            }
        }
        sorted
    }
}

fn apply(
    turn: &mut Turn<'_>,
    part: u16,
    attempt: u32,
    transaction: &Transaction,
    sorted: Sorted,
    entropy: Entropy<'_>,
) {
    let peer = &transaction.peer;
    for (place, reply) in &sorted.refused {
        fail(turn, &[*place], Reason::PeerRefused, peer, &reply.to_string());
    }
    if sorted.taken.is_empty() {
        let places: Vec<u16> = sorted.later.iter().map(|(place, _)| *place).collect();
        if let Some((_, reply)) = sorted.later.first() {
            put_off(turn, part, attempt, &places, peer, &reply.to_string());
        }
        return;
    }
    turn.ack(part);
    let awaits = turn.house.peer(peer).is_some_and(|p| p.profile.expects_response);
    for place in &sorted.taken {
        turn.enter(*place, RecipientState::Forwarded, None, None, None);
    }
    let reply = sorted.content.map_or(String::new(), |r| r.to_string());
    turn.tell(What::Forwarded, Some(peer), &sorted.taken, reply);
    let state = if awaits {
        TransactionState::Awaiting(turn.now.plus(turn.house.retry.response_timeout))
    } else {
        TransactionState::Settled
    };
    let slot = &mut turn.ledger.transactions[usize::from(part)];
    slot.state = state;
    slot.recipients.clone_from(&sorted.taken);
    if sorted.later.is_empty() {
        return;
    }
    // The others travel on in a transaction of their own. "Too many recipients" is no trouble of theirs: they go
    // at once (RFC 5321 4.5.3.1.10).
    let crowded = sorted.later.iter().all(|(_, r)| r.code == 452);
    let places: Vec<u16> = sorted.later.iter().map(|(place, _)| *place).collect();
    let reply = sorted.later[0].1.to_string();
    let next = turn.house.retry.next(attempt, turn.now, turn.deadline());
    let due = if crowded { Some(turn.now) } else { next };
    match due {
        Some(due) => {
            turn.tell(What::Deferred, Some(peer), &places, reply);
            let attempt = if crowded { 0 } else { attempt };
            turn.open_transaction(peer, places, transaction.retries, due, attempt, entropy);
        }
        None => fail(turn, &places, Reason::GaveUp, peer, &reply),
    }
}

fn put_off(turn: &mut Turn<'_>, part: u16, attempt: u32, places: &[u16], peer: &PeerName, why: &str) {
    match turn.house.retry.next(attempt, turn.now, turn.deadline()) {
        Some(due) => {
            turn.retry(part, due);
            turn.tell(What::Deferred, Some(peer), places, why);
        }
        None => fail(turn, places, Reason::GaveUp, peer, why),
    }
}

/// These recipients will not get it.
pub(crate) fn fail(turn: &mut Turn<'_>, places: &[u16], reason: Reason, peer: &PeerName, why: &str) {
    for place in places {
        let text = Some(HeaderText::cleaned(why));
        turn.enter(*place, RecipientState::Failed, Some(reason), None, text);
    }
    turn.tell(What::Failed, Some(peer), places, format!("{}: {why}", reason.text()));
}
