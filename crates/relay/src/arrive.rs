//! A mail came from a peer: what becomes of an `MM4_forward.REQ` (TS 23.140 8.4.1, recipient Relay/Server).
//!
//! Owns: judgement of each recipient, recognition of repeats, the responses that follow. Never knows: how the mail
//! looked. Every recipient was accepted at SMTP already (8.4.5), so every refusal here travels in a response.

use crate::deliver::Way;
use crate::event::{Answer, Arrival, Arrived};
use crate::house::{House, Peer, PeerName, TransitMode};
use crate::ledger::{Asker, Body, Ledger, Origin, Recipient, RecipientKind, RecipientState, What};
use crate::pack::{Pack, pack_struct};
use crate::store::{Need, Op, TagKind};
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::{Reason, Reply, refusal_text};
use mms::{
    AbstractMessage, Address, Expiry, ForwardReq, HeaderText, MailPath, MmId, Party, RequestStatus, Timestamp,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is remembered of a recipient of an earlier request with the same Message-ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub mm: MmId,
    pub len: u64,
    pub digest: u32,
    pub date: Option<Timestamp>,
    /// How it was answered; `None` while what becomes of it is not known.
    pub status: Option<RequestStatus>,
    pub text: Option<HeaderText>,
}
pack_struct!(Remembered { mm, len, digest, date, status, text });

/// Length and digest of a body, by which a repeat is told from another MM under the same id.
pub(crate) fn mail_matters(body: Option<Body>) -> (u64, u32) {
    body.map_or((0, 0), |b| (b.len.saturating_sub(b.offset), b.digest))
}

/// The key under which a recipient of a request is remembered: peer, Message-ID, recipient (mm4 5.6).
/// The Message-ID comes first so that all keys of one MM lie together.
pub(crate) fn once_key(message_id: &str, peer: &str, recipient: &Address) -> Vec<u8> {
    [b"req", message_id.as_bytes(), peer.as_bytes(), recipient.bare().as_bytes()].join(&0)
}

/// The user that an envelope path names, in canonical form. A path that names none is kept as it is.
fn envelope_party(path: &MailPath, peer: &Peer) -> Party {
    match path.party() {
        Some(party) => Party { address: party.address.normalised(&peer.number_plan), ..party },
        None => Party { address: unreadable(path), domain: path.domain().cloned(), name: None },
    }
}

/// What stands for a path that is no address.
fn unreadable(path: &MailPath) -> Address {
    Address::AlphaCode(HeaderText::cleaned(path.local()).as_str().to_owned())
}

/// Decide about a mail that is to be a new ledger: an `MM4_forward.REQ`, or something that must be refused.
/// `remembered` holds what the store already knows under the keys of an earlier try at this decision; `is_crowded` says who
/// has had as many MMs as may be.
pub(crate) fn arrived(
    house: &House,
    now: Timestamp,
    id: MmId,
    arrival: &Arrival,
    remembered: &[(Vec<u8>, Vec<u8>)],
    is_crowded: impl Fn(&Address) -> bool,
    entropy: Entropy<'_>,
) -> Decision {
    let refuse = |reason: Reason| Decision::only(Some(Answer::Mail(reason.reply())));
    let Some(peer) = house.peer(&arrival.peer) else { return refuse(Reason::SenderDenied) };
    if arrival.hops > house.limits.hops_max || arrival.own_hops > 0 {
        return refuse(Reason::Loop);
    }
    if let Some(stranger) = foreign_sender(peer, arrival) {
        return Decision::only(Some(Answer::Mail(Reply::new(550, (5, 7, 1), stranger))));
    }
    let (request, type_trouble) = match &arrival.message {
        Arrived::NotMm4 => return refuse(Reason::NotMm4),
        Arrived::Unknown { message_type, request } => {
            (request, Some((Reason::Unsupported, format!("X-Mms-Message-Type: {message_type}"))))
        }
        Arrived::Message(AbstractMessage::ForwardReq(request)) => (request, None),
        // Responses and reports belong to ledgers that exist, or to none.
        Arrived::Message(_) | Arrived::Bounce(_) => return refuse(Reason::Fault),
    };
    let unknown_type = type_trouble.is_some();
    let trouble =
        type_trouble.or_else(|| arrival.trouble.clone()).or_else(|| limits(house, request, arrival));

    let expires = validity(house, request, now);
    let origin = Origin::Received { peer: peer.name.clone(), mail_from: arrival.mail_from.clone() };
    let begun = Ledger::new(id, origin, now, expires);
    let ledger = Ledger { request: Some(request.clone()), body: arrival.body, ..begun };
    let mut turn = Turn::new(house, now, ledger, 0, false);
    turn.unknown_type = unknown_type;
    turn.tell(What::Received, Some(&peer.name), &[], opening_words(arrival, request));

    let repeats = Repeats { arrival, request, remembered };
    if let Some(first) = repeats.undecided(peer) {
        return Decision::redirect(first);
    }
    let (mut ways, mut fresh) = (Vec::new(), false);
    for path in &arrival.recipients {
        let party = envelope_party(path, peer);
        if turn.ledger.recipients.iter().any(|r| r.party.address == party.address) {
            continue; // named twice: delivered once
        }
        let way = match &trouble {
            Some((reason, detail)) => Way::Nowhere(*reason, Some(detail.clone())),
            None => judge(&turn, peer, path, &party),
        };
        let way = match way {
            Way::Here(_) if is_crowded(&party.address) => Way::Nowhere(Reason::TooFrequent, None),
            way => way,
        };
        let kind = recipient_kind(request, &party.address, peer);
        let place = turn.ledger.recipients.len() as u16;
        let repeat = repeats.recognise(&mut turn, &party.address, &way);
        turn.ledger.recipients.push(Recipient::new(party, kind, RecipientState::Duplicate, now));
        match repeat {
            Some((status, text)) => turn.enter(place, RecipientState::Duplicate, None, Some(status), text),
            None => {
                fresh = true;
                ways.push((place, way));
            }
        }
    }
    let reply = Reply::new(250, (2, 0, 0), format!("{id} taken"));
    let ack = request.ack_request == Some(true);
    if !fresh && !ack {
        // Nothing new and nobody to answer: the first one's ledger says it all.
        return Decision::only(Some(Answer::Mail(reply)));
    }
    turn.deliver(ways, entropy);
    keep(&mut turn, arrival);
    if ack {
        note_mailbox(&mut turn, peer, request, arrival);
    }
    turn.conclude(entropy);
    turn.finish(|_| Some(Answer::Mail(reply)))
}

/// A response or report of one peer for another, between whom MMs pass transparently: it passes as it came.
pub(crate) fn passing(
    house: &House,
    now: Timestamp,
    id: MmId,
    arrival: &Arrival,
    to: &PeerName,
    entropy: Entropy<'_>,
) -> Decision {
    if arrival.hops > house.limits.hops_max || arrival.own_hops > 0 {
        return Decision::only(Some(Answer::Mail(Reason::Loop.reply())));
    }
    let origin = Origin::Received { peer: arrival.peer.clone(), mail_from: arrival.mail_from.clone() };
    let begun = Ledger::new(id, origin, now, now.plus(house.retry.give_up));
    let message_type = match &arrival.message {
        Arrived::Message(message) => message.message_type().as_str(),
        _ => "mail",
    };
    let ledger = Ledger { request: Some(ForwardReq::default()), body: arrival.body, ..begun };
    let mut turn = Turn::new(house, now, ledger, 0, false);
    turn.tell(What::Received, Some(&arrival.peer), &[], format!("{message_type}, for peer {to}"));
    for path in &arrival.recipients {
        let address = path.party().map_or_else(|| unreadable(path), |party| party.address);
        let domain = path.domain().cloned();
        let party = Party { address, domain, name: None };
        let begun = Recipient::new(party, RecipientKind::To, RecipientState::Queued, now);
        turn.ledger.recipients.push(Recipient { path: Some(path.clone()), concluded: true, ..begun });
    }
    let everybody = (0..turn.ledger.recipients.len() as u16).collect();
    turn.open_transaction(to, everybody, 0, now, 0, entropy);
    for transaction in &mut turn.ledger.transactions {
        transaction.transit = Some(TransitMode::Transparent);
    }
    if let Some(content) = arrival.content.clone() {
        turn.keep_content(content);
    }
    let reply = Reply::new(250, (2, 0, 0), format!("{id} taken"));
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

/// Where a recipient of a request goes, as far as only the recipient counts.
fn judge(turn: &Turn<'_>, peer: &Peer, path: &MailPath, party: &Party) -> Way {
    if path.party().is_none() {
        Way::Nowhere(Reason::NotAnAddress, None)
    } else if turn.house.is_code(&party.address) && !peer.profile.short_codes {
        // A short code means something inside one MMSE only, unless it was agreed otherwise.
        Way::Nowhere(Reason::NotServed, None)
    } else {
        turn.way(party)
    }
}

/// What the store knows of earlier requests with this Message-ID.
struct Repeats<'a> {
    arrival: &'a Arrival,
    request: &'a ForwardReq,
    remembered: &'a [(Vec<u8>, Vec<u8>)],
}

impl Repeats<'_> {
    fn known(&self) -> impl Iterator<Item = Remembered> + '_ {
        self.remembered.iter().filter_map(|(_, v)| Remembered::unpack(&mut v.as_slice()).ok())
    }

    fn is_same(&self, first: &Remembered) -> bool {
        (first.len, first.digest) == mail_matters(self.arrival.body) || first.date == self.request.date
    }

    /// The MM that this is a repeat of, if what becomes of that is not known yet: then that MM answers.
    fn undecided(&self, peer: &Peer) -> Option<MmId> {
        let first = self.known().find(|first| first.status.is_none() && self.is_same(first))?;
        let named = self.arrival.recipients.iter().map(|path| envelope_party(path, peer).address);
        let whole = self.known().count() == named.collect::<BTreeSet<_>>().len()
            && self.known().all(|other| other.mm == first.mm);
        whole.then_some(first.mm)
    }

    /// Compare with what is remembered: a repeat is not delivered again and is answered as the first time (mm4 5.6).
    /// What is new is remembered from now on, unless it is refused for a reason that will pass.
    fn recognise(
        &self,
        turn: &mut Turn<'_>,
        recipient: &Address,
        way: &Way,
    ) -> Option<(RequestStatus, Option<HeaderText>)> {
        let message_id = self.request.message_id.as_ref()?;
        let peer = &self.arrival.peer;
        let key = once_key(message_id.key(), peer.as_str(), recipient);
        let (len, digest) = mail_matters(self.arrival.body);
        let (status, text) = match way {
            Way::Here(_) => (Some(RequestStatus::Ok), None),
            Way::On(_) | Way::Ask => (None, None),
            Way::Nowhere(reason, detail) => {
                (Some(reason.request_status()), Some(refusal_text(*reason, detail.as_deref())))
            }
        };
        // The repeat of a refusal that will pass shall find out anew.
        // It is remembered all the same where the recipient has had too much: the repeat of what it has must be known as one.
        let lasting = status != Some(RequestStatus::ErrorNetworkProblem)
            || matches!(way, Way::Nowhere(Reason::TooFrequent, _));
        let now = Remembered { mm: turn.ledger.id, len, digest, date: self.request.date, status, text };
        let mut value = Vec::with_capacity(64);
        now.pack(&mut value);
        let keep_until = turn.remember_until();
        let before = self.remembered.iter().find(|(k, _)| *k == key);
        let Some(first) = before.and_then(|(_, v)| Remembered::unpack(&mut v.as_slice()).ok()) else {
            if lasting {
                turn.need(Need::Once { key, value, keep_until });
            }
            return None;
        };
        let passed = first.status == Some(RequestStatus::ErrorNetworkProblem);
        if self.is_same(&first) && !passed {
            turn.tell(What::Repeated, Some(peer), &[], format!("first came as {}", first.mm));
            // Undecided, and mixed with other recipients: it may be asked again.
            let undecided = HeaderText::cleaned("not decided yet, ask again");
            let text = if first.status.is_none() { Some(undecided) } else { first.text };
            return Some((first.status.unwrap_or(RequestStatus::ErrorNetworkProblem), text));
        }
        if !passed {
            let text = format!(
                "same Message-ID as {}, but other content and another Date: taken as a new MM",
                first.mm
            );
            turn.tell(What::Ignored, Some(peer), &[], text);
        }
        if lasting {
            turn.op(Op::Remember { key, value, keep_until });
        }
        None
    }
}

/// Decide about a repeat of a request whose outcome is not known yet.
pub(crate) fn asked_again(mut turn: Turn<'_>, arrival: &Arrival) -> Decision {
    let reply = Reply::new(250, (2, 0, 0), format!("{} taken", turn.ledger.id));
    if let Arrived::Message(AbstractMessage::ForwardReq(request)) = &arrival.message
        && let Some(peer) = turn.house.peer(&arrival.peer)
    {
        let to = response_mailbox(peer, request, arrival.mail_from.as_ref());
        let about: Vec<_> =
            arrival.recipients.iter().map(|path| envelope_party(path, peer).address).collect();
        let asker = Asker { transaction_id: request.transaction_id.clone(), to };
        turn.ask_again(request, asker, &about);
    }
    turn.finish(|_| Some(Answer::Mail(reply)))
}

/// Words of a peer that may speak for itself only, and speaks for somebody else.
fn foreign_sender(peer: &Peer, arrival: &Arrival) -> Option<String> {
    if !peer.profile.own_senders {
        return None;
    }
    let sender = match &arrival.message {
        Arrived::Message(AbstractMessage::ForwardReq(request)) => request.sender.as_ref(),
        _ => None,
    };
    let foreign = |path: &&MailPath| path.domain().is_some_and(|d| !peer.owns(d));
    let path = [arrival.mail_from.as_ref(), sender].into_iter().flatten().find(foreign)?;
    Some(format!(
        "sender {} is in no domain of this peer",
        HeaderText::cleaned(&path.to_string()).capped(100)
    ))
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

/// The content is kept if anybody gets it.
fn keep(turn: &mut Turn<'_>, arrival: &Arrival) {
    let expired = turn.ledger.expires <= turn.now;
    let goes_on = |r: &Recipient| match r.state {
        RecipientState::Routing | RecipientState::Queued => true,
        RecipientState::Stored => !expired,
        _ => false,
    };
    let accepted = |r: &Recipient| goes_on(r) || r.state == RecipientState::Expired;
    if turn.ledger.recipients.iter().any(accepted)
        && let Some(key) = turn.ledger.request.as_ref().and_then(|r| r.message_id.as_ref())
    {
        let value = key.key().to_owned();
        turn.tag(TagKind::MessageId, value);
    }
    match arrival.content.clone() {
        Some(content) if turn.ledger.recipients.iter().any(goes_on) => turn.keep_content(content),
        _ => turn.ledger.body = None,
    }
}

/// Say so when the response does not go where the request wants it.
fn note_mailbox(turn: &mut Turn<'_>, peer: &Peer, request: &ForwardReq, arrival: &Arrival) {
    let to = response_mailbox(peer, request, arrival.mail_from.as_ref());
    if let Some(system) = request.originator_system.as_ref().filter(|s| *s != &to && s.domain().is_some()) {
        let text = format!("X-Mms-Originator-System {system} is not of this peer; the response goes to {to}");
        turn.tell(What::Ignored, Some(&peer.name), &[], text);
    }
}

/// The mailbox at the peer that wants a response: Originator-System, or without one `Sender`, or without one the
/// envelope sender; but only if it is the peer's own, else the peer's configured system address. The host that is
/// connected to is never taken from a message.
pub(crate) fn response_mailbox(peer: &Peer, request: &ForwardReq, mail_from: Option<&MailPath>) -> MailPath {
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
