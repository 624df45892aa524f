//! An errand came back: what its outcome means for the MM (mm4 5.4, 5.5).

use crate::conclude::Share;
use crate::event::{Brought, Carried, Told};
use crate::house::PeerName;
use crate::ledger::{Origin, Part, RESPONSE, RecipientState, Transaction, TransactionState, What};
use crate::store::Entry;
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::Reason;
use mms::{HeaderText, RequestStatus};

/// Decide about an errand that was carried, or could not be.
pub(crate) fn carried(
    mut turn: Turn<'_>,
    entry: &Entry,
    places: &[u16],
    how: &Carried,
    entropy: Entropy<'_>,
) -> Decision {
    turn.hold(entry);
    let part = entry.id.part;
    match Part::of(part) {
        Part::Response(_) => response_carried(&mut turn, part, entry.attempt, how),
        Part::Report(_) => turn.report_carried(part, entry.attempt, how),
        Part::Notice(_) if matches!(how, Carried::Unable(_)) => turn.ack(part), // nothing to tell any more
        Part::Notice(_) => turn.notice_carried(part, entry.attempt, how, entropy),
        Part::Lookup => turn.ack(part),
        Part::Transaction(i) => {
            let Some(transaction) = turn.ledger.transactions.get(i).cloned() else {
                return turn.finish(|_| None);
            };
            match transaction.state {
                TransactionState::Queued => {
                    forward_carried(&mut turn, entry, &transaction, places, how, entropy);
                    turn.conclude(entropy);
                }
                // Its response overtook the reply of the peer's SMTP; all is said.
                TransactionState::Awaiting(_) | TransactionState::Settled => turn.ack(part),
            }
        }
    }
    turn.finish(|_| None)
}

fn response_carried(turn: &mut Turn<'_>, part: u16, attempt: u32, how: &Carried) {
    let Some(response) = turn.ledger.responses.get(usize::from(part & !RESPONSE)) else { return };
    let response = response.clone();
    let peer = response.peer.clone();
    let words = format!("{} {}", response.kind, response.status);
    let again = turn.house.retry.next(attempt + 1, turn.now, response.bring_by(turn.house));
    match (how.of_one(), again) {
        (Brought::Taken, _) => {
            turn.ack(part);
            turn.tell(What::Answered, Some(&peer), &[], words);
        }
        (Brought::NotNow(why), Some(due)) => {
            turn.retry(part, due);
            turn.tell(What::Deferred, Some(&peer), &[], format!("{words}: {why}"));
        }
        (Brought::NotNow(why) | Brought::Never(why), _) => {
            turn.ack(part);
            turn.tell(What::Unanswered, Some(&peer), &[], format!("{words}: {why}"));
        }
    }
}

fn forward_carried(
    turn: &mut Turn<'_>,
    entry: &Entry,
    transaction: &Transaction,
    places: &[u16],
    how: &Carried,
    entropy: Entropy<'_>,
) {
    let (part, peer) = (entry.id.part, &transaction.peer);
    // A response may have overtaken the reply of the peer's SMTP; what it settled stays settled.
    let waits = |i: &u16| {
        let state = turn.ledger.recipients.get(usize::from(*i)).map(|r| r.state);
        matches!(state, Some(RecipientState::Queued | RecipientState::Forwarded))
    };
    let waiting: Vec<u16> = transaction.recipients.iter().copied().filter(waits).collect();
    let attempt = entry.attempt + 1;
    match how {
        Carried::Told(ends) => {
            let sorted = Sorted::new(&waiting, places, ends);
            apply(turn, part, attempt, transaction, sorted, entropy);
        }
        Carried::Unreachable(why) => put_off(turn, part, attempt, &waiting, peer, why),
        Carried::Unable(why) => {
            fail(turn, &waiting, Reason::Fault, peer, why);
        }
    }
}

/// What became of each recipient, and the peer's words.
#[derive(Default)]
struct Sorted {
    /// The peer has it.
    taken: Vec<u16>,
    taken_words: String,
    /// Refused for good.
    refused: Vec<(u16, String)>,
    /// Refused for now, or unknown.
    later: Vec<(u16, String)>,
    /// Whether all of `later` only wait for room in another mail.
    crowded: bool,
}

impl Sorted {
    fn new(waiting: &[u16], places: &[u16], ends: &[Told]) -> Self {
        let mut sorted = Self { crowded: true, ..Self::default() };
        for (place, end) in places.iter().zip(ends).filter(|(place, _)| waiting.contains(place)) {
            match end {
                Told::Taken(words) => {
                    sorted.taken.push(*place);
                    sorted.taken_words.clone_from(words);
                }
                Told::Never(words) => sorted.refused.push((*place, words.clone())),
                Told::Crowded(words) => sorted.later.push((*place, words.clone())),
                Told::Later(words) | Told::Unknown(words) => {
                    sorted.crowded = false;
                    sorted.later.push((*place, words.clone()));
                }
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
    for (place, words) in &sorted.refused {
        fail(turn, &[*place], Reason::PeerRefused, peer, words);
    }
    let places: Vec<u16> = sorted.later.iter().map(|(place, _)| *place).collect();
    let words = sorted.later.first().map_or("", |(_, words)| words.as_str());
    if sorted.taken.is_empty() {
        if !places.is_empty() {
            // The same ids again: if the peer has it already, it will recognise the repeat.
            put_off(turn, part, attempt, &places, peer, words);
        }
        return;
    }
    turn.ack(part);
    let transparent = transaction.passes();
    let awaits = !transparent && turn.house.peer(peer).is_some_and(|p| p.profile.expects_response);
    if transaction.resends == 0 {
        turn.charge_forward(transaction, &sorted.taken);
    }
    if transparent && turn.house.charging {
        charge_passing(turn, &sorted.taken);
    }
    for place in &sorted.taken {
        turn.enter(*place, RecipientState::Forwarded, None, None, None);
        // What passed as it came is answered by whoever has it now, and so is a repeat: it passes, too.
        if transparent {
            turn.ledger.recipients[usize::from(*place)].concluded = true;
            turn.remember_nothing(*place);
        }
    }
    turn.tell(What::Forwarded, Some(peer), &sorted.taken, sorted.taken_words);
    let state = if awaits {
        TransactionState::Awaiting(turn.now.plus(turn.house.retry.response_timeout))
    } else {
        TransactionState::Settled
    };
    let slot = &mut turn.ledger.transactions[usize::from(part)];
    slot.state = state;
    slot.recipients.clone_from(&sorted.taken);
    if places.is_empty() {
        return;
    }
    // The others travel on in a transaction of their own; those that only found no room in this mail go at once.
    let next = turn.house.retry.next(attempt, turn.now, turn.deadline());
    let due = if sorted.crowded { Some(turn.now) } else { next };
    match due {
        Some(due) => {
            turn.tell(What::Deferred, Some(peer), &places, words);
            let attempt = if sorted.crowded { 0 } else { attempt };
            turn.open_transaction(peer, places, transaction.retries, due, attempt, entropy);
        }
        None => give_up(turn, &places, peer, words),
    }
}

/// What passes as it came is answered by whoever has it now; for us it ends here.
fn charge_passing(turn: &mut Turn<'_>, taken: &[u16]) {
    let Origin::Received { peer, .. } = &turn.ledger.origin else { return };
    let peer = peer.clone();
    let text = Some(HeaderText::cleaned("passed on as it came"));
    let share = Share { status: RequestStatus::Ok, text };
    let open = |i: &&u16| !turn.ledger.recipients[usize::from(**i)].concluded;
    let known: Vec<(u16, Share)> = taken.iter().filter(open).map(|i| (*i, share.clone())).collect();
    turn.charge_arrival(&peer, &known);
}

fn put_off(turn: &mut Turn<'_>, part: u16, attempt: u32, places: &[u16], peer: &PeerName, why: &str) {
    match turn.house.retry.next(attempt, turn.now, turn.deadline()) {
        Some(due) => {
            turn.retry(part, due);
            turn.tell(What::Deferred, Some(peer), places, why);
        }
        None => give_up(turn, places, peer, why),
    }
}

/// The time for these recipients is over: their MM has expired, or has waited for its peer for as long as we try.
pub(crate) fn give_up(turn: &mut Turn<'_>, places: &[u16], peer: &PeerName, why: &str) {
    if turn.now < turn.ledger.expires {
        return fail(turn, places, Reason::GaveUp, peer, why);
    }
    for place in places {
        turn.enter(*place, RecipientState::Expired, Some(Reason::Expired), None, None);
    }
    turn.tell(What::Expired, Some(peer), places, format!("while waiting for the peer: {why}"));
}

/// These recipients will not get it.
pub(crate) fn fail(turn: &mut Turn<'_>, places: &[u16], reason: Reason, peer: &PeerName, why: &str) {
    for place in places {
        let text = Some(HeaderText::cleaned(why));
        turn.enter(*place, RecipientState::Failed, Some(reason), None, text);
    }
    turn.tell(What::Failed, Some(peer), places, format!("{}: {why}", reason.text()));
}
