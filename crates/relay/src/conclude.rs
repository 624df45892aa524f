//! The peer that sent an MM learns what became of it: `MM4_forward.RES` for each outcome (TS 23.140 8.4.1.1).
//!
//! Owns: which outcomes are known, and how they are told: one response for each distinct status or a collective one;
//! by report what no response tells; to later repeats the same. Never knows: where an MM went, and why.
//!
//! What is decided on arrival is answered at once. What travels on to another peer is answered when that peer has
//! answered, or when we have given up; a request that asked for a response gets one in any case.

use crate::arrive::{Remembered, mail_matters, once_key, response_mailbox};
use crate::house::{Peer, PeerName, ResponseStyle};
use crate::ledger::{
    Asker, Ledger, Origin, Recipient, RecipientState, Response, Transaction, TransactionState, What,
};
use crate::pack::Pack as _;
use crate::report::Happening;
use crate::store::Op;
use crate::turn::{Entropy, Turn};
use crate::verdict::Reason;
use mms::{
    Address, ForwardReq, ForwardRes, HeaderText, MessageType, MmStatus, Party, RequestStatus, TransactionId,
};

/// What a recipient's share of the request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub status: RequestStatus,
    pub text: Option<HeaderText>,
}

impl Ledger {
    /// What is to be answered about a recipient; `None` while that is not known.
    pub(crate) fn share(&self, place: u16) -> Option<Share> {
        let recipient = self.recipients.get(usize::from(place))?;
        let said = |status: RequestStatus| Some(Share { status, text: recipient.text.clone() });
        let ok = said(RequestStatus::Ok);
        match recipient.state {
            RecipientState::Routing | RecipientState::Queued => None,
            RecipientState::Forwarded => {
                let last = self.transactions.iter().rfind(|t| t.recipients.contains(&place));
                // A peer that sends no responses has said all it will.
                ok.filter(|_| last.is_none_or(|t| t.state == TransactionState::Settled))
            }
            RecipientState::Unconfirmed => {
                let text = "taken by the next Relay/Server, which did not answer";
                Some(Share { status: RequestStatus::Ok, text: Some(HeaderText::cleaned(text)) })
            }
            RecipientState::Accepted
            | RecipientState::Stored
            | RecipientState::Retrieved
            | RecipientState::Rejected
            | RecipientState::Deleted => ok,
            RecipientState::Refused | RecipientState::Failed => {
                let given = recipient.status.filter(|s| *s != RequestStatus::Ok);
                let reason = recipient.reason.unwrap_or(Reason::Fault);
                let words = || HeaderText::cleaned(reason.text());
                let text = Some(recipient.text.clone().unwrap_or_else(words));
                Some(Share { status: given.unwrap_or(reason.request_status()), text })
            }
            RecipientState::Expired => {
                let status = recipient.status.unwrap_or(RequestStatus::ErrorUnspecified);
                let late = (status != RequestStatus::Ok).then(|| HeaderText::cleaned(Reason::Expired.text()));
                Some(Share { status, text: late })
            }
            RecipientState::Duplicate => recipient.status.and_then(said),
        }
    }

    /// Whose request has passed to this peer, if not everybody's: it knows of no others, and may speak of all that it knows.
    pub(crate) fn passed_to(&self, peer: &PeerName) -> Vec<Party> {
        let passed = self.transactions.iter().filter(|t| t.passes() && t.peer == *peer);
        let places: Vec<u16> = passed.flat_map(|t| t.recipients.iter().copied()).collect();
        if places.len() == self.recipients.len() {
            return Vec::new();
        }
        let party = |i: &u16| Some(Party::from(self.recipients.get(usize::from(*i))?.party.address.clone()));
        places.iter().filter_map(party).collect()
    }
}

impl Turn<'_> {
    /// Tell the peer that sent the MM whatever has become known and was not told yet.
    pub fn conclude(&mut self, entropy: Entropy<'_>) {
        let Origin::Received { peer, .. } = &self.ledger.origin else { return };
        let Some(peer) = self.house.peer(peer) else { return };
        let (mut known, mut open): (Vec<(u16, Share)>, bool) = (Vec::new(), false);
        for (place, recipient) in self.ledger.recipients.iter().enumerate() {
            match self.ledger.share(place as u16) {
                Some(share) if !recipient.concluded => known.push((place as u16, share)),
                None if !recipient.concluded => open = true,
                _ => {}
            }
        }
        if known.is_empty() {
            return;
        }
        let Some(request) = self.ledger.request.clone() else { return };
        let ack = request.ack_request == Some(true);
        let anybody = known.iter().any(|(_, share)| share.status == RequestStatus::Ok);
        let collective = peer.profile.response_style == ResponseStyle::Collective;
        // What the next peer said of some, by name, was no answer for all.
        let for_all = |r: &Response| r.kind == MessageType::ForwardRes && r.recipients.is_empty();
        let answered = self.ledger.responses.iter().any(for_all);
        if ack && collective && !answered && open && !anybody {
            return; // one response for all waits until somebody was accepted, or nobody is left
        }
        let told = ack && !(collective && (answered || anybody));
        if ack && !(collective && answered) {
            let groups = groups(&self.ledger, &known, collective);
            for asker in self.askers(peer, &request) {
                self.answer_asker(peer, &request, &asker, &groups);
            }
        }
        self.charge_arrival(&peer.name, &known);
        for (place, share) in &known {
            self.remember(&request, *place, share);
            self.ledger.recipients[usize::from(*place)].concluded = true;
            self.report_untold(*place, share, ack, told, entropy);
        }
    }

    /// Everybody who asked for a response about this MM: the request itself, and repeats under other transaction ids.
    fn askers(&self, peer: &Peer, request: &ForwardReq) -> Vec<Asker> {
        let Origin::Received { mail_from, .. } = &self.ledger.origin else { return Vec::new() };
        let to = response_mailbox(peer, request, mail_from.as_ref());
        let first = Asker { transaction_id: request.transaction_id.clone(), to };
        std::iter::once(first).chain(self.ledger.askers.iter().cloned()).collect()
    }

    fn answer_asker(
        &mut self,
        peer: &Peer,
        request: &ForwardReq,
        asker: &Asker,
        groups: &[(Share, Vec<Party>)],
    ) {
        for (share, recipients) in groups {
            self.owe(Response {
                kind: MessageType::ForwardRes,
                peer: peer.name.clone(),
                to: asker.to.clone(),
                transaction_id: asker.transaction_id.clone(),
                message_id: request.message_id.clone(),
                status: share.status,
                text: share.text.clone(),
                recipients: recipients.clone(),
                at: self.now,
                entry: None,
            });
        }
    }

    /// The same request again, while what becomes of it is not known yet: it is answered when that is known, and at once
    /// about those of whom it is.
    pub fn ask_again(&mut self, again: &ForwardReq, asker: Asker, about: &[Address]) {
        let Origin::Received { peer, .. } = &self.ledger.origin else { return };
        let (Some(peer), Some(request)) = (self.house.peer(peer), self.ledger.request.clone()) else {
            return;
        };
        self.tell(What::Repeated, Some(&peer.name), &[], "asked again before it was decided");
        if again.ack_request != Some(true) {
            return;
        }
        let Some(asker) = self.known_asker(peer, &request, asker) else { return };
        let concluded: Vec<u16> = (0..self.ledger.recipients.len() as u16)
            .filter(|place| self.ledger.recipients[usize::from(*place)].concluded && !self.passed(*place))
            .collect();
        let asked = |place: &u16| about.contains(&self.ledger.recipients[usize::from(*place)].party.address);
        if !concluded.iter().any(asked) {
            return;
        }
        // About all of whom it is known, not only about those: else each choice of recipients would be one answer more to keep.
        let known: Vec<(u16, Share)> =
            concluded.into_iter().filter_map(|p| Some((p, self.ledger.share(p)?))).collect();
        let collective = peer.profile.response_style == ResponseStyle::Collective;
        let groups = groups(&self.ledger, &known, collective);
        self.answer_asker(peer, &request, &asker, &groups);
    }

    /// Who asks, as at the first time under this transaction id; a new id is remembered. `None`: a peer that asks under ever
    /// new ids gets an answer to the first few.
    fn known_asker(&mut self, peer: &Peer, request: &ForwardReq, asker: Asker) -> Option<Asker> {
        let key = |id: &Option<TransactionId>| id.as_ref().map(|id| id.key().to_owned());
        let mine = key(&asker.transaction_id);
        let before = self.askers(peer, request);
        if let Some(known) = before.iter().find(|known| key(&known.transaction_id) == mine) {
            return Some(known.clone());
        }
        (self.ledger.askers.len() < ASKERS_MAX).then(|| {
            self.ledger.askers.push(asker.clone());
            asker
        })
    }

    /// Whether this recipient's request went on as it came, so that nothing is known here of what became of it.
    fn passed(&self, place: u16) -> bool {
        let last = self.ledger.transactions.iter().rfind(|t| t.recipients.contains(&place));
        self.ledger.recipients[usize::from(place)].state == RecipientState::Forwarded
            && last.is_some_and(Transaction::passes)
    }

    /// Whether the next Relay/Server may say one thing more about this MM to the peer that sent it. What it says for ever
    /// anew stays here: two answers for each recipient and each that asked are more than it needs.
    pub fn may_answer_for(&self) -> bool {
        let answers = self.ledger.responses.iter().filter(|r| r.kind == MessageType::ForwardRes).count();
        answers < 2 * self.ledger.recipients.len().max(1) * (self.ledger.askers.len() + 1)
    }

    /// The next Relay/Server answers us what it should have answered the peer that sent the MM: so do we.
    pub fn answer_for(&mut self, from: &PeerName, response: &ForwardRes) {
        let Origin::Received { peer, .. } = &self.ledger.origin else { return };
        let (Some(peer), Some(request)) = (self.house.peer(peer), self.ledger.request.clone()) else {
            return;
        };
        let share = Share { status: response.request_status, text: response.status_text.clone() };
        let named = match &response.request_recipients {
            named if named.is_empty() => self.ledger.passed_to(from),
            named => named.clone(),
        };
        for asker in self.askers(peer, &request) {
            let groups = [(share.clone(), named.clone())];
            self.answer_asker(peer, &request, &asker, &groups);
        }
    }

    /// What no response tells is told by report, if reports were asked for.
    fn report_untold(&mut self, place: u16, share: &Share, ack: bool, told: bool, entropy: Entropy<'_>) {
        let Recipient { state, reason, .. } = self.ledger.recipients[usize::from(place)].clone();
        match (state, reason) {
            (RecipientState::Expired, _) => {
                self.report_delivery(place, Happening::ours(MmStatus::Expired), None, entropy);
            }
            // Refused on arrival, and no answer was asked for: that is all there is to it (mm4 5.2).
            (RecipientState::Refused, _) if !ack => {}
            (RecipientState::Refused | RecipientState::Failed, Some(reason)) if !told => {
                self.report_delivery(place, Happening::ours(reason.mm_status()), share.text.clone(), entropy);
            }
            _ => {}
        }
    }

    /// From now on a repeat finds out anew: others know what became of this recipient.
    pub fn remember_nothing(&mut self, place: u16) {
        if let Some(request) = self.ledger.request.clone() {
            self.remember(&request, place, &Share { status: RequestStatus::ErrorNetworkProblem, text: None });
        }
    }

    /// From now on a repeat is answered with this outcome.
    fn remember(&mut self, request: &ForwardReq, place: u16, share: &Share) {
        let Origin::Received { peer, .. } = &self.ledger.origin else { return };
        let Some(message_id) = request.message_id.as_ref().filter(|_| !self.is_first()) else { return };
        let recipient = &self.ledger.recipients[usize::from(place)];
        let key = once_key(message_id.key(), peer.as_str(), &recipient.party.address);
        let (len, digest) = mail_matters(self.ledger.body);
        let mut value = Vec::with_capacity(64);
        let (status, text) = (Some(share.status), share.text.clone());
        Remembered { mm: self.ledger.id, len, digest, date: request.date, status, text }.pack(&mut value);
        let keep_until = self.remember_until();
        self.op(Op::Remember { key, value, keep_until });
    }
}

/// Repeats under other transaction ids that are answered.
const ASKERS_MAX: usize = 8;

/// Recipients by what they share, in order of their first; or one share for all: `Ok` if anybody was accepted.
fn groups(ledger: &Ledger, known: &[(u16, Share)], collective: bool) -> Vec<(Share, Vec<Party>)> {
    let mut groups: Vec<(Share, Vec<Party>)> = Vec::new();
    for (place, share) in known {
        let party = Party::from(ledger.recipients[usize::from(*place)].party.address.clone());
        match groups.iter_mut().find(|(known, _)| known == share) {
            Some((_, parties)) => parties.push(party),
            None => groups.push((share.clone(), vec![party])),
        }
    }
    if collective && !groups.is_empty() {
        let ok = groups.iter().position(|(share, _)| share.status == RequestStatus::Ok);
        let (share, _) = groups.swap_remove(ok.unwrap_or(0));
        groups = vec![(share, Vec::new())];
    }
    groups
}
