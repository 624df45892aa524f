//! An errand: one message to bring to one peer, in words. What the courier carries.
//!
//! Owns: the mail that an entry of a queue stands for. Never knows: hosts, connections, octets.

use crate::house::{House, Peer, PeerName};
use crate::ledger::{Ledger, Part, RecipientState, Response, Transaction, TransactionState};
use crate::store::{ContentRef, Entry};
use mms::{
    AbstractMessage, Address, DeliveryReportRes, ForwardReq, ForwardRes, HeaderText, MailPath, MessageType,
    MmId, Party, ReadReplyReportRes, Timestamp, Visibility,
};

/// One mail to one peer.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Its entry in the peer's queue.
    pub entry: Entry,
    /// The MM it is about.
    pub mm: MmId,
    /// To whom. The courier knows the hosts.
    pub peer: PeerName,
    /// Envelope sender.
    pub mail_from: MailPath,
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
}

/// What is to be done about an entry that is due.
pub(crate) enum Due {
    /// Carry this.
    Carry(Box<Errand>),
    /// Nothing: it was settled otherwise, or its peer is gone.
    Nothing,
    /// Nothing any more: its time is over, and its ledger wants to be woken to say so.
    TooLate,
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
                (transaction.and_then(|t| self.forward(house, t, entry, content)), self.deliver_by(house))
            }
            Part::Response(i) => {
                let response = self.responses.get(i);
                (response.and_then(|r| self.response(house, r, entry, now)), self.answer_by(house))
            }
            Part::Report(i) => {
                let report = self.reports.get(i);
                let mail = self.internet_message_id(house, entry);
                let built = report.and_then(|r| self.report_errand(house, r, entry, mail));
                (built, report.map_or(now, |r| r.bring_by(house)))
            }
        };
        match built {
            Some(_) if last <= now => Due::TooLate,
            Some(errand) => Due::Carry(Box::new(errand)),
            None => Due::Nothing,
        }
    }

    /// From this instant on its requests are not brought to a peer any more.
    pub(crate) fn deliver_by(&self, house: &House) -> Timestamp {
        self.expires.min(self.accepted.plus(house.retry.give_up))
    }

    /// From this instant on its responses are not brought any more: they are worth it for as long as an MM would be.
    pub(crate) fn answer_by(&self, house: &House) -> Timestamp {
        self.accepted.plus(house.retry.give_up)
    }

    /// STD 11 `Message-ID`: new for every attempt, since every attempt is a new mail.
    fn internet_message_id(&self, house: &House, entry: &Entry) -> HeaderText {
        let (part, attempt) = (entry.id.part, entry.attempt);
        let resends = match Part::of(part) {
            Part::Transaction(i) => self.transactions.get(i).map_or(0, |t| t.resends),
            Part::Report(i) => self.reports.get(i).map_or(0, |r| r.resends),
            Part::Response(_) => 0,
        };
        HeaderText::cleaned(&format!("{}.{part}.{resends}.{attempt}@{}", self.id, house.domain()))
    }

    /// The recipients of a transaction that still wait for this errand.
    fn waiting<'a>(&'a self, transaction: &'a Transaction) -> impl Iterator<Item = (u16, &'a Party)> {
        let states = [RecipientState::Queued, RecipientState::Forwarded];
        transaction
            .recipients
            .iter()
            .filter_map(|i| Some((*i, self.recipients.get(usize::from(*i))?)))
            .filter(move |(_, r)| states.contains(&r.state))
            .map(|(i, r)| (i, &r.party))
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
        let (places, recipients): (Vec<u16>, Vec<MailPath>) = self
            .waiting(transaction)
            .map(|(place, party)| (place, Party::at(party.address.clone(), domain).path()))
            .unzip();
        let request = self.request.as_ref().filter(|_| !recipients.is_empty())?;
        let hidden = request.sender_visibility == Some(Visibility::Hide);
        let mut message = ForwardReq {
            transaction_id: Some(transaction.id.clone()),
            version: Some(peer.profile.version),
            ack_request: Some(peer.profile.expects_response),
            internet_message_id: Some(self.internet_message_id(house, entry)),
            ..request.clone()
        };
        if hidden && peer.profile.anonymise_hidden {
            message.from = anonymous(house);
        }
        let mail_from = message.sender.clone().unwrap_or_else(|| house.system_address.clone());
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
        })
    }

    fn response(&self, house: &House, response: &Response, entry: &Entry, now: Timestamp) -> Option<Errand> {
        response.entry?;
        let peer = house.peer(&response.peer)?;
        let mail = self.internet_message_id(house, entry);
        Some(Errand {
            entry: entry.clone(),
            mm: self.id,
            peer: peer.name.clone(),
            mail_from: house.system_address.clone(),
            recipients: vec![response.to.clone()],
            places: Vec::new(),
            message: response_message(house, peer, response, mail, now),
            body: None,
            eight_bit: false,
        })
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
