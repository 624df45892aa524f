//! An errand: one message to bring to one peer, in words. What the courier carries.
//!
//! Owns: the mail that an entry of a queue stands for. Never knows: hosts, connections, octets.

use crate::house::{House, MailFrom, Peer, PeerName, TransitMode};
use crate::ledger::{
    Ledger, Origin, Part, Recipient, RecipientState, Response, Transaction, TransactionState,
};
use crate::lookup::{Lookup, number_of};
use crate::notice::{Notice, Noticed, Notification};
use crate::store::{ContentRef, Entry};
use mms::{
    AbstractMessage, Address, DeliveryReportRes, ForwardReq, ForwardRes, HeaderText, MailPath, MessageType,
    MmId, Party, ReadReplyReportRes, Timestamp, Visibility,
};
use std::sync::Arc;

/// One mail to one peer.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Its entry in the peer's queue.
    pub entry: Entry,
    /// The MM it is about.
    pub mm: MmId,
    /// To whom. The courier knows the hosts.
    pub peer: PeerName,
    /// Envelope sender; `None` for `<>`.
    pub mail_from: Option<MailPath>,
    /// Envelope recipients.
    pub recipients: Vec<MailPath>,
    /// The place of each in the ledger; empty for responses. To be given back with the outcome.
    pub places: Vec<u16>,
    /// The header, in words.
    pub message: AbstractMessage,
    /// The body, where it is and at which octet it begins; `None` for responses and empty MMs.
    pub body: Option<(ContentRef, u64)>,
    /// Whether the body has octets over 127.
    pub eight_bit: bool,
    /// If a peer sent it: the header section is the received one, with these changes.
    pub relayed: Option<Relayed>,
}

/// How the header section of an MM that passes through us is made from the received one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Whether ids and system addresses become ours, as the errand's message has them, or stay.
    pub mode: TransitMode,
    /// The value of the `Received` field that is put in front (RFC 5321 4.4).
    pub received: String,
    /// When it came to us; the date of that field.
    pub at: Timestamp,
}

/// What is to be done about an entry that is due.
pub(crate) enum Due {
    /// Carry this.
    Carry(Box<Errand>),
    /// Tell this to an application.
    Notify(Box<Notification>),
    /// Look these up.
    Lookup(Box<Lookup>),
    /// Nothing: it was settled otherwise, or its peer is gone.
    Nothing,
    /// Nothing any more: its time is over, and its ledger wants to be woken to say so.
    TooLate,
}

impl Due {
    fn carry(errand: Errand) -> Self {
        Self::Carry(Box::new(errand))
    }
}

impl Ledger {
    /// The errand behind an entry of this ledger.
    pub(crate) fn errand(
        &self,
        house: &House,
        entry: &Entry,
        content: Option<&ContentRef>,
        now: Timestamp,
    ) -> Due {
        let (built, last) = match Part::of(entry.id.part) {
            Part::Transaction(i) => {
                let transaction = self.transactions.get(i);
                let built = transaction.and_then(|t| self.forward(house, t, entry, content));
                (built.map(Due::carry), self.deliver_by(house))
            }
            Part::Response(i) => {
                let response = self.responses.get(i);
                let built = response.and_then(|r| self.response(house, r, entry, now));
                (built.map(Due::carry), response.map_or(now, |r| r.bring_by(house)))
            }
            Part::Report(i) => {
                let report = self.reports.get(i);
                let mail = self.internet_message_id(house, entry);
                let built = report.and_then(|r| self.report_errand(house, r, entry, mail));
                (built.map(Due::carry), report.map_or(now, |r| r.bring_by(house)))
            }
            Part::Notice(i) => {
                let notice = self.notices.get(i).filter(|n| n.entry.is_some() && self.is_worth_telling(n));
                let built = notice.map(|n| {
                    let (entry, content) = (entry.clone(), content.cloned());
                    let (notice, ledger) = (n.clone(), Arc::new(self.clone()));
                    Due::Notify(Box::new(Notification { entry, mm: self.id, notice, ledger, content }))
                });
                (built, notice.map_or(now, |n| n.bring_by(house)))
            }
            Part::Lookup => (self.look_up(entry), self.deliver_by(house)),
        };
        match built {
            Some(_) if last <= now => Due::TooLate,
            Some(due) => due,
            None => Due::Nothing,
        }
    }

    /// An MM that is not kept any more is not announced.
    fn is_worth_telling(&self, notice: &Notice) -> bool {
        let state = self.recipients.get(usize::from(notice.place)).map(|r| r.state);
        notice.what != Noticed::Arrived || state == Some(RecipientState::Stored)
    }

    fn look_up(&self, entry: &Entry) -> Option<Due> {
        let open = self.recipients.iter().enumerate().filter(|(_, r)| r.state == RecipientState::Routing);
        let number =
            |(place, r): (usize, &Recipient)| Some((place as u16, number_of(&r.party.address)?.clone()));
        let numbers: Vec<_> = open.filter_map(number).collect();
        (!numbers.is_empty())
            .then(|| Due::Lookup(Box::new(Lookup { entry: entry.clone(), mm: self.id, numbers })))
    }

    /// From this instant on its requests are not brought to a peer any more.
    pub(crate) fn deliver_by(&self, house: &House) -> Timestamp {
        self.expires.min(self.accepted.plus(house.retry.give_up))
    }

    /// STD 11 `Message-ID`: new for every attempt, since every attempt is a new mail.
    fn internet_message_id(&self, house: &House, entry: &Entry) -> HeaderText {
        let (part, attempt) = (entry.id.part, entry.attempt);
        let again = match Part::of(part) {
            Part::Transaction(i) => self.transactions.get(i).map_or(0, |t| t.resends.into()),
            Part::Report(i) => self.reports.get(i).map_or(0, |r| r.resends.into()),
            // The same place may hold one response after the other.
            Part::Response(i) => self.responses.get(i).map_or(0, |r| r.at.since(self.accepted).as_millis()),
            Part::Notice(_) | Part::Lookup => 0,
        };
        HeaderText::cleaned(&format!("{}.{part}.{again}.{attempt}@{}", self.id, house.domain()))
    }

    /// The recipients of a transaction that still wait for this errand.
    fn waiting<'a>(&'a self, transaction: &'a Transaction) -> impl Iterator<Item = (u16, &'a Recipient)> {
        let states = [RecipientState::Queued, RecipientState::Forwarded];
        transaction
            .recipients
            .iter()
            .filter_map(|i| Some((*i, self.recipients.get(usize::from(*i))?)))
            .filter(move |(_, r)| states.contains(&r.state))
    }

    fn forward(
        &self,
        house: &House,
        transaction: &Transaction,
        entry: &Entry,
        content: Option<&ContentRef>,
    ) -> Option<Errand> {
        if transaction.state != TransactionState::Queued {
            return None;
        }
        let peer = house.peer(&transaction.peer)?;
        let domain = peer.domains.first()?;
        let path = |r: &Recipient| match &r.path {
            Some(path) if path.domain().is_some_and(|d| peer.owns(d)) => path.clone(),
            _ => {
                let own = r.party.domain.as_ref().filter(|d| peer.owns(d));
                peer.profile.envelope(&r.party.address, own.unwrap_or(domain))
            }
        };
        let (places, recipients): (Vec<u16>, Vec<MailPath>) =
            self.waiting(transaction).map(|(place, r)| (place, path(r))).unzip();
        let request = self.request.as_ref().filter(|_| !recipients.is_empty())?;
        let hidden = request.sender_visibility == Some(Visibility::Hide);
        let relayed = transaction.transit.map(|mode| Relayed {
            mode,
            received: self.trace_words(house),
            at: self.accepted,
        });
        let own_system = || house.system_address.clone();
        let sender = match (&relayed, &request.from) {
            // Reports come back to us only if the user seems to be at home here (mm4 6).
            (Some(_), Some(from)) if !hidden && from.address.number().is_some() => {
                Party::at(from.address.clone(), house.domain()).path()
            }
            (Some(_), _) => own_system(),
            (None, _) => request.sender.clone().unwrap_or_else(own_system),
        };
        let system = peer.profile.originator_system.clone().unwrap_or_else(own_system);
        let mut message = ForwardReq {
            transaction_id: Some(transaction.id.clone()),
            version: Some(peer.profile.version),
            ack_request: Some(peer.profile.expects_response),
            internet_message_id: Some(self.internet_message_id(house, entry)),
            originator_system: Some(system),
            sender: Some(sender.clone()),
            ..request.clone()
        };
        if hidden && peer.profile.anonymise_hidden {
            message.from = anonymous(house);
        }
        let mail_from = match (transaction.transit, &self.origin, peer.profile.mail_from) {
            (Some(TransitMode::Transparent), Origin::Received { mail_from, .. }, _) => mail_from.clone(),
            (_, _, MailFrom::System) => Some(own_system()),
            _ => Some(sender),
        };
        let body = content.zip(self.body).map(|(content, body)| (content.clone(), body.offset));
        let eight_bit = self.body.is_some_and(|b| b.eight_bit);
        Some(Errand {
            entry: entry.clone(),
            mm: self.id,
            peer: peer.name.clone(),
            mail_from,
            recipients,
            places,
            message: AbstractMessage::ForwardReq(message),
            body,
            eight_bit,
            relayed,
        })
    }

    /// What our `Received` field says: from whom, by whom, under which id. The peer is named as it is configured; what it
    /// calls itself is not believed.
    fn trace_words(&self, house: &House) -> String {
        let from = match &self.origin {
            Origin::Received { peer, .. } => house.peer(peer).and_then(|p| p.domains.first()),
            Origin::Submitted { .. } => None,
        };
        let from = from.unwrap_or(house.domain());
        format!("from {from} by {} with ESMTP id {}", house.domain(), self.id)
    }

    fn response(&self, house: &House, response: &Response, entry: &Entry, now: Timestamp) -> Option<Errand> {
        response.entry?;
        let peer = house.peer(&response.peer)?;
        let mail = self.internet_message_id(house, entry);
        Some(Errand {
            entry: entry.clone(),
            mm: self.id,
            peer: peer.name.clone(),
            mail_from: peer.profile.automatic_sender(&house.system_address),
            recipients: vec![response.to.clone()],
            places: Vec::new(),
            message: response_message(house, peer, response, mail, now),
            body: None,
            eight_bit: false,
            relayed: None,
        })
    }
}

impl Response {
    /// Whether it says the same as another one, to the same mailbox.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let matters = |r: &Self| (r.kind, r.peer.clone(), r.to.clone(), r.transaction_id.clone(), r.status);
        matters(self) == matters(other) && self.text == other.text && self.recipients == other.recipients
    }

    /// Whether it answers a report.
    pub(crate) fn is_to_report(&self) -> bool {
        self.kind != MessageType::ForwardRes
    }

    /// Whether the other may take its place once it was brought.
    pub(crate) fn gives_way_to(&self, other: &Self) -> bool {
        self.says_the_same(other) || self.is_to_report() && other.is_to_report()
    }

    /// From this instant on it is not brought any more: it is worth it for as long as an MM would be.
    pub(crate) fn bring_by(&self, house: &House) -> Timestamp {
        self.at.plus(house.retry.give_up)
    }
}

/// `anonymous@our domain`, for peers that must not learn a hidden number.
fn anonymous(house: &House) -> Option<Party> {
    let domain = house.domain().clone();
    Some(Party::from(Address::Email { local: "anonymous".into(), domain }))
}

fn response_message(
    house: &House,
    peer: &Peer,
    response: &Response,
    mail: HeaderText,
    now: Timestamp,
) -> AbstractMessage {
    macro_rules! build {
        ($ty:ident { $($field:ident: $value:expr),* $(,)? }) => {
            AbstractMessage::$ty($ty {
                version: Some(peer.profile.version),
                transaction_id: response.transaction_id.clone(),
                message_id: response.message_id.clone(),
                request_status: response.status,
                status_text: response.text.clone(),
                $($field: $value,)*
                sender: Some(house.system_address.clone()),
                to: Some(response.to.clone()),
                date: Some(now),
                internet_message_id: Some(mail),
            })
        };
    }
    match response.kind {
        MessageType::DeliveryReportRes => build!(DeliveryReportRes {}),
        MessageType::ReadReplyReportRes => build!(ReadReplyReportRes {}),
        _ => build!(ForwardRes { request_recipients: response.recipients.clone() }),
    }
}
