//! A mail came from a peer: what becomes of an `MM4_forward.REQ` (TS 23.140 8.4.1, recipient Relay/Server).
//!
//! Owns: judgement of each recipient, recognition of repeats, the responses that follow. Never knows: how the mail
//! looked. Every recipient was accepted at SMTP already (8.4.5), so every refusal here travels in a response.

use crate::event::{Answer, Arrival, Arrived};
use crate::house::{House, Peer, ResponseStyle};
use crate::ledger::{Ledger, Origin, Recipient, RecipientKind, RecipientState, Response, What};
use crate::pack::{Pack, pack_struct};
use crate::report::Happening;
use crate::route::Route;
use crate::store::{Need, Op, TagKind};
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::{Reason, Reply};
use mms::{
    AbstractMessage, Address, Expiry, ForwardReq, HeaderText, MailPath, MessageType, MmId, MmStatus, Party,
    RequestStatus, Timestamp,
};
use std::time::Duration;

/// What is remembered of a recipient of an earlier request with the same Message-ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    mm: MmId,
    len: u64,
    digest: u32,
    date: Option<Timestamp>,
    status: RequestStatus,
    text: Option<HeaderText>,
}
pack_struct!(Remembered { mm, len, digest, date, status, text });

/// What one recipient of the request gets.
struct Verdict {
    state: RecipientState,
    reason: Option<Reason>,
    status: RequestStatus,
    text: Option<HeaderText>,
}

impl Verdict {
    fn stored() -> Self {
        Self { state: RecipientState::Stored, reason: None, status: RequestStatus::Ok, text: None }
    }

    fn refused(reason: Reason, detail: Option<&str>) -> Self {
        let text = match detail {
            Some(detail) if !detail.is_empty() => format!("{}: {detail}", reason.text()),
            _ => reason.text().to_owned(),
        };
        let text = Some(HeaderText::cleaned(&text).capped(256));
        Self { state: RecipientState::Refused, reason: Some(reason), status: reason.request_status(), text }
    }

    /// A refusal that will pass is not remembered: the repeat shall find out anew.
    fn is_lasting(&self) -> bool {
        self.status != RequestStatus::ErrorNetworkProblem
    }
}

/// The key under which a recipient of a request is remembered: peer, Message-ID, recipient (mm4 5.6).
/// The Message-ID comes first so that all keys of one MM lie together.
fn once_key(message_id: &str, peer: &str, recipient: &Address) -> Vec<u8> {
    [b"req", message_id.as_bytes(), peer.as_bytes(), recipient.bare().as_bytes()].join(&0)
}

/// The user that an envelope path names, in canonical form. A path that names none is kept as it is.
fn envelope_party(path: &MailPath, peer: &Peer) -> Party {
    match path.party() {
        Some(party) => Party { address: party.address.normalised(&peer.number_plan), ..party },
        None => Party {
            address: Address::AlphaCode(HeaderText::cleaned(path.local()).as_str().to_owned()),
            domain: path.domain().cloned(),
            name: None,
        },
    }
}

/// Decide about a mail that is to be a new ledger: an `MM4_forward.REQ`, or something that must be refused.
/// `remembered` holds what the store already knows under the keys of an earlier try at this decision.
pub(crate) fn arrived(
    house: &House,
    now: Timestamp,
    id: MmId,
    arrival: &Arrival,
    remembered: &[(Vec<u8>, Vec<u8>)],
    entropy: Entropy<'_>,
) -> Decision {
    let refuse = |reason: Reason| Decision::only(Some(Answer::Mail(reason.reply())));
    let Some(peer) = house.peer(&arrival.peer) else { return refuse(Reason::SenderDenied) };
    if arrival.hops > house.limits.hops_max {
        return refuse(Reason::Loop);
    }
    let (request, type_trouble) = match &arrival.message {
        Arrived::NotMm4 => return refuse(Reason::NotMm4),
        Arrived::Unknown { message_type, request } => {
            (request, Some((Reason::Unsupported, format!("X-Mms-Message-Type: {message_type}"))))
        }
        Arrived::Message(AbstractMessage::ForwardReq(request)) => (request, None),
        // Responses and reports belong to ledgers that exist, or to none.
        Arrived::Message(_) => return refuse(Reason::Fault),
    };
    let trouble =
        type_trouble.or_else(|| arrival.trouble.clone()).or_else(|| limits(house, request, arrival));

    let expires = validity(house, request, now);
    let origin = Origin::Received { peer: peer.name.clone(), mail_from: arrival.mail_from.clone() };
    let begun = Ledger::new(id, origin, now, expires);
    let ledger = Ledger { request: Some(request.clone()), body: arrival.body, ..begun };
    let mut turn = Turn::new(house, now, ledger, 0, false);
    turn.tell(What::Received, Some(&peer.name), &[], opening_words(arrival, request));

    let mut verdicts: Vec<Verdict> = Vec::new();
    let message_id = request.message_id.as_ref().map(|m| m.key().to_owned());
    for path in &arrival.recipients {
        let party = envelope_party(path, peer);
        if turn.ledger.recipients.iter().any(|r| r.party.address == party.address) {
            continue; // named twice: delivered once
        }
        let mut verdict = match &trouble {
            Some((reason, detail)) => Verdict::refused(*reason, Some(detail)),
            None => judge(house, path, &party),
        };
        if let Some(message_id) = &message_id {
            let key = once_key(message_id, peer.name.as_str(), &party.address);
            verdict = recognise(&mut turn, arrival, request, key, remembered, verdict);
        }
        let kind = recipient_kind(request, &party.address, peer);
        let place = turn.ledger.recipients.len() as u16;
        turn.ledger.recipients.push(Recipient::new(party, kind, verdict.state, now));
        turn.enter(place, verdict.state, verdict.reason, Some(verdict.status), verdict.text.clone());
        verdicts.push(verdict);
    }

    keep_and_tell(&mut turn, arrival, &verdicts);
    let ack = request.ack_request == Some(true);
    if ack {
        owe_responses(&mut turn, peer, arrival, request, &verdicts);
    }
    report_early(&mut turn, peer, &verdicts, entropy);
    let only_repeats = verdicts.iter().all(|v| v.state == RecipientState::Duplicate);
    let reply = Reply::new(250, (2, 0, 0), format!("{id} taken"));
    if only_repeats && !ack {
        // Nothing new and nobody to answer: the first one's ledger says it all.
        return Decision::only(Some(Answer::Mail(reply)));
    }
    turn.finish(|_| Some(Answer::Mail(reply)))
}

fn opening_words(arrival: &Arrival, request: &ForwardReq) -> String {
    let id = request.message_id.as_ref().map_or("none", |m| m.as_str());
    let transaction = request.transaction_id.as_ref().map_or("none", |t| t.as_str());
    let ack = if request.ack_request == Some(true) { "response asked" } else { "no response asked" };
    let size = arrival.body.map_or(0, |b| b.len);
    format!("MM4_forward.REQ, Message-ID {id}, Transaction-ID {transaction}, {size} octets, {ack}")
}

/// What the request as a whole breaks, if it is well formed.
fn limits(house: &House, request: &ForwardReq, arrival: &Arrival) -> Option<(Reason, String)> {
    let limits = &house.limits;
    let forwards = request.forward_counter.unwrap_or(0);
    if forwards > limits.forward_max {
        let text = format!("X-Mms-Forward-Counter is {forwards}, at most {} is accepted", limits.forward_max);
        return Some((Reason::ForwardLimit, text));
    }
    if arrival.decoded_size > limits.content_size_max {
        let text = format!("{} octets, at most {}", arrival.decoded_size, limits.content_size_max);
        return Some((Reason::TooLarge, text));
    }
    None
}

/// When the validity of an MM ends: absolute once and for all, clamped to policy (mm4 2.7).
pub(crate) fn validity(house: &House, request: &ForwardReq, now: Timestamp) -> Timestamp {
    let limits = &house.limits;
    let day = Duration::from_secs(86_400);
    let wanted = match request.expiry {
        None => now.plus(limits.expiry_default),
        Some(Expiry::At(at)) => at,
        // A relative time counts from Date, unless that clock is plainly wrong.
        Some(Expiry::After(span)) => {
            let near = |date: &Timestamp| date.since(now) <= day && now.since(*date) <= day;
            request.date.filter(near).unwrap_or(now).plus(span)
        }
    };
    wanted.min(now.plus(limits.expiry_max))
}

/// What a recipient gets, as far as only the recipient counts.
fn judge(house: &House, path: &MailPath, party: &Party) -> Verdict {
    if path.party().is_none() {
        return Verdict::refused(Reason::NotAnAddress, None);
    }
    match house.route(party) {
        Route::Local(_) => Verdict::stored(),
        Route::Peer(_) => Verdict::refused(Reason::NoTransit, None),
        Route::Nowhere(Reason::NoRoute) => {
            let foreign = party.path().domain().is_some_and(|d| !house.domains.contains(d));
            Verdict::refused(if foreign { Reason::NoTransit } else { Reason::NotServed }, None)
        }
        Route::Nowhere(reason) => Verdict::refused(reason, None),
    }
}

/// Compare with what is remembered: a repeat is not delivered again and is answered as the first time (mm4 5.6).
fn recognise(
    turn: &mut Turn<'_>,
    arrival: &Arrival,
    request: &ForwardReq,
    key: Vec<u8>,
    remembered: &[(Vec<u8>, Vec<u8>)],
    verdict: Verdict,
) -> Verdict {
    let (len, digest) = arrival.body.map_or((0, 0), |b| (b.len.saturating_sub(b.offset), b.digest));
    let now = Remembered {
        mm: turn.ledger.id,
        len,
        digest,
        date: request.date,
        status: verdict.status,
        text: verdict.text.clone(),
    };
    let mut value = Vec::with_capacity(64);
    now.pack(&mut value);
    let keep_until = turn.ledger.expires.max(turn.now.plus(turn.house.limits.duplicates_kept));
    let before = remembered.iter().find(|(k, _)| *k == key);
    let Some(first) = before.and_then(|(_, v)| Remembered::unpack(&mut v.as_slice()).ok()) else {
        if verdict.is_lasting() {
            turn.need(Need::Once { key, value, keep_until });
        }
        return verdict;
    };
    let same_content = (first.len, first.digest) == (len, digest);
    if same_content || first.date == request.date {
        let (status, text) = (first.status, first.text);
        let peer = arrival.peer.clone();
        turn.tell(What::Repeated, Some(&peer), &[], format!("first came as {}", first.mm));
        return Verdict { state: RecipientState::Duplicate, reason: None, status, text };
    }
    let peer = arrival.peer.clone();
    let text =
        format!("same Message-ID as {}, but other content and another Date: taken as a new MM", first.mm);
    turn.tell(What::Ignored, Some(&peer), &[], text);
    if verdict.is_lasting() {
        turn.op(Op::Remember { key, value, keep_until });
    }
    verdict
}

/// To, Cc, or in the envelope only (RFC 4356 2.1.3.3).
fn recipient_kind(request: &ForwardReq, address: &Address, peer: &Peer) -> RecipientKind {
    let named = |list: &[Party]| {
        list.iter()
            .any(|p| p.address == *address || p.address.clone().normalised(&peer.number_plan) == *address)
    };
    if named(&request.to) {
        RecipientKind::To
    } else if named(&request.cc) {
        RecipientKind::Cc
    } else {
        RecipientKind::Bcc
    }
}

/// The content is kept if anybody gets it; mailboxes and history say who did and who did not, and why.
fn keep_and_tell(turn: &mut Turn<'_>, arrival: &Arrival, verdicts: &[Verdict]) {
    let places = |state: RecipientState| -> Vec<u16> {
        (0..verdicts.len() as u16).filter(|i| verdicts[usize::from(*i)].state == state).collect()
    };
    let stored = places(RecipientState::Stored);
    let expired = turn.ledger.expires <= turn.now;
    if stored.is_empty() || expired {
        turn.ledger.body = None;
    } else if let Some(content) = arrival.content.clone() {
        turn.keep_content(content);
    }
    if !stored.is_empty() {
        if expired {
            // Accepted all the same, so that the originator hears of it by report (mm4 2.7).
            turn.tell(What::Expired, None, &stored, "had expired before it arrived");
            for i in &stored {
                turn.enter(*i, RecipientState::Expired, Some(Reason::Expired), None, None);
            }
        } else {
            turn.tell(What::Stored, None, &stored, "");
            for i in &stored {
                let value = turn.ledger.recipients[usize::from(*i)].party.address.value();
                turn.tag(TagKind::Mailbox, value);
            }
        }
        if let Some(key) = turn.ledger.request.as_ref().and_then(|r| r.message_id.as_ref()) {
            let value = key.key().to_owned();
            turn.tag(TagKind::MessageId, value);
        }
    }
    for i in places(RecipientState::Refused) {
        let text = verdicts[usize::from(i)].text.as_ref().map_or(String::new(), |t| t.to_string());
        turn.tell(What::Refused, None, &[i], text);
    }
}

/// Reports that are due at once: what had expired before it came, and recipients whose refusal the one collective
/// response does not tell (mm4 5.4).
fn report_early(turn: &mut Turn<'_>, peer: &Peer, verdicts: &[Verdict], entropy: Entropy<'_>) {
    let accepted = verdicts.iter().any(|v| v.status == RequestStatus::Ok);
    let untold = accepted && peer.profile.response_style == ResponseStyle::Collective;
    for (i, verdict) in verdicts.iter().enumerate() {
        let place = i as u16;
        let state = turn.ledger.recipients[i].state;
        if state == RecipientState::Expired {
            turn.report_delivery(place, Happening::ours(MmStatus::Expired), None, entropy);
        } else if let (RecipientState::Refused, Some(reason), true) = (state, verdict.reason, untold) {
            turn.report_delivery(place, Happening::ours(reason.mm_status()), verdict.text.clone(), entropy);
        }
    }
}

/// The responses to one request: one for each distinct status, or a collective one, as the peer can read them.
fn owe_responses(
    turn: &mut Turn<'_>,
    peer: &Peer,
    arrival: &Arrival,
    request: &ForwardReq,
    verdicts: &[Verdict],
) {
    let to = response_mailbox(peer, request, arrival.mail_from.as_ref());
    if let Some(system) = request.originator_system.as_ref().filter(|s| *s != &to && s.domain().is_some()) {
        let text = format!("X-Mms-Originator-System {system} is not of this peer; the response goes to {to}");
        turn.tell(What::Ignored, Some(&peer.name), &[], text);
    }
    let mut groups: Vec<(RequestStatus, Option<HeaderText>, Vec<Party>)> = Vec::new();
    for (verdict, recipient) in verdicts.iter().zip(&turn.ledger.recipients) {
        let party = Party::from(recipient.party.address.clone());
        match groups.iter_mut().find(|(status, text, _)| *status == verdict.status && *text == verdict.text) {
            Some((_, _, parties)) => parties.push(party),
            None => groups.push((verdict.status, verdict.text.clone(), vec![party])),
        }
    }
    if peer.profile.response_style == ResponseStyle::Collective {
        let ok = groups.iter().position(|(status, ..)| *status == RequestStatus::Ok);
        let (status, text, _) = groups.swap_remove(ok.unwrap_or(0));
        groups = vec![(status, text, Vec::new())];
    }
    for (status, text, recipients) in groups {
        turn.owe(Response {
            kind: MessageType::ForwardRes,
            peer: peer.name.clone(),
            to: to.clone(),
            transaction_id: request.transaction_id.clone(),
            message_id: request.message_id.clone(),
            status,
            text,
            recipients,
            entry: None,
        });
    }
}

/// The mailbox at the peer that wants a response: Originator-System, or without one `Sender`, or without one the
/// envelope sender; but only if it is the peer's own, else the peer's configured system address. The host that is
/// connected to is never taken from a message.
fn response_mailbox(peer: &Peer, request: &ForwardReq, mail_from: Option<&MailPath>) -> MailPath {
    match &request.originator_system {
        Some(system) => mailbox_of(peer, [Some(system)]),
        None => mailbox_of(peer, [request.sender.as_ref(), mail_from]),
    }
}

/// The first of these mailboxes that is the peer's own, or its configured system address.
pub(crate) fn mailbox_of<const N: usize>(peer: &Peer, candidates: [Option<&MailPath>; N]) -> MailPath {
    let own = candidates.into_iter().flatten().find_map(|path| match path.domain() {
        Some(domain) if peer.owns(domain) => Some(path.clone()),
        Some(_) => None,
        // `PostMaster` without a domain is met in live traffic and means the peer's own.
        None => MailPath::new(path.local(), peer.domains.first().cloned()).ok(),
    });
    own.unwrap_or_else(|| peer.system_address.clone())
}
